//! Copies of large collections that are made in slices, before the command that needs them.
//!
//! A table of members cannot be doubled at once, nor go to another stripe, whose cells are others.
//! So what RENAME and COPY need is built beforehand: a *shadow* grows in the stripe of the
//! destination, some hundred members at a time, and both stripes are let go in between. The command
//! is put off until then; it takes the shadow and puts it in place.
//!
//! ```text
//! source:      [ walked, in hash order | still to be walked ]   -> Batch ->   Shadow
//! its Journal:   names that changed       (changes are met later)
//! ```
//! A member that changes behind the walk is noted in a [`Journal`] and taken over again; that the
//! walk meets a member twice does no harm. Journal and shadow are two halves of one copy, named by
//! the [`Source`] and the stripe it is for. They are begun together, and one without the other is
//! worth nothing: whoever deletes, replaces or moves the source need not know of them. Nothing is
//! seen of either, and both are dropped when nobody has gone on with them for a second.

use crate::UnixMs;
use crate::cells::Member;
use crate::journal::{Journal, SLICE, is_abandoned};
use crate::members::{Members, Tabled};
use crate::memory::{Memory, MemoryMut};
use crate::object::Object;
use crate::source::Source;
use crate::text::{StringRef, Text};

/// Bytes copied while the stripes are held once, about.
const SLICE_BYTES: usize = 128 << 10;

/// The copy itself.
#[derive(Debug)]
pub(crate) struct Shadow {
    pub(crate) source: Source,
    pub(crate) object: Object,
    /// Bytes of its members' cells.
    pub(crate) cell_bytes: usize,
    used: UnixMs,
}

/// Members on their way to a copy. The stripes of both may be one, so they are carried outside of
/// it.
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

/// Collects what is copied next.
pub(crate) fn collect_slice(
    journal: &mut Journal,
    members: &Members,
    memory: Memory<'_>,
    now: UnixMs,
) -> Batch {
    journal.begin_slice(now);
    let mut batch = Batch::default();
    // Of the names that changed a quarter, and half a slice at least: so a slice grows with the
    // changes, and however fast they come, those that wait are a few times as many at most.
    let names = (SLICE / 2).max(journal.pending() / 4);
    collect_changed(journal, names, members, memory, &mut batch);
    walk(journal, members, memory, &mut batch);
    batch
}

/// Collects all that is missing once the walk is complete.
pub(crate) fn collect_rest(mut journal: Journal, members: &Members, memory: Memory<'_>) -> Batch {
    let mut batch = Batch::default();
    // What is pending, and then what has changed since that was taken out.
    for _ in 0..2 {
        collect_changed(&mut journal, usize::MAX, members, memory, &mut batch);
    }
    batch
}

fn collect_changed(
    journal: &mut Journal,
    max: usize,
    members: &Members,
    memory: Memory<'_>,
    batch: &mut Batch,
) {
    journal.refill();
    for _ in 0..max {
        let Some(name) = journal.pop() else {
            return;
        };
        match members.find(memory, &name) {
            // The member as it is now, or that it is gone: how often it has changed since does not
            // matter.
            Some(entry) => batch.add(memory.cells.member(entry)),
            None => batch.add_gone(&name),
        }
        // The last batch takes everything, however large: the copy has to be complete.
        if batch.bytes.len() > SLICE_BYTES && max < usize::MAX {
            return;
        }
    }
}

fn walk(journal: &mut Journal, members: &Members, memory: Memory<'_>, batch: &mut Batch) {
    let Some(from) = journal.next_prefix() else {
        return;
    };
    // Nothing is hidden from a copy: what is due goes along and is deleted there.
    let next = members.view(memory, 0).walk(from, |member| {
        batch.add(member);
        batch.items.len() < SLICE && batch.bytes.len() < SLICE_BYTES
    });
    journal.walked_up_to(next);
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
    pub(crate) fn is_abandoned(&self, now: UnixMs) -> bool {
        is_abandoned(self.used, now)
    }

    /// Takes over members. `memory` is that of its stripe.
    pub(crate) fn put(&mut self, batch: &Batch, memory: &mut MemoryMut<'_>, now: UnixMs) {
        let before = memory.cells.live_bytes();
        let table = self.object.table_mut().expect("a shadow has a table");
        batch.put_into(table, memory);
        // The stripe counts the cells as live from here on; the shadow knows how many of them are
        // its own.
        self.cell_bytes = self.cell_bytes + memory.cells.live_bytes() - before;
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

    fn put_into(&self, table: &mut dyn Tabled, memory: &mut MemoryMut<'_>) {
        let mut start = 0;
        for item in &self.items {
            let name = &self.bytes[start..item.name_end];
            start = item.name_end;
            let value = match item.value {
                Value::Gone => {
                    table.delete(memory, name);
                    continue;
                }
                Value::Int(n) => Text::Int(n),
                Value::Bytes { end, raw } => {
                    start = end;
                    let bytes = self.bytes[item.name_end..end].into();
                    Text::Bytes { bytes, raw }
                }
            };
            // The walk and the changes may both have brought it: the later one counts.
            table.delete(memory, name);
            table.add(memory, name, value, item.expire_at);
        }
    }
}

#[cfg(test)]
mod tests;
