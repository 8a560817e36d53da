//! XCFGSET and XIDMPRECORD: what a stream knows of the entries that producers have added.

use kvik_store::{Entry, StreamMut};

use super::ids;
use crate::{Ctx, Error};

/// The stream of the key, which must be there.
fn existing<'c>(entry: Entry<'c>) -> Result<StreamMut<'c>, Error> {
    match entry {
        Entry::Vacant(_) => Err(Error::NO_SUCH_KEY),
        occupied => Ok(occupied.stream_mut()?),
    }
}

pub(super) fn xcfgset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let mut terms = [None, None];
    let mut at = 2;
    while at < ctx.args.len() {
        let (which, name, max, unit) = match () {
            () if ctx.is(at, "IDMP-DURATION") => (0, "IDMP-DURATION", 86_400, "seconds"),
            () if ctx.is(at, "IDMP-MAXSIZE") => (1, "IDMP-MAXSIZE", 10_000, "entries"),
            () => return Err(Error::SYNTAX),
        };
        if terms[which].is_some() {
            return Err(Error::new(format!("{name} specified multiple times")));
        }
        if at + 1 == ctx.args.len() {
            return Err(Error::SYNTAX);
        }
        let value = ctx.int(at + 1)?;
        if !(1..=max).contains(&value) {
            return Err(Error::new(format!(
                "{name} must be between 1 and {max} {unit}"
            )));
        }
        terms[which] = Some(value as u64);
        at += 2;
    }
    let [duration_s, max_len] = terms;
    if duration_s.or(max_len).is_none() {
        return Err(Error::text("At least one parameter must be specified"));
    }
    let mut stream = existing(ctx.keys.entry(ctx.key(1)))?;
    stream.set_idempotence(duration_s, max_len);
    ctx.reply.ok();
    Ok(())
}

pub(super) fn xidmprecord(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let (producer, text) = (&args[2], &args[3]);
    let id = ids::parse(&args[4])?;
    let mut stream = existing(ctx.keys.entry(ctx.key(1)))?;
    let known = stream.recorded(producer, text);
    // One that is known may be repeated, also when its entry is gone.
    if known.is_none() && stream.view().entry(id).is_none() {
        return Err(Error::text("No such message in stream"));
    }
    if known.is_some_and(|known| known != id) {
        return Err(Error::text(
            "IID already exists for this producer with a different stream ID",
        ));
    }
    stream.record(producer, text, id);
    ctx.reply.ok();
    Ok(())
}
