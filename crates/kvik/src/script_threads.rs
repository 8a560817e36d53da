//! Threads for commands whose scripts may take long, and the queue before them.
//!
//! There is no thread until such a command comes. The executor runs the commands
//! (`executor/script/elsewhere.rs`); who owns what they work on owns these threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kvik_command::Session;
use kvik_command::script::Away;
use kvik_resp::ArgsBuf;
use parking_lot::{Condvar, Mutex};

/// Threads for scripts. More scripts wait for one of them.
const THREADS: usize = 16;
/// How long a thread without work keeps its memory.
const IDLE: Duration = Duration::from_secs(10);

/// The threads on which scripts run that may take long.
#[derive(Default)]
pub(crate) struct ScriptThreads {
    pool: Mutex<Pool>,
    work: Condvar,
    /// Commands that have been sent here and have not ended.
    errands: AtomicUsize,
}

#[derive(Default)]
struct Pool {
    waiting: VecDeque<Errand>,
    threads: usize,
    idle: usize,
}

/// A command that runs elsewhere.
pub(crate) struct Errand {
    pub(crate) session: Session,
    pub(crate) args: ArgsBuf,
    pub(crate) away: Arc<Away>,
}

impl ScriptThreads {
    /// Has a command run here. `serve` is what a thread does that has to be started for it: it runs
    /// commands as long as [`Self::next`] has one.
    pub(crate) fn send(&self, errand: Errand, serve: impl FnOnce() + Send + 'static) {
        self.errands.fetch_add(1, Ordering::Relaxed);
        let mut pool = self.pool.lock();
        pool.waiting.push_back(errand);
        if pool.idle >= pool.waiting.len() || pool.threads >= THREADS {
            self.work.notify_one();
            return;
        }
        pool.threads += 1;
        drop(pool);
        let started = std::thread::Builder::new()
            .name("kvik-script".into())
            .spawn(serve);
        if started.is_err() {
            // Those that there are do it.
            self.pool.lock().threads -= 1;
            self.work.notify_one();
        }
    }

    /// Whether nothing runs here.
    pub(crate) fn is_idle(&self) -> bool {
        self.errands.load(Ordering::Relaxed) == 0
    }

    /// Whether commands wait for a thread.
    pub(crate) fn is_short(&self) -> bool {
        !self.pool.lock().waiting.is_empty()
    }

    /// The next command for a thread to run. None when there has been none for a while: the thread
    /// ends.
    pub(crate) fn next(&self) -> Option<Errand> {
        let mut pool = self.pool.lock();
        loop {
            if let Some(errand) = pool.waiting.pop_front() {
                return Some(errand);
            }
            pool.idle += 1;
            let waited = self.work.wait_for(&mut pool, IDLE);
            pool.idle -= 1;
            // One that came while the time ran out is not left to a thread that may not exist.
            if waited.timed_out() && pool.waiting.is_empty() {
                pool.threads -= 1;
                return None;
            }
        }
    }

    /// A command has run.
    pub(crate) fn note_end(&self) {
        self.errands.fetch_sub(1, Ordering::Relaxed);
    }
}
