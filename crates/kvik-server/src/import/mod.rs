//! Data of other servers, read into the store.
//!
//! A source is written as `neks:store.kvs` or `nkv:directory`. It is read as a stream of keys with
//! their values, whatever is wrong with a part of it: what cannot be read is reported and the rest
//! goes on. The source itself is never changed.

mod digest;
pub mod neks_store;

use std::io;
use std::path::{Path, PathBuf};

use kvik::Db;
use kvik_resp::Value;

/// A source of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A snapshot of Neks.
    NeksStore(PathBuf),
    /// A data directory of nkv.
    NkvDirectory(PathBuf),
}

/// How an import went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Keys that were taken.
    pub keys: u64,
    /// The records that could not be read, in sentences.
    pub defects: Vec<String>,
}

/// Takes a key and its value; an error ends the import.
pub type Take<'a> = dyn FnMut(&[u8], &[u8]) -> io::Result<()> + 'a;

impl Source {
    /// Reads `neks:path` or `nkv:path`; `nkv:` alone is the server's own data directory. A path
    /// alone is judged by what lies there: a directory is one of nkv.
    pub fn parse(text: &str) -> Self {
        if let Some(path) = text.strip_prefix("neks:") {
            return Self::NeksStore(path.into());
        }
        if let Some(path) = text.strip_prefix("nkv:") {
            return Self::NkvDirectory(path.into());
        }
        match Path::new(text).is_dir() {
            true => Self::NkvDirectory(text.into()),
            false => Self::NeksStore(text.into()),
        }
    }

    /// The same with the server's data directory where none is named.
    pub(crate) fn within(self, dir: &Path) -> Self {
        match self {
            Self::NkvDirectory(path) if path.as_os_str().is_empty() => {
                Self::NkvDirectory(dir.to_owned())
            }
            named => named,
        }
    }

    /// Whether there is anything to read.
    pub fn exists(&self) -> bool {
        match self {
            Self::NeksStore(path) => path.is_file(),
            Self::NkvDirectory(path) => path.join("digest").is_dir(),
        }
    }

    /// Gives all keys to `take`. The same key may come more than once; the last one counts.
    ///
    /// # Errors
    /// If the source cannot be opened, or `take` fails.
    pub fn read(&self, take: &mut Take<'_>) -> io::Result<ImportReport> {
        match self {
            Self::NeksStore(path) => neks_store::read(std::fs::File::open(path)?, take),
            Self::NkvDirectory(path) => digest::read(path, take),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::NeksStore(path) | Self::NkvDirectory(path)) = self;
        write!(f, "{}", path.display())
    }
}

/// Reads a source into a store, and says in the log how it went.
pub(crate) fn into_store(source: &Source, db: &Db) {
    if !source.exists() {
        return tracing::debug!("there is nothing to import at {source}");
    }
    let mut connection = db.connect_internal();
    let read = source.read(
        &mut |key, value| match connection.run(&[b"SET", key, value]) {
            Value::Error(error) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                Err(io::Error::other(text))
            }
            _ => Ok(()),
        },
    );
    match read {
        Ok(report) => {
            tracing::info!(
                "imported {} keys from {source}, which stays as it is",
                report.keys
            );
            for defect in report.defects {
                tracing::warn!("{source}: {defect}");
            }
        }
        Err(error) => tracing::error!("cannot import {source}: {error}"),
    }
}
