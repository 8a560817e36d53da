//! The program around a store, as commands need it.

use std::borrow::Cow;
use std::time::Duration;

use crate::error::Error;

/// The options of a SHUTDOWN command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// Save first, or not; by default as configured.
    pub save: Option<bool>,
    /// Do not wait for replicas.
    pub now: bool,
    /// Go on even if something fails.
    pub force: bool,
}

/// One line of INFO that only the program knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The section, in lower case.
    pub section: &'static str,
    /// The field's name.
    pub name: &'static str,
    /// Its value.
    pub value: Cow<'static, str>,
}

/// Processor time and memory of the process; zeros where nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessUsage {
    /// Processor time in the kernel, in seconds.
    pub system_s: f64,
    /// Processor time of its own, in seconds.
    pub user_s: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Memory of the machine in bytes.
    pub machine_bytes: u64,
}

/// Configuration, process and threads: what a server has and an embedded store lacks.
pub trait Host: Send + Sync {
    /// The settings whose names match any of the patterns, with their values.
    fn config_get(&self, patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)>;

    /// Changes settings, all or none. `local` says whether the client is on this machine.
    ///
    /// # Errors
    /// The reply to give, which names the setting.
    fn config_set(&self, settings: &[(&[u8], &[u8])], local: bool) -> Result<(), Error>;

    /// Writes the settings to the file they came from.
    ///
    /// # Errors
    /// The reply to give.
    fn config_rewrite(&self) -> Result<(), Error>;

    /// The lines that the program adds to INFO.
    fn facts(&self) -> Vec<Fact>;

    /// Ends the program in an orderly way; the caller gets no reply when this succeeds.
    ///
    /// # Errors
    /// The reply to give when it cannot.
    fn shutdown(&self, how: Shutdown) -> Result<(), Error>;

    /// Gives up a shutdown that is waiting; says whether there was one.
    fn abort_shutdown(&self) -> bool;

    /// Has every serving thread look at its waiting clients again.
    fn wake_all(&self);

    /// The effects before the log position `lsn` are durable: what waited for them may be sent.
    fn durable(&self, lsn: u64);

    /// Effects have been lost, and none becomes durable any more until the store says so by
    /// [`Self::durable`]. What waits for them is never sent; its clients are disconnected.
    fn durability_lost(&self);

    /// A thread of the store has panicked; its task is not done any more.
    fn failed(&self);

    /// Writes a line to the log.
    fn log(&self, line: &str);

    /// Writes a line of a script to the log. Levels are those of Redis: 0 for debugging to 3 for
    /// warnings.
    fn log_script(&self, level: u8, line: &str);

    /// The operating system's figures on the process.
    fn process(&self) -> ProcessUsage;

    /// Has the process's allocator give back to the system what it keeps unused: what has been so
    /// for a while, or, thoroughly, all that it can tell at once from the calling thread.
    fn trim_allocator(&self, thoroughly: bool);

    /// Processor time of the calling thread in microseconds; none where it cannot be told.
    fn thread_cpu_us(&self) -> Option<u64> {
        None
    }

    /// Stops the calling thread for so long, for DEBUG SLEEP.
    fn sleep(&self, duration: Duration);

    /// Has another thread hold the stripe of a key for so long, for DEBUG HOLD.
    ///
    /// # Errors
    /// The reply to give where there is no such thread.
    fn hold(&self, key: &[u8], duration: Duration) -> Result<(), Error>;
}

/// No program: an embedded store.
#[derive(Clone, Copy, Debug)]
pub struct NoHost;

/// The refusal of an embedded store.
pub const NOT_A_SERVER: Error = Error::text("not available in an embedded store");

impl Host for NoHost {
    fn config_get(&self, _patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        Vec::new()
    }

    fn config_set(&self, _settings: &[(&[u8], &[u8])], _local: bool) -> Result<(), Error> {
        Err(NOT_A_SERVER)
    }

    fn config_rewrite(&self) -> Result<(), Error> {
        Err(NOT_A_SERVER)
    }

    fn facts(&self) -> Vec<Fact> {
        Vec::new()
    }

    fn shutdown(&self, _how: Shutdown) -> Result<(), Error> {
        Err(NOT_A_SERVER)
    }

    fn abort_shutdown(&self) -> bool {
        false
    }

    fn hold(&self, _key: &[u8], _duration: Duration) -> Result<(), Error> {
        Err(NOT_A_SERVER)
    }

    fn wake_all(&self) {}

    fn durable(&self, _lsn: u64) {}

    fn durability_lost(&self) {}

    fn failed(&self) {}

    fn log(&self, _line: &str) {}

    fn log_script(&self, _level: u8, _line: &str) {}

    fn process(&self) -> ProcessUsage {
        ProcessUsage::default()
    }

    fn trim_allocator(&self, _thoroughly: bool) {}

    fn sleep(&self, _duration: Duration) {}
}
