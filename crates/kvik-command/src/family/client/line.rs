//! How CLIENT LIST and CLIENT INFO show a client. Fields of what the server does not have are
//! there, too, with the value that says so.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use crate::client::{Client, NOT_IN_MULTI};
use crate::declare::{Command, table};

/// A client's line in CLIENT LIST, without its end.
pub(super) fn describe(client: &Client, now_ms: u64) -> String {
    let names = client.names();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let queued = client.queued.load(Relaxed);
    let (input, room) = (
        client.input_bytes.load(Relaxed),
        client.input_capacity.load(Relaxed),
    );
    let (output, queued_bytes) = (
        client.output_bytes.load(Relaxed),
        client.queued_bytes.load(Relaxed),
    );
    let seconds = |since_ms: u64| now_ms.saturating_sub(since_ms) / 1000;
    let mut line = format!(
        "id={} addr={} laddr={} fd={}",
        client.id, client.addr, client.local_addr, client.fd
    );
    let mut add = |field: &str, value: &dyn std::fmt::Display| {
        write!(line, " {field}={value}").expect("a string takes all");
    };
    add("name", &text(&names.name));
    add("age", &seconds(client.connected_ms));
    add("idle", &seconds(client.active_ms.load(Relaxed)));
    add("flags", &flags(client));
    add("capa", &capabilities(client));
    add("db", &client.db.load(Relaxed));
    add("sub", &client.channels.load(Relaxed));
    add("psub", &client.patterns.load(Relaxed));
    add("ssub", &client.shard_channels.load(Relaxed));
    add(
        "multi",
        &if queued == NOT_IN_MULTI {
            -1
        } else {
            queued as i64
        },
    );
    add("watch", &client.watched.load(Relaxed));
    add("qbuf", &input);
    add("qbuf-free", &room.saturating_sub(input));
    add("argv-mem", &client.argument_bytes.load(Relaxed));
    add("multi-mem", &queued_bytes);
    add("rbs", &output);
    add("rbp", &client.output_peak.load(Relaxed));
    add("obl", &output);
    add("oll", &client.outputs.load(Relaxed));
    add("omem", &output);
    add("tot-mem", &client.memory_bytes());
    add("events", &if output > 0 { "rw" } else { "r" });
    add("cmd", &last_command(client));
    add("user", &names.user);
    add("redir", &client.redirect());
    add("resp", &client.protocol.load(Relaxed));
    add("lib-name", &text(&names.lib_name));
    add("lib-ver", &text(&names.lib_ver));
    add("io-thread", &client.thread.load(Relaxed));
    add("tot-net-in", &client.bytes_in.load(Relaxed));
    add("tot-net-out", &client.bytes_out.load(Relaxed));
    add("tot-cmds", &client.commands.load(Relaxed));
    add("pinned", &client.pinned.load(Relaxed));
    add("waited-ms", &(client.waited_us.load(Relaxed) / 1000));
    line
}

/// The letters of its flags, at least one.
pub(super) fn flags(client: &Client) -> String {
    let marks = [
        ('O', client.monitors.load(Relaxed)),
        ('P', client.is_subscribed()),
        ('x', client.queued.load(Relaxed) != NOT_IN_MULTI),
        ('b', client.is_blocked() && !client.is_unblocked()),
        ('t', client.tracking.is_on()),
        ('R', client.tracking.is_broken()),
        ('B', client.tracking.is_broadcast()),
        ('d', client.is_watch_dirty()),
        ('c', client.is_leaving()),
        ('u', client.is_unblocked()),
        ('U', client.fd >= 0 && client.addr.starts_with('/')),
        ('e', client.no_evict.load(Relaxed)),
        ('T', client.no_touch.load(Relaxed)),
        ('I', client.imports.load(Relaxed)),
    ];
    let set: String = marks
        .iter()
        .filter(|(_, is_set)| *is_set)
        .map(|(mark, _)| mark)
        .collect();
    if set.is_empty() { "N".into() } else { set }
}

/// The letters of what the client can do, as CLIENT CAPA has said.
pub(super) fn capabilities(client: &Client) -> &'static str {
    if client.can_redirect.load(Relaxed) {
        "r"
    } else {
        ""
    }
}

fn last_command(client: &Client) -> &'static str {
    let id = client.last_command.load(Relaxed).checked_sub(1);
    id.and_then(|id| table().commands().get(usize::from(id)))
        .map_or("NULL", Command::full_name)
}
