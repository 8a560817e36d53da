//! The keys that are used most and those that are largest, always known.
//!
//! Hot keys come from a sketch for each thread that runs commands: the Space-Saving algorithm
//! (Metwally, Agrawal, El Abbadi 2005) over one in [`INTERVAL`] commands, drawn at random. A sketch
//! has a fixed number of counters; a key that is not among them takes the place of the least one
//! and its count, which is noted as its error. Counts are halved every [`HALF_LIFE_S`] seconds, so
//! that they tell of the present. Cost: two instructions for a command, and about a microsecond for
//! one that is drawn.
//!
//! Large keys come from a walk through all keys by the upkeep thread, which takes it easy: a key
//! that is new appears when the walk has come by. The same walk measures the prefixes that are
//! configured.
//!
//! The file is long because the sketch, the walk and the collection that is asked for between them
//! are one answer to one question. What they share is private: a module for each would open it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use kvik_store::{Kind, View, key_slot};
use parking_lot::Mutex;

use crate::cluster::SlotRange;

/// One in so many commands is drawn.
pub const INTERVAL: u32 = 128;
/// Counters of a thread.
const COUNTERS: usize = 128;
/// Seconds after which a count is worth half.
const HALF_LIFE_S: u64 = 16;
/// Longest key that is kept.
const MOST_KEY_BYTES: usize = 1024;
/// Bytes of a key for which a counter has room from the start.
const USUAL_KEY_BYTES: usize = 40;
/// Large keys that are kept.
const LARGEST: usize = 128;

/// A key that is used often.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey {
    /// Its database.
    pub db: u32,
    /// Its name.
    pub key: Vec<u8>,
    /// Uses per second, of late.
    pub per_second: f64,
    /// The part of all uses, in percent.
    pub percent: f64,
}

/// A key that is large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeKey {
    /// Bytes that it accounts for.
    pub bytes: u64,
    /// Its database.
    pub db: u32,
    /// Its name.
    pub key: Vec<u8>,
    /// The type of its value.
    pub kind: Kind,
}

/// The sketches of all threads, and what a client has asked to be collected.
#[derive(Debug, Default)]
pub struct HotKeys {
    sketches: Mutex<Vec<Arc<Mutex<KeySketch>>>>,
    collection: Mutex<Option<KeyCollection>>,
    is_collecting: AtomicBool,
}

/// The terms of HOTKEYS START.
#[derive(Clone, Debug)]
pub struct CollectionTerms {
    /// The time that commands take.
    pub times: bool,
    /// The bytes of their requests and replies.
    pub bytes: bool,
    /// Keys that are told at most.
    pub count: usize,
    /// When it ends by itself, in microseconds since the epoch.
    pub until_us: Option<u64>,
    /// One in so many commands is noted.
    pub ratio: u64,
    /// The slots whose keys are noted, in ascending order; all if there are none.
    pub slots: Vec<SlotRange>,
    /// Whether a client has chosen the slots.
    pub chosen: bool,
}

impl CollectionTerms {
    fn takes(&self, key: &[u8]) -> bool {
        self.slots.is_empty() || {
            let slot = key_slot(key);
            self.slots
                .iter()
                .any(|it| (it.first..=it.last).contains(&slot))
        }
    }
}

/// The keys that take most time or bytes, from all commands since a start or a part of them.
#[derive(Clone, Debug)]
pub struct KeyCollection {
    /// The terms that were asked for.
    pub terms: CollectionTerms,
    /// When it began, in microseconds since the epoch.
    pub began_us: u64,
    /// When it ended, if it has.
    pub ended_us: Option<u64>,
    /// Nanoseconds that the commands took.
    pub nanos: u64,
    /// Bytes of their requests and replies.
    pub bytes: u64,
    /// The cost of those that name a key of the chosen slots.
    pub selected: CommandCost,
    /// The cost of the sampled ones among them.
    pub sampled: CommandCost,
    /// Processor seconds of the process when it began: of its own and in the kernel.
    pub processor_s: (f64, f64),
    by_time: KeySketch,
    by_bytes: KeySketch,
    until_noted: u64,
}

/// The cost of a command.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandCost {
    /// Nanoseconds that it took.
    pub nanos: u64,
    /// Bytes of its request and its reply.
    pub bytes: u64,
}

impl std::ops::AddAssign for CommandCost {
    fn add_assign(&mut self, other: Self) {
        self.nanos += other.nanos;
        self.bytes += other.bytes;
    }
}

/// The keys that one thread has seen.
#[derive(Clone, Debug)]
pub struct KeySketch {
    hasher: RandomState,
    /// Nothing before the first use, and then always as many, so that no use allocates but that of
    /// a long key. One that counts 0 is free.
    counters: Vec<KeyCounter>,
    /// Uses seen, of any key.
    all: u64,
    halved_s: u64,
}

#[derive(Clone, Debug)]
struct KeyCounter {
    hash: u64,
    db: u32,
    key: Vec<u8>,
    count: u64,
    /// How much of the count belongs to others.
    error: u64,
}

impl Default for KeySketch {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            counters: Vec::new(),
            all: 0,
            halved_s: 0,
        }
    }
}

impl KeyCounter {
    fn free() -> Self {
        Self {
            hash: 0,
            db: 0,
            key: Vec::with_capacity(USUAL_KEY_BYTES),
            count: 0,
            error: 0,
        }
    }
}

impl KeySketch {
    /// Notes that a key was used so many times, at a time in seconds since the epoch.
    pub fn note(&mut self, db: u32, key: &[u8], uses: u64, now_s: u64) {
        self.halve(now_s);
        self.all += uses;
        if key.len() > MOST_KEY_BYTES {
            return;
        }
        let hash = self.hasher.hash_one((db, key));
        let is_it = |it: &&mut KeyCounter| it.hash == hash && it.db == db && *it.key == *key;
        if let Some(counter) = self.counters.iter_mut().find(is_it) {
            counter.count += uses;
            return;
        }
        if self.counters.is_empty() {
            self.counters.resize_with(COUNTERS, KeyCounter::free);
        }
        // Space-saving: the key takes over the lowest counter with its count, which is the most by
        // which it may be wrong.
        if let Some(least) = self.counters.iter_mut().min_by_key(|it| it.count) {
            least.error = least.count;
            least.count += uses;
            (least.hash, least.db) = (hash, db);
            least.key.clear();
            least.key.extend_from_slice(key);
        }
    }

    fn halve(&mut self, now_s: u64) {
        if self.halved_s == 0 {
            self.halved_s = now_s;
        }
        // All halvings that were due since, at once: an idle thread halves when it is next looked
        // at.
        let times = now_s.saturating_sub(self.halved_s) / HALF_LIFE_S;
        if times == 0 {
            return;
        }
        self.halved_s += times * HALF_LIFE_S;
        let times = times.min(63);
        self.all >>= times;
        for counter in &mut self.counters {
            counter.count >>= times;
            counter.error >>= times;
        }
    }
}

impl HotKeys {
    /// A sketch for a thread. One whose thread has ended is used again.
    pub fn sketch(&self) -> Arc<Mutex<KeySketch>> {
        let mut sketches = self.sketches.lock();
        // A thread that has ended leaves its sketch to the next one.
        let idle = sketches.iter().find(|it| Arc::strong_count(it) == 1);
        idle.cloned().unwrap_or_else(|| {
            let sketch = Arc::<Mutex<KeySketch>>::default();
            sketches.push(Arc::clone(&sketch));
            sketch
        })
    }

    /// The keys used most, at most `count` of them, at a time in seconds since the epoch.
    pub fn top(&self, count: usize, now_s: u64) -> Vec<HotKey> {
        let mut sums: HashMap<(u32, Box<[u8]>), f64> = HashMap::new();
        let mut all = 0.0;
        for sketch in self.sketches.lock().iter() {
            let mut sketch = sketch.lock();
            sketch.halve(now_s);
            // Halving every H seconds leaves of a steady rate r the sum r H, and what came since.
            let window_s = (HALF_LIFE_S + now_s.saturating_sub(sketch.halved_s)) as f64;
            all += sketch.all as f64 / window_s;
            for counter in &sketch.counters {
                // What it may have taken over from others does not count: a key is shown with the
                // uses that are certain.
                let own = counter.count.saturating_sub(counter.error);
                *sums
                    .entry((counter.db, counter.key.as_slice().into()))
                    .or_default() += own as f64 / window_s;
            }
        }
        let mut keys: Vec<_> = sums
            .into_iter()
            .filter(|(_, rate)| *rate > 0.0)
            .map(|((db, key), rate)| HotKey {
                db,
                key: key.into(),
                per_second: rate,
                percent: rate * 100.0 / all,
            })
            .collect();
        keys.sort_by(|a, b| {
            let by_rate = b.per_second.total_cmp(&a.per_second);
            by_rate.then_with(|| (a.db, &a.key).cmp(&(b.db, &b.key)))
        });
        keys.truncate(count);
        keys
    }

    /// Forgets all that was seen.
    pub fn reset(&self) {
        for sketch in self.sketches.lock().iter() {
            *sketch.lock() = KeySketch::default();
        }
    }
}

impl KeyCollection {
    fn new(terms: CollectionTerms, now_us: u64, processor_s: (f64, f64)) -> Self {
        Self {
            terms,
            began_us: now_us,
            ended_us: None,
            nanos: 0,
            bytes: 0,
            selected: CommandCost::default(),
            sampled: CommandCost::default(),
            processor_s,
            by_time: KeySketch::default(),
            by_bytes: KeySketch::default(),
            until_noted: 1,
        }
    }

    /// Ends it if its time is up.
    fn end_in_time(&mut self, now_us: u64) {
        let until_us = self.terms.until_us.filter(|until_us| *until_us <= now_us);
        self.ended_us = self.ended_us.or(until_us);
    }

    /// Notes a command and the keys that it names.
    fn note<'k>(&mut self, db: u32, keys: impl Iterator<Item = &'k [u8]>, cost: CommandCost) {
        /// The time at which a sketch is used for ever, so that nothing loses its weight.
        const ALWAYS_S: u64 = 1;

        let terms = &self.terms;
        self.nanos += cost.nanos;
        self.bytes += cost.bytes;
        let mut keys = keys.filter(|key| terms.takes(key)).peekable();
        if terms.chosen {
            if keys.peek().is_none() {
                return;
            }
            self.selected += cost;
        }
        self.until_noted -= 1;
        if self.until_noted > 0 {
            return;
        }
        self.until_noted = terms.ratio;
        self.sampled += cost;
        for key in keys {
            if terms.times {
                let nanos = cost.nanos * terms.ratio;
                self.by_time.note(db, key, nanos, ALWAYS_S);
            }
            if terms.bytes {
                let bytes = cost.bytes * terms.ratio;
                self.by_bytes.note(db, key, bytes, ALWAYS_S);
            }
        }
    }

    /// The keys that took most time, with nanoseconds.
    pub fn by_time(&self) -> Vec<(Vec<u8>, u64)> {
        self.by_time.most(self.terms.count)
    }

    /// The keys that took most bytes, with bytes.
    pub fn by_bytes(&self) -> Vec<(Vec<u8>, u64)> {
        self.by_bytes.most(self.terms.count)
    }
}

impl KeySketch {
    /// The keys with the largest counts.
    fn most(&self, count: usize) -> Vec<(Vec<u8>, u64)> {
        let own = |it: &KeyCounter| it.count.saturating_sub(it.error);
        let counters = self.counters.iter().filter(|it| own(it) > 0);
        let mut keys: Vec<_> = counters.map(|it| (it.key.clone(), own(it))).collect();
        keys.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        keys.truncate(count);
        keys
    }
}

impl HotKeys {
    /// Whether every command is to be noted in a collection.
    #[inline]
    pub fn is_collecting(&self) -> bool {
        self.is_collecting.load(Relaxed)
    }

    /// Begins a collection, unless one is in progress; says whether it did.
    pub fn collect(&self, terms: CollectionTerms, now_us: u64, processor_s: (f64, f64)) -> bool {
        let mut collection = self.collection.lock();
        if let Some(there) = &mut *collection {
            there.end_in_time(now_us);
            if there.ended_us.is_none() {
                return false;
            }
        }
        *collection = Some(KeyCollection::new(terms, now_us, processor_s));
        self.is_collecting.store(true, Relaxed);
        true
    }

    /// Ends the collection in progress and says whether there was one.
    pub fn end_collection(&self, now_us: u64) -> bool {
        self.is_collecting.store(false, Relaxed);
        let mut collection = self.collection.lock();
        let Some(there) = &mut *collection else {
            return false;
        };
        there.end_in_time(now_us);
        let ends = there.ended_us.is_none();
        there.ended_us.get_or_insert(now_us);
        ends
    }

    /// The collection in progress, or the last one.
    pub fn collection(&self, now_us: u64) -> Option<KeyCollection> {
        let mut collection = self.collection.lock();
        if let Some(there) = &mut *collection {
            there.end_in_time(now_us);
        }
        collection.clone()
    }

    /// Whether a collection is in progress.
    pub fn collects_at(&self, now_us: u64) -> bool {
        let mut collection = self.collection.lock();
        collection.as_mut().is_some_and(|there| {
            there.end_in_time(now_us);
            there.ended_us.is_none()
        })
    }

    /// Forgets the last collection, unless it is in progress; says whether it is not.
    pub fn forget_collection(&self, now_us: u64) -> bool {
        let mut collection = self.collection.lock();
        if let Some(there) = &mut *collection {
            there.end_in_time(now_us);
            if there.ended_us.is_none() {
                return false;
            }
        }
        *collection = None;
        true
    }

    /// Notes a command in the collection.
    pub fn note_in_collection<'k>(
        &self,
        db: u32,
        keys: impl Iterator<Item = &'k [u8]>,
        cost: CommandCost,
        now_us: u64,
    ) {
        let mut collection = self.collection.lock();
        let Some(there) = &mut *collection else {
            return;
        };
        there.end_in_time(now_us);
        if there.ended_us.is_some() {
            self.is_collecting.store(false, Relaxed);
            return;
        }
        there.note(db, keys, cost);
    }
}

/// The walk through all keys: what it has found, and what it found the last time.
#[derive(Debug, Default)]
pub struct KeyWalk(Mutex<WalkState>);

#[derive(Debug, Default)]
struct WalkState {
    /// Where the walk rests between two of its turns.
    resting: KeyVisitor,
    /// The largest keys that the walk has found so far.
    largest: Vec<LargeKey>,
    last: Option<Found>,
    /// Resets so far: a walk that began before the last one is given up.
    resets: u64,
}

/// A walk in progress, in the hands of who walks. Nobody waits for it meanwhile.
#[derive(Debug, Default)]
pub struct KeyVisitor {
    /// The database it is in.
    pub db: u32,
    /// The cursor in that database.
    pub cursor: u64,
    found: Found,
    resets: u64,
}

/// The findings of one walk.
#[derive(Clone, Debug, Default)]
struct Found {
    largest: Vec<LargeKey>,
    prefixes: Vec<PrefixSizes>,
}

/// The keys under a prefix, as the last walk has found them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixSizes {
    /// The prefix.
    pub prefix: Vec<u8>,
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

impl Found {
    fn meet(&mut self, db: u32, view: &View<'_>) {
        let bytes = view.bytes() as u64;
        if let Some(sizes) = longest_match(&mut self.prefixes, view.key()) {
            sizes.keys += 1;
            sizes.bytes += bytes;
        }
        let least = self.largest.last().map_or(0, |it| it.bytes);
        // Nearly all keys of a large store end here.
        if self.largest.len() == LARGEST && bytes <= least {
            return;
        }
        let at = self.largest.partition_point(|it| it.bytes >= bytes);
        let key = view.key().to_vec();
        let kind = view.kind();
        self.largest.insert(
            at,
            LargeKey {
                bytes,
                db,
                key,
                kind,
            },
        );
        self.largest.truncate(LARGEST);
    }
}

/// The longest of the prefixes that a key begins with.
fn longest_match<'p>(prefixes: &'p mut [PrefixSizes], key: &[u8]) -> Option<&'p mut PrefixSizes> {
    let matching = prefixes.iter_mut().filter(|it| key.starts_with(&it.prefix));
    matching.max_by_key(|it| it.prefix.len())
}

impl KeyVisitor {
    /// Begins to measure these prefixes, if the walk is at its beginning.
    pub fn measure(&mut self, prefixes: impl Iterator<Item = Vec<u8>>) {
        if self.db == 0 && self.cursor == 0 {
            let empty = |prefix| PrefixSizes {
                prefix,
                ..PrefixSizes::default()
            };
            self.found = Found {
                largest: Vec::new(),
                prefixes: prefixes.map(empty).collect(),
            };
        }
    }

    /// Comes by a key.
    pub fn meet(&mut self, view: &View<'_>) {
        self.found.meet(self.db, view);
    }
}

impl KeyWalk {
    /// The walk, to go on with it.
    pub fn take(&self) -> KeyVisitor {
        let mut state = self.0.lock();
        let resets = state.resets;
        KeyVisitor {
            resets,
            ..std::mem::take(&mut state.resting)
        }
    }

    /// Gives the walk back; `is_over` says whether it has come by all keys.
    pub fn give_back(&self, walk: KeyVisitor, is_over: bool) {
        let mut state = self.0.lock();
        // It was reset meanwhile: what it has found is not wanted any more.
        if walk.resets != state.resets {
            return;
        }
        if is_over {
            state.largest.clear();
            state.last = Some(walk.found);
        } else {
            state.largest.clone_from(&walk.found.largest);
            state.resting = walk;
        }
    }

    /// The largest keys that are known, at most `count`.
    pub fn largest(&self, count: usize) -> Vec<LargeKey> {
        let state = self.0.lock();
        // What this walk has found already counts beside what the last one found.
        let mut all = state.largest.clone();
        if let Some(last) = &state.last {
            for key in &last.largest {
                let is_same = |it: &LargeKey| it.db == key.db && it.key == key.key;
                if !all.iter().any(is_same) {
                    all.push(key.clone());
                }
            }
        }
        all.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.key.cmp(&b.key)));
        all.truncate(count);
        all
    }

    /// The sizes under a prefix, as the last whole walk has found them.
    pub fn sizes(&self, prefix: &[u8]) -> Option<PrefixSizes> {
        let state = self.0.lock();
        let found = state.last.as_ref()?;
        found
            .prefixes
            .iter()
            .find(|it| it.prefix == prefix)
            .cloned()
    }

    /// Begins anew.
    pub fn reset(&self) {
        let mut state = self.0.lock();
        *state = WalkState {
            resets: state.resets + 1,
            ..WalkState::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_most_comes_first() {
        let hot = HotKeys::default();
        let (one, other) = (hot.sketch(), hot.sketch());
        for n in 0..10_000u64 {
            let key = format!("cold:{}", n % 1000);
            one.lock().note(0, key.as_bytes(), 1, 100);
            if n % 4 == 0 {
                one.lock().note(0, b"hot", 1, 100);
                other.lock().note(0, b"hot", 1, 100);
                other.lock().note(3, b"warm", 1, 100);
            }
        }
        let top = hot.top(2, 100);
        assert_eq!((top[0].db, &*top[0].key), (0, &b"hot"[..]));
        assert_eq!((top[1].db, &*top[1].key), (3, &b"warm"[..]));
        assert!(top[0].percent > 25.0 && top[0].percent < 30.0, "{top:?}");
        drop(one);
        assert_eq!(hot.sketches.lock().len(), 2);
        hot.sketch();
        assert_eq!(hot.sketches.lock().len(), 2);
    }

    #[test]
    fn counts_fade() {
        let mut sketch = KeySketch::default();
        sketch.note(0, b"old", 64, 1000);
        sketch.note(0, b"new", 20, 1000 + 2 * HALF_LIFE_S);
        let count = |name: &[u8]| sketch.counters.iter().find(|it| *it.key == *name);
        assert_eq!(count(b"old").map(|it| it.count), Some(16));
        sketch.note(0, b"new", 1, 1000 + 30 * HALF_LIFE_S);
        let used = sketch.counters.iter().filter(|it| it.count > 0);
        assert_eq!(used.count(), 1);
    }

    #[test]
    fn no_counter_is_above_what_was_seen() {
        let mut sketch = KeySketch::default();
        for n in 0..5000u32 {
            sketch.note(0, &(n * n % 977).to_be_bytes(), 1, 1);
        }
        assert_eq!(sketch.counters.len(), COUNTERS);
        let sum: u64 = sketch.counters.iter().map(|it| it.count).sum();
        assert_eq!(sum, 5000);
        assert!(sketch.counters.iter().all(|it| it.error < it.count));
    }
}
