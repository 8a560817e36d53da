//! The registry of clients: what CLIENT LIST shows and CLIENT KILL reaches.
//!
//! A [`Client`] is shared between the thread that serves it and whoever asks. Numbers are atomics
//! with one writer; the few texts sit behind a lock that is taken when they change or are shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering};

use kvik_store::WatchToken;
use parking_lot::{Mutex, RwLock};

use crate::ending::{Ending, Wait};
use crate::mail::{Mailbox, Message, NoMailbox, Post, Push};
use crate::pubsub::outlet::Seat;
use crate::tracking::terms::ClientTracking;

/// The kind of a client's connection, the `TYPE` of CLIENT LIST and CLIENT KILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientType {
    /// An ordinary client.
    Normal,
    /// One that listens to channels.
    PubSub,
}

/// One client as others see it.
pub struct Client {
    /// Never used twice.
    pub id: u64,
    /// Its address, `127.0.0.1:5000`, or the socket's path followed by `:0`.
    pub addr: String,
    /// The server's address that it connected to.
    pub local_addr: String,
    /// File descriptor, -1 when it has none.
    pub fd: i64,
    /// When it connected, in milliseconds since the epoch.
    pub connected_ms: u64,
    /// When it last sent a command, in milliseconds since the epoch.
    pub active_ms: AtomicU64,
    /// Its database.
    pub db: AtomicU64,
    /// RESP version.
    pub protocol: AtomicU8,
    /// Commands queued by MULTI, or `NOT_IN_MULTI`.
    pub queued: AtomicUsize,
    /// Bytes of the queued commands.
    pub queued_bytes: AtomicUsize,
    /// Keys watched.
    pub watched: AtomicUsize,
    /// Bytes of their names.
    pub watched_bytes: AtomicUsize,
    /// Channels that it listens to.
    pub channels: AtomicUsize,
    /// Patterns that it listens to.
    pub patterns: AtomicUsize,
    /// Shard channels that it listens to.
    pub shard_channels: AtomicUsize,
    /// Unprocessed input in bytes.
    pub input_bytes: AtomicUsize,
    /// Room of the input buffer in bytes.
    pub input_capacity: AtomicUsize,
    /// Bytes received of arguments that have not come whole.
    pub argument_bytes: AtomicUsize,
    /// Unsent output in bytes.
    pub output_bytes: AtomicUsize,
    /// The most unsent output that was seen, in bytes.
    pub output_peak: AtomicUsize,
    /// How many pieces of output wait.
    pub outputs: AtomicUsize,
    /// Id of the last command plus one; 0 before the first.
    pub last_command: AtomicU16,
    /// Commands processed.
    pub commands: AtomicU64,
    /// Keys that its command in progress keeps others away from.
    pub pinned: AtomicUsize,
    /// Since when its next command is put off, in microseconds since the epoch; 0 if it is not.
    pub put_off_us: AtomicU64,
    /// How long its commands were put off before they ran, in microseconds.
    pub waited_us: AtomicU64,
    /// Bytes received.
    pub bytes_in: AtomicU64,
    /// Bytes sent.
    pub bytes_out: AtomicU64,
    /// CLIENT PAUSE holds its command back.
    pub paused: AtomicBool,
    /// It is shown every command.
    pub monitors: AtomicBool,
    /// Bytes of the names of its subscriptions.
    pub subscription_bytes: AtomicUsize,
    /// `CLIENT NO-EVICT on`.
    pub no_evict: AtomicBool,
    /// `CLIENT NO-TOUCH on`.
    pub no_touch: AtomicBool,
    /// `CLIENT IMPORT-SOURCE on`.
    pub imports: AtomicBool,
    /// `CLIENT CAPA redirect`.
    pub can_redirect: AtomicBool,
    /// Whether it keeps copies of keys, and who is told.
    pub tracking: ClientTracking,
    /// Index of the serving thread.
    pub thread: AtomicU16,
    names: RwLock<Names>,
    killed: AtomicBool,
    leaving: AtomicBool,
    /// Its part of [`Clients::memory_bytes`].
    counted_bytes: AtomicUsize,
    mailbox: Arc<dyn Mailbox>,
    blocked: Mutex<Option<Arc<dyn Wait>>>,
    /// The token that tells it that a key which it watches has changed.
    watch: Mutex<Option<Arc<WatchToken>>>,
    /// Where messages of channels reach it, while a thread serves it.
    seat: Mutex<Option<Seat>>,
}

/// Value of [`Client::queued`] outside MULTI.
pub const NOT_IN_MULTI: usize = usize::MAX;

/// The names that a client gives for itself, its library and its user.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: Vec<u8>,
    /// The user it authenticated as.
    pub user: String,
}

/// Where a new client comes from.
pub struct Origin {
    /// Its address: [`Client::addr`].
    pub addr: String,
    /// The address that it came to: [`Client::local_addr`].
    pub local_addr: String,
    /// Its socket: [`Client::fd`].
    pub fd: i64,
    /// Index of the serving thread.
    pub thread: u16,
    /// Where messages for the client go, as long as it lives.
    pub mailbox: Arc<dyn Mailbox>,
}

impl Origin {
    /// A client inside this process.
    pub fn embedded() -> Self {
        Self {
            addr: "embedded:0".into(),
            local_addr: "embedded:0".into(),
            fd: -1,
            thread: 0,
            mailbox: Arc::new(NoMailbox),
        }
    }
}

impl Client {
    fn new(id: u64, origin: Origin, now_ms: u64) -> Self {
        Self {
            id,
            addr: origin.addr,
            local_addr: origin.local_addr,
            fd: origin.fd,
            connected_ms: now_ms,
            active_ms: AtomicU64::new(now_ms),
            db: AtomicU64::new(0),
            protocol: AtomicU8::new(2),
            queued: AtomicUsize::new(NOT_IN_MULTI),
            queued_bytes: AtomicUsize::new(0),
            watched: AtomicUsize::new(0),
            watched_bytes: AtomicUsize::new(0),
            channels: AtomicUsize::new(0),
            patterns: AtomicUsize::new(0),
            shard_channels: AtomicUsize::new(0),
            input_bytes: AtomicUsize::new(0),
            input_capacity: AtomicUsize::new(0),
            argument_bytes: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            output_peak: AtomicUsize::new(0),
            outputs: AtomicUsize::new(0),
            last_command: AtomicU16::new(0),
            commands: AtomicU64::new(0),
            pinned: AtomicUsize::new(0),
            put_off_us: AtomicU64::new(0),
            waited_us: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            monitors: AtomicBool::new(false),
            subscription_bytes: AtomicUsize::new(0),
            counted_bytes: AtomicUsize::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            imports: AtomicBool::new(false),
            can_redirect: AtomicBool::new(false),
            tracking: ClientTracking::default(),
            thread: AtomicU16::new(origin.thread),
            names: RwLock::new(Names {
                user: "default".into(),
                ..Names::default()
            }),
            killed: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            mailbox: origin.mailbox,
            blocked: Mutex::default(),
            watch: Mutex::default(),
            seat: Mutex::new(None),
        }
    }

    /// A copy of what the client says of itself.
    pub fn names(&self) -> Names {
        self.names.read().clone()
    }

    /// Changes what the client says of itself.
    pub fn rename(&self, change: impl FnOnce(&mut Names)) {
        change(&mut self.names.write());
    }

    /// Whether the client is to be disconnected.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Has the client disconnected. Says whether this is the call that does it.
    pub fn kill(&self) -> bool {
        let first = !self.killed.swap(true, Ordering::AcqRel);
        if first {
            // From now on nothing is taken for it.
            if let Some(call) = &*self.blocked.lock() {
                call.end(Ending::Gone);
            }
            self.deliver(Message::Kill);
        }
        first
    }

    /// Whether its connection ends with the replies that are written: it reads no message any more.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Lets others know that. Said before the last reply is sent.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Shows others the call in which the client is blocked, or that it is not.
    pub fn show_blocked(&self, call: Option<Arc<dyn Wait>>) {
        let mut blocked = self.blocked.lock();
        *blocked = call;
        if let Some(call) = blocked.as_ref().filter(|_| self.is_killed()) {
            call.end(Ending::Gone);
        }
    }

    /// Whether the client is blocked, or a pause holds its command back.
    pub fn is_blocked(&self) -> bool {
        self.paused.load(Ordering::Relaxed) || self.blocked.lock().is_some()
    }

    /// Whether its wait has ended, and what has ended it is on the way to it.
    pub fn is_unblocked(&self) -> bool {
        let blocked = self.blocked.lock();
        blocked.as_ref().is_some_and(|call| call.ending().is_some())
    }

    /// Shows others which keys the client watches: their number, the bytes of their names, and what
    /// tells it that one has changed.
    pub fn show_watch(&self, keys: usize, bytes: usize, token: Option<&Arc<WatchToken>>) {
        self.watched.store(keys, Ordering::Relaxed);
        self.watched_bytes.store(bytes, Ordering::Relaxed);
        *self.watch.lock() = token.cloned();
    }

    /// Whether a key has changed that it watches, so that EXEC will run nothing.
    pub fn is_watch_dirty(&self) -> bool {
        let watch = self.watch.lock();
        watch.as_ref().is_some_and(|token| token.is_dirty())
    }

    /// Ends the wait of a blocked client and says whether that is what ended it.
    pub fn end_wait(&self, ending: Ending) -> bool {
        let blocked = self.blocked.lock();
        let has_ended = blocked.as_ref().is_some_and(|call| call.end(ending));
        drop(blocked);
        if has_ended {
            self.deliver(Message::Retry);
        }
        has_ended
    }

    /// Counts a command as processed, or takes that back. Only the serving thread may.
    pub fn count_command(&self, change: i64) {
        let count = self.commands.load(Ordering::Relaxed);
        let count = count.wrapping_add_signed(change);
        self.commands.store(count, Ordering::Relaxed);
    }

    /// Leaves a message for the client, which the serving thread reads between two commands.
    pub fn deliver(&self, message: Message) {
        self.mailbox.deliver(message);
    }

    /// Takes the pushes out that wait for it.
    pub fn take_pushes(&self) -> Vec<Push> {
        self.mailbox.take_pushes()
    }

    /// Whether messages reach it.
    pub fn has_mailbox(&self) -> bool {
        self.mailbox.is_read()
    }

    /// Where messages of channels reach it; none while no thread serves it.
    pub fn seat(&self) -> Option<Seat> {
        self.seat.lock().clone()
    }

    /// Changes that. A client that listens to something is
    /// [relocated](crate::pubsub::PubSub::relocate).
    pub(crate) fn sit(&self, seat: Option<Seat>) {
        *self.seat.lock() = seat;
    }

    /// Whether it listens to anything.
    pub fn is_subscribed(&self) -> bool {
        let counts = [&self.channels, &self.patterns, &self.shard_channels];
        counts.iter().any(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// Bytes of its buffers and its state.
    pub fn memory_bytes(&self) -> usize {
        let buffers = [
            &self.input_capacity,
            &self.argument_bytes,
            &self.output_bytes,
            &self.queued_bytes,
            &self.subscription_bytes,
            &self.watched_bytes,
            &self.tracking.prefix_bytes,
        ];
        size_of::<Self>()
            + buffers
                .iter()
                .map(|bytes| bytes.load(Ordering::Relaxed))
                .sum::<usize>()
    }

    /// The client that is told of stale keys in its place: 0 if it is told itself, -1 if it keeps
    /// no copies.
    pub fn redirect(&self) -> i64 {
        match self.tracking.is_on() {
            true => self.tracking.redirect() as i64,
            false => -1,
        }
    }

    /// Whether it runs on this machine.
    pub fn is_local(&self) -> bool {
        let address = self.addr.parse::<std::net::SocketAddr>();
        // What is no internet address is a unix socket or this process itself.
        address.map_or(true, |address| address.ip().to_canonical().is_loopback())
    }

    /// The connection type.
    pub fn client_type(&self) -> ClientType {
        match self.is_subscribed() {
            true => ClientType::PubSub,
            false => ClientType::Normal,
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

/// All clients, by id. One that is killed is shown no more, though its thread may not have closed
/// it yet.
#[derive(Debug, Default)]
pub struct Clients {
    last_id: AtomicU64,
    by_id: Mutex<BTreeMap<u64, Arc<Client>>>,
    /// Bytes of all clients that have been [counted](Self::count_memory).
    memory_bytes: AtomicUsize,
}

impl Clients {
    /// Registers a client.
    pub fn add(&self, origin: Origin, now_ms: u64) -> Arc<Client> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client::new(id, origin, now_ms));
        self.by_id.lock().insert(id, Arc::clone(&client));
        client
    }

    /// Ends the waits of all blocked clients in this way.
    pub fn end_waits(&self, ending: Ending) {
        for client in self.all() {
            client.end_wait(ending);
        }
    }

    /// Forgets a client.
    pub fn remove(&self, id: u64) {
        let client = self.by_id.lock().remove(&id);
        if let Some(client) = client {
            self.forget_memory(&client);
        }
    }

    /// Brings the sum of all clients' memory up to date with one of them, and returns it.
    #[inline]
    pub fn count_memory(&self, client: &Client) -> usize {
        if client.is_killed() {
            return self.memory_bytes.load(Ordering::Relaxed);
        }
        let bytes = client.memory_bytes();
        let before = client.counted_bytes.swap(bytes, Ordering::Relaxed);
        let change = bytes.wrapping_sub(before);
        let sum = self.memory_bytes.fetch_add(change, Ordering::Relaxed);
        sum.wrapping_add(change)
    }

    fn forget_memory(&self, client: &Client) {
        let bytes = client.counted_bytes.swap(0, Ordering::Relaxed);
        self.memory_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Disconnects the clients that use the most memory, until all the others use no more than
    /// `limit_bytes`. Those with `CLIENT NO-EVICT on` stay. Returns how many there were.
    pub fn evict(&self, limit_bytes: usize) -> u64 {
        let mut clients = self.all();
        for client in &clients {
            self.count_memory(client);
        }
        clients.retain(|client| !client.no_evict.load(Ordering::Relaxed));
        let size = |client: &Arc<Client>| client.counted_bytes.load(Ordering::Relaxed);
        clients.sort_by_cached_key(|client| std::cmp::Reverse(size(client)));
        let mut evicted = 0;
        for client in clients {
            if self.memory_bytes.load(Ordering::Relaxed) <= limit_bytes {
                break;
            }
            if client.kill() {
                self.forget_memory(&client);
                evicted += 1;
            }
        }
        evicted
    }

    /// All clients, oldest first.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let by_id = self.by_id.lock();
        let alive = by_id.values().filter(|client| !client.is_killed());
        alive.cloned().collect()
    }

    /// Bytes of the buffers and the state of all clients.
    pub fn bytes(&self) -> usize {
        let by_id = self.by_id.lock();
        let alive = by_id.values().filter(|client| !client.is_killed());
        alive.map(|client| client.memory_bytes()).sum()
    }

    /// Number of clients.
    pub fn len(&self) -> usize {
        let by_id = self.by_id.lock();
        by_id.values().filter(|client| !client.is_killed()).count()
    }

    /// Whether there are no clients.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The client with this id.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        let client = self.by_id.lock().get(&id).cloned();
        client.filter(|client| !client.is_killed())
    }
}

impl Post for Clients {
    fn deliver(&self, client: u64, message: Message) -> bool {
        let client = self.get(client);
        client.is_some_and(|client| {
            client.deliver(message);
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_client_is_gone_for_the_others() {
        let clients = Clients::default();
        let (one, two) = (
            clients.add(Origin::embedded(), 0),
            clients.add(Origin::embedded(), 0),
        );
        assert!(one.kill());
        assert!(!one.kill(), "killed only once");
        let ids: Vec<_> = clients.all().iter().map(|client| client.id).collect();
        assert_eq!((ids, clients.len()), (vec![two.id], 1));
        assert!(clients.get(one.id).is_none());
        assert!(clients.get(two.id).is_some());
    }
}
