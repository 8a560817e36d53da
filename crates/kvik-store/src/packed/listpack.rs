//! The listpack: strings and integers one behind the other, readable in both directions.
//!
//! ```text
//! total bytes (4) | elements (2; 65535: count them) | entry ... | 255        both little-endian
//! ```
//! An entry (`listpack/entry.rs`) carries its length at both ends. Elements are addressed by
//! offset, the byte at which their entry starts; offsets stay good while nothing before them
//! changes. There is no index: reaching the n-th element costs as many steps as there are elements
//! between it and the nearer end, finding one costs a step for each before it, and changing one
//! moves all bytes behind it. That beats any structure with pointers as long as everything fits a
//! few cache lines.
//!
//! As in Redis, the count in the header ends at 65535, and a listpack that once had as many
//! elements counts them whenever it is asked, also when it has fewer, until [`recount`]. An element
//! reads as a string does, and a string that is the canonical form of an integer is stored as one.

mod edit;
mod entry;
mod row;

use self::entry::Stride;
use crate::raw::touched::touch;
use crate::text::canonical_int;

pub use crate::text::StringRef as Element;
pub use edit::{
    append, append_all, clear, delete, delete_matches, delete_range, empty, insert_after,
    insert_all, insert_before, merge, prepend, put, recount, replace, write,
};
pub use entry::Encoded;
pub use row::Row;
pub(crate) use row::{push_entry, replace_entry};

/// Bytes of an empty listpack before its end mark.
const HEADER_BYTES: usize = 6;

/// The offset of the first element.
pub const START: usize = HEADER_BYTES;

/// Size of a listpack without elements.
pub const EMPTY_BYTES: usize = HEADER_BYTES + 1;

/// Behind the last entry.
const END: u8 = 0xff;

/// In the header of a listpack whose elements must be counted.
const UNCOUNTED: u16 = u16::MAX;

/// Size that no listpack should pass; it leaves room before the header's 32 bits overflow.
const MAX_BYTES: usize = 1 << 30;

/// A listpack to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listpack<'a> {
    bytes: &'a [u8],
}

/// Bytes that elements are compared with. Whether they are an integer is found out once.
#[derive(Clone, Copy, Debug)]
pub struct Needle<'a> {
    bytes: &'a [u8],
    int: Option<i64>,
    /// How an entry of these bytes as such begins, if they are few.
    head: u8,
}

/// Elements from both ends; see [`Listpack::iter`].
#[derive(Clone, Debug)]
pub struct ListpackIter<'a> {
    entries: &'a [u8],
}

impl<'a> Listpack<'a> {
    /// The listpack that `bytes` are. See the [module above](crate::packed) for what happens if
    /// they are none.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The listpack that `bytes` are, if they are one: header, every entry from both ends, count
    /// and end mark. An element need not have its shortest encoding. Unlike Redis it insists on the
    /// shortest form of the lengths at the end of entries, because what another form means can
    /// depend on the bytes of the entry before.
    pub fn validate(bytes: &'a [u8]) -> Option<Self> {
        let (total, rest) = bytes.split_first_chunk::<4>()?;
        let (noted, rest) = rest.split_first_chunk::<2>()?;
        let (&END, mut entries) = rest.split_last()? else {
            return None;
        };
        let mut count = 0;
        while !entries.is_empty() {
            let (_, size) = entry::decode(entries)?;
            let (entry, rest) = entries.split_at_checked(size)?;
            if entry::size_before(entry) != Some(size) {
                return None;
            }
            (entries, count) = (rest, count + 1);
        }
        let noted = u16::from_le_bytes(*noted);
        let counted = noted == UNCOUNTED || usize::from(noted) == count;
        let whole = u32::from_le_bytes(*total) as usize == bytes.len();
        (counted && whole).then_some(Self { bytes })
    }

    /// The bytes it is made of.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The number of elements; known, unless there are or were 65535 of them.
    pub fn len(self) -> usize {
        self.noted_len().unwrap_or_else(|| self.iter().count())
    }

    /// Whether it has no element.
    pub fn is_empty(self) -> bool {
        self.first().is_none()
    }

    /// Whether elements of `added` bytes may be added, by Redis' bound of 1 GiB.
    pub fn has_room(self, added: usize) -> bool {
        self.bytes.len().saturating_add(added) <= MAX_BYTES
    }

    /// The element with this index.
    pub fn get(self, index: usize) -> Option<Element<'a>> {
        self.at(self.seek(index)?)
    }

    /// The offset of the element with this index, from the nearer end if the number of elements is
    /// known.
    pub fn seek(self, index: usize) -> Option<usize> {
        match self.noted_len() {
            Some(len) if index >= len => None,
            Some(len) if index > len / 2 => self.step_back(len - index),
            _ => self.step(HEADER_BYTES, index),
        }
    }

    /// The offset of the first element.
    #[inline]
    pub fn first(self) -> Option<usize> {
        self.checked(HEADER_BYTES)
    }

    /// The offset of the last element.
    #[inline]
    pub fn last(self) -> Option<usize> {
        self.prev(self.end())
    }

    /// The offset of the element after the one at `at`.
    #[inline]
    pub fn next(self, at: usize) -> Option<usize> {
        self.checked(self.behind(at)?)
    }

    /// The offset of the element before the one at `at`, which may also be the offset of the end
    /// mark.
    #[inline]
    pub fn prev(self, at: usize) -> Option<usize> {
        let size = entry::size_before(self.bytes.get(HEADER_BYTES..at)?)?;
        at.checked_sub(size).filter(|at| *at >= HEADER_BYTES)
    }

    /// The element at the offset `at`; nothing where the listpack ends.
    #[inline]
    pub fn at(self, at: usize) -> Option<Element<'a>> {
        entry::decode(self.bytes.get(at..)?).map(|(element, _)| element)
    }

    /// Whether the element at the offset `at` has this text.
    pub fn matches(self, at: usize, text: &[u8]) -> bool {
        self.at(at)
            .is_some_and(|element| Needle::new(text).matches(element))
    }

    /// The offset of the first element with this text, looking at every `skip + 1`st: with a skip
    /// of 1, at the fields of a sequence of fields and values.
    #[inline]
    pub fn find(self, text: &[u8], skip: usize) -> Option<usize> {
        self.find_from(HEADER_BYTES, Needle::new(text), skip)
    }

    /// The offset and the index of the first element with this text.
    #[inline]
    pub(crate) fn find_counting(self, text: &[u8]) -> Option<(usize, usize)> {
        let (needle, mut index) = (Needle::new(text), 0);
        let at = self.walk(HEADER_BYTES, 0, |entries| {
            let is_it = needle.matches_first(entries);
            index += usize::from(!is_it);
            is_it
        })?;
        Some((at, index))
    }

    /// As [`find`](Self::find), from the element at the offset `at` on.
    #[inline]
    pub fn find_from(self, at: usize, needle: Needle<'_>, skip: usize) -> Option<usize> {
        self.walk(at, skip, |entries| needle.matches_first(entries))
    }

    /// The offset of the first element for which `is_it`, which is asked about every `skip + 1`st
    /// from the one at `at` on, and is given all bytes from the element on.
    #[inline]
    pub(crate) fn walk(
        self,
        at: usize,
        skip: usize,
        mut is_it: impl FnMut(&'a [u8]) -> bool,
    ) -> Option<usize> {
        let mut entries = self.bytes.get(at..)?;
        let (mut asked, mut skipped) = (Stride::default(), Stride::default());
        loop {
            touch(1);
            let size = asked.over(entries)?;
            if is_it(entries) {
                return Some(self.bytes.len() - entries.len());
            }
            entries = entries.get(size..)?;
            for _ in 0..skip {
                entries = entries.get(skipped.over(entries)?..)?;
            }
        }
    }

    /// The elements in order, or from the back.
    #[inline]
    pub fn iter(self) -> ListpackIter<'a> {
        self.iter_from(HEADER_BYTES)
    }

    /// The elements from the offset `at` on.
    #[inline]
    pub fn iter_from(self, at: usize) -> ListpackIter<'a> {
        ListpackIter {
            entries: self.bytes.get(at..self.end()).unwrap_or_default(),
        }
    }

    fn noted_len(self) -> Option<usize> {
        let noted = self.bytes.get(4..HEADER_BYTES)?.first_chunk()?;
        let noted = u16::from_le_bytes(*noted);
        (noted != UNCOUNTED).then_some(noted.into())
    }

    /// The offset of the end mark.
    #[inline]
    pub fn end(self) -> usize {
        self.bytes.len().saturating_sub(1)
    }

    /// The offset behind the element at `at`.
    pub fn behind(self, at: usize) -> Option<usize> {
        let (_, size) = entry::decode(self.bytes.get(at..)?)?;
        Some(at + size)
    }

    fn checked(self, at: usize) -> Option<usize> {
        (at < self.end()).then_some(at)
    }

    /// The offset `steps` elements after the one at `at`.
    fn step(self, at: usize, steps: usize) -> Option<usize> {
        let at = (0..steps).try_fold(at, |at, _| self.behind(at))?;
        self.checked(at)
    }

    /// The offset `steps` elements before the end.
    fn step_back(self, steps: usize) -> Option<usize> {
        (0..steps).try_fold(self.end(), |at, _| self.prev(at))
    }
}

impl<'a> IntoIterator for Listpack<'a> {
    type Item = Element<'a>;
    type IntoIter = ListpackIter<'a>;

    fn into_iter(self) -> ListpackIter<'a> {
        self.iter()
    }
}

impl<'a> Needle<'a> {
    /// Prepares to look for elements with this text.
    #[inline]
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            bytes: text,
            int: canonical_int(text),
            head: entry::head_of(text),
        }
    }

    /// The integer that the text is, if it is one in canonical form.
    pub fn int(&self) -> Option<i64> {
        self.int
    }

    /// The element with this text.
    pub fn element(&self) -> Element<'a> {
        self.int.map_or(Element::Bytes(self.bytes), Element::Int)
    }

    /// Whether the element has the text.
    #[inline]
    pub fn matches(&self, element: Element<'_>) -> bool {
        match element {
            Element::Int(n) => self.int == Some(n),
            Element::Bytes(bytes) => bytes.len() == self.bytes.len() && same(bytes, self.bytes),
        }
    }

    /// Whether the first of these entries has the text.
    #[inline]
    pub(crate) fn matches_first(&self, entries: &[u8]) -> bool {
        let Some((&head, rest)) = entries.split_first() else {
            return false;
        };
        if head == self.head {
            let bytes = rest.get(..self.bytes.len());
            return bytes.is_some_and(|bytes| same(bytes, self.bytes));
        }
        // Other entries of few bytes are of other lengths.
        !entry::is_tiny(head) && self.matches_other(entries)
    }

    fn matches_other(&self, entries: &[u8]) -> bool {
        entry::decode(entries).is_some_and(|(element, _)| self.matches(element))
    }
}

/// Whether two texts of one length are the same. They mostly differ at the end, and comparing the
/// whole of them is a call.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    let ends_differ = match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(a), Some(b)) => a != b,
        _ => a.last() != b.last(),
    };
    !ends_differ && a == b
}

impl<'a> Iterator for ListpackIter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        touch(1);
        let (element, size) = entry::decode(self.entries)?;
        self.entries = self.entries.get(size..)?;
        Some(element)
    }
}

impl DoubleEndedIterator for ListpackIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        touch(1);
        let size = entry::size_before(self.entries)?;
        let (rest, entry) = self
            .entries
            .split_at_checked(self.entries.len().checked_sub(size)?)?;
        let (element, _) = entry::decode(entry)?;
        self.entries = rest;
        Some(element)
    }
}

impl std::iter::FusedIterator for ListpackIter<'_> {}

#[cfg(test)]
mod tests;
