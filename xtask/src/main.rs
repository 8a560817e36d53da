//! Developer commands: `cargo x <verb>`.
//!
//! One verb for each thing that a developer and the CI both run, so that they run the same thing. A
//! verb calls cargo and prints what cargo prints; what it adds of its own (tidy) is a module here.

#![allow(
    clippy::print_stdout,
    reason = "a command line tool reports on standard output"
)]

use std::process::ExitCode;

use clap::Parser;

mod bench;
mod cargo;
mod clients;
mod compat;
mod dist;
mod docs;
mod header;
mod package;
mod packaging;
mod server;
mod tidy;
mod wasm;
mod wheel;

/// Developer commands of kvik.
#[derive(Parser)]
#[command(bin_name = "cargo x")]
enum Verb {
    /// What a commit must pass besides the tests: formatting, clippy, tidy, docs
    Check,
    /// Every test: the documentation's examples, the models, then the workspace (with cargo-nextest
    /// when it is installed)
    Test {
        /// Passed to the runner, for instance a part of a test's name
        args: Vec<String>,
    },
    /// The tests that try all orders in which threads may run
    Model {
        /// A part of a test's name
        name: Option<String>,
    },
    /// The rules about the tree that clippy cannot know: layers, sizes, words
    Tidy,
    /// Write docs/ anew from the tables of the code
    Docs {
        /// Only say whether it is up to date
        #[arg(long)]
        check: bool,
    },
    /// kvik and other servers side by side: ops/s, CPU time per operation, latency
    Bench(bench::Options),
    /// Compare what kvik says of its commands with what other servers say
    Compat(compat::Options),
    /// Sessions of other people's client libraries with kvik (pip and npm fetch them)
    Clients {
        /// Those that take long to build as well
        #[arg(long)]
        all: bool,
    },
    /// The Python package: built, installed in a fresh virtual environment, tested
    Wheel(wheel::Options),
    /// The library for WebAssembly: built, run under Node, and in a browser where there is one
    Wasm(wasm::Options),
    /// The crates of the library as packages, each built from what is in its package
    Package,
    /// Run each fuzz target for a while; needs a nightly toolchain and cargo-fuzz
    Fuzz {
        /// Only this target
        target: Option<String>,
        /// For each target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Start a release build of the server; arguments go to kvik
    Run {
        /// Arguments of kvik
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Check that the program compiles for the other targets that it is offered for
    Targets,
    /// Build the binary that ships and print its size; with --archive what is to take away as well
    Dist {
        /// Write an archive with a checksum for this machine's target, and check the other targets
        #[arg(long)]
        archive: bool,
        /// Build a Debian package as well; needs cargo-deb
        #[arg(long)]
        deb: bool,
    },
}

fn main() -> ExitCode {
    run(Verb::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Check => {
            cargo::check()?;
            tidy::report()?;
            docs::write(true)?;
        }
        Verb::Test { args } => return cargo::test(&args),
        Verb::Model { name } => cargo::model(name.as_deref())?,
        Verb::Tidy => tidy::report()?,
        Verb::Docs { check } => docs::write(check)?,
        Verb::Bench(options) => match cargo::rerun_optimized()? {
            Some(code) => return Ok(code),
            None => bench::run(&options)?,
        },
        Verb::Compat(options) => compat::run(&options)?,
        Verb::Clients { all } => clients::run(all)?,
        Verb::Wheel(options) => wheel::run(&options)?,
        Verb::Wasm(options) => wasm::run(&options)?,
        Verb::Package => package::run()?,
        Verb::Fuzz { target, seconds } => cargo::fuzz(target.as_deref(), seconds)?,
        Verb::Run { args } => cargo::run(&args)?,
        Verb::Targets => dist::check_targets()?,
        Verb::Dist { archive, deb } => {
            if deb {
                dist::require_cargo_deb()?;
            }
            cargo::dist()?;
            if archive {
                dist::archive()?;
            }
            if deb {
                dist::debian_package()?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
