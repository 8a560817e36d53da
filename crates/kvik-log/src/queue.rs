//! Units that are appended and not written yet.
//!
//! Bytes lie in chunks of fixed room, so that appending never moves what is there: a vector that
//! grows would copy megabytes while stripes are locked. The writer takes all chunks at once, which
//! is one exchange under the lock, and gives empty ones back. A chunk says where the last unit ends
//! in it, as a write that fails is cut back to there.

use std::collections::VecDeque;

use kvik_resp::OutputPiece;
use kvik_rope::Piece;

use crate::unit::{Unit, select};
use crate::{LogId, Lsn};

/// Room of a chunk.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// Pieces of ropes in a chunk, so that a write of several chunks stays within what one system call
/// takes.
const CHUNK_PIECES: usize = 32;
/// Empty chunks that are kept.
const SPARES: usize = 4;

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// The facts stated before a place of the log that hold behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    /// The database that is selected.
    pub(crate) database: u32,
    /// Seconds of the last annotation.
    pub(crate) time_s: Option<u64>,
}

/// Bytes of the log from one place on.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) start: Lsn,
    bytes: Vec<u8>,
    pieces: Vec<OutputPiece>,
    piece_bytes: u64,
    /// Where the last unit ends that ends in this chunk.
    pub(crate) unit_end: Option<Lsn>,
    /// The state of the log there, if there is such a unit.
    pub(crate) context: Context,
    /// Whether a new increment begins with it.
    pub(crate) rotates: bool,
    /// The id of the log from there on, if it is another one: what was in the log before does not
    /// lead to the state that the increment goes on from.
    pub(crate) restarts: Option<LogId>,
}

impl Chunk {
    fn new() -> Self {
        Self {
            start: Lsn::ZERO,
            bytes: Vec::with_capacity(CHUNK_BYTES),
            pieces: Vec::new(),
            piece_bytes: 0,
            unit_end: None,
            context: Context::default(),
            rotates: false,
            restarts: None,
        }
    }

    /// The place behind it.
    pub(crate) fn end(&self) -> Lsn {
        self.start.plus(self.bytes.len() as u64 + self.piece_bytes)
    }

    /// Whether it has no bytes.
    pub(crate) fn is_empty(&self) -> bool {
        self.end() == self.start
    }

    /// Forgets everything, ropes included, and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
        self.piece_bytes = 0;
        self.unit_end = None;
        self.rotates = false;
        self.restarts = None;
    }

    /// Its bytes from a place on, as slices in order.
    pub(crate) fn slices<'a>(&'a self, from: Lsn, out: &mut Vec<&'a [u8]>) {
        let mut skip = from.since(self.start) as usize;
        // `skip` counts down over all slices, so the first one may begin in the middle.
        let mut push = |bytes: &'a [u8]| {
            let rest = bytes.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(bytes.len());
            if !rest.is_empty() {
                out.push(rest);
            }
        };
        let mut done = 0;
        for OutputPiece { at, piece } in &self.pieces {
            push(&self.bytes[done..*at]);
            push(piece.bytes());
            done = *at;
        }
        push(&self.bytes[done..]);
    }
}

/// For what the writer sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// It does not, or nothing that is appended wakes it.
    Awake,
    /// Anything wakes it.
    UntilWork,
    /// It collects: many bytes wake it.
    UntilMuch,
    /// The same, and so many units in all.
    UntilUnits(u64),
}

/// Units in the order of their places, and what has to be known to frame the next one.
#[derive(Debug)]
pub(crate) struct Queue {
    sealed: VecDeque<Chunk>,
    open: Chunk,
    spares: Vec<Chunk>,
    /// The place behind everything.
    end: Lsn,
    /// How many units were appended in all.
    units: u64,
    /// The database selected there; none in a new increment.
    database: Option<u32>,
    /// Seconds of the last annotation; none in a new increment, if annotations are wanted.
    annotated_s: Option<u64>,
    /// Annotations never go back, though the wall clock may.
    latest_s: u64,
    pub(crate) timestamps: bool,
    pub(crate) sleep: Sleep,
    /// Whether the writer is to look around though nothing was appended.
    pub(crate) nudged: bool,
}

impl Queue {
    pub(crate) fn new(end: Lsn, timestamps: bool) -> Self {
        let mut open = Chunk::new();
        open.start = end;
        Self {
            sealed: VecDeque::new(),
            open,
            spares: Vec::new(),
            end,
            units: 0,
            database: None,
            annotated_s: None,
            latest_s: 0,
            timestamps,
            sleep: Sleep::Awake,
            nudged: false,
        }
    }

    /// Appends a unit that is not empty and takes its ropes. `now_ms` is the wall clock.
    #[inline]
    pub(crate) fn push(&mut self, unit: &mut Unit, now_ms: u64) -> Lsn {
        match unit.plain() {
            // Nothing frames it, as the log stands.
            Some((database, bytes)) if self.is_ready_for(database, bytes.len(), now_ms) => {
                self.open.bytes.extend_from_slice(bytes);
                self.end = self.end.plus(bytes.len() as u64);
                self.open.unit_end = Some(self.end);
            }
            _ => self.push_framed(unit, now_ms / 1000),
        }
        self.units += 1;
        self.end
    }

    /// Whether an effect on a database is appended as it is: without a SELECT or an annotation
    /// before it, and within the open chunk.
    #[inline]
    fn is_ready_for(&self, database: u32, len: usize, now_ms: u64) -> bool {
        self.database == Some(database)
            && len <= CHUNK_BYTES - self.open.bytes.len()
            && (!self.timestamps || self.annotated_s == Some(now_ms / 1000))
    }

    #[inline(never)]
    fn push_framed(&mut self, unit: &mut Unit, now_s: u64) {
        if self.timestamps && self.annotated_s.is_none_or(|last| now_s > last) {
            self.annotate(now_s);
        }
        // MULTI stands before SELECT, so that a torn file never ends between the two.
        let transaction = unit.effects() > 1;
        if transaction {
            self.put(MULTI);
        }
        let first = unit.first_database();
        if self.database != first {
            self.select(first.unwrap_or_default());
        }
        self.database = unit.last_database();
        self.put_unit(unit);
        if transaction {
            self.put(EXEC);
        }
        self.open.unit_end = Some(self.end);
        self.open.context = self.context();
    }

    /// The facts that hold behind the last unit.
    fn context(&self) -> Context {
        Context {
            database: self.database.unwrap_or_default(),
            time_s: self.annotated_s,
        }
    }

    fn put_unit(&mut self, unit: &mut Unit) {
        let (bytes, pieces) = unit.parts();
        let mut done = 0;
        for OutputPiece { at, piece } in pieces.drain(..) {
            self.put(&bytes[done..at]);
            self.put_piece(piece);
            done = at;
        }
        self.put(&bytes[done..]);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.end = self.end.plus(bytes.len() as u64);
        // A chunk has room for all its bytes from the start: this never allocates.
        if bytes.len() <= CHUNK_BYTES - self.open.bytes.len() {
            self.open.bytes.extend_from_slice(bytes);
        } else {
            self.put_split(bytes);
        }
    }

    #[cold]
    fn put_split(&mut self, mut bytes: &[u8]) {
        // `behind` follows the bytes, as each chunk says where it starts.
        let mut behind = self.end.get() - bytes.len() as u64;
        loop {
            let room = CHUNK_BYTES - self.open.bytes.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.open.bytes.extend_from_slice(now);
            behind += now.len() as u64;
            if later.is_empty() {
                return;
            }
            self.seal(Lsn::new(behind));
            bytes = later;
        }
    }

    fn put_piece(&mut self, piece: Piece) {
        if self.open.pieces.len() == CHUNK_PIECES {
            self.seal(self.end);
        }
        self.end = self.end.plus(piece.len() as u64);
        self.open.piece_bytes += piece.len() as u64;
        let at = self.open.bytes.len();
        self.open.pieces.push(OutputPiece { at, piece });
    }

    #[cold]
    fn select(&mut self, database: u32) {
        let mut command = Vec::with_capacity(32);
        select(database, &mut command);
        self.put(&command);
    }

    #[cold]
    fn annotate(&mut self, now_s: u64) {
        let now_s = now_s.max(self.latest_s);
        if self.annotated_s == Some(now_s) {
            return;
        }
        (self.annotated_s, self.latest_s) = (Some(now_s), now_s);
        let line = format!("#TS:{now_s}\r\n");
        self.put(line.as_bytes());
    }

    /// Says from which time on annotations may be written: the last one that the log has.
    pub(crate) fn set_latest_s(&mut self, latest_s: u64) {
        self.latest_s = self.latest_s.max(latest_s);
    }

    /// Ends the increment: what is appended from now on goes to a new one, maybe of a log with
    /// another id.
    pub(crate) fn rotate(&mut self, restarts: Option<LogId>) -> Lsn {
        if !self.open.is_empty() {
            self.seal(self.end);
        }
        // A second rotation without units in between is the first one.
        self.open.rotates = true;
        self.open.restarts = restarts.or(self.open.restarts);
        self.database = None;
        self.annotated_s = None;
        self.end
    }

    /// Whether an increment begins within what the writer has not taken yet.
    pub(crate) fn rotates(&self) -> bool {
        self.open.rotates || self.sealed.iter().any(|chunk| chunk.rotates)
    }

    /// Puts the open chunk, which ends at `end`, to the others.
    fn seal(&mut self, end: Lsn) {
        let fresh = self.fresh(end);
        let full = std::mem::replace(&mut self.open, fresh);
        self.sealed.push_back(full);
    }

    fn fresh(&mut self, start: Lsn) -> Chunk {
        let mut chunk = self.spares.pop().unwrap_or_else(Chunk::new);
        chunk.start = start;
        // Units that are not framed leave it as it is.
        chunk.context = self.context();
        chunk
    }

    /// How many units were appended in all.
    pub(crate) fn units(&self) -> u64 {
        self.units
    }

    /// Whether what was appended just now wakes the writer.
    #[inline]
    pub(crate) fn wakes(&self) -> bool {
        match self.sleep {
            Sleep::Awake => false,
            Sleep::UntilWork => true,
            Sleep::UntilMuch => self.has_much(),
            Sleep::UntilUnits(units) => self.units >= units || self.has_much(),
        }
    }

    /// Whether there is anything for the writer.
    pub(crate) fn has_work(&self) -> bool {
        self.nudged || !self.sealed.is_empty() || !self.open.is_empty() || self.open.rotates
    }

    /// Whether what is there is worth a write of its own.
    pub(crate) fn has_much(&self) -> bool {
        self.nudged || !self.sealed.is_empty() || self.open.rotates
    }

    /// Moves everything behind what `batch` has, and takes back chunks that are done.
    pub(crate) fn exchange(&mut self, batch: &mut VecDeque<Chunk>, done: &mut Vec<Chunk>) {
        self.nudged = false;
        // Chunks beyond the spares are left to the writer, which frees them without the lock.
        let wanted = SPARES.saturating_sub(self.spares.len());
        self.spares.extend(done.drain(..wanted.min(done.len())));
        batch.append(&mut self.sealed);
        if !self.open.is_empty() || self.open.rotates {
            let fresh = self.fresh(self.end);
            batch.push_back(std::mem::replace(&mut self.open, fresh));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvik_rope::Rope;

    fn unit(database: u32, effects: usize) -> Unit {
        let mut unit = Unit::new();
        for _ in 0..effects {
            unit.begin(database);
            unit.word(b"DEL");
            unit.word(b"a");
            unit.end();
        }
        unit
    }

    fn drain(queue: &mut Queue) -> (Vec<u8>, VecDeque<Chunk>) {
        let (mut batch, mut bytes) = (VecDeque::new(), Vec::new());
        queue.exchange(&mut batch, &mut Vec::new());
        for chunk in &batch {
            let mut slices = Vec::new();
            chunk.slices(chunk.start, &mut slices);
            assert_eq!(slices.concat().len() as u64, chunk.end().since(chunk.start));
            bytes.extend(slices.concat());
        }
        (bytes, batch)
    }

    const DEL: &str = "*2\r\n$3\r\nDEL\r\n$1\r\na\r\n";
    const SELECT_3: &str = "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n";

    #[test]
    fn units_are_framed_when_they_are_appended() {
        let mut queue = Queue::new(Lsn::new(100), false);
        queue.push(&mut unit(3, 1), 0);
        queue.push(&mut unit(3, 1), 0);
        let end = queue.push(&mut unit(3, 2), 0);
        let expected = format!(
            "{SELECT_3}{DEL}{DEL}{}{DEL}{DEL}{}",
            "*1\r\n$5\r\nMULTI\r\n", "*1\r\n$4\r\nEXEC\r\n"
        );
        let (bytes, batch) = drain(&mut queue);
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        assert_eq!(end, Lsn::new(100 + expected.len() as u64));
        assert_eq!(batch[0].unit_end, Some(end));
    }

    #[test]
    fn a_new_increment_selects_and_annotates_anew_and_time_never_goes_back() {
        let mut queue = Queue::new(Lsn::ZERO, true);
        queue.set_latest_s(50);
        for now_s in [40, 51, 51, 45] {
            queue.push(&mut unit(3, 1), now_s * 1000);
        }
        let before = queue.end;
        assert_eq!(queue.rotate(None), before);
        queue.push(&mut unit(3, 1), 47_000);
        let (bytes, batch) = drain(&mut queue);
        let first = format!("#TS:50\r\n{SELECT_3}{DEL}#TS:51\r\n{DEL}{DEL}{DEL}");
        let second = format!("#TS:51\r\n{SELECT_3}{DEL}");
        assert_eq!(String::from_utf8(bytes).unwrap(), first.clone() + &second);
        assert_eq!(
            batch.iter().map(|it| it.rotates).collect::<Vec<_>>(),
            [false, true]
        );
        assert_eq!(batch[1].start, Lsn::new(first.len() as u64));
    }

    #[test]
    fn a_rotation_without_appends_is_seen_by_the_writer() {
        let mut queue = Queue::new(Lsn::ZERO, false);
        assert!(!queue.has_work());
        queue.rotate(None);
        queue.rotate(None);
        assert!(queue.has_work());
        let (bytes, batch) = drain(&mut queue);
        assert!(bytes.is_empty() && batch.len() == 1 && batch[0].rotates);
        assert!(!queue.has_work());
    }

    #[test]
    fn large_units_lie_in_several_chunks_and_ropes_are_not_copied() {
        let mut queue = Queue::new(Lsn::ZERO, false);
        let text = vec![b'x'; 3 * CHUNK_BYTES];
        let rope = Rope::from(&vec![b'y'; 40 * (32 << 10)][..]);
        let mut unit = Unit::new();
        unit.begin(0);
        unit.word(&text);
        unit.rope(&rope);
        unit.end();
        let len = unit.len();
        let end = queue.push(&mut unit, 0);
        let (bytes, batch) = drain(&mut queue);
        let select = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n".len();
        assert_eq!(bytes.len(), len + select);
        assert_eq!(end, Lsn::new(bytes.len() as u64));
        assert!(batch.len() >= 5);
        let ends: Vec<_> = batch.iter().filter_map(|chunk| chunk.unit_end).collect();
        assert_eq!(ends, [end]);
        assert!(batch.iter().all(|chunk| chunk.bytes.len() <= CHUNK_BYTES));
        for (chunk, next) in batch.iter().zip(batch.iter().skip(1)) {
            assert_eq!(chunk.end(), next.start);
        }
    }

    #[test]
    fn slices_begin_anywhere() {
        let mut queue = Queue::new(Lsn::new(7), false);
        let mut unit = Unit::new();
        unit.begin(0);
        unit.rope(&Rope::from(&vec![b'y'; 20_000][..]));
        unit.end();
        queue.push(&mut unit, 0);
        let (bytes, batch) = drain(&mut queue);
        for skip in [0, 1, 30, 40, 5000, bytes.len() - 1, bytes.len()] {
            let mut slices = Vec::new();
            batch[0].slices(Lsn::new(7 + skip as u64), &mut slices);
            assert_eq!(slices.concat(), bytes[skip..]);
        }
    }
}
