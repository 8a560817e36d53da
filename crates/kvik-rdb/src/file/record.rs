//! The records of a file.

use std::sync::Arc;

use super::extent::{Extent, MODULE_AUX, parts_of};
use super::opcode;
use crate::{Corrupt, ObjectType, Reader, Shapes, Text, Value};

/// A record between the header and the checksum of a file.
#[derive(Clone, Debug)]
pub enum Record<'b> {
    /// A name and a text about the file.
    Aux(Text<'b>, Text<'b>),
    /// The database of the keys that follow.
    Database(u64),
    /// A hint: how many keys the database has. Anybody may have written it.
    Sizes {
        /// All of them.
        keys: u64,
        /// Those that expire.
        expiring: u64,
    },
    /// The code of a library of functions.
    Function(Text<'b>),
    /// A key with its value.
    Key(KeyRecord<'b>),
    /// A record that only modules or clusters need, with the opcode.
    Passed(u8),
    /// There are no more records.
    End {
        /// Whether the checksum was there, was not 0, and is right.
        is_checked: bool,
    },
}

/// How a key was used before it was saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyUsage {
    /// The file does not tell.
    #[default]
    Untold,
    /// Not for these seconds.
    Idle(u64),
    /// So often that its logarithmic counter stands here.
    Frequency(u8),
}

/// The key, expiry and type before a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHeader<'b> {
    /// The key.
    pub key: Text<'b>,
    /// When it expires, in milliseconds since the Unix epoch.
    pub expire_at: Option<u64>,
    /// How it was used.
    pub usage: KeyUsage,
    /// The form in which its value is written.
    pub object: ObjectType,
}

/// A key with its value, not looked into.
#[derive(Clone, Debug)]
pub struct KeyRecord<'b> {
    /// The key, expiry and type before the value.
    pub header: KeyHeader<'b>,
    value: Reader<'b>,
    /// The names of fields, if they are not in the value.
    shapes: Option<Arc<Shapes>>,
}

impl<'b> KeyRecord<'b> {
    /// The key whose value begins at `value` and ends at `end`.
    fn up_to(
        end: &Reader<'b>,
        header: KeyHeader<'b>,
        mut value: Reader<'b>,
    ) -> Result<Self, Corrupt> {
        // Both readers see the same bytes to their end.
        let len = value.remaining() - end.remaining();
        let value = Reader::new(value.bytes(len)?);
        Ok(Self {
            header,
            value,
            shapes: None,
        })
    }

    /// Reads the bytes of a record that a [`Splitter`](super::Splitter) has found in a file of this
    /// version.
    ///
    /// # Errors
    /// When they are none.
    pub fn read(bytes: &'b [u8], version: u16) -> Result<Self, Corrupt> {
        let mut value = Reader::new(bytes);
        let header = KeyHeader::read(&mut value, version)?;
        Ok(Self {
            header,
            value,
            shapes: None,
        })
    }

    /// The same key in a file that has told of these shapes.
    #[must_use]
    pub fn with_shapes(mut self, shapes: &Arc<Shapes>) -> Self {
        if self.header.object.is_shaped() {
            self.shapes = Some(Arc::clone(shapes));
        }
        self
    }

    /// The value, from its start whenever it is asked for.
    ///
    /// # Errors
    /// When it is cut off, contradictory or empty. Errors further inside come with its elements.
    pub fn value(&mut self) -> Result<Value<'_, 'b>, Corrupt> {
        match &self.shapes {
            Some(shapes) => Value::read_shaped(&mut self.value, self.header.object, shapes),
            None => Value::read(&mut self.value, self.header.object),
        }
    }

    /// The value of [`ObjectType::String`], read as by [`Self::value`] but expanded into `room`,
    /// which whoever reads many can use again and again.
    ///
    /// # Errors
    /// When it is cut off or contradictory.
    pub fn string<'t>(&mut self, room: &'t mut Vec<u8>) -> Result<Text<'t>, Corrupt>
    where
        'b: 't,
    {
        self.value.text_in(room)
    }

    /// Bytes of the value that have not been read: after an error they lie behind the place where
    /// it is.
    pub fn unread(&self) -> usize {
        self.value.remaining()
    }
}

impl<'b> KeyHeader<'b> {
    /// Whether a record with this first byte may be a key.
    pub(super) fn may_start_with(code: u8) -> bool {
        matches!(
            code,
            opcode::EXPIRETIME | opcode::EXPIRETIME_MS | opcode::IDLE | opcode::FREQ
        ) || code < opcode::SHAPE
    }

    /// The same with a key of its own.
    pub(super) fn into_owned(self) -> KeyHeader<'static> {
        KeyHeader {
            key: match self.key {
                Text::Int(n) => Text::Int(n),
                Text::Bytes(key) => Text::Bytes(key.into_owned().into()),
            },
            ..self
        }
    }

    pub(super) fn read(reader: &mut Reader<'b>, version: u16) -> Result<Self, Corrupt> {
        // They come in any order; the first byte that is none of them is the type.
        let (mut expire_at, mut usage) = (None, KeyUsage::Untold);
        loop {
            match reader.u8()? {
                opcode::EXPIRETIME_MS => expire_at = deadline(i64::from_le_bytes(reader.array()?)),
                opcode::EXPIRETIME => {
                    let seconds = i32::from_le_bytes(reader.array()?);
                    expire_at = deadline(i64::from(seconds) * 1000);
                }
                opcode::IDLE => usage = KeyUsage::Idle(reader.length()?),
                opcode::FREQ => usage = KeyUsage::Frequency(reader.u8()?),
                code => {
                    return Ok(Self {
                        object: ObjectType::from_code(code, version)?,
                        key: reader.text()?,
                        expire_at,
                        usage,
                    });
                }
            }
        }
    }
}

/// When a key expires: -1 stands for never, any other negative time has long been.
fn deadline(ms: i64) -> Option<u64> {
    (ms != -1).then(|| u64::try_from(ms).unwrap_or(0))
}

/// Where the reading of a record got stuck for want of bytes: so much of it is passed, and so much
/// of its value.
pub(super) type Progress = Option<(usize, Extent)>;

impl<'b> Record<'b> {
    /// Reads a record other than the last, or says that it needs more bytes. `progress` is what an
    /// earlier attempt on the same record left, when there were fewer bytes.
    pub(super) fn read(
        reader: &mut Reader<'b>,
        version: u16,
        progress: &mut Progress,
        shapes: &mut Arc<Shapes>,
    ) -> Result<Self, Corrupt> {
        // A record is read whole or not at all, so that it can be read again with more bytes.
        let start = *reader;
        let code = reader.u8()?;
        if KeyHeader::may_start_with(code) {
            *reader = start;
            return Self::read_key(reader, version, progress, shapes);
        }
        Ok(match code {
            opcode::AUX => Self::Aux(reader.text()?, reader.text()?),
            opcode::SELECTDB => Self::Database(reader.length()?),
            opcode::RESIZEDB => Self::Sizes {
                keys: reader.length()?,
                expiring: reader.length()?,
            },
            opcode::FUNCTION2 => Self::Function(reader.text()?),
            // The slot, its keys and how many of them expire: kvik sizes nothing by them.
            opcode::SLOT_INFO => {
                (0..3).try_for_each(|_| reader.length().map(drop))?;
                Self::Passed(code)
            }
            opcode::SHAPE => {
                Arc::make_mut(shapes).add(reader)?;
                Self::Passed(code)
            }
            opcode::MODULE_AUX => {
                pass(Extent::of(MODULE_AUX), &start, reader, progress)?;
                Self::Passed(code)
            }
            _ => return Err(Corrupt::UnknownType(code)),
        })
    }

    fn read_key(
        reader: &mut Reader<'b>,
        version: u16,
        progress: &mut Progress,
        shapes: &Arc<Shapes>,
    ) -> Result<Self, Corrupt> {
        let start = *reader;
        let header = KeyHeader::read(reader, version)?;
        let value = *reader;
        if header.object == ObjectType::String && progress.is_none() {
            // By far the most frequent value, and a single step.
            let before = *reader;
            let whole = reader
                .text_len()
                .is_ok_and(|len| usize::try_from(len).is_ok_and(|len| reader.bytes(len).is_ok()));
            if whole {
                return KeyRecord::up_to(reader, header, value).map(Self::Key);
            }
            *reader = before;
        }
        let extent = match header.object {
            ObjectType::HashShaped => Extent::of_texts(shapes.names(reader.length()?)?.len()),
            object => Extent::of(parts_of(object)),
        };
        pass(extent, &start, reader, progress)?;
        let record = KeyRecord::up_to(reader, header, value)?;
        Ok(Self::Key(record.with_shapes(shapes)))
    }
}

/// Passes what is at `reader`, of a record that begins at `start`, from where `progress` says.
fn pass(
    extent: Extent,
    start: &Reader<'_>,
    reader: &mut Reader<'_>,
    progress: &mut Progress,
) -> Result<(), Corrupt> {
    let passed = |reader: &Reader<'_>| start.remaining() - reader.remaining();
    let (at, mut extent) = progress.take().unwrap_or_else(|| (passed(reader), extent));
    // An earlier attempt has looked at all before this place.
    reader.bytes(at - passed(reader))?;
    if extent.resume(reader)? {
        return Ok(());
    }
    // All bytes are passed; the next attempt goes on behind them.
    *progress = Some((passed(reader), extent));
    Err(Corrupt::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_before_the_epoch_have_long_been() {
        assert_eq!(deadline(-1), None);
        assert_eq!(deadline(-2), Some(0));
        assert_eq!(deadline(5), Some(5));
    }

    #[test]
    fn what_stands_before_a_value_is_read() {
        let bytes = b"\xfc\x05\0\0\0\0\0\0\0\xf9\x07\x00\x01k\x01v";
        let mut record = KeyRecord::read(bytes, 10).unwrap();
        assert_eq!(record.header.expire_at, Some(5));
        assert_eq!(record.header.usage, KeyUsage::Frequency(7));
        assert_eq!(record.header.key, Text::from(&b"k"[..]));
        let mut again = record.clone();
        assert!(matches!(record.value(), Ok(Value::String(text)) if text == Text::from(&b"v"[..])));
        assert_eq!(again.string(&mut Vec::new()), Ok(Text::from(&b"v"[..])));
        let packed = b"\x00\x01k\xc3\x05\x40\x64\x00a\xe0\x5a\x00";
        let mut record = KeyRecord::read(packed, 10).unwrap();
        let mut room = b"before".to_vec();
        assert_eq!(record.string(&mut room), Ok(Text::from(&[b'a'; 100][..])));
        let seconds = b"\xfd\x05\0\0\0\xf8\x40\xff\x00\xc0\x05\x01v";
        let record = KeyRecord::read(seconds, 10).unwrap();
        assert_eq!(record.header.expire_at, Some(5000));
        assert_eq!(record.header.usage, KeyUsage::Idle(255));
        assert_eq!(record.header.key, Text::Int(5));
    }
}
