//! Directories: the manifest, the files that it names, and the files that it does not.

use std::io::{self, ErrorKind, IoSlice, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use kvik_log::{DiskLock, DiskWriter, FileEntry, MANIFEST_FORMAT, Manifest, ManifestFile};

use super::aof::LogEnd;
use super::report::count;
use super::servers::Servers;
use super::{APPEND_DIRECTORY, Check, FileKind, kind, rdb};

/// How names of files begin that a server is still writing.
const TEMPORARY: &str = "temp-";

/// The file with which a server keeps others out of its directory.
const LOCK: &str = "kvik.lock";

impl Check<'_> {
    /// Checks a database's directory, or the directory of its log.
    pub(super) fn directory(&mut self, path: &Path) {
        let entries = match self.disk.list(path) {
            Ok(entries) => entries,
            Err(error) => return self.report.damage(path, &error.to_string()),
        };
        let manifests = manifests(path, &entries);
        let inner = path.join(APPEND_DIRECTORY);
        let inner_entries = self.disk.list(&inner).unwrap_or_default();
        let inner_manifests = manifests_or_orphans(&inner, &inner_entries);
        let mut found = manifests.len() + inner_manifests.len();
        for manifest in manifests.iter().chain(&inner_manifests) {
            self.manifest(manifest);
        }
        // A directory with a manifest is that of a log, whose other files were looked at with it.
        if manifests.is_empty() {
            for entry in &entries {
                found += usize::from(self.loose_file(&path.join(&entry.name)));
            }
        }
        if found == 0 {
            self.report.damage(path, "there is no file of a database");
        }
    }

    /// Checks a file in a directory that no manifest names, if it is one of a database.
    fn loose_file(&mut self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(TEMPORARY) {
            self.report
                .sound(path, "left by a server that was interrupted");
            return false;
        }
        let is_log = name.ends_with(".aof");
        // Other files may lie here: only what bears a name of ours, and is what it says, counts.
        if !is_log && !rdb::has_name(path) {
            return false;
        }
        match kind(self.disk, path) {
            Ok(FileKind::Empty) if is_log => self.report.sound(path, "an empty append-only file"),
            _ => self.file(path),
        }
        true
    }

    /// Checks a manifest and its files.
    pub(super) fn manifest(&mut self, path: &Path) {
        let manifest = match self.read_manifest(path) {
            Ok(manifest) => manifest,
            Err(reason) => return self.report.damage(path, &reason),
        };
        let directory = path.parent().unwrap_or(Path::new(""));
        let base = if manifest.base.is_some() { 1 } else { 0 };
        let increments = count(manifest.increments.len() as u64, "increment");
        let history = count(manifest.history.len() as u64, "superseded file");
        self.report.sound(
            path,
            &format!("manifest of {base} base, {increments}, {history}"),
        );
        let mut servers = Servers::with_manifest();
        let files: Vec<&ManifestFile> = manifest.loaded().collect();
        let mut is_whole = true;
        for (at, file) in files.iter().enumerate() {
            let next = files.get(at + 1).copied();
            let end = self.log_file(&directory.join(&file.name));
            is_whole &= self.part(directory, file, next, end, &mut servers);
        }
        if is_whole {
            self.report.sound(path, &servers.text());
        }
        self.strays(directory, &manifest);
    }

    fn read_manifest(&self, path: &Path) -> Result<Manifest, String> {
        let mut text = Vec::new();
        let read = self
            .disk
            .read(path)
            .and_then(|mut file| file.read_to_end(&mut text));
        read.map_err(|error| error.to_string())?;
        let manifest = Manifest::parse(&text).map_err(|error| error.to_string())?;
        let newest = manifest.loaded().filter_map(ManifestFile::format).max();
        match newest {
            Some(format) if format > MANIFEST_FORMAT => Err(format!(
                "format {format} is that of a later version of kvik"
            )),
            _ => Ok(manifest),
        }
    }

    /// Reports how a file of a log ends. Returns whether it is whole.
    fn part(
        &mut self,
        directory: &Path,
        file: &ManifestFile,
        next: Option<&ManifestFile>,
        end: Option<LogEnd>,
        servers: &mut Servers,
    ) -> bool {
        let path = directory.join(&file.name);
        let Some(mut end) = end else { return false };
        servers.and(&end.servers);
        if let (Some(next), Some(fault)) = (next, &mut end.fault) {
            // What follows was appended to a state that this file no longer leads to.
            let name = &next.name;
            fault.reason += &format!(", and {name} follows, so the file cannot be cut there");
            fault.can_cut = false;
        }
        if end.fault.is_some() {
            self.settle(&path, Some(end));
            return self.report.is_sound();
        }
        // Files of one log follow each other without a gap, where the manifest says where they are.
        let starts = file.start().zip(next.and_then(ManifestFile::start));
        let same_log = next.is_some_and(|next| next.id() == file.id());
        if let Some((start, following)) = starts
            && same_log
            && is_increment(file)
            && start.get() + end.len != following.get()
        {
            let (expected, found) = (following.get() - start.get().min(following.get()), end.len);
            let reason = format!("{found} bytes long; by the manifest it has {expected}");
            self.report.damage(&path, &reason);
            return false;
        }
        true
    }

    /// Tells of files in a log's directory that the manifest does not name.
    fn strays(&mut self, directory: &Path, manifest: &Manifest) {
        let Ok(entries) = self.disk.list(directory) else {
            return;
        };
        let named: Vec<&str> = manifest
            .loaded()
            .chain(&manifest.history)
            .map(|file| file.name.as_str())
            .collect();
        for entry in entries {
            let name = entry.name.as_str();
            let is_log = name.ends_with(".aof") || name.ends_with(".rdb");
            if is_log && !named.contains(&name) {
                let path = directory.join(name);
                self.report
                    .sound(&path, "not in the manifest: no server loads it");
            }
        }
    }

    /// Keeps servers out of the directory of a file and out of the one above it, as long as the
    /// locks live; none if a server has one of them open. Redis and Valkey take no such lock.
    pub(super) fn keep_out(&self, path: &Path) -> Option<Vec<Box<dyn DiskLock>>> {
        let directories = path.ancestors().skip(1).take(2);
        let locks = directories.map(|directory| directory.join(LOCK));
        // Taking a lock would create its file, which is not for a check to do.
        let existing = locks.filter(|lock| self.disk.len(lock).is_ok());
        existing
            .filter_map(|lock| self.disk.lock(&lock).ok())
            .collect()
    }

    /// Cuts a file, and keeps the bytes that it loses beside it. Returns the name of that file.
    pub(super) fn cut(&self, path: &Path, at: u64) -> io::Result<String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kept_name = format!("{name}.{at}.dropped");
        let directory = path.parent().unwrap_or(Path::new(""));
        // The lost bytes are durable before the file loses them.
        let mut source = self.disk.read(path)?;
        source.seek(SeekFrom::Start(at))?;
        let mut kept = self.disk.create(&directory.join(&kept_name))?;
        let mut block = vec![0; 1 << 16];
        loop {
            match source.read(&mut block)? {
                0 => break,
                count => write_all(&mut *kept, &block[..count])?,
            }
        }
        kept.sync()?;
        self.disk.sync_dir(directory)?;
        let mut file = self.disk.append(path)?;
        file.truncate(at)?;
        file.sync()?;
        Ok(kept_name)
    }
}

fn write_all(file: &mut dyn DiskWriter, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(&[IoSlice::new(bytes)])? {
            0 => return Err(ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

/// The manifests among the files of a directory.
fn manifests(directory: &Path, entries: &[FileEntry]) -> Vec<PathBuf> {
    let names = entries.iter().map(|entry| entry.name.as_str());
    let manifests =
        names.filter(|name| name.ends_with(".manifest") && !name.starts_with(TEMPORARY));
    manifests.map(|name| directory.join(name)).collect()
}

/// The manifests of a log's directory. Files without one belong to a manifest that is missing, and
/// the path of that is named.
fn manifests_or_orphans(directory: &Path, entries: &[FileEntry]) -> Vec<PathBuf> {
    let found = manifests(directory, entries);
    let has_files = entries.iter().any(|entry| entry.name.ends_with(".aof"));
    if found.is_empty() && has_files {
        return vec![directory.join("appendonly.aof.manifest")];
    }
    found
}

fn is_increment(file: &ManifestFile) -> bool {
    file.name.ends_with(".incr.aof")
}
