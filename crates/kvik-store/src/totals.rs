//! Sizes of a store that anybody may read without a lock: keys and bytes, by keyspace and in all.
//!
//! Each stripe has totals of its own, which only the holder of its lock writes, with plain stores.
//! A keyspace notes its sizes whenever they change ([`Noted`]), and what the stripe holds apart
//! from them is published when the lock is let go ([`Stripe::publish`](crate::Stripe::publish)).
//! So a sum over all stripes takes as many loads as there are stripes, whatever the number of keys
//! and keyspaces.
//!
//! A sum that is read while others write may see a command that concerns several stripes half done;
//! it never drifts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::UnixMs;
use crate::layout::KeyspaceId;
use crate::namespace::TableId;
use crate::raw::stable::StableVec;
use crate::shape::ShapeCounts;

/// Keys and bytes of a keyspace, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Keys, those included whose time has come but that nobody met yet.
    pub keys: u64,
    /// Keys that expire.
    pub volatile: u64,
    /// Bytes of keys and values.
    pub entry_bytes: u64,
    /// Bytes of the tables that lead to them.
    pub table_bytes: u64,
}

/// The memory of stripes by its use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldMemory {
    /// All bytes in use: data, what is doomed, and copies.
    pub held: u64,
    /// Bytes of keys, values and tables.
    pub data: u64,
    /// Bytes of copies that are being made for other stripes.
    pub copies: u64,
    /// Bytes of the names of fields that hashes have in common.
    pub shapes: u64,
    /// Bytes of free room between entries.
    pub free: u64,
}

/// The totals of one stripe.
#[derive(Debug, Default)]
pub(crate) struct StripeTotals {
    all: Tally,
    /// By the number of the table.
    keyspaces: StableVec<Tally, 16>,
    /// The sums of the namespaces of a database, by its number.
    named: StableVec<Tally, 16>,
    held: AtomicU64,
    copies: AtomicU64,
    free: AtomicU64,
    shapes: AtomicU64,
    shaped_hashes: AtomicU64,
    shape_bytes: AtomicU64,
    blessed: AtomicU64,
}

/// The totals of all stripes of a store.
#[derive(Clone, Debug, Default)]
pub struct Totals(Arc<[Arc<StripeTotals>]>);

/// [`Sizes`] with one writer.
#[derive(Debug, Default)]
struct Tally {
    keys: AtomicU64,
    volatile: AtomicU64,
    entry_bytes: AtomicU64,
    table_bytes: AtomicU64,
    /// The bits of [`Totals::due_in`] the other way round, so that 0 is never.
    inverse_due: AtomicU64,
}

/// Where a keyspace notes its sizes, which only the owner of its stripe does.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    stripe: Arc<StripeTotals>,
    table: TableId,
    /// The database of a namespace that has a table of its own.
    database: Option<KeyspaceId>,
}

impl Sizes {
    /// Bytes of keys, values and tables.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entry_bytes + self.table_bytes
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            keys: self.keys.wrapping_add(other.keys),
            volatile: self.volatile.wrapping_add(other.volatile),
            entry_bytes: self.entry_bytes.wrapping_add(other.entry_bytes),
            table_bytes: self.table_bytes.wrapping_add(other.table_bytes),
        }
    }
}

impl HeldMemory {
    /// Bytes that no key leads to any more and that are still to be freed.
    #[must_use]
    pub fn doomed(&self) -> u64 {
        self.held
            .saturating_sub(self.data + self.copies + self.shapes)
    }
}

impl Tally {
    fn load(&self) -> Sizes {
        Sizes {
            keys: self.keys.load(Relaxed),
            volatile: self.volatile.load(Relaxed),
            entry_bytes: self.entry_bytes.load(Relaxed),
            table_bytes: self.table_bytes.load(Relaxed),
        }
    }

    /// Only the one writer may, so that nothing comes between the load and the store.
    fn replace(&self, of: &[&Self], new: Sizes) {
        let old = self.load();
        for sum in of {
            adjust(&sum.keys, old.keys, new.keys);
            adjust(&sum.volatile, old.volatile, new.volatile);
            adjust(&sum.entry_bytes, old.entry_bytes, new.entry_bytes);
            adjust(&sum.table_bytes, old.table_bytes, new.table_bytes);
        }
        adjust(&self.keys, old.keys, new.keys);
        adjust(&self.volatile, old.volatile, new.volatile);
        adjust(&self.entry_bytes, old.entry_bytes, new.entry_bytes);
        adjust(&self.table_bytes, old.table_bytes, new.table_bytes);
    }
}

/// Replaces a part of a sum.
#[inline]
fn adjust(sum: &AtomicU64, old: u64, new: u64) {
    if old != new {
        let whole = sum.load(Relaxed).wrapping_add(new).wrapping_sub(old);
        sum.store(whole, Relaxed);
    }
}

impl StripeTotals {
    /// A place for the sizes of a keyspace: of a namespace of `database`, if there is one.
    pub(crate) fn of_keyspace(
        self: &Arc<Self>,
        table: TableId,
        database: Option<KeyspaceId>,
    ) -> Noted {
        self.keyspaces.reach(table.index());
        if let Some(database) = database {
            self.named.reach(database.0 as usize);
        }
        Noted {
            stripe: Arc::clone(self),
            table,
            database,
        }
    }

    /// Bytes of the tables of all keyspaces.
    #[inline]
    pub(crate) fn table_bytes(&self) -> u64 {
        self.all.table_bytes.load(Relaxed)
    }

    /// Bytes of keys, values and tables of all keyspaces.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.all.load().bytes()
    }

    /// Publishes the bytes in use and returns how many there were before.
    #[inline]
    pub(crate) fn set_held(&self, held: u64, free: u64) -> u64 {
        let before = self.held.load(Relaxed);
        if held != before {
            self.held.store(held, Relaxed);
            self.free.store(free, Relaxed);
        }
        before
    }

    #[cold]
    pub(crate) fn set_rare(&self, counts: ShapeCounts, blessed: u64) {
        self.blessed.store(blessed, Relaxed);
        self.shapes.store(counts.shapes, Relaxed);
        self.shaped_hashes.store(counts.hashes, Relaxed);
        self.shape_bytes.store(counts.bytes, Relaxed);
    }

    pub(crate) fn set_copies(&self, bytes: u64) {
        self.copies.store(bytes, Relaxed);
    }
}

impl Noted {
    /// Notes the sizes as they are now.
    #[inline]
    pub(crate) fn note(&self, sizes: Sizes) {
        if let Some(tally) = self.stripe.keyspaces.get(self.table.index()) {
            match self.named() {
                None => tally.replace(&[&self.stripe.all], sizes),
                Some(named) => tally.replace(&[&self.stripe.all, named], sizes),
            }
        }
    }

    /// Notes a time before which no key expires.
    pub(crate) fn note_due(&self, at: UnixMs) {
        if let Some(tally) = self.stripe.keyspaces.get(self.table.index()) {
            tally.inverse_due.store(!at, Relaxed);
        }
    }

    #[inline]
    fn named(&self) -> Option<&Tally> {
        self.stripe.named.get(self.database?.0 as usize)
    }

    /// Notes the bytes of keys and values, where nothing else has changed.
    #[inline]
    pub(crate) fn note_entry_bytes(&self, bytes: u64) {
        if let Some(tally) = self.stripe.keyspaces.get(self.table.index()) {
            let old = tally.entry_bytes.load(Relaxed);
            if let Some(named) = self.named() {
                adjust(&named.entry_bytes, old, bytes);
            }
            adjust(&self.stripe.all.entry_bytes, old, bytes);
            adjust(&tally.entry_bytes, old, bytes);
        }
    }
}

impl Totals {
    pub(crate) fn of(stripe: &Arc<StripeTotals>) -> Self {
        Self(Arc::new([Arc::clone(stripe)]))
    }

    /// The totals of several stripes as one, in this order.
    #[must_use]
    pub fn joined(parts: impl Iterator<Item = Self>) -> Self {
        Self(parts.flat_map(|part| part.0.to_vec()).collect())
    }

    /// The sizes of one database, with its namespaces. As many loads as there are stripes, eight
    /// times.
    #[must_use]
    pub fn keyspace(&self, id: KeyspaceId) -> Sizes {
        let number = id.0 as usize;
        let tallies = self.0.iter().flat_map(|it| {
            let own = it.keyspaces.get(number);
            own.into_iter().chain(it.named.get(number))
        });
        tallies.map(Tally::load).fold(Sizes::default(), Sizes::plus)
    }

    /// The sizes of all keyspaces together.
    #[must_use]
    pub fn all(&self) -> Sizes {
        let tallies = self.0.iter().map(|it| it.all.load());
        tallies.fold(Sizes::default(), Sizes::plus)
    }

    /// A time before which no key of a namespace expires in one stripe; the largest number is
    /// never. Only where there are namespaces.
    #[must_use]
    pub fn due_in(&self, index: usize, table: TableId) -> UnixMs {
        let tally = self.0[index].keyspaces.get(table.index());
        tally.map_or(UnixMs::MAX, |it| !it.inverse_due.load(Relaxed))
    }

    /// The sizes of the keyspaces of one stripe together, or of one of them there.
    #[must_use]
    pub fn in_stripe(&self, index: usize, table: Option<TableId>) -> Sizes {
        let stripe = &self.0[index];
        match table {
            None => stripe.all.load(),
            Some(table) => {
                let tally = stripe.keyspaces.get(table.index());
                tally.map_or(Sizes::default(), Tally::load)
            }
        }
    }

    /// How many stripes hold memory that no key leads to any more.
    #[must_use]
    pub fn doomed_stripes(&self) -> usize {
        let stripes = 0..self.0.len();
        stripes.filter(|&index| self.doomed_in(index) > 0).count()
    }

    /// Bytes of one stripe that no key leads to any more and that are still to be freed.
    #[must_use]
    pub fn doomed_in(&self, index: usize) -> u64 {
        let stripe = &self.0[index];
        let shapes = stripe.shape_bytes.load(Relaxed);
        let kept = stripe.all.load().bytes() + stripe.copies.load(Relaxed) + shapes;
        stripe.held.load(Relaxed).saturating_sub(kept)
    }

    /// Keys that are exempt from eviction.
    #[must_use]
    pub fn blessed(&self) -> u64 {
        self.0.iter().map(|it| it.blessed.load(Relaxed)).sum()
    }

    /// The shapes of hashes in all stripes.
    #[must_use]
    pub fn shapes(&self) -> ShapeCounts {
        let mut sum = ShapeCounts::default();
        for stripe in &*self.0 {
            sum.shapes += stripe.shapes.load(Relaxed);
            sum.hashes += stripe.shaped_hashes.load(Relaxed);
            sum.bytes += stripe.shape_bytes.load(Relaxed);
        }
        sum
    }

    /// The memory that all stripes hold.
    #[must_use]
    pub fn memory(&self) -> HeldMemory {
        let mut sum = HeldMemory::default();
        for stripe in &*self.0 {
            sum.held += stripe.held.load(Relaxed);
            sum.data += stripe.all.load().bytes();
            sum.copies += stripe.copies.load(Relaxed);
            sum.shapes += stripe.shape_bytes.load(Relaxed);
            sum.free += stripe.free.load(Relaxed);
        }
        // A stripe that is at work has noted more than it has published.
        sum.held = sum.held.max(sum.data + sum.copies + sum.shapes);
        sum
    }
}
