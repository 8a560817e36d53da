//! The operations that all types of collections have in common.
//!
//! A small collection is packed: one run of bytes in Redis' own format, which lies in its key's
//! entry. A large one has members in cells, or chunks, and is freed, compacted and scanned in
//! slices. A type that can be either is [`Packable`]: it says which a collection is, and what
//! follows from that is said once, for all of them.

use crate::UnixMs;
use crate::cells::{Cells, ValueForm};
use crate::kind::{Encoding, Kind};
use crate::members::{Members, delete_due};
use crate::memory::{Memory, MemoryMut};
use crate::packed::{self, IntSet, Listpack};
use crate::raw::deadlines::NEVER;
use crate::shape::Shapes;

/// The operations of a collection that the heap uses.
pub(crate) trait Collection: Default {
    /// The collection as a reader sees it.
    type Ref<'a>
    where
        Self: 'a;

    /// The type.
    fn kind() -> Kind;

    /// The packed form and its bytes, if the collection is packed.
    fn packed(&self) -> Option<(ValueForm, &[u8])>;

    /// The packed bytes, to use their memory again.
    fn into_packed_bytes(self) -> Option<Vec<u8>>;

    fn encoding(&self) -> Encoding;

    /// Number of elements.
    fn len(&self) -> usize;

    /// Whether a key with this value goes away.
    fn is_void(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated besides its members' cells.
    fn bytes(&self) -> usize;

    /// As a reader sees it to whom members are hidden that expire by `hidden_until`; 0 hides none.
    fn view<'a>(&'a self, memory: Memory<'a>, hidden_until: UnixMs) -> Self::Ref<'a>;

    /// A packed collection as a reader sees it.
    fn view_packed<'a>(form: ValueForm, bytes: &'a [u8], shapes: &'a Shapes) -> Self::Ref<'a>;

    /// The members, if they are in a table.
    fn members(&self) -> Option<&Members> {
        None
    }

    /// Returns memory that was reserved for more than there is. Called when a change has ended.
    fn fit(&mut self) {}

    /// A time before which no member expires.
    fn earliest_deadline(&self) -> UnixMs {
        self.members().map_or(NEVER, Members::earliest_deadline)
    }

    /// The command that deletes members, as an effect.
    fn removal() -> &'static [u8] {
        b"DEL"
    }

    /// Deletes up to `max` members whose time has come, giving each to `report`, and says whether
    /// there may be more.
    fn expire(
        &mut self,
        _now: UnixMs,
        _max: usize,
        _memory: &mut MemoryMut<'_>,
        _report: &mut dyn FnMut(&[u8]),
    ) -> bool {
        false
    }

    /// Frees up to about `max` elements and says whether there are more.
    fn free(&mut self, max: usize, cells: &mut Cells) -> bool;

    /// A copy whose members are in other cells. What needs no cells is shared until either is
    /// changed.
    fn copy_to(&mut self, from: &Cells, to: &mut MemoryMut<'_>) -> Self;

    /// Moves members of one part out of sparse pages and says whether there is another part.
    fn compact(&mut self, _part: usize, _cells: &mut Cells) -> bool {
        false
    }
}

/// A type of collections that are packed while they are small.
pub(crate) trait Packable: Default {
    const KIND: Kind;
    /// The encoding of a large one.
    const LARGE: Encoding;
    /// The command that deletes members, as an effect.
    const REMOVAL: &'static [u8];

    /// The collection as a reader sees it.
    type Ref<'a>
    where
        Self: 'a;
    /// The large form.
    type Large: Large;

    /// A collection from its packed form.
    fn from_packed(form: ValueForm, bytes: Vec<u8>) -> Self;

    fn from_large(large: Self::Large) -> Self;

    fn representation(&self) -> Representation<&Vec<u8>, &Self::Large>;

    fn representation_mut(&mut self) -> Representation<&mut Vec<u8>, &mut Self::Large>;

    /// [`Collection::view_packed`].
    fn read_packed<'a>(form: ValueForm, bytes: &'a [u8], shapes: &'a Shapes) -> Self::Ref<'a>;

    /// [`Collection::view`].
    fn read<'a>(&'a self, memory: Memory<'a>, hidden_until: UnixMs) -> Self::Ref<'a>;
}

/// The two representations of a packable collection, by reference.
pub(crate) enum Representation<P, L> {
    Packed(ValueForm, P),
    Large(L),
}

/// The large form of a collection; its methods are those of [`Collection`].
pub(crate) trait Large {
    fn len(&self) -> usize;

    fn bytes(&self) -> usize;

    fn fit(&mut self) {}

    fn members(&self) -> Option<&Members> {
        None
    }

    fn expire(
        &mut self,
        _now: UnixMs,
        _max: usize,
        _memory: &mut MemoryMut<'_>,
        _report: &mut dyn FnMut(&[u8]),
    ) -> bool {
        false
    }

    fn free(&mut self, max: usize, cells: &mut Cells) -> bool;

    fn copy_to(&mut self, from: &Cells, to: &mut MemoryMut<'_>) -> Self;

    fn compact(&mut self, _part: usize, _cells: &mut Cells) -> bool {
        false
    }
}

impl Large for Members {
    fn len(&self) -> usize {
        self.len()
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn members(&self) -> Option<&Members> {
        Some(self)
    }

    fn expire(
        &mut self,
        now: UnixMs,
        max: usize,
        memory: &mut MemoryMut<'_>,
        report: &mut dyn FnMut(&[u8]),
    ) -> bool {
        delete_due(max, |looks| {
            let member = self.next_due(memory.read(), now, looks)?;
            report(memory.cells.member(member).key());
            self.remove(memory, member);
            Some(())
        })
    }

    fn free(&mut self, max: usize, cells: &mut Cells) -> bool {
        self.free(max, cells)
    }

    fn copy_to(&mut self, from: &Cells, to: &mut MemoryMut<'_>) -> Self {
        Self::copy_to(self, from, to)
    }

    fn compact(&mut self, part: usize, cells: &mut Cells) -> bool {
        self.relocate(part, cells, |_, _, _| ())
    }
}

impl<T: Packable> Collection for T {
    type Ref<'a>
        = T::Ref<'a>
    where
        T: 'a;

    fn kind() -> Kind {
        T::KIND
    }

    fn packed(&self) -> Option<(ValueForm, &[u8])> {
        match self.representation() {
            Representation::Packed(form, bytes) => Some((form, bytes)),
            Representation::Large(_) => None,
        }
    }

    fn into_packed_bytes(mut self) -> Option<Vec<u8>> {
        match self.representation_mut() {
            Representation::Packed(_, bytes) => Some(std::mem::take(bytes)),
            Representation::Large(_) => None,
        }
    }

    fn encoding(&self) -> Encoding {
        match self.representation() {
            Representation::Packed(ValueForm::IntSet, _) => Encoding::Intset,
            Representation::Packed(..) => Encoding::Listpack,
            Representation::Large(_) => T::LARGE,
        }
    }

    fn len(&self) -> usize {
        match self.representation() {
            Representation::Packed(ValueForm::IntSet, bytes) => IntSet::new(bytes).len(),
            Representation::Packed(ValueForm::HashPack | ValueForm::ZsetPack, bytes) => {
                Listpack::new(bytes).len() / 2
            }
            Representation::Packed(_, bytes) => Listpack::new(bytes).len(),
            Representation::Large(large) => large.len(),
        }
    }

    fn is_void(&self) -> bool {
        match self.representation() {
            Representation::Packed(ValueForm::IntSet, bytes) => IntSet::new(bytes).is_empty(),
            Representation::Packed(_, bytes) => Listpack::new(bytes).is_empty(),
            Representation::Large(large) => large.len() == 0,
        }
    }

    fn bytes(&self) -> usize {
        match self.representation() {
            Representation::Packed(_, bytes) => bytes.capacity(),
            Representation::Large(large) => large.bytes(),
        }
    }

    fn view<'a>(&'a self, memory: Memory<'a>, hidden_until: UnixMs) -> Self::Ref<'a> {
        self.read(memory, hidden_until)
    }

    fn view_packed<'a>(form: ValueForm, bytes: &'a [u8], shapes: &'a Shapes) -> Self::Ref<'a> {
        T::read_packed(form, bytes, shapes)
    }

    fn members(&self) -> Option<&Members> {
        match self.representation() {
            Representation::Packed(..) => None,
            Representation::Large(large) => large.members(),
        }
    }

    fn fit(&mut self) {
        match self.representation_mut() {
            Representation::Packed(_, bytes) => packed::fit(bytes),
            Representation::Large(large) => large.fit(),
        }
    }

    fn removal() -> &'static [u8] {
        T::REMOVAL
    }

    fn expire(
        &mut self,
        now: UnixMs,
        max: usize,
        memory: &mut MemoryMut<'_>,
        report: &mut dyn FnMut(&[u8]),
    ) -> bool {
        match self.representation_mut() {
            Representation::Packed(..) => false,
            Representation::Large(large) => large.expire(now, max, memory, report),
        }
    }

    fn free(&mut self, max: usize, cells: &mut Cells) -> bool {
        match self.representation_mut() {
            Representation::Packed(..) => false,
            Representation::Large(large) => large.free(max, cells),
        }
    }

    fn copy_to(&mut self, from: &Cells, to: &mut MemoryMut<'_>) -> Self {
        match self.representation_mut() {
            Representation::Packed(form, bytes) => T::from_packed(form, bytes.clone()),
            Representation::Large(large) => T::from_large(large.copy_to(from, to)),
        }
    }

    fn compact(&mut self, part: usize, cells: &mut Cells) -> bool {
        match self.representation_mut() {
            Representation::Packed(..) => false,
            Representation::Large(large) => large.compact(part, cells),
        }
    }
}
