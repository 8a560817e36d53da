//! The records of a stripe: keys as they were before they changed.
//!
//! Members of large collections have records of their own
//! ([`MemberTrace`](crate::trace::MemberTrace)). Each record of a key says how many of those were
//! made before it, so that both are undone in one order.

use std::collections::HashSet;

use crate::UnixMs;
use crate::heap::{Content, Heap};
use crate::keyspace::{Keyspace, KeyspaceMut, Payload};
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::Position;
use crate::source::{Source, name_source};
use crate::text::Text;
use crate::trace::{RECORD_BYTES, TracedTable};

/// The records of one stripe.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    records: Vec<(usize, UndoRecord)>,
    /// Keys that need no more records, by the number of their keyspace.
    settled: HashSet<(u32, Box<[u8]>)>,
    /// Keyspaces none of whose keys does.
    emptied: Vec<u32>,
    bytes: usize,
}

/// The record of one change, by which it is undone.
#[derive(Debug)]
pub(super) enum UndoRecord {
    Key {
        number: u32,
        position: Position,
        key: Box<[u8]>,
        before: Option<Payload<'static>>,
    },
    Expiry {
        number: u32,
        position: Position,
        key: Box<[u8]>,
        before: Option<UnixMs>,
    },
    Blessing {
        number: u32,
        position: Position,
        key: Box<[u8]>,
        before: bool,
    },
    Emptied {
        number: u32,
        contents: Box<Keyspace>,
    },
    Swapped(u32, u32),
}

impl Undo {
    /// Bytes that the records hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The numbers of the keyspaces that records are about.
    pub(super) fn keyspaces(&self) -> impl Iterator<Item = u32> {
        self.records.iter().flat_map(|(_, record)| {
            let numbers = match record {
                UndoRecord::Key { number, .. }
                | UndoRecord::Expiry { number, .. }
                | UndoRecord::Blessing { number, .. }
                | UndoRecord::Emptied { number, .. } => [Some(*number), None],
                UndoRecord::Swapped(a, b) => [Some(*a), Some(*b)],
            };
            numbers.into_iter().flatten()
        })
    }

    /// The records, oldest first.
    pub(super) fn into_records(self) -> impl Iterator<Item = UndoRecord> {
        self.records.into_iter().map(|(_, record)| record)
    }

    /// How many members had been recorded when the latest record was made.
    pub(super) fn members_before(&self) -> usize {
        self.records.last().map_or(0, |&(members, _)| members)
    }

    /// Takes the latest record.
    pub(super) fn pop(&mut self) -> Option<UndoRecord> {
        self.records.pop().map(|(_, record)| record)
    }

    pub(super) fn is_emptied(&self, number: u32) -> bool {
        self.emptied.contains(&number)
    }

    /// Records a keyspace that is emptied; none of its keys needs a record from here on.
    pub(super) fn note_emptied(&mut self, members: usize, contents: Box<Keyspace>, number: u32) {
        self.emptied.push(number);
        let record = UndoRecord::Emptied { number, contents };
        self.records.push((members, record));
    }

    /// Records two keyspaces that are exchanged.
    pub(super) fn note_swap(&mut self, members: usize, a: u32, b: u32) {
        self.swap(a, b);
        self.records.push((members, UndoRecord::Swapped(a, b)));
    }

    /// Follows two keyspaces that are exchanged.
    pub(super) fn swap(&mut self, a: u32, b: u32) {
        let other = exchange(a, b);
        let settled = std::mem::take(&mut self.settled).into_iter();
        self.settled = settled.map(|(number, key)| (other(number), key)).collect();
        for number in &mut self.emptied {
            *number = other(*number);
        }
    }

    /// Whether a key needs no record.
    fn covers(&self, number: u32, key: &[u8]) -> bool {
        // A lookup by parts would need a key of its own type; changes here are few.
        self.emptied.contains(&number) || self.settled.contains(&(number, Box::from(key)))
    }

    fn settle(&mut self, members: usize, record: KeyBefore<'_>, bytes: usize) {
        let KeyBefore {
            number,
            position,
            key,
            before,
        } = record;
        self.settled.insert((number, key.into()));
        self.bytes += RECORD_BYTES + 2 * key.len() + bytes;
        let record = UndoRecord::Key {
            number,
            position,
            key: key.into(),
            before,
        };
        self.records.push((members, record));
    }
}

/// A key as it was.
struct KeyBefore<'a> {
    number: u32,
    position: Position,
    key: &'a [u8],
    before: Option<Payload<'static>>,
}

/// The number of a keyspace after `a` and `b` have been exchanged.
pub(super) fn exchange(a: u32, b: u32) -> impl Fn(u32) -> u32 {
    move |number| match number {
        number if number == a => b,
        number if number == b => a,
        number => number,
    }
}

/// Records of changes while the stripe keeps an undo.
impl KeyspaceMut<'_> {
    #[inline]
    pub(crate) fn is_undoable(&self) -> bool {
        self.heap.undo.is_some()
    }

    /// Records an entry that is about to change.
    #[cold]
    pub(crate) fn record_entry(&mut self, position: Position, entry: EntryRef) {
        let Some(mut undo) = self.heap.undo.take() else {
            return;
        };
        let (number, key) = (
            self.keyspace.number,
            Box::<[u8]>::from(self.heap.key(entry)),
        );
        if !undo.covers(number, &key) {
            match self.heap.traced_source(entry) {
                Some(source) => self.heap.trace(TracedTable {
                    source,
                    number,
                    position,
                    key,
                }),
                None => {
                    let bytes = self.heap.entry(entry).bytes();
                    let record = KeyBefore {
                        number,
                        position,
                        key: &key,
                        before: Some(self.copy(entry)),
                    };
                    undo.settle(self.heap.members_recorded(), record, bytes);
                }
            }
        }
        self.heap.undo = Some(undo);
    }

    /// Records that a key does not exist.
    #[cold]
    pub(crate) fn record_vacancy(&mut self, position: Position, key: &[u8]) {
        let number = self.keyspace.number;
        let members = self.heap.members_recorded();
        if let Some(undo) = &mut self.heap.undo
            && !undo.covers(number, key)
        {
            let record = KeyBefore {
                number,
                position,
                key,
                before: None,
            };
            undo.settle(members, record, 0);
        }
    }

    /// Removes an entry whose value goes elsewhere: the record keeps the value, and a copy goes.
    /// None if the key needs no record.
    #[cold]
    pub(crate) fn take_recorded(
        &mut self,
        position: Position,
        entry: EntryRef,
    ) -> Option<Payload<'static>> {
        let (number, key) = (self.keyspace.number, self.heap.key(entry));
        let undo = self.heap.undo.as_ref()?;
        if undo.covers(number, key) {
            return None;
        }
        let copy = self.copy(entry);
        self.remove_recorded(position, entry);
        Some(copy)
    }

    /// Removes an entry and records its value, which is not touched.
    #[cold]
    pub(crate) fn remove_recorded(&mut self, position: Position, entry: EntryRef) {
        let (number, key) = (
            self.keyspace.number,
            Box::<[u8]>::from(self.heap.key(entry)),
        );
        let bytes = self.heap.entry(entry).record_bytes();
        let Some(mut undo) = self.heap.undo.take() else {
            return;
        };
        let is_covered = undo.covers(number, &key);
        // What an earlier record puts right goes for good.
        if is_covered {
            self.remove(position, entry);
        } else {
            let record = KeyBefore {
                number,
                position,
                key: &key,
                before: Some(self.take(position, entry, true)),
            };
            undo.settle(self.heap.members_recorded(), record, bytes);
        }
        self.heap.undo = Some(undo);
    }

    /// Replaces a large collection by a string and records it, which is not touched.
    #[cold]
    pub(crate) fn replace_recorded(
        &mut self,
        position: Position,
        entry: EntryRef,
        text: Text<'_>,
    ) -> EntryRef {
        let key = Box::<[u8]>::from(self.heap.key(entry));
        let there = self.heap.entry(entry);
        let (expire_at, clock) = (there.expire_at(), there.clock());
        let is_blessed = self.read().is_blessed(position, entry);
        self.remove_recorded(position, entry);
        let new = Payload {
            content: Content::Text(text),
            expire_at,
            clock,
            is_blessed,
        };
        self.insert(position, &key, new)
    }

    /// Records when a key expires whose value is recorded member by member.
    #[cold]
    pub(crate) fn record_expiry(&mut self, position: Position, entry: EntryRef) {
        let (number, before) = (self.keyspace.number, self.heap.entry(entry).expire_at());
        let key = Box::<[u8]>::from(self.heap.key(entry));
        let members = self.heap.members_recorded();
        if let Some(undo) = &mut self.heap.undo
            && !undo.covers(number, &key)
        {
            undo.bytes += RECORD_BYTES + key.len();
            let record = UndoRecord::Expiry {
                number,
                position,
                key,
                before,
            };
            undo.records.push((members, record));
        }
    }
}

impl KeyspaceMut<'_> {
    /// Records whether a key is blessed.
    #[cold]
    pub(crate) fn record_blessing(&mut self, position: Position, entry: EntryRef) {
        let (number, before) = (
            self.keyspace.number,
            self.read().is_blessed(position, entry),
        );
        let key = Box::<[u8]>::from(self.heap.key(entry));
        let members = self.heap.members_recorded();
        if let Some(undo) = &mut self.heap.undo
            && !undo.covers(number, &key)
        {
            undo.bytes += RECORD_BYTES + key.len();
            let record = UndoRecord::Blessing {
                number,
                position,
                key,
                before,
            };
            undo.records.push((members, record));
        }
    }
}

impl Heap {
    /// Whether the value of an entry is a large collection with a table.
    pub(crate) fn is_table(&self, entry: EntryRef) -> bool {
        let members = self.entry(entry).record_object();
        members.is_some_and(|object| object.members().is_some())
    }

    /// The id of a large collection with a table while its members are recorded.
    fn traced_source(&mut self, entry: EntryRef) -> Option<Source> {
        let members = self.object_mut(entry)?.table_mut()?.members_mut();
        let source = members.source().unwrap_or_else(name_source);
        members.set_source(source);
        Some(source)
    }

    /// Traces a collection, unless it is traced already.
    fn trace(&mut self, table: TracedTable) {
        let trace = self.journals.trace.get_or_insert_default();
        if !trace.is_traced(table.source) {
            trace.trace(table);
        }
    }

    /// Number of members recorded so far.
    pub(super) fn members_recorded(&self) -> usize {
        let trace = self.journals.trace.as_ref();
        trace.map_or(0, |trace| trace.len())
    }

    /// Drops the value of a record that is not needed any more.
    pub(super) fn drop_payload(&mut self, payload: Payload<'static>) {
        match payload.content {
            Content::Object(object) | Content::Built(object, _) => self.discard(object),
            Content::InSlab(index) => self.discard_placed(index),
            Content::Text(_) | Content::Shaped(..) | Content::Foreign(..) => {}
        }
    }
}
