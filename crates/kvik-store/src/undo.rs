//! Undoing: what a stripe held before a unit of work changed it.
//!
//! While a stripe keeps an [`Undo`](records::Undo), each change is recorded before it is made, by
//! the same hook that images use ([`before_change`](crate::keyspace::KeyspaceMut::before_change))
//! and, for the members of a large collection, by [`Members`](crate::members::Members). Records are
//! undone in the opposite order.
//!
//! | before | is recorded |
//! |---|---|
//! | the first change of a key | a copy of its value, which shares what is large |
//! | the first change of a key that does not exist | that it does not |
//! | BLESS | whether the key was blessed |
//! | a change of a member of a large collection | the member |
//! | the removal of any value | the value itself, which is freed when the work is kept |
//! | FLUSHDB, SWAPDB | the contents themselves, that two were exchanged |
//!
//! A key whose whole value has been recorded is *settled*: whatever comes later, undoing that
//! record puts everything right. Interests in keys are told when the work is kept, and not at all
//! when it is undone. Access clocks come back with values; how large tables have grown does not,
//! and lists and streams have other reserves of memory than before.

pub(crate) mod records;

use crate::UnixMs;
use crate::garbage::Garbage;
use crate::keyspace::{Keyspace, Payload};
use crate::layout::Layout;
use crate::namespace::TableId;
use crate::raw::deadlines::NEVER;
use crate::raw::position::Position;
use crate::source::Source;
use crate::stripe::Stripe;
use crate::trace::{MemberBefore, MemberRecord, MemberTrace};

use self::records::{UndoRecord, exchange};

/// Keeping and undoing.
impl Stripe {
    /// Records what changes from here on, so that it can be undone. What was recorded before is
    /// kept.
    pub fn begin_undo(&mut self) {
        drop(self.keep_changes());
        self.heap.undo = Some(Box::default());
        self.interests.hold_back();
    }

    /// Bytes that the records hold.
    pub fn undo_bytes(&self) -> usize {
        let keys = self.heap.undo.as_ref().map_or(0, |undo| undo.bytes());
        let members = self.heap.journals.trace.as_ref();
        keys + members.map_or(0, |trace| trace.bytes())
    }

    /// Keeps what has changed since [`begin_undo`](Self::begin_undo) and tells those who are
    /// interested. Returns what is to be freed without the lock.
    pub fn keep_changes(&mut self) -> Option<Garbage> {
        let undo = self.heap.undo.take()?;
        self.heap.journals.trace = None;
        for record in undo.into_records() {
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
        // From here on nothing is recorded.
        let mut undo = self.heap.undo.take()?;
        let mut trace = self.heap.journals.trace.take().unwrap_or_default();
        let mut changed: Vec<_> = undo.keyspaces().chain(trace.keyspaces()).collect();
        loop {
            // Members that were recorded after the latest record of a key are undone before it.
            let kept = undo.members_before();
            while let Some(source) = trace.latest().filter(|_| trace.len() > kept) {
                self.put_members(layout, &mut trace, source, kept);
            }
            match undo.pop() {
                None => break,
                Some(UndoRecord::Key {
                    number,
                    position,
                    key,
                    before,
                }) => self.put_key(layout, number, position, &key, before),
                Some(UndoRecord::Expiry {
                    number,
                    position,
                    key,
                    before,
                }) => self.put_expiry(layout, number, position, &key, before),
                Some(UndoRecord::Blessing {
                    number,
                    position,
                    key,
                    before,
                }) => {
                    let mut keyspace = self.keyspace_mut(TableId(number), layout);
                    keyspace.bless(position, &key, before);
                }
                Some(UndoRecord::Emptied { number, contents }) => {
                    self.put_contents(number, contents);
                }
                Some(UndoRecord::Swapped(a, b)) => {
                    self.swap(TableId(a), TableId(b), layout);
                    // Earlier records of members find their collection where it is now.
                    trace.renumber(exchange(a, b));
                }
            }
        }
        changed.sort_unstable();
        changed.dedup();
        for number in changed {
            self.tell_namespace(TableId(number), layout);
        }
        self.interests.release(false);
        self.take_garbage()
    }

    /// Records a keyspace that is emptied, contents and all; says whether it did.
    pub(crate) fn empty_recorded(&mut self, table: TableId) -> bool {
        let Some(undo) = &self.heap.undo else {
            return false;
        };
        let number = table.0;
        if undo.is_emptied(number) {
            return false;
        }
        let Some(keyspace) = self.numbered_mut(number) else {
            return true;
        };
        let mut contents = Box::<Keyspace>::default();
        contents.swap(keyspace);
        self.note_uncut(table);
        let members = self.heap.members_recorded();
        let undo = self.heap.undo.as_mut().expect("looked at above");
        undo.note_emptied(members, contents, number);
        true
    }

    /// Records that two keyspaces are exchanged.
    pub(crate) fn record_swap(&mut self, a: TableId, b: TableId) {
        let members = self.heap.members_recorded();
        if let Some(undo) = &mut self.heap.undo {
            undo.note_swap(members, a.0, b.0);
        }
        if let Some(trace) = &mut self.heap.journals.trace {
            trace.renumber(exchange(a.0, b.0));
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

    /// Undoes changes of the members of one collection, the latest first, as long as more than
    /// `kept` are recorded. The collection is taken out of its entry once for all of them.
    fn put_members(
        &mut self,
        layout: &Layout,
        trace: &mut MemberTrace,
        source: Source,
        kept: usize,
    ) {
        let table = trace.table(source);
        let table = table.expect("only members of traced collections are recorded");
        let position = table.position;
        let mut keyspace = self.keyspace_mut(TableId(table.number), layout);
        let entry = keyspace.find(position, &table.key);
        let entry = entry.expect("later records have been undone, so the table is there");
        let (mut object, account) = keyspace.take_out(position, entry);
        let members = object.table_mut().expect("it was one when it was traced");
        let mut memory = keyspace.heap.memory_mut(layout);
        while let Some(MemberRecord { name, before, .. }) = trace.pop_of(source, kept) {
            members.delete(&mut memory, &name);
            if let Some(MemberBefore {
                value, expire_at, ..
            }) = before
            {
                members.add(&mut memory, &name, value, expire_at);
            }
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
