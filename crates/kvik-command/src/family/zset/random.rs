//! ZRANDMEMBER: members chosen at random, each set of so many as likely as any other.

use std::collections::HashSet;

use kvik_resp::Reply;
use kvik_store::{ScoredMember, View, ZsetRef};

use super::{reply_len, reply_member, reply_name, zset};
use crate::family::sampling::{
    DRAWN_AT_ONCE, Selection, checked_count, distinct, draws, is_small_part, repeat, touched,
};
use crate::{Ctx, Error, SLICE};

pub(super) fn zrandmember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    if ctx.args.len() > 2 {
        return many(ctx);
    }
    let random = ctx.random.bits();
    let zset = ctx.keys.read(ctx.key(1)).map(zset).transpose()?;
    let member = zset.and_then(|zset| zset.sample(random));
    match member.map(|member| member.name) {
        Some(name) => reply_name(&mut ctx.reply, name),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn many(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (count, with_scores) = options(ctx)?;
    let Some(zset) = ctx.keys.read(ctx.key(1)).map(zset).transpose()? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let len = zset.len();
    if count >= 0 {
        let wanted = distinct(count, len);
        ctx.weigh(touched(wanted, len))?;
        reply_len(&mut ctx.reply, wanted, with_scores);
        return choose(ctx, wanted, len, with_scores);
    }
    let times = draws(count)?;
    ctx.weigh(times)?;
    reply_len(&mut ctx.reply, times, with_scores);
    repeat(ctx, times, |ctx, slice| {
        let zset = look(ctx.keys.view(ctx.key(1)))?;
        for _ in 0..slice {
            let member = zset.sample(ctx.random.bits());
            let member = member.expect("a sorted set has members");
            tell(&mut ctx.reply, member, with_scores);
        }
        Ok(())
    })
}

/// The sorted set of a key that has been found.
fn look(view: Option<View<'_>>) -> Result<ZsetRef<'_>, Error> {
    zset(view.ok_or(Error::NO_SUCH_KEY)?)
}

fn tell(reply: &mut Reply<'_>, member: ScoredMember<'_>, with_scores: bool) {
    let score = with_scores.then(|| member.score());
    reply_member(reply, member.name, score);
}

/// How many members are wanted, and whether their scores are.
fn options(ctx: &Ctx<'_>) -> Result<(i64, bool), Error> {
    let count = checked_count(ctx.int(2)?)?;
    let words = ctx.args.len();
    if words > 4 || words == 4 && !ctx.is(3, "WITHSCORES") {
        return Err(Error::SYNTAX);
    }
    if words == 4 && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OUT_OF_RANGE);
    }
    Ok((count, words == 4))
}

/// Answers with `count` different members of a sorted set of `len`.
fn choose(ctx: &mut Ctx<'_>, count: usize, len: usize, with_scores: bool) -> Result<(), Error> {
    let is_table = matches!(look(ctx.keys.view(ctx.key(1)))?, ZsetRef::Table(_));
    if is_table && is_small_part(count, len) {
        return draw(ctx, count, len, with_scores);
    }
    let mut selection = Selection::new(count, len);
    for done in (0..len).step_by(SLICE) {
        if done > 0 {
            ctx.breathe()?;
        }
        let zset = look(ctx.keys.view(ctx.key(1)))?;
        for member in zset.range(done..done + SLICE, false) {
            if selection.takes(ctx.random) {
                tell(&mut ctx.reply, member, with_scores);
            }
        }
    }
    Ok(())
}

/// The same by drawing ranks until enough different ones were drawn.
fn draw(ctx: &mut Ctx<'_>, count: usize, len: usize, with_scores: bool) -> Result<(), Error> {
    let mut drawn = HashSet::with_capacity(count);
    loop {
        let zset = look(ctx.keys.view(ctx.key(1)))?;
        for _ in 0..DRAWN_AT_ONCE {
            if drawn.len() == count {
                return Ok(());
            }
            let rank = ctx.random.below(len as u64) as usize;
            if drawn.insert(rank) {
                for member in zset.range(rank..rank + 1, false) {
                    tell(&mut ctx.reply, member, with_scores);
                }
            }
        }
        ctx.breathe()?;
    }
}
