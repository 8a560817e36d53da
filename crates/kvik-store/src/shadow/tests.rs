//! Copies made in slices while their source changes, against copies made at once.

use proptest::prelude::*;

use super::*;
use crate::trial::Store;
use crate::{Expiry, Guard, KeyspaceId, NewString, ValueRef, View};

const HASH: u8 = 0;
const SET: u8 = 1;
const ZSET: u8 = 2;
const MEMBERS: u16 = 400;

/// An operation on the source between two slices.
#[derive(Clone, Debug)]
enum Op {
    Put(u16, i8, Option<u64>),
    PutMany(u16, i8),
    Remove(u16),
    RemoveMany(u16),
    Pass(u64),
    Upkeep,
}

fn op() -> impl Strategy<Value = Op> {
    let member = 0..MEMBERS + 50;
    let after = prop::option::of(1u64..300);
    prop_oneof![
        6 => (member.clone(), any::<i8>(), after).prop_map(|(m, n, at)| Op::Put(m, n, at)),
        1 => (member.clone(), any::<i8>()).prop_map(|(m, n)| Op::PutMany(m, n)),
        3 => member.clone().prop_map(Op::Remove),
        1 => member.prop_map(Op::RemoveMany),
        2 => (1u64..100).prop_map(Op::Pass),
        1 => Just(Op::Upkeep),
    ]
}

/// Names of all sizes.
fn name(n: u16) -> Vec<u8> {
    let len = [2, 9, 40, 300][usize::from(n) % 4];
    let mut name = vec![b'm'; len];
    name[..2].copy_from_slice(&n.to_be_bytes());
    name
}

fn put(guard: &mut Guard<'_>, key: &[u8], kind: u8, n: u16, value: i8, at: Option<UnixMs>) {
    let name = &name(n)[..];
    match kind {
        HASH => {
            let mut hash = guard.entry(key).hash_mut().unwrap();
            let text = vec![b'v'; 30 * usize::from(value.unsigned_abs())];
            hash.set(name, StringRef::Bytes(&text));
            match at {
                Some(at) => hash.expire([name], at, |_| true),
                None => hash.persist([name], |_| ()),
            }
        }
        SET => {
            let mut set = guard.entry(key).set_mut().unwrap();
            set.add(name);
            set.set_expiry(name, at);
        }
        _ => {
            let mut zset = guard.entry(key).zset_mut().unwrap();
            zset.update(name, |_| Some(f64::from(value) / 4.0));
            zset.set_expiry(name, at);
        }
    }
}

fn remove(guard: &mut Guard<'_>, key: &[u8], kind: u8, n: u16) {
    let name = &name(n)[..];
    match kind {
        HASH => drop(guard.entry(key).hash_mut().unwrap().remove(name)),
        SET => drop(guard.entry(key).set_mut().unwrap().remove(name)),
        _ => drop(guard.entry(key).zset_mut().unwrap().remove(name)),
    }
}

fn fill(store: &mut Store, key: &[u8], kind: u8, members: u16) {
    let now = store.now;
    store.run(|guard| {
        for n in 0..members {
            let at = (n % 5 == 0).then(|| now + 10 + u64::from(n));
            put(guard, key, kind, n, n as i8, at);
        }
    });
}

fn apply(store: &mut Store, key: &[u8], kind: u8, op: &Op) {
    let now = store.now;
    match *op {
        Op::Put(m, n, after) => {
            store.run(|guard| put(guard, key, kind, m, n, after.map(|after| now + after)));
        }
        Op::PutMany(from, n) => {
            store.run(|guard| (from..from + 100).for_each(|m| put(guard, key, kind, m, n, None)));
        }
        Op::Remove(m) => store.run(|guard| remove(guard, key, kind, m)),
        Op::RemoveMany(from) => {
            store.run(|guard| (from..from + 100).for_each(|m| remove(guard, key, kind, m)));
        }
        Op::Pass(ms) => store.now += ms,
        Op::Upkeep => store.upkeep(),
    }
}

/// All that a reader can learn of a key.
fn facts(store: &mut Store, key: &[u8]) -> Option<Vec<String>> {
    store.run(|guard| guard.peek(key).map(|view| facts_of(&view)))
}

fn facts_of(view: &View<'_>) -> Vec<String> {
    let mut facts = Vec::new();
    match view.value() {
        ValueRef::Hash(hash) => {
            hash.for_each(|field| facts.push(format!("{field:?}")));
            facts.sort();
            facts.push(hash.len().to_string());
        }
        ValueRef::Set(set) => {
            facts.extend(set.iter().map(|member| format!("{member:?}")));
            facts.sort();
            facts.extend((0..MEMBERS).map(|n| format!("{:?}", set.expiry_of(&name(n)))));
            facts.push(set.len().to_string());
        }
        ValueRef::Zset(zset) => {
            facts.extend(zset.range(0..zset.len(), false).map(|member| {
                let name = format!("{:?}", member.name);
                format!("{name} {}", member.score())
            }));
            facts.extend((0..MEMBERS).map(|n| format!("{:?}", zset.rank(&name(n)))));
            facts.extend((0..MEMBERS).map(|n| format!("{:?}", zset.expiry_of(&name(n)))));
        }
        other => unreachable!("no {:?} is made", other.kind()),
    }
    facts.push(format!("{:?}", view.expire_at()));
    facts
}

/// Two keys, in the same stripe or not.
fn keys(store: &Store, same: bool) -> (Vec<u8>, Vec<u8>) {
    let stripe = |key: &[u8]| store.layout.stripe_of(store.layout.hash(key));
    let from = b"from".to_vec();
    let mut others = (0u8..).map(|n| vec![b't', n]);
    let to = others.find(|to| (stripe(to) == stripe(&from)) == same);
    (from, to.unwrap())
}

fn prepare(store: &mut Store, from: &[u8], to: &[u8]) -> bool {
    store.run(|guard| guard.prepare_copy(from, to))
}

fn shadows(store: &Store) -> usize {
    let heaps = store.stripes.0.iter().map(|stripe| &stripe.heap);
    heaps.filter(|heap| heap.has_shadows()).count()
}

fn drop_copies(store: &mut Store) {
    let now = store.now;
    let stripes = store.stripes.0.iter_mut();
    stripes.for_each(|stripe| stripe.drop_copies(now));
}

fn copy(store: &mut Store, from: &[u8], to: &[u8]) -> bool {
    store.run(|guard| guard.copy(from, KeyspaceId(0), to))
}

/// Lets a second pass in which nobody goes on with a copy, and counts what is left.
fn check_accounts(store: &mut Store) {
    store.now += 1002;
    drop_copies(store);
    store.upkeep();
    assert_eq!(store.accounted_bytes(), store.live_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 96 }))]

    #[test]
    fn what_changes_meanwhile_is_in_the_copy(
        kind in 0u8..3, same in any::<bool>(), moves in any::<bool>(), occupied in any::<bool>(),
        ops in prop::collection::vec((op(), 0usize..3), 0..60),
    ) {
        let mut store = Store::new(2);
        let (from, to) = keys(&store, same || !moves);
        let (from, to) = if moves { keys(&store, false) } else { (from, to) };
        fill(&mut store, &from, kind, MEMBERS);
        if occupied {
            fill(&mut store, &to, ZSET, 200);
        }
        for (op, slices) in &ops {
            for _ in 0..*slices {
                prepare(&mut store, &from, &to);
            }
            apply(&mut store, &from, kind, op);
        }
        let mut slices = 0;
        while prepare(&mut store, &from, &to) {
            slices += 1;
            prop_assert!(slices < 1000);
        }
        let before = facts(&mut store, &from);
        let done = store.run(|guard| match moves {
            true => guard.rename(&from, &to),
            false => guard.copy(&from, KeyspaceId(0), &to),
        });
        prop_assert_eq!(done, before.is_some());
        if done {
            prop_assert!(facts(&mut store, &to) == before);
        }
        let expected = before.filter(|_| !moves);
        prop_assert!(facts(&mut store, &from) == expected);
        check_accounts(&mut store);
    }
}

/// A store with a large collection, and the names of its key and of one in the other stripe.
fn store_of(kind: u8) -> (Store, Vec<u8>, Vec<u8>) {
    let mut store = Store::new(2);
    let (from, to) = keys(&store, false);
    store.run(|guard| (0..MEMBERS).for_each(|n| put(guard, &from, kind, n, 3, None)));
    (store, from, to)
}

#[test]
fn slices_are_few_members_and_seen_by_nobody() {
    for kind in [HASH, SET, ZSET] {
        let (mut store, from, to) = store_of(kind);
        let (live, bytes) = (
            store.live_bytes(),
            store.stripes.0[0].bytes() + store.stripes.0[1].bytes(),
        );
        let mut slices = 0;
        while prepare(&mut store, &from, &to) {
            slices += 1;
            assert!(facts(&mut store, &to).is_none());
        }
        assert!((10..20).contains(&slices), "{slices}");
        assert!(store.live_bytes() > live);
        let resident: usize = store
            .stripes
            .0
            .iter()
            .map(|stripe| stripe.resident_bytes())
            .sum();
        assert!(resident >= store.live_bytes());
        assert_eq!(
            bytes,
            store.stripes.0[0].bytes() + store.stripes.0[1].bytes()
        );
        assert!(store.run(|guard| guard.rename(&from, &to)));
        check_accounts(&mut store);
    }
}

#[test]
fn small_and_packed_values_need_no_preparation() {
    let mut store = Store::new(2);
    let (from, to) = keys(&store, false);
    assert!(!prepare(&mut store, &from, &to));
    store.run(|guard| {
        guard
            .entry(&from)
            .set(NewString::Bytes(b"v"), Expiry::Clear)
    });
    assert!(!prepare(&mut store, &from, &to));
    store.run(|guard| guard.delete(&from));
    fill(&mut store, &from, SET, 90);
    assert!(!prepare(&mut store, &from, &to));
    assert_eq!(shadows(&store), 0);
}

#[test]
fn a_rename_within_a_stripe_needs_no_preparation() {
    let mut store = Store::new(2);
    let (from, to) = keys(&store, true);
    fill(&mut store, &from, SET, MEMBERS);
    assert!(!store.run(|guard| guard.prepare_rename(&from, &to)));
    assert!(store.run(|guard| guard.prepare_copy(&from, &to)));
}

#[test]
fn a_copy_that_is_not_whole_is_not_used() {
    let (mut store, from, to) = store_of(ZSET);
    assert!(prepare(&mut store, &from, &to));
    let before = facts(&mut store, &from);
    assert!(copy(&mut store, &from, &to));
    assert!(facts(&mut store, &to) == before);
    check_accounts(&mut store);
    assert_eq!(shadows(&store), 0);
}

#[test]
fn what_nobody_goes_on_with_is_dropped() {
    let (mut store, from, to) = store_of(HASH);
    check_accounts(&mut store);
    let before = store.live_bytes();
    while prepare(&mut store, &from, &to) {}
    store.now += 1000;
    drop_copies(&mut store);
    assert_eq!(shadows(&store), 1);
    store.now += 1;
    drop_copies(&mut store);
    assert_eq!(shadows(&store), 0);
    check_accounts(&mut store);
    assert_eq!(store.live_bytes(), before);
    // The source is as it was, and can be copied again.
    store.run(|guard| remove(guard, &from, HASH, 7));
    while prepare(&mut store, &from, &to) {}
    let before = facts(&mut store, &from);
    assert!(copy(&mut store, &from, &to) && facts(&mut store, &to) == before);
}

/// Makes a copy of which nothing is there yet, and renames with it.
fn begin_anew(store: &mut Store, from: &[u8], to: &[u8]) {
    assert!(prepare(store, from, to), "it begins anew");
    while prepare(store, from, to) {}
    let before = facts(store, from);
    assert!(store.run(|guard| guard.rename(from, to)));
    assert!(facts(store, to) == before);
    check_accounts(store);
}

#[test]
fn half_a_copy_is_worth_nothing() {
    for half in [0, 1] {
        let (mut store, from, to) = store_of(SET);
        while prepare(&mut store, &from, &to) {}
        let end = store.now + 1001;
        store.stripes.0[half].drop_copies(end);
        store.run(|guard| put(guard, &from, SET, 9000, 0, None));
        begin_anew(&mut store, &from, &to);
    }
}

#[test]
fn a_source_that_is_gone_leaves_a_copy_of_no_use() {
    let ends: [fn(&mut Guard<'_>, &[u8]); 3] = [
        |guard, key| assert!(guard.delete(key)),
        |guard, _| guard.flush(),
        |guard, key| guard.entry(key).set(NewString::Int(1), Expiry::Clear),
    ];
    for end in ends {
        let (mut store, from, to) = store_of(ZSET);
        while prepare(&mut store, &from, &to) {}
        store.run(|guard| end(guard, &from));
        assert!(!prepare(&mut store, &from, &to));
        store.run(|guard| guard.delete(&from));
        store.run(|guard| (0..200).for_each(|n| put(guard, &from, ZSET, n, 1, None)));
        begin_anew(&mut store, &from, &to);
    }
}

#[test]
fn copies_for_two_stripes_are_made_beside_each_other() {
    let mut store = Store::new(4);
    let (one, other): (&[u8], &[u8]) = (b"one", b"two");
    let layout = &store.layout;
    let stripes = [b"from", one, other].map(|key| layout.stripe_of(layout.hash(key)));
    assert!(stripes[0] != stripes[1] && stripes[1] != stripes[2] && stripes[0] != stripes[2]);
    store.run(|guard| (0..MEMBERS).for_each(|n| put(guard, b"from", SET, n, 0, None)));
    let mut more = true;
    while more {
        more = prepare(&mut store, b"from", one);
        more |= prepare(&mut store, b"from", other);
        store.run(|guard| put(guard, b"from", SET, 5000, 0, None));
    }
    assert!(copy(&mut store, b"from", one));
    store.run(|guard| remove(guard, b"from", SET, 5));
    assert!(store.run(|guard| guard.rename(b"from", other)));
    assert_eq!(shadows(&store), 0);
    store.run(|guard| {
        let len = |guard: &mut Guard<'_>, key: &[u8]| match guard.read(key).unwrap().value() {
            ValueRef::Set(set) => set.len(),
            other => unreachable!("{:?}", other.kind()),
        };
        assert_eq!(len(guard, one), usize::from(MEMBERS) + 1);
        assert_eq!(len(guard, other), usize::from(MEMBERS));
    });
    check_accounts(&mut store);
}

#[test]
fn a_copy_goes_with_its_source_where_that_is_moved() {
    let (mut store, from, to) = store_of(HASH);
    let (_, near) = keys(&store, true);
    while prepare(&mut store, &from, &to) {}
    assert!(store.run(|guard| guard.rename(&from, &near)));
    store.run(|guard| guard.swap(KeyspaceId(0), KeyspaceId(1)));
    store.run(|guard| {
        guard.select(KeyspaceId(1));
        put(guard, &near, HASH, 3, 0, None);
        assert!(!guard.prepare_copy(&near, &to));
        assert!(guard.copy(&near, KeyspaceId(0), &to));
        let copied = facts_of(&guard.peek(&near).unwrap());
        guard.select(KeyspaceId(0));
        assert!(facts_of(&guard.peek(&to).unwrap()) == copied);
    });
    assert_eq!(shadows(&store), 0);
    store.run(|guard| {
        guard.swap(KeyspaceId(0), KeyspaceId(1));
        guard.select(KeyspaceId(1));
        assert!(guard.delete(&to));
    });
    check_accounts(&mut store);
}

#[test]
fn where_more_changes_than_there_is_a_copy_begins_anew() {
    let (mut store, from, to) = store_of(SET);
    while prepare(&mut store, &from, &to) {}
    store.run(|guard| (1000..1500).for_each(|n| put(guard, &from, SET, n, 0, None)));
    assert!(prepare(&mut store, &from, &to));
    let heap = &store.stripes.0[store.layout.stripe_of(store.layout.hash(&from))].heap;
    assert!(heap.journals.iter().all(|journal| !journal.is_walked()));
    while prepare(&mut store, &from, &to) {}
    let before = facts(&mut store, &from);
    assert!(copy(&mut store, &from, &to) && facts(&mut store, &to) == before);
    check_accounts(&mut store);
}

#[test]
fn members_that_change_faster_than_they_are_copied_are_not_waited_for() {
    let (mut store, from, to) = store_of(ZSET);
    let mut slices: u16 = 0;
    while prepare(&mut store, &from, &to) {
        slices += 1;
        let first = slices % 3 * 100;
        let score = slices as i8;
        store.run(|guard| {
            (first..first + 100).for_each(|n| put(guard, &from, ZSET, n, score, None))
        });
        assert!(slices < 200);
    }
    let before = facts(&mut store, &from);
    assert!(store.run(|guard| guard.rename(&from, &to)));
    assert!(facts(&mut store, &to) == before);
    check_accounts(&mut store);
}
