//! The part of a stripe that can be read without its lock, for those who look ahead.

use std::sync::Arc;

use crate::layout::{KeyHash, KeyspaceId, Layout};
use crate::raw::prefetch::{Lookup, SharedTables};

/// Fetches what lookups in one stripe will need, without its lock. Made by
/// [`Stripe::view`](crate::Stripe::view) and valid however long it is kept.
#[derive(Clone)]
pub struct StripeView(Arc<SharedTables>);

impl StripeView {
    pub(super) fn new(shared: &Arc<SharedTables>) -> Self {
        Self(Arc::clone(shared))
    }

    /// First step: fetches the bucket of the key with this hash, and the next one, where the key
    /// may be as well.
    #[inline]
    pub fn prefetch_bucket(
        &self,
        layout: &Layout,
        keyspace: KeyspaceId,
        hash: KeyHash,
    ) -> Option<Lookup<'_>> {
        let position = layout.position_of(hash);
        self.0.prefetch_bucket(keyspace.0 as usize, position)
    }
}

impl std::fmt::Debug for StripeView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StripeView").finish_non_exhaustive()
    }
}
