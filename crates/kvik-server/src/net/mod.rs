//! Sockets as completions: the one place of the server that talks to the kernel about them.
//!
//! A [`Driver`] belongs to one I/O thread. It owns that thread's connections and says what *has
//! happened* to them, never what might now be tried: [`Event::Received`] comes with the bytes,
//! [`Driver::send`] takes bytes and finishes alone. Two backends keep the same contract and pass
//! the same tests: `mio` (epoll, kqueue) and `uring` (Linux io_uring).
//!
//! **Buffers change hands.** Whoever owns the input buffer of a connection decides whether it
//! receives:
//!
//! ```text
//!             receive(conn, rest, missing)
//!    layer  ───────────────────────────────▶  driver   may read, appends to the buffer
//!    above  ◀───────────────────────────────           reads nothing for this connection
//!             Event::Received { conn, input }
//! ```
//!
//! So there is no "pause": the layer above that wants no more bytes keeps the buffer, and the
//! kernel's window makes the peer wait. Both directions take buffers from one pool per driver, an
//! idle connection owns none, and a half-received command is kept in as many bytes as it has.
//!
//! **What it does not do.** It knows no protocol, no sessions and no clock, and sets no limits:
//! who may connect, how long a peer may be silent and how much output may pile up is decided
//! above. Listeners are served by the driver they were given to, which hands out each accepted
//! socket as an event; the layer above spreads them over the threads with [`Driver::adopt`]. A
//! listener shared by the epoll sets of all threads would give most connections to one of them,
//! and `SO_REUSEPORT` hashes a handful of long-lived clients unevenly and drops the queued ones
//! of a thread that ends.
//!
//! **Cost.** A driver is used as `Box<dyn Driver>`: three indirect calls (about 5 ns) for a batch
//! of commands that costs at least two system calls, in exchange for one reactor that is compiled
//! once.

use std::io;
use std::time::Duration;

use kvik_resp::Output;
use kvik_rope::IncomingRope;
use socket2::Socket;

mod buffers;
pub(crate) mod limits;
mod listen;
mod low_water;
mod mio;
mod outgoing;
mod slab;
#[cfg(target_os = "linux")]
mod uring;
mod waker;

pub use listen::{Listener, ListenerHandle, Peer, UnixAccess, tune};
pub use slab::ConnId;
pub use waker::Waker;

/// Which interface of the kernel to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// io_uring where it works, else mio.
    #[default]
    Auto,
    /// epoll or kqueue.
    Mio,
    /// io_uring.
    Uring,
}

/// The resources that a driver may use.
#[derive(Clone, Debug)]
pub struct Options {
    /// Unsent bytes of a connection from which [`Event::Drained`] is promised.
    pub high_water: usize,
    /// Receive buffers of 32 KiB that all connections of an io_uring share, a power of two. Memory
    /// is taken only as they are filled.
    pub receive_buffers: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            high_water: 256 << 10,
            receive_buffers: 256,
        }
    }
}

/// Opens a driver for the calling thread, which alone may use it.
///
/// # Errors
/// If the kernel lacks or forbids the backend. `Auto` fails only if it refuses both.
pub fn open(backend: Backend, options: &Options) -> io::Result<Box<dyn Driver>> {
    match backend {
        Backend::Mio => Ok(Box::new(mio::MioDriver::new(options)?)),
        Backend::Uring => open_uring(options),
        Backend::Auto => open_uring(options).or_else(|error| {
            tracing::info!("io_uring is not available: {error}");
            open(Backend::Mio, options)
        }),
    }
}

#[cfg(target_os = "linux")]
fn open_uring(options: &Options) -> io::Result<Box<dyn Driver>> {
    Ok(Box::new(uring::UringDriver::new(options)?))
}

#[cfg(not(target_os = "linux"))]
fn open_uring(_: &Options) -> io::Result<Box<dyn Driver>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Identifies a listener of one driver, in the order of the [`Driver::listen`] calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u32);

/// Something that has happened.
#[derive(Debug)]
pub enum Event {
    /// A client connected. The socket belongs to no driver yet: [`tune`] and
    /// [`adopt`](Driver::adopt) it, here or on another thread, or drop it to refuse the client.
    Accepted {
        /// Where the client connected.
        listener: ListenerId,
        /// The connected socket.
        socket: Socket,
    },
    /// Bytes came: `input` is the buffer last given to [`Driver::receive`] with at least one byte
    /// appended. Nothing more is received until it is given back.
    Received {
        /// The connection.
        conn: ConnId,
        /// All bytes not yet consumed.
        input: Vec<u8>,
    },
    /// Bytes came for what was last given to [`Driver::receive_large`]: `incoming` has got those it
    /// lacks, and what followed is appended to `input`. Nothing more is received until they are
    /// given back.
    ReceivedLarge {
        /// The connection.
        conn: ConnId,
        /// The string, of which more has come.
        incoming: IncomingRope,
        /// All other bytes not yet consumed.
        input: Vec<u8>,
    },
    /// The peer sends no more, but may still read: answer what came before, then
    /// [`close_after_flush`](Driver::close_after_flush). Comes once, after all `Received`; the
    /// bytes that were given back to the driver are gone, as nothing can complete them.
    PeerFinished {
        /// The connection.
        conn: ConnId,
    },
    /// The output that once reached [`Options::high_water`] has all been sent.
    Drained {
        /// The connection.
        conn: ConnId,
    },
    /// The connection is gone and `conn` is stale from here on. Always the last event of a
    /// connection; it does not come for one that [`Driver::close`] ended.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// [`Driver::release`] has let go of the connection and `conn` is stale from here on: the last
    /// event of a connection that moves to another driver.
    Released {
        /// The connection.
        conn: ConnId,
        /// Its socket, from which everything before `input` has been read.
        socket: Socket,
        /// The buffer last given to [`Driver::receive`], with whatever was received since.
        input: Vec<u8>,
    },
    /// A [`Waker`] was used, once or many times, since the last `Woken`.
    Woken,
}

/// Why a connection is gone.
#[derive(Debug)]
pub enum CloseReason {
    /// [`Driver::close_after_flush`] has sent everything.
    Flushed,
    /// The peer reset the connection, or the network failed. Unsent output is lost.
    Failed(io::Error),
}

/// The connections of one I/O thread. See the module for the contract of buffers.
///
/// One turn of a reactor is [`wait`](Self::wait), then [`next_event`](Self::next_event) until it
/// returns `None`. A driver is created on the thread that uses it.
///
/// A stale [`ConnId`] (its connection is closed, its slot perhaps taken by another) is ignored by
/// every method, so a late answer can never reach the wrong client.
pub trait Driver {
    /// The backend's name for people: `mio (epoll)`, `io_uring`...
    fn name(&self) -> &'static str;

    /// A handle by which other threads interrupt [`wait`](Self::wait).
    fn waker(&self) -> Waker;

    /// Accepts clients from `listener`, in events, until [`unlisten`](Self::unlisten).
    ///
    /// When accepting fails because descriptors or memory have run out, it is tried again about
    /// ten times a second; clients wait in the kernel's queue meanwhile.
    ///
    /// # Errors
    /// If the kernel refuses to watch the listener.
    fn listen(&mut self, listener: Listener) -> io::Result<ListenerId>;

    /// Closes every listener. Connections stay.
    fn unlisten(&mut self);

    /// Gives up the listeners that their [handles](ListenerHandle::close) have ended.
    fn drop_closed(&mut self);

    /// Takes over a connected stream socket. It receives after the first
    /// [`receive`](Self::receive).
    ///
    /// # Errors
    /// If the kernel refuses to watch the socket, which is closed then.
    fn adopt(&mut self, socket: Socket) -> io::Result<ConnId>;

    /// An empty output with a buffer from the pool. Giving it to [`send`](Self::send) returns it.
    fn buffer(&mut self) -> Output;

    /// Asks for more bytes, to be appended to `input`, which holds what is not yet consumed
    /// (`Vec::new()` when all was).
    ///
    /// `missing` is how many more bytes the next command needs, 0 if unknown. It is a hint: a
    /// large value is then read straight into `input`, which grows with what has come and not
    /// with what was announced.
    fn receive(&mut self, conn: ConnId, input: Vec<u8>, missing: usize);

    /// Asks for more bytes: first those that `incoming` lacks, which must be some, straight into
    /// its chunks, then others, to be appended to `input`. At least two will follow it: the end of
    /// its line. Until they have come the connection cannot be [released](Self::release).
    fn receive_large(&mut self, conn: ConnId, incoming: IncomingRope, input: Vec<u8>);

    /// Sends `output` after everything sent before. Returns the bytes the kernel has not taken
    /// yet, `output` included; from [`Options::high_water`] on, [`Event::Drained`] will follow.
    ///
    /// Call it once per batch of replies. Pieces of ropes are sent from where they are. Small
    /// output may leave with the next [`wait`](Self::wait) only.
    fn send(&mut self, conn: ConnId, output: Output) -> usize;

    /// The bytes given to [`send`](Self::send) that the kernel has not taken yet.
    fn unsent(&self, conn: ConnId) -> usize;

    /// In how many pieces they wait, each for a system call of its own.
    fn outputs(&self, conn: ConnId) -> usize;

    /// Receives nothing more, sends what is unsent and closes; [`Event::Closed`] tells when. A
    /// peer that does not read delays it for ever: [`close`](Self::close) cuts it short.
    fn close_after_flush(&mut self, conn: ConnId);

    /// Receives nothing more, sends what is unsent and hands the socket back, to be
    /// [adopted](Self::adopt) by another driver: [`Event::Released`] tells when, or
    /// [`Event::Closed`] that it came to its end instead. Both ways of closing still work until
    /// then. Bytes that were announced as missing and are being received directly are awaited.
    fn release(&mut self, conn: ConnId);

    /// Closes at once. Unsent output is dropped and `conn` is stale: no event follows.
    fn close(&mut self, conn: ConnId);

    /// Hands all requests to the kernel and waits until there is an event, or until `timeout`
    /// (`None`: for ever). It may return without an event.
    ///
    /// # Errors
    /// If the kernel's event interface itself fails, which leaves nothing to continue with.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// The next thing that has happened; `None` when it is time to [`wait`](Self::wait) again.
    fn next_event(&mut self) -> Option<Event>;
}

#[cfg(test)]
mod tests;
