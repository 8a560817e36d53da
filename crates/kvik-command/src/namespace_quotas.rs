//! Quotas and policies of namespaces, and who works inside one.
//!
//! A namespace that has an entry here stays when it is empty, whatever limits the entry names: so
//! NAMESPACE CREATE makes an entry without any. The entries are the value of the directive
//! `namespace-quotas`, in this form: `web:keys=1000,policy=lfu jobs:ops=500 idle:`. Bytes of a name
//! that could be taken for something else are written `%2C`. A quota holds in each database by
//! itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use kvik_store::{NamespacePolicy, Namespaces};
use parking_lot::{Mutex, RwLock};

/// The limits of a namespace; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of keys, values and tables.
    pub bytes: u64,
    /// Keys.
    pub keys: u64,
    /// Commands in a second.
    pub ops: u64,
    /// Clients that chose it with NAMESPACE USE.
    pub clients: u64,
    /// Its own policy for making room, if it has one.
    pub policy: Option<NamespacePolicy>,
}

/// The names of policies, the usual one of each first. The kvns server calls the order by hits
/// `lru` and `mru` up to its version 0.7, `lfu` and `mfu` since.
const POLICIES: [(NamespacePolicy, &str); 9] = [
    (NamespacePolicy::Inherited, "inherit"),
    (NamespacePolicy::Nothing, "none"),
    (NamespacePolicy::FewestHits, "lfu"),
    (NamespacePolicy::FewestHits, "lru"),
    (NamespacePolicy::MostHits, "mfu"),
    (NamespacePolicy::MostHits, "mru"),
    (NamespacePolicy::AfterRead, "ear"),
    (NamespacePolicy::AfterRead, "expire_after_read"),
    (NamespacePolicy::AfterRead, "expireafterread"),
];

/// The policy of this name, in any case.
pub fn policy_named(name: &[u8]) -> Option<NamespacePolicy> {
    let is_it = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
    let found = POLICIES.iter().find(|(_, known)| is_it(known));
    found.map(|&(policy, _)| policy)
}

/// The name of a policy.
pub fn policy_name(policy: NamespacePolicy) -> &'static str {
    let found = POLICIES.iter().find(|(known, _)| *known == policy);
    found.map_or("inherit", |&(_, name)| name)
}

/// The names of the limits, with their places.
const LIMITS: [&str; 4] = ["bytes", "keys", "ops", "clients"];

impl Quota {
    /// The limits with their names.
    pub fn limits(&self) -> [(&'static str, u64); 4] {
        let values = [self.bytes, self.keys, self.ops, self.clients];
        std::array::from_fn(|at| (LIMITS[at], values[at]))
    }

    /// The limit with this name, in any case.
    pub fn limit_mut(&mut self, name: &[u8]) -> Option<&mut u64> {
        let is_it = |limit: &&str| limit.as_bytes().eq_ignore_ascii_case(name);
        match LIMITS.iter().position(is_it)? {
            0 => Some(&mut self.bytes),
            1 => Some(&mut self.keys),
            2 => Some(&mut self.ops),
            _ => Some(&mut self.clients),
        }
    }
}

/// Quotas by the name of their namespace.
pub type QuotaMap = BTreeMap<Vec<u8>, Quota>;

/// All quotas, and the clients of each namespace.
#[derive(Debug, Default)]
pub struct NamespaceQuotas {
    is_any: AtomicBool,
    quotas: RwLock<QuotaMap>,
    /// The policy of namespaces without one of their own.
    others: Mutex<NamespacePolicy>,
    /// Room may have to be made for a quota.
    evicts: AtomicBool,
    seats: Arc<Seats>,
    /// Where policies act.
    governed: OnceLock<Arc<Namespaces>>,
}

/// Clients that chose a namespace.
#[derive(Debug, Default)]
struct Seats(Mutex<HashMap<Arc<[u8]>, u64>>);

/// A client's place in the namespace that it chose; it is free again when this is dropped.
#[derive(Debug)]
pub struct NamespaceSeat {
    name: Arc<[u8]>,
    seats: Arc<Seats>,
}

impl NamespaceSeat {
    /// The name of the namespace.
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

impl Drop for NamespaceSeat {
    fn drop(&mut self) {
        let mut seats = self.seats.0.lock();
        if let Some(taken) = seats.get_mut(&self.name) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.name);
            }
        }
    }
}

impl NamespaceQuotas {
    /// Whether there are any. One load.
    #[inline]
    pub fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Relaxed)
    }

    /// The quota of a namespace, if it has an entry.
    pub fn get(&self, name: &[u8]) -> Option<Quota> {
        self.quotas.read().get(name).copied()
    }

    /// All entries.
    pub fn all(&self) -> QuotaMap {
        self.quotas.read().clone()
    }

    /// Replaces all entries.
    pub fn replace(&self, quotas: QuotaMap) {
        self.is_any.store(!quotas.is_empty(), Ordering::Relaxed);
        *self.quotas.write() = quotas;
        self.govern_now();
    }

    /// Sets the policy of namespaces that have none of their own.
    pub fn set_policy_of_others(&self, policy: NamespacePolicy) {
        *self.others.lock() = policy;
        self.govern_now();
    }

    /// Has the policies act in these namespaces, now and whenever they change. Only the first call
    /// does.
    pub fn govern(&self, namespaces: Arc<Namespaces>) {
        // A store has one set of namespaces.
        let _ = self.governed.set(namespaces);
        self.govern_now();
    }

    /// Whether the quota of any namespace is kept by deleting keys of it.
    pub fn evicts(&self) -> bool {
        self.evicts.load(Ordering::Relaxed)
    }

    fn govern_now(&self) {
        let (quotas, others) = (self.quotas.read(), *self.others.lock());
        let refuses = |policy| {
            matches!(
                policy,
                NamespacePolicy::Nothing | NamespacePolicy::AfterRead
            )
        };
        let evicts = quotas.values().any(|it| {
            let policy = it.policy.unwrap_or(others);
            it.bytes > 0 && !refuses(policy)
        });
        let named = quotas.iter();
        let named = named.filter_map(|(name, quota)| Some((name.clone(), quota.policy?)));
        let named = named.collect();
        drop(quotas);
        self.evicts
            .store(evicts && self.governed.get().is_some(), Ordering::Relaxed);
        if let Some(namespaces) = self.governed.get() {
            namespaces.set_policies(named, others);
        }
    }

    /// Number of clients that chose a namespace.
    pub fn clients(&self, name: &[u8]) -> u64 {
        self.seats.0.lock().get(name).copied().unwrap_or(0)
    }

    /// A place in a namespace, unless its quota of clients is used up.
    pub fn take_seat(&self, name: &[u8]) -> Option<NamespaceSeat> {
        let max = self.get(name).map_or(0, |quota| quota.clients);
        let mut seats = self.seats.0.lock();
        let taken = seats.get(name).copied().unwrap_or(0);
        if max > 0 && taken >= max {
            return None;
        }
        let name: Arc<[u8]> = name.into();
        seats.insert(Arc::clone(&name), taken + 1);
        Some(NamespaceSeat {
            name,
            seats: Arc::clone(&self.seats),
        })
    }
}

/// The entries as the directive writes them.
pub fn write_quotas(quotas: &QuotaMap) -> String {
    let entry = |(name, quota): (&Vec<u8>, &Quota)| {
        let limits = quota.limits();
        let limits = limits.iter().filter(|(_, limit)| *limit > 0);
        let limits = limits.map(|(name, limit)| format!("{name}={limit}"));
        let policy = quota.policy.map(policy_name);
        let policy = policy.map(|policy| format!("policy={policy}"));
        let limits: Vec<_> = limits.chain(policy).collect();
        format!("{}:{}", escape(name), limits.join(","))
    };
    quotas.iter().map(entry).collect::<Vec<_>>().join(" ")
}

/// Reads what [`write_quotas`] has written.
///
/// # Errors
/// The entry that cannot be read.
pub fn read_quotas(text: &str) -> Result<QuotaMap, String> {
    let entries = text.split_whitespace().map(|entry| {
        let read = read_entry(entry);
        read.ok_or_else(|| format!("'{entry}' is not name:limit=number,..."))
    });
    entries.collect()
}

fn read_entry(entry: &str) -> Option<(Vec<u8>, Quota)> {
    let (name, limits) = entry.split_once(':')?;
    let mut quota = Quota::default();
    for limit in limits.split(',').filter(|limit| !limit.is_empty()) {
        let (name, number) = limit.split_once('=')?;
        if name.eq_ignore_ascii_case("policy") {
            quota.policy = Some(policy_named(number.as_bytes())?);
            continue;
        }
        *quota.limit_mut(name.as_bytes())? = number.parse().ok()?;
    }
    Some((unescape(name)?, quota))
}

fn escape(name: &[u8]) -> String {
    let byte = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(*byte).into(),
        _ => format!("%{byte:02X}"),
    };
    name.iter().map(byte).collect()
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut name = parts.next()?.as_bytes().to_vec();
    for part in parts {
        name.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        name.extend_from_slice(part.get(2..)?.as_bytes());
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read_as_written() {
        let mut quotas = QuotaMap::new();
        quotas.insert(
            b"web".to_vec(),
            Quota {
                keys: 10,
                ops: 5,
                policy: Some(NamespacePolicy::MostHits),
                ..Quota::default()
            },
        );
        quotas.insert(b"a b:%\xff".to_vec(), Quota::default());
        quotas.insert(
            Vec::new(),
            Quota {
                bytes: u64::MAX,
                clients: 1,
                ..Quota::default()
            },
        );
        assert_eq!(read_quotas(&write_quotas(&quotas)), Ok(quotas));
        for broken in [
            "web:policy=",
            "web:policy=most",
            "web",
            "web:keys",
            "web:keys=x",
            "web:rows=1",
            "%4:",
            "%zz:",
        ] {
            assert!(read_quotas(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn policies_have_the_names_of_both_eras() {
        for (policy, name) in POLICIES {
            assert_eq!(policy_named(name.to_uppercase().as_bytes()), Some(policy));
            assert_eq!(policy_named(policy_name(policy).as_bytes()), Some(policy));
        }
        assert_eq!(policy_named(b"fifo"), None);
    }

    #[test]
    fn seats_are_bounded_and_given_back() {
        let quotas = NamespaceQuotas::default();
        quotas.replace(read_quotas("a:clients=1").expect("it is well formed"));
        let seat = quotas.take_seat(b"a").expect("one is free");
        assert!(quotas.take_seat(b"a").is_none() && quotas.take_seat(b"b").is_some());
        drop(seat);
        assert!(quotas.take_seat(b"a").is_some());
        assert_eq!(quotas.clients(b"a"), 0);
    }
}
