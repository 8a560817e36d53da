//! The locks and atomics by which threads of a store wait for each other.
//!
//! They are parking_lot's and the standard library's. In the tests of [`crate::model`] they are
//! loom's, which runs the threads in all orders that the memory model allows. What merely counts
//! does not come from here.

#[expect(unsafe_code, reason = "it hands out what it guards")]
pub(crate) mod biased;
#[cfg(all(test, feature = "model"))]
mod modelled;

#[cfg(all(test, feature = "model"))]
pub(crate) use modelled::{AtomicU64, Condvar, Mutex, MutexGuard, doze, pause};
#[cfg(not(all(test, feature = "model")))]
pub(crate) use {
    parking_lot::{Condvar, Mutex, MutexGuard},
    std::sync::atomic::AtomicU64,
};

/// Lets some time pass before a thread looks again for what another one is about to do; `looks` is
/// how often it has looked.
#[cfg(not(all(test, feature = "model")))]
pub(crate) fn pause(looks: u32) {
    /// Looks after which the other thread has probably lost its processor.
    const FEW: u32 = 100;

    if looks < FEW {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// The same for what may take long.
#[cfg(not(all(test, feature = "model")))]
pub(crate) fn doze(looks: u32) {
    /// Looks after which it takes long.
    const MANY: u32 = 200;
    const NAP: std::time::Duration = std::time::Duration::from_micros(100);

    if looks < MANY {
        pause(looks);
    } else {
        std::thread::park_timeout(NAP);
    }
}
