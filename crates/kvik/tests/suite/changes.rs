//! What an observer of changes hears, whatever the way of the change.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use kvik::{Change, ChangeObserver, Db, Options};

use crate::support::manual;

/// More keys than are named one by one when their namespace is flushed.
const MANY: usize = 10_001;

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl ChangeObserver for Heard {
    fn observe(&self, change: Change<'_>) {
        let text = match change {
            Change::Set { database, key } => format!("{database} set {}", key.escape_ascii()),
            Change::Gone { database, key } => format!("{database} gone {}", key.escape_ascii()),
            Change::AllGone { database } => format!("all gone {database:?}"),
            Change::NamespaceGone {
                database,
                namespace,
            } => format!("{database} namespace {} gone", namespace.escape_ascii()),
            Change::Swapped { one, other } => format!("swapped {one} {other}"),
        };
        self.0.lock().expect("no test panics with it").push(text);
    }
}

fn observed(options: Options) -> (Db, Arc<Heard>) {
    let db = Db::in_memory(options);
    let heard = Arc::new(Heard::default());
    db.observe(Arc::clone(&heard) as Arc<dyn ChangeObserver>);
    (db, heard)
}

#[test]
fn every_way_of_changing_a_key_is_heard() {
    let (db, heard) = observed(Options::default());
    let mut connection = db.connect();
    let mut check = |command: &str, expected: &[&str]| {
        let words: Vec<_> = command.split(' ').collect();
        connection.run(&words);
        let heard = std::mem::take(&mut *heard.0.lock().expect("no test panics with it"));
        assert_eq!(heard, expected, "{command}");
    };
    check("SET a 1", &["0 set a"]);
    check("SET a 2 NX", &[]);
    check("GET a", &[]);
    check("INCR a", &["0 set a"]);
    check("APPEND a x", &["0 set a"]);
    check("MSET b 1 c 2", &["0 set b", "0 set c"]);
    check("EXPIRE a 1000", &[]);
    check("PERSIST a", &[]);
    check("RENAME b d", &["0 gone b", "0 set d"]);
    check("COPY d e", &["0 set e"]);
    check("COPY d e DB 3", &["3 set e"]);
    check("MOVE d 5", &["0 gone d", "5 set d"]);
    check("DEL a c", &["0 gone a", "0 gone c"]);
    check("DEL a", &[]);
    check("RPUSH l x", &["0 set l"]);
    check("SELECT 5", &[]);
    check("SET k v", &["5 set k"]);
    check("SWAPDB 0 5", &["swapped 0 5"]);
    check("FLUSHDB", &["all gone Some(5)"]);
    check("FLUSHALL", &["all gone None"]);
}

#[test]
fn a_large_namespace_that_is_flushed_is_heard_of_once() {
    let (db, heard) = observed(Options::default().namespaces());
    let flushed = |keys: usize| {
        for key in 0..keys {
            db.run(&["SET", &format!("a/{key}"), "1"]);
        }
        heard.0.lock().expect("no test panics with it").clear();
        db.run(&["NAMESPACE", "FLUSH", "a"]);
        heard.0.lock().expect("no test panics with it").clone()
    };
    assert_eq!(flushed(1), ["0 gone a/0"]);
    assert_eq!(flushed(MANY), ["0 namespace a gone"]);
}

#[test]
fn expiry_typed_calls_and_transactions_are_heard() {
    let (options, now) = manual();
    let (db, heard) = observed(options);
    db.set(b"typed", b"1").expect("memory");
    db.run(&["SET", "short", "v", "PX", "10"]);
    now.fetch_add(20_000, Ordering::SeqCst);
    assert_eq!(db.get(b"short").expect("memory"), None);
    let heard = heard.0.lock().expect("no test panics with it");
    assert_eq!(*heard, ["0 set typed", "0 set short", "0 gone short"]);
}
