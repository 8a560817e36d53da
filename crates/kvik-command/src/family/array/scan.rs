//! The elements of a range, and what an array consists of.

use kvik_resp::{Args, Reply};
use kvik_store::ArrayRef;

use super::{POSITIONS_MAX, array, index, visit_range, write_value};
use crate::{Ctx, Error};

pub(super) fn argetrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (from, to) = (index(&ctx.args[2])?, index(&ctx.args[3])?);
    let array = array(ctx.keys.read(ctx.key(1)))?;
    if from.abs_diff(to) >= POSITIONS_MAX {
        let error = format!("range exceeds maximum of {POSITIONS_MAX} items");
        return Err(Error::new(error));
    }
    let count = from.abs_diff(to) as usize + 1;
    ctx.reply.array(count);
    match array {
        Some(_) => write_range(ctx, from, to),
        None => {
            (0..count).for_each(|_| ctx.reply.null());
            Ok(())
        }
    }
}

/// Writes what is at every position of the array at word 1 from one to another, some at a time.
pub(super) fn write_range(ctx: &mut Ctx<'_>, from: u64, to: u64) -> Result<(), Error> {
    let count = from.abs_diff(to) as usize + 1;
    ctx.read_in_slices(count, |ctx, slice| {
        let Some(array) = array(ctx.keys.peek(ctx.key(1)))? else {
            return Ok(());
        };
        let at = |nth: usize| match from <= to {
            true => from + nth as u64,
            false => from - nth as u64,
        };
        write_positions(&mut ctx.reply, array, at(slice.start), at(slice.end - 1));
        Ok(())
    })
}

/// Writes what is at every position from one to another, in that order.
fn write_positions(reply: &mut Reply<'_>, array: ArrayRef<'_>, from: u64, to: u64) {
    let mut elements = array.range(from, to).peekable();
    let mut at = from;
    loop {
        let element = elements.next_if(|(index, _)| *index == at);
        write_value(reply, element.map(|(_, value)| value));
        if at == to {
            return;
        }
        at = if from < to { at + 1 } else { at - 1 };
    }
}

/// A word as the number of elements that a reply may have.
pub(super) fn limit(ctx: &Ctx<'_>, at: usize) -> Result<u64, Error> {
    let limit = u64::try_from(ctx.int(at)?).unwrap_or(0);
    match limit {
        0 => Err(Error::text("LIMIT must be positive")),
        limit => Ok(limit),
    }
}

pub(super) fn arscan(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (from, to) = (index(&ctx.args[2])?, index(&ctx.args[3])?);
    let limit = match ctx.args.len() {
        4 => u64::MAX,
        6 if ctx.is(4, "LIMIT") => limit(ctx, 5)?,
        6 => return Err(Error::SYNTAX),
        _ => return Err(Error::arity(ctx.command)),
    };
    array(ctx.keys.read(ctx.key(1)))?;
    let (deferred, mut count) = (ctx.reply.deferred_array(), 0);
    visit_range(ctx, from, to, |reply, index, value| {
        reply.array(2);
        reply.unsigned(index);
        write_value(reply, Some(value));
        count += 1;
        (count as u64) < limit
    })?;
    ctx.reply.finish_array(deferred, count);
    Ok(())
}

pub(super) fn arinfo(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args: Args<'_> = ctx.args;
    let is_full = match args.len() {
        2 => false,
        3 if ctx.is(2, "FULL") => true,
        _ => return Err(Error::SYNTAX),
    };
    let array = array(ctx.keys.read(ctx.key(1)))?.ok_or(Error::NO_SUCH_KEY)?;
    let reply = &mut ctx.reply;
    reply.map(if is_full { 12 } else { 7 });
    let next = array.cursor().map_or(0, |cursor| cursor + 1);
    let slices = array.slice_count() as u64;
    for (name, value) in [
        ("count", array.count()),
        ("len", array.len()),
        // Redis says 0 as well where no index is left.
        ("next-insert-index", if next == u64::MAX { 0 } else { next }),
        ("slices", slices),
        ("directory-size", slices),
        ("super-dir-entries", 0),
        ("slice-size", ArrayRef::SLICE_SPAN),
    ] {
        reply.bulk_str(name);
        reply.unsigned(value);
    }
    if is_full {
        write_density(reply, array);
    }
    Ok(())
}

/// Writes how full slices are. A dense one has at least half of the elements that it could have.
fn write_density(reply: &mut Reply<'_>, array: ArrayRef<'_>) {
    let is_dense = |count: &u32| u64::from(*count) * 2 >= ArrayRef::SLICE_SPAN;
    let (mut dense, mut dense_elements, mut sparse, mut sparse_elements) = (0, 0, 0, 0);
    for count in array.slices() {
        let (slices, elements) = match is_dense(&count) {
            true => (&mut dense, &mut dense_elements),
            false => (&mut sparse, &mut sparse_elements),
        };
        *slices += 1;
        *elements += u64::from(count);
    }
    let of = |part: f64, whole: u64| if whole == 0 { 0.0 } else { part / whole as f64 };
    reply.bulk(b"dense-slices");
    reply.unsigned(dense);
    reply.bulk(b"sparse-slices");
    reply.unsigned(sparse);
    let room = dense * ArrayRef::SLICE_SPAN;
    for (name, value) in [
        ("avg-dense-size", of(room as f64, dense)),
        ("avg-dense-fill", of(dense_elements as f64, room)),
        ("avg-sparse-size", of(sparse_elements as f64, sparse)),
    ] {
        reply.bulk_str(name);
        reply.double(value);
    }
}
