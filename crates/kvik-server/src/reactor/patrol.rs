//! Which clients have been silent for too long or leave too many replies unread.
//!
//! A client is looked at when its alarm rings ([`super::timers`]) and, if it leaves much unread, at
//! the end of each run. Nothing here walks over all connections.

use std::sync::atomic::Ordering::Relaxed;

use super::connection::{Connection, State};
use crate::config::{BufferLimit, Config, Key};

/// Unread replies of so many bytes are held against the limits at once, fewer a little later: they
/// may just be on their way.
const CHECKED_BYTES: u64 = 64 << 10;
/// Bytes of a reply that no limit counts at once: with a limit below that of INFO nobody could look
/// what is wrong. Redis has so many in a buffer of the client's, beside what it counts.
const FREE_BYTES: u64 = 16 << 10;
/// How much later.
const LATER_MS: u64 = 1000;

/// The limits for clients, as they are configured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patrol {
    /// Longest silence in milliseconds; 0 is no limit.
    idle_ms: u64,
    /// For ordinary clients, and for those that listen to channels.
    unread: [BufferLimit; 2],
    /// Bytes that all clients may take together; 0 is no limit.
    memory_bytes: usize,
}

/// The lowest limit for the memory of all clients: below it nobody could talk to the server.
const LEAST_MEMORY_BYTES: usize = 128 << 10;

/// A limit that a client has exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// It has been silent for too long.
    Idle,
    /// It leaves too many replies unread, or many for too long.
    Unread,
}

impl Patrol {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            idle_ms: config.int(Key::Timeout).unsigned_abs() * 1000,
            unread: {
                let [normal, _, pubsub] = config.output_buffer_limits();
                [normal, pubsub]
            },
            memory_bytes: memory_limit(config),
        }
    }

    /// Whether unread replies have a limit at all.
    #[inline]
    pub(super) fn limits_output(&self, connection: &Connection) -> bool {
        let limit = self.limit_of(connection);
        limit.hard_bytes > 0 || limit.soft_bytes > 0
    }

    #[inline]
    fn limit_of(&self, connection: &Connection) -> &BufferLimit {
        &self.unread[usize::from(connection.session.subscriptions.is_some())]
    }

    /// Whether so many bytes are more than a client may ever leave unread.
    #[inline]
    pub(super) fn exceeds_hard_limit(&self, connection: &Connection, unsent: usize) -> bool {
        let hard_bytes = self.limit_of(connection).hard_bytes;
        hard_bytes > 0 && unsent as u64 > hard_bytes.saturating_add(FREE_BYTES)
    }

    /// Bytes that all clients may take together, if that is limited.
    #[inline]
    pub(super) fn memory_limit(&self) -> Option<usize> {
        (self.memory_bytes > 0).then_some(self.memory_bytes)
    }

    /// Whether so much may be held against a client although it was sent just now.
    pub(super) fn is_much(unsent: usize) -> bool {
        unsent as u64 >= CHECKED_BYTES
    }

    /// The limit that a client exceeds, which has left so many bytes unread.
    pub(super) fn check(
        &self,
        connection: &mut Connection,
        unsent: usize,
        now_ms: u64,
    ) -> Option<Excess> {
        if self.is_idle(connection, now_ms) {
            return Some(Excess::Idle);
        }
        let limit = self.limit_of(connection);
        let over_since = &mut connection.over_soft_limit_since;
        limit
            .is_exceeded(unsent as u64, over_since, now_ms)
            .then_some(Excess::Unread)
    }

    /// A client that waits for the server or for messages is not silent.
    fn is_idle(&self, connection: &Connection, now_ms: u64) -> bool {
        let active_ms = connection.session.client.active_ms.load(Relaxed);
        self.idle_ms > 0
            && !matches!(
                connection.state,
                State::Ready | State::Paused(_) | State::Blocked
            )
            && !connection.codec.is_subscribed()
            && connection.session.subscriptions.is_none()
            && now_ms.saturating_sub(active_ms) >= self.idle_ms
    }

    /// When to look at a client again, which has left so many bytes unread.
    pub(super) fn next_ms(
        &self,
        connection: &Connection,
        unsent: usize,
        now_ms: u64,
    ) -> Option<u64> {
        let active_ms = connection.session.client.active_ms.load(Relaxed);
        // A client that was silent but is not so for this limit is looked at once a period.
        let after = |at_ms: u64| at_ms.saturating_add(self.idle_ms);
        let idle = (self.idle_ms > 0).then(|| match after(active_ms) {
            due_ms if due_ms > now_ms => due_ms,
            _ => after(now_ms),
        });
        let unread = (unsent > 0 && self.limits_output(connection)).then_some(now_ms + LATER_MS);
        idle.into_iter().chain(unread).min()
    }
}

/// The memory that all clients may take together; 0 is no limit.
fn memory_limit(config: &Config) -> usize {
    let configured = config.int(Key::MaxmemoryClients);
    let bytes = match configured {
        percent if percent < 0 => {
            config.size(Key::Maxmemory) / 100 * percent.unsigned_abs() as usize
        }
        bytes => bytes as usize,
    };
    match bytes {
        0 => 0,
        bytes => bytes.max(LEAST_MEMORY_BYTES),
    }
}

impl BufferLimit {
    /// Whether `unsent` bytes are too many, or have been for too long since `over_since`.
    fn is_exceeded(&self, unsent: u64, over_since: &mut Option<u64>, now_ms: u64) -> bool {
        *over_since =
            (self.soft_bytes > 0 && unsent > self.soft_bytes).then(|| over_since.unwrap_or(now_ms));
        let soft_ms = self.soft_seconds.saturating_mul(1000);
        let too_long = over_since.is_some_and(|since| now_ms.saturating_sub(since) >= soft_ms);
        too_long || self.hard_bytes > 0 && unsent > self.hard_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(hard_bytes: u64, soft_bytes: u64, soft_seconds: u64) -> BufferLimit {
        BufferLimit {
            hard_bytes,
            soft_bytes,
            soft_seconds,
        }
    }

    #[test]
    fn the_hard_limit_holds_at_once_and_no_limit_never() {
        let mut since = None;
        assert!(!unread(100, 0, 0).is_exceeded(100, &mut since, 5));
        assert!(unread(100, 0, 0).is_exceeded(101, &mut since, 5));
        assert!(!unread(0, 0, 0).is_exceeded(u64::MAX, &mut since, 5));
        assert_eq!(since, None);
    }

    #[test]
    fn the_soft_limit_holds_for_a_time_that_begins_anew() {
        let (limit, mut since) = (unread(0, 100, 2), None);
        assert!(!limit.is_exceeded(101, &mut since, 1000));
        assert!(!limit.is_exceeded(200, &mut since, 2999));
        assert!(!limit.is_exceeded(100, &mut since, 3000));
        assert!(!limit.is_exceeded(101, &mut since, 3001));
        assert!(limit.is_exceeded(101, &mut since, 5001));
    }
}
