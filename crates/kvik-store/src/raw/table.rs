//! A hash table in hash order that grows one segment at a time.
//!
//! The prefix of a position says which segment holds it (see [`super::root`]) and where in the
//! segment ([`super::segment`]). A table begins as one bucket of 64 bytes; its only segment doubles
//! up to 64 buckets, and from then on a full segment splits in two by the next bit of the prefix.
//! Two that became sparse are joined again, and the last one shrinks ([`growth`]). No step concerns
//! more than two segments, about 740 keys.
//!
//! Positions that crowd so closely that splitting does not help go to a sorted list beside the
//! segments ([`crowd`]): that takes an attacker who knows the seed, and costs time but nothing
//! else.
//!
//! [`Table::walk`] visits the keys of one home bucket after the other, in the order of their
//! positions. Bucket borders of a segment are borders in its halves too, and the walk filters
//! nothing: whatever splits or joins between two calls, a key with a prefix from the returned one
//! on has not been left out.
//!
//! The table knows references and positions only; what it needs to know about an entry it asks
//! [`Keys`].
//!
//! Costs: a lookup reads one bucket, and one more where the bucket says so; an insertion moves 740
//! keys at worst.

mod crowd;
mod growth;

use std::sync::Arc;

use super::block::{self, BlockRef, TOP_ORDER};
use super::bucket::LANES;
use super::deadlines::{Deadlines, NEVER};
use super::entry_ref::EntryRef;
use super::position::{Position, Prefix};
use super::root::{Directory, Root, Word};
use super::segment::{Location, Segment};
use crate::UnixMs;
use crate::raw::touched::touch;

/// The questions of a table about the entries it leads to.
pub(crate) trait Keys {
    /// The position at which the entry was inserted.
    fn position(&self, entry: EntryRef) -> Position;
    /// When it expires.
    fn expiry(&self, entry: EntryRef) -> Option<UnixMs>;
    /// Tells that the entry will be asked about soon.
    fn prefetch(&self, entry: EntryRef);
}

/// How many home buckets ahead a walk fetches the entries into the cache.
const HOMES_AHEAD: usize = 2;
/// Buckets looked at for keys that expire.
const VOLATILE_LOOKS: usize = 16;

/// A hash table of references to entries, in the order of their positions.
#[derive(Debug, Default)]
pub(crate) struct Table {
    root: Arc<Root>,
    /// The root's, once there are several segments.
    directory: Option<Directory>,
    segments: Vec<SegmentMeta>,
    /// There are many tables of a few keys, which have none.
    oddments: Option<Box<Oddments>>,
    deadlines: Deadlines,
    len: usize,
    block_bytes: usize,
}

/// The parts that few tables have.
#[derive(Debug, Default)]
struct Oddments {
    /// Numbers of segments that are gone.
    unused: Vec<u32>,
    /// Entries no segment had room for, by position.
    crowd: Vec<(Position, EntryRef)>,
    crowd_due: UnixMs,
}

/// A segment as its table knows it.
#[derive(Clone, Copy, Debug)]
struct SegmentMeta {
    block: BlockRef,
    len: u16,
    order: u8,
    live: bool,
}

const _: () = assert!(size_of::<SegmentMeta>() == 8);

/// Parts of a segment whose entries are moved at once.
const PARTS: usize = 4;

/// The entries of a table that has been emptied.
#[derive(Debug)]
pub(crate) struct Detached {
    blocks: Vec<(BlockRef, u32)>,
    crowd: Vec<EntryRef>,
}

impl Table {
    pub(crate) fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// Gives a table that is empty a root that leads nowhere.
    pub(crate) fn begin_at(&mut self, root: Arc<Root>) {
        debug_assert!(self.len == 0 && root.bits() == 0, "nothing is lost");
        self.root = root;
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of buckets, directory and deadlines.
    pub(crate) fn bytes(&self) -> usize {
        self.block_bytes
            + self.root.bytes()
            + self.segments.capacity() * size_of::<SegmentMeta>()
            + self.oddments.as_ref().map_or(0, |it| it.bytes())
            + self.deadlines.bytes()
    }

    /// Entries no segment had room for, by position.
    #[inline]
    fn crowd(&self) -> &[(Position, EntryRef)] {
        self.oddments.as_ref().map_or(&[], |it| &it.crowd)
    }

    fn oddments(&mut self) -> &mut Oddments {
        self.oddments.get_or_insert_default()
    }

    /// The entry at this position that `is_it` accepts.
    #[inline]
    pub(crate) fn find(
        &self,
        position: Position,
        mut is_it: impl FnMut(EntryRef) -> bool,
    ) -> Option<EntryRef> {
        touch(1);
        let word = self.word_of(position.prefix())?;
        let segment = word.segment()?;
        if let Some(at) = segment.find(word.spot(position), &mut is_it) {
            return segment.buckets()[at.bucket].get(at.lane);
        }
        // Almost every table has an empty crowd, so that a miss ends here.
        if self.crowd().is_empty() {
            return None;
        }
        let crowd = self.crowd_of(position);
        crowd
            .iter()
            .map(|&(_, entry)| entry)
            .find(|&entry| is_it(entry))
    }

    /// Fetches the entries that look as if they were at this position into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, position: Position, keys: &impl Keys) {
        let Some(word) = self.word_of(position.prefix()) else {
            return;
        };
        let spot = word.spot(position);
        let Some((home, _)) = word.segment().map(|segment| segment.pair(spot)) else {
            return;
        };
        let entries = home.tagged(spot.tag).filter_map(|lane| home.get(lane));
        entries.for_each(|entry| keys.prefetch(entry));
    }

    /// Adds an entry that is not in the table yet.
    pub(crate) fn insert(&mut self, position: Position, entry: EntryRef, keys: &impl Keys) {
        touch(1);
        self.len += 1;
        if self.segments.is_empty() {
            self.start();
        }
        while !self.try_insert(position, entry, keys) {
            // One step may not be enough: all entries of a bucket may go to the same half.
            if !self.grow(position, keys) {
                self.insert_in_crowd(position, entry, keys);
                return;
            }
        }
    }

    /// Takes out an entry that is in the table.
    pub(crate) fn remove(&mut self, position: Position, entry: EntryRef, keys: &impl Keys) {
        touch(1);
        self.len -= 1;
        let Some((word, segment, at)) = self.locate(position, entry) else {
            // What is in the table and in no segment is in the crowd.
            let index = self.crowd_index(position, entry);
            self.oddments().crowd.remove(index);
            self.shrink(position, self.word(position), keys);
            return;
        };
        segment.remove(word.spot(position).fraction, at);
        self.segments[word.number as usize].len -= 1;
        self.shrink(position, word, keys);
    }

    /// Lets the place of an entry lead to another one with the same key.
    pub(crate) fn replace(&mut self, position: Position, old: EntryRef, new: EntryRef) {
        if let Some((_, segment, at)) = self.locate(position, old) {
            segment.buckets()[at.bucket].replace(at.lane, new);
        } else {
            let index = self.crowd_index(position, old);
            self.oddments().crowd[index].1 = new;
        }
    }

    /// Notes that an entry in the table expires at `at`.
    pub(crate) fn lower_deadline(&mut self, position: Position, entry: EntryRef, at: UnixMs) {
        if let Some((word, segment, place)) = self.locate(position, entry) {
            let count = segment.buckets().len();
            self.deadlines
                .lower(word.number as usize, place.bucket, count, at);
        } else {
            self.lower_crowd_due(at);
        }
    }

    /// A time before which no entry expires.
    pub(crate) fn earliest_deadline(&self) -> UnixMs {
        self.deadlines.earliest().min(self.due_in_crowd())
    }

    /// An entry that is due. Looks into `looks` buckets at most and takes off how many it needed;
    /// when none are left there may be more to find.
    pub(crate) fn next_due(
        &mut self,
        now: UnixMs,
        looks: &mut usize,
        keys: &impl Keys,
    ) -> Option<(UnixMs, EntryRef)> {
        while self.deadlines.earliest() <= now && *looks > 0 {
            *looks -= 1;
            let (number, bucket) = self.deadlines.first()?;
            let entries = self.entries_in(number, bucket);
            // Each entry lies somewhere else: the waits for memory overlap.
            entries.clone().for_each(|entry| keys.prefetch(entry));
            let first = entries
                .filter_map(|entry| Some((keys.expiry(entry)?, entry)))
                .min();
            if let Some((at, entry)) = first.filter(|&(at, _)| at <= now) {
                return Some((at, entry));
            }
            // What was noted is of an entry that is gone or expires later: the true minimum
            // replaces it.
            let at = first.map_or(NEVER, |(at, _)| at);
            self.deadlines.set(number, bucket, at);
        }
        if self.due_in_crowd() > now {
            return None;
        }
        self.next_due_in_crowd(now, keys)
    }

    /// The entry with the earliest deadline, whenever that is. Looks into `looks` buckets at most.
    pub(crate) fn first_due(
        &mut self,
        mut looks: usize,
        keys: &impl Keys,
    ) -> Option<(UnixMs, EntryRef)> {
        while let Some((number, bucket)) = self.deadlines.first() {
            let noted = self.deadlines.of_bucket(number, bucket);
            let entries = self.entries_in(number, bucket);
            let due = entries.filter_map(|entry| Some((keys.expiry(entry)?, entry)));
            let first = due.min();
            let at = first.map_or(NEVER, |(at, _)| at);
            // Buckets come in the order of their notes, and no note is too late: one that is exact
            // is the earliest deadline of all segments.
            if at == noted && at <= self.due_in_crowd() {
                return first;
            }
            if at == noted || looks == 0 {
                break;
            }
            // The note was of an entry that is gone or expires later.
            looks -= 1;
            self.deadlines.set(number, bucket, at);
        }
        let crowd = self.crowd().iter().map(|&(_, entry)| entry);
        let due = crowd.filter_map(|entry| Some((keys.expiry(entry)?, entry)));
        due.min()
    }

    /// The entries that are due. It takes a step for each bucket in which one was noted.
    pub(crate) fn due<'t>(
        &'t self,
        now: UnixMs,
        keys: impl Keys + 't,
    ) -> impl Iterator<Item = EntryRef> + 't {
        let noted = self.deadlines.due(now);
        let noted = noted.flat_map(|(number, bucket)| self.entries_in(number, bucket));
        let crowd = (self.due_in_crowd() <= now).then_some(self.crowd());
        let crowd = crowd.into_iter().flatten().map(|&(_, entry)| entry);
        let is_due = move |&entry: &EntryRef| keys.expiry(entry).is_some_and(|at| at <= now);
        noted.chain(crowd).filter(is_due)
    }

    /// Visits entries in prefix order from `from` on, home bucket by home bucket, until `visit` has
    /// returned false. Returns the prefix to go on with, or `None` at the end.
    pub(crate) fn walk(
        &self,
        from: Prefix,
        keys: &impl Keys,
        mut visit: impl FnMut(EntryRef) -> bool,
    ) -> Option<Prefix> {
        let mut from = from;
        let mut more = true;
        loop {
            let word = self.word_of(from)?;
            let segment = word.segment()?;
            let base = from.first_of(word.depth);
            // The first prefix of a home bucket: the segment's 2^(32 - depth) prefixes are spread
            // over its homes in order.
            let border = |home| base + segment.start_of(home).div_ceil(1 << word.depth);
            let end = border(segment.homes());
            let strays = self.strays(base..end, segment, keys);
            let first = segment.home(((u64::from(from.0) - base) << word.depth) as u32);
            // Each entry lies somewhere else: the waits for memory overlap.
            let fetch = |home| {
                if home < segment.homes() {
                    let soon = segment.entries_at_home(home);
                    soon.for_each(|entry| keys.prefetch(entry));
                }
            };
            (first..first + HOMES_AHEAD).for_each(fetch);
            for home in first..segment.homes() {
                fetch(home + HOMES_AHEAD);
                let range = border(home)..border(home + 1);
                let strays = strays.iter().filter(|(at, _)| range.contains(at));
                for entry in segment
                    .entries_at_home(home)
                    .chain(strays.map(|&(_, entry)| entry))
                {
                    touch(1);
                    more &= visit(entry);
                }
                // Buckets are visited whole, so that the next page begins at a border.
                if !more {
                    return u32::try_from(range.end).ok().map(Prefix);
                }
            }
            from = u32::try_from(end).ok().map(Prefix)?;
        }
    }

    /// Every entry, in no particular order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = EntryRef> {
        let segments = self.segments.iter().flat_map(|meta| meta.entries());
        let entries = segments.chain(self.crowd().iter().map(|&(_, entry)| entry));
        entries.inspect(|_| touch(1))
    }

    /// An entry chosen by `random`; each is as likely as any other.
    pub(crate) fn sample(&self, random: u64) -> Option<EntryRef> {
        touch(1);
        if self.len == 0 {
            return None;
        }
        // Lanes are drawn until one is taken. To draw a bucket and then one of its keys would
        // favour the keys of sparse buckets.
        let mut state = random;
        for _ in 0..1000 {
            state = state
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(0x1405_7B7E_F767_814F);
            if let Some(entry) = self.entry_at_random(state) {
                return Some(entry);
            }
        }
        let mut entries = self.segments.iter().flat_map(|meta| meta.entries());
        entries
            .next()
            .or_else(|| self.crowd().first().map(|&(_, entry)| entry))
    }

    /// Up to `most` entries that lie together, from a random bucket on.
    pub(crate) fn sample_run(&self, random: u64, most: usize) -> Vec<EntryRef> {
        let mut found = Vec::with_capacity(most);
        let count = self.segments.len();
        let first = (random % count.max(1) as u64) as usize;
        for number in (first..count).chain(0..first) {
            let Some(segment) = self.segments[number].segment() else {
                continue;
            };
            let buckets = segment.buckets();
            let start = (random >> 32) as usize % buckets.len();
            let (before, behind) = buckets.split_at(start);
            for bucket in behind.iter().chain(before) {
                found.extend(bucket.taken().filter_map(|lane| bucket.get(lane)));
                if found.len() >= most {
                    found.truncate(most);
                    return found;
                }
            }
        }
        found.extend(self.crowd().iter().map(|&(_, entry)| entry));
        found.truncate(most);
        found
    }

    /// Entries of buckets with a deadline, from a random one on: `most` that expire, or all that
    /// expire in some buckets, and others that lie in these.
    pub(crate) fn sample_volatile(
        &mut self,
        random: u64,
        most: usize,
        keys: &impl Keys,
    ) -> Vec<EntryRef> {
        let (mut found, mut volatile, mut state) = (Vec::new(), 0, random);
        for _ in 0..VOLATILE_LOOKS.max(most) {
            let Some((number, bucket)) = self.deadlines.sample(state) else {
                break;
            };
            state = state
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(0x1405_7B7E_F767_814F);
            let entries = self.entries_in(number, bucket);
            entries.clone().for_each(|entry| keys.prefetch(entry));
            let deadlines = entries.clone().filter_map(|entry| keys.expiry(entry));
            match deadlines.clone().min() {
                // The note was of keys that are gone.
                None => self.deadlines.set(number, bucket, NEVER),
                Some(_) => {
                    volatile += deadlines.count();
                    found.extend(entries);
                }
            }
            if volatile >= most {
                break;
            }
        }
        let crowd = self.crowd().iter().map(|&(_, entry)| entry);
        found.extend(
            crowd
                .filter(|&entry| keys.expiry(entry).is_some())
                .take(most),
        );
        found
    }

    /// Offers every entry of a part for replacement and says whether there is a part with a higher
    /// number. A segment is some parts.
    pub(crate) fn replace_in_part(
        &mut self,
        number: usize,
        mut replacement: impl FnMut(EntryRef) -> Option<EntryRef>,
    ) -> bool {
        let (segment, part) = (number / PARTS, number % PARTS);
        let segment = self.segments.get(segment).and_then(|meta| meta.segment());
        let buckets = segment.map_or(&[][..], |segment| segment.buckets());
        let each = buckets.len().div_ceil(PARTS).max(1);
        for bucket in buckets.chunks(each).nth(part).unwrap_or_default() {
            for lane in bucket.taken() {
                touch(1);
                if let Some(new) = bucket.get(lane).and_then(&mut replacement) {
                    bucket.replace(lane, new);
                }
            }
        }
        // The crowd belongs to no segment; it goes with the first part.
        let crowd = self.oddments.iter_mut().flat_map(|it| it.crowd.iter_mut());
        for (_, entry) in crowd.filter(|_| number == 0) {
            *entry = replacement(*entry).unwrap_or(*entry);
        }
        number + 1 < self.segments.len() * PARTS
    }

    /// Empties the table; the entries are freed through what is returned.
    pub(crate) fn detach(&mut self) -> Detached {
        // The root is shared with those who look without the lock: it stays, and leads nowhere.
        self.root.reset(None);
        let mut old = std::mem::take(self);
        self.root = Arc::clone(&old.root);
        let segments = std::mem::take(&mut old.segments).into_iter();
        let live = segments.filter(|meta| meta.live);
        Detached {
            blocks: live
                .map(|meta| (meta.block, u32::from(meta.order)))
                .collect(),
            crowd: old.crowd().iter().map(|&(_, entry)| entry).collect(),
        }
    }

    /// Exchanges the contents of two tables; each root stays with its table's place.
    pub(crate) fn swap(&mut self, other: &mut Self) {
        self.root.swap(&other.root);
        std::mem::swap(self, other);
        // Others hold the roots: each gets back its own, which has the other's contents by now.
        std::mem::swap(&mut self.root, &mut other.root);
        self.directory = self.root.current();
        other.directory = other.root.current();
    }

    #[inline]
    fn word_of(&self, prefix: Prefix) -> Option<Word> {
        match &self.directory {
            Some(directory) => directory.word(prefix),
            None => self.root.word(prefix),
        }
    }

    fn word(&self, position: Position) -> Word {
        self.word_of(position.prefix())
            .expect("a table with entries has a segment for every position")
    }

    fn locate(&self, position: Position, entry: EntryRef) -> Option<(Word, Segment, Location)> {
        let word = self.word(position);
        let segment = word.segment()?;
        let at = segment.find(word.spot(position), |found| found == entry)?;
        Some((word, segment, at))
    }

    fn try_insert(&mut self, position: Position, entry: EntryRef, keys: &impl Keys) -> bool {
        let word = self.word(position);
        let segment = word.segment().expect("a table's blocks are whole");
        let Some(placed) = segment.insert(word.spot(position), entry) else {
            return false;
        };
        let (number, count) = (word.number as usize, segment.buckets().len());
        self.segments[number].len += 1;
        // The key that made room may be the one that expires first; its new bucket has to know.
        if let Some((from, to)) = placed.moved {
            let at = self.deadlines.of_bucket(number, from);
            if at != NEVER {
                self.deadlines.lower(number, to, count, at);
            }
        }
        if let Some(at) = keys.expiry(entry) {
            self.deadlines.lower(number, placed.bucket, count, at);
        }
        true
    }

    fn entries_in(
        &self,
        number: usize,
        bucket: usize,
    ) -> impl Iterator<Item = EntryRef> + Clone + use<> {
        let segment = self.segments[number].segment();
        let bucket = segment.map(|segment| &segment.buckets()[bucket]);
        bucket
            .into_iter()
            .flat_map(|bucket| bucket.taken().filter_map(|lane| bucket.get(lane)))
    }

    fn entry_at_random(&self, random: u64) -> Option<EntryRef> {
        let of = |random: u64, count: usize| ((random * count as u64) >> 24) as usize;
        let mut parts = [random >> 40, random >> 16 & 0xFF_FFFF];
        if !self.crowd().is_empty() {
            // Weighs the crowd against the segments' lanes.
            let lanes = self.segments.len() << TOP_ORDER;
            let place = of(parts[0], lanes * LANES + self.crowd().len());
            if let Some(entry) = self.crowd().get(place) {
                return Some(entry.1);
            }
            // The bits used so far are biased by now: they have not chosen the crowd.
            parts[0] = random & 0xFF_FFFF;
        }
        let meta = &self.segments[of(parts[0], self.segments.len())];
        let place = of(parts[1], LANES << meta.order);
        // A segment that is gone gives nothing, and the caller draws again: no other is favoured.
        let segment = meta.segment()?;
        segment.buckets()[place / LANES].get(place % LANES)
    }
}

impl Oddments {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.unused.capacity() * size_of::<u32>()
            + self.crowd.capacity() * size_of::<(Position, EntryRef)>()
    }
}

impl SegmentMeta {
    fn segment(&self) -> Option<Segment> {
        let buckets = self.block.buckets(1 << self.order);
        buckets.filter(|_| self.live).map(Segment::new)
    }

    fn entries(&self) -> impl Iterator<Item = EntryRef> + use<> {
        self.segment()
            .into_iter()
            .flat_map(|segment| segment.entries())
    }
}

impl Detached {
    /// Gives up to `max` entries to `free`, the memory of emptied blocks back, and says whether
    /// there is more.
    pub(crate) fn drain(&mut self, max: usize, mut free: impl FnMut(EntryRef)) -> bool {
        let mut left = max;
        while left > 0 {
            let Some((block, order)) = self.blocks.pop() else {
                let keep = self.crowd.len().saturating_sub(left);
                self.crowd.drain(keep..).for_each(&mut free);
                return keep > 0;
            };
            let buckets = block
                .buckets(1 << order)
                .expect("a table's blocks are whole");
            // A block is emptied whole, whatever is left of the slice: its memory can be given back
            // then.
            for entry in Segment::new(buckets).entries() {
                touch(1);
                left = left.saturating_sub(1);
                free(entry);
            }
            block::give(block, order);
        }
        !(self.blocks.is_empty() && self.crowd.is_empty())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for meta in self.segments.iter().filter(|meta| meta.live) {
            block::give(meta.block, u32::from(meta.order));
        }
    }
}

#[cfg(test)]
mod tests;
