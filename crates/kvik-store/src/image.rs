//! Images: all keys as they were at one moment, taken while they change.
//!
//! The moment is the *cut*: with all stripes held, every keyspace that has keys gets a [`Cut`], and
//! every stripe a sink ([`Stripe::begin_image`](crate::Stripe::begin_image)). From then on a walker
//! hands the entries of a stripe to its sink, a slice at a time
//! ([`Stripe::image_slice`](crate::Stripe::image_slice)), and whoever changes an entry that is not
//! saved yet hands it over first.
//!
//! ```text
//! positions of a table:  | range | range | range | range | ...      ranges of a dozen entries
//! saved:                     1       0       1       0              one bit each
//! ```
//! Whether an entry is saved is known per *range*: the positions that share their leading bits.
//! Positions are hashes, so ranges are of about the same size, and they stay what they are however
//! the table grows, shrinks or moves its entries. A change in an unsaved range hands over the whole
//! range. Entries inserted later fall into ranges that are saved by then, so they are never in the
//! image.
//!
//! Every change of an entry passes through [`KeyspaceMut`], which calls
//! [`before_change`](KeyspaceMut::before_change) first: one branch where there is no cut. A cut
//! belongs to the keyspace's contents: SWAPDB exchanges it with them, and a keyspace that is
//! flushed is kept with its cut until it is saved.
//!
//! Large strings, lists, streams and arrays are handed over by reference ([`SharedValue`]) and
//! encoded without the lock. A change of one then copies the part that it changes. Large hashes,
//! sets and sorted sets are handed over member by member, in the same way as the keys of a keyspace
//! ([`crate::table_image`]).
//!
//! Memory: a bit for a dozen keys or members, what the sinks hold, the parts of large values that
//! changed since, and what was flushed or deleted meanwhile. Cost for a writer: once per range, the
//! encoding of a dozen entries.

use kvik_rope::Rope;

use crate::UnixMs;
use crate::array::Array;
use crate::cells::Member;
use crate::clock::AccessPolicy;
use crate::hash::Field;
use crate::heap::Heap;
use crate::keyspace::{HeapKeys, KeyspaceMut};
use crate::kind::Kind;
use crate::layout::KeyspaceId;
use crate::list::List;
use crate::object::Object;
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::Position;
use crate::raw::ranges::Ranges;
use crate::stream::Stream;
use crate::table_image::MemberOutlet;
use crate::text::{StringRef, TextRef};
use crate::value::ValueRef;
use crate::view::View;
use crate::zset::member_score;

/// Bytes of a value that count as much as an entry.
const UNIT_BYTES: usize = 256;

/// Takes the entries of a stripe as they were at the cut, each once and in any order. It is called
/// with the stripe held, so it encodes or copies, and leaves writing to others.
pub trait ImageSink: Send + Sync {
    /// An entry with its value.
    fn entry(&mut self, database: KeyspaceId, view: &View<'_>);

    /// An entry with a large value, which can be read when the stripe is not held any more.
    fn shared(&mut self, database: KeyspaceId, view: &View<'_>, value: SharedValue);

    /// An entry with a large hash, set or sorted set of `len` members, of which some expire or
    /// none. The members will come one by one, with others' entries between them.
    fn table(
        &mut self,
        database: KeyspaceId,
        view: &View<'_>,
        len: usize,
        expires: bool,
    ) -> Box<dyn MemberSink>;
}

/// Takes the members of one collection as they were at the cut, each once and in any order. It is
/// called with the stripe held.
pub trait MemberSink: Send + Sync {
    /// A field of a hash.
    fn field(&mut self, field: &Field<'_>);

    /// A member of a set.
    fn member(&mut self, name: StringRef<'_>, expire_at: Option<UnixMs>);

    /// A member of a sorted set.
    fn scored(&mut self, name: StringRef<'_>, score: f64, expire_at: Option<UnixMs>);

    /// All have come.
    fn end(&mut self);
}

/// A large string, list, stream or array as it is now, whatever becomes of the key. It shares
/// memory with the key's value.
#[derive(Debug)]
pub struct SharedValue(Shared);

#[derive(Debug)]
enum Shared {
    String(Rope),
    List(List),
    Stream(Stream),
    Array(Array),
}

/// The state of a stripe while an image is taken.
pub(crate) struct Imaging {
    sink: Box<dyn ImageSink>,
    /// Time and policy of the cut, by which entries tell how they were used.
    now: UnixMs,
    access: AccessPolicy,
    /// The entries of the ranges that are being handed over.
    found: Vec<EntryRef>,
}

/// Shows a sink the members of a collection as what they are there.
struct TypedOutlet {
    kind: Kind,
    sink: Box<dyn MemberSink>,
}

/// The progress of an image in one keyspace.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Its number at the cut.
    database: KeyspaceId,
    saved: Ranges,
}

impl SharedValue {
    /// The value to read.
    pub fn value(&self) -> ValueRef<'_> {
        match &self.0 {
            Shared::String(rope) => ValueRef::String(TextRef::Rope(rope)),
            Shared::List(list) => ValueRef::List(list.as_ref()),
            Shared::Stream(stream) => ValueRef::Stream(stream.as_view()),
            Shared::Array(array) => ValueRef::Array(array.as_view()),
        }
    }
}

impl Imaging {
    pub(crate) fn new(sink: Box<dyn ImageSink>, now: UnixMs, access: AccessPolicy) -> Self {
        Self {
            sink,
            now,
            access,
            found: Vec::new(),
        }
    }
}

impl MemberOutlet for TypedOutlet {
    fn member(&mut self, member: Member<'_>) {
        let (name, expire_at) = (StringRef::Bytes(member.key()), member.expire_at());
        match self.kind {
            Kind::Hash => self.sink.field(&Field::from(member)),
            Kind::Set => self.sink.member(name, expire_at),
            _ => self.sink.scored(name, member_score(member), expire_at),
        }
    }

    fn end(&mut self) {
        self.sink.end();
    }
}

impl std::fmt::Debug for Imaging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imaging").finish_non_exhaustive()
    }
}

impl Cut {
    /// The cut of a keyspace with `len` entries, at which nothing is saved.
    pub(crate) fn new(database: KeyspaceId, len: usize) -> Self {
        Self {
            database,
            saved: Ranges::new(len),
        }
    }

    /// Whether every entry is in the image.
    pub(crate) fn is_done(&self) -> bool {
        self.saved.next().is_none()
    }
}

impl KeyspaceMut<'_> {
    /// Hands the entries around a position to the image, if one is being taken that lacks them, and
    /// records the entry where changes may be undone. To be called before an entry comes to this
    /// position, goes or changes: whatever has to know the state before a change learns it here.
    #[inline]
    pub(crate) fn before_change(&mut self, position: Position, entry: EntryRef) {
        // Without a branch between the two, which are almost always none.
        if self.keyspace.cut.is_some() | self.is_undoable() {
            self.hand_over(position);
            self.record_entry(position, entry);
        }
    }

    /// The same for a key that has no entry.
    #[inline]
    pub(crate) fn before_making(&mut self, position: Position, key: &[u8]) {
        if self.keyspace.cut.is_some() | self.is_undoable() {
            self.hand_over(position);
            self.record_vacancy(position, key);
        }
    }

    #[cold]
    fn hand_over(&mut self, position: Position) {
        let Some(mut cut) = self.keyspace.cut.take() else {
            return;
        };
        let range = cut.saved.of(position);
        if !cut.saved.is_saved(range) {
            self.save_range(&mut cut, range);
        }
        self.keyspace.cut = Some(cut);
    }

    /// Hands over unsaved ranges until about `budget` entries or as much in bytes are handed over.
    /// Returns what is left of the budget; the cut is gone when everything is saved.
    pub(crate) fn save_slice(&mut self, mut budget: usize) -> usize {
        let Some(mut cut) = self.keyspace.cut.take() else {
            return budget;
        };
        while let Some(range) = cut.saved.next() {
            if budget == 0 {
                self.keyspace.cut = Some(cut);
                return 0;
            }
            let cost = self.save_range(&mut cut, range);
            budget = budget.saturating_sub(cost.max(1));
        }
        budget
    }

    /// Hands over a range and returns what that costs, counted in small entries.
    fn save_range(&mut self, cut: &mut Cut, range: u64) -> usize {
        // The sink lies in the heap that it is shown, so it is taken out for the time.
        let Some(mut imaging) = self.heap.imaging.take() else {
            return 0;
        };
        self.find_range(&cut.saved, range, &mut imaging.found);
        let found = std::mem::take(&mut imaging.found);
        let mut cost = found.len();
        for &entry in &found {
            let value = self.heap.share_value(entry);
            let source = self.heap.name_source(entry);
            let there = self.heap.entry(entry);
            let view = View::at(there, self.layout, imaging.now, imaging.access);
            let (sink, database) = (&mut imaging.sink, cut.database);
            match (
                value,
                source,
                there.record_object().and_then(Object::members),
            ) {
                (Some(value), _, _) => sink.shared(database, &view, value),
                (None, Some(source), Some(members)) => {
                    let (len, expires) = (members.len(), members.volatile() > 0);
                    let outlet = TypedOutlet {
                        kind: view.kind(),
                        sink: sink.table(database, &view, len, expires),
                    };
                    self.heap.open_image(entry, source, Box::new(outlet));
                }
                _ => {
                    cost += view.bytes() / UNIT_BYTES;
                    sink.entry(database, &view);
                }
            }
        }
        imaging.found = found;
        imaging.found.clear();
        self.heap.imaging = Some(imaging);
        cut.saved.mark_saved(range);
        cost
    }

    fn find_range(&self, ranges: &Ranges, range: u64, found: &mut Vec<EntryRef>) {
        let keys = HeapKeys {
            heap: self.heap,
            layout: self.layout,
        };
        let table = &self.keyspace.table;
        ranges.visit(range, table, &keys, |entry| found.push(entry));
    }
}

impl Heap {
    /// The value of an entry, if it is of the kind that can be shared.
    fn share_value(&mut self, entry: EntryRef) -> Option<SharedValue> {
        let record = self.entry(entry);
        if let Some(TextRef::Rope(rope)) = record.string() {
            return Some(SharedValue(Shared::String(rope.clone())));
        }
        let shared = match self.object_mut(entry)? {
            Object::List(list) => Shared::List(list.share()?),
            Object::Stream(stream) => Shared::Stream(stream.share()),
            Object::Array(array) => Shared::Array(array.share()),
            Object::Hash(_) | Object::Set(_) | Object::Zset(_) => return None,
        };
        Some(SharedValue(shared))
    }
}

#[cfg(test)]
pub(crate) mod tests;
