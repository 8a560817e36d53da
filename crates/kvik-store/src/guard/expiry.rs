//! Deleting keys and members whose time has come: when a key is met, and in rounds through a
//! stripe.

use super::Guard;
use crate::UnixMs;
use crate::edit::ExpiredMembers;
use crate::entry::OccupiedEntry;
use crate::event::Event;
use crate::layout::{Key, KeyspaceId};
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
        let key = key.into();
        let (index, position) = self.locate(key);
        let Some(keyspace) = self.stripes.stripe(index).keyspace(self.keyspace) else {
            return false;
        };
        let Some(entry) = keyspace.find(position, key.name) else {
            return false;
        };
        let overdue = self.state.overdue(&keyspace.entry(entry), self.layout);
        let deletes = self.state.mode == Mode::Primary && overdue == Overdue::Members;
        deletes && self.expire_members(index, entry, max).more
    }

    /// Deletes up to `max` keys of one stripe whose time has come, in all keyspaces; a member of a
    /// collection counts as a key. Effect: `DEL` for each, or what deletes members.
    pub fn expire_due(&mut self, index: usize, max: usize) -> ExpiryRound {
        let mut done = ExpiryRound::default();
        // What was noted for keys that have another expiry by now is looked up in vain; that has
        // its bound as well.
        let mut looks = max.saturating_mul(4).saturating_add(16);
        for id in 0..self.stripes.stripe(index).keyspace_count() {
            let id = KeyspaceId(id as u32);
            while let Some((at, entry)) = self.next_due(index, id, &mut looks) {
                done.more = done.keys == max;
                if done.more {
                    break;
                }
                done.lag_ms = done.lag_ms.max(self.state.now - at);
                self.keyspace = id;
                done.keys += self.expire_entry(index, entry, max - done.keys);
            }
        }
        done.more |= looks == 0;
        self.stripes.stripe(index).refresh_due();
        done
    }

    /// Deletes a key, or up to `max` members of its value, whose time has come, and says how many.
    fn expire_entry(&mut self, index: usize, entry: EntryRef, max: usize) -> usize {
        if self.overdue(index, entry) == Overdue::Everything {
            self.expire(index, entry);
            return 1;
        }
        self.expire_members(index, entry, max).expired.max(1)
    }

    fn next_due(
        &mut self,
        index: usize,
        id: KeyspaceId,
        looks: &mut usize,
    ) -> Option<(UnixMs, EntryRef)> {
        let stripe = self.stripes.stripe(index);
        let mut keyspace = stripe.present_mut(id, self.layout)?;
        keyspace.next_due(self.state.now, looks)
    }

    /// Deletes a key whose time has come.
    #[cold]
    pub(super) fn expire(&mut self, index: usize, entry: EntryRef) {
        let key = self.keyspace_of(index).entry(entry).key().to_vec();
        let position = self.layout.position_of_key(&key);
        let expire_at = self.keyspace_of(index).entry(entry).expire_at();
        let is_due = expire_at.is_some_and(|at| at <= self.state.now);
        let occupied = OccupiedEntry::new(self.locked_key(index, position, &key), entry);
        if is_due {
            occupied.remove_as(Some(Event::EXPIRED));
        } else {
            occupied.remove_with_members();
        }
        self.state.stats.expired += 1;
    }

    /// Deletes a key to make room.
    pub(crate) fn evict_entry(&mut self, index: usize, entry: EntryRef) {
        let key = self.keyspace_of(index).entry(entry).key().to_vec();
        let position = self.layout.position_of_key(&key);
        let occupied = OccupiedEntry::new(self.locked_key(index, position, &key), entry);
        occupied.remove_as(Some(Event::EVICTED));
    }

    /// Deletes up to `max` members of a collection whose time has come; see
    /// [`LockedKey::expire_members`](crate::locked::LockedKey::expire_members).
    #[cold]
    fn expire_members(&mut self, index: usize, entry: EntryRef, max: usize) -> ExpiredMembers {
        let key = self.keyspace_of(index).entry(entry).key().to_vec();
        let position = self.layout.position_of_key(&key);
        self.locked_key(index, position, &key)
            .expire_members(entry, max)
    }

    /// Deletes all members of a key's value that are due. Returns the key's entry, if it is still
    /// there.
    #[cold]
    pub(super) fn without_due_members(
        &mut self,
        index: usize,
        entry: EntryRef,
    ) -> Option<EntryRef> {
        if self.overdue(index, entry) == Overdue::Nothing {
            return Some(entry);
        }
        self.expire_members(index, entry, usize::MAX).entry
    }

    fn overdue(&mut self, index: usize, entry: EntryRef) -> Overdue {
        let keyspace = self.stripes.look(index).keyspace(self.keyspace);
        let there = keyspace.expect("an entry has a keyspace").entry(entry);
        self.state.overdue(&there, self.layout)
    }
}
