//! Writes a file, whose version is known only when it is whole.
//!
//! The header comes first, but whether a field or a member expires, for which a newer version is
//! needed, may turn out with the last key. So the file begins as the oldest version that is
//! written, and at the end the caller gets the nine bytes of the right header to put over it. The
//! checksum is that of the file as it is then: CRC-64 is linear, so the difference of two headers,
//! shifted by the length of the rest, is the difference of the two checksums. Whoever cannot write
//! over the beginning, because it went through a socket, states the version beforehand.

use super::header::{HEADER_LEN, header_of};
use super::opcode;
use super::record::{KeyHeader, KeyUsage};
use crate::{Compression, Crc64, Encoder, Text, VERSION};

/// The format of what kvik alone writes: the types 200 and 201. A reader refuses a larger number.
pub const FILE_FORMAT: u64 = 1;

/// The field that names a key which eviction is to leave alone. Other servers pass it over.
const BLESSED: &[u8] = b"kvik-blessed";

/// The database and the key of a field that [`FileWriter::blessed`] has written.
pub fn blessed_key<'t>(name: &[u8], text: &'t [u8]) -> Option<(u64, &'t [u8])> {
    if name != BLESSED {
        return None;
    }
    let at = text.iter().position(|byte| *byte == b' ')?;
    let database = std::str::from_utf8(&text[..at]).ok()?.parse().ok()?;
    Some((database, &text[at + 1..]))
}

/// Makes a file of records, piece by piece.
#[derive(Debug)]
pub struct FileWriter {
    /// Bytes that have not been taken yet.
    out: Vec<u8>,
    compression: Compression,
    /// The checksum of what has been taken, with the first header; none where it is not wanted.
    crc: Option<Crc64>,
    /// Bytes that have been taken.
    taken: u64,
    /// The version of the header that was written, and the one that is needed.
    header: u16,
    version: u16,
    database: Option<u64>,
}

/// The first records, which tell about the file.
#[derive(Clone, Copy, Debug)]
pub struct FileInfo<'a> {
    /// The version of Redis that is spoken.
    pub redis_version: &'a str,
    /// Seconds since the Unix epoch.
    pub time_s: u64,
    /// Bytes that the data occupies in memory.
    pub used_bytes: u64,
    /// Whether the file is the base of an append-only log.
    pub is_aof_base: bool,
}

/// The end of a file.
#[derive(Debug)]
pub struct FileTail {
    /// The bytes still to be written at the end.
    pub bytes: Vec<u8>,
    /// The bytes to be written over the beginning afterwards, if it is not right yet.
    pub header: Option<[u8; HEADER_LEN]>,
    /// The version of the file.
    pub version: u16,
}

impl FileWriter {
    /// Begins a file of the oldest version that holds what comes.
    pub fn new(compression: Compression, has_checksum: bool) -> Self {
        Self::of_version(VERSION, compression, has_checksum)
    }

    /// Begins a file of at least this version.
    pub fn of_version(version: u16, compression: Compression, has_checksum: bool) -> Self {
        Self {
            out: header_of(version).to_vec(),
            compression,
            crc: has_checksum.then(Crc64::default),
            taken: 0,
            header: version,
            version,
            database: None,
        }
    }

    /// Writes the fields that Redis writes first. Fields of other kinds go behind them.
    pub fn info(&mut self, info: &FileInfo<'_>) {
        // The names and their order are Redis'; kvik-format is one that it passes over.
        self.aux(b"redis-ver", info.redis_version.as_bytes());
        self.aux_int(b"redis-bits", i64::from(usize::BITS));
        self.aux_int(b"ctime", info.time_s as i64);
        self.aux_int(b"used-mem", info.used_bytes as i64);
        self.aux_int(b"aof-base", info.is_aof_base.into());
        self.aux_int(b"kvik-format", FILE_FORMAT as i64);
    }

    /// A name and a text about the file.
    pub fn aux(&mut self, name: &[u8], text: &[u8]) {
        self.out.push(opcode::AUX);
        let mut encoder = self.encoder();
        encoder.string(name);
        encoder.string(text);
    }

    /// The same with a number.
    pub fn aux_int(&mut self, name: &[u8], n: i64) {
        self.out.push(opcode::AUX);
        let mut encoder = self.encoder();
        encoder.string(name);
        encoder.int(n);
    }

    /// A key of a database that eviction is to leave alone; see [`blessed_key`].
    pub fn blessed(&mut self, database: u64, key: &[u8]) {
        let text = [database.to_string().as_bytes(), b" ", key].concat();
        self.aux(BLESSED, &text);
    }

    /// The code of a library of functions.
    pub fn function(&mut self, code: &[u8]) {
        self.out.push(opcode::FUNCTION2);
        self.encoder().string(code);
    }

    /// The keys that follow are in this database. Nothing is written if those before were as well.
    pub fn database(&mut self, database: u64) {
        // Keys come from several places in any order, so the same database may be named again and
        // again.
        if self.database.replace(database) != Some(database) {
            self.out.push(opcode::SELECTDB);
            self.encoder().length(database);
        }
    }

    /// A hint for whoever reads the file: the database has so many keys, and so many of them
    /// expire.
    pub fn sizes(&mut self, keys: u64, expiring: u64) {
        self.out.push(opcode::RESIZEDB);
        let mut encoder = self.encoder();
        encoder.length(keys);
        encoder.length(expiring);
    }

    /// Begins a key; the value is to follow through [`Self::encoder`].
    pub fn key(&mut self, header: &KeyHeader<'_>) {
        self.needs(header.object.version());
        self.encoder().key(header);
    }

    /// Writes on with the value that has been begun.
    pub fn encoder(&mut self) -> Encoder<'_> {
        Encoder::new(&mut self.out, self.compression)
    }

    /// Whole keys with their values as an [`Encoder`] has written them elsewhere, which need this
    /// version.
    pub fn append(&mut self, keys: &[u8], version: u16) {
        self.needs(version);
        self.out.extend_from_slice(keys);
    }

    /// The file needs at least this version.
    pub fn needs(&mut self, version: u16) {
        self.version = self.version.max(version);
    }

    /// Bytes of the file so far.
    pub fn len(&self) -> u64 {
        self.taken + self.out.len() as u64
    }

    /// Whether nothing has been written, which is never the case: the header has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Hands over what waits, in the order of the file.
    ///
    /// # Errors
    /// The result of `write`. The bytes that waited are gone after an error, and the file is of no
    /// use.
    pub fn take<E>(&mut self, write: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.sum();
        let written = write(&self.out);
        self.out.clear();
        written
    }

    /// Ends the file.
    pub fn finish(mut self) -> FileTail {
        self.out.push(opcode::EOF);
        // The mark of the end is summed; the checksum itself is not.
        let starts_here = self.taken == 0;
        self.sum();
        let header = (self.version != self.header).then(|| header_of(self.version));
        let crc = self
            .crc
            .map_or(0, |crc| crc.value() ^ self.header_difference());
        self.out.extend_from_slice(&crc.to_le_bytes());
        let mut tail = FileTail {
            bytes: self.out,
            header,
            version: self.version,
        };
        // Nothing has been taken, so the beginning is still here to be put right.
        if let Some(header) = tail.header.take_if(|_| starts_here) {
            tail.bytes[..HEADER_LEN].copy_from_slice(&header);
        }
        tail
    }

    /// By how much the right header changes the checksum of all that has been summed.
    fn header_difference(&self) -> u64 {
        let (old, new) = (header_of(self.header), header_of(self.version));
        let mut bits = [0; HEADER_LEN];
        // The difference is a file of its own: some bits in the header, then zeros.
        for ((bits, old), new) in bits.iter_mut().zip(old).zip(new) {
            *bits = old ^ new;
        }
        let mut crc = Crc64::default();
        crc.update(&bits);
        crc.update_zeros(self.taken - HEADER_LEN as u64);
        crc.value()
    }

    /// Counts what waits as taken.
    fn sum(&mut self) {
        if let Some(crc) = &mut self.crc {
            crc.update(&self.out);
        }
        self.taken += self.out.len() as u64;
    }
}

impl Encoder<'_> {
    /// Begins a key in a file: all that stands before its value, which is to follow.
    pub fn key(&mut self, header: &KeyHeader<'_>) {
        // Redis' order: the expiry, the usage, and then the type, which ends these.
        if let Some(at) = header.expire_at {
            self.byte(opcode::EXPIRETIME_MS);
            self.time(Some(at));
        }
        match header.usage {
            KeyUsage::Untold => {}
            KeyUsage::Idle(seconds) => {
                self.byte(opcode::IDLE);
                self.length(seconds);
            }
            KeyUsage::Frequency(counter) => {
                self.byte(opcode::FREQ);
                self.byte(counter);
            }
        }
        self.object(header.object);
        match &header.key {
            Text::Int(n) => self.int(*n),
            Text::Bytes(key) => self.string(key),
        }
    }
}
