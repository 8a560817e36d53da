//! A command that runs on another thread, as its client's session sees it.

use kvik_resp::Output;
use parking_lot::Mutex;

/// Where the reply to a command arrives that runs elsewhere.
#[derive(Debug, Default)]
pub struct Away(Mutex<Option<Arrival>>);

/// The end of a command that ran elsewhere.
#[derive(Debug)]
pub struct Arrival {
    /// Its reply.
    pub out: Output,
    /// The place in the log up to which everything has to be on disk before it is told; 0 if none.
    pub lsn: u64,
}

impl Away {
    /// The command has ended. Its client is to be told that there is something to fetch.
    pub fn arrive(&self, arrival: Arrival) {
        *self.0.lock() = Some(arrival);
    }

    /// Takes the reply, once it has arrived.
    pub fn take(&self) -> Option<Arrival> {
        self.0.lock().take()
    }
}
