//! A rope that is being received.
//!
//! Its length is known; memory is taken for what has come and for the next few chunks only, so that
//! announcing much costs nothing. Whoever receives asks for [`room`](IncomingRope::room), has it
//! written to and says how far.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::Arc;

use crate::{CHUNK_BYTES, Rope};

/// A string of known length, the first part of which has come.
#[derive(Default)]
pub struct IncomingRope {
    rope: Rope,
    /// Chunks to be filled, in order; each is as long as it will be in the rope.
    open: VecDeque<Box<[MaybeUninit<u8>]>>,
    /// Bytes of the first of them that have come.
    filled: usize,
    /// Bytes that have not come.
    missing: usize,
}

impl IncomingRope {
    /// A string of `len` bytes of which none has come.
    pub fn new(len: usize) -> Self {
        Self {
            missing: len,
            ..Self::default()
        }
    }

    /// Length of the whole string.
    pub fn len(&self) -> usize {
        self.received() + self.missing
    }

    /// Whether the whole string is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that have come.
    pub fn received(&self) -> usize {
        self.rope.len() + self.filled
    }

    /// Bytes that have not come.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Takes the first of `bytes`, as far as they belong to the string. Returns how many that are.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.missing);
        let mut rest = &bytes[..count];
        for room in self.room(count) {
            let (now, later) = rest.split_at(rest.len().min(room.len()));
            room[..now.len()].write_copy_of_slice(now);
            rest = later;
        }
        // SAFETY: the loop above has written that many bytes, as room for them was asked for.
        unsafe { self.advance(count) };
        count
    }

    /// Where the next bytes belong, in order: room for at most `most` of those that are missing,
    /// rounded up to whole chunks. What is not used stays for the next time.
    pub fn room(&mut self, most: usize) -> impl Iterator<Item = &mut [MaybeUninit<u8>]> {
        // Room counts from the start of the first open chunk, a part of which is filled.
        let wanted = (self.filled + self.missing.min(most)).div_ceil(CHUNK_BYTES);
        while self.open.len() < wanted {
            // The last chunk is as long as the string needs, so that it is never copied to a
            // smaller one.
            let before = self.open.len() * CHUNK_BYTES;
            let len = (self.filled + self.missing - before).min(CHUNK_BYTES);
            self.open.push_back(Box::new_uninit_slice(len));
        }
        let filled = self.filled;
        let chunks = self.open.iter_mut().take(wanted);
        chunks
            .enumerate()
            .map(move |(index, chunk)| &mut chunk[if index == 0 { filled } else { 0 }..])
    }

    /// Notes that the next `count` bytes have come.
    ///
    /// # Safety
    /// The first `count` bytes of the [`room`](Self::room) last asked for have been written.
    pub unsafe fn advance(&mut self, count: usize) {
        self.missing -= count;
        self.filled += count;
        // Whole chunks move to the rope one by one. Only the string's last one may be shorter than
        // the others.
        while let Some(first) = self.open.front() {
            let len = first.len();
            if self.filled < len {
                return;
            }
            self.filled -= len;
            let whole = self.open.pop_front().expect("it has a front");
            // SAFETY: `filled` counts bytes that were written, and covers the chunk.
            self.rope
                .append_chunk(Arc::new(unsafe { whole.assume_init() }));
        }
    }

    /// The string once nothing is [missing](Self::missing).
    pub fn rope(&self) -> Option<&Rope> {
        (self.missing == 0).then_some(&self.rope)
    }
}

impl std::fmt::Debug for IncomingRope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IncomingRope")
            .field("received", &self.received())
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_announced_takes_no_memory() {
        let mut incoming = IncomingRope::new(512 << 20);
        assert_eq!(incoming.room(1).count(), 1);
        assert_eq!(incoming.room(3 * CHUNK_BYTES).count(), 3);
        assert_eq!((incoming.received(), incoming.missing()), (0, 512 << 20));
        assert!(incoming.rope().is_none());
    }

    #[test]
    fn an_empty_string_is_whole_at_once() {
        assert_eq!(IncomingRope::new(0).rope(), Some(&Rope::new()));
    }

    proptest! {
        #[test]
        fn what_comes_in_parts_is_one_string(
            len in 0usize..4 * CHUNK_BYTES,
            parts in prop::collection::vec(1usize..2 * CHUNK_BYTES, 1..20),
        ) {
            let text: Vec<u8> = (0..len).map(|at| at as u8 ^ (at / 251) as u8).collect();
            let mut incoming = IncomingRope::new(len);
            let mut parts = parts.iter().cycle();
            while incoming.missing() > 0 {
                let from = incoming.received();
                let to = text.len().min(from + parts.next().unwrap());
                prop_assert_eq!(incoming.take(&text[from..to]), to - from);
                // Room that is asked for and not used changes nothing.
                incoming.room(*parts.next().unwrap()).for_each(|room| room.fill(MaybeUninit::new(0xEE)));
            }
            prop_assert_eq!(incoming.take(b"of the next command"), 0);
            let rope = incoming.rope().unwrap();
            prop_assert!(rope == &text[..]);
            prop_assert!(rope.bytes() < len + len / 100 + 256);
        }
    }
}
