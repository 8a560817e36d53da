//! The entry of a key to read, with its value whatever that is.

use super::Heap;
use crate::UnixMs;
use crate::cells::{KEY, Record, ValueForm};
use crate::kind::{Encoding, Kind};
use crate::layout::Layout;
use crate::object::{Object, packed_payload};
use crate::packed::Listpack;
use crate::raw::deadlines::NEVER;
use crate::text::TextRef;
use crate::value::ValueRef;

/// An entry of the heap to read.
#[derive(Clone, Copy)]
pub(crate) struct HeapEntry<'a> {
    pub(super) record: Record<'a, KEY>,
    pub(super) heap: &'a Heap,
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

    /// Whether the value is a collection and the time of all its members has come. If that is not
    /// to take long, members whose time was taken back may make it look as if it had not.
    #[cold]
    pub(crate) fn is_all_due(&self, now: UnixMs, layout: &Layout, at_once: bool) -> bool {
        let object = self.record.object();
        let members = object.and_then(|index| self.heap.objects.get(index).object.members());
        members.is_some_and(|members| {
            let memory = self.heap.memory(layout);
            members.is_all_due(now) || !at_once && members.view(memory, now).is_empty()
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
            ValueForm::ShapedHash => self.shaped_encoding(),
            _ if form.is_string() => self.record.string_encoding(),
            _ => Encoding::Listpack,
        }
    }

    /// The encoding of a hash that has a shape. That it has one shows only where an importer has
    /// asked for it.
    #[cold]
    fn shaped_encoding(&self) -> Encoding {
        let (_, bytes) = self.record.packed();
        match self.heap.cells.shapes.read(bytes).is_declared() {
            true => Encoding::TemplateListpack,
            false => Encoding::Listpack,
        }
    }

    /// Number of fields, if the value is a hash in a listpack.
    pub(crate) fn packed_fields(&self) -> Option<usize> {
        let is_hash = self.record.form() == ValueForm::HashPack;
        is_hash.then(|| Listpack::new(self.record.packed().1).len() / 2)
    }

    /// The value as a reader sees it; see
    /// [`Collection::view`](crate::collection::Collection::view).
    #[inline]
    pub(crate) fn value(&self, layout: &'a Layout, hidden_until: UnixMs) -> ValueRef<'a> {
        let form = self.record.form();
        if form.is_string() {
            return ValueRef::String(self.record.string());
        }
        match self.record.object() {
            Some(_) => self.object().view(self.heap.memory(layout), hidden_until),
            None => {
                let (form, bytes) = self.record.packed();
                ValueRef::of_packed(form, bytes, &self.heap.cells.shapes)
            }
        }
    }

    /// Bytes that the key and its value account for.
    pub(crate) fn bytes(&self) -> usize {
        let object = self.record.object();
        self.record.bytes() + object.map_or(0, |index| self.heap.objects.get(index).bytes)
    }

    /// Bytes of the value as [`Namespace::payload`](crate::Namespace::payload) counts them. Takes a
    /// step for each element of a packed collection.
    pub(crate) fn payload(&self) -> usize {
        let (form, shapes) = (self.record.form(), &self.heap.cells.shapes);
        if form.is_string() {
            return self.record.string().len();
        }
        match self.record.object() {
            Some(index) => self.heap.objects.get(index).object.payload(shapes),
            None => {
                let (form, bytes) = self.record.packed();
                packed_payload(form, bytes, shapes)
            }
        }
    }

    /// Bytes of the entry without those of a large collection.
    pub(crate) fn record_bytes(&self) -> usize {
        self.record.bytes()
    }

    /// Its large collection, if it has one.
    pub(crate) fn record_object(&self) -> Option<&'a Object> {
        let index = self.record.object()?;
        Some(&self.heap.objects.get(index).object)
    }

    pub(super) fn object(&self) -> &'a Object {
        let index = self.record.object().expect("asked only of such an entry");
        &self.heap.objects.get(index).object
    }
}

impl std::fmt::Debug for HeapEntry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.record.fmt(f)
    }
}
