//! Plays transcripts against a target and reports every reply that is not what was written.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kvik_resp::{ArgsBuf, Value};

use super::matching::{Bindings, Matcher};
use super::parse::parse;
use super::pattern::Pattern;
use super::{Action, Case, Expected, Need, Step, Word, Written};
use crate::target::{Connection, Identity, Received, Reply, Target};

/// How long a reply may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time between two attempts at a command that is sent until its reply is the one expected.
const BETWEEN: Duration = Duration::from_millis(10);
/// How long nothing must arrive for a connection to count as silent.
const SILENCE: Duration = Duration::from_millis(50);

/// Plays every transcript of `tests/commands`; panics with all failures.
pub(crate) fn play_all(target: &dyn Target) {
    play_folder(target, "commands");
}

/// Plays every transcript of a folder of `tests`; panics with all failures.
pub(crate) fn play_folder(target: &dyn Target, folder: &str) {
    play_except(target, folder, &[]);
}

/// A case that is not played, with its file and the reason.
pub(crate) type Exception = (&'static str, &'static str, &'static str);

/// The same but for some cases, which must fail: an exception that is none is a fault as well.
pub(crate) fn play_except(target: &dyn Target, folder: &str, exceptions: &[Exception]) {
    let files = transcripts(folder);
    let mut outcome = Outcome {
        exceptions: exceptions.to_vec(),
        ..Outcome::default()
    };
    for file in &files {
        outcome.play_file(file, target);
    }
    let Outcome {
        played,
        skipped,
        failures,
        ..
    } = outcome;
    println!(
        "{}: {played} cases played, {skipped} not for it",
        target.identity()
    );
    assert!(
        failures.is_empty(),
        "{} failures:\n\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(played > 0, "no transcripts found");
}

/// The first two words of every command that a transcript sends.
pub(crate) fn sent_commands() -> HashSet<[Vec<u8>; 2]> {
    let mut sent = HashSet::new();
    for path in ["commands", "namespaces", "cluster"]
        .iter()
        .flat_map(|folder| files(folder, ""))
    {
        let text = std::fs::read_to_string(&path).expect("a readable transcript");
        let cases = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for step in cases.iter().flat_map(|case| &case.steps) {
            if let Action::Send(words) | Action::SendBehind(words) | Action::SendUntil(words) =
                &step.action
            {
                let word = |at| match words.get(at) {
                    Some(Word::Bytes(bytes)) => bytes.to_ascii_uppercase(),
                    Some(Word::Variable(_)) | None => Vec::new(),
                };
                sent.insert([word(0), word(1)]);
            }
        }
    }
    sent
}

/// Every case that is for all of these servers, with the name of its file.
pub(crate) fn told_cases(targets: &[&Identity]) -> Vec<(String, Case)> {
    let mut all = Vec::new();
    for path in transcripts("commands") {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(&path).expect("a readable transcript");
        let cases = parse(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let shared = cases
            .into_iter()
            .filter(|case| targets.iter().all(|target| case.is_for(target)));
        all.extend(shared.map(|case| (file.clone().into_owned(), case)));
    }
    all
}

/// Plays one case, after all databases have been emptied and `prepare` was called.
pub(crate) fn play_alone(
    case: &Case,
    target: &dyn Target,
    prepare: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let mut play = Play::new(target);
    play.empty()?;
    prepare()?;
    play.steps(case)
}

/// Every file, or only those whose name contains `KVIK_TRANSCRIPT`.
fn transcripts(folder: &str) -> Vec<PathBuf> {
    files(
        folder,
        &std::env::var("KVIK_TRANSCRIPT").unwrap_or_default(),
    )
}

fn files(folder: &str, wanted: &str) -> Vec<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let folder = tests.join(folder);
    let entries = std::fs::read_dir(&folder).expect("a folder of the repository");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let is_wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".txt") && name.contains(wanted)
    };
    let mut paths: Vec<_> = paths.filter(is_wanted).collect();
    paths.sort();
    paths
}

#[derive(Default)]
struct Outcome {
    played: usize,
    skipped: usize,
    failures: Vec<String>,
    exceptions: Vec<Exception>,
}

impl Outcome {
    fn play_file(&mut self, path: &Path, target: &dyn Target) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(path).expect("a readable transcript");
        let cases = parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        refuse_namesakes(&name, &cases);
        for case in &cases {
            if !case.is_for(target.identity()) {
                self.skipped += 1;
                continue;
            }
            self.played += 1;
            let played = Play::new(target).case(case);
            let is_this = |it: &&Exception| it.0 == name && it.1 == case.name;
            match (played, self.exceptions.iter().find(is_this)) {
                (Ok(()), None) | (Err(_), Some(_)) => {}
                (Ok(()), Some((.., reason))) => self.failures.push(format!(
                    "{name}:{}: no exception although {reason}\n    in: {}\n",
                    case.line, case.name
                )),
                (Err(failure), None) => self
                    .failures
                    .push(format!("{name}:{failure}    in: {}\n", case.name)),
            }
        }
    }
}

/// A case is found by its name.
fn refuse_namesakes(file: &str, cases: &[Case]) {
    let mut names = HashSet::new();
    for case in cases {
        assert!(
            names.insert(&case.name),
            "{file}:{}: a second case named {:?}",
            case.line,
            case.name
        );
    }
}

impl Case {
    fn is_for(&self, identity: &Identity) -> bool {
        self.needs.iter().all(|need| match need {
            Need::Version(any) => any
                .iter()
                .any(|(product, version)| identity.has(*product, *version)),
            Need::Only(names) => names.split(',').any(|name| {
                let is = identity.is(name);
                is.unwrap_or_else(|error| panic!("{}: {error}", self.line))
            }),
        })
    }
}

/// One case being played: its connections, opened when first named, and its variables.
struct Play<'a> {
    target: &'a dyn Target,
    connections: BTreeMap<u32, Party>,
    bindings: Bindings,
    /// Until when the last command is sent again if its reply is not the one expected.
    sends_until: Option<Instant>,
}

/// A connection and what was last sent on it.
struct Party {
    connection: Box<dyn Connection>,
    protocol: u8,
    sent: ArgsBuf,
}

impl<'a> Play<'a> {
    fn new(target: &'a dyn Target) -> Self {
        Self {
            target,
            connections: BTreeMap::new(),
            bindings: Bindings::new(),
            sends_until: None,
        }
    }

    /// Ends at the first reply that is not as written; the rest is sent all the same, as it may
    /// restore settings.
    fn case(&mut self, case: &Case) -> Result<(), String> {
        self.empty()
            .map_err(|error| format!("{}: {error}\n", case.line))?;
        self.steps(case)
    }

    fn steps(&mut self, case: &Case) -> Result<(), String> {
        for (at, step) in case.steps.iter().enumerate() {
            if let Err(error) = self.step(step) {
                self.send_unjudged(&case.steps[at + 1..]);
                return Err(format!("{}: {error}\n", step.line));
            }
        }
        self.connections.clear();
        self.target
            .check()
            .map_err(|error| format!("{}: {error}\n", case.line))
    }

    fn send_unjudged(&mut self, steps: &[Step]) {
        for step in steps {
            if let Action::Send(words) = &step.action {
                let _ = self.send(step.connection, words);
                let _ = self
                    .party(step.connection)
                    .map(|party| party.connection.receive(SILENCE));
            }
        }
    }

    fn empty(&self) -> Result<(), String> {
        let mut connection = self.target.connect()?;
        let flush: ArgsBuf = ["FLUSHALL"].into_iter().collect();
        connection.send(flush.as_args())?;
        connection.receive(PATIENCE).map(drop)
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.action {
            Action::Wait(time) => self.target.wait(*time),
            Action::Send(words) | Action::SendBehind(words) => self.send(step.connection, words)?,
            Action::SendUntil(words) => {
                self.send(step.connection, words)?;
                self.sends_until = Some(Instant::now() + PATIENCE);
            }
            Action::Expect(expected) => self.expect_soon(step.connection, expected)?,
        }
        Ok(())
    }

    /// Expects a reply, if not to the last command then to the same one sent again.
    fn expect_soon(&mut self, number: u32, expected: &Expected) -> Result<(), String> {
        let until = self.sends_until.take();
        loop {
            let outcome = self.expect(number, expected);
            if outcome.is_ok() || until.is_none_or(|until| Instant::now() >= until) {
                return outcome;
            }
            self.target.wait(BETWEEN);
            let party = self.party(number)?;
            let command = party.sent.clone();
            party.connection.send(command.as_args())?;
        }
    }

    fn party(&mut self, number: u32) -> Result<&mut Party, String> {
        if !self.connections.contains_key(&number) {
            let connection = self.target.connect()?;
            let protocol = self.target.identity().protocol;
            self.connections.insert(
                number,
                Party {
                    connection,
                    protocol,
                    sent: ArgsBuf::new(),
                },
            );
        }
        self.connections
            .get_mut(&number)
            .ok_or_else(|| "inserted above".into())
    }

    fn send(&mut self, number: u32, words: &[Word]) -> Result<(), String> {
        let command = words
            .iter()
            .map(|word| self.bytes(word))
            .collect::<Result<ArgsBuf, _>>()?;
        let party = self.party(number)?;
        party.connection.send(command.as_args())?;
        party.sent = command;
        Ok(())
    }

    fn bytes(&self, word: &Word) -> Result<Vec<u8>, String> {
        let name = match word {
            Word::Bytes(bytes) => return Ok(bytes.clone()),
            Word::Variable(name) => name,
        };
        match self
            .bindings
            .get(name)
            .ok_or(format!("${name} is not bound"))?
        {
            Value::Integer(value) => Ok(value.to_string().into_bytes()),
            value => value
                .as_bytes()
                .map(<[u8]>::to_vec)
                .ok_or(format!("${name} is {value:?}")),
        }
    }

    fn expect(&mut self, number: u32, expected: &Expected) -> Result<(), String> {
        let party = self.party(number)?;
        let patience = if expected.any.pattern == Pattern::Nothing {
            SILENCE
        } else {
            PATIENCE
        };
        let received = party
            .connection
            .receive(patience)
            .map_err(|error| party.complain(&error))?;
        party.follow(&received);
        let protocol = party.protocol;
        let Written { text, pattern } = expected.in_protocol(protocol);
        let mut matcher = Matcher {
            protocol,
            bindings: &mut self.bindings,
        };
        if matcher.received(pattern, &received)
            || self.target.identity().is_scripted
                && matcher.received(&pattern.through_lua(protocol), &received)
        {
            return Ok(());
        }
        let text = format!("expected {text}\n    received {}", shown(&received));
        Err(self.party(number)?.complain(&text))
    }
}

impl Party {
    /// Keeps track of the protocol through HELLO and RESET.
    fn follow(&mut self, received: &Received) {
        if matches!(
            received,
            Received::Reply(Reply {
                value: Value::Error(_),
                ..
            })
        ) {
            return;
        }
        match self.sent.as_args().iter().collect::<Vec<_>>()[..] {
            [name, version, ..] if name.eq_ignore_ascii_case(b"HELLO") => {
                self.protocol = if version == b"3" { 3 } else { 2 };
            }
            [name] if name.eq_ignore_ascii_case(b"RESET") => self.protocol = 2,
            _ => {}
        }
    }

    fn complain(&self, text: &str) -> String {
        let mut command = String::new();
        for word in self.sent.as_args() {
            let _ = write!(command, " {}", word.escape_ascii());
        }
        format!("{command} (RESP{})\n    {text}", self.protocol)
    }
}

/// What arrived, as a transcript would write it.
fn shown(received: &Received) -> String {
    match received {
        Received::Reply(Reply {
            null_array: true, ..
        }) => "nil[]".into(),
        Received::Reply(reply) => shown_value(&reply.value),
        Received::Nothing => "(nothing)".into(),
        Received::Closed => "(closed)".into(),
    }
}

fn shown_value(value: &Value) -> String {
    let list = |values: &[Value]| values.iter().map(shown_value).collect::<Vec<_>>().join(" ");
    match value {
        Value::Null => "nil".into(),
        Value::Simple(text) => format!("+{}", text.as_bytes().escape_ascii()),
        Value::Error(text) => format!("-\"{}\"", text.as_bytes().escape_ascii()),
        Value::Integer(value) => value.to_string(),
        Value::Bulk(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Value::Double(value) => format!(",{value}"),
        Value::Boolean(value) => if *value { "#t" } else { "#f" }.into(),
        Value::Verbatim { format, text } => format!("{format}\"{}\"", text.escape_ascii()),
        Value::Array(values) => format!("[{}]", list(values)),
        Value::Set(values) => format!("set[{}]", list(values)),
        Value::Push(values) => format!("push[{}]", list(values)),
        Value::Map(pairs) => {
            let pair = |(key, value): &(Value, Value)| {
                format!("{} {}", shown_value(key), shown_value(value))
            };
            format!(
                "{{{}}}",
                pairs.iter().map(pair).collect::<Vec<_>>().join("  ")
            )
        }
        Value::BigNumber(_) | Value::Attributed { .. } => format!("{value:?}"),
    }
}
