//! A node: some entries of a stream, one behind the other in a listpack, byte for byte as Redis
//! keeps them.
//!
//! ```text
//! entries | deleted | fields | field ... | 0                                    the master entry
//! flags | ms | seq | value ... | elements                        with the fields of the master
//! flags | ms | seq | fields | field | value ... | elements       with other fields
//! ```
//! The ids are distances from the id of the node, which is that of its first entry. The last
//! element of an entry says of how many elements it consists, without itself, so that a node can be
//! read from its end. A deleted entry stays where it is, flagged; a node goes away with its last
//! entry.

use super::id::StreamId;
use crate::packed::{
    self,
    listpack::{self, Element, Listpack},
};
use crate::sequence::Keyed;
use crate::shareable::clone_bytes;
use crate::text::StringRef;

/// The entry is deleted.
pub(super) const DELETED: i64 = 1;
/// The entry has the master's fields, which are not repeated.
pub(super) const SAME_FIELDS: i64 = 2;

/// Elements of the master entry before its fields.
const COUNTERS: usize = 3;

/// Entries with the id of the first.
#[derive(Debug)]
pub(super) struct StreamNode {
    id: StreamId,
    /// Entries that are not deleted, as the bytes say as well.
    live: u32,
    bytes: Vec<u8>,
}

/// An entry to read.
#[derive(Clone, Debug)]
pub struct StreamEntry<'a> {
    id: StreamId,
    fields: usize,
    names: listpack::ListpackIter<'a>,
    /// The elements behind the names; the values among the names if there are none.
    values: Option<listpack::ListpackIter<'a>>,
}

/// An entry that may be deleted.
struct FlaggedEntry<'a> {
    entry: StreamEntry<'a>,
    flags: i64,
}

/// The entries of a node in order.
#[derive(Clone, Debug)]
pub(super) struct Forward<'a> {
    id: StreamId,
    fields: usize,
    names: listpack::ListpackIter<'a>,
    rest: listpack::ListpackIter<'a>,
}

/// The entries of a node from the last on.
#[derive(Clone, Debug)]
pub(super) struct Backward<'a> {
    start: Forward<'a>,
    pack: Listpack<'a>,
    /// Behind the elements that are left.
    end: Option<usize>,
}

fn int(element: Option<Element<'_>>) -> i64 {
    match element {
        Some(Element::Int(n)) => n,
        _ => 0,
    }
}

/// A number of elements, from bytes that may come from elsewhere.
fn count(element: Option<Element<'_>>) -> usize {
    usize::try_from(int(element)).unwrap_or_default()
}

fn skip(elements: &mut listpack::ListpackIter<'_>, count: usize) {
    if let Some(last) = count.checked_sub(1) {
        elements.nth(last);
    }
}

/// With as much room as the original has.
impl Clone for StreamNode {
    fn clone(&self) -> Self {
        Self {
            bytes: clone_bytes(&self.bytes),
            ..*self
        }
    }
}

impl Keyed for StreamNode {
    type Id = StreamId;

    fn id(&self) -> StreamId {
        self.id
    }
}

impl StreamNode {
    /// A node for an entry with these fields, which are then its master's. The entry is still to be
    /// added.
    pub(super) fn new<'w>(id: StreamId, words: impl ExactSizeIterator<Item = &'w [u8]>) -> Self {
        let mut bytes = listpack::empty();
        let fields = words.len() / 2;
        let counters = [0, 0, fields as i64].map(Element::Int);
        let names = words.step_by(2).map(Element::Bytes);
        // A zero where other entries have their number of elements: reading backwards ends here.
        let end = std::iter::once(Element::Int(0));
        listpack::append_all(&mut bytes, counters.into_iter().chain(names).chain(end));
        Self { id, live: 0, bytes }
    }

    pub(super) fn live(&self) -> u64 {
        self.live.into()
    }

    /// The id that the ids are relative to, and the bytes of the listpack.
    pub(super) fn pack_bytes(&self) -> (StreamId, &[u8]) {
        (self.id, &self.bytes)
    }

    /// Bytes of the entries.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes allocated besides the node itself.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives back what no entry will need any more.
    pub(super) fn seal(&mut self) {
        packed::fit(&mut self.bytes);
    }

    /// Entries and deleted ones.
    pub(super) fn entries(&self) -> u64 {
        let mut counters = self.pack().iter();
        let live = int(counters.next());
        live.saturating_add(int(counters.next())).max(0) as u64
    }

    fn pack(&self) -> Listpack<'_> {
        Listpack::new(&self.bytes)
    }

    /// Adds an entry whose id is larger than those there. `words` are fields and values in turn.
    pub(super) fn append<'w>(
        &mut self,
        id: StreamId,
        words: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
    ) {
        let fields = words.len() / 2;
        let same = self.has_fields(fields, words.clone().step_by(2));
        let (flags, first, extra) = if same {
            (SAME_FIELDS, 1, 0)
        } else {
            (0, 0, fields + 1)
        };
        // Distances are small numbers, which a listpack holds in a byte or two.
        let (ms, seq) = id.delta(self.id);
        let head = [flags, ms, seq, fields as i64];
        let head = head.into_iter().take(3 + usize::from(!same));
        // With the master's fields only values follow: every second word.
        let step = 1 + first;
        let data = words.skip(first).step_by(step).map(Element::Bytes);
        // Flags, two parts of the id, values; fields and their number where they differ.
        let elements = 3 + fields + extra;
        let tail = std::iter::once(Element::Int(elements as i64));
        listpack::append_all(
            &mut self.bytes,
            head.map(Element::Int).chain(data).chain(tail),
        );
        self.count(1, 0);
    }

    /// Whether the master entry has exactly these fields.
    fn has_fields<'w>(&self, fields: usize, names: impl Iterator<Item = &'w [u8]>) -> bool {
        let (count, masters) = self.names();
        count == fields
            && masters
                .zip(names)
                .all(|(master, name)| listpack::Needle::new(name).matches(master))
    }

    /// Changes the number of entries and of those deleted.
    fn count(&mut self, added: i64, deleted: i64) {
        let pack = self.pack();
        let first = pack.first().expect("a node has counters");
        let live = i64::from(self.live) + added;
        // The counters come first, as Redis expects them in the bytes that it loads.
        listpack::replace(&mut self.bytes, first, Element::Int(live));
        self.live = live.try_into().unwrap_or_default();
        if deleted != 0 {
            let pack = self.pack();
            let second = pack.next(first).expect("a node has counters");
            let now = int(pack.at(second)) + deleted;
            listpack::replace(&mut self.bytes, second, Element::Int(now));
        }
    }

    /// How many fields the master entry has, and the elements from the first of them on.
    fn names(&self) -> (usize, listpack::ListpackIter<'_>) {
        let mut names = self.pack().iter();
        let fields = count(names.nth(COUNTERS - 1));
        (fields, names)
    }

    fn forward(&self) -> Forward<'_> {
        let (fields, names) = self.names();
        let mut rest = names.clone();
        skip(&mut rest, fields.saturating_add(1));
        Forward {
            id: self.id,
            fields,
            names,
            rest,
        }
    }

    /// The entries in order.
    pub(super) fn iter(&self) -> Forward<'_> {
        self.forward()
    }

    /// The entries from the last on.
    pub(super) fn iter_back(&self) -> Backward<'_> {
        Backward {
            start: self.forward(),
            pack: self.pack(),
            end: Some(self.bytes.len() - 1),
        }
    }

    /// The id of the last entry, deleted or not.
    pub(super) fn last_id(&self) -> StreamId {
        self.iter_back().stored().map_or(self.id, |it| it.entry.id)
    }

    /// Deletes the entry with this id and says whether it was there. The last one stays: with it
    /// the node goes away.
    pub(super) fn delete(&mut self, id: StreamId) -> bool {
        self.delete_while(|at| at.cmp(&id), 1) == 1
    }

    /// Deletes up to `max` of the first entries, those below an id.
    pub(super) fn delete_first(&mut self, max: u64, below: StreamId) -> u64 {
        let judge = |id: StreamId| {
            if id < below {
                std::cmp::Ordering::Equal
            } else {
                std::cmp::Ordering::Greater
            }
        };
        self.delete_while(judge, max)
    }

    /// Walks over the entries, deletes those that are judged equal, up to `max`, and stops at the
    /// first that is greater.
    fn delete_while(&mut self, judge: impl Fn(StreamId) -> std::cmp::Ordering, max: u64) -> u64 {
        let mut deleted = 0;
        let Some((fields, mut at)) = self.first_entry() else {
            return 0;
        };
        while let Some(flagged) = at.filter(|_| deleted < max) {
            let (id, flags, behind) = self.entry_at(flagged, fields);
            match judge(id) {
                std::cmp::Ordering::Greater => break,
                std::cmp::Ordering::Equal if flags & DELETED == 0 => {
                    let flags = Element::Int(flags | DELETED);
                    // The flags have the same size as before, so nothing moves.
                    listpack::replace(&mut self.bytes, flagged, flags);
                    deleted += 1;
                }
                _ => {}
            }
            at = behind;
        }
        if deleted > 0 {
            self.count(-(deleted as i64), deleted as i64);
        }
        deleted
    }

    /// The number of the master's fields, and where the first entry starts.
    fn first_entry(&self) -> Option<(usize, Option<usize>)> {
        let pack = self.pack();
        let third = pack.seek(COUNTERS - 1)?;
        let fields = count(pack.at(third));
        let first = (0..fields.saturating_add(2)).try_fold(third, |at, _| pack.next(at));
        Some((fields, first))
    }

    /// The id and the flags of the entry at an offset, and where the next one starts.
    fn entry_at(&self, flagged: usize, fields: usize) -> (StreamId, i64, Option<usize>) {
        let pack = self.pack();
        let mut elements = pack.iter_from(flagged);
        let flags = int(elements.next());
        let id = self.id.moved((int(elements.next()), int(elements.next())));
        let data = if flags & SAME_FIELDS != 0 {
            fields.saturating_add(3)
        } else {
            count(elements.next()).saturating_mul(2).saturating_add(4)
        };
        // Bytes from elsewhere may promise more elements than there are: then nothing follows.
        let behind = (0..=data).try_fold(flagged, |at, _| pack.next(at));
        (id, flags, behind)
    }
}

impl<'a> Forward<'a> {
    /// The next entry, deleted or not.
    fn stored(&mut self) -> Option<FlaggedEntry<'a>> {
        let mut elements = self.rest.clone();
        let stored = self.read(&mut elements)?;
        // The number of elements at the end.
        elements.next()?;
        self.rest = elements;
        Some(stored)
    }

    /// Reads an entry up to where its number of elements is.
    fn read(&self, elements: &mut listpack::ListpackIter<'a>) -> Option<FlaggedEntry<'a>> {
        let flags = int(Some(elements.next()?));
        let delta = (int(elements.next()), int(elements.next()));
        let same = flags & SAME_FIELDS != 0;
        let fields = if same {
            self.fields
        } else {
            count(elements.next())
        };
        let data = elements.clone();
        skip(
            elements,
            if same {
                fields
            } else {
                fields.saturating_mul(2)
            },
        );
        let (names, values) = if same {
            (self.names.clone(), Some(data))
        } else {
            (data, None)
        };
        let id = self.id.moved(delta);
        let entry = StreamEntry {
            id,
            fields,
            names,
            values,
        };
        Some(FlaggedEntry { entry, flags })
    }
}

impl<'a> Backward<'a> {
    fn stored(&mut self) -> Option<FlaggedEntry<'a>> {
        let last = self.pack.prev(self.end?)?;
        let elements = count(self.pack.at(last));
        if elements == 0 {
            self.end = None;
            return None;
        }
        let start = (0..elements).try_fold(last, |at, _| self.pack.prev(at))?;
        self.end = Some(start);
        self.start.read(&mut self.pack.iter_from(start))
    }
}

/// The first entry of some that is not deleted.
fn first_live<'a>(mut next: impl FnMut() -> Option<FlaggedEntry<'a>>) -> Option<StreamEntry<'a>> {
    loop {
        let stored = next()?;
        if stored.flags & DELETED == 0 {
            return Some(stored.entry);
        }
    }
}

/// The entries that are not deleted.
impl<'a> Iterator for Forward<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        first_live(|| self.stored())
    }
}

/// The entries that are not deleted.
impl<'a> Iterator for Backward<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        first_live(|| self.stored())
    }
}

impl<'a> StreamEntry<'a> {
    /// The id.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.fields
    }

    /// Whether it has no fields, as no entry that was added has.
    pub fn is_empty(&self) -> bool {
        self.fields == 0
    }

    /// The fields and their values.
    pub fn fields(&self) -> impl Iterator<Item = (StringRef<'a>, StringRef<'a>)> + use<'a> {
        let (mut names, mut values) = (self.names.clone(), self.values.clone());
        (0..self.fields).map_while(move |_| {
            let name = names.next()?;
            let value = match &mut values {
                Some(values) => values.next()?,
                None => names.next()?,
            };
            Some((name, value))
        })
    }
}
