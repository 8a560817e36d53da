//! Quotas of namespaces, and who works inside one.
//!
//! A namespace that has an entry here stays when it is empty, whatever limits the entry names: so
//! NAMESPACE CREATE makes an entry without any. The entries are the value of the directive
//! `namespace-quotas`, in this form: `web:keys=1000,bytes=1048576 jobs:ops=500 idle:`. Bytes of a
//! name that could be taken for something else are written `%2C`. A quota holds in each database
//! by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    seats: Arc<Seats>,
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
        let limits: Vec<_> = limits
            .map(|(name, limit)| format!("{name}={limit}"))
            .collect();
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
        for broken in ["web", "web:keys", "web:keys=x", "web:rows=1", "%4:", "%zz:"] {
            assert!(read_quotas(broken).is_err(), "{broken}");
        }
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
