//! Earlier states, from the files that are kept.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvik::{Clock, Db, Options, SystemDisk};
use kvik_log::{LogOptions, RestoreError, Restored};

fn restore(from: &Path, into: &Path, at_s: u64) -> Result<Restored, RestoreError> {
    let options = LogOptions::new(from, [0; 20]);
    kvik_log::restore(&SystemDisk, &options, into, at_s)
}

fn rewrite(db: &Db) {
    let count = || db.engine().persistence().status().rewrite.count;
    let before = count();
    assert!(db.run(&["BGREWRITEAOF"]).as_error().is_none());
    while count() == before {
        std::thread::yield_now();
    }
}

#[test]
fn any_second_of_a_log_that_is_kept_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicU64::new(1_000_000_000));
    let open = || {
        let clock = Clock::Manual(Arc::clone(&now));
        let options = Options::from(dir.path()).stripes(4).clock(clock);
        let db = Db::open(options).expect("the directory is ours");
        let files = &db.engine().settings.files;
        files.retention_bytes.store(1 << 30, Ordering::Relaxed);
        db.file_settings_changed();
        db
    };
    let db = open();
    let set = |db: &Db, at_s: u64, value: &str| {
        now.store(at_s * 1_000_000, Ordering::Relaxed);
        db.set(b"key", value.as_bytes()).unwrap();
        db.run(&["RPUSH", "list", value]);
    };
    set(&db, 1000, "1");
    set(&db, 2000, "2");
    rewrite(&db);
    set(&db, 3000, "3");
    set(&db, 3500, "4");
    rewrite(&db);
    rewrite(&db);
    drop(db);
    let db = open();
    set(&db, 5000, "5");
    drop(db);

    for (at_s, value) in [
        (1000, "1"),
        (1999, "1"),
        (2000, "2"),
        (2999, "2"),
        (3000, "3"),
        (4999, "4"),
        (5000, "5"),
        (u64::MAX, "5"),
    ] {
        let into = tempfile::tempdir().unwrap();
        restore(dir.path(), into.path(), at_s).unwrap();
        let restored = Db::open(Options::from(into.path()).stripes(4)).unwrap();
        let found = restored.get(b"key").unwrap();
        assert_eq!(found.as_deref(), Some(value.as_bytes()), "at {at_s}");
        let len = restored.run(&["LLEN", "list"]).as_int();
        assert_eq!(len, value.parse().ok(), "at {at_s}");
        restored.set(b"key", b"goes on").unwrap();
    }
    let into = tempfile::tempdir().unwrap();
    let early = restore(dir.path(), into.path(), 999).unwrap_err();
    assert!(
        matches!(
            early,
            RestoreError::TooEarly {
                earliest_s: Some(1000)
            }
        ),
        "{early}"
    );
    std::fs::write(into.path().join("file"), "in the way").unwrap();
    let full = restore(dir.path(), into.path(), 5000).unwrap_err();
    assert!(matches!(full, RestoreError::NotEmpty(_)), "{full}");
    // The source is as it was.
    let value = open().get(b"key").unwrap();
    assert_eq!(value.as_deref(), Some(&b"5"[..]));
}
