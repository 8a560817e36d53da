//! DELPREFIX: deletes every key under a prefix in the background, paced, and may be stopped.

use crate::declare::{Category, Command, Group, Row};
use crate::prefix_jobs::PrefixJob;
use crate::{Ctx, Error};

/// Keys a job deletes in a second unless RATE says otherwise.
const USUAL_RATE: u64 = 100_000;

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler| {
        Command::new(name, syntax, handler)
            .group(Group::Generic)
            .also(Category::KEYSPACE | Category::DANGEROUS)
            .since("0.1.0")
            .complexity("O(1); the job walks all keys of the database")
    };
    vec![
        Command::container("DELPREFIX")
            .group(Group::Generic)
            .since("0.1.0")
            .complexity("Depends on subcommand.")
            .about("Deletes all keys under a prefix in the background."),
        command(
            "DELPREFIX START",
            "prefix [DRYRUN] [RATE keys-per-second]",
            start,
        )
        .write()
        .touches_arbitrary_keys()
        .about("Starts deleting, or counting, the keys that begin with a prefix."),
        command("DELPREFIX CANCEL", "id", cancel)
            .about("Ends a job. What it has deleted stays deleted."),
        command("DELPREFIX STATUS", "[id]", status)
            .tips(&["nondeterministic_output"])
            .about("Returns how far jobs have come."),
        super::command::help("DELPREFIX HELP").since("0.1.0"),
    ]
}

fn start(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (mut dry_run, mut rate) = (false, USUAL_RATE);
    let mut at = 3;
    while at < ctx.args.len() {
        if ctx.is(at, "DRYRUN") {
            dry_run = true;
        } else if ctx.is(at, "RATE") && at + 1 < ctx.args.len() {
            at += 1;
            rate = u64::try_from(ctx.int(at)?).map_err(|_| Error::NOT_POSITIVE)?;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    let (prefix, keyspace) = (&ctx.args[2], ctx.keys.keyspace());
    let jobs = &ctx.engine.prefix_jobs;
    let id = jobs.start(keyspace, prefix, dry_run, rate, ctx.now_us);
    let id = id.ok_or(Error::text("too many jobs are running"))?;
    ctx.engine.wake_upkeep();
    ctx.reply.integer(id as i64);
    Ok(())
}

fn cancel(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let id = u64::try_from(ctx.int(2)?).unwrap_or(0);
    let cancelled = ctx.engine.prefix_jobs.cancel(id);
    ctx.reply.integer(i64::from(cancelled));
    Ok(())
}

fn status(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let mut jobs = ctx.engine.prefix_jobs.all();
    if ctx.args.len() > 2 {
        let id = u64::try_from(ctx.int(2)?).unwrap_or(0);
        jobs.retain(|job| job.id == id);
        let job = jobs.first().ok_or(Error::text("no such job"))?;
        describe(ctx, job);
        return Ok(());
    }
    ctx.reply.array(jobs.len());
    jobs.iter().for_each(|job| describe(ctx, job));
    Ok(())
}

fn describe(ctx: &mut Ctx<'_>, job: &PrefixJob) {
    let reply = &mut ctx.reply;
    reply.map(10);
    let figures = [
        ("id", job.id),
        ("db", job.keyspace.0.into()),
        ("rate", job.rate),
        ("visited", job.visited),
        ("matched", job.matched),
        ("deleted", job.deleted),
        ("started-ms", job.started_us / 1000),
        ("active-ms", job.active_us / 1000),
    ];
    for (name, figure) in figures {
        reply.bulk_str(name);
        reply.integer(figure as i64);
    }
    reply.bulk_str("prefix");
    reply.bulk(&job.prefix);
    reply.bulk_str("state");
    let dry_run = if job.dry_run { " (dry run)" } else { "" };
    reply.bulk_str(&format!("{}{dry_run}", job.state.name()));
}
