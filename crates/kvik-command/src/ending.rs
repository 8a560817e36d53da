//! How the wait of a blocked client ends.

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
}
