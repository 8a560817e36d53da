//! The alarm: how whoever holds a stripe wakes the upkeep thread.
//!
//! The thread announces when it will wake by itself. A deadline before that rings, and so does
//! garbage; every other unlock costs one or two loads.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kvik_store::Garbage;

use crate::sync::{AtomicU64, Condvar, Mutex};

/// The alarm that wakes the upkeep thread.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// When the thread wakes by itself, in milliseconds since the epoch; 0 while it is awake.
    pub(crate) planned_ms: AtomicU64,
    /// About when the next key expires anywhere, in milliseconds since the epoch: for those who may
    /// help.
    pub(crate) earliest_ms: AtomicU64,
    work: Mutex<AlarmState>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct AlarmState {
    garbage: Vec<Garbage>,
    rung: bool,
    stop: bool,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            planned_ms: AtomicU64::new(0),
            earliest_ms: AtomicU64::new(u64::MAX),
            work: Mutex::default(),
            rung: Condvar::new(),
        }
    }
}

impl Alarm {
    /// A key expires at this time, in milliseconds since the epoch.
    #[inline]
    pub(crate) fn due_at(&self, due_ms: u64) {
        // Only a hint for those who may help, so that it needs no order.
        if due_ms < self.earliest_ms.load(Ordering::Relaxed) {
            self.earliest_ms.fetch_min(due_ms, Ordering::Relaxed);
        }
        // The caller has published the deadline before. Either the thread, which announces its plan
        // and then looks, sees the deadline, or this load sees the plan.
        if due_ms < self.planned_ms.load(Ordering::SeqCst) {
            self.ring(|_| ());
        }
    }

    /// There is memory to prepare.
    pub(crate) fn prepare(&self) {
        self.ring(|_| ());
    }

    /// Memory to free.
    pub(crate) fn discard(&self, mut garbage: Vec<Garbage>) {
        self.ring(|work| work.garbage.append(&mut garbage));
    }

    pub(crate) fn stop(&self) {
        self.ring(|work| work.stop = true);
    }

    fn ring(&self, add: impl FnOnce(&mut AlarmState)) {
        let mut work = self.work.lock();
        add(&mut work);
        work.rung = true;
        self.rung.notify_one();
    }

    /// The garbage there is, for who does the thread's work where there is none.
    pub(crate) fn take(&self) -> Vec<Garbage> {
        let mut work = self.work.lock();
        work.rung = false;
        std::mem::take(&mut work.garbage)
    }

    /// Sleeps for so long or until the alarm rings. Returns the garbage, or `None` when it is time
    /// to stop.
    pub(crate) fn sleep(&self, duration: Duration) -> Option<Vec<Garbage>> {
        // A ring that came before the thread fell asleep is kept in the flag.
        let mut work = self.work.lock();
        if !work.rung {
            self.rung.wait_for(&mut work, duration);
        }
        work.rung = false;
        // An awake thread needs no ring: it looks at all deadlines before it sleeps again.
        self.planned_ms.store(0, Ordering::SeqCst);
        if work.stop {
            None
        } else {
            Some(std::mem::take(&mut work.garbage))
        }
    }
}
