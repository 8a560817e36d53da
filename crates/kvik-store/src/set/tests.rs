//! Sets in all their representations against a naive model, and changed where they lie against
//! changed elsewhere.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use crate::trial::Store;
use crate::{Encoding, IntText, StringRef, ValueRef};

type Model = BTreeSet<Vec<u8>>;

#[derive(Clone, Debug)]
enum Op {
    Add(Vec<u8>),
    Remove(Vec<u8>),
    Fill(u8),
    Pop(u64),
    Expire(Option<u64>),
    Rename(u16),
    Limits(i64, i64),
}

fn store() -> Store {
    let store = Store::new(1);
    store.limits.set_ints.store(20, Relaxed);
    store.limits.set_entries.store(15, Relaxed);
    store
}

fn members(store: &mut Store) -> (Model, Option<Encoding>) {
    store.run(|guard| {
        let Some(view) = guard.peek(b"s") else {
            return (BTreeSet::new(), None);
        };
        let ValueRef::Set(set) = view.value() else {
            unreachable!("only sets are made");
        };
        let text = |member: StringRef<'_>| member.text(&mut IntText::default()).to_vec();
        let all: BTreeSet<Vec<u8>> = set.iter().map(text).collect();
        assert_eq!(all.len(), set.len());
        assert!(all.iter().all(|member| set.contains(member)));
        let (mut scanned, mut cursor) = (BTreeSet::new(), 0);
        loop {
            let mut left = 4;
            cursor = set.scan(cursor, |member| {
                scanned.insert(text(member));
                left -= 1;
                left > 0
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(scanned, all);
        (all, Some(view.encoding()))
    })
}

/// Does something to both, to single members of the first where they lie.
fn apply(near: &mut Store, far: &mut Store, model: &mut Model, op: Op) {
    match op {
        Op::Add(member) => add(near, far, model, &member),
        Op::Remove(member) => {
            let removed = near.run(|guard| guard.entry(b"s").set_mut().unwrap().remove(&member));
            let twin = far.run(|guard| {
                let mut set = guard.entry(b"s").set_mut().unwrap();
                set.0.take_out();
                set.remove(&member)
            });
            assert_eq!((removed, twin), (twin, model.remove(&member)));
        }
        Op::Fill(count) => {
            for n in 0..count {
                add(near, far, model, format!("{n:0>60}").as_bytes());
            }
        }
        Op::Pop(random) => {
            let mut popped = Vec::new();
            for store in [&mut *near, &mut *far] {
                store.run(|guard| {
                    let mut set = guard.entry(b"s").set_mut().unwrap();
                    set.pop(random, |member| popped.push(member.to_vec()));
                });
            }
            assert_eq!(popped.is_empty(), model.is_empty());
            assert!(popped.iter().all(|member| *member == popped[0]));
            popped.first().map(|member| model.remove(member));
        }
        Op::Expire(at) => {
            near.expire(b"s", at);
            far.expire(b"s", at);
        }
        Op::Rename(len) => {
            let name = vec![b'n'; len.into()];
            for store in [near, far] {
                store.run(|guard| guard.rename(b"s", &name) && guard.rename(&name, b"s"));
            }
        }
        Op::Limits(ints, entries) => {
            for store in [near, far] {
                store.limits.set_ints.store(ints, Relaxed);
                store.limits.set_entries.store(entries, Relaxed);
            }
        }
    }
}

fn add(near: &mut Store, far: &mut Store, model: &mut Model, member: &[u8]) {
    let add = |guard: &mut crate::Guard<'_>, is_taken_out: bool| {
        let mut set = guard.entry(b"s").set_mut().unwrap();
        if is_taken_out {
            set.0.take_out();
        }
        set.expect(member, 1);
        set.add(member)
    };
    let added = near.run(|guard| add(guard, false));
    let twin = far.run(|guard| add(guard, true));
    assert_eq!((added, twin), (twin, model.insert(member.to_vec())));
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (-40i64..40).prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        1 => prop::sample::select(vec!["-32769", "32767", "32768", "-0", "007"]).prop_map(Vec::from),
        2 => "[a-e]{0,3}".prop_map(String::into_bytes),
        1 => (60usize..70).prop_map(|len| vec![b'x'; len]),
    ]
}

fn op(member: impl Strategy<Value = Vec<u8>> + 'static) -> impl Strategy<Value = Op> {
    let member = member.boxed();
    let limit = || prop_oneof![Just(0i64), Just(1), 10i64..25, Just(1000)];
    prop_oneof![
        30 => member.clone().prop_map(Op::Add),
        10 => member.prop_map(Op::Remove),
        1 => any::<u8>().prop_map(Op::Fill),
        6 => any::<u64>().prop_map(Op::Pop),
        2 => prop::option::of(5000u64..1 << 50).prop_map(Op::Expire),
        1 => prop_oneof![2u16..20, 200u16..300].prop_map(Op::Rename),
        2 => (limit(), limit()).prop_map(|(ints, entries)| Op::Limits(ints, entries)),
    ]
}

fn play(ops: Vec<Op>) {
    let (mut near, mut far, mut model) = (store().telling(), store().telling(), Model::new());
    for op in ops {
        apply(&mut near, &mut far, &mut model, op);
        let (members, encoding) = members(&mut near);
        assert_eq!(members, model);
        assert_eq!(encoding.is_none(), model.is_empty());
        assert_eq!(near.outline(b"s"), far.outline(b"s"));
        assert_eq!(near.take_effects(), far.take_effects());
        near.upkeep();
        assert_eq!(near.live_bytes(), near.accounted_bytes());
    }
    near.run(|guard| guard.delete(b"s"));
    near.upkeep();
    assert_eq!(near.live_bytes(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, ..ProptestConfig::default() })]

    #[test]
    fn sets_are_what_was_put_into_them(ops in prop::collection::vec(op(member()), 1..80)) {
        play(ops);
    }

    #[test]
    fn sets_of_integers_are_what_was_put_into_them(
        ops in prop::collection::vec(op((0i64..50).prop_map(|n| n.to_string().into_bytes())), 1..80),
    ) {
        play(ops);
    }
}

#[test]
fn expecting_many_that_are_there_changes_nothing() {
    let mut store = store();
    store.run(|guard| guard.entry(b"s").set_mut().unwrap().add(b"a"));
    let before = store.live_bytes();
    store.run(|guard| {
        let mut set = guard.entry(b"s").set_mut().unwrap();
        set.expect(b"a", 1000);
        assert!(!set.add(b"a"));
    });
    assert_eq!(store.live_bytes(), before);
    assert_ne!(members(&mut store).1, Some(Encoding::Hashtable));
    store.run(|guard| {
        let mut set = guard.entry(b"s").set_mut().unwrap();
        set.expect(b"a", 1000);
        assert!(!set.add(b"a") && set.add(b"b"));
    });
    assert_eq!(members(&mut store).1, Some(Encoding::Hashtable));
}

#[test]
fn members_expire_one_by_one() {
    let mut store = store();
    store.run(|guard| {
        let mut set = guard.entry(b"s").set_mut().unwrap();
        set.add(b"1");
        set.add(b"2");
        assert!(set.set_expiry(b"1", Some(1000)));
        assert!(!set.set_expiry(b"3", Some(1000)));
        assert_eq!(set.view().expiry_of(b"1"), Some(Some(1000)));
    });
    let (members, encoding) = members(&mut store);
    assert_eq!(members, BTreeSet::from([b"2".to_vec()]));
    assert_eq!(encoding, Some(Encoding::Hashtable));
}
