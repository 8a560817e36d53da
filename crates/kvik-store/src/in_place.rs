//! A packed collection while it changes in the cell of its key.
//!
//! Packed bytes of up to 4 KiB lie in the entry of their key. Taking them out and putting them back
//! costs more than most changes of a few bytes, so an [`Edit`](crate::edit::Edit) lends them as
//! [`Packed`] bytes first. What does not fit into the entry, and whatever changes the
//! representation, is for the edit to take out.

use crate::cells::ValueForm;
use crate::heap::Packing;
use crate::locked::LockedKey;
use crate::packed::{Listpack, Packed, listpack};
use crate::raw::entry_ref::EntryRef;
use crate::shape::ShapedRef;

/// The packed value of an entry, lent to be changed.
pub(crate) struct InPlace<'e, 'g> {
    locked: &'e mut LockedKey<'g>,
    /// Where the entry is; it moves when its value needs a cell of another size.
    entry: &'e mut EntryRef,
    packing: Packing,
}

impl<'e, 'g> InPlace<'e, 'g> {
    /// The value of an entry that is packed like this.
    #[inline]
    pub(crate) fn new(
        locked: &'e mut LockedKey<'g>,
        entry: &'e mut EntryRef,
        packing: Packing,
    ) -> Self {
        Self {
            locked,
            entry,
            packing,
        }
    }

    /// The form of the packed value.
    #[inline]
    pub(crate) fn form(&self) -> ValueForm {
        self.packing.form
    }

    /// The value as a hash that has a shape, which it is.
    #[inline]
    pub(crate) fn shaped(&self) -> ShapedRef<'_> {
        let heap = &self.locked.stripe.heap;
        heap.cells.shapes.read(heap.packed(*self.entry))
    }

    /// Whether the value may have so many bytes in the entry.
    #[inline]
    pub(crate) fn holds(&self, bytes: usize) -> bool {
        bytes <= self.packing.max_bytes
    }

    /// Deletes what has this name from a listpack in which each name is followed by `values`
    /// others, and says whether it was there. Returns nothing, and leaves it, if it is the last
    /// one: with that the key goes away, which is for the edit.
    pub(crate) fn remove(&mut self, name: &[u8], values: usize) -> Option<bool> {
        let pack = Listpack::new(self.bytes());
        let Some(at) = pack.find(name, values) else {
            return Some(false);
        };
        if pack.len() == values + 1 {
            return None;
        }
        listpack::delete(self, at, values + 1);
        Some(true)
    }
}

impl Packed for InPlace<'_, '_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.locked.stripe.heap.packed(*self.entry)
    }

    #[inline]
    fn make_room(&mut self, at: usize, old: usize, new: usize) -> &mut [u8] {
        let position = self.locked.position;
        let keyspace = self.locked.keyspace();
        let (to, bytes) = keyspace.splice(position, *self.entry, at, old, new);
        *self.entry = to;
        bytes
    }
}
