//! Blessed keys: those that eviction leaves alone.
//!
//! A keyspace remembers their names beside its table, so that they cost nothing where there are
//! none. A key stays blessed while another value takes the place of its own, while it is restored,
//! renamed or moved, and no longer than it exists. A copy of it is not blessed.

use std::collections::BTreeMap;

use crate::raw::position::{Position, Prefix};

/// Bytes that a name takes besides its own, about.
const NAME_BYTES: usize = 48;

/// The blessed keys of a keyspace in one stripe, in the order of their positions.
#[derive(Debug, Default)]
pub(crate) struct Blessed {
    names: BTreeMap<Position, Vec<Box<[u8]>>>,
    len: usize,
    bytes: usize,
}

impl Blessed {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn has(&self, position: Position, key: &[u8]) -> bool {
        let names = self.names.get(&position);
        names.is_some_and(|names| names.iter().any(|name| **name == *key))
    }

    pub(crate) fn add(&mut self, position: Position, key: &[u8]) {
        if !self.has(position, key) {
            self.names.entry(position).or_default().push(key.into());
            self.len += 1;
            self.bytes += key.len() + NAME_BYTES;
        }
    }

    pub(crate) fn remove(&mut self, position: Position, key: &[u8]) -> bool {
        let Some(names) = self.names.get_mut(&position) else {
            return false;
        };
        let Some(at) = names.iter().position(|name| **name == *key) else {
            return false;
        };
        names.swap_remove(at);
        if names.is_empty() {
            self.names.remove(&position);
        }
        self.len -= 1;
        self.bytes -= key.len() + NAME_BYTES;
        true
    }

    /// The names from a place on, with their places.
    pub(crate) fn names_from(&self, from: Prefix) -> impl Iterator<Item = (Position, &[u8])> {
        let from = Position(u64::from(from.0) << u32::BITS);
        let names = self.names.range(from..);
        names.flat_map(|(position, names)| names.iter().map(move |name| (*position, &**name)))
    }
}
