//! An array to read.

use super::body::ArrayBody;
use super::range::ArrayRange;
use super::slice::{SPAN, Slice};
use crate::packed::Element;

/// An array as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub struct ArrayRef<'a> {
    pub(super) body: &'a ArrayBody,
}

impl<'a> ArrayRef<'a> {
    /// Indexes that a slice has at most.
    pub const SLICE_SPAN: u64 = SPAN;

    /// The number of elements.
    pub fn count(&self) -> u64 {
        self.body.count()
    }

    /// The largest index there is, and one more; 0 without elements.
    pub fn len(&self) -> u64 {
        self.body.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The index that was inserted last, if one was.
    pub fn cursor(&self) -> Option<u64> {
        self.body.cursor
    }

    /// The element with an index.
    pub fn get(&self, index: u64) -> Option<Element<'a>> {
        self.body.get(index)
    }

    /// The elements from one index to another, both of them included, in that order: from the last
    /// on if the first is larger.
    pub fn range(&self, from: u64, to: u64) -> ArrayRange<'a> {
        self.body.range(from.min(to), from.max(to), from > to)
    }

    /// How many elements each of the slices has, in their order.
    pub fn slices(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.body.slices.iter().map(Slice::count)
    }

    /// The number of slices.
    pub fn slice_count(&self) -> usize {
        self.body.slices.len()
    }
}
