//! A bucket: one cache line with up to twelve references, found by one byte of their keys' hashes.
//!
//! ```text
//! 12 tags, 0 = free | 4 bytes of notes | 12 references of 4 bytes
//! ```
//! The notes say which of the lanes belong to the bucket before ("foreign"), and how many keys that
//! belong here are in the bucket behind ("spilled") and in the segment's stash ("stashed"), so that
//! a lookup that fails ends at one line.
//!
//! Every field is an atomic that is accessed relaxed, which costs nothing and makes it sound to
//! look at a bucket without the lock of its stripe. There is one writer, who has that lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::entry_ref::EntryRef;

pub(crate) const LANES: usize = 12;

/// One cache line of a table: 12 tags and the 12 references they stand for.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Bucket {
    /// Tags 0..8; tags 8..12 and the notes above them.
    head: [AtomicU64; 2],
    refs: [AtomicU32; LANES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// A set of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lanes(u16);

const ALL: u16 = (1 << LANES) - 1;
const SPILLED_AT: u32 = 44;
const STASHED_AT: u32 = 48;
const FOREIGN_AT: u32 = 32;

impl Bucket {
    pub(crate) fn clear(&self) {
        self.head.iter().for_each(|word| word.store(0, Relaxed));
        self.refs.iter().for_each(|word| word.store(0, Relaxed));
    }

    /// Lanes with this tag.
    #[inline]
    pub(crate) fn tagged(&self, tag: u8) -> Lanes {
        let [low, high] = self.words();
        Lanes(equal_bytes(low, high, tag) & ALL)
    }

    #[inline]
    pub(crate) fn free(&self) -> Lanes {
        self.tagged(0)
    }

    pub(crate) fn taken(&self) -> Lanes {
        Lanes(!self.free().0 & ALL)
    }

    /// Lanes whose keys belong to the bucket before.
    #[inline]
    pub(crate) fn foreign(&self) -> Lanes {
        Lanes((self.words()[1] >> FOREIGN_AT) as u16 & ALL)
    }

    /// Number of this bucket's keys that are in the bucket behind.
    #[inline]
    pub(crate) fn spilled(&self) -> u32 {
        (self.words()[1] >> SPILLED_AT) as u32 & 0xF
    }

    /// Number of this bucket's keys that are in the stash.
    #[inline]
    pub(crate) fn stashed(&self) -> u32 {
        (self.words()[1] >> STASHED_AT) as u32 & 0xFF
    }

    pub(crate) fn add_spilled(&self, by: i64) {
        self.add(by << SPILLED_AT);
    }

    pub(crate) fn add_stashed(&self, by: i64) {
        self.add(by << STASHED_AT);
    }

    #[inline]
    pub(crate) fn get(&self, lane: usize) -> Option<EntryRef> {
        EntryRef::from_bits(self.refs[lane].load(Relaxed))
    }

    pub(crate) fn tag(&self, lane: usize) -> u8 {
        (self.words()[lane / 8] >> (lane % 8 * 8)) as u8
    }

    /// Takes a free lane.
    pub(crate) fn put(&self, lane: usize, tag: u8, entry: EntryRef, foreign: bool) {
        self.replace(lane, entry);
        self.set_tag(lane, tag);
        if foreign {
            self.add(1 << (FOREIGN_AT as usize + lane));
        }
    }

    /// Lets a taken lane lead elsewhere.
    pub(crate) fn replace(&self, lane: usize, entry: EntryRef) {
        self.refs[lane].store(entry.bits(), Relaxed);
    }

    /// Frees a taken lane.
    pub(crate) fn remove(&self, lane: usize) {
        self.set_tag(lane, 0);
        self.refs[lane].store(0, Relaxed);
        let high = self.head[1].load(Relaxed);
        self.head[1].store(high & !(1 << (FOREIGN_AT as usize + lane)), Relaxed);
    }

    #[inline]
    fn words(&self) -> [u64; 2] {
        [self.head[0].load(Relaxed), self.head[1].load(Relaxed)]
    }

    fn set_tag(&self, lane: usize, tag: u8) {
        let (word, shift) = (&self.head[lane / 8], lane % 8 * 8);
        let others = word.load(Relaxed) & !(0xFF << shift);
        word.store(others | u64::from(tag) << shift, Relaxed);
    }

    fn add(&self, to_notes: i64) {
        let high = self.head[1].load(Relaxed);
        self.head[1].store(high.wrapping_add_signed(to_notes), Relaxed);
    }
}

impl Lanes {
    #[inline]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[inline]
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[cfg(test)]
    pub(crate) fn len(self) -> u32 {
        self.0.count_ones()
    }

    #[inline]
    pub(crate) fn first(self) -> Option<usize> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize)
    }
}

impl Iterator for Lanes {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let lane = self.first()?;
        self.0 &= self.0 - 1;
        Some(lane)
    }
}

/// Bit `i` is set when byte `i` of the two words equals `byte`.
#[cfg(target_arch = "x86_64")]
#[inline]
fn equal_bytes(low: u64, high: u64, byte: u8) -> u16 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    // SAFETY: every x86-64 processor has SSE2.
    unsafe {
        let bytes = _mm_set_epi64x(high as i64, low as i64);
        _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte as i8))) as u16
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn equal_bytes(low: u64, high: u64, byte: u8) -> u16 {
    equal_bytes_portable(low, high, byte)
}

/// The same without vector instructions.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn equal_bytes_portable(low: u64, high: u64, byte: u8) -> u16 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let of = |word: u64| {
        let differs = word ^ (ONES * u64::from(byte));
        // The top bit of each byte, set when the byte is zero; adding 0x7F per byte cannot carry
        // into the next one.
        let zero = !(((differs & (ONES * 0x7F)) + ONES * 0x7F) | differs | (ONES * 0x7F));
        // Gathers the eight bits in the top byte.
        ((zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u16
    };
    of(low) | of(high) << 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_compare_alike_with_and_without_vectors(bytes: [u8; 16], few in any::<bool>(), byte: u8) {
            let bytes = bytes.map(|b| if few { b % 3 } else { b });
            let byte = if few { byte % 3 } else { byte };
            let expected = (0..16).filter(|&i| bytes[i] == byte).fold(0u16, |mask, i| mask | 1 << i);
            let word = |half: usize| u64::from_le_bytes(bytes[half * 8..half * 8 + 8].try_into().unwrap());
            prop_assert_eq!(equal_bytes(word(0), word(1), byte), expected);
            prop_assert_eq!(equal_bytes_portable(word(0), word(1), byte), expected);
        }
    }

    #[test]
    fn lanes_and_notes_do_not_disturb_each_other() {
        let bucket = Bucket {
            head: [const { AtomicU64::new(0) }; 2],
            refs: [const { AtomicU32::new(0) }; LANES],
        };
        let entry = EntryRef::from_bits(77).unwrap();
        for lane in 0..LANES {
            bucket.put(lane, 0xFF, entry, lane % 2 == 0);
        }
        bucket.add_spilled(12);
        bucket.add_stashed(48);
        bucket.add_spilled(-1);
        assert_eq!((bucket.spilled(), bucket.stashed()), (11, 48));
        assert_eq!((bucket.foreign().len(), bucket.free().len()), (6, 0));
        (0..LANES).for_each(|lane| bucket.remove(lane));
        assert_eq!((bucket.spilled(), bucket.stashed()), (11, 48));
        assert_eq!((bucket.foreign().len(), bucket.free().len()), (0, 12));
    }
}
