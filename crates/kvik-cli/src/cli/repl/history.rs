//! The history of lines: a file that remembers everything but passwords, and that only its owner
//! can read, because keys and values may be secrets too.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use reedline::{
    FileBackedHistory, History, HistoryItem, HistoryItemId, HistorySessionId, ReedlineError,
    ReedlineErrorVariants, Result, SearchQuery,
};

use crate::cli::line::Line;

/// Lines kept.
const CAPACITY: usize = 10_000;

/// The history in the user's state directory; only in memory when there is none.
pub(crate) fn history() -> Option<Box<dyn History>> {
    let file = state_directory().and_then(|directory| DiscreetHistory::open(&directory).ok());
    let history = file.or_else(DiscreetHistory::in_memory)?;
    Some(Box::new(history))
}

/// Creates a file that only its owner can read, or makes one so that is there already.
fn keep_private(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    // The mode above is for a new file only; older versions left the choice to the umask.
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// `$XDG_STATE_HOME/kvik`, which is `~/.local/state/kvik` unless set.
fn state_directory() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(std::env::home_dir()?.join(".local/state")))?;
    Some(state.join("kvik"))
}

/// Whether a line carries a password.
fn is_secret(line: &str) -> bool {
    let Ok(Some(line)) = Line::parse(line.as_bytes()) else {
        // What cannot be read may be a password with a quote in it.
        return ["auth", "pass"]
            .iter()
            .any(|word| line.to_ascii_lowercase().contains(word));
    };
    let words: Vec<Vec<u8>> = line
        .command()
        .iter()
        .map(|word| word.to_ascii_uppercase())
        .collect();
    let says = |index: usize, word: &str| {
        words
            .get(index)
            .is_some_and(|given| given == word.as_bytes())
    };
    let anywhere = |secret: &str| words.iter().any(|word| word == secret.as_bytes());
    match words.first().map(Vec::as_slice) {
        Some(b"AUTH") => true,
        Some(b"HELLO") => anywhere("AUTH"),
        Some(b"MIGRATE") => anywhere("AUTH") || anywhere("AUTH2"),
        Some(b"ACL") => says(1, "SETUSER"),
        // requirepass, masterauth, primaryauth, tls-key-file-pass and those still to come.
        Some(b"CONFIG") => {
            let names_a_secret =
                |word: &Vec<u8>| word.ends_with(b"PASS") || word.ends_with(b"AUTH");
            says(1, "SET") && words.iter().any(names_a_secret)
        }
        _ => false,
    }
}

/// A history that takes no passwords. The line editor still offers a refused line once, with the up
/// key.
struct DiscreetHistory {
    lines: FileBackedHistory,
    file: Option<PathBuf>,
}

impl DiscreetHistory {
    /// The history in a directory, which is made if it is not there.
    fn open(directory: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let path = directory.join("history");
        keep_private(&path)?;
        Ok(Self {
            lines: FileBackedHistory::with_file(CAPACITY, path.clone())?,
            file: Some(path),
        })
    }

    fn in_memory() -> Option<Self> {
        let lines = FileBackedHistory::new(CAPACITY).ok()?;
        Some(Self { lines, file: None })
    }
}

impl History for DiscreetHistory {
    fn save(&mut self, item: HistoryItem) -> Result<HistoryItem> {
        if item.command_line.lines().any(is_secret) {
            return Err(ReedlineError(ReedlineErrorVariants::OtherHistoryError(
                "the line holds a password",
            )));
        }
        self.lines.save(item)
    }

    fn load(&self, id: HistoryItemId) -> Result<HistoryItem> {
        self.lines.load(id)
    }

    fn count(&self, query: SearchQuery) -> Result<i64> {
        self.lines.count(query)
    }

    fn search(&self, query: SearchQuery) -> Result<Vec<HistoryItem>> {
        self.lines.search(query)
    }

    fn update(
        &mut self,
        id: HistoryItemId,
        updater: &dyn Fn(HistoryItem) -> HistoryItem,
    ) -> Result<()> {
        self.lines.update(id, updater)
    }

    fn clear(&mut self) -> Result<()> {
        self.lines.clear()
    }

    fn delete(&mut self, id: HistoryItemId) -> Result<()> {
        self.lines.delete(id)
    }

    fn sync(&mut self) -> io::Result<()> {
        // Somebody may have removed the file since.
        self.file.as_deref().map_or(Ok(()), keep_private)?;
        self.lines.sync()
    }

    fn session(&self) -> Option<HistorySessionId> {
        self.lines.session()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_recognized() {
        for line in [
            "AUTH hunter2",
            "auth ann hunter2",
            "2 auth x",
            "HELLO 3 AUTH ann hunter2",
            "config set requirepass hunter2",
            "CONFIG SET maxmemory 1 requirepass hunter2",
            "config set tls-key-file-pass hunter2",
            "ACL SETUSER ann >hunter2",
            "migrate h 1 k 0 5 AUTH hunter2",
            "auth \"hunter",
        ] {
            assert!(is_secret(line), "{line}");
        }
        for line in [
            "GET auth",
            "HELLO 3",
            "CONFIG GET requirepass",
            "ACL WHOAMI",
            "set k 'a",
            "",
        ] {
            assert!(!is_secret(line), "{line}");
        }
    }

    #[test]
    fn a_password_never_reaches_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history");
        let mut history = DiscreetHistory::open(directory.path()).unwrap();
        history
            .save(HistoryItem::from_command_line("PING"))
            .unwrap();
        assert!(
            history
                .save(HistoryItem::from_command_line("PING\nAUTH hunter2"))
                .is_err()
        );
        history.sync().unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "PING\n");
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_can_read_the_file() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("state/kvik");
        let path = directory.join("history");
        let mut history = DiscreetHistory::open(&directory).unwrap();
        assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
        std::fs::remove_file(&path).unwrap();
        history
            .save(HistoryItem::from_command_line("PING"))
            .unwrap();
        history.sync().unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn an_older_file_that_others_can_read_becomes_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history");
        std::fs::write(&path, "PING\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let history = DiscreetHistory::open(directory.path()).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(history.count_all().unwrap(), 1);
    }
}
