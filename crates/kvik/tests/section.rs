//! Locked sections: what is told to the log, when, and under which role, pause and eviction policy.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use kvik::effects::{EffectLog, Unit};
use kvik::{Clock, Db, Error, Executor, Options, Outcome, Patience, Session, Value};
use kvik_command::client::Origin;
use kvik_resp::Output;

/// Keeps every effect as a line.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics holding it"))
    }
}

impl EffectLog for Lines {
    fn append(&self, unit: &Unit) -> u64 {
        let line = |words: kvik_resp::Args<'_>| {
            let words = words.iter().map(String::from_utf8_lossy);
            words.collect::<Vec<_>>().join(" ")
        };
        let mut lines = self.0.lock().expect("nobody panics holding it");
        lines.extend(unit.iter().map(|(_, words)| line(words)));
        0
    }
}

const START_US: u64 = 1_000_000_000;

/// A store with a clock that is moved by hand, and what its log was told.
fn logged() -> (Options, Arc<AtomicU64>, Arc<Lines>) {
    let now = Arc::new(AtomicU64::new(START_US));
    let lines = Arc::new(Lines::default());
    let options = Options::default()
        .seed(1)
        .stripes(16)
        .clock(Clock::Manual(Arc::clone(&now)))
        .effect_log(Arc::clone(&lines) as _);
    (options, now, lines)
}

fn ok(reply: &Value) {
    assert!(reply.is_ok(), "{reply:?}");
}

/// A client of a server: its commands are put off rather than waited for.
struct Client {
    executor: Executor,
    session: Session,
    out: Output,
}

impl Client {
    fn of(db: &Db) -> Self {
        Self {
            executor: db.executor(Patience::Spin),
            session: db.session(Origin::embedded()),
            out: Output::default(),
        }
    }

    fn offer(&mut self, words: &[&str]) -> Outcome {
        let words: kvik_resp::ArgsBuf = words.iter().collect();
        self.executor.refresh();
        let (session, out) = (&mut self.session, &mut self.out);
        self.executor.execute(session, words.as_args(), out)
    }
}

/// A large set, one member of which expires after a second.
fn large_set(db: &Db) {
    ok(&db.run(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]));
    for number in 0..3000 {
        db.run(&["SADD", "set", &format!("{number:040}")]);
    }
    assert_eq!(db.run(&["SADDEX", "set", "1", "soon"]).as_int(), Some(1));
}

/// Offers a command in slices until it leaves its stripes to somebody who has missed them; then the member is due.
fn leave_stripes(db: &Db, client: &mut Client, now: &AtomicU64, words: &[&str]) {
    now.store(START_US + 999_990, Ordering::Release);
    db.transaction(&["set"], |_| {
        assert_eq!(Client::of(db).offer(&["SCARD", "set"]), Outcome::Busy);
    });
    assert_eq!(client.offer(words), Outcome::Begun);
    now.store(START_US + 1_000_010, Ordering::Release);
}

#[test]
fn what_expired_before_a_command_is_told_though_the_command_is_put_off() {
    let (options, now, lines) = logged();
    let db = Db::open(options);
    large_set(&db);
    let mut client = Client::of(&db);
    leave_stripes(&db, &mut client, &now, &["COPY", "set", "copy"]);
    lines.take();
    assert_eq!(client.offer(&["COPY", "set", "copy"]), Outcome::Busy);
    assert_eq!(lines.take(), ["SREM set soon"]);
}

#[test]
fn what_expired_before_a_transaction_is_told_though_it_is_put_off() {
    let (options, now, lines) = logged();
    let db = Db::open(options);
    large_set(&db);
    let mut client = Client::of(&db);
    for words in [&["MULTI"][..], &["SCARD", "set"], &["COPY", "set", "copy"]] {
        assert_eq!(client.offer(words), Outcome::Done);
    }
    leave_stripes(&db, &mut client, &now, &["EXEC"]);
    lines.take();
    assert_eq!(client.offer(&["EXEC"]), Outcome::Busy);
    assert_eq!(lines.take(), ["SREM set soon"]);
}

/// A store in which `k` has expired, and what then pauses writes or makes it a follower.
fn with_expired_key(follower: bool) -> (Db, Arc<Lines>) {
    let (options, now, lines) = logged();
    let db = match follower {
        true => Db::open(options.follower()),
        false => Db::open(options),
    };
    ok(&db.run(&["SET", "k", "v", "PX", "5"]));
    if !follower {
        ok(&db.run(&["CLIENT", "PAUSE", "1000", "WRITE"]));
    }
    now.fetch_add(10_000, Ordering::Release);
    lines.take();
    (db, lines)
}

type Look = fn(&Db);

/// Every way to look at a key without a command.
const LOOKS: [Look; 6] = [
    |db| drop(db.get(b"k")),
    |db| drop(db.get_into(b"k", &mut Vec::new())),
    |db| {
        db.exists(b"k");
    },
    |db| {
        db.time_to_live(b"k");
    },
    |db| {
        let exists = |keys: &mut kvik::Transaction<'_>| keys.exists(b"k");
        db.transaction(&["k"], exists);
    },
    |db| {
        let get = |keys: &mut kvik::Transaction<'_>| keys.get(b"k").is_ok();
        db.transaction(&["k"], get);
    },
];

#[test]
fn typed_looks_delete_nothing_from_a_paused_store() {
    for look in LOOKS {
        let (db, lines) = with_expired_key(false);
        look(&db);
        assert_eq!(db.run(&["DBSIZE"]).as_int(), Some(1));
        assert_eq!(lines.take(), [""; 0]);
        assert!(!db.exists(b"k"), "it is hidden");
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
    let calls: [Look; 6] = [
        |db| drop(db.get(b"k")),
        |db| db.set(b"k", b"w"),
        |db| {
            db.exists(b"k");
        },
        |db| {
            db.persist(b"k");
        },
        |db| {
            db.set_with(b"k", b"w", kvik::SetOptions::default());
        },
        |db| {
            db.transaction(&["k"], |keys| keys.set(b"k", b"w"));
        },
    ];
    // Without a log a string is overwritten by a shorter way.
    for is_logged in [false, true] {
        for call in calls {
            let now = Arc::new(AtomicU64::new(START_US));
            let mut options = Options::default().clock(Clock::Manual(now));
            if is_logged {
                options = options.effect_log(Arc::<Lines>::default());
            }
            let db = Db::open(options);
            db.engine().settings.lfu.store(true, Ordering::Relaxed);
            ok(&db.run(&["SET", "k", "v"]));
            assert_eq!(frequency(&db), 5);
            call(&db);
            assert!((5..=6).contains(&frequency(&db)), "{}", frequency(&db));
        }
    }
}

#[test]
fn typed_writes_wait_while_writes_are_paused() {
    let writes: [Look; 5] = [
        |db| db.set(b"k", b"v"),
        |db| {
            db.set_with(b"k", b"v", kvik::SetOptions::default());
        },
        |db| {
            db.delete(&["l"]);
        },
        |db| {
            db.persist(b"l");
        },
        |db| {
            db.expire(b"l", Duration::from_secs(1));
        },
    ];
    for write in writes {
        let db = Db::open(Options::default());
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
            // Time for a write that does not wait.
            thread::sleep(Duration::from_millis(20));
            is_paused.store(false, Ordering::SeqCst);
            ok(&db.run(&["CLIENT", "UNPAUSE"]));
        });
    }
}

#[test]
fn an_error_of_a_closure_is_its_result() {
    let db = Db::open(Options::default());
    db.run(&["RPUSH", "list", "a"]);
    let read = db.transaction(&["list"], |keys| keys.get(b"list"));
    assert!(matches!(read, Err(Error::WrongType)), "{read:?}");
}
