//! Connections that move to another thread, when threads wake or go to sleep.
//!
//! A connection moves whole: socket, session, parser and the bytes that were received but not run.
//! It leaves only while it waits for its client's bytes, or its client for a key, and all its
//! replies are sent, so a command is never in two hands and replies keep their order; one that is
//! never found so stays where it is, and one that listens to very many channels too. The driver
//! hands the socket back when the kernel has let go of it. Messages that come while it is on the
//! way, those of channels too, wait in its letterbox ([`super::mail`]), which the thread that takes
//! it over reads first.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;

use socket2::Socket;

use super::connection::{Connection, State};
use super::connections::Connections;
use super::inbox::Arrival;
use super::service::{Fate, Service};
use crate::net::ConnId;

/// A client that has sent something within this time counts as active.
const ACTIVE_MS: u64 = 1000;

/// How many threads the connections are shared by, as this thread knows it.
#[derive(Debug)]
pub(super) struct Sharing {
    threads: usize,
}

impl Sharing {
    pub(super) fn among(threads: usize) -> Self {
        Self { threads }
    }

    /// Sends connections away if the number of threads awake has changed, or if this one should be
    /// asleep.
    pub(super) fn adjust(&mut self, service: &mut Service, connections: &mut Connections) {
        let (index, awake) = (usize::from(service.index), service.front.awake());
        let before = std::mem::replace(&mut self.threads, awake);
        if index >= awake {
            // Nobody counts those on their way, so asking who has the fewest would send all to one.
            for (rank, connection) in connections.iter_mut().enumerate() {
                connection.destination = Some((rank + index) % awake.max(1));
                service.depart(connection);
            }
        } else if index < before && before < awake {
            share_with(service, connections, before, awake);
        }
    }
}

/// Gives every thread from `before` up to `awake` its part, of the busy connections as of the
/// silent ones. The busiest of the first thread leaves it, as it also accepts and governs.
fn share_with(service: &mut Service, connections: &mut Connections, before: usize, awake: usize) {
    for (rank, id) in busiest_first(connections, service.now_ms())
        .into_iter()
        .enumerate()
    {
        let thread = (rank + awake - 1 - usize::from(service.index)) % awake;
        if thread < before {
            continue;
        }
        // It goes now, or when it next receives something and has nothing unsent.
        if let Some(connection) = connections.get_mut(id) {
            connection.destination = Some(thread);
            service.depart(connection);
        }
    }
}

fn busiest_first(connections: &Connections, now_ms: u64) -> Vec<ConnId> {
    let activity = |connection: &Connection| {
        let client = &connection.session.client;
        let silent_ms = now_ms.saturating_sub(client.active_ms.load(Ordering::Relaxed));
        let age_s = now_ms.saturating_sub(client.connected_ms) / 1000;
        let per_s = client.commands.load(Ordering::Relaxed) / (age_s + 1);
        (silent_ms < ACTIVE_MS, per_s)
    };
    let mut ranked: Vec<_> = connections
        .iter()
        .map(|connection| (Reverse(activity(connection)), connection.id))
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, id)| id).collect()
}

/// Passes on a connection that the driver has let go of.
pub(super) fn pass_on(
    service: &mut Service,
    mut connection: Box<Connection>,
    socket: Socket,
    input: Vec<u8>,
) {
    connection.state = State::Reading;
    let grown = connection.accept(None, input);
    service.note_received(&connection, grown);
    match connection.destination.take() {
        Some(thread) if !service.front.is_stopping() => {
            let (timers, alarm) = (&mut service.timers, &mut connection.alarm);
            timers.cancel(connection.id, alarm);
            let pubsub = &service.db.engine().pubsub;
            pubsub.relocate(&mut connection.session, None);
            let ahead = &mut connection.session.ahead;
            connection.pushes.extend(ahead.drain(..));
            connection.letterbox.leave();
            service.front.left(&service.inbox);
            let arrival = Arrival { socket, connection };
            service.front.hand_over(thread, arrival);
        }
        _ => service.end(connection),
    }
}

/// Goes on with a connection of another thread.
pub(super) fn arrive(service: &mut Service, connections: &mut Connections, arrival: Arrival) {
    let Arrival {
        socket,
        mut connection,
    } = arrival;
    let Ok(id) = service.driver.adopt(socket) else {
        return service.end(connection);
    };
    connection.id = id;
    let client = &connection.session.client;
    client.thread.store(service.index, Ordering::Relaxed);
    let fate = match service.begin(&mut connection) {
        Fate::Stays => service.resume(&mut connection),
        Fate::Gone => Fate::Gone,
    };
    match fate {
        Fate::Stays => connections.insert(connection),
        Fate::Gone => service.end(connection),
    }
}

#[cfg(test)]
mod tests;
