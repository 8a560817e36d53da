//! The conduct of an I/O thread while commands of its clients find their stripe taken.
//!
//! A stripe is mostly held for less than a microsecond, so it is tried again at once; one that is
//! held for longer has the thread sleep between its attempts.

use std::time::Duration;

use super::connection::RunEnd;

/// Rounds in which a stripe that is taken is tried without a pause, and the pause from then on.
/// Attempts before the thread sleeps. News from clients ends the pause.
const ATTEMPTS: u32 = 100;
const RETRY: Duration = Duration::from_millis(1);

/// The results of the runs of this round.
#[derive(Debug, Default)]
pub(super) struct Contention {
    /// Whether one has found a stripe taken, and whether one only waits for its turn.
    contended: bool,
    crowded: bool,
    /// Rounds in which nobody was ready who did not find a stripe taken.
    held_up: u32,
}

impl Contention {
    #[inline]
    pub(super) fn note(&mut self, end: RunEnd) {
        self.contended |= end == RunEnd::Busy;
        self.crowded |= matches!(end, RunEnd::Turn | RunEnd::Flush);
    }

    /// Ends a round: lets the thread that holds a stripe go on where there are more threads than
    /// cores.
    pub(super) fn give_way(&mut self) {
        let contended = std::mem::take(&mut self.contended);
        let crowded = std::mem::take(&mut self.crowded);
        self.held_up = if contended && !crowded {
            self.held_up.saturating_add(1)
        } else {
            0
        };
        if contended && self.held_up < ATTEMPTS {
            std::thread::yield_now();
        }
    }

    /// How long to wait for the driver although connections are ready.
    pub(super) fn pause(&self) -> Duration {
        if self.held_up >= ATTEMPTS {
            RETRY
        } else {
            Duration::ZERO
        }
    }
}
