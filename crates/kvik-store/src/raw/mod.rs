//! The memory of the store: tables, entries and where both come from.
//!
//! ```text
//! keyspace -> Table --(hash)--> Segment -> Bucket --(reference)--> Arena -> Entry
//!               |                  |                                 |
//!             Root               Block                              Page
//!               (read without the lock by StripeView)     (chunks of the process)
//! ```
//! All of the crate's `unsafe` is in here, and of these files only in [`stable`], [`pool`], [`block`], [`bucket`] (vector
//! instructions), [`arena`] and [`prefetch`] (the instruction for it). The others cannot break memory: [`arena`] and [`block`]
//! check every reference they are given.

pub(crate) mod arena;
pub(crate) mod block;
mod bucket;
pub(crate) mod cells;
mod class;
pub(crate) mod deadlines;
pub(crate) mod heap;
mod packed;
pub(crate) mod pool;
pub(crate) mod prefetch;
pub(crate) mod record;
pub(crate) mod root;
mod segment;
mod slab;
mod stable;
pub(crate) mod table;

/// Returns up to `bytes` of memory that no store of this process uses to the system, and says whether there is more.
/// Meant to be called again and again, in slices that nobody minds, by a thread on which nobody waits.
pub fn release_memory(bytes: usize) -> bool {
    pool::trim(bytes.div_ceil(pool::PAGE_BYTES))
}

/// Says, once, that memory should be [prepared](prepare_memory).
#[inline]
pub fn lacks_memory() -> bool {
    pool::is_lacking()
}

/// Has the system provide memory that a store of this process will soon need, and says whether there is more to prepare. It
/// takes some milliseconds that would else pass in a command; otherwise as [`release_memory`].
pub fn prepare_memory() -> bool {
    pool::prepare()
}

#[cfg(test)]
mod tests;
