//! The ground floor: memory, and tables that find entries in it. It knows bytes and positions, but
//! neither keys nor values.
//!
//! ```text
//! Table --(position)--> Segment -> Bucket --(EntryRef)--> Arena -> cell
//!   |                      |                                |
//!  Root                  Block                            Page
//!   (read without the lock by SharedTables)     (chunks of the process)
//! ```
//! All of the crate's `unsafe` is in here, and of these files only in [`stable`], [`pool`],
//! [`block`], [`bucket`] (vector instructions), [`arena`] and [`line`] (the prefetch instruction).
//! The others cannot break memory: [`arena`] and [`block`] check every reference they are given.

pub(crate) mod arena;
mod block;
mod bucket;
pub(crate) mod class;
pub(crate) mod deadlines;
pub(crate) mod entry_ref;
mod line;
mod pool;
pub(crate) mod position;
pub(crate) mod prefetch;
pub(crate) mod ranges;
pub(crate) mod root;
mod segment;
pub(crate) mod slab;
pub(crate) mod stable;
pub(crate) mod table;
pub(crate) mod touched;

/// Returns up to `bytes` of memory that no store of this process uses to the system, and says
/// whether there is more. Meant to be called again and again, in slices that nobody minds, by a
/// thread on which nobody waits.
pub fn release_memory(bytes: usize) -> bool {
    let pages = bytes.div_ceil(pool::PAGE_BYTES);
    let (trimmed, more) = pool::trim(pages);
    // Entry pages come first; what is left of the slice is for tables.
    block::trim((pages - trimmed) * pool::PAGE_BYTES) || more
}

/// Says, once, that memory should be [prepared](prepare_memory).
#[inline]
pub fn lacks_memory() -> bool {
    pool::is_lacking()
}

/// Bytes that [`prepare_memory`] prepares at most.
pub const PREPARED_BYTES: usize = pool::READY_BYTES;

/// Has the system provide memory that a store of this process will soon need, and says whether
/// there is more to prepare. It takes some milliseconds that would otherwise pass in a command.
/// Like [`release_memory`] it is for a thread on which nobody waits.
pub fn prepare_memory() -> bool {
    pool::prepare()
}
