//! Keys that somebody watches, and the flag that tells them of a change.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::layout::KeyspaceId;

/// Says whether any key watched with it has changed since. Shared between the watcher and the
/// stripes.
#[derive(Debug, Default)]
pub struct WatchToken(AtomicBool);

impl WatchToken {
    /// Whether a watched key has changed.
    pub fn is_dirty(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn mark(&self) {
        self.0.store(true, Ordering::Release);
    }
}

type Watchers = HashMap<Box<[u8]>, Vec<Arc<WatchToken>>>;

/// The watched keys of one stripe. Empty almost always, so the check before each change is one
/// comparison.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    keyspaces: HashMap<KeyspaceId, Watchers>,
}

impl Watches {
    pub(crate) fn add(&mut self, keyspace: KeyspaceId, key: &[u8], token: &Arc<WatchToken>) {
        let watchers = self
            .keyspaces
            .entry(keyspace)
            .or_default()
            .entry(key.into())
            .or_default();
        if !watchers.iter().any(|known| Arc::ptr_eq(known, token)) {
            watchers.push(Arc::clone(token));
        }
    }

    pub(crate) fn remove(&mut self, keyspace: KeyspaceId, key: &[u8], token: &Arc<WatchToken>) {
        let Some(keys) = self.keyspaces.get_mut(&keyspace) else {
            return;
        };
        if let Some(watchers) = keys.get_mut(key) {
            watchers.retain(|known| !Arc::ptr_eq(known, token));
            if watchers.is_empty() {
                keys.remove(key);
            }
        }
        if keys.is_empty() {
            self.keyspaces.remove(&keyspace);
        }
    }

    /// Whether nobody watches a key.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.keyspaces.is_empty()
    }

    #[inline]
    pub(crate) fn mark_changed(&self, keyspace: KeyspaceId, key: &[u8]) {
        if !self.is_empty() {
            self.mark_watchers(keyspace, key);
        }
    }

    #[cold]
    fn mark_watchers(&self, keyspace: KeyspaceId, key: &[u8]) {
        let watchers = self.keyspaces.get(&keyspace).and_then(|keys| keys.get(key));
        watchers
            .into_iter()
            .flatten()
            .for_each(|token| token.mark());
    }

    /// The watched keys of a keyspace.
    pub(crate) fn keys(&self, keyspace: KeyspaceId) -> impl Iterator<Item = Box<[u8]>> {
        let keys = self.keyspaces.get(&keyspace).into_iter();
        keys.flat_map(|keys| keys.keys().cloned())
    }

    /// Marks the watchers of every key of `keyspace` for which `changed` holds.
    pub(crate) fn mark_changed_where(&self, keyspace: KeyspaceId, changed: impl Fn(&[u8]) -> bool) {
        let keys = self.keyspaces.get(&keyspace).into_iter().flatten();
        keys.filter(|(key, _)| changed(key))
            .flat_map(|(_, tokens)| tokens)
            .for_each(|token| token.mark());
    }
}
