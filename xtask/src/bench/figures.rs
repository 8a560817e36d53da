//! Figures beside the loads: bytes for a key, instructions for a command, and how long one client
//! makes others wait.
//!
//! Each is measured on servers started for it alone, a peer's too where a figure makes sense for
//! it. They are readings of a run, not samples of a distribution: who wants to see the spread
//! repeats the run.

use std::fmt;
use std::path::PathBuf;

use crate::server::{self, Server};

mod callgrind;
mod churn;
mod collections;
mod cost;
mod embedded;
mod evict;
mod flush;
mod growth;
mod hitrate;
mod hits;
mod instructions;
mod memory;
mod stall;
mod trace;
mod zset;

use super::results::Origin;
use super::{Options, Program};

/// Something to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Figure {
    /// Bytes for a key, resident and as the server counts them
    Memory,
    /// Bytes for an element of collections of 20 to 1,000
    Collections,
    /// Resident memory while the sizes of values change, and when all are gone
    Churn,
    /// Instructions for a command, and for an embedded get and set, in user mode (needs valgrind)
    Instructions,
    /// The longest command while the store grows
    Growth,
    /// FLUSHALL of many keys, and how long others wait meanwhile
    Flush,
    /// CPU time of a command as the keys become more
    Cost,
    /// How long others wait while a stripe is held
    Stall,
    /// SET at the memory limit: CPU time, resident memory, and how long others wait
    Evict,
    /// Hit rates of the eviction policies of servers on traces of several shapes
    Hitrate,
    /// The same of all policies of this source, in this process; they are the same each time
    Hits,
    /// The longest ZADD while a sorted set grows, and how long others wait while it goes
    Zset,
}

impl Figure {
    /// Whether it needs servers.
    pub(super) fn is_of_servers(self) -> bool {
        self != Self::Hits
    }
}

/// One figure of one server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    /// `resident`, `longest`: what was measured, with [`Self::unit`] a full name.
    pub(super) name: &'static str,
    /// Under which further conditions.
    pub(super) case: String,
    pub(super) keys: usize,
    pub(super) value_bytes: usize,
    pub(super) value: f64,
    pub(super) unit: &'static str,
}

/// The readings of all servers.
#[derive(Default)]
struct Readings(Vec<(String, String, Reading)>);

const COLUMNS: &str =
    "date,commit,server,version,figure,case,keys,value_bytes,value,unit,cpus,cpu_model";

/// Measures the figures asked for, prints them and appends them to a file of their own in
/// `bench/results`.
pub(super) fn run(options: &Options, programs: &[Program]) -> anyhow::Result<PathBuf> {
    let mut readings = Readings::default();
    for figure in &options.figure {
        if *figure == Figure::Hits {
            readings.add(
                "kvik",
                env!("CARGO_PKG_VERSION"),
                hits::measure(options.scale),
            );
            continue;
        }
        for program in programs {
            eprintln!("{figure:?} of {}", program.name);
            let subject = Subject { options, program };
            let read = match figure {
                Figure::Memory => memory::measure(&subject)?,
                Figure::Collections => collections::measure(&subject)?,
                Figure::Churn => churn::measure(&subject)?,
                Figure::Instructions => instructions::measure(&subject)?,
                Figure::Growth => growth::measure(&subject)?,
                Figure::Flush => flush::measure(&subject)?,
                Figure::Cost => cost::measure(&subject)?,
                Figure::Stall => stall::measure(&subject)?,
                Figure::Evict => evict::measure(&subject)?,
                Figure::Hitrate => hitrate::measure(&subject)?,
                Figure::Hits => continue,
                Figure::Zset => zset::measure(&subject)?,
            };
            readings.add(&program.name, &program.version, read);
        }
        if *figure == Figure::Instructions {
            embedded::measure(options, &mut readings)?;
        }
    }
    let origin = Origin::now()?;
    let lines = readings.0.iter().map(|row| csv(&origin, row));
    origin.append("-figures", COLUMNS, lines)
}

/// A program to measure, and the options.
struct Subject<'a> {
    options: &'a Options,
    program: &'a Program,
}

impl Subject<'_> {
    /// A number of keys, as far as the run is to be scaled down.
    fn scaled(&self, keys: usize) -> usize {
        ((keys as f64 * self.options.scale) as usize).max(1)
    }

    /// A fresh server, with arguments beyond those of its kind.
    fn start(&self, extra: &[&str]) -> anyhow::Result<Server> {
        let server = self.program.start(extra)?;
        if self.options.pin {
            server::pin(server.pid(), "0")?;
        }
        Ok(server)
    }

    /// The cases of a figure that depends on how the server waits for its sockets, each with its
    /// arguments.
    fn backends(&self) -> &'static [(&'static str, &'static [&'static str])] {
        if self.program.is_kvik {
            &[("uring", &["--io", "uring"]), ("mio", &["--io", "mio"])]
        } else {
            &[("", &[])]
        }
    }
}

impl Readings {
    /// Keeps and prints what was read of a program, beside the same figure of the first program
    /// that has one.
    fn add(&mut self, program: &str, version: &str, read: Vec<Reading>) {
        for reading in read {
            let ratio = self.ratio(&reading);
            println!("{program:<16} {reading}{ratio}");
            self.0
                .push((program.to_owned(), version.to_owned(), reading));
        }
    }

    fn ratio(&self, reading: &Reading) -> String {
        let same = |(_, _, first): &&(String, String, Reading)| {
            (first.name, &first.case, first.keys) == (reading.name, &reading.case, reading.keys)
        };
        match self.0.iter().find(same) {
            Some((_, _, first)) if first.value > 0.0 => {
                format!(" x {:.3}", reading.value / first.value)
            }
            _ => String::new(),
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            case,
            keys,
            value_bytes,
            value,
            unit,
        } = self;
        write!(
            f,
            "{name:<20} {case:<24} {keys:>9} keys of {value_bytes:>4} B {value:>12.3} {unit}"
        )
    }
}

fn csv(origin: &Origin, (server, version, reading): &(String, String, Reading)) -> String {
    let Reading {
        name,
        case,
        keys,
        value_bytes,
        value,
        unit,
    } = reading;
    origin.line(&format!(
        "{server},{version},{name},{case},{keys},{value_bytes},{value:.3},{unit}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_compared_with_the_first_of_its_case() {
        let reading = |case: &str, value| Reading {
            name: "n",
            case: case.into(),
            keys: 1,
            value_bytes: 1,
            value,
            unit: "u",
        };
        let mut readings = Readings::default();
        readings.add("a", "1", vec![reading("get", 2.0), reading("set", 8.0)]);
        readings.add("b", "1", vec![reading("get", 3.0)]);
        assert_eq!(readings.ratio(&reading("get", 4.0)), " x 2.000");
        assert_eq!(readings.ratio(&reading("set", 4.0)), " x 0.500");
        assert_eq!(readings.ratio(&reading("incr", 4.0)), "");
    }

    #[test]
    fn a_reading_has_every_column() {
        let reading = Reading {
            name: "resident",
            case: "ttl".into(),
            keys: 1000,
            value_bytes: 32,
            value: 65.5,
            unit: "B/key",
        };
        let line = csv(&Origin::of_nowhere(), &("a".into(), "1".into(), reading));
        assert_eq!(line.split(',').count(), COLUMNS.split(',').count());
    }
}
