//! The locked section: the stripes that a unit of work holds, and all that has to happen before it
//! lets them go.
//!
//! Every access to the store goes through [`Section::run`]. It takes stripes that are locked, the
//! time and the rules of this moment ([`Terms`]), and the work to do. Guards come from the section,
//! so that none of the rules can be left out: what becomes of expired keys, what access clocks
//! record, how collections are packed. When the work is done, the section hands the effects to the
//! log while the stripes are still held, stamps the keys with the unit's place in the log, unlocks,
//! and then delivers what leaves only at the end: garbage, the replies of clients that were served,
//! messages and invalidations.
//!
//! A section asserts that no effect is pending when its stripes are let go, in release builds too.
//! Where a panic unwinds through the work, the effects so far are handed over, because what it has
//! changed stays changed. Work that may fail is an [attempt](Section::attempt): what it has changed
//! is undone then, by the records that the stripes keep meanwhile.
//!
//! Cost without a log: a handful of stores and two branches. The section is a variable of
//! [`Section::run`] and is never moved, which would take as long as all else it does for a small
//! command.

mod in_turn;
mod serving;

use std::cell::RefCell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use kvik_command::pubsub::{Publication, Rings};
use kvik_command::tracking::Staleness;
use kvik_log::{Lsn, Unit};
use kvik_store::{
    Aftermath, ChangedKey, EventClasses, Guard, KeyHash, KeyspaceId, Mode, ReadyKey, Stripe,
    Stripes,
};

pub(crate) use in_turn::InTurn;

use serving::{Served, Unserved};

use crate::effects::{Collector, TurnUnit};
pub(crate) use crate::rules::Actor;
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::{Held, HeldMany, NoStripes, SharedRead};

/// Promised whenever a stripe is let go.
const PENDING: &str = "no effect is pending when a stripe is let go";

/// Stripes that a section holds.
pub(crate) trait Locks: Stripes {
    /// Whether they may be several.
    const SEVERAL: bool = false;
    /// Whether others read them meanwhile, so that nothing may be changed.
    const SHARED: bool = false;

    /// When a command has to look at them before it runs, in milliseconds since the epoch: when
    /// the next key or member in them expires, or at once while keys are pinned.
    fn look_at(&self) -> u64 {
        u64::MAX
    }

    /// Whether keys in them are pinned.
    fn has_pins(&self) -> bool {
        false
    }

    /// The latest place in the log of anything in the stripes that have been let go already.
    fn passed(&self) -> Lsn {
        Lsn::ZERO
    }

    /// Whether a key with waiters is ready, or a change is to be reported.
    fn has_news(&self) -> bool {
        false
    }

    /// Takes the key that got ready first.
    fn take_ready(&mut self) -> Option<ReadyKey> {
        None
    }

    /// Takes the keys whose changes are reported. Those of several stripes are in order by their
    /// turns only.
    fn take_changed(&mut self) -> Vec<ChangedKey> {
        Vec::new()
    }

    /// Visits every stripe that is held.
    fn visit(&mut self, visit: &mut dyn FnMut(&mut Stripe)) {
        let _ = visit;
    }
}

impl Locks for Held<'_> {
    #[inline]
    fn look_at(&self) -> u64 {
        Held::look_at(self)
    }

    fn has_pins(&self) -> bool {
        Held::has_pins(self)
    }

    #[inline]
    fn has_news(&self) -> bool {
        Held::has_news(self)
    }

    fn take_ready(&mut self) -> Option<ReadyKey> {
        self.stripe_mut().take_ready()
    }

    fn take_changed(&mut self) -> Vec<ChangedKey> {
        self.stripe_mut().take_changed()
    }

    fn visit(&mut self, visit: &mut dyn FnMut(&mut Stripe)) {
        visit(self.stripe_mut());
    }
}

impl Locks for HeldMany<'_> {
    const SEVERAL: bool = true;

    fn look_at(&self) -> u64 {
        HeldMany::look_at(self)
    }

    fn has_pins(&self) -> bool {
        HeldMany::has_pins(self)
    }

    fn has_news(&self) -> bool {
        HeldMany::has_news(self)
    }

    fn take_ready(&mut self) -> Option<ReadyKey> {
        HeldMany::take_ready(self)
    }

    fn take_changed(&mut self) -> Vec<ChangedKey> {
        HeldMany::take_changed(self)
    }

    fn visit(&mut self, visit: &mut dyn FnMut(&mut Stripe)) {
        HeldMany::visit(self, visit);
    }
}

impl Locks for NoStripes {}

/// Nothing is due where stripes are shared.
impl Locks for SharedRead<'_> {
    const SHARED: bool = true;
}

/// The terms on which a section begins, beside its stripes.
pub(crate) struct Terms<'a> {
    pub(crate) shared: &'a Shared,
    /// Collects the effects; empty.
    pub(crate) unit: &'a mut Unit,
    /// The time, in microseconds since the epoch. It stands still in a section.
    pub(crate) now_us: u64,
    pub(crate) actor: Actor,
}

/// A section in progress: the rules of the moment and what has come up so far.
pub(crate) struct Section<'a> {
    pub(crate) shared: &'a Shared,
    effects: Collector<'a>,
    pub(crate) now_us: u64,
    pub(crate) mode: Mode,
    /// Nothing may be changed.
    reads: bool,
    /// The events that somebody wants to hear of.
    wanted: EventClasses,
    /// The client at work; 0 if there is none.
    pub(crate) writer: u64,
    /// Nearly always nothing, and then one word.
    departures: Option<Box<Departures>>,
}

/// Effects on others that leave when the stripes have been let go.
#[derive(Default)]
struct Departures {
    /// Memory to free, and events and changes to tell.
    aftermath: Aftermath,
    /// Messages that commands have published.
    publications: Vec<Publication>,
    /// The threads to be woken for messages.
    rings: Rings,
    /// Tracked keys that have changed, in the order of the changes.
    changed: Vec<ChangedKey>,
    /// Copies of keys that are stale; told when the stripes have been let go.
    stale: Staleness,
    /// Replies for others.
    served: Served,
    /// Keys left for a section of their own.
    unserved: Unserved,
    /// Keys that the section has reached beside those that it began with.
    reached: Vec<KeyHash>,
    /// It has reached all keys.
    reached_all: bool,
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

impl<'a> Section<'a> {
    /// Does `work` in a section over stripes that are locked. `reach` is the keys whose state it
    /// reads or changes. Returns the work's result and the place in the log up to which everything
    /// has to be on disk before anybody is told of it, where the log is synchronous.
    #[inline]
    pub(crate) fn run<L: Locks, R>(
        terms: Terms<'a>,
        held: L,
        reach: Reach<'_>,
        work: impl FnOnce(&mut Self, &mut L) -> R,
    ) -> (R, Lsn) {
        let shared = terms.shared;
        let (result, lsn, departures) = Self::run_locked(terms, held, reach, work);
        if let Some(departures) = departures {
            departures.deliver(shared).serve(shared);
        }
        (result, lsn)
    }

    /// The same, up to the moment at which the stripes have been let go.
    #[inline]
    fn run_locked<L: Locks, R>(
        terms: Terms<'a>,
        mut held: L,
        reach: Reach<'_>,
        work: impl FnOnce(&mut Self, &mut L) -> R,
    ) -> (R, Lsn, Option<Box<Departures>>) {
        debug_assert!(terms.unit.is_empty(), "the section before has handed over");
        // The state of the store does not change while stripes are held.
        let rules = terms.shared.rules(terms.actor, terms.now_us);
        // Dropped before the stripes.
        let mut section = Self {
            shared: terms.shared,
            effects: Collector::whole(terms.unit, rules.is_logged),
            now_us: terms.now_us,
            mode: rules.mode,
            reads: L::SHARED,
            wanted: rules.wanted,
            writer: 0,
            departures: None,
        };
        let result = work(&mut section, &mut held);
        let (lsn, departures) = section.finish(&mut held, reach);
        // What is left to do for a section that is dropped is for one in which a panic unwinds.
        mem::forget(section);
        (result, lsn, departures)
    }

    /// Does `work` in a section that locks one stripe after the other. The effects on each are a
    /// unit of their own, handed over before the stripe is let go.
    pub(crate) fn run_in_turn<R>(
        terms: Terms<'_>,
        work: impl FnOnce(&mut Section<'_>, &mut InTurn<'_>) -> R,
    ) -> (R, Lsn) {
        let (shared, rules) = (terms.shared, terms.shared.rules(terms.actor, terms.now_us));
        // The owner of the stripes and the sink of effects share the unit.
        let turn = RefCell::new(TurnUnit {
            unit: std::mem::take(terms.unit),
            former: Vec::new(),
        });
        let mut held = InTurn::new(
            shared,
            rules.is_logged.then_some(&turn),
            terms.now_us / 1000,
        );
        let mut section = Section {
            shared,
            effects: Collector::in_turn(&turn, rules.is_logged),
            now_us: terms.now_us,
            mode: rules.mode,
            reads: false,
            wanted: rules.wanted,
            writer: 0,
            departures: None,
        };
        let result = work(&mut section, &mut held);
        // The last stripe is let go like those before it.
        held.let_go();
        let (lsn, departures) = section.finish(&mut held, Reach::Nothing);
        mem::forget(section);
        let unserved = Unserved::of_stripes(&held.with_ready);
        drop(held);
        *terms.unit = turn.into_inner().unit;
        if let Some(departures) = departures {
            departures.deliver(shared).serve(shared);
        }
        unserved.serve(shared);
        (result, lsn)
    }

    /// Ends the section, while its stripes are still held.
    #[inline]
    fn finish<L: Locks>(
        &mut self,
        held: &mut L,
        reach: Reach<'_>,
    ) -> (Lsn, Option<Box<Departures>>) {
        if !L::SHARED && held.has_news() {
            self.hear(held);
        }
        let lsn = match self.effects.is_wanted() {
            true => self.hand_over(reach).max(held.passed()),
            false => Lsn::ZERO,
        };
        let mut departures = self.departures.take();
        if let Some(departures) = &mut departures {
            departures.depart(self.shared, self.writer, lsn);
            if self.effects.is_wanted() {
                departures.served.stamp(self.shared, lsn);
            }
        }
        (lsn, departures)
    }

    /// Publishes a message when the section ends. Nobody gets it before the effects so far may be
    /// told.
    pub(crate) fn publish(&mut self, publication: Publication) {
        let departures = self.departures.get_or_insert_default();
        departures.publications.push(publication);
    }

    /// Has the ready keys of these stripes served when the section has ended.
    pub(crate) fn serve_later(&mut self, stripes: &[u16]) {
        if !stripes.is_empty() {
            let departures = self.departures.get_or_insert_default();
            departures.unserved.add_stripes(stripes);
        }
    }

    /// Looks at what those who are interested in keys are to be told, inside the section that has
    /// changed them.
    #[cold]
    fn hear<L: Locks>(&mut self, held: &mut L) {
        self.serve(held);
        let mut changed = held.take_changed();
        if !changed.is_empty() {
            changed.sort_unstable_by_key(|key| key.turn);
            self.departures.get_or_insert_default().changed = changed;
        }
    }

    /// Does work that may fail. If it does, or panics, everything that it has changed in the
    /// stripes is undone: nothing of it reaches the log, and nobody is told. The stripes are those
    /// that are held at its beginning; who takes more in it has their changes recorded as well.
    pub(crate) fn attempt<L: Locks, R, E>(
        &mut self,
        held: &mut L,
        work: impl FnOnce(&mut Self, &mut L) -> Result<R, E>,
    ) -> Result<R, E> {
        held.visit(&mut Stripe::begin_undo);
        let effects = self.effects.with_unit(|unit| unit.mark());
        let told = self.departures.as_ref().map(|it| it.told());
        let done = catch_unwind(AssertUnwindSafe(|| work(self, held)));
        let (keeps, layout) = (matches!(done, Ok(Ok(_))), &self.shared.stripes.layout);
        let mut garbage = Vec::new();
        held.visit(&mut |stripe| {
            garbage.extend(match keeps {
                true => stripe.keep_changes(),
                false => stripe.undo_changes(layout),
            });
        });
        if !keeps {
            self.effects.with_unit(|unit| unit.truncate(effects));
            if let Some(departures) = &mut self.departures {
                departures.forget(told.unwrap_or_default());
            }
        }
        if !garbage.is_empty() {
            let departures = self.departures.get_or_insert_default();
            departures.aftermath.garbage.append(&mut garbage);
        }
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// The time in milliseconds since the epoch.
    #[inline]
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    /// Works with a guard over the section's stripes.
    #[inline]
    pub(crate) fn with_guard<R>(
        &mut self,
        stripes: &mut dyn Stripes,
        keyspace: KeyspaceId,
        touching: Touching,
        work: impl FnOnce(&mut Guard<'_>) -> R,
    ) -> R {
        let mut guard = self.guard(stripes, keyspace, touching);
        let result = work(&mut guard);
        let aftermath = guard.take_aftermath();
        self.leave(aftermath);
        result
    }

    /// A guard over the section's stripes, under the rules of the moment. Its garbage goes to
    /// [`Self::leave`].
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
            .noting(self.wanted)
    }

    /// Whether somebody wants to hear of events.
    #[inline]
    pub(crate) fn is_heard(&self) -> bool {
        self.wanted.any()
    }

    /// Keeps what a guard leaves to be done until the section ends.
    #[inline]
    pub(crate) fn leave(&mut self, aftermath: Option<Box<Aftermath>>) {
        if let Some(aftermath) = aftermath {
            self.leave_some(*aftermath);
        }
    }

    #[inline(never)]
    fn leave_some(&mut self, aftermath: Aftermath) {
        let departures = self.departures.get_or_insert_default();
        departures.aftermath.append(aftermath);
    }

    /// Notes that the section reads or changes keys beside those that it began with.
    pub(crate) fn reach(&mut self, keys: &[KeyHash]) {
        if self.effects.is_wanted() {
            let departures = self.departures.get_or_insert_default();
            departures.reached.extend_from_slice(keys);
        }
    }

    /// The same with all keys; every stripe is held.
    pub(crate) fn reach_all(&mut self) {
        if self.effects.is_wanted() {
            self.departures.get_or_insert_default().reached_all = true;
        }
    }

    /// Hands the effects to the log, and says how far it must be on disk for what was seen and
    /// done.
    #[inline(never)]
    fn hand_over(&mut self, reach: Reach<'_>) -> Lsn {
        let (shared, now_ms) = (self.shared, self.now_ms());
        match self.effects.whole_unit() {
            Some(unit) if self.departures.is_none() => {
                let lsn = shared.append(unit, now_ms, reach);
                assert!(unit.is_empty(), "{PENDING}");
                lsn
            }
            _ => self.hand_over_all(reach),
        }
    }

    /// The same, with all that has come up beside the effects.
    #[inline(never)]
    fn hand_over_all(&mut self, reach: Reach<'_>) -> Lsn {
        let (shared, now_ms) = (self.shared, self.now_ms());
        let departures = self.departures.as_mut();
        let (former, reached, reached_all) = departures.map_or_else(Default::default, |it| {
            let former = mem::take(&mut it.aftermath.former);
            (former, mem::take(&mut it.reached), it.reached_all)
        });
        let reach = match reached_all {
            true => Reach::Everything,
            false => reach,
        };
        self.effects.with_unit(|unit| {
            let has_changed = !unit.is_empty();
            let lsn = shared.append_with(unit, now_ms, reach, former);
            assert!(unit.is_empty(), "{PENDING}");
            if reached.is_empty() || !shared.is_logged() {
                return lsn;
            }
            let reached = Reach::Keys(&reached);
            match has_changed {
                true => shared.stamp(reached, lsn),
                false => return lsn.max(shared.latest(reached)),
            }
            lsn
        })
    }
}

/// How much there is to tell.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    events: usize,
    changed: usize,
    former: usize,
    publications: usize,
}

impl Departures {
    fn told(&self) -> Told {
        Told {
            events: self.aftermath.events.len(),
            changed: self.aftermath.changed.len(),
            former: self.aftermath.former.len(),
            publications: self.publications.len(),
        }
    }

    /// Forgets what has come up since; memory is freed all the same. That all copies are stale is
    /// told all the same: the keys are tracked no more.
    fn forget(&mut self, told: Told) {
        self.aftermath.events.truncate(told.events);
        self.aftermath.changed.truncate(told.changed);
        self.aftermath.former.truncate(told.former);
        self.publications.truncate(told.publications);
    }

    /// Gives messages and events to their listeners while the stripes are held, so that those about
    /// a key keep the order of its changes, and prepares what is told about copies.
    #[inline(never)]
    fn depart(&mut self, shared: &Shared, writer: u64, lsn: Lsn) {
        let lsn = match shared.log() {
            Some(log) if log.is_synchronous() => lsn.get(),
            _ => 0,
        };
        let (engine, aftermath) = (&shared.engine, &mut self.aftermath);
        let classes = engine.settings.notified_events();
        for event in aftermath.events.drain(..) {
            engine.settings.prefix_stats.hear(&event);
            // Some are noted only to be counted.
            if classes.meets(event.event.class) {
                engine.pubsub.notify(&event, classes, lsn, &mut self.rings);
            }
        }
        for publication in self.publications.drain(..) {
            engine
                .pubsub
                .publish_later(&publication, lsn, &mut self.rings);
        }
        let changed = aftermath.changed.drain(..);
        self.stale = Staleness {
            tracked: mem::take(&mut self.changed),
            changed: changed.map(|(_, key)| key).collect(),
            flushed: aftermath.flushed,
            writer,
            lsn,
        };
    }

    /// Wakes who listens, tells who caches, replies to who was served, and lets go of what is to be
    /// freed. Returns what is left to be done.
    #[inline(never)]
    fn deliver(mut self, shared: &Shared) -> Unserved {
        self.rings.ring();
        // Who is served hears of its own change after its reply.
        self.served.deliver();
        let engine = &shared.engine;
        if !self.stale.is_empty() {
            engine.tracking.tell(&self.stale, &engine.clients);
        }
        let garbage = self.aftermath.garbage;
        if !garbage.is_empty() {
            shared.stripes.alarm.discard(garbage);
        }
        self.unserved
    }
}

/// A panic unwinds through the work: what it has changed stays changed, and the log is told while
/// the stripes are held.
impl Drop for Section<'_> {
    #[cold]
    fn drop(&mut self) {
        let (shared, now_ms) = (self.shared, self.now_ms());
        let mut lsn = Lsn::ZERO;
        if self.effects.is_wanted() {
            // The keys that have changed are not known here. No assertion: one that fails would end
            // the program.
            lsn = self
                .effects
                .with_unit(|unit| shared.append(unit, now_ms, Reach::Everything));
        }
        // Who was served before has what it was given, and nobody else can end its wait.
        if let Some(departures) = self.departures.take() {
            departures.served.deliver_late(lsn);
        }
    }
}

#[cfg(test)]
mod tests;
