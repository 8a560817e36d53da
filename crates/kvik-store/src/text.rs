//! Strings: as a reader sees them, as a writer gives them, and as cells take them.
//!
//! A string is an integer, bytes or a rope. It is an integer where its text is the canonical
//! decimal form of one, so that counters take few bytes, and a rope where it is too large for a
//! cell.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use kvik_rope::Rope;

use crate::raw::class::MAX_BYTES;

/// A string as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StringRef<'a> {
    /// Stored as an integer; its text is the decimal form.
    Int(i64),
    /// Stored as bytes.
    Bytes(&'a [u8]),
}

/// A string that a key holds, as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRef<'a> {
    /// Stored as an integer; its text is the decimal form.
    Int(i64),
    /// Stored as bytes.
    Bytes(&'a [u8]),
    /// Stored as a rope, because it is large.
    Rope(&'a Rope),
}

/// A string to store.
#[derive(Clone, Copy, Debug)]
pub enum NewString<'a> {
    /// Bytes as given; kept as an integer when they are the canonical form of one.
    Bytes(&'a [u8]),
    /// Bytes as given, and kept as they are also where they are an integer.
    Unpacked(&'a [u8]),
    /// An integer.
    Int(i64),
    /// A large string; its chunks are shared.
    Rope(&'a Rope),
}

/// A string to store.
#[derive(Clone, Debug)]
pub(crate) enum Text<'a> {
    /// A string that is a canonical decimal integer.
    Int(i64),
    /// Any other string; `raw` when it was changed in place.
    Bytes {
        /// The string.
        bytes: Cow<'a, [u8]>,
        /// Whether it was changed in place.
        raw: bool,
    },
    /// A string that is too large for a cell.
    Rope {
        /// The string.
        rope: Rope,
        /// Whether it was changed in place.
        raw: bool,
    },
}

/// A write would make a string longer than the caller's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringTooLong;

impl<'a> StringRef<'a> {
    /// The same text in the one form that stands for it: an integer where it reads as one.
    pub fn canonical(self) -> Self {
        match self {
            Self::Bytes(bytes) => canonical_int(bytes).map_or(self, Self::Int),
            Self::Int(_) => self,
        }
    }

    /// Length of the text in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Int(n) => decimal_len(*n),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text, borrowed where it is stored and written into `buffer` where it is an integer.
    pub fn text<'b>(&self, buffer: &'b mut IntText) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Int(n) => buffer.format(*n),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl<'a> TextRef<'a> {
    /// Length of the text in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Int(n) => decimal_len(*n),
            Self::Bytes(bytes) => bytes.len(),
            Self::Rope(rope) => rope.len(),
        }
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text in one piece: borrowed where it is stored so, written into `buffer` where it is an
    /// integer, and a copy where it is a rope.
    pub fn text<'b>(&self, buffer: &'b mut IntText) -> Cow<'b, [u8]>
    where
        'a: 'b,
    {
        Cow::Borrowed(match self {
            Self::Int(n) => buffer.format(*n),
            Self::Bytes(bytes) => bytes,
            Self::Rope(rope) => return Cow::Owned(rope.to_vec()),
        })
    }

    /// The bytes in `range` of the text, which must lie in it, in as few slices as they are kept
    /// in.
    pub fn slices<'b>(
        &self,
        range: Range<usize>,
        buffer: &'b mut IntText,
    ) -> impl Iterator<Item = &'b [u8]> + use<'a, 'b>
    where
        'a: 'b,
    {
        let (inline, rope) = match *self {
            Self::Int(n) => (Some(&buffer.format(n)[range.clone()]), None),
            Self::Bytes(bytes) => (Some(&bytes[range.clone()]), None),
            Self::Rope(rope) => (None, Some(rope)),
        };
        let pieces = rope
            .into_iter()
            .flat_map(move |rope| rope.slices(range.clone()));
        inline.into_iter().chain(pieces)
    }

    /// A copy of the text.
    pub fn to_vec(&self) -> Vec<u8> {
        self.text(&mut IntText::default()).into_owned()
    }

    /// Whether the text is this.
    pub fn is(&self, text: &[u8]) -> bool {
        match self {
            Self::Int(n) => IntText::default().format(*n) == text,
            Self::Bytes(bytes) => *bytes == text,
            Self::Rope(rope) => **rope == *text,
        }
    }
}

impl<'a> From<StringRef<'a>> for TextRef<'a> {
    fn from(string: StringRef<'a>) -> Self {
        match string {
            StringRef::Int(n) => Self::Int(n),
            StringRef::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<i64> for StringRef<'_> {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl<'a> From<&'a [u8]> for StringRef<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<StringRef<'a>> for NewString<'a> {
    fn from(string: StringRef<'a>) -> Self {
        match string {
            StringRef::Int(n) => Self::Int(n),
            StringRef::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

/// Room for the decimal text of an integer.
#[derive(Clone, Copy, Default)]
pub struct IntText(itoa::Buffer);

impl IntText {
    /// Writes `n` in decimal and returns the text.
    pub fn format(&mut self, n: i64) -> &[u8] {
        self.0.format(n).as_bytes()
    }

    /// Writes `n` in decimal and returns the text.
    pub fn unsigned(&mut self, n: u64) -> &[u8] {
        self.0.format(n).as_bytes()
    }
}

impl fmt::Debug for IntText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntText").finish_non_exhaustive()
    }
}

fn decimal_len(n: i64) -> usize {
    let digits = n
        .unsigned_abs()
        .checked_ilog10()
        .map_or(1, |log| log as usize + 1);
    digits + usize::from(n < 0)
}

/// The integer whose canonical decimal form `text` is: no sign but a leading `-`, no leading zeros,
/// in range.
pub(crate) fn canonical_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut n: i64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        let digit = i64::from(digit - b'0');
        n = n.checked_mul(10)?;
        n = if negative {
            n.checked_sub(digit)?
        } else {
            n.checked_add(digit)?
        };
    }
    Some(n)
}

impl<'a> From<NewString<'a>> for Text<'a> {
    #[inline]
    fn from(string: NewString<'a>) -> Self {
        match string {
            NewString::Int(n) => Self::Int(n),
            NewString::Bytes(bytes) => Self::of(Cow::Borrowed(bytes)),
            NewString::Unpacked(bytes) if bytes.len() <= MAX_BYTES => Self::Bytes {
                bytes: Cow::Borrowed(bytes),
                raw: false,
            },
            NewString::Unpacked(bytes) => Self::Rope {
                rope: bytes.into(),
                raw: false,
            },
            NewString::Rope(rope) if rope.len() <= MAX_BYTES => Self::of(Cow::Owned(rope.to_vec())),
            NewString::Rope(rope) => Self::Rope {
                rope: rope.clone(),
                raw: false,
            },
        }
    }
}

impl<'a> Text<'a> {
    /// A string that was written whole.
    #[inline]
    pub(crate) fn of(bytes: Cow<'a, [u8]>) -> Self {
        canonical_int(&bytes).map_or(Self::Bytes { bytes, raw: false }, Self::Int)
    }

    /// A string of zeros and then `bytes`, as a write behind the end of nothing makes it.
    pub(crate) fn padded(zeros: usize, bytes: &[u8]) -> Self {
        let raw = true;
        if zeros + bytes.len() > MAX_BYTES {
            let mut rope = Rope::new();
            rope.write(zeros, bytes);
            return Text::Rope { rope, raw };
        }
        let mut text = vec![0; zeros];
        text.extend_from_slice(bytes);
        Text::Bytes {
            bytes: Cow::Owned(text),
            raw,
        }
    }

    /// The same, borrowing nothing.
    /// Length of the text in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Int(n) => decimal_len(*n),
            Self::Bytes { bytes, .. } => bytes.len(),
            Self::Rope { rope, .. } => rope.len(),
        }
    }

    pub(crate) fn into_owned(self) -> Text<'static> {
        match self {
            Self::Int(n) => Text::Int(n),
            Self::Bytes { bytes, raw } => Text::Bytes {
                bytes: Cow::Owned(bytes.into_owned()),
                raw,
            },
            Self::Rope { rope, raw } => Text::Rope { rope, raw },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_canonical_integers_are_stored_as_integers() {
        for text in [
            "",
            "-",
            "-0",
            "01",
            "+1",
            " 1",
            "1 ",
            "9223372036854775808",
            "1a",
        ] {
            assert_eq!(canonical_int(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(canonical_int(b"-9223372036854775808"), Some(i64::MIN));
    }

    proptest! {
        #[test]
        fn integers_round_trip(n: i64) {
            let text = n.to_string();
            prop_assert_eq!(canonical_int(text.as_bytes()), Some(n));
            let mut room = IntText::default();
            prop_assert_eq!(room.format(n), text.as_bytes());
            prop_assert_eq!(StringRef::Int(n).len(), text.len());
        }

        #[test]
        fn what_is_read_as_an_integer_prints_the_same(text in "-?[0-9]{1,20}") {
            if let Some(n) = canonical_int(text.as_bytes()) {
                prop_assert_eq!(n.to_string(), text);
            }
        }
    }
}
