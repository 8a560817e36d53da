//! Channels: who listens to what, and the way of a message to all of them.
//!
//! The registry is cut into shards by the channel's name, each behind a lock of its own. A message
//! is given to its listeners under the lock of its channel, so that all of them see the messages of
//! a channel in one order, and a client that is told that it listens (or does not any more) gets
//! every message (or none) from then on. Patterns stand apart, behind a lock that publishers share;
//! where there are none, publishing does not look at them.
//!
//! | operation | cost |
//! |---|---|
//! | publish | one hash, one lock; a step for each thread with listeners, and for each pattern |
//! | subscribe, unsubscribe | one hash, one lock, a move in the list of the thread's listeners |
//!
//! **Leaving.** What was published before a client leaves a channel is its own, though its thread
//! may not have written it yet: it is written before the reply to the command by which it leaves
//! ([`Session::ahead`]).
//!
//! **Locks.** A publisher holds the lock of its channel, then that of the patterns, then that of an
//! outlet or of a mailbox; the lock of the monitors stands like that of a channel. Stripes may be
//! held around all of it; nobody waits for a stripe inside.

mod audience;
mod monitors;
mod notification;
pub(crate) mod outlet;
pub(crate) mod publication;
pub(crate) mod subscriptions;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use audience::Audience;
pub use monitors::Monitors;
pub use outlet::{Bell, Delivery, Outlet, Rings, Seat};
pub use publication::Publication;
pub use subscriptions::{Hearing, Subscriptions};

use crate::glob::glob_match;
use crate::mail::Push;
use crate::session::Session;
use crate::sync::{AtomicUsize, HashState, Mutex, MutexGuard, RwLock};

/// Shards of the names of channels, a power of two.
const SHARDS: usize = if cfg!(all(test, feature = "model")) {
    2
} else {
    64
};

/// Bytes of a subscription beside its name: an entry with the client, and a place in the list of
/// the channel.
const NAME_BYTES: usize = 64;

/// All channels, patterns and their listeners.
#[derive(Debug, Default)]
pub struct PubSub {
    channels: Registry,
    shard_channels: Registry,
    patterns: RwLock<Audiences>,
    /// How many patterns there are.
    pattern_count: AtomicUsize,
    /// Clients that are shown every command.
    pub monitors: Monitors,
}

type Audiences = HashMap<Arc<[u8]>, Audience, HashState>;

/// The channels of one kind.
#[derive(Debug)]
struct Registry {
    shards: Box<[Mutex<Audiences>]>,
    hasher: HashState,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: HashState::default(),
        }
    }
}

/// Publishing.
impl PubSub {
    /// Publishes a message and wakes the threads of its listeners. Returns how many there are.
    pub fn publish(&self, channel: &[u8], payload: &[u8]) -> usize {
        self.publish_to(Hearing::Channel, channel, payload, 0, &mut Rings::default())
    }

    /// Publishes a message that reveals effects up to the log position `lsn`; the caller wakes the
    /// threads.
    pub fn publish_later(&self, publication: &Publication, lsn: u64, rings: &mut Rings) {
        let Publication {
            hearing,
            channel,
            payload,
        } = publication;
        self.publish_to(*hearing, channel, payload, lsn, rings);
    }

    /// The same for a channel of either kind. Returns the number of listeners.
    pub(crate) fn publish_to(
        &self,
        hearing: Hearing,
        channel: &[u8],
        payload: &[u8],
        lsn: u64,
        rings: &mut Rings,
    ) -> usize {
        let (registry, verb): (_, &[u8]) = match hearing {
            Hearing::ShardChannel => (&self.shard_channels, b"smessage"),
            Hearing::Channel | Hearing::Pattern => (&self.channels, b"message"),
        };
        // Held until everybody has been told, patterns included: so all who listen to a channel get
        // its messages in one order.
        let shard = registry.shard(channel).lock();
        let mut listeners = 0;
        if let Some(audience) = shard.get(channel) {
            listeners += audience.tell(&Push::words(&[verb, channel, payload], lsn), rings);
        }
        if hearing != Hearing::ShardChannel && self.pattern_count.load(Ordering::Acquire) > 0 {
            listeners += self.tell_patterns(channel, payload, lsn, rings);
        }
        listeners
    }

    /// Tells those whose patterns match; the channel is locked.
    #[cold]
    fn tell_patterns(&self, channel: &[u8], payload: &[u8], lsn: u64, rings: &mut Rings) -> usize {
        let patterns = self.patterns.read();
        let matching = patterns
            .iter()
            .filter(|(pattern, _)| matches(pattern, channel));
        matching
            .map(|(pattern, audience)| {
                let words = [b"pmessage", &**pattern, channel, payload];
                audience.tell(&Push::words(&words, lsn), rings)
            })
            .sum()
    }

    /// How many listen to a channel now, patterns included.
    pub(crate) fn listeners(&self, hearing: Hearing, channel: &[u8]) -> usize {
        if hearing == Hearing::ShardChannel {
            return self.subscribers(hearing, channel);
        }
        let patterns = self.patterns.read();
        let matching = patterns
            .iter()
            .filter(|(pattern, _)| matches(pattern, channel));
        let by_pattern: usize = matching.map(|(_, audience)| audience.len()).sum();
        drop(patterns);
        by_pattern + self.subscribers(hearing, channel)
    }
}

/// Listening.
impl PubSub {
    /// Has a session listen. When this returns, whatever anybody publishes reaches it.
    pub fn subscribe(&self, session: &mut Session, hearing: Hearing, name: &[u8]) {
        let subscriptions = session.subscriptions.get_or_insert_default();
        if subscriptions.of(hearing).contains(name) {
            return;
        }
        let (client, seat) = (&session.client, session.client.seat());
        let name = self.with_names(hearing, name, |names| {
            // The name is stored once, however many listen.
            let known = names.get_key_value(name);
            let name = known.map_or_else(|| Arc::from(name), |(known, _)| Arc::clone(known));
            let audience = names.entry(Arc::clone(&name)).or_default();
            audience.join(client, seat.as_ref());
            name
        });
        subscriptions.of_mut(hearing).insert(Arc::clone(&name));
        let bytes = &session.client.subscription_bytes;
        bytes.fetch_add(name.len() + NAME_BYTES, Ordering::Relaxed);
        session.show_subscriptions();
    }

    /// Ends a subscription. When this returns, nothing that is published from here on reaches the
    /// session; what was published before is in [`Session::ahead`] or with its mailbox.
    pub fn unsubscribe(&self, session: &mut Session, hearing: Hearing, name: &[u8]) {
        let Some(subscriptions) = &mut session.subscriptions else {
            return;
        };
        if !subscriptions.of_mut(hearing).remove(name) {
            return;
        }
        if subscriptions.is_empty() {
            session.subscriptions = None;
        }
        let bytes = &session.client.subscription_bytes;
        bytes.fetch_sub(name.len() + NAME_BYTES, Ordering::Relaxed);
        let (client, seat) = (&session.client, session.client.seat());
        self.with_names(hearing, name, |names| {
            leave(names, name, client, seat.as_ref());
        });
        session.show_subscriptions();
    }

    /// Has a session listen to nothing any more, and monitor nothing.
    pub fn unsubscribe_all(&self, session: &mut Session) {
        for hearing in Hearing::ALL {
            for name in session.subscribed(hearing) {
                self.unsubscribe(session, hearing, &name);
            }
        }
        self.monitors.leave(session);
    }

    /// Takes the messages for a session that its thread has not written yet, to be written before
    /// the reply to the command in progress. Call it after [`Self::unsubscribe`].
    pub fn catch_up(&self, session: &mut Session) {
        let Some(seat) = session.client.seat() else {
            return;
        };
        // Nothing was published to any client of this thread since it last looked.
        if seat.outlet.is_empty() {
            return;
        }
        let (pushes, next) = seat.outlet.ahead(seat.place, session.heard);
        session.ahead.extend(pushes);
        session.heard = next;
    }

    /// Gives the client of a session another seat, or none while it is on its way. Nothing is
    /// published to it meanwhile, so the messages of all its channels keep their order. What waits
    /// at the former seat is in [`Session::ahead`] then.
    pub fn relocate(&self, session: &mut Session, seat: Option<Seat>) {
        let client = Arc::clone(&session.client);
        let before = client.seat();
        if session.subscriptions.is_none() && !session.monitors {
            client.sit(seat);
            session.heard = 0;
            return;
        }
        let nothing = Subscriptions::default();
        let subscriptions = session.subscriptions.as_deref().unwrap_or(&nothing);
        let move_in = |names: &mut Audiences, name: &Arc<[u8]>| {
            if let Some(audience) = names.get_mut(name) {
                audience.leave(&client, before.as_ref());
                audience.join(&client, seat.as_ref());
            }
        };
        let channels = subscriptions.of(Hearing::Channel);
        let shard_channels = subscriptions.of(Hearing::ShardChannel);
        // Everything is locked before anything moves: no message is told at both seats, or at none.
        // Shards ascend, and the two registries and the patterns come in one order everywhere.
        let mut locked = self.channels.lock_shards(channels);
        let mut locked_too = self.shard_channels.lock_shards(shard_channels);
        let mut patterns = self.patterns.write();
        for name in channels {
            move_in(locked.of(self.channels.shard_of(name)), name);
        }
        for name in shard_channels {
            move_in(locked_too.of(self.shard_channels.shard_of(name)), name);
        }
        for name in subscriptions.of(Hearing::Pattern) {
            move_in(&mut patterns, name);
        }
        let mut monitors = self.monitors.audience.lock();
        if session.monitors {
            monitors.leave(&client, before.as_ref());
            monitors.join(&client, seat.as_ref());
        }
        if let Some(before) = &before {
            // The thread left behind writes nothing more for it: its share goes along.
            let (pushes, _) = before.outlet.ahead(before.place, session.heard);
            session.ahead.extend(pushes);
        }
        client.sit(seat.clone());
        session.heard = 0;
    }

    /// Changes the names of the map that a name belongs to.
    fn with_names<R>(
        &self,
        hearing: Hearing,
        name: &[u8],
        change: impl FnOnce(&mut Audiences) -> R,
    ) -> R {
        let registry = match hearing {
            Hearing::Channel => &self.channels,
            Hearing::ShardChannel => &self.shard_channels,
            Hearing::Pattern => {
                let mut patterns = self.patterns.write();
                let result = change(&mut patterns);
                // So that publishers look for patterns only where there are any.
                self.pattern_count.store(patterns.len(), Ordering::Release);
                return result;
            }
        };
        change(&mut registry.shard(name).lock())
    }
}

/// Asking.
impl PubSub {
    /// The channels of a kind whose names match, in no order.
    pub(crate) fn channels(&self, hearing: Hearing, pattern: Option<&[u8]>) -> Vec<Arc<[u8]>> {
        let mut found = Vec::new();
        for shard in &self.registry(hearing).shards {
            let names = shard.lock();
            let is_wanted = |name: &&Arc<[u8]>| pattern.is_none_or(|it| matches(it, name));
            found.extend(names.keys().filter(is_wanted).cloned());
        }
        found
    }

    /// How many clients listen to a channel by its name.
    pub(crate) fn subscribers(&self, hearing: Hearing, channel: &[u8]) -> usize {
        let shard = self.registry(hearing).shard(channel).lock();
        shard.get(channel).map_or(0, Audience::len)
    }

    /// How many names of a kind are listened to.
    pub fn count(&self, hearing: Hearing) -> usize {
        match hearing {
            Hearing::Pattern => self.pattern_count.load(Ordering::Acquire),
            _ => {
                let shards = &self.registry(hearing).shards;
                shards.iter().map(|shard| shard.lock().len()).sum()
            }
        }
    }

    fn registry(&self, hearing: Hearing) -> &Registry {
        match hearing {
            Hearing::ShardChannel => &self.shard_channels,
            Hearing::Channel | Hearing::Pattern => &self.channels,
        }
    }
}

impl Registry {
    fn shard_of(&self, name: &[u8]) -> usize {
        self.hasher.hash_one(name) as usize % SHARDS
    }

    fn shard(&self, name: &[u8]) -> &Mutex<Audiences> {
        &self.shards[self.shard_of(name)]
    }

    /// Locks the shards of these names, in ascending order.
    fn lock_shards<'a>(&self, names: impl IntoIterator<Item = &'a Arc<[u8]>>) -> LockedShards<'_> {
        let mut wanted = [false; SHARDS];
        for name in names {
            wanted[self.shard_of(name)] = true;
        }
        let shards = self.shards.iter().zip(wanted);
        LockedShards(
            shards
                .map(|(shard, is_wanted)| is_wanted.then(|| shard.lock()))
                .collect(),
        )
    }
}

/// Some shards of a registry.
struct LockedShards<'a>(Vec<Option<MutexGuard<'a, Audiences>>>);

impl LockedShards<'_> {
    fn of(&mut self, shard: usize) -> &mut Audiences {
        self.0[shard]
            .as_deref_mut()
            .expect("the shards of all names are locked")
    }
}

/// Takes a client out of the listeners of a name, which ends with its last one.
fn leave(names: &mut Audiences, name: &[u8], client: &crate::client::Client, seat: Option<&Seat>) {
    let Some(audience) = names.get_mut(name) else {
        return;
    };
    audience.leave(client, seat);
    if audience.is_empty() {
        names.remove(name);
    }
}

/// Whether a pattern covers a channel.
fn matches(pattern: &[u8], channel: &[u8]) -> bool {
    glob_match(pattern, channel, false)
}
