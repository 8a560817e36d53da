//! Stores without threads, as they are in WebAssembly: callers do what threads would.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvik::{Db, FsyncPolicy, Options};

use super::support::{manual, ok};

/// The bytes of a log's files.
fn logged(dir: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(dir.join("appendonlydir")).expect("the log is there");
    let mut bytes = Vec::new();
    for file in files {
        let path = file.expect("the directory can be read").path();
        bytes.extend(std::fs::read(path).expect("its files can be read"));
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|it| it == text.as_bytes())
}

fn open(dir: &Path, policy: FsyncPolicy) -> Db {
    let options = Options::from(dir).without_threads().fsync(policy);
    Db::open(options).expect("the directory is ours")
}

#[test]
fn keys_expire_at_a_tick() {
    let (options, now) = manual();
    let db = Db::in_memory(options.without_threads());
    db.tick();
    ok(&db.run(&["SET", "k", "v", "PX", "50"]));
    let next = db.tick();
    assert!(next <= Duration::from_millis(50), "{next:?}");
    now.fetch_add(51_000, Ordering::Release);
    let keys = || db.run(&["DBSIZE"]).as_int();
    assert_eq!(keys(), Some(1));
    assert!(db.tick() > next);
    assert_eq!(keys(), Some(0));
}

#[test]
fn nothing_waits_for_others() {
    let db = Db::in_memory(Options::default().without_threads());
    assert!(db.run(&["BLPOP", "queue", "0"]).is_null());
    let mut session = db.connect();
    session.let_wait(true);
    let read = ["XREAD", "BLOCK", "0", "STREAMS", "stream", "$"];
    assert!(session.run(&read).is_null());
    let mut news = db.subscribe(&["news"]);
    assert!(news.next().is_none());
    db.run(&["PUBLISH", "news", "hello"]);
    assert_eq!(
        news.next().map(|it| it.payload).as_deref(),
        Some(&b"hello"[..])
    );
    ok(&db.run(&["CLIENT", "PAUSE", "100000", "ALL"]));
    assert!(db.run(&["GET", "k"]).as_error().is_some());
    assert!(db.run(&["FEED.INFO"]).as_error().is_some());
}

#[test]
fn the_log_is_written_at_a_tick() {
    let dir = tempfile::tempdir().expect("there is room");
    let db = open(dir.path(), FsyncPolicy::No);
    ok(&db.run(&["SET", "marked", "v"]));
    assert!(!holds(&logged(dir.path()), "marked"));
    db.tick();
    assert!(holds(&logged(dir.path()), "marked"));
    ok(&db.run(&["SET", "committed", "v"]));
    db.commit().expect("the disk works");
    assert!(holds(&logged(dir.path()), "committed"));
}

#[test]
fn a_reply_comes_when_it_is_on_disk() {
    let dir = tempfile::tempdir().expect("there is room");
    let db = open(dir.path(), FsyncPolicy::Always);
    ok(&db.run(&["SET", "marked", "v"]));
    assert!(holds(&logged(dir.path()), "marked"));
    db.set(b"typed", b"v").expect("the disk works");
    assert!(holds(&logged(dir.path()), "typed"));
}

#[test]
fn a_full_log_is_written_by_who_wants_to_write() {
    let dir = tempfile::tempdir().expect("there is room");
    let db = open(dir.path(), FsyncPolicy::No);
    let value = vec![b'v'; 4 << 20];
    for number in 0..40 {
        let key = format!("k{number}");
        let words: [&[u8]; 3] = [b"SET", key.as_bytes(), &value];
        ok(&db.run(&words));
    }
    drop(db);
    let db = open(dir.path(), FsyncPolicy::No);
    assert_eq!(db.run(&["DBSIZE"]).as_int(), Some(40));
}

#[test]
fn snapshots_and_rewrites_are_made_when_asked_for() {
    let dir = tempfile::tempdir().expect("there is room");
    let db = open(dir.path(), FsyncPolicy::EverySecond);
    ok(&db.run(&["MSET", "a", "1", "b", "2", "c", "3"]));
    ok(&db.run(&["SELECT", "0"]));
    ok(&db.run(&["SAVE"]));
    assert!(dir.path().join("dump.rdb").exists());
    assert!(db.run(&["BGREWRITEAOF"]).as_error().is_none());
    db.tick();
    let info = db.run(&["INFO", "persistence"]);
    let info = String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).into_owned();
    assert!(info.contains("aof_last_bgrewrite_status:ok"), "{info}");
    assert!(info.contains("aof_rewrite_in_progress:0"), "{info}");
    ok(&db.run(&["RENAME", "a", "renamed"]));
    assert_eq!(db.run(&["RPUSH", "list", "x", "y"]).as_int(), Some(2));
    drop(db);
    // With threads and without, files are the same.
    for without in [true, false] {
        let options = Options::from(dir.path());
        let options = match without {
            true => options.without_threads(),
            false => options,
        };
        let db = Db::open(options).expect("the directory is ours");
        assert_eq!(db.run(&["DBSIZE"]).as_int(), Some(4));
        let got = db.get(b"renamed").expect("it is a string");
        assert_eq!(got.as_deref(), Some(&b"1"[..]));
    }
}

#[test]
fn a_store_with_threads_needs_no_tick() {
    assert_eq!(Db::memory().tick(), Duration::MAX);
}
