//! The one who writes: everything that the log does to the disk while commands run.
//!
//! It takes what has been appended, writes it, and fsyncs by the policy. What is appended during an
//! fsync is written and synced together afterwards, with what those append whom it has served
//! ([`crate::gathering`]).
//!
//! Chunks stay in memory until whole units of them are in the file. So a write that fails, or stops
//! in the middle of a unit because the disk is full, is cut back to the last whole unit and tried
//! again; nothing is lost. A failed fsync is different: the system may have dropped what it could
//! not write, and a later success says nothing. The file is then never written or synced again.
//! Units that were not durable are lost to the log, and a new increment begins only behind a new
//! base, with the next rotation.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::DiskWriter;
use crate::gathering::Gathering;
use crate::queue::{Chunk, Context};
use crate::shared::{Mode, Shared};
use crate::status::FailureKind;
use crate::{Lsn, SyncPolicy};

/// Bytes and slices that are written at once, at most; systems take 1024 slices.
const WRITE_BYTES: u64 = 4 << 20;
const WRITE_SLICES: usize = 1000;
/// A failed write is tried again after so long.
const RETRY_MS: u64 = 100;
const EVERY_MS: u64 = 1000;

/// When the writer wants to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// When something is appended, or in so many milliseconds.
    Idle(Option<u64>),
    /// In so many milliseconds and not before.
    Retry(u64),
    /// Never.
    Closed,
}

/// A write did not happen; it is noted why and what comes next.
struct Failed;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// The increment; none after a failed fsync.
    file: Option<Box<dyn DiskWriter>>,
    /// Where it starts.
    file_start: Lsn,
    /// Chunks that are not in it as whole units, in order.
    batch: VecDeque<Chunk>,
    done: Vec<Chunk>,
    /// Up to where it is written, up to where in whole units, and up to where it is durable.
    written: Lsn,
    whole: Lsn,
    synced: Lsn,
    /// The state of the log at `whole`.
    context: Context,
    last_sync_ms: u64,
    unsynced_since_ms: Option<u64>,
    retry_at_ms: Option<u64>,
    gathering: Gathering,
}

impl Writer {
    /// The writer of a log whose last increment is `file`, all of which is durable.
    pub(crate) fn new(shared: Arc<Shared>, file: Box<dyn DiskWriter>, file_start: Lsn) -> Self {
        let end = shared.appended();
        let now_ms = shared.clock.monotonic_ms();
        Self {
            shared,
            file: Some(file),
            file_start,
            batch: VecDeque::new(),
            done: Vec::new(),
            written: end,
            whole: end,
            synced: end,
            context: Context::default(),
            last_sync_ms: now_ms,
            unsynced_since_ms: None,
            retry_at_ms: None,
            gathering: Gathering::default(),
        }
    }

    /// Decides how long to wait for more.
    pub(crate) fn gathering(&mut self) -> &mut Gathering {
        &mut self.gathering
    }

    /// Does what there is to do.
    pub(crate) fn turn(&mut self) -> Turn {
        let now_ms = self.shared.clock.monotonic_ms();
        // Chunks are taken even while the disk fails: those that are lost give their memory back.
        let (units, closing) = {
            let mut queue = self.shared.queue.lock();
            queue.exchange(&mut self.batch, &mut self.done);
            // With the lock: a nudge to close that is taken here is not overlooked.
            (queue.units(), self.shared.is_closing())
        };
        self.gathering.take(units);
        self.done.clear();
        if let Some(at) = self.retry_at_ms.filter(|&at| at > now_ms && !closing) {
            return Turn::Retry(at - now_ms);
        }
        self.publish();
        let mut turn = match self.write(now_ms) {
            Ok(()) => self.sync_by_policy(now_ms),
            Err(Failed) => self.after_failure(now_ms),
        };
        if closing {
            self.shared.set_closed();
            turn = Turn::Closed;
        }
        turn
    }

    fn after_failure(&mut self, now_ms: u64) -> Turn {
        // After a failed fsync there is nothing to try again before a rotation.
        if self.shared.mode() == Mode::Lost && self.batch.is_empty() {
            return Turn::Idle(None);
        }
        self.retry_at_ms = Some(now_ms + RETRY_MS);
        Turn::Retry(RETRY_MS)
    }

    /// Writes everything.
    fn write(&mut self, now_ms: u64) -> Result<(), Failed> {
        loop {
            if self.shared.mode() == Mode::Lost {
                self.skip_lost();
            }
            let Some(first) = self.batch.front() else {
                self.retry_at_ms = None;
                return Ok(());
            };
            if first.rotates {
                self.rotate(now_ms)?;
            } else {
                self.unsynced_since_ms.get_or_insert(now_ms);
                self.write_some()?;
            }
        }
    }

    /// Writes as much as goes at once.
    fn write_some(&mut self) -> Result<(), Failed> {
        let file = self
            .file
            .as_mut()
            .expect("without a file everything is skipped");
        let (mut slices, mut bytes) = (Vec::new(), 0);
        // The first chunks of a long unit are written and kept until its end is.
        let is_written = |chunk: &&Chunk| chunk.end() <= self.written && !chunk.rotates;
        // Up to the next increment, and at least one chunk however large its ropes are.
        for chunk in self.batch.iter().skip_while(is_written) {
            let ends = !slices.is_empty() && (chunk.rotates || bytes >= WRITE_BYTES);
            if ends || slices.len() >= WRITE_SLICES {
                break;
            }
            bytes += chunk.end().since(chunk.start);
            chunk.slices(self.written, &mut slices);
        }
        let slices: Vec<_> = slices.into_iter().map(IoSlice::new).collect();
        let slices = &slices[..slices.len().min(WRITE_SLICES)];
        match file.write(slices) {
            Ok(0) => Err(self.stall(io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                self.advance(self.written.plus(count as u64));
                Ok(())
            }
            Err(error) => Err(self.stall(error)),
        }
    }

    /// Notes how far the file is written, and lets go of chunks whose units are whole in it.
    fn advance(&mut self, written: Lsn) {
        self.written = written;
        for chunk in &self.batch {
            if chunk.end() > written || chunk.rotates {
                break;
            }
            if let Some(end) = chunk.unit_end {
                (self.whole, self.context) = (end, chunk.context);
            }
        }
        // An empty chunk that begins an increment ends where the last unit does, and is still to
        // come.
        let whole = self.whole;
        let kept = |chunk: &Chunk| chunk.end() > whole || chunk.rotates;
        self.release(kept);
        self.shared.set_written(whole, self.context);
        self.shared.recover(FailureKind::Write);
    }

    /// Lets go of the first chunks, up to one that is kept.
    fn release(&mut self, kept: impl Fn(&Chunk) -> bool) {
        // Ropes are freed here and not under the queue's lock.
        let mut end = None;
        while let Some(chunk) = self.batch.pop_front_if(|chunk| !kept(chunk)) {
            end = Some(chunk.end());
            let mut chunk = chunk;
            chunk.clear();
            self.done.push(chunk);
        }
        if let Some(end) = end {
            self.shared.set_released(end);
        }
    }

    /// A write has failed: cuts the file back to whole units and announces the failure.
    fn stall(&mut self, error: io::Error) -> Failed {
        let reason = format!("writing the append-only file: {error}");
        if self.written > self.whole {
            let len = self.whole.since(self.file_start);
            let file = self.file.as_mut().expect("it was written to");
            if let Err(error) = file.truncate(len) {
                // It would go on with half a unit in it.
                return self.lose(format!("{reason}; cutting it back: {error}"));
            }
            self.written = self.whole;
        }
        self.shared.fail(FailureKind::Write, reason);
        Failed
    }

    /// Nothing is known about the file any more: gives it up.
    fn lose(&mut self, reason: String) -> Failed {
        self.file = None;
        // A rewrite that is about to end would say that the increment is attached.
        let files = self.shared.files.lock();
        self.shared.set_mode(Mode::Lost);
        drop(files);
        self.shared.fail(FailureKind::Sync, reason);
        self.unsynced_since_ms = None;
        self.skip_lost();
        Failed
    }

    /// Drops what was appended to an increment that is given up. The next base has it.
    fn skip_lost(&mut self) {
        self.release(|chunk| chunk.rotates);
    }

    /// Begins the increment that starts with the first chunk.
    fn rotate(&mut self, now_ms: u64) -> Result<(), Failed> {
        let attached = self.shared.mode() == Mode::Attached;
        // A manifest that names the next increment says that this one is whole.
        if attached {
            self.sync(now_ms)?;
        }
        let first = self.batch.front_mut().expect("it was looked at");
        let start = first.start;
        let attach = attached && first.restarts.is_none();
        let mut files = self.shared.files.lock();
        files.id = first.restarts.unwrap_or(files.id);
        let file = match files.create_increment(start, attach) {
            Ok(file) => file,
            Err(error) => {
                drop(files);
                // After a failed fsync the log has failed for good reason; this one does not
                // replace it.
                if attached || !self.shared.is_failed() {
                    let reason = format!("creating an append-only file: {error}");
                    self.shared.fail(FailureKind::Write, reason);
                }
                return Err(Failed);
            }
        };
        if !attach {
            self.shared.set_mode(Mode::Detached);
            self.shared.bound_loss(start);
        }
        drop(files);
        self.shared.recover(FailureKind::Write);
        first.rotates = false;
        self.file = Some(file);
        self.file_start = start;
        (self.written, self.whole, self.synced) = (start, start, start);
        self.context = Context::default();
        self.shared.set_written(start, self.context);
        self.release(|chunk| !chunk.is_empty());
        self.note_rotations();
        self.shared.wake_waiting();
        Ok(())
    }

    /// Lowers the flag that an increment is to begin, unless another one is.
    fn note_rotations(&self) {
        let queue = self.shared.queue.lock();
        let asked = queue.rotates() || self.batch.iter().any(|chunk| chunk.rotates);
        self.shared.rotation_asked.store(asked, Ordering::Release);
    }

    /// Makes durable what is written if it is time.
    fn sync_by_policy(&mut self, now_ms: u64) -> Turn {
        if self.synced == self.whole || self.file.is_none() {
            self.unsynced_since_ms = None;
            return Turn::Idle(None);
        }
        // Somebody who waits for a place is not left to the policy.
        let wanted = self.shared.sync_wanted() > self.synced || self.shared.is_closing();
        let due_ms = match self.shared.policy() {
            SyncPolicy::Always => now_ms,
            // A clock that has jumped back must not postpone it.
            SyncPolicy::EverySecond => (self.last_sync_ms + EVERY_MS).min(now_ms + EVERY_MS),
            SyncPolicy::No => u64::MAX,
        };
        if wanted || due_ms <= now_ms {
            let _ = self.sync(now_ms);
            return Turn::Idle(None);
        }
        let wait_ms = (due_ms != u64::MAX).then(|| due_ms - now_ms);
        Turn::Idle(wait_ms)
    }

    /// Makes durable what is written.
    fn sync(&mut self, now_ms: u64) -> Result<(), Failed> {
        if self.synced == self.whole {
            return Ok(());
        }
        // Counted from its beginning: the next second runs while this fsync does.
        self.last_sync_ms = now_ms;
        let since = self.unsynced_since_ms.take().unwrap_or(now_ms);
        self.shared.begin_sync(since);
        let file = self.file.as_mut().expect("something was written to it");
        let started_us = self.shared.clock.monotonic_us();
        let synced = file.sync();
        let sync_us = self.shared.clock.monotonic_us() - started_us;
        if let Err(error) = synced {
            let failed = self.lose(format!("syncing the append-only file: {error}"));
            self.shared.end_sync();
            return Err(failed);
        }
        self.synced = self.whole;
        let units = self.shared.queue.lock().units();
        self.gathering.note_sync(sync_us, units);
        self.publish();
        self.shared.end_sync();
        Ok(())
    }

    /// Announces what is durable, if a restart would find it.
    fn publish(&self) {
        if self.file.is_some() && self.shared.mode() == Mode::Attached {
            let context = (self.synced == self.whole).then_some(self.context);
            self.shared.publish_synced(self.synced, context);
        }
    }

    /// Whether everything that was appended is durable and found by a restart.
    pub(crate) fn is_done(&self) -> bool {
        let attached = self.shared.mode() == Mode::Attached;
        attached && self.batch.is_empty() && self.synced == self.shared.appended()
    }
}
