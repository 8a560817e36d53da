//! Effects on their way out: collected while a unit of work runs, handed over while its stripes are still locked.

use kvik_resp::{Args, ArgsBuf};
use kvik_store::{EffectSink, KeyspaceId};

/// Takes the effects of every unit of work, in an order that agrees with the order of the units on each stripe.
pub trait EffectLog: Send + Sync {
    /// Takes one unit: all of it happens, or none. Called inside the stripe locks, so it must be quick and must not use
    /// the store. Returns the unit's place in the order.
    fn append(&self, unit: &Unit) -> u64;
}

/// The effects of one command, transaction or round of expiry, in order.
#[derive(Debug, Default)]
pub struct Unit {
    effects: Vec<(KeyspaceId, usize)>,
    words: ArgsBuf,
}

impl Unit {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// The effects: for each its keyspace and its words.
    pub fn iter(&self) -> impl Iterator<Item = (KeyspaceId, Args<'_>)> {
        let words = self.words.as_args();
        let mut start = 0;
        self.effects.iter().map(move |&(keyspace, end)| {
            let effect = words.slice(start..end);
            start = end;
            (keyspace, effect)
        })
    }

    /// Forgets all effects and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.effects.clear();
        self.words.clear();
    }
}

/// The sink of one unit of work.
pub(crate) struct Collector<'a> {
    pub(crate) unit: &'a mut Unit,
    pub(crate) wanted: bool,
}

impl EffectSink for Collector<'_> {
    fn wanted(&self) -> bool {
        self.wanted
    }

    fn word(&mut self, word: &[u8]) {
        self.unit.words.push(word);
    }

    fn end(&mut self, keyspace: KeyspaceId) {
        let end = self.unit.words.len();
        self.unit.effects.push((keyspace, end));
    }
}
