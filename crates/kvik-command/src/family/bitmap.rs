//! Bitmaps: strings as arrays of bits, the most significant bit of the first byte first.
//!
//! A bit beyond the end of a string is 0, and so is every bit of a key that does not exist. A
//! change that leaves all bytes as they are is none; any other is written as the few bytes it
//! concerns.

mod bits;
mod field;
mod integer;
mod operation;
mod range;

use kvik_resp::{Args, parse_i64};
use kvik_store::{Entry, IntText, TextRef};

use super::string::{max_string, string};
use crate::declare::{Command, Group, KeyFlags, KeySpec, Row};
use crate::{Ctx, Error};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    [reads(), writes()].into_iter().flatten().collect()
}

fn command(name: &'static str, syntax: &'static str, handler: crate::Handler) -> Row {
    Command::new(name, syntax, handler)
        .group(Group::Bitmap)
        .complexity("O(1)")
}

const LENGTH_OF_STRING: &str = "O(N) where N is the length of the part that is looked at";
const NUMBER_OF_OPERATIONS: &str = "O(N) where N is the number of operations";

fn reads() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).readonly();
    vec![
        command("GETBIT", "key offset", getbit)
            .fast()
            .since("2.2.0")
            .about("Returns one bit of a string."),
        command("BITCOUNT", BITCOUNT_SYNTAX, range::bitcount).long()
            .since("2.6.0")
            .complexity(LENGTH_OF_STRING)
            .changed("7.0.0", "Added the `BYTE` and `BIT` options.")
            .changed("8.0.0", "The end may be left out.")
            .about("Counts the bits of a string that are set."),
        command("BITPOS", BITPOS_SYNTAX, range::bitpos).long()
            .since("2.8.7")
            .complexity(LENGTH_OF_STRING)
            .changed("7.0.0", "Added the `BYTE` and `BIT` options.")
            .about("Finds the first bit of a string that is set or clear."),
        command(
            "BITRANGEINTARRAY",
            "key start end [BYTE|BIT] [LIMIT count] [ZEROS]",
            range::bitrangeintarray,
        ).long()
        .since("8.12.0")
        .complexity(
            "O(N+M) where N is the number of bytes in the range and M the number of offsets returned",
        )
        .about("Returns the offsets of the bits in a range of a string that are set or clear."),
        command("BITFIELD_RO", BITFIELD_RO_SYNTAX, field::bitfield_ro)
            .fast()
            .since("6.0.0")
            .complexity(NUMBER_OF_OPERATIONS)
            .about("Reads integers of any width anywhere in a string."),
    ]
}

fn writes() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).write().may_grow();
    vec![
        command("SETBIT", "key offset value:integer", setbit)
            .event("setbit")
            .access(&[KeyFlags::RW_ACCESS_UPDATE])
            .since("2.2.0")
            .about("Sets or clears one bit of a string and returns what it was."),
        command("BITOP", BITOP_SYNTAX, operation::bitop)
            .long()
            .event("set")
            .since("2.6.0")
            .complexity("O(N) where N is the length of all strings together")
            .changed(
                "8.2.0",
                "Added the `DIFF`, `DIFF1`, `ANDOR` and `ONE` operations.",
            )
            .about("Combines strings bit by bit and stores the result."),
        command("BITFIELD", BITFIELD_SYNTAX, field::bitfield)
            .event("setbit")
            .key_specs(BITFIELD_KEYS)
            .access_by(field::access)
            .since("3.2.0")
            .complexity(NUMBER_OF_OPERATIONS)
            .about("Reads and changes integers of any width anywhere in a string."),
    ]
}

const BITCOUNT_SYNTAX: &str = "key [range:<start [end-unit-block:<end [BYTE|BIT]>]>]";
const BITPOS_SYNTAX: &str = "key bit [range:<start [end-unit-block:<end [BYTE|BIT]>]>]";
const BITOP_SYNTAX: &str = "operation:<AND|OR|XOR|NOT|DIFF|DIFF1|ANDOR|ONE> destkey key [key ...]";
const BITFIELD_RO_SYNTAX: &str =
    "key [GET get-block:<encoding offset> [GET get-block:<encoding offset> ...]]";
const BITFIELD_SYNTAX: &str = "key [operation:<GET get-block:<encoding offset>\
    |write:<[OVERFLOW overflow-block:<WRAP|SAT|FAIL>] write-operation:<\
    SET set-block:<encoding offset value:integer>\
    |INCRBY incrby-block:<encoding offset increment>>>> ...]";

/// The effect on the key depends on the operations.
const BITFIELD_KEYS: &[KeySpec] = &[KeySpec {
    notes: "This command allows both access and modification of the key",
    ..KeySpec::range(1, 0, 1, KeyFlags::RW_ACCESS_UPDATE)
}];

/// `N` bytes of a string from `at` on, zeros where it ends before.
pub(super) fn window<const N: usize>(string: TextRef<'_>, at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    let len = string.len();
    let part = at.min(len)..at.saturating_add(N).min(len);
    let mut rest = &mut bytes[..];
    for slice in string.slices(part, &mut IntText::default()) {
        let (now, later) = rest.split_at_mut(slice.len());
        now.copy_from_slice(slice);
        rest = later;
    }
    bytes
}

/// Overwrites a string from `at` on, or makes one.
fn write_at(entry: Entry<'_>, at: usize, bytes: &[u8]) -> Result<(), Error> {
    match entry {
        Entry::Vacant(vacant) => vacant.set_range(at, bytes, usize::MAX)?,
        Entry::Occupied(mut occupied) => occupied.set_range(at, bytes, usize::MAX)?,
    };
    Ok(())
}

const BAD_OFFSET: Error = Error::text("bit offset is not an integer or out of range");
const BAD_BIT: Error = Error::text("bit is not an integer or out of range");

/// The bit that `word` names: one of a string that may exist.
///
/// # Errors
/// If it is no integer, negative, or beyond the longest string.
fn offset(ctx: &Ctx<'_>, word: &[u8]) -> Result<usize, Error> {
    let offset = parse_i64(word).and_then(|offset| usize::try_from(offset).ok());
    offset
        .filter(|offset| offset / 8 < max_string(ctx))
        .ok_or(BAD_OFFSET)
}

/// The mask of a bit in its byte.
fn mask(offset: usize) -> u8 {
    0x80 >> (offset % 8)
}

fn getbit(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let offset = offset(ctx, &ctx.args[2])?;
    let found = ctx.keys.read_string(ctx.key(1))?;
    let [byte] = found.map_or([0], |string| window(string, offset / 8));
    ctx.reply.integer(i64::from(byte & mask(offset) != 0));
    Ok(())
}

fn setbit(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let offset = offset(ctx, &ctx.args[2])?;
    let set = match &ctx.args[3] {
        b"0" => false,
        b"1" => true,
        _ => return Err(BAD_BIT),
    };
    let (at, mask) = (offset / 8, mask(offset));
    let entry = ctx.keys.entry(ctx.key(1));
    let string = entry.view().map(string).transpose()?;
    let [old] = string.map_or([0], |string| window(string, at));
    let exists = string.is_some_and(|string| at < string.len());
    let new = if set { old | mask } else { old & !mask };
    if !exists || new != old {
        write_at(entry, at, &[new])?;
    }
    ctx.reply.integer(i64::from(old & mask != 0));
    Ok(())
}

/// Whether any of the words is one of these, in any case.
fn mentions(words: Args<'_>, options: &[&str]) -> bool {
    let is_option = |word: &[u8]| {
        let same = |option: &&str| word.eq_ignore_ascii_case(option.as_bytes());
        options.iter().any(same)
    };
    words.iter().any(is_option)
}
