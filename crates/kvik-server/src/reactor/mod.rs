//! The reactor: one I/O thread's loop over its driver.
//!
//! Bytes come in as events, commands run to completion on this thread, replies go out once per
//! batch. A connection's commands run strictly in order. The thread never waits for anything but
//! its driver: a connection whose command needs a stripe that is taken, or that is paused, is set
//! aside with its input and the others go on. A client that does not read its replies gets nothing
//! more executed until it does; its requests are still received, up to the query buffer limit, so
//! that a client that writes a long pipeline before it reads cannot lock up with the server.
//!
//! The way of an event: the connection it names is looked up here, once. [`service`] handles it as
//! a `&mut Connection`, from the received bytes to the flush of the replies; [`connection`] runs
//! its commands in between. Tasks from other threads wait in the [`inbox`], messages for clients in
//! their letterboxes ([`mail`]), those of channels at the outlet ([`fan_out`]); what is due
//! although nothing comes has an alarm in [`timers`].

mod address;
#[cfg(test)]
mod allocations;
mod blocking;
mod connection;
mod connections;
mod contention;
mod fan_out;
mod governor;
mod held;
mod hold;
pub(crate) mod inbox;
mod input;
mod limits;
pub(crate) mod mail;
mod moving;
mod patrol;
mod pipeline;
mod service;
mod steps;
#[cfg(test)]
pub(crate) mod tests;
mod timers;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kvik::Db;
use kvik_command::client::Origin;
use socket2::Socket;

use crate::door::Door;
use crate::front::Front;
use crate::listening::OpenDoor;
use crate::net::{CloseReason, ConnId, Driver, Event, ListenerId, Peer};
use connection::{Connection, State};
use connections::Connections;
use fan_out::FanOut;
use governor::{Governor, Process};
use inbox::Inbox;
use mail::Letterbox;
use moving::Sharing;
use service::{Fate, Service};

/// Longest wait for the driver: the kernel's interfaces count milliseconds in 31 bits.
const LONGEST_WAIT_MS: u64 = 3_600_000;

/// An I/O thread. The connections lie beside the service, so that one can be borrowed while it is
/// served.
pub(crate) struct Reactor {
    service: Service,
    connections: Connections,
    sharing: Sharing,
    /// The doors it accepts from, by the numbers that the driver gave them.
    doors: Vec<Door>,
    fan_out: FanOut,
    /// On the thread that decides how many threads are awake.
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
        Self {
            governor: governor.map(Governor::new),
            sharing: Sharing::among(front.awake()),
            service: Service::new(index, front, db, driver, inbox),
            connections: Connections::default(),
            doors: Vec::new(),
            fan_out: FanOut::default(),
        }
    }

    /// Accepts the clients of a door.
    ///
    /// # Errors
    /// If the kernel refuses to watch its listener.
    pub(crate) fn listen(&mut self, open: OpenDoor) -> io::Result<()> {
        let ListenerId(number) = self.service.driver.listen(open.listener)?;
        // The driver counts the calls, those that it refuses left out or not.
        self.doors.resize(number as usize, Door::MAIN);
        self.doors.push(open.door);
        Ok(())
    }

    /// Serves until told to stop.
    ///
    /// # Errors
    /// If the kernel's event interface fails.
    pub(crate) fn run(mut self) -> io::Result<()> {
        self.service.inbox.outlet.own();
        self.service.inbox.mail.own();
        loop {
            let timeout = self.timeout();
            self.service.driver.wait(timeout)?;
            self.service.executor.refresh();
            self.service.executor.help_expire();
            while let Some(event) = self.service.driver.next_event() {
                self.handle(event);
            }
            self.run_ready();
            self.ring_alarms();
            self.read_own_mail();
            self.fan_out();
            self.govern();
            self.service.contention.give_way();
            if self.service.is_done() {
                return Ok(());
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Received { conn, input } => self.on(conn, |service, connection| {
                service.received(connection, None, input)
            }),
            Event::ReceivedLarge {
                conn,
                incoming,
                input,
            } => self.on(conn, |service, connection| {
                service.received(connection, Some(incoming), input)
            }),
            Event::Accepted { socket, listener } => self.accept(socket, listener),
            Event::PeerFinished { conn } => self.on(conn, Service::peer_finished),
            Event::Drained { conn } => self.on(conn, Service::drained),
            Event::Closed { conn, reason } => self.closed(conn, &reason),
            Event::Released {
                conn,
                socket,
                input,
            } => {
                if let Some(connection) = self.connections.take(conn) {
                    moving::pass_on(&mut self.service, connection, socket, input);
                }
            }
            Event::Woken => self.read_inbox(),
        }
    }

    /// Has a connection handled, if it is still there: the one lookup from an event to its flush.
    #[inline]
    fn on(&mut self, id: ConnId, handle: impl FnOnce(&mut Service, &mut Connection) -> Fate) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if handle(&mut self.service, connection) == Fate::Gone {
            self.forget(id);
        }
    }

    /// The same with all connections that `which` chooses.
    fn on_each(
        &mut self,
        which: impl Fn(&Connection) -> bool,
        handle: impl Fn(&mut Service, &mut Connection) -> Fate,
    ) {
        for id in self.connections.ids(which) {
            self.on(id, &handle);
        }
    }

    fn closed(&mut self, id: ConnId, reason: &CloseReason) {
        if let CloseReason::Failed(error) = reason {
            tracing::debug!(%error, "connection lost");
        }
        self.forget(id);
    }

    fn forget(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.take(id) {
            self.service.end(connection);
        }
    }

    // From other threads.

    fn accept(&mut self, socket: Socket, ListenerId(number): ListenerId) {
        let door = self.doors.get(number as usize).copied();
        let door = door.unwrap_or(Door::MAIN);
        let (front, totals) = (&self.service.front, &self.service.executor.stats().totals);
        if let Err(refusal) = front.admit(&socket, &door) {
            totals.rejected_connections.add(1);
            return front.refuse(socket, &door, &refusal);
        }
        totals.connections.add(1);
        // What this thread serves itself need not pass through its inbox.
        if let Some(socket) = front.assign(socket, door, self.service.index.into()) {
            self.adopt(socket, &door);
        }
    }

    fn read_inbox(&mut self) {
        let inbox = Arc::clone(&self.service.inbox);
        for (socket, door) in inbox.take_sockets() {
            self.adopt(socket, &door);
        }
        for arrival in inbox.take_arrivals() {
            moving::arrive(&mut self.service, &mut self.connections, arrival);
        }
        for id in inbox.mail.take() {
            self.on(id, Service::read_mail);
        }
        self.release_held();
        if inbox.take_attention() {
            self.look_again();
        }
        for (key, duration) in inbox.take_holds() {
            hold::hold(self.service.db.clone(), key, duration);
        }
        for open in inbox.take_doors() {
            if let Err(error) = self.listen(open) {
                tracing::error!("cannot accept clients on a new address: {error}");
            }
        }
        self.service.driver.drop_closed();
        if inbox.is_stopped() {
            self.stop();
        } else {
            self.sharing
                .adjust(&mut self.service, &mut self.connections);
        }
    }

    /// Reads what the thread has left for its own clients, for which it is not woken. What that
    /// leads to waits for the next round.
    #[inline]
    fn read_own_mail(&mut self) {
        if !self.service.inbox.mail.has_own() {
            return;
        }
        for id in self.service.inbox.mail.take() {
            self.on(id, Service::read_mail);
        }
    }

    fn adopt(&mut self, socket: Socket, door: &Door) {
        let Ok(peer) = Peer::of(&socket) else {
            return self.service.front.left(&self.service.inbox);
        };
        let letterbox = Arc::new(Letterbox::new());
        let origin = origin(&socket, peer, self.service.index, &letterbox);
        let Ok(id) = self.service.adopt(socket, peer) else {
            return self.service.front.left(&self.service.inbox);
        };
        let mut session = self.service.db.session(origin);
        if door.database != 0 {
            session.select(door.database);
        }
        if let (Some(index), Some(all)) = (door.node, self.service.db.engine().cluster()) {
            session.join(all.node(index));
        }
        let codec = self.service.front.codec(door);
        let scope = codec.scope(self.service.front.scope(door));
        let mut connection = Box::new(Connection::new(id, session, letterbox, codec));
        if !connection.keep_within(scope, &self.service.executor)
            || self.service.begin(&mut connection) == Fate::Gone
        {
            return self.service.end(connection);
        }
        self.service.receive(&mut connection, 0);
        self.connections.insert(connection);
    }

    /// Sends what the log has made durable, and cuts off who waits for what is lost.
    fn release_held(&mut self) {
        let (front, inbox) = (Arc::clone(&self.service.front), &self.service.inbox);
        let holders = &mut self.service.holders;
        if holders.refresh(&front.durability, &inbox.holding) {
            let holds = |connection: &Connection| !connection.held.is_empty();
            self.on_each(holds, |service, connection| service.cut(connection));
        }
        while let Some(id) = self.service.holders.pop() {
            self.on(id, Service::release);
        }
    }

    /// Hands out the messages of channels that have come. It is done before each wait, as the
    /// thread is not woken for what it has published itself.
    #[inline]
    fn fan_out(&mut self) {
        if self.service.inbox.outlet.is_empty() {
            return;
        }
        for id in self.fan_out.run(&mut self.service, &mut self.connections) {
            self.forget(id);
        }
    }

    /// Looks at all connections: a pause has ended, or limits have changed.
    fn look_again(&mut self) {
        self.service.reload_limits();
        let is_paused = |connection: &Connection| matches!(connection.state, State::Paused(_));
        self.on_each(is_paused, Service::run);
        self.on_each(|_| true, Service::look_at);
    }

    // Time.

    fn timeout(&self) -> Option<Duration> {
        if self.service.inbox.mail.has_own() {
            return Some(Duration::ZERO);
        }
        if !self.service.ready.is_empty() {
            return Some(self.service.contention.pause());
        }
        let due = self.service.next_in_ms().into_iter();
        let window = self.next_window_ms().into_iter();
        let window = window.map(|at_ms| at_ms.saturating_sub(self.service.now_ms()));
        let wait_ms = due.chain(window).min()?;
        Some(Duration::from_millis(wait_ms.clamp(1, LONGEST_WAIT_MS)))
    }

    fn run_ready(&mut self) {
        for id in std::mem::take(&mut self.service.ready) {
            self.on(id, |service, connection| match connection.state {
                State::Ready => service.run(connection),
                // It was closed meanwhile.
                _ => Fate::Stays,
            });
        }
    }

    fn ring_alarms(&mut self) {
        let now_ms = self.service.executor.steady_ms();
        for id in self.service.timers.take_due(now_ms) {
            self.on(id, |service, connection| {
                connection.alarm.has_rung();
                service.look_at(connection)
            });
        }
    }

    /// Closes what waits for its client or for a pause; what has commands to run is closed when
    /// they have run.
    fn stop(&mut self) {
        self.service.stop();
        let waits = |connection: &Connection| {
            matches!(
                connection.state,
                State::Reading | State::Paused(_) | State::Blocked | State::Leaving
            )
        };
        self.on_each(waits, |service, connection| {
            service.leave_unanswered(connection);
            Fate::Stays
        });
    }

    // The number of threads.

    /// Wakes threads or lets them sleep, if this thread is the one that decides it.
    fn govern(&mut self) {
        let Some(governor) = &mut self.governor else {
            return;
        };
        let (front, db) = (&self.service.front, &self.service.db);
        let gauges = Process::new(self.service.executor.now_us(), db);
        if let Some(awake) = governor.judge(&gauges, front.awake(), front.connections()) {
            front.set_awake(awake);
        }
    }

    /// When the governor has to look again by itself.
    fn next_window_ms(&self) -> Option<u64> {
        let governor = self.governor.as_ref()?;
        (self.service.front.awake() > 1).then(|| governor.next_us().div_ceil(1000))
    }
}

/// A new client, as its socket shows it.
fn origin(socket: &Socket, peer: Peer, thread: u16, letterbox: &Arc<Letterbox>) -> Origin {
    let (addr, local_addr) = address::addresses(socket, peer);
    Origin {
        addr,
        local_addr,
        fd: i64::from(std::os::fd::AsRawFd::as_raw_fd(socket)),
        thread,
        mailbox: Arc::<Letterbox>::clone(letterbox),
    }
}
