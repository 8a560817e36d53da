//! One operation through an interface of the library, so many times, for tools that count
//! instructions: `interfaces INTERFACE OPERATION ROUNDS`. The difference of two runs is what the
//! rounds cost.
//!
//! Interfaces: `direct` are methods of `Db`, `c` is the C ABI, `url` a client of `mem://`.
//! Operations: `get` into a buffer, `get-owned` as bytes of its own, `set`, `incr`, and `run-get`
//! and `run-incr`, which go through the command. Not every interface has all of them.

#![allow(clippy::unwrap_used, reason = "what fails here must end it")]
#![allow(clippy::print_stderr, reason = "it says how it is called")]

use std::hint::black_box;

use kvik::Db;
use kvik_client::Store;
use kvik_ffi::reply::{kvik_reply_bytes, kvik_reply_free, kvik_reply_integer};
use kvik_ffi::store::{KvikStore, kvik_close, kvik_get, kvik_open_memory, kvik_run, kvik_set};

const KEY: &[u8] = b"key:000000000042";
const NUMBER: &[u8] = b"number:000000042";
const VALUE: &[u8] = &[b'v'; 32];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [interface, operation, rounds] = &words[..] else {
        eprintln!("interfaces direct|c|url get|get-owned|set|incr|run-get|run-incr ROUNDS");
        return;
    };
    let rounds: u32 = rounds.parse().unwrap();
    match &interface[..] {
        "direct" => direct(operation, rounds),
        "c" => c(operation, rounds),
        _ => url(operation, rounds),
    }
}

fn repeat(rounds: u32, mut work: impl FnMut()) {
    (0..rounds).for_each(|_| work());
}

fn direct(operation: &str, rounds: u32) {
    let db = Db::memory();
    db.set(KEY, VALUE).unwrap();
    let mut buffer = Vec::with_capacity(64);
    match operation {
        "get" => repeat(rounds, || {
            black_box(db.get_into(black_box(KEY), &mut buffer).unwrap());
        }),
        "get-owned" => repeat(rounds, || {
            black_box(db.get(black_box(KEY)).unwrap());
        }),
        "set" => repeat(rounds, || db.set(black_box(KEY), VALUE).unwrap()),
        "incr" => repeat(rounds, || {
            assert!(db.increment(black_box(NUMBER), 1).unwrap() > 0);
        }),
        "run-get" => repeat(rounds, || {
            let reply = db.run(black_box(&[&b"GET"[..], KEY]));
            assert_eq!(reply.as_bytes().unwrap().len(), 32);
        }),
        "run-incr" => repeat(rounds, || {
            let reply = db.run(black_box(&[&b"INCR"[..], NUMBER]));
            assert!(reply.as_int().unwrap() > 0);
        }),
        _ => panic!("there is no {operation}"),
    }
}

/// The words of a command, as C has them.
fn run_c(store: *const KvikStore, words: &[&[u8]]) -> *mut kvik_ffi::reply::KvikReply {
    let pointers = [words[0].as_ptr(), words[1].as_ptr()];
    let lengths = [words[0].len(), words[1].len()];
    // SAFETY: the store is open, and both arrays have two elements that say what the words are.
    unsafe { kvik_run(store, 2, pointers.as_ptr(), lengths.as_ptr()) }
}

fn c(operation: &str, rounds: u32) {
    let store = kvik_open_memory();
    let mut buffer = [0u8; 64];
    let set = || {
        let key = black_box(KEY);
        // SAFETY: the store is open, and key and value have these lengths.
        let done = unsafe { kvik_set(store, key.as_ptr(), key.len(), VALUE.as_ptr(), VALUE.len()) };
        assert_eq!(done, 0);
    };
    set();
    match operation {
        "get" => repeat(rounds, || {
            let (key, room) = (black_box(KEY), buffer.len());
            // SAFETY: the store is open, the key has this length and the buffer this room.
            let length =
                unsafe { kvik_get(store, key.as_ptr(), key.len(), buffer.as_mut_ptr(), room) };
            assert_eq!(length, 32);
        }),
        "set" => repeat(rounds, set),
        "run-get" => repeat(rounds, || {
            let (reply, mut length) = (run_c(store, black_box(&[&b"GET"[..], KEY])), 0);
            // SAFETY: the reply has just been made, and is freed once.
            unsafe {
                black_box(kvik_reply_bytes(reply, &raw mut length));
                kvik_reply_free(reply);
            }
            assert_eq!(length, 32);
        }),
        "run-incr" => repeat(rounds, || {
            let reply = run_c(store, black_box(&[&b"INCR"[..], NUMBER]));
            // SAFETY: the reply has just been made, and is freed once.
            unsafe {
                assert!(kvik_reply_integer(reply) > 0);
                kvik_reply_free(reply);
            }
        }),
        _ => panic!("there is no {operation}"),
    }
    // SAFETY: it is open, and not used any more.
    unsafe { kvik_close(store) };
}

fn url(operation: &str, rounds: u32) {
    let mut client = Store::open("mem://").unwrap();
    client.set(KEY, VALUE).unwrap();
    match operation {
        "get-owned" => repeat(rounds, || {
            black_box(client.get(black_box(KEY)).unwrap());
        }),
        "set" => repeat(rounds, || client.set(black_box(KEY), VALUE).unwrap()),
        "incr" => repeat(rounds, || {
            assert!(client.incr(black_box(NUMBER)).unwrap() > 0);
        }),
        _ => panic!("there is no {operation}"),
    }
}
