//! A hash table kept in hash order: open addressing by the leading bits of a 32-bit prefix, linear probing, and inside
//! a run of occupied slots the smaller prefix first. Read from start to end it is sorted by prefix whatever its
//! capacity, which is what makes a SCAN cursor of one number possible. There is no wrap-around; runs at the end spill
//! into extra slots behind it.
//!
//! Find, insert and remove are O(1) expected at the load kept here (at most 3/4); growing and shrinking copy the slots
//! of this one table, never the entries.

use crate::entries::EntryRef;

const MIN_SLOTS: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Place {
    prefix: u32,
    entry: EntryRef,
}

/// Prefixes and the entries they lead to.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Option<Place>>,
    /// Log2 of the number of home slots, while `slots` is not empty.
    bits: u32,
    len: usize,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Place>>()
    }

    /// The entry with this prefix that `is_it` accepts.
    #[inline]
    pub(crate) fn find(
        &self,
        prefix: u32,
        mut is_it: impl FnMut(EntryRef) -> bool,
    ) -> Option<EntryRef> {
        let run = self.slots.get(self.home(prefix)..)?;
        for place in run.iter().map_while(|slot| *slot) {
            if place.prefix > prefix {
                break;
            }
            if place.prefix == prefix && is_it(place.entry) {
                return Some(place.entry);
            }
        }
        None
    }

    /// Adds an entry that is not in the table yet.
    pub(crate) fn insert(&mut self, prefix: u32, entry: EntryRef) {
        if (self.len + 1) * 4 > self.home_slots() * 3 {
            self.resize((self.home_slots() * 2).max(MIN_SLOTS));
        }
        self.place(Place { prefix, entry });
        self.len += 1;
    }

    /// Takes out an entry that is in the table.
    pub(crate) fn remove(&mut self, prefix: u32, entry: EntryRef) {
        let Some(at) = self.position(prefix, entry) else {
            return;
        };
        self.close_gap(at);
        self.len -= 1;
        if self.home_slots() > MIN_SLOTS && self.len * 8 < self.home_slots() {
            self.resize(self.home_slots() / 2);
        }
    }

    /// Visits entries in prefix order from `from` on until `visit` returns false, which it may do only between
    /// different prefixes. Returns the prefix to go on with, or `None` at the end.
    pub(crate) fn walk(&self, from: u32, mut visit: impl FnMut(EntryRef) -> bool) -> Option<u32> {
        let mut finished = None;
        for place in self.slots.get(self.home(from)..)?.iter().flatten() {
            if place.prefix < from {
                continue;
            }
            if finished.is_some_and(|last| place.prefix != last) {
                return Some(place.prefix);
            }
            if !visit(place.entry) {
                finished = Some(place.prefix);
            }
        }
        None
    }

    /// The first entry at or after a place chosen by `random`; uniform up to the clustering of linear probing.
    pub(crate) fn sample(&self, random: u64) -> Option<EntryRef> {
        if self.len == 0 {
            return None;
        }
        // A random slot is retried rather than walked from, so that an entry behind a gap is no likelier than others.
        let mut state = random;
        for _ in 0..64 {
            let at = ((u128::from(state) * self.slots.len() as u128) >> 64) as usize;
            if let Some(place) = self.slots[at] {
                return Some(place.entry);
            }
            state = state
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(0x1405_7B7E_F767_814F)
                .rotate_left(23);
        }
        self.slots.iter().flatten().next().map(|place| place.entry)
    }

    fn home_slots(&self) -> usize {
        if self.slots.is_empty() {
            0
        } else {
            1 << self.bits
        }
    }

    #[inline]
    fn home(&self, prefix: u32) -> usize {
        (u64::from(prefix) << self.bits >> 32) as usize
    }

    fn position(&self, prefix: u32, entry: EntryRef) -> Option<usize> {
        let home = self.home(prefix);
        let run = self.slots.get(home..)?.iter().map_while(|slot| *slot);
        run.into_iter()
            .position(|place| place.entry == entry)
            .map(|offset| home + offset)
    }

    fn place(&mut self, new: Place) {
        let mut at = self.home(new.prefix);
        while self.slots[at].is_some_and(|place| place.prefix <= new.prefix) {
            at += 1;
            self.ensure_slot(at);
        }
        let mut carried = Some(new);
        while let Some(place) = carried {
            self.ensure_slot(at);
            carried = self.slots[at].replace(place);
            at += 1;
        }
    }

    fn ensure_slot(&mut self, at: usize) {
        if at == self.slots.len() {
            self.slots.push(None);
        }
    }

    fn close_gap(&mut self, mut at: usize) {
        while let Some(Some(next)) = self.slots.get(at + 1).copied() {
            if self.home(next.prefix) == at + 1 {
                break;
            }
            self.slots[at] = Some(next);
            at += 1;
        }
        self.slots[at] = None;
    }

    fn resize(&mut self, home_slots: usize) {
        let mut slots = Vec::with_capacity(home_slots + home_slots / 8);
        slots.resize(home_slots, None);
        let old = std::mem::replace(&mut self.slots, slots);
        self.bits = home_slots.trailing_zeros();
        for place in old.into_iter().flatten() {
            self.append(place);
        }
    }

    /// Adds a place whose prefix is not smaller than any yet there.
    fn append(&mut self, place: Place) {
        let mut at = self.home(place.prefix);
        self.ensure_slot(at);
        while self.slots[at].is_some() {
            at += 1;
            self.ensure_slot(at);
        }
        self.slots[at] = Some(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn all(table: &Table) -> Vec<EntryRef> {
        let mut seen = Vec::new();
        table.walk(0, |entry| {
            seen.push(entry);
            true
        });
        seen
    }

    proptest! {
        /// Against a sorted set of (prefix, entry): same members, same order, findable, whatever the history.
        #[test]
        fn stays_sorted_and_complete(ops in prop::collection::vec((any::<bool>(), 0u32..40, any::<u32>()), 1..400)) {
            let mut table = Table::default();
            let mut model = BTreeSet::new();
            for (n, (insert, slot, wide)) in ops.into_iter().enumerate() {
                let prefix = if wide % 3 == 0 { u32::MAX - slot } else { slot.wrapping_mul(0x0666_6666) };
                if insert {
                    let entry = EntryRef::from_index(n);
                    table.insert(prefix, entry);
                    model.insert((prefix, entry));
                } else if let Some(&(prefix, entry)) = model.iter().nth(slot as usize % model.len().max(1)) {
                    table.remove(prefix, entry);
                    model.remove(&(prefix, entry));
                }
            }
            prop_assert_eq!(table.len(), model.len());
            let mut expected: Vec<_> = model.iter().map(|&(prefix, _)| prefix).collect();
            expected.sort_unstable();
            prop_assert_eq!(all(&table).len(), expected.len());
            for (prefix, entry) in model {
                prop_assert_eq!(table.find(prefix, |found| found == entry), Some(entry));
            }
        }

        /// Pages of any size, with inserts and removals between them, return what was there all the time.
        #[test]
        fn paged_walks_miss_nothing(
            stay in prop::collection::btree_set(any::<u32>(), 1..200),
            come in prop::collection::vec(any::<u32>(), 0..300),
            page in 1usize..7,
        ) {
            let mut table = Table::default();
            let stay: Vec<u32> = stay.into_iter().collect();
            for (n, &prefix) in stay.iter().enumerate() {
                table.insert(prefix, EntryRef::from_index(n));
            }
            let (mut seen, mut from, mut come) = (BTreeSet::new(), Some(0), come.into_iter().enumerate());
            while let Some(start) = from {
                let mut left = page;
                from = table.walk(start, |entry| {
                    seen.insert(entry);
                    left = left.saturating_sub(1);
                    left > 0
                });
                if let Some((n, prefix)) = come.next() {
                    table.insert(prefix, EntryRef::from_index(1000 + n));
                }
            }
            for n in 0..stay.len() {
                prop_assert!(seen.contains(&EntryRef::from_index(n)));
            }
        }
    }
}
