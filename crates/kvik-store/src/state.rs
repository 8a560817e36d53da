//! The state of a unit of work on the store: its rules, and what it has seen and done.
//!
//! Whether a key is due, hidden or to be deleted is judged here, and nowhere else.

use crate::UnixMs;
use crate::aftermath::Aftermath;
use crate::clock::{AccessPolicy, Reading};
use crate::event::{Event, EventClasses, KeyEvent, VerbEvent};
use crate::former::FormerKey;
use crate::garbage::Garbage;
use crate::heap::HeapEntry;
use crate::interests::TrackedChange;
use crate::kind::Kind;
use crate::layout::{KeyspaceId, Layout};

/// The treatment of keys whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are deleted when met, and that is an effect.
    Primary,
    /// They are hidden but stay: writes are paused.
    Paused,
    /// They are keys like any other until an effect deletes them: this store follows another one's
    /// effects.
    Follower,
    /// They are keys like any other, and may be stored as such: who imports the data of another
    /// store deletes them.
    Importing,
}

/// Counts of the reads and changes made through a guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardStats {
    /// Changes made, as Redis counts them for `rdb_changes_since_last_save`.
    pub changes: u64,
    /// Reads that found the key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys deleted because their time had come.
    pub expired: u64,
    /// Whether a key was used whose access clock has still to be set; see [`Guard::reading`].
    pub untouched: bool,
}

/// The part of a key that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    Nothing,
    /// Some members of its value.
    Members,
    /// The key, or every member of its value.
    Everything,
}

/// Time and mode of a unit of work, how it records accesses, and what it leaves behind. It borrows
/// nothing.
#[derive(Debug)]
pub(crate) struct GuardState {
    pub(crate) now: UnixMs,
    pub(crate) mode: Mode,
    /// How the key at hand records accesses.
    pub(crate) access: AccessPolicy,
    /// How keys do whose namespace has no policy of its own.
    pub(crate) base_access: AccessPolicy,
    /// How the command at work reads keys.
    pub(crate) reading: Reading,
    pub(crate) touch: bool,
    /// Nothing may be changed.
    pub(crate) reads: bool,
    pub(crate) random: u64,
    pub(crate) stats: GuardStats,
    /// The classes of events that somebody wants to hear of.
    pub(crate) wanted: EventClasses,
    /// How the command at work calls its changes, if it has a name of its own for them.
    pub(crate) event: Option<&'static Event>,
    aftermath: Option<Box<Aftermath>>,
}

impl GuardState {
    /// The state of a primary at `now` that records recency.
    #[inline]
    pub(crate) fn new(now: UnixMs) -> Self {
        Self {
            now,
            mode: Mode::Primary,
            access: AccessPolicy::Recency,
            base_access: AccessPolicy::Recency,
            reading: Reading::Nothing,
            touch: true,
            reads: false,
            random: now,
            stats: GuardStats::default(),
            wanted: EventClasses::NONE,
            event: None,
            aftermath: None,
        }
    }

    /// The work left for when the stripes have been let go, if there is any.
    #[inline]
    pub(crate) fn take_aftermath(&mut self) -> Option<Box<Aftermath>> {
        self.aftermath.take()
    }

    fn aftermath(&mut self) -> &mut Aftermath {
        self.aftermath.get_or_insert_default()
    }

    /// Leaves memory to be freed.
    #[inline]
    pub(crate) fn leave(&mut self, garbage: Option<Garbage>) {
        if let Some(garbage) = garbage {
            self.leave_some(garbage);
        }
    }

    #[cold]
    fn leave_some(&mut self, garbage: Garbage) {
        self.aftermath().garbage.push(garbage);
    }

    /// Notes an event of a key if somebody wants to hear of it.
    #[inline]
    pub(crate) fn note(&mut self, keyspace: KeyspaceId, key: &[u8], event: &'static Event) {
        if self.wanted.meets(event.class) {
            self.note_wanted(keyspace, key, event, Vec::new());
        }
    }

    #[cold]
    fn note_wanted(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        event: &'static Event,
        subkeys: Vec<Box<[u8]>>,
    ) {
        self.aftermath().events.push(KeyEvent {
            keyspace,
            key: key.into(),
            event,
            subkeys,
        });
    }

    /// Notes what a key held.
    #[cold]
    pub(crate) fn note_former(&mut self, former: FormerKey) {
        self.aftermath().former.push(former);
    }

    /// Notes that a key has changed, where somebody wants to hear of every key that does.
    #[inline]
    pub(crate) fn note_changed(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        if self.wanted.meets(EventClasses::CHANGES) {
            self.aftermath().changed.push((keyspace, key.into()));
        }
    }

    /// Notes that all copies of keys are stale, and how many were tracked.
    pub(crate) fn note_flushed(&mut self, tracked: TrackedChange) {
        self.aftermath().flushed = Some(tracked);
    }

    /// Notes a key that was not there, or whose value was replaced as a whole.
    #[cold]
    pub(crate) fn note_made(&mut self, keyspace: KeyspaceId, key: &[u8], kind: Kind) {
        match self.aftermath().replaced.take() {
            Some(old) => self.note_replaced(keyspace, key, old, kind),
            None => self.note(keyspace, key, Event::NEW),
        }
    }

    /// Notes that a key's value was replaced as a whole.
    #[cold]
    pub(crate) fn note_replaced(&mut self, keyspace: KeyspaceId, key: &[u8], old: Kind, new: Kind) {
        self.note(keyspace, key, Event::OVERWRITTEN);
        if old != new {
            self.note(keyspace, key, Event::TYPE_CHANGED);
        }
    }

    /// Notes that a value of this kind was removed to make room for the one that is made next.
    #[cold]
    pub(crate) fn note_removed(&mut self, kind: Kind) {
        self.aftermath().replaced = Some(kind);
    }

    /// Notes one change in an edit of a collection: the words of its effect.
    #[cold]
    pub(crate) fn note_verb(&mut self, kind: Kind, verb: &[u8], words: &[&[u8]]) {
        let event = match Event::of_verb(verb, kind) {
            None => return,
            Some(VerbEvent::Main(event)) => self.event.unwrap_or(event),
            Some(VerbEvent::Side(event)) => event,
        };
        let names: &[&[u8]] = match verb {
            _ if !self.wanted.meets(EventClasses::SUBKEYS) => &[],
            b"HSET" | b"HDEL" => &words[..1],
            b"SADD" | b"SREM" | b"PEXPIREMEMBERAT" | b"PERSISTMEMBER" if kind == Kind::Set => {
                &words[..1]
            }
            // Behind the time, the word FIELDS and their number.
            b"HPEXPIREAT" => &words[3..],
            b"HPERSIST" => &words[2..],
            _ => &[],
        };
        let pending = &mut self.aftermath().pending;
        let at = match pending.iter().position(|(known, _)| *known == event) {
            Some(at) => at,
            None => {
                pending.push((event, Vec::new()));
                pending.len() - 1
            }
        };
        let subkeys = &mut pending[at].1;
        subkeys.extend(names.iter().map(|name| Box::from(*name)));
    }

    /// Notes a member that has expired, as [`note_verb`](Self::note_verb) does changes.
    #[cold]
    pub(crate) fn note_expired_member(&mut self, kind: Kind, name: &[u8]) {
        let event = Event::of_expired_members(kind);
        let wants_names =
            self.wanted.meets(EventClasses::SUBKEYS) && matches!(kind, Kind::Hash | Kind::Set);
        let pending = &mut self.aftermath().pending;
        if pending.is_empty() {
            pending.push((event, Vec::new()));
        }
        if wants_names {
            pending[0].1.push(name.into());
        }
    }

    /// Notes the events of an edit that has ended.
    #[cold]
    pub(crate) fn note_edit(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        for (event, subkeys) in std::mem::take(&mut self.aftermath().pending) {
            if self.wanted.meets(event.class) {
                self.note_wanted(keyspace, key, event, subkeys);
            }
        }
    }

    /// The clock to note for an entry that is used and whose access clock says `old`. Most uses
    /// change nothing.
    #[inline]
    pub(crate) fn touch(&mut self, old: u32) -> Option<u32> {
        if !self.touch {
            return None;
        }
        let new = self.access.touch(old, self.now, self.random >> 16);
        if self.access != AccessPolicy::Recency {
            if self.access.is_of_reads() {
                let new = self.access.read(old, self.reading);
                return (new != old).then_some(new);
            }
            self.random = self
                .random
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(1);
        }
        (new != old).then_some(new)
    }

    /// Whether keys whose time has come are keys like any other.
    #[inline]
    pub(crate) fn keeps_expired(&self) -> bool {
        matches!(self.mode, Mode::Follower | Mode::Importing)
    }

    #[inline]
    pub(crate) fn overdue(&self, entry: &HeapEntry<'_>, layout: &Layout) -> Overdue {
        let is_due = |at: Option<UnixMs>| at.is_some_and(|at| at <= self.now);
        if self.keeps_expired() {
            Overdue::Nothing
        } else if is_due(entry.expire_at()) {
            Overdue::Everything
        } else if is_due(entry.members_deadline()) {
            self.overdue_members(entry, layout)
        } else {
            Overdue::Nothing
        }
    }

    #[cold]
    fn overdue_members(&self, entry: &HeapEntry<'_>, layout: &Layout) -> Overdue {
        // Where they are deleted this need not be exact: the key goes with the last of them.
        let at_once = self.mode == Mode::Primary;
        if entry.is_all_due(self.now, layout, at_once) {
            Overdue::Everything
        } else {
            Overdue::Members
        }
    }

    #[inline]
    pub(crate) fn hides(&self, entry: &HeapEntry<'_>, layout: &Layout) -> bool {
        self.overdue(entry, layout) == Overdue::Everything
    }

    /// Members whose time has come by then are hidden from readers; 0 where they are not.
    #[inline]
    pub(crate) fn hidden_until(&self) -> UnixMs {
        match self.mode {
            Mode::Paused => self.now,
            // On a primary they have been deleted when the key was met.
            Mode::Primary | Mode::Follower | Mode::Importing => 0,
        }
    }
}
