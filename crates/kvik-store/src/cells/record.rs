//! An entry as it lies in its cell: a key of a keyspace, or a member of a large collection, which
//! has no clock.
//!
//! ```text
//! flags 1 | key length 1 | clock 4 or 0 | expiry 0, 6 or 8 | key | value | padding
//! flags: form of the value 4 bits | width of the expiry 2 bits | padding 2 bits
//! ```
//! The value has no length of its own: it ends where the padding begins, and the cell's size is
//! known from its page. Padding of 0, 1 or 2 bytes is in the flags; with 3 there, its length is in
//! the cell's last two bytes. A key of 255 bytes or more, and a string that would make the entry
//! too large for a cell, lie in a [`Buffers`]; four bytes say where. So a key of 16 bytes with a
//! value of 32 takes 54 bytes in a cell of 56, and 60 with an expiry.
//!
//! An integer takes as many bytes as it needs, an expiry six until the year 10889. Numbers are
//! stored as the machine has them: entries never leave the process. A small collection is its
//! packed bytes (`packed.rs`); for a large one, four bytes name it.

use std::ops::Range;

use super::buffers::Buffers;
use crate::UnixMs;
use crate::kind::{Encoding, Kind};
use crate::text::{StringRef, TextRef};

/// Bytes of the clock in an entry that is a key.
pub(crate) const KEY: usize = 4;
/// Bytes of the clock in an entry that is a member of a collection.
pub(crate) const MEMBER: usize = 0;

const FLAGS: usize = 0;
const KEY_LEN: usize = 1;
const CLOCK_AT: usize = 2;
/// Key length that says that the key is not in the cell.
const EXTERNAL_KEY: u8 = u8::MAX;
const SIX_BYTES: UnixMs = 1 << 48;
/// Bytes of the number of a key, a rope or a collection.
pub(crate) const EXTERNAL_BYTES: usize = 4;
/// Longest key that is in the cell.
pub(crate) const INLINE_KEY_MAX: usize = 254;

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueForm {
    /// An integer.
    Int,
    /// A string written whole.
    Bytes,
    /// A string changed in place.
    Raw,
    /// A string written whole, which is too large for the cell.
    ExternalBytes,
    /// A string changed in place, which is too large for the cell.
    ExternalRaw,
    /// A list as one listpack.
    ListPack,
    /// The same at the end of its cell.
    IndentedListPack,
    /// A hash as a listpack of fields and values.
    HashPack,
    /// A set as an intset.
    IntSet,
    /// A set as a listpack.
    SetPack,
    /// A sorted set as a listpack of members and scores.
    ZsetPack,
    /// A hash as the number of its shape and a row of values.
    ShapedHash,
    /// A collection that has its own place.
    Object,
}

/// An entry to read; `CLOCK` is [`KEY`] or [`MEMBER`].
#[derive(Clone, Copy)]
pub(crate) struct Record<'a, const CLOCK: usize> {
    cell: &'a [u8],
    buffers: &'a Buffers,
}

/// A member of a collection to read.
pub(crate) type Member<'a> = Record<'a, MEMBER>;

/// Where the parts of an entry are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<const CLOCK: usize>(u8, u8);

impl ValueForm {
    #[inline]
    fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Int,
            1 => Self::Bytes,
            2 => Self::Raw,
            3 => Self::ExternalBytes,
            4 => Self::ExternalRaw,
            5 => Self::ListPack,
            6 => Self::IndentedListPack,
            7 => Self::HashPack,
            8 => Self::IntSet,
            9 => Self::SetPack,
            10 => Self::ZsetPack,
            11 => Self::ShapedHash,
            _ => Self::Object,
        }
    }

    fn is_external(self) -> bool {
        matches!(self, Self::ExternalBytes | Self::ExternalRaw)
    }

    /// Whether the value is a packed list.
    #[inline]
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::ListPack | Self::IndentedListPack)
    }

    /// Whether the value is a packed collection.
    #[inline]
    pub(crate) fn is_packed(self) -> bool {
        !self.is_string() && self != Self::Object
    }

    /// Whether the value is a string that is in the cell.
    #[inline]
    pub(crate) fn is_inline_string(self) -> bool {
        self as u8 <= Self::Raw as u8
    }

    /// Whether the value is a string.
    #[inline]
    pub(crate) fn is_string(self) -> bool {
        self as u8 <= Self::ExternalRaw as u8
    }

    /// The type of a value in this form; an object has its own.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::ListPack | Self::IndentedListPack => Kind::List,
            Self::HashPack | Self::ShapedHash => Kind::Hash,
            Self::IntSet | Self::SetPack => Kind::Set,
            Self::ZsetPack => Kind::Zset,
            Self::Object => unreachable!("an object says what it is"),
            _ => Kind::String,
        }
    }
}

impl<const CLOCK: usize> Head<CLOCK> {
    #[inline]
    pub(crate) fn of(cell: &[u8]) -> Self {
        Self(cell[FLAGS], cell[KEY_LEN])
    }

    #[inline]
    pub(crate) fn form(self) -> ValueForm {
        ValueForm::from_bits(self.0 & 0xF)
    }

    #[inline]
    fn expiry_bytes(self) -> usize {
        match self.0 >> 4 & 3 {
            0 => 0,
            1 => 6,
            _ => 8,
        }
    }

    #[inline]
    fn key_start(self) -> usize {
        expiry_start::<CLOCK>() + self.expiry_bytes()
    }

    #[inline]
    pub(crate) fn value_start(self) -> usize {
        self.key_start() + key_room(self.1)
    }

    #[inline]
    fn padding(self, cell: &[u8]) -> usize {
        match self.0 >> 6 {
            3 => usize::from(u16::from_ne_bytes(array(&cell[cell.len() - 2..]))),
            few => usize::from(few),
        }
    }
}

impl<'a, const CLOCK: usize> Record<'a, CLOCK> {
    #[inline]
    pub(crate) fn new(cell: &'a [u8], buffers: &'a Buffers) -> Self {
        Self { cell, buffers }
    }

    /// The whole cell.
    #[inline]
    pub(crate) fn cell(&self) -> &'a [u8] {
        self.cell
    }

    #[inline]
    pub(crate) fn expire_at(&self) -> Option<UnixMs> {
        let width = Head::<CLOCK>::of(self.cell).expiry_bytes();
        if width == 0 {
            return None;
        }
        let start = expiry_start::<CLOCK>();
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(&self.cell[start..start + width]);
        Some(UnixMs::from_le_bytes(bytes))
    }

    #[inline]
    pub(crate) fn key(&self) -> &'a [u8] {
        let head = Head::<CLOCK>::of(self.cell);
        let key = &self.cell[head.key_start()..head.value_start()];
        if head.1 == EXTERNAL_KEY {
            return self.buffers.get(number(key));
        }
        key
    }

    /// Whether this is its key.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each lookup calls it once")]
    pub(crate) fn has_key(&self, key: &[u8]) -> bool {
        let head = Head::<CLOCK>::of(self.cell);
        if head.1 == EXTERNAL_KEY {
            return self.key() == key;
        }
        usize::from(head.1) == key.len() && {
            let start = head.key_start();
            same_bytes(&self.cell[start..start + key.len()], key)
        }
    }

    #[inline]
    pub(crate) fn form(&self) -> ValueForm {
        Head::<CLOCK>::of(self.cell).form()
    }

    /// Whether the entry may concern the clock: it expires, or is a collection that has its own
    /// place.
    #[inline]
    pub(crate) fn may_expire(&self) -> bool {
        let flags = self.cell[FLAGS];
        flags & 0x30 != 0 || flags & 0xF >= ValueForm::Object as u8
    }

    /// The value, which is a string and in the cell.
    #[inline]
    pub(crate) fn inline_string(&self) -> StringRef<'a> {
        let stored = self.stored_value();
        match self.form() {
            ValueForm::Int => StringRef::Int(decode_int(stored)),
            _ => StringRef::Bytes(stored),
        }
    }

    /// The encoding of a value that is a string.
    pub(crate) fn string_encoding(&self) -> Encoding {
        match self.form() {
            ValueForm::Int => Encoding::Int,
            ValueForm::Bytes => Encoding::of_bytes(self.stored_value().len()),
            _ => Encoding::Raw,
        }
    }

    /// Bytes this entry accounts for: its cell and its buffers. A collection that has its own place
    /// comes on top.
    pub(crate) fn bytes(&self) -> usize {
        let key = self.external_key();
        let value = self.external_value();
        self.cell.len()
            + key.map_or(0, |index| self.buffers.bytes_of(index))
            + value.map_or(0, |index| self.external_bytes(index))
    }

    fn external_bytes(&self, value: u32) -> usize {
        if CLOCK == KEY {
            self.buffers.rope_bytes(value)
        } else {
            self.buffers.bytes_of(value)
        }
    }

    /// The number of the key, if it is too large for the cell.
    pub(crate) fn external_key(&self) -> Option<u32> {
        let head = Head::<CLOCK>::of(self.cell);
        let key = &self.cell[head.key_start()..head.value_start()];
        (head.1 == EXTERNAL_KEY).then(|| number(key))
    }

    /// The number of the string that is the value, if it is too large for the cell.
    pub(crate) fn external_value(&self) -> Option<u32> {
        self.form()
            .is_external()
            .then(|| number(self.stored_value()))
    }

    /// The number of the collection that is the value, if it has its own place.
    #[inline]
    pub(crate) fn object(&self) -> Option<u32> {
        (self.form() == ValueForm::Object).then(|| number(self.stored_value()))
    }

    #[inline]
    pub(crate) fn stored_value(&self) -> &'a [u8] {
        &self.cell[value_range::<CLOCK>(self.cell)]
    }
}

impl<'a> Record<'a, MEMBER> {
    /// The value, which is a string.
    #[inline]
    pub(crate) fn string(&self) -> StringRef<'a> {
        match self.external_value() {
            Some(index) => StringRef::Bytes(self.buffers.get(index)),
            None => self.inline_string(),
        }
    }
}

impl<'a> Record<'a, KEY> {
    /// The value, which is a string.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "what it returns would go through memory, in pieces"
    )]
    pub(crate) fn string(&self) -> TextRef<'a> {
        let stored = self.stored_value();
        match self.form() {
            ValueForm::Int => TextRef::Int(decode_int(stored)),
            ValueForm::ExternalBytes | ValueForm::ExternalRaw => {
                TextRef::Rope(self.buffers.rope(number(stored)))
            }
            _ => TextRef::Bytes(stored),
        }
    }

    /// See [`crate::AccessPolicy`].
    #[inline]
    pub(crate) fn clock(&self) -> u32 {
        u32::from_ne_bytes(array(&self.cell[CLOCK_AT..CLOCK_AT + KEY]))
    }
}

impl<const CLOCK: usize> std::fmt::Debug for Record<'_, CLOCK> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("key", &self.key())
            .field("form", &self.form())
            .field("expire_at", &self.expire_at())
            .finish_non_exhaustive()
    }
}

/// Where the value lies in a cell.
#[inline]
pub(crate) fn value_range<const CLOCK: usize>(cell: &[u8]) -> Range<usize> {
    let head = Head::<CLOCK>::of(cell);
    head.value_start()..cell.len() - head.padding(cell)
}

// Writing. The cell is large enough for what is written into it.

/// Bytes an entry takes before its value. `key_bytes` is what the key takes in the cell.
pub(crate) fn bytes_before_value<const CLOCK: usize>(
    key_bytes: usize,
    expire_at: Option<UnixMs>,
) -> usize {
    expiry_start::<CLOCK>() + expiry_bytes(expire_at) + key_bytes
}

/// Writes all but clock and value. `key` is the key or, if `external`, the number of its buffer.
pub(crate) fn write_head<const CLOCK: usize>(
    cell: &mut [u8],
    expire_at: Option<UnixMs>,
    key: &[u8],
    external: bool,
) {
    cell[FLAGS] = 0;
    cell[KEY_LEN] = if external {
        EXTERNAL_KEY
    } else {
        key.len() as u8
    };
    let key_start = expiry_start::<CLOCK>() + expiry_bytes(expire_at);
    cell[key_start..key_start + key.len()].copy_from_slice(key);
    set_expiry_width(cell, expire_at);
    overwrite_expiry::<CLOCK>(cell, expire_at);
}

/// Writes the clock of a key.
#[inline]
pub(crate) fn write_clock(cell: &mut [u8], clock: u32) {
    cell[CLOCK_AT..CLOCK_AT + KEY].copy_from_slice(&clock.to_ne_bytes());
}

/// Writes another expiry in the same place, unless it takes more or less room.
pub(crate) fn overwrite_expiry<const CLOCK: usize>(
    cell: &mut [u8],
    expire_at: Option<UnixMs>,
) -> bool {
    let width = expiry_bytes(expire_at);
    if width != Head::<CLOCK>::of(cell).expiry_bytes() {
        return false;
    }
    let bytes = expire_at.unwrap_or_default().to_le_bytes();
    let start = expiry_start::<CLOCK>();
    cell[start..start + width].copy_from_slice(&bytes[..width]);
    true
}

/// Writes an entry as `old` is, but for its expiry. `old` is a whole cell.
pub(crate) fn copy_with_expiry<const CLOCK: usize>(
    old: &[u8],
    cell: &mut [u8],
    expire_at: Option<UnixMs>,
) {
    let head = Head::<CLOCK>::of(old);
    let fixed = expiry_start::<CLOCK>();
    cell[..fixed].copy_from_slice(&old[..fixed]);
    set_expiry_width(cell, expire_at);
    overwrite_expiry::<CLOCK>(cell, expire_at);
    let rest = &old[head.key_start()..old.len() - head.padding(old)];
    let start = Head::<CLOCK>::of(cell).key_start();
    cell[start..start + rest.len()].copy_from_slice(rest);
    let value_bytes = old.len() - head.padding(old) - head.value_start();
    value_room::<CLOCK>(cell, head.form(), value_bytes);
}

/// Gives the value this form and length and returns its bytes, to be filled.
#[inline]
pub(crate) fn value_room<const CLOCK: usize>(
    cell: &mut [u8],
    form: ValueForm,
    bytes: usize,
) -> &mut [u8] {
    let start = Head::<CLOCK>::of(cell).value_start();
    let padding = cell.len() - start - bytes;
    if padding >= 3 {
        let at = cell.len() - 2;
        cell[at..].copy_from_slice(&(padding as u16).to_ne_bytes());
    }
    cell[FLAGS] = cell[FLAGS] & 0x30 | form as u8 | (padding.min(3) as u8) << 6;
    &mut cell[start..start + bytes]
}

/// An integer in as few bytes as it needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedInt([u8; 8], usize);

impl PackedInt {
    pub(crate) fn new(n: i64) -> Self {
        let magnitude = if n < 0 { !n } else { n };
        let bits = 65 - magnitude.leading_zeros() as usize;
        Self(n.to_le_bytes(), bits.div_ceil(8))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

fn decode_int(bytes: &[u8]) -> i64 {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut wide = if negative { [0xFF; 8] } else { [0; 8] };
    wide[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(wide)
}

fn set_expiry_width(cell: &mut [u8], expire_at: Option<UnixMs>) {
    let width = match expiry_bytes(expire_at) {
        0 => 0,
        6 => 1,
        _ => 2,
    };
    cell[FLAGS] = cell[FLAGS] & !0x30 | width << 4;
}

const fn expiry_start<const CLOCK: usize>() -> usize {
    CLOCK_AT + CLOCK
}

fn expiry_bytes(expire_at: Option<UnixMs>) -> usize {
    match expire_at {
        None => 0,
        Some(at) if at < SIX_BYTES => 6,
        Some(_) => 8,
    }
}

/// Bytes in the cell of a key of this stored length.
#[inline]
fn key_room(key_len: u8) -> usize {
    if key_len == EXTERNAL_KEY {
        EXTERNAL_BYTES
    } else {
        usize::from(key_len)
    }
}

/// Whether two slices of one length are equal. Keys are too short for a call to be worth its while.
#[inline]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let words = a.iter().zip(b);
    let differs = words.fold(0, |differs, (a, b)| {
        differs | (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b))
    });
    let bytes = a_rest.iter().zip(b_rest);
    differs == 0 && bytes.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_ne_bytes(array(bytes))
}

#[inline]
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the slice has this length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn width() -> impl Strategy<Value = Option<UnixMs>> {
        prop::option::of(prop_oneof![0..SIX_BYTES, any::<u64>()])
    }

    /// An entry, and a copy of it with another expiry.
    fn written<const CLOCK: usize>(
        key: &[u8],
        value: &[u8],
        first: Option<UnixMs>,
        second: Option<UnixMs>,
        spare: usize,
        clock: impl FnOnce(&mut [u8]),
    ) -> [Vec<u8>; 2] {
        let bytes = |expiry| bytes_before_value::<CLOCK>(key.len(), expiry) + value.len() + spare;
        let mut cell = vec![0xAA; bytes(first)];
        write_head::<CLOCK>(&mut cell, first, key, false);
        clock(&mut cell);
        value_room::<CLOCK>(&mut cell, ValueForm::Raw, value.len()).copy_from_slice(value);
        let mut moved = vec![0x55; bytes(second)];
        copy_with_expiry::<CLOCK>(&cell, &mut moved, second);
        [cell, moved]
    }

    proptest! {
        #[test]
        fn entries_read_as_written(
            key in prop::collection::vec(any::<u8>(), 0..254),
            value in prop::collection::vec(any::<u8>(), 0..300),
            clock: u32, first in width(), second in width(), spare in 0usize..40,
        ) {
            let cells = written::<KEY>(&key, &value, first, second, spare, |cell| write_clock(cell, clock));
            let buffers = Buffers::default();
            for (cell, expiry) in cells.iter().zip([first, second]) {
                let entry = Record::<KEY>::new(cell, &buffers);
                prop_assert_eq!((entry.clock(), entry.expire_at()), (clock, expiry));
                prop_assert_eq!((entry.key(), entry.stored_value()), (&key[..], &value[..]));
                prop_assert_eq!(entry.form(), ValueForm::Raw);
            }
            let cells = written::<MEMBER>(&key, &value, first, second, spare, |_| ());
            for (cell, expiry) in cells.iter().zip([first, second]) {
                let member = Member::new(cell, &buffers);
                prop_assert_eq!((member.key(), member.stored_value()), (&key[..], &value[..]));
                prop_assert_eq!(member.expire_at(), expiry);
            }
        }

        #[test]
        fn integers_take_few_bytes(n: i64, shift in 0u32..64) {
            let n = n >> shift;
            let packed = PackedInt::new(n);
            prop_assert_eq!(decode_int(packed.bytes()), n);
            let len = packed.bytes().len() as u32;
            prop_assert!(len == 1 || n >= 1 << (len * 8 - 9) || n < -(1 << (len * 8 - 9)));
        }
    }
}
