//! Keys that get another name, another keyspace or a double.
//!
//! A value that stays in its stripe is passed on as it is. One that goes to another stripe takes
//! its string or chunks along, but the members of a table lie in the cells of the stripe and have
//! to be copied. That is done beforehand, in slices (see [`preparation`](super::preparation));
//! where it was not, it is done at once.

use super::{Guard, Place};
use crate::clock::READ;
use crate::event::{Event, EventClasses};
use crate::keyspace::Payload;
use crate::kind::Kind;
use crate::layout::KeyspaceId;
use crate::text::IntText;

impl Guard<'_> {
    /// Gives the value and expiry of `key` to `to`, replacing what is there, and says whether `key`
    /// existed. Effect: `RENAME`. The two differ.
    pub fn rename(&mut self, key: &[u8], to: &[u8]) -> bool {
        let (key, to) = (self.layout.canonical(key), self.layout.canonical(to));
        let Some(taken) = self.detach(key, self.index_of(to)) else {
            return false;
        };
        let replaced = self.attach(self.keyspace, to, taken);
        self.finish_keyspace(&[b"RENAME", key, to]);
        if self.state.wanted.any() {
            self.note(key, Event::RENAME_FROM);
            self.note_attached(self.keyspace, to, Event::RENAME_TO, replaced);
        }
        true
    }

    /// Moves a key to another keyspace where it does not exist yet, and says whether it did.
    /// Effect: `MOVE`.
    pub fn move_to(&mut self, key: &[u8], to: KeyspaceId) -> bool {
        if self.exists_in(to, key) {
            return false;
        }
        let key = self.layout.canonical(key);
        let Some(taken) = self.detach(key, self.index_of(key)) else {
            return false;
        };
        self.attach(to, key, taken);
        self.finish_keyspace(&[b"MOVE", key, IntText::default().unsigned(u64::from(to.0))]);
        if self.state.wanted.any() {
            self.note(key, Event::MOVE_FROM);
            self.state.note(to, key, Event::MOVE_TO);
        }
        true
    }

    /// Copies a key with its expiry over whatever is at the destination, and says whether the key
    /// existed. Effect: `COPY`. Source and destination differ.
    pub fn copy(&mut self, key: &[u8], keyspace: KeyspaceId, to: &[u8]) -> bool {
        let (key, to) = (self.layout.canonical(key), self.layout.canonical(to));
        let place = self.locate(key.into());
        let Some(entry) = self.find(place) else {
            return false;
        };
        // A copy in slices may be ready at the destination, with all members in the cells there.
        let prepared = self.take_prepared(place.index, entry, self.index_of(to));
        let stripe = self.stripes.stripe(place.index);
        let mut source = stripe.keyspace_mut(place.table, self.layout);
        let copied = match prepared {
            Some(content) => Payload::of(source.entry(entry), content),
            None => source.copy(entry).blessed(false),
        };
        let replaced = self.attach(keyspace, to, copied);
        let db = u64::from(keyspace.0);
        self.finish_keyspace(&[
            b"COPY",
            key,
            to,
            b"DB",
            IntText::default().unsigned(db),
            b"REPLACE",
        ]);
        if self.state.wanted.any() {
            self.note_attached(keyspace, to, Event::COPY_TO, replaced);
        }
        true
    }

    /// Takes a key out, to be put into the stripe `to`, without an effect of its own.
    fn detach(&mut self, key: &[u8], to: usize) -> Option<Payload<'static>> {
        let place = self.locate(key.into());
        let (index, position) = (place.index, place.position);
        let entry = self.find(place)?;
        // Within a stripe the members stay where they are.
        let prepared = match index == to {
            true => None,
            false => self.take_prepared(index, entry, to),
        };
        if self.state.wanted.meets(EventClasses::FORMER) {
            self.note_former(place, self.keyspace);
        }
        let stripe = self.stripes.stripe(index);
        stripe.interests.mark_changed(self.keyspace, key);
        let mut source = stripe.keyspace_mut(place.table, self.layout);
        let taken = match prepared {
            Some(content) => {
                let is_blessed = source.read().is_blessed(position, entry);
                let taken = Payload::of(source.entry(entry), content).blessed(is_blessed);
                source.remove(position, entry);
                taken
            }
            None => source.take(position, entry, index == to),
        };
        stripe.tell_namespace(place.table, self.layout);
        self.state.leave(stripe.take_garbage());
        if self.state.wanted.any() {
            self.state.note_changed(self.keyspace, key);
        }
        Some(taken)
    }

    /// Puts an entry in place of whatever a key holds, without an effect of its own. Returns the
    /// kind of what was there.
    fn attach(&mut self, keyspace: KeyspaceId, key: &[u8], payload: Payload<'_>) -> Option<Kind> {
        let hash = self.layout.hash(key);
        let (index, position) = (self.layout.stripe_of(hash), self.layout.position_of(hash));
        let table = self
            .stripes
            .stripe(index)
            .reach_table(self.layout, keyspace, key);
        if self.state.wanted.meets(EventClasses::FORMER) {
            let place = Place {
                index,
                position,
                table,
                key,
            };
            self.note_former(place, keyspace);
        }
        let stripe = self.stripes.stripe(index);
        stripe.interests.mark_changed(keyspace, key);
        // The stripe has to wake for a key, or a member, that came with its expiry.
        if let Some(at) = payload.earliest_deadline(&stripe.heap) {
            stripe.lower_due(at);
        }
        let mut target = stripe.keyspace_mut(table, self.layout);
        let mut replaced = None;
        if let Some(old) = target.find(position, key) {
            replaced = Some(target.entry(old).kind());
            target.remove(position, old);
        }
        let is_read = payload.clock == READ;
        target.insert(position, key, payload);
        if is_read {
            stripe.note_read_key(table, position);
        }
        stripe.tell_namespace(table, self.layout);
        self.state.leave(stripe.take_garbage());
        if self.state.wanted.any() {
            self.state.note_changed(keyspace, key);
            self.state.note(keyspace, key, Event::NEW);
        }
        replaced
    }

    /// Notes the event of a key that was put into its place, and that it has replaced another one.
    #[cold]
    fn note_attached(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        event: &'static Event,
        replaced: Option<Kind>,
    ) {
        self.state.note(keyspace, key, event);
        let before = self.select(keyspace);
        let new = self.peek(key).map(|view| view.kind());
        self.select(before);
        if let Some((old, new)) = replaced.zip(new) {
            self.state.note_replaced(keyspace, key, old, new);
        }
    }
}
