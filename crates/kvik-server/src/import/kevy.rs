//! The data directory of kevy: a snapshot and a log for each of its shards.
//!
//! ```text
//! dump-<i>.rdb      the keys of shard i when it was last saved
//! aof-<i>.aof       the commands since then
//! shards.meta       the number of shards, and how keys were dealt out
//! reshard.journal   a change of that number, which counts from here on although files are still
//!                   to be renamed
//! ```
//!
//! A shard is loaded as kevy loads it, into a store of its own: FLUSHALL of one shard must not reach
//! the others, and commands are not to meet keys that are there already. What has come of it is
//! handed on key by key. So the largest shard is in memory twice while it is read. How keys were
//! dealt out does not matter here.

pub mod command_log;
pub mod snapshot;
mod stage;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use self::stage::Stage;
use super::{ImportReport, ImportSink};

/// The most shards that a name of a file may stand for.
const MAX_SHARDS: usize = 4096;

/// Runs a command, the name first.
pub type Run<'a> = dyn FnMut(&[&[u8]]) + 'a;

/// The files of a shard. They are open, so that nothing is taken from a directory which cannot be
/// read as a whole.
struct ShardFiles {
    number: usize,
    snapshot: Option<(String, File)>,
    log: Option<(String, File)>,
}

/// Whether a directory holds files of kevy.
pub(super) fn exists(dir: &Path) -> bool {
    number_of_shards(dir).is_some_and(|shards| shards > 0)
}

/// Gives all keys of a directory to `sink`.
pub(super) fn read(dir: &Path, sink: &mut dyn ImportSink) -> io::Result<ImportReport> {
    let mut report = ImportReport::default();
    let shards = open(dir, &mut report.defects)?;
    if shards.is_empty() {
        let text = "there is neither a dump-<i>.rdb nor an aof-<i>.aof";
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let mut total = 0;
    for (_, file) in shards.iter().flat_map(ShardFiles::files) {
        total += file.metadata()?.len();
    }
    let mut done = 0;
    for shard in shards {
        let mut stage = Stage::new();
        if let Some((name, file)) = shard.snapshot {
            let len = file.metadata()?.len();
            let mut file = Counted::new(file, done, total, sink);
            let fault = snapshot::read(&mut file, len, &mut |words| stage.run(words))?;
            let fault = fault.map(|fault| format!("{name}: {fault}"));
            report.defects.extend(fault);
            done += len;
        }
        if let Some((name, file)) = shard.log {
            let len = file.metadata()?.len();
            let mut file = Counted::new(file, done, total, sink);
            let faults = command_log::read(&mut file, &mut |words| stage.run(words))?;
            let faults = faults.into_iter().map(|fault| format!("{name}: {fault}"));
            report.defects.extend(faults);
            done += len;
        }
        let number = shard.number;
        let remarks = stage.remarks().into_iter();
        report
            .defects
            .extend(remarks.map(|remark| format!("shard {number}: {remark}")));
        report.keys += stage.hand_over(sink)?;
    }
    Ok(report)
}

impl ShardFiles {
    fn files(&self) -> impl Iterator<Item = &(String, File)> {
        self.snapshot.iter().chain(&self.log)
    }
}

/// Opens the files of a directory. Those that kevy would not look at are defects.
fn open(dir: &Path, defects: &mut Vec<String>) -> io::Result<Vec<ShardFiles>> {
    let journal = Journal::read(dir)?;
    let (count, found) = match &journal {
        Some(journal) => (journal.shards, journal.shards),
        None => (counted(dir)?, number_of_shards(dir).unwrap_or(0)),
    };
    for number in count..found {
        defects.push(format!(
            "the files of shard {number} are left out: shards.meta says that there are {count}"
        ));
    }
    let mut shards = Vec::new();
    for number in 0..count {
        let mut snapshot = open_file(dir, &format!("dump-{number}.rdb"))?;
        let mut log = None;
        match journal {
            // The logs there are belong to the shards of before.
            Some(_) => {
                let renamed = open_file(dir, &format!("dump-{number}.rdb.reshard"))?;
                snapshot = renamed.or(snapshot);
            }
            None => log = open_file(dir, &format!("aof-{number}.aof"))?,
        }
        if snapshot.is_some() || log.is_some() {
            shards.push(ShardFiles {
                number,
                snapshot,
                log,
            });
        }
    }
    Ok(shards)
}

fn open_file(dir: &Path, name: &str) -> io::Result<Option<(String, File)>> {
    match File::open(dir.join(name)) {
        Ok(file) => Ok(Some((name.to_owned(), file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{name}: {error}"))),
    }
}

/// The shards there are, by `shards.meta`, or by the names of files where that says nothing.
fn counted(dir: &Path) -> io::Result<usize> {
    let found = number_of_shards(dir).unwrap_or(0);
    let Some(text) = text_of(&dir.join("shards.meta"))? else {
        return Ok(found);
    };
    let said = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    Ok(said
        .filter(|count| (1..=MAX_SHARDS).contains(count))
        .unwrap_or(found))
}

/// One more than the greatest number in a name of a file.
fn number_of_shards(dir: &Path) -> Option<usize> {
    let entries = std::fs::read_dir(dir).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let numbers = names.filter_map(|name| {
        let snapshot = name.strip_prefix("dump-").and_then(|rest| {
            rest.strip_suffix(".rdb")
                .or_else(|| rest.strip_suffix(".rdb.reshard"))
        });
        let log = || {
            name.strip_prefix("aof-")
                .and_then(|rest| rest.strip_suffix(".aof"))
        };
        let number: usize = snapshot.or_else(log)?.parse().ok()?;
        (number < MAX_SHARDS).then_some(number + 1)
    });
    Some(numbers.max().unwrap_or(0))
}

/// A small text; none if there is no such file.
fn text_of(path: &Path) -> io::Result<Option<String>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(4096).read_to_string(&mut text).map(drop)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(text))
}

/// A change of the number of shards that has been decided and not been finished.
struct Journal {
    shards: usize,
}

impl Journal {
    /// None as well if it was not written whole: then nothing has been decided.
    fn read(dir: &Path) -> io::Result<Option<Self>> {
        let Some(text) = text_of(&dir.join("reshard.journal"))? else {
            return Ok(None);
        };
        let mut lines = text.lines();
        if lines.next() != Some("kevy-reshard-journal v1") {
            return Ok(None);
        }
        let (mut shards, mut rest) = (None, ["stamp", "prev_n", "routing"].to_vec());
        for line in lines {
            match line.split_once('=') {
                Some(("n", count)) => shards = count.parse().ok(),
                Some((name, _)) => rest.retain(|it| *it != name),
                None => return Ok(None),
            }
        }
        let shards = shards.filter(|count| (1..=MAX_SHARDS).contains(count));
        let shards = shards.filter(|_| rest.is_empty());
        Ok(shards.map(|shards| Self { shards }))
    }
}

/// A file that tells how far it has been read.
struct Counted<'a> {
    file: io::BufReader<File>,
    /// Bytes read of all files, and those there are.
    done: u64,
    total: u64,
    sink: &'a mut dyn ImportSink,
}

impl<'a> Counted<'a> {
    fn new(file: File, done: u64, total: u64, sink: &'a mut dyn ImportSink) -> Self {
        Self {
            file: io::BufReader::with_capacity(256 << 10, file),
            done,
            total,
            sink,
        }
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.done += count as u64;
        self.sink.show(self.done, self.total);
        Ok(count)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests;
