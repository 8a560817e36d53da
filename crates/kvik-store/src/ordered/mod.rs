//! An order-statistic B+tree: items in an order, found by comparison or by rank.
//!
//! ```text
//! RankTree -> Inner { lasts, counts, children } -> Inner -> leaf: [item, item, ...]
//! ```
//! The order is not that of the items: it may depend on bytes that lie elsewhere and that an item
//! only refers to. So whatever compares takes a closure that says where what is sought lies
//! relative to an item, as `sought.cmp(item)` would: `Greater` if it comes after it. Nothing else
//! compares: once a place is found, the tree is changed by position.
//!
//! An inner node knows of each child how many items are below it, which makes ranks, and the last
//! of them, which is what a search compares with. These copies are exact at all times: the tree
//! never asks about an item that has been removed or replaced, whose bytes may be gone.
//!
//! A leaf has up to 2 KiB, 128 items at most, and its memory follows its size in steps of a quarter
//! or less ([`room`]). That keeps small trees small, and splitting in halves cheap: items of 12
//! bytes inserted at random take 14 bytes, although leaves are two thirds full. At either end of
//! the tree a full node is not halved: what is inserted in order fills every node. An item wants an
//! alignment of 4 where 8 would pad it: a score is better two `u32` than an `f64`.
//!
//! Costs: O(log n) comparisons to find, and O(log n) nodes touched to change; a step of an iterator
//! is O(1), for it looks for its place once in a leaf. It recurses no deeper than the tree is high.
//! An operation that removes many items takes a limit.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use node::{Inner, SplitPoint, TreeNode};

use crate::raw::touched::touch;

mod iter;
mod node;
mod room;

pub(crate) use iter::RankIter;

/// Items in an order that its user defines.
///
/// It cannot be cloned, because a copy has other capacities: [`RankTree::from_sorted`] makes one.
pub(crate) struct RankTree<T> {
    root: TreeNode<T>,
    len: usize,
    bytes: usize,
}

/// No memory holds a tree of this height: an inner node that is not at an end has at least two
/// children, and sixteen if items take 12 bytes.
const MAX_HEIGHT: usize = 32;

/// A position in a leaf and the way to it.
struct LeafPath {
    steps: [u8; MAX_HEIGHT],
    height: usize,
    /// Whether the leaf is the first of the tree, or the last.
    first: bool,
    last: bool,
    leaf_len: usize,
    at: usize,
}

impl LeafPath {
    fn step(&mut self, child: usize, children: usize) {
        self.steps[self.height] = u8::try_from(child).expect("an inner node has few children");
        self.height += 1;
        self.first &= child == 0;
        self.last &= child + 1 == children;
    }

    fn steps(&self) -> &[u8] {
        &self.steps[..self.height]
    }

    /// Where full nodes are split for an item that is inserted here.
    fn cut(&self) -> SplitPoint {
        if self.last && self.at == self.leaf_len {
            SplitPoint::Back
        } else if self.first && self.at == 0 {
            SplitPoint::Front
        } else {
            SplitPoint::Middle
        }
    }
}

impl<T: Copy> RankTree<T> {
    /// A tree without items, and without memory.
    pub(crate) const fn new() -> Self {
        Self {
            root: TreeNode::Leaf(Vec::new()),
            len: 0,
            bytes: 0,
        }
    }

    /// A tree of full nodes from items that are in order and differ.
    pub(crate) fn from_sorted(items: impl IntoIterator<Item = T>) -> Self {
        let mut bytes = 0;
        let mut len = 0;
        let counted = items.into_iter().inspect(|_| len += 1);
        let root = TreeNode::from_sorted(counted, &mut bytes);
        Self { root, len, bytes }
    }

    /// How many items there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes allocated, as asked of the allocator; the tree's own fields are its owner's.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rank of the item that `cmp` calls equal, from 0; or, as an error, how many come before
    /// where it would be.
    pub(crate) fn rank_of(&self, mut cmp: impl FnMut(&T) -> Ordering) -> Result<usize, usize> {
        let mut found = false;
        let rank = self.partition_point(|item| {
            let order = cmp(item);
            found |= order.is_eq();
            order.is_gt()
        });
        if found { Ok(rank) } else { Err(rank) }
    }

    /// The number of items for which `before` holds, which must be the first ones: the rank of the
    /// first one behind a bound.
    pub(crate) fn partition_point(&self, mut before: impl FnMut(&T) -> bool) -> usize {
        let mut rank = 0;
        let (_, leaf) = self.descend(|inner| {
            let child = inner.child_of(&mut before);
            rank += inner.count_before(child);
            child
        });
        rank + leaf.partition_point(before)
    }

    /// The items of these ranks, as far as they exist, from either end.
    pub(crate) fn range(&self, ranks: Range<usize>) -> RankIter<'_, T> {
        RankIter::new(self, self.clamp(ranks))
    }

    /// All items.
    pub(crate) fn iter(&self) -> RankIter<'_, T> {
        self.range(0..self.len)
    }

    /// Inserts an item where `cmp` says, unless there is one that it calls equal; says whether it
    /// did.
    pub(crate) fn insert(&mut self, item: T, cmp: impl FnMut(&T) -> Ordering) -> bool {
        let (place, found) = self.locate(cmp);
        if found.is_some() {
            return false;
        }
        self.insert_at(&place, item);
        true
    }

    /// Adds an item that comes after all others.
    pub(crate) fn append(&mut self, item: T) {
        let (place, _) = self.end();
        self.insert_at(&place, item);
    }

    /// Adds items that are in order, differ, and come after all others: a leaf at a time.
    pub(crate) fn append_all(&mut self, items: impl IntoIterator<Item = T>) {
        let mut items = items.into_iter();
        while let Some(item) = items.next() {
            self.append(item);
            let (place, leaf) = self.end();
            let run: Vec<T> = items.by_ref().take(TreeNode::room_in(leaf)).collect();
            touch(run.len());
            if !run.is_empty() {
                self.root.extend(place.steps(), &run, &mut self.bytes);
                self.len += run.len();
            }
        }
    }

    /// Puts `item` in the place of the one that `cmp` calls equal, which is returned. It must
    /// belong there.
    pub(crate) fn replace(&mut self, item: T, cmp: impl FnMut(&T) -> Ordering) -> Option<T> {
        let (place, found) = self.locate(cmp);
        let old = found?[place.at];
        self.root.replace(place.steps(), place.at, item);
        Some(old)
    }

    /// Removes the item that `cmp` calls equal.
    pub(crate) fn remove(&mut self, cmp: impl FnMut(&T) -> Ordering) -> Option<T> {
        let (place, found) = self.locate(cmp);
        let item = found?[place.at];
        self.remove_run(&place, 1);
        Some(item)
    }

    /// Removes the items of these ranks, as far as they exist, and tells `gone` of each, in order.
    /// It takes as long as there are items: who must not take long asks for some at a time.
    pub(crate) fn remove_range(&mut self, ranks: Range<usize>, mut gone: impl FnMut(T)) {
        let ranks = self.clamp(ranks);
        let mut left = ranks.len();
        while left > 0 {
            // The rank stays the same: what follows has moved up into it.
            let (place, leaf) = self.seek(ranks.start);
            let run = &leaf[place.at..leaf.len().min(place.at + left)];
            run.iter().for_each(|&item| gone(item));
            let count = run.len();
            self.remove_run(&place, count);
            left -= count;
        }
    }

    /// Removes up to `max` items, whichever is cheapest, tells `gone` of each, and says whether
    /// there are more.
    pub(crate) fn drain(&mut self, max: usize, mut gone: impl FnMut(T)) -> bool {
        let mut left = max.min(self.len);
        while left > 0 {
            let (mut place, leaf) = self.end();
            let count = left.min(place.at);
            place.at -= count;
            leaf[place.at..].iter().for_each(|&item| gone(item));
            self.remove_run(&place, count);
            left -= count;
        }
        !self.is_empty()
    }

    fn clamp(&self, ranks: Range<usize>) -> Range<usize> {
        let end = ranks.end.min(self.len);
        ranks.start.min(end)..end
    }
}

/// Finding places.
impl<T: Copy> RankTree<T> {
    /// Walks down to a leaf through the children that `choose` names. The place is the leaf's
    /// beginning.
    fn descend(&self, mut choose: impl FnMut(&Inner<T>) -> usize) -> (LeafPath, &[T]) {
        let mut place = LeafPath {
            steps: [0; MAX_HEIGHT],
            height: 0,
            first: true,
            last: true,
            leaf_len: 0,
            at: 0,
        };
        let mut node = &self.root;
        loop {
            match node {
                TreeNode::Leaf(items) => {
                    place.leaf_len = items.len();
                    return (place, items);
                }
                TreeNode::Inner(inner) => {
                    let child = choose(inner);
                    place.step(child, inner.width());
                    node = &inner.children[child];
                }
            }
        }
    }

    /// Where the item is that `cmp` calls equal, and its leaf; or where it would be, and nothing.
    fn locate(&self, mut cmp: impl FnMut(&T) -> Ordering) -> (LeafPath, Option<&[T]>) {
        // A search that ends at an item has compared with it, so an equal one has been seen.
        let mut found = false;
        let mut before = |item: &T| {
            let order = cmp(item);
            found |= order.is_eq();
            order.is_gt()
        };
        let (mut place, leaf) = self.descend(|inner| inner.child_of(&mut before));
        place.at = leaf.partition_point(before);
        (place, found.then_some(leaf))
    }

    /// Where the item of a rank is, which must exist, and its leaf.
    fn seek(&self, mut rank: usize) -> (LeafPath, &[T]) {
        let (mut place, leaf) = self.descend(|inner| {
            let (child, rest) = inner.child_at(rank);
            rank = rest;
            child
        });
        place.at = rank;
        (place, leaf)
    }

    /// The place behind the last item, and its leaf.
    fn end(&self) -> (LeafPath, &[T]) {
        let (mut place, leaf) = self.descend(|inner| inner.width() - 1);
        place.at = place.leaf_len;
        (place, leaf)
    }
}

/// Changes at places.
impl<T: Copy> RankTree<T> {
    fn insert_at(&mut self, place: &LeafPath, item: T) {
        touch(1);
        let split = self
            .root
            .insert(place.steps(), place.at, item, place.cut(), &mut self.bytes);
        self.len += 1;
        if let Some(right) = split {
            // The tree grows at its root, so that all leaves stay at one height.
            let left = std::mem::replace(&mut self.root, TreeNode::Leaf(Vec::new()));
            self.root = TreeNode::parent_of(vec![left, right]);
            self.bytes += self.root.bytes();
        }
    }

    /// Removes `count` items of one leaf. A leaf at an end of the tree may become as small as it
    /// likes: whoever takes items from there will take the others too, or fill it again.
    fn remove_run(&mut self, place: &LeafPath, count: usize) {
        touch(count);
        let at_end = place.first || place.last;
        let range = place.at..place.at + count;
        self.root
            .remove(place.steps(), range, at_end, &mut self.bytes);
        self.len -= count;
        // And shrinks there: a root with one child adds a step to every search.
        while let Some(child) = self.root.take_only_child() {
            self.bytes -= self.root.bytes();
            self.root = child;
        }
    }
}

impl<T: Copy + fmt::Debug> fmt::Debug for RankTree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Copy> Default for RankTree<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
