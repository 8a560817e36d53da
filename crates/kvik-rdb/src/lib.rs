//! Values and files in Redis' RDB format: read and write, no I/O.
//!
//! The format is that of DUMP and RESTORE and of snapshot files. [`Payload`] is the envelope of
//! DUMP, [`ObjectType`] the byte that says what follows, [`Value`] what it means. Every type of the
//! versions 1 to 15 and of Valkey's 80 is read, and the bitmaps of 16; [`Encoder`] writes the
//! oldest type that holds the data, so that Redis 7.0 takes whatever it could have written.
//!
//! Whole files are divided into their keys by a [`Splitter`], which builds no value, and written by
//! a [`FileWriter`], which finds out at its end how old the file may be.
//!
//! Reading pulls: a [`Value`] borrows from the payload and hands out one element after the other,
//! so a large payload is in memory once. What Redis itself keeps packed (listpacks, intsets) is
//! handed out as it lies, and whoever stores it validates it. What was left behind by older
//! versions (ziplists, zipmaps) is validated and taken apart here.
//!
//! A payload comes from anybody. Whatever its bytes are, the answer is a value or [`Corrupt`]: no
//! panic, no recursion, and no memory for a count or a length beyond what the bytes that are there
//! can hold. Members that appear twice are not noticed here; the collection that is filled with
//! them has to.

#![forbid(unsafe_code)]

mod array;
mod bitmap;
mod corrupt;
mod crc64;
mod encode;
mod file;
mod libraries;
mod lzf;
mod object;
mod payload;
mod reader;
mod shape;
mod stream;
mod text;
mod value;
mod ziplist;
mod zipmap;

pub use array::{ArrayElement, ArrayParts};
pub use bitmap::Bitmap;
pub use corrupt::Corrupt;
pub use crc64::Crc64;
pub use encode::{Compression, Encoder, ListNode};
pub use file::{
    FILE_FORMAT, FileError, FileFault, FileInfo, FileTail, FileWriter, KeyHeader, KeyRecord,
    KeyUsage, LongValue, Piece, Record, Records, Splitter, blessed_key,
};
pub use libraries::{LibrariesFault, open_libraries, seal_libraries};
pub use lzf::{compress, decompress};
pub use object::ObjectType;
pub use payload::{Payload, VERSION, WrongEnvelope, reseal, seal};
pub use reader::Reader;
pub use shape::{FieldNames, ShapedFields, Shapes};
pub use stream::{EntriesRead, Pending, StreamId, StreamPart, StreamParts, StreamSummary};
pub use text::{IntText, Text};
pub use value::{
    Field, Fields, Hash, HashNames, ListPart, ListParts, Member, Members, Scored, ScoredMember,
    Set, SortedSet, Value,
};
pub use ziplist::Ziplist;
pub use zipmap::Zipmap;

#[cfg(test)]
mod tests;
