//! Whole databases: DBSIZE, RANDOMKEY, FLUSHDB, FLUSHALL, SWAPDB.

use kvik_store::KeyspaceId;

use crate::gate::Closure;
use crate::{Ctx, Error};

pub(super) fn dbsize(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let len = match &ctx.session.namespace {
        None => ctx.keys.len(),
        Some(seat) => ctx.keys.len_of(seat.name()),
    };
    ctx.reply.integer(len as i64);
    Ok(())
}

pub(super) fn randomkey(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let random = || ctx.random.bits();
    let key = match &ctx.session.namespace {
        None => ctx.keys.random_key(random),
        Some(seat) => ctx.keys.random_key_of(seat.name(), random),
    };
    match key {
        Some(key) => ctx.reply.bulk(ctx.session.rest_of(&key)),
        None => ctx.reply.null(),
    }
    Ok(())
}

pub(super) fn flushdb(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    check_flush_mode(ctx)?;
    match &ctx.session.namespace {
        None => ctx.keys.flush(),
        Some(seat) => ctx.keys.flush_namespace(seat.name()),
    }
    ctx.reply.ok();
    Ok(())
}

pub(super) fn flushall(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    check_flush_mode(ctx)?;
    ctx.keys.flush_all();
    // A store that is being loaded is not saved, whatever its log says.
    let is_loading = ctx.engine.gate.is_closed_by(Closure::Loading);
    let saves = !is_loading && !ctx.engine.settings.files.save_rules.read().is_empty();
    ctx.engine.persistence().emptied(saves);
    ctx.reply.ok();
    Ok(())
}

/// Emptying takes the same short time in both modes: memory is always freed after the locks are
/// gone.
fn check_flush_mode(ctx: &Ctx<'_>) -> Result<(), Error> {
    match ctx.args.len() {
        1 => Ok(()),
        2 if ctx.is(1, "ASYNC") || ctx.is(1, "SYNC") => Ok(()),
        _ => Err(Error::SYNTAX),
    }
}

pub(super) fn swapdb(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let index = |at, invalid| ctx.small_int(at).map_err(|_| Error::text(invalid));
    let first = index(1, "invalid first DB index")?;
    let second = index(2, "invalid second DB index")?;
    let first = KeyspaceId(ctx.existing_db(first)?);
    let second = KeyspaceId(ctx.existing_db(second)?);
    if first != second {
        ctx.keys.swap(first, second);
    }
    ctx.reply.ok();
    Ok(())
}
