//! The output that a connection has yet to send.
//!
//! Batches of replies in order, and how much of the first has been sent. A batch is bytes and,
//! between them, parts of large strings that are sent from where they are; the kernel takes such a
//! batch as a list of slices. Small batches without them are copied together, so a system call
//! carries much even when a thousand little messages wait.

use std::collections::VecDeque;
use std::vec;

use kvik_resp::{Output, OutputPiece};

use super::buffers::Buffers;

/// Batches are copied together up to this.
const JOINED: usize = 64 << 10;
/// Most slices that are given to the kernel at once; it would take 1024. They hold 2 MiB.
pub(super) const SLICES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    batches: VecDeque<Batch>,
    unsent: usize,
}

/// Bytes, pieces between them, and how far they have been sent. Pieces are let go of as they are.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    /// How many of `bytes` have been sent.
    sent: usize,
    pieces: vec::IntoIter<OutputPiece>,
    /// How many bytes of the first piece have been sent.
    sent_of_piece: usize,
}

impl Outgoing {
    /// Bytes that have not been sent.
    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }

    /// In how many batches they are.
    pub(super) fn batches(&self) -> usize {
        self.batches.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unsent == 0
    }

    /// Appends `output`. The first batch is never touched: the kernel may be reading it.
    pub(super) fn push(&mut self, output: Output, buffers: &mut Buffers) {
        self.unsent += output.len();
        let is_empty = output.is_empty();
        let (bytes, pieces) = output.into_parts();
        let behind_first = self.batches.len() > 1;
        match self.batches.back_mut() {
            _ if is_empty => buffers.put(bytes),
            Some(last) if behind_first && pieces.is_empty() && last.can_take(bytes.len()) => {
                last.bytes.extend_from_slice(&bytes);
                buffers.put(bytes);
            }
            _ => self.batches.push_back(Batch {
                bytes,
                sent: 0,
                pieces: pieces.into_iter(),
                sent_of_piece: 0,
            }),
        }
    }

    /// The bytes to send next if they lie in one place, empty if there are none. They stay where
    /// they are in memory until [`advance`](Self::advance) or [`clear`](Self::clear).
    pub(super) fn only_slice(&self) -> Option<&[u8]> {
        match self.batches.front() {
            None => Some(&[]),
            Some(first) if first.pieces.as_slice().is_empty() => Some(&first.bytes[first.sent..]),
            Some(_) => None,
        }
    }

    /// The slices to send next. They stay where they are as [`Self::only_slice`] does.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let slices = self.batches.front().into_iter().flat_map(Batch::slices);
        slices.filter(|slice| !slice.is_empty()).take(SLICES)
    }

    /// Notes that `count` bytes of what was to be sent next have been sent.
    pub(super) fn advance(&mut self, count: usize, buffers: &mut Buffers) {
        self.unsent -= count;
        let Some(first) = self.batches.front_mut() else {
            return;
        };
        first.advance(count);
        if first.is_sent() {
            let sent = self.batches.pop_front().unwrap_or_default();
            buffers.put(sent.bytes);
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Batch {
    fn can_take(&self, count: usize) -> bool {
        self.pieces.as_slice().is_empty() && self.bytes.len() + count <= JOINED
    }

    fn is_sent(&self) -> bool {
        self.sent == self.bytes.len() && self.pieces.as_slice().is_empty()
    }

    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let (mut done, mut skipped) = (self.sent, self.sent_of_piece);
        let pieces = self.pieces.as_slice().iter().flat_map(move |placed| {
            let before = &self.bytes[done..placed.at];
            done = placed.at;
            let from = std::mem::take(&mut skipped);
            [before, &placed.piece.bytes()[from..]]
        });
        let last = self.pieces.as_slice().last();
        let behind = last.map_or(self.sent, |placed| placed.at.max(self.sent));
        pieces.chain(std::iter::once(&self.bytes[behind..]))
    }

    fn advance(&mut self, count: usize) {
        let mut left = count;
        while let Some(placed) = self.pieces.as_slice().first() {
            let before = left.min(placed.at - self.sent);
            self.sent += before;
            left -= before;
            let of_piece = left.min(placed.piece.len() - self.sent_of_piece);
            self.sent_of_piece += of_piece;
            left -= of_piece;
            if self.sent_of_piece < placed.piece.len() {
                return;
            }
            self.sent_of_piece = 0;
            self.pieces.next();
        }
        self.sent += left;
    }
}

#[cfg(test)]
mod tests {
    use kvik_rope::Rope;
    use proptest::prelude::*;

    use super::*;

    /// Takes up to `most` bytes as the kernel would.
    fn take(outgoing: &mut Outgoing, most: usize, buffers: &mut Buffers) -> Vec<u8> {
        let mut taken: Vec<u8> = outgoing.slices().flatten().copied().collect();
        if let Some(only) = outgoing.only_slice() {
            assert_eq!(only, taken);
        }
        taken.truncate(most);
        outgoing.advance(taken.len(), buffers);
        taken
    }

    #[test]
    fn small_batches_are_joined_but_never_to_the_first() {
        let mut buffers = Buffers::default();
        let mut outgoing = Outgoing::default();
        outgoing.push(b"first".to_vec().into(), &mut buffers);
        let first = outgoing.only_slice().unwrap().as_ptr();
        for _ in 0..1000 {
            outgoing.push(b"message".to_vec().into(), &mut buffers);
        }
        assert_eq!(outgoing.only_slice().unwrap().as_ptr(), first);
        assert_eq!(outgoing.only_slice(), Some(&b"first"[..]));
        assert_eq!(outgoing.batches.len(), 2);
    }

    #[test]
    fn no_more_slices_than_the_kernel_takes() {
        let rope = Rope::from(&vec![7; 5 << 20][..]);
        let mut output = Output::new();
        output.push_rope(&rope, 0..rope.len());
        let (mut buffers, mut outgoing) = (Buffers::default(), Outgoing::default());
        outgoing.push(output, &mut buffers);
        assert_eq!(outgoing.slices().count(), SLICES);
    }

    proptest! {
        #[test]
        fn every_byte_comes_out_once_and_in_order(
            rounds in prop::collection::vec((0usize..60_000, 0usize..4, 0usize..90_000), 1..40),
        ) {
            let mut buffers = Buffers::default();
            let mut outgoing = Outgoing::default();
            let (mut given, mut taken) = (Vec::new(), Vec::new());
            for (round, (len, pieces, part)) in rounds.into_iter().enumerate() {
                let text: Vec<u8> = (0..len).map(|at| (at / 3) as u8 ^ round as u8).collect();
                let rope = Rope::from(&text[..]);
                let mut output = Output::from(text[..len / 50].to_vec());
                for piece in 0..pieces {
                    output.push_rope(&rope, 0..len);
                    output.extend_from_slice(&text[..piece.min(len)]);
                }
                given.extend_from_slice(&output.clone().into_bytes());
                outgoing.push(output, &mut buffers);
                taken.extend(take(&mut outgoing, part, &mut buffers));
                prop_assert_eq!(outgoing.unsent(), given.len() - taken.len());
            }
            while !outgoing.is_empty() {
                taken.extend(take(&mut outgoing, usize::MAX, &mut buffers));
            }
            prop_assert!(given == taken);
            prop_assert!(outgoing.batches.is_empty());
        }
    }
}
