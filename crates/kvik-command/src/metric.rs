//! The metrics: one table of everything the server measures, from which INFO is written.
//!
//! A row says where a figure is shown, under which name, what it means and how it is read off a
//! [`Look`], a consistent enough picture taken once per reply. A row that has nothing to say here
//! (a server's figure in an embedded store) is left out rather than invented.
//!
//! The file is long because it is a table. A figure is added by a row, and is found in one place.

use std::borrow::Cow;

use crate::client::NOT_IN_MULTI;
use crate::cluster::mode_seen;
use crate::command_log::{LogTotals, Logged};
use crate::engine::Engine;
use crate::feed::FeedFigures;
use crate::gate::Closure;
use crate::host::{Fact, ProcessUsage};
use crate::persistence::{Loading, LogStatus, Status};
use crate::pubsub::Hearing;
use crate::stats::Totals;
use crate::{REDIS_VERSION, VERSION};
use kvik_store::{HeldMemory, Sizes};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// A section of INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The program and its process.
    Server,
    /// Connections.
    Clients,
    /// Memory.
    Memory,
    /// Saving.
    Persistence,
    /// Counters.
    Stats,
    /// Replication.
    Replication,
    /// Processor time.
    Cpu,
    /// Modules, of which there are none.
    Modules,
    /// Calls by command.
    Commandstats,
    /// Errors by code.
    Errorstats,
    /// Time by command.
    Latencystats,
    /// Cluster.
    Cluster,
    /// The collection of HOTKEYS.
    Hotkeys,
    /// Keys by database.
    Keyspace,
}

impl Section {
    /// All sections, in the order in which INFO shows them.
    pub const ALL: [Self; 14] = [
        Self::Server,
        Self::Clients,
        Self::Memory,
        Self::Persistence,
        Self::Stats,
        Self::Replication,
        Self::Cpu,
        Self::Modules,
        Self::Commandstats,
        Self::Errorstats,
        Self::Latencystats,
        Self::Cluster,
        Self::Hotkeys,
        Self::Keyspace,
    ];

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Clients => "Clients",
            Self::Memory => "Memory",
            Self::Persistence => "Persistence",
            Self::Stats => "Stats",
            Self::Replication => "Replication",
            Self::Cpu => "CPU",
            Self::Modules => "Modules",
            Self::Commandstats => "Commandstats",
            Self::Errorstats => "Errorstats",
            Self::Latencystats => "Latencystats",
            Self::Cluster => "Cluster",
            Self::Hotkeys => "Hotkeys",
            Self::Keyspace => "Keyspace",
        }
    }

    /// Whether INFO shows it without being asked for it.
    pub fn is_default(self) -> bool {
        !matches!(self, Self::Commandstats | Self::Latencystats)
    }
}

/// The sources that the figures are read from.
pub struct Look<'a> {
    /// Shared state.
    pub engine: &'a Engine,
    /// Counters since the last reset.
    pub totals: Totals,
    /// Microseconds since the epoch.
    pub now_us: u64,
    /// The lines that the program adds.
    pub facts: Vec<Fact>,
    /// Saving and logging.
    pub persistence: Status,
    /// The operating system's figures.
    pub process: ProcessUsage,
    /// Keys and bytes of all keyspaces.
    pub sizes: Sizes,
    /// Memory by its use.
    pub memory: HeldMemory,
    /// Bytes of the buffers of all clients.
    pub client_bytes: u64,
    /// The part of clients that listen to channels.
    pub listener_bytes: u64,
    /// The part of clients that keep copies of keys.
    pub cacher_bytes: u64,
    /// Clients inside MULTI, and clients that watch keys, with the number of keys.
    pub transactions: Transactions,
    /// Clients that listen to channels.
    pub listening: usize,
    /// The feed.
    pub feed: FeedFigures,
    /// Clients whose commands a pause holds back.
    pub paused: usize,
    /// The mode of the server, as who asks sees it.
    pub mode: &'static str,
}

/// How many clients are in the middle of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    /// Clients that queue commands.
    pub queueing: usize,
    /// Clients that watch keys.
    pub watching: usize,
    /// Keys they watch.
    pub watched: usize,
}

/// How a figure is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that rises and falls.
    Gauge,
    /// A number that only rises, until it is reset.
    Counter,
    /// How often something was how large.
    Histogram,
    /// Not a number, or one that is written for people.
    Text,
}

/// One figure.
pub struct Metric {
    /// Where INFO shows it.
    pub section: Section,
    /// Its name.
    pub name: &'static str,
    /// How it is to be read.
    pub kind: MetricKind,
    /// The meaning of the figure, with its unit.
    pub about: &'static str,
    read: fn(&Look<'_>) -> Option<Cow<'static, str>>,
}

impl Metric {
    /// Its value as text, if there is one here.
    pub fn read(&self, look: &Look<'_>) -> Option<Cow<'static, str>> {
        (self.read)(look)
    }
}

impl<'a> Look<'a> {
    /// A picture of the present.
    pub fn new(engine: &'a Engine, now_us: u64) -> Self {
        let clients = engine.clients.all();
        let mut transactions = Transactions::default();
        let (mut client_bytes, mut listener_bytes, mut cacher_bytes) = (0, 0, 0);
        let (mut listening, mut paused) = (0, 0);
        for client in &clients {
            let watched = client.watched.load(Relaxed);
            transactions.queueing += usize::from(client.queued.load(Relaxed) != NOT_IN_MULTI);
            transactions.watching += usize::from(watched > 0);
            transactions.watched += watched;
            paused += usize::from(client.paused.load(Relaxed));
            let bytes = client.memory_bytes() as u64;
            client_bytes += bytes;
            if client.is_subscribed() {
                listening += 1;
                listener_bytes += bytes;
            }
            if client.tracking.is_on() {
                cacher_bytes += bytes;
            }
        }
        let memory = engine.totals.memory();
        engine.rates.note_memory(memory.held + client_bytes);
        Self {
            engine,
            totals: engine.stats.totals(),
            now_us,
            facts: engine.host.facts(),
            persistence: persistence(engine),
            process: engine.host.process(),
            sizes: engine.totals.all(),
            memory,
            client_bytes,
            listener_bytes,
            cacher_bytes,
            transactions,
            listening,
            feed: engine.feed().figures(),
            paused,
            mode: mode_seen(engine.cluster().is_some()),
        }
    }

    /// Bytes of keys, values and tables, of what is still to be freed, of copies, and of the
    /// buffers of clients, of the log and of snapshots.
    pub fn used_bytes(&self) -> u64 {
        self.memory.held + self.client_bytes + self.bytes_not_counted()
    }

    /// The part of that which never makes the store evict keys: those buffers empty by themselves.
    pub fn bytes_not_counted(&self) -> u64 {
        self.log_buffer_bytes() + self.persistence.walk.buffer_bytes
    }

    /// Bytes of effects that wait to be written to the log.
    pub fn log_buffer_bytes(&self) -> u64 {
        self.persistence.log.map_or(0, |log| log.buffer_bytes)
    }

    /// Bytes of tables and buffers: all that is not a key or a value.
    pub fn overhead_bytes(&self) -> u64 {
        self.used_bytes().saturating_sub(self.sizes.entry_bytes)
    }

    fn fact(&self, name: &str) -> Option<Cow<'static, str>> {
        self.facts
            .iter()
            .find(|fact| fact.name == name)
            .map(|fact| fact.value.clone())
    }

    fn uptime_s(&self) -> u64 {
        self.now_us.saturating_sub(self.engine.started_us) / 1_000_000
    }
}

/// Bytes as people read them.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = (bytes.ilog2() / 10) as usize;
    format!(
        "{:.2}{}",
        bytes as f64 / 1024f64.powi(power as i32),
        UNITS[power - 1]
    )
}

fn number(n: u64) -> Option<Cow<'static, str>> {
    Some(n.to_string().into())
}

fn count(of: &AtomicUsize) -> Option<Cow<'static, str>> {
    number(of.load(Relaxed) as u64)
}

fn text(text: impl Into<Cow<'static, str>>) -> Option<Cow<'static, str>> {
    Some(text.into())
}

fn ratio(a: u64, b: u64) -> Option<Cow<'static, str>> {
    text(format!(
        "{:.2}",
        if b == 0 { 0.0 } else { a as f64 / b as f64 }
    ))
}

/// The state of saving, logging and loading.
fn persistence(engine: &Engine) -> Status {
    let is_loading = engine.gate.is_closed_by(Closure::Loading);
    Status {
        loading: is_loading.then(|| engine.persistence().loading()),
        ..engine.persistence().status()
    }
}

fn flag(set: bool) -> Option<Cow<'static, str>> {
    number(u64::from(set))
}

fn status(failed: bool) -> Option<Cow<'static, str>> {
    text(if failed { "err" } else { "ok" })
}

/// Bytes of scripts and libraries.
fn script_bytes(look: &Look<'_>) -> u64 {
    let scripts = &look.engine.scripts;
    (scripts.size().1 + scripts.functions().bytes()) as u64
}

fn maxmemory(look: &Look<'_>) -> u64 {
    look.engine.settings.maxmemory.load(Relaxed)
}

fn slow_commands(look: &Look<'_>) -> LogTotals {
    look.engine.command_log.totals(Logged::Slow)
}

/// A duration that there may not be.
fn seconds(seconds: Option<u64>) -> Option<Cow<'static, str>> {
    seconds.map_or_else(|| text("-1"), number)
}

fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    };
    format!("{:.2}", 100.0 * share)
}

/// A figure of the log, where one is kept.
fn log(look: &Look<'_>, read: impl Fn(LogStatus) -> u64) -> Option<Cow<'static, str>> {
    look.persistence.log.and_then(|log| number(read(log)))
}

/// A figure of the load in progress.
fn loading(look: &Look<'_>, read: impl Fn(Loading) -> u64) -> Option<Cow<'static, str>> {
    look.persistence
        .loading
        .and_then(|loading| number(read(loading)))
}

macro_rules! metrics {
    ($($section:ident { $($name:literal $(as $kind:ident)?, $about:literal, $read:expr;)* })*) => {
        /// All figures, in the order in which INFO shows them.
        pub const METRICS: &[Metric] = &[$($(Metric {
            section: Section::$section,
            name: $name,
            kind: kind!($($kind)?),
            about: $about,
            read: $read,
        },)*)*];
    };
}

/// A row that does not say otherwise is a gauge.
macro_rules! kind {
    () => {
        MetricKind::Gauge
    };
    ($kind:ident) => {
        MetricKind::$kind
    };
}

metrics! {
    Server {
        "redis_version" as Text, "The Redis version whose behaviour clients may expect.", |_| text(REDIS_VERSION);
        "kvik_version" as Text, "The version of kvik.", |_| text(VERSION);
        "redis_git_sha1" as Text, "Always 0: the version says it all.", |_| text("00000000");
        "redis_git_dirty" as Text, "Always 0.", |_| number(0);
        "redis_mode" as Text, "standalone, or cluster at the port of a node.", |look| text(look.mode);
        "availability_zone" as Text, "The zone that clients may prefer.", |look| text(look.engine.settings.availability_zone.read().clone());
        "server_mode" as Text, "The same under the name of Valkey.", |look| text(look.mode);
        "os" as Text, "The operating system.", |look| look.fact("os");
        "arch_bits" as Text, "Width of an address in bits.", |look| look.fact("arch_bits");
        "multiplexing_api" as Text, "The I/O backend.", |look| look.fact("multiplexing_api");
        "process_id" as Text, "The process id.", |look| look.fact("process_id");
        "process_supervised" as Text, "Which supervisor is told of the start.", |look| look.fact("process_supervised");
        "run_id" as Text, "Names this run of the server.", |look| text(look.engine.run_id.clone());
        "tcp_port" as Text, "The port.", |look| look.fact("tcp_port");
        "server_time_usec" as Text, "The time in microseconds since the epoch.", |look| number(look.now_us);
        "uptime_in_seconds", "Seconds since the start.", |look| number(look.uptime_s());
        "uptime_in_days", "Days since the start.", |look| number(look.uptime_s() / 86_400);
        "io_threads", "I/O threads, each of which runs commands.", |look| look.fact("io_threads");
        "executable" as Text, "Path of the program.", |look| look.fact("executable");
        "config_file" as Text, "Path of the configuration file.", |look| look.fact("config_file");
        "io_threads_active", "Whether more than one I/O thread serves.", |look| look.fact("io_threads_active");
        "io_threads_awake", "I/O threads that serve clients; the others sleep until they are needed.", |look| look.fact("io_threads_awake");
    }
    Clients {
        "connected_clients", "Clients connected.", |look| number(look.engine.clients.len() as u64);
        "maxclients", "Clients that may be connected.", |look| look.fact("maxclients");
        "blocked_clients", "Clients waiting in a blocking command, or for the end of a pause.", |look| {
            let blocked = look.engine.blocked.clients.load(Relaxed);
            number((blocked + look.paused) as u64)
        };
        "tracking_clients", "Clients that keep copies of keys and are told when one is stale.", |look| number(look.engine.tracking.clients() as u64);
        "watching_clients", "Clients that watch keys.", |look| number(look.transactions.watching as u64);
        "total_blocking_keys", "Keys that clients wait for.", |look| count(&look.engine.blocked.keys);
        "total_blocking_keys_on_nokey", "Keys that clients wait for, of which they also hear when they are gone.", |look| count(&look.engine.blocked.no_keys);
        "pubsub_clients", "Clients that listen to channels.", |look| number(look.listening as u64);
        "total_watched_keys", "Keys watched.", |look| number(look.transactions.watched as u64);
        "clients_in_multi", "Clients that queue a transaction.", |look| number(look.transactions.queueing as u64);
    }
    Memory {
        "used_memory", "Bytes of keys, values and tables, of what is still to be freed, of copies in progress and of buffers.", |look| number(look.used_bytes());
        "used_memory_human" as Text, "The same for people.", |look| text(human(look.used_bytes()));
        "used_memory_rss", "Resident bytes of the process.", |look| number(look.process.resident_bytes);
        "used_memory_rss_human" as Text, "The same for people.", |look| text(human(look.process.resident_bytes));
        "used_memory_peak", "The highest used_memory, looked at once a second.", |look| number(look.engine.rates.peak_bytes());
        "used_memory_peak_human" as Text, "The same for people.", |look| text(human(look.engine.rates.peak_bytes()));
        "used_memory_peak_perc", "used_memory in percent of that.", |look| {
            text(format!("{}%", percent(look.used_bytes(), look.engine.rates.peak_bytes())))
        };
        "used_memory_overhead", "Bytes of used_memory that are no keys and values: tables and buffers.", |look| {
            number(look.overhead_bytes())
        };
        "used_memory_startup", "Always 0: memory that the process takes without data is not part of used_memory.", |_| number(0);
        "used_memory_dataset", "Bytes of keys and values.", |look| number(look.sizes.entry_bytes);
        "used_memory_dataset_perc", "The same in percent of used_memory.", |look| {
            text(format!("{}%", percent(look.sizes.entry_bytes, look.used_bytes())))
        };
        "used_memory_tables", "Bytes of the tables that lead to keys, with their deadlines.", |look| number(look.sizes.table_bytes);
        "used_memory_doomed", "Bytes that no key leads to any more and that are still to be freed.", |look| {
            number(look.memory.doomed())
        };
        "used_memory_copies", "Bytes of large collections that are being copied for other stripes.", |look| {
            number(look.memory.copies)
        };
        "used_memory_hash_templates", "Bytes of the names of fields that hashes store once.", |look| {
            number(look.memory.shapes)
        };
        "used_memory_images", "Bytes of images of changed keys that wait to be written to a snapshot.", |look| {
            number(look.persistence.walk.buffer_bytes)
        };
        "free_memory_cells", "Bytes of free room between entries; not part of used_memory.", |look| number(look.memory.free);
        "used_memory_clients", "Bytes of client buffers.", |look| number(look.client_bytes);
        "used_memory_lua", "Bytes of the Lua states; not part of used_memory.", |look| {
            number(look.engine.scripts.interpreter_bytes())
        };
        "used_memory_lua_human" as Text, "The same for people.", |look| {
            text(human(look.engine.scripts.interpreter_bytes()))
        };
        "used_memory_vm_eval", "The same: a thread's scripts and functions share its state.", |look| {
            number(look.engine.scripts.interpreter_bytes())
        };
        "used_memory_scripts_eval", "Bytes of the scripts that EVALSHA knows; not part of used_memory.", |look| {
            number(look.engine.scripts.size().1 as u64)
        };
        "number_of_cached_scripts", "Scripts that EVALSHA knows.", |look| {
            number(look.engine.scripts.size().0 as u64)
        };
        "number_of_functions", "Functions of all libraries.", |look| {
            number(look.engine.scripts.functions().len() as u64)
        };
        "number_of_libraries", "Libraries of functions.", |look| {
            number(look.engine.scripts.functions().libraries().len() as u64)
        };
        "used_memory_vm_functions", "Always 0: functions run in the states of scripts.", |_| number(0);
        "used_memory_vm_total", "Bytes of the Lua states.", |look| {
            number(look.engine.scripts.interpreter_bytes())
        };
        "used_memory_vm_total_human" as Text, "The same for people.", |look| {
            text(human(look.engine.scripts.interpreter_bytes()))
        };
        "used_memory_functions", "Bytes of the libraries of functions; not part of used_memory.", |look| {
            number(look.engine.scripts.functions().bytes() as u64)
        };
        "used_memory_scripts", "Bytes of scripts and libraries.", |look| number(script_bytes(look));
        "used_memory_scripts_human" as Text, "The same for people.", |look| text(human(script_bytes(look)));
        "total_system_memory", "Bytes of the machine's memory.", |look| number(look.process.machine_bytes);
        "total_system_memory_human" as Text, "The same for people.", |look| text(human(look.process.machine_bytes));
        "maxmemory", "Bytes that may be used; 0 is no limit.", |look| number(maxmemory(look));
        "maxmemory_human" as Text, "The same for people.", |look| {
            text(human(maxmemory(look)))
        };
        "maxmemory_policy" as Text, "What happens at the limit.", |look| {
            text(look.engine.settings.eviction_policy().name())
        };
        "mem_fragmentation_ratio", "Resident bytes by used bytes.", |look| {
            ratio(look.process.resident_bytes, look.used_bytes())
        };
        "mem_fragmentation_bytes", "Resident bytes beyond used bytes.", |look| {
            text((look.process.resident_bytes as i64 - look.used_bytes() as i64).to_string())
        };
        "mem_not_counted_for_evict", "Bytes of buffers that never cause eviction: the log's and snapshots'.", |look| {
            number(look.bytes_not_counted())
        };
        "mem_aof_buffer", "Bytes of effects that wait to be written to the log.", |look| number(look.log_buffer_bytes());
        "mem_allocator" as Text, "The allocator of what is not entries and tables, which have pages of their own.", |look| look.fact("mem_allocator");
        "mem_clients_slaves", "Always 0: there are no replicas yet.", |_| number(0);
        "mem_clients_normal", "Bytes of the buffers of all clients that are no replicas.", |look| number(look.client_bytes);
        "mem_clients_pubsub", "The part of that which belongs to clients that listen to channels.", |look| number(look.listener_bytes);
        "mem_clients_tracking", "The part of that which belongs to clients that keep copies of keys.", |look| number(look.cacher_bytes);
        "lazyfree_pending_objects", "Stripes with memory that no key leads to any more and that is still to be freed; 0 when all is freed.", |look| {
            number(look.engine.totals.doomed_stripes() as u64)
        };
    }
    Persistence {
        "loading", "Whether data is being loaded.", |look| flag(look.persistence.loading.is_some());
        "async_loading", "Always 0: data is never loaded beside data that is served.", |_| number(0);
        "current_cow_peak", "The most bytes of images that waited to be written, in this snapshot or the last.", |look| {
            number(look.persistence.walk.buffer_peak_bytes)
        };
        "current_cow_size", "Bytes of images of changed keys that wait to be written.", |look| {
            number(look.persistence.walk.buffer_bytes)
        };
        "current_cow_size_age", "Always 0: the figure above is exact.", |_| number(0);
        "current_fork_perc", "Percentage of keys that the snapshot in progress has written.", |look| {
            text(percent(look.persistence.walk.keys, look.persistence.walk.keys_total))
        };
        "current_save_keys_processed", "Keys that the snapshot in progress has written.", |look| {
            number(look.persistence.walk.keys)
        };
        "current_save_keys_total", "Keys that it will have written.", |look| number(look.persistence.walk.keys_total);
        "rdb_changes_since_last_save", "Changes since the last snapshot, or the start.", |look| {
            let changes = look.engine.stats.totals_ever().changes;
            number(changes.saturating_sub(look.persistence.changes_saved))
        };
        "rdb_bgsave_in_progress", "Whether a snapshot is being written.", |look| {
            flag(look.persistence.save.running_s.is_some())
        };
        "rdb_last_save_time", "When the last snapshot was written, or the start, in seconds since the epoch.", |look| {
            number(look.persistence.last_save_s)
        };
        "rdb_last_bgsave_status", "How the last snapshot went: ok or err.", |look| status(look.persistence.save.failed);
        "rdb_last_bgsave_time_sec", "Seconds the last snapshot took; -1 without one.", |look| {
            seconds(look.persistence.save.last_s)
        };
        "rdb_current_bgsave_time_sec", "Seconds since the snapshot in progress began; -1 without one.", |look| {
            seconds(look.persistence.save.running_s)
        };
        "rdb_saves" as Counter, "Snapshots written.", |look| number(look.persistence.save.count);
        "rdb_last_cow_size", "Bytes of images that waited at most in the last snapshot.", |look| {
            number(look.persistence.walk.buffer_peak_bytes)
        };
        "rdb_last_load_keys_expired", "Keys that the last load left out because their time had come.", |look| {
            number(look.persistence.loaded.expired)
        };
        "rdb_last_load_keys_loaded", "Keys that the last load took from a snapshot.", |look| {
            number(look.persistence.loaded.keys)
        };
        "aof_enabled", "Whether writes are logged.", |look| {
            flag(look.persistence.log.is_some() || look.persistence.log_begins)
        };
        "aof_rewrite_in_progress", "Whether the log is being rewritten.", |look| {
            flag(look.persistence.rewrite.running_s.is_some())
        };
        "aof_rewrite_scheduled", "Whether a rewrite waits for the snapshot in progress.", |look| {
            flag(look.persistence.rewrite_scheduled)
        };
        "aof_last_rewrite_time_sec", "Seconds the last rewrite took; -1 without one.", |look| {
            seconds(look.persistence.rewrite.last_s)
        };
        "aof_current_rewrite_time_sec", "Seconds since the rewrite in progress began; -1 without one.", |look| {
            seconds(look.persistence.rewrite.running_s)
        };
        "aof_last_bgrewrite_status", "How the last rewrite went: ok or err.", |look| status(look.persistence.rewrite.failed);
        "aof_rewrites" as Counter, "Rewrites done.", |look| number(look.persistence.rewrite.count);
        "aof_rewrites_consecutive_failures", "Rewrites that failed since the last one that did not.", |look| {
            number(look.persistence.rewrite_failures)
        };
        "aof_last_write_status", "Whether the log can be written: ok or err.", |look| {
            status(look.persistence.log.is_some_and(|log| log.failed))
        };
        "aof_last_cow_size", "Bytes of images that waited at most in the last snapshot or rewrite.", |look| {
            number(look.persistence.walk.buffer_peak_bytes)
        };
        "module_fork_in_progress", "Always 0: there are no modules.", |_| number(0);
        "module_fork_last_cow_size", "Always 0.", |_| number(0);
        "aof_current_size", "Bytes of the log's files.", |look| log(look, |log| log.bytes);
        "aof_base_size", "The same after the last rewrite, or at the start.", |look| log(look, |log| log.base_bytes);
        "aof_pending_rewrite", "Whether a rewrite waits for the snapshot in progress.", |look| {
            log(look, |_| u64::from(look.persistence.rewrite_scheduled))
        };
        "aof_buffer_length", "Bytes of effects that are not yet written.", |look| log(look, |log| log.buffer_bytes);
        "aof_pending_bio_fsync", "Calls in progress that force the log to disk.", |look| log(look, |log| log.pending_fsyncs);
        "aof_delayed_fsync" as Counter, "Times writers were put off because the disk was too slow.", |look| {
            log(look, |log| log.delayed_fsyncs)
        };
        "aof_lost_fsyncs" as Counter, "Times forcing the log to disk has failed, so that it had to begin anew.", |look| {
            log(look, |log| log.lost_fsyncs)
        };
        "aof_dropped_bytes", "Bytes at the end of the log that were no whole unit at the last start, and were set aside.", |look| {
            number(look.persistence.loaded.dropped_bytes)
        };
        "log_position" as Counter, "Bytes of effects in the history of the data set.", |look| log(look, |log| log.positions.appended);
        "log_position_synced" as Counter, "How much of that is on the disk.", |look| log(look, |log| log.positions.synced);
        "snapshot_deferred_writes" as Counter, "Commands put off because too many images waited to be written.", |look| {
            number(look.persistence.walk.deferred)
        };
        "loading_start_time", "When the load began, in seconds since the epoch.", |look| {
            loading(look, |loading| loading.started_s)
        };
        "loading_total_bytes", "Bytes of the files being loaded.", |look| loading(look, |loading| loading.total_bytes);
        "loading_loaded_bytes", "Bytes loaded.", |look| loading(look, |loading| loading.loaded_bytes);
        "loading_loaded_perc", "The same in percent.", |look| {
            let loading = look.persistence.loading?;
            text(percent(loading.loaded_bytes, loading.total_bytes))
        };
        "loading_eta_seconds", "Seconds until all is loaded, from the rate so far.", |look| loading(look, |loading| loading.eta_s);
    }
    Stats {
        "total_connections_received" as Counter, "Clients that have connected.", |look| number(look.totals.connections);
        "total_commands_processed" as Counter, "Commands run.", |look| number(look.totals.commands);
        "instantaneous_ops_per_sec", "Commands per second, over the last second.", |look| {
            number(look.engine.rates.ops_per_sec())
        };
        "stripe_lock_waits" as Counter, "Times a stripe of the store was locked by another thread when a command wanted it; a command that is put off for that and offered again counts anew.", |look| {
            number(look.engine.stripe_waits())
        };
        "total_net_input_bytes" as Counter, "Bytes received.", |look| number(look.totals.bytes_in);
        "total_net_output_bytes" as Counter, "Bytes sent.", |look| number(look.totals.bytes_out);
        "instantaneous_input_kbps", "KiB received per second, over the last second.", |look| {
            text(format!("{:.2}", look.engine.rates.bytes_in_per_sec() as f64 / 1024.0))
        };
        "instantaneous_output_kbps", "KiB sent per second, over the last second.", |look| {
            text(format!("{:.2}", look.engine.rates.bytes_out_per_sec() as f64 / 1024.0))
        };
        "rejected_connections" as Counter, "Clients refused because of maxclients or protected mode.", |look| {
            number(look.totals.rejected_connections)
        };
        "expired_keys" as Counter, "Keys deleted because their time had come.", |look| number(look.totals.expired);
        "expiry_lag_ms", "How late the latest keys were that expired unmet, in milliseconds.", |look| {
            number(look.engine.expiry_lag.last_ms())
        };
        "expiry_lag_max_ms", "The worst of that.", |look| number(look.engine.expiry_lag.max_ms());
        "hash_templates", "Lists of names that hashes store once; each stripe has its own.", |look| {
            number(look.engine.totals.shapes().shapes)
        };
        "hash_template_keys", "Hashes whose names of fields are stored once for many.", |look| {
            number(look.engine.totals.shapes().hashes)
        };
        "blessed_keys", "Keys that BLESS exempts from eviction.", |look| number(look.engine.totals.blessed());
        "evicted_keys" as Counter, "Keys deleted to make room.", |look| number(look.totals.evicted);
        "total_eviction_exceeded_time" as Counter, "Milliseconds in which more memory was used than allowed, because eviction did not keep up.", |look| {
            number(look.engine.exceedance.total_ms(look.now_us))
        };
        "current_eviction_exceeded_time", "Milliseconds since that is so; 0 while it is not.", |look| {
            number(look.engine.exceedance.current_ms(look.now_us))
        };
        "slowlog_commands_count" as Counter, "Commands that took so long that the slow log has taken them.", |look| {
            number(slow_commands(look).count)
        };
        "slowlog_commands_time_ms_max", "The longest of them, in milliseconds.", |look| ratio(slow_commands(look).max, 1000);
        "slowlog_commands_time_ms_sum" as Counter, "All of them, in milliseconds.", |look| ratio(slow_commands(look).sum, 1000);
        "evicted_scripts" as Counter, "Scripts that EVAL had met and that were dropped because there were too many.", |look| {
            number(look.engine.scripts.evicted())
        };
        "running_scripts", "Scripts that have been running for more than a millisecond.", |look| {
            number(look.engine.scripts.running() as u64)
        };
        "evicted_clients" as Counter, "Clients disconnected because all together used more than maxmemory-clients.", |look| {
            number(look.totals.evicted_clients)
        };
        "keyspace_hits" as Counter, "Reads that found their key.", |look| number(look.totals.hits);
        "keyspace_misses" as Counter, "Reads that did not.", |look| number(look.totals.misses);
        "migrate_cached_sockets", "Sockets kept open for MIGRATE, which there is not.", |_| number(0);
        "pubsub_channels", "Channels that somebody listens to.", |look| {
            number(look.engine.pubsub.count(Hearing::Channel) as u64)
        };
        "pubsub_patterns", "Patterns that somebody listens to.", |look| {
            number(look.engine.pubsub.count(Hearing::Pattern) as u64)
        };
        "pubsubshard_channels", "Shard channels that somebody listens to.", |look| {
            number(look.engine.pubsub.count(Hearing::ShardChannel) as u64)
        };
        "tracking_total_keys", "Keys of which clients keep copies, as far as they are told by key.", |look| number(look.engine.tracking.keys() as u64);
        "tracking_total_items", "Pairs of such a key and a client.", |look| number(look.engine.tracking.items() as u64);
        "tracking_total_prefixes", "Prefixes of keys whose changes clients are told of.", |look| number(look.engine.tracking.prefixes() as u64);
        "feed_subscribers", "Subscriptions to the feed.", |look| number(look.feed.subscribers);
        "feed_waiting_reads", "Reads of the feed that wait for a change.", |look| number(look.feed.waiting);
        "feed_buffered_entries", "Entries of the feed that are in memory.", |look| number(look.feed.buffered);
        "feed_buffered_bytes", "Bytes of these.", |look| number(look.feed.buffered_bytes);
        "feed_delivered_entries" as Counter, "Entries of the feed that subscribers were given, since the start.", |look| number(look.feed.delivered);
        "feed_stalls" as Counter, "Times a subscriber to the feed had no room for an entry, since the start.", |look| number(look.feed.stalls);
        "deferred_commands" as Counter, "Times a command was put off because its keys were in use.", |look| number(look.totals.deferred);
        "pinned_keys", "Keys that work in progress keeps others away from.", |look| count(&look.engine.pins.keys);
        "pins_waited" as Counter, "Times a command was put off because work in progress had its keys.", |look| {
            number(look.engine.pins.waited.load(Relaxed))
        };
        "long_reply_bytes", "Bytes of long replies that wait until their clients have read what was sent before.", |look| {
            count(&look.engine.pins.reply_bytes)
        };
        "deferred_usec" as Counter, "Microseconds for which commands were put off before they ran.", |look| {
            number(look.engine.pins.waited_us.load(Relaxed))
        };
        "total_error_replies" as Counter, "Error replies.", |look| number(look.totals.errors);
        "client_query_buffer_limit_disconnections" as Counter, "Clients closed for their unfinished input.", |look| {
            number(look.totals.input_limit_disconnections)
        };
        "client_output_buffer_limit_disconnections" as Counter, "Clients closed for their unread replies.", |look| {
            number(look.totals.output_limit_disconnections)
        };
    }
    Replication {
        "role" as Text, "master: it accepts writes.", |_| text("master");
        "connected_slaves", "Replicas connected.", |_| number(0);
        "master_replid" as Text, "Names the history of this data set.", |look| text(look.engine.replication_id());
        "master_repl_offset", "Bytes of that history; 0 while none is kept.", |look| {
            number(look.persistence.log.map_or(0, |log| log.positions.appended))
        };
    }
    Cpu {
        "used_cpu_sys" as Counter, "Processor seconds in the kernel.", |look| text(format!("{:.6}", look.process.system_s));
        "used_cpu_user" as Counter, "Processor seconds of its own.", |look| text(format!("{:.6}", look.process.user_s));
    }
    Cluster {
        "cluster_enabled", "Whether this is a cluster node.", |look| number(u64::from(look.mode == mode_seen(true)));
    }
    Hotkeys {
        "hotkeys-tracking-active", "Whether HOTKEYS START collects keys.", |look| {
            number(u64::from(look.engine.hot_keys.collects_at(look.now_us)))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_bytes_in_units() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1536), "1.50K");
        assert_eq!(human(5 << 20), "5.00M");
        assert_eq!(human(u64::MAX), "16.00E");
    }

    #[test]
    fn names_are_unique_and_explained() {
        for (at, metric) in METRICS.iter().enumerate() {
            assert!(
                METRICS[at + 1..]
                    .iter()
                    .all(|other| other.name != metric.name),
                "{}",
                metric.name
            );
            assert!(metric.about.ends_with('.'), "{}", metric.name);
        }
    }
}
