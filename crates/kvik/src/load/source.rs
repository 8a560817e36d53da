//! The file while it is loaded: read in blocks, and divided into keys.

use std::io::{self, Read};
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::load::KeyLoader;
use kvik_rdb::{IntText, LongValue, Record, Splitter};
use kvik_store::{KeyspaceId, NoEffects};

use super::store::{Block, FoundKey, Loading, guard_of, lock};
use super::{LoadError, LoadOptions, LoadReport};
use crate::shared::Shared;

/// Bytes that are read at once: some thousand keys, so that a stripe gets some hundred of them in a
/// row, and few enough to be still in the cache of the core when they are stored.
const BLOCK: usize = 256 << 10;

/// Bytes of the shortest keys with values, and stripes' shares of keys that are worth a
/// preparation.
const KEY_BYTES: u64 = 4;
const MANY_KEYS: u64 = 1000;

/// Bytes from which a value is read in pieces, if it can be.
const LONG: usize = 8 << 20;

/// The file, as far as it has been read.
pub(super) struct Source<'l> {
    input: &'l mut (dyn Read + Send),
    pub(super) splitter: Splitter,
    /// The beginning of a record that did not fit into the last block.
    tail: Vec<u8>,
    database: u32,
    /// More keys than its bytes can hold are not prepared for.
    most_keys: u64,
    pub(super) report: LoadReport,
    /// The first thing that went wrong; nothing is read any more.
    pub(super) error: Option<LoadError>,
}

impl<'l> Source<'l> {
    pub(super) fn new(input: &'l mut (dyn Read + Send), options: &LoadOptions) -> Self {
        Self {
            input,
            splitter: Splitter::new(options.checks_sum),
            tail: Vec::new(),
            database: 0,
            most_keys: options.len / KEY_BYTES,
            report: LoadReport::default(),
            error: None,
        }
    }

    /// Reads until a block has some records, or the file ends.
    pub(super) fn fill(
        &mut self,
        block: &mut Block,
        loading: &Loading<'_>,
    ) -> Result<(), LoadError> {
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
            // A record that has not ended by now is worth taking apart, if it can be.
            if filled >= LONG
                && let Some((value, passed)) = self.splitter.begin_long(&block.bytes[..filled])
            {
                self.tail.extend_from_slice(&block.bytes[passed..filled]);
                return self.load_long(value, &mut block.bytes, loading);
            }
        }
    }

    /// Stores a key whose value does not fit into a block. Its elements begin in the tail, and what
    /// follows them is left there.
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
        // The stripe stays locked until the value is whole: others wait for the input meanwhile
        // anyway.
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
            // Elements go straight to the collection; the buffer is then free for the next.
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
        drop(guard.take_aftermath());
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
                    // The thread that stores it reads the record again: that costs less than to
                    // keep it.
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
                Record::Sizes { keys, .. } => {
                    expect(self.database, keys.min(self.most_keys), shared);
                }
            }
            // What follows a value longer than a block is left to the next one, so that a start
            // fits its field.
            if records.consumed() > 2 * BLOCK {
                break;
            }
        }
        let consumed = records.consumed();
        drop(records);
        block.version = self.splitter.version().unwrap_or(0);
        block.shapes.clone_from(self.splitter.shapes());
        Ok(consumed)
    }
}

/// Prepares a database for so many keys, which saves it from growing step by step. Keys of
/// namespaces go to tables of their own.
fn expect(database: u32, keys: u64, shared: &Shared) {
    let share = keys / shared.stripes.len() as u64;
    let layout = &shared.stripes.layout;
    if share < MANY_KEYS || layout.namespaces().is_some() {
        return;
    }
    for index in 0..shared.stripes.len() {
        let mut held = lock(shared, index);
        let stripe = held.stripe_mut();
        stripe.expect(layout, KeyspaceId(database), share as usize);
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
