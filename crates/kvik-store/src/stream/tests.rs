//! Streams through the guard against a naive model, their bytes counted anew after each change, and
//! their effects played into a second store.
//!
//! The file is long because the model repeats all that a stream does, its groups included, and
//! every operation is applied to both sides in one place. Half a model would not find what
//! halves do to each other.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::*;
use crate::trial::Store;
use crate::{Claim, ClaimQuota, KeyspaceId, NewId, Recount, StreamMut, ValueRef};

fn store(node_entries: i64) -> Store {
    let store = Store::new(1).telling();
    store
        .limits
        .stream_node_entries
        .store(node_entries, Relaxed);
    store
}

fn edit<R>(store: &mut Store, change: impl FnOnce(&mut StreamMut<'_>) -> R) -> R {
    store.run(|guard| change(&mut guard.entry(b"s").stream_mut().unwrap()))
}

/// Fields and values in turn.
type Words = Vec<Vec<u8>>;

#[derive(Clone, Debug, Default, PartialEq)]
struct GroupModel {
    last_id: StreamId,
    /// Consumer, time and number of deliveries.
    pending: BTreeMap<StreamId, (u8, u64, u64)>,
    consumers: std::collections::BTreeSet<u8>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: BTreeMap<StreamId, Words>,
    last_id: StreamId,
    max_deleted_id: StreamId,
    added: u64,
    groups: BTreeMap<u8, GroupModel>,
}

#[derive(Clone, Debug)]
enum Op {
    Append(u64, Words),
    Fill(u16),
    Delete(Vec<u16>),
    Trim(Trim),
    SetLastId(u64),
    CreateGroup(u8, u16),
    DestroyGroup(u8),
    SetGroupId(u8, u16),
    CreateConsumer(u8, u8),
    DeleteConsumer(u8, u8),
    Deliver(u8, u8, usize, bool),
    DeliverAgain(u8, u8, u16, usize),
    Acknowledge(u8, Vec<u16>),
    Claim(u8, u8, Vec<u16>, bool, bool),
    ClaimFrom(u8, u8, u16, u64),
    Pass(u64),
    DeleteUnless(Vec<u16>, References),
    AcknowledgeAndDelete(u8, Vec<u16>, References),
    Release(u8, Vec<u16>, Recount, bool),
    ClaimIdle(u8, u8, u64, usize),
}

/// Who has what was released.
const RELEASED: u8 = 255;

impl Model {
    /// Some id at or near the one of the `n`-th entry.
    fn id(&self, n: u16) -> StreamId {
        let ids: Vec<StreamId> = self.entries.keys().copied().collect();
        match ids.get(usize::from(n) % (ids.len() + 2)) {
            Some(id) => *id,
            None => StreamId::new(u64::from(n) % 40, 1),
        }
    }

    fn is_referenced(&self, id: StreamId) -> bool {
        let mut groups = self.groups.values();
        groups.any(|group| group.last_id < id || group.pending.contains_key(&id))
    }

    fn delete(&mut self, id: StreamId, references: References) -> Deletion {
        if references == References::Acked && self.is_referenced(id) {
            return Deletion::Referenced;
        }
        if self.entries.remove(&id).is_none() {
            return Deletion::Missing;
        }
        self.max_deleted_id = self.max_deleted_id.max(id);
        Deletion::Done
    }

    fn end_references(&mut self, ids: &[StreamId]) {
        for group in self.groups.values_mut() {
            group.pending.retain(|id, _| !ids.contains(id));
        }
    }

    fn append(&mut self, id: StreamId, words: &Words) {
        self.entries.insert(id, words.clone());
        self.last_id = id;
        self.added += 1;
    }

    fn claim(&mut self, group: u8, id: StreamId, to: (u8, u64), force: bool, counts: bool) -> bool {
        let exists = self.entries.contains_key(&id);
        let group = self.groups.get_mut(&group).unwrap();
        match group.pending.get_mut(&id) {
            Some(_) if !exists => {
                group.pending.remove(&id);
                false
            }
            Some(there) => {
                *there = (to.0, to.1, there.2 + u64::from(counts));
                true
            }
            None if force && exists => {
                let deliveries = 1 + u64::from(counts);
                group.pending.insert(id, (to.0, to.1, deliveries));
                true
            }
            None => false,
        }
    }
}

fn apply(store: &mut Store, model: &mut Model, op: &Op) {
    let now = store.now;
    match op {
        Op::Append(ms, words) => {
            let id = StreamId::new(
                model.last_id.ms + ms,
                model.last_id.seq * u64::from(*ms == 0) + 1,
            );
            append(store, NewId::Full(id), words);
            model.append(id, words);
        }
        Op::Fill(count) => {
            for n in 0..*count {
                let words = vec![b"n".to_vec(), n.to_string().into_bytes()];
                let id = append(store, NewId::Ms(model.last_id.ms), &words);
                model.append(id, &words);
            }
        }
        Op::Delete(ids) => {
            let ids: Vec<StreamId> = ids.iter().map(|n| model.id(*n)).collect();
            let deleted = edit(store, |stream| stream.delete(ids.iter().copied()));
            let there = ids.iter().filter(|id| model.entries.remove(id).is_some());
            let there: Vec<&StreamId> = there.collect();
            assert_eq!(deleted, there.len() as u64);
            let largest = there.into_iter().max().copied().unwrap_or_default();
            model.max_deleted_id = model.max_deleted_id.max(largest);
        }
        Op::Trim(trim) => trim_both(store, model, trim),
        Op::SetLastId(ms) => {
            model.last_id.ms += ms;
            let id = model.last_id;
            edit(store, |stream| stream.set_last_id(id, None, None));
        }
        Op::Pass(ms) => store.now += ms,
        Op::CreateGroup(group, n) => {
            let id = model.id(*n);
            let created = edit(store, |stream| stream.create_group(&[*group], id, None));
            assert_eq!(created, !model.groups.contains_key(group));
            model.groups.entry(*group).or_insert_with(|| GroupModel {
                last_id: id,
                ..GroupModel::default()
            });
        }
        Op::DestroyGroup(group) => {
            let destroyed = edit(store, |stream| stream.destroy_group(&[*group]));
            assert_eq!(destroyed, model.groups.remove(group).is_some());
        }
        Op::DeleteUnless(ids, references) => {
            let ids: Vec<StreamId> = ids.iter().map(|n| model.id(*n)).collect();
            let mut told = Vec::new();
            edit(store, |stream| {
                stream.delete_unless(&ids, *references, |outcome| told.push(outcome));
            });
            let expected = ids.iter().map(|id| model.delete(*id, *references));
            assert_eq!(told, expected.collect::<Vec<_>>());
            if *references == References::Delete {
                model.end_references(&ids);
            }
        }
        Op::AcknowledgeAndDelete(name, ids, references) => {
            let ids: Vec<StreamId> = ids.iter().map(|n| model.id(*n)).collect();
            acknowledge_and_delete(store, model, *name, &ids, *references);
        }
        Op::Release(name, ids, recount, force) => {
            let ids: Vec<StreamId> = ids.iter().map(|n| model.id(*n)).collect();
            release(store, model, *name, &ids, *recount, *force);
        }
        Op::ClaimIdle(name, consumer, idle_ms, max) => {
            claim_idle(store, model, (*name, *consumer), *idle_ms, *max);
        }
        _ => apply_to_group(store, model, op, now),
    }
}

fn acknowledge_and_delete(
    store: &mut Store,
    model: &mut Model,
    name: u8,
    ids: &[StreamId],
    references: References,
) {
    let mut told = Vec::new();
    edit(store, |stream| {
        let tell = |outcome| told.push(outcome);
        stream.acknowledge_and_delete(&[name], ids, references, tell);
    });
    let Some(group) = model.groups.get_mut(&name) else {
        assert_eq!(told, []);
        return;
    };
    let was_pending: Vec<bool> = ids
        .iter()
        .map(|id| group.pending.remove(id).is_some())
        .collect();
    let mut gone = Vec::new();
    for ((id, was_pending), outcome) in ids.iter().zip(was_pending).zip(told) {
        let expected = match was_pending {
            false => Deletion::Missing,
            true => match model.delete(*id, references) {
                Deletion::Missing => Deletion::Done,
                outcome => outcome,
            },
        };
        assert_eq!(outcome, expected);
        gone.extend(was_pending.then_some(*id));
    }
    if references == References::Delete {
        model.end_references(&gone);
    }
}

fn release(
    store: &mut Store,
    model: &mut Model,
    name: u8,
    ids: &[StreamId],
    recount: Recount,
    force: bool,
) {
    let released = edit(store, |stream| {
        let name = [name];
        let group = stream.group_mut(&name);
        group.map(|mut group| group.release(ids.iter().copied(), recount, force))
    });
    let mut expected = 0;
    let Some(group) = model.groups.get_mut(&name) else {
        assert_eq!(released, None);
        return;
    };
    for id in ids.iter().filter(|id| model.entries.contains_key(id)) {
        let Some(count) = group.pending.get(id).map(|it| it.2).or(force.then_some(0)) else {
            continue;
        };
        let count = match recount {
            Recount::Less => count.saturating_sub(1),
            Recount::Same => count,
            Recount::To(count) => count,
        };
        group.pending.insert(*id, (RELEASED, 0, count));
        expected += 1;
    }
    assert_eq!(released, Some(expected));
}

fn claim_idle(
    store: &mut Store,
    model: &mut Model,
    (name, consumer): (u8, u8),
    idle_ms: u64,
    max: usize,
) {
    let now = store.now;
    let mut told = Vec::new();
    let claimed = edit(store, |stream| {
        let name = [name];
        let group = stream.group_mut(&name);
        group.map(|mut group| {
            group.claim_idle(&[consumer], idle_ms, max, |entry, before| {
                told.push((entry.id(), before.idle_ms, before.deliveries));
                true
            });
        })
    });
    let Some(group) = model.groups.get_mut(&name) else {
        assert_eq!(claimed, None);
        return;
    };
    group.consumers.insert(consumer);
    let entries = &model.entries;
    let eligible = |(id, it): &(&StreamId, &(u8, u64, u64))| {
        entries.contains_key(id) && now.checked_sub(it.1).is_some_and(|idle| idle >= idle_ms)
    };
    let eligible = group.pending.iter().filter(eligible);
    let mut delivered: Vec<u64> = eligible.map(|(_, it)| it.1).collect();
    delivered.sort_unstable();
    delivered.truncate(max);
    // The oldest deliveries come first.
    let told_times: Vec<u64> = told.iter().map(|(_, idle, _)| now - idle).collect();
    assert_eq!(told_times, delivered);
    for (id, idle, deliveries) in told {
        let there = group.pending.get_mut(&id).unwrap();
        assert_eq!((there.1, there.2), (now - idle, deliveries));
        *there = (consumer, now, deliveries.saturating_add(1));
    }
}

fn append(store: &mut Store, id: NewId, words: &Words) -> StreamId {
    edit(store, |stream| {
        stream.append(id, words.iter().map(Vec::as_slice)).unwrap()
    })
}

fn trim_both(store: &mut Store, model: &mut Model, trim: &Trim) {
    let to = match trim.to {
        TrimTo::MinId(id) => TrimTo::MinId(model.id(id.seq as u16)),
        len => len,
    };
    let trim = Trim { to, ..*trim };
    let deleted = edit(store, |stream| stream.trim(&trim));
    if trim.references != References::Keep {
        return trimmed_by_entry(model, &trim, deleted);
    }
    let exact = match to {
        TrimTo::Len(max) => (model.entries.len() as u64).saturating_sub(max),
        TrimTo::MinId(id) => model.entries.range(..id).count() as u64,
    };
    match trim.precision {
        Precision::Exact => assert_eq!(deleted, exact),
        Precision::WholeNodes(limit) => {
            let limit = limit.filter(|limit| *limit > 0).unwrap_or(u64::MAX);
            assert!(deleted <= exact.min(limit));
        }
    }
    (0..deleted).for_each(|_| drop(model.entries.pop_first()));
}

/// Follows a trim that has looked at the references of each entry.
fn trimmed_by_entry(model: &mut Model, trim: &Trim, deleted: u64) {
    let is_acked = trim.references == References::Acked;
    let free = |id: &&StreamId| !is_acked || !model.is_referenced(**id);
    let (left, below) = match trim.to {
        TrimTo::Len(max) => (
            (model.entries.len() as u64).saturating_sub(max),
            StreamId::MAX,
        ),
        TrimTo::MinId(id) => (u64::MAX, id),
    };
    let going: Vec<StreamId> = model
        .entries
        .range(..below)
        .map(|(id, _)| id)
        .filter(free)
        .take(left.min(usize::MAX as u64) as usize)
        .copied()
        .collect();
    match trim.precision {
        Precision::Exact => assert_eq!(deleted, going.len() as u64),
        Precision::WholeNodes(_) => assert!(deleted <= going.len() as u64),
    }
    let gone = &going[..deleted as usize];
    gone.iter().for_each(|id| drop(model.entries.remove(id)));
    if !is_acked {
        model.end_references(gone);
    }
}

fn apply_to_group(store: &mut Store, model: &mut Model, op: &Op, now: u64) {
    let (Op::SetGroupId(name, _)
    | Op::CreateConsumer(name, _)
    | Op::DeleteConsumer(name, _)
    | Op::Deliver(name, ..)
    | Op::DeliverAgain(name, ..)
    | Op::Acknowledge(name, _)
    | Op::Claim(name, ..)
    | Op::ClaimFrom(name, ..)) = *op
    else {
        unreachable!("the others are about streams");
    };
    if !model.groups.contains_key(&name) {
        assert!(edit(store, |stream| stream.group_mut(&[name]).is_none()));
        return;
    }
    if matches!(op, Op::Claim(..) | Op::ClaimFrom(..)) {
        return apply_claim(store, model, op, now);
    }
    let mut told = Vec::new();
    let mut expected = Vec::new();
    let before = model.clone();
    let group = model.groups.get_mut(&name).unwrap();
    edit(store, |stream| {
        let name = [name];
        let mut edit = stream.group_mut(&name).unwrap();
        match op {
            Op::SetGroupId(_, n) => {
                group.last_id = before.id(*n);
                edit.set_last_id(group.last_id, None);
            }
            Op::CreateConsumer(_, consumer) => {
                let created = group.consumers.insert(*consumer);
                assert_eq!(edit.create_consumer(&[*consumer]), created);
            }
            Op::DeleteConsumer(_, consumer) => {
                let own = group.pending.values().filter(|it| it.0 == *consumer);
                let own = own.count();
                let existed = group.consumers.remove(consumer);
                assert_eq!(edit.delete_consumer(&[*consumer]), existed.then_some(own));
                group.pending.retain(|_, it| it.0 != *consumer);
            }
            Op::Deliver(_, consumer, max, pends) => {
                edit.deliver(&[*consumer], *max, *pends, |entry| {
                    told.push(entry.id());
                    true
                });
                group.consumers.insert(*consumer);
                let news = before.entries.keys().filter(|id| **id > group.last_id);
                expected.extend(news.take(*max));
                for id in &expected {
                    group.last_id = *id;
                    if *pends {
                        group.pending.insert(*id, (*consumer, now, 1));
                    }
                }
            }
            Op::DeliverAgain(_, consumer, n, max) => {
                let start = before.id(*n);
                edit.deliver_again(&[*consumer], start, *max, |id, entry| {
                    assert_eq!(entry.is_some(), before.entries.contains_key(&id));
                    told.push(id);
                    true
                });
                let own = group.pending.range_mut(start..);
                for (id, there) in own.filter(|(_, it)| it.0 == *consumer).take(*max) {
                    expected.push(*id);
                    if before.entries.contains_key(id) {
                        *there = (*consumer, now, there.2 + 1);
                    }
                }
            }
            Op::Acknowledge(_, ids) => {
                let ids: Vec<StreamId> = ids.iter().map(|n| before.id(*n)).collect();
                let acknowledged = edit.acknowledge(ids.iter().copied());
                let there = ids.iter().filter(|id| group.pending.remove(id).is_some());
                assert_eq!(acknowledged, there.count() as u64);
            }
            _ => {}
        }
    });
    assert_eq!(told, expected, "{op:?}");
}

fn apply_claim(store: &mut Store, model: &mut Model, op: &Op, now: u64) {
    let mut told = Vec::new();
    let mut expected = Vec::new();
    let before = model.clone();
    match op {
        Op::Claim(name, consumer, ids, force, uncounted) => {
            let ids: Vec<StreamId> = ids.iter().map(|n| before.id(*n)).collect();
            let claim = claim(now, *force, *uncounted);
            let to = (*consumer, now);
            let given = |id: &&StreamId| model.claim(*name, **id, to, *force, !uncounted);
            expected = ids.iter().filter(given).copied().collect();
            edit(store, |stream| {
                let name = [*name];
                let mut edit = stream.group_mut(&name).unwrap();
                edit.claim(&[*consumer], ids.into_iter(), &claim, |entry| {
                    told.push(entry.id());
                });
            });
            model
                .groups
                .get_mut(name)
                .unwrap()
                .consumers
                .insert(*consumer);
        }
        Op::ClaimFrom(name, consumer, n, max) => {
            let start = before.id(*n);
            let claimed = edit(store, |stream| {
                let name = [*name];
                let mut edit = stream.group_mut(&name).unwrap();
                let claim = claim(now, false, false);
                let quota = ClaimQuota {
                    claimed: *max,
                    looks: *max * Claim::LOOKS,
                };
                edit.claim_from(&[*consumer], start, quota, &claim, |entry| {
                    told.push(entry.id());
                })
            });
            let pending = &before.groups[name].pending;
            let mut ids = pending.range(start..).map(|(id, _)| *id);
            let ids_looked_at: Vec<StreamId> = ids.by_ref().take(*max as usize).collect();
            let mut deleted = Vec::new();
            for id in ids_looked_at {
                if model.claim(*name, id, (*consumer, now), false, true) {
                    expected.push(id);
                } else {
                    deleted.push(id);
                }
            }
            assert_eq!(claimed.deleted, deleted);
            assert_eq!(claimed.next, ids.next().unwrap_or_default());
            model
                .groups
                .get_mut(name)
                .unwrap()
                .consumers
                .insert(*consumer);
        }
        _ => unreachable!("the others are no claims"),
    }
    assert_eq!(told, expected, "{op:?}");
}

fn claim(now: u64, force: bool, uncounted: bool) -> Claim {
    Claim {
        min_idle_ms: 0,
        delivered_ms: now,
        deliveries: None,
        force,
        uncounted,
    }
}

fn words_of(entry: &StreamEntry<'_>) -> Words {
    let mut text = crate::IntText::default();
    let mut words = Vec::new();
    for (name, value) in entry.fields() {
        words.push(name.text(&mut text).to_vec());
        words.push(value.text(&mut text).to_vec());
    }
    assert_eq!(words.len(), 2 * entry.len());
    words
}

fn check(store: &mut Store, model: &Model) {
    let live = store.stripes.0[0].heap.live_bytes();
    store.run(|guard| {
        let Some(view) = guard.peek(b"s") else {
            assert_eq!((model, live), (&Model::default(), 0));
            return;
        };
        let ValueRef::Stream(stream) = view.value() else {
            unreachable!("only a stream is made");
        };
        assert_eq!(stream.body.bytes(), stream.body.counted_bytes());
        assert_eq!(view.bytes(), live);
        check_entries(&stream, model);
        let names: Vec<u8> = stream.groups().map(|group| group.name()[0]).collect();
        assert!(names.iter().eq(model.groups.keys()));
        for (name, group) in &model.groups {
            check_group(&stream.group(&[*name]).unwrap(), group);
        }
    });
}

fn check_entries(stream: &StreamRef<'_>, model: &Model) {
    assert_eq!(stream.len(), model.entries.len() as u64);
    assert_eq!(stream.last_id(), model.last_id);
    assert_eq!(stream.max_deleted_id(), model.max_deleted_id);
    assert_eq!(stream.entries_added(), model.added);
    let first = model.entries.keys().next().copied().unwrap_or_default();
    assert_eq!(stream.first_id(), first);
    assert_eq!(
        stream.last_entry_id(),
        model.entries.keys().next_back().copied()
    );
    let pairs = |entry: StreamEntry<'_>| (entry.id(), words_of(&entry));
    let expected = || model.entries.iter().map(|(id, words)| (*id, words.clone()));
    let (min, max) = (StreamId::MIN, StreamId::MAX);
    assert!(stream.range(min, max).map(pairs).eq(expected()));
    assert!(stream.range_back(min, max).map(pairs).eq(expected().rev()));
    let (start, end) = (model.id(3), model.id(17));
    let ids: Vec<StreamId> = stream.range(start, end).map(|entry| entry.id()).collect();
    let mut back: Vec<StreamId> = stream
        .range_back(start, end)
        .map(|entry| entry.id())
        .collect();
    back.reverse();
    let inside = model.entries.keys().filter(|id| (start..=end).contains(id));
    assert!(ids.iter().eq(inside) && ids == back);
    assert_eq!(
        stream.entry(start).is_some(),
        model.entries.contains_key(&start)
    );
}

fn check_group(group: &GroupRef<'_>, model: &GroupModel) {
    assert_eq!(group.last_id(), model.last_id);
    let all = group.pending(StreamId::MIN);
    let all: Vec<_> = all
        .map(|it| {
            let consumer = it.consumer.first().copied().unwrap_or(RELEASED);
            assert_eq!(it.is_released, consumer == RELEASED);
            (it.id, (consumer, it.delivered_ms, it.deliveries))
        })
        .collect();
    assert!(
        all.iter()
            .copied()
            .eq(model.pending.iter().map(|(id, it)| (*id, *it)))
    );
    assert_eq!(group.pending_len(), model.pending.len());
    let is_released = |it: &&(u8, u64, u64)| it.0 == RELEASED;
    let released = model.pending.values().filter(is_released).count();
    assert_eq!(
        (group.released_len(), group.released().len()),
        (released, released)
    );
    assert_eq!(group.consumers_len(), model.consumers.len());
    for (consumer, name) in group.consumers().zip(&model.consumers) {
        assert_eq!(consumer.name(), [*name]);
        let own = consumer.pending(StreamId::MIN).map(|it| it.id);
        let expected = model.pending.iter().filter(|it| it.1.0 == *name);
        assert!(own.eq(expected.map(|it| *it.0)));
    }
}

fn words() -> impl Strategy<Value = Words> {
    let word = prop_oneof![
        3 => Just(b"f".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..90),
        2 => any::<i16>().prop_map(|n| n.to_string().into_bytes()),
    ];
    prop::collection::vec(word, 2..7).prop_map(|mut words| {
        words.truncate(words.len() / 2 * 2);
        words
    })
}

fn references() -> impl Strategy<Value = References> {
    let all = [References::Keep, References::Delete, References::Acked];
    prop::sample::select(all.to_vec())
}

fn op() -> impl Strategy<Value = Op> {
    let (name, index) = (0u8..3, any::<u16>());
    let indices = || prop::collection::vec(any::<u16>(), 1..8);
    let to = prop_oneof![
        (0u64..60).prop_map(TrimTo::Len),
        any::<u16>().prop_map(|n| TrimTo::MinId(StreamId::new(0, n.into()))),
    ];
    let precision = prop_oneof![
        Just(Precision::Exact),
        prop::option::of(0u64..50).prop_map(Precision::WholeNodes),
    ];
    let pair = (name.clone(), name.clone());
    let recount = prop_oneof![
        Just(Recount::Less),
        Just(Recount::Same),
        (0u64..9).prop_map(Recount::To)
    ];
    prop_oneof![
        8 => (0u64..3, words()).prop_map(|(ms, words)| Op::Append(ms, words)),
        2 => (1u16..60).prop_map(Op::Fill),
        3 => indices().prop_map(Op::Delete),
        2 => (to, precision, references()).prop_map(|(to, precision, references)| {
            Op::Trim(Trim { to, precision, references })
        }),
        1 => (0u64..5).prop_map(Op::SetLastId),
        3 => (name.clone(), index).prop_map(|(g, n)| Op::CreateGroup(g, n)),
        1 => name.clone().prop_map(Op::DestroyGroup),
        1 => (name.clone(), index).prop_map(|(g, n)| Op::SetGroupId(g, n)),
        1 => pair.clone().prop_map(|(g, c)| Op::CreateConsumer(g, c)),
        1 => pair.clone().prop_map(|(g, c)| Op::DeleteConsumer(g, c)),
        6 => (pair.clone(), 1usize..30, any::<bool>()).prop_map(|((g, c), max, p)| Op::Deliver(g, c, max, p)),
        2 => (pair.clone(), index, 1usize..9).prop_map(|((g, c), n, max)| Op::DeliverAgain(g, c, n, max)),
        2 => (indices(), references()).prop_map(|(ids, refs)| Op::DeleteUnless(ids, refs)),
        2 => (name.clone(), indices(), references())
            .prop_map(|(g, ids, refs)| Op::AcknowledgeAndDelete(g, ids, refs)),
        2 => (name.clone(), indices(), recount, any::<bool>())
            .prop_map(|(g, ids, recount, force)| Op::Release(g, ids, recount, force)),
        2 => (pair.clone(), 0u64..300, 1usize..9)
            .prop_map(|((g, c), idle, max)| Op::ClaimIdle(g, c, idle, max)),
        3 => (name, indices()).prop_map(|(g, ids)| Op::Acknowledge(g, ids)),
        3 => (pair.clone(), indices(), any::<bool>(), any::<bool>())
            .prop_map(|((g, c), ids, force, uncounted)| Op::Claim(g, c, ids, force, uncounted)),
        2 => (pair, index, 1u64..9).prop_map(|((g, c), n, max)| Op::ClaimFrom(g, c, n, max)),
        2 => (1u64..500).prop_map(Op::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 128 }, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_is_what_was_done_to_it(
        ops in prop::collection::vec(op(), 1..80),
        node_entries in prop::sample::select(vec![0i64, 1, 4, 100]),
    ) {
        let (mut store, mut model) = (store(node_entries), Model::default());
        for op in &ops {
            apply(&mut store, &mut model, op);
            check(&mut store, &model);
        }
        if store.run(|guard| guard.copy(b"s", KeyspaceId(0), b"t")) {
            store.run(|guard| guard.rename(b"t", b"s"));
        }
        check(&mut store, &model);
        store.run(|guard| guard.delete(b"s"));
        while store.stripes.0[0].reclaim(8) {}
        prop_assert_eq!(store.stripes.0[0].heap.live_bytes(), 0);
        prop_assert!(!store.stripes.0[0].heap.has_doomed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 64 }))]

    #[test]
    fn a_copy_and_its_source_change_for_themselves(
        ops in prop::collection::vec(op(), 1..40),
        later in prop::collection::vec(op(), 1..40),
        fill in 0u16..1500,
        is_copy_kept in any::<bool>(),
    ) {
        let (mut store, mut model) = (store(2), Model::default());
        apply(&mut store, &mut model, &Op::Fill(fill));
        ops.iter().for_each(|op| apply(&mut store, &mut model, op));
        let before = model.clone();
        let copied = store.run(|guard| guard.copy(b"s", KeyspaceId(0), b"t"));
        later.iter().for_each(|op| apply(&mut store, &mut model, op));
        if copied && is_copy_kept {
            store.run(|guard| guard.rename(b"t", b"s"));
            model = before;
        } else {
            store.run(|guard| guard.delete(b"t"));
        }
        while store.stripes.0[0].reclaim(8) {}
        check(&mut store, &model);
    }
}

#[test]
fn a_copy_shares_what_neither_has_changed() {
    let mut store = delivered(20_000);
    let places = |store: &mut Store, key: &[u8]| -> Vec<*const u8> {
        store.run(|guard| match guard.peek(key).unwrap().value() {
            ValueRef::Stream(stream) => {
                let nodes = stream.body.nodes.iter();
                nodes.map(|node| node.pack_bytes().1.as_ptr()).collect()
            }
            other => unreachable!("{other:?} is no stream"),
        })
    };
    store.run(|guard| assert!(guard.copy(b"s", KeyspaceId(0), b"t")));
    let own = places(&mut store, b"s");
    let shared = own.len() - 1;
    assert_eq!(places(&mut store, b"t")[..shared], own[..shared]);
    // Trimming neither copies what goes away nor what stays, but for the chunk where it ends.
    let trim = |len| Trim {
        to: TrimTo::Len(len),
        precision: Precision::Exact,
        references: References::Keep,
    };
    edit(&mut store, |stream| stream.trim(&trim(2_000)));
    let left = places(&mut store, b"s");
    assert!(left.len() < 30);
    store.run(|guard| assert!(guard.delete(b"s")));
    while store.stripes.0[0].reclaim(8) {}
    assert_eq!(places(&mut store, b"t")[..shared], own[..shared]);
}

/// A stream with a group that has delivered all of it.
fn delivered(count: u16) -> Store {
    let (mut store, mut model) = (store(100), Model::default());
    apply(&mut store, &mut model, &Op::Fill(count));
    edit(&mut store, |stream| {
        stream.create_group(&[0], StreamId::MIN, None)
    });
    model.groups.insert(0, GroupModel::default());
    apply(&mut store, &mut model, &Op::Deliver(0, 1, usize::MAX, true));
    store
}

#[test]
fn what_is_large_is_freed_in_slices() {
    let mut store = delivered(20_000);
    edit(&mut store, |stream| {
        assert!(stream.destroy_group(&[0]));
        let to = TrimTo::Len(0);
        let precision = Precision::Exact;
        let references = References::Keep;
        let trim = Trim {
            to,
            precision,
            references,
        };
        assert_eq!(stream.trim(&trim), 20_000);
    });
    assert!(store.stripes.0[0].heap.has_doomed());
    let bytes = |store: &Store| store.stripes.0[0].heap.resident_bytes();
    let (before, mut slices) = (bytes(&store), 1);
    while store.stripes.0[0].reclaim(16) {
        slices += 1;
    }
    assert!(
        slices > 15 && bytes(&store) + 500_000 < before,
        "{slices} {before} {}",
        bytes(&store)
    );
}

#[test]
fn effects_say_what_happened() {
    let mut store = delivered(2);
    edit(&mut store, |stream| {
        stream
            .group_mut(&[0])
            .unwrap()
            .acknowledge([StreamId::new(0, 1)].into_iter())
    });
    assert_eq!(
        store.effects_as_text(),
        [
            "XADD s 0-1 n 0",
            "XADD s 0-2 n 1",
            "XGROUP CREATE s \\x00 0-0 MKSTREAM ENTRIESREAD -1",
            "XGROUP CREATECONSUMER s \\x00 \\x01",
            "XCLAIM s \\x00 \\x01 0 0-1 0-2 TIME 1000 RETRYCOUNT 1 FORCE JUSTID LASTID 0-2",
            "XGROUP SETID s \\x00 0-2 ENTRIESREAD 2",
            "XACK s \\x00 0-1",
        ]
    );
}
