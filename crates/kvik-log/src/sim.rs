//! A disk in memory that fails when it is told to, and loses what POSIX allows it to lose.
//!
//! Every call that changes something is an operation with a number, so that a test can run the same
//! work again and again and pull the plug at each of them. Contents and names have two states: the
//! one that the process sees, and the one that is durable. When the power goes, each sector of 512
//! bytes that was written since the last fsync is there or not by itself, so that later writes may
//! survive earlier ones; lengths are anything between the two states, and what is missing in
//! between reads as zeros; and of the names that changed since their directory was synced, any may
//! have. When only the process is killed, everything it wrote is there.
//!
//! A failed fsync behaves as on Linux: what could not be written counts as clean, and no later
//! fsync writes it.
//!
//! Everything follows from the seed.
//!
//! The file is long because a disk in memory is one structure: what each operation leaves durable
//! shows only beside what a loss of power takes back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskLock, DiskReader, DiskWriter, FileEntry};

const SECTOR: usize = 512;

/// The faults to come. Operations, writes and fsyncs are counted from 0 since the disk was made.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The operation at which everything ends: it happens in part or not at all, and all that come
    /// later fail.
    pub crash_at: Option<u64>,
    /// Writes that fail with EIO.
    pub failing_writes: Vec<u64>,
    /// Fsyncs of files that fail with EIO.
    pub failing_syncs: Vec<u64>,
    /// Bytes that still fit on the disk. A write that does not fit is short, and the next one
    /// fails.
    pub space: Option<u64>,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is killed: the system writes later what it was given.
    Kill,
    /// The power goes.
    PowerCut,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since their directories were synced.
    changes: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    durable_dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    faults: Faults,
    operations: u64,
    writes: u64,
    syncs: u64,
    off: bool,
    random: Random,
}

#[derive(Clone, Default)]
struct Contents {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that a failed fsync has made clean though they are not durable.
    given_up: BTreeSet<usize>,
}

#[derive(Clone)]
enum NameChange {
    Set(PathBuf, usize),
    Rename(PathBuf, PathBuf, usize),
    Remove(PathBuf),
}

impl NameChange {
    fn path(&self) -> &Path {
        match self {
            Self::Set(path, _) | Self::Rename(_, path, _) | Self::Remove(path) => path,
        }
    }

    fn apply(self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Set(path, file) => {
                names.insert(path, file);
            }
            Self::Rename(from, to, file) => {
                names.remove(&from);
                names.insert(to, file);
            }
            Self::Remove(path) => {
                names.remove(&path);
            }
        }
    }
}

/// The generator SplitMix64.
#[derive(Clone, Debug, Default)]
pub struct Random(u64);

impl Random {
    /// The numbers that follow from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    fn coin(&mut self) -> bool {
        self.number() & 1 == 0
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: Random::new(seed),
            ..State::default()
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Changes what goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.0.lock().faults = faults;
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// How many fsyncs of files there were.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Whether everything has ended.
    pub fn is_off(&self) -> bool {
        self.0.lock().off
    }

    /// The disk as the next process finds it, without faults.
    pub fn restart(&self, ending: Ending) -> Self {
        let mut state = self.0.lock();
        let mut random = Random::new(state.random.number());
        let (files, names, dirs) = match ending {
            Ending::Kill => (state.files.clone(), state.names.clone(), state.dirs.clone()),
            Ending::PowerCut => state.after_power_cut(&mut random),
        };
        let durable = ending == Ending::PowerCut;
        let next = State {
            durable_names: if durable {
                names.clone()
            } else {
                state.durable_names.clone()
            },
            changes: if durable {
                Vec::new()
            } else {
                state.changes.clone()
            },
            durable_dirs: if durable {
                dirs.clone()
            } else {
                state.durable_dirs.clone()
            },
            files,
            names,
            dirs,
            random,
            ..State::default()
        };
        Self(Arc::new(Mutex::new(next)))
    }

    /// All bytes of a file.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.lock();
        let file = *state.names.get(path)?;
        Some(state.files[file].bytes.clone())
    }
}

impl State {
    /// Counts an operation. Returns whether it is the last one.
    fn operation(&mut self) -> io::Result<bool> {
        if self.off {
            return Err(io::Error::other("the power is off"));
        }
        // The last operation still does its work, in part; whoever asks afterwards finds the power
        // off.
        let last = self.faults.crash_at == Some(self.operations);
        self.operations += 1;
        self.off = last;
        Ok(last)
    }

    /// Counts an operation that happens as a whole, or not at all if it is the last one and chance
    /// wants it so.
    fn whole_operation(&mut self) -> io::Result<()> {
        let last = self.operation()?;
        if last && self.random.coin() {
            return Err(io::Error::other("the power is off"));
        }
        Ok(())
    }

    fn is_on(&self) -> io::Result<()> {
        match self.off {
            true => Err(io::Error::other("the power is off")),
            false => Ok(()),
        }
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        self.is_on()?;
        let file = self.names.get(path).copied();
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.changes.push(change);
    }

    fn after_power_cut(
        &self,
        random: &mut Random,
    ) -> (Vec<Contents>, BTreeMap<PathBuf, usize>, BTreeSet<PathBuf>) {
        // Any subset, as nothing orders the changes of a directory but its fsync.
        let mut names = self.durable_names.clone();
        for change in &self.changes {
            if random.coin() {
                change.clone().apply(&mut names);
            }
        }
        let dirs: BTreeSet<_> = self
            .dirs
            .iter()
            .filter(|dir| self.durable_dirs.contains(*dir) || random.coin())
            .cloned()
            .collect();
        names.retain(|path, _| path.parent().is_none_or(|dir| dirs.contains(dir)));
        let files = self.files.iter().map(|file| file.after_power_cut(random));
        (files.collect(), names, dirs)
    }

    /// Writes as much as the faults allow.
    fn write(&mut self, file: usize, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let last = self.operation()?;
        let number = self.writes;
        self.writes += 1;
        if self.faults.failing_writes.contains(&number) {
            return Err(io::Error::other("input/output error"));
        }
        // A crash and a full disk both make the write short; only the disk says so.
        let all: Vec<u8> = bytes
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        let mut count = all.len();
        if last {
            count = self.random.below(count as u64 + 1) as usize;
        }
        if let Some(space) = &mut self.faults.space {
            count = count.min(usize::try_from(*space).unwrap_or(usize::MAX));
            *space -= count as u64;
            if count == 0 && !all.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let contents = &mut self.files[file];
        // Sectors that are written again are dirty again.
        let first = contents.bytes.len() / SECTOR;
        contents.given_up.retain(|&sector| sector < first);
        contents.bytes.extend_from_slice(&all[..count]);
        self.is_on()?;
        Ok(count)
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        let last = self.operation()?;
        let number = self.syncs;
        self.syncs += 1;
        if self.faults.failing_syncs.contains(&number) {
            self.files[file].give_up();
            return Err(io::Error::other("input/output error"));
        }
        if !last || self.random.coin() {
            self.files[file].sync();
        }
        self.is_on()
    }
}

impl Contents {
    fn sectors(&self) -> usize {
        self.bytes.len().max(self.durable.len()).div_ceil(SECTOR)
    }

    fn sync(&mut self) {
        let before = std::mem::replace(&mut self.durable, self.bytes.clone());
        for &sector in &self.given_up {
            copy_sector(Some(&before), &mut self.durable, sector);
        }
    }

    fn give_up(&mut self) {
        let dirty = |sector: &usize| part(&self.bytes, *sector) != part(&self.durable, *sector);
        self.given_up = (0..self.sectors()).filter(dirty).collect();
    }

    fn after_power_cut(&self, random: &mut Random) -> Self {
        let (short, long) = (
            self.durable.len().min(self.bytes.len()),
            self.durable.len().max(self.bytes.len()),
        );
        // A length is data of its own: it may be older or newer than the sectors.
        let len = match random.below(3) {
            0 => self.durable.len(),
            1 => self.bytes.len(),
            _ => short + random.below((long - short) as u64 + 1) as usize,
        };
        let mut bytes = vec![0; len];
        // Often everything survives, or nothing: chance alone would seldom leave two sectors that
        // belong together.
        let style = random.below(4);
        for sector in 0..self.sectors() {
            let written = match style {
                0 => true,
                1 => false,
                _ => random.coin(),
            };
            let from = match written && !self.given_up.contains(&sector) {
                true => &self.bytes,
                false => &self.durable,
            };
            copy_sector(Some(from), &mut bytes, sector);
        }
        Self {
            durable: bytes.clone(),
            bytes,
            given_up: BTreeSet::new(),
        }
    }
}

fn part(bytes: &[u8], sector: usize) -> &[u8] {
    let end = bytes.len().min((sector + 1) * SECTOR);
    bytes.get(sector * SECTOR..end).unwrap_or_default()
}

/// Copies a sector as far as both have it; what `from` does not have becomes zeros.
fn copy_sector(from: Option<&Vec<u8>>, to: &mut [u8], sector: usize) {
    let end = to.len().min((sector + 1) * SECTOR);
    let Some(to) = to.get_mut(sector * SECTOR..end) else {
        return;
    };
    let from = from.map_or(&[][..], |from| part(from, sector));
    for (at, byte) in to.iter_mut().enumerate() {
        *byte = from.get(at).copied().unwrap_or(0);
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.is_on()?;
        if state.dirs.contains(path) {
            return Ok(());
        }
        state.whole_operation()?;
        state.dirs.extend(path.ancestors().map(Path::to_owned));
        state.is_on()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<FileEntry>> {
        let state = self.0.lock();
        state.is_on()?;
        let inside = state
            .names
            .iter()
            .filter(|(name, _)| name.parent() == Some(path));
        let entries = inside.map(|(name, file)| FileEntry {
            name: name
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            len: state.files[*file].bytes.len() as u64,
        });
        Ok(entries.collect())
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let state = self.0.lock();
        let file = state.file(path)?;
        Ok(state.files[file].bytes.len() as u64)
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        let file = self.0.lock().file(path)?;
        let disk = self.clone();
        Ok(Box::new(SimReader { disk, file, at: 0 }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskWriter>> {
        let mut state = self.0.lock();
        state.whole_operation()?;
        if path.parent().is_some_and(|dir| !state.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = match state.names.get(path) {
            Some(&file) => {
                state.files[file].bytes.clear();
                file
            }
            None => {
                let file = state.files.len();
                state.files.push(Contents::default());
                state.change(NameChange::Set(path.to_owned(), file));
                file
            }
        };
        state.is_on()?;
        let disk = self.clone();
        Ok(Box::new(SimWriter { disk, file }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskWriter>> {
        let file = self.0.lock().file(path)?;
        let disk = self.clone();
        Ok(Box::new(SimWriter { disk, file }))
    }

    fn overwrite(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock();
        let file = state.file(path)?;
        state.whole_operation()?;
        let at = usize::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
        let contents = &mut state.files[file];
        let end = at + bytes.len();
        let place = contents.bytes.get_mut(at..end);
        place
            .ok_or(io::ErrorKind::UnexpectedEof)?
            .copy_from_slice(bytes);
        contents
            .given_up
            .retain(|&sector| !(at / SECTOR..=end / SECTOR).contains(&sector));
        state.is_on()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let file = state.file(from)?;
        state.whole_operation()?;
        state.change(NameChange::Rename(from.to_owned(), to.to_owned(), file));
        state.is_on()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let file = state.file(from)?;
        state.whole_operation()?;
        state.change(NameChange::Set(to.to_owned(), file));
        state.is_on()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.file(path)?;
        state.whole_operation()?;
        state.change(NameChange::Remove(path.to_owned()));
        state.is_on()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.whole_operation()?;
        let changes = std::mem::take(&mut state.changes);
        for change in changes {
            match change.path().parent() == Some(path) {
                true => change.apply(&mut state.durable_names),
                false => state.changes.push(change),
            }
        }
        let inside = |dir: &&PathBuf| dir.parent() == Some(path) || *dir == path;
        let dirs: Vec<_> = state.dirs.iter().filter(inside).cloned().collect();
        state.durable_dirs.extend(dirs);
        state.is_on()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut state = self.0.lock();
        state.is_on()?;
        if !state.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        let (disk, path) = (self.clone(), path.to_owned());
        Ok(Some(Box::new(SimLock { disk, path })))
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.0.lock().locks.remove(&self.path);
    }
}

struct SimReader {
    disk: SimDisk,
    file: usize,
    at: u64,
}

impl DiskReader for SimReader {}

impl Read for SimReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.0.lock();
        state.is_on()?;
        let bytes = &state.files[self.file].bytes;
        let count = bytes
            .get(self.at as usize..)
            .unwrap_or_default()
            .read(out)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for SimReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let len = self.disk.0.lock().files[self.file].bytes.len() as u64;
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

struct SimWriter {
    disk: SimDisk,
    file: usize,
}

impl DiskWriter for SimWriter {
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.disk.0.lock().write(self.file, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.0.lock().sync(self.file)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.whole_operation()?;
        state.files[self.file].bytes.truncate(len as usize);
        state.is_on()
    }
}

#[cfg(test)]
mod tests;
