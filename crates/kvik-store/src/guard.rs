//! The guard: access to the keyspaces whose stripes the caller has locked, for one unit of work.
//!
//! A guard knows the time, whom to give effects and how the keys map to stripes. It hides expired keys: in
//! [`Mode::Primary`] touching one deletes it, with its effect. Operations on one key go through [`Entry`]; those on
//! several keys or whole keyspaces are here.

mod preparation;

use crate::UnixMs;
use crate::clock::AccessPolicy;
use crate::edit::ExpiredMembers;
use crate::effect::EffectSink;
use crate::entry::{Entry, LockedKey, OccupiedEntry, VacantEntry, View};
use crate::keyspace::{Garbage, Keyspace, KeyspaceId, KeyspaceMut, KeyspaceRef, Payload};
use crate::layout::{Cursor, Layout, PREFIX_BITS};
use crate::limits::Limits;
use crate::raw::arena::EntryRef;
use crate::raw::heap::HeapEntry;
use crate::stripe::Stripe;
use crate::value::{IntText, TextRef, WrongKind};
use crate::watch::WatchToken;
use std::sync::Arc;

/// The stripes a guard may use. Whoever implements it holds their locks, or takes them one at a time.
pub trait Stripes {
    /// The stripe with this index. The guard asks only for stripes that the caller agreed to provide.
    fn stripe(&mut self, index: usize) -> &mut Stripe;

    /// The same to look at. All that a guard asks for which [only reads](Guard::reading).
    fn look(&mut self, index: usize) -> &Stripe {
        self.stripe(index)
    }

    /// The same to look at, several at once. Only for a guard over stripes that are all held.
    fn held(&self, index: usize) -> &Stripe;
}

/// What becomes of keys whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are deleted when met, and that is an effect.
    Primary,
    /// They are hidden but stay: writes are paused.
    Paused,
    /// They are keys like any other until an effect deletes them: this store follows another one's effects.
    Follower,
}

/// What a guard saw and did.
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

/// What one round of expiry did to a stripe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpiryRound {
    /// Keys deleted.
    pub keys: usize,
    /// How late the latest of them was, in milliseconds.
    pub lag_ms: u64,
    /// Whether keys are still due.
    pub more: bool,
}

/// One page of a SCAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// Where to go on; `0` when the scan is complete.
    pub next: Cursor,
}

/// What of a key is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overdue {
    Nothing,
    /// Some members of its value.
    Members,
    /// The key, or every member of its value.
    Everything,
}

static DEFAULT_LIMITS: Limits = Limits::new();

/// See the module's description.
pub struct Guard<'a> {
    stripes: &'a mut dyn Stripes,
    layout: &'a Layout,
    limits: &'a Limits,
    effects: &'a mut dyn EffectSink,
    keyspace: KeyspaceId,
    state: GuardState,
    /// A key and its hash: callers hash to lock and then come here with the same slice. Holding the slice is what makes
    /// it enough to compare addresses.
    hashed: Option<(&'a [u8], u64)>,
}

/// What a guard carries along that borrows nothing.
#[derive(Debug)]
pub(crate) struct GuardState {
    pub(crate) now: UnixMs,
    pub(crate) mode: Mode,
    pub(crate) access: AccessPolicy,
    pub(crate) touch: bool,
    /// Nothing may be changed.
    pub(crate) reads: bool,
    pub(crate) random: u64,
    pub(crate) stats: GuardStats,
    pub(crate) garbage: Vec<Garbage>,
}

impl<'a> Guard<'a> {
    /// A guard over `stripes` at the time `now`, on keyspace 0, as a primary that records recency.
    #[inline]
    pub fn new(
        stripes: &'a mut dyn Stripes,
        layout: &'a Layout,
        effects: &'a mut dyn EffectSink,
        now: UnixMs,
    ) -> Self {
        let state = GuardState {
            now,
            mode: Mode::Primary,
            access: AccessPolicy::Recency,
            touch: true,
            reads: false,
            random: now,
            stats: GuardStats::default(),
            garbage: Vec::new(),
        };
        Self {
            stripes,
            layout,
            limits: &DEFAULT_LIMITS,
            effects,
            keyspace: KeyspaceId(0),
            state,
            hashed: None,
        }
    }

    /// Works on this keyspace from here on.
    #[must_use]
    #[inline]
    pub fn on(mut self, keyspace: KeyspaceId) -> Self {
        self.keyspace = keyspace;
        self
    }

    /// Treats expired keys this way.
    #[must_use]
    #[inline]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.state.mode = mode;
        self
    }

    /// Records accesses this way, or not at all; `random` feeds the logarithmic counter.
    #[must_use]
    #[inline]
    pub fn access(mut self, policy: AccessPolicy, touch: bool, random: u64) -> Self {
        (self.state.access, self.state.touch, self.state.random) = (policy, touch, random);
        self
    }

    /// Changes nothing, because others read the same stripes meanwhile. No key in them is due, and what is asked for only
    /// reads. An access clock that moves on is left as it is; whoever wants it moved calls [`Self::touch`] of another guard.
    #[must_use]
    #[inline]
    pub fn reading(mut self) -> Self {
        self.state.reads = true;
        self
    }

    /// Packs collections up to these sizes.
    #[must_use]
    #[inline]
    pub fn limits(mut self, limits: &'a Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes over the hash of a key that the caller computed to find its stripe.
    #[must_use]
    #[inline]
    pub fn hashed(mut self, key: &'a [u8], hash: u64) -> Self {
        self.hashed = Some((key, hash));
        self
    }

    /// The same where there may be such a key.
    #[must_use]
    #[inline]
    pub fn hashed_if(mut self, hashed: Option<(&'a [u8], u64)>) -> Self {
        self.hashed = hashed;
        self
    }

    /// Turns to another keyspace, returning the one before.
    pub fn select(&mut self, keyspace: KeyspaceId) -> KeyspaceId {
        std::mem::replace(&mut self.keyspace, keyspace)
    }

    /// The keyspace worked on.
    pub fn keyspace(&self) -> KeyspaceId {
        self.keyspace
    }

    /// The time of this unit of work.
    pub fn now(&self) -> UnixMs {
        self.state.now
    }

    /// Whether this store follows the effects of another one, which has already judged what they do.
    pub fn is_follower(&self) -> bool {
        self.state.mode == Mode::Follower
    }

    /// Whether a key that expires at `at` is not worth storing. A follower stores it: its deletion is to follow.
    pub fn is_past(&self, at: UnixMs) -> bool {
        at <= self.state.now && !self.is_follower()
    }

    /// What happened so far.
    #[inline]
    pub fn stats(&self) -> GuardStats {
        self.state.stats
    }

    /// What to free once the locks are gone. After a flush that is nothing but the word that the stripes have something
    /// to [reclaim](Stripe::reclaim).
    #[inline]
    pub fn take_garbage(&mut self) -> Option<Vec<Garbage>> {
        let garbage = &mut self.state.garbage;
        (!garbage.is_empty()).then(|| std::mem::take(garbage))
    }

    /// Reads a key: an access, and a hit or a miss.
    #[inline]
    pub fn read(&mut self, key: &[u8]) -> Option<View<'_>> {
        let (index, position) = self.locate(key);
        let Some(entry) = self.find_used(index, position, key) else {
            self.state.stats.misses += 1;
            return None;
        };
        self.state.stats.hits += 1;
        Some(self.view_of(index, entry))
    }

    /// Marks a key as used.
    pub fn touch(&mut self, key: &[u8]) {
        let (index, position) = self.locate(key);
        self.find_used(index, position, key);
    }

    /// The string a key holds, read as by [`Self::read`].
    ///
    /// # Errors
    /// If it holds something else.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "what it returns would go through memory, in pieces"
    )]
    pub fn read_string(&mut self, key: &[u8]) -> Result<Option<TextRef<'_>>, WrongKind> {
        let (index, position) = self.locate(key);
        let Some(entry) = self.find_used(index, position, key) else {
            self.state.stats.misses += 1;
            return Ok(None);
        };
        self.state.stats.hits += 1;
        let keyspace = self.stripes.look(index).keyspace(self.keyspace);
        let entry = keyspace.expect("an entry has a keyspace").entry(entry);
        entry.string().map(Some).ok_or(WrongKind)
    }

    /// Looks at a key without marking it as used; a hit or a miss all the same.
    pub fn inspect(&mut self, key: &[u8]) -> Option<View<'_>> {
        let (index, prefix) = self.locate(key);
        let found = self.find(index, prefix, key);
        match found {
            Some(_) => self.state.stats.hits += 1,
            None => self.state.stats.misses += 1,
        }
        let entry = found?;
        Some(self.view_of(index, entry))
    }

    /// Looks at a key without counting it as used.
    pub fn peek(&mut self, key: &[u8]) -> Option<View<'_>> {
        let (index, position) = self.locate(key);
        let entry = self.find(index, position, key)?;
        Some(self.view_of(index, entry))
    }

    /// Looks at a key, beside others: what [`Self::read`] or its like has met is seen as it was then. For keys whose
    /// stripes are all held.
    pub fn view(&self, key: &[u8]) -> Option<View<'_>> {
        let (index, position) = self.locate(key);
        let keyspace = self.stripes.held(index).keyspace(self.keyspace)?;
        let (_, entry) = keyspace.look_up(position, key)?;
        (!self.state.hides(&entry, self.layout)).then(|| View::new(entry, self.layout, &self.state))
    }

    /// Whether a key's time has come but it stays, unseen, because writes are paused.
    pub fn is_hidden(&mut self, key: &[u8]) -> bool {
        let (index, position) = self.locate(key);
        let keyspace = self.stripes.look(index).keyspace(self.keyspace);
        keyspace.is_some_and(|keyspace| {
            let found = keyspace.find(position, key);
            found.is_some_and(|entry| self.state.hides(&keyspace.entry(entry), self.layout))
        })
    }

    /// Marks a key as used and says whether it exists.
    pub fn exists(&mut self, key: &[u8]) -> bool {
        self.read(key).is_some()
    }

    /// The key's place, to change what is there.
    #[inline]
    pub fn entry<'g>(&'g mut self, key: &'g [u8]) -> Entry<'g> {
        let (index, position) = self.locate(key);
        let found = self.find_used(index, position, key);
        // A write that a pause has come upon is not to meet members that are hidden.
        let found = match (found, self.state.mode) {
            (Some(entry), Mode::Paused) => self.without_due_members(index, entry),
            _ => found,
        };
        let locked = self.locked_key(index, position, key);
        match found {
            Some(entry) => Entry::Occupied(OccupiedEntry::new(locked, entry)),
            None => Entry::Vacant(VacantEntry::new(locked)),
        }
    }

    /// Deletes up to `max` members of a key's value whose time has come, and says whether there may be more. Whoever meets
    /// them would delete all; with this a caller who can give the stripe back in between first does it in parts.
    pub fn expire_slice(&mut self, key: &[u8], max: usize) -> bool {
        let (index, position) = self.locate(key);
        let Some(keyspace) = self.stripes.stripe(index).keyspace(self.keyspace) else {
            return false;
        };
        let Some(entry) = keyspace.find(position, key) else {
            return false;
        };
        let overdue = self.state.overdue(&keyspace.entry(entry), self.layout);
        let deletes = self.state.mode == Mode::Primary && overdue == Overdue::Members;
        deletes && self.expire_members(index, entry, max).more
    }

    /// Deletes a key and says whether it existed. Effect: `DEL`.
    pub fn delete(&mut self, key: &[u8]) -> bool {
        self.entry(key)
            .occupied()
            .map(OccupiedEntry::remove)
            .is_some()
    }

    /// Gives the value and expiry of `key` to `to`, replacing what is there, and says whether `key` existed. Effect:
    /// `RENAME`. The two differ.
    pub fn rename(&mut self, key: &[u8], to: &[u8]) -> bool {
        let (index, _) = self.locate(to);
        let Some(taken) = self.detach(key, index) else {
            return false;
        };
        self.attach(self.keyspace, to, taken);
        self.finish_keyspace(&[b"RENAME", key, to]);
        true
    }

    /// Moves a key to another keyspace where it does not exist yet, and says whether it did. Effect: `MOVE`.
    pub fn move_to(&mut self, key: &[u8], to: KeyspaceId) -> bool {
        if self.exists_in(to, key) {
            return false;
        }
        let (index, _) = self.locate(key);
        let Some(taken) = self.detach(key, index) else {
            return false;
        };
        self.attach(to, key, taken);
        self.finish_keyspace(&[b"MOVE", key, IntText::default().unsigned(u64::from(to.0))]);
        true
    }

    /// Copies a key with its expiry over whatever is at the destination, and says whether the key existed. Effect:
    /// `COPY`. Source and destination differ.
    pub fn copy(&mut self, key: &[u8], keyspace: KeyspaceId, to: &[u8]) -> bool {
        let (index, position) = self.locate(key);
        let Some(entry) = self.find(index, position, key) else {
            return false;
        };
        let (layout, (target, _)) = (self.layout, self.locate(to));
        let prepared = self.take_prepared(index, entry, target);
        let mut source = self.keyspace_of(index);
        let copied = match prepared {
            Some(content) => Payload::of(source.entry(entry), content),
            None => source.copy(layout, entry),
        };
        self.attach(keyspace, to, copied);
        let db = u64::from(keyspace.0);
        self.finish_keyspace(&[
            b"COPY",
            key,
            to,
            b"DB",
            IntText::default().unsigned(db),
            b"REPLACE",
        ]);
        true
    }

    /// Whether a key exists in some keyspace; not an access.
    pub fn exists_in(&mut self, keyspace: KeyspaceId, key: &[u8]) -> bool {
        let before = self.select(keyspace);
        let exists = self.peek(key).is_some();
        self.select(before);
        exists
    }

    /// Watches a key: `token` turns dirty when it changes. A key whose time has come counts as missing.
    pub fn watch(&mut self, key: &[u8], token: &Arc<WatchToken>) {
        let (index, position) = self.locate(key);
        self.find(index, position, key);
        let keyspace = self.keyspace;
        self.stripes.stripe(index).watches.add(keyspace, key, token);
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, key: &[u8], token: &Arc<WatchToken>) {
        let (index, _) = self.locate(key);
        let keyspace = self.keyspace;
        self.stripes
            .stripe(index)
            .watches
            .remove(keyspace, key, token);
    }

    // Operations on a whole keyspace. They need every stripe, `scan` and `for_each` one after the other.

    /// Number of keys, those included whose time has come but that nobody met yet.
    pub fn len(&mut self) -> usize {
        self.sum(Keyspace::len)
    }

    /// Whether there are no keys.
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }

    /// Number of keys that expire.
    pub fn volatile_len(&mut self) -> usize {
        self.sum(Keyspace::volatile_len)
    }

    /// Bytes of the keyspace's entries and tables.
    pub fn bytes(&mut self) -> usize {
        self.sum(Keyspace::bytes)
    }

    /// Visits about `count` keys from `cursor` on. Every key that exists from the first page of a scan to its last is
    /// visited at least once.
    pub fn scan(
        &mut self,
        cursor: Cursor,
        count: usize,
        mut visit: impl FnMut(View<'_>),
    ) -> ScanPage {
        let (mut index, mut from) = self.layout.split(cursor);
        let mut left = count.max(1);
        while index < self.layout.stripes() {
            let stripe = self.stripes.stripe(index);
            let (state, keyspace) = (&self.state, stripe.keyspace(self.keyspace));
            let next = keyspace.and_then(|keyspace| {
                keyspace.walk(self.layout, from, |entry| {
                    if !state.hides(&entry, self.layout) {
                        visit(View::new(entry, self.layout, state));
                    }
                    left = left.saturating_sub(1);
                    left > 0
                })
            });
            match next {
                Some(prefix) => {
                    return ScanPage {
                        next: self.layout.join(index, u64::from(prefix)),
                    };
                }
                None if left == 0 => {
                    return ScanPage {
                        next: self.layout.join(index, 1 << PREFIX_BITS),
                    };
                }
                None => (index, from) = (index + 1, 0),
            }
        }
        ScanPage { next: 0 }
    }

    /// Visits every key.
    pub fn for_each(&mut self, visit: impl FnMut(View<'_>)) {
        self.scan(0, usize::MAX, visit);
    }

    /// A random key, each as likely as any other within the evenness of the table.
    pub fn random_key(&mut self, mut random: impl FnMut() -> u64) -> Option<Vec<u8>> {
        for _ in 0..100 {
            let total = self.len() as u64;
            let mut chosen = random().checked_rem(total)?;
            let mut index = 0;
            let len = |guard: &mut Self, index| guard.len_of(index) as u64;
            while chosen >= len(self, index) {
                chosen -= len(self, index);
                index += 1;
            }
            let sampled = self.stripes.stripe(index).keyspace(self.keyspace)?;
            let key = sampled.sample(random())?.key().to_vec();
            if self.peek(&key).is_some() {
                return Some(key);
            }
        }
        None
    }

    /// Empties the keyspace. Effect: `FLUSHDB`.
    pub fn flush(&mut self) {
        for index in 0..self.layout.stripes() {
            self.flush_stripe(index, self.keyspace);
        }
        self.state.garbage.push(Garbage::new(Vec::new()));
        self.finish_keyspace(&[b"FLUSHDB"]);
    }

    /// Empties every keyspace. Effect: `FLUSHALL`.
    pub fn flush_all(&mut self) {
        for index in 0..self.layout.stripes() {
            for id in 0..self.stripes.stripe(index).keyspace_count() {
                self.flush_stripe(index, KeyspaceId(id as u32));
            }
        }
        self.state.garbage.push(Garbage::new(Vec::new()));
        self.finish_keyspace(&[b"FLUSHALL"]);
    }

    /// Exchanges the contents of two keyspaces. Effect: `SWAPDB`.
    pub fn swap(&mut self, a: KeyspaceId, b: KeyspaceId) {
        for index in 0..self.layout.stripes() {
            self.expire_watched(index, [a, b]);
            self.swap_stripe(index, a, b);
        }
        let (mut left, mut right) = (IntText::default(), IntText::default());
        let ids = [
            left.unsigned(u64::from(a.0)),
            right.unsigned(u64::from(b.0)),
        ];
        self.finish_keyspace(&[b"SWAPDB", ids[0], ids[1]]);
    }

    /// Deletes up to `max` keys of one stripe whose time has come, in all keyspaces; a member of a collection counts as a
    /// key. Effect: `DEL` for each, or what deletes members.
    pub fn expire_due(&mut self, index: usize, max: usize) -> ExpiryRound {
        let mut done = ExpiryRound::default();
        // What was noted for keys that have another expiry by now is looked up in vain; that has its bound as well.
        let mut looks = max.saturating_mul(4).saturating_add(16);
        for id in 0..self.stripes.stripe(index).keyspace_count() {
            let id = KeyspaceId(id as u32);
            while let Some((at, entry)) = self.next_due(index, id, &mut looks) {
                done.more = done.keys == max;
                if done.more {
                    break;
                }
                done.lag_ms = done.lag_ms.max(self.state.now - at);
                self.keyspace = id;
                done.keys += self.expire_entry(index, entry, max - done.keys);
            }
        }
        done.more |= looks == 0;
        self.stripes.stripe(index).refresh_due();
        done
    }

    /// Deletes a key, or up to `max` members of its value, whose time has come, and says how many.
    fn expire_entry(&mut self, index: usize, entry: EntryRef, max: usize) -> usize {
        if self.overdue(index, entry) == Overdue::Everything {
            self.expire(index, entry);
            return 1;
        }
        self.expire_members(index, entry, max).expired.max(1)
    }

    fn next_due(
        &mut self,
        index: usize,
        id: KeyspaceId,
        looks: &mut usize,
    ) -> Option<(UnixMs, EntryRef)> {
        let stripe = self.stripes.stripe(index);
        stripe.keyspace(id)?;
        let mut keyspace = stripe.keyspace_mut(id);
        keyspace.next_due(self.layout, self.state.now, looks)
    }

    #[inline]
    fn locate(&self, key: &[u8]) -> (usize, u64) {
        let hash = match self.hashed {
            Some((known, hash)) if std::ptr::eq(known, key) => hash,
            _ => self.layout.hash(key),
        };
        (self.layout.stripe_of(hash), self.layout.position_of(hash))
    }

    /// The key's entry, unless its time has come.
    #[inline]
    fn find(&mut self, index: usize, position: u64, key: &[u8]) -> Option<EntryRef> {
        let keyspace = self.stripes.look(index).keyspace(self.keyspace)?;
        let entry = keyspace.find(position, key)?;
        let is_primary = self.state.mode == Mode::Primary;
        match self.state.overdue(&keyspace.entry(entry), self.layout) {
            Overdue::Nothing => Some(entry),
            Overdue::Members if is_primary => self.without_due_members(index, entry),
            Overdue::Members => Some(entry),
            Overdue::Everything => {
                if is_primary {
                    self.expire(index, entry);
                }
                None
            }
        }
    }

    /// The same, marked as used.
    #[inline]
    fn find_used(&mut self, index: usize, position: u64, key: &[u8]) -> Option<EntryRef> {
        let keyspace = self.stripes.look(index).keyspace(self.keyspace)?;
        let entry = keyspace.find(position, key)?;
        let there = keyspace.entry(entry);
        if there.may_expire() && self.state.overdue(&there, self.layout) != Overdue::Nothing {
            return self.find_due(index, position, key);
        }
        if let Some(clock) = self.state.touch(there.clock()) {
            self.set_clock(index, entry, clock);
        }
        Some(entry)
    }

    /// [`Self::find_used`] of a key when its time, or that of its members, has come.
    #[cold]
    fn find_due(&mut self, index: usize, position: u64, key: &[u8]) -> Option<EntryRef> {
        let entry = self.find(index, position, key)?;
        let clock = self.keyspace_of(index).entry(entry).clock();
        if let Some(clock) = self.state.touch(clock) {
            self.set_clock(index, entry, clock);
        }
        Some(entry)
    }

    #[inline]
    fn set_clock(&mut self, index: usize, entry: EntryRef, clock: u32) {
        if self.state.reads {
            self.state.stats.untouched = true;
        } else {
            self.keyspace_of(index).set_clock(entry, clock);
        }
    }

    #[cold]
    fn expire(&mut self, index: usize, entry: EntryRef) {
        let key = self.keyspace_of(index).entry(entry).key().to_vec();
        let position = self.layout.position_of_key(&key);
        OccupiedEntry::new(self.locked_key(index, position, &key), entry).remove();
        self.state.stats.expired += 1;
    }

    /// Deletes up to `max` members of a collection whose time has come; see [`LockedKey::expire_members`].
    #[cold]
    fn expire_members(&mut self, index: usize, entry: EntryRef, max: usize) -> ExpiredMembers {
        let key = self.keyspace_of(index).entry(entry).key().to_vec();
        let position = self.layout.position_of_key(&key);
        self.locked_key(index, position, &key)
            .expire_members(entry, max)
    }

    /// A key's entry, if it is still there, when all members of its value that are due have been deleted.
    #[cold]
    fn without_due_members(&mut self, index: usize, entry: EntryRef) -> Option<EntryRef> {
        if self.overdue(index, entry) == Overdue::Nothing {
            return Some(entry);
        }
        self.expire_members(index, entry, usize::MAX).entry
    }

    fn overdue(&mut self, index: usize, entry: EntryRef) -> Overdue {
        let keyspace = self.stripes.look(index).keyspace(self.keyspace);
        let there = keyspace.expect("an entry has a keyspace").entry(entry);
        self.state.overdue(&there, self.layout)
    }

    #[inline]
    fn view_of(&mut self, index: usize, entry: EntryRef) -> View<'_> {
        let keyspace = self.stripes.look(index).keyspace(self.keyspace);
        let keyspace = keyspace.expect("an entry has a keyspace");
        View::new(keyspace.entry(entry), self.layout, &self.state)
    }

    fn keyspace_of(&mut self, index: usize) -> KeyspaceMut<'_> {
        self.stripes.stripe(index).keyspace_mut(self.keyspace)
    }

    fn locked_key<'g>(&'g mut self, index: usize, position: u64, key: &'g [u8]) -> LockedKey<'g> {
        LockedKey {
            stripe: self.stripes.stripe(index),
            layout: self.layout,
            limits: self.limits,
            effects: self.effects,
            state: &mut self.state,
            keyspace: self.keyspace,
            position,
            key,
        }
    }

    /// Takes a key out, to be put into the stripe `to`, without an effect of its own.
    fn detach(&mut self, key: &[u8], to: usize) -> Option<Payload<'static>> {
        let (index, position) = self.locate(key);
        let entry = self.find(index, position, key)?;
        let prepared = match index == to {
            true => None,
            false => self.take_prepared(index, entry, to),
        };
        let keyspace = self.keyspace;
        let stripe = self.stripes.stripe(index);
        stripe.watches.mark_changed(keyspace, key);
        let mut source = stripe.keyspace_mut(keyspace);
        let taken = match prepared {
            Some(content) => {
                let taken = Payload::of(source.entry(entry), content);
                source.remove(self.layout, position, entry);
                taken
            }
            None => source.take(self.layout, position, entry, index == to),
        };
        self.state.garbage.extend(stripe.take_garbage());
        Some(taken)
    }

    /// Puts an entry in place of whatever a key holds, without an effect of its own.
    fn attach(&mut self, keyspace: KeyspaceId, key: &[u8], moved: Payload<'_>) {
        let (index, position) = self.locate(key);
        let stripe = self.stripes.stripe(index);
        stripe.watches.mark_changed(keyspace, key);
        if let Some(at) = moved.earliest_deadline(&stripe.heap) {
            stripe.lower_due(at);
        }
        let mut target = stripe.keyspace_mut(keyspace);
        if let Some(old) = target.find(position, key) {
            target.remove(self.layout, position, old);
        }
        target.insert(self.layout, position, key, moved);
        self.state.garbage.extend(stripe.take_garbage());
    }

    fn flush_stripe(&mut self, index: usize, id: KeyspaceId) {
        let stripe = self.stripes.stripe(index);
        let Some(keyspace) = stripe.keyspace(id) else {
            return;
        };
        let len = keyspace.keyspace.len();
        stripe
            .watches
            .mark_changed_where(id, |key| self.layout.holds(keyspace, key));
        self.state.stats.changes += len as u64;
        stripe.flush(id);
    }

    /// Deletes what is watched in either of two keyspaces and whose time has come in either: a missing key for which such
    /// a one is swapped in has not changed.
    fn expire_watched(&mut self, index: usize, keyspaces: [KeyspaceId; 2]) {
        let watches = &self.stripes.stripe(index).watches;
        let keys: Vec<Box<[u8]>> = keyspaces.iter().flat_map(|&id| watches.keys(id)).collect();
        for key in &keys {
            for id in keyspaces {
                self.exists_in(id, key);
            }
        }
    }

    fn swap_stripe(&mut self, index: usize, a: KeyspaceId, b: KeyspaceId) {
        let stripe = self.stripes.stripe(index);
        let in_either = |key: &[u8]| {
            let held = |id| {
                stripe
                    .keyspace(id)
                    .is_some_and(|keyspace| self.layout.holds(keyspace, key))
            };
            held(a) || held(b)
        };
        stripe.watches.mark_changed_where(a, in_either);
        stripe.watches.mark_changed_where(b, in_either);
        stripe.swap(a, b);
    }

    fn len_of(&mut self, index: usize) -> usize {
        let keyspace = self.stripes.stripe(index).keyspace(self.keyspace);
        keyspace.map_or(0, |keyspace| keyspace.keyspace.len())
    }

    fn sum(&mut self, of: impl Fn(&Keyspace) -> usize) -> usize {
        (0..self.layout.stripes())
            .map(|index| {
                self.stripes
                    .stripe(index)
                    .keyspace(self.keyspace)
                    .map_or(0, |keyspace| of(keyspace.keyspace))
            })
            .sum()
    }

    /// Ends a change of several keys whose watchers were told one by one.
    fn finish_keyspace(&mut self, effect: &[&[u8]]) {
        self.state.stats.changes += 1;
        if self.effects.wanted() {
            self.effects.emit(self.keyspace, effect);
        }
    }
}

impl GuardState {
    /// What to note of an entry that is used and whose access clock says `old`. Most uses change nothing.
    #[inline]
    fn touch(&mut self, old: u32) -> Option<u32> {
        if !self.touch {
            return None;
        }
        let new = self.access.touch(old, self.now, self.random >> 16);
        if self.access != AccessPolicy::Recency {
            self.random = self
                .random
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(1);
        }
        (new != old).then_some(new)
    }

    #[inline]
    fn overdue(&self, entry: &HeapEntry<'_>, layout: &Layout) -> Overdue {
        let is_due = |at: Option<UnixMs>| at.is_some_and(|at| at <= self.now);
        if self.mode == Mode::Follower {
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
    fn hides(&self, entry: &HeapEntry<'_>, layout: &Layout) -> bool {
        self.overdue(entry, layout) == Overdue::Everything
    }

    /// Members whose time has come by then are hidden from readers; 0 where they are not.
    #[inline]
    pub(crate) fn hidden_until(&self) -> UnixMs {
        match self.mode {
            Mode::Paused => self.now,
            // On a primary they have been deleted when the key was met.
            Mode::Primary | Mode::Follower => 0,
        }
    }
}

impl Layout {
    fn holds(&self, keyspace: KeyspaceRef<'_>, key: &[u8]) -> bool {
        keyspace.find(self.position_of_key(key), key).is_some()
    }
}

impl std::fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("keyspace", &self.keyspace)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
