//! The locked section: the stripes that a unit of work holds, and all that has to happen before it lets them go.
//!
//! Every access to the store goes through a section. [`Section::begin`] takes stripes that are locked, the time and the
//! rules of this moment (what becomes of expired keys, what access clocks record, how collections are packed); guards
//! come from [`Core::guard`], so none of them can be left out. [`Section::finish`] hands the effects to the log while
//! the stripes are still held, stamps the keys with the unit's place in the log, unlocks, and then delivers what leaves
//! only at the end: garbage today, pushes and invalidations in the same way. A section that is dropped with effects
//! pending is a broken invariant and panics, in release builds too; only a panic inside the section hands them over,
//! because what it has changed stays changed.
//!
//! The unit is empty when a section begins. So undoing a section is a truncation to an empty unit, together with the old
//! values that the guard's changes report.
//!
//! Cost without a log: a handful of moves and one branch at the end.

mod in_turn;

use std::cell::RefCell;
use std::thread;

use kvik_log::{Lsn, Unit};
use kvik_store::{Garbage, Guard, KeyspaceId, Mode, Stripes};

pub(crate) use in_turn::InTurn;

use crate::effects::Collector;
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::{Held, HeldMany, NoStripes, SharedRead};

/// Stripes that a section holds.
pub(crate) trait Locks: Stripes {
    /// Whether they may be several.
    const SEVERAL: bool = false;
    /// Whether others read them meanwhile, so that nothing may be changed.
    const SHARED: bool = false;

    /// When the next key or member in them expires, at the earliest, in milliseconds since the epoch.
    fn next_due(&self) -> u64 {
        u64::MAX
    }

    /// The latest place in the log of anything in the stripes that have been let go already.
    fn passed(&self) -> Lsn {
        Lsn::ZERO
    }
}

impl Locks for Held<'_> {
    #[inline]
    fn next_due(&self) -> u64 {
        Held::next_due(self)
    }
}

impl Locks for HeldMany<'_> {
    const SEVERAL: bool = true;

    fn next_due(&self) -> u64 {
        HeldMany::next_due(self)
    }
}

impl Locks for NoStripes {}

/// Nothing is due where stripes are shared.
impl Locks for SharedRead<'_> {
    const SHARED: bool = true;
}

/// Stripes that are held for one unit of work.
pub(crate) struct Section<'a, L> {
    /// Dropped before the stripes are let go.
    core: Core<'a>,
    held: L,
}

/// A section without its stripes: the rules of the moment and what has come up so far.
pub(crate) struct Core<'a> {
    pub(crate) shared: &'a Shared,
    effects: Collector<'a>,
    /// The time of this section, in microseconds since the epoch. It stands still.
    pub(crate) now_us: u64,
    pub(crate) mode: Mode,
    /// Nothing may be changed.
    reads: bool,
    /// To be freed when the stripes are let go.
    garbage: Option<Vec<Garbage>>,
}

/// How the keys that a guard finds are marked as used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touching {
    /// Whether they are.
    pub(crate) touch: bool,
    /// Decides whether a logarithmic access counter moves.
    pub(crate) random: u64,
}

impl Touching {
    /// They are not.
    pub(crate) const NONE: Self = Self {
        touch: false,
        random: 0,
    };
}

impl<'a, L: Locks> Section<'a, L> {
    /// Begins a section over stripes that are locked.
    #[inline]
    pub(crate) fn begin(
        shared: &'a Shared,
        held: L,
        unit: &'a mut Unit,
        now_us: u64,
        mode: Mode,
    ) -> Self {
        debug_assert!(unit.is_empty(), "the section before has handed over");
        let effects = Collector::whole(unit, shared.is_logged());
        let mut core = Core::new(shared, effects, now_us, mode);
        core.reads = L::SHARED;
        Self { core, held }
    }

    /// The two halves, as those who work in the section need them.
    #[inline]
    pub(crate) fn parts(&mut self) -> (&mut Core<'a>, &mut L) {
        (&mut self.core, &mut self.held)
    }

    /// A guard of its own for a section that has no other; see [`Core::guard`].
    #[inline]
    pub(crate) fn guard(&mut self, keyspace: KeyspaceId, touching: Touching) -> Guard<'_> {
        self.core.guard(&mut self.held, keyspace, touching)
    }

    /// Ends the section. `reach` is the keys whose state was read or changed. Returns the place in the log up to which
    /// everything has to be on disk before anybody is told what this section saw or did, where the log is synchronous.
    #[inline]
    pub(crate) fn finish(self, reach: Reach<'_>) -> Lsn {
        let Self { mut core, held } = self;
        // Waiters that this section can serve are served here, inside their pushers' section.
        let lsn = match core.effects.is_wanted() {
            true => core.hand_over(reach).max(held.passed()),
            false => Lsn::ZERO,
        };
        let (shared, garbage) = (core.shared, core.garbage.take());
        drop(core);
        drop(held);
        if let Some(garbage) = garbage {
            shared.stripes.alarm.discard(garbage);
        }
        lsn
    }
}

impl<'a> Section<'a, InTurn<'a>> {
    /// Begins a section that locks one stripe after the other. The effects on each are a unit of their own, handed over
    /// before the stripe is let go.
    pub(crate) fn in_turn(
        shared: &'a Shared,
        unit: &'a RefCell<Unit>,
        now_us: u64,
        mode: Mode,
    ) -> Self {
        let wanted = shared.is_logged();
        let core = Core::new(shared, Collector::in_turn(unit, wanted), now_us, mode);
        let held = InTurn::new(shared, wanted.then_some(unit), now_us / 1000);
        Self { core, held }
    }
}

impl<'a> Core<'a> {
    #[inline]
    fn new(shared: &'a Shared, effects: Collector<'a>, now_us: u64, mode: Mode) -> Self {
        Self {
            shared,
            effects,
            now_us,
            mode,
            reads: false,
            garbage: None,
        }
    }

    /// The time in milliseconds since the epoch.
    #[inline]
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    /// A guard over the section's stripes, under the rules of the moment. Its garbage goes to [`Self::leave`].
    #[inline]
    pub(crate) fn guard<'g>(
        &'g mut self,
        stripes: &'g mut dyn Stripes,
        keyspace: KeyspaceId,
        touching: Touching,
    ) -> Guard<'g> {
        let settings = &self.shared.engine.settings;
        // Looked up before the guard is made, which would have to be kept in memory meanwhile.
        let (policy, now_ms) = (settings.access_policy(), self.now_us / 1000);
        let layout = &self.shared.stripes.layout;
        let guard = Guard::new(stripes, layout, &mut self.effects, now_ms);
        let guard = if self.reads { guard.reading() } else { guard };
        guard
            .on(keyspace)
            .mode(self.mode)
            .access(policy, touching.touch, touching.random)
            .limits(&settings.limits)
    }

    /// Keeps what is to be freed until the stripes are let go.
    #[inline]
    pub(crate) fn leave(&mut self, garbage: Option<Vec<Garbage>>) {
        if let Some(garbage) = garbage {
            self.garbage.get_or_insert_default().extend(garbage);
        }
    }

    /// Hands the effects to the log, and says how far it must be on disk for what was seen and done.
    #[inline(never)]
    fn hand_over(&mut self, reach: Reach<'_>) -> Lsn {
        let (shared, now_ms) = (self.shared, self.now_ms());
        self.effects
            .with_unit(|unit| shared.append(unit, now_ms, reach))
    }

    #[cold]
    #[inline(never)]
    fn hand_over_unfinished(&mut self) {
        let (shared, now_ms) = (self.shared, self.now_ms());
        let is_empty = self.effects.with_unit(|unit| unit.is_empty());
        assert!(
            is_empty || thread::panicking(),
            "effects are pending when stripes are let go"
        );
        // The keys that a panic has left changed are not known here.
        self.effects
            .with_unit(|unit| shared.append(unit, now_ms, Reach::Everything));
    }
}

impl Drop for Core<'_> {
    #[inline]
    fn drop(&mut self) {
        // Nothing is collected where nothing is wanted.
        if self.effects.is_wanted() && self.effects.with_unit(|unit| !unit.is_empty()) {
            self.hand_over_unfinished();
        }
    }
}

#[cfg(test)]
mod tests;
