//! Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! Queueing and EXEC itself belong to the executor in the crate above, which alone can lock the
//! stripes of all queued commands at once.

use crate::declare::{Command, Group, KeyFlags, Locking, Row};
use crate::session::Watch;
use crate::{Ctx, Error};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler| {
        Command::new(name, syntax, handler)
            .group(Group::Transactions)
            .noscript()
            .loading()
            .stale()
    };
    vec![
        command("MULTI", "[ROLLBACK]", multi)
            .fast()
            .no_multi()
            .allow_busy()
            .since("1.2.0")
            .complexity("O(1)")
            .changed("0.1.0", "Added the `ROLLBACK` option, which is kvik's own.")
            .about("Starts a transaction: the commands that follow are queued."),
        command("EXEC", "", exec)
            .long()
            .skip_slowlog()
            .locks(Locking::Queue)
            .since("1.2.0")
            .complexity("Depends on commands in the transaction")
            .about("Runs the queued commands as one."),
        command("DISCARD", "", discard)
            .fast()
            .allow_busy()
            .since("2.0.0")
            .complexity("O(N), when N is the number of queued commands")
            .about("Drops the queued commands."),
        command("WATCH", "key [key ...]", watch)
            .fast()
            .no_multi()
            .allow_busy()
            .access(&[KeyFlags::RO])
            .since("2.2.0")
            .complexity("O(1) for every key.")
            .about("Makes the next EXEC depend on keys that must not change before it."),
        command("UNWATCH", "", unwatch)
            .fast()
            .allow_busy()
            .since("2.2.0")
            .complexity("O(1)")
            .about("Forgets all watched keys."),
    ]
}

fn multi(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let rolls_back = ctx.args.len() > 1;
    if rolls_back && (ctx.args.len() > 2 || !ctx.is(1, "ROLLBACK")) {
        return Err(Error::arity(ctx.command));
    }
    ctx.session.begin();
    if let Some(transaction) = &mut ctx.session.transaction {
        transaction.rolls_back = rolls_back;
    }
    ctx.reply.ok();
    Ok(())
}

/// Runs only where there is nothing to execute; see the module's description.
fn exec(_: &mut Ctx<'_>) -> Result<(), Error> {
    Err(Error::text("EXEC without MULTI"))
}

fn discard(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    if ctx.session.take_transaction().is_none() {
        return Err(Error::text("DISCARD without MULTI"));
    }
    ctx.session.unwatch();
    ctx.reply.ok();
    Ok(())
}

fn watch(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    /// Bytes that a watched key takes beside its name, here and in its stripe.
    const KEY_BYTES: usize = 96;

    let keyspace = ctx.session.keyspace();
    let watch = ctx.session.watch.get_or_insert_with(Watch::default);
    for key in ctx.args.tail(1).iter() {
        // A key that is watched twice must not be registered twice.
        if watch.keys.insert((keyspace, key.into())) {
            watch.bytes += key.len() + KEY_BYTES;
            ctx.keys.watch(key, &watch.token);
        }
    }
    let client = &ctx.session.client;
    client.show_watch(watch.keys.len(), watch.bytes, Some(&watch.token));
    ctx.reply.ok();
    Ok(())
}

fn unwatch(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.session.unwatch();
    ctx.reply.ok();
    Ok(())
}
