//! Durability: the log of effects, its files, and the disk they lie on.
//!
//! Effects of one command or transaction are collected in a [`Unit`], already encoded as the commands of an append-only
//! file, and appended to the log while the stripes they come from are locked. The place behind a unit is its [`Lsn`].

#![forbid(unsafe_code)]

mod clock;
mod disk;
mod files;
mod log;
mod lsn;
mod manifest;
mod options;
mod queue;
mod reader;
mod recovery;
mod retention;
mod shared;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod status;
mod sync;
mod unit;
mod writer;

pub use clock::Clock;
pub use disk::{Disk, DiskLock, DiskReader, DiskWriter, FileEntry, SystemDisk, exists, write_all};
pub use log::Log;
pub use lsn::{InvalidLogId, LogId, LogPosition, Lsn};
pub use manifest::{MANIFEST_FORMAT, Manifest, ManifestError, ManifestFile};
pub use options::{BaseFormat, LogOptions, SyncPolicy};
pub use reader::{ReadError, ReadUnit, UnitReader};
pub use recovery::{DirectoryLock, LogFile, OpenError, Recovery, Replay, lock_directory};
pub use status::{Admission, CommitError, Dropped, Failure, FailureKind, LogStatus, Outcome};
pub use unit::{Effect, Mark, Unit, Words};
