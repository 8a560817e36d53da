//! ZRANDMEMBER: members chosen at random, each set of so many as likely as any other.

use std::collections::HashSet;

use kvik_resp::Reply;
use kvik_store::{ScoredMember, ZsetRef};

use super::{reply_len, reply_member, reply_name, zset};
use crate::family::sampling::{Selection, checked_count, distinct, draws, is_small_part, repeat};
use crate::{Ctx, Error, Random};

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
    let (reply, random) = (&mut ctx.reply, &mut *ctx.random);
    let tell = |reply: &mut Reply<'_>, member: ScoredMember<'_>| {
        let score = with_scores.then(|| member.score());
        reply_member(reply, member.name, score);
    };
    if count >= 0 {
        let wanted = distinct(count, zset.len());
        reply_len(reply, wanted, with_scores);
        choose(zset, wanted, random, |member| tell(reply, member));
        return Ok(());
    }
    let times = draws(count)?;
    reply_len(reply, times, with_scores);
    repeat(reply, times, |reply| {
        let member = zset.sample(random.bits());
        tell(reply, member.expect("a sorted set has members"));
    })
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

/// Gives `count` different members, of which there are as many, to `tell`.
fn choose<'z>(
    zset: ZsetRef<'z>,
    count: usize,
    random: &mut Random,
    mut tell: impl FnMut(ScoredMember<'z>),
) {
    let len = zset.len();
    if is_small_part(count, len) && matches!(zset, ZsetRef::Table(_)) {
        let mut drawn = HashSet::with_capacity(count);
        while drawn.len() < count {
            let rank = random.below(len as u64) as usize;
            if drawn.insert(rank) {
                zset.range(rank..rank + 1, false).for_each(&mut tell);
            }
        }
        return;
    }
    let mut selection = Selection::new(count, len);
    for member in zset.iter() {
        if selection.takes(random) {
            tell(member);
        }
    }
}
