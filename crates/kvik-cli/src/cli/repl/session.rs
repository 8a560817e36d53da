//! The state behind the prompt: the connection, the database, an open transaction; and the running
//! of lines.
//!
//! A connection that the server closed while nobody looked (a timeout, a restart) is noticed before
//! the next command is sent, and made anew. A command that was already sent is never sent again: it
//! may have been executed.
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
use crate::cli::line::Line;
use crate::cli::settings::Settings;
use crate::cli::{is_answer, is_report, is_stream};

/// How long to wait for a reply before looking for Ctrl-C.
const SLICE: Duration = Duration::from_millis(100);

/// How long a connection and its handshake may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Commands that take longer get their duration printed.
const SLOW: Duration = Duration::from_millis(500);

/// What follows a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next prompt.
    Prompt,
    /// The end.
    Leave,
}

/// The state behind the prompt.
pub(super) struct Session {
    settings: Settings,
    client: Option<Client>,
    in_transaction: bool,
    interrupted: Arc<AtomicBool>,
}

impl Session {
    /// A session, connected if the server can be reached.
    pub(super) fn start(mut settings: Settings) -> io::Result<Self> {
        settings.options.connect_timeout = Some(CONNECT_PATIENCE);
        settings.options.read_timeout = Some(CONNECT_PATIENCE);
        let interrupted = catch_interrupts()?;
        let mut session = Self {
            settings,
            client: None,
            in_transaction: false,
            interrupted,
        };
        if let Err(error) = session.connected() {
            complain(&error)?;
        }
        Ok(session)
    }

    /// What the prompt shows now.
    pub(super) fn prompt(&self) -> SessionPrompt {
        let Endpoint { address, db, .. } = &self.settings.endpoint;
        let database = if *db == 0 {
            String::new()
        } else {
            format!("[{db}]")
        };
        let transaction = if self.in_transaction { "(TX)" } else { "" };
        SessionPrompt::new(match self.client {
            Some(_) => format!("{address}{database}{transaction}"),
            None => "not connected".to_owned(),
        })
    }

    /// Runs one line, be it for the server or for us.
    pub(super) fn run_line(&mut self, text: &str) -> io::Result<Next> {
        match Line::parse(text.as_bytes()) {
            Ok(None) => {}
            Ok(Some(line)) if line.is_farewell() => return Ok(Next::Leave),
            Ok(Some(line)) => self.run_command(&line.command(), line.times())?,
            Err(error) => complain(&error)?,
        }
        Ok(Next::Prompt)
    }

    fn run_command(&mut self, command: &[&[u8]], times: usize) -> io::Result<()> {
        match command {
            [word] if word.eq_ignore_ascii_case(b"clear") => io::stdout().write_all(CLEAR_SCREEN),
            [word, topic @ ..] if word.eq_ignore_ascii_case(b"help") || *word == b"?" => {
                help::write(topic, self.settings.colours, &mut io::stdout())
            }
            _ => self.run_remote(command, times),
        }
    }

    fn run_remote(&mut self, command: &[&[u8]], times: usize) -> io::Result<()> {
        self.interrupted.store(false, Ordering::Relaxed);
        for _ in 0..times {
            let start = now();
            match self.exchange(command) {
                Ok(()) => print_duration(now() - start)?,
                Err(failure) => return self.recover(failure),
            }
        }
        Ok(())
    }

    /// Sends a command and prints what comes back, up to its reply.
    fn exchange(&mut self, command: &[&[u8]]) -> Result<(), Failure> {
        self.connected()?.send(command)?;
        let is_stream = is_stream(command) && !self.in_transaction;
        if is_stream {
            writeln!(io::stdout(), "Reading messages... (press Ctrl-C to stop)")?;
        }
        let as_text = is_stream || is_report(command);
        loop {
            let value = self.receive()?;
            self.settings
                .format
                .write(&value, as_text, &mut io::stdout())?;
            if value.as_error().is_some() || !is_stream && is_answer(command, &value) {
                self.follow_state(command, &value);
                return Ok(());
            }
        }
    }

    /// The next value from the server, unless the user loses patience.
    fn receive(&mut self) -> Result<Value, Failure> {
        let client = self.client.as_mut().ok_or(ClientError::Closed)?;
        loop {
            match client.receive() {
                Err(ClientError::Timeout) if self.interrupted.load(Ordering::Relaxed) => {
                    return Err(Failure::Interrupted);
                }
                Err(ClientError::Timeout) => {}
                result => return Ok(result?),
            }
        }
    }

    /// The connection, made anew if the server has closed it; not within a transaction, whose
    /// beginning is lost.
    fn connected(&mut self) -> Result<&mut Client, ClientError> {
        if self.client.as_mut().is_none_or(|client| !client.is_open()) {
            let begun = self.in_transaction;
            self.hang_up();
            if begun {
                return Err(ClientError::Closed);
            }
            self.client = Some(self.dial()?);
        }
        self.client.as_mut().ok_or(ClientError::Closed)
    }

    /// Connects and logs in. Who is refused is told so and stays connected, to try other
    /// credentials.
    fn dial(&mut self) -> Result<Client, ClientError> {
        let Settings {
            endpoint, options, ..
        } = &mut self.settings;
        let mut client = Client::dial(&endpoint.address, options)?;
        if let Some(password) = &endpoint.password
            && is_refused(client.authenticate(endpoint.username.as_deref(), password))?
        {
            endpoint.password = None;
        }
        client.negotiate(options.protocol)?;
        if endpoint.db != 0 && is_refused(client.select(endpoint.db))? {
            endpoint.db = 0;
        }
        client.set_read_timeout(Some(SLICE))?;
        Ok(client)
    }

    fn hang_up(&mut self) {
        self.client = None;
        self.in_transaction = false;
    }

    /// Reports a failure. The connection is of no use then: if it did not break, a reply is still
    /// under way.
    fn recover(&mut self, failure: Failure) -> io::Result<()> {
        self.hang_up();
        match failure {
            Failure::Interrupted => self.connected().map(drop).or_else(|error| complain(&error)),
            Failure::Client(error) => complain(&error),
            Failure::Terminal(error) => Err(error),
        }
    }

    /// Learns from a command and its reply what the prompt must show and what a new connection must
    /// repeat.
    fn follow_state(&mut self, command: &[&[u8]], reply: &Value) {
        let Some((name, args)) = command.split_first() else {
            return;
        };
        match (name.to_ascii_uppercase().as_slice(), args) {
            (b"EXEC" | b"DISCARD", _) => self.in_transaction = false,
            (b"MULTI", []) if reply.is_ok() => self.in_transaction = true,
            (b"RESET", []) if reply.as_error().is_none() => {
                self.in_transaction = false;
                self.settings.endpoint.db = 0;
            }
            (b"SELECT", [db]) if reply.is_ok() => self.selected(db),
            (b"AUTH", [user @ .., password]) if reply.is_ok() => self.logged_in(user, password),
            _ => {}
        }
    }

    fn selected(&mut self, db: &[u8]) {
        if let Some(db) = str::from_utf8(db).ok().and_then(|text| text.parse().ok()) {
            self.settings.endpoint.db = db;
        }
    }

    /// Keeps the credentials for the next connection, and asks again for what the server may have
    /// refused a stranger.
    fn logged_in(&mut self, user: &[&[u8]], password: &[u8]) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.settings.endpoint.username = user.first().map(|user| text(user));
        self.settings.endpoint.password = Some(text(password));
        if let Some(client) = &mut self.client
            && client.negotiate(self.settings.options.protocol).is_err()
        {
            self.hang_up();
        }
    }
}

/// Why a command has no reply.
#[derive(Debug)]
enum Failure {
    /// The connection failed.
    Client(ClientError),
    /// The user pressed Ctrl-C.
    Interrupted,
    /// There is nowhere to print to.
    Terminal(io::Error),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Terminal(error)
    }
}

/// Tells the user when the server refused a step of the handshake.
fn is_refused(step: Result<(), ClientError>) -> Result<bool, ClientError> {
    match step {
        Err(ClientError::Refused { command, reply }) => {
            eprintln!("{command} failed: {reply}");
            Ok(true)
        }
        result => result.map(|()| false),
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

fn complain(error: &dyn fmt::Display) -> io::Result<()> {
    writeln!(io::stderr(), "Error: {error}")
}

fn print_duration(duration: Duration) -> io::Result<()> {
    if duration < SLOW {
        return Ok(());
    }
    writeln!(io::stdout(), "({:.2}s)", duration.as_secs_f64())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time a user waited is measured where the user waits"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session that never connected.
    fn session(arguments: &[&str]) -> Session {
        let arguments = ["kvik", "cli"].iter().chain(arguments);
        let matches = crate::arguments::command().get_matches_from(arguments);
        let (_, matches) = matches.subcommand().unwrap();
        Session {
            settings: Settings::from_matches(matches).unwrap(),
            client: None,
            in_transaction: false,
            interrupted: Arc::default(),
        }
    }

    fn ok() -> Value {
        Value::Simple("OK".to_owned())
    }

    fn error() -> Value {
        Value::Error("ERR no".to_owned())
    }

    #[test]
    fn a_transaction_lasts_from_multi_to_its_end() {
        let mut session = session(&[]);
        session.follow_state(&[b"multi", b"x"], &error());
        assert!(!session.in_transaction);
        session.follow_state(&[b"multi"], &ok());
        session.follow_state(&[b"SELECT", b"3"], &Value::Simple("QUEUED".to_owned()));
        assert!(session.in_transaction);
        assert_eq!(session.settings.endpoint.db, 0);
        session.follow_state(&[b"Exec"], &error());
        assert!(!session.in_transaction);
    }

    #[test]
    fn a_new_connection_goes_where_the_old_one_was() {
        let mut session = session(&["-n", "1"]);
        session.follow_state(&[b"SELECT", b"99"], &error());
        assert_eq!(session.settings.endpoint.db, 1);
        session.follow_state(&[b"select", b"3"], &ok());
        session.follow_state(&[b"AUTH", b"ann", b"pw"], &ok());
        session.follow_state(&[b"AUTH", b"wrong"], &error());
        let Endpoint {
            username,
            password,
            db,
            ..
        } = &session.settings.endpoint;
        assert_eq!(
            (username.as_deref(), password.as_deref(), *db),
            (Some("ann"), Some("pw"), 3)
        );
        session.follow_state(&[b"AUTH", b"other"], &ok());
        session.follow_state(&[b"RESET"], &Value::Simple("RESET".to_owned()));
        let Endpoint {
            username,
            password,
            db,
            ..
        } = &session.settings.endpoint;
        assert_eq!(
            (username.as_deref(), password.as_deref(), *db),
            (None, Some("other"), 0)
        );
    }

    #[test]
    fn a_transaction_is_not_continued_on_another_connection() {
        let mut session = session(&["-s", "/nonexistent/socket"]);
        session.in_transaction = true;
        assert!(matches!(session.connected(), Err(ClientError::Closed)));
        assert!(!session.in_transaction);
        assert!(matches!(
            session.connected(),
            Err(ClientError::Connect { .. })
        ));
    }
}
