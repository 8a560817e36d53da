//! A sorted set of ten million members: the longest ZADD while it grows, and how long another
//! client waits while it is copied and renamed, and then while it is deleted, unlinked, and
//! expires.
//!
//! That client asks for a key of its own every 200 us. What it waits for besides is the machine:
//! `before` is the same while nothing happens, and on a busy one it takes `chrt -f` for the server
//! and the bench to see less of that. Whoever is at work for a second under it is stopped for 50 ms
//! by Linux (`kernel.sched_rt_runtime_us`): copying so many members takes some. `--scale 0.05` has
//! it done sooner.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::growth::slow_calls;
use super::{Reading, Subject};
use crate::bench::load::Blocking;
use crate::bench::workload::Random;
use crate::server::Server;

const MEMBERS: usize = 10_000_000;
const MEMBER_BYTES: usize = 16;
/// Commands sent together.
const BATCH: usize = 100;
/// How often the other client asks.
const INTERVAL: Duration = Duration::from_micros(200);
/// How long it does before, and from the end of the sorted set on until its memory must be free.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(5);
/// Commands that move the first one before its end. With so many stripes a name is nearly always in
/// another one.
const MOVES: [(&str, &[&str]); 3] = [
    ("COPY", &["COPY", "z", "copy"]),
    ("RENAME", &["RENAME", "z", "there"]),
    ("RENAME back", &["RENAME", "there", "z"]),
];
const ENDS: [&[&str]; 3] = [&["DEL", "z"], &["UNLINK", "z"], &["PEXPIRE", "z", "1"]];

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    let members = subject.scaled(MEMBERS);
    let reading = |name, case: &str, value, unit| Reading {
        name,
        case: case.to_owned(),
        keys: members,
        value_bytes: MEMBER_BYTES,
        value,
        unit,
    };
    let server = subject.start(&[
        "--slowlog-log-slower-than",
        "100",
        "--slowlog-max-len",
        "100000",
    ])?;
    let mut client = Blocking::connect(&server)?;
    let mut readings = Vec::new();
    for (number, end) in ENDS.into_iter().enumerate() {
        let case = end[0];
        client.ask(&["SLOWLOG", "RESET"])?;
        let preempted = server.preempted()?;
        let growth = while_another_waits(&server, || fill(&mut client, members))?;
        let slow_us = slow_calls(&server, "ZADD")?;
        let longest_us = slow_us.into_iter().max().unwrap_or(0);
        let preempted = server.preempted()? - preempted;
        readings.push(reading("longest ZADD", case, longest_us as f64, "us"));
        readings.push(reading("preempted", case, preempted as f64, "times"));
        let before = while_another_waits(&server, || {
            thread::sleep(BEFORE);
            Ok(())
        })?;
        let moves = if number == 0 { &MOVES[..] } else { &[] };
        for &(case, words) in moves {
            let waits_us = while_another_waits(&server, || {
                let began = Instant::now();
                client.ask(words)?;
                readings.push(reading("its own time", case, micros(began), "us"));
                Ok(())
            })?;
            readings.extend(of_waits(&waits_us).map(|(name, us)| reading(name, case, us, "us")));
            client.ask(&["UNLINK", "copy"])?;
            thread::sleep(AFTER);
        }
        let after = while_another_waits(&server, || {
            let began = Instant::now();
            client.ask(end)?;
            readings.push(reading("its own time", case, micros(began), "us"));
            thread::sleep(AFTER);
            Ok(())
        })?;
        for (when, waits_us) in [("growth", growth), ("before", before), ("after", after)] {
            let case = format!("{case} {when}");
            readings.extend(of_waits(&waits_us).map(|(name, us)| reading(name, &case, us, "us")));
        }
    }
    Ok(readings)
}

/// The figures about how long another one waited; the times are in order.
fn of_waits(waits_us: &[f64]) -> [(&'static str, f64); 2] {
    let at = |share: f64| waits_us[((waits_us.len() - 1) as f64 * share) as usize];
    [("other's p99.9", at(0.999)), ("other's longest", at(1.0))]
}

/// Adds members with random scores, a batch at a time.
fn fill(client: &mut Blocking, members: usize) -> anyhow::Result<()> {
    let mut random = Random::new(1);
    let mut commands = Vec::new();
    for from in (0..members).step_by(BATCH) {
        let batch = from..members.min(from + BATCH);
        commands.clear();
        for number in batch.clone() {
            let (score, member) = (random.below(1 << 30), format!("member:{number:09}"));
            let words = ["ZADD", "z", &score.to_string(), &member];
            let words: kvik_resp::ArgsBuf = words.iter().collect();
            kvik_resp::encode_command(words.as_args(), &mut commands);
        }
        client.exchange(&commands, batch.len())?;
    }
    Ok(())
}

/// Has another client ask for its own key again and again while something runs. Returns how long it
/// waited each time, in microseconds, in order.
fn while_another_waits(
    server: &Server,
    run: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<f64>> {
    let mut client = Blocking::connect(server)?;
    let done = AtomicBool::new(false);
    let mut waits_us = thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut waits_us = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let began = Instant::now();
                client.ask(&["GET", "another"])?;
                waits_us.push(micros(began));
                thread::sleep(INTERVAL.saturating_sub(began.elapsed()));
            }
            anyhow::Ok(waits_us)
        });
        let ran = run();
        done.store(true, Ordering::Relaxed);
        let waits_us = other.join().expect("the other client returns its errors");
        ran.and(waits_us)
    })?;
    waits_us.sort_by(f64::total_cmp);
    Ok(waits_us)
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}
