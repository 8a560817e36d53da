//! The entry of a key while its stripe is locked: what is there, and the only ways to change it.
//!
//! As in a map of the standard library, an [`Entry`] is occupied or vacant. Each method that
//! changes something also emits the effect and marks the watchers of the key; nothing else in the
//! crate's public API can change a single key.

use crate::UnixMs;
use crate::event::Event;
use crate::kind::{Encoding, Kind};
use crate::locked::{Expiry, LockedKey};
use crate::raw::entry_ref::EntryRef;
use crate::text::{IntText, NewString, StringTooLong, Text};
use crate::value::ValueRef;
use crate::view::View;

/// The entry of a key, if it has one, or the right to make it.
#[derive(Debug)]
pub enum Entry<'g> {
    /// The key exists.
    Occupied(OccupiedEntry<'g>),
    /// The key does not exist.
    Vacant(VacantEntry<'g>),
}

/// The entry of a key that exists.
#[derive(Debug)]
pub struct OccupiedEntry<'g> {
    locked: LockedKey<'g>,
    entry: EntryRef,
}

/// A key that does not exist, to be made.
#[derive(Debug)]
pub struct VacantEntry<'g> {
    locked: LockedKey<'g>,
}

impl<'g> Entry<'g> {
    /// The entry, if the key exists.
    pub fn occupied(self) -> Option<OccupiedEntry<'g>> {
        match self {
            Self::Occupied(occupied) => Some(occupied),
            Self::Vacant(_) => None,
        }
    }

    /// The key and its value, if the key exists.
    pub fn view(&self) -> Option<View<'_>> {
        match self {
            Self::Occupied(occupied) => Some(occupied.view()),
            Self::Vacant(_) => None,
        }
    }

    /// Stores a string, whatever was there. A key that does not exist has no expiry to keep.
    #[inline]
    pub fn set(self, string: NewString<'_>, expiry: Expiry) {
        match self {
            Self::Occupied(mut occupied) => occupied.set(string, expiry),
            Self::Vacant(vacant) => vacant.set(string, expiry.applied_to(None)),
        }
    }
}

impl<'g> OccupiedEntry<'g> {
    pub(crate) fn new(locked: LockedKey<'g>, entry: EntryRef) -> Self {
        Self { locked, entry }
    }

    #[inline]
    pub(crate) fn into_parts(self) -> (LockedKey<'g>, EntryRef) {
        (self.locked, self.entry)
    }

    /// The key and its value.
    #[inline]
    pub fn view(&self) -> View<'_> {
        let entry = self.locked.entry(self.entry);
        View::new(entry, self.locked.layout, self.locked.state)
    }

    /// Replaces the value by a string. Effect: `SET`.
    pub fn set(&mut self, string: NewString<'_>, expiry: Expiry) {
        if self.locked.state.wanted.any() {
            self.note_overwritten();
        }
        let old = self.view().expire_at();
        let new = expiry.applied_to(old);
        let text = Text::from(string);
        let state = &self.locked.state;
        let is_new = state.access.begins_when_set();
        let clock = is_new.then(|| state.access.start(state.now));
        // Nearly always the new string takes a cell of the same size.
        let position = self.locked.position;
        let mut keyspace = self.locked.keyspace();
        if new != old || !keyspace.overwrite(position, self.entry, &text, clock) {
            self.replace(text, clock);
        }
        if new != old {
            self.entry = self.locked.write_expiry(self.entry, new);
        }
        self.locked.finish_set(
            string,
            if new.is_some() && new == old {
                Expiry::Keep
            } else {
                expiry
            },
        );
        if matches!(expiry, Expiry::At(_)) {
            self.locked.note_as(Event::EXPIRE);
        }
    }

    /// Notes that a string is about to take the place of whatever the key holds.
    #[cold]
    fn note_overwritten(&mut self) {
        let event = self.locked.state.event.unwrap_or(Event::SET_STRING);
        if event.is_replacement() {
            let (keyspace, key, old) = (self.locked.keyspace, self.locked.key, self.view().kind());
            let state = &mut self.locked.state;
            state.note_replaced(keyspace, key, old, Kind::String);
        }
    }

    /// Makes changes that no event tells of.
    pub fn unnoted<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        let wanted = std::mem::take(&mut self.locked.state.wanted);
        let result = change(self);
        self.locked.state.wanted = wanted;
        result
    }

    /// Keeps the string as one that was changed in place, which OBJECT ENCODING calls raw. No
    /// effect, and no change to anybody. The caller has made sure that the value is a string.
    pub fn make_raw(&mut self) {
        if self.view().encoding() == Encoding::Raw {
            return;
        }
        let bytes = self.view().string().map(|string| string.to_vec());
        self.keep_raw(&bytes.expect("the value is a string"));
    }

    /// Replaces the string by another form of the same value, kept raw. Effect: `SET`; those who
    /// watch the key are not told.
    pub fn recode(&mut self, bytes: &[u8]) {
        self.keep_raw(bytes);
        if self.locked.effects.wanted() {
            self.locked.emit_set(NewString::Bytes(bytes), Expiry::Keep);
        }
        self.locked.count_changes(1);
    }

    fn keep_raw(&mut self, bytes: &[u8]) {
        self.replace(Text::padded(0, bytes), None);
    }

    fn replace(&mut self, text: Text<'_>, clock: Option<u32>) {
        let position = self.locked.position;
        let mut keyspace = self.locked.keyspace();
        self.entry = keyspace.set_text(position, self.entry, text);
        if let Some(clock) = clock {
            keyspace.set_clock(self.entry, clock);
        }
    }

    /// Overwrites the string from `offset` on, filling a gap with zero bytes, and returns the new
    /// length. Effect: `SETRANGE`. The caller has made sure that the value is a string and that
    /// there is something to write.
    ///
    /// # Errors
    /// Changes nothing when the string would grow beyond `limit` bytes.
    pub fn set_range(
        &mut self,
        offset: usize,
        bytes: &[u8],
        limit: usize,
    ) -> Result<usize, StringTooLong> {
        offset
            .checked_add(bytes.len())
            .filter(|&end| end <= limit)
            .ok_or(StringTooLong)?;
        let position = self.locked.position;
        let mut keyspace = self.locked.keyspace();
        let (entry, len) = keyspace.write_range(position, self.entry, offset, bytes);
        self.entry = entry;
        self.locked.finish_set_range(offset, bytes);
        Ok(len)
    }

    /// Sets or clears the expiry. Effect: `PEXPIREAT`, also when the time is the same as before, or
    /// `PERSIST`; none when there is nothing to clear.
    pub fn set_expiry(&mut self, expire_at: Option<UnixMs>) {
        if expire_at.is_none() && self.view().expire_at().is_none() {
            return;
        }
        self.entry = self.locked.write_expiry(self.entry, expire_at);
        match expire_at {
            Some(at) => self.locked.finish(&[
                b"PEXPIREAT",
                self.locked.key,
                IntText::default().unsigned(at),
            ]),
            None => self.locked.finish(&[b"PERSIST", self.locked.key]),
        }
        let event = expire_at.map_or(Event::PERSIST, |_| Event::EXPIRE);
        self.locked.note_as(event);
    }

    /// Exempts the key from eviction, or ends that; says whether that is a change. Effect: `BLESS
    /// SET` or `BLESS CLEAR`.
    pub fn bless(&mut self, is_blessed: bool) -> bool {
        let (position, key) = (self.locked.position, self.locked.key);
        let mut keyspace = self.locked.keyspace();
        if keyspace.read().is_blessed(position, self.entry) == is_blessed {
            return false;
        }
        if keyspace.is_undoable() {
            keyspace.record_blessing(position, self.entry);
        }
        keyspace.bless(position, key, is_blessed);
        let (verb, event): (&[u8], _) = match is_blessed {
            true => (b"SET", Event::BLESS),
            false => (b"CLEAR", Event::UNBLESS),
        };
        self.locked.finish(&[b"BLESS", verb, key, b"NO-EVICT"]);
        self.locked.note_as(event);
        true
    }

    /// Deletes the key. Effect: `DEL`.
    pub fn remove(self) -> VacantEntry<'g> {
        self.remove_as(Some(Event::DEL))
    }

    /// Deletes the key because all members of its value have expired. Effect: `DEL`.
    #[cold]
    pub(crate) fn remove_with_members(mut self) {
        if self.locked.state.wanted.any() {
            self.note_expired_members();
        }
        self.remove();
    }

    #[cold]
    fn note_expired_members(&mut self) {
        let view = self.view();
        let (kind, mut names) = (view.kind(), vec![Vec::new()]);
        if let ValueRef::Hash(hash) = view.value() {
            names.clear();
            hash.for_each(|field| names.push(field.name.text(&mut IntText::default()).to_vec()));
        }
        let (keyspace, key) = (self.locked.keyspace, self.locked.key);
        for name in &names {
            self.locked.state.note_expired_member(kind, name);
        }
        self.locked.state.note_edit(keyspace, key);
    }

    /// Deletes the key, of which this event tells, if any. Effect: `DEL`.
    pub fn remove_as(mut self, event: Option<&'static Event>) -> VacantEntry<'g> {
        let position = self.locked.position;
        self.locked.keyspace().remove(position, self.entry);
        self.locked.finish(&[b"DEL", self.locked.key]);
        if let Some(event) = event {
            self.locked.note_as(event);
        }
        VacantEntry {
            locked: self.locked,
        }
    }
}

impl<'g> VacantEntry<'g> {
    pub(crate) fn new(locked: LockedKey<'g>) -> Self {
        Self { locked }
    }

    #[inline]
    pub(crate) fn into_locked(self) -> LockedKey<'g> {
        self.locked
    }

    /// Creates the key with a string. Effect: `SET`.
    pub fn set(mut self, string: NewString<'_>, expire_at: Option<UnixMs>) {
        self.locked.create(Text::from(string), expire_at);
        self.locked
            .finish_set(string, expire_at.map_or(Expiry::Clear, Expiry::At));
        if expire_at.is_some() {
            self.locked.note_as(Event::EXPIRE);
        }
    }

    /// Creates the key with a string of zero bytes and then `bytes`, and returns its length.
    /// Effect: `SETRANGE`.
    ///
    /// # Errors
    /// Changes nothing when the string would be longer than `limit` bytes.
    pub fn set_range(
        mut self,
        offset: usize,
        bytes: &[u8],
        limit: usize,
    ) -> Result<usize, StringTooLong> {
        let end = offset
            .checked_add(bytes.len())
            .filter(|&end| end <= limit)
            .ok_or(StringTooLong)?;
        self.locked.create(Text::padded(offset, bytes), None);
        self.locked.finish_set_range(offset, bytes);
        Ok(end)
    }
}

impl Expiry {
    fn applied_to(self, old: Option<UnixMs>) -> Option<UnixMs> {
        match self {
            Self::Keep => old,
            Self::Clear => None,
            Self::At(at) => Some(at),
        }
    }
}
