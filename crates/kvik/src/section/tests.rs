//! Sections hand over their effects while their stripes are held, whatever happens.

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

fn terms<'a>(shared: &'a Shared, unit: &'a mut Unit) -> Terms<'a> {
    Terms {
        shared,
        unit,
        now_us: 0,
        actor: Actor::Client,
    }
}

fn set(section: &mut Section<'_>, held: &mut dyn Stripes, key: &str) {
    section.with_guard(held, KEYSPACE, Touching::NONE, |guard| {
        let string = NewString::Bytes(b"v");
        guard.entry(key.as_bytes()).set(string, Expiry::Clear);
    });
}

#[test]
fn what_happened_on_a_stripe_taken_in_turn_is_told_before_the_next_is_taken() {
    let (store, record, [first, second]) = store();
    let mut unit = Unit::new();
    let ((), lsn) = Section::run_in_turn(terms(&store, &mut unit), |section, held| {
        for key in [&first, &first, &second] {
            set(section, held, key);
        }
    });
    let units = record.units.lock().expect("no panic");
    assert_eq!(*units, [(2, [true, false]), (1, [false, true])]);
    assert_eq!(lsn, Lsn::new(2));
    let latest = |key: &str| {
        let home = store.router().place(0, key.as_bytes());
        store.latest(Reach::Key(home.hash)).get()
    };
    assert_eq!((latest(&first), latest(&second)), (1, 2));
}

#[test]
fn a_section_hands_over_while_all_its_stripes_are_held() {
    let (store, record, [first, second]) = store();
    let mut unit = Unit::new();
    let held = store.stripes.lock_all(Patience::Wait);
    let held = held.expect("a patient lock succeeds");
    let terms = terms(&store, &mut unit);
    Section::run(terms, held, Reach::Everything, |section, held| {
        set(section, held, &first);
        set(section, held, &second);
    });
    assert_eq!(*record.units.lock().expect("no panic"), [(2, [true, true])]);
}

/// A log that breaks its promise.
struct Forgetful;

impl EffectLog for Forgetful {
    fn append(&self, _: &mut Unit, _now_ms: u64) -> Lsn {
        Lsn::ZERO
    }
}

#[test]
fn no_stripe_is_let_go_while_effects_are_pending() {
    let options = Options::default().stripes(1);
    let store = Shared::new(options.effect_log(Arc::new(Forgetful)));
    let mut unit = Unit::new();
    let work = || {
        let held = store.stripes.lock(0, Patience::Wait);
        let held = held.expect("a patient lock succeeds");
        let terms = terms(&store, &mut unit);
        Section::run(terms, held, Reach::Everything, |section, held| {
            set(section, held, "k");
        });
    };
    assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
}

#[test]
fn what_a_panic_leaves_changed_is_told() {
    let (store, record, [key, _]) = store();
    let mut unit = Unit::new();
    let fail = || {
        let held = store.stripes.lock(0, Patience::Wait);
        let held = held.expect("a patient lock succeeds");
        let terms = terms(&store, &mut unit);
        Section::run(terms, held, Reach::Everything, |section, held| {
            set(section, held, &key);
            panic!("as a handler might");
        });
    };
    assert!(catch_unwind(AssertUnwindSafe(fail)).is_err());
    assert_eq!(record.units.lock().expect("no panic").len(), 1);
}
