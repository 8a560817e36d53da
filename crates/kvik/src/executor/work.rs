//! The state of a thread that runs commands.

use std::sync::Arc;

use kvik_command::hot_keys::KeySketch;
use kvik_command::queued::CommandQueue;
use kvik_command::stats::ThreadStats;
use kvik_command::{Error, Random};
use kvik_log::{Lsn, Unit};
use kvik_store::PinId;
use parking_lot::Mutex;

use super::lookup::LatestLookup;
use super::plan::Plan;
use super::script::known::ThreadScripts;
use crate::clock::BatchClock;
use crate::promise::Promise;
use crate::section::{Actor, Terms};
use crate::shared::Shared;

/// The state of a thread that runs commands, apart from the store and the unit in progress.
pub(super) struct Work {
    pub(super) clock: BatchClock,
    pub(super) plan: Plan,
    pub(super) latest: LatestLookup,
    pub(super) untimed: Untimed,
    pub(super) stats: Arc<ThreadStats>,
    pub(super) random: Random,
    /// The keys that this thread's commands use.
    pub(super) sketch: Arc<Mutex<KeySketch>>,
    /// The thread's processor time when a command was last timed, where that is measured.
    pub(super) cpu_us: Option<u64>,
    /// Commands until the next one that is noted there.
    pub(super) until_drawn: u32,
    pub(super) actor: Actor,
    /// Until when nothing is prepared, in microseconds since the epoch.
    pub(super) left_until_us: u64,
    /// How often that was looked at since.
    pub(super) left_looks: u32,
    /// How far the log has to be on disk before the output since the last look may be told.
    pub(super) lsn: Lsn,
    pub(super) scripts: ThreadScripts,
    /// The empty queue of an earlier transaction, whose memory the next one uses.
    pub(super) spare_queue: CommandQueue,
    /// Whether the error of a command is kept that fails.
    pub(super) keeps_failure: bool,
    pub(super) failure: Option<Error>,
    /// The room that was made in namespaces for the command at hand.
    pub(super) promise: Option<Promise>,
    /// The unit of long work that this thread is at.
    pub(super) pin: Option<PinId>,
    /// The place in line of the unit that is to begin.
    pub(super) place_in_line: Option<u64>,
    /// How often it has looked whether those who are owed their turn have had it.
    pub(super) looks: u32,
}

/// Calls that have been counted but not timed yet.
#[derive(Clone, Copy, Default)]
pub(super) struct Untimed {
    pub(super) command: u16,
    pub(super) calls: u16,
}

impl Work {
    /// The terms of a section of this thread, at its time.
    #[inline]
    pub(super) fn terms<'a>(&self, shared: &'a Shared, unit: &'a mut Unit) -> Terms<'a> {
        Terms {
            shared,
            unit,
            now_us: self.clock.now_us(),
            actor: self.actor,
        }
    }

    /// Notes how far the log has to be on disk before the output may be told.
    #[inline]
    pub(super) fn note_lsn(&mut self, lsn: Lsn) {
        self.lsn = self.lsn.max(lsn);
    }
}
