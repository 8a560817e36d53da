//! Setting one field of a packed hash where it lies, in its key's entry: nothing is taken out and put back.

use super::change::{fits, max_entries};
use crate::limits::Limits;
use crate::packed::{Element, Listpack, listpack};
use crate::raw::entry::Form;
use crate::slot::{Occupied, Slot};
use crate::value::{IntText, StringRef, WrongKind};

/// What a field needs to be set in its place.
enum Change {
    /// A gap of so many bytes at the end.
    Append { at: usize, bytes: usize },
    /// No gap: the value at this offset has the new one's size.
    Overwrite { at: usize },
}

impl Slot<'_> {
    /// Sets a field of the hash that is there, which then does not expire, and says whether it is new; where nothing is, a
    /// hash is made. Effect: `HSET`.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn set_field(self, name: &[u8], value: StringRef<'_>) -> Result<bool, WrongKind> {
        match self.set_near(name, value) {
            Ok(new) => Ok(new),
            Err(slot) => Ok(slot.hash_mut()?.set(name, value)),
        }
    }

    fn set_near(self, name: &[u8], value: StringRef<'_>) -> Result<bool, Self> {
        let Self::Occupied(occupied) = self else {
            return Err(self);
        };
        let (mut place, entry) = occupied.into_parts();
        let bytes = listpack::entry_size(Element::Bytes(name)) + listpack::entry_size(value);
        let pack = place.stripe.heap.near(entry, Form::HashPack, bytes);
        let change = pack.and_then(|pack| Change::of(pack, bytes, name, value, place.limits));
        let new = match change {
            None => return Err(Self::Occupied(Occupied::new(place, entry))),
            Some(Change::Append { at, bytes }) => {
                place.widen_packed(entry, at, bytes, |pack| {
                    listpack::fill(pack, at, [Element::Bytes(name), value].into_iter());
                });
                true
            }
            Some(Change::Overwrite { at }) => {
                place.widen_packed(entry, at, 0, |pack| listpack::overwrite(pack, at, value));
                false
            }
        };
        place.state_all(
            b"HSET",
            [name, value.text(&mut IntText::default())].into_iter(),
        );
        place.told(1);
        Ok(new)
    }
}

impl Change {
    fn of(
        pack: &[u8],
        bytes: usize,
        name: &[u8],
        value: StringRef<'_>,
        limits: &Limits,
    ) -> Option<Self> {
        if !fits(limits, pack, name, value) {
            return None;
        }
        let (list, end) = (Listpack::new(pack), pack.len() - 1);
        let Some(found) = list.find(name, 1) else {
            let room = list.len() / 2 < max_entries(limits);
            return room.then_some(Self::Append { at: end, bytes });
        };
        let at = list.next(found)?;
        let behind = list.next(at).unwrap_or(end);
        (behind - at == listpack::entry_size(value)).then_some(Self::Overwrite { at })
    }
}
