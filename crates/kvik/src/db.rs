//! The handle to a store.

use std::io::Read;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use kvik_command::client::Origin;
use kvik_command::gate::Closure;
use kvik_command::{Engine, Error, Persistence, Session};
use kvik_log::Disk;
use kvik_resp::Value;
use parking_lot::Mutex;

use crate::changes::ChangeObserver;
use crate::connection::Connection;
use crate::effects::{EffectLog, Unit};
use crate::executor::Executor;
use crate::feed::thread::FeedPort;
use crate::load::{self, LoadError, LoadOptions, LoadProgress, LoadReport};
use crate::lookout::Lookout;
use crate::options::Options;
use crate::persist::{OpenError, Persist, Recovered};
use crate::replay::Replay;
use crate::runner::Runner;
use crate::shared::Shared;
use crate::stripes::Patience;
use crate::upkeep::{self, UpkeepRounds};

/// How often the log is looked after while nobody waits for it.
const LOG_LOOK: Duration = Duration::from_millis(100);

/// A handle to a store. Clones share it; it closes with the last of them.
#[derive(Clone)]
pub struct Db {
    pub(crate) shared: Arc<Shared>,
    open: Arc<Open>,
}

/// The parts that end with the last handle.
struct Open {
    shared: Arc<Shared>,
    /// Sessions between two calls of [`Db::run`].
    idle: Mutex<Vec<Runner>>,
    upkeep: UpkeepBy,
    /// Its files, and the thread that writes them.
    saver: Mutex<Option<Saver>>,
}

/// The files of a store, and the thread that writes them, where there is one.
type Saver = (Arc<Persist>, Option<JoinHandle<()>>);

/// Who looks after the keys of a store.
enum UpkeepBy {
    Thread(Option<JoinHandle<()>>),
    /// Those who call [`Db::tick`].
    Callers(Box<Mutex<UpkeepRounds>>),
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.engine.scripts.stop();
        self.shared.feed.stop();
        self.shared.stripes.alarm.stop();
        if let UpkeepBy::Thread(thread) = &mut self.upkeep
            && let Some(thread) = thread.take()
        {
            // A panic there has already been reported; there is nobody left to tell.
            let _ = thread.join();
        }
        if let Some((persist, saver)) = self.saver.lock().take() {
            persist.stop(&self.shared, saver);
        }
    }
}

impl Db {
    /// Opens the store whose files lie in a directory, and creates the directory if there is none.
    /// Data that an earlier process has acknowledged is there again, as far as the [fsync
    /// policy](Options::fsync) promises.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path();
    /// let db = kvik::Db::open(path)?;
    /// db.set(b"greeting", b"hello").unwrap();
    /// drop(db);
    /// let db = kvik::Db::open(path)?;
    /// assert_eq!(db.get(b"greeting").unwrap().as_deref(), Some(&b"hello"[..]));
    /// # Ok::<_, kvik::OpenError>(())
    /// ```
    ///
    /// # Errors
    /// If another process has the directory open, or a file is damaged beyond a torn end of the
    /// log. No file has been changed then.
    pub fn open(options: impl Into<Options>) -> Result<Self, OpenError> {
        let options = options.into();
        let disk = options.disk();
        let has_files = options.dir.is_some();
        let db = Self::in_memory(options);
        if has_files {
            db.open_files(disk)?;
        }
        Ok(db)
    }

    /// An empty store in memory: nothing is saved.
    ///
    /// ```
    /// let db = kvik::Db::memory();
    /// assert_eq!(db.run(&["INCRBY", "n", "5"]).as_int(), Some(5));
    /// ```
    #[must_use]
    pub fn memory() -> Self {
        Self::in_memory(Options::default())
    }

    /// An empty store in memory, opened with options. Those about files have no effect before
    /// [`Db::open_files`].
    #[must_use]
    pub fn in_memory(options: Options) -> Self {
        let shared = Arc::new(Shared::new(options));
        let feed = FeedPort(Arc::downgrade(&shared));
        shared.engine.feed_by(Arc::new(feed));
        let upkeep: Weak<Shared> = Arc::downgrade(&shared);
        shared.engine.upkeep_by(upkeep);
        let open = Open::new(Arc::clone(&shared));
        Self {
            shared,
            open: Arc::new(open),
        }
    }

    /// Does what is due in a store [without threads](Options::without_threads): deletes keys whose
    /// time has come, frees memory, writes and syncs the log as its policy says, takes snapshots
    /// that were asked for. Returns after what time there is more to do, unless commands run in
    /// between; call it at least that often, and after a batch of writes to a log. Where the store
    /// has threads they do all that, and this returns at once.
    ///
    /// Costs what is due; a snapshot or a rewrite of the log is made in one go.
    pub fn tick(&self) -> Duration {
        let UpkeepBy::Callers(rounds) = &self.open.upkeep else {
            return Duration::MAX;
        };
        while self.shared.turn_files() {}
        let next = rounds.lock().turn(&self.shared);
        match self.shared.is_logged() {
            true => next.min(LOG_LOOK),
            false => next,
        }
    }

    /// Has an observer told of every change of a key from here on. A store has one at most; says
    /// whether this is the one.
    pub fn observe(&self, observer: Arc<dyn ChangeObserver>) -> bool {
        self.shared.observe(observer)
    }

    /// Loads the files that the settings name into this store, which must be empty, and logs and
    /// saves from then on as they say. Clients are refused meanwhile (`LOADING`), and also behind
    /// it if they were before: whoever closed the gate opens it. Returns what was found.
    ///
    /// # Errors
    /// As [`Db::open`]. The store must not be used any more then.
    pub fn open_files(&self, disk: Arc<dyn Disk>) -> Result<Recovered, OpenError> {
        let mut saver = self.open.saver.lock();
        if saver.is_some() {
            return Err(OpenError::AlreadyOpen);
        }
        let engine = &self.shared.engine;
        let was_open = !engine.gate.is_closed_by(Closure::Loading);
        engine.gate.close(Closure::Loading);
        let persist = Arc::new(Persist::new(&self.shared, disk));
        engine.persist_by(Arc::clone(&persist) as Arc<dyn Persistence>);
        let (recovered, thread) = persist.start(&self.shared)?;
        *saver = Some((persist, thread));
        if was_open {
            engine.gate.open(Closure::Loading);
        }
        Ok(recovered)
    }

    /// Waits until all that has happened so far is on disk, whatever the fsync policy is. So one
    /// call commits a group of changes; without a log it does nothing.
    ///
    /// # Errors
    /// If the disk has failed.
    pub fn commit(&self) -> Result<(), Error> {
        match self.shared.log() {
            Some(log) => log.wait_for_all(),
            None => Ok(()),
        }
    }

    /// Hands changed settings about the log to it at once; without this call it learns of them
    /// within a tenth of a second.
    pub fn file_settings_changed(&self) {
        if let Some((persist, _)) = &*self.open.saver.lock() {
            persist.settings_changed(&self.shared);
        }
    }

    /// Obeys a changed memory limit from now on.
    pub fn memory_settings_changed(&self) {
        self.shared.limit_memory();
    }

    /// Begins or ends to treat expired keys as those of another server whose data is imported.
    pub fn import_mode_changed(&self) {
        self.shared.obey_import_mode();
    }

    /// Number of stripes, a power of two.
    pub fn stripes(&self) -> usize {
        self.shared.stripes.len()
    }

    /// The most elements of large values that were touched while stripes were held once, since it
    /// was asked last. For tests: nothing is counted without debug assertions.
    #[cfg(debug_assertions)]
    pub fn take_longest_section(&self) -> u64 {
        self.shared.stripes.take_longest()
    }

    /// Settings, clients and counters.
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// Something that runs commands for many sessions, one after the other; one for each thread of
    /// a server.
    pub fn executor(&self, patience: Patience) -> Executor {
        Executor::new(Arc::clone(&self.shared), patience)
    }

    /// A session of its own, as if a client had connected.
    ///
    /// ```
    /// # let db = kvik::Db::memory();
    /// let mut client = db.connect();
    /// client.run(&["SELECT", "3"]);
    /// client.run(&["SET", "k", "v"]);
    /// assert!(db.run(&["GET", "k"]).is_null(), "another database");
    /// ```
    pub fn connect(&self) -> Connection {
        Connection::new(self.clone(), Runner::new(&self.shared))
    }

    /// The same for the program itself: neither loading nor a failure to save keeps its commands
    /// out.
    pub fn connect_internal(&self) -> Connection {
        let mut runner = Runner::new(&self.shared);
        runner.session.internal = true;
        Connection::new(self.clone(), runner)
    }

    /// Registers a client and returns its session, for a server that runs it with an [`Executor`]
    /// and ends it with [`Executor::end`].
    pub fn session(&self, origin: Origin) -> Session {
        self.shared.session(origin)
    }

    /// Runs one command on database 0 and returns its reply. An error is a value, as it is for a
    /// client. State that a command leaves behind, such as MULTI, is gone with the call;
    /// [`Db::connect`] keeps it.
    ///
    /// Blocks while clients are paused and while the log has no room; where the log is synchronous,
    /// until the reply may be told.
    ///
    /// ```
    /// # let db = kvik::Db::memory();
    /// assert_eq!(db.run(&["RPUSH", "queue", "a", "b"]).as_int(), Some(2));
    /// assert!(db.run(&["INCR", "queue"]).as_error().is_some());
    /// ```
    pub fn run(&self, words: &[impl AsRef<[u8]>]) -> Value {
        let idle = self.open.idle.lock().pop();
        let mut runner = idle.unwrap_or_else(|| Runner::new(&self.shared));
        let reply = runner.run(words);
        runner.reset();
        self.open.idle.lock().push(runner);
        reply
    }

    /// Gives all effects to a log from now on: those of every unit of work that has not begun yet.
    /// Returns false if another log has been attached before; the same one may be attached again
    /// after [`detach_log`](Self::detach_log). Waits until no stripe is held.
    pub fn attach_log(&self, log: Arc<dyn EffectLog>) -> bool {
        self.shared.attach(log)
    }

    /// Gives effects to no log any more. Waits until no stripe is held.
    pub fn detach_log(&self) {
        self.shared.detach();
    }

    /// The log to which effects go, if any.
    pub fn log(&self) -> Option<&Arc<dyn EffectLog>> {
        self.shared.log()
    }

    /// Loads an RDB file. The store is a follower meanwhile, and nobody else uses it.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged. What was stored before stays: the caller
    /// discards the store, or flushes it.
    pub fn load(
        &self,
        input: &mut (dyn Read + Send),
        options: &LoadOptions,
        progress: &LoadProgress,
    ) -> Result<LoadReport, LoadError> {
        load::load(&self.shared, input, options, progress)
    }

    /// Makes the store follow the effects of another one ([`Db::replay`]), or ends that. No key of
    /// a follower expires by itself, those whose time has come are hidden from its clients, and it
    /// refuses their writes. Waits until no stripe is held.
    pub fn set_follower(&self, follower: bool) {
        self.shared.set_follower(follower);
    }

    /// Whether the store follows another one.
    pub fn is_follower(&self) -> bool {
        self.shared.is_follower()
    }

    /// Something that repeats effects: those of a log that is loaded, or of the store that this one
    /// follows.
    pub fn replay(&self) -> Replay {
        Replay::new(&self.shared)
    }

    /// Repeats one unit of another store's effects, all at once; [`Db::replay`] is for many.
    ///
    /// # Errors
    /// The replies that were errors: the two stores have come apart.
    pub fn follow(&self, unit: &Unit) -> Result<(), Vec<Value>> {
        self.replay().apply(unit)
    }
}

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        let upkeep = match shared.has_threads() {
            true => UpkeepBy::Thread(Some(start_upkeep(Arc::clone(&shared)))),
            false => {
                let rounds = UpkeepRounds::new(&shared);
                UpkeepBy::Callers(Box::new(Mutex::new(rounds)))
            }
        };
        Self {
            shared,
            idle: Mutex::default(),
            upkeep,
            saver: Mutex::new(None),
        }
    }
}

fn start_upkeep(shared: Arc<Shared>) -> JoinHandle<()> {
    let run = move || {
        let _lookout = Lookout(&shared.engine);
        upkeep::run(&shared);
    };
    let started = std::thread::Builder::new()
        .name("kvik-upkeep".into())
        .spawn(run);
    started.expect("the system can start one more thread")
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db")
            .field("stripes", &self.shared.stripes.len())
            .finish_non_exhaustive()
    }
}
