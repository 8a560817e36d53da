//! Where a key lives.

use kvik_store::{KeyHash, KeyspaceId, Layout};

/// The database that typed methods work on.
pub(crate) const DATABASE: KeyspaceId = KeyspaceId(0);

/// The home of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    /// The key's database. Which of its tables holds the key, its namespace says.
    pub(crate) keyspace: KeyspaceId,
    pub(crate) hash: KeyHash,
    pub(crate) stripe: usize,
}

/// Leads from a database and a key, as a client names it, to the key's home. Every path from a name
/// to a stripe goes through here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Router<'a> {
    layout: &'a Layout,
}

impl<'a> Router<'a> {
    #[inline]
    pub(crate) fn new(layout: &'a Layout) -> Self {
        Self { layout }
    }

    #[inline]
    pub(crate) fn place(self, database: u32, key: &[u8]) -> Home {
        let hash = self.layout.hash(key);
        Home {
            keyspace: KeyspaceId(database),
            hash,
            stripe: self.layout.stripe_of(hash),
        }
    }
}
