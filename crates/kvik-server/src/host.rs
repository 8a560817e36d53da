//! The server as its commands see it: configuration, process, shutdown.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use kvik_command::host::{Fact, ProcessUsage, Shutdown};
use kvik_command::{Error, Host};

use crate::allocator;
use crate::config::{Config, Key};
use crate::front::Front;
use crate::process;
use crate::supervisor;

/// Why the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGTERM or SIGINT.
    Signal(i32),
    /// The SHUTDOWN command.
    Command,
    /// A thread cannot go on.
    Failure,
}

pub(crate) struct ServerHost {
    pub(crate) config: Arc<Config>,
    pub(crate) front: Arc<Front>,
    pub(crate) stop: Sender<Stop>,
    pub(crate) io_backend: &'static str,
    pub(crate) threads: usize,
}

impl Host for ServerHost {
    fn config_get(&self, patterns: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        self.config.get(patterns)
    }

    fn config_set(&self, settings: &[(&[u8], &[u8])], local: bool) -> Result<(), Error> {
        self.config
            .set(settings, local)
            .map_err(|error| Error::quoting(&error.parts()))
    }

    fn config_rewrite(&self) -> Result<(), Error> {
        self.config
            .rewrite()
            .map_err(|error| reply(&error.to_string()))
    }

    fn facts(&self) -> Vec<Fact> {
        let awake = self.front.awake();
        let executable = std::env::current_exe()
            .map_or_else(|_| String::new(), |path| path.display().to_string());
        let file = self
            .config
            .file()
            .map_or_else(String::new, |path| path.display().to_string());
        let supervised = match supervisor::is_told(&self.config) {
            true => "systemd",
            false => "no",
        };
        vec![
            fact("server", "os", std::env::consts::OS),
            fact("server", "arch_bits", usize::BITS.to_string()),
            fact("server", "multiplexing_api", self.io_backend),
            fact("server", "process_id", std::process::id().to_string()),
            fact("server", "process_supervised", supervised),
            fact("server", "tcp_port", self.config.int(Key::Port).to_string()),
            fact(
                "server",
                "io_threads_active",
                if awake > 1 { "1" } else { "0" },
            ),
            fact("server", "io_threads_awake", awake.to_string()),
            fact("server", "io_threads", self.threads.to_string()),
            fact("server", "executable", executable),
            fact("server", "config_file", file),
            fact(
                "clients",
                "maxclients",
                self.config.int(Key::Maxclients).to_string(),
            ),
            fact("memory", "mem_allocator", "mimalloc"),
        ]
    }

    fn shutdown(&self, _how: Shutdown) -> Result<(), Error> {
        self.stop
            .send(Stop::Command)
            .map_err(|_| Error::text("the server is already shutting down"))
    }

    fn abort_shutdown(&self) -> bool {
        false
    }

    fn wake_all(&self) {
        self.front.attend_all();
    }

    fn durable(&self, lsn: u64) {
        self.front.advance(lsn);
    }

    fn durability_lost(&self) {
        self.front.lose();
    }

    fn failed(&self) {
        // Whoever listens is shutting down already if this fails.
        let _ = self.stop.send(Stop::Failure);
    }

    fn log(&self, line: &str) {
        tracing::info!("{line}");
    }

    fn log_script(&self, level: u8, line: &str) {
        match level {
            0 => tracing::debug!("{line}"),
            1 | 2 => tracing::info!("{line}"),
            _ => tracing::warn!("{line}"),
        }
    }

    fn process(&self) -> ProcessUsage {
        process::usage()
    }

    fn trim_allocator(&self, thoroughly: bool) {
        allocator::trim(thoroughly);
    }

    fn thread_cpu_us(&self) -> Option<u64> {
        Some(process::thread_cpu_us())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "DEBUG SLEEP is asked to block its thread"
    )]
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn hold(&self, key: &[u8], duration: Duration) -> Result<(), Error> {
        self.front.hold(key, duration);
        Ok(())
    }
}

fn fact(section: &'static str, name: &'static str, value: impl Into<Cow<'static, str>>) -> Fact {
    Fact {
        section,
        name,
        value: value.into(),
    }
}

/// An error whose text already starts with its code.
fn reply(text: &str) -> Error {
    Error::new(text.strip_prefix("ERR ").unwrap_or(text).to_owned())
}
