//! The context of one running command.

use kvik_resp::{Args, Reply, parse_f64, parse_i64};
use kvik_store::{Guard, Key, KeyHash, UnixMs};

use crate::declare::Command;
use crate::engine::Engine;
use crate::error::Error;
use crate::random::Random;
use crate::session::Session;

/// Bytes of a reply that a slice of long work finds room for.
const REPLY_ROOM: usize = 128 << 10;

/// Everything a handler may use: its words, the reply to write, the keys it declared, its session,
/// and what all sessions share. A handler that returns an error leaves no reply behind; the
/// executor removes what it wrote.
pub struct Ctx<'a> {
    /// The words of the command, its name (and a subcommand's) included.
    pub args: Args<'a>,
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// The keyspaces, as far as the command declared to need them.
    pub keys: Guard<'a>,
    /// Who sent it.
    pub session: &'a mut Session,
    /// The state that all sessions share.
    pub engine: &'a Engine,
    /// The command's row.
    pub command: &'static Command,
    /// The time, in microseconds since the epoch.
    pub now_us: u64,
    /// Randomness.
    pub random: &'a mut Random,
    /// Which word is a key whose hash is known, and the hash.
    pub hashed: Option<(usize, KeyHash)>,
}

/// Elements that a command touches while its stripes are held once, if it touches very many.
pub const SLICE: usize = 1024;

/// How far ahead members are fetched into the cache that are looked for one after the other.
pub(crate) const LOOKUPS_AHEAD: usize = 12;

impl<'a> Ctx<'a> {
    /// Says how many elements the command is about to touch, before it has changed or answered
    /// anything. Many are touched in slices of [`SLICE`], with [`Self::breathe`] between two.
    ///
    /// # Errors
    /// [`Error::Long`] if that is to be done elsewhere. The handler runs again there.
    #[inline]
    pub fn weigh(&self, elements: usize) -> Result<(), Error> {
        let limit = &self.engine.settings.long_elements;
        let is_long = elements as u64 > limit.load(std::sync::atomic::Ordering::Relaxed);
        let session = &self.session;
        match is_long && !session.takes_long && !session.comes_back {
            true => Err(Error::Long),
            false => Ok(()),
        }
    }

    /// Lets others have the stripes between two slices, where the keys are pinned. Nothing changes
    /// meanwhile, but all that was looked up has to be looked up again. Returns the time then, in
    /// milliseconds since the epoch; 0 where nothing is let go.
    ///
    /// # Errors
    /// If the client is gone, or the command has run for longer than `command-time-limit`. For a
    /// command that has changed nothing.
    pub fn breathe(&mut self) -> Result<UnixMs, Error> {
        self.tell_more();
        let now_ms = self.let_go();
        let ran_ms = now_ms.saturating_sub(self.now_ms());
        if self.session.is_unwanted() {
            return Err(Error::GONE);
        }
        let limit = &self.engine.settings.time_limit_ms;
        match limit.load(std::sync::atomic::Ordering::Relaxed) {
            limit_ms @ 1.. if ran_ms > limit_ms => Err(Error::OUT_OF_TIME),
            _ => Ok(now_ms),
        }
    }

    /// The same for a command that has changed something, and goes on to its end. Returns the time
    /// then, 0 where nothing is let go.
    pub(crate) fn let_go(&mut self) -> UnixMs {
        // A long reply grows while nobody waits for it.
        self.keys.rest();
        self.reply.make_room(REPLY_ROOM);
        self.keys.breathe()
    }

    /// The word at `index` as a key, with its hash if that is known: it was computed to find the
    /// stripe.
    #[inline]
    pub fn key(&self, index: usize) -> Key<'a> {
        let args: Args<'a> = self.args;
        let name = args
            .get(index)
            .expect("the row says that the word is there");
        match self.hashed {
            Some((at, hash)) if at == index => Key::hashed(name, hash),
            _ => name.into(),
        }
    }

    /// The time, in milliseconds since the epoch.
    pub fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    /// The time `ms` from now, in milliseconds since the epoch; nothing if a signed 64-bit integer
    /// cannot count it. Every relative time that a client names becomes a deadline here.
    pub fn time_in(&self, ms: i64) -> Option<i64> {
        i64::try_from(self.now_ms()).ok()?.checked_add(ms)
    }

    /// When a wait of the milliseconds at `index` ends, in milliseconds since the epoch.
    ///
    /// # Errors
    /// If the word is no integer, negative, or too large for a time.
    pub fn timeout(&self, index: usize) -> Result<u64, Error> {
        let timeout_ms = self
            .int(index)
            .map_err(|_| Error::text("timeout is not an integer or out of range"))?;
        if timeout_ms < 0 {
            return Err(Error::text("timeout is negative"));
        }
        let end_ms = self.time_in(timeout_ms);
        end_ms
            .and_then(|at| u64::try_from(at).ok())
            .ok_or(Error::text("timeout is out of range"))
    }

    /// The word at `index` as a 64-bit integer.
    ///
    /// # Errors
    /// If it is not one in canonical form.
    pub fn int(&self, index: usize) -> Result<i64, Error> {
        parse_i64(&self.args[index]).ok_or(Error::NOT_AN_INTEGER)
    }

    /// The word at `index` as a float.
    ///
    /// # Errors
    /// If it is not one.
    pub fn float(&self, index: usize) -> Result<f64, Error> {
        parse_f64(&self.args[index]).ok_or(Error::NOT_A_FLOAT)
    }

    /// Whether the word at `index` is this option, in any case.
    pub fn is(&self, index: usize, option: &str) -> bool {
        self.args[index].eq_ignore_ascii_case(option.as_bytes())
    }

    /// The word at `index` as a 32-bit integer.
    ///
    /// # Errors
    /// If it is not one in canonical form, and with another text if it is only too large.
    pub fn small_int(&self, index: usize) -> Result<i32, Error> {
        small_int(&self.args[index])
    }

    /// The error of Redis for a subcommand that it does not know, or not with so many arguments.
    pub fn subcommand_error(&self) -> Error {
        const SHOWN: usize = 128;
        let word: &[u8] = &self.args[1];
        Error::quoting(&[
            b"unknown subcommand or wrong number of arguments for '",
            &word[..word.len().min(SHOWN)],
            b"'. Try ",
            &self.args[0].to_ascii_uppercase(),
            b" HELP.",
        ])
    }

    /// The database number at `index`.
    ///
    /// # Errors
    /// If it is no integer, or there is no such database.
    pub fn db(&self, index: usize) -> Result<u32, Error> {
        self.engine.db(&self.args[index])
    }

    /// The database with this number.
    ///
    /// # Errors
    /// If there is no such database.
    pub fn existing_db(&self, number: i32) -> Result<u32, Error> {
        self.engine.existing_db(number)
    }
}

/// A word as a 32-bit integer; see [`Ctx::small_int`].
fn small_int(word: &[u8]) -> Result<i32, Error> {
    let int = parse_i64(word).ok_or(Error::NOT_AN_INTEGER)?;
    i32::try_from(int).map_err(|_| Error::BEYOND_32_BITS)
}

impl Engine {
    /// The database that a word names; see [`Ctx::db`].
    pub(crate) fn db(&self, word: &[u8]) -> Result<u32, Error> {
        self.existing_db(small_int(word)?)
    }

    fn existing_db(&self, number: i32) -> Result<u32, Error> {
        let databases = &self.settings.databases;
        let databases = databases.load(std::sync::atomic::Ordering::Relaxed);
        u32::try_from(number)
            .ok()
            .filter(|&db| u64::from(db) < databases)
            .ok_or(Error::NO_SUCH_DB)
    }
}

impl std::fmt::Debug for Ctx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ctx")
            .field("command", &self.command.name())
            .finish_non_exhaustive()
    }
}
