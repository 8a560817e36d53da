//! The upkeep thread: deletes keys whose time has come and frees memory that commands cut loose.
//!
//! The thread sleeps until the earliest deadline of any stripe. A command that sets an earlier one
//! rings the [alarm](crate::alarm); so does one that leaves garbage. Expiry is timed, not sampled:
//! nothing is looked at before its time. Keys are deleted a few at a time so that no stripe is held
//! for long, and between two slices the stripe is left to those who missed it.
//!
//! Cost: one relaxed load per command; two more loads where the stripe's first deadline changed.

mod prefix;
mod walk;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvik_command::Random;
use kvik_command::pause::PauseScope;
use kvik_command::stats::ThreadStats;
use kvik_log::Unit;
use kvik_store::{ExpiryRound, Garbage, KeyspaceId, Mode, Stripes, prepare_memory, release_memory};

use crate::eviction;
use crate::section::{Actor, Section, Terms, Touching};
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::{Patience, SharedStripes};

/// Keys deleted while a stripe is held once.
const SLICE: usize = 64;
/// Entries freed while a stripe is held once.
const RECLAIM_SLICE: usize = 512;
/// Memory returned to the system at once.
const RELEASE_SLICE_BYTES: usize = 1 << 20;
/// Shortest and longest sleep. The shortest bounds how often deadlines that follow each other
/// closely wake the thread; after the longest, rates and peaks are looked at and memory is closed
/// up.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST_MS: u64 = 1000;
/// Keys of a stripe and a database that are looked at once a second to estimate the average time
/// to live.
const TTL_SAMPLE: usize = 8;
/// How often to look whether the limit is exceeded while memory is limited: the buffers of clients
/// grow without a command that would look.
const WHILE_LIMITED: Duration = Duration::from_millis(100);
/// How late keys are when others help to delete them.
const OVERDUE_MS: u64 = 3;
/// How often to look whether expiry is wanted again while it is not.
const WHILE_OFF_MS: u64 = 10;

/// Runs until the alarm says stop.
pub(crate) fn run(shared: &Arc<Shared>) {
    let mut rounds = UpkeepRounds::new(shared);
    loop {
        let nap = rounds.look(shared);
        match shared.stripes.alarm.sleep(nap) {
            Some(garbage) => rounds.work(shared, garbage),
            None => return,
        }
    }
}

/// The upkeep of a store, round by round.
pub(crate) struct UpkeepRounds {
    unit: Unit,
    random: Random,
    next_sample_ms: u64,
}

impl UpkeepRounds {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self {
            unit: Unit::default(),
            random: Random::new(shared.random_seed()),
            next_sample_ms: 0,
        }
    }

    /// Does what is due, without a thread for it, and says when it is worth doing so again.
    pub(crate) fn turn(&mut self, shared: &Shared) -> Duration {
        let garbage = shared.stripes.alarm.take();
        self.work(shared, garbage);
        self.look(shared)
    }

    /// Does what comes once a second. Returns how long there is nothing to do, unless the alarm
    /// rings.
    fn look(&mut self, shared: &Shared) -> Duration {
        let now_ms = shared.clock.now_us() / 1000;
        shared.recent_ms.store(now_ms, Ordering::Relaxed);
        if now_ms >= self.next_sample_ms {
            shared.sample(now_ms);
            free(shared);
            shared.engine.host.trim_allocator(false);
            if let Some(namespaces) = shared.stripes.layout.namespaces() {
                namespaces.drop_idle();
            }
            forget_tracked(shared, &mut self.unit);
            if !shared.writes_wait() {
                sweep(shared, &mut self.unit);
            }
            walk::go_on(shared);
            self.next_sample_ms = now_ms + LONGEST_MS;
        }
        let wake_ms = shared.plan(now_ms);
        let nap = Duration::from_millis(wake_ms.saturating_sub(now_ms));
        let nap = nap.min(prefix::rest(shared)).max(SHORTEST);
        match shared.is_limited() {
            true => nap.min(WHILE_LIMITED),
            false => nap,
        }
    }

    /// Does what the alarm may have rung for.
    fn work(&mut self, shared: &Shared, garbage: Vec<Garbage>) {
        if !garbage.is_empty() {
            drop(garbage);
            free(shared);
        }
        // In the order of urgency: keys that are due, memory that the next command may need, work
        // of jobs.
        let unit = &mut self.unit;
        if shared.expires_actively() {
            expire(shared, unit);
        }
        while shared.may_grow_far() && prepare_memory() {}
        if shared.is_limited() && !shared.writes_wait() {
            shared.engine.note_memory();
            eviction::help(shared, unit, &mut self.random);
        }
        if !shared.writes_wait() {
            prefix::work(shared, unit);
        }
    }
}

impl SharedStripes {
    /// Announces when the thread will wake, then looks again for deadlines that came before the
    /// announcement.
    pub(crate) fn plan(&self, latest_ms: u64) -> u64 {
        // The announcement comes first. A deadline that is published after the look below finds it,
        // and rings.
        self.alarm.planned_ms.store(latest_ms, Ordering::SeqCst);
        let dues = (0..self.len()).map(|index| self.due(index));
        let earliest_ms = dues.min().unwrap_or(u64::MAX);
        self.alarm.earliest_ms.store(earliest_ms, Ordering::Relaxed);
        let wake_ms = earliest_ms.min(latest_ms);
        self.alarm.planned_ms.store(wake_ms, Ordering::SeqCst);
        wake_ms
    }
}

impl Shared {
    /// When the thread wakes by itself. While expiry is off, no deadline wakes it earlier.
    fn plan(&self, now_ms: u64) -> u64 {
        if self.expires_actively() {
            self.stripes.plan(now_ms + LONGEST_MS)
        } else {
            now_ms + WHILE_OFF_MS
        }
    }

    /// Looks at what changes slowly: rates, how much memory is used, and copies that nobody goes on
    /// with.
    fn sample(&self, now_ms: u64) {
        self.engine
            .rates
            .sample(now_ms, self.engine.stats.totals_ever());
        let databases = self.engine.settings.databases.load(Ordering::Relaxed);
        let volatile = (0..databases as u32)
            .filter(|&db| self.engine.totals.keyspace(KeyspaceId(db)).volatile > 0);
        let mut ttls: Vec<_> = volatile.map(|db| (db, (0, 0))).collect();
        for index in 0..self.stripes.len() {
            let Ok(mut held) = self.stripes.lock(index, Patience::Wait) else {
                continue;
            };
            let stripe = held.stripe(index);
            stripe.drop_copies(now_ms);
            stripe.sweep_debts();
            for (db, (sum, count)) in &mut ttls {
                let layout = &self.stripes.layout;
                let (more, keys) = stripe.sample_ttl(layout, KeyspaceId(*db), now_ms, TTL_SAMPLE);
                *sum = more.saturating_add(*sum);
                *count += keys;
            }
        }
        let mean = |(db, (sum, count)): (u32, (u64, u64))| Some((db, sum.checked_div(count)?));
        self.engine
            .rates
            .set_average_ttls(ttls.into_iter().filter_map(mean).collect());
        self.engine.note_memory();
    }

    fn expires_actively(&self) -> bool {
        let is_wanted = self.engine.settings.active_expire.load(Ordering::Relaxed);
        is_wanted && !self.is_importing() && !self.writes_wait()
    }

    /// Whether nothing may be changed just now but by effects of another store.
    fn writes_wait(&self) -> bool {
        let now_ms = self.clock.now_us() / 1000;
        let scope = self.engine.pause.scope(now_ms);
        self.is_follower() || scope.is_some_and(|scope| scope >= PauseScope::Writes)
    }
}

/// Tracks fewer keys for the caches of clients when there are more than the limit says: it was
/// lowered, since whoever adds a key keeps to it.
fn forget_tracked(shared: &Shared, unit: &mut Unit) {
    let engine = &shared.engine;
    let is_too_large = || engine.tracking.is_too_large(&engine.settings);
    for index in 0..shared.stripes.len() {
        while is_too_large() {
            let Ok(held) = shared.stripes.lock(index, Patience::Wait) else {
                break;
            };
            let terms = Terms {
                shared,
                unit,
                now_us: shared.clock.now_us(),
                actor: Actor::Observer,
            };
            let excess = engine.tracking.excess(&engine.settings);
            let share = excess.div_ceil(shared.stripes.len() - index);
            let random = shared.clock.now_us();
            let (found, _) = Section::run(terms, held, Reach::Nothing, |_, held| {
                let stripe = held.stripe(index);
                let seeds = (0..share.min(SLICE) as u64).map(|it| random.wrapping_mul(2 * it + 1));
                seeds.filter(|seed| stripe.evict_tracked(*seed)).count()
            });
            if found < SLICE {
                break;
            }
            shared.stripes.give_way(index);
        }
    }
}

/// Deletes the keys of namespaces that were read and are to go for that, those that were read
/// before this moment.
fn sweep(shared: &Shared, unit: &mut Unit) {
    let namespaces = shared.stripes.layout.namespaces();
    if namespaces.is_none_or(|all| !all.sweeps()) {
        return;
    }
    for index in 0..shared.stripes.len() {
        let mut left = usize::MAX;
        while left > 0 {
            let Ok(mut held) = shared.stripes.lock(index, Patience::Wait) else {
                break;
            };
            left = left.min(held.stripe_mut().read_keys());
            let terms = Terms {
                shared,
                unit,
                now_us: shared.clock.now_us(),
                actor: Actor::Client,
            };
            let ((looked_at, gone), _) =
                Section::run(terms, held, Reach::Nothing, |section, held| {
                    if section.mode != Mode::Primary {
                        return (0, 0);
                    }
                    section.with_guard(held, KeyspaceId(0), Touching::NONE, |guard| {
                        guard.sweep_read(index, left, SLICE)
                    })
                });
            if looked_at == 0 {
                break;
            }
            left -= looked_at;
            let totals = &shared.upkeep_stats.totals;
            totals.expired.add(gone as u64);
            totals.changes.add(gone as u64);
            if left > 0 {
                shared.stripes.give_way(index);
            }
        }
    }
}

/// Frees the entries that flushes cut loose, closes up what entries are left and returns memory to
/// the system, all in slices.
fn free(shared: &Shared) {
    for index in 0..shared.stripes.len() {
        loop {
            let mut held = shared.stripes.lock_last(index);
            // What was cut loose is freed before entries are moved together: compaction waits for
            // an empty list.
            let stripe = held.stripe(index);
            let more = stripe.reclaim(RECLAIM_SLICE) || stripe.compact(1);
            let garbage = stripe.take_garbage();
            // Large buffers are freed outside of the lock.
            drop(held);
            drop(garbage);
            if !more {
                break;
            }
            shared.stripes.give_way(index);
        }
    }
    while release_memory(RELEASE_SLICE_BYTES) {}
}

/// Deletes all keys that are due, a slice of each stripe at a time.
fn expire(shared: &Shared, unit: &mut Unit) {
    while {
        let now_ms = shared.clock.now_us() / 1000;
        expire_round(shared, unit, now_ms, Patience::Wait, &shared.upkeep_stats)
    } {}
}

/// Deletes keys that are overdue, a slice of each stripe, in place of an upkeep thread that is kept
/// waiting for a processor. Costs one comparison while nothing is overdue.
#[inline]
pub(crate) fn help(shared: &Shared, unit: &mut Unit, now_ms: u64, stats: &ThreadStats) {
    let earliest_ms = shared.stripes.alarm.earliest_ms.load(Ordering::Relaxed);
    if now_ms >= earliest_ms.saturating_add(OVERDUE_MS) && shared.expires_actively() {
        // An I/O thread has clients to serve, so that it does one round and leaves out stripes that
        // are taken.
        expire_round(shared, unit, now_ms, Patience::Spin, stats);
        let dues = (0..shared.stripes.len()).map(|index| shared.stripes.due(index));
        let earliest_ms = dues.min().unwrap_or(u64::MAX);
        shared
            .stripes
            .alarm
            .earliest_ms
            .store(earliest_ms, Ordering::Relaxed);
    }
}

/// Deletes a slice of the due keys of each stripe and says whether there are more.
fn expire_round(
    shared: &Shared,
    unit: &mut Unit,
    now_ms: u64,
    patience: Patience,
    stats: &ThreadStats,
) -> bool {
    let due = (0..shared.stripes.len()).filter(|&index| shared.stripes.due(index) <= now_ms);
    due.fold(false, |any, index| {
        let more = expire_slice(shared, unit, index, now_ms, patience, stats);
        if more && patience == Patience::Wait {
            shared.stripes.give_way(index);
        }
        any | more
    })
}

fn expire_slice(
    shared: &Shared,
    unit: &mut Unit,
    index: usize,
    now_ms: u64,
    patience: Patience,
    stats: &ThreadStats,
) -> bool {
    let Ok(held) = shared.stripes.lock(index, patience) else {
        return false;
    };
    // The store may have been paused, or have become a follower, while the lock was waited for.
    let terms = Terms {
        shared,
        unit,
        now_us: now_ms * 1000,
        actor: Actor::Client,
    };
    let (done, _) = Section::run(terms, held, Reach::Nothing, |section, held| {
        if section.mode != Mode::Primary {
            return ExpiryRound::default();
        }
        section.with_guard(held, KeyspaceId(0), Touching::NONE, |guard| {
            guard.expire_due(index, SLICE)
        })
    });
    if done.keys > 0 {
        shared.engine.expiry_lag.record(done.lag_ms);
        stats.totals.expired.add(done.keys as u64);
        stats.totals.changes.add(done.keys as u64);
    }
    done.more
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use kvik_command::client::Origin;
    use kvik_resp::{ArgsBuf, Output};

    use super::*;
    use crate::{Clock, Db, Options, Outcome};

    fn resident_bytes(shared: &Shared) -> usize {
        let stripe = |index| {
            let held = shared.stripes.lock(index, Patience::Wait);
            held.expect("a patient lock succeeds")
                .held(index)
                .resident_bytes()
        };
        (0..shared.stripes.len()).map(stripe).sum()
    }

    #[test]
    fn what_a_client_that_is_gone_had_begun_is_freed() {
        let now = Arc::new(AtomicU64::new(1_000_000_000));
        let clock = Clock::Manual(Arc::clone(&now));
        let db = Db::in_memory(Options::default().seed(1).stripes(16).clock(clock));
        for number in 0..3000 {
            db.run(&["SADD", "set", &format!("{number:040}")]);
        }
        let before = resident_bytes(&db.shared);
        let (mut executor, mut session) =
            (db.executor(Patience::Spin), db.session(Origin::embedded()));
        let words: ArgsBuf = ["COPY", "set", "copy"].iter().collect();
        for _ in 0..4 {
            let outcome = executor.execute(&mut session, words.as_args(), &mut Output::new());
            assert_eq!(outcome, Outcome::Begun);
        }
        executor.end(&mut session);
        let begun = resident_bytes(&db.shared);
        assert!(begun > before);
        now.fetch_add(2_000_000, Ordering::Release);
        db.shared.sample(now.load(Ordering::Acquire) / 1000);
        free(&db.shared);
        // The pages stay, for who comes next.
        assert!(resident_bytes(&db.shared) < begun);
    }
}
