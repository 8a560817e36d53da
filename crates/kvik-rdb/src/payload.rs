//! The envelope of DUMP: a value between its type and a version with a checksum.

use crate::object::{NAMED_LISTPACK, VALKEY};
use crate::{Corrupt, Crc64, Hash, ObjectType, Reader, Value};

/// The version that is written where the data allows it: Redis 7.0's.
pub const VERSION: u16 = 10;

/// From this version on Redis writes payloads without a checksum, into its log and to replicas.
const UNCHECKED: u16 = 15;

/// Version and checksum.
const FOOTER: usize = 10;

/// A payload whose version is known and whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    version: u16,
    body: Reader<'a>,
}

/// The payload is too short, its version unknown or its checksum wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongEnvelope;

impl<'a> Payload<'a> {
    /// Checks version and checksum.
    ///
    /// # Errors
    /// When either is wrong.
    pub fn open(bytes: &'a [u8]) -> Result<Self, WrongEnvelope> {
        let split = bytes.len().checked_sub(FOOTER).ok_or(WrongEnvelope)?;
        let (body, footer) = bytes.split_at(split);
        let mut footer = Reader::new(footer);
        let version = u16::from_le_bytes(footer.array().map_err(|_| WrongEnvelope)?);
        let checksum = u64::from_le_bytes(footer.array().map_err(|_| WrongEnvelope)?);
        // The checksum covers the version too.
        let is_sealed = || checksum == Crc64::of(&bytes[..split + 2]);
        let may_lack = checksum == 0 && (UNCHECKED..VALKEY).contains(&version);
        if !is_known(version) || !may_lack && !is_sealed() {
            return Err(WrongEnvelope);
        }
        Ok(Self {
            version,
            body: Reader::new(body),
        })
    }

    /// The value, from its start whenever it is asked for. What follows it is ignored, as Redis
    /// does.
    ///
    /// # Errors
    /// When no value of a known type starts here. Errors further inside come with its elements.
    pub fn value(&mut self) -> Result<Value<'_, 'a>, Corrupt> {
        let code = self.body.u8()?;
        if code == NAMED_LISTPACK {
            return Hash::read_named(&mut self.body).map(Value::Hash);
        }
        let object = ObjectType::from_code(code, self.version)?;
        Value::read(&mut self.body, object)
    }

    /// The bytes before the footer.
    pub(crate) fn into_body(self) -> Reader<'a> {
        self.body
    }
}

/// Ends a payload that starts with the byte of an [`ObjectType`]: appends the version and the
/// checksum.
pub fn seal(payload: &mut Vec<u8>, version: u16) {
    payload.extend_from_slice(&version.to_le_bytes());
    let checksum = Crc64::of(payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
}

/// A payload with the checksum that its bytes should have, whatever it has: for tests that damage
/// payloads. None if it is too short.
pub fn reseal(payload: &[u8]) -> Option<Vec<u8>> {
    let split = payload.len().checked_sub(FOOTER)?;
    let version = u16::from_le_bytes([payload[split], payload[split + 1]]);
    let mut sealed = payload[..split].to_vec();
    seal(&mut sealed, version);
    Some(sealed)
}

/// The versions of Redis up to 8.12, and Valkey's.
fn is_known(version: u16) -> bool {
    matches!(version, 0..=17 | 80..=81)
}
