//! HSETEX, HGETEX and HGETDEL: values and expiries of several fields at once.

use kvik_resp::Args;
use kvik_store::{Expiry, HashMut, StringRef};

use super::options::{
    FieldCommand, FieldCondition, FieldOptions, WRONG_NUMBER, counted, fields_word, listed,
};
use super::{read, reply_value};
use crate::family::deadline::Life;
use crate::{Ctx, Error};

pub(super) fn hsetex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, at) = (ctx.args, fields_word(ctx, 2)?);
    let options = FieldOptions::parse(args.slice(2..at), FieldCommand::SetEx)?;
    let pairs = counted(ctx, at + 1, 2, WRONG_NUMBER)?;
    // A wrong type and an unmet condition of the key win over a bad time.
    let expiry = expiry(ctx, options.life);
    let past = matches!(expiry, Ok(Expiry::At(at)) if ctx.keys.is_past(at));
    let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
    let mut held = options.key.holds(hash.existed());
    if held {
        let expiry = expiry?;
        held = all_hold(&hash, pairs, options.fields);
        match expiry {
            _ if !held => {}
            _ if past => remove_all(&mut hash, pairs),
            _ => set_all(&mut hash, pairs, expiry),
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

fn all_hold(hash: &HashMut<'_>, pairs: Args<'_>, condition: FieldCondition) -> bool {
    condition == FieldCondition::Always
        || names(pairs).all(|name| condition.holds(hash.view().get(name).is_some()))
}

fn remove_all(hash: &mut HashMut<'_>, pairs: Args<'_>) {
    for name in names(pairs) {
        hash.remove(name);
    }
}

fn set_all(hash: &mut HashMut<'_>, pairs: Args<'_>, expiry: Expiry) {
    hash.expect(pairs.len() / 2);
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
    let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
    let (expiry, reply) = (expiry?, &mut ctx.reply);
    reply.array(names.len());
    match expiry {
        Expiry::At(_) if past => {
            for name in names {
                reply_value(reply, hash.view().get(name));
                hash.remove(name);
            }
        }
        Expiry::At(at) => hash.expire(names, at, |field| {
            reply_value(reply, field);
            field.is_some()
        }),
        Expiry::Keep | Expiry::Clear => hash.persist(names, |field| reply_value(reply, field)),
    }
    Ok(())
}

fn get_all(ctx: &mut Ctx<'_>, names: Args<'_>) -> Result<(), Error> {
    let key = ctx.key(1);
    let hash = read(&mut ctx.keys, key)?;
    ctx.reply.array(names.len());
    for name in names {
        let field = hash.and_then(|hash| hash.get(name));
        reply_value(&mut ctx.reply, field);
    }
    Ok(())
}

pub(super) fn hgetdel(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let names = listed(ctx, WRONG_NUMBER)?;
    let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
    ctx.reply.array(names.len());
    for name in names {
        reply_value(&mut ctx.reply, hash.view().get(name));
        hash.remove(name);
    }
    Ok(())
}
