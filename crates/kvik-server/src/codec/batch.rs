//! The terms between a codec and the reactor: input, the commands that are made of it, and the
//! replies to them.

use std::sync::Arc;

use kvik_command::client::Client;
use kvik_resp::{Args, ArgsBuf, Output, ReplyReader};

/// Most commands of a batch.
const COMMANDS: usize = 32;
/// Bytes of words from which a batch takes no more commands.
const BATCH_BYTES: usize = 64 << 10;
/// Memory that a batch keeps when it has been run.
const KEPT_BYTES: usize = 256 << 10;

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

    /// Takes all but the first so many commands back.
    pub fn truncate(&mut self, commands: usize) {
        if let Some(first_gone) = self.requests.get(commands) {
            self.words.truncate(first_gone.first_word);
            self.requests.truncate(commands);
        }
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
mod tests {
    use super::*;

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
        batch.truncate(5);
        assert_eq!(batch.requests().len(), 3);
        batch.truncate(1);
        batch.push(4, 0, &[b"ECHO", b"new"]);
        let requests = batch.requests().to_vec();
        assert_eq!(requests.len(), 2);
        assert_eq!(&batch.args(&requests[0])[1], b"k");
        assert_eq!(&batch.args(&requests[1])[1], b"new");
        batch.push(1, 0, &[&vec![0; KEPT_BYTES + 1]]);
        assert!(batch.is_full());
        batch.clear();
        assert!(batch.is_empty());
    }
}
