//! Which clients wait for files: for a task to end, or for the log to be on disk.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::client::Clients;
use crate::mail::{Message, Post};

/// Clients whose commands are put off until something about files changes.
#[derive(Debug, Default)]
pub struct Awaiting {
    /// Whether there are any: looked at whenever the log has written.
    any: AtomicBool,
    clients: Mutex<Vec<u64>>,
}

impl Awaiting {
    /// A client waits. It is told once, and registers again if its wait goes on.
    pub fn add(&self, client: u64) {
        let mut clients = self.clients.lock();
        if !clients.contains(&client) {
            clients.push(client);
        }
        self.any.store(true, Ordering::Relaxed);
    }

    /// Has the commands of all who wait offered again.
    pub fn retry(&self, all: &Clients) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let mut clients = self.clients.lock();
        self.any.store(false, Ordering::Relaxed);
        let waiting = std::mem::take(&mut *clients);
        drop(clients);
        for client in waiting {
            // A client that has gone waits no more.
            let _ = all.deliver(client, Message::Retry);
        }
    }
}
