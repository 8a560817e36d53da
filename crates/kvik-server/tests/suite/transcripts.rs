//! The transcripts against everything: kvik, and the servers that define what they should say.

use kvik::{Clock, Options};
use kvik_command::declare::Command;
use kvik_command::table;

use crate::target::{
    MemoryTarget, Product, ScriptedTarget, SocketTarget, real_server, served, served_with,
};
use crate::transcript::{Exception, play_all, play_except, play_folder, sent_commands};

#[test]
fn in_process_for_1_thread() {
    play_in_process(1);
}

#[test]
fn in_process_for_2_threads() {
    play_in_process(2);
}

#[test]
fn in_process_for_8_threads() {
    play_in_process(8);
}

#[test]
fn every_command_has_a_transcript() {
    let sent = sent_commands();
    let is_sent = |command: &Command| {
        let name: Vec<u8> = command.last_word().to_ascii_uppercase().into();
        match command.container_id() {
            None => sent.iter().any(|[first, _]| *first == name),
            Some(id) => {
                let container = table().commands()[usize::from(id)].name();
                let container = container.to_ascii_uppercase().into();
                sent.contains(&[container, name])
            }
        }
    };
    let commands = table().commands().iter();
    let unsent = commands.filter(|command| !command.is_container() && !is_sent(command));
    let unsent: Vec<_> = unsent.map(Command::full_name).collect();
    assert!(unsent.is_empty(), "no transcript sends {unsent:?}");
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

/// What scripts are told otherwise than clients.
const NOT_FROM_LUA: &[Exception] = &[
    (
        "pubsub.txt",
        "A RESP2 client that listens may do little else",
        "the client calls EVAL, which the error names",
    ),
    (
        "script.txt",
        "Scripts and functions are shown in INFO",
        "the scripts that call the commands are counted as well",
    ),
    (
        "server.txt",
        "COMMANDLOG keeps commands with a large request and a large reply",
        "the reply of the script is as large, and is logged as well",
    ),
    (
        "server.txt",
        "MONITOR shows what others run",
        "the scripts that call the commands are shown as well",
    ),
];

#[test]
fn from_lua_for_1_thread() {
    play_from_lua(1, 2);
}

#[test]
fn from_lua_for_2_threads() {
    play_from_lua(2, 3);
}

#[test]
fn from_lua_for_8_threads() {
    play_from_lua(8, 2);
}

/// Plays every command that a script may call as a script that calls it: the reply is the same.
fn play_from_lua(threads: usize, protocol: u8) {
    let options = Options::default().threads(threads);
    let variant = format!(" for {threads} threads");
    let target = MemoryTarget::new(options, protocol, Clock::System, &variant);
    play_except(&ScriptedTarget::new(target), "commands", NOT_FROM_LUA);
}

/// The same where stripes hold the slots of a cluster.
#[test]
fn in_process_by_slots() {
    let options = Options::default().threads(2).by_slots();
    let of = |options, variant| MemoryTarget::new(options, 3, Clock::System, variant);
    play_all(&of(options.clone(), " by slots"));
    let both = options.namespaces();
    play_folder(&of(both, " by slots with namespaces"), "namespaces");
}

/// What concerns namespaces, and all else where there may be some.
#[test]
fn in_process_with_namespaces() {
    for (threads, protocol) in [(1, 2), (2, 3), (8, 3)] {
        let options = Options::default().threads(threads).namespaces();
        let variant = format!(" for {threads} threads with namespaces");
        let target = MemoryTarget::new(options, protocol, Clock::System, &variant);
        play_folder(&target, "namespaces");
        if threads == 2 {
            play_all(&target);
        }
    }
}

#[test]
fn served_with_namespaces() {
    for (io, threads) in [("mio", 1), ("mio", 8), ("uring", 2)] {
        match served_with(io, threads, &["--namespaces", "auto"]) {
            Ok(mut server) => {
                for protocol in [2, 3] {
                    server.speak(protocol);
                    play_folder(&server, "namespaces");
                }
            }
            Err(error) => println!("no server on {io}: {error}"),
        }
    }
}

#[test]
fn redis() {
    if let Some(server) = real_server(Product::Redis) {
        play_over_both_protocols(server);
    }
}

#[test]
fn valkey() {
    if let Some(server) = real_server(Product::Valkey) {
        play_over_both_protocols(server);
    }
}

#[test]
fn served_on_mio_by_1_thread() {
    play_served("mio", 1);
}

#[test]
fn served_on_mio_by_2_threads() {
    play_served("mio", 2);
}

#[test]
fn served_on_mio_by_8_threads() {
    play_served("mio", 8);
}

#[test]
fn served_on_uring_by_1_thread() {
    play_served("uring", 1);
}

#[test]
fn served_on_uring_by_2_threads() {
    play_served("uring", 2);
}

#[test]
fn served_on_uring_by_8_threads() {
    play_served("uring", 8);
}

/// Where the system has no io_uring the tests of that backend have nothing to say.
fn play_served(io: &str, threads: usize) {
    match served(io, threads) {
        Ok(server) => play_over_both_protocols(server),
        Err(error) if io == "uring" => println!("no io_uring here: {error}"),
        Err(error) => panic!("{error}"),
    }
}

fn play_over_both_protocols(mut server: SocketTarget) {
    for protocol in [2, 3] {
        server.speak(protocol);
        play_all(&server);
    }
}
