//! Keys of several namespaces and databases against a naive model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use crate::trial::Store;
use crate::{Expiry, Guard, KeyspaceId, Layout, Namespaces, NewString, canonical, named_in};

const NAMES: [&[u8]; 5] = [b"a", b"b", b"", b"default", b"long-name-of-a-namespace"];

/// Keys by database and name, with value and expiry.
type Model = BTreeMap<(u32, Vec<u8>), (Vec<u8>, Option<u64>)>;

#[derive(Clone, Debug)]
enum Op {
    Set(u32, Vec<u8>, Vec<u8>, Option<u64>),
    Delete(u32, Vec<u8>),
    Rename(u32, Vec<u8>, Vec<u8>),
    Move(u32, Vec<u8>),
    Copy(u32, Vec<u8>, Vec<u8>),
    FlushNamespace(u32, usize),
    Flush(u32),
    FlushAll,
    Swap,
    Wait(u64),
    Upkeep,
}

/// Names with their namespace spelled out, or not.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let rest = prop_oneof![Just("x"), Just("y"), Just("x/y"), Just("")];
    let namespace = prop::option::of(prop::sample::select(&NAMES[..]));
    (namespace, rest).prop_map(|(namespace, rest)| match namespace {
        Some(name) => [name, b"/", rest.as_bytes()].concat(),
        None => rest.as_bytes().to_vec(),
    })
}

fn op() -> impl Strategy<Value = Op> {
    let database = || 0u32..2;
    let value = || (any::<u8>(), 0usize..80).prop_map(|(n, len)| vec![n; len]);
    let expiry = || prop::option::of(1001u64..3000);
    prop_oneof![
        8 => (database(), key(), value(), expiry()).prop_map(|(d, k, v, e)| Op::Set(d, k, v, e)),
        2 => (database(), key()).prop_map(|(d, k)| Op::Delete(d, k)),
        2 => (database(), key(), key()).prop_map(|(d, a, b)| Op::Rename(d, a, b)),
        1 => (database(), key()).prop_map(|(d, k)| Op::Move(d, k)),
        1 => (database(), key(), key()).prop_map(|(d, a, b)| Op::Copy(d, a, b)),
        1 => (database(), 0..NAMES.len()).prop_map(|(d, n)| Op::FlushNamespace(d, n)),
        1 => database().prop_map(Op::Flush),
        1 => Just(Op::FlushAll),
        1 => Just(Op::Swap),
        1 => (0u64..500).prop_map(Op::Wait),
        2 => Just(Op::Upkeep),
    ]
}

fn on<R>(store: &mut Store, database: u32, run: impl FnOnce(&mut Guard<'_>) -> R) -> R {
    store.run(|guard| {
        guard.select(KeyspaceId(database));
        run(guard)
    })
}

fn namespace(key: &[u8]) -> &[u8] {
    named_in(key).unwrap_or(b"default")
}

/// A store in which a `/` means a namespace.
fn spaced(stripes: usize) -> Store {
    let mut store = Store::new(stripes);
    store.layout = Layout::new(stripes, 9).with_namespaces(Arc::new(Namespaces::new(2)));
    store
}

fn apply(store: &mut Store, model: &mut Model, op: Op) {
    match op {
        Op::Set(d, k, v, e) => {
            let e = e.filter(|&at| at > store.now);
            on(store, d, |guard| {
                let expiry = e.map_or(Expiry::Clear, Expiry::At);
                guard.entry(&k).set(NewString::Bytes(&v), expiry);
            });
            model.insert((d, canonical(&k).to_vec()), (v, e));
        }
        Op::Delete(d, k) => {
            let existed = on(store, d, |guard| guard.delete(&k));
            assert_eq!(
                existed,
                model.remove(&(d, canonical(&k).to_vec())).is_some()
            );
        }
        Op::Rename(d, a, b) if canonical(&a) != canonical(&b) => {
            let renamed = on(store, d, |guard| guard.rename(&a, &b));
            let moved = model.remove(&(d, canonical(&a).to_vec()));
            assert_eq!(renamed, moved.is_some());
            model.extend(moved.map(|moved| ((d, canonical(&b).to_vec()), moved)));
        }
        Op::Move(d, k) => {
            let (from, to) = ((d, canonical(&k).to_vec()), (1 - d, canonical(&k).to_vec()));
            let moved = on(store, d, |guard| guard.move_to(&k, KeyspaceId(1 - d)));
            assert_eq!(moved, model.contains_key(&from) && !model.contains_key(&to));
            if moved && let Some(value) = model.remove(&from) {
                model.insert(to, value);
            }
        }
        Op::Copy(d, a, b) if canonical(&a) != canonical(&b) => {
            on(store, d, |guard| guard.copy(&a, KeyspaceId(d), &b));
            let copied = model.get(&(d, canonical(&a).to_vec())).cloned();
            model.extend(copied.map(|copied| ((d, canonical(&b).to_vec()), copied)));
        }
        Op::FlushNamespace(d, n) => {
            on(store, d, |guard| guard.flush_namespace(NAMES[n]));
            model.retain(|(database, key), _| *database != d || namespace(key) != NAMES[n]);
        }
        Op::Flush(d) => {
            on(store, d, |guard| guard.flush());
            model.retain(|&(database, _), _| database != d);
        }
        Op::FlushAll => {
            on(store, 0, |guard| guard.flush_all());
            model.clear();
        }
        Op::Swap => {
            on(store, 0, |guard| guard.swap(KeyspaceId(0), KeyspaceId(1)));
            let all = std::mem::take(model).into_iter();
            *model = all.map(|((d, k), v)| ((1 - d, k), v)).collect();
        }
        Op::Wait(ms) => {
            // Whatever is due goes, so that model and store agree.
            store.now += ms;
            store.upkeep();
            model.retain(|_, (_, at)| at.is_none_or(|at| at > store.now));
        }
        Op::Upkeep => upkeep(store),
        Op::Rename(..) | Op::Copy(..) => {}
    }
}

fn upkeep(store: &mut Store) {
    store.upkeep();
    let namespaces = store.layout.namespaces();
    namespaces.expect("the store has them").drop_idle();
}

/// All keys that a scan in pages of `count` meets.
fn scanned(store: &mut Store, database: u32, of: Option<&[u8]>, count: usize) -> BTreeSet<Vec<u8>> {
    let (mut seen, mut cursor) = (BTreeSet::new(), 0);
    loop {
        cursor = on(store, database, |guard| {
            let mut visit = |view: crate::View<'_>| {
                seen.insert(view.key().to_vec());
            };
            match of {
                Some(name) => guard.scan_namespace(name, cursor, count, &mut visit),
                None => guard.scan(cursor, count, &mut visit),
            }
            .next
        });
        if cursor == 0 {
            return seen;
        }
    }
}

fn check(store: &mut Store, model: &Model) {
    let mut bytes = 0;
    for database in 0..2 {
        let keys = |of: Option<&[u8]>| {
            let ours = model.keys().filter(|key| key.0 == database);
            let named = ours.filter(|key| of.is_none_or(|of| namespace(&key.1) == of));
            named.map(|key| key.1.clone()).collect::<BTreeSet<_>>()
        };
        assert_eq!(scanned(store, database, None, 3), keys(None));
        let whole = on(store, database, |guard| (guard.len(), guard.bytes()));
        assert_eq!(whole.0, keys(None).len());
        bytes += whole.1;
        for name in NAMES {
            let expected = keys(Some(name));
            assert_eq!(scanned(store, database, Some(name), 2), expected);
            let all = store.layout.namespaces().expect("the store has them");
            let found = all.find(KeyspaceId(database), name);
            let told = found
                .as_ref()
                .map_or((0, 0, 0), |it| (it.keys(), it.volatile(), it.bytes()));
            let mut recount = (0, 0, 0);
            for stripe in &store.stripes.0 {
                let table = stripe.table_named(KeyspaceId(database), name);
                if let Some(it) = stripe.keyspace(table).filter(|it| it.keyspace.len() > 0) {
                    recount.0 += it.keyspace.len() as u64;
                    recount.1 += it.keyspace.volatile_len() as u64;
                    recount.2 += it.keyspace.bytes() as u64;
                }
            }
            assert_eq!(told, recount);
            assert_eq!(told.0, expected.len() as u64);
        }
        for (key, (value, expire_at)) in model.iter().filter(|(key, _)| key.0 == database) {
            let seen = on(store, database, |guard| {
                let view = guard.peek(&key.1)?;
                Some((view.string().ok()?.to_vec(), view.expire_at()))
            });
            assert_eq!(seen, Some((value.clone(), *expire_at)));
        }
    }
    let stripes = store.stripes.0.iter().map(super::Stripe::bytes);
    assert_eq!(stripes.sum::<usize>(), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 150 }, ..ProptestConfig::default() })]

    #[test]
    fn namespaces_agree_with_a_naive_model(ops in prop::collection::vec(op(), 1..50)) {
        let (mut store, mut model) = (spaced(4), Model::new());
        for op in ops {
            apply(&mut store, &mut model, op);
            check(&mut store, &model);
        }
        on(&mut store, 0, |guard| guard.flush_all());
        upkeep(&mut store);
        // Tables of empty namespaces are gone, and with them the namespaces.
        upkeep(&mut store);
        prop_assert_eq!(store.layout.namespaces().map(|it| it.count()), Some(0));
        prop_assert_eq!(store.live_bytes(), 0);
        for stripe in &store.stripes.0 {
            prop_assert_eq!(stripe.keyspaces.iter().skip(2).flatten().count(), 0);
        }
    }
}

#[test]
fn a_namespace_takes_little_beside_its_data() {
    let size = size_of::<crate::keyspace::Keyspace>();
    // The table, its root, the set's and the vector's place, and the first bucket.
    assert!(size + 64 + 48 + 64 <= 512, "{size}");
}

#[test]
fn a_key_is_watched_under_any_of_its_names() {
    let mut store = spaced(2);
    for (watched, written) in [
        (b"default/k".as_slice(), b"k".as_slice()),
        (b"k", b"default/k"),
    ] {
        let token = std::sync::Arc::default();
        store.run(|guard| guard.watch(watched, &token));
        store.run(|guard| {
            guard
                .entry(written)
                .set(NewString::Bytes(b"v"), Expiry::Clear)
        });
        assert!(token.is_dirty());
        store.run(|guard| guard.unwatch(written, &token));
    }
}
