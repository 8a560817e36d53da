//! An interpreter whose memory is counted with that of all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kvik_resp::Reply;

use super::interpreter::{Caller, Interpreter, Invocation};

/// Runs between two looks at how much memory an interpreter uses.
const LOOK_EVERY: u32 = 256;

/// An interpreter that tells from time to time how much memory it uses.
pub struct MeasuredInterpreter {
    inner: Box<dyn Interpreter>,
    /// Bytes of all interpreters.
    total: Arc<AtomicUsize>,
    /// Its own part of them.
    told: usize,
    runs: u32,
}

impl MeasuredInterpreter {
    pub(super) fn new(inner: Box<dyn Interpreter>, total: &Arc<AtomicUsize>) -> Self {
        let mut measured = Self {
            inner,
            total: Arc::clone(total),
            told: 0,
            runs: 0,
        };
        measured.tell();
        measured
    }

    /// Runs a script, as [`Interpreter::run`] does.
    ///
    /// # Errors
    /// As there.
    pub fn run(
        &mut self,
        invocation: &Invocation<'_>,
        caller: &mut dyn Caller,
        reply: &mut Reply<'_>,
    ) -> Result<(), Vec<u8>> {
        let result = self.inner.run(invocation, caller, reply);
        self.runs += 1;
        if self.runs == LOOK_EVERY {
            self.tell();
        }
        result
    }

    /// Does something else with it.
    pub(super) fn with<R>(&mut self, work: impl FnOnce(&mut dyn Interpreter) -> R) -> R {
        let result = work(&mut *self.inner);
        self.tell();
        result
    }

    #[cold]
    fn tell(&mut self) {
        let uses = self.inner.memory();
        self.total.fetch_add(uses.wrapping_sub(self.told), Relaxed);
        (self.told, self.runs) = (uses, 0);
    }
}

impl Drop for MeasuredInterpreter {
    fn drop(&mut self) {
        self.total.fetch_sub(self.told, Relaxed);
    }
}

impl std::fmt::Debug for MeasuredInterpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeasuredInterpreter")
            .field("bytes", &self.told)
            .finish_non_exhaustive()
    }
}
