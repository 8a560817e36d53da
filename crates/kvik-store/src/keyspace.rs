//! One keyspace within one stripe: its table, and its account of the stripe's entries.
//!
//! The entries of all keyspaces of a stripe share one heap. So there are two views of a keyspace,
//! one to read and one to change it, which bring the two together for as long as the stripe is
//! borrowed.
//!
//! Entries change through a [`KeyspaceMut`] only, in these ways:
//!
//! | an entry | by |
//! |---|---|
//! | comes | `insert`, `create` |
//! | goes | `remove`, `take` |
//! | gets another string | `set_text`, `overwrite`, `write_range` |
//! | gets another expiry | `set_expiry` |
//! | has its packed value changed | `splice`, `set_packed` |
//! | lends its collection to an edit | `take_out`, and `put_back` or `give_back` |
//!
//! A whole keyspace goes by [`Keyspace::detach`] and [`Keyspace::swap`]. The members of a
//! collection that is taken out change through [`MemoryMut`](crate::memory::MemoryMut). Access
//! clocks (`set_clock`) are not content.
//!
//! The file is long because every way to change an entry stands here. Each keeps table, account,
//! image and undo in step, which is easiest to check with the others beside it.

mod blessing;

use std::sync::Arc;

use crate::UnixMs;
use crate::blessing::Blessed;
use crate::cells::ValueForm;
use crate::eviction::queue::EvictionQueues;
use crate::heap::{Content, Heap, HeapEntry, Ledger};
use crate::image::Cut;
use crate::layout::{KeyspaceId, Layout};
use crate::namespace::{Namespace, Share, TableId, name_payload};
use crate::object::Object;
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::{Position, Prefix};
use crate::raw::table::{Detached, Keys, Table};
use crate::shape::Sharing;
use crate::slot::SlotCounts;
use crate::text::Text;
use crate::totals::{Noted, Sizes};

/// A stripe's part of a keyspace.
#[derive(Debug)]
pub(crate) struct Keyspace {
    /// Its index among those of its stripe.
    pub(crate) number: u32,
    pub(crate) table: Table,
    /// Number of entries that expire.
    volatile: usize,
    entry_bytes: usize,
    /// See [`Namespace::payload`]; kept where there are namespaces.
    payload: usize,
    /// The entries that an image still lacks, while one is taken.
    pub(crate) cut: Option<Box<Cut>>,
    /// Its namespace, where there are any.
    pub(crate) namespace: Option<Arc<Namespace>>,
    /// The share last added to the totals of the namespace.
    pub(crate) told: Share,
    /// The deadline that others have been told of, where there are namespaces.
    pub(crate) noted_due: UnixMs,
    /// The order of eviction, where it is by queues.
    queues: Option<Box<EvictionQueues>>,
    /// The keys that eviction leaves alone, where there are any.
    pub(crate) blessed: Option<Box<Blessed>>,
    /// The keys of each slot, where stripes hold runs of slots.
    pub(crate) slots: Option<SlotCounts>,
    /// Where its sizes can be read without the lock. Contents that are only kept have no place.
    noted: Option<Noted>,
}

impl Default for Keyspace {
    fn default() -> Self {
        Self {
            table: Table::default(),
            number: 0,
            volatile: 0,
            entry_bytes: 0,
            payload: 0,
            cut: None,
            namespace: None,
            told: Share::default(),
            noted_due: UnixMs::MAX,
            queues: None,
            blessed: None,
            slots: None,
            noted: None,
        }
    }
}

/// All of an entry but its key.
#[derive(Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) content: Content<'a>,
    pub(crate) expire_at: Option<UnixMs>,
    pub(crate) clock: u32,
    /// Whether eviction leaves the key alone.
    pub(crate) is_blessed: bool,
}

impl<'a> Payload<'a> {
    /// An entry of the same key and expiry with `content` as its value.
    pub(crate) fn of(entry: HeapEntry<'_>, content: Content<'a>) -> Self {
        Self {
            content,
            expire_at: entry.expire_at(),
            clock: entry.clock(),
            is_blessed: false,
        }
    }

    /// The same of a key that is blessed, or is not.
    pub(crate) fn blessed(self, is_blessed: bool) -> Self {
        Self { is_blessed, ..self }
    }

    /// When the entry or a member of its value expires, at the earliest. `heap` is where it is to
    /// be inserted.
    pub(crate) fn earliest_deadline(&self, heap: &Heap) -> Option<UnixMs> {
        let members = heap.members_deadline(&self.content);
        self.expire_at.into_iter().chain(members).min()
    }
}

/// The bytes of a collection and of its stripe when the collection was taken out, or begun.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    ledger: Ledger,
    live_bytes: usize,
    /// Of the value, where there are namespaces.
    payload: usize,
}

/// A keyspace to read.
#[derive(Clone, Copy)]
pub(crate) struct KeyspaceRef<'a> {
    pub(crate) keyspace: &'a Keyspace,
    pub(crate) heap: &'a Heap,
}

/// A keyspace to change.
pub(crate) struct KeyspaceMut<'a> {
    pub(crate) keyspace: &'a mut Keyspace,
    pub(crate) heap: &'a mut Heap,
    pub(crate) layout: &'a Layout,
}

/// Answers a table's questions about entries.
pub(crate) struct HeapKeys<'a> {
    pub(crate) heap: &'a Heap,
    pub(crate) layout: &'a Layout,
}

impl Keys for HeapKeys<'_> {
    fn position(&self, entry: EntryRef) -> Position {
        self.layout.position_of_key(self.heap.key(entry))
    }

    fn expiry(&self, entry: EntryRef) -> Option<UnixMs> {
        self.heap.entry(entry).earliest_deadline()
    }

    fn prefetch(&self, entry: EntryRef) {
        self.heap.cells.arena.directory().prefetch(entry);
    }
}

impl Account {
    /// Bytes of the stripe's entries at that time.
    pub(crate) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// The payload of the value at that time.
    pub(crate) fn payload(&self) -> usize {
        self.payload
    }

    /// The payload of a value before it changes where it lies.
    pub(crate) fn of_payload(payload: usize) -> Self {
        Self {
            payload,
            ..Self::default()
        }
    }

    /// Whether the collection lay packed in an entry, or is new.
    pub(crate) fn was_packed(&self) -> bool {
        self.ledger.is_packed()
    }

    /// The account before a collection with cells of `bytes` was begun.
    pub(crate) fn before(self, bytes: usize) -> Self {
        Self {
            ledger: self.ledger.before(bytes),
            live_bytes: self.live_bytes - bytes,
            payload: self.payload,
        }
    }
}

impl Heap {
    /// The account of a collection that is begun now.
    pub(crate) fn account(&self) -> Account {
        Account {
            ledger: self.ledger(),
            live_bytes: self.live_bytes(),
            payload: 0,
        }
    }
}

impl Keyspace {
    /// An empty keyspace that notes its sizes there.
    pub(crate) fn noting(noted: Noted) -> Self {
        Self {
            noted: Some(noted),
            ..Self::default()
        }
    }

    /// Keys and bytes.
    pub(crate) fn sizes(&self) -> Sizes {
        Sizes {
            keys: self.len() as u64,
            volatile: self.volatile as u64,
            entry_bytes: self.entry_bytes as u64,
            table_bytes: (self.bytes() - self.entry_bytes) as u64,
        }
    }

    /// Its part in the totals of its namespace. A table without keys is on its way out, and counts
    /// as nothing.
    pub(crate) fn share(&self) -> Share {
        if self.len() == 0 {
            return Share::default();
        }
        Share {
            keys: self.len() as u64,
            volatile: self.volatile as u64,
            bytes: self.bytes() as u64,
            payload: self.payload as u64,
        }
    }

    /// The queues of eviction, which [`Self::put_queues`] is to get back.
    pub(crate) fn take_queues(&mut self) -> Option<Box<EvictionQueues>> {
        self.queues.take()
    }

    pub(crate) fn put_queues(&mut self, queues: Box<EvictionQueues>) {
        self.queues = Some(queues);
        self.note_sizes();
    }

    /// Notes keys and bytes where they can be read without the lock. Every change of them ends so.
    #[inline]
    pub(crate) fn note_sizes(&self) {
        if let Some(noted) = &self.noted {
            noted.note(self.sizes());
        }
    }

    /// Notes a time before which no key expires, if it is another one than before; returns that.
    pub(crate) fn note_due(&mut self, at: UnixMs) -> Option<UnixMs> {
        let before = std::mem::replace(&mut self.noted_due, at);
        if before == at {
            return None;
        }
        self.noted.iter().for_each(|noted| noted.note_due(at));
        Some(before)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn volatile_len(&self) -> usize {
        self.volatile
    }

    /// Bytes of entries, table, queues and the names of blessed keys.
    pub(crate) fn bytes(&self) -> usize {
        let queues = self.queues.as_ref().map_or(0, |queues| queues.bytes());
        let blessed = self.blessed.as_ref().map_or(0, |blessed| blessed.bytes());
        self.entry_bytes + self.table.bytes() + queues + blessed
    }

    /// The database that it belongs to, if it has the number `table`.
    pub(crate) fn database(&self, table: TableId) -> KeyspaceId {
        let namespace = self.namespace.as_ref();
        namespace.map_or(KeyspaceId(table.0), |namespace| namespace.database())
    }

    /// A time before which no key expires.
    pub(crate) fn next_due(&self) -> UnixMs {
        self.table.earliest_deadline()
    }

    /// Empties the keyspace; its entries are still to be freed.
    pub(crate) fn detach(&mut self) -> Detached {
        (self.volatile, self.entry_bytes, self.payload) = (0, 0, 0);
        self.queues = None;
        self.blessed = None;
        self.slots.iter_mut().for_each(SlotCounts::clear);
        let detached = self.table.detach();
        self.note_sizes();
        detached
    }

    /// Exchanges the contents of two keyspaces.
    pub(crate) fn swap(&mut self, other: &mut Self) {
        self.table.swap(&mut other.table);
        std::mem::swap(&mut self.volatile, &mut other.volatile);
        std::mem::swap(&mut self.entry_bytes, &mut other.entry_bytes);
        std::mem::swap(&mut self.payload, &mut other.payload);
        // An image has the contents, under the number that they had at the cut. The places where
        // sizes are noted stay with the numbers.
        std::mem::swap(&mut self.cut, &mut other.cut);
        std::mem::swap(&mut self.queues, &mut other.queues);
        std::mem::swap(&mut self.blessed, &mut other.blessed);
        self.swap_slots(other);
        self.note_sizes();
        other.note_sizes();
    }
}

impl Keyspace {
    /// Exchanges the counts of slots. Contents that are kept for an image or an undo begin without.
    fn swap_slots(&mut self, other: &mut Self) {
        let counts = self.slots.as_ref().or(other.slots.as_ref());
        let Some(none) = counts.map(SlotCounts::emptied) else {
            return;
        };
        let ours = self.slots.take().unwrap_or_else(|| none.clone());
        let theirs = other.slots.take().unwrap_or(none);
        (self.slots, other.slots) = (Some(theirs), Some(ours));
    }
}

impl<'a> KeyspaceRef<'a> {
    #[inline]
    pub(crate) fn find(self, position: Position, key: &[u8]) -> Option<EntryRef> {
        let is_it = |entry| self.heap.entry(entry).has_key(key);
        self.keyspace.table.find(position, is_it)
    }

    /// A key's entry, and what it says.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "what it returns would go through memory, in pieces"
    )]
    pub(crate) fn look_up(
        self,
        position: Position,
        key: &[u8],
    ) -> Option<(EntryRef, HeapEntry<'a>)> {
        let mut found = None;
        let is_it = |entry| {
            let there = self.heap.entry(entry);
            let is_it = there.has_key(key);
            if is_it {
                found = Some(there);
            }
            is_it
        };
        let entry = self.keyspace.table.find(position, is_it)?;
        Some((entry, found?))
    }

    #[inline]
    pub(crate) fn entry(self, entry: EntryRef) -> HeapEntry<'a> {
        self.heap.entry(entry)
    }

    /// Visits entries in hash order; see [`Table::walk`].
    pub(crate) fn walk(
        self,
        layout: &Layout,
        from: Prefix,
        mut visit: impl FnMut(HeapEntry<'a>) -> bool,
    ) -> Option<Prefix> {
        let keys = HeapKeys {
            heap: self.heap,
            layout,
        };
        let visit = |entry| visit(self.heap.entry(entry));
        self.keyspace.table.walk(from, &keys, visit)
    }

    pub(crate) fn sample(self, random: u64) -> Option<HeapEntry<'a>> {
        let entry = self.keyspace.table.sample(random)?;
        Some(self.heap.entry(entry))
    }
}

impl<'a> KeyspaceMut<'a> {
    #[inline]
    pub(crate) fn find(&self, position: Position, key: &[u8]) -> Option<EntryRef> {
        self.read().find(position, key)
    }

    /// Sets the access clock.
    #[inline]
    pub(crate) fn set_clock(&mut self, entry: EntryRef, clock: u32) {
        self.heap.set_clock(entry, clock);
    }

    /// Adds the entry of a key that has none.
    pub(crate) fn insert(&mut self, position: Position, key: &[u8], new: Payload<'_>) -> EntryRef {
        let Payload {
            content,
            expire_at,
            clock,
            is_blessed,
        } = new;
        self.before_making(position, key);
        if is_blessed {
            self.bless(position, key, true);
        }
        // What lies in the heap already is counted there already, and belongs to no keyspace yet.
        let before = self.heap.live_bytes() - self.heap.bytes_in_place(&content);
        let entry = self
            .heap
            .insert(key, content, expire_at, clock, self.layout);
        self.enter(position, entry, before);
        entry
    }

    /// Makes room for so many keys, where there are none yet.
    pub(crate) fn expect(&mut self, len: usize) {
        let keys = HeapKeys {
            heap: self.heap,
            layout: self.layout,
        };
        self.keyspace.table.expect(len, &keys);
    }

    /// Takes a new entry into table and account. `before` is what the heap accounted for without
    /// it.
    fn enter(&mut self, position: Position, entry: EntryRef, before: usize) {
        self.keyspace.entry_bytes += self.heap.live_bytes() - before;
        let volatile = self.heap.entry(entry).expire_at().is_some();
        self.keyspace.volatile += usize::from(volatile);
        let keys = HeapKeys {
            heap: self.heap,
            layout: self.layout,
        };
        self.keyspace.table.insert(position, entry, &keys);
        // A key that comes is in no queue; one that goes stays in its queue until it is met there.
        if let Some(queues) = &mut self.keyspace.queues {
            queues.enter(position);
        }
        if self.keyspace.namespace.is_some() {
            self.keyspace.payload += self.payload_with_name(entry);
        }
        if let Some(slots) = &mut self.keyspace.slots {
            slots.add(self.heap.key(entry));
        }
        self.keyspace.note_sizes();
    }

    /// The bytes that an entry counts in [`Namespace::payload`].
    #[inline(never)]
    fn payload_with_name(&self, entry: EntryRef) -> usize {
        let there = self.heap.entry(entry);
        name_payload(there.key()) + there.payload()
    }

    /// The payload of a value that is about to change, where anybody asks for it.
    #[inline]
    pub(crate) fn payload_before(&self, entry: EntryRef) -> usize {
        match self.keyspace.namespace {
            None => 0,
            Some(_) => self.heap.entry(entry).payload(),
        }
    }

    /// Takes into account that a value had this payload before it changed.
    #[inline]
    pub(crate) fn recount(&mut self, entry: EntryRef, before: usize) {
        if self.keyspace.namespace.is_some() {
            let new = self.heap.entry(entry).payload();
            self.keyspace.payload += new;
            self.keyspace.payload -= before;
        }
    }

    /// Ends a change of an entry, which may have moved: `before` is what the heap accounted for
    /// before it.
    fn moved(&mut self, position: Position, from: EntryRef, to: EntryRef, before: usize) {
        self.keyspace.entry_bytes += self.heap.live_bytes();
        self.keyspace.entry_bytes -= before;
        if to != from {
            self.keyspace.table.replace(position, from, to);
        }
        // The table stays as large as it was.
        if let Some(noted) = &self.keyspace.noted {
            noted.note_entry_bytes(self.keyspace.entry_bytes as u64);
        }
    }

    /// Removes an entry, with its value.
    pub(crate) fn remove(&mut self, position: Position, entry: EntryRef) {
        if self.is_undoable() {
            return self.remove_recorded(position, entry);
        }
        self.forget(position, entry);
        self.heap.free(entry);
    }

    /// Removes an entry and returns all but its key, to be inserted again: where it `stays`, in the
    /// same heap.
    pub(crate) fn take(
        &mut self,
        position: Position,
        entry: EntryRef,
        stays: bool,
    ) -> Payload<'static> {
        if self.is_undoable()
            && let Some(copy) = self.take_recorded(position, entry)
        {
            return copy;
        }
        let is_blessed = self.forget(position, entry);
        let there = self.heap.entry(entry);
        let (expire_at, clock) = (there.expire_at(), there.clock());
        Payload {
            content: self.heap.take(entry, stays, self.layout),
            expire_at,
            clock,
            is_blessed,
        }
    }

    /// A copy of all but the key, with its blessing.
    pub(crate) fn copy(&mut self, entry: EntryRef) -> Payload<'static> {
        let content = self.heap.copy(entry, self.layout);
        let is_blessed = self.keyspace.blessed.is_some() && {
            let position = self.layout.position_of_key(self.heap.key(entry));
            self.read().is_blessed(position, entry)
        };
        Payload::of(self.heap.entry(entry), content).blessed(is_blessed)
    }

    #[inline]
    pub(crate) fn entry(&self, entry: EntryRef) -> HeapEntry<'_> {
        self.heap.entry(entry)
    }

    /// Replaces the value by a string.
    pub(crate) fn set_text(
        &mut self,
        position: Position,
        entry: EntryRef,
        text: Text<'_>,
    ) -> EntryRef {
        // A table is recorded member by member: here all of it goes, which is recorded as one.
        if self.is_undoable() && self.heap.is_table(entry) {
            return self.replace_recorded(position, entry, text);
        }
        let before = self.payload_before(entry);
        let (to, ()) = self.change(position, entry, |heap| (heap.set_text(entry, text), ()));
        self.recount(to, before);
        to
    }

    /// Writes another string over one that takes a cell of the same size, and with it the access
    /// clock if there is one; says whether it did.
    #[inline]
    pub(crate) fn overwrite(
        &mut self,
        position: Position,
        entry: EntryRef,
        text: &Text<'_>,
        clock: Option<u32>,
    ) -> bool {
        self.before_change(position, entry);
        let before = self.payload_before(entry);
        let is_done = self.heap.cells.overwrite(entry, text, clock);
        self.recount(entry, before);
        is_done
    }

    /// Overwrites part of a string; returns the entry and the string's length.
    pub(crate) fn write_range(
        &mut self,
        position: Position,
        entry: EntryRef,
        offset: usize,
        bytes: &[u8],
    ) -> (EntryRef, usize) {
        let before = self.payload_before(entry);
        let (to, len) = self.change(position, entry, |heap| {
            heap.write_range(entry, offset, bytes)
        });
        self.recount(to, before);
        (to, len)
    }

    /// Makes room of `new` bytes in the place of `old` ones at the offset `at` of a packed value,
    /// which still fits beside the key then. Returns the entry and the value.
    #[inline]
    pub(crate) fn splice(
        mut self,
        position: Position,
        entry: EntryRef,
        at: usize,
        old: usize,
        new: usize,
    ) -> (EntryRef, &'a mut [u8]) {
        self.before_change(position, entry);
        let before = self.heap.live_bytes();
        let (to, value) = self.heap.cells.splice(entry, at, old, new);
        if to != entry {
            self.moved(position, entry, to, before);
        }
        (to, &mut self.heap.cells.arena.bytes_mut(to)[value])
    }

    /// Replaces a packed value by another one, if that fits beside the key, and says whether it
    /// does.
    pub(crate) fn set_packed(
        mut self,
        position: Position,
        entry: EntryRef,
        form: ValueForm,
        bytes: &[u8],
    ) -> bool {
        self.before_change(position, entry);
        let (before, payload) = (self.heap.live_bytes(), self.payload_before(entry));
        let to = self.heap.cells.set_packed(entry, form, bytes);
        if let Some(to) = to.filter(|to| *to != entry) {
            self.moved(position, entry, to, before);
        }
        if let Some(to) = to {
            self.recount(to, payload);
        }
        to.is_some()
    }

    /// Takes the collection of an entry out, to change it.
    pub(crate) fn take_out(&mut self, position: Position, entry: EntryRef) -> (Object, Account) {
        self.before_change(position, entry);
        let (live_bytes, payload) = (self.heap.live_bytes(), self.payload_before(entry));
        let (object, ledger) = self.heap.take_out(entry);
        let account = Account {
            ledger,
            live_bytes,
            payload,
        };
        (object, account)
    }

    /// Stores a collection that was taken out and has changed, and says where the entry is then.
    pub(crate) fn put_back(
        &mut self,
        position: Position,
        entry: EntryRef,
        object: Object,
        account: Account,
    ) -> EntryRef {
        let to = self.heap.put_back(entry, object, account.ledger);
        self.moved(position, entry, to, account.live_bytes);
        self.recount(to, account.payload);
        to
    }

    /// Gives back a collection that was taken out and has not changed.
    pub(crate) fn give_back(&mut self, object: Object, account: Account) {
        self.heap.restore(object, account.ledger);
    }

    /// Adds the entry of a key that has none, with a collection that was begun when `account` was
    /// taken.
    pub(crate) fn create(
        &mut self,
        position: Position,
        key: &[u8],
        object: Object,
        account: Account,
        clock: u32,
    ) -> EntryRef {
        self.before_making(position, key);
        let entry = self.heap.create(key, object, account.ledger, clock);
        self.enter(position, entry, account.live_bytes);
        entry
    }

    /// Adds the entry of a key that has none, with a packed collection that fits into it.
    pub(crate) fn create_packed(
        &mut self,
        position: Position,
        key: &[u8],
        form: ValueForm,
        bytes: &[u8],
        clock: u32,
    ) -> EntryRef {
        self.before_making(position, key);
        let before = self.heap.live_bytes();
        let entry = self.heap.create_packed(key, form, bytes, clock);
        self.enter(position, entry, before);
        entry
    }

    /// Lets a packed hash share the names of its fields with others; see
    /// [`Heap::share_names`].
    pub(crate) fn share_names(&mut self, position: Position, entry: EntryRef) -> EntryRef {
        let layout = self.layout;
        let share = |heap: &mut Heap| (heap.share_names(entry, layout, Sharing::WhenMet), ());
        self.change(position, entry, share).0
    }

    /// Notes that a member of an entry's collection expires at `at`.
    pub(crate) fn lower_deadline(&mut self, position: Position, entry: EntryRef, at: UnixMs) {
        self.keyspace.table.lower_deadline(position, entry, at);
        self.keyspace.note_sizes();
    }

    /// Sets or clears when the key expires.
    pub(crate) fn set_expiry(
        &mut self,
        position: Position,
        entry: EntryRef,
        expire_at: Option<UnixMs>,
    ) -> EntryRef {
        if self.is_undoable() {
            self.record_expiry(position, entry);
        }
        let was_volatile = self.heap.entry(entry).expire_at().is_some();
        self.keyspace.volatile -= usize::from(was_volatile);
        self.keyspace.volatile += usize::from(expire_at.is_some());
        // The deadline in the table may stay too early, which costs a look when its time comes;
        // never too late.
        let set = |heap: &mut Heap| (heap.set_expiry(entry, expire_at), ());
        let (entry, ()) = self.change(position, entry, set);
        match expire_at {
            Some(at) => self.lower_deadline(position, entry, at),
            None => self.keyspace.note_sizes(),
        }
        entry
    }

    /// An entry that is due, and when it was; see [`Table::next_due`].
    pub(crate) fn next_due(
        &mut self,
        now: UnixMs,
        looks: &mut usize,
    ) -> Option<(UnixMs, EntryRef)> {
        let keys = HeapKeys {
            heap: self.heap,
            layout: self.layout,
        };
        self.keyspace.table.next_due(now, looks, &keys)
    }

    /// The entry that is due first; see [`Table::first_due`].
    pub(crate) fn first_due(&mut self, looks: usize) -> Option<(UnixMs, EntryRef)> {
        let keys = HeapKeys {
            heap: self.heap,
            layout: self.layout,
        };
        self.keyspace.table.first_due(looks, &keys)
    }

    #[inline]
    pub(crate) fn read(&self) -> KeyspaceRef<'_> {
        KeyspaceRef {
            keyspace: self.keyspace,
            heap: self.heap,
        }
    }

    /// Takes an entry out of table and account; says whether its key was blessed.
    fn forget(&mut self, position: Position, entry: EntryRef) -> bool {
        self.before_change(position, entry);
        let was_blessed = self.end_blessing(position, entry);
        let there = self.heap.entry(entry);
        self.keyspace.entry_bytes -= there.bytes();
        if self.keyspace.namespace.is_some() {
            self.keyspace.payload -= self.payload_with_name(entry);
        }
        if let Some(slots) = &mut self.keyspace.slots {
            slots.take(there.key());
        }
        self.keyspace.volatile -= usize::from(there.expire_at().is_some());
        let keys = HeapKeys {
            heap: self.heap,
            layout: self.layout,
        };
        self.keyspace.table.remove(position, entry, &keys);
        self.keyspace.note_sizes();
        was_blessed
    }

    /// Changes an entry, which may move it, and keeps table and account.
    fn change<R>(
        &mut self,
        position: Position,
        entry: EntryRef,
        change: impl FnOnce(&mut Heap) -> (EntryRef, R),
    ) -> (EntryRef, R) {
        self.before_change(position, entry);
        let before = self.heap.live_bytes();
        let (to, result) = change(self.heap);
        self.moved(position, entry, to, before);
        (to, result)
    }
}
