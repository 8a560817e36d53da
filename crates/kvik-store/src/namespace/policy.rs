//! The policies by which namespaces make room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

/// The treatment of a write for which a namespace has no room.
///
/// [`Reading`](crate::Reading) says which commands read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum NamespacePolicy {
    /// As the policy of the whole store says.
    #[default]
    Inherited,
    /// The write is refused.
    Nothing,
    /// The keys that were read least go, since they were set.
    FewestHits,
    /// The keys that were read most go.
    MostHits,
    /// The write is refused; each key that was read is deleted soon after.
    AfterRead,
}

impl NamespacePolicy {
    const ALL: [Self; 5] = [
        Self::Inherited,
        Self::Nothing,
        Self::FewestHits,
        Self::MostHits,
        Self::AfterRead,
    ];

    pub(crate) fn of_number(number: u8) -> Self {
        let found = Self::ALL.get(usize::from(number));
        found.copied().unwrap_or_default()
    }

    fn notes_reads(self) -> bool {
        matches!(self, Self::FewestHits | Self::MostHits | Self::AfterRead)
    }
}

/// The policies of all namespaces by name.
#[derive(Debug, Default)]
pub(super) struct PolicyBook {
    named: RwLock<HashMap<Vec<u8>, NamespacePolicy>>,
    others: AtomicU8,
    /// There are policies for names.
    has_named: AtomicBool,
    notes_reads: AtomicBool,
    sweeps: AtomicBool,
}

impl PolicyBook {
    pub(super) fn replace(
        &self,
        named: HashMap<Vec<u8>, NamespacePolicy>,
        others: NamespacePolicy,
    ) {
        let all = || named.values().copied().chain([others]);
        let (notes_reads, has_named) = (all().any(NamespacePolicy::notes_reads), !named.is_empty());
        let sweeps = all().any(|policy| policy == NamespacePolicy::AfterRead);
        *self.named.write().unwrap_or_else(PoisonError::into_inner) = named;
        self.others.store(others as u8, Relaxed);
        self.has_named.store(has_named, Relaxed);
        self.notes_reads.store(notes_reads, Relaxed);
        // What was noted is still to be forgotten when nothing more is.
        self.sweeps.fetch_or(sweeps, Relaxed);
    }

    pub(super) fn of(&self, name: &[u8]) -> NamespacePolicy {
        let named = match self.has_named.load(Relaxed) {
            true => {
                let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
                named.get(name).copied()
            }
            false => None,
        };
        named.unwrap_or_else(|| NamespacePolicy::of_number(self.others.load(Relaxed)))
    }

    pub(super) fn notes_reads(&self) -> bool {
        self.notes_reads.load(Relaxed)
    }

    pub(super) fn sweeps(&self) -> bool {
        self.sweeps.load(Relaxed)
    }
}
