//! FLUSHALL of many keys: its own time, and how long other clients wait while it runs and while the
//! memory is freed.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{Reading, Subject};
use crate::bench::load::{self, Load};
use crate::bench::workload::Workload;

const KEYS: usize = 10_000_000;
const VALUE_BYTES: usize = 32;
const ROUNDS: usize = 3;
/// How long the others work, and when FLUSHALL comes.
const SECS: f64 = 3.0;
const BEFORE: Duration = Duration::from_millis(500);
/// Other clients.
const CONNECTIONS: usize = 16;

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    let keys = subject.scaled(KEYS);
    let mut readings = Vec::new();
    for round in 0..ROUNDS {
        let server = subject.start(&[])?;
        load::fill(server.address(), keys, VALUE_BYTES, false)?;
        let load = Load {
            address: server.address(),
            workload: Workload::Get,
            pipeline: 1,
            connections: CONNECTIONS,
            threads: 1,
            keys,
            value_bytes: VALUE_BYTES,
            secs: SECS,
        };
        let mut client = server.client()?;
        let (flush, others) = thread::scope(|scope| {
            let others = scope.spawn(|| load.run(|| server.cpu_us()));
            thread::sleep(BEFORE);
            let began = Instant::now();
            let reply = client.call(&["FLUSHALL"]);
            (reply.map(|reply| (reply, began.elapsed())), others.join())
        });
        let (reply, took) = flush?;
        ensure!(reply.is_ok(), "FLUSHALL was refused: {reply:?}");
        let others = others.expect("the load returns its errors")?;
        let reading = |name, value| Reading {
            name,
            case: format!("round {round}"),
            keys,
            value_bytes: VALUE_BYTES,
            value,
            unit: "ms",
        };
        readings.push(reading("FLUSHALL", took.as_secs_f64() * 1000.0));
        readings.push(reading("others' p99.9", others.p999_us / 1000.0));
        readings.push(reading("others' longest", others.longest_us / 1000.0));
    }
    Ok(readings)
}
