//! INFO: the metrics, section by section.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use kvik_store::KeyspaceId;

use crate::declare::{Command, Group, Row, table};
use crate::metric::{Look, METRICS, Section};
use crate::{Ctx, Error};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    vec![
        Command::new("INFO", "[section [section ...]]", info)
            .group(Group::Server)
            .loading()
            .stale()
            .also(crate::declare::Category::DANGEROUS)
            .since("1.0.0")
            .complexity("O(1)")
            .changed(
                "7.0.0",
                "Added support for taking multiple section arguments.",
            )
            .tips(&[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ])
            .about("Returns figures about the server."),
    ]
}

fn info(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let sections = wanted(ctx);
    let look = Look {
        mode: ctx.session.mode(),
        ..Look::new(ctx.engine, ctx.now_us)
    };
    let mut text = String::new();
    for section in sections {
        if !text.is_empty() {
            text += "\r\n";
        }
        let _ = write!(text, "# {}\r\n", section.title());
        for metric in METRICS.iter().filter(|metric| metric.section == section) {
            if let Some(value) = metric.read(&look) {
                let _ = write!(text, "{}:{value}\r\n", metric.name);
            }
        }
        match section {
            Section::Commandstats => write_commands(&look, &mut text),
            Section::Errorstats => write_errors(&look, &mut text),
            Section::Latencystats => write_latency(&look, &mut text),
            Section::Keyspace => write_keyspace(&look, &mut text),
            _ => {}
        }
    }
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn wanted(ctx: &Ctx<'_>) -> Vec<Section> {
    let names: Vec<String> = ctx
        .args
        .tail(1)
        .iter()
        .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase())
        .collect();
    let named = |name: &str| names.iter().any(|known| known == name);
    let all = named("all") || named("everything");
    let default = names.is_empty() || named("default");
    let is_wanted = |section: &Section| {
        all || (default && section.is_default()) || named(&section.title().to_ascii_lowercase())
    };
    Section::ALL.into_iter().filter(is_wanted).collect()
}

fn write_commands(look: &Look<'_>, text: &mut String) {
    for (command, sums) in table().commands().iter().zip(look.engine.stats.commands()) {
        if sums.calls == 0 && sums.rejected == 0 {
            continue;
        }
        let us = sums.nanos / 1000;
        let each = if sums.calls == 0 {
            0.0
        } else {
            sums.nanos as f64 / 1000.0 / sums.calls as f64
        };
        let _ = write!(
            text,
            "cmdstat_{}:calls={},usec={us},usec_per_call={each:.2},rejected_calls={},failed_calls={}\r\n",
            command.full_name(),
            sums.calls,
            sums.rejected,
            sums.failed
        );
    }
}

fn write_errors(look: &Look<'_>, text: &mut String) {
    for (code, count) in look.engine.stats.error_codes() {
        let _ = write!(text, "errorstat_{code}:count={count}\r\n");
    }
}

fn write_latency(look: &Look<'_>, text: &mut String) {
    let percentiles = percentiles(look);
    for (id, histogram) in look.engine.stats.histograms() {
        if histogram.calls() == 0 || percentiles.is_empty() {
            continue;
        }
        let each = |percent: &f64| format!("p{percent}={:.3}", histogram.percentile_us(*percent));
        let list: Vec<String> = percentiles.iter().map(each).collect();
        let name = table().commands()[id].full_name();
        let _ = write!(
            text,
            "latency_percentiles_usec_{name}:{}\r\n",
            list.join(",")
        );
    }
}

/// The percentiles that are configured; in an embedded store Redis' default.
fn percentiles(look: &Look<'_>) -> Vec<f64> {
    let found = look
        .engine
        .host
        .config_get(&[b"latency-tracking-info-percentiles"]);
    let configured = found.first().map_or("50 99 99.9".into(), |(_, value)| {
        String::from_utf8_lossy(value).into_owned()
    });
    configured
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn write_keyspace(look: &Look<'_>, text: &mut String) {
    for db in 0..look.engine.settings.databases.load(Relaxed) as u32 {
        let sizes = look.engine.totals.keyspace(KeyspaceId(db));
        if sizes.keys > 0 {
            let avg_ttl = match sizes.volatile {
                0 => 0,
                _ => look.engine.rates.average_ttl_ms(db),
            };
            let _ = write!(
                text,
                "db{db}:keys={},expires={},avg_ttl={avg_ttl}\r\n",
                sizes.keys, sizes.volatile
            );
        }
    }
}
