//! Clients that cache what they read: when the writers have ended, every copy is what the server
//! has.
//!
//! A copy that stays stale shows that an invalidation was lost, or came before the reply with the
//! value that it was about.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kvik_resp::Value;
use kvik_server::Server;

use crate::reactor::{on_each, until};
use crate::target::Wire;

const KEYS: usize = 12;
const WRITES: usize = 1200;
/// GETs sent at once.
const BATCH: usize = 6;

/// A client with a cache of its own.
struct Cacher {
    wire: Wire,
    /// Asks before each batch that its reads be cached.
    opts_in: bool,
    copies: HashMap<Vec<u8>, Value>,
    invalidations: usize,
    random: u64,
}

impl Cacher {
    fn new(port: u16, tracking: &str, seed: u64) -> Self {
        let mut wire = Wire::open(port);
        wire.ask("HELLO 3");
        let reply = wire.ask(&format!("CLIENT TRACKING ON {tracking}"));
        assert_eq!(reply.as_str(), Some("OK"), "{tracking}");
        Self {
            wire,
            opts_in: tracking == "OPTIN",
            copies: HashMap::new(),
            invalidations: 0,
            random: seed,
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(1);
        (self.random >> 33) as usize % below
    }

    /// Reads some keys that it has no copy of.
    fn read(&mut self) {
        let mut keys = Vec::new();
        for _ in 0..BATCH {
            let key = format!("key:{}", self.draw(KEYS)).into_bytes();
            if !self.copies.contains_key(&key) && !keys.contains(&key) {
                keys.push(key);
            }
        }
        let caching: &[u8] = if self.opts_in {
            b"CLIENT CACHING YES\r\n"
        } else {
            b""
        };
        let gets = keys
            .iter()
            .map(|key| [caching, b"GET ", key, b"\r\n"].concat());
        self.wire.send(&gets.collect::<Vec<_>>().concat());
        for key in keys {
            if self.opts_in {
                self.reply();
            }
            let value = self.reply();
            self.copies.insert(key, value);
        }
    }

    /// The next reply; what comes before is obeyed.
    fn reply(&mut self) -> Value {
        loop {
            match self.wire.reply().expect("a reply") {
                Value::Push(push) => self.obey(&push),
                reply => return reply,
            }
        }
    }

    fn obey(&mut self, push: &[Value]) {
        self.invalidations += 1;
        match push {
            [_, Value::Array(keys)] => {
                for key in keys {
                    self.copies.remove(key.as_bytes().expect("a key"));
                }
            }
            [_, Value::Null] => self.copies.clear(),
            other => panic!("no invalidation: {other:?}"),
        }
    }

    fn ping(&mut self) {
        self.wire.send(b"PING\r\n");
        self.reply();
    }

    fn is_coherent(&mut self, control: &mut Wire) -> bool {
        // What is on its way comes before one of the replies.
        self.ping();
        let mut copies = self.copies.iter();
        copies.all(|(key, value)| {
            let key = String::from_utf8_lossy(key);
            control.ask(&format!("GET {key}")) == *value
        })
    }
}

fn write(port: u16, writer: usize) {
    let mut wire = Wire::open(port);
    let mut random = writer as u64;
    for number in 0..WRITES {
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        let key = (random >> 33) as usize % KEYS;
        let other = (random >> 43) as usize % KEYS;
        match number % 16 {
            0 => wire.ask(&format!("DEL key:{key}")),
            1 => wire.ask(&format!(
                "MSET key:{key} {writer}-{number} key:{other} {writer}-{number}"
            )),
            2 => wire.ask(&format!("PSETEX key:{key} 1 {writer}-{number}")),
            3 => wire.ask(&format!("RENAME key:{key} key:{other}")),
            4 if number % 64 == 4 => wire.ask("FLUSHALL"),
            _ => wire.ask(&format!("SET key:{key} {writer}-{number}")),
        };
    }
}

#[test]
fn copies_are_never_stale_for_long() {
    on_each(&[1, 2, 8], &[], |server| check(&server, 0));
}

#[test]
fn copies_are_never_stale_where_the_table_is_too_small() {
    let settings = ["--tracking-table-max-keys", "4"];
    on_each(&[2], &settings, |server| check(&server, 4));
}

#[test]
fn copies_wait_for_the_log_and_are_not_stale() {
    let settings = ["--appendonly", "yes", "--appendfsync", "always"];
    on_each(&[2], &settings, |server| check(&server, 0));
}

fn check(server: &Server, most: i64) {
    let port = server.addresses()[0].port();
    let modes = [
        "",
        "BCAST",
        "OPTIN",
        "BCAST PREFIX key:1 PREFIX key:2",
        "NOLOOP",
    ];
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = modes
            .iter()
            .enumerate()
            .map(|(seed, mode)| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut cacher = Cacher::new(port, mode, seed as u64);
                    while !is_over.load(Ordering::Acquire) {
                        cacher.read();
                        cacher.ping();
                    }
                    cacher
                })
            })
            .collect();
        let writers: Vec<_> = (0..2)
            .map(|writer| scope.spawn(move || write(port, writer)))
            .collect();
        for writer in writers {
            writer.join().expect("a writer without fault");
        }
        is_over.store(true, Ordering::Release);
        let mut control = Wire::open(port);
        for (mode, reader) in modes.iter().zip(readers) {
            let mut cacher = reader.join().expect("a reader without fault");
            if mode.contains("PREFIX") {
                // It knows of no other key.
                let is_told = |key: &[u8]| key.starts_with(b"key:1") || key.starts_with(b"key:2");
                cacher.copies.retain(|key, _| is_told(key));
            }
            until(&format!("{mode} is coherent"), || {
                cacher.is_coherent(&mut control)
            });
            assert!(cacher.invalidations > 0, "{mode} was told of nothing");
        }
        let info = control.ask("INFO stats");
        let info = info.as_str().unwrap_or_default().to_owned();
        let figure = |name: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(name));
            value
                .and_then(|value| value.parse::<i64>().ok())
                .expect("a figure")
        };
        let keys = figure("tracking_total_keys:");
        assert!(most == 0 || keys <= most, "{keys} keys are tracked");
        control.ask("FLUSHALL");
        let info = control.ask("INFO stats");
        let text = info.as_str().unwrap_or_default();
        assert!(text.contains("tracking_total_keys:0\r\n"), "{text}");
        assert!(text.contains("tracking_total_items:0\r\n"), "{text}");
    });
}
