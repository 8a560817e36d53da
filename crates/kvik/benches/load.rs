//! How fast a file loads: `cargo bench -p kvik --bench load`.
//!
//! A million keys of 16 bytes with values of 32, or as many as the argument says, from a file in
//! memory. Prints CSV: what is done, by how many threads, nanoseconds for each key and keys per
//! second.

#![allow(clippy::print_stdout, reason = "it prints its results")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::time::{Duration, Instant};

use kvik::{Db, LoadOptions, LoadProgress};
use kvik_rdb::{Compression, Crc64, FileWriter, KeyHeader, KeyUsage, ObjectType, Record, Splitter};

const KEYS: u64 = 1_000_000;
const ROUNDS: usize = 5;

type Pair = ([u8; 16], [u8; 32]);

/// Keys that count and values without a pattern.
fn pairs(keys: u64) -> Vec<Pair> {
    let mut state = 88_172_645_463_325_252u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let pair = |number: u64| {
        let mut key = *b"key:............";
        let mut rest = number;
        for digit in key[4..].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let mut value = [0; 32];
        for eight in value.chunks_exact_mut(8) {
            eight.copy_from_slice(&random().to_le_bytes());
        }
        (key, value)
    };
    (0..keys).map(pair).collect()
}

fn file(pairs: &[Pair], compression: Compression) -> Vec<u8> {
    let mut writer = FileWriter::new(compression, true);
    writer.database(0);
    writer.sizes(pairs.len() as u64, 0);
    for (key, value) in pairs {
        writer.key(&KeyHeader {
            key: key[..].into(),
            expire_at: None,
            usage: KeyUsage::Untold,
            object: ObjectType::String,
        });
        writer.encoder().string(value);
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
    let pairs = pairs(keys);
    let file_of = |compression| file(&pairs, compression);
    let file = file_of(Compression::Lzf);
    println!("work,threads,ns_per_key,keys_per_s");
    let report = |work: &str, threads: usize, time: Duration| {
        let ns = time.as_nanos() as f64 / keys as f64;
        println!("{work},{threads},{ns:.1},{:.0}", 1e9 / ns);
    };
    for (work, compression) in [
        ("save", Compression::Off),
        ("save compressed", Compression::Lzf),
    ] {
        let save = || timed(|| assert!(file_of(compression).len() as u64 > keys));
        report(work, 1, time(save));
    }
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
                let db = Db::memory();
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
