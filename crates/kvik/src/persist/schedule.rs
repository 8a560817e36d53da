//! Which task of the saving thread runs, and which wait.
//!
//! One task runs at a time, because a store has one cut at a time. Snapshots and rewrites that are
//! refused, queued or scheduled follow Redis' rules, in its words. Nothing here waits, reads a
//! clock or touches a file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kvik_command::Error;
use kvik_command::persistence::{Begun, Cancelled, Task};

/// Results kept for clients that have not asked yet. A client that has gone never asks.
const RESULTS: usize = 1024;

/// A task on its way.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Its number.
    pub(super) id: u64,
    pub(super) task: Task,
    /// Set when it is to be given up.
    pub(super) cancel: Arc<AtomicBool>,
}

impl Job {
    /// Whether it is to be given up.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// The tasks of a store.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    last_id: u64,
    running: Option<Job>,
    queue: VecDeque<Job>,
    /// How tasks have ended that a client waits for.
    results: VecDeque<(u64, Result<(), Error>)>,
    /// No task begins any more.
    closed: bool,
}

impl Schedule {
    /// Takes a task in, or says why it cannot run.
    pub(super) fn begin(&mut self, task: Task) -> Result<Begun, Error> {
        if self.closed {
            return Err(Error::text("the server is shutting down"));
        }
        let waits = self.must_wait(&task)?;
        let id = self.push(task);
        Ok(if waits {
            Begun::Scheduled
        } else {
            Begun::Now(id)
        })
    }

    /// Takes in what a rule asks for, unless something runs or waits already: the rule asks again.
    pub(super) fn begin_by_rule(&mut self, task: Task) -> bool {
        let idle = self.running.is_none() && self.queue.is_empty() && !self.closed;
        if idle {
            self.push(task);
        }
        idle
    }

    /// Whether a task has to wait for the end of another, as Redis announces it.
    fn must_wait(&self, task: &Task) -> Result<bool, Error> {
        const SAVING: Error = Error::text("Background save already in progress");
        const REWRITING: Error =
            Error::text("Background append only file rewriting already in progress");
        const BUSY: Error = Error::text(
            "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a \
             BGSAVE whenever possible.",
        );
        match task {
            Task::Save | Task::BackgroundSave { .. } if self.is_saving() => Err(SAVING),
            Task::BackgroundSave { schedule: false } if self.is_rewriting() => Err(BUSY),
            Task::BackgroundSave { .. } => Ok(self.is_rewriting()),
            Task::Rewrite if self.is_rewriting() => Err(REWRITING),
            Task::Rewrite => Ok(self.is_saving()),
            _ => Ok(false),
        }
    }

    fn push(&mut self, task: Task) -> u64 {
        self.last_id += 1;
        let shutdown = matches!(task, Task::Shutdown(_));
        // Nobody wants the base of a log that ends.
        if matches!(task, Task::SetLog(false)) {
            self.cancel(|task| matches!(task, Task::Rewrite | Task::SetLog(true)));
        }
        let job = Job {
            id: self.last_id,
            task,
            cancel: Arc::default(),
        };
        // A shutdown waits for nobody: its own snapshot is newer than the one in progress.
        if shutdown {
            self.cancel_walk();
            self.queue.push_front(job);
        } else if !self.is_scheduled_twice(&job.task) {
            self.queue.push_back(job);
        }
        self.last_id
    }

    /// A snapshot or rewrite that is scheduled already is scheduled once.
    fn is_scheduled_twice(&self, task: &Task) -> bool {
        let same = |other: &Task| match task {
            Task::BackgroundSave { .. } => matches!(other, Task::BackgroundSave { .. }),
            Task::Rewrite => matches!(other, Task::Rewrite),
            Task::SaveEmpty => matches!(other, Task::SaveEmpty),
            _ => false,
        };
        self.queue.iter().any(|job| same(&job.task))
    }

    /// Gives up the snapshot or rewrite in progress.
    fn cancel_walk(&self) {
        self.cancel(|task| {
            matches!(
                task,
                Task::BackgroundSave { .. } | Task::SaveEmpty | Task::Rewrite
            )
        });
    }

    /// Gives up what is in progress, if it is of this kind.
    fn cancel(&self, is_kind: impl Fn(&Task) -> bool) {
        if let Some(job) = self.running.as_ref().filter(|job| is_kind(&job.task)) {
            job.cancel.store(true, Ordering::Relaxed);
        }
    }

    /// The next task to run, if none does.
    pub(super) fn next(&mut self) -> Option<Job> {
        if self.running.is_some() {
            return None;
        }
        self.running = self.queue.pop_front();
        self.running.clone()
    }

    /// The task that runs has ended.
    pub(super) fn end(&mut self, result: Result<(), Error>) {
        let Some(job) = self.running.take() else {
            return;
        };
        let waited_for = !matches!(
            job.task,
            Task::BackgroundSave { .. } | Task::SaveEmpty | Task::Rewrite
        );
        if waited_for {
            self.results.push_back((job.id, result));
        }
        if self.results.len() > RESULTS {
            self.results.pop_front();
        }
    }

    /// How a task has ended, told once; nothing while it waits or runs.
    pub(super) fn ended(&mut self, id: u64) -> Option<Result<(), Error>> {
        const FORGOTTEN: Error = Error::text("the task has ended long ago");
        if let Some(at) = self.results.iter().position(|(of, _)| *of == id) {
            return self.results.remove(at).map(|(_, result)| result);
        }
        let pending = self.running.iter().chain(&self.queue);
        let pending = pending.into_iter().any(|job| job.id == id);
        (!pending).then_some(Err(FORGOTTEN))
    }

    /// Gives up the snapshot in progress, or else the one that is scheduled.
    pub(super) fn cancel_save(&mut self) -> Option<Cancelled> {
        if let Some(job) = self.running.as_ref().filter(|job| is_save(&job.task)) {
            job.cancel.store(true, Ordering::Relaxed);
            return Some(Cancelled::Running);
        }
        let (before, was_current) = (self.queue.len(), self.is_saving());
        self.queue
            .retain(|job| !matches!(job.task, Task::BackgroundSave { .. }));
        let cancelled = match was_current {
            true => Cancelled::Running,
            false => Cancelled::Scheduled,
        };
        (self.queue.len() < before).then_some(cancelled)
    }

    /// Gives up a shutdown that is saving.
    pub(super) fn abort_shutdown(&mut self) -> bool {
        let found = self.running.iter().chain(&self.queue);
        let found = found
            .into_iter()
            .filter(|job| matches!(job.task, Task::Shutdown(_)));
        let mut any = false;
        for job in found {
            job.cancel.store(true, Ordering::Relaxed);
            any = true;
        }
        any
    }

    /// The store has been emptied: a snapshot in progress is given up, a rewrite begins anew. With
    /// `saves`, the empty store is saved.
    pub(super) fn emptied(&mut self, saves: bool) {
        match self.current() {
            Some(Task::BackgroundSave { .. }) => {
                self.cancel_save();
            }
            // One that has not begun finds the store empty.
            Some(Task::Rewrite) if self.running.is_some() => {
                self.cancel_walk();
                self.push(Task::Rewrite);
            }
            _ => {}
        }
        if saves && !self.closed {
            self.push(Task::SaveEmpty);
        }
    }

    /// Lets no task begin any more and gives up what waits.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.cancel_walk();
        self.queue.clear();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The task in progress: the one that runs, or else the next to run. A client that has begun
    /// it finds it so, however late the thread is that runs it.
    fn current(&self) -> Option<&Task> {
        let current = self.running.as_ref().or(self.queue.front());
        current.map(|job| &job.task)
    }

    /// The tasks that wait for the one in progress.
    fn waiting(&self) -> impl Iterator<Item = &Task> {
        let skipped = usize::from(self.running.is_none());
        self.queue.iter().skip(skipped).map(|job| &job.task)
    }

    pub(super) fn is_saving(&self) -> bool {
        self.current().is_some_and(is_save)
    }

    /// Whether a rewrite is in progress that a client may have asked for.
    pub(super) fn is_rewriting(&self) -> bool {
        self.current()
            .is_some_and(|task| matches!(task, Task::Rewrite))
    }

    /// Whether a base is being written, for a log that begins or one that there is.
    pub(super) fn is_writing_base(&self) -> bool {
        self.current().is_some_and(writes_base)
    }

    pub(super) fn is_save_scheduled(&self) -> bool {
        self.waiting().any(is_save)
    }

    /// Whether a log is to be kept soon.
    pub(super) fn is_log_scheduled(&self) -> bool {
        let begins = |job: &Job| matches!(job.task, Task::SetLog(true));
        self.running.iter().chain(&self.queue).any(begins)
    }

    pub(super) fn is_rewrite_scheduled(&self) -> bool {
        self.waiting().any(writes_base)
    }
}

fn writes_base(task: &Task) -> bool {
    matches!(task, Task::Rewrite | Task::SetLog(true))
}

fn is_save(task: &Task) -> bool {
    matches!(task, Task::Save | Task::BackgroundSave { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BGSAVE: Task = Task::BackgroundSave { schedule: false };
    const SCHEDULED: Task = Task::BackgroundSave { schedule: true };

    fn message(result: Result<Begun, Error>) -> String {
        result.expect_err("it is refused").to_string()
    }

    #[test]
    fn a_second_snapshot_is_refused_and_a_rewrite_waits() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.begin(BGSAVE), Ok(Begun::Now(1)));
        assert!(schedule.is_saving() && !schedule.is_save_scheduled());
        assert!(schedule.next().is_some() && schedule.is_saving());
        assert!(message(schedule.begin(BGSAVE)).contains("Background save already"));
        assert!(message(schedule.begin(Task::Save)).contains("Background save already"));
        assert_eq!(schedule.begin(Task::Rewrite), Ok(Begun::Scheduled));
        assert_eq!(schedule.begin(Task::Rewrite), Ok(Begun::Scheduled));
        assert!(schedule.next().is_none());
        schedule.end(Ok(()));
        assert_eq!(schedule.next().map(|job| job.task), Some(Task::Rewrite));
        schedule.end(Ok(()));
        assert!(schedule.next().is_none());
    }

    #[test]
    fn a_snapshot_during_a_rewrite_is_refused_or_scheduled() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.begin(Task::Rewrite), Ok(Begun::Now(1)));
        schedule.next();
        assert!(message(schedule.begin(BGSAVE)).contains("BGSAVE SCHEDULE"));
        assert_eq!(schedule.begin(SCHEDULED), Ok(Begun::Scheduled));
        assert_eq!(schedule.cancel_save(), Some(Cancelled::Scheduled));
        assert_eq!(schedule.cancel_save(), None);
    }

    #[test]
    fn a_result_is_told_once_to_who_waits() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.begin(Task::Save), Ok(Begun::Now(1)));
        assert_eq!(schedule.ended(1), None);
        schedule.next();
        assert_eq!(schedule.ended(1), None);
        schedule.end(Err(Error::text("full")));
        assert_eq!(schedule.ended(1), Some(Err(Error::text("full"))));
        assert!(schedule.ended(1).is_some_and(|result| result.is_err()));
    }

    #[test]
    fn emptying_gives_a_snapshot_up_and_starts_a_rewrite_anew() {
        let mut schedule = Schedule::default();
        assert!(schedule.begin(BGSAVE).is_ok());
        let save = schedule.next().expect("it runs");
        schedule.emptied(false);
        assert!(save.is_cancelled());
        schedule.end(Ok(()));
        assert!(schedule.next().is_none());
        assert!(schedule.begin(Task::Rewrite).is_ok());
        let rewrite = schedule.next().expect("it runs");
        schedule.emptied(false);
        assert!(rewrite.is_cancelled());
        schedule.end(Ok(()));
        assert_eq!(schedule.next().map(|job| job.task), Some(Task::Rewrite));
    }

    #[test]
    fn emptying_gives_up_a_snapshot_that_has_not_begun() {
        let mut schedule = Schedule::default();
        assert!(schedule.begin(BGSAVE).is_ok());
        schedule.emptied(false);
        assert!(schedule.next().is_none());
        assert!(schedule.begin(Task::Rewrite).is_ok());
        schedule.emptied(false);
        assert_eq!(schedule.next().map(|job| job.task), Some(Task::Rewrite));
        schedule.end(Ok(()));
        assert!(schedule.next().is_none());
    }

    #[test]
    fn the_empty_store_is_saved_in_the_place_of_what_was_being_saved() {
        let mut schedule = Schedule::default();
        assert!(schedule.begin(BGSAVE).is_ok());
        let save = schedule.next().expect("it runs");
        schedule.emptied(true);
        schedule.emptied(true);
        assert!(save.is_cancelled());
        schedule.end(Err(Error::text("given up")));
        let next = schedule.next().expect("it follows");
        assert!(next.task == Task::SaveEmpty && !next.is_cancelled());
        // Where Redis saves before it answers, nobody is refused.
        assert_eq!(schedule.begin(Task::Save), Ok(Begun::Now(4)));
        schedule.end(Ok(()));
        assert!(schedule.next().is_some());
        schedule.end(Ok(()));
        assert!(schedule.next().is_none());
    }

    #[test]
    fn a_log_that_ends_gives_up_its_rewrite() {
        let mut schedule = Schedule::default();
        assert!(schedule.begin(Task::Rewrite).is_ok());
        let rewrite = schedule.next().expect("it runs");
        assert!(schedule.begin(Task::SetLog(false)).is_ok());
        assert!(rewrite.is_cancelled());
    }

    #[test]
    fn a_shutdown_passes_the_others() {
        let mut schedule = Schedule::default();
        assert!(schedule.begin(BGSAVE).is_ok());
        let save = schedule.next().expect("it runs");
        assert!(schedule.begin(Task::Rewrite).is_ok());
        let how = kvik_command::host::Shutdown::default();
        assert!(schedule.begin(Task::Shutdown(how)).is_ok());
        assert!(save.is_cancelled());
        schedule.end(Ok(()));
        let next = schedule.next().map(|job| job.task);
        assert_eq!(next, Some(Task::Shutdown(how)));
        assert!(schedule.abort_shutdown());
        schedule.end(Err(Error::text("aborted")));
        assert!(!schedule.abort_shutdown());
    }

    #[test]
    fn a_rule_asks_only_when_nothing_else_runs() {
        let mut schedule = Schedule::default();
        assert!(schedule.begin_by_rule(BGSAVE));
        assert!(!schedule.begin_by_rule(Task::Rewrite));
        assert!(schedule.next().is_some());
        assert!(!schedule.begin_by_rule(Task::Rewrite));
    }
}
