//! One keyspace within one stripe: the table, the entries it leads to, their deadlines and their bytes.

use std::collections::BTreeSet;

use crate::UnixMs;
use crate::entries::{Entries, Entry, EntryRef};
use crate::table::Table;

/// Addresses a keyspace: a numbered database, later also a namespace within one. The first ids are the databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceId(pub u32);

/// Memory that no key leads to any more. Freeing it can take long: drop it where nobody waits.
#[derive(Debug)]
pub struct Garbage(#[expect(dead_code, reason = "held only to be dropped")] Keyspace);

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Keyspace {
    table: Table,
    entries: Entries,
    /// Entries that expire, soonest first.
    deadlines: BTreeSet<(UnixMs, EntryRef)>,
    entry_bytes: usize,
}

impl Keyspace {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn volatile_len(&self) -> usize {
        self.deadlines.len()
    }

    /// Bytes of entries and table.
    pub(crate) fn bytes(&self) -> usize {
        self.entry_bytes + self.table.bytes()
    }

    #[inline]
    pub(crate) fn find(&self, prefix: u32, key: &[u8]) -> Option<EntryRef> {
        self.table
            .find(prefix, |entry| *self.entries.get(entry).key == *key)
    }

    #[inline]
    pub(crate) fn entry(&self, entry: EntryRef) -> &Entry {
        self.entries.get(entry)
    }

    pub(crate) fn set_clock(&mut self, entry: EntryRef, clock: u32) {
        self.entries.get_mut(entry).clock = clock;
    }

    pub(crate) fn insert(&mut self, prefix: u32, new: Entry) -> EntryRef {
        self.entry_bytes += new.bytes();
        let expire_at = new.expire_at;
        let entry = self.entries.insert(new);
        self.table.insert(prefix, entry);
        self.deadlines.extend(expire_at.map(|at| (at, entry)));
        entry
    }

    pub(crate) fn remove(&mut self, prefix: u32, entry: EntryRef) -> Entry {
        self.table.remove(prefix, entry);
        let removed = self.entries.remove(entry);
        self.entry_bytes -= removed.bytes();
        if let Some(at) = removed.expire_at {
            self.deadlines.remove(&(at, entry));
        }
        removed
    }

    /// Changes an entry's value and keeps the account.
    pub(crate) fn change<R>(&mut self, entry: EntryRef, change: impl FnOnce(&mut Entry) -> R) -> R {
        let changed = self.entries.get_mut(entry);
        let before = changed.bytes();
        let result = change(changed);
        self.entry_bytes = self.entry_bytes - before + changed.bytes();
        result
    }

    pub(crate) fn set_expiry(&mut self, entry: EntryRef, expire_at: Option<UnixMs>) {
        let old = std::mem::replace(&mut self.entries.get_mut(entry).expire_at, expire_at);
        if let Some(at) = old {
            self.deadlines.remove(&(at, entry));
        }
        self.deadlines.extend(expire_at.map(|at| (at, entry)));
    }

    /// The entry that expires first, and when.
    pub(crate) fn first_due(&self) -> Option<(UnixMs, EntryRef)> {
        self.deadlines.first().copied()
    }

    /// Visits entries in hash order; see [`Table::walk`].
    pub(crate) fn walk(&self, from: u32, mut visit: impl FnMut(&Entry) -> bool) -> Option<u32> {
        self.table
            .walk(from, |entry| visit(self.entries.get(entry)))
    }

    pub(crate) fn sample(&self, random: u64) -> Option<&Entry> {
        self.table
            .sample(random)
            .map(|entry| self.entries.get(entry))
    }

    pub(crate) fn into_garbage(self) -> Garbage {
        Garbage(self)
    }
}
