//! How many bytes the store may use, and about how many it does.
//!
//! Stripes publish what they hold; who has to know whether a command still fits cannot add up all
//! of them each time. So each stripe tells the budget of its growth when that exceeds a credit.
//! The sum is never off by more than the credit of every stripe together, which is a small part of
//! the limit. Without a limit nobody asks, and the credit is endless.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

/// Growth that a stripe need not tell at most.
const MOST_CREDIT: u64 = 64 << 10;
/// The part of the limit by which the sum may be off.
const ACCURACY: u64 = 512;

/// The limit of memory and about how much of it is used.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Bytes that may be used; 0 is no limit.
    limit: AtomicU64,
    credit: AtomicU64,
    /// Bytes in use, as far as the budget was told.
    used: CachePadded<AtomicI64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            limit: AtomicU64::new(0),
            credit: AtomicU64::new(u64::MAX),
            used: CachePadded::new(AtomicI64::new(0)),
        }
    }
}

impl Budget {
    /// Bytes that may be used; 0 is no limit.
    #[inline]
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// Sets the limit of a store of so many stripes. What they have not told yet is to be
    /// [settled](Self::settle) then.
    pub(crate) fn set_limit(&self, bytes: u64, stripes: usize) {
        let credit = match bytes {
            0 => u64::MAX,
            _ => (bytes / ACCURACY / stripes as u64).min(MOST_CREDIT),
        };
        self.credit.store(credit, Relaxed);
        self.limit.store(bytes, Relaxed);
    }

    /// Bytes in use, within the credits.
    pub(crate) fn used(&self) -> u64 {
        u64::try_from(self.used.load(Relaxed)).unwrap_or(0)
    }

    /// Notes that a stripe has grown by so much, or shrunk. Called while it is held.
    #[inline]
    pub(crate) fn note(&self, unsettled: &AtomicI64, grown: i64) {
        let sum = unsettled.load(Relaxed).wrapping_add(grown);
        let exceeds = sum.unsigned_abs() > self.credit.load(Relaxed);
        unsettled.store(if exceeds { 0 } else { sum }, Relaxed);
        if exceeds {
            self.settle(sum);
        }
    }

    /// Takes growth into account.
    pub(crate) fn settle(&self, grown: i64) {
        self.used.fetch_add(grown, Relaxed);
    }
}
