//! The keys of a stripe with their values: strings and small collections in cells, large
//! collections by number.
//!
//! ```text
//! entry in a cell:  key | string, or packed collection, or the number of a large one
//!                                                           |
//!                   objects: [ Object | its bytes ] ...  <--'   members lie in cells, too
//!                   doomed:  [ Object ] ...                 no key leads there; freed in slices
//!                   shadows: [ Shadow ] ...                 copies that are being made
//! ```
//! A collection is changed outside of its entry: [`Heap::take_out`] hands it over,
//! [`Heap::put_back`] stores it again in whatever form it has then, and meanwhile its members are
//! reached through [`Heap::memory_mut`]. A large one that is no longer wanted is freed in slices,
//! by [`Heap::reclaim`].
//!
//! The file is long because all bytes are accounted for here: each method that stores, moves or
//! frees a value also keeps the books, and one that did so elsewhere would be overlooked.

mod copying;
mod entry;
mod imaging;

use std::borrow::Cow;

use crate::UnixMs;
use crate::cells::{
    CellValue, Cells, EXTERNAL_BYTES, Head, KEY, ValueForm, bytes_before_value, key_bytes,
};
use crate::image::Imaging;
use crate::journal::Journals;
use crate::layout::Layout;
use crate::memory::{Memory, MemoryMut};
use crate::object::Object;
use crate::packed::{Listpack, listpack};
use crate::raw::class::MAX_BYTES;
use crate::raw::deadlines::NEVER;
use crate::raw::entry_ref::EntryRef;
use crate::raw::slab::Slab;
use crate::shadow::Shadow;
use crate::shape::{Sharing, begin_row, is_small, shape_number};
use crate::text::Text;
use crate::undo::records::Undo;

pub(crate) use self::entry::HeapEntry;

/// Elements up to which a collection is freed at once.
const FREE_AT_ONCE: usize = 64;

/// How a collection lies in the entry of its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packing {
    pub(crate) form: ValueForm,
    /// The most bytes that it may have there.
    pub(crate) max_bytes: usize,
}

/// The entries of one stripe and the collections they lead to.
#[derive(Debug)]
pub(crate) struct Heap {
    pub(crate) cells: Cells,
    objects: Slab<StoredObject>,
    /// Bytes of all objects, without their members' cells.
    object_bytes: usize,
    /// Collections that no key leads to and that are still to be freed.
    doomed: Vec<Object>,
    /// Bytes of those, without their members' cells.
    doomed_bytes: usize,
    /// The changes of collections of which copies are being made.
    pub(crate) journals: Journals,
    /// The records of changes while they can be undone.
    pub(crate) undo: Option<Box<Undo>>,
    /// Copies that are being made.
    shadows: Vec<Shadow>,
    /// Who gets entries before they change, while an image is taken.
    pub(crate) imaging: Option<Box<Imaging>>,
    /// Room for packed bytes while they change.
    scratch: Vec<u8>,
    /// Something has changed that is published rarely.
    pub(crate) has_news: bool,
}

/// A large collection, and the bytes it accounts for: its own and those of its members' cells.
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
    /// A hash that shared the names of its fields, and is to share them again, as a listpack.
    Shaped(Vec<u8>, Sharing),
    /// A collection, and the cells that hold its members.
    Foreign(Object, Box<Cells>),
    /// A collection whose members are in the cells of the heap already, and how many bytes these
    /// have.
    Built(Object, usize),
    /// A collection that is in its place in the heap already.
    InSlab(u32),
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

    /// The ledger without cells of `bytes`.
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
            doomed_bytes: 0,
            journals: Journals::default(),
            undo: None,
            shadows: Vec::new(),
            imaging: None,
            scratch: Vec::new(),
            has_news: false,
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

    /// The cells to read members in.
    #[inline]
    pub(crate) fn memory<'a>(&'a self, layout: &'a Layout) -> Memory<'a> {
        Memory {
            cells: &self.cells,
            layout,
        }
    }

    /// The cells to change members in.
    #[inline]
    pub(crate) fn memory_mut<'a>(&'a mut self, layout: &'a Layout) -> MemoryMut<'a> {
        MemoryMut {
            cells: &mut self.cells,
            journals: &mut self.journals,
            layout,
        }
    }

    /// Bytes that are resident for entries.
    pub(crate) fn resident_bytes(&self) -> usize {
        let shadows = self.shadows.iter().map(|shadow| &shadow.object);
        let unplaced: usize = self.doomed.iter().chain(shadows).map(Object::bytes).sum();
        self.cells.resident_bytes() + self.journals.bytes() + self.object_bytes + unplaced
    }

    /// Bytes in use: those of all entries, of copies, and of what is still to be freed.
    #[inline]
    pub(crate) fn held_bytes(&self) -> usize {
        let held = self.live_bytes() + self.doomed_bytes + self.cells.shapes.bytes();
        match self.shadows.is_empty() && self.journals.is_empty() {
            true => held,
            false => held + self.copies_own_bytes(),
        }
    }

    /// Bytes of copies, with their members' cells.
    pub(crate) fn copies_bytes(&self) -> usize {
        let cells = self.shadows.iter().map(|shadow| shadow.cell_bytes);
        self.copies_own_bytes() + cells.sum::<usize>()
    }

    /// Bytes of copies, without their members' cells.
    #[cold]
    fn copies_own_bytes(&self) -> usize {
        let shadows = self.shadows.iter().map(|shadow| shadow.object.bytes());
        self.journals.bytes() + shadows.sum::<usize>()
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
            Content::Shaped(pack, sharing) => {
                let hash = Object::from_packed(ValueForm::HashPack, pack);
                let entry = self.insert_object(key, hash, self.ledger(), expire_at);
                self.share_names(entry, layout, sharing)
            }
            Content::Foreign(mut object, cells) => {
                // The copy's cells come into being now, and the ledger from before makes them count
                // as the object's.
                let ledger = self.ledger();
                let object = object.copy_to(&cells, &mut self.memory_mut(layout));
                self.insert_object(key, object, ledger, expire_at)
            }
            Content::Built(object, cell_bytes) => {
                // The cells came slice by slice and are counted already; the ledger is put back to
                // when they were not.
                let ledger = self.ledger().before(cell_bytes);
                self.insert_object(key, object, ledger, expire_at)
            }
            Content::InSlab(index) => {
                let stored = by_number(index);
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
            Content::Text(_) | Content::Shaped(..) => return None,
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
        self.cells.set_clock(entry, clock);
    }

    /// Replaces the value by a string.
    pub(crate) fn set_text(&mut self, entry: EntryRef, text: Text<'_>) -> EntryRef {
        self.drop_object(entry);
        self.cells.set_text::<KEY>(entry, text)
    }

    pub(crate) fn set_expiry(&mut self, entry: EntryRef, expire_at: Option<UnixMs>) -> EntryRef {
        // An expiry takes room before the value. A list at the end of its cell first moves to where
        // values lie.
        let form = self.form(entry);
        if form == ValueForm::IndentedListPack {
            self.cells.unindent(entry);
        }
        // A packed collection that then is too large for a cell is stored by number; a string goes
        // to a buffer.
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

    /// Takes an entry's value along and frees the entry. What `stays` in the heap is not touched,
    /// and what needs no cells goes as it is; only the members of a table that leave have to be
    /// copied.
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
        // A number is good in this heap only, and so are the cells of members; what has none goes
        // as it is.
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
            if form == ValueForm::ShapedHash {
                let hash = self.cells.shapes.read(bytes);
                return Content::Shaped(hash.to_listpack(), hash.sharing());
            }
            return Content::Object(Object::from_packed(form, bytes.to_vec()));
        };
        let object = &mut self.objects.get_mut(index).object;
        // Cells of the copy's own: those of the stripe that it goes to are not at hand.
        let mut cells = Box::new(Cells::new());
        let mut memory = MemoryMut {
            cells: &mut cells,
            journals: &mut Journals::default(),
            layout,
        };
        let copy = object.copy_to(&self.cells, &mut memory);
        match object.members() {
            Some(_) => Content::Foreign(copy, cells),
            None => Content::Object(copy),
        }
    }

    /// Takes the collection of an entry out of its place, to change it.
    pub(crate) fn take_out(&mut self, entry: EntryRef) -> (Object, Ledger) {
        // What the cells grow or shrink by until the collection comes back is put down to it.
        let cell_bytes = self.cells.live_bytes();
        let record = self.cells.record::<KEY>(entry);
        let Some(index) = record.object() else {
            // Packed bytes are copied, into memory that is kept for this; the entry stays as it is
            // meanwhile.
            let mut bytes = std::mem::take(&mut self.scratch);
            bytes.clear();
            let (mut form, packed) = record.packed();
            if form == ValueForm::ShapedHash {
                // Whatever is done to it outside of its entry, it needs its names for it.
                self.cells.shapes.read(packed).write_listpack(&mut bytes);
                let number = shape_number(packed);
                self.cells.shapes.note_left(number);
                form = ValueForm::HashPack;
            } else {
                bytes.extend_from_slice(packed);
            }
            let ledger = Ledger {
                cell_bytes,
                ..Ledger::default()
            };
            return (Object::from_packed(form, bytes), ledger);
        };
        // An empty object keeps the number meanwhile: nothing else is stored under it.
        let object = std::mem::take(&mut self.objects.get_mut(index).object);
        let ledger = Ledger {
            object: Some(index),
            own_bytes: object.bytes(),
            cell_bytes,
        };
        (object, ledger)
    }

    /// The collection of an entry, if it is one that has its own place.
    pub(crate) fn object_mut(&mut self, entry: EntryRef) -> Option<&mut Object> {
        let index = self.entry(entry).record.object()?;
        Some(&mut self.objects.get_mut(index).object)
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

    /// The form and bytes of a packed value.
    #[inline]
    pub(crate) fn packed_value(&self, entry: EntryRef) -> (ValueForm, &[u8]) {
        self.cells.record::<KEY>(entry).packed()
    }

    /// How the value of an entry is packed, if it is.
    #[inline]
    pub(crate) fn packing(&self, entry: EntryRef) -> Option<Packing> {
        let head = Head::<KEY>::of(self.cells.arena.bytes(entry));
        let form = head.form();
        form.is_packed().then(|| Packing {
            form,
            max_bytes: MAX_BYTES - head.value_start(),
        })
    }

    /// The ledger that [`Self::put_back`] takes for a collection that has no place yet.
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

    /// Makes an entry of a packed collection that fits beside the key.
    pub(crate) fn create_packed(
        &mut self,
        key: &[u8],
        form: ValueForm,
        bytes: &[u8],
        clock: u32,
    ) -> EntryRef {
        if form == ValueForm::ShapedHash {
            self.cells.shapes.retain(shape_number(bytes));
        }
        let stored = CellValue::Inline(form, Cow::Borrowed(bytes));
        let entry = self.cells.insert_stored::<KEY>(key, &stored, None);
        self.set_clock(entry, clock);
        entry
    }

    /// Lets a packed hash share the names of its fields with others, if there are any or it is to
    /// be the first; says where the entry is then.
    pub(crate) fn share_names(
        &mut self,
        entry: EntryRef,
        layout: &Layout,
        sharing: Sharing,
    ) -> EntryRef {
        if self.form(entry) != ValueForm::HashPack {
            return entry;
        }
        let mut room = std::mem::take(&mut self.scratch);
        room.clear();
        room.extend_from_slice(self.packed(entry));
        let value = self.shaped(Listpack::new(&room), layout, sharing);
        self.scratch = room;
        let Some(value) = value else {
            return entry;
        };
        self.cells.shapes.retain(shape_number(&value));
        let stored = CellValue::Inline(ValueForm::ShapedHash, Cow::Owned(value));
        self.cells.set_stored::<KEY>(entry, &stored)
    }

    /// The value of a hash with a shape, if there is one for it and the value is small enough.
    fn shaped(&mut self, pack: Listpack<'_>, layout: &Layout, sharing: Sharing) -> Option<Vec<u8>> {
        let names = pack.iter().step_by(2);
        let hash = layout.names_hash(names.clone());
        let number = self.cells.shapes.find(hash, names, sharing)?;
        let mut value = Vec::with_capacity(pack.as_bytes().len());
        begin_row(&mut value, number);
        let values = pack.iter().skip(1).step_by(2);
        values.for_each(|element| listpack::push_entry(&mut value, element));
        if !is_small(&value) {
            self.cells.shapes.drop_unused(number);
            return None;
        }
        Some(value)
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

    /// Frees up to about `max` elements of collections that no key leads to and says whether there
    /// are more.
    pub(crate) fn reclaim(&mut self, max: usize) -> bool {
        let Some(last) = self.doomed.last_mut() else {
            return false;
        };
        // The last one only, so that a slice touches one collection. Cells are counted as they go;
        // here the collection's own bytes are brought up to date.
        let before = last.bytes();
        let more = last.free(max, &mut self.cells);
        self.doomed_bytes -= before;
        if more {
            self.doomed_bytes += last.bytes();
        } else {
            self.doomed.pop();
        }
        !self.doomed.is_empty()
    }

    /// Whether something has changed that is published rarely.
    #[inline]
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news) | self.cells.shapes.take_news()
    }

    /// Whether there is something to [reclaim](Self::reclaim).
    pub(crate) fn has_doomed(&self) -> bool {
        !self.doomed.is_empty()
    }

    /// Moves the members of one part of a collection, both counted from 0, out of sparse pages.
    /// Returns collection and part to go on with, if there is more.
    pub(crate) fn compact(&mut self, number: u32, part: usize) -> Option<(u32, usize)> {
        if number >= self.objects.end() {
            return None;
        }
        let placed = self.objects.find_mut(number);
        let has_more = placed.is_some_and(|it| it.object.compact(part, &mut self.cells));
        match has_more {
            true => Some((number, part + 1)),
            false => Some((number + 1, 0)),
        }
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
            return write(&mut self.cells, &by_number(index));
        };
        let entry = write(
            &mut self.cells,
            &CellValue::Inline(form, Cow::Borrowed(bytes)),
        );
        // It has become small enough for its key's entry and needs no number any more.
        if let Some(index) = ledger.object {
            debug_assert!(self.journals.images.numbered(index).is_none(), "no table");
            self.object_bytes -= ledger.own_bytes;
            self.objects.remove(index);
        }
        self.keep_scratch(object.into_packed_bytes());
        entry
    }

    fn put_in_slab(&mut self, entry: EntryRef, object: Object, ledger: Ledger) -> EntryRef {
        let index = self.enter(object, ledger);
        let stored = by_number(index);
        self.cells.set_stored::<KEY>(entry, &stored)
    }

    /// Gives a collection a number, the one it had if it had one, and counts its bytes.
    fn enter(&mut self, mut object: Object, ledger: Ledger) -> u32 {
        // The ledger says what was counted when the collection was taken out. Its own bytes and
        // those of its members' cells have changed since by what the two are apart now.
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
        self.discard_placed(index);
    }

    /// Frees the collection with a number, to which no entry leads; one of which an image lacks
    /// something stays until that is saved.
    pub(crate) fn discard_placed(&mut self, index: u32) {
        if let Some(image) = self.journals.images.numbered(index) {
            image.is_orphan = true;
            return;
        }
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
        // A small one may have large parts: what the first pass does not free waits, too.
        if object.len() > FREE_AT_ONCE || object.free(FREE_AT_ONCE, &mut self.cells) {
            self.doomed_bytes += object.bytes();
            self.doomed.push(object);
        }
    }
}

/// The content of a large collection's entry: its number.
fn by_number(index: u32) -> CellValue<'static> {
    let bytes: [u8; EXTERNAL_BYTES] = index.to_ne_bytes();
    CellValue::External(ValueForm::Object, bytes)
}

/// The form and bytes of a collection that may lie beside `fixed` other bytes of an entry.
fn inline_form(object: &Object, fixed: usize) -> Option<(ValueForm, &[u8])> {
    let packed = object.packed();
    packed.filter(|(_, bytes)| fixed + bytes.len() <= MAX_BYTES)
}
