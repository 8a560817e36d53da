//! Pinned keys: long work keeps others away from its keys by their names, and holds no stripe.
//!
//! A key has one unit that may change it, or any number of units that read it. Whoever lets the
//! stripe go and takes it again finds its keys as it left them: commands that a pin is against are
//! put off, and expiry and eviction pass the key over. What a unit changes is told to nobody until
//! the key is unpinned. A pin is of the key by this name in every database: a unit may move a key
//! from one to another.
//!
//! The clients whose commands were put off are owed their turn: once the pins of a key have gone,
//! no other unit gets it before these clients have had it.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::Interests;
use crate::layout::KeyspaceId;

/// Names a unit of long work. Greater than those that began before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinId(pub u64);

/// What a unit or a command does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// It only reads.
    Read,
    /// It may change it.
    Write,
}

/// Why a key cannot be pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinConflict {
    /// This unit has pinned it.
    Held(PinId),
    /// Clients are owed their turn.
    Owed,
}

/// The pins of one key.
#[derive(Debug, Default)]
struct KeyPins {
    writer: Option<PinId>,
    readers: Vec<PinId>,
    /// The databases in which the writer has changed the key.
    changed: Vec<KeyspaceId>,
    /// Those in which it is to be recorded as ready when the writer has gone.
    ready: Vec<KeyspaceId>,
    /// The clients whose commands were put off, in the order in which they came.
    owed: Vec<u64>,
    /// Whether a sweep has met these clients already.
    is_swept: bool,
    /// Stripes with keys whose waiters wait for this one.
    waiting: Vec<u16>,
}

impl KeyPins {
    fn is_held(&self) -> bool {
        self.writer.is_some() || !self.readers.is_empty()
    }

    /// The unit whose pin is against a use by `own`.
    fn against(&self, used: KeyUse, own: Option<PinId>) -> Option<PinId> {
        let readers = self.readers.iter().copied();
        let readers = readers.filter(|_| used == KeyUse::Write);
        let mut others = self.writer.into_iter().chain(readers);
        others.find(|id| Some(*id) != own)
    }
}

/// The pins in one stripe. Empty almost always.
#[derive(Debug, Default)]
pub(super) struct PinnedKeys(HashMap<Box<[u8]>, KeyPins, RandomState>);

impl PinnedKeys {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the news of a change until the key is unpinned, if somebody has pinned it to change
    /// it.
    pub(super) fn keep_change(&mut self, keyspace: KeyspaceId, key: &[u8]) -> bool {
        self.keep(key, keyspace, |pins| &mut pins.changed)
    }

    /// The same for a key whose waiters are to be looked at.
    pub(super) fn keep_ready(&mut self, keyspace: KeyspaceId, key: &[u8]) -> bool {
        self.keep(key, keyspace, |pins| &mut pins.ready)
    }

    fn keep(
        &mut self,
        key: &[u8],
        keyspace: KeyspaceId,
        list: impl FnOnce(&mut KeyPins) -> &mut Vec<KeyspaceId>,
    ) -> bool {
        let pins = self.0.get_mut(key).filter(|pins| pins.writer.is_some());
        let Some(pins) = pins else { return false };
        let list = list(pins);
        if !list.contains(&keyspace) {
            list.push(keyspace);
        }
        true
    }
}

impl Interests {
    /// Whether any key is pinned, or clients are owed their turn.
    #[inline]
    pub(crate) fn has_pins(&self) -> bool {
        !self.pins.is_empty()
    }

    /// The unit whose pin is against a use of a key by `own`, or by a command.
    pub(crate) fn pinned_against(
        &self,
        key: &[u8],
        used: KeyUse,
        own: Option<PinId>,
    ) -> Option<PinId> {
        self.pins.0.get(key)?.against(used, own)
    }

    /// Pins a key.
    ///
    /// # Errors
    /// If another unit's pin is against it, or clients are owed their turn.
    pub(crate) fn pin(&mut self, key: &[u8], used: KeyUse, id: PinId) -> Result<(), PinConflict> {
        if let Some(pins) = self.pins.0.get(key) {
            if let Some(other) = pins.against(used, Some(id)) {
                return Err(PinConflict::Held(other));
            }
            if !pins.is_held() && !pins.owed.is_empty() {
                return Err(PinConflict::Owed);
            }
        }
        let before = self.pins.0.len();
        let pins = self.pins.0.entry(key.into()).or_default();
        match used {
            KeyUse::Write => {
                pins.readers.retain(|reader| *reader != id);
                pins.writer = Some(id);
            }
            KeyUse::Read if pins.writer == Some(id) || pins.readers.contains(&id) => {}
            KeyUse::Read => pins.readers.push(id),
        }
        self.active += self.pins.0.len() - before;
        Ok(())
    }

    /// Ends the pin of a unit, and tells of what it has changed. Returns the stripes with keys
    /// whose waiters have waited for this one.
    pub(crate) fn unpin(&mut self, key: &[u8], id: PinId) -> Vec<u16> {
        let Some(pins) = self.pins.0.get_mut(key) else {
            return Vec::new();
        };
        if pins.writer == Some(id) {
            pins.writer = None;
        }
        pins.readers.retain(|reader| *reader != id);
        if pins.is_held() {
            return Vec::new();
        }
        let (changed, ready) = (
            std::mem::take(&mut pins.changed),
            std::mem::take(&mut pins.ready),
        );
        let waiting = std::mem::take(&mut pins.waiting);
        self.forget_pins(key);
        for keyspace in changed {
            self.tell(keyspace, key);
        }
        for keyspace in ready {
            self.mark_ready(keyspace, key);
        }
        waiting
    }

    /// Notes that a command of a client is put off until a key is not pinned any more.
    pub(crate) fn owe(&mut self, key: &[u8], client: u64) {
        if let Some(pins) = self.pins.0.get_mut(key)
            && !pins.owed.contains(&client)
        {
            pins.owed.push(client);
        }
    }

    /// Notes that a client has had its turn.
    pub(crate) fn settle_debt(&mut self, key: &[u8], client: u64) {
        if let Some(pins) = self.pins.0.get_mut(key) {
            pins.owed.retain(|owed| *owed != client);
            self.forget_pins(key);
        }
    }

    /// Owes nothing any more to clients that did not come for a key.
    pub(crate) fn cancel_debts(&mut self, key: &[u8]) {
        if let Some(pins) = self.pins.0.get_mut(key) {
            pins.owed.clear();
            self.forget_pins(key);
        }
    }

    /// Cancels debts that an earlier sweep has met already: these clients are gone.
    pub(crate) fn sweep_debts(&mut self) {
        let is_stale = |pins: &mut KeyPins| {
            let is_owing = !pins.is_held();
            is_owing && std::mem::replace(&mut pins.is_swept, true)
        };
        let before = self.pins.0.len();
        self.pins.0.retain(|_, pins| !is_stale(pins));
        self.active -= before - self.pins.0.len();
    }

    /// Notes that a waiter of a key in another stripe cannot be served before this key is unpinned.
    pub(crate) fn wait_for_pin(&mut self, key: &[u8], stripe: u16) {
        if let Some(pins) = self.pins.0.get_mut(key)
            && !pins.waiting.contains(&stripe)
        {
            pins.waiting.push(stripe);
        }
    }

    /// Removes the pins of a key if there are none and nobody is owed anything.
    fn forget_pins(&mut self, key: &[u8]) {
        let pins = self.pins.0.get(key);
        if pins.is_some_and(|pins| !pins.is_held() && pins.owed.is_empty()) {
            self.pins.0.remove(key);
            self.active -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
