//! Fills new collections with what a payload holds.

use std::collections::BTreeMap;

use kvik_rdb::{
    ArrayParts, Bitmap, EntriesRead, Field, Hash, HashNames, IntText, ListPart, ListParts, Pending,
    Set, Shapes, SortedSet, StreamPart, StreamParts, StreamSummary, Text,
};
use kvik_rope::Rope;
use kvik_store::packed::Listpack;
use kvik_store::{
    ArrayMut, HashMut, ListEnd, ListMut, Scored, SetMut, StreamCounts, StreamId, StreamMut,
    StringRef, ZsetMut,
};

use super::LoadFault;

/// An error unless something is so.
fn ensure(condition: bool) -> Result<(), LoadFault> {
    condition.then_some(()).ok_or(LoadFault::Malformed)
}

/// A string of a payload as the store has it. `room` is for its text, if it is an integer's.
pub(super) fn string<'t>(text: &'t Text<'_>, room: &'t mut IntText) -> StringRef<'t> {
    match text {
        Text::Int(n) => StringRef::Int(*n),
        text => StringRef::Bytes(text.bytes(room)),
    }
}

/// The string that a bitmap stands for.
pub(super) fn bits(bitmap: &Bitmap<'_>) -> Result<Rope, LoadFault> {
    let mut string = Rope::new();
    bitmap.for_each_part(|at, part| {
        string.append_zeros(at - string.len());
        string.append(part);
    })?;
    string.append_zeros(bitmap.len() - string.len());
    Ok(string)
}

pub(super) fn list(made: &mut ListMut<'_>, parts: ListParts<'_, '_>) -> Result<(), LoadFault> {
    for part in parts {
        match part? {
            ListPart::Element(element) => append(made, &element),
            ListPart::Listpack(bytes) => made.append_pack(&bytes)?,
            ListPart::Ziplist(ziplist) => ziplist.iter().for_each(|element| append(made, &element)),
        }
    }
    Ok(())
}

fn append(made: &mut ListMut<'_>, element: &Text<'_>) {
    let mut room = IntText::default();
    made.push(ListEnd::Right, std::iter::once(element.bytes(&mut room)));
}

pub(super) fn set(made: &mut SetMut<'_>, set: Set<'_, '_>) -> Result<(), LoadFault> {
    match set {
        Set::Members(members) => {
            let count = members.size_hint().0;
            for (at, member) in members.enumerate() {
                let member = member?;
                let mut room = IntText::default();
                let name = member.name.bytes(&mut room);
                // The first member tells whether the set may stay one of integers; the count, how
                // large it gets.
                if at == 0 {
                    made.expect(name, count);
                }
                ensure(made.add(name))?;
                if member.expire_at.is_some() {
                    made.set_expiry(name, member.expire_at);
                }
            }
        }
        Set::Intset(bytes) => made.adopt_ints(bytes)?,
        Set::Listpack(bytes) => made.adopt(bytes)?,
    }
    Ok(())
}

pub(super) fn hash(made: &mut HashMut<'_>, hash: Hash<'_, '_>) -> Result<(), LoadFault> {
    match hash {
        Hash::Fields(fields) => {
            made.expect(fields.size_hint().0);
            for field in fields {
                set_field(made, &field?)?;
            }
        }
        Hash::Listpack(bytes) => made.adopt(bytes)?,
        Hash::ListpackWithExpiry(bytes) => made.adopt_expiring(&bytes)?,
        Hash::Ziplist(ziplist) => set_pairs(made, ziplist.pairs())?,
        Hash::Zipmap(zipmap) => set_pairs(made, zipmap.iter())?,
        Hash::Shaped(fields) => {
            made.expect(fields.size_hint().0);
            for field in fields {
                set_field(made, &field?)?;
            }
        }
        Hash::ShapedListpack(bytes, shapes) => set_shaped(made, &bytes, shapes)?,
        Hash::NamedListpack(names, values) => set_named(made, &names, &values)?,
    }
    Ok(())
}

/// Sets fields whose values stand behind the number of their names.
fn set_shaped(made: &mut HashMut<'_>, bytes: &[u8], shapes: &Shapes) -> Result<(), LoadFault> {
    let values = Listpack::validate(bytes).ok_or(LoadFault::Malformed)?;
    let mut elements = values.iter();
    let number = match elements.next() {
        Some(StringRef::Int(number)) => u64::try_from(number).ok(),
        _ => None,
    };
    let names = shapes.names(number.ok_or(LoadFault::Malformed)?)?;
    ensure(values.len() == names.len() + 1)?;
    made.expect(names.len());
    for (name, value) in names.iter().zip(elements) {
        ensure(made.set(name, value))?;
    }
    Ok(())
}

/// Sets fields whose names stand before a listpack of their values.
fn set_named(
    made: &mut HashMut<'_>,
    names: &HashNames<'_>,
    values: &[u8],
) -> Result<(), LoadFault> {
    let values = Listpack::validate(values).ok_or(LoadFault::Malformed)?;
    let mut room = IntText::default();
    match names {
        HashNames::Each(names) => {
            ensure(names.len() == values.len())?;
            made.expect(names.len());
            for (name, value) in names.iter().zip(values.iter()) {
                ensure(made.set(name.bytes(&mut room), value))?;
            }
        }
        HashNames::Listpack(names) => {
            let names = Listpack::validate(names).ok_or(LoadFault::Malformed)?;
            ensure(names.len() == values.len())?;
            let mut shown = kvik_store::IntText::default();
            made.expect(names.len());
            for (name, value) in names.iter().zip(values.iter()) {
                ensure(made.set(name.text(&mut shown), value))?;
            }
        }
    }
    Ok(())
}

fn set_pairs<'a>(
    made: &mut HashMut<'_>,
    pairs: impl ExactSizeIterator<Item = (Text<'a>, Text<'a>)>,
) -> Result<(), LoadFault> {
    made.expect(pairs.len());
    for (name, value) in pairs {
        let expire_at = None;
        set_field(
            made,
            &Field {
                name,
                value,
                expire_at,
            },
        )?;
    }
    Ok(())
}

fn set_field(made: &mut HashMut<'_>, field: &Field<'_>) -> Result<(), LoadFault> {
    // Numbers are stored as such in the file; the store decides anew how it keeps them.
    let (mut name, mut value) = (IntText::default(), IntText::default());
    let name = field.name.bytes(&mut name);
    // A field that is there already is not new: the payload has it twice.
    ensure(made.set(name, string(&field.value, &mut value)))?;
    if let Some(at) = field.expire_at {
        made.expire([name], at, |_| true);
    }
    Ok(())
}

pub(super) fn zset(made: &mut ZsetMut<'_>, set: SortedSet<'_, '_>) -> Result<(), LoadFault> {
    match set {
        SortedSet::Members(members) => {
            // The number of members is a promise of the file: it chooses a form, and reserves
            // nothing.
            made.expect(members.size_hint().0, 0);
            for member in members {
                let member = member?;
                let mut room = IntText::default();
                let name = member.name.bytes(&mut room);
                add_scored(made, name, member.score)?;
                if member.expire_at.is_some() {
                    made.set_expiry(name, member.expire_at);
                }
            }
        }
        SortedSet::Listpack(bytes) => made.add_pack(&bytes)?,
        SortedSet::Ziplist(ziplist) => {
            for member in ziplist.scored() {
                let (name, score) = member?;
                add_scored(made, name.bytes(&mut IntText::default()), score)?;
            }
        }
    }
    Ok(())
}

/// Adds a member, which is not there yet.
fn add_scored(made: &mut ZsetMut<'_>, name: &[u8], score: f64) -> Result<(), LoadFault> {
    ensure(made.update(name, |_| Some(score)) == Scored::Added)
}

pub(super) fn stream(
    made: &mut StreamMut<'_>,
    parts: StreamParts<'_, '_>,
) -> Result<(), LoadFault> {
    let (mut group, mut producer) = (NewGroup::default(), Vec::new());
    for part in parts {
        match part? {
            StreamPart::Entries { first, listpack } => {
                made.append_pack(store_id(first), &listpack)?;
            }
            StreamPart::Summary(summary) => made.set_counts(&counts(&summary))?,
            StreamPart::Group {
                name,
                last_id,
                entries_read,
            } => {
                // Entries and counts are complete before the first group, and each group before the
                // next.
                group.end()?;
                group = NewGroup::begin(made, name, store_id(last_id), entries_read)?;
            }
            // The format tells who has an entry only with the consumers, which follow.
            StreamPart::Pending(pending) => {
                group.pending.insert(pending.id, pending);
            }
            StreamPart::Consumer {
                name,
                seen_ms,
                active_ms,
            } => {
                group.consumer = name.into_bytes().into_owned();
                let (of, name) = (&group.name, &group.consumer);
                ensure(made.add_consumer(of, name, seen_ms, active_ms))?;
            }
            StreamPart::Owned(id) => group.own(made, id)?,
            StreamPart::Released(id) => group.release(made, id)?,
            StreamPart::Idempotence {
                duration_s,
                max_len,
            } => made.begin_idempotence(duration_s, max_len),
            StreamPart::Producer(name) => producer = name.into_bytes().into_owned(),
            StreamPart::Recorded { text, id } => {
                let text = text.into_bytes();
                ensure(made.add_recorded(&producer, &text, store_id(id)))?;
            }
            StreamPart::Repeats { added, duplicates } => made.end_idempotence(added, duplicates),
        }
    }
    group.end()
}

pub(super) fn array(made: &mut ArrayMut<'_>, parts: ArrayParts<'_, '_>) -> Result<(), LoadFault> {
    made.set_cursor(parts.cursor())?;
    for element in parts {
        let element = element?;
        let mut room = IntText::default();
        made.append(element.index, string(&element.value, &mut room))?;
    }
    Ok(())
}

/// A consumer group whose pending entries wait for their consumers.
#[derive(Default)]
struct NewGroup {
    name: Vec<u8>,
    /// The consumer that is being read.
    consumer: Vec<u8>,
    /// Those that have not found their consumers.
    pending: BTreeMap<kvik_rdb::StreamId, Pending>,
}

impl NewGroup {
    fn begin(
        made: &mut StreamMut<'_>,
        name: Text<'_>,
        last_id: StreamId,
        entries_read: EntriesRead,
    ) -> Result<Self, LoadFault> {
        let name = name.into_bytes().into_owned();
        let entries_read = match entries_read {
            EntriesRead::Count(count) => {
                Some(i64::try_from(count).map_err(|_| LoadFault::Malformed)?)
            }
            EntriesRead::Unknown => None,
            // Before version 10 the count was not written; the entries tell it.
            EntriesRead::Untold => made.view().entries_read_up_to(last_id),
        };
        ensure(made.create_group(&name, last_id, entries_read))?;
        Ok(Self {
            name,
            ..Self::default()
        })
    }

    /// Gives an entry to the consumer that is being read.
    fn own(&mut self, made: &mut StreamMut<'_>, id: kvik_rdb::StreamId) -> Result<(), LoadFault> {
        // What is taken off is owned once; what stays until the group's end is owned by nobody.
        let entry = self.pending.remove(&id).ok_or(LoadFault::Malformed)?;
        let (delivered, deliveries) = (entry.delivered_ms, entry.deliveries);
        let id = store_id(id);
        ensure(made.add_pending(&self.name, &self.consumer, id, delivered, deliveries))
    }

    /// Makes an entry nobody's.
    fn release(
        &mut self,
        made: &mut StreamMut<'_>,
        id: kvik_rdb::StreamId,
    ) -> Result<(), LoadFault> {
        let entry = self.pending.remove(&id).ok_or(LoadFault::Malformed)?;
        ensure(made.add_released(&self.name, store_id(id), entry.deliveries))
    }

    /// Every pending entry has found its consumer.
    fn end(&self) -> Result<(), LoadFault> {
        ensure(self.pending.is_empty())
    }
}

fn store_id(id: kvik_rdb::StreamId) -> StreamId {
    StreamId::new(id.ms, id.seq)
}

fn counts(summary: &StreamSummary) -> StreamCounts {
    StreamCounts {
        len: summary.len,
        last_id: store_id(summary.last_id),
        max_deleted_id: store_id(summary.max_deleted_id),
        entries_added: summary.entries_added,
    }
}
