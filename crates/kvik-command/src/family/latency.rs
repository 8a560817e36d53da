//! LATENCY: slow events, and how long commands take.

use std::fmt::Write;

use super::command::help;
use crate::declare::{Command, Group, Row, table};
use crate::latency::Event;
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
            .complexity("O(1)")
    };
    const TIPS: &[&str] = &[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ];
    vec![
        Command::container("LATENCY")
            .group(Group::Server)
            .since("2.8.13")
            .complexity("Depends on subcommand.")
            .about("Commands about latency."),
        command("LATENCY DOCTOR", "", doctor)
            .since("2.8.13")
            .tips(TIPS)
            .about("Says in words what is slow."),
        command("LATENCY GRAPH", "event", graph)
            .since("2.8.13")
            .tips(TIPS)
            .about("Draws the samples of an event."),
        command("LATENCY HISTOGRAM", "[command [command ...]]", histogram)
            .since("7.0.0")
            .complexity(
                "O(N) where N is the number of commands with latency information being retrieved.",
            )
            .tips(TIPS)
            .about("Returns how long commands took, by powers of two."),
        command("LATENCY HISTORY", "event", history)
            .since("2.8.13")
            .tips(TIPS)
            .about("Returns the samples of an event."),
        command("LATENCY LATEST", "", latest)
            .since("2.8.13")
            .tips(TIPS)
            .about("Returns the latest sample of every event."),
        command("LATENCY RESET", "[event [event ...]]", reset)
            .since("2.8.13")
            .tips(&["request_policy:all_nodes", "response_policy:agg_sum"])
            .about("Forgets samples."),
        help("LATENCY HELP").since("2.8.13"),
    ]
}

fn latest(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let events = ctx.engine.latency.events();
    ctx.reply.array(events.len());
    for (name, event) in events {
        let last = event.samples.back().copied().unwrap_or_default();
        ctx.reply.array(4);
        ctx.reply.bulk_str(name);
        ctx.reply.integer(last.at_s as i64);
        ctx.reply.integer(last.took_ms as i64);
        ctx.reply.integer(event.max_ms as i64);
    }
    Ok(())
}

fn event(ctx: &Ctx<'_>) -> Option<Event> {
    let name = std::str::from_utf8(&ctx.args[2]).ok()?;
    ctx.engine.latency.events().remove(name)
}

fn history(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let samples = event(ctx).unwrap_or_default().samples;
    ctx.reply.array(samples.len());
    for sample in samples {
        ctx.reply.array(2);
        ctx.reply.integer(sample.at_s as i64);
        ctx.reply.integer(sample.took_ms as i64);
    }
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let names: Vec<&[u8]> = ctx.args.tail(2).iter().collect();
    let forgotten = ctx
        .engine
        .latency
        .reset(|name| names.is_empty() || names.contains(&name.as_bytes()));
    ctx.reply.integer(forgotten as i64);
    Ok(())
}

/// Draws samples as a row of columns, the newest at the right, each with its age below.
fn graph(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const WIDTH: usize = 60;
    let name = &ctx.args[2];
    let Some(event) = event(ctx) else {
        return Err(Error::quoting(&[
            b"No samples available for event '",
            name,
            b"'",
        ]));
    };
    let name = String::from_utf8_lossy(name);
    let shown: Vec<_> = event.samples.iter().rev().take(WIDTH).rev().collect();
    let high = shown
        .iter()
        .map(|sample| sample.took_ms)
        .max()
        .unwrap_or(1)
        .max(1);
    let low = shown.iter().map(|sample| sample.took_ms).min().unwrap_or(0);
    // The highest sample gets the highest level, the others their share of it.
    let bar = |took_ms: u64| LEVELS[(took_ms * (LEVELS.len() as u64 - 1) / high) as usize];
    let bars: String = shown.iter().map(|sample| bar(sample.took_ms)).collect();
    let oldest_s = shown.first().map_or(0, |sample| {
        (ctx.now_us / 1_000_000).saturating_sub(sample.at_s)
    });
    let text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n{bars}\n{} samples, the oldest {oldest_s} s ago\n",
        event.max_ms,
        shown.len()
    );
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn doctor(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let threshold_ms = ctx
        .engine
        .settings
        .latency_threshold_ms
        .load(std::sync::atomic::Ordering::Relaxed);
    let events = ctx.engine.latency.events();
    let mut text = String::new();
    if threshold_ms == 0 {
        text += "The latency monitor is off. Turn it on with CONFIG SET latency-monitor-threshold <milliseconds>.\n";
    } else if events.is_empty() {
        let _ = writeln!(text, "Nothing took {threshold_ms} ms or longer.");
    }
    for (name, event) in &events {
        let total: u64 = event.samples.iter().map(|sample| sample.took_ms).sum();
        let count = event.samples.len() as u64;
        let mean = total / count.max(1);
        let _ = writeln!(
            text,
            "{name}: {count} samples, {mean} ms on average, {} ms at worst.",
            event.max_ms
        );
    }
    if !events.is_empty() {
        text += "SLOWLOG GET shows which commands were slow.\n";
    }
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn histogram(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let all = ctx.engine.stats.histograms();
    let wanted = |id: usize| {
        let name = table().commands()[id].full_name();
        // The name of a container stands for all of its subcommands, as in Redis.
        let parent = name.split('|').next().unwrap_or(name);
        let named = |word: &[u8]| {
            word.eq_ignore_ascii_case(name.as_bytes())
                || word.eq_ignore_ascii_case(parent.as_bytes())
        };
        ctx.args.len() == 2 || ctx.args.tail(2).iter().any(named)
    };
    let chosen: Vec<_> = all
        .into_iter()
        .filter(|(id, histogram)| histogram.calls() > 0 && wanted(*id))
        .collect();
    ctx.reply.map(chosen.len());
    for (id, histogram) in chosen {
        ctx.reply.bulk_str(table().commands()[id].full_name());
        ctx.reply.map(2);
        ctx.reply.bulk_str("calls");
        ctx.reply.integer(histogram.calls() as i64);
        ctx.reply.bulk_str("histogram_usec");
        let steps = histogram.cumulative_us();
        ctx.reply.map(steps.len());
        for (at_most_us, calls) in steps {
            ctx.reply.integer(at_most_us as i64);
            ctx.reply.integer(calls as i64);
        }
    }
    Ok(())
}
