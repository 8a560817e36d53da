//! The most elements that are touched while stripes are held once, in builds with debug assertions.
//!
//! A section begins when a thread takes its first stripe and ends when it has let go of all.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kvik_store::take_touched;

thread_local! {
    /// The stripes that this thread holds.
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// A stripe that is held, as far as sections are measured.
pub(super) struct Measured<'a>(&'a AtomicU64);

impl<'a> Measured<'a> {
    /// The stripe whose longest section is this has been locked.
    pub(super) fn begin(longest: &'a AtomicU64) -> Self {
        let held = HELD.get();
        if held == 0 {
            // What was touched before was under no lock, or under one that is shared.
            take_touched();
        }
        HELD.set(held + 1);
        Self(longest)
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        let held = HELD.get() - 1;
        HELD.set(held);
        if held == 0 {
            self.0.fetch_max(take_touched(), Relaxed);
        }
    }
}
