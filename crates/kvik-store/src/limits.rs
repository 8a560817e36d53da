//! Up to which size collections stay packed.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

/// Settings under which collections are packed, with Redis' names and defaults. They may change at
/// any time and concern what grows from then on.
#[derive(Debug)]
pub struct Limits {
    /// `hash-max-listpack-entries`
    pub hash_entries: AtomicI64,
    /// `hash-max-listpack-value`, in bytes.
    pub hash_value_bytes: AtomicI64,
    /// `hash-min-template-entries`: fewest fields whose names hashes share; 0: they share none.
    pub hash_shared_min: AtomicI64,
    /// `hash-max-template-entries`: most of them; 0 is no limit.
    pub hash_shared_max: AtomicI64,
    /// `set-max-intset-entries`
    pub set_ints: AtomicI64,
    /// `set-max-listpack-entries`
    pub set_entries: AtomicI64,
    /// `set-max-listpack-value`, in bytes.
    pub set_value_bytes: AtomicI64,
    /// `zset-max-listpack-entries`
    pub zset_entries: AtomicI64,
    /// `zset-max-listpack-value`, in bytes.
    pub zset_value_bytes: AtomicI64,
    /// `list-max-listpack-size`: elements if positive, else one of five sizes in bytes.
    pub list_size: AtomicI64,
    /// Length from which an element of a large list is kept by itself, in bytes; 0: where a node
    /// would be too small for it. No setting, but what DEBUG changes to test it.
    pub list_plain_bytes: AtomicI64,
    /// `stream-node-max-bytes`; 0 is no limit.
    pub stream_node_bytes: AtomicI64,
    /// `stream-node-max-entries`; 0 is no limit.
    pub stream_node_entries: AtomicI64,
    /// `stream-idmp-duration`, in seconds, of streams that do not say it themselves.
    pub stream_idempotence_s: AtomicI64,
    /// `stream-idmp-maxsize`, of streams that do not say it themselves.
    pub stream_idempotence_len: AtomicI64,
}

impl Limits {
    /// Redis' defaults.
    pub const fn new() -> Self {
        Self {
            hash_entries: AtomicI64::new(512),
            hash_value_bytes: AtomicI64::new(64),
            hash_shared_min: AtomicI64::new(2),
            hash_shared_max: AtomicI64::new(0),
            set_ints: AtomicI64::new(512),
            set_entries: AtomicI64::new(128),
            set_value_bytes: AtomicI64::new(64),
            zset_entries: AtomicI64::new(128),
            zset_value_bytes: AtomicI64::new(64),
            list_size: AtomicI64::new(-2),
            list_plain_bytes: AtomicI64::new(0),
            stream_node_bytes: AtomicI64::new(4096),
            stream_node_entries: AtomicI64::new(100),
            stream_idempotence_s: AtomicI64::new(100),
            stream_idempotence_len: AtomicI64::new(100),
        }
    }

    /// Whether hashes with so many fields share their names.
    #[inline]
    pub(crate) fn shares_names(&self, fields: usize) -> bool {
        let (min, max) = (&self.hash_shared_min, &self.hash_shared_max);
        let (min, max) = (
            min.load(Relaxed).unsigned_abs(),
            max.load(Relaxed).unsigned_abs(),
        );
        let fields = fields as u64;
        min > 0 && fields >= min.max(2) && (max == 0 || fields <= max)
    }

    /// For how long the entries of a stream's producers are known, in seconds.
    pub fn idempotence_s(&self) -> u64 {
        self.stream_idempotence_s.load(Relaxed).unsigned_abs()
    }

    /// How many entries of a stream's producer are known.
    pub fn idempotence_len(&self) -> u64 {
        self.stream_idempotence_len.load(Relaxed).unsigned_abs()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}
