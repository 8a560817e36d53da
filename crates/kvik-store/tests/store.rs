//! The store through its public API: against a naive model, and the guarantees that cross several
//! calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kvik_store::{
    EffectSink, Expiry, Guard, IntText, KeyspaceId, Layout, Mode, NewString, NoEffects, Stripe,
    Stripes, TextRef, View, WatchToken,
};
use proptest::prelude::*;

struct Owned(Vec<Stripe>);

impl Stripes for Owned {
    fn stripe(&mut self, index: usize) -> &mut Stripe {
        &mut self.0[index]
    }

    fn held(&self, index: usize) -> &Stripe {
        &self.0[index]
    }
}

struct Store {
    layout: Layout,
    stripes: Owned,
}

impl Store {
    fn new(stripes: usize) -> Self {
        let layout = Layout::new(stripes, 42);
        let stripes = Owned((0..layout.stripes()).map(|_| Stripe::new()).collect());
        Self { layout, stripes }
    }

    fn at<R>(&mut self, now: u64, run: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        self.with(now, &mut NoEffects, run)
    }

    fn with<R>(
        &mut self,
        now: u64,
        effects: &mut dyn EffectSink,
        run: impl FnOnce(&mut Guard<'_>) -> R,
    ) -> R {
        run(&mut Guard::new(
            &mut self.stripes,
            &self.layout,
            effects,
            now,
        ))
    }

    fn bytes(&self) -> usize {
        self.stripes.0.iter().map(Stripe::bytes).sum()
    }
}

fn text(view: &View<'_>) -> Vec<u8> {
    let string = view.string().expect("a string");
    string.text(&mut IntText::default()).to_vec()
}

/// The words of each effect with its keyspace.
#[derive(Default)]
struct Words(Vec<(u32, Vec<String>)>);

impl EffectSink for Words {
    fn wanted(&self) -> bool {
        true
    }

    fn begin(&mut self, keyspace: KeyspaceId) {
        self.0.push((keyspace.0, Vec::new()));
    }

    fn word(&mut self, word: &[u8]) {
        let (_, words) = self.0.last_mut().expect("an effect has begun");
        words.push(String::from_utf8_lossy(word).into_owned());
    }

    fn rope(&mut self, rope: &kvik_rope::Rope) {
        self.word(&rope.to_vec());
    }

    fn end(&mut self) {}
}

#[derive(Clone, Debug)]
enum Op {
    Set(u8, Vec<u8>, Option<u64>),
    Keep(u8, i64),
    Write(u8, usize, Vec<u8>),
    Delete(u8),
    Expire(u8, Option<u64>),
    Rename(u8, u8),
    Copy(u8, u8),
    Wait(u64),
    Sweep,
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0u8..24;
    let value = || prop::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        (key(), value(), prop::option::of(1u64..50)).prop_map(|(k, v, e)| Op::Set(k, v, e)),
        (key(), any::<i64>()).prop_map(|(k, n)| Op::Keep(k, n)),
        (key(), 0usize..80, value()).prop_map(|(k, o, v)| Op::Write(k, o, v)),
        key().prop_map(Op::Delete),
        (key(), prop::option::of(1u64..50)).prop_map(|(k, e)| Op::Expire(k, e)),
        (key(), key()).prop_map(|(a, b)| Op::Rename(a, b)),
        (key(), key()).prop_map(|(a, b)| Op::Copy(a, b)),
        (0u64..20).prop_map(Op::Wait),
        Just(Op::Sweep),
    ]
}

type Model = BTreeMap<u8, (Vec<u8>, Option<u64>)>;

fn apply(guard: &mut Guard<'_>, model: &mut Model, op: Op) {
    let now = guard.now();
    model.retain(|_, (_, at)| at.is_none_or(|at| at > now));
    match op {
        Op::Set(k, v, ttl) => {
            let at = ttl.map(|ttl| now + ttl);
            guard
                .entry(&[k])
                .set(NewString::Bytes(&v), at.map_or(Expiry::Clear, Expiry::At));
            model.insert(k, (v, at));
        }
        Op::Keep(k, n) => {
            guard.entry(&[k]).set(NewString::Int(n), Expiry::Keep);
            let at = model.get(&k).and_then(|(_, at)| *at);
            model.insert(k, (n.to_string().into_bytes(), at));
        }
        Op::Write(k, offset, v) => {
            let key = [k];
            let slot = guard.entry(&key);
            let grown = match slot {
                kvik_store::Entry::Occupied(mut there) => there.set_range(offset, &v, 100),
                kvik_store::Entry::Vacant(free) => free.set_range(offset, &v, 100),
            };
            assert_eq!(grown.is_ok(), offset + v.len() <= 100);
            if grown.is_ok() {
                let text = &mut model.entry(k).or_default().0;
                text.resize(text.len().max(offset + v.len()), 0);
                text[offset..offset + v.len()].copy_from_slice(&v);
            }
        }
        Op::Delete(k) => assert_eq!(guard.delete(&[k]), model.remove(&k).is_some()),
        Op::Expire(k, ttl) => {
            let at = ttl.map(|ttl| now + ttl);
            if let Some(mut there) = guard.entry(&[k]).occupied() {
                there.set_expiry(at);
            }
            model.entry(k).and_modify(|(_, expiry)| *expiry = at);
        }
        Op::Rename(a, b) if a != b => {
            assert_eq!(guard.rename(&[a], &[b]), model.contains_key(&a));
            if let Some(moved) = model.remove(&a) {
                model.insert(b, moved);
            }
        }
        Op::Copy(a, b) if a != b => {
            assert_eq!(
                guard.copy(&[a], KeyspaceId(0), &[b]),
                model.contains_key(&a)
            );
            if let Some(copied) = model.get(&a).cloned() {
                model.insert(b, copied);
            }
        }
        Op::Rename(..) | Op::Copy(..) | Op::Wait(_) => {}
        Op::Sweep => sweep(guard),
    }
}

fn sweep(guard: &mut Guard<'_>) {
    // Layouts in these tests have at most four stripes; asking for one that is not there would
    // panic.
    let before = guard.volatile_len();
    let mut gone = 0;
    for index in 0..4 {
        while {
            let round = guard.expire_due(index, 2);
            gone += round.keys;
            round.more
        } {}
    }
    assert_eq!(guard.volatile_len(), before - gone);
}

proptest! {
    #[test]
    fn agrees_with_a_naive_model(ops in prop::collection::vec(op(), 1..200)) {
        let (mut store, mut model, mut now) = (Store::new(4), Model::new(), 1_000);
        for op in ops {
            if let Op::Wait(ms) = op {
                now += ms;
            }
            store.at(now, |guard| apply(guard, &mut model, op));
        }
        model.retain(|_, (_, at)| at.is_none_or(|at| at > now));
        let mut seen = Model::new();
        store.at(now, |guard| guard.for_each(|view| {
            assert!(seen.insert(view.key()[0], (text(&view), view.expire_at())).is_none());
        }));
        prop_assert_eq!(seen, model);
        let empty = Store::new(4).bytes();
        store.at(now, |guard| guard.flush_all());
        prop_assert_eq!(store.bytes(), empty);
    }

    #[test]
    fn scans_return_every_lasting_key(
        stay in prop::collection::btree_set(0u32..5000, 1..400),
        come in prop::collection::vec(5000u32..20_000, 0..800),
        page in 1usize..30,
        stripes in 1usize..5,
    ) {
        let mut store = Store::new(stripes);
        let put = |guard: &mut Guard<'_>, n: u32| guard.entry(&n.to_be_bytes()).set(NewString::Int(0), Expiry::Clear);
        store.at(1, |guard| stay.iter().for_each(|&n| put(guard, n)));
        let (mut seen, mut cursor, mut come) = (BTreeSet::new(), 0, come.chunks(7));
        loop {
            cursor = store.at(1, |guard| {
                guard.scan(cursor, page, |view| {
                    seen.insert(u32::from_be_bytes(view.key().try_into().unwrap()));
                })
            }).next;
            if cursor == 0 {
                break;
            }
            store.at(1, |guard| for &n in come.next().unwrap_or_default() {
                put(guard, n);
                guard.delete(&(n / 2 + 5000).to_be_bytes());
            });
        }
        prop_assert!(stay.is_subset(&seen));
    }
}

#[test]
fn an_expired_key_is_deleted_with_its_effect_when_met() {
    let mut store = Store::new(2);
    let mut words = Words::default();
    store.with(10, &mut words, |guard| {
        guard
            .entry(b"k")
            .set(NewString::Bytes(b"v"), Expiry::At(20))
    });
    store.with(20, &mut words, |guard| assert!(guard.read(b"k").is_none()));
    let expected = [vec!["SET", "k", "v", "PXAT", "20"], vec!["DEL", "k"]];
    assert_eq!(
        words
            .0
            .iter()
            .map(|(_, words)| words.clone())
            .collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn a_paused_store_hides_expired_keys_and_keeps_them() {
    let mut store = Store::new(2);
    store.at(10, |guard| {
        guard
            .entry(b"k")
            .set(NewString::Bytes(b"v"), Expiry::At(20))
    });
    let mut effects = NoEffects;
    let mut guard =
        Guard::new(&mut store.stripes, &store.layout, &mut effects, 20).mode(Mode::Paused);
    assert!(guard.read(b"k").is_none());
    assert_eq!(guard.len(), 1);
    guard.entry(b"k").set(NewString::Int(1), Expiry::Clear);
    assert_eq!(guard.len(), 1);
}

#[test]
fn a_follower_sees_a_key_until_an_effect_deletes_it() {
    let mut store = Store::new(2);
    store.at(10, |guard| {
        guard
            .entry(b"k")
            .set(NewString::Bytes(b"v"), Expiry::At(20))
    });
    let mut effects = NoEffects;
    let mut guard =
        Guard::new(&mut store.stripes, &store.layout, &mut effects, 30).mode(Mode::Follower);
    assert!(guard.read(b"k").is_some());
}

#[test]
fn watchers_learn_of_changes_to_their_key_only() {
    let mut store = Store::new(2);
    let (a, b) = (
        Arc::new(WatchToken::default()),
        Arc::new(WatchToken::default()),
    );
    store.at(1, |guard| {
        guard.watch(b"a", &a);
        guard.watch(b"b", &b);
        guard.entry(b"a").set(NewString::Int(1), Expiry::Clear);
    });
    assert!(a.is_dirty());
    assert!(!b.is_dirty());
    store.at(1, |guard| guard.flush_all());
    assert!(!b.is_dirty(), "b did not exist");
    store.at(1, |guard| {
        let other = guard.select(KeyspaceId(1));
        guard.entry(b"b").set(NewString::Int(1), Expiry::Clear);
        guard.select(other);
        guard.swap(KeyspaceId(0), KeyspaceId(1));
    });
    assert!(b.is_dirty(), "b came into being by the swap");
}

#[test]
fn canonical_integers_are_stored_as_integers() {
    let mut store = Store::new(1);
    store.at(1, |guard| {
        guard
            .entry(b"k")
            .set(NewString::Bytes(b"12"), Expiry::Clear);
        let string = guard.peek(b"k").unwrap().string();
        assert_eq!(string, Ok(TextRef::Int(12)));
    });
}

#[test]
fn an_inspected_key_counts_but_is_not_used() {
    let mut store = Store::new(2);
    let set = |guard: &mut Guard<'_>| {
        guard.entry(b"k").set(NewString::Bytes(b"v"), Expiry::Clear);
    };
    store.at(0, set);
    store.at(9_000, |guard| {
        assert!(guard.inspect(b"missing").is_none());
        let view = guard.inspect(b"k").expect("it was set");
        assert_eq!(view.idle_seconds(), 9);
        assert_eq!((guard.stats().hits, guard.stats().misses), (1, 1));
        guard.read(b"k");
        assert_eq!(guard.peek(b"k").map(|view| view.idle_seconds()), Some(0));
    });
}

#[test]
fn only_who_decides_refuses_a_past_expiry() {
    let mut store = Store::new(2);
    store.at(10, |guard| {
        assert!(guard.is_past(10) && !guard.is_past(11) && !guard.is_follower());
    });
    let mut effects = NoEffects;
    let follower = Guard::new(&mut store.stripes, &store.layout, &mut effects, 10);
    assert!(!follower.mode(Mode::Follower).is_past(10));
}

#[test]
fn a_key_whose_time_has_come_counts_as_missing_in_a_swap() {
    let [here, there] = [KeyspaceId(0), KeyspaceId(1)];
    let mut store = Store::new(2);
    let [gone, missing, replaced] = std::array::from_fn(|_| Arc::new(WatchToken::default()));
    store.at(0, |guard| {
        let string = NewString::Bytes(b"v");
        guard.entry(b"gone").set(string, Expiry::At(10));
        guard.watch(b"gone", &gone);
        guard.watch(b"missing", &missing);
        guard.watch(b"replaced", &replaced);
        guard.select(there);
        guard.entry(b"missing").set(string, Expiry::At(10));
        guard.entry(b"replaced").set(string, Expiry::Clear);
    });
    store.at(10, |guard| guard.swap(here, there));
    assert!(gone.is_dirty() && replaced.is_dirty());
    assert!(!missing.is_dirty());
    store.at(10, |guard| {
        assert!(guard.peek(b"missing").is_none() && guard.peek(b"replaced").is_some());
    });
}
