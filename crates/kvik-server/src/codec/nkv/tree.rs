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
//! changes, however often it does, and no more than [`MOST_NEWS`] of these.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kvik::{Change, ChangeObserver, Message};
use kvik_command::client::Client;
use parking_lot::{Mutex, RwLock};

/// Keys of which a subscriber has not been told; one with more is disconnected.
const MOST_NEWS: usize = 1 << 16;

/// The name of a key, shared by all who keep it.
pub(super) type Name = Arc<[u8]>;

/// The trees of all databases that have doors for them.
#[derive(Default)]
pub struct Trees {
    trees: RwLock<Vec<Arc<KeyTree>>>,
}

/// The keys of one database.
pub(super) struct KeyTree {
    database: u32,
    state: Mutex<TreeState>,
    /// Names may be missing: the keys must be looked through.
    is_incomplete: AtomicBool,
    /// How often that has begun to be so.
    incarnation: AtomicU64,
}

#[derive(Default)]
struct TreeState {
    /// Each with the number of its last change.
    names: BTreeMap<Name, u64>,
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
    end: Option<Ending>,
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
    /// That it is a subscriber no more.
    End(Ending),
}

impl Trees {
    /// The tree of a database, which is incomplete at first.
    pub(super) fn of(&self, database: u32) -> Arc<KeyTree> {
        let find =
            |trees: &[Arc<KeyTree>]| trees.iter().find(|tree| tree.database == database).cloned();
        // Each connection asks; a tree is made once.
        if let Some(tree) = find(&self.trees.read()) {
            return tree;
        }
        let mut trees = self.trees.write();
        find(&trees).unwrap_or_else(|| {
            let tree = Arc::new(KeyTree::new(database));
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
    fn new(database: u32) -> Self {
        Self {
            database,
            state: Mutex::default(),
            is_incomplete: AtomicBool::new(true),
            incarnation: AtomicU64::new(0),
        }
    }

    fn observe(&self, change: Change<'_>) {
        match change {
            Change::Set { database, key } if database == self.database => {
                let mut state = self.state.lock();
                // Called with the stripe of the key held, so that changes of one key come in their
                // order.
                let name = state.note(key);
                state.tell_ancestors(&name, false);
            }
            Change::Gone { database, key } if database == self.database => {
                let mut state = self.state.lock();
                let name = state.note(key);
                // Whatever lies under a key goes from its subscribers' sight with it.
                state.names.remove(&name);
                state.tell_ancestors(&name, true);
                state.tell_descendants(&name);
            }
            Change::AllGone { database } if database.is_none_or(|it| it == self.database) => {
                self.state.lock().forget_all();
            }
            Change::Swapped { one, other } if [one, other].contains(&self.database) => {
                let mut state = self.state.lock();
                state.forget_all();
                // The other database's keys are here now, and their names are not known.
                self.incarnation.fetch_add(1, Ordering::AcqRel);
                self.is_incomplete.store(true, Ordering::Release);
            }
            _ => {}
        }
    }

    /// Whether names may be missing.
    pub(super) fn is_incomplete(&self) -> bool {
        self.is_incomplete.load(Ordering::Acquire)
    }

    /// Changes whenever the names that are known are those of other keys.
    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation.load(Ordering::Acquire)
    }

    /// All keys of this incarnation have been looked through and [added](Self::add).
    pub(super) fn complete(&self, incarnation: u64) {
        // Under the lock, as databases that change places are noted.
        let _state = self.state.lock();
        if self.incarnation() == incarnation {
            self.is_incomplete.store(false, Ordering::Release);
        }
    }

    /// Adds a name that was found.
    pub(super) fn add(&self, key: &[u8]) {
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
            let itself = state.names.get_key_value(key);
            // Under the lock: a change is either among these or told to the new subscriber.
            for (name, _) in itself.into_iter().chain(below(&state.names, key)) {
                subscriber.news.lock().add(Arc::clone(name), false);
            }
        }
        let place = (Arc::clone(&subscriber.key), name.into());
        let former = state.subscriptions.insert(place, Arc::clone(&subscriber));
        drop(state);
        if let Some(former) = former {
            former.end(Ending::Replaced);
        }
        subscriber
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
    /// Notes a change of a key; its name, as all share it.
    fn note(&mut self, key: &[u8]) -> Name {
        self.changes += 1;
        let changes = self.changes;
        if let Some((name, _)) = self.names.get_key_value(key) {
            let name = Arc::clone(name);
            if let Some(change) = self.names.get_mut(key) {
                *change = changes;
            }
            return name;
        }
        let name: Name = key.into();
        self.names.insert(Arc::clone(&name), changes);
        name
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
        if self.subscriptions.is_empty() {
            return;
        }
        let dots = name.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        for end in dots.map(|(at, _)| at).chain([name.len()]) {
            for subscriber in self.subscribers(&name[..end]) {
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
        self.changes += 1;
        let names = std::mem::take(&mut self.names);
        if self.subscriptions.is_empty() {
            return;
        }
        for name in names.keys() {
            self.tell_ancestors(name, true);
            self.tell_descendants(name);
        }
    }
}

/// Everything under a key lies between these: `a.` and what follows all that begins so.
fn bounds_below(key: &[u8]) -> (Vec<u8>, Vec<u8>) {
    ([key, b"."].concat(), [key, b"/"].concat())
}

fn below<'a>(
    names: &'a BTreeMap<Name, u64>,
    key: &[u8],
) -> impl Iterator<Item = (&'a Name, &'a u64)> {
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
        let mut news = self.news.lock();
        // The client is woken once for all that comes until it looks.
        let is_first = news.is_empty();
        news.add(Arc::clone(name), is_gone);
        let is_too_much = news.keys.len() > MOST_NEWS;
        drop(news);
        if is_too_much {
            self.client.kill();
        } else if is_first {
            self.client.deliver(Message::Retry);
        }
    }

    fn end(&self, ending: Ending) {
        self.news.lock().end = Some(ending);
        self.client.deliver(Message::Retry);
    }

    /// The next thing it is to be told.
    pub(super) fn take_news(&self) -> Option<NewsItem> {
        let mut news = self.news.lock();
        match news.order.pop_front() {
            Some(key) => {
                let was_gone = news.keys.remove(&key).unwrap_or(false);
                Some(NewsItem::Key { key, was_gone })
            }
            None => news.end.take().map(NewsItem::End),
        }
    }

    /// Whether there is something to tell.
    pub(super) fn has_news(&self) -> bool {
        !self.news.lock().is_empty()
    }
}

impl PendingNews {
    fn is_empty(&self) -> bool {
        self.order.is_empty() && self.end.is_none()
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
mod tests {
    use super::*;
    use kvik_command::client::{Clients, Origin};
    use proptest::prelude::*;

    fn tree() -> KeyTree {
        KeyTree::new(0)
    }

    fn set(tree: &KeyTree, key: &str) {
        tree.observe(Change::Set {
            database: 0,
            key: key.as_bytes(),
        });
    }

    fn gone(tree: &KeyTree, key: &str) {
        tree.observe(Change::Gone {
            database: 0,
            key: key.as_bytes(),
        });
    }

    fn text(name: &[u8]) -> String {
        String::from_utf8_lossy(name).into_owned()
    }

    fn under(tree: &KeyTree, key: Option<&str>) -> Vec<String> {
        let names = tree.under(key.map(str::as_bytes));
        names.iter().map(|(name, _)| text(name)).collect()
    }

    fn client() -> Arc<Client> {
        Clients::default().add(Origin::embedded(), 0)
    }

    fn news(subscriber: &TreeSubscriber) -> Vec<String> {
        std::iter::from_fn(|| subscriber.take_news())
            .map(|item| match item {
                NewsItem::Key { key, was_gone } => {
                    format!("{}{}", text(&key), if was_gone { " gone" } else { "" })
                }
                NewsItem::End(ending) => format!("{ending:?}"),
            })
            .collect()
    }

    #[test]
    fn what_lies_under_a_key_is_a_range() {
        let tree = tree();
        for key in ["s", "s.a", "s.a.b", "s-t", "s/u", "sa", "x..y", "x."] {
            set(&tree, key);
        }
        assert_eq!(under(&tree, Some("s")), ["s", "s.a", "s.a.b"]);
        assert_eq!(under(&tree, Some("x")), ["x.", "x..y"]);
        assert_eq!(under(&tree, None).len(), 8);
        gone(&tree, "s.a");
        assert_eq!(under(&tree, Some("s")), ["s", "s.a.b"]);
    }

    #[test]
    fn a_name_too_many_is_forgotten_unless_it_has_changed() {
        let tree = tree();
        set(&tree, "a");
        let (name, change) = tree.under(None).remove(0);
        set(&tree, "a");
        tree.forget(&name, change);
        assert_eq!(under(&tree, None), ["a"]);
        let (name, change) = tree.under(None).remove(0);
        tree.forget(&name, change);
        assert!(under(&tree, None).is_empty());
    }

    #[test]
    fn ancestors_hear_of_changes_and_relatives_of_ends() {
        let (tree, client) = (tree(), client());
        let on = |key: &str| tree.subscribe(key.as_bytes(), b"c", &client, false);
        let (top, middle, leaf, aside) = (on("a"), on("a.b"), on("a.b.c"), on("a.bc"));
        set(&tree, "a.b.c");
        set(&tree, "a.b.c");
        set(&tree, "a.b");
        assert_eq!(news(&top), ["a.b.c", "a.b"]);
        assert_eq!(news(&middle), ["a.b.c", "a.b"]);
        assert_eq!(news(&leaf), ["a.b.c"]);
        gone(&tree, "a.b");
        assert_eq!(news(&top), ["a.b gone"]);
        assert_eq!(news(&middle), ["a.b gone"]);
        assert_eq!(news(&leaf), ["a.b gone"]);
        assert!(news(&aside).is_empty());
        tree.observe(Change::AllGone { database: Some(1) });
        assert!(news(&leaf).is_empty());
        tree.observe(Change::AllGone { database: None });
        assert_eq!(news(&leaf), ["a.b.c gone"]);
        assert!(under(&tree, None).is_empty());
    }

    #[test]
    fn a_subscription_ends_by_its_name_only() {
        let (tree, client) = (tree(), client());
        let one = tree.subscribe(b"k", b"one", &client, false);
        let other = tree.subscribe(b"k", b"other", &client, false);
        assert!(!tree.unsubscribe(b"k", b"third"));
        assert!(tree.unsubscribe(b"k", b"one"));
        assert!(!tree.unsubscribe(b"k", b"one"));
        assert_eq!(news(&one), ["Unsubscribed"]);
        let again = tree.subscribe(b"k", b"other", &client, false);
        assert_eq!(news(&other), ["Replaced"]);
        tree.leave(b"other", &other);
        set(&tree, "k");
        assert_eq!((news(&again), news(&one)), (vec!["k".to_owned()], vec![]));
        tree.leave(b"other", &again);
        set(&tree, "k");
        assert!(news(&again).is_empty());
    }

    #[test]
    fn values_on_request_are_news() {
        let (tree, client) = (tree(), client());
        for key in ["a", "a.b", "b"] {
            set(&tree, key);
        }
        let subscriber = tree.subscribe(b"a", b"c", &client, true);
        assert_eq!(news(&subscriber), ["a", "a.b"]);
    }

    #[test]
    fn one_who_does_not_listen_has_bounded_news() {
        let (tree, client) = (tree(), client());
        let subscriber = tree.subscribe(b"a", b"c", &client, false);
        for _ in 0..10 {
            (0..1000).for_each(|number| set(&tree, &format!("a.{number}")));
        }
        assert_eq!(subscriber.news.lock().keys.len(), 1000);
        assert!(!client.is_killed());
        (0..=MOST_NEWS).for_each(|number| set(&tree, &format!("a.{number}")));
        assert!(client.is_killed());
    }

    proptest! {
        #[test]
        fn a_tree_is_a_filter_of_all_names(
            keys in prop::collection::vec("[ab./]{0,5}", 0..20),
            at in "[ab.]{0,3}",
        ) {
            let tree = tree();
            keys.iter().for_each(|key| set(&tree, key));
            let inside = format!("{at}.");
            let mut expected: Vec<_> = keys.into_iter()
                .filter(|key| *key == at || key.starts_with(&inside))
                .collect();
            expected.sort_unstable();
            expected.dedup();
            let mut found = under(&tree, Some(&at));
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
