//! Part of a rope, to be held on to.

use std::ops::Range;

use crate::rope::{NODE_BYTES, Node, chunk_spans};

/// Bytes of a rope as they were when the piece was taken.
#[derive(Clone)]
pub struct Piece {
    node: Node,
    start: u32,
    len: u32,
}

/// Positions in a node fit.
const _: () = assert!(NODE_BYTES <= u32::MAX as usize);

impl Piece {
    pub(crate) fn new(node: Node, part: Range<usize>) -> Self {
        Self {
            node,
            start: part.start as u32,
            len: part.len() as u32,
        }
    }

    /// Length in bytes, never 0.
    #[expect(clippy::len_without_is_empty, reason = "no piece is empty")]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// The bytes from `from` on, one slice for each chunk.
    pub fn slices(&self, from: usize) -> impl Iterator<Item = &[u8]> {
        let (start, len) = (self.start as usize, self.len as usize);
        chunk_spans(start + from.min(len)..start + len).map(|(chunk, part)| &self.node[chunk][part])
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
