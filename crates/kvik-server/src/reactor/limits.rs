//! The limits of clients: unprocessed input, unread output, silence, memory.
//!
//! The [`Patrol`] judges; here its judgement is carried out on a connection.

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
            Some(Excess::Unread) => {
                UNREAD.warn(
                    self.now_ms(),
                    &format!("closed a client that left {unsent} bytes of replies unread"),
                );
                let totals = &self.executor.stats().totals;
                totals.output_limit_disconnections.add(1);
            }
        }
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
            self.timers
                .set(connection.id, &mut connection.alarm, due_ms);
        }
    }

    /// Reads the limits for clients anew.
    pub(super) fn reload_limits(&mut self) {
        self.patrol = Patrol::new(&self.config);
    }
}
