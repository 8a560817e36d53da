//! The table against standard collections.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use proptest::prelude::*;

/// Entries as the table asks about them.
#[derive(Default)]
struct Model {
    entries: BTreeMap<EntryRef, (Position, Option<UnixMs>)>,
    made: u32,
}

impl Keys for Model {
    fn position(&self, entry: EntryRef) -> Position {
        self.entries[&entry].0
    }

    fn expiry(&self, entry: EntryRef) -> Option<UnixMs> {
        self.entries[&entry].1
    }

    fn prefetch(&self, _entry: EntryRef) {}
}

impl Model {
    fn make(&mut self, position: Position, expire_at: Option<UnixMs>) -> EntryRef {
        self.made += 1;
        let entry = EntryRef::from_bits(self.made).unwrap();
        self.entries.insert(entry, (position, expire_at));
        entry
    }

    fn insert(&mut self, table: &mut Table, position: Position, expire_at: Option<UnixMs>) {
        let entry = self.make(position, expire_at);
        table.insert(position, entry, self);
    }

    /// Removes some entry with a number below `below`.
    fn remove_one(&mut self, table: &mut Table, at: u32, below: u32) {
        let start = EntryRef::from_bits(at % self.made.max(1) + 1).unwrap();
        let after = self.entries.range(start..).next();
        let found = after.filter(|(entry, _)| entry.bits() < below);
        let found = found.or_else(|| self.entries.iter().next());
        if let Some((&entry, &(position, _))) = found.filter(|(entry, _)| entry.bits() < below) {
            table.remove(position, entry, self);
            self.entries.remove(&entry);
        }
    }

    fn check(&self, table: &Table) {
        assert_eq!(table.len(), self.entries.len());
        for (&entry, &(position, _)) in &self.entries {
            assert_eq!(table.find(position, |found| found == entry), Some(entry));
        }
        let mut seen = BTreeSet::new();
        table.walk(Prefix(0), self, |entry| seen.insert(entry));
        assert_eq!(seen, self.entries.keys().copied().collect());
        let first = self.entries.values().filter_map(|&(_, at)| at).min();
        assert!(table.earliest_deadline() <= first.unwrap_or(NEVER));
    }
}

#[test]
fn what_is_expected_is_what_growth_leads_to() {
    for count in [0, 10, 900, 3000, 5000, 20_000] {
        let mut model = Model::default();
        let (mut expecting, mut growing) = (Table::default(), Table::default());
        expecting.expect(count, &model);
        for n in 0..count as u64 {
            let position = position_of(n);
            let entry = model.make(position, (n % 3 == 0).then_some(n));
            expecting.insert(position, entry, &model);
            growing.insert(position, entry, &model);
        }
        model.check(&expecting);
        assert!(expecting.bytes() <= growing.bytes() * 11 / 10);
        // Nothing is expected where something is.
        let bytes = expecting.bytes();
        expecting.expect(1 << 20, &model);
        assert!(count == 0 || expecting.bytes() == bytes);
    }
}

/// Entries from this number on are not removed.
const STAYING: u32 = 1 << 31;

/// A well mixed position for a number.
fn position_of(n: u64) -> Position {
    Position(mixed(n))
}

fn mixed(n: u64) -> u64 {
    let mixed = (n ^ n >> 31).wrapping_mul(0x7FB5_D329_728E_A185);
    (mixed ^ mixed >> 27).wrapping_mul(0x81DA_DEF4_BC2D_D44D)
}

/// An operation of a test on a table, for some number of keys at once.
#[derive(Clone, Debug)]
enum Op {
    Insert {
        count: usize,
        seed: u64,
        ttl: Option<UnixMs>,
    },
    /// Keys that have most leading bits of their hashes in common.
    Crowd {
        count: usize,
        bits: u32,
        seed: u64,
    },
    Remove {
        count: usize,
        step: usize,
    },
    Expire(UnixMs),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (1usize..900, any::<u64>(), prop::option::of(1u64..1000))
            .prop_map(|(count, seed, ttl)| Op::Insert { count, seed, ttl }),
        1 => (1usize..900, 0u32..64, any::<u64>()).prop_map(|(count, bits, seed)| Op::Crowd { count, bits, seed }),
        3 => (1usize..1500, 1usize..5000).prop_map(|(count, step)| Op::Remove { count, step }),
        1 => (0u64..1500).prop_map(Op::Expire),
    ]
}

fn apply(op: &Op, table: &mut Table, model: &mut Model) {
    match *op {
        Op::Insert { count, seed, ttl } => {
            for n in 0..count as u64 {
                let expire_at = ttl.map(|ttl| ttl + n % 7);
                model.insert(table, position_of(seed.wrapping_add(n)), expire_at);
            }
        }
        Op::Crowd { count, bits, seed } => {
            let common = seed.checked_shr(64 - bits).unwrap_or(0);
            for n in 0..count as u64 {
                let low = mixed(seed ^ n).checked_shr(bits).unwrap_or(0);
                let position = Position(common.checked_shl(64 - bits).unwrap_or(0) | low);
                model.insert(table, position, Some(500));
            }
        }
        Op::Remove { count, step } => {
            for n in 0..count {
                model.remove_one(table, (n * step) as u32, STAYING);
            }
        }
        Op::Expire(now) => {
            while let Some((at, entry)) = table.next_due(now, &mut usize::MAX.clone(), model) {
                assert_eq!(model.expiry(entry), Some(at));
                assert!(at <= now);
                table.remove(model.position(entry), entry, model);
                model.entries.remove(&entry);
            }
            assert!(
                model
                    .entries
                    .values()
                    .all(|&(_, at)| at.is_none_or(|at| at > now))
            );
            assert!(table.earliest_deadline() > now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 1 } else { 48 }, ..ProptestConfig::default() })]

    /// Same members, findable, found due and accounted for, whatever the history.
    #[test]
    fn agrees_with_a_sorted_map(ops in prop::collection::vec(op(), 1..14)) {
        let (mut table, mut model) = (Table::default(), Model::default());
        for op in &ops {
            apply(op, &mut table, &mut model);
            model.check(&table);
        }
        while !model.entries.is_empty() {
            model.remove_one(&mut table, 0, STAYING);
        }
        prop_assert_eq!(table.len(), 0);
        prop_assert!(table.segments.iter().filter(|meta| meta.live).all(|meta| meta.order == 0));
        table.detach();
        prop_assert_eq!(table.bytes(), 0);
    }

    /// Pages of any size, with growing, splitting, joining and shrinking between them, miss nothing
    /// that stays.
    #[test]
    fn paged_walks_miss_nothing(
        before in op(),
        between in prop::collection::vec(op(), 1..10),
        stay in 1u64..700,
        page in 1usize..200,
    ) {
        let (mut table, mut model) = (Table::default(), Model::default());
        apply(&before, &mut table, &mut model);
        // Entries that stay are kept apart from those that the operations may remove.
        let staying: BTreeMap<_, _> = (0..stay)
            .map(|n| (EntryRef::from_bits(STAYING + n as u32).unwrap(), (position_of(n ^ 0xABCD), None)))
            .collect();
        for (&entry, &(position, at)) in &staying {
            model.entries.insert(entry, (position, at));
            table.insert(position, entry, &model);
        }
        let (mut seen, mut from, mut between) = (BTreeSet::new(), Some(Prefix(0)), between.iter());
        while let Some(start) = from {
            let mut left = page;
            from = table.walk(start, &model, |entry| {
                seen.insert(entry);
                left = left.saturating_sub(1);
                left > 0
            });
            prop_assert!(from.is_none_or(|from| from > start));
            if let Some(op) = between.next() {
                apply(op, &mut table, &mut model);
            }
        }
        prop_assert!(staying.keys().all(|entry| seen.contains(entry)));
    }
}

#[test]
fn a_small_table_is_small() {
    let (mut table, mut model) = (Table::default(), Model::default());
    assert_eq!(table.bytes(), 0);
    model.insert(&mut table, position_of(1), None);
    assert!(table.bytes() < 256, "{}", table.bytes());
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn samples_reach_every_key_about_equally() {
    let (mut table, mut model) = (Table::default(), Model::default());
    for n in 0..2000 {
        model.insert(&mut table, position_of(n), None);
    }
    let mut times = BTreeMap::<EntryRef, u32>::new();
    for n in 0..100_000 {
        *times.entry(table.sample(mixed(n)).unwrap()).or_default() += 1;
    }
    // 50 times each is expected; 15 and 100 are five and seven standard deviations off.
    assert_eq!(times.len(), 2000);
    assert!(
        times.values().all(|&n| (15..100).contains(&n)),
        "{:?}",
        times.values().max()
    );
}

#[test]
fn swapped_tables_keep_their_contents_and_their_places() {
    let (mut a, mut b, mut model) = (Table::default(), Table::default(), Model::default());
    for n in 0..3000 {
        model.insert(&mut a, position_of(n), Some(n));
    }
    let in_b = model.make(position_of(7), None);
    b.insert(position_of(7), in_b, &model);
    let (root_a, root_b) = (Arc::clone(a.root()), Arc::clone(b.root()));
    a.swap(&mut b);
    assert!(Arc::ptr_eq(a.root(), &root_a) && Arc::ptr_eq(b.root(), &root_b));
    assert_eq!((a.len(), b.len()), (1, 3000));
    assert_eq!(a.find(position_of(7), |found| found == in_b), Some(in_b));
    model.entries.remove(&in_b);
    model.check(&b);
}

#[test]
fn detached_entries_come_out_in_slices() {
    let (mut table, mut model) = (Table::default(), Model::default());
    for n in 0..3000 {
        model.insert(&mut table, position_of(n), None);
    }
    let (mut detached, mut freed) = (table.detach(), BTreeSet::new());
    while detached.drain(100, |entry| assert!(freed.insert(entry))) {}
    assert_eq!(freed.len(), 3000);
    assert_eq!(table.len(), 0);
    assert_eq!(table.find(position_of(1), |_| true), None);
}
