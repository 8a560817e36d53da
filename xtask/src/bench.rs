//! `cargo x bench`: kvik and other servers on this machine, side by side.
//!
//! All servers run at once and are loaded one after the other, cell by cell and round by round, so
//! that a disturbance of the machine meets all of them; ratios are medians over the rounds, each
//! round compared with itself. CPU time per operation is the figure to trust: throughput on a
//! shared machine says more about the neighbours.
//!
//! It does not build peers, and it does not reach other machines.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and waits"
)]

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, ensure};

use crate::cargo;
use crate::server::{self, Server};

mod figures;
mod load;
mod results;
mod workload;

use figures::Figure;
use load::Load;
use results::{Results, Row};
use workload::Workload;

/// Options of `cargo x bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A peer: the name of an installed program or a path, of another build of kvik too; the first
    /// one is what the others are compared with
    #[arg(long = "vs", value_name = "SERVER")]
    peers: Vec<PathBuf>,
    /// Measure this build of kvik instead of building one
    #[arg(long, value_name = "PATH")]
    kvik: Option<PathBuf>,
    /// Other builds of the embedded store's bench, for the figure `instructions`; the first one is
    /// what the others are compared with
    #[arg(long, value_name = "PATH")]
    embedded: Vec<PathBuf>,
    /// What to send
    #[arg(long, value_delimiter = ',', default_value = "get,set,incr,mset")]
    workload: Vec<Workload>,
    /// Commands that a connection sends before it waits for the replies
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    pipeline: Vec<NonZeroUsize>,
    /// Seconds for each cell
    #[arg(long, default_value_t = 2.0)]
    secs: f64,
    /// Rounds over all cells
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// I/O threads of kvik
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Connections
    #[arg(short, long, default_value = "50")]
    connections: NonZeroUsize,
    /// Threads of the load generator
    #[arg(long, default_value = "1")]
    load_threads: NonZeroUsize,
    /// Different keys
    #[arg(long, default_value = "1000000")]
    keys: NonZeroUsize,
    /// Bytes of a value
    #[arg(long, default_value_t = 32)]
    value_bytes: usize,
    /// Keep the servers on the first core and the load on the others
    #[arg(long)]
    pin: bool,
    /// Measure these instead of the workloads
    #[arg(long, value_delimiter = ',')]
    figure: Vec<Figure>,
    /// Scales the numbers of keys of the figures
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
}

/// A server to start, once or again and again.
struct Program {
    name: String,
    version: String,
    path: PathBuf,
    arguments: Vec<String>,
    is_kvik: bool,
}

/// Measures, prints the table and appends the rows to a file in `bench/results`.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(
        options.rounds > 0 && options.secs > 0.0,
        "nothing to measure"
    );
    if options.pin {
        server::pin(std::process::id(), "1-")?;
    }
    let needs_servers =
        options.figure.is_empty() || options.figure.iter().any(|it| it.is_of_servers());
    let programs = match needs_servers {
        true => programs(options)?,
        false => Vec::new(),
    };
    if !options.figure.is_empty() {
        let path = figures::run(options, &programs)?;
        println!("rows appended to {}", path.display());
        return Ok(());
    }
    let servers = start(options, &programs)?;
    for server in &servers {
        load::fill(
            server.address(),
            options.keys.get(),
            options.value_bytes,
            false,
        )?;
    }
    let mut results = Results::new(options)?;
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        measure_round(options, round, &servers, &mut results)?;
    }
    results.print();
    println!("rows appended to {}", results.append()?.display());
    Ok(())
}

/// The peers in their order, then kvik. Two programs of one name, such as two builds, get a number.
fn programs(options: &Options) -> anyhow::Result<Vec<Program>> {
    let kvik = match &options.kvik {
        Some(path) => path.clone(),
        None => cargo::dist_binary()?,
    };
    let threads = options.threads.to_string();
    let mut programs: Vec<Program> = Vec::new();
    for path in options.peers.iter().chain([&kvik]) {
        // Servers start in folders of their own, where a relative path leads elsewhere. A name
        // without a folder is looked up by the system.
        let path = &match path.components().count() {
            1 => path.clone(),
            _ => path
                .canonicalize()
                .with_context(|| path.display().to_string())?,
        };
        let is_kvik = server::is_kvik(path)?;
        let mut arguments = vec!["--save", "", "--appendonly", "no"];
        if is_kvik {
            arguments.extend(["--threads", &threads]);
        }
        let name = path
            .file_name()
            .context("a server is a program")?
            .to_string_lossy();
        let same = programs
            .iter()
            .filter(|program| program.name.starts_with(&*name))
            .count();
        let mut program = Program {
            name: if same == 0 {
                name.into_owned()
            } else {
                format!("{name}#{}", same + 1)
            },
            version: String::new(),
            path: path.clone(),
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            is_kvik,
        };
        program.version = program.start(&[])?.version();
        programs.push(program);
    }
    Ok(programs)
}

impl Program {
    /// Starts it with its arguments and these.
    fn start(&self, extra: &[&str]) -> anyhow::Result<Server> {
        let own = self.arguments.iter().map(String::as_str);
        let arguments: Vec<&str> = own.chain(extra.iter().copied()).collect();
        Server::start(&self.name, &self.path, &arguments)
    }
}

/// Starts all servers.
fn start(options: &Options, programs: &[Program]) -> anyhow::Result<Vec<Server>> {
    let mut servers = Vec::new();
    for program in programs {
        let server = program.start(&[])?;
        if options.pin {
            server::pin(server.pid(), "0")?;
        }
        servers.push(server);
    }
    Ok(servers)
}

fn measure_round(
    options: &Options,
    round: usize,
    servers: &[Server],
    results: &mut Results,
) -> anyhow::Result<()> {
    for &workload in &options.workload {
        for &pipeline in &options.pipeline {
            for turn in 0..servers.len() {
                let server = &servers[(turn + round) % servers.len()];
                let load = Load {
                    address: server.address(),
                    workload,
                    pipeline: pipeline.get(),
                    connections: options.connections.get(),
                    threads: options.load_threads.get(),
                    keys: options.keys.get(),
                    value_bytes: options.value_bytes,
                    secs: options.secs,
                };
                let sample = load.run(|| server.cpu_us())?;
                results.add(Row {
                    round,
                    server: server.name(),
                    version: server.version(),
                    workload,
                    pipeline,
                    sample,
                });
            }
        }
    }
    Ok(())
}
