//! Arrays that come whole: see [`crate::restore`].

use super::change::ArrayMut;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::packed::Element;
use crate::restore::{Malformed, Terms};

impl<'g> Entry<'g> {
    /// Begins an array beside what the key holds, which is discarded unless it is
    /// [restored](ArrayMut::restore).
    pub fn build_array(self) -> ArrayMut<'g> {
        ArrayMut(Edit::build(self))
    }
}

impl ArrayMut<'_> {
    /// Adds an element behind all others.
    ///
    /// # Errors
    /// If its index is not larger than theirs, or too large, or the value is.
    pub fn append(&mut self, index: u64, value: Element<'_>) -> Result<(), Malformed> {
        let is_behind = index >= self.view().len() && index < Self::END;
        if !is_behind || value.len() > Self::MAX_BYTES {
            return Err(Malformed);
        }
        self.body().put(index, value.canonical());
        Ok(())
    }

    /// Sets the index that was inserted last.
    ///
    /// # Errors
    /// If it is none that an element may have.
    pub fn set_cursor(&mut self, cursor: Option<u64>) -> Result<(), Malformed> {
        if cursor == Some(Self::END) {
            return Err(Malformed);
        }
        self.body().cursor = cursor;
        Ok(())
    }

    /// Puts the array in place of what the key holds, if it has elements. Effect: `RESTORE`.
    pub fn restore(self, terms: &Terms<'_>) {
        self.0.restore(terms);
    }
}
