//! Sorted sets: rows, and the commands about single members.

pub(super) mod add;
mod algebra;
mod moving;
mod pop;
mod random;
mod range;
mod store;

use kvik_resp::{Args, Protocol, Reply, format_f64};
use kvik_store::{IntText, StringRef, ValueRef, View, ZsetRef};

pub(super) use self::store::{Results, expiry_in};
use super::member_scan::MemberScan;
use crate::declare::{Command, Group, KeyFlags, Row};
use crate::{Ctx, Error, SLICE};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    [
        changes(),
        reads(),
        counts(),
        ranges(),
        older_ranges(),
        removals(),
        pops(),
        waits(),
        moves(),
        walks(),
        combinations(),
        stores(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn command(name: &'static str, syntax: &'static str, handler: crate::Handler) -> Row {
    Command::new(name, syntax, handler)
        .group(Group::SortedSet)
        .complexity(LOGARITHMIC)
}

const LOGARITHMIC: &str = "O(log(N)) where N is the number of members";
const LOGARITHMIC_EACH: &str =
    "O(M*log(N)) where N is the number of members and M the number of those given";
const LENGTH_OF_RANGE: &str =
    "O(log(N)+M) where N is the number of members and M the number of those in the range";
const INTERSECTION: &str = "O(N*K+M*log(M)) where N is the size of the smallest input, K the number of inputs and M the \
     size of the result";
const ALL_INPUTS: &str =
    "O(N+M*log(M)) where N is the number of members in all inputs and M the size of the result";
const DIFFERENCE: &str = "O(L+(N-K)*log(N)) where L is the number of members in all inputs, N the size of the first and K \
     that of the result";
const UNPREDICTABLE: &[&str] = &["nondeterministic_output"];

fn changes() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).write().fast();
    vec![
        command("ZADD", ZADD_SYNTAX, add::zadd)
            .long()
            .may_grow()
            .access(&[KeyFlags::RW_UPDATE])
            .since("1.2.0")
            .complexity(LOGARITHMIC_EACH)
            .changed("2.4.0", "Takes several members.")
            .changed("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options.")
            .changed("6.2.0", "Added the `GT` and `LT` options.")
            .about("Adds members to a sorted set, or gives them other scores."),
        command("ZINCRBY", "key increment member", add::zincrby)
            .may_grow()
            .access(&[KeyFlags::RW_ACCESS_UPDATE])
            .since("1.2.0")
            .about("Adds to the score of a member, which is 0 where there is none."),
        command("ZREM", "key member [member ...]", zrem)
            .long()
            .access(&[KeyFlags::RW_DELETE])
            .since("1.2.0")
            .complexity(LOGARITHMIC_EACH)
            .changed("2.4.0", "Takes several members.")
            .about("Deletes members of a sorted set and returns how many there were."),
    ]
}

const ZADD_SYNTAX: &str = "key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]";

fn reads() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).readonly().fast();
    vec![
        command("ZCARD", "key", zcard)
            .access(&[KeyFlags::RO])
            .since("1.2.0")
            .complexity("O(1)")
            .about("Returns the number of members of a sorted set."),
        command("ZSCORE", "key member", zscore)
            .since("1.2.0")
            .complexity("O(1)")
            .about("Returns the score of a member."),
        command("ZMSCORE", "key member [member ...]", zmscore)
            .long()
            .since("6.2.0")
            .complexity("O(N) where N is the number of members given")
            .about("Returns the scores of several members."),
        command("ZRANK", "key member [WITHSCORE]", zrank)
            .since("2.0.0")
            .changed("7.2.0", "Added the `WITHSCORE` option.")
            .about("Returns how many members have a lower place than this one."),
        command("ZREVRANK", "key member [WITHSCORE]", zrevrank)
            .since("2.0.0")
            .changed("7.2.0", "Added the `WITHSCORE` option.")
            .about("Returns how many members have a higher place than this one."),
    ]
}

fn counts() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).readonly().fast();
    vec![
        command("ZCOUNT", "key min:double max:double", range::zcount)
            .since("2.0.0")
            .about("Returns how many members have scores in a range."),
        command("ZLEXCOUNT", "key min max", range::zlexcount)
            .since("2.8.9")
            .about("Returns how many members are in a range of names."),
    ]
}

fn ranges() -> Vec<Row> {
    vec![
        command("ZRANGE", ZRANGE_SYNTAX, range::zrange)
            .long()
            .readonly()
            .since("1.2.0")
            .complexity(LENGTH_OF_RANGE)
            .changed(
                "6.2.0",
                "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.",
            )
            .about("Returns the members in a range of ranks, scores or names."),
        command("ZRANGESTORE", ZRANGESTORE_SYNTAX, range::zrangestore)
            .long()
            .event("zrangestore")
            .write()
            .may_grow()
            .access(&[KeyFlags::OW_UPDATE, KeyFlags::RO_ACCESS])
            .since("6.2.0")
            .complexity(LENGTH_OF_RANGE)
            .about("Stores the members in a range of another sorted set."),
    ]
}

const ZRANGE_SYNTAX: &str =
    "key start:string stop:string [sortby:<BYSCORE|BYLEX>] [REV] [LIMIT offset count] [WITHSCORES]";
const ZRANGESTORE_SYNTAX: &str =
    "dst src min max [sortby:<BYSCORE|BYLEX>] [REV] [LIMIT offset count]";

fn older_ranges() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .readonly()
            .complexity(LENGTH_OF_RANGE)
    };
    vec![
        command("ZREVRANGE", "key start stop [WITHSCORES]", range::zrevrange)
            .long()
            .since("1.2.0")
            .deprecated("6.2.0", "`ZRANGE` with the `REV` argument")
            .about("Returns the members in a range of ranks, the highest first."),
        command("ZRANGEBYSCORE", ZRANGEBYSCORE_SYNTAX, range::zrangebyscore)
            .long()
            .since("1.0.5")
            .changed("2.0.0", "Added the `WITHSCORES` option.")
            .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument")
            .about("Returns the members in a range of scores."),
        command(
            "ZREVRANGEBYSCORE",
            ZREVRANGEBYSCORE_SYNTAX,
            range::zrevrangebyscore,
        )
        .long()
        .since("2.2.0")
        .changed("2.1.6", "`min` and `max` can be exclusive.")
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")
        .about("Returns the members in a range of scores, the highest first."),
        command(
            "ZRANGEBYLEX",
            "key min max [LIMIT offset count]",
            range::zrangebylex,
        )
        .long()
        .since("2.8.9")
        .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument")
        .about("Returns the members in a range of names."),
        command(
            "ZREVRANGEBYLEX",
            "key max min [LIMIT offset count]",
            range::zrevrangebylex,
        )
        .long()
        .since("2.8.9")
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")
        .about("Returns the members in a range of names, the last first."),
    ]
}

const ZRANGEBYSCORE_SYNTAX: &str = "key min:double max:double [WITHSCORES] [LIMIT offset count]";
const ZREVRANGEBYSCORE_SYNTAX: &str = "key max:double min:double [WITHSCORES] [LIMIT offset count]";

fn removals() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .write()
            .access(&[KeyFlags::RW_DELETE])
            .complexity(LENGTH_OF_RANGE)
    };
    vec![
        command("ZREMRANGEBYRANK", "key start stop", range::zremrangebyrank)
            .long()
            .event("zremrangebyrank")
            .since("2.0.0")
            .about("Deletes the members in a range of ranks."),
        command(
            "ZREMRANGEBYSCORE",
            "key min:double max:double",
            range::zremrangebyscore,
        )
        .long()
        .event("zremrangebyscore")
        .since("1.2.0")
        .about("Deletes the members in a range of scores."),
        command("ZREMRANGEBYLEX", "key min max", range::zremrangebylex)
            .long()
            .event("zremrangebylex")
            .since("2.8.9")
            .about("Deletes the members in a range of names."),
    ]
}

fn pops() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .write()
            .access(&[KeyFlags::RW_ACCESS_DELETE])
            .complexity("O(M*log(N)) where N is the number of members and M that of those deleted")
    };
    vec![
        command("ZPOPMIN", "key [count]", pop::zpopmin)
            .long()
            .fast()
            .since("5.0.0")
            .about("Deletes the members with the lowest scores and returns them."),
        command("ZPOPMAX", "key [count]", pop::zpopmax)
            .long()
            .fast()
            .since("5.0.0")
            .about("Deletes the members with the highest scores and returns them."),
        command(
            "ZMPOP",
            "numkeys key [key ...] <MIN|MAX> [COUNT count]",
            pop::zmpop,
        )
        .long()
        .since("7.0.0")
        .about("Deletes members of the first sorted set that has some and returns them."),
    ]
}

/// The commands that wait for a member.
fn waits() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .write()
            .blocking()
            .access(&[KeyFlags::RW_ACCESS_DELETE])
    };
    vec![
        command("BZPOPMIN", "key [key ...] timeout:double", pop::bzpopmin)
            .fast()
            .since("5.0.0")
            .changed("6.0.0", "`timeout` is interpreted as a double instead of an integer.")
            .about("Deletes the member with the lowest score of the first sorted set that exists and returns it, or waits for one."),
        command("BZPOPMAX", "key [key ...] timeout:double", pop::bzpopmax)
            .fast()
            .since("5.0.0")
            .changed("6.0.0", "`timeout` is interpreted as a double instead of an integer.")
            .about("Deletes the member with the highest score of the first sorted set that exists and returns it, or waits for one."),
        command(
            "BZMPOP",
            "timeout:double numkeys key [key ...] <MIN|MAX> [COUNT count]",
            pop::bzmpop,
        ).long()
        .since("7.0.0")
        .complexity("O(K)+O(M*log(N)) where K is the number of keys, N the number of members and M that of those deleted")
        .about("Deletes members of the first sorted set that has some and returns them, or waits for some."),
    ]
}

/// The commands that move members to another sorted set.
fn moves() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .write()
            .may_grow()
            .access(&[KeyFlags::RW_ACCESS_DELETE, KeyFlags::RW])
            .since("8.12.0")
            .complexity(
                "O(log(N)+K*(log(N)+log(M))) where N and M are the numbers of members and K that of those moved",
            )
    };
    vec![
        command(
            "ZMOVE",
            "source destination selection:<MIN|MAX|BYSCORE score-range:<score-min:double score-max:double>> \
             [COUNT count]",
            moving::zmove,
        ).long()
        .about("Moves members from an end or a range of a sorted set to another."),
        command(
            "BZMOVE",
            "source destination <MIN|MAX> timeout:double [COUNT count]",
            moving::bzmove,
        ).long()
        .blocking()
        .about("Moves members from an end of a sorted set to another, or waits for some."),
        command(
            "ZMOVEMEMBER",
            "source destination [NX|XX] MEMBERS members:<num-members:integer member [member ...]>",
            moving::zmovemember,
        ).long()
        .about("Moves members of a sorted set to another by their names."),
    ]
}

fn walks() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .readonly()
            .tips(UNPREDICTABLE)
    };
    vec![
        command(
            "ZRANDMEMBER",
            "key [options:<count [WITHSCORES]>]",
            random::zrandmember,
        )
        .long()
        .since("6.2.0")
        .complexity("O(N) where N is the number of members returned")
        .about("Returns members of a sorted set chosen at random."),
        command(
            "ZSCAN",
            "key cursor [MATCH pattern] [COUNT count] [NOSCORES]",
            zscan,
        )
        .long()
        .since("2.8.0")
        .complexity("O(1) for a page, O(N) for the whole sorted set")
        .changed("8.0.0", "Added the `NOSCORES` option.")
        .about("Returns the members of a sorted set page by page."),
    ]
}

fn combinations() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).readonly();
    vec![
        command("ZUNION", ZUNION_SYNTAX, algebra::zunion)
            .long()
            .since("6.2.0")
            .complexity(ALL_INPUTS)
            .about("Returns the members that any of several sorted sets has."),
        command("ZINTER", ZUNION_SYNTAX, algebra::zinter)
            .long()
            .since("6.2.0")
            .complexity(INTERSECTION)
            .about("Returns the members that all of several sorted sets have."),
        command(
            "ZDIFF",
            "numkeys key [key ...] [WITHSCORES]",
            algebra::zdiff,
        )
        .long()
        .since("6.2.0")
        .complexity(DIFFERENCE)
        .about("Returns the members that only the first of several sorted sets has."),
        command(
            "ZINTERCARD",
            "numkeys key [key ...] [LIMIT limit]",
            algebra::zintercard,
        )
        .long()
        .since("7.0.0")
        .complexity("O(N*K) where N is the size of the smallest input and K the number of inputs")
        .about("Returns how many members all of several sorted sets have."),
    ]
}

const ZUNION_SYNTAX: &str = "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM|MIN|MAX|COUNT>] [WITHSCORES]";
const ZUNIONSTORE_SYNTAX: &str = "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] \
    [AGGREGATE <SUM|MIN|MAX|COUNT>]";

fn stores() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .write()
            .may_grow()
            .access(&[KeyFlags::OW_UPDATE, KeyFlags::RO_ACCESS])
    };
    vec![
        command("ZUNIONSTORE", ZUNIONSTORE_SYNTAX, algebra::zunionstore)
            .long()
            .event("zunionstore")
            .since("2.0.0")
            .complexity(ALL_INPUTS)
            .about("Stores the members that any of several sorted sets has."),
        command("ZINTERSTORE", ZUNIONSTORE_SYNTAX, algebra::zinterstore)
            .long()
            .event("zinterstore")
            .since("2.0.0")
            .complexity(INTERSECTION)
            .about("Stores the members that all of several sorted sets have."),
        command(
            "ZDIFFSTORE",
            "destination numkeys key [key ...]",
            algebra::zdiffstore,
        )
        .long()
        .event("zdiffstore")
        .since("6.2.0")
        .complexity(DIFFERENCE)
        .about("Stores the members that only the first of several sorted sets has."),
    ]
}

/// The sorted set that a key holds.
///
/// # Errors
/// If it holds another type.
pub(super) fn zset(view: View<'_>) -> Result<ZsetRef<'_>, Error> {
    match view.value() {
        ValueRef::Zset(zset) => Ok(zset),
        _ => Err(Error::WrongType),
    }
}

/// The sorted set of a key, if there is one.
///
/// # Errors
/// If the key holds another type.
pub(super) fn read<'c>(ctx: &'c mut Ctx<'_>, key: &[u8]) -> Result<Option<ZsetRef<'c>>, Error> {
    ctx.keys.read(key).map(zset).transpose()
}

/// Writes a member.
pub(super) fn reply_name(reply: &mut Reply<'_>, name: StringRef<'_>) {
    reply.bulk(name.text(&mut IntText::default()));
}

/// Writes a header for so many members, each with its score if that is wanted: RESP2 has one flat
/// array.
fn reply_len(reply: &mut Reply<'_>, len: usize, with_scores: bool) {
    let flat = with_scores && reply.protocol() == Protocol::Resp2;
    reply.array(if flat { 2 * len } else { len });
}

/// Writes a member behind such a header.
fn reply_member(reply: &mut Reply<'_>, name: StringRef<'_>, score: Option<f64>) {
    if score.is_some() && reply.protocol() == Protocol::Resp3 {
        reply.array(2);
    }
    reply_name(reply, name);
    if let Some(score) = score {
        reply.double(score);
    }
}

fn zrem(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (members, mut removed) = (ctx.args.tail(2), 0);
    if members.len() <= SLICE {
        let mut zset = ctx.keys.entry(ctx.key(1)).zset_mut()?;
        removed = members.iter().filter(|member| zset.remove(member)).count();
    } else {
        ctx.change_in_slices(members.len(), |ctx, slice| {
            let mut zset = ctx.keys.entry(ctx.key(1)).zset_mut()?;
            let members = members.slice(slice).iter();
            removed += members.filter(|member| zset.remove(member)).count();
            Ok(())
        })?;
    }
    ctx.reply.integer(removed as i64);
    Ok(())
}

fn zcard(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let len = read(ctx, &args[1])?.map_or(0, ZsetRef::len);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn zscore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let score = read(ctx, &args[1])?.and_then(|zset| zset.score(&args[2]));
    reply_score(&mut ctx.reply, score);
    Ok(())
}

fn zmscore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let members = ctx.args.tail(2);
    let zset = ctx.keys.read(ctx.key(1)).map(zset).transpose()?;
    ctx.reply.array(members.len());
    if members.len() <= SLICE {
        reply_scores(&mut ctx.reply, zset, members);
        return Ok(());
    }
    ctx.read_in_slices(members.len(), |ctx, slice| {
        let zset = ctx.keys.view(ctx.key(1)).map(self::zset).transpose()?;
        reply_scores(&mut ctx.reply, zset, members.slice(slice));
        Ok(())
    })
}

fn reply_scores(reply: &mut Reply<'_>, zset: Option<ZsetRef<'_>>, members: Args<'_>) {
    for member in members {
        reply_score(reply, zset.and_then(|zset| zset.score(member)));
    }
}

fn reply_score(reply: &mut Reply<'_>, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

fn zrank(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    rank(ctx, |rank, _| rank)
}

fn zrevrank(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    rank(ctx, |rank, len| len - 1 - rank)
}

fn rank(ctx: &mut Ctx<'_>, count: fn(usize, usize) -> usize) -> Result<(), Error> {
    let args = ctx.args;
    if args.len() > 4 {
        return Err(Error::arity(ctx.command));
    }
    let with_score = args.len() == 4;
    if with_score && !ctx.is(3, "WITHSCORE") {
        return Err(Error::SYNTAX);
    }
    let zset = read(ctx, &args[1])?;
    let found = zset.and_then(|zset| Some((zset.len(), zset.rank(&args[2])?)));
    let reply = &mut ctx.reply;
    match found {
        Some((len, (rank, score))) if with_score => {
            reply.array(2);
            reply.integer(count(rank, len) as i64);
            reply.double(score);
        }
        Some((len, (rank, _))) => reply.integer(count(rank, len) as i64),
        None if with_score => reply.null_array(),
        None => reply.null(),
    }
    Ok(())
}

fn zscan(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let check = |view: View<'_>| zset(view).map(drop);
    let Some(scan) = MemberScan::parse(ctx, check, &["NOSCORES"])? else {
        return Ok(());
    };
    let len = ctx.keys.view(ctx.key(1)).map(zset).transpose()?;
    let len = len.map_or(0, ZsetRef::len);
    let elements = if scan.flag() { 1 } else { 2 };
    scan.answer(ctx, len, |view, cursor, page| {
        Ok(zset(view)?.scan(cursor, |member| {
            let mut room = IntText::default();
            page.elements(elements, member.name.text(&mut room), |reply, name| {
                reply.bulk(name);
                if elements == 2 {
                    reply.bulk(format_f64(member.score()).as_bytes());
                }
            })
        }))
    })
}
