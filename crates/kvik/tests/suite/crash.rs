//! A store whose process is killed, or whose power goes, at each operation of its disk: with a
//! snapshot and a rewrite of the log among the work.

#![expect(clippy::unwrap_used, reason = "only tests")]

use std::path::Path;
use std::sync::Arc;

use kvik::{Db, FsyncPolicy, Options, Value};
use kvik_log::sim::{Ending, Faults, SimDisk};

const DIR: &str = "/db";
/// Transactions in all; a rewrite and a snapshot come after some of them.
const STEPS: usize = 12;
const REWRITE_AT: usize = 4;
const SAVE_AT: usize = 8;

fn open(disk: &SimDisk) -> Result<Db, kvik::OpenError> {
    let options = Options::from(Path::new(DIR)).stripes(4);
    let options = options.fsync(FsyncPolicy::Always);
    Db::open(options.on_disk(Arc::new(disk.clone())))
}

/// How far the work came.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    begun: usize,
    acknowledged: usize,
}

/// Does the work until the disk ends.
fn work(disk: &SimDisk) -> Done {
    let mut done = Done::default();
    let Ok(db) = open(disk) else { return done };
    let mut client = db.connect();
    for step in 1..=STEPS {
        let number = step.to_string();
        for words in [
            &["MULTI"][..],
            &["SET", "a", &number],
            &["SET", "b", &number],
            &["RPUSH", "list", &number],
            &["HSET", "hash", &number, "v"],
        ] {
            client.run(words);
        }
        done.begun = step;
        match client.run(&["EXEC"]) {
            Value::Array(_) => done.acknowledged = step,
            _ => break,
        }
        match step {
            REWRITE_AT => rewrite(&db, disk),
            SAVE_AT => drop(client.run(&["SAVE"])),
            _ => {}
        }
    }
    done
}

fn rewrite(db: &Db, disk: &SimDisk) {
    let status = || db.engine().persistence().status();
    db.run(&["BGREWRITEAOF"]);
    while status().rewrite.count == 0 && status().rewrite_failures == 0 && !disk.is_off() {
        std::thread::yield_now();
    }
}

/// What a restart finds is a whole number of transactions, all that were acknowledged among them.
fn check(disk: &SimDisk, done: Done, what: &str) {
    let db = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let get = |key: &str| {
        let value = db.get(key.as_bytes()).unwrap().unwrap_or_default();
        String::from_utf8(value.to_vec())
            .unwrap()
            .parse()
            .unwrap_or(0)
    };
    let found: usize = get("a");
    assert_eq!(get("b"), found, "{what}: half a transaction");
    let expected: Vec<_> = (1..=found)
        .map(|step| Value::Bulk(step.to_string().into_bytes()))
        .collect();
    let list = db.run(&["LRANGE", "list", "0", "-1"]);
    assert_eq!(list, Value::Array(expected), "{what}");
    assert_eq!(
        db.run(&["HLEN", "hash"]).as_int(),
        Some(found as i64),
        "{what}"
    );
    assert!(
        (done.acknowledged..=done.begun).contains(&found),
        "{what}: {found} of {done:?}"
    );
    // And it goes on.
    db.set(b"a", b"on").unwrap();
}

#[test]
fn a_store_survives_the_end_at_any_operation() {
    let disk = SimDisk::new(1);
    let done = work(&disk);
    assert_eq!(done.acknowledged, STEPS);
    check(&disk.restart(Ending::PowerCut), done, "an orderly end");
    let operations = disk.operations();
    for crash_at in 0..operations {
        let disk = SimDisk::new(crash_at);
        disk.set_faults(Faults {
            crash_at: Some(crash_at),
            ..Faults::default()
        });
        let done = work(&disk);
        for ending in [Ending::Kill, Ending::PowerCut] {
            let what = format!("{ending:?} at operation {crash_at} of {operations}");
            check(&disk.restart(ending), done, &what);
        }
    }
}
