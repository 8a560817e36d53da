//! MessagePack, as far as frames of Neks have it: arrays, strings of bytes, small integers.

/// Reads values from the front of a byte string. Every method returns `None` if something else
/// stands there, or less than the value needs, and then has read an unspecified part of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Also takes strings of text for strings of bytes, and unsigned integers.
    lenient: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], lenient: bool) -> Self {
        Self {
            rest: bytes,
            lenient,
        }
    }

    /// Bytes that have not been read.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// What has not been read.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on with `rest`, which is the end of what has not been read.
    #[inline]
    pub(super) fn go_to(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    /// The header of an array: how many values follow.
    pub(super) fn array(&mut self) -> Option<u64> {
        match self.byte()? {
            short @ 0x90..=0x9f => Some(u64::from(short & 0x0f)),
            0xdc => self.unsigned(2),
            0xdd => self.unsigned(4),
            _ => None,
        }
    }

    /// A string of bytes.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = match self.byte()? {
            0xc4 => self.unsigned(1),
            0xc5 => self.unsigned(2),
            0xc6 => self.unsigned(4),
            short @ 0xa0..=0xbf if self.lenient => Some(u64::from(short & 0x1f)),
            0xd9 if self.lenient => self.unsigned(1),
            0xda if self.lenient => self.unsigned(2),
            0xdb if self.lenient => self.unsigned(4),
            _ => None,
        }?;
        self.take(usize::try_from(len).ok()?)
    }

    /// An integer that is written as a signed one, or as one of the small positive ones.
    pub(super) fn integer(&mut self) -> Option<i64> {
        match self.byte()? {
            small @ 0..=0x7f => Some(i64::from(small)),
            negative @ 0xe0..=0xff => Some(i64::from(negative as i8)),
            0xd0 => self.signed(1),
            0xd1 => self.signed(2),
            0xd2 => self.signed(4),
            0xd3 => self.signed(8),
            wide @ 0xcc..=0xcf if self.lenient => {
                i64::try_from(self.unsigned(1 << (wide - 0xcc))?).ok()
            }
            _ => None,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn unsigned(&mut self, width: usize) -> Option<u64> {
        let bytes = self.take(width)?;
        Some(
            bytes
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        )
    }

    fn signed(&mut self, width: usize) -> Option<i64> {
        let unused = 64 - 8 * width as u32;
        // Shifted up and down again, the sign spreads over the bits above.
        Some((self.unsigned(width)? << unused) as i64 >> unused)
    }
}

/// Appends the shortest header of an array of so many values.
pub(super) fn write_array(len: usize, out: &mut kvik_resp::Output) {
    write_header(len, (0x90, 15), 0xdc, out);
}

/// Appends the shortest header of a string of so many bytes.
pub(super) fn write_bytes_header(len: usize, out: &mut kvik_resp::Output) {
    if let Ok(len) = u8::try_from(len) {
        return out.extend_from_slice(&[0xc4, len]);
    }
    // The widths follow one another, so that what has two bytes begins like an array.
    match u16::try_from(len) {
        Ok(len) => write_wide(0xc5, &len.to_be_bytes(), out),
        Err(_) => write_wide(0xc6, &(len as u32).to_be_bytes(), out),
    }
}

fn write_header(len: usize, (short, longest): (u8, usize), wide: u8, out: &mut kvik_resp::Output) {
    if len <= longest {
        return out.extend_from_slice(&[short | len as u8]);
    }
    match u16::try_from(len) {
        Ok(len) => write_wide(wide, &len.to_be_bytes(), out),
        Err(_) => write_wide(wide + 1, &(len as u32).to_be_bytes(), out),
    }
}

fn write_wide(kind: u8, len: &[u8], out: &mut kvik_resp::Output) {
    let mut header = [kind, 0, 0, 0, 0];
    header[1..=len.len()].copy_from_slice(len);
    out.extend_from_slice(&header[..=len.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(bytes: &[u8]) -> Reader<'_> {
        Reader::new(bytes, false)
    }

    #[test]
    fn integers_of_all_widths() {
        let forms: [(&[u8], i64); 8] = [
            (&[0x7f], 127),
            (&[0xff], -1),
            (&[0xe0], -32),
            (&[0xd0, 0x80], -128),
            (&[0xd1, 0xff, 0xfe], -2),
            (&[0xd2, 0, 1, 0, 0], 65536),
            (
                &[0xd3, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                i64::MAX,
            ),
            (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], i64::MIN),
        ];
        for (bytes, value) in forms {
            assert_eq!(strict(bytes).integer(), Some(value), "{bytes:x?}");
            assert_eq!(strict(&bytes[..bytes.len() - 1]).integer(), None);
        }
        assert_eq!(strict(&[0xcc, 3]).integer(), None);
        assert_eq!(Reader::new(&[0xcc, 3], true).integer(), Some(3));
        assert_eq!(
            Reader::new(&[0xcf, 255, 0, 0, 0, 0, 0, 0, 0], true).integer(),
            None
        );
    }

    #[test]
    fn strings_need_all_their_bytes() {
        assert_eq!(strict(&[0xc4, 2, 1, 2]).bytes(), Some(&[1, 2][..]));
        assert_eq!(strict(&[0xc4, 3, 1, 2]).bytes(), None);
        assert_eq!(strict(&[0xc6, 255, 255, 255, 255, 1]).bytes(), None);
        assert_eq!(strict(&[0xa1, b'k']).bytes(), None);
        assert_eq!(Reader::new(&[0xa1, b'k'], true).bytes(), Some(&b"k"[..]));
        assert_eq!(
            Reader::new(&[0xda, 0, 1, b'k'], true).bytes(),
            Some(&b"k"[..])
        );
    }

    #[test]
    fn headers_are_as_short_as_they_can_be() {
        for len in [0, 1, 15, 16, 255, 256, 65_535, 65_536, 1 << 20] {
            let mut out = kvik_resp::Output::new();
            write_array(len, &mut out);
            let array = out.into_bytes();
            assert_eq!(strict(&array).array(), Some(len as u64));
            let wide = 1 + 2 * usize::from(len > 15) + 2 * usize::from(len > 65_535);
            assert_eq!(array.len(), wide, "{len}");
            let mut out = kvik_resp::Output::new();
            write_bytes_header(len, &mut out);
            let mut string = out.into_bytes();
            let wide = 2 + usize::from(len > 255) + 2 * usize::from(len > 65_535);
            assert_eq!(string.len(), wide, "{len}");
            string.resize(wide + len, 0);
            assert_eq!(strict(&string).bytes().map(<[u8]>::len), Some(len));
        }
    }
}
