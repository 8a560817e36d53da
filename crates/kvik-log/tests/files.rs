//! The log on real files: several threads, restarts, and the tools of Redis where they are
//! installed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use kvik_log::{
    BaseFormat, Clock, DiskReader, Log, LogFile, LogOptions, OpenError, Outcome, ReadUnit,
    Recovery, Replay, SyncPolicy, SystemDisk, Unit, lock_directory,
};

/// A clock that advances whenever it is read.
#[derive(Default)]
struct StepClock(AtomicU64);

impl Clock for StepClock {
    fn unix_ms(&self) -> u64 {
        1_700_000_000_000 + self.monotonic_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Keeps what is replayed as text.
#[derive(Default)]
struct Lines(Vec<String>);

impl Replay for Lines {
    fn snapshot(&mut self, _: &mut dyn DiskReader, file: &LogFile) -> Result<u64, String> {
        self.0.push(format!("snapshot of {} bytes", file.len));
        Ok(file.len)
    }

    fn unit(&mut self, unit: ReadUnit<'_>) -> Result<(), String> {
        let effects = unit.effects().map(|(database, words)| {
            let words: Vec<_> = words.iter().map(String::from_utf8_lossy).collect();
            format!("{database}: {}", words.join(" "))
        });
        self.0.push(effects.collect::<Vec<_>>().join("; "));
        Ok(())
    }
}

fn open(dir: &Path, policy: SyncPolicy) -> Result<(Log, Vec<String>), OpenError> {
    let options = LogOptions {
        policy,
        ..LogOptions::new(dir, [7; 20])
    };
    let lock = lock_directory(&SystemDisk, dir)?;
    let mut recovery = Recovery::open(options, Arc::new(SystemDisk), lock)?;
    let mut lines = Lines::default();
    recovery.replay(&mut lines)?;
    let log = recovery.into_log(Arc::new(StepClock::default()))?;
    log.spawn().expect("a thread can be started");
    Ok((log, lines.0))
}

fn unit(database: u32, words: &[&str]) -> Unit {
    let mut unit = Unit::new();
    unit.begin(database);
    words.iter().for_each(|word| unit.word(word.as_bytes()));
    unit.end();
    unit
}

#[test]
fn units_of_several_threads_are_acknowledged_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    for policy in [SyncPolicy::Always, SyncPolicy::EverySecond, SyncPolicy::No] {
        let (log, _) = open(dir.path(), policy).unwrap();
        let order = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for id in 0..4 {
                let (log, order) = (&log, &order);
                scope.spawn(move || {
                    for number in 0..50 {
                        let key = format!("{id}.{number}");
                        let mut unit = unit(0, &["SET", &key, "v"]);
                        let mut order = order.lock().unwrap();
                        let at = log.append(&mut unit, 0);
                        order.push(format!("0: SET {key} v"));
                        drop(order);
                        log.wait(at).unwrap();
                        assert_eq!(log.outcome(at), Outcome::Synced);
                    }
                });
            }
        });
        drop(log);
        let (log, found) = open(dir.path(), policy).unwrap();
        let order = order.into_inner().unwrap();
        assert_eq!(found[found.len() - order.len()..], order);
        log.close().unwrap();
    }
}

#[test]
fn a_directory_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), SyncPolicy::No).unwrap();
    assert!(matches!(
        open(dir.path(), SyncPolicy::No),
        Err(OpenError::Locked(_))
    ));
    drop(log);
    open(dir.path(), SyncPolicy::No).unwrap();
}

#[test]
fn a_rewrite_replaces_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), SyncPolicy::EverySecond).unwrap();
    log.append(&mut unit(0, &["SET", "a", "1"]), 0);
    let start = log.rotate();
    let path = log.temporary_base();
    log.append(&mut unit(3, &["SET", "b", "2"]), 0);
    fs::write(&path, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n").unwrap();
    log.finish_rewrite(&path, BaseFormat::Resp, start).unwrap();
    log.close().unwrap();
    drop(log);
    let append = dir.path().join("appendonlydir");
    let mut names: Vec<_> = fs::read_dir(&append)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "appendonly.aof.1.base.aof",
        "appendonly.aof.2.incr.aof",
        "appendonly.aof.manifest",
    ];
    assert_eq!(names, expected);
    check_with_redis(&append.join("appendonly.aof.manifest"));
    let (_, found) = open(dir.path(), SyncPolicy::No).unwrap();
    assert_eq!(found, ["0: SET a 1", "3: SET b 2"]);
}

#[test]
fn files_of_redis_are_read_and_a_torn_end_is_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let append = dir.path().join("appendonlydir");
    fs::create_dir(&append).unwrap();
    let manifest = "file appendonly.aof.4.base.rdb seq 4 type b\n\
        file appendonly.aof.8.incr.aof seq 8 type i\n\
        file appendonly.aof.9.incr.aof seq 9 type i\n";
    fs::write(append.join("appendonly.aof.manifest"), manifest).unwrap();
    fs::write(append.join("appendonly.aof.4.base.rdb"), "REDIS0011").unwrap();
    let select = "*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n";
    let del = "*2\r\n$3\r\ndel\r\n$1\r\na\r\n";
    let first = format!("#TS:1\r\n{select}*1\r\n$5\r\nMULTI\r\n{del}{del}*1\r\n$4\r\nEXEC\r\n");
    fs::write(append.join("appendonly.aof.8.incr.aof"), &first).unwrap();
    let torn = "*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nde";
    fs::write(
        append.join("appendonly.aof.9.incr.aof"),
        format!("{del}{torn}"),
    )
    .unwrap();

    let (log, found) = open(dir.path(), SyncPolicy::Always).unwrap();
    let expected = ["snapshot of 9 bytes", "2: del a; 2: del a", "0: del a"];
    assert_eq!(found, expected);
    let dropped = log.status().dropped.unwrap();
    assert_eq!(
        (dropped.offset, dropped.bytes),
        (del.len() as u64, torn.len() as u64)
    );
    assert_eq!(fs::read_to_string(&dropped.kept_in).unwrap(), torn);
    assert_eq!(log.appended().get(), (first.len() + del.len()) as u64);
    log.append(&mut unit(1, &["DEL", "b"]), 0);
    log.close().unwrap();
    drop(log);
    let (log, found) = open(dir.path(), SyncPolicy::Always).unwrap();
    assert_eq!(found[2..], ["0: del a", "1: DEL b"]);
    assert!(log.status().dropped.is_none());
}

/// Asks redis-check-aof, where it is installed.
fn check_with_redis(manifest: &Path) {
    if let Ok(output) = Command::new("redis-check-aof").arg(manifest).output() {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(
            text.contains("All AOF files and manifest are valid"),
            "{text}"
        );
    }
}
