//! A stripe: its part of every keyspace, their entries, and who is interested in keys of it.

mod compaction;
mod imaging;
mod namespaces;
mod prefetch;

use std::sync::Arc;

use self::compaction::Compacting;
use self::namespaces::StripeNamespaces;
use crate::UnixMs;
use crate::eviction::EvictionPool;
use crate::garbage::Garbage;
use crate::heap::Heap;
use crate::interests::{ChangedKey, Interests, ReadyKey};
use crate::keyspace::{Keyspace, KeyspaceMut, KeyspaceRef};
use crate::layout::{KeyspaceId, Layout};
use crate::namespace::TableId;
use crate::raw::position::{Position, Prefix};
use crate::raw::prefetch::SharedTables;
use crate::raw::table::Detached;
use crate::totals::{StripeTotals, Totals};

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
    /// Keyspaces that have no cut yet, while an image is prepared.
    uncut: Option<Vec<TableId>>,
    /// The image has everything of the keyspaces before this one.
    imaged_to: usize,
    compacting: Option<Compacting>,
    pub(crate) interests: Interests,
    next_due: Due,
    look_at: Due,
    pub(crate) eviction: EvictionPool,
    /// Keys that were read and are to be deleted for that.
    read_keys: Vec<(TableId, Position)>,
    totals: Arc<StripeTotals>,
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

    /// When a command has to look at the stripe before it runs: when the next key is due, or at
    /// once while keys are [pinned](crate::Guard::pin).
    #[inline]
    pub fn look_at(&self) -> Due {
        self.look_at
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

    /// Bytes in use: those of all keys and tables, of copies, and of what is still to be freed; not
    /// those that only an image lacks.
    #[inline]
    pub fn held_bytes(&self) -> u64 {
        let held = self.heap.held_bytes() as u64 + self.totals.table_bytes();
        match self.kept.is_empty() {
            true => held,
            false => held.saturating_sub(self.kept_entry_bytes()),
        }
    }

    #[cold]
    fn kept_entry_bytes(&self) -> u64 {
        let kept = self.kept.iter().map(|keyspace| keyspace.sizes());
        kept.map(|sizes| sizes.entry_bytes).sum()
    }

    /// Bytes of all keys and tables.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.totals.data_bytes()
    }

    /// Publishes [`Self::held_bytes`] in the [`Totals`] and returns by how much they have grown
    /// since the last call. To be called before the stripe is given back.
    #[inline]
    pub fn publish(&mut self) -> i64 {
        if self.heap.take_news() {
            self.publish_news();
        }
        let held = self.held_bytes();
        let before = self
            .totals
            .set_held(held, self.heap.cells.free_bytes() as u64);
        held.wrapping_sub(before) as i64
    }

    #[cold]
    fn publish_news(&self) {
        let blessed = self.present().filter_map(|it| it.blessed.as_ref());
        let blessed: usize = blessed.map(|it| it.len()).sum();
        let shapes = self.heap.cells.shapes.counts();
        self.totals.set_rare(shapes, blessed as u64);
    }

    /// The keys that are exempt from eviction, with their databases.
    pub fn blessed_keys(&self) -> Vec<(KeyspaceId, Vec<u8>)> {
        let tables = (0..self.table_count()).map(TableId);
        let there = tables.filter_map(|table| Some((table, self.keyspace(table)?.keyspace)));
        let mut all = Vec::new();
        for (table, keyspace) in there {
            let database = keyspace.database(table);
            let names = keyspace
                .blessed
                .iter()
                .flat_map(|it| it.names_from(Prefix(0)));
            all.extend(names.map(|(_, name)| (database, name.to_vec())));
        }
        all
    }

    /// Notes that a key was read which is to be deleted for that.
    #[cold]
    pub(crate) fn note_read_key(&mut self, table: TableId, position: Position) {
        self.read_keys.push((table, position));
    }

    /// The number of keys so noted.
    pub fn read_keys(&self) -> usize {
        self.read_keys.len()
    }

    /// Takes some of them, at most `most` of the first `of`.
    pub(crate) fn take_read_keys(&mut self, of: usize, most: usize) -> Vec<(TableId, Position)> {
        let end = of.min(self.read_keys.len());
        self.read_keys.drain(end - most.min(end)..end).collect()
    }

    /// The stripe's totals, which can be read without its lock.
    pub fn totals(&self) -> Totals {
        Totals::of(&self.totals)
    }

    /// How long some keys of a keyspace, about `most`, have to live: the sum in milliseconds and
    /// their number. Keys in hash order are as good as random ones.
    pub fn sample_ttl(
        &self,
        layout: &Layout,
        id: KeyspaceId,
        now: UnixMs,
        most: usize,
    ) -> (u64, u64) {
        let (mut sum, mut count, mut left) = (0u64, 0, most);
        let keyspace = self.keyspace(id.into());
        let keyspace = keyspace.filter(|there| there.keyspace.volatile_len() > 0);
        if let Some(keyspace) = keyspace {
            keyspace.walk(layout, Prefix(0), |entry| {
                if let Some(at) = entry.expire_at() {
                    sum = sum.saturating_add(at.saturating_sub(now));
                    count += 1;
                }
                left = left.saturating_sub(1);
                left > 0
            });
        }
        (sum, count)
    }

    /// The part of the stripe that can be read without its lock, to fetch keys into the cache.
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
        self.totals.set_copies(self.heap.copies_bytes() as u64);
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

    /// Whether a key with waiters is ready, or a change is to be reported. Whoever lets the stripe
    /// go asks.
    #[inline]
    pub fn has_news(&self) -> bool {
        self.interests.has_news()
    }

    /// The turn at which the first of the ready keys got ready.
    pub fn ready_since(&self) -> Option<u64> {
        self.interests.ready_since()
    }

    /// Takes the first ready key.
    pub fn take_ready(&mut self) -> Option<ReadyKey> {
        self.interests.take_ready()
    }

    /// Takes the keys whose changes are reported, in the order of the changes.
    pub fn take_changed(&mut self) -> Vec<ChangedKey> {
        self.interests.take_changed()
    }

    /// Reports one of the [tracked](crate::Guard::track) keys as if it had changed. Says whether
    /// there was one.
    pub fn evict_tracked(&mut self, random: u64) -> bool {
        self.interests.evict_tracked(random)
    }

    /// Whether a waiter needs other stripes to be served.
    #[inline]
    pub fn is_reaching(&self) -> bool {
        self.interests.is_reaching()
    }

    /// Adds the stripes that waiters need beside this one: those of a key, in whichever keyspace,
    /// or of all keys.
    pub fn add_reaches(&self, key: Option<&[u8]>, stripes: &mut Vec<u16>) {
        self.interests.add_reaches(key, stripes);
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

    /// Prepares a keyspace that has no keys here for so many. They need not come; the room is kept
    /// all the same, some ten bytes for each.
    pub fn expect(&mut self, layout: &Layout, id: KeyspaceId, keys: usize) {
        self.keyspace_mut(id.into(), layout).expect(keys);
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
            if self.heap.undo.is_none() || !self.empty_recorded(table) {
                self.empty(table);
            }
            self.tell_namespace(table, layout);
        }
    }

    /// Takes a keyspace's contents out, to be freed in slices or kept until they are in an image.
    fn empty(&mut self, table: TableId) {
        let is_imaging = self.heap.imaging.is_some();
        if let Some(Some(keyspace)) = self.keyspaces.get_mut(table.index())
            && !Self::keep_for_image(&mut self.kept, keyspace, is_imaging)
        {
            self.heap.has_news |= keyspace.blessed.is_some();
            let detached = keyspace.detach();
            self.detached.push(detached);
        }
    }

    /// The same for contents that are out of their place.
    pub(crate) fn let_go(&mut self, mut contents: Box<Keyspace>) {
        let is_imaging = self.heap.imaging.is_some();
        if !Self::keep_for_image(&mut self.kept, &mut contents, is_imaging) {
            self.heap.has_news |= contents.blessed.is_some();
            self.detached.push(contents.detach());
        }
    }

    pub(crate) fn numbered_mut(&mut self, number: u32) -> Option<&mut Keyspace> {
        self.keyspaces.get_mut(number as usize)?.as_deref_mut()
    }

    /// Exchanges the contents of two keyspaces.
    pub(crate) fn swap(&mut self, a: TableId, b: TableId, layout: &Layout) {
        self.reach_keyspace(a, layout);
        self.reach_keyspace(b, layout);
        self.record_swap(a, b);
        if let Ok([Some(left), Some(right)]) =
            self.keyspaces.get_disjoint_mut([a.index(), b.index()])
        {
            left.swap(right);
            // An image that has not begun takes contents where they are then.
            if self.heap.imaging.is_none() {
                std::mem::swap(&mut left.cut, &mut right.cut);
            }
        }
        self.imaged_to = 0;
        self.tell_namespace(a, layout);
        self.tell_namespace(b, layout);
    }

    /// Notes that some key now expires at `at`.
    pub(crate) fn lower_due(&mut self, at: UnixMs) {
        self.next_due = self.next_due.min(Due(at));
        self.look_at = self.look_at.min(Due(at));
    }

    /// Looks up the first deadline anew.
    pub(crate) fn refresh_due(&mut self) {
        let first = self.databases().map(Keyspace::next_due);
        let first = first.chain(self.namespaces.next_due()).min();
        self.next_due = first.map_or(Due::NEVER, Due);
        self.refresh_look();
    }

    fn refresh_look(&mut self) {
        self.look_at = match self.interests.has_pins() {
            true => Due(0),
            false => self.next_due,
        };
    }

    /// Whether keys are pinned, or clients are owed their turn because of a pin.
    pub fn has_pins(&self) -> bool {
        self.interests.has_pins()
    }

    /// Changes the pins of the stripe.
    #[cold]
    pub(crate) fn with_pins<R>(&mut self, change: impl FnOnce(&mut Interests) -> R) -> R {
        let result = change(&mut self.interests);
        self.refresh_look();
        result
    }

    /// Owes nothing any more to clients that have not come for a key since the last call. To be
    /// called about once a second.
    pub fn sweep_debts(&mut self) {
        if self.interests.has_pins() {
            self.with_pins(Interests::sweep_debts);
        }
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
        let noted = self.totals.of_keyspace(table, None);
        let mut keyspace = Box::new(Keyspace::noting(noted));
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
        keyspace.number = table.0;
        keyspace.slots = layout.slot_counts();
        let index = table.index();
        if index >= self.keyspaces.len() {
            self.keyspaces.resize_with(index + 1, || None);
        }
        self.keyspaces[index] = Some(keyspace);
        self.note_uncut(table);
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
            uncut: None,
            imaged_to: 0,
            compacting: None,
            interests: Interests::default(),
            next_due: Due::NEVER,
            look_at: Due::NEVER,
            eviction: EvictionPool::default(),
            read_keys: Vec::new(),
            totals: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests;
