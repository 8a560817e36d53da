//! Members of large collections as they were before they changed.
//!
//! A large collection changes member by member, and a copy of it for each command that may fail
//! would cost more than the command. So while a stripe records what is to be undone, the
//! collections that it changes are *traced*: a [`MemberTrace`] takes each member before it changes,
//! comes or goes. Which key a traced collection belongs to, and what undoes the records, is known
//! above ([`crate::undo`]); collections only report to what lies below them.

use crate::UnixMs;
use crate::raw::position::Position;
use crate::source::Source;
use crate::text::Text;

/// Bytes that a record counts beside what it holds.
pub(crate) const RECORD_BYTES: usize = 100;

/// The records of one stripe's members, oldest first.
#[derive(Debug, Default)]
pub(crate) struct MemberTrace {
    tables: Vec<TracedTable>,
    records: Vec<MemberRecord>,
    bytes: usize,
}

/// A large collection whose members are recorded.
#[derive(Debug)]
pub(crate) struct TracedTable {
    pub(crate) source: Source,
    /// The number of its keyspace.
    pub(crate) number: u32,
    pub(crate) position: Position,
    pub(crate) key: Box<[u8]>,
}

/// The state of a member before a change, none if it was not there.
#[derive(Debug)]
pub(crate) struct MemberRecord {
    pub(crate) source: Source,
    pub(crate) name: Box<[u8]>,
    pub(crate) before: Option<MemberBefore>,
}

/// A member as it was.
#[derive(Debug)]
pub(crate) struct MemberBefore {
    pub(crate) value: Text<'static>,
    pub(crate) expire_at: Option<UnixMs>,
    pub(crate) bytes: usize,
}

impl MemberTrace {
    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes that the records hold.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Traces one more collection.
    pub(crate) fn trace(&mut self, table: TracedTable) {
        self.tables.push(table);
    }

    pub(crate) fn is_traced(&self, source: Source) -> bool {
        self.table(source).is_some()
    }

    /// The collection of this id, if it is traced.
    pub(crate) fn table(&self, source: Source) -> Option<&TracedTable> {
        self.tables.iter().find(|table| table.source == source)
    }

    /// Numbers of the keyspaces of the traced collections.
    pub(crate) fn keyspaces(&self) -> impl Iterator<Item = u32> {
        self.tables.iter().map(|table| table.number)
    }

    /// Gives the keyspaces of the traced collections other numbers.
    pub(crate) fn renumber(&mut self, other: impl Fn(u32) -> u32) {
        for table in &mut self.tables {
            table.number = other(table.number);
        }
    }

    /// Records a member of a traced collection.
    pub(crate) fn note(&mut self, source: Source, name: &[u8], before: Option<MemberBefore>) {
        let value = before.as_ref().map_or(0, |it| it.bytes);
        self.bytes += RECORD_BYTES + name.len() + value;
        self.records.push(MemberRecord {
            source,
            name: name.into(),
            before,
        });
    }

    /// Takes the latest record, if more than `kept` are left and it is about this collection.
    pub(crate) fn pop_of(&mut self, source: Source, kept: usize) -> Option<MemberRecord> {
        if self.records.len() <= kept {
            return None;
        }
        self.records.pop_if(|record| record.source == source)
    }

    /// The collection that the latest record is about.
    pub(crate) fn latest(&self) -> Option<Source> {
        self.records.last().map(|record| record.source)
    }
}
