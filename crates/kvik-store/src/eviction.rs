//! Which key of a stripe is evicted next.
//!
//! Orders by use ([`EvictionOrder::Idle`], [`EvictionOrder::Frequency`] and those by hits) compare
//! a few keys at random and remember the best of them in a pool, as Redis does; one that has been
//! used since it was seen is passed over. Keys that lie together are as good as random ones, since
//! their order is by hash, and fetching them overlaps. The order by time to live is exact: the
//! table knows in which bucket the earliest deadline is. [`EvictionOrder::Queue`] is S3-FIFO (Yang
//! et al. 2023), see [`queue`].
//!
//! Cost of a key, besides deleting it: about as many cache lines as keys are compared, most of
//! which are fetched at the same time.

pub(crate) mod queue;

use crate::UnixMs;
use crate::clock::{AccessPolicy, hits};
use crate::heap::HeapEntry;
use crate::keyspace::{HeapKeys, KeyspaceMut, KeyspaceRef};
use crate::layout::Layout;
use crate::namespace::TableId;
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::{Position, Prefix};
use crate::stripe::Stripe;

/// Candidates that a stripe remembers.
const POOL: usize = 16;
/// Most keys compared at once.
const MOST_SAMPLES: usize = 64;
/// Databases of which keys are compared, for one eviction.
const MOST_KEYSPACES: usize = 16;
/// Pinned keys that are passed over in one round.
const MOST_PASSED_OVER: usize = 8;
/// Keys that are looked at for one that is not blessed.
const MOST_BLESSED: usize = 256;
/// Buckets looked at in vain for the earliest deadline of a key.
const TTL_LOOKS: usize = 64;

/// The order in which keys are evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvictionOrder {
    /// The longest unused first; with [`AccessPolicy::Modification`], the longest unchanged.
    #[default]
    Idle,
    /// The lowest logarithmic access counter first.
    Frequency,
    /// The first to expire first.
    Ttl,
    /// Any.
    Random,
    /// As S3-FIFO says.
    Queue,
    /// The fewest hits first.
    FewestHits,
    /// The most hits first.
    MostHits,
}

/// How keys are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvictionRules {
    /// Which first.
    pub order: EvictionOrder,
    /// Only keys that expire.
    pub volatile: bool,
    /// Keys compared per eviction.
    pub samples: usize,
    /// The reading of access clocks.
    pub access: AccessPolicy,
    /// Only keys of this table; otherwise those of all.
    pub table: Option<TableId>,
}

/// The result of one round of eviction in a stripe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvictionRound {
    /// Keys evicted.
    pub keys: usize,
    /// Bytes by which the data has shrunk. What is large is freed later.
    pub bytes: u64,
}

/// A key that might be evicted.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// The higher, the sooner.
    score: u64,
    table: TableId,
    position: Position,
}

/// The best candidates that a stripe has come across, the best last.
#[derive(Debug, Default)]
pub(crate) struct EvictionPool {
    order: EvictionOrder,
    volatile: bool,
    table: Option<TableId>,
    candidates: Vec<Candidate>,
}

impl EvictionRules {
    /// How good a candidate an entry is.
    fn score(&self, entry: &HeapEntry<'_>, now: UnixMs) -> u64 {
        match self.order {
            EvictionOrder::Idle => AccessPolicy::idle_seconds(entry.clock(), now),
            EvictionOrder::Frequency => 255 - u64::from(self.access.frequency(entry.clock(), now)),
            EvictionOrder::FewestHits => u64::MAX - u64::from(hits(entry.clock())),
            EvictionOrder::MostHits => u64::from(hits(entry.clock())),
            EvictionOrder::Ttl => u64::MAX - entry.expire_at().unwrap_or(u64::MAX),
            EvictionOrder::Random | EvictionOrder::Queue => 0,
        }
    }

    fn admits(&self, entry: &HeapEntry<'_>) -> bool {
        !self.volatile || entry.expire_at().is_some()
    }
}

impl EvictionPool {
    /// Forgets what was found for another order, or another namespace.
    fn serve(&mut self, rules: &EvictionRules) {
        let wanted = (rules.order, rules.volatile, rules.table);
        if (self.order, self.volatile, self.table) != wanted {
            (self.order, self.volatile, self.table) = wanted;
            self.candidates.clear();
        }
    }

    /// Offers the key of an entry, if it may go.
    fn consider(
        &mut self,
        there: KeyspaceRef<'_>,
        layout: &Layout,
        rules: &EvictionRules,
        now: UnixMs,
        table: TableId,
        entry: EntryRef,
    ) {
        let found = there.entry(entry);
        let position = layout.position_of_key(found.key());
        if rules.admits(&found) && !there.is_blessed(position, entry) {
            self.offer(Candidate {
                score: rules.score(&found, now),
                table,
                position,
            });
        }
    }

    fn offer(&mut self, candidate: Candidate) {
        let known =
            |it: &Candidate| it.position == candidate.position && it.table == candidate.table;
        if let Some(at) = self.candidates.iter().position(known) {
            self.candidates.remove(at);
        }
        let at = self
            .candidates
            .partition_point(|it| it.score < candidate.score);
        // Kept between rounds, so that the best of many samples goes, and not of one.
        if self.candidates.len() < POOL {
            self.candidates.insert(at, candidate);
        } else if at > 0 {
            // The worst makes room.
            self.candidates.insert(at, candidate);
            self.candidates.remove(0);
        }
    }
}

/// A key that is to go.
pub(crate) struct Victim {
    pub(crate) table: TableId,
    pub(crate) entry: EntryRef,
}

impl Stripe {
    /// The key to evict next, if there is one. `random` is drawn from as needed.
    pub(crate) fn victim(
        &mut self,
        layout: &Layout,
        rules: &EvictionRules,
        now: UnixMs,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<Victim> {
        let victim = match rules.order {
            EvictionOrder::Random if rules.volatile => {
                let sample = |there: &mut KeyspaceMut<'_>, random| {
                    there.sample_volatile(random, 1).first().copied()
                };
                self.of_one_table(layout, rules, random, sample)
            }
            EvictionOrder::Random => {
                let sample = |there: &mut KeyspaceMut<'_>, random| there.read().sample_ref(random);
                self.of_one_table(layout, rules, random, sample)
            }
            EvictionOrder::Ttl => self.first_to_expire(layout, rules, now, random),
            EvictionOrder::Queue => {
                self.of_one_table(layout, rules, random, |there, _| there.next_in_queue())
            }
            _ => self.best_of_some(layout, rules, now, random),
        };
        match victim {
            Some(victim) if self.is_spared(&victim, layout) => {
                self.best_of_some(layout, rules, now, random)
            }
            victim => victim,
        }
    }

    /// Finds out when the first key expires that may be evicted, where only a time before that is
    /// known: whoever compares stripes has to know it.
    pub fn settle_due(
        &mut self,
        layout: &Layout,
        rules: &EvictionRules,
        now: UnixMs,
        random: &mut dyn FnMut() -> u64,
    ) {
        self.first_to_expire(layout, rules, now, random);
        if let Some(table) = rules.table {
            self.tell_namespace(table, layout);
        }
        self.refresh_due();
    }

    /// Whether a key is blessed. One that has left its queue for nothing enters it again.
    fn is_spared(&mut self, victim: &Victim, layout: &Layout) -> bool {
        let keyspace = self.keyspace(victim.table);
        let Some(there) = keyspace.filter(|it| it.keyspace.blessed.is_some()) else {
            return false;
        };
        let position = layout.position_of_key(there.entry(victim.entry).key());
        let is_spared = there.is_blessed(position, victim.entry);
        if is_spared && let Some(mut there) = self.present_mut(victim.table, layout) {
            there.enter_queue(position);
        }
        is_spared
    }

    /// The keyspaces that keys may be evicted from, some of them where there are many.
    fn evictable(&self, rules: &EvictionRules, random: u64) -> Vec<TableId> {
        let all = self.table_count();
        // From a random one on: beyond the first sixteen, others get their turn as well.
        let start = random.checked_rem(all.into()).unwrap_or(0) as u32;
        let ids = (start..all).chain(0..start);
        let only = rules.table;
        let mut ids: Vec<_> = match only {
            Some(id) => vec![id],
            None => ids.map(TableId).collect(),
        };
        ids.retain(|&id| {
            let keyspace = self.keyspace(id).map(|it| it.keyspace);
            keyspace.is_some_and(|it| match rules.volatile {
                true => it.volatile_len() > 0,
                false => it.len() > 0,
            })
        });
        ids.truncate(MOST_KEYSPACES);
        ids
    }

    /// A key that `choose` finds in one of the keyspaces, with random bits at hand.
    fn of_one_table(
        &mut self,
        layout: &Layout,
        rules: &EvictionRules,
        random: &mut dyn FnMut() -> u64,
        choose: impl FnOnce(&mut KeyspaceMut<'_>, u64) -> Option<EntryRef>,
    ) -> Option<Victim> {
        let table = self.evictable(rules, random()).first().copied()?;
        let mut there = self.present_mut(table, layout)?;
        let entry = choose(&mut there, random())?;
        Some(Victim { table, entry })
    }

    /// The first key to expire, exactly; where members of collections expire before, the first of
    /// some.
    fn first_to_expire(
        &mut self,
        layout: &Layout,
        rules: &EvictionRules,
        now: UnixMs,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<Victim> {
        let mut first: Option<(UnixMs, Victim)> = None;
        for table in self.evictable(rules, random()) {
            let mut there = self.present_mut(table, layout)?;
            let Some((at, entry)) = there.first_due(TTL_LOOKS) else {
                continue;
            };
            // The deadline is that of a member, and the key itself may never expire.
            if there.entry(entry).expire_at() != Some(at) {
                return self.best_of_some(layout, rules, now, random);
            }
            if first.as_ref().is_none_or(|(best, _)| at < *best) {
                first = Some((at, Victim { table, entry }));
            }
        }
        match first {
            Some((_, victim)) => Some(victim),
            None => self.best_of_some(layout, rules, now, random),
        }
    }

    fn best_of_some(
        &mut self,
        layout: &Layout,
        rules: &EvictionRules,
        now: UnixMs,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<Victim> {
        let mut pool = std::mem::take(&mut self.eviction);
        pool.serve(rules);
        for table in self.evictable(rules, random()) {
            self.compare_some(&mut pool, layout, rules, now, table, random());
            if pool.candidates.is_empty() {
                self.find_any(&mut pool, layout, rules, now, table, random());
            }
        }
        let victim = self.best_in_pool(&mut pool, layout, rules, now);
        self.eviction = pool;
        victim
    }

    fn compare_some(
        &mut self,
        pool: &mut EvictionPool,
        layout: &Layout,
        rules: &EvictionRules,
        now: UnixMs,
        table: TableId,
        random: u64,
    ) {
        let Some(mut there) = self.present_mut(table, layout) else {
            return;
        };
        let samples = rules.samples.clamp(1, MOST_SAMPLES);
        let entries = match rules.volatile {
            true => there.sample_volatile(random, samples),
            false => there.read().sample_some(random, samples),
        };
        for entry in entries {
            pool.consider(there.read(), layout, rules, now, table, entry);
        }
    }

    /// Offers the first key from a random place on that may go, where most keys are blessed.
    #[cold]
    fn find_any(
        &self,
        pool: &mut EvictionPool,
        layout: &Layout,
        rules: &EvictionRules,
        now: UnixMs,
        table: TableId,
        random: u64,
    ) {
        let is_in_vain = |it: &KeyspaceRef<'_>| {
            let blessed = it.keyspace.blessed.as_ref();
            blessed.is_none_or(|blessed| blessed.len() >= it.keyspace.len())
        };
        let keyspace = self.keyspace(table);
        let Some(there) = keyspace.filter(|it| !is_in_vain(it)) else {
            return;
        };
        let mut left = MOST_BLESSED;
        for from in [Prefix((random >> 32) as u32), Prefix(0)] {
            there.walk(layout, from, |entry| {
                let position = layout.position_of_key(entry.key());
                if let Some(found) = there.find(position, entry.key()) {
                    pool.consider(there, layout, rules, now, table, found);
                }
                left = left.saturating_sub(1);
                left > 0 && pool.candidates.is_empty()
            });
            if !pool.candidates.is_empty() {
                return;
            }
        }
    }

    /// The best candidate that is still there and has not been used since.
    fn best_in_pool(
        &self,
        pool: &mut EvictionPool,
        layout: &Layout,
        rules: &EvictionRules,
        now: UnixMs,
    ) -> Option<Victim> {
        let mut passed_over = None;
        while let Some(candidate) = pool.candidates.pop() {
            let Some(there) = self.keyspace(candidate.table) else {
                continue;
            };
            let Some(entry) = there.find_at(layout, candidate.position) else {
                continue;
            };
            // It was noted rounds ago: another key may have its position, or it may have lost its
            // expiry.
            let now_there = there.entry(entry);
            if !rules.admits(&now_there) || there.is_blessed(candidate.position, entry) {
                continue;
            }
            let victim = Victim {
                table: candidate.table,
                entry,
            };
            // A lower score than then means that it was used meanwhile.
            if rules.score(&now_there, now) >= candidate.score {
                return Some(victim);
            }
            passed_over = passed_over.or(Some(victim));
        }
        // All have been used. Something has to go all the same.
        passed_over
    }
}

impl KeyspaceRef<'_> {
    /// An entry at random.
    pub(crate) fn sample_ref(self, random: u64) -> Option<EntryRef> {
        self.keyspace.table.sample(random)
    }

    /// Up to `most` entries that lie together at a random place, on their way into the cache.
    fn sample_some(self, random: u64, most: usize) -> Vec<EntryRef> {
        let entries = self.keyspace.table.sample_run(random, most);
        let pages = self.heap.cells.arena.directory();
        entries.iter().for_each(|&entry| pages.prefetch(entry));
        entries
    }

    /// The entry of a key whose position this is.
    pub(crate) fn find_at(self, layout: &Layout, position: Position) -> Option<EntryRef> {
        let is_it = |entry| layout.position_of_key(self.heap.key(entry)) == position;
        self.keyspace.table.find(position, is_it)
    }
}

impl KeyspaceMut<'_> {
    /// Up to `most` entries of keys that expire, at a random place.
    fn sample_volatile(&mut self, random: u64, most: usize) -> Vec<EntryRef> {
        let keys = HeapKeys {
            heap: self.heap,
            layout: self.layout,
        };
        let mut entries = self.keyspace.table.sample_volatile(random, most, &keys);
        let pages = self.heap.cells.arena.directory();
        entries.iter().for_each(|&entry| pages.prefetch(entry));
        entries.retain(|&entry| self.heap.entry(entry).expire_at().is_some());
        entries.truncate(most);
        entries
    }
}

impl crate::Guard<'_> {
    /// Evicts keys of one stripe, until about `bytes` are free or `most` keys are gone. Effect:
    /// `DEL` for each.
    pub fn evict(
        &mut self,
        index: usize,
        rules: &EvictionRules,
        bytes: u64,
        most: usize,
        mut random: impl FnMut() -> u64,
    ) -> EvictionRound {
        let mut done = EvictionRound::default();
        let (now, before) = (self.now(), self.keyspace());
        let mut passed_over = 0;
        while done.keys < most && done.bytes < bytes {
            let layout = self.layout();
            let stripe = self.stripes().stripe(index);
            let data = stripe.data_bytes();
            let Some(victim) = stripe.victim(layout, rules, now, &mut random) else {
                break;
            };
            // The effect and the events name the database that the victim is in.
            let database = self.database_of(index, victim.table);
            self.select(database);
            // A key that long work has pinned is passed over; the next choice is another one.
            if self.is_entry_pinned(index, victim.table, victim.entry) {
                passed_over += 1;
                if passed_over > MOST_PASSED_OVER {
                    break;
                }
                continue;
            }
            if let Some(namespace) = self.namespace_at(index, victim.table) {
                namespace.count_evicted();
            }
            self.evict_entry(index, victim.table, victim.entry);
            let left = self.stripes().stripe(index).data_bytes();
            done.bytes += data.saturating_sub(left);
            done.keys += 1;
        }
        self.select(before);
        if rules.order == EvictionOrder::Ttl {
            let layout = self.layout();
            let stripe = self.stripes().stripe(index);
            stripe.settle_due(layout, rules, now, &mut random);
        }
        done
    }
}
