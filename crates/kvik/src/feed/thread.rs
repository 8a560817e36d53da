//! The feed's thread, which moves all readers on.
//!
//! Where files are written it reads them; elsewhere it has the store keep its latest units in
//! memory from the first request on.

use std::sync::{Arc, Weak};
use std::time::Duration;

use kvik_command::Error;
use kvik_command::feed::{
    Feed, FeedAnswer, FeedCall, FeedFigures, FeedInfo, FeedQuery, FeedRequest, FeedStart,
};
use kvik_command::mail::{Message, Post};
use kvik_log::Lsn;

use super::cursor::{Counts, CursorStep, FeedCursor, Goal, PageGoal, Subscription};
use super::hub::CLOSED;
use super::tail::{FeedSource, Origin, Tail, failure};
use crate::lookout::Lookout;
use crate::shared::Shared;

/// How often a subscriber without room is looked at.
const FULL: Duration = Duration::from_millis(10);
/// How often calls that their owners have dropped are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How long a read waits until what came before it is written.
const SETTLE_MS: u64 = 1000;

const NO_THREAD: Error = Error::text("a store without threads has no feed");

/// The feed of a store, as commands see it.
pub(crate) struct FeedPort(pub(crate) Weak<Shared>);

impl Feed for FeedPort {
    fn request(&self, request: FeedRequest, client: u64) -> Arc<FeedCall> {
        match self.0.upgrade() {
            Some(shared) if !shared.has_threads() => {
                let call = FeedCall::default();
                call.answer(Err(NO_THREAD));
                Arc::new(call)
            }
            Some(shared) => {
                let store = Arc::clone(&shared);
                shared.feed.request(request, client, move || run(&store))
            }
            None => {
                let call = FeedCall::default();
                call.answer(Err(CLOSED));
                Arc::new(call)
            }
        }
    }

    fn unsubscribe(&self, subscriber: u64) {
        if let Some(shared) = self.0.upgrade() {
            shared.feed.inbox.lock().ended.push(subscriber);
            shared.feed.rouse();
        }
    }

    fn wake(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.feed.rouse();
        }
    }

    fn figures(&self) -> FeedFigures {
        let shared = self.0.upgrade();
        shared.map_or_else(FeedFigures::default, |shared| *shared.feed.figures.lock())
    }
}

/// The feed's thread.
fn run(shared: &Arc<Shared>) {
    let _lookout = Lookout(&shared.engine);
    let hub = &shared.feed;
    let mut readers = FeedReaders {
        shared,
        tail: Tail::new(FeedSource::new(origin(shared), Arc::clone(shared))),
        cursors: Vec::new(),
        counts: Counts::default(),
    };
    loop {
        let (requests, ended) = {
            let mut inbox = hub.inbox.lock();
            inbox.woken = false;
            if inbox.stopped {
                let late = std::mem::take(&mut inbox.requests);
                drop(inbox);
                return readers.close(late);
            }
            (
                std::mem::take(&mut inbox.requests),
                std::mem::take(&mut inbox.ended),
            )
        };
        readers.follow_source();
        readers.end(&ended);
        // The first reader after a while begins at the end of the log, without what came meanwhile.
        if readers.cursors.is_empty() {
            readers.tail.catch_up();
        }
        for (request, client, call) in requests {
            readers.accept(request, client, &call);
        }
        let moved = readers.step();
        *hub.figures.lock() = readers.figures();
        // While there is more to read, requests are looked for after each turn all the same.
        if !moved {
            readers.rest();
        }
    }
}

/// The log that is to be read now.
fn origin(shared: &Shared) -> Origin {
    let hub = &shared.feed;
    if shared.is_logged()
        && let Some(log) = hub.log.get()
    {
        return Origin::Files(Arc::clone(log));
    }
    if !shared.is_kept() {
        shared.keep_units(shared.random_id());
    }
    let memory = hub.memory.lock();
    match &*memory {
        Some(memory) => Origin::Memory(Arc::clone(memory)),
        None => unreachable!("units are kept somewhere once somebody has asked for them"),
    }
}

/// All who read.
struct FeedReaders<'a> {
    shared: &'a Arc<Shared>,
    tail: Tail,
    cursors: Vec<FeedCursor>,
    counts: Counts,
}

impl FeedReaders<'_> {
    /// Turns to another log if the store has. Positions of the one before mean nothing then.
    fn follow_source(&mut self) {
        let origin = origin(self.shared);
        if self.tail.source.is_current(&origin) {
            return;
        }
        let before: Vec<_> = self
            .cursors
            .iter()
            .map(|cursor| self.tail.source.position(cursor.place()))
            .collect();
        // The places under which former states are noted are those of the log before.
        self.shared.feed.former.clear();
        self.tail = Tail::new(FeedSource::new(origin, Arc::clone(self.shared)));
        for (cursor, position) in self.cursors.drain(..).zip(before) {
            let error = self.tail.source.resolve(position).err();
            let error = error.unwrap_or(Error::text("the log has begun anew"));
            fail(self.shared, cursor, &error);
        }
    }

    fn end(&mut self, ended: &[u64]) {
        if !ended.is_empty() {
            self.cursors
                .retain(|cursor| !ended.iter().any(|&id| cursor.is_subscription_of(id)));
        }
    }

    fn close(self, late: Vec<(FeedRequest, u64, Arc<FeedCall>)>) {
        for (_, _, call) in late {
            call.answer(Err(CLOSED));
        }
        for cursor in self.cursors {
            fail(self.shared, cursor, &CLOSED);
        }
    }

    fn accept(&mut self, request: FeedRequest, client: u64, call: &Arc<FeedCall>) {
        let answer = match request {
            FeedRequest::Info => Some(Ok(FeedAnswer::Info(self.info()))),
            FeedRequest::Read {
                query,
                count,
                waits,
            } => match self.place_of(&query) {
                Ok(place) => {
                    let page = PageGoal {
                        client,
                        call: Arc::clone(call),
                        count,
                        waits,
                        target: self.tail.source.end(),
                        until_ms: self.shared.now_ms() + SETTLE_MS,
                        entries: Vec::new(),
                        bytes: 0,
                    };
                    self.cursors
                        .push(FeedCursor::new(query, place, Goal::Page(page)));
                    None
                }
                Err(error) => Some(Err(error)),
            },
            FeedRequest::Subscribe {
                query,
                subscriber,
                sink,
            } => Some(self.place_of(&query).map(|place| {
                let subscription = Subscription {
                    subscriber,
                    sink,
                    is_full: false,
                };
                let goal = Goal::Subscription(subscription);
                self.cursors.push(FeedCursor::new(query, place, goal));
                FeedAnswer::Subscribed(self.tail.source.position(place))
            })),
        };
        if let Some(answer) = answer {
            call.answer(answer);
            tell(self.shared, client);
        }
    }

    fn place_of(&self, query: &FeedQuery) -> Result<Lsn, Error> {
        if query.old {
            self.shared.note_former();
        }
        let source = &self.tail.source;
        match query.start {
            FeedStart::Oldest => Ok(source.backlog.oldest()),
            FeedStart::Latest => Ok(source.end()),
            FeedStart::After(position) => source.resolve(position),
        }
    }

    /// Moves everybody on; says whether there may be more to do.
    fn step(&mut self) -> bool {
        if self.cursors.is_empty() {
            return false;
        }
        let mut moved = self.tail.advance();
        let now_ms = self.shared.now_ms();
        let mut at = 0;
        while let Some(cursor) = self.cursors.get_mut(at) {
            let before = cursor.place();
            let step = cursor.step(&self.tail, &self.counts, now_ms);
            moved |= cursor.place() > before;
            match step {
                CursorStep::On => moved = true,
                CursorStep::Rest => {
                    if let Goal::Page(page) = &cursor.goal {
                        page.call.advance(self.tail.source.position(cursor.place()));
                    }
                }
                CursorStep::Done => {
                    // The last one has come to its index, and is next.
                    let mut cursor = self.cursors.swap_remove(at);
                    let page = cursor.take_page(&self.tail);
                    if let (Some(answer), Goal::Page(page)) = (page, &cursor.goal) {
                        page.call.answer(Ok(answer));
                        tell(self.shared, page.client);
                    }
                    continue;
                }
                CursorStep::Failed(error) => {
                    let cursor = self.cursors.swap_remove(at);
                    fail(self.shared, cursor, &failure(error));
                    continue;
                }
            }
            at += 1;
        }
        moved
    }

    /// Sleeps until there is more.
    fn rest(&mut self) {
        self.cursors.retain(|cursor| !cursor.is_abandoned());
        let hub = &self.shared.feed;
        if self.cursors.is_empty() {
            return hub.sleep(Duration::MAX, || false);
        }
        if !self.tail.source.is_durable() {
            hub.collect();
        }
        let is_full = self.cursors.iter().any(FeedCursor::is_full);
        let at_most = if is_full { FULL } else { LOOK };
        hub.sleep(at_most, || self.tail.is_behind());
    }

    fn info(&self) -> FeedInfo {
        let source = &self.tail.source;
        FeedInfo {
            oldest: source.position(source.backlog.oldest()),
            latest: source.position(source.backlog.readable()),
            durable: source.is_durable(),
            figures: self.figures(),
        }
    }

    fn figures(&self) -> FeedFigures {
        let is_subscription = |cursor: &&FeedCursor| matches!(cursor.goal, Goal::Subscription(_));
        let subscribers = self.cursors.iter().filter(is_subscription).count() as u64;
        FeedFigures {
            subscribers,
            waiting: self.cursors.len() as u64 - subscribers,
            buffered: self.tail.recent.len() as u64,
            buffered_bytes: self.tail.recent.bytes() as u64,
            delivered: self.counts.delivered.get(),
            stalls: self.counts.stalls.get(),
        }
    }
}

/// Tells somebody that it cannot read on.
fn fail(shared: &Shared, cursor: FeedCursor, error: &Error) {
    match cursor.goal {
        Goal::Page(page) => {
            page.call.answer(Err(error.clone()));
            tell(shared, page.client);
        }
        Goal::Subscription(subscription) => subscription.sink.end(error),
    }
}

/// Has a client look at its answer.
fn tell(shared: &Shared, client: u64) {
    // A client that has gone waits no more.
    let _ = shared.engine.clients.deliver(client, Message::Retry);
    shared.engine.pause.wake();
}
