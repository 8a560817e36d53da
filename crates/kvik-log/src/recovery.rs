//! From the files of a log to a log that is appended to.
//!
//! [`Recovery::open`] reads the manifest, [`Recovery::replay`] hands base and increments to whoever
//! builds the store, and [`Recovery::into_log`] cuts off what the last file has behind its last
//! whole unit, keeps those bytes in a file of their own, makes everything durable that has been
//! replayed, and only then lets anything be appended.
//!
//! Only the last file may end badly: a loss of power can tear nothing else, as an increment is
//! fsynced before the next one is named. In the last file a torn end is always dropped, and a
//! corrupt one if it is short enough to be what one interruption can leave; anything else is an
//! error that names file, offset and reason, and nothing is changed.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Lsn;
use crate::clock::Clock;
use crate::disk::{Disk, DiskLock, DiskReader, write_all};
use crate::files::Files;
use crate::log::Log;
use crate::manifest::ManifestFile;
use crate::open_error::OpenError;
use crate::options::LogOptions;
use crate::reader::{ReadError, ReadUnit, UnitReader};
use crate::shared::{Mode, Shared, Start};
use crate::status::Dropped;
use crate::writer::Writer;

/// The file that keeps a second server out of a directory.
const LOCK_NAME: &str = "kvik.lock";

/// How files begin that hold a snapshot.
const SNAPSHOT_MAGIC: [&[u8]; 2] = [b"REDIS", b"VALKEY"];

/// A directory that this process alone has open, until the last copy is dropped.
#[derive(Clone)]
pub struct DirectoryLock(Arc<dyn DiskLock>);

impl std::fmt::Debug for DirectoryLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DirectoryLock")
    }
}

/// Creates the directory of a database if need be, and keeps other processes out of it.
pub fn lock_directory(disk: &dyn Disk, dir: &Path) -> Result<DirectoryLock, OpenError> {
    let path = dir.join(LOCK_NAME);
    let above = dir.parent().unwrap_or(Path::new("."));
    let made = disk.create_dir(dir).and_then(|()| disk.sync_dir(above));
    let lock = made.and_then(|()| disk.lock(&path));
    match lock {
        Ok(Some(lock)) => Ok(DirectoryLock(Arc::from(lock))),
        Ok(None) => Err(OpenError::Locked(dir.to_owned())),
        Err(error) => Err(OpenError::Io { path, error }),
    }
}

/// Takes what a log holds.
pub trait Replay {
    /// Loads the snapshot that a file starts with, and returns its length. `source` may be read
    /// further.
    fn snapshot(&mut self, source: &mut dyn DiskReader, file: &LogFile) -> Result<u64, String>;

    /// Applies a unit.
    fn unit(&mut self, unit: ReadUnit<'_>) -> Result<(), String>;

    /// Learns how much of all files has been replayed; called now and then.
    fn progress(&mut self, _bytes: u64, _total: u64) {}
}

/// A file of the log, in the order in which they are replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// Where it starts in the log.
    pub start: Lsn,
    /// Whether it is the base.
    pub is_base: bool,
}

/// Progress is told after so many bytes of commands.
const PROGRESS_BYTES: u64 = 4 << 20;

/// A log that is about to be opened.
pub struct Recovery {
    options: LogOptions,
    disk: Arc<dyn Disk>,
    files: Files,
    lock: DirectoryLock,
    parts: Vec<LogFile>,
    total: u64,
    /// How the last file ends, once everything is replayed.
    end: Option<End>,
}

/// The end of the last file.
#[derive(Clone, Debug, Default)]
struct End {
    /// Where its last whole unit ends.
    valid: u64,
    /// The reason why anything follows, if it does.
    torn: Option<String>,
    /// Seconds of the last annotation.
    time_s: Option<u64>,
}

impl Recovery {
    /// Reads the manifest and looks for the files that it names. An old single file becomes the
    /// base.
    pub fn open(
        options: LogOptions,
        disk: Arc<dyn Disk>,
        lock: DirectoryLock,
    ) -> Result<Self, OpenError> {
        let mut files = Files::open(&options, Arc::clone(&disk))?;
        let parts = locate(&mut files)?;
        let total = parts.iter().map(|part| part.len).sum();
        // Nothing to replay is nothing that ends badly.
        let end = parts.is_empty().then(End::default);
        Ok(Self {
            options,
            disk,
            files,
            lock,
            parts,
            total,
            end,
        })
    }

    /// Whether there is a log.
    pub fn exists(&self) -> bool {
        !self.parts.is_empty()
    }

    /// The files that are replayed, in order.
    pub fn files(&self) -> &[LogFile] {
        &self.parts
    }

    /// Their bytes.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// Hands over everything that the log holds.
    pub fn replay(&mut self, replay: &mut dyn Replay) -> Result<(), OpenError> {
        let mut before = 0;
        for at in 0..self.parts.len() {
            let end = self.replay_file(at, before, replay)?;
            let part = &self.parts[at];
            before += part.len;
            replay.progress(before, self.total);
            if at + 1 == self.parts.len() {
                self.end = Some(end);
            } else if let Some(reason) = end.torn {
                // More of the log follows, which would be applied to a state that it does not fit.
                return Err(unsound(part, end.valid, reason));
            }
        }
        Ok(())
    }

    fn replay_file(
        &self,
        at: usize,
        before: u64,
        replay: &mut dyn Replay,
    ) -> Result<End, OpenError> {
        let part = &self.parts[at];
        let failed = |error| self.files.error(&part.path, error);
        let replay_failed = |reason| OpenError::Replay {
            path: part.path.clone(),
            reason,
        };
        // A snapshot may be followed by commands: that was the form of a file that Redis 4 to 6
        // rewrote.
        let mut source = self.disk.read(&part.path).map_err(failed)?;
        let mut used = 0;
        if starts_with_snapshot(&mut *source).map_err(failed)? {
            used = replay.snapshot(&mut *source, part).map_err(replay_failed)?;
        }
        source.seek(SeekFrom::Start(used)).map_err(failed)?;

        // Each file begins with database 0, as in Redis.
        let mut reader = UnitReader::new(source, used, 0);
        let mut told = used;
        loop {
            match reader.next_unit() {
                Ok(Some(unit)) => {
                    let end = unit.end;
                    replay.unit(unit).map_err(replay_failed)?;
                    if end - told > PROGRESS_BYTES {
                        told = end;
                        replay.progress(before + end, self.total);
                    }
                }
                Ok(None) => break Ok(self.end_of(&reader, None)),
                Err(ReadError::Io(error)) => break Err(failed(error)),
                Err(error) => {
                    self.check_end(part, reader.valid(), &error)?;
                    break Ok(self.end_of(&reader, Some(error.to_string())));
                }
            }
        }
    }

    fn end_of<R: Read>(&self, reader: &UnitReader<R>, torn: Option<String>) -> End {
        End {
            valid: reader.valid(),
            time_s: reader.time_s(),
            torn,
        }
    }

    /// Whether the file may be cut behind its last whole unit.
    fn check_end(&self, part: &LogFile, valid: u64, error: &ReadError) -> Result<(), OpenError> {
        let corrupt = matches!(error, ReadError::Corrupt { .. });
        if !self.options.load_truncated {
            let reason = format!("{error}, and aof-load-truncated is off");
            return Err(unsound(part, valid, reason));
        }
        if corrupt && part.len - valid > self.options.corrupt_tail_bytes {
            let reason = format!("{error}, {} bytes before its end", part.len - valid);
            return Err(unsound(part, valid, reason));
        }
        Ok(())
    }

    /// The bytes that will be dropped from the end of the log.
    pub fn dropped(&self) -> Option<Dropped> {
        let (part, end) = (self.parts.last()?, self.end.as_ref()?);
        let reason = end.torn.clone()?;
        let name = part.path.file_name()?.to_string_lossy();
        Some(Dropped {
            file: name.to_string(),
            offset: end.valid,
            bytes: part.len - end.valid,
            reason,
            kept_in: self.files.path(&format!("{name}.{}.dropped", end.valid)),
        })
    }

    /// Opens the log for appending. Everything must have been replayed.
    pub fn into_log(self, clock: Arc<dyn Clock>) -> Result<Log, OpenError> {
        self.start(clock, Mode::Attached)
    }

    /// Opens the log for appending, where what the store holds did not come from it. Nothing that
    /// is appended is durable before a rewrite has made a base of the store; until then a restart
    /// finds the files as they are.
    pub fn into_log_without_base(self, clock: Arc<dyn Clock>) -> Result<Log, OpenError> {
        self.start(clock, Mode::Detached)
    }

    fn start(mut self, clock: Arc<dyn Clock>, mode: Mode) -> Result<Log, OpenError> {
        let dropped = self.dropped();
        let attached = mode == Mode::Attached;
        assert!(
            self.end.is_some() || !attached,
            "everything has been replayed"
        );
        let end = self.end.take();
        if let Some(dropped) = &dropped {
            let part = self.parts.last().expect("something was cut off from it");
            cut(&*self.disk, part, dropped).map_err(|error| self.files.error(&part.path, error))?;
        }
        let place = self.parts.last().map_or(Lsn::ZERO, |last| {
            let valid = end.as_ref().map_or(last.len, |end| end.valid);
            // A base that the log begins with is no part of its places.
            last.start.plus(if last.is_base { 0 } else { valid })
        });
        self.choose_id(place, attached && dropped.is_none());
        let opened = self.open_increment(place, mode);
        let manifest = self.options.manifest_path();
        let (file, file_start) = opened.map_err(|error| self.files.error(&manifest, error))?;
        self.files.remove_temporary();
        let named = self.files.manifest.clone();
        self.files.retention().load(&*self.disk, &named);

        // The size of a log that has no base yet is that of what is appended.
        let parts = if attached { &self.parts[..] } else { &[] };
        let strays = self.files.strays();
        let base = parts.first().filter(|part| part.is_base);
        let first = parts.iter().find(|part| !part.is_base);
        let shared = Arc::new(Shared::new(Start {
            clock,
            lock: Arc::clone(&self.lock.0),
            dropped,
            strays,
            end: place,
            mode,
            policy: self.options.policy,
            timestamps: self.options.timestamps,
            latest_s: end.and_then(|end| end.time_s).unwrap_or(0),
            buffer_bytes: self.options.buffer_bytes,
            base_len: base.map_or(0, |part| part.len),
            increments_start: first.map_or(place, |part| part.start),
            files: self.files,
        }));
        let writer = Writer::new(Arc::clone(&shared), file, file_start);
        Ok(Log::new(shared, writer))
    }

    /// Keeps the log's id if its last process ended it in an orderly manner and nothing came or
    /// went since.
    fn choose_id(&mut self, end: Lsn, whole: bool) {
        let last = self.files.manifest.increments.last();
        let kept = last.filter(|last| whole && last.end() == Some(end));
        if let Some(id) = kept.and_then(ManifestFile::id) {
            self.files.id = id;
        }
    }

    fn open_increment(
        &mut self,
        end: Lsn,
        mode: Mode,
    ) -> io::Result<(Box<dyn crate::disk::DiskWriter>, Lsn)> {
        self.files.create_dir()?;
        let last = self.parts.last().filter(|last| !last.is_base);
        match (mode, last) {
            (Mode::Attached, Some(last)) => {
                let start = last.start;
                Ok((self.files.reopen_increment(start)?, start))
            }
            (Mode::Attached, None) => Ok((self.files.create_increment(end, true)?, end)),
            _ => Ok((self.files.create_increment(end, false)?, end)),
        }
    }
}

impl std::fmt::Debug for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recovery")
            .field("files", &self.parts)
            .finish_non_exhaustive()
    }
}

/// The files that the manifest names. Where it does not say where they start in the log, they
/// follow each other.
fn locate(files: &mut Files) -> Result<Vec<LogFile>, OpenError> {
    let mut parts = Vec::new();
    let mut next = Lsn::ZERO;
    let manifest = files.manifest.clone();
    for (at, file) in manifest.loaded().enumerate() {
        let path = files.path(&file.name);
        let len = match files.disk().len(&path) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::Missing(path));
            }
            Err(error) => return Err(files.error(&path, error)),
        };
        // Places grow from file to file, whatever another server has made of the keys.
        let is_base = at == 0 && manifest.base.is_some();
        let start = file.start().unwrap_or(next).max(next);
        next = start.plus(if is_base { 0 } else { len });
        parts.push(LogFile {
            path,
            len,
            start,
            is_base,
        });
    }
    let increments = parts.iter().filter(|part| !part.is_base);
    for (file, part) in files.manifest.increments.iter_mut().zip(increments) {
        file.set_start(part.start);
    }
    Ok(parts)
}

/// Whether a file begins with a snapshot. Leaves it at its start.
fn starts_with_snapshot(source: &mut dyn DiskReader) -> io::Result<bool> {
    let mut head = Vec::new();
    io::Read::take(&mut *source, 8).read_to_end(&mut head)?;
    source.rewind()?;
    Ok(SNAPSHOT_MAGIC.iter().any(|magic| head.starts_with(magic)))
}

fn unsound(part: &LogFile, valid: u64, reason: String) -> OpenError {
    OpenError::Unsound {
        path: part.path.clone(),
        valid,
        reason,
    }
}

/// Copies the end of a file to another one and cuts it off. The copy is durable before anything is
/// gone.
fn cut(disk: &dyn Disk, part: &LogFile, dropped: &Dropped) -> io::Result<()> {
    keep_tail(disk, &part.path, dropped.offset, &dropped.kept_in)?;
    let mut file = disk.append(&part.path)?;
    file.truncate(dropped.offset)?;
    file.sync()
}

/// Copies what a file has from `offset` on to a new file, durably.
pub(crate) fn keep_tail(disk: &dyn Disk, path: &Path, offset: u64, to: &Path) -> io::Result<()> {
    let mut source = disk.read(path)?;
    source.seek(SeekFrom::Start(offset))?;
    let mut copy = disk.create(to)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match source.read(&mut buffer)? {
            0 => break,
            count => write_all(&mut *copy, &buffer[..count])?,
        }
    }
    copy.sync()?;
    let dir = to.parent().unwrap_or(Path::new("."));
    disk.sync_dir(dir)
}
