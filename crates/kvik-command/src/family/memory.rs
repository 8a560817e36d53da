//! MEMORY: where the bytes are.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use kvik_store::{KeyspaceId, Sizes};

use super::command::help;
use crate::declare::{Command, Group, KeyFlags, Row};
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
            .since("4.0.0")
            .complexity("O(1)")
            .tips(&[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ])
            .about("Says in words what is odd about memory."),
        command("MEMORY MALLOC-STATS", "", malloc_stats)
            .loading()
            .since("4.0.0")
            .complexity("Depends on how much memory is allocated, could be slow")
            .tips(&[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ])
            .about("Says in words how much memory the stripes hold, and for what."),
        command("MEMORY PURGE", "", purge)
            .loading()
            .since("4.0.0")
            .complexity("Depends on how much memory is allocated, could be slow")
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
            .about("Gives memory that is not used back to the system."),
        command("MEMORY STATS", "", stats)
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

/// The figures of the store's own allocator, a line for each use of memory.
fn malloc_stats(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let look = Look::new(ctx.engine, ctx.now_us);
    let memory = look.memory;
    let lines = [
        ("keys and values", look.sizes.entry_bytes),
        ("tables", look.sizes.table_bytes),
        ("names of hashes' fields", memory.shapes),
        ("copies in progress", memory.copies),
        ("still to be freed", memory.doomed()),
        ("free between entries", memory.free),
        ("resident of the process", look.process.resident_bytes),
    ];
    let mut text = String::from("Bytes by use:\n");
    for (name, bytes) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{bytes:>16} {name}");
    }
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Empty pages of the store go back to the system by themselves, in slices, within a second. What
/// the allocator keeps for this thread is returned at once.
fn purge(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.engine.host.trim_allocator(true);
    ctx.reply.ok();
    Ok(())
}

fn stats(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let look = Look::new(ctx.engine, ctx.now_us);
    let counts = databases(ctx);
    let used = look.used_bytes();
    let sizes = look.sizes;
    let per_key = |bytes: u64| bytes.checked_div(sizes.keys).unwrap_or(0);
    let figures = [
        ("peak.allocated", look.engine.rates.peak_bytes()),
        ("total.allocated", used),
        ("startup.allocated", 0),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", look.client_bytes),
        ("aof.buffer", look.log_buffer_bytes()),
        ("snapshot.images", look.persistence.walk.buffer_bytes),
        ("overhead.db.hashtable.lut", sizes.table_bytes),
        ("doomed.bytes", look.memory.doomed()),
        ("copies.bytes", look.memory.copies),
        ("hash.templates", look.memory.shapes),
        ("free-cells.bytes", look.memory.free),
        ("overhead.total", look.overhead_bytes()),
        ("keys.count", sizes.keys),
        ("keys.bytes-per-key", per_key(sizes.bytes())),
        ("dataset.bytes", sizes.entry_bytes),
        ("process.resident", look.process.resident_bytes),
    ];
    let shares = [
        ("dataset.percentage", percentage(sizes.entry_bytes, used)),
        (
            "peak.percentage",
            percentage(used, look.engine.rates.peak_bytes()),
        ),
        (
            "fragmentation",
            look.process.resident_bytes as f64 / used.max(1) as f64,
        ),
    ];
    let reply = &mut ctx.reply;
    reply.map(figures.len() + shares.len() + 1 + counts.len());
    for (name, value) in figures {
        reply.bulk_str(name);
        reply.integer(value as i64);
    }
    for (name, value) in shares {
        reply.bulk_str(name);
        reply.double(value);
    }
    reply.bulk_str("fragmentation.bytes");
    reply.integer(look.process.resident_bytes as i64 - used as i64);
    for (db, sizes) in counts {
        reply.bulk_str(&format!("db.{db}"));
        reply.map(3);
        reply.bulk_str("keys");
        reply.integer(sizes.keys as i64);
        reply.bulk_str("bytes");
        reply.integer(sizes.bytes() as i64);
        reply.bulk_str("overhead.hashtable.main");
        reply.integer(sizes.table_bytes as i64);
    }
    Ok(())
}

fn percentage(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// The databases that hold keys or still have tables, with their sizes.
fn databases(ctx: &Ctx<'_>) -> Vec<(u32, Sizes)> {
    let all = 0..ctx.engine.settings.databases.load(Relaxed) as u32;
    let sizes = all.map(|db| (db, ctx.engine.totals.keyspace(KeyspaceId(db))));
    sizes
        .filter(|(_, sizes)| sizes.keys > 0 || sizes.table_bytes > 0)
        .collect()
}

fn doctor(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let look = Look::new(ctx.engine, ctx.now_us);
    let data = look.sizes.bytes();
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
