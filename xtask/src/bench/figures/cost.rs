//! CPU time of a command as the keys become more: what the caches no longer hold.

use super::{Reading, Subject};
use crate::bench::load::{self, Load};
use crate::bench::workload::Workload;

const KEYS: &[usize] = &[10_000, 100_000, 1_000_000, 10_000_000];
const VALUE_BYTES: usize = 32;
const PIPELINE: usize = 16;

/// The median of so many loads counts.
const ROUNDS: usize = 5;

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    let mut servers = Vec::new();
    for &keys in KEYS {
        let (server, keys) = (subject.start(&[])?, subject.scaled(keys));
        load::fill(server.address(), keys, VALUE_BYTES, false)?;
        servers.push((server, keys));
    }
    let mut readings = Vec::new();
    for workload in [Workload::Get, Workload::Set] {
        let mut costs = vec![Vec::new(); servers.len()];
        for _ in 0..ROUNDS {
            for ((server, keys), costs) in servers.iter().zip(&mut costs) {
                let load = Load {
                    address: server.address(),
                    workload,
                    pipeline: PIPELINE,
                    connections: subject.options.connections.get(),
                    threads: 1,
                    keys: *keys,
                    value_bytes: VALUE_BYTES,
                    secs: subject.options.secs,
                };
                costs.push(load.run(|| server.cpu_us())?.cpu_us_per_op);
            }
        }
        for ((_, keys), costs) in servers.iter().zip(&mut costs) {
            costs.sort_by(f64::total_cmp);
            readings.push(Reading {
                name: "cost",
                case: format!("{workload} -P{PIPELINE}"),
                keys: *keys,
                value_bytes: VALUE_BYTES,
                value: costs[ROUNDS / 2],
                unit: "CPU us/op",
            });
        }
    }
    Ok(readings)
}
