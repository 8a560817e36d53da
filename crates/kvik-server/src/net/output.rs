//! What a connection has yet to send.
//!
//! Chunks in order, and how much of the first has been sent. Small chunks are copied together, so
//! a system call carries much even when a thousand little messages wait, and no list of pieces is
//! ever handed to the kernel.

use std::collections::VecDeque;

use super::buffers::Buffers;

/// Chunks are copied together up to this.
const CHUNK: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Output {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that have been sent.
    sent: usize,
    unsent: usize,
}

impl Output {
    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unsent == 0
    }

    /// Appends `bytes`. The first chunk is never touched: the kernel may be reading it.
    pub(super) fn push(&mut self, bytes: Vec<u8>, buffers: &mut Buffers) {
        self.unsent += bytes.len();
        let behind_first = self.chunks.len() > 1;
        match self.chunks.back_mut() {
            Some(last) if behind_first && last.len() + bytes.len() <= CHUNK => {
                last.extend_from_slice(&bytes);
                buffers.put(bytes);
            }
            _ if bytes.is_empty() => buffers.put(bytes),
            _ => self.chunks.push_back(bytes),
        }
    }

    /// The bytes to send next, empty if none. They stay where they are in memory until
    /// [`advance`](Self::advance) or [`clear`](Self::clear).
    pub(super) fn front(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |chunk| &chunk[self.sent..])
    }

    /// Notes that `count` bytes of [`front`](Self::front) have been sent.
    pub(super) fn advance(&mut self, count: usize, buffers: &mut Buffers) {
        self.sent += count;
        self.unsent -= count;
        if self
            .chunks
            .front()
            .is_some_and(|chunk| chunk.len() == self.sent)
        {
            self.sent = 0;
            buffers.put(self.chunks.pop_front().unwrap_or_default());
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_out_once_and_in_order() {
        let mut buffers = Buffers::default();
        let mut output = Output::default();
        let (mut given, mut taken) = (Vec::new(), Vec::new());
        for round in 0..300_usize {
            let bytes = vec![round as u8; round * 37 % 5000];
            given.extend_from_slice(&bytes);
            output.push(bytes, &mut buffers);
            let part = output.front().len().min(round * 13 % 3000);
            taken.extend_from_slice(&output.front()[..part]);
            output.advance(part, &mut buffers);
            assert_eq!(output.unsent(), given.len() - taken.len());
        }
        while !output.is_empty() {
            taken.extend_from_slice(output.front());
            output.advance(output.front().len(), &mut buffers);
        }
        assert_eq!(given, taken);
        assert!(output.chunks.is_empty());
    }

    #[test]
    fn small_chunks_are_joined_but_never_to_the_first() {
        let mut buffers = Buffers::default();
        let mut output = Output::default();
        output.push(b"first".to_vec(), &mut buffers);
        let first = output.front().as_ptr();
        for _ in 0..1000 {
            output.push(b"message".to_vec(), &mut buffers);
        }
        assert_eq!(output.front().as_ptr(), first);
        assert_eq!(output.front(), b"first");
        assert_eq!(output.chunks.len(), 2);
    }
}
