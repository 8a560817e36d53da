//! The work of a consumer group: delivering entries, handing them from one consumer to another,
//! acknowledging them.
//!
//! When a consumer was seen and when it was active are no effects, as the access clock of a key is
//! none: each store has its own. Everything else is.

use super::Stream;
use super::body::StreamBody;
use super::group::{ConsumerGroup, Pending};
use super::id::StreamId;
use super::node::StreamEntry;
use crate::UnixMs;
use crate::edit::Edit;
use crate::text::IntText;

/// A consumer group to change.
#[derive(Debug)]
pub struct GroupMut<'e, 'g> {
    edit: &'e mut Edit<'g, Stream>,
    at: usize,
    name: &'e [u8],
}

/// How XCLAIM and XAUTOCLAIM hand over an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Leave alone what was delivered less than this ago.
    pub min_idle_ms: i64,
    /// When it counts as delivered.
    pub delivered_ms: UnixMs,
    /// How often it counts as delivered, instead of once more or as before.
    pub deliveries: Option<u64>,
    /// Make it pending if it is not.
    pub force: bool,
    /// Do not count it as delivered once more.
    pub uncounted: bool,
}

impl Claim {
    /// Pending entries that XAUTOCLAIM looks at for each that it may return.
    pub const LOOKS: u64 = 10;
}

/// How much an XAUTOCLAIM may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimQuota {
    /// Entries that are given or found deleted, at most.
    pub claimed: u64,
    /// Pending entries that are looked at, at most.
    pub looks: u64,
}

/// How often an entry counts as delivered that is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recount {
    /// Once less: as if it had not been.
    Less,
    /// As often as before.
    Same,
    /// So often.
    To(u64),
}

/// A pending entry that is handed over because nobody has acknowledged it for long.
#[derive(Clone, Copy, Debug)]
pub struct IdleEntry {
    /// How long ago it was delivered, in milliseconds.
    pub idle_ms: u64,
    /// How often it was delivered before.
    pub deliveries: u64,
}

/// Where an XAUTOCLAIM ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Where the next one is to start; 0-0 at the end.
    pub next: StreamId,
    /// Pending ids whose entries had been deleted. They are no longer pending.
    pub deleted: Vec<StreamId>,
}

impl<'e, 'g> GroupMut<'e, 'g> {
    pub(super) fn new(edit: &'e mut Edit<'g, Stream>, at: usize, name: &'e [u8]) -> Self {
        Self { edit, at, name }
    }

    fn body(&self) -> &StreamBody {
        self.edit.view().body
    }

    fn group(&self) -> &ConsumerGroup {
        &self.body().groups[self.at]
    }

    /// Emits what the group's bookkeeping has done: no change of the stream to those who watch it.
    fn keep_books(&mut self, emit: impl FnOnce(&mut Edit<'g, Stream>)) {
        self.edit.unwatched(emit);
    }

    fn change<R>(&mut self, change: impl FnOnce(&mut ConsumerGroup) -> R) -> R {
        let body = self.edit.parts().value.body_mut();
        body.change_group(self.at, |group, _, _| change(group))
    }

    /// The last id that was delivered.
    pub fn last_id(&self) -> StreamId {
        self.group().last_id
    }

    /// Sets the last id delivered and the number of entries read, if that is known. Effect: `XGROUP
    /// SETID`.
    pub fn set_last_id(&mut self, last_id: StreamId, entries_read: Option<i64>) {
        self.change(|group| (group.last_id, group.entries_read) = (last_id, entries_read));
        self.emit_last_id();
    }

    /// Sets the last id delivered if it is larger than it was, and says whether it is. The effect
    /// is the next claim's, or [`emit_last_id`](Self::emit_last_id).
    pub fn raise_last_id(&mut self, last_id: StreamId) -> bool {
        let raised = last_id > self.last_id();
        if raised {
            self.change(|group| group.last_id = last_id);
        }
        raised
    }

    /// States the last id delivered and the number of entries read. Effect: `XGROUP SETID`.
    pub fn emit_last_id(&mut self) {
        let (last_id, read) = (self.last_id(), self.group().entries_read);
        let mut text = IntText::default();
        let words: [&[u8]; 4] = [
            self.name,
            &last_id.text(),
            b"ENTRIESREAD",
            text.format(read.unwrap_or(-1)),
        ];
        self.keep_books(|edit| edit.emit_alone(b"XGROUP SETID", &words));
    }

    /// Makes a consumer and says whether there was none with this name. Effect: `XGROUP
    /// CREATECONSUMER`.
    pub fn create_consumer(&mut self, consumer: &[u8]) -> bool {
        self.find_or_create(consumer).1
    }

    /// Notes that a consumer asks for something. It is made if it is not there; effect: `XGROUP
    /// CREATECONSUMER`.
    pub fn see_consumer(&mut self, consumer: &[u8]) {
        let now = self.edit.now();
        let (number, _) = self.find_or_create(consumer);
        self.change(|group| group.consumers.change(number, |it| it.seen_ms = now));
    }

    fn find_or_create(&mut self, consumer: &[u8]) -> (u32, bool) {
        let now = self.edit.now();
        let (number, created) = self.change(|group| group.consumers.find_or_add(consumer, now));
        if created {
            let words = [self.name, consumer];
            self.keep_books(|edit| edit.emit_alone(b"XGROUP CREATECONSUMER", &words));
        }
        (number, created)
    }

    /// Deletes a consumer and what is pending for it, and says how much that was. Effect: `XGROUP
    /// DELCONSUMER`.
    pub fn delete_consumer(&mut self, consumer: &[u8]) -> Option<usize> {
        let number = self.group().consumers.find(consumer)?;
        let pending = self.change(|group| group.remove_consumer(number));
        let words = [self.name, consumer];
        self.keep_books(|edit| edit.emit_alone(b"XGROUP DELCONSUMER", &words));
        Some(pending)
    }

    /// Ends that these entries are pending and says how many were. Effect: `XACK`.
    pub fn acknowledge(&mut self, ids: impl Iterator<Item = StreamId>) -> u64 {
        let mut acknowledged = 0;
        for id in ids {
            if self.change(|group| group.acknowledge(id)) {
                let words: [&[u8]; 2] = [self.name, &id.text()];
                // One effect for all ids of the call: the group's name comes with the first only.
                let again = usize::from(acknowledged > 0);
                self.keep_books(|edit| edit.emit(b"XACK", &words[again..]));
                acknowledged += 1;
            }
        }
        self.edit.end_effect();
        acknowledged
    }

    /// Gives a consumer up to `max` entries that the group was not given yet, telling each, until
    /// that says no. They are pending for it then, if that is wanted. Effects: `XCLAIM`, `XGROUP
    /// SETID`.
    pub fn deliver(
        &mut self,
        consumer: &[u8],
        max: usize,
        pends: bool,
        mut tell: impl FnMut(&StreamEntry<'_>) -> bool,
    ) {
        let now = self.edit.now();
        let Some(start) = self.last_id().next() else {
            return;
        };
        let (number, _) = self.find_or_create(consumer);
        let body = self.edit.parts().value.body_mut();
        let delivered = body.change_group(self.at, |group, nodes, marks| {
            let range = super::range::StreamRange::new(nodes, start, StreamId::MAX);
            let mut delivered = Vec::new();
            for entry in range.take(max) {
                let goes_on = tell(&entry);
                let id = entry.id();
                // Entry by entry, since deletions in between decide whether the number is still
                // known.
                group.entries_read = marks.read_on(group.entries_read, group.last_id, id);
                group.last_id = id;
                delivered.push(id);
                if !goes_on {
                    break;
                }
            }
            if pends {
                group.assign_all(&delivered, number, now);
            }
            delivered
        });
        if delivered.is_empty() {
            return;
        }
        if pends {
            self.emit_delivery(consumer, &delivered, now, 1);
        }
        self.emit_last_id();
    }

    /// Gives a consumer again up to `max` of the entries that are pending for it, from an id on,
    /// telling each, until that says no; those that were deleted are told without entry. Effects:
    /// `XCLAIM`.
    pub fn deliver_again(
        &mut self,
        consumer: &[u8],
        start: StreamId,
        max: usize,
        mut tell: impl FnMut(StreamId, Option<&StreamEntry<'_>>) -> bool,
    ) {
        let now = self.edit.now();
        let Some(number) = self.group().consumers.find(consumer) else {
            return;
        };
        let body = self.edit.parts().value.body_mut();
        let delivered = body.change_group(self.at, |group, nodes, _| {
            let (mut told, mut delivered) = (Vec::new(), Vec::new());
            let ids = group.consumers.get(number).pending.iter_from(start);
            for id in ids.take(max) {
                let entry = super::range::StreamRange::new(nodes, *id, *id).next();
                let goes_on = tell(*id, entry.as_ref());
                if entry.is_some() {
                    told.push(*id);
                }
                if !goes_on {
                    break;
                }
            }
            // The consumer's own list has the ids; when and how often is with the group.
            for id in told {
                let deliveries = group.redeliver(id, now);
                delivered.extend(deliveries.map(|deliveries| (id, deliveries)));
            }
            delivered
        });
        for (id, deliveries) in delivered {
            self.emit_delivery(consumer, &[id], now, deliveries);
        }
    }

    /// Hands up to `max` pending entries over to a consumer that were delivered at least so long
    /// ago or released, whoever has them, the oldest delivery first; tells each, until that says
    /// no. Effect: `XCLAIM`.
    pub fn claim_idle(
        &mut self,
        consumer: &[u8],
        min_idle_ms: u64,
        max: usize,
        mut tell: impl FnMut(&StreamEntry<'_>, IdleEntry) -> bool,
    ) {
        let now = self.edit.now();
        let (number, _) = self.find_or_create(consumer);
        if self.group().by_time.is_none() {
            // Its bytes are accounted for as those of a change; no reader can tell.
            self.change(ConsumerGroup::order_by_time);
            self.keep_books(|edit| edit.count(1));
        }
        let body = self.edit.parts().value.body_mut();
        let claimed = body.change_group(self.at, |group, nodes, _| {
            let mut claimed: Vec<(StreamId, u64)> = Vec::new();
            // Nothing is idle before it is delivered.
            let is_idle = |at_ms: u64| now.checked_sub(at_ms).is_some_and(|it| it >= min_idle_ms);
            let by_time = group.by_time.iter().flat_map(|it| it.iter());
            for it in by_time.take_while(|it| is_idle(it.at_ms)) {
                if claimed.len() == max {
                    break;
                }
                let Some(entry) = super::range::StreamRange::new(nodes, it.id, it.id).next() else {
                    continue;
                };
                let deliveries = group.pending.get(it.id).map_or(0, |it| it.deliveries);
                let idle_ms = now - it.at_ms;
                claimed.push((it.id, deliveries));
                if !tell(
                    &entry,
                    IdleEntry {
                        idle_ms,
                        deliveries,
                    },
                ) {
                    break;
                }
            }
            for (id, deliveries) in &mut claimed {
                *deliveries = deliveries.saturating_add(1);
                group.assign(Pending {
                    id: *id,
                    delivered_ms: now,
                    deliveries: *deliveries,
                    consumer: number,
                    order: 0,
                });
            }
            if !claimed.is_empty() {
                let active = |it: &mut super::group::Consumer| it.active_ms = Some(now);
                group.consumers.change(number, active);
            }
            claimed
        });
        // Those that were delivered equally often make one effect.
        for run in claimed.chunk_by(|one, next| one.1 == next.1) {
            let ids: Vec<StreamId> = run.iter().map(|it| it.0).collect();
            self.emit_delivery(consumer, &ids, now, run[0].1);
        }
    }

    /// Takes pending entries from whoever has them, so that anybody may claim them at once, and
    /// says how many. Those that do not exist are left alone; those that are not pending as well,
    /// or become it by force. Effect: `XNACK`.
    pub fn release(
        &mut self,
        ids: impl Iterator<Item = StreamId>,
        recount: Recount,
        force: bool,
    ) -> u64 {
        let mut released = 0;
        for id in ids {
            let there = self.group().pending.get(id).map(|it| it.deliveries);
            if self.body().entry(id).is_none() || there.is_none() && !force {
                continue;
            }
            let deliveries = match recount {
                Recount::Less => there.unwrap_or(0).saturating_sub(1),
                Recount::Same => there.unwrap_or(0),
                Recount::To(count) => count,
            };
            self.change(|group| {
                group.assign(Pending::released(id, deliveries));
            });
            let (name, mut count) = (self.name, IntText::default());
            let words: [&[u8]; 8] = [
                name,
                b"FAIL",
                b"IDS",
                b"1",
                &id.text(),
                b"RETRYCOUNT",
                count.unsigned(deliveries),
                b"FORCE",
            ];
            self.keep_books(|edit| edit.emit_alone(b"XNACK", &words));
            released += 1;
        }
        released
    }

    /// Hands the entries with these ids over to a consumer, telling each that it gets. Effects:
    /// `XCLAIM`; `XACK` for those that were deleted.
    pub fn claim(
        &mut self,
        consumer: &[u8],
        ids: impl Iterator<Item = StreamId>,
        claim: &Claim,
        mut tell: impl FnMut(&StreamEntry<'_>),
    ) {
        let (number, _) = self.find_or_create(consumer);
        for id in ids {
            match self.claim_one(consumer, number, id, claim) {
                Outcome::Given => {
                    let entry = self.body().entry(id);
                    tell(&entry.expect("what does not exist is not given"));
                }
                Outcome::Deleted | Outcome::Kept => {}
            }
        }
    }

    /// Hands pending entries over to a consumer, from an id on, telling each that it gets, as far
    /// as the quota goes. Effects as for [`claim`](Self::claim).
    pub fn claim_from(
        &mut self,
        consumer: &[u8],
        start: StreamId,
        quota: ClaimQuota,
        claim: &Claim,
        mut tell: impl FnMut(&StreamEntry<'_>),
    ) -> Claimed {
        let (number, _) = self.find_or_create(consumer);
        let mut claimed = Claimed::default();
        let (mut next, mut left) = (Some(start), quota.claimed);
        // Entries that are not idle for long enough cost a look and give nothing: the looks are
        // limited, too.
        for _ in 0..quota.looks {
            let Some(id) = self.first_pending(next).filter(|_| left > 0) else {
                break;
            };
            next = id.next();
            match self.claim_one(consumer, number, id, claim) {
                Outcome::Given => {
                    let entry = self.body().entry(id);
                    tell(&entry.expect("what does not exist is not given"));
                    left -= 1;
                }
                Outcome::Deleted => {
                    claimed.deleted.push(id);
                    left -= 1;
                }
                Outcome::Kept => {}
            }
        }
        claimed.next = self.first_pending(next).unwrap_or_default();
        claimed
    }

    /// The first pending id from one on.
    fn first_pending(&self, from: Option<StreamId>) -> Option<StreamId> {
        let pending = &self.group().pending;
        Some(pending.at(pending.from(from?))?.id)
    }

    fn claim_one(&mut self, consumer: &[u8], number: u32, id: StreamId, claim: &Claim) -> Outcome {
        let there = self.group().pending.get(id).copied();
        if self.body().entry(id).is_none() {
            if there.is_none() {
                return Outcome::Kept;
            }
            // What was deleted from the stream cannot be handled any more, so that it is not
            // pending for anybody.
            self.change(|group| group.acknowledge(id));
            let words: [&[u8]; 2] = [self.name, &id.text()];
            self.keep_books(|edit| edit.emit_alone(b"XACK", &words));
            return Outcome::Deleted;
        }
        let now = self.edit.now();
        // The time of a delivery comes from clients as well and may lie ahead: differences wrap, as
        // in Redis.
        let idle = |there: &Pending| (now as i64).wrapping_sub(there.delivered_ms as i64);
        let deliveries = match there {
            None if !claim.force => return Outcome::Kept,
            None => 1,
            Some(there) if claim.min_idle_ms > 0 && idle(&there) < claim.min_idle_ms => {
                return Outcome::Kept;
            }
            Some(there) => there.deliveries,
        };
        let once_more = u64::from(!claim.uncounted);
        let new = Pending {
            id,
            delivered_ms: claim.delivered_ms,
            deliveries: claim
                .deliveries
                .unwrap_or(deliveries.wrapping_add(once_more)),
            consumer: number,
            order: 0,
        };
        self.change(|group| {
            group.assign(new);
            group
                .consumers
                .change(number, |it| it.active_ms = Some(now));
        });
        self.emit_delivery(consumer, &[id], new.delivered_ms, new.deliveries);
        Outcome::Given
    }

    /// States that these entries were delivered, and with them the last id delivered. Effect:
    /// `XCLAIM`.
    fn emit_delivery(
        &mut self,
        consumer: &[u8],
        ids: &[StreamId],
        delivered_ms: UnixMs,
        deliveries: u64,
    ) {
        let (last_id, name) = (self.last_id(), self.name);
        let (mut time, mut times) = (IntText::default(), IntText::default());
        // The whole outcome in absolute terms: repeating the effect gives the same state, whatever
        // the time is there.
        let options: [&[u8]; 8] = [
            b"TIME",
            time.unsigned(delivered_ms),
            b"RETRYCOUNT",
            times.unsigned(deliveries),
            b"FORCE",
            b"JUSTID",
            b"LASTID",
            &last_id.text(),
        ];
        self.keep_books(|edit| {
            edit.end_effect();
            edit.emit(b"XCLAIM", &[name, consumer, b"0"]);
            for id in ids {
                edit.emit(b"XCLAIM", &[&*id.text()]);
            }
            edit.emit(b"XCLAIM", &options);
            edit.end_effect();
        });
    }
}

/// The result for an entry that was to be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Given,
    /// It does not exist, and is no longer pending.
    Deleted,
    /// Nothing.
    Kept,
}
