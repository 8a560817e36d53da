//! SPOP and SRANDMEMBER: members chosen at random, each set of so many as likely as any other.

use std::collections::HashSet;

use kvik_store::{IntText, SetRef};

use super::set;
use crate::{Ctx, Error, Random};

/// From this part of a set on, choosing goes through all members instead of drawing again what was drawn before.
const LARGE_PART: usize = 3;

/// Most members that a reply repeats; a larger one would only fill memory.
const MAX_REPEATS: usize = 1 << 24;

const BEYOND_COUNTS: &str =
    "value is out of range, value must between -9223372036854775807 and 9223372036854775807";

pub(super) fn spop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.args.len() {
        2 => pop_one(ctx),
        3 => pop_many(ctx),
        _ => Err(Error::SYNTAX),
    }
}

fn pop_one(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let random = ctx.random.bits();
    let reply = &mut ctx.reply;
    let mut set = ctx.keys.entry(&args[1]).set_mut()?;
    if !set.pop(random, |member| reply.bulk(member)) {
        reply.null();
    }
    Ok(())
}

fn pop_many(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let count = usize::try_from(ctx.int(2)?).map_err(|_| Error::NOT_POSITIVE)?;
    let (reply, random) = (&mut ctx.reply, &mut *ctx.random);
    let mut set = ctx.keys.entry(&args[1]).set_mut()?;
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
    let args = ctx.args;
    let random = ctx.random.bits();
    let set = ctx.keys.read(&args[1]).map(set).transpose()?;
    match set.and_then(|set| set.sample(random)) {
        Some(member) => ctx.reply.bulk(member.text(&mut IntText::default())),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn many(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let count = ctx.int(2)?;
    if count == i64::MIN {
        return Err(Error::text(BEYOND_COUNTS));
    }
    let Some(set) = ctx.keys.read(&args[1]).map(set).transpose()? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let (reply, random) = (&mut ctx.reply, &mut *ctx.random);
    if count >= 0 {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(set.len());
        reply.array(count);
        choose(set, count, random, |member| reply.bulk(member));
        return Ok(());
    }
    let times = usize::try_from(count.unsigned_abs()).ok();
    let times = times.filter(|&times| times <= MAX_REPEATS);
    let times = times.ok_or(Error::OUT_OF_RANGE)?;
    reply.array(times);
    for _ in 0..times {
        let member = set.sample(random.bits()).expect("a set has members");
        reply.bulk(member.text(&mut IntText::default()));
    }
    Ok(())
}

/// Gives `count` different members of a set, which has as many, to `tell`.
fn choose(set: SetRef<'_>, count: usize, random: &mut Random, mut tell: impl FnMut(&[u8])) {
    if count.saturating_mul(LARGE_PART) < set.len() {
        return draw(set, count, random, tell);
    }
    // Selection sampling (Knuth, TAOCP 2, 3.4.2, algorithm S).
    let (mut wanted, mut left) = (count as u64, set.len() as u64);
    for member in set.iter() {
        if random.below(left) < wanted {
            tell(member.text(&mut IntText::default()));
            wanted -= 1;
        }
        left -= 1;
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
