//! Fetching into the cache, before the lock is taken, what a lookup will need.
//!
//! A lookup misses the cache twice, at the bucket and at the entry, one after the other. A batch of
//! lookups first fetches all buckets and then all entries, so that the misses overlap. This reads
//! only atomics in memory that stays what it is (see [`super::block`]). They may be out of date,
//! and then the wrong line is fetched. Entries themselves are not read.

use std::sync::{Arc, OnceLock};

use super::arena::PageDirectory;
use super::bucket::Bucket;
use super::entry_ref::EntryRef;
use super::line::{LINE, fetch};
use super::position::Position;
use super::root::{Root, Word};
use super::stable::StableVec;

/// The roots of a stripe's tables and the directory of its pages: the part of a stripe that is
/// readable without its lock.
pub(crate) struct SharedTables {
    roots: StableVec<OnceLock<Arc<Root>>, 16>,
    pages: Arc<PageDirectory>,
}

impl SharedTables {
    pub(crate) fn new(pages: &Arc<PageDirectory>) -> Self {
        Self {
            roots: StableVec::default(),
            pages: Arc::clone(pages),
        }
    }

    /// Adds the table with this number, and returns the root that it has to have: that of the
    /// table that had the number before.
    pub(crate) fn show(&self, table: usize, root: &Arc<Root>) -> Arc<Root> {
        let shown = self.roots.reach(table).get_or_init(|| Arc::clone(root));
        Arc::clone(shown)
    }

    /// First step: fetches the bucket at this position of a table, and the next one, where the
    /// entry may be as well.
    #[inline]
    pub(crate) fn prefetch_bucket(&self, table: usize, position: Position) -> Option<Lookup<'_>> {
        let word = self.word(table, position)?;
        let spot = word.spot(position);
        let (home, next) = word.segment()?.pair(spot);
        fetch(std::ptr::from_ref(home).cast());
        fetch(std::ptr::from_ref(next).cast());
        Some(Lookup {
            home,
            next,
            tag: spot.tag,
            pages: &self.pages,
        })
    }

    #[inline]
    fn word(&self, table: usize, position: Position) -> Option<Word> {
        let root = self.roots.get(table)?.get()?;
        root.word(position.prefix())
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
    /// Second step, when the bucket has arrived: fetches the entries that look as if they had this
    /// hash, nearly always one or none. What has gone to the stash of its segment is not worth the
    /// search.
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

impl std::fmt::Debug for Lookup<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup")
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SharedTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedTables").finish_non_exhaustive()
    }
}
