//! Streams that come whole: see [`crate::restore`].
//!
//! The entries of a node are added one by one: so every one of them is checked, and nodes are as
//! large as the settings here say. What was deleted within a node stays behind.

use std::borrow::Cow;

use super::StreamRef;
use super::body::MAX_BYTES;
use super::change::StreamMut;
use super::group::Pending;
use super::id::StreamId;
use super::idempotence::Idempotence;
use super::node::{DELETED, SAME_FIELDS};
use crate::UnixMs;
use crate::edit::{Edit, EditParts};
use crate::entry::Entry;
use crate::packed::Listpack;
use crate::packed::listpack::{Element, ListpackIter};
use crate::restore::{Malformed, Terms};
use crate::text::IntText;

/// The counts and ids that come with a whole stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamCounts {
    /// Entries that it has.
    pub len: u64,
    /// The largest id ever given.
    pub last_id: StreamId,
    /// The largest id that was deleted.
    pub max_deleted_id: StreamId,
    /// Entries ever added.
    pub entries_added: u64,
}

/// The elements of a node from elsewhere.
struct NodeElements<'a>(ListpackIter<'a>);

/// An entry of such a node: its id, and fields and values in turn.
struct NodeEntry<'a> {
    id: StreamId,
    deleted: bool,
    words: Vec<Cow<'a, [u8]>>,
}

impl<'g> Entry<'g> {
    /// Begins a stream beside what the key holds, which is discarded unless it is
    /// [restored](StreamMut::restore).
    pub fn build_stream(self) -> StreamMut<'g> {
        StreamMut(Edit::build(self))
    }
}

impl<'a> StreamRef<'a> {
    /// The nodes: what the ids of their entries are relative to, and the bytes of a listpack.
    pub fn packs(&self) -> impl ExactSizeIterator<Item = (StreamId, &'a [u8])> + use<'a> {
        let mut nodes = self.body.nodes.iter();
        (0..self.nodes()).map(move |_| nodes.next().expect("as many as there are").pack_bytes())
    }

    /// How many entries a group has read that was given all up to an id, where that can be told.
    pub fn entries_read_up_to(&self, id: StreamId) -> Option<i64> {
        self.body.marks.added_up_to(id)
    }
}

impl StreamMut<'_> {
    /// Adds the entries of a node.
    ///
    /// # Errors
    /// If the bytes are none, or the ids are not larger than those before.
    pub fn append_pack(&mut self, first: StreamId, bytes: &[u8]) -> Result<(), Malformed> {
        let pack = Listpack::validate(bytes).ok_or(Malformed)?;
        let mut elements = NodeElements(pack.iter());
        let (live, deleted) = (elements.count()?, elements.count()?);
        let fields = elements.count()?;
        let names = elements.0.clone();
        elements.skip(fields)?;
        if elements.int()? != 0 {
            return Err(Malformed);
        }
        let mut counted = [0, 0];
        while !elements.is_done() {
            let entry = elements.entry(first, fields, &names)?;
            counted[usize::from(entry.deleted)] += 1;
            if !entry.deleted {
                self.add(&entry)?;
            }
        }
        (counted == [live, deleted]).then_some(()).ok_or(Malformed)
    }

    fn add(&mut self, entry: &NodeEntry<'_>) -> Result<(), Malformed> {
        let size: usize = entry.words.iter().map(|word| word.len()).sum();
        if entry.id <= self.view().last_id() || size > MAX_BYTES {
            return Err(Malformed);
        }
        let EditParts { value, limits, .. } = self.0.parts();
        let words = entry.words.iter().map(|word| &**word);
        value.body_mut().append(entry.id, words, limits);
        Ok(())
    }

    /// Ends the entries.
    ///
    /// # Errors
    /// If the counts contradict the entries.
    pub fn set_counts(&mut self, counts: &StreamCounts) -> Result<(), Malformed> {
        let marks = &mut self.body().marks;
        if counts.len != marks.len || counts.last_id < marks.last_id {
            return Err(Malformed);
        }
        marks.last_id = counts.last_id;
        marks.max_deleted_id = counts.max_deleted_id;
        marks.entries_added = counts.entries_added;
        Ok(())
    }

    /// Adds a consumer to a group and says whether there was the group, without such a consumer.
    pub fn add_consumer(
        &mut self,
        group: &[u8],
        name: &[u8],
        seen_ms: UnixMs,
        active_ms: Option<UnixMs>,
    ) -> bool {
        let body = self.body();
        let Ok(at) = body.find_group(group) else {
            return false;
        };
        body.change_group(at, |group, _, _| {
            let (number, is_new) = group.consumers.find_or_add(name, seen_ms);
            group
                .consumers
                .change(number, |consumer| consumer.active_ms = active_ms);
            is_new
        })
    }

    /// Makes an entry pending for a consumer of a group and says whether there are the two.
    pub fn add_pending(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        id: StreamId,
        delivered_ms: UnixMs,
        deliveries: u64,
    ) -> bool {
        let body = self.body();
        let Ok(at) = body.find_group(group) else {
            return false;
        };
        body.change_group(at, |group, _, _| {
            let Some(consumer) = group.consumers.find(consumer) else {
                return false;
            };
            group.assign(Pending {
                id,
                delivered_ms,
                deliveries,
                consumer,
                order: 0,
            });
            true
        })
    }

    /// Makes an entry pending in a group that was released, and says whether there is the group.
    pub fn add_released(&mut self, group: &[u8], id: StreamId, deliveries: u64) -> bool {
        let body = self.body();
        let Ok(at) = body.find_group(group) else {
            return false;
        };
        body.change_group(at, |group, _, _| {
            group.assign(Pending::released(id, deliveries));
        });
        true
    }

    /// Begins what is remembered of the entries of producers, on terms that
    /// [`set_idempotence`](Self::set_idempotence) takes.
    pub fn begin_idempotence(&mut self, duration_s: u64, max_len: u64) {
        self.body().idempotence = Some(Box::new(Idempotence::new(duration_s, max_len)));
    }

    /// Adds an entry of a producer, later than those before; says whether it was not known.
    pub fn add_recorded(&mut self, producer: &[u8], text: &[u8], id: StreamId) -> bool {
        let known = &mut self.body().idempotence;
        known
            .as_mut()
            .is_some_and(|it| it.restore(producer, text, id))
    }

    /// Ends what is remembered, with the numbers of entries ever recorded and not added again.
    pub fn end_idempotence(&mut self, added: u64, duplicates: u64) {
        let known = &mut self.body().idempotence;
        if let Some(known) = known {
            (known.added, known.duplicates) = (added, duplicates);
        }
        // Some forms have to say something of producers where nothing was ever known of any.
        known.take_if(|it| it.is_blank());
    }

    /// Puts the stream in place of what the key holds. Effect: `RESTORE`.
    pub fn restore(mut self, terms: &Terms<'_>) {
        // One without entries and groups is a stream all the same.
        self.body();
        self.0.restore(terms);
    }
}

impl<'a> NodeElements<'a> {
    fn is_done(&self) -> bool {
        self.0.clone().next().is_none()
    }

    fn next(&mut self) -> Result<Element<'a>, Malformed> {
        self.0.next().ok_or(Malformed)
    }

    fn int(&mut self) -> Result<i64, Malformed> {
        match self.next()? {
            Element::Int(n) => Ok(n),
            Element::Bytes(_) => Err(Malformed),
        }
    }

    fn count(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.int()?).map_err(|_| Malformed)
    }

    fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        (0..count).try_for_each(|_| self.next().map(drop))
    }

    /// The next entry of the node with this id, whose master has so many fields, of these names.
    fn entry(
        &mut self,
        first: StreamId,
        fields: usize,
        names: &ListpackIter<'a>,
    ) -> Result<NodeEntry<'a>, Malformed> {
        let flags = self.int()?;
        let id = first.moved((self.int()?, self.int()?));
        let same = flags & SAME_FIELDS != 0;
        let fields = if same { fields } else { self.count()? };
        let (mut names, mut words) = (Self(names.clone()), Vec::new());
        for _ in 0..fields {
            let name = if same { names.next()? } else { self.next()? };
            words.push(text(name));
            words.push(text(self.next()?));
        }
        let elements = 3 + if same { fields } else { 1 + 2 * fields };
        if fields == 0 || self.count()? != elements {
            return Err(Malformed);
        }
        let deleted = flags & DELETED != 0;
        Ok(NodeEntry { id, deleted, words })
    }
}

fn text(element: Element<'_>) -> Cow<'_, [u8]> {
    match element {
        Element::Int(n) => Cow::Owned(IntText::default().format(n).to_vec()),
        Element::Bytes(bytes) => Cow::Borrowed(bytes),
    }
}
