//! To what a stream is trimmed.

use std::sync::atomic::Ordering::Relaxed;

use super::deletion::References;
use super::id::StreamId;
use super::marks::Marks;
use crate::limits::Limits;

/// The part of a stream that is to stay, and how exactly. Entries go from the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// The part that stays.
    pub to: TrimTo,
    /// How much more may stay.
    pub precision: Precision,
    /// The treatment of entries that groups still refer to.
    pub references: References,
}

/// The part of a stream that is to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// So many entries (`MAXLEN`).
    Len(u64),
    /// Entries with this id and larger ones (`MINID`).
    MinId(StreamId),
}

/// How exactly a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// To the entry.
    Exact,
    /// Only nodes whose entries all go, up to a number of entries; 0 is any number, and nothing
    /// said is those of 100 full nodes.
    WholeNodes(Option<u64>),
}

impl Trim {
    pub(super) fn is_approximate(&self) -> bool {
        self.precision != Precision::Exact
    }

    /// How many entries may go at most.
    pub(super) fn limit(&self, limits: &Limits) -> u64 {
        match self.precision {
            Precision::Exact | Precision::WholeNodes(Some(0)) => u64::MAX,
            Precision::WholeNodes(Some(limit)) => limit,
            Precision::WholeNodes(None) => {
                let entries = limits.stream_node_entries.load(Relaxed);
                match entries.saturating_mul(100) {
                    ..=0 => 10_000,
                    some => some.min(1_000_000) as u64,
                }
            }
        }
    }

    /// Whether a stream has become short enough.
    pub(super) fn is_done(&self, marks: &Marks) -> bool {
        matches!(self.to, TrimTo::Len(max) if marks.len <= max)
    }
}
