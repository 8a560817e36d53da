//! Images of large collections, taken member by member while these change.
//!
//! A large collection is too long to be handed over at once. When its key's turn comes, the image
//! of a stripe opens a [`TableImage`], and from then on the collection's members are handed over as
//! keys are: range by range by a walk, and first by whoever changes a member of a range that is not
//! saved yet. They come in no particular order, with those of other collections between them.

use std::fmt;

use crate::cells::Member;
use crate::raw::ranges::Ranges;
use crate::source::Source;

/// Takes the members of one collection.
pub(crate) trait MemberOutlet: Send + Sync {
    /// Takes a member.
    fn member(&mut self, member: Member<'_>);

    /// All have been taken.
    fn end(&mut self);
}

/// The image of a large collection, while it is taken.
pub(crate) struct TableImage {
    pub(crate) source: Source,
    /// The number of the collection in its heap.
    pub(crate) number: u32,
    /// No key leads to the collection any more: whoever completes the image frees it.
    pub(crate) is_orphan: bool,
    pub(crate) saved: Ranges,
    pub(crate) outlet: Box<dyn MemberOutlet>,
}

/// The images that are being taken of one stripe's large collections, in the order in which they
/// were opened.
#[derive(Debug, Default)]
pub(crate) struct TableImages(Vec<TableImage>);

impl TableImages {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn open(&mut self, image: TableImage) {
        self.0.push(image);
    }

    /// The image of the collection with this id.
    pub(crate) fn of(&mut self, source: Source) -> Option<&mut TableImage> {
        self.0.iter_mut().find(|image| image.source == source)
    }

    /// The image of the collection with this number in the heap.
    pub(crate) fn numbered(&mut self, number: u32) -> Option<&mut TableImage> {
        self.0.iter_mut().find(|image| image.number == number)
    }

    /// Takes out the one that was opened first.
    pub(crate) fn take_first(&mut self) -> Option<TableImage> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    /// Puts back what [`Self::take_first`] has taken.
    pub(crate) fn put_first(&mut self, image: TableImage) {
        self.0.insert(0, image);
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        let images = self.0.iter();
        self.0.capacity() * size_of::<TableImage>()
            + images.map(|image| image.saved.bytes()).sum::<usize>()
    }
}

impl fmt::Debug for TableImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableImage")
            .field("source", &self.source)
            .field("number", &self.number)
            .field("is_orphan", &self.is_orphan)
            .field("saved", &self.saved)
            .finish_non_exhaustive()
    }
}
