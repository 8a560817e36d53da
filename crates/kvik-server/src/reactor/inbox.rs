//! The requests of other threads to an I/O thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kvik_command::pubsub::{Bell, Outlet};
use parking_lot::Mutex;
use socket2::Socket;

use super::connection::Connection;
use super::mail::MailQueue;
use crate::door::Door;
use crate::durability::Holding;
use crate::listening::OpenDoor;
use crate::net::Waker;

/// The tasks of one I/O thread. Whoever leaves something wakes the thread.
pub(crate) struct Inbox {
    /// The connections that have mail.
    pub(super) mail: Arc<MailQueue>,
    /// Messages of channels for its connections.
    pub(super) outlet: Arc<Outlet>,
    /// Whether the thread waits for the log.
    pub(crate) holding: Holding,
    sockets: Mutex<Vec<(Socket, Door)>>,
    doors: Mutex<Vec<OpenDoor>>,
    arrivals: Mutex<Vec<Arrival>>,
    /// Keys whose stripes are to be held for so long.
    holds: Mutex<Vec<(Vec<u8>, Duration)>>,
    /// All clients of this thread are to be looked at again.
    attention: AtomicBool,
    stop: AtomicBool,
    /// Connections of this thread, those on their way included.
    pub(crate) connections: AtomicUsize,
    waker: Waker,
}

impl Bell for Waker {
    fn ring(&self) {
        self.wake();
    }
}

/// A connection that comes from another thread.
pub(crate) struct Arrival {
    pub(super) socket: Socket,
    pub(super) connection: Box<Connection>,
}

impl Inbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            mail: Arc::new(MailQueue::new(waker.clone())),
            outlet: Arc::new(Outlet::new(waker.clone())),
            holding: Holding::new(),
            sockets: Mutex::default(),
            doors: Mutex::default(),
            arrivals: Mutex::default(),
            holds: Mutex::default(),
            attention: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            waker,
        }
    }

    /// Hands a connected client over.
    pub(crate) fn give(&self, socket: Socket, door: Door) {
        self.sockets.lock().push((socket, door));
        self.waker.wake();
    }

    /// Hands over a door, to accept from.
    pub(crate) fn add_door(&self, open: OpenDoor) {
        self.doors.lock().push(open);
        self.waker.wake();
    }

    /// Hands over a connection of another thread.
    pub(crate) fn pass(&self, arrival: Arrival) {
        self.arrivals.lock().push(arrival);
        self.waker.wake();
    }

    /// Has the stripe of a key held for so long.
    pub(crate) fn hold(&self, key: &[u8], duration: Duration) {
        self.holds.lock().push((key.to_vec(), duration));
        self.waker.wake();
    }

    /// Has the thread see how many threads are awake, and how far the log is durable.
    pub(crate) fn nudge(&self) {
        self.waker.wake();
    }

    /// Has the thread look at all its clients: a pause has ended, or limits have changed.
    pub(crate) fn attend(&self) {
        self.attention.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Has the thread answer what it has read, close its connections and end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn take_sockets(&self) -> Vec<(Socket, Door)> {
        std::mem::take(&mut *self.sockets.lock())
    }

    pub(super) fn take_doors(&self) -> Vec<OpenDoor> {
        std::mem::take(&mut *self.doors.lock())
    }

    pub(super) fn take_arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.arrivals.lock())
    }

    pub(super) fn take_holds(&self) -> Vec<(Vec<u8>, Duration)> {
        std::mem::take(&mut *self.holds.lock())
    }

    pub(super) fn take_attention(&self) -> bool {
        self.attention.swap(false, Ordering::AcqRel)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
