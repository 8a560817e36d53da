//! A small sorted set: a listpack of members and scores, in order.
//!
//! A score that is an integer is stored as one, any other as its text. Everything walks from the front: there are few pairs,
//! and finding a member has to look at each anyway.

use std::cmp::Ordering;
use std::ops::Range;

use kvik_float::format_f64;

use super::score::{compare, whole};
use crate::packed::{Element, Listpack, Needle, listpack};
use crate::value::{IntText, StringRef};

/// The offset of a member, and its score.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) at: usize,
    pub(super) score: f64,
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

pub(super) fn find(pack: Listpack<'_>, member: &[u8]) -> Option<Found> {
    let at = pack.find(member, 1)?;
    let score = score_of(pack.at(pack.next(at)?)?);
    Some(Found { at, score })
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
    elements: listpack::Iter<'a>,
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

/// Adds a member that is not there.
pub(super) fn insert(bytes: &mut Vec<u8>, member: &[u8], score: f64) {
    if bytes.is_empty() {
        *bytes = listpack::empty();
    }
    let at = place(Listpack::new(bytes), member, score).unwrap_or(bytes.len() - 1);
    let text;
    let stored = match whole(score) {
        Some(n) => StringRef::Int(n),
        None => {
            text = format_f64(score);
            StringRef::Bytes(text.as_bytes())
        }
    };
    listpack::insert_before(bytes, at, stored);
    listpack::insert_before(bytes, at, StringRef::Bytes(member));
}

/// Deletes the pair at an offset.
pub(super) fn remove(bytes: &mut Vec<u8>, at: usize) {
    listpack::delete(bytes, at, 2);
}

/// The offset of the first pair that comes after a member with this score; nothing if none does.
fn place(pack: Listpack<'_>, member: &[u8], score: f64) -> Option<usize> {
    let comes_after = |at: usize, score_at: usize| {
        let other = pack.at(score_at).map_or(0.0, score_of);
        compare(score, other).then_with(|| {
            let other = pack.at(at).unwrap_or(StringRef::Int(0));
            member.cmp(other.text(&mut IntText::default()))
        }) == Ordering::Less
    };
    let last = pack.last()?;
    if !comes_after(pack.prev(last)?, last) {
        return None;
    }
    let mut at = pack.first()?;
    loop {
        let score_at = pack.next(at)?;
        if comes_after(at, score_at) {
            return Some(at);
        }
        at = pack.next(score_at)?;
    }
}
