//! Finds the next command in a receive buffer.
//!
//! A command is an array of bulk strings (`*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`) or a line of text. The
//! parser hands out the arguments as [`Span`]s relative to the start of the command, so the receive
//! buffer may move while a command is incomplete, and it remembers how far it came, so every byte
//! is looked at once however the network cuts the stream. What a header announces is only compared
//! with the limits: memory is taken for arguments that have arrived.
//!
//! The checks and texts are those of Valkey 9, whose one difference from Redis is that the line
//! ends must be right. The parser does not know commands, and nothing but framing makes it fail.

use crate::number::parse_i64;
use crate::{Args, ArgsBuf, LargeArg, Span, Text, inline};

/// Limits of the commands of a client.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest line of text, and longest header line, in bytes.
    pub max_inline: usize,
    /// Most arguments of one command.
    pub max_args: usize,
    /// Longest argument in bytes.
    pub max_bulk: u64,
    /// Whether these are the narrow limits of a client that has yet to authenticate; it chooses the
    /// error text.
    pub unauthenticated: bool,
}

impl Limits {
    /// For a client that must authenticate first: as much as a `HELLO 3 AUTH user password SETNAME
    /// name` needs.
    pub fn unauthenticated() -> Self {
        Self {
            max_args: 10,
            max_bulk: 16 * 1024,
            unauthenticated: true,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_inline: 64 * 1024,
            max_args: i32::MAX as usize,
            max_bulk: 512 << 20,
            unauthenticated: false,
        }
    }
}

/// The result of [`RequestParser::parse`] for the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole command of `consumed` bytes; the spans hold its arguments. Without arguments (`*0`,
    /// `*-1`) there is nothing to execute and nothing to answer.
    Command {
        /// Length of the command in the input.
        consumed: usize,
    },
    /// A whole line of text; its arguments, possibly none, are in [`RequestParser::inline_args`].
    Inline {
        /// Length of the line in the input, its end included.
        consumed: usize,
    },
    /// The command does not end in this input.
    Incomplete {
        /// How long the input must at least be for the next step: a hint for growing the buffer. It
        /// is what a client announced, so never allocate it all at once.
        needed: usize,
    },
}

/// Why a byte stream is not a sequence of commands. Nothing after it can be trusted: answer and
/// close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A line of text longer than [`Limits::max_inline`].
    BigInlineRequest,
    /// A quote of an inline command was not closed, or was followed by something.
    UnbalancedQuotes,
    /// The line after `*` does not end.
    BigMultibulkCount,
    /// The number after `*` is not one, or exceeds [`Limits::max_args`].
    InvalidMultibulkLength,
    /// More arguments than a client may send before it authenticates.
    UnauthenticatedMultibulkLength,
    /// The line of an argument's length does not end.
    BigBulkCount,
    /// An argument starts with this byte instead of `$`.
    ExpectedBulk(u8),
    /// The number after `$` is not one, or exceeds [`Limits::max_bulk`].
    InvalidBulkLength,
    /// A longer argument than a client may send before it authenticates.
    UnauthenticatedBulkLength,
    /// A header or an argument does not end in `\r\n`.
    InvalidCrlf,
    /// The whole command exceeds the 4 GiB that a [`Span`] can address.
    BigRequest,
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Protocol error: ")?;
        f.write_str(match self {
            Self::BigInlineRequest => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::BigMultibulkCount => "too big mbulk count string",
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            Self::BigBulkCount => "too big bulk count string",
            Self::ExpectedBulk(got) => {
                return write!(f, "expected '$', got '{}'", char::from(*got));
            }
            Self::InvalidBulkLength => "invalid bulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
            Self::InvalidCrlf => "invalid CRLF in request",
            Self::BigRequest => "request exceeds 4 GiB",
        })
    }
}

impl std::error::Error for ProtocolError {}

impl ProtocolError {
    /// The text for the client, without an error code. It holds the very byte that was received,
    /// which `Display` can show as a character only.
    pub fn to_text(self) -> Text {
        match self {
            Self::ExpectedBulk(got) => Text::from(
                &[&b"Protocol error: expected '$', got '"[..], &[got], b"'"].concat()[..],
            ),
            other => other.to_string().into(),
        }
    }
}

/// Up to so many arguments of an unfinished command are copied between the caller's vector and the
/// parser's. With more the vectors change places, as copying a million of them for each packet
/// would be quadratic.
const FEW: usize = 64;

/// The parser of one connection: where it stands in an unfinished command. Holds no memory between
/// commands, except for the longest inline command so far.
///
/// ```
/// use kvik_resp::{Args, Limits, Parsed, RequestParser};
///
/// let (mut parser, mut spans) = (RequestParser::new(), Vec::new());
/// let input = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nrest";
///
/// // The first packet holds a part of the command.
/// let first = parser.parse(&input[..9], &Limits::default(), &mut spans)?;
/// assert!(matches!(first, Parsed::Incomplete { .. }));
///
/// // The next call gets the same bytes and more.
/// let whole = parser.parse(input, &Limits::default(), &mut spans)?;
/// assert_eq!(whole, Parsed::Command { consumed: 20 });
/// let args = Args::new(input, &spans);
/// assert_eq!(args.iter().collect::<Vec<_>>(), [b"GET".as_slice(), b"k"]);
/// # Ok::<(), kvik_resp::ProtocolError>(())
/// ```
#[derive(Debug, Default)]
pub struct RequestParser {
    /// Everything before this offset of the current command is parsed.
    parsed: usize,
    /// No line end lies between `parsed` and here.
    scanned: usize,
    /// Arguments still to come; 0 = the command's first line is not parsed yet.
    missing: usize,
    /// Length of the argument at `parsed`, once its header is parsed.
    bulk: Option<usize>,
    /// Arguments of an unfinished command.
    spans: Vec<Span>,
    /// How many of them were received apart, and their bytes.
    large: usize,
    large_bytes: usize,
    inline: ArgsBuf,
}

impl RequestParser {
    /// A parser at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses the command that starts at `input[0]` and replaces `spans` by its arguments.
    ///
    /// After `Incomplete` call again with the same bytes and more behind them. `spans` need not be
    /// kept in between: the parser does that.
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        spans.clear();
        self.parse_append(input, limits, spans)
    }

    /// As [`Self::parse`], but appends to `spans`, so that the commands of a pipeline can share one
    /// vector. Each command's spans are relative to its own start.
    pub fn parse_append(
        &mut self,
        input: &[u8],
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        self.parse_with(input, &[], limits, spans)
    }

    /// As [`Self::parse_append`], where arguments of this command were received apart: from `input`
    /// they are left out.
    #[inline]
    pub fn parse_with(
        &mut self,
        input: &[u8],
        large: &[LargeArg],
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        if self.missing == 0 {
            // Nearly every command is small and whole, and needs none of the state below.
            if large.is_empty()
                && let Some(consumed) = self.parse_small(input, limits, spans)
            {
                return Ok(Parsed::Command { consumed });
            }
            match input.first() {
                None => return Ok(Parsed::Incomplete { needed: 1 }),
                Some(b'*') => {}
                Some(_) => return self.parse_inline(input, limits),
            }
            match self.take_count(input, limits)? {
                None => {
                    return Ok(Parsed::Incomplete {
                        needed: input.len() + 1,
                    });
                }
                Some(0) => {
                    return Ok(Parsed::Command {
                        consumed: self.finish(),
                    });
                }
                Some(count) => self.missing = count,
            }
        }
        self.parse_args(input, large, limits, spans)
    }

    /// After `Incomplete`: start and length of the argument that has not come whole.
    pub fn unfinished_argument(&self) -> Option<(usize, usize)> {
        self.bulk.map(|len| (self.parsed, len))
    }

    /// A whole command of at most 99 arguments of at most 99 bytes, which is what most commands
    /// are. Anything else is left to the general case.
    #[inline]
    fn parse_small(&self, input: &[u8], limits: &Limits, spans: &mut Vec<Span>) -> Option<usize> {
        // A command that came in pieces has state, and narrow limits have their own errors: both
        // are for the general case.
        let (count, mut at) = small_count(input)?;
        if self.parsed > 0
            || self.scanned > 0
            || limits.max_bulk < SMALL_BULK
            || limits.max_args < count
        {
            return None;
        }
        let base = spans.len();
        for _ in 0..count {
            // Nothing is kept of a command that is cut off: it is parsed again from its start, with
            // state.
            let Some(span) = small_argument(input, at) else {
                spans.truncate(base);
                return None;
            };
            at = (span.start + span.len) as usize + 2;
            spans.push(span);
        }
        Some(at)
    }

    /// The arguments of the line that was last reported as [`Parsed::Inline`].
    pub fn inline_args(&self) -> Args<'_> {
        self.inline.as_args()
    }

    fn parse_args(
        &mut self,
        input: &[u8],
        large: &[LargeArg],
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        let base = spans.len();
        self.restore(spans);
        while self.missing > 0 {
            let Some(len) = self.take_bulk_len(input, limits)? else {
                return Ok(self.suspend(spans, base, input.len() + 1));
            };
            // Only the bytes of a large argument lie elsewhere; its header and its line end are in
            // the input.
            let is_large = large
                .get(self.large)
                .is_some_and(|next| next.at == self.parsed);
            let end = self.parsed + if is_large { 0 } else { len };
            match input.get(end..end + 2) {
                Some(b"\r\n") => {}
                Some(_) => return Err(ProtocolError::InvalidCrlf),
                None => {
                    // The header is parsed: the next call begins with the bytes of this argument.
                    self.bulk = Some(len);
                    return Ok(self.suspend(spans, base, end + 2));
                }
            }
            if is_large {
                spans.push(Span::large(self.large));
                self.large += 1;
                self.large_bytes += len;
            } else {
                // Both fit: take_bulk_len refuses an argument that ends beyond 4 GiB.
                spans.push(Span {
                    start: self.parsed as u32,
                    len: len as u32,
                });
            }
            self.parsed = end + 2;
            self.missing -= 1;
        }
        Ok(Parsed::Command {
            consumed: self.finish(),
        })
    }

    /// Parses `*N\r\n`; a negative N counts as 0. `None` when the line is not complete.
    fn take_count(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, ProtocolError> {
        let (count, next) = match short_header(&input[1..]) {
            Some((count, len)) => (count as i64, 1 + len),
            None => {
                let Some(end) =
                    self.find_header_end(input, limits, ProtocolError::BigMultibulkCount)?
                else {
                    return Ok(None);
                };
                let count =
                    parse_i64(&input[1..end]).ok_or(ProtocolError::InvalidMultibulkLength)?;
                (count, end + 2)
            }
        };
        self.parsed = next;
        // Redis takes `*-1` for an empty command.
        let count = usize::try_from(count).unwrap_or(0);
        if count <= limits.max_args {
            Ok(Some(count))
        } else if limits.unauthenticated && count <= Limits::default().max_args {
            Err(ProtocolError::UnauthenticatedMultibulkLength)
        } else {
            Err(ProtocolError::InvalidMultibulkLength)
        }
    }

    /// Parses `$N\r\n` unless that is already done. `None` when the line is not complete.
    fn take_bulk_len(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, ProtocolError> {
        // The header was parsed by the call that ran out of input.
        if let Some(len) = self.bulk.take() {
            return Ok(Some(len));
        }
        let (len, next) = match input.get(self.parsed..) {
            Some([b'$', rest @ ..]) if let Some((len, used)) = short_header(rest) => {
                (len as u64, self.parsed + 1 + used)
            }
            _ => {
                let Some(end) = self.find_header_end(input, limits, ProtocolError::BigBulkCount)?
                else {
                    return Ok(None);
                };
                (long_bulk_len(&input[self.parsed..end])?, end + 2)
            }
        };
        self.parsed = next;
        check_bulk_len(len, next + self.large_bytes, limits).map(Some)
    }

    /// The offset of the `\r\n` that ends the header line at `parsed`, `None` when it has not
    /// arrived.
    fn find_header_end(
        &mut self,
        input: &[u8],
        limits: &Limits,
        too_big: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = self.find_in_line(b'\r', input, limits, too_big)? else {
            return Ok(None);
        };
        match input.get(end + 1) {
            None => Ok(None),
            // A carriage return alone ends no line, as in Valkey 9.
            Some(b'\n') => Ok(Some(end)),
            Some(_) => Err(ProtocolError::InvalidCrlf),
        }
    }

    /// Looks for the end of the line at `parsed` in what has not been scanned before.
    fn find_in_line(
        &mut self,
        end: u8,
        input: &[u8],
        limits: &Limits,
        too_big: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        // One byte more than a line may have: enough to see that it is too long.
        let longest = input.len().min(
            self.parsed
                .saturating_add(limits.max_inline)
                .saturating_add(1),
        );
        // Bytes of earlier calls are not looked at again, so a line that comes byte by byte is not
        // quadratic.
        let from = self.scanned.max(self.parsed).min(longest);
        if let Some(found) = memchr::memchr(end, &input[from..longest]) {
            return Ok(Some(from + found));
        }
        self.scanned = longest;
        if longest - self.parsed > limits.max_inline {
            Err(too_big)
        } else {
            Ok(None)
        }
    }

    fn parse_inline(&mut self, input: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        let Some(newline) =
            self.find_in_line(b'\n', input, limits, ProtocolError::BigInlineRequest)?
        else {
            return Ok(Parsed::Incomplete {
                needed: input.len() + 1,
            });
        };
        // A lone `\n` ends a line too: people type these, with telnet or netcat.
        let line = input[..newline]
            .strip_suffix(b"\r")
            .unwrap_or(&input[..newline]);
        self.inline.clear();
        inline::split_line(line, &mut self.inline).map_err(|_| ProtocolError::UnbalancedQuotes)?;
        self.finish();
        Ok(Parsed::Inline {
            consumed: newline + 1,
        })
    }

    /// Puts the arguments of an unfinished command back behind those in `spans`.
    fn restore(&mut self, spans: &mut Vec<Span>) {
        if spans.is_empty() && self.spans.len() > FEW {
            // No other command shares the vector: swapping it is O(1).
            std::mem::swap(spans, &mut self.spans);
        } else {
            spans.append(&mut self.spans);
        }
    }

    /// Keeps the arguments found so far, those behind `base`, for the next call.
    fn suspend(&mut self, spans: &mut Vec<Span>, base: usize, needed: usize) -> Parsed {
        if base == 0 && spans.len() > FEW {
            std::mem::swap(spans, &mut self.spans);
        } else {
            self.spans.extend_from_slice(&spans[base..]);
            spans.truncate(base);
        }
        Parsed::Incomplete { needed }
    }

    /// Ready for the next command; returns the length of this one.
    fn finish(&mut self) -> usize {
        self.scanned = 0;
        self.spans = Vec::new();
        (self.large, self.large_bytes) = (0, 0);
        std::mem::take(&mut self.parsed)
    }
}

/// Value and length of `N\r\n` in its common form, a few digits; anything else is left to the
/// careful way.
#[inline]
fn short_header(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().enumerate().take(8) {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            value = value * 10 + usize::from(digit);
            continue;
        }
        // `$007` and `$` alone are errors, which the careful way reports.
        let canonical = i == 1 || (i > 1 && bytes[0] != b'0');
        return (canonical && bytes[i..].starts_with(b"\r\n")).then_some((value, i + 2));
    }
    None
}

/// Longest argument of [`RequestParser::parse_small`].
const SMALL_BULK: u64 = 99;

/// The number of arguments and where the first one begins, if the number has one or two digits in
/// canonical form.
#[inline]
fn small_count(input: &[u8]) -> Option<(usize, usize)> {
    match *input {
        [b'*', ones @ b'1'..=b'9', b'\r', b'\n', ..] => Some((usize::from(ones - b'0'), 4)),
        [
            b'*',
            tens @ b'1'..=b'9',
            ones @ b'0'..=b'9',
            b'\r',
            b'\n',
            ..,
        ] => Some((usize::from((tens - b'0') * 10 + (ones - b'0')), 5)),
        _ => None,
    }
}

/// The argument at `at`, if it is whole and its length has one or two digits in canonical form. The
/// header is compared in one piece but for the digits.
#[inline]
fn small_argument(input: &[u8], at: usize) -> Option<Span> {
    const ONE_DIGIT: u32 = u32::from_le_bytes(*b"$\0\r\n");
    const TWO_DIGITS: u32 = u32::from_le_bytes(*b"$\0\0\r");
    let header = input.get(at..at + 5)?;
    // `$`, digits and line end are compared as one word; the digits are masked out and checked
    // apart.
    let word = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let (first, second) = ((word >> 8) as u8, (word >> 16) as u8);
    let (first, second) = (first.wrapping_sub(b'0'), second.wrapping_sub(b'0'));
    let (len, start) = if word & 0xFFFF_00FF == ONE_DIGIT && first < 10 {
        // `$N\r\n`
        (first, at + 4)
    } else if word & 0xFF00_00FF == TWO_DIGITS
        && header[4] == b'\n'
        && (1..10).contains(&first)
        && second < 10
    {
        // `$NN\r\n`, of which the last byte does not fit into the word
        (first * 10 + second, at + 5)
    } else {
        return None;
    };
    let end = start + usize::from(len);
    let is_whole = input.get(end..end + 2)? == b"\r\n";
    is_whole.then_some(Span {
        start: start as u32,
        len: u32::from(len),
    })
}

fn long_bulk_len(line: &[u8]) -> Result<u64, ProtocolError> {
    match line {
        [b'$', digits @ ..] => parse_i64(digits)
            .and_then(|len| u64::try_from(len).ok())
            .ok_or(ProtocolError::InvalidBulkLength),
        // An empty line has no first byte; its end is what was received instead.
        _ => Err(ProtocolError::ExpectedBulk(
            line.first().copied().unwrap_or(b'\r'),
        )),
    }
}

/// Checks an announced length against the limits and against what a [`Span`] can address from
/// `start`.
#[inline]
fn check_bulk_len(len: u64, start: usize, limits: &Limits) -> Result<usize, ProtocolError> {
    const CRLF: u64 = 2;
    if len > limits.max_bulk {
        // The text tells a client whether logging in would help.
        let only_unauthenticated = limits.unauthenticated && len <= Limits::default().max_bulk;
        return Err(if only_unauthenticated {
            ProtocolError::UnauthenticatedBulkLength
        } else {
            ProtocolError::InvalidBulkLength
        });
    }
    let end = (start as u64).saturating_add(len).saturating_add(CRLF);
    if end > u64::from(u32::MAX) {
        Err(ProtocolError::BigRequest)
    } else {
        Ok(len as usize)
    }
}

#[cfg(test)]
mod tests;
