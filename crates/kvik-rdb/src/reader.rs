//! Reads the parts that values consist of.

use std::borrow::Cow;

use crate::{Corrupt, Text, lzf};

/// Codes of strings that are not written as they are.
const INT8: u8 = 0;
const INT16: u8 = 1;
const INT32: u8 = 2;
const LZF: u8 = 3;

/// The bytes that have not been read yet.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// The length or the special form of a string, which stands before it.
enum Prefix {
    Length(u64),
    Special(u8),
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// A byte.
    ///
    /// # Errors
    /// [`Corrupt::Truncated`] when none is left.
    pub fn u8(&mut self) -> Result<u8, Corrupt> {
        Ok(self.array::<1>()?[0])
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`Corrupt::Truncated`] when fewer are left.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Corrupt> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Corrupt::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Corrupt::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn u64_le(&mut self) -> Result<u64, Corrupt> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn i64_le(&mut self) -> Result<i64, Corrupt> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A number in the variable form of lengths.
    ///
    /// # Errors
    /// When the bytes end, or are the start of a special string.
    pub fn length(&mut self) -> Result<u64, Corrupt> {
        match self.prefix()? {
            Prefix::Length(length) => Ok(length),
            Prefix::Special(_) => Err(Corrupt::InvalidLength),
        }
    }

    /// A count of elements, each of which takes at least `least` bytes.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, Corrupt> {
        let count = usize::try_from(self.length()?).map_err(|_| Corrupt::Truncated)?;
        // A collection cannot have more elements than bytes that are left, so a count that says so
        // is refused before anything is allocated for it.
        if count > self.remaining() / least {
            return Err(Corrupt::Truncated);
        }
        Ok(count)
    }

    /// A string.
    ///
    /// # Errors
    /// When the bytes end, or it is in an unknown or a contradictory form.
    pub fn text(&mut self) -> Result<Text<'a>, Corrupt> {
        Ok(match self.prefix()? {
            Prefix::Length(len) => Text::from(self.bytes(in_memory(len)?)?),
            Prefix::Special(INT8) => Text::Int(i8::from_le_bytes(self.array()?).into()),
            Prefix::Special(INT16) => Text::Int(i16::from_le_bytes(self.array()?).into()),
            Prefix::Special(INT32) => Text::Int(i32::from_le_bytes(self.array()?).into()),
            Prefix::Special(LZF) => Text::Bytes(Cow::Owned(self.expanded()?)),
            Prefix::Special(_) => return Err(Corrupt::InvalidLength),
        })
    }

    /// A string, expanded into `room` if it is compressed.
    pub(crate) fn text_in<'t>(&mut self, room: &'t mut Vec<u8>) -> Result<Text<'t>, Corrupt>
    where
        'a: 't,
    {
        let before = *self;
        if !matches!(self.prefix()?, Prefix::Special(LZF)) {
            *self = before;
            return self.text();
        }
        let (packed, len) = (in_memory(self.length()?)?, in_memory(self.length()?)?);
        lzf::decompress_into(self.bytes(packed)?, len, room)?;
        Ok(Text::from(&room[..]))
    }

    /// How many bytes a string takes behind what stands before it, which is read.
    pub(crate) fn text_len(&mut self) -> Result<u64, Corrupt> {
        Ok(match self.prefix()? {
            Prefix::Length(len) => len,
            Prefix::Special(INT8) => 1,
            Prefix::Special(INT16) => 2,
            Prefix::Special(INT32) => 4,
            Prefix::Special(LZF) => {
                // Two lengths stand before a compressed string: as it is, and expanded.
                let packed = self.length()?;
                self.length()?;
                packed
            }
            Prefix::Special(_) => return Err(Corrupt::InvalidLength),
        })
    }

    /// A string that is not text.
    pub(crate) fn blob(&mut self) -> Result<Cow<'a, [u8]>, Corrupt> {
        self.text().map(Text::into_bytes)
    }

    fn expanded(&mut self) -> Result<Vec<u8>, Corrupt> {
        let (packed, len) = (in_memory(self.length()?)?, in_memory(self.length()?)?);
        lzf::decompress(self.bytes(packed)?, len)
    }

    fn prefix(&mut self) -> Result<Prefix, Corrupt> {
        // The upper two bits choose the form: 6 bits, 14 bits, four or eight bytes behind, or a
        // special string.
        let first = self.u8()?;
        let low = first & 0x3f;
        Ok(match (first >> 6, low) {
            (0, _) => Prefix::Length(low.into()),
            (1, _) => Prefix::Length(u16::from_be_bytes([low, self.u8()?]).into()),
            (2, 0) => Prefix::Length(u32::from_be_bytes(self.array()?).into()),
            (2, 1) => Prefix::Length(u64::from_be_bytes(self.array()?)),
            (3, _) => Prefix::Special(low),
            _ => return Err(Corrupt::InvalidLength),
        })
    }
}

/// A length that memory could hold; whether the bytes are there is seen when they are taken.
fn in_memory(len: u64) -> Result<usize, Corrupt> {
    usize::try_from(len).map_err(|_| Corrupt::Truncated)
}
