//! Which keys a client is told of, as its session and its list entry know it.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Which of a client's reads are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrackingMode {
    /// None: it does not cache.
    #[default]
    Off,
    /// All.
    All,
    /// Those that CLIENT CACHING YES comes before.
    OptIn,
    /// All but those that CLIENT CACHING NO comes before.
    OptOut,
    /// None, but it is told of all keys with its prefixes.
    Broadcast,
}

impl TrackingMode {
    /// Whether reads may have to be tracked.
    #[inline]
    pub fn is_by_key(self) -> bool {
        matches!(self, Self::All | Self::OptIn | Self::OptOut)
    }
}

/// The caching of one session.
#[derive(Debug, Default)]
pub struct SessionTracking {
    /// Which of its reads are tracked.
    pub mode: TrackingMode,
    /// CLIENT CACHING was said about the next command.
    pub is_chosen: bool,
    /// The prefixes of broadcasting mode, in the order of their bytes.
    pub prefixes: Vec<Box<[u8]>>,
}

impl SessionTracking {
    /// Whether what the command at work reads is to be tracked.
    pub fn tracks_reads(&self) -> bool {
        match self.mode {
            TrackingMode::Off | TrackingMode::Broadcast => false,
            TrackingMode::All => true,
            TrackingMode::OptIn => self.is_chosen,
            TrackingMode::OptOut => !self.is_chosen,
        }
    }
}

/// The caching of one client as others see it.
#[derive(Debug, Default)]
pub struct ClientTracking {
    pub(super) flags: AtomicU8,
    pub(super) redirect: AtomicU64,
    /// Bytes of its prefixes.
    pub(crate) prefix_bytes: AtomicUsize,
}

/// Bytes that a prefix takes beside its text.
pub(super) const PREFIX_BYTES: usize = 64;

pub(super) const ON: u8 = 1;
pub(super) const BROADCAST: u8 = 2;
pub(super) const NOLOOP: u8 = 4;
pub(super) const BROKEN: u8 = 8;

impl ClientTracking {
    fn has(&self, flag: u8) -> bool {
        self.flags.load(Relaxed) & flag != 0
    }

    /// Whether it caches.
    pub fn is_on(&self) -> bool {
        self.has(ON)
    }

    /// Whether it is told of keys by their prefixes.
    pub fn is_broadcast(&self) -> bool {
        self.has(BROADCAST)
    }

    /// Whether it is not told of its own changes.
    pub fn is_without_loop(&self) -> bool {
        self.has(NOLOOP)
    }

    /// Whether the client that was to be told in its place was found to be gone.
    pub fn is_broken(&self) -> bool {
        self.has(BROKEN)
    }

    /// The number of the client that is told in its place, 0 if none.
    pub fn redirect(&self) -> u64 {
        self.redirect.load(Relaxed)
    }
}
