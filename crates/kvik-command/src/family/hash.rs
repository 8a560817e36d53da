//! Hashes: rows, and the commands that read and write fields.

mod expire;
mod fields;
mod import;
mod number;
mod options;
mod walk;

use kvik_resp::{Args, Reply};
use kvik_store::{Field, Guard, HashRef, IntText, Key, StringRef, ValueRef, View};

use crate::declare::{Command, Group, KeyFlags, Row};
use crate::{Ctx, Error, Handler, SLICE};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    [
        reads(),
        walks(),
        writes(),
        expiries(),
        expiry_reads(),
        combined(),
        import::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn command(name: &'static str, syntax: &'static str, handler: Handler) -> Row {
    Command::new(name, syntax, handler)
        .group(Group::Hash)
        .complexity("O(1)")
}

const NUMBER_OF_FIELDS: &str = "O(N) where N is the number of fields named";
const SIZE: &str = "O(N) where N is the number of fields of the hash";

fn reads() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).readonly().fast();
    vec![
        command("HGET", "key field", hget)
            .since("2.0.0")
            .about("Returns the value of a field."),
        command("HMGET", "key field [field ...]", hmget)
            .long()
            .since("2.0.0")
            .complexity(NUMBER_OF_FIELDS)
            .about("Returns the values of several fields."),
        command("HLEN", "key", hlen)
            .access(&[KeyFlags::RO])
            .since("2.0.0")
            .about("Returns the number of fields of a hash."),
        command("HSTRLEN", "key field", hstrlen)
            .access(&[KeyFlags::RO])
            .since("3.2.0")
            .about("Returns the length of the value of a field."),
        command("HEXISTS", "key field", hexists)
            .access(&[KeyFlags::RO])
            .since("2.0.0")
            .about("Says whether a field exists."),
    ]
}

fn walks() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).readonly();
    let whole = |name, handler| {
        command(name, "key", handler)
            .since("2.0.0")
            .complexity(SIZE)
            .tips(&["nondeterministic_output_order"])
    };
    vec![
        whole("HGETALL", walk::hgetall)
            .long()
            .about("Returns all fields of a hash with their values."),
        whole("HKEYS", walk::hkeys)
            .long()
            .about("Returns the names of all fields of a hash."),
        whole("HVALS", walk::hvals)
            .long()
            .about("Returns the values of all fields of a hash."),
        command(
            "HSCAN",
            "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
            walk::hscan,
        )
        .long()
        .since("2.8.0")
        .complexity("O(1) for a page of usual size, O(N) for all N fields of the hash")
        .tips(&["nondeterministic_output"])
        .about("Walks the fields of a hash, one page with each call."),
        command(
            "HRANDFIELD",
            "key [options:<count [WITHVALUES]>]",
            walk::hrandfield,
        )
        .long()
        .since("6.2.0")
        .complexity("O(N) where N is the number of fields returned")
        .tips(&["nondeterministic_output"])
        .about("Returns fields of a hash, chosen at random."),
    ]
}

fn writes() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).write().fast();
    vec![
        command("HSET", "key field value [field value ...]", hset)
            .long()
            .may_grow()
            .since("2.0.0")
            .complexity(NUMBER_OF_FIELDS)
            .changed("4.0.0", "Accepts several pairs of `field` and `value`.")
            .about("Sets fields of a hash and returns how many are new."),
        command("HMSET", "key field value [field value ...]", hmset)
            .long()
            .may_grow()
            .since("2.0.0")
            .complexity(NUMBER_OF_FIELDS)
            .deprecated("4.0.0", "`HSET` with several pairs of fields and values")
            .about("Sets fields of a hash."),
        command("HSETNX", "key field value", hsetnx)
            .may_grow()
            .access(&[KeyFlags::RW_INSERT])
            .since("2.0.0")
            .about("Sets a field that does not exist."),
        command("HDEL", "key field [field ...]", hdel)
            .long()
            .access(&[KeyFlags::RW_DELETE])
            .since("2.0.0")
            .complexity(NUMBER_OF_FIELDS)
            .changed("2.4.0", "Accepts several fields.")
            .about("Deletes fields, and the hash with the last of them."),
        command("HINCRBY", "key field increment", number::hincrby)
            .event("hincrby")
            .may_grow()
            .access(&[KeyFlags::RW_ACCESS_UPDATE])
            .since("2.0.0")
            .about("Adds to the integer that a field holds."),
        command(
            "HINCRBYFLOAT",
            "key field increment:double",
            number::hincrbyfloat,
        )
        .event("hincrbyfloat")
        .may_grow()
        .access(&[KeyFlags::RW_ACCESS_UPDATE])
        .since("2.6.0")
        .about("Adds to the floating-point number that a field holds."),
    ]
}

/// A command that changes when fields expire.
fn timed(name: &'static str, syntax: &'static str, handler: Handler) -> Row {
    command(name, syntax, handler)
        .long()
        .write()
        .fast()
        .since("9.0.0")
        .complexity(NUMBER_OF_FIELDS)
}

fn expiries() -> Vec<Row> {
    vec![
        timed(
            "HEXPIRE",
            "key seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]",
            expire::hexpire,
        )
        .about("Lets fields expire after some seconds."),
        timed(
            "HPEXPIRE",
            "key milliseconds [NX|XX|GT|LT] FIELDS numfields field [field ...]",
            expire::hpexpire,
        )
        .about("Lets fields expire after some milliseconds."),
        timed(
            "HEXPIREAT",
            "key unix-time-seconds:integer [NX|XX|GT|LT] FIELDS numfields field [field ...]",
            expire::hexpireat,
        )
        .about("Lets fields expire at a time in seconds."),
        timed(
            "HPEXPIREAT",
            "key unix-time-milliseconds:integer [NX|XX|GT|LT] FIELDS numfields field [field ...]",
            expire::hpexpireat,
        )
        .about("Lets fields expire at a time in milliseconds."),
        timed(
            "HPERSIST",
            "key FIELDS numfields field [field ...]",
            expire::hpersist,
        )
        .about("Lets fields not expire any more."),
    ]
}

fn expiry_reads() -> Vec<Row> {
    let command = |name, handler| {
        command(name, "key FIELDS numfields field [field ...]", handler)
            .long()
            .readonly()
            .fast()
            .since("9.0.0")
            .complexity(NUMBER_OF_FIELDS)
    };
    vec![
        command("HTTL", expire::httl).about("Returns in how many seconds fields expire."),
        command("HPTTL", expire::hpttl).about("Returns in how many milliseconds fields expire."),
        command("HEXPIRETIME", expire::hexpiretime)
            .about("Returns when fields expire, in seconds since the epoch."),
        command("HPEXPIRETIME", expire::hpexpiretime)
            .about("Returns when fields expire, in milliseconds since the epoch."),
    ]
}

fn combined() -> Vec<Row> {
    vec![
        timed("HSETEX", HSETEX_SYNTAX, fields::hsetex)
            .may_grow()
            .access(&[KeyFlags::RW_INSERT])
            .about("Sets fields of a hash, and when they expire."),
        timed("HGETEX", HGETEX_SYNTAX, fields::hgetex)
            .access(&[KeyFlags::RW_ACCESS_UPDATE])
            .about("Returns the values of fields and sets when they expire."),
        timed(
            "HGETDEL",
            "key FIELDS numfields field [field ...]",
            fields::hgetdel,
        )
        .access(&[KeyFlags::RW_ACCESS_DELETE])
        .since("9.1.0")
        .about("Returns the values of fields and deletes them."),
    ]
}

const HSETEX_SYNTAX: &str = "key [key-condition:<NX|XX>] [fields-condition:<FNX|FXX>] \
    [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL] \
    FIELDS numfields field value [field value ...]";
const HGETEX_SYNTAX: &str = "key \
    [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST] \
    FIELDS numfields field [field ...]";

/// The hash that a key holds.
///
/// # Errors
/// If it holds another type.
fn hash(view: View<'_>) -> Result<HashRef<'_>, Error> {
    match view.value() {
        ValueRef::Hash(hash) => Ok(hash),
        _ => Err(Error::WrongType),
    }
}

/// Reads the hash of a key.
///
/// # Errors
/// If the key holds another type.
fn read<'k>(keys: &'k mut Guard<'_>, key: Key<'_>) -> Result<Option<HashRef<'k>>, Error> {
    keys.read(key).map(hash).transpose()
}

fn reply_text(reply: &mut Reply<'_>, text: StringRef<'_>) {
    reply.bulk(text.text(&mut IntText::default()));
}

/// Answers with the value of a field, if it is there.
fn reply_value(reply: &mut Reply<'_>, field: Option<Field<'_>>) {
    match field {
        Some(field) => reply_text(reply, field.value),
        None => reply.null(),
    }
}

fn hget(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.key(1);
    let hash = read(&mut ctx.keys, key)?;
    let field = hash.and_then(|hash| hash.get(&ctx.args[2]));
    reply_value(&mut ctx.reply, field);
    Ok(())
}

fn hmget(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.key(1);
    let hash = read(&mut ctx.keys, key)?;
    let names = ctx.args.tail(2);
    ctx.reply.array(names.len());
    if names.len() <= SLICE {
        reply_values(&mut ctx.reply, hash, names);
        return Ok(());
    }
    ctx.read_in_slices(names.len(), |ctx, slice| {
        let hash = ctx.keys.view(ctx.key(1)).map(self::hash).transpose()?;
        reply_values(&mut ctx.reply, hash, names.slice(slice));
        Ok(())
    })
}

/// Answers with the values of fields.
fn reply_values(reply: &mut Reply<'_>, hash: Option<HashRef<'_>>, names: Args<'_>) {
    for name in names {
        reply_value(reply, hash.and_then(|hash| hash.get(name)));
    }
}

fn hlen(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.key(1);
    let hash = read(&mut ctx.keys, key)?;
    ctx.reply.integer(hash.map_or(0, HashRef::len) as i64);
    Ok(())
}

fn hstrlen(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.key(1);
    let hash = read(&mut ctx.keys, key)?;
    let field = hash.and_then(|hash| hash.get(&ctx.args[2]));
    let len = field.map_or(0, |field| field.value.len());
    ctx.reply.integer(len as i64);
    Ok(())
}

fn hexists(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.key(1);
    let hash = read(&mut ctx.keys, key)?;
    let field = hash.and_then(|hash| hash.get(&ctx.args[2]));
    ctx.reply.integer(i64::from(field.is_some()));
    Ok(())
}

fn hset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let created = set_all(ctx)?;
    ctx.reply.integer(created as i64);
    Ok(())
}

fn hmset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    set_all(ctx)?;
    ctx.reply.ok();
    Ok(())
}

/// Sets the fields that all words after the key are and returns how many are new.
fn set_all(ctx: &mut Ctx<'_>) -> Result<usize, Error> {
    let pairs = ctx.args.tail(2);
    if !pairs.len().is_multiple_of(2) {
        return Err(Error::arity(ctx.command));
    }
    if pairs.len() > 2 * SLICE {
        return set_many(ctx, pairs);
    }
    let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
    if pairs.len() == 2 {
        return Ok(usize::from(
            hash.set(&pairs[0], StringRef::Bytes(&pairs[1])),
        ));
    }
    let at = (0..pairs.len()).step_by(2);
    Ok(hash.set_all(at.map(|at| (&pairs[at], &pairs[at + 1])), false))
}

/// The same of many, in slices.
#[cold]
fn set_many(ctx: &mut Ctx<'_>, pairs: Args<'_>) -> Result<usize, Error> {
    let mut created = 0;
    ctx.change_in_slices(pairs.len() / 2, |ctx, slice| {
        let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
        hash.expect(pairs.len() / 2);
        for at in slice {
            let (name, value) = (&pairs[2 * at], StringRef::Bytes(&pairs[2 * at + 1]));
            created += usize::from(hash.set(name, value));
        }
        Ok(())
    })?;
    Ok(created)
}

fn hsetnx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
    let absent = hash.view().get(&args[2]).is_none();
    if absent {
        hash.set(&args[2], StringRef::Bytes(&args[3]));
    }
    ctx.reply.integer(i64::from(absent));
    Ok(())
}

fn hdel(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (names, mut removed) = (ctx.args.tail(2), 0);
    if names.len() <= SLICE {
        let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
        removed = names.iter().filter(|name| hash.remove(name)).count();
    } else {
        ctx.change_in_slices(names.len(), |ctx, slice| {
            let mut hash = ctx.keys.entry(ctx.key(1)).hash_mut()?;
            let names = names.slice(slice).iter();
            removed += names.filter(|name| hash.remove(name)).count();
            Ok(())
        })?;
    }
    ctx.reply.integer(removed as i64);
    Ok(())
}
