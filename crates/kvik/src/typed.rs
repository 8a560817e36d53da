//! Typed methods for strings and keys, on database 0 and without a session.
//!
//! Each is a section of its own, under the rules of the moment like any command: it blocks while
//! clients are paused and while the log has no room, a follower and a failed log refuse writes, and
//! where the log is synchronous it returns when its result may be told. The two that are used most,
//! a read of a string and an overwrite of one by another of the same length, take a shorter way
//! through the store unless there is more to be done.

use std::cell::Cell;
use std::time::Duration;

use kvik_command::Error;
use kvik_command::family::string::{INCRBY, add_integer};
use kvik_log::Unit;
use kvik_store::{
    AccessPolicy, Expiry, Glance, Guard, IntText, Key, KeyUse, NewString, NoEffects, Reading,
    TextRef, WrongKind,
};

use crate::db::Db;
use crate::executor::{admit_set, count_call};
use crate::router::{DATABASE, Home};
use crate::section::{Actor, Locks, Section, Terms, Touching};
use crate::stamps::Reach;
use crate::stripes::{Held, Patience};

thread_local! {
    /// The unit of this thread's typed calls, kept for its room.
    static UNIT: Cell<Unit> = const { Cell::new(Unit::new()) };
}

/// Bytes of the longest text of an integer.
const MAX_INT_TEXT: usize = 20;

/// Conditions and expiry of [`Db::set_with`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// Only if the key exists (`Some(true)`) or does not (`Some(false)`).
    pub if_exists: Option<bool>,
    /// Expire after so long; otherwise the key does not expire.
    pub expire_in: Option<Duration>,
    /// Leave the expiry as it is.
    pub keep_expiry: bool,
}

/// Typed access to strings and keys of database 0. All of these methods block as [`Db::run`] does.
///
/// # Errors
/// Those that write fail where no write is admitted: on a follower, or when the log cannot keep
/// what it promises. Where the log is synchronous all of them fail if the log fails before it is
/// known that what they saw or did is on disk.
impl Db {
    /// A string's bytes, or none when the key does not exist. O(length)
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.read_string(key, |string| string.map(|string| string.to_vec()))
    }

    /// Writes a string's bytes over what is in `buffer` and says whether there is one. A buffer
    /// that is used again and again saves the allocation of [`Self::get`]. O(length)
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn get_into(&self, key: &[u8], buffer: &mut Vec<u8>) -> Result<bool, Error> {
        buffer.clear();
        self.read_string(key, |string| {
            match string {
                Some(TextRef::Bytes(bytes)) => buffer.extend_from_slice(bytes),
                Some(string) => buffer.extend_from_slice(&string.text(&mut IntText::default())),
                None => {}
            }
            string.is_some()
        })
    }

    /// Hands a string's bytes to `read` where they lie, or none when the key does not exist, and
    /// returns what that returns. Nothing is copied. `read` runs while the key's stripe is held: it
    /// must be quick, and must not use the store. O(1), and what `read` costs.
    ///
    /// ```
    /// # let db = kvik::Db::memory();
    /// db.set(b"k", b"value")?;
    /// let length = db.read(b"k", |bytes| bytes.map_or(0, <[u8]>::len))?;
    /// assert_eq!(length, 5);
    /// # Ok::<_, kvik::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn read<R>(&self, key: &[u8], read: impl FnOnce(Option<&[u8]>) -> R) -> Result<R, Error> {
        self.read_string(key, |string| match string {
            Some(TextRef::Bytes(bytes)) => read(Some(bytes)),
            Some(string) => read(Some(&string.text(&mut IntText::default()))),
            None => read(None),
        })
    }

    /// Sets a string, whatever the key held; it does not expire. O(length)
    ///
    /// # Errors
    /// If no write is admitted.
    pub fn set(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let shared = &*self.shared;
        let home = shared.router().place(DATABASE.0, key);
        let mut promise = None;
        if shared.is_guarded() {
            shared.admit(true)?;
            promise = shared.admit_growth(Some(key), key.len() + value.len())?;
        } else if self.overwrite(key, home, value) {
            return Ok(());
        }
        self.count_call(key)?;
        let held = shared.lock_key(key, home, KeyUse::Write);
        let now_ms = shared.time_for(&held);
        let done = self.work_in(held, (key, home), now_ms, |guard, name| {
            let _admission = admit_set(shared, guard, key, value.len())?;
            guard
                .entry(name)
                .set(NewString::Bytes(value), Expiry::Clear);
            Ok(())
        });
        drop(promise);
        done?
    }

    /// Counts a call against the quota of operations of the key's namespace.
    #[inline]
    fn count_call(&self, key: &[u8]) -> Result<(), Error> {
        let quotas = &self.shared.engine.settings.namespace_quotas;
        match quotas.is_any() {
            false => Ok(()),
            true => count_call(&self.shared, DATABASE, key),
        }
    }

    /// Sets a string without a section where that will do, and says whether it did.
    #[inline]
    fn overwrite(&self, key: &[u8], home: Home, value: &[u8]) -> bool {
        let shared = &*self.shared;
        let Some(mut held) = self.hold_alone(home) else {
            return false;
        };
        let (layout, key) = (&shared.stripes.layout, Key::hashed(key, home.hash));
        let (stripe, now_ms) = (held.stripe_mut(), shared.rough_ms());
        stripe.overwrite(layout, DATABASE, key, value, now_ms, NoEffects)
    }

    /// The stripe of a key, for a change that states no effect and records recency; none where that
    /// is not enough.
    #[inline]
    fn hold_alone(&self, home: Home) -> Option<Held<'_>> {
        let shared = &*self.shared;
        let held = shared.stripes.lock(home.stripe, Patience::Wait);
        let held = held.expect("a patient lock succeeds");
        // The store may have got a log in the meantime.
        let is_recency = shared.engine.settings.access_policy() == AccessPolicy::Recency;
        (is_recency && !shared.is_special()).then_some(held)
    }

    /// Sets a string under conditions and says whether it did. O(length)
    ///
    /// # Errors
    /// If no write is admitted.
    pub fn set_with(&self, key: &[u8], value: &[u8], options: SetOptions) -> Result<bool, Error> {
        let shared = &*self.shared;
        let _promise = shared.admit_growth(Some(key), key.len() + value.len())?;
        self.write_key(key, |guard, name| {
            let expiry = match options.expire_in {
                Some(after) => Expiry::At(guard.now().saturating_add(after.as_millis() as u64)),
                None if options.keep_expiry => Expiry::Keep,
                None => Expiry::Clear,
            };
            let exists = guard.peek(name).is_some();
            let wanted = options.if_exists.is_none_or(|wanted| wanted == exists);
            if wanted {
                let _admission = admit_set(shared, guard, key, value.len())?;
                guard.entry(name).set(NewString::Bytes(value), expiry);
            }
            Ok(wanted)
        })?
    }

    /// Adds to the integer that a string holds, 0 when the key does not exist, and returns the sum.
    /// O(1)
    ///
    /// # Errors
    /// If the value is no integer, the sum is out of range, or no write is admitted.
    pub fn increment(&self, key: &[u8], by: i64) -> Result<i64, Error> {
        let shared = &*self.shared;
        let mut promise = None;
        if shared.is_guarded() {
            promise = shared.admit_growth(Some(key), key.len() + MAX_INT_TEXT)?;
        } else if let Some(sum) = self.add(key, by) {
            return Ok(sum);
        }
        let done = self.write_key(key, |guard, name| {
            let _admission = admit_set(shared, guard, key, MAX_INT_TEXT)?;
            guard.call_changes(Some(&INCRBY));
            add_integer(guard.entry(name), by)
        });
        drop(promise);
        done?
    }

    /// Adds to an integer without a section where that will do, and returns the sum if it did.
    #[inline]
    fn add(&self, key: &[u8], by: i64) -> Option<i64> {
        let shared = &*self.shared;
        let home = shared.router().place(DATABASE.0, key);
        let mut held = self.hold_alone(home)?;
        let (layout, key) = (&shared.stripes.layout, Key::hashed(key, home.hash));
        let (stripe, now_ms) = (held.stripe_mut(), shared.rough_ms());
        stripe.add(layout, DATABASE, key, by, now_ms, NoEffects)
    }

    /// Deletes keys, all at once, and returns how many existed. O(keys); the memory of large values
    /// is freed behind it.
    ///
    /// # Errors
    /// If no write is admitted.
    pub fn delete<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<usize, Error> {
        self.transaction(keys, |all| {
            Ok(keys.iter().filter(|key| all.delete(key.as_ref())).count())
        })
    }

    /// Whether a key exists. O(1)
    ///
    /// # Errors
    /// If the log has failed, where it is synchronous.
    pub fn exists(&self, key: &[u8]) -> Result<bool, Error> {
        self.read_key(key, |guard, key| guard.exists(key))
    }

    /// Makes a key expire after so long and says whether it exists. O(1)
    ///
    /// # Errors
    /// If no write is admitted.
    pub fn expire(&self, key: &[u8], after: Duration) -> Result<bool, Error> {
        self.write_key(key, |guard, key| {
            let at = guard.now().saturating_add(after.as_millis() as u64);
            guard
                .entry(key)
                .occupied()
                .map(|mut key| key.set_expiry(Some(at)))
                .is_some()
        })
    }

    /// Makes a key stay and says whether it was going to expire. O(1)
    ///
    /// # Errors
    /// If no write is admitted.
    pub fn persist(&self, key: &[u8]) -> Result<bool, Error> {
        self.write_key(key, |guard, key| {
            let Some(mut key) = guard.entry(key).occupied() else {
                return false;
            };
            let expires = key.view().expire_at().is_some();
            key.set_expiry(None);
            expires
        })
    }

    /// How long until a key expires: none when it does not exist, `Some(None)` when it stays. O(1)
    ///
    /// # Errors
    /// If the log has failed, where it is synchronous.
    pub fn time_to_live(&self, key: &[u8]) -> Result<Option<Option<Duration>>, Error> {
        self.shared.admit(false)?;
        let now_ms = self.shared.now_ms();
        self.work_on(
            key,
            |_| now_ms,
            |guard, key| {
                let view = guard.peek(key)?;
                Some(
                    view.expire_at()
                        .map(|at| Duration::from_millis(at.saturating_sub(now_ms))),
                )
            },
        )
    }

    /// Reads a string, which takes few instructions unless something out of the ordinary is to be
    /// done.
    #[inline]
    fn read_string<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(Option<TextRef<'_>>) -> R,
    ) -> Result<R, Error> {
        if self.shared.is_guarded() {
            return self.read_string_guarded(key, read);
        }
        let home = self.shared.router().place(DATABASE.0, key);
        match self.glance(key, home, read) {
            Ok(result) => Ok(result),
            Err(read) => self.read_string_slowly(key, read),
        }
    }

    /// The same where a caller may have to wait, before or after.
    #[inline(never)]
    fn read_string_guarded<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(Option<TextRef<'_>>) -> R,
    ) -> Result<R, Error> {
        let shared = &*self.shared;
        shared.admit(false)?;
        let home = shared.router().place(DATABASE.0, key);
        let result = match self.glance(key, home, read) {
            Ok(result) => result,
            Err(read) => return self.read_string_slowly(key, read),
        };
        if shared.is_logged() {
            // A stamp that is newer than what was read only makes the caller wait longer.
            shared.wait_for(shared.latest(Reach::Key(home.hash)))?;
        }
        Ok(result)
    }

    /// Reads a string without a section, or gives `read` back where that will not do.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "as a function of its own it costs an eighth of the read"
    )]
    fn glance<R, F: FnOnce(Option<TextRef<'_>>) -> R>(
        &self,
        key: &[u8],
        home: Home,
        read: F,
    ) -> Result<R, F> {
        let (stripes, now_ms) = (&self.shared.stripes, self.shared.rough_ms());
        let stripe = stripes.read(home.stripe);
        let key = Key::hashed(key, home.hash);
        match stripe.glance(&stripes.layout, DATABASE, key, now_ms) {
            Glance::Missing => Ok(read(None)),
            Glance::String(string) => Ok(read(Some(string))),
            Glance::Unclear => Err(read),
        }
    }

    #[inline(never)]
    fn read_string_slowly<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(Option<TextRef<'_>>) -> R,
    ) -> Result<R, Error> {
        Ok(self.read_key(key, |guard, key| {
            guard.read_as(Reading::Whole);
            Ok::<_, WrongKind>(read(guard.read_string(key)?))
        })??)
    }

    /// Runs `work`, which only reads the key, together with others who read. It does not ask what
    /// time it is.
    #[inline]
    fn read_key<R>(
        &self,
        key: &[u8],
        work: impl FnOnce(&mut Guard<'_>, Key<'_>) -> R,
    ) -> Result<R, Error> {
        let shared = &*self.shared;
        shared.admit(false)?;
        self.count_call(key)?;
        let home = shared.router().place(DATABASE.0, key);
        let mut exact_ms = None;
        let read = shared
            .stripes
            .share(home.stripe, || *exact_ms.insert(shared.now_ms()));
        let Some(read) = read else {
            let held = shared.lock_key(key, home, KeyUse::Read);
            let now_ms = shared.time_for(&held);
            return self.work_in(held, (key, home), now_ms, work);
        };
        let now_ms = exact_ms.unwrap_or_else(|| shared.rough_ms());
        let (result, is_untouched) = self.work_in(read, (key, home), now_ms, |guard, key| {
            (work(guard, key), guard.stats().untouched)
        })?;
        if is_untouched {
            self.work_on(
                key,
                |_| now_ms,
                |guard, key| {
                    guard.read_as(Reading::Whole);
                    guard.touch(key);
                },
            )?;
        }
        Ok(result)
    }

    /// Runs `work`, which may change the key, at the exact time.
    fn write_key<R>(
        &self,
        key: &[u8],
        work: impl FnOnce(&mut Guard<'_>, Key<'_>) -> R,
    ) -> Result<R, Error> {
        self.shared.admit(true)?;
        self.count_call(key)?;
        self.work_on(key, |_| self.shared.now_ms(), work)
    }

    /// Runs `work` while the key's stripe is locked.
    fn work_on<R>(
        &self,
        key: &[u8],
        now_ms: impl FnOnce(&Held<'_>) -> u64,
        work: impl FnOnce(&mut Guard<'_>, Key<'_>) -> R,
    ) -> Result<R, Error> {
        let home = self.shared.router().place(DATABASE.0, key);
        let held = self.shared.lock_key(key, home, KeyUse::Write);
        let now_ms = now_ms(&held);
        self.work_in(held, (key, home), now_ms, work)
    }

    /// Runs `work` in a section of its own over the key's stripe, and returns when its result may
    /// be told.
    #[inline]
    fn work_in<R, L: Locks>(
        &self,
        held: L,
        (key, home): (&[u8], Home),
        now_ms: u64,
        work: impl FnOnce(&mut Guard<'_>, Key<'_>) -> R,
    ) -> Result<R, Error> {
        let shared = &*self.shared;
        let mut unit = UNIT.take();
        let reach = Reach::Key(home.hash);
        let terms = Terms {
            shared,
            unit: &mut unit,
            now_us: now_ms * 1000,
            actor: Actor::Client,
        };
        let touching = Touching {
            touch: true,
            random: shared.random(),
        };
        let (result, lsn) = Section::run(terms, held, reach, |section, held| {
            let mut guard = section.guard(held, home.keyspace, touching);
            let result = work(&mut guard, Key::hashed(key, home.hash));
            let aftermath = guard.take_aftermath();
            section.leave(aftermath);
            result
        });
        UNIT.set(unit);
        shared.wait_for(lsn)?;
        Ok(result)
    }
}
