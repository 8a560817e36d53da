//! A stripe: its part of every keyspace, their entries, and who watches keys in it.

mod compaction;
mod imaging;
mod namespaces;
mod prefetch;

use std::sync::Arc;

use self::compaction::Compacting;
use self::namespaces::StripeNamespaces;
use crate::UnixMs;
use crate::garbage::Garbage;
use crate::heap::Heap;
use crate::keyspace::{Keyspace, KeyspaceMut, KeyspaceRef};
use crate::layout::Layout;
use crate::namespace::TableId;
use crate::raw::prefetch::SharedTables;
use crate::raw::table::Detached;
use crate::watch::Watches;

pub use self::prefetch::StripeView;

/// One stripe of the store. Opaque: all access is through a [`crate::Guard`].
#[derive(Debug)]
pub struct Stripe {
    /// By number; boxed, since most of many namespaces have no key in most stripes.
    keyspaces: Vec<Option<Box<Keyspace>>>,
    namespaces: StripeNamespaces,
    pub(crate) heap: Heap,
    shared: Arc<SharedTables>,
    /// Entries of emptied keyspaces that are still to be freed.
    detached: Vec<Detached>,
    /// Contents of emptied keyspaces that an image still lacks.
    #[expect(clippy::vec_box, reason = "walked together with the boxed keyspaces")]
    kept: Vec<Box<Keyspace>>,
    compacting: Option<Compacting>,
    pub(crate) watches: Watches,
    next_due: Due,
}

/// When a stripe's first key expires, at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due(pub UnixMs);

impl Due {
    /// No key of the stripe expires.
    pub const NEVER: Self = Self(UnixMs::MAX);
}

impl Default for Due {
    fn default() -> Self {
        Self::NEVER
    }
}

impl Stripe {
    /// An empty stripe.
    pub fn new() -> Self {
        Self::default()
    }

    /// A time before which no key of this stripe expires. It may be early, never late.
    pub fn next_due(&self) -> Due {
        self.next_due
    }

    /// Bytes that the stripe's keys and tables occupy.
    pub fn bytes(&self) -> usize {
        let databases = self.databases().map(Keyspace::bytes);
        databases.sum::<usize>() + self.namespaces.bytes()
    }

    /// Bytes that the stripe keeps from the system: [`Self::bytes`], what [`Self::reclaim`] has yet
    /// to free, and free room between entries.
    pub fn resident_bytes(&self) -> usize {
        let kept = self.kept.iter().map(|keyspace| &**keyspace);
        let tables = self.present().chain(kept).map(|it| it.table.bytes());
        self.heap.resident_bytes() + tables.sum::<usize>()
    }

    /// What can be read of the stripe without its lock, to fetch keys into the cache.
    pub fn view(&self) -> StripeView {
        StripeView::new(&self.shared)
    }

    /// Frees up to about `max` entries of keyspaces that were emptied and says whether there are
    /// more. Flushing leaves them, so that it takes the same short time whatever the number of
    /// keys; call this again and again, giving the stripe back in between.
    pub fn reclaim(&mut self, max: usize) -> bool {
        self.drop_emptied();
        let (detached, heap) = (&mut self.detached, &mut self.heap);
        // Collections first: freeing the entries of a keyspace adds to them.
        if heap.reclaim(max) {
            return true;
        }
        let Some(last) = detached.last_mut() else {
            return false;
        };
        if !last.drain(max, |entry| heap.free(entry)) {
            detached.pop();
        }
        !detached.is_empty() || heap.has_doomed()
    }

    /// Discards copies of large collections ([`Guard::prepare_copy`](crate::Guard::prepare_copy))
    /// with which nobody has gone on for a second. To be called about as often.
    pub fn drop_copies(&mut self, now: UnixMs) {
        self.heap.discard_abandoned(now);
    }

    /// Large buffers whose keys are gone, to be dropped when the stripe is not locked, and the word
    /// that there is something to [reclaim](Self::reclaim).
    #[inline]
    pub fn take_garbage(&mut self) -> Option<Garbage> {
        if self.heap.cells.dropped.is_empty() && !self.heap.has_doomed() {
            return None;
        }
        Some(Garbage::new(std::mem::take(&mut self.heap.cells.dropped)))
    }

    #[inline]
    pub(crate) fn keyspace(&self, table: TableId) -> Option<KeyspaceRef<'_>> {
        let keyspace = self.keyspaces.get(table.index())?.as_deref()?;
        let heap = &self.heap;
        Some(KeyspaceRef { keyspace, heap })
    }

    #[inline]
    pub(crate) fn keyspace_mut<'a>(
        &'a mut self,
        table: TableId,
        layout: &'a Layout,
    ) -> KeyspaceMut<'a> {
        self.reach_keyspace(table, layout);
        self.present_mut(table, layout).expect("added above")
    }

    /// Makes a keyspace of a database that has had no keys here.
    #[inline]
    fn reach_keyspace(&mut self, table: TableId, layout: &Layout) {
        if !matches!(self.keyspaces.get(table.index()), Some(Some(_))) {
            self.add_database(table, layout);
        }
    }

    /// A keyspace that has had keys here.
    #[inline]
    pub(crate) fn present_mut<'a>(
        &'a mut self,
        table: TableId,
        layout: &'a Layout,
    ) -> Option<KeyspaceMut<'a>> {
        let keyspace = self.keyspaces.get_mut(table.index())?.as_deref_mut()?;
        Some(KeyspaceMut {
            keyspace,
            heap: &mut self.heap,
            layout,
        })
    }

    /// One more than the highest number of a keyspace here.
    pub(crate) fn table_count(&self) -> u32 {
        self.keyspaces.len() as u32
    }

    /// Empties a keyspace, whatever its size in next to no time.
    pub(crate) fn flush(&mut self, table: TableId, layout: &Layout) {
        let keyspace = self.keyspaces.get_mut(table.index());
        if let Some(Some(keyspace)) = keyspace
            && keyspace.bytes() > 0
        {
            if !Self::keep_for_image(&mut self.kept, keyspace) {
                let detached = keyspace.detach();
                self.detached.push(detached);
            }
            self.publish(table, layout);
        }
    }

    /// Exchanges the contents of two keyspaces.
    pub(crate) fn swap(&mut self, a: TableId, b: TableId, layout: &Layout) {
        self.reach_keyspace(a, layout);
        self.reach_keyspace(b, layout);
        if let Ok([Some(left), Some(right)]) =
            self.keyspaces.get_disjoint_mut([a.index(), b.index()])
        {
            left.swap(right);
        }
        self.publish(a, layout);
        self.publish(b, layout);
    }

    /// Notes that some key now expires at `at`.
    pub(crate) fn lower_due(&mut self, at: UnixMs) {
        self.next_due = self.next_due.min(Due(at));
    }

    /// Looks up the first deadline anew.
    pub(crate) fn refresh_due(&mut self) {
        let first = self.databases().map(Keyspace::next_due);
        let first = first.chain(self.namespaces.next_due()).min();
        self.next_due = first.map_or(Due::NEVER, Due);
    }

    fn present(&self) -> impl Iterator<Item = &Keyspace> {
        self.keyspaces.iter().flatten().map(|keyspace| &**keyspace)
    }

    /// The keyspaces that are no named namespace's.
    fn databases(&self) -> impl Iterator<Item = &Keyspace> {
        let first = self.namespaces.first_table().index();
        self.present_before(first)
    }

    fn present_before(&self, end: usize) -> impl Iterator<Item = &Keyspace> {
        let keyspaces = self.keyspaces.iter().take(end);
        keyspaces.flatten().map(|keyspace| &**keyspace)
    }

    #[cold]
    fn add_database(&mut self, table: TableId, layout: &Layout) {
        let mut keyspace = Box::<Keyspace>::default();
        if let Some(all) = layout.namespaces() {
            debug_assert!(
                table.0 < all.first_table(),
                "a namespace is added by its name"
            );
            keyspace.namespace = Some(all.reach_default(table));
        }
        self.add_keyspace(table, keyspace, layout);
    }

    fn add_keyspace(&mut self, table: TableId, mut keyspace: Box<Keyspace>, layout: &Layout) {
        if let Some(all) = layout.namespaces() {
            self.namespaces.begin(all.first_table());
        }
        let root = self.shared.show(table.index(), keyspace.table.root());
        keyspace.table.begin_at(root);
        let index = table.index();
        if index >= self.keyspaces.len() {
            self.keyspaces.resize_with(index + 1, || None);
        }
        self.keyspaces[index] = Some(keyspace);
    }
}

impl Default for Stripe {
    fn default() -> Self {
        let heap = Heap::new();
        Self {
            keyspaces: Vec::new(),
            namespaces: StripeNamespaces::default(),
            shared: Arc::new(SharedTables::new(heap.cells.arena.directory())),
            heap,
            detached: Vec::new(),
            kept: Vec::new(),
            compacting: None,
            watches: Watches::default(),
            next_due: Due::NEVER,
        }
    }
}

#[cfg(test)]
mod tests;
