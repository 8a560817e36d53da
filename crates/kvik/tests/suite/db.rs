//! Keys, transactions, watches and large values through handles and executors.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use kvik::effects::{EffectLog, Unit};
use kvik::{Connection, Db, Error, Options, Outcome, SetOptions, Value};

use crate::support::{Client, Lines, Mirror, manual, ok};

fn with_mirror(options: Options) -> (Db, Db) {
    let mirror = Db::in_memory(Options::default().stripes(4).follower());
    let db = Db::in_memory(options.effect_log(Arc::new(Mirror(mirror.clone()))));
    (db, mirror)
}

#[test]
fn typed_methods_and_commands_see_the_same_keys() {
    let db = Db::memory();
    db.set(b"k", b"12").unwrap();
    assert_eq!(db.run(&["GET", "k"]).as_bytes(), Some(&b"12"[..]));
    ok(&db.run(&["SET", "k", "v"]));
    assert_eq!(db.get(b"k").unwrap().as_deref(), Some(&b"v"[..]));
    let only_new = SetOptions {
        if_exists: Some(false),
        ..SetOptions::default()
    };
    assert_eq!(db.set_with(b"k", b"x", only_new), Ok(false));
    assert_eq!(db.delete(&[b"k", b"l"]), Ok(1));
    assert_eq!(db.exists(b"k"), Ok(false));
}

#[test]
fn state_stays_in_a_connection_and_not_in_the_handle() {
    let db = Db::memory();
    let mut client = db.connect();
    ok(&client.run(&["SELECT", "3"]));
    ok(&client.run(&["SET", "k", "three"]));
    assert!(db.run(&["GET", "k"]).is_null());
    ok(&db.run(&["MULTI"]));
    ok(&db.run(&["SET", "k", "zero"]));
    assert_eq!(db.run(&["GET", "k"]).as_bytes(), Some(&b"zero"[..]));
}

#[test]
fn a_transaction_runs_whole_or_not_at_all() {
    let db = Db::memory();
    let mut client = db.connect();
    ok(&client.run(&["MULTI"]));
    client.run(&["SET", "a", "1"]);
    client.run(&["SET", "b", "2"]);
    assert!(db.run(&["GET", "a"]).is_null());
    assert_eq!(
        client.run(&["EXEC"]).as_slice().map(<[Value]>::len),
        Some(2)
    );
    ok(&client.run(&["MULTI"]));
    assert!(client.run(&["NOSUCH"]).as_error().is_some());
    client.run(&["SET", "a", "3"]);
    assert!(
        client
            .run(&["EXEC"])
            .as_error()
            .unwrap()
            .starts_with("EXECABORT")
    );
    assert_eq!(db.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
}

fn watching(db: &Db, key: &str) -> Connection {
    let mut client = db.connect();
    ok(&client.run(&["WATCH", key]));
    ok(&client.run(&["MULTI"]));
    client.run(&["PING"]);
    client
}

#[test]
fn watch_notices_changes_and_expiry() {
    let (options, now) = manual();
    let db = Db::in_memory(options);
    let mut client = watching(&db, "missing");
    db.set(b"missing", b"not any more").unwrap();
    assert!(client.run(&["EXEC"]).is_null());

    db.expire(b"missing", Duration::from_millis(10)).unwrap();
    let mut client = watching(&db, "missing");
    now.fetch_add(10_000, Ordering::SeqCst);
    assert!(client.run(&["EXEC"]).is_null());

    let mut client = watching(&db, "missing");
    assert!(!client.run(&["EXEC"]).is_null(), "it was gone already");
}

#[test]
fn the_mirror_follows_expiry_and_transactions() {
    let (options, now) = manual();
    let (db, mirror) = with_mirror(options);
    ok(&db.run(&["MSET", "a", "1", "b", "2"]));
    db.expire(b"a", Duration::from_secs(1)).unwrap();
    assert_eq!(mirror.get(b"b").unwrap().as_deref(), Some(&b"2"[..]));
    now.fetch_add(1_000_000, Ordering::SeqCst);
    assert_eq!(db.get(b"a").unwrap(), None);
    assert!(
        !mirror.exists(b"a").unwrap(),
        "the key that was met has been deleted there, too"
    );
}

#[test]
fn keys_expire_though_nobody_looks() {
    let (db, mirror) = with_mirror(Options::default());
    for n in 0..1000u32 {
        db.set_with(
            &n.to_be_bytes(),
            b"v",
            SetOptions {
                expire_in: Some(Duration::from_millis(u64::from(n % 50))),
                ..SetOptions::default()
            },
        )
        .unwrap();
    }
    while db.engine().stats.totals().expired < 1000 {
        thread::yield_now();
    }
    assert!((0..1000u32).all(|n| !mirror.exists(&n.to_be_bytes()).unwrap()));
}

#[test]
fn closures_are_transactions_across_stripes() {
    let db = Db::in_memory(Options::default().stripes(64));
    db.set(b"a", b"1000").unwrap();
    db.set(b"b", b"1000").unwrap();
    let read = |value: Option<Vec<u8>>| {
        String::from_utf8(value.unwrap())
            .unwrap()
            .parse::<i64>()
            .unwrap()
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..500 {
                    db.transaction(&[b"a", b"b"], |keys| {
                        let (a, b) = (read(keys.get(b"a").unwrap()), read(keys.get(b"b").unwrap()));
                        assert_eq!(a + b, 2000);
                        keys.set(b"a", (a - n).to_string().as_bytes());
                        keys.set(b"b", (b + n).to_string().as_bytes());
                        Ok::<_, Error>(())
                    })
                    .unwrap();
                }
            });
        }
    });
}

#[test]
fn a_read_beside_others_marks_the_key_as_used() {
    let (options, now) = manual();
    let db = Db::in_memory(options);
    db.set(b"k", b"v").unwrap();
    let idle = |db: &Db| db.run(&["OBJECT", "IDLETIME", "k"]).as_int();
    let typed = |db: &Db| assert_eq!(db.get(b"k"), Ok(Some(b"v".to_vec())));
    let command = |db: &Db| assert_eq!(db.run(&["GET", "k"]).as_bytes(), Some(&b"v"[..]));
    for read in [typed, command] {
        // As many as let readers do without the lock, whatever that takes.
        (0..200).for_each(|_| read(&db));
        now.fetch_add(10_000_000, Ordering::SeqCst);
        assert_eq!(idle(&db), Some(10));
        read(&db);
        assert_eq!(idle(&db), Some(0));
    }
}

#[test]
fn reads_and_writes_of_one_key_by_many_threads_keep_their_order() {
    const WRITES: i64 = 3000;
    let db = Db::memory();
    db.set(b"n", b"0").unwrap();
    let read = |typed: bool| -> i64 {
        let value = if typed {
            db.get(b"n").expect("a string")
        } else {
            db.run(&["GET", "n"]).as_bytes().map(<[u8]>::to_vec)
        };
        let text = String::from_utf8(value.expect("it exists")).expect("a number");
        text.parse().expect("a number")
    };
    thread::scope(|scope| {
        for typed in [true, false, true] {
            scope.spawn(move || {
                let mut latest = 0;
                while latest < WRITES {
                    let seen = read(typed);
                    assert!(seen >= latest, "{seen} after {latest}");
                    latest = seen;
                }
            });
        }
        for n in 1..=WRITES {
            assert_eq!(db.increment(b"n", 1), Ok(n));
        }
    });
}

#[test]
fn effects_are_canonical() {
    let cases: [(&str, &[&str]); 26] = [
        ("SET k v EX 10", &["SET k v PXAT 1010000"]),
        ("SET k w XX GET KEEPTTL", &["SET k w KEEPTTL"]),
        ("SET k w NX", &[]),
        ("GETEX k", &[]),
        ("GETEX k PX 5", &["PEXPIREAT k 1000005"]),
        ("GETEX k PERSIST", &["PERSIST k"]),
        ("PERSIST k", &[]),
        ("APPEND k xyz", &["SETRANGE k 1 xyz"]),
        ("SETRANGE k 9 ", &[]),
        ("EXPIRE k 1", &["PEXPIREAT k 1001000"]),
        ("EXPIRE k 1 GT", &[]),
        ("EXPIRE k -1", &["DEL k"]),
        ("SET k v PXAT 1", &[]),
        ("INCRBY n 5", &["SET n 5"]),
        ("INCRBYFLOAT n 0.5", &["SET n 5.5 KEEPTTL"]),
        ("SET n 1 PXAT 1", &["DEL n"]),
        ("MSET a 1 b 2", &["SET a 1", "SET b 2"]),
        ("MSETNX a 1 c 2", &[]),
        ("MSETEX 2 a 1 c 2 EXAT 1", &["DEL a"]),
        ("RENAME b c", &["RENAME b c"]),
        ("COPY c d", &["COPY c d DB 0 REPLACE"]),
        ("MOVE d 3", &["MOVE d 3"]),
        ("GETDEL c", &["DEL c"]),
        ("DEL a b c", &[]),
        ("SWAPDB 0 3", &["SWAPDB 0 3"]),
        ("FLUSHALL", &["FLUSHALL"]),
    ];
    let lines = Arc::new(Lines::default());
    let db = Db::in_memory(manual().0.effect_log(Arc::clone(&lines) as _));
    for (command, effects) in cases {
        let words: Vec<&str> = command.split(' ').collect();
        let reply = db.run(&words);
        assert_eq!(reply.as_error(), None, "{command}");
        let stated = lines.take();
        assert_eq!(stated, effects, "{command}");
    }
}

#[test]
fn members_that_are_due_together_go_in_slices() {
    let (options, now) = manual();
    let lines = Arc::new(Lines::default());
    let db = Db::in_memory(options.effect_log(Arc::clone(&lines) as _));
    ok(&db.run(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]));
    let members: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    for key in ["one", "two"] {
        let expiring = ["SADDEX", key, "1"].into_iter();
        let expiring: Vec<&str> = expiring.chain(members.iter().map(String::as_str)).collect();
        assert_eq!(db.run(&expiring).as_int(), Some(1000));
        assert_eq!(db.run(&["SADD", key, "stays"]).as_int(), Some(1));
    }
    now.fetch_add(2_000_000, Ordering::Release);
    lines.take();
    assert_eq!(db.run(&["SCARD", "one"]).as_int(), Some(1));
    let mut session = db.connect();
    ok(&session.run(&["MULTI"]));
    session.run(&["SCARD", "two"]);
    assert_eq!(
        session.run(&["EXEC"]),
        Value::Array(vec![Value::Integer(1)])
    );
    let lines = lines.take();
    for key in ["one", "two"] {
        let removals = lines.iter().map(|line| line.split(' ').collect::<Vec<_>>());
        let removals = removals.filter(|words| words[..2] == ["SREM", key]);
        let slices: Vec<usize> = removals.map(|words| words.len() - 2).collect();
        assert_eq!(slices.iter().sum::<usize>(), 1000);
        assert!(slices.iter().all(|&members| members <= 128), "{slices:?}");
    }
}

fn fill(db: &Db, members: usize) {
    for number in 0..members {
        let (number, name) = (number.to_string(), format!("{number:040}"));
        db.run(&["SADD", "set", &name]);
        db.run(&["HSET", "hash", &name, &number]);
        db.run(&["ZADD", "zset", &number, &name]);
    }
}

/// How many members a value has, and a digest of them.
fn outline(db: &Db, key: &str) -> (Value, Value) {
    let digest = db.run(&["DEBUG", "DIGEST-VALUE", key]);
    assert!(digest.as_error().is_none());
    (db.run(&["TYPE", key]), digest)
}

#[test]
fn large_values_are_renamed_and_copied_in_slices_while_they_change() {
    let (lines, (options, _)) = (Arc::new(Lines::default()), manual());
    let log: Arc<dyn EffectLog> = Arc::clone(&lines) as _;
    let db = Db::in_memory(options.seed(1).stripes(16).effect_log(log));
    fill(&db, 3000);
    let mut client = Client::of(&db);
    for (key, change) in [("set", "SADD"), ("hash", "HSET"), ("zset", "ZADD")] {
        let copy = format!("{key}-copy");
        let change = |n: usize| {
            let name = format!("{n:040}");
            let words = [change, key, "7", &name];
            db.run(if change == "SADD" {
                &words[..3]
            } else {
                &words[..]
            });
            let removal = change.replace("ADD", "REM").replace("SET", "DEL");
            db.run(&[&removal, key, &format!("{:040}", 10 * n)]);
            // Nothing is seen of it.
            assert!(!db.exists(copy.as_bytes()).unwrap());
        };
        lines.take();
        let put_off = client.run_between(&["COPY", key, &copy], change);
        assert!((4..20).contains(&put_off), "{put_off}");
        assert_eq!(outline(&db, key), outline(&db, &copy));
        let effect = format!("COPY {key} {copy} DB 0 REPLACE");
        let told = lines.take();
        let told = told.iter().filter(|line| line.contains("copy"));
        assert_eq!(told.collect::<Vec<_>>(), [&effect]);
    }
}

#[test]
fn a_transaction_waits_for_what_it_renames() {
    let db = Db::in_memory(Options::default().seed(1).stripes(16));
    fill(&db, 3000);
    let before = outline(&db, "zset");
    let mut client = Client::of(&db);
    for words in [
        &["MULTI"][..],
        &["SET", "other", "1"],
        &["RENAME", "zset", "there"],
    ] {
        assert_eq!(client.offer(words), Outcome::Done);
    }
    let put_off = client.run_between(&["EXEC"], |_| assert!(!db.exists(b"other").unwrap()));
    assert!((4..20).contains(&put_off), "{put_off}");
    assert!(db.exists(b"other").unwrap() && !db.exists(b"zset").unwrap());
    assert_eq!(outline(&db, "there"), before);
}

#[test]
fn two_who_copy_the_same_value_both_get_it() {
    let db = Db::in_memory(Options::default().seed(1).stripes(16));
    fill(&db, 3000);
    let (mut one, mut other) = (Client::of(&db), Client::of(&db));
    let (mut first, mut second) = (Outcome::Busy, Outcome::Busy);
    for _ in 0..100 {
        if first != Outcome::Done {
            first = one.offer(&["COPY", "hash", "one"]);
        }
        if second != Outcome::Done {
            second = other.offer(&["COPY", "hash", "other"]);
        }
    }
    assert_eq!((first, second), (Outcome::Done, Outcome::Done));
    assert_eq!(outline(&db, "one"), outline(&db, "other"));
}

#[test]
fn what_would_not_be_copied_is_not_prepared() {
    let db = Db::in_memory(Options::default().seed(1).stripes(16));
    fill(&db, 3000);
    db.set(b"taken", b"v").unwrap();
    let mut client = Client::of(&db);
    for words in [
        &["RENAMENX", "zset", "taken"][..],
        &["COPY", "zset", "taken"],
        &["COPY", "zset", "there", "DB", "99"],
        &["COPY", "zset", "there", "REPLACED"],
        &["COPY", "zset", "zset"],
        &["RENAME", "zset", "zset"],
        &["RENAME", "nothing", "there"],
    ] {
        assert_eq!(client.offer(words), Outcome::Done, "{words:?}");
    }
    for words in [
        &["COPY", "zset", "taken", "REPLACE"][..],
        &["RENAMENX", "zset", "there"],
    ] {
        assert_eq!(client.offer(words), Outcome::Begun, "{words:?}");
    }
}

/// A unit of one effect.
fn unit(words: &[&str]) -> Unit {
    let mut unit = Unit::new();
    unit.begin(0);
    words.iter().for_each(|word| unit.word(word.as_bytes()));
    unit.end();
    unit
}

#[test]
fn a_follower_keeps_what_is_past_until_it_is_deleted() {
    let db = Db::in_memory(manual().0.follower());
    let keys = || db.run(&["DBSIZE"]).as_int();
    assert_eq!(db.follow(&unit(&["SET", "k", "v", "PXAT", "1"])), Ok(()));
    assert_eq!(keys(), Some(1));
    // Its clients do not see it.
    assert_eq!(db.get(b"k"), Ok(None));
    assert!(db.run(&["GET", "k"]).is_null());
    assert_eq!(db.follow(&unit(&["PEXPIREAT", "k", "2"])), Ok(()));
    assert_eq!(keys(), Some(1));
    assert_eq!(db.follow(&unit(&["DEL", "k"])), Ok(()));
    assert_eq!(keys(), Some(0));
}

#[test]
fn a_store_becomes_a_follower_and_a_primary_again() {
    let (options, now) = manual();
    let db = Db::in_memory(options);
    ok(&db.run(&["SET", "k", "v", "PX", "5"]));
    db.set_follower(true);
    now.fetch_add(10_000, Ordering::SeqCst);
    assert!(db.run(&["GET", "k"]).is_null());
    for refused in [db.run(&["SET", "k", "w"]), db.run(&["FLUSHALL"])] {
        let error = refused.as_error().expect("it is no primary");
        assert!(error.starts_with("READONLY"), "{error}");
    }
    assert!(db.set(b"k", b"w").is_err());
    assert_eq!(db.run(&["DBSIZE"]).as_int(), Some(1));
    db.set_follower(false);
    assert!(db.run(&["GET", "k"]).is_null());
    assert_eq!(db.run(&["DBSIZE"]).as_int(), Some(0));
    ok(&db.run(&["SET", "k", "w"]));
}

#[test]
fn a_transaction_with_a_write_is_refused_by_a_follower() {
    let db = Db::in_memory(Options::default().follower());
    let mut client = db.connect();
    ok(&client.run(&["MULTI"]));
    let refused = client.run(&["SET", "k", "v"]);
    assert!(
        refused
            .as_error()
            .expect("no write")
            .starts_with("READONLY")
    );
    let aborted = client.run(&["EXEC"]);
    assert!(aborted.as_error().expect("spoilt").starts_with("EXECABORT"));
}

#[test]
fn a_paused_store_lets_its_callers_wait() {
    let db = Db::memory();
    let mut admin = db.connect();
    ok(&admin.run(&["CLIENT", "PAUSE", "100000", "WRITE"]));
    let writer = {
        let db = db.clone();
        thread::spawn(move || db.run(&["SET", "k", "v"]))
    };
    assert!(db.run(&["GET", "k"]).is_null());
    ok(&admin.run(&["CLIENT", "UNPAUSE"]));
    ok(&writer.join().unwrap());
}
