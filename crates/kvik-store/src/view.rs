//! A key and its value as a reader sees them.

use crate::UnixMs;
use crate::clock::{AccessPolicy, hits};
use crate::heap::HeapEntry;
use crate::kind::{Encoding, Kind, WrongKind};
use crate::layout::Layout;
use crate::state::GuardState;
use crate::text::TextRef;
use crate::value::ValueRef;

/// A key and its value as a reader sees them.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    entry: HeapEntry<'a>,
    layout: &'a Layout,
    now: UnixMs,
    hidden_until: UnixMs,
    access: AccessPolicy,
}

impl<'a> View<'a> {
    pub(crate) fn new(entry: HeapEntry<'a>, layout: &'a Layout, state: &GuardState) -> Self {
        Self {
            entry,
            layout,
            now: state.now,
            hidden_until: state.hidden_until(),
            access: state.access,
        }
    }

    /// An entry of which nothing is hidden, at another time than that of a guard.
    pub(crate) fn at(
        entry: HeapEntry<'a>,
        layout: &'a Layout,
        now: UnixMs,
        access: AccessPolicy,
    ) -> Self {
        Self {
            entry,
            layout,
            now,
            hidden_until: 0,
            access,
        }
    }

    /// The key.
    pub fn key(&self) -> &'a [u8] {
        self.entry.key()
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> ValueRef<'a> {
        self.entry.value(self.layout, self.hidden_until)
    }

    /// The value, if it is a string.
    ///
    /// # Errors
    /// If it is something else.
    #[inline]
    pub fn string(&self) -> Result<TextRef<'a>, WrongKind> {
        self.entry.string().ok_or(WrongKind)
    }

    /// The value's type.
    pub fn kind(&self) -> Kind {
        self.entry.kind()
    }

    /// How the value is stored.
    pub fn encoding(&self) -> Encoding {
        self.entry.encoding()
    }

    /// When the key expires, if it does.
    pub fn expire_at(&self) -> Option<UnixMs> {
        self.entry.expire_at()
    }

    /// Bytes that the key and its value account for.
    pub fn bytes(&self) -> usize {
        self.entry.bytes()
    }

    /// Seconds since the key was last used; meaningful under a recency policy.
    pub fn idle_seconds(&self) -> u64 {
        AccessPolicy::idle_seconds(self.entry.clock(), self.now)
    }

    /// How often the key was used, as far as its access policy counts that.
    pub fn uses(&self) -> u64 {
        match self.access {
            AccessPolicy::Hits => hits(self.entry.clock()).into(),
            _ => self.frequency().into(),
        }
    }

    /// Logarithmic access counter after decay; meaningful under a frequency policy.
    pub fn frequency(&self) -> u8 {
        self.access.frequency(self.entry.clock(), self.now)
    }
}
