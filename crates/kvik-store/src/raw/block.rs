//! Blocks of buckets: what tables are made of.
//!
//! A block is 1, 2, 4 .. 64 buckets and named by four bytes. All blocks of the process lie in
//! chunks that hold nothing else, and a bucket is made of atomics; so whatever number is taken for
//! a reference, what it leads to is a bucket or nothing. That is what lets [`super::prefetch`]
//! follow references that may be out of date.
//!
//! Freed blocks are handed out again at their size; 64 buckets are one system page, and smaller
//! blocks are cut from one and never joined again, since tables small enough for them are many and
//! alike.

use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::bucket::Bucket;
use super::pool::{self, CHUNK_BYTES, lock};

/// Log2 of the buckets of the largest block.
pub(crate) const TOP_ORDER: u32 = 6;

const TOP_BYTES: usize = size_of::<Bucket>() << TOP_ORDER;
const CHUNK_BUCKETS: u32 = (CHUNK_BYTES / size_of::<Bucket>()) as u32;
const MAX_CHUNKS: usize = 1 << 16;

/// Chunks by number. The first stays null, so that a reference is never 0.
static CHUNKS: [AtomicPtr<Bucket>; MAX_CHUNKS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CHUNKS];

static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks {
    free: [const { Vec::new() }; TOP_ORDER as usize + 1],
    fresh: Vec::new(),
    chunks: 0,
});

/// Names a block: the number of its first bucket, counted over all chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRef(u32);

struct Blocks {
    /// Blocks given back, by order.
    free: [Vec<BlockRef>; TOP_ORDER as usize + 1],
    /// Largest blocks that are not resident.
    fresh: Vec<BlockRef>,
    chunks: usize,
}

impl BlockRef {
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// The `count` buckets from here on, or `None` if no chunk holds them all.
    #[inline]
    pub(crate) fn buckets(self, count: usize) -> Option<&'static [Bucket]> {
        let (chunk, at) = (self.0 / CHUNK_BUCKETS, self.0 % CHUNK_BUCKETS);
        let start = CHUNKS[chunk as usize % MAX_CHUNKS].load(Ordering::Acquire);
        if start.is_null() || at as usize + count > CHUNK_BUCKETS as usize {
            return None;
        }
        // SAFETY: the chunk holds `CHUNK_BUCKETS` buckets and stays for ever. They are made of
        // atomics, for which zeros are valid, and nothing ever accesses them otherwise.
        Some(unsafe { std::slice::from_raw_parts(start.add(at as usize), count) })
    }
}

/// A block of `1 << order` empty buckets.
pub(crate) fn take(order: u32) -> BlockRef {
    let block = lock(&BLOCKS).take(order);
    let buckets = block.buckets(1 << order).expect("blocks lie in chunks");
    buckets.iter().for_each(Bucket::clear);
    block
}

pub(crate) fn give(block: BlockRef, order: u32) {
    lock(&BLOCKS).free[order as usize].push(block);
}

/// Returns up to `bytes` of free blocks to the system and says whether there are more.
pub(crate) fn trim(bytes: usize) -> bool {
    let mut blocks = lock(&BLOCKS);
    let free = &mut blocks.free[TOP_ORDER as usize];
    let keep = free.len().saturating_sub(bytes / TOP_BYTES);
    let trimmed = free.split_off(keep);
    drop(blocks);
    for block in &trimmed {
        let buckets = block.buckets(1 << TOP_ORDER).expect("blocks lie in chunks");
        // SAFETY: the largest blocks are whole system pages of a chunk, and this one is on no list.
        // Who still reads it without a lock reads zeros from then on.
        unsafe { pool::forget_contents(NonNull::from(&buckets[0]).cast(), TOP_BYTES) };
    }
    lock(&BLOCKS).fresh.extend(trimmed);
    keep > 0
}

impl Blocks {
    fn take(&mut self, order: u32) -> BlockRef {
        if let Some(block) = self.free[order as usize].pop() {
            return block;
        }
        if order == TOP_ORDER {
            return self.take_fresh();
        }
        let whole = self.take(TOP_ORDER);
        let pieces = (whole.0..whole.0 + (1 << TOP_ORDER)).step_by(1 << order);
        self.free[order as usize].extend(pieces.rev().map(BlockRef));
        self.take(order)
    }

    fn take_fresh(&mut self) -> BlockRef {
        if self.fresh.is_empty() {
            self.add_chunk();
        }
        self.fresh.pop().expect("a chunk was added")
    }

    fn add_chunk(&mut self) {
        self.chunks += 1;
        assert!(self.chunks < MAX_CHUNKS, "128 GiB of tables in one process");
        CHUNKS[self.chunks].store(pool::chunk().as_ptr().cast(), Ordering::Release);
        let first = self.chunks as u32 * CHUNK_BUCKETS;
        let blocks = (first..first + CHUNK_BUCKETS).step_by(1 << TOP_ORDER);
        self.fresh.extend(blocks.rev().map(BlockRef));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_leads_to_buckets_or_to_nothing() {
        let block = take(0);
        assert_eq!(block.buckets(1).map(<[_]>::len), Some(1));
        assert!(BlockRef::from_bits(0).buckets(1).is_none());
        assert!(BlockRef::from_bits(u32::MAX).buckets(2).is_none());
        give(block, 0);
    }

    #[test]
    fn small_blocks_share_a_system_page() {
        let blocks: Vec<_> = (0..64).map(|_| take(0)).collect();
        let mut bits: Vec<_> = blocks.iter().map(|block| block.bits()).collect();
        bits.sort_unstable();
        bits.dedup();
        assert_eq!(bits.len(), 64);
        blocks.into_iter().for_each(|block| give(block, 0));
    }
}
