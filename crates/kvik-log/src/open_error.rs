//! Why a log cannot be opened.

use std::io;
use std::path::PathBuf;

use crate::manifest::ManifestError;

/// Why a log cannot be opened. Nothing has been changed then.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the directory open.
    Locked(PathBuf),
    /// The operating system refuses something.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Its words.
        error: io::Error,
    },
    /// The manifest is none.
    Manifest {
        /// Its path.
        path: PathBuf,
        /// The fault.
        error: ManifestError,
    },
    /// A later version wrote these files.
    NewerFormat {
        /// The manifest.
        path: PathBuf,
        /// Its number.
        format: u64,
    },
    /// The manifest names a file that does not exist.
    Missing(PathBuf),
    /// A file does not end with a whole unit, and may not be cut there.
    Unsound {
        /// The file.
        path: PathBuf,
        /// Where its last whole unit ends.
        valid: u64,
        /// The bytes that follow.
        reason: String,
    },
    /// The content of a file cannot be applied.
    Replay {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Locked(path) => write!(f, "another server has {} open", path.display()),
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Manifest { path, error } => write!(f, "{}: {error}", path.display()),
            Self::NewerFormat { path, format } => write!(
                f,
                "{}: format {format} is that of a later version",
                path.display()
            ),
            Self::Missing(path) => {
                write!(
                    f,
                    "{} is named by the manifest: No such file or directory",
                    path.display()
                )
            }
            Self::Unsound {
                path,
                valid,
                reason,
            } => write!(
                f,
                "{}: {reason}; the last whole unit ends at offset {valid}",
                path.display()
            ),
            Self::Replay { path, reason } => write!(f, "{}: {reason}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}
