//! A stripe: its part of every keyspace, and who watches keys in it.

use crate::UnixMs;
use crate::keyspace::{Keyspace, KeyspaceId};
use crate::watch::Watches;

/// One stripe of the store. Opaque: all access is through a [`crate::Guard`].
#[derive(Debug, Default)]
pub struct Stripe {
    keyspaces: Vec<Keyspace>,
    pub(crate) watches: Watches,
    next_due: Due,
}

/// When a stripe's first key expires, at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due(pub UnixMs);

impl Due {
    /// No key of the stripe expires.
    pub const NEVER: Self = Self(UnixMs::MAX);
}

impl Default for Due {
    fn default() -> Self {
        Self::NEVER
    }
}

impl Stripe {
    /// An empty stripe.
    pub fn new() -> Self {
        Self::default()
    }

    /// A time before which no key of this stripe expires. It may be early, never late.
    pub fn next_due(&self) -> Due {
        self.next_due
    }

    /// Bytes that the stripe's keys and tables occupy.
    pub fn bytes(&self) -> usize {
        self.keyspaces.iter().map(Keyspace::bytes).sum()
    }

    pub(crate) fn keyspace(&self, id: KeyspaceId) -> Option<&Keyspace> {
        self.keyspaces.get(id.0 as usize)
    }

    pub(crate) fn keyspace_mut(&mut self, id: KeyspaceId) -> &mut Keyspace {
        let index = id.0 as usize;
        if index >= self.keyspaces.len() {
            self.keyspaces.resize_with(index + 1, Keyspace::default);
        }
        &mut self.keyspaces[index]
    }

    pub(crate) fn keyspaces(&self) -> impl Iterator<Item = (KeyspaceId, &Keyspace)> {
        (0..).map(KeyspaceId).zip(&self.keyspaces)
    }

    pub(crate) fn keyspace_count(&self) -> usize {
        self.keyspaces.len()
    }

    /// Notes that some key now expires at `at`.
    pub(crate) fn lower_due(&mut self, at: UnixMs) {
        self.next_due = self.next_due.min(Due(at));
    }

    /// Looks up the first deadline anew.
    pub(crate) fn refresh_due(&mut self) {
        let first = self
            .keyspaces
            .iter()
            .filter_map(Keyspace::first_due)
            .map(|(at, _)| Due(at))
            .min();
        self.next_due = first.unwrap_or_default();
    }
}
