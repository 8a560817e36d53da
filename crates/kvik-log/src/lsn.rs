//! Places in the log.

/// A place in the log: the number of bytes that were ever appended before it.
///
/// It grows with every unit and survives rewrites, so that a place names the same unit for as long as the log keeps its
/// id. The place of a unit is the one behind its last byte: a unit is on disk once everything up to there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// The place before everything.
    pub const ZERO: Self = Self(0);

    /// The place behind `bytes` bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes before it.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place `bytes` bytes later.
    pub const fn plus(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }

    /// The bytes between an earlier place and this one; 0 if it is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::fmt::Display for Lsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
