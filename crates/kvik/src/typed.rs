//! Typed methods for strings and keys, on database 0 and without a session.

use std::time::Duration;

use kvik_command::Error;
use kvik_store::{
    Expiry, Glance, Guard, IntText, KeyspaceId, NewString, NoEffects, Stripe, Stripes, TextRef,
    WrongKind,
};

use crate::db::Db;
use crate::effects::{Collector, Unit};
use crate::stripes::{Held, Patience};

/// The one that typed methods work on.
const DATABASE: KeyspaceId = KeyspaceId(0);

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

impl Db {
    /// A string's bytes, or none when the key does not exist.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.read_string(key, |string| string.map(|string| string.to_vec()))
    }

    /// Writes a string's bytes over what is in `buffer` and says whether there is one. A buffer that is used again and
    /// again saves the allocation of [`Self::get`].
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

    /// Sets a string, whatever the key held; it does not expire.
    pub fn set(&self, key: &[u8], value: &[u8]) {
        let shared = &*self.shared;
        let (stripes, layout) = (&shared.stripes, &shared.stripes.layout);
        let hash = layout.hash(key);
        let index = layout.stripe_of(hash);
        let held = stripes.lock(index, Patience::Wait);
        let mut held = held.expect("a patient lock succeeds");
        let key = (key, hash);
        let quickly = |stripe: &mut Stripe| {
            let now_ms = shared.rough_ms();
            stripe.overwrite(layout, DATABASE, key, value, now_ms, NoEffects)
        };
        if shared.log.is_none() && quickly(held.stripe(index)) {
            return;
        }
        let now_ms = shared.time_for(&held);
        self.with_guard(&mut held, key, now_ms, |mut guard| {
            guard
                .entry(key.0)
                .set(NewString::Bytes(value), Expiry::Clear);
        });
    }

    /// Sets a string under conditions and says whether it did.
    pub fn set_with(&self, key: &[u8], value: &[u8], options: SetOptions) -> bool {
        self.on_key_now(key, |guard| {
            let expiry = match options.expire_in {
                Some(after) => Expiry::At(guard.now().saturating_add(after.as_millis() as u64)),
                None if options.keep_expiry => Expiry::Keep,
                None => Expiry::Clear,
            };
            let entry = guard.entry(key);
            let wanted = options
                .if_exists
                .is_none_or(|exists| exists == entry.view().is_some());
            if wanted {
                entry.set(NewString::Bytes(value), expiry);
            }
            wanted
        })
    }

    /// Adds to the integer that a string holds, 0 when the key does not exist, and returns the sum.
    ///
    /// # Errors
    /// If the value is no integer or the sum is out of range.
    pub fn increment(&self, key: &[u8], by: i64) -> Result<i64, Error> {
        let reply = self.run(&[b"INCRBY", key, IntText::default().format(by)]);
        reply.as_int().ok_or_else(|| {
            Error::new(reply.as_error().map_or_else(String::new, |error| {
                error.to_str_lossy().replacen("ERR ", "", 1)
            }))
        })
    }

    /// Deletes keys, all at once, and returns how many existed.
    pub fn delete<K: AsRef<[u8]>>(&self, keys: &[K]) -> usize {
        self.transaction(keys, |all| {
            keys.iter().filter(|key| all.delete(key.as_ref())).count()
        })
    }

    /// Whether a key exists.
    pub fn exists(&self, key: &[u8]) -> bool {
        self.read_key(key, |guard| guard.exists(key))
    }

    /// Makes a key expire after so long and says whether it exists.
    pub fn expire(&self, key: &[u8], after: Duration) -> bool {
        self.on_key_now(key, |guard| {
            let at = guard.now().saturating_add(after.as_millis() as u64);
            guard
                .entry(key)
                .occupied()
                .map(|mut key| key.set_expiry(Some(at)))
                .is_some()
        })
    }

    /// Makes a key stay and says whether it was going to expire.
    pub fn persist(&self, key: &[u8]) -> bool {
        self.on_key(key, |guard| {
            let Some(mut key) = guard.entry(key).occupied() else {
                return false;
            };
            let expires = key.view().expire_at().is_some();
            key.set_expiry(None);
            expires
        })
    }

    /// How long until a key expires: none when it does not exist, `Some(None)` when it stays.
    pub fn time_to_live(&self, key: &[u8]) -> Option<Option<Duration>> {
        self.on_key_now(key, |guard| {
            let now = guard.now();
            let view = guard.peek(key)?;
            Some(
                view.expire_at()
                    .map(|at| Duration::from_millis(at.saturating_sub(now))),
            )
        })
    }

    /// Reads a string, which takes few instructions unless something out of the ordinary is to be done.
    #[inline]
    fn read_string<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(Option<TextRef<'_>>) -> R,
    ) -> Result<R, Error> {
        let shared = &*self.shared;
        let (stripes, layout) = (&shared.stripes, &shared.stripes.layout);
        let hash = layout.hash(key);
        let index = layout.stripe_of(hash);
        let stripe = stripes.read(index);
        match stripe.glance(layout, DATABASE, (key, hash), shared.rough_ms()) {
            Glance::Missing => return Ok(read(None)),
            Glance::String(string) => return Ok(read(Some(string))),
            Glance::Unclear => drop(stripe),
        }
        Ok(self.read_key(key, |guard| {
            Ok::<_, WrongKind>(read(guard.read_string(key)?))
        })?)
    }

    /// Runs `work`, which only reads the key, beside others who read. It does not ask what time it is.
    #[inline]
    fn read_key<R>(&self, key: &[u8], work: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        let shared = &*self.shared;
        let hash = shared.stripes.layout.hash(key);
        let index = shared.stripes.layout.stripe_of(hash);
        let mut exact_ms = None;
        let look = shared
            .stripes
            .look(index, || *exact_ms.insert(shared.now_ms()));
        let Some(mut seen) = look else {
            let held = shared.stripes.lock_to_read(index, Patience::Wait);
            let mut held = held.expect("a patient lock succeeds");
            let now_ms = shared.time_for(&held);
            return self.with_guard(&mut held, (key, hash), now_ms, |mut guard| work(&mut guard));
        };
        let now_ms = exact_ms.unwrap_or_else(|| shared.rough_ms());
        let (result, did) = self.with_guard(&mut seen, (key, hash), now_ms, |guard| {
            let mut guard = guard.reading();
            (work(&mut guard), guard.stats())
        });
        drop(seen);
        if did.untouched {
            self.on_key_at(key, |_| now_ms, |guard| guard.touch(key));
        }
        result
    }

    /// Runs `work` while the key's stripe is locked. It does not ask what time it is.
    fn on_key<R>(&self, key: &[u8], work: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        self.on_key_at(key, |held| self.shared.time_for(held), work)
    }

    /// The same for what does ask.
    fn on_key_now<R>(&self, key: &[u8], work: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        self.on_key_at(key, |_| self.shared.now_ms(), work)
    }

    #[inline]
    fn on_key_at<R>(
        &self,
        key: &[u8],
        now_ms: impl FnOnce(&Held<'_>) -> u64,
        work: impl FnOnce(&mut Guard<'_>) -> R,
    ) -> R {
        let stripes = &self.shared.stripes;
        let hash = stripes.layout.hash(key);
        let held = stripes.lock(stripes.layout.stripe_of(hash), Patience::Wait);
        let mut held = held.expect("a patient lock succeeds");
        let now_ms = now_ms(&held);
        self.with_guard(&mut held, (key, hash), now_ms, |mut guard| work(&mut guard))
    }

    #[inline]
    fn with_guard<R>(
        &self,
        stripes: &mut dyn Stripes,
        (key, hash): (&[u8], u64),
        now_ms: u64,
        work: impl FnOnce(Guard<'_>) -> R,
    ) -> R {
        let shared = &self.shared;
        let mut unit = Unit::default();
        let mut effects = Collector {
            unit: &mut unit,
            wanted: shared.log.is_some(),
        };
        let guard = Guard::new(stripes, &shared.stripes.layout, &mut effects, now_ms);
        let result = work(guard.hashed(key, hash));
        shared.commit(&mut unit);
        result
    }
}
