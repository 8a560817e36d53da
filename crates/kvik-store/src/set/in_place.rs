//! Adding and deleting one member of a packed set where it lies.

use super::change::{Addition, max_ints};
use crate::near::Near;
use crate::packed::{IntSet, Listpack, Packed, intset, listpack};
use crate::raw::entry::Form;
use crate::slot::Slot;
use crate::value::{WrongKind, canonical_int};

impl Slot<'_> {
    /// Adds a member to the set that is there and says whether it is new; where nothing is, a set is made. Effect: `SADD`.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn add_member(self, member: &[u8]) -> Result<bool, WrongKind> {
        let slot = match self.change_near(|near, form| add(near, form, member)) {
            Ok(added) => return Ok(added),
            Err(slot) => slot,
        };
        let mut set = slot.set_mut()?;
        set.expect(member, 1);
        Ok(set.add(member))
    }

    /// Deletes a member of the set that is there and says whether it was. Effect: `SREM`.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn remove_member(self, member: &[u8]) -> Result<bool, WrongKind> {
        match self.change_near(|near, form| match form {
            Form::IntSet => remove_int(near, member),
            Form::SetPack => near.remove(member, 0, b"SREM"),
            _ => None,
        }) {
            Ok(removed) => Ok(removed),
            Err(slot) => Ok(slot.set_mut()?.remove(member)),
        }
    }
}

fn add(near: &mut Near<'_>, form: Form, member: &[u8]) -> Option<bool> {
    let added = match form {
        Form::IntSet => add_int(near, canonical_int(member)?),
        Form::SetPack => add_packed(near, member),
        _ => None,
    }?;
    if added {
        near.state(b"SADD", [member].into_iter(), 1);
    }
    Some(added)
}

fn add_int(near: &mut Near<'_>, member: i64) -> Option<bool> {
    let ints = IntSet::new(near.bytes());
    let Err(position) = ints.place(member)? else {
        return Some(false);
    };
    let bytes = ints.as_bytes().len() + ints.width();
    if ints.len() >= max_ints(near.limits()) || !near.holds(bytes) {
        return None;
    }
    intset::insert(near, position, member);
    Some(true)
}

fn add_packed(near: &mut Near<'_>, member: &[u8]) -> Option<bool> {
    let pack = Listpack::new(near.bytes());
    let entry = match Addition::of(pack, member, near.limits()) {
        Addition::None => return Some(false),
        Addition::Table => return None,
        Addition::Entry(entry) => entry,
    };
    let bytes = pack.as_bytes().len();
    if !near.holds(bytes + entry.size()) {
        return None;
    }
    listpack::insert_all(near, bytes - 1, entry.size(), [entry].into_iter());
    Some(true)
}

fn remove_int(near: &mut Near<'_>, member: &[u8]) -> Option<bool> {
    let several = IntSet::new(near.bytes()).len() > 1;
    let Some(n) = canonical_int(member) else {
        return Some(false);
    };
    // With its last member the key goes away.
    let removed = several.then(|| intset::remove(near, n))?;
    if removed {
        near.state(b"SREM", [member].into_iter(), 1);
    }
    Some(removed)
}
