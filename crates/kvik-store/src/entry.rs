//! A key's place in the store while its stripe is locked: what is there, and the only ways to change it.
//!
//! Each method that changes something also states the effect and tells those who watch the key; nothing else in the
//! crate's public API can change a single key.

use crate::UnixMs;
use crate::clock::AccessPolicy;
use crate::effect::EffectSink;
use crate::guard::{Mode, State};
use crate::keyspace::{KeyspaceId, KeyspaceMut, Moved};
use crate::layout::Layout;
use crate::limits::Limits;
use crate::raw::arena::EntryRef;
use crate::raw::cells::Text;
use crate::raw::heap::{Content, Entry};
use crate::stripe::Stripe;
use crate::value::{
    Encoding, Expiry, IntText, Kind, NewString, StringTooLong, TextRef, ValueRef, WrongKind,
};

/// A key and its value as a reader sees them.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    entry: Entry<'a>,
    layout: &'a Layout,
    now: UnixMs,
    hidden_until: UnixMs,
    access: AccessPolicy,
}

/// A key's place: taken or free.
#[derive(Debug)]
pub enum Slot<'g> {
    /// The key exists.
    Occupied(Occupied<'g>),
    /// The key does not exist.
    Vacant(Vacant<'g>),
}

/// The place of a key that exists.
#[derive(Debug)]
pub struct Occupied<'g> {
    place: Place<'g>,
    entry: EntryRef,
}

/// The place of a key that does not exist.
#[derive(Debug)]
pub struct Vacant<'g> {
    place: Place<'g>,
}

/// Where a key belongs, and whom a change of it has to tell.
pub(crate) struct Place<'g> {
    pub(crate) stripe: &'g mut Stripe,
    pub(crate) layout: &'g Layout,
    pub(crate) limits: &'g Limits,
    pub(crate) effects: &'g mut dyn EffectSink,
    pub(crate) state: &'g mut State,
    pub(crate) keyspace: KeyspaceId,
    /// See [`Layout::position_of`].
    pub(crate) position: u64,
    pub(crate) key: &'g [u8],
}

impl<'a> View<'a> {
    pub(crate) fn new(entry: Entry<'a>, layout: &'a Layout, state: &State) -> Self {
        Self {
            entry,
            layout,
            now: state.now,
            hidden_until: state.hidden_until(),
            access: state.access,
        }
    }

    /// The key.
    pub fn key(&self) -> &'a [u8] {
        self.entry.key()
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> ValueRef<'a> {
        self.entry.value(self.layout, self.hidden_until)
    }

    /// The value, if it is a string.
    ///
    /// # Errors
    /// If it is something else.
    #[inline]
    pub fn string(&self) -> Result<TextRef<'a>, WrongKind> {
        self.entry.string().ok_or(WrongKind)
    }

    /// The value's type.
    pub fn kind(&self) -> Kind {
        self.entry.kind()
    }

    /// How the value is stored.
    pub fn encoding(&self) -> Encoding {
        self.entry.encoding()
    }

    /// When the key expires, if it does.
    pub fn expire_at(&self) -> Option<UnixMs> {
        self.entry.expire_at()
    }

    /// Bytes that the key and its value account for.
    pub fn bytes(&self) -> usize {
        self.entry.bytes()
    }

    /// Seconds since the key was last used; meaningful under a recency policy.
    pub fn idle_seconds(&self) -> u64 {
        AccessPolicy::idle_seconds(self.entry.clock(), self.now)
    }

    /// Logarithmic access counter after decay; meaningful under a frequency policy.
    pub fn frequency(&self) -> u8 {
        self.access.frequency(self.entry.clock(), self.now)
    }
}

impl<'g> Slot<'g> {
    /// The place of the key if it exists.
    pub fn occupied(self) -> Option<Occupied<'g>> {
        match self {
            Self::Occupied(occupied) => Some(occupied),
            Self::Vacant(_) => None,
        }
    }

    /// What is there, if anything.
    pub fn view(&self) -> Option<View<'_>> {
        match self {
            Self::Occupied(occupied) => Some(occupied.view()),
            Self::Vacant(_) => None,
        }
    }

    /// Stores a string, whatever was there. A free place has no expiry to keep.
    pub fn set(self, string: NewString<'_>, expiry: Expiry) {
        match self {
            Self::Occupied(mut occupied) => occupied.set(string, expiry),
            Self::Vacant(vacant) => vacant.set(string, expiry.applied_to(None)),
        }
    }
}

impl<'g> Occupied<'g> {
    pub(crate) fn new(place: Place<'g>, entry: EntryRef) -> Self {
        Self { place, entry }
    }

    pub(crate) fn into_parts(self) -> (Place<'g>, EntryRef) {
        (self.place, self.entry)
    }

    /// What is there.
    #[inline]
    pub fn view(&self) -> View<'_> {
        let entry = self.place.entry(self.entry);
        View::new(entry, self.place.layout, self.place.state)
    }

    /// Replaces the value by a string. Effect: `SET`.
    pub fn set(&mut self, string: NewString<'_>, expiry: Expiry) {
        let old = self.view().expire_at();
        let new = expiry.applied_to(old);
        let text = Text::from(string);
        let state = &self.place.state;
        let is_new = state.access == AccessPolicy::Recency;
        let clock = is_new.then(|| state.access.start(state.now));
        let heap = &mut self.place.stripe.heap;
        if new != old || !heap.cells.overwrite(self.entry, &text, clock) {
            self.replace(text, clock);
        }
        if new != old {
            self.entry = self.place.write_expiry(self.entry, new);
        }
        self.place.emit_set(
            string,
            if new.is_some() && new == old {
                Expiry::Keep
            } else {
                expiry
            },
        );
    }

    fn replace(&mut self, text: Text<'_>, clock: Option<u32>) {
        let position = self.place.position;
        let mut keyspace = self.place.keyspace();
        self.entry = keyspace.set_text(position, self.entry, text);
        if let Some(clock) = clock {
            keyspace.set_clock(self.entry, clock);
        }
    }

    /// Overwrites the string from `offset` on, filling a gap with zero bytes, and returns the new length. Effect:
    /// `SETRANGE`. The caller has made sure that the value is a string and that there is something to write.
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
        let position = self.place.position;
        let mut keyspace = self.place.keyspace();
        let (entry, len) = keyspace.write_range(position, self.entry, offset, bytes);
        self.entry = entry;
        self.place.emit_set_range(offset, bytes);
        Ok(len)
    }

    /// Sets or clears the expiry. Effect: `PEXPIREAT`, also when the time is the same as before, or `PERSIST`; none
    /// when there is nothing to clear.
    pub fn set_expiry(&mut self, expire_at: Option<UnixMs>) {
        if expire_at.is_none() && self.view().expire_at().is_none() {
            return;
        }
        self.entry = self.place.write_expiry(self.entry, expire_at);
        match expire_at {
            Some(at) => self.place.tell(&[
                b"PEXPIREAT",
                self.place.key,
                IntText::default().unsigned(at),
            ]),
            None => self.place.tell(&[b"PERSIST", self.place.key]),
        }
    }

    /// Deletes the key. Effect: `DEL`.
    pub fn remove(mut self) -> Vacant<'g> {
        let (position, layout) = (self.place.position, self.place.layout);
        let mut keyspace = self.place.keyspace();
        keyspace.remove(layout, position, self.entry);
        self.place.tell(&[b"DEL", self.place.key]);
        Vacant { place: self.place }
    }
}

impl<'g> Vacant<'g> {
    pub(crate) fn new(place: Place<'g>) -> Self {
        Self { place }
    }

    pub(crate) fn into_place(self) -> Place<'g> {
        self.place
    }

    /// Creates the key with a string. Effect: `SET`.
    pub fn set(mut self, string: NewString<'_>, expire_at: Option<UnixMs>) {
        self.place.create(Text::from(string), expire_at);
        self.place
            .emit_set(string, expire_at.map_or(Expiry::Clear, Expiry::At));
    }

    /// Creates the key with a string of zero bytes and then `bytes`, and returns its length. Effect: `SETRANGE`.
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
        self.place.create(Text::padded(offset, bytes), None);
        self.place.emit_set_range(offset, bytes);
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

impl Place<'_> {
    pub(crate) fn keyspace(&mut self) -> KeyspaceMut<'_> {
        self.stripe.keyspace_mut(self.keyspace)
    }

    #[inline]
    fn entry(&self, entry: EntryRef) -> Entry<'_> {
        self.stripe
            .keyspace(self.keyspace)
            .expect("an entry has a keyspace")
            .entry(entry)
    }

    fn create(&mut self, text: Text<'_>, expire_at: Option<UnixMs>) {
        self.drop_hidden();
        let clock = self.state.access.start(self.state.now);
        if let Some(at) = expire_at {
            self.stripe.lower_due(at);
        }
        let (layout, position, key) = (self.layout, self.position, self.key);
        let new = Moved {
            content: Content::Text(text),
            expire_at,
            clock,
        };
        self.keyspace().insert(layout, position, key, new);
    }

    /// While writes are paused an expired key stays, hidden; what is created in its place replaces it.
    pub(crate) fn drop_hidden(&mut self) {
        if self.state.mode == Mode::Paused {
            let (layout, position, key) = (self.layout, self.position, self.key);
            let mut keyspace = self.keyspace();
            if let Some(hidden) = keyspace.find(position, key) {
                keyspace.remove(layout, position, hidden);
            }
        }
    }

    pub(crate) fn write_expiry(&mut self, entry: EntryRef, expire_at: Option<UnixMs>) -> EntryRef {
        if let Some(at) = expire_at {
            self.stripe.lower_due(at);
        }
        let position = self.position;
        self.keyspace().set_expiry(position, entry, expire_at)
    }

    #[inline]
    fn emit_set(&mut self, string: NewString<'_>, expiry: Expiry) {
        if self.effects.wanted() {
            self.state_set(string, expiry);
        }
        self.told(1);
    }

    fn state_set(&mut self, string: NewString<'_>, expiry: Expiry) {
        let mut digits = IntText::default();
        self.effects.begin(self.keyspace);
        self.effects.word(b"SET");
        self.effects.word(self.key);
        match string {
            NewString::Bytes(bytes) => self.effects.word(bytes),
            NewString::Int(n) => self.effects.word(digits.format(n)),
            NewString::Rope(rope) => self.effects.rope(rope),
        }
        match expiry {
            Expiry::Keep => self.effects.word(b"KEEPTTL"),
            Expiry::Clear => {}
            Expiry::At(ms) => {
                self.effects.word(b"PXAT");
                self.effects.word(digits.unsigned(ms));
            }
        }
        self.effects.end();
    }

    fn emit_set_range(&mut self, offset: usize, bytes: &[u8]) {
        self.tell(&[
            b"SETRANGE",
            self.key,
            IntText::default().unsigned(offset as u64),
            bytes,
        ]);
    }

    /// States a change of the key: what the command `verb` would be given behind it.
    pub(crate) fn state_all<'w>(&mut self, verb: &[u8], words: impl Iterator<Item = &'w [u8]>) {
        if self.effects.wanted() {
            self.effects.begin(self.keyspace);
            self.effects.word(verb);
            self.effects.word(self.key);
            words.for_each(|word| self.effects.word(word));
            self.effects.end();
        }
    }

    /// Ends every change of a key by a single effect.
    pub(crate) fn tell(&mut self, effect: &[&[u8]]) {
        if self.effects.wanted() {
            self.emit(effect);
        }
        self.told(1);
    }

    fn emit(&mut self, effect: &[&[u8]]) {
        self.effects.emit(self.keyspace, effect);
    }

    /// Ends every change of a key: counts it and marks those who watch.
    #[inline]
    pub(crate) fn told(&mut self, changes: u64) {
        self.state.stats.changes += changes;
        self.state.garbage.extend(self.stripe.take_garbage());
        self.stripe.watches.touch(self.keyspace, self.key);
    }
}

impl std::fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("keyspace", &self.keyspace)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
