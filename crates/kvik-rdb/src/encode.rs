//! Writes values: the bodies that follow an [`ObjectType`]'s byte.
//!
//! A value is written part by part as the store visits them, and nothing is gathered in between: a
//! count, then as many elements. Streams are written as [`ObjectType::Stream2`] or, where that does
//! not hold them, [`ObjectType::Stream4`] and [`ObjectType::Stream5`]. Where a store keeps Redis'
//! own packed bytes they are written as they are, by [`Encoder::packed`].

use std::ops::Range;

use crate::stream::UNKNOWN;
use crate::{EntriesRead, ObjectType, Pending, StreamId, StreamSummary, lzf};

/// Strings up to this length are not worth compressing.
const UNCOMPRESSED_MAX: usize = 20;

/// Bytes that compression must at least save.
const SAVED_MIN: usize = 4;

/// Longest decimal form of an integer that is written as one.
const INTEGER_MAX: usize = 11;

/// Whether strings are compressed that get shorter by it; the setting `rdbcompression`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// They are.
    Lzf,
    /// They are written as they are.
    Off,
}

/// A node of a list.
#[derive(Clone, Copy, Debug)]
pub enum ListNode<'a> {
    /// A large element by itself.
    Plain(&'a [u8]),
    /// A listpack of elements.
    Listpack(&'a [u8]),
}

/// Appends values to a buffer.
#[derive(Debug)]
pub struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    compression: Compression,
}

impl<'o> Encoder<'o> {
    /// Appends to `out`.
    pub fn new(out: &'o mut Vec<u8>, compression: Compression) -> Self {
        Self { out, compression }
    }

    /// The byte that says what follows.
    pub fn object(&mut self, object: ObjectType) {
        self.out.push(object.code());
    }

    /// A number in the variable form of lengths.
    pub fn length(&mut self, length: u64) {
        match length {
            0..0x40 => self.out.push(length as u8),
            // The form is in the upper two bits: 00 for 6 bits, 01 for 14, 0x80 and 0x81 for four
            // and eight bytes.
            0x40..0x4000 => self
                .out
                .extend_from_slice(&(0x4000 | length as u16).to_be_bytes()),
            0x4000..=0xffff_ffff => {
                self.out.push(0x80);
                self.out.extend_from_slice(&(length as u32).to_be_bytes());
            }
            _ => {
                self.out.push(0x81);
                self.out.extend_from_slice(&length.to_be_bytes());
            }
        }
    }

    /// A string, and the body of [`ObjectType::String`].
    pub fn string(&mut self, text: &[u8]) {
        // As Redis does: a text that is an integer's one form is written in 2 to 5 bytes.
        if let Some(n) = integer(text) {
            return self.int(n.into());
        }
        if !self.compressed(text) {
            self.verbatim(text);
        }
    }

    /// An integer as a string, and the body of [`ObjectType::String`].
    pub fn int(&mut self, n: i64) {
        if let Ok(n) = i8::try_from(n) {
            self.out.push(0xc0);
            self.out.extend_from_slice(&n.to_le_bytes());
        } else if let Ok(n) = i16::try_from(n) {
            self.out.push(0xc1);
            self.out.extend_from_slice(&n.to_le_bytes());
        } else if let Ok(n) = i32::try_from(n) {
            self.out.push(0xc2);
            self.out.extend_from_slice(&n.to_le_bytes());
        } else {
            let mut room = itoa::Buffer::new();
            self.verbatim(room.format(n).as_bytes());
        }
    }

    /// Begins a string of this length that is not compressed; its bytes are to follow.
    pub fn string_of(&mut self, len: usize) {
        self.length(len as u64);
    }

    /// A string of `len` bytes that comes in parts, compressed part by part. A part that is the same
    /// memory as the one before costs a copy of its compressed form.
    pub fn string_in_parts<'p>(&mut self, parts: impl Iterator<Item = &'p [u8]>, len: usize) {
        let start = self.out.len();
        let mut last: Option<(&[u8], Range<usize>)> = None;
        for part in parts {
            let at = self.out.len();
            match last.clone() {
                Some((before, compressed)) if std::ptr::eq(before, part) => {
                    self.out.extend_from_within(compressed);
                }
                // References reach no further back than this part, so the parts are one string.
                _ => {
                    lzf::compress_onto(part, usize::MAX, self.out);
                    last = Some((part, at..self.out.len()));
                }
            }
        }
        self.end_compressed(start, len);
    }

    /// Bytes of the string that has been begun.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Whether strings are compressed that get shorter by it.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes that the buffer holds.
    pub fn written(&self) -> usize {
        self.out.len()
    }

    /// A listpack or an intset: the body of [`ObjectType::HashListpack`],
    /// [`ObjectType::SortedSetListpack`], [`ObjectType::SetListpack`] and
    /// [`ObjectType::SetIntset`].
    pub fn packed(&mut self, bytes: &[u8]) {
        self.string(bytes);
    }

    /// Begins the body of a type that has elements: so many of them have to follow.
    pub fn count(&mut self, elements: usize) {
        self.length(elements as u64);
    }

    /// A node of [`ObjectType::ListQuicklist2`].
    pub fn node(&mut self, node: ListNode<'_>) {
        let (kind, bytes) = match node {
            ListNode::Plain(element) => (1, element),
            ListNode::Listpack(listpack) => (2, listpack),
        };
        self.length(kind);
        self.string(bytes);
    }

    /// The score behind a member of [`ObjectType::SortedSet`]. Redis reads sorted sets fastest from
    /// the largest score to the smallest.
    pub fn score(&mut self, score: f64) {
        self.out.extend_from_slice(&score.to_le_bytes());
    }

    /// When the field expires whose value was written last, of [`ObjectType::HashExpiringValkey`];
    /// and the like of members.
    pub fn expiry(&mut self, expire_at: Option<u64>) {
        self.time(expire_at);
    }

    /// A listpack of a stream's entries, with what their IDs are relative to.
    pub fn entries(&mut self, first: StreamId, listpack: &[u8]) {
        self.string(&first.to_be_bytes());
        self.string(listpack);
    }

    /// Counters and IDs of a stream, behind its entries; the number of its groups follows.
    pub fn summary(&mut self, summary: &StreamSummary) {
        self.length(summary.len);
        self.id(summary.last_id);
        self.id(summary.first_id.unwrap_or_default());
        self.id(summary.max_deleted_id);
        self.length(summary.entries_added);
    }

    /// A group of a stream; the number of its pending entries follows.
    pub fn group(&mut self, name: &[u8], last_id: StreamId, entries_read: EntriesRead) {
        self.string(name);
        self.id(last_id);
        self.length(match entries_read {
            EntriesRead::Count(count) => count,
            EntriesRead::Unknown | EntriesRead::Untold => UNKNOWN,
        });
    }

    /// A pending entry of a group; behind the last the number of the group's consumers follows.
    pub fn pending(&mut self, entry: Pending) {
        self.out.extend_from_slice(&entry.id.to_be_bytes());
        self.time(Some(entry.delivered_ms));
        self.length(entry.deliveries);
    }

    /// A consumer of a group; the number of its own pending entries follows.
    pub fn consumer(&mut self, name: &[u8], seen_ms: u64) {
        self.string(name);
        self.time(Some(seen_ms));
    }

    /// When the consumer that was written last was active, of [`ObjectType::Stream3`] and later
    /// ones.
    pub fn active(&mut self, active_ms: Option<u64>) {
        self.time(active_ms);
    }

    /// For how long, and how many of them, entries of a producer are known, behind the groups of
    /// [`ObjectType::Stream4`]; the number of producers follows.
    pub fn idempotence(&mut self, duration_s: u64, max_len: u64) {
        self.length(duration_s);
        self.length(max_len);
    }

    /// A producer; the number of its entries follows.
    pub fn producer(&mut self, name: &[u8]) {
        self.string(name);
    }

    /// An entry of the producer, with what that calls it.
    pub fn recorded(&mut self, text: &[u8], id: StreamId) {
        self.string(text);
        self.id(id);
    }

    /// A pending entry of the group that is the consumer's, or that was released.
    pub fn owned(&mut self, id: StreamId) {
        self.out.extend_from_slice(&id.to_be_bytes());
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    fn verbatim(&mut self, text: &[u8]) {
        self.length(text.len() as u64);
        self.out.extend_from_slice(text);
    }

    /// Writes a string compressed, if strings are and it is worth it; says whether it has.
    fn compressed(&mut self, text: &[u8]) -> bool {
        if self.compression == Compression::Off || text.len() <= UNCOMPRESSED_MAX {
            return false;
        }
        let start = self.out.len();
        // The limit makes the compressor give up as soon as it can no longer pay.
        if !lzf::compress_onto(text, text.len() - SAVED_MIN, self.out) {
            return false;
        }
        self.end_compressed(start, text.len());
        true
    }

    /// Writes the head of a compressed string, of `len` bytes as it was, before it.
    fn end_compressed(&mut self, start: usize, len: usize) {
        // How long the head is follows from the compressed length, so it goes before the text last.
        let packed = self.out.len() - start;
        self.out.push(0xc3);
        self.length(packed as u64);
        self.length(len as u64);
        self.out[start..].rotate_left(packed);
    }

    fn id(&mut self, id: StreamId) {
        self.length(id.ms);
        self.length(id.seq);
    }

    /// Milliseconds since the Unix epoch, or -1.
    pub(crate) fn time(&mut self, ms: Option<u64>) {
        let ms = ms.map_or(-1, |ms| i64::try_from(ms).unwrap_or(i64::MAX));
        self.out.extend_from_slice(&ms.to_le_bytes());
    }
}

/// The integer of 32 bits whose one decimal form `text` is.
fn integer(text: &[u8]) -> Option<i32> {
    // Most strings are no integers, and their length or first byte says so.
    let first = *text.first()?;
    if text.len() > INTEGER_MAX || !(first == b'-' || first.is_ascii_digit()) {
        return None;
    }
    let n: i32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (itoa::Buffer::new().format(n).as_bytes() == text).then_some(n)
}
