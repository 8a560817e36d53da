//! SPOP and SRANDMEMBER: members chosen at random, each set of so many as likely as any other.

use std::collections::HashSet;

use kvik_store::{IntText, SetRef, View};

use super::set;
use crate::family::sampling::{
    DRAWN_AT_ONCE, Selection, checked_count, distinct, draws, is_small_part, repeat, touched,
};
use crate::{Ctx, Error, SLICE};

pub(super) fn spop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.args.len() {
        2 => pop_one(ctx),
        3 => pop_many(ctx),
        _ => Err(Error::SYNTAX),
    }
}

fn pop_one(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let random = ctx.random.bits();
    let (key, reply) = (ctx.key(1), &mut ctx.reply);
    let mut set = ctx.keys.entry(key).set_mut()?;
    if !set.pop(random, |member| reply.bulk(member)) {
        reply.null();
    }
    Ok(())
}

fn pop_many(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let count = usize::try_from(ctx.int(2).unwrap_or(-1)).map_err(|_| Error::NOT_POSITIVE)?;
    let key = ctx.key(1);
    let set = ctx.keys.entry(key).set_mut()?;
    // The reply's length goes first, so it must be exact.
    let count = count.min(set.view().len());
    drop(set);
    ctx.reply.set(count);
    ctx.change_in_slices(count, |ctx, slice| {
        let (reply, random) = (&mut ctx.reply, &mut *ctx.random);
        let mut set = ctx.keys.entry(key).set_mut()?;
        for _ in slice {
            set.pop(random.bits(), |member| reply.bulk(member));
        }
        Ok(())
    })
}

pub(super) fn srandmember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.args.len() {
        2 => one(ctx),
        3 => many(ctx),
        _ => Err(Error::SYNTAX),
    }
}

fn one(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let random = ctx.random.bits();
    let set = ctx.keys.read(ctx.key(1)).map(set).transpose()?;
    match set.and_then(|set| set.sample(random)) {
        Some(member) => ctx.reply.bulk(member.text(&mut IntText::default())),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn many(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let count = checked_count(ctx.int(2)?)?;
    let Some(set) = ctx.keys.read(ctx.key(1)).map(set).transpose()? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let len = set.len();
    if count >= 0 {
        let count = distinct(count, len);
        ctx.weigh(touched(count, len))?;
        ctx.reply.array(count);
        return choose(ctx, count, len);
    }
    let times = draws(count)?;
    ctx.weigh(times)?;
    ctx.reply.array(times);
    repeat(ctx, times, |ctx, slice| {
        let set = look(ctx.keys.view(ctx.key(1)))?;
        for _ in 0..slice {
            let member = set.sample(ctx.random.bits()).expect("a set has members");
            ctx.reply.bulk(member.text(&mut IntText::default()));
        }
        Ok(())
    })
}

/// The set of a key that has been found.
fn look(view: Option<View<'_>>) -> Result<SetRef<'_>, Error> {
    set(view.ok_or(Error::NO_SUCH_KEY)?)
}

/// Answers with `count` different members of a set of `len`.
fn choose(ctx: &mut Ctx<'_>, count: usize, len: usize) -> Result<(), Error> {
    if is_small_part(count, len) {
        return draw(ctx, count);
    }
    let (mut selection, mut cursor) = (Selection::new(count, len), 0);
    loop {
        let set = look(ctx.keys.view(ctx.key(1)))?;
        let (reply, random, mut left) = (&mut ctx.reply, &mut *ctx.random, SLICE);
        cursor = set.scan(cursor, |member| {
            if selection.takes(random) {
                reply.bulk(member.text(&mut IntText::default()));
            }
            left = left.saturating_sub(1);
            left > 0
        });
        if cursor == 0 {
            return Ok(());
        }
        ctx.breathe()?;
    }
}

/// The same by drawing until enough different ones were drawn.
fn draw(ctx: &mut Ctx<'_>, count: usize) -> Result<(), Error> {
    let mut drawn = HashSet::with_capacity(count);
    loop {
        let set = look(ctx.keys.view(ctx.key(1)))?;
        for _ in 0..DRAWN_AT_ONCE {
            if drawn.len() == count {
                return Ok(());
            }
            let member = set.sample(ctx.random.bits()).expect("a set has members");
            let member = member.text(&mut IntText::default()).to_vec();
            if !drawn.contains(&member) {
                ctx.reply.bulk(&member);
                drawn.insert(member);
            }
        }
        ctx.breathe()?;
    }
}
