//! A store whose process is killed, or whose power goes, at each operation of its disk, under each
//! policy, with a snapshot and a rewrite of the log among the work; and one whose disk refuses a
//! write or an fsync, or is full for a while.

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
/// Where the policy acknowledges nothing by itself.
const COMMIT_EACH: usize = 3;

fn open(disk: &SimDisk, policy: FsyncPolicy) -> Result<Db, kvik::OpenError> {
    let options = Options::from(Path::new(DIR)).stripes(4);
    let options = options.fsync(policy);
    Db::open(options.on_disk(Arc::new(disk.clone())))
}

/// How far the work came.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    begun: usize,
    acknowledged: usize,
}

/// Does the work until the disk ends. Under `always` every transaction is acknowledged, otherwise
/// what a commit has waited for.
fn work(disk: &SimDisk, policy: FsyncPolicy) -> Done {
    let mut done = Done::default();
    let Ok(db) = open(disk, policy) else {
        return done;
    };
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
        let is_done = matches!(client.run(&["EXEC"]), Value::Array(_));
        if !is_done {
            break;
        }
        let is_committed = match policy {
            FsyncPolicy::Always => true,
            _ => step % COMMIT_EACH == 0 && db.commit().is_ok(),
        };
        if is_committed {
            done.acknowledged = step;
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
fn check(disk: &SimDisk, policy: FsyncPolicy, done: Done, what: &str) {
    let db = open(disk, policy).unwrap_or_else(|error| panic!("{what}: {error}"));
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

fn survives_the_end_at_any_operation(policy: FsyncPolicy) {
    let disk = SimDisk::new(1);
    let done = work(&disk, policy);
    assert_eq!(done.acknowledged, STEPS);
    let ended = disk.restart(Ending::PowerCut);
    check(&ended, policy, done, "an orderly end");
    let operations = disk.operations();
    for crash_at in 0..operations {
        let disk = SimDisk::new(crash_at);
        let crashes_at = |at| Faults {
            crash_at: Some(at),
            ..Faults::default()
        };
        disk.set_faults(crashes_at(crash_at));
        let done = work(&disk, policy);
        for ending in [Ending::Kill, Ending::PowerCut] {
            let what = format!("{ending:?} at operation {crash_at} of {operations}");
            check(&disk.restart(ending), policy, done, &what);
            // The next start may end early as well.
            let again = disk.restart(ending);
            again.set_faults(crashes_at(crash_at % 20));
            drop(open(&again, policy));
            let what = format!("{what} and a start that ended");
            check(&again.restart(Ending::PowerCut), policy, done, &what);
        }
    }
}

#[test]
fn a_store_survives_the_end_at_any_operation() {
    survives_the_end_at_any_operation(FsyncPolicy::Always);
}

#[test]
fn what_was_committed_survives_under_everysec() {
    survives_the_end_at_any_operation(FsyncPolicy::EverySecond);
}

#[test]
fn what_was_committed_survives_where_nothing_is_synced_by_itself() {
    survives_the_end_at_any_operation(FsyncPolicy::No);
}

/// Tries each step until it is acknowledged, under faults that go by themselves or when a step has
/// been refused. Says whether any was.
fn insist(disk: &SimDisk) -> bool {
    let Ok(db) = open(disk, FsyncPolicy::Always) else {
        return true;
    };
    let mut was_refused = false;
    for step in 1..=STEPS {
        let number = step.to_string();
        let is_set = |key| !matches!(db.run(&["SET", key, &number]), Value::Error(_));
        while !is_set("a") || !is_set("b") {
            was_refused = true;
            // There is room again.
            disk.set_faults(Faults::default());
            std::thread::yield_now();
        }
        match step {
            REWRITE_AT => rewrite(&db, disk),
            SAVE_AT => drop(db.run(&["SAVE"])),
            _ => {}
        }
    }
    let found = disk.restart(Ending::PowerCut);
    let found = open(&found, FsyncPolicy::Always).unwrap();
    for key in ["a", "b"] {
        let expected = Value::Bulk(STEPS.to_string().into_bytes());
        assert_eq!(found.run(&["GET", key]), expected);
    }
    was_refused
}

/// Runs [`insist`] with one fault after another; some of them must have been noticed.
fn insist_under(faults: impl Iterator<Item = Faults>) {
    let mut noticed = 0;
    for (seed, faults) in faults.enumerate() {
        let disk = SimDisk::new(seed as u64);
        disk.set_faults(faults);
        noticed += usize::from(insist(&disk));
    }
    assert!(noticed > 3);
}

#[test]
fn a_failed_fsync_takes_nothing_that_was_acknowledged() {
    insist_under((0..24).map(|at| Faults {
        failing_syncs: vec![at],
        ..Faults::default()
    }));
}

#[test]
fn a_failed_write_takes_nothing_that_was_acknowledged() {
    insist_under((0..30).map(|at| Faults {
        failing_writes: vec![at],
        ..Faults::default()
    }));
}

#[test]
fn a_full_disk_takes_nothing_that_was_acknowledged() {
    insist_under((1..20).map(|at| Faults {
        space: Some(at * 97),
        ..Faults::default()
    }));
}
