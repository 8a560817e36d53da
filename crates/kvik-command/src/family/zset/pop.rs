//! ZPOPMIN, ZPOPMAX, ZMPOP and those of their kind that wait: members from either end.

use kvik_resp::{Args, Protocol};
use kvik_store::{Event, EventClasses, Wanted};

use super::{reply_name, zset};
use crate::blocking::Block;
use crate::{Ctx, Error};

/// From which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::family) enum End {
    Min,
    Max,
}

impl End {
    fn event(self) -> &'static Event {
        match self {
            Self::Min => Event::ZPOPMIN,
            Self::Max => Event::ZPOPMAX,
        }
    }
}

pub(super) fn zpopmin(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop(ctx, End::Min)
}

pub(super) fn zpopmax(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop(ctx, End::Max)
}

fn pop(ctx: &mut Ctx<'_>, end: End) -> Result<(), Error> {
    let args = ctx.args;
    ctx.keys.mute(EventClasses::MISS);
    let count = match args.len() {
        2 => 1,
        3 => {
            let count = ctx.int(2).ok();
            let count = count.and_then(|count| usize::try_from(count).ok());
            count.ok_or(Error::NOT_POSITIVE)?
        }
        _ => return Err(Error::SYNTAX),
    };
    let len = ctx.keys.read(ctx.key(1)).map(zset).transpose()?;
    let count = len.map_or(0, |zset| zset.len()).min(count);
    // Redis nests pairs in RESP3 only if a count is given.
    let nested = ctx.reply.protocol() == Protocol::Resp3 && args.len() == 3;
    ctx.reply.array(if nested { count } else { 2 * count });
    take_many(ctx, &args[1], end, count, nested)
}

/// Deletes `count` members, which are there, in slices, after writing each.
fn take_many(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    end: End,
    count: usize,
    nested: bool,
) -> Result<(), Error> {
    ctx.change_in_slices(count, |ctx, slice| take(ctx, key, end, slice.len(), nested))
}

/// Deletes `count` members, which are there, after writing each with its score, as an array of its
/// own if they are `nested`.
pub(in crate::family) fn take(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    end: End,
    count: usize,
    nested: bool,
) -> Result<(), Error> {
    if count == 0 {
        return Ok(());
    }
    ctx.keys.call_changes(Some(end.event()));
    let mut zset = ctx.keys.entry(key).zset_mut()?;
    let len = zset.view().len();
    let ranks = match end {
        End::Min => 0..count,
        End::Max => len - count..len,
    };
    // The reply is written before the members go, since it borrows their names.
    for member in zset.view().range(ranks.clone(), end == End::Max) {
        if nested {
            ctx.reply.array(2);
        }
        reply_name(&mut ctx.reply, member.name);
        ctx.reply.double(member.score());
    }
    if count < len {
        zset.remove_ranks(ranks);
        return Ok(());
    }
    // A sorted set that becomes empty is deleted as a key, so that it is freed in slices.
    drop(zset);
    ctx.keys.note_called(key, Event::ZREM);
    ctx.keys.delete(key);
    Ok(())
}

pub(super) fn zmpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (keys, end, count) = options(ctx, 1)?;
    ctx.keys.mute(EventClasses::MISS);
    if !pop_from_first(ctx, keys, end, count)? {
        ctx.reply.null_array();
    }
    Ok(())
}

pub(super) fn bzmpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let until_ms = ctx.deadline(1)?;
    let (keys, end, count) = options(ctx, 2)?;
    ctx.keys.mute(EventClasses::MISS);
    if !pop_from_first(ctx, keys, end, count)? {
        let keys = 3..3 + keys.len();
        ctx.wait_or_answer(Block::new(Wanted::Zset, keys, until_ms));
    }
    Ok(())
}

pub(super) fn bzpopmin(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop_or_wait(ctx, End::Min)
}

pub(super) fn bzpopmax(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop_or_wait(ctx, End::Max)
}

fn pop_or_wait(ctx: &mut Ctx<'_>, end: End) -> Result<(), Error> {
    let (args, last) = (ctx.args, ctx.args.len() - 1);
    let until_ms = ctx.deadline(last)?;
    ctx.keys.mute(EventClasses::MISS);
    for key in args.slice(1..last) {
        if ctx.may_see(key) && ctx.keys.read(key).map(zset).transpose()?.is_some() {
            ctx.reply.array(3);
            ctx.reply.bulk(key);
            return take(ctx, key, end, 1, false);
        }
    }
    ctx.wait_or_answer(Block::new(Wanted::Zset, 1..last, until_ms));
    Ok(())
}

/// Answers with the first of the keys that exists and up to `count` members at an end, and deletes
/// those; or says that there is none.
///
/// # Errors
/// If that key holds another type.
fn pop_from_first(
    ctx: &mut Ctx<'_>,
    keys: Args<'_>,
    end: End,
    count: usize,
) -> Result<bool, Error> {
    for key in keys {
        if !ctx.may_see(key) {
            continue;
        }
        let Some(zset) = ctx.keys.read(key).map(zset).transpose()? else {
            continue;
        };
        let count = zset.len().min(count);
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        ctx.reply.array(count);
        take_many(ctx, key, end, count, true)?;
        return Ok(true);
    }
    Ok(false)
}

/// The keys, the end and the count of a call, whose number of keys is word `from`.
fn options<'a>(ctx: &Ctx<'a>, from: usize) -> Result<(Args<'a>, End, usize), Error> {
    let args = ctx.args;
    let keys = at_least_one(ctx, from, "numkeys should be greater than 0")?;
    let end = match keys.checked_add(from + 1).and_then(|at| args.get(at)) {
        Some(word) if word.eq_ignore_ascii_case(b"MIN") => End::Min,
        Some(word) if word.eq_ignore_ascii_case(b"MAX") => End::Max,
        _ => return Err(Error::SYNTAX),
    };
    let at = keys + from + 2;
    // COUNT may be given once, at the end.
    let count = match args.len() - at {
        0 => 1,
        1 => return Err(Error::SYNTAX),
        _ if !ctx.is(at, "COUNT") => return Err(Error::SYNTAX),
        words => {
            let count = at_least_one(ctx, at + 1, "count should be greater than 0")?;
            if words > 2 {
                return Err(Error::SYNTAX);
            }
            count
        }
    };
    Ok((args.slice(from + 1..from + 1 + keys), end, count))
}

/// The word at a position as a positive number.
pub(super) fn at_least_one(ctx: &Ctx<'_>, at: usize, or: &'static str) -> Result<usize, Error> {
    let number = ctx.int(at).ok();
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.filter(|&number| number > 0).ok_or(Error::text(or))
}
