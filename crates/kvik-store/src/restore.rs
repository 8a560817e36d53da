//! RESTORE: a value that comes whole takes the place of whatever its key holds.

use crate::UnixMs;
use crate::clock::Usage;
use crate::keyspace::Moved;
use crate::raw::arena::EntryRef;
use crate::raw::cells::Text;
use crate::raw::heap::Content;
use crate::slot::{Place, Slot};
use crate::value::{IntText, NewString};

/// What a restored value comes with.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// When the key expires, if it does.
    pub expire_at: Option<UnixMs>,
    /// How the key was used.
    pub usage: Usage,
    /// What RESTORE was given, to be told as the effect.
    pub payload: &'a [u8],
}

impl Slot<'_> {
    /// Stores a string whatever was there. Effect: `RESTORE`.
    pub fn restore_string(self, string: NewString<'_>, terms: &Terms<'_>) {
        let (mut place, old) = match self {
            Self::Occupied(occupied) => {
                let (place, entry) = occupied.into_parts();
                (place, Some(entry))
            }
            Self::Vacant(vacant) => (vacant.into_place(), None),
        };
        place.clear(old);
        place.put(Content::Text(Text::from(string)), terms);
        place.told(1);
        place.state_restored(terms);
    }
}

impl Place<'_> {
    /// Removes the entry of the key, also one that is hidden, without an effect of its own.
    pub(crate) fn clear(&mut self, entry: Option<EntryRef>) {
        match entry {
            Some(entry) => {
                let (layout, position) = (self.layout, self.position);
                self.keyspace().remove(layout, position, entry);
            }
            None => self.drop_hidden(),
        }
    }

    fn put(&mut self, content: Content<'_>, terms: &Terms<'_>) {
        let clock = self.state.access.start_with(terms.usage, self.state.now);
        if let Some(at) = terms.expire_at {
            self.stripe.lower_due(at);
        }
        let new = Moved {
            content,
            expire_at: terms.expire_at,
            clock,
        };
        let (layout, position, key) = (self.layout, self.position, self.key);
        self.keyspace().insert(layout, position, key, new);
    }

    /// States a restored value as the effect that it is.
    pub(crate) fn state_restored(&mut self, terms: &Terms<'_>) {
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
