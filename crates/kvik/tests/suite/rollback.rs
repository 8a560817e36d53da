//! Transactions that are undone: the store is what it was, and nobody hears of them.

#![expect(clippy::unwrap_used, reason = "only tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use kvik::{Connection, Db, Error, Options, Value};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::Lines;

/// Keys that exist, of every kind, small and large, and some that do not.
const KEYS: [&str; 16] = [
    "string",
    "int",
    "long",
    "list",
    "long-list",
    "hash",
    "large-hash",
    "set",
    "large-set",
    "zset",
    "large-zset",
    "stream",
    "array",
    "large-array",
    "none",
    "nothing",
];

/// Commands on a key, `K`, and maybe on another one, `L`. Many of them fail, by chance of the kind
/// of their keys.
const COMMANDS: &[&str] = &[
    "SET K v",
    "SET K 7 PX 100000",
    "APPEND K xyz",
    "INCRBY K 3",
    "SETRANGE K 5 abc",
    "SETBIT K 9 1",
    "GETDEL K",
    "DEL K",
    "UNLINK K L",
    "EXPIRE K 1000",
    "PERSIST K",
    "RENAME K L",
    "RENAMENX K L",
    "COPY K L REPLACE",
    "MOVE K 3",
    "LPUSH K a b",
    "RPOP K 3",
    "LTRIM K 1 3",
    "LINSERT K BEFORE a z",
    "LSET K 0 q",
    "LMOVE K L LEFT RIGHT",
    "HSET K f1 v1 f7 v7 n1 m1",
    "HDEL K f1 f2",
    "HSET K f1 v2 f7 v8 n1 m2",
    "BLESS SET K NO-EVICT",
    "BLESS CLEAR K NO-EVICT",
    "HINCRBY K f900 5",
    "HPEXPIRE K 100000 FIELDS 1 f3",
    "HPERSIST K FIELDS 1 f3",
    "SADD K m1 m9 1",
    "SREM K m1 m2",
    "SPOP K 2",
    "SMOVE K L m3",
    "SADDEX K 1000 m5",
    "SINTERSTORE K L K",
    "ZADD K 5 m1 7.5 z9",
    "ZINCRBY K 2 m2",
    "ZREM K m1 m3",
    "ZPOPMIN K 2",
    "ZREMRANGEBYRANK K 0 1",
    "ZUNIONSTORE K 2 K L",
    "XADD K 9-1 f v",
    "XTRIM K MAXLEN 1",
    "XDEL K 5-1",
    "XDELEX K DELREF IDS 1 5-1",
    "XACKDEL K old DELREF IDS 1 5-1",
    "XTRIM K MAXLEN = 0 ACKED",
    "XADD K IDMP producer name * f v",
    "XCFGSET K IDMP-DURATION 7",
    "XNACK K old FATAL IDS 2 5-1 6-1 FORCE",
    "XREADGROUP GROUP old me CLAIM 0 STREAMS K >",
    "LMOVEM K L LEFT RIGHT COUNT 2 BULK",
    "LMOVEM K K LEFT LEFT COUNT 2 OBO",
    "INCREX K BYINT 5 UBOUND 90000 EX 100",
    "SADDEX K EX 1000 MEMBERS 2 m5 m1",
    "SEXPIRE K 100 MEMBERS 2 m1 m2",
    "SPERSIST K MEMBERS 1 m1",
    "ZMOVE K L MIN COUNT 2",
    "ZMOVEMEMBER K L NX MEMBERS 2 m1 m3",
    "ZINTERSTORE K 2 K L AGGREGATE COUNT",
    "XGROUP CREATE K group 0",
    "ARSET K 3 a b c",
    "ARMSET K 7 x 90000 y",
    "ARINSERT K a b",
    "ARRING K 5 x y",
    "ARDEL K 0 3 7",
    "ARDELRANGE K 2 700",
    "ARSEEK K 9",
    "XREADGROUP GROUP group me STREAMS K >",
    "PFADD K a b",
    "BITOP NOT K L",
    "SORT K ALPHA STORE L",
    "FLUSHDB",
    "SWAPDB 0 3",
    "SELECT 3",
    "SELECT 0",
];

fn fill(db: &Db) {
    let run = |line: &str| {
        let reply = db.run(&line.split(' ').collect::<Vec<_>>());
        assert!(reply.as_error().is_none(), "{line}: {reply:?}");
    };
    for line in [
        "SET string value PX 100000000",
        "SET int 12345",
        "RPUSH list a b c",
        "HSET hash f1 v1 f2 v2",
        "SADD set m1 m2 1 2",
        "ZADD zset 1 m1 2.5 m2",
        "XADD stream 5-1 f v",
        "XADD stream 6-1 f v",
        "ARMSET array 0 a 5 b 4000000 c",
        "ARINSERT large-array a b c",
        "XGROUP CREATE stream old 0",
        "XREADGROUP GROUP old me COUNT 1 STREAMS stream >",
    ] {
        run(line);
    }
    db.run(&["SET", "long", &"x".repeat(100_000)]);
    for number in 0..600 {
        run(&format!("HSET large-hash f{number} v{number}"));
        run(&format!("SADD large-set m{number}"));
        run(&format!("ZADD large-zset {number} m{number}"));
        run(&format!("RPUSH long-list element{number}"));
        run(&format!("ARSET large-array {number} element{number}"));
    }
    run("HPEXPIRE large-hash 100000000 FIELDS 2 f3 f4");
    db.connect_to(3).run(&["SET", "int", "3"]);
}

trait ConnectTo {
    fn connect_to(&self, database: u32) -> Connection;
}

impl ConnectTo for Db {
    fn connect_to(&self, database: u32) -> Connection {
        let mut connection = self.connect();
        connection.run(&["SELECT", &database.to_string()]);
        connection
    }
}

/// The state of a key: its value as bytes, when it expires, and what it accounts for.
type State = (Value, Value, Value);

fn state(db: &Db) -> BTreeMap<(u32, String), State> {
    let mut all = BTreeMap::new();
    for database in [0, 3] {
        let mut connection = db.connect_to(database);
        let Value::Array(keys) = connection.run(&["KEYS", "*"]) else {
            panic!("KEYS replies with an array");
        };
        for key in keys {
            let Value::Bulk(key) = key else {
                panic!("keys are strings")
            };
            let key = String::from_utf8(key.to_vec()).unwrap();
            let state = (
                connection.run(&["DUMP", &key]),
                connection.run(&["PEXPIRETIME", &key]),
                sorted_members(&mut connection, &key),
            );
            all.insert((database, key), state);
        }
    }
    all
}

/// The expiry of members, which DUMP has only for hashes.
fn sorted_members(connection: &mut Connection, key: &str) -> Value {
    connection.run(&["DEBUG", "DIGEST-VALUE", key])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_transaction_that_fails_has_not_been(
        calls in prop::collection::vec((select(COMMANDS), select(&KEYS[..]), select(&KEYS[..])), 0..30),
    ) {
        let log = Arc::new(Lines::default());
        let db = Db::in_memory(Options::default().stripes(4).seed(3).effect_log(log.clone()));
        fill(&db);
        let before = state(&db);
        let keys = |db: &Db| db.run(&["DBSIZE"]);
        let size = keys(&db);
        let mut watcher = db.connect();
        watcher.run(&[&["WATCH"], &KEYS[..]].concat());
        log.take();

        let mut connection = db.connect();
        connection.run(&["MULTI", "ROLLBACK"]);
        for (command, key, other) in &calls {
            let words: Vec<&str> = command
                .split(' ')
                .map(|word| match word {
                    "K" => key,
                    "L" => other,
                    word => word,
                })
                .collect();
            connection.run(&words);
        }
        // It fails at the latest here.
        connection.run(&["LPUSH", "int", "x"]);
        connection.run(&["HSET", "int", "f", "v"]);
        let reply = connection.run(&["EXEC"]);
        let error = reply.as_error().map(ToString::to_string).unwrap_or_default();
        prop_assert!(error.starts_with("EXECABORT Transaction rolled back"), "{:?}", reply);

        prop_assert_eq!(log.take(), Vec::<String>::new());
        prop_assert_eq!(state(&db), before);
        prop_assert_eq!(keys(&db), size);
        watcher.run(&["MULTI"]);
        watcher.run(&["PING"]);
        prop_assert!(matches!(watcher.run(&["EXEC"]), Value::Array(_)), "no watched key has changed");
        // The store goes on.
        prop_assert_eq!(db.run(&["INCR", "int"]).as_int(), Some(12346));
    }
}

#[test]
fn a_closure_that_fails_or_panics_is_undone() {
    let log = Arc::new(Lines::default());
    let db = Db::in_memory(Options::default().stripes(4).effect_log(log.clone()));
    db.set(b"a", b"1").unwrap();
    log.take();
    let failed = db.transaction(&[b"a", b"b"], |keys| {
        keys.set(b"b", b"2");
        keys.delete(b"a");
        Err::<(), _>(Error::text("no"))
    });
    assert!(failed.is_err());
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = db.transaction(&[b"a", b"b"], |keys| {
            keys.set(b"b", b"2");
            keys.delete(b"a");
            if keys.exists(b"b") {
                panic!("on purpose");
            }
            Ok::<_, Error>(())
        });
    }));
    assert!(panics.is_err());
    assert_eq!(db.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
    assert!(!db.exists(b"b").unwrap());
    assert_eq!(log.take(), Vec::<String>::new());
    db.transaction(&[b"a"], |keys| {
        keys.set(b"a", b"3");
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(log.take(), ["SET a 3"]);
}

#[test]
fn what_takes_too_much_memory_to_undo_is_undone_at_once() {
    let db = Db::memory();
    for number in 0..300 {
        db.run(&["SET", &format!("k{number}"), &"x".repeat(300_000)]);
    }
    let mut connection = db.connect();
    connection.run(&["MULTI", "ROLLBACK"]);
    for number in 0..300 {
        connection.run(&["SETRANGE", &format!("k{number}"), "0", "changed"]);
    }
    let reply = connection.run(&["EXEC"]);
    let error = reply
        .as_error()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(
        error.starts_with("EXECABORT Transaction rolled back: to undo"),
        "{reply:?}"
    );
    assert!(db.get(b"k0").unwrap().unwrap().starts_with(b"xxx"));
}
