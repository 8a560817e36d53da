//! Batches of writes: one unit, and the same outcome as the writes one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kvik::effects::{EffectLog, Lsn, Unit};
use kvik::{Batch, Db, Error, EvictionPolicy, Options};
use proptest::prelude::*;

use crate::support::manual;

/// Counts units and their effects.
#[derive(Default)]
struct Counted {
    units: AtomicU64,
    effects: AtomicU64,
}

impl EffectLog for Counted {
    fn append(&self, unit: &mut Unit, _now_ms: u64) -> Lsn {
        self.units.fetch_add(1, Ordering::Relaxed);
        let effects = unit.iter().count() as u64;
        self.effects.fetch_add(effects, Ordering::Relaxed);
        unit.clear();
        Lsn::ZERO
    }
}

#[test]
fn a_batch_is_one_unit() {
    let log = Arc::new(Counted::default());
    let db = Db::in_memory(Options::default().stripes(16).effect_log(log.clone()));
    let mut batch = Batch::new();
    for number in 0..500 {
        batch.set(format!("key:{number}").as_bytes(), b"v");
    }
    batch.delete(b"none");
    db.write(&batch).unwrap();
    assert_eq!(log.units.load(Ordering::Relaxed), 1);
    assert_eq!(log.effects.load(Ordering::Relaxed), 500);
    assert_eq!(db.statistics().keys(), 500);
    batch.clear();
    db.write(&batch).unwrap();
    assert_eq!((log.units.load(Ordering::Relaxed), batch.len()), (1, 0));
}

#[test]
fn what_a_batch_sets_for_a_time_expires() {
    let (options, now_us) = manual();
    let db = Db::in_memory(options);
    let mut batch = Batch::new();
    batch.set_for(b"short", b"v", Duration::from_millis(50));
    batch
        .set_for(b"stays", b"v", Duration::from_millis(50))
        .set(b"stays", b"w");
    db.write(&batch).unwrap();
    assert_eq!(
        db.time_to_live(b"short").unwrap(),
        Some(Some(Duration::from_millis(50)))
    );
    assert_eq!(db.time_to_live(b"stays").unwrap(), Some(None));
    now_us.fetch_add(50_000, Ordering::Relaxed);
    assert!(!db.exists(b"short").unwrap() && db.exists(b"stays").unwrap());
}

#[test]
fn a_batch_is_there_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let db = Db::open(directory.path()).unwrap();
    let mut batch = Batch::new();
    batch.set(b"a", b"1").set(b"b", b"2").delete(b"a");
    db.write(&batch).unwrap();
    db.commit().unwrap();
    drop(db);
    let db = Db::open(directory.path()).unwrap();
    assert_eq!(db.get(b"b").unwrap().as_deref(), Some(&b"2"[..]));
    assert!(!db.exists(b"a").unwrap());
}

#[test]
fn a_batch_without_room_changes_nothing() {
    let options = Options::default().max_memory(64 << 20, EvictionPolicy::NoEviction);
    let db = Db::in_memory(options);
    db.set(b"a", b"1").unwrap();
    let mut batch = Batch::new();
    batch.delete(b"a");
    let value = vec![b'x'; 1 << 20];
    for number in 0..100 {
        batch.set(format!("large:{number}").as_bytes(), &value);
    }
    assert!(matches!(db.write(&batch), Err(Error::OutOfMemory)));
    assert_eq!(db.statistics().keys(), 1);
}

proptest! {
    /// Writes of few keys, so that many meet: the key, and a value or none to delete it.
    #[test]
    fn a_batch_does_what_its_writes_do(
        writes in prop::collection::vec((0_u8..6, prop::option::of("[a-z]{0,40}")), 0..40),
    ) {
        let (together, alone) = (Db::memory(), Db::memory());
        let mut batch = Batch::new();
        for (key, value) in &writes {
            match value {
                Some(value) => {
                    batch.set(&[*key], value.as_bytes());
                    alone.set(&[*key], value.as_bytes()).unwrap();
                }
                None => {
                    batch.delete(&[*key]);
                    alone.delete(&[&[*key]]).unwrap();
                }
            }
        }
        together.write(&batch).unwrap();
        for key in 0..6 {
            prop_assert_eq!(together.get(&[key]).unwrap(), alone.get(&[key]).unwrap());
        }
    }
}
