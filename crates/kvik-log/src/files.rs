//! The files of a log: their names, the manifest, and the order in which they change.
//!
//! At every moment of a crash the manifest on the disk names files that exist and are whole up to
//! where they must be. So a file exists, and its name is durable, before a manifest names it; an
//! increment is fsynced before a manifest names the next one; and a file is removed only after a
//! manifest without it is durable. A manifest is replaced by renaming. Numbers of files are not
//! used again, not even after a failure, because it may have left a manifest on the disk that names
//! them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskWriter, FileEntry, exists, read_all, write_all};
use crate::manifest::{MANIFEST_FORMAT, Manifest, ManifestFile};
use crate::open_error::OpenError;
use crate::options::{BaseFormat, LogOptions};
use crate::retention::Retention;
use crate::{LogId, Lsn};

/// How names begin that Redis and kvik give to files that are not whole yet.
const TEMPORARY: &str = "temp-";

/// The files of a log that is open.
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    /// The database's directory, and the one of the log's files in it.
    root: PathBuf,
    dir: PathBuf,
    prefix: String,
    pub(crate) manifest: Manifest,
    pub(crate) id: LogId,
    next_base: u64,
    next_increment: u64,
    /// The increment that is written, while the manifest does not name it.
    detached: Option<ManifestFile>,
    /// Where the increment starts that is written.
    pub(crate) rotated_at: Lsn,
    retention: Retention,
}

impl Files {
    /// Reads the manifest. A single file of an old version is made the base of a new one, as Redis
    /// does.
    pub(crate) fn open(options: &LogOptions, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let dir = options.append_dir();
        let mut files = Self {
            retention: Retention::new(options, &dir),
            root: options.dir.clone(),
            dir,
            prefix: options.append_file_name.clone(),
            manifest: Manifest::default(),
            id: LogId::new(options.random_id),
            next_base: 1,
            next_increment: 1,
            detached: None,
            rotated_at: Lsn::ZERO,
            disk,
        };
        files.load_manifest()?;
        files
            .upgrade()
            .map_err(|error| files.error(&files.root, error))?;
        let (base, increment) = files.manifest.last_seqs();
        // Nor are those of files that no manifest names: whatever they are, nothing is written over
        // them.
        let found = files
            .entries()
            .map_err(|error| files.error(&files.dir, error))?;
        let last = found
            .iter()
            .filter_map(|entry| files.seq_of(&entry.name))
            .max();
        let last = last.unwrap_or(0);
        (files.next_base, files.next_increment) = (base.max(last) + 1, increment.max(last) + 1);
        Ok(files)
    }

    /// The files in the log's directory, if it exists.
    fn entries(&self) -> io::Result<Vec<FileEntry>> {
        match self.disk.list(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries,
        }
    }

    /// The number of a base or an increment, by its name.
    fn seq_of(&self, name: &str) -> Option<u64> {
        let rest = name.strip_prefix(&self.prefix)?.strip_prefix('.')?;
        let (seq, kind) = rest.split_once('.')?;
        let known = matches!(kind, "incr.aof" | "base.aof" | "base.rdb");
        known.then_some(seq)?.parse().ok()
    }

    /// Bases and increments that neither the manifest names nor retention keeps. Empty ones, which
    /// interrupted rotations leave, are removed.
    pub(crate) fn strays(&self) -> Vec<String> {
        let manifest = &self.manifest;
        let named = manifest.loaded().chain(&manifest.history);
        let named: Vec<&str> = named
            .chain(self.retention.files())
            .chain(&self.detached)
            .map(|file| file.name.as_str())
            .collect();
        let mut strays = Vec::new();
        for entry in self.entries().unwrap_or_default() {
            let known = named.contains(&entry.name.as_str());
            if known || self.seq_of(&entry.name).is_none() {
                continue;
            }
            if entry.len > 0 {
                strays.push(entry.name);
            } else {
                let _ = self.disk.remove(&self.path(&entry.name));
            }
        }
        strays.sort();
        strays
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn error(&self, path: &Path, error: io::Error) -> OpenError {
        OpenError::Io {
            path: path.to_owned(),
            error,
        }
    }

    fn manifest_path(&self) -> PathBuf {
        self.path(&format!("{}.manifest", self.prefix))
    }

    fn load_manifest(&mut self) -> Result<(), OpenError> {
        let path = self.manifest_path();
        let text = match read_all(&*self.disk, &path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.error(&path, error)),
        };
        self.manifest = Manifest::parse(&text).map_err(|error| OpenError::Manifest {
            path: path.clone(),
            error,
        })?;
        match self
            .manifest
            .loaded()
            .filter_map(ManifestFile::format)
            .max()
        {
            Some(format) if format > MANIFEST_FORMAT => {
                Err(OpenError::NewerFormat { path, format })
            }
            _ => Ok(()),
        }
    }

    /// Redis' upgrade: manifest first, then the file moves. A crash between the two leaves a
    /// manifest whose only file is still at its old place, which is recognized here.
    fn upgrade(&mut self) -> io::Result<()> {
        let old = self.root.join(&self.prefix);
        if !exists(&*self.disk, &old)? {
            return Ok(());
        }
        let interrupted = match (&self.manifest.base, &self.manifest.increments[..]) {
            (None, []) => true,
            (Some(base), []) if base.name == self.prefix => {
                !exists(&*self.disk, &self.path(&base.name))?
            }
            _ => false,
        };
        if !interrupted {
            return Ok(());
        }
        self.create_dir()?;
        let manifest = Manifest {
            base: Some(ManifestFile {
                name: self.prefix.clone(),
                seq: 1,
                extra: Vec::new(),
            }),
            ..Manifest::default()
        };
        self.persist(&manifest)?;
        self.manifest = manifest;
        self.disk.rename(&old, &self.path(&self.prefix))?;
        self.disk.sync_dir(&self.dir)?;
        self.disk.sync_dir(&self.root)
    }

    /// Creates the directory of the log's files.
    pub(crate) fn create_dir(&self) -> io::Result<()> {
        self.disk.create_dir(&self.dir)?;
        self.disk.sync_dir(&self.root)
    }

    /// Replaces the manifest on the disk. After an error either may be there.
    fn persist(&self, manifest: &Manifest) -> io::Result<()> {
        let name = format!("{}.manifest", self.prefix);
        replace(&*self.disk, &self.dir, &name, manifest.print().as_bytes())
    }

    /// The increments of the log's history under its present id that can be read one behind the
    /// other, the earliest first: retained ones, and those that are loaded.
    pub(crate) fn readable_increments(&self) -> Vec<(Lsn, PathBuf)> {
        let retained = self.retention.files().iter();
        let retained = retained.filter(|file| file.name.contains(".incr."));
        let all = retained
            .chain(&self.manifest.increments)
            .chain(&self.detached);
        let mut row: Vec<(Lsn, PathBuf)> = Vec::new();
        for file in all.filter(|file| file.id() == Some(self.id)) {
            let Some(start) = file.start() else { continue };
            let follows = row.last().is_none_or(|(before, path)| {
                let len = self.disk.len(path);
                len.is_ok_and(|len| before.plus(len) == start)
            });
            if !follows {
                row.clear();
            }
            row.push((start, self.path(&file.name)));
        }
        row
    }

    /// Creates an increment that starts at `start`. If it is not attached, the manifest does not
    /// name it before the next base is there.
    pub(crate) fn create_increment(
        &mut self,
        start: Lsn,
        attach: bool,
    ) -> io::Result<Box<dyn DiskWriter>> {
        let seq = self.next_increment;
        let name = format!("{}.{seq}.incr.aof", self.prefix);
        let file = self.disk.create(&self.path(&name))?;
        self.disk.sync_dir(&self.dir)?;
        let increment = ManifestFile::new(name, seq, self.id, start);
        if attach {
            let mut manifest = self.manifest.clone();
            manifest.increments.push(increment);
            // Numbers may be used again here: whichever manifest is on the disk, the increment is
            // empty in it.
            self.persist(&manifest)?;
            self.manifest = manifest;
            self.detached = None;
        } else {
            self.drop_detached();
            self.detached = Some(increment);
        }
        self.next_increment = seq + 1;
        self.rotated_at = start;
        Ok(file)
    }

    /// Removes an increment that no manifest has named.
    fn drop_detached(&mut self) {
        if let Some(old) = self.detached.take() {
            // A file that stays is in nobody's way: its number is not used again.
            let _ = self.disk.remove(&self.path(&old.name));
        }
    }

    /// Opens the last increment to append to it, and makes durable what it holds: after a crash of
    /// the process alone some of it may be in memory only.
    pub(crate) fn reopen_increment(&mut self, start: Lsn) -> io::Result<Box<dyn DiskWriter>> {
        let last = self.manifest.increments.last_mut();
        let last = last.ok_or(io::ErrorKind::NotFound)?;
        last.unset_end();
        last.set_id(self.id);
        let path = self.dir.join(&last.name);
        let mut file = self.disk.append(&path)?;
        file.sync()?;
        self.persist(&self.manifest)?;
        self.rotated_at = start;
        Ok(file)
    }

    /// Makes `temporary`, which holds all keys as they were at `start`, the base, and what it
    /// replaces history. Returns its length.
    pub(crate) fn install_base(
        &mut self,
        temporary: &Path,
        format: BaseFormat,
        start: Lsn,
        now_ms: u64,
    ) -> io::Result<u64> {
        let seq = self.next_base;
        self.next_base += 1;
        let name = format!("{}.{seq}.base.{}", self.prefix, format.suffix());
        self.disk.append(temporary)?.sync()?;
        let len = self.disk.len(temporary)?;
        self.disk.rename(temporary, &self.path(&name))?;
        self.disk.sync_dir(&self.dir)?;

        let mut manifest = self.manifest.clone();
        let base = ManifestFile::new(name, seq, self.id, start);
        let old_base = manifest.base.replace(base);
        manifest.increments.extend(self.detached.clone());
        // Of several that start there only the last one has room for units: a rotation that
        // follows another at once leaves an empty one.
        let starts = |file: &ManifestFile| file.start() == Some(start);
        let behind = |file: &ManifestFile| file.start().is_some_and(|it| it > start);
        let increments = &manifest.increments;
        let first = increments.iter().rposition(starts);
        let first = first.or_else(|| increments.iter().position(behind));
        let old_end = first.unwrap_or(increments.len());
        let old = manifest.increments.drain(..old_end);
        let superseded: Vec<_> = old_base.into_iter().chain(old).collect();
        if self.retention.is_on() {
            // The list of retained files comes first: a crash leaves files in both, never in none.
            self.retention.add(&*self.disk, &superseded, now_ms)?;
        } else {
            manifest.history.splice(0..0, superseded.into_iter().rev());
        }
        self.persist(&manifest)?;
        self.manifest = manifest;
        self.detached = None;
        Ok(len)
    }

    /// Removes superseded files. What cannot be removed now is tried again after the next rewrite.
    pub(crate) fn remove_history(&mut self, now_ms: u64) {
        self.retention.prune(&*self.disk, now_ms);
        if self.manifest.history.is_empty() {
            return;
        }
        let history = std::mem::take(&mut self.manifest.history);
        let (gone, left): (Vec<_>, Vec<_>) =
            history
                .into_iter()
                .partition(|file| match self.disk.remove(&self.path(&file.name)) {
                    Ok(()) => true,
                    Err(error) => error.kind() == io::ErrorKind::NotFound,
                });
        self.manifest.history = left;
        if self.persist(&self.manifest).is_err() {
            self.manifest.history.extend(gone);
        }
    }

    /// Notes where the last increment ends, so that the next start knows that nothing is missing.
    pub(crate) fn close(&mut self, end: Lsn) -> io::Result<()> {
        if let Some(last) = self.manifest.increments.last_mut() {
            last.set_end(end);
        }
        self.persist(&self.manifest)
    }

    /// Removes what earlier processes left half done.
    pub(crate) fn remove_temporary(&self) {
        for file in self.disk.list(&self.dir).unwrap_or_default() {
            if file.name.starts_with(TEMPORARY) {
                let _ = self.disk.remove(&self.path(&file.name));
            }
        }
    }

    /// Where to write a base until it is whole.
    pub(crate) fn temporary_base(&self) -> PathBuf {
        let seq = self.next_base;
        self.path(&format!("{TEMPORARY}rewriteaof-{seq}.aof"))
    }

    pub(crate) fn retention(&mut self) -> &mut Retention {
        &mut self.retention
    }
}

/// Replaces a small file in one step. After an error either may be there.
pub(crate) fn replace(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{TEMPORARY}{name}"));
    let mut file = disk.create(&temporary)?;
    write_all(&mut *file, bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(&temporary, &dir.join(name))?;
    disk.sync_dir(dir)
}
