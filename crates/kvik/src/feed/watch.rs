//! Changes under a prefix, as an iterator.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kvik_command::Error;
use kvik_command::feed::{
    FeedAnswer, FeedCall, FeedEntry, FeedPage, FeedPosition, FeedQuery, FeedRequest, FeedStart,
};

use crate::db::Db;

/// Entries fetched at once.
const COUNT: usize = 1000;
/// How long one look at a call takes at most.
const LOOK: Duration = Duration::from_millis(500);

/// The committed changes of keys with a prefix, in their order, each once. See
/// [`Db::watch_prefix`].
pub struct PrefixWatch {
    db: Db,
    query: FeedQuery,
    position: Option<FeedPosition>,
    page: VecDeque<Arc<FeedEntry>>,
    /// Where the page ends.
    next: Option<FeedPosition>,
    call: Option<Arc<FeedCall>>,
    failed: bool,
}

impl Db {
    /// The changes of keys that begin with `prefix`, from a position on: what has been committed,
    /// in its order, each change once. An empty prefix is all keys. A change of whole databases
    /// (FLUSHALL, FLUSHDB, SWAPDB) reaches every prefix.
    ///
    /// With a log, positions stay good across restarts, as far as the log is kept. Without one, the
    /// latest changes are kept in memory from the first use of the feed on.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kvik::feed::FeedStart;
    ///
    /// let db = kvik::Db::memory();
    /// let mut watch = db.watch_prefix(b"user:", FeedStart::Latest)?;
    /// db.set(b"job:1", b"x")?;
    /// db.set(b"user:1", b"ada")?;
    /// let change = watch.next_within(Duration::from_secs(10))?.expect("it has been committed");
    /// assert_eq!(change.verb(), b"SET");
    /// assert_eq!(change.keys().collect::<Vec<_>>(), [b"user:1"]);
    ///
    /// // Later, or in another process: go on behind it.
    /// let position = watch.position();
    /// let mut watch = db.watch_prefix(b"user:", FeedStart::After(position))?;
    /// assert!(watch.next_within(Duration::ZERO)?.is_none(), "nothing has come since");
    /// # Ok::<_, kvik::Error>(())
    /// ```
    ///
    /// # Errors
    /// `GONE` if the position is of another log or has been removed; the error names the oldest.
    pub fn watch_prefix(&self, prefix: &[u8], from: FeedStart) -> Result<PrefixWatch, Error> {
        let mut query = FeedQuery::new(from);
        if !prefix.is_empty() {
            query = query.prefix(prefix);
        }
        self.watch(query)
    }

    /// The changes that a query asks for; see [`Db::watch_prefix`].
    ///
    /// # Errors
    /// As [`Db::watch_prefix`].
    pub fn watch(&self, query: FeedQuery) -> Result<PrefixWatch, Error> {
        let mut watch = PrefixWatch {
            db: self.clone(),
            query,
            position: None,
            page: VecDeque::new(),
            next: None,
            call: None,
            failed: false,
        };
        // The first look says whether the position is good, and where the end is.
        let first = FeedRequest::Read {
            query: watch.query.clone(),
            count: 1,
            waits: false,
        };
        let call = self.engine().feed().request(first, 0);
        while !call.wait(LOOK) {}
        let page = page(&call)?;
        let start = match watch.query.start {
            FeedStart::After(position) => position,
            FeedStart::Latest => page.next,
            FeedStart::Oldest => watch.oldest()?,
        };
        (watch.position, watch.next) = (Some(start), Some(page.next));
        watch.page = page.entries.into();
        Ok(watch)
    }
}

impl PrefixWatch {
    fn oldest(&self) -> Result<FeedPosition, Error> {
        let call = self.db.engine().feed().request(FeedRequest::Info, 0);
        while !call.wait(LOOK) {}
        match call.take()? {
            FeedAnswer::Info(info) => Ok(info.oldest),
            _ => Err(Error::text("the feed has not answered")),
        }
    }

    /// The position behind the change that was given last, to go on from later.
    pub fn position(&self) -> FeedPosition {
        self.position.expect("it is set when the watch is made")
    }

    /// The next change, or none if none comes within `timeout`.
    ///
    /// # Errors
    /// `GONE` if the watch has fallen behind what is kept. There is nothing more then.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Arc<FeedEntry>>, Error> {
        // Time that passes here decides nothing but how long this thread sleeps.
        #[expect(
            clippy::disallowed_methods,
            reason = "a timeout of the caller's thread"
        )]
        let end = Instant::now().checked_add(timeout);
        loop {
            if let Some(entry) = self.page.pop_front() {
                self.position = Some(entry.position);
                return Ok(Some(entry));
            }
            if let Some(next) = self.next.take() {
                self.position = Some(next);
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "a timeout of the caller's thread"
            )]
            let now = Instant::now();
            let left = end.map_or(LOOK, |end| end.saturating_duration_since(now));
            if !self.fetch(left.min(LOOK))? && left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// Gets the next page, if there is one within so long; says whether.
    fn fetch(&mut self, at_most: Duration) -> Result<bool, Error> {
        let call = self.call.take().unwrap_or_else(|| self.ask());
        if !call.wait(at_most) {
            if at_most.is_zero() && !call.has_looked() {
                // What is there already is not missed for want of time.
                call.wait(LOOK);
            }
            if !call.is_answered() {
                self.call = Some(call);
                return Ok(false);
            }
        }
        let page = page(&call).inspect_err(|_| self.failed = true)?;
        self.page = page.entries.into();
        self.next = Some(page.next);
        Ok(true)
    }

    fn ask(&self) -> Arc<FeedCall> {
        let request = FeedRequest::Read {
            query: FeedQuery {
                start: FeedStart::After(self.position()),
                ..self.query.clone()
            },
            count: COUNT,
            waits: true,
        };
        self.db.engine().feed().request(request, 0)
    }
}

fn page(call: &FeedCall) -> Result<FeedPage, Error> {
    match call.take()? {
        FeedAnswer::Page(page) => Ok(page),
        _ => Err(Error::text("the feed has not answered")),
    }
}

/// Blocks until the next change comes. Ends after an error.
impl Iterator for PrefixWatch {
    type Item = Result<Arc<FeedEntry>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            match self.next_within(LOOK) {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

impl std::fmt::Debug for PrefixWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrefixWatch")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
