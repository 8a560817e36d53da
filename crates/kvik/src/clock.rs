//! The one place that reads a clock; everything below is told the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::target;

/// Where a store gets its time from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clocks; the default where the standard library can read them.
    System,
    /// Microseconds since the epoch, moved by hand: for tests and simulation, and the default where
    /// the machine's clocks cannot be read.
    Manual(Arc<AtomicU64>),
    /// Microseconds since the epoch, as this function tells them whenever the store wants to know:
    /// for programs that the standard library has no clock for.
    Host(fn() -> u64),
}

impl Default for Clock {
    fn default() -> Self {
        match target::HAS_CLOCK {
            true => Self::System,
            false => Self::Manual(Arc::default()),
        }
    }
}

impl Clock {
    #[inline]
    pub(crate) fn is_system(&self) -> bool {
        matches!(self, Self::System)
    }

    /// Microseconds since the Unix epoch.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now_us(&self) -> u64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |age| age.as_micros() as u64),
            Self::Manual(now) => now.load(Ordering::Acquire),
            Self::Host(now_us) => now_us(),
        }
    }

    /// Milliseconds of a clock that never goes back and that nobody sets: for the ends of waits.
    #[inline]
    pub(crate) fn steady_ms(&self) -> u64 {
        self.instant().nanos_since(self.origin()) / 1_000_000
    }

    /// The beginning of steady time.
    fn origin(&self) -> Tick {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        match self {
            Self::System => Tick::System(*ORIGIN.get_or_init(system_instant)),
            Self::Manual(_) | Self::Host(_) => Tick::Told(0),
        }
    }

    /// A time that never goes back, for measuring durations.
    pub(crate) fn instant(&self) -> Tick {
        match self {
            Self::System => Tick::System(system_instant()),
            Self::Manual(_) | Self::Host(_) => Tick::Told(self.now_us()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn system_instant() -> Instant {
    Instant::now()
}

/// A point in time that never goes back, unless the program's clock does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tick {
    System(Instant),
    Told(u64),
}

impl Tick {
    /// Nanoseconds from `earlier` to this one.
    #[inline]
    pub(crate) fn nanos_since(self, earlier: Self) -> u64 {
        match (self, earlier) {
            (Self::System(now), Self::System(then)) => now.duration_since(then).as_nanos() as u64,
            (Self::Told(now), Self::Told(then)) => now.saturating_sub(then) * 1000,
            _ => 0,
        }
    }
}

/// The time as a thread that runs commands keeps it: one reading ends a command and begins the
/// next.
#[derive(Debug)]
pub(crate) struct BatchClock {
    clock: Clock,
    /// Microseconds since the epoch at the latest look at the wall clock, and nanoseconds measured
    /// since.
    wall_us: u64,
    since_ns: u64,
    /// The time that follows from them.
    now_us: u64,
    last: Tick,
}

/// For how long measured durations move the time on before the wall clock, which may be set, is
/// looked at again.
const WALL_NS: u64 = 10_000_000;

impl BatchClock {
    pub(crate) fn new(clock: Clock) -> Self {
        let wall_us = clock.now_us();
        Self {
            wall_us,
            since_ns: 0,
            now_us: wall_us,
            last: clock.instant(),
            clock,
        }
    }

    /// Begins a batch: time passed that no command has taken.
    #[inline]
    pub(crate) fn refresh(&mut self) {
        self.lap();
        if self.since_ns >= WALL_NS {
            self.wall_us = self.clock.now_us();
            self.since_ns = 0;
            self.now_us = self.wall_us;
        }
    }

    /// When the latest lap began.
    #[inline]
    pub(crate) fn latest(&self) -> Tick {
        self.last
    }

    /// Steady time in milliseconds, as of the latest lap.
    #[inline]
    pub(crate) fn steady_ms(&self) -> u64 {
        self.last.nanos_since(self.clock.origin()) / 1_000_000
    }

    /// Microseconds since the epoch, as of the latest lap.
    #[inline]
    pub(crate) fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Nanoseconds since the latest lap, which ends here.
    #[inline]
    pub(crate) fn lap(&mut self) -> u64 {
        let now = self.clock.instant();
        let nanos = now.nanos_since(self.last);
        self.last = now;
        self.since_ns += nanos;
        self.now_us = self.wall_us + self.since_ns / 1000;
        nanos
    }
}
