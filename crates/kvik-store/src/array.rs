//! Arrays: strings by their index, with holes, and a cursor where the next one is inserted.
//!
//! ```text
//! body --- slices: [ first index | which are there | values ] ...   array/slice.rs
//!      |-- how many elements, and bytes, there are
//!      '-- the index that was inserted last
//! ```
//! Indexes are cut into blocks of 64. A slice holds the elements of one block, or of a part of it
//! if they are large: a word says which indexes are there, and the values lie behind each other in
//! a listpack. So a hole costs nothing, an index far away a slice of its own, and an element of a
//! full block its bytes and three more. Finding an element is a search among the slices and a walk
//! of at most 32 steps. Copies share slices until one of them changes something there.

mod body;
pub(crate) mod change;
mod range;
pub(crate) mod restore;
mod slice;
mod view;

use self::body::ArrayBody;
use crate::UnixMs;
use crate::cells::{Cells, ValueForm};
use crate::collection::Collection;
use crate::kind::{Encoding, Kind};
use crate::memory::{Memory, MemoryMut};
use crate::shape::Shapes;

pub use range::ArrayRange;
pub use view::ArrayRef;

/// An array; nothing as long as nothing was put into it.
#[derive(Debug, Default)]
pub(crate) struct Array(Option<Box<ArrayBody>>);

static NOTHING: ArrayBody = ArrayBody::new();

impl Array {
    fn body(&self) -> &ArrayBody {
        self.0.as_deref().unwrap_or(&NOTHING)
    }

    fn body_mut(&mut self) -> &mut ArrayBody {
        self.0.get_or_insert_default()
    }

    /// The same array, which shares its slices.
    pub(crate) fn share(&mut self) -> Self {
        Self::from(self.body_mut().share())
    }

    pub(crate) fn as_view(&self) -> ArrayRef<'_> {
        ArrayRef { body: self.body() }
    }
}

impl From<ArrayBody> for Array {
    fn from(body: ArrayBody) -> Self {
        Self(Some(Box::new(body)))
    }
}

impl Collection for Array {
    type Ref<'a> = ArrayRef<'a>;

    fn kind() -> Kind {
        Kind::Array
    }

    fn packed(&self) -> Option<(ValueForm, &[u8])> {
        None
    }

    fn into_packed_bytes(self) -> Option<Vec<u8>> {
        None
    }

    fn encoding(&self) -> Encoding {
        Encoding::SlicedArray
    }

    fn len(&self) -> usize {
        self.body().count() as usize
    }

    fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |body| body.bytes())
    }

    fn view<'a>(&'a self, _: Memory<'a>, _: UnixMs) -> ArrayRef<'a> {
        self.as_view()
    }

    fn view_packed<'a>(form: ValueForm, _: &'a [u8], _: &'a Shapes) -> ArrayRef<'a> {
        unreachable!("{form:?} is no array")
    }

    fn free(&mut self, max: usize, _cells: &mut Cells) -> bool {
        self.0.as_mut().is_some_and(|body| body.free(max))
    }

    fn copy_to(&mut self, _from: &Cells, _to: &mut MemoryMut<'_>) -> Self {
        self.share()
    }
}

#[cfg(test)]
mod tests;
