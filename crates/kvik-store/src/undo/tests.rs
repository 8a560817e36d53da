//! Undoing random work, against what the store held before.

use proptest::prelude::*;

use crate::image::tests::{Op, STRIPES, accounted_bytes, apply, contents, filled, op};
use crate::trial::Store;

/// Operations while stripes are held.
fn work() -> impl Strategy<Value = Op> {
    op().prop_filter("upkeep and images are for others", |op| {
        !matches!(op, Op::Upkeep | Op::Slice(..) | Op::Pass(_))
    })
}

fn begin(store: &mut Store) {
    store
        .stripes
        .0
        .iter_mut()
        .for_each(crate::Stripe::begin_undo);
}

fn undo(store: &mut Store) {
    for stripe in 0..STRIPES {
        drop(store.stripes.0[stripe].undo_changes(&store.layout));
    }
}

fn keep(store: &mut Store) {
    for stripe in &mut store.stripes.0 {
        drop(stripe.keep_changes());
    }
}

/// Bytes that all keys account for. Lists and streams come back as copies, with other reserves.
fn entry_bytes(store: &mut Store) -> usize {
    accounted_bytes(store)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 80 }))]

    #[test]
    fn what_is_undone_has_not_been(
        before in prop::collection::vec(op(), 0..60),
        rounds in prop::collection::vec((prop::collection::vec(work(), 0..80), any::<bool>()), 1..4),
    ) {
        let mut store = filled();
        let mut database = 0;
        before.iter().for_each(|op| apply(&mut store, &mut database, op));
        for (ops, keeps) in &rounds {
            // Those that are due come first, as a section deletes what it meets.
            store.upkeep();
            let (expected, bytes) = (contents(&mut store), entry_bytes(&mut store));
            begin(&mut store);
            ops.iter().for_each(|op| apply(&mut store, &mut database, op));
            if *keeps {
                let held = contents(&mut store);
                keep(&mut store);
                prop_assert_eq!(contents(&mut store), held);
            } else {
                undo(&mut store);
                prop_assert_eq!(contents(&mut store), expected);
                let now = entry_bytes(&mut store);
                prop_assert!(now.abs_diff(bytes) <= bytes / 50, "{} is not {}", now, bytes);
            }
            store.upkeep();
            prop_assert_eq!(store.live_bytes(), accounted_bytes(&mut store));
        }
    }

    #[test]
    fn changes_that_are_undone_are_in_no_image(
        ops in prop::collection::vec(work(), 0..80),
        later in prop::collection::vec(work(), 0..40),
    ) {
        let mut store = filled();
        let mut database = 0;
        let expected = contents(&mut store);
        let image = crate::image::tests::begin(&mut store);
        begin(&mut store);
        ops.iter().for_each(|op| apply(&mut store, &mut database, op));
        undo(&mut store);
        later.iter().for_each(|op| apply(&mut store, &mut database, op));
        for stripe in 0..STRIPES {
            while store.stripes.0[stripe].image_slice(&store.layout, 7) {}
        }
        prop_assert_eq!(image.take(), expected);
        store.upkeep();
        prop_assert_eq!(store.live_bytes(), accounted_bytes(&mut store));
    }
}

#[test]
fn records_of_one_key_are_few() {
    let mut store = Store::new(STRIPES);
    let append = |store: &mut Store| {
        store.run(|guard| {
            let string = crate::NewString::Bytes(b"some value");
            guard.entry(b"key").set(string, crate::Expiry::Clear);
        });
    };
    append(&mut store);
    begin(&mut store);
    let bytes = |store: &Store| -> usize {
        let stripes = store.stripes.0.iter();
        stripes.map(crate::Stripe::undo_bytes).sum()
    };
    assert_eq!(bytes(&store), 0);
    append(&mut store);
    let once = bytes(&store);
    assert!(once > 0);
    (0..100).for_each(|_| append(&mut store));
    assert_eq!(bytes(&store), once);
    keep(&mut store);
    assert_eq!(bytes(&store), 0);
}

#[test]
fn those_who_watch_are_told_when_changes_are_kept() {
    let mut store = Store::new(STRIPES);
    let token = std::sync::Arc::default();
    store.run(|guard| guard.watch(b"key", &token));
    let set = |store: &mut Store| {
        store.run(|guard| {
            let string = crate::NewString::Int(1);
            guard.entry(b"key").set(string, crate::Expiry::Clear);
        });
    };
    begin(&mut store);
    set(&mut store);
    undo(&mut store);
    assert!(!token.is_dirty(), "nothing has happened");
    begin(&mut store);
    set(&mut store);
    assert!(!token.is_dirty(), "it may still be undone");
    keep(&mut store);
    assert!(token.is_dirty());
}
