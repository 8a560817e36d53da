//! From the files in a directory to a store that is served, and back to one in a running server.
//!
//! A log that exists is loaded, else the snapshot, also where a log is wanted: Redis would start
//! empty then. Nothing that cannot be read is ever written over: an error ends the start and names
//! file, offset and reason.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::load::LoadPolicy;
use kvik_command::persistence::FsyncPolicy;
use kvik_log::{
    BaseFormat, DirectoryLock, DiskReader, Log, LogFile, LogOptions, Lsn, ReadUnit, Recovery,
    SyncPolicy, exists, lock_directory,
};

use kvik_store::{Guard, KeyspaceId, NoEffects};

use super::Persist;
use super::lanes::Lanes;
use super::port::{LogClock, listen};
use crate::load::{LoadError, LoadOptions, load};
use crate::shared::Shared;
use crate::stripes::Patience;

/// Why a store cannot be opened. Its files are as they were.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The log cannot be opened, or another process has the directory open.
    Log(kvik_log::OpenError),
    /// The snapshot cannot be loaded.
    Snapshot {
        /// The file.
        path: PathBuf,
        /// The fault, and where it is.
        error: LoadError,
    },
    /// The operating system refuses something.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Its words.
        error: io::Error,
    },
    /// The store has files already.
    AlreadyOpen,
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Log(error) => error.fmt(f),
            Self::Snapshot { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::AlreadyOpen => f.write_str("the store has files already"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<kvik_log::OpenError> for OpenError {
    fn from(error: kvik_log::OpenError) -> Self {
        Self::Log(error)
    }
}

/// The result of a start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Where the data came from, for people.
    pub source: String,
    /// Keys there are.
    pub keys: u64,
    /// The bytes cut off from the end of the log, and why, for people; nothing if it was whole.
    pub dropped: Option<String>,
    /// Files that exist and are not loaded, for people.
    pub ignored: Option<String>,
}

impl Persist {
    /// Loads what the directory holds and opens the log, if one is wanted.
    pub(super) fn recover(&self, shared: &Arc<Shared>) -> Result<Recovered, OpenError> {
        let settings = &shared.engine.settings.files;
        let names = settings.names.read().clone();
        let is_logged = settings.log.load(Relaxed);
        // A store that only loads leaves the directory as it is.
        if is_logged || !settings.save_rules.read().is_empty() {
            self.lock_directory(shared)?;
            self.remove_temporary(&names.dir);
        }
        let snapshot = names.dir.join(&names.snapshot);
        let has_snapshot = settings.loads.load(Relaxed) && self.exists(&snapshot)?;
        let options = self.log_options(shared);
        let mut found = Recovered::default();
        if is_logged {
            let lock = self.lock_directory(shared)?;
            let mut recovery = Recovery::open(options, Arc::clone(&self.disk), lock)?;
            let log = if recovery.exists() {
                self.replay(shared, &mut recovery)?;
                found.source = format!("the log in {}", names.log_dir);
                found.dropped = recovery.dropped().map(|dropped| describe(&dropped));
                let bytes = recovery.dropped().map_or(0, |dropped| dropped.bytes);
                self.figures.lock().loaded.dropped_bytes = bytes;
                recovery.into_log(self.log_clock(shared))?
            } else if has_snapshot {
                // Its keys are the base of a log, so none may be left out because its time has
                // come.
                self.load_snapshot(shared, &snapshot, LoadPolicy::default())?;
                found.source = format!("the snapshot {}", names.snapshot);
                let log = recovery.into_log_without_base(self.log_clock(shared))?;
                self.adopt(&log, &snapshot)?;
                log
            } else {
                recovery.into_log(self.log_clock(shared))?
            };
            self.open_log(shared, Arc::new(log), &names.dir)?;
        } else {
            if has_snapshot {
                let policy = LoadPolicy {
                    drops_overdue: true,
                    ..LoadPolicy::default()
                };
                self.load_snapshot(shared, &snapshot, policy)?;
                found.source = format!("the snapshot {}", names.snapshot);
            }
            if self.exists(&options.manifest_path())? {
                let dir = options.append_dir().display().to_string();
                found.ignored = Some(format!(
                    "{dir} holds a log, which appendonly no leaves alone"
                ));
            }
        }
        found.keys = count_keys(shared);
        Ok(found)
    }

    /// Keeps other processes out of the directory, from the first call to the end of the store.
    pub(super) fn lock_directory(&self, shared: &Shared) -> Result<DirectoryLock, OpenError> {
        let dir = shared.engine.settings.files.names.read().dir.clone();
        let mut lock = self.lock.lock();
        match &mut *lock {
            // The directory of snapshots may be set anew; the log's is locked as long as it is
            // kept.
            Some((locked, lock)) if *locked == dir || self.port.get().is_some() => Ok(lock.clone()),
            _ => {
                let taken = lock_directory(&*self.disk, &dir)?;
                *lock = Some((dir, taken.clone()));
                Ok(taken)
            }
        }
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenError> {
        exists(&*self.disk, path).map_err(|error| OpenError::Io {
            path: path.to_owned(),
            error,
        })
    }

    /// Removes what snapshots have left that were not finished.
    fn remove_temporary(&self, dir: &Path) {
        let files = self.disk.list(dir).unwrap_or_default();
        for file in files {
            if file.name.starts_with("temp-") && file.name.ends_with(".rdb") {
                // It is in nobody's way.
                let _ = self.disk.remove(&dir.join(&file.name));
            }
        }
    }

    pub(super) fn log_clock(&self, shared: &Shared) -> Arc<LogClock> {
        Arc::new(LogClock::new(shared.clock.clone()))
    }

    /// How the log is kept, by the settings of this moment.
    pub(super) fn log_options(&self, shared: &Shared) -> LogOptions {
        let settings = &shared.engine.settings.files;
        let names = settings.names.read();
        LogOptions {
            append_dir_name: names.log_dir.clone(),
            append_file_name: names.log_stem.clone(),
            policy: sync_policy(settings.fsync()),
            timestamps: settings.wants_timestamps(),
            load_truncated: settings.load_truncated.load(Relaxed),
            retention_bytes: settings.retention_bytes.load(Relaxed),
            retention_age_ms: settings.retention_age_ms(),
            ..LogOptions::new(names.dir.clone(), shared.random_id())
        }
    }

    /// Makes the snapshot that was loaded the base of the log, without a copy: both names then
    /// stand for the same bytes, which nobody ever changes.
    fn adopt(&self, log: &Log, snapshot: &Path) -> Result<(), OpenError> {
        let base = log.temporary_base();
        let failed = |error| OpenError::Io {
            path: base.clone(),
            error,
        };
        // One that an earlier start has left.
        let _ = self.disk.remove(&base);
        if self.disk.link(snapshot, &base).is_err() {
            copy(&*self.disk, snapshot, &base).map_err(failed)?;
        }
        log.finish_rewrite(&base, BaseFormat::Rdb, log.appended())
            .map_err(failed)
    }

    /// Lets effects go to the log from now on.
    pub(super) fn open_log(
        &self,
        shared: &Arc<Shared>,
        log: Arc<Log>,
        dir: &Path,
    ) -> Result<(), OpenError> {
        listen(&log, shared);
        start_writer(shared, &log, dir)?;
        shared.engine.set_replication_id(log.id().to_string());
        self.port.open(log);
        shared.know_log(Arc::clone(&self.port) as Arc<dyn crate::effects::EffectLog>);
        let held = shared.stripes.lock_all(Patience::Wait);
        shared.set_logged(&held.expect("a patient lock succeeds"), true);
        self.is_logged.store(true, Relaxed);
        Ok(())
    }

    /// Loads a snapshot into the store, which nobody else uses.
    pub(super) fn load_snapshot(
        &self,
        shared: &Shared,
        path: &Path,
        policy: LoadPolicy,
    ) -> Result<(), OpenError> {
        let failed = |error| OpenError::Snapshot {
            path: path.to_owned(),
            error,
        };
        let total = self.disk.len(path);
        let total = total.map_err(|error| failed(LoadError::Read(error)))?;
        self.progress.begin(total);
        let mut file = self
            .disk
            .read(path)
            .map_err(|error| failed(LoadError::Read(error)))?;
        let options = load_options(shared, policy, total);
        let loaded = load(
            shared,
            &mut DiskSource(&mut *file),
            &options,
            &self.progress.load,
        );
        self.note_loaded();
        loaded.map_err(failed)?;
        let progress = &self.progress.load;
        let (keys, overdue) = (progress.keys.load(Relaxed), progress.overdue.load(Relaxed));
        let empty = progress.empty.load(Relaxed);
        shared.engine.host.log(&format!(
            "Done loading RDB, keys loaded: {keys}, keys expired: {overdue}, empty keys skipped: {empty}."
        ));
        Ok(())
    }

    /// Repeats a log in the store, which nobody else uses.
    pub(super) fn replay(
        &self,
        shared: &Arc<Shared>,
        recovery: &mut Recovery,
    ) -> Result<(), OpenError> {
        self.progress.begin(recovery.total_bytes());
        let threads = match shared.has_threads() {
            true => std::thread::available_parallelism().map_or(1, usize::from),
            false => 0,
        };
        let replayed = std::thread::scope(|scope| {
            let mut repeating = Repeating {
                persist: self,
                shared,
                lanes: Lanes::start(scope, shared, threads),
            };
            recovery.replay(&mut repeating)?;
            let finished = repeating.lanes.finish();
            finished.map_err(|failure| {
                let last = recovery.files().last();
                kvik_log::OpenError::Replay {
                    path: last.map_or_else(PathBuf::new, |file| file.path.clone()),
                    reason: failure.to_string(),
                }
            })
        });
        self.note_loaded();
        Ok(replayed?)
    }

    fn note_loaded(&self) {
        let mut figures = self.figures.lock();
        figures.loaded.keys = self.progress.load.keys.load(Relaxed);
        figures.loaded.expired = self.progress.load.overdue.load(Relaxed);
    }
}

/// Starts the thread that writes the log, where there may be one.
pub(super) fn start_writer(shared: &Shared, log: &Log, dir: &Path) -> Result<(), OpenError> {
    let started = match shared.has_threads() {
        true => log.spawn(),
        false => Ok(()),
    };
    started.map_err(|error| OpenError::Io {
        path: dir.to_owned(),
        error,
    })
}

/// Keys of all databases.
fn count_keys(shared: &Shared) -> u64 {
    let held = shared.stripes.lock_all(Patience::Wait);
    let mut held = held.expect("a patient lock succeeds");
    let (mut effects, layout) = (NoEffects, &shared.stripes.layout);
    let mut guard = Guard::new(&mut held, layout, &mut effects, 0);
    let databases = shared.engine.settings.databases.load(Relaxed) as u32;
    let counts = (0..databases).map(|database| {
        guard.select(KeyspaceId(database));
        guard.len() as u64
    });
    counts.sum()
}

/// Takes what the log holds.
struct Repeating<'a> {
    persist: &'a Persist,
    shared: &'a Arc<Shared>,
    lanes: Lanes,
}

impl kvik_log::Replay for Repeating<'_> {
    fn snapshot(&mut self, source: &mut dyn DiskReader, file: &LogFile) -> Result<u64, String> {
        let options = load_options(self.shared, LoadPolicy::default(), file.len);
        let progress = &self.persist.progress.load;
        let loaded = load(self.shared, &mut DiskSource(source), &options, progress);
        loaded
            .map(|report| report.bytes)
            .map_err(|error| error.to_string())
    }

    fn unit(&mut self, unit: ReadUnit<'_>) -> Result<(), String> {
        let databases = self.shared.engine.settings.databases.load(Relaxed);
        let offset = unit.start;
        for (database, effect) in unit.effects() {
            if u64::from(database) >= databases {
                return Err(format!(
                    "it has keys in database {database}: the setting `databases` is too small, at offset {offset}"
                ));
            }
            let taken = self.lanes.take(database, effect, offset);
            taken.map_err(|failure| failure.to_string())?;
        }
        Ok(())
    }

    fn progress(&mut self, bytes: u64, _total: u64) {
        self.persist.progress.load.bytes.store(bytes, Relaxed);
    }
}

/// A file as the loader of snapshots reads it.
struct DiskSource<'a>(&'a mut dyn DiskReader);

impl Read for DiskSource<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

fn load_options(shared: &Shared, policy: LoadPolicy, len: u64) -> LoadOptions {
    let settings = &shared.engine.settings;
    let believes_it = settings.believes_checksums.load(Relaxed);
    LoadOptions {
        policy,
        len,
        checks_sum: settings.files.checksum.load(Relaxed) && !believes_it,
        ..LoadOptions::default()
    }
}

pub(super) fn sync_policy(policy: FsyncPolicy) -> SyncPolicy {
    match policy {
        FsyncPolicy::Always => SyncPolicy::Always,
        FsyncPolicy::EverySecond => SyncPolicy::EverySecond,
        FsyncPolicy::No => SyncPolicy::No,
    }
}

fn describe(dropped: &kvik_log::Dropped) -> String {
    let kept_in = dropped.kept_in.display();
    format!(
        "{} bytes at offset {} of {} are no whole unit and were cut off ({}); they are kept in {kept_in}",
        dropped.bytes, dropped.offset, dropped.file, dropped.reason
    )
}

/// Copies a file and makes the copy durable.
pub(super) fn copy(disk: &dyn kvik_log::Disk, from: &Path, to: &Path) -> io::Result<()> {
    let mut source = disk.read(from)?;
    let mut file = disk.create(to)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match source.read(&mut buffer)? {
            0 => return file.sync(),
            count => kvik_log::write_all(&mut *file, &buffer[..count])?,
        }
    }
}

/// The directory that is locked. The lock outlives the log, so that nobody else opens it meanwhile.
pub(super) type Lock = Option<(PathBuf, DirectoryLock)>;

/// The place behind everything in the log, where there is one.
pub(super) fn end_of(log: Option<&Arc<Log>>) -> Lsn {
    log.map_or(Lsn::ZERO, |log| log.appended())
}
