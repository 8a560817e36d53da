//! `kvik backup`: a copy of a running server's files, made by the server.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ArgMatches;
use kvik_client::Client;

use crate::cli::settings::{endpoint, options};

/// Runs the subcommand.
pub(crate) fn run(matches: &ArgMatches) -> ExitCode {
    match try_run(matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kvik backup: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the output of the command")]
fn try_run(matches: &ArgMatches) -> anyhow::Result<()> {
    let name = matches.get_one::<String>("name").expect("it is required");
    let mut client =
        Client::open(&endpoint(matches)?, &options(matches)).context("cannot connect")?;
    let reply = client.call(&["BACKUP", "TO", name])?;
    if let Some(error) = reply.as_error() {
        bail!("{error}");
    }
    let setting = client.call(&["CONFIG", "GET", "backup-dir"])?;
    // The account may not see settings.
    let below = match setting.as_slice() {
        Some([_, directory]) => directory.as_str().unwrap_or("backup-dir").to_owned(),
        _ => "backup-dir".to_owned(),
    };
    println!("backed up to {below}/{name} on the server's machine");
    Ok(())
}
