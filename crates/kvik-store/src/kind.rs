//! The types and encodings of values, as TYPE and OBJECT ENCODING name them.

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
    /// Strings by their index, with holes.
    Array,
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
    /// A listpack of values whose names are elsewhere.
    TemplateListpack,
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
    /// An array.
    SlicedArray,
}

/// A key holds another type than the one asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongKind;

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
            Self::Array => "array",
        }
    }
}

impl Encoding {
    /// The encoding of a string of this length that was written whole.
    pub(crate) fn of_bytes(len: usize) -> Self {
        if len <= EMBEDDED_MAX {
            Self::Embstr
        } else {
            Self::Raw
        }
    }

    /// The name in OBJECT ENCODING's reply.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Embstr => "embstr",
            Self::Raw => "raw",
            Self::Listpack => "listpack",
            Self::TemplateListpack => "template-listpack",
            Self::Quicklist => "quicklist",
            Self::Intset => "intset",
            Self::Hashtable => "hashtable",
            Self::Skiplist => "skiplist",
            Self::Stream => "stream",
            Self::SlicedArray => "sliced-array",
        }
    }
}
