//! The embedded store behind a C interface.
//!
//! A store is opened in memory or in a directory, runs any command, given as words with their
//! lengths, and answers with a reply whose type and parts are asked for. Handles are pointers that
//! only this library looks into; whoever gets one gives it back with the function that frees it.
//!
//! Threads share a store. A session belongs to one thread at a time, and a reply to whoever holds
//! it. A panic does not cross: the call answers with an error. Handles that are null are answered,
//! too; any other pointer that is not what it is said to be is the caller's fault, as everywhere in
//! C.

mod guard;
#[cfg(target_family = "wasm")]
pub mod memory;
mod platform;
pub mod reply;
pub mod store;

use std::ffi::{c_char, c_int};

/// The version of this interface. It changes when a function changes or goes, not when one comes.
#[unsafe(no_mangle)]
pub extern "C" fn kvik_abi_version() -> c_int {
    1
}

/// The version of the library, as text that ends with a zero and is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn kvik_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}
