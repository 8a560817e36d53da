//! SPOP and SRANDMEMBER: members chosen at random, each set of so many as likely as any other.

use std::collections::HashSet;

use kvik_store::{IntText, SetRef};

use super::set;
use crate::family::sampling::{Selection, checked_count, distinct, draws, is_small_part, repeat};
use crate::{Ctx, Error, Random};

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
    let (reply, random) = (&mut ctx.reply, &mut *ctx.random);
    let mut set = ctx.keys.entry(key).set_mut()?;
    // The reply's length goes first, so it must be exact.
    let count = count.min(set.view().len());
    reply.set(count);
    for _ in 0..count {
        set.pop(random.bits(), |member| reply.bulk(member));
    }
    Ok(())
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
    let (reply, random) = (&mut ctx.reply, &mut *ctx.random);
    if count >= 0 {
        let count = distinct(count, set.len());
        reply.array(count);
        choose(set, count, random, |member| reply.bulk(member));
        return Ok(());
    }
    let times = draws(count)?;
    reply.array(times);
    repeat(reply, times, |reply| {
        let member = set.sample(random.bits()).expect("a set has members");
        reply.bulk(member.text(&mut IntText::default()));
    })
}

/// Gives `count` different members of a set, which has as many, to `tell`.
fn choose(set: SetRef<'_>, count: usize, random: &mut Random, mut tell: impl FnMut(&[u8])) {
    if is_small_part(count, set.len()) {
        return draw(set, count, random, tell);
    }
    let mut selection = Selection::new(count, set.len());
    for member in set.iter() {
        if selection.takes(random) {
            tell(member.text(&mut IntText::default()));
        }
    }
}

/// The same by drawing until enough different ones were drawn.
fn draw(set: SetRef<'_>, count: usize, random: &mut Random, mut tell: impl FnMut(&[u8])) {
    let mut drawn = HashSet::with_capacity(count);
    while drawn.len() < count {
        let member = set.sample(random.bits()).expect("a set has members");
        let member = member.text(&mut IntText::default()).to_vec();
        if !drawn.contains(&member) {
            tell(&member);
            drawn.insert(member);
        }
    }
}
