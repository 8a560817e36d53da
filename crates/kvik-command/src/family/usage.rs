//! The keys that are used most, those that are largest, and figures by prefix: HOTKEYS, BIGKEYS and
//! STATS.

use std::sync::atomic::Ordering::Relaxed;

use super::command::help;
use crate::declare::{Command, Group, Row};
use crate::{Ctx, Error, Handler};

/// Keys shown unless COUNT says otherwise, and the most that are known.
const USUAL_COUNT: usize = 10;
const MOST_COUNT: i64 = 128;

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler: Handler| {
        Command::new(name, syntax, handler)
            .group(Group::Server)
            .admin()
            .since("0.1.0")
            .tips(&["nondeterministic_output"])
    };
    vec![
        command("HOTKEYS", "[COUNT count]", hotkeys)
            .complexity("O(T) where T is the number of threads")
            .about(
                "Returns the keys that are used most at present, from a sample of all commands.",
            ),
        command("BIGKEYS", "[COUNT count]", bigkeys)
            .complexity("O(1)")
            .about("Returns the largest keys, as a walk in the background finds them."),
        Command::container("STATS")
            .group(Group::Server)
            .since("0.1.0")
            .complexity("Depends on subcommand.")
            .about("Commands about figures."),
        command("STATS PREFIX", "[prefix]", prefix)
            .complexity("O(N) where N is the number of prefixes")
            .about("Returns keys, bytes, hits and misses under each prefix of stats-prefixes."),
        command("STATS RESET", "", reset)
            .complexity("O(1)")
            .about("Forgets what HOTKEYS and BIGKEYS know, and counts by prefix from zero."),
        help("STATS HELP").since("0.1.0"),
    ]
}

/// The number behind COUNT.
fn count(ctx: &Ctx<'_>) -> Result<usize, Error> {
    match ctx.args.len() {
        1 => Ok(USUAL_COUNT),
        3 if ctx.is(1, "COUNT") => match ctx.int(2)? {
            count @ 1..=MOST_COUNT => Ok(count as usize),
            _ => Err(Error::text("COUNT must be between 1 and 128")),
        },
        _ => Err(Error::SYNTAX),
    }
}

fn hotkeys(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let keys = ctx.engine.hot_keys.top(count(ctx)?, ctx.now_us / 1_000_000);
    ctx.reply.array(keys.len());
    for hot in keys {
        ctx.reply.map(4);
        ctx.reply.bulk_str("key");
        ctx.reply.bulk(&hot.key);
        ctx.reply.bulk_str("db");
        ctx.reply.integer(i64::from(hot.db));
        ctx.reply.bulk_str("calls-per-second");
        ctx.reply.double(round(hot.per_second));
        ctx.reply.bulk_str("percent");
        ctx.reply.double(round(hot.percent));
    }
    Ok(())
}

/// To two decimals: the figure is an estimate.
fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn bigkeys(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let keys = ctx.engine.key_walk.largest(count(ctx)?);
    ctx.reply.array(keys.len());
    for large in keys {
        ctx.reply.map(4);
        ctx.reply.bulk_str("key");
        ctx.reply.bulk(&large.key);
        ctx.reply.bulk_str("db");
        ctx.reply.integer(i64::from(large.db));
        ctx.reply.bulk_str("type");
        ctx.reply.bulk_str(large.kind.name());
        ctx.reply.bulk_str("bytes");
        ctx.reply.integer(large.bytes as i64);
    }
    Ok(())
}

fn prefix(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    if ctx.args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let mut all = ctx.engine.settings.prefix_stats.all();
    if let Some(wanted) = ctx.args.get(2) {
        all.retain(|it| it.prefix == wanted);
        if all.is_empty() {
            return Err(Error::text("stats-prefixes does not name this prefix"));
        }
    }
    ctx.reply.array(all.len());
    for it in all {
        let sizes = ctx.engine.key_walk.sizes(&it.prefix).unwrap_or_default();
        let (hits, misses) = (it.hits.load(Relaxed), it.misses.load(Relaxed));
        ctx.reply.map(8);
        ctx.reply.bulk_str("prefix");
        ctx.reply.bulk(&it.prefix);
        let figures = [
            ("keys", sizes.keys),
            ("bytes", sizes.bytes),
            ("hits", hits),
            ("misses", misses),
            ("expired", it.expired.load(Relaxed)),
            ("evicted", it.evicted.load(Relaxed)),
        ];
        for (name, figure) in figures {
            ctx.reply.bulk_str(name);
            ctx.reply.integer(figure as i64);
        }
        ctx.reply.bulk_str("hit-percent");
        let rate = hits as f64 * 100.0 / (hits + misses).max(1) as f64;
        ctx.reply.double(round(rate));
    }
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.engine.hot_keys.reset();
    ctx.engine.key_walk.reset();
    ctx.engine.settings.prefix_stats.reset();
    ctx.reply.ok();
    Ok(())
}
