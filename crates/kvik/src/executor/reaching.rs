//! Lock sets that grow by what waiters need.
//!
//! A push to a key may serve a client that is blocked in BLMOVE, which changes another key. Its
//! stripe is locked before the push runs, in order with the others, as nobody may lock one out of
//! order once it has changed something. Who waits is only known while the key's stripe is held, so
//! the stripes are let go and locked anew, with those that the waiters reach; and again if those
//! have waiters that reach further, or others have come meanwhile. After [`ROUNDS`] all are locked.

use crate::shared::Shared;
use crate::stripes::{Busy, HeldMany, Patience, ascend};

/// How often the stripes are locked anew before all are.
const ROUNDS: usize = 3;

/// Locks the stripes of a plan, which ascend, with those that are needed to serve the waiters of
/// the keys that `each_key` visits. The plan has them then.
pub(super) fn lock_reaching<'a>(
    shared: &'a Shared,
    plan: &mut Vec<u16>,
    each_key: impl Fn(&mut dyn FnMut(&[u8])),
    patience: Patience,
) -> Result<HeldMany<'a>, Busy> {
    let held = shared.stripes.lock_many(plan, patience)?;
    match held.is_reaching() {
        false => Ok(held),
        true => reach_further(shared, held, plan, each_key, patience),
    }
}

/// The same where the stripes that are held have waiters which need others.
#[cold]
fn reach_further<'a>(
    shared: &'a Shared,
    mut held: HeldMany<'a>,
    plan: &mut Vec<u16>,
    each_key: impl Fn(&mut dyn FnMut(&[u8])),
    patience: Patience,
) -> Result<HeldMany<'a>, Busy> {
    let (stripes, layout) = (&shared.stripes, &shared.stripes.layout);
    let (named, mut rounds) = (plan.clone(), 0);
    // With all stripes nothing further is needed.
    loop {
        if !held.is_reaching() {
            return Ok(held);
        }
        let mut needed = plan.clone();
        each_key(&mut |key| {
            held.add_reaches(layout.stripe_of(layout.hash(key)), key, &mut needed);
        });
        // Which keys of the stripes that were reached will change is not known.
        for index in plan.iter().filter(|index| !named.contains(index)) {
            held.add_all_reaches(usize::from(*index), &mut needed);
        }
        ascend(&mut needed);
        if needed.len() == plan.len() {
            return Ok(held);
        }
        rounds += 1;
        *plan = match rounds < ROUNDS {
            true => needed,
            false => (0..stripes.len()).map(|index| index as u16).collect(),
        };
        drop(held);
        held = stripes.lock_many(plan, patience)?;
    }
}
