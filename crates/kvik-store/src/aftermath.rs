//! The things a unit of work leaves to be done when its stripes have been let go: memory to free,
//! and others to tell.
//!
//! A guard collects it in the order of the changes, so that what is told of a key comes in the
//! order of its changes. Nearly always there is nothing, and then it is one word.

use crate::event::{Event, KeyEvent};
use crate::garbage::Garbage;
use crate::kind::Kind;
use crate::layout::KeyspaceId;

/// Memory to free, and others to tell, when stripes have been let go.
#[derive(Debug, Default)]
pub struct Aftermath {
    /// To be freed.
    pub garbage: Vec<Garbage>,
    /// Events that somebody wants to hear of.
    pub events: Vec<KeyEvent>,
    /// Keys that have changed, where somebody wants to know them all. A key may come twice.
    pub changed: Vec<(KeyspaceId, Box<[u8]>)>,
    /// The kind of the value that was removed to make room for one that is to come.
    pub(crate) replaced: Option<Kind>,
    /// The events of an edit in progress.
    pub(crate) pending: Vec<(&'static Event, Vec<Box<[u8]>>)>,
}

impl Aftermath {
    /// Whether there is anything to tell anybody.
    pub fn tells(&self) -> bool {
        !self.events.is_empty() || !self.changed.is_empty()
    }

    /// Adds what comes after it.
    pub fn append(&mut self, mut later: Self) {
        self.garbage.append(&mut later.garbage);
        self.events.append(&mut later.events);
        self.changed.append(&mut later.changed);
    }
}
