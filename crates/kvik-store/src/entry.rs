//! A key's place in the store while its stripe is locked: what is there, and the only ways to change it.
//!
//! Each method that changes something also states the effect and tells those who watch the key; nothing else in the
//! crate's public API can change a single key.

use crate::UnixMs;
use crate::clock::AccessPolicy;
use crate::effect::EffectSink;
use crate::guard::{GuardState, Mode};
use crate::keyspace::{KeyspaceId, KeyspaceMut, Payload};
use crate::layout::Layout;
use crate::limits::Limits;
use crate::raw::arena::EntryRef;
use crate::raw::cells::Text;
use crate::raw::heap::{Content, HeapEntry};
use crate::stripe::Stripe;
use crate::value::{
    Encoding, Expiry, IntText, Kind, NewString, StringTooLong, TextRef, ValueRef, WrongKind,
};

/// A key and its value as a reader sees them.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    entry: HeapEntry<'a>,
    layout: &'a Layout,
    now: UnixMs,
    hidden_until: UnixMs,
    access: AccessPolicy,
}

/// A key's place: taken or free.
#[derive(Debug)]
pub enum Entry<'g> {
    /// The key exists.
    Occupied(OccupiedEntry<'g>),
    /// The key does not exist.
    Vacant(VacantEntry<'g>),
}

/// The place of a key that exists.
#[derive(Debug)]
pub struct OccupiedEntry<'g> {
    locked: LockedKey<'g>,
    entry: EntryRef,
}

/// The place of a key that does not exist.
#[derive(Debug)]
pub struct VacantEntry<'g> {
    locked: LockedKey<'g>,
}

/// Where a key belongs, and whom a change of it has to tell.
pub(crate) struct LockedKey<'g> {
    pub(crate) stripe: &'g mut Stripe,
    pub(crate) layout: &'g Layout,
    pub(crate) limits: &'g Limits,
    pub(crate) effects: &'g mut dyn EffectSink,
    pub(crate) state: &'g mut GuardState,
    pub(crate) keyspace: KeyspaceId,
    /// See [`Layout::position_of`].
    pub(crate) position: u64,
    pub(crate) key: &'g [u8],
}

impl<'a> View<'a> {
    pub(crate) fn new(entry: HeapEntry<'a>, layout: &'a Layout, state: &GuardState) -> Self {
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

impl<'g> Entry<'g> {
    /// The place of the key if it exists.
    pub fn occupied(self) -> Option<OccupiedEntry<'g>> {
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

impl<'g> OccupiedEntry<'g> {
    pub(crate) fn new(locked: LockedKey<'g>, entry: EntryRef) -> Self {
        Self { locked, entry }
    }

    pub(crate) fn into_parts(self) -> (LockedKey<'g>, EntryRef) {
        (self.locked, self.entry)
    }

    /// What is there.
    #[inline]
    pub fn view(&self) -> View<'_> {
        let entry = self.locked.entry(self.entry);
        View::new(entry, self.locked.layout, self.locked.state)
    }

    /// Replaces the value by a string. Effect: `SET`.
    pub fn set(&mut self, string: NewString<'_>, expiry: Expiry) {
        let old = self.view().expire_at();
        let new = expiry.applied_to(old);
        let text = Text::from(string);
        let state = &self.locked.state;
        let is_new = state.access == AccessPolicy::Recency;
        let clock = is_new.then(|| state.access.start(state.now));
        let heap = &mut self.locked.stripe.heap;
        if new != old || !heap.cells.overwrite(self.entry, &text, clock) {
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
    }

    /// Keeps the string as one that was changed in place, which OBJECT ENCODING calls raw. No effect,
    /// and no change to anybody. The caller has made sure that the value is a string.
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
        let position = self.locked.position;
        let mut keyspace = self.locked.keyspace();
        let (entry, len) = keyspace.write_range(position, self.entry, offset, bytes);
        self.entry = entry;
        self.locked.finish_set_range(offset, bytes);
        Ok(len)
    }

    /// Sets or clears the expiry. Effect: `PEXPIREAT`, also when the time is the same as before, or `PERSIST`; none
    /// when there is nothing to clear.
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
    }

    /// Deletes the key. Effect: `DEL`.
    pub fn remove(mut self) -> VacantEntry<'g> {
        let (position, layout) = (self.locked.position, self.locked.layout);
        let mut keyspace = self.locked.keyspace();
        keyspace.remove(layout, position, self.entry);
        self.locked.finish(&[b"DEL", self.locked.key]);
        VacantEntry {
            locked: self.locked,
        }
    }
}

impl<'g> VacantEntry<'g> {
    pub(crate) fn new(locked: LockedKey<'g>) -> Self {
        Self { locked }
    }

    pub(crate) fn into_locked(self) -> LockedKey<'g> {
        self.locked
    }

    /// Creates the key with a string. Effect: `SET`.
    pub fn set(mut self, string: NewString<'_>, expire_at: Option<UnixMs>) {
        self.locked.create(Text::from(string), expire_at);
        self.locked
            .finish_set(string, expire_at.map_or(Expiry::Clear, Expiry::At));
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

impl LockedKey<'_> {
    pub(crate) fn keyspace(&mut self) -> KeyspaceMut<'_> {
        self.stripe.keyspace_mut(self.keyspace)
    }

    #[inline]
    fn entry(&self, entry: EntryRef) -> HeapEntry<'_> {
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
        let new = Payload {
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
    fn finish_set(&mut self, string: NewString<'_>, expiry: Expiry) {
        if self.effects.wanted() {
            self.emit_set(string, expiry);
        }
        self.mark_changed(1);
    }

    fn emit_set(&mut self, string: NewString<'_>, expiry: Expiry) {
        let mut digits = IntText::default();
        self.effects.begin(self.keyspace);
        self.effects.word(b"SET");
        self.effects.word(self.key);
        match string {
            NewString::Bytes(bytes) | NewString::Unpacked(bytes) => self.effects.word(bytes),
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

    fn finish_set_range(&mut self, offset: usize, bytes: &[u8]) {
        self.finish(&[
            b"SETRANGE",
            self.key,
            IntText::default().unsigned(offset as u64),
            bytes,
        ]);
    }

    /// States a change of the key: what the command `verb` would be given behind it.
    pub(crate) fn emit_words<'w>(&mut self, verb: &[u8], words: impl Iterator<Item = &'w [u8]>) {
        if self.effects.wanted() {
            self.effects.begin(self.keyspace);
            self.effects.word(verb);
            self.effects.word(self.key);
            words.for_each(|word| self.effects.word(word));
            self.effects.end();
        }
    }

    /// Ends every change of a key by a single effect.
    pub(crate) fn finish(&mut self, effect: &[&[u8]]) {
        if self.effects.wanted() {
            self.emit(effect);
        }
        self.mark_changed(1);
    }

    fn emit(&mut self, effect: &[&[u8]]) {
        self.effects.emit(self.keyspace, effect);
    }

    /// Ends every change of a key: counts it and marks those who watch.
    #[inline]
    pub(crate) fn mark_changed(&mut self, changes: u64) {
        self.count_changes(changes);
        self.stripe.watches.mark_changed(self.keyspace, self.key);
    }

    /// Ends a change that is none to those who watch the key: only counts it.
    #[inline]
    pub(crate) fn count_changes(&mut self, changes: u64) {
        self.state.stats.changes += changes;
        self.state.garbage.extend(self.stripe.take_garbage());
    }
}

impl std::fmt::Debug for LockedKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LockedKey")
            .field("keyspace", &self.keyspace)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
