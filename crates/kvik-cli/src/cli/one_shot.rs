//! One command from the command line.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use kvik_client::Client;

use super::settings::Settings;
use super::{connect, is_report, is_stream};

/// Runs the command as often as asked and prints every reply.
pub(crate) fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let command: Vec<&[u8]> = settings.command.iter().map(Vec::as_slice).collect();
    let mut client = connect(&settings.endpoint, &settings.options)?;
    if is_stream(&command) {
        follow(&mut client, &command, &settings)?;
    }
    let mut left = settings.repeat;
    while left != Some(0) {
        left = left.map(|count| count - 1);
        let reply = client.call(&command)?;
        if settings.fail
            && let Some(error) = reply.as_error()
        {
            eprintln!("{error}");
            return Ok(ExitCode::FAILURE);
        }
        settings
            .format
            .write(&reply, is_report(&command), &mut io::stdout())?;
        if left != Some(0) {
            pause(settings.interval);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints messages until the connection ends.
fn follow(client: &mut Client, command: &[&[u8]], settings: &Settings) -> anyhow::Result<()> {
    client.send(command)?;
    let mut stdout = io::stdout();
    loop {
        settings
            .format
            .write(&client.receive()?, true, &mut stdout)?;
        stdout.flush()?;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command line may sleep when its user says so"
)]
fn pause(interval: Duration) {
    if !interval.is_zero() {
        std::thread::sleep(interval);
    }
}
