//! The settings that commands and the store obey while running. The server's configuration table
//! writes them; an embedded store may, too. Each is an atomic, read without coordination at the
//! point of use.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use kvik_store::{AccessPolicy, EventClasses, Limits};
use parking_lot::RwLock;

use crate::eviction::EvictionPolicy;
use crate::namespace_quotas::NamespaceQuotas;
use crate::persistence::FileSettings;
use crate::prefix_stats::PrefixStats;

/// The settings that commands obey, each readable without a lock.
#[derive(Debug)]
pub struct Settings {
    /// Number of databases that SELECT accepts.
    pub databases: AtomicU64,
    /// Quotas of namespaces.
    pub namespace_quotas: NamespaceQuotas,
    /// Namespaces that clients may make beside `default`.
    pub max_namespaces: AtomicU64,
    /// Longest string, in bytes (`proto-max-bulk-len`).
    pub max_bulk_bytes: AtomicU64,
    /// Commands at least this slow go to the slow log, in microseconds; negative means none.
    pub slowlog_slower_than_us: AtomicI64,
    /// Whether the slow log tells the processor time of commands (`slowlog-cpu-time`).
    pub slowlog_cpu_time: AtomicBool,
    /// Entries that the slow log keeps.
    pub slowlog_max_len: AtomicU64,
    /// Commands whose words are at least so many bytes go to their log; negative means none.
    pub log_requests_from_bytes: AtomicI64,
    /// Entries that this log keeps.
    pub large_requests_max_len: AtomicU64,
    /// Commands whose reply is at least so many bytes go to their log; negative means none.
    pub log_replies_from_bytes: AtomicI64,
    /// Entries that this log keeps.
    pub large_replies_max_len: AtomicU64,
    /// Events at least this slow go to the latency monitor, in milliseconds; 0 means none.
    pub latency_threshold_ms: AtomicU64,
    /// Whether latency histograms per command are kept.
    pub latency_tracking: AtomicBool,
    /// Whether keys are deleted when their time comes, not only when they are met.
    pub active_expire: AtomicBool,
    /// Whether the data of another server is being imported, which decides what expires.
    pub import_mode: AtomicBool,
    /// Whether scripts may call commands that are not for scripts, for tests.
    pub scripts_call_all: AtomicBool,
    /// Whether checksums of snapshots and of RESTORE's payloads are believed, for tests that damage
    /// them (`DEBUG SET-SKIP-CHECKSUM-VALIDATION`).
    pub believes_checksums: AtomicBool,
    /// Whether clients are held against their limits only when they do something.
    pub patrol_paused: AtomicBool,
    /// Whether DEBUG may be used by clients on this machine, and by others.
    pub debug_for_local: AtomicBool,
    /// See [`Self::debug_for_local`].
    pub debug_for_remote: AtomicBool,
    /// Bytes that may be used (`maxmemory`); 0 is no limit. Whoever changes it tells the store.
    pub maxmemory: AtomicU64,
    /// Bytes of names and values that all namespaces may have together (`maxmemory-payload`); 0 is
    /// no limit. Whoever changes it tells the store.
    pub maxmemory_payload: AtomicU64,
    /// The part of both limits up to which eviction lets them be used, in millionths
    /// (`eviction-threshold`).
    pub eviction_threshold_ppm: AtomicU64,
    eviction_policy: AtomicU8,
    /// Keys compared per eviction (`maxmemory-samples`).
    pub eviction_samples: AtomicU64,
    /// How long a thread makes room before it serves others (`maxmemory-eviction-tenacity`).
    pub eviction_tenacity: AtomicU64,
    /// `lfu-log-factor`.
    pub lfu_log_factor: AtomicU64,
    /// `lfu-decay-time`, in minutes.
    pub lfu_decay_minutes: AtomicU64,
    /// Keys tracked for the caches of clients at most (`tracking-table-max-keys`); 0 for no limit.
    pub tracking_table_max_keys: AtomicU64,
    /// The events that somebody wants to hear of, as bits: see [`Self::wanted_events`].
    pub(crate) wanted_events: AtomicU32,
    /// The events and channels of `notify-keyspace-events`, as bits of [`EventClasses`].
    pub(crate) notified_events: AtomicU32,
    /// Whether strings are compressed where values are written down (`rdbcompression`).
    pub rdb_compression: AtomicBool,
    /// Counters by prefix (`stats-prefixes`).
    pub prefix_stats: PrefixStats,
    /// Up to which sizes collections are packed.
    pub limits: Limits,
    /// Bytes up to which a HyperLogLog is sparse (`hll-sparse-max-bytes`).
    pub hll_sparse_max_bytes: AtomicU64,
    /// After how long others learn that a script is running, in milliseconds; 0 for never
    /// (`busy-reply-threshold`).
    pub busy_reply_ms: AtomicU64,
    /// A script that has been running for that long keeps all commands out, and not only those that
    /// need its keys (`busy-reply-scope`).
    pub busy_reply_to_all: AtomicBool,
    /// A command that touches more elements than this does so in slices, on a thread of its own
    /// kind.
    pub long_elements: AtomicU64,
    /// For how many milliseconds a command may run in slices while it has changed nothing; 0 is no
    /// limit.
    pub time_limit_ms: AtomicU64,
    /// How long a long reply keeps its keys from those who want them because its client reads
    /// slowly, in milliseconds; the rest of the reply is then written to memory.
    pub slow_reader_ms: AtomicU64,
    /// The settings of saving and logging.
    pub files: FileSettings,
    /// The password of the default user (`requirepass`); none when empty.
    pub password: RwLock<Vec<u8>>,
    /// A command may not name keys of several slots at the port of a node (`cluster-strict`).
    pub cluster_strict: AtomicBool,
    /// The host of the nodes as clients are told it (`cluster-announce-ip`); empty for the one that
    /// they use.
    pub cluster_announce_ip: RwLock<String>,
    /// `availability-zone`: where the server runs; empty says nothing.
    pub availability_zone: RwLock<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            databases: AtomicU64::new(16),
            namespace_quotas: NamespaceQuotas::default(),
            max_namespaces: AtomicU64::new(65_536),
            max_bulk_bytes: AtomicU64::new(512 << 20),
            slowlog_slower_than_us: AtomicI64::new(10_000),
            slowlog_cpu_time: AtomicBool::new(false),
            slowlog_max_len: AtomicU64::new(128),
            log_requests_from_bytes: AtomicI64::new(1 << 20),
            large_requests_max_len: AtomicU64::new(128),
            log_replies_from_bytes: AtomicI64::new(1 << 20),
            large_replies_max_len: AtomicU64::new(128),
            latency_threshold_ms: AtomicU64::new(0),
            latency_tracking: AtomicBool::new(true),
            active_expire: AtomicBool::new(true),
            import_mode: AtomicBool::new(false),
            scripts_call_all: AtomicBool::new(false),
            believes_checksums: AtomicBool::new(false),
            patrol_paused: AtomicBool::new(false),
            debug_for_local: AtomicBool::new(true),
            debug_for_remote: AtomicBool::new(true),
            maxmemory: AtomicU64::new(0),
            maxmemory_payload: AtomicU64::new(0),
            eviction_threshold_ppm: AtomicU64::new(1_000_000),
            eviction_policy: AtomicU8::new(EvictionPolicy::NoEviction as u8),
            eviction_samples: AtomicU64::new(5),
            eviction_tenacity: AtomicU64::new(10),
            lfu_log_factor: AtomicU64::new(10),
            lfu_decay_minutes: AtomicU64::new(1),
            tracking_table_max_keys: AtomicU64::new(1_000_000),
            wanted_events: AtomicU32::new(0),
            notified_events: AtomicU32::new(0),
            rdb_compression: AtomicBool::new(true),
            prefix_stats: PrefixStats::default(),
            limits: Limits::new(),
            hll_sparse_max_bytes: AtomicU64::new(3000),
            busy_reply_ms: AtomicU64::new(5000),
            busy_reply_to_all: AtomicBool::new(false),
            long_elements: AtomicU64::new(10_000),
            time_limit_ms: AtomicU64::new(0),
            slow_reader_ms: AtomicU64::new(15_000),
            files: FileSettings::default(),
            password: RwLock::new(Vec::new()),
            cluster_strict: AtomicBool::new(false),
            cluster_announce_ip: RwLock::new(String::new()),
            availability_zone: RwLock::new(String::new()),
        }
    }
}

impl Settings {
    /// The policy by which the access clock of keys records.
    #[inline]
    pub fn access_policy(&self) -> AccessPolicy {
        let number = self.eviction_policy.load(Ordering::Relaxed);
        if number <= EvictionPolicy::VolatileLru as u8 {
            return AccessPolicy::Recency;
        }
        self.special_access_policy(number)
    }

    #[cold]
    fn special_access_policy(&self, number: u8) -> AccessPolicy {
        let policy = EvictionPolicy::of_number(number);
        policy.access(
            self.lfu_log_factor.load(Ordering::Relaxed) as u32,
            self.lfu_decay_minutes.load(Ordering::Relaxed) as u32,
        )
    }

    /// The policy at the memory limit (`maxmemory-policy`).
    pub fn eviction_policy(&self) -> EvictionPolicy {
        EvictionPolicy::of_number(self.eviction_policy.load(Ordering::Relaxed))
    }

    /// Sets what makes room.
    pub fn set_eviction_policy(&self, policy: EvictionPolicy) {
        self.eviction_policy.store(policy as u8, Ordering::Relaxed);
    }

    /// Events that somebody wants to hear of: those of `notify-keyspace-events`, and the names of
    /// all keys that change while a client caches by prefixes.
    #[inline]
    pub fn wanted_events(&self) -> EventClasses {
        EventClasses::from_bits(self.wanted_events.load(Ordering::Relaxed))
    }

    /// The classes and channels of `notify-keyspace-events`.
    pub fn notified_events(&self) -> EventClasses {
        EventClasses::from_bits(self.notified_events.load(Ordering::Relaxed))
    }

    /// Changes them.
    pub fn notify_of(&self, classes: EventClasses) {
        self.notified_events
            .store(classes.bits(), Ordering::Relaxed);
        let counted = match self.prefix_stats.is_wanted() {
            true => EventClasses::EXPIRED.with(EventClasses::EVICTED),
            false => EventClasses::NONE,
        };
        let told = classes.told().with(counted).bits();
        let keep = EventClasses::CHANGES.bits();
        let change = |wanted| Some(wanted & keep | told);
        // A client that caches by prefixes may come or go meanwhile.
        let _ = self
            .wanted_events
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Counts by these prefixes from now on, which wants some events noted.
    pub fn count_by_prefixes(&self, prefixes: impl Iterator<Item = Vec<u8>>) {
        self.prefix_stats.configure(prefixes);
        self.notify_of(self.notified_events());
    }

    /// Longest string in bytes.
    pub fn max_string(&self) -> usize {
        usize::try_from(self.max_bulk_bytes.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Bytes up to which a HyperLogLog is sparse.
    pub fn hll_sparse_max(&self) -> usize {
        usize::try_from(self.hll_sparse_max_bytes.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Whether connections must authenticate.
    pub fn needs_password(&self) -> bool {
        !self.password.read().is_empty()
    }

    /// Whether `password` is the default user's, compared without telling by the time taken how
    /// much of it is right.
    pub fn accepts_password(&self, password: &[u8]) -> bool {
        let expected = self.password.read();
        let differences = expected
            .iter()
            .zip(password)
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        expected.is_empty() || (expected.len() == password.len() && differences == 0)
    }
}
