//! CLIENT PAUSE: until when which commands wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Which commands wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseScope {
    /// Those that may change data.
    Writes,
    /// All.
    All,
}

/// The pause in force, if any.
#[derive(Debug, Default)]
pub struct Pause {
    /// End of the pause in milliseconds since the epoch; 0 when there is none. Read before every
    /// command.
    until_ms: AtomicU64,
    scope: Mutex<Option<PauseScope>>,
    ended: Condvar,
}

impl Pause {
    /// Starts a pause or widens the one in force, which never ends earlier nor covers less for it.
    pub fn start(&self, until_ms: u64, scope: PauseScope, now_ms: u64) {
        let mut current = self.scope.lock();
        let active = self.until_ms.load(Ordering::Acquire) > now_ms;
        let old = current.filter(|_| active);
        *current = old.max(Some(scope));
        let end = if active {
            self.until_ms.load(Ordering::Acquire).max(until_ms)
        } else {
            until_ms
        };
        self.until_ms.store(end, Ordering::Release);
    }

    /// Ends the pause.
    pub fn end(&self) {
        let mut current = self.scope.lock();
        *current = None;
        self.until_ms.store(0, Ordering::Release);
        self.ended.notify_all();
    }

    /// Blocks the calling thread until the pause is ended or [`Self::wake`] is called, at most for
    /// so long.
    pub fn wait(&self, at_most: Duration) {
        let mut current = self.scope.lock();
        self.ended.wait_for(&mut current, at_most);
    }

    /// Has all threads look at what they wait for.
    pub fn wake(&self) {
        self.ended.notify_all();
    }

    /// What waits at this time.
    #[inline]
    pub fn scope(&self, now_ms: u64) -> Option<PauseScope> {
        if self.until_ms.load(Ordering::Acquire) <= now_ms {
            return None;
        }
        *self.scope.lock()
    }

    /// When the pause ends, in milliseconds since the epoch.
    pub fn until_ms(&self) -> u64 {
        self.until_ms.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_pause_never_shortens_the_first() {
        let pause = Pause::default();
        pause.start(100, PauseScope::All, 0);
        pause.start(50, PauseScope::Writes, 10);
        assert_eq!(
            (pause.scope(99), pause.scope(100)),
            (Some(PauseScope::All), None)
        );
        pause.start(200, PauseScope::Writes, 150);
        assert_eq!(pause.scope(160), Some(PauseScope::Writes));
        pause.end();
        assert_eq!(pause.scope(160), None);
    }
}
