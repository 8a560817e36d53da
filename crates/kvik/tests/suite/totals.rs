//! The totals that can be read without a lock are what a recount gives, whatever has happened.

#![expect(clippy::unwrap_used, reason = "only tests")]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kvik::{Db, Options, Value};
use kvik_store::{KeyspaceId, Sizes};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::manual;

/// Commands on keys `{k}`, other keys `{o}` and numbers `{n}`.
const COMMANDS: &[&str] = &[
    "SET {k} {n}",
    "SET {k} text-{n} PX {n}",
    "APPEND {k} more-{n}",
    "SETRANGE {k} {n} text",
    "SETBIT {k} 70000 1",
    "DEL {k} {o}",
    "EXPIRE {k} {n}",
    "PERSIST {k}",
    "RENAME {k} {o}",
    "COPY {k} {o} REPLACE",
    "COPY {k} {o} DB 1",
    "MOVE {k} 2",
    "LPUSH {k} {n} {n} {n}",
    "RPOP {k}",
    "SADD {k} m{n} {n}",
    "SREM {k} m{n}",
    "SADDEX {k} 1 m{n}",
    "SUNIONSTORE {k} {k} {o}",
    "HSET {k} f{n} v",
    "HPEXPIRE {k} {n} FIELDS 1 f{n}",
    "ZADD {k} {n} m{n}",
    "ZPOPMIN {k}",
    "XADD {k} * f {n}",
    "XADD {k} IDMP p{n} i * f {n}",
    "XGROUP CREATE {k} g 0",
    "XREADGROUP GROUP g c CLAIM {n} STREAMS {k} >",
    "XTRIM {k} MAXLEN = 3 DELREF",
    "ARMSET {k} {n} {n} 9000{n} far",
    "ARINSERT {k} {n} v",
    "ARRING {k} 3 {n}",
    "ARDELRANGE {k} 0 {n}",
    "LMOVEM {k} {o} LEFT LEFT COUNT 2 OBO",
    "SADDEX {k} PX {n} MEMBERS 2 m{n} {n}",
    "SEXPIRE {k} 1 MEMBERS 1 m{n}",
    "ZMOVE {k} {o} MAX",
    "INCREX {k} BYINT {n} PX {n}",
    "PFADD {k} {n}",
    "FLUSHDB",
    "SWAPDB 0 1",
    "FLUSHALL",
    "MSET {k} a {o} b",
];

fn command() -> impl Strategy<Value = (String, u64)> {
    let rare = |command: &&str| !command.starts_with("FLUSH");
    let common: Vec<_> = COMMANDS.iter().copied().filter(rare).collect();
    let line = prop_oneof![20 => select(common), 1 => select(COMMANDS)];
    (line, 0..12u8, 0..12u8, 1..400u32, 0..50u64).prop_map(|(line, k, o, n, ms)| {
        let line = line.replace("{k}", &format!("key{k}"));
        let line = line.replace("{o}", &format!("key{o}"));
        (line.replace("{n}", &n.to_string()), ms)
    })
}

fn run(db: &Db, line: &str) -> Value {
    db.run(&line.split(' ').collect::<Vec<_>>())
}

/// Meets every key, so that those are gone whose time has come.
fn meet(db: &Db) {
    let mut connection = db.connect();
    for number in 0..3 {
        connection.run(&["SELECT", &number.to_string()]);
        for key in 0..12 {
            connection.run(&["EXISTS", &format!("key{key}")]);
        }
    }
}

/// Keys and bytes of a database, key by key.
fn recount(db: &Db, number: u32) -> Sizes {
    let mut connection = db.connect();
    connection.run(&["SELECT", &number.to_string()]);
    let mut sizes = Sizes::default();
    let keys = connection.run(&["KEYS", "*"]);
    for key in keys.as_slice().unwrap() {
        let key = key.as_bytes().unwrap();
        let bytes = connection.run(&[&b"MEMORY"[..], b"USAGE", key]).as_int();
        let ttl = connection.run(&[&b"PTTL"[..], key]).as_int();
        sizes.keys += 1;
        sizes.volatile += u64::from(ttl.is_some_and(|ttl| ttl >= 0));
        sizes.entry_bytes += bytes.unwrap() as u64;
    }
    sizes
}

fn check(db: &Db) {
    let totals = &db.engine().totals;
    let mut sum = Sizes::default();
    for number in 0..3 {
        let recounted = recount(db, number);
        let noted = totals.keyspace(KeyspaceId(number));
        assert_eq!(
            Sizes {
                table_bytes: 0,
                ..noted
            },
            recounted,
            "database {number}"
        );
        sum = sum.plus(noted);
    }
    assert_eq!(totals.all(), sum);
    assert_eq!(totals.memory().data, sum.bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn totals_equal_a_recount(commands in prop::collection::vec(command(), 1..80), stripes in select(vec![1usize, 4, 16])) {
        let dir = tempfile::tempdir().unwrap();
        let (options, now) = manual();
        let options = options.stripes(stripes).dir(dir.path());
        let db = Db::open(options.clone()).unwrap();
        for (line, ms) in &commands {
            run(&db, line);
            now.fetch_add(ms * 1000, Ordering::Release);
        }
        meet(&db);
        check(&db);
        let seen: Vec<_> = (0..3).map(|number| recount(&db, number).keys).collect();
        drop(db);
        let db = Db::open(options).unwrap();
        meet(&db);
        check(&db);
        prop_assert_eq!(seen, (0..3).map(|number| recount(&db, number).keys).collect::<Vec<_>>());
    }
}

#[test]
fn totals_add_up_while_several_threads_write() {
    let db = Db::in_memory(Options::default().stripes(16));
    let db = Arc::new(db);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let db = Arc::clone(&db);
            scope.spawn(move || {
                for n in 0..3000 {
                    let key = format!("key{}", (n * 7 + thread) % 500);
                    run(&db, &format!("SET {key} value-{n}"));
                    run(&db, &format!("SADD set{} {n}", n % 9));
                    if n % 5 == 0 {
                        run(&db, &format!("DEL {key}"));
                    }
                }
            });
        }
    });
    check(&db);
    run(&db, "FLUSHALL");
    assert_eq!(db.engine().totals.all().keys, 0);
    assert_eq!(db.engine().totals.all().bytes(), 0);
}
