//! A node of a large list: a listpack, or one element by itself that is too large for one.

use std::sync::Arc;

use super::ListEnd;
use super::bounds::Bounds;
use crate::packed::listpack::ListpackIter;
use crate::packed::{self, Element, Listpack, Needle, listpack};
use crate::shareable::clone_bytes;

/// Bytes that a node reserves at first.
const FIRST_BYTES: usize = 1 << 10;

/// Bytes of an entry beside its element, at most.
const ENTRY_OVERHEAD: usize = 16;

/// Bytes before an element that is shared: how many share it.
const COUNTS: usize = 2 * size_of::<usize>();

/// A node of a list: a listpack, or one element that is too large for one.
#[derive(Clone, Debug)]
pub(super) struct QuicklistNode {
    body: NodeBody,
    elements: u32,
    /// Bytes of the elements' texts.
    text_bytes: u32,
}

/// How much a node that grows reserves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Growth {
    /// Hardly more than it needs: it is all there is of the list.
    Tight,
    /// Up to half of what it needs, as far as a node goes: the list has others.
    Roomy(Bounds),
}

#[derive(Debug)]
enum NodeBody {
    Pack(Vec<u8>),
    /// One element. It never changes, so clones share it.
    Plain(Arc<[u8]>),
}

impl Clone for NodeBody {
    fn clone(&self) -> Self {
        match self {
            Self::Pack(bytes) => Self::Pack(clone_bytes(bytes)),
            Self::Plain(element) => Self::Plain(Arc::clone(element)),
        }
    }
}

/// The elements of a node that are still to come, from either end.
#[derive(Clone, Debug)]
pub(super) enum Run<'a> {
    Pack(ListpackIter<'a>),
    Plain(Option<&'a [u8]>),
}

impl QuicklistNode {
    /// A node of a listpack.
    pub(super) fn packed(bytes: Vec<u8>) -> Self {
        let elements = Listpack::new(&bytes).len() as u32;
        let text_bytes = text_bytes(Listpack::new(&bytes).iter());
        Self::of_pack(bytes, elements, text_bytes)
    }

    fn of_pack(bytes: Vec<u8>, elements: u32, text_bytes: u32) -> Self {
        let body = NodeBody::Pack(bytes);
        Self {
            body,
            elements,
            text_bytes,
        }
    }

    /// A node of one element.
    pub(super) fn of(element: &[u8], bounds: Bounds) -> Self {
        if bounds.is_large(element.len()) {
            return Self::plain(element);
        }
        let mut bytes = listpack::empty();
        let first = FIRST_BYTES.min(bounds.node_bytes());
        bytes.reserve_exact(first.max(element.len() + ENTRY_OVERHEAD) - bytes.len());
        listpack::append(&mut bytes, element);
        Self::of_pack(bytes, 1, element.len() as u32)
    }

    fn plain(element: &[u8]) -> Self {
        Self {
            body: NodeBody::Plain(element.into()),
            elements: 1,
            text_bytes: element.len() as u32,
        }
    }

    /// Bytes of the elements' texts.
    #[inline]
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes as usize
    }

    /// Number of elements.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.elements as usize
    }

    /// Bytes of the listpack or the element.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.body {
            NodeBody::Pack(bytes) => bytes,
            NodeBody::Plain(element) => element,
        }
    }

    /// Bytes allocated.
    #[inline]
    pub(super) fn allocated(&self) -> usize {
        match &self.body {
            NodeBody::Pack(bytes) => bytes.capacity(),
            NodeBody::Plain(element) => {
                (COUNTS + element.len()).next_multiple_of(align_of::<usize>())
            }
        }
    }

    /// Whether this is an element by itself.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.body, NodeBody::Plain(_))
    }

    /// The listpack, to use it for itself.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self.body {
            NodeBody::Pack(bytes) => bytes,
            NodeBody::Plain(_) => unreachable!("asked only of a listpack"),
        }
    }

    /// The bytes of the listpack, to change them.
    #[inline]
    fn pack_mut(&mut self) -> &mut Vec<u8> {
        match &mut self.body {
            NodeBody::Pack(bytes) => bytes,
            NodeBody::Plain(_) => unreachable!("asked only of a listpack"),
        }
    }

    /// The elements.
    #[inline]
    pub(super) fn run(&self) -> Run<'_> {
        match &self.body {
            NodeBody::Pack(bytes) => Run::Pack(Listpack::new(bytes).iter()),
            NodeBody::Plain(element) => Run::Plain(Some(element)),
        }
    }

    /// The elements from the index on.
    pub(super) fn run_from(&self, index: usize) -> Run<'_> {
        if self.is_plain() {
            return self.run();
        }
        let pack = Listpack::new(self.bytes());
        Run::Pack(pack.iter_from(pack.seek(index).unwrap_or(self.end())))
    }

    /// The place of the element with this index: an offset, of which only [`Self::start`],
    /// [`Self::end`] and those of elements mean something.
    pub(super) fn seek(&self, index: usize) -> usize {
        if self.is_plain() {
            return 0;
        }
        Listpack::new(self.bytes())
            .seek(index)
            .unwrap_or(self.end())
    }

    /// The place of the first element that matches.
    pub(super) fn find(&self, needle: Needle<'_>) -> Option<usize> {
        if self.is_plain() {
            return needle.matches(Element::Bytes(self.bytes())).then_some(0);
        }
        let pack = Listpack::new(self.bytes());
        pack.find_from(pack.first()?, needle, 0)
    }

    /// The place behind the element at `at`.
    pub(super) fn behind(&self, at: usize) -> usize {
        if self.is_plain() {
            return self.end();
        }
        Listpack::new(self.bytes()).next(at).unwrap_or(self.end())
    }

    /// The place of the first element.
    pub(super) fn start(&self) -> usize {
        if self.is_plain() { 0 } else { listpack::START }
    }

    /// The place behind the last element.
    pub(super) fn end(&self) -> usize {
        self.bytes().len() - usize::from(!self.is_plain())
    }

    /// Whether another element of this length belongs here.
    pub(super) fn admits(&self, len: usize, bounds: Bounds) -> bool {
        match &self.body {
            NodeBody::Pack(bytes) => bounds.admits(bytes.len(), self.len(), len),
            NodeBody::Plain(_) => false,
        }
    }

    /// Whether this node is larger than it should be, and can be divided.
    pub(super) fn is_over(&self, bounds: Bounds) -> bool {
        self.elements > 1 && bounds.exceeded_by(self.bytes().len(), self.len())
    }

    /// Whether this and the next node may become one.
    pub(super) fn admits_node(&self, next: &Self, bounds: Bounds) -> bool {
        let bytes = self.bytes().len() + next.bytes().len();
        !self.is_plain() && !next.is_plain() && bounds.admits_joined(bytes, self.len() + next.len())
    }

    /// Adds an element at an end. The node [admits](Self::admits) it.
    #[inline]
    pub(super) fn push(&mut self, end: ListEnd, element: &[u8], growth: Growth) {
        let pack = self.pack_mut();
        let added = element.len() + ENTRY_OVERHEAD;
        match growth {
            Growth::Tight => packed::reserve(pack, added),
            Growth::Roomy(bounds) => reserve(pack, added, bounds),
        }
        match end {
            ListEnd::Left => listpack::prepend(pack, element),
            ListEnd::Right => listpack::append(pack, element),
        }
        self.elements += 1;
        self.text_bytes += element.len() as u32;
    }

    /// Adds an element at a place. The node [admits](Self::admits) it.
    pub(super) fn insert(&mut self, at: usize, element: &[u8]) {
        let pack = self.pack_mut();
        packed::reserve(pack, element.len() + ENTRY_OVERHEAD);
        listpack::insert_before(pack, at, element);
        self.elements += 1;
        self.text_bytes += element.len() as u32;
    }

    /// Puts an element in the place of the one that is there. Both are large or neither is.
    pub(super) fn replace(&mut self, at: usize, element: &[u8]) {
        let old_len = match &mut self.body {
            NodeBody::Pack(bytes) => {
                let old = Listpack::new(bytes).at(at).map_or(0, |old| old.len());
                listpack::replace(bytes, at, element);
                old
            }
            NodeBody::Plain(old) => std::mem::replace(old, element.into()).len(),
        };
        self.text_bytes += element.len() as u32;
        self.text_bytes -= old_len as u32;
    }

    /// Deletes elements at an end; fewer than there are.
    pub(super) fn cut(&mut self, end: ListEnd, count: usize) {
        let from = match end {
            ListEnd::Left => 0,
            ListEnd::Right => self.len() - count,
        };
        if let Run::Pack(run) = self.run_from(from) {
            self.text_bytes -= text_bytes(run.take(count));
        }
        listpack::delete_range(self.pack_mut(), from, count);
        self.elements -= count as u32;
    }

    /// Deletes up to `max` elements that match, those nearest to an end, and says how many. A node
    /// without elements is to be removed.
    pub(super) fn delete_matches(
        &mut self,
        needle: Needle<'_>,
        nearest: ListEnd,
        max: usize,
    ) -> usize {
        let deleted = match &mut self.body {
            NodeBody::Pack(bytes) => delete_matches(bytes, needle, nearest, max),
            NodeBody::Plain(_) => usize::from(self.find(needle).is_some()),
        };
        self.elements -= deleted as u32;
        // What matches has the same text.
        self.text_bytes -= (deleted * needle.element().len()) as u32;
        deleted
    }

    /// Takes the elements from a place on away; there is one before it and one behind.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let mut rest = self.bytes().to_vec();
        let moved = listpack::delete(self.pack_mut(), at, usize::MAX);
        let stay = self.len() - moved;
        listpack::delete(&mut rest, listpack::START, stay);
        self.elements = stay as u32;
        self.fit();
        let moved_bytes = text_bytes(Listpack::new(&rest).iter());
        self.text_bytes -= moved_bytes;
        let mut rest = Self::of_pack(rest, moved as u32, moved_bytes);
        rest.fit();
        rest
    }

    /// Adds the elements of the next node, which it [admits](Self::admits_node).
    pub(super) fn append(&mut self, next: &Self) {
        let pack = self.pack_mut();
        pack.reserve_exact(next.bytes().len());
        listpack::merge(pack, Listpack::new(next.bytes()));
        self.elements += next.elements;
        self.text_bytes += next.text_bytes;
    }

    /// Whether [`Self::fit`] would give memory back.
    pub(super) fn is_wide(&self) -> bool {
        match &self.body {
            NodeBody::Pack(bytes) => bytes.capacity() > bytes.len() + bytes.len() / 16,
            NodeBody::Plain(_) => false,
        }
    }

    /// Whether [`Self::fit_loosely`] would give memory back.
    pub(super) fn is_very_wide(&self) -> bool {
        match &self.body {
            NodeBody::Pack(bytes) => bytes.capacity() > FIRST_BYTES.max(4 * bytes.len()),
            NodeBody::Plain(_) => false,
        }
    }

    /// Gives back all memory that the elements do not need. Copies: an allocator need not return
    /// any for a smaller size of the same allocation.
    pub(super) fn fit(&mut self) {
        if self.is_wide() {
            *self.pack_mut() = self.bytes().to_vec();
        }
    }

    /// Gives back memory, leaving room to grow.
    pub(super) fn fit_loosely(&mut self) {
        if self.is_very_wide() {
            let mut fitting = Vec::with_capacity(2 * self.bytes().len());
            fitting.extend_from_slice(self.bytes());
            *self.pack_mut() = fitting;
        }
    }

    /// Compares what is noted with what is there.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert!(self.elements > 0);
        let text: usize = match self.run() {
            Run::Pack(run) => run.map(|element| element.len()).sum(),
            Run::Plain(element) => element.map_or(0, <[u8]>::len),
        };
        assert_eq!(self.text_bytes(), text);
        if !self.is_plain() {
            let pack = Listpack::validate(self.bytes()).expect("a listpack");
            assert_eq!(pack.len(), self.len());
        }
    }
}

fn text_bytes<'a>(elements: impl Iterator<Item = Element<'a>>) -> u32 {
    elements.map(|element| element.len() as u32).sum()
}

/// Makes room for `added` more bytes, and for some others, up to the size of a node.
fn reserve(pack: &mut Vec<u8>, added: usize, bounds: Bounds) {
    let needed = pack.len() + added;
    if needed > pack.capacity() {
        let room = (needed + needed / 2).min(bounds.node_bytes()).max(needed);
        pack.reserve_exact(room - pack.len());
    }
}

impl<'a> Run<'a> {
    /// The next element from an end.
    #[inline]
    pub(super) fn next_from(&mut self, end: ListEnd) -> Option<Element<'a>> {
        match (self, end) {
            (Self::Pack(iter), ListEnd::Left) => iter.next(),
            (Self::Pack(iter), ListEnd::Right) => iter.next_back(),
            (Self::Plain(element), _) => element.take().map(Element::Bytes),
        }
    }

    /// Passes over elements at the back.
    pub(super) fn skip_back(mut self, count: usize) -> Self {
        for _ in 0..count {
            self.next_from(ListEnd::Right);
        }
        self
    }
}

/// Deletes up to `max` elements of a listpack that match, those nearest to an end, and says how
/// many.
pub(super) fn delete_matches(
    pack: &mut Vec<u8>,
    needle: Needle<'_>,
    nearest: ListEnd,
    max: usize,
) -> usize {
    let skip = match nearest {
        ListEnd::Left => 0,
        ListEnd::Right => {
            let matches = Listpack::new(pack).iter();
            let matches = matches.filter(|element| needle.matches(*element)).count();
            matches.saturating_sub(max)
        }
    };
    listpack::delete_matches(pack, needle, skip, max)
}
