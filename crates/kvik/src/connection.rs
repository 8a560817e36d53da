//! A session with the store inside this process.

use kvik_resp::{Args, Value};

use crate::db::Db;
use crate::runner::Runner;

/// Runs commands one after the other and keeps the state they leave: SELECT, MULTI, WATCH. Keeps
/// the store open.
pub struct Connection {
    runner: Runner,
    db: Db,
}

impl Connection {
    pub(crate) fn new(db: Db, runner: Runner) -> Self {
        Self { runner, db }
    }

    /// Runs a command and returns its reply. An error is a value, as it is for a client.
    pub fn run(&mut self, words: &[impl AsRef<[u8]>]) -> Value {
        self.runner.run(words)
    }

    /// The same for words that lie in one buffer already.
    pub fn run_args(&mut self, words: Args<'_>) -> Value {
        self.runner.run_args(words)
    }

    /// Whether commands such as BLPOP wait, which they do at first, and block the calling thread
    /// then. Otherwise, and always in a store without threads, they answer as if their time were
    /// up.
    pub fn let_wait(&mut self, may_wait: bool) {
        self.runner.session.may_block = may_wait && self.db.shared.has_threads();
    }

    /// The store.
    pub fn db(&self) -> &Db {
        &self.db
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
