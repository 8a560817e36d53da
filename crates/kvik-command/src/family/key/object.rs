//! OBJECT: how a value is kept and how often it is used. Asking does not count as use.

use std::sync::atomic::Ordering::Relaxed;

use kvik_store::{AccessPolicy, EventClasses, EvictionOrder, TextRef, View};

use crate::{Ctx, Error};

const FREQUENCY_UNKNOWN: &str = "An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
     that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
const IDLE_TIME_UNKNOWN: &str = "An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
     switching between policies at runtime LRU and LFU data will take some time to adjust.";

fn view<'c>(ctx: &'c mut Ctx<'_>) -> Option<View<'c>> {
    ctx.keys.mute(EventClasses::MISS);
    ctx.keys.inspect(ctx.key(2))
}

pub(super) fn encoding(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match view(ctx).map(|view| view.encoding().name()) {
        Some(name) => ctx.reply.bulk_str(name),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// The number of references that Redis tells of an integer that all keys share.
const SHARED: i64 = i32::MAX as i64;
/// Integers below this one are shared in Redis.
const SHARED_INTEGERS: i64 = 10_000;

/// Values are never shared. Small integers have no object of their own, which Redis' clients know
/// by this count; there they have one where eviction needs it.
pub(super) fn refcount(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let settings = &ctx.engine.settings;
    let needs_objects = settings.maxmemory.load(Relaxed) > 0
        && matches!(
            settings.eviction_policy().order(),
            Some(EvictionOrder::Idle | EvictionOrder::Frequency)
        );
    let count = view(ctx).map(|view| match view.string() {
        Ok(TextRef::Int(0..SHARED_INTEGERS)) if !needs_objects => SHARED,
        _ => 1,
    });
    integer_or_null(ctx, count);
    Ok(())
}

pub(super) fn idletime(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let seconds = view(ctx).map(|view| view.idle_seconds() as i64);
    if seconds.is_some() && counts_accesses(ctx) {
        return Err(Error::text(IDLE_TIME_UNKNOWN));
    }
    integer_or_null(ctx, seconds);
    Ok(())
}

pub(super) fn freq(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let frequency = view(ctx).map(|view| view.uses() as i64);
    if frequency.is_some() && !counts_accesses(ctx) {
        return Err(Error::text(FREQUENCY_UNKNOWN));
    }
    integer_or_null(ctx, frequency);
    Ok(())
}

fn counts_accesses(ctx: &mut Ctx<'_>) -> bool {
    let policy = ctx.keys.access_of(ctx.key(2));
    !matches!(policy, AccessPolicy::Recency | AccessPolicy::Modification)
}

fn integer_or_null(ctx: &mut Ctx<'_>, value: Option<i64>) {
    match value {
        Some(value) => ctx.reply.integer(value),
        None => ctx.reply.null(),
    }
}
