//! Room in namespaces, promised to a command before it runs.
//!
//! Where namespaces are limited, what a command may add to them is estimated and promised first: it
//! counts as used from then on, so that commands which run at the same time cannot exceed a limit
//! together. Room is made for it in the command's own namespaces. A promise ends when it is
//! dropped, after the command has run and what it has really added counts.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_store::{KeyspaceId, Namespace, Namespaces};

use crate::eviction::{EvictionScope, Room, RoomMaker};
use crate::shared::Shared;

/// The most that a command may add to a namespace by one of its keys.
#[derive(Clone, Debug)]
pub(crate) struct KeyGrowth {
    pub(crate) database: KeyspaceId,
    pub(crate) namespace: Vec<u8>,
    /// Bytes as the store holds them.
    pub(crate) bytes: u64,
    /// Bytes of names and values.
    pub(crate) payload: u64,
}

/// The room that is promised to a command which is about to run.
#[derive(Debug)]
pub(crate) struct Promise {
    all: Arc<Namespaces>,
    payload: u64,
    quotas: Vec<PromisedBytes>,
}

#[derive(Debug)]
struct PromisedBytes {
    namespace: Arc<Namespace>,
    bytes: u64,
    /// The part that the command has not made use of yet.
    left: u64,
}

impl Promise {
    /// Uses up to `bytes` of what is promised in a namespace, and says how many there were.
    pub(crate) fn draw(&mut self, namespace: &Arc<Namespace>, bytes: u64) -> u64 {
        let is_it = |it: &&mut PromisedBytes| Arc::ptr_eq(&it.namespace, namespace);
        let Some(promised) = self.quotas.iter_mut().find(is_it) else {
            return 0;
        };
        let drawn = promised.left.min(bytes);
        promised.left -= drawn;
        drawn
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.all.release_payload(self.payload);
    }
}

impl Drop for PromisedBytes {
    fn drop(&mut self) {
        self.namespace.release(0, self.bytes);
    }
}

impl Shared {
    /// Whether anything is limited of which room is promised: payload, or bytes of namespaces.
    pub(crate) fn makes_promises(&self) -> bool {
        let settings = &self.engine.settings;
        settings.maxmemory_payload.load(Relaxed) > 0 || settings.namespace_quotas.evicts()
    }

    /// Promises what a command may add, whether or not there is room for it.
    pub(crate) fn promise(&self, all: &Arc<Namespaces>, growth: &[KeyGrowth]) -> Promise {
        let mut promise = Promise {
            all: Arc::clone(all),
            payload: 0,
            quotas: Vec::new(),
        };
        if self.engine.settings.maxmemory_payload.load(Relaxed) > 0 {
            promise.payload = growth.iter().map(|it| it.payload).sum();
            all.reserve_payload(promise.payload);
        }
        if !self.engine.settings.namespace_quotas.evicts() {
            return promise;
        }
        for it in growth {
            let quota = self.engine.settings.namespace_quotas.get(&it.namespace);
            let Some(namespace) = all.find(it.database, &it.namespace) else {
                continue;
            };
            if quota.is_none_or(|quota| quota.bytes == 0) || self.rules_of(&namespace).is_none() {
                continue;
            }
            namespace.reserve(0, it.bytes);
            promise.quotas.push(PromisedBytes {
                namespace,
                bytes: it.bytes,
                left: it.bytes,
            });
        }
        promise
    }

    /// Whether there is room for what is promised, and for `need` bytes in all, without anything
    /// being evicted.
    pub(crate) fn keeps(&self, promise: &Promise, need: u64) -> bool {
        let fits = |it: &PromisedBytes| it.namespace.bytes_promised() <= self.quota_of(it);
        self.excess_to_evict(need) == 0 && promise.quotas.iter().all(fits)
    }

    /// Makes room for what is promised, and for `need` bytes in all, for a slice of time: in the
    /// namespaces that are to grow.
    pub(crate) fn keep(
        &self,
        promise: &mut Promise,
        need: u64,
        growth: &[KeyGrowth],
        maker: &mut RoomMaker<'_>,
    ) -> Room {
        let mut later = false;
        promise.quotas.retain(|it| {
            let quota = self.quota_of(it);
            // Nobody loses a key for what does not fit however many go.
            let room = match it.bytes > quota {
                true => Room::None,
                false => self.make_room_below(&it.namespace, quota, maker),
            };
            later |= room == Room::Later;
            // Where there is none, the command is refused with the figures at that moment.
            room != Room::None
        });
        if later {
            return Room::Later;
        }
        let settings = &self.engine.settings;
        let fits = |limit: u64, more: u64| limit == 0 || more <= limit;
        if !fits(settings.maxmemory_payload.load(Relaxed), promise.payload)
            || !fits(settings.maxmemory.load(Relaxed), need)
        {
            return Room::None;
        }
        let mut namespaces: Vec<Arc<Namespace>> = Vec::new();
        for it in growth {
            let found = promise.all.find(it.database, &it.namespace);
            let is_known = |it: &Arc<Namespace>| namespaces.iter().any(|at| Arc::ptr_eq(at, it));
            if let Some(namespace) = found.filter(|it| !is_known(it)) {
                namespaces.push(namespace);
            }
        }
        self.make_room(need, EvictionScope::Within(&namespaces), maker)
    }

    fn quota_of(&self, promised: &PromisedBytes) -> u64 {
        let quotas = &self.engine.settings.namespace_quotas;
        let quota = quotas.get(promised.namespace.name());
        // One that was lifted meanwhile.
        quota.map_or(u64::MAX, |quota| match quota.bytes {
            0 => u64::MAX,
            bytes => bytes,
        })
    }
}
