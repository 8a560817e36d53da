//! Pins keep out whom they should, and changes are told when they have gone.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::interests::WatchToken;
use crate::trial::Store;
use crate::{AccessPolicy, Due, EvictionOrder, EvictionRules, Expiry, NewString};

const HERE: KeyspaceId = KeyspaceId(0);
const THERE: KeyspaceId = KeyspaceId(1);

#[test]
fn a_change_of_a_pinned_key_is_told_at_the_end_in_each_database() {
    let mut interests = Interests::default();
    let tokens = [(); 3].map(|()| Arc::<WatchToken>::default());
    interests.watch(HERE, b"k", &tokens[0]);
    interests.watch(THERE, b"k", &tokens[1]);
    interests.watch(HERE, b"other", &tokens[2]);
    interests.pin(b"k", KeyUse::Write, PinId(1)).unwrap();
    for (keyspace, key) in [(HERE, b"k" as &[u8]), (THERE, b"k"), (HERE, b"other")] {
        interests.mark_changed(keyspace, key);
    }
    assert_eq!(
        tokens.each_ref().map(|it| it.is_dirty()),
        [false, false, true]
    );
    let left = interests.unpin(b"k", PinId(1));
    assert_eq!(left.news.len(), 2);
    assert!(left.news[0].turn < left.news[1].turn);
    for news in left.news {
        interests.tell_kept(b"k", news);
    }
    assert!(tokens.iter().all(|it| it.is_dirty()));
    assert!(!interests.has_pins());
}

#[test]
fn a_client_that_is_owed_its_turn_comes_before_the_next_unit() {
    let mut interests = Interests::default();
    interests.pin(b"k", KeyUse::Read, PinId(1)).unwrap();
    interests.pin(b"k", KeyUse::Read, PinId(2)).unwrap();
    interests.owe(b"k", 7);
    interests.unpin(b"k", PinId(1));
    // Those who share the key with a unit that is at work owe nothing yet.
    interests.pin(b"k", KeyUse::Read, PinId(3)).unwrap();
    interests.unpin(b"k", PinId(2));
    interests.unpin(b"k", PinId(3));
    let refused = interests.pin(b"k", KeyUse::Write, PinId(4));
    assert_eq!(refused, Err(PinConflict::Owed));
    interests.settle_debt(b"k", 7);
    interests.pin(b"k", KeyUse::Write, PinId(4)).unwrap();
    interests.owe(b"k", 8);
    interests.unpin(b"k", PinId(4));
    // Whoever does not come for two sweeps is gone.
    interests.sweep_debts();
    assert!(interests.has_pins());
    interests.sweep_debts();
    assert!(!interests.has_pins() && interests.is_empty());
}

#[test]
fn stripes_of_waiters_are_handed_out_with_the_last_pin() {
    let mut interests = Interests::default();
    interests.pin(b"k", KeyUse::Write, PinId(1)).unwrap();
    interests.wait_for_pin(b"k", 3);
    interests.wait_for_pin(b"k", 3);
    assert_eq!(interests.unpin(b"k", PinId(2)).waiting, []);
    assert_eq!(interests.unpin(b"k", PinId(1)).waiting, [3]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Pin(u8, KeyUse, u64),
    Unpin(u8, u64),
    Ask(u8, KeyUse, Option<u64>),
}

fn key_use() -> impl Strategy<Value = KeyUse> {
    prop_oneof![Just(KeyUse::Read), Just(KeyUse::Write)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3u8, key_use(), 1..5u64).prop_map(|(key, used, id)| Step::Pin(key, used, id)),
        (0..3u8, 1..5u64).prop_map(|(key, id)| Step::Unpin(key, id)),
        (0..3u8, key_use(), proptest::option::of(1..5u64))
            .prop_map(|(key, used, own)| Step::Ask(key, used, own)),
    ]
}

proptest! {
    /// Pins agree with a plain list of who has which key for what.
    #[test]
    fn pins_agree_with_a_list(steps in proptest::collection::vec(step(), 1..80)) {
        let mut interests = Interests::default();
        let mut list: Vec<(u8, KeyUse, u64)> = Vec::new();
        for step in steps {
            let against = |list: &[(u8, KeyUse, u64)], key, used, own: Option<u64>| {
                list.iter().any(|(name, of, id)| {
                    *name == key
                        && Some(*id) != own
                        && (*of == KeyUse::Write || used == KeyUse::Write)
                })
            };
            match step {
                Step::Pin(key, used, id) => {
                    let is_refused = against(&list, key, used, Some(id));
                    let pinned = interests.pin(&[key], used, PinId(id));
                    prop_assert_eq!(pinned.is_err(), is_refused);
                    if !is_refused {
                        list.push((key, used, id));
                    }
                }
                Step::Unpin(key, id) => {
                    interests.unpin(&[key], PinId(id));
                    list.retain(|(name, _, of)| (*name, *of) != (key, id));
                }
                Step::Ask(key, used, own) => {
                    let found = interests.pinned_against(&[key], used, own.map(PinId));
                    prop_assert_eq!(found.is_some(), against(&list, key, used, own));
                }
            }
            prop_assert_eq!(interests.has_pins(), !list.is_empty());
            prop_assert_eq!(interests.is_empty(), list.is_empty());
        }
    }
}

fn set(store: &mut Store, key: &[u8]) {
    store.run(|guard| guard.entry(key).set(NewString::Bytes(b"v"), Expiry::Clear));
}

#[test]
fn a_pinned_key_is_not_expired_by_others_and_the_stripe_is_looked_at() {
    let mut store = Store::new(1);
    for key in [b"held" as &[u8], b"free"] {
        set(&mut store, key);
        store.expire(key, Some(store.now + 10));
    }
    let id = PinId(1);
    store
        .run(|guard| guard.pin(b"held", KeyUse::Read, id))
        .unwrap();
    assert_eq!(store.stripes.0[0].look_at(), Due(0));
    store.now += 20;
    store.run(|guard| while guard.expire_due(0, 8).more {});
    store.run(|guard| {
        // What is overdue would be deleted by who reads it.
        assert_eq!(guard.pinned_against(b"held", KeyUse::Read, None), Some(id));
        assert_eq!(guard.pinned_against(b"held", KeyUse::Read, Some(id)), None);
        assert_eq!(guard.pinned_against(b"free", KeyUse::Write, None), None);
        assert!(!guard.exists(b"free"));
        guard.unpin(b"held", id);
    });
    assert_eq!(store.stripes.0[0].look_at(), store.stripes.0[0].next_due());
    store.run(|guard| while guard.expire_due(0, 8).more {});
    assert_eq!(store.stripes.0[0].next_due(), Due::NEVER);
}

#[test]
fn eviction_passes_pinned_keys_over() {
    let mut store = Store::new(1);
    for key in [b"held" as &[u8], b"free"] {
        set(&mut store, key);
    }
    let rules = EvictionRules {
        order: EvictionOrder::Random,
        volatile: false,
        samples: 5,
        access: AccessPolicy::Recency,
        table: None,
    };
    store.run(|guard| {
        guard.pin(b"held", KeyUse::Write, PinId(1)).unwrap();
        let mut random = 1u64;
        let mut next = || {
            random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            random
        };
        for _ in 0..20 {
            guard.evict(0, &rules, u64::MAX, 2, &mut next);
        }
        assert!(guard.exists(b"held") && !guard.exists(b"free"));
    });
}
