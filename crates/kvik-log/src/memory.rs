//! A log without files: the latest units in memory, for those who want to read what happens where
//! nothing is kept.
//!
//! Its bytes are those that a file would hold, in pieces that can each be read from their start.
//! When they exceed the room the earliest piece goes. A unit that exceeds it alone is not kept: its
//! place is counted, and readers find that it is gone.
//!
//! Cost of a unit: one lock and one copy, large strings included.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use crate::backlog::{Backlog, Segment, Segments};
use crate::queue::Context;
use crate::sync::{AtomicU64, Mutex};
use crate::unit::select;
use crate::{LogId, Lsn, Unit};

/// A piece is not added to when it has so many bytes.
const PIECE_BYTES: usize = 256 << 10;

/// The latest units of a store, in memory.
pub struct MemoryLog {
    id: LogId,
    room: usize,
    end: AtomicU64,
    pieces: Mutex<Pieces>,
}

struct Pieces {
    /// At least one.
    all: VecDeque<Piece>,
    bytes: usize,
    database: Option<u32>,
    annotated_s: Option<u64>,
    latest_s: u64,
}

struct Piece {
    start: Lsn,
    bytes: Vec<u8>,
}

impl Piece {
    fn end(&self) -> Lsn {
        self.start.plus(self.bytes.len() as u64)
    }
}

impl MemoryLog {
    /// An empty log that keeps about `room` bytes. Its id is made of random bytes.
    pub fn new(random_id: [u8; 20], room: usize) -> Arc<Self> {
        Arc::new(Self {
            id: LogId::new(random_id),
            room: room.max(PIECE_BYTES),
            end: AtomicU64::new(0),
            pieces: Mutex::new(Pieces::at(Lsn::ZERO)),
        })
    }

    /// Takes a copy of a unit, and leaves it as it is. `now_ms` is the wall clock.
    pub fn append(&self, unit: &mut Unit, now_ms: u64) -> Lsn {
        if unit.is_empty() {
            return self.end();
        }
        let mut pieces = self.pieces.lock();
        let end = if unit.len() > self.room {
            self.pass_over(&mut pieces, unit.len() as u64)
        } else {
            self.keep(&mut pieces, unit, now_ms / 1000)
        };
        self.end
            .store(end.get(), std::sync::atomic::Ordering::Release);
        end
    }

    /// The place behind everything.
    pub fn end(&self) -> Lsn {
        Lsn::new(self.end.load(std::sync::atomic::Ordering::Acquire))
    }

    /// The units that are there.
    pub fn backlog(self: &Arc<Self>) -> Backlog {
        Backlog::new(Arc::new(MemorySegments(Arc::clone(self))))
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.pieces.lock().bytes
    }

    fn keep(&self, pieces: &mut Pieces, unit: &mut Unit, now_s: u64) -> Lsn {
        let before = pieces.open(self.end());
        let mut bytes = std::mem::take(&mut pieces.all.back_mut().expect("one is open").bytes);
        pieces.annotate(now_s, &mut bytes);
        let is_group = unit.effects() > 1;
        if is_group {
            bytes.extend_from_slice(b"*1\r\n$5\r\nMULTI\r\n");
        }
        let first = unit.first_database();
        if pieces.database != first {
            select(first.unwrap_or_default(), &mut bytes);
        }
        pieces.database = unit.last_database();
        unit.copy_to(&mut bytes);
        if is_group {
            bytes.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
        }
        let last = pieces.all.back_mut().expect("one is open");
        last.bytes = bytes;
        let (end, grown) = (last.end(), last.bytes.len() - before);
        pieces.bytes += grown;
        while pieces.bytes > self.room && pieces.all.len() > 1 {
            pieces.drop_first();
        }
        end
    }

    /// Leaves a gap that nobody can read over.
    fn pass_over(&self, pieces: &mut Pieces, len: u64) -> Lsn {
        let end = self.end().plus(len);
        *pieces = Pieces {
            latest_s: pieces.latest_s,
            ..Pieces::at(end)
        };
        end
    }
}

impl Pieces {
    /// None, from `start` on.
    fn at(start: Lsn) -> Self {
        let bytes = Vec::new();
        Self {
            all: VecDeque::from([Piece { start, bytes }]),
            bytes: 0,
            database: None,
            annotated_s: None,
            latest_s: 0,
        }
    }

    /// Makes sure that there is a piece to append to, and returns its length.
    fn open(&mut self, end: Lsn) -> usize {
        match self.all.back() {
            Some(last) if last.bytes.len() < PIECE_BYTES => last.bytes.len(),
            _ => {
                self.all.push_back(Piece {
                    start: end,
                    bytes: Vec::new(),
                });
                (self.database, self.annotated_s) = (None, None);
                0
            }
        }
    }

    fn drop_first(&mut self) {
        let first = self.all.pop_front();
        self.bytes -= first.map_or(0, |piece| piece.bytes.len());
    }

    fn annotate(&mut self, now_s: u64, bytes: &mut Vec<u8>) {
        let now_s = now_s.max(self.latest_s);
        if self.annotated_s != Some(now_s) {
            (self.annotated_s, self.latest_s) = (Some(now_s), now_s);
            bytes.extend_from_slice(format!("#TS:{now_s}\r\n").as_bytes());
        }
    }
}

/// The pieces, as a backlog reads them.
struct MemorySegments(Arc<MemoryLog>);

impl Segments for MemorySegments {
    fn id(&self) -> LogId {
        self.0.id
    }

    fn readable(&self) -> Lsn {
        self.0.end()
    }

    fn mark(&self) -> Option<(Lsn, Context)> {
        None
    }

    fn segments(&self) -> Vec<Segment> {
        let pieces = self.0.pieces.lock();
        let starts = pieces.all.iter().map(|piece| piece.start);
        let ends = starts.clone().skip(1).map(Some).chain([None]);
        starts
            .zip(ends)
            .map(|(start, end)| Segment { start, end })
            .collect()
    }

    fn open(&self, start: Lsn, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(PieceReader {
            log: Arc::clone(&self.0),
            start,
            offset: usize::try_from(offset).expect("a piece is in memory"),
        }))
    }
}

/// Reads one piece while it is there.
struct PieceReader {
    log: Arc<MemoryLog>,
    start: Lsn,
    offset: usize,
}

impl Read for PieceReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let pieces = self.log.pieces.lock();
        let at = pieces.all.binary_search_by_key(&self.start, |it| it.start);
        let piece = &pieces.all[at.map_err(|_| io::ErrorKind::NotFound)?];
        let rest = piece.bytes.get(self.offset..).unwrap_or_default();
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        self.offset += len;
        Ok(len)
    }
}

impl std::fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryLog")
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}
