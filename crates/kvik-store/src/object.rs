//! Collections, whatever their type, as the heap keeps them.
//!
//! Each type is an enum of its representations in a file of its own, and an [`Object`] is a collection of any type. A small
//! collection is packed: one run of bytes in Redis' own format, which lies in its key's entry. A large one has members in
//! cells, or chunks, and is freed, compacted and scanned in slices. A type that can be either is [`Packable`]: it says which a
//! collection is, and what follows from that is said once, for all of them.

use crate::UnixMs;
use crate::hash::Hash;
use crate::layout::Layout;
use crate::list::List;
use crate::members::Members;
use crate::packed::{IntSet, Listpack};
use crate::raw::cells::Cells;
use crate::raw::deadlines::NEVER;
use crate::raw::record::ValueForm;
use crate::set::Set;
use crate::stream::Stream;
use crate::value::{Encoding, Kind, ValueRef};
use crate::zset::Zset;

/// What the heap asks of a collection.
pub(crate) trait Collection: Default {
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

    /// As a reader sees it to whom members are hidden whose time has come by `hidden_until`.
    fn view<'a>(
        &'a self,
        cells: &'a Cells,
        layout: &'a Layout,
        hidden_until: UnixMs,
    ) -> ValueRef<'a>;

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

    /// Deletes up to `max` members whose time has come, telling each, and says whether there may be more.
    fn expire(
        &mut self,
        _now: UnixMs,
        _max: usize,
        _cells: &mut Cells,
        _layout: &Layout,
        _tell: &mut dyn FnMut(&[u8]),
    ) -> bool {
        false
    }

    /// Frees up to about `max` elements and says whether there are more.
    fn free(&mut self, max: usize, cells: &mut Cells) -> bool;

    /// A copy whose members are in other cells. What needs no cells is shared until either is changed.
    fn copy_to(&mut self, from: &Cells, to: &mut Cells, layout: &Layout) -> Self;

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

    type Large: Large;

    /// A collection from its packed form.
    fn from_packed(form: ValueForm, bytes: Vec<u8>) -> Self;

    fn from_large(large: Self::Large) -> Self;

    fn representation(&self) -> Representation<&Vec<u8>, &Self::Large>;

    fn representation_mut(&mut self) -> Representation<&mut Vec<u8>, &mut Self::Large>;

    /// See [`Collection::view`].
    fn seen<'a>(
        &'a self,
        cells: &'a Cells,
        layout: &'a Layout,
        hidden_until: UnixMs,
    ) -> ValueRef<'a>;
}

/// The two shapes of a packable collection, by reference.
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
        _cells: &mut Cells,
        _layout: &Layout,
        _tell: &mut dyn FnMut(&[u8]),
    ) -> bool {
        false
    }

    fn free(&mut self, max: usize, cells: &mut Cells) -> bool;

    fn copy_to(&mut self, from: &Cells, to: &mut Cells, layout: &Layout) -> Self;

    fn compact(&mut self, _part: usize, _cells: &mut Cells) -> bool {
        false
    }
}

impl<T: Packable> Collection for T {
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

    fn view<'a>(
        &'a self,
        cells: &'a Cells,
        layout: &'a Layout,
        hidden_until: UnixMs,
    ) -> ValueRef<'a> {
        self.seen(cells, layout, hidden_until)
    }

    fn members(&self) -> Option<&Members> {
        match self.representation() {
            Representation::Packed(..) => None,
            Representation::Large(large) => large.members(),
        }
    }

    fn fit(&mut self) {
        match self.representation_mut() {
            Representation::Packed(_, bytes) => fit_packed(bytes),
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
        cells: &mut Cells,
        layout: &Layout,
        tell: &mut dyn FnMut(&[u8]),
    ) -> bool {
        match self.representation_mut() {
            Representation::Packed(..) => false,
            Representation::Large(large) => large.expire(now, max, cells, layout, tell),
        }
    }

    fn free(&mut self, max: usize, cells: &mut Cells) -> bool {
        match self.representation_mut() {
            Representation::Packed(..) => false,
            Representation::Large(large) => large.free(max, cells),
        }
    }

    fn copy_to(&mut self, from: &Cells, to: &mut Cells, layout: &Layout) -> Self {
        match self.representation_mut() {
            Representation::Packed(form, bytes) => T::from_packed(form, bytes.clone()),
            Representation::Large(large) => T::from_large(large.copy_to(from, to, layout)),
        }
    }

    fn compact(&mut self, part: usize, cells: &mut Cells) -> bool {
        match self.representation_mut() {
            Representation::Packed(..) => false,
            Representation::Large(large) => large.compact(part, cells),
        }
    }
}

/// A collection of any type.
#[derive(Debug)]
pub(crate) enum Object {
    List(List),
    Hash(Hash),
    Set(Set),
    Zset(Zset),
    Stream(Stream),
}

/// Runs an expression on whatever type a collection has.
macro_rules! each {
    ($object:expr, $it:ident => $run:expr) => {
        match $object {
            Object::List($it) => $run,
            Object::Hash($it) => $run,
            Object::Set($it) => $run,
            Object::Zset($it) => $run,
            Object::Stream($it) => $run,
        }
    };
}

/// How a type's collections get into an [`Object`] and out of it.
pub(crate) trait Typed: Collection + Into<Object> {
    /// The collection, which is of this type.
    fn from_object(object: Object) -> Self;
}

macro_rules! typed {
    ($($name:ident)*) => {
        $(
            impl From<$name> for Object {
                fn from(value: $name) -> Self {
                    Self::$name(value)
                }
            }

            impl Typed for $name {
                fn from_object(object: Object) -> Self {
                    match object {
                        Object::$name(value) => value,
                        other => unreachable!("a {:?} is no {:?}", other.kind(), <Self as Collection>::kind()),
                    }
                }
            }
        )*
    };
}

typed!(List Hash Set Zset Stream);

impl Object {
    pub(crate) fn from_packed(form: ValueForm, bytes: Vec<u8>) -> Self {
        match form.kind() {
            Kind::List => List::from_packed(form, bytes).into(),
            Kind::Hash => Hash::from_packed(form, bytes).into(),
            Kind::Set => Set::from_packed(form, bytes).into(),
            Kind::Zset => Zset::from_packed(form, bytes).into(),
            Kind::String | Kind::Stream => unreachable!("{form:?} is not packed"),
        }
    }

    pub(crate) fn packed(&self) -> Option<(ValueForm, &[u8])> {
        each!(self, it => it.packed())
    }

    pub(crate) fn into_packed_bytes(self) -> Option<Vec<u8>> {
        each!(self, it => it.into_packed_bytes())
    }

    pub(crate) fn kind(&self) -> Kind {
        fn of<T: Collection>(_: &T) -> Kind {
            T::kind()
        }
        each!(self, it => of(it))
    }

    pub(crate) fn encoding(&self) -> Encoding {
        each!(self, it => it.encoding())
    }

    pub(crate) fn len(&self) -> usize {
        each!(self, it => it.len())
    }

    pub(crate) fn bytes(&self) -> usize {
        each!(self, it => it.bytes())
    }

    pub(crate) fn fit(&mut self) {
        each!(self, it => it.fit());
    }

    pub(crate) fn view<'a>(
        &'a self,
        cells: &'a Cells,
        layout: &'a Layout,
        hidden_until: UnixMs,
    ) -> ValueRef<'a> {
        each!(self, it => it.view(cells, layout, hidden_until))
    }

    pub(crate) fn members(&self) -> Option<&Members> {
        each!(self, it => it.members())
    }

    pub(crate) fn earliest_deadline(&self) -> UnixMs {
        each!(self, it => it.earliest_deadline())
    }

    pub(crate) fn removal(&self) -> &'static [u8] {
        fn of<T: Collection>(_: &T) -> &'static [u8] {
            T::removal()
        }
        each!(self, it => of(it))
    }

    pub(crate) fn is_void(&self) -> bool {
        each!(self, it => it.is_void())
    }

    pub(crate) fn expire(
        &mut self,
        now: UnixMs,
        max: usize,
        cells: &mut Cells,
        layout: &Layout,
        tell: &mut dyn FnMut(&[u8]),
    ) -> bool {
        each!(self, it => it.expire(now, max, cells, layout, tell))
    }

    pub(crate) fn free(&mut self, max: usize, cells: &mut Cells) -> bool {
        each!(self, it => it.free(max, cells))
    }

    pub(crate) fn copy_to(&mut self, from: &Cells, to: &mut Cells, layout: &Layout) -> Self {
        each!(self, it => it.copy_to(from, to, layout).into())
    }

    pub(crate) fn compact(&mut self, part: usize, cells: &mut Cells) -> bool {
        each!(self, it => it.compact(part, cells))
    }
}

/// An empty place.
impl Default for Object {
    fn default() -> Self {
        Self::Set(Set::default())
    }
}

/// Gives back what a packed collection has reserved beyond an eighth of what it holds.
fn fit_packed(bytes: &mut Vec<u8>) {
    let fitting = bytes.len() + bytes.len() / 8;
    if bytes.capacity() > fitting + fitting / 8 {
        bytes.shrink_to(fitting);
    }
}
