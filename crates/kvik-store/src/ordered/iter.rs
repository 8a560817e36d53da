//! Walking over a range of ranks, from either end.
//!
//! An iterator keeps no way through the tree: when a leaf is used up it looks for the next by its
//! rank, which is cheap for the hundred items that it then has.

use std::iter::FusedIterator;
use std::ops::Range;

use super::RankTree;
use crate::raw::touched::touch;

/// The items of a range of ranks.
pub(crate) struct RankIter<'a, T> {
    tree: &'a RankTree<T>,
    /// The ranks between the two runs at hand.
    ranks: Range<usize>,
    front: &'a [T],
    back: &'a [T],
}

impl<'a, T: Copy> RankIter<'a, T> {
    pub(super) fn new(tree: &'a RankTree<T>, ranks: Range<usize>) -> Self {
        Self {
            tree,
            ranks,
            front: &[],
            back: &[],
        }
    }

    /// Fetches the leaf of the first rank; what is at hand at the back comes after the last.
    fn load_front(&mut self) {
        if self.ranks.is_empty() {
            self.front = std::mem::take(&mut self.back);
            return;
        }
        let (place, leaf) = self.tree.seek(self.ranks.start);
        let end = leaf.len().min(place.at + self.ranks.len());
        self.front = &leaf[place.at..end];
        self.ranks.start += self.front.len();
    }

    fn load_back(&mut self) {
        if self.ranks.is_empty() {
            self.back = std::mem::take(&mut self.front);
            return;
        }
        let (place, leaf) = self.tree.seek(self.ranks.end - 1);
        let end = place.at + 1;
        self.back = &leaf[end.saturating_sub(self.ranks.len())..end];
        self.ranks.end -= self.back.len();
    }
}

impl<T: Copy> Iterator for RankIter<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        touch(1);
        if self.front.is_empty() {
            self.load_front();
        }
        let (&item, rest) = self.front.split_first()?;
        self.front = rest;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.front.len() + self.ranks.len() + self.back.len();
        (len, Some(len))
    }
}

impl<T: Copy> DoubleEndedIterator for RankIter<'_, T> {
    #[inline]
    fn next_back(&mut self) -> Option<T> {
        touch(1);
        if self.back.is_empty() {
            self.load_back();
        }
        let (&item, rest) = self.back.split_last()?;
        self.back = rest;
        Some(item)
    }
}

impl<T: Copy> ExactSizeIterator for RankIter<'_, T> {}

impl<T: Copy> FusedIterator for RankIter<'_, T> {}
