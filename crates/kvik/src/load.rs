//! Loads an RDB file into the store, on several threads.
//!
//! Every thread does the same. It takes the input for itself, reads a block, finds the keys in it and the
//! stripe of each, and gives the input back; then it stores the keys of the block, one stripe after the other.
//! So no thread waits for another to hand it work, and memory is a block for each of them, but for a string or
//! a stream that is longer than a block. Any other collection of more than 8 MiB is read some elements at a
//! time by one thread, while the others wait. Finding the keys takes about a quarter of the time, so beyond
//! four threads more of them hardly help.
//!
//! Nothing expires while a file loads: the caller has made the store a follower before, and ends that when
//! also what follows the file is loaded.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use kvik_command::load::{KeyLoader, LoadFault, LoadPolicy, LoadedKey};
use kvik_rdb::{FILE_FORMAT, FileError, IntText, KeyRecord, LongValue, Record, Splitter, Text};
use kvik_store::{Guard, KeyspaceId, Mode, NoEffects};
use parking_lot::Mutex;

use crate::db::Db;
use crate::shared::Shared;
use crate::stripes::{Held, Patience};

/// Bytes that are read at once: some thousand keys, so that a stripe gets some hundred of them in a row, and
/// few enough to be still in the cache of the core when they are stored.
const BLOCK: usize = 256 << 10;

/// Bytes from which a value is read in pieces, if it can be.
const LONG: usize = 8 << 20;

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

impl LoadProgress {
    /// Counts keys, by what [became](LoadedKey) of them.
    fn count(&self, [stored, overdue, empty]: [u64; 3]) {
        self.keys.fetch_add(stored, Relaxed);
        self.overdue.fetch_add(overdue, Relaxed);
        self.empty.fetch_add(empty, Relaxed);
    }
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
        load(&self.shared, input, options, progress)
    }
}

/// Loads an RDB file; see [`Db::load`].
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
        if let Err(error) = source.fill(block, self) {
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
        let mut held = lock(self.shared, index);
        let mut effects = NoEffects;
        let mut guard = guard_of(self.shared, &mut held, &mut effects, first.database);
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
        self.progress.count(counts);
        Ok(())
    }
}

/// Locks a stripe.
fn lock(shared: &Shared, index: usize) -> Held<'_> {
    let held = shared.stripes.lock(index, Patience::Wait);
    held.expect("a patient lock succeeds")
}

/// A guard as loading needs it: nothing expires, and nobody is told.
fn guard_of<'g>(
    shared: &'g Shared,
    held: &'g mut Held<'_>,
    effects: &'g mut NoEffects,
    database: u32,
) -> Guard<'g> {
    let settings = &shared.engine.settings;
    Guard::new(held, &shared.stripes.layout, effects, shared.now_ms())
        .on(KeyspaceId(database))
        .mode(Mode::Follower)
        .access(settings.access_policy(), false, 0)
        .limits(&settings.limits)
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
    fn fill(&mut self, block: &mut Block, loading: &Loading<'_>) -> Result<(), LoadError> {
        block.offset = self.splitter.offset();
        // A value that was longer than a block has left its room behind.
        if block.bytes.capacity() > 4 * BLOCK {
            block.bytes = Vec::new();
        }
        if self.tail.capacity() > 4 * BLOCK {
            self.tail.shrink_to(BLOCK);
        }
        let mut filled = self.take_tail(&mut block.bytes);
        loop {
            if filled == block.bytes.len() {
                // Doubled, so that a long value is not copied again and again.
                block.bytes.resize(2 * filled, 0);
            }
            let is_end = self.read(&mut block.bytes, &mut filled)?;
            let consumed = self.split(block, filled, loading.shared)?;
            if self.splitter.is_done() {
                return Ok(());
            }
            if consumed > 0 {
                self.tail.extend_from_slice(&block.bytes[consumed..filled]);
                return Ok(());
            }
            if is_end {
                return Err(LoadError::Damaged(self.splitter.cut_off(filled)));
            }
            if filled >= LONG
                && let Some((value, passed)) = self.splitter.begin_long(&block.bytes[..filled])
            {
                self.tail.extend_from_slice(&block.bytes[passed..filled]);
                return self.load_long(value, &mut block.bytes, loading);
            }
        }
    }

    /// Stores a key whose value does not fit into a block. Its elements begin in the tail, and what follows
    /// them is left there.
    fn load_long(
        &mut self,
        mut value: LongValue,
        buffer: &mut Vec<u8>,
        loading: &Loading<'_>,
    ) -> Result<(), LoadError> {
        let shared = loading.shared;
        let key = value.header().key.clone().into_bytes();
        let database = self.database;
        let error = |offset, fault| LoadError::Key {
            offset,
            database,
            key: key.to_vec(),
            fault,
        };
        let layout = &shared.stripes.layout;
        let mut held = lock(shared, layout.stripe_of(layout.hash(&key)));
        let mut effects = NoEffects;
        let mut guard = guard_of(shared, &mut held, &mut effects, database);
        let loader = KeyLoader::new(loading.policy);
        let begun = loader.begin(&mut guard, value.header(), &key);
        let mut long = begun.map_err(|fault| error(self.splitter.offset(), fault))?;
        let mut filled = self.take_tail(buffer);
        while !value.is_done() {
            if filled == buffer.len() {
                // Not one element fits: it is a long string.
                buffer.resize(2 * filled, 0);
            }
            let is_end = self.read(buffer, &mut filled)?;
            let piece = self.splitter.piece(&mut value, &buffer[..filled]);
            let (mut piece, passed) = piece.map_err(LoadError::Damaged)?;
            if passed == 0 && is_end {
                return Err(LoadError::Damaged(self.splitter.cut_off(filled)));
            }
            let added = long.add(piece.value());
            let offset = self.splitter.offset() - piece.unread() as u64;
            added.map_err(|fault| error(offset, fault))?;
            buffer.copy_within(passed..filled, 0);
            filled -= passed;
            loading.progress.bytes.store(offset, Relaxed);
        }
        self.tail.extend_from_slice(&buffer[..filled]);
        let ended = long.end();
        let became = ended.map_err(|fault| error(self.splitter.offset(), fault))?;
        let mut counts = [0; 3];
        counts[became as usize] = 1;
        loading.progress.count(counts);
        drop(guard.take_garbage());
        Ok(())
    }

    /// Moves the tail to the start of a buffer, which has room for more, and says how long it is.
    fn take_tail(&mut self, buffer: &mut Vec<u8>) -> usize {
        let filled = self.tail.len();
        buffer.resize(BLOCK.max(filled), 0);
        buffer[..filled].copy_from_slice(&self.tail);
        self.tail.clear();
        filled
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
            match record.map_err(LoadError::Damaged)? {
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
