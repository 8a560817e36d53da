//! The state that all sessions of one store share beside its keys: settings, clients, counters.

use std::sync::{Arc, OnceLock};

use crate::awaiting::Awaiting;
use crate::client::Clients;
use crate::command_log::CommandLog;
use crate::expiry::ExpiryLag;
use crate::gate::Gate;
use crate::host::{Host, NoHost};
use crate::latency::LatencyMonitor;
use crate::pause::Pause;
use crate::persistence::{NoPersistence, Persistence};
use crate::prefix_jobs::PrefixJobs;
use crate::pubsub::PubSub;
use crate::random::Random;
use crate::rates::Rates;
use crate::settings::Settings;
use crate::stats::Stats;
use kvik_store::Totals;
use parking_lot::Mutex;

/// The state that all sessions of one store share.
pub struct Engine {
    /// Settings that commands obey.
    pub settings: Settings,
    /// Connected clients.
    pub clients: Clients,
    /// Channels and who listens to them.
    pub pubsub: PubSub,
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
    persistence: OnceLock<Arc<dyn Persistence>>,
    /// How late keys expire.
    pub expiry_lag: ExpiryLag,
    /// The jobs that DELPREFIX has started.
    pub prefix_jobs: PrefixJobs,
    /// Rates and peaks.
    pub rates: Rates,
    /// The program around the store.
    pub host: Arc<dyn Host>,
    /// When the store was opened, in microseconds since the epoch.
    pub started_us: u64,
    /// 40 hexadecimal digits that name this run.
    pub run_id: String,
    replication_id: Mutex<String>,
    /// Keys and bytes of the store, read without a lock.
    pub totals: Totals,
}

impl Engine {
    /// The shared part of a store opened at `now_us`.
    pub fn new(now_us: u64, seed: u64) -> Self {
        Self {
            settings: Settings::default(),
            clients: Clients::default(),
            pubsub: PubSub::default(),
            stats: Stats::default(),
            command_log: CommandLog::default(),
            latency: LatencyMonitor::default(),
            pause: Pause::default(),
            gate: Gate::default(),
            awaiting: Awaiting::default(),
            persistence: OnceLock::new(),
            expiry_lag: ExpiryLag::default(),
            prefix_jobs: PrefixJobs::default(),
            rates: Rates::default(),
            host: Arc::new(NoHost),
            started_us: now_us,
            run_id: Random::new(seed).hex(40),
            replication_id: Mutex::new(Random::new(!seed).hex(40)),
            totals: Totals::default(),
        }
    }

    /// The same inside this program.
    #[must_use]
    pub fn hosted_by(mut self, host: Arc<dyn Host>) -> Self {
        self.host = host;
        self
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

    /// Looks at how much memory is used, which is a figure of once a second.
    pub fn note_memory(&self) {
        let clients = self.clients.all();
        let clients: usize = clients.iter().map(|client| client.memory_bytes()).sum();
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

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("run_id", &self.run_id)
            .finish_non_exhaustive()
    }
}
