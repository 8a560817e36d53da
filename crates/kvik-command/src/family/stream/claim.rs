//! XCLAIM and XAUTOCLAIM: handing pending entries over to another consumer.

use kvik_store::{Claim, ClaimQuota, GroupRef, StreamId};

use super::{ids, no_group, stream, write_entry, write_id};
use crate::{CHANGED_AT_ONCE, Ctx, Error};

/// The options behind the ids of XCLAIM.
struct ClaimOptions {
    claim: Claim,
    last_id: StreamId,
}

pub(super) fn xclaim(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const FIRST_ID: usize = 5;
    let (args, missing) = (ctx.args, no_group(ctx));
    require_group(ctx)?;
    let min_idle_ms = min_idle(ctx, "XCLAIM")?;
    let words = args.tail(FIRST_ID).iter();
    // The ids end at the first word that is none, as in Redis: the options are told apart only so.
    let ids: Vec<StreamId> = words.map_while(|word| ids::parse(word).ok()).collect();
    let options = ClaimOptions::parse(ctx, FIRST_ID + ids.len(), min_idle_ms)?;
    let claim = options.claim;
    ctx.weigh(ids.len())?;

    let mut stream = ctx.keys.entry(ctx.key(1)).stream_mut()?;
    let mut group = stream.group_mut(&args[2]).ok_or(missing.clone())?;
    // LASTID takes effect even if no entry is claimed, so it is passed on by itself.
    let raised = group.raise_last_id(options.last_id);
    group.see_consumer(&args[3]);
    drop(stream);
    let (array, mut len) = (ctx.reply.deferred_array(), 0);
    ctx.change_in_slices(ids.len(), |ctx, slice| {
        let mut stream = ctx.keys.entry(ctx.key(1)).stream_mut()?;
        let mut group = stream.group_mut(&args[2]).ok_or(missing.clone())?;
        let (reply, ids) = (&mut ctx.reply, ids[slice].iter().copied());
        group.claim(&args[3], ids, &claim, |entry| {
            if claim.uncounted {
                write_id(reply, entry.id());
            } else {
                write_entry(reply, entry);
            }
            len += 1;
        });
        Ok(())
    })?;
    if raised {
        let mut stream = ctx.keys.entry(ctx.key(1)).stream_mut()?;
        if let Some(mut group) = stream.group_mut(&args[2]) {
            group.emit_last_id();
        }
    }
    ctx.reply.finish_array(array, len);
    Ok(())
}

fn require_group(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let missing = no_group(ctx);
    stream(ctx.keys.read(ctx.key(1)))?;
    group(ctx)?.map(drop).ok_or(missing)
}

/// The group of a key that has been read.
fn group<'c>(ctx: &'c Ctx<'_>) -> Result<Option<GroupRef<'c>>, Error> {
    let stream = stream(ctx.keys.view(ctx.key(1)))?;
    Ok(stream.and_then(|stream| stream.group(&ctx.args[2])))
}

fn min_idle(ctx: &Ctx<'_>, command: &str) -> Result<i64, Error> {
    let invalid = |_| Error::new(format!("Invalid min-idle-time argument for {command}"));
    Ok(ctx.int(4).map_err(invalid)?.max(0))
}

impl ClaimOptions {
    fn parse(ctx: &Ctx<'_>, mut at: usize, min_idle_ms: i64) -> Result<Self, Error> {
        let now = ctx.now_ms();
        let mut options = Self {
            claim: Claim {
                min_idle_ms,
                delivered_ms: now,
                deliveries: None,
                force: false,
                uncounted: false,
            },
            last_id: StreamId::MIN,
        };
        let mut delivered_ms = None;
        let number = |at: usize, option: &str| {
            let invalid = |_| Error::new(format!("Invalid {option} option argument for XCLAIM"));
            ctx.int(at + 1).map_err(invalid)
        };
        while at < ctx.args.len() {
            let more = at + 1 < ctx.args.len();
            if ctx.is(at, "FORCE") {
                options.claim.force = true;
            } else if ctx.is(at, "JUSTID") {
                options.claim.uncounted = true;
            } else if ctx.is(at, "IDLE") && more {
                let idle_ms = number(at, "IDLE")?;
                delivered_ms = Some((now as i64).wrapping_sub(idle_ms));
                at += 1;
            } else if ctx.is(at, "TIME") && more {
                delivered_ms = Some(number(at, "TIME")?);
                at += 1;
            } else if ctx.is(at, "RETRYCOUNT") && more {
                options.claim.deliveries = u64::try_from(number(at, "RETRYCOUNT")?).ok();
                at += 1;
            } else if ctx.is(at, "LASTID") && more {
                options.last_id = ids::parse(&ctx.args[at + 1])?;
                at += 1;
            } else {
                let option = &ctx.args[at];
                return Err(Error::quoting(&[
                    b"Unrecognized XCLAIM option '",
                    option,
                    b"'",
                ]));
            }
            at += 1;
        }
        // A time that cannot be is now, but where another clock has judged it.
        let delivered_ms = delivered_ms.and_then(|ms| u64::try_from(ms).ok());
        let possible = |ms: &u64| *ms <= now || ctx.keys.is_follower();
        options.claim.delivered_ms = delivered_ms.filter(possible).unwrap_or(now);
        Ok(options)
    }
}

pub(super) fn xautoclaim(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, missing) = (ctx.args, no_group(ctx));
    let min_idle_ms = min_idle(ctx, "XAUTOCLAIM")?;
    let start = ids::parse_start(&args[5])?;
    let (max, just_ids) = autoclaim_options(ctx)?;
    require_group(ctx)?;
    let claim = Claim {
        min_idle_ms,
        delivered_ms: ctx.now_ms(),
        deliveries: None,
        force: false,
        uncounted: just_ids,
    };
    let pending = group(ctx)?.map_or(0, |group| group.pending_len());
    ctx.weigh(pending.min(usize::try_from(max).unwrap_or(usize::MAX)))?;
    // The cursor goes before the entries and is known only after the claim.
    let (mut given, mut deleted, mut next) = (Vec::new(), Vec::new(), start);
    let mut looks = max.saturating_mul(Claim::LOOKS);
    ctx.change_while(|ctx| {
        let mut stream = ctx.keys.entry(ctx.key(1)).stream_mut()?;
        let mut group = stream.group_mut(&args[2]).ok_or(missing.clone())?;
        group.see_consumer(&args[3]);
        let quota = ClaimQuota {
            claimed: max - (given.len() + deleted.len()) as u64,
            looks: looks.min(CHANGED_AT_ONCE as u64),
        };
        let claimed = group.claim_from(&args[3], next, quota, &claim, |entry| {
            given.push(entry.id());
        });
        looks -= quota.looks;
        next = claimed.next;
        deleted.extend(claimed.deleted);
        let is_full = (given.len() + deleted.len()) as u64 == max;
        Ok(!is_full && looks > 0 && next != StreamId::MIN)
    })?;
    ctx.reply.array(3);
    write_id(&mut ctx.reply, next);
    ctx.reply.array(given.len());
    for slice in given.chunks(CHANGED_AT_ONCE) {
        let stream = stream(ctx.keys.peek(ctx.key(1)))?;
        for &id in slice {
            match stream.and_then(|stream| stream.entry(id)) {
                Some(entry) if !just_ids => write_entry(&mut ctx.reply, &entry),
                _ => write_id(&mut ctx.reply, id),
            }
        }
        ctx.let_go();
    }
    ctx.reply.array(deleted.len());
    deleted.iter().for_each(|id| write_id(&mut ctx.reply, *id));
    Ok(())
}

/// How many entries XAUTOCLAIM hands over at most, and whether it answers with ids only.
fn autoclaim_options(ctx: &Ctx<'_>) -> Result<(u64, bool), Error> {
    const MAX_COUNT: i64 = i64::MAX / 16;
    let (mut at, mut max, mut just_ids) = (6, 100, false);
    while at < ctx.args.len() {
        if ctx.is(at, "COUNT") && at + 1 < ctx.args.len() {
            let count = ctx.int(at + 1).ok();
            let count = count.filter(|count| (1..=MAX_COUNT).contains(count));
            max = count.ok_or(Error::text("COUNT must be > 0"))? as u64;
            at += 2;
        } else if ctx.is(at, "JUSTID") {
            just_ids = true;
            at += 1;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    Ok((max, just_ids))
}
