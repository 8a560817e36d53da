//! Commands from a pipe or a file, one per line.
//!
//! Lines that have already arrived are sent together and their replies printed in order, so a file
//! of a million commands does not wait a million times, and a line typed into a pipe is still
//! answered at once. Output is that of redis-cli: every reply takes its place on standard output,
//! errors too. Standard error says at the end how many failed and on which line it began.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;

use kvik_client::{Client, ClientError, Text};

use super::line::Line;
use super::settings::Settings;
use super::{connect, is_report, is_stream};

/// Commands sent together at most: enough to hide the round trip, little enough for any server to
/// hold the replies.
const BATCH_MAX: usize = 512;

/// Runs the lines of standard input.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let client = connect(&settings.endpoint, &settings.options)?;
    let mut batch = Batch {
        settings,
        client,
        pending: Vec::new(),
        failures: Failures::default(),
    };
    batch.run_lines(&mut BufReader::new(io::stdin()))?;
    batch.failures.summarize()?;
    let failed = settings.fail && batch.failures.count > 0;
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

struct Batch<'a> {
    settings: &'a Settings,
    client: Client,
    /// Lines that were read and not yet sent, with their numbers.
    pending: Vec<(usize, Line)>,
    failures: Failures,
}

impl Batch<'_> {
    fn run_lines<R: Read>(&mut self, input: &mut BufReader<R>) -> anyhow::Result<()> {
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            if input.read_until(b'\n', &mut text)? == 0 {
                break;
            }
            match Line::parse(&text) {
                Ok(Some(line)) if line.is_farewell() => break,
                Ok(Some(line)) => self.push(number, line)?,
                Ok(None) => {}
                Err(error) => self.failures.syntax(number, error),
            }
            // The next read may wait, so whoever wrote these lines gets their replies now.
            if !input.buffer().contains(&b'\n') {
                self.flush()?;
            }
        }
        self.flush()
    }

    fn push(&mut self, number: usize, line: Line) -> anyhow::Result<()> {
        if is_stream(&line.command()) {
            // Its messages never end: replies to the lines before it have to come first.
            self.flush()?;
            return self.follow(number, &line);
        }
        self.pending.push((number, line));
        if self.pending.len() >= BATCH_MAX {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let calls: Vec<(usize, Vec<&[u8]>)> = pending
            .iter()
            .flat_map(|(number, line)| (0..line.times()).map(|_| (*number, line.command())))
            .collect();
        // A number before a command can make one line a million calls.
        for calls in calls.chunks(BATCH_MAX) {
            self.run_calls(calls)?;
        }
        Ok(())
    }

    fn run_calls(&mut self, calls: &[(usize, Vec<&[u8]>)]) -> anyhow::Result<()> {
        let commands: Vec<&[&[u8]]> = calls
            .iter()
            .map(|(_, command)| command.as_slice())
            .collect();
        let replies = self.client.pipeline(&commands)?;
        let mut stdout = BufWriter::new(io::stdout().lock());
        for ((number, command), reply) in calls.iter().zip(replies) {
            if let Some(error) = reply.as_error() {
                self.failures.reply(*number, error);
            }
            self.settings
                .format
                .write(&reply, is_report(command), &mut stdout)?;
        }
        stdout.flush()?;
        Ok(())
    }

    /// Prints messages until the connection ends.
    fn follow(&mut self, number: usize, line: &Line) -> anyhow::Result<()> {
        self.client.send(&line.command())?;
        loop {
            let message = match self.client.receive() {
                Err(ClientError::Closed) => return Ok(()),
                result => result?,
            };
            self.settings
                .format
                .write(&message, true, &mut io::stdout())?;
            if let Some(error) = message.as_error() {
                self.failures.reply(number, error);
                return Ok(());
            }
        }
    }
}

/// The commands that failed.
#[derive(Debug, Default)]
struct Failures {
    count: usize,
    first: Option<(usize, Text)>,
}

impl Failures {
    /// A line that could not be read as a command; it was not sent.
    fn syntax(&mut self, line: usize, error: impl std::fmt::Display) {
        eprintln!("line {line}: {error}");
        self.count += 1;
    }

    /// An error reply.
    fn reply(&mut self, line: usize, error: &Text) {
        self.count += 1;
        self.first.get_or_insert_with(|| (line, error.clone()));
    }

    fn summarize(&self) -> io::Result<()> {
        let Some((line, error)) = &self.first else {
            return Ok(());
        };
        let count = self.count;
        let start = format!("failed commands: {count}; the first error reply on line {line}: ");
        io::stderr().write_all(&[start.as_bytes(), error.as_bytes(), b"\n"].concat())
    }
}
