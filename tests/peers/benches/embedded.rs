//! Nanoseconds for an operation of kvik's embedded store and of kevy-embedded, in one run:
//! `cargo bench --manifest-path tests/peers/Cargo.toml --bench embedded`.
//!
//! Keys of 16 bytes with values of 32, visited in random order. Rounds of both stores alternate;
//! the best of each counts. With two threads a figure is the time in which each does one operation,
//! divided by two. Prints CSV.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

const VALUE: [u8; 32] = [b'v'; 32];
const OPERATIONS: usize = 2_000_000;
const ROUNDS: usize = 4;
/// The first byte of counters, and how many there are at most.
const COUNTER: u8 = b'n';
const COUNTERS: u64 = 100_000;

type Key = [u8; 16];

/// Both stores with the same keys.
struct Stores {
    kvik: kvik::Db,
    kevy: kevy_embedded::Store,
}

/// Does an operation with a key.
type Work<'a> = &'a (dyn Fn(&Stores, &Key) + Sync);

/// An operation, by both stores.
struct Row<'a> {
    name: &'static str,
    /// Of the keys: those with `k` exist from the start.
    first_byte: u8,
    kvik: Work<'a>,
    kevy: Work<'a>,
}

const fn row(
    name: &'static str,
    first_byte: u8,
    kvik: Work<'static>,
    kevy: Work<'static>,
) -> Row<'static> {
    Row {
        name,
        first_byte,
        kvik,
        kevy,
    }
}

const KEVY_GET: Work<'static> =
    &|stores, key| drop(black_box(stores.kevy.get(key).expect("a string")));
const KVIK_GET: Work<'static> =
    &|stores, key| drop(black_box(stores.kvik.get(key).expect("a string")));

const ROWS: [Row<'static>; 5] = [
    row("get", b'k', KVIK_GET, KEVY_GET),
    row(
        "read in place",
        b'k',
        &|stores, key| {
            let read = stores.kvik.read(key, |value| value.map_or(0, <[u8]>::len));
            black_box(read.expect("a string"));
        },
        KEVY_GET,
    ),
    row("miss", b'm', KVIK_GET, KEVY_GET),
    row(
        "set",
        b'k',
        &|stores, key| stores.kvik.set(key, &VALUE).expect("nothing refuses it"),
        &|stores, key| assert!(stores.kevy.set(key, &VALUE).expect("nothing refuses it")),
    ),
    row(
        "incr",
        COUNTER,
        &|stores, key| assert!(stores.kvik.increment(key, 1).expect("a number") > 0),
        &|stores, key| assert!(stores.kevy.incr(key).expect("a number") > 0),
    ),
];

fn key(first_byte: u8, number: u64) -> Key {
    let mut key = *b".ey:....________";
    key[0] = first_byte;
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

fn fill(keys: u64) -> Stores {
    let config = kevy_embedded::Config::default();
    let stores = Stores {
        kvik: kvik::Db::memory(),
        kevy: kevy_embedded::Store::open(config).expect("nothing is opened"),
    };
    for number in 0..keys {
        let key = key(b'k', number);
        stores.kvik.set(&key, &VALUE).expect("nothing refuses it");
        stores.kevy.set(&key, &VALUE).expect("nothing refuses it");
    }
    stores
}

/// Nanoseconds for each operation of all threads together.
fn time(stores: &Stores, keys: u64, threads: u64, row: &Row<'_>, work: Work<'_>) -> f64 {
    let keys = match row.first_byte {
        COUNTER => keys.min(COUNTERS),
        _ => keys,
    };
    let keys = u128::from(keys);
    let start = Barrier::new(threads as usize);
    let run = |thread: u64| {
        let mut state = 88_172_645_463_325_252 + thread;
        start.wait();
        let began = Instant::now();
        for _ in 0..OPERATIONS {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let number = (u128::from(state) * keys) >> 64;
            work(stores, &key(row.first_byte, number as u64));
        }
        (began, Instant::now())
    };
    let run = &run;
    let times: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended
            .map(|it| it.expect("the work does not panic"))
            .collect()
    });
    let began = times.iter().map(|times| times.0).min();
    let ended = times.iter().map(|times| times.1).max();
    let elapsed = ended.zip(began).map(|(ended, began)| ended - began);
    elapsed.unwrap_or_default().as_nanos() as f64 / (OPERATIONS * times.len()) as f64
}

fn main() {
    println!("operation,keys,threads,kvik_ns,kevy_ns,ratio");
    for keys in [1_000, 100_000, 5_000_000] {
        let stores = fill(keys);
        for threads in [1, 2] {
            for row in &ROWS {
                let (mut kvik, mut kevy) = (f64::INFINITY, f64::INFINITY);
                for _ in 0..ROUNDS {
                    kvik = kvik.min(time(&stores, keys, threads, row, row.kvik));
                    kevy = kevy.min(time(&stores, keys, threads, row, row.kevy));
                }
                let (name, ratio) = (row.name, kvik / kevy);
                println!("{name},{keys},{threads},{kvik:.1},{kevy:.1},{ratio:.2}");
            }
        }
    }
}
