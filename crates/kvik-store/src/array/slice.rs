//! A slice: the elements of a block of 64 indexes, or of a part of it.
//!
//! ```text
//! first: 128        present: ...00010011        values: listpack of 3: [128] [129] [132]
//! ```
//! The values are in the order of their indexes, so the place of one follows from how many are
//! there before it. The first slice of a block begins where the block does. A block whose values
//! are large has more slices, and each of them begins with an index from which on all belongs to
//! it, up to the next one.

use crate::packed::listpack::{self, Encoded, ListpackIter};
use crate::packed::{Element, Listpack};
use crate::sequence::Keyed;
use crate::shareable::clone_bytes;

/// Indexes of a block.
pub(super) const SPAN: u64 = 64;

/// Bytes of the values of a slice, unless it has only one: what a change may have to move.
const MAX_BYTES: usize = 4096;

/// Largest reserve for more values.
const RESERVE_MAX: usize = 1024;

/// Some elements of a block.
#[derive(Debug)]
pub(super) struct Slice {
    first: u64,
    /// A bit for each index of the block.
    present: u64,
    values: Vec<u8>,
}

/// The elements of a slice, from either end.
#[derive(Clone, Debug)]
pub(super) struct SliceIter<'a> {
    block: u64,
    left: u64,
    values: ListpackIter<'a>,
}

/// A clone has as much room as the original.
impl Clone for Slice {
    fn clone(&self) -> Self {
        Self {
            values: clone_bytes(&self.values),
            ..*self
        }
    }
}

impl Keyed for Slice {
    type Id = u64;

    fn id(&self) -> u64 {
        self.first
    }
}

/// The first index of the block that an index is in.
pub(super) fn block_of(index: u64) -> u64 {
    index - index % SPAN
}

impl Slice {
    /// One without elements, from this index on.
    pub(super) fn new(first: u64) -> Self {
        Self {
            first,
            present: 0,
            values: listpack::empty(),
        }
    }

    /// Bytes that it has allocated.
    pub(super) fn bytes(&self) -> usize {
        self.values.capacity()
    }

    pub(super) fn count(&self) -> u32 {
        self.present.count_ones()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.present == 0
    }

    fn block(&self) -> u64 {
        block_of(self.first)
    }

    /// Whether an index is of the same block. It belongs here then if no slice of that block begins
    /// between.
    pub(super) fn covers(&self, index: u64) -> bool {
        self.block() == block_of(index)
    }

    pub(super) fn has(&self, index: u64) -> bool {
        self.present & bit(index) != 0
    }

    /// The index from which on all belongs here.
    pub(super) fn first_index(&self) -> u64 {
        self.first
    }

    /// How many elements there are from one index to another.
    pub(super) fn count_between(&self, first: u64, last: u64) -> u32 {
        (self.present & self.mask(first, last)).count_ones()
    }

    /// The largest index that is there.
    pub(super) fn last_index(&self) -> u64 {
        self.block() + u64::from(63 - self.present.leading_zeros().min(63))
    }

    /// How many elements are there before an index.
    fn rank(&self, index: u64) -> usize {
        (self.present & (bit(index) - 1)).count_ones() as usize
    }

    pub(super) fn get(&self, index: u64) -> Option<Element<'_>> {
        let listpack = Listpack::new(&self.values);
        self.has(index).then(|| listpack.get(self.rank(index)))?
    }

    /// Whether a value of this size may be added, or put in the place of another.
    pub(super) fn has_room(&self, size: usize) -> bool {
        self.values.len() + size <= MAX_BYTES
    }

    /// Sets a value and says whether there was none.
    pub(super) fn put(&mut self, index: u64, value: Element<'_>) -> bool {
        let (is_new, rank) = (!self.has(index), self.rank(index));
        self.reserve(Encoded::new(value).size());
        let listpack = Listpack::new(&self.values);
        let at = listpack.seek(rank).unwrap_or_else(|| listpack.end());
        if is_new {
            listpack::insert_before(&mut self.values, at, value);
        } else {
            listpack::replace(&mut self.values, at, value);
        }
        self.present |= bit(index);
        is_new
    }

    fn reserve(&mut self, size: usize) {
        let needed = self.values.len() + size;
        if needed > self.values.capacity() {
            self.values
                .reserve_exact(size + (needed / 4).min(RESERVE_MAX));
        }
    }

    /// Deletes what is there from one index to another and says how many elements that were.
    pub(super) fn delete(&mut self, first: u64, last: u64) -> u32 {
        let gone = self.present & self.mask(first, last);
        if gone != 0 {
            let rank = self.rank(self.block() + u64::from(gone.trailing_zeros()));
            listpack::delete_range(&mut self.values, rank, gone.count_ones() as usize);
            self.present &= !gone;
            self.fit();
        }
        gone.count_ones()
    }

    /// The bits of the indexes from one to another, of which some are outside the block.
    fn mask(&self, first: u64, last: u64) -> u64 {
        let block = self.block();
        let end = block + (SPAN - 1);
        if last < block || first > end || first > last {
            return 0;
        }
        let (from, to) = (first.max(block) - block, last.min(end) - block);
        (u64::MAX >> (63 - (to - from))) << from
    }

    /// Cuts off what is there from an index on.
    pub(super) fn split_off(&mut self, index: u64) -> Self {
        let rank = self.rank(index);
        let mut upper = Self::new(index);
        let listpack = Listpack::new(&self.values);
        if let Some(at) = listpack.seek(rank) {
            listpack::append_all(&mut upper.values, listpack.iter_from(at));
            upper.values.shrink_to_fit();
            upper.present = self.present & !(bit(index) - 1);
            listpack::delete_range(&mut self.values, rank, usize::MAX);
            self.present &= bit(index) - 1;
            self.fit();
        }
        upper
    }

    /// Gives back most of what values that are gone have left.
    fn fit(&mut self) {
        let len = self.values.len();
        if self.values.capacity() / 2 > len {
            self.values.shrink_to(len + len / 4);
        }
    }

    /// Gives back all that is reserved.
    pub(super) fn seal(&mut self) {
        self.values.shrink_to_fit();
    }

    pub(super) fn iter(&self) -> SliceIter<'_> {
        SliceIter {
            block: self.block(),
            left: self.present,
            values: Listpack::new(&self.values).iter(),
        }
    }
}

fn bit(index: u64) -> u64 {
    1 << (index % SPAN)
}

impl<'a> SliceIter<'a> {
    fn take(&mut self, at: u32, value: Option<Element<'a>>) -> Option<(u64, Element<'a>)> {
        self.left &= !(1 << at);
        Some((self.block + u64::from(at), value?))
    }
}

impl<'a> Iterator for SliceIter<'a> {
    type Item = (u64, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.values.next();
        self.take(self.left.trailing_zeros().min(63), value)
    }
}

impl DoubleEndedIterator for SliceIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let value = self.values.next_back();
        self.take(63 - self.left.leading_zeros().min(63), value)
    }
}
