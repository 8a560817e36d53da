//! Memory that is freed where nobody waits.

use kvik_rope::Rope;

/// Memory to free where nobody waits: large strings that no key leads to any more, by dropping
/// this, or nothing but the word that stripes have something to [reclaim](crate::Stripe::reclaim).
#[derive(Debug)]
pub struct Garbage(#[expect(dead_code, reason = "held only to be dropped")] Vec<Rope>);

impl Garbage {
    pub(crate) fn new(ropes: Vec<Rope>) -> Self {
        Self(ropes)
    }
}
