//! The commands that address elements by index.

use kvik_store::{Event, IntText, ListEnd};

use super::{existing, read, reply_with};
use crate::{Ctx, Error, SLICE};

/// The part of a list of `len` elements from the index `start` to the index `stop`: how many
/// elements lie before it, and how many are in it. Indexes below zero count from the end.
fn part(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let from_start = |index: i64| if index < 0 { len + index } else { index };
    let start = from_start(start).max(0);
    let stop = from_start(stop).min(len - 1);
    if start > stop {
        return (0, 0);
    }
    (start as usize, (stop - start + 1) as usize)
}

/// The index as one from the start, if it is one of `len` elements.
fn position(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index + len as i64 } else { index };
    usize::try_from(index).ok().filter(|&index| index < len)
}

pub(super) fn lrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (start, stop) = (ctx.int(2)?, ctx.int(3)?);
    let key = ctx.key(1);
    match read(&mut ctx.keys, key)? {
        Some(list) => {
            let (skip, count) = part(start, stop, list.len());
            if count > SLICE {
                return range_in_slices(ctx, skip, count);
            }
            reply_with(&mut ctx.reply, list.elements(ListEnd::Left, skip, count));
        }
        None => ctx.reply.array(0),
    }
    Ok(())
}

#[cold]
fn range_in_slices(ctx: &mut Ctx<'_>, skip: usize, count: usize) -> Result<(), Error> {
    ctx.weigh(count)?;
    ctx.reply.array(count);
    for at in (0..count).step_by(SLICE) {
        if at > 0 {
            ctx.breathe()?;
        }
        let key = ctx.key(1);
        let Some(list) = read(&mut ctx.keys, key)? else {
            return Ok(());
        };
        let (reply, mut text) = (&mut ctx.reply, IntText::default());
        let elements = list.elements(ListEnd::Left, skip + at, SLICE.min(count - at));
        elements.for_each(|element| reply.bulk(element.text(&mut text)));
    }
    Ok(())
}

pub(super) fn lindex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let index = ctx.int(2);
    let key = ctx.key(1);
    let Some(list) = read(&mut ctx.keys, key)? else {
        ctx.reply.null();
        return Ok(());
    };
    let position = position(index?, list.len());
    match position.and_then(|index| list.get(index)) {
        Some(element) => ctx.reply.bulk(element.text(&mut IntText::default())),
        None => ctx.reply.null(),
    }
    Ok(())
}

pub(super) fn lset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, index) = (ctx.args, ctx.int(2));
    let key = ctx.key(1);
    let entry = existing(&mut ctx.keys, key)?.ok_or(Error::NO_SUCH_KEY)?;
    let index = index?;
    let mut list = entry.list_mut()?;
    let position = position(index, list.len());
    if !position.is_some_and(|index| list.set(index, &args[3])) {
        return Err(Error::text("index out of range"));
    }
    ctx.reply.ok();
    Ok(())
}

pub(super) fn ltrim(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let (start, stop) = (ctx.int(2)?, ctx.int(3)?);
    let key = ctx.key(1);
    if let Some(entry) = existing(&mut ctx.keys, key)? {
        let mut list = entry.list_mut()?;
        let (skip, count) = part(start, stop, list.len());
        let is_whole = count == list.len();
        list.trim(skip, count);
        drop(list);
        if is_whole {
            // Redis tells of it although nothing has changed.
            ctx.keys.note(&args[1], Event::LTRIM);
        }
    }
    ctx.reply.ok();
    Ok(())
}
