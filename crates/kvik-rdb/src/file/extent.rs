//! How far a value reaches, found without building it.
//!
//! The layout of each type is a small grammar: strings, numbers, and sequences behind their count.
//! [`Extent`] walks along it, stops where the bytes end, and goes on there when more have come. A
//! step costs a few nanoseconds and each string is one step, however long it is.

use crate::array::{read_head, read_kind};
use crate::{Corrupt, ObjectType, Reader};

/// Deepest nesting: a stream's groups, their consumers, and what is pending for these.
const DEPTH: usize = 4;

/// A part of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// A string, whatever its form.
    Text,
    /// A number in the form of lengths.
    Length,
    /// So many bytes.
    Bytes(u8),
    /// A score as decimal text.
    ScoreText,
    /// A count, and that many times these.
    Each(&'static [Self]),
    /// A count, an array's cursor, and as many times these.
    Indexed(&'static [Self]),
    /// The value of an array's element behind its kind.
    Kinded,
    /// The parts of a module's data up to the mark of its end.
    Module,
}

use Part::{Bytes, Each, Indexed, Kinded, Length, Module, ScoreText, Text};

/// The marks of the parts of a module's data.
const MODULE_END: u64 = 0;
const MODULE_INTEGERS: [u64; 2] = [1, 2];
const MODULE_FLOAT: u64 = 3;
const MODULE_DOUBLE: u64 = 4;
const MODULE_TEXT: u64 = 5;

/// The data of a module besides its values.
pub(super) const MODULE_AUX: &[Part] = &[Length, Module];

/// The parts of a value of this type.
pub(super) fn parts_of(object: ObjectType) -> &'static [Part] {
    match object {
        ObjectType::String
        // What servers keep packed is one string, whatever it holds.
        | ObjectType::HashZipmap
        | ObjectType::ListZiplist
        | ObjectType::SetIntset
        | ObjectType::SortedSetZiplist
        | ObjectType::HashZiplist
        | ObjectType::HashListpack
        | ObjectType::SortedSetListpack
        | ObjectType::SetListpack
        | ObjectType::HashShapedListpack
        | ObjectType::HashListpackExpiringCandidate => &[Text],
        ObjectType::List | ObjectType::Set | ObjectType::ListQuicklist => &[Each(&[Text])],
        ObjectType::ListQuicklist2 => &[Each(&[Length, Text])],
        ObjectType::SortedSetText => &[Each(&[Text, ScoreText])],
        ObjectType::SortedSet | ObjectType::SetExpiring => &[Each(&[Text, Bytes(8)])],
        ObjectType::SortedSetExpiring => &[Each(&[Text, Bytes(16)])],
        ObjectType::Hash => &[Each(&[Text, Text])],
        ObjectType::HashExpiringValkey => &[Each(&[Text, Text, Bytes(8)])],
        ObjectType::HashExpiringCandidate => &[Each(&[Length, Text, Text])],
        ObjectType::HashExpiring => &[Bytes(8), Each(&[Length, Text, Text])],
        ObjectType::HashListpackExpiring => &[Bytes(8), Text],
        ObjectType::Stream => STREAM,
        ObjectType::Stream2 => STREAM_2,
        ObjectType::Stream3 => STREAM_3,
        ObjectType::Stream4 => STREAM_4,
        ObjectType::Stream5 => STREAM_5,
        ObjectType::Bitmap => &[Length, Text],
        ObjectType::Array => &[Indexed(&[Length, Kinded])],
        // How many values follow, their names tell.
        ObjectType::HashShaped => &[Length],
    }
}

/// Keys and listpacks of a stream's nodes.
const NODES: Part = Each(&[Text, Text]);

/// ID, time and count of what is pending in a group.
const PENDING: Part = Each(&[Bytes(24), Length]);

/// IDs of what is pending for a consumer.
const OWNED: Part = Each(&[Bytes(16)]);

/// Behind the nodes: length and last ID; then per group name and last ID.
const STREAM: &[Part] = &[
    NODES,
    Length,
    Length,
    Length,
    Each(&[
        Text,
        Length,
        Length,
        PENDING,
        Each(&[Text, Bytes(8), OWNED]),
    ]),
];

/// The same with first and largest deleted ID and entries added; per group with entries read.
const STREAM_2: &[Part] = &[
    NODES,
    Length,
    Length,
    Length,
    Length,
    Length,
    Length,
    Length,
    Length,
    Each(&[
        Text,
        Length,
        Length,
        Length,
        PENDING,
        Each(&[Text, Bytes(8), OWNED]),
    ]),
];

/// Groups with entries read, and two times per consumer.
const GROUPS_3: Part = Each(&[
    Text,
    Length,
    Length,
    Length,
    PENDING,
    Each(&[Text, Bytes(16), OWNED]),
]);

/// The same with a second time per consumer.
const STREAM_3: &[Part] = &[
    NODES, Length, Length, Length, Length, Length, Length, Length, Length, GROUPS_3,
];

/// The producers: two settings, each producer with its entries, and two counts.
const PRODUCERS: Part = Each(&[Text, Each(&[Text, Length, Length])]);

/// The same with what is known of producers.
const STREAM_4: &[Part] = &[
    NODES, Length, Length, Length, Length, Length, Length, Length, Length, GROUPS_3, Length,
    Length, PRODUCERS, Length, Length,
];

/// The same with the IDs of what was released, per group.
const STREAM_5: &[Part] = &[
    NODES,
    Length,
    Length,
    Length,
    Length,
    Length,
    Length,
    Length,
    Length,
    Each(&[
        Text,
        Length,
        Length,
        Length,
        PENDING,
        Each(&[Text, Bytes(16), OWNED]),
        OWNED,
    ]),
    Length,
    Length,
    PRODUCERS,
    Length,
    Length,
];

/// How much of a value has been passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    frames: [Frame; DEPTH],
    depth: usize,
    /// Bytes of the part begun that are still to pass.
    skip: u64,
}

/// A sequence of parts that is being passed.
#[derive(Clone, Copy, Debug)]
struct Frame {
    parts: &'static [Part],
    /// The next of the parts.
    at: usize,
    /// How many more times they come, this time included.
    left: u64,
}

impl Extent {
    /// The start of a value with these parts.
    pub(super) fn of(parts: &'static [Part]) -> Self {
        Self::of_times(parts, 1)
    }

    /// The start of so many strings, of which there is one at least.
    pub(super) fn of_texts(count: usize) -> Self {
        Self::of_times(&[Text], count as u64)
    }

    fn of_times(parts: &'static [Part], left: u64) -> Self {
        let once = Frame { parts, at: 0, left };
        Self {
            frames: [once; DEPTH],
            depth: 1,
            skip: 0,
        }
    }

    /// Passes what there is of the value and says whether that was all of it.
    ///
    /// # Errors
    /// When a part is in no known form. Nothing follows from a count or a length that is too large,
    /// but that the end is not reached.
    pub(super) fn pass(&mut self, reader: &mut Reader<'_>) -> Result<bool, Corrupt> {
        while let Some(part) = self.next_part() {
            // A part's head is passed whole or not at all, so that it can be read again.
            let before = *reader;
            match self.enter(part, reader) {
                Ok(()) => {}
                Err(Corrupt::Truncated) => {
                    *reader = before;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            if !self.skip(reader) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes on where the bytes ended.
    pub(super) fn resume(&mut self, reader: &mut Reader<'_>) -> Result<bool, Corrupt> {
        if !self.skip(reader) {
            return Ok(false);
        }
        self.pass(reader)
    }

    /// The part that comes next; none at the end of the value.
    fn next_part(&mut self) -> Option<Part> {
        loop {
            let frame = self.frames[..self.depth].last_mut()?;
            if let Some(part) = frame.parts.get(frame.at) {
                return Some(*part);
            }
            // The sequence is at its end: it comes once more, or the one around it goes on.
            frame.at = 0;
            frame.left -= 1;
            if frame.left == 0 {
                self.depth -= 1;
            }
        }
    }

    /// Reads the head of a part, and what is to be passed because of it.
    fn enter(&mut self, part: Part, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
        let mut inner = None;
        match part {
            Text => self.skip = reader.text_len()?,
            Length => reader.length().map(drop)?,
            Bytes(len) => self.skip = len.into(),
            ScoreText => self.skip = score_len(reader.u8()?),
            Each(parts) => inner = Some((parts, reader.length()?)),
            Indexed(parts) => inner = Some((parts, read_head(reader)?.0)),
            Kinded => self.skip = read_kind(reader)?,
            Module => {
                // It repeats itself until its end, so the frame stays at this part.
                if self.enter_module(reader)? {
                    return Ok(());
                }
            }
        }
        // The head has been read whole, so the frame moves on, whether or not bytes are to follow.
        self.frames[self.depth - 1].at += 1;
        // A count of zero leaves nothing to pass.
        if let Some((parts, left @ 1..)) = inner {
            self.frames[self.depth] = Frame { parts, at: 0, left };
            self.depth += 1;
        }
        Ok(())
    }

    /// Reads the head of one part of a module's data and says whether it was not the mark of the
    /// end.
    fn enter_module(&mut self, reader: &mut Reader<'_>) -> Result<bool, Corrupt> {
        match reader.length()? {
            MODULE_END => return Ok(false),
            mark if MODULE_INTEGERS.contains(&mark) => reader.length().map(drop)?,
            MODULE_FLOAT => self.skip = 4,
            MODULE_DOUBLE => self.skip = 8,
            MODULE_TEXT => self.skip = reader.text_len()?,
            _ => return Err(Corrupt::InvalidLength),
        }
        Ok(true)
    }

    /// Passes the bytes of the part begun and says whether all of them are there.
    fn skip(&mut self, reader: &mut Reader<'_>) -> bool {
        // A length is a promise: what there is of it is passed now, the rest when it comes.
        let there = usize::try_from(self.skip).unwrap_or(usize::MAX);
        let there = there.min(reader.remaining());
        let passed = reader.bytes(there);
        debug_assert!(passed.is_ok(), "no more than what remains");
        self.skip -= there as u64;
        self.skip == 0
    }
}

/// Bytes of a score as text behind its length, which may stand for a number itself.
fn score_len(len: u8) -> u64 {
    match len {
        253.. => 0,
        len => len.into(),
    }
}
