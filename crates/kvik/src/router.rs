//! Where a key lives.

use kvik_store::{KeyHash, KeyspaceId, Layout};

/// The home of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    /// The keyspace of the key's database. There is one for each as long as there are no
    /// namespaces.
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
