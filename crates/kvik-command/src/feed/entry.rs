//! An entry of the feed.

use std::sync::OnceLock;

use kvik_resp::{Args, ArgsBuf, Output, Protocol, Reply};

use super::FeedPosition;
use crate::declare::table;
use crate::mail::Push;

/// The state of a key before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OldState {
    /// Nobody has noted it: it is noted from the first time that somebody asks for it, and kept in
    /// memory only.
    Unknown,
    /// There was no such key.
    Missing,
    /// A string.
    String(Box<[u8]>),
    /// A string that is too long to be noted, of so many bytes.
    LongString(u64),
    /// A collection: its type, as TYPE says it, and the number of its elements.
    Collection(&'static str, u64),
}

/// One effect: a change that has been committed.
#[derive(Debug)]
pub struct FeedEntry {
    /// The position behind it. To read on from here is to read what comes next.
    pub position: FeedPosition,
    /// When it happened, in seconds since 1970; 0 if the log does not say.
    pub time_s: u64,
    /// The numbered database.
    pub database: u32,
    words: ArgsBuf,
    /// Which words are keys.
    keys: Vec<u32>,
    reaches_all: bool,
    /// For each key its state before.
    old: Vec<OldState>,
    /// The push for subscribers, encoded once: without the old states, and with them.
    encoded: [OnceLock<Push>; 2],
}

/// The number of values in an entry.
const FIELDS: usize = 5;

impl FeedEntry {
    /// An entry of an effect's words.
    pub fn new(position: FeedPosition, time_s: u64, database: u32, words: Args<'_>) -> Self {
        let mut keys = Vec::new();
        if let Ok(command) = table().resolve(words) {
            // A call that names its keys wrongly would not have become an effect.
            let _ = command.for_each_key(words, |at, _| keys.push(at as u32));
        }
        let reaches_all = words.get(0).is_some_and(reaches_all);
        Self {
            position,
            time_s,
            database,
            words: ArgsBuf::from(words),
            keys,
            reaches_all,
            old: Vec::new(),
            encoded: [OnceLock::new(), OnceLock::new()],
        }
    }

    /// Says what each of its keys held before.
    pub fn set_old(&mut self, old: Vec<OldState>) {
        self.old = old;
    }

    /// The effect: a command that repeats the change.
    pub fn words(&self) -> Args<'_> {
        self.words.as_args()
    }

    /// The effect's name, in upper case.
    pub fn verb(&self) -> &[u8] {
        self.words().get(0).unwrap_or_default()
    }

    /// The keys that it names.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let words = self.words();
        self.keys
            .iter()
            .map(move |&at| words.get(at as usize).unwrap_or_default())
    }

    /// Whether it is about whole databases: it reaches every key, and so every prefix.
    pub fn reaches_all(&self) -> bool {
        self.reaches_all
    }

    /// The state before of the key with this index among [`keys`](Self::keys).
    pub fn old(&self, key: usize) -> &OldState {
        self.old.get(key).unwrap_or(&OldState::Unknown)
    }

    /// Bytes of its words.
    pub fn byte_len(&self) -> usize {
        self.words.byte_len()
    }

    /// Writes it as an array: position, time, database, keys, effect, and the old states if wanted.
    pub fn write(&self, with_old: bool, reply: &mut Reply<'_>) {
        reply.array(FIELDS + usize::from(with_old));
        self.write_fields(with_old, reply);
    }

    /// The push to a subscriber.
    pub(super) fn push(&self, with_old: bool) -> Push {
        let encode = || {
            let mut out = Output::new();
            let mut reply = Reply::new(&mut out, Protocol::Resp3);
            reply.bulk(b"feed");
            self.write_fields(with_old, &mut reply);
            // Only what is committed comes here, so no position has to be waited for.
            Push::new(1 + FIELDS + usize::from(with_old), out, 0)
        };
        let push = self.encoded[usize::from(with_old)].get_or_init(encode);
        push.clone()
    }

    fn write_fields(&self, with_old: bool, reply: &mut Reply<'_>) {
        reply.bulk_str(&self.position.to_string());
        reply.integer(self.time_s as i64);
        reply.integer(self.database.into());
        reply.array(self.keys.len());
        self.keys().for_each(|key| reply.bulk(key));
        let words = self.words();
        reply.array(words.len());
        words.iter().for_each(|word| reply.bulk(word));
        if with_old {
            reply.array(self.keys.len());
            (0..self.keys.len()).for_each(|at| self.old(at).write(reply));
        }
    }
}

impl OldState {
    fn write(&self, reply: &mut Reply<'_>) {
        match self {
            Self::Unknown => reply.null(),
            Self::Missing => {
                reply.array(1);
                reply.bulk(b"none");
            }
            Self::String(bytes) => {
                reply.array(2);
                reply.bulk(b"string");
                reply.bulk(bytes);
            }
            Self::LongString(len) => {
                reply.array(2);
                reply.bulk(b"string");
                reply.integer(*len as i64);
            }
            Self::Collection(kind, len) => {
                reply.array(2);
                reply.bulk(kind.as_bytes());
                reply.integer(*len as i64);
            }
        }
    }

    /// Bytes that it takes.
    pub fn byte_len(&self) -> usize {
        match self {
            Self::String(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

fn reaches_all(verb: &[u8]) -> bool {
    const VERBS: [&[u8]; 3] = [b"FLUSHALL", b"FLUSHDB", b"SWAPDB"];
    VERBS.iter().any(|it| verb.eq_ignore_ascii_case(it))
}
