//! The nodes of a large list, in order.
//!
//! They lie in groups of up to 128, which know how many elements they have. So reaching an index
//! looks at groups, then at the nodes of one group, and a node in between moves no more than those
//! of its group: a list of ten million elements has some 100 groups, and one whose every element is
//! a node of its own has 80,000. The ends are queues. Copies of a list share groups, so copying
//! takes a step for each; the first change in a group that is shared copies that group.

use std::collections::VecDeque;

use super::ListEnd;
use super::bounds::Bounds;
use super::node::QuicklistNode;
use crate::shareable::Shareable;

/// Most nodes of a group.
const GROUP: usize = 128;

/// The nodes of a list, in groups that copies of the list share.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    groups: VecDeque<Shareable<NodeGroup>>,
    /// Number of nodes.
    len: usize,
    elements: usize,
    /// Bytes of the elements' texts.
    text_bytes: usize,
    /// Bytes that groups and nodes have allocated.
    allocated: usize,
}

/// Some nodes that follow each other; never none.
#[derive(Debug, Default)]
struct NodeGroup {
    nodes: VecDeque<QuicklistNode>,
    elements: usize,
    text_bytes: usize,
    /// Bytes that the nodes have allocated.
    bytes: usize,
}

/// Where a node is, or where one would be. Good until a node before it is removed, or one is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeIndex {
    group: usize,
    node: usize,
}

impl NodeGroup {
    /// Bytes that the group takes besides its nodes' own.
    fn room(&self) -> usize {
        self.nodes.capacity() * size_of::<QuicklistNode>()
    }

    fn allocated(&self) -> usize {
        self.room() + self.bytes
    }

    fn of(nodes: VecDeque<QuicklistNode>) -> Self {
        Self {
            elements: nodes.iter().map(QuicklistNode::len).sum(),
            text_bytes: nodes.iter().map(QuicklistNode::text_bytes).sum(),
            bytes: nodes.iter().map(QuicklistNode::allocated).sum(),
            nodes,
        }
    }

    /// Drops nodes without elements, and lets small ones that follow each other become one.
    fn join_nodes(&mut self, bounds: Bounds) {
        let mut joined: VecDeque<QuicklistNode> = VecDeque::new();
        for node in self.nodes.drain(..).filter(|node| node.len() > 0) {
            match joined.back_mut() {
                Some(last) if last.admits_node(&node, bounds) => last.append(&node),
                _ => joined.push_back(node),
            }
        }
        *self = Self::of(joined);
    }
}

impl Nodes {
    /// Number of nodes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Number of elements of all nodes.
    #[inline]
    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    /// Bytes of the elements' texts.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Bytes allocated for all of it.
    pub(super) fn allocated(&self) -> usize {
        self.groups.capacity() * size_of::<Shareable<NodeGroup>>() + self.allocated
    }

    /// The node at a place.
    #[inline]
    pub(super) fn get(&self, at: NodeIndex) -> &QuicklistNode {
        &self.groups[at.group].nodes[at.node]
    }

    /// Where the node at an end is.
    #[inline]
    pub(super) fn end(&self, end: ListEnd) -> Option<NodeIndex> {
        let group = match end {
            ListEnd::Left => 0,
            ListEnd::Right => self.groups.len().checked_sub(1)?,
        };
        let node = match end {
            ListEnd::Left => 0,
            ListEnd::Right => self.groups[group].nodes.len() - 1,
        };
        (group < self.groups.len()).then_some(NodeIndex { group, node })
    }

    /// Where the next node is on the way from an end to the other.
    pub(super) fn next(&self, at: NodeIndex, from: ListEnd) -> Option<NodeIndex> {
        match from {
            ListEnd::Left => self.after(at),
            ListEnd::Right => self.before(at),
        }
    }

    fn after(&self, NodeIndex { group, node }: NodeIndex) -> Option<NodeIndex> {
        if node + 1 < self.groups[group].nodes.len() {
            return Some(NodeIndex {
                group,
                node: node + 1,
            });
        }
        let next = NodeIndex {
            group: group + 1,
            node: 0,
        };
        (next.group < self.groups.len()).then_some(next)
    }

    fn before(&self, NodeIndex { group, node }: NodeIndex) -> Option<NodeIndex> {
        if let Some(node) = node.checked_sub(1) {
            return Some(NodeIndex { group, node });
        }
        let group = group.checked_sub(1)?;
        let node = self.groups[group].nodes.len() - 1;
        Some(NodeIndex { group, node })
    }

    /// The nodes in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &QuicklistNode> {
        self.groups.iter().flat_map(|group| &group.nodes)
    }

    /// The node that has the element with this index, and the element's index in it.
    pub(super) fn seek(&self, index: usize) -> Option<(NodeIndex, usize)> {
        if index >= self.elements {
            return None;
        }
        let lens = self.groups.iter().map(|group| group.elements);
        let (group, index) = seek(lens, self.elements, index);
        let NodeGroup {
            nodes, elements, ..
        } = &*self.groups[group];
        let (node, index) = seek(nodes.iter().map(QuicklistNode::len), *elements, index);
        Some((NodeIndex { group, node }, index))
    }

    /// Changes a node.
    #[inline]
    pub(super) fn change<R>(
        &mut self,
        at: NodeIndex,
        change: impl FnOnce(&mut QuicklistNode) -> R,
    ) -> R {
        let group = self.groups[at.group].own();
        let node = &mut group.nodes[at.node];
        // A change reports nothing: what has become of the node is read off it, before and after.
        let (elements, text, allocated) = (node.len(), node.text_bytes(), node.allocated());
        let result = change(node);
        let (elements_now, text_now) = (node.len(), node.text_bytes());
        let allocated_now = node.allocated();
        group.text_bytes = group.text_bytes + text_now - text;
        self.text_bytes = self.text_bytes + text_now - text;
        group.elements = group.elements + elements_now - elements;
        group.bytes = group.bytes + allocated_now - allocated;
        self.elements = self.elements + elements_now - elements;
        self.allocated = self.allocated + allocated_now - allocated;
        result
    }

    /// Adds a node at an end.
    pub(super) fn push(&mut self, end: ListEnd, node: QuicklistNode) {
        let place = match self.end(end) {
            Some(at) if self.groups[at.group].nodes.len() < GROUP => at.group,
            _ => self.add_group(end),
        };
        self.note_added(place, &node);
        self.in_group(place, |nodes| match end {
            ListEnd::Left => nodes.push_front(node),
            ListEnd::Right => nodes.push_back(node),
        });
    }

    fn add_group(&mut self, end: ListEnd) -> usize {
        match end {
            ListEnd::Left => self.groups.push_front(Shareable::default()),
            ListEnd::Right => self.groups.push_back(Shareable::default()),
        }
        match end {
            ListEnd::Left => 0,
            ListEnd::Right => self.groups.len() - 1,
        }
    }

    /// Adds a node behind the one at `at`, and says where it is.
    pub(super) fn insert_after(&mut self, at: NodeIndex, node: QuicklistNode) -> NodeIndex {
        let at = self.with_room(NodeIndex {
            node: at.node + 1,
            ..at
        });
        self.insert(at, node)
    }

    /// Adds a node before the one at `at`, and says where it is.
    pub(super) fn insert_before(&mut self, at: NodeIndex, node: QuicklistNode) -> NodeIndex {
        let at = self.with_room(at);
        self.insert(at, node)
    }

    fn insert(&mut self, at: NodeIndex, node: QuicklistNode) -> NodeIndex {
        self.note_added(at.group, &node);
        self.in_group(at.group, |nodes| nodes.insert(at.node, node));
        at
    }

    /// The same place, in a group that is not full.
    fn with_room(&mut self, NodeIndex { group, node }: NodeIndex) -> NodeIndex {
        if self.groups[group].nodes.len() < GROUP {
            return NodeIndex { group, node };
        }
        // A full group becomes two half full ones, so that many insertions follow before the next
        // split.
        let tail = self.in_group(group, |nodes| {
            let tail = nodes.split_off(GROUP / 2);
            nodes.shrink_to_fit();
            tail
        });
        let tail = NodeGroup::of(tail);
        self.allocated += tail.room();
        let head = self.groups[group].own();
        head.elements -= tail.elements;
        head.text_bytes -= tail.text_bytes;
        head.bytes -= tail.bytes;
        self.groups.insert(group + 1, tail.into());
        match node.checked_sub(GROUP / 2) {
            // A place at the border stays at the end of the first half.
            Some(behind @ 1..) => NodeIndex {
                group: group + 1,
                node: behind,
            },
            _ => NodeIndex { group, node },
        }
    }

    /// Takes a node out.
    pub(super) fn remove(&mut self, at: NodeIndex) -> QuicklistNode {
        let node = self.in_group(at.group, |nodes| nodes.remove(at.node));
        let node = node.expect("a node is at the place");
        self.note_removed(at.group, &node);
        if self.groups[at.group].nodes.is_empty() {
            self.remove_group(at.group);
        } else {
            self.join_group_with_next(at.group);
        }
        node
    }

    /// Takes the node at an end out.
    pub(super) fn pop(&mut self, end: ListEnd) -> Option<QuicklistNode> {
        let NodeIndex { group, .. } = self.end(end)?;
        let node = self.in_group(group, |nodes| match end {
            ListEnd::Left => nodes.pop_front(),
            ListEnd::Right => nodes.pop_back(),
        });
        let node = node.expect("no group is empty");
        self.note_removed(group, &node);
        if self.groups[group].nodes.is_empty() {
            self.remove_group(group);
        }
        Some(node)
    }

    /// Frees nodes, about `max` of them, and says whether there may be more.
    pub(super) fn free(&mut self, max: usize) -> bool {
        let mut left = max;
        while left > 0 {
            let Some(last) = self.groups.back() else {
                return false;
            };
            // To let go of a group that a copy holds costs one step, whatever is in it.
            if last.is_common() {
                let group = self.remove_group(self.groups.len() - 1);
                left = left.saturating_sub(group.nodes.len());
            } else {
                self.pop(ListEnd::Right);
                left -= 1;
            }
        }
        true
    }

    /// The same nodes for a copy.
    pub(super) fn share(&mut self) -> Self {
        let groups = self.groups.iter_mut().map(Shareable::share);
        Self {
            groups: groups.collect(),
            ..*self
        }
    }

    /// Takes nodes at an end out, whole ones only and with at most `count` elements.
    pub(super) fn cut(&mut self, end: ListEnd, mut count: usize) -> Self {
        let mut cut = Self::default();
        while let Some(at) = self.end(end) {
            let in_group = self.groups[at.group].elements;
            // A whole group goes as it is, shared or not, without a look at its nodes.
            if in_group <= count {
                count -= in_group;
                let group = self.remove_group(at.group);
                cut.adopt(group);
                continue;
            }
            let in_node = self.get(at).len();
            if in_node > count {
                break;
            }
            count -= in_node;
            let node = self.pop(end).expect("it is there");
            cut.push(ListEnd::Right, node);
        }
        cut
    }

    /// Adds a group at the end.
    fn adopt(&mut self, group: Shareable<NodeGroup>) {
        self.len += group.nodes.len();
        self.elements += group.elements;
        self.text_bytes += group.text_bytes;
        self.allocated += group.allocated();
        self.groups.push_back(group);
    }

    /// Lets `change` loose on the nodes from an end on, as long as it returns true. Those that have
    /// no element then are removed; those that have become small are joined. It changes only nodes
    /// that it `concerns`.
    pub(super) fn sweep(
        &mut self,
        from: ListEnd,
        bounds: Bounds,
        concerns: impl Fn(&QuicklistNode) -> bool,
        mut change: impl FnMut(&mut QuicklistNode) -> bool,
    ) {
        let (mut more, mut emptied, before) = (true, false, self.elements);
        for step in 0..self.groups.len() {
            let index = match from {
                ListEnd::Left => step,
                ListEnd::Right => self.groups.len() - 1 - step,
            };
            let group = &self.groups[index];
            // A look is cheaper than the copy of a shared group in which nothing will change.
            if group.is_common() && !group.nodes.iter().any(&concerns) {
                continue;
            }
            emptied |= self.sweep_group(index, from, bounds, &mut more, &mut change);
            if !more {
                break;
            }
        }
        if emptied {
            self.groups.retain(|group| !group.nodes.is_empty());
        }
        if self.elements < before {
            self.fit_groups();
        }
    }

    /// Sweeps one group and says whether it is empty now.
    fn sweep_group(
        &mut self,
        index: usize,
        from: ListEnd,
        bounds: Bounds,
        more: &mut bool,
        change: &mut impl FnMut(&mut QuicklistNode) -> bool,
    ) -> bool {
        let group = self.groups[index].own();
        let (count, before) = (group.nodes.len(), (group.elements, group.allocated()));
        let text = group.text_bytes;
        for step in 0..count {
            let at = match from {
                ListEnd::Left => step,
                ListEnd::Right => count - 1 - step,
            };
            let elements = group.nodes[at].len();
            *more = change(&mut group.nodes[at]);
            // Bytes are counted anew where anything went, in `join_nodes`.
            group.elements -= elements - group.nodes[at].len();
            if !*more {
                break;
            }
        }
        if group.elements < before.0 {
            group.join_nodes(bounds);
            self.elements -= before.0 - group.elements;
            self.text_bytes -= text - group.text_bytes;
            self.allocated = self.allocated + group.allocated() - before.1;
            self.len -= count - group.nodes.len();
        }
        group.nodes.is_empty()
    }

    /// Lets the node after `at` become part of the one at `at`, if they are small enough, and says
    /// whether they were.
    pub(super) fn join_with_next(&mut self, at: NodeIndex, bounds: Bounds) -> bool {
        let Some(next) = self.after(at) else {
            return false;
        };
        if !self.get(at).admits_node(self.get(next), bounds) {
            return false;
        }
        let next = self.remove(next);
        self.change(at, |node| node.append(&next));
        true
    }

    /// Returns memory that was reserved for more nodes than there are, and where the ends have
    /// become small.
    pub(super) fn fit(&mut self) {
        self.fit_groups();
        for end in [ListEnd::Left, ListEnd::Right] {
            let end = self.end(end);
            if let Some(at) = end.filter(|&at| self.get(at).is_very_wide()) {
                self.change(at, QuicklistNode::fit_loosely);
            }
        }
    }

    fn fit_groups(&mut self) {
        // Far fewer than there was room for: a list that grows and shrinks around one size moves
        // nothing.
        if self.groups.capacity() > 4 * self.groups.len() + 4 {
            self.groups.shrink_to_fit();
        }
        for end in [ListEnd::Left, ListEnd::Right] {
            if let Some(NodeIndex { group, .. }) = self.end(end) {
                let nodes = &self.groups[group].nodes;
                if nodes.capacity() > 4 * nodes.len() + 4 {
                    self.in_group(group, |nodes| nodes.shrink_to(2 * nodes.len()));
                }
            }
        }
    }

    /// Changes the row of nodes of a group. Whoever adds or removes one counts it.
    fn in_group<R>(
        &mut self,
        group: usize,
        change: impl FnOnce(&mut VecDeque<QuicklistNode>) -> R,
    ) -> R {
        let group = self.groups[group].own();
        let room = group.room();
        let result = change(&mut group.nodes);
        self.allocated = self.allocated + group.room() - room;
        result
    }

    fn note_added(&mut self, group: usize, node: &QuicklistNode) {
        let group = self.groups[group].own();
        group.elements += node.len();
        group.bytes += node.allocated();
        group.text_bytes += node.text_bytes();
        self.text_bytes += node.text_bytes();
        self.elements += node.len();
        self.len += 1;
        self.allocated += node.allocated();
    }

    fn note_removed(&mut self, group: usize, node: &QuicklistNode) {
        let group = self.groups[group].own();
        group.elements -= node.len();
        group.bytes -= node.allocated();
        group.text_bytes -= node.text_bytes();
        self.text_bytes -= node.text_bytes();
        self.elements -= node.len();
        self.len -= 1;
        self.allocated -= node.allocated();
    }

    /// Takes a group out, with its nodes if it has any.
    fn remove_group(&mut self, group: usize) -> Shareable<NodeGroup> {
        let removed = self.groups.remove(group).expect("the group is there");
        self.len -= removed.nodes.len();
        self.elements -= removed.elements;
        self.text_bytes -= removed.text_bytes;
        self.allocated -= removed.allocated();
        removed
    }

    /// Lets two groups become one if they are small. Those before them stay where they are.
    fn join_group_with_next(&mut self, group: usize) {
        let next = self.groups.get(group + 1).map(|next| next.nodes.len());
        if next.is_none_or(|next| self.groups[group].nodes.len() + next > GROUP / 2) {
            return;
        }
        // The counts go with the group and come back with its nodes; of the bytes only the nodes'
        // own, since the room of their row is given back.
        let mut next = self.remove_group(group + 1).into_own();
        self.len += next.nodes.len();
        self.elements += next.elements;
        self.text_bytes += next.text_bytes;
        self.allocated += next.bytes;
        let group_before = self.groups[group].own();
        group_before.elements += next.elements;
        group_before.text_bytes += next.text_bytes;
        group_before.bytes += next.bytes;
        self.in_group(group, |nodes| nodes.append(&mut next.nodes));
    }

    /// Counts everything anew and compares it with what is noted.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut allocated = 0;
        for group in &self.groups {
            assert!((1..=GROUP).contains(&group.nodes.len()));
            let elements: usize = group.nodes.iter().map(QuicklistNode::len).sum();
            let bytes: usize = group.nodes.iter().map(QuicklistNode::allocated).sum();
            assert_eq!((group.elements, group.bytes), (elements, bytes));
            let text: usize = group.nodes.iter().map(QuicklistNode::text_bytes).sum();
            assert_eq!(group.text_bytes, text);
            allocated += bytes + group.nodes.capacity() * size_of::<QuicklistNode>();
        }
        let text: usize = self.iter().map(QuicklistNode::text_bytes).sum();
        assert_eq!(self.text_bytes, text);
        let elements: usize = self.iter().map(QuicklistNode::len).sum();
        let noted = (self.len, self.elements, self.allocated);
        assert_eq!(noted, (self.iter().count(), elements, allocated));
        self.iter().for_each(QuicklistNode::check);
    }
}

/// With as much room as the original has.
impl Clone for NodeGroup {
    fn clone(&self) -> Self {
        let mut nodes = VecDeque::with_capacity(self.nodes.capacity());
        nodes.extend(self.nodes.iter().cloned());
        Self { nodes, ..*self }
    }
}

/// Which of the runs of these lengths, `total` together, has the index, and which index in it that
/// is; from the nearer end.
fn seek(
    lens: impl DoubleEndedIterator<Item = usize> + ExactSizeIterator,
    total: usize,
    index: usize,
) -> (usize, usize) {
    if index < total / 2 {
        let mut start = 0;
        for (at, len) in lens.enumerate() {
            if index < start + len {
                return (at, index - start);
            }
            start += len;
        }
    } else {
        let mut start = total;
        for (at, len) in lens.enumerate().rev() {
            start -= len;
            if index >= start {
                return (at, index - start);
            }
        }
    }
    unreachable!("the index is below the total");
}
