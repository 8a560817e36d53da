//! Looking at one key. What each way leaves behind is in the table of the [module above](super).

use std::sync::Arc;

use super::{Guard, Place};
use crate::clock::{AccessPolicy, READ};
use crate::event::Event;
use crate::kind::WrongKind;
use crate::layout::{Key, KeyspaceId};
use crate::namespace::{Namespace, name_payload};
use crate::raw::entry_ref::EntryRef;
use crate::state::{Mode, Overdue};
use crate::text::TextRef;
use crate::view::View;

impl Guard<'_> {
    /// Reads a key: an access, and a hit or a miss.
    #[inline]
    pub fn read<'k>(&mut self, key: impl Into<Key<'k>>) -> Option<View<'_>> {
        let place = self.locate(key.into());
        let Some(entry) = self.find_used(place) else {
            self.miss(place.key);
            return None;
        };
        self.state.stats.hits += 1;
        Some(self.view_of(place, entry))
    }

    /// Counts and notes a read of a key that does not exist.
    #[inline]
    fn miss(&mut self, key: &[u8]) {
        self.state.stats.misses += 1;
        if self.state.wanted.any() {
            self.state.note(self.keyspace, key, Event::MISS);
        }
    }

    /// Marks a key as used.
    pub fn touch<'k>(&mut self, key: impl Into<Key<'k>>) {
        let place = self.locate(key.into());
        self.find_used(place);
    }

    /// The string a key holds, read as by [`Self::read`].
    ///
    /// # Errors
    /// If it holds something else.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "what it returns would go through memory, in pieces"
    )]
    pub fn read_string<'k>(
        &mut self,
        key: impl Into<Key<'k>>,
    ) -> Result<Option<TextRef<'_>>, WrongKind> {
        let place = self.locate(key.into());
        let Some(entry) = self.find_used(place) else {
            self.miss(place.key);
            return Ok(None);
        };
        self.state.stats.hits += 1;
        let keyspace = self.keyspace_at(place);
        let entry = keyspace.expect("an entry has a keyspace").entry(entry);
        entry.string().map(Some).ok_or(WrongKind)
    }

    /// Looks at a key without marking it as used; a hit or a miss all the same.
    pub fn inspect<'k>(&mut self, key: impl Into<Key<'k>>) -> Option<View<'_>> {
        let place = self.locate(key.into());
        let found = self.find(place);
        match found {
            Some(_) => self.state.stats.hits += 1,
            None => self.miss(place.key),
        }
        let entry = found?;
        Some(self.view_of(place, entry))
    }

    /// Looks at a key without counting it as used.
    pub fn peek<'k>(&mut self, key: impl Into<Key<'k>>) -> Option<View<'_>> {
        let place = self.locate(key.into());
        let entry = self.find(place)?;
        Some(self.view_of(place, entry))
    }

    /// Looks at a key while others are looked at too: what [`Self::read`] or its like has met is
    /// seen as it was then. For keys whose stripes are all held.
    pub fn view<'k>(&self, key: impl Into<Key<'k>>) -> Option<View<'_>> {
        let place = self.locate_held(key.into());
        let keyspace = self.stripes.held(place.index).keyspace(place.table)?;
        let (_, entry) = keyspace.look_up(place.position, place.key)?;
        (!self.state.hides(&entry, self.layout)).then(|| View::new(entry, self.layout, &self.state))
    }

    /// Whether a key's time has come but it stays, unseen, because writes are paused.
    pub fn is_hidden<'k>(&mut self, key: impl Into<Key<'k>>) -> bool {
        let place = self.locate(key.into());
        let keyspace = self.stripes.look(place.index).keyspace(place.table);
        keyspace.is_some_and(|keyspace| {
            let found = keyspace.find(place.position, place.key);
            found.is_some_and(|entry| self.state.hides(&keyspace.entry(entry), self.layout))
        })
    }

    /// Marks a key as used and says whether it exists.
    pub fn exists<'k>(&mut self, key: impl Into<Key<'k>>) -> bool {
        self.read(key).is_some()
    }

    /// The namespace of a key, if it has keys in the key's stripe.
    pub fn namespace_of<'k>(&mut self, key: impl Into<Key<'k>>) -> Option<&Arc<Namespace>> {
        let place = self.locate(key.into());
        let keyspace = self.keyspace_at(place)?;
        keyspace.keyspace.namespace.as_ref()
    }

    /// Bytes of a key's name and of its value, as [`Namespace::payload`] counts them; not an
    /// access.
    pub fn payload_of<'k>(&mut self, key: impl Into<Key<'k>>) -> Option<(usize, usize)> {
        let place = self.locate(key.into());
        let entry = self.find(place)?;
        let there = self.keyspace_at(place)?.entry(entry);
        Some((name_payload(place.key), there.payload()))
    }

    /// Whether a key exists in some keyspace; not an access.
    pub fn exists_in<'k>(&mut self, keyspace: KeyspaceId, key: impl Into<Key<'k>>) -> bool {
        let before = self.select(keyspace);
        let exists = self.peek(key).is_some();
        self.select(before);
        exists
    }

    /// The key's entry, unless its time has come.
    #[inline]
    pub(super) fn find(&mut self, place: Place<'_>) -> Option<EntryRef> {
        let keyspace = self.stripes.look(place.index).keyspace(place.table)?;
        let entry = keyspace.find(place.position, place.key)?;
        let is_primary = self.state.mode == Mode::Primary;
        match self.state.overdue(&keyspace.entry(entry), self.layout) {
            Overdue::Nothing => Some(entry),
            Overdue::Members if is_primary => self.without_due_members(place, entry),
            Overdue::Members => Some(entry),
            Overdue::Everything => {
                if is_primary {
                    self.expire(place.index, place.table, entry);
                }
                None
            }
        }
    }

    /// The same, marked as used.
    #[inline]
    pub(super) fn find_used(&mut self, place: Place<'_>) -> Option<EntryRef> {
        let keyspace = self.stripes.look(place.index).keyspace(place.table)?;
        let entry = keyspace.find(place.position, place.key)?;
        let there = keyspace.entry(entry);
        // One bit of the entry says that nothing in it expires, which is nearly always so.
        if there.may_expire() && self.state.overdue(&there, self.layout) != Overdue::Nothing {
            return self.find_due(place);
        }
        if let Some(clock) = self.state.touch(there.clock()) {
            self.set_clock(place, entry, clock);
        }
        Some(entry)
    }

    /// [`Self::find_used`] of a key when its time, or that of its members, has come.
    #[cold]
    fn find_due(&mut self, place: Place<'_>) -> Option<EntryRef> {
        let entry = self.find(place)?;
        let clock = self.keyspace_at(place)?.entry(entry).clock();
        if let Some(clock) = self.state.touch(clock) {
            self.set_clock(place, entry, clock);
        }
        Some(entry)
    }

    #[inline]
    fn set_clock(&mut self, place: Place<'_>, entry: EntryRef, clock: u32) {
        if self.state.reads {
            self.state.stats.untouched = true;
        } else {
            let stripe = self.stripes.stripe(place.index);
            let mut keyspace = stripe.keyspace_mut(place.table, self.layout);
            keyspace.set_clock(entry, clock);
            if clock == READ && self.state.access == AccessPolicy::Read {
                stripe.note_read_key(place.table, place.position);
            }
        }
    }

    #[inline]
    fn view_of(&mut self, place: Place<'_>, entry: EntryRef) -> View<'_> {
        let keyspace = self.stripes.look(place.index).keyspace(place.table);
        let keyspace = keyspace.expect("an entry has a keyspace");
        View::new(keyspace.entry(entry), self.layout, &self.state)
    }
}
