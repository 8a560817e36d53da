//! The shared store: stripes behind locks, and the ways to hold them.
//!
//! Whoever needs several stripes takes their locks in ascending order, so two never wait for each
//! other. One at a time, who has the [growth token](GrowthToken), may also take more stripes in any
//! order while it holds some; all others that hold stripes and wait then let go of them. Letting go
//! of a stripe publishes when its next key expires, so that the expiry thread need not lock to
//! look.

#[cfg(debug_assertions)]
mod longest;
mod several;
mod turns;

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crossbeam_utils::CachePadded;
use kvik_store::{
    ChangedKey, Due, KeyHash, KeyspaceId, Layout, ReadyKey, Stripe, StripeView, Stripes, Totals,
};

use crate::alarm::Alarm;
use crate::budget::Budget;
use crate::pins::PinBoard;
use crate::sync::biased::{Biased, Readers, Reading, Writing};
use crate::sync::{AtomicU64, Mutex};

pub(crate) use self::several::GrowthToken;

/// How often a lock is tried before a patient caller sleeps and an impatient one gives up: a few
/// microseconds.
const SPINS: u32 = if cfg!(all(test, feature = "model")) {
    1
} else {
    100
};

/// Keys whose lookups are begun together: enough to overlap, few enough for the first to stay in
/// the cache.
const TOGETHER: usize = 32;

/// How long to wait for a stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until it is free.
    Wait,
    /// A few microseconds; then the command is put off.
    Spin,
}

/// A stripe is taken and the caller did not want to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

#[derive(Debug)]
struct Cell {
    stripe: Biased<Stripe>,
    /// When its next key expires, in milliseconds since the epoch; `u64::MAX` for never.
    due: AtomicU64,
    /// Whether somebody has put off what needs it, and has not come back.
    wanted: AtomicBool,
    /// Bytes by which the stripe has grown since the budget was told.
    unsettled: AtomicI64,
    /// The most elements that a section has touched which began or ended with this stripe.
    #[cfg(debug_assertions)]
    longest: std::sync::atomic::AtomicU64,
}

/// Puts stripes into the order in which they are locked, each of them once.
pub(crate) fn ascend(stripes: &mut Vec<u16>) {
    stripes.sort_unstable();
    stripes.dedup();
}

/// All stripes.
#[derive(Debug)]
pub(crate) struct SharedStripes {
    cells: Box<[CachePadded<Cell>]>,
    readers: Readers,
    /// The part of each stripe that can be read without its lock, to fetch keys into the cache.
    views: Box<[StripeView]>,
    pub(crate) layout: Layout,
    pub(crate) alarm: Alarm,
    /// How often a stripe was taken when somebody wanted it.
    waits: CachePadded<std::sync::atomic::AtomicU64>,
    growth: Mutex<()>,
    /// Whether who has the growth token waits for a stripe: 1 or 0.
    growing: AtomicU64,
    pub(crate) budget: Budget,
    pub(crate) pins: PinBoard,
}

impl SharedStripes {
    pub(crate) fn new(layout: Layout) -> Self {
        let cell = |_| {
            CachePadded::new(Cell {
                stripe: Biased::new(Stripe::new()),
                due: AtomicU64::new(u64::MAX),
                wanted: AtomicBool::new(false),
                unsettled: AtomicI64::new(0),
                #[cfg(debug_assertions)]
                longest: Default::default(),
            })
        };
        let cells: Box<[_]> = (0..layout.stripes()).map(cell).collect();
        let readers = Readers::new();
        let view = |cell: &CachePadded<Cell>| cell.stripe.write(&readers).view();
        Self {
            views: cells.iter().map(view).collect(),
            cells,
            readers,
            layout,
            alarm: Alarm::default(),
            waits: CachePadded::default(),
            growth: Mutex::default(),
            growing: AtomicU64::new(0),
            budget: Budget::default(),
            pins: PinBoard::default(),
        }
    }

    /// The sizes of all stripes, to be read without their locks.
    pub(crate) fn totals(&self) -> Totals {
        let of = |cell: &CachePadded<Cell>| cell.stripe.write(&self.readers).totals();
        Totals::joined(self.cells.iter().map(of))
    }

    /// Tells the budget of all growth that it has not been told of yet.
    pub(crate) fn settle(&self) {
        for cell in &self.cells {
            let _held = cell.stripe.write(&self.readers);
            let grown = cell.unsettled.swap(0, Ordering::Relaxed);
            self.budget.settle(grown);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// The most elements that were touched while stripes were held once, since it was asked last.
    #[cfg(debug_assertions)]
    pub(crate) fn take_longest(&self) -> u64 {
        let longest = self
            .cells
            .iter()
            .map(|it| it.longest.swap(0, Ordering::Relaxed));
        longest.max().unwrap_or(0)
    }

    /// How often a stripe was taken when somebody wanted it, since the start.
    pub(crate) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    fn note_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// Fetches from memory what looking up these hashes will read: all buckets first, then the
    /// entries they point to, so that the waits overlap. It takes no lock and has no other effect.
    #[inline]
    pub(crate) fn prefetch(&self, keyspace: KeyspaceId, mut hashes: impl Iterator<Item = KeyHash>) {
        // One pass over the buckets, one over the entries they lead to: the waits of a pass
        // overlap, and when the second begins the first bucket has come.
        let mut lookups = [None; TOGETHER];
        loop {
            let mut count = 0;
            for (place, hash) in lookups.iter_mut().zip(hashes.by_ref()) {
                let view = &self.views[self.layout.stripe_of(hash)];
                *place = view.prefetch_bucket(&self.layout, keyspace, hash);
                count += 1;
            }
            for lookup in lookups[..count].iter().flatten() {
                lookup.prefetch_entry();
            }
            if count < TOGETHER {
                return;
            }
        }
    }

    /// When the next key of a stripe expires, at the earliest.
    pub(crate) fn due(&self, index: usize) -> u64 {
        self.cells[index].due.load(Ordering::SeqCst)
    }

    /// Locks one stripe, to change it.
    #[inline]
    pub(crate) fn lock(&self, index: usize, patience: Patience) -> Result<Held<'_>, Busy> {
        self.lock_noting(index, patience, Writing::note_write)
    }

    /// Locks one stripe, to read it. When several threads have done so, [`Self::share`] will do for
    /// a while.
    #[inline]
    pub(crate) fn lock_to_read(&self, index: usize, patience: Patience) -> Result<Held<'_>, Busy> {
        self.lock_noting(index, patience, Writing::note_read)
    }

    /// A stripe to read together with others who read it, if several threads have only read it for
    /// a while. Nothing in it may be due, or pinned.
    #[inline]
    pub(crate) fn share(
        &self,
        index: usize,
        now_ms: impl FnOnce() -> u64,
    ) -> Option<SharedRead<'_>> {
        let stripe = self.cells[index].stripe.read(&self.readers)?;
        // To delete what is due the stripe must be locked, as must who may find a key pinned. The
        // clock is read only where there is anything to look at.
        let due = stripe.look_at();
        let is_due = due != Due::NEVER && due.0 <= now_ms();
        (!is_due).then_some(SharedRead { index, stripe })
    }

    /// A stripe for a read that changes nothing, whatever is due: shared with others who read it,
    /// or locked.
    #[inline]
    pub(crate) fn read(&self, index: usize) -> Read<'_> {
        let cell = &*self.cells[index];
        if let Some(stripe) = cell.stripe.read(&self.readers) {
            return Read::Shared(stripe);
        }
        let mut stripe = match cell.stripe.try_write(&self.readers, 0) {
            Some(stripe) => stripe,
            None => self.wait_for(cell),
        };
        stripe.note_read();
        Read::Locked(stripe)
    }

    #[cold]
    fn wait_for<'a>(&self, cell: &'a Cell) -> Writing<'a, Stripe> {
        let stripe = self.lock_contended(cell, Patience::Wait);
        stripe.expect("a patient lock succeeds")
    }

    #[inline]
    fn lock_noting<'a>(
        &'a self,
        index: usize,
        patience: Patience,
        note: impl FnOnce(&mut Writing<'a, Stripe>),
    ) -> Result<Held<'a>, Busy> {
        let cell = &*self.cells[index];
        let mut stripe = match cell.stripe.try_write(&self.readers, 0) {
            Some(stripe) => stripe,
            None => self.lock_contended(cell, patience)?,
        };
        note(&mut stripe);
        Ok(Held {
            index,
            stripe,
            is_changed: false,
            #[cfg(debug_assertions)]
            _measured: longest::Measured::begin(&cell.longest),
            cell,
            alarm: &self.alarm,
            budget: &self.budget,
        })
    }

    /// Locks a stripe, if it is free just now.
    fn try_lock(&self, index: usize) -> Option<Held<'_>> {
        let stripe = self.cells[index].stripe.try_write(&self.readers, 0)?;
        Some(self.held(index, stripe))
    }

    #[cold]
    fn lock_contended<'a>(
        &self,
        cell: &'a Cell,
        patience: Patience,
    ) -> Result<Writing<'a, Stripe>, Busy> {
        self.note_wait();
        // Most sections end within a microsecond, sooner than a thread falls asleep and wakes.
        for _ in 0..SPINS {
            std::hint::spin_loop();
            if let Some(stripe) = cell.stripe.try_write(&self.readers, 0) {
                return Ok(stripe);
            }
        }
        match patience {
            Patience::Wait => Ok(cell.stripe.write(&self.readers)),
            // Whoever holds the stripe in slices leaves it for a moment when it sees this.
            Patience::Spin => {
                cell.wanted.store(true, Ordering::Relaxed);
                Err(Busy)
            }
        }
    }

    fn held<'a>(&'a self, index: usize, mut stripe: Writing<'a, Stripe>) -> Held<'a> {
        stripe.note_write();
        Held {
            index,
            stripe,
            is_changed: false,
            #[cfg(debug_assertions)]
            _measured: longest::Measured::begin(&self.cells[index].longest),
            cell: &self.cells[index],
            alarm: &self.alarm,
            budget: &self.budget,
        }
    }

    /// Makes sure that no stripe is held for long just now. A command that takes one stripe after
    /// the other cannot be put off half-way, so it looks first; the locks it then waits for are
    /// those of commands that end soon.
    pub(crate) fn probe(&self, patience: Patience) -> Result<(), Busy> {
        match patience {
            Patience::Wait => Ok(()),
            Patience::Spin => {
                (0..self.len()).try_for_each(|index| self.lock(index, patience).map(drop))
            }
        }
    }
}

/// One locked stripe.
pub(crate) struct Held<'a> {
    index: usize,
    stripe: Writing<'a, Stripe>,
    /// Somebody had the stripe to change it: its sizes and deadline may be others.
    is_changed: bool,
    #[cfg(debug_assertions)]
    _measured: longest::Measured<'a>,
    cell: &'a Cell,
    alarm: &'a Alarm,
    budget: &'a Budget,
}

impl Held<'_> {
    /// Which stripe it is.
    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Whether any of its keys expires.
    #[inline]
    pub(crate) fn has_deadlines(&self) -> bool {
        self.stripe.next_due() != Due::NEVER
    }

    /// When the next of its keys or members expires, at the earliest.
    #[inline]
    pub(crate) fn next_due(&self) -> u64 {
        self.stripe.next_due().0
    }

    /// When a command has to look at the stripe before it runs: when the next key is due, or at
    /// once while keys are pinned.
    #[inline]
    pub(crate) fn look_at(&self) -> u64 {
        self.stripe.look_at().0
    }

    /// Whether keys are pinned.
    #[inline]
    pub(crate) fn has_pins(&self) -> bool {
        self.stripe.has_pins()
    }

    /// Whether a waiter needs other stripes to be served.
    #[inline]
    pub(crate) fn is_reaching(&self) -> bool {
        self.stripe.is_reaching()
    }

    /// Whether waiters of a key need other stripes than this one.
    #[cold]
    pub(crate) fn needs_others(&self, key: &[u8]) -> bool {
        let mut reaches = Vec::new();
        self.add_reaches(key, &mut reaches);
        reaches
            .iter()
            .any(|&index| usize::from(index) != self.index)
    }

    /// Adds the stripes that waiters of a key need beside this one.
    pub(crate) fn add_reaches(&self, key: &[u8], stripes: &mut Vec<u16>) {
        self.stripe.add_reaches(Some(key), stripes);
    }

    /// Whether a key with waiters is ready, or a change is to be reported.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.stripe.has_news()
    }

    /// The stripe, for who needs no guard.
    #[inline]
    pub(crate) fn stripe_mut(&mut self) -> &mut Stripe {
        self.is_changed = true;
        &mut self.stripe
    }

    /// Publishes what others may ask of the stripe without its lock.
    #[inline]
    fn publish(&mut self) {
        let grown = self.stripe.publish();
        if grown != 0 {
            self.budget.note(&self.cell.unsettled, grown);
        }
        let due = self.stripe.next_due().0;
        if due != self.cell.due.load(Ordering::Relaxed) {
            // Sequentially consistent, as is reading the alarm after it: either the upkeep thread
            // sees this deadline when it plans its sleep, or the alarm sees that plan and rings.
            self.cell.due.store(due, Ordering::SeqCst);
            self.alarm.due_at(due);
        }
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_changed {
            self.publish();
        }
    }
}

impl Stripes for Held<'_> {
    #[inline]
    fn stripe(&mut self, index: usize) -> &mut Stripe {
        assert!(index == self.index, "the command declared another key");
        self.stripe_mut()
    }

    #[inline]
    fn look(&mut self, index: usize) -> &Stripe {
        self.held(index)
    }

    #[inline]
    fn held(&self, index: usize) -> &Stripe {
        assert!(index == self.index, "the command declared another key");
        &self.stripe
    }

    fn is_held(&self, index: usize) -> bool {
        index == self.index
    }
}

/// One stripe to read, shared with others who read it.
pub(crate) struct SharedRead<'a> {
    index: usize,
    stripe: Reading<'a, Stripe>,
}

/// One stripe, for a read that changes nothing.
pub(crate) enum Read<'a> {
    Shared(Reading<'a, Stripe>),
    Locked(Writing<'a, Stripe>),
}

impl Deref for Read<'_> {
    type Target = Stripe;

    #[inline]
    fn deref(&self) -> &Stripe {
        match self {
            Self::Shared(stripe) => stripe,
            Self::Locked(stripe) => stripe,
        }
    }
}

impl Stripes for SharedRead<'_> {
    fn stripe(&mut self, _index: usize) -> &mut Stripe {
        unreachable!("what only reads changes nothing")
    }

    #[inline]
    fn look(&mut self, index: usize) -> &Stripe {
        self.held(index)
    }

    #[inline]
    fn held(&self, index: usize) -> &Stripe {
        assert!(index == self.index, "the command declared another key");
        &self.stripe
    }

    fn is_held(&self, index: usize) -> bool {
        index == self.index
    }
}

/// Several locked stripes, in ascending order.
pub(crate) struct HeldMany<'a> {
    held: Vec<Held<'a>>,
    /// Where the one is that was asked for last: a key's is asked for several times.
    latest: usize,
}

impl HeldMany<'_> {
    /// No stripe.
    pub(crate) const fn none() -> Self {
        Self {
            held: Vec::new(),
            latest: 0,
        }
    }

    /// Lets all of them go.
    pub(crate) fn let_go(&mut self) {
        self.held.clear();
        self.latest = 0;
    }

    /// When a command has to look at any of them before it runs.
    pub(crate) fn look_at(&self) -> u64 {
        let looks = self.held.iter().map(Held::look_at);
        looks.min().unwrap_or(u64::MAX)
    }

    /// Whether keys of any of them are pinned.
    pub(crate) fn has_pins(&self) -> bool {
        self.held.iter().any(Held::has_pins)
    }

    /// Whether this stripe is among them.
    pub(crate) fn holds(&self, index: usize) -> bool {
        let at = self.held.binary_search_by_key(&index, |held| held.index);
        at.is_ok()
    }

    /// Which stripes they are.
    pub(crate) fn indices(&self) -> Vec<u16> {
        self.held.iter().map(|held| held.index as u16).collect()
    }

    /// Whether a key with waiters is ready, or a change is to be reported.
    pub(crate) fn has_news(&self) -> bool {
        self.held.iter().any(Held::has_news)
    }

    /// Takes the key that got ready first.
    pub(crate) fn take_ready(&mut self) -> Option<ReadyKey> {
        let since = |held: &Held<'_>| held.stripe.ready_since().unwrap_or(u64::MAX);
        let first = self.held.iter_mut().min_by_key(|held| since(held))?;
        first.stripe_mut().take_ready()
    }

    /// Visits every stripe.
    pub(crate) fn visit(&mut self, visit: &mut dyn FnMut(&mut Stripe)) {
        self.held
            .iter_mut()
            .for_each(|held| visit(held.stripe_mut()));
    }

    /// Records what one of them holds before each change from now on.
    pub(crate) fn begin_undo(&mut self, index: usize) {
        if let Ok(at) = self.held.binary_search_by_key(&index, |held| held.index) {
            self.held[at].stripe_mut().begin_undo();
        }
    }

    /// Takes the keys whose changes are reported, stripe by stripe.
    pub(crate) fn take_changed(&mut self) -> Vec<ChangedKey> {
        let with_news = self.held.iter_mut().filter(|held| held.has_news());
        with_news
            .flat_map(|held| held.stripe_mut().take_changed())
            .collect()
    }

    /// Whether a waiter needs other stripes to be served than that of its key.
    pub(crate) fn is_reaching(&self) -> bool {
        self.held.iter().any(Held::is_reaching)
    }

    /// Adds the stripes that waiters of a key of one of these stripes need.
    pub(crate) fn add_reaches(&self, index: usize, key: &[u8], stripes: &mut Vec<u16>) {
        self.held[self.find(index)].add_reaches(key, stripes);
    }

    /// Adds the stripes that any waiters of one of these stripes need.
    pub(crate) fn add_all_reaches(&self, index: usize, stripes: &mut Vec<u16>) {
        self.held[self.find(index)]
            .stripe
            .add_reaches(None, stripes);
    }

    fn find(&self, index: usize) -> usize {
        let at = self.held.binary_search_by_key(&index, |held| held.index);
        at.expect("the command declared the key")
    }
}

impl Stripes for HeldMany<'_> {
    fn stripe(&mut self, index: usize) -> &mut Stripe {
        // A command asks for the stripe of one key several times in a row.
        if self
            .held
            .get(self.latest)
            .is_none_or(|held| held.index != index)
        {
            self.latest = self.find(index);
        }
        self.held[self.latest].stripe_mut()
    }

    fn held(&self, index: usize) -> &Stripe {
        &self.held[self.find(index)].stripe
    }

    fn is_held(&self, index: usize) -> bool {
        let at = self.held.binary_search_by_key(&index, |held| held.index);
        at.is_ok()
    }
}

/// No stripe: the command declared that it touches no key.
pub(crate) struct NoStripes;

impl Stripes for NoStripes {
    fn stripe(&mut self, _index: usize) -> &mut Stripe {
        unreachable!("the command declared that it touches no key")
    }

    fn held(&self, _index: usize) -> &Stripe {
        unreachable!("the command declared that it touches no key")
    }

    fn is_held(&self, _index: usize) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
