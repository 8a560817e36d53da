//! A log that is open.

use std::io::{self, Read, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use crate::backlog::{Backlog, Segment, Segments};
use crate::manifest::ManifestFile;
use crate::options::BaseFormat;
use crate::queue::Context;
use crate::shared::{Mode, OnProgress, Shared};
use crate::status::{Admission, CommitError, Failure, FailureKind, LogStatus, Outcome};
use crate::writer::{Turn, Writer};
use crate::{LogId, LogPosition, Lsn, SyncPolicy, Unit};

/// How often a rewrite looks whether its increment has begun, and how long it waits in between, in
/// milliseconds.
const ROTATION_LOOKS: u32 = 200;
const ROTATION_LOOK_MS: u64 = 25;

/// The log of one database.
///
/// Units are [appended](Self::append) by whoever runs commands and written by one thread, which
/// [`spawn`](Self::spawn) starts. Where there are no threads, [`turn`](Self::turn) does the same
/// work. A log that is dropped is closed.
pub struct Log {
    shared: Arc<Shared>,
    /// The writer while no thread has it.
    writer: Mutex<Option<Writer>>,
    thread: Mutex<Option<JoinHandle<Writer>>>,
}

impl Log {
    pub(crate) fn new(shared: Arc<Shared>, writer: Writer) -> Self {
        Self {
            shared,
            writer: Mutex::new(Some(writer)),
            thread: Mutex::new(None),
        }
    }

    /// Starts the thread that writes.
    pub fn spawn(&self) -> io::Result<()> {
        // The writer goes to the thread through a slot, as a thread that cannot start would take it
        // along.
        let slot = Arc::new(Mutex::new(self.writer.lock().take()));
        let taken = Arc::clone(&slot);
        let shared = Arc::clone(&self.shared);
        let run = move || {
            let writer = taken.lock().take().expect("a log has one writer");
            run(&shared, writer)
        };
        let started = thread::Builder::new()
            .name("kvik-log".to_owned())
            .spawn(run);
        match started {
            Ok(thread) => *self.thread.lock() = Some(thread),
            Err(error) => {
                *self.writer.lock() = slot.lock().take();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes and syncs what there is, as the thread would; does nothing if there is one. Returns
    /// after how many milliseconds it has to be called again though nothing was appended.
    pub fn turn(&self) -> Option<u64> {
        match self.writer.lock().as_mut()?.turn() {
            Turn::Idle(wait_ms) => wait_ms,
            Turn::Retry(ms) => Some(ms),
            Turn::Closed => None,
        }
    }

    /// Appends a unit and clears it. Called with the stripes locked that the unit changes, so that
    /// units of a stripe have the order of its changes; it copies, and never waits for the disk.
    /// `now_ms` is the wall clock, for annotations. An empty unit is not appended: the place is
    /// then that of everything so far.
    #[inline]
    pub fn append(&self, unit: &mut Unit, now_ms: u64) -> Lsn {
        if unit.is_empty() {
            return self.shared.appended();
        }
        self.shared.append(unit, now_ms)
    }

    /// Whether a command that writes may begin: asked before its stripes are locked.
    #[inline]
    pub fn admission(&self) -> Admission {
        self.shared.admission()
    }

    /// The place behind everything that was appended.
    #[inline]
    pub fn appended(&self) -> Lsn {
        self.shared.appended()
    }

    /// The place behind what was handed to the operating system: it survives the end of the
    /// process.
    pub fn written(&self) -> Lsn {
        self.shared.written()
    }

    /// The place behind what is durable: it survives a loss of power.
    #[inline]
    pub fn synced(&self) -> Lsn {
        self.shared.synced()
    }

    /// Whether a place is durable, or can still become so.
    #[inline]
    pub fn outcome(&self, at: Lsn) -> Outcome {
        self.shared.outcome(at)
    }

    /// Waits until everything before a place is durable, whatever the policy is; writes and syncs
    /// it where there is no writer's thread. Not for I/O threads.
    pub fn wait(&self, at: Lsn) -> Result<(), CommitError> {
        if let Some(writer) = &mut *self.writer.lock() {
            self.shared.want_sync(at);
            writer.turn();
            return self.shared.look(at).unwrap_or_else(|| {
                let reason = "the disk is tried again later".to_owned();
                Err(CommitError::Stalled(reason))
            });
        }
        self.shared.wait(at)
    }

    /// Asks for an fsync that covers a place, and does not wait for it.
    pub fn request_sync(&self, at: Lsn) {
        self.shared.want_sync(at);
    }

    /// Sets what is called when it is worth looking again: more is durable or lost, there is room,
    /// or the log fails or recovers. It is called by the writer and must be quick. The first call
    /// counts.
    pub fn on_progress(&self, call: OnProgress) {
        let _ = self.shared.on_progress.set(call);
    }

    /// When fsyncs come.
    #[inline]
    pub fn policy(&self) -> SyncPolicy {
        self.shared.policy()
    }

    /// Changes when fsyncs come, from now on.
    pub fn set_policy(&self, policy: SyncPolicy) {
        self.shared.set_policy(policy);
    }

    /// Changes whether units are annotated with their time.
    pub fn set_timestamps(&self, timestamps: bool) {
        self.shared.queue.lock().timestamps = timestamps;
    }

    /// Changes how many bytes of superseded files are kept, and how long.
    pub fn set_retention(&self, bytes: u64, age_ms: u64) {
        let mut files = self.shared.files.lock();
        files.retention().set_limits(bytes, age_ms);
    }

    /// The log's id.
    pub fn id(&self) -> LogId {
        self.shared.files.lock().id
    }

    /// The log's id and the place behind everything that was appended.
    pub fn position(&self) -> LogPosition {
        LogPosition {
            id: self.id(),
            at: self.appended(),
        }
    }

    /// Superseded files that are kept, the earliest first.
    pub fn retained(&self) -> Vec<ManifestFile> {
        self.shared.files.lock().retention().files().to_vec()
    }

    /// The units that can still be read: those of the files that are loaded at a start and of those
    /// that are kept beyond.
    pub fn backlog(&self) -> Backlog {
        Backlog::new(Arc::new(LogSegments(Arc::clone(&self.shared))))
    }

    /// Sets what is called when there is more to read in the [backlog](Self::backlog). It is called
    /// by the writer and must be quick. The first call counts.
    pub fn on_readable(&self, call: Box<dyn Fn() + Send + Sync>) {
        let _ = self.shared.on_readable.set(call);
    }

    /// Figures for INFO and for metrics. Never waits for the disk.
    pub fn status(&self) -> LogStatus {
        let shared = &self.shared;
        let failure = shared.failure();
        LogStatus {
            appended: shared.appended(),
            written: shared.written(),
            synced: shared.synced(),
            policy: shared.policy(),
            current_size: shared.current_size(),
            base_size: shared.base_size.load(Ordering::Relaxed),
            pending_rotation: shared.rotation_asked.load(Ordering::Relaxed),
            buffer_length: shared.appended().since(shared.written()),
            sync_in_progress: shared.is_syncing(),
            delayed_syncs: shared.delayed_syncs.load(Ordering::Relaxed),
            last_write_ok: failure.is_none(),
            last_rewrite_ok: !shared.last_rewrite_failed.load(Ordering::Relaxed),
            failed_syncs: shared.failed_syncs.load(Ordering::Relaxed),
            dropped: shared.dropped.clone(),
            strays: shared.strays.clone(),
            failure,
        }
    }

    /// Why no write is admitted; none if all is well.
    pub fn failure(&self) -> Option<Failure> {
        self.shared.failure()
    }
}

/// Rewrites.
///
/// A rewrite begins with [`rotate`](Self::rotate) at the moment whose state it saves: what is
/// appended afterwards goes to a new increment. When the state lies in a file,
/// [`finish_rewrite`](Self::finish_rewrite) makes that the base. After a failed fsync a rewrite is
/// what brings the log back.
impl Log {
    /// Ends the increment. Called with all stripes locked; the writer does the work. Returns the
    /// place where the new increment starts.
    pub fn rotate(&self) -> Lsn {
        self.shared.rotate(None)
    }

    /// As [`rotate`](Self::rotate) for a log from which changes have been kept away: what follows
    /// is not part of what a restart would load, and nothing of it is durable, before the rewrite
    /// that begins here is finished. The log goes on under another id, made of random bytes, as no
    /// follower may go on from before.
    pub fn restart(&self, random_id: [u8; 20]) -> Lsn {
        self.shared.rotate(Some(LogId::new(random_id)))
    }

    /// Where to write the next base, in the directory of the log's files.
    pub fn temporary_base(&self) -> PathBuf {
        self.shared.files.lock().temporary_base()
    }

    /// Makes a file that holds all keys as they were at the rotation at `start` the new base, and
    /// removes what it replaces, or keeps it as retention says. Waits for the disk. After an error
    /// the log goes on as before, the file may be gone, and the rewrite has to be made anew.
    pub fn finish_rewrite(
        &self,
        temporary: &Path,
        format: BaseFormat,
        start: Lsn,
    ) -> io::Result<()> {
        let installed = self.await_rotation(start).and_then(|()| {
            let now_ms = self.shared.clock.unix_ms();
            self.install(temporary, format, start, now_ms)
        });
        let failed = installed.is_err();
        self.shared
            .last_rewrite_failed
            .store(failed, Ordering::Relaxed);
        installed
    }

    /// Gives up a rewrite; `temporary` is removed if it is there. The new increment stays, as one
    /// more.
    pub fn abort_rewrite(&self, temporary: &Path) {
        self.shared
            .last_rewrite_failed
            .store(true, Ordering::Relaxed);
        let files = self.shared.files.lock();
        let _ = files.disk().remove(temporary);
    }

    /// Waits until the writer has begun the increment that starts at `start`.
    fn await_rotation(&self, start: Lsn) -> io::Result<()> {
        // The writer fsyncs the old increment first, which may take long; a full disk is reported
        // at once.
        for _ in 0..ROTATION_LOOKS {
            // The place alone does not tell: the increment before may have begun there as well, and
            // a restart that the writer meets after the base is installed would detach the log.
            let asked = self.shared.rotation_asked.load(Ordering::Acquire);
            if !asked && self.shared.files.lock().rotated_at >= start {
                return Ok(());
            }
            let failure = self.shared.failure();
            if let Some(failure) = failure.filter(|it| it.kind == FailureKind::Write) {
                return Err(io::Error::other(failure.reason));
            }
            let threaded = self.thread.lock().is_some();
            match threaded {
                true => self.shared.wait_for_progress(ROTATION_LOOK_MS),
                false => drop(self.turn()),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn install(
        &self,
        temporary: &Path,
        format: BaseFormat,
        start: Lsn,
        now_ms: u64,
    ) -> io::Result<()> {
        let shared = &*self.shared;
        let mut files = shared.files.lock();
        let len = files.install_base(temporary, format, start, now_ms)?;
        // From here on a restart finds the increment, so what is synced in it counts.
        let attached = shared.mode() == Mode::Detached;
        if attached {
            shared.set_mode(Mode::Attached);
        }
        files.remove_history(now_ms);
        drop(files);
        shared.base_len.store(len, Ordering::Relaxed);
        shared
            .increments_start
            .store(start.get(), Ordering::Relaxed);
        shared
            .base_size
            .store(shared.current_size(), Ordering::Relaxed);
        if attached {
            shared.recover(FailureKind::Sync);
            shared.nudge();
        }
        Ok(())
    }
}

/// The end.
impl Log {
    /// Writes and syncs everything, notes that nothing is missing, and stops the writer. After an
    /// error some of what was appended may not be durable. Further calls do nothing.
    pub fn close(&self) -> Result<(), CommitError> {
        let thread = self.thread.lock().take();
        self.shared.start_closing();
        if let Some(thread) = thread {
            // A writer that has panicked has not written everything.
            *self.writer.lock() = thread.join().ok();
        }
        let Some(mut writer) = self.writer.lock().take() else {
            return Ok(());
        };
        // Without a thread this is the turn that writes; after one it only says whether all is
        // done.
        writer.turn();
        let end = self.shared.appended();
        if !writer.is_done() {
            let reason = self.failure().map_or_else(String::new, |it| it.reason);
            return Err(CommitError::Stalled(reason));
        }
        let closed = self.shared.files.lock().close(end);
        closed.map_err(|error| CommitError::Stalled(format!("writing the manifest: {error}")))
    }
}

#[cfg(all(test, feature = "model"))]
impl Log {
    /// The body of the writer's thread.
    pub(crate) fn modelled_writer(&self) -> impl FnOnce() + 'static {
        let shared = Arc::clone(&self.shared);
        let writer = self.writer.lock().take();
        move || drop(run(&shared, writer.expect("a log has one writer")))
    }

    pub(crate) fn start_closing(&self) {
        self.shared.start_closing();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("appended", &self.appended())
            .field("synced", &self.synced())
            .finish_non_exhaustive()
    }
}

/// The increments, as a backlog reads them.
struct LogSegments(Arc<Shared>);

impl Segments for LogSegments {
    fn id(&self) -> LogId {
        self.0.files.lock().id
    }

    fn readable(&self) -> Lsn {
        match self.0.policy() {
            SyncPolicy::Always => self.0.synced(),
            _ => self.0.written(),
        }
    }

    fn mark(&self) -> Option<(Lsn, Context)> {
        Some(self.0.mark())
    }

    fn segments(&self) -> Vec<Segment> {
        let increments = self.0.files.lock().readable_increments();
        let starts = increments.iter().map(|(start, _)| *start);
        let ends = starts.clone().skip(1).map(Some).chain([None]);
        starts
            .zip(ends)
            .map(|(start, end)| Segment { start, end })
            .collect()
    }

    fn open(&self, start: Lsn, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let files = self.0.files.lock();
        let increments = files.readable_increments();
        let found = increments.iter().find(|(at, _)| *at == start);
        let (_, path) = found.ok_or(io::ErrorKind::NotFound)?;
        let mut file = files.disk().read(path)?;
        drop(files);
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }
}

/// The writer's thread.
pub(crate) fn run(shared: &Shared, mut writer: Writer) -> Writer {
    loop {
        match writer.turn() {
            Turn::Idle(wait_ms) => shared.sleep_until_work(wait_ms, writer.gathering()),
            Turn::Retry(ms) => shared.sleep(ms),
            Turn::Closed => return writer,
        }
    }
}

#[cfg(test)]
mod tests;
