//! Members hidden while writes are paused, against those left when they are deleted.

use proptest::prelude::*;

use crate::trial::Store;
use crate::{Guard, IntText, Mode, ScoreRange, StringRef, UnixMs, ValueRef};

/// A member: its number, its score, and when it expires.
type Member = (u16, i8, Option<UnixMs>);

const START: UnixMs = 1000;
const KEYS: [&[u8]; 3] = [b"hash", b"set", b"zset"];

fn name(n: u16) -> [u8; 2] {
    n.to_be_bytes()
}

/// A hash, a set and a sorted set of these members.
fn store_of(members: &[Member]) -> Store {
    let mut store = Store::new(1);
    at(&mut store, START, Mode::Primary, |guard| {
        fill(guard, members)
    });
    store
}

fn at<R>(store: &mut Store, now: UnixMs, mode: Mode, run: impl FnOnce(&mut Guard<'_>) -> R) -> R {
    (store.now, store.mode) = (now, mode);
    store.run(run)
}

/// All that a reader can learn.
fn look(store: &mut Store, now: UnixMs, mode: Mode) -> Vec<Option<Vec<String>>> {
    at(store, now, mode, |guard| {
        KEYS.iter()
            .map(|key| guard.read(key).map(|view| facts(view.value())))
            .collect()
    })
}

fn fill(guard: &mut Guard<'_>, members: &[Member]) {
    let mut hash = guard.entry(b"hash").hash_mut().unwrap();
    for &(n, score, at) in members {
        hash.set(&name(n), StringRef::Int(score.into()));
        if let Some(at) = at {
            hash.expire([&name(n)[..]], at, |_| true);
        }
    }
    drop(hash);
    let mut set = guard.entry(b"set").set_mut().unwrap();
    for &(n, _, at) in members {
        set.add(&name(n));
        set.set_expiry(&name(n), at);
    }
    drop(set);
    let mut zset = guard.entry(b"zset").zset_mut().unwrap();
    for &(n, score, at) in members {
        zset.update(&name(n), |_| Some(score.into()));
        zset.set_expiry(&name(n), at);
    }
}

fn sorted(mut facts: Vec<String>) -> Vec<String> {
    facts.sort();
    facts
}

fn facts(value: ValueRef<'_>) -> Vec<String> {
    let (mut facts, mut all) = (Vec::new(), Vec::new());
    match value {
        ValueRef::Hash(hash) => {
            facts.push(format!("{} {}", hash.len(), hash.is_empty()));
            facts.push(format!("expires {}", hash.expires()));
            facts.extend((0..300).map(|n| format!("{:?}", hash.get(&name(n)))));
            hash.for_each(|field| all.push(format!("{field:?}")));
            hash.scan(0, |field| {
                all.push(format!("{field:?}"));
                true
            });
            let drawn = hash.sample(1 << 63).unwrap();
            assert!(all.contains(&format!("{drawn:?}")));
        }
        ValueRef::Set(set) => {
            facts.push(format!("{} {}", set.len(), set.is_empty()));
            facts.push(format!("expires {}", set.expires()));
            facts.extend((0..300).map(|n| format!("{:?}", set.expiry_of(&name(n)))));
            facts.extend((0..300).map(|n| format!("{:?}", set.contains(&name(n)))));
            all.extend(set.iter().map(|member| format!("{member:?}")));
            set.scan(0, |member| {
                all.push(format!("{member:?}"));
                true
            });
            let drawn = set.sample(u64::MAX).unwrap();
            assert!(all.contains(&format!("{drawn:?}")));
        }
        ValueRef::Zset(zset) => {
            facts.push(format!("{} {}", zset.len(), zset.is_empty()));
            facts.push(format!("expires {}", zset.expires()));
            facts.extend((0..300).map(|n| format!("{:?}", zset.expiry_of(&name(n)))));
            facts.extend((0..300).map(|n| format!("{:?}", zset.rank(&name(n)))));
            facts.extend((0..300).map(|n| format!("{:?}", zset.score(&name(n)))));
            for start in (0..zset.len() + 2).step_by(7) {
                for reverse in [false, true] {
                    let members = zset.range(start..start + 9, reverse);
                    facts.push(format!("{} {reverse}", members.len()));
                    facts.extend(members.map(scored));
                }
            }
            for score in -4i8..5 {
                let range = ScoreRange {
                    min: score.into(),
                    min_excluded: false,
                    max: f64::from(score) + 2.0,
                    max_excluded: true,
                };
                facts.push(format!("{:?}", zset.ranks_of_scores(&range)));
            }
            zset.scan(0, |member| {
                all.push(scored(member));
                true
            });
            let drawn = zset.sample(7).unwrap();
            assert!(all.contains(&scored(drawn)));
        }
        other => unreachable!("no {:?} is made", other.kind()),
    }
    facts.extend(sorted(all));
    facts
}

fn scored(member: crate::ScoredMember<'_>) -> String {
    let mut room = IntText::default();
    format!("{:?} {}", member.name.text(&mut room), member.score())
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    // Few or most of them expire.
    let weights = prop_oneof![Just((9, 1)), Just((1, 9)), Just((0, 1))];
    weights.prop_flat_map(|(never, ever)| {
        let at = prop_oneof![
            never => Just(None),
            ever => (START + 1..START + 20).prop_map(Some),
        ];
        prop::collection::vec((0u16..300, -4i8..5, at), 1..300)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_paused_store_shows_what_a_primary_leaves(members in members(), after in 0u64..22) {
        let (mut paused, mut primary) = (store_of(&members), store_of(&members));
        let now = START + after;
        prop_assert!(look(&mut paused, now, Mode::Paused) == look(&mut primary, now, Mode::Primary));
        // Nothing has been deleted.
        let all = look(&mut store_of(&members), START, Mode::Primary);
        prop_assert!(look(&mut paused, START, Mode::Paused) == all);
    }

    #[test]
    fn what_is_due_goes_in_slices(members in members(), after in 0u64..22, max in 1usize..20) {
        let (mut store, mut other) = (store_of(&members), store_of(&members));
        let now = START + after;
        for key in KEYS {
            let mut slices = 0;
            while at(&mut store, now, Mode::Primary, |guard| {
                let before = guard.stats().changes;
                let more = guard.expire_slice(key, max);
                assert!(guard.stats().changes - before <= max as u64);
                more
            }) {
                slices += 1;
                prop_assert!(slices < 10_000);
            }
        }
        // Nothing is left for whoever comes, not even what is hidden from others, but a key that
        // goes as a whole.
        let (seen, left) = (look(&mut store, now, Mode::Follower), look(&mut other, now, Mode::Primary));
        prop_assert!(seen.iter().zip(&left).all(|(seen, left)| left.is_none() || seen == left));
        prop_assert!(look(&mut store, now, Mode::Primary) == left);
    }
}

#[test]
fn a_key_whose_members_are_all_due_goes_at_once() {
    let members: Vec<Member> = (0..5000).map(|n| (n, 0, Some(START + 5))).collect();
    let mut store = store_of(&members);
    at(&mut store, START + 5, Mode::Primary, |guard| {
        for key in KEYS {
            assert!(!guard.expire_slice(key, 1) && !guard.exists(key));
        }
        assert_eq!(guard.stats().changes, 3);
    });
}

#[test]
fn a_write_that_a_pause_has_come_upon_meets_nothing_hidden() {
    let mut store = store_of(&[(1, 0, Some(START + 5)), (2, 0, None)]);
    at(&mut store, START + 5, Mode::Paused, |guard| {
        assert!(guard.entry(b"set").set_mut().unwrap().add(&name(1)));
        let value = guard.read(b"set").unwrap();
        let ValueRef::Set(set) = value.value() else {
            unreachable!("it is a set");
        };
        assert_eq!(set.expiry_of(&name(1)), Some(None));
    });
}
