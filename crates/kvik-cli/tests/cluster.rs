//! Nodes of a cluster in a process of its own: the same files with and without them, and with other
//! threads; `redis-cli -c`, where it is installed, finds its way.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like the test"
)]

#[allow(dead_code, reason = "each test uses a part")]
mod served;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use kvik_client::{Store, Value};
use served::{KVIK, Served, text};

/// Ports that are free, one behind the other.
fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed) * 16 + std::process::id() * 139;
        let base = 10_000 + (turn % 20_000) as u16;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (base..=base + count).all(is_free) {
            return base;
        }
    }
}

/// A server on files, which may be there.
fn start(threads: u16, is_cluster: bool, dir: &Path) -> Served {
    let port = free_ports(threads);
    let mut command = Command::new(KVIK);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--threads", &threads.to_string(), "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "no", "--dir"]);
    command.arg(dir);
    if is_cluster {
        command.arg("--cluster");
    }
    Served::run(command, port).unwrap()
}

fn texts(reply: &Value) -> BTreeSet<String> {
    let words = reply.as_slice().unwrap().iter();
    words
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

/// Every step starts on the files of the one before, which had other threads, or nodes, or none.
#[test]
fn files_are_the_same_with_and_without_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = BTreeSet::new();
    let steps = [
        (2, false),
        (2, true),
        (8, true),
        (1, true),
        (8, false),
        (3, true),
        (1, false),
    ];
    for (step, (threads, is_cluster)) in steps.into_iter().enumerate() {
        let server = start(threads, is_cluster, folder.path());
        let scheme = if is_cluster { "kvik+cluster" } else { "kvik" };
        let port = server.port + u16::from(is_cluster);
        let mut client = Store::open(&format!("{scheme}://127.0.0.1:{port}")).unwrap();
        let found = texts(&server.call(&["KEYS", "*"]));
        assert_eq!(found, expected, "{threads} threads, nodes: {is_cluster}");
        for key in &expected {
            assert_eq!(client.get(key).unwrap().unwrap(), key.as_bytes());
        }
        for number in 0..60 {
            let key = format!("step{step}:{number}");
            client.set(&key, &key).unwrap();
            expected.insert(key);
        }
        if step > 0 {
            let gone = format!("step{}:7", step - 1);
            assert_eq!(deleted(&mut client, &gone), 1);
            expected.remove(&gone);
        }
        if is_cluster {
            check_counts(&server, &expected);
        }
        // Every other step ends with files of another kind: a base is written anew.
        if step % 2 == 1 {
            assert!(server.call(&["BGREWRITEAOF"]).as_error().is_none());
        }
        drop(client);
        server.terminate();
    }
}

fn deleted(client: &mut Store, key: &str) -> i64 {
    client.call(&["DEL", key]).unwrap().as_int().unwrap()
}

/// The counts of slots are those of the keys that there are.
fn check_counts(server: &Served, keys: &BTreeSet<String>) {
    let slots: BTreeSet<u16> = keys
        .iter()
        .map(|key| kvik::key_slot(key.as_bytes()))
        .collect();
    let mut client = server.client();
    let mut sum = 0;
    for slot in slots {
        let slot = slot.to_string();
        let count = client.call(&["CLUSTER", "COUNTKEYSINSLOT", &slot]).unwrap();
        let listed = client
            .call(&["CLUSTER", "GETKEYSINSLOT", &slot, "1000"])
            .unwrap();
        assert_eq!(count.as_int().unwrap() as usize, texts(&listed).len());
        sum += texts(&listed).intersection(keys).count();
    }
    assert_eq!(sum, keys.len());
}

#[test]
fn a_benchmark_finds_the_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(2, true, folder.path());
    let url = format!("redis+cluster://127.0.0.1:{}", server.port + 1);
    let words = [
        "bench", "-u", &url, "--secs", "0.1", "-c", "2", "-P", "4", "--keys", "50",
    ];
    let output = Command::new(KVIK).args(words).output().unwrap();
    let table = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for line in table.lines().filter(|line| line.contains("et  ")) {
        assert!(line.ends_with(" 0"), "{table}");
    }
    assert_eq!(server.call(&["DBSIZE"]).as_int(), Some(50));
}

#[test]
fn redis_cli_follows() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(3, true, folder.path());
    let node = (server.port + 1).to_string();
    for number in 0..10 {
        let (key, value) = (format!("k{number}"), number.to_string());
        let set = Command::new("redis-cli")
            .args(["-c", "-p", &node, "SET", &key, &value])
            .output();
        let Ok(set) = set else {
            eprintln!("there is no redis-cli: skipped");
            return;
        };
        assert_eq!(text(&set.stdout), "OK\n");
        assert_eq!(
            server.call(&["GET", &key]).as_bytes(),
            Some(value.as_bytes())
        );
    }
}
