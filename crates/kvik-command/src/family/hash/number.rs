//! Fields as numbers: HINCRBY and HINCRBYFLOAT. A field that expires still does.

use kvik_resp::{LongDouble, parse_i64};
use kvik_store::{HashMut, IntText, StringRef};

use crate::{Ctx, Error};

pub(super) fn hincrby(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let increment = ctx.int(3)?;
    let args = ctx.args;
    let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
    let value = match hash.view().get(&args[2]) {
        Some(field) => integer(field.value)?,
        None => 0,
    };
    let sum = value.checked_add(increment).ok_or(Error::OVERFLOW)?;
    hash.update(&args[2], StringRef::Int(sum));
    ctx.reply.integer(sum);
    Ok(())
}

fn integer(value: StringRef<'_>) -> Result<i64, Error> {
    match value {
        StringRef::Int(value) => Ok(value),
        StringRef::Bytes(text) => {
            parse_i64(text).ok_or(Error::text("hash value is not an integer"))
        }
    }
}

pub(super) fn hincrbyfloat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let increment = LongDouble::parse(&args[3]).ok_or(Error::NOT_A_FLOAT)?;
    if !increment.is_finite() {
        return Err(Error::text("value is NaN or Infinity"));
    }
    let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
    let sum = float(&hash, &args[2])?
        .checked_add(increment)
        .ok_or(Error::text("increment would produce NaN or Infinity"))?
        .to_string();
    hash.update(&args[2], StringRef::Bytes(sum.as_bytes()));
    ctx.reply.bulk_str(&sum);
    Ok(())
}

fn float(hash: &HashMut<'_>, name: &[u8]) -> Result<LongDouble, Error> {
    let mut room = IntText::default();
    let field = hash.view().get(name);
    let text = field.map_or(&b"0"[..], |field| field.value.text(&mut room));
    LongDouble::parse(text).ok_or(Error::text("hash value is not a float"))
}
