//! The transcripts against everything: kvik, and the servers that define what they should say.

use std::path::PathBuf;

use kvik::Clock;

use crate::target::{MemoryTarget, Process, Product, SocketTarget};
use crate::transcript::play_all;

#[test]
#[ignore = "commands are still missing"]
fn in_process_for_1_thread() {
    play_in_process(1);
}

#[test]
#[ignore = "commands are still missing"]
fn in_process_for_2_threads() {
    play_in_process(2);
}

#[test]
#[ignore = "commands are still missing"]
fn in_process_for_8_threads() {
    play_in_process(8);
}

fn play_in_process(threads: usize) {
    for protocol in [2, 3] {
        play_all(&MemoryTarget::new(threads, protocol, Clock::System));
    }
}

#[test]
fn redis_over_resp2() {
    play_on(Product::Redis, 2);
}

#[test]
fn redis_over_resp3() {
    play_on(Product::Redis, 3);
}

#[test]
fn valkey_over_resp2() {
    play_on(Product::Valkey, 2);
}

#[test]
fn valkey_over_resp3() {
    play_on(Product::Valkey, 3);
}

fn play_on(product: Product, protocol: u8) {
    let Some(program) = program(product) else {
        println!("no {product:?} here to compare with");
        return;
    };
    let process = Process::start(&program, &["--enable-debug-command", "local"])
        .expect("a server that starts");
    let target = SocketTarget::new(&process, product, protocol, "").expect("a server that answers");
    play_all(&target);
}

/// The program of a real server: named by the environment, or for Redis found in `PATH`.
fn program(product: Product) -> Option<PathBuf> {
    let variable = if product == Product::Redis {
        "KVIK_TEST_REDIS"
    } else {
        "KVIK_TEST_VALKEY"
    };
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let name = if product == Product::Redis {
        "redis-server"
    } else {
        "valkey-server"
    };
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}
