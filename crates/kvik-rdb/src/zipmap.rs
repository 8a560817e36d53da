//! Zipmaps: what Redis kept small hashes in before version 4.
//!
//! A byte with the number of pairs unless it is 254 or more, then the pairs and a byte 255. A pair
//! is a length and the field, a length, a byte with the number of unused bytes, the value and the
//! unused bytes. A length is a byte, or a byte 254 and four more.

use std::borrow::Cow;

use crate::{Corrupt, Reader, Text};

/// Behind the last pair.
const END: u8 = 255;

/// The length is in the next four bytes; as a number of pairs: count them.
const LONG: u8 = 254;

/// A zipmap whose lengths have been checked; it holds at least one pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zipmap<'a> {
    bytes: Cow<'a, [u8]>,
    len: usize,
}

impl<'a> Zipmap<'a> {
    /// Checks every pair.
    ///
    /// # Errors
    /// When the lengths contradict each other or the bytes, or there is no pair.
    pub fn new(bytes: Cow<'a, [u8]>) -> Result<Self, Corrupt> {
        match check(&bytes) {
            Some(0) => Err(Corrupt::Empty),
            Some(len) => Ok(Self { bytes, len }),
            None => Err(Corrupt::InvalidPacking),
        }
    }

    /// The fields with their values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Text<'_>, Text<'_>)> {
        let mut reader = Reader::new(&self.bytes[1..]);
        (0..self.len).map(move |_| {
            let pair = length(&mut reader).and_then(|len| pair(len, &mut reader));
            pair.expect("every pair was checked")
        })
    }
}

/// The number of pairs if everything fits together.
fn check(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(bytes);
    let stated = reader.u8().ok()?;
    let mut len = 0;
    // The last byte is the end mark, which is also no valid length.
    while reader.remaining() > 1 {
        let field = length(&mut reader)?;
        pair(field, &mut reader)?;
        len += 1;
    }
    // 254 pairs and more are not counted in the header.
    let count_fits = stated >= LONG || usize::from(stated) == len;
    (reader.u8() == Ok(END) && count_fits).then_some(len)
}

/// A field of `len` bytes and its value.
fn pair<'a>(len: usize, reader: &mut Reader<'a>) -> Option<(Text<'a>, Text<'a>)> {
    let field = reader.bytes(len).ok()?;
    let len = length(reader)?;
    let unused = reader.u8().ok()?;
    let value = reader.bytes(len).ok()?;
    reader.bytes(unused.into()).ok()?;
    Some((Text::from(field), Text::from(value)))
}

fn length(reader: &mut Reader<'_>) -> Option<usize> {
    Some(match reader.u8().ok()? {
        END => return None,
        LONG => u32::from_le_bytes(reader.array().ok()?) as usize,
        len => usize::from(len),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<String>, Corrupt> {
        let zipmap = Zipmap::new(Cow::Borrowed(bytes))?;
        let plain = |text: Text<'_>| String::from_utf8_lossy(&text.into_bytes()).into_owned();
        let pair = |(field, value)| format!("{}={}", plain(field), plain(value));
        Ok(zipmap.iter().map(pair).collect())
    }

    #[test]
    fn pairs_are_read_over_unused_bytes() {
        let pairs =
            read(b"\x02\x03foo\x03\x02bar__\x05hello\xfe\x05\x00\x00\x00\x00world\xff").unwrap();
        assert_eq!(pairs, ["foo=bar", "hello=world"]);
    }

    #[test]
    fn contradictions_are_found() {
        let good = b"\x01\x01a\x01\x00b\xff";
        assert!(read(good).is_ok());
        for end in 0..good.len() {
            assert!(read(&good[..end]).is_err());
        }
        for bad in [
            &b"\x02\x01a\x01\x00b\xff"[..],
            b"\x01\x01a\x01\x00b\xfe",
            b"\x01\x01a\x01\x01b\xff",
            b"\x01\x01a\xff\x00b\xff",
            b"\x01\xfe\xff\xff\xff\xffa\x01\x00b\xff",
        ] {
            assert_eq!(read(bad), Err(Corrupt::InvalidPacking), "{bad:?}");
        }
        assert_eq!(read(b"\x00\xff"), Err(Corrupt::Empty));
    }
}
