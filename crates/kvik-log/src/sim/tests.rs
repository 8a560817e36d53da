//! The log on a disk that fails: the same seeded work is done again and again, the plug is pulled
//! at each operation, and what a restart finds is compared with what was acknowledged.
//!
//! The file is long because all scenarios share one store that counts, one run of work and one
//! check. Apart, they would show less of what is promised in all of them.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::clock::Clock;
use crate::disk::write_all;
use crate::*;

const DIR: &str = "/db";

#[derive(Default)]
struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn unix_ms(&self) -> u64 {
        1_700_000_000_000 + self.0.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A store that counts: unit `n` is applied behind `n` others, whole, and exactly once.
#[derive(Debug, Default)]
struct Counter {
    units: u64,
}

impl Replay for Counter {
    fn snapshot(&mut self, source: &mut dyn DiskReader, _file: &LogFile) -> Result<u64, String> {
        let mut text = String::new();
        source
            .read_to_string(&mut text)
            .map_err(|error| error.to_string())?;
        let line = text.lines().next().unwrap_or_default();
        let count = line.strip_prefix("REDIS ").and_then(|it| it.parse().ok());
        self.units = count.ok_or_else(|| format!("no snapshot: {line}"))?;
        Ok(line.len() as u64 + 1)
    }

    fn unit(&mut self, unit: ReadUnit<'_>) -> Result<(), String> {
        let effects: Vec<_> = unit.effects().collect();
        assert_eq!(effects.len(), effects_of(self.units), "unit {}", self.units);
        for (at, (database, words)) in effects.into_iter().enumerate() {
            let number = std::str::from_utf8(&words[1]).unwrap();
            assert_eq!(number, format!("{}.{at}", self.units));
            assert_eq!(words[2].len(), payload_of(self.units));
            assert_eq!(u64::from(database), (self.units + at as u64) / 2 % 3);
        }
        self.units += 1;
        Ok(())
    }
}

fn effects_of(unit: u64) -> usize {
    unit as usize % 3 + 1
}

fn payload_of(unit: u64) -> usize {
    match unit % 11 {
        0 => 700,
        5 => 20_000,
        rest => rest as usize,
    }
}

fn fill(unit: &mut Unit, number: u64) {
    for at in 0..effects_of(number) {
        unit.begin(((number + at as u64) / 2 % 3) as u32);
        unit.word(b"SET");
        unit.word(format!("{number}.{at}").as_bytes());
        let payload = vec![b'x'; payload_of(number)];
        match payload.len() > 16_384 {
            true => unit.rope(&kvik_rope::Rope::from(&payload[..])),
            false => unit.word(&payload),
        }
        unit.end();
    }
}

fn options(policy: SyncPolicy) -> LogOptions {
    LogOptions {
        policy,
        timestamps: true,
        corrupt_tail_bytes: u64::MAX,
        ..LogOptions::new(DIR, [1; 20])
    }
}

fn open(
    disk: &SimDisk,
    clock: &Arc<HandClock>,
    options: LogOptions,
) -> Result<(Log, Counter), OpenError> {
    let lock = lock_directory(disk, Path::new(DIR))?;
    let mut recovery = Recovery::open(options, Arc::new(disk.clone()), lock)?;
    let mut counter = Counter::default();
    recovery.replay(&mut counter)?;
    let clock: Arc<dyn Clock> = Arc::<HandClock>::clone(clock);
    Ok((recovery.into_log(clock)?, counter))
}

/// Work on a log, and what is known about it.
struct Work {
    disk: SimDisk,
    clock: Arc<HandClock>,
    log: Log,
    random: Random,
    unit: Unit,
    /// The place behind each unit, and when it was appended.
    units: Vec<(Lsn, u64)>,
    /// Units before the log was opened.
    before: u64,
    acknowledged: u64,
    rewrite: Option<(Lsn, u64, PathBuf)>,
}

impl Work {
    fn start(disk: SimDisk, options: LogOptions, seed: u64) -> Result<Self, OpenError> {
        let clock = Arc::new(HandClock::default());
        let (log, counter) = open(&disk, &clock, options)?;
        Ok(Self {
            disk,
            clock,
            log,
            random: Random::new(seed),
            unit: Unit::new(),
            units: Vec::new(),
            before: counter.units,
            acknowledged: counter.units,
            rewrite: None,
        })
    }

    fn count(&self) -> u64 {
        self.before + self.units.len() as u64
    }

    fn now(&self) -> u64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    fn append(&mut self) {
        let number = self.count();
        fill(&mut self.unit, number);
        let at = self.log.append(&mut self.unit, self.clock.unix_ms());
        assert!(self.unit.is_empty());
        self.units.push((at, self.now()));
    }

    /// Lets the writer run, and notes what is acknowledged.
    fn turn(&mut self) {
        self.log.turn();
        self.note();
    }

    fn note(&mut self) {
        let synced = |(at, _): &&(Lsn, u64)| self.log.outcome(*at) == Outcome::Synced;
        let count = self.before + self.units.iter().take_while(synced).count() as u64;
        assert!(count >= self.acknowledged, "an acknowledgement is for ever");
        self.acknowledged = count;
    }

    fn begin_rewrite(&mut self) {
        let start = self.log.rotate();
        let path = self.log.temporary_base();
        self.rewrite = Some((start, self.count(), path));
    }

    fn finish_rewrite(&mut self, (start, count, path): (Lsn, u64, PathBuf)) -> bool {
        let written = self.disk.create(&path).and_then(|mut file| {
            let text = format!("REDIS {count}\n");
            write_all(&mut *file, text.as_bytes())
        });
        let done = written
            .and_then(|()| self.log.finish_rewrite(&path, BaseFormat::Rdb, start))
            .is_ok();
        if !done {
            self.log.abort_rewrite(&path);
        }
        done
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=9 => self.append(),
            10..=14 => self.turn(),
            15..=17 => {
                let ms = self.random.below(90);
                self.clock.0.fetch_add(ms, Ordering::Relaxed);
                self.turn();
            }
            _ => match self.rewrite.take() {
                None => self.begin_rewrite(),
                Some(rewrite) if self.random.below(4) == 0 => {
                    self.log.abort_rewrite(&rewrite.2);
                }
                Some(rewrite) => {
                    self.finish_rewrite(rewrite);
                }
            },
        }
    }

    /// Works until the disk is off, or for so many steps.
    fn run(&mut self, steps: u32) {
        for _ in 0..steps {
            if self.disk.is_off() {
                return;
            }
            self.step();
        }
    }
}

/// Opens what is left, compares it, goes on a little, and opens it once more.
fn check_restart(work: Work, ending: Ending, policy: SyncPolicy, context: &str) {
    let (acknowledged, now) = (work.acknowledged, work.now());
    let written = match ending {
        Ending::Kill => work.log.written(),
        Ending::PowerCut => Lsn::ZERO,
    };
    let units = work.units.clone();
    let (crashed, before) = (work.disk.clone(), work.before);
    drop(work);
    // A loss of power leaves one of many states; a killed process leaves one.
    let draws = if ending == Ending::PowerCut { 6 } else { 1 };
    for _ in 0..draws {
        let disk = crashed.restart(ending);
        check_found(
            disk,
            before,
            &units,
            (acknowledged, written, now),
            ending,
            policy,
            context,
        );
    }
}

fn check_found(
    disk: SimDisk,
    before: u64,
    units: &[(Lsn, u64)],
    (acknowledged, written, now): (u64, Lsn, u64),
    ending: Ending,
    policy: SyncPolicy,
    context: &str,
) {
    let count = before + units.len() as u64;
    let opened = open(&disk, &Arc::new(HandClock::default()), options(policy));
    let (log, found) = opened.unwrap_or_else(|error| panic!("{context}: {error}"));
    let mut at_least = acknowledged;
    at_least = at_least.max(before + units.iter().filter(|it| it.0 <= written).count() as u64);
    if policy == SyncPolicy::EverySecond {
        // The writer runs at least every 90 ms in this work.
        let old = units.iter().filter(|it| it.1 + 1100 < now).count();
        at_least = at_least.max(before + old as u64);
    }
    assert!(
        found.units >= at_least,
        "{context}: {} of {at_least}",
        found.units
    );
    assert!(found.units <= count, "{context}");
    let mut torn = String::new();
    if let Some(dropped) = log.status().dropped {
        write!(torn, "{dropped:?}").unwrap();
        let kept = disk.contents(&dropped.kept_in).unwrap();
        assert_eq!(kept.len() as u64, dropped.bytes, "{context}");
        let later = disk.restart(Ending::PowerCut).contents(&dropped.kept_in);
        assert_eq!(later, Some(kept), "{context}");
    }
    // Whatever was found is shown to clients now: it must survive the next loss of power.
    let later = disk.restart(Ending::PowerCut);
    let (_, shown) = open(&later, &Arc::default(), options(policy)).unwrap();
    assert_eq!(shown.units, found.units, "{context}");

    // What is appended now must not stand behind a torn unit.
    let mut unit = Unit::new();
    fill(&mut unit, found.units);
    log.append(&mut unit, 0);
    log.close()
        .unwrap_or_else(|error| panic!("{context}: {error} {torn}"));
    let (id, end) = (log.id(), log.appended());
    drop(log);
    let mut other = options(policy);
    other.random_id = [2; 20];
    let (log, again) = open(&disk.restart(ending), &Arc::default(), other).unwrap();
    assert_eq!(again.units, found.units + 1, "{context} {torn}");
    assert!(log.status().dropped.is_none());
    assert_eq!((log.id(), log.appended()), (id, end), "{context}");
}

fn crash_everywhere(policy: SyncPolicy, seed: u64) {
    const STEPS: u32 = 90;
    let run = |faults: Faults| {
        let disk = SimDisk::new(seed);
        disk.set_faults(faults);
        let mut options = options(policy);
        if seed % 2 == 1 {
            (options.retention_bytes, options.retention_age_ms) = (20_000, 500);
        }
        let mut work = Work::start(disk, options, seed)?;
        work.run(STEPS);
        Ok::<_, OpenError>(work)
    };
    let operations = run(Faults::default()).unwrap().disk.operations();
    assert!(operations > 40, "{operations}");
    for at in 0..operations {
        let faults = Faults {
            crash_at: Some(at),
            ..Faults::default()
        };
        for ending in [Ending::Kill, Ending::PowerCut] {
            let context = format!("{policy:?}, seed {seed}, operation {at}, {ending:?}");
            match run(faults.clone()) {
                Ok(work) => check_restart(work, ending, policy, &context),
                // It crashed while it opened an empty directory.
                Err(_) => assert!(at < 20, "{context}"),
            }
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_wherever_it_crashes() {
    for seed in 0..6 {
        for policy in [SyncPolicy::Always, SyncPolicy::EverySecond, SyncPolicy::No] {
            crash_everywhere(policy, seed);
        }
    }
}

#[test]
fn a_crash_while_opening_after_a_crash_loses_nothing() {
    for seed in 0..8 {
        let disk = SimDisk::new(seed);
        let mut work = Work::start(disk, options(SyncPolicy::Always), seed).unwrap();
        work.run(60);
        work.append();
        let at = work.disk.operations() + 1;
        work.disk.set_faults(Faults {
            crash_at: Some(at),
            ..Faults::default()
        });
        work.turn();
        let (acknowledged, broken) = (work.acknowledged, work.disk.restart(Ending::PowerCut));
        drop(work);
        for at in 0..30 {
            let disk = broken.restart(Ending::Kill);
            disk.set_faults(Faults {
                crash_at: Some(at),
                ..Faults::default()
            });
            drop(open(&disk, &Arc::default(), options(SyncPolicy::Always)));
            for ending in [Ending::Kill, Ending::PowerCut] {
                let again = disk.restart(ending);
                let (_, found) = open(&again, &Arc::default(), options(SyncPolicy::Always))
                    .unwrap_or_else(|error| panic!("seed {seed}, operation {at}: {error}"));
                assert!(found.units >= acknowledged);
            }
        }
    }
}

#[test]
fn a_failed_fsync_is_never_acknowledged_and_a_rewrite_recovers() {
    for seed in 0..12 {
        for policy in [SyncPolicy::Always, SyncPolicy::EverySecond] {
            for failing in 2..9 {
                let disk = SimDisk::new(seed);
                disk.set_faults(Faults {
                    failing_syncs: vec![failing],
                    ..Faults::default()
                });
                let Ok(mut work) = Work::start(disk, options(policy), seed) else {
                    continue;
                };
                for _ in 0..200 {
                    work.step();
                    if work
                        .log
                        .failure()
                        .is_some_and(|it| it.kind == FailureKind::Sync)
                    {
                        break;
                    }
                }
                let context = format!("{policy:?}, seed {seed}, fsync {failing}");
                if work
                    .log
                    .failure()
                    .is_none_or(|it| it.kind != FailureKind::Sync)
                {
                    continue;
                }
                work.note();
                let acknowledged = work.acknowledged;
                assert_eq!(work.log.admission(), Admission::Failed, "{context}");
                // Later fsyncs succeed; none of them may acknowledge what was lost.
                work.append();
                work.clock.0.fetch_add(5000, Ordering::Relaxed);
                for _ in 0..3 {
                    work.turn();
                }
                assert_eq!(work.acknowledged, acknowledged, "{context}");
                let last = work.units.last().unwrap().0;
                assert_ne!(work.log.outcome(last), Outcome::Synced, "{context}");

                let crashed = work.disk.restart(Ending::PowerCut);
                let (_, found) = open(&crashed, &Arc::default(), options(policy)).unwrap();
                assert!(found.units >= acknowledged, "{context}");

                work.begin_rewrite();
                let rewrite = work.rewrite.take().unwrap();
                assert!(work.finish_rewrite(rewrite), "{context}");
                work.turn();
                assert_eq!(work.log.admission(), Admission::Open, "{context}");
                assert_eq!(work.acknowledged, work.count(), "{context}");
                work.append();
                check_restart(work, Ending::PowerCut, policy, &context);
            }
        }
    }
}

#[test]
fn a_full_disk_loses_nothing_and_writes_go_on_when_there_is_room() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let mut work = Work::start(disk, options(SyncPolicy::Always), seed).unwrap();
        work.disk.set_faults(Faults {
            space: Some(seed * 37),
            ..Faults::default()
        });
        for _ in 0..40 {
            work.append();
            work.turn();
        }
        assert_eq!(work.log.admission(), Admission::Failed);
        let failure = work.log.failure().unwrap();
        assert_eq!(failure.kind, FailureKind::Write);
        assert!(work.acknowledged < work.count());
        let last = work.units.last().unwrap().0;
        assert_eq!(work.log.outcome(last), Outcome::Pending);
        // Whatever is in the file are whole units.
        let killed = work.disk.restart(Ending::Kill);
        let (log, found) = open(&killed, &Arc::default(), options(SyncPolicy::Always)).unwrap();
        assert!(found.units >= work.acknowledged && log.status().dropped.is_none());

        work.disk.set_faults(Faults::default());
        work.clock.0.fetch_add(200, Ordering::Relaxed);
        work.turn();
        assert_eq!(work.log.admission(), Admission::Open);
        assert_eq!(work.acknowledged, work.count());
        check_restart(
            work,
            Ending::PowerCut,
            SyncPolicy::Always,
            &format!("seed {seed}"),
        );
    }
}

#[test]
fn a_failed_write_is_tried_again() {
    for failing in 0..12 {
        let disk = SimDisk::new(failing);
        let mut work = Work::start(disk, options(SyncPolicy::Always), failing).unwrap();
        let faults = Faults {
            failing_writes: vec![failing + 1],
            ..Faults::default()
        };
        work.disk.set_faults(faults);
        for _ in 0..16 {
            work.append();
            work.turn();
        }
        work.clock.0.fetch_add(200, Ordering::Relaxed);
        work.turn();
        assert_eq!(work.acknowledged, work.count());
        check_restart(work, Ending::PowerCut, SyncPolicy::Always, "write");
    }
}

#[test]
fn a_log_without_base_is_durable_once_the_base_is_there() {
    let disk = SimDisk::new(1);
    let clock = Arc::new(HandClock::default());
    let lock = lock_directory(&disk, Path::new(DIR)).unwrap();
    assert!(matches!(
        lock_directory(&disk, Path::new(DIR)),
        Err(OpenError::Locked(_))
    ));
    let recovery = Recovery::open(options(SyncPolicy::Always), Arc::new(disk.clone()), lock);
    let log = recovery.unwrap().into_log_without_base(clock).unwrap();
    let mut unit = Unit::new();
    fill(&mut unit, 0);
    let at = log.append(&mut unit, 0);
    log.turn();
    assert_eq!(log.outcome(at), Outcome::Pending);
    assert_eq!(log.admission(), Admission::Open);
    let start = log.rotate();
    fill(&mut unit, 1);
    let at = log.append(&mut unit, 0);
    let path = log.temporary_base();
    write_all(&mut *disk.create(&path).unwrap(), b"REDIS 1\n").unwrap();
    log.finish_rewrite(&path, BaseFormat::Rdb, start).unwrap();
    log.turn();
    assert_eq!(log.outcome(at), Outcome::Synced);
    log.close().unwrap();
    let again = disk.restart(Ending::PowerCut);
    let (_, found) = open(&again, &Arc::default(), options(SyncPolicy::Always)).unwrap();
    assert_eq!(found.units, 2);
}

#[test]
fn a_log_that_was_off_goes_on_with_a_new_base_and_another_id() {
    let mut work = Work::start(SimDisk::new(1), options(SyncPolicy::Always), 1).unwrap();
    work.append();
    work.turn();
    let (id, before) = (work.log.id(), work.units[0].0);
    // Three units come and go without the log.
    work.before += 3;
    let start = work.log.restart([9; 20]);
    work.append();
    let at = work.units[1].0;
    work.turn();
    assert_eq!(work.log.outcome(before), Outcome::Synced);
    assert_eq!(work.log.outcome(at), Outcome::Pending);
    let crashed = work.disk.restart(Ending::PowerCut);
    let (_, found) = open(&crashed, &Arc::default(), options(SyncPolicy::Always)).unwrap();
    assert_eq!(found.units, 1);
    let path = work.log.temporary_base();
    assert!(work.finish_rewrite((start, 4, path)));
    work.log.turn();
    assert_eq!(work.log.outcome(at), Outcome::Synced);
    assert_ne!(work.log.id(), id);
    let crashed = work.disk.restart(Ending::PowerCut);
    let (_, found) = open(&crashed, &Arc::default(), options(SyncPolicy::Always)).unwrap();
    assert_eq!(found.units, 5);
}

#[test]
fn superseded_files_are_kept_as_long_as_retention_says() {
    let disk = SimDisk::new(1);
    let mut kept = options(SyncPolicy::Always);
    (kept.retention_bytes, kept.retention_age_ms) = (1 << 20, 60_000);
    let mut work = Work::start(disk, kept.clone(), 1).unwrap();
    for _ in 0..3 {
        work.append();
        work.begin_rewrite();
        let rewrite = work.rewrite.take().unwrap();
        assert!(work.finish_rewrite(rewrite));
        work.clock.0.fetch_add(25_000, Ordering::Relaxed);
    }
    let names =
        |log: &Log| -> Vec<String> { log.retained().into_iter().map(|file| file.name).collect() };
    let expected = [
        "appendonly.aof.1.incr.aof",
        "appendonly.aof.1.base.rdb",
        "appendonly.aof.2.incr.aof",
        "appendonly.aof.2.base.rdb",
        "appendonly.aof.3.incr.aof",
    ];
    assert_eq!(names(&work.log), expected);
    let disk = work.disk.restart(Ending::PowerCut);
    let (log, _) = open(&disk, &Arc::default(), kept).unwrap();
    assert_eq!(names(&log), expected);
    // The first is too old at the next rewrite.
    work.append();
    work.begin_rewrite();
    let rewrite = work.rewrite.take().unwrap();
    assert!(work.finish_rewrite(rewrite));
    assert_eq!(names(&work.log)[0], expected[1]);
    let first = Path::new(DIR).join("appendonlydir").join(expected[0]);
    assert!(work.disk.contents(&first).is_none());
}

#[test]
fn an_old_single_file_becomes_the_base_wherever_it_crashes() {
    let mut unit = Unit::new();
    fill(&mut unit, 5);
    let (bytes, _) = unit.parts();
    assert!(bytes.len() > 100);
    let text = b"REDIS 7\n*3\r\n$3\r\nSET\r\n$3\r\n7.0\r\n$7\r\nxxxxxxx\r\n";
    let text = [&text[..8], b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n", &[]].concat();
    let make = || {
        let disk = SimDisk::new(4);
        disk.create_dir(Path::new(DIR)).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let mut file = disk.create(&Path::new(DIR).join("appendonly.aof")).unwrap();
        write_all(&mut *file, &text).unwrap();
        file.sync().unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        disk
    };
    for at in 0..40 {
        let disk = make();
        let at = disk.operations() + at;
        disk.set_faults(Faults {
            crash_at: Some(at),
            ..Faults::default()
        });
        drop(open(&disk, &Arc::default(), options(SyncPolicy::Always)));
        let disk = disk.restart(Ending::PowerCut);
        let (log, found) = open(&disk, &Arc::default(), options(SyncPolicy::Always)).unwrap();
        assert_eq!(found.units, 7, "operation {at}");
        assert_eq!(log.status().base_size, text.len() as u64);
    }
}

#[test]
fn files_without_a_manifest_are_not_written_over() {
    let mut work = Work::start(SimDisk::new(3), options(SyncPolicy::Always), 3).unwrap();
    work.append();
    work.turn();
    let disk = work.disk.restart(Ending::Kill);
    drop(work);
    let dir = Path::new(DIR).join("appendonlydir");
    let path = dir.join("appendonly.aof.1.incr.aof");
    let bytes = disk.contents(&path).unwrap();
    assert!(!bytes.is_empty());
    disk.remove(&dir.join("appendonly.aof.manifest")).unwrap();
    drop(disk.create(&dir.join("appendonly.aof.7.incr.aof")).unwrap());
    let (log, found) = open(&disk, &Arc::default(), options(SyncPolicy::Always)).unwrap();
    assert_eq!(found.units, 0);
    assert_eq!(log.status().strays, ["appendonly.aof.1.incr.aof"]);
    assert_eq!(disk.contents(&path).unwrap(), bytes);
    assert!(
        disk.contents(&dir.join("appendonly.aof.7.incr.aof"))
            .is_none()
    );
    assert!(
        disk.contents(&dir.join("appendonly.aof.8.incr.aof"))
            .is_some()
    );
}

#[test]
fn damage_that_no_interruption_causes_is_refused() {
    let disk = SimDisk::new(3);
    let mut work = Work::start(disk, options(SyncPolicy::Always), 3).unwrap();
    for _ in 0..30 {
        work.append();
        work.turn();
    }
    let path = Path::new(DIR).join("appendonlydir/appendonly.aof.1.incr.aof");
    let disk = work.disk.restart(Ending::Kill);
    drop(work);
    let mut bytes = disk.contents(&path).unwrap();
    let len = bytes.len();
    let command = bytes[300..]
        .windows(3)
        .position(|it| it == b"\n*3")
        .unwrap()
        + 301;
    bytes[command] = b'!';
    write_all(&mut *disk.create(&path).unwrap(), &bytes).unwrap();
    let mut strict = options(SyncPolicy::Always);
    strict.corrupt_tail_bytes = 1000;
    let error = open(&disk, &Arc::default(), strict).unwrap_err();
    assert!(
        matches!(error, OpenError::Unsound { valid, .. } if valid <= command as u64),
        "{error}"
    );
    // A torn end is dropped unless that is not wanted, and nothing is changed until it is.
    bytes[300] = disk
        .restart(Ending::Kill)
        .contents(&path)
        .map_or(0, |_| b'x');
    bytes.truncate(len - 1);
    write_all(&mut *disk.create(&path).unwrap(), &bytes).unwrap();
    let mut strict = options(SyncPolicy::Always);
    strict.load_truncated = false;
    let error = open(&disk, &Arc::default(), strict).unwrap_err();
    assert!(error.to_string().contains("aof-load-truncated"), "{error}");
    assert_eq!(disk.contents(&path).unwrap(), bytes);
}
