//! A session: what one client's commands leave behind for its next ones.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_resp::{ArgsBuf, Protocol};
use kvik_store::{KeyspaceId, WatchToken};

use crate::client::{Client, NOT_IN_MULTI};
use crate::declare::Command;
use crate::mail::Push;
use crate::persistence::Waiting;
use crate::pubsub::{Hearing, Publication, Rings, Subscriptions};

/// The state of one client between commands. Owned by whoever runs its commands, one at a time.
#[derive(Debug)]
pub struct Session {
    /// The part of this client that other sessions see.
    pub client: Arc<Client>,
    /// The selected database.
    pub db: u32,
    /// The protocol of its replies.
    pub protocol: Protocol,
    /// Whether it may use commands that need authentication.
    pub authenticated: bool,
    /// The transaction being queued.
    pub transaction: Option<Transaction>,
    /// The keys it watches.
    pub watch: Option<Watch>,
    /// Which replies it gets.
    pub replies: Replies,
    /// Its commands do not count as accesses to keys.
    pub no_touch: bool,
    /// Close the connection once the reply is sent.
    pub close: bool,
    /// It belongs to the store itself: no state of the data set keeps its commands out.
    pub internal: bool,
    /// The event that its next command waits for.
    pub waiting: Option<Waiting>,
    /// A watch that has ended and whose keys still know of it; the executor tells them.
    pub released: Option<Watch>,
    /// The channels and patterns it listens to, if any.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// Messages of the thread's outlet before this number have been written, or are
    /// [ahead](Self::ahead).
    pub heard: u64,
    /// Pushes to be written before the reply to the command in progress.
    pub ahead: Vec<Push>,
    /// The threads to be woken for what its commands have published.
    pub rings: Rings,
    /// While commands run in one section: what they publish, to leave at its end.
    pub publications: Option<Vec<Publication>>,
}

/// Commands queued between MULTI and EXEC.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The commands, checked.
    pub queue: Vec<Queued>,
    /// A command could not be queued: EXEC will refuse.
    pub aborted: bool,
    /// Bytes of all arguments.
    pub bytes: usize,
}

/// A command waiting for EXEC.
#[derive(Debug)]
pub struct Queued {
    /// The command.
    pub command: &'static Command,
    /// Its words, name included.
    pub args: ArgsBuf,
}

/// The keys a session watches, and what tells it that one of them changed.
#[derive(Debug, Default)]
pub struct Watch {
    /// Turns dirty when a watched key changes.
    pub token: Arc<WatchToken>,
    /// The keys.
    pub keys: HashSet<(KeyspaceId, Box<[u8]>)>,
}

/// Which replies a client gets, as set by CLIENT REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// All.
    On,
    /// None.
    Off,
    /// Not this command's.
    SkipThis,
    /// Not the next command's.
    SkipNext,
}

impl Session {
    /// A fresh session.
    pub fn new(client: Arc<Client>, authenticated: bool) -> Self {
        Self {
            client,
            db: 0,
            protocol: Protocol::Resp2,
            authenticated,
            transaction: None,
            watch: None,
            replies: Replies::On,
            no_touch: false,
            close: false,
            internal: false,
            waiting: None,
            released: None,
            subscriptions: None,
            heard: 0,
            ahead: Vec::new(),
            rings: Rings::default(),
            publications: None,
        }
    }

    /// The names that it listens to.
    pub fn subscribed(&self, hearing: Hearing) -> Vec<Arc<[u8]>> {
        let subscriptions = self.subscriptions.iter();
        let names = subscriptions.flat_map(|it| it.of(hearing));
        names.cloned().collect()
    }

    /// Lets others see to how much it listens.
    pub(crate) fn show_subscriptions(&self) {
        let count = |hearing| {
            let subscriptions = self.subscriptions.as_ref();
            subscriptions.map_or(0, |it| it.of(hearing).len())
        };
        let client = &self.client;
        client.channels.store(count(Hearing::Channel), Relaxed);
        client.patterns.store(count(Hearing::Pattern), Relaxed);
        client
            .shard_channels
            .store(count(Hearing::ShardChannel), Relaxed);
    }

    /// Whether it is confined to subscribing: in RESP2 a push looks like a reply.
    #[inline]
    pub fn is_confined(&self) -> bool {
        self.subscriptions.is_some() && self.protocol == Protocol::Resp2
    }

    /// The keyspace its commands work on.
    pub fn keyspace(&self) -> KeyspaceId {
        KeyspaceId(self.db)
    }

    /// Selects a database that exists.
    pub fn select(&mut self, db: u32) {
        self.db = db;
        self.client.db.store(u64::from(db), Relaxed);
    }

    /// Answers in this protocol from now on.
    pub fn speak(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        let version = match protocol {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        };
        self.client.protocol.store(version, Relaxed);
    }

    /// Starts to queue commands.
    pub fn begin(&mut self) {
        self.transaction = Some(Transaction::default());
        self.client.queued.store(0, Relaxed);
    }

    /// Queues a command. There is a transaction.
    pub fn queue(&mut self, queued: Queued) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        transaction.bytes += queued.args.byte_len();
        transaction.queue.push(queued);
        self.client.queued.store(transaction.queue.len(), Relaxed);
        self.client.queued_bytes.store(transaction.bytes, Relaxed);
    }

    /// Makes EXEC fail, when there is a transaction.
    pub fn abort(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.aborted = true;
        }
    }

    /// Ends the transaction.
    pub fn take_transaction(&mut self) -> Option<Transaction> {
        let taken = self.transaction.take()?;
        self.show_no_transaction();
        Some(taken)
    }

    /// Takes the transaction to run it. To others the client is in it until
    /// [`Self::show_no_transaction`].
    pub fn start_transaction(&mut self) -> Option<Transaction> {
        self.transaction.take()
    }

    /// Lets others see that the client is in no transaction.
    pub fn show_no_transaction(&self) {
        self.client.queued.store(NOT_IN_MULTI, Relaxed);
        self.client.queued_bytes.store(0, Relaxed);
    }

    /// Ends the watch; the executor tells the keys.
    pub fn unwatch(&mut self) {
        self.released = self.watch.take();
        self.client.watched.store(0, Relaxed);
    }

    /// Back to how a connection starts, as RESET does. Authentication is the caller's to decide.
    pub fn reset(&mut self) {
        self.take_transaction();
        self.unwatch();
        self.select(0);
        self.speak(Protocol::Resp2);
        self.replies = Replies::On;
        self.no_touch = false;
        self.client.no_touch.store(false, Relaxed);
        self.client.no_evict.store(false, Relaxed);
        self.client.rename(|names| names.name.clear());
    }
}
