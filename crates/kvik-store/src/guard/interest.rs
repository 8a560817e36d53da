//! Being told of keys: watching, waiting, tracking.

use std::sync::Arc;

use super::Guard;
use crate::interests::{LineChange, TrackedChange, Waiter, Wanted, WatchToken};
use crate::layout::KeyspaceId;

impl Guard<'_> {
    /// Watches a key: `token` turns dirty when it changes. A key whose time has come counts as
    /// missing.
    pub fn watch(&mut self, key: &[u8], token: &Arc<WatchToken>) {
        let place = self.locate(key.into());
        self.find(place);
        let keyspace = self.keyspace;
        let interests = &mut self.stripes.stripe(place.index).interests;
        interests.watch(keyspace, place.key, token);
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, key: &[u8], token: &Arc<WatchToken>) {
        let key = self.layout.canonical(key);
        let index = self.index_of(key);
        let keyspace = self.keyspace;
        let interests = &mut self.stripes.stripe(index).interests;
        interests.unwatch(keyspace, key, token);
    }

    /// Puts a waiter into the line of a key, unless it stands there. The caller has seen that the
    /// key does not serve it, and holds the stripes of all its keys from before that until the last
    /// line is joined.
    pub fn wait(&mut self, key: &[u8], waiter: &Arc<dyn Waiter>) -> Option<LineChange> {
        let key = self.layout.canonical(key);
        let index = self.index_of(key);
        let keyspace = self.keyspace;
        let interests = &mut self.stripes.stripe(index).interests;
        interests.wait(keyspace, key, waiter)
    }

    /// Takes a waiter out of the line of a key, if it is there.
    pub fn end_wait(&mut self, key: &[u8], waiter: &dyn Waiter) -> Option<LineChange> {
        let key = self.layout.canonical(key);
        let index = self.index_of(key);
        let keyspace = self.keyspace;
        let interests = &mut self.stripes.stripe(index).interests;
        interests.end_wait(keyspace, key, waiter)
    }

    /// The first in a key's line whose turn came after `turn`.
    pub fn waiter_after(
        &mut self,
        key: &[u8],
        wanted: Wanted,
        turn: u64,
    ) -> Option<Arc<dyn Waiter>> {
        let key = self.layout.canonical(key);
        let index = self.index_of(key);
        let interests = &self.stripes.stripe(index).interests;
        interests.waiter_after(self.keyspace, key, wanted, turn)
    }

    /// Has the waiters of a key looked at when the stripe is let go, although it has not changed.
    pub fn mark_ready(&mut self, key: &[u8]) {
        let key = self.layout.canonical(key);
        let index = self.index_of(key);
        let keyspace = self.keyspace;
        let interests = &mut self.stripes.stripe(index).interests;
        interests.mark_ready(keyspace, key);
    }

    /// Whether the key may be used: its stripe is among those that the guard may ask for.
    pub fn holds(&self, key: &[u8]) -> bool {
        self.stripes.is_held(self.index_of(key))
    }

    /// The stripe of a key.
    pub fn stripe_of(&self, key: &[u8]) -> u16 {
        self.index_of(key) as u16
    }

    /// Has the next change of a key reported to a client, once ([`ChangedKey`]). Where the list of
    /// its clients is about to grow, those that are not `alive` are dropped from it first. The
    /// caller has read the key while its stripe was held as it is now.
    ///
    /// [`ChangedKey`]: crate::ChangedKey
    pub fn track(&mut self, key: &[u8], client: u64, alive: impl Fn(u64) -> bool) -> TrackedChange {
        let key = self.layout.canonical(key);
        let index = self.index_of(key);
        let keyspace = self.keyspace;
        let interests = &mut self.stripes.stripe(index).interests;
        interests.track(keyspace, key, client, alive)
    }

    /// Reports a tracked key of the same stripe as this one, as if it had changed. Says whether
    /// there was one.
    pub fn evict_tracked(&mut self, key: &[u8], random: u64) -> bool {
        let index = self.index_of(key);
        self.stripes.stripe(index).evict_tracked(random)
    }

    /// Deletes what is of interest in either of two keyspaces that are about to be swapped, and
    /// whose time has come in either: a missing key for which such a one is swapped in has not
    /// changed.
    pub(super) fn expire_watched(&mut self, index: usize, keyspaces: [KeyspaceId; 2]) {
        let interests = &self.stripes.stripe(index).interests;
        let keys: Vec<Box<[u8]>> = keyspaces
            .iter()
            .flat_map(|&id| interests.keys(id))
            .collect();
        for key in &keys {
            for id in keyspaces {
                self.exists_in(id, key);
            }
        }
    }
}
