//! The slow log: commands that took long, newest first.

use std::collections::VecDeque;

use kvik_resp::Args;
use parking_lot::Mutex;

use crate::client::Client;

/// Words of a command that are kept, and bytes of each.
const MAX_WORDS: usize = 32;
const MAX_WORD_BYTES: usize = 128;

/// One slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowCommand {
    /// Grows by one with each entry.
    pub id: u64,
    /// When it ran, in seconds since the epoch.
    pub at_s: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// Its words, shortened.
    pub words: Vec<Vec<u8>>,
    /// Who sent it.
    pub addr: String,
    /// The client's name.
    pub name: Vec<u8>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct SlowLog(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    next_id: u64,
    entries: VecDeque<SlowCommand>,
}

impl SlowLog {
    /// Records a command and forgets the oldest beyond `max_len`.
    pub fn record(&self, args: Args<'_>, client: &Client, at_s: u64, took_us: u64, max_len: usize) {
        let mut log = self.0.lock();
        let id = log.next_id;
        log.next_id += 1;
        let (words, addr, name) = (shorten(args), client.addr.clone(), client.names().name);
        log.entries.push_front(SlowCommand {
            id,
            at_s,
            took_us,
            words,
            addr,
            name,
        });
        log.entries.truncate(max_len);
    }

    /// The newest `count` entries.
    pub fn newest(&self, count: usize) -> Vec<SlowCommand> {
        self.0.lock().entries.iter().take(count).cloned().collect()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.lock().entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all entries.
    pub fn clear(&self) {
        self.0.lock().entries.clear();
    }
}

fn shorten(args: Args<'_>) -> Vec<Vec<u8>> {
    let kept = if args.len() > MAX_WORDS {
        MAX_WORDS - 1
    } else {
        args.len()
    };
    let show = |(at, word)| {
        if is_secret(args, at) {
            b"(redacted)".to_vec()
        } else {
            shorten_word(word)
        }
    };
    let mut words: Vec<_> = args.iter().take(kept).enumerate().map(show).collect();
    if kept < args.len() {
        words.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    words
}

/// Whether a word is a password or a user name, which must not be shown to others.
fn is_secret(args: Args<'_>, at: usize) -> bool {
    let is = |at: usize, word: &str| {
        args.get(at)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    };
    let follows_auth =
        || (2..=4).any(|auth| is(auth, "AUTH") && (auth + 1..=auth + 2).contains(&at));
    let sets_secret = || {
        let name = at
            .checked_sub(1)
            .and_then(|name| args.get(name))
            .unwrap_or_default()
            .to_ascii_lowercase();
        at >= 3
            && at % 2 == 1
            && (name.ends_with(b"pass") || name.ends_with(b"auth") || name.ends_with(b"user"))
    };
    (at > 0 && is(0, "AUTH"))
        || (is(0, "HELLO") && follows_auth())
        || (is(0, "CONFIG") && is(1, "SET") && sets_secret())
}

fn shorten_word(word: &[u8]) -> Vec<u8> {
    if word.len() <= MAX_WORD_BYTES {
        return word.to_vec();
    }
    let mut kept = word[..MAX_WORD_BYTES].to_vec();
    kept.extend_from_slice(format!("... ({} more bytes)", word.len() - MAX_WORD_BYTES).as_bytes());
    kept
}
