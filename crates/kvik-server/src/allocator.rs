//! The allocator of the process, as far as it can be asked to give memory back to the system.
//!
//! A program chooses its allocator, and a library cannot know it: the program says how to ask.

use std::sync::OnceLock;

static TRIM: OnceLock<fn(bool)> = OnceLock::new();

/// Has the server ask the process's allocator by `trim` to give back what it keeps unused: about
/// once a second what has been unused for a while, on a thread on which nobody waits; and, with
/// `true`, at once all that the calling thread can give, for MEMORY PURGE. The first call counts.
pub fn trim_allocator_by(trim: fn(bool)) {
    let _ = TRIM.set(trim);
}

pub(crate) fn trim(thoroughly: bool) {
    if let Some(trim) = TRIM.get() {
        trim(thoroughly);
    }
}
