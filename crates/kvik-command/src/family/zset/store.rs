//! Members that are to be stored under another key.

use std::cmp::Ordering;
use std::ops::Range;

use kvik_store::{EventClasses, Guard, IntText, StringRef, UnixMs, ZsetRef};

use crate::{Error, SLICE};

/// Members with their scores and times, copied from where they were.
#[derive(Debug, Default)]
pub(in crate::family) struct Results {
    names: Vec<u8>,
    items: Vec<Item>,
    longest: usize,
}

/// One member: where its name is in the names, its score, and when it expires.
#[derive(Debug)]
struct Item {
    name: Range<usize>,
    score: f64,
    expire_at: Option<UnixMs>,
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
        self.names.extend_from_slice(name.text(&mut room));
        let end = self.names.len();
        self.longest = self.longest.max(end - start);
        self.items.push(Item {
            name: start..end,
            score,
            expire_at,
        });
    }

    /// The members with their scores.
    pub(in crate::family) fn iter(&self) -> impl Iterator<Item = (StringRef<'_>, f64)> {
        let items = self.items.iter();
        items.map(|item| {
            let name = StringRef::Bytes(&self.names[item.name.clone()]);
            (name, item.score)
        })
    }

    /// Puts them into the order of a sorted set.
    pub(in crate::family) fn sort(&mut self) {
        let Self { names, items, .. } = self;
        items.sort_unstable_by(|a, b| {
            let by_score = a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal);
            by_score.then_with(|| names[a.name.clone()].cmp(&names[b.name.clone()]))
        });
    }

    /// Puts the members in the place of whatever a key holds. Without members the key is gone.
    pub(in crate::family) fn store(&self, keys: &mut Guard<'_>, key: &[u8]) -> Result<(), Error> {
        if self.items.is_empty() {
            keys.delete(key);
            return Ok(());
        }
        keys.make_room(key);
        let mut wanted = None;
        for slice in self.items.chunks(SLICE) {
            let mut zset = keys.entry(key).zset_mut()?;
            if wanted.is_none() {
                zset.expect(self.len(), self.longest);
            }
            for item in slice {
                let name = &self.names[item.name.clone()];
                zset.update(name, |_| Some(item.score));
                if item.expire_at.is_some() {
                    zset.set_expiry(name, item.expire_at);
                }
            }
            drop(zset);
            // It has changed something, and goes on to its end. Of all slices one event tells.
            keys.breathe();
            wanted = wanted.or(Some(keys.mute(EventClasses::ALL)));
        }
        if let Some(wanted) = wanted {
            keys.unmute(wanted);
        }
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
