//! How much a call does while it holds the stripes of its keys, and thereby keeps others waiting.
//!
//! A row says it beside its handler, and a test holds each row to it: it runs the command on large
//! values, and counts the elements that are touched while stripes are held once.

use super::row::Row;

/// How much a call does while it holds the stripes of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A little for each of its words, however large the values of its keys are.
    Constant,
    /// What takes long is done in slices before the call runs.
    Prepared,
    /// A call that touches very many elements does so in slices, on a thread of its own kind.
    Long,
    /// All of it, however long that takes.
    Whole,
}

impl Row {
    /// Calls that touch very many elements do so in slices.
    pub fn long(mut self) -> Self {
        self.work = Some(Work::Long);
        self
    }

    /// Calls hold their stripes for as long as the values are large.
    pub fn whole(mut self) -> Self {
        self.work = Some(Work::Whole);
        self
    }
}
