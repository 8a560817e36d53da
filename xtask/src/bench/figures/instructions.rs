//! Instructions that a command takes in user mode, from the bytes in the kernel's buffer to the
//! bytes in the other one.
//!
//! callgrind knows no io_uring, so kvik runs on epoll. Two runs of the same binary differ by up to
//! 0.5 %: the keys are the same, but each process draws the seed of its hashes anew.

use super::callgrind::Callgrind;
use super::{Reading, Subject};
use crate::bench::load;
use crate::bench::workload::{Batch, Random, Workload};
use crate::server::Server;

const KEYS: usize = 100_000;
/// Collections are fewer, so that most commands find one that has elements.
const COLLECTIONS: usize = 10_000;
const VALUE_BYTES: usize = 32;
/// Commands that are counted, and those before them that are not.
const COMMANDS: usize = 64_000;
const WARM_UP: usize = 64_000;

const WORKLOADS: &[(Workload, usize)] = &[
    (Workload::Get, KEYS),
    (Workload::Set, KEYS),
    (Workload::Incr, KEYS),
    (Workload::Hset, COLLECTIONS),
    (Workload::Lpush, COLLECTIONS),
    (Workload::Zadd, COLLECTIONS),
];

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    let mut readings = Vec::new();
    for &pipeline in &subject.options.pipeline {
        // A fresh server for each: the collections grow with every command.
        let Some((mut callgrind, server)) = start(subject)? else {
            break;
        };
        load::fill(server.address(), subject.scaled(KEYS), VALUE_BYTES, false)?;
        for &(workload, keys) in WORKLOADS {
            let (keys, pipeline) = (subject.scaled(keys), pipeline.get());
            let mut batch: Batch = workload.batch(pipeline, VALUE_BYTES);
            let mut random = Random::new(1);
            let mut connection = load::Blocking::connect(&server)?;
            let mut send = |commands: usize| {
                for _ in 0..commands / pipeline {
                    batch.shuffle(&mut random, keys);
                    connection.exchange(batch.bytes(), pipeline)?;
                }
                Ok(())
            };
            send(WARM_UP)?;
            let instructions = callgrind.count(server.pid(), || send(COMMANDS))?;
            readings.push(Reading {
                name: "instructions",
                case: format!("{workload} -P{pipeline}"),
                keys,
                value_bytes: VALUE_BYTES,
                value: instructions as f64 / COMMANDS as f64,
                unit: "/op",
            });
        }
        server.stop()?;
    }
    Ok(readings)
}

/// A server under callgrind, or none where that is not installed.
fn start(subject: &Subject<'_>) -> anyhow::Result<Option<(Callgrind, Server)>> {
    let Some(callgrind) = Callgrind::new()? else {
        return Ok(None);
    };
    let program = subject.program;
    let mut arguments: Vec<&str> = program.arguments.iter().map(String::as_str).collect();
    if program.is_kvik {
        arguments.extend(["--io", "mio"]);
    }
    let command = callgrind.command(&program.path);
    let server = Server::spawn(&program.name, command, &arguments)?;
    Ok(Some((callgrind, server)))
}
