//! The allocator: mimalloc, which keeps freed memory for the thread that freed it and gives it back
//! to the system only while that thread allocates. So it is asked now and then.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::code_pages;

/// Calls of [`trim`] so far, one a second. The first comes when the server starts.
static CALLS: AtomicU32 = AtomicU32::new(0);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Gives back to the system what has been unused for a second; thoroughly, all that is unused,
/// with what the calling thread keeps for its next allocations, and the pages of code that nobody
/// needs now. Those go by themselves a second after the start, which has needed most of them.
#[expect(unsafe_code, reason = "a function of a C library")]
pub(crate) fn trim(thoroughly: bool) {
    // SAFETY: the function may be called at any time from any thread, and takes no pointers.
    unsafe { libmimalloc_sys::mi_collect(thoroughly) }
    if CALLS.fetch_add(1, Ordering::Relaxed) == 1 || thoroughly {
        code_pages::release();
    }
}
