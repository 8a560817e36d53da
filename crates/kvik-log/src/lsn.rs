//! Places in the log.

use std::fmt;
use std::str::FromStr;

/// A place in the log: the number of bytes that were ever appended before it.
///
/// It grows with every unit and survives rewrites, so that a place names the same unit for as long
/// as the log keeps its id. The place of a unit is the one behind its last byte: a unit is on disk
/// once everything up to there is.
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

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of one history of a log: 40 hexadecimal digits, as Redis' replication ids.
///
/// A place means the same under the same id only. The log gets a new one whenever it may have lost
/// something.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId([u8; 20]);

impl LogId {
    /// The id made of random bytes.
    pub const fn new(random: [u8; 20]) -> Self {
        Self(random)
    }
}

impl LogId {
    /// Its bytes.
    pub const fn bytes(self) -> [u8; 20] {
        self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

/// A text that is no id of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLogId;

impl fmt::Display for InvalidLogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id of a log has 40 hexadecimal digits")
    }
}

impl std::error::Error for InvalidLogId {}

impl FromStr for LogId {
    type Err = InvalidLogId;

    fn from_str(text: &str) -> Result<Self, InvalidLogId> {
        let mut bytes = [0; 20];
        if text.len() != 40 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(InvalidLogId);
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[2 * at..][..2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| InvalidLogId)?;
        }
        Ok(Self(bytes))
    }
}

/// A place in a log that has a name: what a follower keeps to go on later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// Which log.
    pub id: LogId,
    /// Where in it.
    pub at: Lsn,
}
