//! Undoing: what a stripe held before a unit of work changed it.
//!
//! While a stripe keeps an [`Undo`], each change is recorded before it is made, by the same hook
//! that images use ([`KeyspaceMut::before_change`]) and, for the members of a large collection, by
//! [`Members`](crate::members::Members). Records are undone in the opposite order.
//!
//! | before | is recorded |
//! |---|---|
//! | the first change of a key | a copy of its value; lists, streams and large strings are shared |
//! | the first change of a key that does not exist | that it does not |
//! | a change of a member of a large collection | the member |
//! | the removal of any value | the value itself, which is freed when the work is kept |
//! | FLUSHDB, SWAPDB | the contents themselves, that two were exchanged |
//!
//! A key whose whole value has been recorded is *settled*: whatever comes later, undoing that
//! record puts everything right. Interests in keys are told when the work is kept, and not at all
//! when it is undone. Access clocks come back with values; how large tables have grown does not,
//! and lists and streams have other reserves of memory than before.

use std::collections::HashSet;

use crate::UnixMs;
use crate::garbage::Garbage;
use crate::heap::{Content, Heap};
use crate::journal::{Source, name_source};
use crate::keyspace::{Keyspace, KeyspaceMut, Payload};
use crate::layout::Layout;
use crate::members::Members;
use crate::memory::MemoryMut;
use crate::namespace::TableId;
use crate::raw::deadlines::NEVER;
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::Position;
use crate::stripe::Stripe;
use crate::text::Text;

/// Bytes that a record counts beside what it holds.
const RECORD_BYTES: usize = 100;

/// The records of one stripe.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    records: Vec<UndoRecord>,
    /// Keys that need no more records, by the number of their keyspace.
    settled: HashSet<(u32, Box<[u8]>)>,
    /// Keyspaces none of whose keys does.
    emptied: Vec<u32>,
    /// Large collections whose members are recorded.
    tables: Vec<TracedTable>,
    bytes: usize,
}

/// A large collection whose members are recorded.
#[derive(Debug)]
struct TracedTable {
    source: Source,
    number: u32,
    position: Position,
    key: Box<[u8]>,
}

/// A member as it was.
#[derive(Debug)]
struct MemberBefore {
    value: Text<'static>,
    expire_at: Option<UnixMs>,
    bytes: usize,
}

#[derive(Debug)]
enum UndoRecord {
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
    Member {
        source: Source,
        name: Box<[u8]>,
        before: Option<MemberBefore>,
    },
    Emptied {
        number: u32,
        contents: Box<Keyspace>,
    },
    Swapped(u32, u32),
}

impl Undo {
    /// The tables that records are about, in order.
    fn changed_tables(&self) -> Vec<TableId> {
        let numbers = self.records.iter().flat_map(|record| match record {
            UndoRecord::Key { number, .. }
            | UndoRecord::Expiry { number, .. }
            | UndoRecord::Emptied { number, .. } => [Some(*number), None],
            UndoRecord::Member { source, .. } => {
                let table = self.tables.iter().find(|table| table.source == *source);
                [table.map(|table| table.number), None]
            }
            UndoRecord::Swapped(a, b) => [Some(*a), Some(*b)],
        });
        let mut tables: Vec<_> = numbers.flatten().map(TableId).collect();
        tables.sort_unstable();
        tables
    }

    /// Whether a key needs no record.
    fn covers(&self, number: u32, key: &[u8]) -> bool {
        // A lookup by parts would need a key of its own type; changes here are few.
        self.emptied.contains(&number) || self.settled.contains(&(number, Box::from(key)))
    }

    fn settle(
        &mut self,
        number: u32,
        position: Position,
        key: &[u8],
        before: Option<Payload<'static>>,
        bytes: usize,
    ) {
        self.settled.insert((number, key.into()));
        self.bytes += RECORD_BYTES + 2 * key.len() + bytes;
        self.records.push(UndoRecord::Key {
            number,
            position,
            key: key.into(),
            before,
        });
    }

    fn is_traced(&self, source: Source) -> bool {
        self.tables.iter().any(|table| table.source == source)
    }

    /// Records a member of a traced collection, none if it is not there; says whether the
    /// collection is traced.
    fn note_member(&mut self, source: Source, name: &[u8], before: Option<MemberBefore>) -> bool {
        if !self.is_traced(source) {
            return false;
        }
        let value = before.as_ref().map_or(0, |it| it.bytes);
        self.bytes += RECORD_BYTES + name.len() + value;
        self.records.push(UndoRecord::Member {
            source,
            name: name.into(),
            before,
        });
        true
    }

    /// Follows two keyspaces that are exchanged.
    fn swap(&mut self, a: u32, b: u32) {
        let other = |number: u32| match number {
            number if number == a => b,
            number if number == b => a,
            number => number,
        };
        let settled = std::mem::take(&mut self.settled).into_iter();
        self.settled = settled.map(|(number, key)| (other(number), key)).collect();
        for number in &mut self.emptied {
            *number = other(*number);
        }
        for table in &mut self.tables {
            table.number = other(table.number);
        }
    }
}

/// Records of changes while the stripe keeps an undo.
impl KeyspaceMut<'_> {
    #[inline]
    pub(crate) fn is_undoable(&self) -> bool {
        self.heap.journals.undo.is_some()
    }

    /// Records an entry that is about to change.
    #[cold]
    pub(crate) fn record_entry(&mut self, position: Position, entry: EntryRef) {
        let Some(mut undo) = self.heap.journals.undo.take() else {
            return;
        };
        let (number, key) = (
            self.keyspace.number,
            Box::<[u8]>::from(self.heap.key(entry)),
        );
        if !undo.covers(number, &key) {
            match self.heap.traced_source(entry) {
                Some(source) if undo.is_traced(source) => {}
                Some(source) => undo.tables.push(TracedTable {
                    source,
                    number,
                    position,
                    key,
                }),
                None => {
                    let bytes = self.heap.entry(entry).bytes();
                    let before = self.copy(entry);
                    undo.settle(number, position, &key, Some(before), bytes);
                }
            }
        }
        self.heap.journals.undo = Some(undo);
    }

    /// Records that a key does not exist.
    #[cold]
    pub(crate) fn record_vacancy(&mut self, position: Position, key: &[u8]) {
        let number = self.keyspace.number;
        if let Some(undo) = &mut self.heap.journals.undo
            && !undo.covers(number, key)
        {
            undo.settle(number, position, key, None, 0);
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
        let undo = self.heap.journals.undo.as_ref()?;
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
        let Some(mut undo) = self.heap.journals.undo.take() else {
            return;
        };
        let is_covered = undo.covers(number, &key);
        // Without an undo it goes as it is.
        if is_covered {
            self.remove(position, entry);
        } else {
            let before = self.take(position, entry, true);
            undo.settle(number, position, &key, Some(before), bytes);
        }
        self.heap.journals.undo = Some(undo);
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
        self.remove_recorded(position, entry);
        let new = Payload {
            content: Content::Text(text),
            expire_at,
            clock,
        };
        self.insert(position, &key, new)
    }

    /// Records when a key expires whose value is recorded member by member.
    #[cold]
    pub(crate) fn record_expiry(&mut self, position: Position, entry: EntryRef) {
        let (number, before) = (self.keyspace.number, self.heap.entry(entry).expire_at());
        let key = Box::<[u8]>::from(self.heap.key(entry));
        if let Some(undo) = &mut self.heap.journals.undo
            && !undo.covers(number, &key)
        {
            undo.bytes += RECORD_BYTES + key.len();
            undo.records.push(UndoRecord::Expiry {
                number,
                position,
                key,
                before,
            });
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

    fn drop_payload(&mut self, payload: Payload<'static>) {
        match payload.content {
            Content::Object(object) | Content::Built(object, _) => self.discard(object),
            Content::InSlab(index) => self.discard_placed(index),
            Content::Text(_) | Content::Foreign(..) => {}
        }
    }
}

impl Members {
    /// Tells the records and the copies that are being made that a member is about to change, to go
    /// or, where there is none, to come.
    #[cold]
    pub(crate) fn report(
        source: Source,
        memory: &mut MemoryMut<'_>,
        name: &[u8],
        member: Option<EntryRef>,
    ) -> bool {
        let prefix = memory.layout.position_of_member(name).prefix();
        let is_copied = memory.journals.note(source, prefix, name);
        let before = || {
            let member = memory.cells.member(member?);
            Some(MemberBefore {
                value: member.text().into_owned(),
                expire_at: member.expire_at(),
                bytes: member.bytes(),
            })
        };
        let is_traced = match &mut memory.journals.undo {
            Some(undo) => undo.is_traced(source) && undo.note_member(source, name, before()),
            None => false,
        };
        is_copied || is_traced
    }
}

/// Keeping and undoing.
impl Stripe {
    /// Records what changes from here on, so that it can be undone. What was recorded before is
    /// kept.
    pub fn begin_undo(&mut self) {
        drop(self.keep_changes());
        self.heap.journals.undo = Some(Box::default());
        self.interests.hold_back();
    }

    /// Bytes that the records hold.
    pub fn undo_bytes(&self) -> usize {
        self.heap
            .journals
            .undo
            .as_ref()
            .map_or(0, |undo| undo.bytes)
    }

    /// Keeps what has changed since [`begin_undo`](Self::begin_undo) and tells those who are
    /// interested. Returns what is to be freed without the lock.
    pub fn keep_changes(&mut self) -> Option<Garbage> {
        let undo = self.heap.journals.undo.take()?;
        for record in undo.records {
            match record {
                UndoRecord::Key {
                    before: Some(payload),
                    ..
                } => self.heap.drop_payload(payload),
                UndoRecord::Emptied { contents, .. } => self.let_go(contents),
                _ => {}
            }
        }
        self.interests.release(true);
        self.take_garbage()
    }

    /// Undoes what has changed since [`begin_undo`](Self::begin_undo); nobody is told. Returns what
    /// is to be freed without the lock.
    pub fn undo_changes(&mut self, layout: &Layout) -> Option<Garbage> {
        let mut undo = self.heap.journals.undo.take()?;
        let mut changed = undo.changed_tables();
        while let Some(record) = undo.records.pop() {
            match record {
                UndoRecord::Key {
                    number,
                    position,
                    key,
                    before,
                } => self.put_key(layout, number, position, &key, before),
                UndoRecord::Expiry {
                    number,
                    position,
                    key,
                    before,
                } => self.put_expiry(layout, number, position, &key, before),
                UndoRecord::Member {
                    source,
                    name,
                    before,
                } => self.put_members(layout, &mut undo, source, (name, before)),
                UndoRecord::Emptied { number, contents } => self.put_contents(number, contents),
                UndoRecord::Swapped(a, b) => {
                    self.swap(TableId(a), TableId(b), layout);
                    undo.swap(a, b);
                }
            }
        }
        changed.dedup();
        for table in changed {
            self.tell_namespace(table, layout);
        }
        self.interests.release(false);
        self.take_garbage()
    }

    /// Records a keyspace that is emptied, contents and all; says whether it did.
    pub(crate) fn empty_recorded(&mut self, table: TableId) -> bool {
        let Some(undo) = &mut self.heap.journals.undo else {
            return false;
        };
        let number = table.0;
        if undo.emptied.contains(&number) {
            return false;
        }
        let Some(keyspace) = self.numbered_mut(number) else {
            return true;
        };
        let mut contents = Box::<Keyspace>::default();
        contents.swap(keyspace);
        self.note_uncut(table);
        let undo = self.heap.journals.undo.as_mut().expect("looked at above");
        undo.emptied.push(number);
        undo.records.push(UndoRecord::Emptied { number, contents });
        true
    }

    /// Records that two keyspaces are exchanged.
    pub(crate) fn record_swap(&mut self, a: TableId, b: TableId) {
        if let Some(undo) = &mut self.heap.journals.undo {
            undo.swap(a.0, b.0);
            undo.records.push(UndoRecord::Swapped(a.0, b.0));
        }
    }

    fn put_key(
        &mut self,
        layout: &Layout,
        number: u32,
        position: Position,
        key: &[u8],
        before: Option<Payload<'static>>,
    ) {
        if let Some(at) = before
            .as_ref()
            .and_then(|payload| payload.earliest_deadline(&self.heap))
        {
            self.lower_due(at);
        }
        let mut keyspace = self.keyspace_mut(TableId(number), layout);
        if let Some(entry) = keyspace.find(position, key) {
            keyspace.remove(position, entry);
        }
        if let Some(payload) = before {
            keyspace.insert(position, key, payload);
        }
    }

    fn put_expiry(
        &mut self,
        layout: &Layout,
        number: u32,
        position: Position,
        key: &[u8],
        before: Option<UnixMs>,
    ) {
        if let Some(at) = before {
            self.lower_due(at);
        }
        let mut keyspace = self.keyspace_mut(TableId(number), layout);
        if let Some(entry) = keyspace.find(position, key) {
            keyspace.set_expiry(position, entry, before);
        }
    }

    /// Undoes a change of a member, and those of members of the same collection that came right
    /// before it.
    fn put_members(
        &mut self,
        layout: &Layout,
        undo: &mut Undo,
        source: Source,
        first: (Box<[u8]>, Option<MemberBefore>),
    ) {
        let table = undo.tables.iter().find(|table| table.source == source);
        let table = table.expect("only members of traced tables are recorded");
        let (position, key) = (table.position, &table.key);
        let mut keyspace = self.keyspace_mut(TableId(table.number), layout);
        let entry = keyspace.find(position, key);
        let entry = entry.expect("later records have been undone, so the table is there");
        let (mut object, account) = keyspace.take_out(position, entry);
        let members = object.table_mut().expect("it was one when it was traced");
        let mut memory = keyspace.heap.memory_mut(layout);
        let mut next = Some(first);
        while let Some((name, before)) = next {
            members.delete(&mut memory, &name);
            if let Some(MemberBefore {
                value, expire_at, ..
            }) = before
            {
                members.add(&mut memory, &name, value, expire_at);
            }
            let is_next = |record: &mut UndoRecord| matches!(record, UndoRecord::Member { source: other, .. } if *other == source);
            next = match undo.records.pop_if(is_next) {
                Some(UndoRecord::Member { name, before, .. }) => Some((name, before)),
                _ => None,
            };
        }
        let deadline = object.earliest_deadline();
        let entry = keyspace.put_back(position, entry, object, account);
        if deadline != NEVER {
            keyspace.lower_deadline(position, entry, deadline);
            self.lower_due(deadline);
        }
    }

    fn put_contents(&mut self, number: u32, mut contents: Box<Keyspace>) {
        if let Some(keyspace) = self.numbered_mut(number) {
            contents.swap(keyspace);
        }
        // What has come since.
        self.let_go(contents);
        self.refresh_due();
    }
}

#[cfg(test)]
mod tests;
