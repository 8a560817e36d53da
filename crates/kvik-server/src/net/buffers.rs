//! The buffers of one I/O thread, and how large an input buffer may grow.
//!
//! Bytes that are on their way need a buffer for microseconds, so a few serve all connections:
//! last returned, first reused, still in the cache.

use std::mem;

/// The capacity of a pooled buffer, and what one read asks for.
pub(super) const CAPACITY: usize = 32 << 10;
/// A buffer that grew beyond this is freed, not pooled.
const LARGEST: usize = 64 << 10;
/// How many buffers are pooled.
const POOLED: usize = 64;
/// An input up to this is copied out of its buffer while its connection waits for the rest.
const PARKED: usize = 2 << 10;
/// The first step by which an input grows towards an announced large value.
const GROWTH: usize = 256 << 10;
/// Bytes received at once where a large string may begin: its command's head, hardly more.
const HEAD: usize = 512;
/// So many receives after a large string another one may be expected.
const FEW: u8 = 8;
/// Bytes that follow every argument.
pub(super) const LINE_END: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: Vec<Vec<u8>>,
}

impl Buffers {
    pub(super) fn get(&mut self) -> Vec<u8> {
        self.free
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(CAPACITY))
    }

    pub(super) fn put(&mut self, mut buffer: Vec<u8>) {
        if self.free.len() < POOLED && (CAPACITY..=LARGEST).contains(&buffer.capacity()) {
            buffer.clear();
            self.free.push(buffer);
        }
    }

    /// The part of `input` that a connection keeps until more comes: nothing if it is empty, just
    /// its bytes if they are few.
    pub(super) fn park(&mut self, input: Vec<u8>) -> Vec<u8> {
        if input.len() > PARKED || input.len() == input.capacity() {
            return input;
        }
        let parked = input.as_slice().to_vec();
        self.put(input);
        parked
    }

    /// Makes room behind `input` for the next read, when its command lacks `missing` bytes. What
    /// was announced is allocated as far as it is at most as much as has already come: 512 MiB
    /// cost an attacker 256 MiB of traffic.
    pub(super) fn make_room(&mut self, input: &mut Vec<u8>, missing: usize) {
        let announced = missing > CAPACITY;
        let room = if announced {
            missing.min(announced_room(input.len()))
        } else {
            CAPACITY / 2
        };
        if input.capacity() - input.len() >= room {
        } else if announced {
            input.reserve_exact(room);
        } else if input.len() + room <= CAPACITY {
            let parked = mem::replace(input, self.get());
            input.extend_from_slice(&parked);
        } else {
            input.reserve(room);
        }
    }
}

/// For how many bytes of what was announced memory is taken, when so many have come.
pub(super) fn announced_room(received: usize) -> usize {
    received.max(GROWTH)
}

/// Whether a connection's next bytes may begin a large string. Only the head of its command is
/// received then, so that the string itself is still there to be received into its chunks.
#[derive(Debug)]
pub(super) struct Foresight {
    /// Receives since the last one of a large string.
    since_large: u8,
}

impl Default for Foresight {
    fn default() -> Self {
        Self {
            since_large: u8::MAX,
        }
    }
}

impl Foresight {
    /// Notes that more was asked for: of a large string of so many bytes, or not of one. Receiving
    /// one that fits a buffer in two steps costs more than copying it.
    pub(super) fn note(&mut self, string: Option<usize>) {
        self.since_large = match string {
            Some(len) if len > CAPACITY => 0,
            _ => self.since_large.saturating_add(1),
        };
    }

    /// The most that is to be received at once outside of large strings, if there is such a limit
    /// now.
    pub(super) fn limit(&self) -> Option<usize> {
        (self.since_large < FEW).then_some(HEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_string_is_expected_for_a_few_receives() {
        let mut foresight = Foresight::default();
        assert_eq!(foresight.limit(), None);
        foresight.note(None);
        foresight.note(Some(CAPACITY));
        assert_eq!(foresight.limit(), None);
        foresight.note(Some(CAPACITY + 1));
        let limited = (0..100)
            .take_while(|_| {
                foresight.note(None);
                foresight.limit().is_some()
            })
            .count();
        assert_eq!(limited, usize::from(FEW) - 1);
    }

    #[test]
    fn a_parked_input_holds_only_its_bytes() {
        let mut buffers = Buffers::default();
        let mut input = buffers.get();
        input.extend_from_slice(b"*3\r\n$3\r\nSET");
        let mut input = buffers.park(input);
        assert_eq!(input.capacity(), input.len());
        buffers.make_room(&mut input, 0);
        assert!(input.capacity() - input.len() >= CAPACITY / 2);
        assert_eq!(input, b"*3\r\n$3\r\nSET");
        input.clear();
        assert_eq!(buffers.park(input).capacity(), 0);
    }

    #[test]
    fn an_announced_value_grows_with_what_has_come() {
        let mut buffers = Buffers::default();
        let (mut input, mut missing, mut steps) = (Vec::new(), 8 << 20, 0);
        while missing > 0 {
            buffers.make_room(&mut input, missing);
            assert!(input.capacity() <= 2 * input.len().max(GROWTH));
            let step = missing.min(input.capacity() - input.len());
            input.resize(input.len() + step, 7);
            missing -= step;
            steps += 1;
        }
        assert!(steps < 10);
        assert_eq!(input.capacity(), 8 << 20);
    }

    #[test]
    fn large_buffers_are_not_pooled() {
        let mut buffers = Buffers::default();
        buffers.put(Vec::with_capacity(LARGEST + 1));
        buffers.put(Vec::new());
        assert!(buffers.free.is_empty());
        for _ in 0..2 * POOLED {
            buffers.put(Vec::with_capacity(CAPACITY));
        }
        assert_eq!(buffers.free.len(), POOLED);
    }
}
