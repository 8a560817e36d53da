//! Who takes a stripe again and again, for long work in slices, leaves it to those who could not
//! have it.
//!
//! A thread that serves clients does not sleep on a stripe: it puts the command off, notes that the
//! stripe is wanted, and comes back when it has served others. The note goes when a command that
//! was put off has run. So nobody is starved by work whose slices are longer than the time between
//! two.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::{Held, Patience, SharedStripes};

/// How long who takes a stripe again and again sleeps until it looks whether those have had it who
/// could not, and how often it looks. Who finds a stripe taken for longer comes back after a
/// millisecond: to leave the stripe for less is to have it free when nobody asks.
const LEFT: Duration = Duration::from_micros(50);
const LEFT_LOOKS: u32 = 20;
/// How often work for which nobody waits looks for a stripe that others want.
const LAST_LOOKS: u32 = 1000;

impl SharedStripes {
    /// Lets others have a stripe that this thread has just let go and is about to take again.
    pub(crate) fn give_way(&self, index: usize) {
        self.give_way_with(&[index as u16]);
    }

    /// The same for several. Those who sleep on a lock need a moment; who has put a command off
    /// comes back when it has served others, and is waited for, but not for ever: its client may be
    /// gone.
    pub(crate) fn give_way_with(&self, indices: &[u16]) {
        if !self.is_wanted(indices) {
            // Who gives the processor away now is rarely made to while it holds a stripe, for which
            // others would wait.
            thread::yield_now();
            return;
        }
        for _ in 0..LEFT_LOOKS {
            thread::park_timeout(LEFT);
            if !self.is_wanted(indices) {
                return;
            }
        }
        self.take_wanted(indices);
    }

    /// Locks a stripe for work for which nobody waits: when nobody else wants it. Who sleeps on a
    /// lock has it as soon as it is let go, before those who put their commands off can come back;
    /// so this looks for it now and then, but not for ever.
    pub(crate) fn lock_last(&self, index: usize) -> Held<'_> {
        for _ in 0..LAST_LOOKS {
            if !self.is_wanted(&[index as u16])
                && let Some(held) = self.try_lock(index)
            {
                return held;
            }
            thread::park_timeout(LEFT);
        }
        self.take_wanted(&[index as u16]);
        let held = self.lock(index, Patience::Wait);
        held.expect("a patient lock succeeds")
    }

    /// Notes that a command has run which was put off and uses this stripe.
    pub(crate) fn note_turn(&self, index: usize) {
        self.cells[index].wanted.store(false, Ordering::Relaxed);
    }

    /// Whether somebody has put off what needs one of these stripes, and has not come back.
    fn is_wanted(&self, indices: &[u16]) -> bool {
        let mut cells = indices.iter().map(|&index| &self.cells[usize::from(index)]);
        cells.any(|cell| cell.wanted.load(Ordering::Relaxed))
    }

    /// Whether somebody has put off what needs one of these stripes. Whoever asks is to leave them
    /// for a moment.
    pub(crate) fn take_wanted(&self, indices: &[u16]) -> bool {
        // All flags are taken, also behind the first that is set.
        indices.iter().fold(false, |wanted, &index| {
            wanted
                | self.cells[usize::from(index)]
                    .wanted
                    .swap(false, Ordering::Relaxed)
        })
    }
}

#[cfg(test)]
mod tests {
    use kvik_store::Layout;

    use super::SharedStripes;
    use crate::stripes::Patience;

    #[test]
    fn a_stripe_is_wanted_until_somebody_had_it() {
        let stripes = SharedStripes::new(Layout::new(2, 7));
        let held = stripes.lock(1, Patience::Wait);
        assert!(stripes.lock(1, Patience::Spin).is_err());
        assert!(stripes.is_wanted(&[0, 1]) && !stripes.is_wanted(&[0]));
        drop(held);
        assert!(stripes.is_wanted(&[1]));
        stripes.note_turn(1);
        assert!(!stripes.is_wanted(&[1]));
        // Who does not come back is not waited for again.
        let held = stripes.lock(0, Patience::Wait);
        assert!(stripes.lock(0, Patience::Spin).is_err());
        drop(held);
        stripes.give_way(0);
        assert!(!stripes.is_wanted(&[0]));
    }

    #[test]
    fn the_last_has_a_stripe_when_nobody_wants_it() {
        let stripes = SharedStripes::new(Layout::new(1, 7));
        drop(stripes.lock_last(0));
        let held = stripes.lock(0, Patience::Wait);
        assert!(stripes.lock(0, Patience::Spin).is_err());
        drop(held);
        // Whoever wants it does not come back: it is not waited for for ever.
        drop(stripes.lock_last(0));
        assert!(!stripes.is_wanted(&[0]));
    }
}
