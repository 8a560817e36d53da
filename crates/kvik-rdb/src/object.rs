//! The types of values and their codes.
//!
//! Values for which Redis and Valkey have no form get codes from 200 on. Those servers refuse such
//! a file, which is better than a copy that lacks something.

use crate::Corrupt;

/// The form in which a value is written; in brackets the version of the format that brought it.
///
/// Code 22 has two meanings. Redis 7.4's release candidates wrote version 12 with it, Valkey 9
/// writes version 80.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectType {
    /// A string.
    String,
    /// A list of strings.
    List,
    /// A set of strings.
    Set,
    /// Members and scores as text.
    SortedSetText,
    /// Fields and values.
    Hash,
    /// Members and scores as binary doubles (8).
    SortedSet,
    /// A zipmap of fields and values.
    HashZipmap,
    /// A ziplist of elements.
    ListZiplist,
    /// An intset.
    SetIntset,
    /// A ziplist of members and scores.
    SortedSetZiplist,
    /// A ziplist of fields and values.
    HashZiplist,
    /// A sequence of ziplists (7).
    ListQuicklist,
    /// A stream (9).
    Stream,
    /// A listpack of fields and values (10).
    HashListpack,
    /// A listpack of members and scores (10).
    SortedSetListpack,
    /// A sequence of listpacks and single elements (10).
    ListQuicklist2,
    /// A stream with first and largest deleted ID and counters (10).
    Stream2,
    /// A listpack of members (11).
    SetListpack,
    /// A stream whose consumers tell when they were active (11).
    Stream3,
    /// A stream that knows what its producers have added (13).
    Stream4,
    /// A stream some of whose pending entries nobody has (14).
    Stream5,
    /// An array (14).
    Array,
    /// A string of bits that are told by their numbers (16).
    Bitmap,
    /// A listpack of values behind the number of their names (15).
    HashShapedListpack,
    /// The number of the fields' names, and values (15).
    HashShaped,
    /// Fields with absolute expiry, of a release candidate (12).
    HashExpiringCandidate,
    /// A listpack of fields, values and expiries, of a release candidate (12).
    HashListpackExpiringCandidate,
    /// Fields with expiry relative to the earliest (12).
    HashExpiring,
    /// A listpack of fields, values and expiries after the earliest expiry (12).
    HashListpackExpiring,
    /// Fields, values and expiries as Valkey 9 writes them (80).
    HashExpiringValkey,
    /// Members of a set and when they expire. Only kvik has such sets, so only kvik reads them.
    SetExpiring,
    /// Members, scores and when the members expire. Only kvik has such sorted sets, so only kvik
    /// reads them.
    SortedSetExpiring,
}

/// From here on versions are Valkey's.
pub(crate) const VALKEY: u16 = 80;

/// A hash of Redis 8.10 with the names of a shape in it: fields and values, as in any.
const NAMED_HASH: u8 = 31;

/// The same as a listpack of values behind its names. No file has it, see
/// [`Hash::NamedListpack`](crate::Hash::NamedListpack).
pub(crate) const NAMED_LISTPACK: u8 = 29;

/// A bitmap from version 16 on; builds before wrote a rate limiter with it.
const BITMAP: u8 = 33;

/// Codes whose meaning depends on the build of the server: in files a listpack of values behind its
/// names; sets whose members expire.
const UNSETTLED: [u8; 3] = [NAMED_LISTPACK, 34, 35];

/// Every type with its code; the two of code 22 are told apart by the version.
const CODES: [(u8, ObjectType); 30] = [
    (0, ObjectType::String),
    (1, ObjectType::List),
    (2, ObjectType::Set),
    (3, ObjectType::SortedSetText),
    (4, ObjectType::Hash),
    (5, ObjectType::SortedSet),
    (9, ObjectType::HashZipmap),
    (10, ObjectType::ListZiplist),
    (11, ObjectType::SetIntset),
    (12, ObjectType::SortedSetZiplist),
    (13, ObjectType::HashZiplist),
    (14, ObjectType::ListQuicklist),
    (15, ObjectType::Stream),
    (16, ObjectType::HashListpack),
    (17, ObjectType::SortedSetListpack),
    (18, ObjectType::ListQuicklist2),
    (19, ObjectType::Stream2),
    (20, ObjectType::SetListpack),
    (21, ObjectType::Stream3),
    (23, ObjectType::HashListpackExpiringCandidate),
    (24, ObjectType::HashExpiring),
    (25, ObjectType::HashListpackExpiring),
    (26, ObjectType::Stream4),
    (27, ObjectType::Stream5),
    (28, ObjectType::Array),
    (30, ObjectType::HashShapedListpack),
    (32, ObjectType::HashShaped),
    (BITMAP, ObjectType::Bitmap),
    (200, ObjectType::SetExpiring),
    (201, ObjectType::SortedSetExpiring),
];

impl ObjectType {
    /// The name of the form, for messages.
    pub fn form(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::List => "List",
            Self::Set | Self::SetExpiring => "Set",
            Self::SortedSetText | Self::SortedSet | Self::SortedSetExpiring => "Zset",
            Self::Hash
            | Self::HashShaped
            | Self::HashExpiring
            | Self::HashExpiringCandidate
            | Self::HashExpiringValkey => "Hash",
            Self::HashZipmap => "Zipmap",
            Self::ListZiplist => "List ziplist",
            Self::SetIntset => "Intset",
            Self::SortedSetZiplist => "Zset ziplist",
            Self::HashZiplist => "Hash ziplist",
            Self::ListQuicklist | Self::ListQuicklist2 => "Quicklist",
            Self::HashListpack
            | Self::HashShapedListpack
            | Self::HashListpackExpiringCandidate
            | Self::HashListpackExpiring => "Hash listpack",
            Self::SortedSetListpack => "Zset listpack",
            Self::SetListpack => "Set listpack",
            Self::Stream | Self::Stream2 | Self::Stream3 | Self::Stream4 | Self::Stream5 => {
                "Stream listpack"
            }
            Self::Array => "Array",
            Self::Bitmap => "Bitmap",
        }
    }

    /// The type that `code` means in a payload or file of this version.
    ///
    /// # Errors
    /// When it means none: an operation code of files, a module's value, or something of the
    /// future.
    pub fn from_code(code: u8, version: u16) -> Result<Self, Corrupt> {
        // Versions below 80 are Redis', 80 and above Valkey's; nobody writes those in between.
        if code == 22 {
            return Ok(if version < VALKEY {
                Self::HashExpiringCandidate
            } else {
                Self::HashExpiringValkey
            });
        }
        match code {
            NAMED_HASH => return Ok(Self::Hash),
            BITMAP if !(16..VALKEY).contains(&version) => return Err(Corrupt::UnsettledType(code)),
            code if UNSETTLED.contains(&code) => return Err(Corrupt::UnsettledType(code)),
            _ => {}
        }
        let known = CODES.iter().find(|(known, _)| *known == code);
        known
            .map(|(_, object)| *object)
            .ok_or(Corrupt::UnknownType(code))
    }

    /// The byte that stands for the type.
    pub fn code(self) -> u8 {
        let known = CODES.iter().find(|(_, known)| *known == self);
        known.map_or(22, |(code, _)| *code)
    }

    /// Whether the names of a hash's fields stand elsewhere in its file.
    pub fn is_shaped(self) -> bool {
        matches!(self, Self::HashShaped | Self::HashShapedListpack)
    }

    /// The version a payload or file must at least have for this type, and never less than that of
    /// Redis 7.0.
    pub fn version(self) -> u16 {
        match self {
            Self::SetListpack | Self::Stream3 => 11,
            Self::HashExpiringCandidate
            | Self::HashListpackExpiringCandidate
            | Self::HashExpiring
            | Self::HashListpackExpiring => 12,
            Self::Stream4 => 13,
            Self::Stream5 | Self::Array => 14,
            Self::HashShapedListpack | Self::HashShaped => 15,
            Self::Bitmap => 16,
            Self::HashExpiringValkey | Self::SetExpiring | Self::SortedSetExpiring => VALKEY,
            _ => crate::VERSION,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back() {
        for version in [10, 12, 16, 80] {
            for code in 0..=u8::MAX {
                if let Ok(object) = ObjectType::from_code(code, version) {
                    let same = if code == NAMED_HASH { 4 } else { code };
                    assert_eq!(object.code(), same);
                }
            }
        }
    }

    #[test]
    fn what_servers_write_differently_is_no_value() {
        for code in [NAMED_LISTPACK, BITMAP, 34, 35] {
            let refused = Err(Corrupt::UnsettledType(code));
            assert_eq!(ObjectType::from_code(code, 15), refused);
        }
    }

    #[test]
    fn modules_and_file_operations_are_no_values() {
        for code in [6, 7, 8, 99, 244, 255] {
            assert_eq!(
                ObjectType::from_code(code, 12),
                Err(Corrupt::UnknownType(code))
            );
        }
    }

    #[test]
    fn the_code_that_two_servers_took() {
        let of = |version| ObjectType::from_code(22, version).unwrap();
        assert_eq!(of(12), ObjectType::HashExpiringCandidate);
        assert_eq!(of(80), ObjectType::HashExpiringValkey);
    }
}
