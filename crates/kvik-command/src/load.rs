//! Keys of an RDB file, and the value of a RESTORE, put into the store.
//!
//! The caller has locked the stripe of a key and made a guard over it; where a file is loaded, one
//! in [`Mode::Follower`](kvik_store::Mode) whose effects nobody wants. Members whose time has come
//! are kept then, and so are keys unless the caller drops them: what a log says later about them
//! must find them.
//!
//! A value is read to its end before the key is made, so one that is damaged leaves nothing behind.
//! Strings are stored from the bytes of the file, or from room that is used again if they are
//! compressed.

mod fill;

use kvik_rdb::{Corrupt, IntText, KeyHeader, KeyRecord, KeyUsage, ObjectType, Value};
use kvik_store::{
    ArrayMut, Entry, Guard, HashMut, Key, KeyHash, ListMut, Malformed, NewString, SetMut,
    StreamMut, Terms, Usage, ZsetMut,
};

/// The rules for keys that have expired or exist already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadPolicy {
    /// Keys whose time has come are left out: right for a file by itself, wrong for the base of a
    /// log.
    pub drops_overdue: bool,
    /// A key that exists is replaced. Else it is an error: no file has a key twice.
    pub replaces: bool,
}

/// The outcome for one key.
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

    /// Stores a key in the guard's keyspace, and says what became of it. The guard's stripe is the
    /// key's.
    ///
    /// # Errors
    /// When the value is damaged or the key exists. Nothing is stored then.
    pub fn load(
        &mut self,
        guard: &mut Guard<'_>,
        record: &mut KeyRecord<'_>,
        hash: KeyHash,
    ) -> Result<LoadedKey, LoadFault> {
        let terms = terms_of(&record.header);
        if self.drops(&terms, guard) {
            return Ok(LoadedKey::Overdue);
        }
        let (key, mut room) = (record.header.key.clone(), IntText::default());
        let entry = self.entry(guard, Key::hashed(key.bytes(&mut room), hash))?;
        loaded(self.put(entry, record, &terms))
    }

    /// Begins a key whose value comes piece by piece; `key` is the text of the header's.
    ///
    /// # Errors
    /// When the key exists.
    pub fn begin<'g>(
        &self,
        guard: &'g mut Guard<'_>,
        header: &KeyHeader<'_>,
        key: &'g [u8],
    ) -> Result<LongKey<'g>, LoadFault> {
        let terms = terms_of(header);
        let building = if self.drops(&terms, guard) {
            None
        } else {
            Some(Building::At(self.entry(guard, key.into())?))
        };
        Ok(LongKey { terms, building })
    }

    /// Whether a key is left out because its time has come.
    fn drops(&self, terms: &Terms<'_>, guard: &Guard<'_>) -> bool {
        let is_overdue = terms.expire_at.is_some_and(|at| at <= guard.now());
        self.policy.drops_overdue && is_overdue
    }

    /// Where the key is to be stored.
    fn entry<'g>(&self, guard: &'g mut Guard<'_>, key: Key<'g>) -> Result<Entry<'g>, LoadFault> {
        match guard.entry(key) {
            Entry::Occupied(_) if !self.policy.replaces => Err(LoadFault::Duplicate),
            entry => Ok(entry),
        }
    }

    fn put(
        &mut self,
        entry: Entry<'_>,
        record: &mut KeyRecord<'_>,
        terms: &Terms<'_>,
    ) -> Result<(), LoadFault> {
        // Strings are most of what files hold, and need no value in between.
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
    if let Value::String(text) = value {
        let mut room = IntText::default();
        entry.restore_string(fill::string(&text, &mut room).into(), terms);
        return Ok(());
    }
    if let Value::Bitmap(bitmap) = value {
        entry.restore_string(NewString::Rope(&fill::bits(&bitmap)?), terms);
        return Ok(());
    }
    let mut made = Made::begin(entry, &value);
    made.add(value)?;
    made.restore(terms)
}

/// Reads a value to its end and stores nothing. `entry` is only where its collection is built
/// beside.
pub(crate) fn check(entry: Entry<'_>, value: Value<'_, '_>) -> Result<(), LoadFault> {
    if matches!(value, Value::String(_)) {
        return Ok(());
    }
    if let Value::Bitmap(bitmap) = value {
        return fill::bits(&bitmap).map(drop);
    }
    let mut made = Made::begin(entry, &value);
    made.add(value)?;
    made.ensure_some()
}

/// A key whose value comes piece by piece. Nothing is stored before the end.
#[derive(Debug)]
pub struct LongKey<'g> {
    terms: Terms<'static>,
    /// Where it is built; none if it is not to be stored, until the first piece tells what it is.
    building: Option<Building<'g>>,
}

#[derive(Debug)]
enum Building<'g> {
    At(Entry<'g>),
    Made(Made<'g>),
}

impl LongKey<'_> {
    /// Adds some elements.
    ///
    /// # Errors
    /// When one is damaged, or is there already.
    pub fn add(&mut self, elements: Value<'_, '_>) -> Result<(), LoadFault> {
        // What the collection is, its first elements tell; if one is damaged, nothing is left of
        // it.
        let mut made = match self.building.take() {
            Some(Building::Made(made)) => made,
            Some(Building::At(entry)) => Made::begin(entry, &elements),
            None => return Ok(()),
        };
        made.add(elements)?;
        self.building = Some(Building::Made(made));
        Ok(())
    }

    /// Stores the key, unless it was overdue.
    ///
    /// # Errors
    /// When it has no elements.
    pub fn end(self) -> Result<LoadedKey, LoadFault> {
        match self.building {
            None => Ok(LoadedKey::Overdue),
            // No piece has come: its count was zero.
            Some(Building::At(_)) => Ok(LoadedKey::Empty),
            Some(Building::Made(made)) => loaded(made.restore(&self.terms)),
        }
    }
}

/// A collection that is built beside what its key holds.
#[derive(Debug)]
enum Made<'g> {
    List(ListMut<'g>),
    Set(SetMut<'g>),
    Hash(HashMut<'g>),
    Zset(ZsetMut<'g>),
    Stream(StreamMut<'g>),
    Array(ArrayMut<'g>),
}

impl<'g> Made<'g> {
    /// Begins a collection of the kind that `value` is, which is none that strings are.
    fn begin(entry: Entry<'g>, value: &Value<'_, '_>) -> Self {
        match value {
            Value::List(_) => Self::List(entry.build_list()),
            Value::Set(_) => Self::Set(entry.build_set()),
            Value::Hash(_) => Self::Hash(entry.build_hash()),
            Value::SortedSet(_) => Self::Zset(entry.build_zset()),
            Value::Stream(_) => Self::Stream(entry.build_stream()),
            Value::Array(_) => Self::Array(entry.build_array()),
            Value::String(_) | Value::Bitmap(_) => unreachable!("a string is stored at once"),
        }
    }

    /// Adds what `value` holds, which is of the same kind.
    fn add(&mut self, value: Value<'_, '_>) -> Result<(), LoadFault> {
        match (self, value) {
            (Self::List(made), Value::List(parts)) => fill::list(made, parts),
            (Self::Set(made), Value::Set(set)) => fill::set(made, set),
            (Self::Hash(made), Value::Hash(hash)) => fill::hash(made, hash),
            (Self::Zset(made), Value::SortedSet(set)) => fill::zset(made, set),
            (Self::Stream(made), Value::Stream(parts)) => fill::stream(made, parts),
            (Self::Array(made), Value::Array(parts)) => fill::array(made, parts),
            // Pieces of one value are of one kind; the type in its header says which.
            _ => Err(LoadFault::Malformed),
        }
    }

    /// An error if there are no elements, which only streams may do without.
    fn ensure_some(&self) -> Result<(), LoadFault> {
        let is_empty = match self {
            Self::List(made) => made.is_empty(),
            Self::Set(made) => made.view().is_empty(),
            Self::Hash(made) => made.view().is_empty(),
            Self::Zset(made) => made.view().is_empty(),
            Self::Stream(_) => false,
            Self::Array(made) => made.view().is_empty(),
        };
        if is_empty {
            return Err(Corrupt::Empty.into());
        }
        Ok(())
    }

    /// Puts the collection in place of what its key holds.
    fn restore(self, terms: &Terms<'_>) -> Result<(), LoadFault> {
        self.ensure_some()?;
        match self {
            Self::List(made) => made.restore(terms),
            Self::Set(made) => made.restore(terms),
            Self::Hash(made) => made.restore(terms),
            Self::Zset(made) => made.restore(terms),
            Self::Stream(made) => made.restore(terms),
            Self::Array(made) => made.restore(terms),
        }
        Ok(())
    }
}

/// The outcome for a key that was to be stored.
fn loaded(stored: Result<(), LoadFault>) -> Result<LoadedKey, LoadFault> {
    match stored {
        Ok(()) => Ok(LoadedKey::Stored),
        // Redis passes them over as well.
        Err(LoadFault::Corrupt(Corrupt::Empty)) => Ok(LoadedKey::Empty),
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
pub(crate) mod tests;
