//! A session: what one client's commands leave behind for its next ones.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_resp::Protocol;
use kvik_store::{KeyspaceId, WatchToken};

use crate::blocking::{BlockedCall, BlockedCounts};
use crate::client::{Client, NOT_IN_MULTI};
use crate::cluster::{Node, mode_seen};
use crate::ending::{Ending, Wait, WaitEnd};
use crate::feed::{FeedCall, Subscriber};
use crate::mail::Push;
use crate::namespace_quotas::NamespaceSeat;
use crate::persistence::Waiting;
use crate::pubsub::outlet::Rings;
use crate::pubsub::publication::Publication;
use crate::pubsub::subscriptions::{Hearing, Subscriptions};
use crate::queued::{CommandQueue, Queued};
use crate::script::Away;
use crate::streaming::ReplySink;
use crate::tracking::terms::SessionTracking;

/// Names of fields, by the names that a client has given them.
pub type Fieldsets = std::collections::BTreeMap<Box<[u8]>, Box<[Box<[u8]>]>>;

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
    /// The namespace that its keys live in, if it chose one.
    pub namespace: Option<NamespaceSeat>,
    /// Which replies it gets.
    pub replies: Replies,
    /// Its commands do not count as accesses to keys.
    pub no_touch: bool,
    /// Close the connection once the reply is sent.
    pub close: bool,
    /// It belongs to the store itself: no state of the data set keeps its commands out.
    pub internal: bool,
    /// Whether its commands may have it wait for keys. Those of a transaction or a script may not.
    pub may_block: bool,
    /// A script runs its commands.
    pub in_script: bool,
    /// The call in which it is blocked.
    pub blocked: Option<Arc<BlockedCall>>,
    /// When a call that found nothing for its client wants to look again by itself.
    pub look_ms: u64,
    /// The fields of hashes to come that it has named, by their names (HIMPORT).
    pub fieldsets: Option<Box<Fieldsets>>,
    /// Its command runs on another thread; when it is offered again it may have ended.
    pub away: Option<Arc<Away>>,
    /// Its command may touch as many elements as it needs to.
    pub takes_long: bool,
    /// It runs a command for another session of the same client, which waits for this.
    pub errand: Option<Arc<Away>>,
    /// Replies of its long commands may be written to its client part by part.
    pub takes_parts: bool,
    /// Where the parts of the reply go that its command writes.
    pub sink: Option<Box<dyn ReplySink>>,
    /// A long command has found nothing to do elsewhere but to wait, which its client's own session
    /// has to do. There it is not sent away once more.
    pub comes_back: bool,
    /// The event that its next command waits for.
    pub waiting: Option<Waiting>,
    /// The state of the log that its next command waits for.
    pub log_wait: Option<LogWait>,
    /// Which of its reads are tracked for its cache.
    pub tracking: SessionTracking,
    /// The answer of the feed that its command waits for.
    pub feed_wait: Option<FeedWait>,
    /// It has subscribed to the feed.
    pub feed_subscribed: bool,
    /// A watch that has ended and whose keys still know of it; the executor tells them.
    pub released: Option<Watch>,
    /// The channels and patterns it listens to, if any.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// It is shown every command.
    pub monitors: bool,
    /// The node of a cluster whose port it came to.
    node: Option<Box<Node>>,
    /// It may not run every command here, because it listens in RESP2, monitors, or came to the
    /// port of a node, or as one of its commands runs elsewhere.
    pub restricted: bool,
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

/// A call of the feed that a command waits for.
#[derive(Clone, Debug)]
pub struct FeedWait {
    /// The call.
    pub call: Arc<FeedCall>,
    /// When the wait ends, in milliseconds since the epoch.
    pub until_ms: u64,
    /// The sink of the subscription that is asked for.
    pub subscriber: Option<Arc<Subscriber>>,
}

/// A wait for the log to be on disk.
#[derive(Debug)]
pub struct LogWait {
    /// Up to this position.
    pub up_to: u64,
    /// When its time is up, in the milliseconds that waits are told; `u64::MAX` is never.
    pub until_ms: u64,
    /// Its end, which others may cause, once it has begun.
    pub end: Option<Arc<WaitEnd>>,
}

impl LogWait {
    /// Shows others that the client waits.
    pub fn begin(&mut self, client: &Client, counts: &BlockedCounts) {
        if self.end.is_none() {
            let end = Arc::new(WaitEnd::default());
            client.show_blocked(Some(Arc::clone(&end) as _));
            counts.clients.fetch_add(1, Relaxed);
            self.end = Some(end);
        }
    }

    /// Whether somebody has ended it.
    pub fn has_ended(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.ending().is_some())
    }

    /// The wait is over; says how others have ended it, if they have.
    pub fn finish(&mut self, client: &Client, counts: &BlockedCounts) -> Option<Ending> {
        let end = self.end.take()?;
        client.show_blocked(None);
        counts.clients.fetch_sub(1, Relaxed);
        match end.end(Ending::Served) {
            true => None,
            false => end.ending(),
        }
    }
}

/// Commands queued between MULTI and EXEC.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The commands.
    pub queue: CommandQueue,
    /// One command that fails undoes all of them.
    pub rolls_back: bool,
    /// A command could not be queued: EXEC will refuse.
    pub aborted: bool,
}

/// The keys a session watches, and what tells it that one of them changed.
#[derive(Debug, Default)]
pub struct Watch {
    /// Turns dirty when a watched key changes.
    pub token: Arc<WatchToken>,
    /// The keys.
    pub keys: HashSet<(KeyspaceId, Box<[u8]>)>,
    /// Bytes that they take.
    pub bytes: usize,
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
            namespace: None,
            replies: Replies::On,
            no_touch: false,
            close: false,
            internal: false,
            may_block: true,
            in_script: false,
            blocked: None,
            look_ms: crate::blocking::NEVER_MS,
            fieldsets: None,
            away: None,
            takes_long: false,
            errand: None,
            takes_parts: false,
            sink: None,
            comes_back: false,
            waiting: None,
            log_wait: None,
            tracking: SessionTracking::default(),
            feed_wait: None,
            feed_subscribed: false,
            released: None,
            subscriptions: None,
            monitors: false,
            node: None,
            restricted: false,
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
    pub(crate) fn show_subscriptions(&mut self) {
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
        self.restrict();
    }

    /// Begins to show it every command, or ends that.
    pub(crate) fn monitor(&mut self, monitors: bool) {
        self.monitors = monitors;
        self.client.monitors.store(monitors, Relaxed);
        self.restrict();
    }

    fn restrict(&mut self) {
        let is_elsewhere = self.node.is_some() || self.away.is_some();
        self.restricted = self.monitors || self.is_confined() || is_elsewhere;
    }

    /// Lets it be a client of a node, for good.
    pub fn join(&mut self, node: Node) {
        self.node = Some(Box::new(node));
        self.restrict();
    }

    /// The node of a cluster whose port it came to.
    #[inline]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_deref()
    }

    /// The mode of the server as it sees it.
    pub(crate) fn mode(&self) -> &'static str {
        mode_seen(self.node.is_some())
    }

    /// Whether nobody wants the reply to the command that it runs.
    pub fn is_unwanted(&self) -> bool {
        let is_abandoned = self.errand.as_ref().is_some_and(|it| it.is_abandoned());
        is_abandoned || self.client.is_killed()
    }

    /// Notes that its command runs on another thread, or does no more.
    pub fn send_away(&mut self, away: Option<Arc<Away>>) {
        self.away = away;
        self.restrict();
    }

    /// Whether this session may get a push. To one of RESP2 that listens to no channel, which it
    /// may have become since, a word on stale copies would look like a reply.
    pub fn takes(&self, push: &Push) -> bool {
        !push.is_stale_notice() || self.protocol == Protocol::Resp3 || self.is_confined()
    }

    /// Whether it is confined to subscribing: in RESP2 a push looks like a reply.
    pub fn is_confined(&self) -> bool {
        self.subscriptions.is_some() && self.protocol == Protocol::Resp2
    }

    /// The keyspace its commands work on.
    pub fn keyspace(&self) -> KeyspaceId {
        KeyspaceId(self.db)
    }

    /// The name of a key as this session knows it.
    pub fn rest_of<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        match &self.namespace {
            None => key,
            Some(seat) => kvik_store::rest_of(seat.name(), key),
        }
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
        self.restrict();
    }

    /// How its wait has ended, if somebody has ended it.
    pub fn wait_ending(&self) -> Option<Ending> {
        self.blocked.as_ref()?.ending()
    }

    /// Starts to queue commands.
    pub fn begin(&mut self) {
        self.transaction = Some(Transaction::default());
        self.client.queued.store(0, Relaxed);
    }

    /// Queues a command. There is a transaction.
    pub fn queue(&mut self, queued: Queued<'_>) {
        let Some(Transaction { queue, .. }) = &mut self.transaction else {
            return;
        };
        queue.push(queued);
        self.client.queued.store(queue.len(), Relaxed);
        self.client.queued_bytes.store(queue.byte_len(), Relaxed);
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
        self.client.show_watch(0, 0, None);
    }

    /// Back to how a connection starts, as RESET does. Authentication is the caller's to decide.
    pub fn reset(&mut self) {
        self.feed_wait = None;
        self.fieldsets = None;
        self.take_transaction();
        self.unwatch();
        self.select(0);
        self.speak(Protocol::Resp2);
        self.namespace = None;
        self.replies = Replies::On;
        self.no_touch = false;
        self.client.no_touch.store(false, Relaxed);
        self.client.no_evict.store(false, Relaxed);
        self.client.imports.store(false, Relaxed);
        self.client.rename(|names| names.name.clear());
    }
}
