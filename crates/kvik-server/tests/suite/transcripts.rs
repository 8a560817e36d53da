//! The transcripts against everything: kvik, and the servers that define what they should say.

use kvik::{Clock, Options};

use crate::target::{MemoryTarget, Process, Product, SocketTarget, real_server};
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
        let options = Options::default().threads(threads);
        let variant = format!(" for {threads} threads");
        play_all(&MemoryTarget::new(
            options,
            protocol,
            Clock::System,
            &variant,
        ));
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
    let Some(program) = real_server(product) else {
        println!("no {product:?} here to compare with");
        return;
    };
    let process = Process::start(&program, &["--enable-debug-command", "local"])
        .expect("a server that starts");
    let target = SocketTarget::new(&process, product, protocol, "").expect("a server that answers");
    play_all(&target);
}
