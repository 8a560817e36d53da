//! How the log is doing.

use std::path::PathBuf;

use crate::{Lsn, SyncPolicy};

/// Whether a command that writes may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Open,
    /// Too many bytes wait to be written. The callback for progress says when to ask again.
    Full,
    /// The disk has not finished an fsync for more than two seconds under
    /// [`SyncPolicy::EverySecond`].
    Delayed,
    /// The log has failed: an error for the client.
    Failed,
}

/// The fate of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything before it is on disk.
    Synced,
    /// It is not known yet.
    Pending,
    /// An fsync failed: whether it is on disk cannot be told.
    Lost,
}

/// Why a place is not known to be on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// An fsync failed: whether it is on disk cannot be told.
    Lost(String),
    /// It cannot be written now, for this reason; the log goes on trying.
    Stalled(String),
    /// The log was closed before.
    Closed,
}

impl std::fmt::Display for CommitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(reason) => write!(f, "whether the change is on disk is unknown: {reason}"),
            Self::Stalled(reason) => write!(f, "the change is not on disk yet: {reason}"),
            Self::Closed => f.write_str("the log is closed"),
        }
    }
}

impl std::error::Error for CommitError {}

/// The call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A write, or the creation of a file. Nothing is lost, and the log tries again by itself.
    Write,
    /// An fsync. What was not durable before is lost to the log, which needs a rewrite: a new base
    /// from memory.
    Sync,
}

/// Why the log does not take writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The call that failed.
    pub kind: FailureKind,
    /// The operating system's words, and what the log was doing.
    pub reason: String,
}

/// The bytes that were left out of the end of a log when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Name of the file that was cut.
    pub file: String,
    /// Where it was cut.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
    /// Why.
    pub reason: String,
    /// The file that keeps the bytes.
    pub kept_in: PathBuf,
}

/// Figures for INFO and for metrics.
#[derive(Clone, Debug)]
pub struct LogStatus {
    /// The place behind what was appended.
    pub appended: Lsn,
    /// The place behind what was written.
    pub written: Lsn,
    /// The place behind what is durable.
    pub synced: Lsn,
    /// When fsyncs come.
    pub policy: SyncPolicy,
    /// Why no write is admitted; none if all is well.
    pub failure: Option<Failure>,
    /// Bytes of the base and the increments: `aof_current_size`.
    pub current_size: u64,
    /// Their bytes after the start or the last rewrite: `aof_base_size`.
    pub base_size: u64,
    /// Whether a rotation was asked for that the writer has not made yet: `aof_pending_rewrite`.
    pub pending_rotation: bool,
    /// Bytes that are appended and not written: `aof_buffer_length`.
    pub buffer_length: u64,
    /// Whether an fsync is going on: `aof_pending_bio_fsync`.
    pub sync_in_progress: bool,
    /// How often writers were set aside because of an fsync: `aof_delayed_fsync`.
    pub delayed_syncs: u64,
    /// Whether the last write succeeded: `aof_last_write_status`.
    pub last_write_ok: bool,
    /// Whether the last rewrite succeeded: `aof_last_bgrewrite_status`.
    pub last_rewrite_ok: bool,
    /// How often an fsync failed, and places were lost.
    pub failed_syncs: u64,
    /// The bytes that were dropped at the start.
    pub dropped: Option<Dropped>,
    /// Files in the log's directory that look like its own and that nothing names. They are left
    /// alone: if the manifest was lost, they are what is left.
    pub strays: Vec<String>,
}
