//! Changing members of a packed sorted set where it lies.

use super::change::{Scored, ZsetMut, has_room, verdict};
use super::pack::{StoredScore, Survey};
use crate::packed::{Listpack, Needle, Packed};

impl ZsetMut<'_> {
    /// Gives a member the score that `decide` makes of the one it has. Gives `decide` back if the
    /// sorted set does not lie in its entry; takes it out if there is no room for the change.
    #[inline]
    pub(super) fn update_in_place<D: FnOnce(Option<f64>) -> Option<f64>>(
        &mut self,
        member: &[u8],
        decide: D,
    ) -> Result<(Scored, f64), D> {
        let (limits, expected) = (self.edit.limits(), self.expected);
        let Some(mut in_place) = self.edit.in_place() else {
            return Err(decide);
        };
        let pack = Listpack::new(in_place.bytes());
        let needle = Needle::new(member);
        let survey = Survey::of(pack, needle);
        let (scored, score) = verdict(survey.score(), decide);
        if scored == Scored::Kept {
            return Ok((scored, score));
        }
        let stored = StoredScore::new(score);
        let write = survey.change(needle, member, &stored);
        let fits = has_room(pack, member, scored, expected, limits);
        if fits && in_place.holds(write.bytes_then(pack)) {
            write.make(&mut in_place);
        } else {
            // It is decided already.
            self.update_taken_out(member, |_| Some(score));
        }
        Ok((scored, score))
    }

    /// Deletes a member and says whether it was there. Returns nothing, and has changed nothing, if
    /// the sorted set has to be taken out for that.
    pub(super) fn remove_in_place(&mut self, member: &[u8]) -> Option<bool> {
        let removed = self.edit.in_place()?.remove(member, 1)?;
        if removed {
            self.edit.emit(b"ZREM", &[member]);
        }
        Some(removed)
    }
}
