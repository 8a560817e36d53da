//! Nanoseconds for a get and a set from a shared handle, on one thread and on two: `cargo bench -p kvik`.
//!
//! 100,000 keys of 16 bytes with values of 32, visited in random order. Prints CSV. With more threads a figure is the time
//! in which each of them does one, divided by their number: what one operation takes of all of them together.

#![allow(clippy::print_stdout, reason = "it prints its results")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use kvik::{Db, Options};

const KEYS: u64 = 100_000;
const VALUE: [u8; 32] = [b'v'; 32];
const OPERATIONS: usize = 4_000_000;
const ROUNDS: usize = 5;

type Key = [u8; 16];

fn key(number: u64) -> Key {
    let text = format!("key:{number:012}");
    text.as_bytes().try_into().expect("16 bytes")
}

/// Keys in random order, another one for each thread.
fn visits(thread: u64) -> Vec<Key> {
    let mut state = 88_172_645_463_325_252 + thread;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        key(state % KEYS)
    };
    (0..OPERATIONS).map(|_| next()).collect()
}

/// Nanoseconds for each operation of all threads together, the best of some rounds.
fn time(visits: &[Vec<Key>], work: impl Fn(&Key, &mut Vec<u8>) + Sync) -> f64 {
    let round = || {
        let start = Barrier::new(visits.len() + 1);
        thread::scope(|scope| {
            let threads: Vec<_> = visits
                .iter()
                .map(|keys| {
                    let (start, work) = (&start, &work);
                    scope.spawn(move || {
                        let mut buffer = Vec::new();
                        start.wait();
                        keys.iter().for_each(|key| work(key, &mut buffer));
                    })
                })
                .collect();
            start.wait();
            let began = Instant::now();
            threads.into_iter().for_each(|thread| {
                thread.join().expect("the work does not panic");
            });
            began.elapsed().as_nanos() as f64 / (OPERATIONS * visits.len()) as f64
        })
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn main() {
    let db = Db::open(Options::default());
    (0..KEYS).for_each(|number| db.set(&key(number), &VALUE));
    println!("threads,get_into_ns,get_ns,set_ns");
    for threads in [1, 2] {
        let visits: Vec<_> = (0..threads).map(visits).collect();
        let get_into = time(&visits, |key, buffer| {
            let found = db.get_into(key, buffer);
            assert!(black_box(found).expect("a string"));
        });
        let get = time(&visits, |key, _| {
            black_box(db.get(key).expect("a string"));
        });
        let set = time(&visits, |key, _| db.set(key, &VALUE));
        println!("{threads},{get_into:.1},{get:.1},{set:.1}");
    }
}
