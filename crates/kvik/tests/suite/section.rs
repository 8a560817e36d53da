//! Locked sections: what is told to the log, when, and under which role, pause and eviction policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use kvik::{Db, Error, EvictionPolicy, Options, Outcome, SetOptions, Transaction};

use crate::support::{Client, Lines, START_US, manual, ok};

/// A store with a clock that is moved by hand, and what its log was told.
fn logged() -> (Options, Arc<AtomicU64>, Arc<Lines>) {
    let ((options, now), lines) = (manual(), Arc::new(Lines::default()));
    let log = Arc::clone(&lines) as _;
    (options.seed(1).stripes(16).effect_log(log), now, lines)
}

/// A large set, one member of which expires after a second.
fn large_set(db: &Db) {
    ok(&db.run(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]));
    for number in 0..3000 {
        db.run(&["SADD", "set", &format!("{number:040}")]);
    }
    assert_eq!(db.run(&["SADDEX", "set", "1", "soon"]).as_int(), Some(1));
}

/// Offers a command in slices until it leaves its stripes to somebody who has missed them; then the
/// member is due.
fn leave_stripes(db: &Db, client: &mut Client, now: &AtomicU64, words: &[&str]) {
    now.store(START_US + 999_990, Ordering::Release);
    let hold = |_: &mut Transaction<'_>| {
        assert_eq!(Client::of(db).offer(&["SCARD", "set"]), Outcome::Busy);
        Ok::<_, Error>(())
    };
    db.transaction(&["set"], hold).expect("nothing refuses it");
    // The upkeep thread may have a stripe for a moment.
    while client.offer(words) == Outcome::Busy {}
    now.store(START_US + 1_000_010, Ordering::Release);
}

/// The effects of a command that is put off again and again.
fn told_while_busy(client: &mut Client, words: &[&str], lines: &Lines) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..1000 {
        assert_eq!(client.offer(words), Outcome::Busy);
        told.append(&mut lines.take());
        if !told.is_empty() {
            break;
        }
    }
    told
}

#[test]
fn what_expired_before_a_command_is_told_though_the_command_is_put_off() {
    let (options, now, lines) = logged();
    let db = Db::in_memory(options);
    large_set(&db);
    let mut client = Client::of(&db);
    leave_stripes(&db, &mut client, &now, &["COPY", "set", "copy"]);
    lines.take();
    assert_eq!(
        told_while_busy(&mut client, &["COPY", "set", "copy"], &lines),
        ["SREM set soon"]
    );
}

#[test]
fn what_expired_before_a_transaction_is_told_though_it_is_put_off() {
    let (options, now, lines) = logged();
    let db = Db::in_memory(options);
    large_set(&db);
    let mut client = Client::of(&db);
    for words in [&["MULTI"][..], &["SCARD", "set"], &["COPY", "set", "copy"]] {
        assert_eq!(client.offer(words), Outcome::Done);
    }
    leave_stripes(&db, &mut client, &now, &["EXEC"]);
    lines.take();
    assert_eq!(
        told_while_busy(&mut client, &["EXEC"], &lines),
        ["SREM set soon"]
    );
}

/// A store in which `k` has expired, and what then pauses writes or makes it a follower.
fn with_expired_key(follower: bool) -> (Db, Arc<Lines>) {
    let (options, now, lines) = logged();
    let db = Db::in_memory(options);
    ok(&db.run(&["SET", "k", "v", "PX", "5"]));
    if follower {
        db.set_follower(true);
    } else {
        ok(&db.run(&["CLIENT", "PAUSE", "1000", "WRITE"]));
    }
    now.fetch_add(10_000, Ordering::Release);
    lines.take();
    (db, lines)
}

type Call = fn(&Db);

/// Every way to look at a key without a command.
const LOOKS: [Call; 4] = [
    |db| assert_eq!(db.get(b"k"), Ok(None)),
    |db| assert_eq!(db.get_into(b"k", &mut Vec::new()), Ok(false)),
    |db| assert_eq!(db.exists(b"k"), Ok(false)),
    |db| assert_eq!(db.time_to_live(b"k"), Ok(None)),
];

#[test]
fn typed_looks_delete_nothing_from_a_paused_store() {
    for look in LOOKS {
        let (db, lines) = with_expired_key(false);
        look(&db);
        assert_eq!(db.run(&["DBSIZE"]).as_int(), Some(1));
        assert_eq!(lines.take(), [""; 0]);
    }
}

#[test]
fn typed_looks_delete_nothing_from_a_follower() {
    for look in LOOKS {
        let (db, lines) = with_expired_key(true);
        look(&db);
        assert_eq!(db.run(&["DBSIZE"]).as_int(), Some(1));
        assert_eq!(lines.take(), [""; 0]);
    }
}

fn frequency(db: &Db) -> i64 {
    let reply = db.run(&["OBJECT", "FREQ", "k"]);
    reply.as_int().expect("the policy counts accesses")
}

#[test]
fn typed_calls_count_accesses_where_the_policy_does() {
    let calls: [Call; 6] = [
        |db| db.get(b"k").map(|_| ()).unwrap(),
        |db| db.set(b"k", b"w").unwrap(),
        |db| db.exists(b"k").map(|_| ()).unwrap(),
        |db| db.persist(b"k").map(|_| ()).unwrap(),
        |db| {
            db.set_with(b"k", b"w", SetOptions::default())
                .map(|_| ())
                .unwrap()
        },
        |db| {
            let set = |keys: &mut Transaction<'_>| {
                keys.set(b"k", b"w");
                Ok::<_, Error>(())
            };
            db.transaction(&["k"], set).unwrap();
        },
    ];
    // Without a log a string is overwritten by a shorter way.
    for is_logged in [false, true] {
        for call in calls {
            let (mut options, _) = manual();
            if is_logged {
                options = options.effect_log(Arc::<Lines>::default());
            }
            let db = Db::in_memory(options);
            let settings = &db.engine().settings;
            settings.set_eviction_policy(EvictionPolicy::AllkeysLfu);
            ok(&db.run(&["SET", "k", "v"]));
            assert_eq!(frequency(&db), 5);
            call(&db);
            assert!((5..=6).contains(&frequency(&db)), "{}", frequency(&db));
        }
    }
}

#[test]
fn typed_writes_wait_while_writes_are_paused() {
    let writes: [Call; 6] = [
        |db| db.set(b"k", b"v").unwrap(),
        |db| {
            db.set_with(b"k", b"v", SetOptions::default())
                .map(|_| ())
                .unwrap()
        },
        |db| db.delete(&["l"]).map(|_| ()).unwrap(),
        |db| db.persist(b"l").map(|_| ()).unwrap(),
        |db| db.expire(b"l", Duration::from_secs(1)).map(|_| ()).unwrap(),
        |db| db.transaction(&["l"], |_| Ok::<_, Error>(())).unwrap(),
    ];
    for write in writes {
        let db = Db::memory();
        ok(&db.run(&["SET", "l", "v", "EX", "1000"]));
        ok(&db.run(&["CLIENT", "PAUSE", "100000", "WRITE"]));
        let is_paused = AtomicBool::new(true);
        thread::scope(|scope| {
            let (started, begin) = std::sync::mpsc::channel();
            let (db, is_paused) = (&db, &is_paused);
            scope.spawn(move || {
                started.send(()).expect("somebody waits");
                write(db);
                assert!(!is_paused.load(Ordering::SeqCst));
            });
            begin.recv().expect("the thread starts");
            // Enough for a write that does not wait.
            (0..1000).for_each(|_| thread::yield_now());
            is_paused.store(false, Ordering::SeqCst);
            ok(&db.run(&["CLIENT", "UNPAUSE"]));
        });
    }
}

#[test]
fn typed_writes_are_refused_by_a_follower() {
    let (db, lines) = with_expired_key(true);
    let refusals = [
        db.set(b"k", b"v").err(),
        db.set_with(b"k", b"v", SetOptions::default()).err(),
        db.delete(&["k"]).err(),
        db.persist(b"k").err(),
        db.expire(b"k", Duration::from_secs(1)).err(),
        db.transaction(&["k"], |_| Ok::<_, Error>(())).err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Some(Error::Coded("READONLY", _))));
    }
    assert_eq!(lines.take(), [""; 0]);
}

#[test]
fn an_error_of_a_closure_is_its_result() {
    let db = Db::memory();
    db.run(&["RPUSH", "list", "a"]);
    let read = db.transaction(&["list"], |keys| keys.get(b"list"));
    assert!(matches!(read, Err(Error::WrongType)), "{read:?}");
}
