//! Values as RDB writes them, for DUMP and for files, whole or in slices.
//!
//! [`ValueWriter`] writes a value a slice at a time: first how many elements there are, then the
//! elements, so that whoever holds a stripe can let it go in between. It remembers where it was,
//! nothing of the value, and the caller shows it the same value each time: nothing of it may have
//! changed. Going on costs O(1) for strings and tables, O(log n) for sorted sets and O(nodes) for
//! lists and streams, whose nodes hold some hundred elements each; they are meant to be copied,
//! which shares the nodes, and written from the copy; the same goes for arrays.
//!
//! Who sees the members of a collection one by one, in whatever order, begins it with
//! [`table_type`] and a count and writes them with [`write_field`], [`write_member`] and
//! [`write_scored`].

mod stream;

use kvik_rdb::{Compression, Encoder, KeyHeader, KeyUsage, ListNode, ObjectType};
use kvik_store::{
    ArrayRef, Field, HashRef, IntText, Kind, ListRef, SetRef, StringRef, TextRef, UnixMs, ValueRef,
    View, ZsetRef,
};

use self::stream::StreamPlace;

/// Longest rope that is compressed: the compressed form must be whole before it can be written.
const COMPRESSED_MAX: usize = 16 << 20;

/// The usage data that a file carries for its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedUsage {
    /// Nothing.
    Nothing,
    /// How long ago, for an eviction by recency.
    Idle,
    /// How often, for an eviction by frequency.
    Frequency,
}

/// Writes the body of one value, a slice at a time.
#[derive(Clone, Debug)]
pub struct ValueWriter {
    object: ObjectType,
    place: ValuePlace,
}

/// Where writing goes on.
#[derive(Clone, Copy, Debug)]
enum ValuePlace {
    Start,
    /// At this byte of a rope.
    Byte(usize),
    /// At this node of a list.
    Node(usize),
    /// At this cursor of a table.
    Cursor(u64),
    /// Behind so many members of a sorted set, counted from its end.
    Rank(usize),
    Stream(StreamPlace),
    /// At the first element of an array with this index or a larger one.
    Index(u64),
    End,
}

/// The oldest type that holds the value.
pub fn type_of(value: ValueRef<'_>) -> ObjectType {
    match value {
        ValueRef::String(_) => ObjectType::String,
        ValueRef::List(_) => ObjectType::ListQuicklist2,
        ValueRef::Set(SetRef::Ints(_)) => ObjectType::SetIntset,
        ValueRef::Set(set) => table_type(Kind::Set, set.expires()),
        ValueRef::Stream(stream) if stream.has_released() => ObjectType::Stream5,
        ValueRef::Stream(stream) if stream.idempotence().is_some() => ObjectType::Stream4,
        ValueRef::Stream(_) => ObjectType::Stream2,
        ValueRef::Array(_) => ObjectType::Array,
        ValueRef::Hash(HashRef::Pack(_) | HashRef::Shaped(_)) => ObjectType::HashListpack,
        ValueRef::Hash(hash) => table_type(Kind::Hash, hash.expires()),
        ValueRef::Zset(ZsetRef::Pack(_)) => ObjectType::SortedSetListpack,
        ValueRef::Zset(zset) => table_type(Kind::Zset, zset.expires()),
    }
}

/// The oldest type that holds a table of members of this kind, of which some expire or none.
///
/// # Panics
/// When values of this kind are no tables of members.
pub fn table_type(kind: Kind, expires: bool) -> ObjectType {
    match (kind, expires) {
        (Kind::Set, false) => ObjectType::Set,
        (Kind::Set, true) => ObjectType::SetExpiring,
        (Kind::Hash, false) => ObjectType::Hash,
        (Kind::Hash, true) => ObjectType::HashExpiringValkey,
        (Kind::Zset, false) => ObjectType::SortedSet,
        (Kind::Zset, true) => ObjectType::SortedSetExpiring,
        (Kind::String | Kind::List | Kind::Stream | Kind::Array, _) => {
            unreachable!("{kind:?} is no table of members")
        }
    }
}

/// The header before a key's value of type `object` in a file.
pub fn key_header<'k>(view: &View<'k>, usage: SavedUsage, object: ObjectType) -> KeyHeader<'k> {
    KeyHeader {
        key: view.key().into(),
        expire_at: view.expire_at(),
        usage: match usage {
            SavedUsage::Nothing => KeyUsage::Untold,
            SavedUsage::Idle => KeyUsage::Idle(view.idle_seconds()),
            SavedUsage::Frequency => KeyUsage::Frequency(view.frequency()),
        },
        object,
    }
}

/// Writes a key with all of its value, and returns the version that a file must have for it.
pub fn write_key(view: &View<'_>, usage: SavedUsage, encoder: &mut Encoder<'_>) -> u16 {
    let mut writer = ValueWriter::new(view.value());
    encoder.key(&key_header(view, usage, writer.object()));
    writer.write(view.value(), usize::MAX, encoder);
    writer.object().version()
}

/// Writes a field of a collection that was begun with this type.
pub fn write_field(field: &Field<'_>, object: ObjectType, encoder: &mut Encoder<'_>) {
    write_text(field.name.into(), encoder);
    write_text(field.value.into(), encoder);
    if object == ObjectType::HashExpiringValkey {
        encoder.expiry(field.expire_at);
    }
}

/// Writes a member of a set that was begun with this type.
pub fn write_member(
    name: StringRef<'_>,
    expire_at: Option<UnixMs>,
    object: ObjectType,
    encoder: &mut Encoder<'_>,
) {
    write_text(name.into(), encoder);
    if object == ObjectType::SetExpiring {
        encoder.expiry(expire_at);
    }
}

/// Writes a member of a sorted set that was begun with this type.
pub fn write_scored(
    name: StringRef<'_>,
    score: f64,
    expire_at: Option<UnixMs>,
    object: ObjectType,
    encoder: &mut Encoder<'_>,
) {
    write_text(name.into(), encoder);
    encoder.score(score);
    if object == ObjectType::SortedSetExpiring {
        encoder.expiry(expire_at);
    }
}

impl ValueWriter {
    /// At the start of a value.
    pub fn new(value: ValueRef<'_>) -> Self {
        Self {
            object: type_of(value),
            place: ValuePlace::Start,
        }
    }

    /// The type that the value is written as.
    pub fn object(&self) -> ObjectType {
        self.object
    }

    /// Whether the whole value has been written.
    pub fn is_done(&self) -> bool {
        matches!(self.place, ValuePlace::End)
    }

    /// Writes on until about `budget` bytes more are written or the value ends, and says whether it
    /// has. A slice ends with a whole element, or with a chunk of a large string.
    pub fn write(&mut self, value: ValueRef<'_>, budget: usize, encoder: &mut Encoder<'_>) -> bool {
        let limit = encoder.written().saturating_add(budget.max(1));
        self.place = match value {
            ValueRef::String(string) => self.write_string(string, limit, encoder),
            ValueRef::List(list) => self.write_list(list, limit, encoder),
            ValueRef::Set(set) => self.write_set(set, limit, encoder),
            ValueRef::Hash(hash) => self.write_hash(hash, limit, encoder),
            ValueRef::Zset(zset) => self.write_zset(zset, limit, encoder),
            ValueRef::Stream(stream) => {
                let place = match self.place {
                    ValuePlace::Stream(place) => Some(place),
                    _ => None,
                };
                let next = StreamPlace::write(place, stream, self.object, limit, encoder);
                next.map_or(ValuePlace::End, ValuePlace::Stream)
            }
            ValueRef::Array(array) => self.write_array(array, limit, encoder),
        };
        self.is_done()
    }

    fn write_string(
        &self,
        string: TextRef<'_>,
        limit: usize,
        encoder: &mut Encoder<'_>,
    ) -> ValuePlace {
        let TextRef::Rope(rope) = string else {
            write_text(string, encoder);
            return ValuePlace::End;
        };
        // How long a compressed string is stands before it, so it is written at once or not
        // compressed.
        let is_compressed =
            encoder.compression() == Compression::Lzf && rope.len() <= COMPRESSED_MAX;
        let mut at = match self.place {
            ValuePlace::Byte(at) => at,
            // Holes are as good as nothing when they are compressed.
            _ if encoder.compression() == Compression::Lzf
                && rope.is_sparse()
                && rope.bytes() <= COMPRESSED_MAX =>
            {
                encoder.string_in_parts(rope.slices(0..rope.len()), rope.len());
                return ValuePlace::End;
            }
            _ if is_compressed => {
                encoder.string(&rope.to_vec());
                return ValuePlace::End;
            }
            _ => {
                // Chunk by chunk, as the rope has it: nothing is copied but to the buffer.
                encoder.string_of(rope.len());
                0
            }
        };
        for chunk in rope.slices(at..rope.len()) {
            encoder.bytes(chunk);
            at += chunk.len();
            if encoder.written() >= limit {
                break;
            }
        }
        if at < rope.len() {
            ValuePlace::Byte(at)
        } else {
            ValuePlace::End
        }
    }

    fn write_list(&self, list: ListRef<'_>, limit: usize, encoder: &mut Encoder<'_>) -> ValuePlace {
        let list = match list {
            ListRef::Quick(list) => list,
            ListRef::Pack(bytes) => {
                encoder.count(1);
                encoder.node(ListNode::Listpack(bytes));
                return ValuePlace::End;
            }
        };
        let mut at = match self.place {
            ValuePlace::Node(at) => at,
            _ => {
                encoder.count(list.node_count());
                0
            }
        };
        // Nodes are Redis' own listpacks and are written as they are.
        for node in list.nodes().skip(at) {
            encoder.node(match node {
                kvik_store::ListNode::Pack(bytes) => ListNode::Listpack(bytes),
                kvik_store::ListNode::Plain(element) => ListNode::Plain(element),
            });
            at += 1;
            if encoder.written() >= limit {
                break;
            }
        }
        if at < list.node_count() {
            ValuePlace::Node(at)
        } else {
            ValuePlace::End
        }
    }

    fn write_set(&self, set: SetRef<'_>, limit: usize, encoder: &mut Encoder<'_>) -> ValuePlace {
        if let SetRef::Ints(ints) = set {
            encoder.packed(ints.as_bytes());
            return ValuePlace::End;
        }
        let object = self.object;
        let mut room = IntText::default();
        let cursor = self.cursor(set.len(), encoder);
        let next = set.scan(cursor, |member| {
            // Looking a member up costs, so it is done only where some expire.
            let expire_at = match object {
                ObjectType::SetExpiring => set.expiry_of(member.text(&mut room)).flatten(),
                _ => None,
            };
            write_member(member, expire_at, object, encoder);
            encoder.written() < limit
        });
        ValuePlace::at_cursor(next)
    }

    fn write_hash(&self, hash: HashRef<'_>, limit: usize, encoder: &mut Encoder<'_>) -> ValuePlace {
        if let HashRef::Pack(pack) = hash {
            encoder.packed(pack.as_bytes());
            return ValuePlace::End;
        }
        if let HashRef::Shaped(shaped) = hash {
            encoder.packed(&shaped.to_listpack());
            return ValuePlace::End;
        }
        let cursor = self.cursor(hash.len(), encoder);
        // A scan ends with the bucket in which the limit was reached: a few elements more.
        let next = hash.scan(cursor, |field| {
            write_field(&field, self.object, encoder);
            encoder.written() < limit
        });
        ValuePlace::at_cursor(next)
    }

    /// From the largest score to the smallest, which is the order that Redis loads fastest.
    fn write_zset(&self, zset: ZsetRef<'_>, limit: usize, encoder: &mut Encoder<'_>) -> ValuePlace {
        if let ZsetRef::Pack(pack) = zset {
            encoder.packed(pack.as_bytes());
            return ValuePlace::End;
        }
        let len = zset.len();
        let mut done = match self.place {
            ValuePlace::Rank(done) => done,
            _ => {
                encoder.count(len);
                0
            }
        };
        let mut room = IntText::default();
        // A rank is found in O(log n), so nothing but a count has to be remembered.
        for member in zset.range(0..len - done, true) {
            let expire_at = match self.object {
                ObjectType::SortedSetExpiring => {
                    zset.expiry_of(member.name.text(&mut room)).flatten()
                }
                _ => None,
            };
            write_scored(member.name, member.score(), expire_at, self.object, encoder);
            done += 1;
            if encoder.written() >= limit {
                break;
            }
        }
        if done < len {
            ValuePlace::Rank(done)
        } else {
            ValuePlace::End
        }
    }

    fn write_array(
        &self,
        array: ArrayRef<'_>,
        limit: usize,
        encoder: &mut Encoder<'_>,
    ) -> ValuePlace {
        let from = match self.place {
            ValuePlace::Index(index) => index,
            _ => {
                encoder.array(array.count(), array.cursor());
                0
            }
        };
        for (index, value) in array.range(from, u64::MAX) {
            // The last index is below the largest number, so there is a next one.
            if encoder.written() >= limit {
                return ValuePlace::Index(index);
            }
            encoder.index(index);
            write_text(value.into(), encoder);
        }
        ValuePlace::End
    }

    /// Where to go on in a table; at its start the number of its members is written.
    fn cursor(&self, len: usize, encoder: &mut Encoder<'_>) -> u64 {
        match self.place {
            ValuePlace::Cursor(cursor) => cursor,
            _ => {
                encoder.count(len);
                0
            }
        }
    }
}

impl ValuePlace {
    fn at_cursor(cursor: u64) -> Self {
        match cursor {
            0 => Self::End,
            cursor => Self::Cursor(cursor),
        }
    }
}

fn write_text(text: TextRef<'_>, encoder: &mut Encoder<'_>) {
    match text {
        TextRef::Int(n) => encoder.int(n),
        TextRef::Bytes(bytes) => encoder.string(bytes),
        TextRef::Rope(rope) => encoder.string(&rope.to_vec()),
    }
}

#[cfg(test)]
mod tests;
