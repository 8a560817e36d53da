//! Where a key lives: its hash, its stripe and the order in which SCAN meets it.
//!
//! The stripe is the most significant bits of the hash and the table inside a stripe is ordered by the bits that
//! follow, so one number, a hash prefix, says how far a SCAN has come, whatever grew or shrank in between. Inside a
//! stripe a key is looked up by its *position*: the hash, turned so that the bits that chose the stripe come last.

use std::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

/// Bits of the hash that order entries inside a stripe.
pub(crate) const PREFIX_BITS: u32 = 32;

/// The one routing function: hash seed and number of stripes.
#[derive(Debug)]
pub struct Layout {
    seed: u64,
    shared: SharedSeed,
    stripe_bits: u32,
}

/// How far a SCAN has come; `0` is both the start and the end.
pub type Cursor = u64;

impl Layout {
    /// A layout of `stripes` stripes, rounded up to a power of two between 1 and 1024. `seed` should be random per
    /// process so that nobody outside can choose colliding keys.
    pub fn new(stripes: usize, seed: u64) -> Self {
        let stripes = stripes.clamp(1, 1024).next_power_of_two();
        Self {
            seed,
            shared: SharedSeed::from_u64(seed),
            stripe_bits: stripes.trailing_zeros(),
        }
    }

    /// Number of stripes, a power of two.
    pub fn stripes(&self) -> usize {
        1 << self.stripe_bits
    }

    /// The key's hash.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(key);
        hasher.finish()
    }

    /// Index of the stripe that owns every key with this hash.
    #[inline]
    pub fn stripe_of(&self, hash: u64) -> usize {
        // Two shifts, because with one stripe a single shift would be by 64 bits.
        (hash >> 1 >> (63 - self.stripe_bits)) as usize
    }

    /// A hash as its stripe's tables use it: the bits that chose the stripe come last.
    #[inline]
    pub(crate) fn position_of(&self, hash: u64) -> u64 {
        hash.rotate_left(self.stripe_bits)
    }

    /// [`Self::position_of`] the key's hash.
    #[inline]
    pub(crate) fn position_of_key(&self, key: &[u8]) -> u64 {
        self.position_of(self.hash(key))
    }

    /// Splits a cursor into stripe and prefix; a stripe past the last one means that nothing is left.
    pub(crate) fn split(&self, cursor: Cursor) -> (usize, u32) {
        ((cursor >> PREFIX_BITS) as usize, cursor as u32)
    }

    /// The cursor for going on at `prefix` of `stripe`, `0` when that is past the end.
    pub(crate) fn join(&self, stripe: usize, prefix: u64) -> Cursor {
        let cursor = ((stripe as u64) << PREFIX_BITS) + prefix;
        if cursor >> PREFIX_BITS >= self.stripes() as u64 {
            0
        } else {
            cursor
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripe_and_prefix_are_consecutive_bits() {
        let layout = Layout::new(16, 7);
        assert_eq!(layout.stripes(), 16);
        let hash = 0xA123_4567_89AB_CDEF;
        assert_eq!(layout.stripe_of(hash), 0xA);
        assert_eq!(layout.position_of(hash), 0x1234_5678_9ABC_DEFA);
    }

    #[test]
    fn one_stripe_takes_every_hash() {
        let layout = Layout::new(1, 7);
        assert_eq!(layout.stripe_of(u64::MAX), 0);
        assert_eq!(layout.position_of(1), 1);
    }

    /// Clients may keep a cursor in a double, which counts exactly up to 2^53.
    #[test]
    fn no_cursor_is_too_large_for_a_double() {
        let layout = Layout::new(1024, 7);
        let last = layout.join(1023, (1 << PREFIX_BITS) - 1);
        assert!(0 < last && last < 1 << 53);
    }

    #[test]
    fn the_last_cursor_is_zero() {
        let layout = Layout::new(2, 7);
        assert_eq!(layout.join(1, 1 << PREFIX_BITS), 0);
        assert_eq!(layout.join(0, 1 << PREFIX_BITS), 1 << PREFIX_BITS);
        assert_eq!(layout.split(layout.join(1, 5)), (1, 5));
    }
}
