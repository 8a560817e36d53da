//! Effects: what a change did, as a canonical command that repeats it anywhere.
//!
//! An effect names absolute facts: `PEXPIREAT` never `EXPIRE`, `DEL` for a key that expired, the
//! new value rather than the condition under which it was set. Playing the effects of a store into
//! an empty one yields the same keys, values and expiries; the log, replicas and the mirror test
//! all rest on that.

use kvik_rope::Rope;

use crate::former::FormerKey;
use crate::layout::KeyspaceId;

/// Where the effects of one unit of work go, in the order in which they happened. An effect is one
/// call of [`begin`](Self::begin), its words in order, and [`end`](Self::end); no other effect
/// comes between.
pub trait EffectSink {
    /// Whether anybody wants effects; when not, none are put into words.
    fn wanted(&self) -> bool;

    /// Begins an effect on a keyspace.
    fn begin(&mut self, keyspace: KeyspaceId);

    /// Takes the next word of the effect: a command's name or one of its arguments.
    fn word(&mut self, word: &[u8]);

    /// Takes the next words of the effect.
    fn words(&mut self, words: &[&[u8]]) {
        words.iter().for_each(|word| self.word(word));
    }

    /// Takes a large string as the next word, without a copy where the sink can share it.
    fn rope(&mut self, rope: &Rope);

    /// Ends the effect.
    fn end(&mut self);

    /// Takes the state of a key before a change, if it hands its effects over before the guard has
    /// done its work; gives it back otherwise.
    fn former(&mut self, key: FormerKey) -> Option<FormerKey> {
        Some(key)
    }

    /// Takes a whole effect.
    fn emit(&mut self, keyspace: KeyspaceId, command: &[&[u8]]) {
        self.begin(keyspace);
        self.words(command);
        self.end();
    }
}

/// Drops every effect.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEffects;

impl EffectSink for NoEffects {
    fn wanted(&self) -> bool {
        false
    }

    fn begin(&mut self, _keyspace: KeyspaceId) {}

    fn word(&mut self, _word: &[u8]) {}

    fn rope(&mut self, _rope: &Rope) {}

    fn end(&mut self) {}
}
