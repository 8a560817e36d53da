//! The files of a server: loading them at the start, what the banner says of them, and saving at
//! the end.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use kvik::{Db, OpenError, Recovered, SystemDisk};
use kvik_command::gate::Closure;
use kvik_command::host::Shutdown;
use kvik_command::persistence::{Begun, Loading, Task};

use crate::config::{Config, Key};
use crate::import::{self, Source};

/// How often the progress of a load is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(500);
/// How often the end of a snapshot is looked for while the server ends.
const LOOK: Duration = Duration::from_millis(5);

/// Says in the banner what is kept.
pub(crate) fn announce(config: &Config) {
    let dir = config.text(Key::Dir);
    let snapshots = !config.save_rules().is_empty();
    let kept = match (config.bool(Key::Appendonly), snapshots) {
        (true, true) => format!(
            "every write is logged (appendfsync {}) and snapshots are taken, in {dir}",
            config.choice(Key::Appendfsync)
        ),
        (true, false) => format!(
            "every write is logged (appendfsync {}), in {dir}",
            config.choice(Key::Appendfsync)
        ),
        (false, true) => format!("snapshots are taken in {dir}; there is no log"),
        (false, false) => "data in memory only: nothing is saved".to_owned(),
    };
    tracing::info!("{kept}");
}

/// Whether there is nothing to load, so that no client need be refused meanwhile.
pub(crate) fn is_absent(config: &Config, db: &Db) -> bool {
    let files = &db.engine().settings.files;
    let names = files.names.read();
    let parts = [&names.snapshot, &names.log_dir, &names.log_stem];
    let is_there = |part: &&String| names.dir.join(part).symlink_metadata().is_ok();
    config.words(Key::Import).is_empty() && !parts.iter().any(is_there)
}

/// Loads the data, opens the log and says what was found. Shows the progress on a terminal, and
/// every few seconds in the log otherwise.
pub(crate) fn open(config: &Config, db: &Db) -> Result<(), OpenError> {
    let (done, is_done) = channel::<()>();
    let found = thread::scope(|scope| {
        scope.spawn(move || {
            let mut shown = 0;
            while is_done.recv_timeout(SHOWN_EVERY) == Err(RecvTimeoutError::Timeout) {
                shown += 1;
                show(&db.engine().persistence().loading(), shown);
            }
        });
        let found = db.open_files(Arc::new(SystemDisk));
        drop(done);
        found
    });
    let found = found.inspect_err(|error| tell(config, error))?;
    report(config, db, &found);
    if found.source.is_empty() || import::is_unfinished(db) {
        import_all(config, db)?;
    }
    Ok(())
}

/// Lets clients in.
pub(crate) fn admit(db: &Db) {
    db.engine().gate.open(Closure::Loading);
    tracing::info!("Ready to accept connections");
}

/// Leaves in the log why there is no server. Who started it is told at the end of the program, so
/// a terminal shows it once.
fn tell(config: &Config, error: &OpenError) {
    let is_seen = config.text(Key::Logfile).is_empty() && io::stdout().is_terminal();
    if !is_seen {
        tracing::error!("{error}");
        if matches!(error, OpenError::Snapshot { .. }) {
            tracing::error!("Terminating server after rdb file reading failure.");
        }
    }
}

/// Imports the data of other servers, before clients are served.
fn import_all(config: &Config, db: &Db) -> Result<(), OpenError> {
    let dir = config.path(Key::Dir).unwrap_or_default();
    for source in config.words(Key::Import) {
        let source = Source::parse(&source).within(&dir);
        import::into_store(&source, db).map_err(|error| OpenError::Io {
            path: source.path().to_owned(),
            error,
        })?;
    }
    Ok(())
}

/// Shows how far a load is: in place on a terminal, else with every tenth look a line of the log.
fn show(loading: &Loading, shown: u32) {
    let percent = 100 * loading.loaded_bytes / loading.total_bytes.max(1);
    let rate = f64::from(u32::try_from(loading.loaded_bytes >> 10).unwrap_or(u32::MAX))
        / 1024.0
        / (f64::from(shown) * SHOWN_EVERY.as_secs_f64());
    let text = format!(
        "loading: {percent} % of {} MiB, {rate:.0} MiB/s, {} s left",
        loading.total_bytes >> 20,
        loading.eta_s
    );
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        // A terminal that has gone shows nothing.
        let _ = write!(terminal, "\r{text} ").and_then(|()| terminal.flush());
    } else if shown.is_multiple_of(10) {
        tracing::info!("{text}");
    }
}

fn report(config: &Config, db: &Db, found: &Recovered) {
    if !found.source.is_empty() {
        tracing::info!("loaded {} keys from {}", found.keys, found.source);
    }
    if let Some(dropped) = &found.dropped {
        tracing::warn!("the log was torn: {dropped}");
    }
    if let Some(ignored) = &found.ignored {
        tracing::warn!("{ignored}");
    }
    if config.bool(Key::Appendonly) {
        let id = db.engine().replication_id();
        tracing::debug!("the log's id is {id}");
    }
}

/// Saves before a signal ends the server, as `shutdown-on-sigterm` and its like say. Says whether
/// it may end.
pub(crate) fn save_for_signal(config: &Config, db: &Db, signal: i32) -> bool {
    let key = if signal == signal_hook::consts::SIGINT {
        Key::ShutdownOnSigint
    } else {
        Key::ShutdownOnSigterm
    };
    let words = config.words(key);
    let says = |word: &str| words.iter().any(|it| it == word);
    let how = Shutdown {
        save: match (says("save"), says("nosave")) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        now: says("now"),
        force: says("force"),
    };
    let persistence = db.engine().persistence();
    let Ok(Begun::Now(task)) = persistence.begin(Task::Shutdown(how)) else {
        return true;
    };
    loop {
        if let Some(ended) = persistence.ended(task) {
            return ended.is_ok();
        }
        db.engine().pause.wait(LOOK);
    }
}
