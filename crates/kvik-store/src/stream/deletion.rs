//! The terms of deleting entries that groups may refer to, and the outcome.

/// The treatment of entries that groups refer to when entries are deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// They are deleted, and stay pending (`KEEPREF`).
    #[default]
    Keep,
    /// They are deleted, and are not pending any more (`DELREF`).
    Delete,
    /// They are not deleted (`ACKED`).
    Acked,
}

/// The outcome for an entry that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// There is none.
    Missing,
    /// It is gone.
    Done,
    /// A group refers to it, or will if there ever is such an entry; nothing was done.
    Referenced,
}
