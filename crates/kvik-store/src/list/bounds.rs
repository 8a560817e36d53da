//! How much a list keeps in one listpack.

use std::sync::atomic::Ordering::Relaxed;

use crate::limits::Limits;

/// Bytes of a node whose size is given in elements.
const COUNTED_NODE_BYTES: usize = 8 << 10;
/// Bytes of a node for `list-max-listpack-size` from -1 to -5.
const NODE_BYTES: [usize; 5] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];
/// Bytes that Redis adds to an element's length when it asks whether a node has room for it.
const ENTRY_OVERHEAD_BYTES: usize = 8;
/// Bytes of header and end mark, which two listpacks have twice.
const FRAME_BYTES: usize = 7;

/// The value of `list-max-listpack-size`: a number of bytes or, if that is `None`, of elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    bytes: Option<usize>,
    elements: usize,
    /// Length from which an element gets a node of its own, if it is not to follow from the size of
    /// nodes.
    plain_from: Option<usize>,
}

impl Bounds {
    pub(super) fn of(limits: &Limits) -> Self {
        let size = limits.list_size.load(Relaxed);
        let plain_from = usize::try_from(limits.list_plain_bytes.load(Relaxed)).ok();
        let level = usize::try_from(-(size + 1)).ok();
        Self {
            bytes: level.map(|level| NODE_BYTES[level.min(NODE_BYTES.len() - 1)]),
            elements: usize::try_from(size).unwrap_or(usize::MAX).max(1),
            plain_from: plain_from.filter(|&bytes| bytes > 0),
        }
    }

    /// Whether a listpack of so many bytes and elements is too large.
    pub(super) fn exceeded_by(self, bytes: usize, elements: usize) -> bool {
        match self.bytes {
            Some(max) => bytes > max,
            None => bytes > COUNTED_NODE_BYTES || elements > self.elements,
        }
    }

    /// Whether a listpack is small enough to be the only one of its list again. It has to be half
    /// as large as when the list ceased to have only one, so that a list around the limit does not
    /// go back and forth.
    pub(super) fn is_met_by_half(self, bytes: usize, elements: usize) -> bool {
        match self.bytes {
            Some(max) => bytes <= max / 2,
            None => elements <= self.elements / 2,
        }
    }

    /// Whether an element of this length gets a node of its own.
    pub(super) fn is_large(self, len: usize) -> bool {
        match self.plain_from {
            Some(from) => len >= from,
            None => len > self.node_bytes(),
        }
    }

    /// Whether a node of so many bytes and elements takes another element of this length.
    pub(super) fn admits(self, bytes: usize, elements: usize, len: usize) -> bool {
        !self.exceeded_by(bytes + len + ENTRY_OVERHEAD_BYTES, elements + 1)
    }

    /// Whether two nodes that have so many bytes and elements together may become one.
    pub(super) fn admits_joined(self, bytes: usize, elements: usize) -> bool {
        !self.exceeded_by(bytes - FRAME_BYTES, elements)
    }

    /// Bytes of a full node.
    pub(super) fn node_bytes(self) -> usize {
        self.bytes.unwrap_or(COUNTED_NODE_BYTES)
    }
}
