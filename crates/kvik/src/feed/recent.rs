//! The latest entries, read once for all who follow the end of the log.

use std::collections::VecDeque;
use std::sync::Arc;

use kvik_command::feed::FeedEntry;
use kvik_log::Lsn;

/// Bytes of words that are kept.
const ROOM_BYTES: usize = 4 << 20;
/// Bytes that an entry counts beside its words.
const ENTRY_BYTES: usize = 160;

/// The latest entries, all between two places.
#[derive(Debug)]
pub(super) struct Recent {
    entries: VecDeque<Arc<FeedEntry>>,
    bytes: usize,
    /// The units behind this place are here.
    start: Lsn,
    /// Up to here.
    end: Lsn,
}

impl Recent {
    /// Nothing, from a place on.
    pub(super) fn at(start: Lsn) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            start,
            end: start,
        }
    }

    pub(super) fn end(&self) -> Lsn {
        self.end
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether what comes behind a place is here, as far as it has been read.
    pub(super) fn covers(&self, place: Lsn) -> bool {
        self.start <= place && place <= self.end
    }

    pub(super) fn push(&mut self, entry: Arc<FeedEntry>) {
        self.bytes += cost(&entry);
        self.entries.push_back(entry);
        while self.bytes > ROOM_BYTES && self.entries.len() > 1 {
            self.drop_first();
        }
    }

    /// Everything before this place has been pushed.
    pub(super) fn advance(&mut self, end: Lsn) {
        self.end = end;
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.entries.pop_front() {
            self.bytes -= cost(&first);
            self.start = Lsn::new(first.position.offset);
        }
    }

    /// The entries behind a place that is [covered](Self::covers).
    pub(super) fn behind(&self, place: Lsn) -> impl Iterator<Item = &Arc<FeedEntry>> {
        let is_before = |entry: &Arc<FeedEntry>| entry.position.offset <= place.get();
        let at = self.entries.partition_point(is_before);
        self.entries.range(at..)
    }
}

fn cost(entry: &FeedEntry) -> usize {
    ENTRY_BYTES + entry.byte_len()
}
