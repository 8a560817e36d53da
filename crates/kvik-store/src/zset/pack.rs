//! A small sorted set: a listpack of members and scores, in order.
//!
//! A score that is an integer is stored as one, any other as its text. Everything walks from the
//! front: there are few pairs, and finding a member has to look at each anyway.

use std::cmp::Ordering;
use std::ops::Range;

use kvik_float::{FloatText, format_f64};

use super::score::{compare, whole};
use crate::packed::listpack::{self, Encoded};
use crate::packed::{Element, Listpack, Needle, Packed};
use crate::text::{IntText, StringRef};

/// Pairs of which a survey notes where they are, at most.
const MARKS: usize = 32;

/// Where a member is and where the others are, as far as one walk along all pairs can tell.
pub(super) struct Survey<'p> {
    pack: Listpack<'p>,
    /// The offset of the member, and its score.
    found: Option<(usize, f64)>,
    /// Offsets of pairs in equal distances, from the first one on.
    marks: [u32; MARKS],
    marked: usize,
}

/// A score as an element.
pub(super) struct StoredScore {
    score: f64,
    whole: Option<i64>,
    text: Option<FloatText>,
}

/// How a member gets its score.
pub(super) struct PairWrite<'a> {
    name: Encoded<'a>,
    score: Encoded<'a>,
    /// The pair that is there, by offset and size.
    old: Option<(usize, usize)>,
    /// The offset of the first pair that comes after the new one, or that of the end.
    place: usize,
}

/// The score that an element is.
pub(super) fn score_of(element: Element<'_>) -> f64 {
    match element {
        StringRef::Int(n) => n as f64,
        StringRef::Bytes(text) => {
            let text = std::str::from_utf8(text).ok();
            text.and_then(|text| text.parse().ok()).unwrap_or_default()
        }
    }
}

/// Number of members.
pub(super) fn len(pack: Listpack<'_>) -> usize {
    pack.len() / 2
}

/// The score of a member.
pub(super) fn score(pack: Listpack<'_>, member: &[u8]) -> Option<f64> {
    score_behind(pack, pack.find(member, 1)?)
}

/// The score of the member at an offset.
fn score_behind(pack: Listpack<'_>, at: usize) -> Option<f64> {
    pack.at(pack.behind(at)?).map(score_of)
}

/// How many members come before this one, and its score.
pub(super) fn rank(pack: Listpack<'_>, member: &[u8]) -> Option<(usize, f64)> {
    let needle = Needle::new(member);
    let mut pairs = range(pack, 0..len(pack)).enumerate();
    let (rank, (_, score)) = pairs.find(|(_, (name, _))| needle.matches(*name))?;
    Some((rank, score_of(score)))
}

/// Members with their scores, as they are stored: from the front, or from the back.
#[derive(Clone, Debug)]
pub(super) struct Pairs<'a> {
    elements: listpack::ListpackIter<'a>,
    left: usize,
}

/// The pairs of these ranks, which exist.
pub(super) fn range(pack: Listpack<'_>, ranks: Range<usize>) -> Pairs<'_> {
    let at = pack.seek(2 * ranks.start);
    Pairs {
        elements: pack.iter_from(at.unwrap_or(usize::MAX)),
        left: ranks.len(),
    }
}

/// As [`range`], to be read from the back.
pub(super) fn range_back(pack: Listpack<'_>, ranks: Range<usize>) -> Pairs<'_> {
    let mut elements = pack.iter();
    for _ in 2 * ranks.end..pack.len() {
        elements.next_back();
    }
    Pairs {
        elements,
        left: ranks.len(),
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Element<'a>, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = self.elements.next()?;
        Some((name, self.elements.next()?))
    }
}

impl Pairs<'_> {
    pub(super) fn len(&self) -> usize {
        self.left
    }

    /// The next pair from the back, of what [`range_back`] has returned.
    pub(super) fn next_before(&mut self) -> Option<<Self as Iterator>::Item> {
        self.left = self.left.checked_sub(1)?;
        let score = self.elements.next_back()?;
        Some((self.elements.next_back()?, score))
    }
}

impl<'p> Survey<'p> {
    pub(super) fn of(pack: Listpack<'p>, needle: Needle<'_>) -> Self {
        let distance = len(pack).div_ceil(MARKS).next_power_of_two();
        let (mut found, mut seen) = (None, 0);
        let (mut marks, mut marked) = ([0; MARKS], 0);
        let bytes = pack.as_bytes().len();
        pack.walk(listpack::START, 1, |entries| {
            if seen & (distance - 1) == 0 && marked < MARKS {
                marks[marked] = (bytes - entries.len()) as u32;
                marked += 1;
            }
            seen += 1;
            if needle.matches_first(entries) {
                found = Some(bytes - entries.len());
            }
            false
        });
        let found = found.and_then(|at| Some((at, score_behind(pack, at)?)));
        Self {
            pack,
            found,
            marks,
            marked,
        }
    }

    /// The score of the member.
    pub(super) fn score(&self) -> Option<f64> {
        self.found.map(|(_, score)| score)
    }

    /// The change that gives the member, which is `name` and was looked for as `needle`, this
    /// score.
    pub(super) fn change<'a>(
        &self,
        needle: Needle<'a>,
        name: &[u8],
        score: &'a StoredScore,
    ) -> PairWrite<'a> {
        let old = self.found.and_then(|(at, _)| {
            let behind = self.pack.behind(self.pack.behind(at)?)?;
            Some((at, behind - at))
        });
        PairWrite {
            name: Encoded::of(&needle),
            score: score.encoded(),
            old,
            place: self.place(name, score.score),
        }
    }

    /// The offset of the first pair that comes after a member with this score, or that of the end.
    fn place(&self, name: &[u8], score: f64) -> usize {
        let (pack, end) = (self.pack, self.pack.end());
        let comes_before = |at: usize| comes_before(pack, at, name, score);
        // Scores that grow with time are common: the new pair is the last then.
        let last = pack.last().and_then(|score_at| pack.prev(score_at));
        if last.is_none_or(comes_before) {
            return end;
        }
        let marks = &self.marks[..self.marked];
        let behind = marks.partition_point(|at| comes_before(*at as usize));
        let Some(near) = behind.checked_sub(1) else {
            return listpack::START;
        };
        let bytes = pack.as_bytes().len();
        let place = pack.walk(marks[near] as usize, 1, |entries| {
            !comes_before(bytes - entries.len())
        });
        place.unwrap_or(end)
    }
}

/// Whether the pair at an offset comes before a member with this score.
fn comes_before(pack: Listpack<'_>, at: usize, name: &[u8], score: f64) -> bool {
    let other = score_behind(pack, at).unwrap_or_default();
    let by_name = || {
        let other = pack.at(at).unwrap_or(StringRef::Int(0));
        other.text(&mut IntText::default()).cmp(name)
    };
    compare(other, score).then_with(by_name) == Ordering::Less
}

impl StoredScore {
    pub(super) fn new(score: f64) -> Self {
        let whole = whole(score);
        Self {
            score,
            whole,
            text: whole.is_none().then(|| format_f64(score)),
        }
    }

    fn encoded(&self) -> Encoded<'_> {
        let text = self.text.as_ref().map_or(&b""[..], FloatText::as_bytes);
        Encoded::new(self.whole.map_or(StringRef::Bytes(text), StringRef::Int))
    }
}

impl PairWrite<'_> {
    /// Bytes of the listpack after the change.
    pub(super) fn bytes_then(&self, pack: Listpack<'_>) -> usize {
        pack.as_bytes().len() - self.old.map_or(0, |(_, bytes)| bytes) + self.bytes()
    }

    pub(super) fn make(&self, pack: &mut impl Packed) {
        let (bytes, pair) = (self.bytes(), [self.name, self.score].into_iter());
        let Some((at, old)) = self.old else {
            return listpack::put(pack, self.place, 0, 0, bytes, pair);
        };
        // The room for the new pair is made where the old one was, and then moves to its place.
        let all = pack.make_room(at, old, bytes);
        let place = if self.place <= at {
            all.copy_within(self.place..at, self.place + bytes);
            self.place
        } else {
            let end = self.place - old + bytes;
            all.copy_within(at + bytes..end, at);
            end - bytes
        };
        listpack::write(all, place, 2, pair);
    }

    fn bytes(&self) -> usize {
        self.name.size() + self.score.size()
    }
}
