//! The data directory of nkv: below `digest` a file for each key, `a.b.c` in `a/b/c.json`, which
//! holds the bytes of the value.
//!
//! Links are not followed, and what is no file and no directory is passed over.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{ImportReport, Take};

/// Ending of the files of values.
const ENDING: &[u8] = b".json";

pub(super) fn read(dir: &Path, take: &mut Take<'_>) -> io::Result<ImportReport> {
    let root = dir.join("digest");
    let (mut report, mut folders) = (ImportReport::default(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        let listed = match fs::read_dir(&folder) {
            Ok(listed) => listed,
            Err(error) if folder == root => return Err(error),
            Err(error) => {
                report
                    .defects
                    .push(format!("{}: {error}", folder.display()));
                continue;
            }
        };
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in listed.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => paths.push(entry.path()),
                _ => {}
            }
        }
        paths.sort();
        for path in paths {
            let Some(key) = key_of(&root, &path) else {
                continue;
            };
            match fs::read(&path) {
                Ok(value) => {
                    take(&key, &value)?;
                    report.keys += 1;
                }
                Err(error) => report.defects.push(format!("{}: {error}", path.display())),
            }
        }
    }
    Ok(report)
}

/// The key of a file; none for one that holds no value.
fn key_of(root: &Path, path: &Path) -> Option<Vec<u8>> {
    let relative = path.strip_prefix(root).ok()?.as_os_str().as_bytes();
    let mut name = relative.strip_suffix(ENDING)?;
    while let Some(shorter) = name.strip_suffix(ENDING) {
        name = shorter;
    }
    let dotted = name
        .iter()
        .map(|byte| if *byte == b'/' { b'.' } else { *byte });
    Some(dotted.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_keys_and_links_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let digest = dir.path().join("digest");
        fs::create_dir_all(digest.join("a/b")).unwrap();
        fs::write(digest.join("a/b/c.json"), "v\n").unwrap();
        fs::write(digest.join("a.json"), [0xff]).unwrap();
        fs::write(digest.join("twice.json.json"), "").unwrap();
        fs::write(digest.join("other.txt"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", digest.join("link")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", digest.join("file.json")).unwrap();
        let mut found = Vec::new();
        let report = read(dir.path(), &mut |key, value| {
            found.push((String::from_utf8_lossy(key).into_owned(), value.to_vec()));
            Ok(())
        })
        .unwrap();
        found.sort();
        let expected = [
            ("a", vec![0xff]),
            ("a.b.c", b"v\n".to_vec()),
            ("twice", vec![]),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value));
        assert_eq!(found, expected);
        assert_eq!((report.keys, report.defects.len()), (3, 0));
    }

    #[test]
    fn a_directory_without_data_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path(), &mut |_, _| Ok(())).is_err());
    }
}
