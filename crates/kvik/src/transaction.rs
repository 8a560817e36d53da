//! A closure as one transaction over typed access to declared keys.

use kvik_command::Error;
use kvik_log::Unit;
use kvik_store::{Expiry, Guard, KeyHash, NewString};

use crate::db::Db;
use crate::executor::admit_set;
use crate::router::DATABASE;
use crate::section::{Actor, Section, Terms, Touching};
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::ascend;

/// The keys of a running [`Db::transaction`], locked until it ends.
pub struct Transaction<'a> {
    guard: Guard<'a>,
    shared: &'a Shared,
    /// Why something was not set.
    refusal: Option<Error>,
}

impl Db {
    /// Runs a closure that sees and changes `keys` of database 0 as if it were alone: no other
    /// command or transaction comes between. Its effects are one unit. It must not use the store by
    /// another way, which would wait for itself, and must not touch keys it did not name. If it
    /// fails or panics, everything that it has changed is undone, and nothing of it reaches the
    /// log.
    ///
    /// Blocks as [`Db::run`] does. O(keys), and what the closure costs.
    ///
    /// # Errors
    /// The closure's; and before it has run, that no write is admitted; and when it has, that the
    /// log has failed, so that it is unknown whether the changes will survive a restart.
    ///
    /// ```
    /// # let db = kvik::Db::memory();
    /// db.set(b"a", b"1")?;
    /// let moved = db.transaction(&[b"a", b"b"], |keys| {
    ///     let value = keys.get(b"a")?;
    ///     keys.set(b"b", value.as_deref().unwrap_or_default());
    ///     Ok::<_, kvik::Error>(keys.delete(b"a"))
    /// })?;
    /// assert!(moved);
    /// # Ok::<_, kvik::Error>(())
    /// ```
    pub fn transaction<K: AsRef<[u8]>, T, E: From<Error>>(
        &self,
        keys: &[K],
        run: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transact(keys, 0, run)
    }

    /// The same for one that is known to write so many bytes.
    pub(crate) fn transact<K: AsRef<[u8]>, T, E: From<Error>>(
        &self,
        keys: &[K],
        bytes: usize,
        run: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let shared = &*self.shared;
        shared.admit(true)?;
        let key = keys.first().map(AsRef::as_ref);
        // The quotas of namespaces are asked for each key that is set.
        let has_namespaces = shared.stripes.layout.namespaces().is_some();
        let bytes = if has_namespaces { 0 } else { bytes };
        let _promise = shared.admit_growth(key, bytes)?;
        let homes = keys
            .iter()
            .map(|key| shared.router().place(DATABASE.0, key.as_ref()));
        let (mut stripes, hashes): (Vec<u16>, Vec<KeyHash>) =
            homes.map(|home| (home.stripe as u16, home.hash)).collect();
        ascend(&mut stripes);
        let held = shared.lock_keys(keys.iter().map(AsRef::as_ref), &stripes);
        let mut unit = Unit::new();
        let terms = Terms {
            shared,
            unit: &mut unit,
            now_us: shared.clock.now_us(),
            actor: Actor::Client,
        };
        let touching = Touching {
            touch: true,
            random: shared.random(),
        };
        let reach = Reach::Keys(&hashes);
        let (result, lsn) = Section::run(terms, held, reach, |section, held| {
            section.attempt(held, |section, held| {
                let guard = section.guard(held, DATABASE, touching);
                let mut transaction = Transaction {
                    guard,
                    shared,
                    refusal: None,
                };
                let result = run(&mut transaction);
                let aftermath = transaction.guard.take_aftermath();
                let refusal = transaction.refusal.take();
                section.leave(aftermath);
                match refusal {
                    None => result,
                    Some(error) => Err(error.into()),
                }
            })
        });
        // The result reveals what the keys held, be it an error.
        shared.wait_for(lsn)?;
        result
    }
}

impl Transaction<'_> {
    /// A string's bytes. O(length)
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

    /// Sets a string, whatever the key held; it does not expire. Where its namespace has no room
    /// for it the transaction fails when the closure has returned. O(length)
    pub fn set(&mut self, key: &[u8], value: &[u8]) {
        self.put(key, value, Expiry::Clear);
    }

    /// The same with a string that expires at a time, in milliseconds since the epoch. O(length)
    pub fn set_until(&mut self, key: &[u8], value: &[u8], expire_at_ms: u64) {
        self.put(key, value, Expiry::At(expire_at_ms));
    }

    fn put(&mut self, key: &[u8], value: &[u8], expiry: Expiry) {
        match admit_set(self.shared, &mut self.guard, key, value.len()) {
            Ok(_admission) => self.guard.entry(key).set(NewString::Bytes(value), expiry),
            Err(error) => self.refusal = Some(error),
        }
    }

    /// Sets when the key expires, in milliseconds since the epoch, or that it does not. Says
    /// whether it exists. O(1)
    pub fn set_expiry(&mut self, key: &[u8], expire_at_ms: Option<u64>) -> bool {
        let occupied = self.guard.entry(key).occupied();
        occupied
            .map(|mut key| key.set_expiry(expire_at_ms))
            .is_some()
    }

    /// Deletes a key and says whether it existed. O(1)
    pub fn delete(&mut self, key: &[u8]) -> bool {
        self.guard.delete(key)
    }

    /// Whether a key exists. O(1)
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
