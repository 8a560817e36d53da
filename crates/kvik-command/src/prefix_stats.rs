//! Hits, misses, expiries and evictions by prefix, for the prefixes that `stats-prefixes` names.
//!
//! A key counts for the longest prefix that it begins with. Nothing is counted, and nothing looked
//! at, while no prefix is configured. Of a command that reads several keys all hits and misses
//! count for the first one's prefix.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use kvik_store::{EventClasses, KeyEvent};
use parking_lot::RwLock;

/// The counters of the configured prefixes.
#[derive(Debug, Default)]
pub struct PrefixStats {
    any: AtomicBool,
    prefixes: RwLock<Vec<Arc<PrefixCounters>>>,
}

/// The counters of one prefix.
#[derive(Debug, Default)]
pub struct PrefixCounters {
    /// The prefix.
    pub prefix: Vec<u8>,
    /// Reads that found their key.
    pub hits: AtomicU64,
    /// Reads that did not.
    pub misses: AtomicU64,
    /// Keys deleted because their time had come.
    pub expired: AtomicU64,
    /// Keys deleted to make room.
    pub evicted: AtomicU64,
}

impl PrefixStats {
    /// Whether any prefix is configured.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.any.load(Relaxed)
    }

    /// Counts for these prefixes from now on. Those that stay keep their counts.
    pub fn configure(&self, prefixes: impl Iterator<Item = Vec<u8>>) {
        let mut counters = self.prefixes.write();
        let old = std::mem::take(&mut *counters);
        for prefix in prefixes {
            if counters.iter().all(|known| known.prefix != prefix) {
                let known = old.iter().find(|known| known.prefix == prefix);
                counters.push(known.cloned().unwrap_or_else(|| {
                    Arc::new(PrefixCounters {
                        prefix,
                        ..PrefixCounters::default()
                    })
                }));
            }
        }
        self.any.store(!counters.is_empty(), Relaxed);
    }

    /// The counters of the prefix that a key counts for.
    pub fn of_key(&self, key: &[u8]) -> Option<Arc<PrefixCounters>> {
        let counters = self.prefixes.read();
        let matching = counters.iter().filter(|it| key.starts_with(&it.prefix));
        matching.max_by_key(|it| it.prefix.len()).cloned()
    }

    /// Counts what happened to a key, if its time had come or it made room.
    pub fn hear(&self, event: &KeyEvent) {
        let class = event.event.class;
        if !self.is_wanted() || ![EventClasses::EXPIRED, EventClasses::EVICTED].contains(&class) {
            return;
        }
        let counters = self.of_key(&event.key);
        let counter = counters.as_ref().map(|it| match class {
            EventClasses::EXPIRED => &it.expired,
            _ => &it.evicted,
        });
        if let Some(counter) = counter {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// All counters, as configured.
    pub fn all(&self) -> Vec<Arc<PrefixCounters>> {
        self.prefixes.read().clone()
    }

    /// Counts from zero again.
    pub fn reset(&self) {
        for it in self.prefixes.read().iter() {
            for counter in [&it.hits, &it.misses, &it.expired, &it.evicted] {
                counter.store(0, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configure(stats: &PrefixStats, prefixes: &[&str]) {
        stats.configure(prefixes.iter().map(|it| it.as_bytes().to_vec()));
    }

    #[test]
    fn the_longest_prefix_counts_and_survives_a_change() {
        let stats = PrefixStats::default();
        assert!(!stats.is_wanted() && stats.of_key(b"user:1").is_none());
        configure(&stats, &["user:", "user:admin:", "user:"]);
        assert_eq!(stats.all().len(), 2);
        let counted = |key: &[u8]| stats.of_key(key).map(|it| it.prefix.clone());
        assert_eq!(
            counted(b"user:admin:1").as_deref(),
            Some(&b"user:admin:"[..])
        );
        assert_eq!(counted(b"user:7").as_deref(), Some(&b"user:"[..]));
        assert_eq!(counted(b"other"), None);
        stats.of_key(b"user:7").unwrap().hits.fetch_add(3, Relaxed);
        configure(&stats, &["session:", "user:"]);
        assert_eq!(stats.of_key(b"user:admin:1").unwrap().hits.load(Relaxed), 3);
        stats.reset();
        assert_eq!(stats.of_key(b"user:1").unwrap().hits.load(Relaxed), 0);
        configure(&stats, &[]);
        assert!(!stats.is_wanted());
    }
}
