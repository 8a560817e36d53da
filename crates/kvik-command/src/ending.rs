//! How the wait of a blocked client ends.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use crate::error::Error;

/// The event that has ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ending {
    /// It has been served; its reply is in the client's mailbox, or on the way there.
    Served = 1,
    /// Its time was up, or CLIENT UNBLOCK says so.
    TimedOut,
    /// CLIENT UNBLOCK with `ERROR`.
    Unblocked,
    /// The store is a replica now.
    RoleChanged,
    /// Its connection has gone.
    Gone,
}

impl Ending {
    /// The error of a wait that has ended in this way, if that is one.
    pub fn error(self) -> Option<Error> {
        const UNBLOCKED: &str = "client unblocked via CLIENT UNBLOCK";
        const ROLE_CHANGED: &str =
            "force unblock from blocking operation, instance state changed (master -> replica?)";
        let text = match self {
            Self::Unblocked => UNBLOCKED,
            Self::RoleChanged => ROLE_CHANGED,
            Self::Served | Self::TimedOut | Self::Gone => return None,
        };
        Some(Error::Coded("UNBLOCKED", text.into()))
    }

    /// The ending of this number.
    pub(crate) fn of(state: u8) -> Option<Self> {
        [
            Self::Served,
            Self::TimedOut,
            Self::Unblocked,
            Self::RoleChanged,
            Self::Gone,
        ]
        .into_iter()
        .find(|ending| *ending as u8 == state)
    }
}

/// A wait that somebody may end.
pub trait Wait: Send + Sync {
    /// Ends the wait in this way, unless it has ended already; says whether this is what ended it.
    fn end(&self, ending: Ending) -> bool;

    /// How it has ended, if it has.
    fn ending(&self) -> Option<Ending>;
}

/// The end of a wait for anything but a key, which belongs to whoever comes first.
#[derive(Debug, Default)]
pub struct WaitEnd(AtomicU8);

impl Wait for WaitEnd {
    fn end(&self, ending: Ending) -> bool {
        let ended = self.0.compare_exchange(0, ending as u8, AcqRel, Acquire);
        ended.is_ok()
    }

    fn ending(&self) -> Option<Ending> {
        Ending::of(self.0.load(Acquire))
    }
}
