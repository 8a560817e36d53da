//! Saving and logging, as commands need them: tasks that run on a thread of their own, and figures
//! for INFO.
//!
//! A command never waits for a disk on the thread that runs it. It begins a [`Task`] and either
//! replies at once, or its connection is put aside and the command offered again until the task has
//! ended ([`Waiting`]).

mod settings;

use crate::error::Error;
use crate::host::Shutdown;

pub use settings::{FileNames, FileSettings, FsyncPolicy, SaveRule};

/// Work with files that a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Writes a snapshot; the client waits for it.
    Save,
    /// Writes a snapshot. With `schedule`, after the rewrite that may be in progress.
    BackgroundSave {
        /// Wait for a rewrite instead of refusing.
        schedule: bool,
    },
    /// Writes a snapshot of a store that FLUSHALL has emptied; nobody waits for it.
    SaveEmpty,
    /// Rewrites the log, after the snapshot that may be in progress.
    Rewrite,
    /// Keeps a log from now on, or none: `appendonly` has changed.
    SetLog(bool),
    /// DEBUG RELOAD: saves, empties the store and loads the snapshot.
    Reload(Reload),
    /// DEBUG LOADAOF: empties the store and loads the log.
    LoadLog,
    /// Makes a consistent copy of all data files in a directory under `backup-dir`.
    Backup(Vec<u8>),
    /// Saves as asked or configured and forces the log to disk; then the program may end.
    Shutdown(Shutdown),
}

/// The options of DEBUG RELOAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Write the snapshot first.
    pub save: bool,
    /// Empty the store before loading.
    pub flush: bool,
    /// Loaded keys replace those that exist.
    pub merge: bool,
}

/// The outcome of a request for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It runs, under this number.
    Now(u64),
    /// It will run when what is in progress has ended.
    Scheduled,
}

/// The state that a cancelled snapshot was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// In progress.
    Running,
    /// Scheduled.
    Scheduled,
}

/// Where the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPositions {
    /// All effects up to here have been taken.
    pub appended: u64,
    /// All effects up to here are on the disk.
    pub synced: u64,
}

/// The event that a session waits for before its next command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The end of a task.
    Task(u64),
    /// The command can answer now, with this result.
    Answer(Result<(), Error>),
}

/// Who saves and logs for a store.
pub trait Persistence: Send + Sync {
    /// The present state and the figures of INFO.
    fn status(&self) -> Status;

    /// How far the load in progress has come.
    fn loading(&self) -> Loading;

    /// Begins a task.
    ///
    /// # Errors
    /// The reply to give when it cannot run now.
    fn begin(&self, task: Task) -> Result<Begun, Error>;

    /// How a task has ended; nothing while it runs.
    fn ended(&self, task: u64) -> Option<Result<(), Error>>;

    /// Gives up the snapshot in progress, or else the one that is scheduled.
    fn cancel_save(&self) -> Option<Cancelled>;

    /// Gives up a shutdown that has not finished; says whether there was one.
    fn abort_shutdown(&self) -> bool;

    /// Where the log is; nothing if no log is kept.
    fn log_positions(&self) -> Option<LogPositions>;

    /// FLUSHALL has emptied the store, which is to be saved so if `saves`. Called inside the locks,
    /// so it must be quick.
    fn emptied(&self, saves: bool);
}

/// Neither files nor a log: a store in memory.
#[derive(Clone, Copy, Debug)]
pub struct NoPersistence;

const NO_FILES: Error = Error::text("not available in a store without files");

impl Persistence for NoPersistence {
    fn status(&self) -> Status {
        Status::default()
    }

    fn loading(&self) -> Loading {
        Loading::default()
    }

    fn begin(&self, task: Task) -> Result<Begun, Error> {
        match task {
            // There is nothing to save.
            Task::Shutdown(_) => Ok(Begun::Now(0)),
            _ => Err(NO_FILES),
        }
    }

    fn ended(&self, _task: u64) -> Option<Result<(), Error>> {
        Some(Ok(()))
    }

    fn cancel_save(&self) -> Option<Cancelled> {
        None
    }

    fn abort_shutdown(&self) -> bool {
        false
    }

    fn log_positions(&self) -> Option<LogPositions> {
        None
    }

    fn emptied(&self, _saves: bool) {}
}

/// The state of saving and logging that INFO shows. Times are seconds since the epoch, durations
/// seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The load in progress, if there is one.
    pub loading: Option<Loading>,
    /// The findings of the last load.
    pub loaded: Loaded,
    /// Changes to the data set that the last snapshot holds, of all since the start.
    pub changes_saved: u64,
    /// When the last snapshot was written, or the store opened.
    pub last_save_s: u64,
    /// Snapshots.
    pub save: Activity,
    /// A snapshot is scheduled.
    pub save_scheduled: bool,
    /// Rewrites of the log.
    pub rewrite: Activity,
    /// A rewrite is scheduled.
    pub rewrite_scheduled: bool,
    /// Rewrites that failed since the last one that did not.
    pub rewrite_failures: u64,
    /// The progress of the current walk over the keys.
    pub walk: Walk,
    /// The log, if one is kept.
    pub log: Option<LogStatus>,
    /// A log is to be kept as soon as the task for it runs.
    pub log_begins: bool,
}

/// How often something ran, how it went and since when it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Times it has ended well.
    pub count: u64,
    /// Since when it runs, if it does: how many seconds.
    pub running_s: Option<u64>,
    /// How long the last one took.
    pub last_s: Option<u64>,
    /// Whether the last one failed.
    pub failed: bool,
}

/// The snapshot or rewrite in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Keys written.
    pub keys: u64,
    /// Keys there were at its start.
    pub keys_total: u64,
    /// Bytes of images that wait to be written.
    pub buffer_bytes: u64,
    /// The most there were, in this walk or the last.
    pub buffer_peak_bytes: u64,
    /// Commands put off because that was too much.
    pub deferred: u64,
}

/// A load in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loading {
    /// When it began.
    pub started_s: u64,
    /// Bytes of the files.
    pub total_bytes: u64,
    /// Bytes read.
    pub loaded_bytes: u64,
    /// Seconds until the end, from the rate so far.
    pub eta_s: u64,
}

/// The findings of the last load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Keys loaded from the snapshot.
    pub keys: u64,
    /// Keys left out because their time had come.
    pub expired: u64,
    /// Bytes at the end of the log that were no whole unit and were set aside.
    pub dropped_bytes: u64,
}

/// The log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStatus {
    /// Where it is.
    pub positions: LogPositions,
    /// Bytes of the files that a start would read.
    pub bytes: u64,
    /// The same after the last rewrite, or at the start.
    pub base_bytes: u64,
    /// Bytes taken and not yet written.
    pub buffer_bytes: u64,
    /// Calls that force it to disk and run.
    pub pending_fsyncs: u64,
    /// Times writers were set aside because the disk was too slow.
    pub delayed_fsyncs: u64,
    /// Whether it cannot be written.
    pub failed: bool,
    /// Times forcing it to disk has failed, so that it had to begin anew.
    pub lost_fsyncs: u64,
}
