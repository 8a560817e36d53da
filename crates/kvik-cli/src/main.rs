//! The kvik binary: the server, and the command line beside it.
//!
//! The first argument decides. `check`, `cli`, `restore` and `completions` are subcommands;
//! anything else, nothing included, starts the server with the arguments that redis-server would
//! take: `kvik kvik.toml --port 7000`. `kvik server ...` says the same aloud, for a configuration
//! file that bears the name of a subcommand. Under the name of another server or client whose users
//! it serves, it takes that program's command line ([`guise`]).

#![forbid(unsafe_code)]

mod arguments;
mod check;
mod cli;
mod copy;
mod door;
#[expect(clippy::print_stdout, reason = "the output of the command")]
mod guise;
mod restore;
#[expect(clippy::print_stdout, reason = "the output of the command")]
mod transfer;

use std::ffi::OsString;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = guise::run(&arguments) {
        return code;
    }
    let word = |index: usize| arguments.get(index).and_then(|word| word.to_str());
    match (word(1), word(2)) {
        (Some("server"), Some("-h" | "--help")) => run_subcommand(&arguments),
        // A configuration file may be called `cli`: behind `server` no word is a subcommand.
        (Some("server"), _) => kvik_server::run(arguments.into_iter().skip(2)),
        (Some("check" | "cli" | "completions" | "export" | "help" | "import" | "restore"), _) => {
            run_subcommand(&arguments)
        }
        (Some("-h" | "--help" | "-v" | "-V" | "--version"), _) => run_subcommand(&arguments),
        _ => kvik_server::run(arguments.into_iter().skip(1)),
    }
}

fn run_subcommand(arguments: &[OsString]) -> ExitCode {
    let matches = arguments::command().get_matches_from(arguments);
    match matches.subcommand() {
        Some(("check", matches)) => check::run(matches),
        Some(("cli", matches)) => cli::run(matches),
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
