//! Messages to clients from elsewhere: from other threads, from the log, from other clients.
//!
//! A command never writes into the connection of another client. It leaves a message in that
//! client's mailbox; the thread that serves the client reads it between two of its commands. The
//! mailbox belongs to the client and not to the thread, so a message is not lost while the client
//! moves to another thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kvik_resp::{Output, Protocol, Reply};
use parking_lot::{Condvar, Mutex};

/// Something to tell a client, or to do with it.
#[derive(Clone, Debug)]
pub enum Message {
    /// Bytes to be written between two replies.
    Push(Push),
    /// The reply to the command in which it is blocked.
    Reply(Answer),
    /// Its connection ends; unsent replies are dropped.
    Kill,
    /// The event that it waits for may have come.
    Retry,
}

/// A reply that somebody else has written.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its bytes.
    pub output: Output,
    /// Log position up to which effects must be durable before it may be sent; 0 for none.
    pub lsn: u64,
}

/// Bytes for clients, encoded once for all who receive them. To copy one is to count a reference.
#[derive(Clone, Debug)]
pub struct Push {
    encoded: Arc<Encoded>,
    lsn: u64,
    /// Dropped with the last copy.
    receipt: Option<Arc<Receipt>>,
}

#[derive(Debug)]
struct Encoded {
    /// As RESP2 has it.
    bytes: Output,
    form: Form,
    /// As RESP3 has it, where that is something else altogether.
    resp3: Option<Output>,
}

/// How the two protocols differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// An array in RESP2, a push in RESP3: another first byte.
    Aggregate,
    /// The same bytes in both.
    Line,
}

impl Push {
    /// A push of `len` values, which are encoded one behind the other. They must look the same in
    /// the protocols of all receivers, as strings and numbers do. It reveals effects up to the log
    /// position `lsn`, 0 if none.
    pub fn new(len: usize, values: Output, lsn: u64) -> Self {
        Self::encode(lsn, |reply| {
            reply.push(len);
            reply.append(values);
        })
    }

    /// A push that `write` writes: a header and values that look the same in both protocols.
    pub fn encode(lsn: u64, write: impl FnOnce(&mut Reply<'_>)) -> Self {
        let mut bytes = Output::new();
        write(&mut Reply::new(&mut bytes, Protocol::Resp2));
        Self::of(bytes, Form::Aggregate, lsn)
    }

    /// A status line, which is written as it is in both protocols.
    pub fn line(text: &[u8]) -> Self {
        let mut bytes = Output::new();
        Reply::new(&mut bytes, Protocol::Resp2).simple_bytes(text);
        Self::of(bytes, Form::Line, 0)
    }

    /// The push of a channel: words, each a string.
    pub(crate) fn words(words: &[&[u8]], lsn: u64) -> Self {
        // Each word brings its length and two line ends with it.
        const FRAME: usize = 16;
        let room = words.iter().map(|word| word.len() + FRAME).sum::<usize>() + FRAME;
        let mut bytes = Output::from(Vec::with_capacity(room));
        let mut reply = Reply::new(&mut bytes, Protocol::Resp2);
        reply.push(words.len());
        words.iter().for_each(|word| reply.bulk(word));
        Self::of(bytes, Form::Aggregate, lsn)
    }

    /// Says that copies of keys are stale: of these, or of all. In RESP2 it is a message of a
    /// channel that Redis has for it.
    pub(crate) fn stale(keys: Option<&[&[u8]]>, lsn: u64) -> Self {
        let encode = |protocol, words: &[&[u8]]| {
            let mut bytes = Output::new();
            let mut reply = Reply::new(&mut bytes, protocol);
            reply.push(words.len() + 1);
            words.iter().for_each(|word| reply.bulk(word));
            match keys {
                Some(keys) => {
                    reply.array(keys.len());
                    keys.iter().for_each(|key| reply.bulk(key));
                }
                None => reply.null(),
            }
            bytes
        };
        let encoded = Encoded {
            bytes: encode(Protocol::Resp2, &[b"message", b"__redis__:invalidate"]),
            form: Form::Aggregate,
            resp3: Some(encode(Protocol::Resp3, &[b"invalidate"])),
        };
        Self {
            encoded: Arc::new(encoded),
            lsn,
            receipt: None,
        }
    }

    fn of(bytes: Output, form: Form, lsn: u64) -> Self {
        let encoded = Arc::new(Encoded {
            bytes,
            form,
            resp3: None,
        });
        Self {
            encoded,
            lsn,
            receipt: None,
        }
    }

    /// The same, whose sender learns when it has been written or will never be.
    #[must_use]
    pub fn with_receipt(mut self, receipt: Receipt) -> Self {
        self.receipt = Some(Arc::new(receipt));
        self
    }

    /// Whether it says that copies of keys are stale.
    pub(crate) fn is_stale_notice(&self) -> bool {
        self.encoded.resp3.is_some()
    }

    /// Log position up to which effects must be durable before it may be sent; 0 for none.
    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    /// Its bytes in either protocol.
    #[expect(clippy::len_without_is_empty, reason = "no push is empty")]
    pub fn len(&self) -> usize {
        self.encoded.bytes.len()
    }

    /// Appends it as the receiver's protocol wants it: in RESP2 it is an array. Costs a copy of its
    /// bytes; large strings in it are shared.
    #[inline]
    pub fn write(&self, protocol: Protocol, out: &mut Output) {
        let first = match (protocol, self.encoded.form) {
            (_, Form::Line) => b'+',
            (Protocol::Resp2, Form::Aggregate) => b'*',
            (Protocol::Resp3, Form::Aggregate) => b'>',
        };
        let bytes = match (protocol, &self.encoded.resp3) {
            (Protocol::Resp3, Some(bytes)) => bytes,
            _ => &self.encoded.bytes,
        };
        out.append_as(first, bytes);
    }
}

/// Calls somebody when it is dropped.
pub struct Receipt(Box<dyn Fn() + Send + Sync>);

impl Receipt {
    /// A receipt that calls `done`, which must be quick.
    pub fn new(done: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Box::new(done))
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt")
    }
}

/// Where the messages for one client go, whichever thread serves it.
pub trait Mailbox: Send + Sync {
    /// Leaves a message and has the serving thread read it soon. Messages are read in the order in
    /// which they were left. Never waits for that thread.
    fn deliver(&self, message: Message);

    /// Takes the pushes out that have come and that nothing else came before, for a reply that they
    /// are to stand before.
    fn take_pushes(&self) -> Vec<Push> {
        Vec::new()
    }

    /// Whether anybody reads what arrives.
    fn is_read(&self) -> bool {
        true
    }
}

/// The mailbox of a client that nobody serves from a loop: nothing arrives.
#[derive(Clone, Copy, Debug)]
pub struct NoMailbox;

impl Mailbox for NoMailbox {
    fn deliver(&self, _message: Message) {}

    fn is_read(&self) -> bool {
        false
    }
}

/// The mailbox of a client in this process, whose thread looks into it while it is blocked.
#[derive(Debug, Default)]
pub struct LocalMailbox {
    messages: Mutex<VecDeque<Message>>,
    came: Condvar,
}

impl LocalMailbox {
    /// The first message, if there is one.
    pub fn take(&self) -> Option<Message> {
        self.messages.lock().pop_front()
    }

    /// Blocks the calling thread until there is a message, at most for so long; takes it.
    pub fn wait(&self, at_most: Duration) -> Option<Message> {
        let mut messages = self.messages.lock();
        if messages.is_empty() {
            self.came.wait_for(&mut messages, at_most);
        }
        messages.pop_front()
    }
}

impl Mailbox for LocalMailbox {
    fn deliver(&self, message: Message) {
        self.messages.lock().push_back(message);
        self.came.notify_one();
    }

    fn is_read(&self) -> bool {
        false
    }
}

/// Who knows clients by their numbers.
pub trait Post {
    /// Leaves a message for a client. Says whether there is such a client; it may go before it has
    /// read the message.
    fn deliver(&self, client: u64, message: Message) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_an_array_in_resp2() {
        let push = Push::new(1, b"$2\r\nhi\r\n".to_vec().into(), 0);
        let mut out = Output::from(b"+OK\r\n".to_vec());
        push.write(Protocol::Resp2, &mut out);
        push.write(Protocol::Resp3, &mut out);
        let expected = b"+OK\r\n*1\r\n$2\r\nhi\r\n>1\r\n$2\r\nhi\r\n";
        assert_eq!(out.into_bytes(), expected);
    }
}
