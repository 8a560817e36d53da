//! The feed of committed changes, as commands and doors to other protocols need it.
//!
//! An entry is one effect with its place in the log. Who wants entries hands a [`FeedRequest`] over
//! and gets a [`FeedCall`], which is answered by the thread that reads the log: a command never
//! reads files itself. A [subscription](FeedRequest::Subscribe) gives entries to a [`FeedSink`] as
//! they come, and waits whenever the sink has no room.
//!
//! ```
//! use kvik_command::feed::{FeedQuery, FeedStart};
//!
//! let query = FeedQuery::new(FeedStart::Latest).prefix(b"user:").prefix(b"team:");
//! assert!(query.covers(b"user:7"));
//! assert!(!query.covers(b"job:7"));
//! ```

mod entry;
mod position;
mod subscriber;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::Error;

pub use entry::{FeedEntry, OldState};
pub use position::{FeedPosition, InvalidPosition};
pub use subscriber::Subscriber;

/// From where entries are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedStart {
    /// All that are still there.
    Oldest,
    /// Those that come from now on.
    Latest,
    /// Those behind this position.
    After(FeedPosition),
}

/// Which entries are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedQuery {
    /// Beginnings of keys; all entries if there are none.
    pub prefixes: Vec<Box<[u8]>>,
    /// From where on.
    pub start: FeedStart,
    /// Whether the state before each change is wanted.
    pub old: bool,
}

impl FeedQuery {
    /// All entries from there on.
    pub fn new(start: FeedStart) -> Self {
        Self {
            prefixes: Vec::new(),
            start,
            old: false,
        }
    }

    /// Only those that reach keys with this prefix, or another one that was given.
    #[must_use]
    pub fn prefix(mut self, prefix: &[u8]) -> Self {
        self.prefixes.push(prefix.into());
        self
    }

    /// With the state before each change.
    #[must_use]
    pub fn with_old(mut self) -> Self {
        self.old = true;
        self
    }

    /// Whether a key begins with one of the prefixes.
    pub fn covers(&self, key: &[u8]) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| key.starts_with(prefix))
    }

    /// Whether an entry is wanted.
    pub fn wants(&self, entry: &FeedEntry) -> bool {
        self.prefixes.is_empty() || entry.reaches_all() || entry.keys().any(|key| self.covers(key))
    }
}

/// A wish that the feed answers.
pub enum FeedRequest {
    /// Entries that are there.
    Read {
        /// Which.
        query: FeedQuery,
        /// How many at most.
        count: usize,
        /// Whether to wait until there is one.
        waits: bool,
    },
    /// Entries as they come.
    Subscribe {
        /// Which.
        query: FeedQuery,
        /// Names the subscription to [`Feed::unsubscribe`]: the id of a client, or another number
        /// that no client has.
        subscriber: u64,
        /// Who gets them.
        sink: Arc<dyn FeedSink>,
    },
    /// The state of the feed.
    Info,
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub enum FeedAnswer {
    /// To a read.
    Page(FeedPage),
    /// To a subscription: the position behind which entries are given.
    Subscribed(FeedPosition),
    /// The state of the feed.
    Info(FeedInfo),
}

/// Entries that have been read.
#[derive(Clone, Debug)]
pub struct FeedPage {
    /// The entries, in order.
    pub entries: Vec<Arc<FeedEntry>>,
    /// Where to read on: everything before it has been looked at.
    pub next: FeedPosition,
}

/// The state of the feed.
#[derive(Clone, Debug)]
pub struct FeedInfo {
    /// The earliest position from which can be read.
    pub oldest: FeedPosition,
    /// The position behind what can be read.
    pub latest: FeedPosition,
    /// Whether the entries lie in files and survive a restart.
    pub durable: bool,
    /// Who reads, and what is kept for them.
    pub figures: FeedFigures,
}

/// The figures of a feed that can be had without asking its thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedFigures {
    /// Subscriptions.
    pub subscribers: u64,
    /// Reads that wait.
    pub waiting: u64,
    /// Entries that are in memory.
    pub buffered: u64,
    /// Bytes of these.
    pub buffered_bytes: u64,
    /// Entries that subscribers were given, since the start.
    pub delivered: u64,
    /// Times a subscriber had no room.
    pub stalls: u64,
}

/// A request that is answered later, or has been.
#[derive(Debug, Default)]
pub struct FeedCall {
    state: Mutex<CallState>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct CallState {
    answer: Option<Result<FeedAnswer, Error>>,
    /// How far a read has looked that waits.
    progress: Option<FeedPosition>,
}

impl FeedCall {
    /// Answers it.
    pub fn answer(&self, answer: Result<FeedAnswer, Error>) {
        self.state.lock().answer = Some(answer);
        self.answered.notify_all();
    }

    /// Notes that a read has looked at everything before a position and found nothing.
    pub fn advance(&self, to: FeedPosition) {
        self.state.lock().progress = Some(to);
    }

    /// Whether there is an answer.
    pub fn is_answered(&self) -> bool {
        self.state.lock().answer.is_some()
    }

    /// Whether the wait may be given up: a read has looked at what there is.
    pub fn has_looked(&self) -> bool {
        let state = self.state.lock();
        state.answer.is_some() || state.progress.is_some()
    }

    /// The answer. A read that still waits has found nothing so far.
    ///
    /// # Errors
    /// As the request was answered.
    pub fn take(&self) -> Result<FeedAnswer, Error> {
        let mut state = self.state.lock();
        match (state.answer.take(), state.progress) {
            (Some(answer), _) => answer,
            (None, Some(next)) => Ok(FeedAnswer::Page(FeedPage {
                entries: Vec::new(),
                next,
            })),
            (None, None) => Err(Error::text("the feed has not answered")),
        }
    }

    /// Blocks until there is an answer, or for so long. Says whether there is one.
    pub fn wait(&self, at_most: Duration) -> bool {
        let mut state = self.state.lock();
        if state.answer.is_none() {
            self.answered.wait_for(&mut state, at_most);
        }
        state.answer.is_some()
    }
}

/// The result of an offer to a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The entry was taken.
    Taken,
    /// There is no room now. The same entry is offered again after [`Feed::wake`], or some
    /// milliseconds later.
    Full,
    /// Nobody listens any more: the subscription ends.
    Gone,
}

/// Who gets the entries of a subscription. Called by the feed's thread, so it must be quick and
/// must not wait.
pub trait FeedSink: Send + Sync {
    /// Takes an entry, if there is room. Entries come in order, each once.
    fn offer(&self, entry: &Arc<FeedEntry>) -> Offer;

    /// The subscription has ended: what comes next is not there any more, as the error says.
    fn end(&self, error: &Error);
}

/// Who reads the log for others.
pub trait Feed: Send + Sync {
    /// Takes a request. `client` is told to [retry](crate::mail::Message::Retry) when it is
    /// answered; 0 is nobody. A call that its owner drops is given up.
    fn request(&self, request: FeedRequest, client: u64) -> Arc<FeedCall>;

    /// Ends the subscription of a client.
    fn unsubscribe(&self, subscriber: u64);

    /// A sink has room again.
    fn wake(&self);

    /// Its figures, as of late.
    fn figures(&self) -> FeedFigures {
        FeedFigures::default()
    }
}

/// A store without a feed.
#[derive(Clone, Copy, Debug)]
pub struct NoFeed;

impl Feed for NoFeed {
    fn request(&self, _request: FeedRequest, _client: u64) -> Arc<FeedCall> {
        let call = FeedCall::default();
        call.answer(Err(Error::text("this store has no feed")));
        Arc::new(call)
    }

    fn unsubscribe(&self, _subscriber: u64) {}

    fn wake(&self) {}
}
