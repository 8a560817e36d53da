//! Nanoseconds for a get and a set from a shared handle, on one thread and on two: `cargo bench -p
//! kvik`.
//!
//! 100,000 keys of 16 bytes with values of 32, or as many as the argument says, visited in random
//! order. Prints CSV. With more threads a figure is the time in which each of them does one,
//! divided by their number: what one operation takes of all of them together.
//!
//! With `--steps` it times nothing and does what the lines of its input say, for tools that count
//! instructions.

#![allow(clippy::print_stdout, reason = "it prints its results")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::io;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use kvik::Db;

const KEYS: u64 = 100_000;
const VALUE: [u8; 32] = [b'v'; 32];
const OPERATIONS: usize = 4_000_000;
const ROUNDS: usize = 5;

type Key = [u8; 16];

fn key(number: u64) -> Key {
    let mut key = *b"key:....________";
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

/// Visits keys in random order, other ones in each thread. The keys are made on the way: a list of
/// them would take the room in the caches that the store's own memory is to have.
fn visit(keys: u64, thread: u64, operations: usize, mut work: impl FnMut(&Key)) {
    let mut state = 88_172_645_463_325_252 + thread;
    for _ in 0..operations {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        work(&key(((u128::from(state) * u128::from(keys)) >> 64) as u64));
    }
}

/// Nanoseconds for each operation of all threads together, the best of some rounds.
fn time(keys: u64, threads: u64, work: impl Fn(&Key, &mut Vec<u8>) + Sync) -> f64 {
    let round = || {
        let start = Barrier::new(threads as usize);
        let times: Vec<(Instant, Instant)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|thread| {
                    let (start, work) = (&start, &work);
                    scope.spawn(move || {
                        let mut buffer = Vec::new();
                        start.wait();
                        let began = Instant::now();
                        visit(keys, thread, OPERATIONS, |key| work(key, &mut buffer));
                        (began, Instant::now())
                    })
                })
                .collect();
            let times = threads.into_iter().map(|thread| thread.join());
            times
                .map(|times| times.expect("the work does not panic"))
                .collect()
        });
        let began = times.iter().map(|times| times.0).min();
        let ended = times.iter().map(|times| times.1).max();
        let elapsed = ended
            .zip(began)
            .map(|(ended, began)| ended.duration_since(began));
        elapsed.unwrap_or_default().as_nanos() as f64 / (OPERATIONS * times.len()) as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// Does what each line of standard input says, an operation and how many of it (`get 1000`), and
/// answers each line when it is done; the first answer says that the keys are there.
fn steps(db: &Db, keys: u64) {
    println!("ready");
    let mut buffer = Vec::new();
    for line in io::stdin().lines() {
        let line = line.expect("the caller writes text");
        let (operation, count) = line.split_once(' ').expect("an operation and a number");
        let count = count.parse().expect("a number of operations");
        match operation {
            "get_into" => visit(keys, 0, count, |key| {
                assert!(black_box(db.get_into(key, &mut buffer)).expect("a string"));
            }),
            "get" => visit(keys, 0, count, |key| {
                black_box(db.get(key).expect("a string"));
            }),
            "set" => visit(keys, 0, count, |key| {
                db.set(key, &VALUE).expect("nothing refuses it");
            }),
            _ => panic!("no such operation"),
        }
        println!("done");
    }
}

fn main() {
    // cargo itself passes --bench.
    let keys = std::env::args().find_map(|word| word.parse().ok());
    let keys = keys.unwrap_or(KEYS);
    let db = Db::memory();
    let set = |key: &Key| db.set(key, &VALUE).expect("nothing refuses it");
    (0..keys).for_each(|number| set(&key(number)));
    if std::env::args().any(|word| word == "--steps") {
        return steps(&db, keys);
    }
    println!("keys,threads,get_into_ns,get_ns,set_ns");
    for threads in [1, 2] {
        let get_into = time(keys, threads, |key, buffer| {
            let found = db.get_into(key, buffer);
            assert!(black_box(found).expect("a string"));
        });
        let get = time(keys, threads, |key, _| {
            black_box(db.get(key).expect("a string"));
        });
        let set = time(keys, threads, |key, _| set(key));
        println!("{keys},{threads},{get_into:.1},{get:.1},{set:.1}");
    }
}
