//! Values written whole and in slices, and what reading them gives.

use kvik_rdb::{Hash, KeyRecord, Set, SortedSet, Value};

use super::*;
use crate::load::tests::{OneStripe, records};
use crate::load::{LoadPolicy, LoadedKey};

fn full_store(expires: bool) -> OneStripe {
    let mut store = OneStripe::new();
    for record in records(expires) {
        assert_eq!(
            store.load(&record, LoadPolicy::default()),
            Ok(LoadedKey::Stored)
        );
    }
    store
}

/// The records of all keys in the order of their names, written in slices of `budget` bytes.
fn saved(store: &mut OneStripe, budget: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    store.with(|guard| {
        let mut saved = Vec::new();
        guard.for_each(|view| {
            let mut out = Vec::new();
            let mut encoder = Encoder::new(&mut out, Compression::Lzf);
            let mut writer = ValueWriter::new(view.value());
            encoder.key(&key_header(&view, SavedUsage::Nothing, writer.object()));
            while !writer.write(view.value(), budget, &mut encoder) {}
            assert!(writer.is_done());
            saved.push((view.key().to_vec(), out));
        });
        saved.sort();
        saved
    })
}

/// The contents of a record, with the elements of a table in an order that is the same for all.
fn contents(record: &[u8]) -> Vec<String> {
    let mut record = KeyRecord::read(record, 80).unwrap();
    let header = format!("{:?}", record.header);
    let mut contents: Vec<String> = match record.value().unwrap() {
        Value::Set(Set::Members(members)) => members.map(|it| format!("{it:?}")).collect(),
        Value::Hash(Hash::Fields(fields)) => fields.map(|it| format!("{it:?}")).collect(),
        Value::SortedSet(SortedSet::Members(members)) => {
            members.map(|it| format!("{it:?}")).collect()
        }
        Value::List(parts) => parts.map(|it| format!("{it:?}")).collect(),
        Value::Stream(parts) => parts.map(|it| format!("{it:?}")).collect(),
        Value::Array(parts) => parts.map(|it| format!("{it:?}")).collect(),
        other => vec![format!("{other:?}")],
    };
    contents.sort();
    contents.push(header);
    contents
}

#[test]
fn slices_make_the_whole() {
    for expires in [false, true] {
        let mut store = full_store(expires);
        let whole = saved(&mut store, usize::MAX);
        assert_eq!(whole.len(), 17);
        for budget in [0, 1, 100, 5000] {
            assert!(saved(&mut store, budget) == whole, "slices of {budget}");
        }
    }
}

#[test]
fn a_slice_is_about_as_long_as_it_may_be() {
    let mut store = full_store(false);
    store.with(|guard| {
        for key in [&b"rope"[..], b"hash 3000", b"zset 3000", b"set 3000"] {
            let view = guard.peek(key).unwrap();
            let mut writer = ValueWriter::new(view.value());
            let mut out = Vec::new();
            let mut slices = 0;
            loop {
                let before = out.len();
                let mut encoder = Encoder::new(&mut out, Compression::Off);
                let is_done = writer.write(view.value(), 4000, &mut encoder);
                slices += 1;
                // A chunk of a rope, or the members of a bucket, may be written beyond the budget.
                assert!(out.len() - before < 4000 + (33 << 10));
                if is_done {
                    break;
                }
            }
            assert!(slices > 5, "{slices} slices");
        }
    });
}

#[test]
fn what_is_saved_loads_as_the_same() {
    for expires in [false, true] {
        let mut store = full_store(expires);
        let first = saved(&mut store, 1000);
        let mut second = OneStripe::new();
        for (_, record) in &first {
            assert_eq!(
                second.load(record, LoadPolicy::default()),
                Ok(LoadedKey::Stored)
            );
        }
        let second = saved(&mut second, usize::MAX);
        for (first, second) in first.iter().zip(&second) {
            let key = String::from_utf8_lossy(&first.0);
            assert!(contents(&first.1) == contents(&second.1), "{key}");
        }
        assert_eq!(first.len(), second.len());
    }
}

#[test]
fn only_arrays_and_members_that_expire_need_a_new_version() {
    for (expires, least) in [(false, 10), (true, 80)] {
        let mut store = full_store(expires);
        let version = store.with(|guard| {
            let mut version = 0;
            guard.for_each(|view| {
                let mut out = Vec::new();
                let mut encoder = Encoder::new(&mut out, Compression::Lzf);
                let needed = write_key(&view, SavedUsage::Idle, &mut encoder);
                match view.value() {
                    kvik_store::ValueRef::Array(_) => assert_eq!(needed, 14),
                    _ => version = version.max(needed),
                }
                assert_eq!(
                    KeyRecord::read(&out, 80).unwrap().header.usage,
                    KeyUsage::Idle(0)
                );
            });
            version
        });
        assert_eq!(version, least);
    }
}
