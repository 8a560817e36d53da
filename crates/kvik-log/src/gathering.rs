//! How long the writer waits for company before it fsyncs, under `always`.
//!
//! Clients that wait for each reply append again as soon as they have been told. An fsync that
//! begins at once, with what was appended during the one before, leaves them out: the clients fall
//! into two groups that take turns, and each waits through the fsyncs of the other. So the writer
//! waits, for a part of the time of an fsync, until those are back that it has just served: then
//! all share one, which halves the number of fsyncs. A single client never waits, as nobody else is
//! expected.
//!
//! Where clients do not come back, because they have gone or do other things in between, the wait
//! is lost. After a wait in vain the next one is left out, and twice as many each time.

use std::time::Duration;

/// A wait takes at most this part of an fsync.
const PART: u64 = 2;
/// Shorter waits are not worth a sleep; longer ones no client should notice.
const SHORTEST_US: u64 = 50;
const LONGEST_US: u64 = 2000;
/// A fsync that takes longer counts as one of this length.
const LONGEST_SYNC_US: u64 = 100_000;
/// Waits that are left out after one in vain, at most.
const MOST_LEFT_OUT: u32 = 64;

/// What the writer knows of those who append. Units are counted since the log was opened.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// Units that the writer has taken, and those among them that are durable.
    taken: u64,
    synced: u64,
    /// So many units there are when everybody is back.
    expected: u64,
    /// Time of an fsync in microseconds, smoothed.
    sync_us: u64,
    /// Waits that are left out, and how many after the next one in vain.
    left_out: u32,
    next_left_out: u32,
}

impl Gathering {
    /// The writer has taken all units that there are.
    pub(crate) fn take(&mut self, units: u64) {
        self.taken = units;
    }

    /// What was taken is durable, after an fsync of so many microseconds. By then there are so many
    /// units in all.
    pub(crate) fn note_sync(&mut self, sync_us: u64, units: u64) {
        // Who was served comes back, and who came meanwhile waits already.
        self.expected = units + (self.taken - self.synced);
        self.synced = self.taken;
        let sync_us = sync_us.min(LONGEST_SYNC_US);
        self.sync_us = match self.sync_us {
            0 => sync_us,
            before => (before * 7 + sync_us) / 8,
        };
    }

    /// How many units to wait for, and how long at most. None if it is better to go on.
    pub(crate) fn plan(&mut self, units: u64) -> Option<(u64, Duration)> {
        let wait_us = (self.sync_us / PART).min(LONGEST_US);
        if units >= self.expected || wait_us < SHORTEST_US {
            return None;
        }
        if self.left_out > 0 {
            self.left_out -= 1;
            return None;
        }
        Some((self.expected, Duration::from_micros(wait_us)))
    }

    /// The wait is over, and there are so many units in all.
    pub(crate) fn note_wait(&mut self, units: u64) {
        let (came, wanted) = (units - self.synced, self.expected - self.synced);
        // A few may be missing: the others gain enough.
        self.next_left_out = match came * 4 >= wanted * 3 {
            true => 0,
            false => (self.next_left_out * 2).clamp(1, MOST_LEFT_OUT),
        };
        self.left_out = self.next_left_out;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log whose fsyncs take a millisecond: takes and syncs all `units`, while `more` come.
    fn sync(gathering: &mut Gathering, units: u64, more: u64) {
        gathering.take(units);
        gathering.note_sync(1000, units + more);
    }

    #[test]
    fn one_client_never_waits() {
        let mut gathering = Gathering::default();
        for units in 1..10 {
            assert_eq!(gathering.plan(units), None);
            sync(&mut gathering, units, 0);
        }
    }

    #[test]
    fn two_groups_become_one() {
        let mut gathering = Gathering::default();
        // One client was first, and nine others came meanwhile.
        sync(&mut gathering, 1, 9);
        let (all, at_most) = gathering.plan(10).expect("one is to come back");
        assert_eq!((all, at_most), (11, Duration::from_micros(500)));
        gathering.note_wait(11);
        sync(&mut gathering, 11, 0);
        assert_eq!(gathering.plan(12).map(|(all, _)| all), Some(21));
        assert_eq!(gathering.plan(21), None);
    }

    #[test]
    fn waits_in_vain_become_rare() {
        let mut gathering = Gathering::default();
        let (mut units, mut waits) = (10, 0);
        for _ in 0..1000 {
            sync(&mut gathering, units, 1);
            // Nobody comes back; another ten come later.
            if gathering.plan(units + 1).is_some() {
                waits += 1;
                gathering.note_wait(units + 1);
            }
            units += 10;
        }
        assert!((2..30).contains(&waits), "{waits} waits");
        // One that is not in vain makes up for it.
        gathering.left_out = 0;
        sync(&mut gathering, units, 0);
        gathering.note_wait(units + 10);
        sync(&mut gathering, units + 10, 0);
        assert!(gathering.plan(units + 11).is_some());
    }

    #[test]
    fn fast_disks_are_not_waited_for() {
        let mut gathering = Gathering::default();
        gathering.take(10);
        gathering.note_sync(60, 15);
        assert_eq!(gathering.plan(15), None);
    }
}
