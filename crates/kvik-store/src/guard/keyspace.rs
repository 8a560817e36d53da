//! Operations on a whole keyspace. They need every stripe; a scan needs one after the other.

use super::Guard;
use crate::garbage::Garbage;
use crate::interests::TrackedChange;
use crate::keyspace::{Keyspace, KeyspaceRef};
use crate::layout::{Cursor, KeyspaceId, Layout};
use crate::raw::position::Prefix;
use crate::stripe::Stripe;
use crate::text::IntText;
use crate::view::View;

/// Draws after which a random key is given up, because nearly all keys are expired.
const DRAWS: usize = 100;

/// One page of a SCAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// Where to go on; `0` when the scan is complete.
    pub next: Cursor,
}

impl Guard<'_> {
    /// Number of keys, those included whose time has come but that nobody met yet.
    pub fn len(&mut self) -> usize {
        self.sum(Keyspace::len)
    }

    /// Whether there are no keys.
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }

    /// Number of keys that expire.
    pub fn volatile_len(&mut self) -> usize {
        self.sum(Keyspace::volatile_len)
    }

    /// Bytes of the keyspace's entries and tables.
    pub fn bytes(&mut self) -> usize {
        self.sum(Keyspace::bytes)
    }

    /// Visits about `count` keys from `cursor` on. Every key that exists from the first page of a
    /// scan to its last is visited at least once.
    pub fn scan(
        &mut self,
        cursor: Cursor,
        count: usize,
        mut visit: impl FnMut(View<'_>),
    ) -> ScanPage {
        let (mut index, mut from) = self.layout.split(cursor);
        let mut left = count.max(1);
        while index < self.layout.stripes() {
            let stripe = self.stripes.stripe(index);
            let (state, keyspace) = (&self.state, stripe.keyspace(self.keyspace));
            let next = keyspace.and_then(|keyspace| {
                keyspace.walk(self.layout, from, |entry| {
                    if !state.hides(&entry, self.layout) {
                        visit(View::new(entry, self.layout, state));
                    }
                    // A key that is hidden counts too: a page of them would else take unbounded
                    // time.
                    left = left.saturating_sub(1);
                    left > 0
                })
            });
            // The walk ends before the stripe does only when the page is full.
            if next.is_some() || left == 0 {
                return ScanPage {
                    next: self.layout.join(index, next),
                };
            }
            (index, from) = (index + 1, Prefix(0));
        }
        ScanPage { next: 0 }
    }

    /// Visits every key.
    pub fn for_each(&mut self, visit: impl FnMut(View<'_>)) {
        self.scan(0, usize::MAX, visit);
    }

    /// A random key, each as likely as any other within the evenness of the table.
    pub fn random_key(&mut self, mut random: impl FnMut() -> u64) -> Option<Vec<u8>> {
        for _ in 0..DRAWS {
            let total = self.len() as u64;
            let mut chosen = random().checked_rem(total)?;
            let mut index = 0;
            let len = |guard: &mut Self, index| guard.len_of(index) as u64;
            while chosen >= len(self, index) {
                chosen -= len(self, index);
                index += 1;
            }
            let sampled = self.stripes.stripe(index).keyspace(self.keyspace)?;
            let key = sampled.sample(random())?.key().to_vec();
            // One whose time has come is deleted here, or hidden, and drawn again.
            if self.peek(&key).is_some() {
                return Some(key);
            }
        }
        None
    }

    /// Empties the keyspace. Effect: `FLUSHDB`.
    pub fn flush(&mut self) {
        self.forget_tracked();
        for index in 0..self.layout.stripes() {
            self.flush_stripe(index, self.keyspace);
        }
        self.state.leave(Some(Garbage::new(Vec::new())));
        self.finish_keyspace(&[b"FLUSHDB"]);
    }

    /// States a change of something that is no key, as of the functions. Effect: these words.
    pub fn state(&mut self, words: &[&[u8]]) {
        self.finish_keyspace(words);
    }

    /// Empties every keyspace. Effect: `FLUSHALL`.
    pub fn flush_all(&mut self) {
        self.forget_tracked();
        for index in 0..self.layout.stripes() {
            for id in 0..self.stripes.stripe(index).keyspace_count() {
                self.flush_stripe(index, KeyspaceId(id as u32));
            }
        }
        self.state.leave(Some(Garbage::new(Vec::new())));
        self.finish_keyspace(&[b"FLUSHALL"]);
    }

    /// Tracks no key any more: every client drops all its copies, as with Redis, whose table does
    /// not tell databases apart.
    fn forget_tracked(&mut self) {
        let mut forgotten = TrackedChange::default();
        for index in 0..self.layout.stripes() {
            let change = self.stripes.stripe(index).interests.forget_tracked();
            forgotten.keys += change.keys;
            forgotten.items += change.items;
        }
        self.state.note_flushed(forgotten);
    }

    /// Exchanges the contents of two keyspaces. Effect: `SWAPDB`.
    pub fn swap(&mut self, a: KeyspaceId, b: KeyspaceId) {
        for index in 0..self.layout.stripes() {
            self.expire_watched(index, [a, b]);
            self.swap_stripe(index, a, b);
        }
        let (mut left, mut right) = (IntText::default(), IntText::default());
        let ids = [
            left.unsigned(u64::from(a.0)),
            right.unsigned(u64::from(b.0)),
        ];
        self.finish_keyspace(&[b"SWAPDB", ids[0], ids[1]]);
    }

    fn flush_stripe(&mut self, index: usize, id: KeyspaceId) {
        let stripe = self.stripes.stripe(index);
        let Some(keyspace) = stripe.keyspace(id) else {
            return;
        };
        let len = keyspace.keyspace.len();
        // A key that does not exist does not change.
        stripe.tell_where(id, |stripe, key| {
            let keyspace = stripe.keyspace(id);
            keyspace.is_some_and(|keyspace| self.layout.holds(keyspace, key))
        });
        self.state.stats.changes += len as u64;
        stripe.flush(id);
    }

    fn swap_stripe(&mut self, index: usize, a: KeyspaceId, b: KeyspaceId) {
        let stripe = self.stripes.stripe(index);
        // A key changes if it is in either keyspace: it goes, comes, or is another one.
        let in_either = |stripe: &Stripe, key: &[u8]| {
            let held = |id| {
                stripe
                    .keyspace(id)
                    .is_some_and(|keyspace| self.layout.holds(keyspace, key))
            };
            held(a) || held(b)
        };
        stripe.tell_where(a, in_either);
        stripe.tell_where(b, in_either);
        stripe.swap(a, b);
    }

    fn len_of(&mut self, index: usize) -> usize {
        let keyspace = self.stripes.stripe(index).keyspace(self.keyspace);
        keyspace.map_or(0, |keyspace| keyspace.keyspace.len())
    }

    fn sum(&mut self, of: impl Fn(&Keyspace) -> usize) -> usize {
        (0..self.layout.stripes())
            .map(|index| {
                self.stripes
                    .stripe(index)
                    .keyspace(self.keyspace)
                    .map_or(0, |keyspace| of(keyspace.keyspace))
            })
            .sum()
    }
}

impl Stripe {
    /// Tells those who are interested in keys of a keyspace for which `is_changed` holds.
    fn tell_where(&mut self, id: KeyspaceId, is_changed: impl Fn(&Self, &[u8]) -> bool) {
        let mut interests = std::mem::take(&mut self.interests);
        interests.mark_changed_where(id, |key| is_changed(self, key));
        self.interests = interests;
    }
}

impl Layout {
    fn holds(&self, keyspace: KeyspaceRef<'_>, key: &[u8]) -> bool {
        keyspace.find(self.position_of_key(key), key).is_some()
    }
}
