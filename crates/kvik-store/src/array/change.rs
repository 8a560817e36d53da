//! Changing the elements and the cursor of an array.

use super::body::ArrayBody;
use super::{Array, ArrayRef};
use crate::edit::Edit;
use crate::entry::Entry;
use crate::kind::WrongKind;
use crate::packed::Element;
use crate::text::IntText;

/// Slices up to which something is freed at once.
const FREE_AT_ONCE: usize = 64;

/// An array to change. One that was not there is there once it has an element; one without elements
/// goes away.
#[derive(Debug)]
pub struct ArrayMut<'g>(pub(super) Edit<'g, Array>);

impl<'g> Entry<'g> {
    /// The array in this place, to change it.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn array_mut(self) -> Result<ArrayMut<'g>, WrongKind> {
        Edit::open(self).map(ArrayMut)
    }
}

impl ArrayMut<'_> {
    /// The largest index, which no element has but all are below.
    pub const END: u64 = u64::MAX;

    /// Bytes that a value may have at most.
    pub const MAX_BYTES: usize = 1 << 30;

    pub(super) fn body(&mut self) -> &mut ArrayBody {
        self.0.parts().value.body_mut()
    }

    /// The array to read.
    pub fn view(&self) -> ArrayRef<'_> {
        self.0.view()
    }

    /// Sets elements from an index on, and says how many were not there. The last of them is below
    /// [`END`](Self::END). Effect: `ARSET`.
    pub fn set<'w>(
        &mut self,
        index: u64,
        values: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
    ) -> u64 {
        let mut filled = 0;
        for (value, index) in values.clone().zip(index..) {
            filled += u64::from(self.put(index, value));
        }
        self.emit_values(b"ARSET", &[IntText::default().unsigned(index)], values);
        filled
    }

    /// Sets one element and says whether it was not there. Effect: `ARMSET`.
    pub fn set_one(&mut self, index: u64, value: &[u8]) -> bool {
        let is_new = self.put(index, value);
        let mut text = IntText::default();
        self.0.emit(b"ARMSET", &[text.unsigned(index), value]);
        is_new
    }

    pub(super) fn put(&mut self, index: u64, value: &[u8]) -> bool {
        self.body().put(index, Element::Bytes(value).canonical())
    }

    fn emit_values<'w>(
        &mut self,
        verb: &'static [u8],
        first: &[&[u8]],
        values: impl ExactSizeIterator<Item = &'w [u8]>,
    ) {
        let count = values.len() as u64;
        if self.0.is_told() {
            self.0.emit_each(verb, first, values);
        } else {
            self.0.count(1);
        }
        self.0.count(count.saturating_sub(1));
    }

    /// Where the first of the next elements is inserted; nothing if there is no index left for so
    /// many.
    pub fn next_indexes(&self, count: u64) -> Option<u64> {
        let first = self
            .view()
            .cursor()
            .map_or(Some(0), |it| it.checked_add(1))?;
        first.checked_add(count).map(|_| first)
    }

    /// Inserts elements behind the one inserted last, and returns the index of the last one;
    /// nothing if they do not fit below [`END`](Self::END). Effect: `ARINSERT`.
    pub fn insert<'w>(
        &mut self,
        values: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
    ) -> Option<u64> {
        let first = self.next_indexes(values.len() as u64)?;
        let mut last = None;
        for (value, index) in values.clone().zip(first..) {
            self.put(index, value);
            last = Some(index);
        }
        self.body().cursor = last;
        self.emit_values(b"ARINSERT", &[], values);
        last
    }

    /// Inserts elements behind the one inserted last, at the start again behind `size` elements,
    /// and returns the index of the last one. If the ring was of another size, only the elements
    /// inserted last are kept, as far as they lie together. Effect: `ARRING`.
    pub fn insert_in_ring<'w>(
        &mut self,
        size: u64,
        values: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
    ) -> u64 {
        self.resize_ring(size);
        let mut index = 0;
        for value in values.clone() {
            let body = self.body();
            index = body.cursor.map_or(0, |it| it + 1);
            index = if index < size { index } else { index % size };
            body.cursor = Some(index);
            self.put(index, value);
        }
        self.emit_values(b"ARRING", &[IntText::default().unsigned(size)], values);
        index
    }

    /// Makes a ring of another size of the array: shorter, or longer after it has begun anew.
    fn resize_ring(&mut self, size: u64) {
        let (old, cursor) = (self.view().len(), self.view().cursor());
        let is_wrapped = cursor.is_some_and(|cursor| cursor + 1 < old);
        if old == 0 || !(size < old || (size > old && is_wrapped)) {
            return;
        }
        let newest = cursor.map_or(old - 1, |cursor| cursor % old);
        // From the newest element back to the first hole; then they are put in order, the oldest
        // first.
        let view = self.view();
        let mut kept = 0;
        while kept < size.min(old) && view.get(before_by(newest, kept, old)).is_some() {
            kept += 1;
        }
        let mut ring = ArrayBody::new();
        for index in 0..kept {
            let from = before_by(newest, kept - 1 - index, old);
            if let Some(value) = view.get(from) {
                ring.put(index, value);
            }
        }
        ring.cursor = kept.checked_sub(1);
        let old = std::mem::replace(self.body(), ring);
        self.discard(old);
    }

    /// Deletes elements and says how many there were. Effect: `ARDEL`.
    pub fn delete(&mut self, indexes: impl Iterator<Item = u64>) -> u64 {
        let mut deleted = 0;
        for index in indexes {
            if self.body().delete(index) {
                self.0.emit(b"ARDEL", &[IntText::default().unsigned(index)]);
                deleted += 1;
            }
        }
        deleted
    }

    /// Deletes the elements from one index to another, both of them included, and says how many
    /// there were. Effect: `ARDELRANGE`.
    pub fn delete_range(&mut self, first: u64, last: u64) -> u64 {
        let (deleted, gone) = self.body().delete_range(first, last);
        if deleted > 0 {
            let (mut from, mut to) = (IntText::default(), IntText::default());
            let words = [from.unsigned(first), to.unsigned(last)];
            self.0.emit(b"ARDELRANGE", &words);
            self.0.count(deleted - 1);
        }
        self.discard(ArrayBody::remains(gone));
        deleted
    }

    /// Lets the next element be inserted at an index, which may be [`END`](Self::END): then none
    /// can. Effect: `ARSEEK`.
    pub fn seek(&mut self, index: u64) {
        self.body().cursor = index.checked_sub(1);
        let mut text = IntText::default();
        self.0.emit_alone(b"ARSEEK", &[text.unsigned(index)]);
    }

    /// Lets what was taken out of the array be freed, in slices if it is much.
    fn discard(&mut self, remains: ArrayBody) {
        if remains.slices.len() > FREE_AT_ONCE {
            self.0.discard(Array::from(remains));
        }
    }
}

/// The index so many places before another one in a ring.
fn before_by(index: u64, places: u64, ring: u64) -> u64 {
    if places <= index {
        index - places
    } else {
        index + (ring - places)
    }
}
