//! The crowd of a table: entries for which no segment has room, because too many positions begin
//! alike.
//!
//! A sorted list beside the segments. With well mixed hashes it stays empty; who knows the seed can
//! fill it, and then an insertion costs time in proportion to its length.

use std::ops::Range;

use super::{Keys, Table};
use crate::UnixMs;
use crate::raw::deadlines::NEVER;
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::Position;
use crate::raw::root::Word;
use crate::raw::segment::Segment;

impl Table {
    /// The entries in the stash of a segment or in the crowd of its prefixes, with the prefix of
    /// each.
    pub(super) fn strays(
        &self,
        prefixes: Range<u64>,
        segment: Segment,
        keys: &impl Keys,
    ) -> Vec<(u64, EntryRef)> {
        let crowd = &self.crowd()[self.crowd_in(prefixes)];
        // A bucket of the stash has keys of all homes, so that only the hash tells whose they are.
        let stash = segment.stash().map(|entry| (keys.position(entry), entry));
        stash
            .chain(crowd.iter().copied())
            .map(|(position, entry)| (u64::from(position.prefix().0), entry))
            .collect()
    }

    /// Which part of the crowd belongs to the segment that holds `position`.
    pub(super) fn crowd_range(&self, position: Position, word: Word) -> Range<usize> {
        let base = position.prefix().first_of(word.depth);
        self.crowd_in(base..base + (1 << (32 - word.depth)))
    }

    pub(super) fn crowd_in(&self, prefixes: Range<u64>) -> Range<usize> {
        // Positions are in order, and a segment covers a range of prefixes.
        let before = |end: u64| {
            let is_before = |&(position, _): &(Position, _)| u64::from(position.prefix().0) < end;
            self.crowd().partition_point(is_before)
        };
        before(prefixes.start)..before(prefixes.end)
    }

    pub(super) fn crowd_of(&self, position: Position) -> &[(Position, EntryRef)] {
        // Different keys may have the same position: the caller tells them apart.
        let start = self.crowd().partition_point(|&(other, _)| other < position);
        let end = self
            .crowd()
            .partition_point(|&(other, _)| other <= position);
        &self.crowd()[start..end]
    }

    pub(super) fn crowd_index(&self, position: Position, entry: EntryRef) -> usize {
        self.crowd()
            .binary_search(&(position, entry))
            .expect("an entry is in a segment or in the crowd")
    }

    #[cold]
    pub(super) fn insert_in_crowd(
        &mut self,
        position: Position,
        entry: EntryRef,
        keys: &impl Keys,
    ) {
        let crowd = &mut self.oddments().crowd;
        let index = crowd.partition_point(|&other| other < (position, entry));
        crowd.insert(index, (position, entry));
        if let Some(at) = keys.expiry(entry) {
            self.lower_crowd_due(at);
        }
    }

    pub(super) fn due_in_crowd(&self) -> UnixMs {
        let oddments = self.oddments.as_ref();
        let crowded = oddments.filter(|it| !it.crowd.is_empty());
        crowded.map_or(NEVER, |it| it.crowd_due)
    }

    pub(super) fn lower_crowd_due(&mut self, at: UnixMs) {
        self.oddments().crowd_due = self.due_in_crowd().min(at);
    }

    #[cold]
    pub(super) fn next_due_in_crowd(
        &mut self,
        now: UnixMs,
        keys: &impl Keys,
    ) -> Option<(UnixMs, EntryRef)> {
        let expiries = self.crowd().iter();
        let first = expiries
            .filter_map(|&(_, entry)| Some((keys.expiry(entry)?, entry)))
            .min();
        // The whole crowd has been looked at, so the bound is exact again.
        self.oddments().crowd_due = first.map_or(NEVER, |(at, _)| at);
        first.filter(|&(at, _)| at <= now)
    }
}
