use super::*;
use kvik_command::client::{Clients, Origin};
use proptest::prelude::*;

fn tree() -> KeyTree {
    let tree = KeyTree::new(0, KeyScope::All);
    tree.complete(0);
    tree
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

fn news(tree: &KeyTree, subscriber: &TreeSubscriber) -> Vec<String> {
    std::iter::from_fn(|| tree.take_news(subscriber))
        .map(|item| match item {
            NewsItem::Key { key, was_gone } => {
                format!("{}{}", text(&key), if was_gone { " gone" } else { "" })
            }
            NewsItem::End(ending) => format!("{ending:?}"),
            NewsItem::Unknown => panic!("the tree is complete"),
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
    assert_eq!(news(&tree, &top), ["a.b.c", "a.b"]);
    assert_eq!(news(&tree, &middle), ["a.b.c", "a.b"]);
    assert_eq!(news(&tree, &leaf), ["a.b.c"]);
    gone(&tree, "a.b");
    assert_eq!(news(&tree, &top), ["a.b gone"]);
    assert_eq!(news(&tree, &middle), ["a.b gone"]);
    assert_eq!(news(&tree, &leaf), ["a.b gone"]);
    assert!(news(&tree, &aside).is_empty());
    tree.observe(Change::AllGone { database: Some(1) });
    assert!(news(&tree, &leaf).is_empty());
    tree.observe(Change::AllGone { database: None });
    assert_eq!(news(&tree, &leaf), ["a.b.c gone"]);
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
    assert_eq!(news(&tree, &one), ["Unsubscribed"]);
    let again = tree.subscribe(b"k", b"other", &client, false);
    assert_eq!(news(&tree, &other), ["Replaced"]);
    tree.leave(b"other", &other);
    set(&tree, "k");
    assert_eq!(
        (news(&tree, &again), news(&tree, &one)),
        (vec!["k".to_owned()], vec![])
    );
    tree.leave(b"other", &again);
    set(&tree, "k");
    assert!(news(&tree, &again).is_empty());
}

#[test]
fn values_on_request_are_news() {
    let (tree, client) = (tree(), client());
    for key in ["a", "a.b", "b"] {
        set(&tree, key);
    }
    let subscriber = tree.subscribe(b"a", b"c", &client, true);
    assert_eq!(news(&tree, &subscriber), ["a", "a.b"]);
}

#[test]
fn what_is_flushed_is_told_of_once_for_all() {
    let (tree, client) = (tree(), client());
    let on = |key: &str| tree.subscribe(key.as_bytes(), b"c", &client, false);
    let (top, leaf, aside) = (on("a"), on("a.b.7"), on("b"));
    for number in 0..100 {
        set(&tree, &format!("a.b.{number}"));
    }
    set(&tree, "a.b");
    news(&tree, &top);
    news(&tree, &leaf);
    tree.observe(Change::AllGone { database: None });
    assert_eq!(top.news.lock().keys.len(), 0, "names are not copied");
    set(&tree, "a.b.3");
    let told = news(&tree, &top);
    assert_eq!(told.iter().filter(|it| it.ends_with(" gone")).count(), 101);
    assert_eq!(told[0], "a.b.3");
    assert_eq!(news(&tree, &leaf), ["a.b gone", "a.b.7 gone"]);
    assert!(news(&tree, &aside).is_empty());
}

#[test]
fn databases_that_change_places_are_walked_through() {
    let (tree, client) = (tree(), client());
    let subscriber = tree.subscribe(b"a", b"c", &client, false);
    set(&tree, "a.old");
    news(&tree, &subscriber);
    tree.observe(Change::Swapped { one: 1, other: 0 });
    let gone = tree.take_news(&subscriber);
    assert!(matches!(gone, Some(NewsItem::Key { was_gone: true, .. })));
    assert_eq!(tree.take_news(&subscriber), Some(NewsItem::Unknown));
    tree.add(b"a.new");
    tree.complete(tree.incarnation());
    assert_eq!(news(&tree, &subscriber), ["a.new"]);
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
    let (other, subscriber) = {
        let client = self::client();
        let subscriber = tree.subscribe(b"a", b"d", &client, true);
        (client, subscriber)
    };
    assert_eq!(news(&tree, &subscriber).len(), MOST_NEWS + 1);
    assert!(!other.is_killed(), "however many there are at first");
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

#[test]
fn a_tree_may_have_the_keys_of_the_namespace_default() {
    let (all, client) = (tree(), client());
    let own = KeyTree::new(0, KeyScope::Default);
    own.complete(0);
    let watching = |tree: &KeyTree, key: &[u8]| tree.subscribe(key, b"c", &client, false);
    let (outer, inner) = (watching(&all, b"web/a"), watching(&own, b"a/b"));
    for tree in [&all, &own] {
        for key in ["x", "default/a/b.c", "web/a.d", "web/e"] {
            set(tree, key);
        }
    }
    assert_eq!(under(&own, None), ["a/b.c", "x"]);
    assert_eq!(news(&own, &inner), ["a/b.c"]);
    assert_eq!(news(&all, &outer), ["web/a.d"]);
    let flush = |tree: &KeyTree, namespace: &str| {
        tree.observe(Change::NamespaceGone {
            database: 0,
            namespace: namespace.as_bytes(),
        });
    };
    flush(&all, "web");
    flush(&own, "web");
    assert_eq!(under(&all, None), ["default/a/b.c", "x"]);
    assert_eq!(under(&own, None), ["a/b.c", "x"]);
    assert_eq!(news(&all, &outer), ["web/a.d gone"]);
    flush(&own, "default");
    assert!(under(&own, None).is_empty());
    assert_eq!(news(&own, &inner), ["a/b.c gone"]);
}
