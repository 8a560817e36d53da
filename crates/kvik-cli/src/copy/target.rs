//! Where copied keys go: a running server, or the files of one.

use std::path::Path;

use anyhow::Context;
use kvik::{Db, Options};
use kvik_client::{Client, Value};

use super::CommandWords;

/// Takes commands.
pub(crate) trait Target {
    /// Runs commands in order; their replies.
    ///
    /// # Errors
    /// If the connection breaks. An error reply is none.
    fn run(&mut self, commands: &[CommandWords]) -> anyhow::Result<Vec<Value>>;
}

impl Target for Client {
    fn run(&mut self, commands: &[CommandWords]) -> anyhow::Result<Vec<Value>> {
        self.pipeline(commands).context("the target")
    }
}

impl Target for kvik::Connection {
    fn run(&mut self, commands: &[CommandWords]) -> anyhow::Result<Vec<Value>> {
        let run = |command: &CommandWords| Self::run(self, command);
        Ok(commands.iter().map(run).collect())
    }
}

/// Opens the files of a server that does not run. They are written when the connection goes.
///
/// # Errors
/// If they cannot be opened, or another process has them.
pub(crate) fn open_directory(path: &Path) -> anyhow::Result<kvik::Connection> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    let db = Db::open(Options::default().dir(path))
        .map_err(|error| anyhow::anyhow!("cannot open {}: {error}", path.display()))?;
    Ok(db.connect())
}
