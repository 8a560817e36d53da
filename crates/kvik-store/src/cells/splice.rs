//! A packed value in the cell of its key, and how it is changed there.
//!
//! The bytes of a packed collection lie where any value does, and free room follows them. A list
//! that grows at its left end lies at the end of its cell instead: the free room comes first, and
//! its size is in its first two bytes.
//!
//! ```text
//! key | listpack | padding          key | indent 2 | free | listpack
//! ```
//! So LPUSH and LPOP leave all other elements where they are, as RPUSH and RPOP do, as long as they
//! fit the cell; and when they do not, they all move to another cell in either case.

use std::ops::Range;

use super::Cells;
use super::record::{Head, KEY, Record, ValueForm, value_range, value_room};
use crate::raw::class::{MAX_BYTES, rounded};
use crate::raw::entry_ref::EntryRef;

/// Bytes that say how large the room before a packed value is.
const INDENT_BYTES: usize = 2;

impl<'a> Record<'a, KEY> {
    /// The packed value and its form; where in its cell it lies is nothing that others know.
    #[inline]
    pub(crate) fn packed(&self) -> (ValueForm, &'a [u8]) {
        let form = match self.form() {
            ValueForm::IndentedListPack => ValueForm::ListPack,
            form => form,
        };
        (form, &self.cell()[packed_range(self.cell())])
    }
}

impl Cells {
    /// Makes room of `new` bytes in the place of `old` ones at the offset `at` of a packed value,
    /// which still fits beside the key then. Returns where the entry is then, and where in its cell
    /// the value is.
    #[inline]
    pub(crate) fn splice(
        &mut self,
        entry: EntryRef,
        at: usize,
        old: usize,
        new: usize,
    ) -> (EntryRef, Range<usize>) {
        let cell = self.arena.bytes_mut(entry);
        let (head, value) = (Head::<KEY>::of(cell), packed_range(cell));
        let (fixed, len) = (head.value_start(), value.len() - old + new);
        let halves = Halves {
            before: value.start..value.start + at,
            behind: value.start + at + old..value.end,
            gap: new,
        };
        let to_left = head.form().is_list() && new != old && at < value.len() / 2;
        if cell.len() == rounded(fixed + len) {
            let start = match to_left {
                true => start_before(fixed, value.end, len),
                false => Some(value.start).filter(|start| start + len <= cell.len()),
            };
            let start = start.unwrap_or_else(|| start_of(fixed, cell.len(), len, to_left));
            if start != value.start || new != old {
                halves.shift(cell, start);
                note(cell, start..start + len);
            }
            return (entry, start..start + len);
        }
        let to = self.arena.alloc(fixed + len);
        let (from, cell) = self.arena.pair(entry, to);
        let start = start_of(fixed, cell.len(), len, to_left);
        cell[..fixed].copy_from_slice(&from[..fixed]);
        halves.copy(from, cell, start);
        note(cell, start..start + len);
        self.arena.free(entry);
        (to, start..start + len)
    }

    /// Replaces a packed value by another one and says where the entry is then, if that fits beside
    /// the key.
    pub(crate) fn set_packed(
        &mut self,
        entry: EntryRef,
        form: ValueForm,
        bytes: &[u8],
    ) -> Option<EntryRef> {
        let fixed = Head::<KEY>::of(self.arena.bytes(entry)).value_start();
        if fixed + bytes.len() > MAX_BYTES {
            return None;
        }
        self.leave_shape::<KEY>(entry);
        let to = self.with_room::<KEY>(entry, fixed + bytes.len());
        let room = value_room::<KEY>(self.arena.bytes_mut(to), form, bytes.len());
        room.copy_from_slice(bytes);
        Some(to)
    }

    /// Moves a packed value that lies at the end of its cell to where any value is.
    pub(crate) fn unindent(&mut self, entry: EntryRef) {
        let cell = self.arena.bytes_mut(entry);
        let (fixed, value) = (Head::<KEY>::of(cell).value_start(), packed_range(cell));
        let len = value.len();
        cell.copy_within(value, fixed);
        note(cell, fixed..fixed + len);
    }
}

/// The parts of a value that stay when room is made between them.
struct Halves {
    before: Range<usize>,
    behind: Range<usize>,
    /// Bytes between them.
    gap: usize,
}

impl Halves {
    /// Moves both within a cell, so that the value begins at `start`.
    fn shift(self, cell: &mut [u8], start: usize) {
        let behind_to = start + self.before.len() + self.gap;
        // Neither overwrites what of the other is still to be moved.
        if start <= self.before.start {
            shift(cell, self.before, start);
            shift(cell, self.behind, behind_to);
        } else {
            shift(cell, self.behind, behind_to);
            shift(cell, self.before, start);
        }
    }

    /// Copies both to another cell.
    fn copy(self, from: &[u8], cell: &mut [u8], start: usize) {
        let gap = start + self.before.len();
        cell[start..gap].copy_from_slice(&from[self.before]);
        let behind = &from[self.behind];
        cell[gap + self.gap..][..behind.len()].copy_from_slice(behind);
    }
}

fn shift(cell: &mut [u8], bytes: Range<usize>, to: usize) {
    if bytes.start != to {
        cell.copy_within(bytes, to);
    }
}

/// Where a value of so many bytes begins that is to end where it does: the room before it has to be
/// none, or large enough to say its size.
fn start_before(fixed: usize, end: usize, len: usize) -> Option<usize> {
    let start = end.checked_sub(len).filter(|start| *start >= fixed)?;
    (start == fixed || start >= fixed + INDENT_BYTES).then_some(start)
}

/// Where a value of so many bytes begins in a cell that has room for it behind `fixed` bytes.
fn start_of(fixed: usize, cell: usize, len: usize, to_left: bool) -> usize {
    let free = cell - fixed - len;
    if to_left && free >= INDENT_BYTES {
        fixed + free
    } else {
        fixed
    }
}

#[inline(always)]
fn packed_range(cell: &[u8]) -> Range<usize> {
    let value = value_range::<KEY>(cell);
    if Head::<KEY>::of(cell).form() != ValueForm::IndentedListPack {
        return value;
    }
    let indent = [cell[value.start], cell[value.start + 1]];
    value.start + usize::from(u16::from_ne_bytes(indent))..value.end
}

/// Notes where a packed value lies in its cell.
fn note(cell: &mut [u8], value: Range<usize>) {
    let head = Head::<KEY>::of(cell);
    let indent = value.start - head.value_start();
    let form = match head.form() {
        ValueForm::ListPack | ValueForm::IndentedListPack if indent > 0 => {
            ValueForm::IndentedListPack
        }
        ValueForm::IndentedListPack => ValueForm::ListPack,
        form => form,
    };
    let room = value_room::<KEY>(cell, form, indent + value.len());
    if indent > 0 {
        room[..INDENT_BYTES].copy_from_slice(&(indent as u16).to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cells::CellValue;
    use std::borrow::Cow;

    /// Room is made at an offset, in parts of the length, in the place of so many bytes.
    #[derive(Clone, Debug)]
    struct Change {
        at: u8,
        old: usize,
        new: usize,
    }

    fn change() -> impl Strategy<Value = Change> {
        let size = prop_oneof![3 => 0usize..60, 1 => 0usize..3, 1 => 0usize..700];
        let at = prop_oneof![2 => Just(1u8), 1 => Just(255), 1 => any::<u8>()];
        (at, 0usize..40, size).prop_map(|(at, old, new)| Change { at, old, new })
    }

    fn play(form: ValueForm, key: &[u8], changes: Vec<Change>) {
        let (mut cells, mut model) = (Cells::new(), vec![7; 20]);
        let stored = CellValue::Inline(form, Cow::Borrowed(&model));
        let mut entry = cells.insert_stored::<KEY>(key, &stored, None);
        for (n, change) in changes.into_iter().enumerate() {
            let at = model.len() * usize::from(change.at) / 255;
            let old = change.old.min(model.len() - at);
            if model.len() - old + change.new > 3500 {
                continue;
            }
            let (to, value) = cells.splice(entry, at, old, change.new);
            entry = to;
            let room = at..at + change.new;
            cells.arena.bytes_mut(to)[value][room.clone()].fill(n as u8);
            model.splice(at..at + old, room.map(|_| n as u8));
            if n % 16 == 15 {
                cells.unindent(entry);
            }
            if n % 16 == 8 {
                let at = (n % 32 == 8).then_some(5);
                cells.unindent(entry);
                entry = cells.set_expiry::<KEY>(entry, at);
            }
            let record = cells.record::<KEY>(entry);
            assert_eq!((record.packed(), record.key()), ((form, &model[..]), key));
            let fixed = Head::<KEY>::of(record.cell()).value_start();
            assert_eq!(record.cell().len(), rounded(fixed + model.len()));
        }
        cells.free::<KEY>(entry);
        assert_eq!(cells.live_bytes(), 0);
    }

    proptest! {
        #[test]
        fn packed_values_are_spliced_as_vectors_are(
            is_list: bool,
            key in prop::collection::vec(any::<u8>(), 0..20),
            changes in prop::collection::vec(change(), 0..60),
        ) {
            play(if is_list { ValueForm::ListPack } else { ValueForm::SetPack }, &key, changes);
        }
    }
}
