//! What a key can hold and how it looks from outside.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use kvik_rope::Rope;

use crate::UnixMs;
use crate::hash::HashRef;
use crate::list::ListRef;
use crate::packed::{IntSet, Listpack};
use crate::raw::record::ValueForm;
use crate::set::SetRef;
use crate::stream::StreamRef;
use crate::zset::ZsetRef;

/// Largest string that Redis calls `embstr`.
const EMBEDDED_MAX: usize = 44;

/// The type of a value as TYPE names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A byte string.
    String,
    /// A list of strings.
    List,
    /// Fields with values.
    Hash,
    /// Different strings.
    Set,
    /// Different strings in the order of their scores.
    Zset,
    /// Entries in the order of their ids.
    Stream,
}

/// The representation of a value as OBJECT ENCODING names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// An integer of 8 bytes.
    Int,
    /// A short string that was written whole.
    Embstr,
    /// Any other string.
    Raw,
    /// A small collection in one run of bytes.
    Listpack,
    /// A list of several listpacks.
    Quicklist,
    /// A small set of integers.
    Intset,
    /// A table of members.
    Hashtable,
    /// A table of members beside their order. The name is that of the structure Redis uses.
    Skiplist,
    /// A stream.
    Stream,
}

/// A value as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// A byte string.
    String(TextRef<'a>),
    /// A list.
    List(ListRef<'a>),
    /// A hash.
    Hash(HashRef<'a>),
    /// A set.
    Set(SetRef<'a>),
    /// A sorted set.
    Zset(ZsetRef<'a>),
    /// A stream.
    Stream(StreamRef<'a>),
}

/// A string as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StringRef<'a> {
    /// Stored as an integer; its text is the decimal form.
    Int(i64),
    /// Stored as bytes.
    Bytes(&'a [u8]),
}

/// A string that a key holds, as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRef<'a> {
    /// Stored as an integer; its text is the decimal form.
    Int(i64),
    /// Stored as bytes.
    Bytes(&'a [u8]),
    /// Stored as a rope, because it is large.
    Rope(&'a Rope),
}

/// A string to store.
#[derive(Clone, Copy, Debug)]
pub enum NewString<'a> {
    /// Bytes as given; kept as an integer when they are the canonical form of one.
    Bytes(&'a [u8]),
    /// Bytes as given, and kept as they are also where they are an integer.
    Unpacked(&'a [u8]),
    /// An integer.
    Int(i64),
    /// A large string; its chunks are shared.
    Rope(&'a Rope),
}

/// What a write does to the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Leave it as it is.
    Keep,
    /// The key no longer expires.
    Clear,
    /// The key expires at this time.
    At(UnixMs),
}

/// A key holds another type than the one asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongKind;

/// A write would make a string longer than the caller's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringTooLong;

impl Kind {
    /// The name in TYPE's reply.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Hash => "hash",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::Stream => "stream",
        }
    }
}

impl Encoding {
    /// The name in OBJECT ENCODING's reply.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Embstr => "embstr",
            Self::Raw => "raw",
            Self::Listpack => "listpack",
            Self::Quicklist => "quicklist",
            Self::Intset => "intset",
            Self::Hashtable => "hashtable",
            Self::Skiplist => "skiplist",
            Self::Stream => "stream",
        }
    }
}

impl<'a> ValueRef<'a> {
    /// The type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::String(_) => Kind::String,
            Self::List(_) => Kind::List,
            Self::Hash(_) => Kind::Hash,
            Self::Set(_) => Kind::Set,
            Self::Zset(_) => Kind::Zset,
            Self::Stream(_) => Kind::Stream,
        }
    }

    /// A packed collection.
    pub(crate) fn of_packed(form: ValueForm, bytes: &'a [u8]) -> Self {
        match form {
            ValueForm::ListPack => Self::List(ListRef::Pack(bytes)),
            ValueForm::HashPack => Self::Hash(HashRef::Pack(Listpack::new(bytes))),
            ValueForm::IntSet => Self::Set(SetRef::Ints(IntSet::new(bytes))),
            ValueForm::SetPack => Self::Set(SetRef::Pack(Listpack::new(bytes))),
            ValueForm::ZsetPack => Self::Zset(ZsetRef::Pack(Listpack::new(bytes))),
            _ => unreachable!("{form:?} is not packed"),
        }
    }
}

impl ValueForm {
    /// The type of a value in this form; an object has its own.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::ListPack | Self::IndentedListPack => Kind::List,
            Self::HashPack => Kind::Hash,
            Self::IntSet | Self::SetPack => Kind::Set,
            Self::ZsetPack => Kind::Zset,
            Self::Object => unreachable!("an object says what it is"),
            _ => Kind::String,
        }
    }
}

/// The encoding of a string of this length that was written whole.
pub(crate) fn encoding_of_bytes(len: usize) -> Encoding {
    if len <= EMBEDDED_MAX {
        Encoding::Embstr
    } else {
        Encoding::Raw
    }
}

impl<'a> StringRef<'a> {
    /// The same text in the one form that stands for it: an integer where it reads as one.
    pub fn canonical(self) -> Self {
        match self {
            Self::Bytes(bytes) => canonical_int(bytes).map_or(self, Self::Int),
            Self::Int(_) => self,
        }
    }

    /// Length of the text in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Int(n) => decimal_len(*n),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text, borrowed where it is stored and written into `buffer` where it is an integer.
    pub fn text<'b>(&self, buffer: &'b mut IntText) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Int(n) => buffer.format(*n),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl<'a> TextRef<'a> {
    /// Length of the text in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Int(n) => decimal_len(*n),
            Self::Bytes(bytes) => bytes.len(),
            Self::Rope(rope) => rope.len(),
        }
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text in one piece: borrowed where it is stored so, written into `buffer` where it is an integer, and a copy
    /// where it is a rope.
    pub fn text<'b>(&self, buffer: &'b mut IntText) -> Cow<'b, [u8]>
    where
        'a: 'b,
    {
        Cow::Borrowed(match self {
            Self::Int(n) => buffer.format(*n),
            Self::Bytes(bytes) => bytes,
            Self::Rope(rope) => return Cow::Owned(rope.to_vec()),
        })
    }

    /// The bytes in `range` of the text, which must lie in it, in as few slices as they are kept in.
    pub fn slices<'b>(
        &self,
        range: Range<usize>,
        buffer: &'b mut IntText,
    ) -> impl Iterator<Item = &'b [u8]> + use<'a, 'b>
    where
        'a: 'b,
    {
        let (inline, rope) = match *self {
            Self::Int(n) => (Some(&buffer.format(n)[range.clone()]), None),
            Self::Bytes(bytes) => (Some(&bytes[range.clone()]), None),
            Self::Rope(rope) => (None, Some(rope)),
        };
        let pieces = rope
            .into_iter()
            .flat_map(move |rope| rope.slices(range.clone()));
        inline.into_iter().chain(pieces)
    }

    /// A copy of the text.
    pub fn to_vec(&self) -> Vec<u8> {
        self.text(&mut IntText::default()).into_owned()
    }

    /// Whether the text is this.
    pub fn is(&self, text: &[u8]) -> bool {
        match self {
            Self::Int(n) => IntText::default().format(*n) == text,
            Self::Bytes(bytes) => *bytes == text,
            Self::Rope(rope) => **rope == *text,
        }
    }
}

impl<'a> From<StringRef<'a>> for TextRef<'a> {
    fn from(string: StringRef<'a>) -> Self {
        match string {
            StringRef::Int(n) => Self::Int(n),
            StringRef::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<i64> for StringRef<'_> {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl<'a> From<&'a [u8]> for StringRef<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<StringRef<'a>> for NewString<'a> {
    fn from(string: StringRef<'a>) -> Self {
        match string {
            StringRef::Int(n) => Self::Int(n),
            StringRef::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

/// Room for the decimal text of an integer.
#[derive(Clone, Copy, Default)]
pub struct IntText(itoa::Buffer);

impl IntText {
    /// Writes `n` in decimal and returns the text.
    pub fn format(&mut self, n: i64) -> &[u8] {
        self.0.format(n).as_bytes()
    }

    /// Writes `n` in decimal and returns the text.
    pub fn unsigned(&mut self, n: u64) -> &[u8] {
        self.0.format(n).as_bytes()
    }
}

impl fmt::Debug for IntText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntText").finish_non_exhaustive()
    }
}

fn decimal_len(n: i64) -> usize {
    let digits = n
        .unsigned_abs()
        .checked_ilog10()
        .map_or(1, |log| log as usize + 1);
    digits + usize::from(n < 0)
}

/// The integer whose canonical decimal form `text` is: no sign but a leading `-`, no leading zeros, in range.
pub(crate) fn canonical_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut n: i64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        let digit = i64::from(digit - b'0');
        n = n.checked_mul(10)?;
        n = if negative {
            n.checked_sub(digit)?
        } else {
            n.checked_add(digit)?
        };
    }
    Some(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_canonical_integers_are_stored_as_integers() {
        for text in [
            "",
            "-",
            "-0",
            "01",
            "+1",
            " 1",
            "1 ",
            "9223372036854775808",
            "1a",
        ] {
            assert_eq!(canonical_int(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(canonical_int(b"-9223372036854775808"), Some(i64::MIN));
    }

    proptest! {
        #[test]
        fn integers_round_trip(n: i64) {
            let text = n.to_string();
            prop_assert_eq!(canonical_int(text.as_bytes()), Some(n));
            let mut room = IntText::default();
            prop_assert_eq!(room.format(n), text.as_bytes());
            prop_assert_eq!(StringRef::Int(n).len(), text.len());
        }

        #[test]
        fn what_is_read_as_an_integer_prints_the_same(text in "-?[0-9]{1,20}") {
            if let Some(n) = canonical_int(text.as_bytes()) {
                prop_assert_eq!(n.to_string(), text);
            }
        }
    }
}
