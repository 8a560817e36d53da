//! Ranges of positions, each of them done or not: the progress of a walk that others run ahead of.
//!
//! A range is the positions that share their leading bits. Positions are hashes, so ranges are of
//! about the same size, and they stay what they are however a table grows, shrinks or moves its
//! entries.

use std::ops::Range;

use super::entry_ref::EntryRef;
use super::position::{Position, Prefix};
use super::table::{Keys, Table};

/// Entries that a range holds, about.
const RANGE: usize = 12;

/// Ranges of positions, each of them saved or not.
#[derive(Debug)]
pub(crate) struct Ranges {
    /// Leading bits of a position that choose its range.
    bits: u32,
    saved: Box<[u64]>,
    /// All ranges before this one are saved.
    walked: u64,
}

impl Ranges {
    /// The ranges of a table with `len` entries, none of them saved.
    pub(crate) fn new(len: usize) -> Self {
        let bits = (len / RANGE).max(1).ilog2();
        let words = (1usize << bits).div_ceil(64);
        Self {
            bits,
            saved: vec![0; words].into(),
            walked: 0,
        }
    }

    pub(crate) fn of(&self, position: Position) -> u64 {
        u64::from(position.prefix().0) >> (u32::BITS - self.bits)
    }

    pub(crate) fn is_saved(&self, range: u64) -> bool {
        self.saved[(range / 64) as usize] >> (range % 64) & 1 != 0
    }

    /// The first range that is not saved.
    pub(crate) fn next(&self) -> Option<u64> {
        (self.walked..self.count()).find(|&range| !self.is_saved(range))
    }

    pub(crate) fn mark_saved(&mut self, range: u64) {
        self.saved[(range / 64) as usize] |= 1 << (range % 64);
        while self.walked < self.count() && self.is_saved(self.walked) {
            self.walked += 1;
        }
    }

    /// Visits the entries of a range.
    pub(crate) fn visit(
        &self,
        range: u64,
        table: &Table,
        keys: &impl Keys,
        mut visit: impl FnMut(EntryRef),
    ) {
        let prefixes = self.prefixes(range);
        // A walk goes by buckets, whose borders are not those of ranges: the first and the last may
        // hold entries of other ranges.
        let mut from = u32::try_from(prefixes.start).ok().map(Prefix);
        while let Some(at) = from.filter(|at| u64::from(at.0) < prefixes.end) {
            from = table.walk(at, keys, |entry| {
                if self.of(keys.position(entry)) == range {
                    visit(entry);
                }
                false
            });
        }
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.saved)
    }

    fn count(&self) -> u64 {
        1 << self.bits
    }

    fn prefixes(&self, range: u64) -> Range<u64> {
        let width = u32::BITS - self.bits;
        range << width..(range + 1) << width
    }
}
