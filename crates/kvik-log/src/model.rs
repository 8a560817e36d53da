//! Tests that run threads in all orders that the memory model allows: `cargo x model`.
//!
//! They are about the hand-over: who appends wakes the writer, the writer wakes who waits, and a
//! failed fsync wakes everybody. A thread that waits for ever is a deadlock, which loom reports.
//! Time does not pass, so the policy is `always`. Orders in which threads are interrupted more than
//! [`PREEMPTIONS`] times against their will are left out.

#![expect(clippy::unwrap_used, reason = "only tests use this")]

use std::path::Path;
use std::sync::Arc;

use loom::thread;

use crate::sim::{Faults, SimDisk};
use crate::*;

const PREEMPTIONS: usize = 2;

struct NoClock;

impl Clock for NoClock {
    fn unix_ms(&self) -> u64 {
        0
    }

    fn monotonic_ms(&self) -> u64 {
        0
    }
}

struct Nothing;

impl Replay for Nothing {
    fn snapshot(&mut self, _: &mut dyn DiskReader, _: &LogFile) -> Result<u64, String> {
        Ok(0)
    }

    fn unit(&mut self, _: ReadUnit<'_>) -> Result<(), String> {
        Ok(())
    }
}

fn open(disk: &SimDisk) -> Log {
    let dir = Path::new("/db");
    let options = LogOptions {
        policy: SyncPolicy::Always,
        ..LogOptions::new(dir, [0; 20])
    };
    let lock = lock_directory(disk, dir).unwrap();
    let mut recovery = Recovery::open(options, Arc::new(disk.clone()), lock).unwrap();
    recovery.replay(&mut Nothing).unwrap();
    recovery.into_log(Arc::new(NoClock)).unwrap()
}

/// Tries all orders of what `run` does beside the writer. Afterwards the log is closed.
fn model(faults: fn(&SimDisk) -> Faults, run: impl Fn(&Arc<Log>) + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(move || {
        let disk = SimDisk::new(1);
        let log = Arc::new(open(&disk));
        disk.set_faults(faults(&disk));
        let writing = log.modelled_writer();
        let writer = thread::spawn(writing);
        run(&log);
        log.start_closing();
        writer.join().unwrap();
    });
}

fn append(log: &Log) -> Lsn {
    let mut unit = Unit::new();
    unit.begin(0);
    unit.word(b"DEL");
    unit.end();
    log.append(&mut unit, 0)
}

#[test]
fn who_waits_is_woken_when_its_unit_is_durable() {
    model(
        |_| Faults::default(),
        |log| {
            let other = Arc::clone(log);
            let second = thread::spawn(move || {
                let at = append(&other);
                assert_eq!(other.wait(at), Ok(()));
            });
            let at = append(log);
            assert_eq!(log.wait(at), Ok(()));
            assert!(log.synced() >= at);
            second.join().unwrap();
        },
    );
}

#[test]
fn a_failed_fsync_wakes_who_waits_and_acknowledges_nothing() {
    model(
        |disk| Faults {
            failing_syncs: vec![disk.syncs()],
            ..Faults::default()
        },
        |log| {
            let before = log.synced();
            let at = append(log);
            assert!(matches!(log.wait(at), Err(CommitError::Lost(_))));
            assert_eq!(log.synced(), before);
            assert_eq!(log.admission(), Admission::Failed);
        },
    );
}

#[test]
fn who_waits_is_told_that_the_log_is_closed() {
    model(
        |_| Faults::default(),
        |log| {
            let other = Arc::clone(log);
            let waiting = thread::spawn(move || {
                let beyond = other.appended().plus(1);
                assert_eq!(other.wait(beyond), Err(CommitError::Closed));
            });
            log.start_closing();
            waiting.join().unwrap();
        },
    );
}
