//! Bytes to be sent, and between them parts of large strings that are not copied.
//!
//! Replies are written into one byte vector. A large string takes part by reference: its pieces are
//! kept beside the vector, each with the place where it belongs. An output without pieces costs
//! what the vector does.

use kvik_rope::{Piece, Rope};
use std::ops::Range;

/// A string from this size on is sent from where it is; to copy less costs less than to share it.
pub const BY_REFERENCE_BYTES: usize = 16 << 10;

/// Bytes in order, some of them shared with a [`Rope`].
///
/// ```
/// use kvik_resp::{Output, Protocol, Reply};
///
/// let mut output = Output::new();
/// let mut reply = Reply::new(&mut output, Protocol::Resp3);
/// reply.array(2);
/// reply.integer(7);
/// reply.bulk(b"seven");
/// assert_eq!(output.into_bytes(), b"*2\r\n:7\r\n$5\r\nseven\r\n");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub(crate) bytes: Vec<u8>,
    pieces: Vec<OutputPiece>,
    /// Length of all pieces.
    piece_bytes: usize,
    /// Headers that are still to be inserted before what has been written.
    pub(crate) open: usize,
}

/// A piece and where it belongs.
#[derive(Clone, Debug)]
pub struct OutputPiece {
    /// How many of the output's own bytes come before the piece.
    pub at: usize,
    /// The piece.
    pub piece: Piece,
}

/// A place among the bytes and pieces of an output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputMark {
    at: usize,
    pieces: usize,
}

impl Output {
    /// Nothing, in no memory.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            pieces: Vec::new(),
            piece_bytes: 0,
            open: 0,
        }
    }

    /// Bytes to send, those of pieces included.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.piece_bytes
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first byte, which tells the kind of a reply.
    pub fn first(&self) -> Option<u8> {
        self.bytes.first().copied()
    }

    /// The byte behind the first `len` bytes, which an output without pieces has.
    pub fn byte_at(&self, len: usize) -> Option<u8> {
        self.bytes.get(len.checked_sub(self.piece_bytes)?).copied()
    }

    /// Takes back everything behind the first `len` bytes. That must be a length that the output
    /// had.
    pub fn truncate(&mut self, len: usize) {
        // A piece begins `last.at` own bytes and all pieces before it into the output. Pieces that
        // end behind `len` go whole, as `len` never lies inside one.
        while let Some(last) = self.pieces.last()
            && last.at + self.piece_bytes > len
        {
            self.piece_bytes -= last.piece.len();
            self.pieces.pop();
        }
        self.bytes.truncate(len - self.piece_bytes);
    }

    /// Takes what has been written, unless a header is still to be inserted into it. What was a
    /// length before is none any more.
    pub fn take_written(&mut self) -> Option<Self> {
        (self.open == 0).then(|| std::mem::take(self))
    }

    /// Forgets everything and keeps the room.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Appends bytes.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends the bytes in `range` of a rope: by reference if they are many.
    pub fn push_rope(&mut self, rope: &Rope, range: Range<usize>) {
        if range.len() < BY_REFERENCE_BYTES {
            return rope.copy_to(range, &mut self.bytes);
        }
        self.piece_bytes += range.len();
        let at = self.bytes.len();
        self.pieces
            .extend(rope.pieces(range).map(|piece| OutputPiece { at, piece }));
    }

    /// Appends a part of a rope where it lies.
    pub fn push_piece(&mut self, piece: Piece) {
        self.piece_bytes += piece.len();
        let at = self.bytes.len();
        self.pieces.push(OutputPiece { at, piece });
    }

    /// The output's own bytes, and the pieces between them.
    pub fn parts(&self) -> (&[u8], &[OutputPiece]) {
        (&self.bytes, &self.pieces)
    }

    /// Appends all of another output.
    pub fn append(&mut self, other: Self) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.piece_bytes += other.piece_bytes;
        // Places are counted in own bytes, so those of the other output move by ours.
        let moved = other.pieces.into_iter().map(|placed| OutputPiece {
            at: before + placed.at,
            ..placed
        });
        self.pieces.extend(moved);
    }

    /// Appends a copy of another output, whose first byte becomes `first`. Pieces are shared.
    #[inline]
    pub fn append_as(&mut self, first: u8, other: &Self) {
        let before = self.bytes.len();
        self.append_copy(other);
        if let Some(byte) = self.bytes.get_mut(before) {
            *byte = first;
        }
    }

    /// Appends a copy of another output. Pieces are shared.
    #[inline]
    pub fn append_copy(&mut self, other: &Self) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        if other.pieces.is_empty() {
            return;
        }
        self.piece_bytes += other.piece_bytes;
        let moved = other.pieces.iter().map(|placed| OutputPiece {
            at: before + placed.at,
            piece: placed.piece.clone(),
        });
        self.pieces.extend(moved);
    }

    /// Inserts another output behind the first `len` bytes. That must be a length that the output
    /// had. Costs a copy of what follows.
    pub fn insert(&mut self, len: usize, other: Self) {
        let mut tail = Self::new();
        let mut head_pieces = 0;
        let mut left = len;
        // As in `truncate`: own bytes and pieces of the head add up to its length.
        let mut own = 0;
        for placed in &self.pieces {
            let between = placed.at - own;
            if left < between + placed.piece.len() {
                break;
            }
            left -= between + placed.piece.len();
            own = placed.at;
            head_pieces += 1;
        }
        let at = own + left;
        tail.bytes.extend_from_slice(&self.bytes[at..]);
        tail.pieces = self.pieces.split_off(head_pieces);
        for placed in &mut tail.pieces {
            placed.at -= at;
            tail.piece_bytes += placed.piece.len();
        }
        self.bytes.truncate(at);
        self.piece_bytes -= tail.piece_bytes;
        self.append(other);
        self.append(tail);
    }

    /// The output's own bytes, and the pieces between them.
    pub fn into_parts(self) -> (Vec<u8>, Vec<OutputPiece>) {
        (self.bytes, self.pieces)
    }

    /// All bytes in one vector, copied only if some belong to pieces.
    pub fn into_bytes(self) -> Vec<u8> {
        if self.pieces.is_empty() {
            return self.bytes;
        }
        let (mut all, mut done) = (Vec::with_capacity(self.len()), 0);
        for OutputPiece { at, piece } in &self.pieces {
            all.extend_from_slice(&self.bytes[done..*at]);
            all.extend_from_slice(piece.bytes());
            done = *at;
        }
        all.extend_from_slice(&self.bytes[done..]);
        all
    }

    /// The end, to [insert](Self::insert) there later.
    pub(crate) fn place(&self) -> OutputMark {
        OutputMark {
            at: self.bytes.len(),
            pieces: self.pieces.len(),
        }
    }

    /// Moves the bytes written since `end` to an earlier place.
    pub(crate) fn move_tail(&mut self, end: usize, place: OutputMark) {
        let count = self.bytes.len() - end;
        // The tail is rotated before the bytes in between, which costs one pass and no memory.
        self.bytes[place.at..].rotate_right(count);
        // Pieces that were pushed since lie behind the inserted bytes now.
        for behind in &mut self.pieces[place.pieces..] {
            behind.at += count;
        }
    }
}

impl From<Vec<u8>> for Output {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rope(len: usize, seed: u8) -> (Rope, Vec<u8>) {
        let text: Vec<u8> = (0..len).map(|at| at as u8 ^ seed).collect();
        (Rope::from(&text[..]), text)
    }

    #[test]
    fn small_parts_of_a_rope_are_copied() {
        let (rope, text) = rope(3 * BY_REFERENCE_BYTES, 0);
        let mut output = Output::new();
        output.push_rope(&rope, 1..BY_REFERENCE_BYTES);
        assert!(output.pieces.is_empty());
        output.push_rope(&rope, 1..BY_REFERENCE_BYTES + 1);
        assert_eq!(output.pieces.len(), 1);
        let expected = [&text[1..BY_REFERENCE_BYTES], &text[1..=BY_REFERENCE_BYTES]].concat();
        assert_eq!(output.len(), expected.len());
        assert_eq!(output.into_bytes(), expected);
    }

    #[test]
    fn a_header_can_be_inserted_before_pieces_and_behind_others() {
        let (rope, text) = rope(BY_REFERENCE_BYTES, 0);
        let mut output = Output::from(b"a".to_vec());
        output.push_rope(&rope, 0..rope.len());
        let place = output.place();
        output.push_rope(&rope, 0..rope.len());
        output.extend_from_slice(b"b");
        let end = output.bytes.len();
        output.extend_from_slice(b"HEAD");
        output.move_tail(end, place);
        let expected = [b"a", &text[..], b"HEAD", &text[..], b"b"].concat();
        assert_eq!(output.into_bytes(), expected);
    }

    proptest! {
        #[test]
        fn an_output_is_a_vector(steps in prop::collection::vec((0u8..6, 0usize..40_000, any::<u8>()), 0..40)) {
            let (mut output, mut model) = (Output::new(), Vec::new());
            let mut lens = vec![0];
            for (kind, len, seed) in steps {
                let (rope, text) = rope(len, seed);
                match kind {
                    0 => {
                        output.extend_from_slice(&text[..len / 1000]);
                        model.extend_from_slice(&text[..len / 1000]);
                    }
                    1 => {
                        output.push_rope(&rope, len / 7..len);
                        model.extend_from_slice(&text[len / 7..]);
                    }
                    2 => {
                        let mut other = Output::from(vec![seed; 3]);
                        other.push_rope(&rope, 0..len);
                        output.append(other);
                        model.extend_from_slice(&[seed; 3]);
                        model.extend_from_slice(&text);
                    }
                    3 => {
                        let mut other = Output::from(vec![seed; 3]);
                        other.push_rope(&rope, 0..len);
                        output.append_as(b'!', &other);
                        model.extend_from_slice(&[b'!', seed, seed]);
                        model.extend_from_slice(&text);
                    }
                    4 => {
                        let at = lens[len % lens.len()];
                        let mut other = Output::from(vec![seed; 2]);
                        other.push_rope(&rope, 0..len);
                        output.insert(at, other);
                        model.splice(at..at, [&[seed; 2], &text[..]].concat());
                        lens.retain(|len| *len <= at);
                    }
                    _ => {
                        lens.truncate(1 + len % lens.len());
                        let keep = lens[lens.len() - 1];
                        output.truncate(keep);
                        model.truncate(keep);
                    }
                }
                lens.push(model.len());
                prop_assert_eq!(output.len(), model.len());
            }
            prop_assert_eq!(output.into_bytes(), model);
        }
    }
}
