//! `kvik check FILE|DIR`: whether the files of a database are sound, and which servers can load
//! them.
//!
//! Three kinds of files are read to their ends: snapshots ([`rdb`]), append-only files ([`aof`])
//! and manifests with everything that they name ([`directory`]). A file is told by its first bytes,
//! not by its name. Nothing is loaded into memory as a whole: every value of a snapshot is built
//! and thrown away again. The commands of an append-only file are checked for their form (known,
//! right number of words); whether they fit the data they meet is seen only when a server replays
//! them.
//!
//! `--repair` cuts an append-only file behind its last whole unit and keeps the bytes that it cut
//! off in a file of their own. It does so at the end of a log only. Snapshots cannot be repaired.

mod aof;
mod directory;
pub(crate) mod named;
mod rdb;
mod report;
mod servers;

#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ArgMatches;
use kvik_log::{Disk, SystemDisk};

use report::Report;

/// How names of the files of a log begin unless the server was configured otherwise.
const APPEND_DIRECTORY: &str = "appendonlydir";

/// Something to check, and how.
struct Check<'a> {
    disk: &'a dyn Disk,
    report: Report,
    /// Whether files that end badly are to be cut.
    repairs: bool,
}

/// The kind of a file, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    /// A snapshot, perhaps with commands behind it.
    Rdb,
    /// Commands.
    Aof,
    /// The names of files.
    Manifest,
    /// Nothing: an append-only file to which nothing was appended.
    Empty,
    /// None of these.
    Unknown,
}

/// Runs the subcommand. Its exit status is 0 if everything is sound, or was repaired.
pub(crate) fn run(matches: &ArgMatches) -> ExitCode {
    let path = matches.get_one::<PathBuf>("path");
    let path = path.expect("clap demands a path");
    let repairs = matches.get_flag("repair");
    let mut check = Check::new(&SystemDisk, repairs);
    check.path(path);
    let written = io::stdout().write_all(check.report.text().as_bytes());
    if written.is_ok() && check.report.is_sound() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl<'a> Check<'a> {
    fn new(disk: &'a dyn Disk, repairs: bool) -> Self {
        Self {
            disk,
            report: Report::default(),
            repairs,
        }
    }

    /// Checks a file or a directory.
    fn path(&mut self, path: &Path) {
        match self.disk.list(path) {
            Ok(_) => self.directory(path),
            Err(error) if error.kind() == ErrorKind::NotADirectory => self.file(path),
            Err(error) => self.report.damage(path, &error.to_string()),
        }
    }

    /// Checks a file that stands for itself.
    fn file(&mut self, path: &Path) {
        let kind = match kind(self.disk, path) {
            Ok(kind) => kind,
            Err(error) => return self.report.damage(path, &error.to_string()),
        };
        match kind {
            FileKind::Manifest => self.manifest(path),
            FileKind::Rdb | FileKind::Aof => {
                let end = self.log_file(path);
                self.settle(path, end);
            }
            FileKind::Empty => self.report.damage(path, "an empty file"),
            FileKind::Unknown => {
                let reason = "neither a snapshot nor an append-only file nor a manifest";
                self.report.damage(path, reason);
            }
        }
    }
}

/// Tells the kind of a file by its first bytes.
fn kind(disk: &dyn Disk, path: &Path) -> io::Result<FileKind> {
    let mut start = Vec::new();
    disk.read(path)?.take(8).read_to_end(&mut start)?;
    Ok(match start.as_slice() {
        [] => FileKind::Empty,
        [b'*' | b'#', ..] => FileKind::Aof,
        start if start.starts_with(b"REDIS") || start.starts_with(b"VALKEY") => FileKind::Rdb,
        start if start.starts_with(b"file ") => FileKind::Manifest,
        _ => FileKind::Unknown,
    })
}
