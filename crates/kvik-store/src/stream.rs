//! Streams.

use crate::layout::Layout;
use crate::object::Collection;
use crate::raw::cells::Cells;
use crate::raw::entry::Form;
use crate::value::{Encoding, Kind, ValueRef};

/// A stream.
#[derive(Debug, Default)]
pub(crate) struct Stream {}

/// A stream as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub struct StreamRef<'a>(#[expect(dead_code, reason = "read by nobody yet")] &'a Stream);

impl Collection for Stream {
    const KIND: Kind = Kind::Stream;

    fn from_packed(form: Form, _bytes: Vec<u8>) -> Self {
        unreachable!("{form:?} is no stream")
    }

    fn packed(&self) -> Option<(Form, &[u8])> {
        None
    }

    fn into_packed_bytes(self) -> Option<Vec<u8>> {
        None
    }

    fn encoding(&self) -> Encoding {
        Encoding::Stream
    }

    fn len(&self) -> usize {
        0
    }

    fn is_void(&self) -> bool {
        false
    }

    fn bytes(&self) -> usize {
        0
    }

    fn view<'a>(&'a self, _cells: &'a Cells, _layout: &'a Layout) -> ValueRef<'a> {
        ValueRef::Stream(StreamRef(self))
    }

    fn free(&mut self, _max: usize, _cells: &mut Cells) -> bool {
        false
    }

    fn copy_to(&self, _from: &Cells, _to: &mut Cells, _layout: &Layout) -> Self {
        Self {}
    }
}
