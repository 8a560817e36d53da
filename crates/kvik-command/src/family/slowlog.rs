//! SLOWLOG: commands that took long.

use super::command::help;
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
    ]
}

fn get(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let count = match ctx.args.len() {
        2 => DEFAULT_COUNT,
        3 => count(ctx)?,
        _ => return Err(ctx.subcommand_error()),
    };
    let entries = ctx.engine.slowlog.newest(count);
    let reply = &mut ctx.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.at_s as i64);
        reply.integer(entry.took_us as i64);
        reply.array(entry.words.len());
        entry.words.iter().for_each(|word| reply.bulk(word));
        reply.bulk_str(&entry.addr);
        reply.bulk(&entry.name);
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

fn len(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.reply.integer(ctx.engine.slowlog.len() as i64);
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.engine.slowlog.clear();
    ctx.reply.ok();
    Ok(())
}
