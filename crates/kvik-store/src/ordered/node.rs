//! The nodes of the tree, and how they are split, joined and kept from becoming sparse.
//!
//! A change walks down the steps of a place and mends on the way back: every inner node brings the
//! count and the last item of the child in question up to date. Each adds to and takes from `bytes`
//! what its vectors allocate and free.
//!
//! A node has a quarter of what it could have, or more. Exceptions are the root, inner nodes at an
//! end of the tree, where full ones are split unevenly, and the first and the last leaf. What
//! becomes sparse is joined with a neighbour if both together leave a quarter free, and else takes
//! from it until they are even; so it takes many changes until the next time.

use std::ops::Range;

use super::room;

/// Bytes of a leaf, and of all vectors of an inner node, at most.
const LEAF_BYTES: usize = 2048;
const INNER_BYTES: usize = 3072;

/// A subtree. Neither a leaf nor an inner node is empty, but for the root of an empty tree.
pub(super) enum TreeNode<T> {
    Leaf(Vec<T>),
    Inner(Box<Inner<T>>),
}

/// The children of an inner node, and for each how many items it holds and which is the last.
/// Vectors of their own keep together what a search reads.
pub(super) struct Inner<T> {
    pub(super) lasts: Vec<T>,
    pub(super) counts: Vec<usize>,
    pub(super) children: Vec<TreeNode<T>>,
}

/// Where a node that is full is split: at an end of the tree, so that the other part stays full.
#[derive(Clone, Copy)]
pub(super) enum SplitPoint {
    Front,
    Middle,
    Back,
}

impl SplitPoint {
    /// How many of `len` stay to the left, which are `front` if the tree grows at its front.
    fn of(self, len: usize, front: usize) -> usize {
        match self {
            Self::Front => front,
            Self::Middle => len / 2,
            Self::Back => len,
        }
    }
}

impl<T: Copy> TreeNode<T> {
    /// Most items of a leaf.
    const LEAF: usize = limit(LEAF_BYTES / size_of::<T>(), 128);

    /// A tree of full nodes, built from the leaves upwards.
    pub(super) fn from_sorted(items: impl Iterator<Item = T>, bytes: &mut usize) -> Self {
        let mut counted = |node: Self| {
            *bytes += node.bytes();
            node
        };
        let leaves = room::groups(items, Self::LEAF).map(Self::Leaf);
        let mut nodes: Vec<Self> = leaves.map(&mut counted).collect();
        // Level by level: the nodes of one become the children of the next.
        while nodes.len() > 1 {
            let parents = room::groups(nodes.into_iter(), Inner::<T>::FANOUT).map(Self::parent_of);
            nodes = parents.map(&mut counted).collect();
        }
        nodes.pop().unwrap_or(Self::Leaf(Vec::new()))
    }

    /// A node over these.
    pub(super) fn parent_of(children: Vec<Self>) -> Self {
        Self::Inner(Box::new(Inner {
            lasts: children.iter().map(Self::last).collect(),
            counts: children.iter().map(Self::count).collect(),
            children,
        }))
    }

    /// The last item. There must be one.
    pub(super) fn last(&self) -> T {
        let items = match self {
            Self::Leaf(items) => items,
            Self::Inner(inner) => &inner.lasts,
        };
        *items.last().expect("only an empty tree has an empty node")
    }

    /// Bytes of this node, not of those below.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Leaf(items) => room::bytes(items),
            Self::Inner(inner) => size_of::<Inner<T>>() + inner.bytes(),
        }
    }

    /// Takes the child out of an inner node that has only one.
    pub(super) fn take_only_child(&mut self) -> Option<Self> {
        match self {
            Self::Inner(inner) if inner.width() == 1 => Some(std::mem::replace(
                &mut inner.children[0],
                Self::Leaf(Vec::new()),
            )),
            _ => None,
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Inner(inner) => inner.counts.iter().sum(),
        }
    }

    /// Items of a leaf or children of an inner node, and how many there may be.
    pub(super) fn width(&self) -> (usize, usize) {
        match self {
            Self::Leaf(items) => (items.len(), Self::LEAF),
            Self::Inner(inner) => (inner.width(), Inner::<T>::FANOUT),
        }
    }

    fn is_sparse(&self) -> bool {
        let (width, most) = self.width();
        width < most / 4
    }

    /// Whether a node that holds what both hold has a quarter free.
    fn may_join(&self, right: &Self) -> bool {
        let (width, most) = self.width();
        width + right.width().0 <= most * 3 / 4
    }

    /// Inserts an item; returns what has to become this node's right neighbour.
    pub(super) fn insert(
        &mut self,
        steps: &[u8],
        at: usize,
        item: T,
        cut: SplitPoint,
        bytes: &mut usize,
    ) -> Option<Self> {
        // Its vectors may be given other memory: the node is counted again when it is done.
        *bytes -= self.bytes();
        let split = match (&mut *self, steps) {
            (Self::Leaf(items), _) => insert_item(items, at, item, cut).map(Self::Leaf),
            (Self::Inner(inner), [step, steps @ ..]) => inner
                .insert(usize::from(*step), steps, at, item, cut, bytes)
                .map(|right| Self::Inner(Box::new(right))),
            (Self::Inner(_), []) => unreachable!("the steps of a place lead to a leaf"),
        };
        *bytes += self.bytes() + split.as_ref().map_or(0, Self::bytes);
        split
    }

    /// How many more items a leaf may have.
    pub(super) fn room_in(leaf: &[T]) -> usize {
        Self::LEAF - leaf.len()
    }

    /// Adds items to the last leaf, which has room for them.
    pub(super) fn extend(&mut self, steps: &[u8], run: &[T], bytes: &mut usize) {
        *bytes -= self.bytes();
        match (&mut *self, steps) {
            (Self::Leaf(items), _) => room::extend(items, run),
            (Self::Inner(inner), [step, steps @ ..]) => {
                let child = usize::from(*step);
                inner.children[child].extend(steps, run, bytes);
                inner.update(child);
            }
            (Self::Inner(_), []) => unreachable!("the steps of a place lead to a leaf"),
        }
        *bytes += self.bytes();
    }

    /// Removes items of a leaf; `at_end` if it is the first or the last, and may become sparse.
    pub(super) fn remove(
        &mut self,
        steps: &[u8],
        range: Range<usize>,
        at_end: bool,
        bytes: &mut usize,
    ) {
        *bytes -= self.bytes();
        match (&mut *self, steps) {
            (Self::Leaf(items), _) => {
                items.drain(range);
                room::trim(items);
            }
            (Self::Inner(inner), [step, steps @ ..]) => {
                inner.remove(usize::from(*step), steps, range, at_end, bytes);
            }
            (Self::Inner(_), []) => unreachable!("the steps of a place lead to a leaf"),
        }
        *bytes += self.bytes();
    }

    /// Exchanges an item.
    pub(super) fn replace(&mut self, steps: &[u8], at: usize, item: T) {
        match (self, steps) {
            (Self::Leaf(items), _) => items[at] = item,
            (Self::Inner(inner), [step, steps @ ..]) => {
                let child = usize::from(*step);
                inner.children[child].replace(steps, at, item);
                inner.lasts[child] = inner.children[child].last();
            }
            (Self::Inner(_), []) => unreachable!("the steps of a place lead to a leaf"),
        }
    }

    fn append(&mut self, right: Self) {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(right)) => room::append(left, right),
            (Self::Inner(left), Self::Inner(right)) => left.append(*right),
            _ => unreachable!("all leaves are at one height"),
        }
    }

    fn level(&mut self, right: &mut Self) {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(right)) => room::level(left, right),
            (Self::Inner(left), Self::Inner(right)) => left.level(right),
            _ => unreachable!("all leaves are at one height"),
        }
    }
}

/// Looking for a child.
impl<T: Copy> Inner<T> {
    /// Most children.
    pub(super) const FANOUT: usize = limit(
        INNER_BYTES / (size_of::<T>() + size_of::<usize>() + size_of::<TreeNode<T>>()),
        64,
    );

    /// How many children there are.
    pub(super) fn width(&self) -> usize {
        self.children.len()
    }

    /// The child with the first item for which `before` does not hold, or the last child.
    pub(super) fn child_of(&self, before: &mut impl FnMut(&T) -> bool) -> usize {
        let bounds = &self.lasts[..self.width() - 1];
        bounds.partition_point(before)
    }

    /// The child with the item of a rank, and the item's rank in it.
    pub(super) fn child_at(&self, mut rank: usize) -> (usize, usize) {
        let mut child = 0;
        while rank >= self.counts[child] {
            rank -= self.counts[child];
            child += 1;
        }
        (child, rank)
    }

    /// How many items the children before this one hold.
    pub(super) fn count_before(&self, child: usize) -> usize {
        self.counts[..child].iter().sum()
    }
}

/// Changes.
impl<T: Copy> Inner<T> {
    fn bytes(&self) -> usize {
        room::bytes(&self.lasts) + room::bytes(&self.counts) + room::bytes(&self.children)
    }

    fn insert(
        &mut self,
        child: usize,
        steps: &[u8],
        at: usize,
        item: T,
        cut: SplitPoint,
        bytes: &mut usize,
    ) -> Option<Self> {
        let Some(new) = self.children[child].insert(steps, at, item, cut, bytes) else {
            self.counts[child] += 1;
            self.lasts[child] = self.children[child].last();
            return None;
        };
        self.update(child);
        self.adopt(child + 1, new, cut)
    }

    /// Takes a child in, and splits if there are too many.
    fn adopt(&mut self, at: usize, child: TreeNode<T>, cut: SplitPoint) -> Option<Self> {
        // A full node is split before the child comes in, so that its vectors never exceed their
        // limit.
        let full = self.width() == Self::FANOUT;
        let mut split = full.then(|| self.split_off(cut.of(Self::FANOUT, 1)));
        match &mut split {
            Some(right) if at >= self.width() => right.insert_entry(at - self.width(), child),
            _ => self.insert_entry(at, child),
        }
        split
    }

    fn remove(
        &mut self,
        child: usize,
        steps: &[u8],
        range: Range<usize>,
        at_end: bool,
        bytes: &mut usize,
    ) {
        self.counts[child] -= range.len();
        self.children[child].remove(steps, range, at_end, bytes);
        if self.counts[child] == 0 {
            *bytes -= self.remove_entry(child).bytes();
            self.trim();
            return;
        }
        self.lasts[child] = self.children[child].last();
        // Only a leaf at an end: what is taken from there goes on being taken, or comes back.
        let may_be_sparse = at_end && steps.is_empty();
        if self.children[child].is_sparse() && !may_be_sparse && self.width() > 1 {
            // The last child has no right neighbour and is mended as one.
            self.mend(child.min(self.width() - 2), bytes);
        }
    }

    /// Joins a child and its right neighbour, or makes them even.
    fn mend(&mut self, left: usize, bytes: &mut usize) {
        let [first, second] = &mut self.children[left..left + 2] else {
            unreachable!("two are two");
        };
        *bytes -= first.bytes() + second.bytes();
        if first.may_join(second) {
            let right = self.remove_entry(left + 1);
            self.children[left].append(right);
            self.trim();
        } else {
            first.level(second);
            *bytes += second.bytes();
            self.update(left + 1);
        }
        self.update(left);
        *bytes += self.children[left].bytes();
    }

    /// Learns anew what a child holds.
    fn update(&mut self, child: usize) {
        self.counts[child] = self.children[child].count();
        self.lasts[child] = self.children[child].last();
    }

    fn insert_entry(&mut self, at: usize, child: TreeNode<T>) {
        room::insert(&mut self.lasts, at, child.last());
        room::insert(&mut self.counts, at, child.count());
        room::insert(&mut self.children, at, child);
    }

    fn remove_entry(&mut self, at: usize) -> TreeNode<T> {
        self.lasts.remove(at);
        self.counts.remove(at);
        self.children.remove(at)
    }

    fn trim(&mut self) {
        room::trim(&mut self.lasts);
        room::trim(&mut self.counts);
        room::trim(&mut self.children);
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self {
            lasts: room::split_off(&mut self.lasts, at),
            counts: room::split_off(&mut self.counts, at),
            children: room::split_off(&mut self.children, at),
        }
    }

    fn append(&mut self, right: Self) {
        room::append(&mut self.lasts, right.lasts);
        room::append(&mut self.counts, right.counts);
        room::append(&mut self.children, right.children);
    }

    fn level(&mut self, right: &mut Self) {
        room::level(&mut self.lasts, &mut right.lasts);
        room::level(&mut self.counts, &mut right.counts);
        room::level(&mut self.children, &mut right.children);
    }
}

/// Inserts an item into a leaf, and splits it if there are too many.
fn insert_item<T: Copy>(items: &mut Vec<T>, at: usize, item: T, cut: SplitPoint) -> Option<Vec<T>> {
    let full = items.len() == TreeNode::<T>::LEAF;
    let mut split = full.then(|| room::split_off(items, cut.of(TreeNode::<T>::LEAF, 0)));
    match &mut split {
        // What is left of a leaf that was split at its front is nothing, and the item belongs
        // there.
        Some(right) if at >= items.len() && !items.is_empty() => {
            room::insert(right, at - items.len(), item);
        }
        _ => room::insert(items, at, item),
    }
    split
}

/// As many as there is room for, but not too many, and enough to split.
const fn limit(fit: usize, most: usize) -> usize {
    if fit > most {
        most
    } else if fit < 8 {
        8
    } else {
        fit
    }
}
