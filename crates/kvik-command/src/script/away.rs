//! A command that runs on another thread, as its client's session sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use kvik_resp::Output;
use parking_lot::{Condvar, Mutex};

/// Where the reply to a command arrives that runs elsewhere: whole, or part by part.
#[derive(Debug)]
pub struct Away {
    arrived: Mutex<Arrived>,
    /// Bytes that have arrived anywhere and have not been taken.
    all_bytes: Arc<AtomicUsize>,
    /// Parts have been taken, or nobody wants them any more.
    taken: Condvar,
    is_abandoned: AtomicBool,
}

/// The part of a reply that has arrived and has not been taken.
#[derive(Debug, Default)]
struct Arrived {
    parts: Output,
    lsn: u64,
    /// How the command has ended, once it has.
    end: Option<AwayEnd>,
}

/// How a command has ended that ran elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwayEnd {
    /// Its reply is whole.
    Answered,
    /// It has found nothing, and is to be run where its client can wait.
    ComesBack,
    /// It has failed when a part of its reply had been sent: nothing can follow that.
    BrokenOff,
}

/// A part of the reply to a command that runs on another thread.
#[derive(Debug)]
pub struct AwayReply {
    /// The bytes, behind those that were taken before.
    pub out: Output,
    /// The place in the log up to which everything has to be on disk before it is told; 0 if none.
    pub lsn: u64,
    /// How the command has ended; nothing if more is to come.
    pub end: Option<AwayEnd>,
}

impl Away {
    /// A place to which nothing has come. `all_bytes` counts what waits in any of them.
    pub fn new(all_bytes: &Arc<AtomicUsize>) -> Self {
        Self {
            arrived: Mutex::default(),
            all_bytes: Arc::clone(all_bytes),
            taken: Condvar::new(),
            is_abandoned: AtomicBool::new(false),
        }
    }

    /// A part of the reply has come. Says whether the client is to be told so: it has taken all
    /// that was there before.
    pub fn arrive_part(&self, part: Output, lsn: u64) -> bool {
        let mut arrived = self.arrived.lock();
        let is_first = arrived.parts.is_empty();
        self.append(&mut arrived, part, lsn);
        is_first
    }

    /// The command has ended, with this behind what has come before. Its client is to be told that
    /// there is something to fetch.
    pub fn arrive(&self, rest: Output, lsn: u64, end: AwayEnd) {
        let mut arrived = self.arrived.lock();
        self.append(&mut arrived, rest, lsn);
        arrived.end = Some(end);
    }

    fn append(&self, arrived: &mut Arrived, part: Output, lsn: u64) {
        self.all_bytes.fetch_add(part.len(), Relaxed);
        arrived.parts.append(part);
        arrived.lsn = arrived.lsn.max(lsn);
    }

    /// Takes what has arrived, if anything has.
    pub fn take(&self) -> Option<AwayReply> {
        let mut arrived = self.arrived.lock();
        if arrived.parts.is_empty() && arrived.end.is_none() {
            return None;
        }
        let reply = AwayReply {
            out: std::mem::take(&mut arrived.parts),
            lsn: std::mem::take(&mut arrived.lsn),
            end: arrived.end,
        };
        drop(arrived);
        self.all_bytes.fetch_sub(reply.out.len(), Relaxed);
        self.taken.notify_one();
        Some(reply)
    }

    /// Waits for a moment, or until parts are taken, while there are more than so many bytes. Says
    /// whether there are as few.
    pub fn wait_for_room(&self, most: usize, moment: Duration) -> bool {
        let mut arrived = self.arrived.lock();
        if arrived.parts.len() > most && !self.is_abandoned() {
            self.taken.wait_for(&mut arrived, moment);
        }
        arrived.parts.len() <= most
    }

    /// Nobody will ask for the reply.
    pub fn abandon(&self) {
        self.is_abandoned.store(true, Relaxed);
        // Whoever has looked before it waits has the lock until it does.
        drop(self.arrived.lock());
        self.taken.notify_one();
    }

    /// Whether nobody will.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Relaxed)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        let left = self.arrived.get_mut().parts.len();
        self.all_bytes.fetch_sub(left, Relaxed);
    }
}
