//! RESTORE: a value that comes whole takes the place of whatever its key holds.
//!
//! A collection is filled with its type's own methods, beside what the key holds, and then
//! restored. Packed bytes are taken over as they are once they have been checked.

use crate::UnixMs;
use crate::clock::Usage;
use crate::entry::Entry;
use crate::event::Event;
use crate::heap::Content;
use crate::keyspace::Payload;
use crate::kind::Kind;
use crate::locked::LockedKey;
use crate::packed::{Element, Listpack};
use crate::raw::entry_ref::EntryRef;
use crate::text::Text;
use crate::text::{IntText, NewString, canonical_int};

/// The expiry, use and payload that come with a restored value.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// When the key expires, if it does.
    pub expire_at: Option<UnixMs>,
    /// How the key was used.
    pub usage: Usage,
    /// The payload that RESTORE was given, which is its effect.
    pub payload: &'a [u8],
}

impl Entry<'_> {
    /// Stores a string whatever was there. Effect: `RESTORE`.
    pub fn restore_string(self, string: NewString<'_>, terms: &Terms<'_>) {
        self.restore_content(Content::Text(Text::from(string)), terms);
    }

    /// Stores a value that is ready for the stripe whatever was there. Effect: `RESTORE`.
    pub(crate) fn restore_content(self, content: Content<'_>, terms: &Terms<'_>) {
        let (mut locked, old) = match self {
            Self::Occupied(occupied) => {
                let (locked, entry) = occupied.into_parts();
                (locked, Some(entry))
            }
            Self::Vacant(vacant) => (vacant.into_locked(), None),
        };
        let replaced = old.map(|old| locked.entry(old).kind());
        locked.clear(old);
        let kind = locked.put(content, terms);
        locked.mark_changed(1);
        locked.emit_restore(terms);
        locked.note_restored(replaced, kind);
    }
}

impl LockedKey<'_> {
    /// Removes the entry of the key, also one that is hidden, without an effect of its own. What
    /// takes its place is blessed as it was.
    pub(crate) fn clear(&mut self, entry: Option<EntryRef>) {
        match entry {
            Some(entry) => {
                let (position, key) = (self.position, self.key);
                let mut keyspace = self.keyspace();
                let is_blessed = keyspace.read().is_blessed(position, entry);
                keyspace.remove(position, entry);
                if is_blessed {
                    keyspace.bless(position, key, true);
                }
            }
            None => self.drop_hidden(),
        }
    }

    fn put(&mut self, content: Content<'_>, terms: &Terms<'_>) -> Kind {
        let clock = self.state.access.start_with(terms.usage, self.state.now);
        let new = Payload {
            content,
            expire_at: terms.expire_at,
            clock,
            is_blessed: false,
        };
        // The stripe has to wake for a key, or a member, that came with its expiry.
        if let Some(at) = new.earliest_deadline(&self.stripe.heap) {
            self.stripe.lower_due(at);
        }
        let (position, key) = (self.position, self.key);
        let entry = self.keyspace().insert(position, key, new);
        self.entry(entry).kind()
    }

    /// Notes that a value of one kind was restored, where one of another kind may have been.
    #[inline]
    pub(crate) fn note_restored(&mut self, old: Option<Kind>, new: Kind) {
        if !self.state.wanted.any() {
            return;
        }
        let (keyspace, key) = (self.keyspace, self.key);
        self.state.note(keyspace, key, Event::NEW);
        self.state.note(keyspace, key, Event::RESTORE);
        if let Some(old) = old {
            self.state.note_replaced(keyspace, key, old, new);
        }
    }

    /// States a restored value as the effect that it is.
    pub(crate) fn emit_restore(&mut self, terms: &Terms<'_>) {
        if self.effects.wanted() {
            let mut at = IntText::default();
            let at = at.unsigned(terms.expire_at.unwrap_or(0));
            let words = [
                b"RESTORE",
                self.key,
                at,
                terms.payload,
                b"REPLACE",
                b"ABSTTL",
            ];
            self.effects.emit(self.keyspace, &words);
        }
    }
}

/// Packed bytes from elsewhere that are not what they should be, or have a name twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The names in a packed collection that has `width` elements for each, the name first.
///
/// # Errors
/// If the bytes are no such collection.
pub(crate) fn checked(bytes: &[u8], width: usize) -> Result<Listpack<'_>, Malformed> {
    let pack = Listpack::validate(bytes).ok_or(Malformed)?;
    let mut names: Vec<_> = pack.iter().step_by(width).map(canonical).collect();
    names.sort_unstable();
    let distinct = names.windows(2).all(|pair| pair[0] != pair[1]);
    let whole = pack.len().is_multiple_of(width);
    (distinct && whole).then_some(pack).ok_or(Malformed)
}

/// The same for two elements that have the same text.
fn canonical(element: Element<'_>) -> (Option<i64>, &[u8]) {
    match element {
        Element::Int(n) => (Some(n), b""),
        Element::Bytes(text) => match canonical_int(text) {
            Some(n) => (Some(n), b""),
            None => (None, text),
        },
    }
}
