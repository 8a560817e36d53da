//! Keys that are stored, left out and refused.

use kvik_rdb::{Compression, Encoder, EntriesRead, ObjectType, Pending, StreamId, StreamSummary};
use kvik_store::{Layout, Mode, NoEffects, Stripe, Stripes, UnixMs};

use super::*;

pub(crate) const NOW: UnixMs = 1_700_000_000_000;

/// A store of one stripe.
pub(crate) struct OneStripe {
    layout: Layout,
    only: Only,
}

/// The stripe, which nobody else can hold.
struct Only(Stripe);

impl Stripes for Only {
    fn stripe(&mut self, _: usize) -> &mut Stripe {
        &mut self.0
    }

    fn held(&self, _: usize) -> &Stripe {
        &self.0
    }
}

impl OneStripe {
    pub(crate) fn new() -> Self {
        Self {
            layout: Layout::new(1, 7),
            only: Only(Stripe::new()),
        }
    }

    /// Works with a guard as loading does.
    pub(crate) fn with<R>(&mut self, work: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        let mut effects = NoEffects;
        let guard = Guard::new(&mut self.only, &self.layout, &mut effects, NOW);
        work(&mut guard.mode(Mode::Follower))
    }

    fn hash(&self, record: &KeyRecord<'_>) -> KeyHash {
        let mut room = IntText::default();
        self.layout.hash(record.header.key.bytes(&mut room))
    }

    /// Loads the key of a record.
    pub(crate) fn load(
        &mut self,
        record: &[u8],
        policy: LoadPolicy,
    ) -> Result<LoadedKey, LoadFault> {
        let mut record = KeyRecord::read(record, 80).unwrap();
        let hash = self.hash(&record);
        self.with(|guard| KeyLoader::new(policy).load(guard, &mut record, hash))
    }

    pub(crate) fn len(&mut self) -> usize {
        self.with(|guard| guard.len())
    }
}

/// A record whose value is what `write` writes.
pub(crate) fn record(
    key: &str,
    expire_at: Option<u64>,
    object: ObjectType,
    write: impl FnOnce(&mut Encoder<'_>),
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, Compression::Lzf);
    encoder.key(&KeyHeader {
        key: key.as_bytes().into(),
        expire_at,
        usage: KeyUsage::Untold,
        object,
    });
    write(&mut encoder);
    out
}

fn string(key: &str, expire_at: Option<u64>) -> Vec<u8> {
    record(key, expire_at, ObjectType::String, |encoder| {
        encoder.string(b"value");
    })
}

/// Large and small values of every type, one record each. Some members expire if `expires`.
pub(crate) fn records(expires: bool) -> Vec<Vec<u8>> {
    let texts: Vec<String> = (0..3000).map(|n| format!("element {n}")).collect();
    let at = |n: usize| (expires && n.is_multiple_of(3)).then_some(NOW + 1 + n as u64);
    let pick = |plain, expiring| if expires { expiring } else { plain };
    let hash = pick(ObjectType::Hash, ObjectType::HashExpiringValkey);
    let set = pick(ObjectType::Set, ObjectType::SetExpiring);
    let zset = pick(ObjectType::SortedSet, ObjectType::SortedSetExpiring);
    let mut records = vec![
        string("string", Some(NOW + 5)),
        record("int", None, ObjectType::String, |it| it.int(-12)),
        record("rope", None, ObjectType::String, |it| {
            it.string(&noise(300_000))
        }),
        record("sparse", None, ObjectType::String, |it| {
            let mut bits = vec![0; 200_000];
            bits[150_000] = 1;
            it.string(&bits);
        }),
    ];
    for len in [3, texts.len()] {
        let texts = &texts[..len];
        records.extend([
            record(&format!("list {len}"), None, ObjectType::List, |it| {
                it.count(len);
                texts.iter().for_each(|text| it.string(text.as_bytes()));
            }),
            record(&format!("array {len}"), None, ObjectType::Array, |it| {
                it.array(len as u64, Some(70));
                for (n, text) in (0..).zip(texts) {
                    it.index(n * n);
                    it.string(text.as_bytes());
                }
            }),
            record(&format!("ints {len}"), None, ObjectType::Set, |it| {
                it.count(len);
                (0..len).for_each(|n| it.int(n as i64 * 5));
            }),
            record(&format!("set {len}"), None, set, |it| {
                it.count(len);
                for (n, text) in texts.iter().enumerate() {
                    it.string(text.as_bytes());
                    if expires {
                        it.expiry(at(n));
                    }
                }
            }),
            record(&format!("hash {len}"), None, hash, |it| {
                it.count(len);
                for (n, text) in texts.iter().enumerate() {
                    it.string(text.as_bytes());
                    it.int(n as i64);
                    if expires {
                        it.expiry(at(n));
                    }
                }
            }),
            record(&format!("zset {len}"), None, zset, |it| {
                it.count(len);
                for (n, text) in texts.iter().enumerate() {
                    it.string(text.as_bytes());
                    it.score(n as f64 / 4.0);
                    if expires {
                        it.expiry(at(n));
                    }
                }
            }),
        ]);
    }
    records.push(stream());
    records
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A stream without entries, with two groups of which one has consumers and much that is pending.
fn stream() -> Vec<u8> {
    let id = |ms| StreamId { ms, seq: 0 };
    record("stream", None, ObjectType::Stream2, |it| {
        it.count(0);
        it.summary(&StreamSummary {
            len: 0,
            last_id: id(900),
            first_id: None,
            max_deleted_id: id(900),
            entries_added: 900,
        });
        it.count(2);
        it.group(b"busy", id(900), EntriesRead::Count(900));
        it.count(300);
        for ms in 1..=300 {
            it.pending(Pending {
                id: id(ms),
                delivered_ms: NOW,
                deliveries: ms,
            });
        }
        it.count(3);
        for consumer in 0..3u64 {
            it.consumer(format!("consumer {consumer}").as_bytes(), NOW - consumer);
            it.count(100);
            (1..=300)
                .filter(|ms| ms % 3 == consumer)
                .for_each(|ms| it.owned(id(ms)));
        }
        it.group(b"idle", id(1), EntriesRead::Unknown);
        it.count(0);
        it.count(0);
    })
}

#[test]
fn a_key_twice_is_an_error_unless_it_replaces() {
    let mut store = OneStripe::new();
    let record = string("k", None);
    assert_eq!(
        store.load(&record, LoadPolicy::default()),
        Ok(LoadedKey::Stored)
    );
    let again = store.load(&record, LoadPolicy::default());
    assert_eq!(again, Err(LoadFault::Duplicate));
    let replaces = LoadPolicy {
        replaces: true,
        ..LoadPolicy::default()
    };
    assert_eq!(store.load(&record, replaces), Ok(LoadedKey::Stored));
    assert_eq!(store.len(), 1);
}

#[test]
fn what_is_overdue_stays_unless_it_is_dropped() {
    let mut store = OneStripe::new();
    let drops = LoadPolicy {
        drops_overdue: true,
        ..LoadPolicy::default()
    };
    assert_eq!(
        store.load(&string("a", Some(NOW)), drops),
        Ok(LoadedKey::Overdue)
    );
    assert_eq!(
        store.load(&string("b", Some(NOW + 1)), drops),
        Ok(LoadedKey::Stored)
    );
    let keeps = LoadPolicy::default();
    assert_eq!(
        store.load(&string("c", Some(5)), keeps),
        Ok(LoadedKey::Stored)
    );
    assert_eq!(store.len(), 2);
    let expire_at = store.with(|guard| guard.peek(b"c").unwrap().expire_at());
    assert_eq!(expire_at, Some(5));
}

#[test]
fn overdue_members_stay() {
    let mut store = OneStripe::new();
    let hash = record("h", None, ObjectType::HashExpiringValkey, |it| {
        it.count(1);
        it.string(b"f");
        it.string(b"v");
        it.expiry(Some(5));
    });
    assert_eq!(
        store.load(&hash, LoadPolicy::default()),
        Ok(LoadedKey::Stored)
    );
    assert_eq!(store.len(), 1);
}

#[test]
fn an_empty_collection_is_passed_over() {
    let mut store = OneStripe::new();
    for object in [
        ObjectType::List,
        ObjectType::Set,
        ObjectType::Hash,
        ObjectType::SortedSet,
    ] {
        let empty = record("k", None, object, |it| it.count(0));
        assert_eq!(
            store.load(&empty, LoadPolicy::default()),
            Ok(LoadedKey::Empty)
        );
    }
    let empty = record("k", None, ObjectType::ListQuicklist2, |it| {
        it.count(1);
        it.node(kvik_rdb::ListNode::Listpack(&[7, 0, 0, 0, 0, 0, 0xff]));
    });
    assert_eq!(
        store.load(&empty, LoadPolicy::default()),
        Ok(LoadedKey::Empty)
    );
    assert_eq!(store.len(), 0);
}

#[test]
fn a_damaged_value_leaves_nothing() {
    let mut store = OneStripe::new();
    let twice = record("k", None, ObjectType::Set, |it| {
        it.count(2);
        it.string(b"m");
        it.string(b"m");
    });
    assert_eq!(
        store.load(&twice, LoadPolicy::default()),
        Err(LoadFault::Malformed)
    );
    let nan = record("k", None, ObjectType::SortedSet, |it| {
        it.count(2);
        it.string(b"m");
        it.score(1.0);
        it.string(b"n");
        it.score(f64::NAN);
    });
    let fault = LoadFault::Corrupt(Corrupt::InvalidScore);
    assert_eq!(store.load(&nan, LoadPolicy::default()), Err(fault));
    assert_eq!(store.len(), 0);
    for record in records(true) {
        for cut in [record.len() - 1, record.len() / 2] {
            if let Ok(mut record) = KeyRecord::read(&record[..cut], 80) {
                let mut loader = KeyLoader::new(LoadPolicy::default());
                let hash = store.hash(&record);
                let loaded = store.with(|guard| loader.load(guard, &mut record, hash));
                assert!(loaded.is_err());
            }
        }
    }
    assert_eq!(store.len(), 0);
}
