//! Strings as values contain them: often integers, mostly borrowed.

use std::borrow::Cow;

/// A string. One that was written as an integer has that integer's decimal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// The decimal form of this integer.
    Int(i64),
    /// These bytes, borrowed from the payload unless they had to be expanded.
    Bytes(Cow<'a, [u8]>),
}

/// Room for the decimal form of an integer.
#[derive(Clone, Default)]
pub struct IntText(itoa::Buffer);

impl std::fmt::Debug for IntText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IntText")
    }
}

impl<'a> Text<'a> {
    /// The bytes, put into `room` where they are an integer's.
    pub fn bytes<'b>(&'b self, room: &'b mut IntText) -> &'b [u8] {
        match self {
            Self::Int(n) => room.0.format(*n).as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The bytes, in memory of their own where they are an integer's.
    pub fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Int(n) => Cow::Owned(itoa::Buffer::new().format(n).into()),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The number that the text is, as a score: not NaN.
    pub(crate) fn score(&self) -> Option<f64> {
        let score = match self {
            Self::Int(n) => *n as f64,
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok()?,
        };
        (!score.is_nan()).then_some(score)
    }
}

impl<'a> From<&'a [u8]> for Text<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}
