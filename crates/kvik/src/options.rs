//! How to open a store.

use std::sync::Arc;

use kvik_command::Host;

use crate::clock::Clock;
use crate::effects::EffectLog;

/// How to open a store.
///
/// ```
/// let options = kvik::Options::default().threads(2);
/// let db = kvik::Db::open(options);
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
    pub(crate) follower: bool,
}

impl Options {
    /// The number of stripes, rounded up to a power of two of at most 1024; by default it follows from the threads.
    #[must_use]
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = Some(stripes);
        self
    }

    /// How many threads will use the store, by default as many as there are cores. There are 16 stripes for each, so
    /// that two threads rarely meet.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The hash seed, by default random per process. A fixed one makes a store repeatable, and attackable.
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

    /// A store that follows another one from the start; see [`Db::set_follower`](crate::Db::set_follower).
    #[must_use]
    pub fn follower(mut self) -> Self {
        self.follower = true;
        self
    }

    pub(crate) fn stripe_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = || self.threads.unwrap_or_else(cores);
        self.stripes
            .unwrap_or_else(|| (16 * threads()).next_power_of_two().clamp(16, 1024))
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
