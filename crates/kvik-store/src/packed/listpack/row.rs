//! A row: entries of a listpack without its header and end mark, for elements whose number and
//! names are known elsewhere.

use super::entry::{Encoded, Stride, decode};
use super::{Element, ListpackIter};
use crate::packed::Packed;

/// Entries one behind the other, to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    entries: &'a [u8],
}

impl<'a> Row<'a> {
    /// The row that `entries` are.
    #[inline]
    pub fn new(entries: &'a [u8]) -> Self {
        Self { entries }
    }

    /// The elements in order.
    #[inline]
    pub fn iter(self) -> ListpackIter<'a> {
        ListpackIter {
            entries: self.entries,
        }
    }

    /// Where the entry with this index is, and its size.
    #[inline]
    pub fn place(self, index: usize) -> Option<(usize, usize)> {
        let (mut rest, mut stride) = (self.entries, Stride::default());
        for _ in 0..index {
            rest = rest.get(stride.over(rest)?..)?;
        }
        let size = stride.over(rest)?;
        Some((self.entries.len() - rest.len(), size))
    }

    /// The element with this index.
    #[inline]
    pub fn get(self, index: usize) -> Option<Element<'a>> {
        let (at, _) = self.place(index)?;
        decode(self.entries.get(at..)?).map(|(element, _)| element)
    }
}

impl<'a> IntoIterator for Row<'a> {
    type Item = Element<'a>;
    type IntoIter = ListpackIter<'a>;

    fn into_iter(self) -> ListpackIter<'a> {
        self.iter()
    }
}

/// Adds an element to a row.
#[inline]
pub(crate) fn push_entry(row: &mut Vec<u8>, element: Element<'_>) {
    Encoded::new(element).append_to(row);
}

/// Writes an entry over the one at `at`, which has `old` bytes.
#[inline]
pub(crate) fn replace_entry(holder: &mut impl Packed, at: usize, old: usize, new: Encoded<'_>) {
    let bytes = holder.make_room(at, old, new.size());
    new.write(&mut bytes[at..at + new.size()]);
}
