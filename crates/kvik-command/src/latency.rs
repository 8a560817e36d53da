//! The latency monitor: when which kind of event took long.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use parking_lot::Mutex;

/// Samples kept per event.
const MAX_SAMPLES: usize = 160;

/// One slow event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When, in seconds since the epoch.
    pub at_s: u64,
    /// How long, in milliseconds.
    pub took_ms: u64,
}

/// The slow events of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The newest samples, oldest first; at most one per second.
    pub samples: VecDeque<Sample>,
    /// The worst ever, in milliseconds.
    pub max_ms: u64,
}

/// The latest and longest slow events, by their names.
#[derive(Debug, Default)]
pub struct LatencyMonitor(Mutex<BTreeMap<&'static str, Event>>);

impl LatencyMonitor {
    /// Records that `event` took so long. Within one second the worst sample counts.
    pub fn record(&self, event: &'static str, sample: Sample) {
        let mut events = self.0.lock();
        let event = events.entry(event).or_default();
        event.max_ms = event.max_ms.max(sample.took_ms);
        match event
            .samples
            .back_mut()
            .filter(|last| last.at_s == sample.at_s)
        {
            Some(last) => last.took_ms = last.took_ms.max(sample.took_ms),
            None => event.samples.push_back(sample),
        }
        if event.samples.len() > MAX_SAMPLES {
            event.samples.pop_front();
        }
    }

    /// A copy of all events.
    pub fn events(&self) -> BTreeMap<&'static str, Event> {
        self.0.lock().clone()
    }

    /// Forgets the events that `which` accepts and returns how many there were.
    pub fn reset(&self, which: impl Fn(&str) -> bool) -> usize {
        let mut events = self.0.lock();
        let before = events.len();
        events.retain(|name, _| !which(name));
        before - events.len()
    }
}
