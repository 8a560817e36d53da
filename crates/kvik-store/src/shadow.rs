//! Copies of large collections that are made in slices, before the command that needs them.
//!
//! A table of members cannot be doubled at once, nor go to another stripe, whose cells are others. So what RENAME and COPY
//! need is built beforehand: a *shadow* grows in the stripe of the destination, some hundred members at a time, and both
//! stripes are let go in between. The command is put off until then; it takes the shadow and puts it in place.
//!
//! ```text
//! source:      [ walked, in hash order | still to be walked ]      -> Batch ->      Shadow, beside the destination
//! its Journal:   names that changed       (changes are met later)
//! ```
//! A member that changes behind the walk is noted in a [`Journal`] and taken over again; that the walk meets a member twice
//! does no harm. Journal and shadow are two halves of one copy, named by the [`Source`] and the stripe it is for. They are
//! begun together, and one without the other is worth nothing: whoever deletes, replaces or moves the source need not know
//! of them. Nothing is seen of either, and both are dropped when nobody has gone on with them for a second.

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::UnixMs;
use crate::hash::Hash;
use crate::layout::Layout;
use crate::members::Members;
use crate::object::Object;
use crate::raw::arena::EntryRef;
use crate::raw::cells::{Cells, Text};
use crate::raw::record::Member;
use crate::set::Set;
use crate::value::StringRef;
use crate::zset::Zset;

/// Members copied while the stripes are held once, and about how many bytes. Tests get to the ends sooner.
const SLICE: usize = if cfg!(test) { 32 } else { 256 };
const SLICE_BYTES: usize = 128 << 10;
/// Collections that are not larger are copied at once.
const AT_ONCE: usize = if cfg!(test) { 100 } else { 1024 };
const AT_ONCE_BYTES: usize = 256 << 10;
/// Slices after which a walk that is complete does not wait any longer for the changes to become few: they are made faster
/// than they can be taken over.
const LAST_SLICES: u32 = 100;
/// After so long nobody will go on with a copy.
const KEPT_MS: UnixMs = 1000;
/// Where a walk is when it is complete: behind every prefix.
const END: u64 = 1 << 32;

/// Names a collection of which copies are being made, in this process and for ever.
pub(crate) type Source = NonZeroU64;

static SOURCES: AtomicU64 = AtomicU64::new(1);

/// A collection whose members are in a table, as a copy is made of it.
pub(crate) trait Tabled {
    fn members(&self) -> &Members;

    fn members_mut(&mut self) -> &mut Members;

    /// Adds a member that is not there.
    fn add(
        &mut self,
        cells: &mut Cells,
        layout: &Layout,
        name: &[u8],
        value: Text<'_>,
        expire_at: Option<UnixMs>,
    );

    /// Deletes a member that is there.
    fn take_off(&mut self, cells: &mut Cells, layout: &Layout, member: EntryRef);

    /// Deletes a member if it is there.
    fn delete(&mut self, cells: &mut Cells, layout: &Layout, name: &[u8]) {
        if let Some(member) = self.members().find(cells, layout, name) {
            self.take_off(cells, layout, member);
        }
    }
}

/// What changes in collections of which copies are being made: in those of one stripe.
#[derive(Debug, Default)]
pub(crate) struct Journals(Vec<Journal>);

/// How far the copy of a collection has come.
#[derive(Debug)]
pub(crate) struct Journal {
    source: Source,
    /// The stripe it is made for.
    to: usize,
    /// Members whose hash has a lower prefix have been walked.
    walked: u64,
    /// Those of them that have changed since.
    changed: HashSet<Box<[u8]>>,
    /// The same, while they are being taken over.
    pending: Vec<Box<[u8]>>,
    /// Bytes of all these names.
    name_bytes: usize,
    /// How many may be noted; if there are more, it is quicker to begin anew.
    limit: usize,
    overflown: bool,
    /// Slices since the walk was complete.
    last_slices: u32,
    used: UnixMs,
}

/// The copy itself.
#[derive(Debug)]
pub(crate) struct Shadow {
    pub(crate) source: Source,
    pub(crate) object: Object,
    /// Bytes of its members' cells.
    pub(crate) cell_bytes: usize,
    used: UnixMs,
}

/// Members on their way to a copy. The stripes of both may be one, so they are carried outside of it.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

/// A member of a batch; its name begins where the bytes before it end.
#[derive(Debug)]
struct Item {
    name_end: usize,
    value: Value,
    expire_at: Option<UnixMs>,
}

#[derive(Debug)]
enum Value {
    /// There is no such member any more.
    Gone,
    Int(i64),
    /// Bytes from the end of the name on.
    Bytes {
        end: usize,
        raw: bool,
    },
}

/// A name for a collection that has none.
pub(crate) fn name_source() -> Source {
    let number = SOURCES.fetch_add(1, Ordering::Relaxed);
    Source::new(number).expect("2^64 copies take centuries")
}

/// Whether a copy of so many members with so many bytes is made in slices.
pub(crate) fn is_large(len: usize, bytes: usize) -> bool {
    len > AT_ONCE || bytes > AT_ONCE_BYTES
}

impl Object {
    /// The collection, if its members are in a table.
    pub(crate) fn table(&self) -> Option<&dyn Tabled> {
        match self {
            Self::Hash(Hash::Table(members)) | Self::Set(Set::Table(members)) => Some(&**members),
            Self::Zset(Zset::Table(table)) => Some(&**table),
            _ => None,
        }
    }

    /// The same, to change it.
    pub(crate) fn table_mut(&mut self) -> Option<&mut dyn Tabled> {
        match self {
            Self::Hash(Hash::Table(members)) | Self::Set(Set::Table(members)) => {
                Some(&mut **members)
            }
            Self::Zset(Zset::Table(table)) => Some(&mut **table),
            _ => None,
        }
    }

    /// An empty one of the same type with a table.
    fn empty_like(&self) -> Self {
        match self {
            Self::Hash(_) => Hash::Table(Box::default()).into(),
            Self::Set(_) => Set::Table(Box::default()).into(),
            Self::Zset(_) => Zset::Table(Box::default()).into(),
            Self::List(_) | Self::Stream(_) => unreachable!("they have no table"),
        }
    }
}

impl Journals {
    /// Notes that a member with this prefix and name has changed, or come or gone; says whether copies are being made.
    pub(crate) fn note(&mut self, source: Source, prefix: u32, name: &[u8]) -> bool {
        let mut copied = false;
        for journal in self.0.iter_mut().filter(|it| it.source == source) {
            journal.note(prefix, name);
            copied = true;
        }
        copied
    }

    pub(crate) fn get(&self, source: Source, to: usize) -> Option<&Journal> {
        let mut journals = self.0.iter();
        journals.find(|it| it.source == source && it.to == to)
    }

    pub(crate) fn take(&mut self, source: Source, to: usize) -> Option<Journal> {
        let is_it = |it: &Journal| it.source == source && it.to == to;
        let at = self.0.iter().position(is_it)?;
        Some(self.0.swap_remove(at))
    }

    pub(crate) fn put(&mut self, journal: Journal) {
        self.0.push(journal);
    }

    /// Drops those of copies that nobody has gone on with.
    pub(crate) fn drop_left(&mut self, now: UnixMs) {
        self.0.retain(|journal| !is_left(journal.used, now));
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Journal>() + self.0.iter().map(Journal::bytes).sum::<usize>()
    }
}

impl Journal {
    /// Of a copy that is to be made of a collection of `len` members.
    pub(crate) fn new(source: Source, to: usize, len: usize, now: UnixMs) -> Self {
        Self {
            source,
            to,
            walked: 0,
            changed: HashSet::new(),
            pending: Vec::new(),
            name_bytes: 0,
            limit: len,
            overflown: false,
            last_slices: 0,
            used: now,
        }
    }

    /// Whether more changed than is worth taking over.
    pub(crate) fn is_overflown(&self) -> bool {
        self.overflown
    }

    /// Whether every member has been walked, so that what is missing is known.
    pub(crate) fn is_walked(&self) -> bool {
        self.walked == END
    }

    /// Whether so little is missing that the command can take it over itself.
    pub(crate) fn is_ready(&self) -> bool {
        let missing = self.changed.len() + self.pending.len();
        self.is_walked() && (missing <= SLICE || self.last_slices >= LAST_SLICES)
    }

    /// Collects what is copied next.
    pub(crate) fn collect_slice(
        &mut self,
        members: &Members,
        cells: &Cells,
        layout: &Layout,
        now: UnixMs,
    ) -> Batch {
        self.used = now;
        self.last_slices += u32::from(self.is_walked());
        let mut batch = Batch::default();
        // A part of what is pending, so that however fast members change, it is a few times as many at most.
        let names = (SLICE / 2).max(self.pending.len() / 4);
        self.collect_changed(names, members, cells, layout, &mut batch);
        self.walk(members, cells, layout, &mut batch);
        batch
    }

    /// Collects all that is missing once the walk is complete.
    pub(crate) fn collect_rest(
        mut self,
        members: &Members,
        cells: &Cells,
        layout: &Layout,
    ) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..2 {
            self.collect_changed(usize::MAX, members, cells, layout, &mut batch);
        }
        batch
    }

    fn collect_changed(
        &mut self,
        max: usize,
        members: &Members,
        cells: &Cells,
        layout: &Layout,
        batch: &mut Batch,
    ) {
        if self.pending.is_empty() {
            self.pending.extend(self.changed.drain());
        }
        for _ in 0..max {
            let Some(name) = self.pending.pop() else {
                return;
            };
            self.name_bytes -= name.len();
            match members.find(cells, layout, &name) {
                Some(entry) => batch.add(cells.member(entry)),
                None => batch.add_gone(&name),
            }
            if batch.bytes.len() > SLICE_BYTES && max < usize::MAX {
                return;
            }
        }
    }

    fn walk(&mut self, members: &Members, cells: &Cells, layout: &Layout, batch: &mut Batch) {
        let Some(from) = u32::try_from(self.walked).ok() else {
            return;
        };
        let next = members.view(cells, layout, 0).walk(from, |member| {
            batch.add(member);
            batch.items.len() < SLICE && batch.bytes.len() < SLICE_BYTES
        });
        self.walked = next.map_or(END, u64::from);
    }

    fn note(&mut self, prefix: u32, name: &[u8]) {
        let is_to_come = u64::from(prefix) >= self.walked;
        if is_to_come || self.overflown || self.changed.contains(name) {
            return;
        }
        if self.changed.len() >= self.limit {
            *self = Self {
                overflown: true,
                ..Self::new(self.source, self.to, 0, self.used)
            };
            return;
        }
        self.changed.insert(name.into());
        self.name_bytes += name.len();
    }

    fn bytes(&self) -> usize {
        // A byte of control for each place.
        self.changed.capacity() * (size_of::<Box<[u8]>>() + 1)
            + self.pending.capacity() * size_of::<Box<[u8]>>()
            + self.name_bytes
    }
}

impl Shadow {
    /// An empty one, of a collection like `object`.
    pub(crate) fn new(source: Source, object: &Object, now: UnixMs) -> Self {
        Self {
            source,
            object: object.empty_like(),
            cell_bytes: 0,
            used: now,
        }
    }

    /// Whether nobody has gone on with it.
    pub(crate) fn is_left(&self, now: UnixMs) -> bool {
        is_left(self.used, now)
    }

    /// Takes over members, whose cells are those of its stripe.
    pub(crate) fn put(&mut self, batch: &Batch, cells: &mut Cells, layout: &Layout, now: UnixMs) {
        let before = cells.live_bytes();
        let table = self.object.table_mut().expect("a shadow has a table");
        batch.put_into(table, cells, layout);
        self.cell_bytes = self.cell_bytes + cells.live_bytes() - before;
        self.used = now;
    }
}

impl Batch {
    fn add(&mut self, member: Member<'_>) {
        self.bytes.extend_from_slice(member.key());
        let name_end = self.bytes.len();
        let value = match member.string() {
            StringRef::Int(n) => Value::Int(n),
            StringRef::Bytes(bytes) => {
                self.bytes.extend_from_slice(bytes);
                let end = self.bytes.len();
                let raw = member.is_raw();
                Value::Bytes { end, raw }
            }
        };
        let expire_at = member.expire_at();
        self.items.push(Item {
            name_end,
            value,
            expire_at,
        });
    }

    fn add_gone(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.items.push(Item {
            name_end: self.bytes.len(),
            value: Value::Gone,
            expire_at: None,
        });
    }

    fn put_into(&self, table: &mut dyn Tabled, cells: &mut Cells, layout: &Layout) {
        let mut start = 0;
        for item in &self.items {
            let name = &self.bytes[start..item.name_end];
            start = item.name_end;
            let value = match item.value {
                Value::Gone => {
                    table.delete(cells, layout, name);
                    continue;
                }
                Value::Int(n) => Text::Int(n),
                Value::Bytes { end, raw } => {
                    start = end;
                    let bytes = self.bytes[item.name_end..end].into();
                    Text::Bytes { bytes, raw }
                }
            };
            table.delete(cells, layout, name);
            table.add(cells, layout, name, value, item.expire_at);
        }
    }
}

fn is_left(used: UnixMs, now: UnixMs) -> bool {
    used.saturating_add(KEPT_MS) < now
}

#[cfg(test)]
mod tests;
