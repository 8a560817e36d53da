//! The locks and atomics by which those who append and the writer wait for each other.
//!
//! They are parking_lot's and the standard library's. In the tests of [`crate::model`] they are
//! loom's, which runs the threads in all orders that the memory model allows. What merely counts
//! does not come from here.

#[cfg(all(test, feature = "model"))]
mod modelled;

#[cfg(all(test, feature = "model"))]
pub(crate) use modelled::{AtomicBool, AtomicU64, Condvar, Mutex};
#[cfg(not(all(test, feature = "model")))]
pub(crate) use {
    parking_lot::{Condvar, Mutex},
    std::sync::atomic::{AtomicBool, AtomicU64},
};
