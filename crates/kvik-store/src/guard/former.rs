//! The state of keys before they change, for those who ask what it was.

use super::{Guard, Place};
use crate::former::{FormerKey, FormerState};
use crate::layout::KeyspaceId;
use crate::value::ValueRef;

/// Bytes up to which a string is noted.
const STRING_BYTES: usize = 4096;

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
        let former = self.effects.former(FormerKey {
            keyspace,
            key: place.key.into(),
            state,
        });
        if let Some(former) = former {
            self.state.note_former(former);
        }
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
        ValueRef::Array(array) => array.count() as usize,
    };
    FormerState::Collection(kind, len)
}
