//! BITCOUNT, BITPOS and BITRANGEINTARRAY: what is set or clear in a part of a string.

use std::ops::Range;

use kvik_store::{IntText, TextRef};

use super::bits;
use crate::{Ctx, Error};

/// A part of a string as a client names it: both ends belong to it, negative ones count from the
/// end.
#[derive(Clone, Copy)]
struct Part {
    start: i64,
    end: Option<i64>,
    in_bits: bool,
}

impl Part {
    const WHOLE: Self = Self {
        start: 0,
        end: None,
        in_bits: false,
    };

    /// Reads the words from `at` on, of which none means the whole string.
    ///
    /// # Errors
    /// If they are too many, no integers, or name an unknown unit.
    fn parse(ctx: &Ctx<'_>, at: usize) -> Result<Self, Error> {
        let words = ctx.args.len() - at;
        if words > 3 {
            return Err(Error::SYNTAX);
        }
        if words == 0 {
            return Ok(Self::WHOLE);
        }
        Ok(Self {
            start: ctx.int(at)?,
            in_bits: words == 3 && in_bits(ctx, at + 2)?,
            end: (words > 1).then(|| ctx.int(at + 1)).transpose()?,
        })
    }

    /// The bits that belong to the part of a string of `len` bytes.
    fn bits(self, len: usize) -> Range<usize> {
        let unit = if self.in_bits { 1 } else { 8 };
        let total = (len * 8 / unit) as i64;
        let from_front = |at: i64| if at < 0 { (at + total).max(0) } else { at };
        let start = from_front(self.start);
        let end = self
            .end
            .map_or(total, |end| from_front(end).min(total - 1) + 1);
        if start >= end {
            return 0..0;
        }
        start as usize * unit..end as usize * unit
    }

    /// Both ends count from the end of the string, and are the wrong way round.
    fn is_reversed(self) -> bool {
        self.end
            .is_some_and(|end| self.start < 0 && end < 0 && self.start > end)
    }
}

fn in_bits(ctx: &Ctx<'_>, at: usize) -> Result<bool, Error> {
    let in_bits = ctx.is(at, "BIT");
    if in_bits || ctx.is(at, "BYTE") {
        Ok(in_bits)
    } else {
        Err(Error::SYNTAX)
    }
}

pub(super) fn bitcount(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let part = Part::parse(ctx, 2)?;
    let string = ctx.keys.read_string(ctx.key(1))?;
    let count = match string {
        // A string of one byte or bit would else be counted, as both ends are drawn to its front.
        Some(string) if !part.is_reversed() => {
            let mut room = IntText::default();
            let slices = slices(string, part.bits(string.len()), &mut room);
            slices
                .map(|(slice, bits, _)| bits::count(slice, bits))
                .sum()
        }
        _ => 0,
    };
    ctx.reply.integer(count as i64);
    Ok(())
}

pub(super) fn bitpos(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let bit = match ctx.int(2)? {
        0 => false,
        1 => true,
        _ => return Err(Error::text("The bit argument must be 1 or 0.")),
    };
    let part = Part::parse(ctx, 3)?;
    let string = ctx.keys.read_string(ctx.key(1))?;
    let position = match string {
        Some(string) => position(string, bit, part),
        // No key is an endless row of clear bits.
        None => (!bit).then_some(0),
    };
    ctx.reply.integer(position.map_or(-1, |at| at as i64));
    Ok(())
}

pub(super) fn bitrangeintarray(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let mut part = Part {
        start: ctx.int(2)?,
        end: Some(ctx.int(3)?),
        in_bits: false,
    };
    let (mut limit, mut bit, mut at) = (u64::MAX, true, 4);
    while at < ctx.args.len() {
        if ctx.is(at, "LIMIT") && at + 1 < ctx.args.len() {
            let count = u64::try_from(ctx.int(at + 1)?).ok();
            let count = count.filter(|count| *count > 0);
            limit = count.ok_or(Error::text("LIMIT should be greater than 0"))?;
            at += 1;
        } else if ctx.is(at, "ZEROS") {
            bit = false;
        } else {
            part.in_bits = in_bits(ctx, at)?;
        }
        at += 1;
    }
    let string = ctx.keys.read_string(ctx.key(1))?;
    let string = string.filter(|_| !part.is_reversed());
    let reply = &mut ctx.reply;
    let (array, mut len) = (reply.deferred_array(), 0);
    if let Some(string) = string {
        let mut room = IntText::default();
        for (slice, mut bits, before) in slices(string, part.bits(string.len()), &mut room) {
            while let Some(found) = bits::find(slice, bit, bits.clone()).filter(|_| len < limit) {
                reply.integer((before + found) as i64);
                len += 1;
                bits.start = found + 1;
            }
        }
    }
    reply.finish_array(array, len as usize);
    Ok(())
}

/// Where the bit is first. Behind a string all bits are clear, unless the part has an end.
fn position(string: TextRef<'_>, bit: bool, part: Part) -> Option<usize> {
    let bits = part.bits(string.len());
    let endless = !bit && part.end.is_none() && !bits.is_empty();
    slices(string, bits, &mut IntText::default())
        .find_map(|(slice, bits, before)| Some(before + bits::find(slice, bit, bits)?))
        .or_else(|| endless.then_some(string.len() * 8))
}

/// The bytes that hold `bits`, in slices: for each the bits in it, and how many are before it.
fn slices<'b>(
    string: TextRef<'b>,
    bits: Range<usize>,
    room: &'b mut IntText,
) -> impl Iterator<Item = (&'b [u8], Range<usize>, usize)> {
    let bytes = bits.start / 8..bits.end.div_ceil(8).max(bits.start / 8);
    let mut at = bytes.start;
    string.slices(bytes, room).map(move |slice| {
        let before = at * 8;
        at += slice.len();
        let inside = bits.start.max(before)..bits.end.min(at * 8);
        (slice, inside.start - before..inside.end - before, before)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(start: i64, end: Option<i64>, in_bits: bool) -> Part {
        Part {
            start,
            end,
            in_bits,
        }
    }

    #[test]
    fn any_two_positions_are_a_part() {
        assert_eq!(Part::WHOLE.bits(3), 0..24);
        assert_eq!(Part::WHOLE.bits(0), 0..0);
        assert_eq!(part(1, Some(1), false).bits(3), 8..16);
        assert_eq!(part(1, Some(1), true).bits(3), 1..2);
        assert_eq!(part(-2, None, false).bits(3), 8..24);
        assert_eq!(part(-2, Some(-1), true).bits(3), 22..24);
        assert_eq!(part(i64::MIN, Some(i64::MAX), true).bits(3), 0..24);
        assert_eq!(part(i64::MAX, Some(i64::MIN), true).bits(3), 0..0);
        assert_eq!(part(3, None, false).bits(3), 0..0);
        assert_eq!(part(-9, Some(-8), false).bits(3), 0..8);
    }

    #[test]
    fn clear_bits_follow_a_string_that_is_searched_to_its_end() {
        assert_eq!(
            position(TextRef::Bytes(&[0xff, 0xff]), false, Part::WHOLE),
            Some(16)
        );
        assert_eq!(
            position(TextRef::Bytes(&[0xff, 0xff]), false, part(1, None, false)),
            Some(16)
        );
        assert_eq!(
            position(
                TextRef::Bytes(&[0xff, 0xff]),
                false,
                part(0, Some(-1), false)
            ),
            None
        );
        assert_eq!(
            position(TextRef::Bytes(&[0xff, 0xff]), false, part(2, None, false)),
            None
        );
        assert_eq!(position(TextRef::Bytes(&[]), false, Part::WHOLE), None);
        assert_eq!(position(TextRef::Bytes(&[0, 0]), true, Part::WHOLE), None);
    }
}
