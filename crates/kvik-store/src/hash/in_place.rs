//! Setting and deleting one field of a packed hash where it lies.

use super::change::{FieldWrite, fits, max_entries};
use crate::cells::ValueForm;
use crate::entry::Entry;
use crate::in_place::InPlace;
use crate::kind::WrongKind;
use crate::packed::{Listpack, Packed};
use crate::text::{IntText, StringRef};

impl Entry<'_> {
    /// Sets a field of the hash that is there, which then does not expire, and says whether it is new; where nothing is, a
    /// hash is made. Effect: `HSET`.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn set_field(self, name: &[u8], value: StringRef<'_>) -> Result<bool, WrongKind> {
        match self.edit_in_place(|in_place, form| set(in_place, form, name, value)) {
            Ok(new) => Ok(new),
            Err(entry) => Ok(entry.hash_mut()?.set(name, value)),
        }
    }

    /// Deletes a field of the hash that is there, and says whether it was. Effect: `HDEL`.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn remove_field(self, name: &[u8]) -> Result<bool, WrongKind> {
        match self.edit_in_place(|in_place, form| match form {
            ValueForm::HashPack => in_place.remove(name, 1, b"HDEL"),
            _ => None,
        }) {
            Ok(removed) => Ok(removed),
            Err(entry) => Ok(entry.hash_mut()?.remove(name)),
        }
    }
}

fn set(
    in_place: &mut InPlace<'_>,
    form: ValueForm,
    name: &[u8],
    value: StringRef<'_>,
) -> Option<bool> {
    if form != ValueForm::HashPack {
        return None;
    }
    let (limits, pack) = (in_place.limits(), Listpack::new(in_place.bytes()));
    let change = FieldWrite::of(pack, name, value);
    let has_room = !change.is_new() || pack.len() / 2 < max_entries(limits);
    let bytes = change.bytes_then(pack);
    if !has_room || !fits(limits, pack, name, value) || !in_place.holds(bytes) {
        return None;
    }
    let new = change.is_new();
    change.make(in_place);
    let mut text = IntText::default();
    in_place.emit(b"HSET", [name, value.text(&mut text)].into_iter(), 1);
    Some(new)
}
