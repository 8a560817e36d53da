//! nkv: requests of one line, one for a connection, and subscriptions that stream.
//!
//! Its clients come in three eras, told apart by their first byte: `{` begins a request in JSON, a
//! letter one in text, over TCP or a unix socket alike.
//!
//! ```text
//! PUT id client key dg==\n      id OK\n
//! GET id client key\n           id OK dg==\n     values in base64
//! GET id client a.*\n           id OK b25l dHdv\n    those of `a` and all under it
//! SUB id client a\n             HELLO\n    then UPDATE a.b dg==\n and CLOSE a.b\n as they happen
//! ```
//!
//! Keys are ordinary strings of the store, and form a tree by their dots ([`tree`]). A subscriber
//! hears of a key and all that lies under it, by whatever door it was changed. It is told values as
//! they are when it is told, so it may miss some in between, but never the last.
//!
//! Bytes that are no request end the connection without a word, as does the end of the requests
//! that came, unless there is a subscription.
//!
//! The file is long because a request, its commands and the translation of their replies are read
//! together. What they need of the tree, of the forms and of the syntax is in files below.

mod form;
mod gathering;
mod request;
mod tree;

use std::sync::Arc;

use kvik_resp::ReplyToken;

use super::CodecSettings;
use super::batch::{Answer, BatchEnd, CommandBatch, Exchange, Incoming, Progress, Tail};
use form::{Form, Status};
use gathering::Gathering;
use request::TreeRequest;
pub use tree::Trees;
use tree::{Ending, KeyTree, NewsItem, TreeSubscriber};

/// How long a subscription without a line end waits for more, in milliseconds. One whose rest comes
/// later was cut short: the rest is no request, which ends it.
const SILENCE_MS: u64 = 100;
/// How long a key outlives the server that keeps it for a client, in milliseconds, and how often
/// that is renewed.
const TIED_MS: u64 = 15_000;
const RENEWED_MS: u64 = 5_000;

// What a command is.
const PUT: u8 = 0;
const GET: u8 = 1;
const DELETE: u8 = 2;
const COMPARE: u8 = 3;
const TIE: u8 = 4;
const AUTHENTICATE: u8 = 5;
const SUBSCRIBE: u8 = 6;
const UNSUBSCRIBE: u8 = 7;
/// Values of a key and all under it; the names of those; a part of either; keys for the tree.
const VALUES: u8 = 8;
const NAMES: u8 = 9;
const PART: u8 = 10;
const SCAN: u8 = 11;
/// News of a subscription, and its end.
const NEWS: u8 = 12;
const ENDED: u8 = 13;
/// Keys are looked for, of which subscribers are to be told.
const LOOK: u8 = 14;
/// No reply.
const SILENT: u8 = 15;
const FAIL: u8 = 16;

/// Settings of the codec.
#[derive(Clone, Debug)]
pub struct NkvSettings {
    /// The trees of the server.
    pub trees: Arc<Trees>,
    /// Longest request in bytes.
    pub max_request: usize,
    /// Longest reply in bytes.
    pub max_reply: usize,
}

impl Default for NkvSettings {
    fn default() -> Self {
        Self {
            trees: Arc::default(),
            max_request: 512 << 20,
            max_reply: 64 << 20,
        }
    }
}

/// The codec of one connection.
#[derive(Debug)]
pub struct Nkv {
    tree: Arc<KeyTree>,
    database: u32,
    max_request: usize,
    max_reply: usize,
    form: Form,
    /// Bytes of the input without a line end.
    seen: usize,
    /// A request has come, beside a password.
    is_begun: bool,
    streams: Vec<Stream>,
    /// Keys that end with the connection, and their values.
    tied: Vec<(Vec<u8>, Vec<u8>)>,
    renewed_ms: u64,
    gathering: Gathering,
    /// How far the keys have been looked through, and for which state of the tree.
    scan: Option<(u64, Vec<u8>)>,
}

/// A subscription of the connection.
#[derive(Debug)]
struct Stream {
    name: Box<[u8]>,
    subscriber: Arc<TreeSubscriber>,
    is_over: bool,
    /// Its client reads once per message.
    is_apart: bool,
}

impl Nkv {
    /// For a connection whose keys are those of a database.
    pub fn new(database: u32, settings: &CodecSettings) -> Self {
        let CodecSettings { nkv, scope, .. } = settings;
        Self {
            tree: nkv.trees.of(database, *scope),
            database,
            max_request: nkv.max_request,
            max_reply: nkv.max_reply,
            form: Form::Text,
            seen: 0,
            is_begun: false,
            streams: Vec::new(),
            tied: Vec::new(),
            renewed_ms: 0,
            gathering: Gathering::default(),
            scan: None,
        }
    }

    /// Whether there is something to tell although no request has come.
    pub(super) fn has_news(&self) -> bool {
        self.streams
            .iter()
            .any(|stream| stream.subscriber.has_news())
    }

    pub(super) fn is_subscribed(&self) -> bool {
        !self.streams.is_empty() || !self.tied.is_empty()
    }

    pub(super) fn parse(&mut self, incoming: &Incoming<'_>, batch: &mut CommandBatch) -> Progress {
        // News come before requests, so that a client that asks without end is told all the same.
        if let Some(end) = self.take_news(batch) {
            return Progress { consumed: 0, end };
        }
        self.renew(incoming.now_ms, batch);
        let mut consumed = 0;
        let end = loop {
            if batch.is_full() {
                break BatchEnd::Full;
            }
            let rest = &incoming.input[consumed..];
            let len = match self.line_end(rest, incoming.tail) {
                Ok(len) => len,
                // What these requests leave behind decides whether the connection stays.
                Err(_) if !batch.is_empty() => break BatchEnd::Full,
                Err(end) => break end,
            };
            consumed += len;
            self.seen = 0;
            let is_whole = rest[..len].ends_with(b"\n");
            let Some(request) = self.read(&rest[..len]) else {
                break BatchEnd::Close;
            };
            // Who gives a password goes on with a request, when it has seen the reply.
            self.is_begun |= request.verb != request::Verb::Authenticate;
            self.push(&request, is_whole, batch);
        };
        Progress { consumed, end }
    }

    /// The length of the line at the start of the input, or why there is none.
    fn line_end(&mut self, input: &[u8], tail: Tail) -> Result<usize, BatchEnd> {
        if let Some(at) = memchr::memchr(b'\n', &input[self.seen..]) {
            return Ok(self.seen + at + 1);
        }
        self.seen = input.len();
        let is_subscription = input.starts_with(b"SUB ");
        match tail {
            _ if input.is_empty() => Err(self.idle(tail)),
            Tail::Last => Ok(input.len()),
            // A client that subscribes without a line end is known; a value must come whole.
            Tail::Silent if is_subscription => Ok(input.len()),
            _ if input.len() > self.max_request => Err(BatchEnd::Close),
            _ if is_subscription => Err(BatchEnd::Silence(SILENCE_MS)),
            _ => Err(BatchEnd::Incomplete(0)),
        }
    }

    /// The event that the connection waits for when there is no more input.
    fn idle(&self, tail: Tail) -> BatchEnd {
        let is_kept = !self.streams.is_empty() || !self.is_begun;
        match tail {
            Tail::Last => BatchEnd::Close,
            _ if !self.tied.is_empty() => BatchEnd::Silence(RENEWED_MS),
            _ if is_kept => BatchEnd::Incomplete(0),
            _ => BatchEnd::Close,
        }
    }

    fn read<'a>(&mut self, line: &'a [u8]) -> Option<TreeRequest<'a>> {
        let line = line.trim_ascii_end();
        if line.first() == Some(&b'{') {
            self.form = Form::Json;
            return request::from_json(line);
        }
        self.form = Form::Text;
        request::from_text(line)
    }

    fn push(&self, request: &TreeRequest<'_>, is_whole: bool, batch: &mut CommandBatch) {
        let (id, key): (&[u8], &[u8]) = (&request.id, &request.key);
        let database = self.database;
        let mut push = |mark, words: &[&[u8]]| batch.push_noting(mark, database, words, &[id, key]);
        let has_wildcard = key
            .split(|byte| *byte == b'.')
            .any(|segment| segment == b"*");
        match &request.verb {
            // The names are in the tree, so that no command runs before they are known.
            request::Verb::Get if has_wildcard => push(VALUES, &[]),
            _ if has_wildcard => push(FAIL, &[]),
            // The former value is not wanted, but a key that holds something else is to be refused.
            request::Verb::Put(value) => push(PUT, &[b"SET", key, value, b"GET"]),
            request::Verb::Get => push(GET, &[b"GET", key]),
            request::Verb::Delete => push(DELETE, &[b"GETDEL", key]),
            request::Verb::CompareAndPut { old: None, new } => {
                push(COMPARE, &[b"SET", key, new, b"NX"]);
            }
            request::Verb::CompareAndPut {
                old: Some(old),
                new,
            } => {
                push(COMPARE, &[b"SET", key, new, b"IFEQ", old]);
            }
            request::Verb::Tie(value) => {
                let for_ms = TIED_MS.to_string();
                let words: [&[u8]; 6] = [b"SET", key, value, b"NX", b"PX", for_ms.as_bytes()];
                batch.push_noting(TIE, database, &words, &[id, key, value]);
            }
            request::Verb::List => push(NAMES, &[]),
            request::Verb::Authenticate => push(AUTHENTICATE, &[b"AUTH", key]),
            // Whether the client may read is asked with a command that changes nothing.
            request::Verb::Subscribe { with_values } => {
                let flags = [u8::from(*with_values), u8::from(is_whole)];
                let notes: [&[u8]; 4] = [id, key, &request.client, &flags];
                batch.push_noting(SUBSCRIBE, database, &[b"EXISTS", key], &notes);
            }
            request::Verb::Unsubscribe => {
                let notes: [&[u8]; 3] = [id, key, &request.client];
                batch.push_noting(UNSUBSCRIBE, database, &[b"EXISTS", key], &notes);
            }
        }
    }

    /// Makes commands of what subscribers are to be told; why the batch ends there if there are
    /// any.
    fn take_news(&mut self, batch: &mut CommandBatch) -> Option<BatchEnd> {
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let index = (index as u32).to_le_bytes();
            while !stream.is_over && !batch.is_full() {
                match self.tree.take_news(&stream.subscriber) {
                    None => break,
                    Some(NewsItem::Unknown) => {
                        batch.note(LOOK, self.database, &[]);
                        return Some(BatchEnd::Full);
                    }
                    // The value is read now: news say which key, and that it may have changed often
                    // since.
                    Some(NewsItem::Key { key, was_gone }) => {
                        let notes: [&[u8]; 2] = [&index, &[u8::from(was_gone)]];
                        batch.push_noting(NEWS, self.database, &[b"GET", &key], &notes);
                    }
                    Some(NewsItem::End(Ending::Unsubscribed)) => {
                        batch.note(ENDED, self.database, &[&index]);
                        stream.is_over = true;
                    }
                    Some(NewsItem::End(Ending::Replaced)) => return Some(BatchEnd::Close),
                }
            }
        }
        (!batch.is_empty()).then_some(BatchEnd::Full)
    }

    /// Keeps the keys that are tied to the client.
    fn renew(&mut self, now_ms: u64, batch: &mut CommandBatch) {
        if self.tied.is_empty() || now_ms < self.renewed_ms + RENEWED_MS {
            return;
        }
        self.renewed_ms = now_ms;
        let for_ms = TIED_MS.to_string();
        for (key, _) in &self.tied {
            // A key that others have set to stay is left alone.
            let words: [&[u8]; 4] = [b"PEXPIRE", key, for_ms.as_bytes(), b"XX"];
            batch.push(SILENT, self.database, &words);
        }
    }

    /// Commands to be run when the connection has ended.
    pub(super) fn farewell(&mut self, batch: &mut CommandBatch) {
        for (key, value) in std::mem::take(&mut self.tied) {
            // Only what is still the client's: others may have put another value there.
            batch.push(SILENT, self.database, &[b"DELIFEQ", &key, &value]);
        }
    }

    pub(super) fn answer(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        let mark = exchange.request.mark;
        match mark {
            PUT | COMPARE | AUTHENTICATE => self.acknowledge(exchange),
            GET => self.answer_get(exchange),
            DELETE => self.answer_delete(exchange),
            TIE => self.answer_tie(exchange),
            SUBSCRIBE => return self.answer_subscribe(exchange),
            UNSUBSCRIBE => self.answer_unsubscribe(exchange),
            VALUES | NAMES => return self.begin_gathering(exchange),
            PART => return self.gather(exchange),
            SCAN => return self.scan(exchange),
            LOOK if self.tree.is_incomplete() => return self.begin_scan(exchange),
            NEWS => return self.tell(exchange),
            ENDED => return self.tell_end(exchange),
            FAIL => self
                .form
                .write_status(&exchange.notes[0], Status::NotFound, exchange.out),
            _ => {}
        }
        Answer::Done
    }

    /// A write, which has happened unless the reply is an error, or for one with a condition, none.
    fn acknowledge(&self, exchange: &mut Exchange<'_>) {
        let has_condition = exchange.request.mark == COMPARE;
        let status = match exchange.reply.next() {
            Some(ReplyToken::Error(_)) => Status::Failed,
            Some(ReplyToken::Null) if has_condition => Status::Failed,
            _ => Status::Done,
        };
        self.form
            .write_status(&exchange.notes[0], status, exchange.out);
    }

    fn answer_get(&self, exchange: &mut Exchange<'_>) {
        let (id, out) = (&exchange.notes[0], &mut *exchange.out);
        match exchange.reply.next() {
            Some(ReplyToken::String(len)) => {
                let value = exchange.reply.string(len);
                self.form.write_value(id, &value, out);
            }
            _ => self.form.write_nothing(id, out),
        }
    }

    fn answer_delete(&self, exchange: &mut Exchange<'_>) {
        let status = match exchange.reply.next() {
            Some(ReplyToken::String(_)) => Status::Done,
            _ => Status::Missing,
        };
        self.form
            .write_status(&exchange.notes[0], status, exchange.out);
    }

    fn answer_tie(&mut self, exchange: &mut Exchange<'_>) {
        let status = match exchange.reply.next() {
            Some(ReplyToken::Simple(_)) => {
                let pair = (exchange.notes[1].to_vec(), exchange.notes[2].to_vec());
                self.tied.push(pair);
                Status::Done
            }
            _ => Status::Failed,
        };
        self.form
            .write_status(&exchange.notes[0], status, exchange.out);
    }

    fn answer_subscribe(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        let notes = exchange.notes;
        if let Some(ReplyToken::Error(_)) = exchange.reply.next() {
            self.form
                .write_status(&notes[0], Status::Failed, exchange.out);
            return Answer::Done;
        }
        let (key, name, flags) = (&notes[1], &notes[2], &notes[3]);
        // Who is to hear of the end of a key must be known to the tree, and so must the key.
        if self.tree.is_incomplete() {
            return self.begin_scan(exchange);
        }
        let subscriber = self
            .tree
            .subscribe(key, name, exchange.client, flags[0] == 1);
        self.streams.push(Stream {
            name: name.into(),
            subscriber,
            is_over: false,
            is_apart: self.form == Form::Json || flags[1] == 0,
        });
        // Who subscribes without a line end takes a greeting of two words only.
        let named = (flags[1] == 0).then_some(key);
        self.form.write_hello(named, exchange.out);
        Answer::Apart
    }

    fn answer_unsubscribe(&self, exchange: &mut Exchange<'_>) {
        let notes = exchange.notes;
        let status = match exchange.reply.next() {
            Some(ReplyToken::Error(_)) => Status::Failed,
            _ if self.tree.unsubscribe(&notes[1], &notes[2]) => Status::Done,
            _ => Status::NotFound,
        };
        self.form.write_status(&notes[0], status, exchange.out);
    }

    /// Tells a subscriber of a key as it is now.
    fn tell(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        let Some(stream) = stream_of(&mut self.streams, &exchange.notes[0]) else {
            return Answer::Done;
        };
        let (key, was_gone) = (&exchange.args[1], exchange.notes[1] == [1]);
        if stream.is_over || !form::is_sendable(key) {
            return Answer::Done;
        }
        let before = exchange.out.len();
        if was_gone {
            self.form.write_close(key, exchange.out);
        }
        // With its own key a subscription ends, even if the key is there again.
        if was_gone && *key == **stream.subscriber.key() {
            stream.is_over = true;
            self.tree.leave(&stream.name, &stream.subscriber);
        } else if lies_under(key, stream.subscriber.key())
            && let Some(ReplyToken::String(len)) = exchange.reply.next()
        {
            let value = exchange.reply.string(len);
            self.form.write_update(key, &value, exchange.out);
        }
        match stream.is_apart && exchange.out.len() > before {
            true => Answer::Apart,
            false => Answer::Done,
        }
    }

    fn tell_end(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        if let Some(stream) = stream_of(&mut self.streams, &exchange.notes[0]) {
            self.form.write_close(stream.subscriber.key(), exchange.out);
        }
        Answer::Apart
    }
}

/// A subscription that has not ended would be told for ever.
impl Drop for Nkv {
    fn drop(&mut self) {
        for stream in &self.streams {
            self.tree.leave(&stream.name, &stream.subscriber);
        }
    }
}

fn stream_of<'a>(streams: &'a mut [Stream], index: &[u8]) -> Option<&'a mut Stream> {
    let index = u32::from_le_bytes(*index.first_chunk()?);
    streams.get_mut(index as usize)
}

/// Whether a key is the other one or lies under it.
fn lies_under(key: &[u8], other: &[u8]) -> bool {
    let rest = key.strip_prefix(other);
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'.')
}

#[cfg(test)]
mod tests;
