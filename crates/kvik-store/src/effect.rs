//! Effects: what a change did, as a canonical command that repeats it anywhere.
//!
//! An effect names absolute facts: `PEXPIREAT` never `EXPIRE`, `DEL` for a key that expired, the new value rather than
//! the condition under which it was set. Playing the effects of a store into an empty one yields the same keys, values
//! and expiries; the log, replicas and the mirror test all rest on that.

use crate::keyspace::KeyspaceId;

/// Where the effects of one unit of work go, in the order in which they happened.
pub trait EffectSink {
    /// Whether anybody wants effects; when not, none are put into words.
    fn wanted(&self) -> bool;

    /// Takes the next word of an effect: a command's name or one of its arguments.
    fn word(&mut self, word: &[u8]);

    /// Ends an effect, which was meant for `keyspace`.
    fn end(&mut self, keyspace: KeyspaceId);

    /// Takes a whole effect.
    fn emit(&mut self, keyspace: KeyspaceId, command: &[&[u8]]) {
        command.iter().for_each(|word| self.word(word));
        self.end(keyspace);
    }
}

/// Drops every effect.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEffects;

impl EffectSink for NoEffects {
    fn wanted(&self) -> bool {
        false
    }

    fn word(&mut self, _word: &[u8]) {}

    fn end(&mut self, _keyspace: KeyspaceId) {}
}
