//! One entry of a listpack: how the element is encoded, its data, and how long both are, to be read
//! backwards.
//!
//! ```text
//! 0nnnnnnn                        integer from 0 to 127
//! 10llllll data                   at most 63 bytes
//! 110nnnnn nnnnnnnn               integer of 13 bits, high bits first
//! 1110llll llllllll data          at most 4095 bytes, high bits first
//! 11110000 length data            bytes; the length has 4 bytes, low byte first
//! 1111xxxx data                   integer of 2, 3, 4, 8 bytes, low first, for xxxx = 1, 2, 3, 4
//! 11111111                        the end of the listpack
//! ```
//! The length that follows has 7 bits in each byte, high bits first; in all but its first byte the
//! top bit is set.

use super::{Element, Needle};
use crate::text::canonical_int;

const TINY_BYTES: u8 = 0b1000_0000;
const INT_13: u8 = 0b1100_0000;
const SHORT_BYTES: u8 = 0b1110_0000;
const LONG_BYTES: u8 = 0b1111_0000;
const INT_16: u8 = 0b1111_0001;
const INT_24: u8 = 0b1111_0010;
const INT_32: u8 = 0b1111_0011;
const INT_64: u8 = 0b1111_0100;
const NONE: u8 = 0b1111_1110;

/// Longest encoding of an integer.
const HEAD_BYTES: usize = 9;

/// Sizes of the entries of which the first byte says how long they are; 0 for all others.
const SIZES: [u8; 256] = {
    let mut sizes = [0; 256];
    let mut head = 0;
    while head < INT_64 {
        sizes[head as usize] = match head {
            0..TINY_BYTES => 2,
            TINY_BYTES..INT_13 => head - TINY_BYTES + 2,
            INT_13..SHORT_BYTES => 3,
            INT_16..=INT_32 => head - INT_16 + 4,
            _ => 0,
        };
        head += 1;
    }
    sizes[INT_64 as usize] = 10;
    sizes
};

/// Sizes of entries one after the other. Most begin as the one before does; then the size is known
/// without waiting for the first byte, and the processor is already on its way to the next entry.
#[derive(Clone, Copy)]
pub(super) struct Stride {
    head: u8,
    size: usize,
}

impl Stride {
    /// The size of the entry at the start of `bytes`; nothing where no entry is.
    #[inline]
    pub(super) fn over(&mut self, bytes: &[u8]) -> Option<usize> {
        let &head = bytes.first()?;
        if head == self.head {
            return Some(self.size);
        }
        let size = usize::from(SIZES[usize::from(head)]);
        if size == 0 {
            return decode(bytes).map(|(_, size)| size);
        }
        *self = Self { head, size };
        Some(size)
    }
}

impl Default for Stride {
    fn default() -> Self {
        Self { head: 0, size: 2 }
    }
}

/// The first byte of an entry of these bytes as such, if it says how long they are; else one with
/// which no entry begins.
#[inline]
pub(super) fn head_of(bytes: &[u8]) -> u8 {
    match bytes.len() {
        len @ 0..64 => TINY_BYTES | len as u8,
        _ => NONE,
    }
}

/// Whether an entry that begins so has bytes, of the length that this byte says.
#[inline]
pub(super) fn is_tiny(head: u8) -> bool {
    (TINY_BYTES..INT_13).contains(&head)
}

/// The element at the start of `bytes` and the size of its entry; nothing where no entry is.
#[inline]
pub(super) fn decode(bytes: &[u8]) -> Option<(Element<'_>, usize)> {
    let (&head, rest) = bytes.split_first()?;
    match head {
        0..TINY_BYTES => Some((Element::Int(head.into()), 2)),
        TINY_BYTES..INT_13 => {
            let len = usize::from(head - TINY_BYTES);
            Some((Element::Bytes(rest.get(..len)?), len + 2))
        }
        _ => decode_larger(head, rest),
    }
}

fn decode_larger(head: u8, rest: &[u8]) -> Option<(Element<'_>, usize)> {
    let (int, encoded) = match head {
        INT_13..SHORT_BYTES => (sign_extend(i64::from(head) << 8 | byte(rest, 0)?, 13), 2),
        INT_16 => (i16::from_le_bytes(*rest.first_chunk()?).into(), 3),
        INT_24 => (
            sign_extend(
                byte(rest, 0)? | byte(rest, 1)? << 8 | byte(rest, 2)? << 16,
                24,
            ),
            4,
        ),
        INT_32 => (i32::from_le_bytes(*rest.first_chunk()?).into(), 5),
        INT_64 => (i64::from_le_bytes(*rest.first_chunk()?), 9),
        _ => return decode_longer(head, rest),
    };
    Some((Element::Int(int), encoded + 1))
}

fn decode_longer(head: u8, rest: &[u8]) -> Option<(Element<'_>, usize)> {
    let (len, prefix) = match head {
        SHORT_BYTES..LONG_BYTES => {
            let low = usize::from(*rest.first()?);
            (usize::from(head - SHORT_BYTES) << 8 | low, 2)
        }
        LONG_BYTES => (u32::from_le_bytes(*rest.first_chunk()?) as usize, 5),
        _ => return None,
    };
    let bytes = rest.get(prefix - 1..)?.get(..len)?;
    Some((Element::Bytes(bytes), size(prefix + len)))
}

fn byte(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at).map(|byte| i64::from(*byte))
}

/// The signed number in the lowest `bits` of `n`.
fn sign_extend(n: i64, bits: u32) -> i64 {
    n << (i64::BITS - bits) >> (i64::BITS - bits)
}

/// Size of the entry that ends where `bytes` end; nothing if no length is there.
#[inline]
pub(super) fn size_before(bytes: &[u8]) -> Option<usize> {
    let (&last, rest) = bytes.split_last()?;
    if last < 128 {
        return Some(usize::from(last) + 1);
    }
    larger_size_before(last, rest)
}

fn larger_size_before(last: u8, rest: &[u8]) -> Option<usize> {
    let mut encoded = usize::from(last & 127);
    for (digit, byte) in (1..5).zip(rest.iter().rev()) {
        encoded |= usize::from(byte & 127) << (7 * digit);
        if *byte < 128 {
            return (back_len(encoded) == digit + 1).then(|| size(encoded));
        }
    }
    None
}

/// Size of an entry whose element takes `encoded` bytes.
#[inline]
fn size(encoded: usize) -> usize {
    encoded + back_len(encoded)
}

/// Bytes of the length behind an element of `encoded` bytes. The bounds are those of Redis, which
/// but for the first are one less than what would fit.
#[inline]
fn back_len(encoded: usize) -> usize {
    match encoded {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// An element in the shape that its entry will have.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    head: [u8; HEAD_BYTES],
    head_len: usize,
    data: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// The entry of an element with the text of a needle.
    #[inline]
    pub fn of(needle: &Needle<'a>) -> Self {
        needle
            .int
            .map_or_else(|| Self::bytes(needle.bytes), Self::int)
    }

    /// The shortest encoding; bytes that are the canonical form of an integer are one.
    #[inline]
    pub fn new(element: Element<'a>) -> Self {
        match element {
            Element::Int(n) => Self::int(n),
            Element::Bytes(bytes) => match canonical_int(bytes) {
                Some(n) => Self::int(n),
                None => Self::bytes(bytes),
            },
        }
    }

    fn int(n: i64) -> Self {
        let low = n.to_le_bytes();
        let (kind, len) = match n {
            0..=127 => return Self::with_head(&[low[0]], &[]),
            -0x1000..0x1000 => return Self::with_head(&[low[1] & 0x1f | INT_13, low[0]], &[]),
            -0x8000..0x8000 => (INT_16, 2),
            -0x80_0000..0x80_0000 => (INT_24, 3),
            -0x8000_0000..0x8000_0000 => (INT_32, 4),
            _ => (INT_64, 8),
        };
        let mut head = [kind; HEAD_BYTES];
        head[1..].copy_from_slice(&low);
        Self {
            head,
            head_len: len + 1,
            data: &[],
        }
    }

    fn bytes(data: &'a [u8]) -> Self {
        let low = data.len().to_le_bytes();
        match data.len() {
            0..64 => Self::with_head(&[TINY_BYTES | low[0]], data),
            64..4096 => Self::with_head(&[SHORT_BYTES | low[1], low[0]], data),
            _ => Self::with_head(&[LONG_BYTES, low[0], low[1], low[2], low[3]], data),
        }
    }

    #[inline]
    fn with_head<const N: usize>(bytes: &[u8; N], data: &'a [u8]) -> Self {
        let mut head = [0; HEAD_BYTES];
        head[..N].copy_from_slice(bytes);
        Self {
            head,
            head_len: N,
            data,
        }
    }

    /// Size of the entry.
    #[inline]
    pub fn size(&self) -> usize {
        size(self.head_len + self.data.len())
    }

    /// Writes the entry into room of its size.
    #[inline]
    pub(super) fn write(&self, room: &mut [u8]) {
        let encoded = self.head_len + self.data.len();
        let (element, length) = room.split_at_mut(encoded);
        let (head, data) = element.split_at_mut(self.head_len);
        match head {
            [first] => *first = self.head[0],
            _ => head.copy_from_slice(&self.head[..self.head_len]),
        }
        data.copy_from_slice(self.data);
        match length {
            [only] => *only = encoded as u8,
            _ => write_length(encoded, length),
        }
    }

    /// Adds the entry to a buffer.
    #[inline]
    pub(super) fn append_to(&self, buffer: &mut Vec<u8>) {
        let encoded = self.head_len + self.data.len();
        match &self.head[..self.head_len] {
            [only] => buffer.push(*only),
            head => buffer.extend_from_slice(head),
        }
        if !self.data.is_empty() {
            buffer.extend_from_slice(self.data);
        }
        match back_len(encoded) {
            1 => buffer.push(encoded as u8),
            len => {
                let at = buffer.len();
                buffer.resize(at + len, 0);
                write_length(encoded, &mut buffer[at..]);
            }
        }
    }
}

fn write_length(encoded: usize, room: &mut [u8]) {
    let mut rest = encoded;
    for byte in room.iter_mut().rev() {
        *byte = rest as u8 | 128;
        rest >>= 7;
    }
    room[0] &= 127;
}
