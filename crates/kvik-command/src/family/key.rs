//! Keys of any type, and the keyspaces they live in.

mod dump;
mod expire;
mod keyspace;
mod object;
mod restore;
pub(super) mod scan;

use kvik_resp::Args;
use kvik_store::{Guard, KeyspaceId};

pub(super) use self::expire::{Conditions, set_expiry, to_seconds};
use crate::declare::{Category, Command, Databases, Group, KeyFlags, Locking, Row};
use crate::{Ctx, Engine, Error, SLICE};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    [
        keys(),
        names(),
        dumps(),
        expiries(),
        walks(),
        keyspaces(),
        object(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn command(name: &'static str, syntax: &'static str, handler: crate::Handler) -> Row {
    Command::new(name, syntax, handler)
        .group(Group::Generic)
        .complexity("O(1)")
}

fn keys() -> Vec<Row> {
    let command = |name, handler| {
        command(name, "key [key ...]", handler)
            .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
            .complexity("O(N) where N is the number of keys")
    };
    vec![
        command("DEL", del)
            .long()
            .write()
            .access(&[KeyFlags::RM_DELETE])
            .since("1.0.0")
            .about("Deletes keys and returns how many there were."),
        command("UNLINK", del)
            .long()
            .write()
            .fast()
            .access(&[KeyFlags::RM_DELETE])
            .since("4.0.0")
            .about("Deletes keys and returns how many there were; large values are freed later."),
        command("EXISTS", exists)
            .readonly()
            .fast()
            .access(&[KeyFlags::RO])
            .since("1.0.0")
            .changed("3.0.3", "Takes several keys.")
            .about("Returns how many of the keys exist."),
        command("TOUCH", touch)
            .readonly()
            .fast()
            .access(&[KeyFlags::RO])
            .since("3.2.1")
            .about("Marks keys as used and returns how many there were."),
    ]
}

fn names() -> Vec<Row> {
    vec![
        command("TYPE", "key", kind)
            .readonly()
            .fast()
            .access(&[KeyFlags::RO])
            .since("1.0.0")
            .about("Returns the type of the value of a key."),
        command("RENAME", "key newkey", rename)
            .write()
            .prepared_by(prepare_rename)
            .access(&[KeyFlags::RW_ACCESS_DELETE, KeyFlags::OW_UPDATE])
            .since("1.0.0")
            .about("Renames a key, replacing what has the new name."),
        command("RENAMENX", "key newkey", renamenx)
            .write()
            .fast()
            .prepared_by(prepare_renamenx)
            .access(&[KeyFlags::RW_ACCESS_DELETE, KeyFlags::OW_INSERT])
            .since("1.0.0")
            .changed("3.2.0", "Two equal names are no error.")
            .about("Renames a key if nothing has the new name."),
        command(
            "COPY",
            "source destination [DB destination-db] [REPLACE]",
            copy,
        )
        .databases(Databases::SelectedAndBehind("DB"))
        .write()
        .may_grow()
        .prepared_by(prepare_copy)
        .access(&[KeyFlags::RO_ACCESS, KeyFlags::OW_UPDATE])
        .since("6.2.0")
        .complexity("O(N) where N is the size of the value")
        .about("Copies the value of a key, with its expiry, to another."),
        command("MOVE", "key db", move_key)
            .databases(Databases::SelectedAnd(2))
            .write()
            .fast()
            .access(&[KeyFlags::RW_ACCESS_UPDATE])
            .since("1.0.0")
            .about("Moves a key to another database where it does not exist."),
    ]
}

fn dumps() -> Vec<Row> {
    vec![
        command("DUMP", "key", dump::dump)
            .long()
            .readonly()
            .access(&[KeyFlags::RO_ACCESS])
            .since("2.6.0")
            .complexity("O(N) where N is the size of the value")
            .tips(&["nondeterministic_output"])
            .about("Returns the value of a key in a form that `RESTORE` takes."),
        command(
            "RESTORE",
            "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
            restore::restore,
        )
        .long()
        .write()
        .may_grow()
        .also(Category::DANGEROUS)
        .access(&[KeyFlags::OW_UPDATE])
        .since("2.6.0")
        .changed("3.0.0", "Added the option `REPLACE`.")
        .changed(
            "5.0.0",
            "Added the options `ABSTTL`, `IDLETIME` and `FREQ`.",
        )
        .complexity("O(N) where N is the size of the value, O(N*log(N)) for a sorted set")
        .about("Makes a key of what `DUMP` has returned."),
    ]
}

fn expiries() -> Vec<Row> {
    let setter = |name, syntax, handler| {
        command(name, syntax, handler)
            .write()
            .fast()
            .access(&[KeyFlags::RW_UPDATE])
            .changed("7.0.0", "Added the options `NX`, `XX`, `GT` and `LT`.")
    };
    let getter = |name, handler| {
        command(name, "key", handler)
            .readonly()
            .fast()
            .access(&[KeyFlags::RO_ACCESS])
    };
    vec![
        setter("EXPIRE", "key seconds [NX|XX|GT|LT]", expire::expire)
            .since("1.0.0")
            .about("Makes a key expire after some seconds."),
        setter("PEXPIRE", "key milliseconds [NX|XX|GT|LT]", expire::pexpire)
            .since("2.6.0")
            .about("Makes a key expire after some milliseconds."),
        setter(
            "EXPIREAT",
            "key unix-time-seconds [NX|XX|GT|LT]",
            expire::expireat,
        )
        .since("1.2.0")
        .about("Makes a key expire at a time, in seconds."),
        setter(
            "PEXPIREAT",
            "key unix-time-milliseconds [NX|XX|GT|LT]",
            expire::pexpireat,
        )
        .since("2.6.0")
        .about("Makes a key expire at a time, in milliseconds."),
        command("PERSIST", "key", expire::persist)
            .write()
            .fast()
            .access(&[KeyFlags::RW_UPDATE])
            .since("2.2.0")
            .about("Makes a key stay."),
        getter("TTL", expire::ttl)
            .since("1.0.0")
            .changed("2.8.0", "Added the reply -2.")
            .tips(&["nondeterministic_output"])
            .about("Returns in how many seconds a key expires."),
        getter("PTTL", expire::pttl)
            .since("2.6.0")
            .changed("2.8.0", "Added the reply -2.")
            .tips(&["nondeterministic_output"])
            .about("Returns in how many milliseconds a key expires."),
        getter("EXPIRETIME", expire::expiretime)
            .since("7.0.0")
            .about("Returns when a key expires, in seconds."),
        getter("PEXPIRETIME", expire::pexpiretime)
            .since("7.0.0")
            .about("Returns when a key expires, in milliseconds."),
    ]
}

fn walks() -> Vec<Row> {
    vec![
        command("KEYS", "pattern", scan::keys)
            .long()
            .readonly()
            .touches_arbitrary_keys()
            .locks(Locking::InTurn)
            .also(Category::DANGEROUS)
            .since("1.0.0")
            .complexity("O(N) where N is the number of keys in the database")
            .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
            .about("Returns all keys that match a pattern."),
        command(
            "SCAN",
            "cursor [MATCH pattern] [COUNT count] [TYPE type]",
            scan::scan,
        )
        .long()
        .readonly()
        .touches_arbitrary_keys()
        .locks(Locking::InTurn)
        .since("2.8.0")
        .changed("6.0.0", "Added the `TYPE` option.")
        .complexity("O(1) for a page, O(N) for the whole database")
        .tips(&[
            "nondeterministic_output",
            "request_policy:special",
            "response_policy:special",
        ])
        .about("Returns the keys of a database page by page."),
        command("RANDOMKEY", "", keyspace::randomkey)
            .readonly()
            .touches_arbitrary_keys()
            .locks(Locking::All)
            .since("1.0.0")
            .tips(&[
                "request_policy:all_shards",
                "response_policy:special",
                "nondeterministic_output",
            ])
            .about("Returns one of the keys at random."),
    ]
}

fn keyspaces() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .group(Group::Server)
            .also(Category::KEYSPACE)
            .locks(Locking::All)
    };
    const EVERYWHERE: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
    vec![
        command("DBSIZE", "", keyspace::dbsize)
            .readonly()
            .fast()
            .since("1.0.0")
            .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
            .about("Returns the number of keys in the database."),
        command("FLUSHDB", "[ASYNC|SYNC]", keyspace::flushdb)
            .write()
            .also(Category::DANGEROUS)
            .since("1.0.0")
            .changed("4.0.0", "Added the option `ASYNC`.")
            .changed("6.2.0", "Added the option `SYNC`.")
            .tips(EVERYWHERE)
            .about("Deletes all keys of the database."),
        command("FLUSHALL", "[ASYNC|SYNC]", keyspace::flushall)
            .databases(Databases::All)
            .write()
            .also(Category::DANGEROUS)
            .since("1.0.0")
            .changed("4.0.0", "Added the option `ASYNC`.")
            .changed("6.2.0", "Added the option `SYNC`.")
            .tips(EVERYWHERE)
            .about("Deletes all keys of all databases."),
        command("SWAPDB", "index1 index2", keyspace::swapdb)
            .databases(Databases::Named(&[1, 2]))
            .write()
            .fast()
            .also(Category::DANGEROUS)
            .since("4.0.0")
            .complexity("O(N) where N is the number of watched keys in both databases")
            .about("Exchanges the contents of two databases."),
    ]
}

fn object() -> Vec<Row> {
    let command = |name, handler| {
        command(name, "key", handler)
            .readonly()
            .access(&[KeyFlags::RO])
            .tips(&["nondeterministic_output"])
    };
    vec![
        Command::container("OBJECT")
            .group(Group::Generic)
            .since("2.2.3")
            .complexity("Depends on subcommand.")
            .about("Tells how values are kept."),
        command("OBJECT ENCODING", object::encoding)
            .since("2.2.3")
            .about("Returns in which form the value of a key is stored."),
        command("OBJECT FREQ", object::freq)
            .since("4.0.0")
            .about("Returns the logarithmic counter of how often a key is used."),
        command("OBJECT IDLETIME", object::idletime)
            .since("2.2.3")
            .about("Returns for how many seconds a key was not used."),
        command("OBJECT REFCOUNT", object::refcount)
            .since("2.2.3")
            .about("Returns how many keys share the value of a key."),
        super::command::help("OBJECT HELP").since("6.2.0"),
    ]
}

fn del(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    count(ctx, |keys, key| keys.delete(key))
}

fn exists(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    count(ctx, |keys, key| keys.inspect(key).is_some())
}

fn touch(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    count(ctx, |keys, key| keys.exists(key))
}

/// Answers for how many of the keys a step holds.
fn count(ctx: &mut Ctx<'_>, step: fn(&mut Guard<'_>, &[u8]) -> bool) -> Result<(), Error> {
    let keys = ctx.args.tail(1);
    if keys.len() > SLICE {
        ctx.weigh(keys.len())?;
    }
    let mut held = 0;
    for (at, key) in keys.iter().enumerate() {
        if at > 0 && at.is_multiple_of(SLICE) {
            ctx.keys.breathe();
        }
        held += usize::from(step(&mut ctx.keys, key));
    }
    ctx.reply.integer(held as i64);
    Ok(())
}

fn kind(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let view = ctx.keys.inspect(ctx.key(1));
    ctx.reply
        .simple(view.map_or("none", |view| view.kind().name()));
    Ok(())
}

fn rename(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    rename_if(ctx, |_| true)?;
    ctx.reply.ok();
    Ok(())
}

fn renamenx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let free = |ctx: &mut Ctx<'_>| ctx.keys.peek(ctx.key(2)).is_none();
    let renamed = rename_if(ctx, free)?;
    ctx.reply.integer(i64::from(renamed));
    Ok(())
}

/// Renames a key that exists if the condition holds, and says whether it did.
fn rename_if(ctx: &mut Ctx<'_>, condition: fn(&mut Ctx<'_>) -> bool) -> Result<bool, Error> {
    let args = ctx.args;
    if ctx.keys.peek(ctx.key(1)).is_none() {
        return Err(Error::NO_SUCH_KEY);
    }
    // Equal names are no error, and nothing happens. The condition is asked first: RENAMENX says 0
    // then.
    let wanted = condition(ctx);
    if wanted && !ctx.keys.is_same_key(&args[1], &args[2]) {
        ctx.keys.rename(&args[1], &args[2]);
    }
    Ok(wanted)
}

fn prepare_rename(keys: &mut Guard<'_>, args: Args<'_>, _: &Engine) -> bool {
    keys.prepare_rename(&args[1], &args[2])
}

fn prepare_renamenx(keys: &mut Guard<'_>, args: Args<'_>, _: &Engine) -> bool {
    keys.peek(&args[2]).is_none() && keys.prepare_rename(&args[1], &args[2])
}

fn copy(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let (to, replace) = copy_options(args, ctx.engine, ctx.keys.keyspace())?;
    if ctx.keys.is_same_key(&args[1], &args[2]) && to == ctx.keys.keyspace() {
        return Err(Error::SAME_OBJECT);
    }
    let copied = ctx.keys.exists(ctx.key(1))
        && (replace || !ctx.keys.exists_in(to, &args[2]))
        && ctx.keys.copy(&args[1], to, &args[2]);
    ctx.reply.integer(i64::from(copied));
    Ok(())
}

fn prepare_copy(keys: &mut Guard<'_>, args: Args<'_>, engine: &Engine) -> bool {
    let here = keys.keyspace();
    let Ok((to, replace)) = copy_options(args, engine, here) else {
        return false;
    };
    let is_itself = keys.is_same_key(&args[1], &args[2]) && to == here;
    let copies = !is_itself && (replace || !keys.exists_in(to, &args[2]));
    copies && keys.prepare_copy(&args[1], &args[2])
}

/// The database to copy to, this one if none is named, and whether to replace what is there.
fn copy_options(
    args: Args<'_>,
    engine: &Engine,
    here: KeyspaceId,
) -> Result<(KeyspaceId, bool), Error> {
    let (mut to, mut replace) = (here, false);
    let is = |at: usize, option: &str| args[at].eq_ignore_ascii_case(option.as_bytes());
    let mut at = 3;
    while at < args.len() {
        if is(at, "REPLACE") {
            replace = true;
        } else if is(at, "DB") && at + 1 < args.len() {
            at += 1;
            to = KeyspaceId(engine.db(&args[at])?);
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    Ok((to, replace))
}

fn move_key(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let to = KeyspaceId(ctx.db(2)?);
    if to == ctx.keys.keyspace() {
        return Err(Error::SAME_OBJECT);
    }
    let args = ctx.args;
    let moved = ctx.keys.peek(ctx.key(1)).is_some() && ctx.keys.move_to(&args[1], to);
    ctx.reply.integer(i64::from(moved));
    Ok(())
}
