//! The preparation of RENAME and COPY of large collections, made in slices before the command; see
//! [`crate::shadow`].

use super::Guard;
use crate::heap::Content;
use crate::raw::entry_ref::EntryRef;
use crate::source::Source;
use crate::state::Overdue;

impl Guard<'_> {
    /// Makes a slice of the copy that [`Self::rename`] takes if the names are of different stripes,
    /// and says whether there is more to make. Without it the copy is made at once, which takes
    /// long for a large collection; with it, a caller who can give the stripes back in between
    /// makes it in parts. Nothing is seen of it, and what nobody goes on with is dropped
    /// ([`Stripe::drop_copies`](crate::Stripe::drop_copies)).
    pub fn prepare_rename(&mut self, key: &[u8], to: &[u8]) -> bool {
        let (from, to) = (self.index_of(key), self.index_of(to));
        from != to && self.prepare(key, to)
    }

    /// The same of the copy that [`Self::copy`] takes.
    pub fn prepare_copy(&mut self, key: &[u8], to: &[u8]) -> bool {
        let to = self.index_of(to);
        self.prepare(key, to)
    }

    /// Makes a slice of a copy for the stripe `to` and says whether there is more to make.
    fn prepare(&mut self, key: &[u8], to: usize) -> bool {
        let Some((index, entry, source)) = self.source_at(key) else {
            return false;
        };
        let (layout, now) = (self.layout, self.state.now);
        if !self.is_begun(index, source, to) {
            let heap = &mut self.stripes.stripe(index).heap;
            let shadow = heap.begin_copy(entry, source, to, now);
            self.stripes.stripe(to).heap.add_shadow(shadow);
        }
        let heap = &mut self.stripes.stripe(index).heap;
        let (batch, is_ready) = heap.collect_slice(entry, source, to, layout, now);
        let heap = &mut self.stripes.stripe(to).heap;
        heap.feed_shadow(source, &batch, layout, now);
        !is_ready
    }

    /// A key's entry with its stripe, and what its value is called while copies are made of it: if
    /// it is so large that they are made in slices.
    fn source_at(&mut self, key: &[u8]) -> Option<(usize, EntryRef, Source)> {
        let place = self.locate(key.into());
        let stripe = self.stripes.stripe(place.index);
        let keyspace = stripe.keyspace(place.table)?;
        let entry = keyspace.find(place.position, place.key)?;
        if self.state.overdue(&keyspace.entry(entry), self.layout) == Overdue::Everything {
            return None;
        }
        let source = stripe.heap.name_source(entry)?;
        Some((place.index, entry, source))
    }

    /// Whether both halves of a copy are there, and it is worth going on.
    fn is_begun(&mut self, index: usize, source: Source, to: usize) -> bool {
        let journals = &self.stripes.stripe(index).heap.journals;
        let journal = journals.get(source, to);
        journal.is_some_and(|journal| !journal.is_overflown())
            && self.stripes.stripe(to).heap.has_shadow(source)
    }

    /// The copy of an entry's value that was made for the stripe `to`, if it is whole, with all
    /// that has changed since.
    pub(super) fn take_prepared(
        &mut self,
        index: usize,
        entry: EntryRef,
        to: usize,
    ) -> Option<Content<'static>> {
        let source = self.stripes.stripe(index).heap.source(entry)?;
        if !self.stripes.stripe(to).heap.has_shadow(source) {
            return None;
        }
        let (layout, now) = (self.layout, self.state.now);
        let heap = &mut self.stripes.stripe(index).heap;
        let rest = heap.end_copy(entry, source, to, layout)?;
        let heap = &mut self.stripes.stripe(to).heap;
        heap.feed_shadow(source, &rest, layout, now);
        heap.take_shadow(source)
    }
}
