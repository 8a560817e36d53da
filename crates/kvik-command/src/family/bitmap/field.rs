//! BITFIELD and BITFIELD_RO: a list of operations on integers anywhere in a string.
//!
//! All operations are read before the first is done. If one of them writes, the string becomes as
//! long as the furthest of them reaches, even if none comes to write in the end.

use kvik_resp::{Args, ArgsIter, parse_i64};
use kvik_store::{Entry, Event, EventClasses};

use super::integer::{Integer, Overflow};
use super::{BAD_OFFSET, mentions, offset, window, write_at};
use crate::declare::KeyFlags;
use crate::family::string::string;
use crate::{Ctx, Error};

const BAD_TYPE: Error = Error::text(
    "Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);

/// One operation.
#[derive(Clone, Copy)]
struct FieldOperation {
    integer: Integer,
    /// The integer's first bit.
    offset: usize,
    action: Action,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Increment(i64, Overflow),
}

/// The effect of one call's operations on its key.
pub(super) fn access(args: Args<'_>) -> KeyFlags {
    if mentions(args.tail(2), &["SET", "INCRBY"]) {
        KeyFlags::RW_ACCESS_UPDATE
    } else {
        KeyFlags::RO_ACCESS
    }
}

pub(super) fn bitfield(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let operations = parse(ctx)?;
    match operations.iter().filter_map(FieldOperation::reach).max() {
        None => read(ctx, &operations),
        Some(len) => {
            // All operations together are one event.
            let noted = ctx.keys.mute(EventClasses::STRING);
            let has_written = write(ctx, &operations, len)?;
            ctx.keys.unmute(noted);
            if has_written {
                ctx.keys.note_called(&ctx.args[1], Event::SET_RANGE);
            }
            Ok(())
        }
    }
}

pub(super) fn bitfield_ro(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let operations = parse(ctx)?;
    if operations
        .iter()
        .any(|operation| operation.reach().is_some())
    {
        return Err(Error::text("BITFIELD_RO only supports the GET subcommand"));
    }
    read(ctx, &operations)
}

/// Reads the operations.
///
/// # Errors
/// If a word is not what it should be.
fn parse(ctx: &Ctx<'_>) -> Result<Vec<FieldOperation>, Error> {
    let mut operations = Vec::new();
    // OVERFLOW holds for the operations behind it, up to the next OVERFLOW.
    let mut overflow = Overflow::default();
    let mut words = ctx.args.tail(2).iter();
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case(b"OVERFLOW") {
            let word = words.next().ok_or(Error::SYNTAX)?;
            overflow =
                Overflow::named(word).ok_or(Error::text("Invalid OVERFLOW type specified"))?;
        } else {
            operations.push(FieldOperation::parse(ctx, word, &mut words, overflow)?);
        }
    }
    Ok(operations)
}

impl FieldOperation {
    fn parse(
        ctx: &Ctx<'_>,
        name: &[u8],
        words: &mut ArgsIter<'_>,
        overflow: Overflow,
    ) -> Result<Self, Error> {
        // The number of operands is checked before any of them is read: a call cut short is a
        // syntax error even if its type is wrong.
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let known = is(b"GET") || is(b"SET") || is(b"INCRBY");
        let operands = if is(b"GET") { 2 } else { 3 };
        if !known || words.len() < operands {
            return Err(Error::SYNTAX);
        }
        let mut operand = || words.next().ok_or(Error::SYNTAX);
        let integer = Integer::named(operand()?).ok_or(BAD_TYPE)?;
        let offset = offset_of(ctx, operand()?, integer)?;
        let action = if is(b"GET") {
            Action::Get
        } else {
            let number = parse_i64(operand()?).ok_or(Error::NOT_AN_INTEGER)?;
            if is(b"SET") {
                Action::Set(number, overflow)
            } else {
                Action::Increment(number, overflow)
            }
        };
        Ok(Self {
            integer,
            offset,
            action,
        })
    }

    /// How long the string must be for the operation to write, if it does.
    fn reach(&self) -> Option<usize> {
        let writes = !matches!(self.action, Action::Get);
        writes.then(|| (self.offset + self.integer.bits()).div_ceil(8))
    }

    /// Does the operation, and returns the integer to answer with, or none where it does not fit.
    fn apply(self, entry: Entry<'_>) -> Result<Option<i64>, Error> {
        let (at, bit) = (self.offset / 8, self.offset % 8);
        let string = entry.view().map(string).transpose()?;
        let window = string.map_or([0; 9], |string| window(string, at));
        let len = string.map_or(0, |string| string.len());
        let old = self.integer.read(window, bit);
        let (new, answer) = match self.action {
            Action::Get => return Ok(Some(old)),
            Action::Set(value, overflow) => (self.integer.set(value, overflow), Some(old)),
            Action::Increment(by, overflow) => {
                let sum = self.integer.add(old, by, overflow);
                (sum, sum)
            }
        };
        let Some(new) = new else {
            return Ok(None);
        };
        // Equal bits are not written, unless the string must grow: who watches the key sees real
        // changes only.
        let touched = self.integer.bytes(bit);
        if new != old || at + touched > len {
            let written = self.integer.write(window, bit, new);
            write_at(entry, at, &written[..touched])?;
        }
        Ok(answer)
    }
}

/// A bit's position, or behind `#` the number of an integer of this type.
fn offset_of(ctx: &Ctx<'_>, word: &[u8], integer: Integer) -> Result<usize, Error> {
    let Some(number) = word.strip_prefix(b"#") else {
        return offset(ctx, word);
    };
    // The product may overflow, and the bit must lie inside the longest string.
    let number = offset(ctx, number)?;
    number
        .checked_mul(integer.bits())
        .filter(|offset| offset / 8 < super::max_string(ctx))
        .ok_or(BAD_OFFSET)
}

fn read(ctx: &mut Ctx<'_>, operations: &[FieldOperation]) -> Result<(), Error> {
    let string = ctx.keys.read_string(ctx.key(1))?;
    ctx.reply.array(operations.len());
    for operation in operations {
        let window = string.map_or([0; 9], |string| window(string, operation.offset / 8));
        let value = operation.integer.read(window, operation.offset % 8);
        ctx.reply.integer(value);
    }
    Ok(())
}

/// Does the operations, and makes the string `len` bytes long. Says whether any has changed it.
fn write(ctx: &mut Ctx<'_>, operations: &[FieldOperation], len: usize) -> Result<bool, Error> {
    let key = &ctx.args[1];
    let before = ctx.keys.stats().changes;
    ctx.reply.array(operations.len());
    for operation in operations {
        match operation.apply(ctx.keys.entry(key))? {
            Some(value) => ctx.reply.integer(value),
            None => ctx.reply.null(),
        }
    }
    // What only makes the string longer is none of them.
    let has_written = ctx.keys.stats().changes > before;
    // The furthest operation may not have written.
    let entry = ctx.keys.entry(key);
    let reached = entry.view().map(string).transpose()?;
    if reached.map_or(0, |string| string.len()) < len {
        write_at(entry, len - 1, &[0])?;
    } else if let Some(mut occupied) = entry.occupied() {
        // For Redis this string was changed in place, even if no operation has written.
        occupied.make_raw();
    }
    Ok(has_written)
}
