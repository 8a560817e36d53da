//! Bytes for a key: what the process's resident memory grew by, and what the server says it uses.

use std::thread;
use std::time::Duration;

use anyhow::Context;

use super::{Reading, Subject};
use crate::bench::load;
use crate::server::Server;

/// Keys, bytes of a value, and whether the keys expire.
const CASES: &[(usize, usize, bool)] = &[
    (1_000_000, 32, false),
    (1_000_000, 32, true),
    (1_000_000, 100, false),
    (5_000_000, 32, false),
    (5_000_000, 32, true),
    (5_000_000, 100, false),
];

/// Memory counts when it has changed by no more than this for a moment.
const STEADY_BYTES: usize = 64 << 10;
const MOMENT: Duration = Duration::from_millis(500);
const MOMENTS: u32 = 20;

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    let mut readings = Vec::new();
    for &(keys, value_bytes, ttl) in CASES {
        let keys = subject.scaled(keys);
        let server = subject.start(&[])?;
        let (resident_before, used_before) = (settled(&server)?, used(&server)?);
        load::fill(server.address(), keys, value_bytes, ttl)?;
        let resident = (settled(&server)? - resident_before) as f64;
        let used = (used(&server)? - used_before) as f64;
        let reading = |name, value, unit| Reading {
            name,
            case: if ttl { "with ttl" } else { "" }.to_owned(),
            keys,
            value_bytes,
            value,
            unit,
        };
        readings.push(reading("resident", resident / keys as f64, "B/key"));
        readings.push(reading("used_memory", used / keys as f64, "B/key"));
        readings.push(reading("used / resident", used / resident, ""));
    }
    Ok(readings)
}

fn settled(server: &Server) -> anyhow::Result<usize> {
    let mut before = server.resident()?;
    for _ in 0..MOMENTS {
        thread::sleep(MOMENT);
        let now = server.resident()?;
        if now.abs_diff(before) <= STEADY_BYTES {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}

fn used(server: &Server) -> anyhow::Result<usize> {
    let reply = server.client()?.call(&["INFO", "memory"])?;
    let info = String::from_utf8_lossy(reply.as_bytes().unwrap_or_default()).into_owned();
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    Ok(used.context("INFO has no used_memory")?.parse()?)
}
