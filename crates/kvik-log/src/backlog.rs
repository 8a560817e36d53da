//! Units read again by their places: the part of a log that is still there.
//!
//! A [`Backlog`] is a row of segments, each of which says anew which database is selected and what
//! time it is: the increments of a log, or the pieces of a [`MemoryLog`](crate::MemoryLog). A
//! [`BacklogReader`] goes through them unit by unit, up to what may be shown, and on as more comes.
//!
//! To read from the middle of a segment means to read it from its start, because only the units
//! before say what is selected there. Readers leave marks behind as they go, so that this happens
//! once; near the end of a log the writer leaves them.
//!
//! Cost of a reader: a file that is open and a buffer of 256 KiB, or as long as its longest unit.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use crate::queue::Context;
use crate::reader::{ReadError, ReadUnit, UnitReader};
use crate::sync::Mutex;
use crate::{LogId, LogPosition, Lsn};

/// A reader leaves a mark after so many bytes.
const MARK_BYTES: u64 = 1 << 20;
/// Marks that are kept, the latest of them.
const MARKS: usize = 1 << 16;

/// A part of a backlog that can be read from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) start: Lsn,
    /// Where the next one starts, if this is not the last.
    pub(crate) end: Option<Lsn>,
}

/// Where a backlog comes from.
pub(crate) trait Segments: Send + Sync {
    fn id(&self) -> LogId;

    /// The place behind what may be shown.
    fn readable(&self) -> Lsn;

    /// A place near that end from which can be read on.
    fn mark(&self) -> Option<(Lsn, Context)>;

    /// The segments, each of which begins where the one before ends.
    fn segments(&self) -> Vec<Segment>;

    /// Opens the segment that starts at `start`, `offset` bytes behind its start.
    fn open(&self, start: Lsn, offset: u64) -> io::Result<Box<dyn Read + Send>>;
}

/// The units of a log that can still be read. Clones share their marks.
#[derive(Clone)]
pub struct Backlog {
    segments: Arc<dyn Segments>,
    marks: Arc<Mutex<BTreeMap<Lsn, Context>>>,
}

/// The units before a place are not there any more, or never were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The earliest place from which can be read.
    pub oldest: LogPosition,
}

/// Why a reader cannot go on.
#[derive(Debug)]
pub enum BacklogError {
    /// The next unit has been removed.
    Gone(Gone),
    /// It cannot be read.
    Read(ReadError),
}

impl Backlog {
    pub(crate) fn new(segments: Arc<dyn Segments>) -> Self {
        Self {
            segments,
            marks: Arc::default(),
        }
    }

    /// The id of the log. A place means something under this id only.
    pub fn id(&self) -> LogId {
        self.segments.id()
    }

    /// The place behind what may be shown: under `always` what is durable, otherwise what is
    /// written.
    pub fn readable(&self) -> Lsn {
        self.segments.readable()
    }

    /// The earliest place from which can be read. Looks at files.
    pub fn oldest(&self) -> Lsn {
        let first = self.segments.segments().first().map(|it| it.start);
        first.unwrap_or_else(|| self.readable())
    }

    /// A place close to the end, at most a few milliseconds of writes before it, from which can be
    /// read at once.
    pub fn latest(&self) -> Lsn {
        let mark = self.segments.mark().map(|(at, _)| at);
        mark.unwrap_or_else(|| self.readable())
    }

    /// A reader that comes by the units behind `at`. It begins at or before that place: units that
    /// end there or before are the caller's to skip.
    pub fn read(&self, at: Lsn) -> Result<BacklogReader, BacklogError> {
        let all = self.segments.segments();
        let found = all.iter().rev().find(|segment| segment.start <= at);
        let Some(&segment) = found else {
            return Err(BacklogError::Gone(self.gone(&all)));
        };
        let (from, context) = self.nearest(segment, at);
        let file = self.segments.open(segment.start, from.since(segment.start));
        let file = file.map_err(|error| self.failed(error))?;
        Ok(BacklogReader {
            backlog: self.clone(),
            segment,
            reader: reader(file, segment, from, context),
            marked: from,
        })
    }

    /// The last mark in a segment that is not behind `at`.
    fn nearest(&self, segment: Segment, at: Lsn) -> (Lsn, Context) {
        let marks = self.marks.lock();
        let mark = marks.range(segment.start..=at).next_back();
        let noted = mark.map(|(&at, &context)| (at, context));
        let start = (segment.start, Context::default());
        let latest = self.segments.mark().filter(|mark| mark.0 <= at);
        let known = [Some(start), noted, latest].into_iter().flatten();
        known.max_by_key(|mark| mark.0).unwrap_or(start)
    }

    fn note(&self, at: Lsn, context: Context) {
        let mut marks = self.marks.lock();
        marks.insert(at, context);
        if marks.len() > MARKS {
            marks.pop_first();
        }
    }

    fn gone(&self, all: &[Segment]) -> Gone {
        Gone {
            oldest: LogPosition {
                id: self.id(),
                at: all.first().map_or_else(|| self.readable(), |it| it.start),
            },
        }
    }

    /// The rest that is left where a segment ends too early.
    fn lost_until(&self, segment: Segment) -> Gone {
        let mut all = self.segments.segments();
        all.retain(|it| it.start > segment.start);
        self.gone(&all)
    }

    fn failed(&self, error: io::Error) -> BacklogError {
        match error.kind() {
            io::ErrorKind::NotFound => BacklogError::Gone(self.gone(&self.segments.segments())),
            _ => BacklogError::Read(ReadError::Io(error)),
        }
    }
}

impl std::fmt::Debug for Backlog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backlog")
            .field("id", &self.id())
            .field("readable", &self.readable())
            .finish_non_exhaustive()
    }
}

/// Comes by the units of a backlog, in order.
pub struct BacklogReader {
    backlog: Backlog,
    segment: Segment,
    reader: UnitReader<Bounded>,
    /// The last place where a mark was left.
    marked: Lsn,
}

/// A unit of a backlog.
#[derive(Clone, Copy, Debug)]
pub struct PlacedUnit<'a> {
    /// The place of its first byte.
    pub start: Lsn,
    /// Its place: the one behind it.
    pub end: Lsn,
    segment: Lsn,
    unit: ReadUnit<'a>,
}

impl<'a> PlacedUnit<'a> {
    /// Seconds since 1970 of the last annotation before its end; none if there is none.
    pub fn time_s(self) -> Option<u64> {
        self.unit.time_s
    }

    /// The effects: for each the place behind it, its database and its words. The last one's place
    /// is that of the unit.
    pub fn effects(self) -> impl Iterator<Item = (Lsn, u32, kvik_resp::Args<'a>)> {
        let places = self.unit.ends().map(move |end| self.segment.plus(end));
        let effects = places.zip(self.unit.effects());
        effects.map(|(place, (database, words))| (place, database, words))
    }
}

impl BacklogReader {
    /// The place behind the last unit that was given.
    pub fn place(&self) -> Lsn {
        self.segment.start.plus(self.reader.valid())
    }

    /// The next unit that may be shown; none if there is none yet.
    ///
    /// # Errors
    /// If what comes next has been removed, or cannot be read. The reader is of no use then.
    pub fn next_unit(&mut self) -> Result<Option<PlacedUnit<'_>>, BacklogError> {
        loop {
            let readable = self.backlog.readable();
            let end = self.segment.end.unwrap_or(Lsn::new(u64::MAX)).min(readable);
            let limit = end.since(self.segment.start);
            if limit > self.reader.valid() {
                self.reader.source_mut().limit = limit;
                self.leave_mark();
                // The borrow of a unit that is returned would last beyond the loop.
                if self.advance()? {
                    let (start, unit) = (self.segment.start, self.reader.unit());
                    return Ok(Some(PlacedUnit {
                        start: start.plus(unit.start),
                        end: start.plus(unit.end),
                        segment: start,
                        unit,
                    }));
                }
                // The file is shorter than the log: what was in it has been lost.
                if self.reader.valid() < limit {
                    return Err(BacklogError::Gone(self.backlog.lost_until(self.segment)));
                }
            }
            if readable <= self.place() || !self.turn_over()? {
                return Ok(None);
            }
        }
    }

    fn advance(&mut self) -> Result<bool, BacklogError> {
        match self.reader.next_unit() {
            Ok(unit) => Ok(unit.is_some()),
            Err(ReadError::Io(error)) => Err(self.backlog.failed(error)),
            Err(ReadError::Torn) => Err(BacklogError::Gone(self.backlog.lost_until(self.segment))),
            Err(error) => Err(BacklogError::Read(error)),
        }
    }

    fn leave_mark(&mut self) {
        let place = self.place();
        if place.since(self.marked) >= MARK_BYTES {
            let context = Context {
                database: self.reader.database(),
                time_s: self.reader.time_s(),
            };
            self.backlog.note(place, context);
            self.marked = place;
        }
    }

    /// Goes on with the segment behind, if this one has ended; says whether it does.
    fn turn_over(&mut self) -> Result<bool, BacklogError> {
        let (place, all) = (self.place(), self.backlog.segments.segments());
        let known = all.iter().find(|it| it.start == self.segment.start);
        let Some(&known) = known else {
            // Removed, but read to the end.
            return self.enter(place, &all);
        };
        self.segment.end = known.end;
        match known.end {
            Some(end) if end <= place => self.enter(place, &all),
            Some(_) => Ok(true),
            None => Ok(false),
        }
    }

    fn enter(&mut self, place: Lsn, all: &[Segment]) -> Result<bool, BacklogError> {
        let Some(&next) = all.iter().find(|it| it.start == place) else {
            return Err(BacklogError::Gone(self.backlog.gone(all)));
        };
        let file = self.backlog.segments.open(next.start, 0);
        let file = file.map_err(|error| self.backlog.failed(error))?;
        self.reader = reader(file, next, next.start, Context::default());
        self.segment = next;
        Ok(true)
    }
}

impl std::fmt::Debug for BacklogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BacklogReader")
            .field("place", &self.place())
            .finish_non_exhaustive()
    }
}

fn reader(
    file: Box<dyn Read + Send>,
    segment: Segment,
    from: Lsn,
    context: Context,
) -> UnitReader<Bounded> {
    let offset = from.since(segment.start);
    let source = Bounded {
        source: file,
        at: offset,
        limit: offset,
    };
    UnitReader::new(source, offset, context.database).since(context.time_s)
}

/// A file as far as it may be shown, which is a whole number of units.
struct Bounded {
    source: Box<dyn Read + Send>,
    at: u64,
    limit: u64,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.limit - self.at).unwrap_or(usize::MAX);
        let len = left.min(into.len());
        if len == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut into[..len])?;
        self.at += count as u64;
        Ok(count)
    }
}
