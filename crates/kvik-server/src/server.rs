//! Starting, serving and stopping.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use kvik::{ChangeObserver, Db, Options};
use kvik_command::VERSION;
use kvik_command::cluster::Topology;
use kvik_command::gate::Closure;
use kvik_script::LuaEngine;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::{self, Config, Key, LoadError, Loaded};
use crate::front::{Front, HIGH_WATER};
use crate::host::{ServerHost, Stop};
use crate::http::HttpServer;
use crate::listening::{ClusterNode, ListenError, Listening, OpenDoor};
use crate::net::{self, Backend, Driver};
use crate::reactor::Reactor;
use crate::reactor::inbox::Inbox;
use crate::{files, indexing, log, settings, supervisor};

/// Why the server could not start, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is not usable.
    #[error("{0}")]
    Config(#[from] LoadError),
    /// An address cannot be listened on.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// No address is left to listen on.
    #[error("nothing to listen on: port is 0, tls-port is 0 and there is no unixsocket")]
    NoAddress,
    /// The data cannot be loaded. The files are as they were.
    #[error("{0}")]
    Files(#[from] kvik::OpenError),
    /// The system refuses something else.
    #[error("cannot {what}: {error}")]
    System {
        /// The operation.
        what: &'static str,
        /// The system's error.
        error: io::Error,
    },
}

fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |error| StartError::System { what, error }
}

/// Runs the server that a command line (without the program's name) describes, until a signal or
/// SHUTDOWN ends it.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let loaded = config::load(&args, std::env::vars_os(), &mut io::stdin());
    match loaded.map_err(StartError::from).and_then(serve) {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell when standard error is gone, too.
            let _ = writeln!(io::stderr(), "kvik: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(loaded: Loaded) -> Result<ExitCode, StartError> {
    let config = Arc::new(loaded.config);
    let log = log::start(&config).map_err(system("open the log file"))?;
    if loaded.greets_as_kevy {
        // Nobody is left to tell when standard error is gone.
        let _ = writeln!(io::stderr(), "{}", kevy_greeting(&config));
    }
    settings::obey_log(&config, log);
    let server = Server::start(Arc::clone(&config))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    supervisor::tell(&config, supervisor::READY);
    let signals = watch_signals(server.stop.clone()).map_err(system("watch signals"))?;
    let code = server.wait(&config);
    signals.close();
    Ok(code)
}

fn watch_signals(stop: Sender<Stop>) -> io::Result<signal_hook::iterator::Handle> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let handle = signals.handle();
    let watch = move || {
        for signal in signals.forever() {
            // The server may have ended already.
            let _ = stop.send(Stop::Signal(signal));
        }
    };
    thread::Builder::new()
        .name("kvik-signals".into())
        .spawn(watch)?;
    Ok(handle)
}

/// A running server.
pub struct Server {
    db: Db,
    front: Arc<Front>,
    threads: Vec<JoinHandle<()>>,
    http: Option<HttpServer>,
    addresses: Vec<SocketAddr>,
    stop: Sender<Stop>,
    stopped: Receiver<Stop>,
    pid_file: Option<PidFile>,
}

impl Server {
    /// Starts serving as configured and returns at once.
    ///
    /// # Errors
    /// If an address is not free, or the system lacks something.
    pub fn start(config: Arc<Config>) -> Result<Self, StartError> {
        raise_file_limit(&config);
        let threads = thread_count(&config);
        let (listening, doors) = Listening::start(&config)?;
        let nodes = Listening::start_nodes(&config, threads)?;
        if doors.is_empty() {
            return Err(StartError::NoAddress);
        }
        let addresses = doors.iter().filter_map(|open| open.listener.tcp_address());
        let addresses: Vec<_> = addresses.collect();
        let shown: Vec<_> = doors.iter().map(OpenDoor::to_string).collect();
        let (stop, stopped) = channel();
        let front = Arc::new(Front::new(Arc::clone(&config)));
        let indexed = doors.iter().filter(|open| open.door.speech.has_tree());
        let indexed = indexed.map(|open| (open.door.database, front.scope(&open.door)));
        let indexed = indexed.collect();
        // Who turns the protection off by name knows.
        let is_named = config.is_chosen(Key::ProtectedMode);
        let is_exposed = |open: &&OpenDoor| {
            let is_told = open.door.is_explicit || !is_named;
            is_told && open.is_public() && front.is_open_to_all(&open.door)
        };
        let exposed: Vec<_> = doors
            .iter()
            .chain(nodes.iter().flat_map(|node| &node.doors))
            .filter(is_exposed)
            .map(OpenDoor::to_string)
            .collect();
        let crew = Crew::new(threads, &config, stop.clone())?;
        let host = ServerHost {
            config: Arc::clone(&config),
            front: Arc::clone(&front),
            stop: stop.clone(),
            io_backend: crew.io_backend,
            threads,
        };
        let options = options(&config, threads).host(Arc::new(host));
        let db = Db::in_memory(options.scripts(LuaEngine::shared()));
        if !nodes.is_empty() {
            let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
            db.engine().cluster_by(Topology::new(ports, db.stripes()));
        }
        if doors.iter().any(|open| open.door.speech.may_need_tree()) {
            db.observe(Arc::clone(&front.trees) as Arc<dyn ChangeObserver>);
        }
        settings::obey(&config, &db);
        settings::tell_threads(&config, &front);
        settings::relisten(&config, &front, listening);
        settings::raise_file_limit(&config);
        settings::refuse_pending(&config);
        announce(&config, &shown, threads, crew.io_backend);
        announce_nodes(&nodes);
        for door in exposed {
            tracing::warn!("{door} serves everybody who can reach it, without a password");
        }
        // Clients may come while data is loaded; they are told so.
        let is_loaded = files::is_absent(&config, &db);
        if is_loaded {
            files::open(&config, &db)?;
        } else {
            db.engine().gate.close(Closure::Loading);
        }
        let http = HttpServer::start(&config, &db).map_err(system("serve metrics"))?;
        if let Some(http) = &http {
            tracing::info!("metrics on http://{}/metrics", http.address);
        }
        let threads = crew.serve(&front, &db, doors, nodes);
        let pid_file = PidFile::write(&config);
        let mut server = Self {
            db,
            front,
            threads,
            http,
            addresses,
            stop,
            stopped,
            pid_file,
        };
        if !is_loaded {
            files::open(&config, &server.db)?;
        }
        files::admit(&server.db);
        let index = indexing::start(&server.front, &server.db, indexed);
        server.threads.extend(index);
        Ok(server)
    }

    /// The TCP addresses it listens on, with the ports that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The state that its threads share.
    #[cfg(test)]
    pub(crate) fn front(&self) -> Arc<Front> {
        Arc::clone(&self.front)
    }

    /// Its store.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Serves until a signal or SHUTDOWN, then ends in an orderly way. A signal saves first, as
    /// configured; if that fails the server goes on.
    fn wait(self, config: &Config) -> ExitCode {
        let why = loop {
            let why = self.stopped.recv().unwrap_or(Stop::Failure);
            match why {
                Stop::Signal(signal) => {
                    tracing::info!("received signal {signal}, shutting down");
                    if !files::save_for_signal(config, &self.db, signal) {
                        tracing::warn!("cannot save the data, so the server goes on");
                        continue;
                    }
                }
                Stop::Command => tracing::info!("received SHUTDOWN, shutting down"),
                Stop::Failure => tracing::error!("a thread failed, shutting down"),
            }
            break why;
        };
        supervisor::tell(config, supervisor::STOPPING);
        drop(self);
        tracing::info!("bye");
        if why == Stop::Failure {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// How the store is opened.
fn options(config: &Config, threads: usize) -> Options {
    let databases = u32::try_from(config.int(Key::Databases)).unwrap_or(u32::MAX);
    let mut options = Options::default().threads(threads).databases(databases);
    if config.bool(Key::ClusterEnabled) {
        options = options.by_slots();
    }
    match config.choice(Key::Namespaces) {
        "auto" => options.namespaces(),
        _ => options,
    }
}

impl Drop for Server {
    /// Answers what has been read, closes all connections and ends the threads.
    fn drop(&mut self) {
        self.http = None;
        // A script that runs on keeps its thread from ending.
        self.db.engine().scripts.stop();
        self.front.stop_all();
        for thread in self.threads.drain(..) {
            // A panic has been reported where it happened.
            let _ = thread.join();
        }
        self.pid_file = None;
    }
}

/// The I/O threads while they start: each makes its own driver, and all wait until the store is
/// there.
struct Crew {
    starts: Vec<Sender<Start>>,
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
    io_backend: &'static str,
}

/// The parts with which an I/O thread begins.
struct Start {
    front: Arc<Front>,
    db: Db,
    doors: Vec<OpenDoor>,
}

impl Crew {
    fn new(count: usize, config: &Config, stop: Sender<Stop>) -> Result<Self, StartError> {
        let backend = match config.choice(Key::Io) {
            "mio" => Backend::Mio,
            "uring" => Backend::Uring,
            _ => Backend::Auto,
        };
        let mut crew = Self {
            starts: Vec::new(),
            inboxes: Vec::new(),
            threads: Vec::new(),
            io_backend: "",
        };
        for index in 0..count {
            let (start, started) = channel();
            let (ready, is_ready) = channel();
            let stop = stop.clone();
            let work = move || io_thread(index as u16, backend, &ready, &started, &stop);
            let thread = thread::Builder::new()
                .name(format!("kvik-io-{index}"))
                .spawn(work);
            crew.threads.push(thread.map_err(system("start a thread"))?);
            let opened = is_ready
                .recv()
                .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
            let (inbox, io_backend) = opened.map_err(system("open the I/O backend"))?;
            crew.starts.push(start);
            crew.inboxes.push(inbox);
            crew.io_backend = io_backend;
        }
        Ok(crew)
    }

    /// Lets the threads begin. The first one accepts clients for all, but for those of nodes, each
    /// of which has its thread.
    fn serve(
        self,
        front: &Arc<Front>,
        db: &Db,
        doors: Vec<OpenDoor>,
        nodes: Vec<ClusterNode>,
    ) -> Vec<JoinHandle<()>> {
        front.open(self.inboxes);
        let (mut common, mut nodes) = (Some(doors), nodes.into_iter());
        for start in self.starts {
            let mut doors = common.take().unwrap_or_default();
            doors.extend(nodes.next().into_iter().flat_map(|node| node.doors));
            // A thread that has died says so by `Stop::Failure`.
            let _ = start.send(Start {
                front: Arc::clone(front),
                db: db.clone(),
                doors,
            });
        }
        self.threads
    }
}

type Opened = io::Result<(Arc<Inbox>, &'static str)>;

fn io_thread(
    index: u16,
    backend: Backend,
    ready: &Sender<Opened>,
    start: &Receiver<Start>,
    stop: &Sender<Stop>,
) {
    let options = net::Options {
        high_water: HIGH_WATER,
        ..net::Options::default()
    };
    let driver = match net::open(backend, &options) {
        Ok(driver) => driver,
        Err(error) => {
            // The starting thread waits for this and reports it.
            let _ = ready.send(Err(error));
            return;
        }
    };
    let inbox = Arc::new(Inbox::new(driver.waker()));
    // If the starting thread has given up, there will be no start either.
    let _ = ready.send(Ok((Arc::clone(&inbox), driver.name())));
    let Ok(start) = start.recv() else { return };
    let _lookout = Lookout(stop);
    if let Err(error) = serve_thread(index, driver, inbox, start) {
        tracing::error!("I/O thread {index}: {error}");
        // Whoever listens is shutting down already if this fails.
        let _ = stop.send(Stop::Failure);
    }
}

/// Ends the server when an I/O thread panics: its clients would wait for ever, and new ones with
/// them.
struct Lookout<'a>(&'a Sender<Stop>);

impl Drop for Lookout<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // Whoever listens is shutting down already if this fails.
            let _ = self.0.send(Stop::Failure);
        }
    }
}

fn serve_thread(
    index: u16,
    driver: Box<dyn Driver>,
    inbox: Arc<Inbox>,
    start: Start,
) -> io::Result<()> {
    let mut reactor = Reactor::new(index, start.front, start.db, driver, inbox);
    for open in start.doors {
        reactor.listen(open)?;
    }
    reactor.run()
}

fn thread_count(config: &Config) -> usize {
    match config.size(Key::Threads) {
        0 => thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

/// Raises the limit of open files so that all clients fit, as far as it goes.
fn raise_file_limit(config: &Config) {
    let wanted = settings::files_for(config);
    match net::limits::raise_open_files(wanted) {
        Ok(limit) if limit < wanted => {
            let clients = config.size(Key::Maxclients);
            tracing::warn!(
                "the system allows {limit} open files, too few for maxclients {clients}"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!("cannot learn the limit of open files: {error}"),
    }
}

/// The start banner.
fn announce(config: &Config, doors: &[String], threads: usize, io_backend: &str) {
    tracing::info!("kvik {VERSION} on {}", doors.join(", "));
    tracing::info!(
        "{threads} I/O threads on {io_backend}, pid {}",
        std::process::id()
    );
    files::announce(config);
    for ignored in config.without_effect() {
        tracing::warn!(
            "{} {} has no effect: {}",
            ignored.name,
            ignored.value,
            ignored.reason
        );
    }
}

fn announce_nodes(nodes: &[ClusterNode]) {
    if let [first, .., last] = nodes {
        let (first, last) = (first.port, last.port);
        tracing::info!(
            "{} nodes of a cluster on the ports {first} to {last}",
            nodes.len()
        );
    } else if let [node] = nodes {
        tracing::info!("one node of a cluster on port {}", node.port);
    }
}

/// The start as kevy tells it, for scripts that look for its facts.
fn kevy_greeting(config: &Config) -> String {
    let aof = if config.bool(Key::Appendonly) {
        "on"
    } else {
        "off"
    };
    let cluster = match config.bool(Key::ClusterEnabled) {
        true => ", cluster",
        false => "",
    };
    format!(
        "kevy v{VERSION} (kvik) starting: {}:{}, {} shard(s), dir={}, aof={aof}{cluster} (thread-per-core)",
        config.words(Key::Bind).join(" "),
        config.int(Key::Port),
        thread_count(config),
        config.text(Key::Dir),
    )
}

/// The file that holds the process id while the server runs.
struct PidFile(std::path::PathBuf);

impl PidFile {
    fn write(config: &Config) -> Option<Self> {
        let path = config.path(Key::Pidfile)?;
        match std::fs::write(&path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(Self(path)),
            Err(error) => {
                tracing::warn!("cannot write {}: {error}", path.display());
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // It may have been removed by hand, which is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_thread_ends_the_server() {
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || {
            let _lookout = Lookout(&stop);
            panic!("as it must never happen");
        });
        assert_eq!(stopped.recv(), Ok(Stop::Failure));
        assert!(thread.join().is_err());
    }
}
