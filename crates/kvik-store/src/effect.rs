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

    /// Takes one effect: a command's name and arguments, meant for `keyspace`.
    fn emit(&mut self, keyspace: KeyspaceId, command: &[&[u8]]);
}

/// Drops every effect.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEffects;

impl EffectSink for NoEffects {
    fn wanted(&self) -> bool {
        false
    }

    fn emit(&mut self, _keyspace: KeyspaceId, _command: &[&[u8]]) {}
}
