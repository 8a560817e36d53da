//! Somebody's place in the feed, and how it moves on.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use kvik_command::feed::{FeedAnswer, FeedCall, FeedEntry, FeedPage, FeedQuery, FeedSink, Offer};
use kvik_log::{BacklogError, BacklogReader, Lsn};

use super::tail::Tail;

/// Entries looked at, or units read, before others get their turn.
const TURN: usize = 1024;
/// Bytes of words on a page.
const PAGE_BYTES: usize = 1 << 20;

/// A reader of the feed.
pub(super) struct FeedCursor {
    query: FeedQuery,
    /// Everything up to here has been given or passed over.
    place: Lsn,
    pub(super) goal: Goal,
    /// Reads what is not in memory any more.
    reader: Option<BacklogReader>,
    /// Entries of the unit that was read last.
    pending: VecDeque<Arc<FeedEntry>>,
}

/// The receiver of the entries.
pub(super) enum Goal {
    Page(PageGoal),
    Subscription(Subscription),
}

/// They are put on a page.
pub(super) struct PageGoal {
    pub(super) client: u64,
    pub(super) call: Arc<FeedCall>,
    pub(super) count: usize,
    /// Whether to wait for the first one.
    pub(super) waits: bool,
    /// The end of the range to be looked at, if that does not take until then, in milliseconds
    /// since the epoch.
    pub(super) target: Lsn,
    pub(super) until_ms: u64,
    pub(super) entries: Vec<Arc<FeedEntry>>,
    pub(super) bytes: usize,
}

/// They are given to a sink.
pub(super) struct Subscription {
    pub(super) subscriber: u64,
    pub(super) sink: Arc<dyn FeedSink>,
    /// It had no room when it was last offered something.
    pub(super) is_full: bool,
}

/// Counts of all subscriptions since the start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Entries taken.
    pub(super) delivered: Cell<u64>,
    /// Times there was no room.
    pub(super) stalls: Cell<u64>,
}

/// How a step of a cursor went.
pub(super) enum CursorStep {
    /// There is more to do at once.
    On,
    /// There is nothing more yet.
    Rest,
    /// It is done.
    Done,
    /// The next unit cannot be read.
    Failed(BacklogError),
}

/// The result for an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Passed,
    /// It is to be offered again.
    Full,
    /// It was the last one.
    Last,
    /// Nobody wants it.
    Gone,
}

impl FeedCursor {
    pub(super) fn new(query: FeedQuery, place: Lsn, goal: Goal) -> Self {
        Self {
            query,
            place,
            goal,
            reader: None,
            pending: VecDeque::new(),
        }
    }

    pub(super) fn place(&self) -> Lsn {
        self.place
    }

    /// Moves on: through the latest entries if they reach back so far, else through the log.
    pub(super) fn step(&mut self, tail: &Tail, counts: &Counts, now_ms: u64) -> CursorStep {
        // Nearly everybody is here: the entries are in memory, made once for all.
        if self.pending.is_empty() && tail.recent.covers(self.place) {
            self.reader = None;
            return self.follow(tail, counts, now_ms);
        }
        match self.read(tail, counts, now_ms) {
            Ok(step) => step,
            Err(error) => CursorStep::Failed(error),
        }
    }

    fn follow(&mut self, tail: &Tail, counts: &Counts, now_ms: u64) -> CursorStep {
        for (looked, entry) in tail.recent.behind(self.place).enumerate() {
            if looked == TURN {
                return CursorStep::On;
            }
            if let Some(step) = self.meet(entry, counts) {
                return step;
            }
        }
        self.place = self.place.max(tail.recent.end());
        self.at_end(now_ms)
    }

    fn read(
        &mut self,
        tail: &Tail,
        counts: &Counts,
        now_ms: u64,
    ) -> Result<CursorStep, BacklogError> {
        let backlog = &tail.source.backlog;
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => backlog.read(self.place)?,
        };
        for _ in 0..TURN {
            // An entry leaves the queue when it is taken, so that one for which there was no room
            // is offered again.
            while let Some(entry) = self.pending.front().cloned() {
                if let Some(step) = self.meet(&entry, counts) {
                    self.reader = Some(reader);
                    return Ok(step);
                }
                self.pending.pop_front();
            }
            // It has caught up with those in memory.
            if tail.recent.covers(self.place) {
                return Ok(CursorStep::On);
            }
            let Some(unit) = reader.next_unit()? else {
                self.place = self.place.max(reader.place());
                self.reader = Some(reader);
                return Ok(self.at_end(now_ms));
            };
            if unit.end <= self.place {
                continue;
            }
            // A position lies at the end of an effect. Anywhere else within a unit it was made up,
            // or is of bytes that were written anew.
            let is_inside = unit.start < self.place;
            if is_inside && !unit.effects().any(|(place, _, _)| place == self.place) {
                return Err(BacklogError::Gone(tail.source.gone()));
            }
            let mut entries = tail.source.entries(unit);
            entries.retain(|entry| entry.position.offset > self.place.get());
            self.pending.extend(entries);
        }
        self.reader = Some(reader);
        Ok(CursorStep::On)
    }

    /// There is nothing more at present.
    fn at_end(&mut self, now_ms: u64) -> CursorStep {
        match &self.goal {
            Goal::Page(page) => {
                // A read sees all that was there when it came, as far as that has been written by
                // now.
                let has_looked = self.place >= page.target || now_ms >= page.until_ms;
                let waits = page.waits && page.entries.is_empty();
                match has_looked && !waits {
                    true => CursorStep::Done,
                    false => CursorStep::Rest,
                }
            }
            Goal::Subscription(_) => CursorStep::Rest,
        }
    }

    /// Gives an entry to who wants it. The step that ends with it, if one does.
    fn meet(&mut self, entry: &Arc<FeedEntry>, counts: &Counts) -> Option<CursorStep> {
        let met = match self.query.wants(entry) {
            true => self.goal.take(entry, counts),
            false => Met::Passed,
        };
        // The place moves over what is not wanted as well, so that it is not looked at again.
        if matches!(met, Met::Passed | Met::Last) {
            self.place = Lsn::new(entry.position.offset);
        }
        match met {
            Met::Passed => None,
            Met::Full => Some(CursorStep::Rest),
            Met::Last | Met::Gone => Some(CursorStep::Done),
        }
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_abandoned(&self) -> bool {
        match &self.goal {
            Goal::Page(page) => Arc::strong_count(&page.call) == 1,
            Goal::Subscription(_) => false,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        matches!(&self.goal, Goal::Subscription(it) if it.is_full)
    }

    pub(super) fn is_subscription_of(&self, id: u64) -> bool {
        matches!(&self.goal, Goal::Subscription(it) if it.subscriber == id)
    }

    /// The page of a read that is done.
    pub(super) fn take_page(&mut self, tail: &Tail) -> Option<FeedAnswer> {
        let Goal::Page(page) = &mut self.goal else {
            return None;
        };
        Some(FeedAnswer::Page(FeedPage {
            entries: std::mem::take(&mut page.entries),
            next: tail.source.position(self.place),
        }))
    }
}

impl Goal {
    fn take(&mut self, entry: &Arc<FeedEntry>, counts: &Counts) -> Met {
        match self {
            Self::Page(page) => {
                page.entries.push(Arc::clone(entry));
                page.bytes += entry.byte_len();
                match page.entries.len() >= page.count || page.bytes >= PAGE_BYTES {
                    true => Met::Last,
                    false => Met::Passed,
                }
            }
            Self::Subscription(subscription) => {
                let offer = subscription.sink.offer(entry);
                let (is_full, was_full) = (offer == Offer::Full, subscription.is_full);
                subscription.is_full = is_full;
                add(&counts.delivered, offer == Offer::Taken);
                add(&counts.stalls, is_full && !was_full);
                match offer {
                    Offer::Taken => Met::Passed,
                    Offer::Full => Met::Full,
                    Offer::Gone => Met::Gone,
                }
            }
        }
    }
}

fn add(count: &Cell<u64>, one: bool) {
    count.set(count.get() + u64::from(one));
}
