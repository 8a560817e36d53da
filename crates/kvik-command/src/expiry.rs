//! How late keys expire, as INFO reports it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Lateness of keys that the expiry thread deleted. A key met by a command after its time is gone
/// for that command, whatever these figures say.
#[derive(Debug, Default)]
pub struct ExpiryLag {
    last_ms: AtomicU64,
    max_ms: AtomicU64,
}

impl ExpiryLag {
    /// Records the worst lateness of one round.
    pub fn record(&self, lag_ms: u64) {
        self.last_ms.store(lag_ms, Ordering::Relaxed);
        self.max_ms.fetch_max(lag_ms, Ordering::Relaxed);
    }

    /// The worst lateness of the latest round that deleted keys, in milliseconds.
    pub fn last_ms(&self) -> u64 {
        self.last_ms.load(Ordering::Relaxed)
    }

    /// The worst lateness since the last reset, in milliseconds.
    pub fn max_ms(&self) -> u64 {
        self.max_ms.load(Ordering::Relaxed)
    }

    /// Forgets the past.
    pub fn reset(&self) {
        self.last_ms.store(0, Ordering::Relaxed);
        self.max_ms.store(0, Ordering::Relaxed);
    }
}
