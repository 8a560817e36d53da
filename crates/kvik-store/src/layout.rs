//! Where a key lives: its keyspace, its stripe and its position in the order in which SCAN meets
//! keys.
//!
//! The stripe is the most significant bits of the hash, and the table inside a stripe is ordered by
//! the bits that follow. So one number, the prefix of a position, says how far a SCAN has come,
//! whatever grew or shrank in between. The [`Position`] is the hash, turned so that the bits that
//! chose the stripe come last. Members of collections have positions too; their hashes chose no
//! stripe and are taken as they are.
//!
//! Where the stripes are chosen by the slots of a cluster ([`crate::key_slot`]), the hash of a key
//! begins with the leading bits of its slot, in front of all the bits that others follow from.

use std::hash::Hasher;
use std::sync::Arc;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

pub use crate::namespace::KeyspaceId;
use crate::namespace::{Namespaces, TableId, canonical, named_in};
use crate::raw::position::{Position, Prefix};
use crate::slot::{SLOT_BITS, SlotCounts, key_slot};
use crate::text::{IntText, StringRef};

/// Bits of a cursor below the number of the stripe: the bits of a prefix.
const PREFIX_BITS: u32 = u32::BITS;

/// The hash of a key, by which it belongs to a stripe and to a place in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyHash(u64);

/// The name of a key, with its hash where that is known already.
///
/// Whoever locks the stripe of a key hashes its name for that. Handing the hash on with the name
/// saves doing it again: every method that takes a key takes bytes, or this.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    pub(crate) name: &'k [u8],
    pub(crate) hash: Option<KeyHash>,
}

/// The one routing function: hash seed and number of stripes.
#[derive(Debug)]
pub struct Layout {
    seed: u64,
    shared: SharedSeed,
    stripe_bits: u32,
    by_slots: bool,
    namespaces: Option<Arc<Namespaces>>,
}

/// How far a SCAN has come; `0` is both the start and the end.
pub type Cursor = u64;

/// A part of a scan: one table in one stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScanStep(pub(crate) usize);

impl ScanStep {
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl<'k> Key<'k> {
    /// A key whose hash is known. It has to be the hash that [`Layout::hash`] gives for the name;
    /// with another one the key is looked for in vain.
    #[inline]
    pub fn hashed(name: &'k [u8], hash: KeyHash) -> Self {
        Self {
            name,
            hash: Some(hash),
        }
    }

    /// The bytes of the name.
    #[inline]
    pub fn name(&self) -> &'k [u8] {
        self.name
    }
}

impl<'k, T: AsRef<[u8]> + ?Sized> From<&'k T> for Key<'k> {
    #[inline]
    fn from(name: &'k T) -> Self {
        Self {
            name: name.as_ref(),
            hash: None,
        }
    }
}

impl KeyHash {
    /// The hash of these bits.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits of the hash.
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl Layout {
    /// A layout of `stripes` stripes, rounded up to a power of two between 1 and 1024. `seed`
    /// should be random per process so that nobody outside can choose colliding keys.
    pub fn new(stripes: usize, seed: u64) -> Self {
        let stripes = stripes.clamp(1, 1024).next_power_of_two();
        Self {
            seed,
            shared: SharedSeed::from_u64(seed),
            stripe_bits: stripes.trailing_zeros(),
            by_slots: false,
            namespaces: None,
        }
    }

    /// The same with namespaces in its databases.
    #[must_use]
    pub fn with_namespaces(mut self, namespaces: Arc<Namespaces>) -> Self {
        self.namespaces = Some(namespaces);
        self
    }

    /// The same with stripes that hold runs of slots: stripe `s` of `n` has the slots from
    /// `s * 16384 / n` on.
    #[must_use]
    pub fn by_slots(mut self) -> Self {
        self.by_slots = true;
        self
    }

    /// The stripe with the keys of a slot, where stripes hold runs of slots.
    #[inline]
    pub fn stripe_of_slot(&self, slot: u16) -> Option<usize> {
        let stripe = usize::from(slot) >> (SLOT_BITS - self.stripe_bits);
        self.by_slots.then_some(stripe)
    }

    /// Counts for the slots of a stripe, where stripes hold runs of slots.
    pub(crate) fn slot_counts(&self) -> Option<SlotCounts> {
        let slots = 1 << (SLOT_BITS - self.stripe_bits);
        self.by_slots.then(|| SlotCounts::new(slots))
    }

    /// The namespaces, where a `/` in the name of a key means one.
    #[inline]
    pub fn namespaces(&self) -> Option<&Arc<Namespaces>> {
        self.namespaces.as_ref()
    }

    /// The name under which a key is stored.
    #[inline]
    pub fn canonical<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        match self.namespaces {
            None => key,
            Some(_) => canonical(key),
        }
    }

    /// The namespace of a key, or none if it is stored with those of no namespace.
    #[inline]
    pub(crate) fn namespace_of<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        match self.namespaces {
            None => None,
            Some(_) => named_in(key),
        }
    }

    /// Number of stripes, a power of two.
    pub fn stripes(&self) -> usize {
        1 << self.stripe_bits
    }

    /// The key's hash, the same for all its spellings.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let key = self.canonical(key);
        let hash = self.hash_bytes(key);
        if self.by_slots {
            return self.hash_in_slot(key, hash);
        }
        hash
    }

    /// The hash of a key behind the bits of the stripe that its slot belongs to.
    #[inline(never)]
    fn hash_in_slot(&self, key: &[u8], KeyHash(hash): KeyHash) -> KeyHash {
        let slot = u64::from(key_slot(key));
        let stripe = slot >> (SLOT_BITS - self.stripe_bits);
        match self.stripe_bits {
            0 => KeyHash(hash),
            bits => KeyHash(stripe << (64 - bits) | hash & (u64::MAX >> bits)),
        }
    }

    #[inline]
    fn hash_bytes(&self, key: &[u8]) -> KeyHash {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(key);
        KeyHash(hasher.finish())
    }

    /// A hash of the names of fields in their order.
    pub(crate) fn names_hash<'n>(&self, names: impl Iterator<Item = StringRef<'n>>) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        for name in names {
            hasher.write(name.text(&mut IntText::default()));
        }
        hasher.finish()
    }

    /// The key's hash, computed unless it is known already.
    #[inline]
    pub(crate) fn hash_of(&self, key: Key<'_>) -> KeyHash {
        key.hash.unwrap_or_else(|| self.hash(key.name))
    }

    /// Index of the stripe that owns every key with this hash.
    #[inline]
    pub fn stripe_of(&self, hash: KeyHash) -> usize {
        // Two shifts, because with one stripe a single shift would be by 64 bits.
        (hash.0 >> 1 >> (63 - self.stripe_bits)) as usize
    }

    /// The position of a key with this hash in the tables of its stripe.
    #[inline]
    pub(crate) fn position_of(&self, hash: KeyHash) -> Position {
        Position(hash.0.rotate_left(self.stripe_bits))
    }

    /// [`Self::position_of`] the key's hash.
    #[inline]
    pub(crate) fn position_of_key(&self, key: &[u8]) -> Position {
        self.position_of(self.hash(key))
    }

    /// The position of a member in the table of its collection.
    #[inline]
    pub(crate) fn position_of_member(&self, name: &[u8]) -> Position {
        Position(self.hash_bytes(name).0)
    }

    /// Splits a cursor into the step of the scan and the prefix to go on at.
    pub(crate) fn split(&self, cursor: Cursor) -> (ScanStep, Prefix) {
        (
            ScanStep((cursor >> PREFIX_BITS) as usize),
            Prefix(cursor as u32),
        )
    }

    /// The cursor for going on at `prefix` of a step, or with the next step where there is no
    /// prefix. It is `0` past the last of `steps`.
    pub(crate) fn join(&self, step: ScanStep, prefix: Option<Prefix>, steps: usize) -> Cursor {
        let (ScanStep(step), Prefix(prefix)) = match prefix {
            Some(prefix) => (step, prefix),
            None => (step.next(), Prefix(0)),
        };
        if step >= steps {
            return 0;
        }
        ((step as u64) << PREFIX_BITS) + u64::from(prefix)
    }

    /// The stripe of a step: a scan meets all stripes of one table, and then those of the next.
    pub(crate) fn stripe_at(&self, step: ScanStep) -> usize {
        step.0 & (self.stripes() - 1)
    }

    /// The table of a step of a scan through a database and all its namespaces.
    pub(crate) fn table_at(&self, database: KeyspaceId, step: ScanStep) -> TableId {
        let first = self.namespaces().map_or(0, |it| it.first_table());
        match (step.0 >> self.stripe_bits) as u32 {
            0 => database.into(),
            nth => TableId(first + nth - 1),
        }
    }

    /// A table of a scan through a database and all its namespaces in one stripe, by its number.
    pub(crate) fn nth_table(
        &self,
        database: KeyspaceId,
        ScanStep(nth): ScanStep,
    ) -> Option<TableId> {
        let step = ScanStep(nth << self.stripe_bits);
        (step.0 < self.scan_steps()).then(|| self.table_at(database, step))
    }

    /// The cursor for going on at `prefix` of such a table.
    pub(crate) fn cursor_in_stripe(&self, nth: ScanStep, prefix: Prefix) -> Cursor {
        ((nth.0 as u64) << PREFIX_BITS) + u64::from(prefix.0)
    }

    /// Steps of a scan through a database and all its namespaces.
    pub(crate) fn scan_steps(&self) -> usize {
        let named = |it: &Arc<Namespaces>| it.table_bound() - it.first_table();
        let tables = 1 + self.namespaces().map_or(0, named) as usize;
        tables << self.stripe_bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripe_and_prefix_are_consecutive_bits() {
        let layout = Layout::new(16, 7);
        assert_eq!(layout.stripes(), 16);
        let hash = KeyHash(0xA123_4567_89AB_CDEF);
        assert_eq!(layout.stripe_of(hash), 0xA);
        let position = layout.position_of(hash);
        assert_eq!(position, Position(0x1234_5678_9ABC_DEFA));
        assert_eq!(position.prefix(), Prefix(0x1234_5678));
    }

    #[test]
    fn one_stripe_takes_every_hash() {
        let layout = Layout::new(1, 7);
        assert_eq!(layout.stripe_of(KeyHash(u64::MAX)), 0);
        assert_eq!(layout.position_of(KeyHash(1)), Position(1));
    }

    #[test]
    fn slots_choose_stripes_and_nothing_else() {
        for stripes in [1, 16, 1024] {
            let (layout, plain) = (Layout::new(stripes, 7).by_slots(), Layout::new(stripes, 7));
            for key in ["a", "b", "{a}b", "{a}c", "", "foo"] {
                let (key, hash) = (key.as_bytes(), layout.hash(key.as_bytes()));
                let stripe = layout.stripe_of_slot(key_slot(key)).unwrap();
                assert_eq!(layout.stripe_of(hash), stripe);
                assert_eq!(stripe, usize::from(key_slot(key)) * stripes / 16_384);
                // The bits that choose the place in the stripe are those of the name alone.
                let (place, its) = (layout.position_of(hash), plain.position_of(plain.hash(key)));
                assert_eq!(place.prefix(), its.prefix());
            }
        }
        assert_eq!(Layout::new(16, 7).stripe_of_slot(1), None);
    }

    /// Clients may keep a cursor in a double, which counts exactly up to 2^53.
    #[test]
    fn no_cursor_is_too_large_for_a_double() {
        let layout = Layout::new(1024, 7);
        let last = layout.join(ScanStep(1023), Some(Prefix(u32::MAX)), 1024);
        assert!(0 < last && last < 1 << 53);
    }

    #[test]
    fn the_last_cursor_is_zero() {
        let layout = Layout::new(2, 7);
        assert_eq!(layout.join(ScanStep(1), None, 2), 0);
        assert_eq!(layout.join(ScanStep(0), None, 2), 1 << PREFIX_BITS);
        let (last, prefix) = (ScanStep(1), Prefix(5));
        assert_eq!(
            layout.split(layout.join(last, Some(prefix), 2)),
            (last, prefix)
        );
    }
}
