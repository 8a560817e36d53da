//! The arguments of one command: borrowed from the receive buffer, or owned.
//!
//! An argument is a [`Span`] of a byte buffer rather than a slice, so a parser can hand out
//! positions while the buffer is still growing and moving, and a thread can keep one `Vec<Span>`
//! for all its connections. [`Args`] joins the two for reading and is two words wide per half: pass
//! it by value.
//!
//! A large argument may have been received apart, into a rope ([`LargeArg`]), and lie nowhere in
//! the buffer. Who can use a rope asks for it ([`Args::rope`]); for all others its bytes are put
//! together when they are first read.

use std::ops::{Index, Range};
use std::sync::OnceLock;

use kvik_rope::{IncomingRope, Rope};

use crate::Output;

/// Where one argument lies in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Span {
    /// The start of an argument that was received apart; its length is the number of it. No other
    /// lies there, as a whole command ends before.
    const LARGE: u32 = u32::MAX;

    /// The argument that was received apart as number `index`.
    pub(crate) fn large(index: usize) -> Self {
        Self {
            start: Self::LARGE,
            len: index as u32,
        }
    }
}

/// A large argument that is received apart from the bytes around it.
#[derive(Debug)]
pub struct LargeArg {
    /// Where it would begin, counted from the start of its command without what else was received
    /// apart.
    pub at: usize,
    /// The bytes received so far.
    pub incoming: IncomingRope,
    flat: OnceLock<Vec<u8>>,
}

impl LargeArg {
    /// An argument of `len` bytes that would begin at `at`.
    pub fn new(at: usize, len: usize) -> Self {
        Self {
            at,
            incoming: IncomingRope::new(len),
            flat: OnceLock::new(),
        }
    }

    fn text(&self) -> &[u8] {
        let rope = self.incoming.rope();
        // Put together once, by whoever first needs plain bytes; most commands take the rope.
        self.flat
            .get_or_init(|| rope.map_or_else(Vec::new, Rope::to_vec))
    }
}

/// The arguments of one command, the command's name first, borrowed from a buffer.
///
/// Reading an argument panics if its span does not lie in the buffer; spans filled by
/// [`crate::RequestParser`] do.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buffer: &'a [u8],
    spans: &'a [Span],
    large: &'a [LargeArg],
}

impl<'a> Args<'a> {
    /// The arguments at `spans` of `buffer`.
    pub fn new(buffer: &'a [u8], spans: &'a [Span]) -> Self {
        Self::with_large(buffer, spans, &[])
    }

    /// The arguments at `spans` of `buffer` and among those that were received apart.
    pub fn with_large(buffer: &'a [u8], spans: &'a [Span], large: &'a [LargeArg]) -> Self {
        Self {
            buffer,
            spans,
            large,
        }
    }

    #[inline]
    fn at(self, span: Span) -> &'a [u8] {
        let start = span.start as usize;
        match self.buffer.get(start..start + span.len as usize) {
            // A large argument has a start beyond every buffer, so the one bounds check finds it
            // too.
            Some(text) => text,
            None => self.text_apart(span),
        }
    }

    #[cold]
    fn text_apart(self, span: Span) -> &'a [u8] {
        assert!(
            span.start == Span::LARGE,
            "an argument lies in its buffer or apart"
        );
        self.large[span.len as usize].text()
    }

    /// The argument at `index` if it is a rope.
    #[inline]
    pub fn rope(self, index: usize) -> Option<&'a Rope> {
        let span = self.spans.get(index)?;
        if span.start != Span::LARGE {
            return None;
        }
        self.large.get(span.len as usize)?.incoming.rope()
    }

    /// Number of arguments, the command's name included.
    pub fn len(self) -> usize {
        self.spans.len()
    }

    /// Whether there is no argument at all, not even a name.
    pub fn is_empty(self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes that the arguments take, with what stands between them where they lie. Constant time
    /// unless some were received apart.
    #[inline]
    pub fn byte_len(self) -> usize {
        if !self.large.is_empty() {
            return self.byte_len_apart();
        }
        let (Some(first), Some(last)) = (self.spans.first(), self.spans.last()) else {
            return 0;
        };
        (last.start as usize + last.len as usize).saturating_sub(first.start as usize)
    }

    #[cold]
    fn byte_len_apart(self) -> usize {
        let len = |span: &Span| match span.start {
            Span::LARGE => self.large[span.len as usize].incoming.len(),
            _ => span.len as usize,
        };
        self.spans.iter().map(len).sum()
    }

    /// The argument at `index`.
    #[inline]
    pub fn get(self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| self.at(*span))
    }

    /// All arguments in order.
    pub fn iter(self) -> ArgsIter<'a> {
        ArgsIter {
            args: self,
            spans: self.spans.iter(),
        }
    }

    /// The arguments from `from` on; empty when there are not that many.
    pub fn tail(self, from: usize) -> Self {
        Self {
            spans: self.spans.get(from..).unwrap_or_default(),
            ..self
        }
    }

    /// The arguments in `range`, none where it leaves the list.
    pub fn slice(self, range: Range<usize>) -> Self {
        Self {
            spans: self.spans.get(range).unwrap_or_default(),
            ..self
        }
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        self.at(self.spans[index])
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|arg| arg.escape_ascii().to_string()))
            .finish()
    }
}

/// Iterator over the arguments of an [`Args`].
#[derive(Clone)]
pub struct ArgsIter<'a> {
    args: Args<'a>,
    spans: std::slice::Iter<'a, Span>,
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.spans.next().map(|span| self.args.at(*span))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<&'a [u8]> {
        self.spans.nth(n).map(|span| self.args.at(*span))
    }
}

impl DoubleEndedIterator for ArgsIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.spans.next_back().map(|span| self.args.at(*span))
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}

/// The arguments of one command, owned: for queued, blocked and generated commands.
///
/// ```
/// use kvik_resp::{ArgsBuf, encode_command};
///
/// let command: ArgsBuf = ["SET", "key", "value"].into_iter().collect();
/// assert_eq!(&command.as_args()[1], b"key");
/// let mut bytes = Vec::new();
/// encode_command(command.as_args(), &mut bytes);
/// assert!(bytes.starts_with(b"*3\r\n$3\r\nSET\r\n"));
/// ```
#[derive(Clone, Default)]
pub struct ArgsBuf {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl ArgsBuf {
    /// No arguments, no allocation.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Appends one argument.
    ///
    /// # Panics
    /// When all arguments together would exceed 4 GiB, which no parsed command does.
    pub fn push(&mut self, arg: &[u8]) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(arg);
        self.close_arg(start);
        self
    }

    /// Removes all arguments and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// Removes all but the first `len` arguments.
    pub fn truncate(&mut self, len: usize) {
        if let Some(first_gone) = self.spans.get(len) {
            self.bytes.truncate(first_gone.start as usize);
            self.spans.truncate(len);
        }
    }

    /// The arguments, borrowed.
    pub fn as_args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }

    /// Number of arguments.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no arguments.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Sum of the lengths of all arguments.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The buffer in which the next argument is being built; [`Self::close_arg`] makes it an
    /// argument.
    pub(crate) fn open_arg(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Everything from `start` to the end of the buffer becomes one argument.
    pub(crate) fn close_arg(&mut self, start: usize) {
        let end =
            u32::try_from(self.bytes.len()).expect("the arguments of one command exceed 4 GiB");
        let start = start as u32;
        self.spans.push(Span {
            start,
            len: end - start,
        });
    }
}

impl From<Args<'_>> for ArgsBuf {
    fn from(args: Args<'_>) -> Self {
        let mut owned = Self {
            bytes: Vec::with_capacity(args.iter().map(<[u8]>::len).sum()),
            spans: Vec::with_capacity(args.len()),
        };
        owned.extend(args);
        owned
    }
}

impl<T: AsRef<[u8]>> Extend<T> for ArgsBuf {
    fn extend<I: IntoIterator<Item = T>>(&mut self, args: I) {
        for arg in args {
            self.push(arg.as_ref());
        }
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for ArgsBuf {
    fn from_iter<I: IntoIterator<Item = T>>(args: I) -> Self {
        let mut owned = Self::new();
        owned.extend(args);
        owned
    }
}

impl std::fmt::Debug for ArgsBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_args().fmt(f)
    }
}

/// Appends a command as clients send it: an array of bulk strings.
pub fn encode_command(args: Args<'_>, out: &mut Vec<u8>) {
    // The writer of replies writes arrays and bulk strings too; the vector only passes through it.
    let mut output = Output::from(std::mem::take(out));
    let mut reply = crate::Reply::new(&mut output, crate::Protocol::Resp2);
    reply.array(args.len());
    for arg in args {
        reply.bulk(arg);
    }
    *out = output.into_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn args_read_from_both_ends_and_from_the_middle() {
        let owned: ArgsBuf = ["SET", "key", ""].iter().collect();
        let args = owned.as_args();
        assert_eq!(args.len(), 3);
        assert_eq!(&args[1], b"key");
        assert_eq!(args.get(2), Some(&b""[..]));
        assert_eq!(args.get(3), None);
        assert_eq!(
            args.iter().rev().map(<[u8]>::len).collect::<Vec<_>>(),
            [0, 3, 3]
        );
        assert_eq!(args.tail(1).iter().next(), Some(&b"key"[..]));
        assert!(args.tail(3).is_empty());
        assert!(args.tail(9).is_empty());
        assert_eq!(args.iter().len(), 3);
    }

    #[test]
    fn an_owned_copy_holds_only_the_arguments() {
        let buffer = b"xxGETyykeyzz";
        let spans = [Span { start: 2, len: 3 }, Span { start: 7, len: 3 }];
        let mut owned = ArgsBuf::from(Args::new(buffer, &spans));
        assert_eq!(owned.byte_len(), 6);
        assert_eq!(format!("{owned:?}"), r#"["GET", "key"]"#);
        owned.clear();
        assert!(owned.is_empty());
        owned.push(b"PING").push(b"\xff");
        assert_eq!(format!("{owned:?}"), r#"["PING", "\\xff"]"#);
    }

    #[test]
    fn a_command_is_encoded_as_bulk_strings() {
        let owned: ArgsBuf = [&b"GET"[..], b"\r\n"].into_iter().collect();
        let mut out = Vec::new();
        encode_command(owned.as_args(), &mut out);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n");
    }
}
