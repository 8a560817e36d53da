//! Values as they are read, one part after the other.
//!
//! A collection is either in one piece, packed, or an iterator over its elements that reads on in
//! the payload. An iterator that has met an error ends. What comes after the value can be read once
//! its iterator has ended.

use std::borrow::Cow;

use crate::{
    ArrayParts, Bitmap, Corrupt, ObjectType, Reader, ShapedFields, Shapes, StreamParts, Text,
    Ziplist, Zipmap,
};

/// How a list node is kept, in [`ObjectType::ListQuicklist2`].
const PLAIN: u64 = 1;
const PACKED: u64 = 2;

/// The latest expiry of a field that Redis stores.
const EXPIRE_MAX: u64 = (1 << 48) - 2;

/// Scores as text that are none.
const NEGATIVE_INFINITY: u8 = 255;
const INFINITY: u8 = 254;

/// A value, by its type.
#[derive(Debug)]
pub enum Value<'r, 'a> {
    /// A string.
    String(Text<'a>),
    /// A list.
    List(ListParts<'r, 'a>),
    /// A set.
    Set(Set<'r, 'a>),
    /// A sorted set.
    SortedSet(SortedSet<'r, 'a>),
    /// A hash.
    Hash(Hash<'r, 'a>),
    /// A stream.
    Stream(StreamParts<'r, 'a>),
    /// An array.
    Array(ArrayParts<'r, 'a>),
    /// A string of bits, most of which are probably clear.
    Bitmap(Bitmap<'a>),
}

/// The members of a set.
#[derive(Debug)]
pub enum Set<'r, 'a> {
    /// One after the other.
    Members(Members<'r, 'a>),
    /// An intset, not validated.
    Intset(Cow<'a, [u8]>),
    /// A listpack, not validated.
    Listpack(Cow<'a, [u8]>),
}

/// The members of a sorted set with their scores.
#[derive(Debug)]
pub enum SortedSet<'r, 'a> {
    /// One after the other, in no particular order.
    Members(Scored<'r, 'a>),
    /// A listpack of members and scores, not validated.
    Listpack(Cow<'a, [u8]>),
    /// A ziplist of pairs: see [`Ziplist::scored`].
    Ziplist(Ziplist<'a>),
}

/// The fields of a hash with their values and expiries.
#[derive(Debug)]
pub enum Hash<'r, 'a> {
    /// One after the other.
    Fields(Fields<'r, 'a>),
    /// A listpack of fields and values, not validated.
    Listpack(Cow<'a, [u8]>),
    /// A listpack of fields, values and absolute expiries (0: none), not validated. Redis orders it
    /// by expiry, with the fields that have none last.
    ListpackWithExpiry(Cow<'a, [u8]>),
    /// A ziplist of pairs: see [`Ziplist::pairs`].
    Ziplist(Ziplist<'a>),
    /// A zipmap.
    Zipmap(Zipmap<'a>),
    /// One after the other, with names that are those of other hashes as well.
    Shaped(ShapedFields<'r, 'a>),
    /// A listpack of the number of their names and of values, not validated.
    ShapedListpack(Cow<'a, [u8]>, &'r Shapes),
    /// The names, and a listpack of as many values, not validated.
    NamedListpack(HashNames<'a>, Cow<'a, [u8]>),
}

/// The names of a hash's fields, which stand before its values.
#[derive(Debug)]
pub enum HashNames<'a> {
    /// One by one.
    Each(Vec<Text<'a>>),
    /// A listpack, not validated.
    Listpack(Cow<'a, [u8]>),
}

/// Some elements of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListPart<'a> {
    /// One element.
    Element(Text<'a>),
    /// A listpack of elements, not validated; it may be empty.
    Listpack(Cow<'a, [u8]>),
    /// A ziplist of elements; it may be empty.
    Ziplist(Ziplist<'a>),
}

/// A member of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// When it expires, in milliseconds since the Unix epoch.
    pub expire_at: Option<u64>,
}

/// A member of a sorted set.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredMember<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Its score, not NaN.
    pub score: f64,
    /// When it expires, in milliseconds since the Unix epoch.
    pub expire_at: Option<u64>,
}

/// A field of a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Its value.
    pub value: Text<'a>,
    /// When it expires, in milliseconds since the Unix epoch.
    pub expire_at: Option<u64>,
}

/// The parts of a list, in order. Together they may be empty, which no list is.
#[derive(Debug)]
pub struct ListParts<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
    object: ObjectType,
}

/// The members of a set.
#[derive(Debug)]
pub struct Members<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
    expire: bool,
}

/// Members with their scores.
#[derive(Debug)]
pub struct Scored<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
    object: ObjectType,
}

/// Fields with their values.
#[derive(Debug)]
pub struct Fields<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
    expiries: Expiries,
}

/// How a field's expiry is written.
#[derive(Clone, Copy, Debug)]
enum Expiries {
    None,
    /// Before the field: 0, or the time less this and plus 1.
    After(u64),
    /// Behind the value: -1, or the time in 8 bytes.
    Binary,
}

impl<'r, 'a> Value<'r, 'a> {
    /// Reads the value of type `object` that starts here.
    ///
    /// # Errors
    /// When it is cut off, contradictory or empty. Errors further inside come with its elements.
    pub fn read(reader: &'r mut Reader<'a>, object: ObjectType) -> Result<Self, Corrupt> {
        Ok(match object {
            ObjectType::String => Self::String(reader.text()?),
            ObjectType::List
            | ObjectType::ListZiplist
            | ObjectType::ListQuicklist
            | ObjectType::ListQuicklist2 => Self::List(ListParts::read(reader, object)?),
            ObjectType::Set
            | ObjectType::SetIntset
            | ObjectType::SetListpack
            | ObjectType::SetExpiring => Self::Set(Set::read(reader, object)?),
            ObjectType::SortedSet
            | ObjectType::SortedSetText
            | ObjectType::SortedSetListpack
            | ObjectType::SortedSetZiplist
            | ObjectType::SortedSetExpiring => Self::SortedSet(SortedSet::read(reader, object)?),
            ObjectType::Stream
            | ObjectType::Stream2
            | ObjectType::Stream3
            | ObjectType::Stream4
            | ObjectType::Stream5 => Self::Stream(StreamParts::read(reader, object)?),
            ObjectType::Array => Self::Array(ArrayParts::read(reader)?),
            ObjectType::Bitmap => Self::Bitmap(Bitmap::read(reader)?),
            // Their names stand in a file.
            ObjectType::HashShaped | ObjectType::HashShapedListpack => {
                return Err(Corrupt::UnknownShape);
            }
            _ => Self::Hash(Hash::read(reader, object)?),
        })
    }

    /// Reads a value of a file that has told of these shapes.
    ///
    /// # Errors
    /// As [`read`](Self::read) does.
    pub(crate) fn read_shaped(
        reader: &'r mut Reader<'a>,
        object: ObjectType,
        shapes: &'r Shapes,
    ) -> Result<Self, Corrupt> {
        Ok(Self::Hash(match object {
            ObjectType::HashShaped => Hash::Shaped(ShapedFields::read(reader, shapes)?),
            ObjectType::HashShapedListpack => Hash::ShapedListpack(reader.blob()?, shapes),
            object => return Self::read(reader, object),
        }))
    }

    /// `count` elements of a value of type `object` that is a sequence of elements. `head` stands
    /// before them: the time to which the times of fields are relative, or the cursor of an array.
    pub(crate) fn elements(
        reader: &'r mut Reader<'a>,
        object: ObjectType,
        head: Option<u64>,
        count: usize,
    ) -> Self {
        let left = count;
        match object {
            ObjectType::List | ObjectType::ListQuicklist | ObjectType::ListQuicklist2 => {
                Self::List(ListParts {
                    reader,
                    left,
                    object,
                })
            }
            ObjectType::Set | ObjectType::SetExpiring => Self::Set(Set::Members(Members {
                reader,
                left,
                expire: object == ObjectType::SetExpiring,
            })),
            ObjectType::SortedSet | ObjectType::SortedSetText | ObjectType::SortedSetExpiring => {
                Self::SortedSet(SortedSet::Members(Scored {
                    reader,
                    left,
                    object,
                }))
            }
            ObjectType::Array => Self::Array(ArrayParts::some(reader, left, head)),
            _ => Self::Hash(Hash::Fields(Fields {
                reader,
                left,
                expiries: match object {
                    ObjectType::HashExpiringCandidate => Expiries::After(1),
                    ObjectType::HashExpiring => Expiries::After(head.unwrap_or(0)),
                    ObjectType::HashExpiringValkey => Expiries::Binary,
                    _ => Expiries::None,
                },
            })),
        }
    }
}

impl<'r, 'a> Set<'r, 'a> {
    fn read(reader: &'r mut Reader<'a>, object: ObjectType) -> Result<Self, Corrupt> {
        Ok(match object {
            ObjectType::SetIntset => Self::Intset(reader.blob()?),
            ObjectType::SetListpack => Self::Listpack(reader.blob()?),
            _ => {
                // Least sizes bound the count: a length byte for a name, and eight bytes where
                // there is a time.
                let expire = object == ObjectType::SetExpiring;
                Self::Members(Members {
                    left: some(reader.count(if expire { 9 } else { 1 })?)?,
                    reader,
                    expire,
                })
            }
        })
    }
}

impl<'r, 'a> SortedSet<'r, 'a> {
    fn read(reader: &'r mut Reader<'a>, object: ObjectType) -> Result<Self, Corrupt> {
        // The least bytes of a member with its score: an empty name has one, a score as text one or
        // two, a binary one eight, a time eight.
        let least = match object {
            ObjectType::SortedSetListpack => return Ok(Self::Listpack(reader.blob()?)),
            ObjectType::SortedSetZiplist => {
                return Ok(Self::Ziplist(Ziplist::of_pairs(reader.blob()?)?));
            }
            ObjectType::SortedSetText => 2,
            ObjectType::SortedSetExpiring => 17,
            _ => 9,
        };
        Ok(Self::Members(Scored {
            left: some(reader.count(least)?)?,
            reader,
            object,
        }))
    }
}

impl<'r, 'a> Hash<'r, 'a> {
    fn read(reader: &'r mut Reader<'a>, object: ObjectType) -> Result<Self, Corrupt> {
        // Times before a field are of the variable form, those behind a value have eight bytes.
        let (expiries, least) = match object {
            ObjectType::HashZipmap => return Ok(Self::Zipmap(Zipmap::new(reader.blob()?)?)),
            ObjectType::HashZiplist => {
                return Ok(Self::Ziplist(Ziplist::of_pairs(reader.blob()?)?));
            }
            ObjectType::HashListpack => return Ok(Self::Listpack(reader.blob()?)),
            ObjectType::HashListpackExpiringCandidate => {
                return Ok(Self::ListpackWithExpiry(reader.blob()?));
            }
            ObjectType::HashListpackExpiring => {
                // The earliest expiry, which the listpack tells as well.
                reader.u64_le()?;
                return Ok(Self::ListpackWithExpiry(reader.blob()?));
            }
            // Absolute times: 0 for none, and no 1 added.
            ObjectType::HashExpiringCandidate => (Expiries::After(1), 3),
            ObjectType::HashExpiring => (Expiries::After(reader.u64_le()?), 3),
            ObjectType::HashExpiringValkey => (Expiries::Binary, 10),
            _ => (Expiries::None, 2),
        };
        Ok(Self::Fields(Fields {
            left: some(reader.count(least)?)?,
            reader,
            expiries,
        }))
    }
}

impl<'a> Hash<'_, 'a> {
    /// Reads a small hash of Redis 8.10 with its names in it, as DUMP has it.
    ///
    /// Builds of Redis wrote the names one by one behind their count, or as a listpack. Which it
    /// is shows in the bytes: a listpack begins with its length, and ends with a mark.
    ///
    /// # Errors
    /// When it is neither.
    pub(crate) fn read_named(reader: &mut Reader<'a>) -> Result<Self, Corrupt> {
        let mut ahead = *reader;
        let packed = ahead.blob().and_then(|names| Ok((names, ahead.blob()?)));
        if let Ok((names, values)) = packed
            && is_packed(&names)
            && is_packed(&values)
        {
            *reader = ahead;
            return Ok(Self::NamedListpack(HashNames::Listpack(names), values));
        }
        let names: Result<_, _> = (0..some(reader.count(1)?)?)
            .map(|_| reader.text())
            .collect();
        Ok(Self::NamedListpack(HashNames::Each(names?), reader.blob()?))
    }
}

/// Whether bytes look like a listpack from outside.
fn is_packed(bytes: &[u8]) -> bool {
    const HEADER: usize = 6;
    const END: u8 = 0xff;
    let len = bytes
        .first_chunk()
        .map(|len| u32::from_le_bytes(*len) as usize);
    bytes.len() > HEADER && len == Some(bytes.len()) && bytes.last() == Some(&END)
}

impl<'r, 'a> ListParts<'r, 'a> {
    fn read(reader: &'r mut Reader<'a>, object: ObjectType) -> Result<Self, Corrupt> {
        let left = match object {
            ObjectType::ListZiplist => 1,
            ObjectType::ListQuicklist2 => some(reader.count(2)?)?,
            _ => some(reader.count(1)?)?,
        };
        Ok(Self {
            reader,
            left,
            object,
        })
    }

    fn part(&mut self) -> Result<ListPart<'a>, Corrupt> {
        let node = match self.object {
            ObjectType::List => return Ok(ListPart::Element(self.reader.text()?)),
            ObjectType::ListQuicklist2 => self.reader.length()?,
            _ => return Ok(ListPart::Ziplist(Ziplist::new(self.reader.blob()?)?)),
        };
        match (node, self.reader.text()?) {
            (PLAIN, element) => Ok(ListPart::Element(element)),
            // A listpack is written as a string, and an integer's form cannot be one; it is refused
            // when it is validated.
            (PACKED, listpack) => Ok(ListPart::Listpack(listpack.into_bytes())),
            _ => Err(Corrupt::InvalidNode),
        }
    }
}

impl<'a> Members<'_, 'a> {
    fn member(&mut self) -> Result<Member<'a>, Corrupt> {
        let name = self.reader.text()?;
        let expire_at = match self.expire {
            true => binary_expiry(self.reader.i64_le()?)?,
            false => None,
        };
        Ok(Member { name, expire_at })
    }
}

impl<'a> Scored<'_, 'a> {
    fn member(&mut self) -> Result<ScoredMember<'a>, Corrupt> {
        let name = self.reader.text()?;
        let score = match self.object {
            ObjectType::SortedSetText => score_as_text(self.reader)?,
            _ => f64::from_le_bytes(self.reader.array()?),
        };
        if score.is_nan() {
            return Err(Corrupt::InvalidScore);
        }
        let expire_at = match self.object {
            ObjectType::SortedSetExpiring => binary_expiry(self.reader.i64_le()?)?,
            _ => None,
        };
        Ok(ScoredMember {
            name,
            score,
            expire_at,
        })
    }
}

impl<'a> Fields<'_, 'a> {
    fn field(&mut self) -> Result<Field<'a>, Corrupt> {
        // Redis writes the time before the field, Valkey behind the value.
        let before = match self.expiries {
            Expiries::After(start) => relative_expiry(self.reader.length()?, start)?,
            _ => None,
        };
        let (name, value) = (self.reader.text()?, self.reader.text()?);
        let expire_at = match self.expiries {
            Expiries::Binary => binary_expiry(self.reader.i64_le()?)?,
            _ => before,
        };
        Ok(Field {
            name,
            value,
            expire_at,
        })
    }
}

/// The number of elements unless there are none.
fn some(count: usize) -> Result<usize, Corrupt> {
    match count {
        0 => Err(Corrupt::Empty),
        count => Ok(count),
    }
}

/// A score as it was written before version 8: a length that may stand for a number itself, and
/// decimal text.
fn score_as_text(reader: &mut Reader<'_>) -> Result<f64, Corrupt> {
    match reader.u8()? {
        NEGATIVE_INFINITY => Ok(f64::NEG_INFINITY),
        INFINITY => Ok(f64::INFINITY),
        len => Text::from(reader.bytes(len.into())?)
            .score()
            .ok_or(Corrupt::InvalidScore),
    }
}

fn relative_expiry(after: u64, start: u64) -> Result<Option<u64>, Corrupt> {
    // 0 means none, so all others are one more than they say.
    let Some(after) = after.checked_sub(1) else {
        return Ok(None);
    };
    let at = start.checked_add(after).filter(|at| *at <= EXPIRE_MAX);
    at.map(Some).ok_or(Corrupt::InvalidTime)
}

fn binary_expiry(at: i64) -> Result<Option<u64>, Corrupt> {
    match at {
        -1 => Ok(None),
        at => u64::try_from(at)
            .map(Some)
            .map_err(|_| Corrupt::InvalidTime),
    }
}

/// The next of `left` elements; none after an error.
fn next<T>(
    left: &mut usize,
    read: impl FnOnce() -> Result<T, Corrupt>,
) -> Option<Result<T, Corrupt>> {
    *left = left.checked_sub(1)?;
    let element = read();
    if element.is_err() {
        *left = 0;
    }
    Some(element)
}

macro_rules! elements {
    ($iterator:ident, $element:ty, $read:expr) => {
        impl<'a> Iterator for $iterator<'_, 'a> {
            type Item = Result<$element, Corrupt>;

            fn next(&mut self) -> Option<Self::Item> {
                // Copied, as reading an element borrows the whole iterator.
                let mut left = self.left;
                let element = next(&mut left, || $read(self));
                self.left = left;
                element
            }

            /// Not more than the bytes that are there can hold.
            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.left, Some(self.left))
            }
        }
    };
}

elements!(ListParts, ListPart<'a>, ListParts::part);
elements!(Members, Member<'a>, Members::member);
elements!(Scored, ScoredMember<'a>, Scored::member);
elements!(Fields, Field<'a>, Fields::field);
