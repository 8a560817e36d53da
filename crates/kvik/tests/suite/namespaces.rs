//! Namespaces: each makes room for itself only, limits are exact, totals are what a recount gives
//! whatever has happened, and all of it comes back after a restart.

#![expect(clippy::unwrap_used, reason = "only tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik::{Db, EvictionPolicy, Options, Value};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{Lines, manual, ok};

const LIMIT: u64 = 2 << 20;
const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

fn run(db: &Db, line: &str) -> Value {
    db.run(&line.split(' ').collect::<Vec<_>>())
}

fn error(reply: &Value) -> String {
    reply
        .as_error()
        .map_or_else(String::new, |error| format!("{error}"))
}

fn spaced(options: Options) -> Options {
    options.namespaces().stripes(8)
}

/// The figure of a namespace.
fn figure(db: &Db, namespace: &str, name: &str) -> i64 {
    let reply = run(db, &format!("NAMESPACE INFO {namespace}"));
    reply.get(name).and_then(Value::as_int).unwrap()
}

fn limit_payload(db: &Db, bytes: u64) {
    db.engine().settings.maxmemory_payload.store(bytes, Relaxed);
    db.memory_settings_changed();
}

/// Keys go in the order of their expiry, over all stripes of their namespace, whatever expires in
/// others and whatever was deleted or put off before.
#[test]
fn by_time_to_live_keys_of_a_namespace_go_in_their_true_order() {
    for own in ["own/", ""] {
        let (options, _) = manual();
        let lines = Arc::<Lines>::default();
        let options = spaced(options).effect_log(Arc::clone(&lines) as _);
        let db = Db::in_memory(options.max_memory(LIMIT, EvictionPolicy::VolatileTtl));
        (0..500).for_each(|n| {
            ok(&run(
                &db,
                &format!("SET early/{n} {n:0200} EX {}", 10 + n % 50),
            ))
        });
        let mut left = BTreeMap::new();
        for n in 0..2000 {
            let seconds = 1000 + n * 7919 % 4000;
            ok(&run(&db, &format!("SET {own}{n} {n:0200} EX {seconds}")));
            left.insert(n.to_string(), seconds);
        }
        for n in (0..2000).step_by(3) {
            run(&db, &format!("DEL {own}{n}"));
            left.remove(&n.to_string());
        }
        for n in (1..2000).step_by(6) {
            run(&db, &format!("EXPIRE {own}{n} 20000"));
            left.insert(n.to_string(), 20_000);
        }
        lines.take();
        (0..12_000).for_each(|n| ok(&run(&db, &format!("SET {own}late:{n} {n:0200} EX 90000"))));
        let mut gone = 0;
        for line in lines.take() {
            let Some(key) = line.strip_prefix("DEL ") else {
                continue;
            };
            let key = key.strip_prefix(own).unwrap();
            let first = left.values().copied().min().unwrap_or(90_000);
            assert_eq!(
                left.remove(key).unwrap_or(90_000),
                first,
                "{own}{key} is the {gone}th"
            );
            gone += 1;
        }
        assert!(gone > 1400 && left.is_empty(), "{gone}");
        assert_eq!(figure(&db, "early", "keys"), 500);
    }
}

#[test]
fn a_write_evicts_only_in_its_own_namespace() {
    for policy in [
        EvictionPolicy::AllkeysLru,
        EvictionPolicy::AllkeysRandom,
        EvictionPolicy::S3Fifo,
    ] {
        let db = Db::in_memory(spaced(Options::default()).max_memory(LIMIT, policy));
        for n in 0..1500 {
            ok(&run(&db, &format!("SET quiet/{n} {n:0200}")));
        }
        for n in 0..20_000 {
            ok(&run(&db, &format!("SET loud/{n} {n:0200}")));
        }
        assert_eq!(figure(&db, "quiet", "keys"), 1500, "{policy:?}");
        assert_eq!(figure(&db, "quiet", "evicted"), 0, "{policy:?}");
        let left = figure(&db, "loud", "keys");
        assert_eq!(left + figure(&db, "loud", "evicted"), 20_000, "{policy:?}");
        assert!(left > 3000, "{policy:?}: {left}");
        // One that has nothing to give gets nothing, although others have.
        let long = "x".repeat(64 << 10);
        let reply = run(&db, &format!("SET new/k {long}"));
        assert_eq!(error(&reply), OOM, "{policy:?}");
        assert_eq!(figure(&db, "quiet", "keys"), 1500, "{policy:?}");
        ok(&run(&db, "NAMESPACE FLUSH loud"));
        ok(&run(&db, &format!("SET new/k {long}")));
    }
}

#[test]
fn others_lose_nothing_while_several_threads_attack() {
    let options = spaced(Options::default()).max_memory(2 * LIMIT, EvictionPolicy::AllkeysLru);
    let db = Db::in_memory(options);
    for space in 0..4 {
        for n in 0..400 {
            ok(&run(&db, &format!("SET quiet{space}/{n} {n:0200}")));
        }
    }
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let db = db.clone();
            scope.spawn(move || {
                for n in 0..8000 {
                    ok(&run(&db, &format!("SET loud/{thread}:{n} {n:0300}")));
                    let mine = format!("GET quiet{thread}/{}", n % 400);
                    assert!(run(&db, &mine).as_bytes().is_some(), "{mine}");
                }
            });
        }
    });
    for space in 0..4 {
        assert_eq!(figure(&db, &format!("quiet{space}"), "keys"), 400);
    }
    assert!(figure(&db, "loud", "evicted") > 0);
}

#[test]
fn the_limit_of_payload_is_exact() {
    for policy in ["none", "lfu", "mru"] {
        let db = Db::in_memory(spaced(Options::default()));
        // Namespace 1, key 2, value 7.
        limit_payload(&db, 10 * 10);
        ok(&run(&db, &format!("NAMESPACE POLICY n {policy}")));
        for n in 10..20 {
            ok(&run(&db, &format!("SET n/{n} seven77")));
        }
        assert_eq!(figure(&db, "n", "payload"), 100);
        // Others of the same size fit in the place of what is there.
        ok(&run(&db, "SET n/10 other77"));
        ok(&run(&db, "RENAME n/10 n/30"));
        assert_eq!(figure(&db, "n", "evicted"), 0);
        let reply = run(&db, "SET n/31 x");
        match policy {
            "none" => {
                assert_eq!(error(&reply), OOM);
                assert_eq!(error(&run(&db, "APPEND n/11 x")), OOM);
                assert_eq!(error(&run(&db, "SET other/k v")), OOM);
                assert_eq!(run(&db, "DEL n/11").as_int(), Some(1));
                ok(&run(&db, "SET n/31 1234567"));
            }
            _ => {
                ok(&reply);
                assert_eq!(figure(&db, "n", "evicted"), 1, "{policy}");
                assert_eq!(figure(&db, "n", "payload"), 94, "{policy}");
                ok(&run(&db, "SET n/32 678"));
                assert_eq!(figure(&db, "n", "evicted"), 1, "{policy}");
                assert_eq!(figure(&db, "n", "payload"), 100, "{policy}");
            }
        }
    }
}

#[test]
fn a_threshold_leaves_the_rest_to_those_who_cannot_evict() {
    let db = Db::in_memory(spaced(Options::default()));
    limit_payload(&db, 1000);
    let part = &db.engine().settings.eviction_threshold_ppm;
    part.store(500_000, Relaxed);
    ok(&run(&db, "NAMESPACE POLICY some lfu"));
    ok(&run(&db, "NAMESPACE POLICY all none"));
    for n in 100..200 {
        ok(&run(&db, &format!("SET some/{n} 123")));
    }
    assert_eq!(figure(&db, "some", "payload"), 500);
    let refused = (100..200).find(|n| error(&run(&db, &format!("SET all/{n} 1234"))) == OOM);
    assert_eq!(refused, Some(150));
}

#[test]
fn the_least_read_keys_go_first_or_the_most_read() {
    for (policy, expected) in [
        ("lru", "cold"),
        ("lfu", "cold"),
        ("mru", "hot"),
        ("mfu", "hot"),
    ] {
        // Keys of one stripe are compared.
        let db = Db::in_memory(Options::default().namespaces().stripes(1));
        db.engine().settings.eviction_samples.store(64, Relaxed);
        ok(&run(&db, &format!("NAMESPACE POLICY n {policy}")));
        // Namespace 1, key 6, value 12.
        limit_payload(&db, 20 * 19);
        for n in 10..20 {
            ok(&run(&db, &format!("SET n/hot-{n} {n:012}")));
            ok(&run(&db, &format!("SET n/cold{n} {n:012}")));
            (0..n).for_each(|_| drop(run(&db, &format!("GET n/hot-{n}"))));
        }
        assert_eq!(run(&db, "OBJECT FREQ n/hot-15").as_int(), Some(15));
        assert_eq!(run(&db, "OBJECT FREQ n/cold15").as_int(), Some(0));
        // What is set has no hits, and would go next.
        for n in 10..15 {
            ok(&run(&db, &format!("SET n/new--{n} {n:011}")));
            (0..12).for_each(|_| drop(run(&db, &format!("GET n/new--{n}"))));
        }
        let left = |name: &str| {
            let keys = run(&db, &format!("KEYS n/{name}*"));
            keys.as_slice().unwrap().len()
        };
        let (hot, cold) = (left("hot-"), left("cold"));
        match expected {
            "cold" => assert_eq!((hot, cold), (10, 5), "{policy}"),
            _ => assert!(hot < 10 && cold == 10, "{policy}: {hot} {cold}"),
        }
    }
}

#[test]
fn a_quota_of_bytes_is_kept_by_evicting_where_the_policy_says_so() {
    let db = Db::in_memory(spaced(Options::default()));
    ok(&run(&db, "NAMESPACE SETQUOTA a BYTES 200000"));
    ok(&run(&db, "NAMESPACE SETQUOTA b BYTES 200000"));
    ok(&run(&db, "NAMESPACE POLICY a lfu"));
    let mut refused = 0;
    for n in 0..5000 {
        ok(&run(&db, &format!("SET a/{n} {n:0100}")));
        refused += u32::from(!run(&db, &format!("SET b/{n} {n:0100}")).is_ok());
        assert!(figure(&db, "a", "bytes") <= 200_000 + (8 << 10));
    }
    assert!(refused > 1000);
    assert!(figure(&db, "a", "evicted") > 1000);
    assert_eq!(figure(&db, "b", "evicted"), 0);
    let too_long = "x".repeat(300_000);
    let reply = run(&db, &format!("SET a/long {too_long}"));
    assert!(
        error(&reply).starts_with("QUOTA namespace 'a'"),
        "{reply:?}"
    );
}

#[test]
fn typed_calls_keep_to_quotas() {
    let db = Db::in_memory(spaced(Options::default()));
    ok(&run(&db, "NAMESPACE SETQUOTA a KEYS 2"));
    db.set(b"a/1", b"x").unwrap();
    db.set(b"a/2", b"x").unwrap();
    let refused = db.set(b"a/3", b"x").unwrap_err().to_string();
    assert!(refused.contains("quota of 2 keys"), "{refused}");
    assert!(
        db.set_with(b"a/3", b"x", kvik::SetOptions::default())
            .is_err()
    );
    db.set(b"a/2", b"another").unwrap();
    let done = db.transaction(&[b"b/1".as_slice(), b"a/3"], |keys| {
        keys.set(b"b/1", b"x");
        keys.set(b"a/3", b"x");
        Ok::<_, kvik::Error>(())
    });
    assert!(done.is_err());
    assert!(!db.exists(b"b/1").unwrap() && !db.exists(b"a/3").unwrap());
    assert_eq!(figure(&db, "a", "keys"), 2);
}

#[test]
fn keys_that_were_read_are_swept_and_others_stay() {
    let db = Db::in_memory(spaced(Options::default()));
    ok(&run(&db, "NAMESPACE POLICY r expire_after_read"));
    for key in ["r/got", "r/looked-at", "r/set", "k"] {
        ok(&run(&db, &format!("SET {key} v")));
    }
    run(&db, "HSET r/h f v");
    run(&db, "HGET r/h f");
    run(&db, "GET r/got");
    run(&db, "GET k");
    run(&db, "GET r/set");
    ok(&run(&db, "SET r/set again"));
    run(&db, "STRLEN r/looked-at");
    // The upkeep thread does it; how long that takes is not the question.
    while run(&db, "EXISTS r/got r/h").as_int() != Some(0) {
        std::thread::yield_now();
    }
    assert_eq!(run(&db, "EXISTS r/set r/looked-at k").as_int(), Some(3));
    assert_eq!(figure(&db, "r", "swept"), 2);
}

/// Commands on keys `{k}`, other keys `{o}` and numbers `{n}`.
const COMMANDS: &[&str] = &[
    "SET {k} {n}",
    "SET {k} text-{n} PX {n}",
    "APPEND {k} more-{n}",
    "SETRANGE {k} {n} text",
    "DEL {k} {o}",
    "EXPIRE {k} {n}",
    "RENAME {k} {o}",
    "COPY {k} {o} REPLACE",
    "COPY {k} {o} DB 1",
    "MOVE {k} 2",
    "LPUSH {k} {n} {n} {n}",
    "RPOP {k}",
    "SADD {k} m{n} {n}",
    "SREM {k} m{n}",
    "SUNIONSTORE {k} {k} {o}",
    "HSET {k} f{n} v{n}",
    "HDEL {k} f{n}",
    "ZADD {k} {n} m{n}",
    "ZPOPMIN {k}",
    "MSET {k} a {o} b",
    "NAMESPACE FLUSH a",
    "SWAPDB 0 1",
    "FLUSHDB",
    "RESTART",
    "RELOAD",
];

const SPACES: [&str; 5] = ["a/", "b/", "", "default/", "c/d/"];

fn command() -> impl Strategy<Value = (String, u64)> {
    let common: Vec<_> = COMMANDS[..20].to_vec();
    let line = prop_oneof![12 => select(common), 1 => select(COMMANDS)];
    let spaces = select(&SPACES[..]);
    let key = (spaces, 0..6u8).prop_map(|(space, n)| format!("{space}key{n}"));
    (line, key.clone(), key, 1..400u32, 0..50u64).prop_map(|(line, k, o, n, ms)| {
        let line = line.replace("{k}", &k).replace("{o}", &o);
        (line.replace("{n}", &n.to_string()), ms)
    })
}

/// Keys and payload of each namespace of database 0, counted one by one.
fn recount(db: &Db) -> BTreeMap<String, (i64, i64)> {
    let mut sums = BTreeMap::new();
    let text = |value: &Value| String::from_utf8(value.as_bytes().unwrap().to_vec()).unwrap();
    for key in run(db, "KEYS *").as_slice().unwrap() {
        let key = text(key);
        let (space, rest) = key.split_once('/').unwrap_or(("default", &key));
        let all = |line: &str| -> i64 {
            let reply = run(db, line);
            let words = reply.as_slice().unwrap();
            words.iter().map(|word| text(word).len() as i64).sum()
        };
        let value = match run(db, &format!("TYPE {key}")).as_str().unwrap() {
            "string" => run(db, &format!("STRLEN {key}")).as_int().unwrap(),
            "list" => all(&format!("LRANGE {key} 0 -1")),
            "set" => all(&format!("SMEMBERS {key}")),
            "hash" => all(&format!("HVALS {key}")) + all(&format!("HKEYS {key}")),
            _ => {
                let names = all(&format!("ZRANGE {key} 0 -1"));
                names + 8 * run(db, &format!("ZCARD {key}")).as_int().unwrap()
            }
        };
        let sum: &mut (i64, i64) = sums.entry(space.to_owned()).or_default();
        *sum = (sum.0 + 1, sum.1 + (space.len() + rest.len()) as i64 + value);
    }
    sums
}

/// Keys whose time has come go when they are met.
fn meet_all(db: &Db) {
    for space in SPACES {
        (0..6u8).for_each(|n| drop(run(db, &format!("EXISTS {space}key{n}"))));
    }
}

fn told(db: &Db) -> BTreeMap<String, (i64, i64)> {
    let all = db.engine().namespaces.as_ref().unwrap().sizes();
    let ours = all.into_iter().filter(|it| it.database == 0 && it.keys > 0);
    ours.map(|it| {
        let name = String::from_utf8(it.name).unwrap();
        (name, (it.keys as i64, it.payload as i64))
    })
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn totals_are_what_a_recount_gives(commands in prop::collection::vec(command(), 1..150)) {
        let dir = tempfile::tempdir().unwrap();
        let (options, now) = manual();
        let options = spaced(options).dir(dir.path());
        let mut db = Db::open(options.clone()).unwrap();
        for (line, ms) in commands {
            match line.as_str() {
                "RESTART" => {
                    drop(db);
                    db = Db::open(options.clone()).unwrap();
                }
                "RELOAD" => ok(&run(&db, "DEBUG RELOAD")),
                line => drop(run(&db, line)),
            }
            now.fetch_add(ms * 1000, std::sync::atomic::Ordering::AcqRel);
            meet_all(&db);
            let counted = recount(&db);
            prop_assert_eq!(told(&db), counted);
        }
        drop(db);
        let db = Db::open(options).unwrap();
        meet_all(&db);
        let counted = recount(&db);
        prop_assert_eq!(told(&db), counted);
    }
}

#[test]
fn an_image_holds_thousands_of_namespaces() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default().namespaces().stripes(4).dir(dir.path());
    let db = Db::open(options.clone()).unwrap();
    for n in 0..3000 {
        ok(&run(&db, &format!("MSET n{n}/a 1 n{n}/b 2")));
    }
    let digest = run(&db, "DEBUG DIGEST");
    ok(&run(&db, "SAVE"));
    ok(&run(&db, "DEBUG RELOAD"));
    assert_eq!(run(&db, "DEBUG DIGEST"), digest);
    run(&db, "BGREWRITEAOF");
    run(&db, "SET n1/c 3");
    let digest = run(&db, "DEBUG DIGEST");
    drop(db);
    let db = Db::open(options).unwrap();
    assert_eq!(run(&db, "DEBUG DIGEST"), digest);
    assert_eq!(db.engine().namespaces.as_ref().unwrap().count(), 3000);
}
