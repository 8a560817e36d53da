//! Changing a sorted set, and the rules by which it leaves its packed form.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use kvik_float::format_f64;

use super::pack::{self, StoredScore, Survey};
use super::table::{NewMember, ScoreTable};
use super::{Zset, ZsetRef};
use crate::UnixMs;
use crate::edit::{Edit, EditParts};
use crate::entry::Entry;
use crate::kind::WrongKind;
use crate::limits::Limits;
use crate::members::Groundwork;
use crate::memory::MemoryMut;
use crate::packed::{Listpack, Needle, listpack};
use crate::text::IntText;

/// A sorted set while it changes; whoever opened it sees what it does at once, others when it is
/// dropped.
#[derive(Debug)]
pub struct ZsetMut<'g> {
    pub(super) edit: Edit<'g, Zset>,
    pub(super) expected: Expected,
}

/// The members about to be added.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected {
    count: usize,
    longest: usize,
}

/// The result of scoring a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scored {
    /// It has the score that it had, or is still not there.
    Kept,
    /// It is new.
    Added,
    /// It has another score.
    Changed,
}

impl<'g> Entry<'g> {
    /// The sorted set at this place, an empty one where there is no key.
    ///
    /// # Errors
    /// If the key holds another type.
    #[inline(always)]
    pub fn zset_mut(self) -> Result<ZsetMut<'g>, WrongKind> {
        let edit = Edit::open(self)?;
        Ok(ZsetMut {
            edit,
            expected: Expected::default(),
        })
    }
}

impl ZsetMut<'_> {
    /// The sorted set as it is now.
    pub fn view(&self) -> ZsetRef<'_> {
        self.edit.view()
    }

    /// Announces that up to `count` members will be added, the longest of this length; that decides
    /// on the representation from the first change on.
    pub fn expect(&mut self, count: usize, longest: usize) {
        self.expected = Expected { count, longest };
        // One member is changed where the sorted set lies, if that is possible.
        if count > 1 {
            self.edit.take_out();
        }
    }

    /// Gives a member the score that `decide` makes of the one it has, or adds it if there is none;
    /// where `decide` has no score nothing happens. Effect: `ZADD`.
    #[inline]
    pub fn update(
        &mut self,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Scored {
        let (scored, score) = match self.update_in_place(member, decide) {
            Ok(updated) => updated,
            Err(decide) => self.update_taken_out(member, decide),
        };
        if scored != Scored::Kept && self.edit.is_told() {
            self.edit
                .emit(b"ZADD", &[format_f64(score).as_bytes(), member]);
        } else if scored != Scored::Kept {
            self.edit.count(1);
        }
        scored
    }

    /// Adds members that are in order, not there yet, and come after all others. Of the members in
    /// all, which were [announced](Self::expect), the table is made ready for as many as
    /// `groundwork` says. Effects: `ZADD`, and `PEXPIREMEMBERAT` for those that expire.
    pub fn append_all<'m>(
        &mut self,
        members: impl Iterator<Item = NewMember<'m>> + Clone,
        groundwork: &mut Groundwork,
    ) {
        let expected = self.expected;
        let is_told = self.edit.is_told();
        let (parts, mut writer) = self.edit.parts_and_writer();
        let (value, mut memory, limits) = (parts.value, parts.memory, parts.limits);
        let stays_packed = matches!(value, Zset::Pack(_)) && expected.is_packed(limits);
        if stays_packed {
            for member in members.clone() {
                self.update(member.name, |_| Some(member.score));
            }
        } else {
            let table = value.make_table(&mut memory);
            let mut count = 0;
            let told = members.clone().inspect(|member| {
                count += 1;
                if is_told {
                    let score = format_f64(member.score);
                    writer.emit(b"ZADD", &[score.as_bytes(), member.name]);
                }
            });
            table.append_all(&mut memory, told);
            table.make_ready(memory.read(), expected.count, groundwork);
            if !is_told {
                self.edit.count(count);
            }
        }
        // Those of a table have their times already: only the effect is still to come.
        for member in members.filter(|member| member.expire_at.is_some()) {
            match stays_packed {
                true => {
                    self.set_expiry(member.name, member.expire_at);
                }
                false => self.emit_expiry(member.name, member.expire_at),
            }
        }
    }

    /// The same, without the effect, of a sorted set that is taken out of its entry for it. Also
    /// says which score the member has, if that has changed.
    pub(super) fn update_taken_out(
        &mut self,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> (Scored, f64) {
        let EditParts {
            value,
            memory,
            limits,
        } = self.edit.parts();
        let mut update = ScoreUpdate {
            memory,
            limits,
            expected: self.expected,
        };
        update.update(value, member, decide)
    }

    /// Sets or clears when a member expires and says whether there is such a member. Effect:
    /// `PEXPIREMEMBERAT`, or `PERSISTMEMBER` when a time is cleared.
    pub fn set_expiry(&mut self, member: &[u8], expire_at: Option<UnixMs>) -> bool {
        let Some(old) = self.view().expiry_of(member) else {
            return false;
        };
        if old.is_none() && expire_at.is_none() {
            return true;
        }
        let EditParts {
            value, mut memory, ..
        } = self.edit.parts();
        let table = value.make_table(&mut memory);
        table.set_expiry(&mut memory, member, expire_at);
        self.emit_expiry(member, expire_at);
        true
    }

    fn emit_expiry(&mut self, member: &[u8], expire_at: Option<UnixMs>) {
        match expire_at {
            Some(at) => {
                let mut room = IntText::default();
                let words = [member, room.unsigned(at)];
                self.edit.emit_alone(b"PEXPIREMEMBERAT", &words);
            }
            None => self.edit.emit_alone(b"PERSISTMEMBER", &[member]),
        }
    }

    /// Deletes a member and says whether it was there. Effect: `ZREM`.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        if let Some(removed) = self.remove_in_place(member) {
            return removed;
        }
        let EditParts {
            value, mut memory, ..
        } = self.edit.parts();
        let removed = value.remove(member, &mut memory);
        if removed {
            self.edit.emit(b"ZREM", &[member]);
        }
        removed
    }

    /// Deletes the members of these ranks, as far as they exist. Effect: `ZREM`.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        let (mut parts, mut writer) = self.edit.parts_and_writer();
        let gone = |name: &[u8]| writer.emit(b"ZREM", &[name]);
        parts.value.remove_ranks(ranks, &mut parts.memory, gone);
    }
}

/// One change of a sorted set, with what decides on its representation.
struct ScoreUpdate<'c> {
    memory: MemoryMut<'c>,
    limits: &'c Limits,
    expected: Expected,
}

impl ScoreUpdate<'_> {
    /// As [`ZsetMut::update_taken_out`].
    #[inline]
    fn update(
        &mut self,
        zset: &mut Zset,
        name: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> (Scored, f64) {
        match zset {
            Zset::Pack(bytes) => {
                if bytes.is_empty() {
                    listpack::clear(bytes);
                }
                let (pack, needle) = (Listpack::new(bytes), Needle::new(name));
                let survey = Survey::of(pack, needle);
                let (scored, score) = verdict(survey.score(), decide);
                if scored == Scored::Kept {
                    return (scored, score);
                }
                if has_room(pack, name, scored, self.expected, self.limits) {
                    let stored = StoredScore::new(score);
                    survey.change(needle, name, &stored).make(bytes);
                } else {
                    let table = zset.make_table(&mut self.memory);
                    self.update_table(table, name, |_| Some(score));
                }
                (scored, score)
            }
            Zset::Table(table) => self.update_table(table, name, decide),
        }
    }

    fn update_table(
        &mut self,
        table: &mut ScoreTable,
        name: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> (Scored, f64) {
        let found = table.find(self.memory.read(), name);
        let (scored, score) = verdict(found.map(|found| found.score()), decide);
        match found {
            _ if scored == Scored::Kept => {}
            Some(member) => table.set_score(&mut self.memory, member, score),
            None => table.insert(&mut self.memory, name, score),
        }
        (scored, score)
    }
}

/// Whether a packed sorted set may stay so when a member changes as `scored` says, and what is
/// expected follows.
pub(super) fn has_room(
    pack: Listpack<'_>,
    name: &[u8],
    scored: Scored,
    expected: Expected,
    limits: &Limits,
) -> bool {
    let max_entries = limit(&limits.zset_entries);
    let max_bytes = limit(&limits.zset_value_bytes);
    let fits = scored != Scored::Added
        || pack::len(pack) < max_entries && name.len() <= max_bytes && pack.has_room(name.len());
    fits && expected.is_packed(limits)
}

impl Expected {
    /// Whether a packed sorted set may stay so with these members.
    fn is_packed(self, limits: &Limits) -> bool {
        let max_entries = limit(&limits.zset_entries);
        let max_bytes = limit(&limits.zset_value_bytes);
        self.count <= max_entries && self.longest <= max_bytes
    }
}

/// The result for a member that has this score, and the score it has then.
pub(super) fn verdict(
    old: Option<f64>,
    decide: impl FnOnce(Option<f64>) -> Option<f64>,
) -> (Scored, f64) {
    match (old, decide(old)) {
        (_, None) => (Scored::Kept, 0.0),
        (None, Some(score)) => (Scored::Added, score),
        (Some(old), Some(score)) if old != score => (Scored::Changed, score),
        (Some(_), Some(score)) => (Scored::Kept, score),
    }
}

impl Zset {
    fn remove(&mut self, name: &[u8], memory: &mut MemoryMut<'_>) -> bool {
        match self {
            Self::Pack(bytes) => {
                let found = Listpack::new(bytes).find(name, 1);
                if let Some(at) = found {
                    listpack::delete(bytes, at, 2);
                }
                found.is_some()
            }
            Self::Table(table) => {
                let found = table.find(memory.read(), name);
                if let Some(member) = found {
                    table.remove(memory, member);
                }
                found.is_some()
            }
        }
    }

    fn remove_ranks(
        &mut self,
        ranks: Range<usize>,
        memory: &mut MemoryMut<'_>,
        mut gone: impl FnMut(&[u8]),
    ) {
        match self {
            Self::Pack(bytes) => {
                let pack = Listpack::new(bytes);
                let end = ranks.end.min(pack::len(pack));
                let ranks = ranks.start.min(end)..end;
                let mut room = IntText::default();
                pack::range(pack, ranks.clone()).for_each(|(name, _)| gone(name.text(&mut room)));
                listpack::delete_range(bytes, 2 * ranks.start, 2 * ranks.len());
            }
            Self::Table(table) => table.remove_ranks(memory, ranks, gone),
        }
    }

    /// The members as a table, which the sorted set becomes if it is none.
    fn make_table(&mut self, memory: &mut MemoryMut<'_>) -> &mut ScoreTable {
        if let Self::Pack(bytes) = self {
            let pack = Listpack::new(bytes);
            let mut table = Box::<ScoreTable>::default();
            let mut room = IntText::default();
            for (name, score) in pack::range(pack, 0..pack::len(pack)) {
                table.append(memory, name.text(&mut room), pack::score_of(score));
            }
            *self = Self::Table(table);
        }
        match self {
            Self::Table(table) => table,
            Self::Pack(_) => unreachable!("made a table above"),
        }
    }
}

fn limit(setting: &std::sync::atomic::AtomicI64) -> usize {
    usize::try_from(setting.load(Relaxed)).unwrap_or(0)
}
