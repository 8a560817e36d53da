//! Clients that die while they are blocked or are being served: no element is lost, and none comes
//! twice.
//!
//! A client that moves its element leaves it in the store, whether it lives to hear of it or not;
//! so after any number of deaths all elements are there, each once. One that takes its element may
//! take it to the grave, but never more than the one, and never one that somebody else gets too.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use kvik_command::Random;
use kvik_resp::Value;
use kvik_server::Server;

use crate::reactor::{on_each, open, until};
use crate::target::Wire;

const THREADS: [usize; 3] = [1, 2, 8];
const PUSHERS: u64 = 2;
const PUSHES: u64 = 1000;
const DYING: u64 = 3;

#[test]
fn a_moved_element_is_always_somewhere() {
    on_each(&THREADS, &[], |server| {
        let run = Run::new(&server);
        let taken = run.play("BLMOVE queue moved LEFT RIGHT 0");
        let mut control = open(&server);
        let moved = elements(&control.ask("LRANGE moved 0 -1"));
        let left = elements(&control.ask("LRANGE queue 0 -1"));
        let mut all: Vec<u64> = [taken, moved, left].concat();
        all.sort_unstable();
        assert_eq!(all, (0..PUSHERS * PUSHES).collect::<Vec<_>>());
        run.check_all_quiet(&mut control);
    });
}

#[test]
fn a_taken_element_comes_once_and_costs_one_death() {
    on_each(&THREADS, &[], |server| {
        let run = Run::new(&server);
        let taken = run.play("BLPOP other queue 0");
        let mut control = open(&server);
        let left = elements(&control.ask("LRANGE queue 0 -1"));
        let seen = taken.len() + left.len();
        let all: BTreeSet<u64> = [taken, left].concat().into_iter().collect();
        assert_eq!(all.len(), seen, "none comes twice");
        let lost = PUSHERS * PUSHES - seen as u64;
        let deaths = run.deaths.load(Ordering::Relaxed);
        assert!(
            lost <= deaths,
            "{lost} elements are lost with {deaths} clients"
        );
        run.check_all_quiet(&mut control);
    });
}

/// One server, and what happens to it.
struct Run {
    port: u16,
    is_over: AtomicBool,
    /// Clients that have died without reading a reply.
    deaths: AtomicU64,
}

impl Run {
    fn new(server: &Server) -> Self {
        Self {
            port: server.addresses()[0].port(),
            is_over: AtomicBool::new(false),
            deaths: AtomicU64::new(0),
        }
    }

    /// Pushes all elements while clients that send `command` die, and others live on. Returns the
    /// elements that clients have read which took them.
    fn play(&self, command: &str) -> Vec<u64> {
        thread::scope(|scope| {
            let pushers: Vec<_> = (0..PUSHERS)
                .map(|number| scope.spawn(move || self.push(number)))
                .collect();
            let dying: Vec<_> = (0..DYING)
                .map(|number| scope.spawn(move || self.die(number, command)))
                .collect();
            let living = scope.spawn(|| self.live());
            pushers
                .into_iter()
                .for_each(|it| it.join().expect("a pusher"));
            self.is_over.store(true, Ordering::Relaxed);
            let taken = dying.into_iter().map(|it| it.join().expect("a client"));
            let mut taken: Vec<u64> = taken.flatten().collect();
            taken.extend(living.join().expect("a client"));
            taken
        })
    }

    fn push(&self, number: u64) {
        let mut client = Wire::open(self.port);
        for element in number * PUSHES..(number + 1) * PUSHES {
            client.ask(&format!("RPUSH queue {element}"));
            if element % 8 == 0 {
                thread::yield_now();
            }
        }
    }

    /// Connects, blocks and dies, again and again.
    fn die(&self, number: u64, command: &str) -> Vec<u64> {
        let (mut random, mut taken) = (Random::new(number), Vec::new());
        let takes = command.starts_with("BLPOP");
        while !self.is_over.load(Ordering::Relaxed) {
            let mut client = Wire::open(self.port);
            client.send(format!("{command}\r\n").as_bytes());
            let bits = random.bits();
            if bits % 4 == 0 {
                // It dies at once, before or after its command is read.
            } else if bits % 4 == 1 {
                thread::sleep(Duration::from_micros(bits % 1000));
            } else if let Some(reply) = reply_within(&mut client, bits % 3 + 1) {
                if takes {
                    taken.extend(elements(&reply).into_iter().next_back());
                }
                continue;
            }
            self.deaths.fetch_add(1, Ordering::Relaxed);
            if bits % 2 == 0 {
                // A reset instead of an end.
                let _ = client.stream.set_linger(Some(Duration::ZERO));
            }
        }
        taken
    }

    fn live(&self) -> Vec<u64> {
        let (mut client, mut taken) = (Wire::open(self.port), Vec::new());
        while !self.is_over.load(Ordering::Relaxed) {
            let reply = client.ask("BLPOP queue 0.05");
            taken.extend(elements(&reply).into_iter().next_back());
        }
        taken
    }

    /// Nobody waits any more, and nothing is left of those who did.
    fn check_all_quiet(&self, control: &mut Wire) {
        until("the dead are gone", || {
            let info = control.ask("INFO clients");
            let info = String::from_utf8_lossy(info.as_bytes().expect("text")).into_owned();
            info.contains("blocked_clients:0\r\n") && info.contains("total_blocking_keys:0\r\n")
        });
    }
}

/// The reply that comes within so many milliseconds.
fn reply_within(client: &mut Wire, ms: u64) -> Option<Value> {
    let patience = Some(Duration::from_millis(ms));
    client
        .stream
        .set_read_timeout(patience)
        .expect("a socket option");
    client.try_reply()
}

/// The numbers among the strings of an array.
fn elements(value: &Value) -> Vec<u64> {
    let values = value.as_slice().unwrap_or_default().iter();
    let texts = values.filter_map(Value::as_str);
    texts.filter_map(|text| text.parse().ok()).collect()
}
