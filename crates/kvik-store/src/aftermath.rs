//! The things a unit of work leaves to be done when its stripes have been let go: memory to free,
//! and others to tell.
//!
//! A guard collects it in the order of the changes, so that what is told of a key comes in the
//! order of its changes. Nearly always there is nothing, and then it is one word.

use crate::event::{Event, EventClasses, KeyEvent};
use crate::former::FormerKey;
use crate::garbage::Garbage;
use crate::interests::TrackedChange;
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
    /// All copies of keys that clients keep are stale, of which so many were tracked.
    pub flushed: Option<TrackedChange>,
    /// The states of keys before the work, where somebody asks. The first state of a key is that
    /// before the work.
    pub former: Vec<FormerKey>,
    /// The kind of the value that was removed to make room for one that is to come.
    pub(crate) replaced: Option<Kind>,
    /// The events of an edit in progress.
    pub(crate) pending: Vec<(&'static Event, Vec<Box<[u8]>>)>,
}

impl Aftermath {
    /// Forgets that keys were looked for which are missing.
    pub fn forget_misses(&mut self) {
        self.events
            .retain(|it| it.event.class != EventClasses::MISS);
    }

    /// Adds what comes after it.
    pub fn append(&mut self, mut later: Self) {
        self.garbage.append(&mut later.garbage);
        self.events.append(&mut later.events);
        self.changed.append(&mut later.changed);
        self.former.append(&mut later.former);
        if let Some(flushed) = later.flushed {
            let all = self.flushed.get_or_insert_default();
            all.keys += flushed.keys;
            all.items += flushed.items;
        }
    }
}
