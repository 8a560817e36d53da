//! A byte string as a row of chunks.
//!
//! Every chunk but the last has almost 32 KiB, and each is a counted reference. So a reader holds
//! what it needs and copies nothing, and a write beside it copies a chunk. The last chunk may have
//! room behind the string's end, which holds zeros: appending little by little copies each byte a
//! few times.
//!
//! The count of a chunk stands apart from its bytes. These then fill a block of the allocator
//! exactly where a string's length is a power of two, and to let go of a string reads none of its
//! memory, which has mostly left the cache.
//!
//! A chunk of zeros is a hole: all ropes share the one chunk of zeros that there is, and whoever
//! writes to it gets his own, as with any shared chunk. So a string that is long because of a bit
//! far away costs a word for each 32 KiB before it.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use crate::Piece;

/// Bytes of a whole chunk: a block of 32 KiB less a line. So the chunks of a string begin at the
/// same offset of their pages but go to different ones when it is sent; were these all a few bytes
/// behind, each read would wait for a write that a processor takes for one to the same place.
pub const CHUNK_BYTES: usize = (32 << 10) - 64;
/// The two counts of a reference-counted allocation.
const COUNTS: usize = 2 * size_of::<usize>();
/// A last chunk up to this doubles when it grows; a larger one grows by a quarter.
const DOUBLED: usize = 8 << 10;

pub(crate) type Chunk = Arc<Box<[u8]>>;

/// The chunk of all holes.
static ZEROS: LazyLock<Chunk> = LazyLock::new(|| Arc::new(vec![0; CHUNK_BYTES].into()));

fn is_hole(chunk: &Chunk) -> bool {
    Arc::ptr_eq(chunk, &ZEROS)
}

/// Whether these bytes of a rope lie in a hole: they are zeros, and take no memory.
pub fn are_in_hole(bytes: &[u8]) -> bool {
    ZEROS.as_ptr_range().contains(&bytes.as_ptr())
}

/// A string of bytes. A copy shares everything with the original until one of them changes.
#[derive(Clone, Default)]
pub struct Rope {
    chunks: Vec<Chunk>,
    len: usize,
    /// Chunks that are holes.
    holes: usize,
}

impl Rope {
    /// An empty rope.
    pub const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
            holes: 0,
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that the rope has, those it shares included.
    pub fn bytes(&self) -> usize {
        let index = self.chunks.capacity() * size_of::<Chunk>();
        let Some((last, whole)) = self.chunks.split_last() else {
            return index;
        };
        // All chunks but the last are whole, and so are holes: only the last has to be looked at.
        let all = whole.len() * chunk_bytes(CHUNK_BYTES) + chunk_bytes(last.len());
        index + all - self.holes * chunk_bytes(CHUNK_BYTES)
    }

    /// Whether most of it is zeros that take no memory.
    pub fn is_sparse(&self) -> bool {
        self.holes > self.chunks.len() / 2
    }

    /// The bytes in `range`, which must lie in the rope, one slice for each chunk.
    pub fn slices(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        let spans = self.spans(range);
        spans.map(|(chunk, part)| &self.chunks[chunk][part])
    }

    /// The bytes in `range`, which must lie in the rope, as pieces that stay as they are.
    pub fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = Piece> {
        self.spans(range)
            .map(|(chunk, part)| Piece::new(Arc::clone(&self.chunks[chunk]), part))
    }

    /// The byte at `index`, which must lie in the rope.
    pub fn byte(&self, index: usize) -> u8 {
        assert!(index < self.len, "{index} lies behind the end");
        self.chunks[index / CHUNK_BYTES][index % CHUNK_BYTES]
    }

    /// Appends a copy of the bytes in `range`, which must lie in the rope.
    pub fn copy_to(&self, range: Range<usize>, out: &mut Vec<u8>) {
        out.reserve(range.len());
        self.slices(range)
            .for_each(|slice| out.extend_from_slice(slice));
    }

    /// A copy of all bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.copy_to(0..self.len, &mut bytes);
        bytes
    }

    /// Overwrites what is at `offset` and behind with `bytes`. The rope grows where it ends before,
    /// and a gap is filled with zeros.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        if offset > self.len {
            self.append_zeros(offset - self.len);
        }
        // The part that lies inside overwrites chunk by chunk, the rest is appended.
        let (inside, behind) = bytes.split_at(bytes.len().min(self.len - offset));
        let mut rest = inside;
        for (chunk, part) in self.spans(offset..offset + inside.len()) {
            let (now, later) = rest.split_at(part.len());
            let chunk = &mut self.chunks[chunk];
            self.holes -= usize::from(self.holes > 0 && is_hole(chunk));
            // make_mut copies a chunk that a reply or another rope still holds.
            Arc::make_mut(chunk)[part].copy_from_slice(now);
            rest = later;
        }
        self.append(behind);
    }

    /// Appends bytes.
    pub fn append(&mut self, bytes: &[u8]) {
        // The last chunk is filled first, then whole chunks follow.
        let (now, mut rest) = bytes.split_at(bytes.len().min(self.room_wanted()));
        if !now.is_empty() {
            let at = self.len % CHUNK_BYTES;
            self.last_chunk(at + now.len())[at..][..now.len()].copy_from_slice(now);
            self.len += now.len();
        }
        // A string that is written once gets no spare room; one that is appended to does.
        let keep_room = self.len > 0;
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(rest.len().min(CHUNK_BYTES));
            if chunk.len() == CHUNK_BYTES && is_zero(chunk) {
                self.push_hole();
            } else {
                let room = self.new_chunk_bytes(chunk.len(), keep_room);
                self.push(roomy(chunk, room));
            }
            self.len += chunk.len();
            rest = later;
        }
    }

    /// Appends a chunk behind chunks that are whole.
    pub(crate) fn append_chunk(&mut self, chunk: Chunk) {
        debug_assert!(
            self.len.is_multiple_of(CHUNK_BYTES) && chunk.len() <= CHUNK_BYTES,
            "only the last chunk is not whole"
        );
        self.len += chunk.len();
        if chunk.len() == CHUNK_BYTES && is_zero(&chunk) {
            self.push_hole();
        } else {
            self.push(chunk);
        }
    }

    fn push_hole(&mut self) {
        self.push(Arc::clone(&ZEROS));
        self.holes += 1;
    }

    /// Appends zeros, of which whole chunks take no memory.
    pub fn append_zeros(&mut self, count: usize) {
        let whole = count / CHUNK_BYTES;
        if whole > self.chunks.len() {
            // More than doubling gives. The index is all that holes cost, so none of it is spare.
            self.chunks.reserve_exact(whole + 2);
        }
        let mut left = count;
        while left > 0 {
            let at = self.len % CHUNK_BYTES;
            let now = left.min(CHUNK_BYTES - at);
            if now == CHUNK_BYTES {
                self.push_hole();
            } else if at == 0 {
                let room = self.new_chunk_bytes(now, true);
                self.push(roomy(&[], room));
            } else {
                // What lies behind the end is zero already.
                self.last_chunk(at + now);
            }
            self.len += now;
            left -= now;
        }
    }

    /// Bytes that are missing in the last chunk until it is whole.
    fn room_wanted(&self) -> usize {
        self.len.next_multiple_of(CHUNK_BYTES) - self.len
    }

    /// How large to make a new last chunk of `len` bytes: what grows probably grows again.
    fn new_chunk_bytes(&self, len: usize, keep_room: bool) -> usize {
        let spare = if keep_room { self.len / 4 } else { 0 };
        (len + spare).min(CHUNK_BYTES)
    }

    /// The last chunk, which is not whole, alone ours and with room for `len` bytes.
    fn last_chunk(&mut self, len: usize) -> &mut [u8] {
        let chunk = self.chunks.last_mut().expect("there is a chunk");
        if chunk.len() < len {
            // Doubling while it is small, then by a quarter: a byte is copied a few times, and at
            // most a fifth of the room is spare.
            let grown = chunk.len() + chunk.len().min(DOUBLED.max(chunk.len() / 4));
            let room = len.max(grown).min(CHUNK_BYTES);
            *chunk = roomy(chunk, room);
        }
        &mut Arc::make_mut(chunk)[..]
    }

    fn push(&mut self, chunk: Chunk) {
        if self.chunks.len() == self.chunks.capacity() {
            // Doubles as a vector does, but from one: a rope of one chunk has an index of one.
            self.chunks.reserve_exact(self.chunks.len().max(1));
        }
        self.chunks.push(chunk);
    }

    /// The chunks that `range` touches, and which part of each.
    fn spans(&self, range: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} leaves the {} bytes",
            self.len
        );
        let mut at = range.start;
        std::iter::from_fn(move || {
            // All chunks but the last have the same size: a position is a division.
            let (chunk, start) = (at / CHUNK_BYTES, at % CHUNK_BYTES);
            let len = (range.end - at).min(CHUNK_BYTES - start);
            at += len;
            (len > 0).then(|| (chunk, start..start + len))
        })
    }
}

/// Whether a whole chunk is zeros. Of others hardly more than the first byte is read.
fn is_zero(chunk: &[u8]) -> bool {
    chunk[0] == 0 && *chunk == ***ZEROS
}

/// A chunk of `room` bytes: `bytes`, then zeros.
fn roomy(bytes: &[u8], room: usize) -> Chunk {
    let mut chunk = Vec::with_capacity(room);
    chunk.extend_from_slice(bytes);
    chunk.resize(room, 0);
    Arc::new(chunk.into())
}

fn chunk_bytes(len: usize) -> usize {
    COUNTS + size_of::<Box<[u8]>>() + len
}

impl From<&[u8]> for Rope {
    fn from(bytes: &[u8]) -> Self {
        let mut rope = Self::new();
        rope.append(bytes);
        rope
    }
}

impl PartialEq<[u8]> for Rope {
    fn eq(&self, other: &[u8]) -> bool {
        // Slices of the rope are compared with as many bytes of the other, piece by piece.
        let mut rest = other;
        self.len == other.len()
            && self.slices(0..self.len).all(|slice| {
                let (now, later) = rest.split_at(slice.len());
                rest = later;
                slice == now
            })
    }
}

impl PartialEq for Rope {
    fn eq(&self, other: &Self) -> bool {
        // Chunks begin at the same places in all ropes.
        self.len == other.len && self.slices(0..self.len).eq(other.slices(0..other.len))
    }
}

impl Eq for Rope {}

impl std::fmt::Debug for Rope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rope")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
