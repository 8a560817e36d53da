//! From a handler that finds nothing to a call in the lines of its keys, and back to a session.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize};

use kvik_resp::ArgsBuf;
use kvik_store::{Waiter, next_turn};

use super::{Block, BlockedCall, NEVER_MS};
use crate::ctx::Ctx;
use crate::error::Error;
use crate::session::Session;

impl BlockedCall {
    /// A session in which somebody else runs the call for its client. It waits no more.
    pub fn session(&self) -> Session {
        let mut session = Session::new(Arc::clone(&self.client), true);
        session.db = self.database;
        session.protocol = self.protocol;
        session.no_touch = self.no_touch;
        session.may_block = false;
        // Whoever serves it holds what it needs, and has brought what there is.
        session.takes_long = true;
        session
    }
}

impl Ctx<'_> {
    /// Whether the command may have its client wait. Inside a transaction or a script it may not,
    /// and answers as if the time were up.
    pub fn may_block(&self) -> bool {
        self.session.may_block
    }

    /// Whether the command may look at one of its keys. It may not at some of them when it runs for
    /// a blocked client in the section of somebody else; those have not changed.
    pub fn may_see(&self, key: &[u8]) -> bool {
        self.session.may_block || self.keys.holds(key)
    }

    /// The end of a wait of the seconds at `index`, which may have a fraction, in milliseconds
    /// since the epoch. 0 is [`NEVER_MS`].
    ///
    /// # Errors
    /// If the word is no number, negative, or too large for a time.
    pub fn deadline(&self, index: usize) -> Result<u64, Error> {
        const NO_FLOAT: Error = Error::text("timeout is not a float or out of range");
        let seconds = kvik_resp::parse_f64(&self.args[index]).ok_or(NO_FLOAT)?;
        if seconds < 0.0 {
            return Err(Error::text("timeout is negative"));
        }
        let ms = (seconds * 1000.0).ceil();
        self.deadline_in(if ms < i64::MAX as f64 {
            Some(ms as i64)
        } else {
            None
        })
    }

    /// The same for the milliseconds at `index`, which have no fraction.
    ///
    /// # Errors
    /// As [`Self::deadline`].
    pub fn deadline_ms(&self, index: usize) -> Result<u64, Error> {
        let until_ms = self.timeout(index)?;
        Ok(if until_ms == self.now_ms() {
            NEVER_MS
        } else {
            until_ms
        })
    }

    fn deadline_in(&self, ms: Option<i64>) -> Result<u64, Error> {
        const TOO_LARGE: Error = Error::text("timeout is out of range");
        if ms == Some(0) {
            return Ok(NEVER_MS);
        }
        let until_ms = ms.and_then(|ms| self.time_in(ms));
        until_ms
            .and_then(|at| u64::try_from(at).ok())
            .ok_or(TOO_LARGE)
    }

    /// Has the client wait; where it must not, answers as if the time were up.
    pub fn wait_or_answer(&mut self, block: Block) {
        if self.may_block() {
            self.block(block);
        } else {
            block.nothing.write(&mut self.reply);
        }
    }

    /// Has the client wait until one of the keys can serve the command. The command has seen that
    /// none of them can, and writes no reply.
    pub fn block(&mut self, block: Block) {
        if self.session.errand.is_some() {
            // Only the client's own session can wait: it runs the command again.
            self.session.comes_back = true;
            return;
        }
        let call = Arc::new(self.blocked_call(block));
        let waiter: Arc<dyn Waiter> = Arc::clone(&call) as _;
        let counts = &self.engine.blocked;
        for key in call.keys() {
            // A key that is named twice has one place in its line.
            if let Some(change) = self.keys.wait(key, &waiter) {
                call.lines.fetch_add(1, Relaxed);
                counts.joined(change);
            }
        }
        counts.clients.fetch_add(1, Relaxed);
        self.session
            .client
            .show_blocked(Some(Arc::clone(&call) as _));
        self.session.blocked = Some(call);
    }

    fn blocked_call(&self, block: Block) -> BlockedCall {
        let words = block.words.unwrap_or_else(|| ArgsBuf::from(self.args));
        // Keys that it does not wait for but changes, such as the destination of BLMOVE, where they
        // lie in other stripes.
        let mut reaches = Vec::new();
        // Whatever else the command names is needed to serve it, and may lie in another stripe than
        // the key that does.
        let stripe = |at: usize| self.keys.stripe_of(&words.as_args()[at]);
        let _ = self.command.for_each_key(words.as_args(), |at, _| {
            if !block.keys.contains(&at) && block.keys.clone().any(|key| stripe(key) != stripe(at))
            {
                reaches.push(stripe(at));
            }
        });
        BlockedCall {
            state: AtomicU8::new(0),
            turn: next_turn(),
            client: Arc::clone(&self.session.client),
            command: self.command,
            words,
            keys: block.keys.start as u32..block.keys.end as u32,
            wanted: block.wanted,
            reaches: reaches.into(),
            lines: AtomicUsize::new(0),
            nothing: block.nothing,
            until_ms: block.until_ms,
            look_ms: AtomicU64::new(block.look_ms),
            database: self.session.db,
            protocol: self.session.protocol,
            no_touch: self.session.no_touch,
        }
    }
}
