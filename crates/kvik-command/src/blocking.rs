//! Clients that are blocked on keys.
//!
//! A command that finds nothing has its client wait ([`Ctx::block`]): the call, with all it takes
//! to run it again, joins the lines of its keys while their stripes are still held. Whoever changes
//! such a key later runs the call inside its own section and leaves the reply in the client's
//! mailbox.
//!
//! A wait ends once. What ends it [claims](BlockedCall::claim) it by a compare-and-set before it
//! does anything else: who serves it before it takes an element, the client's thread when the time
//! is up or the connection is gone, CLIENT UNBLOCK, CLIENT KILL. Who comes too late leaves it
//! alone. So an element is never taken for a connection that is known to be gone, and never twice.
//! Afterwards the client's thread takes the call out of the lines in which it still stands.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize};

use kvik_resp::{ArgsBuf, Protocol, Reply};
use kvik_store::{KeyspaceId, LineChange, Waiter, Wanted, next_turn};

use crate::client::Client;
use crate::ctx::Ctx;
use crate::declare::Command;
use crate::error::Error;
use crate::session::Session;

/// The end of a wait that no time limits.
pub const NEVER_MS: u64 = u64::MAX;

/// The event that has ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ending {
    /// It has been served; its reply is in the client's mailbox, or on the way there.
    Served = 1,
    /// Its time was up, or CLIENT UNBLOCK says so.
    TimedOut,
    /// CLIENT UNBLOCK with `ERROR`.
    Unblocked,
    /// The store is a replica now.
    RoleChanged,
    /// Its connection has gone.
    Gone,
}

impl Ending {
    fn of(state: u8) -> Option<Self> {
        [
            Self::Served,
            Self::TimedOut,
            Self::Unblocked,
            Self::RoleChanged,
            Self::Gone,
        ]
        .into_iter()
        .find(|ending| *ending as u8 == state)
    }
}

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

impl BlockedCall {
    /// The call behind a waiter of the store; nothing if it is somebody else's.
    pub fn of(waiter: &dyn Waiter) -> Option<&Self> {
        (waiter as &dyn Any).downcast_ref()
    }

    /// Ends the wait in this way, unless it has ended already; says whether this is what ended it.
    pub fn claim(&self, ending: Ending) -> bool {
        let claimed = self
            .state
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

    /// Sets when it looks at its keys though nothing has happened to them.
    pub fn look_at(&self, look_ms: u64) {
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

    /// A session in which somebody else runs the call for its client. It waits no more.
    pub fn session(&self) -> Session {
        let mut session = Session::new(Arc::clone(&self.client), true);
        session.db = self.database;
        session.protocol = self.protocol;
        session.no_touch = self.no_touch;
        session.may_block = false;
        session
    }

    /// Whether it stands in any line.
    pub fn is_in_line(&self) -> bool {
        self.lines.load(Acquire) > 0
    }

    /// Writes the reply of a wait that has ended without a result.
    pub fn write_ending(&self, reply: &mut Reply<'_>) {
        const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
        const ROLE_CHANGED: &str = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
        match self.ending() {
            Some(Ending::TimedOut) => self.nothing.write(reply),
            Some(Ending::Unblocked) => reply.error(UNBLOCKED),
            Some(Ending::RoleChanged) => reply.error(ROLE_CHANGED),
            Some(Ending::Served | Ending::Gone) | None => {}
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

impl Ctx<'_> {
    /// Whether the command may have its client wait. Inside a transaction or a script it may not,
    /// and answers as if the time were up.
    pub fn may_block(&self) -> bool {
        self.session.may_block
    }

    /// Whether the command may look at one of its keys. It may not at some of them when it runs for
    /// a blocked client in the section of somebody else; those have not changed.
    pub fn may_see(&self, key: &[u8]) -> bool {
        self.session.may_block || self.keys.holds(key)
    }

    /// The end of a wait of the seconds at `index`, which may have a fraction, in milliseconds
    /// since the epoch. 0 is [`NEVER_MS`].
    ///
    /// # Errors
    /// If the word is no number, negative, or too large for a time.
    pub fn deadline(&self, index: usize) -> Result<u64, Error> {
        const NO_FLOAT: Error = Error::text("timeout is not a float or out of range");
        let seconds = kvik_resp::parse_f64(&self.args[index]).ok_or(NO_FLOAT)?;
        if seconds < 0.0 {
            return Err(Error::text("timeout is negative"));
        }
        let ms = (seconds * 1000.0).ceil();
        self.deadline_in(if ms < i64::MAX as f64 {
            Some(ms as i64)
        } else {
            None
        })
    }

    /// The same for the milliseconds at `index`, which have no fraction.
    ///
    /// # Errors
    /// As [`Self::deadline`].
    pub fn deadline_ms(&self, index: usize) -> Result<u64, Error> {
        let until_ms = self.timeout(index)?;
        Ok(if until_ms == self.now_ms() {
            NEVER_MS
        } else {
            until_ms
        })
    }

    fn deadline_in(&self, ms: Option<i64>) -> Result<u64, Error> {
        const TOO_LARGE: Error = Error::text("timeout is out of range");
        if ms == Some(0) {
            return Ok(NEVER_MS);
        }
        let until_ms = ms.and_then(|ms| self.time_in(ms));
        until_ms
            .and_then(|at| u64::try_from(at).ok())
            .ok_or(TOO_LARGE)
    }

    /// Has the client wait; where it must not, answers as if the time were up.
    pub fn wait_or_answer(&mut self, block: Block) {
        if self.may_block() {
            self.block(block);
        } else {
            block.nothing.write(&mut self.reply);
        }
    }

    /// Has the client wait until one of the keys can serve the command. The command has seen that
    /// none of them can, and writes no reply.
    pub fn block(&mut self, block: Block) {
        let call = Arc::new(self.blocked_call(block));
        let waiter: Arc<dyn Waiter> = Arc::clone(&call) as _;
        let counts = &self.engine.blocked;
        for key in call.keys() {
            if let Some(change) = self.keys.wait(key, &waiter) {
                call.lines.fetch_add(1, Relaxed);
                counts.joined(change);
            }
        }
        counts.clients.fetch_add(1, Relaxed);
        self.session.client.show_blocked(Some(Arc::clone(&call)));
        self.session.blocked = Some(call);
    }

    fn blocked_call(&self, block: Block) -> BlockedCall {
        let words = block.words.unwrap_or_else(|| ArgsBuf::from(self.args));
        let mut reaches = Vec::new();
        // Whatever else the command names is needed to serve it, and may lie in another stripe than
        // the key that does.
        let stripe = |at: usize| self.keys.stripe_of(&words.as_args()[at]);
        let _ = self.command.for_each_key(words.as_args(), |at, _| {
            if !block.keys.contains(&at) && block.keys.clone().any(|key| stripe(key) != stripe(at))
            {
                reaches.push(stripe(at));
            }
        });
        BlockedCall {
            state: AtomicU8::new(0),
            turn: next_turn(),
            client: Arc::clone(&self.session.client),
            command: self.command,
            words,
            keys: block.keys.start as u32..block.keys.end as u32,
            wanted: block.wanted,
            reaches: reaches.into(),
            lines: AtomicUsize::new(0),
            nothing: block.nothing,
            until_ms: block.until_ms,
            look_ms: AtomicU64::new(block.look_ms),
            database: self.session.db,
            protocol: self.session.protocol,
            no_touch: self.session.no_touch,
        }
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
