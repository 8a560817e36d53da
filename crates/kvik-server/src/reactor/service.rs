//! Serving one connection: from a received event to the flush of its replies.
//!
//! [`Service`] is all that an I/O thread has beside its connections: driver, executor, timers. Its
//! methods get the connection that an event concerns as `&mut Connection`, looked up once, and say
//! by [`Fate`] whether it is still there afterwards. They never look another one up.
//!
//! The file is long because a connection is one state machine: what may follow an event depends on
//! what it waits for, which every handler here reads or changes. Limits and waits for keys are in
//! files of their own.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvik::{Db, Ending, Executor, Message, Patience};
use kvik_command::blocking::NEVER_MS;
use kvik_command::pubsub::Seat;
use kvik_resp::{Limits, Output};
use kvik_rope::IncomingRope;
use socket2::Socket;

use super::connection::{Connection, FLUSH_BYTES, RunEnd, State, Tools};
use super::contention::Contention;
use super::held::Holders;
use super::inbox::Inbox;
use super::patrol::Patrol;
use super::pipeline::Pipeline;
use super::steps::{Steps, run_farewell};
use super::timers::Timers;
use crate::config::{Config, Key};
use crate::front::Front;
use crate::net::{self, ConnId, Driver, Peer};

/// How long a stopping thread waits for clients to read their last replies.
const GRACE_MS: u64 = 1000;
/// Full reply buffers sent to one connection before others get their turn.
const FLUSHES: usize = 16;

/// Everything of an I/O thread but its connections.
pub(super) struct Service {
    pub(super) index: u16,
    pub(super) front: Arc<Front>,
    pub(super) config: Arc<Config>,
    pub(super) db: Db,
    pub(super) driver: Box<dyn Driver>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) executor: Executor,
    pub(super) timers: Timers,
    pub(super) contention: Contention,
    pub(super) holders: Holders,
    /// Connections in [`State::Ready`].
    pub(super) ready: Vec<ConnId>,
    pipeline: Pipeline,
    steps: Steps,
    pub(super) patrol: Patrol,
    stopping_until_ms: Option<u64>,
}

/// Whether a connection is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Fate {
    Stays,
    /// The driver knows it no more: its owner takes it out and [ends](Service::end) it.
    Gone,
}

impl Service {
    pub(super) fn new(
        index: u16,
        front: Arc<Front>,
        db: Db,
        driver: Box<dyn Driver>,
        inbox: Arc<Inbox>,
    ) -> Self {
        Self {
            index,
            config: Arc::clone(&front.config),
            patrol: Patrol::new(&front.config),
            front,
            executor: db.executor(Patience::Spin),
            db,
            driver,
            inbox,
            pipeline: Pipeline::default(),
            steps: Steps::default(),
            timers: Timers::default(),
            contention: Contention::default(),
            holders: Holders::default(),
            ready: Vec::new(),
            stopping_until_ms: None,
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.executor.now_us() / 1000
    }

    // Input.

    /// Bytes have come: of a large argument if one was being received, and others behind it.
    #[inline]
    pub(super) fn received(
        &mut self,
        connection: &mut Connection,
        incoming: Option<IncomingRope>,
        input: Vec<u8>,
    ) -> Fate {
        let is_large = incoming.is_some();
        let lacks_more = incoming
            .as_ref()
            .is_some_and(|incoming| incoming.missing() > 0);
        let grown = connection.accept(incoming, input);
        self.note_received(connection, grown);
        let limit = self.config.size(Key::ClientQueryBufferLimit);
        if connection.input.len() > connection.input_limit(limit) {
            return self.cut_for_input(connection);
        }
        if is_large {
            connection.show_input();
            if let Some(limit) = self.patrol.memory_limit()
                && self.exceeds_memory(connection, limit) == Fate::Gone
            {
                return Fate::Gone;
            }
        }
        match connection.state {
            State::Reading if lacks_more => self.receive(connection, 0),
            State::Reading => {
                if !self.depart(connection) {
                    return self.run(connection);
                }
            }
            // What comes now waits; receiving it keeps the peer from being locked up with us.
            State::Clogged | State::Paused(_) | State::Blocked => {
                connection.show_input();
                self.receive(connection, 0);
            }
            State::Ready | State::Closing | State::Leaving => {}
        }
        Fate::Stays
    }

    pub(super) fn note_received(&self, connection: &Connection, bytes: usize) {
        connection.note_activity(self.now_ms());
        connection.count_bytes(bytes, 0);
        self.executor.stats().totals.bytes_in.add(bytes as u64);
    }

    /// Lets the driver receive, unless it does already or nothing will come. `missing` is how many
    /// bytes the next command lacks, 0 if unknown.
    pub(super) fn receive(&mut self, connection: &mut Connection, missing: usize) {
        if connection.receiving || connection.finished {
            return;
        }
        connection.receiving = true;
        let id = connection.id;
        // A buffer with nothing in it goes back to the driver, so that an idle connection owns
        // none.
        let rest_must_stay = connection.state != State::Reading || connection.codec.keeps_rest();
        let input = connection.input.lend(rest_must_stay);
        match connection.input.lend_incoming() {
            Some(incoming) => self.driver.receive_large(id, incoming, input),
            None => self.driver.receive(id, input, missing),
        }
    }

    /// Lets a connection that is to move go, if nothing is in flight. Says whether it goes.
    pub(super) fn depart(&mut self, connection: &mut Connection) -> bool {
        let leaves = connection.destination.is_some()
            && connection.may_move()
            && self.unsent(connection) == 0;
        if leaves {
            if !connection.receiving {
                // What the driver hands back is then appended to what is here.
                connection.input.lend(true);
            }
            self.set_state(connection, State::Leaving);
            self.driver.release(connection.id);
        }
        leaves
    }

    // Running commands.

    /// Runs what the connection has received and sends the replies.
    pub(super) fn run(&mut self, connection: &mut Connection) -> Fate {
        self.executor.refresh();
        connection.silence_ms = None;
        let limits = request_limits(&self.config);
        let mut out = self.driver.buffer();
        let mut flushes_left = FLUSHES;
        let end = loop {
            let mut tools = Tools {
                executor: &mut self.executor,
                pipeline: &mut self.pipeline,
                steps: &mut self.steps,
                limits,
            };
            // Output of a certain size is sent while the rest of the pipeline runs, so that the
            // client reads it meanwhile.
            let end = connection.run(&mut tools, &mut out);
            if end != RunEnd::Flush {
                break end;
            }
            if let Some(unsent) = self.excess_output(connection, &out) {
                return self.cut_for_output(connection, unsent);
            }
            let lsn = self.awaited_lsn();
            let clogged = self.send(connection, std::mem::take(&mut out), lsn);
            flushes_left -= 1;
            if clogged || flushes_left == 0 {
                break RunEnd::Flush;
            }
            out = self.driver.buffer();
        };
        let lsn = self.awaited_lsn();
        // Whoever has the reply sees that its command has left the input.
        connection.show_input();
        if let Some(unsent) = self.excess_output(connection, &out) {
            return self.cut_for_output(connection, unsent);
        }
        let clogged = self.send(connection, out, lsn);
        if !connection.pushes.is_empty() {
            // They waited for a reply that has come from elsewhere.
            self.write_pushes(connection);
        }
        let unsent = self.note_output(connection);
        self.after_run(connection, end, clogged);
        self.check_after_run(connection, unsent)
    }

    /// The log position that the output so far must wait for; 0 for none.
    #[inline]
    fn awaited_lsn(&mut self) -> u64 {
        #[cfg(test)]
        let demanded = self.front.durability.demanded.load(Ordering::Relaxed);
        #[cfg(not(test))]
        let demanded = 0;
        match self.executor.take_lsn().get() {
            0 => demanded,
            // Under another policy than `always` a reply promises nothing about the disk.
            lsn if self.db.log().is_some_and(|log| log.is_synchronous()) => lsn.max(demanded),
            _ => demanded,
        }
    }

    /// Sends output of a connection, or holds it until the effects that it reveals are durable. The
    /// only way by which bytes reach a client. Says whether the client has so much unread that
    /// nothing more should run for it.
    #[inline]
    pub(super) fn send(&mut self, connection: &mut Connection, out: Output, lsn: u64) -> bool {
        connection.count_bytes(0, out.len());
        self.executor.stats().totals.bytes_out.add(out.len() as u64);
        if self.must_hold(connection, &out, lsn) {
            self.hold(connection, out, lsn);
        } else {
            self.driver.send(connection.id, out);
        }
        self.unsent(connection) >= self.front.high_water
    }

    /// Nothing overtakes what is held already.
    #[inline]
    fn must_hold(&mut self, connection: &Connection, out: &Output, lsn: u64) -> bool {
        let waits = self
            .holders
            .must_hold(lsn, &self.front.durability, &self.inbox.holding);
        (waits || !connection.held.is_empty()) && !out.is_empty()
    }

    #[cold]
    fn hold(&mut self, connection: &mut Connection, out: Output, lsn: u64) {
        if connection.held.is_empty() {
            self.holders.note(lsn, connection.id);
        }
        connection.held.push(lsn, out);
    }

    /// Sends what need not be held any more, and goes on with what waited for that.
    pub(super) fn release(&mut self, connection: &mut Connection) -> Fate {
        // In the order in which it was written, each as far as the log has come.
        while let Some(out) = connection.held.pop(self.holders.durable()) {
            self.driver.send(connection.id, out);
        }
        if let Some(lsn) = connection.held.first_lsn() {
            self.holders.note(lsn, connection.id);
            return Fate::Stays;
        }
        match connection.state {
            State::Closing => self.driver.close_after_flush(connection.id),
            State::Clogged => return self.unclog(connection),
            State::Reading | State::Blocked => {
                self.depart(connection);
            }
            State::Ready | State::Paused(_) | State::Leaving => {}
        }
        Fate::Stays
    }

    /// Bytes that the client has not got yet: with the driver, or held.
    #[inline]
    pub(super) fn unsent(&self, connection: &Connection) -> usize {
        self.driver.unsent(connection.id) + connection.held.bytes()
    }

    // Mail.

    /// Reads the messages for a connection that have come.
    pub(super) fn read_mail(&mut self, connection: &mut Connection) -> Fate {
        let messages = connection.letterbox.take();
        self.act_on(connection, messages)
    }

    fn act_on(&mut self, connection: &mut Connection, messages: VecDeque<Message>) -> Fate {
        let mut retries = false;
        for message in messages {
            match message {
                Message::Kill => return self.cut(connection),
                Message::Push(push) => connection.pushes.push_back(push),
                Message::Reply(answer) => {
                    // What has come before it stands before it, and the rest behind it.
                    self.write_pushes(connection);
                    connection.answer = Some(answer);
                }
                Message::Retry => retries = true,
            }
        }
        if connection.state == State::Blocked && connection.answer.is_some() {
            return self.unblock(connection);
        }
        self.write_pushes(connection);
        match connection.state {
            // Where a codec speaks first, its news are commands as well.
            State::Reading if connection.codec.has_news() => return self.run(connection),
            State::Paused(_) if retries => return self.run(connection),
            // Somebody else may have ended the wait, unless the word is about an earlier one.
            State::Blocked if retries => {
                if let Some(ending) = connection.session.wait_ending() {
                    return self.end_wait(connection, ending);
                }
            }
            _ => {}
        }
        // Who sends pushes sees how much of them is unread.
        let unsent = self.note_output(connection);
        self.check_after_run(connection, unsent)
    }

    /// Writes the pushes that wait. No command of the connection is running, so they stand between
    /// two replies, and no error and no CLIENT REPLY takes them back. While one runs elsewhere they
    /// wait for its reply: what it has read may be stale since.
    pub(super) fn write_pushes(&mut self, connection: &mut Connection) {
        // While it leaves, the driver takes nothing more; they are written where it arrives.
        if connection.pushes.is_empty()
            || connection.session.away.is_some()
            || matches!(connection.state, State::Closing | State::Leaving)
        {
            return;
        }
        let (mut out, mut lsn) = (self.driver.buffer(), 0);
        while let Some(push) = connection.pushes.pop_front() {
            if !connection.session.takes(&push) {
                continue;
            }
            push.write(connection.session.protocol, &mut out);
            lsn = lsn.max(push.lsn());
            if out.len() >= FLUSH_BYTES {
                self.send(connection, std::mem::take(&mut out), lsn);
                out = self.driver.buffer();
            }
        }
        self.send(connection, out, lsn);
    }

    /// Sends messages of channels.
    pub(super) fn send_news(
        &mut self,
        connection: &mut Connection,
        news: Output,
        lsn: u64,
    ) -> Fate {
        self.send(connection, news, lsn);
        let unsent = self.unsent(connection);
        if Patrol::is_much(unsent) {
            self.show_unsent(connection, unsent);
        }
        self.check_after_run(connection, unsent)
    }

    // What a connection waits for.

    /// Decides what the connection waits for next, and lets it receive if it may.
    pub(super) fn after_run(&mut self, connection: &mut Connection, end: RunEnd, clogged: bool) {
        self.contention.note(end);
        let ends = match end {
            RunEnd::Close => true,
            RunEnd::Incomplete(_) => connection.finished || self.is_stopping(),
            RunEnd::Paused(_) | RunEnd::Blocked(_) => self.is_stopping(),
            RunEnd::Turn | RunEnd::Busy | RunEnd::Flush => false,
        };
        if ends {
            return self.leave_unanswered(connection);
        }
        let state = match end {
            RunEnd::Blocked(until_ms) => {
                // Never too early, though milliseconds are cut off.
                connection.wait_ends_ms = self.steady_at(until_ms).saturating_add(1);
                State::Blocked
            }
            // A client that does not read gets nothing run, whatever it has sent.
            _ if clogged => State::Clogged,
            RunEnd::Paused(until_ms) => State::Paused(until_ms),
            RunEnd::Turn | RunEnd::Busy | RunEnd::Flush => State::Ready,
            RunEnd::Incomplete(_) | RunEnd::Close => State::Reading,
        };
        self.set_state(connection, state);
        match (state, end) {
            (State::Reading, RunEnd::Incomplete(missing)) => {
                if let Some(silence_ms) = connection.silence_ms {
                    self.set_alarm_at(connection, silence_ms);
                }
                connection.set_apart();
                self.receive(connection, missing);
            }
            // While it waits, its requests are received and its end is noticed.
            (State::Clogged | State::Paused(_) | State::Blocked, _) => self.receive(connection, 0),
            _ => {}
        }
    }

    /// The one place where a connection's state changes.
    pub(super) fn set_state(&mut self, connection: &mut Connection, state: State) {
        match state {
            State::Ready => self.ready.push(connection.id),
            State::Blocked if connection.wait_ends_ms != NEVER_MS => {
                let (due_ms, alarm) = (connection.wait_ends_ms, &mut connection.alarm);
                self.timers.set(connection.id, alarm, due_ms);
            }
            State::Paused(until_ms) => self.set_alarm_at(connection, until_ms),
            _ => {}
        }
        let is_paused = matches!(state, State::Paused(_));
        let client = &connection.session.client;
        client.paused.store(is_paused, Ordering::Relaxed);
        connection.state = state;
    }

    /// All its output has been sent.
    pub(super) fn drained(&mut self, connection: &mut Connection) -> Fate {
        // Whoever has read everything begins anew with the limit that holds for a time.
        connection.over_soft_limit_since = None;
        connection.note_activity(self.now_ms());
        self.show_unsent(connection, connection.held.bytes());
        match connection.state {
            State::Clogged => self.unclog(connection),
            _ => Fate::Stays,
        }
    }

    /// Goes on with a connection whose client had too much unread, unless it still has.
    fn unclog(&mut self, connection: &mut Connection) -> Fate {
        if self.unsent(connection) < self.front.high_water {
            self.run(connection)
        } else {
            Fate::Stays
        }
    }

    /// Shows the unread output of a connection to CLIENT LIST. Returns the unsent bytes.
    #[inline]
    pub(super) fn note_output(&self, connection: &Connection) -> usize {
        let unsent = self.unsent(connection);
        // Less is not unread but on its way.
        if Patrol::is_much(unsent) {
            self.show_unsent(connection, unsent);
        } else {
            connection.show_unsent(0, 0);
        }
        unsent
    }

    fn show_unsent(&self, connection: &Connection, unsent: usize) {
        let outputs = self.driver.outputs(connection.id) + connection.held.len();
        connection.show_unsent(unsent, outputs);
    }

    /// The alarm of a connection has rung: a pause may be over, or a limit exceeded.
    pub(super) fn look_at(&mut self, connection: &mut Connection) -> Fate {
        let (unsent, now_ms) = (self.unsent(connection), self.now_ms());
        // Reading counts as activity though nothing is sent by the client.
        if connection.has_read(unsent) {
            connection.note_activity(now_ms);
        }
        self.show_unsent(connection, unsent);
        if self.is_patrol_paused() {
            self.set_alarm(connection, unsent);
        } else if self.check(connection, unsent) == Fate::Gone {
            return Fate::Gone;
        } else if let Some(limit) = self.patrol.memory_limit()
            && self.exceeds_memory(connection, limit) == Fate::Gone
        {
            return Fate::Gone;
        }
        match connection.state {
            State::Reading if connection.silence_ms.is_some_and(|due_ms| due_ms <= now_ms) => {
                connection.is_silent = true;
                self.run(connection)
            }
            State::Reading => {
                if let Some(silence_ms) = connection.silence_ms {
                    self.set_alarm_at(connection, silence_ms);
                }
                Fate::Stays
            }
            State::Paused(until_ms) if until_ms <= now_ms => self.run(connection),
            State::Blocked if connection.wait_ends_ms <= self.executor.steady_ms() => {
                self.end_wait(connection, Ending::TimedOut)
            }
            state @ (State::Paused(_) | State::Blocked) => {
                self.set_state(connection, state);
                Fate::Stays
            }
            _ => Fate::Stays,
        }
    }

    // Coming and going.

    /// Begins to serve a socket.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn adopt(&mut self, socket: Socket, peer: Peer) -> io::Result<ConnId> {
        let keepalive = self.config.int(Key::TcpKeepalive);
        let keepalive = (keepalive > 0).then(|| Duration::from_secs(keepalive.unsigned_abs()));
        net::tune(&socket, peer, keepalive)?;
        self.driver.adopt(socket)
    }

    /// Begins with a connection whose socket the driver has adopted, and reads the mail that has
    /// come for it before.
    pub(super) fn begin(&mut self, connection: &mut Connection) -> Fate {
        let seat = Seat {
            outlet: Arc::clone(&self.inbox.outlet),
            place: connection.id.place(),
        };
        // From here on its channels' messages come here; those before are in the letterbox.
        let pubsub = &self.db.engine().pubsub;
        pubsub.relocate(&mut connection.session, Some(seat));
        let queue = &self.inbox.mail;
        let messages = connection.letterbox.settle(queue, connection.id);
        self.set_alarm(connection, 0);
        self.act_on(connection, messages)
    }

    /// Its peer sends no more.
    pub(super) fn peer_finished(&mut self, connection: &mut Connection) -> Fate {
        connection.finished = true;
        connection.receiving = false;
        // A command that a pause holds back is not run for a client that has gone meanwhile.
        if connection.state == State::Reading && connection.has_rest() {
            connection.is_silent = true;
            return self.run(connection);
        }
        if matches!(
            connection.state,
            State::Reading | State::Paused(_) | State::Blocked
        ) {
            self.leave_unanswered(connection);
        }
        Fate::Stays
    }

    pub(super) fn close_when_sent(&mut self, connection: &mut Connection) {
        self.set_state(connection, State::Closing);
        connection.session.client.leave();
        // What is held is sent first, by `release`.
        if connection.held.is_empty() {
            self.driver.close_after_flush(connection.id);
        }
    }

    /// Cuts a connection off, unsent replies and all.
    pub(super) fn cut(&mut self, connection: &Connection) -> Fate {
        self.driver.close(connection.id);
        Fate::Gone
    }

    /// Ends the session of a connection that the driver knows no more.
    pub(super) fn end(&mut self, mut connection: Box<Connection>) {
        self.timers.cancel(connection.id, &mut connection.alarm);
        run_farewell(&mut connection, &mut self.executor);
        self.executor.end(&mut connection.session);
        self.front.left(&self.inbox);
    }

    // Stopping.

    /// Accepts nobody any more. What its clients have not read after a while is lost.
    pub(super) fn stop(&mut self) {
        if self.stopping_until_ms.is_none() {
            self.driver.unlisten();
            self.stopping_until_ms = Some(self.now_ms() + GRACE_MS);
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping_until_ms.is_some()
    }

    pub(super) fn is_done(&self) -> bool {
        let empty = self.inbox.connections.load(Ordering::Relaxed) == 0;
        self.stopping_until_ms
            .is_some_and(|until| empty || self.now_ms() >= until)
    }

    /// In how many milliseconds the thread must wake although nothing happens.
    pub(super) fn next_in_ms(&self) -> Option<u64> {
        let alarm = self.timers.next_ms().into_iter();
        let alarm = alarm.map(|at_ms| at_ms.saturating_sub(self.executor.steady_ms()));
        let stop = self.stopping_until_ms.into_iter();
        let stop = stop.map(|at_ms| at_ms.saturating_sub(self.now_ms()));
        alarm.chain(stop).min()
    }
}

/// The limits of the requests of a client that has authenticated.
fn request_limits(config: &Config) -> Limits {
    let max_bulk = config.size(Key::ProtoMaxBulkLen) as u64;
    let max_bulk = match config.size(Key::RequestMaxBulkLen) as u64 {
        0 => max_bulk,
        stricter => max_bulk.min(stricter),
    };
    Limits {
        max_inline: config.size(Key::RequestMaxInlineLen),
        max_args: config.size(Key::RequestMaxArgs),
        max_bulk,
        unauthenticated: false,
    }
}
