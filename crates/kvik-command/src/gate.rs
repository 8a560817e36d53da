//! The gate: which commands are refused because of the state that the data set is in.
//!
//! While data loads, commands see half of it; while the log or the snapshots fail, a write could
//! not be kept. One word says whether any of that holds, so an open gate costs a load and a
//! comparison per command.

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::declare::{Command, Flags, Locking};
use crate::error::Error;
use crate::session::Session;

/// Why commands are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Closure {
    /// Data is being loaded.
    Loading = 1,
    /// The log cannot be written.
    LogFailed = 1 << 1,
    /// The last snapshot failed, and snapshots are configured.
    SaveFailed = 1 << 2,
}

/// What one more script that keeps everybody out adds to the closures.
const SCRIPT: u32 = 1 << 8;

/// Which commands are refused at present.
#[derive(Debug, Default)]
pub struct Gate {
    /// The closures in force, one bit each, and above them the number of scripts that keep
    /// everybody out. Read before every command.
    closures: AtomicU32,
    /// The operating system's error of the failed log.
    log_error: Mutex<String>,
}

impl Gate {
    /// Whether every command may pass.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.closures.load(Ordering::Relaxed) == 0
    }

    /// Whether it is closed for this reason.
    pub fn is_closed_by(&self, closure: Closure) -> bool {
        self.closures.load(Ordering::Relaxed) & closure as u32 != 0
    }

    /// Refuses commands for this reason from now on.
    pub fn close(&self, closure: Closure) {
        self.closures.fetch_or(closure as u32, Ordering::Relaxed);
    }

    /// Refuses commands for this reason no longer.
    pub fn open(&self, closure: Closure) {
        self.closures
            .fetch_and(!(closure as u32), Ordering::Relaxed);
    }

    /// Refuses commands while a script runs, until as many have ended as have begun.
    pub fn close_for_script(&self) {
        self.closures.fetch_add(SCRIPT, Ordering::Relaxed);
    }

    /// Such a script has ended.
    pub fn open_after_script(&self) {
        self.closures.fetch_sub(SCRIPT, Ordering::Relaxed);
    }

    /// Whether a script runs that keeps everybody out.
    pub fn is_closed_by_script(&self) -> bool {
        self.closures.load(Ordering::Relaxed) >= SCRIPT
    }

    /// Refuses writes because the log cannot be written; `error` is what the system says.
    pub fn close_for_log(&self, error: &str) {
        error.clone_into(&mut self.log_error.lock());
        self.close(Closure::LogFailed);
    }

    /// Passes a command of a session, or says why it is refused. EXEC is judged by what it would
    /// run.
    ///
    /// # Errors
    /// `LOADING` or `MISCONF`.
    #[cold]
    pub fn pass(&self, session: &Session, command: &Command) -> Result<(), Error> {
        let traits = Traits::of(session, command);
        // Redis refuses PING as well, so that who watches a server by PING learns of the failure.
        let refused = traits.writes || command.name() == "PING";
        match traits.loading {
            true => self.pass_writes(refused),
            false => self.pass_call(refused),
        }
    }

    /// Passes a call of an embedding program that is no command, or says why it is refused.
    ///
    /// # Errors
    /// `LOADING` or `MISCONF`.
    #[cold]
    pub fn pass_call(&self, writes: bool) -> Result<(), Error> {
        if self.is_closed_by(Closure::Loading) {
            return Err(loading());
        }
        self.pass_writes(writes)
    }

    fn pass_writes(&self, writes: bool) -> Result<(), Error> {
        if writes && self.is_closed_by(Closure::SaveFailed) {
            return Err(Error::Coded("MISCONF", SAVE_FAILED.into()));
        }
        if writes && self.is_closed_by(Closure::LogFailed) {
            let error = self.log_error.lock();
            let text = format!("Errors writing to the AOF file: {error}");
            return Err(Error::Coded("MISCONF", text.into()));
        }
        Ok(())
    }
}

/// The reply to a command that cannot run while data is being loaded.
pub fn loading() -> Error {
    Error::Coded("LOADING", "Redis is loading the dataset in memory".into())
}

const SAVE_FAILED: &str = "Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
     Commands that may modify the data set are disabled, because this instance is configured to report errors during \
     writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details \
     about the RDB error.";

/// The properties that decide on a command, or on all that EXEC would run.
struct Traits {
    /// It may run while data is loading.
    loading: bool,
    writes: bool,
}

impl Traits {
    fn of(session: &Session, command: &Command) -> Self {
        let mut traits = Self {
            loading: command.flags().contains(Flags::LOADING),
            writes: command.flags().contains(Flags::WRITE),
        };
        if command.locking() == Locking::Queue {
            // EXEC may run while data loads only if all its commands may, and writes if one of them
            // does.
            let queue = session.transaction.iter().flat_map(|it| &it.queue);
            for queued in queue {
                traits.loading &= queued.command.flags().contains(Flags::LOADING);
                traits.writes |= queued.command.flags().contains(Flags::WRITE);
            }
        }
        traits
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kvik_resp::ArgsBuf;

    use super::*;
    use crate::client::{Clients, Origin};
    use crate::table;

    fn command(name: &str) -> &'static Command {
        let words: ArgsBuf = [name, "a", "b"].iter().collect();
        table().resolve(words.as_args()).expect("a known command")
    }

    fn session() -> Session {
        let clients = Clients::default();
        Session::new(clients.add(Origin::embedded(), 0), true)
    }

    fn code(gate: &Gate, session: &Session, name: &str) -> Option<&'static str> {
        gate.pass(session, command(name))
            .err()
            .map(|error| error.code())
    }

    #[test]
    fn each_closure_refuses_its_own() {
        let (gate, session) = (Arc::new(Gate::default()), session());
        gate.close(Closure::Loading);
        assert_eq!(code(&gate, &session, "GET"), Some("LOADING"));
        assert_eq!(code(&gate, &session, "INFO"), None);
        gate.open(Closure::Loading);
        assert!(gate.is_open());
        gate.close_for_log("No space left on device");
        assert_eq!(code(&gate, &session, "GET"), None);
        assert_eq!(code(&gate, &session, "SET"), Some("MISCONF"));
        assert_eq!(code(&gate, &session, "PING"), Some("MISCONF"));
    }

    #[test]
    fn exec_is_judged_by_its_queue() {
        let (gate, mut session) = (Gate::default(), session());
        gate.close(Closure::SaveFailed);
        session.begin();
        assert_eq!(code(&gate, &session, "EXEC"), None);
        let words: ArgsBuf = ["SET", "a", "b"].iter().collect();
        session.queue(crate::queued::Queued {
            command: command("SET"),
            args: words.as_args(),
            hash: None,
        });
        assert_eq!(code(&gate, &session, "EXEC"), Some("MISCONF"));
    }
}
