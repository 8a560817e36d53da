//! What is too large for a slot: values from 4 KiB on and keys of 255 bytes and more, each in an allocation of its own.
//!
//! An entry holds the index. Which memory a buffer gets is the global allocator's affair: the binaries use one that does
//! not map and unmap for each value, and what is large is dropped elsewhere (see [`crate::Garbage`]). A value is one buffer,
//! not a tree of chunks that could be shared with a snapshot.

const PART: usize = 512;

/// Buffers by index.
#[derive(Debug, Default)]
pub(crate) struct Slab {
    /// Parts of a fixed size, so that growing moves no buffer's descriptor.
    parts: Vec<Vec<Vec<u8>>>,
    free: Vec<u32>,
    bytes: usize,
}

impl Slab {
    pub(crate) fn get(&self, index: u32) -> &[u8] {
        let (part, at) = locate(index);
        &self.parts[part][at]
    }

    /// Bytes that a buffer accounts for, its descriptor included.
    pub(crate) fn bytes_of(&self, index: u32) -> usize {
        let (part, at) = locate(index);
        self.parts[part][at].capacity() + size_of::<Vec<u8>>()
    }

    /// Bytes of all buffers.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn insert(&mut self, buffer: Vec<u8>) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| self.add());
        let (part, at) = locate(index);
        self.parts[part][at] = buffer;
        self.bytes += self.bytes_of(index);
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> Vec<u8> {
        self.bytes -= self.bytes_of(index);
        self.free.push(index);
        let (part, at) = locate(index);
        std::mem::take(&mut self.parts[part][at])
    }

    /// Changes a buffer and keeps the account.
    pub(crate) fn change<R>(&mut self, index: u32, change: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let (part, at) = locate(index);
        self.bytes -= self.bytes_of(index);
        let result = change(&mut self.parts[part][at]);
        self.bytes += self.bytes_of(index);
        result
    }

    fn add(&mut self) -> u32 {
        if self.parts.last().is_none_or(|part| part.len() == PART) {
            self.parts.push(Vec::with_capacity(PART));
        }
        let before = (self.parts.len() - 1) * PART;
        let part = self.parts.last_mut().expect("pushed above");
        part.push(Vec::new());
        u32::try_from(before + part.len() - 1).expect("16 TiB of buffers in one stripe")
    }
}

fn locate(index: u32) -> (usize, usize) {
    (index as usize / PART, index as usize % PART)
}
