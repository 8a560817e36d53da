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
        let mut place = self.into_cleared();
        place.put(Content::Text(Text::from(string)), terms);
        place.tell_restored(terms);
    }
}

impl<'g> Slot<'g> {
    /// The place without what was there, which has no effect of its own.
    fn into_cleared(self) -> Place<'g> {
        match self {
            Self::Occupied(occupied) => {
                let (mut place, entry) = occupied.into_parts();
                place.clear(entry);
                place
            }
            Self::Vacant(vacant) => {
                let mut place = vacant.into_place();
                place.drop_hidden();
                place
            }
        }
    }
}

impl Place<'_> {
    fn clear(&mut self, entry: EntryRef) {
        let (layout, position) = (self.layout, self.position);
        self.keyspace().remove(layout, position, entry);
    }

    fn put(&mut self, content: Content<'_>, terms: &Terms<'_>) {
        let clock = self.state.access.start_with(terms.usage, self.state.now);
        let new = Moved {
            content,
            expire_at: terms.expire_at,
            clock,
        };
        if let Some(at) = new.earliest_deadline() {
            self.stripe.lower_due(at);
        }
        let (layout, position, key) = (self.layout, self.position, self.key);
        self.keyspace().insert(layout, position, key, new);
    }

    fn tell_restored(&mut self, terms: &Terms<'_>) {
        let mut at = IntText::default();
        self.tell(&[
            b"RESTORE",
            self.key,
            at.unsigned(terms.expire_at.unwrap_or(0)),
            terms.payload,
            b"REPLACE",
            b"ABSTTL",
        ]);
    }
}
