//! Many writes at once: one unit of effects, and one wait for the log.

use std::time::Duration;

use kvik_command::Error;

use crate::db::Db;

/// Writes of strings that are gathered, and then happen as one: others see all of them or none, and
/// so does whoever opens the files after a crash.
///
/// ```
/// use std::time::Duration;
///
/// let db = kvik::Db::memory();
/// let mut batch = kvik::Batch::new();
/// batch.set(b"user:1", b"ann").set(b"user:2", b"bob");
/// batch.set_for(b"session:1", b"x", Duration::from_secs(60));
/// batch.delete(b"user:0");
/// db.write(&batch)?;
/// assert_eq!(db.get(b"user:2")?.as_deref(), Some(&b"bob"[..]));
/// # Ok::<_, kvik::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    writes: Vec<Write>,
    /// Bytes of the keys and values that are set.
    bytes: usize,
}

/// A write and its key.
#[derive(Clone, Debug)]
struct Write {
    key: Box<[u8]>,
    kind: WriteKind,
}

#[derive(Clone, Debug)]
enum WriteKind {
    Set(Box<[u8]>, Option<Duration>),
    Delete,
}

impl AsRef<[u8]> for Write {
    fn as_ref(&self) -> &[u8] {
        &self.key
    }
}

impl Batch {
    /// One without writes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            writes: Vec::new(),
            bytes: 0,
        }
    }

    /// Sets a string, whatever the key holds then; it does not expire. O(1)
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        self.push(key, WriteKind::Set(value.into(), None))
    }

    /// Sets a string that expires so long after the batch is written. O(1)
    pub fn set_for(&mut self, key: &[u8], value: &[u8], time: Duration) -> &mut Self {
        self.push(key, WriteKind::Set(value.into(), Some(time)))
    }

    /// Deletes a key, if there is one. O(1)
    pub fn delete(&mut self, key: &[u8]) -> &mut Self {
        self.push(key, WriteKind::Delete)
    }

    /// How many writes it has.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Forgets the writes, so that it can be used again.
    pub fn clear(&mut self) {
        self.writes.clear();
        self.bytes = 0;
    }

    fn push(&mut self, key: &[u8], kind: WriteKind) -> &mut Self {
        if let WriteKind::Set(value, _) = &kind {
            self.bytes += key.len() + value.len();
        }
        self.writes.push(Write {
            key: key.into(),
            kind,
        });
        self
    }
}

impl Db {
    /// Does the writes of a batch in their order, as one. Under a synchronous log it waits once,
    /// for all of them; otherwise [`Db::commit`] waits until they are on disk.
    ///
    /// O(writes). The stripes of all its keys are held meanwhile, so that others wait: some
    /// thousand writes are a good size, and many more are better several batches.
    ///
    /// # Errors
    /// If no write is admitted; nothing has happened then. If the log fails it is unknown whether
    /// the writes survive a restart.
    pub fn write(&self, batch: &Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        self.transact(&batch.writes, batch.bytes, |keys| {
            for Write { key, kind } in &batch.writes {
                match kind {
                    WriteKind::Set(value, None) => keys.set(key, value),
                    WriteKind::Set(value, Some(time)) => {
                        let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                        keys.set_until(key, value, keys.now_ms().saturating_add(time_ms));
                    }
                    WriteKind::Delete => _ = keys.delete(key),
                }
            }
            Ok(())
        })
    }
}
