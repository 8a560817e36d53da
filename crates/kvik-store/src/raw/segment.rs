//! A segment: the buckets of one block, as a small hash table that does not grow.
//!
//! ```text
//! home buckets 0 .. 60, in the order of the hashes | stash 60 .. 64
//! ```
//! A key's home is the bucket at the same fraction of the segment as its hash is of the hashes the
//! segment covers. When that is full it goes to the next one (the last one's next is the first), if
//! need be after moving a key there on or a foreign key here back; and when that fails, to the
//! stash. Such a segment is 96 % full on average when it first refuses a key. Smaller blocks have
//! no stash: when one is full, the table takes a larger one.

use super::bucket::{Bucket, LANES, Lanes};
use super::entry_ref::EntryRef;

const FULL: usize = 64;
const FULL_HOMES: usize = 60;

/// One segment of a table: its buckets in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    buckets: &'static [Bucket],
    homes: usize,
}

/// A lane of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) bucket: usize,
    pub(crate) lane: usize,
}

/// Where a new key went, and which bucket got a key of which other one to make room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    pub(crate) bucket: usize,
    pub(crate) moved: Option<(usize, usize)>,
}

/// A hash as a segment uses it: where in the segment, and the tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    /// The hash's fraction of the segment, in 2^-32.
    pub(crate) fraction: u32,
    pub(crate) tag: u8,
}

impl Segment {
    #[inline]
    pub(crate) fn new(buckets: &'static [Bucket]) -> Self {
        let homes = if buckets.len() == FULL {
            FULL_HOMES
        } else {
            buckets.len()
        };
        Self { buckets, homes }
    }

    pub(crate) fn buckets(&self) -> &'static [Bucket] {
        self.buckets
    }

    pub(crate) fn homes(&self) -> usize {
        self.homes
    }

    #[inline]
    pub(crate) fn home(&self, fraction: u32) -> usize {
        ((u64::from(fraction) * self.homes as u64) >> 32) as usize
    }

    /// The first fraction whose home this is.
    pub(crate) fn start_of(&self, home: usize) -> u64 {
        ((home as u64) << 32).div_ceil(self.homes as u64)
    }

    /// The bucket and the one behind it.
    #[inline]
    pub(crate) fn pair(&self, spot: Spot) -> (&'static Bucket, &'static Bucket) {
        let home = self.home(spot.fraction);
        (&self.buckets[home], &self.buckets[self.after(home)])
    }

    /// The lane of a key at this spot that `is_it` accepts.
    #[inline]
    pub(crate) fn find(
        &self,
        spot: Spot,
        mut is_it: impl FnMut(EntryRef) -> bool,
    ) -> Option<Location> {
        let home = self.home(spot.fraction);
        let mut bucket = home;
        let mut lanes = self.buckets[home].tagged(spot.tag);
        // Foreign keys have their home in the bucket before: a lookup from here is never for them.
        lanes = lanes.without(self.buckets[home].foreign());
        // One loop, so that there is one call, which is inlined.
        loop {
            for lane in lanes {
                if self.buckets[bucket].get(lane).is_some_and(&mut is_it) {
                    return Some(Location { bucket, lane });
                }
            }
            (bucket, lanes) = self.look_on(home, bucket, spot.tag)?;
        }
    }

    /// Where else a key of this home may be that is not in `bucket`.
    #[inline]
    fn look_on(&self, home: usize, bucket: usize, tag: u8) -> Option<(usize, Lanes)> {
        // The home counts its keys elsewhere, so that most misses end with one bucket.
        let notes = &self.buckets[home];
        if bucket == home && notes.spilled() > 0 {
            let after = self.after(home);
            let spilled = self.buckets[after].foreign();
            return Some((after, self.buckets[after].tagged(tag).and(spilled)));
        }
        // Then the stash, bucket by bucket. Its keys are not marked by home: tags sort out nearly
        // all others.
        let next = if bucket < self.homes {
            self.homes
        } else {
            bucket + 1
        };
        let stash = self.buckets.get(next).filter(|_| notes.stashed() > 0)?;
        Some((next, stash.tagged(tag)))
    }

    /// Adds a key, unless there is no room for it.
    pub(crate) fn insert(&self, spot: Spot, entry: EntryRef) -> Option<Placement> {
        let home = self.home(spot.fraction);
        if let Some(lane) = self.buckets[home].free().first() {
            self.buckets[home].put(lane, spot.tag, entry, false);
            return Some(placed(home));
        }
        // A bucket alone has no neighbour and no stash.
        if self.homes == 1 {
            return None;
        }
        // From the cheapest to the one that costs lookups of this home a line for good.
        self.insert_behind(home, spot.tag, entry)
            .or_else(|| self.move_on(home, spot.tag, entry))
            .or_else(|| self.move_back(home, spot.tag, entry))
            .or_else(|| self.insert_in_stash(home, spot.tag, entry))
    }

    /// Takes out the key at a lane; `fraction` is its.
    pub(crate) fn remove(&self, fraction: u32, at: Location) {
        let home = self.home(fraction);
        self.buckets[at.bucket].remove(at.lane);
        if at.bucket >= self.homes {
            self.buckets[home].add_stashed(-1);
        } else if at.bucket != home {
            self.buckets[home].add_spilled(-1);
        }
    }

    /// Every key.
    pub(crate) fn entries(&self) -> impl Iterator<Item = EntryRef> + use<> {
        let buckets = self.buckets;
        buckets
            .iter()
            .flat_map(|bucket| bucket.taken().filter_map(|lane| bucket.get(lane)))
    }

    /// The keys of one home bucket that are not in the stash.
    pub(crate) fn entries_at_home(&self, home: usize) -> impl Iterator<Item = EntryRef> + use<> {
        let (here, next) = (&self.buckets[home], &self.buckets[self.after(home)]);
        let own = here.taken().without(here.foreign());
        let spilled = next.taken().and(next.foreign());
        own.filter_map(|lane| here.get(lane))
            .chain(spilled.filter_map(|lane| next.get(lane)))
    }

    /// The keys in the stash.
    pub(crate) fn stash(&self) -> impl Iterator<Item = EntryRef> + use<> {
        let stash = &self.buckets[self.homes..];
        stash
            .iter()
            .flat_map(|bucket| bucket.taken().filter_map(|lane| bucket.get(lane)))
    }

    #[inline]
    fn after(&self, home: usize) -> usize {
        if home + 1 == self.homes { 0 } else { home + 1 }
    }

    fn before(&self, home: usize) -> usize {
        home.checked_sub(1).unwrap_or(self.homes - 1)
    }

    fn insert_behind(&self, home: usize, tag: u8, entry: EntryRef) -> Option<Placement> {
        let after = self.after(home);
        let lane = self.buckets[after].free().first()?;
        self.buckets[after].put(lane, tag, entry, true);
        self.buckets[home].add_spilled(1);
        Some(placed(after))
    }

    /// Makes room behind by moving a key at home there one further.
    fn move_on(&self, home: usize, tag: u8, entry: EntryRef) -> Option<Placement> {
        let from = self.after(home);
        let to = self.after(from);
        let moving = self.buckets[from]
            .taken()
            .without(self.buckets[from].foreign())
            .first()?;
        self.transfer(from, moving, to, true)?;
        self.buckets[from].add_spilled(1);
        // The lane that has come free goes to the new key at once.
        self.buckets[from].put(moving, tag, entry, true);
        self.buckets[home].add_spilled(1);
        Some(Placement {
            bucket: from,
            moved: Some((from, to)),
        })
    }

    /// Makes room here by moving a foreign key back to its home.
    fn move_back(&self, home: usize, tag: u8, entry: EntryRef) -> Option<Placement> {
        let to = self.before(home);
        let moving = self.buckets[home].foreign().first()?;
        self.transfer(home, moving, to, false)?;
        self.buckets[to].add_spilled(-1);
        self.buckets[home].put(moving, tag, entry, false);
        Some(Placement {
            bucket: home,
            moved: Some((home, to)),
        })
    }

    fn insert_in_stash(&self, home: usize, tag: u8, entry: EntryRef) -> Option<Placement> {
        let mut stash = self.homes..self.buckets.len();
        let free = |bucket: usize| Some((bucket, self.buckets[bucket].free().first()?));
        let (bucket, lane) = stash.find_map(free)?;
        self.buckets[bucket].put(lane, tag, entry, false);
        self.buckets[home].add_stashed(1);
        Some(placed(bucket))
    }

    /// Moves a key to another bucket, unless that is full.
    fn transfer(&self, from: usize, lane: usize, to: usize, foreign: bool) -> Option<()> {
        let (from, to) = (&self.buckets[from], &self.buckets[to]);
        let free = to.free().first()?;
        // The copy comes before the removal: a reader without the lock finds the key in one of the
        // two, or twice.
        let entry = from.get(lane)?;
        to.put(free, from.tag(lane), entry, foreign);
        from.remove(lane);
        Some(())
    }
}

/// Lanes of a block of this many buckets.
pub(crate) fn capacity(buckets: usize) -> usize {
    buckets * LANES
}

fn placed(bucket: usize) -> Placement {
    Placement {
        bucket,
        moved: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::block;

    /// Keys a segment takes before it refuses one, averaged over some fills.
    fn load_at_first_failure(order: u32) -> f64 {
        let (mut random, mut total) = (7u64, 0);
        for _ in 0..50 {
            let block = block::take(order);
            let segment = Segment::new(block.buckets(1 << order).unwrap());
            for n in 1.. {
                random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(99);
                let spot = Spot {
                    fraction: (random >> 32) as u32,
                    tag: 1,
                };
                if segment
                    .insert(spot, EntryRef::from_bits(n).unwrap())
                    .is_none()
                {
                    break;
                }
                total += 1;
            }
            assert_eq!(
                segment.entries().count(),
                (0..segment.homes())
                    .map(|home| segment.entries_at_home(home).count())
                    .sum::<usize>()
                    + segment.stash().count()
            );
            block::give(block, order);
        }
        f64::from(total) / 50.0 / capacity(1 << order) as f64
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow")]
    fn a_full_segment_is_well_filled() {
        assert!(load_at_first_failure(6) > 0.93);
        assert!(load_at_first_failure(0) > 0.99);
    }

    #[test]
    fn homes_of_larger_segments_refine_those_of_smaller_ones() {
        let segment = |order| Segment::new(block::take(order).buckets(1 << order).unwrap());
        let (small, large) = (segment(3), segment(5));
        for home in 0..8 {
            assert_eq!(small.start_of(home), large.start_of(home * 4));
            assert_eq!(large.home(small.start_of(home) as u32), home * 4);
        }
    }
}
