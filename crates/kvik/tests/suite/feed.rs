//! The feed: every change once and in order, whatever lies between.

#![expect(clippy::unwrap_used, reason = "only tests")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kvik::feed::{
    FeedAnswer, FeedEntry, FeedQuery, FeedRequest, FeedSink, FeedStart, Offer, PrefixWatch,
};
use kvik::{Db, Error, FsyncPolicy, Options};

const LONG: Duration = Duration::from_secs(60);

fn open(dir: &Path, policy: FsyncPolicy) -> Db {
    Db::open(Options::from(dir).stripes(16).fsync(policy)).expect("the directory is ours")
}

fn run(db: &Db, words: &[&str]) {
    let reply = db.run(words);
    assert!(reply.as_error().is_none(), "{words:?}: {reply:?}");
}

fn next(watch: &mut PrefixWatch) -> Arc<FeedEntry> {
    let entry = watch.next_within(LONG).expect("nothing is removed");
    entry.expect("a change has been made")
}

fn line(entry: &FeedEntry) -> String {
    let words = entry.words();
    let words: Vec<_> = words.iter().map(String::from_utf8_lossy).collect();
    words.join(" ")
}

fn lines(watch: &mut PrefixWatch, count: usize) -> Vec<String> {
    (0..count).map(|_| line(&next(watch))).collect()
}

fn none_is_left(watch: &mut PrefixWatch) {
    let left = watch.next_within(Duration::ZERO).expect("it is there");
    assert!(left.is_none(), "{:?}", left.map(|it| line(&it)));
}

#[test]
fn changes_come_in_order_and_only_under_the_prefix() {
    let db = Db::memory();
    let mut watch = db.watch_prefix(b"user:", FeedStart::Latest).unwrap();
    run(&db, &["SET", "user:1", "a"]);
    run(&db, &["SET", "job:1", "b"]);
    run(&db, &["RENAME", "job:1", "user:2"]);
    run(&db, &["FLUSHALL"]);
    let expected = ["SET user:1 a", "RENAME job:1 user:2", "FLUSHALL"];
    assert_eq!(lines(&mut watch, 3), expected);
    none_is_left(&mut watch);
}

#[test]
fn positions_survive_a_restart_and_a_rewrite_that_keeps_the_old_files() {
    for policy in [FsyncPolicy::EverySecond, FsyncPolicy::Always] {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), policy);
        let files = &db.engine().settings.files;
        files.retention_bytes.store(1 << 30, Ordering::Relaxed);
        db.file_settings_changed();
        let mut watch = db.watch_prefix(b"", FeedStart::Latest).unwrap();
        let start = watch.position();
        run(&db, &["SET", "a", "1"]);
        assert_eq!(lines(&mut watch, 1), ["SET a 1"]);
        let position = watch.position();
        run(&db, &["SET", "b", "2"]);
        rewrite(&db);
        run(&db, &["SET", "c", "3"]);
        assert_eq!(lines(&mut watch, 2), ["SET b 2", "SET c 3"]);
        drop(watch);
        drop(db);

        let db = open(dir.path(), policy);
        run(&db, &["SET", "d", "4"]);
        let mut watch = db.watch_prefix(b"", FeedStart::After(position)).unwrap();
        assert_eq!(lines(&mut watch, 3), ["SET b 2", "SET c 3", "SET d 4"]);
        none_is_left(&mut watch);
        let mut watch = db.watch_prefix(b"", FeedStart::After(start)).unwrap();
        assert_eq!(lines(&mut watch, 1), ["SET a 1"]);
    }
}

fn rewrite(db: &Db) {
    let before = db.engine().persistence().status().rewrite.count;
    run(db, &["BGREWRITEAOF"]);
    while db.engine().persistence().status().rewrite.count == before {
        std::thread::yield_now();
    }
}

#[test]
fn a_position_that_is_gone_or_of_another_log_is_an_error_that_names_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), FsyncPolicy::EverySecond);
    let watch = db.watch_prefix(b"", FeedStart::Latest).unwrap();
    let position = watch.position();
    run(&db, &["SET", "a", "1"]);
    rewrite(&db);
    run(&db, &["SET", "b", "2"]);
    let error = db
        .watch_prefix(b"", FeedStart::After(position))
        .unwrap_err();
    let text = String::from_utf8(error.line()).unwrap();
    let oldest = text.rsplit(' ').next().unwrap();
    assert!(text.starts_with("GONE the position is not there"), "{text}");
    let oldest = FeedStart::After(oldest.parse().unwrap());
    let mut watch = db.watch_prefix(b"", oldest).unwrap();
    assert_eq!(lines(&mut watch, 1), ["SET b 2"]);

    let other = Db::memory();
    let error = other.watch_prefix(b"", FeedStart::After(position));
    let text = String::from_utf8(error.unwrap_err().line()).unwrap();
    assert!(
        text.starts_with("GONE the position is of another"),
        "{text}"
    );
}

#[test]
fn what_memory_cannot_keep_is_gone() {
    let db = Db::memory();
    let mut watch = db.watch_prefix(b"", FeedStart::Latest).unwrap();
    let value = "x".repeat(1 << 20);
    for _ in 0..24 {
        run(&db, &["SET", "large", &value]);
    }
    let mut read = 0;
    let error = loop {
        match watch.next_within(LONG) {
            Ok(Some(_)) => read += 1,
            Ok(None) => unreachable!("a minute is enough"),
            Err(error) => break error,
        }
        assert!(read < 24, "all of it has been kept");
    };
    assert!(error.line().starts_with(b"GONE"));
    let mut watch = db.watch_prefix(b"", FeedStart::Oldest).unwrap();
    assert_eq!(next(&mut watch).verb(), b"SET");
}

/// Several writers, a reader that keeps up, and one that begins late.
fn several_threads(db: &Db) {
    const WRITERS: usize = 4;
    const EACH: usize = 2000;
    let watch = db.watch_prefix(b"k", FeedStart::Latest).unwrap();
    let late = FeedStart::After(watch.position());
    let check = |mut watch: PrefixWatch| {
        let mut seen = HashMap::new();
        let mut before = watch.position().offset;
        for _ in 0..WRITERS * EACH {
            let entry = next(&mut watch);
            assert!(entry.position.offset > before, "positions grow");
            before = entry.position.offset;
            let key = entry.keys().next().unwrap().to_vec();
            let count = seen.entry(key).or_insert(0);
            *count += 1;
            let value = entry.words().iter().last().unwrap().to_vec();
            assert_eq!(value, count.to_string().into_bytes(), "in order, each once");
        }
        none_is_left(&mut watch);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| check(watch));
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for number in 1..=EACH {
                    run(db, &["SET", &format!("k{writer}"), &number.to_string()]);
                }
            });
        }
    });
    check(db.watch_prefix(b"k", late).unwrap());
}

#[test]
fn every_change_of_several_threads_comes_once_and_in_order() {
    several_threads(&Db::memory());
    let dir = tempfile::tempdir().unwrap();
    several_threads(&open(dir.path(), FsyncPolicy::EverySecond));
}

/// Takes entries while it has room.
#[derive(Default)]
struct Slow {
    taken: Mutex<Vec<u64>>,
    room: AtomicUsize,
    ended: AtomicBool,
}

impl FeedSink for Slow {
    fn offer(&self, entry: &Arc<FeedEntry>) -> Offer {
        let take = |room: usize| room.checked_sub(1);
        let taken = self
            .room
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        if taken.is_err() {
            return Offer::Full;
        }
        self.taken.lock().unwrap().push(entry.position.offset);
        Offer::Taken
    }

    fn end(&self, _error: &Error) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_slow_subscriber_goes_on_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), FsyncPolicy::EverySecond);
    let sink = Arc::new(Slow::default());
    let request = FeedRequest::Subscribe {
        query: FeedQuery::new(FeedStart::Latest),
        subscriber: u64::MAX,
        sink: Arc::clone(&sink) as Arc<dyn FeedSink>,
    };
    let call = db.engine().feed().request(request, 0);
    while !call.wait(LONG) {}
    assert!(matches!(call.take(), Ok(FeedAnswer::Subscribed(_))));
    // More than what is kept in memory for all.
    let value = "x".repeat(64 << 10);
    for _ in 0..200 {
        run(&db, &["SET", "k", &value]);
    }
    for given in 0..200 {
        sink.room.store(1, Ordering::SeqCst);
        db.engine().feed().wake();
        while sink.taken.lock().unwrap().len() == given {
            std::thread::yield_now();
        }
    }
    let taken = sink.taken.lock().unwrap();
    assert!(taken.is_sorted_by(|a, b| a < b) && taken.len() == 200);
    assert!(!sink.ended.load(Ordering::SeqCst));
}
