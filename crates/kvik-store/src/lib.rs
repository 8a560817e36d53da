//! One stripe's data: values, expiry, watches and exact byte accounting.
//!
//! A [`Stripe`] is a plain single-threaded structure; whoever owns it holds its lock. Nothing here
//! does I/O, starts a thread or reads a clock: the time, the randomness and the place where effects
//! go are handed in with a [`Guard`], and a guard is the only way to change a key. Every change
//! therefore states its effect, a canonical command that repeats it elsewhere, in the same function
//! that makes it.
//!
//! Costs: a lookup is one cache line of a hash-ordered table and one of the entry, and both can be
//! fetched beforehand, without the lock ([`StripeView`]); a table grows by splitting segments of
//! 740 keys; an expiry takes 6 bytes in the entry and about one beside the table; SCAN walks hashes
//! in order and needs no state between calls. Keys to be freed in bulk are freed in slices by
//! [`Stripe::reclaim`].

#![deny(unsafe_code)]

mod aftermath;
mod array;
mod blessing;
mod cells;
mod clock;
mod collection;
mod edit;
mod effect;
mod entry;
mod event;
mod eviction;
mod former;
mod garbage;
mod glance;
mod guard;
mod hash;
mod heap;
mod image;
mod in_place;
mod interests;
mod journal;
mod keyspace;
mod kind;
mod layout;
mod limits;
mod list;
mod locked;
mod members;
mod memory;
mod namespace;
mod object;
mod ordered;
pub mod packed;
#[allow(unsafe_code)]
mod raw;
mod restore;
mod sequence;
mod set;
mod shadow;
mod shape;
mod shareable;
mod slot;
mod source;
mod state;
mod stream;
mod stripe;
mod table_image;
mod text;
mod totals;
mod trace;
#[cfg(test)]
mod trial;
mod undo;
mod value;
mod view;
mod zset;

pub use aftermath::Aftermath;
pub use array::change::ArrayMut;
pub use array::{ArrayRange, ArrayRef};
pub use clock::{AccessPolicy, FREQUENCY_START, Reading, Usage};
pub use effect::{EffectSink, NoEffects};
pub use entry::{Entry, OccupiedEntry, VacantEntry};
pub use event::{Event, EventClasses, KeyEvent};
pub use eviction::{EvictionOrder, EvictionRound, EvictionRules};
pub use former::{FormerKey, FormerState};
pub use garbage::Garbage;
pub use glance::Glance;
pub use guard::draft::Draft;
pub use guard::expiry::ExpiryRound;
pub use guard::keyspace::ScanPage;
pub use guard::{Guard, Stripes};
pub use hash::change::HashMut;
pub use hash::{Field, HashRef};
pub use image::{ImageSink, MemberSink, SharedValue};
pub use interests::pins::{KeptNews, KeyUse, PinConflict, PinId, Unpinned};
pub use interests::{
    ChangedKey, LineChange, ReadyKey, TrackedChange, Waiter, Wanted, WatchToken, next_turn,
};
pub use kind::{Encoding, Kind, WrongKind};
pub use layout::{Cursor, Key, KeyHash, KeyspaceId, Layout};
pub use limits::Limits;
pub use list::change::ListMut;
pub use list::{Elements, ListEnd, ListNode, ListRef, ListSweep, QuicklistRef};
pub use locked::Expiry;
pub use members::{Groundwork, MembersRef};
pub use namespace::{
    DEFAULT_NAMESPACE, Namespace, NamespacePolicy, NamespaceSizes, Namespaces, TableId,
    TooManyNamespaces, canonical, full_name, name_payload, named_in, namespace_name, rest_of,
};
pub use raw::prefetch::Lookup;
#[cfg(debug_assertions)]
pub use raw::touched::take_touched;
pub use raw::{PREPARED_BYTES, lacks_memory, prepare_memory, release_memory};
pub use restore::{Malformed, Terms};
pub use set::change::SetMut;
pub use set::{SetIter, SetRef};
pub use shape::{ShapeCounts, ShapedRef};
pub use slot::{SLOTS, key_slot};
pub use state::{GuardStats, Mode};
pub use stream::change::{AppendError, NewId, StreamMut};
pub use stream::delivery::{Claim, ClaimQuota, Claimed, GroupMut, IdleEntry, Recount};
pub use stream::restore::StreamCounts;
pub use stream::{
    ConsumerRef, Deletion, GroupRef, IdText, IdempotenceRef, PendingEntry, Precision, References,
    StreamEntry, StreamId, StreamRange, StreamRangeBack, StreamRef, Trim, TrimTo,
};
pub use stripe::{Due, Stripe, StripeView};
pub use text::{IntText, NewString, StringRef, StringTooLong, TextRef};
pub use totals::{HeldMemory, Sizes, Totals};
pub use value::ValueRef;
pub use view::View;
pub use zset::change::{Scored, ZsetMut};
pub use zset::table::NewMember;
pub use zset::{NameBound, NameRange, ScoreRange, ScoreTableRef, ScoredMember, ZsetIter, ZsetRef};

/// Milliseconds since the Unix epoch, the only unit of time in the store.
pub type UnixMs = u64;
