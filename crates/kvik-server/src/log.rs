//! The server's own log: one line per event, to standard output or a file, as text or JSON.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload;
use tracing_subscriber::{Registry, fmt};

use crate::config::{Config, Key};

/// Changes the level of the running log.
#[derive(Clone)]
pub(crate) struct LogControl(Option<Arc<reload::Handle<LevelFilter, Registry>>>);

/// Starts the log. Where a log is already set up, as in tests, that one stays.
///
/// # Errors
/// If the log file cannot be opened.
pub(crate) fn start(config: &Config) -> io::Result<LogControl> {
    let writer = writer(config.path(Key::Logfile).as_deref())?;
    let (filter, handle) = reload::Layer::new(level(config.choice(Key::Loglevel)));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer()
        .with_target(false)
        .with_ansi(false)
        .with_writer(writer);
    let set = if config.choice(Key::LogFormat) == "json" {
        registry.with(layer.json()).try_init()
    } else {
        registry.with(layer).try_init()
    };
    Ok(LogControl(set.is_ok().then(|| Arc::new(handle))))
}

fn writer(file: Option<&Path>) -> io::Result<BoxMakeWriter> {
    let Some(path) = file else {
        return Ok(BoxMakeWriter::new(io::stdout));
    };
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    Ok(BoxMakeWriter::new(Arc::new(file)))
}

/// Redis' level names.
fn level(name: &str) -> LevelFilter {
    match name {
        "debug" => LevelFilter::TRACE,
        "verbose" => LevelFilter::DEBUG,
        "notice" => LevelFilter::INFO,
        "warning" => LevelFilter::WARN,
        _ => LevelFilter::OFF,
    }
}

impl LogControl {
    /// Logs what is at least as severe as this level from now on.
    pub(crate) fn set_level(&self, name: &str) -> Result<(), String> {
        let Some(handle) = &self.0 else { return Ok(()) };
        handle
            .modify(|filter| *filter = level(name))
            .map_err(|error| error.to_string())
    }
}
