//! A snapshot of kevy, read as the commands that make its keys.
//!
//! ```text
//! file      "KEVYSNAP", version (1 byte), from 5 on a place in its feed (16 bytes), records, 0
//! record    kind (1 byte), 0 or 1 and the time to live (8 bytes), key, value
//! string    text            hash      count, then field and value
//! list      count, texts    set       count, texts
//! zset      count, then member and score (8 bytes)
//! stream    last ID, greatest deleted ID (16 bytes each), entries ever added (8 bytes), count,
//!           then ID, count, field and value; from version 4 on its groups
//! text      length (4 bytes), bytes
//! ```
//!
//! Numbers are little-endian. A time to live is what was left of it in version 2, and a moment in
//! milliseconds since 1970 in later ones. Version 6 adds moments for fields of hashes, version 7
//! rows that lie in other files.
//!
//! A file is read up to the first damage. A key that is not whole is left out. A count makes nobody
//! allocate: what it announces has to be there.

use std::fmt;
use std::io::{self, Read};

use kvik_resp::format_f64;

use super::Run;

const MARK: &[u8; 8] = b"KEVYSNAP";
/// The versions that are read.
const OLDEST: u8 = 2;
const NEWEST: u8 = 7;
/// The versions that brought something.
const WITH_MOMENTS: u8 = 3;
const WITH_GROUPS: u8 = 4;
const WITH_PLACE: u8 = 5;
/// Elements that one command adds.
const TOGETHER: usize = 256;

/// Why a snapshot could not be read to its end.
#[derive(Debug, PartialEq, Eq)]
pub struct SnapshotFault {
    /// Bytes before the record that could not be read.
    offset: u64,
    reason: String,
}

impl fmt::Display for SnapshotFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, reason } = self;
        write!(f, "{reason}: what lies behind offset {offset} is left out")
    }
}

/// Ends the reading of a record.
enum Unreadable {
    Io(io::Error),
    Damage(String),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

type Outcome<T> = Result<T, Unreadable>;

fn damage<T>(reason: impl Into<String>) -> Outcome<T> {
    Err(Unreadable::Damage(reason.into()))
}

/// Gives the commands that make the keys of a snapshot of `len` bytes to `run`; the fault that
/// ended it too soon, if one did.
///
/// # Errors
/// If the file cannot be read.
pub fn read(
    file: &mut impl Read,
    len: u64,
    run: &mut Run<'_>,
) -> io::Result<Option<SnapshotFault>> {
    let mut reader = SnapshotReader {
        file,
        left: len,
        version: 0,
        run,
        key: Vec::new(),
    };
    let mut offset = 0;
    let stop = loop {
        let read = match offset {
            0 => reader.header().map(|()| true),
            _ => reader.record(),
        };
        match read {
            Ok(true) => offset = len - reader.left,
            Ok(false) => return Ok(None),
            Err(stop) => break stop,
        }
    };
    match stop {
        Unreadable::Io(error) => Err(error),
        Unreadable::Damage(reason) => {
            // A part of it may have been made already.
            let key = std::mem::take(&mut reader.key);
            if !key.is_empty() {
                (reader.run)(&[b"DEL", &key]);
            }
            Ok(Some(SnapshotFault { offset, reason }))
        }
    }
}

struct SnapshotReader<'r, 'a, R> {
    file: &'r mut R,
    left: u64,
    version: u8,
    run: &'r mut Run<'a>,
    /// The key that is being read.
    key: Vec<u8>,
}

impl<R: Read> SnapshotReader<'_, '_, R> {
    fn header(&mut self) -> Outcome<()> {
        if self.array::<8>()? != *MARK {
            return damage("this is no snapshot of kevy");
        }
        self.version = self.byte()?;
        if !(OLDEST..=NEWEST).contains(&self.version) {
            return damage(format!("version {} is not known", self.version));
        }
        if self.version >= WITH_PLACE {
            self.array::<16>()?;
        }
        Ok(())
    }

    /// Reads a record; says whether there was one.
    fn record(&mut self) -> Outcome<bool> {
        self.key.clear();
        let kind = self.byte()?;
        match kind {
            0 => return Ok(false),
            1..=6 | 8 => {}
            7 => return self.field_moment().map(|()| true),
            other => return damage(format!("{other} is no kind of value")),
        }
        let ttl = match self.byte()? {
            0 => None,
            1 => Some(self.long()?),
            other => {
                return damage(format!(
                    "{other} does not say whether there is a time to live"
                ));
            }
        };
        self.key = self.text()?;
        match kind {
            1 => {
                let value = self.text()?;
                (self.run)(&[b"SET", &self.key, &value]);
            }
            2 => self.elements(b"HSET", Self::pair)?,
            3 => self.elements(b"RPUSH", |reader| Ok(vec![reader.text()?]))?,
            4 => self.elements(b"SADD", |reader| Ok(vec![reader.text()?]))?,
            5 => self.elements(b"ZADD", Self::scored)?,
            6 => self.stream()?,
            _ => {
                let (key, _) = (self.key.escape_ascii().to_string(), self.array::<8>()?);
                return damage(format!("the row '{key}' lies in a file of its own"));
            }
        }
        if let Some(ttl) = ttl {
            let command = match self.version >= WITH_MOMENTS {
                true => b"PEXPIREAT",
                false => &b"PEXPIRE"[..],
            };
            let ttl = ttl.min(i64::MAX as u64 / 2).to_string();
            (self.run)(&[command, &self.key, ttl.as_bytes()]);
        }
        Ok(true)
    }

    /// Adds elements, some with each command.
    fn elements(
        &mut self,
        command: &[u8],
        element: impl Fn(&mut Self) -> Outcome<Vec<Vec<u8>>>,
    ) -> Outcome<()> {
        let mut left = self.count()?;
        while left > 0 {
            let mut words = vec![command.to_vec(), self.key.clone()];
            let together = TOGETHER.min(left as usize);
            for _ in 0..together {
                words.extend(element(self)?);
            }
            left -= together as u32;
            self.run_words(&words);
        }
        Ok(())
    }

    fn run_words(&mut self, words: &[Vec<u8>]) {
        let words: Vec<_> = words.iter().map(Vec::as_slice).collect();
        (self.run)(&words);
    }

    fn pair(&mut self) -> Outcome<Vec<Vec<u8>>> {
        Ok(vec![self.text()?, self.text()?])
    }

    fn scored(&mut self) -> Outcome<Vec<Vec<u8>>> {
        let member = self.text()?;
        let score = f64::from_bits(self.long()?);
        if score.is_nan() {
            return damage("a score is no number");
        }
        Ok(vec![format_f64(score).as_bytes().to_vec(), member])
    }

    /// A moment at which a field of a hash ends.
    fn field_moment(&mut self) -> Outcome<()> {
        let (key, field, moment) = (self.text()?, self.text()?, self.long()?);
        let moment = moment.min(i64::MAX as u64 / 2).to_string();
        let words = [
            b"HPEXPIREAT",
            &key[..],
            moment.as_bytes(),
            b"FIELDS",
            b"1",
            &field,
        ];
        (self.run)(&words);
        Ok(())
    }

    fn stream(&mut self) -> Outcome<()> {
        let (last, deleted, added) = (self.id()?, self.id()?, self.long()?);
        let count = self.count()?;
        for _ in 0..count {
            let id = self.id()?;
            let fields = self.count()?;
            let mut words = vec![b"XADD".to_vec(), self.key.clone(), id.into_bytes()];
            for _ in 0..fields {
                words.extend(self.pair()?);
            }
            self.run_words(&words);
        }
        if count == 0 {
            // An empty stream is a key as well: one with a group, which goes again.
            for words in [
                [b"CREATE".as_slice(), &self.key, b"kevy", b"0", b"MKSTREAM"].as_slice(),
                [b"DESTROY".as_slice(), &self.key, b"kevy"].as_slice(),
            ] {
                let words: Vec<_> = std::iter::once(&b"XGROUP"[..])
                    .chain(words.iter().copied())
                    .collect();
                (self.run)(&words);
            }
        }
        let added = added.min(i64::MAX as u64).to_string();
        (self.run)(&[
            b"XSETID",
            &self.key,
            last.as_bytes(),
            b"ENTRIESADDED",
            added.as_bytes(),
            b"MAXDELETEDID",
            deleted.as_bytes(),
        ]);
        if self.version >= WITH_GROUPS {
            for _ in 0..self.count()? {
                self.group()?;
            }
        }
        Ok(())
    }

    fn group(&mut self) -> Outcome<()> {
        let (name, last) = (self.text()?, self.id()?);
        (self.run)(&[
            b"XGROUP",
            b"CREATE",
            &self.key,
            &name,
            last.as_bytes(),
            b"MKSTREAM",
        ]);
        for _ in 0..self.count()? {
            // When it was last heard of is not carried over.
            let (consumer, _) = (self.text()?, self.long()?);
            (self.run)(&[b"XGROUP", b"CREATECONSUMER", &self.key, &name, &consumer]);
        }
        for _ in 0..self.count()? {
            let (id, consumer) = (self.id()?, self.text()?);
            let delivered_ms = self.long()?.to_string();
            let deliveries = self.count()?.to_string();
            (self.run)(&[
                b"XCLAIM",
                &self.key,
                &name,
                &consumer,
                b"0",
                id.as_bytes(),
                b"TIME",
                delivered_ms.as_bytes(),
                b"RETRYCOUNT",
                deliveries.as_bytes(),
                b"FORCE",
                b"JUSTID",
            ]);
        }
        Ok(())
    }

    fn id(&mut self) -> Outcome<String> {
        Ok(format!("{}-{}", self.long()?, self.long()?))
    }

    fn text(&mut self) -> Outcome<Vec<u8>> {
        let len = u64::from(self.count()?);
        if len > self.left {
            return damage("the file ends too soon");
        }
        let mut text = Vec::new();
        let count = self.file.by_ref().take(len).read_to_end(&mut text)?;
        self.left -= count as u64;
        match count as u64 == len {
            true => Ok(text),
            false => damage("the file ends too soon"),
        }
    }

    fn byte(&mut self) -> Outcome<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn count(&mut self) -> Outcome<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn long(&mut self) -> Outcome<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        if self.left < N as u64 {
            return damage("the file ends too soon");
        }
        let mut bytes = [0; N];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => self.left -= N as u64,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return damage("the file ends too soon");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(bytes)
    }
}
