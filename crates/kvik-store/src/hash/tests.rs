//! Hashes through the guard, against a naive model and a follower.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::change::HashMut;
use super::{Hash, HashRef};
use crate::collection::Collection;
use crate::members::Members;
use crate::packed::Listpack;
use crate::trial::{Store, Words};
use crate::{Encoding, Guard, IntText, KeyspaceId, Mode, StringRef, UnixMs, ValueRef};

/// Fields with value and expiry.
type Fields = BTreeMap<Vec<u8>, (Vec<u8>, Option<UnixMs>)>;
type Model = BTreeMap<Vec<u8>, Fields>;

#[derive(Clone, Debug)]
enum Op {
    Set(u8, u8, u8),
    Update(u8, u8, i64),
    Fill(u8, u16),
    Lay(u8, u8, u8),
    Remove(u8, u8),
    Expire(u8, u8, u64),
    Persist(u8, u8),
    Rename(u8, u8),
    Copy(u8, u8),
    Delete(u8),
    Pass(u64),
    Upkeep,
}

fn store_as(mode: Mode) -> Store {
    let mut store = Store::new(2).telling();
    store.limits.hash_entries.store(20, Relaxed);
    store.mode = mode;
    store
}

fn contents(store: &mut Store) -> Model {
    store.run(|guard| {
        let mut all = Model::new();
        guard.for_each(|view| {
            let ValueRef::Hash(hash) = view.value() else {
                unreachable!("only hashes are made");
            };
            all.insert(view.key().to_vec(), fields_of(hash));
        });
        all
    })
}

/// Does what the effects of another store say.
fn follow_effects(store: &mut Store, effects: &[Words]) {
    for effect in effects {
        store.run(|guard| follow(guard, effect));
    }
}

fn follow(guard: &mut Guard<'_>, effect: &[Vec<u8>]) {
    let (verb, key, words) = (&effect[0][..], &effect[1][..], &effect[2..]);
    let counted = |words: &[Vec<u8>]| {
        assert_eq!(words[0], b"FIELDS");
        assert_eq!(words[1], (words.len() - 2).to_string().as_bytes());
    };
    let names = |words: &'_ [Vec<u8>]| -> Vec<Vec<u8>> { words.to_vec() };
    match verb {
        b"DEL" => assert!(guard.delete(key)),
        b"RENAME" => assert!(guard.rename(key, &words[0])),
        b"COPY" => assert!(guard.copy(key, KeyspaceId(0), &words[0])),
        _ => {
            let mut hash = guard.entry(key).hash_mut().unwrap();
            match verb {
                b"HSET" => words.chunks(2).for_each(|pair| {
                    hash.set(&pair[0], StringRef::Bytes(&pair[1]));
                }),
                b"HDEL" => words.iter().for_each(|name| assert!(hash.remove(name))),
                b"HPERSIST" => {
                    counted(words);
                    let names = names(&words[2..]);
                    hash.persist(names.iter().map(|name| &name[..]), |field| {
                        assert!(field.is_some());
                    });
                }
                b"HPEXPIREAT" => {
                    counted(&words[1..]);
                    let at = String::from_utf8(words[0].clone()).unwrap();
                    let names = names(&words[3..]);
                    let names = names.iter().map(|name| &name[..]);
                    hash.expire(names, at.parse().unwrap(), |field| field.is_some());
                }
                _ => unreachable!("{effect:?}"),
            }
        }
    }
}

fn fields_of(hash: HashRef<'_>) -> Fields {
    let (mut fields, mut rooms) = (Fields::new(), [IntText::default(); 2]);
    hash.for_each(|field| {
        let [name, value] = &mut rooms;
        let value = (field.value.text(value).to_vec(), field.expire_at);
        fields.insert(field.name.text(name).to_vec(), value);
    });
    assert_eq!(fields.len(), hash.len());
    fields
}

fn key(n: u8) -> Vec<u8> {
    vec![b'k', n % 3]
}

/// Names: integers and texts, now and then a long one.
fn name(n: u16) -> Vec<u8> {
    match n % 8 {
        0 => n.to_string().into_bytes(),
        1 => format!("{n:0>300}").into_bytes(),
        _ => format!("field{n}").into_bytes(),
    }
}

fn value(n: u8) -> Vec<u8> {
    let len = if n.is_multiple_of(16) {
        5000
    } else {
        usize::from(n % 40)
    };
    vec![n; len]
}

/// Changes a hash where it lies, as far as that is possible.
fn change<R>(store: &mut Store, k: u8, change: impl FnOnce(&mut HashMut<'_>) -> R) -> R {
    let key = key(k);
    store.run(|guard| change(&mut guard.entry(&key).hash_mut().unwrap()))
}

/// Changes a hash that is taken out of its entry.
fn change_taken_out<R>(
    store: &mut Store,
    k: u8,
    change_it: impl FnOnce(&mut HashMut<'_>) -> R,
) -> R {
    change(store, k, |hash| {
        hash.0.take_out();
        change_it(hash)
    })
}

// long: one arm for each operation
fn apply(store: &mut Store, model: &mut Model, op: Op) {
    match op {
        Op::Set(k, f, v) => {
            let (name, value) = (name(f.into()), value(v));
            let set = |hash: &mut HashMut<'_>| hash.set(&name, StringRef::Bytes(&value));
            let new = if v % 2 == 0 {
                change_taken_out(store, k, set)
            } else {
                change(store, k, set)
            };
            let old = model.entry(key(k)).or_default().insert(name, (value, None));
            assert_eq!(new, old.is_none());
        }
        Op::Update(k, f, n) => {
            let name = name(f.into());
            change(store, k, |hash| {
                hash.update(&name, StringRef::Int(n));
            });
            let field = model.entry(key(k)).or_default().entry(name).or_default();
            field.0 = n.to_string().into_bytes();
        }
        Op::Fill(k, count) => {
            change(store, k, |hash| {
                hash.expect(count.into());
                (0..count).for_each(|n| {
                    hash.set(&name(n), StringRef::Int(n.into()));
                });
            });
            let fields = model.entry(key(k)).or_default();
            fields.extend((0..count).map(|n| (name(n), (n.to_string().into_bytes(), None))));
        }
        Op::Lay(k, shape, n) => {
            let fields: Vec<_> = (0..2 + shape % 3)
                .map(|f| (name((shape + f).into()), value(n / 2 + f)))
                .collect();
            let pairs = fields.iter().map(|(name, value)| (&name[..], &value[..]));
            let created = change(store, k, |hash| hash.set_all(pairs, shape % 2 == 0));
            let there = model.entry(key(k)).or_default();
            let before = there.len();
            there.extend(
                fields
                    .into_iter()
                    .map(|(name, value)| (name, (value, None))),
            );
            assert_eq!(created, there.len() - before);
        }
        Op::Remove(k, f) => {
            let name = name(f.into());
            let removed = if f % 2 == 0 {
                change_taken_out(store, k, |hash| hash.remove(&name))
            } else {
                change(store, k, |hash| hash.remove(&name))
            };
            let fields = model.get_mut(&key(k));
            let expected = fields.and_then(|fields| fields.remove(&name)).is_some();
            assert_eq!(removed, expected);
        }
        Op::Expire(k, f, after) => {
            let (names, at) = ([name(f.into()), name(300)], store.now + after);
            change(store, k, |hash| {
                let names = names.iter().map(|name| &name[..]);
                hash.expire(names, at, |field| field.is_some());
            });
            for name in names {
                if let Some(field) = model.entry(key(k)).or_default().get_mut(&name) {
                    field.1 = Some(at);
                }
            }
        }
        Op::Persist(k, f) => {
            let name = name(f.into());
            let field = model
                .get_mut(&key(k))
                .and_then(|fields| fields.get_mut(&name));
            let expected = field.map(|field| field.1.take());
            change(store, k, |hash| {
                hash.persist([&name[..]], |field| {
                    assert_eq!(field.map(|field| field.expire_at), expected);
                });
            });
        }
        Op::Rename(from, to) if key(from) != key(to) => {
            if store.run(|guard| guard.rename(&key(from), &key(to))) {
                let fields = model.remove(&key(from)).unwrap();
                model.insert(key(to), fields);
            }
        }
        Op::Copy(from, to) if key(from) != key(to) => {
            if store.run(|guard| guard.copy(&key(from), KeyspaceId(0), &key(to))) {
                model.insert(key(to), model[&key(from)].clone());
            }
        }
        Op::Rename(..) | Op::Copy(..) => {}
        Op::Delete(k) => {
            store.run(|guard| guard.delete(&key(k)));
            model.remove(&key(k));
        }
        Op::Pass(ms) => store.now += ms,
        Op::Upkeep => store.upkeep(),
    }
    let now = store.now;
    for fields in model.values_mut() {
        fields.retain(|_, field| field.1.is_none_or(|at| at > now));
    }
    model.retain(|_, fields| !fields.is_empty());
}

fn check(store: &mut Store, model: &Model) {
    for n in 0..3 {
        let fields = model.get(&key(n));
        store.run(|guard| {
            let Some(view) = guard.peek(&key(n)) else {
                assert!(fields.is_none(), "{n} is missing");
                return;
            };
            let ValueRef::Hash(hash) = view.value() else {
                unreachable!("only hashes are made");
            };
            assert_eq!(&fields_of(hash), fields.unwrap());
            check_single_fields(hash, fields.unwrap());
            check_encoding(hash, view.encoding());
        });
    }
}

fn check_single_fields(hash: HashRef<'_>, fields: &Fields) {
    let mut room = IntText::default();
    for (name, (value, at)) in fields {
        let field = hash.get(name).unwrap();
        assert_eq!(
            (field.value.text(&mut room), field.expire_at),
            (&value[..], *at)
        );
    }
    assert!(hash.get(b"nothing").is_none());
    for random in [0, 1 << 40, u64::MAX] {
        let field = hash.sample(random).unwrap();
        assert!(fields.contains_key(field.name.text(&mut room)));
    }
    let (mut scanned, mut cursor) = (Fields::new(), 0);
    loop {
        let mut left = 3;
        cursor = hash.scan(cursor, |field| {
            let name = field.name.text(&mut room).to_vec();
            let value = field.value.text(&mut room).to_vec();
            scanned.insert(name, (value, field.expire_at));
            left -= 1;
            left > 0
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&scanned, fields);
}

/// A packed hash is within its limits, and nothing in it expires.
fn check_encoding(hash: HashRef<'_>, encoding: Encoding) {
    let is_short = |it: StringRef<'_>| it.len() <= 64;
    match hash {
        HashRef::Table(_) => return assert_eq!(encoding, Encoding::Hashtable),
        HashRef::Pack(pack) => {
            assert_eq!(encoding, Encoding::Listpack);
            assert!(pack.iter().all(is_short));
        }
        HashRef::Shaped(shaped) => {
            assert_ne!(encoding, Encoding::Hashtable);
            let pack = shaped.to_listpack();
            let pack = Listpack::validate(&pack).unwrap();
            assert_eq!(pack.len(), 2 * shaped.len());
            assert!(pack.iter().all(is_short));
        }
    }
    assert!(hash.len() <= 20);
}

fn op() -> impl Strategy<Value = Op> {
    let (key, field) = (0u8..3, 0u8..60);
    let after = 1u64..5000;
    prop_oneof![
        8 => (key.clone(), field.clone(), any::<u8>()).prop_map(|(k, f, v)| Op::Set(k, f, v)),
        2 => (key.clone(), field.clone(), any::<i64>()).prop_map(|(k, f, n)| Op::Update(k, f, n)),
        1 => (key.clone(), 0u16..400).prop_map(|(k, count)| Op::Fill(k, count)),
        6 => (key.clone(), 0u8..4, any::<u8>()).prop_map(|(k, s, n)| Op::Lay(k, s, n)),
        4 => (key.clone(), field.clone()).prop_map(|(k, f)| Op::Remove(k, f)),
        2 => (key.clone(), field.clone(), after).prop_map(|(k, f, ms)| Op::Expire(k, f, ms)),
        1 => (key.clone(), field).prop_map(|(k, f)| Op::Persist(k, f)),
        1 => (key.clone(), key.clone()).prop_map(|(a, b)| Op::Rename(a, b)),
        1 => (key.clone(), key.clone()).prop_map(|(a, b)| Op::Copy(a, b)),
        3 => key.prop_map(Op::Delete),
        2 => (1u64..2000).prop_map(Op::Pass),
        1 => Just(Op::Upkeep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 96 }, ..ProptestConfig::default() })]

    #[test]
    fn hashes_are_what_was_done_to_them(ops in prop::collection::vec(op(), 1..60)) {
        let (mut store, mut model) = (store_as(Mode::Primary), Model::new());
        let mut follower = store_as(Mode::Follower);
        for op in ops {
            apply(&mut store, &mut model, op);
            check(&mut store, &model);
            follow_effects(&mut follower, &store.take_effects());
        }
        store.upkeep();
        follow_effects(&mut follower, &store.take_effects());
        prop_assert_eq!(&contents(&mut store), &model);
        prop_assert_eq!(&contents(&mut follower), &model);
        for n in 0..3 {
            store.run(|guard| guard.delete(&key(n)));
        }
        store.upkeep();
        prop_assert_eq!(store.live_bytes(), 0);
        for stripe in &store.stripes.0 {
            let left = stripe.heap.cells.shapes.counts();
            prop_assert_eq!((left.shapes, left.hashes), (0, 0));
        }
    }
}

/// The shapes of a store and the hashes that use them.
fn shapes(store: &Store) -> (u64, u64) {
    let counts = store
        .stripes
        .0
        .iter()
        .map(|it| it.heap.cells.shapes.counts());
    counts.fold((0, 0), |sum, it| (sum.0 + it.shapes, sum.1 + it.hashes))
}

fn lay(store: &mut Store, key: &str, pairs: &[(&str, &str)], declared: bool) -> usize {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    store.run(|guard| {
        let mut hash = guard.entry(key.as_bytes()).hash_mut().unwrap();
        hash.set_all(pairs, declared)
    })
}

#[test]
fn names_that_are_met_again_are_shared() {
    let mut store = Store::new(1);
    let pairs = [("name", "ann"), ("age", "30"), ("7", "x")];
    let bytes = |store: &mut Store, key: &str| {
        store.run(|guard| guard.peek(key.as_bytes()).unwrap().bytes())
    };
    assert_eq!(lay(&mut store, "a", &pairs, false), 3);
    assert_eq!(shapes(&store), (0, 0));
    assert_eq!(lay(&mut store, "b", &pairs, false), 3);
    assert_eq!(shapes(&store), (1, 1));
    assert!(bytes(&mut store, "b") < bytes(&mut store, "a"));
    // The same names in another order are others.
    lay(
        &mut store,
        "c",
        &[("age", "1"), ("name", "x"), ("7", "y")],
        false,
    );
    assert_eq!(shapes(&store), (1, 1));
    lay(&mut store, "d", &pairs, false);
    store.run(|guard| guard.rename(b"d", b"e"));
    store.run(|guard| guard.copy(b"e", KeyspaceId(0), b"f"));
    assert_eq!(shapes(&store), (1, 3));
    // Values change in place; another field ends it, and so does the loss of one.
    let set = |store: &mut Store, key: &[u8], name: &[u8]| {
        store.run(|guard| {
            let mut hash = guard.entry(key).hash_mut().unwrap();
            hash.set(name, StringRef::Bytes(b"changed"))
        })
    };
    assert!(!set(&mut store, b"e", b"7"));
    assert_eq!(shapes(&store), (1, 3));
    assert!(set(&mut store, b"e", b"new"));
    assert_eq!(shapes(&store), (1, 2));
    store.run(|guard| assert!(guard.entry(b"f").hash_mut().unwrap().remove(b"age")));
    assert_eq!(shapes(&store), (1, 1));
    store.run(|guard| guard.delete(b"b"));
    assert_eq!(shapes(&store), (0, 0));
}

#[test]
fn a_name_that_repeats_is_in_no_shape() {
    let mut store = Store::new(1);
    for key in ["a", "b", "c"] {
        assert_eq!(
            lay(&mut store, key, &[("x", "1"), ("y", "2"), ("x", "3")], true),
            2
        );
    }
    assert_eq!(shapes(&store), (0, 0));
}

#[test]
fn names_that_do_not_stay_are_not_shared() {
    let mut store = Store::new(1);
    let pairs = [("a", "1"), ("b", "2")];
    for n in 0..200 {
        let key = format!("k{n}");
        lay(&mut store, &key, &pairs, false);
        lay(&mut store, &key, &[("c", "3")], false);
    }
    let before = shapes(&store);
    for n in 0..20 {
        lay(&mut store, &format!("m{n}"), &pairs, false);
    }
    assert!(shapes(&store).1 <= before.1 + 3, "{before:?}");
}

#[test]
fn hashes_without_companions_are_looked_at_less_and_less() {
    let mut store = Store::new(1);
    for n in 0..2000 {
        let name = format!("field{n}");
        lay(
            &mut store,
            &format!("k{n}"),
            &[(&name, "1"), ("y", "2")],
            false,
        );
    }
    assert_eq!(shapes(&store), (0, 0));
    let pairs = [("same", "1"), ("names", "2")];
    for n in 0..128 {
        lay(&mut store, &format!("s{n}"), &pairs, false);
    }
    let (kinds, hashes) = shapes(&store);
    assert_eq!(kinds, 1);
    assert!(hashes > 16);
}

/// Bytes of a hash's key, counted one by one.
fn walked_bytes(store: &mut Store, key: &[u8]) -> (usize, usize) {
    store.run(|guard| {
        let view = guard.peek(key).unwrap();
        let ValueRef::Hash(HashRef::Table(table)) = view.value() else {
            unreachable!("it is large");
        };
        let members: usize = table.iter().map(|member| member.bytes()).sum();
        // What leads from the key to the members: its slot of 16 bytes and the collection's own.
        (view.bytes(), 16 + members + table.members.bytes())
    })
}

#[test]
fn bytes_are_those_of_the_parts() {
    let mut store = store_as(Mode::Primary);
    let mut random = 7u64;
    for round in 0..20 {
        change(&mut store, 0, |hash| {
            for _ in 0..300 {
                random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                let name = name((random >> 48) as u16 % 600);
                match random >> 40 & 7 {
                    0 => drop(hash.remove(&name)),
                    1 => hash.expire([&name[..]], 1 << 40, |field| field.is_some()),
                    2 => hash.persist([&name[..]], |_| ()),
                    _ => drop(hash.set(&name, StringRef::Bytes(&value((random >> 32) as u8)))),
                }
            }
        });
        let (told, walked) = walked_bytes(&mut store, &key(0));
        assert_eq!(told, walked, "round {round}");
    }
}

#[test]
fn a_packed_hash_is_its_listpack_beside_the_key() {
    let mut store = store_as(Mode::Primary);
    change(&mut store, 0, |hash| {
        hash.set(b"field", StringRef::Bytes(b"value"));
        hash.set(b"n", StringRef::Int(5));
    });
    store.run(|guard| {
        let view = guard.peek(&key(0)).unwrap();
        // Head 6, key 2, listpack 6 + 7 + 7 + 3 + 2 + 1, and 2 of padding.
        assert_eq!(view.bytes(), 36);
    });
}

#[test]
fn effects_name_each_field_once() {
    let mut store = store_as(Mode::Primary);
    change(&mut store, 0, |hash| {
        hash.set(b"a", StringRef::Int(1));
        hash.set(b"b", StringRef::Bytes(b"x"));
        hash.expire([&b"a"[..], b"none", b"b"], 5000, |field| field.is_some());
        hash.update(b"a", StringRef::Int(2));
        hash.remove(b"b");
        hash.remove(b"none");
        hash.persist([&b"a"[..], b"b"], |_| ());
    });
    let expected = [
        "HSET k\\x00 a 1 b x",
        "HPEXPIREAT k\\x00 5000 FIELDS 2 a b",
        "HSET k\\x00 a 2",
        "HPEXPIREAT k\\x00 5000 FIELDS 1 a",
        "HDEL k\\x00 b",
        "HPERSIST k\\x00 FIELDS 1 a",
    ];
    assert_eq!(store.effects_as_text(), expected);
}

#[test]
fn an_empty_place_is_an_empty_hash() {
    let hash = Hash::default();
    assert_eq!((hash.len(), hash.bytes()), (0, 0));
    assert!(size_of::<Hash>() <= size_of::<Vec<u8>>() && size_of::<Members>() > 0);
}
