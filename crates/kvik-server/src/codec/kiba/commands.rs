//! The commands of Kiba's clients, made of the store's.

use kvik_resp::{Output, ReplyToken};

use super::super::batch::{Answer, CommandBatch, Exchange};
use super::write_error;

/// How the reply to a command is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// It is the answer.
    Value,
    /// It is of no interest unless it is an error.
    Silent,
    /// The last value of a transaction is the answer.
    Last,
    /// The sum of the values of a transaction is the answer.
    Sum,
    /// It is the number to be added to.
    Add,
    /// It is the keys of one of the databases.
    Keys,
    /// The answer is the word that was noted.
    Note,
    /// The answer to an empty line.
    Blank,
}

const READINGS: [Reading; 8] = [
    Reading::Value,
    Reading::Silent,
    Reading::Last,
    Reading::Sum,
    Reading::Add,
    Reading::Keys,
    Reading::Note,
    Reading::Blank,
];

/// The mark of an empty line.
pub(super) const BLANK: u8 = Reading::Blank as u8;
/// Set in the mark of a number that is to be subtracted.
const DOWN: u8 = 0x10;
/// The mark of the second half of an addition.
const STORE: u8 = 0x20;

pub(super) fn reading_of(mark: u8) -> Reading {
    let index = usize::from(mark & 0x0f);
    READINGS.get(index).copied().unwrap_or(Reading::Value)
}

const STRINGS: usize = 0;
const LISTS: usize = 1;
const SETS: usize = 2;
const HASHES: usize = 3;

/// How a command is carried out.
#[derive(Clone, Copy)]
enum Way {
    /// By the store's command of this name, in a database.
    Same(usize),
    /// By that command and the number of members afterwards.
    ThenCount,
    /// By reading a number and replacing it; subtracted if so.
    Add { down: bool },
    /// In all four databases.
    Everywhere,
    /// By asking all four databases.
    Keys,
}

/// Names, numbers of operands and ways.
const COMMANDS: &[(&str, usize, Way)] = &[
    ("PING", 0, Way::Same(STRINGS)),
    ("GET", 1, Way::Same(STRINGS)),
    ("SET", 2, Way::Same(STRINGS)),
    ("INCR", 1, Way::Add { down: false }),
    ("DECR", 1, Way::Add { down: true }),
    ("INCRBY", 2, Way::Add { down: false }),
    ("DECRBY", 2, Way::Add { down: true }),
    ("LPUSH", 2, Way::Same(LISTS)),
    ("RPUSH", 2, Way::Same(LISTS)),
    ("LPOP", 1, Way::Same(LISTS)),
    ("RPOP", 1, Way::Same(LISTS)),
    ("SADD", 2, Way::ThenCount),
    ("SREM", 2, Way::ThenCount),
    ("SISMEMBER", 2, Way::Same(SETS)),
    ("SMEMBERS", 1, Way::Same(SETS)),
    ("HSET", 3, Way::Same(HASHES)),
    ("HGET", 2, Way::Same(HASHES)),
    ("HDEL", 2, Way::Same(HASHES)),
    // What the original has not.
    ("DEL", 1, Way::Everywhere),
    ("EXISTS", 1, Way::Everywhere),
    ("EXPIRE", 2, Way::Everywhere),
    ("KEYS", 1, Way::Keys),
    ("AUTH", 1, Way::Same(STRINGS)),
];

/// Reads a line's words as a command.
pub(super) fn read(
    operator: &[u8],
    operands: &[&[u8]],
    databases: &[u32; 4],
    batch: &mut CommandBatch,
) {
    let named = |(name, _, _): &&(&str, usize, Way)| operator.eq_ignore_ascii_case(name.as_bytes());
    let Some((name, expected, way)) = COMMANDS.iter().find(named) else {
        return refuse("Unrecognized operator", databases, batch);
    };
    if operands.len() != *expected {
        let got = operands.len();
        let text = format!("Unexpected number of arguments. Expected {expected}, got {got}");
        return refuse(&text, databases, batch);
    }
    // The name as the table has it, whatever case it was sent in.
    let words = [&[name.as_bytes()], operands].concat();
    match *way {
        Way::Same(place) => batch.push(Reading::Value as u8, databases[place], &words),
        Way::ThenCount => {
            // The original answers with the number of members there are then. Nobody may come in
            // between.
            let database = databases[SETS];
            batch.push(Reading::Silent as u8, database, &[b"MULTI"]);
            batch.push(Reading::Silent as u8, database, &words);
            batch.push(Reading::Silent as u8, database, &[b"SCARD", operands[0]]);
            batch.push(Reading::Last as u8, database, &[b"EXEC"]);
        }
        Way::Add { down } => read_addition(operands, down, databases, batch),
        Way::Everywhere => {
            // A key may be of any type, and the database is that of its type: all are asked at
            // once.
            let home = databases[STRINGS];
            batch.push(Reading::Silent as u8, home, &[b"MULTI"]);
            for database in databases {
                let number = database.to_string();
                batch.push(Reading::Silent as u8, home, &[b"SELECT", number.as_bytes()]);
                batch.push(Reading::Silent as u8, home, &words);
            }
            batch.push(Reading::Sum as u8, home, &[b"EXEC"]);
        }
        Way::Keys => batch.push(Reading::Keys as u8, databases[STRINGS], &words),
    }
}

fn refuse(text: &str, databases: &[u32; 4], batch: &mut CommandBatch) {
    let text = format!("(error) {text}");
    batch.note(Reading::Note as u8, databases[STRINGS], &[text.as_bytes()]);
}

fn read_addition(operands: &[&[u8]], down: bool, databases: &[u32; 4], batch: &mut CommandBatch) {
    let (database, mark) = (databases[STRINGS], Reading::Add as u8);
    let by = match operands.get(1) {
        None => Some(1),
        Some(word) => number(word),
    };
    let Some(by) = by else {
        let verb = if down { "decrement" } else { "increment" };
        let text = format!("Value to {verb} by is a non-integer");
        return refuse(&text, databases, batch);
    };
    let mark = if down { mark | DOWN } else { mark };
    let by = by.to_string();
    batch.push_noting(mark, database, &[b"GET", operands[0]], &[by.as_bytes()]);
}

/// An integer as the original reads it: a plus sign and zeros may stand in front.
fn number(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Goes on with an addition: replaces the number that was read, unless somebody has meanwhile.
pub(super) fn add(exchange: &mut Exchange<'_>) -> Answer {
    if exchange.request.mark & STORE != 0 {
        return stored(exchange);
    }
    let reply = &mut exchange.reply;
    let old = match reply.next() {
        Some(ReplyToken::Error(text)) => {
            write_error(text, exchange);
            return Answer::Apart;
        }
        Some(ReplyToken::String(len)) => reply.string(len),
        _ => return fail("Specified key does not exist", exchange),
    };
    // Not INCRBY, which refuses what the original reads: a plus sign, zeros in front.
    let by = number(&exchange.notes[0]).unwrap_or(0);
    let Some(value) = number(&old) else {
        let text = "Value stored at key cannot be represented as a 64-bit integer";
        return fail(text, exchange);
    };
    let is_down = exchange.request.mark & DOWN != 0;
    let sum = if is_down {
        value.checked_sub(by)
    } else {
        value.checked_add(by)
    };
    let Some(sum) = sum else {
        return fail(
            "Operation would cause integer to go out-of-bounds",
            exchange,
        );
    };
    let (mark, database) = (exchange.request.mark | STORE, exchange.request.database);
    let sum = sum.to_string();
    let words = [
        b"SET",
        &exchange.args[1],
        sum.as_bytes(),
        b"IFEQ",
        &old,
        b"KEEPTTL",
    ];
    exchange.follow.push(mark, database, &words);
    Answer::Follow
}

/// The end of an addition: the number that was stored, or another try.
fn stored(exchange: &mut Exchange<'_>) -> Answer {
    match exchange.reply.next() {
        Some(ReplyToken::Simple(_)) => {
            exchange.out.extend_from_slice(b"(integer) ");
            exchange.out.extend_from_slice(&exchange.args[2]);
            Answer::Apart
        }
        Some(ReplyToken::Error(text)) => {
            write_error(text, exchange);
            Answer::Apart
        }
        _ => Answer::Again,
    }
}

fn fail(text: &str, exchange: &mut Exchange<'_>) -> Answer {
    let out: &mut Output = exchange.out;
    out.extend_from_slice(b"(error) ");
    out.extend_from_slice(text.as_bytes());
    Answer::Apart
}
