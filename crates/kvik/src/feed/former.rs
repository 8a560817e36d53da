//! The former states of keys before the latest units, in memory: the log has no room for them.

use std::collections::BTreeMap;

use kvik_command::feed::OldState;
use kvik_log::Lsn;
use kvik_store::{FormerKey, FormerState};
use parking_lot::Mutex;

/// Bytes that are kept.
const ROOM_BYTES: usize = 8 << 20;
/// Bytes that a key counts beside its name and value.
const KEY_BYTES: usize = 96;

/// The former states of the keys of units, by the places behind these.
#[derive(Default)]
pub(super) struct FormerStates(Mutex<ByPlace>);

#[derive(Default)]
struct ByPlace {
    units: BTreeMap<Lsn, Vec<FormerKey>>,
    bytes: usize,
}

impl FormerStates {
    /// Appends a unit with `append` and notes what its keys held before. Whoever has read the unit
    /// finds it noted.
    pub(super) fn note(&self, former: Vec<FormerKey>, append: impl FnOnce() -> Lsn) -> Lsn {
        let mut states = self.0.lock();
        let place = append();
        states.bytes += former.iter().map(cost).sum::<usize>();
        states.units.insert(place, former);
        while states.bytes > ROOM_BYTES
            && let Some((_, gone)) = states.units.pop_first()
        {
            states.bytes -= gone.iter().map(cost).sum::<usize>();
        }
        place
    }

    /// Forgets everything: the places are those of another log from here on.
    pub(super) fn clear(&self) {
        *self.0.lock() = ByPlace::default();
    }

    /// The states of keys of a database before the unit at a place.
    pub(super) fn find<'k>(
        &self,
        place: Lsn,
        database: u32,
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> Vec<OldState> {
        let states = self.0.lock();
        let Some(unit) = states.units.get(&place) else {
            return Vec::new();
        };
        let state = |key: &[u8]| {
            // The first note is that before the unit.
            let mut known = unit.iter();
            let known = known.find(|it| it.keyspace.0 == database && *it.key == *key);
            known.map_or(OldState::Unknown, |it| old_state(&it.state))
        };
        keys.map(state).collect()
    }
}

fn cost(key: &FormerKey) -> usize {
    let value = match &key.state {
        FormerState::String(bytes) => bytes.len(),
        _ => 0,
    };
    KEY_BYTES + key.key.len() + value
}

fn old_state(state: &FormerState) -> OldState {
    match state {
        FormerState::Missing => OldState::Missing,
        FormerState::String(bytes) => OldState::String(bytes.clone()),
        FormerState::LongString(len) => OldState::LongString(*len as u64),
        FormerState::Collection(kind, len) => OldState::Collection(kind.name(), *len as u64),
    }
}
