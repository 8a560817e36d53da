//! Changes of a listpack, in whatever holds its bytes and nothing else.
//!
//! Offsets are those of elements, as [`Listpack`] gives them; where it is said, also that of the
//! end mark. A listpack that would pass 4 GiB, an offset at which no element is, or bytes that are
//! no listpack make these functions panic: their caller asks [`Listpack::has_room`] before it adds,
//! and validates what comes from elsewhere.

use super::entry::Encoded;
use super::{END, Element, HEADER_BYTES, Listpack, Needle, UNCOUNTED};
use crate::packed::Packed;

const EMPTY: [u8; HEADER_BYTES + 1] = [HEADER_BYTES as u8 + 1, 0, 0, 0, 0, 0, END];

/// A listpack without elements.
pub fn empty() -> Vec<u8> {
    EMPTY.to_vec()
}

/// Makes a listpack without elements of a buffer, whatever it holds.
pub fn clear(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(&EMPTY);
}

/// Adds an element at the end.
#[inline]
pub fn append<'e>(listpack: &mut impl Packed, element: impl Into<Element<'e>>) {
    let end = listpack.bytes().len() - 1;
    insert_before(listpack, end, element);
}

/// Adds an element at the start.
#[inline]
pub fn prepend<'e>(listpack: &mut impl Packed, element: impl Into<Element<'e>>) {
    insert_before(listpack, HEADER_BYTES, element);
}

/// Adds elements at the end.
pub fn append_all<'e>(
    listpack: &mut Vec<u8>,
    elements: impl IntoIterator<Item = impl Into<Element<'e>>>,
) {
    let mut added = 0;
    listpack.pop();
    elements.into_iter().for_each(|element| {
        Encoded::new(element.into()).append_to(listpack);
        added += 1;
    });
    listpack.push(END);
    note_total(listpack);
    count(listpack, added, 0);
}

/// Adds elements, whose entries have so many `bytes`, before the one at `at`, or before the end
/// mark.
#[inline]
pub fn insert_all<'e>(
    listpack: &mut impl Packed,
    at: usize,
    bytes: usize,
    elements: impl Iterator<Item = Encoded<'e>>,
) {
    put(listpack, at, 0, 0, bytes, elements);
}

/// Puts elements, whose entries have so many `bytes`, in the place of `gone` others at `at` that
/// have `old` bytes.
#[inline]
pub fn put<'e>(
    listpack: &mut impl Packed,
    at: usize,
    old: usize,
    gone: usize,
    bytes: usize,
    elements: impl Iterator<Item = Encoded<'e>>,
) {
    write(listpack.make_room(at, old, bytes), at, gone, elements);
}

/// Adds an element before the one at `at`, or before the end mark. It is at `at` then.
#[inline]
pub fn insert_before<'e>(listpack: &mut impl Packed, at: usize, element: impl Into<Element<'e>>) {
    let encoded = Encoded::new(element.into());
    insert_all(listpack, at, encoded.size(), [encoded].into_iter());
}

/// Adds an element after the one at `at` and returns its offset.
pub fn insert_after<'e>(
    listpack: &mut Vec<u8>,
    at: usize,
    element: impl Into<Element<'e>>,
) -> usize {
    let behind = at + size_at(listpack, at);
    insert_before(listpack, behind, element);
    behind
}

/// Puts an element in the place of the one at `at`.
#[inline]
pub fn replace<'e>(listpack: &mut impl Packed, at: usize, element: impl Into<Element<'e>>) {
    let encoded = Encoded::new(element.into());
    let old = size_at(listpack.bytes(), at);
    put(listpack, at, old, 1, encoded.size(), [encoded].into_iter());
}

/// Writes elements at `at`, where room of as many bytes as their entries have was made in the place
/// of `gone` others.
#[inline]
pub fn write<'e>(
    listpack: &mut [u8],
    at: usize,
    gone: usize,
    elements: impl Iterator<Item = Encoded<'e>>,
) {
    let (mut at, mut added) = (at, 0);
    for encoded in elements {
        let behind = at + encoded.size();
        encoded.write(&mut listpack[at..behind]);
        (at, added) = (behind, added + 1);
    }
    note_total(listpack);
    count(listpack, added, gone);
}

/// Deletes `count` elements from `at` on, or as many as there are, and returns how many. What
/// followed them is at `at` then.
pub fn delete(listpack: &mut impl Packed, at: usize, count: usize) -> usize {
    let bytes = listpack.bytes();
    let end = Listpack::new(bytes).end();
    let (mut behind, mut deleted) = (at, 0);
    while deleted < count && behind < end {
        behind += size_at(bytes, behind);
        deleted += 1;
    }
    cut(listpack, at, behind - at, deleted);
    deleted
}

/// Deletes `count` elements from the index on, or as many as there are, and returns how many.
pub fn delete_range(listpack: &mut impl Packed, index: usize, count: usize) -> usize {
    let view = Listpack::new(listpack.bytes());
    let Some(at) = view.seek(index) else {
        return 0;
    };
    match view.noted_len() {
        Some(len) if count >= len - index => {
            let tail = view.end() - at;
            cut(listpack, at, tail, len - index);
            len - index
        }
        _ => delete(listpack, at, count),
    }
}

/// Deletes up to `max` of the elements that match, leaving the first `skip` of them, and returns
/// how many. One pass, whatever their number.
pub fn delete_matches(
    listpack: &mut Vec<u8>,
    needle: Needle<'_>,
    skip: usize,
    max: usize,
) -> usize {
    let (mut skipped, mut deleted) = (0, 0);
    // What lies between `kept` and `moved` is free; what follows is as it was.
    let (mut kept, mut moved, mut at) = (HEADER_BYTES, HEADER_BYTES, HEADER_BYTES);
    while deleted < max {
        let Some(found) = Listpack::new(listpack).find_from(at, needle, 0) else {
            break;
        };
        at = found + size_at(listpack, found);
        if skipped < skip {
            skipped += 1;
            continue;
        }
        listpack.copy_within(moved..found, kept);
        (kept, moved) = (kept + found - moved, at);
        deleted += 1;
    }
    if deleted == 0 {
        return 0;
    }
    cut(listpack, kept, moved - kept, deleted);
    deleted
}

/// Adds the elements of another listpack at the end.
pub fn merge(listpack: &mut Vec<u8>, other: Listpack<'_>) {
    let count = recount(listpack) + other.len();
    let end = listpack.len() - 1;
    let entries = other.iter().entries;
    listpack.make_room(end, 0, entries.len())[end..end + entries.len()].copy_from_slice(entries);
    note_total(listpack);
    note_count(listpack, count);
}

/// Counts the elements where the header does not say how many there are, lets it say so if it can,
/// and returns how many.
pub fn recount(listpack: &mut [u8]) -> usize {
    let view = Listpack::new(listpack);
    let len = view.len();
    if view.noted_len().is_none() {
        note_count(listpack, len);
    }
    len
}

fn size_at(listpack: &[u8], at: usize) -> usize {
    let behind = Listpack::new(listpack).behind(at);
    behind.expect("an element is at the offset") - at
}

/// Removes the `bytes` at `at` that are `gone` elements.
fn cut(listpack: &mut impl Packed, at: usize, bytes: usize, gone: usize) {
    put(listpack, at, bytes, gone, 0, std::iter::empty());
}

fn note_total(listpack: &mut [u8]) {
    let total = u32::try_from(listpack.len()).expect("the caller keeps listpacks small");
    listpack[..4].copy_from_slice(&total.to_le_bytes());
}

#[inline]
fn count(listpack: &mut [u8], added: usize, gone: usize) {
    if let Some(len) = Listpack::new(listpack)
        .noted_len()
        .filter(|_| added != gone)
    {
        note_count(listpack, len + added - gone);
    }
}

fn note_count(listpack: &mut [u8], count: usize) {
    let count = u16::try_from(count).unwrap_or(UNCOUNTED);
    listpack[4..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
}
