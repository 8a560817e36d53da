//! News that reaches a connection from outside: messages and the progress of the log.

pub(crate) mod client;
mod held;
mod mail;
mod pubsub;

use crate::server::Server;
use client::start;

/// Checks a server with so many threads on each backend that this machine has.
fn on_each(threads: usize, settings: &[&str], check: impl Fn(&Server)) {
    for io in ["mio", "uring"] {
        match start(io, threads, settings) {
            Ok(server) => check(&server),
            Err(error) => println!("no server on {io}: {error}"),
        }
    }
}
