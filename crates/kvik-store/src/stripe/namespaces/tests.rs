//! Keys of several namespaces and databases against a naive model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use crate::trial::Store;
use crate::{
    AccessPolicy, Expiry, Guard, KeyspaceId, Layout, ListEnd, NamespacePolicy, Namespaces,
    NewString, Reading, canonical, name_payload, named_in,
};

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
            let payload: usize = model
                .iter()
                .filter(|(key, _)| key.0 == database && namespace(&key.1) == name)
                .map(|((_, key), (value, _))| name_payload(key) + value.len())
                .sum();
            assert_eq!(found.as_ref().map_or(0, |it| it.payload()), payload as u64);
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

/// A change of a collection or a string, or the beginning or end of work that may be undone.
#[derive(Clone, Debug)]
enum ValueChange {
    Text(usize, usize),
    Range(usize, usize),
    Field(usize, u8, usize),
    NoField(usize, u8),
    Member(usize, u8),
    NoMember(usize, u8),
    Score(usize, u8, i16),
    NoScore(usize, u8),
    Push(usize, u8, usize),
    Pop(usize),
    Delete(usize),
    Rename(usize, usize),
    Begin,
    Keep,
    Undo,
}

fn change() -> impl Strategy<Value = ValueChange> {
    let (key, name) = (|| 0usize..6, || 0u8..40);
    prop_oneof![
        2 => (key(), 0usize..9000).prop_map(|(k, n)| ValueChange::Text(k, n)),
        1 => (key(), 0usize..300).prop_map(|(k, n)| ValueChange::Range(k, n)),
        6 => (key(), name(), 0usize..60).prop_map(|(k, f, n)| ValueChange::Field(k, f, n)),
        2 => (key(), name()).prop_map(|(k, f)| ValueChange::NoField(k, f)),
        6 => (key(), name()).prop_map(|(k, m)| ValueChange::Member(k, m)),
        2 => (key(), name()).prop_map(|(k, m)| ValueChange::NoMember(k, m)),
        6 => (key(), name(), any::<i16>()).prop_map(|(k, m, s)| ValueChange::Score(k, m, s)),
        2 => (key(), name()).prop_map(|(k, m)| ValueChange::NoScore(k, m)),
        4 => (key(), name(), 0usize..60).prop_map(|(k, e, n)| ValueChange::Push(k, e, n)),
        2 => key().prop_map(ValueChange::Pop),
        1 => key().prop_map(ValueChange::Delete),
        1 => (key(), key()).prop_map(|(a, b)| ValueChange::Rename(a, b)),
        1 => Just(ValueChange::Begin),
        1 => Just(ValueChange::Keep),
        1 => Just(ValueChange::Undo),
    ]
}

/// What has another type than the change needs stays as it is.
fn make(store: &mut Store, change: ValueChange) {
    let key = |n: usize| [&b"a/1"[..], b"a/22", b"b/1", b"x", b"default/y", b"b/333"][n];
    let name = |n: u8| match n % 3 {
        // Sets of integers are kept in a way of their own.
        0 => n.to_string().into_bytes(),
        _ => vec![b'n'; usize::from(n) + 1],
    };
    let stripes = &mut store.stripes.0;
    match change {
        ValueChange::Begin => stripes.iter_mut().for_each(super::Stripe::begin_undo),
        ValueChange::Keep => stripes.iter_mut().for_each(|it| drop(it.keep_changes())),
        ValueChange::Undo => {
            let layout = &store.layout;
            stripes
                .iter_mut()
                .for_each(|it| drop(it.undo_changes(layout)));
        }
        change => store.run(|guard| match change {
            ValueChange::Text(k, n) => {
                let text = vec![b't'; n];
                guard
                    .entry(key(k))
                    .set(NewString::Bytes(&text), Expiry::Clear);
            }
            ValueChange::Range(k, n) => {
                if let Some(mut entry) = guard.entry(key(k)).occupied() {
                    let _ = entry.set_range(n, b"range", usize::MAX);
                }
            }
            ValueChange::Field(k, f, n) => {
                if let Ok(mut hash) = guard.entry(key(k)).hash_mut() {
                    hash.set(&name(f), crate::StringRef::Bytes(&vec![b'v'; n]));
                }
            }
            ValueChange::NoField(k, f) => {
                if let Ok(mut hash) = guard.entry(key(k)).hash_mut() {
                    hash.remove(&name(f));
                }
            }
            ValueChange::Member(k, m) => {
                if let Ok(mut set) = guard.entry(key(k)).set_mut() {
                    set.add(&name(m));
                }
            }
            ValueChange::NoMember(k, m) => {
                if let Ok(mut set) = guard.entry(key(k)).set_mut() {
                    set.remove(&name(m));
                }
            }
            ValueChange::Score(k, m, score) => {
                if let Ok(mut zset) = guard.entry(key(k)).zset_mut() {
                    zset.update(&name(m), |_| Some(f64::from(score)));
                }
            }
            ValueChange::NoScore(k, m) => {
                if let Ok(mut zset) = guard.entry(key(k)).zset_mut() {
                    zset.remove(&name(m));
                }
            }
            ValueChange::Push(k, e, n) => {
                if let Ok(mut list) = guard.entry(key(k)).list_mut() {
                    list.push(ListEnd::Right, [vec![e; n].as_slice()].into_iter());
                }
            }
            ValueChange::Pop(k) => {
                if let Ok(mut list) = guard.entry(key(k)).list_mut() {
                    list.pop(ListEnd::Left, 1);
                }
            }
            ValueChange::Delete(k) => drop(guard.delete(key(k))),
            ValueChange::Rename(a, b) if a != b => drop(guard.rename(key(a), key(b))),
            _ => {}
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 150 }, ..ProptestConfig::default() })]

    #[test]
    fn payload_agrees_with_a_recount(changes in prop::collection::vec(change(), 1..120)) {
        let mut store = spaced(2);
        let limits = &store.limits;
        for limit in [&limits.hash_entries, &limits.set_entries, &limits.zset_entries] {
            limit.store(8, std::sync::atomic::Ordering::Relaxed);
        }
        limits.list_size.store(4, std::sync::atomic::Ordering::Relaxed);
        for change in changes {
            make(&mut store, change);
            let mut recount = 0;
            for stripe in &store.stripes.0 {
                for number in 0..stripe.table_count() {
                    let Some(there) = stripe.keyspace(crate::TableId(number)) else {
                        continue;
                    };
                    there.walk(&store.layout, crate::raw::position::Prefix(0), |entry| {
                        recount += name_payload(entry.key()) + entry.payload();
                        true
                    });
                }
            }
            let all = store.layout.namespaces().expect("the store has them");
            prop_assert_eq!(all.payload_promised(), recount as u64);
            let sum: u64 = all.sizes().iter().map(|it| it.payload).sum();
            prop_assert_eq!(sum, recount as u64);
        }
    }
}

fn policies(store: &Store, policy: NamespacePolicy) {
    let all = store.layout.namespaces().expect("the store has them");
    all.set_policies([(b"r".to_vec(), policy)].into(), NamespacePolicy::Inherited);
}

fn read_as(store: &mut Store, reading: Reading, key: &[u8]) {
    store.run(|guard| {
        guard.read_as(reading);
        assert!(guard.read(key).is_some());
    });
}

#[test]
fn hits_are_counted_where_the_policy_is_by_hits() {
    let mut store = spaced(2);
    policies(&store, NamespacePolicy::FewestHits);
    for key in [b"r/k".as_slice(), b"other/k"] {
        store.run(|guard| guard.entry(key).set(NewString::Bytes(b"v"), Expiry::Clear));
        read_as(&mut store, Reading::Whole, key);
        read_as(&mut store, Reading::Whole, key);
        read_as(&mut store, Reading::Part, key);
    }
    let uses = |store: &mut Store, key: &[u8]| {
        let access = store.run(|guard| guard.access_of(key));
        (
            access,
            store.run(|guard| guard.peek(key).map(|view| view.uses())),
        )
    };
    assert_eq!(uses(&mut store, b"r/k"), (AccessPolicy::Hits, Some(2)));
    assert_eq!(uses(&mut store, b"other/k").0, AccessPolicy::Recency);
    store.run(|guard| {
        guard
            .entry(b"r/k")
            .set(NewString::Bytes(b"w"), Expiry::Clear)
    });
    assert_eq!(uses(&mut store, b"r/k"), (AccessPolicy::Hits, Some(0)));
}

#[test]
fn what_was_read_is_swept_once_and_what_was_set_again_stays() {
    let mut store = spaced(1);
    policies(&store, NamespacePolicy::AfterRead);
    let set = |store: &mut Store, key: &[u8]| {
        store.run(|guard| guard.entry(key).set(NewString::Bytes(b"v"), Expiry::Clear));
    };
    for key in [b"r/read".as_slice(), b"r/sized", b"r/set", b"r/moved", b"k"] {
        set(&mut store, key);
    }
    for key in [b"r/read".as_slice(), b"r/read", b"r/set", b"r/moved", b"k"] {
        read_as(&mut store, Reading::Part, key);
    }
    read_as(&mut store, Reading::Nothing, b"r/sized");
    set(&mut store, b"r/set");
    store.run(|guard| guard.rename(b"r/moved", b"r/there"));
    let of = store.stripes.0[0].read_keys();
    let mut gone = 0;
    while store.stripes.0[0].read_keys() > 0 {
        gone += store.run(|guard| guard.sweep_read(0, of, 2)).1;
    }
    assert_eq!(gone, 2);
    let left = scanned(&mut store, 0, None, 10);
    let expected = [b"r/sized".as_slice(), b"r/set", b"k"];
    assert_eq!(left, expected.map(<[u8]>::to_vec).into());
    let all = store.layout.namespaces().expect("the store has them");
    let namespace = all.find(KeyspaceId(0), b"r").expect("it has keys");
    assert_eq!(namespace.swept(), 2);
}

#[test]
fn figures_of_an_emptied_namespace_stay() {
    let mut store = spaced(2);
    store.run(|guard| {
        guard
            .entry(b"a/k")
            .set(NewString::Bytes(b"v"), Expiry::Clear)
    });
    store.run(|guard| guard.delete(b"a/k"));
    upkeep(&mut store);
    upkeep(&mut store);
    let all = store.layout.namespaces().expect("the store has them");
    assert_eq!(all.count(), 0);
    let names: Vec<_> = all
        .sizes()
        .into_iter()
        .map(|it| (it.name, it.keys))
        .collect();
    assert!(names.contains(&(b"a".to_vec(), 0)), "{names:?}");
}

#[test]
fn the_effect_of_emptying_a_namespace_names_its_keys() {
    let mut store = spaced(2).telling();
    for key in [b"a/1".as_slice(), b"a/2", b"b/1"] {
        store.run(|guard| guard.entry(key).set(NewString::Bytes(b"v"), Expiry::Clear));
    }
    store.take_effects();
    store.run(|guard| guard.flush_namespace(b"a"));
    let effects = store.take_effects();
    assert_eq!(effects.len(), 1);
    let mut words = effects[0].clone();
    words[1..].sort();
    assert_eq!(words, [b"DEL".to_vec(), b"a/1".to_vec(), b"a/2".to_vec()]);
}
