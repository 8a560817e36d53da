//! How many I/O threads are awake when `threads` is `auto`.
//!
//! One thread serves until it uses up a core; a further one is woken when the machine has a core to
//! spare, and stays awake if that pays. That it pays cannot be told beforehand: a thread also looks
//! busy when the kernel's share of the work dominates and the clients need the other cores. On two
//! cores shared with 50 clients that wait for each reply, a second thread costs a quarter of the
//! throughput; when they pipeline 16 commands, it adds up to a third. So a change is a **trial**:
//! the commands per second before and after are compared, and it is undone if it was not worth it.
//! The pause before the next trial doubles with each that failed, until the load has fallen.
//!
//! The governor measures the processor time of the process, not how long threads wait: a thread
//! that shares its core is busy and has nothing to gain. Where the system tells how long its
//! processors were idle (Linux), trials that cannot succeed are not begun: in the first of the two
//! cases 0.15 cores are idle, in the second 0.6.
//!
//! The first thread is the governor, as one of its turns ends; it is always awake. Nothing is
//! measured while it sleeps, and it wakes by itself only while others are awake, so an idle server
//! uses no processor time.
//!
//! **Not done:** threads that stay awake do not exchange connections, so a few heavy clients that
//! meet on one thread remain there.

use kvik::Db;

use crate::process;

/// Length of the windows that are judged, in microseconds.
const WINDOW_US: u64 = 50_000;
/// A longer time says nothing: the thread slept or was held up.
const STALE_US: u64 = 4 * WINDOW_US;
/// Windows that must agree before something is tried.
const AGREEING: u32 = 3;
/// Windows with little load after which a thread goes to sleep untried.
const QUIET: u32 = 10;
/// Windows after a change that are not judged, as connections are moving.
const SETTLING: u32 = 2;
/// Windows by which a change is judged.
const JUDGED: u32 = 4;
/// Of a core, what a saturated thread uses at least.
const SATURATED: f64 = 0.9;
/// Cores that must be idle for one more thread.
const IDLE_CORES: f64 = 0.25;
/// The gain that waking threads must bring.
const GAIN: f64 = 1.08;
/// The share that is left when a thread too many goes to sleep, at least.
const NO_LOSS: f64 = 0.97;
/// Short, as the first trial may have fallen into the preparations of the load that matters.
const FIRST_PAUSE_US: u64 = 250_000;
const LONGEST_PAUSE_US: u64 = 64_000_000;

/// The gauges that the governor reads, each since some start.
pub(super) trait Gauges {
    /// Microseconds.
    fn now_us(&self) -> u64;
    /// Processor time of this process in microseconds.
    fn cpu_us(&self) -> u64;
    /// Commands run.
    fn commands(&self) -> u64;
    /// Time in which processors of the machine did nothing, in microseconds, if the system tells.
    fn idle_us(&self) -> Option<u64>;
}

/// Decides how many I/O threads of a server are awake.
pub(super) struct Governor {
    /// Threads there are.
    most: usize,
    at_us: u64,
    cpu_us: u64,
    commands: u64,
    phase: Phase,
    pause_us: u64,
    next_trial_us: u64,
}

enum Phase {
    Watching(Streak),
    Trying(Trial),
}

/// Windows in a row that say the same.
struct Streak {
    load: Load,
    windows: u32,
    commands: u64,
    since_us: u64,
    idle_us: Option<u64>,
}

/// A changed number of threads that has to prove itself.
struct Trial {
    /// The number before.
    before: usize,
    /// Commands per second that are to be reached.
    goal: f64,
    windows: u32,
    commands: u64,
    since_us: u64,
}

/// The verdict on a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// Well below what even fewer threads could do.
    Low,
    /// One thread fewer could do it.
    Spare,
    /// As it should be.
    Right,
    /// All threads are saturated.
    Full,
}

impl Load {
    /// `used`: cores used.
    fn of(used: f64, awake: usize) -> Self {
        let fewer = awake as f64 - 1.0;
        if used < 0.5 * fewer.max(0.5) {
            Self::Low
        } else if used < fewer {
            Self::Spare
        } else if used >= SATURATED * awake as f64 {
            Self::Full
        } else {
            Self::Right
        }
    }
}

/// The measurements of a window.
struct Window {
    now_us: u64,
    load: Load,
    commands: u64,
}

impl Governor {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            at_us: 0,
            cpu_us: 0,
            commands: 0,
            phase: Phase::Watching(Streak::new(Load::Right, 0, None)),
            pause_us: FIRST_PAUSE_US,
            next_trial_us: 0,
        }
    }

    /// The end of the current window.
    pub(super) fn next_us(&self) -> u64 {
        self.at_us + WINDOW_US
    }

    /// How many threads should be awake, when that is to change; `clients` are connected.
    pub(super) fn judge(
        &mut self,
        gauges: &impl Gauges,
        awake: usize,
        clients: usize,
    ) -> Option<usize> {
        // Also when the clock was set back.
        if gauges.now_us().abs_diff(self.at_us) < WINDOW_US {
            return None;
        }
        let window = self.close_window(gauges, awake)?;
        match &mut self.phase {
            Phase::Trying(_) => self.go_on_trying(&window, awake),
            Phase::Watching(_) => self.watch(gauges, &window, awake, clients.min(self.most)),
        }
    }

    fn close_window(&mut self, gauges: &impl Gauges, awake: usize) -> Option<Window> {
        let (now_us, cpu_us, commands) = (gauges.now_us(), gauges.cpu_us(), gauges.commands());
        let elapsed_us = now_us.abs_diff(self.at_us);
        let used = cpu_us.saturating_sub(self.cpu_us) as f64 / elapsed_us as f64;
        let window = Window {
            now_us,
            load: Load::of(used, awake),
            commands: commands.saturating_sub(self.commands),
        };
        (self.at_us, self.cpu_us, self.commands) = (now_us, cpu_us, commands);
        // A quiet time ends what was learned about the load before: trials begin anew.
        if window.load == Load::Low {
            (self.pause_us, self.next_trial_us) = (FIRST_PAUSE_US, 0);
        }
        // Nobody has looked for so long that the window says nothing of the present.
        if elapsed_us > STALE_US {
            self.watch_anew(window.load, now_us, None);
            return None;
        }
        Some(window)
    }

    fn watch_anew(&mut self, load: Load, now_us: u64, idle_us: Option<u64>) {
        self.phase = Phase::Watching(Streak::new(load, now_us, idle_us));
    }

    fn watch(
        &mut self,
        gauges: &impl Gauges,
        window: &Window,
        awake: usize,
        most: usize,
    ) -> Option<usize> {
        let Phase::Watching(streak) = &mut self.phase else {
            return None;
        };
        // Only windows that agree in a row count.
        if streak.load != window.load {
            let idle_us = (window.load == Load::Full).then(|| gauges.idle_us());
            self.watch_anew(window.load, window.now_us, idle_us.flatten());
            return None;
        }
        streak.windows += 1;
        streak.commands += window.commands;
        let may_try = streak.windows >= AGREEING && window.now_us >= self.next_trial_us;
        match window.load {
            Load::Low if awake > 1 && streak.windows >= QUIET => {
                self.watch_anew(Load::Right, window.now_us, None);
                Some(awake - 1)
            }
            Load::Spare if may_try => Some(self.begin_trial(window.now_us, awake, awake - 1)),
            Load::Full if may_try && awake < most => {
                let idle_us = gauges.idle_us();
                if streak.has_idle_cores(window.now_us, idle_us) {
                    // Half as many again, so that a large machine is reached in a few steps, and a
                    // mistake stays small.
                    let more = (awake + (awake / 2).max(1)).min(most);
                    return Some(self.begin_trial(window.now_us, awake, more));
                }
                self.watch_anew(Load::Full, window.now_us, idle_us);
                None
            }
            _ => None,
        }
    }

    fn begin_trial(&mut self, now_us: u64, before: usize, after: usize) -> usize {
        if let Phase::Watching(streak) = &self.phase {
            let worth = if after > before { GAIN } else { NO_LOSS };
            self.phase = Phase::Trying(Trial {
                before,
                goal: worth * per_s(streak.commands, now_us.abs_diff(streak.since_us)),
                windows: 0,
                commands: 0,
                since_us: now_us,
            });
        }
        after
    }

    fn go_on_trying(&mut self, window: &Window, awake: usize) -> Option<usize> {
        let Phase::Trying(trial) = &mut self.phase else {
            return None;
        };
        trial.windows += 1;
        // Connections move to the new threads first.
        if trial.windows <= SETTLING {
            trial.since_us = window.now_us;
            return None;
        }
        trial.commands += window.commands;
        if trial.windows < SETTLING + JUDGED {
            return None;
        }
        let reached = per_s(trial.commands, window.now_us.abs_diff(trial.since_us)) >= trial.goal;
        let before = trial.before;
        tracing::debug!(
            before,
            awake,
            reached,
            "tried another number of I/O threads"
        );
        self.watch_anew(Load::Right, window.now_us, None);
        self.next_trial_us = window.now_us + self.pause_us;
        if reached {
            return None;
        }
        // What did not pay is tried again later and later, since each trial costs.
        self.pause_us = (2 * self.pause_us).min(LONGEST_PAUSE_US);
        Some(before)
    }
}

impl Streak {
    fn new(load: Load, since_us: u64, idle_us: Option<u64>) -> Self {
        Self {
            load,
            windows: 0,
            commands: 0,
            since_us,
            idle_us,
        }
    }

    /// Whether another thread would find a processor to run on, as far as the system tells.
    fn has_idle_cores(&self, now_us: u64, idle_us: Option<u64>) -> bool {
        let (Some(before), Some(after)) = (self.idle_us, idle_us) else {
            return true;
        };
        let cores = after.saturating_sub(before) as f64 / now_us.abs_diff(self.since_us) as f64;
        cores >= IDLE_CORES
    }
}

fn per_s(count: u64, us: u64) -> f64 {
    count as f64 * 1e6 / us as f64
}

/// The gauges of this process.
pub(super) struct Process<'a> {
    now_us: u64,
    db: &'a Db,
}

impl<'a> Process<'a> {
    pub(super) fn new(now_us: u64, db: &'a Db) -> Self {
        Self { now_us, db }
    }
}

impl Gauges for Process<'_> {
    fn now_us(&self) -> u64 {
        self.now_us
    }

    fn cpu_us(&self) -> u64 {
        process::cpu_us()
    }

    fn commands(&self) -> u64 {
        self.db.engine().stats.totals_ever().commands
    }

    fn idle_us(&self) -> Option<u64> {
        process::machine_idle_us()
    }
}

#[cfg(test)]
mod tests;
