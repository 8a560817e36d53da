//! A key whose stripe is locked, as everything that changes it sees it.
//!
//! A change of a key has two halves. The entry changes through the key's
//! [`KeyspaceMut`](LockedKey::keyspace). Then the change is ended: it is emitted as an effect if
//! somebody wants effects, counted, and the watchers of the key are marked ([`LockedKey::finish`],
//! or one of the methods that end in it). No change leaves out its end.

use kvik_rope::Rope;

use crate::UnixMs;
use crate::effect::EffectSink;
use crate::event::Event;
use crate::heap::{Content, HeapEntry};
use crate::keyspace::{KeyspaceMut, Payload};
use crate::kind::Kind;
use crate::layout::{KeyspaceId, Layout};
use crate::limits::Limits;
use crate::namespace::TableId;
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::Position;
use crate::state::{GuardState, Mode};
use crate::stripe::Stripe;
use crate::text::{IntText, NewString, Text};

/// The effect of a write on the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Leave it as it is.
    Keep,
    /// The key no longer expires.
    Clear,
    /// The key expires at this time.
    At(UnixMs),
}

/// A key whose stripe is locked: where it belongs, and who is told of its changes.
pub(crate) struct LockedKey<'g> {
    pub(crate) stripe: &'g mut Stripe,
    pub(crate) layout: &'g Layout,
    pub(crate) limits: &'g Limits,
    pub(crate) effects: &'g mut dyn EffectSink,
    pub(crate) state: &'g mut GuardState,
    /// The key's database.
    pub(crate) keyspace: KeyspaceId,
    /// Where the key is in its stripe; see [`Layout::canonical`] for `key`.
    pub(crate) table: TableId,
    /// See [`Layout::position_of`].
    pub(crate) position: Position,
    pub(crate) key: &'g [u8],
}

impl LockedKey<'_> {
    #[inline]
    pub(crate) fn keyspace(&mut self) -> KeyspaceMut<'_> {
        if self.table == TableId::NONE {
            let (layout, database) = (self.layout, self.keyspace);
            self.table = self.stripe.reach_table(layout, database, self.key);
        }
        self.stripe.keyspace_mut(self.table, self.layout)
    }

    #[inline]
    pub(crate) fn entry(&self, entry: EntryRef) -> HeapEntry<'_> {
        self.stripe
            .keyspace(self.table)
            .expect("an entry has a keyspace")
            .entry(entry)
    }

    /// Makes an entry of a key that has none, or only one that is hidden.
    pub(crate) fn create(&mut self, text: Text<'_>, expire_at: Option<UnixMs>) {
        self.drop_hidden();
        let clock = self.state.access.start(self.state.now);
        if let Some(at) = expire_at {
            self.stripe.lower_due(at);
        }
        let (position, key) = (self.position, self.key);
        let new = Payload {
            content: Content::Text(text),
            expire_at,
            clock,
            is_blessed: false,
        };
        self.keyspace().insert(position, key, new);
        self.note_made(Kind::String);
    }

    /// While writes are paused an expired key stays, hidden; what is created in its place replaces
    /// it.
    pub(crate) fn drop_hidden(&mut self) {
        if self.state.mode == Mode::Paused {
            let (position, key) = (self.position, self.key);
            let mut keyspace = self.keyspace();
            if let Some(hidden) = keyspace.find(position, key) {
                keyspace.remove(position, hidden);
            }
        }
    }

    /// Sets or clears the expiry and says where the entry is then.
    pub(crate) fn write_expiry(&mut self, entry: EntryRef, expire_at: Option<UnixMs>) -> EntryRef {
        if let Some(at) = expire_at {
            self.stripe.lower_due(at);
        }
        let position = self.position;
        let entry = self.keyspace().set_expiry(position, entry, expire_at);
        self.tell_namespace();
        entry
    }

    /// Ends a change that has set a string.
    #[inline]
    pub(crate) fn finish_set(&mut self, string: NewString<'_>, expiry: Expiry) {
        if self.effects.wanted() {
            self.emit_set(string, expiry);
        }
        self.mark_changed(1);
        self.note(Event::SET_STRING);
    }

    /// Emits that the key holds a string: `SET` with what becomes of the expiry.
    pub(crate) fn emit_set(&mut self, string: NewString<'_>, expiry: Expiry) {
        let (mut digits, mut deadline) = (IntText::default(), IntText::default());
        let bytes = match string {
            NewString::Bytes(bytes) | NewString::Unpacked(bytes) => bytes,
            NewString::Int(n) => digits.format(n),
            NewString::Rope(rope) => return self.emit_set_rope(rope, expiry),
        };
        match expiry {
            Expiry::Clear => self.emit(&[b"SET", self.key, bytes]),
            Expiry::Keep => self.emit(&[b"SET", self.key, bytes, b"KEEPTTL"]),
            Expiry::At(ms) => {
                let deadline = deadline.unsigned(ms);
                self.emit(&[b"SET", self.key, bytes, b"PXAT", deadline]);
            }
        }
    }

    fn emit_set_rope(&mut self, rope: &Rope, expiry: Expiry) {
        self.effects.begin(self.keyspace);
        self.effects.words(&[b"SET", self.key]);
        self.effects.rope(rope);
        match expiry {
            Expiry::Clear => {}
            Expiry::Keep => self.effects.word(b"KEEPTTL"),
            Expiry::At(ms) => {
                let mut deadline = IntText::default();
                self.effects.words(&[b"PXAT", deadline.unsigned(ms)]);
            }
        }
        self.effects.end();
    }

    /// Ends a change that has overwritten part of a string.
    pub(crate) fn finish_set_range(&mut self, offset: usize, bytes: &[u8]) {
        self.finish(&[
            b"SETRANGE",
            self.key,
            IntText::default().unsigned(offset as u64),
            bytes,
        ]);
        self.note(Event::SET_RANGE);
    }

    /// Ends a change that is a single effect. Its event is for the caller to note.
    pub(crate) fn finish(&mut self, effect: &[&[u8]]) {
        if self.effects.wanted() {
            self.emit(effect);
        }
        self.mark_changed(1);
    }

    /// Notes an event of the key, by the command's own name for it if there is one.
    #[inline]
    pub(crate) fn note(&mut self, event: &'static Event) {
        if self.state.wanted.any() {
            let event = self.state.event.unwrap_or(event);
            self.state.note(self.keyspace, self.key, event);
        }
    }

    /// Notes an event of the key by this name, whatever the command is called.
    #[inline]
    pub(crate) fn note_as(&mut self, event: &'static Event) {
        if self.state.wanted.any() {
            self.state.note(self.keyspace, self.key, event);
        }
    }

    /// Notes that the key has been made, with a value of this kind.
    #[inline]
    pub(crate) fn note_made(&mut self, kind: Kind) {
        if self.state.wanted.any() {
            self.state.note_made(self.keyspace, self.key, kind);
        }
    }

    #[inline]
    fn emit(&mut self, effect: &[&[u8]]) {
        self.effects.emit(self.keyspace, effect);
    }

    /// Ends every change of a key: counts it and marks its watchers.
    #[inline]
    pub(crate) fn mark_changed(&mut self, changes: u64) {
        self.count_changes(changes);
        self.stripe.interests.mark_changed(self.keyspace, self.key);
        if self.state.wanted.any() {
            self.state.note_changed(self.keyspace, self.key);
        }
    }

    /// Ends a change that watchers are not told of: only counts it.
    #[inline]
    pub(crate) fn count_changes(&mut self, changes: u64) {
        self.state.stats.changes += changes;
        self.tell_namespace();
        self.state.leave(self.stripe.take_garbage());
    }
}

impl LockedKey<'_> {
    /// Brings the totals of the key's namespace up to date.
    #[inline]
    fn tell_namespace(&mut self) {
        if self.layout.namespaces().is_some() {
            self.stripe.tell_namespace(self.table, self.layout);
        }
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
