//! SLOWLOG and COMMANDLOG: commands that took long, or had a large request or reply.

use super::command::help;
use crate::command_log::Logged;
use crate::declare::{Command, Group, Row};
use crate::{Ctx, Error, Handler};

/// Entries that SLOWLOG GET returns when it is not told how many.
const DEFAULT_COUNT: usize = 10;

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler: Handler| {
        Command::new(name, syntax, handler)
            .group(Group::Server)
            .admin()
            .loading()
            .stale()
    };
    const TIPS: &[&str] = &["request_policy:all_nodes", "nondeterministic_output"];
    vec![
        Command::container("SLOWLOG")
            .group(Group::Server)
            .since("2.2.12")
            .complexity("Depends on subcommand.")
            .about("Commands about the slow log."),
        command("SLOWLOG GET", "[count]", get)
            .since("2.2.12")
            .complexity("O(N) where N is the number of entries returned")
            .changed(
                "4.0.0",
                "Added client IP address, port and name to the reply.",
            )
            .changed("8.10.0", "Added the number of arguments to the reply.")
            .changed("8.12.0", "Added the processor time to the reply.")
            .changed(
                "0.1.0",
                "Added how long the command was put off to the reply, and commands that waited for long.",
            )
            .tips(TIPS)
            .about("Returns the newest slow commands."),
        command("SLOWLOG LEN", "", len)
            .since("2.2.12")
            .complexity("O(1)")
            .tips(&[
                "request_policy:all_nodes",
                "response_policy:agg_sum",
                "nondeterministic_output",
            ])
            .about("Returns the number of slow commands kept."),
        command("SLOWLOG RESET", "", reset)
            .since("2.2.12")
            .complexity("O(N) where N is the number of entries in the slowlog")
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .about("Forgets all slow commands."),
        help("SLOWLOG HELP").since("6.2.0"),
        Command::container("COMMANDLOG")
            .group(Group::Server)
            .since("8.1.0")
            .complexity("Depends on subcommand.")
            .about("Commands about the logs of slow and of large commands."),
        command("COMMANDLOG GET", GET_SYNTAX, get_of_kind)
            .since("8.1.0")
            .complexity("O(N) where N is the number of entries returned")
            .tips(TIPS)
            .about("Returns the newest commands of a log."),
        command("COMMANDLOG LEN", KIND_SYNTAX, len_of_kind)
            .since("8.1.0")
            .complexity("O(1)")
            .tips(&[
                "request_policy:all_nodes",
                "response_policy:agg_sum",
                "nondeterministic_output",
            ])
            .about("Returns the number of commands in a log."),
        command("COMMANDLOG RESET", KIND_SYNTAX, reset_kind)
            .since("8.1.0")
            .complexity("O(N) where N is the number of entries in the commandlog")
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .about("Forgets all commands of a log."),
        help("COMMANDLOG HELP").since("8.1.0"),
    ]
}

const GET_SYNTAX: &str = "count:integer type:<SLOW|LARGE-REQUEST|LARGE-REPLY>";
const KIND_SYNTAX: &str = "type:<SLOW|LARGE-REQUEST|LARGE-REPLY>";

fn get(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let count = match ctx.args.len() {
        2 => DEFAULT_COUNT,
        3 => count(ctx)?,
        _ => return Err(ctx.subcommand_error()),
    };
    answer(ctx, Logged::Slow, count, true)
}

fn get_of_kind(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let count = count(ctx)?;
    let kind = kind(ctx, 3)?;
    answer(ctx, kind, count, false)
}

/// Answers with entries of a log. SLOWLOG of Redis 8.10 has the number of words as well, and that
/// of 8.12 the processor time, which here is nil where it was not measured. Last comes how long the
/// command waited before it ran.
fn answer(ctx: &mut Ctx<'_>, kind: Logged, count: usize, is_full: bool) -> Result<(), Error> {
    let entries = ctx.engine.command_log.newest(kind, count);
    let reply = &mut ctx.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.array(if is_full { 9 } else { 6 });
        reply.integer(entry.id as i64);
        reply.integer(entry.at_s as i64);
        reply.integer(entry.value as i64);
        reply.array(entry.words.len());
        entry.words.iter().for_each(|word| reply.bulk(word));
        reply.bulk_str(&entry.addr);
        reply.bulk(&entry.name);
        if is_full {
            reply.integer(entry.word_count as i64);
            match entry.cpu_us {
                Some(cpu_us) => reply.integer(cpu_us as i64),
                None => reply.null(),
            }
            reply.integer(entry.waited_us as i64);
        }
    }
    Ok(())
}

fn count(ctx: &Ctx<'_>) -> Result<usize, Error> {
    match ctx.int(2) {
        Ok(-1) => Ok(usize::MAX),
        Ok(count @ 0..) => Ok(count as usize),
        _ => Err(Error::text("count should be greater than or equal to -1")),
    }
}

fn kind(ctx: &Ctx<'_>, at: usize) -> Result<Logged, Error> {
    match ctx.args[at].to_ascii_lowercase().as_slice() {
        b"slow" => Ok(Logged::Slow),
        b"large-request" => Ok(Logged::LargeRequest),
        b"large-reply" => Ok(Logged::LargeReply),
        _ => Err(Error::text(
            "type should be one of the following: slow, large-request, large-reply",
        )),
    }
}

fn len(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer_len(ctx, Logged::Slow)
}

fn len_of_kind(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let kind = kind(ctx, 2)?;
    answer_len(ctx, kind)
}

fn answer_len(ctx: &mut Ctx<'_>, kind: Logged) -> Result<(), Error> {
    ctx.reply.integer(ctx.engine.command_log.len(kind) as i64);
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    clear(ctx, Logged::Slow)
}

fn reset_kind(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let kind = kind(ctx, 2)?;
    clear(ctx, kind)
}

fn clear(ctx: &mut Ctx<'_>, kind: Logged) -> Result<(), Error> {
    ctx.engine.command_log.clear(kind);
    ctx.reply.ok();
    Ok(())
}
