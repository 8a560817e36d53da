//! Eviction at the memory limit: the policies by their names, and the figures.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kvik_store::{AccessPolicy, EvictionOrder};

/// The treatment of a command that needs more memory than the limit allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum EvictionPolicy {
    /// The command is refused.
    #[default]
    NoEviction,
    /// The longest unused keys go.
    AllkeysLru,
    /// The longest unused go, of those that expire.
    VolatileLru,
    /// The least used keys go.
    AllkeysLfu,
    /// The least used go, of those that expire.
    VolatileLfu,
    /// The longest unchanged keys go.
    AllkeysLrm,
    /// The longest unchanged go, of those that expire.
    VolatileLrm,
    /// Any keys go.
    AllkeysRandom,
    /// Any go, of those that expire.
    VolatileRandom,
    /// The first to expire go.
    VolatileTtl,
    /// Keys go as S3-FIFO says.
    S3Fifo,
}

impl EvictionPolicy {
    /// All policies, with their names as the configuration spells them.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::VolatileLru, "volatile-lru"),
        (Self::VolatileLfu, "volatile-lfu"),
        (Self::VolatileRandom, "volatile-random"),
        (Self::VolatileTtl, "volatile-ttl"),
        (Self::AllkeysLru, "allkeys-lru"),
        (Self::AllkeysLfu, "allkeys-lfu"),
        (Self::AllkeysRandom, "allkeys-random"),
        (Self::NoEviction, "noeviction"),
        (Self::VolatileLrm, "volatile-lrm"),
        (Self::AllkeysLrm, "allkeys-lrm"),
        (Self::S3Fifo, "s3fifo"),
    ];

    /// The policy of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        found.map(|&(policy, _)| policy)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(policy, _)| *policy == self);
        found.map_or("noeviction", |&(_, name)| name)
    }

    pub(crate) fn of_number(number: u8) -> Self {
        let found = Self::ALL.iter().find(|(policy, _)| *policy as u8 == number);
        found.map_or(Self::NoEviction, |&(policy, _)| policy)
    }

    /// Which keys go first, if any go.
    #[must_use]
    pub fn order(self) -> Option<EvictionOrder> {
        match self {
            Self::NoEviction => None,
            Self::AllkeysLru | Self::VolatileLru | Self::AllkeysLrm | Self::VolatileLrm => {
                Some(EvictionOrder::Idle)
            }
            Self::AllkeysLfu | Self::VolatileLfu => Some(EvictionOrder::Frequency),
            Self::AllkeysRandom | Self::VolatileRandom => Some(EvictionOrder::Random),
            Self::VolatileTtl => Some(EvictionOrder::Ttl),
            Self::S3Fifo => Some(EvictionOrder::Queue),
        }
    }

    /// Whether only keys that expire go.
    #[must_use]
    pub fn is_volatile(self) -> bool {
        matches!(
            self,
            Self::VolatileLru
                | Self::VolatileLfu
                | Self::VolatileLrm
                | Self::VolatileRandom
                | Self::VolatileTtl
        )
    }

    /// The meaning of access clocks under it.
    pub(crate) fn access(self, log_factor: u32, decay_minutes: u32) -> AccessPolicy {
        match self {
            Self::AllkeysLfu | Self::VolatileLfu => AccessPolicy::Frequency {
                log_factor,
                decay_minutes,
            },
            Self::AllkeysLrm | Self::VolatileLrm => AccessPolicy::Modification,
            Self::S3Fifo => AccessPolicy::Queue,
            _ => AccessPolicy::Recency,
        }
    }
}

/// For how long more memory was used than is allowed.
#[derive(Debug, Default)]
pub struct Exceedance {
    /// When it began, in microseconds since the epoch; 0 while there is none.
    since_us: AtomicU64,
    total_us: AtomicU64,
}

impl Exceedance {
    /// Notes whether the limit is exceeded now.
    pub fn note(&self, exceeds: bool, now_us: u64) {
        let since_us = self.since_us.load(Relaxed);
        if exceeds == (since_us > 0) {
            return;
        }
        // Only one of several threads that see the change counts it.
        let next_us = if exceeds { now_us } else { 0 };
        let changed = self
            .since_us
            .compare_exchange(since_us, next_us, Relaxed, Relaxed);
        if changed.is_ok() && !exceeds {
            self.total_us
                .fetch_add(now_us.saturating_sub(since_us), Relaxed);
        }
    }

    /// Milliseconds since it began, 0 while there is none.
    pub fn current_ms(&self, now_us: u64) -> u64 {
        match self.since_us.load(Relaxed) {
            0 => 0,
            since_us => now_us.saturating_sub(since_us) / 1000,
        }
    }

    /// Milliseconds in all.
    pub fn total_ms(&self, now_us: u64) -> u64 {
        self.total_us.load(Relaxed) / 1000 + self.current_ms(now_us)
    }

    /// Counts from zero again.
    pub fn reset(&self) {
        self.total_us.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_their_policy() {
        for (policy, name) in EvictionPolicy::ALL {
            assert_eq!(EvictionPolicy::named(name), Some(policy));
            assert_eq!(policy.name(), name);
            assert_eq!(EvictionPolicy::of_number(policy as u8), policy);
            assert_eq!(policy.is_volatile(), name.starts_with("volatile"));
        }
        assert_eq!(EvictionPolicy::named("banana"), None);
    }

    #[test]
    fn an_exceedance_is_counted_from_its_beginning_to_its_end() {
        let figures = Exceedance::default();
        figures.note(true, 1000);
        figures.note(true, 3000);
        assert_eq!(figures.current_ms(5000), 4);
        figures.note(false, 9000);
        assert_eq!(
            (figures.current_ms(20_000), figures.total_ms(20_000)),
            (0, 8)
        );
    }
}
