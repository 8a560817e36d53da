//! The state of a unit of work on the store: its rules, and what it has seen and done.
//!
//! Whether a key is due, hidden or to be deleted is judged here, and nowhere else.

use crate::UnixMs;
use crate::clock::AccessPolicy;
use crate::garbage::Garbage;
use crate::heap::HeapEntry;
use crate::layout::Layout;

/// The treatment of keys whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are deleted when met, and that is an effect.
    Primary,
    /// They are hidden but stay: writes are paused.
    Paused,
    /// They are keys like any other until an effect deletes them: this store follows another one's
    /// effects.
    Follower,
}

/// Counts of the reads and changes made through a guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardStats {
    /// Changes made, as Redis counts them for `rdb_changes_since_last_save`.
    pub changes: u64,
    /// Reads that found the key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys deleted because their time had come.
    pub expired: u64,
    /// Whether a key was used whose access clock has still to be set; see [`Guard::reading`].
    pub untouched: bool,
}

/// The part of a key that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    Nothing,
    /// Some members of its value.
    Members,
    /// The key, or every member of its value.
    Everything,
}

/// Time and mode of a unit of work, how it records accesses, and what it leaves behind. It borrows
/// nothing.
#[derive(Debug)]
pub(crate) struct GuardState {
    pub(crate) now: UnixMs,
    pub(crate) mode: Mode,
    pub(crate) access: AccessPolicy,
    pub(crate) touch: bool,
    /// Nothing may be changed.
    pub(crate) reads: bool,
    pub(crate) random: u64,
    pub(crate) stats: GuardStats,
    pub(crate) garbage: Vec<Garbage>,
}

impl GuardState {
    /// The state of a primary at `now` that records recency.
    #[inline]
    pub(crate) fn new(now: UnixMs) -> Self {
        Self {
            now,
            mode: Mode::Primary,
            access: AccessPolicy::Recency,
            touch: true,
            reads: false,
            random: now,
            stats: GuardStats::default(),
            garbage: Vec::new(),
        }
    }

    /// The clock to note for an entry that is used and whose access clock says `old`. Most uses
    /// change nothing.
    #[inline]
    pub(crate) fn touch(&mut self, old: u32) -> Option<u32> {
        if !self.touch {
            return None;
        }
        let new = self.access.touch(old, self.now, self.random >> 16);
        if self.access != AccessPolicy::Recency {
            self.random = self
                .random
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(1);
        }
        (new != old).then_some(new)
    }

    #[inline]
    pub(crate) fn overdue(&self, entry: &HeapEntry<'_>, layout: &Layout) -> Overdue {
        let is_due = |at: Option<UnixMs>| at.is_some_and(|at| at <= self.now);
        if self.mode == Mode::Follower {
            Overdue::Nothing
        } else if is_due(entry.expire_at()) {
            Overdue::Everything
        } else if is_due(entry.members_deadline()) {
            self.overdue_members(entry, layout)
        } else {
            Overdue::Nothing
        }
    }

    #[cold]
    fn overdue_members(&self, entry: &HeapEntry<'_>, layout: &Layout) -> Overdue {
        // Where they are deleted this need not be exact: the key goes with the last of them.
        let at_once = self.mode == Mode::Primary;
        if entry.is_all_due(self.now, layout, at_once) {
            Overdue::Everything
        } else {
            Overdue::Members
        }
    }

    #[inline]
    pub(crate) fn hides(&self, entry: &HeapEntry<'_>, layout: &Layout) -> bool {
        self.overdue(entry, layout) == Overdue::Everything
    }

    /// Members whose time has come by then are hidden from readers; 0 where they are not.
    #[inline]
    pub(crate) fn hidden_until(&self) -> UnixMs {
        match self.mode {
            Mode::Paused => self.now,
            // On a primary they have been deleted when the key was met.
            Mode::Primary | Mode::Follower => 0,
        }
    }
}
