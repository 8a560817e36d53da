//! Operations on a whole keyspace. They need every stripe; a scan needs one after the other.

use super::Guard;
use crate::garbage::Garbage;
use crate::interests::TrackedChange;
use crate::keyspace::{Keyspace, KeyspaceRef};
use crate::layout::{Cursor, KeyspaceId, Layout, ScanStep};
use crate::namespace::{Share, TableId};
use crate::raw::position::Prefix;
use crate::slot::{SlotCounts, key_slot};
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

/// Keys of a namespace whose names the effect of emptying it says, and how many one `DEL` names.
const DELETED_AT_ONCE: usize = 10_000;
const DELETED_BY_ONE: usize = 512;

/// Places without keys that a page of a scan passes before it ends: those of 250 namespaces in 64
/// stripes.
const EMPTY_PLACES: usize = 16_000;

impl Guard<'_> {
    /// Number of keys, those included whose time has come but that nobody met yet.
    pub fn len(&mut self) -> usize {
        self.sum(|part| part.keys as usize, Keyspace::len)
    }

    /// Number of keys of a namespace.
    pub fn len_of(&mut self, namespace: &[u8]) -> usize {
        let (keyspace, stripes) = (self.keyspace, self.layout.stripes());
        let parts = (0..stripes).map(|index| {
            let stripe = self.stripes.stripe(index);
            let keyspace = stripe.keyspace(stripe.table_named(keyspace, namespace));
            keyspace.map_or(0, |it| it.keyspace.len())
        });
        parts.sum()
    }

    /// Whether there are no keys.
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }

    /// Number of keys that expire.
    pub fn volatile_len(&mut self) -> usize {
        self.sum(|part| part.volatile as usize, Keyspace::volatile_len)
    }

    /// Bytes of the keyspace's entries and tables.
    pub fn bytes(&mut self) -> usize {
        self.sum(|part| part.bytes as usize, Keyspace::bytes)
    }

    /// Visits about `count` keys from `cursor` on, those of all namespaces. Every key that exists
    /// from the first page of a scan to its last is visited at least once.
    pub fn scan(&mut self, cursor: Cursor, count: usize, visit: impl FnMut(View<'_>)) -> ScanPage {
        let (layout, database) = (self.layout, self.keyspace);
        let table = |stripe: &Stripe, step| {
            let table = layout.table_at(database, step);
            let found = stripe.keyspace(table);
            // Tables of other databases' namespaces lie in between.
            let is_ours = found.is_some_and(|it| it.keyspace.database(table) == database);
            is_ours.then_some(table)
        };
        self.scan_steps(cursor, count, layout.scan_steps(), table, visit)
    }

    /// The same of a single namespace. Others are not looked at.
    pub fn scan_namespace(
        &mut self,
        namespace: &[u8],
        cursor: Cursor,
        count: usize,
        visit: impl FnMut(View<'_>),
    ) -> ScanPage {
        let (steps, database) = (self.layout.stripes(), self.keyspace);
        let table = |stripe: &Stripe, _| Some(stripe.table_named(database, namespace));
        self.scan_steps(cursor, count, steps, table, visit)
    }

    /// The same of keys that begin with `prefix`, and of others. Where it names a namespace, those
    /// of others are left out.
    pub fn scan_prefix(
        &mut self,
        prefix: &[u8],
        cursor: Cursor,
        count: usize,
        visit: impl FnMut(View<'_>),
    ) -> ScanPage {
        match self.layout.namespace_of(prefix) {
            Some(namespace) => self.scan_namespace(namespace, cursor, count, visit),
            None => self.scan(cursor, count, visit),
        }
    }

    /// Visits the tables that belong to a scan: `table` names the one of a step.
    fn scan_steps(
        &mut self,
        cursor: Cursor,
        count: usize,
        steps: usize,
        table: impl Fn(&Stripe, ScanStep) -> Option<TableId>,
        mut visit: impl FnMut(View<'_>),
    ) -> ScanPage {
        let (mut step, mut from) = self.layout.split(cursor);
        let mut left = count.max(1);
        let mut empty = 0;
        while step.0 < steps {
            let stripe = self.stripes.stripe(self.layout.stripe_at(step));
            let keyspace = table(stripe, step).and_then(|table| stripe.keyspace(table));
            let state = &self.state;
            empty += usize::from(keyspace.is_none());
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
            // The walk ends before the table does only when the page is full. Many places without
            // keys fill a page as well.
            let is_tired = count < usize::MAX && empty >= EMPTY_PLACES;
            if next.is_some() || left == 0 || is_tired {
                return ScanPage {
                    next: self.layout.join(step, next, steps),
                };
            }
            (step, from) = (step.next(), Prefix(0));
        }
        ScanPage { next: 0 }
    }

    /// Number of keys of a slot, where stripes hold runs of slots. It takes constant time, but for
    /// namespaces, each of which is asked.
    pub fn slot_len(&mut self, slot: u16) -> usize {
        let (database, layout) = (self.keyspace, self.layout);
        let Some(index) = layout.stripe_of_slot(slot) else {
            return 0;
        };
        let stripe = self.stripes.stripe(index);
        let tables = stripe.tables_of(database).into_iter();
        let counted = |table| slot_count(stripe, table, slot);
        tables.map(counted).sum()
    }

    /// Number of keys of the stripe that a slot belongs to, where stripes hold runs of slots: so
    /// many are passed when those of the slot are looked for.
    pub fn keys_beside_slot(&mut self, slot: u16) -> usize {
        let (database, layout) = (self.keyspace, self.layout);
        let Some(index) = layout.stripe_of_slot(slot) else {
            return 0;
        };
        let stripe = self.stripes.stripe(index);
        let tables = stripe.tables_of(database).into_iter();
        tables
            .filter_map(|table| stripe.keyspace(table))
            .map(|it| it.keyspace.len())
            .sum()
    }

    /// Passes about `count` keys of the stripe of a slot from `cursor` on, which is 0 at the start,
    /// and visits those of the slot. Returns where to go on, unless the stripe is at its end. With
    /// `n` slots to a stripe, and as many keys in each, it passes about `n` keys for one of them.
    pub fn scan_slot(
        &mut self,
        slot: u16,
        cursor: Cursor,
        count: usize,
        mut visit: impl FnMut(View<'_>),
    ) -> Option<Cursor> {
        let index = self.layout.stripe_of_slot(slot)?;
        self.scan_stripe(index, cursor, count, |view| {
            if key_slot(view.key()) == slot {
                visit(view);
            }
        })
    }

    /// Visits about `count` keys of one stripe from `cursor` on, which is 0 at the start, those of
    /// all namespaces. Returns where to go on, unless the stripe is at its end.
    pub fn scan_stripe(
        &mut self,
        index: usize,
        cursor: Cursor,
        count: usize,
        mut visit: impl FnMut(View<'_>),
    ) -> Option<Cursor> {
        let (layout, database, state) = (self.layout, self.keyspace, &self.state);
        let (mut nth, mut from) = layout.split(cursor);
        let mut left = count.max(1);
        let stripe = self.stripes.stripe(index);
        while let Some(table) = layout.nth_table(database, nth) {
            let keyspace = stripe.keyspace(table);
            // Tables of other databases' namespaces lie in between.
            let keyspace = keyspace.filter(|it| it.keyspace.database(table) == database);
            let next = keyspace.and_then(|keyspace| {
                keyspace.walk(layout, from, |entry| {
                    if !state.hides(&entry, layout) {
                        visit(View::new(entry, layout, state));
                    }
                    left = left.saturating_sub(1);
                    left > 0
                })
            });
            if let Some(next) = next {
                return Some(layout.cursor_in_stripe(nth, next));
            }
            (nth, from) = (nth.next(), Prefix(0));
            if left == 0 && layout.nth_table(database, nth).is_some() {
                return Some(layout.cursor_in_stripe(nth, from));
            }
        }
        None
    }

    /// A random key of a namespace, as [`Self::random_key`].
    pub fn random_key_of(
        &mut self,
        namespace: &[u8],
        random: impl FnMut() -> u64,
    ) -> Option<Vec<u8>> {
        self.draw(
            |stripe, database| vec![stripe.table_named(database, namespace)],
            random,
        )
    }

    /// Visits every key.
    pub fn for_each(&mut self, visit: impl FnMut(View<'_>)) {
        self.scan(0, usize::MAX, visit);
    }

    /// A random key, each as likely as any other within the evenness of the table.
    pub fn random_key(&mut self, random: impl FnMut() -> u64) -> Option<Vec<u8>> {
        self.draw(Stripe::tables_of, random)
    }

    /// A random key of the tables that `of` names in each stripe.
    fn draw(
        &mut self,
        of: impl Fn(&Stripe, KeyspaceId) -> Vec<TableId>,
        mut random: impl FnMut() -> u64,
    ) -> Option<Vec<u8>> {
        let mut tables = Vec::new();
        let mut total = 0;
        for index in 0..self.layout.stripes() {
            let stripe = self.stripes.stripe(index);
            for table in of(stripe, self.keyspace) {
                let len = stripe.keyspace(table).map_or(0, |it| it.keyspace.len());
                total += len as u64;
                tables.push((total, index, table));
            }
        }
        for _ in 0..DRAWS {
            let chosen = random().checked_rem(total)?;
            let at = tables.partition_point(|&(end, ..)| end <= chosen);
            let &(_, index, table) = tables.get(at)?;
            let Some(sampled) = self.stripes.stripe(index).keyspace(table)?.sample(random()) else {
                continue;
            };
            let key = sampled.key().to_vec();
            // One whose time has come is deleted here, or hidden, and drawn again.
            if self.peek(&key).is_some() {
                return Some(key);
            }
        }
        None
    }

    /// Empties the keyspace, with all namespaces. Effect: `FLUSHDB`.
    pub fn flush(&mut self) {
        self.forget_tracked();
        for index in 0..self.layout.stripes() {
            self.flush_database(index, self.keyspace);
        }
        self.state.leave(Some(Garbage::new(Vec::new())));
        self.finish_keyspace(&[b"FLUSHDB"]);
    }

    /// States a change of something that is no key, as of the functions. Effect: these words.
    pub fn state(&mut self, words: &[&[u8]]) {
        self.finish_keyspace(words);
    }

    /// Empties a namespace. Effect: `DEL` with the names of its keys, which every reader of the log
    /// understands; `NAMESPACE FLUSH` if there are more than [`DELETED_AT_ONCE`], since to name
    /// millions takes long.
    pub fn flush_namespace(&mut self, namespace: &[u8]) {
        let names = self.names_of(namespace);
        for index in 0..self.layout.stripes() {
            let stripe = self.stripes.stripe(index);
            let table = stripe.table_named(self.keyspace, namespace);
            self.flush_stripe(index, self.keyspace, table);
        }
        self.state.leave(Some(Garbage::new(Vec::new())));
        let Some(names) = names else {
            return self.finish_keyspace(&[b"NAMESPACE", b"FLUSH", namespace]);
        };
        self.state.stats.changes += 1;
        for names in names.chunks(DELETED_BY_ONE) {
            let words: Vec<&[u8]> = [b"DEL".as_slice()]
                .into_iter()
                .chain(names.iter().map(Vec::as_slice))
                .collect();
            self.effects.emit(self.keyspace, &words);
        }
    }

    /// The names of the keys of a namespace, where an effect is to say them and they are few
    /// enough.
    fn names_of(&mut self, namespace: &[u8]) -> Option<Vec<Vec<u8>>> {
        if !self.effects.wanted() {
            return Some(Vec::new());
        }
        if self.len_of(namespace) > DELETED_AT_ONCE {
            return None;
        }
        let mut names = Vec::new();
        for index in 0..self.layout.stripes() {
            let stripe = self.stripes.look(index);
            let table = stripe.table_named(self.keyspace, namespace);
            if let Some(keyspace) = stripe.keyspace(table) {
                keyspace.walk(self.layout, Prefix(0), |entry| {
                    names.push(entry.key().to_vec());
                    true
                });
            }
        }
        Some(names)
    }

    /// Empties every keyspace. Effect: `FLUSHALL`.
    pub fn flush_all(&mut self) {
        self.forget_tracked();
        for index in 0..self.layout.stripes() {
            for number in 0..self.stripes.stripe(index).table_count() {
                let table = TableId(number);
                let keyspace = self.stripes.look(index).keyspace(table);
                if let Some(keyspace) = keyspace {
                    let database = keyspace.keyspace.database(table);
                    self.flush_stripe(index, database, table);
                }
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

    fn flush_database(&mut self, index: usize, database: KeyspaceId) {
        for table in self.stripes.look(index).tables_of(database) {
            self.flush_stripe(index, database, table);
        }
    }

    fn flush_stripe(&mut self, index: usize, database: KeyspaceId, table: TableId) {
        let layout = self.layout;
        let stripe = self.stripes.stripe(index);
        let Some(keyspace) = stripe.keyspace(table) else {
            return;
        };
        let len = keyspace.keyspace.len();
        // A key that does not exist does not change.
        stripe.tell_where(database, |stripe, key| {
            let keyspace = stripe.keyspace(table);
            keyspace.is_some_and(|keyspace| layout.holds(keyspace, key))
        });
        self.state.stats.changes += len as u64;
        stripe.flush(table, layout);
    }

    fn swap_stripe(&mut self, index: usize, a: KeyspaceId, b: KeyspaceId) {
        let layout = self.layout;
        let stripe = self.stripes.stripe(index);
        // A key changes if it is in either keyspace: it goes, comes, or is another one.
        let in_either = |stripe: &Stripe, key: &[u8]| {
            let held = |id| {
                let keyspace = stripe.keyspace(stripe.table_of(layout, id, key));
                keyspace.is_some_and(|keyspace| layout.holds(keyspace, key))
            };
            held(a) || held(b)
        };
        stripe.tell_where(a, in_either);
        stripe.tell_where(b, in_either);
        stripe.swap(a.into(), b.into(), layout);
        stripe.swap_namespaces(a, b, layout);
    }

    /// A sum over the stripes, of namespaces and of keys without one.
    fn sum(&mut self, named: impl Fn(Share) -> usize, of: impl Fn(&Keyspace) -> usize) -> usize {
        let database = self.keyspace;
        let parts = (0..self.layout.stripes()).map(|index| {
            let stripe = self.stripes.stripe(index);
            let keyspace = stripe.keyspace(database.into());
            let own = keyspace.map_or(0, |keyspace| of(keyspace.keyspace));
            own + named(stripe.named_sum(database))
        });
        parts.sum()
    }
}

fn slot_count(stripe: &Stripe, table: TableId, slot: u16) -> usize {
    let keyspace = stripe.keyspace(table);
    let counts = keyspace.and_then(|it| it.keyspace.slots.as_ref());
    counts.map_or(0, |counts: &SlotCounts| counts.of(slot))
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
