//! Data of other servers, read into the store.
//!
//! A source is written as `neks:store.kvs`, `nkv:directory` or `kevy:directory`. It is read as a
//! stream of commands that write a key each, whatever is wrong with a part of it: what cannot be
//! read is reported and the rest goes on. The source itself is never changed.

mod digest;
pub mod kevy;
pub mod neks_store;

use std::io;
use std::path::{Path, PathBuf};

use kvik::Db;
use kvik_resp::Value;

/// A source of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A snapshot of Neks.
    NeksStore(PathBuf),
    /// A data directory of nkv.
    NkvDirectory(PathBuf),
    /// A data directory of kevy.
    KevyDirectory(PathBuf),
}

/// How an import went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Keys that were taken.
    pub keys: u64,
    /// The records that could not be read, in sentences.
    pub defects: Vec<String>,
}

/// Takes what a source holds.
pub trait ImportSink {
    /// Takes a command that writes one key, whatever was there before.
    ///
    /// # Errors
    /// If it cannot be taken, which ends the import.
    fn take(&mut self, command: &[&[u8]]) -> io::Result<()>;

    /// Learns how many bytes of the source have been read, where that takes a while.
    fn show(&mut self, read_bytes: u64, total_bytes: u64) {
        let _ = (read_bytes, total_bytes);
    }
}

/// Takes a key and its value; an error ends the import.
pub type Take<'a> = dyn FnMut(&[u8], &[u8]) -> io::Result<()> + 'a;

impl Source {
    /// Reads `neks:path`, `nkv:path` or `kevy:path`; `nkv:` and `kevy:` alone are the server's own
    /// data directory. A path alone is judged by what lies there: a directory is one of kevy if it
    /// has files of its kind, and otherwise one of nkv.
    pub fn parse(text: &str) -> Self {
        if let Some(path) = text.strip_prefix("neks:") {
            return Self::NeksStore(path.into());
        }
        if let Some(path) = text.strip_prefix("nkv:") {
            return Self::NkvDirectory(path.into());
        }
        if let Some(path) = text.strip_prefix("kevy:") {
            return Self::KevyDirectory(path.into());
        }
        let path = Path::new(text);
        match path.is_dir() {
            true if kevy::exists(path) => Self::KevyDirectory(path.into()),
            true => Self::NkvDirectory(path.into()),
            false => Self::NeksStore(path.into()),
        }
    }

    /// The same with the server's data directory where none is named.
    pub(crate) fn within(self, dir: &Path) -> Self {
        match self {
            Self::NkvDirectory(path) if path.as_os_str().is_empty() => {
                Self::NkvDirectory(dir.to_owned())
            }
            Self::KevyDirectory(path) if path.as_os_str().is_empty() => {
                Self::KevyDirectory(dir.to_owned())
            }
            named => named,
        }
    }

    /// Whether its names are those of clients whose doors split none.
    pub fn has_plain_names(&self) -> bool {
        !matches!(self, Self::KevyDirectory(_))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        let (Self::NeksStore(path) | Self::NkvDirectory(path) | Self::KevyDirectory(path)) = self;
        path
    }

    /// Whether there is anything to read.
    pub fn exists(&self) -> bool {
        match self {
            Self::NeksStore(path) => path.is_file(),
            Self::NkvDirectory(path) => path.join("digest").is_dir(),
            Self::KevyDirectory(path) => kevy::exists(path),
        }
    }

    /// Gives all keys to `sink`. The same key may come more than once; the last one counts.
    ///
    /// # Errors
    /// If the source cannot be opened, or `sink` fails.
    pub fn read(&self, sink: &mut dyn ImportSink) -> io::Result<ImportReport> {
        let mut set = |key: &[u8], value: &[u8]| sink.take(&[b"SET", key, value]);
        match self {
            Self::NeksStore(path) => neks_store::read(std::fs::File::open(path)?, &mut set),
            Self::NkvDirectory(path) => digest::read(path, &mut set),
            Self::KevyDirectory(path) => kevy::read(path, sink),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path().display())
    }
}

/// Has the keys of a connection live in the namespace `default`, where there are namespaces.
pub(crate) fn enter_default(connection: &mut kvik::Connection) {
    // It is refused where there are none, and all is well.
    let _ = connection.run(&ENTER_DEFAULT);
}

/// The command for that.
pub const ENTER_DEFAULT: [&str; 3] = ["NAMESPACE", "USE", "default"];

/// Sources from this size on tell how far they have been read.
const LARGE_BYTES: u64 = 64 << 20;

/// A store while a source is read into it.
struct StoreSink<'a> {
    connection: kvik::Connection,
    source: &'a Source,
    shown_percent: u64,
}

impl ImportSink for StoreSink<'_> {
    fn take(&mut self, command: &[&[u8]]) -> io::Result<()> {
        match self.connection.run(command) {
            Value::Error(error) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                Err(io::Error::other(text))
            }
            _ => Ok(()),
        }
    }

    fn show(&mut self, read_bytes: u64, total_bytes: u64) {
        let percent = read_bytes.saturating_mul(100) / total_bytes.max(1);
        if total_bytes >= LARGE_BYTES && percent >= self.shown_percent + 10 {
            self.shown_percent = percent;
            let (source, mib) = (self.source, total_bytes >> 20);
            tracing::info!("importing {source}: {percent} % of {mib} MiB");
        }
    }
}

/// A file in the data directory while a source is read into a store with a log. The log has a part
/// of the keys then, so that it is there alone does not mean that all are.
struct ImportMark(PathBuf);

impl ImportMark {
    fn of(db: &Db) -> Self {
        let files = &db.engine().settings.files;
        Self(files.names.read().dir.join("import.unfinished"))
    }

    fn set(&self) -> io::Result<()> {
        std::fs::File::create(&self.0)?.sync_all()
    }

    /// Takes it away when all keys are on disk.
    fn clear(&self, db: &Db) -> io::Result<()> {
        db.commit()
            .map_err(|_| io::Error::other("the log cannot be written"))?;
        std::fs::remove_file(&self.0)
    }
}

/// Whether an import began and did not end, since the process did. Nobody has been served, so to
/// import again is to finish it.
pub(crate) fn is_unfinished(db: &Db) -> bool {
    ImportMark::of(db).0.exists()
}

/// Reads a source into a store, and says in the log how it went.
///
/// # Errors
/// If there is a source and it cannot be read: who serves without its keys would lose them.
pub(crate) fn into_store(source: &Source, db: &Db) -> io::Result<()> {
    if !source.exists() {
        tracing::debug!("there is nothing to import at {source}");
        return Ok(());
    }
    let mark = db.log().is_some().then(|| ImportMark::of(db));
    mark.iter().try_for_each(ImportMark::set)?;
    let mut connection = db.connect_internal();
    if source.has_plain_names() {
        enter_default(&mut connection);
    }
    let mut sink = StoreSink {
        connection,
        source,
        shown_percent: 0,
    };
    let report = source.read(&mut sink)?;
    mark.iter().try_for_each(|mark| mark.clear(db))?;
    tracing::info!(
        "imported {} keys from {source}, which stays as it is",
        report.keys
    );
    for defect in report.defects {
        tracing::warn!("{source}: {defect}");
    }
    Ok(())
}
