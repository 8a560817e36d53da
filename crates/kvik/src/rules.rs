//! The rules of a section: who works in it, and what follows from that and from the state of the
//! store.

use kvik_store::{EventClasses, Mode};

/// Who works in a section, which decides what becomes of expired keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A client or the store itself: a primary deletes expired keys, a paused store and a follower
    /// hide them.
    Client,
    /// Somebody who repeats effects: keys stay until an effect deletes them.
    Repeater,
    /// Somebody who deletes nothing, whatever the role of the store.
    Observer,
    /// A client who only reads: while data is imported it hides expired keys.
    Reader,
    /// A client who imports data: while that is so it sees expired keys.
    Importer,
}

/// The rules of a section. They hold from its beginning to its end.
pub(crate) struct Rules {
    /// How expired keys are treated.
    pub(crate) mode: Mode,
    /// Whether anybody wants the effects: a log, or the feed.
    pub(crate) is_logged: bool,
    /// The events that somebody wants to hear of.
    pub(crate) wanted: EventClasses,
}
