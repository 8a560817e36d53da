//! The queue of an image: changed keys that wait for it to write them, in bytes; and how far it is.
//!
//! A change of a key that the image still lacks hands over its old value. Where more than
//! `snapshot-buffer-limit` waits, no write begins before some of it is written.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::image::ImageLoad;
use parking_lot::Mutex;

/// How much waits for the image that is being taken.
#[derive(Default)]
pub(crate) struct ImageQueue {
    load: Mutex<Option<Arc<ImageLoad>>>,
    /// Keys there were when the image began.
    keys_total: AtomicU64,
    peak_bytes: AtomicU64,
    deferred: AtomicU64,
}

impl ImageQueue {
    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.load
            .lock()
            .as_ref()
            .map_or(0, |load| load.bytes() as u64)
    }

    /// The most that waited for this image, or the last one.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Relaxed)
    }

    /// Times a write was put off because too much waited.
    pub(crate) fn deferred(&self) -> u64 {
        self.deferred.load(Relaxed)
    }

    /// Whether a write is put off where so many bytes may wait.
    pub(crate) fn defers(&self, limit: u64) -> bool {
        let is_full = self.bytes() > limit;
        self.deferred.fetch_add(u64::from(is_full), Relaxed);
        is_full
    }

    /// Keys that the image has, and how many of them are written; zeros where none is being taken.
    pub(crate) fn keys(&self) -> (u64, u64) {
        let load = self.load.lock();
        let keys = load.as_ref().map(|load| load.keys());
        keys.map_or((0, 0), |keys| (self.keys_total.load(Relaxed), keys))
    }

    /// An image of so many keys begins, with this count of what waits.
    pub(crate) fn begin(&self, load: &Arc<ImageLoad>, keys_total: u64) {
        self.keys_total.store(keys_total, Relaxed);
        self.peak_bytes.store(0, Relaxed);
        *self.load.lock() = Some(Arc::clone(load));
    }

    /// Notes how much waits now.
    pub(crate) fn note(&self) {
        self.peak_bytes.fetch_max(self.bytes(), Relaxed);
    }

    /// The image has ended.
    pub(crate) fn end(&self) {
        *self.load.lock() = None;
    }
}
