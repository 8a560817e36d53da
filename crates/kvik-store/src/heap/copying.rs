//! The heap's part in copies that are made in slices: members leave for one, and arrive in another;
//! see [`crate::shadow`].

use super::{Content, Heap};
use crate::UnixMs;
use crate::journal::{Journal, is_large};
use crate::layout::Layout;
use crate::members::Members;
use crate::memory::MemoryMut;
use crate::raw::entry_ref::EntryRef;
use crate::shadow::{Batch, Shadow, collect_rest, collect_slice};
use crate::source::{Source, name_source};

/// Where the source is.
impl Heap {
    /// The id shared by all copies in progress of this collection, if there are any.
    pub(crate) fn source(&self, entry: EntryRef) -> Option<Source> {
        let index = self.entry(entry).record.object()?;
        let members = self.objects.get(index).object.members();
        members.and_then(Members::source)
    }

    /// The same, and what it is called from here on if it is large, and a table.
    pub(crate) fn name_source(&mut self, entry: EntryRef) -> Option<Source> {
        let index = self.entry(entry).record.object()?;
        let placed = self.objects.get_mut(index);
        if !is_large(placed.object.len(), placed.bytes) {
            return None;
        }
        let members = placed.object.table_mut()?.members_mut();
        let source = members.source().unwrap_or_else(name_source);
        members.set_source(source);
        Some(source)
    }

    /// Begins a copy of the collection of an entry for the stripe `to`, which is to get what is
    /// returned.
    pub(crate) fn begin_copy(
        &mut self,
        entry: EntryRef,
        source: Source,
        to: usize,
        now: UnixMs,
    ) -> Shadow {
        let object = self.entry(entry).object();
        let (len, shadow) = (object.len(), Shadow::new(source, object, now));
        let journals = &mut self.journals;
        // One that was begun before for the same stripe is worth nothing without its shadow.
        journals.take(source, to);
        journals.put(Journal::new(source, to, len, now));
        shadow
    }

    /// The next members for the copy for the stripe `to`, and whether it is ready then.
    pub(crate) fn collect_slice(
        &mut self,
        entry: EntryRef,
        source: Source,
        to: usize,
        layout: &Layout,
        now: UnixMs,
    ) -> (Batch, bool) {
        let journal = self.journals.take(source, to);
        let mut journal = journal.expect("it was begun");
        let members = self.table_of(entry);
        let batch = collect_slice(&mut journal, members, self.memory(layout), now);
        let is_ready = journal.is_ready();
        self.journals.put(journal);
        (batch, is_ready)
    }

    /// Ends a copy for the stripe `to` if all members have been walked; returns what it still
    /// lacks.
    pub(crate) fn end_copy(
        &mut self,
        entry: EntryRef,
        source: Source,
        to: usize,
        layout: &Layout,
    ) -> Option<Batch> {
        let journals = &mut self.journals;
        journals.get(source, to).filter(|it| it.is_walked())?;
        let journal = journals.take(source, to)?;
        let members = self.table_of(entry);
        Some(collect_rest(journal, members, self.memory(layout)))
    }

    fn table_of(&self, entry: EntryRef) -> &Members {
        let table = self.entry(entry).object().table();
        table.expect("what has a source is a table").members()
    }
}

/// Where the copy is.
impl Heap {
    /// Whether a copy of this collection is being made here.
    pub(crate) fn has_shadow(&self, source: Source) -> bool {
        self.shadows.iter().any(|shadow| shadow.source == source)
    }

    /// Lets a copy be made here, in place of one that was begun before.
    pub(crate) fn add_shadow(&mut self, shadow: Shadow) {
        if let Some(old) = self.remove_shadow(shadow.source) {
            self.discard(old.object);
        }
        self.shadows.push(shadow);
    }

    /// Gives members to the copy of a collection.
    pub(crate) fn feed_shadow(
        &mut self,
        source: Source,
        batch: &Batch,
        layout: &Layout,
        now: UnixMs,
    ) {
        let mut shadows = self.shadows.iter_mut();
        if let Some(shadow) = shadows.find(|shadow| shadow.source == source) {
            // Not through `memory_mut`, which would borrow the shadows as well.
            let mut memory = MemoryMut {
                cells: &mut self.cells,
                journals: &mut self.journals,
                layout,
            };
            shadow.put(batch, &mut memory, now);
        }
    }

    /// Hands over the copy of a collection, to be inserted here.
    pub(crate) fn take_shadow(&mut self, source: Source) -> Option<Content<'static>> {
        let shadow = self.remove_shadow(source)?;
        Some(Content::Built(shadow.object, shadow.cell_bytes))
    }

    fn remove_shadow(&mut self, source: Source) -> Option<Shadow> {
        let mut shadows = self.shadows.iter();
        let at = shadows.position(|shadow| shadow.source == source)?;
        Some(self.shadows.swap_remove(at))
    }
}

impl Heap {
    /// Discards what was begun here of copies with which nobody has gone on since.
    pub(crate) fn discard_abandoned(&mut self, now: UnixMs) {
        self.journals.drop_abandoned(now);
        while let Some(at) = self.shadows.iter().position(|it| it.is_abandoned(now)) {
            let shadow = self.shadows.swap_remove(at);
            self.discard(shadow.object);
        }
    }

    /// Whether a copy is being made here.
    pub(crate) fn has_shadows(&self) -> bool {
        !self.shadows.is_empty()
    }
}
