//! Watching keys.

use std::sync::Arc;

use super::Guard;
use crate::layout::KeyspaceId;
use crate::watch::WatchToken;

impl Guard<'_> {
    /// Watches a key: `token` turns dirty when it changes. A key whose time has come counts as
    /// missing.
    pub fn watch(&mut self, key: &[u8], token: &Arc<WatchToken>) {
        let place = self.locate(key.into());
        self.find(place);
        let keyspace = self.keyspace;
        let watches = &mut self.stripes.stripe(place.index).watches;
        watches.add(keyspace, place.key, token);
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, key: &[u8], token: &Arc<WatchToken>) {
        let key = self.layout.canonical(key);
        let (index, keyspace) = (self.index_of(key), self.keyspace);
        let watches = &mut self.stripes.stripe(index).watches;
        watches.remove(keyspace, key, token);
    }

    /// Deletes what is watched in either of two keyspaces that are about to be swapped, and whose
    /// time has come in either: a missing key for which such a one is swapped in has not changed.
    pub(super) fn expire_watched(&mut self, index: usize, keyspaces: [KeyspaceId; 2]) {
        let watches = &self.stripes.stripe(index).watches;
        let keys: Vec<Box<[u8]>> = keyspaces.iter().flat_map(|&id| watches.keys(id)).collect();
        for key in &keys {
            for id in keyspaces {
                self.exists_in(id, key);
            }
        }
    }
}
