//! Lists: one listpack, or many.

use crate::layout::Layout;
use crate::object::{Collection, fit_packed};
use crate::raw::cells::Cells;
use crate::raw::entry::Form;
use crate::value::{Encoding, Kind, ValueRef};

/// A list in one of its representations.
#[derive(Debug)]
pub(crate) enum List {
    Pack(Vec<u8>),
}

/// A list as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub enum ListRef<'a> {
    /// The bytes of a listpack.
    Pack(&'a [u8]),
}

impl Default for List {
    fn default() -> Self {
        Self::Pack(Vec::new())
    }
}

impl Collection for List {
    const KIND: Kind = Kind::List;

    fn from_packed(form: Form, bytes: Vec<u8>) -> Self {
        debug_assert_eq!(form, Form::ListPack);
        Self::Pack(bytes)
    }

    fn packed(&self) -> Option<(Form, &[u8])> {
        match self {
            Self::Pack(bytes) => Some((Form::ListPack, bytes)),
        }
    }

    fn into_packed_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Pack(bytes) => Some(bytes),
        }
    }

    fn encoding(&self) -> Encoding {
        match self {
            Self::Pack(_) => Encoding::Listpack,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Pack(_) => 0,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Pack(bytes) => bytes.capacity(),
        }
    }

    fn view<'a>(&'a self, _cells: &'a Cells, _layout: &'a Layout) -> ValueRef<'a> {
        match self {
            Self::Pack(bytes) => ValueRef::List(ListRef::Pack(bytes)),
        }
    }

    fn fit(&mut self) {
        match self {
            Self::Pack(bytes) => fit_packed(bytes),
        }
    }

    fn free(&mut self, _max: usize, _cells: &mut Cells) -> bool {
        false
    }

    fn copy_to(&self, _from: &Cells, _to: &mut Cells, _layout: &Layout) -> Self {
        match self {
            Self::Pack(bytes) => Self::Pack(bytes.clone()),
        }
    }
}
