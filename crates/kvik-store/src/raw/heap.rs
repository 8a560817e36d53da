//! The keys of a stripe with their values: strings and small collections in cells, large collections by number.
//!
//! A collection is changed outside of its place: [`Heap::take_out`] hands it over, [`Heap::put_back`] stores it again in
//! whatever form it has then, and meanwhile its members are reached through [`Heap::cells`]. One that is no longer wanted
//! and large is freed in slices, by [`Heap::reclaim`].

mod copying;

use std::borrow::Cow;

use super::arena::EntryRef;
use super::cells::{CellValue, Cells, Text, key_bytes};
use super::class::MAX_BYTES;
use super::deadlines::NEVER;
use super::record::{Head, KEY, Record, ValueForm, bytes_before_value, write_clock};
use super::slab::Slab;
use crate::UnixMs;
use crate::layout::Layout;
use crate::object::Object;
use crate::shadow::Shadow;
use crate::stripe::Compacting;
use crate::value::{Encoding, Kind, TextRef, ValueRef};

/// Elements up to which a collection is freed at once.
const FREE_AT_ONCE: usize = 64;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Heap {
    pub(crate) cells: Cells,
    objects: Slab<StoredObject>,
    /// Bytes of all objects, without their members' cells.
    object_bytes: usize,
    /// Collections that no key leads to and that are still to be freed.
    doomed: Vec<Object>,
    /// Copies that are being made.
    shadows: Vec<Shadow>,
    /// Room for packed bytes while they change.
    scratch: Vec<u8>,
}

/// A collection in its place, and the bytes it accounts for: its own and those of its members' cells.
#[derive(Debug, Default)]
struct StoredObject {
    object: Object,
    bytes: usize,
}

/// A value to store.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// A string.
    Text(Text<'a>),
    /// A collection that needs no cells.
    Object(Object),
    /// A collection, and the cells that hold its members.
    Foreign(Object, Box<Cells>),
    /// A collection whose members are in the cells of the heap already, and how many bytes these have.
    Built(Object, usize),
    /// A collection that is in its place in the heap already.
    InSlab(u32),
}

/// An entry of the heap to read.
#[derive(Clone, Copy)]
pub(crate) struct HeapEntry<'a> {
    record: Record<'a, KEY>,
    heap: &'a Heap,
}

/// A collection out of its place, and what it accounted for there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ledger {
    object: Option<u32>,
    own_bytes: usize,
    cell_bytes: usize,
}

impl Ledger {
    /// Whether the collection lay packed in an entry, or nowhere.
    pub(crate) fn is_packed(&self) -> bool {
        self.object.is_none()
    }

    /// What it would be if cells of `bytes` were not there.
    pub(crate) fn before(self, bytes: usize) -> Self {
        Self {
            cell_bytes: self.cell_bytes - bytes,
            ..self
        }
    }
}

impl Heap {
    pub(crate) fn new() -> Self {
        Self {
            cells: Cells::new(),
            objects: Slab::default(),
            object_bytes: 0,
            doomed: Vec::new(),
            shadows: Vec::new(),
            scratch: Vec::new(),
        }
    }

    #[inline]
    pub(crate) fn entry(&self, entry: EntryRef) -> HeapEntry<'_> {
        HeapEntry {
            record: self.cells.record(entry),
            heap: self,
        }
    }

    /// The key of an entry.
    #[inline]
    pub(crate) fn key(&self, entry: EntryRef) -> &[u8] {
        self.cells.record::<KEY>(entry).key()
    }

    /// Bytes that are resident for entries.
    pub(crate) fn resident_bytes(&self) -> usize {
        let shadows = self.shadows.iter().map(|shadow| &shadow.object);
        let unplaced: usize = self.doomed.iter().chain(shadows).map(Object::bytes).sum();
        self.cells.resident_bytes() + self.object_bytes + unplaced
    }

    /// Bytes of all entries.
    pub(crate) fn live_bytes(&self) -> usize {
        self.cells.live_bytes() + self.object_bytes
    }

    pub(crate) fn insert(
        &mut self,
        key: &[u8],
        content: Content<'_>,
        expire_at: Option<UnixMs>,
        clock: u32,
        layout: &Layout,
    ) -> EntryRef {
        let entry = match content {
            Content::Text(text) => self.cells.insert::<KEY>(key, text, expire_at),
            Content::Object(object) => self.insert_object(key, object, self.ledger(), expire_at),
            Content::Foreign(mut object, cells) => {
                let ledger = self.ledger();
                let object = object.copy_to(&cells, &mut self.cells, layout);
                self.insert_object(key, object, ledger, expire_at)
            }
            Content::Built(object, cell_bytes) => {
                let ledger = self.ledger().before(cell_bytes);
                self.insert_object(key, object, ledger, expire_at)
            }
            Content::InSlab(index) => {
                let stored = CellValue::External(ValueForm::Object, index.to_ne_bytes());
                self.cells.insert_stored::<KEY>(key, &stored, expire_at)
            }
        };
        self.set_clock(entry, clock);
        entry
    }

    fn insert_object(
        &mut self,
        key: &[u8],
        object: Object,
        ledger: Ledger,
        expire_at: Option<UnixMs>,
    ) -> EntryRef {
        let fixed = bytes_before_value::<KEY>(key_bytes(key), expire_at);
        self.store(object, ledger, fixed, |cells, stored| {
            cells.insert_stored::<KEY>(key, stored, expire_at)
        })
    }

    /// Bytes that the heap accounts for of what is still to be inserted.
    pub(crate) fn bytes_in_place(&self, content: &Content<'_>) -> usize {
        match *content {
            Content::InSlab(index) => self.objects.get(index).bytes,
            Content::Built(_, cell_bytes) => cell_bytes,
            _ => 0,
        }
    }

    /// When a member of a collection expires that is to be inserted, at the earliest.
    pub(crate) fn members_deadline(&self, content: &Content<'_>) -> Option<UnixMs> {
        let object = match content {
            Content::Text(_) => return None,
            Content::Object(object) | Content::Foreign(object, _) | Content::Built(object, _) => {
                object
            }
            Content::InSlab(index) => &self.objects.get(*index).object,
        };
        Some(object.earliest_deadline()).filter(|&at| at != NEVER)
    }

    pub(crate) fn free(&mut self, entry: EntryRef) {
        self.drop_object(entry);
        self.cells.free::<KEY>(entry);
    }

    #[inline]
    pub(crate) fn set_clock(&mut self, entry: EntryRef, clock: u32) {
        write_clock(self.cells.arena.bytes_mut(entry), clock);
    }

    /// Replaces the value by a string.
    pub(crate) fn set_text(&mut self, entry: EntryRef, text: Text<'_>) -> EntryRef {
        self.drop_object(entry);
        self.cells.set_text::<KEY>(entry, text)
    }

    pub(crate) fn set_expiry(&mut self, entry: EntryRef, expire_at: Option<UnixMs>) -> EntryRef {
        let form = self.form(entry);
        if form == ValueForm::IndentedListPack {
            self.cells.unindent(entry);
        }
        if !form.is_string() && !self.cells.expiry_fits::<KEY>(entry, expire_at) {
            let (object, ledger) = self.take_out(entry);
            let moved = self.put_in_slab(entry, object, ledger);
            return self.cells.set_expiry::<KEY>(moved, expire_at);
        }
        self.cells.set_expiry::<KEY>(entry, expire_at)
    }

    /// Overwrites the string from `offset` on; see [`Cells::write_range`].
    pub(crate) fn write_range(
        &mut self,
        entry: EntryRef,
        offset: usize,
        bytes: &[u8],
    ) -> (EntryRef, usize) {
        self.cells.write_range(entry, offset, bytes)
    }

    /// Takes an entry's value along and frees the entry. What `stays` in the heap is not touched, and what needs no cells goes
    /// as it is; only the members of a table that leave have to be copied.
    pub(crate) fn take(
        &mut self,
        entry: EntryRef,
        stays: bool,
        layout: &Layout,
    ) -> Content<'static> {
        let record = self.entry(entry).record;
        if record.form().is_string() {
            return Content::Text(self.cells.take_text(entry));
        }
        let whole = match record.object() {
            Some(index) if stays => Some(Content::InSlab(index)),
            Some(index) if self.objects.get(index).object.members().is_none() => {
                Some(Content::Object(self.remove_object(index)))
            }
            _ => None,
        };
        let Some(content) = whole else {
            let copy = self.copy(entry, layout);
            self.free(entry);
            return copy;
        };
        self.cells.free::<KEY>(entry);
        content
    }

    /// A copy of an entry's value.
    pub(crate) fn copy(&mut self, entry: EntryRef, layout: &Layout) -> Content<'static> {
        let record = self.entry(entry).record;
        if record.form().is_string() {
            return Content::Text(record.text().into_owned());
        }
        let Some(index) = record.object() else {
            let (form, bytes) = record.packed();
            return Content::Object(Object::from_packed(form, bytes.to_vec()));
        };
        let object = &mut self.objects.get_mut(index).object;
        let mut cells = Box::new(Cells::new());
        let copy = object.copy_to(&self.cells, &mut cells, layout);
        match object.members() {
            Some(_) => Content::Foreign(copy, cells),
            None => Content::Object(copy),
        }
    }

    /// Takes the collection of an entry out of its place, to change it.
    pub(crate) fn take_out(&mut self, entry: EntryRef) -> (Object, Ledger) {
        let cell_bytes = self.cells.live_bytes();
        let record = self.cells.record::<KEY>(entry);
        let Some(index) = record.object() else {
            let mut bytes = std::mem::take(&mut self.scratch);
            bytes.clear();
            let (form, packed) = record.packed();
            bytes.extend_from_slice(packed);
            let ledger = Ledger {
                cell_bytes,
                ..Ledger::default()
            };
            return (Object::from_packed(form, bytes), ledger);
        };
        let object = std::mem::take(&mut self.objects.get_mut(index).object);
        let ledger = Ledger {
            object: Some(index),
            own_bytes: object.bytes(),
            cell_bytes,
        };
        (object, ledger)
    }

    /// How the value of an entry is stored.
    #[inline]
    pub(crate) fn form(&self, entry: EntryRef) -> ValueForm {
        self.cells.record::<KEY>(entry).form()
    }

    /// The bytes of a packed value.
    #[inline]
    pub(crate) fn packed(&self, entry: EntryRef) -> &[u8] {
        self.cells.record::<KEY>(entry).packed().1
    }

    /// The form of a value that is packed, and the most bytes that it may have in its entry.
    #[inline]
    pub(crate) fn packing(&self, entry: EntryRef) -> Option<(ValueForm, usize)> {
        let head = Head::<KEY>::of(self.cells.arena.bytes(entry));
        let form = head.form();
        form.is_packed()
            .then(|| (form, MAX_BYTES - head.value_start()))
    }

    /// What [`Self::put_back`] is to be told of a collection that has no place yet.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger {
            cell_bytes: self.cells.live_bytes(),
            ..Ledger::default()
        }
    }

    /// Stores a collection that was taken out of an entry and says where the entry is then.
    pub(crate) fn put_back(&mut self, entry: EntryRef, object: Object, ledger: Ledger) -> EntryRef {
        let fixed = self.value_start(entry);
        if ledger.object.is_some() && inline_form(&object, fixed).is_none() {
            // The entry says already where it is.
            self.enter(object, ledger);
            return entry;
        }
        self.store(object, ledger, fixed, |cells, stored| {
            cells.set_stored::<KEY>(entry, stored)
        })
    }

    /// Makes an entry of a collection that had no place yet.
    pub(crate) fn create(
        &mut self,
        key: &[u8],
        object: Object,
        ledger: Ledger,
        clock: u32,
    ) -> EntryRef {
        let fixed = bytes_before_value::<KEY>(key_bytes(key), None);
        let entry = self.store(object, ledger, fixed, |cells, stored| {
            cells.insert_stored::<KEY>(key, stored, None)
        });
        self.set_clock(entry, clock);
        entry
    }

    /// Gives back, unchanged, what was taken out of an entry.
    pub(crate) fn restore(&mut self, object: Object, ledger: Ledger) {
        match ledger.object {
            Some(index) => self.objects.get_mut(index).object = object,
            None => self.keep_scratch(object.into_packed_bytes()),
        }
    }

    /// Keeps the memory of packed bytes for the next collection that is taken out.
    pub(crate) fn keep_scratch(&mut self, bytes: Option<Vec<u8>>) {
        self.scratch = bytes.unwrap_or_default();
    }

    /// Frees up to about `max` elements of collections that no key leads to and says whether there are more.
    pub(crate) fn reclaim(&mut self, max: usize) -> bool {
        let Some(last) = self.doomed.last_mut() else {
            return false;
        };
        if !last.free(max, &mut self.cells) {
            self.doomed.pop();
        }
        !self.doomed.is_empty()
    }

    /// Whether there is something to [reclaim](Self::reclaim).
    pub(crate) fn has_doomed(&self) -> bool {
        !self.doomed.is_empty()
    }

    /// Moves members of one part of a collection out of sparse pages and says where to go on, if there is more.
    pub(crate) fn compact(&mut self, number: u32, part: usize) -> Option<Compacting> {
        if number >= self.objects.end() {
            return None;
        }
        let object = &mut self.objects.get_mut(number).object;
        Some(if object.compact(part, &mut self.cells) {
            Compacting::Members(number, part + 1)
        } else {
            Compacting::Members(number + 1, 0)
        })
    }

    fn value_start(&self, entry: EntryRef) -> usize {
        Head::<KEY>::of(self.cells.arena.bytes(entry)).value_start()
    }

    /// Stores a collection beside `fixed` other bytes of an entry, or by number.
    fn store(
        &mut self,
        object: Object,
        ledger: Ledger,
        fixed: usize,
        write: impl FnOnce(&mut Cells, &CellValue<'_>) -> EntryRef,
    ) -> EntryRef {
        let Some((form, bytes)) = inline_form(&object, fixed) else {
            let index = self.enter(object, ledger);
            return write(
                &mut self.cells,
                &CellValue::External(ValueForm::Object, index.to_ne_bytes()),
            );
        };
        let entry = write(
            &mut self.cells,
            &CellValue::Inline(form, Cow::Borrowed(bytes)),
        );
        if let Some(index) = ledger.object {
            self.object_bytes -= ledger.own_bytes;
            self.objects.remove(index);
        }
        self.keep_scratch(object.into_packed_bytes());
        entry
    }

    fn put_in_slab(&mut self, entry: EntryRef, object: Object, ledger: Ledger) -> EntryRef {
        let index = self.enter(object, ledger);
        let stored = CellValue::External(ValueForm::Object, index.to_ne_bytes());
        self.cells.set_stored::<KEY>(entry, &stored)
    }

    /// Gives a collection a number, the one it had if it had one, and counts its bytes.
    fn enter(&mut self, mut object: Object, ledger: Ledger) -> u32 {
        object.fit();
        let own_bytes = object.bytes();
        let index = match ledger.object {
            Some(index) => index,
            None => self.objects.insert(StoredObject::default()),
        };
        self.object_bytes = self.object_bytes + own_bytes - ledger.own_bytes;
        let cell_bytes = self.cells.live_bytes();
        let placed = self.objects.get_mut(index);
        placed.object = object;
        placed.bytes = placed.bytes + own_bytes + cell_bytes - ledger.own_bytes - ledger.cell_bytes;
        index
    }

    /// Ends the collection of an entry, if it is one that has its own place.
    fn drop_object(&mut self, entry: EntryRef) {
        let Some(index) = self.entry(entry).record.object() else {
            return;
        };
        let object = self.remove_object(index);
        self.discard(object);
    }

    fn remove_object(&mut self, index: u32) -> Object {
        let object = self.objects.remove(index).object;
        self.object_bytes -= object.bytes();
        object
    }

    /// Frees a collection that no key leads to: at once if it is small.
    pub(crate) fn discard(&mut self, mut object: Object) {
        if object.len() > FREE_AT_ONCE || object.free(FREE_AT_ONCE, &mut self.cells) {
            self.doomed.push(object);
        }
    }
}

/// The form and bytes of a collection that may lie beside `fixed` other bytes of an entry.
fn inline_form(object: &Object, fixed: usize) -> Option<(ValueForm, &[u8])> {
    let packed = object.packed();
    packed.filter(|(_, bytes)| fixed + bytes.len() <= MAX_BYTES)
}

impl<'a> HeapEntry<'a> {
    /// Whether this is its key.
    #[inline]
    pub(crate) fn has_key(&self, key: &[u8]) -> bool {
        self.record.has_key(key)
    }

    /// See [`crate::AccessPolicy`].
    #[inline]
    pub(crate) fn clock(&self) -> u32 {
        self.record.clock()
    }

    /// When the key expires.
    #[inline]
    pub(crate) fn expire_at(&self) -> Option<UnixMs> {
        self.record.expire_at()
    }

    /// Whether the key or a member of its value may expire; where it is false nothing does.
    #[inline]
    pub(crate) fn may_expire(&self) -> bool {
        self.record.may_expire()
    }

    /// The value, if it is a string.
    #[inline]
    pub(crate) fn string(&self) -> Option<TextRef<'a>> {
        let is_string = self.record.form().is_string();
        is_string.then(|| self.record.string())
    }

    /// When the key or a member of its value expires, at the earliest.
    #[inline]
    pub(crate) fn earliest_deadline(&self) -> Option<UnixMs> {
        let own = self.record.expire_at();
        let members = self.members_deadline();
        own.into_iter().chain(members).min()
    }

    /// When a member of the value expires, at the earliest.
    #[inline]
    pub(crate) fn members_deadline(&self) -> Option<UnixMs> {
        let index = self.record.object()?;
        let at = self.heap.objects.get(index).object.earliest_deadline();
        (at != NEVER).then_some(at)
    }

    /// Whether the value is a collection and the time of all its members has come. If that is not to take long, members
    /// whose time was taken back may make it look as if it had not.
    #[cold]
    pub(crate) fn is_all_due(&self, now: UnixMs, layout: &Layout, at_once: bool) -> bool {
        let object = self.record.object();
        let members = object.and_then(|index| self.heap.objects.get(index).object.members());
        members.is_some_and(|members| {
            let cells = &self.heap.cells;
            members.is_all_due(now) || !at_once && members.view(cells, layout, now).is_empty()
        })
    }

    #[inline]
    pub(crate) fn key(&self) -> &'a [u8] {
        self.record.key()
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.record.form() {
            ValueForm::Object => self.object().kind(),
            form => form.kind(),
        }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        let form = self.record.form();
        match form {
            ValueForm::Object => self.object().encoding(),
            ValueForm::IntSet => Encoding::Intset,
            _ if form.is_string() => self.record.string_encoding(),
            _ => Encoding::Listpack,
        }
    }

    /// The value as a reader sees it; see [`Collection::view`](crate::object::Collection::view).
    #[inline]
    pub(crate) fn value(&self, layout: &'a Layout, hidden_until: UnixMs) -> ValueRef<'a> {
        let form = self.record.form();
        if form.is_string() {
            return ValueRef::String(self.record.string());
        }
        match self.record.object() {
            Some(_) => self.object().view(&self.heap.cells, layout, hidden_until),
            None => {
                let (form, bytes) = self.record.packed();
                ValueRef::of_packed(form, bytes)
            }
        }
    }

    /// Bytes that the key and its value account for.
    pub(crate) fn bytes(&self) -> usize {
        let object = self.record.object();
        self.record.bytes() + object.map_or(0, |index| self.heap.objects.get(index).bytes)
    }

    fn object(&self) -> &'a Object {
        let index = self.record.object().expect("asked only of such an entry");
        &self.heap.objects.get(index).object
    }
}

impl std::fmt::Debug for HeapEntry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.record.fmt(f)
    }
}
