//! Setting and deleting one field of a packed hash where it lies.

use super::change::{Change, fits, max_entries};
use crate::near::Near;
use crate::packed::{Listpack, Packed};
use crate::raw::entry::Form;
use crate::slot::Slot;
use crate::value::{IntText, StringRef, WrongKind};

impl Slot<'_> {
    /// Sets a field of the hash that is there, which then does not expire, and says whether it is new; where nothing is, a
    /// hash is made. Effect: `HSET`.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn set_field(self, name: &[u8], value: StringRef<'_>) -> Result<bool, WrongKind> {
        match self.change_near(|near, form| set(near, form, name, value)) {
            Ok(new) => Ok(new),
            Err(slot) => Ok(slot.hash_mut()?.set(name, value)),
        }
    }

    /// Deletes a field of the hash that is there, and says whether it was. Effect: `HDEL`.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn remove_field(self, name: &[u8]) -> Result<bool, WrongKind> {
        match self.change_near(|near, form| match form {
            Form::HashPack => near.remove(name, 1, b"HDEL"),
            _ => None,
        }) {
            Ok(removed) => Ok(removed),
            Err(slot) => Ok(slot.hash_mut()?.remove(name)),
        }
    }
}

fn set(near: &mut Near<'_>, form: Form, name: &[u8], value: StringRef<'_>) -> Option<bool> {
    if form != Form::HashPack {
        return None;
    }
    let (limits, pack) = (near.limits(), Listpack::new(near.bytes()));
    let change = Change::of(pack, name, value);
    let has_room = !change.is_new() || pack.len() / 2 < max_entries(limits);
    let bytes = change.bytes_then(pack);
    if !has_room || !fits(limits, pack, name, value) || !near.holds(bytes) {
        return None;
    }
    let new = change.is_new();
    change.make(near);
    let mut text = IntText::default();
    near.state(b"HSET", [name, value.text(&mut text)].into_iter(), 1);
    Some(new)
}
