//! The front: who may connect, and which thread serves whom.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use socket2::Socket;

use crate::codec::kiba::KibaSettings;
use crate::codec::neks::NeksLimits;
use crate::codec::nkv::{NkvSettings, Trees};
use crate::codec::{Codec, CodecSettings, KeyScope, Speech};
use crate::config::{Config, Key, Value};
use crate::door::Door;
use crate::durability::Durability;
use crate::listening::OpenDoor;
use crate::net::Peer;
use crate::reactor::inbox::{Arrival, Inbox};

/// Unread replies from which nothing more is executed for a client.
pub(crate) const HIGH_WATER: usize = 1 << 20;

/// The state that all I/O threads share.
pub(crate) struct Front {
    pub(crate) config: Arc<Config>,
    pub(crate) high_water: usize,
    pub(crate) durability: Durability,
    /// The keys of databases that have doors for trees.
    pub(crate) trees: Arc<Trees>,
    inboxes: OnceLock<Vec<Arc<Inbox>>>,
    /// How many threads serve connections: the first ones. The others sleep.
    awake: AtomicUsize,
    stopping: AtomicBool,
}

impl Front {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            high_water: HIGH_WATER,
            durability: Durability::new(),
            trees: Arc::default(),
            inboxes: OnceLock::new(),
            awake: AtomicUsize::new(1),
            stopping: AtomicBool::new(false),
        }
    }

    /// Names the threads, once all are there.
    pub(crate) fn open(&self, inboxes: Vec<Arc<Inbox>>) {
        // A second call would have no effect; there is one, from the server's start.
        let _ = self.inboxes.set(inboxes);
        if self.elastic_threads().is_none() {
            self.awake.store(self.inboxes().len(), Ordering::Release);
        }
    }

    /// How many threads there are, if they wake as they are needed.
    pub(crate) fn elastic_threads(&self) -> Option<usize> {
        let threads = self.inboxes().len();
        let is_elastic = self.config.size(Key::Threads) == 0 && threads > 1;
        // A node has its thread for good.
        (is_elastic && !self.config.bool(Key::ClusterEnabled)).then_some(threads)
    }

    /// How many threads serve connections.
    pub(crate) fn awake(&self) -> usize {
        self.awake.load(Ordering::Acquire)
    }

    /// Has the first `count` threads serve the connections.
    pub(crate) fn set_awake(&self, count: usize) {
        let before = self.awake.swap(count, Ordering::AcqRel);
        let concerned = before.max(count);
        self.inboxes()
            .iter()
            .take(concerned)
            .for_each(|inbox| inbox.nudge());
    }

    fn inboxes(&self) -> &[Arc<Inbox>] {
        self.inboxes.get().map_or(&[], Vec::as_slice)
    }

    /// Connected clients.
    pub(crate) fn connections(&self) -> usize {
        self.inboxes()
            .iter()
            .map(|inbox| inbox.connections.load(Ordering::Relaxed))
            .sum()
    }

    /// Whether a client may connect; otherwise the reply to send it off with.
    pub(crate) fn admit(&self, socket: &Socket, door: &Door) -> Result<(), String> {
        if self.connections() >= self.config.size(Key::Maxclients) {
            return Err("ERR max number of clients reached".into());
        }
        if !self.is_protected(door) || is_local(socket) {
            Ok(())
        } else {
            Err(PROTECTED.into())
        }
    }

    /// Whether only clients on this machine may connect. Who names an address and says nothing of
    /// protection means it for others, too.
    fn is_protected(&self, door: &Door) -> bool {
        self.config.bool(Key::ProtectedMode)
            && self.config.bytes(Key::Requirepass).is_empty()
            && (!door.is_explicit || self.config.is_chosen(Key::ProtectedMode))
    }

    /// Whether clients of other machines may come in without a password.
    pub(crate) fn is_open_to_all(&self, door: &Door) -> bool {
        !self.is_protected(door) && self.config.bytes(Key::Requirepass).is_empty()
    }

    /// Sends a client off.
    pub(crate) fn refuse(&self, mut socket: Socket, door: &Door, refusal: &str) {
        if let Some(text) = door.speech.refusal(refusal) {
            // Whether it reads the reason is its own affair.
            let _ = socket.set_nonblocking(true);
            let _ = socket.write(text.as_bytes());
        }
    }

    /// The keys of a door's clients.
    pub(crate) fn scope(&self, door: &Door) -> KeyScope {
        match self.config.choice(Key::Namespaces) == "auto" && !door.splits_names {
            true => KeyScope::Default,
            false => KeyScope::All,
        }
    }

    /// A codec for a new client of a door.
    pub(crate) fn codec(&self, door: &Door) -> Codec {
        match door.speech {
            // Most clients come this way, and nothing is to be looked up for them.
            Speech::Resp => Codec::Resp,
            speech => {
                let mut settings = codec_settings(&self.config, &self.trees);
                settings.scope = self.scope(door);
                speech.codec(door.database, &settings)
            }
        }
    }

    /// Gives a door to the thread that accepts for all.
    pub(crate) fn listen(&self, open: OpenDoor) {
        if let Some(inbox) = self.inboxes().first() {
            inbox.add_door(open);
        }
    }

    /// Has that thread take over new listeners and drop those that are closed.
    pub(crate) fn attend_listeners(&self) {
        if let Some(inbox) = self.inboxes().first() {
            inbox.nudge();
        }
    }

    /// Gives a client to the least loaded thread, or one of a node to the thread of the node, which
    /// has accepted it. If that is the calling one, it comes back.
    pub(crate) fn assign(&self, socket: Socket, door: Door, caller: usize) -> Option<Socket> {
        let thread = match door.node {
            Some(_) => caller,
            None => self.least_loaded(),
        };
        let inbox = self.inboxes().get(thread)?;
        inbox.connections.fetch_add(1, Ordering::Relaxed);
        if thread == caller {
            return Some(socket);
        }
        inbox.give(socket, door);
        None
    }

    /// The thread awake with the fewest clients.
    fn least_loaded(&self) -> usize {
        let connections =
            |&index: &usize| self.inboxes()[index].connections.load(Ordering::Relaxed);
        let awake = self.awake().min(self.inboxes().len());
        (0..awake).min_by_key(connections).unwrap_or(0)
    }

    /// Gives a connection to another thread.
    pub(crate) fn hand_over(&self, thread: usize, arrival: Arrival) {
        if let Some(inbox) = self.inboxes().get(thread) {
            inbox.connections.fetch_add(1, Ordering::Relaxed);
            inbox.pass(arrival);
        }
    }

    /// A thread's client has gone.
    pub(crate) fn left(&self, inbox: &Inbox) {
        inbox.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Has every thread look at its waiting clients.
    pub(crate) fn attend_all(&self) {
        self.inboxes().iter().for_each(|inbox| inbox.attend());
    }

    /// Effects before this log position are durable: has the threads send what waited for them.
    pub(crate) fn advance(&self, lsn: u64) {
        self.durability.advance(lsn);
        self.wake_holders();
    }

    /// Effects are lost: has the threads disconnect who waits for them.
    pub(crate) fn lose(&self) {
        self.durability.lose();
        self.wake_holders();
    }

    fn wake_holders(&self) {
        let holders = self.inboxes().iter().filter(|inbox| inbox.holding.take());
        holders.for_each(|inbox| inbox.nudge());
    }

    /// Has a thread hold the stripe of a key.
    pub(crate) fn hold(&self, key: &[u8], duration: Duration) {
        if let Some(inbox) = self.inboxes().first() {
            inbox.hold(key, duration);
        }
    }

    /// Whether the threads are ending.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Ends every thread.
    pub(crate) fn stop_all(&self) {
        self.stopping.store(true, Ordering::Release);
        self.inboxes().iter().for_each(|inbox| inbox.stop());
    }
}

/// The settings of codecs.
pub(crate) fn codec_settings(config: &Config, trees: &Arc<Trees>) -> CodecSettings {
    let number = |at: &i64| u32::try_from(*at).unwrap_or(0);
    let mut databases = [0; 4];
    if let Value::Numbers(numbers) = config.value(Key::KibaDatabases) {
        for (database, configured) in databases.iter_mut().zip(&numbers) {
            *database = number(configured);
        }
    }
    CodecSettings {
        scope: KeyScope::All,
        neks: NeksLimits {
            max_frame: config.size(Key::NeksMaxFrame),
            max_reply: config.size(Key::DoorMaxReply),
            lenient: config.bool(Key::NeksLenient),
        },
        kiba: KibaSettings {
            databases,
            max_command: config.size(Key::ProtoMaxBulkLen),
        },
        nkv: NkvSettings {
            trees: Arc::clone(trees),
            max_request: config.size(Key::ProtoMaxBulkLen),
            max_reply: config.size(Key::DoorMaxReply),
        },
    }
}

fn is_local(socket: &Socket) -> bool {
    match Peer::of(socket) {
        Ok(Peer::Tcp(address)) => address.ip().to_canonical().is_loopback(),
        Ok(Peer::Unix) => true,
        Err(_) => false,
    }
}

/// The first sentence is Redis', by which clients recognize the case.
const PROTECTED: &str = "DENIED Redis is running in protected mode because protected mode is enabled and no password is \
     set for the default user. In this mode connections are only accepted from the loopback interface. If you want to \
     connect from external computers, set a password (requirepass), or turn protected mode off by CONFIG SET \
     protected-mode no from the loopback interface or by protected-mode no in the configuration.";

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::config;

    fn front(args: &[&str]) -> Front {
        let args: Vec<_> = args.iter().map(std::ffi::OsString::from).collect();
        let loaded = config::load(&args, [], &mut std::io::empty()).unwrap();
        Front::new(Arc::new(loaded.config))
    }

    /// Both ends of a connection over an address of this machine, the server's first.
    fn connected(address: IpAddr) -> (Socket, TcpStream) {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        (server.into(), client)
    }

    /// An address of this machine that others could reach. Nothing is sent to find it.
    fn outer_address() -> Option<IpAddr> {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.connect("192.0.2.1:9").ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_loopback()).then_some(address)
    }

    #[test]
    fn protected_mode_ends_with_a_password_or_by_name() {
        assert!(front(&[]).is_protected(&Door::MAIN));
        assert!(!front(&["--protected-mode", "no"]).is_protected(&Door::MAIN));
        assert!(!front(&["--requirepass", "secret"]).is_protected(&Door::MAIN));
    }

    #[test]
    fn a_named_address_serves_others_unless_protection_is_named_too() {
        let named = Door {
            is_explicit: true,
            ..Door::MAIN
        };
        assert!(!front(&[]).is_protected(&named));
        assert!(front(&["--protected-mode", "yes"]).is_protected(&named));
    }

    #[test]
    fn protected_mode_admits_what_is_local() {
        let front = front(&[]);
        let unix = UnixStream::pair().unwrap().0.into();
        assert_eq!(front.admit(&unix, &Door::MAIN), Ok(()));
        let (tcp, _client) = connected("127.0.0.1".parse().unwrap());
        assert_eq!(front.admit(&tcp, &Door::MAIN), Ok(()));
    }

    #[test]
    fn protected_mode_refuses_what_is_not() {
        let Some(address) = outer_address() else {
            println!("this machine has no address that others could reach");
            return;
        };
        let (socket, _client) = connected(address);
        assert_eq!(
            front(&[]).admit(&socket, &Door::MAIN),
            Err(PROTECTED.into())
        );
        assert_eq!(
            front(&["--protected-mode", "no"]).admit(&socket, &Door::MAIN),
            Ok(())
        );
    }
}
