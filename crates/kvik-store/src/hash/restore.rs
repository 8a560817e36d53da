//! Hashes that come whole: see [`crate::restore`].

use std::borrow::Cow;

use super::Hash;
use super::change::{HashMut, max_entries};
use crate::edit::Edit;
use crate::entry::Entry;
use crate::packed::{Element, Listpack};
use crate::restore::{Malformed, Terms, checked};
use crate::text::IntText;

impl<'g> Entry<'g> {
    /// Begins a hash beside what the key holds, which is discarded unless it is
    /// [restored](HashMut::restore).
    pub fn build_hash(self) -> HashMut<'g> {
        HashMut(Edit::build(self))
    }
}

impl HashMut<'_> {
    /// Takes over a listpack of fields and values.
    ///
    /// # Errors
    /// If the bytes are no such listpack, or a field is in it twice.
    pub fn adopt(&mut self, bytes: Cow<'_, [u8]>) -> Result<(), Malformed> {
        let pack = checked(&bytes, 2)?;
        let parts = self.0.parts();
        if pack.len() / 2 <= max_entries(parts.limits) {
            *parts.value = Hash::Pack(bytes.into_owned());
            return Ok(());
        }
        self.expect(pack.len() / 2);
        let mut elements = pack.iter();
        while let (Some(name), Some(value)) = (elements.next(), elements.next()) {
            self.set(name.text(&mut IntText::default()), value);
        }
        Ok(())
    }

    /// Takes over a listpack of fields, values and times at which they expire, 0 for those that do
    /// not.
    ///
    /// # Errors
    /// If the bytes are no such listpack, or a field is in it twice.
    pub fn adopt_expiring(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let pack = checked(bytes, 3)?;
        let times = pack.iter().skip(2).step_by(3);
        if !times.clone().all(|at| matches!(at, Element::Int(0..))) {
            return Err(Malformed);
        }
        self.set_expiring(pack);
        Ok(())
    }

    fn set_expiring(&mut self, pack: Listpack<'_>) {
        let mut elements = pack.iter();
        while let (Some(name), Some(value), Some(Element::Int(at))) =
            (elements.next(), elements.next(), elements.next())
        {
            let mut room = IntText::default();
            let name = name.text(&mut room);
            self.set(name, value);
            if at > 0 {
                self.expire([name], at.unsigned_abs(), |_| true);
            }
        }
    }

    /// Puts the hash in place of what the key holds, if it has fields. Effect: `RESTORE`.
    pub fn restore(self, terms: &Terms<'_>) {
        self.0.restore(terms);
    }
}
