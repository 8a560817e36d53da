//! Consumer groups: what was delivered to whom and is not acknowledged yet.
//!
//! A pending entry is one record in its group, in the order of ids, that says who has it; beside
//! that each consumer lists the ids of its own. A record costs 40 bytes and an id 16. Groups and
//! consumers are in the order of their names. An entry that was released is pending and nobody's.
//!
//! Who looks for entries that were delivered long ago goes by a second order, that of the times of
//! delivery. It is made when somebody first does, and kept from then on; it is no part of what is
//! saved or copied.

use super::id::StreamId;
use crate::UnixMs;
use crate::sequence::{Keyed, Sequence};

/// The number of the consumer of what was released.
pub(super) const NOBODY: u32 = u32::MAX;

/// An entry that was delivered and is not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) id: StreamId,
    /// 0 for what was released.
    pub(super) delivered_ms: UnixMs,
    pub(super) deliveries: u64,
    /// Who has it, by number, or [`NOBODY`].
    pub(super) consumer: u32,
    /// Its place among those that were delivered at the same time; set when it is assigned.
    pub(super) order: u32,
}

impl Pending {
    /// An entry that was given back, and that nobody has.
    pub(super) fn released(id: StreamId, deliveries: u64) -> Self {
        Self {
            id,
            delivered_ms: 0,
            deliveries,
            consumer: NOBODY,
            order: 0,
        }
    }
}

/// A pending entry in the order of the times of delivery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivered {
    pub(super) at_ms: UnixMs,
    order: u32,
    pub(super) id: StreamId,
}

impl Delivered {
    fn of(pending: &Pending) -> Self {
        Self {
            at_ms: pending.delivered_ms,
            order: pending.order,
            id: pending.id,
        }
    }
}

impl Keyed for Delivered {
    type Id = StreamId;

    fn id(&self) -> StreamId {
        StreamId::new(self.at_ms, self.order.into())
    }
}

impl Keyed for Pending {
    type Id = StreamId;

    fn id(&self) -> StreamId {
        self.id
    }
}

/// A consumer group of a stream, with its consumers and the entries they have yet to acknowledge.
#[derive(Debug)]
pub(super) struct ConsumerGroup {
    pub(super) name: Box<[u8]>,
    /// The last id that was delivered.
    pub(super) last_id: StreamId,
    /// Entries ever read, those included that were passed over when the group was made, where that
    /// is known.
    pub(super) entries_read: Option<i64>,
    pub(super) pending: Sequence<Pending>,
    pub(super) consumers: Consumers,
    /// How many of what is pending are nobody's.
    pub(super) released: usize,
    /// Pending entries by the time of delivery, once that was asked for.
    pub(super) by_time: Option<Box<Sequence<Delivered>>>,
    /// The place that was given last among those delivered at one time.
    last_order: u32,
}

/// Whom a group's entries are delivered to.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) name: Box<[u8]>,
    /// When it last asked for something.
    pub(super) seen_ms: UnixMs,
    /// When it was last given something.
    pub(super) active_ms: Option<UnixMs>,
    pub(super) pending: Sequence<StreamId>,
}

/// The consumers of a group, by number and by name.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    numbered: Vec<Option<Box<Consumer>>>,
    free: Vec<u32>,
    by_name: Vec<u32>,
    /// Bytes of all consumers.
    bytes: usize,
}

impl Consumer {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.pending.bytes()
    }
}

impl Consumer {
    /// The same for a copy.
    fn share(&mut self) -> Self {
        Self {
            name: self.name.clone(),
            pending: self.pending.share(),
            ..*self
        }
    }
}

impl Consumers {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Bytes allocated.
    fn bytes(&self) -> usize {
        self.numbered.capacity() * size_of::<Option<Box<Consumer>>>()
            + (self.free.capacity() + self.by_name.capacity()) * size_of::<u32>()
            + self.bytes
    }

    pub(super) fn get(&self, number: u32) -> &Consumer {
        let consumer = self.numbered[number as usize].as_ref();
        consumer.expect("a number leads to a consumer")
    }

    /// In the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.by_name.iter().map(|number| self.get(*number))
    }

    fn search(&self, name: &[u8]) -> Result<usize, usize> {
        let of = |number: &u32| (*self.get(*number).name).cmp(name);
        self.by_name.binary_search_by(of)
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<u32> {
        let at = self.search(name).ok()?;
        Some(self.by_name[at])
    }

    /// The consumer with this name, which is made if it is not there; says whether it was.
    pub(super) fn find_or_add(&mut self, name: &[u8], now: UnixMs) -> (u32, bool) {
        let at = match self.search(name) {
            Ok(at) => return (self.by_name[at], false),
            Err(at) => at,
        };
        let consumer = Box::new(Consumer {
            name: name.into(),
            seen_ms: now,
            active_ms: None,
            pending: Sequence::new(),
        });
        self.bytes += consumer.bytes();
        let number = self.free.pop().unwrap_or_else(|| {
            self.numbered.push(None);
            self.numbered.len() as u32 - 1
        });
        self.numbered[number as usize] = Some(consumer);
        self.by_name.insert(at, number);
        (number, true)
    }

    /// Takes a consumer out.
    pub(super) fn remove(&mut self, number: u32) -> Consumer {
        let consumer = self.numbered[number as usize].take();
        let consumer = consumer.expect("a number leads to a consumer");
        self.by_name.retain(|there| *there != number);
        self.free.push(number);
        self.bytes -= consumer.bytes();
        *consumer
    }

    /// Frees a chunk of what is pending for some consumer, or a consumer, and says whether there
    /// was one.
    fn free_some(&mut self) -> bool {
        let Some(&last) = self.by_name.last() else {
            return false;
        };
        let freed = self.change(last, |consumer| consumer.pending.free_some());
        if !freed {
            self.remove(last);
        }
        true
    }

    /// Changes a consumer and keeps the account.
    pub(super) fn change<R>(&mut self, number: u32, change: impl FnOnce(&mut Consumer) -> R) -> R {
        let consumer = self.numbered[number as usize].as_mut();
        let consumer = consumer.expect("a number leads to a consumer");
        let before = consumer.bytes();
        let result = change(consumer);
        self.bytes = self.bytes + consumer.bytes() - before;
        result
    }
}

impl ConsumerGroup {
    pub(super) fn new(name: &[u8], last_id: StreamId, entries_read: Option<i64>) -> Self {
        Self {
            name: name.into(),
            last_id,
            entries_read,
            pending: Sequence::new(),
            consumers: Consumers::default(),
            released: 0,
            by_time: None,
            last_order: 0,
        }
    }

    /// Bytes allocated besides the group itself.
    pub(super) fn bytes(&self) -> usize {
        let by_time = self.by_time.as_ref();
        let by_time = by_time.map_or(0, |it| size_of::<Sequence<Delivered>>() + it.bytes());
        self.name.len() + self.pending.bytes() + self.consumers.bytes() + by_time
    }

    /// Makes an entry pending for a consumer or nobody, whoever had it before.
    pub(super) fn assign(&mut self, new: Pending) {
        let found = self.pending.search(new.id);
        let before = found.ok().and_then(|at| self.pending.at(at).copied());
        let new = self.put_in_time(before, new);
        match found {
            Ok(at) => *self.pending.at_mut(at).expect("it was found there") = new,
            Err(place) => self.pending.insert_at(place, new),
        }
        let before = before.map(|it| it.consumer);
        if before == Some(new.consumer) {
            return;
        }
        if let Some(before) = before {
            self.disown(before, new.id);
        }
        if new.consumer == NOBODY {
            self.released += 1;
        } else {
            self.consumers
                .change(new.consumer, |it| it.pending.insert(new.id));
        }
    }

    /// Takes an entry from the list of who has it.
    fn disown(&mut self, consumer: u32, id: StreamId) {
        if consumer == NOBODY {
            self.released -= 1;
        } else {
            self.consumers.change(consumer, |it| it.pending.remove(id));
        }
    }

    /// Gives a record its place among those of its time, instead of the one it had before.
    fn put_in_time(&mut self, before: Option<Pending>, mut new: Pending) -> Pending {
        if let Some(before) = before {
            self.take_from_time(&before);
        }
        loop {
            self.last_order = self.last_order.wrapping_add(1);
            new.order = self.last_order;
            // The number is taken only where it has come round to one that is still there.
            let by_time = self.by_time.as_mut();
            if by_time.is_none_or(|it| it.insert(Delivered::of(&new))) {
                return new;
            }
        }
    }

    fn take_from_time(&mut self, pending: &Pending) {
        if let Some(by_time) = &mut self.by_time {
            by_time.remove(Delivered::of(pending).id());
        }
    }

    /// Puts what is pending into the order of the times of delivery as well, those released first.
    pub(super) fn order_by_time(&mut self) {
        if self.by_time.is_none() {
            let mut all: Vec<Delivered> = self.pending.iter().map(Delivered::of).collect();
            all.sort_unstable_by_key(|it| (it.id(), it.id));
            let mut by_time = Sequence::new();
            for (order, mut it) in all.into_iter().enumerate() {
                it.order = order as u32;
                if let Ok(at) = self.pending.search(it.id)
                    && let Some(pending) = self.pending.at_mut(at)
                {
                    pending.order = it.order;
                    by_time.insert(it);
                }
                self.last_order = it.order;
            }
            self.by_time = Some(Box::new(by_time));
        }
    }

    /// Notes that an entry was delivered once more, and how often that was.
    pub(super) fn redeliver(&mut self, id: StreamId, now: UnixMs) -> Option<u64> {
        let there = *self.pending.get(id)?;
        let deliveries = there.deliveries.wrapping_add(1);
        self.assign(Pending {
            delivered_ms: now,
            deliveries,
            ..there
        });
        Some(deliveries)
    }

    /// Makes entries pending for a consumer that is just given them.
    pub(super) fn assign_all(&mut self, ids: &[StreamId], consumer: u32, now: UnixMs) {
        for &id in ids {
            self.assign(Pending {
                id,
                delivered_ms: now,
                deliveries: 1,
                consumer,
                order: 0,
            });
        }
        if !ids.is_empty() {
            self.consumers
                .change(consumer, |it| it.active_ms = Some(now));
        }
    }

    /// Ends that an entry is pending and says whether it was.
    pub(super) fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(id) else {
            return false;
        };
        self.take_from_time(&pending);
        self.disown(pending.consumer, id);
        true
    }

    /// Deletes a consumer with what is pending for it, and says how much that was.
    pub(super) fn remove_consumer(&mut self, number: u32) -> usize {
        let consumer = self.consumers.remove(number);
        let (own, all) = (consumer.pending.len(), self.pending.len());
        // One walk over all is cheaper than many searches.
        if own > all / 8 {
            self.pending.retain(|pending| pending.consumer != number);
            self.by_time = None;
        } else {
            for id in consumer.pending.iter() {
                if let Some(pending) = self.pending.remove(*id) {
                    self.take_from_time(&pending);
                }
            }
        }
        own
    }

    /// Frees up to about `max` chunks and consumers and says whether there is more.
    pub(super) fn free(&mut self, max: usize) -> bool {
        (0..max)
            .all(|_| self.pending.free_some() || self.consumers.free_some() || self.free_by_time())
    }

    fn free_by_time(&mut self) -> bool {
        let freed = self.by_time.as_mut().is_some_and(|it| it.free_some());
        if !freed {
            self.by_time = None;
        }
        freed
    }
}

impl ConsumerGroup {
    /// The same for a copy, which shares what is pending until either changes it.
    pub(super) fn share(&mut self) -> Self {
        Self {
            name: self.name.clone(),
            pending: self.pending.share(),
            consumers: self.consumers.share(),
            by_time: None,
            ..*self
        }
    }
}

impl Consumers {
    fn share(&mut self) -> Self {
        let share = |it: &mut Option<Box<Consumer>>| it.as_mut().map(|it| Box::new(it.share()));
        let numbered: Vec<_> = self.numbered.iter_mut().map(share).collect();
        let bytes = numbered.iter().flatten().map(|it| it.bytes()).sum();
        Self {
            numbered,
            free: self.free.clone(),
            by_name: self.by_name.clone(),
            bytes,
        }
    }
}

#[cfg(test)]
impl ConsumerGroup {
    /// Bytes as they are allocated now.
    pub(super) fn counted_bytes(&self) -> usize {
        let consumers = &self.consumers;
        let each = consumers.iter().map(|consumer| {
            size_of::<Consumer>() + consumer.name.len() + consumer.pending.counted_bytes()
        });
        let by_time = self.by_time.as_ref();
        let by_time = by_time.map_or(0, |it| {
            size_of::<Sequence<Delivered>>() + it.counted_bytes()
        });
        self.name.len()
            + by_time
            + self.pending.counted_bytes()
            + consumers.numbered.capacity() * 8
            + (consumers.free.capacity() + consumers.by_name.capacity()) * 4
            + each.sum::<usize>()
    }
}
