//! Clients that are blocked on keys.
//!
//! A command that finds nothing has its client wait ([`Ctx::block`](crate::Ctx::block)): the call,
//! with all it takes to run it again, joins the lines of its keys while their stripes are still
//! held. Whoever changes such a key later runs the call inside its own section and leaves the reply
//! in the client's mailbox.
//!
//! A wait ends once. What ends it [claims](BlockedCall::claim) it by a compare-and-set before it
//! does anything else: who serves it before it takes an element, the client's thread when the time
//! is up or the connection is gone, CLIENT UNBLOCK, CLIENT KILL. Who comes too late leaves it
//! alone. So an element is never taken for a connection that is known to be gone, and never twice.
//! Afterwards the client's thread takes the call out of the lines in which it still stands.

mod waits;

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize};

use kvik_resp::{ArgsBuf, Protocol, Reply};
use kvik_store::{KeyspaceId, LineChange, Waiter, Wanted};

use crate::client::Client;
use crate::declare::Command;

pub use crate::ending::{Ending, Wait};

/// The end of a wait that no time limits.
pub const NEVER_MS: u64 = u64::MAX;

/// The reply of a wait that ends without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// No value, as an array.
    NullArray,
    /// Zero.
    Zero,
}

impl Nothing {
    fn write(self, reply: &mut Reply<'_>) {
        match self {
            Self::NullArray => reply.null_array(),
            Self::Zero => reply.integer(0),
        }
    }
}

/// A wait that a command asks for.
#[derive(Debug)]
pub struct Block {
    /// The type that its keys must hold.
    pub wanted: Wanted,
    /// Which words are its keys.
    pub keys: Range<usize>,
    /// When its time is up, in milliseconds since the epoch, or [`NEVER_MS`].
    pub until_ms: u64,
    /// Its reply then.
    pub nothing: Nothing,
    /// When it looks at its keys though nothing has happened to them, or [`NEVER_MS`].
    pub look_ms: u64,
    /// The words to run again, if not those of the call.
    pub words: Option<ArgsBuf>,
}

impl Block {
    /// A wait for a value of a type, with the words of the call, whose reply is a null array when
    /// its time is up.
    pub fn new(wanted: Wanted, keys: Range<usize>, until_ms: u64) -> Self {
        Self {
            wanted,
            keys,
            until_ms,
            nothing: Nothing::NullArray,
            look_ms: NEVER_MS,
            words: None,
        }
    }
}

/// A call whose client is blocked.
#[derive(Debug)]
pub struct BlockedCall {
    /// 0, or how it has ended.
    state: AtomicU8,
    turn: u64,
    /// Its client.
    pub client: Arc<Client>,
    /// The command.
    pub command: &'static Command,
    words: ArgsBuf,
    keys: Range<u32>,
    wanted: Wanted,
    reaches: Box<[u16]>,
    /// In how many lines it stands.
    lines: AtomicUsize,
    nothing: Nothing,
    /// When its time is up, in milliseconds since the epoch, or [`NEVER_MS`].
    pub until_ms: u64,
    look_ms: AtomicU64,
    database: u32,
    protocol: Protocol,
    no_touch: bool,
}

impl Waiter for BlockedCall {
    fn turn(&self) -> u64 {
        self.turn
    }

    fn wanted(&self) -> Wanted {
        self.wanted
    }

    fn reaches(&self) -> &[u16] {
        &self.reaches
    }
}

impl Wait for BlockedCall {
    fn end(&self, ending: Ending) -> bool {
        self.claim(ending)
    }

    fn ending(&self) -> Option<Ending> {
        self.ending()
    }
}

impl BlockedCall {
    /// The call behind a waiter of the store; nothing if it is somebody else's.
    pub fn of(waiter: &dyn Waiter) -> Option<&Self> {
        (waiter as &dyn Any).downcast_ref()
    }

    /// Ends the wait in this way, unless it has ended already; says whether this is what ended it.
    pub fn claim(&self, ending: Ending) -> bool {
        let claimed = self
            .state
            // Zero is a wait that goes on. Whoever gets here first decides how it ends.
            .compare_exchange(0, ending as u8, AcqRel, Acquire);
        claimed.is_ok()
    }

    /// How it has ended, if it has.
    pub fn ending(&self) -> Option<Ending> {
        Ending::of(self.state.load(Acquire))
    }

    /// When its client's thread has something to do for it: its time is up, or it is to look at
    /// its keys.
    pub fn alarm_ms(&self) -> u64 {
        self.until_ms.min(self.look_ms.load(Relaxed))
    }

    /// Has it look at its keys at a time though nothing has happened to them, or earlier if it
    /// would anyway: who says the time may have seen some of the keys only.
    pub fn look_at(&self, look_ms: u64, now_ms: u64) {
        let before = self.look_ms.load(Relaxed);
        let look_ms = if before > now_ms {
            before.min(look_ms)
        } else {
            look_ms
        };
        self.look_ms.store(look_ms, Relaxed);
    }

    /// The words of the call.
    pub fn words(&self) -> kvik_resp::Args<'_> {
        self.words.as_args()
    }

    /// The keys that it waits for.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let keys = self.keys.start as usize..self.keys.end as usize;
        self.words().slice(keys).iter()
    }

    /// The keyspace of its keys.
    pub fn keyspace(&self) -> KeyspaceId {
        KeyspaceId(self.database)
    }

    /// The protocol of its client's replies.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether it stands in any line.
    pub fn is_in_line(&self) -> bool {
        self.lines.load(Acquire) > 0
    }

    /// Writes the reply of a wait that has ended without a result.
    pub fn write_ending(&self, reply: &mut Reply<'_>) {
        match self.ending() {
            Some(Ending::TimedOut) => self.nothing.write(reply),
            Some(ending) => {
                if let Some(error) = ending.error() {
                    error.write(reply);
                }
            }
            None => {}
        }
    }
}

/// How many clients are blocked, and on how many keys.
#[derive(Debug, Default)]
pub struct BlockedCounts {
    /// Clients.
    pub clients: AtomicUsize,
    /// Keys with waiters.
    pub keys: AtomicUsize,
    /// Keys with waiters that are served by a key that does not exist, too.
    pub no_keys: AtomicUsize,
}

impl BlockedCounts {
    fn joined(&self, change: LineChange) {
        self.keys.fetch_add(usize::from(change.key), Relaxed);
        self.no_keys.fetch_add(usize::from(change.no_key), Relaxed);
    }

    fn left(&self, change: LineChange) {
        self.keys.fetch_sub(usize::from(change.key), Relaxed);
        self.no_keys.fetch_sub(usize::from(change.no_key), Relaxed);
    }
}

/// Takes a call out of the line of one of its keys, whose stripe is held, if it stands there.
pub fn leave_line(
    keys: &mut kvik_store::Guard<'_>,
    key: &[u8],
    call: &BlockedCall,
    counts: &BlockedCounts,
) {
    if let Some(change) = keys.end_wait(key, call) {
        call.lines.fetch_sub(1, AcqRel);
        counts.left(change);
    }
}
