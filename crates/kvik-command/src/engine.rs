//! The state that all sessions of one store share beside its keys: settings, clients, counters.

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock, Weak};

use crate::awaiting::Awaiting;
use crate::blocking::BlockedCounts;
use crate::client::{Client, Clients};
use crate::cluster::{Topology, host_of};
use crate::command_log::CommandLog;
use crate::eviction::Exceedance;
use crate::expiry::ExpiryLag;
use crate::feed::{Feed, NoFeed};
use crate::gate::Gate;
use crate::host::{Host, NoHost};
use crate::hot_keys::{HotKeys, KeyWalk};
use crate::latency::LatencyMonitor;
use crate::pause::Pause;
use crate::persistence::{NoPersistence, Persistence};
use crate::prefix_jobs::PrefixJobs;
use crate::pubsub::PubSub;
use crate::random::Random;
use crate::rates::Rates;
use crate::script::Scripts;
use crate::settings::Settings;
use crate::stats::Stats;
use crate::tracking::Tracking;
use kvik_store::{DEFAULT_NAMESPACE, KeyspaceId, NamespaceSizes, Namespaces, Totals};
use parking_lot::Mutex;

/// The state that all sessions of one store share.
pub struct Engine {
    /// Settings that commands obey.
    pub settings: Settings,
    /// Connected clients.
    pub clients: Clients,
    /// Channels and who listens to them.
    pub pubsub: PubSub,
    /// Clients that keep copies of keys.
    pub tracking: Tracking,
    /// Counters.
    pub stats: Stats,
    /// Slow and large commands.
    pub command_log: CommandLog,
    /// Slow events.
    pub latency: LatencyMonitor,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// Which commands are refused at present.
    pub gate: Gate,
    /// Who waits for files.
    pub awaiting: Awaiting,
    /// How many wait for keys.
    pub blocked: BlockedCounts,
    persistence: OnceLock<Arc<dyn Persistence>>,
    feed: OnceLock<Arc<dyn Feed>>,
    /// The keys used most.
    pub hot_keys: HotKeys,
    /// The largest keys, and the sizes under prefixes.
    pub key_walk: KeyWalk,
    /// For how long the memory limit was exceeded.
    pub exceedance: Exceedance,
    /// Keys that long work has pinned, and who had to wait for it.
    pub pins: PinCounts,
    /// How late keys expire.
    pub expiry_lag: ExpiryLag,
    /// The jobs that DELPREFIX has started.
    pub prefix_jobs: PrefixJobs,
    /// Rates and peaks.
    pub rates: Rates,
    /// Scripts and functions.
    pub scripts: Scripts,
    /// The program around the store.
    pub host: Arc<dyn Host>,
    /// When the store was opened, in microseconds since the epoch.
    pub started_us: u64,
    /// 40 hexadecimal digits that name this run.
    pub run_id: String,
    replication_id: Mutex<String>,
    /// Keys and bytes of the store, read without a lock.
    pub totals: Totals,
    /// The namespaces, where there are any.
    pub namespaces: Option<Arc<Namespaces>>,
    upkeep: OnceLock<Weak<dyn Upkeep>>,
    cluster: OnceLock<Topology>,
}

/// Whoever does the work of a store that no command waits for.
pub trait Upkeep: Send + Sync {
    /// There is work to do.
    fn wake(&self);

    /// Limits have changed that are not directives of a server.
    fn limits_changed(&self);

    /// How often a stripe was taken when somebody wanted it.
    fn stripe_waits(&self) -> u64;
}

impl Engine {
    /// The shared part of a store opened at `now_us`.
    pub fn new(now_us: u64, seed: u64) -> Self {
        Self {
            settings: Settings::default(),
            clients: Clients::default(),
            pubsub: PubSub::default(),
            tracking: Tracking::default(),
            stats: Stats::default(),
            command_log: CommandLog::default(),
            latency: LatencyMonitor::default(),
            pause: Pause::default(),
            gate: Gate::default(),
            awaiting: Awaiting::default(),
            blocked: BlockedCounts::default(),
            persistence: OnceLock::new(),
            feed: OnceLock::new(),
            hot_keys: HotKeys::default(),
            key_walk: KeyWalk::default(),
            exceedance: Exceedance::default(),
            pins: PinCounts::default(),
            expiry_lag: ExpiryLag::default(),
            prefix_jobs: PrefixJobs::default(),
            rates: Rates::default(),
            scripts: Scripts::default(),
            host: Arc::new(NoHost),
            started_us: now_us,
            run_id: Random::new(seed).hex(40),
            replication_id: Mutex::new(Random::new(!seed).hex(40)),
            totals: Totals::default(),
            namespaces: None,
            upkeep: OnceLock::new(),
            cluster: OnceLock::new(),
        }
    }

    /// The same inside this program.
    #[must_use]
    pub fn hosted_by(mut self, host: Arc<dyn Host>) -> Self {
        self.host = host;
        self
    }

    /// Has nodes of a cluster serve the store; only the first call does.
    pub fn cluster_by(&self, topology: Topology) {
        // A server starts once, so a second call is not made.
        let _ = self.cluster.set(topology);
    }

    /// The nodes of a cluster that serve the store, if there are any.
    pub fn cluster(&self) -> Option<&Topology> {
        self.cluster.get()
    }

    /// The host that a client finds the nodes at: the one that is configured, or the address to
    /// which it came itself.
    pub fn cluster_host(&self, client: &Client) -> String {
        let announced = self.settings.cluster_announce_ip.read();
        match announced.is_empty() {
            true => host_of(&client.local_addr).to_owned(),
            false => announced.clone(),
        }
    }

    /// Names who saves and logs for the store; only the first call does.
    pub fn persist_by(&self, persistence: Arc<dyn Persistence>) {
        // A store is opened once, so a second call is not made.
        let _ = self.persistence.set(persistence);
    }

    /// Who saves and logs for the store.
    pub fn persistence(&self) -> &dyn Persistence {
        self.persistence.get().map_or(&NoPersistence, |it| &**it)
    }

    /// Names who reads the log for others; only the first call does.
    pub fn feed_by(&self, feed: Arc<dyn Feed>) {
        // A store is opened once, so a second call is not made.
        let _ = self.feed.set(feed);
    }

    /// Who reads the log for others.
    pub fn feed(&self) -> &Arc<dyn Feed> {
        self.feed.get_or_init(|| Arc::new(NoFeed))
    }

    /// The figures of all namespaces that have keys or had some. Without namespaces there is one,
    /// which is all of database 0.
    pub fn namespace_sizes(&self) -> Vec<NamespaceSizes> {
        if let Some(namespaces) = &self.namespaces {
            return namespaces.sizes();
        }
        let sizes = self.totals.keyspace(KeyspaceId(0));
        vec![NamespaceSizes {
            name: DEFAULT_NAMESPACE.to_vec(),
            keys: sizes.keys,
            bytes: sizes.bytes(),
            payload: sizes.entry_bytes,
            evicted: self.stats.totals().evicted,
            ..NamespaceSizes::default()
        }]
    }

    /// Names who does the work that no command waits for; only the first call does.
    pub fn upkeep_by(&self, upkeep: Weak<dyn Upkeep>) {
        // A store is opened once, so a second call is not made.
        let _ = self.upkeep.set(upkeep);
    }

    /// How often a stripe was taken when somebody wanted it.
    pub(crate) fn stripe_waits(&self) -> u64 {
        let upkeep = self.upkeep.get().and_then(Weak::upgrade);
        upkeep.map_or(0, |upkeep| upkeep.stripe_waits())
    }

    /// Tells whoever does the work that no command waits for that there is some.
    pub fn wake_upkeep(&self) {
        if let Some(upkeep) = self.upkeep.get().and_then(Weak::upgrade) {
            upkeep.wake();
        }
    }

    /// Tells it that limits have changed.
    pub fn tell_limits(&self) {
        if let Some(upkeep) = self.upkeep.get().and_then(Weak::upgrade) {
            upkeep.limits_changed();
        }
    }

    /// Looks at how much memory is used, which is a figure of once a second.
    pub fn note_memory(&self) {
        let clients = self.clients.bytes();
        self.rates.note_clients(clients as u64);
        self.rates
            .note_memory(self.totals.memory().held + clients as u64);
    }

    /// 40 hexadecimal digits that name the history of the data set.
    pub fn replication_id(&self) -> String {
        self.replication_id.lock().clone()
    }

    /// Gives that history another name.
    pub fn set_replication_id(&self, id: String) {
        *self.replication_id.lock() = id;
    }
}

/// Figures of long work.
#[derive(Debug, Default)]
pub struct PinCounts {
    /// Pins of keys; a key that several read has several.
    pub keys: AtomicUsize,
    /// Times a command was put off because long work had pinned its keys.
    pub waited: AtomicU64,
    /// Bytes of long replies that wait to be taken over by the threads of their clients.
    pub reply_bytes: Arc<AtomicUsize>,
    /// How long commands were put off before they ran, whatever for, in microseconds.
    pub waited_us: AtomicU64,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("run_id", &self.run_id)
            .finish_non_exhaustive()
    }
}
