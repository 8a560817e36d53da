//! `kvik bench`: load for a server, through any of its doors, and how long its clients wait.
//!
//! Without `--rate` each connection sends its commands as soon as the replies to the last ones are
//! there, which measures throughput. With it, commands are due at fixed times whether the server
//! keeps up or not, and what is late counts from the time it was due: a server that stalls for a
//! second delays all that was due in it, not one command. Each connection has a thread that blocks,
//! so the load is as heavy as its clients; the server's own time, from INFO, is the figure that
//! does not depend on them.

mod lane;
mod load;
mod report;
mod subject;
mod work;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::ArgMatches;

use crate::cli::settings::{endpoint, options};
use crate::door::Place;
use load::Load;
use report::Row;
use subject::{Subject, is_cluster};
pub(crate) use work::Work;

/// Runs `kvik bench`.
pub(crate) fn run(matches: &ArgMatches) -> ExitCode {
    match try_run(matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(matches: &ArgMatches) -> anyhow::Result<()> {
    let load = Load::from_matches(matches);
    let mut subjects = vec![first(matches)?];
    if let Some(other) = matches.get_one::<String>("vs") {
        subjects.push(Subject::parse(other, options(matches))?);
    }
    let works: Vec<Work> = matches
        .get_many("test")
        .unwrap_or_default()
        .copied()
        .collect();
    let mut out = io::stdout();
    writeln!(out, "{}", load.describe())?;
    let mut rows = Vec::new();
    for work in &works {
        for subject in &subjects {
            rows.push(measure(&load, *work, subject)?);
        }
    }
    Ok(write!(out, "{}", report::table(&rows, subjects.len()))?)
}

/// The target that `-u` names, a door or a cluster perhaps, or host and port.
fn first(matches: &ArgMatches) -> anyhow::Result<Subject> {
    let url = matches.get_one::<String>("url");
    if let Some(url) = url.filter(|url| is_cluster(url)) {
        return Ok(Subject::Cluster(url.clone(), options(matches)));
    }
    match url.and_then(|url| Place::parse(url)) {
        Some(place) => Ok(Subject::Door(place)),
        None => {
            let endpoint = Box::new(endpoint(matches)?);
            Ok(Subject::Resp(endpoint, options(matches)))
        }
    }
}

fn measure(load: &Load, work: Work, subject: &Subject) -> anyhow::Result<Row> {
    let name = subject.to_string();
    let open =
        |number| lane::open(subject, number).with_context(|| format!("cannot connect to {name}"));
    if work == Work::Get {
        load.fill(open(0)?.as_mut())?;
    }
    let before_us = subject.cpu_us();
    let measured = load.run(work, open, &name)?;
    let cpu_us = subject
        .cpu_us()
        .zip(before_us)
        .map(|(after, before)| after - before);
    Ok(Row {
        server: name,
        work,
        measured,
        cpu_us,
    })
}

/// A rate, which must leave time between two batches.
pub(crate) fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate >= 1.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err("a number of commands per second, 1 at least".to_owned()),
    }
}

impl Load {
    fn from_matches(matches: &ArgMatches) -> Self {
        let number = |name: &str| matches.get_one::<u64>(name).copied().unwrap_or(1);
        let seconds = matches.get_one::<Duration>("secs").copied();
        Self {
            connections: number("connections"),
            pipeline: number("pipeline"),
            value_bytes: number("value-bytes") as usize,
            keys: number("keys"),
            time: seconds.unwrap_or(Duration::from_secs(5)),
            rate: matches.get_one::<f64>("rate").copied(),
        }
    }
}
