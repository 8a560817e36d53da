//! The limits of clients: unprocessed input, unread output, silence, memory.
//!
//! The [`Patrol`] judges; here its judgement is carried out on a connection.

use std::sync::atomic::Ordering::Relaxed;

use kvik_command::blocking::NEVER_MS;
use kvik_resp::Output;

use super::connection::Connection;
use super::patrol::{Excess, Patrol};
use super::service::{Fate, Service};
use crate::warning::RateLimitedWarning;

static UNPROCESSED: RateLimitedWarning = RateLimitedWarning::new();
static EVICTED: RateLimitedWarning = RateLimitedWarning::new();
static UNREAD: RateLimitedWarning = RateLimitedWarning::new();

impl Service {
    #[cold]
    pub(super) fn cut_for_input(&mut self, connection: &Connection) -> Fate {
        UNPROCESSED.warn(
            self.now_ms(),
            "closed a client whose unprocessed input exceeds client-query-buffer-limit",
        );
        let totals = &self.executor.stats().totals;
        totals.input_limit_disconnections.add(1);
        self.cut(connection)
    }

    /// Holds what its client has left unread against it, or looks at it a little later.
    #[inline]
    pub(super) fn check_after_run(&mut self, connection: &mut Connection, unsent: usize) -> Fate {
        if let Some(limit) = self.patrol.memory_limit()
            && self.exceeds_memory(connection, limit) == Fate::Gone
        {
            return Fate::Gone;
        }
        if Patrol::is_much(unsent) {
            return self.check(connection, unsent);
        }
        if unsent > 0 && self.patrol.limits_output(connection) {
            self.set_alarm(connection, unsent);
        }
        Fate::Stays
    }

    /// Cuts a connection off if its client exceeds a limit; otherwise sets its next alarm.
    pub(super) fn check(&mut self, connection: &mut Connection, unsent: usize) -> Fate {
        match self.patrol.check(connection, unsent, self.now_ms()) {
            None => {
                self.set_alarm(connection, unsent);
                return Fate::Stays;
            }
            Some(Excess::Idle) => {}
            Some(Excess::Unread) => return self.cut_for_output(connection, unsent),
        }
        self.cut(connection)
    }

    /// The bytes that a client has unread with this output, if that is more than it ever may have.
    #[inline]
    pub(super) fn excess_output(&self, connection: &Connection, out: &Output) -> Option<usize> {
        if !self.patrol.limits_output(connection) {
            return None;
        }
        let unsent = self.unsent(connection) + out.len();
        self.patrol
            .exceeds_hard_limit(connection, unsent)
            .then_some(unsent)
    }

    #[cold]
    pub(super) fn cut_for_output(&mut self, connection: &Connection, unsent: usize) -> Fate {
        UNREAD.warn(
            self.now_ms(),
            &format!("closed a client that left {unsent} bytes of replies unread"),
        );
        let totals = &self.executor.stats().totals;
        totals.output_limit_disconnections.add(1);
        self.cut(connection)
    }

    /// Counts the memory of a client, and disconnects the largest ones if all take too much.
    #[cold]
    pub(super) fn exceeds_memory(&mut self, connection: &Connection, limit_bytes: usize) -> Fate {
        let (clients, client) = (&self.db.engine().clients, &connection.session.client);
        if clients.count_memory(client) <= limit_bytes {
            return Fate::Stays;
        }
        // The largest go, which may be connections of other threads: these learn it by mail.
        let evicted = clients.evict(limit_bytes);
        if evicted > 0 {
            EVICTED.warn(
                self.now_ms(),
                "closed the clients that use the most memory: all together exceed maxmemory-clients",
            );
            let totals = &self.executor.stats().totals;
            totals.evicted_clients.add(evicted);
        }
        match client.is_killed() {
            true => self.cut(connection),
            false => Fate::Stays,
        }
    }

    pub(super) fn set_alarm(&mut self, connection: &mut Connection, unsent: usize) {
        if let Some(due_ms) = self.patrol.next_ms(connection, unsent, self.now_ms()) {
            self.set_alarm_at(connection, due_ms);
        }
    }

    /// Sets the alarm of a connection for a time in milliseconds since the epoch, unless it rings
    /// earlier anyway.
    pub(super) fn set_alarm_at(&mut self, connection: &mut Connection, due_ms: u64) {
        let due_ms = self.steady_at(due_ms);
        self.timers
            .set(connection.id, &mut connection.alarm, due_ms);
    }

    /// Steady time at a time in milliseconds since the epoch, as things are now. What is never to
    /// come stays so.
    pub(super) fn steady_at(&self, at_ms: u64) -> u64 {
        match at_ms {
            NEVER_MS => NEVER_MS,
            _ => self.executor.steady_ms() + at_ms.saturating_sub(self.now_ms()),
        }
    }

    /// Whether clients are held against their limits only when they do something (DEBUG
    /// PAUSE-CRON).
    pub(super) fn is_patrol_paused(&self) -> bool {
        let settings = &self.db.engine().settings;
        settings.patrol_paused.load(Relaxed)
    }

    /// Reads the limits for clients anew.
    pub(super) fn reload_limits(&mut self) {
        self.patrol = Patrol::new(&self.config);
    }
}
