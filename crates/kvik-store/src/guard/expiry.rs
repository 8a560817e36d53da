//! Deleting keys and members whose time has come: when a key is met, and in rounds through a
//! stripe.

use std::sync::Arc;

use super::{Guard, Place};
use crate::UnixMs;
use crate::clock::READ;
use crate::edit::ExpiredMembers;
use crate::entry::OccupiedEntry;
use crate::event::Event;
use crate::heap::HeapEntry;
use crate::interests::pins::KeyUse;
use crate::layout::{Key, KeyspaceId};
use crate::namespace::{Namespace, NamespacePolicy, TableId};
use crate::raw::entry_ref::EntryRef;
use crate::state::{Mode, Overdue};

/// The result of one round of expiry in a stripe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpiryRound {
    /// Keys deleted.
    pub keys: usize,
    /// How late the latest of them was, in milliseconds.
    pub lag_ms: u64,
    /// Whether keys are still due.
    pub more: bool,
}

impl Guard<'_> {
    /// Deletes up to `max` members of a key's value whose time has come, and says whether there may
    /// be more. Whoever meets them would delete all; with this a caller who can give the stripe
    /// back in between first does it in parts.
    pub fn expire_slice<'k>(&mut self, key: impl Into<Key<'k>>, max: usize) -> bool {
        let place = self.locate(key.into());
        let Some(keyspace) = self.stripes.stripe(place.index).keyspace(place.table) else {
            return false;
        };
        let Some(entry) = keyspace.find(place.position, place.key) else {
            return false;
        };
        let overdue = self.state.overdue(&keyspace.entry(entry), self.layout);
        let deletes = self.state.mode == Mode::Primary && overdue == Overdue::Members;
        deletes
            && self
                .expire_members(place.index, place.table, entry, max)
                .more
    }

    /// Deletes up to `max` keys of one stripe whose time has come, in all keyspaces; a member of a
    /// collection counts as a key. Effect: `DEL` for each, or what deletes members.
    pub fn expire_due(&mut self, index: usize, max: usize) -> ExpiryRound {
        let mut done = ExpiryRound::default();
        // What was noted for keys that have another expiry by now is looked up in vain; that has
        // its bound as well.
        let mut looks = max.saturating_mul(4).saturating_add(16);
        let first = self.layout.namespaces().map(|it| it.first_table());
        let stripe = self.stripes.stripe(index);
        let databases = stripe.table_count().min(first.unwrap_or(u32::MAX));
        for number in 0..databases {
            let table = TableId(number);
            self.keyspace = KeyspaceId(number);
            self.expire_due_in(index, table, max, &mut looks, &mut done);
        }
        // Of many namespaces only those are looked at in which something is due.
        let mut is_pinned = false;
        while !done.more
            && !is_pinned
            && looks > 0
            && let Some(table) = self.stripes.stripe(index).due_namespace(self.state.now)
        {
            self.keyspace = self.database_of(index, table);
            is_pinned = self.expire_due_in(index, table, max, &mut looks, &mut done);
            self.stripes
                .stripe(index)
                .tell_namespace(table, self.layout);
        }
        done.more |= looks == 0;
        self.stripes.stripe(index).refresh_due();
        done
    }

    pub(crate) fn database_of(&mut self, index: usize, table: TableId) -> KeyspaceId {
        let keyspace = self.stripes.look(index).keyspace(table);
        let keyspace = keyspace.map(|it| it.keyspace.database(table));
        keyspace.unwrap_or(self.keyspace)
    }

    /// Deletes keys of one keyspace of a stripe until `max` are deleted in all, or up to one that
    /// is pinned; says whether there was one.
    fn expire_due_in(
        &mut self,
        index: usize,
        table: TableId,
        max: usize,
        looks: &mut usize,
        done: &mut ExpiryRound,
    ) -> bool {
        while let Some((at, entry)) = self.next_due(index, table, looks) {
            done.more = done.keys == max;
            if done.more {
                break;
            }
            // Those behind it in this table wait with it; whoever meets one deletes it.
            if self.is_entry_pinned(index, table, entry) {
                return true;
            }
            done.lag_ms = done.lag_ms.max(self.state.now - at);
            done.keys += self.expire_entry(index, table, entry, max - done.keys);
        }
        false
    }

    /// Deletes a key, or up to `max` members of its value, whose time has come, and says how many.
    fn expire_entry(&mut self, index: usize, table: TableId, entry: EntryRef, max: usize) -> usize {
        if self.overdue(index, table, entry) == Overdue::Everything {
            self.expire(index, table, entry);
            return 1;
        }
        let members = self.expire_members(index, table, entry, max);
        members.expired.max(1)
    }

    fn next_due(
        &mut self,
        index: usize,
        table: TableId,
        looks: &mut usize,
    ) -> Option<(UnixMs, EntryRef)> {
        let stripe = self.stripes.stripe(index);
        let mut keyspace = stripe.present_mut(table, self.layout)?;
        keyspace.next_due(self.state.now, looks)
    }

    /// Whether an entry's key is pinned.
    pub(crate) fn is_entry_pinned(
        &mut self,
        index: usize,
        table: TableId,
        entry: EntryRef,
    ) -> bool {
        self.stripes.look(index).has_pins() && {
            let key = self.key_of(index, table, entry);
            let interests = &self.stripes.look(index).interests;
            interests
                .pinned_against(&key, KeyUse::Write, None)
                .is_some()
        }
    }

    /// Deletes a key whose time has come.
    #[cold]
    pub(super) fn expire(&mut self, index: usize, table: TableId, entry: EntryRef) {
        let key = self.key_of(index, table, entry);
        let expire_at = self.entry_at(index, table, entry).expire_at();
        let is_due = expire_at.is_some_and(|at| at <= self.state.now);
        let place = self.place_of(index, table, &key);
        let occupied = OccupiedEntry::new(self.locked_key(place), entry);
        if is_due {
            occupied.remove_as(Some(Event::EXPIRED));
        } else {
            occupied.remove_with_members();
        }
        self.state.stats.expired += 1;
    }

    /// Deletes a key to make room.
    pub(crate) fn evict_entry(&mut self, index: usize, table: TableId, entry: EntryRef) {
        let key = self.key_of(index, table, entry);
        let place = self.place_of(index, table, &key);
        let occupied = OccupiedEntry::new(self.locked_key(place), entry);
        occupied.remove_as(Some(Event::EVICTED));
    }

    /// The namespace of a table.
    pub(crate) fn namespace_at(&mut self, index: usize, table: TableId) -> Option<&Namespace> {
        let keyspace = self.stripes.look(index).keyspace(table)?.keyspace;
        keyspace.namespace.as_deref()
    }

    /// Deletes keys of one stripe that were read and are to go for that: at most `max` of the first
    /// `of` that were noted. Effect: `DEL` for each. Returns how many were looked at, and how many
    /// of them have gone.
    pub fn sweep_read(&mut self, index: usize, of: usize, max: usize) -> (usize, usize) {
        let (layout, before) = (self.layout, self.keyspace);
        let noted = self.stripes.stripe(index).take_read_keys(of, max);
        let (looked_at, mut gone) = (noted.len(), 0);
        for (table, position) in noted {
            let stripe = self.stripes.look(index);
            // It may have been deleted or set since, and the number of its table may be another
            // one's.
            let read = stripe.keyspace(table).and_then(|there| {
                let namespace = there.keyspace.namespace.as_ref()?;
                let entry = there.find_at(layout, position)?;
                let is_to_go = namespace.policy() == NamespacePolicy::AfterRead
                    && there.entry(entry).clock() == READ;
                is_to_go.then(|| (entry, Arc::clone(namespace)))
            });
            if let Some((entry, namespace)) = read {
                self.keyspace = namespace.database();
                if self.is_entry_pinned(index, table, entry) {
                    self.stripes.stripe(index).note_read_key(table, position);
                    continue;
                }
                let key = self.key_of(index, table, entry);
                let place = self.place_of(index, table, &key);
                let occupied = OccupiedEntry::new(self.locked_key(place), entry);
                occupied.remove_as(Some(Event::EXPIRED));
                namespace.count_swept();
                gone += 1;
            }
        }
        self.keyspace = before;
        (looked_at, gone)
    }

    /// Deletes up to `max` members of a collection whose time has come; see
    /// [`LockedKey::expire_members`](crate::locked::LockedKey::expire_members).
    #[cold]
    fn expire_members(
        &mut self,
        index: usize,
        table: TableId,
        entry: EntryRef,
        max: usize,
    ) -> ExpiredMembers {
        let key = self.key_of(index, table, entry);
        let place = self.place_of(index, table, &key);
        self.locked_key(place).expire_members(entry, max)
    }

    /// Deletes all members of a key's value that are due. Returns the key's entry, if it is still
    /// there.
    #[cold]
    pub(super) fn without_due_members(
        &mut self,
        place: Place<'_>,
        entry: EntryRef,
    ) -> Option<EntryRef> {
        let (index, table) = (place.index, place.table);
        if self.overdue(index, table, entry) == Overdue::Nothing {
            return Some(entry);
        }
        self.expire_members(index, table, entry, usize::MAX).entry
    }

    fn overdue(&mut self, index: usize, table: TableId, entry: EntryRef) -> Overdue {
        let keyspace = self.stripes.look(index).keyspace(table);
        let there = keyspace.expect("an entry has a keyspace").entry(entry);
        self.state.overdue(&there, self.layout)
    }

    fn entry_at(&mut self, index: usize, table: TableId, entry: EntryRef) -> HeapEntry<'_> {
        let keyspace = self.stripes.look(index).keyspace(table);
        keyspace.expect("an entry has a keyspace").entry(entry)
    }

    fn key_of(&mut self, index: usize, table: TableId, entry: EntryRef) -> Vec<u8> {
        self.entry_at(index, table, entry).key().to_vec()
    }

    fn place_of<'k>(&self, index: usize, table: TableId, key: &'k [u8]) -> Place<'k> {
        Place {
            index,
            position: self.layout.position_of_key(key),
            table,
            key,
        }
    }
}
