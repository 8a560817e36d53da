//! Strings as numbers: INCR and its kin.

use kvik_resp::{LongDouble, parse_i64};
use kvik_store::{Entry, Event, EventClasses, Expiry, IntText, NewString, TextRef};

use super::string;
use crate::{Ctx, Error};

/// A string was added to.
pub static INCRBY: Event = Event::new(EventClasses::STRING, "incrby");

pub(super) fn incr(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    add(ctx, 1)
}

pub(super) fn decr(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    add(ctx, -1)
}

pub(super) fn incrby(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let increment = ctx.int(2)?;
    add(ctx, increment)
}

pub(super) fn decrby(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let increment = ctx.int(2)?.checked_neg();
    add(
        ctx,
        increment.ok_or(Error::text("decrement would overflow"))?,
    )
}

fn add(ctx: &mut Ctx<'_>, increment: i64) -> Result<(), Error> {
    let sum = add_integer(ctx.keys.entry(ctx.key(1)), increment)?;
    ctx.reply.integer(sum);
    Ok(())
}

/// Adds to the integer that a key holds, 0 where there is none, and returns the sum.
///
/// # Errors
/// If the key holds something else, or the sum is out of range.
#[inline]
pub fn add_integer(entry: Entry<'_>, increment: i64) -> Result<i64, Error> {
    let value = match entry.view() {
        Some(view) => integer(string(view)?)?,
        None => 0,
    };
    let sum = value.checked_add(increment).ok_or(Error::OVERFLOW)?;
    entry.set(NewString::Int(sum), Expiry::Keep);
    Ok(sum)
}

pub(super) fn integer(string: TextRef<'_>) -> Result<i64, Error> {
    match string {
        TextRef::Int(value) => Ok(value),
        TextRef::Bytes(text) => parse_i64(text).ok_or(Error::NOT_AN_INTEGER),
        TextRef::Rope(_) => Err(Error::NOT_AN_INTEGER),
    }
}

pub(super) fn incrbyfloat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let entry = ctx.keys.entry(ctx.key(1));
    let value = match entry.view() {
        Some(view) => float(&string(view)?.text(&mut IntText::default()))?,
        None => float(b"0")?,
    };
    let sum = value
        .checked_add(float(&ctx.args[2])?)
        .ok_or(Error::text("increment would produce NaN or Infinity"))?
        .to_string();
    // Redis keeps the sum as text, even a whole number.
    entry.set(NewString::Unpacked(sum.as_bytes()), Expiry::Keep);
    ctx.reply.bulk_str(&sum);
    Ok(())
}

pub(super) fn float(text: &[u8]) -> Result<LongDouble, Error> {
    LongDouble::parse(text).ok_or(Error::NOT_A_FLOAT)
}
