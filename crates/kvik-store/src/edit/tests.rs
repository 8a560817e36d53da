//! Large sets with members that expire, through the guard, against a naive model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::Edit;
use crate::members::Members;
use crate::set::{Set, SetRef};
use crate::trial::Store;
use crate::{Cursor, Expiry, KeyspaceId, NewString, Stripe, UnixMs, ValueRef};

type Model = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Option<UnixMs>>>;

#[derive(Clone, Debug)]
enum Op {
    Add(u8, u8, Option<u64>),
    Fill(u8, u16),
    Remove(u8, u8),
    Delete(u8),
    Set(u8),
    Expire(u8),
    Rename(u8, u8),
    Copy(u8, u8),
    Flush,
    Pass(u64),
    Upkeep,
}

fn edit(store: &mut Store, key: &[u8], change: impl FnOnce(&mut Edit<'_, Set>)) {
    store.run(|guard| {
        let entry = guard.entry(key);
        if entry
            .view()
            .is_none_or(|view| view.kind() == crate::Kind::Set)
        {
            change(&mut Edit::open(entry).unwrap());
        }
    });
}

fn key(n: u8) -> Vec<u8> {
    vec![b'k', n]
}

/// Names of all sizes.
fn name(n: u16) -> Vec<u8> {
    let len = [2, 9, 40, 300, 5000][usize::from(n) % 5];
    let mut name = vec![b'm'; len];
    name[..2].copy_from_slice(&n.to_be_bytes());
    name
}

fn add(edit: &mut Edit<'_, Set>, name: &[u8], at: Option<UnixMs>) {
    let mut parts = edit.parts();
    if !matches!(parts.value, Set::Table(_)) {
        *parts.value = Set::Table(Box::default());
    }
    let Set::Table(members) = parts.value else {
        unreachable!("made above");
    };
    match members.find(parts.memory.read(), name) {
        Some(member) => {
            members.set_expiry(&mut parts.memory, member, at);
        }
        None => {
            let text = NewString::Bytes(b"").into();
            members.insert(&mut parts.memory, name, text, at);
        }
    }
    edit.emit(b"SADD", &[name]);
}

fn remove(edit: &mut Edit<'_, Set>, name: &[u8]) {
    let mut parts = edit.parts();
    let Set::Table(members) = parts.value else {
        return;
    };
    if let Some(member) = members.find(parts.memory.read(), name) {
        members.remove(&mut parts.memory, member);
        edit.emit(b"SREM", &[name]);
    }
}

fn apply(store: &mut Store, model: &mut Model, op: Op) {
    match op {
        Op::Add(k, m, after) => {
            let (name, at) = (name(m.into()), after.map(|after| store.now + after));
            edit(store, &key(k), |edit| add(edit, &name, at));
            model.entry(key(k)).or_default().insert(name, at);
        }
        Op::Fill(k, count) => {
            edit(store, &key(k), |edit| {
                (0..count).for_each(|n| add(edit, &name(n), None))
            });
            let members = model.entry(key(k)).or_default();
            members.extend((0..count).map(|n| (name(n), None)));
        }
        Op::Remove(k, m) => {
            edit(store, &key(k), |edit| remove(edit, &name(m.into())));
            if let Some(members) = model.get_mut(&key(k)) {
                members.remove(&name(m.into()));
            }
        }
        Op::Delete(k) => {
            store.run(|guard| guard.delete(&key(k)));
            model.remove(&key(k));
        }
        Op::Set(k) => {
            store.run(|guard| guard.entry(&key(k)).set(NewString::Int(1), Expiry::Clear));
            store.run(|guard| guard.delete(&key(k)));
            model.remove(&key(k));
        }
        Op::Expire(k) => {
            let at = store.now + 3_000_000;
            store.expire(&key(k), Some(at));
        }
        Op::Rename(from, to) if from != to => {
            if store.run(|guard| guard.rename(&key(from), &key(to))) {
                let members = model.remove(&key(from)).unwrap();
                model.insert(key(to), members);
            }
        }
        Op::Copy(from, to) if from != to => {
            if store.run(|guard| guard.copy(&key(from), KeyspaceId(0), &key(to))) {
                let members = model[&key(from)].clone();
                model.insert(key(to), members);
            }
        }
        Op::Rename(..) | Op::Copy(..) => {}
        Op::Flush => {
            store.run(|guard| guard.flush());
            model.clear();
        }
        Op::Pass(ms) => store.now += ms,
        Op::Upkeep => store.upkeep(),
    }
    let now = store.now;
    for members in model.values_mut() {
        members.retain(|_, at| at.is_none_or(|at| at > now));
    }
    model.retain(|_, members| !members.is_empty());
}

fn check(store: &mut Store, model: &Model) {
    for n in 0..4 {
        let members = model.get(&key(n));
        let names: BTreeSet<Vec<u8>> = members.into_iter().flatten().map(|m| m.0.clone()).collect();
        store.run(|guard| {
            let Some(view) = guard.peek(&key(n)) else {
                assert!(names.is_empty(), "{n} is missing");
                return;
            };
            let ValueRef::Set(SetRef::Table(there)) = view.value() else {
                unreachable!("only tables are made");
            };
            assert_eq!(there.len(), names.len());
            let seen: BTreeSet<Vec<u8>> = there.iter().map(|m| m.key().to_vec()).collect();
            assert_eq!(seen, names);
            for (name, at) in members.into_iter().flatten() {
                assert_eq!(there.find(name).unwrap().expire_at(), *at);
            }
            let (mut cursor, mut scanned): (Cursor, _) = (0, BTreeSet::new());
            loop {
                let mut left = 3;
                cursor = there.scan(cursor, |member| {
                    scanned.insert(member.key().to_vec());
                    left -= 1;
                    left > 0
                });
                assert!(cursor < 1 << 31, "clients keep it in 32 bits");
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(scanned, names);
            assert!(names.contains(there.sample(7).unwrap().key()));
        });
    }
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0u8..4;
    let after = prop::option::of(1u64..5000);
    prop_oneof![
        8 => (key.clone(), any::<u8>(), after).prop_map(|(k, m, after)| Op::Add(k, m, after)),
        1 => (key.clone(), 0u16..900).prop_map(|(k, count)| Op::Fill(k, count)),
        4 => (key.clone(), any::<u8>()).prop_map(|(k, m)| Op::Remove(k, m)),
        1 => key.clone().prop_map(Op::Delete),
        1 => key.clone().prop_map(Op::Set),
        1 => key.clone().prop_map(Op::Expire),
        1 => (key.clone(), key.clone()).prop_map(|(a, b)| Op::Rename(a, b)),
        1 => (key.clone(), key).prop_map(|(a, b)| Op::Copy(a, b)),
        1 => Just(Op::Flush),
        2 => (1u64..2000).prop_map(Op::Pass),
        1 => Just(Op::Upkeep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 64 }, ..ProptestConfig::default() })]

    #[test]
    fn large_sets_are_what_was_done_to_them(ops in prop::collection::vec(op(), 1..60)) {
        let (mut store, mut model) = (Store::new(2), Model::new());
        for op in ops {
            apply(&mut store, &mut model, op);
            check(&mut store, &model);
        }
        for n in 0..4 {
            store.run(|guard| guard.delete(&key(n)));
        }
        store.upkeep();
        prop_assert_eq!(store.live_bytes(), 0);
        prop_assert_eq!(store.run(|guard| guard.len()), 0);
    }
}

#[test]
fn a_set_whose_members_expire_goes_away_by_itself() {
    let mut store = Store::new(2);
    edit(&mut store, b"k", |edit| {
        (0..200).for_each(|n| add(edit, &name(n), Some(2000)))
    });
    store.now = 1999;
    store.upkeep();
    assert!(store.run(|guard| guard.exists(b"k")));
    store.now = 2000;
    store.upkeep();
    let len = store.run(|guard| guard.len());
    assert_eq!(len, 0);
}

#[test]
fn bytes_of_a_large_set_are_those_of_its_parts() {
    let mut store = Store::new(2);
    let before: usize = store.stripes.0.iter().map(Stripe::bytes).sum();
    edit(&mut store, b"k", |edit| {
        (0..2000).for_each(|n| add(edit, &name(n), None))
    });
    let gained = store.stripes.0.iter().map(Stripe::bytes).sum::<usize>() - before;
    let bytes = store.run(|guard| guard.peek(b"k").unwrap().bytes());
    // The rest is the table that leads to the key.
    assert!(gained >= bytes && gained - bytes < 1000, "{gained} {bytes}");
    assert!(bytes > size_of::<Members>() + 2000 * 8);
}
