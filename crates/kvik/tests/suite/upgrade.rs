//! Files of earlier versions open, and hold what they held.
//!
//! `tests/upgrade/VERSION` is the data directory of a store of that version, closed in an orderly
//! manner, with the digest of its keys beside it. A version adds its directory with
//! `cargo test -p kvik --test suite -- --ignored write_the_files_of_this_version`.

#![expect(clippy::unwrap_used, reason = "only tests")]

use std::fs;
use std::path::{Path, PathBuf};

use kvik::{Db, Options, Value};

/// A time that no test sees.
const LATE_MS: &str = "4102444800000";

fn versions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/upgrade")
}

fn digest(db: &Db) -> String {
    match db.run(&["DEBUG", "DIGEST"]) {
        Value::Simple(text) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn run(db: &Db, line: &str) {
    let reply = db.run(&line.split(' ').collect::<Vec<_>>());
    assert!(reply.as_error().is_none(), "{line}: {reply:?}");
}

/// Keys of every kind, small and large, and members that expire.
fn fill(db: &Db, part: &str) {
    for line in [
        "SET string value",
        "SET int 12345",
        "SET float 1.5",
        "RPUSH list a b 3",
        "HSET hash f1 v1 f2 2",
        "SADD ints 1 2 3",
        "SADD set a b 3",
        "ZADD zset 1 a 2.5 b -inf c",
        "XADD stream 5-1 f v g w",
        "XADD stream 6-1 f v",
        "XDEL stream 5-1",
        "PFADD hll a b c",
        "SETBIT bits 12345 1",
    ] {
        let (verb, rest) = line.split_once(' ').expect("a command has a key");
        run(db, &format!("{verb} {part}:{rest}"));
    }
    run(db, &format!("XGROUP CREATE {part}:stream group 0"));
    run(
        db,
        &format!("XREADGROUP GROUP group one COUNT 1 STREAMS {part}:stream >"),
    );
    run(db, &format!("SET {part}:volatile value PXAT {LATE_MS}"));
    for number in 0..600 {
        run(db, &format!("HSET {part}:large-hash f{number} v{number}"));
        run(db, &format!("SADD {part}:large-set m{number}"));
        run(db, &format!("ZADD {part}:large-zset {number} m{number}"));
        run(db, &format!("RPUSH {part}:large-list element{number}"));
    }
    run(
        db,
        &format!("HPEXPIREAT {part}:large-hash {LATE_MS} FIELDS 2 f3 f4"),
    );
    run(db, &format!("SET {part}:long {}", "x".repeat(40_000)));
}

#[test]
fn files_of_every_version_open() {
    let mut opened = 0;
    for entry in fs::read_dir(versions()).expect("there are files of this version") {
        let version = entry.unwrap().path();
        if !version.is_dir() {
            continue;
        }
        let expected = fs::read_to_string(version.join("digest.txt")).unwrap();
        for part in ["log", "snapshot"] {
            let dir = tempfile::tempdir().unwrap();
            copy(&version.join(part), dir.path());
            let db = Db::open(Options::from(dir.path())).expect("files of an earlier version");
            assert_eq!(digest(&db), expected.trim(), "{}", version.display());
            drop(db);
            // And again, from what this version has made of them.
            let db = Db::open(Options::from(dir.path())).unwrap();
            assert_eq!(digest(&db), expected.trim(), "{}", version.display());
            opened += 1;
        }
    }
    assert!(opened > 0, "there are files of this version");
}

#[test]
#[ignore = "writes files into the repository, once for a version"]
fn write_the_files_of_this_version() {
    let target = versions().join(env!("CARGO_PKG_VERSION"));
    let (log, snapshot) = (tempfile::tempdir().unwrap(), target.join("snapshot"));
    let db = Db::open(Options::from(log.path())).unwrap();
    fill(&db, "base");
    run(&db, "BGREWRITEAOF");
    while db.engine().persistence().status().rewrite.count == 0 {
        std::thread::yield_now();
    }
    fill(&db, "increment");
    run(&db, "SAVE");
    let expected = digest(&db);
    drop(db);
    copy(
        &log.path().join("appendonlydir"),
        &target.join("log/appendonlydir"),
    );
    fs::create_dir_all(&snapshot).unwrap();
    fs::copy(log.path().join("dump.rdb"), snapshot.join("dump.rdb")).unwrap();
    fs::write(target.join("digest.txt"), expected + "\n").unwrap();
}
