//! A collection while it changes.
//!
//! An [`Edit`] takes the value of a key out of its place and puts it back when it is dropped. In between a type's methods
//! change it, and state for each change what has happened ([`Edit::emit`]); the words of one command after another with
//! the same verb become one effect. A key whose collection has become empty is gone afterwards, one that was not there is
//! there, and who watches it is told, once.
//!
//! A collection can also be built anew beside what the key holds ([`Edit::build`]). Nothing is seen of it, and nothing of
//! what is stated, until it is whole ([`Edit::restore`]); without that it is discarded.

use std::mem;

use crate::UnixMs;
use crate::effect::EffectSink;
use crate::entry::{Entry, LockedKey, OccupiedEntry};
use crate::guard::Mode;
use crate::keyspace::KeyspaceId;
use crate::layout::Layout;
use crate::limits::Limits;
use crate::object::{Object, Typed};
use crate::raw::arena::EntryRef;
use crate::raw::cells::Cells;
use crate::raw::deadlines::NEVER;
use crate::raw::heap::Ledger;
use crate::restore::Terms;
use crate::value::{ValueRef, WrongKind};

/// See the module's description.
pub(crate) struct Edit<'g, T: Typed> {
    locked: LockedKey<'g>,
    origin: Origin,
    value: T,
    account: Account,
    /// The command whose words are being stated; empty between effects.
    verb: &'static [u8],
    changes: Changes,
}

/// How many changes an edit has made.
#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    all: u64,
    /// Those among them that are none to who watches the key.
    unwatched: u64,
}

/// Where a collection comes from, with the entry of the key if there is one.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// From the key.
    Taken(Option<EntryRef>),
    /// From nowhere; the key holds what it held.
    Built(Option<EntryRef>),
}

/// What a collection and its stripe accounted for when the collection left its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    ledger: Ledger,
    live_bytes: usize,
}

/// What has become of a collection some of whose members were due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpiredMembers {
    /// The key's entry, if the key is still there.
    pub(crate) entry: Option<EntryRef>,
    /// How many members were deleted.
    pub(crate) expired: usize,
    /// Whether more of them may be due.
    pub(crate) more: bool,
}

/// What a change of a collection needs beside it.
pub(crate) struct EditParts<'e, T> {
    pub(crate) value: &'e mut T,
    pub(crate) cells: &'e mut Cells,
    pub(crate) layout: &'e Layout,
    pub(crate) limits: &'e Limits,
}

/// States what changes.
pub(crate) struct EffectWriter<'e> {
    /// Whether it is put into words.
    is_wanted: bool,
    effects: &'e mut dyn EffectSink,
    keyspace: KeyspaceId,
    key: &'e [u8],
    verb: &'e mut &'static [u8],
    changes: &'e mut u64,
}

impl EffectWriter<'_> {
    /// States one change: `words` are what the command `verb`, one word or a container and its subcommand, would be given
    /// behind the key. They are appended to the words stated before if those were for the same verb.
    pub(crate) fn emit(&mut self, verb: &'static [u8], words: &[&[u8]]) {
        *self.changes += 1;
        if !self.is_wanted {
            return;
        }
        if *self.verb != verb {
            if !self.verb.is_empty() {
                self.effects.end();
            }
            self.effects.begin(self.keyspace);
            verb.split(|byte| *byte == b' ')
                .for_each(|word| self.effects.word(word));
            self.effects.word(self.key);
            *self.verb = verb;
        }
        words.iter().for_each(|word| self.effects.word(word));
    }
}

impl<'g, T: Typed> Edit<'g, T> {
    /// Opens the collection of a key, an empty one where there is no key.
    ///
    /// # Errors
    /// If the key holds another type.
    pub(crate) fn open(entry: Entry<'g>) -> Result<Self, WrongKind> {
        match entry {
            Entry::Occupied(occupied) => {
                if occupied.view().kind() != T::kind() {
                    return Err(WrongKind);
                }
                let (mut locked, entry) = occupied.into_parts();
                let (object, account) = locked.take_out(entry);
                let value = T::from_object(object);
                Ok(Self::new(
                    locked,
                    Origin::Taken(Some(entry)),
                    value,
                    account,
                ))
            }
            Entry::Vacant(vacant) => {
                let locked = vacant.into_locked().without_hidden();
                let account = locked.account();
                Ok(Self::new(
                    locked,
                    Origin::Taken(None),
                    T::default(),
                    account,
                ))
            }
        }
    }

    /// Begins an empty collection beside what the key holds.
    pub(crate) fn build(entry: Entry<'g>) -> Self {
        let (locked, entry) = match entry {
            Entry::Occupied(occupied) => {
                let (locked, entry) = occupied.into_parts();
                (locked, Some(entry))
            }
            Entry::Vacant(vacant) => (vacant.into_locked(), None),
        };
        let account = locked.account();
        Self::new(locked, Origin::Built(entry), T::default(), account)
    }

    fn new(locked: LockedKey<'g>, origin: Origin, value: T, account: Account) -> Self {
        Self {
            locked,
            origin,
            value,
            account,
            verb: b"",
            changes: Changes::default(),
        }
    }

    /// Whether the key existed when the edit began.
    pub(crate) fn existed(&self) -> bool {
        matches!(self.origin, Origin::Taken(Some(_)))
    }

    /// The key.
    pub(crate) fn key(&self) -> &'g [u8] {
        self.locked.key
    }

    /// The collection.
    pub(crate) fn value(&self) -> &T {
        &self.value
    }

    /// The collection as a reader sees it. Nothing of it is hidden: what was due has been deleted before.
    pub(crate) fn view(&self) -> ValueRef<'_> {
        self.value.view(self.cells(), self.layout(), 0)
    }

    /// Where the members of a large collection are.
    pub(crate) fn cells(&self) -> &Cells {
        &self.locked.stripe.heap.cells
    }

    pub(crate) fn layout(&self) -> &Layout {
        self.locked.layout
    }

    /// The time of this unit of work.
    pub(crate) fn now(&self) -> UnixMs {
        self.locked.state.now
    }

    /// Whether this store follows the effects of another one.
    pub(crate) fn is_follower(&self) -> bool {
        self.locked.state.mode == Mode::Follower
    }

    /// The collection and what a change of it needs. Whoever changes something states it.
    pub(crate) fn parts(&mut self) -> EditParts<'_, T> {
        self.parts_and_writer().0
    }

    /// Hands over what was cut off the collection, to be freed in slices.
    pub(crate) fn discard(&mut self, part: T) {
        self.locked.stripe.heap.discard(part.into());
    }

    /// As [`Self::parts`], with what states changes while they are made.
    pub(crate) fn parts_and_writer(&mut self) -> (EditParts<'_, T>, EffectWriter<'_>) {
        let is_wanted = self.wants_effects();
        let locked = &mut self.locked;
        let parts = EditParts {
            value: &mut self.value,
            cells: &mut locked.stripe.heap.cells,
            layout: locked.layout,
            limits: locked.limits,
        };
        let writer = EffectWriter {
            is_wanted,
            effects: &mut *locked.effects,
            keyspace: locked.keyspace,
            key: locked.key,
            verb: &mut self.verb,
            changes: &mut self.changes.all,
        };
        (parts, writer)
    }

    /// See [`EffectWriter::emit`].
    pub(crate) fn emit(&mut self, verb: &'static [u8], words: &[&[u8]]) {
        self.parts_and_writer().1.emit(verb, words);
    }

    /// States one change whose words are not to be joined with others'.
    pub(crate) fn emit_alone(&mut self, verb: &'static [u8], words: &[&[u8]]) {
        self.end_effect();
        self.emit(verb, words);
        self.end_effect();
    }

    /// As [`emit_alone`](Self::emit_alone), with more words that come one by one.
    pub(crate) fn emit_each<'w>(
        &mut self,
        verb: &'static [u8],
        first: &[&[u8]],
        words: impl Iterator<Item = &'w [u8]>,
    ) {
        self.end_effect();
        self.emit(verb, first);
        if self.wants_effects() {
            words.for_each(|word| self.locked.effects.word(word));
        }
        self.end_effect();
    }

    /// Counts a change that the words stated already cover.
    pub(crate) fn count(&mut self, changes: u64) {
        self.changes.all += changes;
    }

    /// Makes changes that are none to those who watch the key, such as the bookkeeping of a consumer
    /// group: they are counted and emitted, and no watcher is told.
    pub(crate) fn unwatched<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.changes.all;
        let result = change(self);
        self.changes.unwatched += self.changes.all - before;
        result
    }

    /// Puts a collection that was built beside what the key holds in its place. Effect: `RESTORE`. An empty one is not put
    /// there.
    pub(crate) fn restore(mut self, terms: &Terms<'_>) {
        let Origin::Built(old) = self.origin else {
            unreachable!("what was taken out of its entry is put back there");
        };
        if !self.value.is_void() {
            let object = mem::take(&mut self.value).into();
            self.locked.restore(old, object, self.account, terms);
        }
    }

    /// Whether what is stated is put into words: somebody wants to know, and the collection is the key's.
    pub(crate) fn wants_effects(&self) -> bool {
        matches!(self.origin, Origin::Taken(_)) && self.locked.effects.wanted()
    }

    /// Puts back a collection that lay packed in its key's entry, and that may and should do so again; says whether it did.
    fn put_back_packed(&mut self) -> bool {
        let Origin::Taken(Some(entry)) = self.origin else {
            return false;
        };
        if self.changes.all == 0 || !self.account.ledger.is_packed() || self.value.is_void() {
            return false;
        }
        let Some((form, bytes)) = self.value.packed() else {
            return false;
        };
        let position = self.locked.position;
        let keyspace = self.locked.stripe.keyspace_mut(self.locked.keyspace);
        if !keyspace.set_packed(position, entry, form, bytes) {
            return false;
        }
        let scratch = mem::take(&mut self.value).into_packed_bytes();
        self.locked.stripe.heap.keep_scratch(scratch);
        self.locked.mark_changed(self.changes.all);
        true
    }

    /// Ends the effect whose words are being stated: what follows is another one, whatever its verb.
    pub(crate) fn end_effect(&mut self) {
        if !mem::take(&mut self.verb).is_empty() {
            self.locked.effects.end();
        }
    }
}

impl<T: Typed> Drop for Edit<'_, T> {
    fn drop(&mut self) {
        self.end_effect();
        if self.put_back_packed() {
            return;
        }
        let object = mem::take(&mut self.value).into();
        match self.origin {
            Origin::Taken(entry) => {
                self.locked
                    .finish_edit(entry, object, self.account, self.changes);
            }
            Origin::Built(_) => self.locked.discard(object),
        }
    }
}

impl<T: Typed> std::fmt::Debug for Edit<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edit")
            .field("locked", &self.locked)
            .field("changes", &self.changes.all)
            .finish_non_exhaustive()
    }
}

impl Changes {
    fn watched(all: u64) -> Self {
        Self { all, unwatched: 0 }
    }
}

impl Account {
    /// What was accounted for before a collection with cells of `bytes` was begun.
    fn before(self, bytes: usize) -> Self {
        Self {
            ledger: self.ledger.before(bytes),
            live_bytes: self.live_bytes - bytes,
        }
    }
}

impl LockedKey<'_> {
    fn account(&self) -> Account {
        let heap = &self.stripe.heap;
        Account {
            ledger: heap.ledger(),
            live_bytes: heap.live_bytes(),
        }
    }

    fn take_out(&mut self, entry: EntryRef) -> (Object, Account) {
        let live_bytes = self.stripe.heap.live_bytes();
        let (object, ledger) = self.stripe.heap.take_out(entry);
        (object, Account { ledger, live_bytes })
    }

    /// Deletes a key that is hidden here because writes are paused: what is written now must not meet it elsewhere.
    fn without_hidden(mut self) -> Self {
        if self.state.mode == Mode::Paused {
            let (position, key) = (self.position, self.key);
            if let Some(hidden) = self.keyspace().find(position, key) {
                return OccupiedEntry::new(self, hidden).remove().into_locked();
            }
        }
        self
    }

    fn discard(&mut self, object: Object) {
        self.stripe.heap.discard(object);
        self.state.garbage.extend(self.stripe.take_garbage());
    }

    /// Puts a collection, built since `account` was taken, in place of the entry of the key.
    fn restore(
        &mut self,
        old: Option<EntryRef>,
        object: Object,
        account: Account,
        terms: &Terms<'_>,
    ) {
        let built = self.stripe.heap.live_bytes() - account.live_bytes;
        self.clear(old);
        let account = self.account().before(built);
        let entry = self.finish_edit(None, object, account, Changes::watched(1));
        let entry = entry.expect("a collection with members has an entry");
        let clock = self.state.access.start_with(terms.usage, self.state.now);
        self.keyspace().set_clock(entry, clock);
        if terms.expire_at.is_some() {
            self.write_expiry(entry, terms.expire_at);
        }
        self.emit_restore(terms);
    }

    /// Deletes up to `max` members whose time has come. Effect: `SREM` or its like.
    pub(crate) fn expire_members(&mut self, entry: EntryRef, max: usize) -> ExpiredMembers {
        let (mut object, account) = self.take_out(entry);
        let (verb, key, keyspace) = (object.removal(), self.key, self.keyspace);
        let effects = &mut *self.effects;
        let (mut expired, wanted) = (0, effects.wanted());
        let mut tell = |name: &[u8]| {
            if wanted {
                if expired == 0 {
                    effects.begin(keyspace);
                    effects.word(verb);
                    effects.word(key);
                }
                effects.word(name);
            }
            expired += 1;
        };
        let cells = &mut self.stripe.heap.cells;
        let more = object.expire(self.state.now, max, cells, self.layout, &mut tell);
        if wanted && expired > 0 {
            self.effects.end();
        }
        ExpiredMembers {
            entry: self.finish_edit(
                Some(entry),
                object,
                account,
                Changes::watched(expired as u64),
            ),
            expired,
            more,
        }
    }

    /// Puts a collection back and does what is to be done after some changes of it; says where the
    /// key's entry is then, if there is one.
    fn finish_edit(
        &mut self,
        entry: Option<EntryRef>,
        object: Object,
        account: Account,
        changes: Changes,
    ) -> Option<EntryRef> {
        if changes.all == 0 {
            if entry.is_some() {
                self.stripe.heap.restore(object, account.ledger);
            }
            return entry;
        }
        let deadline = object.earliest_deadline();
        let is_void = object.is_void();
        // A key that was not there is a change to who watches it, whatever it was made for.
        let is_watched = entry.is_none() || changes.all > changes.unwatched;
        let entry = match entry {
            Some(entry) => Some(self.put_back(entry, object, account, is_void)),
            None if is_void => None,
            None => Some(self.make(object, account)),
        };
        if let Some(entry) = entry.filter(|_| deadline != NEVER && !is_void) {
            self.stripe.lower_due(deadline);
            let position = self.position;
            self.keyspace()
                .keyspace
                .table
                .lower_deadline(position, entry, deadline);
        }
        if is_watched {
            self.mark_changed(changes.all);
        } else {
            self.count_changes(changes.all);
        }
        entry.filter(|_| !is_void)
    }

    fn put_back(
        &mut self,
        entry: EntryRef,
        object: Object,
        account: Account,
        is_void: bool,
    ) -> EntryRef {
        let (position, layout) = (self.position, self.layout);
        let mut keyspace = self.keyspace();
        let to = keyspace.heap.put_back(entry, object, account.ledger);
        keyspace.moved(position, entry, to, account.live_bytes);
        if is_void {
            keyspace.remove(layout, position, to);
        }
        to
    }

    fn make(&mut self, object: Object, account: Account) -> EntryRef {
        let clock = self.state.access.start(self.state.now);
        let (layout, position, key) = (self.layout, self.position, self.key);
        let mut keyspace = self.keyspace();
        let entry = keyspace.heap.create(key, object, account.ledger, clock);
        keyspace.enter(layout, position, entry, account.live_bytes);
        entry
    }
}

#[cfg(test)]
mod tests;
