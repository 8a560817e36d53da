//! A server that is killed again and again while clients write, and what its next start finds.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like the test"
)]

#[allow(dead_code, reason = "each test uses a part")]
mod served;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use kvik_client::Value;

use served::{KVIK, Served, comes, free_port};

const CLIENTS: usize = 4;
/// Under `everysec` a client waits for the disk after so many transactions.
const FORCED_EVERY: u64 = 16;

fn start(dir: &Path, fsync: &str) -> Served {
    let port = free_port();
    let mut command = Command::new(KVIK);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.arg("--dir").arg(dir);
    command.args(["--appendonly", "yes", "--appendfsync", fsync]);
    command.args(["--save", "", "--auto-aof-rewrite-percentage", "0"]);
    Served::run(command, port).unwrap()
}

fn number(server: &Served, key: &str) -> u64 {
    match server.call(&["GET", key]) {
        Value::Bulk(text) => String::from_utf8(text).unwrap().parse().unwrap(),
        _ => 0,
    }
}

/// How far a client has come.
#[derive(Default)]
struct Counts {
    /// Transactions whose replies it has read.
    acknowledged: AtomicU64,
    /// Those of them that must be found.
    promised: AtomicU64,
}

impl Counts {
    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Counts two keys up together until the server is gone.
    fn go_on(&self, server: &Served, client: usize, is_forced: bool, is_over: &AtomicBool) {
        let (a, b) = (format!("a:{client}"), format!("b:{client}"));
        let mut connection = server.client();
        let mut call = |words: &[&str]| connection.call(words).ok();
        while !is_over.load(Ordering::Relaxed) {
            let sent = [&["MULTI"][..], &["INCR", &a], &["INCR", &b], &["EXEC"]];
            let replies = sent.map(&mut call);
            let Some(Some(Value::Array(counts))) = replies.last() else {
                return;
            };
            let count = counts[0].as_int().unwrap() as u64;
            self.acknowledged.store(count, Ordering::Relaxed);
            let must_wait = is_forced && count.is_multiple_of(FORCED_EVERY);
            if must_wait && call(&["WAITAOF", "1", "0", "0"]).is_none() {
                return;
            }
            if !is_forced || must_wait {
                self.promised.store(count, Ordering::Relaxed);
            }
        }
    }

    /// Looks at what a start has found, and goes on from there.
    fn check(&self, server: &Served, client: usize) {
        let found = number(server, &format!("a:{client}"));
        assert_eq!(found, number(server, &format!("b:{client}")), "half of one");
        let least = self.promised.load(Ordering::Relaxed);
        // The last transaction may have been done without its reply.
        let most = self.acknowledged() + 1;
        assert!((least..=most).contains(&found), "{found}: {least}..={most}");
        self.acknowledged.store(found, Ordering::Relaxed);
        self.promised.store(found, Ordering::Relaxed);
    }
}

/// Kills a server some times. In two rounds of three it is writing a file when the end comes.
fn kill_in_rounds(rounds: u64, fsync: &str) {
    let dir = tempfile::tempdir().unwrap();
    let clients: [Counts; CLIENTS] = Default::default();
    let sum = || -> u64 { clients.iter().map(Counts::acknowledged).sum() };
    for round in 0..rounds {
        let server = start(dir.path(), fsync);
        for (client, counts) in clients.iter().enumerate() {
            counts.check(&server, client);
        }
        let (until, is_over) = (sum() + 40 * (round % 4 + 1), AtomicBool::new(false));
        let was_reached = thread::scope(|scope| {
            for (client, counts) in clients.iter().enumerate() {
                let (server, is_over) = (&server, &is_over);
                let is_forced = fsync != "always";
                scope.spawn(move || counts.go_on(server, client, is_forced, is_over));
            }
            let mut was_reached = comes(|| sum() + 10 >= until);
            match round % 3 {
                0 => {}
                1 => drop(server.client().call(&["BGSAVE"])),
                _ => drop(server.client().call(&["BGREWRITEAOF"])),
            }
            was_reached &= comes(|| sum() >= until);
            server.kill();
            is_over.store(true, Ordering::Relaxed);
            was_reached
        });
        assert!(was_reached, "the clients do not get on in round {round}");
    }
    let server = start(dir.path(), fsync);
    for (client, counts) in clients.iter().enumerate() {
        counts.check(&server, client);
    }
}

#[test]
fn nothing_acknowledged_is_lost_under_always() {
    kill_in_rounds(7, "always");
}

#[test]
fn what_was_waited_for_is_kept_under_everysec() {
    kill_in_rounds(3, "everysec");
}
