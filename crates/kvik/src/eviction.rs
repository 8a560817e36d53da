//! Room below the memory limit: what a command does before it runs, and the upkeep thread beside.
//!
//! A command that may grow runs when what is used and what it brings fit. Where they do not, memory
//! that no key leads to any more is freed first, and then keys are evicted as the policy says: a
//! few keys of one stripe at a time, in a section of their own, each with its effect. Nobody holds
//! two stripes for that. When a slice of time is over and there is still no room, the command is
//! put off and others are served; when nothing is left to evict, it is refused.
//!
//! The log's buffer, images of snapshots and memory that is still to be freed never cause eviction:
//! they shrink by themselves, and a store that evicted for them would empty itself. The buffers of
//! clients do, as in Redis.
//!
//! Where there are namespaces a write evicts only in its own, also when the whole is full
//! ([`EvictionScope::Within`]), and nothing but a write evicts: so no tenant loses a key to another
//! one.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::Random;
use kvik_command::stats::ThreadStats;
use kvik_log::Unit;
use kvik_store::{
    AccessPolicy, EvictionOrder, EvictionRound, EvictionRules, KeyspaceId, Mode, Namespace,
    NamespacePolicy, PREPARED_BYTES,
};

use crate::section::{Actor, Section, Terms, Touching};
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::{Held, Patience};

/// Keys evicted while a stripe is held once.
const KEYS_AT_ONCE: usize = 16;
/// Entries freed while a stripe is held once.
const RECLAIM_AT_ONCE: usize = 256;
/// Room made beyond what is needed, so that not every command has to make some: a part of the
/// limit, and at most so many bytes.
const AHEAD_PART: u64 = 4096;
const AHEAD_BYTES: u64 = 16 << 10;

/// The whole of a limit, in millionths.
const PPM: u64 = 1_000_000;

/// Whether there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is.
    Found,
    /// Some has been made, or somebody else holds what it would be made from.
    Later,
    /// There is none, and nothing to make it from.
    None,
}

/// Who makes room: the state of its thread.
pub(crate) struct RoomMaker<'a> {
    pub(crate) unit: &'a mut Unit,
    pub(crate) random: &'a mut Random,
    pub(crate) stats: &'a ThreadStats,
    pub(crate) patience: Patience,
    /// For how long, in nanoseconds.
    pub(crate) slice_ns: u64,
}

/// Where keys may be evicted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EvictionScope<'a> {
    Everywhere,
    /// In these namespaces, as the policy of each says.
    Within(&'a [Arc<Namespace>]),
}

/// The outcome of trying one stripe.
enum RoomStep {
    Progress,
    Busy,
    Nothing,
}

/// Bytes of room to be made beyond what is needed, below a limit.
fn ahead_of(limit: u64) -> u64 {
    (limit / AHEAD_PART).min(AHEAD_BYTES)
}

impl Shared {
    /// Bytes that count towards the limit.
    pub(crate) fn counted_bytes(&self) -> u64 {
        self.stripes.budget.used() + self.engine.rates.client_bytes()
    }

    /// Whether the store may yet grow by as much memory as is prepared for it. At the limit that
    /// would only be resident.
    pub(crate) fn may_grow_far(&self) -> bool {
        let limit = self.stripes.budget.limit();
        limit == 0 || limit > self.counted_bytes() + PREPARED_BYTES as u64
    }

    /// By how many bytes a limit would be exceeded with `need` more: that of what is held, or that
    /// of payload, where what is needed is [promised](crate::promise) and counts already.
    pub(crate) fn excess(&self, need: u64) -> u64 {
        self.excess_beyond(need, PPM)
    }

    /// By how many bytes it would exceed what eviction lets be used.
    pub(crate) fn excess_to_evict(&self, need: u64) -> u64 {
        let part = &self.engine.settings.eviction_threshold_ppm;
        self.excess_beyond(need, part.load(Relaxed))
    }

    fn excess_beyond(&self, need: u64, part_ppm: u64) -> u64 {
        let part = |limit: u64| match part_ppm {
            PPM.. => limit,
            part_ppm => (u128::from(limit) * u128::from(part_ppm) / u128::from(PPM)) as u64,
        };
        let held = match self.stripes.budget.limit() {
            0 => 0,
            limit => (self.counted_bytes().saturating_add(need)).saturating_sub(part(limit)),
        };
        let limit = self.engine.settings.maxmemory_payload.load(Relaxed);
        match (limit, self.stripes.layout.namespaces()) {
            (0, _) | (_, None) => held,
            (limit, Some(all)) => held.max(all.payload_promised().saturating_sub(part(limit))),
        }
    }

    /// Makes room for `need` bytes, for a slice of time.
    pub(crate) fn make_room(
        &self,
        need: u64,
        scope: EvictionScope<'_>,
        maker: &mut RoomMaker<'_>,
    ) -> Room {
        if self.excess_to_evict(need) == 0 {
            return Room::Found;
        }
        // Where no key may go, to look for one is in vain.
        let allowance = self.blessed_allowance();
        if allowance > 0 && self.excess(need) <= allowance {
            return Room::Found;
        }
        let room = match self.make_room_in(need, scope, maker) {
            // What is over the threshold only may be used where nothing is left to evict.
            Room::None if self.excess(need) == 0 => Room::Found,
            room => room,
        };
        let exceeds = room != Room::Found && self.excess(0) > 0;
        self.engine.exceedance.note(exceeds, self.clock.now_us());
        room
    }

    /// By how many bytes the limit may be exceeded: a quarter of it, where all keys are exempt from
    /// eviction.
    fn blessed_allowance(&self) -> u64 {
        let totals = &self.engine.totals;
        let blessed = totals.blessed();
        match blessed > 0 && blessed >= totals.all().keys && self.eviction_rules().is_some() {
            true => self.stripes.budget.limit() / 4,
            false => 0,
        }
    }

    #[cold]
    fn make_room_in(&self, need: u64, scope: EvictionScope<'_>, maker: &mut RoomMaker<'_>) -> Room {
        let excess = || self.excess_to_evict(need);
        let ahead = ahead_of(self.stripes.budget.limit());
        let EvictionScope::Within(namespaces) = scope else {
            return self.make_room_now(&excess, ahead, self.eviction_rules().as_ref(), maker);
        };
        let mut room = None;
        for rules in namespaces.iter().filter_map(|it| self.rules_of(it)) {
            room = Some(self.make_room_now(&excess, ahead, Some(&rules), maker));
            if room != Some(Room::None) {
                break;
            }
        }
        // Where no key may go, memory may still be there to be freed.
        room.unwrap_or_else(|| self.make_room_now(&excess, ahead, None, maker))
    }

    /// Makes room in a namespace, so that it has at most `max` bytes with those that are promised.
    pub(crate) fn make_room_below(
        &self,
        namespace: &Namespace,
        max: u64,
        maker: &mut RoomMaker<'_>,
    ) -> Room {
        let excess = || namespace.bytes_promised().saturating_sub(max);
        match (excess(), self.rules_of(namespace)) {
            (0, _) => Room::Found,
            (_, None) => Room::None,
            (_, rules) => self.make_room_now(&excess, ahead_of(max), rules.as_ref(), maker),
        }
    }

    #[cold]
    fn make_room_now(
        &self,
        excess: &dyn Fn() -> u64,
        ahead: u64,
        rules: Option<&EvictionRules>,
        maker: &mut RoomMaker<'_>,
    ) -> Room {
        let began = self.clock.instant();
        let (mut in_vain, mut is_busy) = (0, false);
        let mut index = maker.random.bits() as usize;
        let is_by_ttl = rules.is_some_and(|rules| rules.order == EvictionOrder::Ttl);
        loop {
            let excess = excess();
            if excess == 0 {
                return Room::Found;
            }
            index = self.next_stripe(index, in_vain, rules);
            match self.try_stripe((index, excess, in_vain), ahead, rules, maker) {
                RoomStep::Progress => (in_vain, is_busy) = (0, false),
                // The key that expires first is there: none of another stripe goes in its place.
                RoomStep::Busy if is_by_ttl && in_vain == 0 => return Room::Later,
                RoomStep::Busy => (in_vain, is_busy) = (in_vain + 1, true),
                RoomStep::Nothing => in_vain += 1,
            }
            if in_vain > 2 * self.stripes.len() {
                return if is_busy { Room::Later } else { Room::None };
            }
            if self.clock.instant().nanos_since(began) >= maker.slice_ns {
                return Room::Later;
            }
        }
    }

    /// How keys of a namespace are evicted, if they are.
    pub(crate) fn rules_of(&self, namespace: &Namespace) -> Option<EvictionRules> {
        let table = Some(namespace.table());
        let order = match namespace.policy() {
            NamespacePolicy::Inherited => {
                let rules = self.eviction_rules()?;
                return Some(EvictionRules { table, ..rules });
            }
            NamespacePolicy::Nothing | NamespacePolicy::AfterRead => return None,
            NamespacePolicy::FewestHits => EvictionOrder::FewestHits,
            NamespacePolicy::MostHits => EvictionOrder::MostHits,
        };
        let samples = &self.engine.settings.eviction_samples;
        let may_evict = !self.is_follower() && !self.is_importing();
        may_evict.then(|| EvictionRules {
            order,
            volatile: false,
            samples: samples.load(Relaxed) as usize,
            access: AccessPolicy::Hits,
            table,
        })
    }

    /// How keys are evicted, if they are.
    pub(crate) fn eviction_rules(&self) -> Option<EvictionRules> {
        if self.is_follower() || self.is_importing() {
            return None;
        }
        let settings = &self.engine.settings;
        let policy = settings.eviction_policy();
        Some(EvictionRules {
            order: policy.order()?,
            volatile: policy.is_volatile(),
            samples: settings.eviction_samples.load(Relaxed) as usize,
            access: settings.access_policy(),
            table: None,
        })
    }

    /// The stripe to try after this one: the next, or where keys go by their time to live, the one
    /// in which a key expires first.
    fn next_stripe(&self, index: usize, in_vain: usize, rules: Option<&EvictionRules>) -> usize {
        let (stripes, next) = (&self.stripes, (index + 1) % self.stripes.len());
        // Where that had no such key after all, the others are tried.
        match rules {
            Some(rules) if rules.order == EvictionOrder::Ttl && in_vain == 0 => {
                let first = (0..stripes.len()).min_by_key(|&index| self.due_of(index, rules));
                first.unwrap_or(next)
            }
            _ => next,
        }
    }

    /// A time before which none of the keys that may be evicted expires in a stripe.
    fn due_of(&self, index: usize, rules: &EvictionRules) -> u64 {
        match rules.table {
            None => self.stripes.due(index),
            Some(table) => self.engine.totals.due_in(index, table),
        }
    }

    /// Frees what nothing leads to in a stripe; where there is nothing of that anywhere, evicts
    /// some keys of the stripe.
    fn try_stripe(
        &self,
        (index, excess, in_vain): (usize, u64, usize),
        ahead: u64,
        rules: Option<&EvictionRules>,
        maker: &mut RoomMaker<'_>,
    ) -> RoomStep {
        let totals = &self.engine.totals;
        if totals.doomed_in(index) > 0 {
            let step = self.reclaim_in(index, maker.patience);
            if !matches!(step, RoomStep::Nothing) {
                return step;
            }
        }
        let Some(rules) = rules else {
            return RoomStep::Nothing;
        };
        let sizes = totals.in_stripe(index, rules.table);
        let candidates = match rules.volatile {
            true => sizes.volatile,
            false => sizes.keys,
        };
        // What is doomed elsewhere is to be freed before any key is evicted, unless what seemed to
        // be doomed was something else.
        let frees_first = in_vain < self.stripes.len();
        if candidates == 0 || frees_first && totals.memory().doomed() >= excess {
            return RoomStep::Nothing;
        }
        if rules.order == EvictionOrder::Ttl {
            // The next key to expire may be in another stripe.
            return self.evict_in((index, excess, 1), in_vain == 0, rules, maker);
        }
        self.evict_in((index, excess + ahead, KEYS_AT_ONCE), false, rules, maker)
    }

    fn reclaim_in(&self, index: usize, patience: Patience) -> RoomStep {
        let Ok(mut held) = self.stripes.lock(index, patience) else {
            return RoomStep::Busy;
        };
        let stripe = held.stripe_mut();
        let before = stripe.held_bytes();
        stripe.reclaim(RECLAIM_AT_ONCE);
        let left = stripe.held_bytes();
        let garbage = stripe.take_garbage();
        drop(held);
        drop(garbage);
        match left < before {
            true => RoomStep::Progress,
            false => RoomStep::Nothing,
        }
    }

    /// Evicts keys of a stripe, if it `is_first` only while no key of another one expires earlier.
    fn evict_in(
        &self,
        (index, bytes, most): (usize, u64, usize),
        is_first: bool,
        rules: &EvictionRules,
        maker: &mut RoomMaker<'_>,
    ) -> RoomStep {
        let Ok(mut held) = self.stripes.lock(index, maker.patience) else {
            return RoomStep::Busy;
        };
        let random = &mut *maker.random;
        if is_first && !self.is_first_due(&mut held, rules, &mut || random.bits()) {
            return RoomStep::Progress;
        }
        let terms = Terms {
            shared: self,
            unit: maker.unit,
            now_us: self.clock.now_us(),
            actor: Actor::Client,
        };
        let (done, _) = Section::run(terms, held, Reach::Nothing, |section, held| {
            if section.mode != Mode::Primary {
                return EvictionRound::default();
            }
            section.with_guard(held, KeyspaceId(0), Touching::NONE, |guard| {
                guard.evict(index, rules, bytes, most, || random.bits())
            })
        });
        if done.keys == 0 {
            return RoomStep::Nothing;
        }
        maker.stats.totals.evicted.add(done.keys as u64);
        maker.stats.totals.changes.add(done.keys as u64);
        RoomStep::Progress
    }

    /// Whether no key of another stripe that may be evicted expires before all of this one.
    /// Somebody else may have made room with the key for which the stripe was chosen, or that key
    /// may have been deleted.
    fn is_first_due(
        &self,
        held: &mut Held<'_>,
        rules: &EvictionRules,
        random: &mut dyn FnMut() -> u64,
    ) -> bool {
        let (index, now_ms) = (held.index(), self.clock.now_us() / 1000);
        let layout = &self.stripes.layout;
        held.stripe_mut().settle_due(layout, rules, now_ms, random);
        let due = match rules.table {
            None => held.next_due(),
            Some(_) => self.due_of(index, rules),
        };
        let others = (0..self.stripes.len()).filter(|&other| other != index);
        others
            .map(|other| self.due_of(other, rules))
            .all(|other| due <= other)
    }

    /// For how long a thread that serves clients makes room before it serves others, in
    /// nanoseconds.
    pub(crate) fn eviction_slice_ns(&self) -> u64 {
        let tenacity = self.engine.settings.eviction_tenacity.load(Relaxed);
        match tenacity {
            // As in Redis: linear up to half a millisecond, then 15 % more with each step.
            0..=10 => 50_000 * tenacity,
            11..=99 => (500_000.0 * 1.15f64.powi(tenacity as i32 - 10)) as u64,
            _ => u64::MAX,
        }
    }

    /// Obeys the setting of the memory limit from now on.
    pub(crate) fn limit_memory(&self) {
        let limit = self.engine.settings.maxmemory.load(Relaxed);
        let budget = &self.stripes.budget;
        if limit != budget.limit() {
            budget.set_limit(limit, self.stripes.len());
            self.stripes.settle();
        }
        let payload = self.engine.settings.maxmemory_payload.load(Relaxed);
        let limits_payload = payload > 0 && self.stripes.layout.namespaces().is_some();
        let evicts = self.engine.settings.namespace_quotas.evicts();
        self.set_limited(limit > 0 || limits_payload || evicts);
        // What is too much already goes whether or not a command comes.
        self.stripes.alarm.prepare();
    }
}

/// Evicts keys while more memory is used than is allowed. What the upkeep thread does.
pub(crate) fn help(shared: &Shared, unit: &mut Unit, random: &mut Random) {
    /// Time after which the thread looks at its other work.
    const SLICE_NS: u64 = 2_000_000;

    let mut maker = RoomMaker {
        unit,
        random,
        stats: &shared.upkeep_stats,
        patience: Patience::Wait,
        slice_ns: SLICE_NS,
    };
    // Where there are namespaces, only who writes in one may empty it.
    let scope = match shared.stripes.layout.namespaces() {
        None => EvictionScope::Everywhere,
        Some(_) => EvictionScope::Within(&[]),
    };
    if shared.make_room(0, scope, &mut maker) == Room::Later {
        // The loop of the thread comes back at once.
        shared.stripes.alarm.prepare();
    }
}
