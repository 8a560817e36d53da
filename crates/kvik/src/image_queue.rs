//! The queue of an image: changed keys that wait for it to write them, in bytes.
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

    /// An image begins, with this count of what waits.
    pub(crate) fn begin(&self, load: &Arc<ImageLoad>) {
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
