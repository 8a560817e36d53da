//! Writing at the memory limit: CPU time of a SET when each makes another key go, resident memory
//! beside the limit, and the longest PING of another client meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::ensure;

use super::{Reading, Subject};
use crate::bench::load::{self, Load};
use crate::bench::workload::Workload;

const LIMIT_MB: usize = 256;
const VALUE_BYTES: usize = 100;
/// Keys that together are four times as much as is allowed.
const KEYS: usize = 8_000_000;
const SECS: f64 = 5.0;
const CONNECTIONS: usize = 16;

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    let keys = subject.scaled(KEYS);
    let limit_bytes = subject.scaled(LIMIT_MB << 20);
    let limit = limit_bytes.to_string();
    let mut extra = vec!["--maxmemory", &limit, "--maxmemory-policy", "allkeys-lru"];
    match subject.program.is_kvik {
        true => extra.push("--memory"),
        false => extra.extend(["--save", ""]),
    }
    let server = subject.start(&extra)?;
    load::fill(server.address(), keys, VALUE_BYTES, false)?;
    let load = Load {
        address: server.address(),
        workload: Workload::Set,
        pipeline: 16,
        connections: CONNECTIONS,
        threads: 1,
        keys,
        value_bytes: VALUE_BYTES,
        secs: SECS,
    };
    let mut client = server.client()?;
    let done = AtomicBool::new(false);
    let (load, pings) = thread::scope(|scope| {
        let pings = scope.spawn(|| {
            let (mut longest_ms, mut resident) = (0f64, 0usize);
            while !done.load(Ordering::Relaxed) {
                let began = Instant::now();
                client.call(&["PING"])?;
                longest_ms = longest_ms.max(began.elapsed().as_secs_f64() * 1000.0);
                resident = resident.max(server.resident()?);
            }
            let info = client.call(&["INFO", "stats"])?;
            let info = String::from_utf8_lossy(info.as_bytes().unwrap_or_default());
            Ok::<_, anyhow::Error>((longest_ms, resident, info.into_owned()))
        });
        let load = load.run(|| server.cpu_us());
        done.store(true, Ordering::Relaxed);
        (load, pings.join())
    });
    let load = load?;
    let (longest_ms, resident, info) = pings.expect("the pings return their errors")?;
    ensure!(!info.contains("evicted_keys:0\r"), "nothing was evicted");
    let reading = |name, value, unit| Reading {
        name,
        case: "allkeys-lru".into(),
        keys,
        value_bytes: VALUE_BYTES,
        value,
        unit,
    };
    Ok(vec![
        reading("SET -P16", load.cpu_us_per_op, "us"),
        reading(
            "resident by limit",
            resident as f64 / limit_bytes as f64,
            "",
        ),
        reading("longest PING", longest_ms, "ms"),
    ])
}
