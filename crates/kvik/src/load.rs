//! Loads an RDB file into the store, on several threads.
//!
//! Every thread does the same. It takes the input for itself, reads a block, finds the keys in it and the
//! stripe of each, and gives the input back; then it stores the keys of the block, one stripe after the other.
//! So no thread waits for another to hand it work, and memory is a block for each of them, but for a value
//! that is longer than a block. Finding the keys takes about a quarter of the time, so beyond four threads
//! more of them hardly help.
//!
//! Nothing expires while a file loads: the caller has made the store a follower before, and ends that when
//! also what follows the file is loaded.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use kvik_command::load::{KeyLoader, LoadFault, LoadPolicy, LoadedKey};
use kvik_rdb::{FILE_FORMAT, FileError, IntText, KeyRecord, Record, Splitter, Text};
use kvik_store::{Guard, KeyspaceId, Mode, NoEffects};
use parking_lot::Mutex;

use crate::db::Db;
use crate::shared::Shared;
use crate::stripes::Patience;

/// Bytes that are read at once: some thousand keys, so that a stripe gets some hundred of them in a row, and
/// few enough to be still in the cache of the core when they are stored.
const BLOCK: usize = 256 << 10;

/// Keys whose places are fetched from memory together.
const TOGETHER: usize = 32;

/// How a file is loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// How many threads store keys, the caller's among them.
    pub threads: usize,
    /// What becomes of keys that are overdue or exist.
    pub policy: LoadPolicy,
    /// Whether the file's checksum is verified; the setting `rdbchecksum`.
    pub checks_sum: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(1, usize::from),
            policy: LoadPolicy::default(),
            checks_sum: true,
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

/// What a file held besides its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Bytes of the file up to the end of its checksum; more may have been read.
    pub bytes: u64,
    /// The version of the format.
    pub version: u16,
    /// Whether there was a checksum, which was right.
    pub is_checked: bool,
    /// What the file tells about itself, in its order.
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
    File(FileError),
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
    /// A newer version of kvik has written it, in this format.
    Format(u64),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => write!(f, "cannot be read: {error}"),
            Self::File(error) => error.fmt(f),
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

impl Db {
    /// Loads an RDB file. The store is a follower meanwhile, and nobody else uses it.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged. What was stored before stays: the caller discards the store, or
    /// flushes it.
    pub fn load(
        &self,
        input: &mut (dyn Read + Send),
        options: &LoadOptions,
        progress: &LoadProgress,
    ) -> Result<LoadReport, LoadError> {
        let loading = Loading {
            shared: &self.shared,
            policy: options.policy,
            progress,
            source: Mutex::new(Source::new(input, options.checks_sum)),
        };
        thread::scope(|scope| {
            for number in 1..options.threads {
                let loading = &loading;
                scope.spawn(move || loading.run(number, options.threads));
            }
            loading.run(0, options.threads);
        });
        let source = loading.source.into_inner();
        match source.error {
            Some(error) => Err(error),
            None => Ok(LoadReport {
                bytes: source.splitter.offset(),
                version: source.splitter.version().unwrap_or(0),
                ..source.report
            }),
        }
    }
}

/// What the threads share.
struct Loading<'l> {
    shared: &'l Shared,
    policy: LoadPolicy,
    progress: &'l LoadProgress,
    source: Mutex<Source<'l>>,
}

/// The file, as far as it has been read.
struct Source<'l> {
    input: &'l mut (dyn Read + Send),
    splitter: Splitter,
    /// The beginning of a record that did not fit into the last block.
    tail: Vec<u8>,
    database: u32,
    report: LoadReport,
    /// The first thing that went wrong; nothing is read any more.
    error: Option<LoadError>,
}

/// Some bytes of the file, and the keys in them by stripe.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    /// Bytes of the file before these.
    offset: u64,
    version: u16,
    keys: Vec<Vec<FoundKey>>,
}

/// Where a key lies in a block.
#[derive(Clone, Copy)]
struct FoundKey {
    hash: u64,
    start: u32,
    database: u32,
    len: usize,
}

impl FoundKey {
    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len
    }
}

impl Loading<'_> {
    /// Stores blocks until there are no more.
    fn run(&self, number: usize, threads: usize) {
        let stripes = self.shared.stripes.len();
        // Threads begin at stripes far from one another, so that they rarely meet.
        let first = stripes * number / threads.max(1);
        let mut loader = KeyLoader::new(self.policy);
        let mut block = Block::default();
        block.keys.resize_with(stripes, Vec::new);
        while self.fill(&mut block) {
            for index in (first..stripes).chain(0..first) {
                if let Err(error) = self.store(&mut loader, &mut block, index) {
                    self.source.lock().error.get_or_insert(error);
                    return;
                }
            }
        }
    }

    /// Reads the next block, and says whether there was one.
    fn fill(&self, block: &mut Block) -> bool {
        let mut source = self.source.lock();
        if source.error.is_some() || source.splitter.is_done() {
            return false;
        }
        if let Err(error) = source.fill(block, self.shared) {
            // What was found before the error is stored, so that the keys in memory are those before the offset.
            source.error = Some(error);
        }
        self.progress.bytes.store(source.splitter.offset(), Relaxed);
        true
    }

    /// Stores the keys of a block that belong to a stripe.
    fn store(
        &self,
        loader: &mut KeyLoader,
        block: &mut Block,
        index: usize,
    ) -> Result<(), LoadError> {
        let keys = std::mem::take(&mut block.keys[index]);
        let stored = self.store_all(loader, block, index, &keys);
        // The list goes back for the next block.
        block.keys[index] = keys;
        block.keys[index].clear();
        stored
    }

    fn store_all(
        &self,
        loader: &mut KeyLoader,
        block: &Block,
        index: usize,
        keys: &[FoundKey],
    ) -> Result<(), LoadError> {
        let Some(first) = keys.first() else {
            return Ok(());
        };
        let stripes = &self.shared.stripes;
        let settings = &self.shared.engine.settings;
        let held = stripes.lock(index, Patience::Wait);
        let mut held = held.expect("a patient lock succeeds");
        let mut effects = NoEffects;
        let mut guard = Guard::new(
            &mut held,
            &stripes.layout,
            &mut effects,
            self.shared.now_ms(),
        )
        .on(KeyspaceId(first.database))
        .mode(Mode::Follower)
        .access(settings.access_policy(), false, 0)
        .limits(&settings.limits);
        let mut counts = [0; 3];
        for keys in keys.chunks(TOGETHER) {
            let hashes = keys.iter().map(|found| found.hash);
            stripes.prefetch(KeyspaceId(keys[0].database), hashes);
            for found in keys {
                guard.select(KeyspaceId(found.database));
                counts[store_key(loader, &mut guard, block, *found)? as usize] += 1;
            }
        }
        drop(guard.take_garbage());
        let [stored, overdue, empty] = counts;
        self.progress.keys.fetch_add(stored, Relaxed);
        self.progress.overdue.fetch_add(overdue, Relaxed);
        self.progress.empty.fetch_add(empty, Relaxed);
        Ok(())
    }
}

fn store_key(
    loader: &mut KeyLoader,
    guard: &mut Guard<'_>,
    block: &Block,
    found: FoundKey,
) -> Result<LoadedKey, LoadError> {
    let range = found.range();
    let record = KeyRecord::read(&block.bytes[range.clone()], block.version);
    let mut record = record.expect("a record that was found before");
    let loaded = loader.load(guard, &mut record);
    loaded.map_err(|fault| LoadError::Key {
        offset: block.offset + (range.end - record.unread()) as u64,
        database: found.database,
        key: record.header.key.into_bytes().into_owned(),
        fault,
    })
}

impl<'l> Source<'l> {
    fn new(input: &'l mut (dyn Read + Send), checks_sum: bool) -> Self {
        Self {
            input,
            splitter: Splitter::new(checks_sum),
            tail: Vec::new(),
            database: 0,
            report: LoadReport::default(),
            error: None,
        }
    }

    /// Reads until a block has some records, or the file ends.
    fn fill(&mut self, block: &mut Block, shared: &Shared) -> Result<(), LoadError> {
        block.offset = self.splitter.offset();
        // A value that was longer than a block has left its room behind.
        if block.bytes.capacity() > 4 * BLOCK {
            block.bytes = Vec::new();
        }
        let mut filled = self.tail.len();
        block.bytes.resize(BLOCK.max(filled), 0);
        block.bytes[..filled].copy_from_slice(&self.tail);
        self.tail.clear();
        loop {
            if filled == block.bytes.len() {
                // Doubled, so that a long value is not copied again and again.
                block.bytes.resize(2 * filled, 0);
            }
            let is_end = self.read(&mut block.bytes, &mut filled)?;
            let consumed = self.split(block, filled, shared)?;
            if self.splitter.is_done() {
                return Ok(());
            }
            if consumed > 0 {
                self.tail.extend_from_slice(&block.bytes[consumed..filled]);
                return Ok(());
            }
            if is_end {
                return Err(LoadError::File(self.splitter.cut_off(filled)));
            }
        }
    }

    /// Reads until the buffer is full or the input ends, and says whether it has.
    fn read(&mut self, buffer: &mut [u8], filled: &mut usize) -> Result<bool, LoadError> {
        while *filled < buffer.len() {
            match self.input.read(&mut buffer[*filled..]) {
                Ok(0) => return Ok(true),
                Ok(read) => *filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LoadError::Read(error)),
            }
        }
        Ok(false)
    }

    /// Finds the records in the filled part of a block, and says how many bytes they take.
    fn split(
        &mut self,
        block: &mut Block,
        filled: usize,
        shared: &Shared,
    ) -> Result<usize, LoadError> {
        let layout = &shared.stripes.layout;
        let mut records = self.splitter.split(&block.bytes[..filled]);
        let mut room = IntText::default();
        while let Some(record) = records.next() {
            match record.map_err(LoadError::File)? {
                Record::Key(record) => {
                    let hash = layout.hash(record.header.key.bytes(&mut room));
                    let span = records.span();
                    block.keys[layout.stripe_of(hash)].push(FoundKey {
                        hash,
                        start: span.start as u32,
                        database: self.database,
                        len: span.len(),
                    });
                }
                Record::Database(database) => self.database = database_of(database, shared)?,
                Record::Aux(name, text) => self.report.add_aux(name, text)?,
                Record::Function(code) => {
                    self.report.functions.push(code.into_bytes().into_owned());
                }
                Record::Passed(_) => self.report.passed += 1,
                Record::End { is_checked } => self.report.is_checked = is_checked,
                // Tables grow a segment at a time, so there is nothing to prepare.
                Record::Sizes { .. } => {}
            }
            // What follows a value longer than a block is left to the next one, so that a start fits its field.
            if records.consumed() > 2 * BLOCK {
                break;
            }
        }
        let consumed = records.consumed();
        drop(records);
        block.version = self.splitter.version().unwrap_or(0);
        Ok(consumed)
    }
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

/// A database, if there is one with this number.
fn database_of(database: u64, shared: &Shared) -> Result<u32, LoadError> {
    let databases = shared.engine.settings.databases.load(Relaxed);
    u32::try_from(database)
        .ok()
        .filter(|_| database < databases)
        .ok_or(LoadError::Database(database))
}
