//! Sets that come whole: see [`crate::restore`].

use std::borrow::Cow;

use super::Set;
use super::change::{SetMut, limit, max_ints};
use crate::edit::Edit;
use crate::entry::Entry;
use crate::packed::{IntSet, Listpack};
use crate::restore::{Malformed, Terms, checked};
use crate::text::{IntText, StringRef};

impl<'g> Entry<'g> {
    /// Begins a set beside what the key holds, which is discarded unless it is
    /// [restored](SetMut::restore).
    pub fn build_set(self) -> SetMut<'g> {
        SetMut(Edit::build(self), 0)
    }
}

impl SetMut<'_> {
    /// Takes over an intset.
    ///
    /// # Errors
    /// If the bytes are none.
    pub fn adopt_ints(&mut self, bytes: Cow<'_, [u8]>) -> Result<(), Malformed> {
        let ints = IntSet::validate(&bytes).ok_or(Malformed)?;
        let parts = self.0.parts();
        if ints.len() <= max_ints(parts.limits) {
            *parts.value = Set::Ints(bytes.into_owned());
        } else {
            self.add_all(ints.iter().map(StringRef::Int), ints.len());
        }
        Ok(())
    }

    /// Takes over a listpack of members.
    ///
    /// # Errors
    /// If the bytes are no listpack, or a member is in it twice.
    pub fn adopt(&mut self, bytes: Cow<'_, [u8]>) -> Result<(), Malformed> {
        let pack: Listpack<'_> = checked(&bytes, 1)?;
        let parts = self.0.parts();
        if pack.len() <= limit(&parts.limits.set_entries) {
            *parts.value = Set::Pack(bytes.into_owned());
        } else {
            self.add_all(pack.iter(), pack.len());
        }
        Ok(())
    }

    fn add_all<'m>(&mut self, members: impl Iterator<Item = StringRef<'m>>, count: usize) {
        let mut room = IntText::default();
        for (at, member) in members.enumerate() {
            let member = member.text(&mut room);
            if at == 0 {
                self.expect(member, count);
            }
            self.add(member);
        }
    }

    /// Puts the set in place of what the key holds, if it has members. Effect: `RESTORE`.
    pub fn restore(self, terms: &Terms<'_>) {
        self.0.restore(terms);
    }
}
