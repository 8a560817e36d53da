//! An entry as it lies in its slot.
//!
//! ```text
//! clock 4 | flags 1 | key length 1 | expiry 0, 6 or 8 | key | value | padding
//! flags: form of the value 4 bits | width of the expiry 2 bits | padding 2 bits
//! ```
//! The value has no length of its own: it ends where the padding begins, and the slot's size is known from its page.
//! Padding of 0, 1 or 2 bytes is in the flags; with 3 there, its length is in the slot's last two bytes. A key of 255
//! bytes or more, and a value that would make the entry too large for a slot, lie in the [`Slab`]; four bytes say where.
//! So a key of 16 bytes with a value of 32 takes 54 bytes in a slot of 56, and 60 with an expiry.
//!
//! An integer takes as many bytes as it needs, an expiry six until the year 10889. Numbers are stored as the machine has
//! them: entries never leave the process.

use super::slab::Slab;
use crate::UnixMs;
use crate::value::{Encoding, Kind, StringRef, ValueRef, encoding_of_bytes};

const FLAGS: usize = 4;
const KEY_LEN: usize = 5;
/// Bytes before the expiry.
const HEAD: usize = 6;
/// Key length that says that the key is in the slab.
const FAR_KEY: u8 = u8::MAX;
const SIX_BYTES: UnixMs = 1 << 48;
/// Bytes of an index into the slab.
pub(crate) const FAR_BYTES: usize = 4;
/// Longest key that is not in the slab.
pub(crate) const NEAR_KEY_MAX: usize = 254;

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// An integer.
    Int,
    /// A string written whole.
    Bytes,
    /// A string changed in place.
    Raw,
    /// A string written whole, in the slab.
    FarBytes,
    /// A string changed in place, in the slab.
    FarRaw,
}

/// An entry to read.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    slot: &'a [u8],
    slab: &'a Slab,
}

/// Where the parts of an entry are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head(u8, u8);

impl Form {
    fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Int,
            1 => Self::Bytes,
            2 => Self::Raw,
            3 => Self::FarBytes,
            _ => Self::FarRaw,
        }
    }

    fn is_far(self) -> bool {
        matches!(self, Self::FarBytes | Self::FarRaw)
    }
}

impl Head {
    #[inline]
    pub(crate) fn of(slot: &[u8]) -> Self {
        Self(slot[FLAGS], slot[KEY_LEN])
    }

    #[inline]
    pub(crate) fn form(self) -> Form {
        Form::from_bits(self.0 & 0xF)
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
        HEAD + self.expiry_bytes()
    }

    #[inline]
    pub(crate) fn value_start(self) -> usize {
        self.key_start() + near_bytes(self.1)
    }

    #[inline]
    fn padding(self, slot: &[u8]) -> usize {
        match self.0 >> 6 {
            3 => usize::from(u16::from_ne_bytes(array(&slot[slot.len() - 2..]))),
            few => usize::from(few),
        }
    }
}

impl<'a> Entry<'a> {
    #[inline]
    pub(crate) fn new(slot: &'a [u8], slab: &'a Slab) -> Self {
        Self { slot, slab }
    }

    /// See [`crate::AccessPolicy`].
    #[inline]
    pub(crate) fn clock(&self) -> u32 {
        u32::from_ne_bytes(array(&self.slot[..FLAGS]))
    }

    #[inline]
    pub(crate) fn expire_at(&self) -> Option<UnixMs> {
        let width = Head::of(self.slot).expiry_bytes();
        if width == 0 {
            return None;
        }
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(&self.slot[HEAD..HEAD + width]);
        Some(UnixMs::from_le_bytes(bytes))
    }

    #[inline]
    pub(crate) fn key(&self) -> &'a [u8] {
        let head = Head::of(self.slot);
        let key = &self.slot[head.key_start()..head.value_start()];
        if head.1 == FAR_KEY {
            return self.slab.get(far_index(key));
        }
        key
    }

    pub(crate) fn form(&self) -> Form {
        Head::of(self.slot).form()
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::String
    }

    pub(crate) fn encoding(&self) -> Encoding {
        match self.form() {
            Form::Int => Encoding::Int,
            Form::Bytes => encoding_of_bytes(self.stored_value().len()),
            Form::Raw | Form::FarBytes | Form::FarRaw => Encoding::Raw,
        }
    }

    #[inline]
    pub(crate) fn value(&self) -> ValueRef<'a> {
        let stored = self.stored_value();
        ValueRef::String(match self.form() {
            Form::Int => StringRef::Int(decode_int(stored)),
            Form::Bytes | Form::Raw => StringRef::Bytes(stored),
            Form::FarBytes | Form::FarRaw => StringRef::Bytes(self.slab.get(far_index(stored))),
        })
    }

    /// Bytes this entry accounts for: its slot and what it has in the slab.
    pub(crate) fn bytes(&self) -> usize {
        self.slot.len()
            + self
                .far()
                .map(|index| self.slab.bytes_of(index))
                .sum::<usize>()
    }

    /// What this entry has in the slab.
    pub(crate) fn far(&self) -> impl Iterator<Item = u32> + use<> {
        let head = Head::of(self.slot);
        let key = &self.slot[head.key_start()..head.value_start()];
        let key = (head.1 == FAR_KEY).then(|| far_index(key));
        key.into_iter().chain(self.far_value())
    }

    pub(crate) fn far_value(&self) -> Option<u32> {
        self.form().is_far().then(|| far_index(self.stored_value()))
    }

    #[inline]
    pub(crate) fn stored_value(&self) -> &'a [u8] {
        let head = Head::of(self.slot);
        &self.slot[head.value_start()..self.slot.len() - head.padding(self.slot)]
    }
}

impl std::fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key())
            .field("value", &self.value())
            .field("expire_at", &self.expire_at())
            .finish_non_exhaustive()
    }
}

// Writing. The slot is large enough for what is written into it.

/// Bytes an entry takes before its value. `key_bytes` is what the key takes in the slot.
pub(crate) fn bytes_before_value(key_bytes: usize, expire_at: Option<UnixMs>) -> usize {
    HEAD + expiry_bytes(expire_at) + key_bytes
}

/// Writes all but the value. `key` is the key or, if `far`, its index.
pub(crate) fn write_head(
    slot: &mut [u8],
    clock: u32,
    expire_at: Option<UnixMs>,
    key: &[u8],
    far: bool,
) {
    slot[FLAGS] = 0;
    slot[KEY_LEN] = if far { FAR_KEY } else { key.len() as u8 };
    let key_start = HEAD + expiry_bytes(expire_at);
    slot[key_start..key_start + key.len()].copy_from_slice(key);
    write_clock(slot, clock);
    set_expiry_width(slot, expire_at);
    overwrite_expiry(slot, expire_at);
}

#[inline]
pub(crate) fn write_clock(slot: &mut [u8], clock: u32) {
    slot[..FLAGS].copy_from_slice(&clock.to_ne_bytes());
}

/// Writes another expiry in the same place, unless it takes more or less room.
pub(crate) fn overwrite_expiry(slot: &mut [u8], expire_at: Option<UnixMs>) -> bool {
    let width = expiry_bytes(expire_at);
    if width != Head::of(slot).expiry_bytes() {
        return false;
    }
    let bytes = expire_at.unwrap_or_default().to_le_bytes();
    slot[HEAD..HEAD + width].copy_from_slice(&bytes[..width]);
    true
}

/// Writes an entry as `old` is, but for its expiry. `old` is a whole slot.
pub(crate) fn copy_with_expiry(old: &[u8], slot: &mut [u8], expire_at: Option<UnixMs>) {
    let head = Head::of(old);
    slot[..HEAD].copy_from_slice(&old[..HEAD]);
    set_expiry_width(slot, expire_at);
    overwrite_expiry(slot, expire_at);
    let rest = &old[head.key_start()..old.len() - head.padding(old)];
    let start = Head::of(slot).key_start();
    slot[start..start + rest.len()].copy_from_slice(rest);
    let value_bytes = old.len() - head.padding(old) - head.value_start();
    value_room(slot, head.form(), value_bytes);
}

/// Gives the value this form and length and returns its bytes, to be filled.
#[inline]
pub(crate) fn value_room(slot: &mut [u8], form: Form, bytes: usize) -> &mut [u8] {
    let start = Head::of(slot).value_start();
    let padding = slot.len() - start - bytes;
    if padding >= 3 {
        let at = slot.len() - 2;
        slot[at..].copy_from_slice(&(padding as u16).to_ne_bytes());
    }
    slot[FLAGS] = slot[FLAGS] & 0x30 | form as u8 | (padding.min(3) as u8) << 6;
    &mut slot[start..start + bytes]
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

fn set_expiry_width(slot: &mut [u8], expire_at: Option<UnixMs>) {
    let width = match expiry_bytes(expire_at) {
        0 => 0,
        6 => 1,
        _ => 2,
    };
    slot[FLAGS] = slot[FLAGS] & !0x30 | width << 4;
}

fn expiry_bytes(expire_at: Option<UnixMs>) -> usize {
    match expire_at {
        None => 0,
        Some(at) if at < SIX_BYTES => 6,
        Some(_) => 8,
    }
}

/// What a key of this stored length takes in the slot.
#[inline]
fn near_bytes(key_len: u8) -> usize {
    if key_len == FAR_KEY {
        FAR_BYTES
    } else {
        usize::from(key_len)
    }
}

fn far_index(bytes: &[u8]) -> u32 {
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

    proptest! {
        #[test]
        fn entries_read_as_written(
            key in prop::collection::vec(any::<u8>(), 0..254),
            value in prop::collection::vec(any::<u8>(), 0..300),
            clock: u32, first in width(), second in width(), spare in 0usize..40,
        ) {
            let bytes = bytes_before_value(key.len(), first) + value.len();
            let (mut slot, slab) = (vec![0xAA; bytes + spare], Slab::default());
            write_head(&mut slot, clock, first, &key, false);
            value_room(&mut slot, Form::Raw, value.len()).copy_from_slice(&value);
            let mut moved = vec![0x55; bytes_before_value(key.len(), second) + value.len() + spare];
            copy_with_expiry(&slot, &mut moved, second);
            for (slot, expiry) in [(slot, first), (moved, second)] {
                let entry = Entry::new(&slot, &slab);
                prop_assert_eq!((entry.clock(), entry.expire_at()), (clock, expiry));
                prop_assert_eq!((entry.key(), entry.stored_value()), (&key[..], &value[..]));
                prop_assert_eq!(entry.form(), Form::Raw);
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
