//! Connections by number: a slot for direct indexing, a generation so that an id outlives its
//! connection harmlessly.

/// Identifies a connection within its driver, for ever: the slot is used again, with another
/// generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

/// Slots fit in this many bits, so that a slot, a generation and a [`tag`](ConnId::pack) of four
/// bits make one 64-bit word.
const INDEX_BITS: u32 = 28;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

impl ConnId {
    /// Before or equal to every other.
    pub(crate) const FIRST: Self = Self {
        index: 0,
        generation: 0,
    };

    /// The first connection of an index.
    #[cfg(test)]
    pub(crate) fn of_index(index: u32) -> Self {
        Self {
            index,
            generation: 0,
        }
    }

    /// The slot: small, unique among the open connections of a driver, and used again.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// The id as a word that orders and names the connection.
    pub(crate) fn place(self) -> u64 {
        self.pack(0)
    }

    /// The inverse of [`place`](Self::place).
    #[inline]
    pub(crate) fn at_place(place: u64) -> Self {
        Self::unpack(place).0
    }

    /// The id and a tag below 16 as the word that the kernel hands back with an event.
    pub(super) fn pack(self, tag: u8) -> u64 {
        u64::from(self.generation) << 32 | u64::from(tag) << INDEX_BITS | u64::from(self.index)
    }

    /// The word for something that is no connection, with its own tag.
    pub(super) fn pack_number(number: u32, tag: u8) -> u64 {
        let id = Self {
            index: number,
            generation: 0,
        };
        id.pack(tag)
    }

    /// The inverse of [`pack`](Self::pack).
    pub(super) fn unpack(word: u64) -> (Self, u8) {
        let id = Self {
            index: (word & INDEX_MASK) as u32,
            generation: (word >> 32) as u32,
        };
        (id, (word >> INDEX_BITS) as u8 & 0xF)
    }
}

/// A vector with holes that are filled again, last emptied first.
#[derive(Debug)]
pub(super) struct Slab<T> {
    entries: Vec<Entry<T>>,
    vacant: Vec<u32>,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            vacant: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Stores `value` under a new id; `None` if all 2^28 slots are taken.
    pub(super) fn insert(&mut self, value: T) -> Option<ConnId> {
        let slot = match self.vacant.pop() {
            Some(slot) => slot,
            None => self.grow()?,
        };
        let entry = &mut self.entries[slot as usize];
        entry.value = Some(value);
        Some(ConnId {
            index: slot,
            generation: entry.generation,
        })
    }

    fn grow(&mut self) -> Option<u32> {
        let slot = u32::try_from(self.entries.len()).ok()?;
        if u64::from(slot) > INDEX_MASK {
            return None;
        }
        self.entries.push(Entry {
            generation: 0,
            value: None,
        });
        Some(slot)
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&T> {
        let entry = self.entries.get(id.index())?;
        entry
            .value
            .as_ref()
            .filter(|_| entry.generation == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        let entry = self.entries.get_mut(id.index())?;
        entry
            .value
            .as_mut()
            .filter(|_| entry.generation == id.generation)
    }

    /// The ids of all values.
    #[cfg(target_os = "linux")]
    pub(super) fn ids(&self) -> Vec<ConnId> {
        let id = |(slot, entry): (usize, &Entry<T>)| {
            entry.value.as_ref().map(|_| ConnId {
                index: slot as u32,
                generation: entry.generation,
            })
        };
        self.entries.iter().enumerate().filter_map(id).collect()
    }

    /// Empties the slot; `id` and its copies are stale from here on.
    pub(super) fn remove(&mut self, id: ConnId) -> Option<T> {
        let entry = self.entries.get_mut(id.index())?;
        if entry.generation != id.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.vacant.push(id.index);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut slab = Slab::default();
        let old = slab.insert('a').unwrap();
        assert_eq!(slab.remove(old), Some('a'));
        let new = slab.insert('b').unwrap();
        assert_eq!(new.index(), old.index());
        assert_eq!(slab.get(old), None);
        assert_eq!(slab.get_mut(old), None);
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.get(new), Some(&'b'));
    }

    #[test]
    fn an_id_survives_the_kernel() {
        for (slot, generation, tag) in [(0, 0, 0), (INDEX_MASK as u32, u32::MAX, 15), (7, 1, 3)] {
            let id = ConnId {
                index: slot,
                generation,
            };
            assert_eq!(ConnId::unpack(id.pack(tag)), (id, tag));
        }
    }
}
