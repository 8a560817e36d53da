//! Parts of strings: APPEND, GETRANGE, SUBSTR, SETRANGE.

use std::ops::Range;

use kvik_store::{Entry, IntText, StringTooLong, TextRef};

use super::{string, value};
use crate::{Ctx, Error};

impl From<StringTooLong> for Error {
    fn from(_: StringTooLong) -> Self {
        Self::STRING_TOO_LONG
    }
}

/// The longest string that a change may make. An effect of another store is repeated whatever the
/// limit here.
pub(in crate::family) fn max_string(ctx: &Ctx<'_>) -> usize {
    if ctx.keys.is_follower() {
        usize::MAX
    } else {
        ctx.engine.settings.max_string()
    }
}

pub(super) fn append(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let limit = max_string(ctx);
    let args = ctx.args;
    let len = match ctx.keys.entry(ctx.key(1)) {
        Entry::Vacant(vacant) => {
            vacant.set(value(args, 2), None);
            args.rope(2)
                .map_or_else(|| args[2].len(), |rope| rope.len())
        }
        // Even nothing appended is a change to those who watch the key.
        Entry::Occupied(mut occupied) => {
            let len = string(occupied.view())?.len();
            occupied.set_range(len, &args[2], limit)?
        }
    };
    ctx.reply.integer(len as i64);
    Ok(())
}

pub(super) fn setrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let offset = usize::try_from(ctx.int(2)?).map_err(|_| Error::text("offset is out of range"))?;
    let (limit, bytes) = (max_string(ctx), &ctx.args[3]);
    let len = match ctx.keys.entry(ctx.key(1)) {
        Entry::Vacant(_) if bytes.is_empty() => 0,
        Entry::Vacant(vacant) => vacant.set_range(offset, bytes, limit)?,
        Entry::Occupied(mut occupied) => match string(occupied.view())?.len() {
            len if bytes.is_empty() => len,
            _ => occupied.set_range(offset, bytes, limit)?,
        },
    };
    ctx.reply.integer(len as i64);
    Ok(())
}

pub(super) fn getrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (start, end) = (ctx.int(2)?, ctx.int(3)?);
    let string = ctx.keys.read_string(ctx.key(1))?;
    let string = string.unwrap_or(TextRef::Bytes(b""));
    let part = part(string.len(), start, end);
    match string {
        TextRef::Rope(rope) => ctx.reply.bulk_rope(rope, part),
        other => ctx.reply.bulk(&other.text(&mut IntText::default())[part]),
    }
    Ok(())
}

/// The bytes from `start` to `end`, both included, of `len` bytes; negative positions count from
/// the end.
fn part(len: usize, start: i64, end: i64) -> Range<usize> {
    let len = len as i64;
    let from_front = |at: i64| if at < 0 { (at + len).max(0) } else { at };
    let (first, last) = (from_front(start), from_front(end).min(len - 1));
    // Positions before the front are the front, unless they are the wrong way round.
    if first > last || (start < 0 && end < 0 && start > end) {
        return 0..0;
    }
    first as usize..last as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_two_positions_are_a_part() {
        let cases: [(i64, i64, &[u8]); 9] = [
            (0, -1, b"abc"),
            (1, 1, b"b"),
            (-2, -1, b"bc"),
            (-100, -50, b"a"),
            (-50, -100, b""),
            (2, 1, b""),
            (3, 9, b""),
            (i64::MIN, i64::MAX, b"abc"),
            (i64::MAX, i64::MIN, b""),
        ];
        for (start, end, expected) in cases {
            assert_eq!(&b"abc"[part(3, start, end)], expected, "{start} {end}");
        }
        assert_eq!(part(0, 0, -1), 0..0);
        assert_eq!(part(0, -1, -1), 0..0);
    }
}
