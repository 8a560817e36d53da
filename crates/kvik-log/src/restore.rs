//! An earlier state of a log, in files of its own.
//!
//! The files of a log and those that [retention](crate::LogOptions::retention_bytes) keeps are one
//! row of increments with bases between them. The state at a time is the last base before it and
//! the units behind that, up to the last one that had happened by then. Annotations say when units
//! happened, to the second; a unit without one counts as early.
//!
//! Nothing is changed where the files lie: bases get a second name, increments are copied. The new
//! log has no id, so that it gets one when it is opened.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::disk::{Disk, read_all, write_all};
use crate::files::replace;
use crate::manifest::{Manifest, ManifestFile};
use crate::reader::{ReadError, UnitReader};
use crate::{LogOptions, Lsn};

/// The result of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The base's name, if there is one.
    pub base: Option<String>,
    /// How many units behind it were restored.
    pub units: u64,
    /// When the last of them happened, in seconds since 1970; none if no file says.
    pub time_s: Option<u64>,
}

/// Why a state cannot be restored.
#[derive(Debug)]
pub enum RestoreError {
    /// A file cannot be read or written.
    Io {
        /// Which.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// The directory has no log, or one that cannot be read.
    NoLog(String),
    /// The files do not reach back so far.
    TooEarly {
        /// The earliest time that they do, in seconds since 1970.
        earliest_s: Option<u64>,
    },
    /// The directory for the restored files is not empty.
    NotEmpty(PathBuf),
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::NoLog(reason) => f.write_str(reason),
            Self::TooEarly { earliest_s: None } => f.write_str("no file reaches back so far"),
            Self::TooEarly {
                earliest_s: Some(at),
            } => write!(
                f,
                "no file reaches back so far; the earliest second is {at}"
            ),
            Self::NotEmpty(path) => write!(f, "{} is not empty", path.display()),
        }
    }
}

impl std::error::Error for RestoreError {}

/// Writes the log of the database in `from` as it was at the end of a second into the directory
/// `to`, which is made. The database may be open.
///
/// # Errors
/// If the files do not reach back so far, or cannot be read or written. `to` may hold some files
/// then.
pub fn restore(
    disk: &dyn Disk,
    from: &LogOptions,
    to: &Path,
    at_s: u64,
) -> Result<Restored, RestoreError> {
    let files = Row::read(disk, from)?;
    let cut = files.find(disk, at_s)?;
    let target = LogOptions {
        dir: to.to_owned(),
        ..from.clone()
    };
    files.write(disk, &target, &cut)
}

/// A file of the row.
struct Part {
    file: ManifestFile,
    path: PathBuf,
    start: Lsn,
    len: u64,
}

/// All files of a log that are there, by their places.
struct Row {
    bases: Vec<Part>,
    increments: Vec<Part>,
}

/// Where the row is cut.
struct Cut {
    /// Index of the base, and of the first increment behind it.
    base: Option<usize>,
    first: usize,
    end: Lsn,
    units: u64,
    time_s: Option<u64>,
}

impl Row {
    fn read(disk: &dyn Disk, options: &LogOptions) -> Result<Self, RestoreError> {
        let (dir, path) = (options.append_dir(), options.manifest_path());
        let manifest = parse(disk, &path)?.ok_or_else(|| {
            RestoreError::NoLog(format!("{}: there is no manifest", path.display()))
        })?;
        let list = dir.join(format!("{}.retained", options.append_file_name));
        let retained = parse(disk, &list)?.unwrap_or_default().history;
        let is_base = |file: &ManifestFile| file.name.contains(".base.");
        let mut row = Self {
            bases: Vec::new(),
            increments: Vec::new(),
        };
        // Files that Redis has written have no places: they come before those that have.
        let mut next = Lsn::ZERO;
        let named = manifest.base.iter().chain(&manifest.increments);
        for file in retained.iter().chain(named) {
            let path = dir.join(&file.name);
            let Ok(len) = disk.len(&path) else { continue };
            let is_base = is_base(file) || manifest.base.as_ref() == Some(file);
            let start = file.start().unwrap_or(next);
            next = start.plus(if is_base { 0 } else { len });
            let part = Part {
                file: file.clone(),
                path,
                start,
                len,
            };
            match is_base {
                true => row.bases.push(part),
                false => row.increments.push(part),
            }
        }
        row.bases.sort_by_key(|part| part.start);
        row.increments.sort_by_key(|part| part.start);
        Ok(row)
    }

    /// Finds the last unit that had happened by the end of a second, and the base that leads there.
    fn find(&self, disk: &dyn Disk, at_s: u64) -> Result<Cut, RestoreError> {
        let (mut end, mut earliest_s) = (None, None);
        for part in &self.increments {
            let scan = scan(disk, part, at_s)?;
            earliest_s = earliest_s.or(scan.earliest_s);
            if let Some(valid) = scan.end {
                end = Some(part.start.plus(valid));
            }
            if scan.is_passed {
                break;
            }
        }
        let too_early = || RestoreError::TooEarly { earliest_s };
        // Without a unit so early, nothing says that a base is.
        let idle = self.increments.iter().all(|part| part.len == 0);
        let end = match end {
            None if idle => self.bases.last().map(|base| base.start),
            end => end,
        };
        let end = end.ok_or_else(too_early)?;
        let base = self.bases.iter().rposition(|base| base.start <= end);
        let start = match base {
            Some(at) => self.bases[at].start,
            None => Lsn::ZERO,
        };
        let first = self.increments.partition_point(|part| part.start < start);
        self.count(disk, Cut::new(base, first, end), start, at_s)
            .and_then(|cut| cut.ok_or_else(too_early))
    }

    /// Counts the units up to a cut; none if files are missing before it.
    fn count(
        &self,
        disk: &dyn Disk,
        mut cut: Cut,
        start: Lsn,
        at_s: u64,
    ) -> Result<Option<Cut>, RestoreError> {
        let mut next = start;
        for part in self.increments[cut.first..].iter() {
            if part.start >= cut.end {
                break;
            }
            if part.start != next {
                return Ok(None);
            }
            next = part.start.plus(part.len);
            let scan = scan(disk, part, at_s)?;
            cut.units += scan.units;
            cut.time_s = scan.time_s.or(cut.time_s);
        }
        Ok((next >= cut.end).then_some(cut))
    }

    fn write(
        &self,
        disk: &dyn Disk,
        target: &LogOptions,
        cut: &Cut,
    ) -> Result<Restored, RestoreError> {
        let dir = target.append_dir();
        let failed = |error| RestoreError::Io {
            path: dir.clone(),
            error,
        };
        for dir in [&target.dir, &dir] {
            disk.create_dir(dir).map_err(failed)?;
            if !disk.list(dir).map_err(failed)?.is_empty() {
                return Err(RestoreError::NotEmpty(dir.clone()));
            }
        }
        let mut manifest = Manifest::default();
        let base = cut.base.map(|at| &self.bases[at]);
        if let Some(base) = base {
            let copy = dir.join(&base.file.name);
            // Nobody writes to a base.
            if disk.link(&base.path, &copy).is_err() {
                copy_file(disk, &base.path, &copy, base.len).map_err(failed)?;
            }
            manifest.base = Some(plain(&base.file));
        }
        for part in &self.increments[cut.first..] {
            let len = cut.end.since(part.start).min(part.len);
            // One that was rotated without a unit, or that comes later.
            if len == 0 {
                continue;
            }
            let copy = dir.join(&part.file.name);
            copy_file(disk, &part.path, &copy, len).map_err(failed)?;
            manifest.increments.push(plain(&part.file));
        }
        disk.sync_dir(&dir).map_err(failed)?;
        let name = format!("{}.manifest", target.append_file_name);
        replace(disk, &dir, &name, manifest.print().as_bytes()).map_err(failed)?;
        disk.sync_dir(&target.dir).map_err(failed)?;
        Ok(Restored {
            base: base.map(|base| base.file.name.clone()),
            units: cut.units,
            time_s: cut.time_s,
        })
    }
}

impl Cut {
    fn new(base: Option<usize>, first: usize, end: Lsn) -> Self {
        Self {
            base,
            first,
            end,
            units: 0,
            time_s: None,
        }
    }
}

/// The units of an increment up to the end of a second.
#[derive(Default)]
struct Scan {
    /// Where the last of them ends in the file.
    end: Option<u64>,
    units: u64,
    time_s: Option<u64>,
    /// The time of the file's first unit.
    earliest_s: Option<u64>,
    /// Later units follow.
    is_passed: bool,
}

fn scan(disk: &dyn Disk, part: &Part, at_s: u64) -> Result<Scan, RestoreError> {
    let failed = |error| RestoreError::Io {
        path: part.path.clone(),
        error,
    };
    let file = disk.read(&part.path).map_err(failed)?;
    let mut reader = UnitReader::new(file, 0, 0);
    let mut scan = Scan::default();
    loop {
        let unit = match reader.next_unit() {
            Ok(Some(unit)) => unit,
            // The last file may still be written to, or have a torn end.
            Ok(None) | Err(ReadError::Torn) => return Ok(scan),
            Err(ReadError::Io(error)) => return Err(failed(error)),
            Err(error) => {
                return Err(RestoreError::NoLog(format!(
                    "{}: {error}",
                    part.path.display()
                )));
            }
        };
        scan.earliest_s = scan.earliest_s.or(unit.time_s);
        if unit.time_s.is_some_and(|time_s| time_s > at_s) {
            scan.is_passed = true;
            return Ok(scan);
        }
        scan.end = Some(unit.end);
        scan.units += 1;
        scan.time_s = unit.time_s.or(scan.time_s);
    }
}

/// The manifest at a path; none if there is none.
fn parse(disk: &dyn Disk, path: &Path) -> Result<Option<Manifest>, RestoreError> {
    let text = match read_all(disk, path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(RestoreError::Io {
                path: path.to_owned(),
                error,
            });
        }
    };
    let manifest = Manifest::parse(&text);
    let named = |error| RestoreError::NoLog(format!("{}: {error}", path.display()));
    manifest.map(Some).map_err(named)
}

/// A line of a manifest without places: those of another log.
fn plain(file: &ManifestFile) -> ManifestFile {
    ManifestFile {
        name: file.name.clone(),
        seq: file.seq,
        extra: Vec::new(),
    }
}

/// Copies the first bytes of a file, durably.
fn copy_file(disk: &dyn Disk, from: &Path, to: &Path, len: u64) -> io::Result<()> {
    let mut source = disk.read(from)?.take(len);
    let mut file = disk.create(to)?;
    let mut block = vec![0; 1 << 16];
    loop {
        match source.read(&mut block)? {
            0 => return file.sync(),
            count => write_all(&mut *file, &block[..count])?,
        }
    }
}
