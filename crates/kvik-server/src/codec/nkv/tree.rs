//! The keys of a database in order, and who wants to hear of them.
//!
//! The store keeps keys by their hashes. A door that lists what lies under a key, or tells its
//! subscribers of changes there, needs them as a tree: `a.b.c` lies under `a.b` and `a`. A
//! [`KeyTree`] keeps the names of a database sorted, so what lies under one of them is a range, and
//! the subscriptions sorted as well.
//!
//! It hears of changes as an observer of the store ([`ChangeObserver`]), inside the locks of the
//! key, so whoever was told that a write is done finds it here. The names are never fewer than the
//! keys there are; one too many is found out and [forgotten](KeyTree::forget) when its value is
//! read.
//!
//! A change is not kept for a subscriber, only that the key has one: what it is told is the value
//! at the time of telling. So a subscriber that does not read costs a name for each key that
//! changes, however often it does, and no more than [`MOST_NEWS`] of these. Where it has to hear of
//! many keys at once, of those that are there when it subscribes or of those that a FLUSHALL has
//! taken, it [walks](Walk) along names that are kept once for all.
//!
//! The feed would tell the same changes in the same order, but as a queue for each reader, and only
//! where there is a log. The observer hears of committed units alone, too, since units that are
//! taken back never come to it, and its order for each key is that of the store. A value is read
//! like a client's GET, so a reply that tells it waits for the log where those of clients do.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kvik::{Change, ChangeObserver, DEFAULT_NAMESPACE, Message, namespace_name, rest_of};
use kvik_command::client::Client;
use parking_lot::{Mutex, RwLock};

use crate::codec::KeyScope;

/// Keys of which a subscriber has not been told; one with more is disconnected.
const MOST_NEWS: usize = 1 << 16;
/// Walks that a subscriber has not finished; one with more is disconnected.
const MOST_WALKS: usize = 4;
/// Names taken at once for one who walks.
const PACES: usize = 32;

/// The name of a key, shared by all who keep it.
pub(super) type Name = Arc<[u8]>;

/// Names in order, each with the number of its last change.
type Names = BTreeMap<Name, u64>;

/// The trees of all databases that have doors for them.
#[derive(Default)]
pub struct Trees {
    trees: RwLock<Vec<Arc<KeyTree>>>,
}

/// The keys of one database, or of its namespace `default`, by the names that a door's clients use.
pub(crate) struct KeyTree {
    database: u32,
    scope: KeyScope,
    state: Mutex<TreeState>,
    /// Names may be missing: the keys must be looked through.
    is_incomplete: AtomicBool,
    /// How often that has begun to be so.
    incarnation: AtomicU64,
}

#[derive(Default)]
struct TreeState {
    names: Names,
    subscriptions: BTreeMap<(Name, Box<[u8]>), Arc<TreeSubscriber>>,
    changes: u64,
}

/// One subscription to a key and all that lies under it.
pub(super) struct TreeSubscriber {
    key: Name,
    client: Arc<Client>,
    news: Mutex<PendingNews>,
}

/// The keys of which a subscriber has to be told.
#[derive(Default)]
struct PendingNews {
    order: VecDeque<Name>,
    /// Whether each has been gone meanwhile.
    keys: HashMap<Name, bool>,
    walks: VecDeque<Walk>,
    end: Option<Ending>,
}

/// The way of a subscriber along the names under its key.
struct Walk {
    /// Names of keys that are gone; none stands for those that are there.
    gone: Option<Arc<Names>>,
    /// Where it goes on.
    from: Vec<u8>,
}

/// Why a subscription ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Its client has asked for it.
    Unsubscribed,
    /// Its client has subscribed anew elsewhere.
    Replaced,
}

/// The next thing to tell a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NewsItem {
    /// The value of a key, which has been gone meanwhile if so.
    Key { key: Name, was_gone: bool },
    /// That its keys are not known yet: they must be looked through.
    Unknown,
    /// That it is a subscriber no more.
    End(Ending),
}

impl Trees {
    /// The tree of a database, which is incomplete at first.
    pub(crate) fn of(&self, database: u32, scope: KeyScope) -> Arc<KeyTree> {
        let is_it = |tree: &&Arc<KeyTree>| (tree.database, tree.scope) == (database, scope);
        let find = |trees: &[Arc<KeyTree>]| trees.iter().find(is_it).cloned();
        // Each connection asks; a tree is made once.
        if let Some(tree) = find(&self.trees.read()) {
            return tree;
        }
        let mut trees = self.trees.write();
        find(&trees).unwrap_or_else(|| {
            let tree = Arc::new(KeyTree::new(database, scope));
            trees.push(Arc::clone(&tree));
            tree
        })
    }
}

impl ChangeObserver for Trees {
    fn observe(&self, change: Change<'_>) {
        for tree in self.trees.read().iter() {
            tree.observe(change);
        }
    }
}

impl std::fmt::Debug for Trees {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trees").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for KeyTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyTree")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for TreeSubscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeSubscriber")
            .field("key", &self.key.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

impl KeyTree {
    fn new(database: u32, scope: KeyScope) -> Self {
        Self {
            database,
            scope,
            state: Mutex::default(),
            is_incomplete: AtomicBool::new(true),
            incarnation: AtomicU64::new(0),
        }
    }

    fn observe(&self, change: Change<'_>) {
        match change {
            // Called with the stripe of the key held, so that changes of one key come in their
            // order.
            Change::Set { database, key } if database == self.database => {
                let Some(key) = self.name_here(key) else {
                    return;
                };
                let mut state = self.state.lock();
                state.note(key);
                if !state.subscriptions.is_empty() {
                    let name = state.name_of(key);
                    state.tell_ancestors(&name, false);
                }
            }
            Change::Gone { database, key } if database == self.database => {
                let Some(key) = self.name_here(key) else {
                    return;
                };
                let mut state = self.state.lock();
                state.changes += 1;
                let name = state.names.remove_entry(key).map(|(name, _)| name);
                if !state.subscriptions.is_empty() {
                    let name = name.unwrap_or_else(|| key.into());
                    state.tell_ancestors(&name, true);
                    state.tell_descendants(&name);
                }
            }
            Change::AllGone { database } if database.is_none_or(|it| it == self.database) => {
                self.state.lock().forget_all();
            }
            Change::NamespaceGone {
                database,
                namespace,
            } if database == self.database => self.forget_namespace(namespace),
            Change::Swapped { one, other } if [one, other].contains(&self.database) => {
                let mut state = self.state.lock();
                state.forget_all();
                // The other database's keys are here now, and their names are not known.
                self.incarnation.fetch_add(1, Ordering::AcqRel);
                self.is_incomplete.store(true, Ordering::Release);
                // The keys that are there now are news to everybody.
                for subscriber in state.subscriptions.values() {
                    subscriber.walk(None);
                }
            }
            _ => {}
        }
    }

    /// The name that a key has here; none if it is not among the keys of this tree.
    fn name_here<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        match self.scope {
            KeyScope::All => Some(key),
            KeyScope::Default => {
                let is_here = namespace_name(key) == DEFAULT_NAMESPACE;
                is_here.then(|| rest_of(DEFAULT_NAMESPACE, key))
            }
        }
    }

    /// All keys of a namespace are gone.
    fn forget_namespace(&self, namespace: &[u8]) {
        let mut state = self.state.lock();
        match self.scope {
            KeyScope::Default if namespace == DEFAULT_NAMESPACE => state.forget_all(),
            KeyScope::Default => {}
            KeyScope::All => {
                let names = std::mem::take(&mut state.names);
                let is_gone = |(name, _): &(Name, u64)| namespace_name(name) == namespace;
                let (gone, kept) = names.into_iter().partition(is_gone);
                state.names = kept;
                state.forget(gone);
            }
        }
    }

    /// Whether names may be missing.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.is_incomplete.load(Ordering::Acquire)
    }

    /// Changes whenever the names that are known are those of other keys.
    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation.load(Ordering::Acquire)
    }

    /// All keys of this incarnation have been looked through and [added](Self::add).
    pub(crate) fn complete(&self, incarnation: u64) {
        // Under the lock, as databases that change places are noted.
        let _state = self.state.lock();
        if self.incarnation() == incarnation {
            self.is_incomplete.store(false, Ordering::Release);
        }
    }

    /// Adds a name that was found.
    pub(crate) fn add(&self, key: &[u8]) {
        self.state.lock().names.entry(key.into()).or_insert(0);
    }

    /// The names of a key and all that lies under it, or of all keys, with the numbers of their
    /// last changes.
    pub(super) fn under(&self, key: Option<&[u8]>) -> Vec<(Name, u64)> {
        let state = self.state.lock();
        let of = |(name, change): (&Name, &u64)| (Arc::clone(name), *change);
        let Some(key) = key else {
            return state.names.iter().map(of).collect();
        };
        let itself = state.names.get_key_value(key).map(of);
        let below = below(&state.names, key).map(of);
        itself.into_iter().chain(below).collect()
    }

    /// Forgets a name whose key was found to be missing, unless it has changed since.
    pub(super) fn forget(&self, name: &Name, change: u64) {
        let mut state = self.state.lock();
        if state.names.get(name) == Some(&change) {
            state.names.remove(name);
        }
    }

    /// Subscribes a client, under a name of its own, to a key. A subscription of that name to the
    /// same key ends. `with_values` has it told first of all that lies there now.
    pub(super) fn subscribe(
        &self,
        key: &[u8],
        name: &[u8],
        client: &Arc<Client>,
        with_values: bool,
    ) -> Arc<TreeSubscriber> {
        let subscriber = Arc::new(TreeSubscriber {
            key: key.into(),
            client: Arc::clone(client),
            news: Mutex::default(),
        });
        let mut state = self.state.lock();
        if with_values {
            // Under the lock: a change is either among these or told to the new subscriber.
            subscriber.walk(None);
        }
        let place = (Arc::clone(&subscriber.key), name.into());
        let former = state.subscriptions.insert(place, Arc::clone(&subscriber));
        drop(state);
        if let Some(former) = former {
            former.end(Ending::Replaced);
        }
        subscriber
    }

    /// The next thing that a subscriber is to be told.
    pub(super) fn take_news(&self, subscriber: &TreeSubscriber) -> Option<NewsItem> {
        let item = subscriber.news.lock().take();
        if item.is_some() || !subscriber.has_news() {
            return item;
        }
        // Names are taken in the order of these locks wherever both are held.
        let state = self.state.lock();
        let mut news = subscriber.news.lock();
        let walk = news.walks.front()?;
        if walk.gone.is_none() && self.is_incomplete() {
            return Some(NewsItem::Unknown);
        }
        news.walk_on(&subscriber.key, &state.names);
        news.take()
    }

    /// Ends a subscription that was made under this name; says whether there was one.
    pub(super) fn unsubscribe(&self, key: &[u8], name: &[u8]) -> bool {
        let place = (key.into(), name.into());
        let former = self.state.lock().subscriptions.remove(&place);
        let is_there = former.is_some();
        if let Some(former) = former {
            former.end(Ending::Unsubscribed);
        }
        is_there
    }

    /// The subscriber is gone, or has been told that its subscription has ended.
    pub(super) fn leave(&self, name: &[u8], subscriber: &Arc<TreeSubscriber>) {
        let place = (Arc::clone(&subscriber.key), name.into());
        let mut state = self.state.lock();
        let is_it = |other: &Arc<TreeSubscriber>| Arc::ptr_eq(other, subscriber);
        if state.subscriptions.get(&place).is_some_and(is_it) {
            state.subscriptions.remove(&place);
        }
    }
}

impl TreeState {
    /// Notes a change of a key.
    fn note(&mut self, key: &[u8]) {
        self.changes += 1;
        match self.names.get_mut(key) {
            Some(change) => *change = self.changes,
            None => {
                self.names.insert(key.into(), self.changes);
            }
        }
    }

    /// The name of a key, as all share it.
    fn name_of(&self, key: &[u8]) -> Name {
        let known = self.names.get_key_value(key);
        known.map_or_else(|| key.into(), |(name, _)| Arc::clone(name))
    }

    /// Those who have subscribed to a key.
    fn subscribers(&self, key: &[u8]) -> impl Iterator<Item = &Arc<TreeSubscriber>> {
        // The empty name is the first of all that have subscribed to a key.
        let from = (Name::from(key), Box::default());
        let range = self.subscriptions.range(from..);
        let key = key.to_vec();
        range
            .take_while(move |((name, _), _)| **name == *key)
            .map(|(_, subscriber)| subscriber)
    }

    /// Has the subscribers of a key, and of all under which it lies, told of it.
    fn tell_ancestors(&self, name: &Name, is_gone: bool) {
        for key in up_to_dots(name).chain([&name[..]]) {
            for subscriber in self.subscribers(key) {
                subscriber.tell(name, is_gone);
            }
        }
    }

    /// Has the subscribers of all that lies under a key told that it is gone.
    fn tell_descendants(&self, name: &Name) {
        let (start, end) = bounds_below(name);
        let from = (Name::from(start), Box::default());
        let to = (Name::from(end), Box::default());
        for (_, subscriber) in self.subscriptions.range(from..to) {
            subscriber.tell(name, true);
        }
    }

    /// All keys are gone.
    fn forget_all(&mut self) {
        let names = std::mem::take(&mut self.names);
        self.forget(names);
    }

    /// These keys are gone, whose names have been taken out.
    fn forget(&mut self, names: Names) {
        self.changes += 1;
        if self.subscriptions.is_empty() {
            return;
        }
        let names = Arc::new(names);
        for subscriber in self.subscriptions.values() {
            for above in up_to_dots(&subscriber.key) {
                if let Some((name, _)) = names.get_key_value(above) {
                    subscriber.tell(name, true);
                }
            }
            subscriber.walk(Some(&names));
        }
    }
}

/// The keys under which one lies.
fn up_to_dots(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let dots = key.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    dots.map(move |(at, _)| &key[..at])
}

/// Everything under a key lies between these: `a.` and what follows all that begins so.
fn bounds_below(key: &[u8]) -> (Vec<u8>, Vec<u8>) {
    ([key, b"."].concat(), [key, b"/"].concat())
}

fn below<'a>(names: &'a Names, key: &[u8]) -> impl Iterator<Item = (&'a Name, &'a u64)> {
    let (start, end) = bounds_below(key);
    let bounds = (Bound::Included(&start[..]), Bound::Excluded(&end[..]));
    names.range::<[u8], _>(bounds)
}

impl TreeSubscriber {
    /// The key it has subscribed to.
    pub(super) fn key(&self) -> &Name {
        &self.key
    }

    /// Has it told of a key.
    fn tell(&self, name: &Name, is_gone: bool) {
        self.add(|news| {
            news.add(Arc::clone(name), is_gone);
            news.keys.len() <= MOST_NEWS
        });
    }

    /// Has it told of its key and all that lies under it: that they are gone, if names are given,
    /// else what they are now.
    fn walk(&self, gone: Option<&Arc<Names>>) {
        if gone.is_some_and(|names| !has_any(names, &self.key)) {
            return;
        }
        self.add(|news| {
            news.walks.push_back(Walk {
                gone: gone.cloned(),
                from: self.key.to_vec(),
            });
            news.walks.len() <= MOST_WALKS
        });
    }

    /// Adds to what it is told, unless it has too much unheard, as the result says.
    fn add(&self, add: impl FnOnce(&mut PendingNews) -> bool) {
        let mut news = self.news.lock();
        // The client is woken once for all that comes until it looks.
        let is_first = news.is_empty();
        let has_room = add(&mut news);
        drop(news);
        // The client is woken once for all that comes until it looks.
        if !has_room {
            self.client.kill();
        } else if is_first {
            self.client.deliver(Message::Retry);
        }
    }

    fn end(&self, ending: Ending) {
        self.news.lock().end = Some(ending);
        self.client.deliver(Message::Retry);
    }

    /// Whether there is something to tell.
    pub(super) fn has_news(&self) -> bool {
        !self.news.lock().is_empty()
    }
}

/// Whether a key or anything under it is among names.
fn has_any(names: &Names, key: &[u8]) -> bool {
    names.contains_key(key) || below(names, key).next().is_some()
}

impl PendingNews {
    fn is_empty(&self) -> bool {
        self.order.is_empty() && self.walks.is_empty() && self.end.is_none()
    }

    /// The next thing to tell; none if that is at the next step of a walk.
    fn take(&mut self) -> Option<NewsItem> {
        if let Some(key) = self.order.pop_front() {
            let was_gone = self.keys.remove(&key).unwrap_or(false);
            return Some(NewsItem::Key { key, was_gone });
        }
        match self.walks.is_empty() {
            true => self.end.take().map(NewsItem::End),
            false => None,
        }
    }

    /// Takes the next names of the first walk: first the key itself, then what lies under it.
    fn walk_on(&mut self, key: &Name, present: &Names) {
        let Some(mut walk) = self.walks.pop_front() else {
            return;
        };
        let names = walk.gone.as_deref().unwrap_or(present);
        let (start, end) = bounds_below(key);
        let itself = names
            .get_key_value(&key[..])
            .filter(|_| walk.from == key[..]);
        let from = walk.from.max(start);
        let bounds = (Bound::Included(&from[..]), Bound::Excluded(&end[..]));
        let rest = names.range::<[u8], _>(bounds);
        let found: Vec<_> = itself
            .into_iter()
            .chain(rest)
            .map(|(name, _)| Arc::clone(name))
            .take(PACES)
            .collect();
        let is_gone = walk.gone.is_some();
        if let Some(last) = found.last().filter(|_| found.len() == PACES) {
            walk.from = [last, &b"\0"[..]].concat();
            self.walks.push_front(walk);
        }
        for name in found {
            self.add(name, is_gone);
        }
    }

    fn add(&mut self, name: Name, is_gone: bool) {
        match self.keys.get_mut(&name) {
            // Its place in the order stays; what it is told is the value at that time.
            Some(was_gone) => *was_gone |= is_gone,
            None => {
                self.order.push_back(Arc::clone(&name));
                self.keys.insert(name, is_gone);
            }
        }
    }
}

#[cfg(test)]
mod tests;
