//! Durability: the log of effects, its files, and the disk they lie on.
//!
//! Effects of one command or transaction are collected in a [`Unit`], already encoded as the
//! commands of an append-only file, and appended to the log while the stripes they come from are
//! locked. The place behind a unit is its [`Lsn`].
//!
//! ```
//! # use std::sync::Arc;
//! # use kvik_log::{Clock, DiskReader, LogFile, LogOptions, Outcome, ReadUnit, Recovery};
//! # use kvik_log::{Replay, SystemDisk, Unit};
//! # struct Stopped;
//! # impl Clock for Stopped {
//! #     fn unix_ms(&self) -> u64 { 0 }
//! #     fn monotonic_ms(&self) -> u64 { 0 }
//! # }
//! # struct Store(usize);
//! # impl Replay for Store {
//! #     fn snapshot(&mut self, _: &mut dyn DiskReader, file: &LogFile) -> Result<u64, String> {
//! #         Ok(file.len)
//! #     }
//! #     fn unit(&mut self, unit: ReadUnit<'_>) -> Result<(), String> {
//! #         self.0 += unit.effects().len();
//! #         Ok(())
//! #     }
//! # }
//! # let dir = tempfile::tempdir()?;
//! # let mut store = Store(0);
//! let lock = kvik_log::lock_directory(&SystemDisk, dir.path())?;
//! let options = LogOptions::new(dir.path(), [7; 20]);
//! let mut recovery = Recovery::open(options, Arc::new(SystemDisk), lock)?;
//! recovery.replay(&mut store)?;
//! let log = recovery.into_log(Arc::new(Stopped))?;
//! log.spawn()?;
//!
//! let mut unit = Unit::new();
//! unit.begin(0);
//! unit.word(b"SET");
//! unit.word(b"key");
//! unit.word(b"value");
//! unit.end();
//! let at = log.append(&mut unit, 0);
//! log.wait(at)?;
//! assert_eq!(log.outcome(at), Outcome::Synced);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod backlog;
mod clock;
mod disk;
mod files;
mod gathering;
mod log;
mod lsn;
mod manifest;
mod memory;
#[cfg(all(test, feature = "model"))]
mod model;
mod open_error;
mod options;
mod queue;
mod reader;
mod recovery;
mod restore;
mod retention;
mod shared;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod status;
mod sync;
mod unit;
mod writer;

pub use backlog::{Backlog, BacklogError, BacklogReader, Gone, PlacedUnit};
pub use clock::Clock;
pub use disk::{Disk, DiskLock, DiskReader, DiskWriter, FileEntry, SystemDisk, exists, write_all};
pub use log::Log;
pub use lsn::{InvalidLogId, LogId, LogPosition, Lsn};
pub use manifest::{MANIFEST_FORMAT, Manifest, ManifestError, ManifestFile};
pub use memory::MemoryLog;
pub use open_error::OpenError;
pub use options::{BaseFormat, LogOptions, SyncPolicy};
pub use reader::{ReadError, ReadUnit, UnitReader};
pub use recovery::{DirectoryLock, LogFile, Recovery, Replay, lock_directory};
pub use restore::{RestoreError, Restored, restore};
pub use status::{Admission, CommitError, Dropped, Failure, FailureKind, LogStatus, Outcome};
pub use unit::{Effect, Mark, Unit, Words};
