//! Writes all keys, as they are at one moment, to a file: a snapshot, or the base of the log.
//!
//! The file is written under another name, made durable, and only then takes the name of the one it
//! replaces. So a crash leaves the old file or the new one. The moment is the cut: all stripes are
//! held, the log is told, and from then on a change of a key first hands over what the file still
//! lacks of it ([`kvik_store::Stripe::begin_image`]). This thread walks through the rest, holding
//! one stripe at a time for some 20 us, and writes while it holds none.
//!
//! Memory: a bit for a dozen keys, and what has been handed over but not written yet. When that is
//! more than `snapshot-buffer-limit`, no write begins before some of it is written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kvik_command::REDIS_VERSION;
use kvik_command::image::{ImageCollector, ImageFormat, ImageLoad, ImagePiece};
use kvik_command::save::SavedUsage;
use kvik_log::{Disk, DiskWriter, write_all};
use kvik_rdb::{Compression, FileInfo, FileWriter};
use kvik_store::{AccessPolicy, KeyspaceId, Stripe, Stripes};

use crate::shared::Shared;
use crate::stripes::{HeldMany, Patience};

/// Bytes that are gathered before they are written.
const PIECE: usize = 256 << 10;

/// Small entries that a stripe hands over while it is held once: about 20 us.
const SLICE: usize = 128;

/// A delay is looked at again after so many microseconds.
const LONGEST_STEP_US: u64 = 10_000;

/// Namespaces of a stripe that are prepared while it is held once.
const NAMESPACES_AT_ONCE: usize = 512;

/// Why there is no image.
#[derive(Debug)]
pub(super) enum ImageError {
    /// The disk refuses it.
    Io(io::Error),
    /// It was given up.
    Cancelled,
}

impl From<io::Error> for ImageError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for ImageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Cancelled => f.write_str("it was given up"),
        }
    }
}

/// An image that is being written.
pub(super) struct Image<'d> {
    disk: &'d dyn Disk,
    path: PathBuf,
    file: Box<dyn DiskWriter>,
    writer: FileWriter,
    compression: Compression,
}

impl<'d> Image<'d> {
    /// Creates the file, in place of one that an earlier attempt has left.
    pub(super) fn create(
        disk: &'d dyn Disk,
        path: &Path,
        shared: &Shared,
        is_base: bool,
    ) -> io::Result<Self> {
        let settings = &shared.engine.settings;
        let compression = if settings.rdb_compression.load(Relaxed) {
            Compression::Lzf
        } else {
            Compression::Off
        };
        let mut writer = FileWriter::new(compression, settings.files.checksum.load(Relaxed));
        writer.info(&FileInfo {
            redis_version: REDIS_VERSION,
            time_s: shared.now_ms() / 1000,
            used_bytes: 0,
            is_aof_base: is_base,
        });
        Ok(Self {
            disk,
            path: path.to_owned(),
            file: disk.create(path)?,
            writer,
            compression,
        })
    }

    /// Says how many keys there are, about, so that whoever reads the file can prepare for them.
    fn announce_sizes(&mut self, shared: &Shared) {
        for database in 0..shared.engine.settings.databases.load(Relaxed) {
            let sizes = shared.engine.totals.keyspace(KeyspaceId(database as u32));
            if sizes.keys > 0 {
                self.writer.database(database);
                self.writer.sizes(sizes.keys, sizes.volatile);
            }
        }
    }

    /// Writes what has been handed over, flushing what has been gathered when that is worth a call.
    /// While some of it is still to come, `proceed` has its stripe hand over more.
    fn write(
        &mut self,
        piece: &ImagePiece,
        proceed: impl FnMut() -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let file = &mut *self.file;
        let flush = |writer: &mut FileWriter| {
            if writer.waiting() < PIECE {
                return Ok(());
            }
            Ok(writer.take(|bytes| write_all(file, bytes))?)
        };
        piece.write(&mut self.writer, flush, proceed)
    }

    /// Writes the rest and makes the file durable. Returns its length.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        let file = &mut *self.file;
        self.writer.take(|bytes| write_all(file, bytes))?;
        let taken = self.writer.len();
        let tail = self.writer.finish();
        write_all(file, &tail.bytes)?;
        // Which version it needs has turned out with its last key.
        if let Some(header) = tail.header {
            self.disk.overwrite(&self.path, 0, &header)?;
        }
        file.sync()?;
        Ok(taken + tail.bytes.len() as u64)
    }
}

/// Writes all keys as they are at the cut, at which `cut` is called with all stripes held. Returns
/// the file's length and what `cut` returned.
pub(super) fn write_image<T>(
    shared: &Shared,
    mut image: Image<'_>,
    is_cancelled: &dyn Fn() -> bool,
    cut: impl FnOnce(&HeldMany<'_>) -> T,
) -> Result<(u64, T), ImageError> {
    // Who changes functions holds all stripes, too.
    let cut = |held: &HeldMany<'_>| {
        let stripes = (0..shared.stripes.len()).map(|index| held.held(index));
        let blessed: Vec<_> = stripes.flat_map(Stripe::blessed_keys).collect();
        (shared.engine.scripts.functions(), blessed, cut(held))
    };
    let (walk, (functions, blessed, result)) = Walk::begin(shared, image.compression, cut);
    for (database, key) in &blessed {
        image.writer.blessed(u64::from(database.0), key);
    }
    for library in functions.libraries() {
        image.writer.function(&library.source);
    }
    image.announce_sizes(shared);
    for index in 0..shared.stripes.len() {
        loop {
            let more = walk.hand_over_slice(index);
            if is_cancelled() {
                return Err(ImageError::Cancelled);
            }
            // What writers handed over counts too. Where that is too much, writes are put off.
            shared.image_queue.note();
            if walk.load.bytes() >= PIECE {
                walk.write_collected(&mut image, is_cancelled)?;
            }
            if !more {
                break;
            }
            shared.stripes.give_way(index);
        }
    }
    walk.write_collected(&mut image, is_cancelled)?;
    drop(walk);
    Ok((image.finish()?, result))
}

/// The walk through all stripes between the cut and the end of the image.
struct Walk<'s> {
    shared: &'s Shared,
    /// By stripe.
    collectors: Vec<Arc<ImageCollector>>,
    load: Arc<ImageLoad>,
}

impl<'s> Walk<'s> {
    /// Makes the cut.
    fn begin<T>(
        shared: &'s Shared,
        compression: Compression,
        cut: impl FnOnce(&HeldMany<'_>) -> T,
    ) -> (Self, T) {
        let usage = usage(shared);
        let format = ImageFormat { compression, usage };
        let access = shared.engine.settings.access_policy();
        let load = Arc::<ImageLoad>::default();
        let new = |_| ImageCollector::new(format, &load);
        let collectors: Vec<_> = (0..shared.stripes.len()).map(new).collect();
        if shared.stripes.layout.namespaces().is_some() {
            prepare(shared);
        }
        let held = shared.stripes.lock_all(Patience::Wait);
        let mut held = held.expect("a patient lock succeeds");
        let now = shared.now_ms();
        for (index, collector) in collectors.iter().enumerate() {
            held.stripe(index)
                .begin_image(collector.sink(), now, access);
        }
        let keys = shared.engine.totals.all().keys;
        shared.image_queue.begin(&load, keys);
        shared.set_imaged(true);
        let result = cut(&held);
        drop(held);
        let walk = Self {
            shared,
            collectors,
            load,
        };
        (walk, result)
    }

    /// Holds a stripe for about 20 us, and says whether it has more to hand over.
    fn hand_over_slice(&self, index: usize) -> bool {
        let held = self.shared.stripes.lock(index, Patience::Wait);
        let mut held = held.expect("a patient lock succeeds");
        held.stripe_mut()
            .image_slice(&self.shared.stripes.layout, SLICE)
    }

    /// Writes what has been handed over so far, and the rest of the collections that have been
    /// begun.
    fn write_collected(
        &self,
        image: &mut Image<'_>,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<(), ImageError> {
        for (index, collector) in self.collectors.iter().enumerate() {
            let proceed = || {
                if is_cancelled() {
                    return Err(ImageError::Cancelled);
                }
                self.hand_over_slice(index);
                self.shared.image_queue.note();
                self.shared.stripes.give_way(index);
                Ok(())
            };
            for piece in collector.take() {
                image.write(&piece, proceed)?;
                self.load.note_written(&piece);
                self.delay(piece.key_count(), is_cancelled)?;
            }
        }
        Ok(())
    }
}

impl Walk<'_> {
    /// Waits for as long as is set for so many keys. Nothing is held meanwhile.
    fn delay(&self, keys: u64, is_cancelled: &dyn Fn() -> bool) -> Result<(), ImageError> {
        // Where there are no threads, nobody else could use the time.
        if !self.shared.has_threads() {
            return Ok(());
        }
        let delay_us = &self.shared.engine.settings.files.image_delay_us;
        let mut passed_us = 0;
        // The setting may change, and the image be given up, while it waits.
        while passed_us < keys.saturating_mul(delay_us.load(Relaxed)) {
            if is_cancelled() {
                return Err(ImageError::Cancelled);
            }
            let step_us = delay_us.load(Relaxed).clamp(1, LONGEST_STEP_US);
            std::thread::park_timeout(Duration::from_micros(step_us));
            passed_us += step_us;
        }
        Ok(())
    }
}

/// Prepares all stripes, each in slices, since each may have thousands of namespaces.
fn prepare(shared: &Shared) {
    for index in 0..shared.stripes.len() {
        let mut next = Some(0);
        while let Some(from) = next {
            let held = shared.stripes.lock(index, Patience::Wait);
            let mut held = held.expect("a patient lock succeeds");
            next = held.stripe_mut().prepare_image(from, NAMESPACES_AT_ONCE);
            drop(held);
            if next.is_some() {
                shared.stripes.give_way(index);
            }
        }
    }
}

impl Drop for Walk<'_> {
    /// Ends the image in every stripe, also when it was given up.
    fn drop(&mut self) {
        self.shared.set_imaged(false);
        self.shared.image_queue.end();
        let stripes = &self.shared.stripes;
        for index in 0..stripes.len() {
            let held = stripes.lock(index, Patience::Wait);
            let mut held = held.expect("a patient lock succeeds");
            held.stripe_mut().end_image();
        }
    }
}

/// The figure that a file tells of the use of its keys, by which the eviction policy goes.
pub(super) fn usage(shared: &Shared) -> SavedUsage {
    match shared.engine.settings.access_policy() {
        AccessPolicy::Recency | AccessPolicy::Modification | AccessPolicy::Read => {
            SavedUsage::Nothing
        }
        AccessPolicy::Frequency { .. } | AccessPolicy::Queue | AccessPolicy::Hits => {
            SavedUsage::Frequency
        }
    }
}
