//! Sorted sets in both representations against a naive model.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::change::{Scored, ZsetMut};
use super::table::NewMember;
use super::table::ScoreTable;
use super::{NameBound, NameRange, ScoreRange, Zset, ZsetRef};
use crate::collection::Collection;
use crate::edit::Edit;
use crate::members::Groundwork;
use crate::trial::Store;
use crate::{Encoding, IntText, KeyspaceId, ValueRef};

/// Scores by name, in order of names.
type Model = BTreeMap<Vec<u8>, f64>;

#[derive(Clone, Debug)]
enum Op {
    Set(Vec<u8>, f64),
    Fill(u16),
    FillShort(u8),
    Remove(Vec<u8>),
    RemoveRanks(u8, u8),
    Rename,
    Copy,
    Expire(Option<u64>),
    Entries(i64),
    Upkeep,
}

fn store(entries: i64) -> Store {
    let store = Store::new(1);
    store.limits.zset_entries.store(entries, Relaxed);
    store
}

fn change<R>(store: &mut Store, change: impl FnOnce(&mut ZsetMut<'_>) -> R) -> R {
    store.run(|guard| change(&mut guard.entry(b"z").zset_mut().unwrap()))
}

fn look<R>(store: &mut Store, look: impl FnOnce(ZsetRef<'_>, Encoding) -> R) -> Option<R> {
    store.run(|guard| {
        let view = guard.peek(b"z")?;
        let ValueRef::Zset(zset) = view.value() else {
            unreachable!("only sorted sets are made");
        };
        Some(look(zset, view.encoding()))
    })
}

/// The members of the model, in the order of a sorted set.
fn ordered(model: &Model) -> Vec<(Vec<u8>, f64)> {
    let mut all: Vec<_> = model.clone().into_iter().collect();
    all.sort_by(|(a, x), (b, y)| x.partial_cmp(y).unwrap().then_with(|| a.cmp(b)));
    all
}

fn read(zset: ZsetRef<'_>, ranks: Range<usize>, reverse: bool) -> Vec<(Vec<u8>, f64)> {
    let members = zset.range(ranks, reverse);
    let text = |member: super::ScoredMember<'_>| {
        let name = member.name.text(&mut IntText::default()).to_vec();
        (name, member.score())
    };
    members.map(text).collect()
}

/// Does something to both, to single members of the first where they lie.
fn apply(near: &mut Store, far: &mut Store, model: &mut Model, op: Op) {
    match op {
        Op::Set(name, score) => set(near, far, model, name, score),
        Op::Fill(count) => {
            for n in 0..count {
                set(near, far, model, long_name(n), f64::from(n % 7));
            }
        }
        Op::FillShort(count) => {
            for n in 0..count {
                let name = format!("{n:0>40}").into_bytes();
                set(near, far, model, name, f64::from(n % 8) / 2.0);
            }
        }
        Op::Remove(name) => {
            let removed = change(near, |zset| zset.remove(&name));
            let twin = change(far, |zset| {
                zset.edit.take_out();
                zset.remove(&name)
            });
            assert_eq!((removed, twin), (twin, model.remove(&name).is_some()));
        }
        Op::RemoveRanks(start, len) => {
            let ranks = start.into()..usize::from(start) + usize::from(len);
            let gone = ordered(model)
                .into_iter()
                .skip(start.into())
                .take(len.into());
            gone.for_each(|(name, _)| {
                model.remove(&name);
            });
            change(near, |zset| zset.remove_ranks(ranks.clone()));
            change(far, |zset| zset.remove_ranks(ranks));
        }
        Op::Expire(at) => {
            near.expire(b"z", at);
            far.expire(b"z", at);
        }
        Op::Rename => {
            for store in [near, far] {
                store.run(|guard| guard.rename(b"z", b"y") && guard.rename(b"y", b"z"));
            }
        }
        Op::Copy => {
            for store in [near, far] {
                store.run(|guard| {
                    if guard.copy(b"z", KeyspaceId(0), b"y") {
                        guard.delete(b"z");
                        guard.rename(b"y", b"z");
                    }
                });
            }
        }
        Op::Entries(entries) => {
            near.limits.zset_entries.store(entries, Relaxed);
            far.limits.zset_entries.store(entries, Relaxed);
        }
        Op::Upkeep => {
            near.upkeep();
            far.upkeep();
        }
    }
}

fn set(near: &mut Store, far: &mut Store, model: &mut Model, name: Vec<u8>, score: f64) {
    let before = model.get(&name).copied();
    let decide = |old: Option<f64>| {
        assert_eq!(old, before);
        Some(score)
    };
    let scored = change(near, |zset| {
        zset.expect(1, name.len());
        zset.update(&name, decide)
    });
    let twin = change(far, |zset| {
        zset.edit.take_out();
        zset.expect(1, name.len());
        zset.update(&name, decide)
    });
    let expected = match before {
        None => Scored::Added,
        Some(old) if old == score => Scored::Kept,
        Some(_) => Scored::Changed,
    };
    assert_eq!((scored, twin), (expected, expected));
    if scored != Scored::Kept {
        model.insert(name, score);
    }
}

fn check(store: &mut Store, model: &Model, bounds: &[(f64, Vec<u8>); 2], random: u64) {
    let all = ordered(model);
    let seen = look(store, |zset, _| {
        assert_eq!(read(zset, 0..usize::MAX, false), all);
        let reversed: Vec<_> = all.iter().rev().cloned().collect();
        assert_eq!(read(zset, 0..usize::MAX, true), reversed);
        for (rank, (name, score)) in all.iter().enumerate() {
            assert_eq!(zset.rank(name), Some((rank, *score)));
            assert_eq!(zset.score(name), Some(*score));
        }
        assert_eq!(zset.rank(b"nobody"), None);
        check_ranges(zset, &all, bounds);
        let part = all.len() / 3..all.len() / 2 + 1;
        assert_eq!(
            read(zset, part.clone(), false),
            all[part.start..part.end.min(all.len())]
        );
        let sampled = zset.sample(random).unwrap();
        let name = sampled.name.text(&mut IntText::default()).to_vec();
        assert_eq!(model.get(&name), Some(&sampled.score()));
        assert_eq!(scanned(zset), *model);
    });
    assert_eq!(seen.is_none(), model.is_empty());
}

fn check_ranges(zset: ZsetRef<'_>, all: &[(Vec<u8>, f64)], bounds: &[(f64, Vec<u8>); 2]) {
    for excluded in [false, true] {
        let [(min, _), (max, _)] = bounds;
        let ranks = zset.ranks_of_scores(&ScoreRange {
            min: *min,
            min_excluded: excluded,
            max: *max,
            max_excluded: excluded,
        });
        let inside = |score: f64| {
            score > *min && score < *max || !excluded && (score == *min || score == *max)
        };
        let expected = all.iter().filter(|(_, score)| min <= max && inside(*score));
        assert_eq!(ranks.len(), expected.clone().count());
        assert!(expected.eq(all[ranks].iter()));
    }
    if all.iter().all(|(_, score)| *score == all[0].1) {
        let [(_, min), (_, max)] = bounds;
        let (min, max) = (NameBound::Included(min), NameBound::Excluded(max));
        let ranks = zset.ranks_of_names(&NameRange { min, max });
        let [(_, min), (_, max)] = bounds;
        let expected = all.iter().filter(|(name, _)| name >= min && name < max);
        assert!(expected.eq(all[ranks].iter()));
        let (min, max) = (NameBound::Lowest, NameBound::Highest);
        assert_eq!(zset.ranks_of_names(&NameRange { min, max }), 0..all.len());
        let (min, max) = (NameBound::Highest, NameBound::Lowest);
        assert!(zset.ranks_of_names(&NameRange { min, max }).is_empty());
    }
}

fn scanned(zset: ZsetRef<'_>) -> Model {
    let (mut scanned, mut cursor) = (Model::new(), 0);
    loop {
        let mut left = 4;
        cursor = zset.scan(cursor, |member| {
            let name = member.name.text(&mut IntText::default()).to_vec();
            scanned.insert(name, member.score());
            left -= 1;
            left > 0
        });
        if cursor == 0 {
            return scanned;
        }
    }
}

fn long_name(n: u16) -> Vec<u8> {
    let len = [2, 9, 40, 63, 300, 5000][usize::from(n) % 6];
    let mut name = vec![b'm'; len];
    name[..2].copy_from_slice(&n.to_be_bytes());
    name
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => (-20i64..20).prop_map(|n| n.to_string().into_bytes()),
        3 => "[a-e]{0,2}".prop_map(String::into_bytes),
        1 => (0u16..40).prop_map(long_name),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-3i32..3).prop_map(f64::from),
        2 => (-20i32..20).prop_map(|n| f64::from(n) / 10.0),
        1 => any::<i64>().prop_map(|n| n as f64),
        1 => any::<f64>().prop_filter("a score is a number", |score| !score.is_nan()),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0)],
    ]
}

fn op(one_score: bool) -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (name(), score()).prop_map(move |(name, score)| {
            Op::Set(name, if one_score { 1.5 } else { score })
        }),
        1 => (0u16..if one_score { 1 } else { 400 }).prop_map(Op::Fill),
        1 => (0u8..if one_score { 1 } else { 120 }).prop_map(Op::FillShort),
        6 => name().prop_map(Op::Remove),
        2 => (any::<u8>(), 0u8..20).prop_map(|(start, len)| Op::RemoveRanks(start % 30, len)),
        1 => Just(Op::Rename),
        1 => Just(Op::Copy),
        1 => prop::option::of(5000u64..1 << 50).prop_map(Op::Expire),
        1 => prop_oneof![Just(0i64), 5i64..20, Just(1000)].prop_map(Op::Entries),
        2 => Just(Op::Upkeep),
    ]
}

fn play(entries: i64, ops: Vec<Op>, bounds: &[(f64, Vec<u8>); 2], random: u64) {
    let (near, far) = (&mut store(entries).telling(), &mut store(entries).telling());
    let mut model = Model::new();
    for op in ops {
        apply(near, far, &mut model, op);
        check(near, &model, bounds, random);
        assert_eq!(near.outline(b"z"), far.outline(b"z"));
        assert_eq!(near.take_effects(), far.take_effects());
    }
    near.upkeep();
    assert_eq!(near.live_bytes(), near.accounted_bytes());
    near.run(|guard| guard.delete(b"z"));
    near.upkeep();
    assert_eq!(near.live_bytes(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 96 }, ..ProptestConfig::default() })]

    #[test]
    fn sorted_sets_are_what_was_put_into_them(
        entries in prop_oneof![Just(0i64), Just(8), Just(1000)],
        ops in prop::collection::vec(op(false), 1..60),
        bounds in [(score(), name()), (score(), name())], random: u64,
    ) {
        play(entries, ops, &bounds, random);
    }

    #[test]
    fn names_are_in_order_where_scores_are_the_same(
        entries in prop_oneof![Just(0i64), Just(1000)],
        ops in prop::collection::vec(op(true), 1..60),
        bounds in [(score(), name()), (score(), name())], random: u64,
    ) {
        play(entries, ops, &bounds, random);
    }
}

fn expiring(edit: &mut Edit<'_, Zset>, count: u16) {
    let mut table = ScoreTable::default();
    let mut parts = edit.parts();
    for n in 0..count {
        let at = (n % 2 == 0).then_some(2000);
        table.insert_expiring(&mut parts.memory, &long_name(n), f64::from(n % 9), at);
    }
    *parts.value = Zset::Table(Box::new(table));
    edit.count(1);
}

#[test]
fn members_whose_time_has_come_leave_the_order() {
    let mut store = store(128);
    store.run(|guard| expiring(&mut Edit::open(guard.entry(b"z")).unwrap(), 500));
    store.now = 2000;
    store.upkeep();
    let ok = look(&mut store, |zset, _| {
        assert_eq!(zset.len(), 250);
        assert_eq!(zset.iter().count(), 250);
        for n in (1..500).step_by(2) {
            assert_eq!(zset.score(&long_name(n)), Some(f64::from(n % 9)));
            assert!(zset.rank(&long_name(n)).is_some());
        }
    });
    assert!(ok.is_some());
}

#[test]
fn bytes_are_those_of_the_parts() {
    let mut store = store(128);
    let before = store.stripes.0[0].bytes();
    change(&mut store, |zset| {
        for n in 0..2000 {
            zset.update(&long_name(n), |_| Some(f64::from(n) / 8.0));
        }
    });
    let gained = store.stripes.0[0].bytes() - before;
    let bytes = store.run(|guard| guard.peek(b"z").unwrap().bytes());
    // The rest is the table that leads to the key.
    assert!(gained >= bytes && gained - bytes < 1000, "{gained} {bytes}");
    assert!(bytes > size_of::<ScoreTable>() + 2000 * 20);
}

#[test]
fn a_small_place_costs_nothing() {
    assert_eq!(Zset::default().bytes(), 0);
    assert_eq!(Zset::default().len(), 0);
}

#[test]
fn a_sorted_set_is_built_of_members_in_order() {
    for len in [1, 128, 129, 20_000] {
        let mut store = store(128);
        let name = |at: usize| format!("m{at:05}").into_bytes();
        let names: Vec<Vec<u8>> = (0..len).map(name).collect();
        // Some have the score of the one before, some expire.
        let score = |at: usize| (at / 3) as f64;
        let expire_at = |at: usize| at.is_multiple_of(7).then_some(1 << 40);
        let mut groundwork = Groundwork::default();
        for start in (0..len).step_by(256) {
            let slice = start..len.min(start + 256);
            change(&mut store, |zset| {
                zset.expect(len, 6);
                let members = slice.clone().map(|at| NewMember {
                    name: &names[at],
                    score: score(at),
                    expire_at: expire_at(at),
                });
                zset.append_all(members, &mut groundwork);
            });
        }
        let found = look(&mut store, |zset, _| {
            let all = read(zset, 0..len, false);
            let times = names.iter().map(|name| zset.expiry_of(name));
            (all, times.collect::<Vec<_>>())
        });
        let (all, times) = found.unwrap();
        let expected = (0..len).map(|at| (names[at].clone(), score(at)));
        assert!(all.into_iter().eq(expected), "{len}");
        assert!(times.into_iter().eq((0..len).map(|at| Some(expire_at(at)))));
        for name in names.iter().take(len) {
            change(&mut store, |zset| assert!(zset.remove(name)));
        }
        assert!(look(&mut store, |_, _| ()).is_none());
    }
}
