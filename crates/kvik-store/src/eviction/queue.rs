//! S3-FIFO: "FIFO queues are all you need for cache eviction" (Yang, Zhang, Qiu, Yue, Vigfusson,
//! SOSP 2023).
//!
//! ```text
//! new keys --> [ small: a tenth ] --used twice--> [ main ] --used--> back into main, one use less
//!                    |   ^                           |
//!                    v   +-- evicted of late: --> main (the ghost knows)      evicted
//!                  evicted, noted in the ghost
//! ```
//! A key that is used once, such as those of a scan, passes through the small queue and disturbs
//! nobody. How often a key was used, up to three times, is its access clock
//! ([`AccessPolicy::Queue`](crate::AccessPolicy::Queue)), so that a read writes nothing more than
//! under any other policy.
//!
//! A queue holds positions, not entries: entries move. What it says of a key that is gone is passed
//! over. A keyspace gets its queues when it first has to evict by them; the keys that it has then
//! enter the main queue, some with each call. Cost: 8 bytes for each key and 4 for the ghost.

use std::collections::VecDeque;

use crate::keyspace::{KeyspaceMut, KeyspaceRef};
use crate::layout::Layout;
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::{Position, Prefix};

/// Uses that bring a key from the small queue into the main one.
const USES_TO_STAY: u32 = 2;
/// The part of the keys that is in the small queue.
const SMALL_PART: usize = 10;
/// Keys that enter the main queue with a call, while there are any that have not.
const ENTER_AT_ONCE: usize = 64;
/// Positions taken from the queues in one call.
const STEPS: usize = 256;

/// The queues of a keyspace in one stripe.
#[derive(Debug)]
pub(crate) struct EvictionQueues {
    small: VecDeque<Position>,
    main: VecDeque<Position>,
    ghost: Ghost,
    /// How far the keys that were there before the queues have entered.
    entered: Option<Prefix>,
}

/// Keys that were evicted from the small queue of late. A direct-mapped table of parts of their
/// positions: a new one takes the place of an old one.
#[derive(Debug, Default)]
struct Ghost(Box<[u32]>);

impl Ghost {
    fn slot(&self, position: Position) -> Option<usize> {
        (position.0 as usize).checked_rem(self.0.len())
    }

    fn note(&mut self, position: Position) {
        if let Some(slot) = self.slot(position) {
            self.0[slot] = part_of(position);
        }
    }

    fn take(&mut self, position: Position) -> bool {
        let Some(slot) = self.slot(position) else {
            return false;
        };
        let is_known = self.0[slot] == part_of(position);
        if is_known {
            self.0[slot] = 0;
        }
        is_known
    }

    /// Has room for about so many keys from here on.
    fn fit(&mut self, keys: usize) {
        let slots = keys.next_power_of_two().max(64);
        if self.0.len() < slots || self.0.len() > slots * 4 {
            let old = std::mem::replace(&mut self.0, vec![0; slots].into());
            // The upper part says where a key was only in a table of the same size; what is lost
            // is the memory of some keys.
            let kept = old.len().min(slots);
            self.0[..kept].copy_from_slice(&old[..kept]);
        }
    }
}

/// The bits of a position that the slot does not say; never 0.
fn part_of(position: Position) -> u32 {
    ((position.0 >> 32) as u32).max(1)
}

impl Default for EvictionQueues {
    fn default() -> Self {
        Self {
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghost: Ghost::default(),
            entered: Some(Prefix(0)),
        }
    }
}

impl EvictionQueues {
    /// A key has come.
    pub(crate) fn enter(&mut self, position: Position) {
        if self.ghost.take(position) {
            self.main.push_back(position);
        } else {
            self.small.push_back(position);
        }
    }

    /// Bytes of the queues.
    pub(crate) fn bytes(&self) -> usize {
        let queued = self.small.capacity() + self.main.capacity();
        size_of::<Self>() + queued * size_of::<Position>() + self.ghost.0.len() * size_of::<u32>()
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
            main.push_back(layout.position_of_key(entry.key()));
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
            let position = queue.pop_front()?;
            // The key is gone, deleted or expired: its place in the queue ends here.
            let Some(entry) = there.find_at(layout, position) else {
                continue;
            };
            let uses = there.entry(entry).clock();
            match from_small {
                // Its uses begin anew, so that it has to earn its stay in the main queue.
                true if uses >= USES_TO_STAY => {
                    set_uses(entry, 0);
                    self.main.push_back(position);
                }
                true => {
                    self.ghost.note(position);
                    return Some(entry);
                }
                false if uses > 0 => {
                    // A clock of another policy is no number of uses.
                    set_uses(entry, (uses - 1).min(2));
                    self.main.push_back(position);
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
        there.find_at(layout, queue.pop_front()?)
    }
}

impl KeyspaceMut<'_> {
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
