//! Things in the order of their ids: the nodes of a stream and what is pending in a group.
//!
//! ```text
//! chunks:   [ 1 2 3 ... ]  [ 129 130 ... ]  [ 257 ]         at most 128 things each, none empty
//! last:     258
//! ```
//! The last thing lies apart: it is the one that most often changes, and a sequence of one allocates nothing. Finding
//! another is two binary searches. Adding at the end and removing from the front, what streams do most, move nothing else;
//! elsewhere at most half a chunk moves, and when a chunk comes or goes the descriptions of the chunks. With 10 million
//! things those are 2.5 MB, moved once in 64 insertions at worst, so nothing takes long however long the sequence is. Bytes are
//! known at any time.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::id::StreamId;

/// Things in one chunk at most.
const CHUNK: usize = 128;

/// Something that has an id for its place.
pub(super) trait Keyed {
    fn id(&self) -> StreamId;
}

impl Keyed for StreamId {
    fn id(&self) -> StreamId {
        *self
    }
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Sequence<T> {
    chunks: VecDeque<VecDeque<T>>,
    /// Where there is anything at all, there is a last one.
    last: Option<T>,
    len: usize,
    /// Things that the chunks have room for.
    room: usize,
}

/// A place in a sequence, of a thing or behind the last one, which has a chunk's number too. It is good until the sequence
/// changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    chunk: usize,
    at: usize,
}

impl<T> Default for Sequence<T> {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
            last: None,
            len: 0,
            room: 0,
        }
    }
}

impl<T> Sequence<T> {
    pub(super) const fn new() -> Self {
        Self {
            chunks: VecDeque::new(),
            last: None,
            len: 0,
            room: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes allocated, without what the things themselves have allocated.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<VecDeque<T>>() + self.room * size_of::<T>()
    }

    pub(super) fn first(&self) -> Option<&T> {
        match self.chunks.front() {
            Some(chunk) => chunk.front(),
            None => self.last(),
        }
    }

    #[inline]
    pub(super) fn last(&self) -> Option<&T> {
        self.last.as_ref()
    }

    #[inline]
    pub(super) fn last_mut(&mut self) -> Option<&mut T> {
        self.last.as_mut()
    }

    /// The position of the last thing, or where it would be.
    fn end(&self) -> Position {
        Position {
            chunk: self.chunks.len(),
            at: 0,
        }
    }

    /// Where a thing goes that is to be the last of those in chunks.
    fn behind_chunks(&self) -> Position {
        match self.chunks.back() {
            Some(chunk) => Position {
                chunk: self.chunks.len() - 1,
                at: chunk.len(),
            },
            None => self.start(),
        }
    }

    /// The thing at a position; nothing behind the last one.
    pub(super) fn at(&self, position: Position) -> Option<&T> {
        match self.chunks.get(position.chunk) {
            Some(chunk) => chunk.get(position.at),
            None if position.at == 0 => self.last(),
            None => None,
        }
    }

    pub(super) fn at_mut(&mut self, position: Position) -> Option<&mut T> {
        match self.chunks.get_mut(position.chunk) {
            Some(chunk) => chunk.get_mut(position.at),
            None if position.at == 0 => self.last.as_mut(),
            None => None,
        }
    }

    /// The position after that of a thing.
    pub(super) fn after(&self, position: Position) -> Position {
        let at = position.at + 1;
        match self.chunks.get(position.chunk) {
            Some(chunk) if at == chunk.len() => Position {
                chunk: position.chunk + 1,
                at: 0,
            },
            _ => Position { at, ..position },
        }
    }

    /// The position before, if there is one.
    pub(super) fn before(&self, position: Position) -> Option<Position> {
        if let Some(at) = position.at.checked_sub(1) {
            return Some(Position { at, ..position });
        }
        let chunk = position.chunk.checked_sub(1)?;
        let at = self.chunks.get(chunk)?.len() - 1;
        Some(Position { chunk, at })
    }

    pub(super) fn start(&self) -> Position {
        Position { chunk: 0, at: 0 }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten().chain(&self.last)
    }

    pub(super) fn pop_first(&mut self) -> Option<T> {
        let first = match self.chunks.front_mut() {
            Some(chunk) => chunk.pop_front(),
            None => self.last.take(),
        }?;
        if self.chunks.front().is_some_and(VecDeque::is_empty) {
            let chunk = self.chunks.pop_front();
            self.room -= chunk.map_or(0, |chunk| chunk.capacity());
        }
        self.len -= 1;
        Some(first)
    }

    /// Frees some things, as many as a chunk has at most, and says whether there were any.
    pub(super) fn free_some(&mut self) -> bool {
        let Some(chunk) = self.chunks.pop_back() else {
            self.len = 0;
            return self.last.take().is_some();
        };
        self.room -= chunk.capacity();
        self.len -= chunk.len();
        true
    }

    /// Removes all that do not satisfy a condition. Costs a look at each.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.chunks.retain_mut(|chunk| {
            chunk.retain(&mut keep);
            !chunk.is_empty()
        });
        self.room = self.chunks.iter().map(VecDeque::capacity).sum();
        if self.last.take_if(|last| !keep(last)).is_some() {
            self.find_last();
        }
        self.len = self.iter().count();
    }

    /// Lets what is now the end of the last chunk be the last thing.
    fn find_last(&mut self) {
        if let Some(chunk) = self.chunks.back_mut() {
            self.last = chunk.pop_back();
            self.settle(self.chunks.len() - 1);
        }
    }

    /// Makes room for another thing in a chunk that is not full: as many again, so that a short sequence stays small.
    fn reserve(&mut self, chunk: usize) {
        let chunk = &mut self.chunks[chunk];
        let before = chunk.capacity();
        if chunk.len() == before {
            chunk.reserve_exact(before.clamp(1, CHUNK - before.min(CHUNK - 1)));
            self.room += chunk.capacity() - before;
        }
    }

    fn add_chunk(&mut self, at: usize, chunk: VecDeque<T>) {
        let len = self.chunks.len();
        if len == self.chunks.capacity() {
            self.chunks.reserve_exact((len / 2).max(1));
        }
        self.room += chunk.capacity();
        self.chunks.insert(at, chunk);
    }

    /// Gives back what a chunk that has become small no longer needs, or joins it with the one behind it.
    fn settle(&mut self, at: usize) {
        let Some(chunk) = self.chunks.get_mut(at) else {
            return;
        };
        let (len, before) = (chunk.len(), chunk.capacity());
        if len == 0 {
            self.room -= before;
            self.chunks.remove(at);
        } else if len <= before / 4 {
            let joins = |next: &VecDeque<T>| next.len() + len <= CHUNK / 2;
            if self.chunks.get(at + 1).is_some_and(joins) {
                self.join(at);
            } else {
                let chunk = &mut self.chunks[at];
                chunk.shrink_to(len * 2);
                self.room -= before - chunk.capacity();
            }
        }
    }

    /// Puts the things of the chunk behind `at` into this one.
    fn join(&mut self, at: usize) {
        let Some(mut next) = self.chunks.remove(at + 1) else {
            return;
        };
        let chunk = &mut self.chunks[at];
        self.room -= next.capacity() + chunk.capacity();
        chunk.append(&mut next);
        self.room += chunk.capacity();
    }
}

impl<T: Keyed> Sequence<T> {
    /// The last chunk that starts at or before this id, else the first.
    fn chunk_of(&self, id: StreamId) -> usize {
        let starts_before = |chunk: &VecDeque<T>| chunk.front().is_some_and(|t| t.id() <= id);
        if self.chunks.back().is_some_and(starts_before) {
            return self.chunks.len() - 1;
        }
        let behind = self.chunks.partition_point(starts_before);
        behind.saturating_sub(1)
    }

    /// Where the thing with this id is, or where it would be added.
    pub(super) fn search(&self, id: StreamId) -> Result<Position, Position> {
        let end = self.end();
        match self.last().map(|last| last.id().cmp(&id)) {
            Some(Ordering::Equal) => return Ok(end),
            Some(Ordering::Less) => return Err(self.after(end)),
            Some(Ordering::Greater) | None => {}
        }
        let chunk = self.chunk_of(id);
        let Some(things) = self.chunks.get(chunk) else {
            return Err(end);
        };
        if things.back().is_some_and(|last| last.id() < id) {
            let at = things.len();
            return Err(Position { chunk, at });
        }
        let found = things.binary_search_by(|thing| thing.id().cmp(&id));
        found
            .map(|at| Position { chunk, at })
            .map_err(|at| Position { chunk, at })
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&T> {
        self.at(self.search(id).ok()?)
    }

    /// The position of the first thing with this id or a larger one.
    pub(super) fn from(&self, id: StreamId) -> Position {
        let position = self.search(id).unwrap_or_else(|would_be| would_be);
        match self.chunks.get(position.chunk) {
            Some(chunk) if position.at == chunk.len() => Position {
                chunk: position.chunk + 1,
                at: 0,
            },
            _ => position,
        }
    }

    /// The position of the last thing with this id or a smaller one.
    pub(super) fn up_to(&self, id: StreamId) -> Option<Position> {
        match self.search(id) {
            Ok(position) => Some(position),
            Err(behind) => self.before(behind),
        }
    }

    /// The things with this id or a larger one.
    pub(super) fn iter_from(&self, id: StreamId) -> impl Iterator<Item = &T> {
        let mut position = self.from(id);
        std::iter::from_fn(move || {
            let thing = self.at(position)?;
            position = self.after(position);
            Some(thing)
        })
    }

    /// Adds a thing whose id is not there yet, at the place that the search for it gave.
    pub(super) fn insert_at(&mut self, place: Position, thing: T) {
        let behind = self.after(self.end());
        self.len += 1;
        match &mut self.last {
            None => self.last = Some(thing),
            Some(last) if place == behind => {
                let before = std::mem::replace(last, thing);
                self.insert_in_chunk(self.behind_chunks(), before);
            }
            Some(_) => self.insert_in_chunk(place, thing),
        }
    }

    fn insert_in_chunk(&mut self, mut place: Position, thing: T) {
        match self.chunks.get_mut(place.chunk) {
            None => {
                self.add_chunk(place.chunk, VecDeque::new());
            }
            Some(chunk) if chunk.len() < CHUNK => {}
            Some(_) if place.at == CHUNK => {
                place = Position {
                    chunk: place.chunk + 1,
                    at: 0,
                };
                self.add_chunk(place.chunk, VecDeque::new());
            }
            Some(chunk) => {
                let before = chunk.capacity();
                let upper = chunk.split_off(CHUNK / 2);
                self.room = self.room + chunk.capacity() - before;
                self.add_chunk(place.chunk + 1, upper);
                if place.at > CHUNK / 2 {
                    place.chunk += 1;
                    place.at -= CHUNK / 2;
                }
            }
        }
        self.reserve(place.chunk);
        self.chunks[place.chunk].insert(place.at, thing);
    }

    /// Adds a thing unless one with its id is there.
    pub(super) fn insert(&mut self, thing: T) -> bool {
        match self.search(thing.id()) {
            Ok(_) => false,
            Err(place) => {
                self.insert_at(place, thing);
                true
            }
        }
    }

    pub(super) fn remove_at(&mut self, position: Position) -> Option<T> {
        let thing = match self.chunks.get_mut(position.chunk) {
            Some(chunk) => chunk.remove(position.at)?,
            None if position.at == 0 => self.last.take()?,
            None => return None,
        };
        self.len -= 1;
        if position == self.end() {
            self.find_last();
        } else {
            self.settle(position.chunk);
        }
        Some(thing)
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<T> {
        self.remove_at(self.search(id).ok()?)
    }
}

impl<T: Clone> Clone for Sequence<T> {
    fn clone(&self) -> Self {
        let mut copy = Self {
            last: self.last.clone(),
            len: self.len,
            ..Self::new()
        };
        copy.chunks.reserve_exact(self.chunks.len());
        for chunk in &self.chunks {
            let mut same = VecDeque::with_capacity(chunk.len());
            same.extend(chunk.iter().cloned());
            copy.add_chunk(copy.chunks.len(), same);
        }
        copy
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    impl<T> Sequence<T> {
        /// Bytes as they are allocated now.
        pub(in crate::stream) fn counted_bytes(&self) -> usize {
            let chunks = self.chunks.iter().map(VecDeque::capacity).sum::<usize>();
            self.chunks.capacity() * size_of::<VecDeque<T>>() + chunks * size_of::<T>()
        }
    }

    fn id(n: u64) -> StreamId {
        StreamId::new(n / 4, n % 4)
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u64),
        Append(u64),
        Remove(u64),
        PopFirst(u64),
        Retain(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0u64..3000).prop_map(Op::Insert),
            3 => (0u64..400).prop_map(Op::Append),
            4 => (0u64..3000).prop_map(Op::Remove),
            1 => (0u64..200).prop_map(Op::PopFirst),
            1 => (2u64..6).prop_map(Op::Retain),
        ]
    }

    fn apply(op: &Op, sequence: &mut Sequence<StreamId>, model: &mut BTreeSet<StreamId>) {
        match *op {
            Op::Insert(n) => {
                for n in n..n + 40 {
                    assert_eq!(
                        sequence.insert(id(n * 7 % 3000)),
                        model.insert(id(n * 7 % 3000))
                    );
                }
            }
            Op::Append(count) => {
                let last = model.last().copied().unwrap_or_default();
                for ms in 1..=count {
                    let id = StreamId::new(last.ms + ms, 0);
                    assert_eq!(sequence.insert(id), model.insert(id));
                }
            }
            Op::Remove(n) => {
                for n in n..n + 60 {
                    let there = model.remove(&id(n));
                    assert_eq!(sequence.remove(id(n)), there.then_some(id(n)));
                }
            }
            Op::PopFirst(count) => {
                for _ in 0..count {
                    assert_eq!(sequence.pop_first(), model.pop_first());
                }
            }
            Op::Retain(n) => {
                sequence.retain(|id| id.ms % n > 0);
                model.retain(|id| id.ms % n > 0);
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_set(ops in prop::collection::vec(op(), 0..40), probe in 0u64..3000) {
            let (mut sequence, mut model) = (Sequence::new(), BTreeSet::new());
            for op in &ops {
                apply(op, &mut sequence, &mut model);
                prop_assert_eq!(sequence.len(), model.len());
                prop_assert_eq!(sequence.bytes(), sequence.counted_bytes());
                prop_assert!(sequence.chunks.iter().all(|c| !c.is_empty() && c.len() <= CHUNK));
            }
            prop_assert!(sequence.iter().eq(model.iter()));
            prop_assert!(sequence.iter_from(id(probe)).eq(model.range(id(probe)..)));
            let up_to = sequence.up_to(id(probe)).and_then(|at| sequence.at(at));
            prop_assert_eq!(up_to, model.range(..=id(probe)).next_back());
            prop_assert_eq!(sequence.iter().count(), model.len());
            prop_assert_eq!(sequence.last.is_none(), model.is_empty());
            prop_assert_eq!(sequence.first(), model.first());
            prop_assert_eq!(sequence.last(), model.last());
            let copy = sequence.clone();
            prop_assert!(copy.iter().eq(model.iter()));
            prop_assert_eq!(copy.bytes(), copy.counted_bytes());
        }
    }
}
