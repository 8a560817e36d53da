//! The state that those who append, the writer and those who wait share.
//!
//! Appending takes one lock, the queue's, for as long as the copy takes. Everything else that a
//! thread asks while it runs commands is an atomic. The writer holds the queue's lock only to
//! exchange chunks and before it sleeps; so nobody who appends ever waits for the disk.
//!
//! Who waits for a place looks at the atomics with `waiting` locked and then sleeps; the writer
//! publishes and then locks `waiting` once before it wakes them. So no wake-up is lost.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::clock::Clock;
use crate::disk::DiskLock;
use crate::files::Files;
use crate::gathering::Gathering;
use crate::queue::{Context, Queue, Sleep};
use crate::status::{Admission, CommitError, Dropped, Failure, FailureKind, Outcome};
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex};
use crate::{LogId, Lsn, SyncPolicy, Unit};

/// An fsync that makes the oldest unsynced unit older than this sets writers aside, under
/// `everysec`.
const DELAYED_MS: u64 = 2000;
/// How long the writer collects what is appended before it writes, unless a reply waits for it.
const COLLECT: Duration = Duration::from_millis(2);

/// How often the writer looks for work before it sleeps, under `always`.
#[cfg(not(all(test, feature = "model")))]
const LOOKS: u32 = 200;
#[cfg(all(test, feature = "model"))]
const LOOKS: u32 = 0;

/// Called with the place behind what is durable.
pub(crate) type OnProgress = Box<dyn Fn(Lsn) + Send + Sync>;

/// Called without arguments, and must be quick.
pub(crate) type OnReadable = Box<dyn Fn() + Send + Sync>;

/// Where the increment stands that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The manifest names it.
    Attached = 0,
    /// It is not part of what a restart would load until the next base is there. Nothing in it is
    /// acknowledged.
    Detached = 1,
    /// There is none, since an fsync failed.
    Lost = 2,
}

pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) queue: Mutex<Queue>,
    /// Wakes the writer.
    work: Condvar,

    appended: AtomicU64,
    written: AtomicU64,
    synced: AtomicU64,
    /// The place behind what takes no memory any more.
    released: AtomicU64,
    /// Places up to here that are not synced are lost.
    lost_to: AtomicU64,
    /// Up to where somebody wants an fsync whatever the policy is.
    sync_wanted: AtomicU64,
    policy: AtomicU64,
    mode: AtomicU64,
    /// One more than the monotonic milliseconds since when something was unsynced as an fsync
    /// began; 0 outside of one.
    blocked_since: AtomicU64,
    failed: AtomicBool,
    /// Somebody was told that the queue is full, or an fsync late: they are told when that ends.
    was_full: AtomicBool,
    was_delayed: AtomicBool,
    closing: AtomicBool,
    pub(crate) delayed_syncs: std::sync::atomic::AtomicU64,
    pub(crate) failed_syncs: std::sync::atomic::AtomicU64,
    pub(crate) last_rewrite_failed: AtomicBool,
    /// An increment is to begin that the writer has not begun yet.
    pub(crate) rotation_asked: AtomicBool,

    buffer_bytes: u64,
    pub(crate) base_len: std::sync::atomic::AtomicU64,
    /// Where the first increment starts that counts for the size of the log.
    pub(crate) increments_start: std::sync::atomic::AtomicU64,
    /// The size at the start or after the last rewrite.
    pub(crate) base_size: std::sync::atomic::AtomicU64,

    /// Why the log does not take writes.
    waiting: Mutex<Waiting>,
    progress: Condvar,
    pub(crate) files: Mutex<Files>,
    pub(crate) on_progress: OnceLock<OnProgress>,
    /// Called when there is more to read; nobody does before it is set.
    pub(crate) on_readable: OnceLock<OnReadable>,
    marks: Mutex<Marks>,
    pub(crate) dropped: Option<Dropped>,
    pub(crate) strays: Vec<String>,
    _lock: Arc<dyn DiskLock>,
}

/// Places from which the log can be read without reading what is before them.
#[derive(Clone, Copy)]
struct Marks {
    written: (Lsn, Context),
    synced: (Lsn, Context),
}

impl Marks {
    /// Those of a log that says everything anew behind `end`.
    fn at(end: Lsn) -> Self {
        let mark = (end, Context::default());
        Self {
            written: mark,
            synced: mark,
        }
    }
}

#[derive(Default)]
struct Waiting {
    failure: Option<Failure>,
    closed: bool,
}

/// The beginning of a log.
pub(crate) struct Start {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) files: Files,
    pub(crate) lock: Arc<dyn DiskLock>,
    pub(crate) dropped: Option<Dropped>,
    pub(crate) strays: Vec<String>,
    pub(crate) end: Lsn,
    pub(crate) mode: Mode,
    pub(crate) policy: SyncPolicy,
    pub(crate) timestamps: bool,
    /// Seconds of the last annotation.
    pub(crate) latest_s: u64,
    pub(crate) buffer_bytes: u64,
    pub(crate) base_len: u64,
    pub(crate) increments_start: Lsn,
}

impl Shared {
    pub(crate) fn new(start: Start) -> Self {
        let end = || AtomicU64::new(start.end.get());
        let mut queue = Queue::new(start.end, start.timestamps);
        queue.set_latest_s(start.latest_s);
        let size = start.base_len + start.end.since(start.increments_start);
        Self {
            clock: start.clock,
            queue: Mutex::new(queue),
            work: Condvar::new(),
            appended: end(),
            written: end(),
            synced: end(),
            released: end(),
            lost_to: AtomicU64::new(0),
            sync_wanted: AtomicU64::new(0),
            policy: AtomicU64::new(start.policy as u64),
            mode: AtomicU64::new(start.mode as u64),
            blocked_since: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            was_full: AtomicBool::new(false),
            was_delayed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            delayed_syncs: Default::default(),
            failed_syncs: Default::default(),
            last_rewrite_failed: AtomicBool::new(false),
            rotation_asked: AtomicBool::new(false),
            buffer_bytes: start.buffer_bytes,
            base_len: start.base_len.into(),
            increments_start: start.increments_start.get().into(),
            base_size: size.into(),
            waiting: Mutex::new(Waiting::default()),
            progress: Condvar::new(),
            files: Mutex::new(start.files),
            on_progress: OnceLock::new(),
            on_readable: OnceLock::new(),
            marks: Mutex::new(Marks::at(start.end)),
            dropped: start.dropped,
            strays: start.strays,
            _lock: start.lock,
        }
    }

    #[inline]
    pub(crate) fn append(&self, unit: &mut Unit, now_ms: u64) -> Lsn {
        let mut queue = self.queue.lock();
        let end = queue.push(unit, now_ms);
        self.appended.store(end.get(), Ordering::Release);
        // A futex call costs more than the copy, so only a sleeping writer is woken, and a
        // collecting one seldom.
        let wake = queue.wakes();
        if wake {
            queue.sleep = Sleep::Awake;
        }
        drop(queue);
        if wake {
            self.work.notify_one();
        }
        unit.clear();
        end
    }

    pub(crate) fn rotate(&self, restarts: Option<LogId>) -> Lsn {
        let mut queue = self.queue.lock();
        let at = queue.rotate(restarts);
        // Under the lock, as the writer lowers the flag under it.
        self.rotation_asked.store(true, Ordering::Release);
        queue.sleep = Sleep::Awake;
        drop(queue);
        self.work.notify_one();
        at
    }

    /// Makes the writer look around.
    pub(crate) fn nudge(&self) {
        let mut queue = self.queue.lock();
        queue.nudged = true;
        queue.sleep = Sleep::Awake;
        drop(queue);
        self.work.notify_one();
    }

    #[inline]
    pub(crate) fn appended(&self) -> Lsn {
        Lsn::new(self.appended.load(Ordering::Acquire))
    }

    pub(crate) fn written(&self) -> Lsn {
        Lsn::new(self.written.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn synced(&self) -> Lsn {
        Lsn::new(self.synced.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn policy(&self) -> SyncPolicy {
        match self.policy.load(Ordering::Relaxed) {
            0 => SyncPolicy::Always,
            1 => SyncPolicy::EverySecond,
            _ => SyncPolicy::No,
        }
    }

    pub(crate) fn set_policy(&self, policy: SyncPolicy) {
        self.policy.store(policy as u64, Ordering::Relaxed);
        self.nudge();
    }

    pub(crate) fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Acquire) {
            0 => Mode::Attached,
            1 => Mode::Detached,
            _ => Mode::Lost,
        }
    }

    /// Called with the files locked, so that a rewrite that ends and an fsync that fails come one
    /// after the other.
    pub(crate) fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u64, Ordering::Release);
    }

    #[inline]
    pub(crate) fn admission(&self) -> Admission {
        if self.failed.load(Ordering::Acquire) {
            return Admission::Failed;
        }
        // Stale figures only make it ask again a little earlier or later.
        let released = self.released.load(Ordering::Relaxed);
        if self.appended().since(Lsn::new(released)) >= self.buffer_bytes {
            return self.refuse_full(released);
        }
        if self.blocked_since.load(Ordering::Relaxed) != 0 && self.is_delayed() {
            return Admission::Delayed;
        }
        Admission::Open
    }

    /// Asks again after announcing that somebody waits for room: the writer clears that mark after
    /// it has made room.
    #[cold]
    fn refuse_full(&self, released: u64) -> Admission {
        self.was_full.store(true, Ordering::SeqCst);
        let again = self.released.load(Ordering::SeqCst);
        if again != released && self.appended().since(Lsn::new(again)) < self.buffer_bytes {
            return Admission::Open;
        }
        Admission::Full
    }

    #[cold]
    fn is_delayed(&self) -> bool {
        let since = self.blocked_since.load(Ordering::SeqCst);
        let waited = (self.clock.monotonic_ms() + 1).saturating_sub(since);
        if since == 0 || self.policy() != SyncPolicy::EverySecond || waited <= DELAYED_MS {
            return false;
        }
        if !self.was_delayed.swap(true, Ordering::SeqCst) {
            self.delayed_syncs.fetch_add(1, Ordering::Relaxed);
        }
        // The fsync may have ended before the mark was set, and nobody would be told.
        self.blocked_since.load(Ordering::SeqCst) != 0
    }

    #[inline]
    pub(crate) fn outcome(&self, at: Lsn) -> Outcome {
        if at <= self.synced() {
            Outcome::Synced
        } else if at.get() <= self.lost_to.load(Ordering::Acquire) {
            Outcome::Lost
        } else {
            Outcome::Pending
        }
    }

    /// Asks for an fsync up to a place.
    pub(crate) fn want_sync(&self, at: Lsn) {
        if self.sync_wanted.fetch_max(at.get(), Ordering::AcqRel) < at.get() {
            self.nudge();
        }
    }

    pub(crate) fn sync_wanted(&self) -> Lsn {
        Lsn::new(self.sync_wanted.load(Ordering::Acquire))
    }

    /// Waits until everything before `at` is durable, or cannot be.
    pub(crate) fn wait(&self, at: Lsn) -> Result<(), CommitError> {
        if self.outcome(at) == Outcome::Pending && self.policy() != SyncPolicy::Always {
            self.want_sync(at);
        }
        // All is looked at under the lock that the writer takes after it has published.
        let mut waiting = self.waiting.lock();
        loop {
            match self.look_at(at, &waiting) {
                Some(ended) => return ended,
                None => self.progress.wait(&mut waiting),
            }
        }
    }

    /// How the wait for a place has ended, if it has.
    pub(crate) fn look(&self, at: Lsn) -> Option<Result<(), CommitError>> {
        self.look_at(at, &self.waiting.lock())
    }

    fn look_at(&self, at: Lsn, waiting: &Waiting) -> Option<Result<(), CommitError>> {
        let reason = waiting.failure.as_ref().map(|it| it.reason.clone());
        match (self.outcome(at), reason) {
            (Outcome::Synced, _) => Some(Ok(())),
            (Outcome::Lost, reason) => Some(Err(CommitError::Lost(reason.unwrap_or_default()))),
            (Outcome::Pending, Some(reason)) => Some(Err(CommitError::Stalled(reason))),
            (Outcome::Pending, None) => waiting.closed.then_some(Err(CommitError::Closed)),
        }
    }

    /// Waits for progress of any kind, or until `ms` are over.
    pub(crate) fn wait_for_progress(&self, ms: u64) {
        let mut waiting = self.waiting.lock();
        let _ = self
            .progress
            .wait_for(&mut waiting, Duration::from_millis(ms));
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.waiting.lock().failure.clone()
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(crate) fn start_closing(&self) {
        self.closing.store(true, Ordering::Release);
        self.nudge();
    }

    /// Size of the log's files.
    pub(crate) fn current_size(&self) -> u64 {
        let start = Lsn::new(self.increments_start.load(Ordering::Relaxed));
        self.base_len.load(Ordering::Relaxed) + self.written().since(start)
    }

    pub(crate) fn is_syncing(&self) -> bool {
        self.blocked_since.load(Ordering::Relaxed) != 0
    }
}

/// The writer's side.
impl Shared {
    pub(crate) fn set_written(&self, at: Lsn, context: Context) {
        self.marks.lock().written = (at, context);
        self.written.store(at.get(), Ordering::Release);
        self.tell_readers();
    }

    fn tell_readers(&self) {
        if let Some(on_readable) = self.on_readable.get() {
            on_readable();
        }
    }

    /// A place from which the log can be read on, near the end of what may be shown.
    pub(crate) fn mark(&self) -> (Lsn, Context) {
        let marks = self.marks.lock();
        match self.policy() {
            SyncPolicy::Always => marks.synced,
            _ => marks.written,
        }
    }

    /// Notes that what lies before `at` takes no memory, and tells those who waited for that.
    pub(crate) fn set_released(&self, at: Lsn) {
        self.released.store(at.get(), Ordering::SeqCst);
        if self.was_full.load(Ordering::SeqCst)
            && self.appended().since(at) < self.buffer_bytes
            && self.was_full.swap(false, Ordering::SeqCst)
        {
            self.tell();
        }
    }

    pub(crate) fn begin_sync(&self, unsynced_since_ms: u64) {
        let since = unsynced_since_ms + 1;
        self.blocked_since.store(since, Ordering::SeqCst);
    }

    pub(crate) fn end_sync(&self) {
        self.blocked_since.store(0, Ordering::SeqCst);
        if self.was_delayed.swap(false, Ordering::SeqCst) {
            self.tell();
        }
    }

    /// Announces that everything before `at` is durable.
    pub(crate) fn publish_synced(&self, at: Lsn, context: Option<Context>) {
        if at <= self.synced() {
            return;
        }
        if let Some(context) = context {
            self.marks.lock().synced = (at, context);
        }
        // A base holds what was lost before it: those places are durable now.
        self.synced.store(at.get(), Ordering::Release);
        self.lost_to.store(0, Ordering::Release);
        self.wake_waiting();
        self.tell_readers();
    }

    /// Announces that nothing is admitted, and why.
    pub(crate) fn fail(&self, kind: FailureKind, reason: String) {
        let lost = kind == FailureKind::Sync;
        // Whoever learns of the loss, with the lock or without, finds that nothing is admitted.
        let mut waiting = self.waiting.lock();
        waiting.failure = Some(Failure { kind, reason });
        self.failed.store(true, Ordering::Release);
        if lost {
            self.failed_syncs.fetch_add(1, Ordering::Relaxed);
            self.lost_to.store(u64::MAX, Ordering::Release);
        }
        drop(waiting);
        self.wake_waiting();
    }

    /// Places behind `at` are not lost, should others be: a new increment begins there.
    pub(crate) fn bound_loss(&self, at: Lsn) {
        if self.lost_to.load(Ordering::Acquire) == u64::MAX {
            self.lost_to.store(at.get(), Ordering::Release);
        }
    }

    /// Announces that writes are admitted again, unless the failure is of another kind.
    pub(crate) fn recover(&self, kind: FailureKind) {
        if !self.is_failed() {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.failure.as_ref().is_none_or(|it| it.kind != kind) {
            return;
        }
        waiting.failure = None;
        drop(waiting);
        self.failed.store(false, Ordering::Release);
        self.wake_waiting();
    }

    pub(crate) fn set_closed(&self) {
        self.waiting.lock().closed = true;
        self.wake_waiting();
    }

    pub(crate) fn wake_waiting(&self) {
        // Whoever looked before this lock was taken sleeps by now.
        drop(self.waiting.lock());
        self.progress.notify_all();
        self.tell();
    }

    fn tell(&self) {
        if let Some(on_progress) = self.on_progress.get() {
            on_progress(self.synced());
        }
    }

    /// Sleeps until there is work or `ms` are over. Then collects for a moment; where replies wait
    /// for what is there, only if others are about to append.
    pub(crate) fn sleep_until_work(&self, ms: Option<u64>, gathering: &mut Gathering) {
        let is_urgent = self.policy() == SyncPolicy::Always;
        if is_urgent {
            self.look_for_work();
        }
        let mut queue = self.queue.lock();
        // Whoever appends from here on sees that the writer sleeps, as both hold the lock.
        if !queue.has_work() {
            queue.sleep = Sleep::UntilWork;
            match ms {
                None => self.work.wait(&mut queue),
                Some(ms) => {
                    let _ = self.work.wait_for(&mut queue, Duration::from_millis(ms));
                }
            }
        }
        let collects = queue.has_work() && !queue.has_much() && !self.is_closing();
        if collects && is_urgent {
            if let Some((units, at_most)) = gathering.plan(queue.units()) {
                queue.sleep = Sleep::UntilUnits(units);
                let _ = self.work.wait_for(&mut queue, at_most);
                gathering.note_wait(queue.units());
            }
        } else if collects {
            // One futex call for all that is appended in these milliseconds, and one write.
            queue.sleep = Sleep::UntilMuch;
            let _ = self.work.wait_for(&mut queue, COLLECT);
        }
        queue.sleep = Sleep::Awake;
    }

    /// Looks a few times whether something is appended. A client that waits for each reply appends
    /// again soon, and waking a thread takes a good part of the time of an fsync. Others run
    /// meanwhile, if they want to.
    fn look_for_work(&self) {
        for _ in 0..LOOKS {
            let released = Lsn::new(self.released.load(Ordering::Relaxed));
            if self.appended() > released || self.is_closing() {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Sleeps, whatever is appended.
    pub(crate) fn sleep(&self, ms: u64) {
        let mut queue = self.queue.lock();
        queue.sleep = Sleep::Awake;
        if !queue.nudged {
            let _ = self.work.wait_for(&mut queue, Duration::from_millis(ms));
        }
    }
}
