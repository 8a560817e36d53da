//! Sets in all their representations against a naive model.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::{Encoding, Guard, IntText, Layout, Limits, NoEffects, Stripe, Stripes, ValueRef};

struct One(Stripe);

impl Stripes for One {
    fn stripe(&mut self, _index: usize) -> &mut Stripe {
        &mut self.0
    }

    fn held(&self, _index: usize) -> &Stripe {
        &self.0
    }
}

struct Store {
    layout: Layout,
    stripe: One,
    limits: Limits,
}

impl Store {
    fn new() -> Self {
        let limits = Limits::new();
        limits
            .set_ints
            .store(20, std::sync::atomic::Ordering::Relaxed);
        limits
            .set_entries
            .store(15, std::sync::atomic::Ordering::Relaxed);
        Self {
            layout: Layout::new(1, 5),
            stripe: One(Stripe::new()),
            limits,
        }
    }

    fn run<R>(&mut self, run: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        let mut effects = NoEffects;
        let guard = Guard::new(&mut self.stripe, &self.layout, &mut effects, 1000);
        run(&mut guard.limits(&self.limits))
    }

    fn members(&mut self) -> (BTreeSet<Vec<u8>>, Option<Encoding>) {
        self.run(|guard| {
            let Some(view) = guard.peek(b"s") else {
                return (BTreeSet::new(), None);
            };
            let ValueRef::Set(set) = view.value() else {
                unreachable!("only sets are made");
            };
            let text = |member: crate::StringRef<'_>| member.text(&mut IntText::default()).to_vec();
            let all: BTreeSet<Vec<u8>> = set.iter().map(text).collect();
            assert_eq!(all.len(), set.len());
            assert!(all.iter().all(|member| set.contains(member)));
            let (mut scanned, mut cursor) = (BTreeSet::new(), 0);
            loop {
                let mut left = 4;
                cursor = set.scan(cursor, |member| {
                    scanned.insert(text(member));
                    left -= 1;
                    left > 0
                });
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(scanned, all);
            (all, Some(view.encoding()))
        })
    }
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (-40i64..40).prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        2 => "[a-e]{0,3}".prop_map(String::into_bytes),
        1 => (60usize..70).prop_map(|len| vec![b'x'; len]),
    ]
}

proptest! {
    #[test]
    fn sets_are_what_was_put_into_them(
        ints_only in any::<bool>(),
        ops in prop::collection::vec((0u8..5, member(), any::<u64>()), 1..80),
    ) {
        let (mut store, mut model) = (Store::new(), BTreeSet::new());
        for (op, member, random) in ops {
            let member = if ints_only { (random % 50).to_string().into_bytes() } else { member };
            store.run(|guard| {
                let mut set = guard.slot(b"s").set_mut().unwrap();
                match op {
                    0..3 => assert_eq!(set.add(&member), model.insert(member)),
                    3 => assert_eq!(set.remove(&member), model.remove(&member)),
                    _ => {
                        let mut popped = None;
                        set.pop(random, |member| popped = Some(member.to_vec()));
                        assert_eq!(popped.is_none(), model.is_empty());
                        assert!(popped.is_none_or(|member| model.remove(&member)));
                    }
                }
            });
            let (members, encoding) = store.members();
            prop_assert_eq!(&members, &model);
            prop_assert_eq!(encoding.is_none(), model.is_empty());
            if encoding == Some(Encoding::Intset) {
                prop_assert!(model.len() <= 20);
            }
        }
        store.run(|guard| guard.delete(b"s"));
        while store.stripe.0.reclaim(100) {}
        prop_assert_eq!(store.stripe.0.heap.live_bytes(), 0);
    }
}

#[test]
fn expecting_many_that_are_there_changes_nothing() {
    let mut store = Store::new();
    store.run(|guard| guard.slot(b"s").set_mut().unwrap().add(b"a"));
    let before = store.stripe.0.heap.live_bytes();
    store.run(|guard| {
        let mut set = guard.slot(b"s").set_mut().unwrap();
        set.expect(b"a", 1000);
        assert!(!set.add(b"a"));
    });
    assert_eq!(store.stripe.0.heap.live_bytes(), before);
    assert_ne!(store.members().1, Some(Encoding::Hashtable));
    store.run(|guard| {
        let mut set = guard.slot(b"s").set_mut().unwrap();
        set.expect(b"a", 1000);
        assert!(!set.add(b"a") && set.add(b"b"));
    });
    assert_eq!(store.members().1, Some(Encoding::Hashtable));
}

#[test]
fn members_expire_one_by_one() {
    let mut store = Store::new();
    store.run(|guard| {
        let mut set = guard.slot(b"s").set_mut().unwrap();
        set.add(b"1");
        set.add(b"2");
        assert!(set.set_expiry(b"1", Some(1000)));
        assert!(!set.set_expiry(b"3", Some(1000)));
        assert_eq!(set.view().expiry_of(b"1"), Some(Some(1000)));
    });
    let (members, encoding) = store.members();
    assert_eq!(members, BTreeSet::from([b"2".to_vec()]));
    assert_eq!(encoding, Some(Encoding::Hashtable));
}
