//! Instructions that a command takes in user mode, from the bytes in the kernel's buffer to the bytes in the other one.
//!
//! callgrind counts exactly, so two runs that differ in nothing but the number of commands give the same figure on every
//! machine. It knows no io_uring, so kvik runs on epoll.

use std::process::Command;

use anyhow::Context;

use super::{Reading, Subject};
use crate::bench::load;
use crate::bench::workload::{Batch, Random, Workload};
use crate::server::Server;

const KEYS: usize = 100_000;
const VALUE_BYTES: usize = 32;
const PIPELINES: &[usize] = &[1, 16, 64];
/// Commands of the short run, and those by which the long one has more.
const FEW: usize = 6400;
const MORE: usize = 64_000;

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("no valgrind here: instructions are not counted");
        return Ok(Vec::new());
    }
    let mut readings = Vec::new();
    for workload in [Workload::Get, Workload::Set, Workload::Incr] {
        for &pipeline in PIPELINES {
            let few = count(subject, workload, pipeline, FEW)?;
            let many = count(subject, workload, pipeline, FEW + MORE)?;
            readings.push(Reading {
                name: "instructions",
                case: format!("{workload} -P{pipeline}"),
                keys: subject.scaled(KEYS),
                value_bytes: VALUE_BYTES,
                value: many.saturating_sub(few) as f64 / MORE as f64,
                unit: "/op",
            });
        }
    }
    Ok(readings)
}

/// Instructions of a server's whole life in which it fills its store and then answers so many commands.
fn count(
    subject: &Subject<'_>,
    workload: Workload,
    pipeline: usize,
    commands: usize,
) -> anyhow::Result<u64> {
    let dir = tempfile::tempdir()?;
    let profile = dir.path().join("profile");
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(&subject.program.path);
    let io: &[&str] = if subject.program.is_kvik {
        &["--io", "mio"]
    } else {
        &[]
    };
    let own = subject.program.arguments.iter().map(String::as_str);
    let arguments: Vec<&str> = own.chain(io.iter().copied()).collect();
    let server = Server::spawn(&subject.program.name, valgrind, &arguments)?;
    let keys = subject.scaled(KEYS);
    load::fill(server.address(), keys, VALUE_BYTES, false)?;
    let mut batch: Batch = workload.batch(pipeline, VALUE_BYTES);
    let (mut random, mut connection) = (Random::new(1), load::Blocking::connect(&server)?);
    for _ in 0..commands / pipeline {
        batch.shuffle(&mut random, keys);
        connection.exchange(batch.bytes(), pipeline)?;
    }
    server.stop()?;
    let profile = std::fs::read_to_string(&profile)?;
    total(&profile).context("callgrind's file has another form")
}

/// The sum of all instructions in callgrind's file.
fn total(profile: &str) -> Option<u64> {
    let line = |name| {
        profile
            .lines()
            .find_map(|line: &str| line.strip_prefix(name))
    };
    let sum = line("totals: ").or_else(|| line("summary: "))?;
    sum.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_found() {
        assert_eq!(
            total("version: 1\nevents: Ir\nsummary: 120\n\ntotals: 123\n"),
            Some(123)
        );
        assert_eq!(total("fn=1"), None);
    }
}
