//! LMOVEM and BLMOVEM: several elements at an end of a list that go to an end of another or the
//! same, one by one or as a block.

use std::ops::Range;

use kvik_store::{EventClasses, IntText, ListEnd, Wanted};

use super::pop::{pop_event, push_event};
use super::{end, existing, read};
use crate::blocking::Block;
use crate::{Ctx, Error};

/// How many elements go, and in which order they arrive.
#[derive(Clone, Copy, Debug)]
struct BlockOptions {
    count: usize,
    /// All of them, or none.
    exactly: bool,
    /// They arrive as if they had been moved one after the other.
    one_by_one: bool,
}

impl BlockOptions {
    /// Reads the options from word `at` on; without any one element is moved.
    fn parse(ctx: &Ctx<'_>, at: usize) -> Result<Self, Error> {
        let words = ctx.args.len().saturating_sub(at);
        if words == 0 {
            return Ok(Self {
                count: 1,
                exactly: false,
                one_by_one: true,
            });
        }
        let exactly = ctx.is(at, "EXACTLY");
        if words != 3 || !(exactly || ctx.is(at, "COUNT")) {
            return Err(Error::SYNTAX);
        }
        let one_by_one = ctx.is(at + 2, "OBO");
        if !one_by_one && !ctx.is(at + 2, "BULK") {
            return Err(Error::SYNTAX);
        }
        let count = ctx.int(at + 1).ok();
        let count = count.and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|count| *count > 0);
        Ok(Self {
            count: count.ok_or(Error::text("count should be greater than 0"))?,
            exactly,
            one_by_one,
        })
    }

    /// How many of so many elements go.
    fn of(self, len: usize) -> usize {
        match self.exactly && len < self.count {
            true => 0,
            false => self.count.min(len),
        }
    }
}

pub(super) fn lmovem(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = BlockOptions::parse(ctx, 5)?;
    let (from, to) = (end(ctx, 3)?, end(ctx, 4)?);
    if !move_block(ctx, from, to, options)? {
        ctx.reply.null_array();
    }
    Ok(())
}

pub(super) fn blmovem(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (from, to) = (end(ctx, 3)?, end(ctx, 4)?);
    let until_ms = ctx.deadline(5)?;
    let options = BlockOptions::parse(ctx, 6)?;
    if !move_block(ctx, from, to, options)? {
        ctx.wait_or_answer(Block::new(Wanted::List, 1..2, until_ms));
    }
    Ok(())
}

/// Whether a call of BLMOVEM that waits has enough elements.
pub(super) fn has_enough(ctx: &mut Ctx<'_>) -> bool {
    let (args, options) = (ctx.args, BlockOptions::parse(ctx, 6));
    let Ok(Some(entry)) = existing(&mut ctx.keys, &args[1]) else {
        return false;
    };
    let len = entry.list_mut().map_or(0, |list| list.len());
    options.is_ok_and(|options| options.of(len) > 0)
}

/// Moves elements and answers with them as they lie at the destination, or says that there are not
/// enough.
///
/// # Errors
/// If one of the keys holds another type.
fn move_block(
    ctx: &mut Ctx<'_>,
    from: ListEnd,
    to: ListEnd,
    options: BlockOptions,
) -> Result<bool, Error> {
    let args = ctx.args;
    let (source, destination) = (&args[1], &args[2]);
    let Some(entry) = existing(&mut ctx.keys, source)? else {
        return Ok(false);
    };
    let count = options.of(entry.list_mut()?.len());
    if count == 0 {
        return Ok(false);
    }
    existing(&mut ctx.keys, destination)?;
    // From the end on that they leave.
    let mut moved: Vec<Vec<u8>> = Vec::new();
    ctx.read_in_slices(count, |ctx, slice| {
        let (list, mut room) = (read(&mut ctx.keys, source.into())?, IntText::default());
        let elements = list.map(|list| list.elements(from, slice.start, slice.len()));
        let elements = elements.into_iter().flatten();
        moved.extend(elements.map(|it| it.text(&mut room).to_vec()));
        Ok(())
    })?;
    // One by one, the last to come is the outermost; a block keeps its order.
    let outermost_last = match options.one_by_one {
        true => to == ListEnd::Right,
        false => from == ListEnd::Left,
    };
    if !outermost_last {
        moved.reverse();
    }
    if source == destination {
        turn_block(ctx, source, from, to, &moved)?;
    } else {
        ctx.keys.entry(source).list_mut()?.pop(from, count);
        push_block(ctx, destination, to, &moved)?;
    }
    ctx.reply.array(moved.len());
    moved.iter().for_each(|element| ctx.reply.bulk(element));
    Ok(true)
}

/// Adds elements, given from left to right, at an end of a list.
fn push_block(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    to: ListEnd,
    elements: &[Vec<u8>],
) -> Result<(), Error> {
    ctx.change_in_slices(elements.len(), |ctx, slice| {
        let mut list = ctx.keys.entry(key).list_mut()?;
        let words = |range: Range<usize>| elements[range].iter().map(Vec::as_slice);
        match to {
            ListEnd::Right => list.push(to, words(slice)),
            // The first to come ends as the innermost.
            ListEnd::Left => {
                let len = elements.len();
                list.push(to, words(len - slice.end..len - slice.start).rev())
            }
        };
        Ok(())
    })
}

/// Moves elements, given as they are to lie, within a list. It is never empty in between, so it
/// keeps its expiry.
fn turn_block(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    from: ListEnd,
    to: ListEnd,
    elements: &[Vec<u8>],
) -> Result<(), Error> {
    let wanted = ctx.keys.mute(EventClasses::LIST);
    if from == to {
        ctx.change_in_slices(elements.len(), |ctx, slice| {
            let mut list = ctx.keys.entry(key).list_mut()?;
            let first = match to {
                ListEnd::Left => 0,
                ListEnd::Right => list.len() - elements.len(),
            };
            for at in slice {
                list.set(first + at, &elements[at]);
            }
            Ok(())
        })?;
    } else {
        push_block(ctx, key, to, elements)?;
        let mut list = ctx.keys.entry(key).list_mut()?;
        list.pop(from, elements.len());
    }
    ctx.keys.unmute(wanted);
    ctx.keys.note(key, pop_event(from));
    ctx.keys.note(key, push_event(to));
    Ok(())
}
