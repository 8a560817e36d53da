//! Streams: entries in the order of their ids, and consumer groups that are given them.
//!
//! ```text
//! body --- nodes: [ id | listpack of entries ] ...                  stream/{sequence,node}.rs
//!      |-- marks: first, last and largest deleted id, counts             stream/marks.rs
//!      |-- what producers have added, so as not to add it again    stream/idempotence.rs
//!      '-- groups: [ last id | pending entries | consumers ] ...         stream/group.rs
//! ```
//! A node is a run of entries in the bytes that Redis has for them. Adding an entry writes at the
//! end of the last node; an entry is found by two binary searches and by reading one node; entries
//! go from the front by the node. What is pending in a group is ordered in the same way. A stream
//! without entries stays; only a stream that nothing was ever done to is none.

mod body;
pub(crate) mod change;
mod deletion;
pub(crate) mod delivery;
mod group;
mod id;
mod idempotence;
mod marks;
mod node;
mod range;
mod reference;
pub(crate) mod restore;
mod trim;
mod view;

use self::body::StreamBody;
use crate::UnixMs;
use crate::cells::Cells;
use crate::cells::ValueForm;
use crate::collection::Collection;
use crate::kind::{Encoding, Kind};
use crate::memory::{Memory, MemoryMut};
use crate::shape::Shapes;

pub use deletion::{Deletion, References};
pub use id::{IdText, StreamId};
pub use node::StreamEntry;
pub use range::{StreamRange, StreamRangeBack};
pub use trim::{Precision, Trim, TrimTo};
pub use view::{ConsumerRef, GroupRef, IdempotenceRef, PendingEntry, StreamRef};

/// A stream; nothing as long as nothing was done to it.
#[derive(Debug, Default)]
pub(crate) struct Stream(Option<Box<StreamBody>>);

static NOTHING: StreamBody = StreamBody::new();

impl Stream {
    fn body(&self) -> &StreamBody {
        self.0.as_deref().unwrap_or(&NOTHING)
    }

    /// The stream, if something was done to it.
    fn made_mut(&mut self) -> Option<&mut StreamBody> {
        self.0.as_deref_mut()
    }

    /// The stream, which is one from now on.
    fn body_mut(&mut self) -> &mut StreamBody {
        self.0.get_or_insert_default()
    }

    /// The same stream, which shares its nodes.
    pub(crate) fn share(&mut self) -> Self {
        Self::from(self.body_mut().share())
    }

    pub(crate) fn as_view(&self) -> StreamRef<'_> {
        StreamRef { body: self.body() }
    }
}

impl From<StreamBody> for Stream {
    fn from(body: StreamBody) -> Self {
        Self(Some(Box::new(body)))
    }
}

impl Collection for Stream {
    type Ref<'a> = StreamRef<'a>;

    fn kind() -> Kind {
        Kind::Stream
    }

    fn packed(&self) -> Option<(ValueForm, &[u8])> {
        None
    }

    fn into_packed_bytes(self) -> Option<Vec<u8>> {
        None
    }

    fn encoding(&self) -> Encoding {
        Encoding::Stream
    }

    fn len(&self) -> usize {
        self.body().marks.len as usize
    }

    fn is_void(&self) -> bool {
        self.0.is_none()
    }

    fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |body| body.bytes())
    }

    fn view<'a>(&'a self, _: Memory<'a>, _: UnixMs) -> StreamRef<'a> {
        self.as_view()
    }

    fn view_packed<'a>(form: ValueForm, _: &'a [u8], _: &'a Shapes) -> StreamRef<'a> {
        unreachable!("{form:?} is no stream")
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
