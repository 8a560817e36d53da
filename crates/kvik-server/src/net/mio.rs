//! The driver on readiness: epoll on Linux, kqueue on BSD and macOS.
//!
//! The kernel reports edges, so a connection remembers what it may do ([`MioConn::readable`],
//! [`MioConn::writable`]) until the kernel says otherwise. Work that can be done stands in one
//! queue, each connection at most once, and is done when the reactor asks for the next event: a
//! read is made just before its bytes are parsed. What is to be sent goes out when the events of a
//! turn are done, or a few dozen of them: a peer that waits on the same machine is then woken once
//! for many replies, and each wake-up costs more than sending a small reply does.
//!
//! A batch of commands costs three system calls: `epoll_wait`, `recv`, `send`. The read that
//! would only say "nothing more" is spared: a stream socket that gave less than was asked for is
//! empty, and its next bytes are a new edge. Being writable is watched only while output waits.
//!
//! The file is long because a driver is one state machine: what a connection may do next depends on
//! all of its flags. `uring` has the same events and the same order.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::time::Duration;

use ::mio::unix::SourceFd;
use ::mio::{Events, Interest, Poll, Registry, Token};
use kvik_resp::Output;
use kvik_rope::IncomingRope;
use socket2::{MaybeUninitSlice, Socket};

use super::buffers::{Buffers, Foresight, LINE_END, announced_room};
use super::listen::Backoff;
use super::low_water::LowWater;
use super::outgoing::{Outgoing, SLICES};
use super::slab::Slab;
use super::waker::WakeBell;
use super::{CloseReason, ConnId, Driver, Event, Listener, ListenerId, Options, Waker};

const EVENTS_PER_TURN: usize = 1024;
/// Connections that are given output before it is sent, and bytes, copied for one, that are sent at
/// once.
const UNFLUSHED: usize = 64;
const SENT_AT_ONCE: usize = 64 << 10;

/// Bytes of a large string that one read asks for at most: their chunks are fewer than the slices
/// the kernel takes in a list.
const READ_APART: usize = 4 << 20;

/// A peer that is gone is an error of `send`, not a signal. (Apple's sockets have an option for
/// it, which socket2 sets.)
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: i32 = 0;

const TAG_CONN: u8 = 0;
const TAG_LISTENER: u8 = 1;
const TAG_WAKER: u8 = 2;

/// A token carries a whole [`ConnId`].
const _: () = assert!(usize::BITS == 64, "kvik needs a 64-bit machine");

fn token(id: ConnId, tag: u8) -> Token {
    Token(id.pack(tag) as usize)
}

pub(super) struct MioDriver {
    poll: Poll,
    events: Events,
    waker: Waker,
    /// By id; a closed listener leaves a hole.
    listeners: Vec<Option<Listener>>,
    backoff: Backoff,
    conns: Slab<MioConn>,
    buffers: Buffers,
    /// The connections that can make progress, in the order in which they came.
    ready: VecDeque<Ready>,
    /// How many of `ready` belong to this turn: what a turn makes ready waits for the next, so
    /// that the kernel is asked for news of the others.
    turn: usize,
    /// Connections with [`MioConn::unflushed`] output.
    unflushed: Vec<ConnId>,
    high_water: usize,
}

#[derive(Clone, Copy, Debug)]
enum Ready {
    Conn(ConnId),
    Listener(ListenerId),
    Waker,
}

struct MioConn {
    socket: Socket,
    output: Outgoing,
    /// The input buffer, while the connection is to receive.
    input: Option<Vec<u8>>,
    /// The bytes that the layer above lacks, if it knows.
    missing: usize,
    /// A large string to be received before more of the input.
    incoming: Option<IncomingRope>,
    /// Whether another large string may be expected.
    foresight: Foresight,
    low_water: LowWater,
    failure: Option<io::Error>,
    /// Reading may succeed.
    readable: bool,
    /// Writing may succeed.
    writable: bool,
    /// The kernel watches for the moment when writing may succeed.
    watched: bool,
    /// Nothing comes after what can be read now.
    ends: bool,
    /// `PeerFinished` was reported.
    finished: bool,
    /// To be closed when the output is sent.
    closing: bool,
    /// To be handed back when the output is sent.
    releasing: bool,
    /// A `Drained` is owed.
    drain_due: bool,
    /// Stands in `ready`.
    queued: bool,
    /// Has output that will be sent in this turn.
    unflushed: bool,
}

impl MioConn {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            output: Outgoing::default(),
            input: None,
            missing: 0,
            incoming: None,
            foresight: Foresight::default(),
            low_water: LowWater::default(),
            failure: None,
            readable: false,
            writable: true,
            watched: false,
            finished: false,
            ends: false,
            closing: false,
            releasing: false,
            drain_due: false,
            queued: false,
            unflushed: false,
        }
    }

    /// Has the kernel say when much of what a large string lacks can be read.
    fn await_incoming(&mut self, incoming: IncomingRope) {
        let lacking = incoming.missing() + LINE_END;
        self.low_water.raise(&self.socket, lacking);
        // The kernel says it anew, but for an end.
        self.readable &= self.low_water.raised().is_none() || self.ends;
        self.incoming = Some(incoming);
    }

    /// Whether `progress` would find something to do.
    fn can_progress(&self) -> bool {
        let may_receive = self.readable && self.input.is_some() && !self.releasing;
        // Unflushed output goes with that of others at the end of the turn.
        let may_send = self.writable && !self.output.is_empty() && !self.unflushed;
        let awaited = self.closing || self.releasing || self.drain_due;
        let is_drained = self.output.is_empty() && awaited;
        may_receive || may_send || is_drained || self.failure.is_some()
    }
}

impl MioDriver {
    pub(super) fn new(options: &Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = ::mio::Waker::new(
            poll.registry(),
            Token(ConnId::pack_number(0, TAG_WAKER) as usize),
        )?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            waker: Waker::new(WakeBell::Mio(bell)),
            listeners: Vec::new(),
            backoff: Backoff::default(),
            conns: Slab::default(),
            buffers: Buffers::default(),
            ready: VecDeque::new(),
            turn: 0,
            unflushed: Vec::with_capacity(UNFLUSHED),
            high_water: options.high_water,
        })
    }

    /// Sends what was given since the last time.
    fn flush_all(&mut self) {
        for id in self.unflushed.drain(..) {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.unflushed = false;
                flush(self.poll.registry(), id, conn, &mut self.buffers);
                arm(&mut self.ready, id, conn);
            }
        }
    }

    /// Notes what the kernel said and queues whom it concerns.
    fn note_events(&mut self) {
        for event in &self.events {
            let (id, tag) = ConnId::unpack(event.token().0 as u64);
            match tag {
                TAG_WAKER => self.ready.push_back(Ready::Waker),
                TAG_LISTENER => self
                    .ready
                    .push_back(Ready::Listener(ListenerId(id.index() as u32))),
                _ => {
                    let Some(conn) = self.conns.get_mut(id) else {
                        continue;
                    };
                    let broken = event.is_error() || event.is_write_closed();
                    conn.ends |= event.is_read_closed() || broken;
                    // An edge comes once: what it said holds until a call fails with `WouldBlock`.
                    conn.readable |= event.is_readable() || conn.ends;
                    conn.writable |= event.is_writable() || broken;
                    arm(&mut self.ready, id, conn);
                }
            }
        }
    }

    fn retry_accepting(&mut self) {
        if self.backoff.ends(self.turn == 0) {
            for index in 0..self.listeners.len() {
                self.ready
                    .push_back(Ready::Listener(ListenerId(index as u32)));
            }
        }
    }

    /// Accepts one client and queues the listener again, behind everybody else.
    fn accept(&mut self, id: ListenerId) -> Option<Event> {
        let listener = self.listeners.get(id.0 as usize)?.as_ref()?;
        let error = match listener.socket.accept() {
            Ok((socket, _)) => {
                self.backoff.succeeded();
                self.ready.push_back(Ready::Listener(id));
                return Some(Event::Accepted {
                    listener: id,
                    socket,
                });
            }
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::WouldBlock => {}
            _ if listener.is_closed() => self.drop_closed(),
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {
                self.ready.push_back(Ready::Listener(id));
            }
            _ => self.backoff.begin(&error),
        }
        None
    }

    /// Does what `id` can do now, up to its next event.
    fn progress(&mut self, id: ConnId) -> Option<Event> {
        let conn = self.conns.get_mut(id)?;
        conn.queued = false;
        flush(self.poll.registry(), id, conn, &mut self.buffers);
        if let Some(error) = conn.failure.take() {
            return self.end(id, CloseReason::Failed(error));
        }
        if conn.output.is_empty() {
            if conn.closing {
                return self.end(id, CloseReason::Flushed);
            }
            if conn.releasing {
                return self.hand_back(id);
            }
            if std::mem::take(&mut conn.drain_due) {
                arm(&mut self.ready, id, conn);
                return Some(Event::Drained { conn: id });
            }
        }
        if conn.readable && !conn.releasing {
            self.read(id)
        } else {
            None
        }
    }

    fn read(&mut self, id: ConnId) -> Option<Event> {
        let conn = self.conns.get_mut(id)?;
        if conn.incoming.is_some() {
            return self.read_apart(id);
        }
        let mut input = conn.input.take()?;
        self.buffers.make_room(&mut input, conn.missing);
        let room = input.capacity() - input.len();
        let room = conn.foresight.limit().unwrap_or(room).min(room);
        match receive(&conn.socket, &mut input, room) {
            Ok(0) => {
                conn.finished = true;
                self.buffers.put(input);
                return Some(Event::PeerFinished { conn: id });
            }
            Ok(count) => {
                // Less than there was room for: the socket is empty, and the next edge will tell.
                // Behind an end no edge follows.
                conn.readable = count == room || conn.ends;
                return Some(Event::Received { conn: id, input });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => conn.readable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return self.end(id, CloseReason::Failed(error)),
        }
        conn.input = Some(self.buffers.park(input));
        arm(&mut self.ready, id, conn);
        None
    }

    fn read_apart(&mut self, id: ConnId) -> Option<Event> {
        let conn = self.conns.get_mut(id)?;
        let (mut incoming, mut input) = (conn.incoming.take()?, conn.input.take()?);
        self.buffers.make_room(&mut input, 0);
        let room = input.capacity() - input.len();
        let behind = conn.foresight.limit().unwrap_or(room).min(room);
        let gathered = conn.low_water.raised().unwrap_or_default();
        let most = announced_room(incoming.received()).max(gathered);
        match receive_large(&conn.socket, &mut incoming, most, &mut input, behind) {
            Ok((0, _)) => {
                conn.finished = true;
                self.buffers.put(input);
                return Some(Event::PeerFinished { conn: id });
            }
            Ok((count, room)) => {
                conn.readable = count == room || conn.ends;
                return Some(Event::ReceivedLarge {
                    conn: id,
                    incoming,
                    input,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => conn.readable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return self.end(id, CloseReason::Failed(error)),
        }
        conn.incoming = Some(incoming);
        conn.input = Some(self.buffers.park(input));
        arm(&mut self.ready, id, conn);
        None
    }

    fn hand_back(&mut self, id: ConnId) -> Option<Event> {
        let mut conn = self.conns.remove(id)?;
        conn.low_water.lower(&conn.socket);
        let fd = conn.socket.as_raw_fd();
        if let Err(error) = self.poll.registry().deregister(&mut SourceFd(&fd)) {
            let reason = CloseReason::Failed(error);
            return Some(Event::Closed { conn: id, reason });
        }
        Some(Event::Released {
            conn: id,
            socket: conn.socket,
            input: conn.input.unwrap_or_default(),
        })
    }

    fn end(&mut self, id: ConnId, reason: CloseReason) -> Option<Event> {
        self.close(id);
        Some(Event::Closed { conn: id, reason })
    }
}

/// Queues `conn` if there is something it can do. The only place that decides it, to be called
/// after every change.
fn arm(ready: &mut VecDeque<Ready>, id: ConnId, conn: &mut MioConn) {
    if !conn.queued && conn.can_progress() {
        conn.queued = true;
        ready.push_back(Ready::Conn(id));
    }
}

/// Sends until all is sent or the kernel takes no more.
fn flush(registry: &Registry, id: ConnId, conn: &mut MioConn, buffers: &mut Buffers) {
    while conn.writable && !conn.output.is_empty() {
        match send(&conn.socket, &conn.output) {
            Ok(count) => conn.output.advance(count, buffers),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => conn.writable = false,
            Err(error) => fail(conn, error),
        }
    }
    if let Err(error) = watch(registry, id, conn) {
        fail(conn, error);
    }
}

/// Sends what comes next, all of it or less.
fn send(socket: &Socket, output: &Outgoing) -> io::Result<usize> {
    if let Some(slice) = output.only_slice() {
        return socket.send_with_flags(slice, NO_SIGNAL);
    }
    let (mut list, mut count) = ([IoSlice::new(&[]); SLICES], 0);
    for slice in output.slices() {
        list[count] = IoSlice::new(slice);
        count += 1;
    }
    socket.send_vectored_with_flags(&list[..count], NO_SIGNAL)
}

fn fail(conn: &mut MioConn, error: io::Error) {
    conn.output.clear();
    conn.failure = Some(error);
}

/// Has the kernel tell when the socket is writable again, exactly while that is of interest.
fn watch(registry: &Registry, id: ConnId, conn: &mut MioConn) -> io::Result<()> {
    let blocked = !conn.output.is_empty();
    if blocked == conn.watched {
        return Ok(());
    }
    conn.watched = blocked;
    let interest = if blocked {
        Interest::READABLE | Interest::WRITABLE
    } else {
        Interest::READABLE
    };
    // Registering again reports the present state again, so no edge is lost in between.
    registry.reregister(
        &mut SourceFd(&conn.socket.as_raw_fd()),
        token(id, TAG_CONN),
        interest,
    )
}

/// Appends what the socket has, up to `most` bytes, for which there must be room.
fn receive(socket: &Socket, input: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    let count = socket.recv(&mut input.spare_capacity_mut()[..most])?;
    // SAFETY: the kernel has written the first `count` bytes of the spare capacity.
    unsafe { input.set_len(input.len() + count) };
    Ok(count)
}

/// Receives up to `most` bytes of what `incoming` lacks, and if these are all up to `behind` bytes
/// of what follows. Returns how many bytes came and for how many there was room.
fn receive_large(
    socket: &Socket,
    incoming: &mut IncomingRope,
    most: usize,
    input: &mut Vec<u8>,
    behind: usize,
) -> io::Result<(usize, usize)> {
    let missing = incoming.missing();
    let most = missing.min(most).min(READ_APART);
    let mut list: Vec<_> = incoming.room(most).map(MaybeUninitSlice::new).collect();
    // What follows the string is only received behind all of it: bytes fill the places in order.
    let lists_all = most == missing;
    if lists_all {
        list.push(MaybeUninitSlice::new(
            &mut input.spare_capacity_mut()[..behind],
        ));
    }
    let room = list.iter().map(|slice| slice.len()).sum();
    let (count, _) = socket.recv_vectored(&mut list)?;
    drop(list);
    let behind = count.saturating_sub(missing);
    // SAFETY: the kernel has filled the slices in order, first the incoming rope's, up to `count`
    // bytes.
    unsafe { incoming.advance(count - behind) };
    // SAFETY: what did not belong to the incoming rope is at the start of the spare capacity.
    unsafe { input.set_len(input.len() + behind) };
    Ok((count, room))
}

impl Driver for MioDriver {
    fn name(&self) -> &'static str {
        if cfg!(target_os = "linux") {
            "mio (epoll)"
        } else {
            "mio (kqueue)"
        }
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn listen(&mut self, listener: Listener) -> io::Result<ListenerId> {
        let number = self.listeners.len() as u32;
        listener.socket.set_nonblocking(true)?;
        self.poll.registry().register(
            &mut SourceFd(&listener.socket.as_raw_fd()),
            Token(ConnId::pack_number(number, TAG_LISTENER) as usize),
            Interest::READABLE,
        )?;
        self.listeners.push(Some(listener));
        Ok(ListenerId(number))
    }

    fn unlisten(&mut self) {
        // The kernel forgets a descriptor that is closed.
        self.listeners.fill_with(|| None);
    }

    fn drop_closed(&mut self) {
        for listener in &mut self.listeners {
            listener.take_if(|listener| listener.is_closed());
        }
    }

    fn adopt(&mut self, socket: Socket) -> io::Result<ConnId> {
        socket.set_nonblocking(true)?;
        let fd = socket.as_raw_fd();
        let id = self
            .conns
            .insert(MioConn::new(socket))
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let registry = self.poll.registry();
        if let Err(error) =
            registry.register(&mut SourceFd(&fd), token(id, TAG_CONN), Interest::READABLE)
        {
            self.conns.remove(id);
            return Err(error);
        }
        Ok(id)
    }

    fn buffer(&mut self) -> Output {
        self.buffers.get().into()
    }

    fn receive(&mut self, id: ConnId, input: Vec<u8>, missing: usize) {
        match self.conns.get_mut(id) {
            Some(conn) if !conn.finished && !conn.closing => {
                conn.input = Some(self.buffers.park(input));
                conn.missing = missing;
                conn.foresight.note(None);
                conn.low_water.lower(&conn.socket);
                arm(&mut self.ready, id, conn);
            }
            _ => self.buffers.put(input),
        }
    }

    fn receive_large(&mut self, id: ConnId, incoming: IncomingRope, input: Vec<u8>) {
        match self.conns.get_mut(id) {
            Some(conn) if !conn.finished && !conn.closing => {
                conn.input = Some(self.buffers.park(input));
                conn.foresight.note(Some(incoming.len()));
                conn.await_incoming(incoming);
                arm(&mut self.ready, id, conn);
            }
            _ => self.buffers.put(input),
        }
    }

    fn send(&mut self, id: ConnId, output: Output) -> usize {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.closing) else {
            self.buffers.put(output.into_parts().0);
            return 0;
        };
        conn.output.push(output, &mut self.buffers);
        // What is sent from where it is takes no room by waiting for the end of the turn.
        if conn.output.unsent() >= SENT_AT_ONCE && conn.output.only_slice().is_some() {
            flush(self.poll.registry(), id, conn, &mut self.buffers);
        }
        let unsent = conn.output.unsent();
        conn.drain_due |= unsent >= self.high_water;
        if unsent > 0 && conn.writable && !conn.unflushed {
            conn.unflushed = true;
            self.unflushed.push(id);
        }
        arm(&mut self.ready, id, conn);
        if self.unflushed.len() >= UNFLUSHED {
            self.flush_all();
        }
        unsent
    }

    fn unsent(&self, id: ConnId) -> usize {
        self.conns.get(id).map_or(0, |conn| conn.output.unsent())
    }

    fn outputs(&self, id: ConnId) -> usize {
        self.conns.get(id).map_or(0, |conn| conn.output.batches())
    }

    fn close_after_flush(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.closing = true;
            self.buffers.put(conn.input.take().unwrap_or_default());
            arm(&mut self.ready, id, conn);
        }
    }

    fn release(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.releasing = true;
            arm(&mut self.ready, id, conn);
        }
    }

    fn close(&mut self, id: ConnId) {
        // The kernel forgets a descriptor that is closed, and a token on its way is stale.
        self.conns.remove(id);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.flush_all();
        // While somebody can go on, the kernel is only asked for news of the others.
        let timeout = if self.ready.is_empty() {
            self.backoff.limit(timeout)
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => self.note_events(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        self.turn = self.ready.len();
        self.retry_accepting();
        Ok(())
    }

    fn next_event(&mut self) -> Option<Event> {
        while self.turn > 0 {
            self.turn -= 1;
            let event = match self.ready.pop_front()? {
                Ready::Conn(id) => self.progress(id),
                Ready::Listener(id) => self.accept(id),
                Ready::Waker => {
                    self.waker.silence();
                    Some(Event::Woken)
                }
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }
}
