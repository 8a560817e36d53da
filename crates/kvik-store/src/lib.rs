//! One stripe's data: values, expiry, watches and exact byte accounting.
//!
//! A [`Stripe`] is a plain single-threaded structure; whoever owns it holds its lock. Nothing here does I/O, starts a
//! thread or reads a clock: the time, the randomness and the place where effects go are handed in with a [`Guard`],
//! and a guard is the only way to change a key. Every change therefore states its effect, a canonical command that
//! repeats it elsewhere, in the same function that makes it.
//!
//! Costs: a lookup is one cache line of a hash-ordered table and one of the entry, and both can be fetched beforehand,
//! without the lock ([`StripeView`]); a table grows by splitting segments of 740 keys; an expiry takes 6 bytes in the entry
//! and about one beside the table; SCAN walks hashes in order and needs no state between calls. Keys to be freed in
//! bulk are freed in slices by [`Stripe::reclaim`].

#![deny(unsafe_code)]
#![allow(
    dead_code,
    reason = "what the collection types are built from comes before them"
)]

mod clock;
mod edit;
mod effect;
mod entry;
mod glance;
mod guard;
mod hash;
mod in_place;
mod keyspace;
mod layout;
mod limits;
mod list;
mod members;
mod object;
mod ordered;
pub mod packed;
#[allow(unsafe_code)]
mod raw;
mod restore;
mod set;
mod shadow;
mod shareable;
mod stream;
mod stripe;
#[cfg(test)]
mod trial;
mod value;
mod watch;
mod zset;

pub use clock::{AccessPolicy, FREQUENCY_START, Usage};
pub use effect::{EffectSink, NoEffects};
pub use entry::{Entry, OccupiedEntry, VacantEntry, View};
pub use glance::Glance;
pub use guard::{ExpiryRound, Guard, GuardStats, Mode, ScanPage, Stripes};
pub use hash::{Field, HashMut, HashRef};
pub use keyspace::{Garbage, KeyspaceId};
pub use layout::{Cursor, Layout};
pub use limits::Limits;
pub use list::{Elements, ListEnd, ListMut, ListNode, ListRef, QuicklistRef};
pub use members::MembersRef;
pub use raw::prefetch::{Lookup, StripeView};
pub use raw::{lacks_memory, prepare_memory, release_memory};
pub use restore::{Malformed, Terms};
pub use set::{SetIter, SetMut, SetRef};
pub use stream::{
    AppendError, Claim, Claimed, ConsumerRef, GroupMut, GroupRef, IdText, NewId, PendingEntry,
    Precision, StreamCounts, StreamEntry, StreamId, StreamMut, StreamRange, StreamRangeBack,
    StreamRef, Trim, TrimTo,
};
pub use stripe::{Due, Stripe};
pub use value::{
    Encoding, Expiry, IntText, Kind, NewString, StringRef, StringTooLong, TextRef, ValueRef,
    WrongKind,
};
pub use watch::WatchToken;
pub use zset::{
    NameBound, NameRange, ScoreRange, ScoreTableRef, Scored, ScoredMember, ZsetIter, ZsetMut,
    ZsetRef,
};

/// Milliseconds since the Unix epoch, the only unit of time in the store.
pub type UnixMs = u64;
