//! The log as the store sees it, and the store as the log's writer sees it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use kvik_command::Error;
use kvik_command::gate::Closure;
use kvik_log::{Admission, CommitError, FailureKind, Log, Lsn, SyncPolicy, Unit};

use crate::clock::{Clock, Tick};
use crate::effects::EffectLog;
use crate::shared::Shared;

/// Gives a store's effects to its log.
pub(super) struct LogPort {
    log: OnceLock<Arc<Log>>,
}

impl LogPort {
    pub(super) fn new() -> Self {
        Self {
            log: OnceLock::new(),
        }
    }

    /// Opens the port, once.
    pub(super) fn open(&self, log: Arc<Log>) {
        // A store has one log in its life, so there is no second call.
        let _ = self.log.set(log);
    }

    pub(super) fn get(&self) -> Option<&Arc<Log>> {
        self.log.get()
    }

    #[inline]
    fn log(&self) -> &Log {
        let log = self.log.get();
        log.expect("effects are collected only when the log is open")
    }
}

impl EffectLog for LogPort {
    #[inline]
    fn append(&self, unit: &mut Unit, now_ms: u64) -> Lsn {
        self.log().append(unit, now_ms)
    }

    #[inline]
    fn has_room(&self) -> bool {
        // A failed log refuses commands at the gate, with its reason.
        matches!(self.log().admission(), Admission::Open | Admission::Failed)
    }

    fn wait_for_room(&self) {
        std::thread::yield_now();
    }

    #[inline]
    fn is_synchronous(&self) -> bool {
        self.log().policy() == SyncPolicy::Always
    }

    #[inline]
    fn synced(&self) -> Lsn {
        self.log().synced()
    }

    fn wait_for_all(&self) -> Result<(), Error> {
        self.wait(self.log().appended())
    }

    fn wait(&self, lsn: Lsn) -> Result<(), Error> {
        self.log().wait(lsn).map_err(|error| match error {
            CommitError::Closed => Error::text("the store is closed"),
            error => Error::Coded("MISCONF", error.to_string().into()),
        })
    }
}

/// The clock of a store, as its log reads it.
pub(super) struct LogClock {
    clock: Clock,
    start: Tick,
}

impl LogClock {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            start: clock.instant(),
            clock,
        }
    }
}

impl kvik_log::Clock for LogClock {
    fn unix_ms(&self) -> u64 {
        self.clock.now_us() / 1000
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_us() / 1000
    }

    fn monotonic_us(&self) -> u64 {
        self.clock.instant().nanos_since(self.start) / 1000
    }
}

/// Has the log tell the store what becomes of it: what is durable goes to who waits for it, a
/// failure closes the gate.
pub(super) fn listen(log: &Arc<Log>, shared: &Arc<Shared>) {
    let (log_of, shared_of) = (Arc::downgrade(log), Arc::downgrade(shared));
    let before = AtomicU8::new(WELL);
    shared.feed.know_log(log);
    let readers = Arc::downgrade(shared);
    log.on_readable(Box::new(move || {
        if let Some(shared) = readers.upgrade() {
            shared.feed.wake_reader();
        }
    }));
    log.on_progress(Box::new(move |synced| {
        tell(&log_of, &shared_of, &before, synced);
    }));
}

/// The latest news of the log's writer.
const WELL: u8 = 0;
const WRITE_FAILED: u8 = 1;
const SYNC_FAILED: u8 = 2;

/// One call of the log's writer. Must be quick.
fn tell(log: &Weak<Log>, shared: &Weak<Shared>, before: &AtomicU8, synced: Lsn) {
    let (Some(log), Some(shared)) = (log.upgrade(), shared.upgrade()) else {
        return;
    };
    let engine = &shared.engine;
    match log.failure() {
        Some(failure) => {
            let now = match failure.kind {
                FailureKind::Write => WRITE_FAILED,
                FailureKind::Sync => SYNC_FAILED,
            };
            if before.swap(now, Ordering::Relaxed) != now {
                engine.gate.close_for_log(&failure.reason);
                let text = "the log cannot be written, writes are refused";
                engine.host.log(&format!("{text}: {}", failure.reason));
                // Nobody may be told of what a failed fsync has left unknown.
                if now == SYNC_FAILED {
                    engine.host.durability_lost();
                }
            }
        }
        None if before.swap(WELL, Ordering::Relaxed) != WELL => {
            engine.gate.open(Closure::LogFailed);
            engine.host.log("the log can be written again");
        }
        None => {}
    }
    engine.host.durable(synced.get());
    engine.pause.wake();
    engine.awaiting.retry(&engine.clients);
}
