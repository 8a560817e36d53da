//! Sets: an intset, a listpack of members, or a table of them.

use crate::UnixMs;
use crate::layout::Layout;
use crate::members::{Members, MembersRef};
use crate::object::{Collection, fit_packed};
use crate::raw::cells::Cells;
use crate::raw::deadlines::NEVER;
use crate::raw::entry::Form;
use crate::value::{Encoding, Kind, ValueRef};

/// A set in one of its representations.
#[derive(Debug)]
pub(crate) enum Set {
    Ints(Vec<u8>),
    Pack(Vec<u8>),
    Table(Box<Members>),
}

/// A set as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub enum SetRef<'a> {
    /// The bytes of an intset.
    Ints(&'a [u8]),
    /// The bytes of a listpack.
    Pack(&'a [u8]),
    /// A table.
    Table(MembersRef<'a>),
}

impl Default for Set {
    fn default() -> Self {
        Self::Pack(Vec::new())
    }
}

impl Collection for Set {
    const KIND: Kind = Kind::Set;

    fn from_packed(form: Form, bytes: Vec<u8>) -> Self {
        match form {
            Form::IntSet => Self::Ints(bytes),
            _ => Self::Pack(bytes),
        }
    }

    fn packed(&self) -> Option<(Form, &[u8])> {
        match self {
            Self::Ints(bytes) => Some((Form::IntSet, bytes)),
            Self::Pack(bytes) => Some((Form::SetPack, bytes)),
            Self::Table(_) => None,
        }
    }

    fn into_packed_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Ints(bytes) | Self::Pack(bytes) => Some(bytes),
            Self::Table(_) => None,
        }
    }

    fn encoding(&self) -> Encoding {
        match self {
            Self::Ints(_) => Encoding::Intset,
            Self::Pack(_) => Encoding::Listpack,
            Self::Table(_) => Encoding::Hashtable,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Ints(_) | Self::Pack(_) => 0,
            Self::Table(members) => members.len(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Ints(bytes) | Self::Pack(bytes) => bytes.capacity(),
            Self::Table(members) => members.bytes(),
        }
    }

    fn view<'a>(&'a self, cells: &'a Cells, layout: &'a Layout) -> ValueRef<'a> {
        ValueRef::Set(match self {
            Self::Ints(bytes) => SetRef::Ints(bytes),
            Self::Pack(bytes) => SetRef::Pack(bytes),
            Self::Table(members) => SetRef::Table(MembersRef {
                members,
                cells,
                layout,
            }),
        })
    }

    fn fit(&mut self) {
        if let Self::Ints(bytes) | Self::Pack(bytes) = self {
            fit_packed(bytes);
        }
    }

    fn earliest_deadline(&self) -> UnixMs {
        match self {
            Self::Ints(_) | Self::Pack(_) => NEVER,
            Self::Table(members) => members.earliest_deadline(),
        }
    }

    fn removal() -> &'static [u8] {
        b"SREM"
    }

    fn expire(
        &mut self,
        now: UnixMs,
        max: usize,
        cells: &mut Cells,
        layout: &Layout,
        tell: &mut dyn FnMut(&[u8]),
    ) -> bool {
        match self {
            Self::Ints(_) | Self::Pack(_) => false,
            Self::Table(members) => members.expire(now, max, cells, layout, tell),
        }
    }

    fn free(&mut self, max: usize, cells: &mut Cells) -> bool {
        match self {
            Self::Ints(_) | Self::Pack(_) => false,
            Self::Table(members) => members.free(max, cells),
        }
    }

    fn copy_to(&self, from: &Cells, to: &mut Cells, layout: &Layout) -> Self {
        match self {
            Self::Ints(bytes) => Self::Ints(bytes.clone()),
            Self::Pack(bytes) => Self::Pack(bytes.clone()),
            Self::Table(members) => Self::Table(Box::new(members.copy_to(from, to, layout))),
        }
    }

    fn compact(&mut self, part: usize, cells: &mut Cells) -> bool {
        match self {
            Self::Ints(_) | Self::Pack(_) => false,
            Self::Table(members) => members.compact(part, cells, |_, _, _| ()),
        }
    }
}
