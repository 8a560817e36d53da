//! CONFIG: the settings of the program around the store.

use super::command::help;
use crate::declare::{Command, Group, Row};
use crate::{Ctx, Error, Handler};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler: Handler| {
        Command::new(name, syntax, handler)
            .group(Group::Server)
            .admin()
            .noscript()
            .loading()
            .stale()
    };
    const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
    vec![
        Command::container("CONFIG")
            .group(Group::Server)
            .since("2.0.0")
            .complexity("Depends on subcommand.")
            .about("Commands about settings."),
        command("CONFIG GET", "parameter [parameter ...]", get)
            .since("2.0.0")
            .complexity("O(N) when N is the number of configuration parameters provided")
            .changed(
                "7.0.0",
                "Added the ability to pass multiple pattern parameters in one call",
            )
            .about("Returns settings by name or pattern."),
        command(
            "CONFIG SET",
            "<parameter value> [<parameter value> ...]",
            set,
        )
        .tips(ALL_NODES)
        .since("2.0.0")
        .complexity("O(N) when N is the number of configuration parameters provided")
        .changed(
            "7.0.0",
            "Added the ability to set multiple parameters in one call.",
        )
        .about("Changes settings, all or none."),
        command("CONFIG RESETSTAT", "", reset_statistics)
            .tips(ALL_NODES)
            .since("2.0.0")
            .complexity("O(1)")
            .about("Starts to count from zero."),
        command("CONFIG REWRITE", "", rewrite)
            .tips(ALL_NODES)
            .since("2.8.0")
            .complexity("O(1)")
            .about("Writes the settings to the configuration file."),
        help("CONFIG HELP").since("5.0.0"),
    ]
}

fn get(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let patterns: Vec<&[u8]> = ctx.args.tail(2).iter().collect();
    let found = ctx.engine.host.config_get(&patterns);
    ctx.reply.map(found.len());
    for (name, value) in found {
        ctx.reply.bulk_str(&name);
        ctx.reply.bulk(&value);
    }
    Ok(())
}

fn set(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let words: Vec<&[u8]> = ctx.args.tail(2).iter().collect();
    let pairs = words.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(Error::SYNTAX);
    }
    let pairs: Vec<(&[u8], &[u8])> = pairs.map(|pair| (pair[0], pair[1])).collect();
    ctx.engine
        .host
        .config_set(&pairs, ctx.session.client.is_local())?;
    ctx.reply.ok();
    Ok(())
}

fn reset_statistics(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.engine.stats.reset();
    ctx.engine.expiry_lag.reset();
    ctx.engine.rates.reset_peak();
    ctx.engine.command_log.reset_totals();
    ctx.reply.ok();
    Ok(())
}

fn rewrite(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.engine.host.config_rewrite()?;
    ctx.reply.ok();
    Ok(())
}
