//! Effects repeated: those of a log that is loaded, or of the store that this one follows.

use std::sync::Arc;

use kvik_log::Unit;
use kvik_resp::{Args, Value};

use crate::runner::Runner;
use crate::shared::Shared;

/// Repeats effects on a store, in the order in which they come. It skips the gate that clients
/// pass: it is neither paused nor refused, and no key expires for it.
///
/// ```
/// use kvik::effects::Unit;
///
/// let db = kvik::Db::in_memory(kvik::Options::default().follower());
/// let mut unit = Unit::new();
/// unit.begin(0);
/// [&b"SET"[..], b"k", b"v"].iter().for_each(|word| unit.word(word));
/// unit.end();
/// assert_eq!(db.replay().apply(&unit), Ok(()));
/// assert_eq!(db.get(b"k")?.as_deref(), Some(&b"v"[..]));
/// # Ok::<_, kvik::Error>(())
/// ```
pub struct Replay {
    runner: Runner,
}

impl Replay {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            runner: Runner::repeating(shared),
        }
    }

    /// Repeats one unit, all of it at once.
    ///
    /// # Errors
    /// The replies that were errors: this store is not what the effects were made for.
    pub fn apply(&mut self, unit: &Unit) -> Result<(), Vec<Value>> {
        let runner = &mut self.runner;
        let is_group = unit.effects() > 1;
        let mut replies = Vec::new();
        if is_group {
            runner.run(&["MULTI"]);
        }
        for effect in unit.iter() {
            // What MULTI queues runs on the database that is selected then.
            if is_group {
                runner.run(&["SELECT", &effect.database.to_string()]);
            } else {
                select(runner, effect.database).map_err(|reply| vec![reply])?;
            }
            replies.push(runner.run(&effect.words.collect::<Vec<_>>()));
        }
        if is_group {
            match runner.run(&["EXEC"]) {
                Value::Array(each) => replies = each,
                refused => replies = vec![refused],
            }
        }
        replies.retain(|reply| reply.as_error().is_some());
        if replies.is_empty() {
            Ok(())
        } else {
            Err(replies)
        }
    }

    /// Repeats one effect on a database.
    ///
    /// # Errors
    /// Its reply, if that was an error.
    pub fn run(&mut self, database: u32, effect: Args<'_>) -> Result<(), Value> {
        select(&mut self.runner, database)?;
        match self.runner.run_args(effect) {
            reply if reply.as_error().is_some() => Err(reply),
            _ => Ok(()),
        }
    }
}

fn select(runner: &mut Runner, database: u32) -> Result<(), Value> {
    if runner.session.db == database {
        return Ok(());
    }
    match runner.run(&["SELECT", &database.to_string()]) {
        reply if reply.is_ok() => Ok(()),
        refused => Err(refused),
    }
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").finish_non_exhaustive()
    }
}
