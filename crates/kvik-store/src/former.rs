//! The state of a key before a unit of work, as it is told to who asks what it was.

use crate::kind::Kind;
use crate::layout::KeyspaceId;

/// The state of a key before a unit of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormerState {
    /// There was no such key.
    Missing,
    /// A string.
    String(Box<[u8]>),
    /// A string that is too long to be noted, of so many bytes.
    LongString(usize),
    /// A collection of this type, and the number of its elements, those included that are due.
    Collection(Kind, usize),
}

/// A key and its state before a unit of work.
#[derive(Clone, Debug)]
pub struct FormerKey {
    /// Where it is.
    pub keyspace: KeyspaceId,
    /// The key.
    pub key: Box<[u8]>,
    /// Its state.
    pub state: FormerState,
}
