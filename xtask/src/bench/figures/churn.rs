//! Resident memory by live payload while the sizes of values change, and what is left when all keys
//! are deleted: whether memory comes back.

use std::thread;
use std::time::Duration;

use super::{Reading, Subject};
use crate::bench::load::{Blocking, encode};
use crate::bench::workload::Random;

const KEYS: usize = 100_000;
/// How often a key is written in a phase, on average.
const WRITES: usize = 6;
/// Bytes of the smallest and the largest value of each phase; sizes are spread evenly over their
/// logarithms.
const PHASES: &[(&str, usize, usize)] = &[
    ("10-300 B", 10, 300),
    ("100-3000 B", 100, 3000),
    ("10-60000 B", 10, 60_000),
    ("10-300 B again", 10, 300),
];
const NAME_BYTES: usize = 12;
const BATCH: usize = 300;
/// After a phase, and when everything has been deleted.
const PAUSE: Duration = Duration::from_secs(2);
const REST: Duration = Duration::from_secs(20);

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    let server = subject.start(&[])?;
    let mut client = Blocking::connect(&server)?;
    client.ask(&["PING"])?;
    thread::sleep(PAUSE);
    let empty = server.resident()?;
    let keys = subject.scaled(KEYS);
    let (mut sizes, mut random) = (vec![0; keys], Random::new(7));
    let reading = |case: &str, value, unit| Reading {
        name: "churn",
        case: case.to_owned(),
        keys,
        value_bytes: 0,
        value,
        unit,
    };
    let mut readings = Vec::new();
    for &(case, low, high) in PHASES {
        for _ in 0..(keys * WRITES).div_ceil(BATCH) {
            let mut commands = Vec::new();
            for _ in 0..BATCH {
                let key = random.below(keys);
                let size = spread(low, high, random.below(1 << 20));
                sizes[key] = size + NAME_BYTES;
                encode(&["SET", &name(key), &"x".repeat(size)], &mut commands);
            }
            client.exchange(&commands, BATCH)?;
        }
        thread::sleep(PAUSE);
        let resident = server.resident()?.saturating_sub(empty);
        let live: usize = sizes.iter().sum();
        readings.push(reading(
            case,
            resident as f64 / live as f64,
            "resident/live",
        ));
    }
    let all: Vec<usize> = (0..keys).collect();
    for keys in all.chunks(BATCH) {
        let mut commands = Vec::new();
        keys.iter()
            .for_each(|key| encode(&["DEL", &name(*key)], &mut commands));
        client.exchange(&commands, keys.len())?;
    }
    thread::sleep(REST);
    let left = server.resident()?.saturating_sub(empty);
    readings.push(reading("20 s after deleting", left as f64 / 1e6, "MB"));
    Ok(readings)
}

/// A size between two, `part` in 2^20 of the way from the logarithm of one to that of the other.
fn spread(low: usize, high: usize, part: usize) -> usize {
    let part = part as f64 / f64::from(1 << 20);
    (low as f64 * (high as f64 / low as f64).powf(part)) as usize
}

fn name(key: usize) -> String {
    format!("key:{key:08}")
}
