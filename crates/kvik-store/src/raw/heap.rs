//! The entries of a stripe: made, changed and freed in the arena and the slab.
//!
//! A change that needs another size of slot moves the entry, so every change returns where the entry is then; the caller
//! lets the table lead there.

use std::borrow::Cow;

use super::arena::{Arena, EntryRef};
use super::class::{MAX_BYTES, rounded};
use super::entry::{
    Entry, FAR_BYTES, Form, Head, NEAR_KEY_MAX, PackedInt, bytes_before_value, copy_with_expiry,
    overwrite_expiry, value_room, write_clock, write_head,
};
use super::slab::Slab;
use crate::UnixMs;
use crate::value::{IntText, NewString, ValueRef, canonical_int};

/// A buffer from this size on is dropped when no lock is held.
const DROP_LATER_BYTES: usize = 64 << 10;

/// A value to store.
#[derive(Clone, Debug)]
pub(crate) enum Content<'a> {
    /// A string that is a canonical decimal integer.
    Int(i64),
    /// Any other string; `raw` when it was changed in place.
    Text {
        /// The string.
        bytes: Cow<'a, [u8]>,
        /// Whether it was changed in place.
        raw: bool,
    },
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Heap {
    pub(crate) arena: Arena,
    slab: Slab,
    /// Large buffers that no entry leads to.
    pub(crate) dropped: Vec<Vec<u8>>,
}

/// A value in the form in which a slot takes it.
enum Stored<'a> {
    Near(Form, Cow<'a, [u8]>),
    Int(PackedInt),
    Far(Form, [u8; FAR_BYTES]),
}

impl<'a> From<NewString<'a>> for Content<'a> {
    fn from(string: NewString<'a>) -> Self {
        match string {
            NewString::Int(n) => Self::Int(n),
            NewString::Bytes(bytes) => canonical_int(bytes).map_or(
                Self::Text {
                    bytes: Cow::Borrowed(bytes),
                    raw: false,
                },
                Self::Int,
            ),
        }
    }
}

impl Heap {
    pub(crate) fn new() -> Self {
        Self {
            arena: Arena::new(),
            slab: Slab::default(),
            dropped: Vec::new(),
        }
    }

    #[inline]
    pub(crate) fn entry(&self, entry: EntryRef) -> Entry<'_> {
        Entry::new(self.arena.bytes(entry), &self.slab)
    }

    /// Bytes that are resident for entries.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.arena.touched_bytes() + self.slab.bytes()
    }

    /// Bytes of all entries.
    pub(crate) fn live_bytes(&self) -> usize {
        self.arena.live_bytes() + self.slab.bytes()
    }

    pub(crate) fn insert(
        &mut self,
        key: &[u8],
        content: Content<'_>,
        expire_at: Option<UnixMs>,
        clock: u32,
    ) -> EntryRef {
        let is_far = key.len() > NEAR_KEY_MAX;
        let far = is_far.then(|| self.slab.insert(key.into()).to_ne_bytes());
        let key = far.as_ref().map_or(key, |index| &index[..]);
        let fixed = bytes_before_value(key.len(), expire_at);
        let stored = self.store(content, fixed);
        let entry = self.arena.alloc(fixed + stored.bytes().len());
        let slot = self.arena.bytes_mut(entry);
        write_head(slot, clock, expire_at, key, is_far);
        stored.write(slot);
        entry
    }

    pub(crate) fn free(&mut self, entry: EntryRef) {
        let far = self.entry(entry).far();
        far.for_each(|index| self.drop_far(index));
        self.arena.free(entry);
    }

    #[inline]
    pub(crate) fn set_clock(&mut self, entry: EntryRef, clock: u32) {
        write_clock(self.arena.bytes_mut(entry), clock);
    }

    pub(crate) fn set_value(&mut self, entry: EntryRef, content: Content<'_>) -> EntryRef {
        if let Some(index) = self.entry(entry).far_value() {
            self.drop_far(index);
        }
        let fixed = self.head(entry).value_start();
        let stored = self.store(content, fixed);
        let to = self.with_room(entry, fixed + stored.bytes().len());
        stored.write(self.arena.bytes_mut(to));
        to
    }

    pub(crate) fn set_expiry(&mut self, entry: EntryRef, expire_at: Option<UnixMs>) -> EntryRef {
        if overwrite_expiry(self.arena.bytes_mut(entry), expire_at) {
            return entry;
        }
        let view = self.entry(entry);
        let value = view.stored_value().len();
        let before = bytes_before_value(self.key_bytes(entry), expire_at);
        if before + value > MAX_BYTES {
            let far = self.value_to_slab(entry);
            return self.set_expiry(far, expire_at);
        }
        let to = self.arena.alloc(before + value);
        let (old, new) = self.arena.pair(entry, to);
        copy_with_expiry(old, new, expire_at);
        self.arena.free(entry);
        to
    }

    /// Overwrites the string from `offset` on, filling a gap with zeros. Returns the entry and the string's length.
    pub(crate) fn write_range(
        &mut self,
        entry: EntryRef,
        offset: usize,
        bytes: &[u8],
    ) -> (EntryRef, usize) {
        let ValueRef::String(text) = self.entry(entry).value();
        let len = text.len().max(offset + bytes.len());
        let to = self.raw_of_len(entry, len);
        let write = |text: &mut [u8]| text[offset..offset + bytes.len()].copy_from_slice(bytes);
        if let Some(index) = self.entry(to).far_value() {
            self.slab.change(index, |buffer| write(buffer));
        } else {
            let start = self.head(to).value_start();
            write(&mut self.arena.bytes_mut(to)[start..start + len]);
        }
        (to, len)
    }

    /// Takes an entry's value along and frees the entry.
    pub(crate) fn take(&mut self, entry: EntryRef) -> Content<'static> {
        let view = self.entry(entry);
        let content = match view.far_value() {
            Some(index) => {
                let raw = view.form() == Form::FarRaw;
                // An empty buffer stays behind, to be freed with the entry.
                let bytes = self.slab.change(index, std::mem::take);
                Content::Text {
                    bytes: Cow::Owned(bytes),
                    raw,
                }
            }
            None => self.copy(entry),
        };
        self.free(entry);
        content
    }

    /// A copy of an entry's value.
    pub(crate) fn copy(&self, entry: EntryRef) -> Content<'static> {
        let view = self.entry(entry);
        let ValueRef::String(text) = view.value();
        match text {
            crate::StringRef::Int(n) => Content::Int(n),
            crate::StringRef::Bytes(bytes) => Content::Text {
                bytes: Cow::Owned(bytes.into()),
                raw: matches!(view.form(), Form::Raw | Form::FarRaw),
            },
        }
    }

    fn head(&self, entry: EntryRef) -> Head {
        Head::of(self.arena.bytes(entry))
    }

    fn key_bytes(&self, entry: EntryRef) -> usize {
        let before = bytes_before_value(0, self.entry(entry).expire_at());
        self.head(entry).value_start() - before
    }

    /// The form of a value for a slot in which `before` bytes come first; a large value goes to the slab.
    fn store<'c>(&mut self, content: Content<'c>, before: usize) -> Stored<'c> {
        let (bytes, raw) = match content {
            Content::Int(n) => return Stored::Int(PackedInt::new(n)),
            Content::Text { bytes, raw } => (bytes, raw),
        };
        if before + bytes.len() <= MAX_BYTES {
            return Stored::Near(if raw { Form::Raw } else { Form::Bytes }, bytes);
        }
        let index = self.slab.insert(bytes.into_owned());
        Stored::Far(
            if raw { Form::FarRaw } else { Form::FarBytes },
            index.to_ne_bytes(),
        )
    }

    /// The entry in a slot of the right size for `bytes`: this one, or a new one with a copy of all but the value.
    fn with_room(&mut self, entry: EntryRef, bytes: usize) -> EntryRef {
        if self.arena.bytes(entry).len() == rounded(bytes) {
            return entry;
        }
        let to = self.arena.alloc(bytes);
        let (old, new) = self.arena.pair(entry, to);
        let start = Head::of(old).value_start();
        new[..start].copy_from_slice(&old[..start]);
        self.arena.free(entry);
        to
    }

    /// Makes the value a string of this length that can be changed in place, with zeros at the end if it grows.
    fn raw_of_len(&mut self, entry: EntryRef, len: usize) -> EntryRef {
        let start = self.head(entry).value_start();
        if let Some(index) = self.entry(entry).far_value() {
            self.slab.change(index, |buffer| grow(buffer, len));
            value_room(self.arena.bytes_mut(entry), Form::FarRaw, FAR_BYTES);
            return entry;
        }
        let mut room = IntText::default();
        let ValueRef::String(text) = self.entry(entry).value();
        if start + len > MAX_BYTES {
            let mut buffer = Vec::with_capacity(len + len / 4);
            buffer.extend_from_slice(text.text(&mut room));
            buffer.resize(len, 0);
            let bytes = Cow::Owned(buffer);
            return self.set_value(entry, Content::Text { bytes, raw: true });
        }
        self.near_raw_of_len(entry, start, len)
    }

    fn near_raw_of_len(&mut self, entry: EntryRef, start: usize, len: usize) -> EntryRef {
        let old_len = self.entry(entry).stored_value().len();
        if self.head(entry).form() == Form::Raw && start + len <= self.arena.bytes(entry).len() {
            value_room(self.arena.bytes_mut(entry), Form::Raw, len)[old_len..].fill(0);
            return entry;
        }
        let to = self.arena.alloc(start + len);
        let (old, new) = self.arena.pair(entry, to);
        new[..start].copy_from_slice(&old[..start]);
        let mut room = IntText::default();
        let ValueRef::String(text) = Entry::new(old, &self.slab).value();
        let text = text.text(&mut room);
        let value = value_room(new, Form::Raw, len);
        value[..text.len()].copy_from_slice(text);
        value[text.len()..].fill(0);
        self.arena.free(entry);
        to
    }

    /// Moves a value that is in the slot to the slab.
    fn value_to_slab(&mut self, entry: EntryRef) -> EntryRef {
        let form = match self.head(entry).form() {
            Form::Raw => Form::FarRaw,
            _ => Form::FarBytes,
        };
        let bytes = self.entry(entry).stored_value().to_vec();
        let index = self.slab.insert(bytes).to_ne_bytes();
        let start = self.head(entry).value_start();
        let to = self.with_room(entry, start + FAR_BYTES);
        value_room(self.arena.bytes_mut(to), form, FAR_BYTES).copy_from_slice(&index);
        to
    }

    fn drop_far(&mut self, index: u32) {
        let buffer = self.slab.remove(index);
        if buffer.capacity() >= DROP_LATER_BYTES {
            self.dropped.push(buffer);
        }
    }
}

impl Stored<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Near(_, bytes) => bytes,
            Self::Int(n) => n.bytes(),
            Self::Far(_, index) => index,
        }
    }

    fn write(&self, slot: &mut [u8]) {
        let form = match self {
            Self::Near(form, _) | Self::Far(form, _) => *form,
            Self::Int(_) => Form::Int,
        };
        let bytes = self.bytes();
        value_room(slot, form, bytes.len()).copy_from_slice(bytes);
    }
}

/// Lengthens a buffer with zeros, with room for more growth in proportion.
fn grow(buffer: &mut Vec<u8>, len: usize) {
    if len > buffer.capacity() {
        buffer.reserve_exact(len + len / 4 - buffer.len());
    }
    if len > buffer.len() {
        buffer.resize(len, 0);
    }
}
