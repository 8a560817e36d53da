//! The seam between the store and what interprets scripts.

use kvik_resp::{Args, Output, Protocol, Reply};

use super::functions::Function;
use super::program::Program;
use crate::error::Error;

/// Makes interpreters.
pub trait ScriptEngine: Send + Sync {
    /// An interpreter for one thread. `seed` is for its random numbers.
    fn interpreter(&self, seed: u64) -> Box<dyn Interpreter>;

    /// The SHA1 of a source.
    fn digest(&self, source: &[u8]) -> [u8; 20];
}

/// Runs scripts, one at a time.
pub trait Interpreter: Send {
    /// Compiles the source of a script, without the line that names the engine.
    ///
    /// # Errors
    /// The fault in the source, as Lua says it.
    fn check(&mut self, source: &[u8]) -> Result<(), Vec<u8>>;

    /// Runs the code of a library and returns the functions that it registers. It may take so
    /// many steps.
    ///
    /// # Errors
    /// Why it cannot be loaded, as Redis says it.
    fn register(&mut self, code: &[u8], steps: u64) -> Result<Vec<Function>, Vec<u8>>;

    /// Runs a script and writes its reply.
    ///
    /// # Errors
    /// The line of the error reply. Part of a reply may have been written before.
    fn run(
        &mut self,
        invocation: &Invocation<'_>,
        caller: &mut dyn Caller,
        reply: &mut Reply<'_>,
    ) -> Result<(), Vec<u8>>;

    /// Bytes that it uses.
    fn memory(&self) -> usize;
}

/// A script that is to run, and what it is given.
#[derive(Clone, Copy)]
pub struct Invocation<'a> {
    /// The script, or the library and its function.
    pub program: &'a Program,
    /// Its keys.
    pub keys: Args<'a>,
    /// Its other arguments.
    pub args: Args<'a>,
}

/// The store, as a running script sees it.
pub trait Caller {
    /// Runs a command and appends its reply, error replies included, to `out`.
    ///
    /// # Errors
    /// Why the command may not run.
    fn call(&mut self, args: Args<'_>, protocol: Protocol, out: &mut Output) -> Result<(), Error>;

    /// Counts an error that the script has made itself: one that no command has returned.
    fn count_error(&mut self, line: &[u8]);

    /// Whether the session may run a command; nothing if there is no such command.
    fn may_call(&mut self, args: Args<'_>) -> Option<bool>;

    /// Writes a line to the log. Levels are those of `redis.LOG_DEBUG` (0) to `redis.LOG_WARNING`
    /// (3).
    fn log(&mut self, level: u8, text: &[u8]);

    /// Seconds of processor time that the script may take for those of `os.clock`.
    fn clock_s(&mut self) -> f64;

    /// Asked from time to time, at least every millisecond or so, whether to go on.
    fn pulse(&mut self) -> Pulse;
}

/// How a script goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// As before.
    GoOn,
    /// Somebody has killed it.
    Killed,
    /// It is to run elsewhere, from its beginning.
    Leave,
}
