//! Values of all types, as a reader sees them.

use crate::array::ArrayRef;
use crate::cells::ValueForm;
use crate::collection::Packable;
use crate::hash::{Hash, HashRef};
use crate::kind::Kind;
use crate::list::{List, ListRef};
use crate::set::{Set, SetRef};
use crate::shape::Shapes;
use crate::stream::StreamRef;
use crate::text::TextRef;
use crate::zset::{Zset, ZsetRef};

/// A value as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// A byte string.
    String(TextRef<'a>),
    /// A list.
    List(ListRef<'a>),
    /// A hash.
    Hash(HashRef<'a>),
    /// A set.
    Set(SetRef<'a>),
    /// A sorted set.
    Zset(ZsetRef<'a>),
    /// A stream.
    Stream(StreamRef<'a>),
    /// An array.
    Array(ArrayRef<'a>),
}

impl<'a> ValueRef<'a> {
    /// The type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::String(_) => Kind::String,
            Self::List(_) => Kind::List,
            Self::Hash(_) => Kind::Hash,
            Self::Set(_) => Kind::Set,
            Self::Zset(_) => Kind::Zset,
            Self::Stream(_) => Kind::Stream,
            Self::Array(_) => Kind::Array,
        }
    }

    /// A packed collection.
    pub(crate) fn of_packed(form: ValueForm, bytes: &'a [u8], shapes: &'a Shapes) -> Self {
        match form.kind() {
            Kind::List => List::read_packed(form, bytes, shapes).into(),
            Kind::Hash => Hash::read_packed(form, bytes, shapes).into(),
            Kind::Set => Set::read_packed(form, bytes, shapes).into(),
            Kind::Zset => Zset::read_packed(form, bytes, shapes).into(),
            Kind::String | Kind::Stream | Kind::Array => unreachable!("{form:?} is not packed"),
        }
    }
}

macro_rules! from_refs {
    ($($variant:ident $reference:ident)*) => {
        $(
            impl<'a> From<$reference<'a>> for ValueRef<'a> {
                fn from(value: $reference<'a>) -> Self {
                    Self::$variant(value)
                }
            }
        )*
    };
}

from_refs!(String TextRef List ListRef Hash HashRef Set SetRef Zset ZsetRef Stream StreamRef Array ArrayRef);
