//! A stripe: its part of every keyspace, their entries, and who watches keys in it.

use std::sync::Arc;

use crate::UnixMs;
use crate::keyspace::{Garbage, Keyspace, KeyspaceId, KeyspaceMut, KeyspaceRef};
use crate::raw::heap::Heap;
use crate::raw::prefetch::{Shared, StripeView};
use crate::raw::table::Detached;
use crate::watch::Watches;

/// Free bytes of entries' memory below which compacting is not worth it, and the part of it they have to be.
const SLACK_BYTES: usize = 1 << 20;
const SLACK_PART: usize = 4;

/// One stripe of the store. Opaque: all access is through a [`crate::Guard`].
#[derive(Debug)]
pub struct Stripe {
    /// By number; boxed, since most of many namespaces have no key in most stripes.
    keyspaces: Vec<Option<Box<Keyspace>>>,
    pub(crate) heap: Heap,
    shared: Arc<Shared>,
    /// Entries of emptied keyspaces that are still to be freed.
    detached: Vec<Detached>,
    compacting: Option<Compacting>,
    pub(crate) watches: Watches,
    next_due: Due,
}

/// Where compaction goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Compacting {
    /// At a segment of a keyspace.
    Keys(usize, usize),
    /// At a part of a collection.
    Members(u32, usize),
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
        self.present().map(Keyspace::bytes).sum()
    }

    /// Bytes that the stripe keeps from the system: [`Self::bytes`], what [`Self::reclaim`] has yet to free, and free room
    /// between entries.
    pub fn resident_bytes(&self) -> usize {
        let tables = self.present().map(|keyspace| keyspace.table.bytes());
        self.heap.resident_bytes() + tables.sum::<usize>()
    }

    /// What can be read of the stripe without its lock, to fetch keys into the cache.
    pub fn view(&self) -> StripeView {
        StripeView::new(&self.shared)
    }

    /// Frees up to about `max` entries of keyspaces that were emptied and says whether there are more. Flushing leaves
    /// them, so that it takes the same short time whatever the number of keys; call this again and again, giving the
    /// stripe back in between.
    pub fn reclaim(&mut self, max: usize) -> bool {
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

    /// Discards copies of large collections ([`Guard::prepare_copy`](crate::Guard::prepare_copy)) with which nobody has gone on
    /// for a second. To be called about as often.
    pub fn drop_copies(&mut self, now: UnixMs) {
        self.heap.discard_left(now);
    }

    /// Moves entries out of sparse pages, those of `segments` table segments at most (up to 768 entries each), and says
    /// whether there is more to do. Returns at once when little would be won.
    pub fn compact(&mut self, segments: usize) -> bool {
        let Some(mut place) = self.compacting.or_else(|| self.begin_compaction()) else {
            return false;
        };
        for _ in 0..segments {
            let Some(next) = self.compact_part(place) else {
                self.heap.cells.arena.end_compaction();
                self.compacting = None;
                return false;
            };
            place = next;
        }
        self.compacting = Some(place);
        true
    }

    /// Large buffers whose keys are gone, to be dropped when the stripe is not locked, and the word that there is something
    /// to [reclaim](Self::reclaim).
    #[inline]
    pub fn take_garbage(&mut self) -> Option<Garbage> {
        if self.heap.cells.dropped.is_empty() && !self.heap.has_doomed() {
            return None;
        }
        Some(Garbage::new(std::mem::take(&mut self.heap.cells.dropped)))
    }

    fn compact_part(&mut self, place: Compacting) -> Option<Compacting> {
        let heap = &mut self.heap;
        match place {
            Compacting::Keys(index, segment) => {
                let Some(keyspace) = self.keyspaces.get_mut(index) else {
                    return Some(Compacting::Members(0, 0));
                };
                let more = keyspace.as_mut().is_some_and(|keyspace| {
                    let relocate = |entry| heap.cells.arena.relocate(entry);
                    keyspace.table.replace_in_segment(segment, relocate)
                });
                Some(if more {
                    Compacting::Keys(index, segment + 1)
                } else {
                    Compacting::Keys(index + 1, 0)
                })
            }
            Compacting::Members(object, part) => heap.compact(object, part),
        }
    }

    #[inline]
    pub(crate) fn keyspace(&self, id: KeyspaceId) -> Option<KeyspaceRef<'_>> {
        let keyspace = self.keyspaces.get(id.0 as usize)?.as_deref()?;
        let heap = &self.heap;
        Some(KeyspaceRef { keyspace, heap })
    }

    #[inline]
    pub(crate) fn keyspace_mut(&mut self, id: KeyspaceId) -> KeyspaceMut<'_> {
        let index = id.0 as usize;
        if !matches!(self.keyspaces.get(index), Some(Some(_))) {
            self.add_keyspace(index);
        }
        let keyspace = self.keyspaces[index].as_deref_mut();
        KeyspaceMut {
            keyspace: keyspace.expect("added above"),
            heap: &mut self.heap,
        }
    }

    /// A keyspace that has had keys here.
    #[inline]
    pub(crate) fn present_mut(&mut self, id: KeyspaceId) -> Option<KeyspaceMut<'_>> {
        let keyspace = self.keyspaces.get_mut(id.0 as usize)?.as_deref_mut()?;
        let heap = &mut self.heap;
        Some(KeyspaceMut { keyspace, heap })
    }

    pub(crate) fn keyspace_count(&self) -> usize {
        self.keyspaces.len()
    }

    /// Empties a keyspace, whatever its size in next to no time.
    pub(crate) fn flush(&mut self, id: KeyspaceId) {
        let keyspace = self.keyspace_mut(id).keyspace;
        if keyspace.bytes() > 0 {
            let detached = keyspace.detach();
            self.detached.push(detached);
        }
    }

    /// Exchanges the contents of two keyspaces.
    pub(crate) fn swap(&mut self, a: KeyspaceId, b: KeyspaceId) {
        self.keyspace_mut(a);
        self.keyspace_mut(b);
        if let Ok([Some(a), Some(b)]) = self
            .keyspaces
            .get_disjoint_mut([a.0 as usize, b.0 as usize])
        {
            a.swap(b);
        }
    }

    /// Notes that some key now expires at `at`.
    pub(crate) fn lower_due(&mut self, at: UnixMs) {
        self.next_due = self.next_due.min(Due(at));
    }

    /// Looks up the first deadline anew.
    pub(crate) fn refresh_due(&mut self) {
        let first = self.present().map(Keyspace::next_due).min();
        self.next_due = first.map_or(Due::NEVER, Due);
    }

    fn present(&self) -> impl Iterator<Item = &Keyspace> {
        self.keyspaces.iter().flatten().map(|keyspace| &**keyspace)
    }

    #[cold]
    fn add_keyspace(&mut self, index: usize) {
        let keyspace = Box::<Keyspace>::default();
        self.shared.show(index, keyspace.table.root());
        if index >= self.keyspaces.len() {
            self.keyspaces.resize_with(index + 1, || None);
        }
        self.keyspaces[index] = Some(keyspace);
    }

    fn begin_compaction(&mut self) -> Option<Compacting> {
        let heap = &self.heap;
        let waiting = heap.has_doomed() || heap.has_shadows() || !self.detached.is_empty();
        let arena = &mut self.heap.cells.arena;
        arena.give_spare();
        let free = arena.touched_bytes() - arena.live_bytes();
        let worth_it = free > SLACK_BYTES && free > arena.touched_bytes() / SLACK_PART;
        // Entries that are only waiting to be freed, or for their collection to be placed, would have to be found as well.
        (worth_it && !waiting && arena.begin_compaction()).then_some(Compacting::Keys(0, 0))
    }
}

impl Default for Stripe {
    fn default() -> Self {
        let heap = Heap::new();
        Self {
            keyspaces: Vec::new(),
            shared: Arc::new(Shared::new(heap.cells.arena.directory())),
            heap,
            detached: Vec::new(),
            compacting: None,
            watches: Watches::default(),
            next_due: Due::NEVER,
        }
    }
}
