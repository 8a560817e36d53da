//! Reads replies again that were written in RESP2, to say the same in another protocol.
//!
//! A door that speaks no RESP has its commands answered into an [`Output`] of its own and goes
//! through it with a [`ReplyReader`], value by value. Large strings keep lying where they are: they
//! pass from one output to the other as pieces. The bytes are a [`Reply`](crate::Reply)'s, so
//! nothing here has to be defended against; what is no reply reads as the end.

use crate::output::{Output, OutputPiece};

/// The next value of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyToken<'a> {
    /// A status line.
    Simple(&'a [u8]),
    /// An error line: code and text.
    Error(&'a [u8]),
    /// An integer.
    Integer(i64),
    /// The header of a string of so many bytes; [`ReplyReader::string_to`] or
    /// [`ReplyReader::string`] must take it next.
    String(usize),
    /// No string, or no array.
    Null,
    /// The header of so many values.
    Array(usize),
}

/// Goes through the replies in an output.
///
/// ```
/// use kvik_resp::{Output, Protocol, Reply, ReplyReader, ReplyToken};
///
/// let mut written = Output::new();
/// let mut reply = Reply::new(&mut written, Protocol::Resp2);
/// reply.array(2);
/// reply.integer(7);
/// reply.bulk(b"seven");
/// let mut reader = ReplyReader::new(&written);
/// assert_eq!(reader.next(), Some(ReplyToken::Array(2)));
/// assert_eq!(reader.next(), Some(ReplyToken::Integer(7)));
/// assert_eq!(reader.next(), Some(ReplyToken::String(5)));
/// assert_eq!(&*reader.string(5), b"seven");
/// assert_eq!(reader.next(), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ReplyReader<'a> {
    bytes: &'a [u8],
    pieces: &'a [OutputPiece],
    /// How many of the own bytes have been read.
    at: usize,
}

impl<'a> ReplyReader<'a> {
    /// A reader at the start of an output.
    pub fn new(written: &'a Output) -> Self {
        let (bytes, pieces) = written.parts();
        Self {
            bytes,
            pieces,
            at: 0,
        }
    }

    /// The next value or header; `None` at the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "between two values a string may have to be taken, which an iterator cannot do"
    )]
    pub fn next(&mut self) -> Option<ReplyToken<'a>> {
        let rest = self.bytes.get(self.at..)?;
        let (&kind, behind) = rest.split_first()?;
        let len = memchr::memchr(b'\r', behind)?;
        let line = &behind[..len];
        self.at += 1 + len + 2;
        Some(match kind {
            b'+' => ReplyToken::Simple(line),
            b'-' => ReplyToken::Error(line),
            b':' => ReplyToken::Integer(number(line)),
            b'$' | b'*' if line.first() == Some(&b'-') => ReplyToken::Null,
            b'$' => ReplyToken::String(number(line) as usize),
            b'*' => ReplyToken::Array(number(line) as usize),
            _ => return None,
        })
    }

    /// Appends the string whose header was read, and goes on behind it.
    pub fn string_to(&mut self, len: usize, out: &mut Output) {
        let mut left = len;
        while let Some(first) = self.pieces.first()
            && left > 0
            && first.at <= self.at
        {
            out.push_piece(first.piece.clone());
            left = left.saturating_sub(first.piece.len());
            self.pieces = &self.pieces[1..];
        }
        out.extend_from_slice(self.own(left));
        self.at += 2;
    }

    /// The string whose header was read, in one place; goes on behind it.
    pub fn string(&mut self, len: usize) -> std::borrow::Cow<'a, [u8]> {
        if self.pieces.first().is_none_or(|first| first.at > self.at) {
            let text = self.own(len);
            self.at += 2;
            return text.into();
        }
        let mut out = Output::new();
        self.string_to(len, &mut out);
        out.into_bytes().into()
    }

    fn own(&mut self, len: usize) -> &'a [u8] {
        let text = self.bytes.get(self.at..self.at + len).unwrap_or_default();
        self.at += len;
        text
    }
}

fn number(line: &[u8]) -> i64 {
    crate::number::parse_i64(line).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::BY_REFERENCE_BYTES;
    use crate::{Protocol, Reply};
    use kvik_rope::Rope;

    #[test]
    fn large_strings_pass_as_pieces_between_small_ones() {
        let text: Vec<u8> = (0..5 * BY_REFERENCE_BYTES).map(|at| at as u8).collect();
        let rope = Rope::from(&text[..]);
        let mut written = Output::new();
        let mut reply = Reply::new(&mut written, Protocol::Resp2);
        reply.array(4);
        reply.bulk(b"small");
        reply.bulk_rope(&rope, 0..text.len());
        reply.null();
        reply.bulk_rope(&rope, 1..text.len());
        let (mut reader, mut out) = (ReplyReader::new(&written), Output::new());
        assert_eq!(reader.next(), Some(ReplyToken::Array(4)));
        assert_eq!(reader.next(), Some(ReplyToken::String(5)));
        reader.string_to(5, &mut out);
        assert_eq!(reader.next(), Some(ReplyToken::String(text.len())));
        reader.string_to(text.len(), &mut out);
        assert_eq!(reader.next(), Some(ReplyToken::Null));
        assert_eq!(reader.next(), Some(ReplyToken::String(text.len() - 1)));
        assert!(*reader.string(text.len() - 1) == text[1..]);
        assert_eq!(reader.next(), None);
        assert!(!out.parts().1.is_empty());
        assert_eq!(out.into_bytes(), [&b"small"[..], &text].concat());
    }

    #[test]
    fn lines_are_told_apart() {
        let mut written = Output::new();
        let mut reply = Reply::new(&mut written, Protocol::Resp2);
        reply.ok();
        reply.error("ERR no");
        reply.integer(-12);
        reply.null_array();
        reply.bulk(b"");
        let mut reader = ReplyReader::new(&written);
        assert_eq!(reader.next(), Some(ReplyToken::Simple(b"OK")));
        assert_eq!(reader.next(), Some(ReplyToken::Error(b"ERR no")));
        assert_eq!(reader.next(), Some(ReplyToken::Integer(-12)));
        assert_eq!(reader.next(), Some(ReplyToken::Null));
        assert_eq!(reader.next(), Some(ReplyToken::String(0)));
        assert!(reader.string(0).is_empty());
        assert_eq!(reader.next(), None);
    }
}
