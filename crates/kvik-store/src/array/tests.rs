//! Arrays through the guard against a naive model, their bytes counted anew after each change, and
//! their effects played into a second store.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::trial::Store;
use crate::{ArrayMut, KeyspaceId, ValueRef};

fn edit<R>(store: &mut Store, change: impl FnOnce(&mut ArrayMut<'_>) -> R) -> R {
    store.run(|guard| change(&mut guard.entry(b"a").array_mut().unwrap()))
}

/// The array of a key, if there is one.
fn read<R>(store: &mut Store, key: &[u8], read: impl FnOnce(ArrayRef<'_>) -> R) -> Option<R> {
    store.run(|guard| match guard.peek(key)?.value() {
        ValueRef::Array(array) => Some(read(array)),
        other => unreachable!("{other:?} is no array"),
    })
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    elements: BTreeMap<u64, Vec<u8>>,
    cursor: Option<u64>,
}

impl Model {
    fn len(&self) -> u64 {
        self.elements.keys().next_back().map_or(0, |last| last + 1)
    }

    /// As Redis describes ARRING, one position after the other.
    fn resize_ring(&mut self, size: u64) {
        let (len, next) = (self.len(), self.cursor.map_or(0, |it| it + 1));
        let grows = size > len && self.cursor.is_some() && next < len;
        if len == 0 || !(size < len || grows) {
            return;
        }
        let mut at = self.cursor.map_or(len - 1, |cursor| cursor % len);
        let mut kept = Vec::new();
        while kept.len() < size.min(len) as usize {
            let Some(value) = self.elements.get(&at) else {
                break;
            };
            kept.push(value.clone());
            at = if at == 0 { len - 1 } else { at - 1 };
        }
        kept.reverse();
        self.cursor = (kept.len() as u64).checked_sub(1);
        self.elements = (0..).zip(kept).collect();
    }
}

#[derive(Clone, Debug)]
enum Op {
    Set(u64, Vec<Vec<u8>>),
    SetOne(u64, Vec<u8>),
    Insert(Vec<Vec<u8>>),
    Ring(u64, Vec<Vec<u8>>),
    Delete(Vec<u64>),
    DeleteRange(u64, u64),
    Seek(u64),
    /// Copies the array, and goes on with the copy and, later, with what it was.
    Fork,
}

/// Near, at the ends of blocks, and far away.
fn index() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0u64..70,
        4 => 0u64..700,
        1 => (0u64..5).prop_map(|n| 1 << (20 + 10 * n)),
        1 => (1u64..70).prop_map(|n| u64::MAX - n),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0i64..100_000).prop_map(|n| n.to_string().into_bytes()),
        4 => prop::collection::vec(any::<u8>(), 0..20),
        2 => (0usize..1500, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        1 => (4000usize..9000, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let values = || prop::collection::vec(value(), 1..12);
    prop_oneof![
        6 => (index(), values()).prop_map(|(at, values)| Op::Set(at, values)),
        6 => (index(), value()).prop_map(|(at, value)| Op::SetOne(at, value)),
        4 => values().prop_map(Op::Insert),
        2 => (1u64..40, values()).prop_map(|(size, values)| Op::Ring(size, values)),
        4 => prop::collection::vec(index(), 1..6).prop_map(Op::Delete),
        2 => (index(), index()).prop_map(|(one, other)| Op::DeleteRange(one.min(other), one.max(other))),
        1 => index().prop_map(Op::Seek),
        1 => Just(Op::Fork),
    ]
}

fn words(values: &[Vec<u8>]) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
    values.iter().map(Vec::as_slice)
}

fn apply(store: &mut Store, model: &mut Model, op: &Op) {
    match op {
        Op::Set(at, values) => {
            let at = (*at).min(u64::MAX - values.len() as u64);
            let filled = edit(store, |array| array.set(at, words(values)));
            let new = (at..).zip(values).filter(|(at, value)| {
                let before = model.elements.insert(*at, value.to_vec());
                before.is_none()
            });
            assert_eq!(filled, new.count() as u64);
        }
        Op::SetOne(at, value) => {
            let is_new = edit(store, |array| array.set_one(*at, value));
            assert_eq!(is_new, model.elements.insert(*at, value.clone()).is_none());
        }
        Op::Insert(values) => {
            let last = edit(store, |array| array.insert(words(values)));
            let first = model.cursor.map_or(Some(0), |it| it.checked_add(1));
            let end = first.and_then(|first| first.checked_add(values.len() as u64));
            assert_eq!(last, end.map(|end| end - 1));
            if let (Some(first), Some(last)) = (first, last) {
                model.elements.extend((first..).zip(values.iter().cloned()));
                model.cursor = Some(last);
            }
        }
        Op::Ring(size, values) => {
            let last = edit(store, |array| array.insert_in_ring(*size, words(values)));
            model.resize_ring(*size);
            for value in values {
                let at = model.cursor.map_or(0, |it| it + 1) % size;
                model.elements.insert(at, value.clone());
                model.cursor = Some(at);
            }
            assert_eq!(Some(last), model.cursor);
        }
        Op::Delete(indexes) => {
            let deleted = edit(store, |array| array.delete(indexes.iter().copied()));
            let gone = indexes
                .iter()
                .filter(|at| model.elements.remove(at).is_some());
            assert_eq!(deleted, gone.count() as u64);
        }
        Op::DeleteRange(first, last) => {
            let deleted = edit(store, |array| array.delete_range(*first, *last));
            let before = model.elements.len();
            model.elements.retain(|at, _| !(first..=last).contains(&at));
            assert_eq!(deleted, (before - model.elements.len()) as u64);
        }
        Op::Seek(at) if !model.elements.is_empty() => {
            edit(store, |array| array.seek(*at));
            model.cursor = at.checked_sub(1);
        }
        Op::Seek(_) | Op::Fork => {}
    }
    // An array without elements is none.
    if model.elements.is_empty() {
        model.cursor = None;
    }
}

fn check(store: &mut Store, key: &[u8], model: &Model) {
    let mut room = crate::IntText::default();
    let is_there = read(store, key, |array| {
        assert_eq!(array.count(), model.elements.len() as u64);
        assert_eq!((array.len(), array.cursor()), (model.len(), model.cursor));
        let mut all = array.range(0, u64::MAX);
        for (index, value) in &model.elements {
            let (at, element) = all.next().expect("as many as the model has");
            assert_eq!((at, element.text(&mut room)), (*index, &value[..]));
            assert_eq!(
                array
                    .get(*index)
                    .map(|it| it.text(&mut room).to_vec())
                    .as_ref(),
                Some(value)
            );
        }
        assert!(all.next().is_none());
        assert!(array.body.is_sound());
        assert_eq!(array.body.bytes(), array.body.counted_bytes());
    });
    assert_eq!(is_there.is_some(), !model.elements.is_empty());
}

/// Plays effects into another store.
fn repeat(effects: Vec<Vec<Vec<u8>>>, mirror: &mut Store) {
    let number = |word: &[u8]| std::str::from_utf8(word).unwrap().parse::<u64>().unwrap();
    for effect in effects {
        let [verb, key, args @ ..] = &effect[..] else {
            unreachable!("an effect has a verb and a key");
        };
        mirror.run(|guard| {
            let mut array = guard.entry(&key[..]).array_mut().unwrap();
            match &verb[..] {
                b"ARSET" => {
                    array.set(number(&args[0]), words(&args[1..]));
                }
                b"ARMSET" => args.chunks(2).for_each(|pair| {
                    array.set_one(number(&pair[0]), &pair[1]);
                }),
                b"ARINSERT" => {
                    array.insert(words(args));
                }
                b"ARRING" => {
                    array.insert_in_ring(number(&args[0]), words(&args[1..]));
                }
                b"ARDEL" => {
                    array.delete(args.iter().map(|word| number(word)));
                }
                b"ARDELRANGE" => {
                    array.delete_range(number(&args[0]), number(&args[1]));
                }
                b"ARSEEK" => array.seek(number(&args[0])),
                other => unreachable!("{}", other.escape_ascii()),
            }
        });
    }
}

proptest! {
    #[test]
    fn it_is_a_map_with_a_cursor(
        ops in prop::collection::vec(op(), 1..40),
        bounds in (index(), index()),
    ) {
        let (mut store, mut mirror) = (Store::new(1).telling(), Store::new(1));
        let (mut model, mut copy) = (Model::default(), Model::default());
        for op in &ops {
            if let Op::Fork = op {
                let made = store.run(|guard| guard.copy(b"a", KeyspaceId(0), b"copy"));
                if made {
                    copy = model.clone();
                }
            }
            apply(&mut store, &mut model, op);
            check(&mut store, b"a", &model);
            check(&mut store, b"copy", &copy);
            let effects = store.take_effects();
            repeat(effects.into_iter().filter(|it| it[0] != b"COPY").collect(), &mut mirror);
            check(&mut mirror, b"a", &model);
        }
        store.upkeep();
        prop_assert_eq!(store.live_bytes(), store.accounted_bytes());
        let (from, to) = bounds;
        let _ = read(&mut store, b"a", |array| {
            let expected = model.elements.range(from.min(to)..=from.max(to)).map(|it| *it.0);
            let expected: Vec<u64> = match from > to {
                true => expected.rev().collect(),
                false => expected.collect(),
            };
            let found: Vec<u64> = array.range(from, to).map(|it| it.0).collect();
            assert_eq!(found, expected);
        });
    }
}

#[test]
fn holes_cost_nothing() {
    let mut store = Store::new(1);
    edit(&mut store, |array| {
        array.set_one(0, b"near");
        array.set_one(1 << 40, b"far");
        array.set_one(u64::MAX - 1, b"farthest");
    });
    let bytes = read(&mut store, b"a", |array| array.body.bytes());
    assert!(bytes.is_some_and(|bytes| bytes < 400), "{bytes:?}");
}

#[test]
fn small_elements_take_few_bytes() {
    let mut store = Store::new(1);
    for number in 0u64..10_000 {
        let text = (number % 1000).to_string();
        edit(&mut store, |array| {
            array.insert([text.as_bytes()].into_iter())
        });
    }
    let bytes = read(&mut store, b"a", |array| array.body.bytes());
    assert!(bytes.is_some_and(|bytes| bytes < 50_000), "{bytes:?}");
}

#[test]
fn what_is_large_is_freed_in_slices() {
    let mut store = Store::new(1);
    edit(&mut store, |array| {
        for at in 0..100_000 {
            array.set_one(at, b"an element");
        }
        assert_eq!(array.delete_range(10, 99_989), 99_980);
    });
    assert!(store.stripes.0[0].heap.has_doomed());
    let mut slices = 1;
    while store.stripes.0[0].reclaim(16) {
        slices += 1;
    }
    assert!(slices > 15, "{slices}");
    assert_eq!(store.live_bytes(), store.accounted_bytes());
}
