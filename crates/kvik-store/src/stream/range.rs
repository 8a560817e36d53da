//! The entries of a stream between two ids, from either end.
//!
//! The first node is found by a search, the first entry in it by reading the node.

use super::id::StreamId;
use super::node::{Backward, Forward, StreamEntry, StreamNode};
use crate::sequence::{Sequence, SequencePosition};

/// Entries in order.
#[derive(Clone, Debug)]
pub struct StreamRange<'a> {
    nodes: &'a Sequence<StreamNode>,
    at: SequencePosition,
    entries: Option<Forward<'a>>,
    start: StreamId,
    end: StreamId,
}

/// Entries from the last on.
#[derive(Clone, Debug)]
pub struct StreamRangeBack<'a> {
    nodes: &'a Sequence<StreamNode>,
    at: Option<SequencePosition>,
    entries: Option<Backward<'a>>,
    start: StreamId,
    end: StreamId,
}

impl<'a> StreamRange<'a> {
    /// The entries whose ids are `start` or larger and `end` or smaller.
    pub(super) fn new(nodes: &'a Sequence<StreamNode>, start: StreamId, end: StreamId) -> Self {
        Self {
            nodes,
            at: nodes.up_to(start).unwrap_or(nodes.start()),
            entries: None,
            start,
            end,
        }
    }

    /// The next entry of any node, in the range or not.
    fn any(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            if let Some(entry) = self.entries.as_mut().and_then(Iterator::next) {
                return Some(entry);
            }
            self.entries = Some(self.nodes.at(self.at)?.iter());
            self.at = self.nodes.after(self.at);
        }
    }
}

impl<'a> Iterator for StreamRange<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            let entry = self.any()?;
            if entry.id() > self.end {
                return None;
            }
            if entry.id() >= self.start {
                return Some(entry);
            }
        }
    }
}

impl<'a> StreamRangeBack<'a> {
    /// The entries whose ids are `start` or larger and `end` or smaller.
    pub(super) fn new(nodes: &'a Sequence<StreamNode>, start: StreamId, end: StreamId) -> Self {
        Self {
            nodes,
            at: nodes.up_to(end),
            entries: None,
            start,
            end,
        }
    }

    fn any(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            if let Some(entry) = self.entries.as_mut().and_then(Iterator::next) {
                return Some(entry);
            }
            let at = self.at?;
            self.entries = Some(self.nodes.at(at)?.iter_back());
            self.at = self.nodes.before(at);
        }
    }
}

impl<'a> Iterator for StreamRangeBack<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            let entry = self.any()?;
            if entry.id() < self.start {
                return None;
            }
            if entry.id() <= self.end {
                return Some(entry);
            }
        }
    }
}
