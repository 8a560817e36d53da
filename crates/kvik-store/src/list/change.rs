//! The ways to change a list. Each states its effect.

use std::ops::Range;

use super::bounds::Bounds;
use super::{List, ListEnd, ListRef, ListSweep, cut_packed};
use crate::collection::Collection;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::kind::WrongKind;
use crate::packed::listpack::{self, Encoded};
use crate::packed::{Listpack, Needle, Packed};
use crate::text::IntText;

/// Nodes up to which what was cut off a list is freed at once.
const FREE_AT_ONCE: usize = 8;

/// A list while it changes. A list that has become empty is gone afterwards, with its key.
#[derive(Debug)]
pub struct ListMut<'g>(pub(super) Edit<'g, List>);

impl<'g> Entry<'g> {
    /// The list that is there, an empty one where nothing is.
    ///
    /// # Errors
    /// If the key holds another type.
    #[inline(always)]
    pub fn list_mut(self) -> Result<ListMut<'g>, WrongKind> {
        Edit::open(self).map(ListMut)
    }
}

impl ListMut<'_> {
    /// The list as it is now.
    pub fn view(&self) -> ListRef<'_> {
        self.0.view()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds elements at an end, one after the other, and returns how many there are then. Effect:
    /// `LPUSH` or `RPUSH`.
    #[inline]
    pub fn push<'e>(
        &mut self,
        end: ListEnd,
        elements: impl DoubleEndedIterator<Item = &'e [u8]> + Clone,
    ) -> usize {
        let pushed = self.push_in_place(end, elements.clone());
        let len = pushed.unwrap_or_else(|| self.push_taken_out(end, elements.clone()));
        elements.for_each(|element| self.0.emit(end.push(), &[element]));
        len
    }

    #[inline(never)]
    fn push_taken_out<'e>(
        &mut self,
        end: ListEnd,
        elements: impl Iterator<Item = &'e [u8]> + Clone,
    ) -> usize {
        let parts = self.0.parts();
        let (list, bounds) = (parts.value, Bounds::of(parts.limits));
        let (mut bytes, mut count) = (0, 0);
        for element in elements.clone() {
            (bytes, count) = (bytes + element.len(), count + 1);
        }
        list.make_room(bytes, count, bounds);
        elements.for_each(|element| list.push(end, element, bounds));
        Collection::len(list)
    }

    /// Adds elements to a packed list where it lies and returns how many there are then. Returns
    /// nothing, and has changed nothing, if the list has to be taken out for that.
    #[inline]
    fn push_in_place<'e>(
        &mut self,
        end: ListEnd,
        elements: impl DoubleEndedIterator<Item = &'e [u8]> + Clone,
    ) -> Option<usize> {
        let limits = self.0.limits();
        let mut in_place = self.0.in_place()?;
        let entries = elements.clone().map(|element| Encoded::new(element.into()));
        let (mut text_bytes, mut entry_bytes, mut count) = (0, 0, 0);
        for (element, entry) in elements.zip(entries.clone()) {
            text_bytes += element.len();
            entry_bytes += entry.size();
            count += 1;
        }
        let pack = Listpack::new(in_place.bytes());
        let (len, bytes) = (pack.len() + count, pack.as_bytes().len());
        let exceeded = Bounds::of(limits).exceeded_by(bytes + text_bytes, len);
        if exceeded || !in_place.holds(bytes + entry_bytes) {
            return None;
        }
        match end {
            ListEnd::Left => {
                let entries = entries.rev();
                listpack::insert_all(&mut in_place, listpack::START, entry_bytes, entries);
            }
            ListEnd::Right => {
                listpack::insert_all(&mut in_place, bytes - 1, entry_bytes, entries);
            }
        }
        Some(len)
    }

    /// Deletes `count` elements at an end, or as many as there are, and says how many. Effect:
    /// `LPOP` or `RPOP`.
    pub fn pop(&mut self, end: ListEnd, count: usize) -> usize {
        let count = self.cut(end, count);
        let verb = end.pop();
        match count {
            0 => {}
            1 => self.0.emit_alone(verb, &[]),
            _ => {
                let mut text = IntText::default();
                self.0.emit_alone(verb, &[text.unsigned(count as u64)]);
                self.0.count(count as u64 - 1);
            }
        }
        count
    }

    /// Moves the element at one end to an end, and says whether there is one. Effect: `LMOVE`,
    /// because a list of one element must not go away in between.
    pub fn turn(&mut self, from: ListEnd, to: ListEnd) -> bool {
        let Some(element) = self.view().elements(from, 0, 1).next() else {
            return false;
        };
        let element = element.text(&mut IntText::default()).to_vec();
        self.cut(from, 1);
        let parts = self.0.parts();
        let bounds = Bounds::of(parts.limits);
        parts.value.make_room(element.len(), 1, bounds);
        parts.value.push(to, &element, bounds);
        let words = [self.0.key(), from.name(), to.name()];
        self.0.emit_alone(b"LMOVE", &words);
        true
    }

    /// Deletes all but `count` elements behind the first `skip`. Effect: `LTRIM`.
    pub fn trim(&mut self, skip: usize, count: usize) {
        let len = self.len();
        let skip = skip.min(len);
        let count = count.min(len - skip);
        let cut = self.cut(ListEnd::Right, len - skip - count) + self.cut(ListEnd::Left, skip);
        if cut == 0 {
            return;
        }
        let (mut first, mut last) = (IntText::default(), IntText::default());
        // Where nothing is to be left, the last comes before the first.
        let words = match count {
            0 => [&b"1"[..], b"0"],
            _ => [
                first.unsigned(skip as u64),
                last.unsigned((skip + count - 1) as u64),
            ],
        };
        self.0.emit_alone(b"LTRIM", &words);
        self.0.count(cut as u64 - 1);
    }

    fn cut(&mut self, end: ListEnd, count: usize) -> usize {
        let len = self.len();
        let count = count.min(len);
        if count == 0 {
            return 0;
        }
        // With its last element the key goes away.
        if count < len
            && let Some(mut in_place) = self.0.in_place()
        {
            cut_packed(&mut in_place, end, count);
            return count;
        }
        let parts = self.0.parts();
        let bounds = Bounds::of(parts.limits);
        let cut = parts.value.cut(end, count);
        parts.value.relax(bounds);
        if let Some(cut) = cut.filter(|cut| cut.node_count() > FREE_AT_ONCE) {
            self.0.discard(List::Quick(Box::new(cut)));
        }
        count
    }

    /// Replaces the element with this index and says whether there is one. Effect: `LSET`.
    pub fn set(&mut self, index: usize, element: &[u8]) -> bool {
        if index >= self.len() {
            return false;
        }
        let parts = self.0.parts();
        let bounds = Bounds::of(parts.limits);
        parts.value.make_room(element.len(), 1, bounds);
        parts.value.replace(index, element, bounds);
        parts.value.relax(bounds);
        let mut text = IntText::default();
        let words = [text.unsigned(index as u64), element];
        self.0.emit_alone(b"LSET", &words);
        true
    }

    /// Adds an element before the first one that is equal to `pivot`, or after it, and says whether
    /// there is one. Effect: `LINSERT`.
    pub fn insert(&mut self, pivot: &[u8], after: bool, element: &[u8]) -> bool {
        let needle = Needle::new(pivot);
        let parts = self.0.parts();
        let bounds = Bounds::of(parts.limits);
        if !parts.value.may_contain(needle) {
            return false;
        }
        parts.value.make_room(element.len(), 1, bounds);
        let inserted = parts.value.insert(needle, after, element, bounds);
        if inserted {
            self.emit_insertion(pivot, after, element);
        }
        inserted
    }

    /// Adds an element before the first one that is equal to `pivot`, which has this index, or
    /// after it. Effect: `LINSERT`.
    pub fn insert_beside(&mut self, index: usize, pivot: &[u8], after: bool, element: &[u8]) {
        let parts = self.0.parts();
        let bounds = Bounds::of(parts.limits);
        parts.value.make_room(element.len(), 1, bounds);
        parts.value.insert_beside(index, after, element, bounds);
        self.emit_insertion(pivot, after, element);
    }

    fn emit_insertion(&mut self, pivot: &[u8], after: bool, element: &[u8]) {
        let side: &[u8] = if after { b"AFTER" } else { b"BEFORE" };
        self.0.emit_alone(b"LINSERT", &[side, pivot, element]);
    }

    /// Deletes up to `max` elements that are equal to `element`, those nearest to an end, and says
    /// how many. Effect: `LREM`.
    pub fn remove(&mut self, element: &[u8], nearest: ListEnd, max: usize) -> usize {
        let needle = Needle::new(element);
        let parts = self.0.parts();
        let bounds = Bounds::of(parts.limits);
        let removed = parts.value.delete_matches(needle, nearest, max, bounds);
        self.end_removal(element, nearest, removed);
        removed
    }

    /// The same of a part of a list: of about `part.len()` elements that `part.start` others are
    /// before on the way from the end. Those before must not match. Effect: `LREM`.
    pub fn remove_in(
        &mut self,
        element: &[u8],
        nearest: ListEnd,
        max: usize,
        part: Range<usize>,
    ) -> ListSweep {
        let needle = Needle::new(element);
        let parts = self.0.parts();
        let (list, bounds) = (parts.value, Bounds::of(parts.limits));
        let sweep = list.delete_matches_in(needle, nearest, max, part, bounds);
        self.end_removal(element, nearest, sweep.deleted);
        sweep
    }

    fn end_removal(&mut self, element: &[u8], nearest: ListEnd, removed: usize) {
        if removed > 0 {
            let parts = self.0.parts();
            let bounds = Bounds::of(parts.limits);
            parts.value.relax(bounds);
            let count = match nearest {
                ListEnd::Left => removed as i64,
                ListEnd::Right => -(removed as i64),
            };
            let mut text = IntText::default();
            self.0.emit_alone(b"LREM", &[text.format(count), element]);
            self.0.count(removed as u64 - 1);
        }
    }
}
