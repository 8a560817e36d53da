//! Bitmaps as Redis 8.12 writes them where `bitmap-default-roaring` is on: the length of the string
//! in bytes, and the bits that are set in the portable form of Roaring bitmaps of 64 bits.
//!
//! ```text
//! buckets (8) | then for each: upper bits (4) | cookie (4) | containers (4) or flags of runs
//!   | key (2), cardinality - 1 (2) of each container | offset (4) of each
//!   | containers: runs of start (2), length - 1 (2) behind their count (2)
//!               | numbers (2) of a small one | 65,536 bits of a large one
//! ```
//! Numbers are little endian. Bit 0 of a string is the highest of its first byte, that of a
//! container the lowest. A string has no bit beyond 32 bits, and so there is one bucket at most.

use std::borrow::Cow;

use crate::{Corrupt, Reader};

/// The longest string in bytes: bits are numbered by 32 bits.
const MAX_LEN: u64 = 1 << 29;

/// Bits and bytes of a container.
const BITS: usize = 1 << 16;
const BYTES: usize = BITS / 8;

/// The largest container that lists its numbers.
const LIST_MAX: usize = 4096;

/// The cookie of a bucket says whether it may have containers of runs. From so many containers on
/// such a bucket has their offsets as well.
const PLAIN: u32 = 12_346;
const WITH_RUNS: u16 = 12_347;
const OFFSETS_FROM: usize = 4;

/// A string of bits, most of which are probably clear.
#[derive(Clone, Debug)]
pub struct Bitmap<'a> {
    len: usize,
    set: Cow<'a, [u8]>,
}

/// A container that is to follow.
struct Container {
    key: usize,
    cardinality: usize,
    has_runs: bool,
}

impl<'a> Bitmap<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Corrupt> {
        let len = reader.length()?;
        if len > MAX_LEN {
            return Err(Corrupt::InvalidBitmap);
        }
        Ok(Self {
            len: len as usize,
            set: reader.blob()?,
        })
    }

    /// Length of the string in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the string is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Visits the parts of the string that have bits set, in their order: where each is, and its
    /// bytes. All others are zero.
    ///
    /// # Errors
    /// When it is no such bitmap, or has bits behind its end.
    pub fn for_each_part(&self, mut visit: impl FnMut(usize, &[u8])) -> Result<(), Corrupt> {
        let mut reader = Reader::new(&self.set);
        match u64::from_le_bytes(reader.array()?) {
            0 => {}
            1 if u32::from_le_bytes(reader.array()?) == 0 => {
                let mut part = [0; BYTES];
                for container in containers(&mut reader)? {
                    part.fill(0);
                    container.read(&mut reader, &mut part)?;
                    let at = container.key * BYTES;
                    let len = BYTES.min(self.len.saturating_sub(at));
                    let (inside, behind) = part.split_at(len);
                    if behind.iter().any(|byte| *byte != 0) {
                        return Err(Corrupt::InvalidBitmap);
                    }
                    visit(at, inside);
                }
            }
            _ => return Err(Corrupt::InvalidBitmap),
        }
        match reader.remaining() {
            0 => Ok(()),
            _ => Err(Corrupt::InvalidBitmap),
        }
    }
}

fn u16_le(reader: &mut Reader<'_>) -> Result<u16, Corrupt> {
    Ok(u16::from_le_bytes(reader.array()?))
}

/// Reads what stands before the containers.
fn containers(reader: &mut Reader<'_>) -> Result<Vec<Container>, Corrupt> {
    let cookie = u32::from_le_bytes(reader.array()?);
    let (count, runs) = match cookie {
        PLAIN => (u32::from_le_bytes(reader.array()?) as usize, None),
        cookie if cookie as u16 == WITH_RUNS => {
            let count = (cookie >> 16) as usize + 1;
            (count, Some(reader.bytes(count.div_ceil(8))?))
        }
        _ => return Err(Corrupt::InvalidBitmap),
    };
    if count == 0 || count > reader.remaining() / 4 {
        return Err(Corrupt::InvalidBitmap);
    }
    let mut containers: Vec<Container> = Vec::with_capacity(count);
    for at in 0..count {
        let container = Container {
            key: u16_le(reader)?.into(),
            cardinality: usize::from(u16_le(reader)?) + 1,
            has_runs: runs.is_some_and(|runs| runs[at / 8] >> (at % 8) & 1 == 1),
        };
        if containers
            .last()
            .is_some_and(|last| last.key >= container.key)
        {
            return Err(Corrupt::InvalidBitmap);
        }
        containers.push(container);
    }
    // They follow from the sizes.
    if runs.is_none() || count >= OFFSETS_FROM {
        reader.bytes(4 * count)?;
    }
    Ok(containers)
}

impl Container {
    /// Sets its bits.
    fn read(&self, reader: &mut Reader<'_>, part: &mut [u8; BYTES]) -> Result<(), Corrupt> {
        let mut next = 0;
        let mut set = |from: usize, to: usize| {
            if from < next || to > BITS {
                return Err(Corrupt::InvalidBitmap);
            }
            (from..to).for_each(|bit| part[bit / 8] |= 0x80 >> (bit % 8));
            next = to;
            Ok(to - from)
        };
        let mut found = 0;
        if self.has_runs {
            for _ in 0..u16_le(reader)? {
                let (start, more) = (usize::from(u16_le(reader)?), usize::from(u16_le(reader)?));
                found += set(start, start + more + 1)?;
            }
        } else if self.cardinality <= LIST_MAX {
            for _ in 0..self.cardinality {
                let number = usize::from(u16_le(reader)?);
                found += set(number, number + 1)?;
            }
        } else {
            let bits = reader.bytes(BYTES)?;
            for (byte, bits) in part.iter_mut().zip(bits) {
                *byte = bits.reverse_bits();
                found += bits.count_ones() as usize;
            }
        }
        match found == self.cardinality {
            true => Ok(()),
            false => Err(Corrupt::InvalidBitmap),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bits that are set, as a string.
    fn bits(len: usize, set: &[u8]) -> Result<Vec<u8>, Corrupt> {
        let bitmap = Bitmap {
            len,
            set: Cow::Borrowed(set),
        };
        let mut string = vec![0; len];
        bitmap.for_each_part(|at, part| string[at..at + part.len()].copy_from_slice(part))?;
        Ok(string)
    }

    fn portable(bucket: &[u8]) -> Vec<u8> {
        [&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], bucket].concat()
    }

    /// A bucket of one container that lists 1 and 9.
    const LISTED: &[u8] = &[
        0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0, 0, 1, 0, 9, 0,
    ];

    /// A bucket of one container with a run from 4 to 11.
    const RUN: &[u8] = &[0x3b, 0x30, 0, 0, 1, 0, 0, 7, 0, 1, 0, 4, 0, 7, 0];

    #[test]
    fn containers_of_every_kind_are_read() {
        assert_eq!(bits(3, &[0; 8]), Ok(vec![0; 3]));
        assert_eq!(bits(2, &portable(LISTED)), Ok(vec![0x40, 0x40]));
        assert_eq!(bits(3, &portable(RUN)), Ok(vec![0x0f, 0xf0, 0]));
        // 8,000 bits of the second container, from its first on.
        let mut large = vec![0x3a, 0x30, 0, 0, 1, 0, 0, 0, 1, 0, 0x3f, 0x1f, 16, 0, 0, 0];
        large.extend([0xff; 1000]);
        large.extend([0; BYTES - 1000]);
        let mut expected = vec![0; BYTES];
        expected.extend([0xff; 1000]);
        assert_eq!(bits(BYTES + 1000, &portable(&large)), Ok(expected));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refused = Err(Corrupt::InvalidBitmap);
        assert_eq!(bits(1, &portable(LISTED)), refused, "a bit behind the end");
        let with = |bucket: &[u8], at: usize, byte: u8| {
            let mut bytes = portable(bucket);
            bytes[at] = byte;
            bits(2, &bytes)
        };
        assert_eq!(with(LISTED, 0, 2), refused, "two buckets");
        assert_eq!(with(LISTED, 8, 1), refused, "beyond 32 bits");
        assert_eq!(with(LISTED, 12, 0), refused, "another cookie");
        assert_eq!(with(LISTED, 16, 0), refused, "no containers");
        assert_eq!(with(LISTED, 30, 1), refused, "twice the same number");
        assert_eq!(with(RUN, 19, 8), refused, "another cardinality");
        let longer = [&portable(LISTED)[..], &[0]].concat();
        assert_eq!(bits(2, &longer), refused);
        for cut in 0..portable(LISTED).len() {
            assert!(bits(2, &portable(LISTED)[..cut]).is_err());
        }
    }
}
