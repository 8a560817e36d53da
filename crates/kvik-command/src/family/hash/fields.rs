//! HSETEX, HGETEX and HGETDEL: values and expiries of several fields at once.

use kvik_resp::{Args, Reply};
use kvik_store::{Expiry, HashMut, HashRef, StringRef};

use super::options::{
    FieldCommand, FieldCondition, FieldOptions, WRONG_NUMBER, counted, fields_word, listed,
};
use super::{hash, read, reply_value, reply_values};
use crate::family::deadline::Life;
use crate::{Ctx, Error};

pub(super) fn hsetex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, at) = (ctx.args, fields_word(ctx, 2)?);
    let options = FieldOptions::parse(args.slice(2..at), FieldCommand::SetEx)?;
    let pairs = counted(ctx, at + 1, 2, WRONG_NUMBER)?;
    // A wrong type and an unmet condition of the key win over a bad time.
    let expiry = expiry(ctx, options.life);
    let past = matches!(expiry, Ok(Expiry::At(at)) if ctx.keys.is_past(at));
    let mut held = true;
    if expiry.is_err() || options.key != FieldCondition::Always {
        let hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
        held = options.key.holds(hash.existed());
    }
    if held {
        let expiry = expiry?;
        held = all_hold(ctx, pairs, options.fields)?;
        if held {
            change_all(ctx, pairs, expiry, past)?;
        }
    }
    ctx.reply.integer(i64::from(held));
    Ok(())
}

/// The effect of a life option on the fields' expiry; a write without one ends it.
fn expiry(ctx: &Ctx<'_>, life: Option<Life<'_>>) -> Result<Expiry, Error> {
    Ok(match life {
        None | Some(Life::Persist) => Expiry::Clear,
        Some(Life::Keep) => Expiry::Keep,
        Some(Life::Until(format, time)) => Expiry::At(format.natural_deadline(time, ctx)?),
    })
}

fn names(pairs: Args<'_>) -> impl Iterator<Item = &[u8]> {
    pairs.iter().step_by(2)
}

fn all_hold(ctx: &mut Ctx<'_>, pairs: Args<'_>, condition: FieldCondition) -> Result<bool, Error> {
    let mut hold = true;
    if condition != FieldCondition::Always {
        ctx.read_in_slices(pairs.len() / 2, |ctx, slice| {
            let hash = ctx.keys.peek(ctx.key(1)).map(hash).transpose()?;
            let has = |name| hash.is_some_and(|hash: HashRef<'_>| hash.get(name).is_some());
            let pairs = pairs.slice(2 * slice.start..2 * slice.end);
            hold &= names(pairs).all(|name| condition.holds(has(name)));
            Ok(())
        })?;
    }
    Ok(hold)
}

/// Sets all fields, or deletes them if the time at which they expire is past.
fn change_all(ctx: &mut Ctx<'_>, pairs: Args<'_>, expiry: Expiry, past: bool) -> Result<(), Error> {
    ctx.change_in_slices(pairs.len() / 2, |ctx, slice| {
        let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
        let slice = pairs.slice(2 * slice.start..2 * slice.end);
        match past {
            true => remove_all(&mut hash, slice),
            false => {
                hash.expect(pairs.len() / 2);
                set_all(&mut hash, slice, expiry);
            }
        }
        Ok(())
    })
}

fn remove_all(hash: &mut HashMut<'_>, pairs: Args<'_>) {
    for name in names(pairs) {
        hash.remove(name);
    }
}

fn set_all(hash: &mut HashMut<'_>, pairs: Args<'_>, expiry: Expiry) {
    for at in (0..pairs.len()).step_by(2) {
        let (name, value) = (&pairs[at], StringRef::Bytes(&pairs[at + 1]));
        match expiry {
            Expiry::Keep => hash.update(name, value),
            Expiry::Clear | Expiry::At(_) => {
                hash.set(name, value);
            }
        }
    }
    if let Expiry::At(at) = expiry {
        hash.expire(names(pairs), at, |field| field.is_some());
    }
}

pub(super) fn hgetex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, at) = (ctx.args, fields_word(ctx, 2)?);
    let options = FieldOptions::parse(args.slice(2..at), FieldCommand::GetEx)?;
    let names = counted(ctx, at + 1, 1, WRONG_NUMBER)?;
    let Some(life) = options.life else {
        return get_all(ctx, names);
    };
    // A wrong type wins over a bad time.
    let expiry = expiry(ctx, Some(life));
    let past = matches!(expiry, Ok(Expiry::At(at)) if ctx.keys.is_past(at));
    if expiry.is_err() {
        drop(ctx.keys.entry(ctx.key(1)).hash_mut()?);
    }
    let expiry = expiry?;
    ctx.reply.array(names.len());
    ctx.change_in_slices(names.len(), |ctx, slice| {
        let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
        let (names, reply) = (names.slice(slice), &mut ctx.reply);
        match expiry {
            Expiry::At(_) if past => take_all(reply, &mut hash, names),
            Expiry::At(at) => hash.expire(names, at, |field| {
                reply_value(reply, field);
                field.is_some()
            }),
            Expiry::Keep | Expiry::Clear => hash.persist(names, |field| reply_value(reply, field)),
        }
        Ok(())
    })
}

fn get_all(ctx: &mut Ctx<'_>, names: Args<'_>) -> Result<(), Error> {
    let key = ctx.key(1);
    read(&mut ctx.keys, key)?;
    ctx.reply.array(names.len());
    ctx.read_in_slices(names.len(), |ctx, slice| {
        let hash = ctx.keys.view(key).map(hash).transpose()?;
        reply_values(&mut ctx.reply, hash, names.slice(slice));
        Ok(())
    })
}

pub(super) fn hgetdel(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let names = listed(ctx, WRONG_NUMBER)?;
    ctx.reply.array(names.len());
    ctx.change_in_slices(names.len(), |ctx, slice| {
        let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
        take_all(&mut ctx.reply, &mut hash, names.slice(slice));
        Ok(())
    })
}

/// Answers with the values of fields and deletes them.
fn take_all(reply: &mut Reply<'_>, hash: &mut HashMut<'_>, names: Args<'_>) {
    for name in names {
        reply_value(reply, hash.view().get(name));
        hash.remove(name);
    }
}
