//! Fills new collections with what a payload holds.

use kvik_rdb::{Corrupt, IntText, ListPart, ListParts, Set, Text};
use kvik_store::{ListEnd, ListMut, Malformed, NewString, SetMut};

/// The payload is not what it seemed to be.
pub(super) struct Damaged;

impl From<Corrupt> for Damaged {
    fn from(_: Corrupt) -> Self {
        Self
    }
}

impl From<Malformed> for Damaged {
    fn from(_: Malformed) -> Self {
        Self
    }
}

/// An error unless something is so.
fn ensure(condition: bool) -> Result<(), Damaged> {
    condition.then_some(()).ok_or(Damaged)
}

/// A string of a payload as one to store. `room` is for its text, if it is an integer's.
pub(super) fn string<'t>(text: &'t Text<'_>, room: &'t mut IntText) -> NewString<'t> {
    match text {
        Text::Int(n) => NewString::Int(*n),
        text => NewString::Bytes(text.bytes(room)),
    }
}

pub(super) fn list(made: &mut ListMut<'_>, parts: ListParts<'_, '_>) -> Result<(), Damaged> {
    for part in parts {
        match part? {
            ListPart::Element(element) => append(made, &element),
            ListPart::Listpack(bytes) => made.append_pack(&bytes)?,
            ListPart::Ziplist(ziplist) => ziplist.iter().for_each(|element| append(made, &element)),
        }
    }
    ensure(!made.is_empty())
}

fn append(made: &mut ListMut<'_>, element: &Text<'_>) {
    let mut room = IntText::default();
    made.push(ListEnd::Right, std::iter::once(element.bytes(&mut room)));
}

pub(super) fn set(made: &mut SetMut<'_>, set: Set<'_, '_>) -> Result<(), Damaged> {
    match set {
        Set::Members(members) => {
            let count = members.size_hint().0;
            for (at, member) in members.enumerate() {
                let member = member?;
                let mut room = IntText::default();
                let name = member.name.bytes(&mut room);
                if at == 0 {
                    made.expect(name, count);
                }
                ensure(made.add(name))?;
                if member.expire_at.is_some() {
                    made.set_expiry(name, member.expire_at);
                }
            }
        }
        Set::Intset(bytes) => made.adopt_ints(bytes)?,
        Set::Listpack(bytes) => made.adopt(bytes)?,
    }
    ensure(!made.view().is_empty())
}
