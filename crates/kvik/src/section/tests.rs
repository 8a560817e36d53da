//! What sections hand over, and when.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use kvik_store::{Expiry, NewString};

use super::*;
use crate::effects::EffectLog;
use crate::options::Options;
use crate::stripes::Patience;

const KEYSPACE: KeyspaceId = KeyspaceId(0);

/// Keeps for each unit its number of effects, and which of two stripes were held when it came.
#[derive(Default)]
struct Record {
    store: OnceLock<Weak<Shared>>,
    units: Mutex<Vec<(usize, [bool; 2])>>,
}

impl EffectLog for Record {
    fn append(&self, unit: &mut Unit, _now_ms: u64) -> Lsn {
        let store = self.store.get().and_then(Weak::upgrade);
        let store = store.expect("the store is there");
        let is_held = |index| store.stripes.lock(index, Patience::Spin).is_err();
        let mut units = self.units.lock().expect("no panic");
        units.push((unit.effects(), [is_held(0), is_held(1)]));
        unit.clear();
        Lsn::new(units.len() as u64)
    }
}

/// A store of two stripes, and a key in each.
fn store() -> (Arc<Shared>, Arc<Record>, [String; 2]) {
    let record = Arc::new(Record::default());
    let options = Options::default().stripes(2).seed(1);
    let store = Arc::new(Shared::new(options.effect_log(Arc::clone(&record) as _)));
    let is_set = record.store.set(Arc::downgrade(&store));
    is_set.expect("it is set once");
    let key = |stripe| {
        let mut names = (0..).map(|number| format!("key:{number}"));
        let is_there = |name: &String| store.router().place(0, name.as_bytes()).stripe == stripe;
        names.find(is_there).expect("half of all keys are there")
    };
    let keys = [key(0), key(1)];
    (store, record, keys)
}

fn set(guard: &mut Guard<'_>, key: &str) {
    let string = NewString::Bytes(b"v");
    guard.entry(key.as_bytes()).set(string, Expiry::Clear);
}

#[test]
fn what_happened_on_a_stripe_taken_in_turn_is_told_before_the_next_is_taken() {
    let (store, record, [first, second]) = store();
    let unit = RefCell::default();
    let mut section = Section::in_turn(&store, &unit, 0, Mode::Primary);
    let mut guard = section.guard(KEYSPACE, Touching::NONE);
    for key in [&first, &first, &second] {
        set(&mut guard, key);
    }
    let lsn = section.finish(Reach::Nothing);
    let units = record.units.lock().expect("no panic");
    assert_eq!(*units, [(2, [true, false]), (1, [false, true])]);
    assert_eq!(lsn, Lsn::new(2));
}

#[test]
fn a_section_hands_over_while_all_its_stripes_are_held() {
    let (store, record, [first, second]) = store();
    let mut unit = Unit::new();
    let held = store.stripes.lock_all(Patience::Wait);
    let held = held.expect("a patient lock succeeds");
    let mut section = Section::begin(&store, held, &mut unit, 0, Mode::Primary);
    let mut guard = section.guard(KEYSPACE, Touching::NONE);
    [&first, &second]
        .iter()
        .for_each(|key| set(&mut guard, key));
    section.finish(Reach::Everything);
    assert_eq!(*record.units.lock().expect("no panic"), [(2, [true, true])]);
}

#[test]
fn a_section_that_is_dropped_with_effects_pending_panics() {
    let (store, _, [key, _]) = store();
    let mut unit = Unit::new();
    let forget = || {
        let held = store.stripes.lock(0, Patience::Wait);
        let held = held.expect("a patient lock succeeds");
        let mut section = Section::begin(&store, held, &mut unit, 0, Mode::Primary);
        set(&mut section.guard(KEYSPACE, Touching::NONE), &key);
    };
    assert!(catch_unwind(AssertUnwindSafe(forget)).is_err());
}

#[test]
fn what_a_panic_leaves_changed_is_told() {
    let (store, record, [key, _]) = store();
    let mut unit = Unit::new();
    let fail = || {
        let held = store.stripes.lock(0, Patience::Wait);
        let held = held.expect("a patient lock succeeds");
        let mut section = Section::begin(&store, held, &mut unit, 0, Mode::Primary);
        set(&mut section.guard(KEYSPACE, Touching::NONE), &key);
        panic!("as a handler might");
    };
    assert!(catch_unwind(AssertUnwindSafe(fail)).is_err());
    assert_eq!(record.units.lock().expect("no panic").len(), 1);
}
