//! loom's locks and atomics with parking_lot's interface.

#![expect(clippy::unwrap_used, reason = "only tests use this")]

use std::ops::{Deref, DerefMut};
use std::time::Duration;

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64};

/// A lock.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

/// A lock that is held. Empty only inside [`Condvar::wait`].
pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap()))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().unwrap()
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().unwrap()
    }
}

/// A condition. Time does not pass in a model: who waits for a while waits until it is told, and a
/// model in which nobody tells it fails as a deadlock.
#[derive(Debug, Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    #[track_caller]
    pub(crate) fn wait<T>(&self, held: &mut MutexGuard<'_, T>) {
        let waiting = held.0.take().unwrap();
        held.0 = Some(self.0.wait(waiting).unwrap());
    }

    #[track_caller]
    pub(crate) fn wait_for<T>(&self, held: &mut MutexGuard<'_, T>, _at_most: Duration) -> bool {
        self.wait(held);
        true
    }
}
