//! How to open a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::persistence::FsyncPolicy;
use kvik_command::script::ScriptEngine;
use kvik_command::{EvictionPolicy, Host, Settings};
use kvik_log::{Disk, SystemDisk};
use kvik_store::{Layout, Namespaces};

use crate::clock::Clock;
use crate::effects::EffectLog;
use crate::target;

/// Databases unless told otherwise.
const DATABASES: u32 = 16;

/// How to open a store.
///
/// ```
/// let options = kvik::Options::default().threads(2);
/// let db = kvik::Db::in_memory(options);
/// assert!(db.run(&["PING"]).as_error().is_none());
/// ```
#[derive(Clone, Default)]
pub struct Options {
    stripes: Option<usize>,
    threads: Option<usize>,
    pub(crate) seed: Option<u64>,
    pub(crate) clock: Clock,
    pub(crate) log: Option<Arc<dyn EffectLog>>,
    pub(crate) host: Option<Arc<dyn Host>>,
    pub(crate) scripts: Option<Arc<dyn ScriptEngine>>,
    pub(crate) follower: bool,
    pub(crate) dir: Option<PathBuf>,
    databases: Option<u32>,
    namespaces: bool,
    by_slots: bool,
    fsync: FsyncPolicy,
    max_memory: Option<(u64, EvictionPolicy)>,
    without_threads: bool,
    disk: Option<Arc<dyn Disk>>,
}

impl Options {
    /// Where the files lie: a log, and snapshots if commands ask for them. Without a directory the
    /// store is in memory only.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// When the log is forced to disk, once a second by default. With [`FsyncPolicy::Always`] every
    /// call returns when what it changed is on disk; otherwise [`Db::commit`](crate::Db::commit)
    /// waits for all changes before it.
    #[must_use]
    pub fn fsync(mut self, policy: FsyncPolicy) -> Self {
        self.fsync = policy;
        self
    }

    /// Through what files are reached: by default the operating system.
    #[must_use]
    pub fn on_disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = Some(disk);
        self
    }

    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        let disk = self.disk.as_ref();
        disk.map_or_else(|| Arc::new(SystemDisk) as Arc<dyn Disk>, Arc::clone)
    }

    /// Carries what is said into the settings of a store.
    pub(crate) fn apply_to(&self, settings: &Settings) {
        let files = &settings.files;
        if let Some(dir) = &self.dir {
            files.names.write().dir.clone_from(dir);
            files.log.store(true, Relaxed);
        }
        files.set_fsync(self.fsync);
        if let Some((bytes, policy)) = self.max_memory {
            settings.maxmemory.store(bytes, Relaxed);
            settings.set_eviction_policy(policy);
        }
    }

    /// Bytes that keys and their tables may take, and how room is made at that limit; 0 is no
    /// limit, which is the default.
    ///
    /// ```
    /// use kvik::EvictionPolicy;
    ///
    /// let options = kvik::Options::default().max_memory(1 << 20, EvictionPolicy::AllkeysLru);
    /// let db = kvik::Db::in_memory(options);
    /// for n in 0..20_000u32 {
    ///     db.set(&n.to_be_bytes(), &[b'v'; 100])?;
    /// }
    /// assert!(db.run(&["DBSIZE"]).as_int() < Some(20_000));
    /// # Ok::<_, kvik::Error>(())
    /// ```
    #[must_use]
    pub fn max_memory(mut self, bytes: u64, policy: EvictionPolicy) -> Self {
        self.max_memory = Some((bytes, policy));
        self
    }

    /// The number of databases, if it is said.
    pub(crate) fn database_count(&self) -> Option<u32> {
        self.databases
    }

    /// The number of databases, by default 16.
    #[must_use]
    pub fn databases(mut self, databases: u32) -> Self {
        self.databases = Some(databases);
        self
    }

    /// A key `ns/rest` belongs to the namespace `ns`, one without a `/` to `default`. Without this
    /// a `/` means nothing.
    #[must_use]
    pub fn namespaces(mut self) -> Self {
        self.namespaces = true;
        self
    }

    /// A stripe holds a run of the slots of a Redis Cluster, all keys of them and no others, so
    /// that threads which serve different slots do not meet. Files are the same with and without.
    #[must_use]
    pub fn by_slots(mut self) -> Self {
        self.by_slots = true;
        self
    }

    /// How keys map to stripes, with this seed.
    pub(crate) fn layout(&self, seed: u64) -> Layout {
        let mut layout = Layout::new(self.stripe_count(), seed);
        if self.by_slots {
            layout = layout.by_slots();
        }
        if !self.namespaces {
            return layout;
        }
        let databases = self.databases.unwrap_or(DATABASES);
        layout.with_namespaces(Arc::new(Namespaces::new(databases)))
    }

    /// The number of stripes, rounded up to a power of two of at most 1024; by default it follows
    /// from the threads.
    #[must_use]
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = Some(stripes);
        self
    }

    /// How many threads will use the store, by default as many as there are cores. There are 16
    /// stripes for each, so that two threads rarely meet.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The store starts no thread. What its threads would do is done by
    /// [`Db::tick`](crate::Db::tick), which the program calls, and by calls that wait for it. No
    /// call waits for another caller: BLPOP and its like answer as if their time were up. There is
    /// no feed. Stores for WebAssembly are always like that.
    ///
    /// ```
    /// let db = kvik::Db::in_memory(kvik::Options::default().without_threads());
    /// db.run(&["SET", "k", "v", "PX", "1"]);
    /// let next = db.tick();
    /// assert!(next <= std::time::Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn without_threads(mut self) -> Self {
        self.without_threads = true;
        self
    }

    /// Whether the store may start threads.
    pub(crate) fn has_threads(&self) -> bool {
        target::HAS_THREADS && !self.without_threads
    }

    /// The hash seed, by default random per process. A fixed one makes a store repeatable, and
    /// attackable.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where the time comes from.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Who gets the effects from the start; see [`Db::attach_log`](crate::Db::attach_log).
    #[must_use]
    pub fn effect_log(mut self, log: Arc<dyn EffectLog>) -> Self {
        self.log = Some(log);
        self
    }

    /// The program around the store.
    #[must_use]
    pub fn host(mut self, host: Arc<dyn Host>) -> Self {
        self.host = Some(host);
        self
    }

    /// Who runs scripts and functions. Without, commands that run some are refused.
    #[must_use]
    pub fn scripts(mut self, engine: Arc<dyn ScriptEngine>) -> Self {
        self.scripts = Some(engine);
        self
    }

    /// A store that follows another one from the start; see
    /// [`Db::set_follower`](crate::Db::set_follower).
    #[must_use]
    pub fn follower(mut self) -> Self {
        self.follower = true;
        self
    }

    fn stripe_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = || match self.has_threads() {
            true => self.threads.unwrap_or_else(cores),
            false => 1,
        };
        self.stripes
            .unwrap_or_else(|| (16 * threads()).next_power_of_two().clamp(16, 1024))
    }
}

impl From<&Path> for Options {
    fn from(dir: &Path) -> Self {
        Self::default().dir(dir)
    }
}

impl From<PathBuf> for Options {
    fn from(dir: PathBuf) -> Self {
        Self::default().dir(dir)
    }
}

impl From<&str> for Options {
    fn from(dir: &str) -> Self {
        Self::default().dir(dir)
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("stripes", &self.stripes)
            .field("threads", &self.threads)
            .field("follower", &self.follower)
            .finish_non_exhaustive()
    }
}
