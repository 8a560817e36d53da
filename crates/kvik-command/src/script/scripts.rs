//! The scripts and functions of a store.
//!
//! Scripts are known by the SHA1 of their source. Those that EVAL has met are dropped when there
//! are more than [`EVAL_SCRIPTS`], the one used longest ago first; those that SCRIPT LOAD was given
//! stay until SCRIPT FLUSH. Every thread keeps what it has looked up until
//! [`Scripts::generation`] changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use kvik_store::PinId;
use parking_lot::{Mutex, RwLock};

use super::functions::{Conflict, FunctionSet, Library, Restoring};
use super::interpreter::{Interpreter, ScriptEngine};
use super::measured::MeasuredInterpreter;
use super::program::{Program, ProgramCode, ProgramKind, Sha};
use super::running::{Busy, Running, RunningList};
use crate::error::Error;

/// Scripts that EVAL has met and that are kept.
const EVAL_SCRIPTS: usize = 500;

/// Redis' memory of one script beside its source: name, flags and its place in the list.
const SCRIPT_BYTES: usize = 128;

/// All scripts and functions, and the engine that runs them.
#[derive(Default)]
pub struct Scripts {
    engine: OnceLock<Arc<dyn ScriptEngine>>,
    /// Compiles and loads for those who do not run scripts.
    checker: Mutex<Option<MeasuredInterpreter>>,
    cache: Mutex<Cache>,
    generation: AtomicU64,
    clock: AtomicU64,
    functions: RwLock<Arc<FunctionSet>>,
    running: RunningList,
    evicted: AtomicU64,
    /// Bytes of all interpreters.
    memory: Arc<AtomicUsize>,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Cache {
    scripts: HashMap<Sha, Arc<Program>>,
    /// How many of them may be dropped.
    droppable: usize,
}

/// Whether a script may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    /// Until it is flushed.
    Loaded,
    /// Until others are used more.
    Met,
}

const NO_ENGINE: Error = Error::text("this store runs no scripts");

impl Scripts {
    /// Names who runs scripts; only the first call does.
    pub fn run_by(&self, engine: Arc<dyn ScriptEngine>) {
        // A store is opened once, so a second call is not made.
        let _ = self.engine.set(engine);
    }

    /// A new interpreter.
    ///
    /// # Errors
    /// If there is no engine.
    pub fn interpreter(&self, seed: u64) -> Result<MeasuredInterpreter, Error> {
        let engine = self.engine.get().ok_or(NO_ENGINE)?;
        let interpreter = engine.interpreter(seed);
        Ok(MeasuredInterpreter::new(interpreter, &self.memory))
    }

    /// Bytes of all interpreters, as they were a few hundred scripts ago at most.
    pub fn interpreter_bytes(&self) -> u64 {
        self.memory.load(Ordering::Relaxed) as u64
    }

    fn with_checker<R>(
        &self,
        work: impl FnOnce(&mut dyn Interpreter) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut checker = self.checker.lock();
        let interpreter = match &mut *checker {
            Some(interpreter) => interpreter,
            none => none.insert(self.interpreter(0)?),
        };
        interpreter.with(work)
    }

    // Scripts.

    /// Changes when scripts are dropped. Who has looked one up asks again then.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The script of this name.
    pub fn find(&self, sha: &Sha) -> Option<Arc<Program>> {
        self.cache.lock().scripts.get(sha).cloned()
    }

    /// The script with this source, for EVAL: it is known from now on.
    ///
    /// # Errors
    /// If it does not compile.
    pub fn meet(&self, source: &[u8]) -> Result<Arc<Program>, Error> {
        self.enter(source, Stay::Met)
    }

    /// The same for SCRIPT LOAD.
    ///
    /// # Errors
    /// As [`Self::meet`].
    pub fn load(&self, source: &[u8]) -> Result<Arc<Program>, Error> {
        self.enter(source, Stay::Loaded)
    }

    /// Notes that a script is used.
    #[inline]
    pub fn touch(&self, program: &Program) {
        // Loaded ones are never dropped.
        if program.used.load(Ordering::Relaxed) != u64::MAX {
            let now = self.clock.fetch_add(1, Ordering::Relaxed);
            program.used.store(now, Ordering::Relaxed);
        }
    }

    fn enter(&self, source: &[u8], stay: Stay) -> Result<Arc<Program>, Error> {
        let engine = self.engine.get().ok_or(NO_ENGINE)?;
        let sha = Sha::of_digest(engine.digest(source));
        // Compiling is left out where anybody has met the same source.
        if let Some(known) = self.promote(&sha, stay) {
            return Ok(known);
        }
        let program = Program::script(sha, source)?;
        let ProgramCode::Script { body, .. } = program.origin else {
            unreachable!("a script was made")
        };
        // Without the lock on the cache, since compiling takes as long as the source says.
        self.with_checker(|interpreter| {
            interpreter.check(&source[body..]).map_err(|text| {
                Error::quoting(&[b"Error compiling script (new function): ", &text])
            })
        })?;
        let mut cache = self.cache.lock();
        if stay == Stay::Met {
            while cache.droppable >= EVAL_SCRIPTS && self.drop_oldest(&mut cache) {}
            let now = self.clock.fetch_add(1, Ordering::Relaxed);
            program.used.store(now, Ordering::Relaxed);
            cache.droppable += 1;
        }
        let program = Arc::new(program);
        if let Some(before) = cache.scripts.insert(sha, Arc::clone(&program))
            && before.used.load(Ordering::Relaxed) != u64::MAX
        {
            // Another thread has met it meanwhile.
            cache.droppable -= 1;
        }
        Ok(program)
    }

    /// The script if it is known. One that is loaded stays from now on.
    fn promote(&self, sha: &Sha, stay: Stay) -> Option<Arc<Program>> {
        let mut cache = self.cache.lock();
        let known = Arc::clone(cache.scripts.get(sha)?);
        if stay == Stay::Loaded && known.used.swap(u64::MAX, Ordering::Relaxed) != u64::MAX {
            cache.droppable -= 1;
        }
        Some(known)
    }

    fn drop_oldest(&self, cache: &mut Cache) -> bool {
        let used = |program: &Arc<Program>| program.used.load(Ordering::Relaxed);
        // A look at all scripts, for which the EVAL pays that brings a new one.
        let droppable = cache.scripts.iter().filter(|(_, it)| used(it) != u64::MAX);
        let Some((&oldest, _)) = droppable.min_by_key(|(_, it)| used(it)) else {
            return false;
        };
        cache.scripts.remove(&oldest);
        cache.droppable -= 1;
        self.evicted.fetch_add(1, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// Forgets all scripts.
    pub fn flush(&self) {
        *self.cache.lock() = Cache::default();
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The number of scripts, and bytes that they take.
    pub fn size(&self) -> (usize, usize) {
        let cache = self.cache.lock();
        let source = |program: &Arc<Program>| match &program.origin {
            ProgramCode::Script { source, .. } => source.len() + SCRIPT_BYTES,
            ProgramCode::Function { .. } => 0,
        };
        (
            cache.scripts.len(),
            cache.scripts.values().map(source).sum(),
        )
    }

    /// Scripts that had to be dropped.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    // Functions.

    /// The libraries and functions of this moment.
    pub fn functions(&self) -> Arc<FunctionSet> {
        Arc::clone(&self.functions.read())
    }

    /// Loads a library, which every thread sees when this returns. Returns its name. Its code may
    /// take so many steps.
    ///
    /// # Errors
    /// The fault of the library, or the name that is taken.
    pub fn load_library(
        &self,
        source: &[u8],
        conflict: Conflict,
        steps: u64,
    ) -> Result<String, Error> {
        // Loaded before the set is locked; readers keep the set of before until the new one is
        // whole.
        let library = self.with_checker(|it| Library::load(source, it, steps))?;
        let name = library.name.clone();
        let mut functions = self.functions.write();
        let mut changed = FunctionSet::clone(&functions);
        changed.add(library, conflict)?;
        *functions = Arc::new(changed);
        Ok(name)
    }

    /// Loads a library that a file or a log has. Without an engine it is kept as it is.
    ///
    /// # Errors
    /// The fault of the library.
    pub fn adopt_library(&self, source: &[u8]) -> Result<String, Error> {
        if self.engine.get().is_some() {
            return self.load_library(source, Conflict::Replace, u64::MAX);
        }
        let library = Library::opaque(source)?;
        let name = library.name.clone();
        let mut functions = self.functions.write();
        let mut changed = FunctionSet::clone(&functions);
        changed.add(library, Conflict::Replace)?;
        *functions = Arc::new(changed);
        Ok(name)
    }

    /// Loads libraries that were dumped: all, or none.
    ///
    /// # Errors
    /// As [`Self::load_library`].
    pub fn restore_libraries(
        &self,
        sources: &[&[u8]],
        restoring: Restoring,
        steps: u64,
    ) -> Result<(), Error> {
        let mut restored = FunctionSet::default();
        for source in sources {
            let library = self.with_checker(|it| Library::load(source, it, steps))?;
            restored.add(library, Conflict::Refuse)?;
        }
        let mut functions = self.functions.write();
        let changed = match restoring {
            Restoring::Flush => restored,
            Restoring::Join(conflict) => join(&functions, &restored, conflict)?,
        };
        *functions = Arc::new(changed);
        Ok(())
    }

    /// Deletes a library; says whether it was there.
    pub fn delete_library(&self, name: &[u8]) -> bool {
        let Ok(name) = std::str::from_utf8(name) else {
            return false;
        };
        let mut functions = self.functions.write();
        if !functions.has_library(name) {
            return false;
        }
        let mut changed = FunctionSet::clone(&functions);
        changed.remove(name);
        *functions = Arc::new(changed);
        true
    }

    /// Deletes all libraries.
    pub fn flush_libraries(&self) {
        *self.functions.write() = Arc::default();
    }

    // What runs.

    /// Lets others see that a script is running, and kill it.
    pub fn enter_running(&self, running: &Arc<Running>) {
        self.running.enter(running);
    }

    /// A script has ended: nobody can see or kill it any more.
    pub fn leave_running(&self, running: &Arc<Running>) {
        self.running.leave(running);
    }

    /// Whether no script has been running for long.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Scripts that have been running for more than a moment.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// The script that has been running since before `since_us` and holds one of these stripes, or
    /// any if none are named.
    pub fn busy(&self, stripes: Option<&[u16]>, since_us: u64) -> Option<Busy> {
        self.running.busy(stripes, since_us)
    }

    /// The script that has been running since before `since_us` and is this unit of long work.
    pub fn busy_unit(&self, unit: PinId, since_us: u64) -> Option<Busy> {
        self.running.busy_unit(unit, since_us)
    }

    /// The script that has been running for longest.
    pub fn longest_running(&self, kind: Option<ProgramKind>) -> Option<Arc<Running>> {
        self.running.longest(kind)
    }

    /// Ends all scripts, also those that have written, since the store closes.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether the store closes.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Kills the scripts of a kind that run.
    ///
    /// # Errors
    /// If there are none, or all have written.
    pub fn kill(&self, kind: ProgramKind) -> Result<(), Error> {
        self.running.kill(kind)
    }
}

/// The libraries of both sets.
fn join(
    before: &FunctionSet,
    restored: &FunctionSet,
    conflict: Conflict,
) -> Result<FunctionSet, Error> {
    let mut joined = before.clone();
    // All that are replaced go first: a function may have come from one library to another.
    for library in restored.libraries() {
        if joined.has_library(&library.name) {
            if conflict == Conflict::Refuse {
                let name = &library.name;
                return Err(Error::new(format!("Library {name} already exists")));
            }
            joined.remove(&library.name);
        }
    }
    for library in restored.libraries() {
        let library = Library {
            name: library.name.clone(),
            source: library.source.clone(),
            body: library.body,
            functions: library.functions.clone(),
        };
        joined.add(library, Conflict::Refuse)?;
    }
    Ok(joined)
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripts").finish_non_exhaustive()
    }
}
