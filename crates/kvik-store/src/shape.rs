//! Shapes: the names of fields that packed hashes have in common, stored once in each stripe.
//!
//! ```text
//! entry of a key:  key | number of the shape 4 | value, value, ...     a row, see `packed`
//!                                |
//! shapes of the stripe:          '-> name, name, ...                   a listpack, with its users
//! ```
//! A hash has a shape if it came whole, with the names of another hash in the same order. It keeps
//! the shape while only values change. Another field, the loss of one, or an expiry makes it an
//! ordinary packed hash again, or a table; nothing but its bytes tells the two apart.
//!
//! Names that no two hashes share would cost more in a shape than in the hash. So names become a
//! shape when they are met for the second time; an importer who names fields beforehand has their
//! shape made at once. A shape goes with the last hash that uses it. It is given to no other one
//! while more hashes have left it than are there.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use foldhash::fast::FixedState;

use crate::packed::{Element, Listpack, Row, listpack};
use crate::raw::class::MAX_BYTES;
use crate::raw::slab::Slab;
use crate::text::canonical_int;

/// Bytes of the number of a shape before the row of a hash.
const NUMBER_BYTES: usize = 4;

/// Most bytes of number and row: what fits beside the longest key in an entry.
const VALUE_MAX: usize = MAX_BYTES - 320;

/// Names that were met once are remembered in so many places.
const MET: usize = 64;

/// So many hashes in a row without a shape, and only some of the next ones are tried.
const PATIENCE: u32 = 64;

/// Hashes that may leave a shape before it counts how many stay.
const MOST_LEFT: usize = 64;

/// How many of those are passed over for one that is tried.
const PASSED_OVER: u32 = 15;

/// The names of fields that hashes have in common.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// A listpack.
    names: Vec<u8>,
    /// See [`names_hash`](crate::Layout::names_hash).
    hash: u64,
    users: usize,
    /// Hashes that were taken out of their entries to be given another form.
    left: usize,
    /// Whether somebody named the fields before there was a hash with them.
    is_declared: bool,
}

/// The shapes of a stripe.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    all: Slab<Shape>,
    by_hash: HashMap<u64, u32, FixedState>,
    /// Hashes of names that were met and have no shape; 0 where there are none.
    met: Vec<u64>,
    misses: u32,
    passed_over: u32,
    counts: ShapeCounts,
    has_changed: bool,
}

/// Shapes and the hashes that use them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShapeCounts {
    /// Number of shapes.
    pub shapes: u64,
    /// Number of hashes that have one.
    pub hashes: u64,
    /// Bytes of the shapes.
    pub bytes: u64,
}

/// A hash whose names are in its shape, as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub struct ShapedRef<'a> {
    names: Listpack<'a>,
    row: Row<'a>,
    is_declared: bool,
}

/// How the names of a hash are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// They become a shape when they are met again.
    WhenMet,
    /// They are made a shape.
    AtOnce,
    /// The same, by an importer.
    Declared,
}

/// The number of the shape of a packed value.
#[inline]
pub(crate) fn shape_number(value: &[u8]) -> u32 {
    let number = value.first_chunk::<NUMBER_BYTES>();
    number.map_or(u32::MAX, |bytes| u32::from_ne_bytes(*bytes))
}

/// Begins the value of a hash with this shape; `room` is overwritten.
pub(crate) fn begin_row(room: &mut Vec<u8>, number: u32) {
    room.clear();
    room.extend_from_slice(&number.to_ne_bytes());
}

/// Whether a value that begins with the number of a shape may lie in an entry, whatever its key.
pub(crate) fn is_small(value: &[u8]) -> bool {
    value.len() <= VALUE_MAX
}

impl Shapes {
    /// Bytes of the shapes, and of what finds them.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.counts.bytes as usize
    }

    /// Whether numbers or sizes have changed since the last call.
    #[inline]
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Whether a hash that has come is to be looked at: while none finds a shape, only some are.
    pub(crate) fn is_worth_a_try(&mut self) -> bool {
        if self.misses < PATIENCE {
            return true;
        }
        self.passed_over += 1;
        let is_due = self.passed_over > PASSED_OVER;
        if is_due {
            self.passed_over = 0;
        }
        is_due
    }

    /// The shape with these names, whose hash is known; none if there is none and none is made.
    pub(crate) fn find<'n>(
        &mut self,
        hash: u64,
        names: impl Iterator<Item = Element<'n>> + Clone,
        sharing: Sharing,
    ) -> Option<u32> {
        if let Some(&number) = self.by_hash.get(&hash) {
            let shape = self.all.get_mut(number);
            if !shape.has(names) {
                return None;
            }
            if sharing == Sharing::WhenMet && shape.is_left_soon() {
                self.misses = self.misses.saturating_add(1);
                return None;
            }
            shape.is_declared |= sharing == Sharing::Declared;
            self.misses = 0;
            return Some(number);
        }
        if sharing == Sharing::WhenMet && !self.meet(hash) {
            self.misses = self.misses.saturating_add(1);
            return None;
        }
        self.add(hash, names, sharing == Sharing::Declared)
    }

    /// Notes that names were met, and says whether they had been before.
    fn meet(&mut self, hash: u64) -> bool {
        if self.met.is_empty() {
            self.met = vec![0; MET];
            self.grow((MET * size_of::<u64>()) as u64);
        }
        let place = &mut self.met[hash as usize % MET];
        std::mem::replace(place, hash) == hash
    }

    fn forget(&mut self, hash: u64) {
        if let Some(place) = self.met.get_mut(hash as usize % MET) {
            *place = 0;
        }
    }

    fn add<'n>(
        &mut self,
        hash: u64,
        names: impl Iterator<Item = Element<'n>> + Clone,
        is_declared: bool,
    ) -> Option<u32> {
        let mut pack = listpack::empty();
        listpack::append_all(&mut pack, names);
        if !are_distinct(Listpack::new(&pack)) {
            return None;
        }
        pack.shrink_to_fit();
        let shape = Shape {
            names: pack,
            hash,
            users: 0,
            left: 0,
            is_declared,
        };
        let Slot::Vacant(slot) = self.by_hash.entry(hash) else {
            return None;
        };
        let bytes = shape.bytes();
        let number = *slot.insert(self.all.insert(shape));
        self.counts.shapes += 1;
        self.grow(bytes);
        Some(number)
    }

    fn grow(&mut self, bytes: u64) {
        self.counts.bytes += bytes;
        self.has_changed = true;
    }

    /// Counts a hash that is about to be stored with a shape.
    pub(crate) fn retain(&mut self, number: u32) {
        self.all.get_mut(number).users += 1;
        self.counts.hashes += 1;
        self.has_changed = true;
    }

    /// Counts a hash that is about to go; the last one takes its shape along.
    #[cold]
    pub(crate) fn release(&mut self, number: u32) {
        self.counts.hashes -= 1;
        self.has_changed = true;
        self.all.get_mut(number).users -= 1;
        self.drop_unused(number);
    }

    /// Notes that a hash is taken out of its entry, where only one without a shape can be changed.
    #[cold]
    pub(crate) fn note_left(&mut self, number: u32) {
        self.all.get_mut(number).left += 1;
    }

    /// Forgets a shape that no hash uses.
    pub(crate) fn drop_unused(&mut self, number: u32) {
        if self.all.get(number).users == 0 {
            let shape = self.all.remove(number);
            self.by_hash.remove(&shape.hash);
            self.counts.shapes -= 1;
            self.counts.bytes -= shape.bytes();
            if shape.left > 0 {
                // It was made for nothing, and has to be met twice again.
                self.misses = self.misses.saturating_add(1);
                self.forget(shape.hash);
            }
        }
    }

    /// A packed value that begins with the number of its shape, as a reader sees it.
    #[inline]
    pub(crate) fn read<'a>(&'a self, value: &'a [u8]) -> ShapedRef<'a> {
        let shape = self.all.get(shape_number(value));
        ShapedRef {
            names: Listpack::new(&shape.names),
            row: Row::new(value.get(NUMBER_BYTES..).unwrap_or_default()),
            is_declared: shape.is_declared,
        }
    }

    /// Shapes and the hashes that use them.
    pub(crate) fn counts(&self) -> ShapeCounts {
        self.counts
    }
}

impl Shape {
    fn has<'n>(&self, mut names: impl Iterator<Item = Element<'n>>) -> bool {
        let mut own = Listpack::new(&self.names).iter();
        own.all(|own| names.next().is_some_and(|name| is_same(own, name))) && names.next().is_none()
    }

    /// Whether its hashes do not keep their names: most of those that had it have got more of them
    /// since, so that giving it to another one is work for nothing.
    fn is_left_soon(&self) -> bool {
        self.left >= MOST_LEFT && self.left > self.users
    }

    /// Bytes of the shape with its place in the tables.
    fn bytes(&self) -> u64 {
        let places = size_of::<Self>() + 2 * size_of::<(u64, u32)>();
        (self.names.capacity() + places) as u64
    }
}

impl<'a> ShapedRef<'a> {
    /// Number of fields.
    #[inline]
    pub fn len(self) -> usize {
        self.names.len()
    }

    /// Whether there are no fields, which is never so.
    pub fn is_empty(self) -> bool {
        self.names.is_empty()
    }

    /// Names and values in turn.
    pub fn iter(self) -> impl Iterator<Item = (Element<'a>, Element<'a>)> {
        self.names.iter().zip(self.row.iter())
    }

    /// Name and value of a field.
    #[inline]
    pub fn find(self, name: &[u8]) -> Option<(Element<'a>, Element<'a>)> {
        let (at, index) = self.names.find_counting(name)?;
        Some((self.names.at(at)?, self.row.get(index)?))
    }

    /// The field with this index.
    pub fn nth(self, index: usize) -> Option<(Element<'a>, Element<'a>)> {
        Some((self.names.get(index)?, self.row.get(index)?))
    }

    /// The same hash as a listpack of names and values.
    pub fn to_listpack(self) -> Vec<u8> {
        let mut pack = Vec::new();
        self.write_listpack(&mut pack);
        pack
    }

    /// Writes the hash as a listpack of names and values into a buffer.
    pub(crate) fn write_listpack(self, pack: &mut Vec<u8>) {
        listpack::clear(pack);
        let elements = self.iter().flat_map(|(name, value)| [name, value]);
        listpack::append_all(pack, elements);
    }

    /// How another hash comes to share the names.
    pub(crate) fn sharing(self) -> Sharing {
        match self.is_declared {
            true => Sharing::Declared,
            false => Sharing::AtOnce,
        }
    }

    /// Whether an importer has named the fields.
    pub(crate) fn is_declared(self) -> bool {
        self.is_declared
    }

    /// Where in the packed value the value of a field is, and its size.
    #[inline]
    pub(crate) fn place_of(self, name: &[u8]) -> Option<(usize, usize)> {
        let (_, index) = self.names.find_counting(name)?;
        let (at, size) = self.row.place(index)?;
        Some((at + NUMBER_BYTES, size))
    }

    /// Whether there is a field with this name.
    pub(crate) fn has(self, name: &[u8]) -> bool {
        self.names.find(name, 0).is_some()
    }
}

/// Whether two elements have the same text; the first is in its shortest form.
#[inline]
fn is_same(own: Element<'_>, other: Element<'_>) -> bool {
    match (own, other) {
        (Element::Bytes(a), Element::Bytes(b)) => a == b,
        (Element::Int(a), Element::Int(b)) => a == b,
        (Element::Int(a), Element::Bytes(b)) => canonical_int(b) == Some(a),
        (Element::Bytes(_), Element::Int(_)) => false,
    }
}

fn are_distinct(names: Listpack<'_>) -> bool {
    let mut names: Vec<_> = names.iter().map(sort_key).collect();
    names.sort_unstable();
    names.windows(2).all(|pair| pair[0] != pair[1])
}

fn sort_key(name: Element<'_>) -> (Option<i64>, &[u8]) {
    match name {
        Element::Int(n) => (Some(n), b""),
        Element::Bytes(text) => (None, text),
    }
}
