//! Hit rates of a cache: a client asks for keys and writes those that are missing, and the server's
//! memory holds a fifth of them.
//!
//! The server's clock is the machine's: policies by time depend on how fast the requests come. The
//! figure `hits` does without a server and a clock.

use anyhow::{Context, ensure};
use kvik_client::Client;

use super::trace::{Draw, FITTING, REQUESTS_PER_KEY, TRACES, Trace};
use super::{Reading, Subject};

const KEYS: usize = 50_000;
const VALUE_BYTES: usize = 200;

const POLICIES: [&str; 3] = ["allkeys-lru", "allkeys-lfu", "s3fifo"];

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    let keys = subject.scaled(KEYS);
    let mut readings = Vec::new();
    for policy in POLICIES {
        if policy == "s3fifo" && !subject.program.is_kvik {
            continue;
        }
        for (name, next) in TRACES {
            let hits = play(subject, policy, keys, next)?;
            readings.push(Reading {
                name: "hit rate",
                case: format!("{name} {policy}"),
                keys,
                value_bytes: VALUE_BYTES,
                value: hits,
                unit: "%",
            });
        }
    }
    Ok(readings)
}

/// The hit rate of a trace in percent, without its first sixth, in which the memory fills.
fn play(subject: &Subject<'_>, policy: &str, keys: usize, next: Draw) -> anyhow::Result<f64> {
    let extra: &[&str] = match subject.program.is_kvik {
        true => &["--memory"],
        false => &["--save", ""],
    };
    let server = subject.start(extra)?;
    let mut client = server.client()?;
    limit(&mut client, keys)?;
    set(&mut client, "maxmemory-policy", policy)?;
    let value = "x".repeat(VALUE_BYTES);
    let mut trace = Trace::new(keys);
    let requests = keys * REQUESTS_PER_KEY;
    let (mut hits, mut counted) = (0usize, 0usize);
    for request in 0..requests {
        let key = format!("key:{:012}", next(&mut trace, request));
        let is_hit = !client.call(&["GET", &key])?.is_null();
        if !is_hit {
            let reply = client.call(&["SET", &key, &value])?;
            ensure!(reply.is_ok(), "SET was refused: {reply:?}");
        }
        if request > requests / 6 {
            hits += usize::from(is_hit);
            counted += 1;
        }
    }
    Ok(hits as f64 * 100.0 / counted.max(1) as f64)
}

/// Limits the memory to what the fitting part of the keys takes.
fn limit(client: &mut Client, keys: usize) -> anyhow::Result<()> {
    let value = "x".repeat(VALUE_BYTES);
    for key in 0..(keys as f64 * FITTING) as usize {
        client.call(&["SET", &format!("key:{key:012}"), &value])?;
    }
    let info = client.call(&["INFO", "memory"])?;
    let info = String::from_utf8_lossy(info.as_bytes().unwrap_or_default());
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used = used.context("INFO says how much memory is used")?;
    let used = used.trim().to_owned();
    set(client, "maxmemory", &used)?;
    client.call(&["FLUSHALL"])?;
    Ok(())
}

fn set(client: &mut Client, name: &str, value: &str) -> anyhow::Result<()> {
    let reply = client.call(&["CONFIG", "SET", name, value])?;
    ensure!(reply.is_ok(), "{name} was refused: {reply:?}");
    Ok(())
}
