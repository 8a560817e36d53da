//! The running of lines: commands of the session itself, commands for the server, and the
//! connection.
//!
//! A connection that the server closed while nobody looked (a timeout, a restart) is noticed before
//! the next command is sent, and made anew as it was ([`super::state`]). What cannot be restored, a
//! WATCH and an open transaction, is reported as lost, and no command of that transaction is sent.
//! A command that was already sent is never sent again: it may have been executed.
//!
//! Waiting for a reply is done in slices, so that Ctrl-C gets through. It gives the connection up,
//! which is the one way to leave `BLPOP key 0`, `MONITOR` or `SUBSCRIBE` that needs no help from
//! the server.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kvik_client::{Client, ClientError, Endpoint, Value};
use signal_hook::consts::SIGINT;

use super::help;
use super::prompt::SessionPrompt;
use super::state::{Refusal, State, Words};
use crate::cli::line::Line;
use crate::cli::settings::Settings;
use crate::cli::{is_answer, is_report, is_stream};

/// How long to wait for a reply before looking for Ctrl-C.
const SLICE: Duration = Duration::from_millis(100);

/// How long a connection and its handshake may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Commands that take longer get their duration printed.
const SLOW: Duration = Duration::from_millis(500);

/// The step after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next line.
    Line,
    /// The next prompt, without the lines that came together with this one: they may count on it.
    Prompt,
    /// The end.
    Leave,
}

/// Where replies and complaints are shown.
struct Screen {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
}

/// The running of lines.
pub(super) struct Session {
    settings: Settings,
    client: Option<Client>,
    state: State,
    /// A database that the server refused when the connection was made.
    refused_db: Option<u32>,
    screen: Screen,
    interrupted: Arc<AtomicBool>,
}

impl Session {
    /// A session, connected if the server can be reached.
    pub(super) fn start(mut settings: Settings) -> io::Result<Self> {
        settings.options.connect_timeout = Some(CONNECT_PATIENCE);
        settings.options.read_timeout = Some(CONNECT_PATIENCE);
        let screen = Screen {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
        };
        let mut session = Self::new(settings, screen, catch_interrupts()?);
        if let Err(failure) = session.connect() {
            session.report(failure)?;
        }
        Ok(session)
    }

    fn new(settings: Settings, screen: Screen, interrupted: Arc<AtomicBool>) -> Self {
        let Endpoint {
            db,
            username,
            password,
            ..
        } = &settings.endpoint;
        let mut state = State::new(*db, settings.options.protocol);
        if let Some(password) = password {
            state.log_in(username.as_deref(), password);
        }
        Self {
            settings,
            client: None,
            state,
            refused_db: None,
            screen,
            interrupted,
        }
    }

    /// The prompt for the next line.
    pub(super) fn prompt(&self) -> SessionPrompt {
        let address = &self.settings.endpoint.address;
        let database = match self.state.db {
            0 => String::new(),
            db => format!("[{db}]"),
        };
        let transaction = self.state.transaction_mark();
        SessionPrompt::new(match self.client {
            Some(_) => format!("{address}{database}{transaction}"),
            None => format!("not connected{transaction}"),
        })
    }

    /// Runs one line, whether for the server or for the session itself.
    pub(super) fn run_line(&mut self, text: &str) -> io::Result<Next> {
        match Line::parse(text.as_bytes()) {
            Ok(None) => Ok(Next::Line),
            Ok(Some(line)) if line.is_farewell() => Ok(Next::Leave),
            Ok(Some(line)) => self.run_command(&line.command(), line.times()),
            Err(error) => {
                self.screen.complain(&error)?;
                Ok(Next::Line)
            }
        }
    }

    /// Says that lines were left out after one that failed.
    pub(super) fn skip(&mut self, lines: usize) -> io::Result<()> {
        if lines == 0 {
            return Ok(());
        }
        self.screen
            .complain(&format_args!("not run: the {lines} lines after it"))
    }

    fn run_command(&mut self, command: &[&[u8]], times: usize) -> io::Result<Next> {
        match command {
            [word] if word.eq_ignore_ascii_case(b"clear") => {
                self.screen.out.write_all(CLEAR_SCREEN)?;
            }
            [word, topic @ ..] if word.eq_ignore_ascii_case(b"help") || *word == b"?" => {
                help::write(topic, self.settings.colours, &mut self.screen.out)?;
            }
            _ => return self.run_remote(command, times),
        }
        Ok(Next::Line)
    }

    fn run_remote(&mut self, command: &[&[u8]], times: usize) -> io::Result<Next> {
        self.interrupted.store(false, Ordering::Relaxed);
        for _ in 0..times {
            let start = now();
            match self.exchange(command) {
                Ok(()) => self.screen.print_duration(now() - start)?,
                Err(failure) => {
                    self.report(failure)?;
                    return Ok(Next::Prompt);
                }
            }
        }
        Ok(Next::Line)
    }

    /// Sends a command and prints the values that come back, up to its reply.
    fn exchange(&mut self, command: &[&[u8]]) -> Result<(), Failure> {
        self.check_connection()?;
        // Before connecting: a command that must not be sent needs no connection.
        self.state.admit(command)?;
        self.connect()?;
        // In a transaction SUBSCRIBE is queued: its one reply is QUEUED.
        let is_stream = is_stream(command) && !self.state.is_in_transaction();
        if is_stream {
            writeln!(
                self.screen.out,
                "Reading messages... (press Ctrl-C to stop)"
            )?;
        }
        let as_text = is_stream || is_report(command);
        let is_exec = command[0].eq_ignore_ascii_case(b"EXEC");
        self.send(command)
            .map_err(|error| Failure::Unanswered { error, is_exec })?;
        loop {
            let value = self
                .receive()
                .map_err(|failure| failure.after_sending(is_exec))?;
            self.settings
                .format
                .write(&value, as_text, &mut self.screen.out)?;
            // Pushes before the reply are printed and waited over; a stream goes on until an error
            // or Ctrl-C.
            if value.as_error().is_some() || !is_stream && is_answer(command, &value) {
                return self.learn(command, &value);
            }
        }
    }

    fn send(&mut self, command: &[&[u8]]) -> Result<(), ClientError> {
        let client = self.client.as_mut().ok_or(ClientError::Closed)?;
        client.send(command)
    }

    /// The next value from the server, unless the user loses patience.
    fn receive(&mut self) -> Result<Value, Failure> {
        let client = self.client.as_mut().ok_or(ClientError::Closed)?;
        loop {
            match client.receive() {
                // A time limit is no failure here: it is the moment to look for Ctrl-C.
                Err(ClientError::Timeout) if self.interrupted.load(Ordering::Relaxed) => {
                    return Err(Failure::Interrupted { is_exec: false });
                }
                Err(ClientError::Timeout) => {}
                result => return Ok(result?),
            }
        }
    }

    /// Notices that the server has closed the connection, and reports what went with it.
    fn check_connection(&mut self) -> io::Result<()> {
        if self.client.as_mut().is_some_and(|client| !client.is_open()) {
            self.hang_up("the server closed the connection")?;
        }
        Ok(())
    }

    /// Connects unless there is a connection.
    fn connect(&mut self) -> Result<(), Failure> {
        if self.client.is_none() {
            let client = self.dial()?;
            self.client = Some(client);
        }
        Ok(())
    }

    /// Makes a connection that is like the last one. Who is refused is told so and stays connected,
    /// to try other credentials.
    fn dial(&mut self) -> Result<Client, ClientError> {
        let Self {
            settings,
            state,
            screen,
            ..
        } = self;
        let mut client = Client::dial(&settings.endpoint.address, &settings.options)?;
        // The account comes first: the server may refuse all the others to a stranger.
        restore(&mut client, state.account(), state, screen)?;
        client.negotiate(state.protocol)?;
        if state.db != 0 && screen.is_refused(client.select(state.db))? {
            self.refused_db = Some(std::mem::take(&mut state.db));
        }
        restore(&mut client, state.settings(), state, screen)?;
        client.set_read_timeout(Some(SLICE))?;
        Ok(client)
    }

    /// Gives the connection up, for a reason, and reports what cannot be restored.
    fn hang_up(&mut self, reason: &str) -> io::Result<()> {
        self.client = None;
        match self.state.lose_connection().names() {
            "" => Ok(()),
            lost => self
                .screen
                .complain(&format_args!("{reason}; {lost} is lost")),
        }
    }

    /// Reports a failure. A connection on which a reply is still under way is of no use.
    fn report(&mut self, failure: Failure) -> io::Result<()> {
        match failure {
            Failure::Terminal(error) => Err(error),
            Failure::Refused(refusal) => self.screen.complain(&refusal),
            Failure::Client(error) => {
                self.screen.complain(&error)?;
                self.hang_up("the connection was given up")
            }
            Failure::Interrupted { is_exec } => {
                self.report_unanswered(&"the connection was given up", is_exec)?;
                match self.connect() {
                    Err(Failure::Client(error)) => self.screen.complain(&error),
                    Err(Failure::Terminal(error)) => Err(error),
                    _ => Ok(()),
                }
            }
            Failure::Unanswered { error, is_exec } => self.report_unanswered(&error, is_exec),
        }
    }

    /// Nobody can say whether a command was executed whose reply did not come. Of a transaction
    /// that holds for EXEC only: the server throws away what it has queued.
    fn report_unanswered(&mut self, reason: &dyn fmt::Display, is_exec: bool) -> io::Result<()> {
        if is_exec {
            self.state.forget_transaction();
        }
        if !self.state.is_in_transaction() {
            self.screen.complain(&format_args!(
                "{reason}; whether the command was executed is unknown"
            ))?;
        }
        self.hang_up(&reason.to_string())
    }

    /// Learns from a command and its reply what the prompt shows and a new connection repeats.
    fn learn(&mut self, command: &[&[u8]], reply: &Value) -> Result<(), Failure> {
        self.state.follow(command, reply);
        if command[0].eq_ignore_ascii_case(b"AUTH") && reply.is_ok() {
            self.catch_up()?;
        }
        Ok(())
    }

    /// After a login: asks again for the protocol and the database that the server may have refused
    /// to a stranger.
    fn catch_up(&mut self) -> Result<(), Failure> {
        let Some(client) = &mut self.client else {
            return Ok(());
        };
        client.negotiate(self.state.protocol)?;
        // Once is enough: later the user may want database 0.
        if let Some(wanted) = self.refused_db.take()
            && client.select(wanted).is_ok()
        {
            self.state.db = wanted;
        }
        Ok(())
    }
}

/// Repeats commands on a new connection, and forgets those that the server refuses now.
fn restore(
    client: &mut Client,
    commands: Vec<Words>,
    state: &mut State,
    screen: &mut Screen,
) -> Result<(), ClientError> {
    for words in commands {
        if let Some(error) = client.call(&words)?.as_error() {
            let name = String::from_utf8_lossy(&words[0]).to_uppercase();
            screen.complain(&format_args!(
                "{name} failed on the new connection: {error}"
            ))?;
            state.forget_setting(&words);
        }
    }
    Ok(())
}

/// Why a command has no reply.
#[derive(Debug)]
enum Failure {
    /// There is no connection; the command was not sent.
    Client(ClientError),
    /// The connection failed after the command, or a part of it, was sent.
    Unanswered { error: ClientError, is_exec: bool },
    /// The command belongs to something that is lost; it was not sent.
    Refused(Refusal),
    /// The user pressed Ctrl-C while the reply was awaited.
    Interrupted { is_exec: bool },
    /// There is nowhere to print to.
    Terminal(io::Error),
}

impl Failure {
    fn after_sending(self, is_exec: bool) -> Self {
        match self {
            Self::Client(error) => Self::Unanswered { error, is_exec },
            Self::Interrupted { .. } => Self::Interrupted { is_exec },
            other => other,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Terminal(error)
    }
}

impl Screen {
    fn complain(&mut self, error: &dyn fmt::Display) -> io::Result<()> {
        writeln!(self.err, "Error: {error}")
    }

    /// Tells the user when the server refused a step of the handshake.
    fn is_refused(&mut self, step: Result<(), ClientError>) -> Result<bool, ClientError> {
        match step {
            Err(ClientError::Refused { command, reply }) => {
                writeln!(self.err, "{command} failed: {reply}")?;
                Ok(true)
            }
            result => result.map(|()| false),
        }
    }

    fn print_duration(&mut self, duration: Duration) -> io::Result<()> {
        if duration < SLOW {
            return Ok(());
        }
        writeln!(self.out, "({:.2}s)", duration.as_secs_f64())
    }
}

const CLEAR_SCREEN: &[u8] = b"\x1b[H\x1b[2J";

/// A flag that Ctrl-C sets. Pressed again before anybody looked, Ctrl-C ends the program.
fn catch_interrupts() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register_conditional_shutdown(SIGINT, 1, Arc::clone(&interrupted))?;
    signal_hook::flag::register(SIGINT, Arc::clone(&interrupted))?;
    Ok(interrupted)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time a user waited is measured where the user waits"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
