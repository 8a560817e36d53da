//! The settings about files. Each is read where it acts; the server's configuration table writes
//! them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::RwLock;

/// When the log is forced to disk (`appendfsync`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum FsyncPolicy {
    /// Before a write is acknowledged.
    Always,
    /// Once a second.
    #[default]
    EverySecond,
    /// When the system likes.
    No,
}

/// One rule of `save`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveRule {
    /// Seconds since the last snapshot.
    pub seconds: u64,
    /// Changes since then, at least.
    pub changes: u64,
}

/// Where files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileNames {
    /// The directory of all files (`dir`).
    pub dir: PathBuf,
    /// The snapshot in it (`dbfilename`).
    pub snapshot: String,
    /// The log's directory in it (`appenddirname`).
    pub log_dir: String,
    /// How names of the log's files begin (`appendfilename`).
    pub log_stem: String,
    /// Below which directory BACKUP may write, if anywhere (`backup-dir`).
    pub backup_dir: Option<PathBuf>,
}

impl Default for FileNames {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("."),
            snapshot: "dump.rdb".to_owned(),
            log_dir: "appendonlydir".to_owned(),
            log_stem: "appendonly.aof".to_owned(),
            backup_dir: None,
        }
    }
}

/// The settings of saving and logging.
#[derive(Debug)]
pub struct FileSettings {
    /// Where files lie.
    pub names: RwLock<FileNames>,
    /// Whether a start loads the snapshot that it finds (`memory` does not).
    pub loads: AtomicBool,
    /// Whether effects are logged (`appendonly`).
    pub log: AtomicBool,
    fsync: AtomicU8,
    /// When snapshots are written by themselves (`save`).
    pub save_rules: RwLock<Vec<SaveRule>>,
    /// Whether writes are refused after a failed snapshot (`stop-writes-on-bgsave-error`).
    pub stop_writes: AtomicBool,
    /// Whether snapshots end with a checksum, and it is verified (`rdbchecksum`).
    pub checksum: AtomicBool,
    /// Whether a start goes on although the log's end is torn (`aof-load-truncated`).
    pub load_truncated: AtomicBool,
    /// Whether a rewritten log begins with a snapshot instead of commands (`aof-use-rdb-preamble`).
    pub snapshot_base: AtomicBool,
    /// Whether the log notes the time (`aof-timestamp-enabled`).
    pub timestamps: AtomicBool,
    /// Growth in percent that starts a rewrite (`auto-aof-rewrite-percentage`); 0 is never.
    pub rewrite_percent: AtomicU64,
    /// Size below which the log is not rewritten by itself (`auto-aof-rewrite-min-size`).
    pub rewrite_min_bytes: AtomicU64,
    /// Bytes of superseded log files that are kept (`log-retention-bytes`); 0 is none.
    pub retention_bytes: AtomicU64,
    /// Seconds for which they are kept (`log-retention-age`); 0 is no limit.
    pub retention_age_s: AtomicU64,
    /// Bytes that may wait for a snapshot to write them (`snapshot-buffer-limit`).
    pub image_bytes: AtomicU64,
    /// Microseconds that a snapshot waits for each key it has written (`rdb-key-save-delay`), so
    /// that tests find it in progress.
    pub image_delay_us: AtomicU64,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self {
            names: RwLock::default(),
            loads: AtomicBool::new(true),
            log: AtomicBool::new(false),
            fsync: AtomicU8::new(FsyncPolicy::default() as u8),
            save_rules: RwLock::default(),
            stop_writes: AtomicBool::new(true),
            checksum: AtomicBool::new(true),
            load_truncated: AtomicBool::new(true),
            snapshot_base: AtomicBool::new(true),
            timestamps: AtomicBool::new(false),
            rewrite_percent: AtomicU64::new(100),
            rewrite_min_bytes: AtomicU64::new(64 << 20),
            retention_bytes: AtomicU64::new(0),
            retention_age_s: AtomicU64::new(0),
            image_bytes: AtomicU64::new(16 << 20),
            image_delay_us: AtomicU64::new(0),
        }
    }
}

impl FileSettings {
    /// When the log is forced to disk.
    pub fn fsync(&self) -> FsyncPolicy {
        match self.fsync.load(Ordering::Relaxed) {
            0 => FsyncPolicy::Always,
            1 => FsyncPolicy::EverySecond,
            _ => FsyncPolicy::No,
        }
    }

    /// Whether the log notes the time: as configured, or because it is kept to go back to any
    /// second.
    pub fn wants_timestamps(&self) -> bool {
        self.timestamps.load(Ordering::Relaxed) || self.retention_bytes.load(Ordering::Relaxed) > 0
    }

    /// How long superseded log files are kept, in milliseconds.
    pub fn retention_age_ms(&self) -> u64 {
        match self.retention_age_s.load(Ordering::Relaxed) {
            0 => u64::MAX,
            seconds => seconds.saturating_mul(1000),
        }
    }

    /// Sets when the log is forced to disk.
    pub fn set_fsync(&self, policy: FsyncPolicy) {
        self.fsync.store(policy as u8, Ordering::Relaxed);
    }
}
