//! The entries of a stripe: keys, and members of large collections, in the arena, with what is too
//! large for a cell in buffers beside it.
//!
//! A change that needs another size of cell moves the entry, so every change returns where the
//! entry is then; the caller lets its table lead there.

mod buffers;
mod record;
mod splice;

use std::borrow::Cow;

use kvik_rope::Rope;

use self::buffers::Buffers;
use self::record::{
    INLINE_KEY_MAX, PackedInt, copy_with_expiry, overwrite_expiry, value_room, write_clock,
    write_head,
};
use crate::UnixMs;
use crate::raw::arena::Arena;
use crate::raw::class::{MAX_BYTES, rounded};
use crate::raw::entry_ref::EntryRef;
use crate::shape::{Shapes, shape_number};
use crate::text::{IntText, Text, TextRef};

pub(crate) use self::record::{
    EXTERNAL_BYTES, Head, KEY, MEMBER, Member, Record, ValueForm, bytes_before_value,
};

/// A rope from this size on is dropped when no lock is held, by another thread. To free fewer
/// chunks takes some microseconds, and who has just freed them finds them in its cache when it
/// receives the next value.
const DROP_LATER_BYTES: usize = 2 << 20;

/// The cells of a stripe's entries and members, and the buffers of what is too large for them.
#[derive(Debug)]
pub(crate) struct Cells {
    pub(crate) arena: Arena,
    buffers: Buffers,
    /// The names of fields that packed hashes have in common.
    pub(crate) shapes: Shapes,
    /// Large strings that no entry leads to.
    pub(crate) dropped: Vec<Rope>,
}

/// A value in the form in which a cell takes it.
pub(crate) enum CellValue<'a> {
    Inline(ValueForm, Cow<'a, [u8]>),
    Int(PackedInt),
    External(ValueForm, [u8; EXTERNAL_BYTES]),
}

impl Cells {
    pub(crate) fn new() -> Self {
        Self {
            arena: Arena::new(),
            buffers: Buffers::default(),
            shapes: Shapes::default(),
            dropped: Vec::new(),
        }
    }

    #[inline]
    pub(crate) fn record<const CLOCK: usize>(&self, entry: EntryRef) -> Record<'_, CLOCK> {
        Record::new(self.arena.bytes(entry), &self.buffers)
    }

    /// A member of a collection.
    #[inline]
    pub(crate) fn member(&self, entry: EntryRef) -> Member<'_> {
        self.record(entry)
    }

    /// Bytes that are resident.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.arena.touched_bytes() + self.buffers.bytes() + self.shapes.bytes()
    }

    /// Bytes of free cells between those in use.
    #[inline]
    pub(crate) fn free_bytes(&self) -> usize {
        self.arena.touched_bytes() - self.arena.live_bytes()
    }

    /// Bytes of all entries.
    pub(crate) fn live_bytes(&self) -> usize {
        self.arena.live_bytes() + self.buffers.bytes()
    }

    /// Makes an entry whose value is a string. The clock of a key is still to be written.
    pub(crate) fn insert<const CLOCK: usize>(
        &mut self,
        key: &[u8],
        text: Text<'_>,
        expire_at: Option<UnixMs>,
    ) -> EntryRef {
        let fixed = bytes_before_value::<CLOCK>(key_bytes(key), expire_at);
        let stored = self.store::<CLOCK>(text, fixed);
        self.insert_stored::<CLOCK>(key, &stored, expire_at)
    }

    /// Makes an entry. The value fits beside the key; the clock of a key is still to be written.
    pub(crate) fn insert_stored<const CLOCK: usize>(
        &mut self,
        key: &[u8],
        stored: &CellValue<'_>,
        expire_at: Option<UnixMs>,
    ) -> EntryRef {
        // A key too long for a cell lies in a buffer, and the cell has the buffer's number in its
        // place.
        let is_external = key.len() > INLINE_KEY_MAX;
        let external = is_external.then(|| self.buffers.insert(key).to_ne_bytes());
        let key = external.as_ref().map_or(key, |index| &index[..]);
        let fixed = bytes_before_value::<CLOCK>(key.len(), expire_at);
        let entry = self.arena.alloc(fixed + stored.bytes().len());
        let cell = self.arena.bytes_mut(entry);
        write_head::<CLOCK>(cell, expire_at, key, is_external);
        stored.write::<CLOCK>(cell);
        entry
    }

    /// Writes the access clock of a key.
    #[inline]
    pub(crate) fn set_clock(&mut self, entry: EntryRef, clock: u32) {
        write_clock(self.arena.bytes_mut(entry), clock);
    }

    /// Frees an entry and its buffers.
    pub(crate) fn free<const CLOCK: usize>(&mut self, entry: EntryRef) {
        let key = self.record::<CLOCK>(entry).external_key();
        key.into_iter().for_each(|key| self.buffers.remove(key));
        self.drop_external_value::<CLOCK>(entry);
        self.arena.free(entry);
    }

    /// Replaces the value by a string.
    pub(crate) fn set_text<const CLOCK: usize>(
        &mut self,
        entry: EntryRef,
        text: Text<'_>,
    ) -> EntryRef {
        let fixed = self.value_start::<CLOCK>(entry);
        // The old value's buffer goes first, so that both are never there at once.
        self.drop_external_value::<CLOCK>(entry);
        let stored = self.store::<CLOCK>(text, fixed);
        self.write_stored::<CLOCK>(entry, fixed, &stored)
    }

    /// Writes another string and another clock over those of a key, if both strings take the same
    /// cell; says whether it did.
    #[inline]
    pub(crate) fn overwrite(
        &mut self,
        entry: EntryRef,
        text: &Text<'_>,
        clock: Option<u32>,
    ) -> bool {
        let packed;
        let (form, bytes) = match text {
            Text::Int(n) => {
                packed = PackedInt::new(*n);
                (ValueForm::Int, packed.bytes())
            }
            Text::Bytes { bytes, raw: false } => (ValueForm::Bytes, &**bytes),
            Text::Bytes { .. } | Text::Rope { .. } => return false,
        };
        let cell = self.arena.bytes_mut(entry);
        let head = Head::<KEY>::of(cell);
        let end = head.value_start() + bytes.len();
        // Only where the cell stays the same one: then neither the table nor the accounts change.
        if !head.form().is_inline_string() || end > MAX_BYTES || rounded(end) != cell.len() {
            return false;
        }
        value_room::<KEY>(cell, form, bytes.len()).copy_from_slice(bytes);
        if let Some(clock) = clock {
            write_clock(cell, clock);
        }
        true
    }

    /// Replaces the value by one that fits beside the key.
    pub(crate) fn set_stored<const CLOCK: usize>(
        &mut self,
        entry: EntryRef,
        stored: &CellValue<'_>,
    ) -> EntryRef {
        let fixed = self.value_start::<CLOCK>(entry);
        self.drop_external_value::<CLOCK>(entry);
        self.write_stored::<CLOCK>(entry, fixed, stored)
    }

    /// Sets when the entry expires. A packed value that then is too large for the cell stays as it
    /// is: see [`Self::expiry_fits`].
    pub(crate) fn set_expiry<const CLOCK: usize>(
        &mut self,
        entry: EntryRef,
        expire_at: Option<UnixMs>,
    ) -> EntryRef {
        if overwrite_expiry::<CLOCK>(self.arena.bytes_mut(entry), expire_at) {
            return entry;
        }
        if !self.expiry_fits::<CLOCK>(entry, expire_at) {
            // With its value in a buffer, an entry is as small as it gets, and there is room for an
            // expiry.
            let external = self.value_to_buffer::<CLOCK>(entry);
            return self.set_expiry::<CLOCK>(external, expire_at);
        }
        let bytes = self.bytes_with_expiry::<CLOCK>(entry, expire_at);
        let to = self.arena.alloc(bytes);
        let (old, new) = self.arena.pair(entry, to);
        copy_with_expiry::<CLOCK>(old, new, expire_at);
        self.arena.free(entry);
        to
    }

    /// Whether an entry with this expiry would be small enough for a cell.
    pub(crate) fn expiry_fits<const CLOCK: usize>(
        &self,
        entry: EntryRef,
        expire_at: Option<UnixMs>,
    ) -> bool {
        self.bytes_with_expiry::<CLOCK>(entry, expire_at) <= MAX_BYTES
    }

    /// Overwrites the string from `offset` on, filling a gap with zeros. Returns the entry and the
    /// string's length.
    pub(crate) fn write_range(
        &mut self,
        entry: EntryRef,
        offset: usize,
        bytes: &[u8],
    ) -> (EntryRef, usize) {
        let record = self.record::<KEY>(entry);
        let len = record.string().len().max(offset + bytes.len());
        if let Some(index) = record.external_value() {
            // A rope changes in place, chunk by chunk; what readers and images hold of it stays as
            // it was.
            self.buffers.change(index, |rope| rope.write(offset, bytes));
            value_room::<KEY>(
                self.arena.bytes_mut(entry),
                ValueForm::ExternalRaw,
                EXTERNAL_BYTES,
            );
            return (entry, len);
        }
        let start = self.value_start::<KEY>(entry);
        if start + len > MAX_BYTES {
            // What grows beyond a cell becomes a rope.
            let text = record.string();
            let mut rope = Rope::from(&*text.text(&mut IntText::default()));
            rope.write(offset, bytes);
            let text = Text::Rope { rope, raw: true };
            return (self.set_text::<KEY>(entry, text), len);
        }
        let to = self.inline_raw_of_len(entry, start, len);
        self.arena.bytes_mut(to)[start + offset..][..bytes.len()].copy_from_slice(bytes);
        (to, len)
    }

    /// Takes the value of an entry along, which is a string, and frees the entry.
    pub(crate) fn take_text(&mut self, entry: EntryRef) -> Text<'static> {
        let record = self.record::<KEY>(entry);
        let text = match record.external_value() {
            Some(index) => {
                let raw = record.form() == ValueForm::ExternalRaw;
                // An empty rope stays behind, to be freed with the entry.
                let rope = self.buffers.change(index, std::mem::take);
                Text::Rope { rope, raw }
            }
            None => record.text().into_owned(),
        };
        self.free::<KEY>(entry);
        text
    }

    fn value_start<const CLOCK: usize>(&self, entry: EntryRef) -> usize {
        Head::<CLOCK>::of(self.arena.bytes(entry)).value_start()
    }

    fn bytes_with_expiry<const CLOCK: usize>(
        &self,
        entry: EntryRef,
        expire_at: Option<UnixMs>,
    ) -> usize {
        let record = self.record::<CLOCK>(entry);
        // The bytes of the key follow from where the value starts, whether it lies in the cell or
        // elsewhere.
        let before = bytes_before_value::<CLOCK>(0, record.expire_at());
        let key = self.value_start::<CLOCK>(entry) - before;
        bytes_before_value::<CLOCK>(key, expire_at) + record.stored_value().len()
    }

    /// The form of a string for a cell in which `before` bytes come first; that of a key becomes a
    /// rope if it is large.
    fn store<'t, const CLOCK: usize>(&mut self, text: Text<'t>, before: usize) -> CellValue<'t> {
        let (index, raw) = match text {
            Text::Int(n) => return CellValue::Int(PackedInt::new(n)),
            Text::Bytes { bytes, raw } if before + bytes.len() <= MAX_BYTES => {
                return CellValue::Inline(
                    if raw {
                        ValueForm::Raw
                    } else {
                        ValueForm::Bytes
                    },
                    bytes,
                );
            }
            Text::Bytes { bytes, raw } => (self.insert_external::<CLOCK>(&bytes), raw),
            Text::Rope { rope, raw } if CLOCK == KEY => (self.buffers.insert_rope(rope), raw),
            Text::Rope { rope, raw } => (self.buffers.insert(&rope.to_vec()), raw),
        };
        CellValue::External(
            if raw {
                ValueForm::ExternalRaw
            } else {
                ValueForm::ExternalBytes
            },
            index.to_ne_bytes(),
        )
    }

    fn write_stored<const CLOCK: usize>(
        &mut self,
        entry: EntryRef,
        fixed: usize,
        stored: &CellValue<'_>,
    ) -> EntryRef {
        let to = self.with_room::<CLOCK>(entry, fixed + stored.bytes().len());
        stored.write::<CLOCK>(self.arena.bytes_mut(to));
        to
    }

    /// The entry in a cell of the right size for `bytes`: this one, or a new one with a copy of all
    /// but the value.
    fn with_room<const CLOCK: usize>(&mut self, entry: EntryRef, bytes: usize) -> EntryRef {
        // Cells have fixed sizes: most changes of a value need no other one.
        if self.arena.bytes(entry).len() == rounded(bytes) {
            return entry;
        }
        let to = self.arena.alloc(bytes);
        let (old, new) = self.arena.pair(entry, to);
        let start = Head::<CLOCK>::of(old).value_start();
        new[..start].copy_from_slice(&old[..start]);
        self.arena.free(entry);
        to
    }

    /// Makes the value a string of this length in its cell that can be changed there, with zeros at
    /// the end if it grows.
    fn inline_raw_of_len(&mut self, entry: EntryRef, start: usize, len: usize) -> EntryRef {
        let record = self.record::<KEY>(entry);
        let old_len = record.stored_value().len();
        if record.form() == ValueForm::Raw && start + len <= self.arena.bytes(entry).len() {
            let cell = self.arena.bytes_mut(entry);
            value_room::<KEY>(cell, ValueForm::Raw, len)[old_len..].fill(0);
            return entry;
        }
        let to = self.arena.alloc(start + len);
        let (old, new) = self.arena.pair(entry, to);
        new[..start].copy_from_slice(&old[..start]);
        let mut room = IntText::default();
        let text = Record::<KEY>::new(old, &self.buffers).string();
        let text = text.text(&mut room);
        let value = value_room::<KEY>(new, ValueForm::Raw, len);
        value[..text.len()].copy_from_slice(&text);
        value[text.len()..].fill(0);
        self.arena.free(entry);
        to
    }

    /// Moves a string out of the cell.
    fn value_to_buffer<const CLOCK: usize>(&mut self, entry: EntryRef) -> EntryRef {
        let record = self.record::<CLOCK>(entry);
        let form = match record.form() {
            ValueForm::Raw => ValueForm::ExternalRaw,
            _ => ValueForm::ExternalBytes,
        };
        let text = record.stored_value().to_vec();
        let index = self.insert_external::<CLOCK>(&text);
        self.set_stored::<CLOCK>(entry, &CellValue::External(form, index.to_ne_bytes()))
    }

    /// Takes a value that is too large for the cell of a key or a member.
    fn insert_external<const CLOCK: usize>(&mut self, text: &[u8]) -> u32 {
        if CLOCK == KEY {
            self.buffers.insert_rope(text.into())
        } else {
            self.buffers.insert(text)
        }
    }

    fn drop_external_value<const CLOCK: usize>(&mut self, entry: EntryRef) {
        let record = self.record::<CLOCK>(entry);
        let Some(index) = record.external_value() else {
            return self.leave_shape::<CLOCK>(entry);
        };
        // Only keys have ropes. The values of members are plain buffers, which no reader shares.
        if CLOCK != KEY {
            return self.buffers.remove(index);
        }
        let rope = self.buffers.remove_rope(index);
        if rope.len() >= DROP_LATER_BYTES {
            self.dropped.push(rope);
        }
    }
}

impl Cells {
    /// Ends the use of a shape by the value of an entry, if it is a hash that has one. Comes before
    /// another value takes its place.
    #[inline]
    pub(crate) fn leave_shape<const CLOCK: usize>(&mut self, entry: EntryRef) {
        let record = self.record::<CLOCK>(entry);
        if CLOCK == KEY && record.form() == ValueForm::ShapedHash {
            let number = shape_number(record.stored_value());
            self.shapes.release(number);
        }
    }
}

impl<'a> Record<'a, KEY> {
    /// The value, which is a string, to store it elsewhere.
    pub(crate) fn text(&self) -> Text<'a> {
        self.text_of(self.string())
    }
}

impl<'a> Record<'a, MEMBER> {
    /// The value, which is a string, to store it elsewhere.
    pub(crate) fn text(&self) -> Text<'a> {
        self.text_of(self.string().into())
    }

    /// Whether the value was changed in place.
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self.form(), ValueForm::Raw | ValueForm::ExternalRaw)
    }
}

impl<'a, const CLOCK: usize> Record<'a, CLOCK> {
    fn text_of(&self, string: TextRef<'a>) -> Text<'a> {
        let raw = matches!(self.form(), ValueForm::Raw | ValueForm::ExternalRaw);
        match string {
            TextRef::Int(n) => Text::Int(n),
            TextRef::Bytes(bytes) => Text::Bytes {
                bytes: Cow::Borrowed(bytes),
                raw,
            },
            TextRef::Rope(rope) => Text::Rope {
                rope: rope.clone(),
                raw,
            },
        }
    }
}

impl CellValue<'_> {
    /// The bytes of the value that lie in the cell.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline(_, bytes) => bytes,
            Self::Int(n) => n.bytes(),
            Self::External(_, index) => index,
        }
    }

    fn write<const CLOCK: usize>(&self, cell: &mut [u8]) {
        let form = match self {
            Self::Inline(form, _) | Self::External(form, _) => *form,
            Self::Int(_) => ValueForm::Int,
        };
        let bytes = self.bytes();
        value_room::<CLOCK>(cell, form, bytes.len()).copy_from_slice(bytes);
    }
}

/// Bytes of a key in its cell.
pub(crate) fn key_bytes(key: &[u8]) -> usize {
    if key.len() > INLINE_KEY_MAX {
        EXTERNAL_BYTES
    } else {
        key.len()
    }
}
