//! Counting commands and taking their time: statistics, slow log and latency monitor.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::Session;
use kvik_command::command_log::{Logged, LoggedFigures};
use kvik_command::declare::Flags;
use kvik_command::hot_keys::{CommandCost, INTERVAL};
use kvik_command::latency::Sample;
use kvik_store::GuardStats;

use super::call::Call;
use super::work::{Untimed, Work};
use crate::shared::Shared;

/// A command that is timed together with others has no longer reply than this.
pub(super) const QUICK_REPLY_BYTES: usize = 4096;
/// Commands are timed one by one where the slow log asks about less than this, in microseconds.
const QUICK_US: i64 = 1000;

impl Work {
    /// Times what was to be timed together with a command that has not run.
    #[inline]
    pub(super) fn finish_pipeline(&mut self, session: &Session) {
        if self.untimed.calls > 0 {
            show_calls(session, self.untimed);
            self.time();
        }
    }

    /// Counts a command that ends now, and times it unless that is left to the next one of its
    /// kind.
    #[inline]
    pub(super) fn count(
        &mut self,
        shared: &Shared,
        session: &Session,
        call: &Call<'_>,
        failed: bool,
        timed: bool,
        replied: usize,
    ) {
        let id = call.command.id();
        if failed {
            self.stats.commands[usize::from(id)].failed.add(1);
            self.stats.totals.errors.add(1);
        }
        self.until_drawn -= 1;
        let slow_us = shared.engine.settings.slowlog_slower_than_us.load(Relaxed);
        if self.until_drawn == 0 {
            if shared.engine.hot_keys.is_collecting() {
                return self.collect(shared, session, call, slow_us, replied);
            }
            self.draw(session, call);
        }
        self.untimed.command = id;
        self.untimed.calls += 1;
        if timed || (0..QUICK_US).contains(&slow_us) {
            self.count_time(shared, session, call, slow_us);
        }
    }

    /// Notes the keys of a command that was drawn.
    #[cold]
    fn draw(&mut self, session: &Session, call: &Call<'_>) {
        /// Keys of one command that are noted.
        const MOST_KEYS: usize = 8;

        // At random, so that no rhythm of the client's escapes it; on average as often as said.
        self.until_drawn = 1 + self.random.below(2 * u64::from(INTERVAL) - 1) as u32;
        let now_s = self.clock.now_us() / 1_000_000;
        let (mut sketch, mut left) = (self.sketch.lock(), MOST_KEYS);
        let note = |at: usize, _| {
            if left > 0 {
                left -= 1;
                sketch.note(session.db, &call.args[at], u64::from(INTERVAL), now_s);
            }
        };
        // Keys that cannot be told from the words the handler has refused.
        let _ = call.command.for_each_key(call.args, note);
    }

    /// Times a command by itself, and notes it where hot keys are collected.
    #[cold]
    fn collect(
        &mut self,
        shared: &Shared,
        session: &Session,
        call: &Call<'_>,
        slow_us: i64,
        replied: usize,
    ) {
        // So is the next one.
        self.until_drawn = 1;
        if self.untimed.calls > 0 {
            show_calls(session, self.untimed);
            self.time();
        }
        self.untimed = Untimed {
            command: call.command.id(),
            calls: 1,
        };
        let nanos = self.count_time(shared, session, call, slow_us);
        let mut keys = Vec::new();
        let _ = call.command.for_each_key(call.args, |at, _| keys.push(at));
        let keys = keys.iter().map(|at| &call.args[*at]);
        let cost = CommandCost {
            nanos,
            bytes: (call.args.byte_len() + replied) as u64,
        };
        let now_us = self.clock.now_us();
        let hot_keys = &shared.engine.hot_keys;
        hot_keys.note_in_collection(session.db, keys, cost, now_us);
    }

    /// Counts what a command has read for the prefix of its first key.
    #[cold]
    pub(super) fn count_for_prefix(shared: &Shared, call: &Call<'_>, seen: &GuardStats) {
        let mut first = None;
        let _ = call.command.for_each_key(call.args, |at, _| {
            first.get_or_insert(at);
        });
        let stats = &shared.engine.settings.prefix_stats;
        if let Some(counters) = first.and_then(|at| stats.of_key(&call.args[at])) {
            counters.hits.fetch_add(seen.hits, Relaxed);
            counters.misses.fetch_add(seen.misses, Relaxed);
        }
    }

    /// Times a command, together with those of its kind before it, and notes if that was long.
    /// Returns the nanoseconds.
    fn count_time(
        &mut self,
        shared: &Shared,
        session: &Session,
        call: &Call<'_>,
        slow_us: i64,
    ) -> u64 {
        let now_us = self.clock.now_us();
        show_calls(session, self.untimed);
        let (calls, nanos) = self.time();
        if shared.engine.settings.latency_tracking.load(Relaxed) {
            let counters = &self.stats.commands[usize::from(call.command.id())];
            counters.record_times(nanos / calls, calls);
        }
        session.client.active_ms.store(now_us / 1000, Relaxed);
        let took_us = nanos / 1000;
        let put_off_us = session.client.put_off_us.load(Relaxed);
        let waited_us = match put_off_us {
            0 => 0,
            since_us => end_wait(shared, session, call, now_us.saturating_sub(since_us)),
        };
        let cpu_us = match shared.engine.settings.slowlog_cpu_time.load(Relaxed) {
            false => None,
            true => self.processor_time(shared, took_us),
        };
        if slow_us >= 0 && took_us.max(waited_us) >= slow_us as u64 {
            record_slow(shared, session, call, now_us, (took_us, waited_us, cpu_us));
        }
        let threshold_ms = shared.engine.settings.latency_threshold_ms.load(Relaxed);
        if threshold_ms > 0 && took_us / 1000 >= threshold_ms {
            record_latency(shared, call, now_us, took_us);
        }
        nanos
    }

    /// Processor time of a command that ends now and took so long. A thread without commands waits,
    /// so what it has used since the last one is the command's, but for reading it and the like.
    #[cold]
    fn processor_time(&mut self, shared: &Shared, took_us: u64) -> Option<u64> {
        let now_us = shared.engine.host.thread_cpu_us()?;
        let before = self.cpu_us.replace(now_us);
        // The first one after the setting was changed is not known.
        Some(now_us.saturating_sub(before?).min(took_us))
    }

    /// Ends the time of the calls that are not timed yet; returns their number and nanoseconds.
    fn time(&mut self) -> (u64, u64) {
        let Untimed { command, calls } = std::mem::take(&mut self.untimed);
        let (calls, nanos) = (u64::from(calls), self.clock.lap());
        let counters = &self.stats.commands[usize::from(command)];
        counters.calls.add(calls);
        counters.nanos.add(nanos);
        self.stats.totals.commands.add(calls);
        (calls, nanos)
    }
}

/// Lets others see what the client has run.
#[inline]
fn show_calls(session: &Session, Untimed { command, calls }: Untimed) {
    let client = &session.client;
    client.last_command.store(command + 1, Relaxed);
    let before = client.commands.load(Relaxed);
    client.commands.store(before + u64::from(calls), Relaxed);
}

#[cold]
fn record_latency(shared: &Shared, call: &Call<'_>, now_us: u64, took_us: u64) {
    let event = if call.command.flags().contains(Flags::FAST) {
        "fast-command"
    } else {
        "command"
    };
    let sample = Sample {
        at_s: now_us / 1_000_000,
        took_ms: took_us / 1000,
    };
    shared.engine.latency.record(event, sample);
}

#[cold]
fn record_slow(
    shared: &Shared,
    session: &Session,
    call: &Call<'_>,
    now_us: u64,
    (took_us, waited_us, cpu_us): (u64, u64, Option<u64>),
) {
    let max_len = &shared.engine.settings.slowlog_max_len;
    let what = LoggedFigures {
        at_s: now_us / 1_000_000,
        value: took_us,
        waited_us,
        cpu_us,
    };
    record_in_log(shared, session, call, (Logged::Slow, max_len), what);
}

/// Notes that a command of a client has been put off, at this time.
pub(super) fn begin_wait(session: &Session, now_us: u64) {
    let put_off_us = &session.client.put_off_us;
    if put_off_us.load(Relaxed) == 0 {
        put_off_us.store(now_us, Relaxed);
    }
}

/// Notes that a command has run after it was put off for so long, which is returned.
#[cold]
fn end_wait(shared: &Shared, session: &Session, call: &Call<'_>, waited_us: u64) -> u64 {
    let stripes = &shared.stripes;
    call.visit_keys(&mut |key| {
        let hash = stripes.layout.hash(key);
        stripes.note_turn(stripes.layout.stripe_of(hash));
    });
    session.client.put_off_us.store(0, Relaxed);
    session.client.waited_us.fetch_add(waited_us, Relaxed);
    shared.engine.pins.waited_us.fetch_add(waited_us, Relaxed);
    waited_us
}

/// Logs a command whose words or whose reply are long.
#[inline]
pub(super) fn log_sizes(
    shared: &Shared,
    session: &Session,
    call: &Call<'_>,
    replied: usize,
    now_us: u64,
) {
    let settings = &shared.engine.settings;
    let sized = |bytes: u64| LoggedFigures {
        at_s: now_us / 1_000_000,
        value: bytes,
        waited_us: 0,
        cpu_us: None,
    };
    // A negative limit, which logs nothing, is the largest number here.
    if replied as u64 >= settings.log_replies_from_bytes.load(Relaxed) as u64 {
        let log = (Logged::LargeReply, &settings.large_replies_max_len);
        record_in_log(shared, session, call, log, sized(replied as u64));
    }
    let requested = call.args.byte_len() as u64;
    if requested >= settings.log_requests_from_bytes.load(Relaxed) as u64 {
        let log = (Logged::LargeRequest, &settings.large_requests_max_len);
        record_in_log(shared, session, call, log, sized(requested));
    }
}

#[cold]
fn record_in_log(
    shared: &Shared,
    session: &Session,
    call: &Call<'_>,
    (why, max_len): (Logged, &AtomicU64),
    what: LoggedFigures,
) {
    if call.command.flags().contains(Flags::SKIP_SLOWLOG) {
        return;
    }
    let log = &shared.engine.command_log;
    let max_len = max_len.load(Relaxed) as usize;
    log.record(why, call.args, &session.client, what, max_len);
}
