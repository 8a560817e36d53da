//! A large list: nodes that are a listpack each, or one large element.
//!
//! Each operation looks at whole nodes until it comes to the one it is about, and changes that.
//! Nodes are full but for those at the ends; where something has been inserted between full nodes,
//! one is divided and the parts are joined with what is small beside them.

use std::ops::Range;

use super::ListEnd;
use super::bounds::Bounds;
use super::node::{Growth, QuicklistNode, Run};
use super::nodes::{NodeIndex, Nodes};
use crate::cells::Cells;
use crate::collection::Large;
use crate::memory::MemoryMut;
use crate::packed::{Element, Needle};

/// A large list: a row of nodes, each a listpack.
#[derive(Debug, Default)]
pub(crate) struct Quicklist {
    nodes: Nodes,
}

/// The outcome of deleting matches in a part of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListSweep {
    /// Elements that were looked at.
    pub looked: usize,
    /// Those of them that were deleted.
    pub deleted: usize,
}

/// A large list to read.
#[derive(Clone, Copy, Debug)]
pub struct QuicklistRef<'a>(&'a Quicklist);

/// A node of a large list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListNode<'a> {
    /// The bytes of a listpack.
    Pack(&'a [u8]),
    /// An element by itself.
    Plain(&'a [u8]),
}

/// Elements from an end of a large list on.
#[derive(Clone, Debug)]
pub(super) struct QuicklistWalk<'a> {
    nodes: &'a Nodes,
    from: ListEnd,
    at: NodeIndex,
    run: Run<'a>,
}

impl Quicklist {
    /// The same list, which shares its nodes.
    pub(super) fn share(&mut self) -> Self {
        let nodes = self.nodes.share();
        Self { nodes }
    }

    /// The list of a listpack, which may be empty.
    pub(super) fn of(pack: Vec<u8>) -> Self {
        let mut list = Self::default();
        let node = QuicklistNode::packed(pack);
        if node.len() > 0 {
            list.nodes.push(ListEnd::Right, node);
        }
        list
    }

    /// The listpack, if there is no more than one and it is small, to let it be the whole list
    /// again.
    pub(super) fn take_small(&mut self, bounds: Bounds) -> Option<Vec<u8>> {
        let only = match self.nodes.len() {
            0 => return Some(Vec::new()),
            1 => self.nodes.get(self.nodes.end(ListEnd::Left)?),
            _ => return None,
        };
        // Half of the bound, so that a list around the bound does not change its form with each
        // element.
        let small = bounds.is_met_by_half(only.bytes().len(), only.len());
        let taken = (small && !only.is_plain()).then(|| self.nodes.pop(ListEnd::Left));
        taken.flatten().map(QuicklistNode::into_bytes)
    }

    /// The element with this index.
    pub(super) fn get(&self, index: usize) -> Option<Element<'_>> {
        let (at, index) = self.nodes.seek(index)?;
        self.nodes.get(at).run_from(index).next_from(ListEnd::Left)
    }

    /// The elements from the one on that `skip` elements lie before on the way from an end.
    pub(super) fn walk(&self, from: ListEnd, skip: usize) -> Option<QuicklistWalk<'_>> {
        let nodes = &self.nodes;
        if skip >= nodes.elements() {
            return None;
        }
        let index = match from {
            ListEnd::Left => skip,
            ListEnd::Right => nodes.elements() - 1 - skip,
        };
        let (at, index) = nodes.seek(index)?;
        let node = nodes.get(at);
        let run = match from {
            ListEnd::Left => node.run_from(index),
            ListEnd::Right => node.run().skip_back(node.len() - 1 - index),
        };
        Some(QuicklistWalk {
            nodes,
            from,
            at,
            run,
        })
    }

    /// Adds an element at an end.
    pub(super) fn push(&mut self, end: ListEnd, element: &[u8], bounds: Bounds) {
        if let Some(at) = self.nodes.end(end) {
            let len = element.len();
            if !bounds.is_large(len) && self.nodes.get(at).admits(len, bounds) {
                let growth = match self.nodes.len() {
                    1 => Growth::Tight,
                    _ => Growth::Roomy(bounds),
                };
                self.nodes
                    .change(at, |node| node.push(end, element, growth));
                return;
            }
            // It will not grow any more at this end.
            if self.nodes.get(at).is_wide() {
                self.nodes.change(at, QuicklistNode::fit);
            }
        }
        self.nodes.push(end, QuicklistNode::of(element, bounds));
    }

    /// Deletes `count` elements at an end, or as many as there are. Returns the nodes that are no
    /// longer needed, as a list.
    pub(super) fn cut(&mut self, end: ListEnd, count: usize) -> Self {
        let count = count.min(self.len());
        let nodes = self.nodes.cut(end, count);
        // Whole nodes have gone; what is left of the count is in the next one.
        let rest = count - nodes.elements();
        if let Some(at) = self.nodes.end(end).filter(|_| rest > 0) {
            self.nodes.change(at, |node| node.cut(end, rest));
        }
        Self { nodes }
    }

    /// Bytes of the elements' texts.
    pub(super) fn text_bytes(&self) -> usize {
        self.nodes.text_bytes()
    }

    /// Number of nodes.
    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Puts an element in the place of the one with this index, which there is.
    pub(super) fn replace(&mut self, index: usize, element: &[u8], bounds: Bounds) {
        let found = self.nodes.seek(index);
        let (at, index) = found.expect("the caller has looked at the length");
        let node = self.nodes.get(at);
        let place = node.seek(index);
        // A large element is a node by itself, and a small one is in a listpack: the old node
        // cannot hold the new one.
        if node.is_plain() != bounds.is_large(element.len()) {
            let node = QuicklistNode::of(element, bounds);
            self.replace_by_node(at, place, node, bounds);
            return;
        }
        let is_over = self.nodes.change(at, |node| {
            node.replace(place, element);
            node.is_over(bounds)
        });
        if is_over {
            let node = QuicklistNode::of(element, bounds);
            self.replace_by_node(at, place, node, bounds);
        } else if self.is_inner(at) {
            self.nodes.change(at, QuicklistNode::fit);
        }
    }

    /// Puts a node in the place of one element of another node.
    fn replace_by_node(
        &mut self,
        at: NodeIndex,
        place: usize,
        node: QuicklistNode,
        bounds: Bounds,
    ) {
        // The element is cut out into a node of its own, which the new one replaces.
        let behind = self.nodes.get(at).behind(place);
        let (at, _) = self.divide(at, behind);
        let (_, alone) = self.divide(at, place);
        self.nodes.change(alone, |old| *old = node);
        self.join_small(alone, bounds);
    }

    /// Adds an element before the first that matches, or after it, and says whether one does.
    pub(super) fn insert(
        &mut self,
        pivot: Needle<'_>,
        after: bool,
        element: &[u8],
        bounds: Bounds,
    ) -> bool {
        let mut next = self.nodes.end(ListEnd::Left);
        while let Some(at) = next {
            let node = self.nodes.get(at);
            if let Some(found) = node.find(pivot) {
                let place = if after { node.behind(found) } else { found };
                self.insert_at(at, place, element, bounds);
                return true;
            }
            next = self.nodes.next(at, ListEnd::Left);
        }
        false
    }

    fn insert_at(&mut self, at: NodeIndex, place: usize, element: &[u8], bounds: Bounds) {
        if let Some((at, place)) = self.room_for(at, place, element.len(), bounds) {
            self.nodes.change(at, |node| node.insert(place, element));
            if self.is_inner(at) {
                self.nodes.change(at, QuicklistNode::fit);
            }
            return;
        }
        let new = QuicklistNode::of(element, bounds);
        // No node there has room: the one at hand is divided, and the element goes between the
        // parts.
        let new = if place == self.nodes.get(at).start() {
            self.nodes.insert_before(at, new)
        } else {
            let (at, _) = self.divide(at, place);
            self.nodes.insert_after(at, new)
        };
        self.join_small(new, bounds);
    }

    /// The place for an element of this length in a node that is there: the given one or, if that
    /// is at an end of its node, in the node beside it.
    fn room_for(
        &self,
        at: NodeIndex,
        place: usize,
        len: usize,
        bounds: Bounds,
    ) -> Option<(NodeIndex, usize)> {
        let admits = |at: &NodeIndex| self.nodes.get(*at).admits(len, bounds);
        let node = self.nodes.get(at);
        if bounds.is_large(len) {
            None
        } else if node.admits(len, bounds) {
            Some((at, place))
        } else if place == node.end() {
            let next = self.nodes.next(at, ListEnd::Left).filter(admits)?;
            Some((next, self.nodes.get(next).start()))
        } else if place == node.start() {
            let before = self.nodes.next(at, ListEnd::Right).filter(admits)?;
            Some((before, self.nodes.get(before).end()))
        } else {
            None
        }
    }

    /// Deletes up to `max` elements that match, those nearest to an end, and says how many.
    pub(super) fn delete_matches(
        &mut self,
        needle: Needle<'_>,
        nearest: ListEnd,
        max: usize,
        bounds: Bounds,
    ) -> usize {
        let mut left = max;
        let concerns = |node: &QuicklistNode| node.find(needle).is_some();
        self.nodes.sweep(nearest, bounds, concerns, |node| {
            let deleted = node.delete_matches(needle, nearest, left);
            if deleted > 0 {
                node.fit();
            }
            left -= deleted;
            left > 0
        });
        max - left
    }

    /// Deletes up to `max` elements that match, those nearest to an end, in nodes that hold the
    /// `part.len()` elements that `part.start` others are before on the way from there.
    pub(super) fn delete_matches_in(
        &mut self,
        needle: Needle<'_>,
        nearest: ListEnd,
        max: usize,
        part: Range<usize>,
        bounds: Bounds,
    ) -> ListSweep {
        let (mut sweep, mut before) = (ListSweep::default(), part.start);
        while sweep.looked < part.len() && sweep.deleted < max && before < self.len() {
            // What was joined meanwhile may have put the place into the middle of a node: what is
            // before it there matches no more.
            let index = match nearest {
                ListEnd::Left => before,
                ListEnd::Right => self.len() - 1 - before,
            };
            let found = self.nodes.seek(index);
            let (at, inner) = found.expect("it is below the number of elements");
            let node = self.nodes.get(at);
            let looked = match nearest {
                ListEnd::Left => node.len() - inner,
                ListEnd::Right => inner + 1,
            };
            let mut deleted = 0;
            if node.find(needle).is_some() {
                let left = max - sweep.deleted;
                deleted = self.nodes.change(at, |node| {
                    let deleted = node.delete_matches(needle, nearest, left);
                    node.fit();
                    deleted
                });
                self.tidy(at, bounds);
            }
            sweep.looked += looked;
            sweep.deleted += deleted;
            before += looked - deleted;
        }
        sweep
    }

    /// Removes a node that has lost its last element, or joins one that has become small with its
    /// neighbours.
    fn tidy(&mut self, at: NodeIndex, bounds: Bounds) {
        if self.nodes.get(at).len() == 0 {
            self.nodes.remove(at);
            return;
        }
        self.nodes.join_with_next(at, bounds);
        if let Some(before) = self.nodes.next(at, ListEnd::Right) {
            self.nodes.join_with_next(before, bounds);
        }
    }

    /// Adds an element before the one with this index, which there is, or behind it.
    pub(super) fn insert_beside(
        &mut self,
        index: usize,
        behind: bool,
        element: &[u8],
        bounds: Bounds,
    ) {
        let found = self.nodes.seek(index);
        let (at, index) = found.expect("the caller has found the element");
        let node = self.nodes.get(at);
        let place = node.seek(index);
        let place = if behind { node.behind(place) } else { place };
        self.insert_at(at, place, element, bounds);
    }

    /// The nodes in order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = ListNode<'_>> {
        self.nodes.iter().map(|node| match node.is_plain() {
            true => ListNode::Plain(node.bytes()),
            false => ListNode::Pack(node.bytes()),
        })
    }

    /// Divides a node at a place and says where both parts are; the same, where the place is an end
    /// of the node.
    fn divide(&mut self, at: NodeIndex, place: usize) -> (NodeIndex, NodeIndex) {
        let node = self.nodes.get(at);
        if place == node.start() || place == node.end() {
            // An empty part would be a node without elements.
            return (at, at);
        }
        let rest = self.nodes.change(at, |node| node.split_off(place));
        let rest = self.nodes.insert_after(at, rest);
        let at = self.nodes.next(rest, ListEnd::Right);
        (at.expect("what was divided is before it"), rest)
    }

    /// Joins a new node, and those beside it, with their neighbours where they are small.
    fn join_small(&mut self, new: NodeIndex, bounds: Bounds) {
        self.nodes.change(new, QuicklistNode::fit);
        // From the back, so that the places before stay good.
        if let Some(next) = self.nodes.next(new, ListEnd::Left) {
            self.nodes.join_with_next(next, bounds);
        }
        self.nodes.join_with_next(new, bounds);
        let mut place = new;
        for _ in 0..2 {
            let Some(before) = self.nodes.next(place, ListEnd::Right) else {
                return;
            };
            self.nodes.join_with_next(before, bounds);
            place = before;
        }
    }

    fn is_inner(&self, at: NodeIndex) -> bool {
        let ends = [ListEnd::Left, ListEnd::Right].map(|end| self.nodes.end(end));
        !ends.contains(&Some(at))
    }

    /// Counts everything anew and compares it with what is noted.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.nodes.check();
    }
}

impl Large for Quicklist {
    #[inline]
    fn len(&self) -> usize {
        self.nodes.elements()
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.nodes.allocated()
    }

    fn fit(&mut self) {
        self.nodes.fit();
    }

    fn free(&mut self, max: usize, _: &mut Cells) -> bool {
        self.nodes.free(max)
    }

    fn copy_to(&mut self, _: &Cells, _: &mut MemoryMut<'_>) -> Self {
        self.share()
    }
}

impl<'a> ListNode<'a> {
    /// The bytes, whatever they are.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Pack(bytes) | Self::Plain(bytes) => bytes,
        }
    }
}

impl<'a> QuicklistRef<'a> {
    pub(super) fn new(list: &'a Quicklist) -> Self {
        Self(list)
    }

    pub(super) fn list(self) -> &'a Quicklist {
        self.0
    }

    /// The nodes in order.
    pub fn nodes(self) -> impl Iterator<Item = ListNode<'a>> {
        self.0.nodes()
    }

    /// Number of nodes.
    pub fn node_count(self) -> usize {
        self.0.node_count()
    }
}

impl<'a> Iterator for QuicklistWalk<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            if let Some(element) = self.run.next_from(self.from) {
                return Some(element);
            }
            self.at = self.nodes.next(self.at, self.from)?;
            self.run = self.nodes.get(self.at).run();
        }
    }
}
