//! Pinning keys, and whether a command may use one that is pinned.

use super::{Guard, Place};
use crate::UnixMs;
use crate::interests::pins::{KeptNews, KeyUse, PinConflict, PinId, Unpinned};
use crate::state::Overdue;

impl Guard<'_> {
    /// Whether keys of the stripe of this one are pinned, or clients are owed their turn.
    pub fn has_pins(&mut self, key: &[u8]) -> bool {
        let index = self.index_of(key);
        self.stripes.look(index).has_pins()
    }

    /// The unit whose pin is against a use of a key by the unit `own`, or by a command. A pin to
    /// read is also against reading what is overdue, as that would be deleted.
    pub fn pinned_against(
        &mut self,
        key: &[u8],
        used: KeyUse,
        own: Option<PinId>,
    ) -> Option<PinId> {
        let place = self.locate(key.into());
        let used = match used {
            KeyUse::Read if self.is_overdue(place) => KeyUse::Write,
            used => used,
        };
        let interests = &self.stripes.look(place.index).interests;
        interests.pinned_against(place.key, used, own)
    }

    /// Whether a key or members of its value are to be deleted when the key is met.
    pub fn has_overdue(&mut self, key: &[u8]) -> bool {
        let place = self.locate(key.into());
        self.is_overdue(place)
    }

    fn is_overdue(&mut self, place: Place<'_>) -> bool {
        let Some(keyspace) = self.stripes.look(place.index).keyspace(place.table) else {
            return false;
        };
        let entry = keyspace.find(place.position, place.key);
        let overdue = entry.map(|entry| self.state.overdue(&keyspace.entry(entry), self.layout));
        overdue.is_some_and(|overdue| overdue != Overdue::Nothing)
    }

    /// Pins a key for a unit of long work: nobody else changes it until it is unpinned, or reads it
    /// if the unit writes. A unit that only reads and finds something [overdue](Self::has_overdue)
    /// pins the key to change it.
    ///
    /// # Errors
    /// If another unit's pin is against it, or clients are owed their turn.
    pub fn pin(&mut self, key: &[u8], used: KeyUse, id: PinId) -> Result<(), PinConflict> {
        let key = self.layout.canonical(key);
        let index = self.index_of(key);
        let stripe = self.stripes.stripe(index);
        stripe.with_pins(|interests| interests.pin(key, used, id))
    }

    /// Ends a pin. What the unit has changed is to be [told](Self::tell_kept), in the order of the
    /// turns.
    pub fn unpin(&mut self, key: &[u8], id: PinId) -> Unpinned {
        let key = self.layout.canonical(key);
        let index = self.index_of(key);
        let stripe = self.stripes.stripe(index);
        stripe.with_pins(|interests| interests.unpin(key, id))
    }

    /// Tells what was kept while a key was pinned.
    pub fn tell_kept(&mut self, key: &[u8], news: KeptNews) {
        let key = self.layout.canonical(key);
        let index = self.index_of(key);
        let stripe = self.stripes.stripe(index);
        stripe.with_pins(|interests| interests.tell_kept(key, news));
    }

    /// Notes that a command of a client is put off until a key is not pinned any more. No other
    /// unit gets the key before the client has [had its turn](Self::settle_debt).
    pub fn owe(&mut self, key: &[u8], client: u64) {
        let key = self.layout.canonical(key);
        let index = self.index_of(key);
        let stripe = self.stripes.stripe(index);
        stripe.with_pins(|interests| interests.owe(key, client));
    }

    /// Notes that a client has had its turn.
    pub fn settle_debt(&mut self, key: &[u8], client: u64) {
        let key = self.layout.canonical(key);
        let index = self.index_of(key);
        let stripe = self.stripes.stripe(index);
        stripe.with_pins(|interests| interests.settle_debt(key, client));
    }

    /// Owes nothing any more to clients that did not come for a key.
    pub fn cancel_debts(&mut self, key: &[u8]) {
        let key = self.layout.canonical(key);
        let index = self.index_of(key);
        let stripe = self.stripes.stripe(index);
        stripe.with_pins(|interests| interests.cancel_debts(key));
    }

    /// Notes that a waiter of the key `ready` cannot be served before `key` is unpinned.
    pub fn wait_for_pin(&mut self, key: &[u8], ready: &[u8]) {
        let (key, ready) = (self.layout.canonical(key), self.stripe_of(ready));
        let index = self.index_of(key);
        let stripe = self.stripes.stripe(index);
        stripe.with_pins(|interests| interests.wait_for_pin(key, ready));
    }

    /// Lets others have the stripes for a moment, where that is agreed: the keys are pinned. Call
    /// it between two slices of long work, and look everything up anew. Returns the time then, 0
    /// where nothing is let go.
    #[inline]
    pub fn breathe(&mut self) -> UnixMs {
        self.stripes.breathe()
    }

    /// The same until a key is asked for again: for work that needs none meanwhile. Nothing may be
    /// [viewed](Self::view) before.
    #[inline]
    pub fn rest(&mut self) {
        self.stripes.rest();
    }
}
