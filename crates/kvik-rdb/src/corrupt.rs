//! Why bytes are not a value.

/// Why bytes are not a value. Nothing that was read from them before may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// The bytes end within the value, or promise more elements than they can hold.
    Truncated,
    /// No value starts with this type, or it is a module's.
    UnknownType(u8),
    /// A type that builds of Redis write in different forms, so that reading it would be a guess.
    UnsettledType(u8),
    /// A length is a special encoding where a number is expected, or the reverse.
    InvalidLength,
    /// A compressed string does not expand to the length it states.
    InvalidCompression,
    /// A collection without elements.
    Empty,
    /// A list node that is neither plain nor packed.
    InvalidNode,
    /// A ziplist or zipmap whose lengths contradict each other, or with half a pair.
    InvalidPacking,
    /// A score that is not a number.
    InvalidScore,
    /// A time beyond what Redis stores.
    InvalidTime,
    /// A hash whose fields' names the file has not told, or a second time.
    UnknownShape,
    /// A stream whose parts are out of order or contradict each other.
    InvalidStream,
    /// A bitmap whose containers contradict each other or lie behind its end.
    InvalidBitmap,
}

impl std::fmt::Display for Corrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the value is cut off",
            Self::UnknownType(code) => return write!(f, "unknown type of value {code}"),
            Self::UnsettledType(code) => {
                return write!(
                    f,
                    "type of value {code}, which versions of Redis write differently"
                );
            }
            Self::InvalidLength => "invalid length",
            Self::InvalidCompression => "invalid compressed string",
            Self::Empty => "collection without elements",
            Self::InvalidNode => "invalid list node",
            Self::InvalidPacking => "invalid ziplist or zipmap",
            Self::InvalidScore => "score is not a number",
            Self::InvalidTime => "invalid time",
            Self::UnknownShape => "unknown names of a hash's fields",
            Self::InvalidStream => "contradictory stream",
            Self::InvalidBitmap => "contradictory bitmap",
        })
    }
}

impl std::error::Error for Corrupt {}
