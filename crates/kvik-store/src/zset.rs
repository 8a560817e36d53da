//! Sorted sets: a listpack of members and scores, or a table of members beside their order.
//!
//! Few and short members are packed, everything else is a table; a sorted set never goes back. In a
//! table a member is found by name in one lookup, and rank, score and name lead into its order in
//! O(log n): whatever a command asks for becomes a range of ranks first
//! ([`ZsetRef::ranks_of_scores`], [`ZsetRef::ranks_of_names`]), and that is counted, read or
//! removed. In a packed one all of it is a walk over at most some hundred pairs.

pub(crate) mod change;
mod in_place;
mod pack;
mod range;
mod restore;
mod score;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::pack::Pairs;
pub(crate) use self::table::member_score;
use self::table::{RankedIter, ScoreTable};
use crate::UnixMs;
use crate::cells::{Member, ValueForm};
use crate::collection::{Packable, Representation};
use crate::kind::{Encoding, Kind};
use crate::memory::Memory;
use crate::packed::{Element, Listpack};
use crate::shape::Shapes;
use crate::text::{IntText, StringRef};

pub use range::{NameBound, NameRange, ScoreRange};
pub use table::ScoreTableRef;

/// A sorted set in one of its representations.
#[derive(Debug)]
pub(crate) enum Zset {
    Pack(Vec<u8>),
    Table(Box<ScoreTable>),
}

/// A sorted set as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub enum ZsetRef<'a> {
    /// A few members.
    Pack(Listpack<'a>),
    /// A table of members and their order.
    Table(ScoreTableRef<'a>),
}

/// A member with its score.
#[derive(Clone, Copy, Debug)]
pub struct ScoredMember<'a> {
    /// The member.
    pub name: Element<'a>,
    score: ReadScore<'a>,
}

/// A score, which need not be asked for.
#[derive(Clone, Copy, Debug)]
enum ReadScore<'a> {
    Float(f64),
    Packed(Element<'a>),
}

/// Members in order or in reverse; see [`ZsetRef::range`].
pub struct ZsetIter<'a>(ZsetWalk<'a>);

enum ZsetWalk<'a> {
    Pack(Pairs<'a>),
    PackBack(Pairs<'a>),
    Table(RankedIter<'a>),
    TableBack(RankedIter<'a>),
}

impl Default for Zset {
    fn default() -> Self {
        // The first member makes a listpack of it, so that an empty place costs nothing.
        Self::Pack(Vec::new())
    }
}

impl<'a> ZsetRef<'a> {
    /// Number of members.
    pub fn len(self) -> usize {
        match self {
            Self::Pack(pack) => pack::len(pack),
            Self::Table(table) => table.len(),
        }
    }

    /// Whether there is no member; a key never holds such a sorted set.
    pub fn is_empty(self) -> bool {
        match self {
            Self::Pack(pack) => pack.is_empty(),
            Self::Table(table) => table.members().is_empty(),
        }
    }

    /// The score of a member.
    pub fn score(self, name: &[u8]) -> Option<f64> {
        match self {
            Self::Pack(pack) => pack::score(pack, name),
            Self::Table(table) => table.members().find(name).map(table::member_score),
        }
    }

    /// Fetches into the cache what it takes to look for a member, to be looked for soon.
    #[inline]
    pub fn prefetch(self, name: &[u8]) {
        if let Self::Table(table) = self {
            table.members().prefetch(name);
        }
    }

    /// Whether a member expires.
    pub fn expires(self) -> bool {
        matches!(self, Self::Table(table) if table.members().expires())
    }

    /// When a member expires, if there is such a member and it does.
    pub fn expiry_of(self, name: &[u8]) -> Option<Option<UnixMs>> {
        match self {
            Self::Pack(pack) => pack.find(name, 1).map(|_| None),
            Self::Table(table) => table.members().find(name).map(|member| member.expire_at()),
        }
    }

    /// How many members come before this one, and its score.
    pub fn rank(self, name: &[u8]) -> Option<(usize, f64)> {
        match self {
            Self::Pack(pack) => pack::rank(pack, name),
            Self::Table(table) => table.rank(name),
        }
    }

    /// The members of these ranks, as far as they exist, from the lowest to the highest or in
    /// reverse.
    pub fn range(self, ranks: Range<usize>, reverse: bool) -> ZsetIter<'a> {
        let end = ranks.end.min(self.len());
        let ranks = ranks.start.min(end)..end;
        ZsetIter(match (self, reverse) {
            (Self::Pack(pack), false) => ZsetWalk::Pack(pack::range(pack, ranks)),
            (Self::Pack(pack), true) => ZsetWalk::PackBack(pack::range_back(pack, ranks)),
            (Self::Table(table), false) => ZsetWalk::Table(table.range(ranks)),
            (Self::Table(table), true) => ZsetWalk::TableBack(table.range(ranks)),
        })
    }

    /// All members in order.
    pub fn iter(self) -> ZsetIter<'a> {
        self.range(0..usize::MAX, false)
    }

    /// The ranks of the members whose scores are in a range.
    pub fn ranks_of_scores(self, range: &ScoreRange) -> Range<usize> {
        match self {
            Self::Pack(_) => self.ranks_between(
                |item| range.is_before(item.score()),
                |item| range.is_behind(item.score()),
            ),
            Self::Table(table) => table.ranks_of_scores(range),
        }
    }

    /// The ranks of the members whose names are in a range, if all have the same score; else it
    /// means nothing.
    pub fn ranks_of_names(self, range: &NameRange<'_>) -> Range<usize> {
        match self {
            Self::Pack(_) => self.ranks_between(
                |item| range.is_before(item.name.text(&mut IntText::default())),
                |item| range.is_behind(item.name.text(&mut IntText::default())),
            ),
            Self::Table(table) => table.ranks_of_names(range),
        }
    }

    fn ranks_between(
        self,
        is_before: impl Fn(&ScoredMember<'a>) -> bool,
        is_behind: impl Fn(&ScoredMember<'a>) -> bool,
    ) -> Range<usize> {
        let mut items = self.iter().peekable();
        let mut start = 0;
        while items.next_if(&is_before).is_some() {
            start += 1;
        }
        let len = items.take_while(|item| !is_behind(item)).count();
        start..start + len
    }

    /// A member chosen by `random`; each is as likely as any other.
    pub fn sample(self, random: u64) -> Option<ScoredMember<'a>> {
        match self {
            Self::Pack(pack) => {
                let len = pack::len(pack) as u128;
                let rank = ((u128::from(random) * len) >> 64) as usize;
                self.range(rank..rank + 1, false).next()
            }
            Self::Table(table) => table.members().sample(random).map(ScoredMember::of),
        }
    }

    /// Visits members from `cursor` on until `visit` has returned false; returns the cursor to go
    /// on with, 0 at the end. A packed one is visited whole. Every member that is there from the
    /// first call of a scan to its last is visited.
    pub fn scan(self, cursor: u64, mut visit: impl FnMut(ScoredMember<'a>) -> bool) -> u64 {
        let Self::Table(table) = self else {
            self.iter().for_each(|member| {
                visit(member);
            });
            return 0;
        };
        let visit = |member| visit(ScoredMember::of(member));
        table.members().scan(cursor, visit)
    }
}

impl<'a> ScoredMember<'a> {
    fn of(member: Member<'a>) -> Self {
        Self {
            name: StringRef::Bytes(member.key()),
            score: ReadScore::Float(table::member_score(member)),
        }
    }

    fn packed((name, score): (Element<'a>, Element<'a>)) -> Self {
        Self {
            name,
            score: ReadScore::Packed(score),
        }
    }

    fn ranked((member, score): (Member<'a>, f64)) -> Self {
        Self {
            name: StringRef::Bytes(member.key()),
            score: ReadScore::Float(score),
        }
    }

    /// The score.
    pub fn score(&self) -> f64 {
        match self.score {
            ReadScore::Float(score) => score,
            ReadScore::Packed(element) => pack::score_of(element),
        }
    }
}

impl<'a> Iterator for ZsetIter<'a> {
    type Item = ScoredMember<'a>;

    fn next(&mut self) -> Option<ScoredMember<'a>> {
        match &mut self.0 {
            ZsetWalk::Pack(pairs) => pairs.next().map(ScoredMember::packed),
            ZsetWalk::PackBack(pairs) => pairs.next_before().map(ScoredMember::packed),
            ZsetWalk::Table(items) => items.next().map(ScoredMember::ranked),
            ZsetWalk::TableBack(items) => items.next_back().map(ScoredMember::ranked),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = match &self.0 {
            ZsetWalk::Pack(pairs) | ZsetWalk::PackBack(pairs) => pairs.len(),
            ZsetWalk::Table(items) | ZsetWalk::TableBack(items) => items.len(),
        };
        (len, Some(len))
    }
}

impl ExactSizeIterator for ZsetIter<'_> {}

impl std::fmt::Debug for ZsetIter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZsetIter")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Packable for Zset {
    const KIND: Kind = Kind::Zset;
    const LARGE: Encoding = Encoding::Skiplist;
    const REMOVAL: &'static [u8] = b"ZREM";

    type Ref<'a> = ZsetRef<'a>;
    type Large = ScoreTable;

    fn from_packed(form: ValueForm, bytes: Vec<u8>) -> Self {
        debug_assert_eq!(form, ValueForm::ZsetPack);
        Self::Pack(bytes)
    }

    fn from_large(large: ScoreTable) -> Self {
        Self::Table(Box::new(large))
    }

    fn representation(&self) -> Representation<&Vec<u8>, &ScoreTable> {
        match self {
            Self::Pack(bytes) => Representation::Packed(ValueForm::ZsetPack, bytes),
            Self::Table(large) => Representation::Large(large),
        }
    }

    fn representation_mut(&mut self) -> Representation<&mut Vec<u8>, &mut ScoreTable> {
        match self {
            Self::Pack(bytes) => Representation::Packed(ValueForm::ZsetPack, bytes),
            Self::Table(large) => Representation::Large(large),
        }
    }

    fn read_packed<'a>(_: ValueForm, bytes: &'a [u8], _: &'a Shapes) -> ZsetRef<'a> {
        ZsetRef::Pack(Listpack::new(bytes))
    }

    fn read<'a>(&'a self, memory: Memory<'a>, hidden_until: UnixMs) -> ZsetRef<'a> {
        match self {
            Self::Pack(bytes) => ZsetRef::Pack(Listpack::new(bytes)),
            Self::Table(table) => ZsetRef::Table(table.view(memory, hidden_until)),
        }
    }
}
