//! Superseded files that are kept for a while: for followers that are behind, and to restore an
//! earlier state.
//!
//! Servers that read the manifest know nothing of them. They are listed in a file of their own, in
//! the format of a manifest, with the time at which they were superseded.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, read_all};
use crate::files::replace;
use crate::manifest::{Manifest, ManifestFile};
use crate::options::LogOptions;

const SUPERSEDED_KEY: &str = "superseded";

/// The files that are kept, the earliest first, and for how long.
pub(crate) struct Retention {
    dir: PathBuf,
    name: String,
    bytes: u64,
    age_ms: u64,
    files: Vec<ManifestFile>,
}

impl Retention {
    pub(crate) fn new(options: &LogOptions, dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            name: format!("{}.retained", options.append_file_name),
            bytes: options.retention_bytes,
            age_ms: options.retention_age_ms,
            files: Vec::new(),
        }
    }

    /// Whether anything is kept.
    pub(crate) fn is_on(&self) -> bool {
        self.bytes > 0 && self.age_ms > 0
    }

    pub(crate) fn set_limits(&mut self, bytes: u64, age_ms: u64) {
        (self.bytes, self.age_ms) = (bytes, age_ms);
    }

    pub(crate) fn files(&self) -> &[ManifestFile] {
        &self.files
    }

    /// Reads the list. Files that the manifest still names are left out: a crash came between the
    /// two.
    pub(crate) fn load(&mut self, disk: &dyn Disk, manifest: &Manifest) {
        let text = read_all(disk, &self.dir.join(&self.name)).unwrap_or_default();
        let list = Manifest::parse(&text).unwrap_or_default();
        let named = |name: &str| manifest.loaded().any(|file| file.name == name);
        self.files = list.history;
        self.files.retain(|file| !named(&file.name));
    }

    /// Lists files that are about to be superseded.
    pub(crate) fn add(
        &mut self,
        disk: &dyn Disk,
        superseded: &[ManifestFile],
        now_ms: u64,
    ) -> io::Result<()> {
        // The list in memory follows the one on the disk.
        let before = self.files.len();
        for file in superseded {
            let mut file = file.clone();
            file.set(SUPERSEDED_KEY, now_ms.to_string());
            self.files.push(file);
        }
        let written = self.write(disk);
        if written.is_err() {
            self.files.truncate(before);
        }
        written
    }

    /// Removes files that are too old, and the earliest ones while they are too large together.
    pub(crate) fn prune(&mut self, disk: &dyn Disk, now_ms: u64) {
        // A file that is gone already counts nothing and leaves the list with the others.
        let len = |file: &ManifestFile| disk.len(&self.dir.join(&file.name)).unwrap_or(0);
        let lens: Vec<u64> = self.files.iter().map(len).collect();
        let mut total: u64 = lens.iter().sum();
        let mut gone = 0;
        for (file, len) in self.files.iter().zip(&lens) {
            let age_ms = now_ms.saturating_sub(file.number(SUPERSEDED_KEY).unwrap_or(0));
            if total <= self.bytes && age_ms <= self.age_ms {
                break;
            }
            total -= len;
            gone += 1;
        }
        if gone == 0 {
            return;
        }
        for file in self.files.drain(..gone) {
            let _ = disk.remove(&self.dir.join(&file.name));
        }
        // A list that names files that are gone is corrected by the next change.
        let _ = self.write(disk);
    }

    fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        let list = Manifest {
            history: self.files.clone(),
            ..Manifest::default()
        };
        replace(disk, &self.dir, &self.name, list.print().as_bytes())
    }
}
