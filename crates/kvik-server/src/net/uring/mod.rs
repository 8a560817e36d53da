//! The driver on completions: Linux io_uring, from 6.0 on.
//!
//! One turn is one system call, however many connections it serves: it hands over the sends and
//! takes the bytes that came. Every connection has at most one receive and one send in the kernel:
//!
//! - A **pooled** receive stays armed and takes a buffer from the shared pool whenever bytes come
//!   ([`provided`]), so an idle connection holds none. The bytes are copied out at once.
//! - A **direct** receive replaces it while a large value is expected: the kernel writes into the
//!   input buffer itself, up to the end of the value.
//! - A send reads the first chunk of the output, and is repeated from where it stopped.
//!
//! [`Conn::wanted`] says which receive should be armed and [`UringDriver::arm`] alone makes it so,
//! after every change. A request in the kernel is never forgotten: to stop one is to cancel it and
//! await its last completion, and a slot, its socket and its buffers live until then.
//!
//! **Not done:** registered files, zero-copy sends, a kernel thread that polls. They gain nothing
//! for small messages, or cost a core.

use std::collections::VecDeque;
use std::io::{self, PipeReader};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::opcode;
use io_uring::types::Fd;
use socket2::{Domain, Socket, Type};

use self::provided::{GROUP, Provided};
use self::ring::{Completion, Ring};
use super::buffers::Buffers;
use super::listen::Backoff;
use super::output::Output;
use super::slab::Slab;
use super::waker::Bell;
use super::{CloseReason, ConnId, Driver, Event, Listener, ListenerId, Options, Waker};

mod provided;
mod ring;

const TAG_RECEIVE: u8 = 0;
const TAG_SEND: u8 = 1;
const TAG_CANCEL_RECEIVE: u8 = 2;
const TAG_CANCEL_SEND: u8 = 3;
const TAG_ACCEPT: u8 = 4;
const TAG_WAKE: u8 = 5;
const TAG_CANCEL_UNRELATED: u8 = 6;

/// From this many missing bytes on, a value is received directly.
const DIRECT: usize = 64 << 10;
/// The most that one request is asked to send or receive.
const ONE_REQUEST: usize = 1 << 30;

pub(super) struct UringDriver {
    // The ring goes first when the driver is dropped, then what its requests point to.
    ring: Ring,
    provided: Provided,
    conns: Slab<Conn>,
    wake_pipe: PipeReader,
    wake_bytes: Box<[u8; 8]>,
    waker: Waker,
    /// By id; a closed listener leaves a hole, so that late completions find nothing.
    listeners: Vec<Option<Accepting>>,
    backoff: Backoff,
    buffers: Buffers,
    /// Connections that can progress without the kernel.
    ready: VecDeque<ConnId>,
    /// Connections that found no receive buffer, to be armed again a few at a time: all at once
    /// would starve each other again.
    starved: VecDeque<ConnId>,
    /// How many of the completions belong to this turn.
    turn: usize,
    high_water: usize,
}

struct Accepting {
    listener: Listener,
    /// An accept is in the kernel.
    armed: bool,
}

/// What the kernel is doing for the receiving side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    Nothing,
    Pooled,
    Direct,
    /// Nothing, until the starved get their turn.
    Starved,
}

struct Conn {
    socket: Socket,
    output: Output,
    /// The input buffer, while the layer above waits for bytes. A direct receive writes to it.
    input: Option<Vec<u8>>,
    /// The bytes that the layer above lacks, if it knows.
    missing: usize,
    /// Bytes that came while the layer above did not wait for any.
    early: Vec<u8>,
    failure: Option<io::Error>,
    receiving: Receiving,
    /// The receive in the kernel is being cancelled.
    cancelling: bool,
    /// A send is in the kernel.
    sending: bool,
    /// The peer sends no more.
    ended: bool,
    /// `PeerFinished` was reported.
    finished: bool,
    /// To be closed when the output is sent.
    closing: bool,
    /// Closed for the layer above; stays until the kernel has let go of it.
    gone: bool,
    /// A `Drained` is owed.
    drain_due: bool,
    /// Stands in `ready`.
    queued: bool,
}

impl Conn {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            output: Output::default(),
            input: None,
            missing: 0,
            early: Vec::new(),
            failure: None,
            receiving: Receiving::Nothing,
            cancelling: false,
            sending: false,
            ended: false,
            finished: false,
            closing: false,
            gone: false,
            drain_due: false,
            queued: false,
        }
    }

    fn fd(&self) -> Fd {
        Fd(self.socket.as_raw_fd())
    }

    /// The receive that should be in the kernel.
    fn wanted(&self) -> Receiving {
        let over = self.gone || self.closing || self.ended || self.failure.is_some();
        match &self.input {
            _ if over => Receiving::Nothing,
            // Paused: bytes may still come once, then the peer has to wait.
            None if self.early.is_empty() => self.receiving,
            None => Receiving::Nothing,
            Some(_) if !self.early.is_empty() => self.receiving,
            Some(_) if self.missing >= DIRECT => Receiving::Direct,
            Some(_) => Receiving::Pooled,
        }
    }

    /// Whether `progress` would find something to do.
    fn can_progress(&self) -> bool {
        let may_receive = self.may_deliver() && (!self.early.is_empty() || self.ended);
        let is_drained = self.output.is_empty() && (self.closing || self.drain_due);
        !self.gone && (may_receive || is_drained || self.failure.is_some())
    }

    /// Whether the layer above waits for bytes, or the end.
    fn may_deliver(&self) -> bool {
        self.input.is_some() && !self.gone && !self.closing
    }

    /// Whether the kernel holds nothing of it.
    fn is_free(&self) -> bool {
        !self.sending && matches!(self.receiving, Receiving::Nothing | Receiving::Starved)
    }
}

impl UringDriver {
    /// Opens a driver and tries it, as a kernel or a container may forbid any part of it.
    pub(super) fn new(options: &Options) -> io::Result<Self> {
        let ring = Ring::new()?;
        let provided = Provided::new(&ring, options.receive_buffers)?;
        let (wake_pipe, bell) = io::pipe()?;
        let mut driver = Self {
            ring,
            provided,
            conns: Slab::default(),
            wake_pipe,
            wake_bytes: Box::default(),
            waker: Waker::new(Bell::Pipe(bell)),
            listeners: Vec::new(),
            backoff: Backoff::default(),
            buffers: Buffers::default(),
            ready: VecDeque::new(),
            starved: VecDeque::new(),
            turn: 0,
            high_water: options.high_water,
        };
        driver.try_receiving()?;
        driver.arm_waker();
        Ok(driver)
    }

    /// Receives a byte from itself.
    fn try_receiving(&mut self) -> io::Result<()> {
        const ATTEMPTS: usize = 100;
        let (here, there) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        let id = self.adopt(here)?;
        self.receive(id, Vec::new(), 0);
        there.send(b"?")?;
        for _ in 0..ATTEMPTS {
            self.wait(Some(Duration::from_millis(10)))?;
            match self.next_event() {
                Some(Event::Received { .. }) => {
                    self.close(id);
                    return Ok(());
                }
                Some(Event::Closed {
                    reason: CloseReason::Failed(error),
                    ..
                }) => return Err(error),
                _ => {}
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn arm_waker(&mut self) {
        let read = opcode::Read::new(
            Fd(self.wake_pipe.as_raw_fd()),
            self.wake_bytes.as_mut_ptr(),
            self.wake_bytes.len() as u32,
        )
        .build()
        .user_data(ConnId::pack_number(0, TAG_WAKE));
        // SAFETY: the bytes are the driver's, touched by nobody else, and freed after `drop` has
        // ended all requests.
        unsafe { self.ring.push(&read) };
    }

    fn arm_accept(&mut self, id: ListenerId) {
        let Some(Some(accepting)) = self.listeners.get_mut(id.0 as usize) else {
            return;
        };
        accepting.armed = true;
        let accept = opcode::AcceptMulti::new(Fd(accepting.listener.socket.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build()
            .user_data(ConnId::pack_number(id.0, TAG_ACCEPT));
        // SAFETY: the request points to no memory.
        unsafe { self.ring.push(&accept) };
    }

    /// Brings what the kernel does for a connection in line with what is wanted. The only place
    /// that decides it, to be called after every change.
    fn arm(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        match (conn.receiving, conn.wanted()) {
            (Receiving::Nothing, Receiving::Pooled) => receive_pooled(&mut self.ring, id, conn),
            (Receiving::Nothing, Receiving::Direct) => {
                receive_direct(&mut self.ring, id, conn, &mut self.buffers);
            }
            (Receiving::Pooled, Receiving::Direct | Receiving::Nothing)
            | (Receiving::Direct, Receiving::Nothing)
                if !conn.cancelling =>
            {
                conn.cancelling = true;
                cancel(
                    &mut self.ring,
                    id.pack(TAG_RECEIVE),
                    id.pack(TAG_CANCEL_RECEIVE),
                );
            }
            _ => {}
        }
        if !conn.sending && !conn.gone && !conn.output.is_empty() {
            send(&mut self.ring, id, conn);
        }
        if !conn.queued && conn.can_progress() {
            conn.queued = true;
            self.ready.push_back(id);
        }
    }

    /// Arms `id` and, when both sides have let go of it, empties its slot.
    fn settle(&mut self, id: ConnId) {
        self.arm(id);
        if self
            .conns
            .get(id)
            .is_some_and(|conn| conn.gone && conn.is_free())
        {
            let conn = self.conns.remove(id);
            self.buffers
                .put(conn.and_then(|conn| conn.input).unwrap_or_default());
        }
    }

    /// The connection, as far as the layer above may still know it.
    fn live(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id).filter(|conn| !conn.gone)
    }

    /// Notes what became of a request.
    fn complete(&mut self, completion: Completion) -> Option<Event> {
        let (id, tag) = ConnId::unpack(completion.word);
        match tag {
            TAG_RECEIVE => return self.received(id, completion),
            TAG_SEND => self.sent(id, completion.result),
            TAG_CANCEL_RECEIVE if completion.result.is_err() => self.receive_not_cancelled(id),
            TAG_CANCEL_SEND if completion.result.is_err() => self.send_not_cancelled(id),
            TAG_ACCEPT => return self.accepted(ListenerId(id.slot() as u32), completion),
            TAG_WAKE => return Some(self.woken()),
            _ => {}
        }
        None
    }

    fn received(&mut self, id: ConnId, completion: Completion) -> Option<Event> {
        let conn = self.conns.get_mut(id)?;
        let was_direct = conn.receiving == Receiving::Direct;
        if !completion.more {
            conn.receiving = Receiving::Nothing;
            conn.cancelling = false;
        }
        let event = match (completion.result, completion.buffer) {
            (Ok(0), _) => {
                conn.ended |= is_at_end(&conn.socket);
                None
            }
            (Ok(count), None) if was_direct => take_direct(id, conn, count as usize),
            (Ok(count), Some(number)) => {
                let bytes = self.provided.bytes(number, count);
                take_pooled(id, conn, bytes, &mut self.buffers)
            }
            (Ok(_), None) => None,
            (Err(error), _) => {
                if note_failure(conn, error) == Receiving::Starved {
                    self.starved.push_back(id);
                }
                None
            }
        };
        if let Some(number) = completion.buffer {
            self.provided.give_back(number);
        }
        self.settle(id);
        event
    }

    fn sent(&mut self, id: ConnId, result: io::Result<u32>) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.sending = false;
        match result {
            Ok(count) => conn.output.advance(count as usize, &mut self.buffers),
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                conn.output.clear();
                conn.failure.get_or_insert(error);
            }
        }
        self.settle(id);
    }

    /// The kernel missed the request, which was just running, or has already completed it.
    fn receive_not_cancelled(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.cancelling = false;
            self.arm(id);
        }
    }

    fn send_not_cancelled(&mut self, id: ConnId) {
        if self.conns.get(id).is_some_and(|conn| conn.sending) {
            self.cancel_send(id);
        }
    }

    fn cancel_send(&mut self, id: ConnId) {
        cancel(&mut self.ring, id.pack(TAG_SEND), id.pack(TAG_CANCEL_SEND));
    }

    fn accepted(&mut self, id: ListenerId, completion: Completion) -> Option<Event> {
        let socket = completion.result.map(own);
        let accepting = self.listeners.get_mut(id.0 as usize)?.as_mut()?;
        accepting.armed = completion.more;
        match &socket {
            Ok(_) => self.backoff.succeeded(),
            Err(error) if is_passing(error) => {}
            Err(error) => {
                self.backoff.begin(error);
                return None;
            }
        }
        if !completion.more {
            self.arm_accept(id);
        }
        let socket = socket.ok()?;
        Some(Event::Accepted {
            listener: id,
            socket,
        })
    }

    fn woken(&mut self) -> Event {
        self.waker.silence();
        self.arm_waker();
        Event::Woken
    }

    /// Does what `id` can do without the kernel, up to its next event.
    fn progress(&mut self, id: ConnId) -> Option<Event> {
        let conn = self.conns.get_mut(id)?;
        conn.queued = false;
        if conn.gone {
            return None;
        }
        if let Some(error) = conn.failure.take() {
            return self.end(id, CloseReason::Failed(error));
        }
        if conn.output.is_empty() && conn.closing {
            return self.end(id, CloseReason::Flushed);
        }
        let event = if conn.output.is_empty() && std::mem::take(&mut conn.drain_due) {
            Some(Event::Drained { conn: id })
        } else {
            deliver(id, conn, &mut self.buffers)
        };
        self.arm(id);
        event
    }

    fn end(&mut self, id: ConnId, reason: CloseReason) -> Option<Event> {
        self.close(id);
        Some(Event::Closed { conn: id, reason })
    }

    /// Arms as many of the starved as there are buffers.
    fn feed_starved(&mut self) {
        for _ in 0..self.provided.count() {
            let Some(id) = self.starved.pop_front() else {
                return;
            };
            if let Some(conn) = self.conns.get_mut(id) {
                conn.receiving = Receiving::Nothing;
                self.settle(id);
            }
        }
    }

    fn retry_accepting(&mut self) {
        if self.backoff.ends(self.turn == 0) {
            for index in 0..self.listeners.len() {
                if self.listeners[index]
                    .as_ref()
                    .is_some_and(|accepting| !accepting.armed)
                {
                    self.arm_accept(ListenerId(index as u32));
                }
            }
        }
    }

    /// Cancels all requests, each by its word (a request to cancel any takes the kernel quadratic
    /// time), and awaits their ends.
    fn end_requests(&mut self) -> io::Result<()> {
        const ATTEMPTS: usize = 500;
        self.unlisten();
        for id in self.conns.ids() {
            self.close(id);
        }
        self.cancel_unrelated(TAG_WAKE, 0);
        for _ in 0..ATTEMPTS {
            if self.ring.in_flight() == 0 {
                return Ok(());
            }
            self.ring.enter(Some(Duration::from_millis(10)))?;
            while let Some(completion) = self.ring.pop() {
                if ConnId::unpack(completion.word).1 != TAG_WAKE {
                    self.complete(completion);
                }
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Cancels a request that belongs to no connection.
    fn cancel_unrelated(&mut self, tag: u8, number: u32) {
        let word = |tag| ConnId::pack_number(number, tag);
        cancel(&mut self.ring, word(tag), word(TAG_CANCEL_UNRELATED));
    }
}

impl Drop for UringDriver {
    fn drop(&mut self) {
        if let Err(error) = self.end_requests() {
            // The kernel may yet write to what its requests point to: better leaked than freed.
            tracing::error!("cannot cancel the requests of an io_uring: {error}");
            std::mem::forget(std::mem::take(&mut self.conns));
            std::mem::forget(std::mem::take(&mut self.wake_bytes));
            self.provided.abandon();
        }
    }
}

fn receive_pooled(ring: &mut Ring, id: ConnId, conn: &mut Conn) {
    conn.receiving = Receiving::Pooled;
    let receive = opcode::RecvMulti::new(conn.fd(), GROUP)
        .build()
        .user_data(id.pack(TAG_RECEIVE));
    // SAFETY: the request points to no memory but the provided buffers, which outlive it.
    unsafe { ring.push(&receive) };
}

fn receive_direct(ring: &mut Ring, id: ConnId, conn: &mut Conn, buffers: &mut Buffers) {
    let fd = conn.fd();
    let Some(input) = &mut conn.input else {
        return;
    };
    conn.receiving = Receiving::Direct;
    buffers.make_room(input, conn.missing);
    let room = input.spare_capacity_mut();
    let receive = opcode::Recv::new(
        fd,
        room.as_mut_ptr().cast(),
        room.len().min(conn.missing) as u32,
    )
    .flags(libc::MSG_WAITALL)
    .build()
    .user_data(id.pack(TAG_RECEIVE));
    // SAFETY: the room belongs to `conn.input`, which nobody touches while a direct receive is in
    // the kernel, and which the slot keeps until then.
    unsafe { ring.push(&receive) };
}

fn send(ring: &mut Ring, id: ConnId, conn: &mut Conn) {
    conn.sending = true;
    let bytes = conn.output.front();
    let send = opcode::Send::new(
        conn.fd(),
        bytes.as_ptr(),
        bytes.len().min(ONE_REQUEST) as u32,
    )
    .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
    .build()
    .user_data(id.pack(TAG_SEND));
    // SAFETY: the output keeps its first chunk in place until `advance` or `clear`, which only
    // `sent` calls, and the slot keeps the output until then.
    unsafe { ring.push(&send) };
}

/// Asks the kernel to end the request `target`, which then completes like any other.
fn cancel(ring: &mut Ring, target: u64, word: u64) {
    let cancel = opcode::AsyncCancel::new(target).build().user_data(word);
    // SAFETY: the request points to no memory.
    unsafe { ring.push(&cancel) };
}

/// Takes `count` bytes that the kernel wrote behind the input.
fn take_direct(id: ConnId, conn: &mut Conn, count: usize) -> Option<Event> {
    let mut input = conn.input.take()?;
    assert!(
        count <= input.capacity() - input.len(),
        "the kernel keeps to the room it was given"
    );
    // SAFETY: the kernel has written `count` bytes to the spare capacity, and completed.
    unsafe { input.set_len(input.len() + count) };
    if conn.gone || conn.closing {
        return None;
    }
    Some(Event::Received { conn: id, input })
}

/// Takes bytes from a pooled buffer: as an event if the layer above waits for them.
fn take_pooled(id: ConnId, conn: &mut Conn, bytes: &[u8], buffers: &mut Buffers) -> Option<Event> {
    if !conn.may_deliver() || !conn.early.is_empty() {
        conn.early.extend_from_slice(bytes);
        return None;
    }
    let mut input = conn.input.take()?;
    if bytes.len() > input.capacity() - input.len() {
        buffers.make_room(&mut input, conn.missing);
    }
    input.extend_from_slice(bytes);
    Some(Event::Received { conn: id, input })
}

/// Hands over what came early, then the end.
fn deliver(id: ConnId, conn: &mut Conn, buffers: &mut Buffers) -> Option<Event> {
    if !conn.may_deliver() {
        return None;
    }
    if conn.early.is_empty() {
        if !conn.ended {
            return None;
        }
        conn.finished = true;
        buffers.put(conn.input.take()?);
        return Some(Event::PeerFinished { conn: id });
    }
    let mut input = conn.input.take()?;
    input.append(&mut conn.early);
    conn.early = Vec::new();
    Some(Event::Received { conn: id, input })
}

/// Whether a receive without data meant the end. A kernel may also complete one empty while the
/// socket still has data, so the socket is asked; its hint in the completion counts the end as
/// data.
fn is_at_end(socket: &Socket) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    let peeked = socket.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT);
    peeked.is_ok_and(|count| count == 0)
}

/// Notes why a receive has ended, and whether it lacked a buffer.
fn note_failure(conn: &mut Conn, error: io::Error) -> Receiving {
    if error.raw_os_error() == Some(libc::ENOBUFS) && !conn.gone {
        conn.receiving = Receiving::Starved;
    } else if !is_passing(&error) {
        conn.failure.get_or_insert(error);
    }
    conn.receiving
}

/// Whether the request may just be repeated, or was cancelled.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN | libc::ECONNABORTED | libc::ENOBUFS)
    )
}

/// Owns a socket that the kernel has accepted.
fn own(fd: u32) -> Socket {
    // SAFETY: the descriptor is the result of an accept and nobody else's.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }.into()
}

impl Driver for UringDriver {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn listen(&mut self, listener: Listener) -> io::Result<ListenerId> {
        listener.socket.set_nonblocking(false)?;
        let id = ListenerId(self.listeners.len() as u32);
        self.listeners.push(Some(Accepting {
            listener,
            armed: false,
        }));
        self.arm_accept(id);
        Ok(id)
    }

    fn unlisten(&mut self) {
        for index in 0..self.listeners.len() {
            if self.listeners[index]
                .take()
                .is_some_and(|accepting| accepting.armed)
            {
                self.cancel_unrelated(TAG_ACCEPT, index as u32);
            }
        }
    }

    fn adopt(&mut self, socket: Socket) -> io::Result<ConnId> {
        // A request on a non-blocking socket would fail instead of waiting.
        socket.set_nonblocking(false)?;
        let id = self.conns.insert(Conn::new(socket));
        id.ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.buffers.get()
    }

    fn receive(&mut self, id: ConnId, input: Vec<u8>, missing: usize) {
        match self.conns.get_mut(id) {
            Some(conn) if !conn.finished && !conn.closing && !conn.gone => {
                conn.input = Some(self.buffers.park(input));
                conn.missing = missing;
                self.arm(id);
            }
            _ => self.buffers.put(input),
        }
    }

    fn send(&mut self, id: ConnId, output: Vec<u8>) -> usize {
        let high_water = self.high_water;
        let conn = self
            .conns
            .get_mut(id)
            .filter(|conn| !conn.closing && !conn.gone);
        let Some(conn) = conn else {
            self.buffers.put(output);
            return 0;
        };
        conn.output.push(output, &mut self.buffers);
        let unsent = conn.output.unsent();
        conn.drain_due |= unsent >= high_water;
        self.arm(id);
        unsent
    }

    fn unsent(&self, id: ConnId) -> usize {
        let conn = self.conns.get(id).filter(|conn| !conn.gone);
        conn.map_or(0, |conn| conn.output.unsent())
    }

    fn close_after_flush(&mut self, id: ConnId) {
        if let Some(conn) = self.live(id) {
            conn.closing = true;
            self.arm(id);
        }
    }

    fn close(&mut self, id: ConnId) {
        let Some(conn) = self.live(id) else {
            return;
        };
        conn.gone = true;
        if conn.sending {
            self.cancel_send(id);
        }
        self.settle(id);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.feed_starved();
        let timeout = if self.ready.is_empty() && self.starved.is_empty() {
            self.backoff.limit(timeout)
        } else {
            Some(Duration::ZERO)
        };
        self.ring.enter(timeout)?;
        self.turn = self.ring.completed();
        self.retry_accepting();
        Ok(())
    }

    fn next_event(&mut self) -> Option<Event> {
        loop {
            let event = if let Some(id) = self.ready.pop_front() {
                self.progress(id)
            } else if self.turn > 0 {
                self.turn -= 1;
                let completion = self.ring.pop()?;
                self.complete(completion)
            } else {
                return None;
            };
            if event.is_some() {
                return event;
            }
        }
    }
}
