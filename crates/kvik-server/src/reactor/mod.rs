//! The reactor: one I/O thread's loop over its driver.
//!
//! Bytes come in as events, commands run to completion on this thread, replies go out once per batch. A connection's
//! commands run strictly in order. The thread never waits for anything but its driver: a connection whose command needs
//! a stripe that is taken, or that is paused, is set aside with its input and the others go on. A client that does not
//! read its replies gets nothing more executed until it does; its requests are still received, up to the query buffer
//! limit, so that a client that writes a long pipeline before it reads cannot lock up with the server.

#[cfg(test)]
mod allocations;
mod connection;
mod governor;
mod inbox;
mod input;
mod moving;
mod pipeline;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvik::{Db, Executor, Patience};
use kvik_command::client::{Origin, Wake};
use kvik_resp::Output;
use kvik_rope::IncomingRope;
use socket2::Socket;

use crate::config::{Config, Key};
use crate::front::Front;
use crate::net::{self, CloseReason, ConnId, Driver, Event, Peer};
use crate::warning::RateLimitedWarning;
use connection::{Connection, RunEnd, State, Tools};
use governor::Governor;
pub(crate) use inbox::{Arrival, Inbox};
use pipeline::Pipeline;

/// How long a stopping thread waits for clients to read their last replies.
const GRACE_MS: u64 = 1000;
/// Full reply buffers sent to one connection before others get their turn.
const FLUSHES: usize = 16;
/// How often idle and slow clients are looked for.
const PATROL_MS: u64 = 1000;
/// Rounds in which a stripe that is taken is tried without a pause, and the pause from then on. What comes from clients ends
/// the pause.
const ATTEMPTS: u32 = 100;
const RETRY: Duration = Duration::from_millis(1);
/// Longest wait for the driver: the kernel's interfaces count milliseconds in 31 bits.
const LONGEST_WAIT_MS: u64 = 3_600_000;
/// Unread replies of so many bytes are held against the output limits at once, fewer by the patrol.
const CHECKED_OUTPUT: usize = 64 << 10;

static UNPROCESSED: RateLimitedWarning = RateLimitedWarning::new();
static UNREAD: RateLimitedWarning = RateLimitedWarning::new();

/// See the module's description.
pub(crate) struct Reactor {
    index: u16,
    front: Arc<Front>,
    config: Arc<Config>,
    db: Db,
    driver: Box<dyn Driver>,
    inbox: Arc<Inbox>,
    executor: Executor,
    pipeline: Pipeline,
    /// By slot of their id.
    connections: Vec<Option<Box<Connection>>>,
    /// Connections in [`State::Ready`].
    ready: Vec<ConnId>,
    /// Whether one of them has found a stripe taken, and whether one only waits for its turn.
    contended: bool,
    crowded: bool,
    /// Rounds in which nobody was ready who did not find a stripe taken.
    held_up: u32,
    /// How many are in [`State::Paused`].
    paused: usize,
    next_patrol_ms: u64,
    stopping_until_ms: Option<u64>,
    /// How many threads the connections are shared by.
    shared_by: usize,
    /// On the thread that decides how many that is.
    governor: Option<Governor>,
}

impl Reactor {
    pub(crate) fn new(
        index: u16,
        front: Arc<Front>,
        db: Db,
        driver: Box<dyn Driver>,
        inbox: Arc<Inbox>,
    ) -> Self {
        let governor = front.elastic_threads().filter(|_| index == 0);
        let (governor, shared_by) = (governor.map(Governor::new), front.awake());
        Self {
            index,
            config: Arc::clone(&front.config),
            front,
            executor: db.executor(Patience::Spin),
            db,
            driver,
            inbox,
            pipeline: Pipeline::default(),
            connections: Vec::new(),
            ready: Vec::new(),
            contended: false,
            crowded: false,
            held_up: 0,
            paused: 0,
            next_patrol_ms: 0,
            stopping_until_ms: None,
            shared_by,
            governor,
        }
    }

    /// Serves until told to stop.
    ///
    /// # Errors
    /// If the kernel's event interface fails.
    pub(crate) fn run(mut self) -> io::Result<()> {
        loop {
            let timeout = self.timeout();
            self.driver.wait(timeout)?;
            self.executor.refresh();
            self.executor.help_expire();
            while let Some(event) = self.driver.next_event() {
                self.handle(event);
            }
            self.run_ready();
            self.resume_paused();
            self.patrol();
            self.govern();
            self.give_way();
            if self.is_done() {
                return Ok(());
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Accepted { socket, .. } => self.accept(socket),
            Event::Received { conn, input } => self.received(conn, None, input),
            Event::ReceivedLarge {
                conn,
                incoming,
                input,
            } => self.received(conn, Some(incoming), input),
            Event::PeerFinished { conn } => self.peer_finished(conn),
            Event::Drained { conn } => self.drained(conn),
            Event::Closed { conn, reason } => self.closed(conn, &reason),
            Event::Released {
                conn,
                socket,
                input,
            } => self.released(conn, socket, input),
            Event::Woken => self.read_inbox(),
        }
    }

    // Coming and going.

    fn accept(&self, socket: Socket) {
        if let Err(refusal) = self.front.admit(&socket) {
            self.executor.stats().totals.rejected_connections.add(1);
            self.front.refuse(socket, &refusal);
            return;
        }
        self.executor.stats().totals.connections.add(1);
        self.front.assign(socket);
    }

    fn read_inbox(&mut self) {
        for socket in self.inbox.take_sockets() {
            self.adopt(socket);
        }
        for arrival in self.inbox.take_arrivals() {
            self.arrive(arrival);
        }
        if self.inbox.take_attention() {
            self.close_killed();
        }
        for (key, duration) in self.inbox.take_holds() {
            hold(self.db.clone(), key, duration);
        }
        if self.inbox.is_stopped() {
            self.stop();
        } else {
            self.share();
        }
    }

    fn adopt(&mut self, socket: Socket) {
        let origin = origin(&socket, self.index, &self.inbox);
        let adopted = self.tune(&socket).and_then(|()| self.driver.adopt(socket));
        let Ok(id) = adopted else {
            self.front.left(&self.inbox);
            return;
        };
        let connection = Connection::new(id, self.db.session(origin));
        self.insert(Box::new(connection));
        self.receive(id, 0);
    }

    fn insert(&mut self, connection: Box<Connection>) {
        let slot = connection.id.index();
        if self.connections.len() <= slot {
            self.connections.resize_with(slot + 1, || None);
        }
        self.connections[slot] = Some(connection);
    }

    fn tune(&self, socket: &Socket) -> io::Result<()> {
        let keepalive = self.config.int(Key::TcpKeepalive);
        let keepalive = (keepalive > 0).then(|| Duration::from_secs(keepalive.unsigned_abs()));
        net::tune(socket, Peer::of(socket)?, keepalive)
    }

    fn closed(&mut self, id: ConnId, reason: &CloseReason) {
        if let CloseReason::Failed(error) = reason {
            tracing::debug!(%error, "connection lost");
        }
        self.forget(id);
    }

    fn forget(&mut self, id: ConnId) {
        let Some(mut connection) = self
            .connections
            .get_mut(id.index())
            .and_then(|slot| slot.take_if(|c| c.id == id))
        else {
            return;
        };
        self.set_state(&mut connection, State::Closing);
        self.executor.end(&mut connection.session);
        self.front.left(&self.inbox);
    }

    /// Cuts a connection off, unsent replies and all.
    fn cut(&mut self, id: ConnId) {
        self.driver.close(id);
        self.forget(id);
    }

    fn peer_finished(&mut self, id: ConnId) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        connection.finished = true;
        connection.receiving = false;
        // A command that a pause holds back is not run for a client that has gone meanwhile.
        if matches!(connection.state, State::Reading | State::Paused(_)) {
            self.close_when_sent(id);
        }
    }

    fn close_when_sent(&mut self, id: ConnId) {
        let Some(mut connection) = self.take(id) else {
            return;
        };
        self.set_state(&mut connection, State::Closing);
        self.connections[id.index()] = Some(connection);
        self.driver.close_after_flush(id);
    }

    fn close_killed(&mut self) {
        for id in self.ids(|connection| connection.session.client.is_killed()) {
            self.cut(id);
        }
        let now_ms = self.now_ms();
        for id in self
            .ids(|connection| matches!(connection.state, State::Paused(until) if until > now_ms))
        {
            self.run_connection(id);
        }
    }

    // Running commands.

    /// Bytes have come: of a large argument if one was being received, and others behind it.
    fn received(&mut self, id: ConnId, incoming: Option<IncomingRope>, input: Vec<u8>) {
        let (limit, now_ms) = (self.config.size(Key::ClientQueryBufferLimit), self.now_ms());
        let Some(connection) = self.connection(id) else {
            return;
        };
        connection.receiving = false;
        connection.note_activity(now_ms);
        let mut grown = connection.input.accept(input);
        let lacks_more = incoming
            .as_ref()
            .is_some_and(|incoming| incoming.missing() > 0);
        grown += incoming.map_or(0, |incoming| connection.input.accept_incoming(incoming));
        let too_long = connection.input.len() > connection.input_limit(limit);
        let state = connection.state;
        let waits = matches!(state, State::Clogged | State::Paused(_));
        if waits {
            note_input(connection);
        }
        self.executor.stats().totals.bytes_in.add(grown as u64);
        if too_long {
            UNPROCESSED.warn(
                now_ms,
                "closed a client whose unprocessed input exceeds client-query-buffer-limit",
            );
            self.executor
                .stats()
                .totals
                .input_limit_disconnections
                .add(1);
            self.cut(id);
        } else if state == State::Reading {
            if lacks_more {
                self.receive(id, 0);
            } else if !self.depart(id) {
                self.run_connection(id);
            }
        } else if waits {
            self.receive(id, 0);
        }
    }

    fn run_connection(&mut self, id: ConnId) {
        let Some(mut connection) = self.take(id) else {
            return;
        };
        self.executor.refresh();
        let mut out = self.driver.buffer();
        let max_bulk = self.config.size(Key::ProtoMaxBulkLen) as u64;
        let mut flushes_left = FLUSHES;
        let stop = loop {
            let mut tools = Tools {
                executor: &mut self.executor,
                pipeline: &mut self.pipeline,
                max_bulk,
            };
            let stop = connection.run(&mut tools, &mut out);
            if stop != RunEnd::Flush {
                break stop;
            }
            let clogged = self.send(&mut connection, std::mem::take(&mut out));
            flushes_left -= 1;
            if clogged || flushes_left == 0 {
                break RunEnd::Flush;
            }
            out = self.driver.buffer();
        };
        let clogged = self.send(&mut connection, out);
        note_buffers(&connection, &*self.driver);
        let unsent = self.driver.unsent(id);
        self.connections[id.index()] = Some(connection);
        self.after_run(id, stop, clogged);
        if unsent >= CHECKED_OUTPUT {
            self.check_output(id, self.now_ms());
        }
    }

    /// Sends replies. Says whether the client has so much unread that nothing more should run for it.
    fn send(&mut self, connection: &mut Connection, out: Output) -> bool {
        self.executor.stats().totals.bytes_out.add(out.len() as u64);
        self.driver.send(connection.id, out) >= self.front.high_water
    }

    fn after_run(&mut self, id: ConnId, stop: RunEnd, clogged: bool) {
        self.contended |= stop == RunEnd::Busy;
        self.crowded |= matches!(stop, RunEnd::Turn | RunEnd::Flush);
        let state = match stop {
            RunEnd::Close => return self.close_when_sent(id),
            RunEnd::Incomplete(_) if self.is_finished(id) => return self.close_when_sent(id),
            RunEnd::Incomplete(_) | RunEnd::Paused(_) if self.is_stopping() => {
                return self.close_when_sent(id);
            }
            _ if clogged => State::Clogged,
            RunEnd::Incomplete(_) => State::Reading,
            RunEnd::Turn | RunEnd::Busy | RunEnd::Flush => State::Ready,
            RunEnd::Paused(until_ms) => State::Paused(until_ms),
        };
        let Some(mut connection) = self.take(id) else {
            return;
        };
        self.set_state(&mut connection, state);
        self.connections[id.index()] = Some(connection);
        match (state, stop) {
            (State::Reading, RunEnd::Incomplete(missing)) => {
                if let Some(connection) = self.connection(id) {
                    connection.set_apart();
                }
                self.receive(id, missing);
            }
            // While it waits, its requests are received and its end is noticed.
            (State::Clogged | State::Paused(_), _) => self.receive(id, 0),
            _ => {}
        }
    }

    fn is_finished(&mut self, id: ConnId) -> bool {
        self.connection(id)
            .is_some_and(|connection| connection.finished)
    }

    /// Lets the driver receive, unless it does already or nothing will come.
    fn receive(&mut self, id: ConnId, missing: usize) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        if connection.receiving || connection.finished {
            return;
        }
        connection.receiving = true;
        let input = connection.input.lend(connection.state != State::Reading);
        match connection.input.lend_incoming() {
            Some(incoming) => self.driver.receive_large(id, incoming, input),
            None => self.driver.receive(id, input, missing),
        }
    }

    fn drained(&mut self, id: ConnId) {
        let now_ms = self.now_ms();
        let Some(connection) = self.connection(id) else {
            return;
        };
        connection.over_soft_limit_since = None;
        connection.note_unsent(0, now_ms);
        if connection.state == State::Clogged {
            self.run_connection(id);
        }
    }

    fn run_ready(&mut self) {
        for id in std::mem::take(&mut self.ready) {
            if self
                .connection(id)
                .is_some_and(|connection| connection.state == State::Ready)
            {
                self.run_connection(id);
            }
        }
    }

    /// Lets the thread that holds a stripe go on where there are more threads than cores. A stripe is mostly held for
    /// less than a microsecond; one that is not has this thread sleep between its attempts.
    fn give_way(&mut self) {
        let contended = std::mem::take(&mut self.contended);
        let crowded = std::mem::take(&mut self.crowded);
        self.held_up = if contended && !crowded {
            self.held_up.saturating_add(1)
        } else {
            0
        };
        if contended && self.held_up < ATTEMPTS {
            std::thread::yield_now();
        }
    }

    fn resume_paused(&mut self) {
        if self.paused == 0 {
            return;
        }
        let now_ms = self.now_ms();
        for id in self
            .ids(|connection| matches!(connection.state, State::Paused(until) if until <= now_ms))
        {
            self.run_connection(id);
        }
    }

    // Time.

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            let held_up = self.held_up >= ATTEMPTS;
            return Some(if held_up { RETRY } else { Duration::ZERO });
        }
        let now_ms = self.now_ms();
        let patrol = self.needs_patrol().then_some(self.next_patrol_ms);
        let paused = (self.paused > 0).then(|| self.db.engine().pause.until_ms());
        let stop = self.stopping_until_ms;
        let wake_ms = [patrol, paused, stop, self.next_window_ms()]
            .into_iter()
            .flatten()
            .min()?;
        let wait_ms = wake_ms.saturating_sub(now_ms);
        Some(Duration::from_millis(wait_ms.clamp(1, LONGEST_WAIT_MS)))
    }

    /// When the governor has to look again by itself.
    fn next_window_ms(&self) -> Option<u64> {
        let governor = self.governor.as_ref()?;
        (self.front.awake() > 1).then(|| governor.next_us().div_ceil(1000))
    }

    fn needs_patrol(&self) -> bool {
        let limit = self.config.output_buffer_limits()[0];
        let limited = limit.hard_bytes > 0 || limit.soft_bytes > 0;
        (limited || self.config.int(Key::Timeout) > 0)
            && self.inbox.connections.load(Ordering::Relaxed) > 0
    }

    /// Looks for clients that have been silent for too long or leave too many replies unread.
    fn patrol(&mut self) {
        let now_ms = self.now_ms();
        if now_ms < self.next_patrol_ms || !self.needs_patrol() {
            return;
        }
        self.next_patrol_ms = now_ms + PATROL_MS;
        for connection in self.connections.iter().flatten() {
            connection.note_unsent(self.driver.unsent(connection.id), now_ms);
        }
        let idle_ms = self.config.int(Key::Timeout).unsigned_abs() * 1000;
        let is_idle = |connection: &Connection| {
            let active_ms = connection.session.client.active_ms.load(Ordering::Relaxed);
            idle_ms > 0
                && !matches!(connection.state, State::Ready | State::Paused(_))
                && now_ms.saturating_sub(active_ms) >= idle_ms
        };
        for id in self.ids(is_idle) {
            self.cut(id);
        }
        for id in self.ids(|_| true) {
            self.check_output(id, now_ms);
        }
    }

    fn check_output(&mut self, id: ConnId, now_ms: u64) {
        let limit = self.config.output_buffer_limits()[0];
        let unsent = self.driver.unsent(id) as u64;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let since = if limit.soft_bytes > 0 && unsent > limit.soft_bytes {
            Some(connection.over_soft_limit_since.unwrap_or(now_ms))
        } else {
            None
        };
        connection.over_soft_limit_since = since;
        let soft_ms = limit.soft_seconds.saturating_mul(1000);
        let too_long = since.is_some_and(|since| now_ms.saturating_sub(since) >= soft_ms);
        if too_long || limit.hard_bytes > 0 && unsent > limit.hard_bytes {
            UNREAD.warn(
                now_ms,
                &format!("closed a client that left {unsent} bytes of replies unread"),
            );
            self.executor
                .stats()
                .totals
                .output_limit_disconnections
                .add(1);
            self.cut(id);
        }
    }

    /// Closes what waits for its client or for a pause; what has commands to run is closed when they have run.
    fn stop(&mut self) {
        if self.stopping_until_ms.is_none() {
            self.driver.unlisten();
            self.stopping_until_ms = Some(self.now_ms() + GRACE_MS);
        }
        let ends = |state| matches!(state, State::Reading | State::Paused(_) | State::Leaving);
        for id in self.ids(|connection| ends(connection.state)) {
            self.close_when_sent(id);
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping_until_ms.is_some()
    }

    fn is_done(&self) -> bool {
        let empty = self.inbox.connections.load(Ordering::Relaxed) == 0;
        self.stopping_until_ms
            .is_some_and(|until| empty || self.now_ms() >= until)
    }

    // Connections.

    fn now_ms(&self) -> u64 {
        self.executor.now_us() / 1000
    }

    fn connection(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.connections
            .get_mut(id.index())?
            .as_deref_mut()
            .filter(|connection| connection.id == id)
    }

    fn take(&mut self, id: ConnId) -> Option<Box<Connection>> {
        self.connections
            .get_mut(id.index())?
            .take_if(|connection| connection.id == id)
    }

    fn ids(&self, which: impl Fn(&Connection) -> bool) -> Vec<ConnId> {
        let all = self.connections.iter().flatten();
        all.filter(|connection| which(connection))
            .map(|connection| connection.id)
            .collect()
    }

    /// The one place where a connection's state changes.
    fn set_state(&mut self, connection: &mut Connection, state: State) {
        let is_paused = |state| usize::from(matches!(state, State::Paused(_)));
        self.paused = self.paused - is_paused(connection.state) + is_paused(state);
        if state == State::Ready {
            self.ready.push(connection.id);
        }
        connection.state = state;
    }
}

/// Holds the stripe of a key from a thread that ends with it, as if a command of another client took that long.
#[expect(
    clippy::disallowed_methods,
    reason = "DEBUG HOLD is asked to hold a stripe for a time"
)]
fn hold(db: Db, key: Vec<u8>, duration: Duration) {
    let sleep = move || {
        let held = |_: &mut kvik::Transaction<'_>| {
            std::thread::sleep(duration);
            Ok::<_, kvik::Error>(())
        };
        // A follower does not let it in, which is no fault of the thread.
        let _ = db.transaction(&[key], held);
    };
    let thread = std::thread::Builder::new().name("kvik-hold".into());
    if let Err(error) = thread.spawn(sleep) {
        tracing::warn!("cannot start a thread: {error}");
    }
}

fn origin(socket: &Socket, thread: u16, inbox: &Arc<Inbox>) -> Origin {
    let wake: Arc<dyn Wake> = Arc::<Inbox>::clone(inbox);
    Origin {
        addr: address(socket.peer_addr(), socket),
        local_addr: address(socket.local_addr(), socket),
        fd: i64::from(std::os::fd::AsRawFd::as_raw_fd(socket)),
        thread,
        wake,
    }
}

/// An address as CLIENT LIST shows it: `ip:port`, for a unix socket its path and `:0`.
fn address(of: io::Result<socket2::SockAddr>, socket: &Socket) -> String {
    if let Some(tcp) = of.ok().and_then(|address| address.as_socket()) {
        return tcp.to_string();
    }
    let local = socket.local_addr().ok();
    let path = local.as_ref().and_then(socket2::SockAddr::as_pathname);
    format!(
        "{}:0",
        path.map_or_else(String::new, |path| path.display().to_string())
    )
}

/// Shows the sizes of a connection's buffers to CLIENT LIST.
fn note_buffers(connection: &Connection, driver: &dyn Driver) {
    note_input(connection);
    // Less is not unread but on its way.
    let unread = Some(driver.unsent(connection.id)).filter(|bytes| *bytes >= CHECKED_OUTPUT);
    connection
        .session
        .client
        .output_bytes
        .store(unread.unwrap_or(0), Ordering::Relaxed);
}

fn note_input(connection: &Connection) {
    let (client, input) = (&connection.session.client, &connection.input);
    client.input_bytes.store(input.len(), Ordering::Relaxed);
    client
        .input_capacity
        .store(input.capacity(), Ordering::Relaxed);
}
