//! A command that runs on another thread, as its client's session sees it.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use kvik_resp::Output;
use parking_lot::Mutex;

/// Where the reply to a command arrives that runs elsewhere.
#[derive(Debug, Default)]
pub struct Away {
    reply: Mutex<Option<AwayReply>>,
    is_abandoned: AtomicBool,
}

/// The end of a command that ran elsewhere.
#[derive(Debug)]
pub struct AwayReply {
    /// Its reply.
    pub out: Output,
    /// The place in the log up to which everything has to be on disk before it is told; 0 if none.
    pub lsn: u64,
}

impl Away {
    /// The command has ended. Its client is to be told that there is something to fetch.
    pub fn arrive(&self, arrival: AwayReply) {
        *self.reply.lock() = Some(arrival);
    }

    /// Takes the reply, once it has arrived.
    pub fn take(&self) -> Option<AwayReply> {
        self.reply.lock().take()
    }

    /// Nobody will ask for the reply.
    pub fn abandon(&self) {
        self.is_abandoned.store(true, Relaxed);
    }

    /// Whether nobody will.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Relaxed)
    }
}
