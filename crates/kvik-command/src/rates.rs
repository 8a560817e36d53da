//! Rates and peaks: what needs looking at regularly, which the upkeep thread does.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::stats::Totals;

/// Operations and bytes per second, and the peaks of memory.
#[derive(Debug, Default)]
pub struct Rates {
    last: Mutex<Option<(u64, Totals)>>,
    ops_per_sec: AtomicU64,
    bytes_in_per_sec: AtomicU64,
    bytes_out_per_sec: AtomicU64,
    peak_bytes: AtomicU64,
}

impl Rates {
    /// Takes a sample: the counters since the start, at a time in milliseconds.
    pub fn sample(&self, now_ms: u64, totals: Totals) {
        let mut last = self.last.lock();
        if let Some((then_ms, before)) = last.as_ref() {
            let elapsed_ms = now_ms.saturating_sub(*then_ms).max(1);
            let rate = |now: u64, then: u64| now.wrapping_sub(then) * 1000 / elapsed_ms;
            self.ops_per_sec
                .store(rate(totals.commands, before.commands), Ordering::Relaxed);
            self.bytes_in_per_sec
                .store(rate(totals.bytes_in, before.bytes_in), Ordering::Relaxed);
            self.bytes_out_per_sec
                .store(rate(totals.bytes_out, before.bytes_out), Ordering::Relaxed);
        }
        *last = Some((now_ms, totals));
    }

    /// Notes how much memory is used.
    pub fn note_memory(&self, bytes: u64) {
        self.peak_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Forgets the highest use of memory.
    pub fn reset_peak(&self) {
        self.peak_bytes.store(0, Ordering::Relaxed);
    }

    /// Commands per second, of late.
    pub fn ops_per_sec(&self) -> u64 {
        self.ops_per_sec.load(Ordering::Relaxed)
    }

    /// Bytes received per second, of late.
    pub fn bytes_in_per_sec(&self) -> u64 {
        self.bytes_in_per_sec.load(Ordering::Relaxed)
    }

    /// Bytes sent per second, of late.
    pub fn bytes_out_per_sec(&self) -> u64 {
        self.bytes_out_per_sec.load(Ordering::Relaxed)
    }

    /// The highest use of memory noted, in bytes. Looked at once a second.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }
}
