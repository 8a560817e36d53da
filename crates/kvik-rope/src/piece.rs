//! Part of a rope, to be held on to.

use std::ops::Range;

use crate::CHUNK_BYTES;
use crate::rope::Chunk;

/// Bytes of a chunk of a rope as they were when the piece was taken.
#[derive(Clone)]
pub struct Piece {
    chunk: Chunk,
    start: u32,
    len: u32,
}

/// Positions in a chunk fit.
const _: () = assert!(CHUNK_BYTES <= u32::MAX as usize);

impl Piece {
    pub(crate) fn new(chunk: Chunk, part: Range<usize>) -> Self {
        Self {
            chunk,
            start: part.start as u32,
            len: part.len() as u32,
        }
    }

    /// Length in bytes, never 0.
    #[expect(clippy::len_without_is_empty, reason = "no piece is empty")]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.chunk[self.start as usize..][..self.len as usize]
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
