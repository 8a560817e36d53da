//! Writes all keys, as they are at one moment, to a file: a snapshot, or the base of the log.
//!
//! The file is written under another name, made durable, and only then takes the name of the one it
//! replaces. So a crash leaves the old file or the new one. The moment is the cut: all stripes are
//! held, the log is told, and from then on a change of a key first hands over what the file still
//! lacks of it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::REDIS_VERSION;
use kvik_command::save::{SavedUsage, write_key};
use kvik_log::{Disk, DiskWriter, write_all};
use kvik_rdb::{Compression, FileInfo, FileWriter};
use kvik_store::{Guard, KeyspaceId, Mode, NoEffects};

use crate::shared::Shared;
use crate::stripes::{HeldMany, Patience};

/// Bytes that are gathered before they are written.
const PIECE: usize = 256 << 10;

/// Why there is no image.
#[derive(Debug)]
pub(super) enum ImageError {
    /// The disk refuses it.
    Io(io::Error),
    /// It was given up.
    Cancelled,
}

impl From<io::Error> for ImageError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for ImageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Cancelled => f.write_str("it was given up"),
        }
    }
}

/// An image that is being written.
pub(super) struct Image<'d> {
    disk: &'d dyn Disk,
    path: PathBuf,
    file: Box<dyn DiskWriter>,
    writer: FileWriter,
}

impl<'d> Image<'d> {
    /// Creates the file, in place of one that an earlier attempt has left.
    pub(super) fn create(
        disk: &'d dyn Disk,
        path: &Path,
        shared: &Shared,
        is_base: bool,
    ) -> io::Result<Self> {
        let settings = &shared.engine.settings;
        let compression = if settings.rdb_compression.load(Relaxed) {
            Compression::Lzf
        } else {
            Compression::Off
        };
        let mut writer = FileWriter::new(compression, settings.files.checksum.load(Relaxed));
        writer.info(&FileInfo {
            redis_version: REDIS_VERSION,
            time_s: shared.now_ms() / 1000,
            used_bytes: 0,
            is_aof_base: is_base,
        });
        Ok(Self {
            disk,
            path: path.to_owned(),
            file: disk.create(path)?,
            writer,
        })
    }

    /// Where keys are written to.
    pub(super) fn writer(&mut self) -> &mut FileWriter {
        &mut self.writer
    }

    /// Writes what has been gathered, if that is worth a call.
    pub(super) fn flush_some(&mut self) -> io::Result<()> {
        if self.writer.waiting() < PIECE {
            return Ok(());
        }
        let file = &mut *self.file;
        self.writer.take(|bytes| write_all(file, bytes))
    }

    /// Writes the rest and makes the file durable. Returns its length.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        let file = &mut *self.file;
        self.writer.take(|bytes| write_all(file, bytes))?;
        let taken = self.writer.len();
        let tail = self.writer.finish();
        write_all(file, &tail.bytes)?;
        // Which version it needs has turned out with its last key.
        if let Some(header) = tail.header {
            self.disk.overwrite(&self.path, 0, &header)?;
        }
        file.sync()?;
        Ok(taken + tail.bytes.len() as u64)
    }
}

/// Writes all keys as they are at the cut, at which `cut` is called with all stripes held. Returns
/// the file's length and what `cut` returned.
pub(super) fn write_image<T>(
    shared: &Shared,
    mut image: Image<'_>,
    is_cancelled: &dyn Fn() -> bool,
    cut: impl FnOnce(&HeldMany<'_>) -> T,
) -> Result<(u64, T), ImageError> {
    let held = shared.stripes.lock_all(Patience::Wait);
    let mut held = held.expect("a patient lock succeeds");
    let result = cut(&held);
    let mut effects = NoEffects;
    let layout = &shared.stripes.layout;
    let mut guard = Guard::new(&mut held, layout, &mut effects, shared.now_ms())
        // Keys are saved as they are, also those whose time has come.
        .mode(Mode::Follower);
    let usage = usage(shared);
    let databases = shared.engine.settings.databases.load(Relaxed);
    let mut failure = Ok(());
    for database in 0..databases as u32 {
        guard.select(KeyspaceId(database));
        guard.for_each(|view| {
            if failure.is_err() {
                return;
            }
            image.writer().database(u64::from(database));
            let version = write_key(&view, usage, &mut image.writer().encoder());
            image.writer().needs(version);
            failure = image.flush_some();
        });
        if is_cancelled() {
            return Err(ImageError::Cancelled);
        }
    }
    drop(guard);
    drop(held);
    failure?;
    Ok((image.finish()?, result))
}

/// What a file tells of the use of its keys: what the eviction policy goes by.
pub(super) fn usage(shared: &Shared) -> SavedUsage {
    match shared.engine.settings.lfu.load(Relaxed) {
        true => SavedUsage::Frequency,
        false => SavedUsage::Nothing,
    }
}
