//! Writes replies in the protocol version of a connection.
//!
//! A handler says what it means (`map`, `double`, `null`) and [`Reply`] writes the RESP3 form or
//! what Redis sends to a RESP2 client instead. Everything is appended to one [`Output`]; a length
//! that is known only afterwards is inserted by [`Reply::finish_array`]. Nothing checks that as
//! many elements follow as a header announced: tests of the commands do.

use std::ops::Range;

use kvik_float::format_f64;
use kvik_rope::Rope;

use crate::output::{Output, OutputMark};

/// The protocol version of a connection, chosen by `HELLO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Strings, errors, integers, arrays and two kinds of null.
    #[default]
    Resp2,
    /// Also maps, sets, doubles, booleans, pushes and one null.
    Resp3,
}

/// Appends replies to an output buffer.
///
/// ```
/// use kvik_resp::{Output, Protocol, Reply};
///
/// let encode = |protocol| {
///     let mut output = Output::new();
///     let mut reply = Reply::new(&mut output, protocol);
///     let pairs = reply.deferred_map();
///     reply.bulk(b"score");
///     reply.double(0.5);
///     reply.finish_map(pairs, 1);
///     output.into_bytes()
/// };
/// assert_eq!(encode(Protocol::Resp3), b"%1\r\n$5\r\nscore\r\n,0.5\r\n");
/// assert_eq!(encode(Protocol::Resp2), b"*2\r\n$5\r\nscore\r\n$3\r\n0.5\r\n");
/// ```
pub struct Reply<'a> {
    out: &'a mut Output,
    protocol: Protocol,
}

/// A place in the output that still needs the header of a collection.
#[must_use = "an array without header is a broken reply: pass this to Reply::finish_array or its like"]
#[derive(Debug)]
pub struct Deferred {
    place: OutputMark,
}

impl<'a> Reply<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Output, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// The protocol version in which replies are written.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Writes what follows in another version, as `HELLO` does.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Bytes in the output buffer, those of earlier replies included.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether the output buffer is empty.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes back everything written since the buffer was `len` bytes long.
    pub fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// Bytes that are already encoded.
    #[inline]
    pub fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// A status line. Line breaks in it become blanks.
    pub fn simple(&mut self, status: &str) {
        self.line(b'+', status.as_bytes());
    }

    /// As [`Self::simple`], for a text that quotes what a client sent.
    pub fn simple_bytes(&mut self, status: &[u8]) {
        self.line(b'+', status);
    }

    /// An error line: its code and text without the leading `-`. Line breaks in it become blanks.
    pub fn error(&mut self, error: &str) {
        self.line(b'-', error.as_bytes());
    }

    /// As [`Self::error`], for a text that quotes what a client sent.
    pub fn error_bytes(&mut self, error: &[u8]) {
        self.line(b'-', error);
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        // Counts and flags are most integers: one append instead of three.
        if (0..10).contains(&value) {
            self.raw(&[b':', b'0' + value as u8, b'\r', b'\n']);
        } else {
            self.out.bytes.push(b':');
            self.raw(itoa::Buffer::new().format(value).as_bytes());
            self.crlf();
        }
    }

    /// An integer that may be larger than a signed one, which many clients do not expect.
    pub fn unsigned(&mut self, value: u64) {
        self.out.bytes.push(b':');
        self.raw(itoa::Buffer::new().format(value).as_bytes());
        self.crlf();
    }

    /// A string of any bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.raw(bytes);
        self.crlf();
    }

    /// The bytes in `range` of a rope as a string: many are sent from where they are.
    pub fn bulk_rope(&mut self, rope: &Rope, range: Range<usize>) {
        self.header(b'$', range.len());
        self.out.push_rope(rope, range);
        self.crlf();
    }

    /// Replies that are already written elsewhere.
    pub fn append(&mut self, written: Output) {
        self.out.append(written);
    }

    /// A string of text, with a length in front.
    pub fn bulk_str(&mut self, text: &str) {
        self.bulk(text.as_bytes());
    }

    /// No value: `$-1` or `_`.
    pub fn null(&mut self) {
        self.either(b"$-1\r\n", b"_\r\n");
    }

    /// No array: `*-1` or `_`.
    pub fn null_array(&mut self) {
        self.either(b"*-1\r\n", b"_\r\n");
    }

    /// The header of an array of `len` elements.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// The header of a map of `pairs` keys and values; RESP2: an array of twice as many elements.
    pub fn map(&mut self, pairs: usize) {
        self.pairs_header(b'%', pairs);
    }

    /// The header of a set of `len` elements; RESP2: an array.
    pub fn set(&mut self, len: usize) {
        self.header(self.resp3_or(b'~', b'*'), len);
    }

    /// The header of an out-of-band message of `len` elements; RESP2: an array.
    pub fn push(&mut self, len: usize) {
        self.header(self.resp3_or(b'>', b'*'), len);
    }

    /// The header of `pairs` attributes of the reply that follows. Only RESP3 has them: to a RESP2
    /// client write none.
    pub fn attribute(&mut self, pairs: usize) {
        debug_assert_eq!(self.protocol, Protocol::Resp3, "RESP2 has no attributes");
        self.header(b'|', pairs);
    }

    /// A floating-point number, with as few digits as identify it; RESP2: as a string.
    pub fn double(&mut self, value: f64) {
        self.double_text(format_f64(value).as_bytes());
    }

    /// A floating-point number that is already printed; RESP2: as a string.
    pub fn double_text(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => self.line(b',', text),
        }
    }

    /// A truth value; RESP2: 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        match self.protocol {
            Protocol::Resp2 => self.integer(value.into()),
            Protocol::Resp3 => self.raw(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// Text with a three-letter format such as `txt` or `mkd`; RESP2: as a string.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3, "a verbatim format has three characters");
        if self.protocol == Protocol::Resp2 {
            return self.bulk(text);
        }
        self.header(b'=', format.len() + 1 + text.len());
        self.raw(format.as_bytes());
        self.out.bytes.push(b':');
        self.raw(text);
        self.crlf();
    }

    /// An integer of any size, as decimal digits; RESP2: as a string.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits),
            Protocol::Resp3 => self.line(b'(', digits),
        }
    }

    /// Starts an array whose length is not known yet; [`Self::finish_array`] ends it.
    pub fn deferred_array(&mut self) -> Deferred {
        self.out.open += 1;
        Deferred {
            place: self.out.place(),
        }
    }

    /// Starts a set whose length is not known yet; [`Self::finish_set`] ends it.
    pub fn deferred_set(&mut self) -> Deferred {
        self.deferred_array()
    }

    /// Takes memory for so many bytes more, if there is none.
    pub fn make_room(&mut self, bytes: usize) {
        self.out.bytes.reserve(bytes);
    }

    /// Takes what has been written so far, to be sent before the rest is written, unless a deferred
    /// header is still to come. Nothing of it can be taken back then.
    pub fn take_written(&mut self) -> Option<Output> {
        self.out.take_written()
    }

    /// Starts a map whose length is not known yet; [`Self::finish_map`] ends it.
    pub fn deferred_map(&mut self) -> Deferred {
        self.deferred_array()
    }

    /// Writes the header of a deferred array before the `len` elements that were written since.
    /// Costs one move of their bytes.
    pub fn finish_array(&mut self, deferred: Deferred, len: usize) {
        self.finish(deferred, b'*', len);
    }

    /// As [`Self::finish_array`], for a set.
    pub fn finish_set(&mut self, deferred: Deferred, len: usize) {
        self.finish(deferred, self.resp3_or(b'~', b'*'), len);
    }

    /// As [`Self::finish_array`], for a map of `pairs` keys and values.
    pub fn finish_map(&mut self, deferred: Deferred, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.finish(deferred, b'*', 2 * pairs),
            Protocol::Resp3 => self.finish(deferred, b'%', pairs),
        }
    }

    fn finish(&mut self, deferred: Deferred, kind: u8, len: usize) {
        self.out.open = self.out.open.saturating_sub(1);
        // The header is written at the end, where it always is, and then moved before its elements.
        let end = self.out.bytes.len();
        self.header(kind, len);
        self.out.move_tail(end, deferred.place);
    }

    fn pairs_header(&mut self, kind: u8, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', 2 * pairs),
            Protocol::Resp3 => self.header(kind, pairs),
        }
    }

    fn resp3_or(&self, resp3: u8, resp2: u8) -> u8 {
        match self.protocol {
            Protocol::Resp2 => resp2,
            Protocol::Resp3 => resp3,
        }
    }

    fn either(&mut self, resp2: &[u8], resp3: &[u8]) {
        self.raw(match self.protocol {
            Protocol::Resp2 => resp2,
            Protocol::Resp3 => resp3,
        });
    }

    #[inline]
    fn header(&mut self, kind: u8, len: usize) {
        // Most lengths have one digit or two: the header is one append then.
        if len < 10 {
            self.raw(&[kind, b'0' + len as u8, b'\r', b'\n']);
        } else if len < 100 {
            self.raw(&[
                kind,
                b'0' + (len / 10) as u8,
                b'0' + (len % 10) as u8,
                b'\r',
                b'\n',
            ]);
        } else {
            self.out.bytes.push(kind);
            self.raw(itoa::Buffer::new().format(len).as_bytes());
            self.crlf();
        }
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.bytes.push(kind);
        let start = self.out.bytes.len();
        self.raw(text);
        // A line break would end the line, and the rest would be taken for another reply.
        for byte in &mut self.out.bytes[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.crlf();
    }

    #[inline]
    fn crlf(&mut self) {
        self.raw(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the bytes that `write` writes in RESP2 and in RESP3.
    #[track_caller]
    fn check(write: impl Fn(&mut Reply<'_>), resp2: &str, resp3: &str) {
        for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
            let mut out = Output::new();
            write(&mut Reply::new(&mut out, protocol));
            assert_eq!(
                out.into_bytes().escape_ascii().to_string(),
                expected.escape_default().to_string(),
                "{protocol:?}"
            );
        }
    }

    #[track_caller]
    fn check_same(write: impl Fn(&mut Reply<'_>), expected: &str) {
        check(write, expected, expected);
    }

    #[test]
    fn strings_errors_and_integers_are_the_same_in_both_versions() {
        check_same(|reply| reply.ok(), "+OK\r\n");
        check_same(|reply| reply.simple("PONG"), "+PONG\r\n");
        check_same(|reply| reply.error("ERR no"), "-ERR no\r\n");
        check_same(|reply| reply.error("ERR a\r\nb\nc"), "-ERR a  b c\r\n");
        check_same(|reply| reply.bulk(b""), "$0\r\n\r\n");
        check_same(|reply| reply.bulk_str("a\r\nb"), "$4\r\na\r\nb\r\n");
        check_same(|reply| reply.integer(7), ":7\r\n");
        check_same(|reply| reply.integer(-1), ":-1\r\n");
        check_same(|reply| reply.integer(i64::MIN), ":-9223372036854775808\r\n");
        check_same(|reply| reply.raw(b"+X\r\n"), "+X\r\n");
    }

    #[test]
    fn headers_of_any_length_are_decimal() {
        for len in [0, 9, 10, 99, 100, 12_345] {
            check_same(|reply| reply.array(len), &format!("*{len}\r\n"));
        }
    }

    #[test]
    fn resp3_types_have_a_resp2_form() {
        check(|reply| reply.null(), "$-1\r\n", "_\r\n");
        check(|reply| reply.null_array(), "*-1\r\n", "_\r\n");
        check(|reply| reply.map(6), "*12\r\n", "%6\r\n");
        check(|reply| reply.set(2), "*2\r\n", "~2\r\n");
        check(|reply| reply.push(3), "*3\r\n", ">3\r\n");
        check(|reply| reply.boolean(true), ":1\r\n", "#t\r\n");
        check(|reply| reply.boolean(false), ":0\r\n", "#f\r\n");
        check(
            |reply| reply.verbatim("txt", b"a\nb"),
            "$3\r\na\nb\r\n",
            "=7\r\ntxt:a\nb\r\n",
        );
        check(
            |reply| reply.big_number(b"-123"),
            "$4\r\n-123\r\n",
            "(-123\r\n",
        );
        check(|reply| reply.double(0.1), "$3\r\n0.1\r\n", ",0.1\r\n");
        check(
            |reply| reply.double(f64::NEG_INFINITY),
            "$4\r\n-inf\r\n",
            ",-inf\r\n",
        );
        check(
            |reply| reply.double_text(b"0.25"),
            "$4\r\n0.25\r\n",
            ",0.25\r\n",
        );
    }

    #[test]
    fn a_deferred_header_lands_before_its_elements() {
        let nested = |reply: &mut Reply<'_>| {
            reply.ok();
            let outer = reply.deferred_map();
            reply.bulk(b"k");
            let inner = reply.deferred_array();
            for i in 0..12 {
                reply.integer(i % 2);
            }
            reply.finish_array(inner, 12);
            reply.finish_map(outer, 1);
        };
        let elements = ":0\r\n:1\r\n".repeat(6);
        let inside = format!("$1\r\nk\r\n*12\r\n{elements}");
        check(
            nested,
            &format!("+OK\r\n*2\r\n{inside}"),
            &format!("+OK\r\n%1\r\n{inside}"),
        );
    }

    #[test]
    fn a_reply_can_be_taken_back() {
        check_same(
            |reply| {
                reply.ok();
                let len = reply.len();
                reply.array(2);
                reply.truncate(len);
                reply.error("ERR");
            },
            "+OK\r\n-ERR\r\n",
        );
    }
}
