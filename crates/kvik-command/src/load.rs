//! Keys of an RDB file, and the value of a RESTORE, put into the store.
//!
//! The caller has locked the stripe of a key and made a guard over it; where a file is loaded, one in
//! [`Mode::Follower`](kvik_store::Mode) whose effects nobody wants. Members whose time has come are kept then,
//! and so are keys unless the caller drops them: what a log says later about them must find them.
//!
//! A value is read to its end before the key is made, so one that is damaged leaves nothing behind. Strings
//! are stored from the bytes of the file, or from room that is used again if they are compressed.

mod fill;

use kvik_rdb::{Corrupt, IntText, KeyHeader, KeyRecord, KeyUsage, ObjectType, Value};
use kvik_store::{Entry, Guard, Malformed, Terms, Usage};

/// What loading does with a key besides storing it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadPolicy {
    /// Keys whose time has come are left out: right for a file by itself, wrong for the base of a log.
    pub drops_overdue: bool,
    /// A key that exists is replaced. Else it is an error: no file has a key twice.
    pub replaces: bool,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadedKey {
    /// It is stored.
    Stored,
    /// Its time has come.
    Overdue,
    /// It is a collection without elements, which old servers wrote by mistake.
    Empty,
}

/// Why a key could not be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadFault {
    /// The bytes are no value.
    Corrupt(Corrupt),
    /// The value contradicts itself.
    Malformed,
    /// The key exists.
    Duplicate,
}

impl From<Corrupt> for LoadFault {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl From<Malformed> for LoadFault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl std::fmt::Display for LoadFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Corrupt(corrupt) => corrupt.fmt(f),
            Self::Malformed => f.write_str("contradictory value, or a member twice"),
            Self::Duplicate => f.write_str("key twice in one database"),
        }
    }
}

impl std::error::Error for LoadFault {}

/// Puts the keys of a file into the store.
#[derive(Debug)]
pub struct KeyLoader {
    policy: LoadPolicy,
    /// Where compressed strings are expanded.
    room: Vec<u8>,
}

impl KeyLoader {
    /// Loads keys in this way.
    pub fn new(policy: LoadPolicy) -> Self {
        Self {
            policy,
            room: Vec::new(),
        }
    }

    /// Stores a key in the guard's keyspace, and says what became of it. The guard's stripe is the key's.
    ///
    /// # Errors
    /// When the value is damaged or the key exists. Nothing is stored then.
    pub fn load(
        &mut self,
        guard: &mut Guard<'_>,
        record: &mut KeyRecord<'_>,
    ) -> Result<LoadedKey, LoadFault> {
        let terms = terms_of(&record.header);
        let is_overdue = terms.expire_at.is_some_and(|at| at <= guard.now());
        if self.policy.drops_overdue && is_overdue {
            return Ok(LoadedKey::Overdue);
        }
        let (key, mut room) = (record.header.key.clone(), IntText::default());
        let entry = guard.entry(key.bytes(&mut room));
        if matches!(entry, Entry::Occupied(_)) && !self.policy.replaces {
            return Err(LoadFault::Duplicate);
        }
        match self.put(entry, record, &terms) {
            Ok(()) => Ok(LoadedKey::Stored),
            // Redis passes them over as well.
            Err(LoadFault::Corrupt(Corrupt::Empty)) => Ok(LoadedKey::Empty),
            Err(fault) => Err(fault),
        }
    }

    fn put(
        &mut self,
        entry: Entry<'_>,
        record: &mut KeyRecord<'_>,
        terms: &Terms<'_>,
    ) -> Result<(), LoadFault> {
        if record.header.object != ObjectType::String {
            return put(entry, record.value()?, terms);
        }
        let mut int = IntText::default();
        let text = record.string(&mut self.room)?;
        entry.restore_string(fill::string(&text, &mut int).into(), terms);
        Ok(())
    }
}

fn terms_of(header: &KeyHeader<'_>) -> Terms<'static> {
    Terms {
        expire_at: header.expire_at,
        usage: match header.usage {
            KeyUsage::Untold => Usage::New,
            KeyUsage::Idle(seconds) => Usage::Idle(seconds),
            KeyUsage::Frequency(counter) => Usage::Frequency(counter),
        },
        payload: b"",
    }
}

/// Stores a value if it is whole, whatever is there.
pub(crate) fn put(
    entry: Entry<'_>,
    value: Value<'_, '_>,
    terms: &Terms<'_>,
) -> Result<(), LoadFault> {
    match value {
        Value::String(text) => {
            let mut room = IntText::default();
            entry.restore_string(fill::string(&text, &mut room).into(), terms);
        }
        Value::List(parts) => {
            let mut made = entry.build_list();
            fill::list(&mut made, parts)?;
            made.restore(terms);
        }
        Value::Set(set) => {
            let mut made = entry.build_set();
            fill::set(&mut made, set)?;
            made.restore(terms);
        }
        Value::Hash(hash) => {
            let mut made = entry.build_hash();
            fill::hash(&mut made, hash)?;
            made.restore(terms);
        }
        Value::Stream(parts) => {
            let mut made = entry.build_stream();
            fill::stream(&mut made, parts)?;
            made.restore(terms);
        }
        Value::SortedSet(set) => {
            let mut made = entry.build_zset();
            fill::zset(&mut made, set)?;
            made.restore(terms);
        }
    }
    Ok(())
}

/// Reads a value to its end and stores nothing. `entry` is only where its collection is built beside.
pub(crate) fn check(entry: Entry<'_>, value: Value<'_, '_>) -> Result<(), LoadFault> {
    match value {
        Value::String(_) => Ok(()),
        Value::List(parts) => fill::list(&mut entry.build_list(), parts),
        Value::Set(set) => fill::set(&mut entry.build_set(), set),
        Value::Hash(hash) => fill::hash(&mut entry.build_hash(), hash),
        Value::Stream(parts) => fill::stream(&mut entry.build_stream(), parts),
        Value::SortedSet(set) => fill::zset(&mut entry.build_zset(), set),
    }
}

#[cfg(test)]
pub(crate) mod tests;
