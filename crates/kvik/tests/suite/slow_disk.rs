//! A snapshot on a disk that is too slow: writes are put off, so what waits for it is bounded.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik::{Db, Disk, Options, Outcome, SystemDisk};
use kvik_log::{DiskLock, DiskReader, DiskWriter, FileEntry};
use parking_lot::{Condvar, Mutex};

use crate::support::Client;

const KEYS: usize = 20_000;
const LIMIT: u64 = 1 << 20;

/// The system's disk, whose snapshots are written while the door is open.
#[derive(Clone, Default)]
struct SlowDisk(Arc<Door>);

#[derive(Default)]
struct Door {
    is_shut: Mutex<bool>,
    opened: Condvar,
}

struct SlowWriter(Box<dyn DiskWriter>, Arc<Door>);

impl Door {
    fn pass(&self) {
        let mut is_shut = self.is_shut.lock();
        while *is_shut {
            self.opened.wait(&mut is_shut);
        }
    }

    fn set(&self, is_shut: bool) {
        *self.is_shut.lock() = is_shut;
        self.opened.notify_all();
    }
}

impl DiskWriter for SlowWriter {
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.1.pass();
        self.0.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
}

impl Disk for SlowDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        SystemDisk.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<FileEntry>> {
        SystemDisk.list(path)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        SystemDisk.len(path)
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        SystemDisk.read(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskWriter>> {
        let writer = SystemDisk.create(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Snapshots and bases.
        let is_image = name.starts_with("temp-") && !name.contains("manifest");
        Ok(match is_image {
            false => writer,
            true => Box::new(SlowWriter(writer, Arc::clone(&self.0))),
        })
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskWriter>> {
        SystemDisk.append(path)
    }

    fn overwrite(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        SystemDisk.overwrite(path, at, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        SystemDisk.lock(path)
    }
}

#[test]
fn writes_are_put_off_while_too_much_waits_for_a_snapshot() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), SlowDisk::default());
    let options = Options::from(dir.path()).stripes(16);
    let db = Db::open(options.on_disk(Arc::new(disk.clone()))).unwrap();
    let settings = &db.engine().settings;
    settings.files.image_bytes.store(LIMIT, Relaxed);
    // What waits has the size of what was stored.
    settings.rdb_compression.store(false, Relaxed);
    let value = vec![b'x'; 1000];
    let key = |number: usize| format!("key:{number}");
    for number in 0..KEYS {
        db.set(key(number).as_bytes(), &value).unwrap();
    }
    disk.0.set(true);
    let walk = || db.engine().persistence().status().walk;
    let is_saving = || db.engine().persistence().status().save.running_s.is_some();
    assert!(db.run(&["BGSAVE"]).as_error().is_none());
    while !is_saving() {
        std::thread::yield_now();
    }
    // What is overwritten before it is saved is handed over.
    let mut client = Client::of(&db);
    let mut number = 0;
    while client.offer(&["SET", &key(number % KEYS), "new"]) != Outcome::LogFull {
        client.out.clear();
        number += 1;
        assert!(number < 100 * KEYS, "nothing bounds what waits");
    }
    // The command that exceeds the limit is still done, with the keys around it.
    assert!(
        (LIMIT..2 * LIMIT).contains(&walk().buffer_bytes),
        "{:?}",
        walk()
    );
    assert!(walk().deferred > 0);
    assert_eq!(walk().keys_total, KEYS as u64);
    assert!(walk().keys <= walk().keys_total);
    assert!(db.get(b"key:1").unwrap().is_some(), "reads go on");
    disk.0.set(false);
    client.run_between(&["SET", "key:0", "newer"], |_| std::thread::yield_now());
    while is_saving() {
        std::thread::yield_now();
    }
    assert_eq!((walk().buffer_bytes, walk().keys_total), (0, 0));
    assert!(!db.engine().persistence().status().save.failed);
}

#[test]
fn flushall_gives_up_a_snapshot_and_begins_a_rewrite_anew() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), SlowDisk::default());
    let options = || Options::from(dir.path()).stripes(16);
    let db = Db::open(options().on_disk(Arc::new(disk.clone()))).unwrap();
    let status = || db.engine().persistence().status();
    // More than is gathered before a write.
    let value = vec![b'x'; 1000];
    let fill = || (0..KEYS).for_each(|n| db.set(format!("key:{n}").as_bytes(), &value).unwrap());
    let wait = |is_there: &dyn Fn() -> bool| {
        while !is_there() {
            std::thread::yield_now();
        }
    };

    fill();
    disk.0.set(true);
    assert_eq!(db.run(&["BGSAVE"]).as_error(), None);
    wait(&|| status().save.running_s.is_some());
    assert_eq!(db.run(&["FLUSHALL"]).as_error(), None);
    disk.0.set(false);
    wait(&|| status().save.running_s.is_none());
    assert_eq!((status().save.count, status().save.failed), (0, false));
    assert!(!dir.path().join("dump.rdb").exists());

    fill();
    disk.0.set(true);
    assert_eq!(db.run(&["BGREWRITEAOF"]).as_error(), None);
    wait(&|| status().rewrite.running_s.is_some());
    assert_eq!(db.run(&["FLUSHALL"]).as_error(), None);
    db.set(b"after", b"1").unwrap();
    disk.0.set(false);
    wait(&|| status().rewrite.count == 1 && status().rewrite.running_s.is_none());
    drop(db);
    let db = Db::open(options()).unwrap();
    assert_eq!(db.run(&["DBSIZE"]).as_int(), Some(1));
    assert_eq!(db.get(b"after").unwrap().as_deref(), Some(&b"1"[..]));
}
