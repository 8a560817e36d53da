//! Stores the keys of blocks, stripe after stripe.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::load::{KeyLoader, LoadPolicy, LoadedKey};
use kvik_rdb::{KeyRecord, Shapes};
use kvik_store::{Guard, KeyHash, KeyspaceId, Mode, NoEffects};
use parking_lot::Mutex;

use super::source::Source;
use super::{LoadError, LoadProgress};
use crate::shared::Shared;
use crate::stripes::{Held, Patience};

/// Keys whose places are fetched from memory together.
const TOGETHER: usize = 32;

/// Empty collections that are named in the log, about.
const MOST_NAMED: u64 = 10;

/// The state that the loading threads share.
pub(super) struct Loading<'l> {
    pub(super) shared: &'l Shared,
    pub(super) policy: LoadPolicy,
    pub(super) progress: &'l LoadProgress,
    pub(super) source: Mutex<Source<'l>>,
}

/// Some bytes of the file, and the keys in them by stripe.
#[derive(Default)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// Bytes of the file before these.
    pub(super) offset: u64,
    pub(super) version: u16,
    /// The names of fields that hashes share.
    pub(super) shapes: Arc<Shapes>,
    pub(super) keys: Vec<Vec<FoundKey>>,
}

/// Where a key lies in a block.
#[derive(Clone, Copy)]
pub(super) struct FoundKey {
    pub(super) hash: KeyHash,
    pub(super) start: u32,
    pub(super) database: u32,
    pub(super) len: usize,
}

impl Block {
    /// Has the records of some keys come from memory. They lie all over the block, which has left
    /// the nearest cache since it was read; here the waits for them overlap.
    fn fetch(&self, keys: &[FoundKey]) {
        let first = keys.iter().map(|found| self.bytes[found.start as usize]);
        std::hint::black_box(first.fold(0, u8::wrapping_add));
    }
}

impl FoundKey {
    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len
    }
}

impl Loading<'_> {
    /// Stores blocks until there are no more.
    pub(super) fn run(&self, number: usize, threads: usize) {
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
            // What was found before the error is stored, so that the keys in memory are those
            // before the offset.
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
        // The places of some keys are fetched at once, so that the waits for memory overlap.
        for keys in keys.chunks(TOGETHER) {
            block.fetch(keys);
            let hashes = keys.iter().map(|found| found.hash);
            stripes.prefetch(KeyspaceId(keys[0].database), hashes);
            for found in keys {
                guard.select(KeyspaceId(found.database));
                let became = store_key(loader, &mut guard, block, *found)?;
                counts[became as usize] += 1;
                if became == LoadedKey::Empty {
                    self.tell_of_empty(block, *found);
                }
            }
        }
        drop(guard.take_aftermath());
        self.progress.count(counts);
        Ok(())
    }
}

impl Loading<'_> {
    /// Names a collection without elements in the log, unless there were many.
    #[cold]
    fn tell_of_empty(&self, block: &Block, found: FoundKey) {
        let record = KeyRecord::read(&block.bytes[found.range()], block.version);
        if self.progress.empty.load(Relaxed) < MOST_NAMED
            && let Ok(record) = record
        {
            let key = record.header.key.into_bytes();
            let line = format!("skipping empty key: {}", key.escape_ascii());
            self.shared.engine.host.log(&line);
        }
    }
}

/// Locks a stripe.
pub(super) fn lock(shared: &Shared, index: usize) -> Held<'_> {
    let held = shared.stripes.lock(index, Patience::Wait);
    held.expect("a patient lock succeeds")
}

/// A guard as loading needs it: nothing expires, and nobody is told.
pub(super) fn guard_of<'g>(
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

/// Exempts a key that was loaded from eviction. One that is not there, because its time has come,
/// needs nothing.
pub(super) fn bless(shared: &Shared, database: u64, key: &[u8]) {
    let layout = &shared.stripes.layout;
    let mut held = lock(shared, layout.stripe_of(layout.hash(key)));
    let mut effects = NoEffects;
    if let Ok(database) = u32::try_from(database) {
        let mut guard = guard_of(shared, &mut held, &mut effects, database);
        let there = guard.entry(key).occupied();
        there.into_iter().for_each(|mut there| {
            there.bless(true);
        });
        drop(guard.take_aftermath());
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
    let record = record.expect("a record that was found before");
    let mut record = record.with_shapes(&block.shapes);
    let loaded = loader.load(guard, &mut record, found.hash);
    loaded.map_err(|fault| LoadError::Key {
        offset: block.offset + (range.end - record.unread()) as u64,
        database: found.database,
        key: record.header.key.into_bytes().into_owned(),
        fault,
    })
}
