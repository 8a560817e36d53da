//! Entries and the opaque references to them.
//!
//! A slab of fixed chunks, so that growing never moves an entry. A reference is meaningful only to the slab that gave it.

use std::num::NonZeroU32;

use crate::UnixMs;
use crate::value::Value;

const CHUNK: usize = 512;

/// Names an entry of one slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryRef(NonZeroU32);

/// A key with all that belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Box<[u8]>,
    pub(crate) value: Value,
    pub(crate) expire_at: Option<UnixMs>,
    /// See [`crate::AccessPolicy`].
    pub(crate) clock: u32,
}

/// All entries of a keyspace within one stripe.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    chunks: Vec<Vec<Option<Entry>>>,
    free: Vec<EntryRef>,
}

impl EntryRef {
    pub(crate) fn from_index(index: usize) -> Self {
        let number = u32::try_from(index + 1).expect("a stripe holds fewer than 2^32 entries");
        Self(NonZeroU32::new(number).expect("one was added"))
    }

    #[inline]
    fn split(self) -> (usize, usize) {
        let index = self.0.get() as usize - 1;
        (index / CHUNK, index % CHUNK)
    }
}

impl Entry {
    /// Bytes this entry accounts for: itself and what it allocated.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Option<Self>>() + self.key.len() + self.value.heap_bytes()
    }
}

impl Entries {
    #[inline]
    pub(crate) fn get(&self, entry: EntryRef) -> &Entry {
        let (chunk, at) = entry.split();
        self.chunks[chunk][at]
            .as_ref()
            .expect("references die with their entry")
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, entry: EntryRef) -> &mut Entry {
        let (chunk, at) = entry.split();
        self.chunks[chunk][at]
            .as_mut()
            .expect("references die with their entry")
    }

    pub(crate) fn insert(&mut self, entry: Entry) -> EntryRef {
        if let Some(free) = self.free.pop() {
            let (chunk, at) = free.split();
            self.chunks[chunk][at] = Some(entry);
            return free;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::new());
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("pushed above");
        chunk.push(Some(entry));
        EntryRef::from_index(before + chunk.len() - 1)
    }

    pub(crate) fn remove(&mut self, entry: EntryRef) -> Entry {
        let (chunk, at) = entry.split();
        let taken = self.chunks[chunk][at]
            .take()
            .expect("references die with their entry");
        self.free.push(entry);
        taken
    }
}
