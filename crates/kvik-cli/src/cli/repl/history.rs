//! The history of lines: a file that remembers everything but passwords.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use reedline::{
    FileBackedHistory, History, HistoryItem, HistoryItemId, HistorySessionId, ReedlineError,
    ReedlineErrorVariants, Result, SearchQuery,
};

use crate::cli::line::Line;

/// Lines kept.
const CAPACITY: usize = 10_000;

/// The history in the user's state directory; only in memory when there is none.
pub(super) fn history() -> Option<Box<dyn History>> {
    let file = open()
        .ok()
        .or_else(|| FileBackedHistory::new(CAPACITY).ok())?;
    Some(Box::new(DiscreetHistory(file)))
}

fn open() -> Result<FileBackedHistory> {
    let directory = state_directory().ok_or(NO_DIRECTORY)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)?;
    FileBackedHistory::with_file(CAPACITY, directory.join("history"))
}

const NO_DIRECTORY: ReedlineError = ReedlineError(ReedlineErrorVariants::OtherHistoryError(
    "there is no home directory",
));

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
        Some(b"CONFIG") => {
            says(1, "SET")
                && ["REQUIREPASS", "MASTERAUTH", "PRIMARYAUTH"]
                    .into_iter()
                    .any(anywhere)
        }
        _ => false,
    }
}

/// A history that takes no passwords. The line editor still offers a refused line once, with the up
/// key.
struct DiscreetHistory(FileBackedHistory);

impl History for DiscreetHistory {
    fn save(&mut self, item: HistoryItem) -> Result<HistoryItem> {
        if item.command_line.lines().any(is_secret) {
            return Err(ReedlineError(ReedlineErrorVariants::OtherHistoryError(
                "the line holds a password",
            )));
        }
        self.0.save(item)
    }

    fn load(&self, id: HistoryItemId) -> Result<HistoryItem> {
        self.0.load(id)
    }

    fn count(&self, query: SearchQuery) -> Result<i64> {
        self.0.count(query)
    }

    fn search(&self, query: SearchQuery) -> Result<Vec<HistoryItem>> {
        self.0.search(query)
    }

    fn update(
        &mut self,
        id: HistoryItemId,
        updater: &dyn Fn(HistoryItem) -> HistoryItem,
    ) -> Result<()> {
        self.0.update(id, updater)
    }

    fn clear(&mut self) -> Result<()> {
        self.0.clear()
    }

    fn delete(&mut self, id: HistoryItemId) -> Result<()> {
        self.0.delete(id)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.0.sync()
    }

    fn session(&self) -> Option<HistorySessionId> {
        self.0.session()
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
        let mut history = DiscreetHistory(FileBackedHistory::with_file(10, path.clone()).unwrap());
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
}
