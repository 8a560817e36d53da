//! Decodes replies, for clients.
//!
//! The decoder is fed the same growing buffer until a reply is whole. The collections it is inside
//! of are on an explicit stack, so depth costs no call stack, and it remembers how far it came, so
//! a large reply is not decoded again for each packet. A length that a header announces is checked
//! and never allocated in advance.
//!
//! RESP2 and RESP3 need no switch, their types have different first bytes. Streamed strings and
//! collections (`$?`, `*?`) are refused: no server sends them.

use crate::Value;
use crate::number::{parse_f64, parse_i64};

/// Limits of the replies of a server.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    /// Longest string in bytes.
    pub max_bulk: usize,
    /// Most elements of one collection; a map counts keys and values.
    pub max_elements: usize,
    /// Deepest nesting of collections.
    pub max_depth: usize,
    /// Longest line, for the types that are one, in bytes.
    pub max_line: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_bulk: 512 << 20,
            max_elements: i32::MAX as usize,
            max_depth: 128,
            max_line: 1 << 20,
        }
    }
}

/// Why a byte stream is not a sequence of replies. Nothing after it can be trusted: close the
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No type starts with this byte.
    UnknownType(u8),
    /// A length is not a number, or exceeds the limits.
    InvalidLength,
    /// A streamed string or collection.
    Streamed,
    /// The content of a line does not fit its type.
    InvalidLine,
    /// A line longer than [`DecodeLimits::max_line`].
    LongLine,
    /// A line or a string does not end in `\r\n`.
    MissingCrlf,
    /// A verbatim string without a format of three ASCII characters.
    InvalidVerbatim,
    /// Collections nested deeper than [`DecodeLimits::max_depth`].
    TooDeep,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::UnknownType(byte) => {
                return write!(f, "no reply starts with '{}'", byte.escape_ascii());
            }
            Self::InvalidLength => "invalid length in reply",
            Self::Streamed => "streamed replies are not supported",
            Self::InvalidLine => "invalid value in reply",
            Self::LongLine => "too long line in reply",
            Self::MissingCrlf => "missing line end in reply",
            Self::InvalidVerbatim => "verbatim string without format",
            Self::TooDeep => "too deeply nested reply",
        })
    }
}

impl std::error::Error for DecodeError {}

/// The decoder of one connection: the unfinished collections of the current reply.
///
/// ```
/// use kvik_resp::{ReplyDecoder, Value};
///
/// let mut decoder = ReplyDecoder::new();
/// let input = b"*2\r\n:1\r\n+OK\r\n";
/// assert_eq!(decoder.decode(&input[..7])?, None);
/// let (value, len) = decoder.decode(input)?.expect("the reply is whole");
/// assert_eq!(len, input.len());
/// assert_eq!(value, Value::Array(vec![Value::Integer(1), Value::Simple("OK".into())]));
/// # Ok::<(), kvik_resp::DecodeError>(())
/// ```
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    limits: DecodeLimits,
    /// Everything before this offset of the current reply is decoded.
    decoded: usize,
    /// No line end lies between `decoded` and here.
    scanned: usize,
    stack: Vec<Frame>,
}

/// A collection that still misses elements.
#[derive(Debug)]
struct Frame {
    kind: Collection,
    missing: usize,
    values: Vec<Value>,
}

#[derive(Clone, Copy, Debug)]
enum Collection {
    Array,
    Set,
    Push,
    Map,
    /// Keys and values, then the value they belong to.
    Attributed,
}

/// One step of decoding.
enum Item {
    Value(Value),
    Open(Collection, usize),
}

impl ReplyDecoder {
    /// A decoder at the start of a stream, with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder at the start of a stream.
    pub fn with_limits(limits: DecodeLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Decodes the reply that starts at `input[0]`: it and its length, or `None` while it is not
    /// whole. Then call again with the same bytes and more behind them.
    pub fn decode(&mut self, input: &[u8]) -> Result<Option<(Value, usize)>, DecodeError> {
        while let Some(item) = self.next_item(input)? {
            // A collection with elements opens a frame; everything else is a whole value at once.
            let whole = match item {
                Item::Open(kind, missing) if missing > 0 => {
                    // The stack is on the heap, but dropping a tree of values recurses.
                    if self.stack.len() >= self.limits.max_depth {
                        return Err(DecodeError::TooDeep);
                    }
                    self.stack.push(Frame {
                        kind,
                        missing,
                        values: Vec::new(),
                    });
                    continue;
                }
                Item::Open(kind, _) => kind.build(Vec::new()),
                Item::Value(value) => value,
            };
            if let Some(reply) = self.add(whole) {
                self.scanned = 0;
                return Ok(Some((reply, std::mem::take(&mut self.decoded))));
            }
        }
        Ok(None)
    }

    /// Adds a whole value to the innermost collection and closes those that it completes; returns
    /// it when it is in none.
    fn add(&mut self, mut value: Value) -> Option<Value> {
        while let Some(frame) = self.stack.last_mut() {
            frame.values.push(value);
            frame.missing -= 1;
            if frame.missing > 0 {
                return None;
            }
            let frame = self.stack.pop()?;
            // The last element: the collection is a value itself now, perhaps the last one of
            // another.
            value = frame.kind.build(frame.values);
        }
        Some(value)
    }

    /// Decodes one header with its string, if any; `None` when it is not whole.
    fn next_item(&mut self, input: &[u8]) -> Result<Option<Item>, DecodeError> {
        let Some(kind) = input.get(self.decoded).copied() else {
            return Ok(None);
        };
        // Before the line is looked for: what is no RESP at all may never have a line end.
        if !b"+-:$*_,#(=~>%|!".contains(&kind) {
            return Err(DecodeError::UnknownType(kind));
        }
        let Some(line_end) = self.find_line_end(input)? else {
            return Ok(None);
        };
        let line = &input[self.decoded + 1..line_end];
        let after = line_end + 2;
        if let Some(collection) = Collection::of(kind) {
            let item = self.open(kind, collection, line)?;
            self.decoded = after;
            return Ok(Some(item));
        }
        if !matches!(kind, b'$' | b'=' | b'!') {
            let value = line_value(kind, line)?;
            self.decoded = after;
            return Ok(Some(Item::Value(value)));
        }
        self.take_string(kind, line, input, after)
    }

    fn open(&self, kind: u8, collection: Collection, line: &[u8]) -> Result<Item, DecodeError> {
        if kind == b'*' && line == b"-1" {
            return Ok(Item::Value(Value::Null));
        }
        // A map announces pairs, each of which is two elements.
        let per_entry = if matches!(collection, Collection::Map | Collection::Attributed) {
            2
        } else {
            1
        };
        let count = parse_length(line, self.limits.max_elements / per_entry)?;
        // Attributes stand before the value that they belong to, which counts as one more element.
        let own_value = usize::from(matches!(collection, Collection::Attributed));
        Ok(Item::Open(collection, count * per_entry + own_value))
    }

    fn take_string(
        &mut self,
        kind: u8,
        line: &[u8],
        input: &[u8],
        start: usize,
    ) -> Result<Option<Item>, DecodeError> {
        if kind == b'$' && line == b"-1" {
            self.decoded = start;
            return Ok(Some(Item::Value(Value::Null)));
        }
        let end = start.saturating_add(parse_length(line, self.limits.max_bulk)?);
        // The header is not counted as decoded before the string is whole: the next call reads it
        // again, which costs less than to remember it.
        match input.get(end..end.saturating_add(2)) {
            None => return Ok(None),
            Some(b"\r\n") => {}
            Some(_) => return Err(DecodeError::MissingCrlf),
        }
        let value = string_value(kind, &input[start..end])?;
        self.decoded = end + 2;
        Ok(Some(Item::Value(value)))
    }

    /// The offset of the `\r\n` that ends the line at `decoded`.
    fn find_line_end(&mut self, input: &[u8]) -> Result<Option<usize>, DecodeError> {
        // One byte more than a line may have: enough to see that it is too long.
        let longest = input.len().min(
            self.decoded
                .saturating_add(self.limits.max_line)
                .saturating_add(1),
        );
        // Bytes of earlier calls are not searched again.
        let from = self.scanned.max(self.decoded).min(longest);
        let Some(found) = memchr::memchr(b'\r', &input[from..longest]) else {
            self.scanned = longest;
            let too_long = longest - self.decoded > self.limits.max_line;
            return if too_long {
                Err(DecodeError::LongLine)
            } else {
                Ok(None)
            };
        };
        let end = from + found;
        self.scanned = end;
        match input.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some(end)),
            Some(_) => Err(DecodeError::MissingCrlf),
        }
    }
}

impl Collection {
    fn of(kind: u8) -> Option<Self> {
        Some(match kind {
            b'*' => Self::Array,
            b'~' => Self::Set,
            b'>' => Self::Push,
            b'%' => Self::Map,
            b'|' => Self::Attributed,
            _ => return None,
        })
    }

    fn build(self, mut values: Vec<Value>) -> Value {
        match self {
            Self::Array => Value::Array(values),
            Self::Set => Value::Set(values),
            Self::Push => Value::Push(values),
            Self::Map => Value::Map(pairs(values)),
            Self::Attributed => {
                let value = Box::new(values.pop().unwrap_or(Value::Null));
                Value::Attributed {
                    attributes: pairs(values),
                    value,
                }
            }
        }
    }
}

fn pairs(values: Vec<Value>) -> Vec<(Value, Value)> {
    let mut values = values.into_iter();
    std::iter::from_fn(|| Some((values.next()?, values.next()?))).collect()
}

/// A number of bytes or elements.
fn parse_length(line: &[u8], max: usize) -> Result<usize, DecodeError> {
    if line == b"?" {
        return Err(DecodeError::Streamed);
    }
    parse_i64(line)
        .and_then(|len| usize::try_from(len).ok())
        .filter(|len| *len <= max)
        .ok_or(DecodeError::InvalidLength)
}

/// A type that is one line.
fn line_value(kind: u8, line: &[u8]) -> Result<Value, DecodeError> {
    let value = match kind {
        b'+' => Some(Value::Simple(line.into())),
        b'-' => Some(Value::Error(line.into())),
        // RESP3 allows a plus sign.
        b':' => match parse_i64(line.strip_prefix(b"+").unwrap_or(line)) {
            Some(n) => Some(Value::Integer(n)),
            // Redis writes unsigned ones in the same way, and they can be larger.
            None => is_unsigned(line).then(|| Value::BigNumber(ascii(line))),
        },
        b'_' => line.is_empty().then_some(Value::Null),
        b'#' if line == b"t" => Some(Value::Boolean(true)),
        b'#' if line == b"f" => Some(Value::Boolean(false)),
        b',' => double(line).map(Value::Double),
        b'(' => is_integer(line).then(|| Value::BigNumber(ascii(line))),
        _ => None,
    };
    value.ok_or(DecodeError::InvalidLine)
}

/// A type that is a length and as many bytes.
fn string_value(kind: u8, bytes: &[u8]) -> Result<Value, DecodeError> {
    match kind {
        b'!' => Ok(Value::Error(bytes.into())),
        b'=' => match bytes {
            [a, b, c, b':', content @ ..] if [*a, *b, *c].is_ascii() => Ok(Value::Verbatim {
                format: ascii(&[*a, *b, *c]),
                text: content.to_vec(),
            }),
            _ => Err(DecodeError::InvalidVerbatim),
        },
        _ => Ok(Value::Bulk(bytes.to_vec())),
    }
}

fn double(line: &[u8]) -> Option<f64> {
    if line.eq_ignore_ascii_case(b"nan") || line.eq_ignore_ascii_case(b"-nan") {
        return Some(f64::NAN);
    }
    parse_f64(line)
}

/// Whether a line is a 64-bit integer without a sign.
fn is_unsigned(line: &[u8]) -> bool {
    let is_number = line.iter().all(u8::is_ascii_digit);
    is_number && std::str::from_utf8(line).is_ok_and(|it| it.parse::<u64>().is_ok())
}

fn is_integer(line: &[u8]) -> bool {
    let digits = line
        .strip_prefix(b"-")
        .or(line.strip_prefix(b"+"))
        .unwrap_or(line);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Bytes that were checked to be ASCII, as text.
fn ascii(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests;
