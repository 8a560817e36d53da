//! The memory limit: what fits runs, what does not makes room or is refused, and the right keys go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use kvik::{Db, EvictionPolicy, Options, Value};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{Lines, Mirror, manual, ok};

const LIMIT: u64 = 2 << 20;
/// One command's growth: a key, a value, and a bucket's segment that a table may split.
const ONE_MORE: u64 = 32 << 10;
const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

fn evicting() -> impl Iterator<Item = EvictionPolicy> {
    let all = EvictionPolicy::ALL.into_iter().map(|(policy, _)| policy);
    all.filter(|policy| policy.order().is_some())
}

fn held(db: &Db) -> u64 {
    db.engine().totals.memory().held
}

fn evicted(db: &Db) -> u64 {
    db.engine().stats.totals().evicted
}

fn run(db: &Db, line: &str) -> Value {
    db.run(&line.split(' ').collect::<Vec<_>>())
}

fn is_oom(reply: &Value) -> bool {
    reply
        .as_error()
        .is_some_and(|error| format!("{error}") == OOM)
}

fn exists(db: &Db, key: &str) -> bool {
    // Not an access.
    run(db, &format!("OBJECT ENCODING {key}"))
        .as_bytes()
        .is_some()
}

#[test]
fn no_policy_lets_the_limit_be_exceeded() {
    for policy in evicting() {
        for stripes in [1, 8] {
            let options = Options::default().stripes(stripes);
            let db = Db::in_memory(options.max_memory(LIMIT, policy));
            for n in 0..12_000 {
                let reply = run(&db, &format!("SET key:{n} {n:0200} PX 100000000"));
                assert!(reply.is_ok(), "{policy:?} {n}: {reply:?}");
                assert!(held(&db) <= LIMIT + ONE_MORE, "{policy:?}: {}", held(&db));
            }
            let left = run(&db, "DBSIZE").as_int().unwrap();
            assert_eq!(left as u64 + evicted(&db), 12_000, "{policy:?}");
            // The limit is used, too.
            assert!(held(&db) > LIMIT * 9 / 10, "{policy:?}: {}", held(&db));
        }
    }
}

/// Runs what fits when no words of clients count, which are measured a few times a second.
#[track_caller]
fn ok_soon(db: &Db, line: &str) {
    let fits = |_| {
        let fits = run(db, line).is_ok();
        if !fits {
            thread::park_timeout(Duration::from_millis(20));
        }
        fits
    };
    assert!((0..200).any(fits), "{line}");
}

#[test]
fn without_eviction_only_what_grows_is_refused() {
    let db = Db::in_memory(Options::default().max_memory(LIMIT, EvictionPolicy::NoEviction));
    let mut n = 0;
    let refused = loop {
        let reply = run(&db, &format!("SET key:{n} {n:0500}"));
        if !reply.is_ok() {
            break reply;
        }
        n += 1;
        assert!(held(&db) <= LIMIT + ONE_MORE);
    };
    assert!(is_oom(&refused), "{refused:?}");
    assert!(n > 2000);
    assert_eq!(run(&db, "GET key:1").as_bytes().unwrap().len(), 500);
    // A value that comes in the place of another one of the same length needs no room.
    ok_soon(&db, &format!("SET key:1 {:0500}", 7));
    assert_eq!(run(&db, "DEL key:1 key:2").as_int(), Some(2));
    ok_soon(&db, &format!("SET key:1 {:0500}", 7));
    // Behind what has to fit to the byte: words of clients count for a while after they have run.
    for line in [
        "SET new v",
        "LPUSH list a",
        "INCR n",
        "APPEND key:1 more",
        "HSET h f v",
    ] {
        // Small ones may still fit; what does not fit is refused for its size.
        let long = "x".repeat(70_000);
        assert!(is_oom(&run(&db, &format!("{line}{long}"))), "{line}");
    }
    ok(&run(&db, "FLUSHALL"));
    // What was flushed is freed for those who need the room, not counted against them.
    for n in 0..2000 {
        ok(&run(&db, &format!("SET key:{n} {n:0500}")));
    }
    assert_eq!(evicted(&db), 0);
}

#[test]
fn a_transaction_is_refused_as_a_whole() {
    let db = Db::in_memory(Options::default().max_memory(LIMIT, EvictionPolicy::NoEviction));
    let mut client = db.connect();
    let long = "x".repeat(LIMIT as usize - (64 << 10));
    ok(&client.run(&["SET", "full", &long]));
    let more = "x".repeat(40 << 10);
    client.run(&["MULTI"]);
    assert_eq!(client.run(&["SET", "a", &more]).as_str(), Some("QUEUED"));
    assert_eq!(client.run(&["SET", "b", &more]).as_str(), Some("QUEUED"));
    let reply = client.run(&["EXEC"]);
    let text = format!("{}", reply.as_error().unwrap());
    assert_eq!(
        text,
        format!("EXECABORT Transaction discarded because of: {OOM}")
    );
    assert!(!exists(&db, "a"));
    client.run(&["MULTI"]);
    client.run(&["DEL", "full"]);
    assert!(client.run(&["EXEC"]).as_error().is_none());
    ok(&client.run(&["SET", "a", &more]));
}

#[test]
fn volatile_policies_without_candidates_refuse() {
    for policy in evicting().filter(|policy| policy.is_volatile()) {
        let db = Db::in_memory(Options::default().max_memory(LIMIT, policy));
        let refused = (0..20_000).find(|n| is_oom(&run(&db, &format!("SET key:{n} {n:0200}"))));
        assert!(refused.is_some(), "{policy:?}");
        assert_eq!(evicted(&db), 0, "{policy:?}");
        // One that expires makes room, and goes itself when the next one comes.
        (0..100).for_each(|n| drop(run(&db, &format!("DEL key:{n}"))));
        ok(&run(&db, &format!("SET volatile {:0200} EX 1000", 1)));
        let filled = (0..1000).find(|n| is_oom(&run(&db, &format!("SET more:{n} {n:0200}"))));
        assert!(filled.is_some(), "{policy:?}");
        assert_eq!(
            (evicted(&db), exists(&db, "volatile")),
            (1, false),
            "{policy:?}"
        );
    }
}

#[test]
fn blessed_keys_stay() {
    for policy in evicting() {
        for stripes in [1, 8] {
            let options = Options::default().stripes(stripes);
            let db = Db::in_memory(options.max_memory(LIMIT, policy));
            for n in 0..100 {
                run(&db, &format!("SET blessed:{n} {n:0200} PX 50000000"));
                run(&db, &format!("BLESS SET blessed:{n} NO-EVICT"));
            }
            for n in 0..12_000 {
                let reply = run(&db, &format!("SET key:{n} {n:0200} PX 100000000"));
                assert!(reply.is_ok(), "{policy:?} {n}: {reply:?}");
                assert!(held(&db) <= LIMIT + ONE_MORE, "{policy:?}: {}", held(&db));
            }
            let left = (0..100).filter(|n| exists(&db, &format!("blessed:{n}")));
            assert_eq!(left.count(), 100, "{policy:?}");
            assert!(evicted(&db) > 0, "{policy:?}");
        }
    }
}

#[test]
fn where_all_keys_are_blessed_a_quarter_more_is_used() {
    let policy = EvictionPolicy::ALL
        .iter()
        .find(|(_, name)| *name == "allkeys-lru")
        .map(|(policy, _)| *policy);
    let options = Options::default().max_memory(LIMIT, policy.unwrap());
    let db = Db::in_memory(options);
    let mut client = db.connect();
    let refused = (0..20_000).find(|n| {
        // By itself the second command would find room by evicting what the first has written.
        client.run(&["MULTI"]);
        let reply = client.run(&["SET", &format!("key:{n}"), &format!("{n:0200}")]);
        client.run(&["BLESS", "SET", &format!("key:{n}"), "NO-EVICT"]);
        client.run(&["EXEC"]);
        is_oom(&reply)
    });
    assert!(refused.is_some());
    assert_eq!(evicted(&db), 0);
    let quarter = LIMIT / 4;
    let held = held(&db);
    assert!(
        held > LIMIT + quarter / 2 && held <= LIMIT + quarter + ONE_MORE,
        "{held}"
    );
}

/// Fills a store, uses some keys, and writes half as much again; returns how many of those used are
/// left, and of as many others.
fn survivors(policy: EvictionPolicy, used: impl Fn(&Db, u32)) -> (usize, usize) {
    let (options, now) = manual();
    let db = Db::in_memory(options.stripes(4).seed(3).max_memory(LIMIT, policy));
    db.engine()
        .settings
        .eviction_samples
        .store(10, Ordering::Relaxed);
    let write = |name: &str, n: u32| {
        ok(&run(
            &db,
            &format!("SET {name}:{n} {n:0300} EX {}", 100_000 + n),
        ));
        now.fetch_add(10_000, Ordering::Release);
    };
    (0..4000).for_each(|n| write("key", n));
    for round in 0..4 {
        for n in (0..4000).step_by(4) {
            used(&db, n);
        }
        now.fetch_add(1_000_000 + round, Ordering::Release);
    }
    (0..4500).for_each(|n| write("new", n));
    let left = |from: u32| {
        let keys = (from..4000).step_by(4).map(|n| format!("key:{n}"));
        keys.filter(|key| exists(&db, key)).count()
    };
    (left(0), left(1))
}

#[test]
fn keys_that_are_used_stay() {
    let get = |db: &Db, n: u32| drop(run(db, &format!("GET key:{n}")));
    for policy in [
        EvictionPolicy::AllkeysLru,
        EvictionPolicy::VolatileLru,
        EvictionPolicy::AllkeysLfu,
        EvictionPolicy::VolatileLfu,
        EvictionPolicy::S3Fifo,
    ] {
        let (used, others) = survivors(policy, get);
        assert!(used > 900 && others < 850, "{policy:?}: {used} {others}");
    }
}

#[test]
fn keys_that_are_changed_stay_and_reading_does_not_help() {
    for policy in [EvictionPolicy::AllkeysLrm, EvictionPolicy::VolatileLrm] {
        let append = |db: &Db, n: u32| drop(run(db, &format!("SETRANGE key:{n} 0 x")));
        let (changed, others) = survivors(policy, append);
        assert!(
            changed > 900 && others < 700,
            "{policy:?}: {changed} {others}"
        );
        let get = |db: &Db, n: u32| drop(run(db, &format!("GET key:{n}")));
        let (read, others) = survivors(policy, get);
        assert!(read.abs_diff(others) < 150, "{policy:?}: {read} {others}");
    }
}

#[test]
fn a_scan_does_not_drive_out_what_is_in_use() {
    let db = Db::in_memory(
        Options::default()
            .stripes(4)
            .max_memory(LIMIT, EvictionPolicy::S3Fifo),
    );
    let set = |name: &str, n: u32| ok(&run(&db, &format!("SET {name}:{n} {n:0300}")));
    // Enough for the queues to be in use.
    (0..8000).for_each(|n| set("old", n));
    for _ in 0..4 {
        for n in 0..500 {
            if run(&db, &format!("GET hot:{n}")).is_null() {
                set("hot", n);
            }
        }
    }
    for n in 0..20_000 {
        set("scan", n);
        if n % 4 == 0 {
            run(&db, &format!("GET hot:{}", n / 4 % 500));
        }
    }
    let hot = (0..500)
        .filter(|n| exists(&db, &format!("hot:{n}")))
        .count();
    assert!(hot > 450, "{hot}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Keys go in the order of their expiry, over all stripes: the upkeep thread evicts them, while
    /// nobody writes.
    #[test]
    fn by_time_to_live_keys_go_in_their_true_order(
        seconds in prop::collection::vec(1000u32..50_000, 1000..2000),
        stripes in select(vec![1usize, 4, 16]),
    ) {
        let (options, _) = manual();
        let lines = Arc::<Lines>::default();
        let options = options.stripes(stripes).effect_log(Arc::clone(&lines) as _);
        let db = Db::in_memory(options.max_memory(64 << 20, EvictionPolicy::VolatileTtl));
        for (n, seconds) in seconds.iter().enumerate() {
            ok(&run(&db, &format!("SET {n} {n:0400} EX {seconds}")));
        }
        lines.take();
        let limit = held(&db) * 2 / 3;
        db.engine().settings.maxmemory.store(limit, Ordering::Relaxed);
        db.memory_settings_changed();
        while held(&db) > limit {
            thread::yield_now();
        }
        let mut left = seconds;
        let mut latest = 0;
        for line in lines.take() {
            let gone: usize = line.strip_prefix("DEL ").unwrap().parse().unwrap();
            prop_assert!(latest <= left[gone], "{} after {}", left[gone], latest);
            latest = std::mem::replace(&mut left[gone], u32::MAX);
        }
        prop_assert!(evicted(&db) > 0);
        prop_assert!(left.iter().all(|seconds| *seconds >= latest));
    }
}

#[test]
fn evictions_are_effects() {
    for policy in evicting() {
        let mirror = Db::memory();
        let log = Arc::new(Mirror(mirror.clone()));
        let options = Options::default().effect_log(log).max_memory(LIMIT, policy);
        let db = Db::in_memory(options);
        for n in 0..8000 {
            run(&db, &format!("SET key:{n} {n:0300} EX 1000"));
            run(&db, &format!("SADD set:{} {n}", n % 50));
        }
        assert!(evicted(&db) > 0, "{policy:?}");
        assert_eq!(
            run(&db, "DEBUG DIGEST"),
            run(&mirror, "DEBUG DIGEST"),
            "{policy:?}"
        );
    }
}

#[test]
fn a_lower_limit_is_obeyed_without_a_write() {
    let db = Db::in_memory(Options::default().max_memory(8 << 20, EvictionPolicy::AllkeysLru));
    (0..20_000).for_each(|n| ok(&run(&db, &format!("SET key:{n} {n:0200}"))));
    assert_eq!(evicted(&db), 0);
    db.engine()
        .settings
        .maxmemory
        .store(LIMIT, Ordering::Relaxed);
    db.memory_settings_changed();
    // The upkeep thread does it; how long that takes is not the question.
    while held(&db) > LIMIT + ONE_MORE {
        std::thread::yield_now();
    }
    assert!(evicted(&db) > 0);
    db.engine().settings.maxmemory.store(0, Ordering::Relaxed);
    db.memory_settings_changed();
    let before = evicted(&db);
    (0..20_000).for_each(|n| ok(&run(&db, &format!("SET again:{n} {n:0200}"))));
    assert_eq!(evicted(&db), before);
}

/// Four times as much as is allowed, by several threads, in values of all kinds.
#[test]
fn several_threads_stay_below_the_limit_together() {
    for threads in [1, 2, 8] {
        let options = Options::default().threads(threads);
        let db = Db::in_memory(options.max_memory(4 * LIMIT, EvictionPolicy::AllkeysLru));
        let writes = 4 * 4 * LIMIT as usize / 1000 / threads;
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let db = db.clone();
                scope.spawn(move || {
                    for n in 0..writes {
                        let key = format!("{thread}:{n}");
                        ok(&run(&db, &format!("SET {key} {n:0800}")));
                        run(&db, &format!("RPUSH list:{} {n:0100}", n % 300));
                        run(&db, &format!("HSET hash:{} f{n} {n:050}", n % 100));
                        let most = 4 * LIMIT + threads as u64 * ONE_MORE;
                        assert!(held(&db) <= most, "{} > {most}", held(&db));
                    }
                });
            }
        });
        assert!(evicted(&db) > 0);
        let sizes = db.engine().totals.all();
        assert_eq!(run(&db, "DBSIZE").as_int(), Some(sizes.keys as i64));
    }
}

#[test]
fn what_was_evicted_stays_away_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default().dir(dir.path());
    let options = options.max_memory(LIMIT, EvictionPolicy::AllkeysRandom);
    let db = Db::open(options.clone()).unwrap();
    (0..15_000).for_each(|n| ok(&run(&db, &format!("SET key:{n} {n:0200}"))));
    let (keys, digest) = (run(&db, "DBSIZE"), run(&db, "DEBUG DIGEST"));
    assert!(evicted(&db) > 0);
    drop(db);
    let db = Db::open(options).unwrap();
    assert_eq!(
        (run(&db, "DBSIZE"), run(&db, "DEBUG DIGEST")),
        (keys, digest)
    );
}
