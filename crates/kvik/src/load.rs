//! Loads an RDB file into the store, on several threads.
//!
//! Every thread does the same. It takes the input for itself, reads a block, finds the keys in it
//! and the stripe of each, and gives the input back; then it stores the keys of the block, one
//! stripe after the other. So no thread waits for another to hand it work, and memory is a block
//! for each of them, but for a string or a stream that is longer than a block. Any other collection
//! of more than 8 MiB is read some elements at a time by one thread, while the others wait. Finding
//! the keys takes about a quarter of the time, so beyond four threads more of them hardly help.
//!
//! Nothing expires while a file loads: the caller has made the store a follower before, and ends
//! that when also what follows the file is loaded.

mod source;
mod store;

use std::io::{self, Read};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use kvik_command::Error;
use kvik_command::load::{LoadFault, LoadPolicy};
use kvik_rdb::{FILE_FORMAT, FileError, Text, blessed_key};
use parking_lot::Mutex;

use self::source::Source;
use self::store::Loading;
use crate::shared::Shared;

/// How a file is loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// How many threads store keys, the caller's among them.
    pub threads: usize,
    /// How keys are treated that are overdue or exist already.
    pub policy: LoadPolicy,
    /// Whether the file's checksum is verified; the setting `rdbchecksum`.
    pub checks_sum: bool,
    /// Bytes of the file, 0 if that is not known. Memory is prepared for as many keys as the file
    /// announces, if so many bytes can hold them.
    pub len: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(1, usize::from),
            policy: LoadPolicy::default(),
            checks_sum: true,
            len: 0,
        }
    }
}

/// How far loading has come, for others to read meanwhile.
#[derive(Debug, Default)]
pub struct LoadProgress {
    /// Bytes of the file that have been read.
    pub bytes: AtomicU64,
    /// Keys that have been stored.
    pub keys: AtomicU64,
    /// Keys that were left out because their time had come.
    pub overdue: AtomicU64,
    /// Collections without elements that were passed over.
    pub empty: AtomicU64,
}

impl LoadProgress {
    /// Counts keys, by what [became](LoadedKey) of them.
    fn count(&self, [stored, overdue, empty]: [u64; 3]) {
        self.keys.fetch_add(stored, Relaxed);
        self.overdue.fetch_add(overdue, Relaxed);
        self.empty.fetch_add(empty, Relaxed);
    }
}

/// The contents of a file besides its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Bytes of the file up to the end of its checksum; more may have been read.
    pub bytes: u64,
    /// The version of the format.
    pub version: u16,
    /// Whether there was a checksum, which was right.
    pub is_checked: bool,
    /// The facts that the file tells about itself, in its order.
    pub aux: Vec<(Vec<u8>, Vec<u8>)>,
    /// The code of libraries of functions.
    pub functions: Vec<Vec<u8>>,
    /// Records that only modules and clusters need, which were passed over.
    pub passed: u64,
}

/// Why a file could not be loaded. What was stored before stays.
#[derive(Debug)]
pub enum LoadError {
    /// It could not be read.
    Read(io::Error),
    /// It is damaged, or no such file.
    Damaged(FileError),
    /// One of its keys cannot be stored.
    Key {
        /// Bytes of the file before the place that was read last.
        offset: u64,
        /// The key's database.
        database: u32,
        /// The key.
        key: Vec<u8>,
        /// The reason.
        fault: LoadFault,
    },
    /// It has keys in a database that there is not.
    Database(u64),
    /// One of its libraries of functions cannot be loaded.
    Functions(Error),
    /// A newer version of kvik has written it, in this format.
    Format(u64),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => write!(f, "cannot be read: {error}"),
            Self::Damaged(error) => error.fmt(f),
            Self::Key {
                offset,
                database,
                key,
                fault,
            } => {
                let key = key.escape_ascii();
                write!(
                    f,
                    "{fault}, key \"{key}\" of database {database}, at offset {offset}"
                )
            }
            Self::Functions(error) => write!(f, "a library of functions cannot be loaded: {error}"),
            Self::Database(database) => write!(
                f,
                "it has keys in database {database}: the setting `databases` is too small"
            ),
            Self::Format(format) => write!(
                f,
                "it is of format {format}, which only a newer version of kvik reads"
            ),
        }
    }
}

impl std::error::Error for LoadError {}

/// Loads an RDB file; see [`Db::load`](crate::Db::load).
pub(crate) fn load(
    shared: &Shared,
    input: &mut (dyn Read + Send),
    options: &LoadOptions,
    progress: &LoadProgress,
) -> Result<LoadReport, LoadError> {
    let loading = Loading {
        shared,
        policy: options.policy,
        progress,
        source: Mutex::new(Source::new(input, options)),
    };
    let threads = match shared.has_threads() {
        true => options.threads,
        false => 1,
    };
    thread::scope(|scope| {
        for number in 1..threads {
            let loading = &loading;
            scope.spawn(move || loading.run(number, threads));
        }
        loading.run(0, threads);
    });
    let source = loading.source.into_inner();
    if let Some(error) = source.error {
        return Err(error);
    }
    for library in &source.report.functions {
        let scripts = &shared.engine.scripts;
        scripts
            .adopt_library(library)
            .map_err(LoadError::Functions)?;
    }
    for (name, text) in &source.report.aux {
        if let Some((database, key)) = blessed_key(name, text) {
            store::bless(shared, database, key);
        }
    }
    Ok(LoadReport {
        bytes: source.splitter.offset(),
        version: source.splitter.version().unwrap_or(0),
        ..source.report
    })
}

impl LoadReport {
    /// Notes what a file says of itself.
    fn add_aux(&mut self, name: Text<'_>, text: Text<'_>) -> Result<(), LoadError> {
        let (name, text) = (name.into_bytes(), text.into_bytes());
        if *name == *b"kvik-format" {
            let format = std::str::from_utf8(&text)
                .ok()
                .and_then(|it| it.parse().ok());
            let format = format.unwrap_or(u64::MAX);
            if format > FILE_FORMAT {
                return Err(LoadError::Format(format));
            }
        }
        self.aux.push((name.into_owned(), text.into_owned()));
        Ok(())
    }
}
