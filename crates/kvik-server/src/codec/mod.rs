//! Codecs: how the clients of a door ask and are answered.
//!
//! A connection has a [`Codec`]. RESP's is the parser of kvik-resp, whose commands the reactor
//! takes from the input where they lie. The others turn input into a [`CommandBatch`] of commands,
//! each with a mark that only the codec understands, and turn the replies to these commands, which
//! the executor writes in RESP2, into their own form ([`Codec::answer`]). So everything above a
//! codec (order, back-pressure, limits, transactions, the log) is the same for all doors, and
//! nothing there knows a protocol by name.
//!
//! A codec does no I/O, reads no clock and never trusts a length: what a header promises is
//! compared with limits and waited for, but takes no memory.

pub mod kiba;
mod msgpack;
pub mod neks;
pub mod nkv;
mod speech;
mod undecided;

use std::sync::Arc;

use kvik_command::client::Client;
use kvik_resp::{Args, ArgsBuf, Output, ReplyReader};

pub use speech::{CodecSettings, Speech};

use kiba::Kiba;
use neks::Neks;
use nkv::Nkv;
pub use undecided::{Decision, Undecided};

/// Most commands of a batch.
const COMMANDS: usize = 32;
/// Bytes of words from which a batch takes no more commands.
const BATCH_BYTES: usize = 64 << 10;
/// Memory that a batch keeps when it has been run.
const KEPT_BYTES: usize = 256 << 10;

/// How a connection is spoken to.
#[derive(Debug)]
pub enum Codec {
    /// Redis' protocol, whose parser the reactor has.
    Resp,
    /// The frames of Neks.
    Neks(Box<Neks>),
    /// The lines of Kiba.
    Kiba(Box<Kiba>),
    /// The lines of nkv.
    Nkv(Box<Nkv>),
    /// The protocol that the first bytes will tell.
    Undecided(Box<Undecided>),
}

/// Input, and what is known of its end.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The bytes.
    pub input: &'a [u8],
    /// Whether more will follow.
    pub tail: Tail,
    /// The time, in milliseconds since the epoch.
    pub now_ms: u64,
}

/// The possible continuation of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tail {
    /// More.
    #[default]
    Open,
    /// More, but nothing has come for as long as [`BatchEnd::Silence`] asked for.
    Silent,
    /// Nothing.
    Last,
}

/// Commands that a codec has made of input, in the order in which they run.
#[derive(Debug, Default)]
pub struct CommandBatch {
    words: ArgsBuf,
    requests: Vec<Request>,
}

/// A command of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    first_word: usize,
    words: usize,
    notes: usize,
    /// The database it works on.
    pub database: u32,
    /// A number that has a meaning for the codec that made the request.
    pub mark: u8,
}

/// How far a codec has come with the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes at the start of the input that the batch, or the codec's own state, stands for.
    pub consumed: usize,
    /// Why the batch ends here.
    pub end: BatchEnd,
}

/// Why a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEnd {
    /// It is full: there may be more.
    Full,
    /// More bytes are needed: so many, 0 if unknown.
    Incomplete(usize),
    /// The rest counts as whole if nothing follows for so many milliseconds.
    Silence(u64),
    /// Nothing follows that could be understood, or nothing that is wanted: the connection ends
    /// with the replies to the batch.
    Close,
}

/// The step after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The next command.
    Done,
    /// The output is sent in a piece of its own, then the next command.
    Apart,
    /// The command in [`Exchange::follow`], which belongs to the same request. If it is put off,
    /// the request begins anew.
    Follow,
    /// The same command once more.
    Again,
    /// The connection ends with the output so far.
    Close,
}

/// A command that has run, and what may be made of its reply.
pub struct Exchange<'a> {
    /// The command.
    pub request: Request,
    /// Its words.
    pub args: Args<'a>,
    /// The notes of the codec for its reply.
    pub notes: Args<'a>,
    /// The client that sent it.
    pub client: &'a Arc<Client>,
    /// Its reply.
    pub reply: ReplyReader<'a>,
    /// Takes the command that follows; empty.
    pub follow: &'a mut CommandBatch,
    /// The output for the client.
    pub out: &'a mut Output,
}

impl Codec {
    /// Makes commands of the input that follows what it has consumed so far, for an empty batch.
    pub fn parse(&mut self, incoming: &Incoming<'_>, batch: &mut CommandBatch) -> Progress {
        match self {
            Self::Resp | Self::Undecided(_) => Progress {
                consumed: 0,
                end: BatchEnd::Close,
            },
            Self::Neks(neks) => neks.parse(incoming.input, batch),
            Self::Kiba(kiba) => kiba.parse(incoming, batch),
            Self::Nkv(nkv) => nkv.parse(incoming, batch),
        }
    }

    /// Translates the reply to a command that it has made.
    pub fn answer(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        match self {
            Self::Resp | Self::Undecided(_) => Answer::Close,
            Self::Neks(neks) => neks.answer(exchange),
            Self::Kiba(kiba) => kiba.answer(exchange),
            Self::Nkv(nkv) => nkv.answer(exchange),
        }
    }

    /// Whether there is something to tell its client although that has asked for nothing.
    pub fn has_news(&self) -> bool {
        matches!(self, Self::Nkv(nkv) if nkv.has_news())
    }

    /// Whether its client waits to be told something, however long that takes.
    pub fn is_subscribed(&self) -> bool {
        matches!(self, Self::Nkv(nkv) if nkv.is_subscribed())
    }

    /// Makes commands that are to run when the connection has ended.
    pub fn farewell(&mut self, batch: &mut CommandBatch) {
        if let Self::Nkv(nkv) = self {
            nkv.farewell(batch);
        }
    }

    /// Whether input that is not a whole request may become one although nothing follows.
    pub fn keeps_rest(&self) -> bool {
        match self {
            Self::Resp | Self::Neks(_) => false,
            Self::Kiba(_) | Self::Nkv(_) | Self::Undecided(_) => true,
        }
    }
}

impl CommandBatch {
    /// Appends a command.
    pub fn push(&mut self, mark: u8, database: u32, words: &[&[u8]]) {
        self.push_noting(mark, database, words, &[]);
    }

    /// Appends what is no command: nothing runs, but the codec gets to answer.
    pub fn note(&mut self, mark: u8, database: u32, notes: &[&[u8]]) {
        self.push_noting(mark, database, &[], notes);
    }

    /// Appends a command together with words that the codec needs for its reply.
    pub fn push_noting(&mut self, mark: u8, database: u32, words: &[&[u8]], notes: &[&[u8]]) {
        let first_word = self.words.len();
        self.words.extend(words);
        self.words.extend(notes);
        self.requests.push(Request {
            first_word,
            words: words.len(),
            notes: notes.len(),
            database,
            mark,
        });
    }

    /// Whether it should take no more.
    pub fn is_full(&self) -> bool {
        self.requests.len() >= COMMANDS || self.words.byte_len() >= BATCH_BYTES
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Its commands.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The words of one of its commands.
    #[inline]
    pub fn args(&self, request: &Request) -> Args<'_> {
        let end = request.first_word + request.words;
        self.words.as_args().slice(request.first_word..end)
    }

    /// The notes for one of them.
    #[inline]
    pub fn notes(&self, request: &Request) -> Args<'_> {
        let start = request.first_word + request.words;
        self.words.as_args().slice(start..start + request.notes)
    }

    /// Empties it, and gives memory back that a large command has taken.
    pub fn clear(&mut self) {
        if self.words.byte_len() > KEPT_BYTES {
            self.words = ArgsBuf::new();
        }
        self.words.clear();
        self.requests.clear();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use kvik_command::client::{Clients, Origin};

    /// Somebody who asks.
    pub(crate) fn client() -> Arc<Client> {
        Clients::default().add(Origin::embedded(), 0)
    }

    #[test]
    fn a_batch_keeps_words_and_notes_apart_and_large_memory_not() {
        let mut batch = CommandBatch::default();
        batch.push(1, 0, &[b"GET", b"k"]);
        batch.note(2, 0, &[b"note"]);
        batch.push_noting(3, 5, &[b"PING"], &[b"n"]);
        let requests = batch.requests().to_vec();
        assert_eq!(batch.args(&requests[0]).len(), 2);
        assert!(batch.args(&requests[1]).is_empty());
        assert_eq!(&batch.notes(&requests[1])[0], b"note");
        assert_eq!(&batch.args(&requests[2])[0], b"PING");
        assert_eq!(&batch.notes(&requests[2])[0], b"n");
        assert!(!batch.is_full());
        batch.push(1, 0, &[&vec![0; KEPT_BYTES + 1]]);
        assert!(batch.is_full());
        batch.clear();
        assert!(batch.is_empty());
    }
}
