//! Kiba: lines of text, answered by text without an end.
//!
//! ```text
//! SET name "FOO BAR"\n     OK
//! GET name\n               "FOO BAR"
//! INCR missing\n           (error) Specified key does not exist
//! SMEMBERS colors\n        1) blue\n2) green        without a line end behind the last
//! ```
//!
//! A command ends with its line. One without a line end, which the original takes for whole
//! because it came in one packet, is whole when nothing follows it for [`SILENCE_MS`]. Each reply
//! is sent by itself: its clients read once per reply.
//!
//! The same key may hold a string, a list, a set and a hash: they are keys of four databases. What
//! is not one of the store's own commands is composed of them, as transactions or by comparing and
//! setting.

mod commands;
mod line;

use kvik_resp::{ReplyReader, ReplyToken};

use super::batch::{Answer, BatchEnd, CommandBatch, Exchange, Incoming, Progress, Tail};
use commands::Reading;
use line::{Lines, Next};

/// How long a command without a line end waits for more, in milliseconds.
pub const SILENCE_MS: u64 = 20;
/// So many empty lines in a row end the connection.
const BLANKS: u32 = 10;

/// Settings of the codec.
#[derive(Clone, Copy, Debug)]
pub struct KibaSettings {
    /// Databases of strings, lists, sets and hashes, counted from that of the door.
    pub databases: [u32; 4],
    /// Longest command in bytes.
    pub max_command: usize,
}

impl Default for KibaSettings {
    fn default() -> Self {
        Self {
            databases: [0, 1, 2, 3],
            max_command: 512 << 20,
        }
    }
}

/// The codec of one connection.
#[derive(Debug)]
pub struct Kiba {
    databases: [u32; 4],
    max_command: usize,
    lines: Lines,
    /// Empty lines since the last command.
    blanks: u32,
    /// Why a transaction under way has failed.
    failure: Option<Vec<u8>>,
    /// Keys found in the databases that have been asked.
    found: std::collections::BTreeSet<Vec<u8>>,
}

impl Kiba {
    /// For a connection whose databases are counted from that of its door.
    pub fn new(database: u32, settings: KibaSettings) -> Self {
        Self {
            databases: settings.databases.map(|offset| database + offset),
            max_command: settings.max_command,
            lines: Lines::default(),
            blanks: 0,
            failure: None,
            found: std::collections::BTreeSet::new(),
        }
    }

    pub(super) fn parse(&mut self, incoming: &Incoming<'_>, batch: &mut CommandBatch) -> Progress {
        let (input, is_silent) = (incoming.input, incoming.tail != Tail::Open);
        let mut consumed = 0;
        let end = loop {
            if batch.is_full() {
                break BatchEnd::Full;
            }
            let rest = &input[consumed..];
            let line = match self.lines.next(rest, is_silent) {
                Next::Line { len } => &rest[..len],
                Next::Padding(len) => {
                    consumed += len;
                    continue;
                }
                Next::Open if rest.is_empty() => break BatchEnd::Incomplete(0),
                // No line end in so many bytes: nothing that may follow makes a command of them.
                Next::Open if rest.len() > self.max_command => break BatchEnd::Close,
                Next::Open => break BatchEnd::Silence(SILENCE_MS),
            };
            consumed += line.len();
            let words = line::words(line);
            let Some((operator, operands)) = words.split_first() else {
                self.blanks += 1;
                if self.blanks == BLANKS {
                    break BatchEnd::Close;
                }
                batch.note(commands::BLANK, self.databases[0], &[]);
                continue;
            };
            self.blanks = 0;
            if operator.eq_ignore_ascii_case(b"QUIT") {
                break BatchEnd::Close;
            }
            commands::read(operator, operands, &self.databases, batch);
        };
        Progress { consumed, end }
    }

    pub(super) fn answer(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        let mark = exchange.request.mark;
        match commands::reading_of(mark) {
            Reading::Silent => {
                if let Some(ReplyToken::Error(text)) = exchange.reply.next() {
                    // The first failure is what the client is told when the transaction ends.
                    self.failure.get_or_insert_with(|| text.to_vec());
                }
                return Answer::Done;
            }
            Reading::Add => return commands::add(exchange),
            Reading::Keys => return self.gather(exchange),
            Reading::Blank => exchange.out.extend_from_slice(b"\0"),
            Reading::Note => exchange.out.extend_from_slice(&exchange.notes[0]),
            Reading::Value => self.write(exchange),
            Reading::Last => {
                skip_all_but_last(&mut exchange.reply);
                self.write(exchange);
            }
            Reading::Sum => self.write_sum(exchange),
        }
        Answer::Apart
    }

    /// Writes the reply, or why the transaction that it ends has failed.
    fn write(&mut self, exchange: &mut Exchange<'_>) {
        match self.failure.take() {
            Some(text) => write_error(&text, exchange),
            None => write_value(exchange),
        }
    }

    /// Writes the sum of the integers of a transaction's reply.
    fn write_sum(&mut self, exchange: &mut Exchange<'_>) {
        if self.failure.is_some() {
            return self.write(exchange);
        }
        let mut sum = 0;
        while let Some(token) = exchange.reply.next() {
            match token {
                ReplyToken::Integer(value) => sum += value,
                ReplyToken::Error(text) => return write_error(text, exchange),
                _ => {}
            }
        }
        let text = format!("(integer) {sum}");
        exchange.out.extend_from_slice(text.as_bytes());
    }

    /// Takes the keys of one database, and asks the next one or lists them all.
    fn gather(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        let reply = &mut exchange.reply;
        match reply.next() {
            Some(ReplyToken::Array(len)) => {
                for _ in 0..len {
                    if let Some(ReplyToken::String(len)) = reply.next() {
                        self.found.insert(reply.string(len).into_owned());
                    }
                }
            }
            Some(ReplyToken::Error(text)) => {
                self.found.clear();
                write_error(text, exchange);
                return Answer::Apart;
            }
            _ => return Answer::Close,
        }
        let database = exchange.request.database;
        // One database after the other, since KEYS sees one. A key that is in several is listed
        // once.
        let place = self.databases.iter().position(|known| *known == database);
        match place.and_then(|place| self.databases.get(place + 1)) {
            Some(next) => {
                let words = [&exchange.args[0], &exchange.args[1]];
                exchange.follow.push(exchange.request.mark, *next, &words);
                Answer::Follow
            }
            None => {
                let found = std::mem::take(&mut self.found);
                write_list(found.iter().map(Vec::as_slice), exchange);
                Answer::Apart
            }
        }
    }
}

/// Leaves the last value of an array to be read.
fn skip_all_but_last(reply: &mut ReplyReader<'_>) {
    let before = *reply;
    if let Some(ReplyToken::Array(len)) = reply.next() {
        for _ in 1..len {
            if let Some(ReplyToken::String(len)) = reply.next() {
                reply.string(len);
            }
        }
    } else {
        *reply = before;
    }
}

fn write_error(text: &[u8], exchange: &mut Exchange<'_>) {
    exchange.out.extend_from_slice(b"(error) ");
    let text = text.strip_prefix(b"ERR ").unwrap_or(text);
    exchange.out.extend_from_slice(text);
}

fn write_value(exchange: &mut Exchange<'_>) {
    let (reply, out) = (&mut exchange.reply, &mut *exchange.out);
    match reply.next() {
        Some(ReplyToken::Simple(text)) => out.extend_from_slice(text),
        Some(ReplyToken::Error(text)) => write_error(text, exchange),
        Some(ReplyToken::Integer(value)) => {
            out.extend_from_slice(format!("(integer) {value}").as_bytes());
        }
        Some(ReplyToken::String(len)) => {
            out.extend_from_slice(b"\"");
            reply.string_to(len, out);
            out.extend_from_slice(b"\"");
        }
        Some(ReplyToken::Array(len)) => {
            let mut members = Vec::new();
            for _ in 0..len {
                if let Some(ReplyToken::String(len)) = reply.next() {
                    members.push(reply.string(len));
                }
            }
            write_list(members.iter().map(AsRef::as_ref), exchange);
        }
        Some(ReplyToken::Null) | None => out.extend_from_slice(b"(nil)"),
    }
}

fn write_list<'a>(members: impl Iterator<Item = &'a [u8]>, exchange: &mut Exchange<'_>) {
    let before = exchange.out.len();
    for (index, member) in members.enumerate() {
        let line_end = if index == 0 { "" } else { "\n" };
        let head = format!("{line_end}{}) ", index + 1);
        exchange.out.extend_from_slice(head.as_bytes());
        exchange.out.extend_from_slice(member);
    }
    if exchange.out.len() == before {
        exchange.out.extend_from_slice(b"(empty list or set)");
    }
}

#[cfg(test)]
mod tests;
