//! Why a file cannot be read, and where.

use crate::Corrupt;

/// A file cannot be read beyond this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Bytes of the file before the place where reading stopped.
    pub offset: u64,
    /// The reason.
    pub fault: FileFault,
}

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// It does not start as an RDB file does.
    NotRdb,
    /// No server has written this version, or not under this name.
    UnknownVersion(u16),
    /// It ends before its end is marked.
    CutOff,
    /// A record is not what it should be.
    Corrupt(Corrupt),
    /// A library of functions in a form that no released server reads.
    PreReleaseFunction,
    /// The checksum at its end is not that of its bytes.
    WrongChecksum {
        /// The checksum in the file.
        stored: u64,
        /// The checksum of its bytes.
        computed: u64,
    },
}

impl From<Corrupt> for FileFault {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl std::fmt::Display for FileFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotRdb => f.write_str("not an RDB file"),
            Self::UnknownVersion(version) => write!(f, "unknown RDB version {version}"),
            Self::CutOff => f.write_str("the file is cut off"),
            Self::Corrupt(corrupt) => corrupt.fmt(f),
            Self::PreReleaseFunction => {
                f.write_str("a function library of a Redis 7.0 release candidate")
            }
            Self::WrongChecksum { stored, computed } => write!(
                f,
                "RDB CRC error: the file says {stored:016x}, its bytes give {computed:016x}"
            ),
        }
    }
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at offset {}", self.fault, self.offset)
    }
}

impl std::error::Error for FileError {}
