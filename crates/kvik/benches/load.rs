//! How fast a file loads: `cargo bench -p kvik --bench load`.
//!
//! A million keys of 16 bytes with values of 32, or as many as the argument says, from a file in memory. Prints CSV: what
//! is done, by how many threads, nanoseconds for each key and keys per second.

#![allow(clippy::print_stdout, reason = "it prints its results")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::time::{Duration, Instant};

use kvik::{Db, LoadOptions, LoadProgress, Options};
use kvik_rdb::{Compression, Crc64, FileWriter, KeyHeader, KeyUsage, ObjectType, Record, Splitter};

const KEYS: u64 = 1_000_000;
const ROUNDS: usize = 5;

fn file(keys: u64) -> Vec<u8> {
    let mut writer = FileWriter::new(Compression::Lzf, true);
    writer.database(0);
    writer.sizes(keys, 0);
    for number in 0..keys {
        let key = format!("key:{number:012}");
        writer.key(&KeyHeader {
            key: key.as_bytes().into(),
            expire_at: None,
            usage: KeyUsage::Untold,
            object: ObjectType::String,
        });
        let value = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        writer
            .encoder()
            .string(format!("{value:032x}").replace('0', "z").as_bytes());
    }
    writer.finish().bytes
}

fn split(file: &[u8], checks_sum: bool) -> u64 {
    let mut splitter = Splitter::new(checks_sum);
    let mut keys = 0;
    for block in file.chunks(1 << 20).scan(0, |end, block| {
        *end += block.len();
        Some(*end)
    }) {
        let start = splitter.offset() as usize;
        for record in splitter.split(&file[start..block]) {
            keys += u64::from(matches!(record, Ok(Record::Key(_))));
        }
    }
    keys
}

/// The best of some rounds.
fn time(mut work: impl FnMut() -> Duration) -> Duration {
    (0..ROUNDS).map(|_| work()).min().unwrap_or_default()
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn main() {
    // cargo itself passes --bench.
    let keys = std::env::args()
        .find_map(|word| word.parse().ok())
        .unwrap_or(KEYS);
    let file = file(keys);
    println!("work,threads,ns_per_key,keys_per_s");
    let report = |work: &str, threads: usize, time: Duration| {
        let ns = time.as_nanos() as f64 / keys as f64;
        println!("{work},{threads},{ns:.1},{:.0}", 1e9 / ns);
    };
    report("sum", 1, time(|| timed(|| assert_ne!(Crc64::of(&file), 1))));
    report(
        "split",
        1,
        time(|| timed(|| assert_eq!(split(&file, false), keys))),
    );
    report(
        "split and sum",
        1,
        time(|| timed(|| assert_eq!(split(&file, true), keys))),
    );
    for checks_sum in [false, true] {
        for threads in [1, 2] {
            let options = LoadOptions {
                threads,
                checks_sum,
                ..LoadOptions::default()
            };
            let load = || {
                let db = Db::open(Options::default());
                let progress = LoadProgress::default();
                let time = timed(|| {
                    db.load(&mut &*file, &options, &progress)
                        .map(drop)
                        .unwrap_or_else(|error| panic!("{error}"));
                });
                assert_eq!(progress.keys.into_inner(), keys);
                time
            };
            report(
                if checks_sum { "load and sum" } else { "load" },
                threads,
                time(load),
            );
        }
    }
}
