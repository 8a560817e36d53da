//! The way of messages to the connections of one thread.
//!
//! A publisher hands a message to a *thread* once, with the list of that thread's connections which
//! it is for; the thread writes it to each of them. So a message for a thousand connections costs
//! its publisher as much as one for two, and the thread takes all that has come since it last
//! looked: a connection gets what a whole batch holds for it in one piece.
//!
//! A thread is woken by the first message that it does not know of. Whoever publishes a batch
//! collects whom to wake in [`Rings`], and wakes them at the end of it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};

use crate::mail::Push;
use crate::sync::{AtomicUsize, Mutex};

/// Interrupts the wait of a thread that serves clients.
pub trait Bell: Send + Sync {
    /// Has the thread look for messages soon.
    fn ring(&self);
}

/// The messages for one thread's connections, in the order in which all of them get them.
pub struct Outlet {
    queue: Mutex<DeliveryQueue>,
    /// How many messages wait, for a look without the lock.
    waiting: AtomicUsize,
    bell: Box<dyn Bell>,
    /// The thread, which looks by itself before it waits.
    owner: OnceLock<ThreadId>,
}

#[derive(Default)]
struct DeliveryQueue {
    waiting: Vec<Delivery>,
    /// How many have been taken so far.
    taken: u64,
}

/// A message and the places of those who get it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The places at this thread, ascending.
    pub places: Arc<Vec<u64>>,
    /// The message.
    pub push: Push,
}

/// Where a thread serves a client: its outlet, and the client's number there.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The thread's outlet.
    pub outlet: Arc<Outlet>,
    /// Names the connection among those of the thread, and is never given to another one.
    pub place: u64,
}

impl Outlet {
    /// The outlet of a thread that waits for this bell.
    pub fn new(bell: impl Bell + 'static) -> Self {
        Self {
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            bell: Box::new(bell),
            owner: OnceLock::new(),
        }
    }

    /// Names the calling thread as the one that takes the messages. It is never woken by itself:
    /// it looks whether something [waits](Self::is_empty) before it goes to sleep.
    pub fn own(&self) {
        // A second call would be of the same thread.
        let _ = self.owner.set(thread::current().id());
    }

    /// Appends a message. Says whether the thread has to be woken for it.
    pub(super) fn put(&self, delivery: Delivery) -> bool {
        let mut queue = self.queue.lock();
        queue.waiting.push(delivery);
        let count = queue.waiting.len();
        self.waiting.store(count, Ordering::Release);
        count == 1
    }

    /// Whether no message waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Takes all messages into an empty vector, whose room the next ones get. Returns the number of
    /// the first: all messages are numbered one after the other.
    pub fn take(&self, into: &mut Vec<Delivery>) -> u64 {
        let mut queue = self.queue.lock();
        std::mem::swap(&mut queue.waiting, into);
        self.waiting.store(0, Ordering::Release);
        let first = queue.taken;
        queue.taken += into.len() as u64;
        first
    }

    /// Copies the messages for one place out of those that wait, from number `from` on. Returns
    /// them and the number of the next message that will come.
    pub(super) fn ahead(&self, place: u64, from: u64) -> (Vec<Push>, u64) {
        let queue = self.queue.lock();
        let skipped = from.saturating_sub(queue.taken) as usize;
        let rest = queue.waiting.get(skipped..).unwrap_or_default();
        let own = rest
            .iter()
            .filter(|delivery| delivery.places.binary_search(&place).is_ok());
        let pushes = own.map(|delivery| delivery.push.clone()).collect();
        (pushes, queue.taken + queue.waiting.len() as u64)
    }

    fn ring(&self) {
        if self.owner.get() != Some(&thread::current().id()) {
            self.bell.ring();
        }
    }
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

/// The threads that have to be woken for what was published. It does so when it is dropped, at the
/// latest.
#[derive(Debug, Default)]
pub struct Rings(Vec<Arc<Outlet>>);

impl Rings {
    pub(super) fn note(&mut self, outlet: &Arc<Outlet>) {
        self.0.push(Arc::clone(outlet));
    }

    /// Whether there is nobody to wake.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Wakes them.
    pub fn ring(&mut self) {
        for outlet in self.0.drain(..) {
            outlet.ring();
        }
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        self.ring();
    }
}
