//! Sets: rows, and the commands about the members of one set.

mod algebra;
pub(super) mod expire;
mod random;

use kvik_resp::{Args, Reply};
use kvik_store::{Entry, EventClasses, IntText, SetMut, SetRef, UnixMs, ValueRef, View};

use super::carried_expiry::later;
use super::member_scan::MemberScan;
use crate::declare::{Command, Group, KeyFlags, Row};
use crate::{Ctx, Error, SLICE};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    [
        members(),
        expiries(),
        deadlines(),
        reads(),
        chances(),
        combinations(),
        cardinalities(),
        stores(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn command(name: &'static str, syntax: &'static str, handler: crate::Handler) -> Row {
    Command::new(name, syntax, handler)
        .group(Group::Set)
        .complexity("O(1)")
}

const NUMBER_OF_MEMBERS: &str = "O(N) where N is the number of members given";
const SIZE_OF_SET: &str = "O(N) where N is the size of the set";
const COUNT_OF_MEMBERS: &str = "O(1), with a count O(N) where N is the count";
const INTERSECTION: &str =
    "O(N*M) where N is the size of the smallest set and M the number of sets";
const ALL_SETS: &str = "O(N) where N is the number of members in all sets";
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
const UNPREDICTABLE: &[&str] = &["nondeterministic_output"];

fn members() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).write().fast();
    vec![
        command("SADD", "key member [member ...]", sadd)
            .long()
            .may_grow()
            .access(&[KeyFlags::RW_INSERT])
            .since("1.0.0")
            .changed("2.4.0", "Takes several members.")
            .complexity(NUMBER_OF_MEMBERS)
            .about("Adds members to a set and returns how many are new."),
        command("SREM", "key member [member ...]", srem)
            .long()
            .access(&[KeyFlags::RW_DELETE])
            .since("1.0.0")
            .changed("2.4.0", "Takes several members.")
            .complexity(NUMBER_OF_MEMBERS)
            .about("Deletes members of a set and returns how many there were."),
        command("SMOVE", "source destination member", smove)
            .access(&[KeyFlags::RW_ACCESS_DELETE, KeyFlags::RW_INSERT])
            .since("1.0.0")
            .about("Moves a member from one set to another."),
    ]
}

fn reads() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).readonly();
    vec![
        command("SCARD", "key", scard)
            .fast()
            .access(&[KeyFlags::RO])
            .since("1.0.0")
            .about("Returns the number of members of a set."),
        command("SISMEMBER", "key member", sismember)
            .fast()
            .access(&[KeyFlags::RO])
            .since("1.0.0")
            .about("Says whether a set has a member."),
        command("SMISMEMBER", "key member [member ...]", smismember)
            .long()
            .fast()
            .access(&[KeyFlags::RO_ACCESS])
            .since("6.2.0")
            .complexity(NUMBER_OF_MEMBERS)
            .about("Says of each of several members whether a set has it."),
        command("SMEMBERS", "key", smembers)
            .long()
            .since("1.0.0")
            .complexity(SIZE_OF_SET)
            .tips(UNORDERED)
            .about("Returns all members of a set."),
        command("SSCAN", "key cursor [MATCH pattern] [COUNT count]", sscan)
            .long()
            .since("2.8.0")
            .complexity("O(1) for a page, O(N) for the whole set")
            .tips(UNPREDICTABLE)
            .about("Returns the members of a set page by page."),
    ]
}

/// The commands that change when members expire.
fn expiries() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .long()
            .write()
            .fast()
            .access(&[KeyFlags::RW_UPDATE])
            .since("8.12.0")
            .complexity(NUMBER_OF_MEMBERS)
    };
    vec![
        command(
            "SEXPIRE",
            "key seconds [NX|XX|GT|LT] MEMBERS members:<nummembers:integer member [member ...]>",
            expire::sexpire,
        )
        .about("Lets members of a set expire after some seconds."),
        command(
            "SPEXPIRE",
            "key milliseconds [NX|XX|GT|LT] MEMBERS members:<nummembers:integer member [member ...]>",
            expire::spexpire,
        )
        .about("Lets members of a set expire after some milliseconds."),
        command(
            "SEXPIREAT",
            "key unix-time-seconds:integer [NX|XX|GT|LT] MEMBERS members:<nummembers:integer member [member ...]>",
            expire::sexpireat,
        )
        .about("Lets members of a set expire at a time, in seconds."),
        command(
            "SPEXPIREAT",
            "key unix-time-milliseconds:integer [NX|XX|GT|LT] MEMBERS members:<nummembers:integer \
             member [member ...]>",
            expire::spexpireat,
        )
        .about("Lets members of a set expire at a time, in milliseconds."),
        command(
            "SPERSIST",
            "key MEMBERS members:<nummembers:integer member [member ...]>",
            expire::spersist,
        )
        .about("Lets members of a set not expire any more."),
    ]
}

/// The commands that tell when members expire.
fn deadlines() -> Vec<Row> {
    let command = |name, handler| {
        command(
            name,
            "key MEMBERS members:<nummembers:integer member [member ...]>",
            handler,
        )
        .long()
        .readonly()
        .fast()
        .access(&[KeyFlags::RO_ACCESS])
        .since("8.12.0")
        .complexity(NUMBER_OF_MEMBERS)
    };
    vec![
        command("STTL", expire::sttl)
            .tips(UNPREDICTABLE)
            .about("Returns in how many seconds members of a set expire."),
        command("SPTTL", expire::spttl)
            .tips(UNPREDICTABLE)
            .about("Returns in how many milliseconds members of a set expire."),
        command("SEXPIRETIME", expire::sexpiretime)
            .about("Returns when members of a set expire, in seconds since the epoch."),
        command("SPEXPIRETIME", expire::spexpiretime)
            .about("Returns when members of a set expire, in milliseconds since the epoch."),
    ]
}

fn chances() -> Vec<Row> {
    vec![
        command("SPOP", "key [count]", random::spop)
            .long()
            .event("spop")
            .write()
            .fast()
            .access(&[KeyFlags::RW_ACCESS_DELETE])
            .since("1.0.0")
            .changed("3.2.0", "Added the `count` argument.")
            .complexity(COUNT_OF_MEMBERS)
            .tips(UNPREDICTABLE)
            .about("Deletes members of a set chosen at random and returns them."),
        command("SRANDMEMBER", "key [count]", random::srandmember)
            .long()
            .readonly()
            .since("1.0.0")
            .changed("2.6.0", "Added the `count` argument.")
            .complexity(COUNT_OF_MEMBERS)
            .tips(UNPREDICTABLE)
            .about("Returns members of a set chosen at random."),
    ]
}

fn combinations() -> Vec<Row> {
    let command = |name, handler| {
        command(name, "key [key ...]", handler)
            .readonly()
            .tips(UNORDERED)
    };
    vec![
        command("SINTER", algebra::sinter)
            .long()
            .since("1.0.0")
            .complexity(INTERSECTION)
            .about("Returns the members that all of several sets have."),
        self::command(
            "SINTERCARD",
            "numkeys key [key ...] [LIMIT limit]",
            algebra::sintercard,
        )
        .long()
        .readonly()
        .since("7.0.0")
        .complexity(INTERSECTION)
        .about("Returns how many members all of several sets have."),
        command("SUNION", algebra::sunion)
            .long()
            .since("1.0.0")
            .complexity(ALL_SETS)
            .about("Returns the members that any of several sets has."),
        command("SDIFF", algebra::sdiff)
            .long()
            .since("1.0.0")
            .complexity(ALL_SETS)
            .about("Returns the members that only the first of several sets has."),
    ]
}

/// The commands that only count the members of a combination.
fn cardinalities() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .readonly()
            .since("8.10.0")
            .complexity(ALL_SETS)
    };
    vec![
        command(
            "SUNIONCARD",
            "numkeys key [key ...] [APPROX] [LIMIT limit]",
            algebra::sunioncard,
        )
        .long()
        .about("Returns how many members several sets have together."),
        command(
            "SDIFFCARD",
            "numkeys key [key ...] [LIMIT limit]",
            algebra::sdiffcard,
        )
        .long()
        .about("Returns how many members only the first of several sets has."),
    ]
}

fn stores() -> Vec<Row> {
    let command = |name, handler| {
        command(name, "destination key [key ...]", handler)
            .write()
            .may_grow()
            .access(&[KeyFlags::OW_UPDATE, KeyFlags::RO_ACCESS])
            .since("1.0.0")
    };
    vec![
        command("SINTERSTORE", algebra::sinterstore)
            .long()
            .event("sinterstore")
            .complexity(INTERSECTION)
            .about("Stores the members that all of several sets have."),
        command("SUNIONSTORE", algebra::sunionstore)
            .long()
            .event("sunionstore")
            .complexity(ALL_SETS)
            .about("Stores the members that any of several sets has."),
        command("SDIFFSTORE", algebra::sdiffstore)
            .long()
            .event("sdiffstore")
            .complexity(ALL_SETS)
            .about("Stores the members that only the first of several sets has."),
    ]
}

/// The set that a key holds.
///
/// # Errors
/// If it holds another type.
pub(super) fn set(view: View<'_>) -> Result<SetRef<'_>, Error> {
    match view.value() {
        ValueRef::Set(set) => Ok(set),
        _ => Err(Error::WrongType),
    }
}

/// The set of a key that is there.
fn read<'c>(ctx: &'c mut Ctx<'_>, key: &[u8]) -> Result<Option<SetRef<'c>>, Error> {
    ctx.keys.read(key).map(set).transpose()
}

fn sadd(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let members = ctx.args.tail(2);
    if members.len() > SLICE {
        return change_many(ctx, |set, members, expected| {
            set.expect(&members[0], expected);
            members.iter().filter(|member| set.add(member)).count()
        });
    }
    let mut set = ctx.keys.entry(ctx.key(1)).set_mut()?;
    set.expect(&members[0], members.len());
    let added = members.iter().filter(|member| set.add(member)).count();
    ctx.reply.integer(added as i64);
    Ok(())
}

/// Changes many members in slices and answers how many were. `change` is told how many there are in
/// all.
#[cold]
fn change_many(
    ctx: &mut Ctx<'_>,
    change: fn(&mut SetMut<'_>, Args<'_>, usize) -> usize,
) -> Result<(), Error> {
    let (members, mut changed) = (ctx.args.tail(2), 0);
    ctx.change_in_slices(members.len(), |ctx, slice| {
        let mut set = ctx.keys.entry(ctx.key(1)).set_mut()?;
        changed += change(&mut set, members.slice(slice), members.len());
        Ok(())
    })?;
    ctx.reply.integer(changed as i64);
    Ok(())
}

fn srem(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let members = ctx.args.tail(2);
    if members.len() > SLICE {
        return change_many(ctx, |set, members, _| {
            members.iter().filter(|member| set.remove(member)).count()
        });
    }
    let mut set = ctx.keys.entry(ctx.key(1)).set_mut()?;
    let removed = members.iter().filter(|member| set.remove(member)).count();
    ctx.reply.integer(removed as i64);
    Ok(())
}

fn smove(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    // A command that writes misses no key.
    ctx.keys.mute(EventClasses::MISS);
    let (source, destination, member) = (&args[1], &args[2], &args[3]);
    // When the member expires: the inner none is never, the outer one says that there is none.
    let found = match read(ctx, source)? {
        None => None,
        Some(set) => {
            let found = set.expiry_of(member);
            read(ctx, destination)?;
            found
        }
    };
    if let Some(expire_at) = found.filter(|_| source != destination) {
        ctx.keys.entry(source).set_mut()?.remove(member);
        place(ctx.keys.entry(destination), member, expire_at)?;
    }
    ctx.reply.integer(i64::from(found.is_some()));
    Ok(())
}

/// Adds a member that comes with its time; one that is there already stays as long as either.
fn place(entry: Entry<'_>, member: &[u8], expire_at: Option<UnixMs>) -> Result<(), Error> {
    let old = entry.view().map(set).transpose()?;
    let old = old.and_then(|set| set.expiry_of(member));
    if old.is_none() && expire_at.is_none() {
        let mut set = entry.set_mut()?;
        set.expect(member, 1);
        set.add(member);
        return Ok(());
    }
    let new = old.map_or(expire_at, |old| later(old, expire_at));
    let mut set = entry.set_mut()?;
    set.add(member);
    if old != Some(new) {
        set.set_expiry(member, new);
    }
    Ok(())
}

fn scard(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let len = read(ctx, &args[1])?.map_or(0, SetRef::len);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn sismember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let there = read(ctx, &args[1])?.is_some_and(|set| set.contains(&args[2]));
    ctx.reply.integer(i64::from(there));
    Ok(())
}

fn smismember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let members = ctx.args.tail(2);
    let set = ctx.keys.read(ctx.key(1)).map(set).transpose()?;
    ctx.reply.array(members.len());
    if members.len() <= SLICE {
        tell_which(&mut ctx.reply, set, members);
        return Ok(());
    }
    ctx.read_in_slices(members.len(), |ctx, slice| {
        let set = ctx.keys.view(ctx.key(1)).map(self::set).transpose()?;
        tell_which(&mut ctx.reply, set, members.slice(slice));
        Ok(())
    })
}

/// Answers of each member whether a set has it.
fn tell_which(reply: &mut Reply<'_>, set: Option<SetRef<'_>>, members: Args<'_>) {
    for member in members {
        let there = set.is_some_and(|set| set.contains(member));
        reply.integer(i64::from(there));
    }
}

fn smembers(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let set = ctx.keys.read(ctx.key(1)).map(set).transpose()?;
    let len = set.map_or(0, SetRef::len);
    if len > SLICE {
        return members_in_slices(ctx, len);
    }
    ctx.reply.set(len);
    for member in set.into_iter().flat_map(SetRef::iter) {
        ctx.reply.bulk(member.text(&mut IntText::default()));
    }
    Ok(())
}

#[cold]
fn members_in_slices(ctx: &mut Ctx<'_>, len: usize) -> Result<(), Error> {
    ctx.weigh(len)?;
    ctx.reply.set(len);
    let mut cursor = 0;
    loop {
        let Some(set) = ctx.keys.peek(ctx.key(1)).map(set).transpose()? else {
            return Ok(());
        };
        let (reply, mut left) = (&mut ctx.reply, SLICE);
        cursor = set.scan(cursor, |member| {
            reply.bulk(member.text(&mut IntText::default()));
            left = left.saturating_sub(1);
            left > 0
        });
        if cursor == 0 {
            return Ok(());
        }
        ctx.breathe()?;
    }
}

fn sscan(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let Some(scan) = MemberScan::parse(ctx, |view| set(view).map(drop), &[])? else {
        return Ok(());
    };
    let len = ctx.keys.view(ctx.key(1)).map(set).transpose()?;
    let len = len.map_or(0, SetRef::len);
    scan.answer(ctx, len, |view, cursor, page| {
        Ok(set(view)?.scan(cursor, |member| {
            page.element(member.text(&mut IntText::default()), |reply, member| {
                reply.bulk(member);
            })
        }))
    })
}
