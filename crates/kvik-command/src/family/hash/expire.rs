//! When fields expire: the HEXPIRE, HTTL and HEXPIRETIME commands, HPERSIST.

use kvik_store::{Field, HashMut, HashRef, UnixMs};

use super::options::{WRONG_NUMBER, counted, fields_word, listed};
use super::{hash, read};
use crate::family::deadline::TimeFormat;
use crate::family::key::{Conditions, to_seconds};
use crate::{Ctx, Error};

/// The reply for a field that does not exist.
const MISSING: i64 = -2;
/// For one that does not expire, where that was asked for.
const LASTING: i64 = -1;
/// For one whose expiry does not fulfil the conditions.
const REFUSED: i64 = 0;
/// For one whose expiry was changed.
const CHANGED: i64 = 1;
/// For one that was deleted, because its time was past.
const DELETED: i64 = 2;

pub(super) fn hexpire(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_in(ctx, TimeFormat::Seconds)
}

pub(super) fn hpexpire(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_in(ctx, TimeFormat::Milliseconds)
}

pub(super) fn hexpireat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_in(ctx, TimeFormat::UnixSeconds)
}

pub(super) fn hpexpireat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_in(ctx, TimeFormat::UnixMilliseconds)
}

fn expire_in(ctx: &mut Ctx<'_>, format: TimeFormat) -> Result<(), Error> {
    let (args, word) = (ctx.args, fields_word(ctx, 3)?);
    let conditions = Conditions::parse(args.slice(3..word))?;
    let names = counted(ctx, word + 1, 1, WRONG_NUMBER)?;
    let at = format.natural_deadline(&args[2], ctx)?;
    let past = ctx.keys.is_past(at);
    // Conditions are judged before the time, so a past time deletes only fields that would be
    // changed.
    let judge = |field: Option<Field<'_>>| match field {
        None => MISSING,
        Some(field) if !conditions.hold(field.expire_at, at) => REFUSED,
        Some(_) => CHANGED,
    };
    ctx.reply.array(names.len());
    ctx.change_in_slices(names.len(), |ctx, slice| {
        let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
        let names = names.slice(slice);
        if past {
            for name in names {
                let judged = judge(hash.view().get(name));
                ctx.reply
                    .integer(deleted_if_changed(&mut hash, name, judged));
            }
            return Ok(());
        }
        hash.expire(names, at, |field| {
            let judged = judge(field);
            ctx.reply.integer(judged);
            judged == CHANGED
        });
        Ok(())
    })
}

/// Deletes a field instead of giving it a time that is past.
fn deleted_if_changed(hash: &mut HashMut<'_>, name: &[u8], judged: i64) -> i64 {
    if judged == CHANGED && hash.remove(name) {
        return DELETED;
    }
    judged
}

pub(super) fn hpersist(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let names = listed(ctx, WRONG_NUMBER)?;
    ctx.reply.array(names.len());
    ctx.change_in_slices(names.len(), |ctx, slice| {
        let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
        hash.persist(names.slice(slice), |field| {
            ctx.reply.integer(expiry(field, |_| CHANGED));
        });
        Ok(())
    })
}

pub(super) fn httl(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let now = ctx.now_ms();
    tell_expiries(ctx, |at| to_seconds(at.saturating_sub(now)))
}

pub(super) fn hpttl(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let now = ctx.now_ms();
    tell_expiries(ctx, |at| at.saturating_sub(now))
}

pub(super) fn hexpiretime(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    tell_expiries(ctx, to_seconds)
}

pub(super) fn hpexpiretime(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    tell_expiries(ctx, |at| at)
}

fn tell_expiries(ctx: &mut Ctx<'_>, tell: impl Fn(UnixMs) -> u64) -> Result<(), Error> {
    let names = listed(ctx, Error::SYNTAX)?;
    let key = ctx.key(1);
    read(&mut ctx.keys, key)?;
    ctx.reply.array(names.len());
    ctx.read_in_slices(names.len(), |ctx, slice| {
        let hash = ctx.keys.view(key).map(hash).transpose()?;
        for name in names.slice(slice) {
            let field = hash.and_then(|hash: HashRef<'_>| hash.get(name));
            ctx.reply.integer(expiry(field, |at| tell(at) as i64));
        }
        Ok(())
    })
}

/// The reply for a field; `tell` gives that of one that expires.
fn expiry(field: Option<Field<'_>>, tell: impl Fn(UnixMs) -> i64) -> i64 {
    match field.map(|field| field.expire_at) {
        None => MISSING,
        Some(None) => LASTING,
        Some(Some(at)) => tell(at),
    }
}
