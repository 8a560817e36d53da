//! The command log: commands that took long, and those with a large request or reply, newest first.
//!
//! SLOWLOG shows the slow ones, COMMANDLOG all three. A log has its own numbers and its own length.

use std::collections::VecDeque;

use kvik_resp::Args;
use parking_lot::Mutex;

use crate::client::Client;

/// Words of a command that are kept, and bytes of each.
const MAX_WORDS: usize = 32;
const MAX_WORD_BYTES: usize = 128;

/// Why a command is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    /// It took long.
    Slow,
    /// Its words were long.
    LargeRequest,
    /// Its reply was long.
    LargeReply,
}

/// One logged command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedCommand {
    /// Grows by one with each entry of its log.
    pub id: u64,
    /// When it ran, in seconds since the epoch.
    pub at_s: u64,
    /// How long it took in microseconds, or how large it was in bytes.
    pub value: u64,
    /// How long it was put off before it ran, in microseconds.
    pub waited_us: u64,
    /// The processor time it took in microseconds, where that is measured.
    pub cpu_us: Option<u64>,
    /// Its words, shortened.
    pub words: Vec<Vec<u8>>,
    /// How many words it had.
    pub word_count: usize,
    /// Who sent it.
    pub addr: String,
    /// The client's name.
    pub name: Vec<u8>,
}

/// When a command ran and what is noted of it, as [`LoggedCommand`] has it.
#[derive(Clone, Copy, Debug)]
pub struct LoggedFigures {
    /// In seconds since the epoch.
    pub at_s: u64,
    /// In microseconds or bytes.
    pub value: u64,
    /// How long it was put off before it ran, in microseconds.
    pub waited_us: u64,
    /// In microseconds.
    pub cpu_us: Option<u64>,
}

/// The three logs.
#[derive(Debug, Default)]
pub struct CommandLog([Mutex<Log>; 3]);

/// The commands that a log has taken since its totals were reset, also those that it has forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogTotals {
    /// How many.
    pub count: u64,
    /// Their microseconds or bytes.
    pub sum: u64,
    /// The most of one.
    pub max: u64,
}

#[derive(Debug, Default)]
struct Log {
    next_id: u64,
    entries: VecDeque<LoggedCommand>,
    totals: LogTotals,
}

impl CommandLog {
    /// Records a command and forgets the oldest beyond `max_len`.
    pub fn record(
        &self,
        why: Logged,
        args: Args<'_>,
        client: &Client,
        what: LoggedFigures,
        max_len: usize,
    ) {
        let LoggedFigures {
            at_s,
            value,
            waited_us,
            cpu_us,
        } = what;
        let mut log = self.0[why as usize].lock();
        let id = log.next_id;
        log.next_id += 1;
        log.totals.count += 1;
        log.totals.sum += value;
        log.totals.max = log.totals.max.max(value);
        log.entries.push_front(LoggedCommand {
            id,
            at_s,
            value,
            waited_us,
            cpu_us,
            words: shorten(args),
            word_count: args.len(),
            addr: client.addr.clone(),
            name: client.names().name,
        });
        log.entries.truncate(max_len);
    }

    /// The newest `count` entries of a log.
    pub fn newest(&self, why: Logged, count: usize) -> Vec<LoggedCommand> {
        let log = self.0[why as usize].lock();
        log.entries.iter().take(count).cloned().collect()
    }

    /// Totals of what a log has ever taken.
    pub fn totals(&self, why: Logged) -> LogTotals {
        self.0[why as usize].lock().totals
    }

    /// Counts from zero again.
    pub fn reset_totals(&self) {
        self.0
            .iter()
            .for_each(|log| log.lock().totals = LogTotals::default());
    }

    /// Number of entries of a log.
    pub fn len(&self, why: Logged) -> usize {
        self.0[why as usize].lock().entries.len()
    }

    /// Forgets all entries of a log.
    pub fn clear(&self, why: Logged) {
        self.0[why as usize].lock().entries.clear();
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
pub(crate) fn is_secret(args: Args<'_>, at: usize) -> bool {
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
