//! Images as RDB writes them: collects what stripes hand over and encodes it.
//!
//! Each stripe has an [`ImageCollector`], and its sink puts there what the stripe hands over. Keys
//! with their values are encoded at once; large strings, lists and streams wait as they are, and
//! are encoded by whoever takes them, without the stripe. How many bytes wait in all collectors
//! together is counted in one place ([`ImageLoad`]).

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kvik_rdb::{Compression, Encoder, FileWriter};
use kvik_store::{ImageSink, KeyspaceId, SharedValue, TextRef, ValueRef, View};

use crate::save::{SavedUsage, ValueWriter, key_header, write_key};

/// Bytes of a large value that are written before the caller may flush.
const VALUE_PIECE: usize = 64 << 10;

/// How the keys of an image are written.
#[derive(Clone, Copy, Debug)]
pub struct ImageFormat {
    /// Whether strings are compressed.
    pub compression: Compression,
    /// What is told of how keys were used.
    pub usage: SavedUsage,
}

/// How many bytes wait in the collectors of an image.
#[derive(Debug, Default)]
pub struct ImageLoad(AtomicUsize);

/// What one stripe has handed over and nobody has written yet.
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
    /// The version that a file needs for them.
    version: u16,
    value: Option<SharedValue>,
}

/// The end of a collector that a stripe has.
#[derive(Debug)]
struct CollectorSink(Arc<ImageCollector>);

impl ImageLoad {
    /// Bytes that wait to be written. Large strings are counted as if they were encoded; the nodes
    /// of lists and streams, which their keys still share, are not.
    pub fn bytes(&self) -> usize {
        self.0.load(Relaxed)
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

    /// What a stripe is given.
    pub fn sink(self: &Arc<Self>) -> Box<dyn ImageSink> {
        Box::new(CollectorSink(Arc::clone(self)))
    }

    /// Takes out what has been handed over so far.
    pub fn take(&self) -> Vec<ImagePiece> {
        let pieces = std::mem::take(&mut *self.pieces());
        let bytes: usize = pieces.iter().map(ImagePiece::bytes).sum();
        self.load.0.fetch_sub(bytes, Relaxed);
        pieces
    }

    fn pieces(&self) -> MutexGuard<'_, Vec<ImagePiece>> {
        // A push that panics leaves whole pieces.
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ImagePiece {
    fn bytes(&self) -> usize {
        let shared = match self.value.as_ref().map(SharedValue::value) {
            Some(ValueRef::String(TextRef::Rope(rope))) => rope.len(),
            _ => 0,
        };
        self.keys.len() + shared
    }

    /// Appends the keys to a file, calling `flush` between parts of a large value.
    ///
    /// # Errors
    /// What `flush` answers. The file is of no use then.
    pub fn write<E>(
        &self,
        file: &mut FileWriter,
        mut flush: impl FnMut(&mut FileWriter) -> Result<(), E>,
    ) -> Result<(), E> {
        file.database(u64::from(self.database.0));
        file.append(&self.keys, self.version);
        if let Some(shared) = &self.value {
            let value = shared.value();
            let mut writer = ValueWriter::new(value);
            while !writer.write(value, VALUE_PIECE, &mut file.encoder()) {
                flush(file)?;
            }
        }
        flush(file)
    }
}

impl ImageSink for CollectorSink {
    fn entry(&mut self, database: KeyspaceId, view: &View<'_>) {
        let ImageFormat { compression, usage } = self.0.format;
        let mut pieces = self.0.pieces();
        // Keys of one database go on where the last have ended.
        let is_open = |last: &ImagePiece| last.database == database && last.value.is_none();
        if !pieces.last().is_some_and(is_open) {
            pieces.push(ImagePiece::new(database));
        }
        let piece = pieces.last_mut().expect("pushed above");
        let before = piece.keys.len();
        let mut encoder = Encoder::new(&mut piece.keys, compression);
        let version = write_key(view, usage, &mut encoder);
        piece.version = piece.version.max(version);
        let written = piece.keys.len() - before;
        self.0.load.0.fetch_add(written, Relaxed);
    }

    fn shared(&mut self, database: KeyspaceId, view: &View<'_>, value: SharedValue) {
        let ImageFormat { compression, usage } = self.0.format;
        let object = ValueWriter::new(value.value()).object();
        let mut piece = ImagePiece::new(database);
        let mut encoder = Encoder::new(&mut piece.keys, compression);
        encoder.key(&key_header(view, usage, object));
        piece.version = object.version();
        piece.value = Some(value);
        self.0.load.0.fetch_add(piece.bytes(), Relaxed);
        self.0.pieces().push(piece);
    }
}

impl ImagePiece {
    fn new(database: KeyspaceId) -> Self {
        Self {
            database,
            keys: Vec::new(),
            version: 0,
            value: None,
        }
    }
}
