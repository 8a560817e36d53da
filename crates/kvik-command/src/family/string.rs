//! Strings.

use kvik_store::{Expiry, IntText, NewString, ValueRef};

use crate::declare::{Command, Group, Row};
use crate::{Ctx, Error};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler| Command::new(name, syntax, handler).group(Group::String);
    vec![
        command("GET", "key", get)
            .readonly()
            .fast()
            .since("1.0.0")
            .complexity("O(1)")
            .about("Returns the string value of a key."),
        command("SET", "key value", set)
            .write()
            .may_grow()
            .since("1.0.0")
            .complexity("O(1)")
            .about("Sets the string value of a key."),
        command("MSET", "key value [key value ...]", mset)
            .write()
            .may_grow()
            .since("1.0.1")
            .complexity("O(N)")
            .about("Sets the string values of several keys at once."),
    ]
}

fn get(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let Some(found) = ctx.keys.read(&ctx.args[1]) else {
        ctx.reply.null();
        return Ok(());
    };
    let ValueRef::String(string) = found.value();
    ctx.reply.bulk(string.text(&mut IntText::default()));
    Ok(())
}

fn set(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.keys
        .slot(&ctx.args[1])
        .set(NewString::Bytes(&ctx.args[2]), Expiry::Clear);
    ctx.reply.ok();
    Ok(())
}

fn mset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    for pair in (1..ctx.args.len()).step_by(2) {
        ctx.keys
            .slot(&ctx.args[pair])
            .set(NewString::Bytes(&ctx.args[pair + 1]), Expiry::Clear);
    }
    ctx.reply.ok();
    Ok(())
}
