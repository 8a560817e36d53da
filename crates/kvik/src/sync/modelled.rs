//! loom's locks and atomics with parking_lot's interface, and with sequentially consistent
//! accesses.

#![expect(clippy::unwrap_used, reason = "only tests use this")]

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::time::Duration;

use loom::sync::atomic::fence;

/// A lock.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

/// A lock that is held. Empty only inside [`Condvar::wait_for`].
pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap()))
    }

    #[track_caller]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok().map(|held| MutexGuard(Some(held)))
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

/// A condition. Time does not pass in a model: who waits waits until it is told, and a model in
/// which nobody tells it fails as a deadlock.
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
    pub(crate) fn wait_for<T>(&self, held: &mut MutexGuard<'_, T>, _at_most: Duration) {
        let waiting = held.0.take().unwrap();
        held.0 = Some(self.0.wait(waiting).unwrap());
    }
}

loom::thread_local! {
    /// Whether this thread's latest sequentially consistent access was a store.
    static STORED: Cell<bool> = Cell::new(false);
}

/// An integer. loom takes a sequentially consistent access for one that acquires or releases, which
/// allows a load to come before a store that the program has before it. A fence between the two
/// forbids that, provided that both are sequentially consistent: one that is not gets no fence, so
/// that a model in which it should have been fails.
#[derive(Debug)]
pub(crate) struct AtomicU64(loom::sync::atomic::AtomicU64);

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> Self {
        Self(loom::sync::atomic::AtomicU64::new(value))
    }

    #[track_caller]
    pub(crate) fn load(&self, order: Ordering) -> u64 {
        if order == Ordering::SeqCst && STORED.with(|stored| stored.replace(false)) {
            fence(Ordering::SeqCst);
        }
        self.0.load(order)
    }

    #[track_caller]
    pub(crate) fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
        if order == Ordering::SeqCst {
            STORED.with(|stored| stored.set(true));
        }
    }

    #[track_caller]
    pub(crate) fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        let before = self.0.fetch_or(value, order);
        if order == Ordering::SeqCst {
            STORED.with(|stored| stored.set(true));
        }
        before
    }

    pub(crate) fn fetch_min(&self, value: u64, order: Ordering) -> u64 {
        assert_eq!(order, Ordering::Relaxed, "no fence is modelled for it");
        self.0.fetch_min(value, order)
    }
}

/// Lets another thread run.
pub(crate) fn pause(_looks: u32) {
    loom::thread::yield_now();
}

/// Lets another thread run.
pub(crate) fn doze(looks: u32) {
    pause(looks);
}
