//! `store.kvs`, the snapshot of Neks.
//!
//! ```text
//! file     frame, frame, ...                       one for each of its shards
//! frame    length (8 bytes, big-endian), map
//! map      number of entries (8 bytes), then for each: length, key, length, value
//! ```
//!
//! Which shard a key belongs to depends on a library's version, so the union of all frames is the
//! content. The original cannot load a frame of a million bytes or more, which it writes all the
//! same; here a frame may have any length. A frame that ends too soon is reported, and the next one
//! is looked for where it announced to end.

use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use super::{ImportReport, Take};

/// Shards of a snapshot.
const SHARDS: usize = 4097;
/// Shards that keys can belong to.
const USED: u64 = 4096;

/// Reads a snapshot.
///
/// # Errors
/// If the file cannot be read, or `take` fails.
pub fn read<R: Read + Seek>(file: R, take: &mut Take<'_>) -> io::Result<ImportReport> {
    let mut file = BufReader::new(file);
    let size = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let (mut report, mut at, mut number) = (ImportReport::default(), 0, 0_u64);
    while at < size {
        file.seek(SeekFrom::Start(at))?;
        let mut frame = StoreFrame {
            file: &mut file,
            left: size - at,
        };
        let Some(len) = frame.number()? else {
            report
                .defects
                .push(format!("the last {} bytes are no frame", size - at));
            break;
        };
        if len > frame.left {
            let missing = len - frame.left;
            report
                .defects
                .push(format!("frame {number} lacks its last {missing} bytes"));
        } else {
            frame.left = len;
        }
        if !frame.read_map(take, &mut report.keys)? {
            report.defects.push(format!("frame {number} ends too soon"));
        }
        at = at.saturating_add(8).saturating_add(len);
        number += 1;
    }
    Ok(report)
}

/// The bytes of a frame that have not been read.
struct StoreFrame<'a, R> {
    file: &'a mut BufReader<R>,
    left: u64,
}

impl<R: Read> StoreFrame<'_, R> {
    /// Reads entries; says whether all that were announced are there.
    fn read_map(&mut self, take: &mut Take<'_>, keys: &mut u64) -> io::Result<bool> {
        let Some(count) = self.number()? else {
            return Ok(false);
        };
        for _ in 0..count {
            let Some(key) = self.text()? else {
                return Ok(false);
            };
            let Some(value) = self.text()? else {
                return Ok(false);
            };
            take(&key, &value)?;
            *keys += 1;
        }
        Ok(true)
    }

    fn number(&mut self) -> io::Result<Option<u64>> {
        if self.left < 8 {
            return Ok(None);
        }
        self.left -= 8;
        let mut bytes = [0; 8];
        self.file.read_exact(&mut bytes)?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    /// A length and so many bytes, if they are there.
    fn text(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(len) = self.number()?.filter(|len| *len <= self.left) else {
            return Ok(None);
        };
        self.left -= len;
        let mut text = Vec::new();
        self.file.by_ref().take(len).read_to_end(&mut text)?;
        Ok(Some(text))
    }
}

/// Writes a snapshot of these keys, which the original loads.
///
/// # Errors
/// If it cannot be written, or the entries of a shard take a million bytes or more, which the
/// original could not load.
pub fn write(
    entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    out: impl Write,
) -> io::Result<()> {
    let mut shards: Vec<std::collections::BTreeMap<Vec<u8>, Vec<u8>>> =
        vec![Default::default(); SHARDS];
    for (key, value) in entries {
        let shard = shard_of(&key);
        shards[shard].insert(key, value);
    }
    let mut out = BufWriter::new(out);
    for shard in shards {
        let mut map = (shard.len() as u64).to_be_bytes().to_vec();
        for (key, value) in shard {
            for text in [key, value] {
                map.extend((text.len() as u64).to_be_bytes());
                map.extend(text);
            }
        }
        if map.len() >= LOADED {
            let text = format!("a shard of {} bytes is more than Neks loads", map.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        out.write_all(&(map.len() as u64).to_be_bytes())?;
        out.write_all(&map)?;
    }
    out.flush()
}

/// Frames from this size on are not loaded by the original.
const LOADED: usize = 1_000_000;

/// The shard of a key: FNV-1 over its length and its bytes, as `hashable` 1.3.5 has it.
fn shard_of(key: &[u8]) -> usize {
    const PRIME: u64 = 0x100_0000_01b3;
    let step = |hash: u64, next: u64| hash.wrapping_mul(PRIME) ^ next;
    let start = step(0xcbf2_9ce4_8422_2325, key.len() as u64);
    let hash = key
        .iter()
        .fold(start, |hash, byte| step(hash, u64::from(*byte)));
    (hash % USED) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Cursor;

    use super::*;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8]) -> (BTreeMap<Vec<u8>, Vec<u8>>, ImportReport) {
        let mut found = BTreeMap::new();
        let report = read(Cursor::new(bytes), &mut |key, value| {
            found.insert(key.to_vec(), value.to_vec());
            Ok(())
        });
        (found, report.unwrap())
    }

    #[test]
    fn keys_have_the_shards_of_the_original() {
        let shards = [
            (&b"a"[..], 3675),
            (b"hello", 2842),
            (b"", 2015),
            (b"big", 630),
        ];
        for (key, shard) in shards {
            assert_eq!(shard_of(key), shard, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn an_empty_snapshot_has_the_size_of_the_originals() {
        let mut bytes = Vec::new();
        write([], &mut bytes).unwrap();
        assert_eq!(bytes.len(), 65_552);
        assert_eq!(read_all(&bytes), (BTreeMap::new(), ImportReport::default()));
    }

    #[test]
    fn a_frame_of_the_original_is_read() {
        let bytes = [
            &[0, 0, 0, 0, 0, 0, 0, 0x1a, 0, 0, 0, 0, 0, 0, 0, 1][..],
            &[0, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 1, b'2'],
        ]
        .concat();
        let (found, report) = read_all(&bytes);
        assert_eq!(found, BTreeMap::from([(b"a".to_vec(), b"2".to_vec())]));
        assert_eq!((report.keys, report.defects.len()), (1, 0));
    }

    #[test]
    fn what_is_damaged_is_reported_and_the_rest_is_read() {
        let mut bytes = Vec::new();
        write(
            [
                (b"a".to_vec(), b"1".to_vec()),
                (b"".to_vec(), b"2".to_vec()),
            ],
            &mut bytes,
        )
        .unwrap();
        // The count of the frame of the empty key, which comes first.
        let at = 16 * 2015 + 15;
        bytes[at] = 9;
        let (found, report) = read_all(&bytes);
        assert_eq!(found.len(), 2);
        assert_eq!(report.defects, ["frame 2015 ends too soon"]);
        let (_, report) = read_all(&bytes[..bytes.len() - 3]);
        assert_eq!(report.defects.len(), 2 + 1);
    }

    #[test]
    fn what_the_original_could_not_load_is_not_written() {
        let large = (b"big".to_vec(), vec![0; 999_990]);
        assert!(write([large], &mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_comes_back(entries: BTreeMap<Vec<u8>, Vec<u8>>) {
            let mut bytes = Vec::new();
            write(entries.clone(), &mut bytes).unwrap();
            let (found, report) = read_all(&bytes);
            prop_assert_eq!(found, entries);
            prop_assert!(report.defects.is_empty());
        }

        #[test]
        fn any_bytes_are_read_to_their_end(bytes: Vec<u8>) {
            read_all(&bytes);
        }
    }
}
