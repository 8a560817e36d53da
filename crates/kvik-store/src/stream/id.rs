//! Ids of stream entries: a time in milliseconds and a number within it.

use std::fmt;
use std::ops::Deref;

use crate::sequence::Keyed;
use crate::text::IntText;

/// The id of an entry. Ids of a stream only ever ascend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds, by convention since the Unix epoch.
    pub ms: u64,
    /// Number among the entries of the same millisecond.
    pub seq: u64,
}

/// An id as clients see it, `ms-seq`.
#[derive(Clone, Copy)]
pub struct IdText {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl Keyed for StreamId {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

impl StreamId {
    /// The smallest id, which no entry has.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The largest id.
    pub const MAX: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// An id from its two parts.
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The id that follows, unless this is the largest.
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self::new(self.ms.checked_add(1)?, 0)),
        }
    }

    /// The id before, unless this is the smallest.
    pub fn prev(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self::new(self.ms.checked_sub(1)?, u64::MAX)),
        }
    }

    /// The text of the id.
    pub fn text(self) -> IdText {
        let mut text = IdText {
            bytes: [0; IdText::MAX_LEN],
            len: 0,
        };
        text.push(IntText::default().unsigned(self.ms));
        text.push(b"-");
        text.push(IntText::default().unsigned(self.seq));
        text
    }

    /// How far the parts of `self` are from those of `base`, wrapping, as the entries of a node say
    /// it.
    pub(super) fn delta(self, base: Self) -> (i64, i64) {
        let ms = self.ms.wrapping_sub(base.ms);
        (ms as i64, self.seq.wrapping_sub(base.seq) as i64)
    }

    /// The id at this distance.
    pub(super) fn moved(self, (ms, seq): (i64, i64)) -> Self {
        Self {
            ms: self.ms.wrapping_add(ms as u64),
            seq: self.seq.wrapping_add(seq as u64),
        }
    }
}

impl IdText {
    /// Two numbers of 20 digits with a dash between them.
    const MAX_LEN: usize = 41;

    fn push(&mut self, part: &[u8]) {
        let end = usize::from(self.len) + part.len();
        self.bytes[self.len.into()..end].copy_from_slice(part);
        self.len = end as u8;
    }
}

impl Deref for IdText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }
}

impl fmt::Debug for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_each_other_across_milliseconds() {
        let last = StreamId::new(7, u64::MAX);
        assert_eq!(last.next(), Some(StreamId::new(8, 0)));
        assert_eq!(StreamId::new(8, 0).prev(), Some(last));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.prev(), None);
    }

    #[test]
    fn texts_of_all_lengths_fit() {
        assert_eq!(*StreamId::MIN.text(), *b"0-0");
        let longest = b"18446744073709551615-18446744073709551615";
        assert_eq!(*StreamId::MAX.text(), *longest);
    }

    #[test]
    fn a_distance_leads_back_whatever_the_parts() {
        let base = StreamId::new(5, u64::MAX);
        for id in [StreamId::MAX, StreamId::new(6, 0), base] {
            assert_eq!(base.moved(id.delta(base)), id);
        }
    }
}
