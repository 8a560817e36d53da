//! The state that all handles and threads of a store share.
//!
//! The log and the role change while the store runs. Both are bits of one word, which commands look
//! at; they are set while all stripes are held, so that a section sees one state from beginning to
//! end and no effect is lost in between.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::sync::{Arc, OnceLock};

use kvik_command::blocking::Ending;
use kvik_command::client::Origin;
use kvik_command::stats::ThreadStats;
use kvik_command::{Engine, Error, Session, Upkeep, table};
use kvik_log::{Lsn, Unit};
use kvik_store::{AccessPolicy, EventClasses, FormerKey, Mode};

use crate::changes::{self, ChangeObserver};
use crate::clock::Clock;
use crate::effects::EffectLog;
use crate::feed::hub::FeedHub;
use crate::image_queue::ImageQueue;
use crate::options::Options;
use crate::router::Router;
use crate::rules::{Actor, Rules};
use crate::script_threads::ScriptThreads;
use crate::stamps::{Reach, Stamps};
use crate::stripes::{Held, HeldMany, Patience, SharedStripes};

/// Effects go to the log.
const LOGGED: u8 = 1;
/// The store follows the effects of another one.
const FOLLOWER: u8 = 2;
/// Units are kept in memory for the feed.
const KEPT: u8 = 4;
/// The former state of keys is noted for the feed before they change.
const FORMER: u8 = 8;
/// An image is being taken.
const IMAGED: u8 = 16;
/// Effects are shown to an observer.
const OBSERVED: u8 = 32;
/// Memory is limited.
const LIMITED: u8 = 64;
/// The data of another server is being imported.
const IMPORTING: u8 = 128;

/// The work of the threads that keep files, for callers to do where there are none.
pub(crate) trait FileWork: Send + Sync {
    /// Does what there is to do; says whether there was anything.
    fn turn(&self, shared: &Arc<Shared>) -> bool;
}

/// A store, as all handles share it.
pub(crate) struct Shared {
    pub(crate) stripes: SharedStripes,
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    /// When the upkeep thread last looked at the clock, in milliseconds since the epoch.
    pub(crate) recent_ms: AtomicU64,
    pub(crate) upkeep_stats: Arc<ThreadStats>,
    state: AtomicU8,
    log: OnceLock<Arc<dyn EffectLog>>,
    observer: OnceLock<Arc<dyn ChangeObserver>>,
    stamps: Stamps,
    pub(crate) script_threads: ScriptThreads,
    pub(crate) feed: FeedHub,
    pub(crate) image_queue: Arc<ImageQueue>,
    has_threads: bool,
    /// The work on files, where no thread does it.
    file_work: OnceLock<Arc<dyn FileWork>>,
    /// For access counters of typed calls, which have no generator of their own.
    random: AtomicU64,
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        let seed = options
            .seed
            .unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let layout = options.layout(seed);
        let has_threads = options.has_threads();
        let mut engine = Engine::new(options.clock.now_us(), seed ^ options.clock.now_us());
        options.apply_to(&engine.settings);
        if let Some(databases) = options.database_count() {
            engine.settings.databases.store(databases.into(), Relaxed);
        }
        if let Some(host) = options.host {
            engine = engine.hosted_by(host);
        }
        let stripes = SharedStripes::new(layout);
        engine.totals = stripes.totals();
        if let Some(namespaces) = stripes.layout.namespaces() {
            engine.namespaces = Some(Arc::clone(namespaces));
            engine
                .settings
                .namespace_quotas
                .govern(Arc::clone(namespaces));
        }
        if let Some(scripts) = options.scripts {
            engine.scripts.run_by(scripts);
        }
        let shared = Self {
            stripes,
            upkeep_stats: engine.stats.thread(table().commands().len()),
            engine,
            recent_ms: AtomicU64::new(options.clock.now_us() / 1000),
            clock: options.clock,
            state: AtomicU8::new(if options.follower { FOLLOWER } else { 0 }),
            log: OnceLock::new(),
            observer: OnceLock::new(),
            stamps: Stamps::default(),
            script_threads: ScriptThreads::default(),
            feed: FeedHub::default(),
            image_queue: Arc::default(),
            has_threads,
            file_work: OnceLock::new(),
            random: AtomicU64::new(seed),
        };
        shared.limit_memory();
        if let Some(log) = options.log {
            shared.attach(log);
        }
        shared
    }

    pub(crate) fn session(&self, origin: Origin) -> Session {
        let client = self.engine.clients.add(origin, self.clock.now_us() / 1000);
        Session::new(client, !self.engine.settings.needs_password())
    }

    /// Whether the store may start threads, and callers may wait for each other.
    pub(crate) fn has_threads(&self) -> bool {
        self.has_threads
    }

    /// Has callers do the work on files.
    pub(crate) fn work_by(&self, files: Arc<dyn FileWork>) {
        // A store opens its files once.
        let _ = self.file_work.set(files);
    }

    /// Does work on files that waits, where no thread does; says whether there was any.
    pub(crate) fn turn_files(self: &Arc<Self>) -> bool {
        let files = self.file_work.get();
        files.is_some_and(|files| files.turn(self))
    }

    #[inline]
    pub(crate) fn router(&self) -> Router<'_> {
        Router::new(&self.stripes.layout)
    }

    /// Whether effects are wanted or writes restricted: anything that the shortest paths leave to
    /// others.
    #[inline]
    pub(crate) fn is_special(&self) -> bool {
        self.state.load(Relaxed) != 0
    }

    /// Whether anything can keep a caller out who is known: a pause, a closed gate, a role, a log
    /// without room.
    #[inline]
    pub(crate) fn is_guarded(&self) -> bool {
        let is_closed = !self.engine.gate.is_open();
        // Without a branch between the three, which are almost always zero.
        is_closed | self.is_special() | (self.engine.pause.until_ms() != 0)
    }

    #[inline]
    pub(crate) fn is_logged(&self) -> bool {
        self.state.load(Relaxed) & LOGGED != 0
    }

    #[inline]
    pub(crate) fn is_follower(&self) -> bool {
        self.state.load(Relaxed) & FOLLOWER != 0
    }

    /// Whether the data of another server is being imported: nothing is evicted, and nothing
    /// expires but what a client writes to.
    #[inline]
    pub(crate) fn is_importing(&self) -> bool {
        self.state.load(Relaxed) & IMPORTING != 0
    }

    /// Obeys the setting from the next command on. A section keeps to the rules it began with.
    pub(crate) fn obey_import_mode(&self) {
        if self.engine.settings.import_mode.load(Relaxed) {
            self.state.fetch_or(IMPORTING, Relaxed);
        } else {
            self.state.fetch_and(!IMPORTING, Relaxed);
        }
    }

    /// Whether nothing but a log can keep a command out, and the log has room for what it changes.
    #[inline]
    pub(crate) fn is_open_for(&self, changes: bool) -> bool {
        let is_open = self.engine.gate.is_open() & (self.engine.pause.until_ms() == 0);
        let is_logged_only = self.state.load(Relaxed) == LOGGED;
        (is_open & is_logged_only) && (!changes || self.log.get().is_some_and(|log| log.has_room()))
    }

    /// The log, while effects go there.
    pub(crate) fn log(&self) -> Option<&Arc<dyn EffectLog>> {
        self.log.get().filter(|_| self.is_logged())
    }

    /// Attaches the log, unless another one is attached already; says whether it did.
    pub(crate) fn attach(&self, log: Arc<dyn EffectLog>) -> bool {
        let attached = Arc::clone(self.log.get_or_init(|| Arc::clone(&log)));
        let is_same = Arc::ptr_eq(&attached, &log);
        if is_same {
            self.stamps.open(&self.stripes.layout);
            self.set_state(LOGGED, true);
        }
        is_same
    }

    pub(crate) fn detach(&self) {
        let held = self.stripes.lock_all(Patience::Wait);
        // Who reads the feed misses nothing; what was read from the log's files is another history.
        if self.feed.is_used() && !self.is_kept() {
            self.feed.open_memory(self.random_id());
            self.state.fetch_or(KEPT, Relaxed);
        }
        self.state.fetch_and(!LOGGED, Relaxed);
        drop(held);
    }

    /// An image is being taken from this moment on, at which every stripe is held, or no more.
    pub(crate) fn set_imaged(&self, is_imaged: bool) {
        match is_imaged {
            true => self.state.fetch_or(IMAGED, Relaxed),
            false => self.state.fetch_and(!IMAGED, Relaxed),
        };
    }

    /// Whether writes are put off because too much waits for an image to write it.
    pub(crate) fn is_image_full(&self) -> bool {
        let limit = &self.engine.settings.files.image_bytes;
        self.state.load(Relaxed) & IMAGED != 0 && self.image_queue.defers(limit.load(Relaxed))
    }

    /// Whether units are kept in memory for the feed.
    pub(crate) fn is_kept(&self) -> bool {
        self.state.load(Relaxed) & KEPT != 0
    }

    /// Notes what keys held before they change from now on, for the feed.
    pub(crate) fn note_former(&self) {
        if self.state.load(Relaxed) & FORMER == 0 {
            self.set_state(FORMER, true);
        }
    }

    /// Keeps units in memory for the feed from now on.
    pub(crate) fn keep_units(&self, random_id: [u8; 20]) {
        let held = self.stripes.lock_all(Patience::Wait);
        self.feed.open_memory(random_id);
        self.state.fetch_or(KEPT, Relaxed);
        drop(held);
    }

    /// Has an observer told of all changes from here on, unless there is one already; says whether
    /// it is.
    pub(crate) fn observe(&self, observer: Arc<dyn ChangeObserver>) -> bool {
        let is_first = self.observer.set(observer).is_ok();
        if is_first {
            self.set_state(OBSERVED, true);
        }
        is_first
    }

    /// Makes a log known that effects go to once [`Self::set_logged`] says so.
    pub(crate) fn know_log(&self, log: Arc<dyn EffectLog>) {
        self.stamps.open(&self.stripes.layout);
        // The first one stays: a store has one log in its life.
        let _ = self.log.set(log);
    }

    /// Whether effects go to the log, from this moment on, at which every stripe is held.
    pub(crate) fn set_logged(&self, _held: &HeldMany<'_>, is_logged: bool) {
        if is_logged {
            self.state.fetch_or(LOGGED, Relaxed);
            // The feed reads the log's files from here on.
            self.state.fetch_and(!KEPT, Relaxed);
        } else {
            self.state.fetch_and(!LOGGED, Relaxed);
        }
    }

    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.state.load(Relaxed) & LIMITED != 0
    }

    /// Whether commands look for room before they run. It need not be in force for a whole section.
    pub(crate) fn set_limited(&self, is_limited: bool) {
        if is_limited {
            self.state.fetch_or(LIMITED, Relaxed);
        } else {
            self.state.fetch_and(!LIMITED, Relaxed);
        }
    }

    pub(crate) fn set_follower(&self, follower: bool) {
        self.set_state(FOLLOWER, follower);
        if follower {
            // What they wait for may never come: its primary's clients get it.
            self.engine.clients.end_waits(Ending::RoleChanged);
        }
    }

    /// Changes the state between two sections of every stripe.
    fn set_state(&self, bit: u8, is_set: bool) {
        let held = self.stripes.lock_all(Patience::Wait);
        if is_set {
            self.state.fetch_or(bit, Relaxed);
        } else {
            self.state.fetch_and(!bit, Relaxed);
        }
        drop(held);
    }

    /// The rules of a section at this time, in microseconds since the epoch. Called while its
    /// stripes are held.
    #[inline]
    pub(crate) fn rules(&self, actor: Actor, now_us: u64) -> Rules {
        let state = self.state.load(Relaxed);
        let is_paused = self.engine.pause.until_ms() != 0;
        // Without a branch between the three.
        let is_special = (state & FOLLOWER != 0) | is_paused | (actor != Actor::Client);
        Rules {
            mode: match is_special {
                false => Mode::Primary,
                true => self.special_mode(actor, now_us / 1000),
            },
            is_logged: state & (LOGGED | KEPT | OBSERVED) != 0,
            wanted: match state & FORMER {
                0 => self.engine.settings.wanted_events(),
                _ => self
                    .engine
                    .settings
                    .wanted_events()
                    .with(EventClasses::FORMER),
            },
        }
    }

    #[cold]
    fn special_mode(&self, actor: Actor, now_ms: u64) -> Mode {
        let is_paused = || self.engine.pause.scope(now_ms).is_some();
        match actor {
            Actor::Repeater => Mode::Follower,
            Actor::Observer => Mode::Paused,
            _ if self.is_follower() || is_paused() => Mode::Paused,
            Actor::Reader if self.is_importing() => Mode::Paused,
            Actor::Importer if self.is_importing() => Mode::Importing,
            Actor::Client | Actor::Reader | Actor::Importer => Mode::Primary,
        }
    }

    /// Appends a unit to the log while its stripes are held. Returns how far the log has to be on
    /// disk before somebody may be told of these keys. A unit without effects only looks.
    #[inline]
    pub(crate) fn append(&self, unit: &mut Unit, now_ms: u64, reach: Reach<'_>) -> Lsn {
        let takers = self.state.load(Relaxed) & (LOGGED | KEPT | OBSERVED);
        match self.log.get() {
            Some(log) if takers == LOGGED && !unit.is_empty() => {
                let lsn = log.append(unit, now_ms);
                self.stamps.stamp(&self.stripes.layout, reach, lsn);
                lsn
            }
            _ => self.append_with(unit, now_ms, reach, Vec::new()),
        }
    }

    /// The same with what keys held before it.
    #[inline]
    pub(crate) fn append_with(
        &self,
        unit: &mut Unit,
        now_ms: u64,
        reach: Reach<'_>,
        former: Vec<FormerKey>,
    ) -> Lsn {
        let layout = &self.stripes.layout;
        let state = self.state.load(Relaxed);
        if let Some(observer) = self.observer.get() {
            changes::tell(&**observer, unit);
        }
        let mut former = former;
        if state & KEPT != 0 {
            self.feed.keep(unit, now_ms, std::mem::take(&mut former));
        }
        // Where there is no log, nobody waits for it.
        let Some(log) = self.log.get().filter(|_| state & LOGGED != 0) else {
            unit.clear();
            return Lsn::ZERO;
        };
        if unit.is_empty() {
            return self.stamps.latest(layout, reach);
        }
        let lsn = match former.is_empty() {
            true => log.append(unit, now_ms),
            false => self.feed.note_former(former, || log.append(unit, now_ms)),
        };
        self.stamps.stamp(layout, reach, lsn);
        // It is behind whatever changed these keys before.
        lsn
    }

    /// Notes that the unit before `lsn` has changed these keys, whose stripes are held.
    pub(crate) fn stamp(&self, reach: Reach<'_>, lsn: Lsn) {
        self.stamps.stamp(&self.stripes.layout, reach, lsn);
    }

    /// The place up to which the log has to be on disk before somebody may be told of these keys.
    pub(crate) fn latest(&self, reach: Reach<'_>) -> Lsn {
        self.stamps.latest(&self.stripes.layout, reach)
    }

    /// Blocks until the log is on disk up to `lsn`, where nobody may be told earlier.
    ///
    /// # Errors
    /// If the log has failed.
    #[inline]
    pub(crate) fn wait_for(&self, lsn: Lsn) -> Result<(), Error> {
        match lsn {
            Lsn::ZERO => Ok(()),
            _ => self.wait_for_log(lsn),
        }
    }

    #[cold]
    fn wait_for_log(&self, lsn: Lsn) -> Result<(), Error> {
        match self.log() {
            Some(log) if log.is_synchronous() => log.wait(lsn),
            _ => Ok(()),
        }
    }

    /// 20 random bytes, for the id of a log.
    pub(crate) fn random_id(&self) -> [u8; 20] {
        let mut random = kvik_command::Random::new(RandomState::new().hash_one(self.now_ms()));
        let mut id = [0; 20];
        for chunk in id.chunks_mut(8) {
            chunk.copy_from_slice(&random.bits().to_le_bytes()[..chunk.len()]);
        }
        id
    }

    /// Random bits for the access counters of a typed call; the same ones where nothing is counted.
    pub(crate) fn random(&self) -> u64 {
        let policy = self.engine.settings.access_policy();
        if !matches!(policy, AccessPolicy::Frequency { .. }) {
            return 0;
        }
        let number = self.random.fetch_add(1, Relaxed);
        kvik_command::Random::new(number).bits()
    }

    /// Counters of typed calls.
    pub(crate) fn typed_stats(&self) -> Arc<ThreadStats> {
        self.engine.stats.thread(table().commands().len())
    }

    /// A number that no other call gets, to begin random ones with.
    pub(crate) fn random_seed(&self) -> u64 {
        kvik_command::Random::new(self.random.fetch_add(1, Relaxed)).bits()
    }

    /// The time for work on a stripe that does not ask for it: exact where keys expire. Elsewhere
    /// only access clocks need it, for which one of the last second will do; reading the clock
    /// takes as long as the rest of a small read.
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
}

impl Upkeep for Shared {
    fn wake(&self) {
        self.stripes.alarm.prepare();
    }

    fn limits_changed(&self) {
        self.limit_memory();
    }

    fn stripe_waits(&self) -> u64 {
        self.stripes.waits()
    }
}
