//! The locks and atomics by which threads of a server wait for each other.
//!
//! They are parking_lot's and the standard library's. In the tests of [`crate::model`] they are
//! loom's, which runs the threads in all orders that the memory model allows.

#[cfg(not(all(test, feature = "model")))]
pub(crate) use {parking_lot::Mutex, std::sync::atomic::AtomicU64};

#[cfg(all(test, feature = "model"))]
pub(crate) use {loom::sync::atomic::AtomicU64, modelled::Mutex};

#[cfg(all(test, feature = "model"))]
mod modelled {
    //! loom's lock with parking_lot's interface.

    #![expect(clippy::unwrap_used, reason = "only tests use this")]

    /// A lock.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        #[track_caller]
        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }
}
