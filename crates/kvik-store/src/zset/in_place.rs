//! Changing one member of a packed sorted set where it lies.

use kvik_float::{FloatText, format_f64};

use super::Scored;
use super::change::{Expected, has_room, verdict};
use super::pack::{StoredScore, Survey};
use crate::near::Near;
use crate::packed::{Listpack, Needle, Packed};
use crate::raw::entry::Form;
use crate::slot::Slot;
use crate::value::WrongKind;

impl Slot<'_> {
    /// Gives a member of the sorted set that is there the score that `decide` makes of the one it has, as
    /// [`ZsetMut::update`](super::ZsetMut::update) does; where nothing is, a sorted set is made. Effect: `ZADD`.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn update_member(
        self,
        member: &[u8],
        mut decide: impl FnMut(Option<f64>) -> Option<f64>,
    ) -> Result<Scored, WrongKind> {
        let slot = match self.change_near(|near, form| update(near, form, member, &mut decide)) {
            Ok(scored) => return Ok(scored),
            Err(slot) => slot,
        };
        let mut zset = slot.zset_mut()?;
        zset.expect(1, member.len());
        Ok(zset.update(member, decide))
    }

    /// Deletes a member of the sorted set that is there and says whether it was. Effect: `ZREM`.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn remove_scored(self, member: &[u8]) -> Result<bool, WrongKind> {
        match self.change_near(|near, form| match form {
            Form::ZsetPack => near.remove(member, 1, b"ZREM"),
            _ => None,
        }) {
            Ok(removed) => Ok(removed),
            Err(slot) => Ok(slot.zset_mut()?.remove(member)),
        }
    }
}

fn update(
    near: &mut Near<'_>,
    form: Form,
    member: &[u8],
    decide: impl FnOnce(Option<f64>) -> Option<f64>,
) -> Option<Scored> {
    if form != Form::ZsetPack {
        return None;
    }
    let pack = Listpack::new(near.bytes());
    let needle = Needle::new(member);
    let survey = Survey::of(pack, needle);
    let (scored, score) = verdict(survey.score(), decide);
    if scored == Scored::Kept {
        return Some(scored);
    }
    let stored = StoredScore::new(score);
    let change = survey.change(needle, member, &stored);
    let expected = Expected::one(member);
    let fits = has_room(pack, member, scored, expected, near.limits());
    if !fits || !near.holds(change.bytes_then(pack)) {
        return None;
    }
    change.make(near);
    let score = near.is_stated().then(|| format_f64(score));
    let words = score.iter().map(FloatText::as_bytes).chain([member]);
    near.state(b"ZADD", words, 1);
    Some(scored)
}
