//! A connection's input: bytes received and not yet consumed.
//!
//! The buffer is lent to the driver while more is wanted. While commands wait (a clogged or paused client), it stays here
//! and what comes is received apart and appended. Consumed bytes are cut off only when they are most of the buffer, so
//! that working through a long pipeline costs each byte once.

/// Capacity that is kept for a connection which has nothing in its buffer.
const KEPT: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// What lies before is consumed.
    start: usize,
    /// Bytes that were in the buffer when it was lent.
    lent: usize,
}

impl Input {
    /// Bytes not yet consumed.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Marks the first `count` bytes of the rest as consumed.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start > self.bytes.len() / 2 {
            self.cut();
        }
    }

    /// The buffer for the driver to append to, with what is left in it; an empty one while the rest must stay.
    pub(super) fn lend(&mut self, rest_must_stay: bool) -> Vec<u8> {
        if rest_must_stay {
            self.lent = 0;
            return Vec::new();
        }
        self.cut();
        self.lent = self.bytes.len();
        let buffer = std::mem::take(&mut self.bytes);
        if buffer.is_empty() && buffer.capacity() > KEPT {
            Vec::new()
        } else {
            buffer
        }
    }

    /// Takes the buffer back from the driver and returns how many bytes came.
    pub(super) fn accept(&mut self, received: Vec<u8>) -> usize {
        let grown = received.len() - self.lent;
        if self.len() == 0 {
            (self.bytes, self.start) = (received, 0);
        } else {
            self.bytes.extend_from_slice(&received);
        }
        grown
    }

    fn cut(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(input: &mut Input, rest_must_stay: bool, bytes: &[u8]) -> usize {
        let mut buffer = input.lend(rest_must_stay);
        buffer.extend_from_slice(bytes);
        input.accept(buffer)
    }

    #[test]
    fn what_is_left_is_lent_along_and_counted_once() {
        let mut input = Input::default();
        assert_eq!(receive(&mut input, false, b"abcdef"), 6);
        input.consume(2);
        assert_eq!(receive(&mut input, false, b"gh"), 2);
        assert_eq!(input.rest(), b"cdefgh");
        input.consume(6);
        assert_eq!((input.len(), input.rest()), (0, &b""[..]));
    }

    #[test]
    fn what_waits_stays_and_grows() {
        let mut input = Input::default();
        receive(&mut input, false, b"waiting");
        assert_eq!(receive(&mut input, true, b" more"), 5);
        assert_eq!(input.rest(), b"waiting more");
        input.consume(8);
        assert_eq!(input.rest(), b"more");
    }
}
