//! Arrays: a count, the insert cursor if there is one, and the elements in the order of their
//! indexes.
//!
//! ```text
//! count | 0, or 1 and the index inserted last | element ...
//! element: index | kind | value
//! ```
//! Redis 8.8 keeps integers, floats and strings of up to seven bytes in the word of an element and
//! writes them by their kind. A string may stand for each of them, so nothing else is written here.

use kvik_float::format_f64;

use crate::{Corrupt, Encoder, Reader, Text};

/// The kinds of values.
const STRING: u64 = 0;
const INTEGER: u64 = 1;
const FLOAT: u64 = 2;
const SHORT_STRING: u64 = 3;

/// The least bytes of an element: its index, its kind, and a length.
const LEAST: usize = 3;

/// The elements of an array.
#[derive(Debug)]
pub struct ArrayParts<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
    cursor: Option<u64>,
}

/// An element of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayElement<'a> {
    /// Its index. Indexes ascend, which is not checked.
    pub index: u64,
    /// The value.
    pub value: Text<'a>,
}

/// How many elements there are, as the bytes say, and the index that was inserted last.
pub(crate) fn read_head(reader: &mut Reader<'_>) -> Result<(u64, Option<u64>), Corrupt> {
    let count = reader.length()?;
    let cursor = match reader.length()? {
        0 => None,
        1 => Some(reader.length()?),
        _ => return Err(Corrupt::InvalidLength),
    };
    Ok((count, cursor))
}

/// Reads what stands before a value, and how many bytes that has.
pub(crate) fn read_kind(reader: &mut Reader<'_>) -> Result<u64, Corrupt> {
    match reader.length()? {
        STRING | SHORT_STRING => reader.text_len(),
        INTEGER | FLOAT => Ok(8),
        _ => Err(Corrupt::InvalidLength),
    }
}

impl<'r, 'a> ArrayParts<'r, 'a> {
    pub(crate) fn read(reader: &'r mut Reader<'a>) -> Result<Self, Corrupt> {
        let (count, cursor) = read_head(reader)?;
        let left = usize::try_from(count).map_err(|_| Corrupt::Truncated)?;
        match left {
            0 => Err(Corrupt::Empty),
            left if left > reader.remaining() / LEAST => Err(Corrupt::Truncated),
            left => Ok(Self::some(reader, left, cursor)),
        }
    }

    /// So many elements that follow in `reader`.
    pub(crate) fn some(reader: &'r mut Reader<'a>, left: usize, cursor: Option<u64>) -> Self {
        Self {
            reader,
            left,
            cursor,
        }
    }

    /// The index that was inserted last, if one was.
    pub fn cursor(&self) -> Option<u64> {
        self.cursor
    }

    fn element(&mut self) -> Result<ArrayElement<'a>, Corrupt> {
        let reader = &mut *self.reader;
        let (index, kind) = (reader.length()?, reader.length()?);
        let value = match kind {
            STRING | SHORT_STRING => reader.text()?,
            INTEGER => Text::Int(reader.i64_le()?),
            FLOAT => float(f64::from_le_bytes(reader.array()?))?,
            _ => return Err(Corrupt::InvalidLength),
        };
        Ok(ArrayElement { index, value })
    }
}

/// The text that a float is kept for: one with a point.
fn float(value: f64) -> Result<Text<'static>, Corrupt> {
    if !value.is_finite() {
        return Err(Corrupt::InvalidScore);
    }
    let mut text = format_f64(value).as_str().to_owned();
    if text
        .bytes()
        .all(|byte| byte == b'-' || byte.is_ascii_digit())
    {
        text.push_str(".0");
    }
    Ok(Text::Bytes(text.into_bytes().into()))
}

impl<'a> Iterator for ArrayParts<'_, 'a> {
    type Item = Result<ArrayElement<'a>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let element = self.element();
        if element.is_err() {
            self.left = 0;
        }
        Some(element)
    }

    /// Not more than the bytes that are there can hold.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl Encoder<'_> {
    /// Begins an array of so many elements; they follow, each with an index and a string.
    pub fn array(&mut self, count: u64, cursor: Option<u64>) {
        self.length(count);
        self.length(cursor.is_some().into());
        if let Some(cursor) = cursor {
            self.length(cursor);
        }
    }

    /// The index of the element whose string follows.
    pub fn index(&mut self, index: u64) {
        self.length(index);
        self.length(STRING);
    }
}
