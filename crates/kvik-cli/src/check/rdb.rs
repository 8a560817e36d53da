//! Snapshots: header, records, values and checksum.
//!
//! Every value is built in an empty store of this process, by RESTORE, which finds whatever a
//! server would find when it loads the file: contradictory packed bytes, members twice, keys twice.
//! Only the name of a key stays there, so memory grows with the names and not with the values.

use std::io::{self, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use kvik::{Connection, Db};
use kvik_log::DiskReader;
use kvik_rdb::{
    Corrupt, FILE_FORMAT, FileError, IntText, KeyRecord, Record, Splitter, Value, seal,
};

use super::report::count;
use super::servers::Servers;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

/// The version of payloads for RESTORE with types of Redis, and of Valkey.
const REDIS_PAYLOAD: u16 = 12;
const VALKEY_PAYLOAD: u16 = 80;

/// The contents of a snapshot that is sound.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Its length, up to the end of its checksum.
    pub(super) bytes: u64,
    /// The version in its header.
    pub(super) version: u16,
    /// Who wrote it, as far as it says.
    pub(super) writer: String,
    /// Its keys, those that expire, and those whose time has come.
    pub(super) keys: u64,
    pub(super) expiring: u64,
    pub(super) overdue: u64,
    /// Databases that have keys.
    pub(super) databases: u64,
    /// Libraries of functions.
    pub(super) functions: u64,
    /// Collections without elements, which servers pass over.
    pub(super) empty: u64,
    /// Whether there was a checksum.
    pub(super) is_checked: bool,
    /// Who can load it.
    pub(super) servers: Servers,
}

/// Why a snapshot is not sound.
#[derive(Debug)]
pub(super) enum SnapshotFault {
    /// It cannot be read.
    Io(io::Error),
    /// It is damaged here.
    At { offset: u64, reason: String },
}

impl From<io::Error> for SnapshotFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FileError> for SnapshotFault {
    fn from(error: FileError) -> Self {
        Self::At {
            offset: error.offset,
            reason: error.fault.to_string(),
        }
    }
}

impl std::fmt::Display for SnapshotFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::At { offset, reason } => write!(f, "{reason}, at offset {offset}"),
        }
    }
}

/// Reads the snapshot at the start of a file to its end.
pub(super) fn read(source: &mut dyn DiskReader) -> Result<Snapshot, SnapshotFault> {
    let mut splitter = Splitter::new(true);
    let mut reading = Reading::new();
    let mut buffer = Vec::new();
    while !splitter.is_done() {
        // A record that is longer than the buffer lets it grow by what arrives, not by what the
        // record announces.
        let before = buffer.len();
        (&mut *source).take(BLOCK as u64).read_to_end(&mut buffer)?;
        if buffer.len() == before {
            return Err(splitter.cut_off(before).into());
        }
        let consumed = reading.block(&mut splitter, &buffer)?;
        buffer.drain(..consumed);
    }
    Ok(reading.finish(&splitter))
}

/// The state of reading one file.
struct Reading {
    /// An empty store, but for the names of the keys so far.
    scratch: Connection,
    payload: Vec<u8>,
    database: u64,
    /// Whether the database has had a key.
    is_used: bool,
    now_ms: u64,
    found: Snapshot,
}

impl Reading {
    fn new() -> Self {
        let found = Snapshot {
            bytes: 0,
            version: 0,
            writer: "an unknown server".to_owned(),
            keys: 0,
            expiring: 0,
            overdue: 0,
            databases: 0,
            functions: 0,
            empty: 0,
            is_checked: false,
            servers: Servers::default(),
        };
        Self {
            scratch: Db::memory().connect(),
            payload: Vec::new(),
            database: 0,
            is_used: false,
            now_ms: now_ms(),
            found,
        }
    }

    /// Takes the whole records in `buffer`, and returns how many bytes they are.
    fn block(&mut self, splitter: &mut Splitter, buffer: &[u8]) -> Result<usize, SnapshotFault> {
        let start = splitter.offset();
        let mut records = splitter.split(buffer);
        while let Some(record) = records.next() {
            let span = records.span();
            let at = |reason: String| SnapshotFault::At {
                offset: start + span.start as u64,
                reason,
            };
            match record? {
                Record::Key(record) => self.key(record, &buffer[span.clone()]).map_err(at)?,
                Record::Aux(name, text) => {
                    let (name, text) = (name.into_bytes(), text.into_bytes());
                    self.aux(&name, &text).map_err(at)?;
                }
                Record::Database(database) => {
                    (self.database, self.is_used) = (database, false);
                }
                Record::Function(_) => {
                    self.found.functions += 1;
                    self.found.servers.need_function();
                }
                Record::Passed(code) if code == MODULE_AUX => self.found.servers.need_module(),
                Record::Sizes { .. } | Record::Passed(_) => {}
                Record::End { is_checked } => self.found.is_checked = is_checked,
            }
        }
        Ok(records.consumed())
    }

    fn aux(&mut self, name: &[u8], text: &[u8]) -> Result<(), String> {
        let shown = String::from_utf8_lossy(text);
        match name {
            // A later one names the writer better: Valkey and kvik state a version of Redis too.
            b"redis-ver" => self.found.writer = format!("Redis {shown}"),
            b"valkey-ver" => self.found.writer = format!("Valkey {shown}"),
            b"kvik-format" => {
                self.found.writer = "kvik".to_owned();
                let format = shown.parse::<u64>().unwrap_or(u64::MAX);
                if format > FILE_FORMAT {
                    return Err(format!("format {shown} is that of a later version of kvik"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn key(&mut self, mut record: KeyRecord<'_>, bytes: &[u8]) -> Result<(), String> {
        let (object, len) = (record.header.object, record.unread());
        let mut room = IntText::default();
        let name = record.header.key.clone();
        let name = name.bytes(&mut room);
        let shown = |fault: &str| {
            let database = self.database;
            format!(
                "{fault}, in key \"{}\" of database {database}",
                name.escape_ascii()
            )
        };
        match elements(&mut record) {
            Err(Corrupt::Empty) => {
                self.found.empty += 1;
                return Ok(());
            }
            Err(corrupt) => return Err(shown(&corrupt.to_string())),
            Ok(()) => {}
        }
        // What shares its names with others is no value by itself.
        if object.is_shaped() {
            self.count(&record);
            return Ok(());
        }
        // RESTORE takes one value: its type, its bytes, and the envelope of DUMP.
        self.payload.clear();
        self.payload.push(object.code());
        self.payload.extend_from_slice(&bytes[bytes.len() - len..]);
        // The code 22 alone means two types, which the version of the payload tells apart.
        let payload_version = if object.version() < VALKEY_PAYLOAD {
            REDIS_PAYLOAD
        } else {
            VALKEY_PAYLOAD
        };
        seal(&mut self.payload, payload_version);
        // One database of the scratch store holds the keys of all.
        let unique = [self.database.to_string().as_bytes(), b":", name].concat();
        let restored = self
            .scratch
            .run(&[&b"RESTORE"[..], &unique, b"0", &self.payload]);
        if let Some(error) = restored.as_error() {
            return Err(shown(if error.starts_with("BUSYKEY") {
                "a key twice in one database"
            } else {
                "a contradictory value, or a member twice"
            }));
        }
        self.scratch.run(&[&b"SET"[..], &unique, b""]);
        self.count(&record);
        Ok(())
    }

    fn count(&mut self, record: &KeyRecord<'_>) {
        self.found.keys += 1;
        let expire_at = record.header.expire_at;
        self.found.expiring += u64::from(expire_at.is_some());
        self.found.overdue += u64::from(expire_at.is_some_and(|at_ms| at_ms < self.now_ms));
        self.found.databases += u64::from(!self.is_used);
        self.is_used = true;
        self.found.servers.need_type(record.header.object);
    }

    fn finish(mut self, splitter: &Splitter) -> Snapshot {
        self.found.bytes = splitter.offset();
        self.found.version = splitter.version().unwrap_or(0);
        let header = Servers::of_header(self.found.version);
        self.found.servers.and(&header);
        self.found
    }
}

#[expect(clippy::disallowed_methods, reason = "a file tells when keys expire")]
fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |passed| passed.as_millis() as u64)
}

/// The opcode of a module's data besides its values.
const MODULE_AUX: u8 = 247;

/// Reads all elements of a value, which names the fault where RESTORE says only that there is one.
fn elements(record: &mut KeyRecord<'_>) -> Result<(), Corrupt> {
    match record.value()? {
        Value::String(_) => Ok(()),
        Value::List(parts) => each(parts),
        Value::Set(kvik_rdb::Set::Members(members)) => each(members),
        Value::SortedSet(kvik_rdb::SortedSet::Members(members)) => each(members),
        Value::SortedSet(kvik_rdb::SortedSet::Ziplist(members)) => each(members.scored()),
        Value::Hash(kvik_rdb::Hash::Fields(fields)) => each(fields),
        Value::Hash(kvik_rdb::Hash::Shaped(fields)) => each(fields),
        Value::Stream(parts) => each(parts),
        Value::Array(parts) => each(parts),
        Value::Bitmap(bitmap) => bitmap.for_each_part(|_, _| {}),
        // Packed bytes are validated by the store.
        Value::Set(_) | Value::SortedSet(_) | Value::Hash(_) => Ok(()),
    }
}

fn each<T>(mut elements: impl Iterator<Item = Result<T, Corrupt>>) -> Result<(), Corrupt> {
    elements.try_for_each(|element| element.map(drop))
}

impl Snapshot {
    /// The first line about it.
    pub(super) fn summary(&self) -> String {
        format!(
            "snapshot of version {} by {}, {} bytes",
            self.version, self.writer, self.bytes
        )
    }

    /// Further lines.
    pub(super) fn details(&self) -> Vec<String> {
        let (keys, databases) = (count(self.keys, "key"), count(self.databases, "database"));
        let mut details = vec![format!(
            "{keys} in {databases}, {} of them expire",
            self.expiring
        )];
        if self.functions > 0 {
            details.push(format!("libraries of functions: {}", self.functions));
        }
        if self.empty > 0 {
            let empty = count(self.empty, "empty collection");
            details.push(format!("{empty}, which servers pass over"));
        }
        details.push(if self.is_checked {
            "the checksum is right".to_owned()
        } else {
            "there is no checksum".to_owned()
        });
        details
    }
}

/// Whether a path bears the name of a snapshot.
pub(super) fn has_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rdb")
}
