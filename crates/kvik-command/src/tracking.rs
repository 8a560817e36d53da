//! Client-side caching: clients keep copies of what they read, and are told when a copy is stale.
//!
//! By default a stripe remembers which client has read which key
//! ([`Guard::track`](kvik_store::Guard::track)), under the lock under which it was read, and
//! reports the key with its clients when it changes. A client in broadcasting mode is told of all
//! changes of keys with certain prefixes instead; these are known here, and while there are any,
//! guards note the name of every key that changes.
//!
//! Invalidations go to the client's mailbox when the section has ended, and from there behind the
//! replies that its thread has not sent yet. So a client that caches a reply hears of any later
//! change after it. A redirected push goes to another connection, which no order binds to the
//! first.
//!
//! Cost while nobody caches: one comparison per command, and none for a change.

pub(crate) mod terms;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kvik_resp::Output;
use kvik_store::{ChangedKey, EventClasses, TrackedChange};
use parking_lot::RwLock;

use crate::client::{Client, Clients};
use crate::mail::{Message, Push};
use crate::session::Session;
use crate::settings::Settings;

use self::terms::{BROADCAST, BROKEN, NOLOOP, ON, PREFIX_BYTES};
pub use self::terms::{ClientTracking, SessionTracking, TrackingMode};

/// The words of CLIENT TRACKING ON.
#[derive(Debug, Default)]
pub struct TrackingTerms {
    /// Which reads are tracked.
    pub mode: TrackingMode,
    /// The client that is told in this one's place, 0 for none.
    pub redirect: u64,
    /// It is not told of its own changes.
    pub noloop: bool,
    /// Prefixes of broadcasting mode. None stands for all keys.
    pub prefixes: Vec<Box<[u8]>>,
}

/// The keys that a section has made stale.
#[derive(Debug, Default)]
pub struct Staleness {
    /// Tracked keys, in the order of their changes.
    pub tracked: Vec<ChangedKey>,
    /// The names of all keys that have changed, while somebody wants them.
    pub changed: Vec<Box<[u8]>>,
    /// Everything, and how much was tracked before.
    pub flushed: Option<TrackedChange>,
    /// The client that did it; 0 if nobody has asked for it.
    pub writer: u64,
    /// Log position up to which it must be durable before anybody is told; 0 for none.
    pub lsn: u64,
}

impl Staleness {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.tracked.is_empty() && self.changed.is_empty() && self.flushed.is_none()
    }
}

/// Who caches what.
#[derive(Debug, Default)]
pub struct Tracking {
    clients: RwLock<HashMap<u64, Arc<Client>>>,
    prefixes: RwLock<BTreeMap<Box<[u8]>, Vec<u64>>>,
    keys: AtomicUsize,
    items: AtomicUsize,
}

impl Tracking {
    /// Number of clients that cache.
    pub fn clients(&self) -> usize {
        self.clients.read().len()
    }

    /// Number of tracked keys.
    pub fn keys(&self) -> usize {
        self.keys.load(Relaxed)
    }

    /// Number of pairs of a tracked key and a client.
    pub fn items(&self) -> usize {
        self.items.load(Relaxed)
    }

    /// Number of prefixes of clients in broadcasting mode.
    pub fn prefixes(&self) -> usize {
        self.prefixes.read().len()
    }

    /// Whether a client still caches by key.
    pub fn is_caching(&self, client: u64) -> bool {
        let clients = self.clients.read();
        let client = clients.get(&client);
        client.is_some_and(|client| !client.tracking.is_broadcast())
    }

    /// Whether there are more tracked keys than `tracking-table-max-keys` allows.
    pub fn is_too_large(&self, settings: &Settings) -> bool {
        self.excess(settings) > 0
    }

    /// How many keys are tracked beyond that.
    pub fn excess(&self, settings: &Settings) -> usize {
        let max = settings.tracking_table_max_keys.load(Relaxed) as usize;
        match max {
            0 => 0,
            _ => self.keys().saturating_sub(max),
        }
    }

    /// Counts a change of what is tracked.
    pub fn count(&self, change: TrackedChange) {
        self.keys.fetch_add(change.keys, Relaxed);
        self.items.fetch_add(change.items, Relaxed);
        self.items.fetch_sub(change.gone, Relaxed);
    }

    fn count_off(&self, keys: usize, items: usize) {
        self.keys.fetch_sub(keys, Relaxed);
        self.items.fetch_sub(items, Relaxed);
    }

    /// Has a session cache from here on, or in another way. The terms fit it.
    pub fn start(&self, session: &mut Session, terms: TrackingTerms, settings: &Settings) {
        let client = &session.client;
        let is_broadcast = terms.mode == TrackingMode::Broadcast;
        let mut flags = ON;
        for (flag, is_set) in [(BROADCAST, is_broadcast), (NOLOOP, terms.noloop)] {
            flags |= if is_set { flag } else { 0 };
        }
        client.tracking.redirect.store(terms.redirect, Relaxed);
        client.tracking.flags.store(flags, Relaxed);
        self.clients.write().insert(client.id, Arc::clone(client));
        session.tracking.mode = terms.mode;
        if is_broadcast {
            self.add_prefixes(session, terms.prefixes);
            settings.want_changes(true);
        }
    }

    fn add_prefixes(&self, session: &mut Session, mut new: Vec<Box<[u8]>>) {
        if new.is_empty() {
            new.push(Box::default());
        }
        let mut prefixes = self.prefixes.write();
        for prefix in new {
            let clients = prefixes.entry(prefix.clone()).or_default();
            if !clients.contains(&session.client.id) {
                clients.push(session.client.id);
                let bytes = prefix.len() + PREFIX_BYTES;
                let sum = &session.client.tracking.prefix_bytes;
                sum.fetch_add(bytes, Relaxed);
                session.tracking.prefixes.push(prefix);
            }
        }
        session.tracking.prefixes.sort_unstable();
    }

    /// Ends the caching of a session. The stripes forget it as its keys change.
    pub fn stop(&self, session: &mut Session, settings: &Settings) {
        if session.tracking.mode == TrackingMode::Off {
            return;
        }
        let client = &session.client;
        client.tracking.flags.store(0, Relaxed);
        client.tracking.prefix_bytes.store(0, Relaxed);
        self.clients.write().remove(&client.id);
        let mut prefixes = self.prefixes.write();
        for prefix in &session.tracking.prefixes {
            if let Some(clients) = prefixes.get_mut(prefix) {
                clients.retain(|id| *id != client.id);
                if clients.is_empty() {
                    prefixes.remove(prefix);
                }
            }
        }
        // Under the lock, so that it agrees with what is there.
        settings.want_changes(!prefixes.is_empty());
        drop(prefixes);
        session.tracking = SessionTracking::default();
    }

    /// Tells all whom it concerns what is stale.
    pub fn tell(&self, stale: &Staleness, clients: &Clients) {
        for key in &stale.tracked {
            self.count_off(1, key.trackers.len());
            self.tell_trackers(key, stale, clients);
        }
        if !stale.changed.is_empty() {
            self.broadcast(stale, clients);
        }
        if let Some(tracked) = stale.flushed {
            self.count_off(tracked.keys, tracked.items);
            let push = Push::stale(None, stale.lsn);
            for client in self.all() {
                client.tell_stale(&push, clients);
            }
        }
    }

    fn all(&self) -> Vec<Arc<Client>> {
        self.clients.read().values().cloned().collect()
    }

    fn find(&self, id: u64) -> Option<Arc<Client>> {
        self.clients.read().get(&id).cloned()
    }

    fn tell_trackers(&self, key: &ChangedKey, stale: &Staleness, clients: &Clients) {
        let mut push = None;
        for id in &key.trackers {
            let Some(client) = self.find(*id) else {
                continue;
            };
            let tracking = &client.tracking;
            // It may have gone over to broadcasting since.
            let is_own = tracking.is_without_loop() && *id == stale.writer && !key.is_evicted;
            if tracking.is_broadcast() || is_own {
                continue;
            }
            let push = push.get_or_insert_with(|| Push::stale(Some(&[&key.key]), stale.lsn));
            client.tell_stale(push, clients);
        }
    }

    /// Tells the clients of each prefix of the keys that have it, all in one push.
    fn broadcast(&self, stale: &Staleness, clients: &Clients) {
        let mut keys: Vec<&[u8]> = stale.changed.iter().map(|key| &**key).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut pushes = Vec::new();
        for (prefix, ids) in self.prefixes.read().iter() {
            // The keys with a prefix stand side by side.
            let start = keys.partition_point(|key| *key < &**prefix);
            let count = keys[start..].partition_point(|key| key.starts_with(prefix));
            if count > 0 {
                let push = Push::stale(Some(&keys[start..start + count]), stale.lsn);
                pushes.push((push, ids.clone()));
            }
        }
        for (push, ids) in &pushes {
            for client in ids.iter().filter_map(|id| self.find(*id)) {
                let is_own = client.tracking.is_without_loop() && client.id == stale.writer;
                if !is_own {
                    client.tell_stale(push, clients);
                }
            }
        }
    }
}

impl Client {
    /// Sends this client, or the one in its place, what is stale.
    fn tell_stale(&self, push: &Push, clients: &Clients) {
        match self.tracking.redirect() {
            0 if self.speaks_resp3() => self.deliver(Message::Push(push.clone())),
            0 => {}
            id => match clients.get(id).filter(|other| !other.is_leaving()) {
                Some(other) if other.speaks_resp3() || other.is_subscribed() => {
                    other.deliver(Message::Push(push.clone()));
                }
                Some(_) => {}
                None => self.tell_broken(id),
            },
        }
    }

    /// Tells this client that the one in its place is gone.
    fn tell_broken(&self, other: u64) {
        self.tracking.flags.fetch_or(BROKEN, Relaxed);
        if self.speaks_resp3() {
            let mut values = Output::new();
            let mut reply = kvik_resp::Reply::new(&mut values, kvik_resp::Protocol::Resp3);
            reply.bulk(b"tracking-redir-broken");
            reply.integer(other as i64);
            self.deliver(Message::Push(Push::new(2, values, 0)));
        }
    }

    fn speaks_resp3(&self) -> bool {
        self.protocol.load(Relaxed) == 3
    }
}

impl Settings {
    /// Whether guards note every key that changes.
    fn want_changes(&self, wanted: bool) {
        let bit = EventClasses::CHANGES.bits();
        if wanted {
            self.wanted_events.fetch_or(bit, Relaxed);
        } else {
            self.wanted_events.fetch_and(!bit, Relaxed);
        }
    }
}
