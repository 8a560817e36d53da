//! The guard: access to the keyspaces whose stripes the caller has locked, for one unit of work.
//!
//! A guard knows the time, whom to give effects and how keys map to stripes. It hides expired keys;
//! in [`Mode::Primary`] touching one deletes it, with its effect. A key is changed through its
//! [`Entry`]. What concerns several keys or whole keyspaces is in the rooms of this folder:
//! [`relocation`], [`keyspace`], [`expiry`], [`interest`].
//!
//! The ways to look at a key differ in what they leave behind:
//!
//! | method | counts a hit or miss | moves the clock | deletes expired | sees hidden |
//! |---|---|---|---|---|
//! | `read`, `read_string`, `exists` | yes | yes | yes | no |
//! | `inspect` | yes | no | yes | no |
//! | `entry`, `touch` | no | yes | yes | no |
//! | `peek`, `exists_in` | no | no | yes | no |
//! | `view`, `scan`, `for_each` | no | no | no | no |
//! | `is_hidden` | no | no | no | yes |
//! | [`Stripe::glance`], without a guard | no | no | no | no |
//!
//! An expired key is deleted on a primary only. A paused store hides it instead, and a follower
//! keeps and shows it until the primary's effect arrives. A guard that is [shared](Guard::reading)
//! deletes nothing and leaves clocks to others. What holds for keys holds for members: those that
//! are due are deleted with the first four kinds, or hidden.

mod blessing;
pub(crate) mod draft;
pub(crate) mod expiry;
mod former;
mod interest;
pub(crate) mod keyspace;
mod pins;
mod preparation;
mod reading;
mod relocation;

use crate::UnixMs;
use crate::aftermath::Aftermath;
use crate::clock::{AccessPolicy, Reading};
use crate::effect::EffectSink;
use crate::entry::{Entry, OccupiedEntry, VacantEntry};
use crate::event::{Event, EventClasses};
use crate::keyspace::KeyspaceRef;
use crate::layout::{Key, KeyspaceId, Layout};
use crate::limits::Limits;
use crate::locked::LockedKey;
use crate::namespace::{Namespaces, TableId, namespace_name};
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::Position;
use crate::state::{GuardState, GuardStats, Mode};
use crate::stripe::Stripe;

/// The stripes a guard may use. Whoever implements it holds their locks, or takes them one at a
/// time.
pub trait Stripes {
    /// The stripe with this index. The guard asks only for stripes that the caller agreed to
    /// provide.
    fn stripe(&mut self, index: usize) -> &mut Stripe;

    /// The same to look at. All that a guard asks for which [only reads](Guard::reading).
    fn look(&mut self, index: usize) -> &Stripe {
        self.stripe(index)
    }

    /// The same to look at, several at once. Only for a guard over stripes that are all held.
    fn held(&self, index: usize) -> &Stripe;

    /// Whether the guard may ask for the stripe with this index. The owner of all says yes.
    fn is_held(&self, index: usize) -> bool {
        let _ = index;
        true
    }

    /// Lets others have the stripes until the guard asks for one again, if whoever holds them has
    /// made sure that they change nothing that matters meanwhile.
    fn rest(&mut self) {}

    /// The same for a moment, after which all are held again. Returns the time then, in
    /// milliseconds since the epoch; 0 where nothing is let go.
    fn breathe(&mut self) -> UnixMs {
        0
    }
}

static DEFAULT_LIMITS: Limits = Limits::new();

/// Access to the keyspaces of locked stripes; see the [module above](self).
pub struct Guard<'a> {
    stripes: &'a mut dyn Stripes,
    layout: &'a Layout,
    limits: &'a Limits,
    effects: &'a mut dyn EffectSink,
    keyspace: KeyspaceId,
    state: GuardState,
}

impl<'a> Guard<'a> {
    /// A guard over `stripes` at the time `now`, on keyspace 0, as a primary that records recency.
    #[inline]
    pub fn new(
        stripes: &'a mut dyn Stripes,
        layout: &'a Layout,
        effects: &'a mut dyn EffectSink,
        now: UnixMs,
    ) -> Self {
        Self {
            stripes,
            layout,
            limits: &DEFAULT_LIMITS,
            effects,
            keyspace: KeyspaceId(0),
            state: GuardState::new(now),
        }
    }

    /// Works on this keyspace from here on.
    #[must_use]
    #[inline]
    pub fn on(mut self, keyspace: KeyspaceId) -> Self {
        self.keyspace = keyspace;
        self
    }

    /// Treats expired keys this way.
    #[must_use]
    #[inline]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.state.mode = mode;
        self
    }

    /// Records accesses this way, or not at all; `random` feeds the logarithmic counter.
    #[must_use]
    #[inline]
    pub fn access(mut self, policy: AccessPolicy, touch: bool, random: u64) -> Self {
        (self.state.access, self.state.touch, self.state.random) = (policy, touch, random);
        self.state.base_access = policy;
        self
    }

    /// Changes nothing, because others read the same stripes meanwhile. The caller has made sure
    /// that no key in them is due, and calls only what reads. An access clock that should move is
    /// left as it is ([`GuardStats::untouched`]); to move it, call [`Self::touch`] of another
    /// guard.
    #[must_use]
    #[inline]
    pub fn reading(mut self) -> Self {
        self.state.reads = true;
        self
    }

    /// Reads keys in this way from here on, as namespaces count that.
    pub fn read_as(&mut self, reading: Reading) {
        self.state.reading = reading;
    }

    /// How a key records accesses.
    pub fn access_of<'k>(&mut self, key: impl Into<Key<'k>>) -> AccessPolicy {
        self.locate(key.into());
        self.state.access
    }

    /// Packs collections up to these sizes.
    #[must_use]
    #[inline]
    pub fn limits(mut self, limits: &'a Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The sizes up to which collections are packed, and what streams take for granted.
    pub fn sizes(&self) -> &'a Limits {
        self.limits
    }

    /// Notes events of these classes.
    #[must_use]
    #[inline]
    pub fn noting(mut self, wanted: EventClasses) -> Self {
        self.state.wanted = wanted;
        self
    }

    /// Calls the changes that are a command's purpose by this event, as [`Self::call_changes`]
    /// does.
    #[must_use]
    #[inline]
    pub fn calling(mut self, event: Option<&'static Event>) -> Self {
        self.state.event = event;
        self
    }

    /// Calls the changes that are a command's purpose by this event from here on; by their own
    /// names if there is none. Returns the event before. Events that go with other changes (`del`,
    /// `expire`, `xtrim`) keep their names.
    pub fn call_changes(&mut self, event: Option<&'static Event>) -> Option<&'static Event> {
        std::mem::replace(&mut self.state.event, event)
    }

    /// Notes events of these classes no more. Returns what was noted before, for
    /// [`unmute`](Self::unmute).
    pub fn mute(&mut self, classes: EventClasses) -> EventClasses {
        let wanted = self.state.wanted;
        self.state.wanted = wanted.without(classes);
        wanted
    }

    /// Notes events of these classes again.
    pub fn unmute(&mut self, wanted: EventClasses) {
        self.state.wanted = wanted;
    }

    /// Notes an event of a key that no change here does by itself.
    #[inline]
    pub fn note(&mut self, key: &[u8], event: &'static Event) {
        if self.state.wanted.any() {
            self.state.note(self.keyspace, key, event);
        }
    }

    /// Notes that a command has changed a key, by the command's own name for it, or else by this
    /// one.
    #[inline]
    pub fn note_called(&mut self, key: &[u8], event: &'static Event) {
        if self.state.wanted.any() {
            let event = self.state.event.unwrap_or(event);
            self.state.note(self.keyspace, key, event);
        }
    }

    /// Turns to another keyspace, returning the one before.
    pub fn select(&mut self, keyspace: KeyspaceId) -> KeyspaceId {
        std::mem::replace(&mut self.keyspace, keyspace)
    }

    /// The keyspace worked on.
    pub fn keyspace(&self) -> KeyspaceId {
        self.keyspace
    }

    /// The time of this unit of work.
    pub fn now(&self) -> UnixMs {
        self.state.now
    }

    /// Whether this store follows the effects of another one, which has already judged what they
    /// do.
    pub fn is_follower(&self) -> bool {
        self.state.mode == Mode::Follower
    }

    /// Whether a key that expires at `at` is not worth storing. A follower stores it: its deletion
    /// is to follow.
    pub fn is_past(&self, at: UnixMs) -> bool {
        at <= self.state.now && !self.state.keeps_expired()
    }

    /// The counts so far.
    #[inline]
    pub fn stats(&self) -> GuardStats {
        self.state.stats
    }

    /// Counts the changes since these counts as one, as what moves something from key to key does.
    pub fn count_as_one(&mut self, before: GuardStats) {
        self.state.stats.changes = self.state.stats.changes.min(before.changes + 1);
    }

    /// The work that is left once the locks are gone. After a flush there is garbage that is
    /// nothing but the word that the stripes have something to [reclaim](Stripe::reclaim).
    #[inline]
    pub fn take_aftermath(&mut self) -> Option<Box<Aftermath>> {
        self.state.take_aftermath()
    }

    /// The key's entry, to change what is there or to make it.
    #[inline]
    pub fn entry<'g>(&'g mut self, key: impl Into<Key<'g>>) -> Entry<'g> {
        let place = self.locate(key.into());
        let found = self.find_used(place);
        // A pause hides members that are due. A write that was admitted before it must not meet
        // them.
        let found = match (found, self.state.mode) {
            (Some(entry), Mode::Paused) => self.without_due_members(place, entry),
            _ => found,
        };
        if let (Some(entry), AccessPolicy::Modification) = (found, self.state.access) {
            self.note_change(place, entry);
        }
        let locked = self.locked_key(place);
        match found {
            Some(entry) => Entry::Occupied(OccupiedEntry::new(locked, entry)),
            None => Entry::Vacant(VacantEntry::new(locked)),
        }
    }

    /// Whether two names are of the same key.
    pub fn is_same_key(&self, a: &[u8], b: &[u8]) -> bool {
        self.layout.canonical(a) == self.layout.canonical(b)
    }

    /// How keys map to stripes and namespaces.
    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    /// Deletes a key and says whether it existed. Effect: `DEL`.
    pub fn delete<'k>(&mut self, key: impl Into<Key<'k>>) -> bool {
        let entry = self.entry(key.into());
        entry.occupied().map(OccupiedEntry::remove).is_some()
    }

    /// Deletes what a key holds, to make room for a value that is made next: of the two together
    /// one event tells. Says whether the key was exempt from eviction, which
    /// [`keep_blessing`](Self::keep_blessing) has to know once the value is there. Effect: `DEL`.
    #[must_use]
    pub fn make_room(&mut self, key: &[u8]) -> bool {
        let was_blessed = self.is_blessed(key);
        let Some(occupied) = self.entry(key).occupied() else {
            return false;
        };
        let kind = occupied.view().kind();
        occupied.remove_as(None);
        if self.state.wanted.any() {
            self.state.note_removed(kind);
        }
        was_blessed
    }

    /// Exempts a key from eviction whose former value was, without an event. Effect: `BLESS SET`.
    pub fn keep_blessing(&mut self, key: &[u8], was_blessed: bool) {
        if !was_blessed {
            return;
        }
        if let Some(mut occupied) = self.entry(key).occupied() {
            occupied.unnoted(|entry| entry.bless(true));
        }
    }

    /// Where a key is, or would be. A hash that the caller knows is not computed again.
    #[inline]
    fn locate<'k>(&mut self, key: Key<'k>) -> Place<'k> {
        let hash = self.layout.hash_of(key);
        let place = Place {
            index: self.layout.stripe_of(hash),
            position: self.layout.position_of(hash),
            table: self.keyspace.into(),
            key: key.name,
        };
        match self.layout.namespaces() {
            None => place,
            Some(all) => self.locate_named(place, all),
        }
    }

    /// The same where names may name namespaces, each of which may record accesses in its own way.
    #[inline(never)]
    fn locate_named<'k>(&mut self, place: Place<'k>, all: &Namespaces) -> Place<'k> {
        let (layout, keyspace) = (self.layout, self.keyspace);
        let stripe = self.stripes.look(place.index);
        let place = place.in_namespace(stripe, layout, keyspace);
        if all.notes_reads() {
            let there = stripe.keyspace(place.table);
            let namespace = there.and_then(|it| it.keyspace.namespace.as_ref());
            let policy = match namespace {
                Some(namespace) => namespace.policy(),
                None => all.policy_of(namespace_name(place.key)),
            };
            self.state.access = AccessPolicy::within(policy, self.state.base_access);
        }
        place
    }

    /// The same for who changes nothing meanwhile.
    fn locate_held<'k>(&self, key: Key<'k>) -> Place<'k> {
        let hash = self.layout.hash_of(key);
        let index = self.layout.stripe_of(hash);
        let place = Place {
            index,
            position: self.layout.position_of(hash),
            table: self.keyspace.into(),
            key: key.name,
        };
        place.in_namespace(self.stripes.held(index), self.layout, self.keyspace)
    }

    /// Sets the clock of a key that is about to change.
    #[cold]
    fn note_change(&mut self, place: Place<'_>, entry: EntryRef) {
        let clock = self.state.access.start(self.state.now);
        let stripe = self.stripes.stripe(place.index);
        let mut keyspace = stripe.keyspace_mut(place.table, self.layout);
        keyspace.set_clock(entry, clock);
    }

    pub(crate) fn stripes(&mut self) -> &mut dyn Stripes {
        self.stripes
    }

    /// The stripe of a key.
    fn index_of(&self, key: &[u8]) -> usize {
        self.layout.stripe_of(self.layout.hash(key))
    }

    #[inline]
    fn keyspace_at(&mut self, place: Place<'_>) -> Option<KeyspaceRef<'_>> {
        self.stripes.look(place.index).keyspace(place.table)
    }

    fn locked_key<'g>(&'g mut self, place: Place<'g>) -> LockedKey<'g> {
        if self.state.wanted.meets(EventClasses::FORMER) {
            self.note_former(place, self.keyspace);
        }
        LockedKey {
            stripe: self.stripes.stripe(place.index),
            layout: self.layout,
            limits: self.limits,
            effects: self.effects,
            state: &mut self.state,
            keyspace: self.keyspace,
            table: place.table,
            position: place.position,
            key: place.key,
        }
    }

    /// Ends a change of several keys whose watchers were marked one by one.
    fn finish_keyspace(&mut self, effect: &[&[u8]]) {
        self.state.stats.changes += 1;
        if self.effects.wanted() {
            self.effects.emit(self.keyspace, effect);
        }
    }
}

/// Where a key is, or would be.
#[derive(Clone, Copy, Debug)]
struct Place<'k> {
    /// Of the stripe.
    index: usize,
    position: Position,
    /// [`TableId::NONE`] for a namespace that has no keys in the stripe.
    table: TableId,
    /// The name under which it is stored.
    key: &'k [u8],
}

impl Place<'_> {
    /// The same where names may name namespaces.
    fn in_namespace(self, stripe: &Stripe, layout: &Layout, database: KeyspaceId) -> Self {
        let key = layout.canonical(self.key);
        Self {
            key,
            table: stripe.table_of(layout, database, key),
            ..self
        }
    }
}

impl std::fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("keyspace", &self.keyspace)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
