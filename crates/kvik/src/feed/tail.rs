//! The end of the log, read once for all who follow it.

use std::sync::Arc;

use kvik_command::Error;
use kvik_command::feed::{FeedEntry, FeedPosition};
use kvik_log::{
    Backlog, BacklogError, BacklogReader, Gone, Log, LogId, LogPosition, Lsn, MemoryLog, PlacedUnit,
};

use super::recent::Recent;
use crate::shared::Shared;

/// Units read before others get their turn.
const TURN: usize = 1024;
/// A tail that is so far behind begins anew at the end.
const FAR_BYTES: u64 = 8 << 20;

/// Where entries come from at present.
pub(super) struct FeedSource {
    pub(super) backlog: Backlog,
    id: LogId,
    origin: Origin,
    shared: Arc<Shared>,
}

/// The log that is read.
pub(super) enum Origin {
    Files(Arc<Log>),
    Memory(Arc<MemoryLog>),
}

impl FeedSource {
    pub(super) fn new(origin: Origin, shared: Arc<Shared>) -> Self {
        let backlog = match &origin {
            Origin::Files(log) => log.backlog(),
            Origin::Memory(log) => log.backlog(),
        };
        Self {
            id: backlog.id(),
            backlog,
            origin,
            shared,
        }
    }

    /// Whether the same positions mean the same as before.
    pub(super) fn is_current(&self, origin: &Origin) -> bool {
        match (&self.origin, origin) {
            (Origin::Files(one), Origin::Files(other)) => {
                Arc::ptr_eq(one, other) && self.id == self.backlog.id()
            }
            (Origin::Memory(one), Origin::Memory(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    pub(super) fn is_durable(&self) -> bool {
        matches!(self.origin, Origin::Files(_))
    }

    /// The place behind everything that has happened, shown or not.
    pub(super) fn end(&self) -> Lsn {
        match &self.origin {
            Origin::Files(log) => log.appended(),
            Origin::Memory(log) => log.end(),
        }
    }

    pub(super) fn position(&self, place: Lsn) -> FeedPosition {
        position(LogPosition {
            id: self.id,
            at: place,
        })
    }

    pub(super) fn gone(&self) -> Gone {
        let at = self.backlog.oldest();
        let oldest = LogPosition { id: self.id, at };
        Gone { oldest }
    }

    /// The place of a position.
    ///
    /// # Errors
    /// If it is of another log, or not there any more, or ahead of the log.
    pub(super) fn resolve(&self, position: FeedPosition) -> Result<Lsn, Error> {
        let place = Lsn::new(position.offset);
        if position.log != self.id.bytes() {
            return Err(gone("the position is of another log", self.gone()));
        }
        if place < self.backlog.oldest() {
            return Err(gone("the position is not there any more", self.gone()));
        }
        if place > self.end() {
            return Err(gone("the position is ahead of the log", self.gone()));
        }
        Ok(place)
    }

    /// The entries of a unit.
    pub(super) fn entries(&self, unit: PlacedUnit<'_>) -> Vec<Arc<FeedEntry>> {
        let (end, time_s) = (unit.end, unit.time_s().unwrap_or(0));
        let entries = unit.effects().map(|(place, database, words)| {
            let position = self.position(place);
            let mut entry = FeedEntry::new(position, time_s, database, words);
            // What keys held is noted by the end of the unit, which only the log knows.
            let old = self.shared.feed.former.find(end, database, entry.keys());
            entry.set_old(old);
            Arc::new(entry)
        });
        entries.collect()
    }
}

fn position(position: LogPosition) -> FeedPosition {
    FeedPosition {
        log: position.id.bytes(),
        offset: position.at.get(),
    }
}

fn gone(what: &str, gone: Gone) -> Error {
    let oldest = position(gone.oldest);
    Error::Coded("GONE", format!("{what}; the oldest is {oldest}").into())
}

/// The error of somebody who cannot read on.
pub(super) fn failure(error: BacklogError) -> Error {
    match error {
        BacklogError::Gone(it) => gone("the position is not there any more", it),
        BacklogError::Read(error) => Error::new(format!("the feed cannot be read: {error}")),
    }
}

/// Follows the end of a source.
pub(super) struct Tail {
    pub(super) source: FeedSource,
    pub(super) recent: Recent,
    reader: Option<BacklogReader>,
}

impl Tail {
    /// The tail of a source, from its present end on.
    pub(super) fn new(source: FeedSource) -> Self {
        Self {
            recent: Recent::at(source.backlog.latest()),
            source,
            reader: None,
        }
    }

    /// Begins anew at the end if it is far behind: nobody has followed for long.
    pub(super) fn catch_up(&mut self) {
        let readable = self.source.backlog.readable();
        // Reading all that nobody waits for would take longer than it is worth.
        if readable.since(self.recent.end()) > FAR_BYTES {
            self.restart();
        }
    }

    fn restart(&mut self) {
        self.recent = Recent::at(self.source.backlog.latest());
        self.reader = None;
    }

    /// Whether there is more to read.
    pub(super) fn is_behind(&self) -> bool {
        self.source.backlog.readable() > self.recent.end()
    }

    /// Reads some of what has come; says whether it did.
    pub(super) fn advance(&mut self) -> bool {
        if !self.is_behind() {
            return false;
        }
        // Who needs what cannot be read is told so when it reads itself.
        self.read().unwrap_or_else(|_| {
            self.restart();
            false
        })
    }

    fn read(&mut self) -> Result<bool, BacklogError> {
        let start = self.recent.end();
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.source.backlog.read(start)?,
        };
        for _ in 0..TURN {
            let Some(unit) = reader.next_unit()? else {
                break;
            };
            let end = unit.end;
            if end <= self.recent.end() {
                continue;
            }
            for entry in self.source.entries(unit) {
                self.recent.push(entry);
            }
            self.recent.advance(end);
        }
        let place = reader.place().max(self.recent.end());
        self.recent.advance(place);
        self.reader = Some(reader);
        Ok(place > start)
    }
}
