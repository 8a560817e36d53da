//! The locks and atomics by which threads hand messages to each other.
//!
//! They are parking_lot's and the standard library's. In the tests of `crate::model` they are
//! loom's, which runs the threads in all orders that the memory model allows; names are then hashed
//! with a fixed seed, since a model must take the same locks in every run.

#[cfg(not(all(test, feature = "model")))]
pub(crate) use {
    foldhash::fast::RandomState as HashState,
    parking_lot::{Mutex, MutexGuard, RwLock},
    std::sync::atomic::AtomicUsize,
};

#[cfg(all(test, feature = "model"))]
pub(crate) use {
    foldhash::fast::FixedState as HashState,
    loom::sync::MutexGuard,
    loom::sync::atomic::AtomicUsize,
    modelled::{Mutex, RwLock},
};

#[cfg(all(test, feature = "model"))]
mod modelled {
    //! loom's locks with parking_lot's interface.

    #![expect(clippy::unwrap_used, reason = "only tests use this")]

    use loom::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

    /// A lock.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        #[track_caller]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    /// A lock that readers share.
    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(loom::sync::RwLock<T>);

    impl<T> RwLock<T> {
        #[track_caller]
        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap()
        }

        #[track_caller]
        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap()
        }
    }
}
