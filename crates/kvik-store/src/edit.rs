//! A collection while it changes.
//!
//! An [`Edit`] takes the value of a key out of its entry and puts it back when it is dropped; a
//! packed one it leaves there as long as small changes can be made in place ([`Edit::in_place`]).
//! In between a type's methods change it, and emit for each change what has happened
//! ([`Edit::emit`]); the words of one command after another with the same verb become one effect. A
//! key whose collection has become empty is gone afterwards, one that did not exist is made, and
//! its watchers are marked once.
//!
//! A collection can also be built while the key keeps what it holds ([`Edit::build`]). Nothing is
//! seen of it, and nothing is emitted, until it replaces that value ([`Edit::restore`]); without
//! that it is discarded.
//!
//! The file is long because an edit, the words that it emits and its end are one state machine:
//! whether the collection is lent, taken or built decides in each of its methods. Parts in files of
//! their own would have to be read together.

use std::mem;

use crate::UnixMs;
use crate::cells::ValueForm;
use crate::effect::EffectSink;
use crate::entry::{Entry, OccupiedEntry};
use crate::event::{Event, EventClasses};
use crate::heap::Packing;
use crate::in_place::InPlace;
use crate::keyspace::Account;
use crate::kind::{Kind, WrongKind};
use crate::layout::KeyspaceId;
use crate::limits::Limits;
use crate::locked::LockedKey;
use crate::memory::MemoryMut;
use crate::object::{Object, Typed};
use crate::raw::deadlines::NEVER;
use crate::raw::entry_ref::EntryRef;
use crate::restore::Terms;
use crate::state::{GuardState, Mode};

/// A collection taken out of its key's entry, to be put back when its changes are stated.
pub(crate) struct Edit<'g, T: Typed> {
    locked: LockedKey<'g>,
    origin: Origin,
    value: T,
    account: Account,
    /// The command whose words are being emitted; empty between effects.
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

/// Where the collection of an edit is and comes from, with the entry of the key if there is one.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// It is packed and still in the entry, where small changes are made.
    Lent(EntryRef, Packing),
    /// It was the key's.
    Taken(Option<EntryRef>),
    /// It was begun empty; the key holds what it held.
    Built(Option<EntryRef>),
}

/// A collection at the beginning of an edit.
struct Begun<T> {
    origin: Origin,
    value: T,
    account: Account,
}

/// The state of a collection after some of its due members were deleted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpiredMembers {
    /// The key's entry, if the key is still there.
    pub(crate) entry: Option<EntryRef>,
    /// How many members were deleted.
    pub(crate) expired: usize,
    /// Whether more of them may be due.
    pub(crate) more: bool,
}

/// The parts of a stripe that a change of a collection needs.
pub(crate) struct EditParts<'e, T> {
    pub(crate) value: &'e mut T,
    /// Where the members of a large collection are.
    pub(crate) memory: MemoryMut<'e>,
    pub(crate) limits: &'e Limits,
}

/// Emits changes while they are made.
pub(crate) struct EffectWriter<'e> {
    /// Whether it is put into words.
    is_wanted: bool,
    effects: &'e mut dyn EffectSink,
    keyspace: KeyspaceId,
    key: &'e [u8],
    verb: &'e mut &'static [u8],
    changes: &'e mut u64,
    kind: Kind,
    /// Where the event of a change is noted, if anybody wants to hear of it.
    noting: Option<&'e mut GuardState>,
}

impl EffectWriter<'_> {
    /// Emits one change: `words` are what the command `verb`, one word or a container and its
    /// subcommand, would be given behind the key. They are appended to the words emitted before if
    /// those were for the same verb.
    #[inline]
    pub(crate) fn emit(&mut self, verb: &'static [u8], words: &[&[u8]]) {
        *self.changes += 1;
        if self.is_wanted {
            self.write(verb, words);
        }
        if let Some(state) = &mut self.noting {
            state.note_verb(self.kind, verb, words);
        }
    }

    fn write(&mut self, verb: &'static [u8], words: &[&[u8]]) {
        // Another verb, another command: the one before is complete.
        if *self.verb != verb {
            if !self.verb.is_empty() {
                self.effects.end();
            }
            self.effects.begin(self.keyspace);
            match verb.iter().position(|byte| *byte == b' ') {
                None => self.effects.words(&[verb, self.key]),
                Some(at) => self
                    .effects
                    .words(&[&verb[..at], &verb[at + 1..], self.key]),
            }
            *self.verb = verb;
        }
        self.effects.words(words);
    }
}

impl<'g, T: Typed> Edit<'g, T> {
    /// Opens the collection of a key, an empty one where there is no key.
    ///
    /// # Errors
    /// If the key holds another type.
    #[inline(always)]
    pub(crate) fn open(entry: Entry<'g>) -> Result<Self, WrongKind> {
        let (locked, begun) = match entry {
            Entry::Occupied(occupied) => {
                let (mut locked, entry) = occupied.into_parts();
                let begun = match locked.stripe.heap.packing(entry) {
                    Some(packing) if packing.form.kind() == T::kind() => Begun {
                        origin: Origin::Lent(entry, packing),
                        // A small collection stays in the entry until a change needs more than the
                        // bytes at hand.
                        value: T::default(),
                        account: locked.payload_account(entry),
                    },
                    _ => Self::begin_large(&mut locked, entry)?,
                };
                (locked, begun)
            }
            Entry::Vacant(vacant) => {
                let locked = vacant.into_locked().without_hidden();
                let begun = Begun {
                    origin: Origin::Taken(None),
                    value: T::default(),
                    account: locked.stripe.heap.account(),
                };
                (locked, begun)
            }
        };
        Ok(Self::new(locked, begun))
    }

    #[inline(never)]
    fn begin_large(locked: &mut LockedKey<'g>, entry: EntryRef) -> Result<Begun<T>, WrongKind> {
        if locked.entry(entry).kind() != T::kind() {
            return Err(WrongKind);
        }
        let position = locked.position;
        let (object, account) = locked.keyspace().take_out(position, entry);
        Ok(Begun {
            origin: Origin::Taken(Some(entry)),
            value: T::from_object(object),
            account,
        })
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
        let account = locked.stripe.heap.account();
        let begun = Begun {
            origin: Origin::Built(entry),
            value: T::default(),
            account,
        };
        Self::new(locked, begun)
    }

    #[inline]
    fn new(locked: LockedKey<'g>, begun: Begun<T>) -> Self {
        Self {
            locked,
            origin: begun.origin,
            value: begun.value,
            account: begun.account,
            verb: b"",
            changes: Changes::default(),
        }
    }

    /// Whether the key existed when the edit began.
    pub(crate) fn existed(&self) -> bool {
        matches!(self.origin, Origin::Lent(..) | Origin::Taken(Some(_)))
    }

    /// The packed collection where it lies, if it is still there. Whoever changes it emits that.
    #[inline]
    pub(crate) fn in_place(&mut self) -> Option<InPlace<'_, 'g>> {
        match &mut self.origin {
            Origin::Lent(entry, packing) => Some(InPlace::new(&mut self.locked, entry, *packing)),
            Origin::Taken(_) | Origin::Built(_) => None,
        }
    }

    /// Takes the collection out of its entry, if it is still there, so that every change of it is
    /// possible.
    #[inline]
    pub(crate) fn take_out(&mut self) {
        if let Origin::Lent(entry, _) = self.origin {
            self.take_out_of(entry);
        }
    }

    #[inline(never)]
    fn take_out_of(&mut self, entry: EntryRef) {
        self.recount_lent(entry);
        let position = self.locked.position;
        let (object, account) = self.locked.keyspace().take_out(position, entry);
        self.value = T::from_object(object);
        (self.origin, self.account) = (Origin::Taken(Some(entry)), account);
    }

    /// Takes what has changed in a value that is still in its entry into the account of payload.
    #[inline]
    fn recount_lent(&mut self, entry: EntryRef) {
        if self.locked.layout.namespaces().is_some() {
            let before = self.account.payload();
            self.locked.keyspace().recount(entry, before);
        }
    }

    /// The sizes up to which collections are packed.
    #[inline]
    pub(crate) fn limits(&self) -> &'g Limits {
        self.locked.limits
    }

    /// The key.
    pub(crate) fn key(&self) -> &'g [u8] {
        self.locked.key
    }

    /// The collection as a reader sees it. Nothing of it is hidden: what was due has been deleted
    /// before.
    #[inline]
    pub(crate) fn view(&self) -> T::Ref<'_> {
        let heap = &self.locked.stripe.heap;
        match self.origin {
            Origin::Lent(entry, _) => {
                let (form, bytes) = heap.packed_value(entry);
                T::view_packed(form, bytes, &heap.cells.shapes)
            }
            _ => self.value.view(heap.memory(self.locked.layout), 0),
        }
    }

    /// The time of this unit of work.
    pub(crate) fn now(&self) -> UnixMs {
        self.locked.state.now
    }

    /// The collection, out of its entry, and what a change of it needs. Whoever changes something
    /// emits it.
    pub(crate) fn parts(&mut self) -> EditParts<'_, T> {
        self.parts_and_writer().0
    }

    /// Hands over what was cut off the collection, to be freed in slices.
    pub(crate) fn discard(&mut self, part: T) {
        self.locked.stripe.heap.discard(part.into());
    }

    /// As [`Self::parts`], with what emits changes while they are made.
    pub(crate) fn parts_and_writer(&mut self) -> (EditParts<'_, T>, EffectWriter<'_>) {
        self.take_out();
        let (is_wanted, is_noted) = (self.wants_effects(), self.is_noted());
        let locked = &mut self.locked;
        let parts = EditParts {
            value: &mut self.value,
            memory: locked.stripe.heap.memory_mut(locked.layout),
            limits: locked.limits,
        };
        let writer = EffectWriter {
            is_wanted,
            effects: &mut *locked.effects,
            keyspace: locked.keyspace,
            key: locked.key,
            verb: &mut self.verb,
            changes: &mut self.changes.all,
            kind: T::kind(),
            noting: is_noted.then_some(&mut *locked.state),
        };
        (parts, writer)
    }

    /// See [`EffectWriter::emit`].
    #[inline]
    pub(crate) fn emit(&mut self, verb: &'static [u8], words: &[&[u8]]) {
        if self.locked.state.wanted.any() {
            self.note(verb, words);
        }
        if !self.wants_effects() {
            self.changes.all += 1;
            return;
        }
        let mut writer = EffectWriter {
            is_wanted: true,
            effects: &mut *self.locked.effects,
            keyspace: self.locked.keyspace,
            key: self.locked.key,
            verb: &mut self.verb,
            changes: &mut self.changes.all,
            kind: T::kind(),
            noting: None,
        };
        writer.emit(verb, words);
    }

    /// Notes the event of a change.
    #[cold]
    fn note(&mut self, verb: &[u8], words: &[&[u8]]) {
        if self.is_noted() {
            self.locked.state.note_verb(T::kind(), verb, words);
        }
    }

    /// Whether the key has no entry, and none is being built.
    pub(crate) fn is_vacant(&self) -> bool {
        matches!(self.origin, Origin::Taken(None))
    }

    /// Makes the entry of a key that has none, of a packed collection that fits into it. The edit
    /// goes on with the collection where it lies. Whoever makes it emits what is in it.
    pub(crate) fn make_packed(&mut self, form: ValueForm, bytes: &[u8]) {
        debug_assert!(self.is_vacant(), "there is nothing to replace");
        let locked = &mut self.locked;
        let clock = locked.state.access.start(locked.state.now);
        let (position, key) = (locked.position, locked.key);
        let entry = locked
            .keyspace()
            .create_packed(position, key, form, bytes, clock);
        locked.note_made(T::kind());
        self.account = locked.payload_account(entry);
        let packing = locked.stripe.heap.packing(entry);
        let packing = packing.expect("it was packed into the entry");
        self.origin = Origin::Lent(entry, packing);
    }

    /// Whether changes are put into words for anybody.
    #[inline]
    pub(crate) fn is_told(&self) -> bool {
        self.wants_effects() || self.is_noted()
    }

    /// Has no event noted from here on. Returns what was to be, for
    /// [`note_again`](Self::note_again).
    pub(crate) fn note_nothing(&mut self) -> EventClasses {
        mem::take(&mut self.locked.state.wanted)
    }

    pub(crate) fn note_again(&mut self, wanted: EventClasses) {
        self.locked.state.wanted = wanted;
    }

    /// Whether events of changes are noted: somebody wants to hear of them, and the collection is
    /// the key's.
    fn is_noted(&self) -> bool {
        !matches!(self.origin, Origin::Built(_)) && self.locked.state.wanted.any()
    }

    /// Emits one change whose words are not to be joined with others'.
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

    /// Counts a change that the words emitted already cover.
    pub(crate) fn count(&mut self, changes: u64) {
        self.changes.all += changes;
    }

    /// Makes changes that are none to those who watch the key, such as the bookkeeping of a
    /// consumer group: they are counted and emitted, and no watcher is told.
    pub(crate) fn unwatched<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.changes.all;
        let result = change(self);
        self.changes.unwatched += self.changes.all - before;
        result
    }

    /// Puts a collection that was built beside what the key holds in its place. Effect: `RESTORE`.
    /// An empty one is not put there.
    pub(crate) fn restore(mut self, terms: &Terms<'_>) {
        let Origin::Built(old) = self.origin else {
            unreachable!("what was taken out of its entry is put back there");
        };
        if !self.value.is_void() {
            let object = mem::take(&mut self.value).into();
            self.locked.restore(old, object, self.account, terms);
        }
    }

    /// Whether changes are emitted: somebody wants effects, and the collection is the key's.
    #[inline]
    pub(crate) fn wants_effects(&self) -> bool {
        !matches!(self.origin, Origin::Built(_)) && self.locked.effects.wanted()
    }

    /// Puts back a collection that lay packed in its key's entry, and that may and should do so
    /// again; says whether it did.
    fn put_back_packed(&mut self) -> bool {
        let Origin::Taken(Some(entry)) = self.origin else {
            return false;
        };
        if self.changes.all == 0 || !self.account.was_packed() || self.value.is_void() {
            return false;
        }
        // It has grown out of its packed form.
        let Some((form, bytes)) = self.value.packed() else {
            return false;
        };
        let position = self.locked.position;
        let keyspace = self.locked.keyspace();
        if !keyspace.set_packed(position, entry, form, bytes) {
            return false;
        }
        // The copy in the edit has done its work, and its memory serves the next one.
        let scratch = mem::take(&mut self.value).into_packed_bytes();
        self.locked.stripe.heap.keep_scratch(scratch);
        self.locked.mark_changed(self.changes.all);
        self.locked.note_edit();
        true
    }

    /// Ends the effect whose words are being emitted: what follows is another one, whatever its
    /// verb.
    #[inline]
    pub(crate) fn end_effect(&mut self) {
        if !mem::take(&mut self.verb).is_empty() {
            self.locked.effects.end();
        }
    }
}

impl<T: Typed> Drop for Edit<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.end_effect();
        match self.origin {
            Origin::Lent(entry, _) if self.changes.all > 0 => {
                self.recount_lent(entry);
                self.locked.mark_changed(self.changes.all);
                self.locked.note_edit();
            }
            Origin::Lent(..) => {}
            Origin::Taken(_) | Origin::Built(_) => self.put_back(),
        }
    }
}

impl<T: Typed> Edit<'_, T> {
    /// Ends the edit of a collection that is not in the entry of its key.
    #[inline(never)]
    fn put_back(&mut self) {
        if self.put_back_packed() {
            return;
        }
        let object = mem::take(&mut self.value).into();
        match self.origin {
            Origin::Built(_) => self.locked.discard(object),
            Origin::Taken(entry) => {
                self.locked
                    .finish_edit(entry, object, self.account, self.changes);
            }
            Origin::Lent(..) => unreachable!("nothing was taken out"),
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

impl LockedKey<'_> {
    /// The payload of a value that is about to change in its entry, as an account.
    #[inline]
    fn payload_account(&mut self, entry: EntryRef) -> Account {
        match self.layout.namespaces() {
            None => Account::default(),
            Some(_) => Account::of_payload(self.keyspace().payload_before(entry)),
        }
    }

    /// Deletes a key that is hidden here because writes are paused: what is written now must not
    /// meet it elsewhere.
    #[inline]
    fn without_hidden(self) -> Self {
        if self.state.mode == Mode::Paused {
            self.delete_hidden()
        } else {
            self
        }
    }

    #[cold]
    fn delete_hidden(mut self) -> Self {
        let (position, key) = (self.position, self.key);
        match self.keyspace().find(position, key) {
            Some(hidden) => OccupiedEntry::new(self, hidden).remove().into_locked(),
            None => self,
        }
    }

    fn discard(&mut self, object: Object) {
        self.stripe.heap.discard(object);
        self.state.leave(self.stripe.take_garbage());
    }

    /// Puts a collection, built since `account` was taken, in place of the entry of the key.
    fn restore(
        &mut self,
        old: Option<EntryRef>,
        object: Object,
        account: Account,
        terms: &Terms<'_>,
    ) {
        // The collection's members are in cells already. To the account they are new, as if the
        // collection had been put into an empty place: so they are taken off what the heap held
        // before, once the old value is gone.
        let built = self.stripe.heap.live_bytes() - account.live_bytes();
        let (replaced, kind) = (old.map(|old| self.entry(old).kind()), object.kind());
        self.clear(old);
        // That it is new, or has replaced another one, is noted in the end.
        let wanted = mem::take(&mut self.state.wanted);
        let account = self.stripe.heap.account().before(built);
        let entry = self.finish_edit(None, object, account, Changes::watched(1));
        let entry = entry.expect("a collection with members has an entry");
        let entry = self.share_names(entry);
        let clock = self.state.access.start_with(terms.usage, self.state.now);
        self.keyspace().set_clock(entry, clock);
        if terms.expire_at.is_some() {
            self.write_expiry(entry, terms.expire_at);
        }
        self.emit_restore(terms);
        self.state.wanted = wanted;
        self.note_restored(replaced, kind);
        if wanted.any() {
            self.state.note_changed(self.keyspace, self.key);
        }
    }

    /// Lets a hash that came whole share the names of its fields with others, if settings and its
    /// form allow; says where the entry is then.
    fn share_names(&mut self, entry: EntryRef) -> EntryRef {
        let (position, limits) = (self.position, self.limits);
        let fields = self.entry(entry).packed_fields();
        match fields.is_some_and(|fields| limits.shares_names(fields)) {
            true => self.keyspace().share_names(position, entry),
            false => entry,
        }
    }

    /// Deletes up to `max` members whose time has come. Effect: `SREM` or its like.
    pub(crate) fn expire_members(&mut self, entry: EntryRef, max: usize) -> ExpiredMembers {
        let position = self.position;
        let (mut object, account) = self.keyspace().take_out(position, entry);
        let (verb, key, keyspace) = (object.removal(), self.key, self.keyspace);
        let (kind, is_noted) = (object.kind(), self.state.wanted.any());
        let (effects, state) = (&mut *self.effects, &mut *self.state);
        let now = state.now;
        let (mut expired, wanted) = (0, effects.wanted());
        // The effect begins with the first member, since there may be none.
        let mut report = |name: &[u8]| {
            if wanted {
                if expired == 0 {
                    effects.begin(keyspace);
                    effects.words(&[verb, key]);
                }
                effects.word(name);
            }
            if is_noted {
                state.note_expired_member(kind, name);
            }
            expired += 1;
        };
        let mut memory = self.stripe.heap.memory_mut(self.layout);
        let more = object.expire(now, max, &mut memory, &mut report);
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
                self.keyspace().give_back(object, account);
            }
            return entry;
        }
        let (deadline, kind) = (object.earliest_deadline(), object.kind());
        let (is_void, is_made) = (object.is_void(), entry.is_none());
        // A key that was not there is a change to who watches it, whatever it was made for.
        let is_watched = entry.is_none() || changes.all > changes.unwatched;
        let (position, key) = (self.position, self.key);
        let clock = self.state.access.start(self.state.now);
        let mut keyspace = self.keyspace();
        let entry = match entry {
            Some(entry) => {
                let entry = keyspace.put_back(position, entry, object, account);
                // The key of an empty collection goes away. It is removed as any key is, from where
                // it is then.
                if is_void {
                    keyspace.remove(position, entry);
                }
                Some(entry)
            }
            None if is_void => None,
            None => Some(keyspace.create(position, key, object, account, clock)),
        };
        if let Some(entry) = entry.filter(|_| deadline != NEVER && !is_void) {
            keyspace.lower_deadline(position, entry, deadline);
            self.stripe.lower_due(deadline);
        }
        if is_watched {
            self.mark_changed(changes.all);
        } else {
            self.count_changes(changes.all);
        }
        if self.state.wanted.any() {
            self.note_whole_edit(is_made, is_void, kind);
        }
        entry.filter(|_| !is_void)
    }

    /// Notes the events of an edit that has ended.
    #[inline]
    fn note_edit(&mut self) {
        if self.state.wanted.any() {
            self.state.note_edit(self.keyspace, self.key);
        }
    }

    /// The same of one that may have made its key, or removed it.
    #[cold]
    fn note_whole_edit(&mut self, is_made: bool, is_void: bool, kind: Kind) {
        if is_made && !is_void {
            self.note_made(kind);
        }
        self.note_edit();
        if is_void && !is_made {
            self.note_as(Event::DEL);
        }
    }
}

#[cfg(test)]
mod tests;
