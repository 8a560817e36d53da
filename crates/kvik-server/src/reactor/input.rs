//! A connection's input: bytes received and not yet consumed.
//!
//! The buffer is lent to the driver while more is wanted. While commands wait (a clogged or paused
//! client), it stays here and what comes is received apart and appended. Consumed bytes are cut off
//! only when they are most of the buffer, so that working through a long pipeline costs each byte
//! once.
//!
//! A large argument that has not come whole is taken out of the buffer and received into the chunks
//! of a rope, in which it can become a value. The rest of its command then follows in the buffer
//! where the argument began.

use kvik_resp::LargeArg;
use kvik_rope::IncomingRope;

/// Arguments from this size on are received apart.
const APART_BYTES: usize = 16 << 10;

/// Capacity that is kept for a connection which has nothing in its buffer.
const KEPT: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// The bytes before are consumed.
    start: usize,
    /// Bytes that were in the buffer when it was lent.
    lent: usize,
    /// The large arguments of the first command of the rest.
    large: Vec<LargeArg>,
    /// Bytes of them.
    large_bytes: usize,
    /// Bytes that had come of the last of them when the driver got it.
    lent_large: Option<usize>,
}

/// The bytes of an input by their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InputSizes {
    /// Bytes that have not become arguments yet.
    pub(super) unparsed: usize,
    /// Bytes of arguments of a command that has not come whole.
    pub(super) parsed: usize,
    /// Room of the buffer beyond them.
    pub(super) free: usize,
}

impl Input {
    /// Bytes not yet consumed.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The arguments of the first command of the rest that were taken out of it.
    pub(super) fn large(&self) -> &[LargeArg] {
        &self.large
    }

    /// Bytes that wait, those of large arguments included.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start + self.large_bytes
    }

    /// Its bytes by their state. An empty buffer is lent out, and not the connection's.
    pub(super) fn sizes(&self) -> InputSizes {
        let rest = self.bytes.len() - self.start;
        let free = match self.bytes.is_empty() {
            true => 0,
            false => self.bytes.capacity() - rest,
        };
        match self.large.last() {
            None => InputSizes {
                unparsed: rest,
                parsed: 0,
                free,
            },
            // All that came before the large argument has been parsed.
            Some(last) => {
                let unparsed = self.lent_large.unwrap_or(last.incoming.received());
                InputSizes {
                    unparsed,
                    parsed: self.large_bytes.saturating_sub(unparsed) + rest,
                    free,
                }
            }
        }
    }

    /// Has the last argument, which begins at `at` of the rest and will be `len` bytes long,
    /// received apart if it is large. Call it with the parser's word that no more than a part of it
    /// is there.
    pub(super) fn set_apart(&mut self, at: usize, len: usize) {
        let begun = self.large.last().is_some_and(|last| last.at == at);
        let from = self.start + at;
        // Of one that is there, only the line's end may be missing.
        let is_whole = self.bytes.len() >= from + len;
        if len < APART_BYTES || begun || is_whole {
            return;
        }
        let mut argument = LargeArg::new(at, len);
        self.large_bytes += argument.incoming.take(&self.bytes[from..]);
        self.bytes.truncate(from);
        self.large.push(argument);
    }

    /// The bytes of a large argument that have come, to be given to the driver, if something is
    /// missing.
    pub(super) fn lend_incoming(&mut self) -> Option<IncomingRope> {
        let last = self.large.last_mut()?;
        if last.incoming.missing() == 0 {
            return None;
        }
        self.lent_large = Some(last.incoming.received());
        Some(std::mem::take(&mut last.incoming))
    }

    /// Whether the driver has a large argument.
    pub(super) fn is_incoming_lent(&self) -> bool {
        self.lent_large.is_some()
    }

    /// Takes back what [`Self::lend_incoming`] gave and returns how many bytes came.
    pub(super) fn accept_incoming(&mut self, incoming: IncomingRope) -> usize {
        let grown = incoming.received() - self.lent_large.take().unwrap_or_default();
        self.large_bytes += grown;
        if let Some(last) = self.large.last_mut() {
            last.incoming = incoming;
        }
        grown
    }

    /// Marks the first `count` bytes of the rest as consumed.
    pub(super) fn consume(&mut self, count: usize) {
        if count > 0 {
            self.large = Vec::new();
            self.large_bytes = 0;
        }
        self.start += count;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start > self.bytes.len() / 2 {
            self.cut();
        }
    }

    /// The buffer for the driver to append to, with what is left in it; an empty one while the rest
    /// must stay.
    pub(super) fn lend(&mut self, rest_must_stay: bool) -> Vec<u8> {
        // Where nothing is left, nothing has to stay, and who waits for long owns no buffer.
        if rest_must_stay && self.start < self.bytes.len() {
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
        if self.bytes.len() == self.start {
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
        input.consume(4);
        assert_eq!(receive(&mut input, true, b"next"), 4);
        assert_eq!(input.rest(), b"next");
    }

    #[test]
    fn nothing_is_kept_where_nothing_waits() {
        let mut input = Input::default();
        receive(&mut input, false, b"all of it");
        input.consume(9);
        let buffer = input.lend(true);
        assert!(buffer.capacity() > 0);
        assert_eq!((input.sizes().free, input.len()), (0, 0));
    }

    #[test]
    fn a_large_argument_is_taken_out_once_and_counted() {
        const LEN: usize = APART_BYTES + 100;
        let mut input = Input::default();
        receive(&mut input, false, b"done*2..head");
        input.consume(4);
        receive(&mut input, false, &[7; 50]);
        input.set_apart(8, APART_BYTES - 1);
        assert!(input.large().is_empty());
        input.set_apart(8, LEN);
        input.set_apart(8, LEN);
        assert_eq!((input.large().len(), input.rest()), (1, &b"*2..head"[..]));
        assert_eq!(input.len(), 8 + 50);
        let sizes = input.sizes();
        assert_eq!((sizes.unparsed, sizes.parsed), (50, 8));
        let mut incoming = input.lend_incoming().unwrap();
        assert!(input.is_incoming_lent());
        incoming.take(&[7; LEN]);
        assert_eq!(input.accept_incoming(incoming), LEN - 50);
        assert!(!input.is_incoming_lent());
        assert_eq!(receive(&mut input, false, b"\r\nnext"), 6);
        assert_eq!(input.len(), 8 + LEN + 6);
        let sizes = input.sizes();
        assert_eq!((sizes.unparsed, sizes.parsed), (LEN, 8 + 6));
        assert!(input.lend_incoming().is_none());
        input.consume(10);
        assert!(input.large().is_empty());
        assert_eq!((input.len(), input.rest()), (4, &b"next"[..]));
    }

    #[test]
    fn a_large_argument_that_lacks_only_its_line_end_stays() {
        let mut input = Input::default();
        receive(&mut input, false, &[7; APART_BYTES + 1]);
        input.set_apart(0, APART_BYTES);
        assert!(input.large().is_empty());
        assert_eq!(input.len(), APART_BYTES + 1);
    }
}
