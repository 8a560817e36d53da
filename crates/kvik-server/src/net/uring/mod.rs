//! The driver on completions: Linux io_uring, from 6.0 on.
//!
//! One turn is one system call, however many connections it serves: it hands over the sends and
//! takes the bytes that came. Every connection has at most one receive and one send in the kernel:
//!
//! - A **pooled** receive stays armed and takes a buffer from the shared pool whenever bytes come
//!   ([`provided`]), so an idle connection holds none. The bytes are copied out at once.
//! - A **direct** receive replaces it while a large value is expected: the kernel writes into the
//!   input buffer itself, or into the chunks of a large string, up to the end of the value. A
//!   string of which much is missing first **gathers** in the kernel ([`super::low_water`]).
//! - A send reads the first batch of the output, and is repeated from where it stopped.
//!
//! [`UringConn::wanted`] says which receive should be armed and [`UringDriver::arm`] alone makes it
//! so, after every change. A request in the kernel is never forgotten: to stop one is to cancel it
//! and await its last completion, and a slot, its socket and its buffers live until then.
//!
//! **Not done:** registered files, zero-copy sends, a kernel thread that polls. They gain nothing
//! for small messages, or cost a core.
//!
//! The file is long because a driver is one state machine: what a completion means depends on all
//! that is wanted of its connection. The requests themselves are in `conn`.

use std::collections::VecDeque;
use std::io::{self, PipeReader};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::opcode;
use io_uring::types::Fd;
use kvik_resp::Output;
use kvik_rope::IncomingRope;
use socket2::{Domain, Socket, Type};

use self::conn::{Receiving, UringConn, is_passing};
use self::provided::Provided;
use self::ring::{Completion, Ring};
use super::buffers::Buffers;
use super::listen::Backoff;
use super::slab::Slab;
use super::waker::WakeBell;
use super::{CloseReason, ConnId, Driver, Event, Listener, ListenerId, Options, Waker};

mod conn;
mod provided;
mod ring;

const TAG_RECEIVE: u8 = 0;
const TAG_SEND: u8 = 1;
const TAG_CANCEL_RECEIVE: u8 = 2;
const TAG_CANCEL_SEND: u8 = 3;
const TAG_ACCEPT: u8 = 4;
const TAG_WAKE: u8 = 5;
const TAG_CANCEL_UNRELATED: u8 = 6;

pub(super) struct UringDriver {
    // The ring goes first when the driver is dropped, then what its requests point to.
    ring: Ring,
    provided: Provided,
    conns: Slab<UringConn>,
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
    /// One of them has found none since the last turn.
    hungry: bool,
    /// How many of the completions belong to this turn.
    turn: usize,
    high_water: usize,
}

struct Accepting {
    listener: Listener,
    /// An accept is in the kernel.
    armed: bool,
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
            waker: Waker::new(WakeBell::Pipe(bell)),
            listeners: Vec::new(),
            backoff: Backoff::default(),
            buffers: Buffers::default(),
            ready: VecDeque::new(),
            starved: VecDeque::new(),
            hungry: false,
            turn: 0,
            high_water: options.high_water,
        };
        driver.try_receiving()?;
        driver.arm_waker();
        Ok(driver)
    }

    /// Receives a byte from itself.
    fn try_receiving(&mut self) -> io::Result<()> {
        // Some containers allow the ring and forbid requests, which shows only when one is made.
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
            (Receiving::Nothing, Receiving::Pooled) => conn.receive_pooled(id, &mut self.ring),
            (Receiving::Nothing, Receiving::Direct) => {
                conn.receive_direct(id, &mut self.ring, &mut self.buffers);
            }
            (Receiving::Pooled, Receiving::Direct | Receiving::Nothing)
            | (Receiving::Direct | Receiving::Gathering, Receiving::Nothing)
                // A request ends by its completion only: what is wanted instead is armed when that
                // has come.
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
            conn.send(id, &mut self.ring);
        }
        if !conn.queued && conn.can_progress() {
            conn.queued = true;
            self.ready.push_back(id);
        }
    }

    /// Arms `id` and, when both sides have let go of it, empties its slot.
    fn arm_or_remove(&mut self, id: ConnId) {
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
    fn live(&mut self, id: ConnId) -> Option<&mut UringConn> {
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
            TAG_ACCEPT => return self.accepted(ListenerId(id.index() as u32), completion),
            TAG_WAKE => return Some(self.woken()),
            _ => {}
        }
        None
    }

    fn received(&mut self, id: ConnId, completion: Completion) -> Option<Event> {
        let conn = self.conns.get_mut(id)?;
        let was = conn.receiving;
        if !completion.more {
            conn.receiving = Receiving::Nothing;
            conn.cancelling = false;
        }
        // A poll says that bytes are there and brings none; the receive follows.
        if was == Receiving::Gathering {
            conn.note_gathered(completion.result);
            self.arm_or_remove(id);
            return None;
        }
        let event = match (completion.result, completion.buffer) {
            (Ok(0), _) => {
                conn.note_empty_receive();
                None
            }
            (Ok(count), None) if was == Receiving::Direct => conn.take_direct(id, count as usize),
            (Ok(count), Some(number)) => {
                let bytes = self.provided.bytes(number, count);
                conn.take_pooled(id, bytes, &mut self.buffers)
            }
            (Ok(_), None) => None,
            (Err(error), _) => {
                conn.note_receive_failure(error);
                if conn.receiving == Receiving::Starved {
                    self.starved.push_back(id);
                    self.hungry = true;
                }
                None
            }
        };
        // The bytes are copied by now, so that the buffer serves the next connection.
        if let Some(number) = completion.buffer {
            self.provided.give_back(number);
        }
        self.arm_or_remove(id);
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
        self.arm_or_remove(id);
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
            // The door was closed from elsewhere, which ends the accept.
            Err(_) if accepting.listener.is_closed() => {
                self.listeners[id.0 as usize] = None;
                return None;
            }
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
        if conn.can_be_released() {
            return self.conns.remove(id).map(|conn| conn.release(id));
        }
        // Before more input: the layer above may have stopped reading until its output is gone.
        let event = if conn.output.is_empty() && std::mem::take(&mut conn.drain_due) {
            Some(Event::Drained { conn: id })
        } else {
            conn.deliver(id, &mut self.buffers)
        };
        self.arm(id);
        event
    }

    fn end(&mut self, id: ConnId, reason: CloseReason) -> Option<Event> {
        self.close(id);
        Some(Event::Closed { conn: id, reason })
    }

    /// Arms as many of the starved as there are buffers, of which there may be more now.
    fn feed_starved(&mut self) {
        if std::mem::take(&mut self.hungry) {
            self.provided.give_more();
        }
        for _ in 0..self.provided.used() {
            let Some(id) = self.starved.pop_front() else {
                return;
            };
            if let Some(conn) = self.conns.get_mut(id) {
                conn.receiving = Receiving::Nothing;
                self.arm_or_remove(id);
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

    /// Closes the listeners that `which` chooses. The kernel holds a socket that it accepts on
    /// until the request has ended.
    fn drop_listeners(&mut self, which: impl Fn(&Listener) -> bool) {
        for index in 0..self.listeners.len() {
            let dropped = self.listeners[index].take_if(|accepting| which(&accepting.listener));
            if dropped.is_some_and(|accepting| accepting.armed) {
                self.cancel_unrelated(TAG_ACCEPT, index as u32);
            }
        }
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

/// Asks the kernel to end the request `target`, which then completes like any other.
fn cancel(ring: &mut Ring, target: u64, word: u64) {
    let cancel = opcode::AsyncCancel::new(target).build().user_data(word);
    // SAFETY: the request points to no memory.
    unsafe { ring.push(&cancel) };
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
        self.drop_listeners(|_| true);
    }

    fn drop_closed(&mut self) {
        self.drop_listeners(Listener::is_closed);
    }

    fn adopt(&mut self, socket: Socket) -> io::Result<ConnId> {
        // A request on a non-blocking socket would fail instead of waiting.
        socket.set_nonblocking(false)?;
        let id = self.conns.insert(UringConn::new(socket));
        id.ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    fn buffer(&mut self) -> Output {
        self.buffers.get().into()
    }

    fn receive(&mut self, id: ConnId, input: Vec<u8>, missing: usize) {
        match self.conns.get_mut(id) {
            Some(conn) if conn.may_receive() => {
                conn.input = Some(self.buffers.park(input));
                conn.expect(missing, None);
                self.arm(id);
            }
            _ => self.buffers.put(input),
        }
    }

    fn receive_large(&mut self, id: ConnId, incoming: IncomingRope, input: Vec<u8>) {
        match self.conns.get_mut(id) {
            Some(conn) if conn.may_receive() => {
                conn.input = Some(self.buffers.park(input));
                conn.expect(incoming.missing(), Some(incoming));
                self.arm(id);
            }
            _ => self.buffers.put(input),
        }
    }

    fn send(&mut self, id: ConnId, output: Output) -> usize {
        let high_water = self.high_water;
        let conn = self.conns.get_mut(id).filter(|conn| !conn.is_closed());
        let Some(conn) = conn else {
            self.buffers.put(output.into_parts().0);
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

    fn outputs(&self, id: ConnId) -> usize {
        self.conns.get(id).map_or(0, |conn| conn.output.batches())
    }

    fn close_after_flush(&mut self, id: ConnId) {
        if let Some(conn) = self.live(id) {
            conn.closing = true;
            self.arm(id);
        }
    }

    fn release(&mut self, id: ConnId) {
        if let Some(conn) = self.live(id) {
            conn.releasing = true;
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
        self.arm_or_remove(id);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.feed_starved();
        // Whoever can go on without the kernel does so now; the kernel is only asked for what is
        // complete.
        let timeout = if self.ready.is_empty() && self.starved.is_empty() {
            self.backoff.limit(timeout)
        } else {
            Some(Duration::ZERO)
        };
        self.ring.enter(timeout)?;
        // Completions that come during the turn belong to the next, so that the turn ends.
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
