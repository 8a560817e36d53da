//! What a log that is slow, full or synchronous does to callers, and how one is attached to a store
//! that runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use kvik::effects::{EffectLog, Lsn, Unit};
use kvik::{Db, Error, Options, Outcome, Transaction};

use crate::support::{Client, Lines, Mirror, ok};

/// Counts units, and says what it is told to say.
#[derive(Default)]
struct Script {
    units: AtomicU64,
    /// Up to where it is on disk; [`Script::wait`] brings it there.
    synced: AtomicU64,
    is_full: AtomicBool,
    waits: Mutex<Vec<u64>>,
}

impl EffectLog for Script {
    fn append(&self, unit: &mut Unit, _now_ms: u64) -> Lsn {
        unit.clear();
        Lsn::new(self.units.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn has_room(&self) -> bool {
        !self.is_full.load(Ordering::SeqCst)
    }

    fn is_synchronous(&self) -> bool {
        true
    }

    fn synced(&self) -> Lsn {
        Lsn::new(self.synced.load(Ordering::SeqCst))
    }

    fn wait(&self, lsn: Lsn) -> Result<(), Error> {
        self.synced.fetch_max(lsn.get(), Ordering::SeqCst);
        self.waits.lock().expect("no panic").push(lsn.get());
        Ok(())
    }
}

fn scripted() -> (Db, Arc<Script>) {
    let log = Arc::new(Script::default());
    let options = Options::default().seed(1).stripes(16);
    let db = Db::in_memory(options.effect_log(Arc::clone(&log) as _));
    (db, log)
}

/// Offers a command while the upkeep thread has its stripe, until it comes to this.
fn offer_until(client: &mut Client, words: &[&str], outcome: Outcome) {
    let mut found = Outcome::Busy;
    while found == Outcome::Busy {
        found = client.offer(words);
    }
    assert_eq!(found, outcome, "{words:?}");
}

/// How far the log must be on disk before the reply to these words may be told.
fn lsn_of(client: &mut Client, words: &[&str]) -> u64 {
    offer_until(client, words, Outcome::Done);
    client.executor.take_lsn().get()
}

#[test]
fn a_reply_waits_for_its_own_effects_and_for_what_it_read() {
    let (db, _) = scripted();
    let mut client = Client::of(&db);
    let mut lsn = |words: &str| lsn_of(&mut client, &words.split(' ').collect::<Vec<_>>());
    assert_eq!(lsn("GET a"), 0);
    assert_eq!(lsn("SET a 1"), 1);
    assert_eq!(lsn("MSET b 2 c 3"), 2);
    // Whoever reads is told of a write no earlier than its writer.
    assert_eq!(lsn("GET a"), 1);
    assert_eq!(lsn("STRLEN b"), 2);
    assert_eq!(lsn("MGET a nothing"), 1);
    assert_eq!(lsn("MGET a c"), 2);
    assert_eq!(lsn("DBSIZE"), 2);
    assert_eq!(lsn("KEYS *"), 2);
    assert_eq!(lsn("PING"), 0);
    // A write that changes nothing has read.
    assert_eq!(lsn("SETNX a 2"), 1);
    // An error may tell the type of a value.
    assert_eq!(lsn("LPUSH a x"), 1);
    assert_eq!(lsn("FLUSHALL"), 3);
    assert_eq!(lsn("GET nothing"), 3);
}

#[test]
fn an_idle_key_does_not_wait_for_a_busy_one() {
    let (db, _) = scripted();
    let mut client = Client::of(&db);
    for number in 0..200 {
        lsn_of(&mut client, &["SET", &format!("idle:{number}"), "v"]);
    }
    for _ in 0..100 {
        lsn_of(&mut client, &["INCR", "busy"]);
    }
    let late = (0..200).filter(|number| {
        let lsn = lsn_of(&mut client, &["GET", &format!("idle:{number}")]);
        lsn > 200
    });
    // 16 stripes of 64 ranges: some key may share the busy one's range.
    assert!(late.count() < 5);
}

#[test]
fn exec_waits_for_what_it_watched_and_read() {
    let (db, _) = scripted();
    let mut client = Client::of(&db);
    assert_eq!(lsn_of(&mut client, &["WATCH", "w"]), 0);
    assert_eq!(lsn_of(&mut client, &["MULTI"]), 0);
    assert_eq!(lsn_of(&mut client, &["GET", "r"]), 0);
    let mut other = Client::of(&db);
    assert_eq!(lsn_of(&mut other, &["SET", "w", "1"]), 1);
    // Its nil tells that the watched key has changed.
    assert_eq!(lsn_of(&mut client, &["EXEC"]), 1);
    assert_eq!(lsn_of(&mut client, &["MULTI"]), 0);
    lsn_of(&mut client, &["GET", "r"]);
    assert_eq!(lsn_of(&mut other, &["SET", "r", "1"]), 2);
    assert_eq!(lsn_of(&mut client, &["EXEC"]), 2);
}

#[test]
fn calls_return_when_their_result_may_be_told() {
    let (db, log) = scripted();
    let waits = || std::mem::take(&mut *log.waits.lock().expect("no panic"));
    db.set(b"k", b"v").unwrap();
    assert_eq!(waits(), [1]);
    assert_eq!(db.get(b"k").unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(db.exists(b"k"), Ok(true));
    assert_eq!(waits(), [1, 1]);
    let copy = |keys: &mut Transaction<'_>| {
        let value = keys.get(b"k")?.unwrap_or_default();
        keys.set(b"l", &value);
        Ok::<_, Error>(())
    };
    db.transaction(&["k", "l"], copy).unwrap();
    assert_eq!(waits(), [2]);
    ok(&db.run(&["SET", "m", "v"]));
    assert_eq!(db.run(&["GET", "l"]).as_bytes(), Some(&b"v"[..]));
    assert_eq!(waits(), [3, 2]);
    db.get(b"untouched").unwrap();
    assert_eq!(waits(), [0; 0]);
}

#[test]
fn writes_are_put_off_while_the_log_is_full() {
    let (db, log) = scripted();
    ok(&db.run(&["SET", "k", "v"]));
    log.is_full.store(true, Ordering::SeqCst);
    let mut client = Client::of(&db);
    offer_until(&mut client, &["SET", "k", "w"], Outcome::LogFull);
    offer_until(&mut client, &["GET", "k"], Outcome::Done);
    offer_until(&mut client, &["MULTI"], Outcome::Done);
    log.is_full.store(false, Ordering::SeqCst);
    offer_until(&mut client, &["SET", "k", "w"], Outcome::Done);
    log.is_full.store(true, Ordering::SeqCst);
    offer_until(&mut client, &["EXEC"], Outcome::LogFull);
    // A caller in this process waits.
    let writer = thread::spawn(move || db.set(b"k", b"x"));
    log.is_full.store(false, Ordering::SeqCst);
    offer_until(&mut client, &["EXEC"], Outcome::Done);
    assert_eq!(writer.join().expect("no panic"), Ok(()));
}

#[test]
fn a_log_is_attached_to_a_store_that_runs() {
    const WRITES: usize = 2000;
    let (db, mirror) = (Db::memory(), Db::in_memory(Options::default().follower()));
    let log: Arc<dyn EffectLog> = Arc::new(Mirror(mirror.clone()));
    thread::scope(|scope| {
        for name in ["a", "b"] {
            let db = &db;
            scope.spawn(move || {
                for number in 0..WRITES {
                    db.set(name.as_bytes(), number.to_string().as_bytes())
                        .unwrap();
                    db.run(&["SET", &format!("{name}{number}"), "v"]);
                }
            });
        }
        assert!(db.attach_log(Arc::clone(&log)));
    });
    // Whatever was written last was written with a log.
    let last = (WRITES - 1).to_string();
    for name in ["a", "b"] {
        let value = mirror.get(name.as_bytes()).unwrap();
        assert!(value.is_none_or(|value| value == last.as_bytes()));
    }
    db.set(b"c", b"1").unwrap();
    assert_eq!(mirror.exists(b"c"), Ok(true));
    assert!(!db.attach_log(Arc::<Lines>::default()), "it has another");
    db.detach_log();
    db.set(b"d", b"1").unwrap();
    assert_eq!(mirror.exists(b"d"), Ok(false));
    assert!(db.attach_log(log));
    db.set(b"e", b"1").unwrap();
    assert_eq!(mirror.exists(b"e"), Ok(true));
}
