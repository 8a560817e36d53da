//! XINFO: what is known about a stream, its groups and their consumers.

use kvik_resp::Reply;
use kvik_store::{ConsumerRef, GroupRef, Limits, StreamEntry, StreamId, StreamRef};

use super::{write_entry, write_id};
use crate::{Ctx, Error};

/// Entries and pending entries that XINFO STREAM FULL shows if nothing is said.
const SHOWN: usize = 10;

pub(super) fn stream(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (full, now) = (full_option(ctx), ctx.now_ms());
    let limits = ctx.keys.sizes();
    let stream = super::stream(ctx.keys.read(ctx.key(2)))?.ok_or(Error::NO_SUCH_KEY)?;
    let reply = &mut ctx.reply;
    match full? {
        None => {
            reply.map(16);
            write_marks(reply, &stream);
            write_idempotence(reply, &stream, limits, now);
            reply.bulk(b"groups");
            reply.integer(stream.groups().len() as i64);
            reply.bulk(b"first-entry");
            write_or_null(reply, stream.range(StreamId::MIN, StreamId::MAX).next());
            reply.bulk(b"last-entry");
            let mut back = stream.range_back(StreamId::MIN, StreamId::MAX);
            write_or_null(reply, back.next());
        }
        Some(max) => {
            reply.map(15);
            write_marks(reply, &stream);
            write_idempotence(reply, &stream, limits, now);
            write_all(reply, &stream, max);
        }
    }
    Ok(())
}

/// How many entries FULL is to show, if it is asked for.
fn full_option(ctx: &Ctx<'_>) -> Result<Option<usize>, Error> {
    match ctx.args.len() {
        3 => Ok(None),
        4 if ctx.is(3, "FULL") => Ok(Some(SHOWN)),
        6 if ctx.is(3, "FULL") && ctx.is(4, "COUNT") => Ok(Some(match ctx.int(5)? {
            0 => usize::MAX,
            count => usize::try_from(count).unwrap_or(SHOWN),
        })),
        _ => Err(ctx.subcommand_error()),
    }
}

fn write_marks(reply: &mut Reply<'_>, stream: &StreamRef<'_>) {
    let nodes = stream.nodes() as i64;
    let mut number = |name: &str, value| {
        reply.bulk_str(name);
        reply.integer(value);
    };
    number("length", stream.len() as i64);
    number("radix-tree-keys", nodes);
    number("radix-tree-nodes", nodes + 1);
    reply.bulk(b"last-generated-id");
    write_id(reply, stream.last_id());
    reply.bulk(b"max-deleted-entry-id");
    write_id(reply, stream.max_deleted_id());
    reply.bulk(b"entries-added");
    reply.integer(stream.entries_added() as i64);
    reply.bulk(b"recorded-first-entry-id");
    write_id(reply, stream.first_id());
}

/// The figures about producers.
fn write_idempotence(reply: &mut Reply<'_>, stream: &StreamRef<'_>, limits: &Limits, now: u64) {
    let known = stream.idempotence();
    let terms = known.map_or((limits.idempotence_s(), limits.idempotence_len()), |it| {
        (it.duration_s(), it.max_len())
    });
    let (producers, entries) = known.map_or((0, 0), |it| it.tracked(now));
    for (name, value) in [
        ("idmp-duration", terms.0),
        ("idmp-maxsize", terms.1),
        ("pids-tracked", producers as u64),
        ("iids-tracked", entries as u64),
        ("iids-added", known.map_or(0, |it| it.added())),
        ("iids-duplicates", known.map_or(0, |it| it.duplicates())),
    ] {
        reply.bulk_str(name);
        reply.integer(value as i64);
    }
}

fn write_or_null(reply: &mut Reply<'_>, entry: Option<StreamEntry<'_>>) {
    match entry {
        Some(entry) => write_entry(reply, &entry),
        None => reply.null(),
    }
}

fn write_all(reply: &mut Reply<'_>, stream: &StreamRef<'_>, max: usize) {
    reply.bulk(b"entries");
    let (array, mut len) = (reply.deferred_array(), 0);
    for entry in stream.range(StreamId::MIN, StreamId::MAX).take(max) {
        write_entry(reply, &entry);
        len += 1;
    }
    reply.finish_array(array, len);
    reply.bulk(b"groups");
    reply.array(stream.groups().len());
    for group in stream.groups() {
        write_group(reply, &group, max);
    }
}

fn write_group(reply: &mut Reply<'_>, group: &GroupRef<'_>, max: usize) {
    reply.map(8);
    reply.bulk(b"name");
    reply.bulk(group.name());
    write_progress(reply, group);
    reply.bulk(b"pel-count");
    reply.integer(group.pending_len() as i64);
    reply.bulk(b"nacked-count");
    reply.integer(group.released_len() as i64);
    reply.bulk(b"pending");
    reply.array(group.pending_len().min(max));
    for pending in group.pending(StreamId::MIN).take(max) {
        reply.array(4);
        write_id(reply, pending.id);
        reply.bulk(pending.consumer);
        reply.integer(pending.delivered_ms as i64);
        reply.integer(pending.deliveries as i64);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumers_len());
    for consumer in group.consumers() {
        write_consumer(reply, &consumer, max);
    }
}

fn write_consumer(reply: &mut Reply<'_>, consumer: &ConsumerRef<'_>, max: usize) {
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(consumer.name());
    reply.bulk(b"seen-time");
    reply.integer(consumer.seen_ms() as i64);
    reply.bulk(b"active-time");
    reply.integer(consumer.active_ms().map_or(-1, |at| at as i64));
    reply.bulk(b"pel-count");
    reply.integer(consumer.pending_len() as i64);
    reply.bulk(b"pending");
    reply.array(consumer.pending_len().min(max));
    for pending in consumer.pending(StreamId::MIN).take(max) {
        reply.array(3);
        write_id(reply, pending.id);
        reply.integer(pending.delivered_ms as i64);
        reply.integer(pending.deliveries as i64);
    }
}

/// How far a group is.
fn write_progress(reply: &mut Reply<'_>, group: &GroupRef<'_>) {
    reply.bulk(b"last-delivered-id");
    write_id(reply, group.last_id());
    for (name, value) in [("entries-read", group.entries_read()), ("lag", group.lag())] {
        reply.bulk_str(name);
        match value {
            Some(value) => reply.integer(value),
            None => reply.null(),
        }
    }
}

pub(super) fn groups(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let stream = super::stream(ctx.keys.read(ctx.key(2)))?.ok_or(Error::NO_SUCH_KEY)?;
    let reply = &mut ctx.reply;
    reply.array(stream.groups().len());
    for group in stream.groups() {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(group.name());
        reply.bulk(b"consumers");
        reply.integer(group.consumers_len() as i64);
        reply.bulk(b"pending");
        reply.integer(group.pending_len() as i64);
        write_progress(reply, &group);
    }
    Ok(())
}

pub(super) fn consumers(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let now = ctx.now_ms() as i64;
    let stream = super::stream(ctx.keys.read(ctx.key(2)))?.ok_or(Error::NO_SUCH_KEY)?;
    let Some(group) = stream.group(&ctx.args[3]) else {
        return Err(super::group::no_group(ctx));
    };
    let reply = &mut ctx.reply;
    reply.array(group.consumers_len());
    for consumer in group.consumers() {
        let since = |at: u64| now - at as i64;
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        reply.bulk(b"pending");
        reply.integer(consumer.pending_len() as i64);
        reply.bulk(b"idle");
        reply.integer(since(consumer.seen_ms()).max(0));
        reply.bulk(b"inactive");
        reply.integer(consumer.active_ms().map_or(-1, since));
    }
    Ok(())
}
