//! Images of a store that changes before, at and behind the walk, against what it held at the cut.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::stripe::Stripe;
use crate::trial::Store;
use crate::{Expiry, Guard, ListEnd, Mode, NewString, StringRef};

pub(crate) const STRIPES: usize = 4;
pub(crate) const DATABASES: u32 = 3;
const KEYS: u16 = 300;

/// Keys of all databases, each with its expiry and what it holds, in words.
pub(crate) type Contents = BTreeMap<(u32, Vec<u8>), (Option<UnixMs>, Vec<String>)>;

/// An operation on the store.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// To so many of these bytes, which often take the cell of what was there.
    Set(u16, usize, u8),
    SetExpiring(u16, u64),
    SetRange(u16, usize),
    Delete(u16),
    /// Puts some elements into whatever collection a key is, or becomes by its number.
    Put(u16, u16, usize),
    /// Takes some out.
    Take(u16, u16, usize),
    ExpireMember(u16, u16, u64),
    Rename(u16, u16),
    Copy(u16, u32, u16),
    Move(u16, u32),
    Swap(u32, u32),
    Flush,
    FlushAll,
    Select(u32),
    Pass(u64),
    Upkeep,
    Slice(usize, usize),
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let key = || 0..KEYS;
    let small = (0usize..4).prop_map(|n| n * 8);
    let size = prop_oneof![
        4 => small,
        2 => 0usize..60,
        1 => Just(5000usize),
        1 => Just(40_000usize),
    ];
    let count = prop_oneof![5 => 1usize..8, 1 => Just(200usize)];
    let database = || 0..DATABASES;
    prop_oneof![
        8 => (0..2 * KEYS, size.clone(), any::<u8>()).prop_map(|(k, len, byte)| Op::Set(k, len, byte)),
        2 => (key(), 1u64..300).prop_map(|(k, at)| Op::SetExpiring(k, at)),
        2 => (key(), size).prop_map(|(k, len)| Op::SetRange(k, len)),
        3 => key().prop_map(Op::Delete),
        6 => (key(), any::<u16>(), count.clone()).prop_map(|(k, m, n)| Op::Put(k, m, n)),
        6 => (key(), any::<u16>(), count).prop_map(|(k, m, n)| Op::Take(k, m, n)),
        2 => (key(), any::<u16>(), 1u64..200).prop_map(|(k, m, at)| Op::ExpireMember(k, m, at)),
        3 => (key(), key()).prop_map(|(k, to)| Op::Rename(k, to)),
        3 => (key(), database(), key()).prop_map(|(k, db, to)| Op::Copy(k, db, to)),
        2 => (key(), database()).prop_map(|(k, db)| Op::Move(k, db)),
        1 => (database(), database()).prop_map(|(a, b)| Op::Swap(a, b)),
        1 => Just(Op::Flush),
        1 => Just(Op::FlushAll),
        3 => database().prop_map(Op::Select),
        2 => (1u64..60).prop_map(Op::Pass),
        2 => Just(Op::Upkeep),
        4 => (0..STRIPES, 1usize..40).prop_map(|(stripe, n)| Op::Slice(stripe, n)),
    ]
}

fn key(n: u16) -> Vec<u8> {
    format!("key:{n}").into_bytes()
}

/// Puts elements into the collection that keys of this number hold, if there is no other.
fn put(guard: &mut Guard<'_>, n: u16, first: u16, count: usize) {
    let (key, names) = (
        key(n),
        (0..count).map(|at| format!("{}", usize::from(first) + at)),
    );
    match n % 6 {
        0 => {
            if let Ok(mut list) = guard.entry(&key).list_mut() {
                let names: Vec<_> = names.collect();
                list.push(ListEnd::Right, names.iter().map(String::as_bytes));
            }
        }
        1 => {
            if let Ok(mut hash) = guard.entry(&key).hash_mut() {
                for name in names {
                    hash.set(name.as_bytes(), StringRef::Bytes(b"some value of a field"));
                }
            }
        }
        2 => {
            if let Ok(mut set) = guard.entry(&key).set_mut() {
                for name in names {
                    set.add(name.as_bytes());
                }
            }
        }
        3 => {
            if let Ok(mut zset) = guard.entry(&key).zset_mut() {
                for name in names {
                    zset.update(name.as_bytes(), |_| Some(f64::from(first % 7)));
                }
            }
        }
        4 => {
            if let Ok(mut stream) = guard.entry(&key).stream_mut() {
                for name in names {
                    let next = stream.view().last_id().next().expect("ids are small");
                    let words = [b"field", name.as_bytes()];
                    let _ = stream.append(crate::NewId::Full(next), words.into_iter());
                }
            }
        }
        _ => {
            if let Ok(mut array) = guard.entry(&key).array_mut() {
                for (name, at) in names.zip(u64::from(first)..) {
                    array.set_one(at * 17, name.as_bytes());
                }
            }
        }
    }
}

/// Takes elements out of whatever collection a key holds.
fn take(guard: &mut Guard<'_>, n: u16, first: u16, count: usize) {
    let (key, names) = (
        key(n),
        (0..count).map(|at| format!("{}", usize::from(first) + at)),
    );
    let Some(kind) = guard.peek(&key).map(|view| view.kind()) else {
        return;
    };
    let entry = guard.entry(&key);
    match kind {
        crate::Kind::String => {}
        crate::Kind::List => {
            entry.list_mut().unwrap().pop(ListEnd::Left, count);
        }
        crate::Kind::Hash => {
            let mut hash = entry.hash_mut().unwrap();
            names.for_each(|name| {
                hash.remove(name.as_bytes());
            });
        }
        crate::Kind::Set => {
            let mut set = entry.set_mut().unwrap();
            names.for_each(|name| {
                set.remove(name.as_bytes());
            });
        }
        crate::Kind::Zset => {
            let mut zset = entry.zset_mut().unwrap();
            let len = zset.view().len();
            zset.remove_ranks(0..count.min(len));
        }
        crate::Kind::Stream => {
            let mut stream = entry.stream_mut().unwrap();
            let first = stream.view().first_id();
            stream.delete([first].into_iter());
        }
        crate::Kind::Array => {
            let mut array = entry.array_mut().unwrap();
            array.delete_range(first.into(), u64::from(first) + 9 * count as u64);
        }
    }
}

/// Lets a member expire.
fn expire_member(guard: &mut Guard<'_>, n: u16, member: u16, at: UnixMs) {
    let (key, name) = (key(n), member.to_string());
    match guard.peek(&key).map(|view| view.kind()) {
        Some(crate::Kind::Hash) => {
            let mut hash = guard.entry(&key).hash_mut().unwrap();
            hash.expire([name.as_bytes()], at, |_| true);
        }
        Some(crate::Kind::Set) => {
            let mut set = guard.entry(&key).set_mut().unwrap();
            set.set_expiry(name.as_bytes(), Some(at));
        }
        Some(crate::Kind::Zset) => {
            let mut zset = guard.entry(&key).zset_mut().unwrap();
            zset.set_expiry(name.as_bytes(), Some(at));
        }
        _ => {}
    }
}

pub(crate) fn apply(store: &mut Store, database: &mut u32, op: &Op) {
    let now = store.now;
    let at = KeyspaceId(*database);
    let mut run = |work: &mut dyn FnMut(&mut Guard<'_>)| {
        store.run(|guard| {
            guard.select(at);
            work(guard);
        });
    };
    match *op {
        Op::Set(n, len, byte) => run(&mut |guard| {
            let text = vec![byte; len];
            let string = NewString::Bytes(&text);
            guard.entry(&key(n)).set(string, Expiry::Clear);
        }),
        Op::SetExpiring(n, after) => run(&mut |guard| {
            let string = NewString::Int(i64::from(n));
            guard.entry(&key(n)).set(string, Expiry::At(now + after));
        }),
        Op::SetRange(n, offset) => run(&mut |guard| {
            let key = key(n);
            let there = guard.entry(&key);
            if let Some(mut there) = there.occupied()
                && there.view().string().is_ok()
            {
                there.set_range(offset, b"changed", 1 << 20).unwrap();
            }
        }),
        Op::Delete(n) => run(&mut |guard| {
            guard.delete(&key(n));
        }),
        Op::Put(n, first, count) => run(&mut |guard| put(guard, n, first % 40, count)),
        Op::Take(n, first, count) => run(&mut |guard| take(guard, n, first % 40, count)),
        Op::ExpireMember(n, member, after) => {
            run(&mut |guard| expire_member(guard, n, member % 40, now + after));
        }
        Op::Rename(n, to) if n != to => run(&mut |guard| {
            guard.rename(&key(n), &key(to));
        }),
        Op::Copy(n, database, to) if at.0 != database || n != to => {
            run(&mut |guard| {
                guard.copy(&key(n), KeyspaceId(database), &key(to));
            });
        }
        Op::Move(n, to) if to != at.0 => {
            run(&mut |guard| {
                guard.move_to(&key(n), KeyspaceId(to));
            });
        }
        Op::Swap(a, b) if a != b => {
            run(&mut |guard| guard.swap(KeyspaceId(a), KeyspaceId(b)));
        }
        Op::Flush => run(&mut |guard| guard.flush()),
        Op::FlushAll => run(&mut |guard| guard.flush_all()),
        Op::Select(to) => *database = to,
        Op::Pass(ms) => store.now += ms,
        Op::Upkeep => store.upkeep(),
        Op::Slice(stripe, n) => {
            store.stripes.0[stripe].image_slice(&store.layout, n);
        }
        Op::Rename(..) | Op::Copy(..) | Op::Move(..) | Op::Swap(..) => {}
    }
}

/// A value in words.
fn words(value: ValueRef<'_>) -> Vec<String> {
    let mut words = match value {
        ValueRef::String(text) => return vec![text.to_vec().escape_ascii().to_string()],
        ValueRef::List(list) => {
            return list.iter().map(|element| format!("{element:?}")).collect();
        }
        ValueRef::Hash(hash) => {
            let mut words = Vec::new();
            hash.for_each(|field| words.push(format!("{field:?}")));
            words
        }
        ValueRef::Set(set) => {
            let mut room = crate::IntText::default();
            let word = |member: crate::packed::Element<'_>| {
                let name = member.text(&mut room).to_vec();
                format!("{name:?} {:?}", set.expiry_of(&name).flatten())
            };
            set.iter().map(word).collect()
        }
        ValueRef::Zset(zset) => {
            let mut room = crate::IntText::default();
            let word = |member: crate::ScoredMember<'_>| {
                let name = member.name.text(&mut room).to_vec();
                let expire_at = zset.expiry_of(&name).flatten();
                format!("{name:?} {} {expire_at:?}", member.score())
            };
            zset.iter().map(word).collect()
        }
        ValueRef::Stream(stream) => {
            let (first, last) = (crate::StreamId::MIN, crate::StreamId::MAX);
            let entries = stream.range(first, last);
            return entries.map(|entry| format!("{entry:?}")).collect();
        }
        ValueRef::Array(array) => {
            let elements = array.range(0, u64::MAX);
            let words = elements.map(|element| format!("{element:?}"));
            return words.chain([format!("{:?}", array.cursor())]).collect();
        }
    };
    words.sort();
    words
}

/// All that a store holds, what is overdue included.
pub(crate) fn contents(store: &mut Store) -> Contents {
    store.mode = Mode::Follower;
    let mut contents = Contents::new();
    store.run(|guard| {
        for database in 0..DATABASES {
            guard.select(KeyspaceId(database));
            guard.for_each(|view| {
                let told = (view.expire_at(), words(view.value()));
                contents.insert((database, view.key().to_vec()), told);
            });
        }
    });
    store.mode = Mode::Primary;
    contents
}

/// Bytes that the keys of all databases account for.
pub(crate) fn accounted_bytes(store: &mut Store) -> usize {
    let mut bytes = 0;
    store.run(|guard| {
        for database in 0..DATABASES {
            guard.select(KeyspaceId(database));
            guard.for_each(|view| bytes += view.bytes());
        }
    });
    bytes
}

/// An image in words; large values are looked at only when it is complete.
#[derive(Clone, Default)]
pub(crate) struct Words(Arc<Mutex<WordsInside>>);

#[derive(Default)]
struct WordsInside {
    contents: Contents,
    shared: Vec<(u32, Vec<u8>, Option<UnixMs>, SharedValue)>,
    /// Collections that came member by member.
    tables: usize,
}

impl ImageSink for Words {
    fn entry(&mut self, database: KeyspaceId, view: &View<'_>) {
        let told = (view.expire_at(), words(view.value()));
        let key = (database.0, view.key().to_vec());
        let twice = self.0.lock().unwrap().contents.insert(key, told);
        assert!(twice.is_none(), "each entry is handed over once");
    }

    fn shared(&mut self, database: KeyspaceId, view: &View<'_>, value: SharedValue) {
        let (key, expire_at) = (view.key().to_vec(), view.expire_at());
        let mut inside = self.0.lock().unwrap();
        inside.shared.push((database.0, key, expire_at, value));
    }

    fn table(
        &mut self,
        database: KeyspaceId,
        view: &View<'_>,
        len: usize,
        expires: bool,
    ) -> Box<dyn MemberSink> {
        let is_expiring = match view.value() {
            ValueRef::Hash(hash) => hash.expires(),
            ValueRef::Set(set) => set.expires(),
            ValueRef::Zset(zset) => zset.expires(),
            other => unreachable!("no {:?} has a table", other.kind()),
        };
        assert_eq!(expires, is_expiring);
        Box::new(MemberWords {
            image: self.clone(),
            key: (database.0, view.key().to_vec()),
            expire_at: view.expire_at(),
            len,
            words: Vec::new(),
        })
    }
}

/// The members of one collection in words, until they are all there.
struct MemberWords {
    image: Words,
    key: (u32, Vec<u8>),
    expire_at: Option<UnixMs>,
    len: usize,
    words: Vec<String>,
}

impl MemberSink for MemberWords {
    fn field(&mut self, field: &Field<'_>) {
        self.words.push(format!("{field:?}"));
    }

    fn member(&mut self, name: StringRef<'_>, expire_at: Option<UnixMs>) {
        let mut room = crate::IntText::default();
        let name = name.text(&mut room).to_vec();
        self.words.push(format!("{name:?} {expire_at:?}"));
    }

    fn scored(&mut self, name: StringRef<'_>, score: f64, expire_at: Option<UnixMs>) {
        let mut room = crate::IntText::default();
        let name = name.text(&mut room).to_vec();
        self.words.push(format!("{name:?} {score} {expire_at:?}"));
    }

    fn end(&mut self) {
        let mut words = std::mem::take(&mut self.words);
        assert_eq!(words.len(), self.len, "as many as were announced");
        words.sort();
        let mut inside = self.image.0.lock().unwrap();
        let told = (self.expire_at, words);
        let twice = inside.contents.insert(self.key.clone(), told);
        assert!(twice.is_none(), "each entry is handed over once");
        inside.tables += 1;
    }
}

impl Words {
    pub(crate) fn take(&self) -> Contents {
        let mut inside = self.0.lock().unwrap();
        for (database, key, expire_at, value) in std::mem::take(&mut inside.shared) {
            let told = (expire_at, words(value.value()));
            let twice = inside.contents.insert((database, key), told);
            assert!(twice.is_none(), "each entry is handed over once");
        }
        std::mem::take(&mut inside.contents)
    }
}

pub(crate) fn begin(store: &mut Store) -> Words {
    let image = Words::default();
    for stripe in &mut store.stripes.0 {
        let sink = Box::new(image.clone());
        stripe.begin_image(sink, store.now, AccessPolicy::Recency);
    }
    image
}

/// A store with keys of every kind in two databases.
pub(crate) fn filled() -> Store {
    let mut store = Store::new(STRIPES);
    // Collections of some dozen elements are large ones.
    let limits = &store.limits;
    let counts = [&limits.hash_entries, &limits.set_entries, &limits.set_ints];
    for count in counts
        .into_iter()
        .chain([&limits.zset_entries, &limits.list_size])
    {
        count.store(16, Relaxed);
    }
    for n in 0..KEYS {
        let database = u32::from(n % 3 == 0);
        store.run(|guard| {
            guard.select(KeyspaceId(database));
            put(guard, n, n % 30, usize::from(n % 50));
            let len = usize::from(n % 4) * if n % 8 < 4 { 8 } else { 3000 };
            let text = vec![b'x'; len];
            let string = NewString::Bytes(&text);
            guard.entry(&key(n + KEYS)).set(string, Expiry::Clear);
        });
    }
    store
}

/// Prepares an image, with changes between the parts of that.
fn prepare(store: &mut Store, database: &mut u32, between: &[Op]) {
    let mut between = between.iter();
    for stripe in 0..STRIPES {
        let mut next = Some(0);
        while let Some(from) = next {
            next = store.stripes.0[stripe].prepare_image(from, 1);
            let some = between.by_ref().take(5);
            some.for_each(|op| apply(store, database, op));
        }
    }
    between.for_each(|op| apply(store, database, op));
}

/// Checks that an image, begun behind some changes and before others, is the state in between, and
/// that it changes nothing and leaves nothing behind.
fn check_cut(
    before: &[Op],
    prepare: impl FnOnce(&mut Store, &mut u32),
    after: &[Op],
) -> Result<(), TestCaseError> {
    let mut store = filled();
    let mut database = 0;
    before
        .iter()
        .for_each(|op| apply(&mut store, &mut database, op));
    prepare(&mut store, &mut database);
    let expected = contents(&mut store);
    let image = begin(&mut store);
    after
        .iter()
        .for_each(|op| apply(&mut store, &mut database, op));
    let held = contents(&mut store);
    for stripe in 0..STRIPES {
        while store.stripes.0[stripe].image_slice(&store.layout, 7) {}
    }
    prop_assert_eq!(image.take(), expected);
    prop_assert_eq!(contents(&mut store), held);
    store.upkeep();
    prop_assert_eq!(store.live_bytes(), accounted_bytes(&mut store));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 60 }))]

    #[test]
    fn a_prepared_image_is_the_state_at_the_cut(
        before in prop::collection::vec(op(), 0..60),
        between in prop::collection::vec(op(), 0..80),
        after in prop::collection::vec(op(), 0..150),
    ) {
        check_cut(&before, |store, database| prepare(store, database, &between), &after)?;
    }

    #[test]
    fn an_image_is_the_state_at_the_cut(
        before in prop::collection::vec(op(), 0..60),
        after in prop::collection::vec(op(), 0..250),
    ) {
        check_cut(&before, |_, _| (), &after)?;
    }

    #[test]
    fn an_image_that_is_given_up_leaves_nothing(
        after in prop::collection::vec(op(), 0..100),
    ) {
        let mut store = filled();
        let mut database = 0;
        let image = begin(&mut store);
        after.iter().for_each(|op| apply(&mut store, &mut database, op));
        store.stripes.0.iter_mut().for_each(Stripe::end_image);
        image.take();
        after.iter().for_each(|op| apply(&mut store, &mut database, op));
        prop_assert!(image.take().is_empty());
        store.upkeep();
        prop_assert_eq!(store.live_bytes(), accounted_bytes(&mut store));
    }
}

#[test]
fn without_a_cut_nothing_is_handed_over() {
    let mut store = filled();
    let stripe = &mut store.stripes.0[0];
    assert!(!stripe.image_slice(&store.layout, 1));
}

#[test]
fn large_collections_are_handed_over_in_slices() {
    let mut store = filled();
    store.run(|guard| (1..4).for_each(|n| put(guard, n, 0, 1000)));
    let expected = contents(&mut store);
    let image = begin(&mut store);
    let open = |store: &Store| {
        let stripes = store.stripes.0.iter();
        stripes.filter(|stripe| stripe.has_open_images()).count()
    };
    // A change begins each of them, and what follows comes while little of it is saved.
    store.run(|guard| (1..4).for_each(|n| take(guard, n, 500, 10)));
    assert!(open(&store) > 0 && image.0.lock().unwrap().tables == 0);
    store.run(|guard| {
        assert!(guard.rename(&key(1), b"elsewhere"));
        guard.delete(&key(2));
        put(guard, 2, 3, 300);
    });
    let mut slices = 0;
    for stripe in 0..STRIPES {
        while store.stripes.0[stripe].image_slice(&store.layout, 7) {
            slices += 1;
            store.run(|guard| {
                put(guard, 3, slices, 40);
                take(guard, 3, 7 * slices, 5);
            });
        }
    }
    assert!(open(&store) == 0 && image.0.lock().unwrap().tables >= 3);
    assert_eq!(image.take(), expected);
    store.upkeep();
    assert_eq!(store.live_bytes(), accounted_bytes(&mut store));
}
