//! Locking several stripes: in ascending order, or in any order by who has the growth token.
//!
//! Ascending locks alone cannot wait for each other in a circle. Who grows waits for a stripe while
//! it holds higher ones; so whoever waits for a lock and holds others looks whether somebody grows,
//! lets go of all of them then, and begins anew.

use std::sync::atomic::Ordering;

use super::{Busy, Held, HeldMany, Patience, SPINS, SharedStripes};
use crate::sync::{MutexGuard, doze};

impl SharedStripes {
    /// Locks the stripes with these indices, which ascend.
    pub(crate) fn lock_many(
        &self,
        indices: &[u16],
        patience: Patience,
    ) -> Result<HeldMany<'_>, Busy> {
        self.lock_ascending(indices.iter().copied().map(usize::from), patience)
    }

    /// Locks every stripe at a moment at which no unit of long work is under way: what it sees and
    /// does has no half of one in it.
    pub(crate) fn lock_all(&self, patience: Patience) -> Result<HeldMany<'_>, Busy> {
        let bar = match patience {
            Patience::Wait => self.pins.bar(None),
            Patience::Spin => self.pins.try_bar(None).ok_or(Busy)?,
        };
        let held = self.lock_every(patience)?;
        // A unit pins nothing before it has a stripe.
        drop(bar);
        self.pins.lift();
        Ok(held)
    }

    /// Locks every stripe, whatever is under way.
    pub(crate) fn lock_every(&self, patience: Patience) -> Result<HeldMany<'_>, Busy> {
        self.lock_ascending(0..self.len(), patience)
    }

    fn lock_ascending(
        &self,
        indices: impl Iterator<Item = usize> + Clone,
        patience: Patience,
    ) -> Result<HeldMany<'_>, Busy> {
        loop {
            // Where one is taken those before it are let go again.
            let mut held = HeldMany {
                held: Vec::with_capacity(indices.size_hint().0),
                latest: 0,
            };
            let mut locked = indices.clone().map(|index| match patience {
                Patience::Wait if !held.held.is_empty() => {
                    self.lock_holding(index).map(|it| held.held.push(it))
                }
                _ => self.lock(index, patience).map(|it| held.held.push(it)),
            });
            match locked.try_for_each(|it| it) {
                Ok(()) => return Ok(held),
                Err(Busy) if patience == Patience::Spin => return Err(Busy),
                Err(Busy) => {
                    drop(held);
                    // Whoever grows goes first.
                    drop(self.growth.lock());
                }
            }
        }
    }

    /// Locks a stripe for who holds others before it, unless somebody grows meanwhile, who may be
    /// waiting for them.
    fn lock_holding(&self, index: usize) -> Result<Held<'_>, Busy> {
        let mut looks = 0;
        loop {
            if let Some(stripe) = self.cells[index].stripe.try_write(&self.readers, 0) {
                return Ok(self.held(index, stripe));
            }
            if looks == 0 {
                self.note_wait();
            }
            if self.growing.load(Ordering::SeqCst) != 0 {
                return Err(Busy);
            }
            doze(looks);
            looks = looks.saturating_add(1);
        }
    }

    /// The right to take more stripes while some are held. It is taken before any of them.
    pub(crate) fn grow(&self, patience: Patience) -> Result<GrowthToken<'_>, Busy> {
        let token = match patience {
            Patience::Wait => Some(self.growth.lock()),
            Patience::Spin => (0..SPINS).find_map(|_| {
                std::hint::spin_loop();
                self.growth.try_lock()
            }),
        };
        Ok(GrowthToken {
            stripes: self,
            _token: token.ok_or(Busy)?,
        })
    }
}

/// The right to take more stripes while some are held. One has it at a time, so that it never waits
/// for somebody who waits for it.
pub(crate) struct GrowthToken<'a> {
    stripes: &'a SharedStripes,
    _token: MutexGuard<'a, ()>,
}

impl<'a> GrowthToken<'a> {
    /// Takes one more stripe, whatever its order, and waits for it.
    pub(crate) fn extend(&self, held: &mut HeldMany<'a>, index: usize) {
        let Err(at) = held.held.binary_search_by_key(&index, |held| held.index) else {
            return;
        };
        let stripes = self.stripes;
        let cell = &stripes.cells[index];
        let stripe = cell.stripe.try_write(&stripes.readers, SPINS);
        let stripe = stripe.unwrap_or_else(|| {
            // Who waits while it holds this stripe sees that and lets go of it.
            stripes.growing.store(1, Ordering::SeqCst);
            let stripe = cell.stripe.write(&stripes.readers);
            stripes.growing.store(0, Ordering::SeqCst);
            stripe
        });
        held.held.insert(at, stripes.held(index, stripe));
        held.latest = 0;
    }
}
