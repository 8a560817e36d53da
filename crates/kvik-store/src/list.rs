//! Lists: one listpack, or a queue of them.
//!
//! A small list is packed and lies in its key's entry. Beyond `list-max-listpack-size` it is a
//! [`Quicklist`] of nodes of at most that size, and it is packed again when a single node of half
//! the size is left: when a list has which encoding is as in Redis 7.2.

mod bounds;
pub(crate) mod change;
mod node;
mod nodes;
mod quicklist;
mod restore;

use std::ops::Range;

use self::bounds::Bounds;
use self::node::delete_matches;
use self::quicklist::{Quicklist, QuicklistWalk};
use crate::UnixMs;
use crate::cells::ValueForm;
use crate::collection::{Large, Packable, Representation};
use crate::kind::{Encoding, Kind};
use crate::memory::Memory;
use crate::packed::listpack::ListpackIter;
use crate::packed::{Element, Listpack, Needle, Packed, listpack};
use crate::shape::Shapes;

pub use self::quicklist::{ListNode, ListSweep, QuicklistRef};

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListEnd {
    /// Where the element with index 0 is.
    Left,
    /// Where the element with index -1 is.
    Right,
}

/// A list in one of its representations.
#[derive(Debug)]
pub(crate) enum List {
    /// A listpack, or no bytes at all where the list is empty.
    Pack(Vec<u8>),
    Quick(Box<Quicklist>),
}

/// A list as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub enum ListRef<'a> {
    /// The bytes of a listpack.
    Pack(&'a [u8]),
    /// Many listpacks.
    Quick(QuicklistRef<'a>),
}

/// Elements of a list, from one end of it towards the other; see [`ListRef::elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    walk: Option<ListWalk<'a>>,
    left: usize,
}

#[derive(Clone, Debug)]
enum ListWalk<'a> {
    Pack(ListpackIter<'a>),
    PackBack(ListpackIter<'a>),
    Quick(QuicklistWalk<'a>),
}

impl ListEnd {
    /// The word for it in commands.
    fn name(self) -> &'static [u8] {
        match self {
            Self::Left => b"LEFT",
            Self::Right => b"RIGHT",
        }
    }

    /// The command that adds elements there.
    fn push(self) -> &'static [u8] {
        match self {
            Self::Left => b"LPUSH",
            Self::Right => b"RPUSH",
        }
    }

    /// The command that deletes elements there.
    fn pop(self) -> &'static [u8] {
        match self {
            Self::Left => b"LPOP",
            Self::Right => b"RPOP",
        }
    }
}

impl<'a> ListRef<'a> {
    /// Number of elements.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Pack(bytes) => Listpack::new(bytes).len(),
            Self::Quick(list) => list.list().len(),
        }
    }

    /// Whether there is no element; no key has such a list.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The element with this index.
    pub fn get(self, index: usize) -> Option<Element<'a>> {
        match self {
            Self::Pack(bytes) => Listpack::new(bytes).get(index),
            Self::Quick(list) => list.list().get(index),
        }
    }

    /// The elements in order.
    pub fn iter(self) -> Elements<'a> {
        self.elements(ListEnd::Left, 0, usize::MAX)
    }

    /// Up to `count` elements as they come from an end on, after the first `skip`. The first of
    /// them is looked up from the end that is nearer.
    pub fn elements(self, from: ListEnd, skip: usize, count: usize) -> Elements<'a> {
        let left = count.min(self.len().saturating_sub(skip));
        let walk = (left > 0).then(|| match self {
            Self::Pack(bytes) => Some(ListWalk::through(Listpack::new(bytes), from, skip)),
            Self::Quick(list) => list.list().walk(from, skip).map(ListWalk::Quick),
        });
        Elements {
            walk: walk.flatten(),
            left,
        }
    }
}

impl<'a> ListWalk<'a> {
    fn through(pack: Listpack<'a>, from: ListEnd, skip: usize) -> Self {
        match from {
            ListEnd::Left => {
                let at = pack.seek(skip).unwrap_or(pack.as_bytes().len());
                Self::Pack(pack.iter_from(at))
            }
            ListEnd::Right => {
                let mut iter = pack.iter();
                if let Some(last) = skip.checked_sub(1) {
                    iter.nth_back(last);
                }
                Self::PackBack(iter)
            }
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        self.left = self.left.checked_sub(1)?;
        match self.walk.as_mut()? {
            ListWalk::Pack(iter) => iter.next(),
            ListWalk::PackBack(iter) => iter.next_back(),
            ListWalk::Quick(walk) => walk.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Elements<'_> {}

impl List {
    /// Makes room for elements of so many bytes together: a packed list that would be too large
    /// ceases to be packed.
    fn make_room(&mut self, bytes: usize, elements: usize, bounds: Bounds) {
        let Self::Pack(pack) = self else {
            return;
        };
        let (len, there) = (Listpack::new(pack).len(), pack.len());
        // An empty list has no bytes, but it will have what every listpack has.
        let there = there.max(listpack::EMPTY_BYTES);
        if bounds.exceeded_by(there + bytes, len + elements) {
            let pack = std::mem::take(pack);
            *self = Self::Quick(Box::new(Quicklist::of(pack)));
        }
    }

    /// After elements have gone: packs the list if it is small again.
    fn relax(&mut self, bounds: Bounds) {
        if let Self::Quick(list) = self
            && let Some(pack) = list.take_small(bounds)
        {
            *self = Self::Pack(pack);
        }
    }

    #[inline]
    fn push(&mut self, end: ListEnd, element: &[u8], bounds: Bounds) {
        let pack = match self {
            Self::Quick(list) => return list.push(end, element, bounds),
            Self::Pack(pack) => pack,
        };
        if pack.is_empty() {
            listpack::clear(pack);
        }
        match end {
            ListEnd::Left => listpack::prepend(pack, element),
            ListEnd::Right => listpack::append(pack, element),
        }
    }

    /// Deletes `count` elements at an end; there are as many. Returns what is to be freed.
    fn cut(&mut self, end: ListEnd, count: usize) -> Option<Quicklist> {
        match self {
            Self::Quick(list) => Some(list.cut(end, count)),
            Self::Pack(pack) => {
                cut_packed(pack, end, count);
                None
            }
        }
    }

    /// Puts an element in the place of the one with this index, which there is.
    fn replace(&mut self, index: usize, element: &[u8], bounds: Bounds) {
        match self {
            Self::Quick(list) => list.replace(index, element, bounds),
            Self::Pack(pack) => {
                if let Some(at) = Listpack::new(pack).seek(index) {
                    listpack::replace(pack, at, element);
                }
            }
        }
    }

    /// Whether an element matches, where finding out is cheap.
    fn may_contain(&self, needle: Needle<'_>) -> bool {
        match self {
            Self::Quick(_) => true,
            Self::Pack(pack) => Listpack::new(pack)
                .find_from(listpack::START, needle, 0)
                .is_some(),
        }
    }

    /// Adds an element before the first that matches, or after it, and says whether one does.
    fn insert(&mut self, pivot: Needle<'_>, after: bool, element: &[u8], bounds: Bounds) -> bool {
        let pack = match self {
            Self::Quick(list) => return list.insert(pivot, after, element, bounds),
            Self::Pack(pack) => pack,
        };
        let Some(at) = Listpack::new(pack).find_from(listpack::START, pivot, 0) else {
            return false;
        };
        if after {
            listpack::insert_after(pack, at, element);
        } else {
            listpack::insert_before(pack, at, element);
        }
        true
    }

    /// Deletes up to `max` elements that match, those nearest to an end, and says how many.
    fn delete_matches(
        &mut self,
        needle: Needle<'_>,
        nearest: ListEnd,
        max: usize,
        bounds: Bounds,
    ) -> usize {
        match self {
            Self::Quick(list) => list.delete_matches(needle, nearest, max, bounds),
            Self::Pack(pack) => delete_matches(pack, needle, nearest, max),
        }
    }

    /// The same of the elements in nodes that hold a part of them; of a packed list, of all.
    fn delete_matches_in(
        &mut self,
        needle: Needle<'_>,
        nearest: ListEnd,
        max: usize,
        part: Range<usize>,
        bounds: Bounds,
    ) -> ListSweep {
        match self {
            Self::Quick(list) => list.delete_matches_in(needle, nearest, max, part, bounds),
            Self::Pack(pack) => ListSweep {
                looked: Listpack::new(pack).len(),
                deleted: delete_matches(pack, needle, nearest, max),
            },
        }
    }

    /// Adds an element before the one with this index, which there is, or behind it.
    fn insert_beside(&mut self, index: usize, behind: bool, element: &[u8], bounds: Bounds) {
        match self {
            Self::Quick(list) => list.insert_beside(index, behind, element, bounds),
            Self::Pack(pack) => {
                let at = Listpack::new(pack).seek(index);
                let at = at.expect("the caller has found the element");
                if behind {
                    listpack::insert_after(pack, at, element);
                } else {
                    listpack::insert_before(pack, at, element);
                }
            }
        }
    }

    /// The same list, which shares its nodes, if it has nodes.
    pub(crate) fn share(&mut self) -> Option<Self> {
        match self {
            Self::Pack(_) => None,
            Self::Quick(list) => Some(Self::Quick(Box::new(list.share()))),
        }
    }

    /// Bytes of the elements' texts.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Pack(pack) => Listpack::new(pack).iter().map(|it| it.len()).sum(),
            Self::Quick(list) => list.text_bytes(),
        }
    }

    pub(crate) fn as_ref(&self) -> ListRef<'_> {
        match self {
            Self::Pack(pack) => ListRef::Pack(pack),
            Self::Quick(list) => ListRef::Quick(QuicklistRef::new(list)),
        }
    }
}

/// Deletes `count` elements at an end; there are as many.
fn cut_packed(pack: &mut impl Packed, end: ListEnd, count: usize) {
    let from = match end {
        ListEnd::Left => 0,
        ListEnd::Right => Listpack::new(pack.bytes()).len() - count,
    };
    listpack::delete_range(pack, from, count);
}

impl Default for List {
    fn default() -> Self {
        Self::Pack(Vec::new())
    }
}

impl Packable for List {
    const KIND: Kind = Kind::List;
    const LARGE: Encoding = Encoding::Quicklist;
    const REMOVAL: &'static [u8] = b"DEL";

    type Ref<'a> = ListRef<'a>;
    type Large = Quicklist;

    fn from_packed(form: ValueForm, bytes: Vec<u8>) -> Self {
        debug_assert_eq!(form, ValueForm::ListPack);
        Self::Pack(bytes)
    }

    fn from_large(large: Quicklist) -> Self {
        Self::Quick(Box::new(large))
    }

    fn representation(&self) -> Representation<&Vec<u8>, &Quicklist> {
        match self {
            Self::Pack(bytes) => Representation::Packed(ValueForm::ListPack, bytes),
            Self::Quick(large) => Representation::Large(large),
        }
    }

    fn representation_mut(&mut self) -> Representation<&mut Vec<u8>, &mut Quicklist> {
        match self {
            Self::Pack(bytes) => Representation::Packed(ValueForm::ListPack, bytes),
            Self::Quick(large) => Representation::Large(large),
        }
    }

    fn read_packed<'a>(_: ValueForm, bytes: &'a [u8], _: &'a Shapes) -> ListRef<'a> {
        ListRef::Pack(bytes)
    }

    fn read<'a>(&'a self, _: Memory<'a>, _: UnixMs) -> ListRef<'a> {
        self.as_ref()
    }
}

#[cfg(test)]
mod tests;
