use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn value() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => -40i64..40,
        2 => prop::sample::select(vec![-32769, -32768, 32767, 32768]),
        1 => -2_147_483_650i64..-2_147_483_646,
        1 => 2_147_483_646i64..2_147_483_650,
        1 => any::<i64>(),
    ]
}

fn set_of(values: &[i64]) -> Vec<u8> {
    let mut bytes = empty();
    for value in values {
        add(&mut bytes, *value);
    }
    bytes
}

#[test]
fn the_bytes_are_those_of_redis() {
    assert_eq!(empty(), [2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        set_of(&[3, -2, 3]),
        [2, 0, 0, 0, 2, 0, 0, 0, 0xfe, 0xff, 3, 0]
    );
    let mut widened = set_of(&[1, 65535]);
    assert_eq!(
        widened,
        [4, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0, 0]
    );
    assert!(remove(&mut widened, 65535));
    assert_eq!(widened, [4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
}

#[test]
fn each_flaw_is_found() {
    let good = set_of(&[1, 2, 70_000]);
    assert!(IntSet::validate(&good).is_some());
    let flawed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        IntSet::validate(&bytes).is_none()
    };
    assert!(flawed(0, 2) && flawed(0, 3) && flawed(1, 1)); // width
    assert!(flawed(4, 2) && flawed(7, 0xff)); // number of integers
    assert!(flawed(8, 2) && flawed(8, 3)); // order
    assert!(IntSet::validate(&empty()).is_none());
    assert!((0..good.len()).all(|len| IntSet::validate(&good[..len]).is_none()));
}

proptest! {
    #[test]
    fn it_is_a_set(ops in prop::collection::vec((any::<bool>(), value()), 0..120)) {
        let (mut bytes, mut model, mut width) = (empty(), BTreeSet::new(), 2);
        for (adds, value) in ops {
            if adds {
                prop_assert_eq!(add(&mut bytes, value), model.insert(value));
                width = width.max(width_of(value));
            } else {
                prop_assert_eq!(remove(&mut bytes, value), model.remove(&value));
            }
            let set = IntSet::new(&bytes);
            prop_assert_eq!(IntSet::validate(&bytes).is_some(), !model.is_empty());
            prop_assert_eq!(set.width(), width);
            prop_assert_eq!(set.contains(value), adds);
        }
        let set = IntSet::new(&bytes);
        prop_assert!(set.iter().eq(model.iter().copied()));
        prop_assert!(set.iter().rev().eq(model.iter().rev().copied()));
        prop_assert_eq!((set.min(), set.max()), (model.first().copied(), model.last().copied()));
        prop_assert_eq!(set.iter().len(), model.len());
        prop_assert_eq!(set.get(model.len()), None);
        prop_assert_eq!(set.iter().nth(3), model.iter().nth(3).copied());
    }

    #[test]
    fn bytes_that_are_no_set_can_be_read(mut bytes in prop::collection::vec(any::<u8>(), 0..40), width in 0u8..10) {
        if let Some(first) = bytes.first_mut() {
            *first = width;
        }
        let set = IntSet::new(&bytes);
        prop_assert_eq!(set.iter().count(), set.len());
        let _ = (set.contains(7), set.min(), set.max(), IntSet::validate(&bytes));
    }
}
