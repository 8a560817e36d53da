//! The state of keys before they change, for those who ask what it was.

use super::{Guard, Place};
use crate::kind::Kind;
use crate::layout::KeyspaceId;
use crate::value::ValueRef;

/// Bytes up to which a string is noted.
const STRING_BYTES: usize = 4096;

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

impl Guard<'_> {
    /// Notes the state of a key that may be about to change. A state that is noted again later is
    /// not that before the unit of work; whoever takes the notes uses the first one.
    #[cold]
    pub(super) fn note_former(&mut self, place: Place<'_>, keyspace: KeyspaceId) {
        let layout = self.layout;
        let found = self.stripes.stripe(place.index).keyspace(place.table);
        let entry = found.and_then(|it| {
            it.find(place.position, place.key)
                .map(|entry| it.entry(entry))
        });
        let state = match entry.map(|entry| entry.value(layout, 0)) {
            None => FormerState::Missing,
            Some(value) => of_value(value),
        };
        self.state.note_former(FormerKey {
            keyspace,
            key: place.key.into(),
            state,
        });
    }
}

fn of_value(value: ValueRef<'_>) -> FormerState {
    let kind = value.kind();
    let len = match value {
        ValueRef::String(text) if text.len() <= STRING_BYTES => {
            return FormerState::String(text.to_vec().into());
        }
        ValueRef::String(text) => return FormerState::LongString(text.len()),
        ValueRef::List(list) => list.len(),
        ValueRef::Hash(hash) => hash.len(),
        ValueRef::Set(set) => set.len(),
        ValueRef::Zset(zset) => zset.len(),
        ValueRef::Stream(stream) => stream.len() as usize,
    };
    FormerState::Collection(kind, len)
}
