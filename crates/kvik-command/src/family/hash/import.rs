//! HIMPORT: making hashes of one shape whose fields are named once for a connection.
//!
//! A fieldset is a list of names that belongs to the connection; it ends with it, or with RESET.
//! The hashes that are made from it are hashes as any, and store its names once.

use std::collections::HashSet;

use super::command;
use crate::declare::{Command, Group, KeyFlags, Row};
use crate::{Ctx, Error};

const NO_FIELDSET: Error = Error::text("no such fieldset");

/// The rows of HIMPORT.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).since("8.10.0");
    vec![
        Command::container("HIMPORT")
            .group(Group::Hash)
            .since("8.10.0")
            .complexity("Depends on subcommand.")
            .about("Commands that make hashes of one shape."),
        command("HIMPORT PREPARE", "name:string field [field ...]", prepare)
            .complexity("O(N) where N is the number of fields")
            .about("Names the fields of hashes to come, for this connection."),
        command("HIMPORT SET", "key name:string value [value ...]", set)
            .write()
            .may_grow()
            .access(&[KeyFlags::OW_UPDATE])
            .complexity("O(N) where N is the number of fields")
            .about("Makes a hash with the fields that were named before."),
        command("HIMPORT DISCARD", "name:string", discard).about("Forgets the fields of a name."),
        command("HIMPORT DISCARDALL", "", discard_all)
            .complexity("O(N) where N is the number of names")
            .about("Forgets all fields that were named."),
    ]
}

fn prepare(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (name, fields) = (&ctx.args[2], ctx.args.tail(3));
    let mut seen = HashSet::with_capacity(fields.len());
    if !fields.iter().all(|field| seen.insert(field)) {
        return Err(Error::text("duplicate field name in fieldset"));
    }
    let fields = fields.iter().map(Box::from).collect();
    let fieldsets = ctx.session.fieldsets.get_or_insert_default();
    fieldsets.insert(name.into(), fields);
    ctx.reply.ok();
    Ok(())
}

fn set(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (key, values) = (ctx.args.get(2).unwrap_or_default(), ctx.args.tail(4));
    let fieldsets = ctx.session.fieldsets.as_ref();
    let fields = fieldsets.and_then(|all| all.get(&ctx.args[3]));
    let fields = fields.ok_or(NO_FIELDSET)?;
    if fields.len() != values.len() {
        return Err(Error::text(
            "value count does not match fieldset field count",
        ));
    }
    // Only a hash is replaced, and as a whole.
    drop(ctx.keys.entry(key).hash_mut()?);
    let was_blessed = ctx.keys.make_room(key);
    let mut hash = ctx.keys.entry(key).hash_mut()?;
    let pairs = (0..fields.len()).map(|at| (&*fields[at], &values[at]));
    hash.set_all(pairs, true);
    drop(hash);
    ctx.keys.keep_blessing(key, was_blessed);
    ctx.reply.ok();
    Ok(())
}

fn discard(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let fieldsets = ctx.session.fieldsets.as_mut();
    let gone = fieldsets.and_then(|all| all.remove(&ctx.args[2]));
    ctx.reply.integer(i64::from(gone.is_some()));
    Ok(())
}

fn discard_all(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let gone = ctx.session.fieldsets.take();
    ctx.reply.integer(gone.map_or(0, |all| all.len()) as i64);
    Ok(())
}
