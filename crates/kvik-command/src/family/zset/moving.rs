//! ZMOVE, BZMOVE and ZMOVEMEMBER: members that go to another sorted set with their scores.
//!
//! A member that is there already gets the score that comes. When it expires goes by the rule of
//! SMOVE: it stays as long as either would. Nobody moves anything from a key to itself.

use std::collections::HashSet;

use kvik_resp::Args;
use kvik_store::{EventClasses, IntText, ScoredMember, UnixMs, Wanted, ZsetRef};

use super::pop::{End, at_least_one};
use super::range::{each_slice, scores};
use super::store::expiry_in;
use super::zset;
use crate::blocking::Block;
use crate::family::carried_expiry::later;
use crate::{Ctx, Error};

/// Which members go.
#[derive(Clone, Copy, Debug)]
enum MemberSelection {
    /// From an end.
    End(End),
    Scores(kvik_store::ScoreRange),
}

/// A member on its way.
struct MovedMember {
    name: Vec<u8>,
    score: f64,
    expire_at: Option<UnixMs>,
}

impl MovedMember {
    fn of(zset: ZsetRef<'_>, member: &ScoredMember<'_>) -> Self {
        Self {
            name: member.name.text(&mut IntText::default()).to_vec(),
            score: member.score(),
            expire_at: expiry_in(zset, member.name),
        }
    }
}

pub(super) fn zmove(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, at) = (ctx.args, 3);
    let (selection, words) = match end(ctx, at) {
        Some(end) => (MemberSelection::End(end), 1),
        None if ctx.is(at, "BYSCORE") && at + 2 < args.len() => {
            let range = scores(&args[at + 1], &args[at + 2]);
            let range = range.ok_or(Error::text("min or max is not a float"))?;
            (MemberSelection::Scores(range), 3)
        }
        None => return Err(Error::SYNTAX),
    };
    let count = count(ctx, at + words)?;
    if !move_selected(ctx, selection, count)? {
        ctx.reply.null_array();
    }
    Ok(())
}

pub(super) fn bzmove(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let end = end(ctx, 3).ok_or(Error::SYNTAX)?;
    let until_ms = ctx.deadline(4)?;
    let count = count(ctx, 5)?;
    if move_selected(ctx, MemberSelection::End(end), count)? {
        return Ok(());
    }
    if ctx.args[1] == ctx.args[2] {
        ctx.reply.null_array();
    } else {
        ctx.wait_or_answer(Block::new(Wanted::Zset, 1..2, until_ms));
    }
    Ok(())
}

/// The end that a word names.
fn end(ctx: &Ctx<'_>, at: usize) -> Option<End> {
    match () {
        () if ctx.is(at, "MIN") => Some(End::Min),
        () if ctx.is(at, "MAX") => Some(End::Max),
        () => None,
    }
}

/// The option COUNT, behind which nothing stands.
fn count(ctx: &Ctx<'_>, at: usize) -> Result<Option<usize>, Error> {
    match ctx.args.len() - at {
        0 => Ok(None),
        2 if ctx.is(at, "COUNT") => {
            at_least_one(ctx, at + 1, "count should be greater than 0").map(Some)
        }
        _ => Err(Error::SYNTAX),
    }
}

/// Moves members and answers with them, or says that there are none. One goes from an end where no
/// count is given, and all of a range.
fn move_selected(
    ctx: &mut Ctx<'_>,
    selection: MemberSelection,
    count: Option<usize>,
) -> Result<bool, Error> {
    let Some(zset) = source(ctx)? else {
        return Ok(false);
    };
    let (len, max) = (zset.len(), count.unwrap_or(usize::MAX));
    let (ranks, from_end) = match selection {
        MemberSelection::End(End::Min) => (0..count.unwrap_or(1).min(len), false),
        MemberSelection::End(End::Max) => (len - count.unwrap_or(1).min(len)..len, true),
        MemberSelection::Scores(range) => {
            let ranks = zset.ranks_of_scores(&range);
            (
                ranks.start..ranks.end.min(ranks.start.saturating_add(max)),
                false,
            )
        }
    };
    ctx.weigh(ranks.len())?;
    let mut moved = Vec::new();
    each_slice(ctx, 1, ranks, from_end, |_, zset, member| {
        moved.push(MovedMember::of(zset, &member));
    })?;
    carry(ctx, moved)
}

/// The sorted set of the first key, if it is there and another than the second.
///
/// # Errors
/// If either holds another type.
fn source<'c>(ctx: &'c mut Ctx<'_>) -> Result<Option<ZsetRef<'c>>, Error> {
    let args = ctx.args;
    ctx.keys.mute(EventClasses::MISS);
    if ctx.keys.read(ctx.key(1)).map(zset).transpose()?.is_none() {
        return Ok(None);
    }
    ctx.keys.read(&args[2]).map(zset).transpose()?;
    if args[1] == args[2] {
        return Ok(None);
    }
    ctx.keys.view(&args[1]).map(zset).transpose()
}

/// Takes members out of the first key's sorted set, puts them into that of the second, and answers
/// with them; or says that there are none.
fn carry(ctx: &mut Ctx<'_>, moved: Vec<MovedMember>) -> Result<bool, Error> {
    let args = ctx.args;
    if moved.is_empty() {
        return Ok(false);
    }
    ctx.change_in_slices(moved.len(), |ctx, slice| {
        let mut from = ctx.keys.entry(&args[1]).zset_mut()?;
        for member in &moved[slice] {
            from.remove(&member.name);
        }
        Ok(())
    })?;
    ctx.let_go();
    let longest = moved.iter().map(|member| member.name.len()).max();
    ctx.reply.array(moved.len());
    ctx.change_in_slices(moved.len(), |ctx, slice| {
        let mut to = ctx.keys.entry(&args[2]).zset_mut()?;
        to.expect(moved.len(), longest.unwrap_or(0));
        for member in &moved[slice] {
            let old = to.view().expiry_of(&member.name);
            to.update(&member.name, |_| Some(member.score));
            let expire_at = old.map_or(member.expire_at, |old| later(old, member.expire_at));
            if old.unwrap_or(None) != expire_at {
                to.set_expiry(&member.name, expire_at);
            }
            ctx.reply.array(2);
            ctx.reply.bulk(&member.name);
            ctx.reply.double(member.score);
        }
        Ok(())
    })?;
    Ok(true)
}

pub(super) fn zmovemember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let exist = match () {
        () if ctx.is(3, "NX") => Some(false),
        () if ctx.is(3, "XX") => Some(true),
        () => None,
    };
    let names = members(ctx, 3 + usize::from(exist.is_some()))?;
    if source(ctx)?.is_none() {
        ctx.reply.null_array();
        return Ok(());
    }
    let (args, mut moved, mut seen) = (ctx.args, Vec::new(), HashSet::new());
    ctx.read_in_slices(names.len(), |ctx, slice| {
        let from = ctx.keys.view(&args[1]).map(zset).transpose()?;
        let to = ctx.keys.view(&args[2]).map(zset).transpose()?;
        let there = |name: &[u8]| to.is_some_and(|to: ZsetRef<'_>| to.score(name).is_some());
        let names = names.slice(slice).iter();
        for name in names.filter(|name| seen.insert(*name)) {
            let from = from.and_then(|from: ZsetRef<'_>| Some((from, from.score(name)?)));
            if let Some((from, score)) = from
                && exist.is_none_or(|exist| there(name) == exist)
            {
                moved.push(MovedMember {
                    name: name.to_vec(),
                    score,
                    expire_at: from.expiry_of(name).flatten(),
                });
            }
        }
        Ok(())
    })?;
    if !carry(ctx, moved)? {
        ctx.reply.null_array();
    }
    Ok(())
}

/// The members behind the word `MEMBERS` at an index.
fn members<'a>(ctx: &Ctx<'a>, at: usize) -> Result<Args<'a>, Error> {
    if at + 1 >= ctx.args.len() || !ctx.is(at, "MEMBERS") {
        return Err(Error::SYNTAX);
    }
    let count = at_least_one(ctx, at + 1, "Number of members must be a positive integer")?;
    let members = ctx.args.tail(at + 2);
    if members.len() != count {
        return Err(Error::text(
            "The `nummembers` parameter must match the number of arguments",
        ));
    }
    Ok(members)
}
