//! Changing one member of a packed sorted set where it lies.

use kvik_float::{FloatText, format_f64};

use super::change::{Expected, Scored, has_room, verdict};
use super::pack::{StoredScore, Survey};
use crate::cells::ValueForm;
use crate::entry::Entry;
use crate::in_place::InPlace;
use crate::kind::WrongKind;
use crate::packed::{Listpack, Needle, Packed};

impl Entry<'_> {
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
        let entry = match self
            .edit_in_place(|in_place, form| update(in_place, form, member, &mut decide))
        {
            Ok(scored) => return Ok(scored),
            Err(entry) => entry,
        };
        let mut zset = entry.zset_mut()?;
        zset.expect(1, member.len());
        Ok(zset.update(member, decide))
    }

    /// Deletes a member of the sorted set that is there and says whether it was. Effect: `ZREM`.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn remove_scored(self, member: &[u8]) -> Result<bool, WrongKind> {
        match self.edit_in_place(|in_place, form| match form {
            ValueForm::ZsetPack => in_place.remove(member, 1, b"ZREM"),
            _ => None,
        }) {
            Ok(removed) => Ok(removed),
            Err(entry) => Ok(entry.zset_mut()?.remove(member)),
        }
    }
}

fn update(
    in_place: &mut InPlace<'_>,
    form: ValueForm,
    member: &[u8],
    decide: impl FnOnce(Option<f64>) -> Option<f64>,
) -> Option<Scored> {
    if form != ValueForm::ZsetPack {
        return None;
    }
    let pack = Listpack::new(in_place.bytes());
    let needle = Needle::new(member);
    let survey = Survey::of(pack, needle);
    let (scored, score) = verdict(survey.score(), decide);
    if scored == Scored::Kept {
        return Some(scored);
    }
    let stored = StoredScore::new(score);
    let change = survey.change(needle, member, &stored);
    let expected = Expected::one(member);
    let fits = has_room(pack, member, scored, expected, in_place.limits());
    if !fits || !in_place.holds(change.bytes_then(pack)) {
        return None;
    }
    change.make(in_place);
    let score = in_place.wants_effects().then(|| format_f64(score));
    let words = score.iter().map(FloatText::as_bytes).chain([member]);
    in_place.emit(b"ZADD", words, 1);
    Some(scored)
}
