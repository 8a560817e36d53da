//! The store and the handle to it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;

use kvik_command::client::Origin;
use kvik_command::stats::ThreadStats;
use kvik_command::{Engine, Host, Session, table};
use kvik_resp::{Args, ArgsBuf, Output, Protocol, ReplyDecoder, Value};
use kvik_store::{IntText, Layout};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::connection::Connection;
use crate::effects::{EffectLog, Unit};
use crate::executor::{Executor, Outcome};
use crate::stripes::{Held, Patience, SharedStripes};
use crate::upkeep;

/// How to open a store.
#[derive(Clone, Default)]
pub struct Options {
    stripes: Option<usize>,
    threads: Option<usize>,
    seed: Option<u64>,
    clock: Clock,
    log: Option<Arc<dyn EffectLog>>,
    host: Option<Arc<dyn Host>>,
    follower: bool,
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

    /// Who gets the effects.
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

    /// A store that follows another one's effects ([`Db::follow`]): keys never expire by themselves.
    #[must_use]
    pub fn follower(mut self) -> Self {
        self.follower = true;
        self
    }

    fn stripe_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = || self.threads.unwrap_or_else(cores);
        self.stripes
            .unwrap_or_else(|| (16 * threads()).next_power_of_two().clamp(16, 1024))
    }
}

/// What all handles share.
pub(crate) struct Shared {
    pub(crate) stripes: SharedStripes,
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    /// When the upkeep thread last looked at the clock, in milliseconds since the epoch.
    pub(crate) recent_ms: AtomicU64,
    pub(crate) log: Option<Arc<dyn EffectLog>>,
    pub(crate) follower: bool,
    pub(crate) upkeep_stats: Arc<ThreadStats>,
}

impl Shared {
    /// The time for work on a stripe that does not ask for it: exact where keys expire. Elsewhere only access clocks
    /// need it, for which one of the last second will do; reading the clock takes as long as the rest of a small read.
    #[inline]
    pub(crate) fn time_for(&self, held: &Held<'_>) -> u64 {
        if held.has_deadlines() {
            self.now_ms()
        } else {
            self.rough_ms()
        }
    }

    /// Milliseconds since the epoch.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_us() / 1000
    }

    /// The same as it was within the last second.
    #[inline]
    pub(crate) fn rough_ms(&self) -> u64 {
        if self.clock.is_system() {
            self.recent_ms.load(Relaxed)
        } else {
            self.now_ms()
        }
    }

    /// Hands the effects of a unit over. Called inside the locks of the stripes that the unit used.
    #[inline]
    pub(crate) fn commit(&self, unit: &mut Unit) {
        if let Some(log) = self.log.as_ref().filter(|_| !unit.is_empty()) {
            log.append(unit);
            unit.clear();
        }
    }
}

/// A handle to a store. Clones share it; it closes with the last of them.
#[derive(Clone)]
pub struct Db {
    pub(crate) shared: Arc<Shared>,
    open: Arc<Open>,
}

/// What ends with the last handle.
struct Open {
    shared: Arc<Shared>,
    /// Sessions between two calls of [`Db::run`].
    idle: Mutex<Vec<Runner>>,
    upkeep: Option<JoinHandle<()>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.stripes.alarm.stop();
        if let Some(thread) = self.upkeep.take() {
            // A panic there has already been reported; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

impl Db {
    /// Opens an empty store in memory.
    pub fn open(options: Options) -> Self {
        let shared = Arc::new(Shared::new(options));
        let open = Open::new(Arc::clone(&shared));
        Self {
            shared,
            open: Arc::new(open),
        }
    }

    /// Settings, clients and counters.
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// Something that runs commands for many sessions, one after the other; one for each thread of a server.
    pub fn executor(&self, patience: Patience) -> Executor {
        Executor::new(Arc::clone(&self.shared), patience)
    }

    /// A session of its own, as if a client had connected.
    pub fn connect(&self) -> Connection {
        Connection::new(self.clone(), Runner::new(&self.shared))
    }

    /// Registers a client and returns its session, for a server that runs it with an [`Executor`] and ends it with
    /// [`Executor::end`].
    pub fn session(&self, origin: Origin) -> Session {
        self.shared.session(origin)
    }

    /// Runs one command on database 0 and returns its reply. An error is a value, as it is for a client. State that a
    /// command leaves behind, such as MULTI, is gone with the call; [`Db::connect`] keeps it.
    pub fn run(&self, words: &[impl AsRef<[u8]>]) -> Value {
        let idle = self.open.idle.lock().pop();
        let mut runner = idle.unwrap_or_else(|| Runner::new(&self.shared));
        let reply = runner.run(words);
        runner.reset();
        self.open.idle.lock().push(runner);
        reply
    }

    /// Plays back a unit of another store's effects, all at once. The store was opened as a
    /// [follower](Options::follower).
    ///
    /// # Errors
    /// The replies that were errors: the two stores have come apart.
    pub fn follow(&self, unit: &Unit) -> Result<(), Vec<Value>> {
        Runner::new(&self.shared).follow(unit)
    }
}

/// Tells the program when the upkeep thread panics: keys would expire no more.
struct Lookout<'a>(&'a Engine);

impl Drop for Lookout<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.host.failed();
        }
    }
}

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        let worker = Arc::clone(&shared);
        let upkeep = std::thread::Builder::new()
            .name("kvik-upkeep".into())
            .spawn(move || {
                let _lookout = Lookout(&worker.engine);
                upkeep::run(&worker);
            })
            .expect("the system can start one more thread");
        Self {
            shared,
            idle: Mutex::default(),
            upkeep: Some(upkeep),
        }
    }
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        let seed = options
            .seed
            .unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let layout = Layout::new(options.stripe_count(), seed);
        let mut engine = Engine::new(options.clock.now_us(), seed ^ options.clock.now_us());
        if let Some(host) = options.host {
            engine = engine.hosted_by(host);
        }
        Self {
            stripes: SharedStripes::new(layout),
            upkeep_stats: engine.stats.thread(table().commands().len()),
            engine,
            recent_ms: AtomicU64::new(options.clock.now_us() / 1000),
            clock: options.clock,
            log: options.log,
            follower: options.follower,
        }
    }

    fn session(&self, origin: Origin) -> Session {
        let client = self.engine.clients.add(origin, self.clock.now_us() / 1000);
        Session::new(client, !self.engine.settings.needs_password())
    }
}

/// A session and what runs its commands. Does not keep the store open.
pub(crate) struct Runner {
    executor: Executor,
    session: Session,
    out: Output,
}

impl Runner {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let mut session = shared.session(Origin::embedded());
        session.authenticated = true;
        session.speak(Protocol::Resp3);
        Self {
            executor: Executor::new(Arc::clone(shared), Patience::Wait),
            session,
            out: Output::new(),
        }
    }

    /// Runs one command and returns its reply, null when the session wants none.
    pub(crate) fn run(&mut self, words: &[impl AsRef<[u8]>]) -> Value {
        self.out.clear();
        let words: ArgsBuf = words.iter().collect();
        self.execute(words.as_args());
        let reply = std::mem::take(&mut self.out).into_bytes();
        let decoded = ReplyDecoder::new().decode(&reply);
        self.out = reply.into();
        match decoded {
            Ok(Some((reply, _))) => reply,
            Ok(None) => Value::Null,
            Err(error) => unreachable!("the store wrote a malformed reply: {error}"),
        }
    }

    /// Runs a command, after a pause of all clients has ended.
    fn execute(&mut self, args: Args<'_>) {
        loop {
            self.executor.refresh();
            match self
                .executor
                .execute(&mut self.session, args, &mut self.out)
            {
                Outcome::Done => return,
                // Others are let in between what is done beforehand in slices.
                Outcome::Busy | Outcome::Begun => std::thread::yield_now(),
                Outcome::Paused(until_ms) => self.executor.wait_for_pause(until_ms),
            }
        }
    }

    fn reset(&mut self) {
        self.session.reset();
        self.session.speak(Protocol::Resp3);
        self.executor.release(&mut self.session);
    }

    fn follow(&mut self, unit: &Unit) -> Result<(), Vec<Value>> {
        self.session.begin();
        for (keyspace, effect) in unit.iter() {
            self.run(&[
                b"SELECT",
                IntText::default().unsigned(u64::from(keyspace.0)),
            ]);
            self.run(&effect.iter().collect::<Vec<_>>());
        }
        let replies = self.run(&["EXEC"]);
        let errors = |replies: &[Value]| {
            replies
                .iter()
                .filter(|reply| reply.as_error().is_some())
                .cloned()
                .collect()
        };
        let failed: Vec<_> = replies
            .as_slice()
            .map_or_else(|| vec![replies.clone()], errors);
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed)
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.executor.end(&mut self.session);
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db")
            .field("stripes", &self.shared.stripes.len())
            .finish_non_exhaustive()
    }
}
