//! Durability: the log of effects, its files, and the disk they lie on.
//!
//! Effects of one command or transaction are collected in a [`Unit`], already encoded as the commands of an append-only
//! file, and appended to the log while the stripes they come from are locked. The place behind a unit is its [`Lsn`].

#![forbid(unsafe_code)]

mod clock;
mod disk;
mod lsn;
mod manifest;
mod options;
mod queue;
mod reader;
mod unit;

pub use clock::Clock;
pub use disk::{Disk, DiskLock, DiskReader, DiskWriter, FileEntry, SystemDisk};
pub use lsn::{InvalidLogId, LogId, LogPosition, Lsn};
pub use manifest::{Manifest, ManifestError, ManifestFile};
pub use options::{BaseFormat, LogOptions, SyncPolicy};
pub use reader::{ReadError, ReadUnit, UnitReader};
pub use unit::{Effect, Mark, Unit, Words};
