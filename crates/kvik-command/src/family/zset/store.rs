//! Members that are to be stored under another key.

use std::cmp::Ordering;

use kvik_store::{EventClasses, Groundwork, Guard, IntText, NewMember, StringRef, UnixMs, ZsetRef};

use crate::{Error, SLICE};

/// Members that are stored while the stripe is held once: each is put into a table and an order.
const STORED_AT_ONCE: usize = SLICE / 4;

/// Members with their scores and times, copied from where they were.
#[derive(Debug, Default)]
pub(in crate::family) struct Results {
    names: Vec<u8>,
    items: Vec<Item>,
    /// The times of those that expire.
    times: Vec<UnixMs>,
    longest: usize,
}

/// One member: its score, where its name is in the names, and where its time is, if it has one.
#[derive(Clone, Copy, Debug)]
struct Item {
    score: f64,
    start: usize,
    len: u32,
    time: u32,
}

/// The time of a member that does not expire.
const NEVER: u32 = u32::MAX;

impl Item {
    fn name(self, names: &[u8]) -> &[u8] {
        &names[self.start..self.start + self.len as usize]
    }
}

impl Results {
    pub(in crate::family) fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes memory for about so many members more, if there is none.
    pub(in crate::family) fn make_room(&mut self, members: usize) {
        self.items.reserve(2 * members);
        self.names.reserve(2 * members * self.longest);
    }

    pub(in crate::family) fn push(
        &mut self,
        name: StringRef<'_>,
        score: f64,
        expire_at: Option<UnixMs>,
    ) {
        let start = self.names.len();
        let mut room = IntText::default();
        let name = name.text(&mut room);
        self.names.extend_from_slice(name);
        self.longest = self.longest.max(name.len());
        let mut item = Item {
            score,
            start,
            len: name.len() as u32,
            time: NEVER,
        };
        if let Some(at) = expire_at {
            item.time = self.times.len() as u32;
            self.times.push(at);
        }
        self.items.push(item);
    }

    /// The members with their scores.
    pub(in crate::family) fn iter(&self) -> impl Iterator<Item = (StringRef<'_>, f64)> {
        let items = self.items.iter();
        items.map(|item| (StringRef::Bytes(item.name(&self.names)), item.score))
    }

    /// Puts them into the order of a sorted set.
    pub(in crate::family) fn sort(&mut self) {
        let Self { names, items, .. } = self;
        items.sort_unstable_by(|a, b| {
            let by_score = a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal);
            by_score.then_with(|| a.name(names).cmp(b.name(names)))
        });
    }

    /// Puts the members, which differ, in the place of whatever a key holds. Without members the
    /// key is gone.
    pub(in crate::family) fn store(
        &mut self,
        keys: &mut Guard<'_>,
        key: &[u8],
    ) -> Result<(), Error> {
        if self.items.is_empty() {
            keys.delete(key);
            return Ok(());
        }
        // No key is needed to sort.
        keys.rest();
        self.sort();
        let was_blessed = keys.make_room(key);
        let (mut wanted, mut groundwork) = (None, Groundwork::default());
        for slice in self.items.chunks(STORED_AT_ONCE) {
            let mut zset = keys.entry(key).zset_mut()?;
            zset.expect(self.len(), self.longest);
            let members = slice.iter().map(|item| NewMember {
                name: item.name(&self.names),
                score: item.score,
                expire_at: self.times.get(item.time as usize).copied(),
            });
            zset.append_all(members, &mut groundwork);
            drop(zset);
            // It has changed something, and goes on to its end. Of all slices one event tells.
            keys.breathe();
            wanted = wanted.or(Some(keys.mute(EventClasses::ALL)));
        }
        if let Some(wanted) = wanted {
            keys.unmute(wanted);
        }
        keys.keep_blessing(key, was_blessed);
        Ok(())
    }
}

/// When a member of a sorted set expires.
pub(in crate::family) fn expiry_in(zset: ZsetRef<'_>, name: StringRef<'_>) -> Option<UnixMs> {
    if !zset.expires() {
        return None;
    }
    zset.expiry_of(name.text(&mut IntText::default())).flatten()
}
