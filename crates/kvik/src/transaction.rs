//! A closure as one transaction over typed access to declared keys.

use kvik_store::{Expiry, Guard, NewString};

use crate::clock::BatchClock;
use crate::db::{Db, Shared};
use crate::effects::{Collector, Unit};
use crate::executor::ascend;
use crate::stripes::Patience;
use kvik_command::Error;

/// The keys of a running [`Db::transaction`], locked until it ends.
pub struct Transaction<'a> {
    guard: Guard<'a>,
}

impl Db {
    /// Runs a closure that sees and changes `keys` of database 0 as if it were alone: no other command or transaction
    /// comes between. Its effects are one unit. It must not use the store by another way, which would wait for itself,
    /// and must not touch keys it did not name.
    ///
    /// ```
    /// # let db = kvik::Db::open(kvik::Options::default());
    /// db.set(b"a", b"1");
    /// let moved = db.transaction(&[b"a", b"b"], |keys| {
    ///     let value = keys.get(b"a")?;
    ///     keys.set(b"b", value.as_deref().unwrap_or_default());
    ///     Ok::<_, kvik::Error>(keys.delete(b"a"))
    /// });
    /// assert_eq!(moved, Ok(true));
    /// ```
    pub fn transaction<K: AsRef<[u8]>, R>(
        &self,
        keys: &[K],
        run: impl FnOnce(&mut Transaction<'_>) -> R,
    ) -> R {
        let shared = &self.shared;
        let layout = &shared.stripes.layout;
        let mut plan: Vec<u16> = keys
            .iter()
            .map(|key| layout.stripe_of(layout.hash(key.as_ref())) as u16)
            .collect();
        ascend(&mut plan);
        let mut held = shared
            .stripes
            .lock_many(&plan, Patience::Wait)
            .expect("a patient lock succeeds");
        let mut ending = Ending {
            shared,
            unit: Unit::default(),
        };
        let mut effects = Collector {
            unit: &mut ending.unit,
            wanted: shared.log.is_some(),
        };
        let now_ms = BatchClock::new(shared.clock.clone()).now_us() / 1000;
        let guard = Guard::new(&mut held, layout, &mut effects, now_ms);
        let mut transaction = Transaction { guard };
        let result = run(&mut transaction);
        if let Some(garbage) = transaction.guard.take_garbage() {
            shared.stripes.alarm.discard(garbage);
        }
        result
    }
}

/// Hands the effects over at the end, while the stripes are still locked: also those of a closure that panics, as what
/// it has changed stays changed.
struct Ending<'a> {
    shared: &'a Shared,
    unit: Unit,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.shared.commit(&mut self.unit);
    }
}

impl Transaction<'_> {
    /// A string's bytes.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some(view) = self.guard.read(key) else {
            return Ok(None);
        };
        let text = view.string()?.to_vec();
        Ok(Some(text))
    }

    /// Sets a string, whatever the key held.
    pub fn set(&mut self, key: &[u8], value: &[u8]) {
        self.guard
            .entry(key)
            .set(NewString::Bytes(value), Expiry::Clear);
    }

    /// Sets when the key expires, in milliseconds since the epoch, or that it does not. Says whether it exists.
    pub fn set_expiry(&mut self, key: &[u8], expire_at_ms: Option<u64>) -> bool {
        let occupied = self.guard.entry(key).occupied();
        occupied
            .map(|mut key| key.set_expiry(expire_at_ms))
            .is_some()
    }

    /// Deletes a key and says whether it existed.
    pub fn delete(&mut self, key: &[u8]) -> bool {
        self.guard.delete(key)
    }

    /// Whether a key exists.
    pub fn exists(&mut self, key: &[u8]) -> bool {
        self.guard.exists(key)
    }

    /// The time of this transaction, in milliseconds since the epoch.
    pub fn now_ms(&self) -> u64 {
        self.guard.now()
    }
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}
