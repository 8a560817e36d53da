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

use super::{Interests, next_turn};
use crate::layout::KeyspaceId;

/// Names a unit of long work. Greater than those that began before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinId(pub u64);

/// The use that a unit or a command makes of a key.
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

/// A change of a pinned key that is told when the key is unpinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptNews {
    /// When it came up.
    pub turn: u64,
    keyspace: KeyspaceId,
    /// The key has changed; otherwise its waiters are to be looked at.
    is_change: bool,
}

/// The work that a pin leaves when it has gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unpinned {
    /// Stripes with keys whose waiters have waited for the key.
    pub waiting: Vec<u16>,
    /// The news of the key, to be [told](crate::Guard::tell_kept).
    pub news: Vec<KeptNews>,
}

/// The pins of one key.
#[derive(Debug, Default)]
struct KeyPins {
    writer: Option<PinId>,
    readers: Vec<PinId>,
    /// News to be told when the writer has gone.
    news: Vec<KeptNews>,
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
    pub(super) fn keep_change(&mut self, keyspace: KeyspaceId, key: &[u8], turn: u64) -> bool {
        self.keep(keyspace, key, turn, true)
    }

    /// The same for a key whose waiters are to be looked at.
    pub(super) fn keep_ready(&mut self, keyspace: KeyspaceId, key: &[u8]) -> bool {
        self.keep(keyspace, key, next_turn(), false)
    }

    fn keep(&mut self, keyspace: KeyspaceId, key: &[u8], turn: u64, is_change: bool) -> bool {
        let pins = self.0.get_mut(key).filter(|pins| pins.writer.is_some());
        let Some(pins) = pins else { return false };
        let is_same = |it: &KeptNews| (it.keyspace, it.is_change) == (keyspace, is_change);
        // One word is enough, however often the key changes.
        if !pins.news.iter().any(is_same) {
            pins.news.push(KeptNews {
                turn,
                keyspace,
                is_change,
            });
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

    /// Ends the pin of a unit.
    pub(crate) fn unpin(&mut self, key: &[u8], id: PinId) -> Unpinned {
        let Some(pins) = self.pins.0.get_mut(key) else {
            return Unpinned::default();
        };
        if pins.writer == Some(id) {
            pins.writer = None;
        }
        pins.readers.retain(|reader| *reader != id);
        if pins.is_held() {
            return Unpinned::default();
        }
        let left = Unpinned {
            waiting: std::mem::take(&mut pins.waiting),
            news: std::mem::take(&mut pins.news),
        };
        self.forget_pins(key);
        left
    }

    /// Tells what was kept while a key was pinned.
    pub(crate) fn tell_kept(&mut self, key: &[u8], news: KeptNews) {
        match news.is_change {
            true => self.tell_of(news.keyspace, key, news.turn),
            false => self.mark_ready(news.keyspace, key),
        }
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
