//! How far the log is durable, and who waits for more.
//!
//! The log's thread [advances](Durability::advance) the position; an I/O thread that has output
//! which reveals more [holds](Durability::must_hold) it and is woken then. A thread that holds
//! nothing is never woken, and without such a log nobody ever looks here.
//!
//! Either the I/O thread sees the new position, or the log's thread sees that the other one holds
//! something: both take the lock of [`Holding`], the one before it looks and the other after it has
//! advanced.

use std::sync::atomic::Ordering;

use crate::sync::{AtomicU64, Mutex};

/// The state of the log, as all I/O threads see it.
#[derive(Debug)]
pub(crate) struct Durability {
    /// Effects before this position survive a crash.
    lsn: AtomicU64,
    /// How often effects were lost that output may wait for.
    losses: AtomicU64,
    /// Every reply of a test waits for this position.
    #[cfg(test)]
    pub(crate) demanded: std::sync::atomic::AtomicU64,
}

/// Whether one I/O thread holds output and must be woken.
#[derive(Debug)]
pub(crate) struct Holding(Mutex<bool>);

impl Holding {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(false))
    }

    /// Whether the thread is to be woken, which it is once.
    pub(crate) fn take(&self) -> bool {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Durability {
    pub(crate) fn new() -> Self {
        Self {
            lsn: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            #[cfg(test)]
            demanded: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// Effects before this position survive a crash.
    pub(crate) fn lsn(&self) -> u64 {
        self.lsn.load(Ordering::Acquire)
    }

    /// How often effects were lost.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// Whether output that reveals effects up to `lsn` must be held. If so, the thread is woken
    /// when the position advances or effects are lost.
    pub(crate) fn must_hold(&self, holding: &Holding, lsn: u64) -> bool {
        *holding.0.lock() = true;
        lsn > self.lsn()
    }

    /// The position is at least `lsn`. The threads that hold output are to be woken then.
    pub(crate) fn advance(&self, lsn: u64) {
        self.lsn.fetch_max(lsn, Ordering::AcqRel);
    }

    /// Effects were lost. The threads that hold output are to be woken then.
    pub(crate) fn lose(&self) {
        self.losses.fetch_add(1, Ordering::AcqRel);
    }
}
