//! Lists through the guard, against a naive model, under changing bounds.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::change::ListMut;
use super::{ListEnd, ListRef};
use crate::trial::{Store, Words};
use crate::{Encoding, IntText, KeyspaceId, StringRef, ValueRef};

type Model = BTreeMap<u8, Vec<Vec<u8>>>;

#[derive(Clone, Debug)]
enum Op {
    Push(u8, bool, Vec<u16>),
    PushNear(u8, bool, Vec<u16>),
    Pop(u8, bool, u16),
    Turn(u8, bool, bool),
    Set(u8, u16, u16),
    Insert(u8, u16, bool, u16),
    Remove(u8, u16, bool, u16),
    Trim(u8, u16, u16),
    Copy(u8, u8),
    Rename(u8, u8),
    Expire(u8, Option<u64>),
    Bounds(i64, i64),
}

fn store(list_size: i64) -> Store {
    let store = Store::new(2).telling();
    store.limits.list_size.store(list_size, Relaxed);
    store
}

fn edit<R>(store: &mut Store, key: u8, change: impl FnOnce(&mut ListMut<'_>) -> R) -> R {
    store.run(|guard| change(&mut guard.entry(&[key]).list_mut().unwrap()))
}

fn elements(store: &mut Store, key: u8) -> Vec<Vec<u8>> {
    store.run(|guard| {
        let view = guard.peek(&[key]);
        view.map_or(Vec::new(), |view| texts(list(view.value())))
    })
}

fn encoding(store: &mut Store, key: u8) -> Encoding {
    store.run(|guard| guard.peek(&[key]).unwrap().encoding())
}

fn list(value: ValueRef<'_>) -> ListRef<'_> {
    match value {
        ValueRef::List(list) => list,
        other => unreachable!("{other:?} is no list"),
    }
}

fn texts(list: ListRef<'_>) -> Vec<Vec<u8>> {
    list.iter().map(text).collect()
}

fn text(element: StringRef<'_>) -> Vec<u8> {
    element.text(&mut IntText::default()).to_vec()
}

/// Elements of all kinds; equal ones are frequent.
fn element(n: u16) -> Vec<u8> {
    let len = [1, 1, 3, 12, 70, 700, 2500, 5000, 9000][usize::from(n) % 9];
    match n % 9 {
        0 => (i64::from(n) - 300).to_string().into_bytes(),
        _ => vec![b'a' + (n / 9 % 3) as u8; len],
    }
}

fn end(left: bool) -> ListEnd {
    if left { ListEnd::Left } else { ListEnd::Right }
}

fn push(model: &mut Vec<Vec<u8>>, left: bool, element: Vec<u8>) {
    let at = if left { 0 } else { model.len() };
    model.insert(at, element);
}

/// Adds elements where the list lies if it does so near its key, or elsewhere.
fn push_all(store: &mut Store, model: &mut Model, k: u8, left: bool, elements: Words, near: bool) {
    let pushed = elements.iter().map(Vec::as_slice);
    store.take_effects();
    edit(store, k, |list| {
        if !near {
            list.0.take_out();
        }
        list.push(end(left), pushed);
    });
    let verb: &[u8] = if left { b"LPUSH" } else { b"RPUSH" };
    let words = [verb.to_vec(), vec![k]].into_iter();
    let told: Words = words.chain(elements.iter().cloned()).collect();
    assert_eq!(store.take_effects(), [told]);
    let model = model.entry(k).or_default();
    let elements = elements.into_iter();
    elements.for_each(|element| push(model, left, element));
}

/// Takes elements off an end, where the list lies or out of its place.
fn pop(store: &mut Store, model: &mut Model, k: u8, left: bool, count: usize) {
    let (seen, popped) = edit(store, k, |list| {
        if count.is_multiple_of(2) {
            list.0.take_out();
        }
        let seen: Words = list
            .view()
            .elements(end(left), 0, count)
            .map(text)
            .collect();
        (seen, list.pop(end(left), count))
    });
    let model = model.entry(k).or_default();
    let mut expected = model.clone();
    if !left {
        expected.reverse();
    }
    expected.truncate(count);
    assert_eq!(seen, expected);
    assert_eq!(popped, count.min(model.len()));
    let rest = model.len() - popped;
    let _ = if left {
        model.drain(..popped)
    } else {
        model.drain(rest..)
    };
}

/// Deletes what is equal to an element, looking at a few at a time.
fn remove_in_parts(list: &mut ListMut<'_>, element: &[u8], left: bool, max: usize) -> usize {
    let (len, mut kept, mut removed) = (list.len(), 0, 0);
    while removed < max && kept + removed < len {
        let part = kept..kept + 3.min(len - kept - removed);
        let sweep = list.remove_in(element, end(left), max - removed, part);
        kept += sweep.looked - sweep.deleted;
        removed += sweep.deleted;
    }
    removed
}

fn apply(store: &mut Store, model: &mut Model, op: Op) {
    let near = matches!(op, Op::PushNear(..));
    match op {
        Op::Push(k, left, elements) | Op::PushNear(k, left, elements) => {
            let elements = elements.into_iter().map(element).collect();
            push_all(store, model, k, left, elements, near);
        }
        Op::Pop(k, left, count) => {
            pop(store, model, k, left, count.into());
        }
        Op::Turn(k, from, to) => {
            let turned = edit(store, k, |list| list.turn(end(from), end(to)));
            let model = model.entry(k).or_default();
            assert_eq!(turned, !model.is_empty());
            if turned {
                let at = if from { 0 } else { model.len() - 1 };
                let element = model.remove(at);
                push(model, to, element);
            }
        }
        Op::Set(k, index, n) => {
            let (index, element) = (usize::from(index), element(n));
            let set = edit(store, k, |list| list.set(index, &element));
            let there = model.entry(k).or_default().get_mut(index);
            assert_eq!(set, there.is_some());
            if let Some(there) = there {
                *there = element;
            }
        }
        Op::Insert(k, pivot, after, n) => {
            let (pivot, element) = (element(pivot), element(n));
            let model = model.entry(k).or_default();
            let found = model.iter().position(|there| *there == pivot);
            match found {
                // Whoever has searched in slices knows where it is.
                Some(index) if n.is_multiple_of(2) => edit(store, k, |list| {
                    list.insert_beside(index, &pivot, after, &element);
                }),
                _ => {
                    let inserted = edit(store, k, |list| list.insert(&pivot, after, &element));
                    assert_eq!(inserted, found.is_some());
                }
            }
            if let Some(at) = found {
                model.insert(at + usize::from(after), element);
            }
        }
        Op::Remove(k, n, left, max) => {
            let (element, max) = (element(n), usize::from(max));
            let removed = edit(store, k, |list| match max.is_multiple_of(2) {
                false => list.remove(&element, end(left), max),
                true => remove_in_parts(list, &element, left, max),
            });
            let model = model.entry(k).or_default();
            let matches: Vec<usize> = (0..model.len())
                .filter(|&at| model[at] == element)
                .collect();
            assert_eq!(removed, matches.len().min(max));
            let skip = if left { 0 } else { matches.len() - removed };
            for at in matches[skip..skip + removed].iter().rev() {
                model.remove(*at);
            }
        }
        Op::Trim(k, skip, count) => {
            let (skip, count) = (usize::from(skip), usize::from(count));
            edit(store, k, |list| list.trim(skip, count));
            let model = model.entry(k).or_default();
            model.truncate(skip + count);
            model.drain(..skip.min(model.len()));
        }
        Op::Copy(from, to) if from != to => {
            if store.run(|guard| guard.copy(&[from], KeyspaceId(0), &[to])) {
                model.insert(to, model[&from].clone());
            }
        }
        Op::Rename(from, to) if from != to => {
            if store.run(|guard| guard.rename(&[from], &[to])) {
                let elements = model.remove(&from).unwrap();
                model.insert(to, elements);
            }
        }
        Op::Copy(..) | Op::Rename(..) => {}
        Op::Expire(k, at) => store.expire(&[k], at),
        Op::Bounds(size, plain) => {
            store.limits.list_size.store(size, Relaxed);
            store.limits.list_plain_bytes.store(plain, Relaxed);
        }
    }
    model.retain(|_, elements| !elements.is_empty());
}

fn check(store: &mut Store, model: &Model) {
    let mut accounted = 0;
    for key in 0..3 {
        let expected = model.get(&key).cloned().unwrap_or_default();
        assert_eq!(elements(store, key), expected);
        store.run(|guard| {
            let Some(view) = guard.peek(&[key]) else {
                return;
            };
            accounted += view.bytes();
            let there = list(view.value());
            assert_eq!(there.len(), expected.len());
            if let ListRef::Quick(quick) = there {
                quick.list().check();
            }
            check_reading(there, &expected);
        });
    }
    assert_eq!(store.live_bytes(), accounted);
}

fn check_reading(there: ListRef<'_>, expected: &[Vec<u8>]) {
    let (len, mut room) = (expected.len(), IntText::default());
    for at in [0, 1, len / 3, len / 2, len - 1, len] {
        let found = there
            .get(at)
            .map(|element| element.text(&mut room).to_vec());
        assert_eq!(found.as_ref(), expected.get(at));
        let ahead = there.elements(ListEnd::Left, at, 5);
        assert_eq!(ahead.len(), 5.min(len - at));
        for (element, expected) in ahead.zip(&expected[at..]) {
            assert_eq!(element.text(&mut room), expected);
        }
        let back = there.elements(ListEnd::Right, at, 5);
        assert_eq!(back.clone().count(), 5.min(len - at));
        for (element, expected) in back.zip(expected[..len - at].iter().rev()) {
            assert_eq!(element.text(&mut room), expected);
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0u8..3;
    let n = 0u16..600;
    let elements = prop_oneof![
        8 => prop::collection::vec(n.clone(), 1..12),
        1 => prop::collection::vec(n.clone(), 200..900),
    ];
    let size = prop_oneof![-6i64..=5, Just(64), Just(i64::from(i32::MAX))];
    let plain = prop_oneof![3 => Just(0i64), 1 => Just(1), 1 => Just(60)];
    prop_oneof![
        8 => (key.clone(), any::<bool>(), elements).prop_map(|(k, left, e)| Op::Push(k, left, e)),
        6 => (key.clone(), any::<bool>(), prop::collection::vec(n.clone(), 1..4))
            .prop_map(|(k, left, e)| Op::PushNear(k, left, e)),
        3 => (key.clone(), any::<bool>(), 0u16..4).prop_map(|(k, left, c)| Op::Pop(k, left, c)),
        1 => (key.clone(), any::<bool>(), 0u16..900).prop_map(|(k, left, c)| Op::Pop(k, left, c)),
        1 => (key.clone(), any::<bool>(), any::<bool>()).prop_map(|(k, a, b)| Op::Turn(k, a, b)),
        4 => (key.clone(), 0u16..1000, n.clone()).prop_map(|(k, at, n)| Op::Set(k, at, n)),
        4 => (key.clone(), 0u16..10, n.clone()).prop_map(|(k, at, n)| Op::Set(k, at, n)),
        6 => (key.clone(), n.clone(), any::<bool>(), n.clone())
            .prop_map(|(k, pivot, after, n)| Op::Insert(k, pivot, after, n)),
        3 => (key.clone(), n, any::<bool>(), prop_oneof![1u16..4, Just(u16::MAX)])
            .prop_map(|(k, n, left, max)| Op::Remove(k, n, left, max)),
        1 => (key.clone(), 0u16..50, 0u16..900).prop_map(|(k, skip, c)| Op::Trim(k, skip, c)),
        1 => (key.clone(), key.clone()).prop_map(|(a, b)| Op::Copy(a, b)),
        1 => (key.clone(), key.clone()).prop_map(|(a, b)| Op::Rename(a, b)),
        2 => (key, prop::option::of(5000u64..1 << 50)).prop_map(|(k, at)| Op::Expire(k, at)),
        2 => (size, plain).prop_map(|(size, plain)| Op::Bounds(size, plain)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 96 }, ..ProptestConfig::default() })]

    #[test]
    fn lists_are_what_was_done_to_them(ops in prop::collection::vec(op(), 1..60)) {
        let (mut store, mut model) = (store(-2), Model::new());
        for op in ops {
            apply(&mut store, &mut model, op);
            check(&mut store, &model);
        }
        for key in 0..3 {
            store.run(|guard| guard.delete(&[key]));
        }
        store.upkeep();
        prop_assert_eq!(store.live_bytes(), 0);
    }
}

fn filled(list_size: i64, count: usize) -> Store {
    let mut store = store(list_size);
    let texts: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    edit(&mut store, 0, |list| {
        list.push(ListEnd::Right, texts.iter().map(String::as_bytes))
    });
    store
}

#[test]
fn a_list_is_packed_up_to_its_bounds_and_again_at_half_of_them() {
    let mut store = filled(10, 10);
    assert_eq!(encoding(&mut store, 0), Encoding::Listpack);
    edit(&mut store, 0, |list| {
        list.push(ListEnd::Left, [&b"x"[..]].into_iter())
    });
    assert_eq!(encoding(&mut store, 0), Encoding::Quicklist);
    // There are two nodes as long as the new one is there.
    edit(&mut store, 0, |list| list.pop(ListEnd::Right, 8));
    assert_eq!(encoding(&mut store, 0), Encoding::Quicklist);
    edit(&mut store, 0, |list| list.pop(ListEnd::Left, 1));
    assert_eq!(encoding(&mut store, 0), Encoding::Listpack);
}

#[test]
fn what_changes_nothing_leaves_the_encoding() {
    let mut store = filled(10, 10);
    let large = [b'x'; 9000];
    assert!(!edit(&mut store, 0, |list| list.insert(b"missing", true, &large)));
    assert!(!edit(&mut store, 0, |list| list.set(10, &large)));
    assert_eq!(
        edit(&mut store, 0, |list| list.remove(
            b"missing",
            ListEnd::Left,
            9
        )),
        0
    );
    assert_eq!(encoding(&mut store, 0), Encoding::Listpack);
}

#[test]
fn nodes_are_full_and_reserve_nothing() {
    let mut store = filled(-2, 100_000);
    store.run(|guard| {
        let view = guard.peek(&[0]).unwrap();
        let ListRef::Quick(list) = list(view.value()) else {
            unreachable!("it is large");
        };
        let bytes: usize = list.list().nodes().map(|node| node.bytes().len()).sum();
        assert_eq!(list.node_count(), bytes.div_ceil(8192));
        let spare = view.bytes() - bytes;
        assert!(spare < bytes / 50, "{spare} of {bytes}");
    });
}

#[test]
fn a_large_list_is_freed_in_slices() {
    let mut store = filled(2, 10_000);
    edit(&mut store, 0, |list| list.trim(3000, 1000));
    assert_eq!(elements(&mut store, 0).len(), 1000);
    let slices = |store: &mut Store| {
        let stripes = store.stripes.0.iter_mut();
        stripes
            .map(|stripe| (0..).take_while(|_| stripe.reclaim(100)).count())
            .sum::<usize>()
    };
    assert!(slices(&mut store) >= 44);
    store.run(|guard| guard.delete(&[0]));
    assert!(slices(&mut store) >= 4);
}

#[test]
fn effects_say_what_has_happened() {
    let mut store = store(-2);
    store.run(|guard| {
        let mut list = guard.entry(b"k").list_mut().unwrap();
        let elements = |n: usize| {
            [&b"a"[..], b"b", b"a", b"c", b"a", b"d"]
                .into_iter()
                .take(n)
        };
        list.push(ListEnd::Right, elements(6));
        list.push(ListEnd::Left, elements(2));
        list.pop(ListEnd::Left, 1);
        list.pop(ListEnd::Right, 2);
        list.set(1, b"x");
        list.insert(b"x", true, b"y");
        list.remove(b"a", ListEnd::Right, 1);
        list.turn(ListEnd::Left, ListEnd::Right);
        list.trim(1, 2);
        list.trim(0, 0);
        assert!(list.is_empty());
    });
    assert_eq!(
        store.effects_as_text(),
        [
            "RPUSH k a b a c a d",
            "LPUSH k a b",
            "LPOP k",
            "RPOP k 2",
            "LSET k 1 x",
            "LINSERT k AFTER x y",
            "LREM k -1 a",
            "LMOVE k k LEFT RIGHT",
            "LTRIM k 1 2",
            "LTRIM k 1 0",
        ]
    );
}

/// Where the bytes of each node are.
fn places(store: &mut Store, key: u8) -> Vec<*const u8> {
    store.run(|guard| match list(guard.peek(&[key]).unwrap().value()) {
        ListRef::Quick(quick) => {
            quick.list().check();
            let nodes = quick.list().nodes();
            nodes.map(|node| node.bytes().as_ptr()).collect()
        }
        ListRef::Pack(pack) => vec![pack.as_ptr()],
    })
}

#[test]
fn a_copy_shares_what_neither_has_changed() {
    let mut store = store(128);
    let long = "x".repeat(9000);
    let pushed: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    for part in pushed.chunks(1000) {
        let part = part.iter().map(String::as_bytes);
        edit(&mut store, 0, |list| list.push(ListEnd::Right, part));
        edit(&mut store, 0, |list| {
            list.push(ListEnd::Right, [long.as_bytes()].into_iter())
        });
    }
    let before = elements(&mut store, 0);
    store.run(|guard| assert!(guard.copy(&[0], KeyspaceId(0), &[1])));
    let own = places(&mut store, 0);
    assert_eq!(places(&mut store, 1), own);
    let bytes = |store: &mut Store, key: u8| store.run(|guard| guard.peek(&[key]).unwrap().bytes());
    assert!(bytes(&mut store, 0).abs_diff(bytes(&mut store, 1)) < 4096);
    // A change at an end concerns the nodes there only.
    edit(&mut store, 1, |list| {
        list.push(ListEnd::Left, [&b"first"[..]].into_iter())
    });
    assert_eq!(edit(&mut store, 0, |list| list.pop(ListEnd::Right, 1)), 1);
    let (left, right) = (places(&mut store, 0), places(&mut store, 1));
    let shared = left.iter().filter(|place| right.contains(place)).count();
    assert!(
        shared > 200 && shared < left.len(),
        "{shared} of {}",
        left.len()
    );
    // So does one that looks at everything and finds nothing to change, or little.
    assert_eq!(
        edit(&mut store, 1, |list| list.remove(
            b"none",
            ListEnd::Left,
            usize::MAX
        )),
        0
    );
    assert_eq!(places(&mut store, 1), right);
    assert_eq!(elements(&mut store, 1)[1..], before);
    assert_eq!(elements(&mut store, 0), before[..before.len() - 1]);
    // What is left of the nodes is whose the other one was.
    store.run(|guard| assert!(guard.delete(&[0])));
    store.upkeep();
    assert_eq!(elements(&mut store, 1)[1..], before);
    assert_eq!(store.accounted_bytes(), store.live_bytes());
    store.run(|guard| assert!(guard.delete(&[1])));
    store.upkeep();
    assert_eq!(store.live_bytes(), 0);
}
