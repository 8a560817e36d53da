//! The longest single command while a store grows from nothing: what splitting tables and taking
//! memory costs at once.
//!
//! The server times each command itself (SLOWLOG), so neither the network nor the load is in the
//! figure. A neighbour that takes the core away is; `preempted` says how often that happened.

use anyhow::{Context, ensure};

use super::{Reading, Subject};
use crate::bench::load;
use crate::server::Server;

const KEYS: usize = 10_000_000;
const VALUE_BYTES: usize = 32;
const ROUNDS: usize = 3;

/// Commands that take longer are looked at.
const SLOW_US: &str = "100";
const ENTRIES: &str = "100000";

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    let keys = subject.scaled(KEYS);
    let mut readings = Vec::new();
    for round in 0..ROUNDS {
        let server = subject.start(&[
            "--slowlog-log-slower-than",
            SLOW_US,
            "--slowlog-max-len",
            ENTRIES,
        ])?;
        let preempted = server.preempted()?;
        load::fill(server.address(), keys, VALUE_BYTES, false)?;
        let slow_us = slow_calls(&server, "SET")?;
        let reading = |name, value, unit| Reading {
            name,
            case: format!("round {round}"),
            keys,
            value_bytes: VALUE_BYTES,
            value,
            unit,
        };
        let longest_us = slow_us.iter().copied().max().unwrap_or(0);
        let over = slow_us.iter().filter(|&&us| us >= 1000).count();
        let preempted = server.preempted()? - preempted;
        readings.push(reading("longest SET", longest_us as f64, "us"));
        readings.push(reading("SETs over 1 ms", over as f64, ""));
        readings.push(reading("preempted", preempted as f64, "times"));
    }
    Ok(readings)
}

/// How long each slow call of a command took, in microseconds.
pub(super) fn slow_calls(server: &Server, command: &str) -> anyhow::Result<Vec<i64>> {
    let reply = server.client()?.call(&["SLOWLOG", "GET", "-1"])?;
    let entries = reply.as_slice().context("SLOWLOG GET is an array")?;
    ensure!(
        entries.len() < ENTRIES.parse()?,
        "more slow commands than the log keeps"
    );
    let took_us = |entry: &kvik_resp::Value| {
        let fields = entry.as_slice()?;
        let words = fields.get(3)?.as_slice()?;
        let name = words.first()?.as_bytes()?;
        let is_it = name.eq_ignore_ascii_case(command.as_bytes());
        fields.get(2)?.as_int().filter(|_| is_it)
    };
    Ok(entries.iter().filter_map(took_us).collect())
}
