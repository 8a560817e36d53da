//! Streams: rows, and what the commands have in common.

mod claim;
mod deletion;
mod entries;
mod group;
mod ids;
mod info;
mod options;
mod pending;
mod producer;
mod read;
mod release;

use kvik_resp::Reply;
use kvik_store::{IntText, StreamEntry, StreamId, StreamRef, ValueRef, View};

use super::command::help;
use crate::declare::{Command, Group, KeyFlags, Row};
use crate::{Ctx, Error, ErrorText};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    [reads(), writes(), deliveries(), xgroup(), xinfo()]
        .into_iter()
        .flatten()
        .collect()
}

fn command(name: &'static str, syntax: &'static str, handler: crate::Handler) -> Row {
    Command::new(name, syntax, handler)
        .group(Group::Stream)
        .complexity("O(1)")
}

const RANGE: &str = "O(N) with N being the number of elements being returned. If N is constant (e.g. always asking for the \
     first 10 elements with COUNT), you can consider it O(1).";
const TRIMMED: &str = "O(N), with N being the number of evicted entries. Constant times are very small however, since \
     entries are organized in macro nodes containing multiple entries that can be released with a single deallocation.";
const NONDETERMINISTIC: &[&str] = &["nondeterministic_output"];

fn reads() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).readonly();
    vec![
        command("XLEN", "key", entries::xlen)
            .fast()
            .access(&[KeyFlags::RO])
            .since("5.0.0")
            .about("Returns the number of entries in a stream."),
        command(
            "XRANGE",
            "key start:string end:string [COUNT count]",
            entries::xrange,
        ).long()
        .since("5.0.0")
        .complexity(RANGE)
        .changed("6.2.0", "Added exclusive ranges.")
        .about("Returns the entries of a stream between two ids."),
        command(
            "XREVRANGE",
            "key end:string start:string [COUNT count]",
            entries::xrevrange,
        ).long()
        .since("5.0.0")
        .complexity(RANGE)
        .changed("6.2.0", "Added exclusive ranges.")
        .about("Returns the entries of a stream between two ids, from the last on."),
        command(
            "XREAD",
            "[COUNT count] [BLOCK milliseconds] [MAXCOUNT maxcount:integer] [MAXSIZE maxsize:integer] \
             STREAMS key [key ...] id [id ...]",
            read::xread,
        ).long()
        .blocking()
        .served_by(read::has_news)
        .find_keys(read::keys)
        .since("5.0.0")
        .complexity("O(M) where M is the number of entries returned.")
        .about("Returns the entries of streams whose ids are larger than the ones given."),
    ]
}

fn writes() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).write();
    vec![
        command("XADD", XADD_SYNTAX, entries::xadd).long()
            .may_grow()
            .fast()
            .since("5.0.0")
            .complexity(
                "O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.",
            )
            .changed(
                "6.2.0",
                "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option.",
            )
            .changed("7.0.0", "Added support for the `<ms>-*` explicit ID form.")
            .tips(NONDETERMINISTIC)
            .about("Adds an entry to a stream."),
        command("XTRIM", XTRIM_SYNTAX, entries::xtrim).long()
            .access(&[KeyFlags::RW_DELETE])
            .since("5.0.0")
            .complexity(TRIMMED)
            .changed("6.2.0", "Added the `MINID` trimming strategy and the `LIMIT` option.")
            .tips(NONDETERMINISTIC)
            .about("Deletes entries from the front of a stream."),
        command("XDEL", "key id [id ...]", entries::xdel).long()
            .fast()
            .access(&[KeyFlags::RW_DELETE])
            .since("5.0.0")
            .complexity(
                "O(1) for each single item to delete in the stream, regardless of the stream size.",
            )
            .about("Deletes entries of a stream by their ids."),
        command(
            "XDELEX",
            "key [KEEPREF|DELREF|ACKED] IDS ids:<numids:integer id [id ...]>",
            deletion::xdelex,
        ).long()
        .fast()
        .access(&[KeyFlags::RW_DELETE])
        .since("8.2.0")
        .complexity(
            "O(1) for each single item to delete in the stream, regardless of the stream size.",
        )
        .about("Deletes entries of a stream with regard to the groups that refer to them."),
        command(
            "XCFGSET",
            "key [IDMP-DURATION duration:integer] [IDMP-MAXSIZE maxsize:integer]",
            producer::xcfgset,
        )
        .fast()
        .since("8.6.0")
        .about("Sets how long a stream knows the entries of its producers."),
        command("XIDMPRECORD", "key pid:string iid:string id", producer::xidmprecord)
            .may_grow()
            .fast()
            .since("8.8.0")
            .about("Notes which entry a producer has added. For replication."),
        command(
            "XSETID",
            "key last-id [ENTRIESADDED entries-added:integer] [MAXDELETEDID max-deleted-id]",
            entries::xsetid,
        )
        .may_grow()
        .fast()
        .since("5.0.0")
        .changed("7.0.0", "Added the `entries_added` and `max_deleted_entry_id` arguments.")
        .about("Sets the last id of a stream. For replication."),
    ]
}

const XADD_SYNTAX: &str = "key [NOMKSTREAM] [KEEPREF|DELREF|ACKED] [idmp:<IDMPAUTO pid:string|IDMP idmp-block:<pid:string \
     iid:string>>] [trim:<strategy:<MAXLEN|MINID> [operator:<=|~>] threshold [LIMIT count]>] id-selector:<*|id> field value [field value ...]";
const XTRIM_SYNTAX: &str = "key trim:<strategy:<MAXLEN|MINID> [operator:<=|~>] threshold [LIMIT count]> \
     [KEEPREF|DELREF|ACKED]";

fn deliveries() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler);
    vec![
        command("XREADGROUP", XREADGROUP_SYNTAX, read::xreadgroup).long()
            .write()
            .blocking()
            .access(&[KeyFlags::RO_ACCESS])
            .served_by(read::has_group_news)
            .find_keys(read::keys)
            .since("5.0.0")
            .complexity("O(M) where M is the number of entries returned.")
            .about("Delivers entries of streams to a consumer of a group."),
        command("XACK", "key group id [id ...]", group::xack).long()
            .write()
            .fast()
            .since("5.0.0")
            .complexity("O(1) for each message ID processed.")
            .about("Acknowledges entries that were delivered to a consumer of a group."),
        command(
            "XACKDEL",
            "key group [KEEPREF|DELREF|ACKED] IDS ids:<numids:integer id [id ...]>",
            deletion::xackdel,
        ).long()
        .write()
        .fast()
        .access(&[KeyFlags::RW_DELETE])
        .since("8.2.0")
        .complexity("O(1) for each message ID processed.")
        .about("Acknowledges entries and deletes them with regard to other groups."),
        command(
            "XNACK",
            "key group mode:<SILENT|FAIL|FATAL> IDS ids:<numids:integer id [id ...]> \
             [RETRYCOUNT count] [FORCE]",
            release::xnack,
        ).long()
        .write()
        .fast()
        .since("8.8.0")
        .complexity("O(1) for each message ID processed.")
        .about("Gives pending entries back, so that any consumer may claim them at once."),
        command(
            "XPENDING",
            "key group [filters:<[IDLE min-idle-time:integer] start:string end:string count [consumer]>]",
            pending::xpending,
        ).long()
        .readonly()
        .since("5.0.0")
        .complexity("O(N) with N being the number of elements returned, or looked at for IDLE.")
        .changed("6.2.0", "Added the `IDLE` option and exclusive range intervals.")
        .tips(NONDETERMINISTIC)
        .about("Returns which entries are delivered and not acknowledged."),
        command("XCLAIM", XCLAIM_SYNTAX, claim::xclaim).long()
            .write()
            .fast()
            .since("5.0.0")
            .complexity(
                "O(log N) with N being the number of messages in the PEL of the consumer group.",
            )
            .tips(NONDETERMINISTIC)
            .about("Hands delivered entries over to another consumer."),
        command(
            "XAUTOCLAIM",
            "key group consumer min-idle-time start:string [COUNT count] [JUSTID]",
            claim::xautoclaim,
        ).long()
        .write()
        .fast()
        .access(&[KeyFlags::RW_DELETE])
        .since("6.2.0")
        .complexity("O(1) if COUNT is small.")
        .changed(
            "7.0.0",
            "Added an element to the reply array, containing deleted entries the command cleared from the PEL",
        )
        .tips(NONDETERMINISTIC)
        .about("Hands entries that were delivered long ago over to another consumer."),
    ]
}

const XREADGROUP_SYNTAX: &str = "GROUP group-block:<group consumer> [COUNT count] [BLOCK milliseconds] [CLAIM min-idle-time] \
     [NOACK] [MAXCOUNT maxcount:integer] [MAXSIZE maxsize:integer] STREAMS key [key ...] id [id ...]";
const XCLAIM_SYNTAX: &str = "key group consumer min-idle-time id [id ...] [IDLE ms:integer] \
     [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]";

fn xgroup() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).write().since("5.0.0");
    vec![
        Command::container("XGROUP")
            .group(Group::Stream)
            .since("5.0.0")
            .complexity("Depends on subcommand.")
            .about("Commands about consumer groups."),
        command(
            "XGROUP CREATE",
            "key group id-selector:<id|$> [MKSTREAM] [ENTRIESREAD entriesread=entries-read:integer]",
            group::create,
        )
        .may_grow()
        .access(&[KeyFlags::RW_INSERT])
        .changed("7.0.0", "Added the `entries_read` named argument.")
        .about("Makes a consumer group."),
        command(
            "XGROUP SETID",
            "key group id-selector:<id|$> [ENTRIESREAD entriesread=entries-read:integer]",
            group::set_id,
        )
        .changed("7.0.0", "Added the optional `entries_read` argument.")
        .about("Sets the last id delivered to a consumer group."),
        command("XGROUP DESTROY", "key group", group::destroy)
            .access(&[KeyFlags::RW_DELETE])
            .complexity(
                "O(N) where N is the number of entries in the group's pending entries list (PEL).",
            )
            .about("Deletes a consumer group."),
        command(
            "XGROUP CREATECONSUMER",
            "key group consumer",
            group::create_consumer,
        )
        .may_grow()
        .access(&[KeyFlags::RW_INSERT])
        .since("6.2.0")
        .about("Makes a consumer of a group."),
        command(
            "XGROUP DELCONSUMER",
            "key group consumer",
            group::delete_consumer,
        )
        .whole()
        .access(&[KeyFlags::RW_DELETE])
        .about("Deletes a consumer of a group."),
        help("XGROUP HELP").since("5.0.0"),
    ]
}

fn xinfo() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).readonly().since("5.0.0");
    vec![
        Command::container("XINFO")
            .group(Group::Stream)
            .since("5.0.0")
            .complexity("Depends on subcommand.")
            .about("Commands that look inside streams."),
        command("XINFO CONSUMERS", "key group", info::consumers)
            .changed("7.2.0", "Added the `inactive` field, and changed the meaning of `idle`.")
            .tips(NONDETERMINISTIC)
            .about("Returns the consumers of a group."),
        command("XINFO GROUPS", "key", info::groups)
            .changed("7.0.0", "Added the `entries-read` and `lag` fields")
            .about("Returns the consumer groups of a stream."),
        command("XINFO STREAM", "key [FULL [COUNT count]]", info::stream)
            .changed("6.0.0", "Added the `FULL` modifier.")
            .changed(
                "7.0.0",
                "Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag` \
                 fields",
            )
            .changed(
                "7.2.0",
                "Added the `active-time` field, and changed the meaning of `seen-time`.",
            )
            .about("Returns what is known about a stream."),
        help("XINFO HELP").since("5.0.0"),
    ]
}

/// The stream that was found, if anything was.
fn stream<'v>(view: Option<View<'v>>) -> Result<Option<StreamRef<'v>>, Error> {
    match view.map(|view| view.value()) {
        None => Ok(None),
        Some(ValueRef::Stream(stream)) => Ok(Some(stream)),
        Some(_) => Err(Error::WrongType),
    }
}

/// Redis' refusal where neither key nor group may be missing.
fn no_group(ctx: &Ctx<'_>) -> Error {
    let text = ErrorText::quoting(&[
        b"No such key '",
        &ctx.args[1],
        b"' or consumer group '",
        &ctx.args[2],
        b"'",
    ]);
    Error::Coded("NOGROUP", text)
}

fn write_id(reply: &mut Reply<'_>, id: StreamId) {
    reply.bulk(&id.text());
}

fn write_entry(reply: &mut Reply<'_>, entry: &StreamEntry<'_>) {
    write_parts(reply, entry, 2);
}

/// Writes id and fields, the first two parts of an entry that consists of so many.
fn write_parts(reply: &mut Reply<'_>, entry: &StreamEntry<'_>, parts: usize) {
    let mut text = IntText::default();
    reply.array(parts);
    write_id(reply, entry.id());
    reply.array(2 * entry.len());
    for (field, value) in entry.fields() {
        reply.bulk(field.text(&mut text));
        reply.bulk(value.text(&mut text));
    }
}
