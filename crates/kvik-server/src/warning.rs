//! Warnings that strangers can cause at will, as many as they like: one of each kind a second is
//! logged, and with the next one how many were not.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

const PERIOD_MS: u64 = 1000;

/// One kind of warning.
pub(crate) struct RateLimitedWarning {
    /// When the next one may be logged, in milliseconds since the epoch.
    next_ms: AtomicU64,
    unsaid: AtomicU64,
}

impl RateLimitedWarning {
    pub(crate) const fn new() -> Self {
        Self {
            next_ms: AtomicU64::new(0),
            unsaid: AtomicU64::new(0),
        }
    }

    /// Logs a warning, unless there was one of its kind within the last second.
    pub(crate) fn warn(&self, now_ms: u64, text: &str) {
        match self.admit(now_ms) {
            Some(0) => tracing::warn!("{text}"),
            Some(unsaid) => {
                tracing::warn!("{text} ({unsaid} times more since this was last logged)")
            }
            None => {}
        }
    }

    /// How many were not logged before this one, or none if it is not to be logged either.
    fn admit(&self, now_ms: u64) -> Option<u64> {
        let next_ms = self.next_ms.load(Relaxed);
        // A clock that was set back must not silence it for long.
        let is_due = now_ms >= next_ms || next_ms - now_ms > PERIOD_MS;
        let turn = || {
            self.next_ms
                .compare_exchange(next_ms, now_ms + PERIOD_MS, Relaxed, Relaxed)
        };
        if is_due && turn().is_ok() {
            return Some(self.unsaid.swap(0, Relaxed));
        }
        self.unsaid.fetch_add(1, Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_logged_and_the_others_are_counted() {
        let kind = RateLimitedWarning::new();
        assert_eq!(kind.admit(10_000), Some(0));
        assert_eq!(kind.admit(10_500), None);
        assert_eq!(kind.admit(10_999), None);
        assert_eq!(kind.admit(11_000), Some(2));
        assert_eq!(kind.admit(11_001), None);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_it() {
        let kind = RateLimitedWarning::new();
        assert_eq!(kind.admit(1_000_000), Some(0));
        assert_eq!(kind.admit(5_000), Some(0));
    }
}
