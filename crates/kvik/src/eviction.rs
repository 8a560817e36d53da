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

use std::sync::atomic::Ordering::Relaxed;

use kvik_command::Random;
use kvik_command::stats::ThreadStats;
use kvik_log::Unit;
use kvik_store::{EvictionOrder, EvictionRound, EvictionRules, KeyspaceId, Mode, TableId};

use crate::section::{Actor, Section, Terms, Touching};
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::Patience;

/// Keys evicted while a stripe is held once.
const KEYS_AT_ONCE: usize = 16;
/// Entries freed while a stripe is held once.
const RECLAIM_AT_ONCE: usize = 256;
/// Room made beyond what is needed, so that not every command has to make some: a part of the
/// limit, and at most so many bytes.
const AHEAD_PART: u64 = 4096;
const AHEAD_BYTES: u64 = 16 << 10;

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
    /// The only keyspace that keys may be evicted from, if not all.
    pub(crate) scope: Option<TableId>,
}

/// The outcome of trying one stripe.
enum RoomStep {
    Progress,
    Busy,
    Nothing,
}

impl Shared {
    /// Bytes that count towards the limit.
    pub(crate) fn counted_bytes(&self) -> u64 {
        self.stripes.budget.used() + self.engine.rates.client_bytes()
    }

    /// By how many bytes the limit would be exceeded with `need` more.
    pub(crate) fn excess(&self, need: u64) -> u64 {
        match self.stripes.budget.limit() {
            0 => 0,
            limit => (self.counted_bytes().saturating_add(need)).saturating_sub(limit),
        }
    }

    /// Makes room for `need` bytes, for a slice of time.
    pub(crate) fn make_room(&self, need: u64, maker: &mut RoomMaker<'_>) -> Room {
        if self.excess(need) == 0 {
            return Room::Found;
        }
        let room = self.make_room_now(need, maker);
        let exceeds = room != Room::Found && self.excess(0) > 0;
        self.engine.exceedance.note(exceeds, self.clock.now_us());
        room
    }

    #[cold]
    fn make_room_now(&self, need: u64, maker: &mut RoomMaker<'_>) -> Room {
        let began = self.clock.instant();
        let rules = self.eviction_rules(maker.scope);
        let (mut in_vain, mut is_busy) = (0, false);
        let mut index = maker.random.bits() as usize;
        loop {
            let excess = self.excess(need);
            if excess == 0 {
                return Room::Found;
            }
            index = self.next_stripe(index, in_vain, rules.as_ref());
            // What seemed to be still to free was something else: then keys have to go.
            let frees_first = in_vain < self.stripes.len();
            match self.try_stripe((index, excess, frees_first), rules.as_ref(), maker) {
                RoomStep::Progress => (in_vain, is_busy) = (0, false),
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

    /// How keys are evicted, if they are.
    pub(crate) fn eviction_rules(&self, scope: Option<TableId>) -> Option<EvictionRules> {
        if self.is_follower() {
            return None;
        }
        let settings = &self.engine.settings;
        let policy = settings.eviction_policy();
        Some(EvictionRules {
            order: policy.order()?,
            volatile: policy.is_volatile(),
            samples: settings.eviction_samples.load(Relaxed) as usize,
            access: settings.access_policy(),
            table: scope,
        })
    }

    /// The stripe to try after this one: the next, or where keys go by their time to live, the one
    /// in which a key expires first.
    fn next_stripe(&self, index: usize, in_vain: usize, rules: Option<&EvictionRules>) -> usize {
        let (stripes, next) = (&self.stripes, (index + 1) % self.stripes.len());
        // Where that had no such key after all, the others are tried.
        match rules {
            Some(rules) if rules.order == EvictionOrder::Ttl && in_vain == 0 => {
                let first = (0..stripes.len()).min_by_key(|&index| stripes.due(index));
                first.unwrap_or(next)
            }
            _ => next,
        }
    }

    /// Frees what nothing leads to in a stripe; where there is nothing of that anywhere, evicts
    /// some keys of the stripe.
    fn try_stripe(
        &self,
        (index, excess, frees_first): (usize, u64, bool),
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
        // What is doomed elsewhere is to be freed before any key is evicted.
        if candidates == 0 || frees_first && totals.memory().doomed() >= excess {
            return RoomStep::Nothing;
        }
        if rules.order == EvictionOrder::Ttl {
            // The next key to expire may be in another stripe.
            return self.evict_in((index, excess, 1), rules, maker);
        }
        let ahead = (self.stripes.budget.limit() / AHEAD_PART).min(AHEAD_BYTES);
        self.evict_in((index, excess + ahead, KEYS_AT_ONCE), rules, maker)
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

    fn evict_in(
        &self,
        (index, bytes, most): (usize, u64, usize),
        rules: &EvictionRules,
        maker: &mut RoomMaker<'_>,
    ) -> RoomStep {
        let Ok(held) = self.stripes.lock(index, maker.patience) else {
            return RoomStep::Busy;
        };
        let terms = Terms {
            shared: self,
            unit: maker.unit,
            now_us: self.clock.now_us(),
            actor: Actor::Client,
        };
        let random = &mut *maker.random;
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
            self.set_limited(limit > 0);
        }
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
        scope: None,
    };
    if shared.make_room(0, &mut maker) == Room::Later {
        // The loop of the thread comes back at once.
        shared.stripes.alarm.prepare();
    }
}
