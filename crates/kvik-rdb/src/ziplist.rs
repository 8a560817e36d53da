//! Ziplists: what Redis kept small lists, hashes and sorted sets in before version 10.
//!
//! A header of total bytes, offset of the last entry and number of entries, then the entries and a
//! byte 255. An entry starts with the length of the one before it; then its own kind and, for a
//! string, length. The numbers are little-endian but for the lengths of longer strings.

use std::borrow::Cow;

use crate::{Corrupt, Reader, Text};

/// Bytes before the first entry.
const HEADER: usize = 10;

/// Behind the last entry.
const END: u8 = 255;

/// The length of the previous entry is in the next four bytes.
const LONG_PREVIOUS: u8 = 254;

/// The number of entries in the header when there are too many to say how many.
const MANY: u16 = u16::MAX;

/// A ziplist whose lengths have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ziplist<'a> {
    bytes: Cow<'a, [u8]>,
    len: usize,
}

impl<'a> Ziplist<'a> {
    /// Checks every entry.
    ///
    /// # Errors
    /// When the lengths contradict each other or the bytes.
    pub fn new(bytes: Cow<'a, [u8]>) -> Result<Self, Corrupt> {
        let len = check(&bytes).ok_or(Corrupt::InvalidPacking)?;
        Ok(Self { bytes, len })
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entries.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Text<'_>> {
        let mut reader = Reader::new(&self.bytes[HEADER..]);
        (0..self.len).map(move |_| {
            previous(&mut reader)
                .and_then(|_| entry(&mut reader))
                .expect("every entry was checked")
        })
    }

    /// The entries in twos: fields with values.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (Text<'_>, Text<'_>)> {
        let mut entries = self.iter();
        (0..self.len / 2).map(move |_| {
            let mut next = || entries.next().expect("there are two for each pair");
            (next(), next())
        })
    }

    /// The entries in twos: members with scores.
    ///
    /// # Errors
    /// An item is one where the score is not a number.
    pub fn scored(&self) -> impl Iterator<Item = Result<(Text<'_>, f64), Corrupt>> {
        self.pairs()
            .map(|(member, score)| Ok((member, score.score().ok_or(Corrupt::InvalidScore)?)))
    }

    /// The ziplist if it consists of pairs, and of at least one.
    pub(crate) fn of_pairs(bytes: Cow<'a, [u8]>) -> Result<Self, Corrupt> {
        let ziplist = Self::new(bytes)?;
        match ziplist.len {
            0 => Err(Corrupt::Empty),
            len if len % 2 == 1 => Err(Corrupt::InvalidPacking),
            _ => Ok(ziplist),
        }
    }
}

/// The number of entries if everything fits together.
fn check(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(bytes);
    let total = u32::from_le_bytes(reader.array().ok()?) as usize;
    let tail = u32::from_le_bytes(reader.array().ok()?) as usize;
    let stated = u16::from_le_bytes(reader.array().ok()?);
    if total != bytes.len() || bytes.last() != Some(&END) {
        return None;
    }
    // Redis walks a ziplist from both ends, so the lengths that lead back must agree with those
    // that lead on: otherwise the bytes would be two different lists.
    let (mut len, mut last, mut before) = (0, HEADER, 0);
    while reader.remaining() > 1 {
        let start = bytes.len() - reader.remaining();
        if previous(&mut reader)? != before {
            return None;
        }
        entry(&mut reader)?;
        len += 1;
        last = start;
        before = bytes.len() - reader.remaining() - start;
    }
    // Beyond 65534 entries the header does not say how many; they are counted here.
    let count_fits = stated == MANY || usize::from(stated) == len;
    (reader.remaining() == 1 && tail == last && count_fits).then_some(len)
}

/// The length of the entry before.
fn previous(reader: &mut Reader<'_>) -> Option<usize> {
    Some(match reader.u8().ok()? {
        END => return None,
        LONG_PREVIOUS => u32::from_le_bytes(reader.array().ok()?) as usize,
        len => usize::from(len),
    })
}

/// The string or integer of an entry.
fn entry<'a>(reader: &mut Reader<'a>) -> Option<Text<'a>> {
    let kind = reader.u8().ok()?;
    // The upper two bits say how many bytes hold the length; both set means an integer.
    let len = match kind >> 6 {
        0 => usize::from(kind),
        1 => usize::from(u16::from_be_bytes([kind & 0x3f, reader.u8().ok()?])),
        2 => u32::from_be_bytes(reader.array().ok()?) as usize,
        _ => return integer(kind, reader).map(Text::Int),
    };
    Some(Text::from(reader.bytes(len).ok()?))
}

fn integer(kind: u8, reader: &mut Reader<'_>) -> Option<i64> {
    Some(match kind {
        0xc0 => i16::from_le_bytes(reader.array().ok()?).into(),
        0xd0 => i32::from_le_bytes(reader.array().ok()?).into(),
        0xe0 => i64::from_le_bytes(reader.array().ok()?),
        // 24 bits: shifted up to the sign and back.
        0xf0 => {
            let [a, b, c] = reader.array().ok()?;
            (i32::from_le_bytes([0, a, b, c]) >> 8).into()
        }
        0xfe => i8::from_le_bytes(reader.array().ok()?).into(),
        // Numbers from 0 to 12 stand in the kind itself.
        0xf1..=0xfd => i64::from(kind & 0xf) - 1,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ziplist of these entries without their previous lengths.
    fn build(entries: &[&[u8]]) -> Vec<u8> {
        let (mut body, mut before, mut tail) = (Vec::new(), 0, HEADER);
        for entry in entries {
            tail = HEADER + body.len();
            match u8::try_from(before) {
                Ok(len @ 0..LONG_PREVIOUS) => body.push(len),
                _ => {
                    body.push(LONG_PREVIOUS);
                    body.extend_from_slice(&(before as u32).to_le_bytes());
                }
            }
            body.extend_from_slice(entry);
            before = HEADER + body.len() - tail;
        }
        let mut ziplist = ((HEADER + body.len() + 1) as u32).to_le_bytes().to_vec();
        ziplist.extend_from_slice(&(tail as u32).to_le_bytes());
        ziplist.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        ziplist.extend_from_slice(&body);
        ziplist.push(END);
        ziplist
    }

    fn texts(ziplist: &[u8]) -> Vec<Vec<u8>> {
        let ziplist = Ziplist::new(Cow::Borrowed(ziplist)).unwrap();
        ziplist
            .iter()
            .map(|text| text.into_bytes().into_owned())
            .collect()
    }

    #[test]
    fn every_kind_of_entry_is_read() {
        let long = [&b"\x41\x2c"[..], &[b'x'; 300]].concat();
        let ziplist = build(&[
            b"\x02ab",
            &long,
            b"\x80\x00\x00\x00\x01z",
            b"\xc0\xff\xff",
            b"\xd0\x00\x00\x00\x80",
            b"\xe0\x01\x00\x00\x00\x00\x00\x00\x80",
            b"\xf0\xff\xff\xff",
            b"\xfe\x80",
            b"\xf1",
            b"\xfd",
        ]);
        let texts = texts(&ziplist);
        assert_eq!(texts[1], [b'x'; 300]);
        let numbers: Vec<_> = texts[2..]
            .iter()
            .map(|text| String::from_utf8_lossy(text))
            .collect();
        assert_eq!(
            numbers,
            [
                "z",
                "-1",
                "-2147483648",
                "-9223372036854775807",
                "-1",
                "-128",
                "0",
                "12"
            ]
        );
    }

    #[test]
    fn an_empty_one_has_only_a_header() {
        assert!(texts(&build(&[])).is_empty());
    }

    #[test]
    fn every_changed_length_is_found() {
        let good = build(&[b"\x02ab", b"\x01c", b"\xf1"]);
        for at in (0..HEADER).chain([10, 14, 15, 17, good.len() - 1]) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let found = Ziplist::new(Cow::Owned(bad));
            assert_eq!(found, Err(Corrupt::InvalidPacking), "at {at}");
        }
        for end in 0..good.len() {
            assert!(Ziplist::new(Cow::Borrowed(&good[..end])).is_err());
        }
    }
}
