//! Adding and deleting one member of a packed set where it lies.

use super::change::{Addition, max_ints};
use crate::cells::ValueForm;
use crate::entry::Entry;
use crate::in_place::InPlace;
use crate::kind::WrongKind;
use crate::packed::{IntSet, Listpack, Packed, intset, listpack};
use crate::text::canonical_int;

impl Entry<'_> {
    /// Adds a member to the set that is there and says whether it is new; where nothing is, a set is made. Effect: `SADD`.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn add_member(self, member: &[u8]) -> Result<bool, WrongKind> {
        let entry = match self.edit_in_place(|in_place, form| add(in_place, form, member)) {
            Ok(added) => return Ok(added),
            Err(entry) => entry,
        };
        let mut set = entry.set_mut()?;
        set.expect(member, 1);
        Ok(set.add(member))
    }

    /// Deletes a member of the set that is there and says whether it was. Effect: `SREM`.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn remove_member(self, member: &[u8]) -> Result<bool, WrongKind> {
        match self.edit_in_place(|in_place, form| match form {
            ValueForm::IntSet => remove_int(in_place, member),
            ValueForm::SetPack => in_place.remove(member, 0, b"SREM"),
            _ => None,
        }) {
            Ok(removed) => Ok(removed),
            Err(entry) => Ok(entry.set_mut()?.remove(member)),
        }
    }
}

fn add(in_place: &mut InPlace<'_>, form: ValueForm, member: &[u8]) -> Option<bool> {
    let added = match form {
        ValueForm::IntSet => add_int(in_place, canonical_int(member)?),
        ValueForm::SetPack => add_packed(in_place, member),
        _ => None,
    }?;
    if added {
        in_place.emit(b"SADD", [member].into_iter(), 1);
    }
    Some(added)
}

fn add_int(in_place: &mut InPlace<'_>, member: i64) -> Option<bool> {
    let ints = IntSet::new(in_place.bytes());
    let Err(position) = ints.place(member)? else {
        return Some(false);
    };
    let bytes = ints.as_bytes().len() + ints.width();
    if ints.len() >= max_ints(in_place.limits()) || !in_place.holds(bytes) {
        return None;
    }
    intset::insert(in_place, position, member);
    Some(true)
}

fn add_packed(in_place: &mut InPlace<'_>, member: &[u8]) -> Option<bool> {
    let pack = Listpack::new(in_place.bytes());
    let entry = match Addition::of(pack, member, in_place.limits()) {
        Addition::None => return Some(false),
        Addition::Table => return None,
        Addition::Entry(entry) => entry,
    };
    let bytes = pack.as_bytes().len();
    if !in_place.holds(bytes + entry.size()) {
        return None;
    }
    listpack::insert_all(in_place, bytes - 1, entry.size(), [entry].into_iter());
    Some(true)
}

fn remove_int(in_place: &mut InPlace<'_>, member: &[u8]) -> Option<bool> {
    let several = IntSet::new(in_place.bytes()).len() > 1;
    let Some(n) = canonical_int(member) else {
        return Some(false);
    };
    // With its last member the key goes away.
    let removed = several.then(|| intset::remove(in_place, n))?;
    if removed {
        in_place.emit(b"SREM", [member].into_iter(), 1);
    }
    Some(removed)
}
