//! Inserting at the cursor, and what was inserted last.

use kvik_resp::parse_i64;
use kvik_store::{ArrayMut, Entry};

use super::scan::write_range;
use super::{INVALID_INDEX, POSITIONS_MAX, array, ensure_size, unsigned};
use crate::{Ctx, Error};

pub(super) fn arinsert(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let values = ctx.args.tail(2);
    ensure_size(values.iter())?;
    const OVERFLOW: Error = Error::text("insert index overflow");
    let cursor = array(ctx.keys.peek(ctx.key(1)))?.and_then(|array| array.cursor());
    if values.len() as u64 > ArrayMut::END - cursor.map_or(0, |cursor| cursor + 1) {
        return Err(OVERFLOW);
    }
    let mut last = None;
    ctx.change_in_slices(values.len(), |ctx, slice| {
        let mut array = ctx.keys.entry(ctx.key(1)).array_mut()?;
        last = array.insert(values.slice(slice).iter());
        Ok(())
    })?;
    ctx.reply.unsigned(last.ok_or(OVERFLOW)?);
    Ok(())
}

pub(super) fn arring(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let size = parse_i64(&args[2]).ok_or(Error::text("invalid size"))?;
    let size = u64::try_from(size).unwrap_or(0);
    if size == 0 {
        return Err(Error::text("size must be positive"));
    }
    let values = args.tail(3);
    ensure_size(values.iter())?;
    let mut last = 0;
    ctx.change_in_slices(values.len(), |ctx, slice| {
        let mut array = ctx.keys.entry(ctx.key(1)).array_mut()?;
        last = array.insert_in_ring(size, values.slice(slice).iter());
        Ok(())
    })?;
    ctx.reply.unsigned(last);
    Ok(())
}

pub(super) fn arnext(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let array = array(ctx.keys.read(ctx.key(1)))?;
    let cursor = array.and_then(|array| array.cursor());
    match cursor.map_or(0, |cursor| cursor + 1) {
        ArrayMut::END => ctx.reply.null(),
        next => ctx.reply.unsigned(next),
    }
    Ok(())
}

pub(super) fn arseek(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    // The end is no index, but where nothing more can be inserted.
    let index = unsigned(&ctx.args[2]).ok_or(INVALID_INDEX)?;
    let is_there = match ctx.keys.entry(ctx.key(1)) {
        Entry::Vacant(_) => false,
        occupied => {
            occupied.array_mut()?.seek(index);
            true
        }
    };
    ctx.reply.integer(is_there.into());
    Ok(())
}

pub(super) fn arlastitems(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let count = parse_i64(&args[2]).ok_or(Error::text("invalid COUNT"))?;
    let Some(count) = u64::try_from(count).ok().filter(|count| *count > 0) else {
        ctx.reply.array(0);
        return Ok(());
    };
    let is_back = match args.len() {
        3 => false,
        4 if ctx.is(3, "REV") => true,
        4 => return Err(Error::SYNTAX),
        _ => return Err(Error::arity(ctx.command)),
    };
    let Some(array) = array(ctx.keys.read(ctx.key(1)))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let len = array.len();
    let count = count.min(len);
    // More positions than that only elements may take: somebody stored those.
    if count > array.count() && count > POSITIONS_MAX {
        let error = format!("count exceeds maximum of {POSITIONS_MAX} items");
        return Err(Error::new(error));
    }
    let newest = array.cursor().filter(|cursor| *cursor < len);
    let newest = newest.unwrap_or(len - 1);
    // Back to the first index, and on at the end.
    let near = count.min(newest + 1);
    let far = count - near;
    ctx.reply.array(count as usize);
    let mut parts = vec![(newest + 1 - near, newest)];
    if far > 0 {
        parts.insert(0, (len - far, len - 1));
    }
    if is_back {
        parts.reverse();
    }
    for (first, last) in parts {
        match is_back {
            true => write_range(ctx, last, first)?,
            false => write_range(ctx, first, last)?,
        }
    }
    Ok(())
}
