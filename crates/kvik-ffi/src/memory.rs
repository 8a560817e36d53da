//! Memory of a WebAssembly module, for its page to write words to. Other callers have their own.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::null_mut;

/// As much as any word or array of pointers needs.
const ALIGNMENT: usize = 8;

/// Takes `length` bytes of memory; null if there are none left.
#[unsafe(no_mangle)]
pub extern "C" fn kvik_take(length: usize) -> *mut u8 {
    match layout(length) {
        // SAFETY: the layout is of at least one byte.
        Some(layout) => unsafe { alloc(layout) },
        None => null_mut(),
    }
}

/// Gives memory back. Null is none.
///
/// # Safety
/// It is null, or was taken with this length and has not been given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_give(memory: *mut u8, length: usize) {
    if let Some(layout) = layout(length).filter(|_| !memory.is_null()) {
        // SAFETY: by the contract of this function it was taken with this layout.
        unsafe { dealloc(memory, layout) };
    }
}

fn layout(length: usize) -> Option<Layout> {
    Layout::from_size_align(length.max(1), ALIGNMENT).ok()
}
