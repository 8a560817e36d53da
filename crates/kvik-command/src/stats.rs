//! Counters, kept per thread and added up when somebody looks.
//!
//! Each counter has one writer, so counting is a load and a store, not a locked instruction.
//! Resetting remembers the present sums and subtracts them from then on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::histogram::{Histogram, Recorder};

/// A number that one thread increases and any may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to it. Only the owning thread may.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it. Only the owning thread may.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

macro_rules! totals {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of one thread that are not per command.
        #[derive(Debug, Default)]
        pub struct ThreadTotals { $($(#[$doc])* pub $name: Counter,)* }

        /// Sums over all threads.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Totals { $($(#[$doc])* pub $name: u64,)* }

        impl Totals {
            fn add(&mut self, thread: &ThreadTotals) { $(self.$name = self.$name.wrapping_add(thread.$name.get());)* }
            fn subtract(&mut self, base: &Self) { $(self.$name = self.$name.wrapping_sub(base.$name);)* }
        }
    };
}

totals! {
    /// Commands processed.
    commands,
    /// Reads that found their key.
    hits,
    /// Reads that did not.
    misses,
    /// Keys deleted because their time had come.
    expired,
    /// Keys deleted to make room.
    evicted,
    /// Changes to the data set.
    changes,
    /// Error replies.
    errors,
    /// Connections accepted.
    connections,
    /// Connections refused.
    rejected_connections,
    /// Bytes received from clients.
    bytes_in,
    /// Bytes sent to clients.
    bytes_out,
    /// Clients cut off for their unread output.
    output_limit_disconnections,
    /// Clients cut off for their unfinished input.
    input_limit_disconnections,
    /// Clients disconnected because all together used too much memory.
    evicted_clients,
    /// Commands put off because a stripe they need was taken.
    deferred,
}

/// The counters of one command on one thread.
#[derive(Debug, Default)]
pub struct CommandStats {
    /// Calls.
    pub calls: Counter,
    /// Time taken, in nanoseconds.
    pub nanos: Counter,
    /// Calls refused before they ran.
    pub rejected: Counter,
    /// Calls that ran and failed.
    pub failed: Counter,
    times: OnceLock<Recorder>,
}

impl CommandStats {
    /// Counts how long so many calls took each. Only the owning thread may.
    #[inline]
    pub fn record_times(&self, nanos: u64, calls: u64) {
        self.times
            .get_or_init(Recorder::default)
            .record(nanos, calls);
    }
}

/// One command's counters, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandTotals {
    /// Calls.
    pub calls: u64,
    /// Time taken, in nanoseconds.
    pub nanos: u64,
    /// Calls refused before they ran.
    pub rejected: u64,
    /// Calls that ran and failed.
    pub failed: u64,
}

/// All counters of one thread.
#[derive(Debug)]
pub struct ThreadStats {
    /// Counters that are not per command.
    pub totals: ThreadTotals,
    /// By command id.
    pub commands: Box<[CommandStats]>,
}

/// The counters of all threads.
#[derive(Debug, Default)]
pub struct Stats {
    threads: Mutex<Vec<Arc<ThreadStats>>>,
    base: Mutex<Base>,
    /// Changes made on behalf of other clients, by whichever thread.
    served_changes: AtomicU64,
    /// Calls made on behalf of other clients that failed, by command id.
    served_failures: Mutex<BTreeMap<u16, u64>>,
    /// Error replies by their code.
    error_codes: Mutex<BTreeMap<String, u64>>,
}

#[derive(Debug, Default)]
struct Base {
    totals: Totals,
    commands: Vec<CommandTotals>,
    histograms: Vec<(usize, Histogram)>,
}

/// Codes among which scripts may have some of their own. A client may make up codes, and must not
/// fill the memory with them.
const MAX_ERROR_CODES: usize = 128;
/// The counter of all others.
const OTHER_CODES: &str = "ERRORSTATS_OVERFLOW";

impl ThreadStats {
    fn new(commands: usize) -> Self {
        Self {
            totals: ThreadTotals::default(),
            commands: (0..commands).map(|_| CommandStats::default()).collect(),
        }
    }
}

impl CommandTotals {
    fn add(&mut self, thread: &CommandStats) {
        self.calls = self.calls.wrapping_add(thread.calls.get());
        self.nanos = self.nanos.wrapping_add(thread.nanos.get());
        self.rejected = self.rejected.wrapping_add(thread.rejected.get());
        self.failed = self.failed.wrapping_add(thread.failed.get());
    }

    fn subtract(&mut self, base: &Self) {
        self.calls = self.calls.wrapping_sub(base.calls);
        self.nanos = self.nanos.wrapping_sub(base.nanos);
        self.rejected = self.rejected.wrapping_sub(base.rejected);
        self.failed = self.failed.wrapping_sub(base.failed);
    }
}

impl Stats {
    /// Counters for a thread that will count `commands` commands. A thread that has ended leaves
    /// its counters to the next one that asks, so the sums never fall.
    pub fn thread(&self, commands: usize) -> Arc<ThreadStats> {
        let mut threads = self.threads.lock();
        let idle = threads.iter().find(|stats| Arc::strong_count(stats) == 1);
        idle.cloned().unwrap_or_else(|| {
            let stats = Arc::new(ThreadStats::new(commands));
            threads.push(Arc::clone(&stats));
            stats
        })
    }

    /// Counts changes that were made for a blocked client.
    pub fn count_served(&self, changes: u64) {
        self.served_changes.fetch_add(changes, Ordering::Relaxed);
    }

    /// Counts the failure of a call that was made for a blocked client.
    pub fn count_served_failure(&self, id: u16) {
        *self.served_failures.lock().entry(id).or_default() += 1;
    }

    /// Sums since the last reset.
    pub fn totals(&self) -> Totals {
        let mut sums = self.totals_ever();
        sums.subtract(&self.base.lock().totals);
        sums
    }

    /// Sums since the start, for what a reset must not touch.
    pub fn totals_ever(&self) -> Totals {
        let mut sums = Totals::default();
        self.threads
            .lock()
            .iter()
            .for_each(|thread| sums.add(&thread.totals));
        sums.changes = sums
            .changes
            .wrapping_add(self.served_changes.load(Ordering::Relaxed));
        sums.errors += self.served_failures.lock().values().sum::<u64>();
        sums
    }

    /// Nanoseconds that calls of a command took since the last reset.
    pub fn nanos_of(&self, id: usize) -> u64 {
        let threads = self.threads.lock();
        let counters = threads.iter().filter_map(|thread| thread.commands.get(id));
        let sum: u64 = counters.map(|counters| counters.nanos.get()).sum();
        let base = self.base.lock();
        sum.wrapping_sub(base.commands.get(id).map_or(0, |before| before.nanos))
    }

    /// Sums by command id since the last reset.
    pub fn commands(&self) -> Vec<CommandTotals> {
        let mut sums = self.commands_ever();
        let base = self.base.lock();
        sums.iter_mut()
            .zip(&base.commands)
            .for_each(|(sum, base)| sum.subtract(base));
        sums
    }

    /// Counts from zero again.
    pub fn reset(&self) {
        let (totals, commands, histograms) = (
            self.totals_ever(),
            self.commands_ever(),
            self.histograms_ever(),
        );
        *self.base.lock() = Base {
            totals,
            commands,
            histograms,
        };
        self.error_codes.lock().clear();
    }

    /// How long calls took, by command id, for the commands that were called since the last reset.
    pub fn histograms(&self) -> Vec<(usize, Histogram)> {
        let mut sums = self.histograms_ever();
        let base = self.base.lock();
        for (id, sum) in &mut sums {
            let before = base.histograms.iter().find(|(known, _)| known == id);
            before
                .into_iter()
                .for_each(|(_, before)| sum.subtract(before));
        }
        sums
    }

    fn histograms_ever(&self) -> Vec<(usize, Histogram)> {
        let mut sums = BTreeMap::<usize, Histogram>::new();
        for thread in self.threads.lock().iter() {
            for (id, command) in thread.commands.iter().enumerate() {
                command
                    .times
                    .get()
                    .into_iter()
                    .for_each(|times| sums.entry(id).or_default().add(times));
            }
        }
        sums.into_iter().collect()
    }

    /// Counts an error reply by its code.
    pub fn count_error(&self, code: &str) {
        self.add_error(code, usize::MAX);
    }

    /// The same for one that a script may have made up.
    pub fn count_made_error(&self, code: &str) {
        self.add_error(code, MAX_ERROR_CODES);
    }

    fn add_error(&self, code: &str, most: usize) {
        let mut codes = self.error_codes.lock();
        let is_apart = codes.len() < most || codes.contains_key(code);
        let code = if is_apart { code } else { OTHER_CODES };
        match codes.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(codes.insert(code.to_owned(), 1)),
        }
    }

    /// Error replies by code since the last reset.
    pub fn error_codes(&self) -> BTreeMap<String, u64> {
        self.error_codes.lock().clone()
    }

    fn commands_ever(&self) -> Vec<CommandTotals> {
        let mut sums = Vec::new();
        for thread in self.threads.lock().iter() {
            sums.resize(
                sums.len().max(thread.commands.len()),
                CommandTotals::default(),
            );
            sums.iter_mut()
                .zip(&thread.commands)
                .for_each(|(sum, counters)| sum.add(counters));
        }
        for (id, failures) in self.served_failures.lock().iter() {
            if let Some(sum) = sums.get_mut(usize::from(*id)) {
                sum.failed += failures;
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_codes_are_counted_apart_as_long_as_there_is_room() {
        let stats = Stats::default();
        (0..MAX_ERROR_CODES + 7).for_each(|n| stats.count_made_error(&n.to_string()));
        stats.count_made_error("0");
        stats.count_error("ERR");
        stats.count_made_error("ERR");
        let codes = stats.error_codes();
        assert_eq!(codes.len(), MAX_ERROR_CODES + 2);
        let counts = ["0", "1", OTHER_CODES, "ERR"].map(|code| codes[code]);
        assert_eq!(counts, [2, 1, 7, 2]);
    }

    #[test]
    fn sums_survive_their_threads_and_restart_at_a_reset() {
        let stats = Stats::default();
        let first = stats.thread(1);
        first.totals.hits.add(2);
        first.commands[0].calls.add(1);
        drop(first);
        let second = stats.thread(1);
        second.totals.hits.add(3);
        assert_eq!(stats.totals().hits, 5);
        stats.reset();
        second.commands[0].calls.add(4);
        assert_eq!(stats.totals().hits, 0);
        assert_eq!(stats.commands()[0].calls, 4);
        assert_eq!(stats.totals_ever().hits, 5);
    }
}
