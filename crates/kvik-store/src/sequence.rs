//! Things in the order of their ids: the nodes of a stream, what is pending in a group, the slices
//! of an array.
//!
//! ```text
//! chunks:   [ 1 2 3 ... ]  [ 129 130 ... ]  [ 257 ]         at most 128 things each, none empty
//! last:     258
//! ```
//! The last thing lies apart: it is the one that most often changes, and a sequence of one
//! allocates nothing. Finding another is two binary searches. Adding at the end and removing from
//! the front, what streams do most, move nothing else; elsewhere at most half a chunk moves, and
//! when a chunk comes or goes the descriptions of the chunks. With 10 million things those are 2.5
//! MB, moved once in 64 insertions at worst, so nothing takes long however long the sequence is.
//! Bytes are known at any time. Copies share chunks until one of them changes something there.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::shareable::Shareable;

/// Things in one chunk at most.
const CHUNK: usize = 128;

/// Something that has an id for its place.
pub(crate) trait Keyed {
    /// The key by which things of this kind are ordered.
    type Id: Copy + Ord;

    fn id(&self) -> Self::Id;
}

/// An ordered sequence in chunks that copies share.
#[derive(Debug)]
pub(crate) struct Sequence<T> {
    chunks: VecDeque<Shareable<Chunk<T>>>,
    /// Where there is anything at all, there is a last one.
    last: Option<T>,
    len: usize,
    /// Things that the chunks have room for.
    room: usize,
}

/// Some things that follow each other.
#[derive(Debug)]
pub(crate) struct Chunk<T>(VecDeque<T>);

impl<T> Chunk<T> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

/// With as much room as the original has.
impl<T: Clone> Clone for Chunk<T> {
    fn clone(&self) -> Self {
        let mut things = VecDeque::with_capacity(self.0.capacity());
        things.extend(self.0.iter().cloned());
        Self(things)
    }
}

/// A place in a sequence, of a thing or behind the last one, which has a chunk's number too. It is
/// good until the sequence changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SequencePosition {
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

impl<T: Clone> Sequence<T> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: VecDeque::new(),
            last: None,
            len: 0,
            room: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes allocated, without what the things themselves have allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Shareable<Chunk<T>>>() + self.room * size_of::<T>()
    }

    pub(crate) fn first(&self) -> Option<&T> {
        match self.chunks.front() {
            Some(chunk) => chunk.0.front(),
            None => self.last(),
        }
    }

    #[inline]
    pub(crate) fn last(&self) -> Option<&T> {
        self.last.as_ref()
    }

    #[inline]
    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        self.last.as_mut()
    }

    /// The position of the last thing, or where it would be.
    fn end(&self) -> SequencePosition {
        SequencePosition {
            chunk: self.chunks.len(),
            at: 0,
        }
    }

    /// Where a thing goes that is to be the last of those in chunks.
    fn behind_chunks(&self) -> SequencePosition {
        match self.chunks.back() {
            Some(chunk) => SequencePosition {
                chunk: self.chunks.len() - 1,
                at: chunk.0.len(),
            },
            None => self.start(),
        }
    }

    /// The thing at a position; nothing behind the last one.
    pub(crate) fn at(&self, position: SequencePosition) -> Option<&T> {
        match self.chunks.get(position.chunk) {
            Some(chunk) => chunk.0.get(position.at),
            None if position.at == 0 => self.last(),
            None => None,
        }
    }

    pub(crate) fn at_mut(&mut self, position: SequencePosition) -> Option<&mut T> {
        match self.chunks.get_mut(position.chunk) {
            Some(chunk) => chunk.own().0.get_mut(position.at),
            None if position.at == 0 => self.last.as_mut(),
            None => None,
        }
    }

    /// The position after that of a thing.
    pub(crate) fn after(&self, position: SequencePosition) -> SequencePosition {
        let at = position.at + 1;
        match self.chunks.get(position.chunk) {
            Some(chunk) if at == chunk.0.len() => SequencePosition {
                chunk: position.chunk + 1,
                at: 0,
            },
            _ => SequencePosition { at, ..position },
        }
    }

    /// The position before, if there is one.
    pub(crate) fn before(&self, position: SequencePosition) -> Option<SequencePosition> {
        if let Some(at) = position.at.checked_sub(1) {
            return Some(SequencePosition { at, ..position });
        }
        let chunk = position.chunk.checked_sub(1)?;
        let at = self.chunks.get(chunk)?.0.len() - 1;
        Some(SequencePosition { chunk, at })
    }

    pub(crate) fn start(&self) -> SequencePosition {
        SequencePosition { chunk: 0, at: 0 }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let in_chunks = self.chunks.iter().flat_map(|chunk| chunk.iter());
        in_chunks.chain(&self.last)
    }

    pub(crate) fn pop_first(&mut self) -> Option<T> {
        let first = match self.chunks.front_mut() {
            Some(chunk) => chunk.own().0.pop_front(),
            None => self.last.take(),
        }?;
        if self.chunks.front().is_some_and(|chunk| chunk.0.is_empty()) {
            // No chunk is empty.
            let chunk = self.chunks.pop_front();
            self.room -= chunk.map_or(0, |chunk| chunk.0.capacity());
        }
        self.len -= 1;
        Some(first)
    }

    /// The first chunk, if copies share it: who takes things from the front one by one would copy
    /// it before.
    pub(crate) fn first_common(&self) -> Option<&Chunk<T>> {
        let first = self.chunks.front()?;
        first.is_common().then_some(&**first)
    }

    /// Takes the first chunk out.
    pub(crate) fn pop_chunk(&mut self) -> Option<Shareable<Chunk<T>>> {
        let chunk = self.chunks.pop_front()?;
        self.room -= chunk.0.capacity();
        self.len -= chunk.0.len();
        Some(chunk)
    }

    /// The same things, for a copy.
    pub(crate) fn share(&mut self) -> Self {
        let chunks = self.chunks.iter_mut().map(Shareable::share);
        Self {
            chunks: chunks.collect(),
            last: self.last.clone(),
            ..*self
        }
    }

    /// Frees some things, as many as a chunk has at most, and says whether there were any.
    pub(crate) fn free_some(&mut self) -> bool {
        let Some(chunk) = self.chunks.pop_back() else {
            self.len = 0;
            return self.last.take().is_some();
        };
        self.room -= chunk.0.capacity();
        self.len -= chunk.0.len();
        true
    }

    /// Removes all that do not satisfy a condition. Costs a look at each.
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.chunks.retain_mut(|chunk| {
            // A shared chunk of which nothing goes is not copied.
            if !chunk.is_common() || !chunk.iter().all(&keep) {
                chunk.own().0.retain(&keep);
            }
            !chunk.0.is_empty()
        });
        self.room = self.chunks.iter().map(|chunk| chunk.0.capacity()).sum();
        if self.last.take_if(|last| !keep(last)).is_some() {
            self.find_last();
        }
        self.len = self.iter().count();
    }

    /// Lets what is now the end of the last chunk be the last thing.
    fn find_last(&mut self) {
        if let Some(chunk) = self.chunks.back_mut() {
            self.last = chunk.own().0.pop_back();
            self.tidy_chunk(self.chunks.len() - 1);
        }
    }

    /// Makes room for another thing in a chunk that is not full: as many again, so that a short
    /// sequence stays small.
    fn reserve(&mut self, chunk: usize) {
        let chunk = &mut self.chunks[chunk].own().0;
        let before = chunk.capacity();
        if chunk.len() == before {
            // Twice as much, up to a whole chunk.
            chunk.reserve_exact(before.clamp(1, CHUNK - before.min(CHUNK - 1)));
            self.room += chunk.capacity() - before;
        }
    }

    fn add_chunk(&mut self, at: usize, chunk: Shareable<Chunk<T>>) {
        let len = self.chunks.len();
        if len == self.chunks.capacity() {
            self.chunks.reserve_exact((len / 2).max(1));
        }
        self.room += chunk.0.capacity();
        self.chunks.insert(at, chunk);
    }

    /// Gives back what a chunk that has become small no longer needs, or joins it with the one
    /// behind it.
    fn tidy_chunk(&mut self, at: usize) {
        let Some(chunk) = self.chunks.get_mut(at) else {
            return;
        };
        let (len, before) = (chunk.0.len(), chunk.0.capacity());
        if len == 0 {
            self.room -= before;
            self.chunks.remove(at);
        // A quarter, where growth doubles: things that come and go at the border move nothing.
        } else if len <= before / 4 {
            let joins = |next: &Shareable<Chunk<T>>| next.0.len() + len <= CHUNK / 2;
            if self.chunks.get(at + 1).is_some_and(joins) {
                self.join(at);
            } else {
                let chunk = &mut self.chunks[at].own().0;
                chunk.shrink_to(len * 2);
                self.room -= before - chunk.capacity();
            }
        }
    }

    /// Puts the things of the chunk behind `at` into this one.
    fn join(&mut self, at: usize) {
        let Some(next) = self.chunks.remove(at + 1) else {
            return;
        };
        let (chunk, mut next) = (&mut self.chunks[at].own().0, next.into_own().0);
        self.room -= next.capacity() + chunk.capacity();
        chunk.append(&mut next);
        self.room += chunk.capacity();
    }
}

impl<T: Keyed + Clone> Sequence<T> {
    /// The last chunk that starts at or before this id, else the first.
    fn chunk_of(&self, id: T::Id) -> usize {
        let starts_before =
            |chunk: &Shareable<Chunk<T>>| chunk.0.front().is_some_and(|t| t.id() <= id);
        // Streams are used most at their end.
        if self.chunks.back().is_some_and(starts_before) {
            return self.chunks.len() - 1;
        }
        let behind = self.chunks.partition_point(starts_before);
        behind.saturating_sub(1)
    }

    /// Where the thing with this id is, or where it would be added.
    pub(crate) fn search(&self, id: T::Id) -> Result<SequencePosition, SequencePosition> {
        let end = self.end();
        match self.last().map(|last| last.id().cmp(&id)) {
            Some(Ordering::Equal) => return Ok(end),
            Some(Ordering::Less) => return Err(self.after(end)),
            Some(Ordering::Greater) | None => {}
        }
        let chunk = self.chunk_of(id);
        let Some(things) = self.chunks.get(chunk).map(|chunk| &chunk.0) else {
            return Err(end);
        };
        // Between two chunks: the end of the first is the place.
        if things.back().is_some_and(|last| last.id() < id) {
            let at = things.len();
            return Err(SequencePosition { chunk, at });
        }
        let found = things.binary_search_by(|thing| thing.id().cmp(&id));
        found
            .map(|at| SequencePosition { chunk, at })
            .map_err(|at| SequencePosition { chunk, at })
    }

    pub(crate) fn get(&self, id: T::Id) -> Option<&T> {
        self.at(self.search(id).ok()?)
    }

    /// The position of the first thing with this id or a larger one.
    pub(crate) fn from(&self, id: T::Id) -> SequencePosition {
        let position = self.search(id).unwrap_or_else(|would_be| would_be);
        match self.chunks.get(position.chunk) {
            Some(chunk) if position.at == chunk.0.len() => SequencePosition {
                chunk: position.chunk + 1,
                at: 0,
            },
            _ => position,
        }
    }

    /// The position of the last thing with this id or a smaller one.
    pub(crate) fn up_to(&self, id: T::Id) -> Option<SequencePosition> {
        match self.search(id) {
            Ok(position) => Some(position),
            Err(behind) => self.before(behind),
        }
    }

    /// The things with this id or a larger one.
    pub(crate) fn iter_from(&self, id: T::Id) -> impl Iterator<Item = &T> {
        let mut position = self.from(id);
        std::iter::from_fn(move || {
            let thing = self.at(position)?;
            position = self.after(position);
            Some(thing)
        })
    }

    /// Adds a thing whose id is not there yet, at the place that the search for it gave.
    pub(crate) fn insert_at(&mut self, place: SequencePosition, thing: T) {
        let behind = self.after(self.end());
        self.len += 1;
        match &mut self.last {
            None => self.last = Some(thing),
            Some(last) if place == behind => {
                // The last thing makes room for the new one and goes to the chunks, at their end.
                let before = std::mem::replace(last, thing);
                self.insert_in_chunk(self.behind_chunks(), before);
            }
            Some(_) => self.insert_in_chunk(place, thing),
        }
    }

    fn insert_in_chunk(&mut self, mut place: SequencePosition, thing: T) {
        match self.chunks.get_mut(place.chunk) {
            None => {
                self.add_chunk(place.chunk, Shareable::default());
            }
            Some(chunk) if chunk.0.len() < CHUNK => {}
            // Behind a full chunk a new one begins, so that chunks of a sequence that grows at its
            // end are full.
            Some(_) if place.at == CHUNK => {
                place = SequencePosition {
                    chunk: place.chunk + 1,
                    at: 0,
                };
                self.add_chunk(place.chunk, Shareable::default());
            }
            Some(chunk) => {
                let chunk = &mut chunk.own().0;
                let before = chunk.capacity();
                let upper = Chunk(chunk.split_off(CHUNK / 2));
                self.room = self.room + chunk.capacity() - before;
                self.add_chunk(place.chunk + 1, upper.into());
                if place.at > CHUNK / 2 {
                    place.chunk += 1;
                    place.at -= CHUNK / 2;
                }
            }
        }
        self.reserve(place.chunk);
        self.chunks[place.chunk].own().0.insert(place.at, thing);
    }

    /// Adds a thing unless one with its id is there.
    pub(crate) fn insert(&mut self, thing: T) -> bool {
        match self.search(thing.id()) {
            Ok(_) => false,
            Err(place) => {
                self.insert_at(place, thing);
                true
            }
        }
    }

    pub(crate) fn remove_at(&mut self, position: SequencePosition) -> Option<T> {
        let thing = match self.chunks.get_mut(position.chunk) {
            Some(chunk) => chunk.own().0.remove(position.at)?,
            None if position.at == 0 => self.last.take()?,
            None => return None,
        };
        self.len -= 1;
        if position == self.end() {
            self.find_last();
        } else {
            self.tidy_chunk(position.chunk);
        }
        Some(thing)
    }

    pub(crate) fn remove(&mut self, id: T::Id) -> Option<T> {
        self.remove_at(self.search(id).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    impl<T: Clone> Sequence<T> {
        /// Bytes as they are allocated now.
        pub(crate) fn counted_bytes(&self) -> usize {
            let chunks = self.chunks.iter().map(|chunk| chunk.0.capacity());
            let chunks = chunks.sum::<usize>();
            self.chunks.capacity() * size_of::<VecDeque<T>>() + chunks * size_of::<T>()
        }
    }

    impl Keyed for u64 {
        type Id = Self;

        fn id(&self) -> Self {
            *self
        }
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

    fn apply(op: &Op, sequence: &mut Sequence<u64>, model: &mut BTreeSet<u64>) {
        match *op {
            Op::Insert(n) => {
                for n in n..n + 40 {
                    assert_eq!(sequence.insert(n * 7 % 3000), model.insert(n * 7 % 3000));
                }
            }
            Op::Append(count) => {
                let last = model.last().copied().unwrap_or_default();
                for more in 1..=count {
                    let id = last + more;
                    assert_eq!(sequence.insert(id), model.insert(id));
                }
            }
            Op::Remove(n) => {
                for n in n..n + 60 {
                    let there = model.remove(&n);
                    assert_eq!(sequence.remove(n), there.then_some(n));
                }
            }
            Op::PopFirst(count) => {
                for _ in 0..count {
                    assert_eq!(sequence.pop_first(), model.pop_first());
                }
            }
            Op::Retain(n) => {
                sequence.retain(|id| id % n > 0);
                model.retain(|id| id % n > 0);
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_set(ops in prop::collection::vec(op(), 0..40), probe in 0u64..3000) {
            let (mut sequence, mut model) = (Sequence::new(), BTreeSet::new());
            let mut copies = Vec::new();
            for (number, op) in ops.iter().enumerate() {
                if number % 7 == 5 {
                    copies.push((sequence.share(), model.clone()));
                }
                if number % 7 == 6 {
                    // Whichever changes, the other stays as it is.
                    let (other, before) = copies.last_mut().expect("added before");
                    std::mem::swap(other, &mut sequence);
                    std::mem::swap(before, &mut model);
                }
                apply(op, &mut sequence, &mut model);
                prop_assert_eq!(sequence.len(), model.len());
                prop_assert_eq!(sequence.bytes(), sequence.counted_bytes());
                prop_assert!(sequence.chunks.iter().all(|c| (1..=CHUNK).contains(&c.0.len())));
            }
            prop_assert!(sequence.iter().eq(model.iter()));
            prop_assert!(sequence.iter_from(probe).eq(model.range(probe..)));
            let up_to = sequence.up_to(probe).and_then(|at| sequence.at(at));
            prop_assert_eq!(up_to, model.range(..=probe).next_back());
            prop_assert_eq!(sequence.iter().count(), model.len());
            prop_assert_eq!(sequence.last.is_none(), model.is_empty());
            prop_assert_eq!(sequence.first(), model.first());
            prop_assert_eq!(sequence.last(), model.last());
            for (copy, before) in &copies {
                prop_assert!(copy.iter().eq(before.iter()));
                prop_assert_eq!(copy.len(), before.len());
                prop_assert_eq!(copy.bytes(), copy.counted_bytes());
            }
        }
    }
}
