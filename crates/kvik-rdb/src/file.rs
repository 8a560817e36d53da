//! RDB files: a header, records, and a checksum.
//!
//! ```text
//! REDIS0010  AUX key value ..  FUNCTION2 code ..
//! SELECTDB n  RESIZEDB keys expiring  { EXPIRETIME_MS t  IDLE n | FREQ n  type key value } ..
//! EOF  CRC-64
//! ```
//!
//! [`Splitter`] reads and [`FileWriter`] writes; neither does I/O. A reader is handed bytes as they
//! come and finds where each record ends without building its value, so that one thread can divide
//! a file among many. Versions 1 to 79 are Redis', those from 80 on Valkey's. What can be read is
//! decided by the types and opcodes that occur, not by the version in the header.
//!
//! Sets and sorted sets whose members expire have no type in Redis. They are written as the types
//! 200 and 201, and only where such members exist; Redis and Valkey then refuse the whole file and
//! name the type, which is better than data that silently stays for ever. Everything else in the
//! file is Redis' own.

mod extent;
mod fault;
mod header;
mod long;
pub(crate) mod opcode;
mod record;
mod splitter;
mod writer;

pub use fault::{FileError, FileFault};
pub use long::{LongValue, Piece};
pub use record::{KeyHeader, KeyRecord, KeyUsage, Record};
pub use splitter::{Records, Splitter};
pub use writer::{FILE_FORMAT, FileInfo, FileTail, FileWriter, blessed_key};

#[cfg(test)]
mod tests;
