//! `kvik cli`: talk to a server from the shell.
//!
//! Three ways in, one way out: a command on the command line ([`one_shot`]), commands from a pipe
//! ([`batch`]) or a person at a terminal ([`repl`]) give replies, and [`format`] prints them.
//! Options, output and exit status are those of redis-cli, so its scripts keep working. What asks
//! again and again by itself, such as `top` and `--stat`, is a [`view`]. Not here: following MOVED
//! in a cluster.

mod batch;
mod format;
pub(crate) mod line;
mod one_shot;
pub(crate) mod repl;
pub(crate) mod settings;
pub(crate) mod view;

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use clap::ArgMatches;
use kvik_client::{Client, ClientError, Endpoint, Options, Value};

use crate::door::{self, Place};
use settings::Settings;

/// Exit status of a command line that makes no sense; clap uses the same.
const USAGE: u8 = 2;

/// Runs what the command line asks for.
pub(crate) fn run(matches: &ArgMatches) -> ExitCode {
    let url = matches.get_one::<String>("url");
    if let Some(mut place) = url.and_then(|url| Place::parse(url)) {
        place.password = settings::password(matches, place.password.take());
        let words = matches.get_many::<OsString>("command").unwrap_or_default();
        let command: Vec<_> = words.map(|word| word.as_bytes().to_vec()).collect();
        return door::run(&place, &command);
    }
    let settings = match Settings::from_matches(matches) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(USAGE);
        }
    };
    let viewed = view::run(matches, &settings);
    let finished = if let Some(finished) = viewed {
        finished
    } else if !settings.command.is_empty() {
        one_shot::run(settings)
    } else if io::stdin().is_terminal() {
        repl::run(settings)
    } else {
        batch::run(&settings)
    };
    finished.unwrap_or_else(report)
}

fn report(error: anyhow::Error) -> ExitCode {
    match error.downcast_ref::<io::Error>() {
        // Whoever read our output has seen enough, as `head` does.
        Some(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        _ => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Connects, and forgives a password given to a server that has none: scripts pass one everywhere.
fn connect(endpoint: &Endpoint, options: &Options) -> Result<Client, ClientError> {
    match Client::open(endpoint, options) {
        Err(ClientError::Refused {
            command: "AUTH",
            reply,
            // Such a server does not care who is there, so the rest of the handshake goes on
            // without.
        }) if reply.contains(NO_PASSWORD) => {
            eprintln!("Warning: the server asks for no password");
            let anonymous = Endpoint {
                username: None,
                password: None,
                ..endpoint.clone()
            };
            Client::open(&anonymous, options)
        }
        result => result,
    }
}

const NO_PASSWORD: &str = "without any password configured";

/// Whether a command's replies do not end: messages follow until the connection closes.
fn is_stream(command: &[&[u8]]) -> bool {
    const STREAMS: [&str; 4] = ["MONITOR", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"];
    command.first().is_some_and(|name| {
        STREAMS
            .iter()
            .any(|stream| name.eq_ignore_ascii_case(stream.as_bytes()))
    })
}

/// Whether `value` is the answer to a command, rather than a message that came in between.
/// UNSUBSCRIBE and its kin are answered by messages.
fn is_answer(command: &[&[u8]], value: &Value) -> bool {
    let name = command
        .first()
        .map(|name| name.to_ascii_uppercase())
        .unwrap_or_default();
    // In RESP2 a message of a channel is an array like any reply, and needs no telling apart:
    // nothing else is under way then.
    !matches!(value, Value::Push(_)) || name.ends_with(b"UNSUBSCRIBE")
}

/// Whether a command's reply is a text for people, which RESP2 does not tell from any other string.
fn is_report(command: &[&[u8]]) -> bool {
    const REPORTS: [&[&str]; 13] = [
        &["INFO"],
        &["LOLWUT"],
        &["CLIENT", "LIST"],
        &["CLIENT", "INFO"],
        &["CLUSTER", "INFO"],
        &["CLUSTER", "NODES"],
        &["MEMORY", "DOCTOR"],
        &["MEMORY", "MALLOC-STATS"],
        &["LATENCY", "DOCTOR"],
        &["LATENCY", "GRAPH"],
        &["PROXY", "INFO"],
        &["DEBUG", "HTSTATS"],
        &["DEBUG", "HTSTATS-KEY"],
    ];
    let starts_with = |words: &&[&str]| {
        words.len() <= command.len()
            && words
                .iter()
                .zip(command)
                .all(|(word, given)| given.eq_ignore_ascii_case(word.as_bytes()))
    };
    REPORTS.iter().any(starts_with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_recognized_by_their_first_words() {
        assert!(is_stream(&[b"subscribe", b"news"]));
        assert!(!is_stream(&[b"PUBSUB", b"CHANNELS"]));
        assert!(!is_stream(&[]));
        let push = Value::Push(Vec::new());
        assert!(is_answer(&[b"punsubscribe"], &push));
        assert!(!is_answer(&[b"GET", b"k"], &push));
        assert!(is_answer(&[b"GET", b"k"], &Value::Null));
        assert!(is_report(&[b"info", b"server"]));
        assert!(is_report(&[b"Client", b"List", b"TYPE", b"normal"]));
        assert!(!is_report(&[b"CLIENT"]));
        assert!(!is_report(&[b"CLIENT", b"GETNAME"]));
    }
}
