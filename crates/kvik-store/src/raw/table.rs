//! A hash table in hash order that grows one segment at a time.
//!
//! A hash's 32 leading bits (its prefix) say which segment holds it (see [`super::root`]) and where in the segment
//! ([`super::segment`]); eight others are its tag. A table begins as one bucket of 64 bytes; its only segment doubles up to
//! 64 buckets and from then on a full segment splits in two by the next bit. Two that became sparse are joined again, and
//! the last one shrinks. No step concerns more than two segments, about 740 keys.
//!
//! Hashes that crowd so closely that splitting does not help go to a sorted list beside the segments: that takes an
//! attacker who knows the seed, and then costs time but nothing else.
//!
//! [`Table::walk`] visits the keys of one home bucket after the other, in hash order. Bucket borders of a segment are
//! borders in its halves too, and it filters nothing: whatever splits or joins between two calls, a key with a prefix from
//! the returned one on has not been left out.
//!
//! The table knows references and hashes only; what it needs to know about a key it asks [`Keys`].

use std::sync::Arc;

use super::arena::EntryRef;
use super::block::{self, BlockRef, TOP_ORDER};
use super::bucket::LANES;
use super::deadlines::{Deadlines, NEVER};
use super::root::{Directory, MAX_DEPTH, Root, Word, prefix};
use super::segment::{Location, Segment, capacity};
use crate::UnixMs;

/// Two segments with no more keys than this are joined: half of what one takes.
const JOIN_LEN: usize = 384;
/// How many keys fewer there are when it is tried again, if those that are left lie too close together.
const JOIN_STEP: usize = 48;
/// How far ahead entries are fetched into the cache when many are about to be hashed.
const AHEAD: usize = 24;

/// What a table asks about the entries it leads to.
pub(crate) trait Keys {
    /// The hash under which the entry was inserted.
    fn hash(&self, entry: EntryRef) -> u64;
    /// When it expires.
    fn expiry(&self, entry: EntryRef) -> Option<UnixMs>;
    /// Tells that the entry will be asked about soon.
    fn prefetch(&self, entry: EntryRef);
}

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Table {
    root: Arc<Root>,
    /// The root's, once there are several segments.
    directory: Option<Directory>,
    segments: Vec<SegmentMeta>,
    /// Numbers of segments that are gone.
    unused: Vec<u32>,
    /// Keys no segment had room for, by hash.
    crowd: Vec<(u64, EntryRef)>,
    crowd_due: UnixMs,
    deadlines: Deadlines,
    len: usize,
    block_bytes: usize,
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

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of buckets, directory and deadlines.
    pub(crate) fn bytes(&self) -> usize {
        self.block_bytes
            + self.root.bytes()
            + self.segments.capacity() * size_of::<SegmentMeta>()
            + self.unused.capacity() * size_of::<u32>()
            + self.crowd.capacity() * size_of::<(u64, EntryRef)>()
            + self.deadlines.bytes()
    }

    /// The entry with this hash that `is_it` accepts.
    #[inline]
    pub(crate) fn find(
        &self,
        hash: u64,
        mut is_it: impl FnMut(EntryRef) -> bool,
    ) -> Option<EntryRef> {
        let word = self.word_of(prefix(hash))?;
        let segment = word.segment()?;
        if let Some(at) = segment.find(word.spot(hash), &mut is_it) {
            return segment.buckets()[at.bucket].get(at.lane);
        }
        if self.crowd.is_empty() {
            return None;
        }
        let crowd = self.crowd_of(hash);
        crowd
            .iter()
            .map(|&(_, entry)| entry)
            .find(|&entry| is_it(entry))
    }

    /// Adds an entry that is not in the table yet.
    pub(crate) fn insert(&mut self, hash: u64, entry: EntryRef, keys: &impl Keys) {
        self.len += 1;
        if self.segments.is_empty() {
            self.start();
        }
        while !self.try_insert(hash, entry, keys) {
            if !self.grow(hash, keys) {
                self.insert_in_crowd(hash, entry, keys);
                return;
            }
        }
    }

    /// Takes out an entry that is in the table.
    pub(crate) fn remove(&mut self, hash: u64, entry: EntryRef, keys: &impl Keys) {
        self.len -= 1;
        let Some((word, segment, at)) = self.locate(hash, entry) else {
            let index = self.crowd_index(hash, entry);
            self.crowd.remove(index);
            self.shrink(hash, self.word(hash), keys);
            return;
        };
        segment.remove(word.spot(hash).fraction, at);
        self.segments[word.number as usize].len -= 1;
        self.shrink(hash, word, keys);
    }

    /// Lets the place of an entry lead to another one with the same key.
    pub(crate) fn replace(&mut self, hash: u64, old: EntryRef, new: EntryRef) {
        if let Some((_, segment, at)) = self.locate(hash, old) {
            segment.buckets()[at.bucket].replace(at.lane, new);
        } else {
            let index = self.crowd_index(hash, old);
            self.crowd[index].1 = new;
        }
    }

    /// Notes that an entry in the table expires at `at`.
    pub(crate) fn lower_deadline(&mut self, hash: u64, entry: EntryRef, at: UnixMs) {
        if let Some((word, segment, place)) = self.locate(hash, entry) {
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

    /// An entry that is due. Looks into `looks` buckets at most and takes off how many it needed; when none are left
    /// there may be more to find.
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
            entries.clone().for_each(|entry| keys.prefetch(entry));
            let first = entries
                .filter_map(|entry| Some((keys.expiry(entry)?, entry)))
                .min();
            if let Some((at, entry)) = first.filter(|&(at, _)| at <= now) {
                return Some((at, entry));
            }
            let at = first.map_or(NEVER, |(at, _)| at);
            self.deadlines.set(number, bucket, at);
        }
        if self.due_in_crowd() > now {
            return None;
        }
        self.next_due_in_crowd(now, keys)
    }

    /// The entries that are due. It takes a step for each bucket in which one was noted.
    pub(crate) fn due<'t>(
        &'t self,
        now: UnixMs,
        keys: impl Keys + 't,
    ) -> impl Iterator<Item = EntryRef> + 't {
        let noted = self.deadlines.due(now);
        let noted = noted.flat_map(|(number, bucket)| self.entries_in(number, bucket));
        let crowd = (self.due_in_crowd() <= now).then_some(&self.crowd);
        let crowd = crowd.into_iter().flatten().map(|&(_, entry)| entry);
        let is_due = move |&entry: &EntryRef| keys.expiry(entry).is_some_and(|at| at <= now);
        noted.chain(crowd).filter(is_due)
    }

    /// Visits entries in prefix order from `from` on, home bucket by home bucket, until `visit` has returned false.
    /// Returns the prefix to go on with, or `None` at the end.
    pub(crate) fn walk(
        &self,
        from: u32,
        keys: &impl Keys,
        mut visit: impl FnMut(EntryRef) -> bool,
    ) -> Option<u32> {
        let mut from = u64::from(from);
        let mut more = true;
        while let Ok(start) = u32::try_from(from) {
            let word = self.word_of(start)?;
            let segment = word.segment()?;
            let base = u64::from(start) >> (32 - word.depth) << (32 - word.depth);
            let border = |home| base + segment.start_of(home).div_ceil(1 << word.depth);
            let strays = self.strays(base..border(segment.homes()), segment, keys);
            let first = segment.home(((from - base) << word.depth) as u32);
            for home in first..segment.homes() {
                let range = border(home)..border(home + 1);
                let strays = strays.iter().filter(|(at, _)| range.contains(at));
                for entry in segment
                    .entries_at_home(home)
                    .chain(strays.map(|&(_, entry)| entry))
                {
                    more &= visit(entry);
                }
                if !more {
                    return u32::try_from(range.end).ok();
                }
            }
            from = border(segment.homes());
        }
        None
    }

    /// Every entry, in no particular order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = EntryRef> {
        let segments = self.segments.iter().flat_map(|meta| meta.entries());
        segments.chain(self.crowd.iter().map(|&(_, entry)| entry))
    }

    /// An entry chosen by `random`; each is as likely as any other.
    pub(crate) fn sample(&self, random: u64) -> Option<EntryRef> {
        if self.len == 0 {
            return None;
        }
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
            .or_else(|| self.crowd.first().map(|&(_, entry)| entry))
    }

    /// Offers every entry of a segment for replacement and says whether there is a segment with a higher number.
    pub(crate) fn replace_in_segment(
        &mut self,
        number: usize,
        mut replacement: impl FnMut(EntryRef) -> Option<EntryRef>,
    ) -> bool {
        let buckets = self.segments.get(number).and_then(|meta| meta.segment());
        for bucket in buckets.map_or(&[][..], |segment| segment.buckets()) {
            for lane in bucket.taken() {
                if let Some(new) = bucket.get(lane).and_then(&mut replacement) {
                    bucket.replace(lane, new);
                }
            }
        }
        for (_, entry) in self.crowd.iter_mut().filter(|_| number == 0) {
            *entry = replacement(*entry).unwrap_or(*entry);
        }
        number + 1 < self.segments.len()
    }

    /// Empties the table; the entries are freed through what is returned.
    pub(crate) fn detach(&mut self) -> Detached {
        self.root.reset(None);
        let mut old = std::mem::take(self);
        self.root = Arc::clone(&old.root);
        let segments = std::mem::take(&mut old.segments).into_iter();
        let live = segments.filter(|meta| meta.live);
        Detached {
            blocks: live
                .map(|meta| (meta.block, u32::from(meta.order)))
                .collect(),
            crowd: old.crowd.iter().map(|&(_, entry)| entry).collect(),
        }
    }

    /// Exchanges the contents of two tables; each root stays with its table's place.
    pub(crate) fn swap(&mut self, other: &mut Self) {
        self.root.swap(&other.root);
        std::mem::swap(self, other);
        std::mem::swap(&mut self.root, &mut other.root);
        self.directory = self.root.current();
        other.directory = other.root.current();
    }

    #[inline]
    fn word_of(&self, prefix: u32) -> Option<Word> {
        match &self.directory {
            Some(directory) => directory.word(prefix),
            None => self.root.word(prefix),
        }
    }

    fn start(&mut self) {
        let word = self.add_segment(0, 0);
        self.root.reset(Some(word));
    }

    fn add_segment(&mut self, order: u32, depth: u32) -> Word {
        let block = self.take_block(order);
        let meta = SegmentMeta {
            block,
            len: 0,
            order: order as u8,
            live: true,
        };
        let number = if let Some(number) = self.unused.pop() {
            self.segments[number as usize] = meta;
            number
        } else {
            self.segments.push(meta);
            self.segments.len() as u32 - 1
        };
        Word {
            block,
            number,
            depth,
            order,
        }
    }

    fn take_block(&mut self, order: u32) -> BlockRef {
        self.block_bytes += block_bytes(order);
        block::take(order)
    }

    fn give_block(&mut self, block: BlockRef, order: u32) {
        self.block_bytes -= block_bytes(order);
        block::give(block, order);
    }

    fn word(&self, hash: u64) -> Word {
        self.word_of(prefix(hash))
            .expect("a table with entries has a segment for every hash")
    }

    fn locate(&self, hash: u64, entry: EntryRef) -> Option<(Word, Segment, Location)> {
        let word = self.word(hash);
        let segment = word.segment()?;
        let at = segment.find(word.spot(hash), |found| found == entry)?;
        Some((word, segment, at))
    }

    fn try_insert(&mut self, hash: u64, entry: EntryRef, keys: &impl Keys) -> bool {
        let word = self.word(hash);
        let segment = word.segment().expect("a table's blocks are whole");
        let Some(placed) = segment.insert(word.spot(hash), entry) else {
            return false;
        };
        let (number, count) = (word.number as usize, segment.buckets().len());
        self.segments[number].len += 1;
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

    /// Makes room in the segment of a hash, if that is possible.
    fn grow(&mut self, hash: u64, keys: &impl Keys) -> bool {
        let word = self.word(hash);
        if word.order < TOP_ORDER {
            self.resize(hash, word, word.order + 1, keys);
        } else if word.depth < self.depth_limit() {
            self.split(hash, word, keys);
        } else {
            return false;
        }
        true
    }

    /// Segments of well mixed hashes differ in depth by 2 or 3. A directory that goes deeper than six bits more than the
    /// number of keys asks for would be large and nearly empty.
    fn depth_limit(&self) -> u32 {
        let segments = self.len / JOIN_LEN + 1;
        (segments.ilog2() + 6).min(MAX_DEPTH)
    }

    /// Gives a segment a block of another size, unless that is smaller and not all fits into it; says whether it did.
    fn resize(&mut self, hash: u64, word: Word, order: u32, keys: &impl Keys) -> bool {
        let entries = self.entries_of(hash, word, keys);
        let block = self.take_block(order);
        let resized = Word {
            block,
            order,
            ..word
        };
        if order < word.order && !fits(resized, &entries) {
            self.give_block(block, order);
            return false;
        }
        self.clear(hash, word);
        let meta = &mut self.segments[word.number as usize];
        (meta.block, meta.order) = (block, order as u8);
        self.root.publish(prefix(hash), resized);
        self.give_block(word.block, word.order);
        self.put_entries(&entries, keys);
        true
    }

    fn split(&mut self, hash: u64, word: Word, keys: &impl Keys) {
        let entries = self.entries_of(hash, word, keys);
        self.clear(hash, word);
        if word.depth == self.root.bits() {
            self.root.double();
            self.directory = self.root.current();
        }
        let depth = word.depth + 1;
        let left = Word { depth, ..word };
        let right = self.add_segment(word.order, depth);
        let bit = 1 << (32 - depth);
        self.root.publish(prefix(hash) & !bit, left);
        self.root.publish(prefix(hash) | bit, right);
        self.put_entries(&entries, keys);
    }

    /// Joins the segment with its other half, or makes the only one smaller, when few keys are left. What deletes keys in the
    /// order of their hashes leaves those that come behind close together. Such are not joined where they would crowd; as
    /// that is found out by trying, it is not tried with every key that goes.
    fn shrink(&mut self, hash: u64, word: Word, keys: &impl Keys) {
        let len = self.len_of(hash, word);
        if word.depth > 0 {
            let other_hash = hash ^ 1 << (64 - word.depth);
            let other = self.word(other_hash);
            let others = self.len_of(other_hash, other);
            let sum = len + others;
            if other.depth == word.depth
                && sum <= JOIN_LEN
                && sum.is_multiple_of(JOIN_STEP)
                && self.join((hash, word), (other_hash, other), keys)
            {
                self.shrink(hash, self.word(hash), keys);
            }
        } else if word.order > 0 {
            let few = capacity(1 << (word.order - 1)) / 2;
            if len <= few
                && len.is_multiple_of((few / 4).max(1))
                && self.resize(hash, word, word.order - 1, keys)
            {
                self.shrink(hash, self.word(hash), keys);
            }
        }
    }

    /// Number of keys of a segment and of its crowd.
    fn len_of(&self, hash: u64, word: Word) -> usize {
        let crowd = self.crowd_beside(hash, word);
        usize::from(self.segments[word.number as usize].len) + crowd.len()
    }

    /// Joins two segments unless not all fits into one; says whether it did.
    fn join(&mut self, kept: (u64, Word), gone: (u64, Word), keys: &impl Keys) -> bool {
        let mut entries = self.entries_of(kept.0, kept.1, keys);
        entries.extend(self.entries_of(gone.0, gone.1, keys));
        let block = self.take_block(kept.1.order);
        let joined = Word {
            block,
            depth: kept.1.depth - 1,
            ..kept.1
        };
        if !fits(joined, &entries) {
            self.give_block(block, joined.order);
            return false;
        }
        self.clear(kept.0, kept.1);
        self.clear(gone.0, gone.1);
        self.segments[kept.1.number as usize].block = block;
        if joined.depth == 0 {
            self.root.reset(Some(joined));
            self.directory = None;
        } else {
            self.root.publish(prefix(kept.0), joined);
        }
        self.segments[gone.1.number as usize].live = false;
        self.unused.push(gone.1.number);
        self.give_block(kept.1.block, kept.1.order);
        self.give_block(gone.1.block, gone.1.order);
        self.put_entries(&entries, keys);
        true
    }

    /// What is in a segment, and in the crowd of its hashes.
    fn entries_of(&self, hash: u64, word: Word, keys: &impl Keys) -> Vec<(u64, EntryRef)> {
        let segment = word.segment().expect("a table's blocks are whole");
        let refs: Vec<EntryRef> = segment.entries().collect();
        refs.iter()
            .take(AHEAD)
            .for_each(|&entry| keys.prefetch(entry));
        let mut entries = Vec::with_capacity(refs.len());
        for (index, &entry) in refs.iter().enumerate() {
            if let Some(&soon) = refs.get(index + AHEAD) {
                keys.prefetch(soon);
            }
            entries.push((keys.hash(entry), entry));
        }
        entries.extend_from_slice(&self.crowd[self.crowd_beside(hash, word)]);
        entries
    }

    /// Empties a segment, and the crowd of its hashes.
    fn clear(&mut self, hash: u64, word: Word) {
        let segment = word.segment().expect("a table's blocks are whole");
        segment.buckets().iter().for_each(|bucket| bucket.clear());
        self.segments[word.number as usize].len = 0;
        self.deadlines.clear(word.number as usize);
        let crowd = self.crowd_beside(hash, word);
        self.crowd.drain(crowd);
    }

    fn put_entries(&mut self, entries: &[(u64, EntryRef)], keys: &impl Keys) {
        for &(hash, entry) in entries {
            if !self.try_insert(hash, entry, keys) {
                self.insert_in_crowd(hash, entry, keys);
            }
        }
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
        if !self.crowd.is_empty() {
            // Weighs the crowd against the segments' lanes.
            let lanes = self.segments.len() << TOP_ORDER;
            let place = of(parts[0], lanes * LANES + self.crowd.len());
            if let Some(entry) = self.crowd.get(place) {
                return Some(entry.1);
            }
            parts[0] = random & 0xFF_FFFF;
        }
        let meta = &self.segments[of(parts[0], self.segments.len())];
        let place = of(parts[1], LANES << meta.order);
        let segment = meta.segment()?;
        segment.buckets()[place / LANES].get(place % LANES)
    }

    // The crowd.

    /// What is in the stash of a segment or in the crowd of its prefixes, with the prefix of each.
    fn strays(
        &self,
        prefixes: std::ops::Range<u64>,
        segment: Segment,
        keys: &impl Keys,
    ) -> Vec<(u64, EntryRef)> {
        let crowd = &self.crowd[self.crowd_in(prefixes)];
        let stash = segment
            .stash()
            .map(|entry| (u64::from(prefix(keys.hash(entry))), entry));
        stash
            .chain(crowd.iter().map(|&(hash, entry)| (hash >> 32, entry)))
            .collect()
    }

    /// The crowd of a segment's hashes, of which `hash` is one.
    fn crowd_beside(&self, hash: u64, word: Word) -> std::ops::Range<usize> {
        let base = hash >> 32 >> (32 - word.depth) << (32 - word.depth);
        self.crowd_in(base..base + (1 << (32 - word.depth)))
    }

    fn crowd_in(&self, prefixes: std::ops::Range<u64>) -> std::ops::Range<usize> {
        let before = |end: u64| self.crowd.partition_point(|&(hash, _)| hash >> 32 < end);
        before(prefixes.start)..before(prefixes.end)
    }

    fn crowd_of(&self, hash: u64) -> &[(u64, EntryRef)] {
        let start = self.crowd.partition_point(|&(other, _)| other < hash);
        let end = self.crowd.partition_point(|&(other, _)| other <= hash);
        &self.crowd[start..end]
    }

    fn crowd_index(&self, hash: u64, entry: EntryRef) -> usize {
        self.crowd
            .binary_search(&(hash, entry))
            .expect("an entry is in a segment or in the crowd")
    }

    #[cold]
    fn insert_in_crowd(&mut self, hash: u64, entry: EntryRef, keys: &impl Keys) {
        let index = self.crowd.partition_point(|&other| other < (hash, entry));
        self.crowd.insert(index, (hash, entry));
        if let Some(at) = keys.expiry(entry) {
            self.lower_crowd_due(at);
        }
    }

    fn due_in_crowd(&self) -> UnixMs {
        if self.crowd.is_empty() {
            NEVER
        } else {
            self.crowd_due
        }
    }

    fn lower_crowd_due(&mut self, at: UnixMs) {
        self.crowd_due = self.due_in_crowd().min(at);
    }

    #[cold]
    fn next_due_in_crowd(&mut self, now: UnixMs, keys: &impl Keys) -> Option<(UnixMs, EntryRef)> {
        let expiries = self.crowd.iter();
        let first = expiries
            .filter_map(|&(_, entry)| Some((keys.expiry(entry)?, entry)))
            .min();
        self.crowd_due = first.map_or(NEVER, |(at, _)| at);
        first.filter(|&(at, _)| at <= now)
    }
}

/// Whether these entries would all have room in the segment of `word`, which is empty before and after.
fn fits(word: Word, entries: &[(u64, EntryRef)]) -> bool {
    let segment = word.segment().expect("a table's blocks are whole");
    let mut entries = entries.iter();
    let fits = entries.all(|&(hash, entry)| segment.insert(word.spot(hash), entry).is_some());
    segment.buckets().iter().for_each(|bucket| bucket.clear());
    fits
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
    /// Gives up to `max` entries to `free`, the memory of emptied blocks back, and says whether there is more.
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
            for entry in Segment::new(buckets).entries() {
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

fn block_bytes(order: u32) -> usize {
    64 << order
}

#[cfg(test)]
mod tests;
