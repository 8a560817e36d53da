//! Reads whole units from an append-only file.
//!
//! The file is a sequence of commands as clients send them, with SELECT, MULTI and EXEC between
//! them and annotations (`#TS:seconds`) before them. [`UnitReader`] gives them unit by unit: a
//! single command, or all that stand between a MULTI and its EXEC, each with the database that is
//! selected. It remembers where the last whole unit ended, which is where a torn file is cut.
//!
//! Memory is taken for the largest unit, as its bytes arrive, and never for a length that is only
//! announced. Words are not copied. It does not know commands, but for those that frame units.

use std::io::{self, Read};
use std::ops::Range;

use kvik_resp::{Args, Limits, Parsed, RequestParser, Span};

/// How much is read at once, at least.
const READ_BYTES: usize = 256 << 10;
/// A buffer that a large unit has grown beyond this shrinks when the unit is done.
const KEPT_BYTES: usize = 4 << 20;
/// Longest annotation, as Redis reads them.
const MAX_ANNOTATION: usize = 1024;

/// Reads the units of an append-only file.
pub struct UnitReader<R> {
    source: R,
    /// The bytes read so far; the unit that is being parsed starts at `start`, and `filled` is
    /// where free room begins.
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    /// Where `start` lies in the file.
    offset: u64,
    parser: RequestParser,
    limits: Limits,
    spans: Vec<Span>,
    commands: Vec<CommandAt>,
    database: u32,
    time_s: Option<u64>,
    /// Length of the unit that was handed out last; the next call passes over it.
    given: usize,
}

/// A command of the unit that is being parsed.
#[derive(Clone, Debug)]
struct CommandAt {
    /// Where it begins and ends, counted from the unit's start.
    at: usize,
    end: usize,
    spans: Range<usize>,
    database: u32,
}

/// A whole unit. All of it is applied, or none.
#[derive(Clone, Copy, Debug)]
pub struct ReadUnit<'a> {
    /// Where it begins in the file.
    pub start: u64,
    /// Where it ends in the file.
    pub end: u64,
    /// Seconds since 1970 of the last annotation before its end; none if there is none.
    pub time_s: Option<u64>,
    buffer: &'a [u8],
    spans: &'a [Span],
    commands: &'a [CommandAt],
}

impl<'a> ReadUnit<'a> {
    /// Where each effect ends in the file, in their order. The last one ends with the unit.
    pub fn ends(self) -> impl Iterator<Item = u64> {
        let (last, start, end) = (self.commands.len() - 1, self.start, self.end);
        let commands = self.commands.iter().enumerate();
        commands.map(move |(at, command)| match at == last {
            true => end,
            false => start + command.end as u64,
        })
    }

    /// The effects: for each its database and its words.
    pub fn effects(self) -> impl ExactSizeIterator<Item = (u32, Args<'a>)> {
        self.commands.iter().map(move |command| {
            let spans = &self.spans[command.spans.clone()];
            (
                command.database,
                Args::new(&self.buffer[command.at..], spans),
            )
        })
    }
}

/// Why there is no next unit though the file does not end well.
#[derive(Debug)]
pub enum ReadError {
    /// The file cannot be read.
    Io(io::Error),
    /// The file ends inside a unit.
    Torn,
    /// Bytes that are no command.
    Corrupt {
        /// Where in the file.
        offset: u64,
        /// The fault.
        reason: String,
    },
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            // As Redis begins, for who searches its log.
            Self::Torn => f.write_str(
                "Unexpected end of file reading the append only file: it ends inside a unit",
            ),
            Self::Corrupt { offset, reason } => write!(
                f,
                "Bad file format reading the append only file: {reason} at offset {offset}"
            ),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A step through the commands of a unit.
enum Step {
    /// A command that is part of the unit, or a frame around it.
    Command(usize),
    /// Nothing but an annotation.
    Annotation(usize),
    /// The input ends here, before another command begins.
    End,
}

impl<R: Read> UnitReader<R> {
    /// Reads from `source`, which starts at `offset` of the file, where `database` is selected.
    pub fn new(source: R, offset: u64, database: u32) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
            filled: 0,
            offset,
            parser: RequestParser::new(),
            limits: Limits {
                max_bulk: u64::from(u32::MAX),
                ..Limits::default()
            },
            spans: Vec::new(),
            commands: Vec::new(),
            database,
            time_s: None,
            given: 0,
        }
    }

    /// The same where a time has been stated before `offset`.
    #[must_use]
    pub fn since(mut self, time_s: Option<u64>) -> Self {
        self.time_s = time_s;
        self
    }

    /// Where the file is read from.
    pub(crate) fn source_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// The end of the last whole unit in the file: what follows belongs to none that was given.
    pub fn valid(&self) -> u64 {
        self.offset + self.given as u64
    }

    /// The database that is selected at [`valid`](Self::valid).
    pub fn database(&self) -> u32 {
        self.database
    }

    /// Seconds since 1970 of the last annotation.
    pub fn time_s(&self) -> Option<u64> {
        self.time_s
    }

    /// The next unit, or none at the end of the file. After an error there are no more.
    pub fn next_unit(&mut self) -> Result<Option<ReadUnit<'_>>, ReadError> {
        loop {
            self.pass(self.given);
            // What changes inside a unit that turns out to be torn does not count.
            let (database, time_s) = (self.database, self.time_s);
            match self.read_unit() {
                Ok(0) => return Ok(None),
                Ok(len) => {
                    self.given = len;
                    if !self.commands.is_empty() {
                        return Ok(Some(self.unit()));
                    }
                }
                Err(error) => {
                    (self.database, self.time_s) = (database, time_s);
                    return Err(error);
                }
            }
        }
    }

    /// The unit that was given last.
    pub(crate) fn unit(&self) -> ReadUnit<'_> {
        ReadUnit {
            start: self.offset,
            end: self.valid(),
            time_s: self.time_s,
            buffer: &self.buffer[self.start..][..self.given],
            spans: &self.spans,
            commands: &self.commands,
        }
    }

    /// Forgets the unit that was given.
    fn pass(&mut self, len: usize) {
        self.start += len;
        self.offset += len as u64;
        self.given = 0;
        self.spans.clear();
        self.commands.clear();
    }

    /// Parses one unit, or what stands between units, and returns its length; 0 at the end of the
    /// file.
    fn read_unit(&mut self) -> Result<usize, ReadError> {
        let mut at = 0;
        let mut in_multi = false;
        loop {
            let spans = self.spans.len();
            let used = match self.step(at)? {
                Step::Command(used) => used,
                Step::Annotation(used) if in_multi => {
                    at += used;
                    continue;
                }
                // Between units it counts as one without effects, so that it is valid by itself.
                Step::Annotation(used) => return Ok(used),
                Step::End if at == 0 => return Ok(0),
                Step::End => return Err(ReadError::Torn),
            };
            // Frames change state and leave no command behind; only EXEC ends a transaction.
            let (begin, spans) = (at, spans..self.spans.len());
            at += used;
            match self.role(begin, &spans)? {
                Role::Effect => {
                    self.commands.push(CommandAt {
                        at: begin,
                        end: at,
                        spans,
                        database: self.database,
                    });
                }
                Role::Select(database) => self.database = database,
                Role::Multi if in_multi => return Err(self.corrupt(begin, "MULTI inside MULTI")),
                Role::Multi => in_multi = true,
                Role::Exec if in_multi => return Ok(at),
                Role::Exec => return Err(self.corrupt(begin, "EXEC without MULTI")),
            }
            if !in_multi {
                return Ok(at);
            }
        }
    }

    /// Parses what begins `at` bytes behind the unit's start, and reads more of the file for it if
    /// need be.
    fn step(&mut self, at: usize) -> Result<Step, ReadError> {
        loop {
            let input = &self.buffer[self.start + at..self.filled];
            let needed = match input.first() {
                None => 1,
                Some(b'*') => {
                    let parsed = self
                        .parser
                        .parse_append(input, &self.limits, &mut self.spans);
                    match parsed {
                        // Redis sends and writes no command without words.
                        Ok(Parsed::Command { .. }) if self.spans.is_empty() => {
                            return Err(self.corrupt(at, "a command without words"));
                        }
                        Ok(Parsed::Command { consumed }) => return Ok(Step::Command(consumed)),
                        Ok(Parsed::Incomplete { needed }) => needed,
                        Ok(Parsed::Inline { .. }) => {
                            return Err(self.corrupt(at, "an inline command"));
                        }
                        Err(error) => return Err(self.corrupt(at, &error.to_string())),
                    }
                }
                Some(b'#') => match annotation(input) {
                    Some(used) => {
                        self.time_s = time_s(&input[..used]).or(self.time_s);
                        return Ok(Step::Annotation(used));
                    }
                    None if input.len() > MAX_ANNOTATION => {
                        return Err(self.corrupt(at, "an annotation that does not end"));
                    }
                    None => input.len() + 1,
                },
                Some(&byte) => {
                    let reason = format!("expected '*', got '{}'", byte.escape_ascii());
                    return Err(self.corrupt(at, &reason));
                }
            };
            // The parser keeps its place, so what it has seen is not looked at again.
            let missing = needed.saturating_sub(input.len());
            if self.fill(missing)? == 0 {
                let ended = self.start + at == self.filled;
                return if ended {
                    Ok(Step::End)
                } else {
                    Err(ReadError::Torn)
                };
            }
        }
    }

    /// Reads more of the file. Returns how much, 0 at its end.
    fn fill(&mut self, missing: usize) -> io::Result<usize> {
        if self.buffer.len() - self.filled < missing.min(READ_BYTES)
            || self.filled == self.buffer.len()
        {
            self.make_room(missing);
        }
        loop {
            match self.source.read(&mut self.buffer[self.filled..]) {
                Ok(count) => {
                    self.filled += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves the unit to the front of the buffer, and makes the buffer larger if the unit fills
    /// most of it: doubled at most, as `missing` is only what a header announces.
    fn make_room(&mut self, missing: usize) {
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.start = 0;
        // Room that a large unit needed is given back once small ones follow.
        let wanted = self.filled + missing.clamp(READ_BYTES, READ_BYTES.max(self.filled));
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        } else if self.buffer.len() > KEPT_BYTES && wanted < KEPT_BYTES {
            self.buffer.truncate(KEPT_BYTES);
            self.buffer.shrink_to_fit();
        }
    }

    /// The part that a command plays in its unit.
    fn role(&self, at: usize, spans: &Range<usize>) -> Result<Role, ReadError> {
        let words = Args::new(
            &self.buffer[self.start + at..self.filled],
            &self.spans[spans.clone()],
        );
        let Some(name) = words.get(0) else {
            return Err(self.corrupt(at, "a command without words"));
        };
        // Most effects are decided by the number of their words and the first letter of their name.
        let role = match (words.len(), name.first().map(u8::to_ascii_uppercase)) {
            (1, Some(b'M')) if name.eq_ignore_ascii_case(b"MULTI") => Role::Multi,
            (1, Some(b'E')) if name.eq_ignore_ascii_case(b"EXEC") => Role::Exec,
            (2, Some(b'S')) if name.eq_ignore_ascii_case(b"SELECT") => {
                let database = kvik_resp::parse_i64(&words[1]);
                match database.and_then(|database| u32::try_from(database).ok()) {
                    Some(database) => Role::Select(database),
                    None => return Err(self.corrupt(at, "SELECT of no database")),
                }
            }
            _ => Role::Effect,
        };
        Ok(role)
    }

    #[cold]
    fn corrupt(&self, at: usize, reason: &str) -> ReadError {
        ReadError::Corrupt {
            offset: self.offset + at as u64,
            reason: reason.trim_start_matches("Protocol error: ").to_owned(),
        }
    }
}

/// The part of a command in a unit.
enum Role {
    Effect,
    Select(u32),
    Multi,
    Exec,
}

/// Length of the annotation at the start of the input, if it has ended.
fn annotation(input: &[u8]) -> Option<usize> {
    let line = &input[..input.len().min(MAX_ANNOTATION)];
    Some(line.iter().position(|&byte| byte == b'\n')? + 1)
}

/// The time that an annotation states.
fn time_s(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"#TS:")?.trim_ascii_end();
    u64::try_from(kvik_resp::parse_i64(digits)?).ok()
}

impl<R> std::fmt::Debug for UnitReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnitReader")
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
