//! Neks: frames of MessagePack, each a list of requests, each frame answered by one.
//!
//! ```text
//! frame     length of the payload (8 bytes, big-endian), payload
//! payload   [request, ...]            anything behind the list is ignored
//! request   [0, key]                  get: adds [-1, value] or [-2] to the reply
//!           [1, key, value]           set
//!           [2, key]                  delete
//!           [3, [request, ...]]       all of them at once, to any depth
//! reply     length, [element, ...]    one element for each get, in order
//! ```
//!
//! A frame is checked as a whole before anything of it runs: a short one while its commands are
//! made, which are taken back if it is none, a long one before that, in slices. Requests of one
//! kind in a row become one command for several keys, which costs a fraction of a command for each:
//! others may come between two requests, but need not. Those of a `[3, ...]` become one MULTI,
//! however deep they lie, so that nobody sees a part of them. What is no frame, and what the store
//! refuses, has no form here: the connection ends without a word.
//!
//! Requests are read in the order in which they stand, with a count of those that are still to
//! come, so the depth of a frame costs neither stack nor memory.

use kvik_resp::{Output, ReplyReader, ReplyToken};

use super::batch::{Answer, BatchEnd, CommandBatch, Exchange, Progress};
use super::msgpack::{self, Reader};

const HEADER: usize = 8;
/// Most requests that one command stands for, and bytes of their keys and values from which it
/// takes no more.
const ROW: usize = 64;
const ROW_BYTES: usize = 16 << 10;
/// Requests of a frame that are read before others have their turn.
const SLICE: usize = 4096;
/// Longest payload that is checked while its commands are made.
const SHORT_FRAME: usize = 8 << 10;

// What a command is.
/// It adds an element.
const GET: u8 = 0;
/// It adds nothing, and nor do MULTI and what it queues.
const SILENT: u8 = 1;
/// It adds an element for each get among its replies.
const SEVERAL: u8 = 2;
/// No command: its frame ends.
const END: u8 = 3;

/// Bounds, and leniences for other MessagePack libraries than that of the original.
#[derive(Clone, Copy, Debug)]
pub struct NeksLimits {
    /// Longest payload of a request in bytes.
    pub max_frame: usize,
    /// Longest payload of a reply in bytes.
    pub max_reply: usize,
    /// Keys and values may be strings of text, and numbers unsigned.
    pub lenient: bool,
}

impl Default for NeksLimits {
    fn default() -> Self {
        Self {
            max_frame: 999_999,
            max_reply: 64 << 20,
            lenient: false,
        }
    }
}

/// The codec of one connection.
#[derive(Debug)]
pub struct Neks {
    limits: NeksLimits,
    database: u32,
    /// How far the frame at the start of the input has been checked.
    check: Option<FrameCheck>,
    frame: Option<NeksFrame>,
    /// Elements of the reply to the frame whose commands run.
    elements: usize,
    body: Output,
}

/// A frame that is there as a whole, a part of which has been checked.
#[derive(Clone, Copy, Debug)]
struct FrameCheck {
    /// Where in its payload the next request stands.
    at: usize,
    /// Requests still to come.
    requests: u64,
}

/// A checked frame, a part of which has become commands.
#[derive(Clone, Copy, Debug)]
struct NeksFrame {
    /// Bytes of its payload still to come.
    left: usize,
    /// Requests of its list still to come.
    requests: u64,
    /// Requests still to come of the `[3, ...]` under way.
    together: Option<u64>,
}

/// One request, whose members are separate ones.
enum Item<'a> {
    /// On a key, with a value if it is set.
    Key(NeksVerb, &'a [u8], Option<&'a [u8]>),
    Together(u64),
}

/// A request on a key, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NeksVerb {
    Get,
    Set,
    Delete,
}

/// Requests of one kind in a row, as the words of a command.
struct NeksRow<'a> {
    verb: NeksVerb,
    words: [&'a [u8]; 1 + 2 * ROW],
    /// Words, with the command's name.
    count: usize,
    /// Requests.
    len: usize,
    bytes: usize,
}

impl<'a> NeksRow<'a> {
    fn new(verb: NeksVerb) -> Self {
        Self {
            verb,
            words: [b""; 1 + 2 * ROW],
            count: 1,
            len: 0,
            bytes: 0,
        }
    }

    fn push(&mut self, key: &'a [u8], value: Option<&'a [u8]>) {
        for word in [Some(key), value].into_iter().flatten() {
            self.words[self.count] = word;
            self.count += 1;
            self.bytes += word.len();
        }
        self.len += 1;
    }

    fn is_full(&self) -> bool {
        self.len == ROW || self.bytes >= ROW_BYTES
    }

    /// The command. For a single key it is the one that costs less.
    fn words(&mut self) -> &[&'a [u8]] {
        self.words[0] = match (self.verb, self.len) {
            (NeksVerb::Get, 1) => b"GET",
            (NeksVerb::Get, _) => b"MGET",
            (NeksVerb::Set, 1) => b"SET",
            (NeksVerb::Set, _) => b"MSET",
            (NeksVerb::Delete, _) => b"DEL",
        };
        &self.words[..self.count]
    }
}

impl Neks {
    /// For a connection whose keys are those of a database.
    pub fn new(database: u32, limits: NeksLimits) -> Self {
        Self {
            limits,
            database,
            check: None,
            frame: None,
            elements: 0,
            body: Output::new(),
        }
    }

    pub(super) fn parse(&mut self, input: &[u8], batch: &mut CommandBatch) -> Progress {
        let (mut consumed, mut steps) = (0, 0);
        let end = loop {
            // A frame may consist of lists that hold nothing but lists.
            steps += 1;
            if batch.is_full() || steps > SLICE {
                break BatchEnd::Full;
            }
            let rest = &input[consumed..];
            let step = match self.frame {
                None => self.begin(rest, batch),
                // It has been checked, so that nothing is missing.
                Some(frame) => self.go_on(frame, rest, batch).ok_or(BatchEnd::Close),
            };
            match step {
                Ok(count) => consumed += count,
                Err(end) => break end,
            }
        };
        Progress { consumed, end }
    }

    /// Begins with a frame if all of it is there; the bytes read.
    fn begin(&mut self, input: &[u8], batch: &mut CommandBatch) -> Result<usize, BatchEnd> {
        let Some(header) = input.first_chunk::<HEADER>() else {
            return Err(BatchEnd::Incomplete(HEADER - input.len()));
        };
        let len = u64::from_be_bytes(*header);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > self.limits.max_frame {
            return Err(BatchEnd::Close);
        }
        let Some(payload) = input[HEADER..].get(..len) else {
            return Err(BatchEnd::Incomplete(HEADER + len - input.len()));
        };
        let mut reader = self.reader(payload);
        let requests = reader.array().ok_or(BatchEnd::Close)?;
        let left = reader.left();
        let frame = NeksFrame {
            left,
            requests,
            together: None,
        };
        let is_short = len <= SHORT_FRAME && self.check.is_none();
        if is_short && self.make_whole(frame, reader.rest(), batch)? {
            return Ok(HEADER + len);
        }
        let mut check = self.check.take().unwrap_or(FrameCheck {
            at: len - left,
            requests,
        });
        if !check.go_on(self.reader(&payload[check.at..]), len)? {
            self.check = Some(check);
            return Err(BatchEnd::Full);
        }
        self.frame = Some(frame);
        Ok(HEADER + len - left)
    }

    /// Makes all commands of a frame that nobody has checked, unless they are too many for the
    /// batch; says whether it did.
    fn make_whole(
        &mut self,
        frame: NeksFrame,
        payload: &[u8],
        batch: &mut CommandBatch,
    ) -> Result<bool, BatchEnd> {
        let (before, mut read) = (batch.requests().len(), 0);
        self.frame = Some(frame);
        while let Some(frame) = self.frame {
            let made = match batch.is_full() {
                true => Ok(false),
                false => self
                    .go_on(frame, &payload[read..], batch)
                    .ok_or(BatchEnd::Close)
                    .map(|count| {
                        read += count;
                        true
                    }),
            };
            if made != Ok(true) {
                self.frame = None;
                batch.truncate(before);
                return made;
            }
        }
        Ok(true)
    }

    /// Makes the next command of a frame; the bytes read, or none if something else stands there.
    fn go_on(
        &mut self,
        mut frame: NeksFrame,
        input: &[u8],
        batch: &mut CommandBatch,
    ) -> Option<usize> {
        let database = self.database;
        // All requests of the transaction have become commands.
        if frame.together == Some(0) {
            frame.together = None;
            batch.push(SEVERAL, database, &[b"EXEC"]);
            self.frame = Some(frame);
            return Some(0);
        }
        // The reply is sent when the last command has been answered; what stands behind the list is
        // skipped.
        if frame.together.is_none() && frame.requests == 0 {
            batch.note(END, database, &[]);
            self.frame = None;
            return Some(frame.left);
        }
        let mut reader = self.reader(&input[..frame.left]);
        let is_together = frame.together.is_some();
        match item(&mut reader)? {
            Item::Key(verb, key, value) => {
                frame.take_one();
                let mut row = NeksRow::new(verb);
                row.push(key, value);
                frame.fill(&mut row, &mut reader);
                // In a transaction a get answers QUEUED; its value comes with EXEC.
                let mark = match (verb, row.len) {
                    (NeksVerb::Get, 1) if !is_together => GET,
                    (NeksVerb::Get, _) if !is_together => SEVERAL,
                    _ => SILENT,
                };
                batch.push(mark, database, row.words());
            }
            Item::Together(count) => {
                frame.take_one();
                match &mut frame.together {
                    // A transaction within another one is a part of it.
                    Some(outer) => *outer = outer.checked_add(count)?,
                    None => {
                        frame.together = Some(count);
                        batch.push(SILENT, database, &[b"MULTI"]);
                    }
                }
            }
        }
        let read = frame.left - reader.left();
        frame.left = reader.left();
        self.frame = Some(frame);
        Some(read)
    }

    fn reader<'a>(&self, bytes: &'a [u8]) -> Reader<'a> {
        Reader::new(bytes, self.limits.lenient)
    }

    pub(super) fn answer(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        let reply = &mut exchange.reply;
        let understood = match exchange.request.mark {
            GET => self.element(reply),
            SILENT => !matches!(reply.next(), Some(ReplyToken::Error(_))),
            SEVERAL => self.elements_of_all(reply),
            _ => {
                self.send(exchange.out);
                true
            }
        };
        if understood && self.body.len() <= self.limits.max_reply {
            Answer::Done
        } else {
            Answer::Close
        }
    }

    /// Adds what a get has found. A key that holds something else than a string is as good as
    /// missing.
    fn element(&mut self, reply: &mut ReplyReader<'_>) -> bool {
        match reply.next() {
            Some(ReplyToken::String(len)) => {
                match u8::try_from(len) {
                    // As the two below, in one piece.
                    Ok(len) => self.body.extend_from_slice(&[0x92, 0xff, 0xc4, len]),
                    Err(_) => {
                        self.body.extend_from_slice(&[0x92, 0xff]);
                        msgpack::write_bytes_header(len, &mut self.body);
                    }
                }
                reply.string_to(len, &mut self.body);
            }
            Some(ReplyToken::Null) => self.body.extend_from_slice(&[0x91, 0xfe]),
            Some(ReplyToken::Error(text)) if text.starts_with(b"WRONGTYPE") => {
                self.body.extend_from_slice(&[0x91, 0xfe]);
            }
            _ => return false,
        }
        self.elements += 1;
        true
    }

    /// Adds what several gets have found, or those of a transaction, among whose replies those of
    /// several are lists. Nothing else in it answers by a string or by none.
    fn elements_of_all(&mut self, reply: &mut ReplyReader<'_>) -> bool {
        let Some(ReplyToken::Array(mut left)) = reply.next() else {
            return false;
        };
        while left > 0 {
            left -= 1;
            let before = *reply;
            match reply.next() {
                Some(ReplyToken::Simple(_) | ReplyToken::Integer(_)) => {}
                Some(ReplyToken::Array(len)) => left += len,
                _ => {
                    *reply = before;
                    if !self.element(reply) {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Sends the reply to a frame.
    fn send(&mut self, out: &mut Output) {
        let mut head = Output::new();
        msgpack::write_array(std::mem::take(&mut self.elements), &mut head);
        let len = (head.len() + self.body.len()) as u64;
        out.extend_from_slice(&len.to_be_bytes());
        out.append(head);
        // Memory of its own is kept for the next reply. Parts that are shared with the store go as
        // they are.
        match self.body.parts() {
            (bytes, []) => {
                out.extend_from_slice(bytes);
                self.body.clear();
            }
            _ => out.append(std::mem::take(&mut self.body)),
        }
    }
}

impl NeksFrame {
    /// How many requests follow before something else does.
    fn in_row(&self) -> u64 {
        self.together.unwrap_or(self.requests)
    }

    fn take_one(&mut self) {
        match &mut self.together {
            Some(count) => *count -= 1,
            None => self.requests -= 1,
        }
    }

    /// Adds the requests of the same kind that come next.
    fn fill<'a>(&mut self, row: &mut NeksRow<'a>, reader: &mut Reader<'a>) {
        while self.in_row() > 0 && !row.is_full() {
            let before = *reader;
            match item(reader) {
                Some(Item::Key(verb, key, value)) if verb == row.verb => row.push(key, value),
                _ => {
                    *reader = before;
                    return;
                }
            }
            self.take_one();
        }
    }
}

impl FrameCheck {
    /// Checks the next requests, without running anything, and says whether these were all. The
    /// reader is at the first of them, in a payload of `len` bytes.
    fn go_on(&mut self, mut reader: Reader<'_>, len: usize) -> Result<bool, BatchEnd> {
        for _ in 0..SLICE {
            if self.requests == 0 {
                break;
            }
            self.requests -= 1;
            // Members take the place of their list, so that nothing recurses, however deep lists
            // are nested.
            if let Item::Together(count) = item(&mut reader).ok_or(BatchEnd::Close)? {
                let requests = self.requests.checked_add(count);
                self.requests = requests.ok_or(BatchEnd::Close)?;
            }
        }
        self.at = len - reader.left();
        Ok(self.requests == 0)
    }
}

/// Reads one request; of a `[3, ...]` only what stands before its first member.
#[inline]
fn item<'a>(reader: &mut Reader<'a>) -> Option<Item<'a>> {
    match short_item(reader.rest()) {
        Some((item, rest)) => {
            reader.go_to(rest);
            Some(item)
        }
        None => item_of_any_form(reader),
    }
}

/// A request in the form that nearly all have: strings of less than 256 bytes, and all headers as
/// short as can be. What stands behind it comes with it.
#[inline]
fn short_item(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    match bytes {
        [0x92, verb @ (0 | 2), 0xc4, len, rest @ ..] => {
            let (key, rest) = rest.split_at_checked(usize::from(*len))?;
            let verb = match verb {
                0 => NeksVerb::Get,
                _ => NeksVerb::Delete,
            };
            Some((Item::Key(verb, key, None), rest))
        }
        [0x93, 1, 0xc4, len, rest @ ..] => {
            let (key, rest) = rest.split_at_checked(usize::from(*len))?;
            let [0xc4, len, rest @ ..] = rest else {
                return None;
            };
            let (value, rest) = rest.split_at_checked(usize::from(*len))?;
            Some((Item::Key(NeksVerb::Set, key, Some(value)), rest))
        }
        _ => None,
    }
}

fn item_of_any_form<'a>(reader: &mut Reader<'a>) -> Option<Item<'a>> {
    let len = reader.array()?;
    let item = match (reader.integer()?, len) {
        (0, 2) => Item::Key(NeksVerb::Get, reader.bytes()?, None),
        (1, 3) => Item::Key(NeksVerb::Set, reader.bytes()?, Some(reader.bytes()?)),
        (2, 2) => Item::Key(NeksVerb::Delete, reader.bytes()?, None),
        (3, 2) => Item::Together(reader.array()?),
        _ => return None,
    };
    Some(item)
}

#[cfg(test)]
mod tests;
