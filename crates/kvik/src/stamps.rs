//! How far the log has to be on disk before somebody may be told what is in a stripe.
//!
//! Under `appendfsync always` a reply waits not only for its own effects but for everything it has
//! read: a crash must not take back what a client was shown. Each stripe therefore notes the place
//! in the log of the latest unit that changed it, once for each of [`RANGES`] ranges of hashes, so
//! that readers of idle keys do not wait for the writers of busy ones. The stamps are written under
//! the stripe's lock and read by who holds it or reads beside others, so the lock orders them; a
//! stamp never goes back.
//!
//! Deletions by expiry leave no stamp: whoever finds the key gone is told the truth after a crash,
//! too.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use kvik_log::Lsn;
use kvik_store::{KeyHash, Layout};

/// Ranges of hashes of a stripe that are told apart.
const RANGES: usize = 64;

/// The keys whose state a section has read or changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach<'a> {
    /// None, or none whose change a crash could take back.
    Nothing,
    /// The key with this hash.
    Key(KeyHash),
    /// The keys with these hashes.
    Keys(&'a [KeyHash]),
    /// All keys of a stripe.
    Stripe(usize),
    /// All keys.
    Everything,
}

/// The stamps of all stripes. There are none until a log is attached.
#[derive(Debug, Default)]
pub(crate) struct Stamps(OnceLock<Box<[StripeStamps]>>);

#[derive(Debug)]
struct StripeStamps {
    ranges: [AtomicU64; RANGES],
    /// Of units that may have changed any range.
    whole: AtomicU64,
    /// The latest of all.
    latest: AtomicU64,
}

impl StripeStamps {
    fn new() -> Self {
        Self {
            ranges: [const { AtomicU64::new(0) }; RANGES],
            whole: AtomicU64::new(0),
            latest: AtomicU64::new(0),
        }
    }

    fn range(&self, layout: &Layout, hash: KeyHash) -> &AtomicU64 {
        // The bits behind those that chose the stripe.
        let behind = hash.bits() << layout.stripes().trailing_zeros();
        &self.ranges[(behind >> (u64::BITS - RANGES.trailing_zeros())) as usize]
    }

    fn of_key(&self, layout: &Layout, hash: KeyHash) -> u64 {
        let range = self.range(layout, hash).load(Ordering::Relaxed);
        range.max(self.whole.load(Ordering::Relaxed))
    }

    fn stamp_key(&self, layout: &Layout, hash: KeyHash, lsn: u64) {
        self.range(layout, hash).store(lsn, Ordering::Relaxed);
        self.latest.store(lsn, Ordering::Relaxed);
    }

    fn stamp_whole(&self, lsn: u64) {
        self.whole.store(lsn, Ordering::Relaxed);
        self.latest.store(lsn, Ordering::Relaxed);
    }
}

impl Stamps {
    /// Makes room for the stamps. Called while all stripes are held.
    pub(crate) fn open(&self, layout: &Layout) {
        let stamps = || (0..layout.stripes()).map(|_| StripeStamps::new());
        self.0.get_or_init(|| stamps().collect());
    }

    /// Notes that the unit behind which `lsn` is has changed these keys, whose stripes are held.
    #[inline]
    pub(crate) fn stamp(&self, layout: &Layout, reach: Reach<'_>, lsn: Lsn) {
        let (stripes, lsn) = (self.stripes(), lsn.get());
        let key = |hash| stripes[layout.stripe_of(hash)].stamp_key(layout, hash, lsn);
        match reach {
            Reach::Nothing => {}
            Reach::Key(hash) => key(hash),
            Reach::Keys(hashes) => hashes.iter().copied().for_each(key),
            Reach::Stripe(index) => stripes[index].stamp_whole(lsn),
            Reach::Everything => stripes.iter().for_each(|stripe| stripe.stamp_whole(lsn)),
        }
    }

    /// The place behind the latest unit that changed one of these keys.
    pub(crate) fn latest(&self, layout: &Layout, reach: Reach<'_>) -> Lsn {
        let stripes = self.stripes();
        let key = |hash| stripes[layout.stripe_of(hash)].of_key(layout, hash);
        let whole = |stripe: &StripeStamps| stripe.latest.load(Ordering::Relaxed);
        Lsn::new(match reach {
            Reach::Nothing => 0,
            Reach::Key(hash) => key(hash),
            Reach::Keys(hashes) => hashes.iter().copied().map(key).max().unwrap_or(0),
            Reach::Stripe(index) => whole(&stripes[index]),
            Reach::Everything => stripes.iter().map(whole).max().unwrap_or(0),
        })
    }

    fn stripes(&self) -> &[StripeStamps] {
        self.0.get().expect("opened before the log was attached")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layout, stamps for it, and hashes that lie in two ranges of stripe 0 and in stripe 1.
    fn stamps() -> (Layout, Stamps, [KeyHash; 3]) {
        let (layout, stamps) = (Layout::new(2, 1), Stamps::default());
        stamps.open(&layout);
        let hashes = [0, 1 << 57, 1 << 63].map(KeyHash::from_bits);
        (layout, stamps, hashes)
    }

    #[test]
    fn a_reader_waits_for_its_own_range_only() {
        let (layout, stamps, [one, other, elsewhere]) = stamps();
        let at = |reach: Reach<'_>| stamps.latest(&layout, reach).get();
        stamps.stamp(&layout, Reach::Key(one), Lsn::new(5));
        assert_eq!(at(Reach::Key(one)), 5);
        let same_range = KeyHash::from_bits(one.bits() + 1);
        assert_eq!(at(Reach::Key(same_range)), 5);
        assert_eq!(at(Reach::Keys(&[other, elsewhere])), 0);
        assert_eq!(at(Reach::Keys(&[other, one])), 5);
        assert_eq!((at(Reach::Stripe(0)), at(Reach::Stripe(1))), (5, 0));
        assert_eq!((at(Reach::Everything), at(Reach::Nothing)), (5, 0));
    }

    #[test]
    fn all_wait_for_what_changed_everything() {
        let (layout, stamps, hashes) = stamps();
        let at = |reach| stamps.latest(&layout, reach).get();
        stamps.stamp(&layout, Reach::Everything, Lsn::new(5));
        stamps.stamp(&layout, Reach::Key(hashes[0]), Lsn::new(7));
        stamps.stamp(&layout, Reach::Stripe(1), Lsn::new(9));
        let each = hashes.map(|hash| at(Reach::Key(hash)));
        assert_eq!(each, [7, 5, 9]);
    }
}
