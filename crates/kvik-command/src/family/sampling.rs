//! Members chosen at random: what HRANDFIELD, SRANDMEMBER and ZRANDMEMBER have in common.
//!
//! A positive count asks for different members: a large part of a collection is found by one walk
//! through it ([`Selection`]), a small one by drawing until enough different ones were drawn. A
//! negative count asks for so many draws, each from all members; the number is the client's alone,
//! so the reply has a limit ([`repeat`]).

use crate::{Ctx, Error, Random, SLICE};

/// From this part of a collection on, choosing walks through it instead of drawing.
const LARGE_PART: usize = 3;

/// Bytes up to which a reply repeats members. Building a longer one would keep others waiting.
const MAX_REPEATED_BYTES: usize = 64 << 20;

/// Members that are drawn while the stripe is held once: each lies somewhere else.
pub(super) const DRAWN_AT_ONCE: usize = SLICE / 4;

/// The shortest that a member takes in a reply.
const SHORTEST: &[u8] = b"$0\r\n\r\n";

/// A count as the commands take it: `i64::MIN` has no positive counterpart.
///
/// # Errors
/// For that one.
pub(super) fn checked_count(count: i64) -> Result<i64, Error> {
    if count == i64::MIN {
        return Err(Error::text(
            "value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    Ok(count)
}

/// How many different members a count asks for, of `len`.
pub(super) fn distinct(count: i64, len: usize) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX).min(len)
}

/// How many draws a negative count asks for.
///
/// # Errors
/// If even empty members would exceed the limit.
pub(super) fn draws(count: i64) -> Result<usize, Error> {
    usize::try_from(count.unsigned_abs())
        .ok()
        .filter(|draws| draws.saturating_mul(SHORTEST.len()) <= MAX_REPEATED_BYTES)
        .ok_or(Error::OUT_OF_RANGE)
}

/// Has `draw` write so many members, some while the stripe is held once.
///
/// # Errors
/// If the reply exceeds the limit, and those of `draw` and of [`Ctx::breathe`].
pub(super) fn repeat(
    ctx: &mut Ctx<'_>,
    times: usize,
    mut draw: impl FnMut(&mut Ctx<'_>, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    // The length of the members is known only once they are written, so it is watched.
    let start = ctx.reply.len();
    // Nothing is told of a reply that may be refused yet.
    let sink = ctx.session.sink.take();
    let mut left = times;
    loop {
        let slice = left.min(DRAWN_AT_ONCE);
        draw(ctx, slice)?;
        if ctx.reply.len() - start > MAX_REPEATED_BYTES {
            return Err(Error::OUT_OF_RANGE);
        }
        left -= slice;
        if left == 0 {
            ctx.session.sink = sink;
            return Ok(());
        }
        ctx.breathe()?;
    }
}

/// How many of `len` members it takes to choose so many different ones.
pub(super) fn touched(count: usize, len: usize) -> usize {
    match is_small_part(count, len) {
        true => count,
        false => len,
    }
}

/// Whether so many of a collection's members are found by drawing faster than by a walk.
pub(super) fn is_small_part(count: usize, len: usize) -> bool {
    count.saturating_mul(LARGE_PART) < len
}

/// Chooses while a walk passes all members (Knuth, TAOCP 2, 3.4.2, algorithm S): each choice of so
/// many members is as likely as any other.
pub(super) struct Selection {
    wanted: u64,
    left: u64,
}

impl Selection {
    /// Of `len` members, `wanted` are to be chosen, which are not more.
    pub(super) fn new(wanted: usize, len: usize) -> Self {
        Self {
            wanted: wanted as u64,
            left: len as u64,
        }
    }

    /// Whether the member that is passed now is chosen.
    pub(super) fn takes(&mut self, random: &mut Random) -> bool {
        // The chance is the number still wanted in the number still to come; it is 1 when both are
        // equal.
        let takes = random.below(self.left) < self.wanted;
        self.wanted -= u64::from(takes);
        self.left -= 1;
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_has_just_as_many_as_are_wanted() {
        let mut random = Random::new(7);
        for wanted in 0..=10 {
            let mut selection = Selection::new(wanted, 10);
            let taken = (0..10).filter(|_| selection.takes(&mut random)).count();
            assert_eq!(taken, wanted);
        }
    }

    #[test]
    fn no_reply_repeats_without_limit() {
        assert_eq!(draws(-11_000_000), Ok(11_000_000));
        assert_eq!(draws(-50_000_000), Err(Error::OUT_OF_RANGE));
        assert!(checked_count(i64::MIN).is_err());
    }
}
