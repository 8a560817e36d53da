//! The tree against a sorted vector, and its structure after every change.
//!
//! Items are ordered by a score and, where that is the same, by a name that only a reference leads
//! to, as in a sorted set. Names of items that are gone are erased: a tree that asks for one is
//! found out.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::RankTree;
use super::node::{Inner, TreeNode};

/// An item of 12 bytes, or of as many as make nodes small and trees high.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Item<const PAD: usize> {
    score: u32,
    reference: u32,
    pad: [u32; PAD],
}

/// The names that references lead to.
#[derive(Default)]
struct Names(Vec<Option<u32>>);

impl Names {
    fn add<const PAD: usize>(&mut self, score: u32, name: u32) -> Item<PAD> {
        self.0.push(Some(name));
        Item {
            score,
            reference: u32::try_from(self.0.len() - 1).unwrap(),
            pad: [name; PAD],
        }
    }

    fn erase<const PAD: usize>(&mut self, item: Item<PAD>) {
        self.0[item.reference as usize].take().unwrap();
    }

    fn of<const PAD: usize>(&self, item: &Item<PAD>) -> (u32, u32) {
        let name = self.0[item.reference as usize];
        (item.score, name.expect("an item that is gone is compared"))
    }

    fn cmp<const PAD: usize>(&self, sought: (u32, u32)) -> impl FnMut(&Item<PAD>) -> Ordering {
        move |item| sought.cmp(&self.of(item))
    }
}

/// A tree and what it should be.
struct Twin<const PAD: usize> {
    tree: RankTree<Item<PAD>>,
    model: Vec<Item<PAD>>,
    names: Names,
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32, u32, u32),
    Ascend(u32),
    Descend(u32),
    Remove(u32, u32, u32),
    Move(u32, u32),
    RemoveRange(u32, usize),
    PopFirst(u32),
    PopLast(u32),
    Drain(usize),
    Scan(u32, u32),
    Rebuild,
    AppendAll(u32),
}

fn op() -> impl Strategy<Value = Op> {
    let at = || any::<u32>();
    let key = || (0u32..40, 0u32..40);
    let count = || prop_oneof![3 => 1u32..4, 1 => 1u32..300];
    prop_oneof![
        20 => (key(), count()).prop_map(|((score, name), n)| Op::Insert(score, name, n)),
        2 => (1u32..300).prop_map(Op::Ascend),
        2 => (1u32..300).prop_map(Op::Descend),
        20 => (key(), count()).prop_map(|((score, name), n)| Op::Remove(score, name, n)),
        4 => key().prop_map(|(score, name)| Op::Move(score, name)),
        2 => (at(), 0usize..200).prop_map(|(start, count)| Op::RemoveRange(start, count)),
        1 => (0u32..100).prop_map(Op::PopFirst),
        1 => (0u32..100).prop_map(Op::PopLast),
        1 => (0usize..200).prop_map(Op::Drain),
        2 => (at(), at()).prop_map(|(start, end)| Op::Scan(start, end)),
        1 => Just(Op::Rebuild),
        2 => (0u32..400).prop_map(Op::AppendAll),
    ]
}

/// So many keys all over the range of those that are used.
fn scattered(score: u32, name: u32, count: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..count).map(move |n| ((score + n * 17) % 40, (name + n * 23 + n / 40) % 40))
}

impl<const PAD: usize> Twin<PAD> {
    fn new() -> Self {
        Self {
            tree: RankTree::new(),
            model: Vec::new(),
            names: Names::default(),
        }
    }

    fn rank(&self, key: (u32, u32)) -> Result<usize, usize> {
        self.model
            .binary_search_by(|item| self.names.of(item).cmp(&key))
    }

    fn insert(&mut self, score: u32, name: u32) {
        let key = (score, name);
        let rank = self.rank(key);
        assert_eq!(self.tree.rank_of(self.names.cmp(key)), rank);
        let item = self.names.add(score, name);
        assert_eq!(self.tree.insert(item, self.names.cmp(key)), rank.is_err());
        match rank {
            Ok(_) => self.names.erase(item),
            Err(rank) => self.model.insert(rank, item),
        }
    }

    fn remove(&mut self, key: (u32, u32)) {
        let expected = self.rank(key).ok().map(|rank| self.model.remove(rank));
        assert_eq!(self.tree.remove(self.names.cmp(key)), expected);
        expected.into_iter().for_each(|item| self.names.erase(item));
    }

    /// Gives an item a new reference.
    fn relocate(&mut self, key: (u32, u32)) {
        let item = self.names.add(key.0, key.1);
        let old = self.tree.replace(item, self.names.cmp(key));
        match self.rank(key) {
            Ok(rank) => {
                assert_eq!(old, Some(self.model[rank]));
                self.names
                    .erase(std::mem::replace(&mut self.model[rank], item));
            }
            Err(_) => {
                assert_eq!(old, None);
                self.names.erase(item);
            }
        }
    }

    fn remove_range(&mut self, start: usize, count: usize) {
        let mut gone = Vec::new();
        let end = start + count;
        self.tree.remove_range(start..end, |item| gone.push(item));
        let end = end.min(self.model.len());
        let expected: Vec<_> = self.model.drain(start.min(end)..end).collect();
        assert_eq!(gone, expected);
        gone.into_iter().for_each(|item| self.names.erase(item));
    }

    fn drain(&mut self, max: usize) {
        let mut gone = Vec::new();
        let more = self.tree.drain(max, |item| gone.push(item));
        assert_eq!(gone.len(), max.min(self.model.len()));
        assert_eq!(more, gone.len() < self.model.len());
        self.model.retain(|item| !gone.contains(item));
        gone.into_iter().for_each(|item| self.names.erase(item));
    }

    fn pop(&mut self, count: u32, first: bool) {
        for _ in 0..count {
            let expected = match first {
                true => (!self.model.is_empty()).then(|| self.model.remove(0)),
                false => self.model.pop(),
            };
            let popped = match first {
                true => pop(&mut self.tree, 0),
                false => pop(&mut self.tree, self.model.len()),
            };
            assert_eq!(popped, expected);
            expected.into_iter().for_each(|item| self.names.erase(item));
        }
    }

    fn scan(&self, start: usize, end: usize) {
        let expected = &self.model[start.min(end)..end];
        assert!(self.tree.range(start..end).eq(expected.iter().copied()));
        assert!(
            self.tree
                .range(start..end)
                .rev()
                .eq(expected.iter().rev().copied())
        );
        let (mut ours, mut theirs) = (self.tree.range(start..end), expected.iter().copied());
        for n in 0..expected.len() + 2 {
            assert_eq!(ours.len(), theirs.len());
            if (n * start).is_multiple_of(3) {
                assert_eq!(ours.next(), theirs.next());
            } else {
                assert_eq!(ours.next_back(), theirs.next_back());
            }
        }
        let score = u32::try_from(start % 40).unwrap();
        assert_eq!(
            self.tree
                .partition_point(|item| self.names.of(item).0 < score),
            self.model.partition_point(|item| item.score < score)
        );
    }

    fn apply(&mut self, op: Op) {
        let within = |at: u32| at as usize % (self.model.len() + 1);
        match op {
            Op::Insert(score, name, count) => {
                scattered(score, name, count).for_each(|(score, name)| self.insert(score, name));
            }
            Op::Ascend(count) => (0..count).for_each(|n| self.insert(40, n)),
            Op::Descend(count) => (0..count).for_each(|n| self.insert(0, 400 - n)),
            Op::Remove(score, name, count) => {
                scattered(score, name, count).for_each(|key| self.remove(key));
            }
            Op::Move(score, name) => self.relocate((score, name)),
            Op::RemoveRange(start, count) => self.remove_range(within(start), count),
            Op::PopFirst(count) => self.pop(count, true),
            Op::PopLast(count) => self.pop(count, false),
            Op::Drain(max) => self.drain(max),
            Op::Scan(start, end) => self.scan(within(start), within(end)),
            Op::Rebuild => self.tree = RankTree::from_sorted(self.tree.iter()),
            Op::AppendAll(count) => self.append_all(count),
        }
    }

    /// Adds items behind all that another operation may add.
    fn append_all(&mut self, count: u32) {
        let names = &mut self.names;
        let next = |_| {
            let name = u32::try_from(names.0.len()).unwrap();
            names.add(u32::MAX, name)
        };
        let items: Vec<Item<PAD>> = (0..count).map(next).collect();
        self.tree.append_all(items.iter().copied());
        self.model.extend(items);
    }

    fn check(&self) {
        check(&self.tree);
        assert!(self.tree.iter().eq(self.model.iter().copied()));
    }

    fn run(ops: Vec<Op>) {
        let mut twin = Self::new();
        for op in ops {
            twin.apply(op);
            twin.check();
        }
        while twin.tree.drain(7, |_| ()) {
            check(&twin.tree);
        }
        assert_eq!(twin.tree.bytes(), 0);
    }
}

proptest! {
    #[test]
    fn large_items_are_as_in_a_vector(ops in prop::collection::vec(op(), 1..150)) {
        Twin::<62>::run(ops);
    }

    #[test]
    fn small_items_are_as_in_a_vector(ops in prop::collection::vec(op(), 1..150)) {
        Twin::<1>::run(ops);
    }
}

/// Checks what is promised of a tree's structure.
fn check<T: Copy + PartialEq + std::fmt::Debug>(tree: &RankTree<T>) {
    let ends = Ends {
        first: true,
        last: true,
    };
    let whole = Walk::of(&tree.root, ends);
    assert_eq!(whole.count, tree.len());
    assert_eq!(whole.bytes, tree.bytes());
    assert_eq!(tree.is_empty(), whole.count == 0);
    if let TreeNode::Inner(root) = &tree.root {
        assert!(root.width() > 1);
    }
}

/// Whether a node is at an end of the tree.
#[derive(Clone, Copy)]
struct Ends {
    first: bool,
    last: bool,
}

/// Removes the item of a rank, if there is one.
fn pop<T: Copy>(tree: &mut RankTree<T>, rank: usize) -> Option<T> {
    let mut popped = None;
    tree.remove_range(rank..rank + 1, |item| popped = Some(item));
    popped
}

/// The result of a walk through a whole subtree.
struct Walk {
    height: usize,
    count: usize,
    bytes: usize,
}

impl Walk {
    fn of<T: Copy + PartialEq + std::fmt::Debug>(node: &TreeNode<T>, ends: Ends) -> Self {
        let (width, most) = node.width();
        assert!(width <= most);
        assert!(ends.first || ends.last || width >= most / 4);
        match node {
            TreeNode::Leaf(items) => Self {
                height: 0,
                count: items.len(),
                bytes: items.capacity() * size_of::<T>(),
            },
            TreeNode::Inner(inner) => Self::of_inner(inner, ends),
        }
    }

    fn of_inner<T: Copy + PartialEq + std::fmt::Debug>(inner: &Inner<T>, ends: Ends) -> Self {
        let width = inner.width();
        let mut whole = Self {
            height: 0,
            count: 0,
            bytes: size_of::<Inner<T>>()
                + inner.lasts.capacity() * size_of::<T>()
                + inner.counts.capacity() * size_of::<usize>()
                + inner.children.capacity() * size_of::<TreeNode<T>>(),
        };
        for (n, child) in inner.children.iter().enumerate() {
            let ends = Ends {
                first: ends.first && n == 0,
                last: ends.last && n + 1 == width,
            };
            let walk = Self::of(child, ends);
            assert!(walk.count > 0);
            assert_eq!(
                (inner.counts[n], inner.lasts[n]),
                (walk.count, child.last())
            );
            assert!(n == 0 || walk.height + 1 == whole.height);
            whole.height = walk.height + 1;
            whole.count += walk.count;
            whole.bytes += walk.bytes;
        }
        whole
    }
}

/// Pseudo-random numbers.
fn numbers() -> impl Iterator<Item = u64> {
    let mut state = 88_172_645_463_325_252_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

/// A score and a reference in 12 bytes.
type Scored = [u32; 3];

fn scored(n: u64) -> Scored {
    [(n >> 32) as u32, n as u32, 7]
}

fn bytes_per_item(items: impl Iterator<Item = u64>) -> f64 {
    let mut tree = RankTree::new();
    for item in items.map(scored) {
        tree.insert(item, |other| item.cmp(other));
    }
    check(&tree);
    tree.bytes() as f64 / tree.len() as f64
}

#[test]
fn items_of_12_bytes_take_little_more() {
    assert!(bytes_per_item(numbers().take(200_000)) < 14.5);
    assert!(bytes_per_item(0..200_000) < 12.6);
    assert!(bytes_per_item((0..200_000).rev()) < 12.6);
    for few in [130, 200, 300, 500] {
        assert!(bytes_per_item(numbers().take(few)) < 16.0, "{few}");
    }
}

#[test]
fn what_shrinks_gives_memory_back() {
    let mut tree = RankTree::from_sorted((0..100_000).map(scored));
    let full = tree.bytes();
    for n in numbers().map(|n| n % 100_000).take(300_000) {
        tree.remove(|other| scored(n).cmp(other));
    }
    check(&tree);
    let left = tree.len() as f64 / 100_000.0;
    assert!(left < 0.06);
    assert!((tree.bytes() as f64) < full as f64 * left * 1.4);
}

#[test]
fn a_queue_keeps_its_nodes_full() {
    let mut tree = RankTree::from_sorted((0..10_000).map(scored));
    for n in 10_000..100_000 {
        tree.append(scored(n));
        assert_eq!(pop(&mut tree, 0), Some(scored(n - 10_000)));
    }
    check(&tree);
    assert!((tree.bytes() as f64) < tree.len() as f64 * 13.0);
}

#[test]
fn few_comparisons_find_an_item() {
    let tree = RankTree::from_sorted((0..1_000_000).map(scored));
    let mut comparisons = 0;
    let rank = tree.rank_of(|other| {
        comparisons += 1;
        scored(765_432).cmp(other)
    });
    assert_eq!(rank, Ok(765_432));
    assert!(comparisons <= 24);
}
