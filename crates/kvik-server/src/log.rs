//! The server's own log: one line per event, to standard output or a file, as text, JSON or logfmt.
//!
//! Level and format can change while the server runs. Both are one layer, which is then replaced as
//! a whole.

use std::fmt::{Debug, Result as FmtResult};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Config, Key};

/// Changes the running log.
#[derive(Clone)]
pub(crate) struct LogControl(Option<Arc<RunningLog>>);

struct RunningLog {
    layer: reload::Handle<LogLayer, Registry>,
    writer: LogWriter,
}

/// A level and a format.
type LogLayer = Box<dyn Layer<Registry> + Send + Sync>;
/// Where lines go.
type LogWriter = Arc<dyn Fn() -> Box<dyn io::Write> + Send + Sync>;

/// Starts the log. Where a log is already set up, as in tests, that one stays.
///
/// # Errors
/// If the log file cannot be opened.
pub(crate) fn start(config: &Config) -> io::Result<LogControl> {
    let writer = writer(config.path(Key::Logfile).as_deref())?;
    let (layer, handle) = reload::Layer::new(layer(config, &writer));
    let set = tracing_subscriber::registry().with(layer).try_init();
    let running = RunningLog {
        layer: handle,
        writer,
    };
    Ok(LogControl(set.is_ok().then(|| Arc::new(running))))
}

fn writer(file: Option<&Path>) -> io::Result<LogWriter> {
    let Some(path) = file else {
        return Ok(Arc::new(|| Box::new(io::stdout())));
    };
    if path == Path::new("/dev/stderr") {
        // Where that is a socket, as under systemd, it cannot be opened by its name.
        return Ok(Arc::new(|| Box::new(io::stderr())));
    }
    // A line may name clients and what they sent: a new file is the owner's alone.
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(0o600).open(path)?;
    let file = Arc::new(file);
    Ok(Arc::new(move || Box::new(Arc::clone(&file))))
}

fn layer(config: &Config, writer: &LogWriter) -> LogLayer {
    let level = level(config.choice(Key::Loglevel));
    let writer = Arc::clone(writer);
    let lines = fmt::layer()
        .with_target(false)
        .with_ansi(false)
        .with_writer(move || writer());
    match config.choice(Key::LogFormat) {
        "json" => Box::new(level.and_then(lines.json())),
        "logfmt" => Box::new(level.and_then(lines.event_format(Logfmt))),
        _ => Box::new(level.and_then(lines)),
    }
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
    /// Logs with the level and in the format that are configured now.
    pub(crate) fn change(&self, config: &Config) -> Result<(), String> {
        let Some(running) = &self.0 else {
            return Ok(());
        };
        let changed = layer(config, &running.writer);
        let replaced = running.layer.reload(changed);
        replaced.map_err(|error| error.to_string())
    }
}

/// Lines of `name=value`, values in quotes where they need them.
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> FmtResult {
        write!(writer, "time=")?;
        SystemTime.format_time(&mut writer)?;
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        write!(writer, " level={level}")?;
        let mut line = LogfmtLine(writer, Ok(()));
        event.record(&mut line);
        line.1?;
        writeln!(line.0)
    }
}

/// A line that fields are appended to, and whether that has worked so far.
struct LogfmtLine<'a>(Writer<'a>, FmtResult);

impl Visit for LogfmtLine<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let name = match field.name() {
            "message" => "msg",
            name => name,
        };
        let text = format!("{value:?}");
        let is_word = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
        let written = if !text.is_empty() && text.bytes().all(is_word) {
            write!(self.0, " {name}={text}")
        } else {
            write!(self.0, " {name}={text:?}")
        };
        self.1 = self.1.and(written);
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// A writer that keeps what was written.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock())).unwrap()
        }
    }

    #[test]
    fn level_and_format_change_while_it_runs() {
        let (config, lines) = (Config::with_defaults().unwrap(), Lines::default());
        let kept = lines.clone();
        let writer: LogWriter = Arc::new(move || Box::new(kept.clone()));
        let (layer, handle) = reload::Layer::new(layer(&config, &writer));
        let running = RunningLog {
            layer: handle,
            writer,
        };
        let log = LogControl(Some(Arc::new(running)));
        crate::settings::obey_log(&config, log);
        let set = |name: &str, value: &str| {
            config
                .set(&[(name.as_bytes(), value.as_bytes())], true)
                .unwrap();
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!("said");
            tracing::debug!("unsaid");
            assert!(lines.take().ends_with(" INFO said\n"));
            set("loglevel", "verbose");
            tracing::debug!("said now");
            assert!(lines.take().ends_with("DEBUG said now\n"));
            set("loglevel", "warning");
            tracing::info!("unsaid");
            assert_eq!(lines.take(), "");
            set("log-format", "json");
            tracing::warn!("as json");
            assert!(lines.take().contains("\"message\":\"as json\""));
            set("log-format", "logfmt");
            tracing::warn!(count = 2, "two \"words\"");
            let line = lines.take();
            let expected = " level=warn msg=\"two \\\"words\\\"\" count=2\n";
            assert!(
                line.starts_with("time=2") && line.ends_with(expected),
                "{line}"
            );
        });
    }

    #[test]
    fn a_new_log_file_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        writer(Some(&path)).unwrap()().write_all(b"line\n").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
