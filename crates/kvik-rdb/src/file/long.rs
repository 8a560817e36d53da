//! A collection that is longer than the buffer of whoever reads the file, some elements at a time.
//!
//! A string or a stream is always read whole, and so is what servers keep packed. The collections
//! that grow without bound are sequences of elements behind their number, and these can be taken
//! apart: so a file needs no more memory than its longest string, besides what is built from it.

use super::extent::{Extent, Part, parts_of};
use super::fault::{FileError, FileFault};
use super::record::KeyHeader;
use super::splitter::Splitter;
use crate::array::read_head;
use crate::{Corrupt, ObjectType, Reader, Value};

/// A key whose elements are being read.
#[derive(Debug)]
pub struct LongValue {
    header: KeyHeader<'static>,
    /// The parts of an element.
    parts: &'static [Part],
    /// The number before the elements: the time to which the times of fields are relative, or the
    /// cursor of an array.
    head: Option<u64>,
    left: u64,
}

/// Some elements of a long value.
#[derive(Debug)]
pub struct Piece<'b> {
    reader: Reader<'b>,
    object: ObjectType,
    head: Option<u64>,
    count: usize,
}

impl LongValue {
    /// The key, expiry and type before the value.
    pub fn header(&self) -> &KeyHeader<'static> {
        &self.header
    }

    /// Whether all elements have been read.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Reads what stands before the first element, if a long value of such a type starts here.
    fn begin(reader: &mut Reader<'_>, version: u16) -> Result<Option<Self>, Corrupt> {
        let header = KeyHeader::read(reader, version)?;
        // Only a sequence can be cut; what may stand before it are 8 bytes of time, or between its
        // count and its elements a cursor.
        let (parts, head, left) = match parts_of(header.object) {
            [Part::Each(parts)] => (*parts, None, reader.length()?),
            [Part::Bytes(8), Part::Each(parts)] => {
                (*parts, Some(reader.u64_le()?), reader.length()?)
            }
            [Part::Indexed(parts)] => {
                let (left, cursor) = read_head(reader)?;
                (*parts, cursor, left)
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            header: header.into_owned(),
            parts,
            head,
            left,
        }))
    }

    /// Counts the whole elements at the start of the bytes, and passes them.
    fn pass(&mut self, reader: &mut Reader<'_>) -> Result<usize, Corrupt> {
        let mut count = 0;
        // An element that does not end in the bytes begins the next piece.
        while self.left > 0 {
            let start = *reader;
            if !Extent::of(self.parts).pass(reader)? {
                *reader = start;
                break;
            }
            self.left -= 1;
            count += 1;
        }
        Ok(count)
    }
}

impl<'b> Piece<'b> {
    /// The elements, as a value that has no others.
    pub fn value(&mut self) -> Value<'_, 'b> {
        Value::elements(&mut self.reader, self.object, self.head, self.count)
    }

    /// Bytes of the elements that have not been read.
    pub fn unread(&self) -> usize {
        self.reader.remaining()
    }
}

impl Splitter {
    /// Begins to read the record that starts with `bytes` and does not end there piece by piece, if
    /// it is a key with elements. Says how many bytes were passed; the elements follow.
    pub fn begin_long(&mut self, bytes: &[u8]) -> Option<(LongValue, usize)> {
        let mut reader = Reader::new(bytes);
        // Nothing can be wrong here: the same bytes were read as the start of a record before.
        let long = LongValue::begin(&mut reader, self.version()?).ok()??;
        let passed = bytes.len() - reader.remaining();
        self.pass(&bytes[..passed]);
        Some((long, passed))
    }

    /// The whole elements at the start of `bytes`, and how many bytes these are. None if the first
    /// does not end there.
    ///
    /// # Errors
    /// When an element is in no known form.
    pub fn piece<'b>(
        &mut self,
        long: &mut LongValue,
        bytes: &'b [u8],
    ) -> Result<(Piece<'b>, usize), FileError> {
        let mut reader = Reader::new(bytes);
        let count = long.pass(&mut reader);
        let passed = bytes.len() - reader.remaining();
        let count = count.map_err(|corrupt| FileError {
            offset: self.offset() + passed as u64,
            fault: FileFault::Corrupt(corrupt),
        })?;
        self.pass(&bytes[..passed]);
        let piece = Piece {
            reader: Reader::new(&bytes[..passed]),
            object: long.header.object,
            head: long.head,
            count,
        };
        Ok((piece, passed))
    }
}
