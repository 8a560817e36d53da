//! Images as RDB writes them: collects what stripes hand over and encodes it.
//!
//! Each stripe has an [`ImageCollector`], and its sink puts there what the stripe hands over. Keys
//! with their values are encoded at once; large strings, lists and streams wait as they are, and
//! are encoded by whoever takes them, without the stripe. The members of a large hash, set or
//! sorted set come over time, and whoever writes its key has the stripe go on until all have come
//! ([`MemberQueue`]). How many bytes wait in all collectors together is counted in one place
//! ([`ImageLoad`]).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kvik_rdb::{Compression, Encoder, FileWriter, ObjectType};
use kvik_store::{
    Field, ImageSink, KeyspaceId, MemberSink, SharedValue, StringRef, TextRef, UnixMs, ValueRef,
    View,
};

use crate::save::{
    SavedUsage, ValueWriter, key_header, table_type, write_field, write_key, write_member,
    write_scored,
};

/// Bytes of a large value that are written before the caller may flush.
const VALUE_PIECE: usize = 64 << 10;

/// How the keys of an image are written.
#[derive(Clone, Copy, Debug)]
pub struct ImageFormat {
    /// Whether strings are compressed.
    pub compression: Compression,
    /// The usage data that the file carries for each key.
    pub usage: SavedUsage,
}

/// How far an image is: how many bytes wait in its collectors, and how many keys are written.
#[derive(Debug, Default)]
pub struct ImageLoad {
    bytes: AtomicUsize,
    keys: AtomicU64,
}

/// The records that one stripe has handed over and nobody has written yet.
#[derive(Debug)]
pub struct ImageCollector {
    format: ImageFormat,
    load: Arc<ImageLoad>,
    pieces: Mutex<Vec<ImagePiece>>,
}

/// Part of an image; the order of parts is free.
#[derive(Debug)]
pub struct ImagePiece {
    database: KeyspaceId,
    /// Keys with their values, or one key whose value follows.
    keys: Vec<u8>,
    key_count: u64,
    /// The version that a file needs for them.
    version: u16,
    value: PieceValue,
}

/// The value of the last key of a piece, where it is not among its bytes.
#[derive(Debug)]
enum PieceValue {
    /// It is.
    Whole,
    Shared(SharedValue),
    Members(Arc<MemberQueue>),
}

/// Members of one large collection that have been handed over, encoded, and that wait to be
/// written.
#[derive(Debug)]
struct MemberQueue {
    object: ObjectType,
    compression: Compression,
    load: Arc<ImageLoad>,
    members: Mutex<QueuedMembers>,
}

#[derive(Debug, Default)]
struct QueuedMembers {
    bytes: Vec<u8>,
    /// No more will come.
    is_complete: bool,
}

/// The end of a collector that a stripe has.
#[derive(Debug)]
struct CollectorSink(Arc<ImageCollector>);

/// The end of a queue that the image of a collection has.
#[derive(Debug)]
struct QueueSink(Arc<MemberQueue>);

impl ImageLoad {
    /// Bytes that wait to be written. Large strings are counted as if they were encoded; the nodes
    /// of lists and streams, which their keys still share, are not.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Keys that have been written.
    pub fn keys(&self) -> u64 {
        self.keys.load(Relaxed)
    }

    /// Counts the keys of a piece that has been written.
    pub fn note_written(&self, piece: &ImagePiece) {
        self.keys.fetch_add(piece.key_count(), Relaxed);
    }
}

impl ImageCollector {
    /// An empty one, whose bytes count to `load`.
    pub fn new(format: ImageFormat, load: &Arc<ImageLoad>) -> Arc<Self> {
        Arc::new(Self {
            format,
            load: Arc::clone(load),
            pieces: Mutex::default(),
        })
    }

    /// A new handle through which a stripe hands its records over.
    pub fn sink(self: &Arc<Self>) -> Box<dyn ImageSink> {
        Box::new(CollectorSink(Arc::clone(self)))
    }

    /// Takes out what has been handed over so far.
    pub fn take(&self) -> Vec<ImagePiece> {
        let pieces = std::mem::take(&mut *self.pieces());
        let bytes: usize = pieces.iter().map(ImagePiece::bytes).sum();
        self.load.bytes.fetch_sub(bytes, Relaxed);
        pieces
    }

    fn push(&self, piece: ImagePiece) {
        self.load.bytes.fetch_add(piece.bytes(), Relaxed);
        self.pieces().push(piece);
    }

    fn pieces(&self) -> MutexGuard<'_, Vec<ImagePiece>> {
        // A push that panics leaves whole pieces.
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ImagePiece {
    /// How many keys it has.
    pub fn key_count(&self) -> u64 {
        self.key_count
    }

    fn bytes(&self) -> usize {
        let shared = match &self.value {
            PieceValue::Shared(value) => match value.value() {
                ValueRef::String(TextRef::Rope(rope)) => rope.len(),
                _ => 0,
            },
            PieceValue::Whole | PieceValue::Members(_) => 0,
        };
        self.keys.len() + shared
    }

    /// Appends the keys to a file, calling `flush` between parts of a large value. Where members
    /// of its collection are still to come, `proceed` has the stripe hand over some more.
    ///
    /// # Errors
    /// The first error of `flush` or `proceed`. The file is of no use then.
    pub fn write<E>(
        &self,
        file: &mut FileWriter,
        mut flush: impl FnMut(&mut FileWriter) -> Result<(), E>,
        mut proceed: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        file.database(u64::from(self.database.0));
        file.append(&self.keys, self.version);
        match &self.value {
            PieceValue::Whole => {}
            PieceValue::Shared(shared) => {
                let value = shared.value();
                let mut writer = ValueWriter::new(value);
                while !writer.write(value, VALUE_PIECE, &mut file.encoder()) {
                    flush(file)?;
                }
            }
            PieceValue::Members(queue) => {
                while !queue.write(file) {
                    flush(file)?;
                    proceed()?;
                }
            }
        }
        flush(file)
    }
}

impl MemberQueue {
    /// Appends what waits to a file, and says whether that is all.
    fn write(&self, file: &mut FileWriter) -> bool {
        let mut members = self.members();
        file.append(&members.bytes, 0);
        self.load.bytes.fetch_sub(members.bytes.len(), Relaxed);
        members.bytes.clear();
        members.is_complete
    }

    /// Encodes one member.
    fn encode(&self, write: impl FnOnce(ObjectType, &mut Encoder<'_>)) {
        let mut members = self.members();
        let before = members.bytes.len();
        write(
            self.object,
            &mut Encoder::new(&mut members.bytes, self.compression),
        );
        let written = members.bytes.len() - before;
        self.load.bytes.fetch_add(written, Relaxed);
    }

    fn members(&self) -> MutexGuard<'_, QueuedMembers> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemberSink for QueueSink {
    fn field(&mut self, field: &Field<'_>) {
        self.0
            .encode(|object, encoder| write_field(field, object, encoder));
    }

    fn member(&mut self, name: StringRef<'_>, expire_at: Option<UnixMs>) {
        self.0
            .encode(|object, encoder| write_member(name, expire_at, object, encoder));
    }

    fn scored(&mut self, name: StringRef<'_>, score: f64, expire_at: Option<UnixMs>) {
        self.0
            .encode(|object, encoder| write_scored(name, score, expire_at, object, encoder));
    }

    fn end(&mut self) {
        self.0.members().is_complete = true;
    }
}

/// Bytes that are never written are not waited for any more.
impl Drop for MemberQueue {
    fn drop(&mut self) {
        let left = self.members().bytes.len();
        self.load.bytes.fetch_sub(left, Relaxed);
    }
}

impl ImageSink for CollectorSink {
    fn entry(&mut self, database: KeyspaceId, view: &View<'_>) {
        let ImageFormat { compression, usage } = self.0.format;
        let mut pieces = self.0.pieces();
        // Keys of one database go on where the last have ended.
        let is_open = |last: &ImagePiece| {
            last.database == database && matches!(last.value, PieceValue::Whole)
        };
        if !pieces.last().is_some_and(is_open) {
            pieces.push(ImagePiece::new(database));
        }
        let piece = pieces.last_mut().expect("pushed above");
        let before = piece.keys.len();
        let mut encoder = Encoder::new(&mut piece.keys, compression);
        let version = write_key(view, usage, &mut encoder);
        piece.version = piece.version.max(version);
        piece.key_count += 1;
        let written = piece.keys.len() - before;
        self.0.load.bytes.fetch_add(written, Relaxed);
    }

    fn shared(&mut self, database: KeyspaceId, view: &View<'_>, value: SharedValue) {
        let ImageFormat { compression, usage } = self.0.format;
        let object = ValueWriter::new(value.value()).object();
        let mut piece = ImagePiece::new(database);
        let mut encoder = Encoder::new(&mut piece.keys, compression);
        encoder.key(&key_header(view, usage, object));
        piece.version = object.version();
        piece.key_count = 1;
        piece.value = PieceValue::Shared(value);
        self.0.push(piece);
    }

    fn table(
        &mut self,
        database: KeyspaceId,
        view: &View<'_>,
        len: usize,
        expires: bool,
    ) -> Box<dyn MemberSink> {
        let ImageFormat { compression, usage } = self.0.format;
        let object = table_type(view.kind(), expires);
        let mut piece = ImagePiece::new(database);
        let mut encoder = Encoder::new(&mut piece.keys, compression);
        encoder.key(&key_header(view, usage, object));
        encoder.count(len);
        let queue = Arc::new(MemberQueue {
            object,
            compression,
            load: Arc::clone(&self.0.load),
            members: Mutex::default(),
        });
        piece.version = object.version();
        piece.key_count = 1;
        piece.value = PieceValue::Members(Arc::clone(&queue));
        self.0.push(piece);
        Box::new(QueueSink(queue))
    }
}

impl ImagePiece {
    fn new(database: KeyspaceId) -> Self {
        Self {
            database,
            keys: Vec::new(),
            key_count: 0,
            version: 0,
            value: PieceValue::Whole,
        }
    }
}
