//! Connections that move to another thread, when threads wake or go to sleep.
//!
//! A connection moves whole: socket, session, parser and the bytes that were received but not run. It leaves only while
//! it waits for its client's bytes and all its replies are sent, so a command is never in two hands and replies keep
//! their order; one that is never found so stays where it is. The driver hands the socket back when the kernel has let
//! go of it. The thread that takes it over names itself to the client first and looks then whether it was killed in
//! between, so no wake-up is lost on the way.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kvik_command::client::Wake;
use socket2::Socket;

use super::Reactor;
use super::connection::{Connection, State};
use super::inbox::{Arrival, Inbox};
use crate::net::ConnId;

/// A client that has sent something within this time counts as active.
const ACTIVE_MS: u64 = 1000;

impl Reactor {
    /// Sends connections away if the number of threads awake has changed, or if this one should be asleep.
    pub(super) fn share(&mut self) {
        let (index, awake) = (usize::from(self.index), self.front.awake());
        let before = std::mem::replace(&mut self.shared_by, awake);
        if index >= awake {
            // Nobody counts those on their way, so asking who has the fewest would send all to one.
            for (rank, id) in self.ids(|_| true).into_iter().enumerate() {
                self.send_away(id, (rank + index) % awake.max(1));
            }
        } else if index < before && before < awake {
            self.share_with(before, awake);
        }
    }

    /// Gives every thread from `before` up to `awake` its part, of the busy connections as of the silent ones. The
    /// busiest of the first thread leaves it, as it also accepts and governs.
    fn share_with(&mut self, before: usize, awake: usize) {
        for (rank, id) in self.busiest_first().into_iter().enumerate() {
            let thread = (rank + awake - 1 - usize::from(self.index)) % awake;
            if thread >= before {
                self.send_away(id, thread);
            }
        }
    }

    fn busiest_first(&self) -> Vec<ConnId> {
        let now_ms = self.now_ms();
        let activity = |connection: &Connection| {
            let client = &connection.session.client;
            let silent_ms = now_ms.saturating_sub(client.active_ms.load(Ordering::Relaxed));
            let age_s = now_ms.saturating_sub(client.connected_ms) / 1000;
            let per_s = client.commands.load(Ordering::Relaxed) / (age_s + 1);
            (silent_ms < ACTIVE_MS, per_s)
        };
        let all = self.connections.iter().flatten();
        let mut ranked: Vec<_> = all
            .map(|connection| (Reverse(activity(connection)), connection.id))
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, id)| id).collect()
    }

    /// Has a connection move to `thread`, now or when it next receives something and has nothing unsent.
    fn send_away(&mut self, id: ConnId, thread: usize) {
        if let Some(connection) = self.connection(id) {
            connection.destination = Some(thread);
            self.depart(id);
        }
    }

    /// Lets a connection that is to move go, if nothing is in flight. Says whether it goes.
    pub(super) fn depart(&mut self, id: ConnId) -> bool {
        let all_sent = self.driver.unsent(id) == 0;
        let Some(connection) = self.connection(id) else {
            return false;
        };
        let reading = connection.state == State::Reading
            && !connection.finished
            && !connection.input.is_incoming_lent();
        if connection.destination.is_none() || !reading || !all_sent {
            return false;
        }
        if !connection.receiving {
            // What the driver hands back is then appended to what is here.
            connection.input.lend(true);
        }
        connection.state = State::Leaving;
        self.driver.release(id);
        true
    }

    /// Passes on a connection that the driver has let go of.
    pub(super) fn released(&mut self, id: ConnId, socket: Socket, input: Vec<u8>) {
        let Some(mut connection) = self.take(id) else {
            return;
        };
        connection.receiving = false;
        connection.state = State::Reading;
        let grown = connection.input.accept(input);
        self.executor.stats().totals.bytes_in.add(grown as u64);
        self.front.left(&self.inbox);
        match connection.destination.take() {
            Some(thread) if !self.front.is_stopping() => {
                self.front.hand_over(thread, Arrival { socket, connection });
            }
            _ => self.executor.end(&mut connection.session),
        }
    }

    /// Goes on with a connection of another thread.
    pub(super) fn arrive(&mut self, arrival: Arrival) {
        let Arrival {
            socket,
            mut connection,
        } = arrival;
        let client = Arc::clone(&connection.session.client);
        let wake: Arc<dyn Wake> = Arc::<Inbox>::clone(&self.inbox);
        client.move_to(self.index, wake);
        let Ok(id) = self.driver.adopt(socket) else {
            self.executor.end(&mut connection.session);
            return self.front.left(&self.inbox);
        };
        connection.id = id;
        self.insert(connection);
        if client.is_killed() {
            self.cut(id);
        } else {
            self.run_connection(id);
        }
    }
}

#[cfg(test)]
mod tests;
