//! The access clock of an entry: when it was last used, or how often.
//!
//! 32 bits with several readings. Under an LRU or LRM policy they are seconds; under an LFU
//! policy the upper 24 bits are the minute of the last decay and the lower 8 a logarithmic counter
//! (Morris 1978) that starts at [`FREQUENCY_START`] so that a new key survives its first moments,
//! as in Redis; under the others they are a number of uses.

use crate::UnixMs;
use crate::namespace::NamespacePolicy;

/// Uses that [`AccessPolicy::Queue`] tells apart.
const MOST_USES: u32 = 3;

/// The clock of a key that was read, under [`AccessPolicy::Read`]. No other policy sets it.
pub(crate) const READ: u32 = u32::MAX;

/// Hits that are counted; what is more was set by another policy.
const MOST_HITS: u32 = 1 << 30;

/// The logarithmic access counter of a new key.
pub const FREQUENCY_START: u8 = 5;

/// The meaning of the access clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessPolicy {
    /// The time of the last access.
    Recency,
    /// The time of the last change.
    Modification,
    /// How often the key was used since it came or was passed over, up to three times.
    Queue,
    /// How often the key was read since it was set.
    Hits,
    /// Whether the key was read since it was set.
    Read,
    /// A logarithmic count of accesses that decays.
    Frequency {
        /// How many accesses it takes to count on; 10 reaches 255 after about a million.
        log_factor: u32,
        /// Minutes without access that take one off the counter; 0 means never.
        decay_minutes: u32,
    },
}

/// How a command uses the values of the keys it reads, for who counts reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// Nothing that counts.
    #[default]
    Nothing,
    /// It returns a part of them.
    Part,
    /// It returns a string as a whole: a hit.
    Whole,
}

/// How a key was used before it came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It is as good as new.
    New,
    /// Not for these seconds.
    Idle(u64),
    /// So often that its logarithmic counter stands here.
    Frequency(u8),
}

impl AccessPolicy {
    /// The policy in a namespace, where the whole store has `base`.
    pub(crate) fn within(policy: NamespacePolicy, base: Self) -> Self {
        match policy {
            NamespacePolicy::Inherited | NamespacePolicy::Nothing => base,
            NamespacePolicy::FewestHits | NamespacePolicy::MostHits => Self::Hits,
            NamespacePolicy::AfterRead => Self::Read,
        }
    }

    /// The clock of an entry made at `now`.
    pub(crate) fn start(self, now: UnixMs) -> u32 {
        match self {
            Self::Recency | Self::Modification => seconds(now),
            Self::Queue | Self::Hits | Self::Read => 0,
            Self::Frequency { .. } => pack(minutes(now), FREQUENCY_START),
        }
    }

    /// Whether setting a key to another value makes its clock that of a new one.
    #[inline]
    pub(crate) fn begins_when_set(self) -> bool {
        matches!(
            self,
            Self::Recency | Self::Modification | Self::Hits | Self::Read
        )
    }

    /// The clock of an entry made at `now` of a key that was used this way; what the policy does
    /// not record does not matter.
    pub(crate) fn start_with(self, usage: Usage, now: UnixMs) -> u32 {
        match (self, usage) {
            (Self::Recency | Self::Modification, Usage::Idle(idle)) => {
                seconds(now.saturating_sub(idle.saturating_mul(1000)))
            }
            (Self::Frequency { .. }, Usage::Frequency(counter)) => pack(minutes(now), counter),
            (Self::Hits, Usage::Frequency(hits)) => u32::from(hits),
            _ => self.start(now),
        }
    }

    /// The clock after an access at `now`; `random` decides whether the counter moves.
    #[inline]
    pub(crate) fn touch(self, clock: u32, now: UnixMs, random: u64) -> u32 {
        match self {
            Self::Recency => seconds(now),
            // Reads are counted where they are told from other uses.
            Self::Modification | Self::Hits | Self::Read => clock,
            Self::Queue => clock.saturating_add(1).min(MOST_USES),
            Self::Frequency { log_factor, .. } => pack(
                minutes(now),
                count(self.frequency(clock, now), log_factor, random),
            ),
        }
    }

    /// The clock after a read of this kind, where reads are what counts.
    pub(crate) fn read(self, clock: u32, reading: Reading) -> u32 {
        match (self, reading) {
            (Self::Hits, Reading::Whole) => (hits(clock) + 1).min(MOST_HITS - 1),
            (Self::Read, Reading::Part | Reading::Whole) => READ,
            _ => clock,
        }
    }

    /// Whether it records reads.
    pub(crate) fn is_of_reads(self) -> bool {
        matches!(self, Self::Hits | Self::Read)
    }

    /// Seconds since the last access. A clock ahead of the time was set under an LFU policy and
    /// says nothing of it: its key counts as used just now.
    pub(crate) fn idle_seconds(clock: u32, now: UnixMs) -> u64 {
        u64::from(seconds(now).saturating_sub(clock))
    }

    /// The counter as it stands after decay.
    pub(crate) fn frequency(self, clock: u32, now: UnixMs) -> u8 {
        let counter = match self {
            Self::Queue => clock.min(255) as u8,
            Self::Hits => hits(clock).min(255) as u8,
            Self::Read => u8::from(clock == READ),
            _ => clock as u8,
        };
        let Self::Frequency { decay_minutes, .. } = self else {
            return counter;
        };
        let elapsed = minutes(now).wrapping_sub(clock >> 8) & 0xFF_FFFF;
        let decay = elapsed.checked_div(decay_minutes).unwrap_or(0);
        counter.saturating_sub(decay.min(255) as u8)
    }
}

/// The reads that a clock of [`AccessPolicy::Hits`] counts.
pub(crate) fn hits(clock: u32) -> u32 {
    if clock < MOST_HITS { clock } else { 0 }
}

fn count(counter: u8, log_factor: u32, random: u64) -> u8 {
    if counter == u8::MAX {
        return counter;
    }
    let above = u64::from(counter.saturating_sub(FREQUENCY_START));
    let odds = above * u64::from(log_factor) + 1;
    counter + u8::from(random.is_multiple_of(odds))
}

fn seconds(now: UnixMs) -> u32 {
    (now / 1000) as u32
}

fn minutes(now: UnixMs) -> u32 {
    (now / 60_000) as u32 & 0xFF_FFFF
}

fn pack(minutes: u32, counter: u8) -> u32 {
    minutes << 8 | u32::from(counter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LFU: AccessPolicy = AccessPolicy::Frequency {
        log_factor: 10,
        decay_minutes: 1,
    };

    #[test]
    fn idle_time_counts_from_the_last_touch() {
        let clock = AccessPolicy::Recency.touch(0, 10_000, 0);
        assert_eq!(AccessPolicy::idle_seconds(clock, 17_999), 7);
    }

    #[test]
    fn a_clock_of_another_policy_is_no_idle_time() {
        let now = 1_800_000_000_000;
        assert_eq!(AccessPolicy::idle_seconds(LFU.start(now), now), 0);
    }

    #[test]
    fn a_key_from_elsewhere_keeps_what_the_policy_records() {
        let clock = AccessPolicy::Recency.start_with(Usage::Idle(7), 10_000);
        assert_eq!(AccessPolicy::idle_seconds(clock, 10_000), 7);
        let clock = AccessPolicy::Recency.start_with(Usage::Idle(u64::MAX), 10_000);
        assert_eq!(AccessPolicy::idle_seconds(clock, 10_000), 10);
        assert_eq!(
            LFU.frequency(LFU.start_with(Usage::Frequency(200), 0), 0),
            200
        );
        assert_eq!(LFU.start_with(Usage::Idle(7), 0), LFU.start(0));
    }

    #[test]
    fn the_counter_rises_by_chance_and_decays_by_the_minute() {
        let clock = LFU.start(0);
        assert_eq!(LFU.frequency(clock, 0), FREQUENCY_START);
        let clock = LFU.touch(clock, 0, 0);
        assert_eq!(LFU.frequency(clock, 0), FREQUENCY_START + 1);
        let unlucky = LFU.touch(clock, 0, 1);
        assert_eq!(LFU.frequency(unlucky, 0), FREQUENCY_START + 1);
        assert_eq!(LFU.frequency(clock, 3 * 60_000), FREQUENCY_START - 2);
    }
}
