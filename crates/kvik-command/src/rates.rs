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
    client_bytes: AtomicU64,
    /// By database, in milliseconds.
    average_ttls: Mutex<Vec<(u32, u64)>>,
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

    /// Notes how much the buffers of clients take.
    pub fn note_clients(&self, bytes: u64) {
        self.client_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of the buffers of clients, of late.
    pub fn client_bytes(&self) -> u64 {
        self.client_bytes.load(Ordering::Relaxed)
    }

    /// Notes how long keys that expire have to live on average, by database, in milliseconds.
    pub fn set_average_ttls(&self, ttls: Vec<(u32, u64)>) {
        *self.average_ttls.lock() = ttls;
    }

    /// How long the keys of a database that expire have to live on average, in milliseconds; 0
    /// while nobody has looked.
    pub fn average_ttl_ms(&self, db: u32) -> u64 {
        let ttls = self.average_ttls.lock();
        let found = ttls.iter().find(|&&(of, _)| of == db);
        found.map_or(0, |&(_, ttl_ms)| ttl_ms)
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
