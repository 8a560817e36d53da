//! Divides the bytes of a file into its records.
//!
//! The caller owns the buffer. It hands over what it has, gets the whole records in it, and comes
//! again with the rest and more behind it. A value that is longer than the buffer is not passed
//! twice: how far its end was looked for is kept. Memory is what the caller reads into, so a header
//! can promise what it likes.

use std::ops::Range;
use std::sync::Arc;

use super::fault::{FileError, FileFault};
use super::header::{HEADER_LEN, version_of};
use super::opcode;
use super::record::{Progress, Record};
use crate::{Corrupt, Crc64, Reader, Shapes};

/// The first version with a checksum.
const CHECKSUM_VERSION: u16 = 5;

/// Bytes after which the checksum is continued: they are still in the nearest cache then.
const SUM_STEP: usize = 16 << 10;

/// Reads a file from its start to its end.
#[derive(Debug)]
pub struct Splitter {
    version: Option<u16>,
    is_done: bool,
    /// Bytes of the file that have been passed.
    offset: u64,
    /// The checksum of what has been passed; none where it is not wanted.
    crc: Option<Crc64>,
    progress: Progress,
    shapes: Arc<Shapes>,
}

/// The records in some bytes of a file.
///
/// An iterator, which ends where a record is not whole; after [`Record::End`] or an error it has
/// nothing more.
#[derive(Debug)]
pub struct Records<'s, 'b> {
    splitter: &'s mut Splitter,
    bytes: &'b [u8],
    /// Where the last record lies.
    span: Range<usize>,
    summed: usize,
}

impl Splitter {
    /// At the start of a file. Its checksum is verified if `checks_sum`, which takes as long as
    /// half of the rest.
    pub fn new(checks_sum: bool) -> Self {
        Self {
            version: None,
            is_done: false,
            offset: 0,
            crc: checks_sum.then(Crc64::default),
            progress: None,
            shapes: Arc::default(),
        }
    }

    /// The version in the header, once that has been read.
    pub fn version(&self) -> Option<u16> {
        self.version
    }

    /// The names of fields that hashes share, as far as the file has told.
    pub fn shapes(&self) -> &Arc<Shapes> {
        &self.shapes
    }

    /// Whether the file has been read to its end.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Bytes of the file that have been passed.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The records in `bytes`, which start where those of the last call have ended: at
    /// [`Records::consumed`] of its bytes.
    pub fn split<'s, 'b>(&'s mut self, bytes: &'b [u8]) -> Records<'s, 'b> {
        Records {
            splitter: self,
            bytes,
            span: 0..0,
            summed: 0,
        }
    }

    /// The error that it is when no more bytes come, unless the file [has ended](Self::is_done).
    /// `rest` is how many bytes are left over.
    pub fn cut_off(&self, rest: usize) -> FileError {
        FileError {
            offset: self.offset + rest as u64,
            fault: FileFault::CutOff,
        }
    }

    /// Goes on behind these bytes, which were read in another way than as whole records.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.progress = None;
        self.offset += bytes.len() as u64;
        if let Some(crc) = &mut self.crc {
            crc.update(bytes);
        }
    }

    /// Reads the header, or says that it is not there yet.
    fn header(&mut self, bytes: &[u8]) -> Result<Option<usize>, FileFault> {
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        self.version = Some(version_of(header)?);
        Ok(Some(HEADER_LEN))
    }

    /// Compares the checksum behind the records and says whether there was one to compare.
    fn checked(&self, stored: u64) -> Result<bool, FileFault> {
        match self.crc.map(Crc64::value) {
            // Whoever saves without a checksum writes zero.
            Some(computed) if stored != 0 && computed != stored => {
                Err(FileFault::WrongChecksum { stored, computed })
            }
            crc => Ok(crc.is_some() && stored != 0),
        }
    }
}

impl<'b> Records<'_, 'b> {
    /// How many of the bytes have been passed.
    pub fn consumed(&self) -> usize {
        self.span.end
    }

    /// Where the last record lies in the bytes.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    fn next_record(&mut self) -> Result<Option<Record<'b>>, FileError> {
        if self.splitter.is_done {
            return Ok(None);
        }
        // The header is no record: it is passed, and the first record follows.
        let Some(version) = self.splitter.version else {
            let read = self.splitter.header(&self.bytes[self.span.end..]);
            return match read.map_err(|fault| self.error(self.span.end, fault))? {
                Some(len) => {
                    self.pass(len);
                    self.next_record()
                }
                None => Ok(None),
            };
        };
        if self.bytes.get(self.span.end) == Some(&opcode::EOF) {
            return self.end(version);
        }
        // To be cut off is no error here: more bytes may come, and the caller knows whether they
        // do.
        let mut reader = Reader::new(&self.bytes[self.span.end..]);
        let splitter = &mut *self.splitter;
        let (progress, shapes) = (&mut splitter.progress, &mut splitter.shapes);
        match Record::read(&mut reader, version, progress, shapes) {
            Ok(record) => {
                self.pass(self.bytes.len() - self.span.end - reader.remaining());
                Ok(Some(record))
            }
            Err(Corrupt::Truncated) => Ok(None),
            Err(corrupt) => {
                let at = self.bytes.len() - reader.remaining();
                Err(self.error(at, self.fault_of(corrupt)))
            }
        }
    }

    /// Reads the mark of the end and the checksum behind it.
    fn end(&mut self, version: u16) -> Result<Option<Record<'b>>, FileError> {
        let rest = &self.bytes[self.span.end + 1..];
        // The mark stays where it is until the checksum is there as well.
        let stored = match rest.first_chunk() {
            _ if version < CHECKSUM_VERSION => None,
            Some(stored) => Some(u64::from_le_bytes(*stored)),
            None => return Ok(None),
        };
        self.pass(1);
        self.sum();
        let is_checked = match stored {
            Some(stored) => {
                let checked = self.splitter.checked(stored);
                let is_checked = checked.map_err(|fault| self.error(self.span.end, fault))?;
                // The checksum does not sum itself.
                self.pass(size_of::<u64>());
                self.summed = self.span.end;
                is_checked
            }
            None => false,
        };
        self.splitter.is_done = true;
        Ok(Some(Record::End { is_checked }))
    }

    /// Goes on behind a record of this length.
    fn pass(&mut self, len: usize) {
        self.span = self.span.end..self.span.end + len;
        if self.span.end - self.summed >= SUM_STEP {
            self.sum();
        }
    }

    /// Brings the checksum up to where reading is.
    fn sum(&mut self) {
        if let Some(crc) = &mut self.splitter.crc {
            crc.update(&self.bytes[self.summed..self.span.end]);
        }
        self.summed = self.span.end;
    }

    fn error(&self, at: usize, fault: FileFault) -> FileError {
        FileError {
            offset: self.splitter.offset + at as u64,
            fault,
        }
    }

    fn fault_of(&self, corrupt: Corrupt) -> FileFault {
        match corrupt {
            Corrupt::UnknownType(opcode::FUNCTION_PRE_GA) => FileFault::PreReleaseFunction,
            corrupt => corrupt.into(),
        }
    }
}

impl<'b> Iterator for Records<'_, 'b> {
    type Item = Result<Record<'b>, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_record();
        if next.is_err() {
            self.splitter.is_done = true;
        }
        // After an error nothing more is read: what follows would be nonsense.
        next.transpose()
    }
}

impl Drop for Records<'_, '_> {
    fn drop(&mut self) {
        self.sum();
        self.splitter.offset += self.span.end as u64;
    }
}
