//! Deleting every key under a prefix, in the background: what DELPREFIX starts and whoever keeps
//! the store up does.
//!
//! A job walks its keyspace as SCAN does, a page at a time, and deletes what matches no faster than
//! its rate. It sees every key that is there from its start to its end; keys made meanwhile it may
//! see or not. Jobs take turns. They are not kept across a restart.

use std::collections::VecDeque;

use kvik_store::{Cursor, KeyspaceId};
use parking_lot::Mutex;

/// Most jobs that run at the same time.
const RUNNING_MAX: usize = 16;
/// Jobs that are remembered after their end.
const ENDED_MAX: usize = 64;
/// A job ahead of its rate by less than this goes on.
const AHEAD_US: u64 = 1000;

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It goes on.
    Running,
    /// It has seen every key.
    Done,
    /// Somebody ended it.
    Cancelled,
}

/// One job.
#[derive(Clone, Debug)]
pub struct PrefixJob {
    /// Its number, counted from 1.
    pub id: u64,
    /// Where it deletes.
    pub keyspace: KeyspaceId,
    /// The prefix of the keys.
    pub prefix: Vec<u8>,
    /// Whether it only counts.
    pub dry_run: bool,
    /// Keys that match and are dealt with in a second at most; 0 is no limit.
    pub rate: u64,
    /// How far it has come.
    pub state: JobState,
    /// Keys looked at.
    pub visited: u64,
    /// Keys that match.
    pub matched: u64,
    /// Keys deleted.
    pub deleted: u64,
    /// When it began, in microseconds since the epoch.
    pub started_us: u64,
    /// When it last did something, in microseconds since the epoch.
    pub active_us: u64,
    cursor: Cursor,
}

/// The next step of a job.
#[derive(Clone, Debug)]
pub struct PrefixPage {
    /// The job.
    pub id: u64,
    /// Where to look.
    pub keyspace: KeyspaceId,
    /// The prefix of the keys.
    pub prefix: Vec<u8>,
    /// Whether to leave them there.
    pub dry_run: bool,
    /// Where to go on.
    pub cursor: Cursor,
}

/// The result of one step of a job.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrefixProgress {
    /// Where to go on; 0 at the end.
    pub next: Cursor,
    /// Keys looked at.
    pub visited: u64,
    /// Keys that match.
    pub matched: u64,
    /// Keys deleted.
    pub deleted: u64,
    /// The page comes again: some of its keys could not be deleted yet.
    pub again: bool,
}

/// All jobs of a store.
#[derive(Debug, Default)]
pub struct PrefixJobs(Mutex<Jobs>);

#[derive(Debug, Default)]
struct Jobs {
    latest: u64,
    running: VecDeque<PrefixJob>,
    ended: VecDeque<PrefixJob>,
}

impl PrefixJobs {
    /// Starts a job and returns its number, or `None` if too many are running.
    pub fn start(
        &self,
        keyspace: KeyspaceId,
        prefix: &[u8],
        dry_run: bool,
        rate: u64,
        now_us: u64,
    ) -> Option<u64> {
        let mut jobs = self.0.lock();
        if jobs.running.len() == RUNNING_MAX {
            return None;
        }
        jobs.latest += 1;
        let id = jobs.latest;
        jobs.running.push_back(PrefixJob {
            id,
            keyspace,
            prefix: prefix.to_vec(),
            dry_run,
            rate,
            state: JobState::Running,
            visited: 0,
            matched: 0,
            deleted: 0,
            started_us: now_us,
            active_us: now_us,
            cursor: 0,
        });
        Some(id)
    }

    /// Ends a job and says whether it was running.
    pub fn cancel(&self, id: u64) -> bool {
        let mut jobs = self.0.lock();
        let Some(at) = jobs.running.iter().position(|job| job.id == id) else {
            return false;
        };
        jobs.end(at, JobState::Cancelled);
        true
    }

    /// All jobs that are running or remembered, the latest first.
    pub fn all(&self) -> Vec<PrefixJob> {
        let jobs = self.0.lock();
        let mut all: Vec<_> = jobs.running.iter().chain(&jobs.ended).cloned().collect();
        all.sort_by_key(|job| std::cmp::Reverse(job.id));
        all
    }

    /// When the next page is due, in microseconds since the epoch.
    pub fn next_us(&self) -> Option<u64> {
        let jobs = self.0.lock();
        jobs.running.iter().map(PrefixJob::due_us).min()
    }

    /// The page to do at this time, if one is due.
    pub fn next_page(&self, now_us: u64) -> Option<PrefixPage> {
        let mut jobs = self.0.lock();
        // Jobs take turns: one that is given a page goes to the end of the queue.
        let due = |job: &PrefixJob| job.due_us() <= now_us.saturating_add(AHEAD_US);
        let at = jobs.running.iter().position(due)?;
        let job = jobs.running.remove(at)?;
        let page = PrefixPage {
            id: job.id,
            keyspace: job.keyspace,
            prefix: job.prefix.clone(),
            dry_run: job.dry_run,
            cursor: job.cursor,
        };
        jobs.running.push_back(job);
        Some(page)
    }

    /// Notes what was done for a page. The job may have been cancelled meanwhile.
    pub fn note(&self, id: u64, done: PrefixProgress, now_us: u64) {
        let mut jobs = self.0.lock();
        let job = |job: &&mut PrefixJob| job.id == id;
        let Jobs { running, ended, .. } = &mut *jobs;
        // A page of a cancelled job still counts.
        let Some(job) = running.iter_mut().chain(ended).find(job) else {
            return;
        };
        job.visited += done.visited;
        job.matched += done.matched;
        job.deleted += done.deleted;
        job.active_us = now_us;
        if done.again {
            return;
        }
        job.cursor = done.next;
        if done.next == 0
            && let Some(at) = jobs.running.iter().position(|job| job.id == id)
        {
            jobs.end(at, JobState::Done);
        }
    }
}

impl Jobs {
    fn end(&mut self, at: usize, state: JobState) {
        let job = self.running.remove(at);
        self.ended.extend(job.map(|job| PrefixJob { state, ..job }));
        // The oldest ended job is forgotten.
        if self.ended.len() > ENDED_MAX {
            self.ended.pop_front();
        }
    }
}

impl PrefixJob {
    /// When the rate allows the next page, in microseconds since the epoch.
    fn due_us(&self) -> u64 {
        // The rate bounds the matches since the start. A rate of 0 is no bound: `checked_div` then
        // gives none.
        let paced = self
            .matched
            .saturating_mul(1_000_000)
            .checked_div(self.rate);
        self.started_us.saturating_add(paced.unwrap_or(0))
    }
}

impl JobState {
    /// Its name in a reply.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(count: u64, next: Cursor) -> PrefixProgress {
        PrefixProgress {
            next,
            visited: 10,
            matched: count,
            deleted: count,
            again: false,
        }
    }

    #[test]
    fn a_job_keeps_its_rate() {
        let jobs = PrefixJobs::default();
        let id = jobs.start(KeyspaceId(0), b"p", false, 1000, 0).unwrap();
        assert_eq!(jobs.next_page(0).unwrap().cursor, 0);
        jobs.note(id, matched(100, 7), 0);
        assert!(jobs.next_page(50_000).is_none());
        assert_eq!(jobs.next_us(), Some(100_000));
        assert_eq!(jobs.next_page(100_000).unwrap().cursor, 7);
        jobs.note(id, matched(1, 0), 100_000);
        assert_eq!(jobs.all()[0].state, JobState::Done);
        assert!(jobs.next_us().is_none());
    }

    #[test]
    fn a_page_that_is_not_finished_comes_again() {
        let jobs = PrefixJobs::default();
        let id = jobs.start(KeyspaceId(0), b"p", false, 0, 0).unwrap();
        let unfinished = PrefixProgress {
            again: true,
            ..matched(1, 0)
        };
        jobs.note(id, unfinished, 0);
        assert_eq!(jobs.next_page(0).unwrap().cursor, 0);
        jobs.note(id, matched(1, 0), 0);
        assert_eq!(
            (jobs.all()[0].state, jobs.all()[0].deleted),
            (JobState::Done, 2)
        );
    }

    #[test]
    fn jobs_take_turns_and_end_when_cancelled() {
        let jobs = PrefixJobs::default();
        let start = || jobs.start(KeyspaceId(0), b"", true, 0, 0);
        let (a, b) = (start().unwrap(), start().unwrap());
        let turns: Vec<u64> = (0..4).map(|_| jobs.next_page(0).unwrap().id).collect();
        assert_eq!(turns, [a, b, a, b]);
        assert!(jobs.cancel(a) && !jobs.cancel(a));
        jobs.note(a, matched(1, 5), 0);
        assert_eq!(jobs.next_page(0).unwrap().id, b);
        let all = jobs.all();
        assert_eq!((all[1].state, all[1].matched), (JobState::Cancelled, 1));
        assert!((0..15).all(|_| start().is_some()));
        assert_eq!(start(), None);
    }
}
