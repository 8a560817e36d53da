//! Images that are written while threads change the keys: each is one moment.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use kvik::{Connection, Db, Options, Value};

const ACCOUNTS: u64 = 40;
const TOTAL: i64 = 1000 * ACCOUNTS as i64;
const MEMBERS: u64 = 3000;

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

fn run(connection: &mut Connection, line: &str) -> Value {
    let reply = connection.run(&words(line));
    assert!(reply.as_error().is_none(), "{line}: {reply:?}");
    reply
}

fn all_or_nothing(connection: &mut Connection, lines: &[String]) {
    run(connection, "MULTI");
    lines.iter().for_each(|line| drop(run(connection, line)));
    run(connection, "EXEC");
    run(connection, "SELECT 0");
}

fn number(connection: &mut Connection, line: &str) -> i64 {
    match run(connection, line) {
        Value::Integer(n) => n,
        Value::Bulk(bytes) => String::from_utf8(bytes)
            .expect("a number is text")
            .parse()
            .expect("a number"),
        other => panic!("{line}: {other:?}"),
    }
}

fn open(dir: &Path) -> Db {
    Db::open(Options::from(dir).stripes(16)).expect("the directory is ours")
}

/// Things that hold before and after each of the changes that [`change`] makes.
fn fill(db: &Db) {
    let mut connection = db.connect();
    for n in 0..20_000 {
        run(&mut connection, &format!("SET filler:{n} value-{n}"));
    }
    for n in 0..ACCOUNTS {
        run(&mut connection, &format!("SET account:{n} 1000"));
    }
    for n in 0..MEMBERS {
        run(&mut connection, &format!("ZADD zset {n} member:{n}"));
        run(&mut connection, &format!("HSET hash field:{n} 0"));
        run(&mut connection, &format!("SADD set member:{n}"));
    }
    run(&mut connection, "SET zset-sum 0");
    run(&mut connection, "SET token:0 x");
    run(&mut connection, "SET swaps 0");
    run(&mut connection, "SELECT 6");
    run(&mut connection, "SET side left");
    run(&mut connection, "SELECT 7");
    run(&mut connection, "SET side right");
}

fn change(connection: &mut Connection, thread: u64, n: u64) {
    let at = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let member = at % MEMBERS;
    let all = [
        vec![
            format!("DECRBY account:{} {}", at % ACCOUNTS, n % 7),
            format!("INCRBY account:{} {}", (at / 64) % ACCOUNTS, n % 7),
        ],
        vec![
            format!("RPUSH list:{thread} element-{n}"),
            format!("INCR list-length:{thread}"),
        ],
        vec![
            format!("HINCRBY hash field:{member} 1"),
            format!("INCR hash-sum"),
        ],
        vec![
            format!("ZINCRBY zset 1 member:{member}"),
            format!("INCR zset-sum"),
        ],
        vec![
            format!("SMOVE set other-set member:{member}"),
            format!("SMOVE other-set set member:{}", (member + 77) % MEMBERS),
        ],
        vec!["SWAPDB 6 7".to_owned(), "INCR swaps".to_owned()],
        vec![
            format!("SELECT {}", 8 + thread),
            "FLUSHDB".to_owned(),
            format!("MSET a {n} b {n} c {n} d {n} e {n}"),
        ],
    ];
    all_or_nothing(connection, &all[(at / 8) as usize % all.len()]);
    // The token is there once, under one of some names.
    if thread == 0 {
        let (from, to) = (n % 50, (n + 1) % 50);
        run(connection, &format!("RENAME token:{from} token:{to}"));
    }
}

/// What holds at every moment.
fn check(db: &Db) {
    let connection = &mut db.connect();
    let accounts = (0..ACCOUNTS).map(|n| format!("GET account:{n}"));
    let total: i64 = accounts.map(|line| number(connection, &line)).sum();
    assert_eq!(total, TOTAL);
    for thread in 0..2 {
        let length = number(connection, &format!("LLEN list:{thread}"));
        let told = run(connection, &format!("INCRBY list-length:{thread} 0"));
        assert_eq!(Value::Integer(length), told);
    }
    let Value::Array(values) = run(connection, "HVALS hash") else {
        panic!("no array");
    };
    let parsed = values.iter().map(|value| match value {
        Value::Bulk(text) => String::from_utf8_lossy(text)
            .parse::<i64>()
            .expect("a number"),
        other => panic!("{other:?}"),
    });
    let sum: i64 = parsed.sum();
    assert_eq!(sum, number(connection, "INCRBY hash-sum 0"));
    let Value::Array(items) = run(connection, "ZRANGE zset 0 -1 WITHSCORES") else {
        panic!("no array");
    };
    // RESP3 answers pairs of name and score.
    let scores = items.iter().map(|pair| match pair.as_slice() {
        Some([_, Value::Double(score)]) => *score as i64,
        other => panic!("{other:?}"),
    });
    let sum = scores.sum::<i64>() - (MEMBERS * (MEMBERS - 1) / 2) as i64;
    assert_eq!(sum, number(connection, "GET zset-sum"));
    let in_sets = number(connection, "SCARD set") + number(connection, "SCARD other-set");
    assert_eq!(in_sets, MEMBERS as i64);
    let tokens = (0..50).map(|n| number(connection, &format!("EXISTS token:{n}")));
    assert_eq!(tokens.sum::<i64>(), 1);
    let is_swapped = number(connection, "GET swaps") % 2 == 1;
    run(connection, "SELECT 6");
    let side = if is_swapped { "right" } else { "left" };
    assert_eq!(run(connection, "GET side"), Value::Bulk(side.into()));
    for database in [8, 9] {
        run(connection, &format!("SELECT {database}"));
        let first = run(connection, "GET a");
        for key in ["b", "c", "d", "e"] {
            assert_eq!(run(connection, &format!("GET {key}")), first);
        }
    }
}

fn info(db: &Db, name: &str) -> String {
    let reply = db.run(&["INFO", "everything"]);
    let text = String::from_utf8_lossy(reply.as_bytes().expect("INFO is text"));
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

/// Lets a task run to its end, one that begins by itself included.
fn complete(db: &Db, task: &str, count: &str, running: &str) {
    let done = || info(db, count).parse::<u64>().expect("a number");
    let before = done();
    db.run(&[task]);
    while done() == before || info(db, running) != "0" {
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}

/// Lets threads change keys while `save` runs again and again.
fn while_it_changes(db: &Db, save: impl FnOnce(&Db)) {
    let is_over = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (db, is_over) = (db.clone(), Arc::clone(&is_over));
            scope.spawn(move || {
                let mut connection = db.connect();
                let mut n = 0;
                while !is_over.load(Relaxed) {
                    change(&mut connection, thread, n);
                    n += 1;
                }
            });
        }
        // Also when a check fails, or the test would never end.
        let saved = catch_unwind(AssertUnwindSafe(|| save(db)));
        is_over.store(true, Relaxed);
        saved.unwrap_or_else(|failure| resume_unwind(failure));
    });
}

#[test]
fn a_snapshot_is_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    fill(&db);
    while_it_changes(&db, |db| {
        for _ in 0..3 {
            complete(db, "BGSAVE", "rdb_saves", "rdb_bgsave_in_progress");
            let copy = tempfile::tempdir().unwrap();
            let from = dir.path().join("dump.rdb");
            std::fs::copy(from, copy.path().join("dump.rdb")).unwrap();
            check(&open(copy.path()));
        }
    });
    check(&db);
}

#[test]
fn a_rewritten_log_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    fill(&db);
    while_it_changes(&db, |db| {
        for _ in 0..3 {
            complete(
                db,
                "BGREWRITEAOF",
                "aof_rewrites",
                "aof_rewrite_in_progress",
            );
        }
    });
    let before = db.run(&["DEBUG", "DIGEST"]);
    drop(db);
    let db = open(dir.path());
    assert_eq!(db.run(&["DEBUG", "DIGEST"]), before);
    check(&db);
}
