//! A collection of any type, as the heap keeps it.
//!
//! Each type is an enum of its representations in a file of its own.

use crate::UnixMs;
use crate::array::Array;
use crate::cells::{Cells, ValueForm};
use crate::collection::{Collection, Packable};
use crate::hash::Hash;
use crate::kind::{Encoding, Kind};
use crate::list::List;
use crate::members::{Members, Tabled};
use crate::memory::{Memory, MemoryMut};
use crate::packed::{IntSet, Listpack};
use crate::set::Set;
use crate::shape::Shapes;
use crate::stream::Stream;
use crate::text::StringRef;
use crate::value::ValueRef;
use crate::zset::Zset;

/// The bytes that a score counts in [`Object::payload`].
const SCORE_PAYLOAD: usize = 8;

/// A collection of any type.
#[derive(Debug)]
pub(crate) enum Object {
    List(List),
    Hash(Hash),
    Set(Set),
    Zset(Zset),
    Stream(Stream),
    Array(Array),
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
            Object::Array($it) => $run,
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

typed!(List Hash Set Zset Stream Array);

impl Object {
    pub(crate) fn from_packed(form: ValueForm, bytes: Vec<u8>) -> Self {
        match form.kind() {
            Kind::List => List::from_packed(form, bytes).into(),
            Kind::Hash => Hash::from_packed(form, bytes).into(),
            Kind::Set => Set::from_packed(form, bytes).into(),
            Kind::Zset => Zset::from_packed(form, bytes).into(),
            Kind::String | Kind::Stream | Kind::Array => unreachable!("{form:?} is not packed"),
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

    /// See [`HeapEntry::payload`](crate::heap::HeapEntry::payload).
    pub(crate) fn payload(&self, shapes: &Shapes) -> usize {
        if let Some((form, bytes)) = self.packed() {
            return packed_payload(form, bytes, shapes);
        }
        match (self, self.members()) {
            (Self::Zset(_), Some(members)) => members.name_bytes() + SCORE_PAYLOAD * members.len(),
            (_, Some(members)) => members.name_bytes() + members.value_bytes(),
            (Self::List(list), None) => list.text_bytes(),
            (_, None) => self.bytes(),
        }
    }

    pub(crate) fn fit(&mut self) {
        each!(self, it => it.fit());
    }

    pub(crate) fn view<'a>(&'a self, memory: Memory<'a>, hidden_until: UnixMs) -> ValueRef<'a> {
        each!(self, it => it.view(memory, hidden_until).into())
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
        memory: &mut MemoryMut<'_>,
        report: &mut dyn FnMut(&[u8]),
    ) -> bool {
        each!(self, it => it.expire(now, max, memory, report))
    }

    pub(crate) fn free(&mut self, max: usize, cells: &mut Cells) -> bool {
        each!(self, it => it.free(max, cells))
    }

    pub(crate) fn copy_to(&mut self, from: &Cells, to: &mut MemoryMut<'_>) -> Self {
        each!(self, it => it.copy_to(from, to).into())
    }

    pub(crate) fn compact(&mut self, part: usize, cells: &mut Cells) -> bool {
        each!(self, it => it.compact(part, cells))
    }
}

impl Object {
    /// The collection, if its members are in a table.
    pub(crate) fn table(&self) -> Option<&dyn Tabled> {
        match self {
            Self::Hash(Hash::Table(members)) | Self::Set(Set::Table(members)) => Some(&**members),
            Self::Zset(Zset::Table(table)) => Some(&**table),
            _ => None,
        }
    }

    /// The same, to change it.
    pub(crate) fn table_mut(&mut self) -> Option<&mut dyn Tabled> {
        match self {
            Self::Hash(Hash::Table(members)) | Self::Set(Set::Table(members)) => {
                Some(&mut **members)
            }
            Self::Zset(Zset::Table(table)) => Some(&mut **table),
            _ => None,
        }
    }

    /// An empty one of the same type with a table.
    pub(crate) fn empty_like(&self) -> Self {
        match self {
            Self::Hash(_) => Hash::Table(Box::default()).into(),
            Self::Set(_) => Set::Table(Box::default()).into(),
            Self::Zset(_) => Zset::Table(Box::default()).into(),
            Self::List(_) | Self::Stream(_) | Self::Array(_) => {
                unreachable!("they have no table")
            }
        }
    }
}

/// [`Object::payload`] of a packed collection.
pub(crate) fn packed_payload(form: ValueForm, bytes: &[u8], shapes: &Shapes) -> usize {
    match form {
        ValueForm::IntSet => {
            let members = IntSet::new(bytes).iter();
            members.map(|member| StringRef::Int(member).len()).sum()
        }
        ValueForm::ZsetPack => {
            let names = Listpack::new(bytes).iter().step_by(2);
            names.map(|name| name.len() + SCORE_PAYLOAD).sum()
        }
        ValueForm::ShapedHash => {
            let fields = shapes.read(bytes).iter();
            fields.map(|(name, value)| name.len() + value.len()).sum()
        }
        _ => {
            let elements = Listpack::new(bytes).iter();
            elements.map(|element| element.len()).sum()
        }
    }
}

/// An empty place.
impl Default for Object {
    fn default() -> Self {
        Self::Set(Set::default())
    }
}
