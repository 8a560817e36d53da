//! Fetching into the cache, before the lock is taken, what a command will need.
//!
//! A lookup misses the cache twice, at the bucket and at the entry, one after the other. Who has a batch of keys asks for
//! all their buckets first and then for all their entries, and the misses overlap. What is read here is atomics in memory
//! that stays what it is (see [`super::block`]); it may be out of date, and then the wrong line is fetched. Entries
//! themselves are not read.

use std::sync::{Arc, OnceLock};

use super::arena::{EntryRef, PageDirectory};
use super::bucket::Bucket;
use super::root::{Root, Word, prefix};
use super::stable::StableVec;
use crate::keyspace::KeyspaceId;
use crate::layout::Layout;

/// A line of the cache.
pub(super) const LINE: usize = 64;

/// What of a stripe can be read without its lock.
pub(crate) struct Shared {
    roots: StableVec<OnceLock<Arc<Root>>, 16>,
    pages: Arc<PageDirectory>,
}

/// Fetches what lookups in one stripe will need, without its lock. Made by [`crate::Stripe::view`] and valid however
/// long it is kept.
#[derive(Clone)]
pub struct StripeView(Arc<Shared>);

impl Shared {
    pub(crate) fn new(pages: &Arc<PageDirectory>) -> Self {
        Self {
            roots: StableVec::default(),
            pages: Arc::clone(pages),
        }
    }

    /// Shows a keyspace's table.
    pub(crate) fn show(&self, keyspace: usize, root: &Arc<Root>) {
        self.roots.reach(keyspace).get_or_init(|| Arc::clone(root));
    }

    #[inline]
    fn word(&self, keyspace: KeyspaceId, hash: u64) -> Option<Word> {
        let root = self.roots.get(keyspace.0 as usize)?.get()?;
        root.word(prefix(hash))
    }
}

impl StripeView {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// First step: fetches the bucket of the key with this hash, and the next one, where the key may be as well.
    #[inline]
    pub fn prefetch_bucket(
        &self,
        layout: &Layout,
        keyspace: KeyspaceId,
        hash: u64,
    ) -> Option<Lookup<'_>> {
        let hash = layout.position_of(hash);
        let word = self.0.word(keyspace, hash)?;
        let spot = word.spot(hash);
        let (home, next) = word.segment()?.pair(spot);
        fetch(std::ptr::from_ref(home).cast());
        fetch(std::ptr::from_ref(next).cast());
        Some(Lookup {
            home,
            next,
            tag: spot.tag,
            pages: &self.0.pages,
        })
    }
}

/// A lookup whose bucket is being fetched.
#[derive(Clone, Copy)]
pub struct Lookup<'a> {
    home: &'static Bucket,
    next: &'static Bucket,
    tag: u8,
    pages: &'a PageDirectory,
}

impl Lookup<'_> {
    /// Second step, when the bucket has arrived: fetches the entries that look as if they had this hash, nearly always
    /// one or none. What has gone to the stash of its segment is not worth the search.
    #[inline]
    pub fn prefetch_entry(&self) {
        self.prefetch_entries_of(self.home);
        if self.home.spilled() > 0 {
            self.prefetch_entries_of(self.next);
        }
    }

    #[inline]
    fn prefetch_entries_of(&self, bucket: &Bucket) {
        for entry in bucket.tagged(self.tag).filter_map(|lane| bucket.get(lane)) {
            self.pages.prefetch(entry);
        }
    }
}

impl PageDirectory {
    /// Fetches the start of an entry: as a rule its head, its key and a short value.
    #[inline]
    pub(crate) fn prefetch(&self, entry: EntryRef) {
        if let Some(start) = self.address(entry) {
            fetch(start);
            fetch(start.wrapping_add(LINE - 1));
        }
    }
}

/// Fetches a line for reading. Any address will do.
#[inline]
pub(super) fn fetch(line: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: prefetching accesses nothing as far as the program can tell, whatever the address; every x86-64 processor
    // has the instruction.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(line.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above; the instruction changes no register or flag.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) line, options(nostack, readonly, preserves_flags));
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    let _ = line;
}

impl std::fmt::Debug for Lookup<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup")
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StripeView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StripeView").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
