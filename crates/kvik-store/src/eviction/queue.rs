//! S3-FIFO: "FIFO queues are all you need for cache eviction" (Yang, Zhang, Qiu, Yue, Vigfusson,
//! SOSP 2023).
//!
//! ```text
//! new keys --> [ small: a tenth ] ----used----> [ main ] --used--> back into main, one use less
//!                    |   ^                           |
//!                    v   +-- evicted of late: --> main (the ghost knows)      evicted
//!                  evicted, noted in the ghost
//! ```
//! A key that is written and never used, such as those of a scan, passes through the small queue
//! and disturbs nobody. How often a key was used, up to three times, is its access clock
//! ([`AccessPolicy::Queue`](crate::AccessPolicy::Queue)), so that a read writes nothing more than
//! under any other policy. The paper has a key used twice before it enters the main queue, since
//! the request that brings a block counts there; here the write that brings a key does not.
//!
//! A queue holds parts of positions, not entries: entries move. What it says of a key that is gone
//! is passed over. A keyspace gets its queues when it first has to evict by them; the keys that it
//! has then enter the main queue, some with each call. Memory that the queues take is memory that
//! keys lack, so they are narrow: a key costs 5 bytes there, with room to grow 5.6, and 2 in the
//! ghost.

use std::collections::VecDeque;

use crate::keyspace::{KeyspaceMut, KeyspaceRef};
use crate::layout::Layout;
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::{Position, Prefix};

/// Uses that bring a key from the small queue into the main one.
const USES_TO_STAY: u32 = 1;
/// The part of the keys that is in the small queue.
const SMALL_PART: usize = 10;
/// Keys that enter the main queue with a call, while there are any that have not.
const ENTER_AT_ONCE: usize = 64;
/// Positions taken from the queues in one call.
const STEPS: usize = 256;

/// The queues of a keyspace in one stripe.
#[derive(Debug)]
pub(crate) struct EvictionQueues {
    small: KeyQueue,
    main: KeyQueue,
    ghost: Ghost,
    /// How far the keys that were there before the queues have entered.
    entered: Option<Prefix>,
}

/// As much of a position as finds a key: the prefix and the tag. Two keys of a stripe have the same
/// so rarely that it does not matter which of them goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct QueuedKey([u8; 5]);

/// Keys in the order in which they came.
#[derive(Debug, Default)]
struct KeyQueue(VecDeque<QueuedKey>);

/// Keys that were evicted from the small queue of late. Of each there are some bits, in a group
/// that its place chooses; a new one puts out the oldest of its group.
#[derive(Debug, Default)]
struct Ghost(Box<[[u16; GROUP]]>);

/// Keys of a group.
const GROUP: usize = 8;

impl QueuedKey {
    fn of(position: Position) -> Self {
        let [.., a, b, c, d, e] = (position.0 >> 24).to_be_bytes();
        Self([a, b, c, d, e])
    }

    /// A position with this prefix and tag.
    fn position(self) -> Position {
        let [a, b, c, d, e] = self.0;
        Position(u64::from_be_bytes([a, b, c, d, e, 0, 0, 0]))
    }
}

impl KeyQueue {
    fn push(&mut self, key: QueuedKey) {
        if self.0.len() == self.0.capacity() {
            // By an eighth and not to the double: what is not used is memory that keys lack.
            self.0.reserve_exact(self.0.len() / 8 + GROUP);
        }
        self.0.push_back(key);
    }

    fn pop(&mut self) -> Option<QueuedKey> {
        self.0.pop_front()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Ghost {
    fn group(&mut self, key: QueuedKey) -> Option<(&mut [u16; GROUP], u16)> {
        let [a, b, c, d, e] = key.0;
        // The group is chosen by other bits than those that are kept, as far as there are any.
        let mixed = u32::from_be_bytes([b, c, d, e]).wrapping_mul(0x9E37_79B1);
        let group = ((u64::from(mixed) * self.0.len() as u64) >> 32) as usize;
        // 0 is a free place.
        let part = u16::from_be_bytes([a, b ^ e]).max(1);
        Some((self.0.get_mut(group)?, part))
    }

    fn note(&mut self, key: QueuedKey) {
        if let Some((group, part)) = self.group(key) {
            group.copy_within(..GROUP - 1, 1);
            group[0] = part;
        }
    }

    fn take(&mut self, key: QueuedKey) -> bool {
        let Some((group, part)) = self.group(key) else {
            return false;
        };
        let Some(at) = group.iter().position(|&known| known == part) else {
            return false;
        };
        group.copy_within(at + 1.., at);
        group[GROUP - 1] = 0;
        true
    }

    /// Has room for about so many keys from here on. What it knew is lost when that is far more, or
    /// far less, than before.
    fn fit(&mut self, keys: usize) {
        let groups = keys.div_ceil(GROUP).max(GROUP);
        if self.0.len() * 5 / 4 < groups || self.0.len() > groups * 3 {
            self.0 = vec![[0; GROUP]; groups].into();
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

impl Default for EvictionQueues {
    fn default() -> Self {
        Self {
            small: KeyQueue::default(),
            main: KeyQueue::default(),
            ghost: Ghost::default(),
            entered: Some(Prefix(0)),
        }
    }
}

impl EvictionQueues {
    /// A key has come.
    pub(crate) fn enter(&mut self, position: Position) {
        let key = QueuedKey::of(position);
        if self.ghost.take(key) {
            self.main.push(key);
        } else {
            self.small.push(key);
        }
    }

    /// Bytes of the queues.
    pub(crate) fn bytes(&self) -> usize {
        let queued = self.small.0.capacity() + self.main.0.capacity();
        size_of::<Self>() + queued * size_of::<QueuedKey>() + self.ghost.bytes()
    }

    /// Whether the queues hold far more than there are keys: many keys were deleted and have come
    /// again.
    fn is_overfull(&self, keys: usize) -> bool {
        self.small.len() + self.main.len() > 2 * keys + STEPS
    }

    /// Enters some of the keys that were there before the queues.
    fn enter_some(&mut self, there: KeyspaceRef<'_>, layout: &Layout) {
        let Some(from) = self.entered else { return };
        let (main, mut left) = (&mut self.main, ENTER_AT_ONCE);
        self.entered = there.walk(layout, from, |entry| {
            main.push(QueuedKey::of(layout.position_of_key(entry.key())));
            // A bucket is shown as a whole.
            left = left.saturating_sub(1);
            left > 0
        });
    }

    /// The next key to evict, and what becomes of the uses of keys that are passed over.
    fn next(
        &mut self,
        there: KeyspaceRef<'_>,
        layout: &Layout,
        mut set_uses: impl FnMut(EntryRef, u32),
    ) -> Option<EntryRef> {
        for _ in 0..STEPS {
            let all = self.small.len() + self.main.len();
            // The small queue gives first as long as it has its part or more.
            let from_small = self.small.len() * SMALL_PART >= all || self.main.is_empty();
            let queue = if from_small {
                &mut self.small
            } else {
                &mut self.main
            };
            let key = queue.pop()?;
            // The key is gone, deleted or expired: its place in the queue ends here.
            let Some(entry) = there.find_queued(layout, key) else {
                continue;
            };
            let uses = there.entry(entry).clock();
            match from_small {
                // Its uses begin anew, so that it has to earn its stay in the main queue.
                true if uses >= USES_TO_STAY => {
                    set_uses(entry, 0);
                    self.main.push(key);
                }
                true => {
                    self.ghost.note(key);
                    return Some(entry);
                }
                false if uses > 0 => {
                    // A clock of another policy is no number of uses.
                    set_uses(entry, (uses - 1).min(2));
                    self.main.push(key);
                }
                false => return Some(entry),
            }
        }
        // Everything is in use: whatever comes next has to go.
        let queue = if self.main.is_empty() {
            &mut self.small
        } else {
            &mut self.main
        };
        there.find_queued(layout, queue.pop()?)
    }
}

impl KeyspaceRef<'_> {
    /// The entry of a key that was queued.
    fn find_queued(self, layout: &Layout, key: QueuedKey) -> Option<EntryRef> {
        let is_it = |entry| QueuedKey::of(layout.position_of_key(self.heap.key(entry))) == key;
        self.keyspace.table.find(key.position(), is_it)
    }
}

impl KeyspaceMut<'_> {
    /// Lets a key enter the queues again that has left them for nothing.
    pub(super) fn enter_queue(&mut self, position: Position) {
        if let Some(mut queues) = self.keyspace.take_queues() {
            queues.main.push(QueuedKey::of(position));
            self.keyspace.put_queues(queues);
        }
    }

    /// The key that S3-FIFO evicts next.
    pub(super) fn next_in_queue(&mut self) -> Option<EntryRef> {
        let len = self.keyspace.len();
        let mut queues = self.keyspace.take_queues().unwrap_or_default();
        // Clearing them loses an order; letting them grow would cost memory where it is scarce.
        if queues.is_overfull(len) {
            *queues = EvictionQueues::default();
        }
        queues.ghost.fit(len);
        let mut clocks = Vec::new();
        let mut next = None;
        // Positions of keys that are gone are passed over, some of them at a time.
        for _ in 0..4 {
            queues.enter_some(self.read(), self.layout);
            let set_uses = |entry, uses| clocks.push((entry, uses));
            next = queues.next(self.read(), self.layout, set_uses);
            clocks
                .drain(..)
                .for_each(|(entry, uses)| self.heap.set_clock(entry, uses));
            if next.is_some() {
                break;
            }
        }
        if next.is_none() {
            // The queues have lost track; they begin anew.
            *queues = EvictionQueues::default();
            next = self.read().sample_ref(0);
        }
        self.keyspace.put_queues(queues);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queued_key_has_prefix_and_tag() {
        let position = Position(0x0123_4567_89AB_CDEF);
        let found = QueuedKey::of(position).position();
        assert_eq!(
            (found.prefix(), found.tag()),
            (position.prefix(), position.tag())
        );
        assert_eq!(QueuedKey::of(found), QueuedKey::of(position));
    }

    #[test]
    fn the_ghost_knows_the_latest_of_about_as_many_keys_as_there_are() {
        const KEYS: u64 = 4096;
        let mut ghost = Ghost::default();
        // Without room it knows nothing.
        ghost.note(QueuedKey([1; 5]));
        assert!(!ghost.take(QueuedKey([1; 5])));
        ghost.fit(KEYS as usize);
        let place = |at: u64| QueuedKey::of(Position(at.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        (0..KEYS).for_each(|at| ghost.note(place(at)));
        let newest = (KEYS * 3 / 4..KEYS).filter(|&at| ghost.take(place(at)));
        assert!(newest.count() as u64 > KEYS / 4 * 9 / 10);
        // Each is known once, and what was never noted hardly ever.
        assert!(!ghost.take(place(KEYS - 1)));
        let strangers = (KEYS..2 * KEYS).filter(|&at| ghost.take(place(at)));
        assert!(strangers.count() < 8);
        // A little more or less is no reason to forget.
        ghost.note(place(1));
        ghost.fit(KEYS as usize * 9 / 10);
        assert!(ghost.take(place(1)));
    }

    #[test]
    fn a_queue_grows_by_a_little() {
        let mut queue = KeyQueue::default();
        (0..100_000u64).for_each(|at| queue.push(QueuedKey::of(Position(at << 24))));
        assert!(queue.0.capacity() < 115_000);
        assert_eq!(queue.pop(), Some(QueuedKey::of(Position(0))));
        assert_eq!((queue.len(), queue.is_empty()), (99_999, false));
    }
}
