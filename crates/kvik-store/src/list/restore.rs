//! Lists that come whole: see [`crate::restore`].

use std::iter;

use super::ListEnd;
use super::change::ListMut;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::packed::Listpack;
use crate::restore::{Malformed, Terms};
use crate::text::IntText;

impl<'g> Entry<'g> {
    /// Begins a list beside what the key holds, which is discarded unless it is
    /// [restored](ListMut::restore).
    pub fn build_list(self) -> ListMut<'g> {
        ListMut(Edit::build(self))
    }
}

impl ListMut<'_> {
    /// Appends the elements of a listpack.
    ///
    /// # Errors
    /// If the bytes are none.
    pub fn append_pack(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut room = IntText::default();
        for element in Listpack::validate(bytes).ok_or(Malformed)? {
            self.push(ListEnd::Right, iter::once(element.text(&mut room)));
        }
        Ok(())
    }

    /// Puts the list in place of what the key holds, if it has elements. Effect: `RESTORE`.
    pub fn restore(self, terms: &Terms<'_>) {
        self.0.restore(terms);
    }
}
