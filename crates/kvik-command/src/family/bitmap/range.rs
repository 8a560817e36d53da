//! BITCOUNT, BITPOS and BITRANGEINTARRAY: what is set or clear in a part of a string.

use std::ops::Range;

use kvik_store::{IntText, TextRef};

use super::bits;
use crate::{Ctx, Error, SLICE};

/// Bits that count as an element, and those that are counted while the stripe is held once.
const ELEMENT_BITS: usize = 8 << 10;
const SLICE_BITS: usize = 8 << 18;

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

    /// The first clear bit behind a string of `len` bytes, if that counts and is looked for.
    fn clear_behind(self, bit: bool, len: usize) -> Option<usize> {
        let endless = !bit && self.end.is_none() && !self.bits(len).is_empty();
        endless.then_some(len * 8)
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
            let bits = part.bits(string.len());
            match bits.len() > SLICE_BITS {
                false => count(string, bits),
                true => count_in_slices(ctx, bits)?,
            }
        }
        _ => 0,
    };
    ctx.reply.integer(count as i64);
    Ok(())
}

/// The bits that are set among these of a string.
fn count(string: TextRef<'_>, bits: Range<usize>) -> u64 {
    let mut room = IntText::default();
    let slices = slices(string, bits, &mut room);
    slices
        .map(|(slice, bits, _)| bits::count(slice, bits))
        .sum()
}

/// The same, with others let in between.
#[cold]
fn count_in_slices(ctx: &mut Ctx<'_>, bits: Range<usize>) -> Result<u64, Error> {
    ctx.weigh(bits.len() / ELEMENT_BITS)?;
    let mut set = 0;
    for start in bits.clone().step_by(SLICE_BITS) {
        if start > bits.start {
            ctx.breathe()?;
        }
        let view = ctx.keys.view(ctx.key(1)).ok_or(Error::NO_SUCH_KEY)?;
        set += count(view.string()?, start..bits.end.min(start + SLICE_BITS));
    }
    Ok(set)
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
        Some(string) if part.bits(string.len()).len() > SLICE_BITS => {
            let len = string.len();
            find_in_slices(ctx, bit, part.bits(len))?.or_else(|| part.clear_behind(bit, len))
        }
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
    let mut bits = string.map_or(0..0, |string| part.bits(string.len()));
    let (array, mut len) = (ctx.reply.deferred_array(), 0);
    while !bits.is_empty() && len < limit {
        let view = ctx.keys.view(ctx.key(1)).ok_or(Error::NO_SUCH_KEY)?;
        let page = bits.start..bits.end.min(bits.start + SLICE_BITS);
        let most = limit.min(len + SLICE as u64);
        bits.start = page.end;
        let (string, mut room) = (view.string()?, IntText::default());
        for (slice, mut inside, before) in slices(string, page, &mut room) {
            while let Some(found) = bits::find(slice, bit, inside.clone()) {
                if len == most {
                    // The rest is for the next page.
                    bits.start = bits.start.min(before + found);
                    break;
                }
                ctx.reply.integer((before + found) as i64);
                len += 1;
                inside.start = found + 1;
            }
        }
        if !bits.is_empty() && len < limit {
            // How many there are is not known before: so many that the rest is done elsewhere.
            let left = usize::try_from(limit - len).unwrap_or(usize::MAX);
            ctx.weigh((bits.len() / 64).min(left))?;
            ctx.breathe()?;
        }
    }
    ctx.keys.rest();
    ctx.reply.finish_array(array, len as usize);
    Ok(())
}

/// The first bit that is so among many, with others let in between.
#[cold]
fn find_in_slices(
    ctx: &mut Ctx<'_>,
    bit: bool,
    bits: Range<usize>,
) -> Result<Option<usize>, Error> {
    for start in bits.clone().step_by(SLICE_BITS) {
        if start > bits.start {
            // Most searches end before.
            ctx.weigh(bits.len() / ELEMENT_BITS)?;
            ctx.breathe()?;
        }
        let view = ctx.keys.view(ctx.key(1)).ok_or(Error::NO_SUCH_KEY)?;
        let found = find(view.string()?, bit, start..bits.end.min(start + SLICE_BITS));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The first bit among these that is so.
fn find(string: TextRef<'_>, bit: bool, bits: Range<usize>) -> Option<usize> {
    slices(string, bits, &mut IntText::default())
        .find_map(|(slice, bits, before)| Some(before + bits::find(slice, bit, bits)?))
}

/// Where the bit is first. Behind a string all bits are clear, unless the part has an end.
fn position(string: TextRef<'_>, bit: bool, part: Part) -> Option<usize> {
    let len = string.len();
    find(string, bit, part.bits(len)).or_else(|| part.clear_behind(bit, len))
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
