//! The entries of a stream and its groups: how they change, without a word about effects.

use std::sync::atomic::Ordering::Relaxed;

use super::group::ConsumerGroup;
use super::id::StreamId;
use super::idempotence::Idempotence;
use super::marks::Marks;
use super::node::{StreamEntry, StreamNode};
use super::range::{StreamRange, StreamRangeBack};
use super::trim::{Trim, TrimTo};
use crate::limits::Limits;
use crate::sequence::{Chunk, Keyed, Sequence};
use crate::shareable::Shareable;

/// Bytes that the words of one entry, and the entries of one node, may have at most.
pub(super) const MAX_BYTES: usize = 1 << 30;

/// The content of a stream: its nodes, groups and counts.
#[derive(Debug, Default)]
pub(super) struct StreamBody {
    pub(super) nodes: Sequence<StreamNode>,
    /// Bytes that nodes have allocated.
    node_bytes: usize,
    pub(super) marks: Marks,
    /// In the order of their names.
    pub(super) groups: Vec<ConsumerGroup>,
    /// Bytes of all groups.
    group_bytes: usize,
    /// The entries that producers have added, if any says so.
    pub(super) idempotence: Option<Box<Idempotence>>,
}

impl StreamBody {
    pub(super) const fn new() -> Self {
        Self {
            nodes: Sequence::new(),
            node_bytes: 0,
            marks: Marks::new(),
            groups: Vec::new(),
            group_bytes: 0,
            idempotence: None,
        }
    }

    /// The remains of a stream, which have only to be freed.
    pub(super) fn remains(nodes: Sequence<StreamNode>, groups: Vec<ConsumerGroup>) -> Self {
        Self {
            node_bytes: nodes.iter().map(StreamNode::bytes).sum(),
            group_bytes: groups.iter().map(ConsumerGroup::bytes).sum(),
            nodes,
            groups,
            ..Self::new()
        }
    }

    /// The same stream for a copy, which shares nodes and what is pending until either changes
    /// them.
    pub(super) fn share(&mut self) -> Self {
        let groups: Vec<ConsumerGroup> = self.groups.iter_mut().map(ConsumerGroup::share).collect();
        Self {
            nodes: self.nodes.share(),
            group_bytes: groups.iter().map(ConsumerGroup::bytes).sum(),
            groups,
            idempotence: self.idempotence.clone(),
            ..*self
        }
    }

    /// Bytes allocated, with those of the body itself.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.nodes.bytes()
            + self.node_bytes
            + self.groups.capacity() * size_of::<ConsumerGroup>()
            + self.group_bytes
            + self.idempotence.as_ref().map_or(0, |it| it.bytes())
    }

    pub(super) fn range(&self, start: StreamId, end: StreamId) -> StreamRange<'_> {
        StreamRange::new(&self.nodes, start, end)
    }

    pub(super) fn range_back(&self, start: StreamId, end: StreamId) -> StreamRangeBack<'_> {
        StreamRangeBack::new(&self.nodes, start, end)
    }

    pub(super) fn entry(&self, id: StreamId) -> Option<StreamEntry<'_>> {
        self.range(id, id).next()
    }

    /// The id of the last entry.
    pub(super) fn last_entry_id(&self) -> Option<StreamId> {
        let last = self.range_back(StreamId::MIN, StreamId::MAX).next()?;
        Some(last.id())
    }

    /// Adds an entry. Its id is larger than all before, and its words, fields and values in turn,
    /// fit into a node.
    pub(super) fn append<'w>(
        &mut self,
        id: StreamId,
        words: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        limits: &Limits,
    ) {
        let size: usize = words.clone().map(<[u8]>::len).sum();
        let fits = |node: &StreamNode| has_room(node, size, limits);
        if !self.nodes.last().is_some_and(fits) {
            // Only the last node grows, so the one before gives its reserve back.
            self.seal_last();
            let node = StreamNode::new(id, words.clone());
            self.node_bytes += node.bytes();
            self.nodes.insert(node);
        }
        let node = self.nodes.last_mut().expect("made above");
        let before = node.bytes();
        node.append(id, words);
        self.node_bytes = self.node_bytes + node.bytes() - before;
        self.count_added(id);
    }

    fn seal_last(&mut self) {
        if let Some(node) = self.nodes.last_mut() {
            self.node_bytes -= node.bytes();
            node.seal();
            self.node_bytes += node.bytes();
        }
    }

    fn count_added(&mut self, id: StreamId) {
        let marks = &mut self.marks;
        marks.len += 1;
        marks.entries_added = marks.entries_added.wrapping_add(1);
        marks.last_id = id;
        if marks.len == 1 {
            marks.first_id = id;
        }
    }

    /// Deletes the entry with this id and says whether it was there.
    pub(super) fn delete(&mut self, id: StreamId) -> bool {
        let Some(at) = self.nodes.up_to(id) else {
            return false;
        };
        let node = self.nodes.at_mut(at).expect("it was found there");
        let before = node.bytes();
        // A node whose entries are all deleted goes away; others keep the bytes of what is deleted.
        if node.live() == 1 && node.iter().any(|entry| entry.id() == id) {
            self.nodes.remove_at(at);
            self.node_bytes -= before;
        } else if node.delete(id) {
            self.node_bytes = self.node_bytes + node.bytes() - before;
        } else {
            return false;
        }
        let marks = &mut self.marks;
        marks.len -= 1;
        marks.max_deleted_id = marks.max_deleted_id.max(id);
        if marks.len == 0 || marks.first_id == id {
            self.find_first();
        }
        true
    }

    /// Notes the id of the first entry anew.
    fn find_first(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next();
        self.marks.first_id = first.map_or(StreamId::MIN, |entry| entry.id());
    }

    /// Deletes entries from the front and says how many. The nodes that went away whole are
    /// returned.
    pub(super) fn trim(&mut self, trim: &Trim, limits: &Limits) -> (u64, Sequence<StreamNode>) {
        let limit = trim.limit(limits);
        let (mut deleted, mut gone) = (0, Sequence::new());
        while !trim.is_done(&self.marks) {
            if let Some(live) = self.common_goes_whole(trim, limit - deleted) {
                // What others have need not be freed.
                self.pop_chunk();
                self.marks.len -= live;
                deleted += live;
                continue;
            }
            let Some(first) = self.nodes.first() else {
                break;
            };
            let live = first.live();
            // The limit is what one command may delete where it trims roughly, so that its time is
            // bounded.
            if deleted + live > limit {
                break;
            }
            if !self.goes_whole(first, trim.to) {
                // A rough trim takes whole nodes only, which costs nothing per entry.
                if !trim.is_approximate() {
                    deleted += self.trim_first(trim.to);
                }
                break;
            }
            let node = self.nodes.pop_first().expect("looked at above");
            self.node_bytes -= node.bytes();
            self.marks.len -= live;
            deleted += live;
            gone.insert(node);
        }
        if deleted > 0 {
            self.find_first();
        }
        (deleted, gone)
    }

    /// Takes the nodes of the first chunk out.
    fn pop_chunk(&mut self) -> Option<Shareable<Chunk<StreamNode>>> {
        let chunk = self.nodes.pop_chunk()?;
        self.node_bytes -= chunk.iter().map(StreamNode::bytes).sum::<usize>();
        Some(chunk)
    }

    /// How many entries the nodes of the first chunk have, if copies share them and trimming takes
    /// all of them away.
    fn common_goes_whole(&self, trim: &Trim, max: u64) -> Option<u64> {
        let chunk = self.nodes.first_common()?;
        let live = chunk.iter().map(StreamNode::live).sum();
        let goes = match trim.to {
            TrimTo::Len(len) => self.marks.len - live >= len,
            TrimTo::MinId(id) => chunk.iter().last()?.last_id() < id,
        };
        (goes && live <= max).then_some(live)
    }

    /// Whether trimming takes the first node away with all its entries.
    fn goes_whole(&self, first: &StreamNode, to: TrimTo) -> bool {
        match to {
            TrimTo::Len(max) => self.marks.len - first.live() >= max,
            TrimTo::MinId(id) => {
                let second = self.nodes.at(self.nodes.after(self.nodes.start()));
                // The second node's id tells without reading the first one.
                second.is_some_and(|second| second.id() <= id) || first.last_id() < id
            }
        }
    }

    /// Deletes entries of the first node.
    fn trim_first(&mut self, to: TrimTo) -> u64 {
        let (max, below) = match to {
            TrimTo::Len(max) => (self.marks.len - max, StreamId::MAX),
            TrimTo::MinId(id) => (u64::MAX, id),
        };
        let first = self.nodes.start();
        let node = self.nodes.at_mut(first).expect("looked at before");
        let before = node.bytes();
        let deleted = node.delete_first(max, below);
        self.node_bytes = self.node_bytes + node.bytes() - before;
        self.marks.len -= deleted;
        deleted
    }

    pub(super) fn find_group(&self, name: &[u8]) -> Result<usize, usize> {
        let of = |group: &ConsumerGroup| (*group.name).cmp(name);
        self.groups.binary_search_by(of)
    }

    pub(super) fn add_group(&mut self, at: usize, group: ConsumerGroup) {
        self.group_bytes += group.bytes();
        if self.groups.len() == self.groups.capacity() {
            self.groups.reserve_exact((self.groups.len() / 2).max(1));
        }
        self.groups.insert(at, group);
    }

    pub(super) fn remove_group(&mut self, at: usize) -> ConsumerGroup {
        let group = self.groups.remove(at);
        self.group_bytes -= group.bytes();
        group
    }

    /// Changes a group and keeps the account.
    pub(super) fn change_group<R>(
        &mut self,
        at: usize,
        change: impl FnOnce(&mut ConsumerGroup, &Sequence<StreamNode>, &Marks) -> R,
    ) -> R {
        let group = &mut self.groups[at];
        let before = group.bytes();
        let result = change(group, &self.nodes, &self.marks);
        self.group_bytes = self.group_bytes + group.bytes() - before;
        result
    }

    /// Frees up to about `max` nodes and other pieces and says whether there are more.
    pub(super) fn free(&mut self, max: usize) -> bool {
        (0..max).all(|_| self.free_node() || self.free_from_group() || self.free_producer())
    }

    fn free_producer(&mut self) -> bool {
        let freed = self.idempotence.as_mut().is_some_and(|it| it.free_some());
        if !freed {
            self.idempotence = None;
        }
        freed
    }

    fn free_node(&mut self) -> bool {
        if self.nodes.first_common().is_some() {
            return self.pop_chunk().is_some();
        }
        let node = self.nodes.pop_first();
        self.node_bytes -= node.as_ref().map_or(0, StreamNode::bytes);
        node.is_some()
    }

    fn free_from_group(&mut self) -> bool {
        let Some(last) = self.groups.len().checked_sub(1) else {
            return false;
        };
        // Groups are freed piece by piece as well: one may have millions of pending entries.
        if !self.change_group(last, |group, _, _| group.free(1)) {
            self.remove_group(last);
        }
        true
    }
}

/// Whether an entry whose words have this size goes into the last node.
fn has_room(node: &StreamNode, size: usize, limits: &Limits) -> bool {
    let max_bytes = match limits.stream_node_bytes.load(Relaxed) {
        bytes if bytes > 0 && bytes < MAX_BYTES as i64 => bytes as usize,
        _ => MAX_BYTES,
    };
    let max_entries = limits.stream_node_entries.load(Relaxed);
    node.len() + size < max_bytes && (max_entries <= 0 || node.entries() < max_entries as u64)
}

#[cfg(test)]
impl StreamBody {
    /// Bytes as they are allocated now.
    pub(super) fn counted_bytes(&self) -> usize {
        size_of::<Self>()
            + self.nodes.counted_bytes()
            + self.nodes.iter().map(StreamNode::bytes).sum::<usize>()
            + self.groups.capacity() * size_of::<ConsumerGroup>()
            + self
                .groups
                .iter()
                .map(ConsumerGroup::counted_bytes)
                .sum::<usize>()
            + self.idempotence.as_ref().map_or(0, |it| it.counted_bytes())
    }
}
