//! Ids of large collections whose changes somebody follows.
//!
//! A collection has none until a copy of it is made or its changes are to be undone. Its journals
//! and its traces are found by the id, however often it is moved or taken out of its entry.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names a collection whose changes are followed, in this process and for ever.
pub(crate) type Source = NonZeroU64;

static SOURCES: AtomicU64 = AtomicU64::new(1);

/// An id for a collection that has none.
pub(crate) fn name_source() -> Source {
    let number = SOURCES.fetch_add(1, Ordering::Relaxed);
    Source::new(number).expect("2^64 collections take centuries")
}
