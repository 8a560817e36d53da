//! The disk, as the log needs it.
//!
//! Nothing else in kvik opens, renames or removes files of a database, so that tests can put a disk
//! below it that fails or loses power at any operation. The calls are those of POSIX and promise no
//! more: what is written is durable after [`DiskWriter::sync`], a name after [`Disk::sync_dir`] of
//! its directory.

mod system;

use std::io::{self, IoSlice, Read, Seek};
use std::path::Path;

pub use system::SystemDisk;

/// Files and directories.
pub trait Disk: Send + Sync {
    /// Creates a directory and those above it. One that exists is fine.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The files in a directory, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<FileEntry>>;

    /// Length of a file in bytes; `NotFound` if there is none.
    fn len(&self, path: &Path) -> io::Result<u64>;

    /// Opens a file for reading, at its start.
    fn read(&self, path: &Path) -> io::Result<Box<dyn DiskReader>>;

    /// Creates a file for writing, or empties the one that exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskWriter>>;

    /// Opens an existing file for writing at its end.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskWriter>>;

    /// Writes over bytes of an existing file, which is as long afterwards as before. Durable after
    /// a [`DiskWriter::sync`] of the file.
    fn overwrite(&self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file another name in one step, in place of the file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the lock that a file stands for, and creates the file if need be. None if another
    /// process has it. The lock is released when the value is dropped or the process ends.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;
}

/// A file that is read.
pub trait DiskReader: Read + Seek + Send {}

/// A file that is written at its end.
pub trait DiskWriter: Send {
    /// Appends bytes, maybe only the first of them. Returns how many.
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Makes all that was written durable. After an error nothing is known about what was written
    /// since the last success, whatever a later call returns.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to its first `len` bytes; the next write goes there.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A lock that is held.
pub trait DiskLock: Send + Sync {}

/// A file in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name, without the directory.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
}

/// Appends all of `bytes` to a file.
pub fn write_all(file: &mut dyn DiskWriter, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(&[IoSlice::new(bytes)])? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

/// Whether there is such a file.
pub fn exists(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    match disk.len(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// All bytes of a small file.
pub(crate) fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    disk.read(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
