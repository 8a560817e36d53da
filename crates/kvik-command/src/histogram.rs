//! How long calls took: a log-linear histogram, as HdrHistogram (Tene 2012) draws its buckets.
//!
//! Each power of two of nanoseconds is cut into eight equal parts, so a value is known to 12.5 %.
//! Recording is an addition to one counter of one thread.

use crate::stats::Counter;

/// Parts of each power of two, and the bits that number them.
const PART_BITS: u32 = 3;
const PARTS: u64 = 1 << PART_BITS;
/// Values of 2^40 ns (18 minutes) and more share the last bucket.
const MAX_BITS: u32 = 40;
const BUCKETS: usize = ((MAX_BITS - PART_BITS + 1) as usize) << PART_BITS;

/// The histogram of one command on one thread.
#[derive(Debug)]
pub struct Recorder(Box<[Counter; BUCKETS]>);

/// Histograms added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram(Vec<u64>);

impl Default for Recorder {
    fn default() -> Self {
        Self(Box::new([const { Counter::new() }; BUCKETS]))
    }
}

impl Recorder {
    /// Counts calls that took so long each. Only the owning thread may.
    #[inline]
    pub fn record(&self, nanos: u64, calls: u64) {
        self.0[bucket(nanos)].add(calls);
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self(vec![0; BUCKETS])
    }
}

impl Histogram {
    /// Adds a thread's counts.
    pub fn add(&mut self, recorder: &Recorder) {
        self.0
            .iter_mut()
            .zip(recorder.0.iter())
            .for_each(|(sum, counter)| *sum += counter.get());
    }

    /// Takes away what was counted before.
    pub fn subtract(&mut self, before: &Self) {
        self.0
            .iter_mut()
            .zip(&before.0)
            .for_each(|(sum, before)| *sum = sum.saturating_sub(*before));
    }

    /// Calls counted.
    pub fn calls(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The time that `percent` of the calls did not exceed, in microseconds; 0 without calls.
    pub fn percentile_us(&self, percent: f64) -> f64 {
        let rank = (self.calls() as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reached = self.0.iter().position(|calls| {
            seen += calls;
            seen >= rank
        });
        reached.map_or(0.0, |bucket| upper_bound(bucket) as f64 / 1000.0)
    }

    /// For each power of two of microseconds that adds something: how many calls took at most so
    /// long.
    pub fn cumulative_us(&self) -> Vec<(u64, u64)> {
        let mut steps: Vec<(u64, u64)> = Vec::new();
        let mut seen = 0;
        for (bucket, &calls) in self.0.iter().enumerate().filter(|(_, calls)| **calls > 0) {
            seen += calls;
            let at_most_us = upper_bound(bucket).div_ceil(1000).next_power_of_two();
            match steps.last_mut().filter(|step| step.0 == at_most_us) {
                Some(step) => step.1 = seen,
                None => steps.push((at_most_us, seen)),
            }
        }
        steps
    }
}

/// The bucket of a value: its power of two, and the bits that follow the leading one.
fn bucket(nanos: u64) -> usize {
    let nanos = nanos.min((1 << MAX_BITS) - 1);
    let power = nanos.checked_ilog2().unwrap_or(0);
    if power < PART_BITS {
        return nanos as usize;
    }
    let part = (nanos >> (power - PART_BITS)) & (PARTS - 1);
    (((power - PART_BITS + 1) as usize) << PART_BITS) + part as usize
}

/// The largest value of a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let (power, part) = ((bucket >> PART_BITS) as u32, bucket as u64 & (PARTS - 1));
    if power == 0 {
        return part;
    }
    let width = 1 << (power - 1);
    (PARTS + part + 1) * width - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_is_known_to_an_eighth(nanos in 0u64..1 << MAX_BITS) {
            let bound = upper_bound(bucket(nanos));
            prop_assert!(bound >= nanos);
            prop_assert!(bound - nanos <= nanos / PARTS);
            prop_assert_eq!(bucket(bound), bucket(nanos));
        }
    }

    #[test]
    fn the_longest_values_share_the_last_bucket() {
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_and_steps_follow_the_counts() {
        let recorder = Recorder::default();
        recorder.record(900, 99);
        recorder.record(5_000_000, 1);
        let mut histogram = Histogram::default();
        histogram.add(&recorder);
        assert_eq!(histogram.calls(), 100);
        assert!(histogram.percentile_us(50.0) < 1.1);
        assert!(histogram.percentile_us(99.9) >= 5000.0);
        assert_eq!(histogram.cumulative_us(), [(1, 99), (8192, 100)]);
        assert_eq!(Histogram::default().percentile_us(50.0), 0.0);
    }
}
