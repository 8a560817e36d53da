//! MEMORY: where the bytes are.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use kvik_store::KeyspaceId;

use super::command::help;
use super::info::data_bytes;
use crate::declare::{Command, Group, KeyFlags, Locking, Row};
use crate::metric::{Look, human};
use crate::{Ctx, Error};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler| Command::new(name, syntax, handler).group(Group::Server);
    vec![
        Command::container("MEMORY")
            .group(Group::Server)
            .since("4.0.0")
            .complexity("Depends on subcommand.")
            .about("Commands about memory."),
        command("MEMORY DOCTOR", "", doctor)
            .locks(Locking::InTurn)
            .since("4.0.0")
            .complexity("O(1)")
            .tips(&[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ])
            .about("Says in words what is odd about memory."),
        command("MEMORY PURGE", "", purge)
            .since("4.0.0")
            .complexity("Depends on how much memory is allocated, could be slow")
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
            .about("Gives memory that is not used back to the system."),
        command("MEMORY STATS", "", stats)
            .locks(Locking::InTurn)
            .since("4.0.0")
            .complexity("O(1)")
            .tips(&[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ])
            .about("Returns where the bytes are."),
        command("MEMORY USAGE", "key [SAMPLES count]", usage)
            .readonly()
            .access(&[KeyFlags::RO])
            .since("4.0.0")
            .complexity("O(N) where N is the number of samples.")
            .about("Returns the bytes of a key and its value."),
        help("MEMORY HELP").since("4.0.0"),
    ]
}

fn usage(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.args.len() {
        3 => {}
        5 if ctx.is(3, "SAMPLES") => {
            // Counting is exact, so there is nothing to sample.
            if ctx.int(4)? < 0 {
                return Err(Error::SYNTAX);
            }
        }
        _ => return Err(Error::SYNTAX),
    }
    match ctx.keys.peek(ctx.key(2)) {
        Some(view) => ctx.reply.integer(view.bytes() as i64),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// Pages that are empty go back to the system by themselves, in slices, so there is nothing to do
/// that the caller could wait for.
fn purge(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.reply.ok();
    Ok(())
}

fn stats(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (data, counts) = (data_bytes(ctx), databases(ctx));
    let look = Look::new(ctx.engine, ctx.now_us, data);
    let keys: u64 = counts.iter().map(|db| db.keys).sum();
    let used = look.used_bytes();
    let figures = [
        ("peak.allocated", look.engine.rates.peak_bytes()),
        ("total.allocated", used),
        ("clients.normal", look.client_bytes),
        ("keys.count", keys),
        ("keys.bytes-per-key", data.checked_div(keys).unwrap_or(0)),
        ("dataset.bytes", data),
        ("process.resident", look.process.resident_bytes),
    ];
    let reply = &mut ctx.reply;
    reply.map(figures.len() + 2 + counts.len());
    for (name, value) in figures {
        reply.bulk_str(name);
        reply.integer(value as i64);
    }
    reply.bulk_str("dataset.percentage");
    reply.double(data as f64 * 100.0 / used.max(1) as f64);
    reply.bulk_str("fragmentation");
    reply.double(look.process.resident_bytes as f64 / used.max(1) as f64);
    for db in counts {
        reply.bulk_str(&format!("db.{}", db.id));
        reply.map(2);
        reply.bulk_str("keys");
        reply.integer(db.keys as i64);
        reply.bulk_str("bytes");
        reply.integer(db.bytes as i64);
    }
    Ok(())
}

/// The sizes of a database.
struct DbCount {
    id: u32,
    keys: u64,
    bytes: u64,
}

/// The databases that hold keys.
fn databases(ctx: &mut Ctx<'_>) -> Vec<DbCount> {
    let selected = ctx.keys.keyspace();
    let mut counts = Vec::new();
    for id in 0..ctx.engine.settings.databases.load(Relaxed) as u32 {
        ctx.keys.select(KeyspaceId(id));
        let (keys, bytes) = (ctx.keys.len() as u64, ctx.keys.bytes() as u64);
        counts.extend((keys > 0).then_some(DbCount { id, keys, bytes }));
    }
    ctx.keys.select(selected);
    counts
}

fn doctor(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let data = data_bytes(ctx);
    let look = Look::new(ctx.engine, ctx.now_us, data);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} are accounted for: {} of data and {} of client buffers. The process has {} resident.",
        human(look.used_bytes()),
        human(data),
        human(look.client_bytes),
        human(look.process.resident_bytes)
    );
    let peak = look.engine.rates.peak_bytes();
    if peak > look.used_bytes() * 3 / 2 && peak > MANY_BYTES {
        let _ = writeln!(
            text,
            "The peak was {}: resident memory may stay above what is used now.",
            human(peak)
        );
    }
    if look.client_bytes > MANY_BYTES && look.client_bytes > data {
        text += "Clients hold more than the data does: CLIENT LIST shows who (tot-mem).\n";
    }
    if look.process.resident_bytes > look.used_bytes() * 3 / 2 + MANY_BYTES {
        text += "Resident memory is far above what is used: memory of deleted keys has not gone back yet.\n";
    }
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Below so many bytes nothing is worth remarking on.
const MANY_BYTES: u64 = 16 << 20;
