//! The intset: a sorted array of different integers, all as wide as the widest needs.
//!
//! ```text
//! width in bytes, 2, 4 or 8 (4) | integers (4) | integer ...        everything little-endian
//! ```
//! Finding an integer is a binary search; adding one moves those above it, and widens all of them
//! if it is the first that needs it. They do not become narrower again when it is removed.

use super::Packed;

/// Width and number of integers.
const HEADER_BYTES: usize = 8;

/// A set of integers to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntSet<'a> {
    bytes: &'a [u8],
}

/// The integers as they are stored.
#[derive(Clone, Copy)]
enum Integers<'a> {
    Narrow(&'a [[u8; 2]]),
    Medium(&'a [[u8; 4]]),
    Wide(&'a [[u8; 8]]),
}

/// Integers in ascending order, from both ends; see [`IntSet::iter`].
#[derive(Clone, Debug)]
pub struct IntSetIter<'a> {
    set: IntSet<'a>,
    range: std::ops::Range<usize>,
}

impl<'a> IntSet<'a> {
    /// The set that `bytes` are. See the [module above](crate::packed) for what happens if they are
    /// none.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The set that `bytes` are, if they are one that is not empty: header, length, and integers in
    /// order.
    pub fn validate(bytes: &'a [u8]) -> Option<Self> {
        let (width, rest) = bytes.split_first_chunk::<4>()?;
        let (len, values) = rest.split_first_chunk::<4>()?;
        let width @ (2 | 4 | 8) = u32::from_le_bytes(*width) as usize else {
            return None;
        };
        let len = u32::from_le_bytes(*len) as usize;
        let whole = len > 0 && len.checked_mul(width) == Some(values.len());
        let set = Self { bytes };
        (whole && set.iter().is_sorted_by(|a, b| a < b)).then_some(set)
    }

    /// The bytes it is made of.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The number of integers.
    #[inline]
    pub fn len(self) -> usize {
        match self.integers() {
            Integers::Narrow(integers) => integers.len(),
            Integers::Medium(integers) => integers.len(),
            Integers::Wide(integers) => integers.len(),
        }
    }

    /// Whether it has no integer.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The integer with this index in ascending order.
    #[inline]
    pub fn get(self, index: usize) -> Option<i64> {
        Some(match self.integers() {
            Integers::Narrow(integers) => narrow(integers.get(index)?),
            Integers::Medium(integers) => medium(integers.get(index)?),
            Integers::Wide(integers) => wide(integers.get(index)?),
        })
    }

    /// The smallest integer.
    pub fn min(self) -> Option<i64> {
        self.get(0)
    }

    /// The largest integer.
    pub fn max(self) -> Option<i64> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Whether the integer is in the set.
    #[inline]
    pub fn contains(self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    /// The index of the integer, or the one that it would have.
    #[inline]
    pub fn search(self, value: i64) -> Result<usize, usize> {
        match self.integers() {
            Integers::Narrow(integers) => integers.binary_search_by_key(&value, narrow),
            Integers::Medium(integers) => integers.binary_search_by_key(&value, medium),
            Integers::Wide(integers) => integers.binary_search_by_key(&value, wide),
        }
    }

    /// As [`search`](Self::search), but nothing if the integer is wider than those that are there.
    pub fn place(self, value: i64) -> Option<Result<usize, usize>> {
        (width_of(value) <= self.width()).then(|| self.search(value))
    }

    /// The integers in ascending order.
    pub fn iter(self) -> IntSetIter<'a> {
        IntSetIter {
            set: self,
            range: 0..self.len(),
        }
    }

    /// Bytes that each integer takes.
    pub fn width(self) -> usize {
        self.bytes.first().map_or(0, |width| usize::from(*width))
    }

    #[inline]
    fn integers(self) -> Integers<'a> {
        let bytes = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
        match self.width() {
            8 => Integers::Wide(bytes.as_chunks().0),
            4 => Integers::Medium(bytes.as_chunks().0),
            _ => Integers::Narrow(bytes.as_chunks().0),
        }
    }
}

#[inline]
fn narrow(bytes: &[u8; 2]) -> i64 {
    i16::from_le_bytes(*bytes).into()
}

#[inline]
fn medium(bytes: &[u8; 4]) -> i64 {
    i32::from_le_bytes(*bytes).into()
}

#[inline]
fn wide(bytes: &[u8; 8]) -> i64 {
    i64::from_le_bytes(*bytes)
}

impl<'a> IntoIterator for IntSet<'a> {
    type Item = i64;
    type IntoIter = IntSetIter<'a>;

    fn into_iter(self) -> IntSetIter<'a> {
        self.iter()
    }
}

impl Iterator for IntSetIter<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        self.set.get(self.range.next()?)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<i64> {
        self.set.get(self.range.nth(n)?)
    }
}

impl DoubleEndedIterator for IntSetIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<i64> {
        self.set.get(self.range.next_back()?)
    }
}

impl ExactSizeIterator for IntSetIter<'_> {}

impl std::iter::FusedIterator for IntSetIter<'_> {}

/// A set without integers.
pub fn empty() -> Vec<u8> {
    vec![2, 0, 0, 0, 0, 0, 0, 0]
}

/// Adds an integer and says whether it was not there.
pub fn add(intset: &mut Vec<u8>, value: i64) -> bool {
    let set = IntSet::new(intset);
    match set.place(value) {
        Some(Ok(_)) => false,
        Some(Err(position)) => {
            insert(intset, position, value);
            true
        }
        None => {
            let position = if value < 0 { 0 } else { set.len() };
            widen(intset, width_of(value));
            insert(intset, position, value);
            true
        }
    }
}

/// Removes an integer and says whether it was there.
pub fn remove(intset: &mut impl Packed, value: i64) -> bool {
    let set = IntSet::new(intset.bytes());
    let (Ok(position), width) = (set.search(value), set.width()) else {
        return false;
    };
    let at = HEADER_BYTES + position * width;
    note_len(intset.make_room(at, width, 0));
    true
}

/// Bytes that the integer needs.
fn width_of(value: i64) -> usize {
    match value {
        -0x8000..0x8000 => 2,
        -0x8000_0000..0x8000_0000 => 4,
        _ => 8,
    }
}

/// Adds an integer that is not there, and that is no wider than the others, at the index that
/// [`IntSet::place`] gives it.
pub fn insert(intset: &mut impl Packed, position: usize, value: i64) {
    let width = IntSet::new(intset.bytes()).width();
    let at = HEADER_BYTES + position * width;
    let bytes = intset.make_room(at, 0, width);
    bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    note_len(bytes);
}

/// Stores all integers in `width` bytes, from the last on, so that none is overwritten before it is
/// read.
fn widen(intset: &mut Vec<u8>, width: usize) {
    let (old, len) = (IntSet::new(intset).width(), IntSet::new(intset).len());
    intset.resize(HEADER_BYTES + len * width, 0);
    for index in (0..len).rev() {
        let value = IntSet::new(&intset[..HEADER_BYTES + len * old]).get(index);
        let value = value.expect("the index is below the length");
        let at = HEADER_BYTES + index * width;
        intset[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    }
    intset[0] = width as u8;
}

fn note_len(intset: &mut [u8]) {
    let len = IntSet::new(intset).len();
    let len = u32::try_from(len).expect("the caller keeps intsets small");
    intset[4..HEADER_BYTES].copy_from_slice(&len.to_le_bytes());
}

#[cfg(test)]
mod tests;
