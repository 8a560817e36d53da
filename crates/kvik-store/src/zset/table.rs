//! A large sorted set: its members in a table, and beside it their order.
//!
//! An item of the order has the member's score and leads to its entry, so most comparisons end
//! without looking at the entry. The score is in the entry too, where a lookup by name finds it.
//! Whoever moves an entry puts the new reference into the order before anything else looks there.

use std::cmp::Ordering;
use std::ops::Range;

use super::range::{NameRange, ScoreRange};
use super::score::{self, ScoreValue, compare};
use crate::UnixMs;
use crate::cells::Cells;
use crate::cells::Member;
use crate::collection::Large;
use crate::members::Tabled;
use crate::members::{Groundwork, Members, MembersRef, delete_due};
use crate::memory::{Memory, MemoryMut};
use crate::ordered::{self, RankTree};
use crate::raw::entry_ref::EntryRef;
use crate::text::StringRef;
use crate::text::Text;

/// A large sorted set: its members in a table, and their order in a tree.
#[derive(Debug, Default)]
pub(crate) struct ScoreTable {
    members: Members,
    order: RankTree<Ranked>,
}

/// A member in the order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked {
    /// The bits of the score, aligned so that an item takes 12 bytes.
    score: [u32; 2],
    entry: EntryRef,
}

/// A large sorted set to read.
#[derive(Clone, Copy)]
pub struct ScoreTableRef<'a> {
    order: &'a RankTree<Ranked>,
    members: MembersRef<'a>,
}

/// Members of a range of ranks from either end, each with its score.
pub(super) struct RankedIter<'a> {
    items: ordered::RankIter<'a, Ranked>,
    members: MembersRef<'a>,
    /// How many of the items are of members that are not seen.
    hidden: usize,
}

/// The ranks of the members that are not seen, in order. Mostly there are none, and a rank is what
/// it seems.
struct Hidden(Vec<usize>);

impl Ranked {
    fn new(score: f64, entry: EntryRef) -> Self {
        let bits = score.to_bits();
        Self {
            score: [bits as u32, (bits >> 32) as u32],
            entry,
        }
    }

    /// The item of a member that is there.
    fn of(cells: &Cells, entry: EntryRef) -> Self {
        Self::new(member_score(cells.member(entry)), entry)
    }

    pub(super) fn score(self) -> f64 {
        let [low, high] = self.score;
        f64::from_bits(u64::from(high) << 32 | u64::from(low))
    }
}

/// The score that a member has.
pub(crate) fn member_score(member: Member<'_>) -> f64 {
    score::read(member.string())
}

/// Where a member with this name and score lies relative to an item.
fn place<'p>(cells: &'p Cells, score: f64, name: &'p [u8]) -> impl Fn(&Ranked) -> Ordering + 'p {
    move |item| {
        let by_score = compare(score, item.score());
        by_score.then_with(|| name.cmp(cells.member(item.entry).key()))
    }
}

/// A member that a sorted set has not got yet.
#[derive(Clone, Copy, Debug)]
pub struct NewMember<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its score.
    pub score: f64,
    /// When it expires.
    pub expire_at: Option<UnixMs>,
}

impl ScoreTable {
    pub(super) fn find(&self, memory: Memory<'_>, name: &[u8]) -> Option<Ranked> {
        let entry = self.members.find(memory, name)?;
        Some(Ranked::of(memory.cells, entry))
    }

    /// Sets or clears when a member that is there expires.
    pub(super) fn set_expiry(
        &mut self,
        memory: &mut MemoryMut<'_>,
        name: &[u8],
        expire_at: Option<UnixMs>,
    ) {
        let Some(entry) = self.members.find(memory.read(), name) else {
            return;
        };
        // Its entry may move, and the order must not look at what is gone.
        let score = member_score(memory.cells.member(entry));
        self.order.remove(place(memory.cells, score, name));
        let to = self.members.set_expiry(memory, entry, expire_at);
        self.order
            .insert(Ranked::new(score, to), place(memory.cells, score, name));
    }

    /// Adds a member that is not there yet.
    pub(super) fn insert(&mut self, memory: &mut MemoryMut<'_>, name: &[u8], score: f64) {
        self.insert_expiring(memory, name, score, None);
    }

    /// As [`Self::insert`], for a member that may expire.
    pub(super) fn insert_expiring(
        &mut self,
        memory: &mut MemoryMut<'_>,
        name: &[u8],
        score: f64,
        expire_at: Option<UnixMs>,
    ) {
        let stored = ScoreValue::new(score);
        let entry = self.members.insert(memory, name, stored.text(), expire_at);
        self.order
            .insert(Ranked::new(score, entry), place(memory.cells, score, name));
    }

    /// Adds a member that comes after all others.
    pub(super) fn append(&mut self, memory: &mut MemoryMut<'_>, name: &[u8], score: f64) {
        let stored = ScoreValue::new(score);
        let entry = self.members.insert(memory, name, stored.text(), None);
        self.order.append(Ranked::new(score, entry));
    }

    /// Adds members that are in order, not there yet, and come after all others.
    pub(super) fn append_all<'m>(
        &mut self,
        memory: &mut MemoryMut<'_>,
        members: impl Iterator<Item = NewMember<'m>>,
    ) {
        let table = &mut self.members;
        self.order.append_all(members.map(|member| {
            let stored = ScoreValue::new(member.score);
            let (name, expire_at) = (member.name, member.expire_at);
            let entry = table.insert(memory, name, stored.text(), expire_at);
            Ranked::new(member.score, entry)
        }));
    }

    /// Does a part of what the table of members needs for so many in all.
    pub(super) fn make_ready(
        &mut self,
        memory: Memory<'_>,
        members: usize,
        groundwork: &mut Groundwork,
    ) {
        self.members.make_ready(memory, members, groundwork);
    }

    /// Gives a member that is there another score.
    pub(super) fn set_score(&mut self, memory: &mut MemoryMut<'_>, member: Ranked, score: f64) {
        // The order compares by score and name, which it reads from the cells: the member leaves it
        // before either changes.
        self.leave_order(memory.cells, member);
        let stored = ScoreValue::new(score);
        let entry = self.members.set_value(memory, member.entry, stored.text());
        self.enter_order(memory.cells, Ranked::new(score, entry));
    }

    /// Deletes a member that is there.
    pub(super) fn remove(&mut self, memory: &mut MemoryMut<'_>, member: Ranked) {
        self.leave_order(memory.cells, member);
        self.members.remove(memory, member.entry);
    }

    /// Deletes the members of these ranks, giving each to `gone`, in order.
    pub(super) fn remove_ranks(
        &mut self,
        memory: &mut MemoryMut<'_>,
        ranks: Range<usize>,
        mut gone: impl FnMut(&[u8]),
    ) {
        let members = &mut self.members;
        self.order.remove_range(ranks, |item| {
            gone(memory.cells.member(item.entry).key());
            members.remove(memory, item.entry);
        });
    }

    /// As a reader sees it; see [`MembersRef::hidden_until`].
    pub(super) fn view<'a>(
        &'a self,
        memory: Memory<'a>,
        hidden_until: UnixMs,
    ) -> ScoreTableRef<'a> {
        ScoreTableRef {
            order: &self.order,
            members: self.members.view(memory, hidden_until),
        }
    }

    fn enter_order(&mut self, cells: &Cells, member: Ranked) {
        let name = cells.member(member.entry).key();
        self.order
            .insert(member, place(cells, member.score(), name));
    }

    fn leave_order(&mut self, cells: &Cells, member: Ranked) {
        let name = cells.member(member.entry).key();
        self.order.remove(place(cells, member.score(), name));
    }
}

impl Large for ScoreTable {
    fn len(&self) -> usize {
        self.members.len()
    }

    /// Bytes of the table and the order, with those of this description itself.
    fn bytes(&self) -> usize {
        size_of::<Self>() - size_of::<Members>() + self.members.bytes() + self.order.bytes()
    }

    fn members(&self) -> Option<&Members> {
        Some(&self.members)
    }

    fn expire(
        &mut self,
        now: UnixMs,
        max: usize,
        memory: &mut MemoryMut<'_>,
        report: &mut dyn FnMut(&[u8]),
    ) -> bool {
        delete_due(max, |looks| {
            let due = self.members.next_due(memory.read(), now, looks)?;
            report(memory.cells.member(due).key());
            self.remove(memory, Ranked::of(memory.cells, due));
            Some(())
        })
    }

    fn free(&mut self, max: usize, cells: &mut Cells) -> bool {
        // The order goes without a look at the members, which may be gone before it is.
        let more = self.order.drain(max, |_| ());
        self.members.free(max, cells) || more
    }

    // Into nodes that are full.
    fn copy_to(&mut self, from: &Cells, to: &mut MemoryMut<'_>) -> Self {
        let mut members = Members::default();
        let order = RankTree::from_sorted(self.order.iter().map(|item| {
            let member = from.member(item.entry);
            let (text, expire_at) = (member.text(), member.expire_at());
            let entry = members.insert(to, member.key(), text, expire_at);
            Ranked { entry, ..item }
        }));
        Self { members, order }
    }

    fn compact(&mut self, part: usize, cells: &mut Cells) -> bool {
        let order = &mut self.order;
        self.members.relocate(part, cells, |cells, from, to| {
            let moved = Ranked::of(cells, to);
            let name = cells.member(to).key();
            let place = place(cells, moved.score(), name);
            // What was at `from` must not be looked at any more.
            order.replace(moved, |item| {
                if item.entry == from {
                    return Ordering::Equal;
                }
                place(item)
            });
        })
    }
}

impl Tabled for ScoreTable {
    fn members(&self) -> &Members {
        &self.members
    }

    fn members_mut(&mut self) -> &mut Members {
        &mut self.members
    }

    fn add(
        &mut self,
        memory: &mut MemoryMut<'_>,
        name: &[u8],
        value: Text<'_>,
        expire_at: Option<UnixMs>,
    ) {
        let score = score::read(match &value {
            Text::Int(n) => StringRef::Int(*n),
            Text::Bytes { bytes, .. } => StringRef::Bytes(bytes),
            Text::Rope { .. } => unreachable!("a score is short"),
        });
        self.insert_expiring(memory, name, score, expire_at);
    }

    fn take_off(&mut self, memory: &mut MemoryMut<'_>, member: EntryRef) {
        self.remove(memory, Ranked::of(memory.cells, member));
    }
}

impl<'a> ScoreTableRef<'a> {
    pub(super) fn len(self) -> usize {
        self.members.len()
    }

    /// The members in no particular order.
    pub(super) fn members(self) -> MembersRef<'a> {
        self.members
    }

    pub(super) fn rank(self, name: &[u8]) -> Option<(usize, f64)> {
        let score = member_score(self.members.find(name)?);
        let rank = self.rank_among_all(score, name)?;
        Some((self.hidden().seen_before(rank), score))
    }

    /// The members of these ranks, which exist.
    pub(super) fn range(self, ranks: Range<usize>) -> RankedIter<'a> {
        let among_all = self.hidden().among_all(&ranks);
        RankedIter {
            hidden: among_all.len() - ranks.len(),
            items: self.order.range(among_all),
            members: self.members,
        }
    }

    pub(super) fn ranks_of_scores(self, range: &ScoreRange) -> Range<usize> {
        let start = |item: &Ranked| range.is_before(item.score());
        let end = |item: &Ranked| !range.is_behind(item.score());
        self.ranks_between(start, end)
    }

    pub(super) fn ranks_of_names(self, range: &NameRange<'_>) -> Range<usize> {
        let name = |item: &Ranked| self.members.memory.cells.member(item.entry).key();
        let start = |item: &Ranked| range.is_before(name(item));
        let end = |item: &Ranked| !range.is_behind(name(item));
        self.ranks_between(start, end)
    }

    fn ranks_between(
        self,
        is_before: impl FnMut(&Ranked) -> bool,
        is_not_behind: impl FnMut(&Ranked) -> bool,
    ) -> Range<usize> {
        let hidden = self.hidden();
        let start = hidden.seen_before(self.order.partition_point(is_before));
        let end = hidden.seen_before(self.order.partition_point(is_not_behind));
        start..end.max(start)
    }

    fn rank_among_all(self, score: f64, name: &[u8]) -> Option<usize> {
        let place = place(self.members.memory.cells, score, name);
        self.order.rank_of(place).ok()
    }

    fn hidden(self) -> Hidden {
        let members = self.members.hidden();
        let ranks =
            members.filter_map(|member| self.rank_among_all(member_score(member), member.key()));
        // Due members are few, for they are soon deleted: their ranks are looked up one by one.
        let mut ranks: Vec<usize> = ranks.collect();
        ranks.sort_unstable();
        Hidden(ranks)
    }
}

impl Hidden {
    /// How many of the first `rank` members are seen.
    fn seen_before(&self, rank: usize) -> usize {
        rank - self.0.partition_point(|&hidden| hidden < rank)
    }

    /// Where the members of these ranks are when all are counted.
    fn among_all(&self, ranks: &Range<usize>) -> Range<usize> {
        if ranks.is_empty() {
            return 0..0;
        }
        self.rank_among_all(ranks.start)..self.rank_among_all(ranks.end - 1) + 1
    }

    fn rank_among_all(&self, rank: usize) -> usize {
        let (mut from, mut to) = (0, self.0.len());
        // So many are hidden before a member that is seen as each hidden one has fewer seen before
        // it than that one.
        while from < to {
            let middle = usize::midpoint(from, to);
            if self.0[middle] - middle <= rank {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        rank + from
    }
}

impl<'a> RankedIter<'a> {
    pub(super) fn len(&self) -> usize {
        self.items.len() - self.hidden
    }

    pub(super) fn next(&mut self) -> Option<(Member<'a>, f64)> {
        loop {
            let item = self.items.next()?;
            if let Some(seen) = self.seen(item) {
                return Some(seen);
            }
        }
    }

    pub(super) fn next_back(&mut self) -> Option<(Member<'a>, f64)> {
        loop {
            let item = self.items.next_back()?;
            if let Some(seen) = self.seen(item) {
                return Some(seen);
            }
        }
    }

    #[inline]
    fn seen(&mut self, item: Ranked) -> Option<(Member<'a>, f64)> {
        let member = self.members.memory.cells.member(item.entry);
        if self.hidden > 0 && !self.members.shows(member) {
            self.hidden -= 1;
            return None;
        }
        Some((member, item.score()))
    }
}

impl std::fmt::Debug for ScoreTableRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScoreTableRef")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
