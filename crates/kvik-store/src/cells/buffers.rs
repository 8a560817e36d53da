//! Keys and strings that are too large for a cell.

use kvik_rope::Rope;

use crate::raw::slab::Slab;

/// Memory for what is too large for a cell: keys of 255 bytes and more, values of members from 4
/// KiB on, and as ropes the strings of keys from 4 KiB on.
///
/// Which memory they get is the global allocator's affair: the binaries use one that does not map
/// and unmap for each chunk, and what is large is dropped elsewhere (see [`crate::Garbage`]). A
/// chunk that a copy of the string or a reply shares counts for each of them.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    texts: Slab<Box<[u8]>>,
    ropes: Slab<Rope>,
    bytes: usize,
}

impl Buffers {
    pub(crate) fn get(&self, index: u32) -> &[u8] {
        self.texts.get(index)
    }

    pub(crate) fn rope(&self, index: u32) -> &Rope {
        self.ropes.get(index)
    }

    /// Bytes that a buffer accounts for, its descriptor included.
    pub(crate) fn bytes_of(&self, index: u32) -> usize {
        self.get(index).len() + size_of::<Box<[u8]>>()
    }

    /// Bytes that a rope accounts for, its descriptor included.
    pub(crate) fn rope_bytes(&self, index: u32) -> usize {
        self.rope(index).bytes() + size_of::<Rope>()
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn insert(&mut self, text: &[u8]) -> u32 {
        let index = self.texts.insert(text.into());
        self.bytes += self.bytes_of(index);
        index
    }

    pub(crate) fn remove(&mut self, index: u32) {
        self.bytes -= self.bytes_of(index);
        self.texts.remove(index);
    }

    pub(crate) fn insert_rope(&mut self, rope: Rope) -> u32 {
        let index = self.ropes.insert(rope);
        self.bytes += self.rope_bytes(index);
        index
    }

    pub(crate) fn remove_rope(&mut self, index: u32) -> Rope {
        self.bytes -= self.rope_bytes(index);
        self.ropes.remove(index)
    }

    /// Changes a string and keeps the account.
    pub(crate) fn change<R>(&mut self, index: u32, change: impl FnOnce(&mut Rope) -> R) -> R {
        self.bytes -= self.rope_bytes(index);
        let result = change(self.ropes.get_mut(index));
        self.bytes += self.rope_bytes(index);
        result
    }
}
