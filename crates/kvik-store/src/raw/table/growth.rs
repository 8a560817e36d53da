//! How a table grows and shrinks: by one segment, or by two that are halves of one range of
//! prefixes.
//!
//! ```text
//! order:  1 -> 2 -> 4 .. 64 buckets       the only segment is given a larger block      (resize)
//! depth:  0 -> 1 -> 2 ..                  a full segment of 64 buckets splits           (split)
//!                                         two halves with at most 384 keys are joined   (join)
//! ```
//! Each step collects the entries of the segments concerned, empties them, publishes the new word
//! and puts the entries back. In between the entries are in no bucket; a reader without the lock
//! finds less than there is, which costs it a prefetch.

use super::{Keys, SegmentMeta, Table};
use crate::raw::block::{self, BlockRef, TOP_ORDER};
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::{Position, Prefix};
use crate::raw::root::{MAX_DEPTH, Word};
use crate::raw::segment::capacity;
use crate::raw::touched::touch;

/// Two segments with no more keys than this are joined: half of what one takes.
const JOIN_LEN: usize = 384;
/// A segment that is expected to have so many keys at least has been split off by then, since its
/// other half has about as many.
const EXPECTED_LEN: usize = 400;
/// How many keys fewer there are when it is tried again, if those that are left lie too close
/// together.
const JOIN_STEP: usize = 48;
/// Keys of a segment up to which a table is made ready for so many: with more a segment may well be
/// full before the others are.
const READY_LEN: usize = 600;
/// How far ahead entries are fetched into the cache when many are about to be hashed.
const AHEAD: usize = 24;

impl Table {
    pub(super) fn start(&mut self) {
        let word = self.add_segment(0, 0);
        self.root.reset(Some(word));
    }

    /// Gives a table in which nothing is yet the segments that it will have with so many entries.
    /// One that gets them step by step moves each entry once or twice.
    pub(crate) fn expect(&mut self, len: usize, keys: &impl Keys) {
        let depth = (len / EXPECTED_LEN).checked_ilog2().unwrap_or(0);
        if depth == 0 || !self.segments.is_empty() {
            return;
        }
        let word = self.add_segment(TOP_ORDER, 0);
        self.root.reset(Some(word));
        for bits in 0..depth.min(MAX_DEPTH) {
            for range in 0..1u64 << bits {
                let position = Position(range.checked_shl(64 - bits).unwrap_or(0));
                self.split(position, self.word(position), keys);
            }
        }
    }

    fn add_segment(&mut self, order: u32, depth: u32) -> Word {
        let block = self.take_block(order);
        let meta = SegmentMeta {
            block,
            len: 0,
            order: order as u8,
            live: true,
        };
        // Words name segments by number, so a number is used again and no other changes.
        let unused = self.oddments.as_mut().and_then(|it| it.unused.pop());
        let number = if let Some(number) = unused {
            self.segments[number as usize] = meta;
            number
        } else {
            // Most tables of many small namespaces never have a second one.
            if self.segments.is_empty() {
                self.segments.reserve_exact(1);
            }
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

    /// Makes room in the segment of a position, if that is possible.
    pub(super) fn grow(&mut self, position: Position, keys: &impl Keys) -> bool {
        let word = self.word(position);
        if word.order < TOP_ORDER {
            self.resize(position, word, word.order + 1, keys);
        // A segment that is full at the limit has positions that crowd: splitting would not part
        // them.
        } else if word.depth < self.depth_limit() {
            self.split(position, word, keys);
        } else {
            return false;
        }
        true
    }

    /// Most leading bits that the directory may go by. Segments of well mixed positions differ in
    /// depth by 2 or 3; a directory six bits deeper than the number of keys asks for would be
    /// nearly empty.
    fn depth_limit(&self) -> u32 {
        let segments = self.len / JOIN_LEN + 1;
        (segments.ilog2() + 6).min(MAX_DEPTH)
    }

    /// Splits segments, from a prefix on and `steps` at most, until so many entries fit without
    /// another split, and says where to go on if there is more to do. Segments that hold little are
    /// split for little: what comes then stays where it is put. The table must not be empty.
    pub(crate) fn make_ready(
        &mut self,
        entries: usize,
        mut from: Prefix,
        steps: usize,
        keys: &impl Keys,
    ) -> Option<Prefix> {
        let segments = entries.div_ceil(READY_LEN).next_power_of_two();
        let depth = segments.ilog2().min(MAX_DEPTH);
        for _ in 0..steps {
            let word = self.word_of(from)?;
            let position = from.first_position();
            if word.order < TOP_ORDER && depth > 0 {
                self.resize(position, word, TOP_ORDER, keys);
            } else if word.depth < depth {
                self.split(position, word, keys);
            } else {
                let next = from.first_of(word.depth) + (1 << (32 - word.depth));
                from = u32::try_from(next).ok().map(Prefix)?;
            }
        }
        Some(from)
    }

    /// Gives a segment a block of another size, unless that is smaller and not all fits into it;
    /// says whether it did.
    fn resize(&mut self, position: Position, word: Word, order: u32, keys: &impl Keys) -> bool {
        let entries = self.entries_of(position, word, keys);
        let block = self.take_block(order);
        let resized = Word {
            block,
            order,
            ..word
        };
        // A larger block holds whatever the smaller one held.
        if order < word.order && !fits(resized, &entries) {
            self.give_block(block, order);
            return false;
        }
        self.clear(position, word);
        let meta = &mut self.segments[word.number as usize];
        (meta.block, meta.order) = (block, order as u8);
        self.root.publish(position.prefix(), resized);
        self.give_block(word.block, word.order);
        self.put_entries(&entries, keys);
        true
    }

    /// Splits a full segment of the largest size by the next bit of its positions.
    fn split(&mut self, position: Position, word: Word, keys: &impl Keys) {
        let entries = self.entries_of(position, word, keys);
        self.clear(position, word);
        // The directory goes by as many bits as its deepest segment.
        if word.depth == self.root.bits() {
            self.root.double();
            self.directory = self.root.current();
        }
        let depth = word.depth + 1;
        // The old block becomes the half where the next bit is 0, a new one the other half.
        let left = Word { depth, ..word };
        let right = self.add_segment(word.order, depth);
        let bit = 1 << (32 - depth);
        let prefix = position.prefix().0;
        self.root.publish(Prefix(prefix & !bit), left);
        self.root.publish(Prefix(prefix | bit), right);
        self.put_entries(&entries, keys);
    }

    /// Joins the segment with its other half, or makes the only one smaller, when few keys are
    /// left.
    ///
    /// Deleting keys in the order of their positions leaves the later ones close together, so close
    /// that they would crowd in one segment. Such are not joined; since that is found out by
    /// trying, it is not tried with every key that goes.
    pub(super) fn shrink(&mut self, position: Position, word: Word, keys: &impl Keys) {
        let len = self.len_of(position, word);
        if word.depth > 0 {
            // A join needs both halves of the range that was split last.
            let other_position = position.in_other_half(word.depth);
            let other = self.word(other_position);
            let sum = len + self.len_of(other_position, other);
            // An other half of another depth has been split further, and has more keys than fit.
            if other.depth == word.depth
                && sum <= JOIN_LEN
                && sum.is_multiple_of(JOIN_STEP)
                && self.join((position, word), (other_position, other), keys)
            {
                // What was joined may be half of something sparse again, down to a table of one
                // bucket.
                self.shrink(position, self.word(position), keys);
            }
        } else if word.order > 0 {
            // Half of the smaller block stays free, so that keys that come and go do not resize it.
            let few = capacity(1 << (word.order - 1)) / 2;
            if len <= few
                && len.is_multiple_of((few / 4).max(1))
                && self.resize(position, word, word.order - 1, keys)
            {
                self.shrink(position, self.word(position), keys);
            }
        }
    }

    /// Number of keys of a segment and of its crowd.
    fn len_of(&self, position: Position, word: Word) -> usize {
        let crowd = self.crowd_range(position, word);
        usize::from(self.segments[word.number as usize].len) + crowd.len()
    }

    /// Joins two halves in a new block unless not all fits into one; says whether it did. The
    /// segment of `kept` keeps its number.
    fn join(&mut self, kept: (Position, Word), gone: (Position, Word), keys: &impl Keys) -> bool {
        let mut entries = self.entries_of(kept.0, kept.1, keys);
        entries.extend(self.entries_of(gone.0, gone.1, keys));
        let block = self.take_block(kept.1.order);
        let joined = Word {
            block,
            depth: kept.1.depth - 1,
            ..kept.1
        };
        // Tried out in the new block: the old ones stay as they are until it is known to go well.
        if !fits(joined, &entries) {
            self.give_block(block, joined.order);
            return false;
        }
        self.clear(kept.0, kept.1);
        self.clear(gone.0, gone.1);
        self.segments[kept.1.number as usize].block = block;
        if joined.depth == 0 {
            // The last segment needs no directory.
            self.root.reset(Some(joined));
            self.directory = None;
        } else {
            self.root.publish(kept.0.prefix(), joined);
        }
        self.segments[gone.1.number as usize].live = false;
        self.oddments().unused.push(gone.1.number);
        // Others may get the blocks only now that no word leads to them.
        self.give_block(kept.1.block, kept.1.order);
        self.give_block(gone.1.block, gone.1.order);
        self.put_entries(&entries, keys);
        true
    }

    /// The entries of a segment and of its crowd, with their positions.
    fn entries_of(
        &self,
        position: Position,
        word: Word,
        keys: &impl Keys,
    ) -> Vec<(Position, EntryRef)> {
        let segment = word.segment().expect("a table's blocks are whole");
        let refs: Vec<EntryRef> = segment.entries().collect();
        // A position is computed from the key, which may lie anywhere: the next ones are fetched
        // meanwhile.
        refs.iter()
            .take(AHEAD)
            .for_each(|&entry| keys.prefetch(entry));
        let mut entries = Vec::with_capacity(refs.len());
        for (index, &entry) in refs.iter().enumerate() {
            if let Some(&soon) = refs.get(index + AHEAD) {
                keys.prefetch(soon);
            }
            touch(1);
            entries.push((keys.position(entry), entry));
        }
        entries.extend_from_slice(&self.crowd()[self.crowd_range(position, word)]);
        entries
    }

    /// Empties a segment and its crowd.
    fn clear(&mut self, position: Position, word: Word) {
        let segment = word.segment().expect("a table's blocks are whole");
        segment.buckets().iter().for_each(|bucket| bucket.clear());
        self.segments[word.number as usize].len = 0;
        self.deadlines.clear(word.number as usize);
        let range = self.crowd_range(position, word);
        if let Some(oddments) = &mut self.oddments {
            oddments.crowd.drain(range);
        }
    }

    fn put_entries(&mut self, entries: &[(Position, EntryRef)], keys: &impl Keys) {
        for &(position, entry) in entries {
            if !self.try_insert(position, entry, keys) {
                self.insert_in_crowd(position, entry, keys);
            }
        }
    }
}

/// Whether these entries would all have room in the segment of `word`, which is empty before and
/// after.
fn fits(word: Word, entries: &[(Position, EntryRef)]) -> bool {
    let segment = word.segment().expect("a table's blocks are whole");
    let mut entries = entries.iter();
    let fits =
        entries.all(|&(position, entry)| segment.insert(word.spot(position), entry).is_some());
    // The trial leaves nothing behind; whoever wants the entries there puts them in again, noting
    // deadlines on the way.
    segment.buckets().iter().for_each(|bucket| bucket.clear());
    fits
}

fn block_bytes(order: u32) -> usize {
    64 << order
}
