//! The interests in one stripe: who wants to know when a key changes.
//!
//! Three kinds of interest meet at a key. A watch ([`WatchToken`]) turns dirty. A [`Waiter`] is a
//! client that is blocked until the key can be served; waiters stand in line by their turn, and a
//! change records the key as [ready](ReadyKey). A tracked key is one that clients keep a copy of:
//! its next change is reported as [changed](ChangedKey) with their numbers, and it is tracked no
//! more. Whoever holds the stripe takes both records before letting it go, in the order of their
//! turns. A fourth kind keeps others away: a [pin](pins).
//!
//! Without any interest the check before a change is one comparison. With some, a change costs two
//! lookups. A waiter in a line of n is found in O(log n).

pub(crate) mod pins;

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use foldhash::fast::RandomState;

use self::pins::PinnedKeys;
use crate::layout::KeyspaceId;

/// Says whether any key watched with it has changed since. Shared between the watcher and the
/// stripes.
#[derive(Debug, Default)]
pub struct WatchToken(AtomicBool);

impl WatchToken {
    /// Whether a watched key has changed.
    pub fn is_dirty(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn mark(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The state of a key that serves a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It holds a list.
    List,
    /// It holds a sorted set.
    Zset,
    /// It holds a stream with entries that the waiter has not seen.
    Stream,
    /// The same for a consumer of a group, or the group is there no more.
    Group,
}

impl Wanted {
    /// Whether it is served by a key that does not exist, too.
    pub fn needs_no_key(self) -> bool {
        self == Self::Group
    }
}

/// A client that is blocked on keys, as the stripes know it.
pub trait Waiter: Any + Debug + Send + Sync {
    /// Its place in the lines of its keys: a [`next_turn`] that was taken while the stripes of all
    /// of them were held.
    fn turn(&self) -> u64;

    /// The type that it waits for.
    fn wanted(&self) -> Wanted;

    /// The stripes beside that of the key which must be held to serve it.
    fn reaches(&self) -> &[u16];
}

static TURNS: AtomicU64 = AtomicU64::new(1);

/// A number greater than all before. Taken while a stripe is held, it orders what happens there.
pub fn next_turn() -> u64 {
    TURNS.fetch_add(1, Ordering::Relaxed)
}

/// A key that has changed so that its waiters may be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyKey {
    /// When that was.
    pub turn: u64,
    /// Where it is.
    pub keyspace: KeyspaceId,
    /// The key.
    pub key: Box<[u8]>,
}

/// A tracked key that has changed, or that is tracked no more to make room for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedKey {
    /// When it changed.
    pub turn: u64,
    /// Where it is.
    pub keyspace: KeyspaceId,
    /// The key.
    pub key: Box<[u8]>,
    /// The clients that have tracked it. Some may be gone.
    pub trackers: Vec<u64>,
    /// Whether it is as it was: it made room for another.
    pub is_evicted: bool,
}

/// A change of the number of tracked keys, and of clients for each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackedChange {
    /// Keys that were not tracked before, or are not any more.
    pub keys: usize,
    /// Pairs of a key and a client that are new, or gone.
    pub items: usize,
    /// Of those that were there before, how many clients turned out to be gone.
    pub gone: usize,
}

/// A change in the number of keys that clients wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineChange {
    /// The key's first waiter has come, or its last one has gone.
    pub key: bool,
    /// The same for those that [need no key](Wanted::needs_no_key).
    pub no_key: bool,
}

/// A list of so many trackers is not searched for clients that are gone.
const FEW_TRACKERS: usize = 8;

type Line = VecDeque<Arc<dyn Waiter>>;

/// The waiters of one key, a line for each thing that they want.
#[derive(Debug, Default)]
struct Lines {
    lines: Vec<(Wanted, Line)>,
    /// The key is recorded as ready.
    is_ready: bool,
}

impl Lines {
    fn line(&self, wanted: Wanted) -> Option<&Line> {
        let mut lines = self.lines.iter();
        lines.find(|(of, _)| *of == wanted).map(|(_, line)| line)
    }

    fn push(&mut self, waiter: Arc<dyn Waiter>) -> LineChange {
        let wanted = waiter.wanted();
        let change = LineChange {
            key: self.lines.is_empty(),
            no_key: wanted.needs_no_key() && self.line(wanted).is_none(),
        };
        let mut lines = self.lines.iter_mut();
        match lines.find(|(of, _)| *of == wanted) {
            Some((_, line)) => line.push_back(waiter),
            None => self.lines.push((wanted, Line::from([waiter]))),
        }
        change
    }

    fn remove(&mut self, wanted: Wanted, turn: u64) -> Option<LineChange> {
        let which = self.lines.iter().position(|(of, _)| *of == wanted)?;
        let line = &mut self.lines[which].1;
        // Turns ascend in a line: they were taken in the order of coming.
        let at = line.binary_search_by_key(&turn, |waiter| waiter.turn());
        line.remove(at.ok()?);
        if !line.is_empty() {
            return Some(LineChange::default());
        }
        self.lines.swap_remove(which);
        Some(LineChange {
            key: self.lines.is_empty(),
            no_key: wanted.needs_no_key(),
        })
    }
}

/// Who is interested in one key.
#[derive(Debug, Default)]
struct Interest {
    tokens: Vec<Arc<WatchToken>>,
    lines: Option<Box<Lines>>,
    /// The clients that keep a copy, by their numbers.
    trackers: Vec<u64>,
    /// Where the key stands in the list of those that are tracked, if it is.
    place: usize,
}

impl Interest {
    fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.lines.is_none() && self.trackers.is_empty()
    }
}

/// A change that may still be undone, and when it was made.
#[derive(Debug)]
struct HeldBack {
    turn: u64,
    keyspace: KeyspaceId,
    key: Box<[u8]>,
}

type InterestByKey = HashMap<Arc<[u8]>, Interest, RandomState>;

/// The interests in one stripe. Empty almost always.
#[derive(Debug, Default)]
pub(crate) struct Interests {
    /// Keys that somebody is interested in, and pins.
    active: usize,
    pins: PinnedKeys,
    /// Those among them that are tracked, in no order: one may be chosen at random.
    tracked: Vec<(KeyspaceId, Arc<[u8]>)>,
    keyspaces: HashMap<KeyspaceId, InterestByKey>,
    /// Waiters that reach other stripes.
    reaching: usize,
    ready: VecDeque<ReadyKey>,
    changed: Vec<ChangedKey>,
    /// Something is in one of the two records.
    has_news: bool,
    /// Keys that have changed while changes may still be undone; none while they may not.
    held_back: Option<Vec<HeldBack>>,
}

impl Interests {
    /// Whether nobody is interested in anything.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.active == 0
    }

    /// Ends a change of a key: tells everybody who is interested in it.
    #[inline]
    pub(crate) fn mark_changed(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        if !self.is_empty() {
            self.tell(keyspace, key);
        }
    }

    /// Tells nobody of changes, until they are kept or undone.
    pub(crate) fn hold_back(&mut self) {
        self.held_back = Some(Vec::new());
    }

    /// Tells of the changes since, if they are kept, and of those to come.
    pub(crate) fn release(&mut self, kept: bool) {
        let changed = self.held_back.take().unwrap_or_default();
        for it in changed.into_iter().filter(|_| kept) {
            self.tell_of(it.keyspace, &it.key, it.turn);
        }
    }

    #[cold]
    fn tell(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        let turn = next_turn();
        match &mut self.held_back {
            None => self.tell_of(keyspace, key, turn),
            Some(held_back) => held_back.push(HeldBack {
                turn,
                keyspace,
                key: key.into(),
            }),
        }
    }

    /// Tells of a change that was made at a turn.
    fn tell_of(&mut self, keyspace: KeyspaceId, key: &[u8], turn: u64) {
        if self.pins.keep_change(keyspace, key, turn) {
            return;
        }
        let keys = self.keyspaces.get_mut(&keyspace);
        let interest = keys.and_then(|keys| keys.get_mut(key));
        let Some(interest) = interest else { return };
        // Watches stay until they are ended: a token that is dirty stays so.
        interest.tokens.iter().for_each(|token| token.mark());
        let lines = interest.lines.as_mut();
        // One record is enough, however often the key changes before somebody serves it.
        let is_ready = lines.is_some_and(|lines| !std::mem::replace(&mut lines.is_ready, true));
        let trackers = self.take_trackers(keyspace, key);
        if is_ready {
            self.ready.push_back(ReadyKey {
                turn,
                keyspace,
                key: key.into(),
            });
        }
        self.has_news |= is_ready;
        if !trackers.is_empty() {
            self.report(ChangedKey {
                turn,
                keyspace,
                key: key.into(),
                trackers,
                is_evicted: false,
            });
        }
    }

    /// Ends the tracking of a key, and the interest with it if that was all. Returns the clients.
    fn take_trackers(&mut self, keyspace: KeyspaceId, key: &[u8]) -> Vec<u64> {
        let Some(interest) = self.find_mut(keyspace, key) else {
            return Vec::new();
        };
        let trackers = std::mem::take(&mut interest.trackers);
        if trackers.is_empty() {
            return trackers;
        }
        // Out of the list in one step, by the place that the key has noted.
        let place = interest.place;
        self.tracked.swap_remove(place);
        // The last of the list has taken its place.
        if let Some((keyspace, moved)) = self.tracked.get(place).cloned()
            && let Some(interest) = self.find_mut(keyspace, &moved)
        {
            interest.place = place;
        }
        self.forget(keyspace, key);
        trackers
    }

    /// Reports a key that is tracked no more.
    fn report(&mut self, changed: ChangedKey) {
        self.has_news = true;
        self.changed.push(changed);
    }

    /// The same for every key of interest in `keyspace` for which `is_changed` holds.
    pub(crate) fn mark_changed_where(
        &mut self,
        keyspace: KeyspaceId,
        is_changed: impl Fn(&[u8]) -> bool,
    ) {
        // Telling may end interests, and with them change the map.
        let keys: Vec<_> = self.keys(keyspace).filter(|key| is_changed(key)).collect();
        for key in keys {
            self.tell(keyspace, &key);
        }
    }

    /// The keys of a keyspace that somebody is interested in.
    pub(crate) fn keys(&self, keyspace: KeyspaceId) -> impl Iterator<Item = Box<[u8]>> {
        let keys = self.keyspaces.get(&keyspace).into_iter();
        keys.flat_map(|keys| keys.keys().map(|key| Box::from(&**key)))
    }

    fn interest(&mut self, keyspace: KeyspaceId, key: &[u8]) -> &mut Interest {
        let keys = self.keyspaces.entry(keyspace).or_default();
        if !keys.contains_key(key) {
            self.active += 1;
        }
        keys.entry(key.into()).or_default()
    }

    fn find(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<&Interest> {
        self.keyspaces.get(&keyspace)?.get(key)
    }

    fn find_mut(&mut self, keyspace: KeyspaceId, key: &[u8]) -> Option<&mut Interest> {
        self.keyspaces.get_mut(&keyspace)?.get_mut(key)
    }

    /// Removes an interest that nobody has any more.
    fn forget(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        let Some(keys) = self.keyspaces.get_mut(&keyspace) else {
            return;
        };
        if keys.get(key).is_some_and(Interest::is_empty) {
            keys.remove(key);
            self.active -= 1;
        }
        if keys.is_empty() {
            self.keyspaces.remove(&keyspace);
        }
    }

    // Watches.

    pub(crate) fn watch(&mut self, keyspace: KeyspaceId, key: &[u8], token: &Arc<WatchToken>) {
        let tokens = &mut self.interest(keyspace, key).tokens;
        if !tokens.iter().any(|known| Arc::ptr_eq(known, token)) {
            tokens.push(Arc::clone(token));
        }
    }

    pub(crate) fn unwatch(&mut self, keyspace: KeyspaceId, key: &[u8], token: &Arc<WatchToken>) {
        if let Some(interest) = self.find_mut(keyspace, key) {
            interest.tokens.retain(|known| !Arc::ptr_eq(known, token));
            self.forget(keyspace, key);
        }
    }

    // Waiters.

    /// Puts a waiter into the line of a key, unless it stands there.
    pub(crate) fn wait(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        waiter: &Arc<dyn Waiter>,
    ) -> Option<LineChange> {
        let lines = self.interest(keyspace, key).lines.get_or_insert_default();
        // Its stripes are held from its first key to its last, so nobody has come behind it.
        let last = lines.line(waiter.wanted()).and_then(VecDeque::back);
        if last.is_some_and(|last| last.turn() == waiter.turn()) {
            return None;
        }
        let change = lines.push(Arc::clone(waiter));
        self.reaching += usize::from(!waiter.reaches().is_empty());
        Some(change)
    }

    /// Takes a waiter out of the line of a key, if it is there.
    pub(crate) fn end_wait(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        waiter: &dyn Waiter,
    ) -> Option<LineChange> {
        let (change, was_ready) = self.find_mut(keyspace, key).and_then(|interest| {
            let lines = interest.lines.as_mut()?;
            let change = lines.remove(waiter.wanted(), waiter.turn())?;
            // With the last waiter nobody is left whom the record is for.
            let was_ready = change.key && lines.is_ready;
            if change.key {
                interest.lines = None;
            }
            Some((change, was_ready))
        })?;
        if was_ready {
            let is_it = |ready: &ReadyKey| ready.keyspace == keyspace && *ready.key == *key;
            self.ready.retain(|ready| !is_it(ready));
            self.note_news();
        }
        self.reaching -= usize::from(!waiter.reaches().is_empty());
        self.forget(keyspace, key);
        Some(change)
    }

    /// The first in a key's line whose turn came after `turn`.
    pub(crate) fn waiter_after(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        wanted: Wanted,
        turn: u64,
    ) -> Option<Arc<dyn Waiter>> {
        let line = self.find(keyspace, key)?.lines.as_ref()?.line(wanted)?;
        let at = line.partition_point(|waiter| waiter.turn() <= turn);
        line.get(at).cloned()
    }

    /// Whether any waiter reaches other stripes.
    #[inline]
    pub(crate) fn is_reaching(&self) -> bool {
        self.reaching > 0
    }

    /// Adds the stripes that waiters reach: those of a key, in whichever keyspace, or of all keys.
    pub(crate) fn add_reaches(&self, key: Option<&[u8]>, stripes: &mut Vec<u16>) {
        for keys in self.keyspaces.values() {
            match key {
                Some(key) => Self::add_reaches_of(keys.get(key), stripes),
                None => Self::add_reaches_of(keys.values(), stripes),
            }
        }
    }

    fn add_reaches_of<'a>(
        interests: impl IntoIterator<Item = &'a Interest>,
        stripes: &mut Vec<u16>,
    ) {
        let interests = interests.into_iter();
        let lines = interests.filter_map(|interest| interest.lines.as_ref());
        let waiters = lines.flat_map(|lines| &lines.lines);
        for waiter in waiters.flat_map(|(_, line)| line) {
            stripes.extend_from_slice(waiter.reaches());
        }
    }

    /// Records a key as ready although nothing has changed.
    pub(crate) fn mark_ready(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        if self.pins.keep_ready(keyspace, key) {
            return;
        }
        let lines = self.find_mut(keyspace, key);
        let lines = lines.and_then(|interest| interest.lines.as_mut());
        if lines.is_some_and(|lines| !std::mem::replace(&mut lines.is_ready, true)) {
            self.ready.push_back(ReadyKey {
                turn: next_turn(),
                keyspace,
                key: key.into(),
            });
            self.has_news = true;
        }
    }

    // Tracked keys.

    /// Has the next change of a key reported to a client, once. Where the list of clients is about
    /// to grow, those that are not `alive` are dropped from it first.
    pub(crate) fn track(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        client: u64,
        alive: impl Fn(u64) -> bool,
    ) -> TrackedChange {
        let place = self.tracked.len();
        let interest = self.interest(keyspace, key);
        let trackers = &mut interest.trackers;
        if trackers.contains(&client) {
            return TrackedChange::default();
        }
        let before = trackers.len();
        if before >= FEW_TRACKERS && before == trackers.capacity() {
            trackers.retain(|client| alive(*client));
        }
        let gone = before - trackers.len();
        trackers.push(client);
        if before == 0 {
            interest.place = place;
            let known = self.keyspaces.get(&keyspace);
            let known = known.and_then(|keys| keys.get_key_value(key));
            let (key, _) = known.expect("the interest in it was found or made above");
            self.tracked.push((keyspace, Arc::clone(key)));
        }
        TrackedChange {
            keys: usize::from(before == 0),
            items: 1,
            gone,
        }
    }

    /// Reports one of the tracked keys, chosen by `random`, as if it had changed. Says whether
    /// there was one.
    pub(crate) fn evict_tracked(&mut self, random: u64) -> bool {
        let chosen = random.checked_rem(self.tracked.len() as u64);
        let chosen = chosen.map(|place| self.tracked[place as usize].clone());
        let Some((keyspace, key)) = chosen else {
            return false;
        };
        let trackers = self.take_trackers(keyspace, &key);
        self.report(ChangedKey {
            turn: next_turn(),
            keyspace,
            key: Box::from(&*key),
            trackers,
            is_evicted: true,
        });
        true
    }

    /// Tracks no key any more, without a report. Says how much that were.
    pub(crate) fn forget_tracked(&mut self) -> TrackedChange {
        let mut change = TrackedChange::default();
        while let Some((keyspace, key)) = self.tracked.last().cloned() {
            change.keys += 1;
            change.items += self.take_trackers(keyspace, &key).len();
        }
        change
    }

    // What is taken before the stripe is let go.

    /// Whether a key is ready or a change is to be reported.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.has_news
    }

    /// The turn at which the first of the keys got ready that are.
    pub(crate) fn ready_since(&self) -> Option<u64> {
        self.ready.front().map(|ready| ready.turn)
    }

    /// Takes the first ready key. It is recorded anew when it changes again.
    pub(crate) fn take_ready(&mut self) -> Option<ReadyKey> {
        let ready = self.ready.pop_front()?;
        self.note_news();
        let lines = self.find_mut(ready.keyspace, &ready.key);
        if let Some(lines) = lines.and_then(|interest| interest.lines.as_mut()) {
            lines.is_ready = false;
        }
        Some(ready)
    }

    /// Takes the keys whose changes are reported, in the order of the changes.
    pub(crate) fn take_changed(&mut self) -> Vec<ChangedKey> {
        let changed = std::mem::take(&mut self.changed);
        self.note_news();
        changed
    }

    fn note_news(&mut self) {
        self.has_news = !(self.ready.is_empty() && self.changed.is_empty());
    }
}

#[cfg(test)]
mod tests;
