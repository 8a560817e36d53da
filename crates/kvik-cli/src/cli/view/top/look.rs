//! One look at a server: what a page of `top` is drawn from, two of them for rates.

use std::time::Instant;

use kvik_client::{Client, Value};

use super::super::clock::now;
use super::super::info::Info;

/// Sections of INFO that a page uses.
const SECTIONS: [&str; 8] = [
    "server",
    "clients",
    "memory",
    "stats",
    "replication",
    "keyspace",
    "commandstats",
    "persistence",
];

/// A look at the server.
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) info: Info,
    pub(super) namespaces: Value,
    pub(super) prefixes: Value,
    pub(super) clients: String,
}

pub(super) fn look(client: &mut Client) -> anyhow::Result<Look> {
    let info = Info::ask(client, &SECTIONS)?;
    let commands = [
        vec!["NAMESPACE", "STATS"],
        vec!["STATS", "PREFIX"],
        vec!["CLIENT", "LIST"],
    ];
    let at = now();
    let mut replies = client.pipeline(&commands)?.into_iter();
    // An error is a server that does not know them, and is no table.
    let mut next = || replies.next().unwrap_or(Value::Null);
    let (namespaces, prefixes, clients) = (next(), next(), next());
    let clients = clients.as_bytes().unwrap_or_default();
    Ok(Look {
        at,
        info,
        namespaces,
        prefixes,
        clients: String::from_utf8_lossy(clients).into_owned(),
    })
}
