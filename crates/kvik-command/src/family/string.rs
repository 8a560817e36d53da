//! Strings: rows, and the commands that read or write them whole.

mod bounded;
mod compare;
mod counter;
mod lcs;
mod options;
mod range;

use kvik_resp::{Args, Reply};
use kvik_store::{
    Encoding, Entry, Expiry, Guard, IntText, Key, NewString, OccupiedEntry, TextRef, View,
};

use self::compare::SetCondition;
pub use self::counter::{INCRBY, add_integer};
use self::options::{SetCommand, SetOptions};
pub(super) use self::range::max_string;
use super::deadline::TimeFormat;
use crate::declare::{Command, Group, KeyFlags, Row};
use crate::slicing::CHANGED_AT_ONCE;
use crate::{Ctx, Error, SLICE};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    [reads(), writes(), conditional(), changes()]
        .into_iter()
        .flatten()
        .collect()
}

fn command(name: &'static str, syntax: &'static str, handler: crate::Handler) -> Row {
    Command::new(name, syntax, handler)
        .group(Group::String)
        .complexity("O(1)")
}

const LENGTH_OF_REPLY: &str = "O(N) where N is the length of the reply";
const NUMBER_OF_KEYS: &str = "O(N) where N is the number of keys";

fn reads() -> Vec<Row> {
    vec![
        command("GET", "key", get)
            .readonly()
            .fast()
            .since("1.0.0")
            .about("Returns the string value of a key."),
        command("MGET", "key [key ...]", mget)
            .long()
            .readonly()
            .fast()
            .since("1.0.0")
            .complexity(NUMBER_OF_KEYS)
            .tips(&["request_policy:multi_shard"])
            .about("Returns the string values of several keys, read at one moment."),
        command("STRLEN", "key", strlen)
            .readonly()
            .fast()
            .access(&[KeyFlags::RO])
            .since("2.2.0")
            .about("Returns the length of a string."),
        command("DIGEST", "key", compare::digest)
            .readonly()
            .fast()
            .since("8.4.0")
            .complexity("O(N) where N is the length of the string")
            .about("Returns a hash of a string, the 64 bits of XXH3 in hexadecimal."),
        command("GETRANGE", "key start end", range::getrange)
            .readonly()
            .since("2.4.0")
            .complexity(LENGTH_OF_REPLY)
            .about("Returns a part of a string."),
        command("SUBSTR", "key start end", range::getrange)
            .readonly()
            .since("1.0.0")
            .complexity(LENGTH_OF_REPLY)
            .deprecated("2.0.0", "`GETRANGE`")
            .about("Returns a part of a string."),
        command(
            "LCS",
            "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
            lcs::lcs,
        )
        .long()
        .readonly()
        .since("7.0.0")
        .complexity("O(N*M) where N and M are the lengths of the strings")
        .about("Finds the longest subsequence that two strings have in common."),
    ]
}

fn writes() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).write();
    vec![
        command("SET", SET_SYNTAX, set)
            .may_grow()
            .access(&[KeyFlags::RW_ACCESS_UPDATE])
            .access_by(options::access)
            .since("1.0.0")
            .changed("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options.")
            .changed("6.0.0", "Added the `KEEPTTL` option.")
            .changed("6.2.0", "Added the `GET`, `EXAT` and `PXAT` options.")
            .changed("7.0.0", "`NX` and `GET` may be used together.")
            .changed("8.1.0", "Added the `IFEQ` option.")
            .changed("8.4.0", "Added the `IFNE`, `IFDEQ` and `IFDNE` options.")
            .about("Sets the string value of a key, whatever it held before."),
        command("MSET", "key value [key value ...]", mset)
            .long()
            .may_grow()
            .access(&[KeyFlags::OW_UPDATE])
            .since("1.0.1")
            .complexity(NUMBER_OF_KEYS)
            .tips(&[
                "request_policy:multi_shard",
                "response_policy:all_succeeded",
            ])
            .about("Sets the string values of several keys at once."),
        command("SETEX", "key seconds value", setex)
            .may_grow()
            .access(&[KeyFlags::OW_UPDATE])
            .since("2.0.0")
            .about("Sets the string value of a key that expires after some seconds."),
        command("PSETEX", "key milliseconds value", psetex)
            .may_grow()
            .access(&[KeyFlags::OW_UPDATE])
            .since("2.6.0")
            .about("Sets the string value of a key that expires after some milliseconds."),
        command("GETSET", "key value", getset)
            .may_grow()
            .fast()
            .access(&[KeyFlags::RW_ACCESS_UPDATE])
            .since("1.0.0")
            .deprecated("6.2.0", "`SET` with the `GET` argument")
            .about("Sets the string value of a key and returns the one before."),
        command("GETDEL", "key", getdel)
            .fast()
            .access(&[KeyFlags::RW_ACCESS_DELETE])
            .since("6.2.0")
            .about("Returns the string value of a key and deletes the key."),
        command("GETEX", GETEX_SYNTAX, getex)
            .fast()
            .access(&[KeyFlags::RW_ACCESS_UPDATE])
            .since("6.2.0")
            .about("Returns the string value of a key and sets when it expires."),
    ]
}

fn conditional() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).write();
    vec![
        command("SETNX", "key value", setnx)
            .may_grow()
            .fast()
            .access(&[KeyFlags::OW_INSERT])
            .since("1.0.0")
            .about("Sets the string value of a key that does not exist."),
        command("MSETNX", "key value [key value ...]", msetnx)
            .long()
            .may_grow()
            .access(&[KeyFlags::OW_INSERT])
            .since("1.0.1")
            .complexity(NUMBER_OF_KEYS)
            .about("Sets the string values of several keys if none of them exists."),
        command("MSETEX", MSETEX_SYNTAX, msetex)
            .long()
            .may_grow()
            .access(&[KeyFlags::OW_UPDATE])
            .since("9.1.0")
            .complexity(NUMBER_OF_KEYS)
            .tips(&[
                "request_policy:multi_shard",
                "response_policy:all_succeeded",
            ])
            .about("Sets the string values of several keys, and when they expire."),
        command("DELEX", DELEX_SYNTAX, compare::delex)
            .fast()
            .access(&[KeyFlags::RW_DELETE])
            .since("8.4.0")
            .complexity("O(1), or O(N) to compare a digest where N is the length of the string")
            .about("Deletes a key, if it holds or does not hold a string or one of this digest."),
        command("DELIFEQ", "key value", compare::delifeq)
            .fast()
            .access(&[KeyFlags::RM_DELETE])
            .since("9.0.0")
            .about("Deletes a key if it holds this string."),
    ]
}

fn changes() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .write()
            .may_grow()
            .access(&[KeyFlags::RW_ACCESS_UPDATE])
    };
    vec![
        command("INCR", "key", counter::incr)
            .event("incrby")
            .fast()
            .since("1.0.0")
            .about("Adds one to the integer that a key holds."),
        command("INCRBY", "key increment", counter::incrby)
            .event("incrby")
            .fast()
            .since("1.0.0")
            .about("Adds to the integer that a key holds."),
        command("INCRBYFLOAT", "key increment:double", counter::incrbyfloat)
            .event("incrbyfloat")
            .fast()
            .since("2.6.0")
            .about("Adds to the floating-point number that a key holds."),
        command("DECR", "key", counter::decr)
            .event("incrby")
            .fast()
            .since("1.0.0")
            .about("Takes one from the integer that a key holds."),
        command("DECRBY", "key decrement", counter::decrby)
            .event("incrby")
            .fast()
            .since("1.0.0")
            .about("Takes from the integer that a key holds."),
        command("INCREX", INCREX_SYNTAX, bounded::increx)
            .fast()
            .since("8.8.0")
            .about("Adds to a number within bounds, and sets when the key expires."),
        command("APPEND", "key value", range::append)
            .event("append")
            .fast()
            .access(&[KeyFlags::RW_INSERT])
            .since("2.0.0")
            .complexity("O(N) where N is the length of the value, on average")
            .about("Appends to a string, an empty one where there is none."),
        command("SETRANGE", "key offset value", range::setrange)
            .access(&[KeyFlags::RW_UPDATE])
            .since("2.2.0")
            .complexity("O(N) where N is the length of the value, on average")
            .about("Overwrites a part of a string, padding with zero bytes where it is too short."),
    ]
}

const SET_SYNTAX: &str = "key value [NX|XX|IFEQ comparison-value|IFNE comparison-value\
    |IFDEQ digest|IFDNE digest] [GET] \
    [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]";
const DELEX_SYNTAX: &str = "key [condition:<IFEQ value|IFNE value|IFDEQ digest|IFDNE digest>]";
const GETEX_SYNTAX: &str = "key \
    [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]";
const INCREX_SYNTAX: &str = "key [increment:<BYINT increment|BYFLOAT increment:double>] \
    [LBOUND lower-bound:double] [UBOUND upper-bound:double] [SATURATE] \
    [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST] [ENX]";
const MSETEX_SYNTAX: &str = "numkeys key value [key value ...] [NX|XX] \
    [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]";

/// The string that a key holds.
///
/// # Errors
/// If it holds another type.
pub(super) fn string(view: View<'_>) -> Result<TextRef<'_>, Error> {
    Ok(view.string()?)
}

/// Stores a string that a command has computed and that is not empty.
pub(super) fn store_raw(keys: &mut Guard<'_>, key: &[u8], value: &[u8], expiry: Expiry) {
    match keys.entry(key) {
        Entry::Vacant(vacant) => {
            vacant
                .set_range(0, value, usize::MAX)
                .expect("nothing is longer than memory");
        }
        Entry::Occupied(mut occupied) => set_raw(&mut occupied, value, expiry),
    }
}

/// Replaces a value by a string that a command has computed and that is not empty. Redis keeps such
/// strings raw, where it embeds short ones and packs integers that a client has written.
pub(super) fn set_raw(occupied: &mut OccupiedEntry<'_>, value: &[u8], expiry: Expiry) {
    occupied.set(NewString::Bytes(value), expiry);
    if occupied.view().encoding() != Encoding::Raw {
        // A string that was changed in place is raw.
        occupied
            .unnoted(|occupied| occupied.set_range(0, &value[..1], usize::MAX))
            .expect("nothing is longer than memory");
    }
}

/// The word at `index` as a string to store. A large one that was received as a rope is not copied.
pub(super) fn value(args: Args<'_>, index: usize) -> NewString<'_> {
    match args.rope(index) {
        Some(rope) => NewString::Rope(rope),
        None => NewString::Bytes(args.get(index).expect("the table checks the arity")),
    }
}

/// Answers with a string. A large one is sent from where it is.
pub(super) fn write(reply: &mut Reply<'_>, string: TextRef<'_>) {
    match string {
        TextRef::Bytes(bytes) => reply.bulk(bytes),
        TextRef::Int(n) => reply.bulk(IntText::default().format(n)),
        TextRef::Rope(rope) => reply.bulk_rope(rope, 0..rope.len()),
    }
}

/// Reads a key and answers with its string; says whether there was one.
fn reply_with(ctx: &mut Ctx<'_>, key: Key<'_>) -> Result<bool, Error> {
    let found = ctx.keys.read_string(key)?;
    match found {
        Some(string) => write(&mut ctx.reply, string),
        None => ctx.reply.null(),
    }
    Ok(found.is_some())
}

/// Stores a string if the condition holds, and says whether it did. Where the string would expire
/// at once, the key is deleted instead.
fn store(
    keys: &mut Guard<'_>,
    key: Key<'_>,
    value: NewString<'_>,
    condition: SetCondition<'_>,
    expiry: Expiry,
) -> Result<bool, Error> {
    let past = matches!(expiry, Expiry::At(at) if keys.is_past(at));
    let entry = keys.entry(key);
    if !condition.holds(&entry)? {
        return Ok(false);
    }
    // A time that is past deletes the key at once, as if it had been set and had expired.
    if !past {
        entry.set(value, expiry);
    } else if let Some(occupied) = entry.occupied() {
        occupied.remove();
    }
    Ok(true)
}

fn get(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_with(ctx, ctx.key(1))?;
    Ok(())
}

fn mget(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let keys = ctx.args.tail(1);
    if keys.len() > SLICE {
        ctx.weigh(keys.len())?;
    }
    ctx.reply.array(keys.len());
    for (at, key) in keys.iter().enumerate() {
        if at > 0 && at.is_multiple_of(SLICE) {
            ctx.breathe()?;
        }
        match ctx.keys.read_string(key) {
            Ok(Some(string)) => write(&mut ctx.reply, string),
            // MGET never fails: another type is like a key that is missing.
            Ok(None) | Err(_) => ctx.reply.null(),
        }
    }
    Ok(())
}

fn strlen(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let string = ctx.keys.read_string(ctx.key(1))?;
    let len = string.map_or(0, |string| string.len());
    ctx.reply.integer(len as i64);
    Ok(())
}

fn set(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    if args.len() == 3 {
        ctx.keys
            .entry(ctx.key(1))
            .set(value(args, 2), Expiry::Clear);
        ctx.reply.ok();
        return Ok(());
    }
    // The plain SET above reads no options: it is the most frequent write.
    let options = SetOptions::parse(ctx, 3, SetCommand::Set)?;
    let expiry = options.expiry(ctx, SetCommand::Set)?;
    // GET's reply is written first; if the key holds another type, nothing is stored.
    if options.get {
        reply_with(ctx, ctx.key(1))?;
    }
    let key = ctx.key(1);
    let stored = store(
        &mut ctx.keys,
        key,
        value(args, 2),
        options.condition,
        expiry,
    )?;
    match (options.get, stored) {
        (true, _) => {}
        (false, true) => ctx.reply.ok(),
        (false, false) => ctx.reply.null(),
    }
    Ok(())
}

fn setex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    set_for(ctx, TimeFormat::Seconds)
}

fn psetex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    set_for(ctx, TimeFormat::Milliseconds)
}

fn set_for(ctx: &mut Ctx<'_>, format: TimeFormat) -> Result<(), Error> {
    let args = ctx.args;
    let expiry = Expiry::At(format.positive_deadline(&args[2], ctx)?);
    let key = ctx.key(1);
    store(
        &mut ctx.keys,
        key,
        value(args, 3),
        SetCondition::Always,
        expiry,
    )?;
    ctx.reply.ok();
    Ok(())
}

fn setnx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let key = ctx.key(1);
    let stored = store(
        &mut ctx.keys,
        key,
        value(args, 2),
        SetCondition::Absent,
        Expiry::Clear,
    )?;
    ctx.reply.integer(i64::from(stored));
    Ok(())
}

fn getset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    reply_with(ctx, ctx.key(1))?;
    ctx.keys
        .entry(ctx.key(1))
        .set(value(args, 2), Expiry::Clear);
    Ok(())
}

fn getdel(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    if reply_with(ctx, ctx.key(1))? {
        ctx.keys.delete(ctx.key(1));
    }
    Ok(())
}

fn getex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = SetOptions::parse(ctx, 2, SetCommand::GetEx)?;
    let args = ctx.args;
    // Where there is no key, no time is wrong.
    if reply_with(ctx, ctx.key(1))? {
        let expiry = options.expiry(ctx, SetCommand::GetEx)?;
        change_expiry(&mut ctx.keys, &args[1], expiry);
    }
    Ok(())
}

fn change_expiry(keys: &mut Guard<'_>, key: &[u8], expiry: Expiry) {
    let (at, past) = match expiry {
        Expiry::Keep => return,
        Expiry::Clear => (None, false),
        Expiry::At(at) => (Some(at), keys.is_past(at)),
    };
    if let Some(key) = keys.entry(key).occupied() {
        super::key::set_expiry(key, at, past);
    }
}

fn mset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let words = words_of_pairs(ctx)?;
    if words.len() > SLICE {
        ctx.weigh(words.len() / 2)?;
    }
    set_all(ctx, words, Expiry::Clear)?;
    ctx.reply.ok();
    Ok(())
}

fn msetnx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let words = words_of_pairs(ctx)?;
    set_all_if(ctx, words, SetCondition::Absent, Expiry::Clear)
}

fn msetex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let words = counted_pairs(ctx)?;
    let options = SetOptions::parse(ctx, 2 + words.len(), SetCommand::MSetEx)?;
    let expiry = options.expiry(ctx, SetCommand::MSetEx)?;
    set_all_if(ctx, words, options.condition, expiry)
}

/// The keys and values that make up all the words after the command's name.
fn words_of_pairs<'a>(ctx: &Ctx<'a>) -> Result<Args<'a>, Error> {
    let words = ctx.args.tail(1);
    if !words.len().is_multiple_of(2) {
        return Err(Error::arity(ctx.command));
    }
    Ok(words)
}

/// The keys and values behind a word that says how many they are.
fn counted_pairs<'a>(ctx: &Ctx<'a>) -> Result<Args<'a>, Error> {
    let count = ctx.small_int(1).ok().filter(|&count| count > 0);
    let count = count.ok_or(Error::text("invalid numkeys value or out of range"))? as usize;
    // The slice ends with the arguments, which shows a number that is too large.
    let words = ctx.args.slice(2..count.saturating_mul(2).saturating_add(2));
    if words.len() < count * 2 {
        return Err(Error::SYNTAX);
    }
    Ok(words)
}

/// Stores all pairs if the condition holds for all keys, and answers whether it did.
fn set_all_if(
    ctx: &mut Ctx<'_>,
    words: Args<'_>,
    condition: SetCondition<'_>,
    expiry: Expiry,
) -> Result<(), Error> {
    if words.len() > SLICE {
        ctx.weigh(words.len() / 2)?;
    }
    for (at, key) in words.iter().step_by(2).enumerate() {
        if at > 0 && at.is_multiple_of(SLICE) {
            ctx.breathe()?;
        }
        // No key is written unless all conditions hold.
        if !condition.holds(&ctx.keys.entry(key))? {
            ctx.reply.integer(0);
            return Ok(());
        }
    }
    if words.len() > SLICE {
        ctx.breathe()?;
    }
    set_all(ctx, words, expiry)?;
    ctx.reply.integer(1);
    Ok(())
}

fn set_all(ctx: &mut Ctx<'_>, words: Args<'_>, expiry: Expiry) -> Result<(), Error> {
    for at in (0..words.len()).step_by(2) {
        if at > 0 && at.is_multiple_of(2 * CHANGED_AT_ONCE) {
            ctx.keys.breathe();
        }
        let (key, value): (&[u8], _) = (&words[at], value(words, at + 1));
        store(
            &mut ctx.keys,
            key.into(),
            value,
            SetCondition::Always,
            expiry,
        )?;
    }
    Ok(())
}
