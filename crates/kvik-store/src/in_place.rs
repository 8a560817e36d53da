//! A small collection while it changes where it lies: in its key's entry.
//!
//! Packed bytes of up to 4 KiB lie beside their key. To take them out and to put them back, as an [`Edit`] does, costs more
//! than most changes of a few bytes. [`Entry::edit_in_place`] lends them as [`Packed`] bytes instead; what does not fit there, and
//! whatever changes the representation, is left to an edit.
//!
//! [`Edit`]: crate::edit::Edit

use crate::cells::ValueForm;
use crate::entry::{Entry, OccupiedEntry};
use crate::limits::Limits;
use crate::locked::LockedKey;
use crate::packed::{Listpack, Packed, listpack};
use crate::raw::entry_ref::EntryRef;

/// See the module's description.
pub(crate) struct InPlace<'g> {
    locked: LockedKey<'g>,
    entry: EntryRef,
    /// Bytes that the value may have here.
    max_bytes: usize,
}

impl<'g> Entry<'g> {
    /// Lets `change` change the packed collection that lies in the key's entry, if such is there. It is told in which form the
    /// value is, and returns nothing, and has changed nothing, where this is not the way to do it: then the slot comes back.
    #[inline]
    pub(crate) fn edit_in_place<R>(
        self,
        change: impl FnOnce(&mut InPlace<'g>, ValueForm) -> Option<R>,
    ) -> Result<R, Self> {
        let Self::Occupied(occupied) = self else {
            return Err(self);
        };
        let (locked, entry) = occupied.into_parts();
        let Some((form, max_bytes)) = locked.stripe.heap.packing(entry) else {
            return Err(Self::Occupied(OccupiedEntry::new(locked, entry)));
        };
        let mut in_place = InPlace {
            locked,
            entry,
            max_bytes,
        };
        change(&mut in_place, form)
            .ok_or_else(|| Self::Occupied(OccupiedEntry::new(in_place.locked, in_place.entry)))
    }
}

impl<'g> InPlace<'g> {
    /// When a collection has to leave its packed form.
    pub(crate) fn limits(&self) -> &'g Limits {
        self.locked.limits
    }

    /// Whether the value may have so many bytes here.
    #[inline]
    pub(crate) fn holds(&self, bytes: usize) -> bool {
        bytes <= self.max_bytes
    }

    /// Deletes what has this name from a listpack in which each name is followed by `values` others, and says whether it was
    /// there. Left to others is the last one, with which the key goes away. Effect: `verb`.
    pub(crate) fn remove(&mut self, name: &[u8], values: usize, verb: &[u8]) -> Option<bool> {
        let pack = Listpack::new(self.bytes());
        let Some(at) = pack.find(name, values) else {
            return Some(false);
        };
        if pack.len() == values + 1 {
            return None;
        }
        listpack::delete(self, at, values + 1);
        self.emit(verb, [name].into_iter(), 1);
        Some(true)
    }

    /// States what has changed, in the words that the command `verb` would be given behind the key, and ends it: it counts as
    /// so many changes.
    #[inline]
    pub(crate) fn emit<'w>(
        &mut self,
        verb: &[u8],
        words: impl Iterator<Item = &'w [u8]>,
        changes: usize,
    ) {
        self.locked.emit_words(verb, words);
        self.locked.mark_changed(changes as u64);
    }

    /// Whether what changes is to be stated in words.
    pub(crate) fn wants_effects(&self) -> bool {
        self.locked.effects.wanted()
    }
}

impl Packed for InPlace<'_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.locked.stripe.heap.packed(self.entry)
    }

    #[inline]
    fn make_room(&mut self, at: usize, old: usize, new: usize) -> &mut [u8] {
        let position = self.locked.position;
        let keyspace = self.locked.keyspace();
        let (to, bytes) = keyspace.splice(position, self.entry, at, old, new);
        self.entry = to;
        bytes
    }
}
