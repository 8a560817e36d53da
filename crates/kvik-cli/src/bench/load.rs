//! Running a load: a thread for each connection, and the clock.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use anyhow::bail;
use kvik_command::histogram::{Histogram, Recorder};

use super::lane::Lane;
use super::work::Work;

/// Keys that are written together before a load of reads.
const FILL: u64 = 256;
/// Between two looks at the progress.
const LOOK: Duration = Duration::from_millis(500);

/// How a load is made up.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) connections: u64,
    /// Commands that a connection sends together.
    pub(super) pipeline: u64,
    pub(super) value_bytes: usize,
    /// Different keys.
    pub(super) keys: u64,
    pub(super) time: Duration,
    /// Commands that are due each second; without it each batch follows the last one.
    pub(super) rate: Option<f64>,
}

/// The measurements of a load.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) commands: u64,
    pub(super) errors: u64,
    /// One of the errors.
    pub(super) error: String,
    pub(super) elapsed: Duration,
    /// Times of batches.
    pub(super) times: Histogram,
    pub(super) longest: Duration,
}

/// The state that the threads of a load share.
struct Course {
    begin: Barrier,
    is_over: AtomicBool,
    /// Commands so far, for the progress.
    commands: AtomicU64,
    sum: Mutex<Measured>,
}

impl Load {
    /// Writes all keys.
    pub(super) fn fill(&self, lane: &mut dyn Lane) -> anyhow::Result<()> {
        let value = self.value();
        for first in (0..self.keys).step_by(FILL as usize) {
            let keys: Vec<_> = (first..self.keys.min(first + FILL)).map(name).collect();
            lane.exchange(Work::Set, &keys, &value)?;
        }
        Ok(())
    }

    /// Runs it. All connections are there before the time begins.
    pub(super) fn run(
        &self,
        work: Work,
        open: impl Fn(u64) -> anyhow::Result<Box<dyn Lane>>,
        server: &str,
    ) -> anyhow::Result<Measured> {
        let lanes: Vec<_> = (0..self.connections)
            .map(open)
            .collect::<anyhow::Result<_>>()?;
        let course = Course {
            begin: Barrier::new(lanes.len() + 1),
            is_over: AtomicBool::new(false),
            commands: AtomicU64::new(0),
            sum: Mutex::default(),
        };
        let finished: anyhow::Result<Duration> = std::thread::scope(|scope| {
            let threads: Vec<_> = lanes
                .into_iter()
                .zip(0..)
                .map(|(lane, number)| {
                    let course = &course;
                    scope.spawn(move || self.drive(work, lane, number, course))
                })
                .collect();
            course.begin.wait();
            let begun = now();
            while begun.elapsed() < self.time && threads.iter().any(|it| !it.is_finished()) {
                pause(LOOK.min(self.time.saturating_sub(begun.elapsed())));
                self.show(work, server, course.commands.load(Ordering::Relaxed), begun);
            }
            course.is_over.store(true, Ordering::Relaxed);
            let ends = threads.into_iter().map(|thread| thread.join());
            for end in ends {
                end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(begun.elapsed())
        });
        let mut sum = course.sum.into_inner().unwrap_or_default();
        sum.elapsed = finished?;
        clear_line();
        sound(sum)
    }

    /// One connection, until the time is over.
    fn drive(
        &self,
        work: Work,
        mut lane: Box<dyn Lane>,
        number: u64,
        course: &Course,
    ) -> anyhow::Result<()> {
        let (times, mut own) = (Recorder::default(), Measured::default());
        let value = self.value();
        // A xorshift generator: cheap, and another sequence for each connection.
        let mut state = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut keys = Vec::new();
        course.begin.wait();
        let mut schedule = Schedule::new(self, number);
        while !course.is_over.load(Ordering::Relaxed) {
            keys.clear();
            keys.extend((0..self.pipeline).map(|_| self.choose(&mut state, &*lane)));
            let since = schedule.wait();
            let exchange = lane.exchange(work, &keys, &value)?;
            let time = since.elapsed();
            times.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), 1);
            own.longest = own.longest.max(time);
            own.commands += self.pipeline;
            own.errors += exchange.errors;
            if let Some(error) = exchange.error {
                own.error = error;
            }
            course.commands.fetch_add(self.pipeline, Ordering::Relaxed);
        }
        let Ok(mut sum) = course.sum.lock() else {
            return Ok(());
        };
        sum.times.add(&times);
        sum.commands += own.commands;
        sum.errors += own.errors;
        sum.longest = sum.longest.max(own.longest);
        if !own.error.is_empty() {
            sum.error = own.error;
        }
        Ok(())
    }

    /// A key that the connection serves, or any where it hardly serves one.
    fn choose(&self, state: &mut u64, lane: &dyn Lane) -> String {
        const DRAWS: u32 = 1000;
        let mut draw = || {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            name(*state % self.keys)
        };
        let mut key = draw();
        for _ in 0..DRAWS {
            if lane.serves(&key) {
                break;
            }
            key = draw();
        }
        key
    }

    fn value(&self) -> String {
        "x".repeat(self.value_bytes.max(1))
    }

    /// A line that says what the figures are of.
    pub(super) fn describe(&self) -> String {
        let pace = match self.rate {
            Some(rate) => {
                format!("{rate} commands due each second; time counts from when they are due")
            }
            None => "each batch follows the last one".to_owned(),
        };
        format!(
            "{} connections, {} commands together, {} keys `bench:N`, values of {} bytes; {pace}",
            self.connections, self.pipeline, self.keys, self.value_bytes
        )
    }

    fn show(&self, work: Work, server: &str, commands: u64, begun: Instant) {
        let mut terminal = io::stderr();
        if terminal.is_terminal() {
            let elapsed_s = begun.elapsed().as_secs_f64();
            let rate = commands as f64 / elapsed_s.max(0.001);
            let left_s = (self.time.as_secs_f64() - elapsed_s).max(0.0);
            // A terminal that has gone shows nothing.
            let _ = write!(
                terminal,
                "\r{server} {}: {rate:.0}/s, {left_s:.0} s left\x1b[K",
                work.name()
            );
        }
    }
}

/// When a connection's batches are due.
struct Schedule {
    due: Instant,
    /// None: as soon as the last one is over.
    every: Option<Duration>,
}

impl Schedule {
    /// Batches of all connections are due one after the other.
    fn new(load: &Load, number: u64) -> Self {
        let step_s = |rate: f64| load.pipeline as f64 / rate;
        let every = load.rate.map(|rate| {
            let seconds = step_s(rate) * load.connections as f64;
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
        });
        let first_s = load.rate.map_or(0.0, |rate| step_s(rate) * number as f64);
        let first = Duration::try_from_secs_f64(first_s).unwrap_or_default();
        Self {
            due: now() + first,
            every,
        }
    }

    /// Waits for the next batch; the time from which it counts. One that is late because the last
    /// one took so long counts from when it was due. One that is not counts from when the system
    /// has woken this thread, which is no fault of the server.
    fn wait(&mut self) -> Instant {
        let Some(every) = self.every else {
            return now();
        };
        let due = self.due;
        self.due += every;
        let left = due.saturating_duration_since(now());
        if left.is_zero() {
            return due;
        }
        pause(left);
        now()
    }
}

/// Fails if nothing was measured, as when every command is refused.
fn sound(measured: Measured) -> anyhow::Result<Measured> {
    if measured.commands == measured.errors {
        bail!("every command fails: {}", measured.error);
    }
    Ok(measured)
}

fn name(number: u64) -> String {
    format!("bench:{number}")
}

fn clear_line() {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a batch waits until it is due")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::super::lane::Exchange;
    use super::*;

    fn load(rate: Option<f64>) -> Load {
        Load {
            connections: 4,
            pipeline: 2,
            value_bytes: 8,
            keys: 600,
            time: Duration::from_millis(30),
            rate,
        }
    }

    /// Stalls at its first batch.
    struct Stalling(bool);

    impl Lane for Stalling {
        fn exchange(&mut self, _: Work, keys: &[String], _: &str) -> anyhow::Result<Exchange> {
            if !std::mem::replace(&mut self.0, true) {
                pause(Duration::from_millis(25));
            }
            let errors = keys.iter().filter(|key| key.ends_with('7')).count();
            Ok(Exchange {
                errors: errors as u64,
                error: None,
            })
        }
    }

    #[test]
    fn what_is_late_counts_from_when_it_was_due() {
        let load = load(Some(8000.0));
        let measured = load
            .run(Work::Set, |_| Ok(Box::new(Stalling(false))), "here")
            .unwrap();
        // A batch a millisecond of each connection; those due in the stall have waited as well.
        assert!(measured.longest >= Duration::from_millis(25));
        let halved_us = measured.times.percentile_us(50.0);
        assert!(halved_us >= 1000.0, "{halved_us}");
        assert!(measured.errors > 0 && measured.errors < measured.commands);
    }

    #[test]
    fn batches_of_all_connections_are_spread_evenly() {
        let load = load(Some(1000.0));
        let base = now();
        let third = Schedule::new(&load, 3);
        assert_eq!(third.every, Some(Duration::from_millis(8)));
        assert!(third.due >= base + Duration::from_millis(6));
    }

    #[test]
    fn a_fill_writes_each_key_once() {
        struct Written(Vec<String>);
        impl Lane for Written {
            fn exchange(&mut self, _: Work, keys: &[String], _: &str) -> anyhow::Result<Exchange> {
                self.0.extend_from_slice(keys);
                Ok(Exchange::default())
            }
        }
        let mut written = Written(Vec::new());
        load(None).fill(&mut written).unwrap();
        written.0.sort();
        written.0.dedup();
        assert_eq!(written.0.len(), 600);
    }
}
