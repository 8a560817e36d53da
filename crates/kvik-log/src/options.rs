//! How a log is kept.

use std::path::PathBuf;

/// When what has been written is made durable: `appendfsync`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// After every write; one fsync acknowledges all units that were written together.
    Always,
    /// Every second: a loss of power takes at most what was appended in the last second and during
    /// one fsync.
    #[default]
    EverySecond,
    /// When the operating system likes.
    No,
}

/// How a log is kept, and where.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The directory of the database.
    pub dir: PathBuf,
    /// The directory of the log's files, in `dir`: `appenddirname`.
    pub append_dir_name: String,
    /// The beginning of the names of the log's files: `appendfilename`.
    pub append_file_name: String,
    /// When to fsync, at first.
    pub policy: SyncPolicy,
    /// Whether units are annotated with the second in which they were appended:
    /// `aof-timestamp-enabled`.
    pub timestamps: bool,
    /// Whether a log whose end is torn or corrupt is loaded up to there: `aof-load-truncated`.
    pub load_truncated: bool,
    /// How many bytes at the end of the log may be dropped because they are corrupt, and not only
    /// torn off. More is taken for damage that an interruption cannot cause.
    pub corrupt_tail_bytes: u64,
    /// Bytes that may wait to be written before writers are set aside.
    pub buffer_bytes: u64,
    /// Bytes of superseded files that are kept: `log-retention-bytes`.
    pub retention_bytes: u64,
    /// How long superseded files are kept, in milliseconds: `log-retention-age`.
    pub retention_age_ms: u64,
    /// Bytes for the log's id, should it need a new one. They must be random.
    pub random_id: [u8; 20],
}

impl LogOptions {
    /// The defaults, for a database in `dir`.
    pub fn new(dir: impl Into<PathBuf>, random_id: [u8; 20]) -> Self {
        Self {
            dir: dir.into(),
            append_dir_name: "appendonlydir".to_owned(),
            append_file_name: "appendonly.aof".to_owned(),
            policy: SyncPolicy::default(),
            timestamps: false,
            load_truncated: true,
            corrupt_tail_bytes: 64 << 20,
            buffer_bytes: 32 << 20,
            retention_bytes: 0,
            retention_age_ms: 0,
            random_id,
        }
    }

    /// The directory of the log's files.
    pub fn append_dir(&self) -> PathBuf {
        self.dir.join(&self.append_dir_name)
    }

    /// The path of the manifest.
    pub fn manifest_path(&self) -> PathBuf {
        let name = format!("{}.manifest", self.append_file_name);
        self.append_dir().join(name)
    }
}

/// The format of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseFormat {
    /// An RDB file.
    Rdb,
    /// Commands.
    Resp,
}

impl BaseFormat {
    /// The suffix of such a file's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Rdb => "rdb",
            Self::Resp => "aof",
        }
    }
}
