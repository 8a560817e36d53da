//! ZRANDMEMBER: members chosen at random, each set of so many as likely as any other.

use std::collections::HashSet;

use kvik_store::{ScoredMember, ZsetRef};

use super::{reply_len, reply_member, reply_name, zset};
use crate::{Ctx, Error, Random};

/// From this part of a sorted set on, choosing goes through all members instead of drawing ranks.
const LARGE_PART: usize = 3;

/// Most members that a reply repeats; a larger one would only fill memory.
const MAX_REPEATS: usize = 1 << 24;

const BEYOND_COUNTS: &str =
    "value is out of range, value must between -9223372036854775807 and 9223372036854775807";

pub(super) fn zrandmember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    if ctx.args.len() > 2 {
        return many(ctx);
    }
    let args = ctx.args;
    let random = ctx.random.bits();
    let zset = ctx.keys.read(&args[1]).map(zset).transpose()?;
    let member = zset.and_then(|zset| zset.sample(random));
    match member.map(|member| member.name) {
        Some(name) => reply_name(&mut ctx.reply, name),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn many(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let (count, with_scores) = options(ctx)?;
    let Some(zset) = ctx.keys.read(&args[1]).map(zset).transpose()? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let (reply, random) = (&mut ctx.reply, &mut *ctx.random);
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 && wanted > MAX_REPEATS {
        return Err(Error::OUT_OF_RANGE);
    }
    let wanted = if count < 0 {
        wanted
    } else {
        wanted.min(zset.len())
    };
    reply_len(reply, wanted, with_scores);
    let mut tell = |member: ScoredMember<'_>| {
        let score = with_scores.then(|| member.score());
        reply_member(reply, member.name, score);
    };
    if count >= 0 {
        choose(zset, wanted, random, tell);
        return Ok(());
    }
    for _ in 0..wanted {
        tell(
            zset.sample(random.bits())
                .expect("a sorted set has members"),
        );
    }
    Ok(())
}

/// How many members are wanted, and whether their scores are.
fn options(ctx: &Ctx<'_>) -> Result<(i64, bool), Error> {
    let count = ctx.int(2)?;
    if count == i64::MIN {
        return Err(Error::text(BEYOND_COUNTS));
    }
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
    if count.saturating_mul(LARGE_PART) < len && matches!(zset, ZsetRef::Table(_)) {
        let mut drawn = HashSet::with_capacity(count);
        while drawn.len() < count {
            let rank = random.below(len as u64) as usize;
            if drawn.insert(rank) {
                zset.range(rank..rank + 1, false).for_each(&mut tell);
            }
        }
        return;
    }
    // Selection sampling (Knuth, TAOCP 2, 3.4.2, algorithm S).
    let (mut wanted, mut left) = (count as u64, len as u64);
    for member in zset.iter() {
        if random.below(left) < wanted {
            tell(member);
            wanted -= 1;
        }
        left -= 1;
    }
}
