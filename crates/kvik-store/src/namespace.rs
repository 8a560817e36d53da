//! Namespaces: keys whose names begin alike, as a keyspace of their own within their database.
//!
//! With namespaces a key `ns/rest` belongs to the namespace `ns`: what comes before the first `/`.
//! A key without one belongs to `default`, and `default/x` is another spelling of `x`. Keys keep
//! their full names in the store, so that effects, files, watches and replies need not know of
//! namespaces, and the name that a client gave is the name it is shown. That costs the length of
//! the namespace for each key, which the accounting that users know counts anyway.
//!
//! In each stripe a namespace with keys there has a table of its own. Emptying, scanning and
//! counting one therefore does not touch another. A [`Namespace`] is what all stripes share of it:
//! its number, which is that of its tables, and its totals, which every stripe brings up to date at
//! the end of each change. [`Namespaces`] finds it by name. A number is given to another namespace
//! only when no stripe has a table of it any more.
//!
//! Costs: a key with a `/` is looked up by one more hash of a short name; a namespace takes about
//! 400 bytes in each stripe where it has keys, and nothing once it is empty.
//!
//! The file is long because names, numbers and counts of a namespace have one life: each step from
//! its first key to the return of its number concerns all three.

mod policy;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

pub use self::policy::NamespacePolicy;
use self::policy::PolicyBook;

/// The namespace of keys without a `/`.
pub const DEFAULT_NAMESPACE: &[u8] = b"default";

/// Between the name of a namespace and the rest of a key's name.
const SEPARATOR: u8 = b'/';

/// Addresses a keyspace: a numbered database. The first ids are the databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceId(pub u32);

/// The number of a keyspace in each stripe. The first are those of the databases; those of
/// namespaces follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub(crate) u32);

impl TableId {
    /// A namespace that has no table in the stripe.
    pub(crate) const NONE: Self = Self(u32::MAX);

    #[inline]
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl From<KeyspaceId> for TableId {
    #[inline]
    fn from(database: KeyspaceId) -> Self {
        Self(database.0)
    }
}

/// The name under which a key is stored: `default/x` is `x`. Not where the rest has a `/` itself,
/// since `default/a/b` is another key than `a/b`.
#[inline]
pub fn canonical(key: &[u8]) -> &[u8] {
    match key.strip_prefix(b"default/") {
        Some(rest) if !rest.contains(&SEPARATOR) => rest,
        _ => key,
    }
}

/// The namespace that the name of a key names, or none for `default`.
#[inline]
pub fn named_in(key: &[u8]) -> Option<&[u8]> {
    let end = key.iter().position(|&byte| byte == SEPARATOR)?;
    let name = &key[..end];
    (name != DEFAULT_NAMESPACE).then_some(name)
}

/// The namespace of a key.
#[inline]
pub fn namespace_name(key: &[u8]) -> &[u8] {
    named_in(canonical(key)).unwrap_or(DEFAULT_NAMESPACE)
}

/// Bytes of a key's name as [`Namespace::payload`] counts them: its namespace and what comes behind
/// the `/`. `key` is the name under which it is stored.
#[inline]
pub fn name_payload(key: &[u8]) -> usize {
    match key.contains(&SEPARATOR) {
        true => key.len() - 1,
        false => key.len() + DEFAULT_NAMESPACE.len(),
    }
}

/// The name of a key in a namespace: `rest` as seen from inside.
pub fn full_name(namespace: &[u8], rest: &[u8]) -> Vec<u8> {
    let whole = [namespace, b"/", rest].concat();
    match canonical(&whole).len() {
        len if len < whole.len() => rest.to_vec(),
        _ => whole,
    }
}

/// The name of a key as seen from inside its namespace.
pub fn rest_of<'k>(namespace: &[u8], key: &'k [u8]) -> &'k [u8] {
    let rest = key.strip_prefix(namespace);
    let rest = rest.and_then(|rest| rest.strip_prefix(b"/"));
    rest.unwrap_or(key)
}

/// A namespace of a database, as its stripes share it.
#[derive(Debug)]
pub struct Namespace {
    database: KeyspaceId,
    name: Arc<[u8]>,
    table: TableId,
    keys: AtomicU64,
    volatile: AtomicU64,
    bytes: AtomicU64,
    payload: AtomicU64,
    policy: AtomicU8,
    counts: Arc<NamespaceCounts>,
    /// Keys and bytes that commands which run now may add.
    reserved_keys: AtomicU64,
    reserved_bytes: AtomicU64,
    /// A second, and the commands counted in it.
    operations: AtomicU64,
    /// It is among those that may have become empty.
    noted: AtomicBool,
}

/// Keys of a namespace that were deleted by themselves, since the store was opened. They are kept
/// when the namespace is forgotten.
#[derive(Debug, Default)]
pub(crate) struct NamespaceCounts {
    evicted: AtomicU64,
    swept: AtomicU64,
}

/// The figures of a namespace that has, or had, keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceSizes {
    /// The database it belongs to.
    pub database: u32,
    /// Its name.
    pub name: Vec<u8>,
    /// [`Namespace::keys`].
    pub keys: u64,
    /// [`Namespace::bytes`].
    pub bytes: u64,
    /// [`Namespace::payload`].
    pub payload: u64,
    /// Keys deleted to make room.
    pub evicted: u64,
    /// Keys deleted because they had been read.
    pub swept: u64,
}

impl Namespace {
    /// The database it belongs to.
    pub fn database(&self) -> KeyspaceId {
        self.database
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Number of its keys, those included whose time has come but that nobody met yet.
    pub fn keys(&self) -> u64 {
        self.keys.load(Ordering::Relaxed)
    }

    /// Number of its keys that expire.
    pub fn volatile(&self) -> u64 {
        self.volatile.load(Ordering::Relaxed)
    }

    /// Bytes that its entries and tables occupy.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of the names and values of its keys, without anything that the store adds: for each
    /// key its namespace, the rest of its name, and the bytes of all strings that its value
    /// consists of, with 8 for a score. A stream counts the bytes in which it is kept.
    pub fn payload(&self) -> u64 {
        self.payload.load(Ordering::Relaxed)
    }

    /// Its policy for making room.
    pub fn policy(&self) -> NamespacePolicy {
        NamespacePolicy::of_number(self.policy.load(Ordering::Relaxed))
    }

    /// Keys deleted to make room.
    pub fn evicted(&self) -> u64 {
        self.counts.evicted.load(Ordering::Relaxed)
    }

    pub(crate) fn count_evicted(&self) {
        self.counts.evicted.fetch_add(1, Ordering::Relaxed);
    }

    /// Keys deleted because they had been read.
    pub fn swept(&self) -> u64 {
        self.counts.swept.load(Ordering::Relaxed)
    }

    pub(crate) fn count_swept(&self) {
        self.counts.swept.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes that it has and that commands which run now may add.
    pub fn bytes_promised(&self) -> u64 {
        self.bytes() + self.reserved_bytes.load(Ordering::Acquire)
    }

    fn sizes(&self) -> NamespaceSizes {
        NamespaceSizes {
            database: self.database.0,
            name: self.name.to_vec(),
            keys: self.keys(),
            bytes: self.bytes(),
            payload: self.payload(),
            evicted: self.evicted(),
            swept: self.swept(),
        }
    }

    /// Reserves keys and bytes for a command, and returns how many there are then with all that is
    /// reserved. [`Self::release`] has to follow, when the command has run.
    pub fn reserve(&self, keys: u64, bytes: u64) -> (u64, u64) {
        let keys = keys + self.reserved_keys.fetch_add(keys, Ordering::AcqRel);
        let bytes = bytes + self.reserved_bytes.fetch_add(bytes, Ordering::AcqRel);
        (keys + self.keys(), bytes + self.bytes())
    }

    /// Ends a reservation.
    pub fn release(&self, keys: u64, bytes: u64) {
        self.reserved_keys.fetch_sub(keys, Ordering::AcqRel);
        self.reserved_bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Counts a command in this second, unless `max` are counted already; says whether it did.
    pub fn count_operation(&self, second: u64, max: u64) -> bool {
        let second = second << 32;
        let count = |seen: u64| match seen & !u64::from(u32::MAX) == second {
            true if seen - second >= max.min(u64::from(u32::MAX)) => None,
            true => Some(seen + 1),
            false => Some(second + 1),
        };
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.operations.fetch_update(set, get, count).is_ok()
    }

    pub(crate) fn shared_name(&self) -> Arc<[u8]> {
        Arc::clone(&self.name)
    }

    /// The number of its tables.
    pub fn table(&self) -> TableId {
        self.table
    }
}

/// A stripe's share of a namespace, as it was added to the totals last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) keys: u64,
    pub(crate) volatile: u64,
    pub(crate) bytes: u64,
    pub(crate) payload: u64,
}

impl Share {
    /// Goes from `self` to `new`, which is in wrapping arithmetic a single addition.
    pub(crate) fn add_change(self, new: Self, sum: &mut Self) {
        let add = |sum: &mut u64, old: u64, new: u64| {
            *sum = sum.wrapping_add(new.wrapping_sub(old));
        };
        add(&mut sum.keys, self.keys, new.keys);
        add(&mut sum.volatile, self.volatile, new.volatile);
        add(&mut sum.bytes, self.bytes, new.bytes);
        add(&mut sum.payload, self.payload, new.payload);
    }

    /// The same with the totals that all stripes share. Returns whether the namespace has no key
    /// left.
    pub(crate) fn tell_change(self, new: Self, namespace: &Namespace, all: &Namespaces) -> bool {
        let add = |sum: &AtomicU64, old: u64, new: u64| {
            let change = new.wrapping_sub(old);
            if change == 0 {
                return 1;
            }
            let before = sum.fetch_add(change, Ordering::Relaxed);
            before.wrapping_add(change)
        };
        add(&namespace.volatile, self.volatile, new.volatile);
        add(&namespace.bytes, self.bytes, new.bytes);
        add(&namespace.payload, self.payload, new.payload);
        add(&all.payload, self.payload, new.payload);
        add(&namespace.keys, self.keys, new.keys) == 0
    }
}

/// Namespaces of one database by name.
pub(crate) type NamespaceMap = HashMap<Arc<[u8]>, Arc<Namespace>, foldhash::fast::RandomState>;

/// There are as many namespaces as the setting allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyNamespaces;

/// All namespaces of a store.
#[derive(Debug)]
pub struct Namespaces {
    /// The first number of a table that is no database's.
    first: u32,
    /// One more than the highest number in use.
    bound: AtomicU32,
    known: RwLock<Known>,
    /// Those that may have become empty.
    idle: Mutex<Vec<Arc<Namespace>>>,
    policies: PolicyBook,
    /// The payload of all of them, and what commands which run now may add.
    payload: AtomicU64,
    reserved_payload: AtomicU64,
}

/// Namespaces without keys whose figures are remembered.
const FORMER_MAX: usize = 65_536;

#[derive(Debug, Default)]
struct Known {
    databases: HashMap<KeyspaceId, NamespaceMap, foldhash::fast::RandomState>,
    /// The counts of namespaces that have no keys any more.
    former: HashMap<(KeyspaceId, Arc<[u8]>), Arc<NamespaceCounts>, foldhash::fast::RandomState>,
    /// Numbers that are free again, all below `next`. The lowest is used first, so that a scan has
    /// few tables to look for.
    free: BTreeSet<u32>,
    /// One more than the highest number in use.
    next: u32,
    /// Those with a number of their own: all but `default`.
    named: u64,
}

impl Namespaces {
    /// None yet. Numbers below `databases` belong to databases.
    pub fn new(databases: u32) -> Self {
        Self {
            first: databases,
            bound: AtomicU32::new(databases),
            known: RwLock::new(Known {
                next: databases,
                ..Known::default()
            }),
            idle: Mutex::default(),
            policies: PolicyBook::default(),
            payload: AtomicU64::new(0),
            reserved_payload: AtomicU64::new(0),
        }
    }

    /// The sum of [`Namespace::payload`], and what commands which run now may add to it.
    pub fn payload_promised(&self) -> u64 {
        let payload = self.payload.load(Ordering::Relaxed);
        payload.saturating_add(self.reserved_payload.load(Ordering::Acquire))
    }

    /// Reserves payload for a command. [`Self::release_payload`] has to follow, when the command
    /// has run.
    pub fn reserve_payload(&self, bytes: u64) {
        self.reserved_payload.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Ends a reservation, or a part of one.
    pub fn release_payload(&self, bytes: u64) {
        self.reserved_payload.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Sets what goes where room is to be made: in the namespaces of these names, and in all
    /// others.
    pub fn set_policies(&self, named: HashMap<Vec<u8>, NamespacePolicy>, others: NamespacePolicy) {
        // Who makes a namespace looks at the book with this lock.
        let known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.policies.replace(named, others);
        for namespace in known.databases.values().flat_map(NamespaceMap::values) {
            let policy = self.policies.of(&namespace.name);
            namespace.policy.store(policy as u8, Ordering::Relaxed);
        }
    }

    /// The policy by which a namespace makes room, whether or not it has keys.
    pub fn policy_of(&self, name: &[u8]) -> NamespacePolicy {
        self.policies.of(name)
    }

    /// Whether reads of keys have to be counted or noted anywhere.
    #[inline]
    pub fn notes_reads(&self) -> bool {
        self.policies.notes_reads()
    }

    /// Whether keys were ever to be deleted because they had been read.
    pub fn sweeps(&self) -> bool {
        self.policies.sweeps()
    }

    /// The figures of all namespaces that have keys or had some, by database and name.
    pub fn sizes(&self) -> Vec<NamespaceSizes> {
        let known = self.read();
        let maps = known.databases.values();
        let mut all: Vec<_> = maps
            .flat_map(NamespaceMap::values)
            .map(|it| it.sizes())
            .collect();
        let former = known.former.iter().filter(|((database, name), _)| {
            let there = known.databases.get(database);
            there.is_none_or(|there| !there.contains_key(name))
        });
        all.extend(former.map(|((database, name), counts)| NamespaceSizes {
            database: database.0,
            name: name.to_vec(),
            evicted: counts.evicted.load(Ordering::Relaxed),
            swept: counts.swept.load(Ordering::Relaxed),
            ..NamespaceSizes::default()
        }));
        drop(known);
        all.sort_by(|a, b| (a.database, &a.name).cmp(&(b.database, &b.name)));
        all
    }

    /// Number of namespaces beside `default`, those without keys that are not dropped yet included.
    pub fn count(&self) -> u64 {
        self.read().named
    }

    /// A namespace that exists.
    pub fn find(&self, database: KeyspaceId, name: &[u8]) -> Option<Arc<Namespace>> {
        let known = self.read();
        let found = known.databases.get(&database)?.get(name)?;
        Some(Arc::clone(found))
    }

    /// The namespace with this name, made if there is none and there are less than `max` beside
    /// `default`.
    ///
    /// # Errors
    /// If there are as many.
    pub fn admit(
        &self,
        database: KeyspaceId,
        name: &[u8],
        max: u64,
    ) -> Result<Arc<Namespace>, TooManyNamespaces> {
        if let Some(found) = self.find(database, name) {
            return Ok(found);
        }
        let made = self.make(database, name, max).ok_or(TooManyNamespaces)?;
        // Should it stay empty it is to go again.
        self.note_idle(&made);
        Ok(made)
    }

    /// The namespace with this name, made if there is none, whatever the setting allows.
    pub(crate) fn reach(&self, database: KeyspaceId, name: &[u8]) -> Arc<Namespace> {
        let found = self.find(database, name);
        let made = || self.make(database, name, u64::MAX);
        found
            .or_else(made)
            .expect("without a limit one can be made")
    }

    /// The namespace of the keys of a database that name none.
    pub(crate) fn reach_default(&self, table: TableId) -> Arc<Namespace> {
        self.reach(KeyspaceId(table.0), DEFAULT_NAMESPACE)
    }

    /// All namespaces of a database that have keys, by name.
    pub fn all(&self, database: KeyspaceId) -> Vec<Arc<Namespace>> {
        let known = self.read();
        let map = known.databases.get(&database);
        let there = map.into_iter().flat_map(NamespaceMap::values);
        let mut all: Vec<_> = there.filter(|it| it.keys() > 0).cloned().collect();
        drop(known);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Forgets namespaces without keys and tables. Looks only at those that may have
    /// become so since the last call.
    pub fn drop_idle(&self) {
        let idle = std::mem::take(&mut *self.idle());
        if idle.is_empty() {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut left = Vec::new();
        for namespace in idle {
            namespace.noted.store(false, Ordering::Relaxed);
            if namespace.keys() > 0 {
                continue;
            }
            // One reference is in the map and one here: nobody else can make use of it, and who
            // looks it up needs the lock.
            if Arc::strong_count(&namespace) > 2 {
                left.push(namespace);
                continue;
            }
            known.forget(&namespace, self.first);
        }
        self.bound.store(known.next, Ordering::Relaxed);
        drop(known);
        left.iter().for_each(|namespace| self.note_idle(namespace));
    }

    /// Notes that a namespace may have no keys.
    pub(crate) fn note_idle(&self, namespace: &Arc<Namespace>) {
        let is_named = namespace.table.0 >= self.first;
        if is_named && !namespace.noted.swap(true, Ordering::Relaxed) {
            self.idle().push(Arc::clone(namespace));
        }
    }

    /// The number of the first table that is no database's.
    pub(crate) fn first_table(&self) -> u32 {
        self.first
    }

    /// One more than the highest number of any table.
    pub(crate) fn table_bound(&self) -> u32 {
        self.bound.load(Ordering::Relaxed)
    }

    #[cold]
    fn make(&self, database: KeyspaceId, name: &[u8], max: u64) -> Option<Arc<Namespace>> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(map) = known.databases.get(&database)
            && let Some(found) = map.get(name)
        {
            return Some(Arc::clone(found));
        }
        let table = if name == DEFAULT_NAMESPACE {
            database.into()
        } else {
            TableId(known.number(max)?)
        };
        self.bound.store(known.next, Ordering::Relaxed);
        let name: Arc<[u8]> = name.into();
        let counts = known.former.remove(&(database, Arc::clone(&name)));
        let made = Arc::new(Namespace {
            database,
            policy: AtomicU8::new(self.policies.of(&name) as u8),
            counts: counts.unwrap_or_default(),
            name,
            table,
            keys: AtomicU64::new(0),
            volatile: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            payload: AtomicU64::new(0),
            reserved_keys: AtomicU64::new(0),
            reserved_bytes: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            noted: AtomicBool::new(false),
        });
        let map = known.databases.entry(database).or_default();
        map.insert(made.shared_name(), Arc::clone(&made));
        Some(made)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Arc<Namespace>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn number(&mut self, max: u64) -> Option<u32> {
        if self.named >= max {
            return None;
        }
        self.named += 1;
        Some(self.free.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        }))
    }

    fn forget(&mut self, namespace: &Arc<Namespace>, first: u32) {
        let Some(map) = self.databases.get_mut(&namespace.database) else {
            return;
        };
        let is_it = |found: &Arc<Namespace>| Arc::ptr_eq(found, namespace);
        if namespace.table.0 >= first && map.get(namespace.name()).is_some_and(is_it) {
            map.remove(namespace.name());
            self.free.insert(namespace.table.0);
            while self.free.last() == Some(&(self.next - 1)) {
                self.free.pop_last();
                self.next -= 1;
            }
            self.named -= 1;
            if self.former.len() < FORMER_MAX {
                let place = (namespace.database, namespace.shared_name());
                self.former.insert(place, Arc::clone(&namespace.counts));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_separator_ends_the_namespace() {
        let named = [
            b"a/b/c".as_slice(),
            b"/k",
            b"k/",
            b"x",
            b"default/x",
            b"default/a/b",
        ];
        let expected = [
            Some(b"a".as_slice()),
            Some(b""),
            Some(b"k"),
            None,
            None,
            None,
        ];
        assert_eq!(named.map(named_in), expected);
        assert_eq!(canonical(b"default/x"), b"x");
        assert_eq!(canonical(b"default/"), b"");
        assert_eq!(canonical(b"default/a/b"), b"default/a/b");
        assert_eq!(canonical(b"defaults/x"), b"defaults/x");
    }

    #[test]
    fn a_name_is_the_same_from_inside_and_outside() {
        for (namespace, rest, whole) in [
            (b"a".as_slice(), b"b/c".as_slice(), b"a/b/c".as_slice()),
            (b"default", b"x", b"x"),
            (b"default", b"a/b", b"default/a/b"),
            (b"", b"x", b"/x"),
        ] {
            assert_eq!(full_name(namespace, rest), whole);
            assert_eq!(rest_of(namespace, whole), rest);
        }
    }

    #[test]
    fn numbers_of_forgotten_namespaces_are_used_again() {
        let (all, database) = (Namespaces::new(16), KeyspaceId(0));
        let first = all.admit(database, b"a", 1).expect("there is room for one");
        assert_eq!(all.admit(database, b"b", 1).unwrap_err(), TooManyNamespaces);
        assert!(all.admit(database, b"default", 1).is_ok());
        // Somebody holds it.
        all.drop_idle();
        assert_eq!(all.count(), 1);
        let table = first.table();
        drop(first);
        all.drop_idle();
        assert_eq!(all.count(), 0);
        assert_eq!(all.admit(database, b"b", 1).expect("room").table(), table);
    }

    #[test]
    fn the_lowest_number_is_used_first_and_the_highest_bounds_the_tables() {
        let (all, database) = (Namespaces::new(16), KeyspaceId(0));
        let make = |name: &[u8]| all.admit(database, name, 9).expect("there is room");
        let (first, second, third) = (make(b"a"), make(b"b"), make(b"c"));
        assert_eq!(all.table_bound(), 19);
        let tables = [first.table(), second.table()];
        drop((first, second));
        all.drop_idle();
        assert_eq!(all.table_bound(), 19);
        let again = [make(b"d"), make(b"e")].map(|it| it.table());
        assert_eq!(again, tables);
        drop(third);
        all.drop_idle();
        assert_eq!(all.table_bound(), 16);
    }
}
