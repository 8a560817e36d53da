//! Admission and progress, on a disk in memory and without a thread.

use std::sync::atomic::{AtomicU64, AtomicUsize};

use super::*;
use crate::disk::{Disk, DiskReader};
use crate::sim::{Faults, SimDisk};
use crate::{Clock, LogFile, LogOptions, ReadUnit, Recovery, Replay, lock_directory};

#[derive(Default)]
struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn unix_ms(&self) -> u64 {
        self.monotonic_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Nothing;

impl Replay for Nothing {
    fn snapshot(&mut self, _: &mut dyn DiskReader, _: &LogFile) -> Result<u64, String> {
        Err("there is none".to_owned())
    }

    fn unit(&mut self, _: ReadUnit<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// A log, its clock, its disk, and how often progress was announced.
fn open(policy: SyncPolicy) -> (Log, Arc<HandClock>, SimDisk, Arc<AtomicUsize>) {
    let (disk, clock) = (SimDisk::new(1), Arc::new(HandClock::default()));
    let options = LogOptions {
        policy,
        buffer_bytes: 1000,
        ..LogOptions::new("/db", [1; 20])
    };
    let lock = lock_directory(&disk, &options.dir).unwrap();
    let mut recovery = Recovery::open(options, Arc::new(disk.clone()), lock).unwrap();
    recovery.replay(&mut Nothing).unwrap();
    let log = recovery.into_log(Arc::<HandClock>::clone(&clock)).unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    log.on_progress(Box::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    (log, clock, disk, told)
}

fn append(log: &Log, len: usize) -> Lsn {
    let mut unit = Unit::new();
    unit.begin(0);
    unit.word(b"SET");
    unit.word(&vec![b'x'; len]);
    unit.end();
    log.append(&mut unit, 0)
}

#[test]
fn an_empty_unit_has_the_place_of_everything_before() {
    let (log, ..) = open(SyncPolicy::Always);
    let at = append(&log, 10);
    assert_eq!(log.append(&mut Unit::new(), 0), at);
    log.turn();
    assert_eq!(log.synced(), at);
}

#[test]
fn a_full_queue_refuses_until_it_is_written_and_says_when() {
    let (log, _, _, told) = open(SyncPolicy::No);
    append(&log, 900);
    assert_eq!(log.admission(), Admission::Open);
    // What has begun is taken, whatever room there is.
    append(&log, 5000);
    assert_eq!(log.admission(), Admission::Full);
    assert_eq!(told.load(Ordering::Relaxed), 0);
    log.turn();
    assert_eq!(told.load(Ordering::Relaxed), 1);
    assert_eq!(log.admission(), Admission::Open);
    assert_eq!(log.written(), log.appended());
}

#[test]
fn a_late_fsync_sets_writers_aside_under_everysec_only() {
    let (log, clock, _, told) = open(SyncPolicy::EverySecond);
    log.shared.begin_sync(0);
    clock.0.store(2000, Ordering::Relaxed);
    assert_eq!(log.admission(), Admission::Open);
    clock.0.store(2001, Ordering::Relaxed);
    assert_eq!(log.admission(), Admission::Delayed);
    assert_eq!(log.admission(), Admission::Delayed);
    assert_eq!(log.status().delayed_syncs, 1);
    log.set_policy(SyncPolicy::Always);
    assert_eq!(log.admission(), Admission::Open);
    log.set_policy(SyncPolicy::EverySecond);
    log.shared.end_sync();
    assert_eq!(log.admission(), Admission::Open);
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[test]
fn everysec_syncs_once_a_second_and_no_never() {
    let (log, clock, disk, _) = open(SyncPolicy::EverySecond);
    clock.0.store(5000, Ordering::Relaxed);
    let first = append(&log, 10);
    // The last fsync is more than a second ago.
    assert_eq!(log.turn(), None);
    assert_eq!(log.synced(), first);
    let second = append(&log, 10);
    clock.0.store(5400, Ordering::Relaxed);
    assert_eq!(log.turn(), Some(600));
    assert_eq!((log.synced(), log.written()), (first, second));
    clock.0.store(6000, Ordering::Relaxed);
    log.turn();
    assert_eq!(log.synced(), second);

    log.set_policy(SyncPolicy::No);
    let syncs = disk.syncs();
    append(&log, 10);
    clock.0.store(60_000, Ordering::Relaxed);
    log.turn();
    assert_eq!((log.synced(), disk.syncs()), (second, syncs));
    let third = append(&log, 10);
    log.request_sync(third);
    log.turn();
    assert_eq!(log.synced(), third);
}

#[test]
fn a_group_is_one_fsync() {
    let (log, _, disk, _) = open(SyncPolicy::Always);
    let syncs = disk.syncs();
    for _ in 0..50 {
        append(&log, 10);
    }
    log.turn();
    assert_eq!((log.synced(), disk.syncs()), (log.appended(), syncs + 1));
}

#[test]
fn figures_say_how_the_log_is_doing() {
    let (log, clock, disk, _) = open(SyncPolicy::Always);
    append(&log, 100);
    let status = log.status();
    assert_eq!(status.buffer_length, status.appended.get());
    assert_eq!((status.current_size, status.base_size), (0, 0));
    log.turn();
    assert_eq!(log.status().current_size, status.appended.get());
    disk.set_faults(Faults {
        space: Some(3),
        ..Faults::default()
    });
    append(&log, 100);
    log.turn();
    let status = log.status();
    assert!(!status.last_write_ok && status.failed_syncs == 0);
    let reason = status.failure.unwrap().reason;
    assert!(
        reason.starts_with("writing the append-only file: "),
        "{reason}"
    );
    assert!(matches!(
        log.wait(log.appended()),
        Err(CommitError::Stalled(_))
    ));
    disk.set_faults(Faults::default());
    clock.0.store(99, Ordering::Relaxed);
    assert_eq!(log.turn(), Some(1));
    clock.0.store(100, Ordering::Relaxed);
    log.turn();
    assert!(log.status().last_write_ok);
    assert_eq!(log.outcome(log.appended()), Outcome::Synced);
}

/// The increments begin at one place, as nothing is appended in between.
#[test]
fn a_restart_behind_a_rotation_becomes_durable() {
    let (log, _, disk, _) = open(SyncPolicy::Always);
    append(&log, 10);
    for restarts in [false, true] {
        let start = if restarts {
            log.restart([2; 20])
        } else {
            log.rotate()
        };
        let base = log.temporary_base();
        disk.create(&base).unwrap();
        log.finish_rewrite(&base, BaseFormat::Rdb, start).unwrap();
        // Those that are empty are not kept.
        let increments = log.shared.files.lock().manifest.increments.len();
        assert_eq!(increments, 1);
    }
    let at = append(&log, 10);
    log.turn();
    assert_eq!(log.outcome(at), Outcome::Synced);
}

/// A unit that is longer than what is written at once, whose chunks are kept until it is whole.
#[test]
fn a_unit_of_very_many_pieces_is_written() {
    let (log, ..) = open(SyncPolicy::Always);
    let mut unit = Unit::new();
    unit.begin(0);
    unit.word(b"SET");
    let mut rope = kvik_rope::Rope::default();
    rope.append_zeros(60 << 20);
    unit.rope(&rope);
    unit.end();
    let at = log.append(&mut unit, 0);
    log.turn();
    assert_eq!(log.status().failure, None);
    assert_eq!(log.synced(), at);
}
