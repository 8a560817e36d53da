//! The meeting place of a store and its feed: requests, and what wakes the feed's thread.
//!
//! Sections hand units over here and commands leave requests. The thread (`thread`) starts with the
//! first request, sleeps while there is nothing to read, and is woken by the log's writer, or by
//! the first unit that comes while it sleeps.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use kvik_command::Error;
use kvik_command::feed::{FeedCall, FeedFigures, FeedRequest};
use kvik_log::{Log, Lsn, MemoryLog, Unit};
use kvik_store::FormerKey;
use parking_lot::{Condvar, Mutex};

use super::former::FormerStates;

/// Bytes of units that are kept where there is no log.
const MEMORY_BYTES: usize = 16 << 20;
/// How long the thread collects before it sleeps until it is woken.
const COLLECT: Duration = Duration::from_millis(1);

/// The meeting place of a store and its feed.
#[derive(Default)]
pub(crate) struct FeedHub {
    pub(super) inbox: Mutex<Inbox>,
    bell: Condvar,
    /// The thread sleeps, or is about to: it looks again after it has said so.
    asleep: AtomicBool,
    used: AtomicBool,
    pub(super) log: OnceLock<Arc<Log>>,
    pub(super) memory: Mutex<Option<Arc<MemoryLog>>>,
    pub(super) former: FormerStates,
    pub(super) figures: Mutex<FeedFigures>,
}

#[derive(Default)]
pub(super) struct Inbox {
    pub(super) requests: Vec<(FeedRequest, u64, Arc<FeedCall>)>,
    pub(super) ended: Vec<u64>,
    pub(super) woken: bool,
    pub(super) stopped: bool,
    thread: Option<JoinHandle<()>>,
}

impl FeedHub {
    /// Whether anybody has asked for entries since the start.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Names the log whose files are read.
    pub(crate) fn know_log(&self, log: &Arc<Log>) {
        let _ = self.log.set(Arc::clone(log));
    }

    /// Keeps units in memory from now on, under a new id. Called while every stripe is held.
    pub(crate) fn open_memory(&self, random_id: [u8; 20]) {
        self.former.clear();
        *self.memory.lock() = Some(MemoryLog::new(random_id, MEMORY_BYTES));
    }

    /// Takes a copy of a unit, and what its keys held before it. Called while its stripes are held.
    #[cold]
    pub(crate) fn keep(&self, unit: &mut Unit, now_ms: u64, former: Vec<FormerKey>) {
        let memory = self.memory.lock().clone();
        if let Some(memory) = memory.filter(|_| !unit.is_empty()) {
            match former.is_empty() {
                true => memory.append(unit, now_ms),
                false => self.former.note(former, || memory.append(unit, now_ms)),
            };
            self.wake_reader();
        }
    }

    /// Appends a unit to the log, and notes what its keys held before it.
    #[cold]
    pub(crate) fn note_former(&self, former: Vec<FormerKey>, append: impl FnOnce() -> Lsn) -> Lsn {
        self.former.note(former, append)
    }

    /// There is more to read.
    pub(crate) fn wake_reader(&self) {
        // Against the one in `sleep`: either side sees what the other has written before it.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) {
            self.rouse();
        }
    }

    /// Wakes the thread, whatever it sleeps for.
    #[cold]
    pub(super) fn rouse(&self) {
        let mut inbox = self.inbox.lock();
        inbox.woken = true;
        drop(inbox);
        self.bell.notify_one();
    }

    /// Leaves a request. `run` is what the feed's thread does, which is started for the first one.
    pub(super) fn request(
        &self,
        request: FeedRequest,
        client: u64,
        run: impl FnOnce() + Send + 'static,
    ) -> Arc<FeedCall> {
        let call = Arc::new(FeedCall::default());
        self.used.store(true, Ordering::Relaxed);
        let mut inbox = self.inbox.lock();
        if inbox.stopped {
            call.answer(Err(CLOSED));
            return call;
        }
        if inbox.thread.is_none() {
            let started = std::thread::Builder::new()
                .name("kvik-feed".into())
                .spawn(run);
            match started {
                Ok(thread) => inbox.thread = Some(thread),
                Err(error) => {
                    call.answer(Err(Error::new(format!("the feed cannot start: {error}"))));
                    return call;
                }
            }
        }
        inbox.requests.push((request, client, Arc::clone(&call)));
        inbox.woken = true;
        drop(inbox);
        self.bell.notify_one();
        call
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        let mut inbox = self.inbox.lock();
        inbox.stopped = true;
        let thread = inbox.thread.take();
        drop(inbox);
        self.bell.notify_one();
        if let Some(thread) = thread {
            // A panic there has been reported; nobody waits for it any more.
            let _ = thread.join();
        }
    }

    /// Sleeps until there is something to do, as far as `is_behind` cannot tell.
    pub(super) fn sleep(&self, at_most: Duration, is_behind: impl Fn() -> bool) {
        let mut inbox = self.inbox.lock();
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !inbox.has_work() && !is_behind() {
            self.bell.wait_for(&mut inbox, at_most);
        }
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Waits a moment for more to come, so that one look covers it.
    pub(super) fn collect(&self) {
        let mut inbox = self.inbox.lock();
        if !inbox.has_work() {
            self.bell.wait_for(&mut inbox, COLLECT);
        }
    }
}

pub(super) const CLOSED: Error = Error::text("the store is closed");

impl Inbox {
    fn has_work(&self) -> bool {
        self.woken || self.stopped || !self.requests.is_empty() || !self.ended.is_empty()
    }
}
