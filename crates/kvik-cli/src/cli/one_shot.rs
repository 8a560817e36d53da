//! One command from the command line.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use kvik_client::{Client, Value};

use super::settings::Settings;
use super::{connect, is_answer, is_report, is_stream};

/// Runs the command as often as asked and prints every reply.
pub(crate) fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let command: Vec<&[u8]> = settings.command.iter().map(Vec::as_slice).collect();
    let mut client = connect(&settings.endpoint, &settings.options)?;
    let mut left = settings.repeat;
    while left != Some(0) {
        left = left.map(|count| count - 1);
        let reply = exchange(&mut client, &command, &settings)?;
        // With -e the error goes to standard error, where a script does not take it for data.
        if settings.fail
            && let Some(error) = reply.as_error()
        {
            io::stderr().write_all(&[error.as_bytes(), b"\n"].concat())?;
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

/// Sends the command and returns its reply. Messages without end, as after SUBSCRIBE, are printed
/// as they come.
fn exchange(client: &mut Client, command: &[&[u8]], settings: &Settings) -> anyhow::Result<Value> {
    client.send(command)?;
    let is_stream = is_stream(command);
    loop {
        let value = client.receive()?;
        if value.as_error().is_some() || !is_stream && is_answer(command, &value) {
            return Ok(value);
        }
        settings
            .format
            .write(&value, is_stream, &mut io::stdout())?;
        io::stdout().flush()?;
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
