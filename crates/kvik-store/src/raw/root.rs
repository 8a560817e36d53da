//! The part of a table that can be read without its stripe's lock: which segment holds which
//! hashes.
//!
//! The directory is indexed by the leading bits of the hash. It doubles by being written out anew,
//! beside the old one, which stays for those who still read it and for the table that has shrunk:
//! together 16 bytes for a segment of 4 KiB.
//!
//! A word names a segment: its block, its number in the table, how many leading bits of the hash
//! its keys have in common and how large the block is.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::block::BlockRef;
use super::position::{Position, Prefix};
use super::segment::{Segment, Spot};

/// Most leading bits of the hash that a directory goes by.
pub(crate) const MAX_DEPTH: u32 = 22;

/// The directory of a table: from leading bits of the hash to segments.
#[derive(Default)]
pub(crate) struct Root {
    /// Leading bits of the hash that the directory goes by; at 0 there is one segment, or none.
    bits: AtomicU32,
    first: AtomicU64,
    directories: OnceLock<Box<Directories>>,
}

/// A directory for each number of leading bits that the table has gone by.
#[derive(Default)]
struct Directories([OnceLock<Arc<[AtomicU64]>>; MAX_DEPTH as usize + 1]);

/// A root's directory as its table keeps it at hand: from the root it would be three steps away.
#[derive(Debug)]
pub(crate) struct Directory {
    words: Arc<[AtomicU64]>,
    bits: u32,
}

impl Directory {
    /// The segment that holds hashes with this prefix.
    #[inline]
    pub(crate) fn word(&self, prefix: Prefix) -> Option<Word> {
        let word = self.words.get(index(prefix, self.bits))?;
        Word::unpack(word.load(Ordering::Relaxed))
    }
}

/// Names a segment. Any 64 bits are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) block: BlockRef,
    pub(crate) number: u32,
    pub(crate) depth: u32,
    pub(crate) order: u32,
}

impl Word {
    #[inline]
    pub(crate) fn segment(self) -> Option<Segment> {
        self.block.buckets(1 << self.order).map(Segment::new)
    }

    /// A position as this segment uses it.
    #[inline]
    pub(crate) fn spot(self, position: Position) -> Spot {
        Spot {
            fraction: u64::from(position.prefix().0).wrapping_shl(self.depth) as u32,
            tag: position.tag(),
        }
    }

    /// The word, if there is one.
    #[inline]
    fn unpack(bits: u64) -> Option<Self> {
        (bits != 0).then(|| Self {
            block: BlockRef::from_bits(bits as u32),
            number: (bits >> 32) as u32 & 0xFF_FFFF,
            depth: (bits >> 56) as u32 & 0x1F,
            order: (bits >> 61) as u32,
        })
    }

    fn pack(self) -> u64 {
        u64::from(self.block.bits())
            | u64::from(self.number) << 32
            | u64::from(self.depth) << 56
            | u64::from(self.order) << 61
    }
}

impl Root {
    /// The segment that holds hashes with this prefix, if there is any.
    #[inline]
    pub(crate) fn word(&self, prefix: Prefix) -> Option<Word> {
        let bits = self.bits.load(Ordering::Relaxed);
        let word = if bits == 0 {
            self.first.load(Ordering::Relaxed)
        } else {
            let directory = self.directories.get()?.0.get(bits as usize)?.get()?;
            directory.get(index(prefix, bits))?.load(Ordering::Relaxed)
        };
        Word::unpack(word)
    }

    /// The directory as it is now, for the table that owns it; none while there is one segment, or
    /// none.
    pub(crate) fn current(&self) -> Option<Directory> {
        let bits = self.bits();
        (bits > 0).then(|| Directory {
            words: Arc::clone(self.directory(bits)),
            bits,
        })
    }

    pub(crate) fn bits(&self) -> u32 {
        self.bits.load(Ordering::Relaxed)
    }

    /// Bytes of the directory and of those it has grown out of.
    pub(crate) fn bytes(&self) -> usize {
        match self.bits() {
            0 => 0,
            bits => (2 * size_of::<AtomicU64>()) << bits,
        }
    }

    /// Lets the segment hold all hashes that begin as `prefix` does.
    pub(crate) fn publish(&self, prefix: Prefix, word: Word) {
        let bits = self.bits();
        if bits == 0 {
            self.first.store(word.pack(), Ordering::Relaxed);
            return;
        }
        let count = 1 << (bits - word.depth);
        let start = index(prefix, bits) / count * count;
        for place in &self.directory(bits)[start..start + count] {
            place.store(word.pack(), Ordering::Relaxed);
        }
    }

    /// Lets the directory go by one bit more.
    pub(crate) fn double(&self) {
        let bits = self.bits();
        let old = match bits {
            0 => std::slice::from_ref(&self.first),
            _ => self.directory(bits),
        };
        for (pair, word) in self.directory(bits + 1).chunks_exact(2).zip(old) {
            let word = word.load(Ordering::Relaxed);
            pair.iter()
                .for_each(|place| place.store(word, Ordering::Relaxed));
        }
        self.bits.store(bits + 1, Ordering::Release);
    }

    /// Keeps one segment only, or none.
    pub(crate) fn reset(&self, word: Option<Word>) {
        let word = word.map_or(0, Word::pack);
        self.first.store(word, Ordering::Relaxed);
        self.bits.store(0, Ordering::Relaxed);
    }

    /// Exchanges what two roots lead to.
    pub(crate) fn swap(&self, other: &Self) {
        let (ours, theirs) = (self.bits(), other.bits());
        self.swap_directory(other, ours);
        if theirs != ours {
            self.swap_directory(other, theirs);
        }
        exchange(&self.first, &other.first);
        self.bits.store(theirs, Ordering::Relaxed);
        other.bits.store(ours, Ordering::Relaxed);
    }

    fn swap_directory(&self, other: &Self, bits: u32) {
        if bits > 0 {
            let places = self.directory(bits).iter().zip(&**other.directory(bits));
            places.for_each(|(ours, theirs)| exchange(ours, theirs));
        }
    }

    fn directory(&self, bits: u32) -> &Arc<[AtomicU64]> {
        let directories = self.directories.get_or_init(Box::default);
        directories.0[bits as usize]
            .get_or_init(|| (0..1 << bits).map(|_| AtomicU64::new(0)).collect())
    }
}

/// The place of a prefix in the directory for so many bits, which are at least one.
#[inline]
fn index(prefix: Prefix, bits: u32) -> usize {
    (prefix.0 >> (32 - bits)) as usize
}

fn exchange(a: &AtomicU64, b: &AtomicU64) {
    a.store(
        b.swap(a.load(Ordering::Relaxed), Ordering::Relaxed),
        Ordering::Relaxed,
    );
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Root")
            .field("bits", &self.bits())
            .finish_non_exhaustive()
    }
}
