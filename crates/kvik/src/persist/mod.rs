//! Files: loading them at the start, keeping the log, writing snapshots and rewriting the log.
//!
//! | part | room |
//! |---|---|
//! | from files to a store | `recover`, `lanes` |
//! | effects to the log, news of the log to those who wait | `port` |
//! | which task runs and which waits | `schedule`, `rules` |
//! | the tasks: SAVE, BGREWRITEAOF, DEBUG RELOAD, BACKUP, SHUTDOWN and so on | `tasks` |
//! | all keys of one moment in a file | `image` |
//!
//! One thread, the saver, does what the tasks ask for. Commands only begin tasks and look at
//! results; no thread that serves clients ever waits for a disk. All files are reached through
//! [`Disk`].

mod image;
mod lanes;
mod port;
mod recover;
mod rules;
mod schedule;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::JoinHandle;
use std::time::Duration;

use kvik_command::Error;
use kvik_command::persistence::{
    Activity, Begun, Cancelled, Loaded, Loading, LogPositions, LogStatus, Persistence, Status,
    Task, Walk,
};
use kvik_log::Disk;
use parking_lot::{Condvar, Mutex};

pub use recover::{OpenError, Recovered};

use crate::clock::{Clock, Tick};
use crate::image_queue::ImageQueue;
use crate::load::LoadProgress;
use crate::lookout::Lookout;
use crate::shared::{FileWork, Shared};
use port::LogPort;
use recover::Lock;
use rules::{Growth, SaveHistory, wants_rewrite, wants_save};
use schedule::{Job, Schedule};

/// How often the rules are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The files of a store.
pub(crate) struct Persist {
    disk: Arc<dyn Disk>,
    clock: Clock,
    /// The start of the monotonic times below.
    opened: Tick,
    schedule: Mutex<Schedule>,
    /// Rung when a task is there, or the end.
    bell: Condvar,
    port: Arc<LogPort>,
    figures: Mutex<Figures>,
    progress: Progress,
    lock: Mutex<Lock>,
    /// Effects go to the log, or will when the task that was begun for it runs.
    is_logged: AtomicBool,
    image_queue: Arc<ImageQueue>,
}

/// The record of the tasks so far. Times are milliseconds of the monotonic clock.
#[derive(Debug, Default)]
struct Figures {
    save: Record,
    rewrite: Record,
    loaded: Loaded,
    /// Changes that the last snapshot holds, of all since the start.
    changes_saved: u64,
    /// When the last snapshot was written, or the store opened.
    saved_ms: u64,
    /// The same in seconds since the epoch.
    last_save_s: u64,
    /// When the last snapshot was tried.
    tried_ms: u64,
    rewrite_failures: u64,
    rewrite_failed_ms: u64,
    /// The log is not what a restart would load, before the rewrite that was begun is finished.
    needs_base: bool,
}

/// How often something ran and how.
#[derive(Debug, Default)]
struct Record {
    activity: Activity,
    since_ms: Option<u64>,
}

impl Record {
    fn begin(&mut self, now_ms: u64) {
        self.since_ms = Some(now_ms);
    }

    fn end(&mut self, now_ms: u64, failed: bool) {
        let since_ms = self.since_ms.take().unwrap_or(now_ms);
        self.activity.last_s = Some(now_ms.saturating_sub(since_ms) / 1000);
        self.activity.failed = failed;
        self.activity.count += u64::from(!failed);
    }

    fn look(&self, now_ms: u64) -> Activity {
        Activity {
            running_s: self
                .since_ms
                .map(|since_ms| now_ms.saturating_sub(since_ms) / 1000),
            ..self.activity
        }
    }
}

/// The load in progress.
#[derive(Debug, Default)]
struct Progress {
    load: LoadProgress,
    total: AtomicU64,
}

impl Progress {
    fn begin(&self, total: u64) {
        self.total.store(total, Relaxed);
        let load = &self.load;
        for counter in [&load.bytes, &load.keys, &load.overdue, &load.empty] {
            counter.store(0, Relaxed);
        }
    }
}

impl Persist {
    pub(crate) fn new(shared: &Shared, disk: Arc<dyn Disk>) -> Self {
        let figures = Figures {
            last_save_s: shared.now_ms() / 1000,
            ..Figures::default()
        };
        Self {
            disk,
            clock: shared.clock.clone(),
            opened: shared.clock.instant(),
            schedule: Mutex::default(),
            bell: Condvar::new(),
            port: Arc::new(LogPort::new()),
            figures: Mutex::new(figures),
            progress: Progress::default(),
            lock: Mutex::new(None),
            is_logged: AtomicBool::new(false),
            image_queue: Arc::clone(&shared.image_queue),
        }
    }

    /// Loads the store from its files and starts the saver. Commands are refused meanwhile, if the
    /// caller has closed the gate, which it opens afterwards.
    pub(crate) fn start(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
    ) -> Result<(Recovered, Option<JoinHandle<()>>), OpenError> {
        // No key and no member expires before all is loaded, or later effects would not find it.
        shared.set_follower(true);
        let recovered = self.recover(shared);
        shared.set_follower(false);
        let recovered = recovered?;
        let changes = shared.engine.stats.totals_ever().changes;
        {
            let mut figures = self.figures.lock();
            figures.changes_saved = changes;
            figures.saved_ms = self.now_ms();
        }
        if !shared.has_threads() {
            shared.work_by(Arc::clone(self) as _);
            return Ok((recovered, None));
        }
        let (worker, store) = (Arc::clone(self), Arc::clone(shared));
        let saver = std::thread::Builder::new()
            .name("kvik-saver".into())
            .spawn(move || worker.run(&store))
            .map_err(|error| OpenError::Io {
                path: "kvik-saver".into(),
                error,
            })?;
        Ok((recovered, Some(saver)))
    }

    /// Milliseconds since the store was opened, never going back.
    fn now_ms(&self) -> u64 {
        self.clock.instant().nanos_since(self.opened) / 1_000_000
    }

    /// The saver: does tasks, and begins those that a rule asks for.
    fn run(&self, shared: &Arc<Shared>) {
        let _lookout = Lookout(&shared.engine);
        loop {
            let job = {
                let mut schedule = self.schedule.lock();
                if schedule.is_closed() {
                    return;
                }
                match schedule.next() {
                    Some(job) => Some(job),
                    None => {
                        self.bell.wait_for(&mut schedule, LOOK);
                        schedule.next()
                    }
                }
            };
            match job {
                Some(job) => self.finish(shared, &job),
                None => self.follow_rules(shared),
            }
        }
    }

    fn finish(&self, shared: &Arc<Shared>, job: &Job) {
        let result = self.perform(shared, job);
        self.schedule.lock().end(result);
        self.wake_clients(shared);
    }

    /// Has everybody who waits for a task look again.
    fn wake_clients(&self, shared: &Shared) {
        shared.engine.pause.wake();
        shared.engine.awaiting.retry(&shared.engine.clients);
    }

    /// Begins a snapshot or a rewrite if a rule asks for it.
    fn follow_rules(&self, shared: &Shared) {
        let (settings, now_ms) = (&shared.engine.settings.files, self.now_ms());
        self.follow_settings(shared);
        let changes = shared.engine.stats.totals_ever().changes;
        let (history, growth) = {
            let figures = self.figures.lock();
            let history = SaveHistory {
                saved_ms: figures.saved_ms,
                tried_ms: figures.tried_ms,
                failed: figures.save.activity.failed,
                changes: changes.saturating_sub(figures.changes_saved),
            };
            let growth = Growth {
                percent: settings.rewrite_percent.load(Relaxed),
                min_bytes: settings.rewrite_min_bytes.load(Relaxed),
                failures: figures.rewrite_failures,
                failed_ms: figures.rewrite_failed_ms,
                ..Growth::default()
            };
            (history, growth)
        };
        if wants_save(&settings.save_rules.read(), &history, now_ms) {
            let task = Task::BackgroundSave { schedule: false };
            self.schedule.lock().begin_by_rule(task);
        }
        if self.wants_rewrite(shared, growth, now_ms) {
            self.schedule.lock().begin_by_rule(Task::Rewrite);
        }
    }

    /// Whether the log has grown enough, or needs a new base because the disk has failed.
    fn wants_rewrite(&self, shared: &Shared, growth: Growth, now_ms: u64) -> bool {
        let Some(log) = self.port.get().filter(|_| shared.is_logged()) else {
            return false;
        };
        let status = log.status();
        let lost = status
            .failure
            .is_some_and(|failure| failure.kind == kvik_log::FailureKind::Sync);
        // What a failed fsync has left unknown is put right by writing everything anew.
        let must = lost || self.figures.lock().needs_base;
        let retry_ms = growth.failed_ms + rules::RETRY_MS;
        let growth = Growth {
            bytes: status.current_size,
            base_bytes: status.base_size,
            ..growth
        };
        (must && (growth.failures == 0 || now_ms >= retry_ms)) || wants_rewrite(&growth, now_ms)
    }

    /// Hands the settings of this moment to the log.
    fn follow_settings(&self, shared: &Shared) {
        let Some(log) = self.port.get() else { return };
        let settings = &shared.engine.settings.files;
        let policy = recover::sync_policy(settings.fsync());
        if log.policy() != policy {
            log.set_policy(policy);
        }
        // An entry of the feed says when it happened.
        log.set_timestamps(settings.wants_timestamps() || shared.feed.is_used());
        log.set_retention(
            settings.retention_bytes.load(Relaxed),
            settings.retention_age_ms(),
        );
    }

    /// Ends the saver and closes the log: everything that was acknowledged is on disk then.
    pub(crate) fn stop(&self, shared: &Shared, saver: Option<JoinHandle<()>>) {
        self.schedule.lock().close();
        self.bell.notify_all();
        // A panic there has been reported; the log is closed all the same.
        let _ = saver.map(JoinHandle::join);
        self.close_log(shared);
    }

    fn close_log(&self, shared: &Shared) {
        if let Some(log) = self.port.get()
            && let Err(error) = log.close()
        {
            shared
                .engine
                .host
                .log(&format!("the log is not closed: {error}"));
        }
    }

    /// Takes over a setting about the log at once.
    pub(crate) fn settings_changed(&self, shared: &Shared) {
        self.follow_settings(shared);
    }
}

impl FileWork for Persist {
    fn turn(&self, shared: &Arc<Shared>) -> bool {
        let job = self.schedule.lock().next();
        match &job {
            Some(job) => self.finish(shared, job),
            None => self.follow_rules(shared),
        }
        let log = self.port.get();
        let is_written = log.is_some_and(|log| {
            let (written, synced) = (log.written(), log.synced());
            log.turn();
            (log.written(), log.synced()) != (written, synced)
        });
        job.is_some() || is_written
    }
}

impl Persistence for Persist {
    fn status(&self) -> Status {
        let now_ms = self.now_ms();
        let figures = self.figures.lock();
        let schedule = self.schedule.lock();
        let (keys_total, keys) = self.image_queue.keys();
        let mut save = figures.save.look(now_ms);
        let mut rewrite = figures.rewrite.look(now_ms);
        // What has been begun is in progress, whether the saver knows it yet or not.
        if schedule.is_saving() {
            save.running_s.get_or_insert(0);
        }
        if schedule.is_writing_base() {
            rewrite.running_s.get_or_insert(0);
        }
        Status {
            loading: None,
            loaded: figures.loaded,
            changes_saved: figures.changes_saved,
            last_save_s: figures.last_save_s,
            save,
            save_scheduled: schedule.is_save_scheduled(),
            rewrite,
            rewrite_scheduled: schedule.is_rewrite_scheduled(),
            rewrite_failures: figures.rewrite_failures,
            walk: Walk {
                keys,
                keys_total,
                buffer_bytes: self.image_queue.bytes(),
                buffer_peak_bytes: self.image_queue.peak_bytes(),
                deferred: self.image_queue.deferred(),
            },
            log: self.log_status(),
            log_begins: schedule.is_log_scheduled(),
        }
    }

    fn loading(&self) -> Loading {
        let (total, loaded) = (
            self.progress.total.load(Relaxed),
            self.progress.load.bytes.load(Relaxed),
        );
        let passed_ms = self.now_ms();
        let left = total.saturating_sub(loaded);
        Loading {
            started_s: (self.clock.now_us() / 1000).saturating_sub(passed_ms) / 1000,
            total_bytes: total,
            loaded_bytes: loaded,
            eta_s: (u128::from(left) * u128::from(passed_ms) / 1000 / u128::from(loaded.max(1)))
                as u64,
        }
    }

    fn begin(&self, task: Task) -> Result<Begun, Error> {
        let begun = self.schedule.lock().begin(task);
        self.bell.notify_all();
        begun
    }

    fn ended(&self, task: u64) -> Option<Result<(), Error>> {
        self.schedule.lock().ended(task)
    }

    fn cancel_save(&self) -> Option<Cancelled> {
        self.schedule.lock().cancel_save()
    }

    fn abort_shutdown(&self) -> bool {
        self.schedule.lock().abort_shutdown()
    }

    fn log_positions(&self) -> Option<LogPositions> {
        let log = self.port.get().filter(|_| self.is_logged.load(Relaxed))?;
        Some(LogPositions {
            appended: log.appended().get(),
            synced: log.synced().get(),
        })
    }

    fn emptied(&self, saves: bool) {
        self.schedule.lock().emptied(saves);
        self.bell.notify_all();
    }
}

impl Persist {
    fn log_status(&self) -> Option<LogStatus> {
        let log = self.port.get().filter(|_| self.is_logged.load(Relaxed))?;
        let status = log.status();
        Some(LogStatus {
            positions: LogPositions {
                appended: status.appended.get(),
                synced: status.synced.get(),
            },
            bytes: status.current_size,
            base_bytes: status.base_size,
            buffer_bytes: status.buffer_length,
            pending_fsyncs: u64::from(status.sync_in_progress),
            delayed_fsyncs: status.delayed_syncs,
            failed: !status.last_write_ok,
            lost_fsyncs: status.failed_syncs,
        })
    }
}

impl std::fmt::Debug for Persist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Persist").finish_non_exhaustive()
    }
}
