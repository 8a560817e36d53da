//! Entries of all sizes in several keyspaces, through the guard, against a naive model; and readers
//! without the lock.

use crate::raw::prefetch::Lookup;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use crate::trial::Store;
use crate::{Entry, Expiry, Guard, IntText, KeyspaceId, Layout, NewString, Sizes, View};

fn on<R>(store: &mut Store, keyspace: u32, run: impl FnOnce(&mut Guard<'_>) -> R) -> R {
    store.run(|guard| {
        guard.select(KeyspaceId(keyspace));
        run(guard)
    })
}

fn set(store: &mut Store, n: u32, value: &[u8]) {
    store.run(|guard| {
        let key = n.to_be_bytes();
        guard
            .entry(&key)
            .set(NewString::Bytes(value), Expiry::Clear);
    });
}

type Model = BTreeMap<(u32, Vec<u8>), (Vec<u8>, Option<u64>)>;

#[derive(Clone, Debug)]
enum Op {
    Set(u32, Vec<u8>, Vec<u8>, Option<u64>),
    Write(u32, Vec<u8>, usize, Vec<u8>),
    Expire(u32, Vec<u8>, Option<u64>),
    Delete(u32, Vec<u8>),
    Rename(u32, Vec<u8>, Vec<u8>),
    Copy(u32, Vec<u8>, u32),
    Flush(u32),
    Swap(u32, u32),
    Upkeep,
}

fn op() -> impl Strategy<Value = Op> {
    let space = || 0u32..3;
    let key = || {
        let len = prop_oneof![Just(3usize), 250usize..260, Just(5000)];
        (0u8..5, len).prop_map(|(n, len)| vec![n; len])
    };
    let value = || {
        let len = prop_oneof![0usize..100, 3800usize..4300, Just(70_000)];
        let bytes = (any::<u8>(), len).prop_map(|(n, len)| vec![n; len]);
        prop_oneof![bytes, any::<i64>().prop_map(|n| n.to_string().into_bytes())]
    };
    let expiry = || prop::option::of(prop_oneof![1001u64..1 << 48, 1 << 48..u64::MAX]);
    let offset = prop_oneof![0usize..60, 3900usize..4200];
    prop_oneof![
        4 => (space(), key(), value(), expiry()).prop_map(|(s, k, v, e)| Op::Set(s, k, v, e)),
        3 => (space(), key(), offset, value()).prop_map(|(s, k, o, v)| Op::Write(s, k, o, v)),
        2 => (space(), key(), expiry()).prop_map(|(s, k, e)| Op::Expire(s, k, e)),
        1 => (space(), key()).prop_map(|(s, k)| Op::Delete(s, k)),
        1 => (space(), key(), key()).prop_map(|(s, a, b)| Op::Rename(s, a, b)),
        1 => (space(), key(), space()).prop_map(|(s, k, to)| Op::Copy(s, k, to)),
        1 => space().prop_map(Op::Flush),
        1 => (space(), space()).prop_map(|(a, b)| Op::Swap(a, b)),
        1 => Just(Op::Upkeep),
    ]
}

fn apply(store: &mut Store, model: &mut Model, op: Op) {
    match op {
        Op::Set(s, k, v, e) => {
            on(store, s, |guard| {
                guard
                    .entry(&k)
                    .set(NewString::Bytes(&v), e.map_or(Expiry::Clear, Expiry::At));
            });
            model.insert((s, k), (v, e));
        }
        Op::Write(s, k, offset, v) => {
            on(store, s, |guard| match guard.entry(&k) {
                Entry::Occupied(mut there) => there.set_range(offset, &v, usize::MAX).map(drop),
                Entry::Vacant(free) => free.set_range(offset, &v, usize::MAX).map(drop),
            })
            .unwrap();
            let text = &mut model.entry((s, k)).or_default().0;
            text.resize(text.len().max(offset + v.len()), 0);
            text[offset..offset + v.len()].copy_from_slice(&v);
        }
        Op::Expire(s, k, e) => {
            on(store, s, |guard| {
                guard
                    .entry(&k)
                    .occupied()
                    .map(|mut there| there.set_expiry(e))
            });
            model.entry((s, k)).and_modify(|(_, expiry)| *expiry = e);
        }
        Op::Delete(s, k) => {
            let existed = on(store, s, |guard| guard.delete(&k));
            assert_eq!(existed, model.remove(&(s, k)).is_some());
        }
        Op::Rename(s, a, b) if a != b => {
            on(store, s, |guard| guard.rename(&a, &b));
            if let Some(moved) = model.remove(&(s, a)) {
                model.insert((s, b), moved);
            }
        }
        Op::Copy(s, k, to) if s != to => {
            on(store, s, |guard| guard.copy(&k, KeyspaceId(to), &k));
            if let Some(copied) = model.get(&(s, k.clone())).cloned() {
                model.insert((to, k), copied);
            }
        }
        Op::Flush(s) => {
            on(store, s, |guard| guard.flush());
            model.retain(|&(space, _), _| space != s);
        }
        Op::Swap(a, b) => {
            on(store, a, |guard| guard.swap(KeyspaceId(a), KeyspaceId(b)));
            let moved = std::mem::take(model)
                .into_iter()
                .map(|((s, k), v)| match s {
                    s if s == a => ((b, k), v),
                    s if s == b => ((a, k), v),
                    s => ((s, k), v),
                });
            *model = moved.collect();
        }
        Op::Upkeep => {
            while store.stripes.0[0].reclaim(3) {}
            while store.stripes.0[0].compact(1) {}
            store.stripes.0[0].take_garbage();
            crate::release_memory(1 << 20);
        }
        Op::Rename(..) | Op::Copy(..) => {}
    }
}

fn text(view: &View<'_>) -> Vec<u8> {
    let string = view.string().unwrap();
    string.text(&mut IntText::default()).to_vec()
}

fn check(store: &mut Store, model: &Model) {
    let (mut seen, mut counted) = (Model::new(), 0);
    let totals = store.stripes.0[0].totals();
    let mut sum = Sizes::default();
    for s in 0..3 {
        let (mut entries, mut all) = (0, 0);
        on(store, s, |guard| {
            guard.for_each(|view| {
                entries += view.bytes();
                seen.insert((s, view.key().to_vec()), (text(&view), view.expire_at()));
            });
            assert_eq!(guard.len(), model.keys().filter(|key| key.0 == s).count());
            all = guard.bytes();
        });
        let keyspace = store.stripes.0[0].keyspace(KeyspaceId(s).into());
        let tables = keyspace.map_or(0, |keyspace| keyspace.keyspace.table.bytes());
        assert_eq!(all, entries + tables);
        counted += all;
        let of_space = model.iter().filter(|(key, _)| key.0 == s);
        let recounted = Sizes {
            keys: of_space.clone().count() as u64,
            volatile: of_space.filter(|(_, (_, expiry))| expiry.is_some()).count() as u64,
            entry_bytes: entries as u64,
            table_bytes: tables as u64,
        };
        assert_eq!(totals.keyspace(KeyspaceId(s)), recounted);
        sum = sum.plus(recounted);
    }
    assert_eq!(totals.all(), sum);
    store.stripes.0[0].publish();
    let memory = totals.memory();
    assert_eq!(memory.data, sum.bytes());
    let cells = store.stripes.0[0].heap.live_bytes() as u64 - sum.entry_bytes;
    assert_eq!(memory.doomed() + memory.copies, cells);
    assert!(seen == *model, "contents differ");
    assert_eq!(counted, store.stripes.0[0].bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 200 }, ..ProptestConfig::default() })]

    #[test]
    fn entries_of_all_sizes_agree_with_a_naive_model(ops in prop::collection::vec(op(), 1..60)) {
        let (mut store, mut model) = (Store::new(1), Model::new());
        for op in ops {
            apply(&mut store, &mut model, op);
            check(&mut store, &model);
        }
        on(&mut store, 0, |guard| guard.flush_all());
        prop_assert_eq!(store.stripes.0[0].bytes(), 0);
        while store.stripes.0[0].reclaim(10) {}
        prop_assert_eq!(store.stripes.0[0].heap.live_bytes(), 0);
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn memory_is_closed_up_after_mass_deletion() {
    let mut store = Store::new(1);
    for n in 0..100_000 {
        set(&mut store, n, &[b'v'; 50]);
    }
    let full = store.stripes.0[0].resident_bytes();
    for n in (0..100_000u32).filter(|n| n % 10 != 0) {
        assert!(on(&mut store, 0, |guard| guard.delete(&n.to_be_bytes())));
    }
    while store.stripes.0[0].compact(2) {}
    assert!(store.stripes.0[0].resident_bytes() < full / 4);
    for n in (0..100_000u32).step_by(10) {
        on(&mut store, 0, |guard| {
            assert_eq!(
                guard.peek(&n.to_be_bytes()).map(|view| text(&view)),
                Some(vec![b'v'; 50])
            );
        });
    }
    on(&mut store, 0, |guard| guard.flush());
    while store.stripes.0[0].reclaim(1000) {}
    assert!(!store.stripes.0[0].compact(1));
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn keys_can_be_fetched_while_the_store_changes() {
    let mut store = Store::new(1);
    set(&mut store, 0, b"v");
    let (view, layout) = (store.stripes.0[0].view(), Layout::new(1, 9));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (view, layout, done) = (view.clone(), &layout, &done);
            scope.spawn(move || {
                for n in (0u32..).take_while(|_| !done.load(Ordering::Relaxed)) {
                    let hash = layout.hash(&(n % 30_000).to_be_bytes());
                    for keyspace in [KeyspaceId(0), KeyspaceId(7)] {
                        if let Some(lookup) = view.prefetch_bucket(layout, keyspace, hash) {
                            lookup.prefetch_entry();
                        }
                    }
                }
            });
        }
        for round in 0..3 {
            for n in 0..20_000 {
                set(&mut store, n, &n.to_be_bytes());
            }
            on(&mut store, round, |guard| {
                guard.swap(KeyspaceId(0), KeyspaceId(7))
            });
            on(&mut store, 0, |guard| guard.flush_all());
            while store.stripes.0[0].reclaim(100) {}
            crate::release_memory(4 << 20);
        }
        done.store(true, Ordering::Relaxed);
    });
    drop(store);
    let lookup = view.prefetch_bucket(&layout, KeyspaceId(0), layout.hash(b"1"));
    lookup.inspect(Lookup::prefetch_entry);
}
