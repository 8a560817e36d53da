//! A stream, its groups and their consumers to read.

use super::body::StreamBody;
use super::group::{Consumer, ConsumerGroup, Pending};
use super::id::StreamId;
use super::marks::Marks;
use super::node::StreamEntry;
use super::range::{StreamRange, StreamRangeBack};
use crate::UnixMs;

/// A stream as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub struct StreamRef<'a> {
    pub(super) body: &'a StreamBody,
}

/// A consumer group as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub struct GroupRef<'a> {
    group: &'a ConsumerGroup,
    marks: &'a Marks,
}

/// A consumer as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerRef<'a> {
    consumer: &'a Consumer,
    group: &'a ConsumerGroup,
}

/// An entry that was delivered and is not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingEntry<'a> {
    /// Its id.
    pub id: StreamId,
    /// Who has it.
    pub consumer: &'a [u8],
    /// When it was last delivered.
    pub delivered_ms: UnixMs,
    /// How often it was delivered.
    pub deliveries: u64,
}

impl<'a> StreamRef<'a> {
    /// The number of entries.
    pub fn len(&self) -> u64 {
        self.body.marks.len
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of nodes in which the entries are.
    pub fn nodes(&self) -> usize {
        self.body.nodes.len()
    }

    /// The id of the first entry; 0-0 if there is none.
    pub fn first_id(&self) -> StreamId {
        self.body.marks.first_id
    }

    /// The largest id ever given.
    pub fn last_id(&self) -> StreamId {
        self.body.marks.last_id
    }

    /// The largest id that was deleted, not by trimming.
    pub fn max_deleted_id(&self) -> StreamId {
        self.body.marks.max_deleted_id
    }

    /// The number of entries ever added.
    pub fn entries_added(&self) -> u64 {
        self.body.marks.entries_added
    }

    /// The id of the last entry.
    pub fn last_entry_id(&self) -> Option<StreamId> {
        self.body.last_entry_id()
    }

    /// The entry with this id.
    pub fn entry(&self, id: StreamId) -> Option<StreamEntry<'a>> {
        self.body.entry(id)
    }

    /// The entries from one id to another, both included.
    pub fn range(&self, start: StreamId, end: StreamId) -> StreamRange<'a> {
        self.body.range(start, end)
    }

    /// As [`range`](Self::range), from the last entry on.
    pub fn range_back(&self, start: StreamId, end: StreamId) -> StreamRangeBack<'a> {
        self.body.range_back(start, end)
    }

    /// The consumer groups in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = GroupRef<'a>> + use<'a> {
        let marks = &self.body.marks;
        let groups = self.body.groups.iter();
        groups.map(move |group| GroupRef { group, marks })
    }

    /// The consumer group with this name.
    pub fn group(&self, name: &[u8]) -> Option<GroupRef<'a>> {
        let at = self.body.find_group(name).ok()?;
        Some(GroupRef {
            group: &self.body.groups[at],
            marks: &self.body.marks,
        })
    }
}

impl<'a> GroupRef<'a> {
    /// The name.
    pub fn name(&self) -> &'a [u8] {
        &self.group.name
    }

    /// The last id that was delivered.
    pub fn last_id(&self) -> StreamId {
        self.group.last_id
    }

    /// How many entries of all that were ever added the group is past, where that is known.
    pub fn entries_read(&self) -> Option<i64> {
        self.group.entries_read
    }

    /// How many entries it has still to read, where that is known.
    pub fn lag(&self) -> Option<i64> {
        self.marks.lag(self.group.entries_read, self.group.last_id)
    }

    /// The number of pending entries.
    pub fn pending_len(&self) -> usize {
        self.group.pending.len()
    }

    /// The first and the last id that is pending.
    pub fn pending_bounds(&self) -> Option<(StreamId, StreamId)> {
        let pending = &self.group.pending;
        Some((pending.first()?.id, pending.last()?.id))
    }

    /// The pending entries from an id on.
    pub fn pending(&self, from: StreamId) -> impl Iterator<Item = PendingEntry<'a>> + use<'a> {
        let group = self.group;
        let pending = group.pending.iter_from(from);
        pending.map(|pending| describe(group, pending))
    }

    /// The consumers in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = ConsumerRef<'a>> + use<'a> {
        let group = self.group;
        let consumers = group.consumers.iter();
        consumers.map(move |consumer| ConsumerRef { consumer, group })
    }

    /// The number of consumers.
    pub fn consumers_len(&self) -> usize {
        self.group.consumers.len()
    }

    /// The consumer with this name.
    pub fn consumer(&self, name: &[u8]) -> Option<ConsumerRef<'a>> {
        let number = self.group.consumers.find(name)?;
        Some(ConsumerRef {
            consumer: self.group.consumers.get(number),
            group: self.group,
        })
    }
}

impl<'a> ConsumerRef<'a> {
    /// The name.
    pub fn name(&self) -> &'a [u8] {
        &self.consumer.name
    }

    /// When it last asked for something.
    pub fn seen_ms(&self) -> UnixMs {
        self.consumer.seen_ms
    }

    /// When it was last given something.
    pub fn active_ms(&self) -> Option<UnixMs> {
        self.consumer.active_ms
    }

    /// The number of entries that are pending for it.
    pub fn pending_len(&self) -> usize {
        self.consumer.pending.len()
    }

    /// The entries that are pending for it, from an id on.
    pub fn pending(&self, from: StreamId) -> impl Iterator<Item = PendingEntry<'a>> + use<'a> {
        let group = self.group;
        let ids = self.consumer.pending.iter_from(from);
        ids.filter_map(|id| Some(describe(group, group.pending.get(*id)?)))
    }
}

fn describe<'a>(group: &'a ConsumerGroup, pending: &Pending) -> PendingEntry<'a> {
    PendingEntry {
        id: pending.id,
        consumer: &group.consumers.get(pending.consumer).name,
        delivered_ms: pending.delivered_ms,
        deliveries: pending.deliveries,
    }
}
