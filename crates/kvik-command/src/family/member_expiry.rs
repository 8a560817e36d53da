//! Members of sets, sorted sets and hashes that expire: the commands that users of KeyDB
//! (`EXPIREMEMBER` and its like) and of Dragonfly (`SADDEX`, `FIELDEXPIRE`, `FIELDTTL`) know, for
//! all three types.
//!
//! A member goes away at its time by itself, and SCARD, ZCARD and HLEN never count one that is
//! gone. Adding a member that is there leaves its time alone, but for SADDEX; setting a hash field
//! clears it, as HSET does.

use kvik_resp::parse_i64;
use kvik_store::{Guard, Kind, UnixMs, ValueRef};

use super::deadline::TimeFormat;
use crate::declare::{Command, Group, KeyFlags, Row};
use crate::{Ctx, Error};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    [adding(), deadlines(), fields()]
        .into_iter()
        .flatten()
        .collect()
}

fn command(name: &'static str, syntax: &'static str, handler: crate::Handler) -> Row {
    Command::new(name, syntax, handler)
        .group(Group::Generic)
        .fast()
        .since("0.1.0")
        .complexity("O(1)")
}

const NUMBER_OF_MEMBERS: &str = "O(N) where N is the number of members given";

fn adding() -> Vec<Row> {
    vec![
        command(
            "SADDEX",
            "key form:<dragonfly:<[KEEPTTL] seconds member [member ...]>|redis:<[MNX|MXX] [EX seconds|PX \
             milliseconds|EXAT unix-time-seconds:integer|PXAT unix-time-milliseconds:integer|KEEPTTL] MEMBERS \
             members:<nummembers:integer member [member ...]>>>",
            saddex,
        ).long()
        .group(Group::Set)
        .write()
        .may_grow()
        .access(&[KeyFlags::RW_INSERT])
        .complexity(NUMBER_OF_MEMBERS)
        .changed("0.2.0", "Takes the words of Redis 8.12 as well.")
        .about("Adds members to a set that expire."),
    ]
}

fn deadlines() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .write()
            .access(&[KeyFlags::RW_UPDATE])
    };
    vec![
        command("EXPIREMEMBER", "key member delay [S|MS]", expiremember)
            .about("Makes a member of a set, sorted set or hash expire after some time."),
        command(
            "EXPIREMEMBERAT",
            "key member unix-time-seconds",
            expirememberat,
        )
        .about("Makes a member of a set, sorted set or hash expire at a time, in seconds."),
        command(
            "PEXPIREMEMBERAT",
            "key member unix-time-milliseconds",
            pexpirememberat,
        )
        .about("Makes a member of a set, sorted set or hash expire at a time, in milliseconds."),
        command("PERSISTMEMBER", "key member", persistmember)
            .about("Makes a member of a set, sorted set or hash stay."),
    ]
}

fn fields() -> Vec<Row> {
    vec![
        command("FIELDEXPIRE", "key seconds field [field ...]", fieldexpire)
            .long()
            .write()
            .access(&[KeyFlags::RW_UPDATE])
            .complexity(NUMBER_OF_MEMBERS)
            .about("Makes members of a set, sorted set or hash expire after some seconds."),
        command("FIELDTTL", "key field", fieldttl)
            .readonly()
            .access(&[KeyFlags::RO_ACCESS])
            .tips(&["nondeterministic_output"])
            .about("Returns in how many seconds a member of a set, sorted set or hash expires."),
    ]
}

fn saddex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let keep = ctx.is(2, "KEEPTTL");
    let at = 2 + usize::from(keep);
    // Redis never has a number where the other form has the seconds, and more words at least.
    const LEAST_WORDS: usize = 5;
    let is_number = args.get(at).is_some_and(|word| parse_i64(word).is_some());
    if !is_number && args.len() >= LEAST_WORDS {
        return super::set::expire::saddex(ctx);
    }
    let members = args.tail(at + 1);
    if members.is_empty() {
        return Err(Error::arity(ctx.command));
    }
    let deadline = TimeFormat::Seconds.positive_deadline(&args[at], ctx)?;
    let mut added = 0;
    ctx.change_in_slices(members.len(), |ctx, slice| {
        let mut set = ctx.keys.entry(ctx.key(1)).set_mut()?;
        set.expect(&members[slice.start], members.len());
        for member in members.slice(slice) {
            let is_new = set.add(member);
            // KEEPTTL protects the expiry of members that were there before.
            if is_new || !keep {
                set.set_expiry(member, Some(deadline));
            }
            added += i64::from(is_new);
        }
        Ok(())
    })?;
    ctx.reply.integer(added);
    Ok(())
}

fn expiremember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let format = match ctx.args.len() {
        4 => TimeFormat::Seconds,
        _ if ctx.is(4, "S") => TimeFormat::Seconds,
        _ if ctx.is(4, "MS") => TimeFormat::Milliseconds,
        _ => return Err(Error::SYNTAX),
    };
    expire_at(ctx, format)
}

fn expirememberat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_at(ctx, TimeFormat::UnixSeconds)
}

fn pexpirememberat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_at(ctx, TimeFormat::UnixMilliseconds)
}

fn expire_at(ctx: &mut Ctx<'_>, format: TimeFormat) -> Result<(), Error> {
    let args = ctx.args;
    let at = deadline(ctx, format, &args[3])?;
    let found = set_expiry(&mut ctx.keys, &args[1], &args[2], Some(at))?;
    ctx.reply.integer(i64::from(found));
    Ok(())
}

/// A time, which may have passed.
fn deadline(ctx: &Ctx<'_>, format: TimeFormat, text: &[u8]) -> Result<UnixMs, Error> {
    let at = format.deadline(text, ctx)?;
    Ok(u64::try_from(at).unwrap_or(0))
}

fn persistmember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let expiry = expiry(&mut ctx.keys, &args[1], &args[2])?;
    let expires = matches!(expiry, MemberExpiry::At(_));
    if expires {
        set_expiry(&mut ctx.keys, &args[1], &args[2], None)?;
    }
    ctx.reply.integer(i64::from(expires));
    Ok(())
}

fn fieldexpire(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, fields) = (ctx.args, ctx.args.tail(3));
    let at = TimeFormat::Seconds.positive_deadline(&args[2], ctx)?;
    ctx.reply.array(fields.len());
    ctx.change_in_slices(fields.len(), |ctx, slice| {
        for field in fields.slice(slice) {
            let found = set_expiry(&mut ctx.keys, &args[1], field, Some(at))?;
            ctx.reply.integer(if found { 1 } else { -2 });
        }
        Ok(())
    })
}

fn fieldttl(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, now) = (ctx.args, ctx.keys.now());
    let seconds = match expiry(&mut ctx.keys, &args[1], &args[2])? {
        MemberExpiry::NoKey => -2,
        MemberExpiry::NoMember => -3,
        MemberExpiry::Never => -1,
        MemberExpiry::At(at) => (at.saturating_sub(now).saturating_add(500) / 1000) as i64,
    };
    ctx.reply.integer(seconds);
    Ok(())
}

/// When a member expires.
enum MemberExpiry {
    /// There is no key.
    NoKey,
    /// The key has no such member.
    NoMember,
    Never,
    At(UnixMs),
}

/// When a member of a key expires.
fn expiry(keys: &mut Guard<'_>, key: &[u8], member: &[u8]) -> Result<MemberExpiry, Error> {
    let Some(view) = keys.read(key) else {
        return Ok(MemberExpiry::NoKey);
    };
    let found = match view.value() {
        ValueRef::Set(set) => set.expiry_of(member),
        ValueRef::Zset(zset) => zset.expiry_of(member),
        ValueRef::Hash(hash) => hash.get(member).map(|field| field.expire_at),
        _ => return Err(Error::WrongType),
    };
    Ok(match found {
        None => MemberExpiry::NoMember,
        Some(None) => MemberExpiry::Never,
        Some(Some(at)) => MemberExpiry::At(at),
    })
}

/// Sets or clears when a member expires, and says whether there is such a member. One whose time
/// has come is deleted.
fn set_expiry(
    keys: &mut Guard<'_>,
    key: &[u8],
    member: &[u8],
    at: Option<UnixMs>,
) -> Result<bool, Error> {
    let past = at.is_some_and(|at| keys.is_past(at));
    let entry = keys.entry(key);
    let Some(kind) = entry.view().map(|view| view.kind()) else {
        return Ok(false);
    };
    Ok(match (kind, past) {
        (Kind::Set, true) => entry.set_mut()?.remove(member),
        (Kind::Set, false) => entry.set_mut()?.set_expiry(member, at),
        (Kind::Zset, true) => entry.zset_mut()?.remove(member),
        (Kind::Zset, false) => entry.zset_mut()?.set_expiry(member, at),
        (Kind::Hash, true) => entry.hash_mut()?.remove(member),
        (Kind::Hash, false) => {
            let (mut hash, mut found) = (entry.hash_mut()?, false);
            match at {
                Some(at) => hash.expire([member], at, |field| {
                    found = field.is_some();
                    found
                }),
                None => hash.persist([member], |field| found = field.is_some()),
            }
            found
        }
        _ => return Err(Error::WrongType),
    })
}
