//! The kvik binary: the server, and the command line beside it.
//!
//! The first argument decides. `cli`, `import`, `bench` and a few more are subcommands; anything
//! else, nothing included, starts the server with the arguments that redis-server would
//! take: `kvik kvik.toml --port 7000`. `kvik server ...` says the same aloud, for a configuration
//! file that bears the name of a subcommand. Under the name of another server or client whose users
//! it serves, it takes that program's command line ([`guise`]).

#![deny(unsafe_code)]

mod allocator;
mod arguments;
mod backup;
mod bench;
mod check;
mod cli;
mod code_pages;
mod copy;
mod diff;
mod door;
#[expect(clippy::print_stdout, reason = "the output of the command")]
mod guise;
mod restore;
#[expect(clippy::print_stdout, reason = "the output of the command")]
mod transfer;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    kvik_server::trim_allocator_by(allocator::trim);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = guise::run(&arguments) {
        return code;
    }
    let word = |index: usize| arguments.get(index).and_then(|word| word.to_str());
    match (word(1), word(2)) {
        (Some("server"), Some("-h" | "--help")) => run_subcommand(&arguments),
        // A configuration file may be called `cli`: behind `server` no word is a subcommand.
        (Some("server"), _) => kvik_server::run(arguments.into_iter().skip(2)),
        (Some(word), _) if SUBCOMMANDS.contains(&word) => run_subcommand(&arguments),
        (Some("-h" | "--help" | "-v" | "-V" | "--version"), _) => run_subcommand(&arguments),
        // Behind a preset stand the directives that it is adjusted with.
        (Some(preset), Some("-h" | "--help")) if preset.starts_with("--") => {
            run_subcommand(&["kvik", "server", "--help"].map(OsString::from))
        }
        _ => kvik_server::run(arguments.into_iter().skip(1)),
    }
}

/// Words that are no configuration file.
const SUBCOMMANDS: [&str; 10] = [
    "backup",
    "bench",
    "check",
    "cli",
    "completions",
    "diff",
    "export",
    "help",
    "import",
    "restore",
];

fn run_subcommand(arguments: &[OsString]) -> ExitCode {
    let matches = arguments::command().get_matches_from(arguments);
    match matches.subcommand() {
        Some(("backup", matches)) => backup::run(matches),
        Some(("bench", matches)) => bench::run(matches),
        Some(("check", matches)) => check::run(matches),
        Some(("cli", matches)) => cli::run(matches),
        Some(("diff", matches)) => diff::run(matches),
        Some(("import", matches)) => transfer::import(matches),
        Some(("export", matches)) => transfer::export(matches),
        Some(("restore", matches)) => restore::run(matches),
        Some(("completions", matches)) => {
            arguments::print_completions(matches);
            ExitCode::SUCCESS
        }
        _ => kvik_server::run([]),
    }
}
