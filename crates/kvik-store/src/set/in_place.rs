//! Adding and deleting members of a packed set where it lies. Each method returns nothing, and has
//! changed nothing, if the set has to be taken out for that.

use super::change::{Addition, SetMut, max_ints};
use crate::cells::ValueForm;
use crate::in_place::InPlace;
use crate::limits::Limits;
use crate::packed::{IntSet, Listpack, Packed, intset, listpack};
use crate::text::canonical_int;

impl SetMut<'_> {
    /// Adds a member and says whether it is new.
    pub(super) fn add_in_place(&mut self, member: &[u8]) -> Option<bool> {
        let limits = self.0.limits();
        let mut in_place = self.0.in_place()?;
        let added = match in_place.form() {
            ValueForm::IntSet => add_int(&mut in_place, limits, canonical_int(member)?),
            _ => add_packed(&mut in_place, limits, member),
        }?;
        if added {
            self.0.emit(b"SADD", &[member]);
        }
        Some(added)
    }

    /// Deletes a member and says whether it was there.
    pub(super) fn remove_in_place(&mut self, member: &[u8]) -> Option<bool> {
        let mut in_place = self.0.in_place()?;
        let removed = match in_place.form() {
            ValueForm::IntSet => remove_int(&mut in_place, member),
            _ => in_place.remove(member, 0),
        }?;
        if removed {
            self.0.emit(b"SREM", &[member]);
        }
        Some(removed)
    }
}

fn add_int(in_place: &mut InPlace<'_, '_>, limits: &Limits, member: i64) -> Option<bool> {
    let ints = IntSet::new(in_place.bytes());
    let Err(position) = ints.place(member)? else {
        return Some(false);
    };
    let bytes = ints.as_bytes().len() + ints.width();
    if ints.len() >= max_ints(limits) || !in_place.holds(bytes) {
        return None;
    }
    intset::insert(in_place, position, member);
    Some(true)
}

fn add_packed(in_place: &mut InPlace<'_, '_>, limits: &Limits, member: &[u8]) -> Option<bool> {
    let pack = Listpack::new(in_place.bytes());
    let entry = match Addition::of(pack, member, limits) {
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

fn remove_int(in_place: &mut InPlace<'_, '_>, member: &[u8]) -> Option<bool> {
    let several = IntSet::new(in_place.bytes()).len() > 1;
    let Some(n) = canonical_int(member) else {
        return Some(false);
    };
    // With its last member the key goes away.
    several.then(|| intset::remove(in_place, n))
}
