//! The elements of an array and its cursor: how they change, without a word about effects.

use super::range::ArrayRange;
use super::slice::{Slice, block_of};
use crate::packed::Element;
use crate::packed::listpack::Encoded;
use crate::sequence::{Sequence, SequencePosition};

/// The content of an array.
#[derive(Debug, Default)]
pub(super) struct ArrayBody {
    pub(super) slices: Sequence<Slice>,
    /// Bytes that slices have allocated.
    slice_bytes: usize,
    count: u64,
    /// The index that was inserted last, or was said to be.
    pub(super) cursor: Option<u64>,
}

impl ArrayBody {
    pub(super) const fn new() -> Self {
        Self {
            slices: Sequence::new(),
            slice_bytes: 0,
            count: 0,
            cursor: None,
        }
    }

    /// The remains of an array, which have only to be freed.
    pub(super) fn remains(slices: Sequence<Slice>) -> Self {
        Self {
            slice_bytes: slices.iter().map(Slice::bytes).sum(),
            count: slices.iter().map(|slice| u64::from(slice.count())).sum(),
            slices,
            cursor: None,
        }
    }

    /// The same array for a copy, which shares slices until either changes them.
    pub(super) fn share(&mut self) -> Self {
        Self {
            slices: self.slices.share(),
            ..*self
        }
    }

    /// Bytes allocated, with those of the body itself.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.slices.bytes() + self.slice_bytes
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The largest index that is there, and one more.
    pub(super) fn len(&self) -> u64 {
        self.slices.last().map_or(0, |last| last.last_index() + 1)
    }

    /// The slice that an index belongs to, if there is one.
    fn position(&self, index: u64) -> Option<SequencePosition> {
        let position = self.slices.up_to(index)?;
        let slice = self.slices.at(position);
        slice
            .is_some_and(|slice| slice.covers(index))
            .then_some(position)
    }

    pub(super) fn get(&self, index: u64) -> Option<Element<'_>> {
        self.slices.at(self.position(index)?)?.get(index)
    }

    pub(super) fn range(&self, first: u64, last: u64, is_back: bool) -> ArrayRange<'_> {
        ArrayRange::new(&self.slices, first, last, is_back)
    }

    /// Changes a slice and keeps the account.
    fn change<R>(&mut self, at: SequencePosition, change: impl FnOnce(&mut Slice) -> R) -> R {
        let slice = self.slices.at_mut(at).expect("it was found there");
        let before = slice.bytes();
        let result = change(slice);
        self.slice_bytes = self.slice_bytes + slice.bytes() - before;
        result
    }

    fn add(&mut self, slice: Slice) {
        // Only the last slice grows as a rule, so the one before gives its reserve back.
        if let Some(last) = self.slices.last_mut() {
            self.slice_bytes -= last.bytes();
            last.seal();
            self.slice_bytes += last.bytes();
        }
        self.slice_bytes += slice.bytes();
        self.slices.insert(slice);
    }

    fn remove(&mut self, at: SequencePosition) -> Option<Slice> {
        let slice = self.slices.remove_at(at)?;
        self.slice_bytes -= slice.bytes();
        Some(slice)
    }

    /// Sets an element and says whether there was none. The index is not the largest number there
    /// is, and the value is not longer than a listpack may be.
    pub(super) fn put(&mut self, index: u64, value: Element<'_>) -> bool {
        if self.position(index).is_none() {
            self.add(Slice::new(block_of(index)));
        }
        self.make_room(index, Encoded::new(value).size());
        let position = self.position(index).expect("made above");
        let is_new = self.change(position, |slice| slice.put(index, value));
        self.count += u64::from(is_new);
        is_new
    }

    /// Sets others of its slice apart from an index, if there is no room for a value of this size
    /// beside them: first those behind it, then those before.
    fn make_room(&mut self, index: u64, size: usize) {
        let has_others = |slice: &Slice| slice.count() > u32::from(slice.has(index));
        for from in [index + 1, index] {
            let Some(position) = self.position(index) else {
                return;
            };
            let slice = self.slices.at(position);
            if !slice.is_some_and(|slice| !slice.has_room(size) && has_others(slice)) {
                return;
            }
            // Behind the last index of a block there is nothing of it.
            if block_of(from) == block_of(index) {
                let upper = self.change(position, |slice| slice.split_off(from));
                // From the index itself on there may be nothing yet.
                if !upper.is_empty() || from == index {
                    self.add(upper);
                }
            }
        }
    }

    /// Deletes an element and says whether it was there.
    pub(super) fn delete(&mut self, index: u64) -> bool {
        let Some(position) = self.position(index) else {
            return false;
        };
        let slice = self.slices.at(position).expect("it was found there");
        if !slice.has(index) {
            return false;
        }
        if slice.count() == 1 {
            self.remove(position);
        } else {
            self.change(position, |slice| slice.delete(index, index));
        }
        self.count -= 1;
        true
    }

    /// Deletes all elements from one index to another, and says how many. The slices that went away
    /// whole are returned.
    pub(super) fn delete_range(&mut self, first: u64, last: u64) -> (u64, Sequence<Slice>) {
        let (before, mut gone) = (self.count, Sequence::new());
        let mut next = self.slices.up_to(first).unwrap_or(self.slices.start());
        while let Some(slice) = self.slices.at(next) {
            if slice.first_index() > last {
                break;
            }
            let (id, inside) = (slice.first_index(), slice.count_between(first, last));
            if inside == slice.count() {
                // Positions are not what they were before.
                gone.insert(self.remove(next).expect("looked at above"));
                next = self.slices.from(id);
            } else {
                // A shared slice of which nothing goes is not copied.
                if inside > 0 {
                    self.change(next, |slice| slice.delete(first, last));
                }
                next = self.slices.after(next);
            }
            self.count -= u64::from(inside);
        }
        (before - self.count, gone)
    }

    /// Frees up to about `max` slices and says whether there are more.
    pub(super) fn free(&mut self, max: usize) -> bool {
        (0..max).all(|_| self.free_slice())
    }

    fn free_slice(&mut self) -> bool {
        if self.slices.first_common().is_some() {
            // What others have need not be freed piece by piece.
            let chunk = self.slices.pop_chunk();
            let bytes = chunk.map(|chunk| chunk.iter().map(Slice::bytes).sum::<usize>());
            self.slice_bytes -= bytes.unwrap_or(0);
            return bytes.is_some();
        }
        let slice = self.slices.pop_first();
        self.slice_bytes -= slice.as_ref().map_or(0, Slice::bytes);
        slice.is_some()
    }
}

#[cfg(test)]
impl ArrayBody {
    /// Bytes as they are allocated now.
    pub(super) fn counted_bytes(&self) -> usize {
        size_of::<Self>()
            + self.slices.counted_bytes()
            + self.slices.iter().map(Slice::bytes).sum::<usize>()
    }

    /// Whether every slice has elements, all of its own block and of its own part.
    pub(super) fn is_sound(&self) -> bool {
        let ends = self.slices.iter().skip(1).map(Slice::first_index);
        let ends = ends.chain([u64::MAX]);
        let is_sound = |(slice, end): (&Slice, u64)| {
            let (first, last) = (slice.first_index(), slice.last_index());
            !slice.is_empty()
                && slice.iter().count() == slice.count() as usize
                && slice
                    .iter()
                    .all(|(index, _)| (first..=last).contains(&index))
                && last < end
        };
        self.slices.iter().zip(ends).all(is_sound)
    }
}
