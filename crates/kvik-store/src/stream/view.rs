//! A stream, its groups and their consumers to read.

use super::body::StreamBody;
use super::group::{Consumer, ConsumerGroup, NOBODY, Pending};
use super::id::StreamId;
use super::idempotence::Idempotence;
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
    /// Who has it; empty if it was released.
    pub consumer: &'a [u8],
    /// It was released: nobody has it.
    pub is_released: bool,
    /// When it was last delivered.
    pub delivered_ms: UnixMs,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// The memory that a stream has of the entries of its producers.
#[derive(Clone, Copy, Debug)]
pub struct IdempotenceRef<'a>(&'a Idempotence);

impl<'a> StreamRef<'a> {
    /// The memory of producers, if any has ever said who it is.
    pub fn idempotence(&self) -> Option<IdempotenceRef<'a>> {
        self.body.idempotence.as_deref().map(IdempotenceRef)
    }

    /// Whether entries of any group were released.
    pub fn has_released(&self) -> bool {
        self.body.groups.iter().any(|group| group.released > 0)
    }

    /// When the entry of a group was delivered that is pending for the longest time and exists.
    pub fn earliest_delivery(&self, group: &[u8]) -> Option<UnixMs> {
        let group = &self.body.groups[self.body.find_group(group).ok()?];
        let exists = |id: StreamId| self.body.entry(id).is_some();
        match &group.by_time {
            Some(by_time) => by_time.iter().find(|it| exists(it.id)).map(|it| it.at_ms),
            None => {
                let existing = group.pending.iter().filter(|it| exists(it.id));
                existing.map(|it| it.delivered_ms).min()
            }
        }
    }

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

    /// The number of those that were released.
    pub fn released_len(&self) -> usize {
        self.group.released
    }

    /// The pending entries that were released, in the order in which they were.
    pub fn released(&self) -> Vec<StreamId> {
        let released = self.group.pending.iter();
        let mut released: Vec<&Pending> = released.filter(|it| it.consumer == NOBODY).collect();
        released.sort_unstable_by_key(|it| it.order);
        released.into_iter().map(|it| it.id).collect()
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
    let is_released = pending.consumer == NOBODY;
    PendingEntry {
        id: pending.id,
        consumer: match is_released {
            true => b"",
            false => &group.consumers.get(pending.consumer).name,
        },
        is_released,
        delivered_ms: pending.delivered_ms,
        deliveries: pending.deliveries,
    }
}

impl<'a> IdempotenceRef<'a> {
    /// For how long an entry is known, in seconds.
    pub fn duration_s(self) -> u64 {
        self.0.duration_s
    }

    /// How many entries of one producer are known at most.
    pub fn max_len(self) -> u64 {
        self.0.max_len
    }

    /// Entries ever recorded.
    pub fn added(self) -> u64 {
        self.0.added
    }

    /// Entries that were not added again.
    pub fn duplicates(self) -> u64 {
        self.0.duplicates
    }

    /// How many producers and how many of their entries are known at a time.
    pub fn tracked(self, now: UnixMs) -> (usize, usize) {
        self.0.tracked(now)
    }

    /// The producers in the order of their names, each with how many of its entries are recorded.
    pub fn producers(self) -> impl ExactSizeIterator<Item = (&'a [u8], usize)> + use<'a> {
        self.0.producers()
    }

    /// The names that a producer has for its entries, the oldest first.
    pub fn of_producer(self, name: &[u8]) -> impl Iterator<Item = (&'a [u8], StreamId)> + use<'a> {
        self.0.of_producer(name)
    }
}
